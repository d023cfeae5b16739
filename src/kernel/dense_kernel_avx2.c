#include "kernel/dense_kernel.h"

#include <immintrin.h>
#include <string.h>

static float add_lanes(__m256 sum) {
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(sum), _mm256_extractf128_ps(sum, 1)); /* 0+4 1+5 2+6 3+7 */
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static __m256 load_tail(const float *a, uint32_t n) {
    float tail[8] = {0};
    memcpy(tail, a, n * sizeof *a);
    return _mm256_loadu_ps(tail);
}

static float dot(const float *a, const float *b, uint32_t n) {
    __m256 sum = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) sum = _mm256_add_ps(sum, _mm256_mul_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i)));
    if (i < n) sum = _mm256_add_ps(sum, _mm256_mul_ps(load_tail(a + i, n - i), load_tail(b + i, n - i)));
    return add_lanes(sum);
}

static float squared_distance(const float *a, const float *b, uint32_t n) {
    __m256 sum = _mm256_setzero_ps();
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) {
        __m256 d = _mm256_sub_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i));
        sum = _mm256_add_ps(sum, _mm256_mul_ps(d, d));
    }
    if (i < n) {
        __m256 d = _mm256_sub_ps(load_tail(a + i, n - i), load_tail(b + i, n - i));
        sum = _mm256_add_ps(sum, _mm256_mul_ps(d, d));
    }
    return add_lanes(sum);
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

static void dots_int8(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t groups, int32_t *out) {
    const __m256i ones = _mm256_set1_epi16(1);
    size_t c = 0;
    for (; c + 4 <= n; c += 4) {
        const int8_t *p0 = (const int8_t *)codes[c] + skip, *p1 = (const int8_t *)codes[c + 1] + skip,
                     *p2 = (const int8_t *)codes[c + 2] + skip, *p3 = (const int8_t *)codes[c + 3] + skip;
        __m256i s0 = _mm256_setzero_si256(), s1 = s0, s2 = s0, s3 = s0;
        for (uint32_t g = 0; g < groups; g++) {
            size_t at = (size_t)g * KERNEL_GROUP;
            __m256i q = load(query + at), absolute = _mm256_abs_epi8(q);
            s0 = _mm256_add_epi32(s0, product_int8(q, absolute, load(p0 + at), ones));
            s1 = _mm256_add_epi32(s1, product_int8(q, absolute, load(p1 + at), ones));
            s2 = _mm256_add_epi32(s2, product_int8(q, absolute, load(p2 + at), ones));
            s3 = _mm256_add_epi32(s3, product_int8(q, absolute, load(p3 + at), ones));
        }
        _mm_storeu_si128((__m128i *)(void *)(out + c), sums_of(s0, s1, s2, s3));
    }
    for (; c < n; c++) {
        const int8_t *p = (const int8_t *)codes[c] + skip;
        __m256i s = _mm256_setzero_si256();
        for (uint32_t g = 0; g < groups; g++) {
            size_t at = (size_t)g * KERNEL_GROUP;
            __m256i q = load(query + at);
            s = _mm256_add_epi32(s, product_int8(q, _mm256_abs_epi8(q), load(p + at), ones));
        }
        out[c] = sum_of(s);
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

const dense_kernel_table dense_kernel_avx2 = {dot, squared_distance, dots_int8, dots_int4, dots_bit};
