/* Filters to bitmaps, part by part: each node of the tree fills the bitmap of its level, its children the one below. What a
 * part's cache has of a leaf is combined as it is kept, without being spread out first. */
#include "sparse/search.h"

#include "base/hash.h"
#include "sparse/partcache.h"
#include "sparse/placeset.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MOST_KEPT_VALUES = 64, ORDER_SHARE = 3 };

/* A leaf, made ready once for all parts. */
typedef struct leaf {
    const slice *keys; /* of a VALUES leaf: its terms */
    part_cache_key key;
} leaf;

/* The bitmaps of one part under work: level[0] is the root's. */
typedef struct filter_run {
    const sparse_snapshot *snapshot;
    const sparse_segment *segment;
    uint32_t count;
    size_t words;
    uint64_t **level;
    part_cache *cache;
    const leaf *next; /* in the order of the walk */
} filter_run;

static const sparse_field *field_of(const sparse_snapshot *s, uint32_t field) {
    return field < s->config->n_fields ? &s->config->fields[field] : NULL;
}

static const sparse_filter *children_of(const sparse_filter *filter) {
    return filter->kind == SPARSE_FILTER_AND || filter->kind == SPARSE_FILTER_OR || filter->kind == SPARSE_FILTER_NOT
               ? filter->first : NULL;
}

static bool is_leaf(const sparse_filter *filter) {
    return filter->kind == SPARSE_FILTER_VALUES || filter->kind == SPARSE_FILTER_RANGE ||
           filter->kind == SPARSE_FILTER_EXISTS;
}

static size_t tree_depth(const sparse_filter *filter) {
    size_t deepest = 0;
    for (const sparse_filter *child = children_of(filter); child; child = child->next) {
        size_t depth = tree_depth(child);
        if (depth > deepest) deepest = depth;
    }
    return deepest + 1;
}

static bool is_keyword(const sparse_snapshot *s, uint32_t field) {
    const sparse_field *f = field_of(s, field);
    return f && f->kind == SPARSE_KEYWORD;
}

/* ---- leaves ---- */

static void fill_values(const filter_run *run, const sparse_filter *filter, const leaf *l, uint64_t *bits) {
    uint64_t members = 0;
    memset(bits, 0, run->words * sizeof *bits);
    if (!is_keyword(run->snapshot, filter->field)) return;
    for (uint32_t i = 0; i < filter->n_values; i++) {
        sparse_term t;
        if (!sparse_segment_term(run->segment, l->keys[i], &t)) continue;
        placeset_add_term(bits, run->count, &t);
        members += t.df;
    }
    if (members >= PART_CACHE_MEMBERS) part_cache_offer(run->cache, &l->key, bits);
}

/* low <= number <= high, with strict bounds already moved by one step; NaN fails both comparisons. */
static void fill_between(const double *numbers, uint32_t count, double low, double high, uint64_t *bits) {
    uint8_t truths[64];
    uint32_t whole = count / 64, left = count % 64;
    for (uint32_t i = 0; i < whole; i++, numbers += 64) {
        for (uint32_t j = 0; j < 64; j++) truths[j] = (numbers[j] >= low) & (numbers[j] <= high);
        bits[i] = placeset_pack(truths);
    }
    if (left == 0) return;
    memset(truths, 0, sizeof truths);
    for (uint32_t j = 0; j < left; j++) truths[j] = (numbers[j] >= low) & (numbers[j] <= high);
    bits[whole] = placeset_pack(truths);
}

static const double *numbers_of(const filter_run *run, uint32_t field) {
    const sparse_field *f = field_of(run->snapshot, field);
    return f && f->kind == SPARSE_NUMBER ? sparse_segment_numbers(run->segment, field) : NULL;
}

