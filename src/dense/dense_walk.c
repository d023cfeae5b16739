/* SEARCH-LAYER (Malkov & Yashunin 2018, algorithm 2) over codes.
 *
 * The paper's two heaps are one array, sorted by distance, in which a mark says whose links were followed: for the breadths
 * that searches use, moving a few entries costs less than sifting heaps. All neighbours of a node that were not visited are
 * compared in one batch, whose codes are on their way from memory as soon as their numbers are known. */
#include "dense/dense_impl.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

/* --- pools -------------------------------------------------------------------------------------------------------------- */

void dense_pool_reset(dense_pool *p, uint32_t most) {
    p->at = mem_grow(p->at, &p->capacity, (size_t)most + 1, sizeof *p->at);
    p->n = 0;
    p->most = most;
}

static inline uint32_t pool_add(dense_pool *p, float distance, uint32_t node) {
    uint32_t n = p->n;
    if (n == p->most) {
        if (!(distance < p->at[n - 1].distance)) return n;
        n--;
    }
    uint32_t low = 0, high = n;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (p->at[middle].distance <= distance) low = middle + 1;
        else high = middle;
    }
    memmove(p->at + low + 1, p->at + low, (n - low) * sizeof *p->at);
    p->at[low] = (dense_candidate){distance, node};
    p->n = n + 1;
    return low;
}

uint32_t dense_pool_add(dense_pool *p, float distance, uint32_t node) { return pool_add(p, distance, node); }

/* --- scratch ------------------------------------------------------------------------------------------------------------ */

void dense_scratch_init(dense_scratch *s) {
    memset(s, 0, sizeof *s);
    arena_init(&s->arena, 0);
    s->chosen = mem_alloc((2 * DENSE_MOST_M + 1) * sizeof *s->chosen);
    s->listed = mem_alloc((2 * DENSE_MOST_M + 1) * sizeof *s->listed);
    dense_scratch_batch(s, 2 * DENSE_MOST_M + 1);
}

void dense_scratch_release(dense_scratch *s) {
    arena_release(&s->arena);
    free(s->visited);
    free(s->touched);
    free(s->pool.at);
    free(s->found.at);
    free(s->chosen);
    free(s->listed);
    free(s->nodes);
    free(s->codes);
    free(s->distances);
}

void dense_scratch_batch(dense_scratch *s, size_t n) {
    if (n <= s->batch) return;
    s->batch = n;
    s->nodes = mem_realloc(s->nodes, n * sizeof *s->nodes);
    s->codes = mem_realloc(s->codes, n * sizeof *s->codes);
    s->distances = mem_realloc(s->distances, n * sizeof *s->distances);
}

void dense_scratch_prepare(dense_scratch *s, const dense_graph *g) {
    if (s->inserted) return;
    s->inserted = dense_prepare_code(g->coder, dense_code_of(g, 0), &s->arena);
    s->compared = dense_prepare_code(g->coder, dense_code_of(g, 0), &s->arena);
}

/* Room for a mark of every node that there is now; links to later ones are not followed. */
static size_t visited_begin(const dense_graph *g, dense_scratch *s) {
    size_t n = atomic_load_explicit(&g->n, memory_order_acquire), words = (n + 63) / 64;
    if (words > s->n_words) {
        words = words * 3 / 2 + 64;
        free(s->visited);
        s->visited = mem_zalloc(words, sizeof *s->visited);
        s->n_words = words;
    }
    s->n_touched = 0;
    return n;
}

static void visited_end(dense_scratch *s) {
    for (size_t i = 0; i < s->n_touched; i++) s->visited[s->touched[i] / 64] = 0;
}

static inline void touched_room(dense_scratch *s, size_t extra) {
    if (s->n_touched + extra > s->touched_capacity)
        s->touched = mem_grow(s->touched, &s->touched_capacity, s->n_touched + extra, sizeof *s->touched);
}

static inline bool visit(dense_scratch *s, uint32_t node) {
    uint64_t bit = 1ull << (node % 64), *word = s->visited + node / 64;
    if (*word & bit) return false;
    *word |= bit;
    s->touched[s->n_touched++] = node;
    return true;
}

static inline void prefetch_code(const char *code, size_t size) {
    for (size_t at = 0; at < size; at += 64) __builtin_prefetch(code + at);
}

/* --- walks -------------------------------------------------------------------------------------------------------------- */

/* Distances to those neighbours that were not visited, to s->nodes and s->distances. */
static inline uint32_t expand(const dense_graph *g, dense_scratch *s, const dense_prepared *p, uint32_t layer, uint32_t node,
                              size_t n_nodes) {
    dense_link *links = dense_links_of(g, node, layer);
    uint32_t most = dense_most_links(g, layer), n = 0;
    size_t ahead = g->stride > 512 ? 512 : g->stride;
    touched_room(s, most);
    for (uint32_t i = 0; i < most; i++) {
        uint32_t next = dense_link_load(links, i) - 1;
        if (next == DENSE_NONE) break;
        if (next >= n_nodes || !visit(s, next)) continue;
        const char *code = dense_code_of(g, next);
        prefetch_code(code, ahead);
        s->nodes[n] = next;
        s->codes[n++] = code;
    }
    dense_distances(p, s->codes, n, s->distances);
    return n;
}

