/* Eight values at a time with 256-bit vectors. Compiled for AVX2; kernel.c asks the processor first. */
#include "kernel/kernel_avx2.h"
#include "kernel/kernel_tables.h"

#include <string.h>

enum { LANES = 8 };

/* ---- Selecting lanes ---- */

/* For each of the 256 selections of eight lanes, their numbers in order, a byte each: what moves them to the front, and
 * also the members of a byte of a bit set. */
#define BEFORE(m, i) __builtin_popcount((m) & ((1u << (i)) - 1))
#define LANE(m, i) ((uint64_t)((m) >> (i) & 1) * (i) << 8 * BEFORE(m, i))
#define CHOICE(m) (LANE(m, 1) | LANE(m, 2) | LANE(m, 3) | LANE(m, 4) | LANE(m, 5) | LANE(m, 6) | LANE(m, 7))
#define CHOICES_4(m) CHOICE(m), CHOICE((m) + 1), CHOICE((m) + 2), CHOICE((m) + 3)
#define CHOICES_16(m) CHOICES_4(m), CHOICES_4((m) + 4), CHOICES_4((m) + 8), CHOICES_4((m) + 12)
#define CHOICES_64(m) CHOICES_16(m), CHOICES_16((m) + 16), CHOICES_16((m) + 32), CHOICES_16((m) + 48)
static const uint64_t choices[256] = {CHOICES_64(0u), CHOICES_64(64u), CHOICES_64(128u), CHOICES_64(192u)};

INLINE eight to_front(unsigned selected) { return widen8(&choices[selected]); }
INLINE eight permute(eight v, eight order) { return _mm256_permutevar8x32_epi32(v, order); }
INLINE eight all(uint32_t value) { return _mm256_set1_epi32((int)value); }

/* A bit for each lane of a comparison's result. */
INLINE unsigned selection(eight truths) { return (unsigned)_mm256_movemask_ps(_mm256_castsi256_ps(truths)); }
INLINE eight at_least(eight v, eight least) { return _mm256_cmpeq_epi32(_mm256_max_epu32(v, least), v); }
INLINE unsigned ones(uint64_t word) { return (unsigned)_mm_popcnt_u64(word); }
INLINE unsigned first(uint64_t word) { return (unsigned)_tzcnt_u64(word); }

/* units × impacts + 1 of eight impacts. */
INLINE eight weigh(eight impacts, eight units) { return _mm256_add_epi32(_mm256_mullo_epi32(impacts, units), all(1)); }

/* ---- Scoring ---- */

void kernel_avx2_add_impacts(uint32_t *sums, uint32_t mask, const uint32_t *places, const uint8_t *impacts, uint32_t n,
                             uint32_t units) {
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        uint32_t more[LANES]; /* only the products gain by a vector: the sums lie apart */
        store8(more, weigh(widen8(impacts + i), all(units)));
        for (unsigned j = 0; j < LANES; j++) sums[places[i + j] & mask] += more[j];
    }
    for (; i < n; i++) sums[places[i] & mask] += units * impacts[i] + 1;
}

/* Up to so many of 64 or 32 are taken one by one, more by whole vectors. Always that many are written, whatever their
 * number, which no branch then has to guess. */
enum { FEW = 4 };

/* The lanes >= least of 64 sums, as bits. */
INLINE uint64_t select_sums(const uint32_t *sums, eight least) {
    eight most = _mm256_setzero_si256();
    for (unsigned v = 0; v < 64; v += LANES) most = _mm256_max_epu32(most, load8(sums + v));
    if (!selection(at_least(most, least))) return 0;
    uint64_t selected = 0;
    for (unsigned v = 0; v < 64; v += LANES) selected |= (uint64_t)selection(at_least(load8(sums + v), least)) << v;
    return selected;
}

static uint32_t collect_sums(uint32_t *sums, uint32_t n, uint32_t least, const uint64_t *bits, uint32_t *offsets,
                             uint32_t *out_sums) {
    const eight leasts = all(least);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += 64) {
        uint64_t selected = select_sums(sums + i, leasts);
        if (bits) selected &= bits[i / 64];
        if (ones(selected) - 1 < FEW) {
            uint64_t rest = selected;
            for (unsigned f = found; f < found + FEW; f++, rest = _blsr_u64(rest)) {
                offsets[f] = i + first(rest) % 64;
                out_sums[f] = sums[offsets[f]];
            }
            found += ones(selected);
        } else if (selected) {
            for (uint32_t v = i; v < i + 64; v += LANES, selected >>= LANES) {
                eight order = to_front(selected & 255);
                store8(offsets + found, _mm256_add_epi32(order, all(v)));
                store8(out_sums + found, permute(load8(sums + v), order));
                found += ones(selected & 255);
            }
        }
        for (unsigned v = 0; v < 64; v += LANES) store8(sums + i + v, _mm256_setzero_si256());
    }
    return found;
}

