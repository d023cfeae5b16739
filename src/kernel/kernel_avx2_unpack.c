/* Blocks with 256-bit vectors: two rows of four lanes at a time. Compiled for AVX2; kernel.c asks the processor first. */
#include "kernel/kernel_avx2.h"

enum { LANES = 8 };

/* Two rows' words: word w, and word w + 1 or the same again. */
INLINE eight words_pair(const uint8_t *in, unsigned w, unsigned next) {
    const uint8_t *at = in + 16 * (size_t)w;
    return next ? load8(at) : _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)at));
}

INLINE eight pair(int low, int high) { return _mm256_setr_epi32(low, low, low, low, high, high, high, high); }

/* Rows j and j + 1 of B-bit values, moved up by `to` bits within their lanes, with other bits around them. All three are
 * constants, so that the compiler decides every condition here. A row spills when its values go on in the next word; a
 * shift by NONE leaves nothing of a row that a shift is not for. */
INLINE eight row_pair(const uint8_t *in, unsigned B, unsigned j, int to) {
    enum { NONE = 32 };
    const unsigned at0 = B * j, at1 = B * (j + 1), word0 = at0 / 32, word1 = at1 / 32;
    const int down0 = (int)(at0 % 32) - to, down1 = (int)(at1 % 32) - to, spills = 32 - (int)B - to;
    const eight words = words_pair(in, word0, word1 - word0);
    if (B == 32) return words;
    eight v = _mm256_setzero_si256();
    if (down0 >= 0 || down1 >= 0) {
        v = _mm256_srlv_epi32(words, pair(down0 >= 0 ? down0 : NONE, down1 >= 0 ? down1 : NONE));
    }
    if (down0 < 0 || down1 < 0) {
        v = _mm256_or_si256(v, _mm256_sllv_epi32(words, pair(down0 < 0 ? -down0 : NONE, down1 < 0 ? -down1 : NONE)));
    }
    if (down0 > spills || down1 > spills) {
        eight more = words_pair(in, down0 > spills ? word0 + 1 : word1 + 1, down0 > spills && down1 > spills);
        eight up = pair(down0 > spills ? 32 - down0 : NONE, down1 > spills ? 32 - down1 : NONE);
        v = _mm256_or_si256(v, _mm256_sllv_epi32(more, up));
    }
    return v;
}

INLINE eight row_values(const uint8_t *in, unsigned B, unsigned j) {
    return _mm256_and_si256(row_pair(in, B, j, 0), _mm256_set1_epi32((int)(UINT32_MAX >> (32 - B))));
}

/* ---- Sums ---- */

INLINE eight add(eight x, eight y) { return _mm256_add_epi32(x, y); }
INLINE eight upper_half(eight v) { return _mm256_and_si256(v, _mm256_setr_epi32(0, 0, 0, 0, -1, -1, -1, -1)); }
INLINE eight swap_halves(eight v) { return _mm256_permute2x128_si256(v, v, 1); }

/* Each half's four lanes become their running sums; pairs first. */
INLINE eight sum_rows(eight x) {
    const eight second_to_upper = _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, 4, 5, 6, 7, 4, 5, 6, 7, -1, -1, -1, -1,
                                                   -1, -1, -1, -1, 4, 5, 6, 7, 4, 5, 6, 7);
    x = add(x, _mm256_slli_epi64(x, 32));
    return add(x, _mm256_shuffle_epi8(x, second_to_upper));
}

/* Eight steps (gaps + 1) from *last, the place before them in every lane, which moves on. Its chain is one addition long;
 * all else overlaps. */
INLINE eight sum_eight(eight steps, eight *last) {
    eight x = sum_rows(steps), all = _mm256_shuffle_epi32(x, 0xff), other = swap_halves(all);
    eight places = add(add(x, upper_half(other)), *last);
    *last = add(*last, add(all, other));
    return places;
}

/* Sixteen steps at once, where they sum up to less than 2^16: rows a, b in the lower and c, d in the upper 16 bits of the
 * lanes, a and c in the lower half of the vector. Both sums run in one vector, and so do the rows' carries: 0 | a for the
 * first two, a + b | a + b + c for the others. */
enum { MOST_OF_16 = 11 };

