/* The sliced programs with 256-bit words. This file alone is compiled for AVX2; forest.c asks the processor first. */
#include "rank/forest_sliced.h"

#if defined(__x86_64__)
#include <immintrin.h>

enum { BLOCK = 256 };

#define INLINE static inline __attribute__((always_inline))

/* ---- Comparisons ---- */

/* The rank among up to 256 thresholds: which block of 16, then where in it. */
INLINE uint32_t rank_in(const float *blocks, __m256 x) {
    uint32_t low = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(blocks), x, _CMP_LE_OQ));
    uint32_t high = (uint32_t)_mm256_movemask_ps(_mm256_cmp_ps(_mm256_loadu_ps(blocks + 8), x, _CMP_LE_OQ));
    return (uint32_t)_mm_popcnt_u32(low | high << 8);
}

INLINE uint32_t rank_of(const float *blocks, float x) {
    __m256 all = _mm256_set1_ps(x);
    uint32_t block = rank_in(blocks, all);
    return 16 * block + rank_in(blocks + 16 + 16 * block, all);
}

static void rank_rows(const forest *f, uint32_t c, const float *values, size_t n, uint64_t *ranks, size_t W) {
    const forest_column *column = &f->column[c];
    const float *blocks = f->blocks + f->block[c];
    for (size_t d = 0; d < n; d++) {
        uint32_t rank;
        if (column->n_thresholds < 16) rank = rank_in(blocks + 16, _mm256_set1_ps(values[d]));
        else if (column->n_thresholds <= 256) rank = rank_of(blocks, values[d]);
        else rank = sliced_rank(f->thresholds + column->threshold, column->n_thresholds, values[d]);
        rank = values[d] != values[d] ? column->n_thresholds + 1 : rank;
        ranks[rank * W + d / 64] |= 1ull << (d % 64);
    }
}

/* ---- Selections ---- */

INLINE __m256i load4(const uint64_t *p) { return _mm256_loadu_si256((const __m256i *)(const void *)p); }
INLINE void store4(uint64_t *p, __m256i v) { _mm256_storeu_si256((__m256i *)(void *)p, v); }

/* sliced_unite and sliced_run for four words: the compiler cannot know that slots do not overlap. */
static void unite4(const forest *f, const forest_column *c, const uint64_t *ranks, uint64_t *slots) {
    const uint8_t *uses = f->uses + c->threshold;
    uint64_t *slot = slots + 4 * (size_t)c->first;
    __m256i missing = load4(ranks + 4 * ((size_t)c->n_thresholds + 1)), all = _mm256_setzero_si256();
    for (uint32_t k = 0; k < c->n_thresholds; k++) {
        all = _mm256_or_si256(all, load4(ranks + 4 * k));
        store4(slot, all);
        slot += 4 * (uses[k] & USES_RIGHT);
        store4(slot, _mm256_or_si256(all, missing));
        slot += 4 * (uses[k] >> 1);
    }
}

static void run4(const slice_op *op, uint32_t n_ops, const uint64_t *slots, uint64_t *out) {
    for (uint32_t k = 0; k < n_ops; k++, out += 4) {
        __m256i mask = load4(slots + 4 * (size_t)op[k].mask), b = load4(slots + 4 * (size_t)op[k].b);
        __m256i apart = _mm256_xor_si256(load4(slots + 4 * (size_t)op[k].a), b);
        store4(out, _mm256_xor_si256(b, _mm256_and_si256(apart, mask)));
    }
}

static void run2(const slice_op *op, uint32_t n_ops, const uint64_t *slots, uint64_t *out) {
    for (uint32_t k = 0; k < n_ops; k++, out += 2) {
        __m128i mask = _mm_loadu_si128((const __m128i *)(const void *)(slots + 2 * (size_t)op[k].mask));
        __m128i a = _mm_loadu_si128((const __m128i *)(const void *)(slots + 2 * (size_t)op[k].a));
        __m128i b = _mm_loadu_si128((const __m128i *)(const void *)(slots + 2 * (size_t)op[k].b));
        _mm_storeu_si128((__m128i *)(void *)out, _mm_xor_si128(b, _mm_and_si128(_mm_xor_si128(a, b), mask)));
    }
}

/* ---- Leaves ---- */

/* 32 rows' bits as 32 bytes, all ones where the bit is set. */
INLINE __m256i spread(const uint8_t *bits) {
    const __m256i source = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    int32_t word;
    memcpy(&word, bits, 4);
    __m256i bytes = _mm256_shuffle_epi8(_mm256_set1_epi32(word), source);
    return _mm256_cmpeq_epi8(_mm256_and_si256(bytes, bit), bit);
}

/* table[number] of 32 rows: the number's four low bits find a byte among sixteen, each further bit halves the tables. */
INLINE __m256i pick(const uint8_t *table, __m256i low, const __m256i *high, int levels) {
    __m256i found[16];
    for (int i = 0; i < 1 << levels; i++) {
        __m128i sixteen = _mm_loadu_si128((const __m128i *)(const void *)(table + 16 * i));
        found[i] = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(sixteen), low);
    }
    for (int level = 0; level < levels; level++)
        for (int i = 0; i < 1 << (levels - 1 - level); i++)
            found[i] = _mm256_blendv_epi8(found[2 * i], found[2 * i + 1], high[level]);
    return found[0];
}

INLINE void add8(float *sums, __m256i values) {
    _mm256_store_ps(sums, _mm256_add_ps(_mm256_load_ps(sums), _mm256_castsi256_ps(values)));
}

