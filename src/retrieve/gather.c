#include "retrieve/gather.h"

#include "base/hash.h"

#include <stdlib.h>

void gather_init(gather *g, size_t most, arena *a) {
    g->slots = 16;
    while (g->slots * 3 < most * 4) g->slots *= 2;
    g->found = arena_zalloc(a, g->slots, sizeof *g->found);
    g->n = 0;
}

static sparse_hit *slot_of(const gather *g, uint32_t document) {
    size_t at = hash64(&document, sizeof document, 0) & (g->slots - 1);
    while (g->found[at].score > 0 && g->found[at].document != document) at = (at + 1) & (g->slots - 1);
    return &g->found[at];
}

void gather_add(gather *g, uint32_t document, float score) {
    if (!(score > 0)) return;
    sparse_hit *slot = slot_of(g, document);
    if (slot->score > 0) {
        slot->score += score;
        return;
    }
    if (g->n * 4 >= g->slots * 3) return;
    *slot = (sparse_hit){document, score};
    g->n++;
}

float gather_score(const gather *g, uint32_t document) { return slot_of(g, document)->score; }

static int best_first(const void *x, const void *y) {
    const sparse_hit *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

size_t gather_take(gather *g, size_t depth, sparse_hit *hits) {
    size_t n = 0;
    for (size_t i = 0; i < g->slots; i++)
        if (g->found[i].score > 0) g->found[n++] = g->found[i];
    if (n) qsort(g->found, n, sizeof *g->found, best_first);
    if (n > depth) n = depth;
    for (size_t i = 0; i < n; i++) hits[i] = g->found[i];
    return n;
}
