#include "rank/diversity.h"

#include <float.h>
#include <math.h>

static float weight_of(const diversity_attributes *a, uint32_t at) {
    if (!a->weight) return 1;
    float w = a->weight[at];
    return w > 0 && w <= FLT_MAX ? w : 0;
}

/* One walk over both sorted lists: the smaller weight where both have the attribute, the greater everywhere. */
float diversity_similarity(const diversity_attributes *a, size_t i, size_t j) {
    uint32_t p = a->first[i], q = a->first[j], p_end = a->first[i + 1], q_end = a->first[j + 1];
    double common = 0, all = 0; /* of floats: no sum of them overflows */
    while (p < p_end && q < q_end) {
        uint32_t x = a->attribute[p], y = a->attribute[q];
        double wx = (double)weight_of(a, p), wy = (double)weight_of(a, q);
        if (x == y) {
            common += fmin(wx, wy);
            all += fmax(wx, wy);
        } else {
            all += x < y ? wx : wy;
        }
        p += x <= y;
        q += y <= x;
    }
    for (; p < p_end; p++) all += (double)weight_of(a, p);
    for (; q < q_end; q++) all += (double)weight_of(a, q);
    return all > 0 ? (float)(common / all) : 0;
}

/* Scaled to 0 … 1 over the window; infinite scores are finite at their end, NaN is the least. */
static void scale_relevance(const float *score, size_t n, float *relevance) {
    double low = INFINITY, high = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        double s = score ? (double)score[i] : -(double)i;
        s = isnan(s) ? -(double)FLT_MAX : fmax(-(double)FLT_MAX, fmin((double)FLT_MAX, s));
        low = fmin(low, s);
        high = fmax(high, s);
    }
    for (size_t i = 0; i < n; i++) {
        double s = score ? (double)score[i] : -(double)i;
        s = isnan(s) ? -(double)FLT_MAX : fmax(-(double)FLT_MAX, fmin((double)FLT_MAX, s));
        relevance[i] = high > low ? (float)((s - low) / (high - low)) : 1;
    }
}

/* What is left of the window, in the order as ranked. left[i]: index; removal keeps the order, so that the first of equals
 * is the one that stood higher. */
typedef struct pool {
    uint32_t *left;
    size_t n;
    float *relevance, *similar; /* by index; similar: to the most similar one placed */
} pool;

static size_t best_of(const pool *p, double lambda) {
    size_t best = 0;
    double greatest = -INFINITY;
    for (size_t k = 0; k < p->n; k++) {
        uint32_t i = p->left[k];
        double value = lambda * (double)p->relevance[i] - (1 - lambda) * (double)p->similar[i];
        if (value <= greatest) continue;
        greatest = value;
        best = k;
    }
    return best;
}

static uint32_t take(pool *p, size_t k) {
    uint32_t taken = p->left[k];
    for (p->n--; k < p->n; k++) p->left[k] = p->left[k + 1];
    return taken;
}

static void note_placed(pool *p, const diversity_attributes *attributes, uint32_t placed) {
    for (size_t k = 0; k < p->n; k++) {
        uint32_t i = p->left[k];
        if (p->similar[i] < 1) p->similar[i] = fmaxf(p->similar[i], diversity_similarity(attributes, i, placed));
    }
}

void diversity_rerank(const float *score, const diversity_attributes *attributes, size_t n, size_t top, size_t placed,
                      double strength, arena *scratch, uint32_t *order, float *redundancy) {
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = 0; i < n && redundancy; i++) redundancy[i] = 0;
    if (top > n) top = n;
    if (placed > top) placed = top;
    double lambda = strength > 0 ? 1 - fmin(1, strength) : 1;
    if (lambda == 1 && !redundancy) return;
    pool p = {arena_alloc(scratch, top * sizeof *p.left), top, arena_alloc(scratch, top * sizeof *p.relevance),
              arena_zalloc(scratch, top, sizeof *p.similar)};
    scale_relevance(score, top, p.relevance);
    for (size_t i = 0; i < top; i++) p.left[i] = (uint32_t)i;
    for (size_t position = 0; position < placed; position++) {
        uint32_t chosen = take(&p, lambda < 1 ? best_of(&p, lambda) : 0);
        order[position] = chosen;
        if (redundancy) redundancy[position] = p.similar[chosen];
        note_placed(&p, attributes, chosen);
    }
    for (size_t k = 0; k < p.n; k++) order[placed + k] = p.left[k];
}