static void start_pool(dense_scratch *s, uint32_t ef, const dense_candidate *from, uint32_t n_from) {
    dense_pool_reset(&s->pool, ef);
    touched_room(s, n_from);
    for (uint32_t i = 0; i < n_from; i++)
        if (visit(s, from[i].node)) pool_add(&s->pool, from[i].distance, from[i].node);
}

/* The next node to follow at or after `at`; marked. Its successor's links are sent for. */
static inline uint32_t next_of(const dense_graph *g, dense_pool *pool, uint32_t *at) {
    uint32_t i = *at;
    while (i < pool->n && pool->at[i].node & DENSE_SEEN) i++;
    *at = i;
    if (i == pool->n) return DENSE_NONE;
    uint32_t node = pool->at[i].node;
    pool->at[i].node |= DENSE_SEEN;
    if (i + 1 < pool->n) {
        uint32_t after = pool->at[i + 1].node & ~DENSE_SEEN;
        uintptr_t links = (uintptr_t)dense_links_of(g, after, 0);
        __builtin_prefetch((const void *)links);
        __builtin_prefetch((const void *)(links + 64));
    }
    return node;
}

static void unmark(dense_pool *pool) {
    for (uint32_t i = 0; i < pool->n; i++) pool->at[i].node &= ~DENSE_SEEN;
}

void dense_walk(const dense_graph *g, dense_scratch *s, const dense_prepared *p, uint32_t layer, uint32_t ef,
                const dense_candidate *from, uint32_t n_from) {
    size_t n_nodes = visited_begin(g, s);
    start_pool(s, ef, from, n_from);
    for (uint32_t at = 0, node; (node = next_of(g, &s->pool, &at)) != DENSE_NONE;) {
        uint32_t n = expand(g, s, p, layer, node, n_nodes);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t place = pool_add(&s->pool, s->distances[i], s->nodes[i]);
            if (place < at) at = place;
        }
    }
    unmark(&s->pool);
    visited_end(s);
}

static inline void collect(const dense_graph *g, dense_scratch *s, const dense_filter *filter, float distance, uint32_t node) {
    dense_pool *f = &s->found;
    if (f->n == f->most && !(distance < f->at[f->n - 1].distance)) return;
    if (dense_dead(g, node)) return;
    if (filter && !dense_passes(filter, dense_about_of(g, node)->document)) return;
    pool_add(f, distance, node);
}

void dense_walk_passing(const dense_graph *g, dense_scratch *s, const dense_prepared *p, uint32_t ef,
                        const dense_candidate *from, const dense_filter *filter, uint32_t most) {
    size_t n_nodes = visited_begin(g, s);
    start_pool(s, ef, from, 1);
    dense_pool_reset(&s->found, most);
    collect(g, s, filter, from->distance, from->node);
    for (uint32_t at = 0, node; (node = next_of(g, &s->pool, &at)) != DENSE_NONE;) {
        uint32_t n = expand(g, s, p, 0, node, n_nodes);
        for (uint32_t i = 0; i < n; i++) {
            uint32_t place = pool_add(&s->pool, s->distances[i], s->nodes[i]);
            if (place < at) at = place;
            collect(g, s, filter, s->distances[i], s->nodes[i]);
        }
    }
    visited_end(s);
}

dense_candidate dense_descend(const dense_graph *g, dense_scratch *s, const dense_prepared *p, uint64_t entry, uint32_t layer) {
    dense_candidate best = {0, (uint32_t)entry - 1};
    const void *code = dense_code_of(g, best.node);
    dense_distances(p, &code, 1, &best.distance);
    for (uint32_t l = (uint32_t)(entry >> 32); l > layer; l--) {
        for (bool nearer = true; nearer;) {
            nearer = false;
            dense_link *links = dense_links_of(g, best.node, l);
            uint32_t n = 0;
            for (uint32_t i = 0, link; i < g->M && (link = dense_link_load(links, i)) != 0; i++) {
                s->nodes[n] = link - 1;
                s->codes[n] = dense_code_of(g, link - 1);
                prefetch_code(s->codes[n++], g->stride > 256 ? 256 : g->stride);
            }
            dense_distances(p, s->codes, n, s->distances);
            for (uint32_t i = 0; i < n; i++) {
                if (!(s->distances[i] < best.distance)) continue;
                best = (dense_candidate){s->distances[i], s->nodes[i]};
                nearer = true;
            }
        }
    }
    return best;
}
