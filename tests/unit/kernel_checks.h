/* What every kernel table must do, by oracles written here and not shared with src/kernel. No cmocka, so that the same
 * checks also run on an emulated processor (tests/kernel/check_kernels.c). A check returns whether all was well and prints
 * what was not. All memory that kernels touch ends at a page that may not be touched, so that a byte too far is a crash. */
#ifndef KERNEL_CHECKS_H
#define KERNEL_CHECKS_H

#include "base/random.h"
#include "kernel/kernel.h"

#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

/* ---- Fenced memory ---- */

static struct {
    void *at;
    size_t size;
} fences[16];
static unsigned n_fences;

/* `bytes` that end where the next page begins, filled with noise; released by `release`. */
static void *fenced(size_t bytes) {
    size_t page = (size_t)sysconf(_SC_PAGESIZE), size = (bytes + page - 1) / page * page + page;
    uint8_t *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (at == MAP_FAILED || n_fences == 16 || mprotect(at + size - page, page, PROT_NONE)) abort();
    memset(at, 0xa5, size - page);
    fences[n_fences].at = at;
    fences[n_fences++].size = size;
    return at + size - page - bytes;
}

static bool release(bool well) {
    while (n_fences) {
        n_fences--;
        munmap(fences[n_fences].at, fences[n_fences].size);
    }
    return well;
}

static uint32_t *fenced_u32(size_t n) { return fenced(n * sizeof(uint32_t)); }
static uint64_t *fenced_u64(size_t n) { return fenced(n * sizeof(uint64_t)); }

#define WELL(condition, ...)                                                                                           \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s: %s:%d: %s: ", k->name, __func__, __LINE__, #condition);                                        \
            printf(__VA_ARGS__);                                                                                       \
            printf("\n");                                                                                              \
            return release(false);                                                                                     \
        }                                                                                                              \
    } while (0)

static bool same_u32(const uint32_t *x, const uint32_t *y, size_t n) { return n == 0 || memcmp(x, y, n * sizeof *x) == 0; }

/* ---- Random inputs ---- */

static const uint32_t check_sizes[] = {0,  1,  2,  3,  4,  5,  7,   8,   9,   12,  15,  16,  17, 23,
                                       31, 32, 33, 63, 64, 65, 100, 127, 128, 129, 255, 256, 1000};
enum { N_CHECK_SIZES = sizeof check_sizes / sizeof *check_sizes, CHECK_MOST = 1000 };

static uint32_t any_u32(random_source *r) { return (uint32_t)random_u64(r); }
static bool chance(random_source *r, double p) { return random_double(r) < p; }

/* n ascending places without repeats, from `first`, with steps of 1 … most_step. */
static void ascending(random_source *r, uint32_t *places, uint32_t n, uint32_t first, uint32_t most_step) {
    for (uint32_t i = 0; i < n; i++) {
        places[i] = first;
        first += 1 + (uint32_t)random_below(r, most_step);
    }
}

static void random_words(random_source *r, uint64_t *words, size_t n, double density) {
    for (size_t i = 0; i < n; i++) {
        words[i] = 0;
        for (unsigned j = 0; j < 64; j++) words[i] |= (uint64_t)chance(r, density) << j;
    }
}

/* ---- Blocks ---- */

/* Bit b of value 4j + i is bit j × bits + b of lane i, whose words are every fourth. */
static void pack_plainly(const uint32_t *values, unsigned bits, uint8_t *out) {
    memset(out, 0, 16 * bits);
    for (unsigned v = 0; v < KERNEL_BLOCK; v++) {
        for (unsigned b = 0; b < bits; b++) {
            unsigned at = v / 4 * bits + b, byte = at / 32 * 16 + v % 4 * 4 + at % 32 / 8;
            out[byte] |= (uint8_t)((values[v] >> b & 1) << at % 8);
        }
    }
}

