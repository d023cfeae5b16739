/* Patched frame of reference; full blocks are unpacked by a kernel. */
#include "sparse/pack_values.h"

#include "kernel/kernel.h"

#include <assert.h>
#include <string.h>

enum { LANES = 4, EXCEPTIONS = 0x40, WIDTH = EXCEPTIONS - 1, PLACES_GAIN = 12 };

static size_t packed_size(uint32_t n, unsigned bits) { return ((size_t)n * bits + 7) / 8; }
static unsigned width_of(uint32_t value) { return value == 0 ? 0 : 32u - (unsigned)__builtin_clz(value); }
static uint32_t low_mask(unsigned bits) { return (uint32_t)(((uint64_t)1 << bits) - 1); }

/* --- bits -------------------------------------------------------------------------------------------------------- */

static void put_rows(const uint32_t *values, unsigned bits, uint8_t *out) {
    uint32_t words[32 + 1][LANES] = {{0}}, mask = low_mask(bits);
    for (uint32_t i = 0; i < SPARSE_BLOCK; i++) {
        unsigned at = i / LANES * bits, lane = i % LANES, shift = at % 32;
        words[at / 32][lane] |= (values[i] & mask) << shift;
        if (shift + bits > 32) words[at / 32 + 1][lane] |= (values[i] & mask) >> (32 - shift);
    }
    memcpy(out, words, packed_size(SPARSE_BLOCK, bits));
}

static void put_string(const uint32_t *values, uint32_t n, unsigned bits, uint8_t *out) {
    uint64_t word = 0;
    unsigned held = 0;
    for (uint32_t i = 0; i < n; i++) {
        word |= (uint64_t)(values[i] & low_mask(bits)) << held;
        for (held += bits; held >= 8; held -= 8, word >>= 8) *out++ = (uint8_t)word;
    }
    if (held > 0) *out = (uint8_t)word;
}

/* `left` bytes may be read. Whole words are loaded while there are eight of them; the last values come from a copy. */
static void get_string(const uint8_t *in, size_t left, uint32_t n, unsigned bits, uint32_t *values) {
    const uint64_t mask = low_mask(bits);
    uint32_t i = 0;
    size_t at = 0;
    uint64_t word;
    for (; i < n && at / 8 + sizeof word <= left; i++, at += bits) {
        memcpy(&word, in + at / 8, sizeof word);
        values[i] = (uint32_t)(word >> at % 8 & mask);
    }
    if (i == n) return;
    uint8_t last[2 * sizeof word] = {0}; /* what is left is shorter than a word */
    size_t from = at / 8;
    memcpy(last, in + from, left - from);
    for (; i < n; i++, at += bits) {
        memcpy(&word, last + (at / 8 - from), sizeof word);
        values[i] = (uint32_t)(word >> at % 8 & mask);
    }
}

/* --- values ------------------------------------------------------------------------------------------------------ */

/* The width that takes the fewest bytes, exceptions counting as `gain` more; *most: of the largest value, *beyond: values
 * wider than the result. */
static unsigned best_width(const uint32_t *values, uint32_t n, size_t gain, unsigned *most, uint32_t *beyond) {
    uint32_t of_width[33] = {0}, wider = 0;
    for (uint32_t i = 0; i < n; i++) of_width[width_of(values[i])]++;
    unsigned widest = 32;
    while (widest > 0 && of_width[widest] == 0) widest--;
    unsigned best = widest;
    size_t least = 1 + packed_size(n, widest);
    *most = widest;
    *beyond = 0;
    for (unsigned bits = widest; bits-- > 0;) {
        wider += of_width[bits + 1];
        size_t size = 3 + gain + packed_size(n, bits) + wider + packed_size(wider, widest - bits);
        if (size >= least) continue;
        least = size;
        best = bits;
        *beyond = wider;
    }
    return best;
}

static size_t pack(const uint32_t *values, uint32_t n, size_t gain, uint8_t *out) {
    assert(n > 0 && n <= SPARSE_BLOCK);
    unsigned most;
    uint32_t beyond;
    unsigned bits = best_width(values, n, gain, &most, &beyond);
    uint8_t *p = out;
    *p++ = (uint8_t)(bits | (beyond > 0 ? EXCEPTIONS : 0));
    if (beyond > 0) *p++ = (uint8_t)beyond;
    if (beyond > 0) *p++ = (uint8_t)(most - bits);
    if (n == SPARSE_BLOCK) put_rows(values, bits, p);
    else put_string(values, n, bits, p);
    p += packed_size(n, bits);
    if (beyond == 0) return (size_t)(p - out);
    uint32_t high[SPARSE_BLOCK], m = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (width_of(values[i]) <= bits) continue;
        high[m++] = values[i] >> bits;
        *p++ = (uint8_t)i;
    }
    put_string(high, m, most - bits, p);
    return (size_t)(p - out) + packed_size(m, most - bits);
}

