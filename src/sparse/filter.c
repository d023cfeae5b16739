/* Filters to bitmaps, part by part: each node of the tree fills the bitmap of its level, its children the one below. */
#include "sparse/search.h"

#include "sparse/placeset.h"

#include <math.h>
#include <string.h>

/* The bitmaps of one part under work: level[0] is the root's. */
typedef struct filter_run {
    const sparse_snapshot *snapshot;
    const sparse_segment *segment;
    uint32_t count;
    size_t words;
    uint64_t **level;
    const slice *keys; /* the next VALUES node's keys, in the order of the walk */
} filter_run;

static const sparse_field *field_of(const sparse_snapshot *s, uint32_t field) {
    return field < s->config->n_fields ? &s->config->fields[field] : NULL;
}

static const sparse_filter *children_of(const sparse_filter *filter) {
    return filter->kind == SPARSE_FILTER_AND || filter->kind == SPARSE_FILTER_OR || filter->kind == SPARSE_FILTER_NOT
               ? filter->first : NULL;
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

static void fill_values(filter_run *run, const sparse_filter *filter, uint64_t *bits) {
    memset(bits, 0, run->words * sizeof *bits);
    if (!is_keyword(run->snapshot, filter->field)) return;
    for (uint32_t i = 0; i < filter->n_values; i++) {
        sparse_term t;
        if (sparse_segment_term(run->segment, *run->keys++, &t)) placeset_add_term(bits, run->count, &t);
    }
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

static void fill_range(const filter_run *run, const sparse_filter *filter, uint64_t *bits) {
    const double *numbers = numbers_of(run, filter->field);
    bool nothing = (filter->low_strict && filter->low == INFINITY) ||
                   (filter->high_strict && filter->high == -INFINITY);
    if (!numbers || nothing) {
        memset(bits, 0, run->words * sizeof *bits);
        return;
    }
    double low = filter->low_strict ? nextafter(filter->low, INFINITY) : filter->low;
    double high = filter->high_strict ? nextafter(filter->high, -INFINITY) : filter->high;
    fill_between(numbers, run->count, low, high, bits);
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

static void fill_exists(const filter_run *run, const sparse_filter *filter, uint64_t *bits) {
    const sparse_field *f = field_of(run->snapshot, filter->field);
    const double *numbers = numbers_of(run, filter->field);
    memset(bits, 0, run->words * sizeof *bits);
    if (numbers) fill_between(numbers, run->count, -INFINITY, INFINITY, bits);
    else if (f && f->kind == SPARSE_KEYWORD) fill_keyword_exists(run, filter->field, bits);
    else if (f && f->kind == SPARSE_TEXT) fill_text_exists(run, filter->field, bits);
}

/* ---- the tree ---- */

static void fill(filter_run *run, const sparse_filter *filter, size_t depth);

static void fill_combined(filter_run *run, const sparse_filter *filter, size_t depth) {
    uint64_t *bits = run->level[depth];
    bool all = filter->kind == SPARSE_FILTER_AND;
    memset(bits, all ? 0xff : 0, run->words * sizeof *bits);
    for (const sparse_filter *child = filter->first; child; child = child->next) {
        fill(run, child, depth + 1);
        const uint64_t *more = run->level[depth + 1];
        if (all) {
            for (size_t i = 0; i < run->words; i++) bits[i] &= more[i];
        } else {
            for (size_t i = 0; i < run->words; i++) bits[i] |= more[i];
        }
    }
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
    case SPARSE_FILTER_VALUES: fill_values(run, filter, bits); break;
    case SPARSE_FILTER_RANGE: fill_range(run, filter, bits); break;
    case SPARSE_FILTER_EXISTS: fill_exists(run, filter, bits); break;
    }
}

/* The keys of every VALUES node are made once and not once a part. */
static size_t count_keys(const sparse_filter *filter) {
    size_t n = filter->kind == SPARSE_FILTER_VALUES ? filter->n_values : 0;
    for (const sparse_filter *child = children_of(filter); child; child = child->next) n += count_keys(child);
    return n;
}

static slice *make_keys(const sparse_snapshot *s, const sparse_filter *filter, arena *a, slice *keys) {
    if (filter->kind == SPARSE_FILTER_VALUES && is_keyword(s, filter->field)) {
        for (uint32_t i = 0; i < filter->n_values; i++) {
            *keys++ = sparse_attribute_key(a, filter->field, filter->values[i]);
        }
    }
    for (const sparse_filter *child = children_of(filter); child; child = child->next) {
        keys = make_keys(s, child, a, keys);
    }
    return keys;
}

static void take_all(const sparse_snapshot *s, sparse_eligible *out) {
    for (uint32_t p = 0; p < s->n_parts; p++) {
        out->bits[p] = s->parts[p].live;
        out->counts[p] = s->parts[p].n_live;
        out->count += out->counts[p];
    }
}

static void take_filtered(const sparse_snapshot *s, const sparse_filter *filter, arena *a, sparse_eligible *out) {
    size_t depth = tree_depth(filter), most_words = placeset_most_words(s);
    slice *keys = arena_alloc(a, count_keys(filter) * sizeof *keys);
    filter_run run = {.snapshot = s, .level = arena_alloc(a, depth * sizeof *run.level)};
    make_keys(s, filter, a, keys);
    for (size_t i = 1; i < depth; i++) run.level[i] = arena_alloc(a, most_words * sizeof(uint64_t));
    for (uint32_t p = 0; p < s->n_parts; p++) {
        run.segment = s->parts[p].segment;
        run.count = sparse_segment_count(run.segment);
        run.words = placeset_words(run.count);
        run.keys = keys;
        uint64_t *bits = run.level[0] = arena_alloc(a, run.words * sizeof *bits);
        fill(&run, filter, 0);
        for (size_t i = 0; i < run.words; i++) bits[i] &= placeset_word(s->parts[p].live, i, run.count);
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
