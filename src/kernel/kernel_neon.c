/* Four values at a time with the 128-bit vectors that every arm64 processor has. */
#include "kernel/kernel_tables.h"

#if defined(__aarch64__)
#include <arm_neon.h>
#include <string.h>

enum { LANES = 4 };

#define INLINE static inline __attribute__((always_inline))

typedef uint32x4_t four;

/* ---- Selecting lanes ---- */

/* For each of the 16 selections of four lanes: the bytes that move them to the front, and their numbers in order. */
#define ONES(m) (((m) & 1) + ((m) >> 1 & 1) + ((m) >> 2 & 1) + ((m) >> 3 & 1))
#define TAKES(m, i, k) ((m) >> (i) & 1 && ONES((m) & ((1 << (i)) - 1)) == (k))
#define LANE(m, k) (TAKES(m, 1, k) ? 1 : TAKES(m, 2, k) ? 2 : TAKES(m, 3, k) ? 3 : 0)
#define BYTES(l) 4 * (l), 4 * (l) + 1, 4 * (l) + 2, 4 * (l) + 3
#define CHOICE(m) {BYTES(LANE(m, 0)), BYTES(LANE(m, 1)), BYTES(LANE(m, 2)), BYTES(LANE(m, 3))}
#define CHOICES_4(m) CHOICE(m), CHOICE((m) + 1), CHOICE((m) + 2), CHOICE((m) + 3)
static const uint8_t choices[16][16] = {CHOICES_4(0), CHOICES_4(4), CHOICES_4(8), CHOICES_4(12)};

INLINE four to_front(four v, unsigned selected) {
    return vreinterpretq_u32_u8(vqtbl1q_u8(vreinterpretq_u8_u32(v), vld1q_u8(choices[selected])));
}

INLINE four count_up(uint32_t from) {
    const uint32_t lanes[LANES] = {0, 1, 2, 3};
    return vaddq_u32(vld1q_u32(lanes), vdupq_n_u32(from));
}

/* A bit for each lane of a comparison's result. */
INLINE unsigned selection(four truths) {
    const uint32_t bits[LANES] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(truths, vld1q_u32(bits)));
}

INLINE unsigned selection_u8(uint8x16_t truths) {
    const uint8_t bits[16] = {1, 2, 4, 8, 16, 32, 64, 128, 1, 2, 4, 8, 16, 32, 64, 128};
    uint8x16_t v = vandq_u8(truths, vld1q_u8(bits));
    return vaddv_u8(vget_low_u8(v)) | (unsigned)vaddv_u8(vget_high_u8(v)) << 8;
}

INLINE unsigned ones(unsigned selected) { return 0x4332322132212110u >> 4 * selected & 15; } /* of four */

/* Four bytes as four lanes. */
INLINE four widen4(const uint8_t *p) {
    uint32_t word;
    memcpy(&word, p, sizeof word);
    return vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(word))));
}

INLINE four weigh(four impacts, uint32_t units) { return vmlaq_u32(vdupq_n_u32(1), impacts, vdupq_n_u32(units)); }

/* ---- Blocks of postings ---- */

INLINE four row_load(const uint8_t *in, unsigned row) { return vreinterpretq_u32_u8(vld1q_u8(in + 16 * (size_t)row)); }

/* Row j of B-bit values. Both are constants, so that the compiler decides every condition here. */
INLINE four row_values(const uint8_t *in, unsigned B, unsigned j) {
    const unsigned at = B * j, shift = at % 32;
    four v = vshlq_u32(row_load(in, at / 32), vdupq_n_s32(-(int)shift));
    if (shift + B > 32) v = vorrq_u32(v, vshlq_u32(row_load(in, at / 32 + 1), vdupq_n_s32(32 - (int)shift)));
    return vandq_u32(v, vdupq_n_u32(UINT32_MAX >> (32 - B)));
}

/* Four gaps from *last, the place before them in every lane, which moves on. Its chain is one addition long. */
INLINE four sum_four(four gaps, four *last) {
    const four zero = vdupq_n_u32(0);
    four x = vaddq_u32(gaps, vdupq_n_u32(1));
    x = vaddq_u32(x, vextq_u32(zero, x, 3));
    x = vaddq_u32(x, vextq_u32(zero, x, 2));
    four places = vaddq_u32(x, *last);
    *last = vaddq_u32(*last, vdupq_laneq_u32(x, 3));
    return places;
}

