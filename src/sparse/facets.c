/* What a set has in a field: keyword counts, part by part and then joined; number ranges.
 *
 * A part counts its values in whichever way reads least: from the counts of the whole column less what the set lacks, from the
 * sets of the values' places when these are few, in a table when the members are few, or else member by member. Only
 * values that can be among the most frequent are then looked at as text. */
#include "sparse/search.h"

#include "base/hash.h"
#include "sparse/partcache.h"
#include "sparse/placeset.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- one part's counts ---- */

typedef struct tally {
    uint32_t ordinal, count; /* count 0: a free slot */
} tally;

typedef struct part_counts {
    const sparse_segment *segment;
    sparse_keywords column;
    const uint32_t *counts; /* per ordinal; NULL: */
    tally *tallies;         /* a table, where those of few members are */
    uint32_t mask;
} part_counts;

static uint32_t *slot_of(part_counts *c, uint32_t ordinal) {
    uint32_t at = ordinal * 0x9e3779b1u >> 7 & c->mask;
    while (c->tallies[at].count && c->tallies[at].ordinal != ordinal) at = (at + 1) & c->mask;
    c->tallies[at].ordinal = ordinal;
    return &c->tallies[at].count;
}

static uint32_t n_entries(const part_counts *c) { return c->counts ? c->column.n_values : c->mask + 1; }

static inline tally entry_of(const part_counts *c, uint32_t i) {
    return c->counts ? (tally){i, c->counts[i]} : c->tallies[i];
}

/* Members (`inverted`: the others) of one word. */
static inline uint64_t word_of(const uint64_t *bits, size_t w, uint32_t count, bool inverted) {
    return inverted ? placeset_word(NULL, w, count) & ~placeset_word(bits, w, count) : placeset_word(bits, w, count);
}

static void tally_few(part_counts *c, const uint64_t *bits, uint32_t count) {
    for (size_t w = 0, words = placeset_words(count); w < words; w++) {
        for (uint64_t word = placeset_word(bits, w, count); word;) {
            uint32_t place = placeset_take(&word, w);
            for (uint32_t i = c->column.starts[place]; i < c->column.starts[place + 1]; i++)
                ++*slot_of(c, c->column.ordinals[i]);
        }
    }
}

/* Adds `step` (1, or −1 in two's complement) for each value of each member. */
static void count_members(const sparse_keywords *column, const uint64_t *bits, uint32_t count, bool inverted, bool single,
                          uint32_t step, uint32_t *counts) {
    for (size_t w = 0, words = placeset_words(count); w < words; w++) {
        uint64_t word = word_of(bits, w, count, inverted);
        if (single) {
            while (word) counts[column->ordinals[placeset_take(&word, w)]] += step;
            continue;
        }
        while (word) {
            uint32_t place = placeset_take(&word, w);
            for (uint32_t i = column->starts[place]; i < column->starts[place + 1]; i++)
                counts[column->ordinals[i]] += step;
        }
    }
}

/* With the counts of the whole column at hand; false when reading the members is cheaper. */
static bool count_known(const column_counts *known, const sparse_keywords *column, const uint64_t *bits, uint32_t count,
                        uint64_t members, uint32_t *counts) {
    uint64_t others = count - members, by_sets = (uint64_t)column->n_values * (count / 64) / 2;
    uint64_t by_others = others + column->n_values / 8;
    if (known->places && by_sets < members && by_sets < by_others) {
        for (uint32_t v = 0; v < column->n_values; v++)
            counts[v] = (uint32_t)bitmap_count_flat(known->places[v], bits, placeset_words(count));
        return true;
    }
    if (by_others >= members) return false;
    memcpy(counts, known->counts, column->n_values * sizeof *counts);
    count_members(column, bits, count, true, known->single, UINT32_MAX, counts);
    return true;
}

static void count_part(const sparse_eligible *set, uint32_t part, uint32_t field, arena *a, part_counts *c) {
    const uint64_t *bits = set->bits[part];
    uint64_t members = set->counts[part];
    uint32_t count = sparse_segment_count(c->segment);
    if (members < c->column.n_values / 8) {
        uint64_t values = 0;
        for (size_t w = 0, words = placeset_words(count); w < words; w++) {
            for (uint64_t word = placeset_word(bits, w, count); word;) {
                uint32_t place = placeset_take(&word, w);
                values += c->column.starts[place + 1] - c->column.starts[place];
            }
        }
        if (values < c->column.n_values / 4) {
            for (c->mask = 15; c->mask < values * 2; c->mask = c->mask * 2 + 1) {}
            c->tallies = arena_zalloc(a, (size_t)c->mask + 1, sizeof *c->tallies);
            tally_few(c, bits, count);
            return;
        }
    }
    const column_counts *known = part_cache_counts(set->snapshot->parts[part].cache, field, members > count / 16);
    if (known && members == count) {
        c->counts = known->counts;
        return;
    }
    uint32_t *counts = arena_zalloc(a, c->column.n_values, sizeof *counts);
    c->counts = counts;
    if (known && bits && count_known(known, &c->column, bits, count, members, counts)) return;
    count_members(&c->column, bits, count, false, known && known->single, 1, counts);
}