/* The numbers that a RANGE leaf takes, both ends included; false: none can be. */
static bool range_of(const sparse_filter *filter, double *low, double *high) {
    if (filter->low_strict && filter->low == INFINITY) return false;
    if (filter->high_strict && filter->high == -INFINITY) return false;
    *low = filter->low_strict ? nextafter(filter->low, INFINITY) : filter->low;
    *high = filter->high_strict ? nextafter(filter->high, -INFINITY) : filter->high;
    return *low <= *high;
}

/* Few places are listed from the column's order, if there is one; false: they are many, or it is not known. */
static bool fill_ordered(const filter_run *run, uint32_t field, double low, double high, const leaf *l, uint64_t *bits) {
    const column_order *order = part_cache_order(run->cache, field, false);
    uint32_t from, to;
    if (!order) return false;
    column_order_range(order, low, high, &from, &to);
    if (to - from > run->count / ORDER_SHARE) return false;
    memset(bits, 0, run->words * sizeof *bits);
    for (uint32_t i = from; i < to; i++) placeset_add(bits, order->places[i]);
    if (to - from >= PART_CACHE_MEMBERS) part_cache_offer(run->cache, &l->key, bits);
    return true;
}

static void fill_range(const filter_run *run, const sparse_filter *filter, const leaf *l, uint64_t *bits) {
    const double *numbers = numbers_of(run, filter->field);
    double low, high;
    if (!numbers || !range_of(filter, &low, &high)) {
        memset(bits, 0, run->words * sizeof *bits);
        return;
    }
    if (fill_ordered(run, filter->field, low, high, l, bits)) return;
    fill_between(numbers, run->count, low, high, bits);
    if (!run->cache) return;
    part_cache_order(run->cache, filter->field, placeset_count(bits, run->count) <= run->count / ORDER_SHARE);
    part_cache_offer(run->cache, &l->key, bits);
}

static void fill_keyword_exists(const filter_run *run, uint32_t field, uint64_t *bits) {
    sparse_keywords column;
    if (!sparse_segment_keywords(run->segment, field, &column)) return;
    for (uint32_t p = 0; p < run->count; p++) {
        if (column.starts[p + 1] > column.starts[p]) placeset_add(bits, p);
    }
}

static void fill_text_exists(const filter_run *run, uint32_t field, uint64_t *bits) {
    if (field >= sparse_segment_fields(run->segment)) return;
    for (uint32_t p = 0; p < run->count; p++) {
        if (sparse_segment_length(run->segment, field, p) > 0) placeset_add(bits, p);
    }
}

static void fill_exists(const filter_run *run, const sparse_filter *filter, const leaf *l, uint64_t *bits) {
    const sparse_field *f = field_of(run->snapshot, filter->field);
    const double *numbers = numbers_of(run, filter->field);
    memset(bits, 0, run->words * sizeof *bits);
    if (numbers) fill_between(numbers, run->count, -INFINITY, INFINITY, bits);
    else if (f && f->kind == SPARSE_KEYWORD) fill_keyword_exists(run, filter->field, bits);
    else if (f && f->kind == SPARSE_TEXT) fill_text_exists(run, filter->field, bits);
    part_cache_offer(run->cache, &l->key, bits);
}

static void compute_leaf(const filter_run *run, const sparse_filter *filter, const leaf *l, uint64_t *bits) {
    if (filter->kind == SPARSE_FILTER_VALUES) fill_values(run, filter, l, bits);
    else if (filter->kind == SPARSE_FILTER_RANGE) fill_range(run, filter, l, bits);
    else fill_exists(run, filter, l, bits);
}

static void fill_leaf(filter_run *run, const sparse_filter *filter, uint64_t *bits) {
    const leaf *l = run->next++;
    part_cache_set *set = part_cache_take(run->cache, &l->key);
    if (set) bitmap_fill_flat(set->members, bits, run->words);
    else compute_leaf(run, filter, l, bits);
    part_cache_give_back(set);
}

/* ---- the tree ---- */

static void fill(filter_run *run, const sparse_filter *filter, size_t depth);

