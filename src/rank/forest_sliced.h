/* What the sliced scorers share. A block has up to 64 × W rows; slot s is W words from slots + s × W; row d is bit d % 64 of
 * word d / 64. The functions are inlined where W is a constant. */
#ifndef RANK_FOREST_SLICED_H
#define RANK_FOREST_SLICED_H

#include "rank/forest_compile.h"

#include <string.h>

#define SLICED_INLINE static inline __attribute__((always_inline))

/* The values of a column of n rows. */
SLICED_INLINE void sliced_values(const forest *f, const forest_column *c, const float *x, size_t n, size_t stride,
                                 float *values) {
    uint32_t source = f->source[c->feature];
    if (source == FOREST_ABSENT) {
        for (size_t d = 0; d < n; d++) values[d] = NAN;
        return;
    }
    for (size_t d = 0; d < n; d++) values[d] = x[d * stride + source];
    if (c->kind != NODE_NUMBER)
        for (size_t d = 0; d < n; d++) values[d] = forest_column_value(f, c, values[d]);
}

/* How many of n ascending thresholds are <= x; 0 for NaN. The steps do not depend on x. */
SLICED_INLINE uint32_t sliced_rank(const float *thresholds, uint32_t n, float x) {
    const float *base = thresholds;
    while (n > 1) {
        uint32_t half = n / 2;
        base += base[half - 1] <= x ? half : 0;
        n -= half;
    }
    return (uint32_t)(base - thresholds) + (n && *base <= x);
}

/* ranks[k]: the rows that reach k of the column's thresholds; the last but one of its slots: all; the last: those without
 * value. A row goes left at threshold k when it reaches k or fewer: masks are running unions. Which of both masks a
 * threshold has is not branched on: what is not wanted is overwritten by the next. */
SLICED_INLINE void sliced_unite(const forest *f, const forest_column *c, const uint64_t *ranks, uint64_t *slots, size_t W) {
    const uint64_t *missing = ranks + (c->n_thresholds + 1) * W;
    const uint8_t *uses = f->uses + c->threshold;
    uint64_t all[4] = {0}, *slot = slots + c->first * W;
    for (uint32_t k = 0; k < c->n_thresholds; k++, ranks += W) {
        for (size_t i = 0; i < W; i++) slot[i] = all[i] |= ranks[i];
        slot += (uses[k] & USES_RIGHT) * W;
        for (size_t i = 0; i < W; i++) slot[i] = all[i] | missing[i];
        slot += (uint32_t)(uses[k] >> 1) * W;
    }
}

SLICED_INLINE void sliced_run(const slice_op *op, uint32_t n_ops, uint64_t *slots, uint64_t *out, size_t W) {
    for (uint32_t k = 0; k < n_ops; k++, out += W) {
        const uint64_t *mask = slots + op[k].mask * W, *a = slots + op[k].a * W, *b = slots + op[k].b * W;
        for (size_t i = 0; i < W; i++) out[i] = b[i] ^ ((a[i] ^ b[i]) & mask[i]);
    }
}

/* Byte p has plane p of 8 rows; afterwards byte d has the planes of row d: an 8 × 8 transposition in three exchanges. */
SLICED_INLINE uint64_t sliced_transpose(uint64_t x) {
    uint64_t t = (x ^ x >> 7) & 0x00aa00aa00aa00aaull;
    x ^= t ^ t << 7;
    t = (x ^ x >> 14) & 0x0000cccc0000ccccull;
    x ^= t ^ t << 14;
    t = (x ^ x >> 28) & 0x00000000f0f0f0f0ull;
    return x ^ t ^ t << 28;
}

/* Adds the leaves of rows 8 g … 8 g + 7. */
SLICED_INLINE void sliced_add8(const forest *f, const slice_tree *s, const uint64_t *slots, size_t W, size_t g,
                               float *sums) {
    const float *table = f->table + s->table;
    uint64_t low = 0, high = 0;
    for (uint32_t p = 0; p < s->n_planes; p++) {
        uint64_t byte = ((const uint8_t *)(slots + s->plane[p] * W))[g];
        if (p < 8) low |= byte << 8 * p;
        else high |= byte << 8 * (p - 8);
    }
    low = sliced_transpose(low);
    high = high ? sliced_transpose(high) : 0;
    for (size_t d = 0; d < 8; d++) sums[8 * g + d] += table[(low >> 8 * d & 0xff) | (high >> 8 * d & 0xff) << 8];
}

#endif
