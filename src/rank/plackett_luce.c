#include "rank/plackett_luce.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* A member of the window: its place in the order as ranked, and its score in temperatures below the best. */
typedef struct member {
    double z;
    uint32_t index;
} member;

/* The window of positions that are drawn: [first, end). Empty where nothing is. */
typedef struct window {
    size_t first, end;
} window;

static window window_of(const plackett_luce_config *c, size_t n) {
    size_t first = c->fixed < n ? c->fixed : n, end = c->top < n ? c->top : n;
    if (end > first + PLACKETT_LUCE_MAX) end = first + PLACKETT_LUCE_MAX;
    if (!(c->temperature > 0) || end < first + 2) return (window){first, first};
    return (window){first, end};
}

/* NaN lowest; of equals the one that stood higher. */
static int best_first(const void *x, const void *y) {
    const member *p = x, *q = y;
    if (isnan(p->z) != isnan(q->z)) return isnan(p->z) ? 1 : -1;
    if (p->z != q->z && !isnan(p->z)) return p->z > q->z ? -1 : 1;
    return (p->index > q->index) - (p->index < q->index);
}

/* Temperatures between neighbours of the sorted window. Infinite less the same infinite is no gap. */
static double gap_between(double above, double below, double temperature) {
    if (isnan(above) || above == below) return 0;
    if (isnan(below)) return PLACKETT_LUCE_GAP;
    double gap = (above - below) / temperature;
    return gap < PLACKETT_LUCE_GAP ? gap : PLACKETT_LUCE_GAP;
}

/* z[i − first] of every member, in the order as ranked. */
static void reduce(const plackett_luce_config *c, const float *score, window w, double *z) {
    size_t n = w.end - w.first;
    member list[PLACKETT_LUCE_MAX];
    double below = 0;
    for (size_t i = 0; i < n; i++) list[i] = (member){(double)score[w.first + i], (uint32_t)i};
    qsort(list, n, sizeof *list, best_first);
    for (size_t i = 0; i < n; i++) {
        if (i) below -= gap_between(list[i - 1].z, list[i].z, c->temperature);
        z[list[i].index] = below;
    }
}

/* log of a sum of exponentials, kept as the greatest term and what is beside it, so that nothing is lost far below 0. */
typedef struct log_sum {
    double greatest, rest; /* sum = exp(greatest) × exp(rest); rest >= 0 */
} log_sum;

static log_sum log_add(log_sum s, double z) {
    if (z <= s.greatest) return (log_sum){s.greatest, s.rest + log1p(exp(z - s.greatest - s.rest))};
    return (log_sum){z, log1p(exp(s.greatest - z + s.rest))};
}

/* log P(z is taken first of what s sums up); 0 when it is alone. */
static double log_share(double z, log_sum s) { return (z - s.greatest) - s.rest; }

/* share[k] = log P(the k-th of the sequence | those before it), z in the order drawn. */
static void log_shares(const double *z, size_t n, double *share) {
    log_sum s = {-INFINITY, 0};
    for (size_t k = n; k-- > 0;) {
        s = k + 1 == n ? (log_sum){z[k], 0} : log_add(s, z[k]);
        share[k] = log_share(z[k], s);
    }
}

static double gumbel(random_source *random) {
    double u = random_double(random);
    return -log(-log(u + 0x1.0p-54)); /* in (0, 1): a half step up */
}

static double entropy_of(const double *z, size_t n, const log_sum *s) {
    double entropy = 0;
    for (size_t i = 0; i < n; i++) {
        double share = log_share(z[i], *s);
        entropy -= exp(share) * share;
    }
    return fmax(0, entropy);
}

/* P(first open position) of every member. */
static double first_position(const double *z, size_t n, float *first) {
    log_sum s = {z[0], 0};
    for (size_t i = 1; i < n; i++) s = log_add(s, z[i]);
    for (size_t i = 0; i < n && first; i++) first[i] = (float)exp(log_share(z[i], s));
    return entropy_of(z, n, &s);
}

static void as_ranked(const plackett_luce_config *c, size_t n, size_t open, uint32_t *order, float *placement, float *first) {
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = 0; i < n && i < c->shown && placement; i++) placement[i] = 1;
    for (size_t i = 0; i < n && first; i++) first[i] = i < open;
}

plackett_luce_draw plackett_luce_sample(const plackett_luce_config *c, const float *score, size_t n, random_source *random,
                                        uint32_t *order, float *placement, float *first) {
    window w = window_of(c, n);
    size_t size = w.end - w.first;
    plackett_luce_draw out = {0, 0};
    /* Nothing is open: the first position after the fixed ones goes to whoever stands there. */
    as_ranked(c, n, size ? w.first : w.first + 1, order, placement, first);
    if (!size) return out;
    double z[PLACKETT_LUCE_MAX], drawn[PLACKETT_LUCE_MAX], share[PLACKETT_LUCE_MAX];
    member list[PLACKETT_LUCE_MAX];
    reduce(c, score, w, z);
    out.entropy = first_position(z, size, first ? first + w.first : NULL);
    for (size_t i = 0; i < size; i++) list[i] = (member){z[i] + gumbel(random), (uint32_t)i};
    qsort(list, size, sizeof *list, best_first);
    for (size_t k = 0; k < size; k++) {
        order[w.first + k] = (uint32_t)w.first + list[k].index;
        drawn[k] = z[list[k].index];
    }
    log_shares(drawn, size, share);
    for (size_t k = 0; k < size && w.first + k < c->shown; k++) {
        out.log_propensity += share[k];
        if (placement) placement[w.first + k] = (float)exp(share[k]);
    }
    return out;
}

double plackett_luce_log_propensity(const plackett_luce_config *c, const float *score, size_t n, const uint32_t *order) {
    window w = window_of(c, n);
    size_t size = w.end - w.first, shown = c->shown < n ? c->shown : n;
    double z[PLACKETT_LUCE_MAX], drawn[PLACKETT_LUCE_MAX], share[PLACKETT_LUCE_MAX], sum = 0;
    bool placed[PLACKETT_LUCE_MAX] = {false};
    for (size_t i = 0; i < shown; i++) {
        assert(order[i] < n);
        bool inside = i >= w.first && i < w.end;
        if (inside ? order[i] < w.first || order[i] >= w.end : order[i] != i) return -INFINITY;
    }
    if (!size) return 0;
    reduce(c, score, w, z);
    size_t k = 0;
    for (; k < size && w.first + k < shown; k++) {
        size_t member_of = order[w.first + k] - w.first;
        if (placed[member_of]) return -INFINITY; /* named twice */
        placed[member_of] = true;
        drawn[k] = z[member_of];
    }
    size_t wanted = k;
    for (size_t i = 0; i < size; i++) /* those that are not shown, in any order */
        if (!placed[i]) drawn[k++] = z[i];
    log_shares(drawn, size, share);
    for (size_t i = 0; i < wanted; i++) sum += share[i];
    return sum;
}