/* Adds the leaves of 32 rows, whose bits begin `byte` bytes into each slot. */
INLINE void add32(const uint8_t *table, const uint8_t *const *plane, size_t byte, float *sums, int low_planes, int levels) {
    __m256i low = _mm256_setzero_si256(), high[4];
    for (int p = 0; p < low_planes; p++)
        low = _mm256_or_si256(low, _mm256_and_si256(spread(plane[p] + byte), _mm256_set1_epi8((char)(1 << p))));
    for (int p = 0; p < levels; p++) high[p] = spread(plane[4 + p] + byte);
    size_t size = (size_t)16 << levels;
    __m256i b0 = pick(table, low, high, levels), b1 = pick(table + size, low, high, levels);
    __m256i b2 = pick(table + 2 * size, low, high, levels), b3 = pick(table + 3 * size, low, high, levels);
    __m256i b01 = _mm256_unpacklo_epi8(b0, b1), b23 = _mm256_unpacklo_epi8(b2, b3);
    __m256i c01 = _mm256_unpackhi_epi8(b0, b1), c23 = _mm256_unpackhi_epi8(b2, b3);
    __m256i r0 = _mm256_unpacklo_epi16(b01, b23), r1 = _mm256_unpackhi_epi16(b01, b23);
    __m256i r2 = _mm256_unpacklo_epi16(c01, c23), r3 = _mm256_unpackhi_epi16(c01, c23);
    /* unpacking works in halves: r0 has rows 0–3 and 16–19, r1 4–7 and 20–23, … */
    add8(sums, _mm256_permute2x128_si256(r0, r1, 0x20));
    add8(sums + 8, _mm256_permute2x128_si256(r2, r3, 0x20));
    add8(sums + 16, _mm256_permute2x128_si256(r0, r1, 0x31));
    add8(sums + 24, _mm256_permute2x128_si256(r2, r3, 0x31));
}

static void add_leaves(const forest *f, const slice_tree *s, const uint64_t *slots, size_t W, size_t n, float *sums) {
    const uint8_t *table = f->table_bytes + 4 * (size_t)s->table, *plane[SLICE_MAX_PLANES];
    for (uint32_t p = 0; p < s->n_planes; p++) plane[p] = (const uint8_t *)(slots + s->plane[p] * W);
    for (uint32_t p = s->n_planes; p < 4; p++) plane[p] = (const uint8_t *)(slots + SLICE_ZEROS * W);
    switch (s->n_planes) {
    case 5:
        for (size_t d = 0; d < n; d += 32) add32(table, plane, d / 8, sums + d, 4, 1);
        break;
    case 6:
        for (size_t d = 0; d < n; d += 32) add32(table, plane, d / 8, sums + d, 4, 2);
        break;
    case 7:
        for (size_t d = 0; d < n; d += 32) add32(table, plane, d / 8, sums + d, 4, 3);
        break;
    case 8:
        for (size_t d = 0; d < n; d += 32) add32(table, plane, d / 8, sums + d, 4, 4);
        break;
    case 9:
    case 10:
        for (size_t g = 0; 8 * g < n; g++) sliced_add8(f, s, slots, W, g, sums);
        break;
    default:
        for (size_t d = 0; d < n; d += 32) add32(table, plane, d / 8, sums + d, 4, 0);
    }
}

/* ---- Blocks ---- */

static void fill_slots(const forest *f, const float *x, size_t n, size_t stride, uint64_t *slots, size_t W) {
    float values[BLOCK];
    uint64_t *ranks = slots + f->temporary * W;
    memset(slots + SLICE_ZEROS * W, 0, W * sizeof *slots);
    memset(slots + SLICE_ONES * W, 0xff, W * sizeof *slots);
    for (uint32_t c = 0; c < f->n_columns; c++) {
        const forest_column *column = &f->column[c];
        sliced_values(f, column, x, n, stride, values);
        memset(ranks, 0, (column->n_thresholds + SLICE_RANKS) * W * sizeof *ranks);
        rank_rows(f, c, values, n, ranks, W);
        if (W == 4) unite4(f, column, ranks, slots);
        else if (W == 2) sliced_unite(f, column, ranks, slots, 2);
        else sliced_unite(f, column, ranks, slots, 1);
    }
}

static void score_block(const forest *f, const float *x, size_t n, size_t stride, uint64_t *slots, size_t W, float *scores) {
    _Alignas(32) float sums[BLOCK];
    fill_slots(f, x, n, stride, slots, W);
    for (size_t d = 0; d < BLOCK; d++) sums[d] = f->base;
    uint64_t *temporary = slots + f->temporary * W;
    for (uint32_t t = 0; t < f->n_trees; t++) {
        const slice_tree *s = &f->slice[t];
        if (W == 4) run4(f->op + s->op, s->n_ops, slots, temporary);
        else if (W == 2) run2(f->op + s->op, s->n_ops, slots, temporary);
        else sliced_run(f->op + s->op, s->n_ops, slots, temporary, 1);
        add_leaves(f, s, slots, W, n, sums);
    }
    memcpy(scores, sums, n * sizeof *sums);
}

void forest_score_avx2(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores) {
    for (size_t first = 0, rows; first < n; first += rows) {
        rows = n - first < BLOCK ? n - first : BLOCK;
        size_t W = rows <= 64 ? 1 : rows <= 128 ? 2 : 4;
        score_block(f, x + first * stride, rows, stride, scratch, W, scores + first);
    }
}
#endif