static bool check_blocks(const kernel_table *k, random_source *r) {
    for (unsigned bits = 0; bits <= 32; bits++) {
        for (unsigned round = 0; round < 8; round++) {
            uint32_t values[KERNEL_BLOCK], expected[KERNEL_BLOCK], *out = fenced_u32(KERNEL_BLOCK);
            uint32_t mask = bits == 0 ? 0 : UINT32_MAX >> (32 - bits);
            for (unsigned i = 0; i < KERNEL_BLOCK; i++) {
                values[i] = mask & (round == 0 ? UINT32_MAX : round == 1 ? i % 2 - 1 : any_u32(r));
            }
            uint8_t *in = fenced(16 * bits);
            pack_plainly(values, bits, in);
            k->unpack(in, bits, out);
            WELL(same_u32(out, values, KERNEL_BLOCK), "%u bits", bits);
            uint32_t base = round == 0 ? 0 : round == 1 ? UINT32_MAX : any_u32(r), sum = 0;
            for (unsigned i = 0; i < KERNEL_BLOCK; i++) expected[i] = base + i + (sum += values[i]);
            k->unpack_gaps(in, bits, base, out);
            WELL(same_u32(out, expected, KERNEL_BLOCK), "%u bits from %u", bits, base);
            memcpy(out, values, sizeof values);
            k->sum_gaps(out, KERNEL_BLOCK, base);
            WELL(same_u32(out, expected, KERNEL_BLOCK), "%u bits from %u", bits, base);
            release(true);
        }
    }
    return true;
}

static bool check_sum_gaps(const kernel_table *k, random_source *r) {
    for (unsigned s = 0; s < N_CHECK_SIZES; s++) {
        uint32_t n = check_sizes[s], *values = fenced_u32(n), expected[CHECK_MOST], base = any_u32(r), sum = 0;
        for (uint32_t i = 0; i < n; i++) {
            values[i] = any_u32(r) >> random_below(r, 32);
            expected[i] = base + i + (sum += values[i]);
        }
        k->sum_gaps(values, n, base);
        WELL(same_u32(values, expected, n), "n = %u", n);
        release(true);
    }
    return true;
}

/* ---- Scoring ---- */

static bool check_add_impacts(const kernel_table *k, random_source *r) {
    for (unsigned s = 0; s < N_CHECK_SIZES; s++) {
        for (unsigned log = 0; log <= 16; log += 4) {
            uint32_t n = check_sizes[s], mask = (1u << log) - 1, units = chance(r, .5) ? any_u32(r) : 1 + any_u32(r) % 50;
            uint32_t *sums = fenced_u32(mask + 1), *expected = fenced_u32(mask + 1), *places = fenced_u32(n);
            uint8_t *impacts = fenced(n);
            ascending(r, places, n, any_u32(r) >> 1, 90);
            for (uint32_t i = 0; i <= mask; i++) sums[i] = expected[i] = any_u32(r);
            for (uint32_t i = 0; i < n; i++) {
                impacts[i] = (uint8_t)any_u32(r);
                expected[places[i] & mask] += units * impacts[i] + 1;
            }
            k->add_impacts(sums, mask, places, impacts, n, units);
            WELL(same_u32(sums, expected, mask + 1), "n = %u, mask %x, units %u", n, mask, units);
            release(true);
        }
    }
    return true;
}

static bool check_collect_sums(const kernel_table *k, random_source *r) {
    const double densities[] = {0, .004, .05, .3, .9, 1};
    const uint32_t leasts[] = {1, 2, 1000, 1u << 30, (1u << 31) - 1};
    uint32_t offsets[1024], found[1024];
    for (unsigned round = 0; round < 400; round++) {
        uint32_t n = 64 * (uint32_t)random_below(r, 12), least = leasts[random_below(r, 5)], expected = 0;
        uint32_t *sums = fenced_u32(n), *out = fenced_u32(n + 16), *out_sums = fenced_u32(n + 16);
        uint64_t *bits = fenced_u64(n / 64);
        double density = densities[random_below(r, 6)], live = densities[random_below(r, 6)];
        random_words(r, bits, n / 64, live);
        if (chance(r, .3)) bits = NULL;
        for (uint32_t i = 0; i < n; i++) {
            bool high = chance(r, density);
            sums[i] = high ? least + (uint32_t)random_below(r, (1u << 31) - least) : (uint32_t)random_below(r, least);
            if (chance(r, .01)) sums[i] = least - chance(r, .5);
            if (sums[i] < least || (bits && !(bits[i / 64] >> i % 64 & 1))) continue;
            offsets[expected] = i;
            found[expected++] = sums[i];
        }
        WELL(k->collect_sums(sums, n, least, bits, out, out_sums) == expected, "n = %u, least %u", n, least);
        WELL(same_u32(out, offsets, expected) && same_u32(out_sums, found, expected), "n = %u, least %u", n, least);
        for (uint32_t i = 0; i < n; i++) WELL(sums[i] == 0, "sum %u of %u", i, n);
        release(true);
    }
    return true;
}

