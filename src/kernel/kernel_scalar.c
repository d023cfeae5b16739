/* Plain C: what every processor runs, and what the others must equal. */
#include "kernel/kernel_tables.h"

#include <stdbool.h>
#include <string.h>

enum { LANES = 4, ROWS = KERNEL_BLOCK / LANES };

/* ---- Blocks of postings ---- */

static void unpack(const uint8_t *in, unsigned bits, uint32_t values[KERNEL_BLOCK]) {
    if (bits == 0) {
        memset(values, 0, KERNEL_BLOCK * sizeof *values);
        return;
    }
    const uint32_t mask = UINT32_MAX >> (32 - bits);
    for (unsigned row = 0; row < ROWS; row++) {
        unsigned shift = row * bits % 32;
        uint32_t words[2][LANES] = {{0}};
        memcpy(words, in + row * bits / 32 * sizeof *words, shift + bits > 32 ? sizeof words : sizeof *words);
        for (unsigned i = 0; i < LANES; i++) {
            uint64_t both = (uint64_t)words[1][i] << 32 | words[0][i];
            values[row * LANES + i] = (uint32_t)(both >> shift) & mask;
        }
    }
}

static void sum_gaps(uint32_t *values, uint32_t n, uint32_t base) {
    for (uint32_t i = 0; i < n; i++) {
        values[i] += base;
        base = values[i] + 1;
    }
}

static void unpack_gaps(const uint8_t *in, unsigned bits, uint32_t base, uint32_t places[KERNEL_BLOCK]) {
    unpack(in, bits, places);
    sum_gaps(places, KERNEL_BLOCK, base);
}

/* ---- Scoring ---- */

static void add_impacts(uint32_t *sums, uint32_t mask, const uint32_t *places, const uint8_t *impacts, uint32_t n,
                        uint32_t units) {
    for (uint32_t i = 0; i < n; i++) sums[places[i] & mask] += units * impacts[i] + 1;
}

static uint32_t collect_sums(uint32_t *sums, uint32_t n, uint32_t least, const uint64_t *bits, uint32_t *offsets,
                             uint32_t *out_sums) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (sums[i] < least || (bits && !(bits[i / 64] >> i % 64 & 1))) continue;
        offsets[found] = i;
        out_sums[found++] = sums[i];
    }
    memset(sums, 0, n * sizeof *sums);
    return found;
}

static uint32_t collect_impacts(const uint32_t *places, const uint8_t *impacts, uint32_t n, uint32_t least,
                                uint32_t units, uint32_t base, uint32_t *out_places, uint32_t *out_sums) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (impacts[i] < least) continue;
        out_places[found] = places[i] - base;
        out_sums[found++] = units * impacts[i] + 1;
    }
    return found;
}

static uint32_t keep(uint32_t *candidates, uint32_t *sums, const uint32_t *added, uint32_t n, uint32_t need,
                     uint32_t least_added) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t sum = sums[i] + added[i];
        if (sum < need || added[i] < least_added) continue;
        candidates[kept] = candidates[i];
        sums[kept++] = sum;
    }
    return kept;
}

static void max_groups(const uint32_t *values, uint32_t n, uint32_t *maxima) {
    for (uint32_t i = 0; i < n; i += 64) {
        uint32_t most = 0;
        for (uint32_t j = i; j < i + 64; j++) most = values[j] > most ? values[j] : most;
        maxima[i / 64] = most;
    }
}

static uint32_t list_at_least(const uint32_t *values, uint32_t n, uint32_t least, uint32_t *out) {
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        out[found] = i;
        found += values[i] >= least;
    }
    return found;
}

static void add_bounds(uint32_t *bounds, const uint8_t *maxima, uint32_t n, uint32_t units) {
    for (uint32_t i = 0; i < n; i++) bounds[i] += units * maxima[i] + (maxima[i] != 0);
}

static uint8_t max_u8(const uint8_t *values, uint32_t n) {
    uint8_t most = 0;
    for (uint32_t i = 0; i < n; i++) most = values[i] > most ? values[i] : most;
    return most;
}

/* ---- Ascending lists ---- */