static uint32_t collect_impacts(const uint32_t *places, const uint8_t *impacts, uint32_t n, uint32_t least,
                                uint32_t units, uint32_t base, uint32_t *out_places, uint32_t *out_sums) {
    if (least > UINT8_MAX) return 0;
    const eight leasts = _mm256_set1_epi8((char)least);
    uint32_t found = 0, i = 0;
    for (; i + 32 <= n; i += 32) {
        eight v = load8(impacts + i);
        uint32_t selected = (uint32_t)_mm256_movemask_epi8(_mm256_cmpeq_epi8(_mm256_max_epu8(v, leasts), v));
        if (!selected) continue;
        if (ones(selected) <= FEW) {
            uint64_t rest = selected;
            for (unsigned f = found; f < found + FEW; f++, rest = _blsr_u64(rest)) {
                uint32_t at = i + first(rest) % 32;
                out_places[f] = places[at] - base;
                out_sums[f] = units * impacts[at] + 1;
            }
            found += ones(selected);
            continue;
        }
        for (uint32_t at = i; at < i + 32; at += LANES, selected >>= LANES) {
            eight order = to_front(selected & 255);
            eight sums = weigh(widen8(impacts + at), all(units));
            store8(out_places + found, _mm256_sub_epi32(permute(load8(places + at), order), all(base)));
            store8(out_sums + found, permute(sums, order));
            found += ones(selected & 255);
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
        eight more = load8(added + i), sum = _mm256_add_epi32(load8(sums + i), more), candidate = load8(candidates + i);
        unsigned selected = selection(_mm256_and_si256(at_least(sum, all(need)), at_least(more, all(least_added))));
        eight order = to_front(selected);
        store8(candidates + kept, permute(candidate, order));
        store8(sums + kept, permute(sum, order));
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

void kernel_avx2_max_groups(const uint32_t *values, uint32_t n, uint32_t *maxima) {
    for (uint32_t i = 0; i < n; i += 64) {
        eight most = load8(values + i);
        for (unsigned v = LANES; v < 64; v += LANES) most = _mm256_max_epu32(most, load8(values + i + v));
        __m128i half = _mm_max_epu32(_mm256_castsi256_si128(most), _mm256_extracti128_si256(most, 1));
        half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0x4e));
        half = _mm_max_epu32(half, _mm_shuffle_epi32(half, 0xb1));
        maxima[i / 64] = (uint32_t)_mm_cvtsi128_si32(half);
    }
}

uint32_t kernel_avx2_list_at_least(const uint32_t *values, uint32_t n, uint32_t least, uint32_t *out) {
    const eight leasts = all(least);
    uint32_t found = 0;
    for (uint32_t i = 0; i < n; i += 64) {
        uint64_t selected = select_sums(values + i, leasts);
        if (!selected) continue;
        for (uint32_t v = i; v < i + 64; v += LANES, selected >>= LANES) {
            store8(out + found, _mm256_add_epi32(to_front(selected & 255), all(v)));
            found += ones(selected & 255);
        }
    }
    return found;
}

static void add_bounds(uint32_t *bounds, const uint8_t *maxima, uint32_t n, uint32_t units) {
    uint32_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        eight m = widen8(maxima + i);
        eight more = _mm256_add_epi32(_mm256_mullo_epi32(m, all(units)), _mm256_min_epu32(m, all(1)));
        store8(bounds + i, _mm256_add_epi32(load8(bounds + i), more));
    }
    for (; i < n; i++) bounds[i] += units * maxima[i] + (maxima[i] != 0);
}