static bool check_collect_impacts(const kernel_table *k, random_source *r) {
    const uint32_t leasts[] = {0, 1, 2, 100, 127, 128, 200, 250, 254, 255, 256, UINT32_MAX};
    uint32_t expected[2][CHECK_MOST];
    for (unsigned s = 0; s < N_CHECK_SIZES; s++) {
        for (unsigned l = 0; l < sizeof leasts / sizeof *leasts; l++) {
            uint32_t n = check_sizes[s], count = 0, units = chance(r, .5) ? any_u32(r) : 1 + any_u32(r) % 50;
            uint32_t *places = fenced_u32(n), *out = fenced_u32(n + 16), *sums = fenced_u32(n + 16), base = any_u32(r);
            uint8_t *impacts = fenced(n);
            ascending(r, places, n, base, 90);
            for (uint32_t i = 0; i < n; i++) {
                impacts[i] = (uint8_t)any_u32(r);
                if (impacts[i] < leasts[l]) continue;
                expected[0][count] = places[i] - base;
                expected[1][count++] = units * impacts[i] + 1;
            }
            WELL(k->collect_impacts(places, impacts, n, leasts[l], units, base, out, sums) == count, "n = %u", n);
            WELL(same_u32(out, expected[0], count) && same_u32(sums, expected[1], count), "n = %u, least %u", n, leasts[l]);
            release(true);
        }
    }
    return true;
}

static bool check_keep(const kernel_table *k, random_source *r) {
    uint32_t expected[2][CHECK_MOST];
    for (unsigned s = 0; s < N_CHECK_SIZES; s++) {
        for (unsigned round = 0; round < 16; round++) {
            uint32_t n = check_sizes[s], count = 0, shift = (uint32_t)random_below(r, 20);
            uint32_t *candidates = fenced_u32(n), *sums = fenced_u32(n), *added = fenced_u32(n);
            uint32_t need = round == 0 ? 0 : any_u32(r) >> shift, least = round < 2 ? 0 : any_u32(r) >> shift >> 2;
            for (uint32_t i = 0; i < n; i++) {
                candidates[i] = any_u32(r);
                added[i] = chance(r, .1) ? least : any_u32(r) >> shift >> 1;
                sums[i] = chance(r, .1) ? need - added[i] : any_u32(r) >> shift >> 1;
                if (sums[i] + added[i] < need || added[i] < least) continue;
                expected[0][count] = candidates[i];
                expected[1][count++] = sums[i] + added[i];
            }
            WELL(k->keep(candidates, sums, added, n, need, least) == count, "n = %u", n);
            WELL(same_u32(candidates, expected[0], count) && same_u32(sums, expected[1], count), "n = %u", n);
            release(true);
        }
    }
    return true;
}

static bool check_bounds(const kernel_table *k, random_source *r) {
    for (unsigned s = 0; s < N_CHECK_SIZES; s++) {
        for (unsigned round = 0; round < 8; round++) {
            uint32_t n = check_sizes[s], *bounds = fenced_u32(n), expected[CHECK_MOST], units = any_u32(r) >> 4 * round;
            uint8_t *maxima = fenced(n), most = 0, cap = (uint8_t)(round ? any_u32(r) : 255);
            for (uint32_t i = 0; i < n; i++) {
                maxima[i] = (uint8_t)(chance(r, .3) ? 0 : random_below(r, cap + 1u));
                bounds[i] = any_u32(r);
                expected[i] = bounds[i] + units * maxima[i] + (maxima[i] ? 1 : 0);
                if (maxima[i] > most) most = maxima[i];
            }
            k->add_bounds(bounds, maxima, n, units);
            WELL(same_u32(bounds, expected, n), "n = %u, units %u", n, units);
            WELL(k->max_u8(maxima, n) == most, "n = %u", n);
            if (n) { /* the largest alone, anywhere */
                memset(maxima, 7, n);
                maxima[random_below(r, n)] = 200;
                WELL(k->max_u8(maxima, n) == 200, "n = %u", n);
            }
            release(true);
        }
    }
    return true;
}