/* ---- the most frequent ---- */

static int by_count(const void *left, const void *right) {
    const sparse_facet_value *a = left, *b = right;
    if (a->count != b->count) return a->count > b->count ? -1 : 1;
    return slice_compare(a->value, b->value);
}

/* The best of what was offered: a heap whose root is the last of them. */
typedef struct best_values {
    sparse_facet_value *heap;
    size_t n, limit;
} best_values;

/* A count below this need not be offered; one that is equal may still win by its value. */
static inline uint64_t least_count(const best_values *b) { return b->n < b->limit ? 1 : b->heap[0].count; }

static void sink(best_values *b, size_t at) {
    for (size_t child; (child = at * 2 + 1) < b->n; at = child) {
        if (child + 1 < b->n && by_count(&b->heap[child], &b->heap[child + 1]) < 0) child++;
        if (by_count(&b->heap[at], &b->heap[child]) >= 0) return;
        sparse_facet_value swap = b->heap[at];
        b->heap[at] = b->heap[child];
        b->heap[child] = swap;
    }
}

static void offer(best_values *b, sparse_facet_value v) {
    if (b->n == b->limit) {
        if (by_count(&v, &b->heap[0]) >= 0) return;
        b->heap[0] = v;
        sink(b, 0);
        return;
    }
    size_t at = b->n++;
    b->heap[at] = v;
    for (size_t parent; at > 0 && by_count(&b->heap[at], &b->heap[parent = (at - 1) / 2]) > 0; at = parent) {
        sparse_facet_value swap = b->heap[at];
        b->heap[at] = b->heap[parent];
        b->heap[parent] = swap;
    }
}

/* One part's best, with counts of the part. */
static void offer_part(const part_counts *c, uint32_t field, best_values *best) {
    for (uint32_t i = 0, n = n_entries(c); i < n; i++) {
        tally t = entry_of(c, i);
        if (t.count && t.count >= least_count(best))
            offer(best, (sparse_facet_value){sparse_segment_keyword_value(c->segment, field, t.ordinal), t.count});
    }
}

/* ---- several parts ---- */

/* Values of all parts, by their bytes: a table of places in a growing list. */
typedef struct value_table {
    arena *a;
    sparse_facet_value *values;
    uint32_t *slots; /* index + 1; 0: free */
    size_t n, mask;
} value_table;

/* Room for `most` more than there are. */
static void value_table_grow(value_table *t, size_t most) {
    size_t need = t->n + most, size = 16;
    if (t->slots && need * 2 <= t->mask + 1) return;
    while (size < need * 2) size *= 2;
    sparse_facet_value *values = arena_alloc(t->a, size / 2 * sizeof *values);
    if (t->n > 0) memcpy(values, t->values, t->n * sizeof *values);
    t->values = values;
    t->slots = arena_zalloc(t->a, size, sizeof *t->slots);
    t->mask = size - 1;
    for (size_t i = 0; i < t->n; i++) {
        size_t at = hash64(values[i].value.data, values[i].value.size, 0) & t->mask;
        while (t->slots[at]) at = (at + 1) & t->mask;
        t->slots[at] = (uint32_t)i + 1;
    }
}

static void value_table_add(value_table *t, slice value, uint64_t count) {
    size_t at = hash64(value.data, value.size, 0) & t->mask;
    for (; t->slots[at]; at = (at + 1) & t->mask) {
        sparse_facet_value *have = &t->values[t->slots[at] - 1];
        if (!slice_equal(have->value, value)) continue;
        have->count += count;
        return;
    }
    t->values[t->n++] = (sparse_facet_value){value, count};
    t->slots[at] = (uint32_t)t->n;
}

/* How many of a part's values occur at least so often. */
static size_t count_frequent(const part_counts *c, uint64_t least) {
    size_t n = 0;
    for (uint32_t i = 0, entries = n_entries(c); i < entries; i++) n += entry_of(c, i).count >= least;
    return n;
}