/* bits ∧ child, or bits ∨ child. */
static void combine(filter_run *run, const sparse_filter *child, size_t depth, bool all, uint64_t *bits) {
    uint64_t *more = run->level[depth];
    if (is_leaf(child)) {
        const leaf *l = run->next++;
        part_cache_set *set = part_cache_take(run->cache, &l->key);
        if (set && all) bitmap_and_flat(set->members, bits, run->words);
        else if (set) bitmap_or_flat(set->members, bits, run->words);
        else compute_leaf(run, child, l, more);
        part_cache_give_back(set);
        if (set) return;
    } else {
        fill(run, child, depth);
    }
    if (all) words_and(bits, more, run->words);
    else words_or(bits, more, run->words);
}

static void fill_combined(filter_run *run, const sparse_filter *filter, size_t depth) {
    uint64_t *bits = run->level[depth];
    bool all = filter->kind == SPARSE_FILTER_AND;
    const sparse_filter *child = filter->first;
    if (child && is_leaf(child)) {
        fill_leaf(run, child, bits);
        child = child->next;
    } else {
        memset(bits, all ? 0xff : 0, run->words * sizeof *bits);
    }
    for (; child; child = child->next) combine(run, child, depth + 1, all, bits);
}

/* Bits after the last place may be set here; they go when the live documents are masked in. */
static void fill(filter_run *run, const sparse_filter *filter, size_t depth) {
    uint64_t *bits = run->level[depth];
    switch (filter->kind) {
    case SPARSE_FILTER_ALL: memset(bits, 0xff, run->words * sizeof *bits); break;
    case SPARSE_FILTER_AND:
    case SPARSE_FILTER_OR: fill_combined(run, filter, depth); break;
    case SPARSE_FILTER_NOT:
        fill_combined(run, filter, depth);
        for (size_t i = 0; i < run->words; i++) bits[i] = ~bits[i];
        break;
    default: fill_leaf(run, filter, bits);
    }
}

/* ---- leaves made ready ---- */

static size_t count_leaves(const sparse_filter *filter) {
    size_t n = is_leaf(filter);
    for (const sparse_filter *child = children_of(filter); child; child = child->next) n += count_leaves(child);
    return n;
}

static int by_bytes(const void *left, const void *right) {
    return slice_compare(*(const slice *)left, *(const slice *)right);
}

/* The terms of a VALUES leaf, and the same whatever order they come in and however often. */
static slice values_form(const sparse_filter *filter, const slice *keys, arena *a) {
    size_t size = 0;
    if (filter->n_values == 0 || filter->n_values > MOST_KEPT_VALUES) return (slice){NULL, 0};
    slice *sorted = arena_alloc(a, filter->n_values * sizeof *sorted);
    memcpy(sorted, keys, filter->n_values * sizeof *sorted);
    qsort(sorted, filter->n_values, sizeof *sorted, by_bytes);
    for (uint32_t i = 0; i < filter->n_values; i++) size += sorted[i].size + sizeof(uint32_t);
    char *form = arena_alloc(a, size), *to = form;
    for (uint32_t i = 0; i < filter->n_values; i++) {
        uint32_t length = (uint32_t)sorted[i].size;
        if (i > 0 && slice_equal(sorted[i], sorted[i - 1])) continue;
        memcpy(to, &length, sizeof length);
        memcpy(to + sizeof length, sorted[i].data, length);
        to += sizeof length + length;
    }
    return (slice){form, (size_t)(to - form)};
}

/* Two bounds; + 0.0 makes one zero of both. */
static slice range_form(const sparse_filter *filter, arena *a) {
    double *form = arena_alloc(a, 2 * sizeof *form);
    if (!range_of(filter, &form[0], &form[1])) return (slice){NULL, 0};
    form[0] += 0.0;
    form[1] += 0.0;
    return (slice){(const char *)form, 2 * sizeof *form};
}