static bool check_groups(const kernel_table *k, random_source *r) {
    for (uint32_t n = 0; n <= 960; n += 64) {
        for (unsigned round = 0; round < 8; round++) {
            uint32_t *values = fenced_u32(n), *maxima = fenced_u32(n / 64), *out = fenced_u32(n + 16);
            uint32_t expected[CHECK_MOST], listed[CHECK_MOST], n_listed = 0;
            uint32_t least = round == 0 ? 0 : round == 1 ? UINT32_MAX : any_u32(r);
            for (uint32_t i = 0; i < n; i++) {
                values[i] = chance(r, .1) ? least : any_u32(r) >> 4 * (round % 4);
                if (i % 64 == 0 || values[i] > expected[i / 64]) expected[i / 64] = values[i];
                if (values[i] >= least) listed[n_listed++] = i;
            }
            k->max_groups(values, n, maxima);
            WELL(same_u32(maxima, expected, n / 64), "n = %u", n);
            WELL(k->list_at_least(values, n, least, out) == n_listed, "n = %u, least %u", n, least);
            WELL(same_u32(out, listed, n_listed), "n = %u, least %u", n, least);
            release(true);
        }
    }
    return true;
}

/* ---- Ascending lists ---- */

static bool intersects(const kernel_table *k, const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb) {
    uint32_t room = (na < nb ? na : nb) + 16, count = 0;
    uint32_t *at_a = fenced_u32(room), *at_b = fenced_u32(room), *expected = malloc(2 * room * sizeof *expected);
    for (uint32_t i = 0, j = 0; i < na; i++) {
        while (j < nb && b[j] < a[i]) j++;
        if (j == nb || b[j] != a[i]) continue;
        expected[2 * count] = i;
        expected[2 * count++ + 1] = j;
    }
    bool well = k->intersect(a, na, b, nb, at_a, at_b) == count;
    for (uint32_t i = 0; well && i < count; i++) well = at_a[i] == expected[2 * i] && at_b[i] == expected[2 * i + 1];
    free(expected);
    return well;
}

static bool check_intersect(const kernel_table *k, random_source *r) {
    for (unsigned round = 0; round < 1500; round++) {
        uint32_t n[2], *list[2];
        for (unsigned l = 0; l < 2; l++) {
            n[l] = check_sizes[random_below(r, N_CHECK_SIZES)];
            list[l] = fenced_u32(n[l]);
            ascending(r, list[l], n[l], (uint32_t)random_below(r, 40), 1u << random_below(r, 7));
        }
        if (chance(r, .1)) { /* the same list */
            n[1] = n[0];
            list[1] = list[0];
        } else if (n[0] && n[1] && chance(r, .2)) { /* the largest place there is */
            list[0][n[0] - 1] = UINT32_MAX;
            list[1][n[1] - 1] = UINT32_MAX - chance(r, .3);
        }
        WELL(intersects(k, list[0], n[0], list[1], n[1]), "n = %u and %u", n[0], n[1]);
        release(true);
    }
    for (unsigned round = 0; round < 60; round++) { /* far apart in length, where the longer one is searched */
        uint32_t few = 1 + (uint32_t)random_below(r, 300), many = 1 + (uint32_t)random_below(r, 20000);
        uint32_t *a = fenced_u32(few), *b = fenced_u32(many);
        ascending(r, b, many, (uint32_t)random_below(r, 9), 3);
        ascending(r, a, few, (uint32_t)random_below(r, 9), 1u << random_below(r, 9));
        WELL(intersects(k, a, few, b, many), "n = %u and %u", few, many);
        WELL(intersects(k, b, many, a, few), "n = %u and %u", many, few);
        release(true);
    }
    return true;
}

static bool check_first_from(const kernel_table *k, random_source *r) {
    for (uint32_t n = 1; n <= KERNEL_BLOCK; n++) {
        uint32_t readable = (n + 7) / 8 * 8, *values = fenced_u32(readable);
        ascending(r, values, n, any_u32(r) >> 2, chance(r, .5) ? 3 : 1u << 22);
        for (uint32_t i = n; i < readable; i++) values[i] = chance(r, .5) ? 0 : UINT32_MAX;
        if (chance(r, .2)) values[n - 1] = UINT32_MAX;
        for (uint32_t i = 0; i < n; i++) {
            uint32_t between = i ? values[i - 1] + 1 : 0;
            WELL(k->first_from(values, n, values[i]) == i, "%u of %u", i, n);
            WELL(k->first_from(values, n, between) == i, "%u of %u", i, n);
        }
        if (values[n - 1] < UINT32_MAX) {
            WELL(k->first_from(values, n, values[n - 1] + 1) == n, "n = %u", n);
            WELL(k->first_from(values, n, UINT32_MAX) == n, "n = %u", n);
        }
        release(true);
    }
    return true;
}

/* ---- Bit sets ---- */

