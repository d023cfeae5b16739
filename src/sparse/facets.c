/* Sets of matching documents, and what they have in a field. */
#include "sparse/search.h"

#include "base/hash.h"
#include "sparse/placeset.h"
#include "sparse/queryplan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- matching ---- */

/* Required terms alone decide where there are any: bits become their intersection. `spare` is as large as bits. */
static void match_part(const sparse_plan *plan, uint32_t part, uint32_t count, uint64_t *spare, uint64_t *bits) {
    size_t words = placeset_words(count);
    bool first = true;
    memset(bits, 0, words * sizeof *bits);
    for (uint32_t t = 0; t < plan->n_terms; t++) {
        const sparse_term *found = sparse_plan_found(plan, part, t);
        if (plan->n_required == 0 || (plan->terms[t].required && first)) {
            placeset_add_term(bits, count, found);
            first = false;
        } else if (plan->terms[t].required) {
            memset(spare, 0, words * sizeof *spare);
            placeset_add_term(spare, count, found);
            for (size_t i = 0; i < words; i++) bits[i] &= spare[i];
        }
    }
}

void sparse_matching(const sparse_eligible *eligible, const sparse_query_term *terms, size_t n, arena *a,
                     sparse_eligible *out) {
    const sparse_snapshot *s = eligible->snapshot;
    sparse_plan plan;
    sparse_plan_make(s, &(sparse_query){.terms = terms, .n_terms = n}, a, &plan);
    uint64_t *spare = arena_alloc(a, placeset_most_words(s) * sizeof *spare);
    sparse_eligible matching = {
        .snapshot = s,
        .bits = arena_alloc(a, s->n_parts * sizeof *matching.bits),
        .counts = arena_alloc(a, s->n_parts * sizeof *matching.counts),
    };
    for (uint32_t p = 0; p < s->n_parts; p++) {
        uint32_t count = sparse_segment_count(s->parts[p].segment);
        size_t words = placeset_words(count);
        uint64_t *bits = arena_alloc(a, words * sizeof *bits);
        match_part(&plan, p, count, spare, bits);
        for (size_t i = 0; i < words; i++) bits[i] &= placeset_word(eligible->bits[p], i, count);
        matching.bits[p] = bits;
        matching.counts[p] = placeset_count(bits, count);
        matching.count += matching.counts[p];
    }
    *out = matching;
}

/* ---- keywords ---- */

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

/* counts[ordinal] of the part's members. */
static void count_ordinals(const sparse_eligible *set, uint32_t part, const sparse_keywords *column, uint32_t *counts) {
    uint32_t count = sparse_segment_count(set->snapshot->parts[part].segment);
    if (!set->bits[part]) {
        for (uint32_t i = column->starts[0]; i < column->starts[count]; i++) counts[column->ordinals[i]]++;
        return;
    }
    for (size_t w = 0, words = placeset_words(count); w < words; w++) {
        for (uint64_t word = placeset_word(set->bits[part], w, count); word;) {
            uint32_t place = placeset_take(&word, w);
            for (uint32_t i = column->starts[place]; i < column->starts[place + 1]; i++) counts[column->ordinals[i]]++;
        }
    }
}

static int by_count(const void *left, const void *right) {
    const sparse_facet_value *a = left, *b = right;
    if (a->count != b->count) return a->count > b->count ? -1 : 1;
    return slice_compare(a->value, b->value);
}

size_t sparse_facet_keyword(const sparse_eligible *set, uint32_t field, size_t limit, arena *a,
                            sparse_facet_value *out) {
    value_table table = {.a = a};
    for (uint32_t p = 0; p < set->snapshot->n_parts; p++) {
        const sparse_segment *segment = set->snapshot->parts[p].segment;
        sparse_keywords column;
        if (set->counts[p] == 0 || !sparse_segment_keywords(segment, field, &column)) continue;
        uint32_t *counts = arena_zalloc(a, column.n_values, sizeof *counts), used = 0;
        count_ordinals(set, p, &column, counts);
        for (uint32_t v = 0; v < column.n_values; v++) used += counts[v] > 0;
        value_table_grow(&table, used);
        for (uint32_t v = 0; v < column.n_values; v++) {
            if (counts[v]) value_table_add(&table, sparse_segment_keyword_value(segment, field, v), counts[v]);
        }
    }
    if (table.n == 0) return 0;
    qsort(table.values, table.n, sizeof *table.values, by_count);
    size_t n = table.n < limit ? table.n : limit;
    if (n > 0) memcpy(out, table.values, n * sizeof *out);
    return n;
}

/* ---- numbers ---- */

typedef void (*number_visitor)(sparse_facet_range *range, double number);

static void widen(sparse_facet_range *range, double number) {
    if (range->count++ == 0) range->low = range->high = number;
    if (number < range->low) range->low = number;
    if (number > range->high) range->high = number;
}

/* In halves, because high − low of huge numbers is infinite. */
static void drop_into_bucket(sparse_facet_range *range, double number) {
    double at = range->width > 0 ? (number * 0.5 - range->low * 0.5) / (range->width * 0.5) : 0;
    uint32_t last = range->n_buckets - 1;
    range->buckets[at < last ? (uint32_t)at : last]++;
}

static inline void visit_numbers(const sparse_eligible *set, uint32_t field, number_visitor visit,
                                 sparse_facet_range *range) {
    for (uint32_t p = 0; p < set->snapshot->n_parts; p++) {
        const sparse_segment *segment = set->snapshot->parts[p].segment;
        const double *numbers = sparse_segment_numbers(segment, field);
        uint32_t count = sparse_segment_count(segment);
        if (!numbers || set->counts[p] == 0) continue;
        for (size_t i = 0, words = placeset_words(count); i < words; i++) {
            for (uint64_t word = placeset_word(set->bits[p], i, count); word;) {
                double number = numbers[placeset_take(&word, i)];
                if (isfinite(number)) visit(range, number);
            }
        }
    }
}

void sparse_facet_number(const sparse_eligible *set, uint32_t field, uint32_t n_buckets, sparse_facet_range *out) {
    const uint32_t most = sizeof out->buckets / sizeof *out->buckets;
    sparse_facet_range range = {.n_buckets = n_buckets < most ? n_buckets : most};
    visit_numbers(set, field, widen, &range);
    if (range.count > 0 && range.n_buckets > 0) {
        range.width = range.high / range.n_buckets - range.low / range.n_buckets;
        visit_numbers(set, field, drop_into_bucket, &range);
    }
    *out = range;
}