size_t pack_values(const uint32_t *values, uint32_t n, uint8_t *out) { return pack(values, n, 0, out); }

size_t pack_places(const uint32_t *places, uint32_t n, uint32_t base, uint8_t *out) {
    uint32_t gaps[SPARSE_BLOCK];
    for (uint32_t i = 0; i < n; i++) {
        gaps[i] = places[i] - base;
        base = places[i] + 1;
    }
    return pack(gaps, n, PLACES_GAIN, out);
}

typedef struct layout {
    unsigned bits, high_bits;
    uint32_t m;
    const uint8_t *packed, *indices, *high, *end;
} layout;

static bool read_layout(const uint8_t *in, const uint8_t *end, uint32_t n, layout *l) {
    if (in >= end) return false;
    *l = (layout){.bits = *in & WIDTH};
    bool exceptions = *in & EXCEPTIONS;
    if (*in++ >= 2 * EXCEPTIONS || l->bits > 32) return false;
    if (exceptions) {
        if (end - in < 2) return false;
        l->m = *in++;
        l->high_bits = *in++;
        if (l->m == 0 || l->m > n || l->high_bits == 0 || l->high_bits > 32 - l->bits) return false;
    }
    size_t packed = packed_size(n, l->bits), high = packed_size(l->m, l->high_bits);
    if ((size_t)(end - in) < packed + l->m + high) return false;
    l->packed = in;
    l->indices = in + packed;
    l->high = l->indices + l->m;
    l->end = l->high + high;
    return true;
}

const uint8_t *unpack_values(const uint8_t *in, const uint8_t *end, uint32_t n, uint32_t *values) {
    layout l;
    if (!read_layout(in, end, n, &l)) return NULL;
    if (l.bits == 0) memset(values, 0, n * sizeof *values);
    else if (n == SPARSE_BLOCK) kernels()->unpack(l.packed, l.bits, values);
    else get_string(l.packed, (size_t)(end - l.packed), n, l.bits, values);
    if (l.m == 0) return l.end;
    uint32_t high[SPARSE_BLOCK];
    get_string(l.high, (size_t)(end - l.high), l.m, l.high_bits, high);
    for (uint32_t i = 0; i < l.m; i++) {
        if (l.indices[i] >= n || (i > 0 && l.indices[i] <= l.indices[i - 1])) return NULL;
        values[l.indices[i]] |= high[i] << l.bits;
    }
    return l.end;
}

const uint8_t *skip_values(const uint8_t *in, const uint8_t *end, uint32_t n) {
    layout l;
    return read_layout(in, end, n, &l) ? l.end : NULL;
}

/* A full block with exceptions, with eight bytes to spare behind it. */
static const uint8_t *unpack_patched(const layout *l, uint32_t base, uint32_t *places) {
    kernels()->unpack(l->packed, l->bits, places);
    const uint64_t mask = low_mask(l->high_bits);
    uint32_t bad = 0;
    for (uint32_t i = 0, at = 0; i < l->m; i++, at += l->high_bits) {
        uint64_t word;
        memcpy(&word, l->high + at / 8, sizeof word);
        places[l->indices[i] & (SPARSE_BLOCK - 1)] |= (uint32_t)(word >> at % 8 & mask) << l->bits;
        bad |= l->indices[i] >= SPARSE_BLOCK;
    }
    if (bad) return NULL;
    kernels()->sum_gaps(places, SPARSE_BLOCK, base);
    return l->end;
}

const uint8_t *unpack_places(const uint8_t *in, const uint8_t *end, uint32_t n, uint32_t base, uint32_t *places) {
    if (n == SPARSE_BLOCK && in < end && *in <= 32) { /* no exceptions: the usual case */
        size_t size = packed_size(n, *in);
        if ((size_t)(end - in) < 1 + size) return NULL;
        kernels()->unpack_gaps(in + 1, *in, base, places);
        return in + 1 + size;
    }
    layout l;
    if (n == SPARSE_BLOCK && read_layout(in, end, n, &l) && end - l.end >= 8) return unpack_patched(&l, base, places);
    const uint8_t *behind = unpack_values(in, end, n, places);
    if (behind) kernels()->sum_gaps(places, n, base);
    return behind;
}