static uint8_t max_u8(const uint8_t *values, uint32_t n) {
    uint8_t most = 0;
    uint32_t i = 0;
    if (n >= 32) {
        eight v = load8(values), w = v;
        for (; i + 64 <= n; i += 64) {
            v = _mm256_max_epu8(v, load8(values + i));
            w = _mm256_max_epu8(w, load8(values + i + 32));
        }
        for (; i + 32 <= n; i += 32) v = _mm256_max_epu8(v, load8(values + i));
        v = _mm256_max_epu8(v, w);
        /* The processor has a smallest of eight 16-bit lanes; of the complements, with the odd bytes maxed into the even. */
        __m128i x = _mm_max_epu8(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
        x = _mm_max_epu8(x, _mm_srli_epi16(x, 8));
        x = _mm_andnot_si128(x, _mm_set1_epi16(255));
        most = (uint8_t)(255 - _mm_extract_epi16(_mm_minpos_epu16(x), 0));
    }
    for (; i < n; i++) most = values[i] > most ? values[i] : most;
    return most;
}

/* ---- Ascending lists ---- */

uint32_t kernel_avx2_first_from(const uint32_t *values, uint32_t n, uint32_t value) {
    const eight v = all(value);
    if (n == KERNEL_BLOCK) { /* two halvings, then all of 32; no branch to guess */
        uint32_t at = values[63] < value ? 64 : 0;
        at += values[at + 31] < value ? 32 : 0;
        values += at;
        eight a = _mm256_packs_epi32(at_least(load8(values), v), at_least(load8(values + 8), v));
        eight b = _mm256_packs_epi32(at_least(load8(values + 16), v), at_least(load8(values + 24), v));
        return at + 32 - ones((uint32_t)_mm256_movemask_epi8(_mm256_packs_epi16(a, b)));
    }
    for (uint32_t i = 0; i < n; i += LANES) {
        unsigned from = selection(at_least(load8(values + i), v));
        if (from) {
            uint32_t at = i + first(from);
            return at < n ? at : n;
        }
    }
    return n;
}

/* The position in many[at … n) of the first value >= value; n when none is. */
INLINE uint32_t gallop(const uint32_t *many, uint32_t at, uint32_t n, uint32_t value) {
    uint32_t step = LANES;
    while (step < n - at && many[at + step - 1] < value) {
        at += step;
        step *= 2;
    }
    uint32_t length = step < n - at ? step : n - at;
    while (length > LANES) {
        uint32_t half = length / 2;
        at += many[at + half - 1] < value ? half : 0;
        length -= half;
    }
    if (n - at >= LANES) {
        unsigned from = selection(at_least(load8(many + at), all(value)));
        return at + (from ? first(from) : LANES);
    }
    while (at < n && many[at] < value) at++;
    return at;
}

/* What few[i … n_few) and many[j … n_many) have in common, by a search for each of the few. */
static uint32_t search_each(const uint32_t *few, uint32_t i, uint32_t n_few, const uint32_t *many, uint32_t j,
                            uint32_t n_many, uint32_t *at_few, uint32_t *at_many) {
    uint32_t found = 0;
    for (; i < n_few; i++) {
        j = gallop(many, j, n_many, few[i]);
        if (j == n_many) break;
        at_few[found] = i;
        at_many[found] = j;
        found += many[j] == few[i];
    }
    return found;
}

#define TURN(v, k) _mm256_shuffle_epi32(v, (k) == 1 ? 0x39 : (k) == 2 ? 0x4e : 0x93) /* lane i takes lane i + k of its half */
#define SWAP(v) _mm256_permute2x128_si256(v, v, 1)
#define OR(x, y) _mm256_or_si256(x, y)

/* The lanes of x that are in y, and those of y that are in x: all of x against every turn of y; a truth turned back
 * belongs to y's lane. (All-pairs comparison of blocks: Schlegel, Willhalm & Lehner 2011.) */
INLINE void compare_blocks(eight x, eight y, unsigned *in_x, unsigned *in_y) {
    eight z = SWAP(y);
    eight s0 = _mm256_cmpeq_epi32(x, y), s1 = _mm256_cmpeq_epi32(x, TURN(y, 1)), s2 = _mm256_cmpeq_epi32(x, TURN(y, 2)),
          s3 = _mm256_cmpeq_epi32(x, TURN(y, 3)), t0 = _mm256_cmpeq_epi32(x, z), t1 = _mm256_cmpeq_epi32(x, TURN(z, 1)),
          t2 = _mm256_cmpeq_epi32(x, TURN(z, 2)), t3 = _mm256_cmpeq_epi32(x, TURN(z, 3));
    eight of_x = OR(OR(OR(s0, s1), OR(s2, s3)), OR(OR(t0, t1), OR(t2, t3)));
    eight same = OR(OR(s0, TURN(s1, 3)), OR(TURN(s2, 2), TURN(s3, 1)));
    eight other = OR(OR(t0, TURN(t1, 3)), OR(TURN(t2, 2), TURN(t3, 1)));
    *in_x = selection(of_x);
    *in_y = selection(OR(same, SWAP(other)));
}

uint32_t kernel_avx2_intersect(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb, uint32_t *at_a,
                               uint32_t *at_b) {
    if (nb / KERNEL_GALLOP >= na) return search_each(a, 0, na, b, 0, nb, at_a, at_b);
    if (na / KERNEL_GALLOP >= nb) return search_each(b, 0, nb, a, 0, na, at_b, at_a);
    uint32_t found = 0, i = 0, j = 0;
    while (i + LANES <= na && j + LANES <= nb) {
        unsigned in_a, in_b;
        compare_blocks(load8(a + i), load8(b + j), &in_a, &in_b);
        store8(at_a + found, _mm256_add_epi32(to_front(in_a), all(i)));
        store8(at_b + found, _mm256_add_epi32(to_front(in_b), all(j)));
        found += ones(in_a);
        uint32_t last_a = a[i + LANES - 1], last_b = b[j + LANES - 1];
        i += last_a <= last_b ? LANES : 0;
        j += last_b <= last_a ? LANES : 0;
    }
    at_a += found;
    at_b += found;
    return found + (na - i < LANES ? search_each(a, i, na, b, j, nb, at_a, at_b)
                                   : search_each(b, j, nb, a, i, na, at_b, at_a));
}

/* ---- Bit sets ---- */

static uint64_t count_ones(const uint64_t *words, size_t n) {
    uint64_t a = 0, b = 0, c = 0, d = 0;
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        a += ones(words[i]);
        b += ones(words[i + 1]);
        c += ones(words[i + 2]);
        d += ones(words[i + 3]);
    }
    for (; i < n; i++) a += ones(words[i]);
    return a + b + c + d;
}

