#include "sparse/columnshape.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- orders ------------------------------------------------------------------------------------------------------ */

enum { DIGIT_BITS = 16, DIGITS = 64 / DIGIT_BITS, BUCKETS = 1 << DIGIT_BITS };

/* Unsigned order of these is the order of the numbers. */
static inline uint64_t sortable(double number) {
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static inline uint32_t digit_of(double number, unsigned digit) {
    return (uint32_t)(sortable(number) >> digit * DIGIT_BITS) & (BUCKETS - 1);
}

/* One pass of a radix sort by the least digit first: stable. False when all have the same digit and nothing was moved. */
static bool sort_by_digit(const double *numbers, uint32_t n, unsigned digit, const uint32_t *from, uint32_t *to,
                          uint32_t *starts) {
    uint32_t sum = 0;
    memset(starts, 0, BUCKETS * sizeof *starts);
    for (uint32_t i = 0; i < n; i++) starts[digit_of(numbers[from[i]], digit)]++;
    if (n == 0 || starts[digit_of(numbers[from[0]], digit)] == n) return false;
    for (uint32_t b = 0; b < BUCKETS; b++) {
        uint32_t size = starts[b];
        starts[b] = sum;
        sum += size;
    }
    for (uint32_t i = 0; i < n; i++) to[starts[digit_of(numbers[from[i]], digit)]++] = from[i];
    return true;
}

size_t column_order_bytes(uint32_t count) {
    return sizeof(column_order) + (size_t)count * sizeof(uint32_t) + (count / COLUMN_SAMPLE + 1) * sizeof(double);
}

column_order *column_order_create(const double *numbers, uint32_t count) {
    column_order *o = mem_alloc(sizeof *o);
    uint32_t n = 0;
    for (uint32_t p = 0; p < count; p++) n += !isnan(numbers[p]);
    uint32_t *places = mem_alloc((size_t)n * sizeof *places + 1), *other = mem_alloc((size_t)n * sizeof *other + 1);
    uint32_t *starts = mem_alloc(BUCKETS * sizeof *starts);
    for (uint32_t p = 0, i = 0; p < count; p++)
        if (!isnan(numbers[p])) places[i++] = p;
    for (unsigned digit = 0; digit < DIGITS; digit++) {
        if (!sort_by_digit(numbers, n, digit, places, other, starts)) continue;
        uint32_t *sorted = other;
        other = places;
        places = sorted;
    }
    free(other);
    free(starts);
    double *samples = mem_alloc((n / COLUMN_SAMPLE + 1) * sizeof *samples);
    for (uint32_t i = 0; i < n; i += COLUMN_SAMPLE) samples[i / COLUMN_SAMPLE] = numbers[places[i]];
    *o = (column_order){numbers, n, places, samples};
    return o;
}

void column_order_destroy(column_order *o) {
    if (!o) return;
    free(o->places);
    free(o->samples);
    free(o);
}

/* Whether `number` comes before those that are looked for: those >= bound, or those > bound. */
static inline bool is_before(double number, double bound, bool beyond) {
    return beyond ? number <= bound : number < bound;
}

/* The first i whose number is >= bound (or > bound, when `beyond`). */
static uint32_t find_bound(const column_order *o, double bound, bool beyond) {
    uint32_t low = 0, high = (o->n + COLUMN_SAMPLE - 1) / COLUMN_SAMPLE;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (is_before(o->samples[middle], bound, beyond)) low = middle + 1;
        else high = middle;
    }
    if (low == 0) return 0;
    uint32_t end = low * COLUMN_SAMPLE < o->n ? low * COLUMN_SAMPLE : o->n; /* the sample at `end` is not before */
    uint32_t from = (low - 1) * COLUMN_SAMPLE + 1;
    while (from < end) {
        uint32_t middle = from + (end - from) / 2;
        if (is_before(o->numbers[o->places[middle]], bound, beyond)) from = middle + 1;
        else end = middle;
    }
    return from;
}

void column_order_range(const column_order *o, double low, double high, uint32_t *from, uint32_t *to) {
    *from = *to = 0;
    if (!(low <= high)) return;
    *from = find_bound(o, low, false);
    *to = find_bound(o, high, true);
}

/* --- counts ------------------------------------------------------------------------------------------------------ */

size_t column_counts_bytes(const sparse_keywords *column, uint32_t count) {
    size_t bytes = sizeof(column_counts) + (size_t)column->n_values * sizeof(uint32_t);
    return column->n_values > COLUMN_FEW ? bytes : bytes + (size_t)column->n_values * (count / 8 + 256);
}

/* The places of the value, by way of `words`, which has a bit for each. */
static bitmap *places_of(const sparse_keywords *column, uint32_t count, uint32_t value, uint64_t *words) {
    memset(words, 0, ((size_t)count + 63) / 64 * sizeof *words);
    for (uint32_t p = 0; p < count; p++)
        for (uint32_t i = column->starts[p]; i < column->starts[p + 1]; i++)
            if (column->ordinals[i] == value) words[p >> 6] |= (uint64_t)1 << (p & 63);
    return bitmap_of_flat(words, count);
}

column_counts *column_counts_create(const sparse_keywords *column, uint32_t count) {
    column_counts *c = mem_zalloc(1, sizeof *c + (size_t)column->n_values * sizeof *c->counts);
    uint32_t many = 0;
    for (uint32_t i = 0, n = column->starts[count]; i < n; i++) c->counts[column->ordinals[i]]++;
    for (uint32_t p = 0; p <= count; p++) many |= column->starts[p] ^ p;
    c->single = many == 0;
    if (column->n_values > COLUMN_FEW) return c;
    uint64_t *words = mem_alloc(((size_t)count + 63) / 64 * sizeof *words + 1);
    c->places = mem_zalloc(column->n_values + 1, sizeof *c->places);
    for (uint32_t v = 0; v < column->n_values; v++) c->places[v] = places_of(column, count, v, words);
    free(words);
    return c;
}

void column_counts_destroy(column_counts *c, uint32_t n_values) {
    if (!c) return;
    for (uint32_t v = 0; c->places && v < n_values; v++) bitmap_destroy(c->places[v]);
    free(c->places);
    free(c);
}