#define ROWS_4(X, B, j) X(B, j) X(B, j + 1) X(B, j + 2) X(B, j + 3)
#define ROWS_16(X, B, j) ROWS_4(X, B, j) ROWS_4(X, B, j + 4) ROWS_4(X, B, j + 8) ROWS_4(X, B, j + 12)
#define VALUES(B, j) vst1q_u32(values + LANES * (j), row_values(in, B, j));
#define PLACES(B, j) vst1q_u32(places + LANES * (j), sum_four(row_values(in, B, j), &last));
#define UNPACK(B)                                                                                                      \
    static void values_##B(const uint8_t *in, uint32_t *values) { ROWS_16(VALUES, B, 0) ROWS_16(VALUES, B, 16) }       \
    static void places_##B(const uint8_t *in, uint32_t base, uint32_t *places) {                                       \
        four last = vdupq_n_u32(base - 1);                                                                             \
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
    memset(values, 0, KERNEL_BLOCK * sizeof *values);
}

static void places_0(const uint8_t *in, uint32_t base, uint32_t *places) {
    (void)in;
    for (uint32_t i = 0; i < KERNEL_BLOCK; i += LANES) vst1q_u32(places + i, count_up(base + i));
}

#define VALUES_NAME(B) , values_##B
#define PLACES_NAME(B) , places_##B
static void (*const values_of[33])(const uint8_t *in, uint32_t *values) = {values_0 WIDTHS(VALUES_NAME)};
static void (*const places_of[33])(const uint8_t *in, uint32_t base, uint32_t *places) = {places_0 WIDTHS(PLACES_NAME)};

static void unpack(const uint8_t *in, unsigned bits, uint32_t values[KERNEL_BLOCK]) { values_of[bits](in, values); }

static void unpack_gaps(const uint8_t *in, unsigned bits, uint32_t base, uint32_t places[KERNEL_BLOCK]) {
    places_of[bits](in, base, places);
}

static void sum_gaps(uint32_t *values, uint32_t n, uint32_t base) {
    four last = vdupq_n_u32(base - 1);
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) vst1q_u32(values + i, sum_four(vld1q_u32(values + i), &last));
    base = vgetq_lane_u32(last, 0) + 1;
    for (; i < n; i++) {
        values[i] += base;
        base = values[i] + 1;
    }
}

/* ---- Scoring ---- */

static void add_impacts(uint32_t *sums, uint32_t mask, const uint32_t *places, const uint8_t *impacts, uint32_t n,
                        uint32_t units) {
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        uint32_t more[LANES]; /* only the products gain by a vector: the sums lie apart */
        vst1q_u32(more, weigh(widen4(impacts + i), units));
        for (unsigned j = 0; j < LANES; j++) sums[places[i + j] & mask] += more[j];
    }
    for (; i < n; i++) sums[places[i] & mask] += units * impacts[i] + 1;
}

static uint32_t collect_sums(uint32_t *sums, uint32_t n, uint32_t least, const uint64_t *bits, uint32_t *offsets,
                             uint32_t *out_sums) {
    const four leasts = vdupq_n_u32(least), zero = vdupq_n_u32(0);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += 16) {
        four a = vld1q_u32(sums + i), b = vld1q_u32(sums + i + 4), c = vld1q_u32(sums + i + 8), d = vld1q_u32(sums + i + 12);
        uint64_t wanted = bits ? bits[i / 64] >> i % 64 : UINT64_MAX;
        for (unsigned v = 0; v < 16; v += LANES) vst1q_u32(sums + i + v, zero);
        if (vmaxvq_u32(vmaxq_u32(vmaxq_u32(a, b), vmaxq_u32(c, d))) < least) continue;
        const four all[] = {a, b, c, d};
        for (uint32_t v = 0; v < 4; v++, wanted >>= LANES) {
            unsigned selected = selection(vcgeq_u32(all[v], leasts)) & (unsigned)(wanted & 15);
            vst1q_u32(offsets + found, to_front(count_up(i + LANES * v), selected));
            vst1q_u32(out_sums + found, to_front(all[v], selected));
            found += ones(selected);
        }
    }
    return found;
}

static uint32_t collect_impacts(const uint32_t *places, const uint8_t *impacts, uint32_t n, uint32_t least,
                                uint32_t units, uint32_t base, uint32_t *out_places, uint32_t *out_sums) {
    if (least > UINT8_MAX) return 0;
    uint32_t found = 0, i = 0;
    for (; i + 16 <= n; i += 16) {
        unsigned selected = selection_u8(vcgeq_u8(vld1q_u8(impacts + i), vdupq_n_u8((uint8_t)least)));
        for (uint32_t at = i; selected; at += LANES, selected >>= LANES) {
            four place = vsubq_u32(vld1q_u32(places + at), vdupq_n_u32(base));
            vst1q_u32(out_places + found, to_front(place, selected & 15));
            vst1q_u32(out_sums + found, to_front(weigh(widen4(impacts + at), units), selected & 15));
            found += ones(selected & 15);
        }
    }
    for (; i < n; i++) {
        if (impacts[i] < least) continue;
        out_places[found] = places[i] - base;
        out_sums[found++] = units * impacts[i] + 1;
    }
    return found;
}