static bool check_words(const kernel_table *k, random_source *r) {
    for (unsigned s = 0; s < N_CHECK_SIZES; s++) {
        size_t n = check_sizes[s];
        uint64_t *x = fenced_u64(n), *y = fenced_u64(n), *z = fenced_u64(n), count = 0;
        random_words(r, x, n, random_double(r));
        random_words(r, y, n, .5);
        for (size_t i = 0; i < 64 * n; i++) count += x[i / 64] >> i % 64 & 1;
        WELL(k->count_ones(x, n) == count, "n = %zu", n);
        memcpy(z, x, n * sizeof *x);
        k->and_words(z, y, n);
        for (size_t i = 0; i < n; i++) WELL(z[i] == (x[i] & y[i]), "word %zu of %zu", i, n);
        memcpy(z, x, n * sizeof *x);
        k->or_words(z, y, n);
        for (size_t i = 0; i < n; i++) WELL(z[i] == (x[i] | y[i]), "word %zu of %zu", i, n);
        memcpy(z, x, n * sizeof *x);
        k->and_not_words(z, y, n);
        for (size_t i = 0; i < n; i++) WELL(z[i] == (x[i] & ~y[i]), "word %zu of %zu", i, n);
        memset(x, 0xff, n * sizeof *x);
        WELL(k->count_ones(x, n) == 64 * n, "n = %zu", n);
        release(true);
    }
    return true;
}

static bool check_list_ones(const kernel_table *k, random_source *r) {
    const double densities[] = {0, .002, .02, .08, .2, .5, .97, 1};
    for (unsigned round = 0; round < 200; round++) {
        size_t n = random_below(r, 40);
        uint64_t *words = fenced_u64(n);
        bool sparse = chance(r, .3);
        for (size_t i = 0; i < n; i++) random_words(r, words + i, 1, sparse ? .001 : densities[random_below(r, 8)]);
        uint32_t base = any_u32(r), count = 0, *expected = malloc(64 * 40 * sizeof *expected);
        for (uint32_t i = 0; i < 64 * n; i++) {
            if (words[i / 64] >> i % 64 & 1) expected[count++] = base + i;
        }
        uint32_t *out = fenced_u32(count + 16);
        bool well = k->list_ones(words, n, base, out) == count && same_u32(out, expected, count);
        free(expected);
        WELL(well, "n = %zu", n);
        release(true);
    }
    return true;
}

static bool check_between(const kernel_table *k, random_source *r) {
    const double special[] = {NAN, INFINITY, -INFINITY, 0., -0., 5e-324, -5e-324, 1e308, -1e308, 1, 2};
    for (unsigned round = 0; round < 200; round++) {
        size_t n = 64 * random_below(r, 8);
        double *numbers = fenced(n * sizeof *numbers), ends[2];
        uint64_t *bits = fenced_u64(n / 64);
        for (unsigned e = 0; e < 2; e++) ends[e] = chance(r, .3) ? special[random_below(r, 11)] : random_normal(r);
        for (size_t i = 0; i < n; i++) {
            numbers[i] = chance(r, .2) ? special[random_below(r, 11)] : chance(r, .1) ? ends[i % 2] : random_normal(r);
        }
        k->between(numbers, n, ends[0], ends[1], bits);
        for (size_t i = 0; i < n; i++) {
            bool inside = !isnan(numbers[i]) && !(numbers[i] < ends[0]) && !(numbers[i] > ends[1]) && !isnan(ends[0]) &&
                          !isnan(ends[1]);
            WELL((bits[i / 64] >> i % 64 & 1) == inside, "%g in %g … %g", numbers[i], ends[0], ends[1]);
        }
        release(true);
    }
    return true;
}

static const struct kernel_check {
    const char *name;
    bool (*check)(const kernel_table *k, random_source *r);
} kernel_checks[] = {
    {"blocks", check_blocks},
    {"sum_gaps", check_sum_gaps},
    {"add_impacts", check_add_impacts},
    {"collect_sums", check_collect_sums},
    {"collect_impacts", check_collect_impacts},
    {"keep", check_keep},
    {"add_bounds, max_u8", check_bounds},
    {"max_groups, list_at_least", check_groups},
    {"intersect", check_intersect},
    {"first_from", check_first_from},
    {"words", check_words},
    {"list_ones", check_list_ones},
    {"between", check_between},
};
enum { N_KERNEL_CHECKS = sizeof kernel_checks / sizeof *kernel_checks };

#endif
