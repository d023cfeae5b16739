/* Bit packing; full blocks are unpacked by a kernel. */
#include "sparse/segment_pack.h"

#include "kernel/kernel.h"

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

void segment_unpack(const uint8_t *in, uint32_t n, uint32_t base, unsigned bits, uint32_t *places) {
    if (n == SPARSE_BLOCK) {
        kernels()->unpack_gaps(in, bits, base, places);
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