static part_cache_key key_of(const sparse_snapshot *s, const sparse_filter *filter, const slice *keys, arena *a) {
    const uint32_t head[2] = {(uint32_t)filter->kind, filter->field};
    slice form = {NULL, 0};
    if (!field_of(s, filter->field)) return (part_cache_key){.hash = 0};
    if (filter->kind == SPARSE_FILTER_VALUES && is_keyword(s, filter->field)) form = values_form(filter, keys, a);
    else if (filter->kind == SPARSE_FILTER_RANGE) form = range_form(filter, a);
    if (form.size == 0 && filter->kind != SPARSE_FILTER_EXISTS) return (part_cache_key){.hash = 0};
    char *bytes = arena_alloc(a, sizeof head + form.size);
    memcpy(bytes, head, sizeof head);
    if (form.size > 0) memcpy(bytes + sizeof head, form.data, form.size);
    slice key = {bytes, sizeof head + form.size};
    return (part_cache_key){key, hash64(key.data, key.size, 0)};
}

static leaf *make_leaves(const sparse_snapshot *s, const sparse_filter *filter, arena *a, leaf *next) {
    if (is_leaf(filter)) {
        slice *keys = NULL;
        if (filter->kind == SPARSE_FILTER_VALUES && is_keyword(s, filter->field)) {
            keys = arena_alloc(a, filter->n_values * sizeof *keys);
            for (uint32_t i = 0; i < filter->n_values; i++)
                keys[i] = sparse_attribute_key(a, filter->field, filter->values[i]);
        }
        *next++ = (leaf){keys, key_of(s, filter, keys, a)};
    }
    for (const sparse_filter *child = children_of(filter); child; child = child->next) {
        next = make_leaves(s, child, a, next);
    }
    return next;
}

/* ---- parts ---- */

static void take_all(const sparse_snapshot *s, sparse_eligible *out) {
    for (uint32_t p = 0; p < s->n_parts; p++) {
        out->bits[p] = s->parts[p].live;
        out->counts[p] = s->parts[p].n_live;
        out->count += out->counts[p];
    }
}

static void take_filtered(const sparse_snapshot *s, const sparse_filter *filter, arena *a, sparse_eligible *out) {
    size_t depth = tree_depth(filter), most_words = placeset_most_words(s);
    leaf *leaves = arena_alloc(a, count_leaves(filter) * sizeof *leaves);
    filter_run run = {.snapshot = s, .level = arena_alloc(a, depth * sizeof *run.level)};
    make_leaves(s, filter, a, leaves);
    for (size_t i = 1; i < depth; i++) run.level[i] = arena_alloc(a, most_words * sizeof(uint64_t));
    for (uint32_t p = 0; p < s->n_parts; p++) {
        run.segment = s->parts[p].segment;
        run.cache = s->parts[p].cache;
        run.count = sparse_segment_count(run.segment);
        run.words = placeset_words(run.count);
        run.next = leaves;
        uint64_t *bits = run.level[0] = arena_alloc(a, run.words * sizeof *bits);
        fill(&run, filter, 0);
        placeset_keep(bits, s->parts[p].live, run.count);
        out->bits[p] = bits;
        out->counts[p] = placeset_count(bits, run.count);
        out->count += out->counts[p];
    }
}

void sparse_eligible_compute(const sparse_snapshot *s, const sparse_filter *filter, arena *a, sparse_eligible *out) {
    *out = (sparse_eligible){
        .snapshot = s,
        .bits = arena_alloc(a, s->n_parts * sizeof *out->bits),
        .counts = arena_alloc(a, s->n_parts * sizeof *out->counts),
    };
    if (filter) take_filtered(s, filter, a, out);
    else take_all(s, out);
}

bool sparse_is_eligible(const sparse_eligible *eligible, uint32_t document) {
    uint32_t part, place;
    if (!sparse_snapshot_find(eligible->snapshot, document, &part, &place)) return false;
    return !eligible->bits[part] || placeset_has(eligible->bits[part], place);
}
