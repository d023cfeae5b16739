/* Sixteen values at a time with 512-bit vectors, whose masks select lanes and whose compression moves them to the front;
 * compressing into a register and storing all of it is fast on every processor, compressing into memory is not. Compiled
 * for AVX-512; kernel.c asks the processor first. What is not here, AVX2 does as well: blocks, whose rows of four would only
 * wait for more shuffles, and the scattered sums, which lie apart. */
#include "kernel/kernel_avx2.h"
#include "kernel/kernel_tables.h"

enum { LANES = 16 };

typedef __m512i sixteen; /* 32-bit lanes */

INLINE sixteen load16(const void *p) { return _mm512_loadu_si512(p); }
INLINE void store16(void *p, sixteen v) { _mm512_storeu_si512(p, v); }
INLINE sixteen all(uint32_t value) { return _mm512_set1_epi32((int)value); }
INLINE sixteen count_up(void) { return _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15); }
INLINE unsigned ones(uint64_t word) { return (unsigned)_mm_popcnt_u64(word); }

/* The first n (0 … 16, 64) lanes: what is left at the end of an array. */
INLINE __mmask16 lanes_below(uint32_t n) { return (__mmask16)_bzhi_u32(0xffff, n); }
INLINE __mmask64 bytes_below(uint32_t n) { return _bzhi_u64(UINT64_MAX, n); }

/* units × impacts + 1 of sixteen impacts. */
INLINE sixteen weigh(sixteen impacts, sixteen units) { return _mm512_add_epi32(_mm512_mullo_epi32(impacts, units), all(1)); }

/* ---- Scoring ---- */

static uint32_t collect_sums(uint32_t *sums, uint32_t n, uint32_t least, const uint64_t *bits, uint32_t *offsets,
                             uint32_t *out_sums) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += 64) {
        uint64_t wanted = bits ? bits[i / 64] : UINT64_MAX;
        for (uint32_t at = i; at < i + 64; at += LANES, wanted >>= LANES) {
            sixteen v = load16(sums + at);
            __mmask16 selected = _mm512_mask_cmpge_epu32_mask((__mmask16)wanted, v, all(least));
            store16(sums + at, _mm512_setzero_si512());
            if (!selected) continue;
            store16(offsets + found, _mm512_maskz_compress_epi32(selected, _mm512_add_epi32(count_up(), all(at))));
            store16(out_sums + found, _mm512_maskz_compress_epi32(selected, v));
            found += ones(selected);
        }
    }
    return found;
}

static uint32_t collect_impacts(const uint32_t *places, const uint8_t *impacts, uint32_t n, uint32_t least,
                                uint32_t units, uint32_t base, uint32_t *out_places, uint32_t *out_sums) {
    if (least > UINT8_MAX) return 0;
    const sixteen leasts = _mm512_set1_epi8((char)least);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += 64) {
        __mmask64 here = bytes_below(n - i < 64 ? n - i : 64);
        uint64_t selected = _mm512_mask_cmpge_epu8_mask(here, _mm512_maskz_loadu_epi8(here, impacts + i), leasts);
        for (uint32_t at = i; selected; at += LANES, selected >>= LANES) {
            __mmask16 lanes = (__mmask16)selected;
            if (!lanes) continue;
            sixteen place = _mm512_sub_epi32(_mm512_maskz_loadu_epi32(lanes, places + at), all(base));
            sixteen impact = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(lanes, impacts + at));
            store16(out_places + found, _mm512_maskz_compress_epi32(lanes, place));
            store16(out_sums + found, _mm512_maskz_compress_epi32(lanes, weigh(impact, all(units))));
            found += ones(lanes);
        }
    }
    return found;
}

/* Only the lanes kept are stored, and never beyond what was read. */
static uint32_t keep(uint32_t *candidates, uint32_t *sums, const uint32_t *added, uint32_t n, uint32_t need,
                     uint32_t least_added) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i += LANES) {
        __mmask16 here = lanes_below(n - i < LANES ? n - i : LANES);
        sixteen more = _mm512_maskz_loadu_epi32(here, added + i), candidate = _mm512_maskz_loadu_epi32(here, candidates + i);
        sixteen sum = _mm512_add_epi32(_mm512_maskz_loadu_epi32(here, sums + i), more);
        __mmask16 selected = _mm512_mask_cmpge_epu32_mask(here, sum, all(need));
        selected = _mm512_mask_cmpge_epu32_mask(selected, more, all(least_added));
        __mmask16 front = lanes_below(ones(selected));
        _mm512_mask_storeu_epi32(candidates + kept, front, _mm512_maskz_compress_epi32(selected, candidate));
        _mm512_mask_storeu_epi32(sums + kept, front, _mm512_maskz_compress_epi32(selected, sum));
        kept += ones(selected);
    }
    return kept;
}