/* Adds the values of a part that occur at least so often, each with its count there or with 0. */
static void add_frequent(const part_counts *c, uint32_t field, uint64_t least, bool with_count, value_table *t) {
    value_table_grow(t, count_frequent(c, least));
    for (uint32_t i = 0, n = n_entries(c); i < n; i++) {
        tally e = entry_of(c, i);
        if (e.count < least) continue;
        value_table_add(t, sparse_segment_keyword_value(c->segment, field, e.ordinal), with_count ? e.count : 0);
    }
}

/* How often the part has a value: values lie in the order of their bytes. */
static uint32_t count_of(part_counts *c, uint32_t field, slice value) {
    uint32_t low = 0, high = c->column.n_values;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (slice_compare(sparse_segment_keyword_value(c->segment, field, middle), value) < 0) low = middle + 1;
        else high = middle;
    }
    if (low == c->column.n_values || !slice_equal(sparse_segment_keyword_value(c->segment, field, low), value)) return 0;
    if (c->counts) return c->counts[low];
    uint32_t at = low * 0x9e3779b1u >> 7 & c->mask;
    while (c->tallies[at].count && c->tallies[at].ordinal != low) at = (at + 1) & c->mask;
    return c->tallies[at].count;
}

/* Among n parts, a value that occurs so often in all occurs in one of them at least 1/n as often. What the best of one
 * part reach there, the best of all reach: few values are above that, and these are looked up in the other parts. When
 * they are many after all, everything is added up instead. */
static void join_parts(part_counts *parts, uint32_t n, uint32_t field, size_t limit, arena *a, best_values *best) {
    value_table table = {.a = a};
    uint64_t reached = 1;
    size_t candidates = 0, all = 0;
    for (uint32_t p = 0; p < n; p++) {
        best_values own = {.heap = best->heap, .limit = limit};
        offer_part(&parts[p], field, &own);
        if (own.n == limit && own.heap[0].count > reached) reached = own.heap[0].count;
    }
    uint64_t least = (reached + n - 1) / n;
    for (uint32_t p = 0; p < n; p++) {
        candidates += count_frequent(&parts[p], least);
        all += count_frequent(&parts[p], 1);
    }
    bool few = candidates * n * 8 < all;
    for (uint32_t p = 0; p < n; p++) add_frequent(&parts[p], field, few ? least : 1, !few, &table);
    for (size_t i = 0; i < table.n; i++) {
        sparse_facet_value v = table.values[i];
        for (uint32_t p = 0; few && p < n; p++) v.count += count_of(&parts[p], field, v.value);
        if (v.count >= least_count(best)) offer(best, v);
    }
}

size_t sparse_facet_keyword(const sparse_eligible *set, uint32_t field, size_t limit, arena *a,
                            sparse_facet_value *out) {
    const sparse_snapshot *s = set->snapshot;
    part_counts *parts = arena_zalloc(a, s->n_parts, sizeof *parts);
    best_values best = {.heap = out, .limit = limit};
    uint32_t n = 0;
    if (limit == 0) return 0;
    for (uint32_t p = 0; p < s->n_parts; p++) {
        part_counts *c = &parts[n];
        c->segment = s->parts[p].segment;
        if (set->counts[p] == 0 || !sparse_segment_keywords(c->segment, field, &c->column)) continue;
        if (c->column.n_values == 0) continue;
        count_part(set, p, field, a, c);
        n++;
    }
    if (n == 1) offer_part(&parts[0], field, &best);
    else if (n > 1) join_parts(parts, n, field, limit, a, &best);
    if (best.n > 0) qsort(out, best.n, sizeof *out, by_count);
    return best.n;
}

/* ---- numbers ---- */

enum { BATCH = 1024 };

typedef void (*number_visitor)(sparse_facet_range *range, const double *numbers, uint32_t n);

/* The lowest and the highest in four lanes each. */
static void widen(sparse_facet_range *range, const double *numbers, uint32_t n) {
    double low[4], high[4];
    for (uint32_t j = 0; j < 4; j++) low[j] = high[j] = numbers[0];
    uint32_t i = 0;
    for (; i + 4 <= n; i += 4) {
        for (uint32_t j = 0; j < 4; j++) {
            double x = numbers[i + j];
            low[j] = x < low[j] ? x : low[j];
            high[j] = x > high[j] ? x : high[j];
        }
    }
    for (; i < n; i++) {
        low[0] = numbers[i] < low[0] ? numbers[i] : low[0];
        high[0] = numbers[i] > high[0] ? numbers[i] : high[0];
    }
    if (range->count == 0) range->low = range->high = numbers[0];
    range->count += n;
    for (uint32_t j = 0; j < 4; j++) {
        if (low[j] < range->low) range->low = low[j];
        if (high[j] > range->high) range->high = high[j];
    }
}

