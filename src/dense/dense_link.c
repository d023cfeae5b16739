/* INSERT and SELECT-NEIGHBORS-HEURISTIC (Malkov & Yashunin 2018, algorithms 1 and 4).
 *
 * The heuristic keeps a candidate e when it is nearer to the node than to every neighbour that was kept before. It is done
 * from the kept one's side: whoever is kept is compared, in one batch, with all later candidates that are still left, and
 * strikes those that are nearer to it. These are the comparisons of the paper, but one prepared query serves a whole batch. */
#include "dense/dense_impl.h"

#include <stdlib.h>
#include <string.h>

static int nearer_first(const void *a, const void *b) {
    const dense_candidate *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->node < y->node ? -1 : x->node > y->node;
}

uint32_t dense_select(const dense_graph *g, dense_scratch *s, dense_candidate *candidates, uint32_t n, uint32_t most) {
    uint32_t kept = 0;
    dense_scratch_batch(s, n);
    while (kept < n && kept < most) {
        dense_candidate *rest = candidates + kept + 1;
        uint32_t n_rest = n - kept - 1, left = 0;
        if (kept + 1 < most && n_rest > 0) {
            for (uint32_t i = 0; i < n_rest; i++) s->codes[i] = dense_code_of(g, rest[i].node);
            dense_prepare_code_again(s->compared, dense_code_of(g, candidates[kept].node));
            dense_distances(s->compared, s->codes, n_rest, s->distances);
            for (uint32_t i = 0; i < n_rest; i++)
                if (!(s->distances[i] < rest[i].distance)) rest[left++] = rest[i];
            n = kept + 1 + left;
        }
        kept++;
    }
    return kept;
}

void dense_sort_near(const dense_graph *g, dense_scratch *s, uint32_t node, dense_candidate *candidates, uint32_t n) {
    dense_scratch_batch(s, n);
    for (uint32_t i = 0; i < n; i++) s->codes[i] = dense_code_of(g, candidates[i].node);
    dense_prepare_code_again(s->compared, dense_code_of(g, node));
    dense_distances(s->compared, s->codes, n, s->distances);
    for (uint32_t i = 0; i < n; i++) candidates[i].distance = s->distances[i];
    qsort(candidates, n, sizeof *candidates, nearer_first);
}

static pthread_mutex_t *stripe_of(dense_graph *g, uint32_t node) { return g->stripes + node % DENSE_STRIPES; }

/* Adds a link; a full list keeps what the heuristic chooses. */
static void add_link(dense_graph *g, dense_scratch *s, uint32_t layer, uint32_t from, uint32_t to) {
    uint32_t most = dense_most_links(g, layer), n = 0;
    dense_link *links = dense_links_of(g, from, layer);
    pthread_mutex_lock(stripe_of(g, from));
    for (uint32_t link; n < most && (link = dense_link_load(links, n)) != 0; n++) {
        if (link == to + 1) goto done;
        s->listed[n].node = link - 1;
    }
    if (n < most) {
        dense_link_store(links, n, to + 1);
        goto done;
    }
    s->listed[n].node = to;
    dense_sort_near(g, s, from, s->listed, n + 1);
    uint32_t kept = dense_select(g, s, s->listed, n + 1, most);
    for (uint32_t i = 0; i < most; i++) dense_link_store(links, i, i < kept ? s->listed[i].node + 1 : 0);
done:
    pthread_mutex_unlock(stripe_of(g, from));
}

static void link_layers(dense_graph *g, dense_scratch *s, uint32_t node, uint64_t entry) {
    uint32_t level = dense_level_of(g, node), top = (uint32_t)(entry >> 32);
    dense_prepare_code_again(s->inserted, dense_code_of(g, node));
    dense_candidate start = dense_descend(g, s, s->inserted, entry, level);
    for (uint32_t l = level < top ? level : top;; l--) {
        dense_walk(g, s, s->inserted, l, g->ef_construction, &start, 1);
        uint32_t n = 0;
        for (uint32_t i = 0; i < s->pool.n; i++)
            if (s->pool.at[i].node != node) s->pool.at[n++] = s->pool.at[i];
        if (n > 0) start = s->pool.at[0];
        n = dense_select(g, s, s->pool.at, n, g->M);
        memcpy(s->chosen, s->pool.at, n * sizeof *s->chosen);
        for (uint32_t i = 0; i < n; i++) add_link(g, s, l, node, s->chosen[i].node);
        for (uint32_t i = 0; i < n; i++) add_link(g, s, l, s->chosen[i].node, node);
        if (l == 0) break;
    }
}