#define COMBINE(NAME, VECTORS, WORDS)                                                                                  \
    static void NAME(uint64_t *a, const uint64_t *b, size_t n) {                                                       \
        size_t i = 0;                                                                                                  \
        for (; i + 8 <= n; i += 8) {                                                                                   \
            eight x = load8(a + i), y = load8(b + i), z = load8(a + i + 4), w = load8(b + i + 4);                      \
            store8(a + i, VECTORS(y, x));                                                                              \
            store8(a + i + 4, VECTORS(w, z));                                                                          \
        }                                                                                                              \
        for (; i < n; i++) a[i] = WORDS(a[i], b[i]);                                                                   \
    }
#define AND(x, y) ((x) & (y))
#define OR_ELSE(x, y) ((x) | (y))
#define AND_NOT(x, y) ((x) & ~(y))
COMBINE(and_words, _mm256_and_si256, AND)
COMBINE(or_words, _mm256_or_si256, OR_ELSE)
COMBINE(and_not_words, _mm256_andnot_si256, AND_NOT)

/* Whether none of eight words has a member. */
INLINE int empty(const uint64_t *words) {
    eight both = _mm256_or_si256(load8(words), load8(words + 4));
    return _mm256_testz_si256(both, both);
}

static uint32_t list_ones(const uint64_t *words, size_t n, uint32_t base, uint32_t *out) {
    uint32_t found = 0;
    for (size_t i = 0; i < n; i++, base += 64) {
        uint64_t word = words[i];
        if (i % 8 == 0 && n - i >= 8 && empty(words + i)) { /* sparse sets are mostly that */
            i += 7;
            base += 7 * 64;
            continue;
        }
        if (ones(word) <= FEW) {
            uint64_t rest = word;
            for (unsigned f = found; f < found + FEW; f++, rest = _blsr_u64(rest)) out[f] = base + first(rest);
            found += ones(word);
            continue;
        }
        for (unsigned v = 0; v < 64; v += LANES, word >>= LANES) {
            store8(out + found, _mm256_add_epi32(to_front(word & 255), all(base + v)));
            found += ones(word & 255);
        }
    }
    return found;
}

static void between(const double *numbers, size_t n, double low, double high, uint64_t *bits) {
    const __m256d lows = _mm256_set1_pd(low), highs = _mm256_set1_pd(high);
    for (size_t i = 0; i < n; i += 64) {
        uint64_t word = 0;
        for (unsigned j = 0; j < 64; j += 4) {
            __m256d v = _mm256_loadu_pd(numbers + i + j);
            __m256d inside = _mm256_and_pd(_mm256_cmp_pd(lows, v, _CMP_LE_OQ), _mm256_cmp_pd(v, highs, _CMP_LE_OQ));
            word |= (uint64_t)(unsigned)_mm256_movemask_pd(inside) << j;
        }
        bits[i / 64] = word;
    }
}

const kernel_table kernel_avx2 = {
    .name = "avx2",
    .unpack = kernel_avx2_unpack,
    .unpack_gaps = kernel_avx2_unpack_gaps,
    .sum_gaps = kernel_avx2_sum_gaps,
    .add_impacts = kernel_avx2_add_impacts,
    .collect_sums = collect_sums,
    .collect_impacts = collect_impacts,
    .keep = keep,
    .max_groups = kernel_avx2_max_groups,
    .list_at_least = kernel_avx2_list_at_least,
    .add_bounds = add_bounds,
    .max_u8 = max_u8,
    .intersect = kernel_avx2_intersect,
    .first_from = kernel_avx2_first_from,
    .count_ones = count_ones,
    .and_words = and_words,
    .or_words = or_words,
    .and_not_words = and_not_words,
    .list_ones = list_ones,
    .between = between,
};