/* The first position from `at` whose value is >= value; n when none is. Doubling steps, then halving (Bentley & Yao 1976). */
static uint32_t gallop(const uint32_t *list, uint32_t at, uint32_t n, uint32_t value) {
    uint32_t step = 1;
    while (step < n - at && list[at + step - 1] < value) {
        at += step;
        step *= 2;
    }
    uint32_t length = step < n - at ? step : n - at;
    while (length > 0) {
        uint32_t half = length / 2;
        if (list[at + half] < value) {
            at += half + 1;
            length -= half + 1;
        } else {
            length = half;
        }
    }
    return at;
}

uint32_t kernel_search_each(const uint32_t *few, uint32_t i, uint32_t n_few, const uint32_t *many, uint32_t j,
                            uint32_t n_many, uint32_t *at_few, uint32_t *at_many) {
    uint32_t found = 0;
    for (; i < n_few; i++) {
        j = gallop(many, j, n_many, few[i]);
        if (j == n_many) break;
        if (many[j] != few[i]) continue;
        at_few[found] = i;
        at_many[found++] = j++;
    }
    return found;
}

static uint32_t intersect(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb, uint32_t *at_a,
                          uint32_t *at_b) {
    if (nb / KERNEL_GALLOP >= na) return kernel_search_each(a, 0, na, b, 0, nb, at_a, at_b);
    if (na / KERNEL_GALLOP >= nb) return kernel_search_each(b, 0, nb, a, 0, na, at_b, at_a);
    uint32_t found = 0;
    for (uint32_t i = 0, j = 0; i < na && j < nb;) {
        if (a[i] == b[j]) {
            at_a[found] = i++;
            at_b[found++] = j++;
        } else if (a[i] < b[j]) {
            i++;
        } else {
            j++;
        }
    }
    return found;
}

static uint32_t first_from(const uint32_t *values, uint32_t n, uint32_t value) {
    uint32_t i = 0;
    while (i < n && values[i] < value) i++;
    return i;
}

/* ---- Bit sets ---- */

/* Spelt out, because the baseline x86-64 has no popcount instruction and the compiler's stand-in is a call. */
static inline uint32_t ones(uint64_t x) {
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (uint32_t)(x * 0x0101010101010101u >> 56);
}

static uint64_t count_ones(const uint64_t *words, size_t n) {
    uint64_t count = 0;
    for (size_t i = 0; i < n; i++) count += ones(words[i]);
    return count;
}

static void and_words(uint64_t *a, const uint64_t *b, size_t n) {
    for (size_t i = 0; i < n; i++) a[i] &= b[i];
}

static void or_words(uint64_t *a, const uint64_t *b, size_t n) {
    for (size_t i = 0; i < n; i++) a[i] |= b[i];
}

static void and_not_words(uint64_t *a, const uint64_t *b, size_t n) {
    for (size_t i = 0; i < n; i++) a[i] &= ~b[i];
}

static uint32_t list_ones(const uint64_t *words, size_t n, uint32_t base, uint32_t *out) {
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++) {
        for (uint64_t word = words[i]; word; word &= word - 1) {
            out[found++] = base + (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(word);
        }
    }
    return found;
}

static void between(const double *numbers, size_t n, double low, double high, uint64_t *bits) {
    for (size_t i = 0; i < n; i += 64) {
        uint64_t word = 0;
        for (unsigned j = 0; j < 64; j++) {
            bool inside = low <= numbers[i + j] && numbers[i + j] <= high;
            word |= (uint64_t)inside << j;
        }
        bits[i / 64] = word;
    }
}

const kernel_table kernel_scalar = {
    .name = "scalar",
    .unpack = unpack,
    .unpack_gaps = unpack_gaps,
    .sum_gaps = sum_gaps,
    .add_impacts = add_impacts,
    .collect_sums = collect_sums,
    .collect_impacts = collect_impacts,
    .keep = keep,
    .max_groups = max_groups,
    .list_at_least = list_at_least,
    .add_bounds = add_bounds,
    .max_u8 = max_u8,
    .intersect = intersect,
    .first_from = first_from,
    .count_ones = count_ones,
    .and_words = and_words,
    .or_words = or_words,
    .and_not_words = and_not_words,
    .list_ones = list_ones,
    .between = between,
};