void dense_link_node(dense_graph *g, dense_scratch *s, uint32_t node) {
    dense_scratch_prepare(s, g);
    uint64_t level = dense_level_of(g, node), mine = level << 32 | (node + 1);
    uint64_t entry = atomic_load_explicit(&g->entry, memory_order_acquire);
    bool raises = entry == 0 || level > entry >> 32;
    if (raises) {
        pthread_mutex_lock(&g->top);
        entry = atomic_load_explicit(&g->entry, memory_order_acquire);
    }
    if (entry != 0) link_layers(g, s, node, entry);
    if (raises) {
        if (entry == 0 || level > entry >> 32) atomic_store_explicit(&g->entry, mine, memory_order_release);
        pthread_mutex_unlock(&g->top);
    }
}

/* --- reach -------------------------------------------------------------------------------------------------------------- */

/* Breadth first, from the nodes of order[0 … n) on. */
static uint32_t reach_from(const dense_graph *g, uint64_t *reached, uint32_t *order, uint32_t n, uint32_t at) {
    for (; at < n; at++) {
        dense_link *links = dense_links_of(g, order[at], 0);
        for (uint32_t i = 0, link; i < g->M_max0 && (link = dense_link_load(links, i)) != 0; i++) {
            uint32_t next = link - 1;
            if (reached[next / 64] >> (next % 64) & 1) continue;
            reached[next / 64] |= 1ull << (next % 64);
            order[n++] = next;
        }
    }
    return n;
}

uint32_t dense_reach(const dense_graph *g, uint64_t *reached, uint32_t *order) {
    uint64_t entry = atomic_load_explicit(&g->entry, memory_order_acquire);
    if (entry == 0) return 0;
    order[0] = (uint32_t)entry - 1;
    reached[order[0] / 64] |= 1ull << (order[0] % 64);
    return reach_from(g, reached, order, 1, 0);
}

/* A link to `node` from the nearest node that can be reached and has room. Where none of the nearest has, the nearest of them
 * that has another way … gives up its farthest link. */
static bool attach(dense_graph *g, dense_scratch *s, uint32_t node, uint64_t entry, bool force) {
    dense_prepare_code_again(s->inserted, dense_code_of(g, node));
    dense_candidate start = dense_descend(g, s, s->inserted, entry, 0);
    dense_walk(g, s, s->inserted, 0, g->ef_construction, &start, 1);
    for (uint32_t i = 0; i < s->pool.n; i++) {
        if (s->pool.at[i].node == node) continue;
        dense_link *links = dense_links_of(g, s->pool.at[i].node, 0);
        if (dense_link_load(links, g->M_max0 - 1) != 0 && !force) continue;
        uint32_t at = 0;
        while (at < g->M_max0 - 1 && dense_link_load(links, at) != 0) at++;
        dense_link_store(links, at, node + 1);
        return true;
    }
    return false;
}

uint32_t dense_repair(dense_graph *g, dense_scratch *s) {
    uint32_t n = atomic_load(&g->n), lost = n;
    uint64_t entry = atomic_load(&g->entry);
    if (n == 0 || entry == 0) return 0;
    dense_scratch_prepare(s, g);
    uint64_t *reached = mem_alloc(((size_t)n + 63) / 64 * sizeof *reached);
    uint32_t *order = mem_alloc((size_t)n * sizeof *order);
    for (int pass = 0; pass < 4 && lost > 0; pass++) {
        memset(reached, 0, ((size_t)n + 63) / 64 * sizeof *reached);
        uint32_t found = dense_reach(g, reached, order);
        lost = n - found;
        for (uint32_t i = 0; i < n && lost > 0; i++) {
            if (reached[i / 64] >> (i % 64) & 1) continue;
            if (!attach(g, s, i, entry, pass > 0)) continue;
            reached[i / 64] |= 1ull << (i % 64);
            order[found] = i;
            found = reach_from(g, reached, order, found + 1, found);
        }
    }
    memset(reached, 0, ((size_t)n + 63) / 64 * sizeof *reached);
    lost = n - dense_reach(g, reached, order);
    free(reached);
    free(order);
    return lost;
}