INLINE void sum_sixteen(eight steps, eight *last, uint32_t *places) {
    eight x = sum_rows(steps), all = _mm256_shuffle_epi32(x, 0xff), other = swap_halves(all), both = add(all, other);
    x = add(x, add(upper_half(other), _mm256_slli_epi32(both, 16)));
    store8(places, add(_mm256_blend_epi16(x, _mm256_setzero_si256(), 0xaa), *last));
    store8(places + LANES, add(_mm256_srli_epi32(x, 16), *last));
    *last = add(*last, _mm256_madd_epi16(both, _mm256_set1_epi16(1)));
}

/* Rows j … j + 3 of B-bit gaps as places. */
INLINE void place_rows(const uint8_t *in, unsigned B, unsigned j, eight *last, uint32_t *places) {
    if (B <= MOST_OF_16) {
        eight gaps = _mm256_blend_epi16(row_pair(in, B, j, 0), row_pair(in, B, j + 2, 16), 0xaa);
        gaps = _mm256_and_si256(gaps, _mm256_set1_epi16((short)((1u << B % 16) - 1)));
        sum_sixteen(_mm256_add_epi16(gaps, _mm256_set1_epi16(1)), last, places + 4 * j);
    } else {
        const eight one = _mm256_set1_epi32(1);
        store8(places + 4 * j, sum_eight(add(row_values(in, B, j), one), last));
        store8(places + 4 * j + LANES, sum_eight(add(row_values(in, B, j + 2), one), last));
    }
}

/* ---- Widths ---- */

#define ROWS_16(X, B, j) X(B, j) X(B, j + 4) X(B, j + 8) X(B, j + 12)
#define VALUES(B, j)                                                                                                   \
    store8(values + 4 * (j), row_values(in, B, j));                                                                    \
    store8(values + 4 * (j) + LANES, row_values(in, B, (j) + 2));
#define PLACES(B, j) place_rows(in, B, j, &last, places);
#define UNPACK(B)                                                                                                      \
    static void values_##B(const uint8_t *in, uint32_t *values) { ROWS_16(VALUES, B, 0) ROWS_16(VALUES, B, 16) }       \
    static void places_##B(const uint8_t *in, uint32_t base, uint32_t *places) {                                       \
        eight last = _mm256_set1_epi32((int)(base - 1));                                                               \
        ROWS_16(PLACES, B, 0)                                                                                          \
        ROWS_16(PLACES, B, 16)                                                                                         \
    }
#define WIDTHS(X)                                                                                                      \
    X(1)                                                                                                               \
    X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21)    \
        X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32)
WIDTHS(UNPACK)

static void values_0(const uint8_t *in, uint32_t *values) {
    (void)in;
    for (uint32_t i = 0; i < KERNEL_BLOCK; i += LANES) store8(values + i, _mm256_setzero_si256());
}

static void places_0(const uint8_t *in, uint32_t base, uint32_t *places) {
    (void)in;
    const eight steps = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    for (uint32_t i = 0; i < KERNEL_BLOCK; i += LANES) store8(places + i, add(steps, _mm256_set1_epi32((int)(base + i))));
}

#define VALUES_NAME(B) , values_##B
#define PLACES_NAME(B) , places_##B
static void (*const values_of[33])(const uint8_t *in, uint32_t *values) = {values_0 WIDTHS(VALUES_NAME)};
static void (*const places_of[33])(const uint8_t *in, uint32_t base, uint32_t *places) = {places_0 WIDTHS(PLACES_NAME)};

void kernel_avx2_unpack(const uint8_t *in, unsigned bits, uint32_t values[KERNEL_BLOCK]) { values_of[bits](in, values); }

void kernel_avx2_unpack_gaps(const uint8_t *in, unsigned bits, uint32_t base, uint32_t places[KERNEL_BLOCK]) {
    places_of[bits](in, base, places);
}

void kernel_avx2_sum_gaps(uint32_t *values, uint32_t n, uint32_t base) {
    const eight one = _mm256_set1_epi32(1);
    eight last = _mm256_set1_epi32((int)(base - 1));
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) store8(values + i, sum_eight(add(load8(values + i), one), &last));
    base = (uint32_t)_mm256_cvtsi256_si32(last) + 1;
    for (; i < n; i++) {
        values[i] += base;
        base = values[i] + 1;
    }
}