/* A vector's stores end at most where its loads ended, so that nothing is overwritten that was not read. */
static uint32_t keep(uint32_t *candidates, uint32_t *sums, const uint32_t *added, uint32_t n, uint32_t need,
                     uint32_t least_added) {
    uint32_t kept = 0, i = 0;
    for (; i + LANES <= n; i += LANES) {
        four more = vld1q_u32(added + i), sum = vaddq_u32(vld1q_u32(sums + i), more), candidate = vld1q_u32(candidates + i);
        four truths = vandq_u32(vcgeq_u32(sum, vdupq_n_u32(need)), vcgeq_u32(more, vdupq_n_u32(least_added)));
        unsigned selected = selection(truths);
        vst1q_u32(candidates + kept, to_front(candidate, selected));
        vst1q_u32(sums + kept, to_front(sum, selected));
        kept += ones(selected);
    }
    for (; i < n; i++) {
        uint32_t sum = sums[i] + added[i];
        if (sum < need || added[i] < least_added) continue;
        candidates[kept] = candidates[i];
        sums[kept++] = sum;
    }
    return kept;
}

static void max_groups(const uint32_t *values, uint32_t n, uint32_t *maxima) {
    for (uint32_t i = 0; i < n; i += 64) {
        four most = vld1q_u32(values + i);
        for (uint32_t v = LANES; v < 64; v += LANES) most = vmaxq_u32(most, vld1q_u32(values + i + v));
        maxima[i / 64] = vmaxvq_u32(most);
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
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        four m = widen4(maxima + i);
        four sum = vmlaq_u32(vld1q_u32(bounds + i), m, vdupq_n_u32(units));
        vst1q_u32(bounds + i, vaddq_u32(sum, vminq_u32(m, vdupq_n_u32(1))));
    }
    for (; i < n; i++) bounds[i] += units * maxima[i] + (maxima[i] != 0);
}

static uint8_t max_u8(const uint8_t *values, uint32_t n) {
    uint8x16_t v = vdupq_n_u8(0), w = v;
    uint32_t i = 0;
    for (; i + 32 <= n; i += 32) {
        v = vmaxq_u8(v, vld1q_u8(values + i));
        w = vmaxq_u8(w, vld1q_u8(values + i + 16));
    }
    uint8_t most = vmaxvq_u8(vmaxq_u8(v, w));
    for (; i < n; i++) most = values[i] > most ? values[i] : most;
    return most;
}

/* ---- Ascending lists ---- */

static uint32_t first_from(const uint32_t *values, uint32_t n, uint32_t value) {
    const four v = vdupq_n_u32(value);
    if (n == KERNEL_BLOCK) { /* two halvings, then all of 32; no branch to guess */
        uint32_t at = values[63] < value ? 64 : 0;
        at += values[at + 31] < value ? 32 : 0;
        four below = vdupq_n_u32(0); /* counts downwards: a truth is −1 */
        for (unsigned i = 0; i < 32; i += LANES) below = vaddq_u32(below, vcltq_u32(vld1q_u32(values + at + i), v));
        return at - vaddvq_u32(below);
    }
    for (uint32_t i = 0; i < n; i += LANES) {
        unsigned from = selection(vcgeq_u32(vld1q_u32(values + i), v));
        if (from) {
            uint32_t at = i + (uint32_t)__builtin_ctz(from);
            return at < n ? at : n;
        }
    }
    return n;
}

#define TURN(v, k) vextq_u32(v, v, k) /* lane i takes lane i + k */
#define OR(x, y) vorrq_u32(x, y)

/* The lanes of x that are in y, and those of y that are in x: all of x against every turn of y; a truth turned back
 * belongs to y's lane. (All-pairs comparison of blocks: Schlegel, Willhalm & Lehner 2011.) */
INLINE void compare_blocks(four x, four y, unsigned *in_x, unsigned *in_y) {
    four s0 = vceqq_u32(x, y), s1 = vceqq_u32(x, TURN(y, 1)), s2 = vceqq_u32(x, TURN(y, 2)), s3 = vceqq_u32(x, TURN(y, 3));
    *in_x = selection(OR(OR(s0, s1), OR(s2, s3)));
    *in_y = selection(OR(OR(s0, TURN(s1, 3)), OR(TURN(s2, 2), TURN(s3, 1))));
}

