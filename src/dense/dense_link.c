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

#define ROUNDING 1e-6f /* of the cosine: equal directions differ by so much */

/* How many candidates from `at` on to pass over. Of those that are equally near, as equal vectors are to each other, all would be
 * kept: half the list at most, or they would have no link to anything else. */
static uint32_t too_equal(const dense_graph *g, const dense_candidate *candidates, uint32_t at, uint32_t n, uint32_t most) {
    if (at < most / 2) return 0;
    float same = candidates[at - most / 2].distance + (dense_coder_metric(g->coder) == DENSE_COSINE ? ROUNDING : 0);
    uint32_t after = at;
    while (after < n && candidates[after].distance <= same) after++;
    return after - at;
}

uint32_t dense_select(const dense_graph *g, dense_scratch *s, dense_candidate *candidates, uint32_t n, uint32_t most) {
    uint32_t kept = 0;
    dense_scratch_batch(s, n);
    while (kept < n && kept < most) {
        uint32_t equal = too_equal(g, candidates, kept, n, most);
        if (equal > 0) {
            n -= equal;
            memmove(candidates + kept, candidates + kept + equal, (n - kept) * sizeof *candidates);
            continue;
        }
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

/* Adds a link; a full list keeps what the heuristic chooses. False: not this one. */
static bool add_link(dense_graph *g, dense_scratch *s, uint32_t layer, uint32_t from, uint32_t to) {
    uint32_t most = dense_most_links(g, layer), n = 0;
    dense_link *links = dense_links_of(g, from, layer);
    bool added = true;
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
    added = false;
    for (uint32_t i = 0; i < most; i++) {
        dense_link_store(links, i, i < kept ? s->listed[i].node + 1 : 0);
        added |= i < kept && s->listed[i].node == to;
    }
done:
    pthread_mutex_unlock(stripe_of(g, from));
    return added;
}

/* A link to `to` where `from` would rather have none: in a free place, or in that of its last link, to which `to`
 * leads from now on, so that nothing is cut off. */
static void insist(dense_graph *g, uint32_t layer, uint32_t from, uint32_t to) {
    uint32_t most = dense_most_links(g, layer);
    dense_link *links = dense_links_of(g, from, layer), *own = dense_links_of(g, to, layer);
    uint32_t a = from % DENSE_STRIPES, b = to % DENSE_STRIPES, at = 0, free = 0;
    pthread_mutex_lock(g->stripes + (a < b ? a : b));
    if (a != b) pthread_mutex_lock(g->stripes + (a < b ? b : a));
    while (at < most - 1 && dense_link_load(links, at) != 0) at++;
    uint32_t last = dense_link_load(links, at);
    while (free < most - 1 && dense_link_load(own, free) != 0 && dense_link_load(own, free) != last) free++;
    if (last != 0 && last != to + 1) dense_link_store(own, free, last);
    dense_link_store(links, at, to + 1);
    if (a != b) pthread_mutex_unlock(g->stripes + (a < b ? b : a));
    pthread_mutex_unlock(g->stripes + (a < b ? a : b));
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
        bool known = n == 0;
        for (uint32_t i = 0; i < n; i++) known |= add_link(g, s, l, s->chosen[i].node, node);
        if (!known) insist(g, l, s->chosen[0].node, node);
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

/* A link to `node` from the nearest node that can be reached and has room; where none of the nearest has, the nearest makes room.
 * The upper layers may lead to what cannot be reached either: then the walk begins at the entry. */
static bool attach(dense_graph *g, dense_scratch *s, uint32_t node, uint64_t entry, const uint64_t *reached) {
    dense_prepare_code_again(s->inserted, dense_code_of(g, node));
    dense_candidate start = dense_descend(g, s, s->inserted, entry, 0);
    for (int again = 0; again < 2; again++) {
        uint32_t best = DENSE_NONE;
        dense_walk(g, s, s->inserted, 0, g->ef_construction, &start, 1);
        for (uint32_t i = 0; i < s->pool.n; i++) {
            uint32_t near = s->pool.at[i].node;
            if (!(reached[near / 64] >> (near % 64) & 1)) continue;
            bool room = dense_link_load(dense_links_of(g, near, 0), g->M_max0 - 1) == 0;
            if (best == DENSE_NONE || room) best = near;
            if (room) break;
        }
        if (best != DENSE_NONE) return insist(g, 0, best, node), true;
        start = dense_descend(g, s, s->inserted, entry & UINT32_MAX, 0);
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
            if (!attach(g, s, i, entry, reached)) continue;
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

/* --- probes ------------------------------------------------------------------------------------------------------------- */

#define PROBE_BREADTH 32u

/* Where a walk that looks for the node ends at what is farther than itself, a link leads from there. */
static void probe(dense_graph *g, dense_scratch *s, uint32_t node, uint64_t entry) {
    float self;
    const void *code = dense_code_of(g, node);
    dense_prepare_code_again(s->inserted, code);
    dense_distances(s->inserted, &code, 1, &self);
    dense_candidate start = dense_descend(g, s, s->inserted, entry, 0);
    if (start.distance <= self) return;
    dense_walk(g, s, s->inserted, 0, PROBE_BREADTH, &start, 1);
    if (s->pool.at[0].distance > self) insist(g, 0, s->pool.at[0].node, node);
}

void dense_probe(dense_graph *g, dense_scratch *s, uint32_t since, uint32_t turn) {
    uint32_t n = atomic_load(&g->n), turns = since / (8 * (n - since) + 1) + 1;
    uint64_t entry = atomic_load(&g->entry);
    dense_scratch_prepare(s, g);
    for (uint32_t node = 0; node < n; node++) {
        if (node < since && (dense_level_of(g, node) == 0 || (node + turn) % turns != 0)) continue;
        if (!dense_dead(g, node)) probe(g, s, node, entry);
    }
}
