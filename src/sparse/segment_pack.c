/* Bit packing. The vector types of GCC and clang compile to SSE2 and NEON, which every target machine has. */
#include "sparse/segment_pack.h"

#include <string.h>

enum { LANES = 4, ROWS = SPARSE_BLOCK / LANES };

unsigned segment_pack_bits(const uint32_t *places, uint32_t n, uint32_t base) {
    uint32_t all = 0;
    for (uint32_t i = 0; i < n; i++) {
        all |= places[i] - base;
        base = places[i] + 1;
    }
    return all == 0 ? 0 : 32u - (unsigned)__builtin_clz(all);
}

static void pack_rows(const uint32_t *places, uint32_t base, unsigned bits, uint8_t *out) {
    uint32_t words[32][LANES] = {{0}};
    for (uint32_t i = 0; i < SPARSE_BLOCK; i++) {
        uint32_t gap = places[i] - base;
        base = places[i] + 1;
        unsigned at = i / LANES * bits, lane = i % LANES, shift = at % 32;
        if (bits == 0) continue;
        words[at / 32][lane] |= gap << shift;
        if (shift + bits > 32) words[at / 32 + 1][lane] |= gap >> (32 - shift);
    }
    memcpy(out, words, segment_packed_size(SPARSE_BLOCK, bits));
}

void segment_pack(const uint32_t *places, uint32_t n, uint32_t base, unsigned bits, uint8_t *out) {
    if (n == SPARSE_BLOCK) {
        pack_rows(places, base, bits, out);
        return;
    }
    uint64_t word = 0;
    unsigned held = 0;
    for (uint32_t i = 0; i < n; i++) {
        word |= (uint64_t)(places[i] - base) << held;
        base = places[i] + 1;
        for (held += bits; held >= 8; held -= 8, word >>= 8) *out++ = (uint8_t)word;
    }
    if (held > 0) *out = (uint8_t)word;
}

typedef uint32_t lanes __attribute__((vector_size(16)));

#ifdef __clang__
#define SHUFFLE(x, y, i0, i1, i2, i3) __builtin_shufflevector(x, y, i0, i1, i2, i3)
#else
#define SHUFFLE(x, y, i0, i1, i2, i3) __builtin_shuffle(x, y, (lanes){i0, i1, i2, i3})
#endif

static inline lanes row_load(const uint8_t *in, unsigned row) {
    lanes v;
    memcpy(&v, in + 16 * row, sizeof v);
    return v;
}

/* One row of four gaps becomes four places; `before` is the last place so far, in every lane. */
static inline lanes row_sum(lanes gaps, lanes before) {
    const lanes zero = {0, 0, 0, 0}, one_more = {1, 2, 3, 4};
    gaps += SHUFFLE(gaps, zero, 4, 0, 1, 2);
    gaps += SHUFFLE(gaps, zero, 4, 5, 0, 1);
    return gaps + before + one_more;
}

/* Row j of B-bit gaps. B and j are constants, so that every condition and shift is decided by the compiler. */
#define ROW(B, j)                                                                                                      \
    {                                                                                                                  \
        enum { AT = (B) * (j), SHIFT = AT % 32, WORD = AT / 32, SPILLS = SHIFT + (B) > 32 };                           \
        lanes gaps = row_load(in, WORD) >> SHIFT;                                                                      \
        if (SPILLS) gaps |= row_load(in, WORD + SPILLS) << ((32 - SHIFT) % 32);                                        \
        before = row_sum(gaps & mask, before);                                                                         \
        memcpy(places + LANES * (j), &before, sizeof before);                                                          \
        before = SHUFFLE(before, before, 3, 3, 3, 3);                                                                  \
    }
#define ROWS_4(B, j) ROW(B, j) ROW(B, j + 1) ROW(B, j + 2) ROW(B, j + 3)
#define ROWS_16(B, j) ROWS_4(B, j) ROWS_4(B, j + 4) ROWS_4(B, j + 8) ROWS_4(B, j + 12)
#define UNPACK(B)                                                                                                      \
    static void unpack_##B(const uint8_t *in, uint32_t base, uint32_t *places) {                                       \
        const uint32_t low = (uint32_t)(((uint64_t)1 << (B)) - 1), last = base - 1;                                    \
        const lanes mask = {low, low, low, low};                                                                       \
        lanes before = {last, last, last, last};                                                                       \
        ROWS_16(B, 0) ROWS_16(B, 16)                                                                                   \
    }
#define WIDTHS(X)                                                                                                      \
    X(1)                                                                                                               \
    X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15) X(16) X(17) X(18) X(19) X(20) X(21)    \
        X(22) X(23) X(24) X(25) X(26) X(27) X(28) X(29) X(30) X(31) X(32)
WIDTHS(UNPACK)

static void unpack_0(const uint8_t *in, uint32_t base, uint32_t *places) {
    (void)in;
    for (uint32_t i = 0; i < SPARSE_BLOCK; i++) places[i] = base + i;
}

#define NAME(B) , unpack_##B
static void (*const unpack_full[33])(const uint8_t *in, uint32_t base, uint32_t *places) = {unpack_0 WIDTHS(NAME)};

void segment_unpack(const uint8_t *in, uint32_t n, uint32_t base, unsigned bits, uint32_t *places) {
    if (n == SPARSE_BLOCK) {
        unpack_full[bits](in, base, places);
        return;
    }
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (uint32_t i = 0, at = 0; i < n; i++, at += bits) {
        uint64_t word;
        memcpy(&word, in + at / 8, sizeof word);
        places[i] = base + (uint32_t)(word >> at % 8 & mask);
        base = places[i] + 1;
    }
}