static uint32_t intersect(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb, uint32_t *at_a,
                          uint32_t *at_b) {
    if (nb / KERNEL_GALLOP >= na) return kernel_search_each(a, 0, na, b, 0, nb, at_a, at_b);
    if (na / KERNEL_GALLOP >= nb) return kernel_search_each(b, 0, nb, a, 0, na, at_b, at_a);
    uint32_t found = 0, i = 0, j = 0;
    while (i + LANES <= na && j + LANES <= nb) {
        unsigned in_a, in_b;
        compare_blocks(vld1q_u32(a + i), vld1q_u32(b + j), &in_a, &in_b);
        vst1q_u32(at_a + found, to_front(count_up(i), in_a));
        vst1q_u32(at_b + found, to_front(count_up(j), in_b));
        found += ones(in_a);
        uint32_t last_a = a[i + LANES - 1], last_b = b[j + LANES - 1];
        i += last_a <= last_b ? LANES : 0;
        j += last_b <= last_a ? LANES : 0;
    }
    at_a += found;
    at_b += found;
    return found + (na - i < LANES ? kernel_search_each(a, i, na, b, j, nb, at_a, at_b)
                                   : kernel_search_each(b, j, nb, a, i, na, at_b, at_a));
}

/* ---- Bit sets ---- */

static uint64_t count_ones(const uint64_t *words, size_t n) {
    uint64x2_t count = vdupq_n_u64(0);
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        uint8x16_t x = vcntq_u8(vreinterpretq_u8_u64(vld1q_u64(words + i)));
        uint8x16_t y = vcntq_u8(vreinterpretq_u8_u64(vld1q_u64(words + i + 2)));
        count = vpadalq_u32(count, vpaddlq_u16(vpaddlq_u8(vaddq_u8(x, y))));
    }
    uint64_t all = vaddvq_u64(count);
    for (; i < n; i++) all += vaddv_u8(vcnt_u8(vcreate_u8(words[i])));
    return all;
}

#define COMBINE(NAME, VECTORS, WORDS)                                                                                  \
    static void NAME(uint64_t *a, const uint64_t *b, size_t n) {                                                       \
        size_t i = 0;                                                                                                  \
        for (; i + 2 <= n; i += 2) vst1q_u64(a + i, VECTORS(vld1q_u64(a + i), vld1q_u64(b + i)));                      \
        for (; i < n; i++) a[i] = WORDS(a[i], b[i]);                                                                   \
    }
#define AND(x, y) ((x) & (y))
#define OR_ELSE(x, y) ((x) | (y))
#define AND_NOT(x, y) ((x) & ~(y))
COMBINE(and_words, vandq_u64, AND)
COMBINE(or_words, vorrq_u64, OR_ELSE)
COMBINE(and_not_words, vbicq_u64, AND_NOT)

static uint32_t list_ones(const uint64_t *words, size_t n, uint32_t base, uint32_t *out) {
    enum { FEW = 8 }; /* are taken one by one, more by whole vectors */
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++, base += 64) {
        uint64_t word = words[i];
        if (vaddv_u8(vcnt_u8(vcreate_u8(word))) <= FEW) {
            for (; word; word &= word - 1) out[found++] = base + (uint32_t)__builtin_ctzll(word);
            continue;
        }
        for (uint32_t at = base; word; at += LANES, word >>= LANES) {
            vst1q_u32(out + found, to_front(count_up(at), word & 15));
            found += ones(word & 15);
        }
    }
    return found;
}

static void between(const double *numbers, size_t n, double low, double high, uint64_t *bits) {
    const float64x2_t lows = vdupq_n_f64(low), highs = vdupq_n_f64(high);
    const uint64_t first_bits[2] = {1, 2};
    for (size_t i = 0; i < n; i += 64) {
        uint64x2_t word = vdupq_n_u64(0), bit = vld1q_u64(first_bits);
        for (unsigned j = 0; j < 64; j += 2) {
            float64x2_t v = vld1q_f64(numbers + i + j);
            word = vorrq_u64(word, vandq_u64(bit, vandq_u64(vcleq_f64(lows, v), vcleq_f64(v, highs))));
            bit = vshlq_n_u64(bit, 2);
        }
        bits[i / 64] = vgetq_lane_u64(word, 0) | vgetq_lane_u64(word, 1);
    }
}

const kernel_table kernel_neon = {
    .name = "neon",
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
#endif