/* In halves, because high − low of huge numbers is infinite. */
static inline uint32_t bucket_of(const sparse_facet_range *range, double number) {
    double at = range->width > 0 ? (number * 0.5 - range->low * 0.5) / (range->width * 0.5) : 0;
    uint32_t last = range->n_buckets - 1;
    return at < last ? (uint32_t)at : last;
}

/* Neighbours count in different arrays, so that one does not wait for the other's sum. */
static void drop_into_buckets(sparse_facet_range *range, const double *numbers, uint32_t n) {
    uint32_t counts[4][sizeof range->buckets / sizeof *range->buckets] = {{0}};
    for (uint32_t i = 0; i < n; i++) counts[i % 4][bucket_of(range, numbers[i])]++;
    for (uint32_t b = 0; b < range->n_buckets; b++)
        range->buckets[b] += (uint64_t)counts[0][b] + counts[1][b] + counts[2][b] + counts[3][b];
}

static inline bool is_finite(double x) { return fabs(x) <= DBL_MAX; }

/* Finite numbers of a part's members, a batch at a time. */
static void visit_part(const double *numbers, const uint64_t *bits, uint32_t count, number_visitor visit,
                       sparse_facet_range *range) {
    double batch[BATCH + 64];
    uint32_t n = 0;
    for (size_t w = 0, words = placeset_words(count); w < words; w++) {
        uint64_t word = placeset_word(bits, w, count);
        if (word == UINT64_MAX) {
            for (uint32_t j = 0; j < 64; j++) {
                batch[n] = numbers[w * 64 + j];
                n += is_finite(batch[n]);
            }
        }
        else while (word) {
            batch[n] = numbers[placeset_take(&word, w)];
            n += is_finite(batch[n]);
        }
        if (n < BATCH) continue;
        visit(range, batch, n);
        n = 0;
    }
    if (n > 0) visit(range, batch, n);
}

/* The first of an order's [from, to) whose number falls into bucket b or above: buckets ascend with numbers. */
static uint32_t bucket_start(const column_order *o, const sparse_facet_range *range, uint32_t b, uint32_t from,
                             uint32_t to) {
    while (from < to) {
        uint32_t middle = from + (to - from) / 2;
        if (bucket_of(range, o->numbers[o->places[middle]]) < b) from = middle + 1;
        else to = middle;
    }
    return from;
}

/* All places of a part, from the column's order. */
static void visit_order(const column_order *o, bool bounds, sparse_facet_range *range) {
    uint32_t from, to;
    column_order_range(o, -DBL_MAX, DBL_MAX, &from, &to);
    if (from == to) return;
    if (bounds) {
        double ends[2] = {o->numbers[o->places[from]], o->numbers[o->places[to - 1]]};
        widen(range, ends, 2);
        range->count += (uint64_t)(to - from) - 2; /* widen counted two */
        return;
    }
    for (uint32_t b = 0; b < range->n_buckets; b++) {
        uint32_t end = b + 1 < range->n_buckets ? bucket_start(o, range, b + 1, from, to) : to;
        range->buckets[b] += end - from;
        from = end;
    }
}

static void visit_numbers(const sparse_eligible *set, uint32_t field, bool bounds, sparse_facet_range *range) {
    for (uint32_t p = 0; p < set->snapshot->n_parts; p++) {
        const sparse_part *part = &set->snapshot->parts[p];
        const double *numbers = sparse_segment_numbers(part->segment, field);
        uint32_t count = sparse_segment_count(part->segment);
        if (!numbers || set->counts[p] == 0) continue;
        const column_order *order = set->counts[p] == count ? part_cache_order(part->cache, field, bounds) : NULL;
        if (order) visit_order(order, bounds, range);
        else visit_part(numbers, set->bits[p], count, bounds ? widen : drop_into_buckets, range);
    }
}

void sparse_facet_number(const sparse_eligible *set, uint32_t field, uint32_t n_buckets, sparse_facet_range *out) {
    const uint32_t most = sizeof out->buckets / sizeof *out->buckets;
    sparse_facet_range range = {.n_buckets = n_buckets < most ? n_buckets : most};
    visit_numbers(set, field, true, &range);
    if (range.count > 0 && range.n_buckets > 0) {
        range.width = range.high / range.n_buckets - range.low / range.n_buckets;
        visit_numbers(set, field, false, &range);
    }
    *out = range;
}
