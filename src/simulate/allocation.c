#include "simulate/allocation.h"

#include "simulate/curve.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FUSION_K 60.0

void allocation_release(allocation *a) {
    free(a->found);
    *a = (allocation){0};
}

static allocation empty(const trial *t) { return (allocation){.found = mem_zalloc(t->n + 1, sizeof(double))}; }

/* Adds the plan of these depths, at this weight. */
static void add_depths(const trial *t, const uint32_t *depth, double weight, allocation *out) {
    bool *seen = mem_zalloc(t->most_documents + 1, sizeof *seen);
    double found = 0, cost = 0;
    for (size_t i = 0; i < t->n; i++) {
        const trial_row *row = &t->rows[i];
        bool has = false;
        for (uint32_t s = 0; s < t->n_strategies; s++) has |= row->rank[s] && row->rank[s] <= depth[s];
        out->found[i] += weight * has;
        found += has;
        cost += trial_union(t, row, depth, seen);
    }
    free(seen);
    for (uint32_t s = 0; s < t->n_strategies; s++) out->depth[s] += weight * depth[s];
    if (!t->n) return;
    out->recall += weight * found / (double)t->n;
    out->cost += weight * cost / (double)t->n;
}

/* Two plans in the proportion that meets the budget; `below` alone when `above` is not dearer. */
static void add_mixture(const trial *t, const uint32_t *below, double below_cost, const uint32_t *above, double above_cost,
                        double budget, allocation *out) {
    double share = above_cost > below_cost ? (budget - below_cost) / (above_cost - below_cost) : 0;
    share = fmax(0, fmin(1, share));
    if (share < 1) add_depths(t, below, 1 - share, out);
    if (share > 0) add_depths(t, above, share, out);
}

void allocation_single(const trial *t, uint32_t strategy, double budget, allocation *out) {
    uint32_t below[POLICY_MAX_STRATEGIES] = {0}, above[POLICY_MAX_STRATEGIES] = {0}, d = 0;
    curve *c = curve_create(t);
    curve_along(c, below, strategy);
    while (d < t->deepest && c->cost[d + 1] <= budget) d++;
    below[strategy] = d;
    above[strategy] = d < t->deepest ? d + 1 : d;
    *out = empty(t);
    add_mixture(t, below, c->cost[below[strategy]], above, c->cost[above[strategy]], budget, out);
    curve_destroy(c);
}

static double equal_cost(const trial *t, uint32_t depth, bool *seen) {
    uint32_t all[POLICY_MAX_STRATEGIES];
    double sum = 0;
    for (uint32_t s = 0; s < t->n_strategies; s++) all[s] = depth;
    for (size_t i = 0; i < t->n; i++) sum += trial_union(t, &t->rows[i], all, seen);
    return t->n ? sum / (double)t->n : 0;
}

void allocation_equal(const trial *t, double budget, allocation *out) {
    bool *seen = mem_zalloc(t->most_documents + 1, sizeof *seen);
    uint32_t low = 0, high = t->deepest + 1, below[POLICY_MAX_STRATEGIES], above[POLICY_MAX_STRATEGIES];
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (equal_cost(t, middle, seen) <= budget) low = middle;
        else high = middle;
    }
    if (high > t->deepest) high = low;
    for (uint32_t s = 0; s < t->n_strategies; s++) below[s] = low, above[s] = high;
    *out = empty(t);
    add_mixture(t, below, equal_cost(t, low, seen), above, equal_cost(t, high, seen), budget, out);
    free(seen);
}

/* ---- Fusion ---- */

typedef struct fused {
    double score;
    uint32_t document; /* number within the row: that of its first list, so that ties go to the earlier strategy */
} fused;

static int best_first(const void *x, const void *y) {
    const fused *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

/* The number within the row of the document that was wanted; UINT32_MAX: in no list. */
static uint32_t wanted_in(const trial *t, const trial_row *row) {
    for (uint32_t s = 0; s < t->n_strategies; s++)
        if (row->rank[s]) return row->list[s][row->rank[s] - 1];
    return UINT32_MAX;
}

void allocation_fusion(const trial *t, double budget, allocation *out) {
    fused *all = mem_zalloc(t->most_documents + 1, sizeof *all);
    uint32_t keep = budget > 0 ? (uint32_t)budget : 0;
    *out = empty(t);
    for (size_t i = 0; i < t->n; i++) {
        const trial_row *row = &t->rows[i];
        uint32_t wanted = wanted_in(t, row), n = row->n_documents < keep ? row->n_documents : keep;
        for (uint32_t k = 0; k < row->n_documents; k++) all[k] = (fused){0, k};
        for (uint32_t s = 0; s < t->n_strategies; s++)
            for (uint32_t k = 0; k < row->length[s]; k++) all[row->list[s][k]].score += 1 / (FUSION_K + k + 1);
        qsort(all, row->n_documents, sizeof *all, best_first);
        for (uint32_t k = 0; k < n; k++)
            if (all[k].document == wanted) out->found[i] = 1;
        out->recall += out->found[i] / (double)t->n;
        out->cost += n / (double)t->n;
    }
    for (uint32_t s = 0; s < t->n_strategies; s++) out->depth[s] = t->deepest;
    free(all);
}

/* ---- In hindsight ---- */

void allocation_oracle(const trial *t, double budget, allocation *out) {
    *out = empty(t);
    for (size_t i = 0; i < t->n; i++) {
        const trial_row *row = &t->rows[i];
        uint32_t best = UINT32_MAX, which = 0;
        for (uint32_t s = 0; s < t->n_strategies; s++)
            if (row->rank[s] && row->rank[s] < best) best = row->rank[s], which = s;
        if (best > budget) continue; /* one strategy down to the document is the cheapest that has it */
        out->found[i] = 1;
        out->recall += 1 / (double)t->n;
        out->cost += best / (double)t->n;
        out->depth[which] += best / (double)t->n;
    }
}

void allocation_fixed(const trial *t, double budget, uint64_t seed, allocation *out) {
    curve *c = curve_create(t);
    curve_search(c, budget, seed);
    *out = empty(t);
    add_mixture(t, c->below.depth, c->below.cost, c->above.depth, c->above.cost, budget, out);
    curve_destroy(c);
}
