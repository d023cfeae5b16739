#include "kernel/dense_kernel.h"

#include <immintrin.h>
#include <stdbool.h>
#include <string.h>

static float add_lanes(__m256 sum) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1)); /* 0+4 1+5 2+6 3+7 */
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* The first n < 8 lanes; the others 0. */
static __m256i first_lanes(uint32_t n) {
    return _mm256_cmpgt_epi32(_mm256_set1_epi32((int)n), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

static __m256 load_tail(const float *a, uint32_t n) { return _mm256_maskload_ps(a, first_lanes(n)); }

static __m256 product(__m256 sum, __m256 a, __m256 b) { return _mm256_add_ps(sum, _mm256_mul_ps(a, b)); }

static __m256 difference(__m256 sum, __m256 a, __m256 b) {
    __m256 d = _mm256_sub_ps(a, b);
    return product(sum, d, d);
}

static inline __attribute__((always_inline)) float sum_over(const float *a, const float *b, uint32_t n,
                                                            __m256 (*term)(__m256, __m256, __m256)) {
    __m256 even = _mm256_setzero_ps(), odd = even; /* lanes 0 … 7 and 8 … 15 */
    uint32_t i = 0;
    for (; i + 16 <= n; i += 16) {
        even = term(even, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        odd = term(odd, _mm256_loadu_ps(a + i + 8), _mm256_loadu_ps(b + i + 8));
    }
    if (i + 8 <= n) {
        even = term(even, _mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        i += 8;
        if (i < n) odd = term(odd, load_tail(a + i, n - i), load_tail(b + i, n - i));
    } else if (i < n) {
        even = term(even, load_tail(a + i, n - i), load_tail(b + i, n - i));
    }
    return add_lanes(_mm256_add_ps(even, odd));
}

static float dot(const float *a, const float *b, uint32_t n) { return sum_over(a, b, n, product); }
static float squared_distance(const float *a, const float *b, uint32_t n) { return sum_over(a, b, n, difference); }

static float dot_and_square(const float *a, const float *b, uint32_t n, float *square) {
    __m256 even = _mm256_setzero_ps(), odd = even, even_square = even, odd_square = even;
    for (uint32_t i = 0; i < n; i += 16) {
        uint32_t left = n - i;
        bool whole = left >= 16, half = left > 8;
        __m256 x = left >= 8 ? _mm256_loadu_ps(b + i) : load_tail(b + i, left);
        __m256 y = whole ? _mm256_loadu_ps(b + i + 8) : half ? load_tail(b + i + 8, left - 8) : _mm256_setzero_ps();
        __m256 p = left >= 8 ? _mm256_loadu_ps(a + i) : load_tail(a + i, left);
        __m256 q = whole ? _mm256_loadu_ps(a + i + 8) : half ? load_tail(a + i + 8, left - 8) : _mm256_setzero_ps();
        even = product(even, p, x);
        odd = product(odd, q, y);
        even_square = product(even_square, x, x);
        odd_square = product(odd_square, y, y);
    }
    *square = add_lanes(_mm256_add_ps(even_square, odd_square));
    return add_lanes(_mm256_add_ps(even, odd));
}

static __m256i load(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }

static int32_t sum_of(__m256i v) {
    __m128i four = _mm_add_epi32(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    __m128i two = _mm_add_epi32(four, _mm_shuffle_epi32(four, 0x4e));
    return _mm_cvtsi128_si32(_mm_add_epi32(two, _mm_shuffle_epi32(two, 0xb1)));
}

/* Four sums at once. */
static __m128i sums_of(__m256i a, __m256i b, __m256i c, __m256i d) {
    __m256i all = _mm256_hadd_epi32(_mm256_hadd_epi32(a, b), _mm256_hadd_epi32(c, d));
    return _mm_add_epi32(_mm256_castsi256_si128(all), _mm256_extracti128_si256(all, 1));
}

/* A byte product of two signed vectors: |query| is unsigned and takes the code with the query's sign. Two products of 127 · 127
 * stay below 2^15, so nothing saturates. */
static __m256i product_int8(__m256i query, __m256i absolute, __m256i code, __m256i ones) {
    return _mm256_madd_epi16(_mm256_maddubs_epi16(absolute, _mm256_sign_epi8(code, query)), ones);
}

#define ALWAYS static inline __attribute__((always_inline))

ALWAYS void add_four(__m256i sums[4], __m256i q, __m256i c0, __m256i c1, __m256i c2, __m256i c3) {
    const __m256i ones = _mm256_set1_epi16(1);
    __m256i absolute = _mm256_abs_epi8(q);
    sums[0] = _mm256_add_epi32(sums[0], product_int8(q, absolute, c0, ones));
    sums[1] = _mm256_add_epi32(sums[1], product_int8(q, absolute, c1, ones));
    sums[2] = _mm256_add_epi32(sums[2], product_int8(q, absolute, c2, ones));
    sums[3] = _mm256_add_epi32(sums[3], product_int8(q, absolute, c3, ones));
}

ALWAYS __m256i load_some(const void *p, __m256i lanes) { return _mm256_maskload_epi32(p, lanes); }

static void dots_int8(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t bytes, int32_t *out) {
    uint32_t whole = bytes / KERNEL_GROUP * KERNEL_GROUP;
    __m256i lanes = first_lanes((bytes - whole) / 4);
    for (size_t c = 0; c < n; c += 4) {
        size_t left = n - c; /* of less than four, one is compared again */
        const int8_t *p0 = (const int8_t *)codes[c] + skip, *p1 = left > 1 ? (const int8_t *)codes[c + 1] + skip : p0,
                     *p2 = left > 2 ? (const int8_t *)codes[c + 2] + skip : p0, *p3 = left > 3 ? (const int8_t *)codes[c + 3] + skip : p0;
        __m256i sums[4] = {_mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256()};
        for (uint32_t at = 0; at < whole; at += KERNEL_GROUP)
            add_four(sums, load(query + at), load(p0 + at), load(p1 + at), load(p2 + at), load(p3 + at));
        if (whole < bytes)
            add_four(sums, load(query + whole), load_some(p0 + whole, lanes), load_some(p1 + whole, lanes), load_some(p2 + whole, lanes),
                     load_some(p3 + whole, lanes));
        __m128i four = sums_of(sums[0], sums[1], sums[2], sums[3]);
        if (left >= 4) _mm_storeu_si128((__m128i *)(void *)(out + c), four);
        else _mm_maskstore_epi32(out + c, _mm256_castsi256_si128(first_lanes((uint32_t)left)), four);
    }
}

static __m256i nibbles(const uint8_t *p) {
    __m128i bytes = _mm_loadu_si128((const __m128i *)(const void *)p), low = _mm_set1_epi8(15);
    return _mm256_set_m128i(_mm_and_si128(_mm_srli_epi16(bytes, 4), low), _mm_and_si128(bytes, low));
}

static void dots_int4(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t groups, int32_t *out) {
    const __m256i ones = _mm256_set1_epi16(1);
    size_t c = 0;
    for (; c + 4 <= n; c += 4) {
        __m256i s[4];
        for (int k = 0; k < 4; k++) s[k] = _mm256_setzero_si256();
        for (uint32_t g = 0; g < groups; g++) {
            __m256i q = load(query + (size_t)g * KERNEL_GROUP);
            for (int k = 0; k < 4; k++) {
                __m256i code = nibbles((const uint8_t *)codes[c + (size_t)k] + skip + (size_t)g * 16);
                s[k] = _mm256_add_epi32(s[k], _mm256_madd_epi16(_mm256_maddubs_epi16(code, q), ones));
            }
        }
        _mm_storeu_si128((__m128i *)(void *)(out + c), sums_of(s[0], s[1], s[2], s[3]));
    }
    for (; c < n; c++) {
        __m256i s = _mm256_setzero_si256();
        for (uint32_t g = 0; g < groups; g++) {
            __m256i code = nibbles((const uint8_t *)codes[c] + skip + (size_t)g * 16);
            s = _mm256_add_epi32(s, _mm256_madd_epi16(_mm256_maddubs_epi16(code, load(query + (size_t)g * KERNEL_GROUP)), ones));
        }
        out[c] = sum_of(s);
    }
}

/* The query's bytes whose bit is set, added up in pairs of pairs. */
static __m256i chosen(const uint8_t *p, __m256i query) {
    const __m256i spread = _mm256_setr_epi8(0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 3, 3, 3, 3, 3, 3, 3, 3);
    const __m256i bits = _mm256_set1_epi64x((long long)0x8040201008040201ull);
    uint32_t word;
    memcpy(&word, p, sizeof word);
    __m256i mine = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32((int)word), spread), bits);
    __m256i kept = _mm256_and_si256(query, _mm256_cmpeq_epi8(mine, bits));
    return _mm256_madd_epi16(_mm256_maddubs_epi16(_mm256_set1_epi8(1), kept), _mm256_set1_epi16(1));
}

static void dots_bit(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t groups, int32_t *out) {
    for (size_t c = 0; c < n; c++) {
        const uint8_t *p = (const uint8_t *)codes[c] + skip;
        __m256i s = _mm256_setzero_si256();
        for (uint32_t g = 0; g < groups; g++)
            s = _mm256_add_epi32(s, chosen(p + (size_t)g * 4, load(query + (size_t)g * KERNEL_GROUP)));
        out[c] = sum_of(s);
    }
}

const dense_kernel_table dense_kernel_avx2 = {dot, squared_distance, dot_and_square, dots_int8, dots_int4, dots_bit};
