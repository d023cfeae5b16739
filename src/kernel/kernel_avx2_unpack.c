/* Blocks with 256-bit vectors: two rows of four lanes at a time. Compiled for AVX2; kernel.c asks the processor first. */
#include "kernel/kernel_avx2.h"

enum { LANES = 8 };

/* Two rows' words: word w, and word w + 1 or the same again. */
INLINE eight words_pair(const uint8_t *in, unsigned w, unsigned next) {
    const uint8_t *at = in + 16 * (size_t)w;
    return next ? load8(at) : _mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)at));
}

INLINE eight pair(int low, int high) { return _mm256_setr_epi32(low, low, low, low, high, high, high, high); }

/* Rows j and j + 1 of B-bit values. Both are constants, so that the compiler decides every condition here. A row spills
 * when its values go on in the next word; a shift by 32 leaves nothing of a row that does not. */
INLINE eight row_pair(const uint8_t *in, unsigned B, unsigned j) {
    const unsigned at0 = B * j, at1 = B * (j + 1), word0 = at0 / 32, word1 = at1 / 32, shift0 = at0 % 32, shift1 = at1 % 32;
    const unsigned spills0 = shift0 + B > 32, spills1 = shift1 + B > 32;
    eight v = words_pair(in, word0, word1 - word0);
    if (B == 32) return v;
    v = _mm256_srlv_epi32(v, pair((int)shift0, (int)shift1));
    if (spills0 || spills1) {
        eight more = words_pair(in, spills0 ? word0 + 1 : word1 + 1, spills0 && spills1);
        v = _mm256_or_si256(v, _mm256_sllv_epi32(more, pair(spills0 ? 32 - (int)shift0 : 32, spills1 ? 32 - (int)shift1 : 32)));
    }
    return _mm256_and_si256(v, _mm256_set1_epi32((int)((1u << B % 32) - 1)));
}

/* Eight gaps become eight sums: within pairs, within halves, across. *before, which is what stands before them in every
 * lane plus 1 … 8 for the gaps' own steps, moves on by their sum. Its chain is one addition long; all else overlaps. */
INLINE eight sum_eight(eight gaps, eight *before) {
    const eight second_to_upper = _mm256_setr_epi8(-1, -1, -1, -1, -1, -1, -1, -1, 4, 5, 6, 7, 4, 5, 6, 7, -1, -1, -1, -1,
                                                   -1, -1, -1, -1, 4, 5, 6, 7, 4, 5, 6, 7);
    eight x = _mm256_add_epi32(gaps, _mm256_slli_epi64(gaps, 32));
    x = _mm256_add_epi32(x, _mm256_shuffle_epi8(x, second_to_upper));
    eight lower = _mm256_shuffle_epi32(_mm256_permute2x128_si256(x, x, 0x08), 0xff);
    x = _mm256_add_epi32(x, lower);
    eight all = _mm256_permutevar8x32_epi32(x, _mm256_set1_epi32(7));
    eight sums = _mm256_add_epi32(x, *before);
    *before = _mm256_add_epi32(*before, _mm256_add_epi32(all, _mm256_set1_epi32(8)));
    return sums;
}

INLINE eight steps_from(uint32_t base) {
    return _mm256_add_epi32(_mm256_set1_epi32((int)base), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

#define ROWS_8(X, B, j) X(B, j) X(B, j + 2) X(B, j + 4) X(B, j + 6)
#define ROWS_32(X, B) ROWS_8(X, B, 0) ROWS_8(X, B, 8) ROWS_8(X, B, 16) ROWS_8(X, B, 24)
#define VALUES(B, j) store8(values + 4 * (j), row_pair(in, B, j));
#define PLACES(B, j) store8(places + 4 * (j), sum_eight(row_pair(in, B, j), &before));
#define UNPACK(B)                                                                                                      \
    static void values_##B(const uint8_t *in, uint32_t *values) { ROWS_32(VALUES, B) }                                 \
    static void places_##B(const uint8_t *in, uint32_t base, uint32_t *places) {                                       \
        eight before = steps_from(base);                                                                               \
        ROWS_32(PLACES, B)                                                                                             \
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
    for (uint32_t i = 0; i < KERNEL_BLOCK; i += LANES) store8(places + i, steps_from(base + i));
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
    eight before = steps_from(base);
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) store8(values + i, sum_eight(load8(values + i), &before));
    base = (uint32_t)_mm256_cvtsi256_si32(before);
    for (; i < n; i++) {
        values[i] += base;
        base = values[i] + 1;
    }
}
