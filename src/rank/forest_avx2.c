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

static void put_rows(const forest *f, uint32_t c, const float *values, size_t n, uint64_t *slots, size_t W) {
    const forest_column *column = &f->column[c];
    const float *blocks = f->blocks + f->block[c];
    for (size_t d = 0; d < n; d++) {
        uint32_t slot = column->first;
        if (column->n_thresholds <= 16) slot += rank_in(blocks + 16, _mm256_set1_ps(values[d]));
        else if (column->n_thresholds <= 256) slot += rank_of(blocks, values[d]);
        else slot += sliced_rank(f->thresholds + column->threshold, column->n_thresholds, values[d]);
        slot = values[d] != values[d] ? column->nan_slot : slot;
        slots[slot * W + d / 64] |= 1ull << (d % 64);
    }
}

static void fill_slots(const forest *f, const float *x, size_t n, size_t stride, uint64_t *slots, size_t W) {
    float values[BLOCK];
    memset(slots, 0, f->temporary * W * sizeof *slots);
    memset(slots + SLICE_ONES * W, 0xff, W * sizeof *slots);
    for (uint32_t c = 0; c < f->n_columns; c++) {
        sliced_values(f, &f->column[c], x, n, stride, values);
        put_rows(f, c, values, n, slots, W);
        if (W == 4) sliced_unite(&f->column[c], slots, 4);
        else if (W == 2) sliced_unite(&f->column[c], slots, 2);
        else sliced_unite(&f->column[c], slots, 1);
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

static void score_block(const forest *f, const float *x, size_t n, size_t stride, uint64_t *slots, size_t W, float *scores) {
    _Alignas(32) float sums[BLOCK];
    fill_slots(f, x, n, stride, slots, W);
    for (size_t d = 0; d < BLOCK; d++) sums[d] = f->base;
    uint64_t *temporary = slots + f->temporary * W;
    for (uint32_t t = 0; t < f->n_trees; t++) {
        const slice_tree *s = &f->slice[t];
        if (W == 4) sliced_run(f->op + s->op, s->n_ops, slots, temporary, 4);
        else if (W == 2) sliced_run(f->op + s->op, s->n_ops, slots, temporary, 2);
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