static void add_bounds(uint32_t *bounds, const uint8_t *maxima, uint32_t n, uint32_t units) {
    for (uint32_t i = 0; i < n; i += LANES) {
        __mmask16 here = lanes_below(n - i < LANES ? n - i : LANES);
        sixteen m = _mm512_cvtepu8_epi32(_mm_maskz_loadu_epi8(here, maxima + i));
        sixteen more = _mm512_add_epi32(_mm512_mullo_epi32(m, all(units)), _mm512_min_epu32(m, all(1)));
        sixteen sum = _mm512_add_epi32(_mm512_maskz_loadu_epi32(here, bounds + i), more);
        _mm512_mask_storeu_epi32(bounds + i, here, sum);
    }
}

static uint8_t max_u8(const uint8_t *values, uint32_t n) {
    sixteen most = _mm512_setzero_si512();
    for (uint32_t i = 0; i < n; i += 64) {
        most = _mm512_max_epu8(most, _mm512_maskz_loadu_epi8(bytes_below(n - i < 64 ? n - i : 64), values + i));
    }
    /* Odd bytes maxed into the even ones; then 16-bit lanes hold numbers, and so do pairs of them. */
    most = _mm512_max_epu8(most, _mm512_srli_epi16(most, 8));
    most = _mm512_max_epu8(most, _mm512_srli_epi32(most, 16));
    return (uint8_t)_mm512_reduce_max_epu32(_mm512_and_si512(most, all(255)));
}

/* ---- Bit sets ---- */

static uint64_t count_ones(const uint64_t *words, size_t n) {
    sixteen a = _mm512_setzero_si512(), b = a;
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        a = _mm512_add_epi64(a, _mm512_popcnt_epi64(load16(words + i)));
        b = _mm512_add_epi64(b, _mm512_popcnt_epi64(load16(words + i + 8)));
    }
    uint64_t count = (uint64_t)_mm512_reduce_add_epi64(_mm512_add_epi64(a, b));
    for (; i < n; i++) count += ones(words[i]);
    return count;
}

#define COMBINE(NAME, VECTORS, WORDS)                                                                                  \
    static void NAME(uint64_t *a, const uint64_t *b, size_t n) {                                                       \
        size_t i = 0;                                                                                                  \
        for (; i + 8 <= n; i += 8) store16(a + i, VECTORS(load16(b + i), load16(a + i)));                              \
        for (; i < n; i++) a[i] = WORDS(a[i], b[i]);                                                                   \
    }
#define AND(x, y) ((x) & (y))
#define OR(x, y) ((x) | (y))
#define AND_NOT(x, y) ((x) & ~(y))
COMBINE(and_words, _mm512_and_si512, AND)
COMBINE(or_words, _mm512_or_si512, OR)
COMBINE(and_not_words, _mm512_andnot_si512, AND_NOT)

static uint32_t list_ones(const uint64_t *words, size_t n, uint32_t base, uint32_t *out) {
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++, base += 64) {
        uint32_t first = base;
        for (uint64_t word = words[i]; word; word >>= LANES, first += LANES) {
            __mmask16 selected = (__mmask16)word;
            store16(out + found, _mm512_maskz_compress_epi32(selected, _mm512_add_epi32(count_up(), all(first))));
            found += ones(selected);
        }
    }
    return found;
}

static void between(const double *numbers, size_t n, double low, double high, uint64_t *bits) {
    const __m512d lows = _mm512_set1_pd(low), highs = _mm512_set1_pd(high);
    for (size_t i = 0; i < n; i += 64) {
        uint64_t word = 0;
        for (unsigned j = 0; j < 64; j += 8) {
            __m512d v = _mm512_loadu_pd(numbers + i + j);
            __mmask8 inside = _mm512_mask_cmp_pd_mask(_mm512_cmp_pd_mask(lows, v, _CMP_LE_OQ), v, highs, _CMP_LE_OQ);
            word |= (uint64_t)inside << j;
        }
        bits[i / 64] = word;
    }
}

const kernel_table kernel_avx512 = {
    .name = "avx512",
    .unpack = kernel_avx2_unpack,
    .unpack_gaps = kernel_avx2_unpack_gaps,
    .sum_gaps = kernel_avx2_sum_gaps,
    .add_impacts = kernel_avx2_add_impacts,
    .collect_sums = collect_sums,
    .collect_impacts = collect_impacts,
    .keep = keep,
    .max_groups = kernel_avx2_max_groups,
    .list_at_least = kernel_avx2_list_at_least,
    .add_bounds = add_bounds,
    .max_u8 = max_u8,
    .intersect = kernel_avx2_intersect,
    .first_from = kernel_avx2_first_from,
    .count_ones = count_ones,
    .and_words = and_words,
    .or_words = or_words,
    .and_not_words = and_not_words,
    .list_ones = list_ones,
    .between = between,
};
