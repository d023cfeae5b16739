/* LightGBM's text model: lines `key=value`, first of the model, then of each tree after its `Tree=`, up to `end of trees`.
 * Children that are negative are leaves, ~child is their number. A row goes left when x <= threshold, in double. Bit 0 of
 * decision_type: by categories (then the threshold is the number of a set: cat_threshold has bits, cat_boundaries where
 * each begins); bit 1: default left; bits 2 and 3: what is missing: nothing (NaN is then 0), zero (NaN too) or NaN. */
#include "rank/forest_internal.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

enum { MISSING_NONE, MISSING_ZERO, MISSING_NAN };

typedef struct text_reader {
    const char *at, *end;
    bool ended; /* `end of trees` was there */
    base_error *error;
} text_reader;

static bool next_line(text_reader *r, slice *line) {
    if (r->at >= r->end) return false;
    const char *stop = memchr(r->at, '\n', (size_t)(r->end - r->at));
    *line = (slice){r->at, (size_t)((stop ? stop : r->end) - r->at)};
    r->at = stop ? stop + 1 : r->end;
    if (line->size && line->data[line->size - 1] == '\r') line->size--;
    return true;
}

static bool starts_with(slice line, const char *word) {
    size_t size = strlen(word);
    return line.size >= size && memcmp(line.data, word, size) == 0;
}

/* The value of `key=value`; false when the line is another's. */
static bool value_of(slice line, const char *key, slice *out) {
    size_t size = strlen(key);
    if (!starts_with(line, key) || line.size == size || line.data[size] != '=') return false;
    *out = (slice){line.data + size + 1, line.size - size - 1};
    return true;
}

static bool next_word(slice *rest, slice *word) {
    while (rest->size && *rest->data == ' ') rest->data++, rest->size--;
    if (!rest->size) return false;
    const char *stop = memchr(rest->data, ' ', rest->size);
    word->data = rest->data;
    word->size = stop ? (size_t)(stop - rest->data) : rest->size;
    rest->data += word->size;
    rest->size -= word->size;
    return true;
}

/* ---- The numbers of a tree ---- */

enum { FEATURE, GAIN, THRESHOLD, DECISION, LEFT, RIGHT, COVER, VALUE, LEAF_COVER, BOUNDARIES, CATEGORIES, LISTS };
static const char *const list_names[LISTS] = {
    "split_feature", "split_gain", "threshold",  "decision_type",  "left_child",   "right_child",
    "internal_count", "leaf_value", "leaf_count", "cat_boundaries", "cat_threshold"};
enum { LEAVES, N_CATEGORICAL, LINEAR, SCALARS };
static const char *const scalar_names[SCALARS] = {"num_leaves", "num_cat", "is_linear"};

typedef struct text_tree {
    uint32_t number;
    slice list[LISTS]; /* as text */
    double *of[LISTS];
    size_t n[LISTS];
    double scalar[SCALARS];
} text_tree;

static forage_status read_list(arena *memory, text_tree *t, int i, base_error *error) {
    slice rest = t->list[i], word;
    size_t room = 1;
    for (size_t k = 0; k < rest.size; k++) room += rest.data[k] == ' ';
    t->of[i] = arena_alloc(memory, room * sizeof **t->of);
    while (next_word(&rest, &word)) {
        double *out = &t->of[i][t->n[i]++];
        bool infinite = i == THRESHOLD && (slice_is(word, "inf") || slice_is(word, "-inf"));
        if (infinite) *out = *word.data == '-' ? -(double)INFINITY : (double)INFINITY;
        else if (!forest_number(word, out))
            return error_set(error, FORAGE_E_INVALID, "tree %u, %s: element %zu: \"%.*s\" is not a number", t->number,
                             list_names[i], t->n[i] - 1, SLICE_ARG(word));
    }
    return FORAGE_OK;
}

/* Lists that a tree must have, and as long as they must be; covers and gains may lack. */
static forage_status check_lists(text_tree *t, base_error *error) {
    size_t leaves = (size_t)t->scalar[LEAVES];
    for (int i = 0; i < LISTS; i++) {
        size_t expected = i == VALUE || i == LEAF_COVER ? leaves : leaves - 1;
        if (i == BOUNDARIES || i == CATEGORIES) continue;
        if ((i == GAIN || i == COVER || i == LEAF_COVER) && !t->n[i]) continue;
        if (t->n[i] != expected)
            return error_set(error, FORAGE_E_INVALID, "tree %u, %s: expected %zu numbers, got %zu", t->number, list_names[i],
                             expected, t->n[i]);
    }
    return FORAGE_OK;
}

static forage_status read_tree_lines(text_reader *r, arena *memory, text_tree *t) {
    slice line = {0}, value;
    t->scalar[LEAVES] = -1;
    while (r->at < r->end && *r->at != 'T' && next_line(r, &line) && !starts_with(line, "end of trees")) {
        for (int i = 0; i < LISTS; i++)
            if (value_of(line, list_names[i], &value)) t->list[i] = value;
        for (int i = 0; i < SCALARS; i++)
            if (value_of(line, scalar_names[i], &value) && !forest_number(value, &t->scalar[i]))
                return error_set(r->error, FORAGE_E_INVALID, "tree %u, %s: \"%.*s\" is not a number", t->number,
                                 scalar_names[i], SLICE_ARG(value));
    }
    if (starts_with(line, "end of trees")) r->ended = true;
    if (!(t->scalar[LEAVES] >= 1 && t->scalar[LEAVES] <= FOREST_MAX_NODES / 2))
        return error_set(r->error, FORAGE_E_INVALID, "tree %u, num_leaves: expected 1 to %d", t->number, FOREST_MAX_NODES / 2);
    if (t->scalar[LINEAR] != 0)
        return error_set(r->error, FORAGE_E_INVALID, "tree %u: linear models in leaves are not supported", t->number);
    forage_status status = FORAGE_OK;
    for (int i = 0; i < LISTS && !status; i++) status = read_list(memory, t, i, r->error);
    return status ? status : check_lists(t, r->error);
}

/* ---- Splits ---- */

/* x <= T in double is x < t in float: t follows the largest float that is not above T. */
static float threshold_in_float(double T) {
    if (T >= (double)FLT_MAX) return INFINITY;
    if (T < -(double)FLT_MAX) return -FLT_MAX;
    float t = (float)T;
    return (double)t > T ? t : nextafterf(t, INFINITY);
}

/* Where zero is missing, but goes the way it would go as a number, with all that counts as zero, nothing is special. */
static void set_missing(forest_node *node, int missing) {
    float t = node->value;
    bool zero_left = 0 < t;
    if (missing == MISSING_NONE) node->default_left = zero_left;
    if (missing != MISSING_ZERO) return;
    bool plain = (t > FOREST_ZERO && node->default_left) || (t <= -FOREST_ZERO && !node->default_left);
    if (!plain) node->kind = NODE_ZERO;
}

static forage_status categorical_split(const text_tree *t, forest_builder *b, size_t i, forest_node *node) {
    double set = t->of[THRESHOLD][i];
    size_t n = t->n[BOUNDARIES];
    double from = 0, to = -1;
    if (set >= 0 && set + 1 < (double)n) {
        from = t->of[BOUNDARIES][(size_t)set];
        to = t->of[BOUNDARIES][(size_t)set + 1];
    }
    if (!(from >= 0 && to >= from && to <= (double)t->n[CATEGORIES] && to - from <= FOREST_MAX_CATEGORIES / 32))
        return error_set(b->error, FORAGE_E_INVALID, "tree %u, split %zu: its categories are not there", t->number, i);
    size_t words = (size_t)to - (size_t)from;
    uint32_t *bits = mem_alloc((words + 1) * sizeof *bits);
    for (size_t k = 0; k < words; k++) {
        double word = t->of[CATEGORIES][(size_t)from + k];
        bits[k] = word >= 0 && word <= UINT32_MAX ? (uint32_t)word : 0;
    }
    node->kind = NODE_IN;
    node->default_left = false; /* whatever is missing, NaN is in no set */
    node->value = 0;
    node->set = forest_build_set(b, bits, words);
    free(bits);
    return FORAGE_OK;
}

static int64_t child_number(double child, size_t splits) {
    if (child >= 0 && child < (double)splits) return (int64_t)child;
    return child < 0 && child >= -(double)(splits + 1) ? (int64_t)splits + (-1 - (int64_t)child) : -1;
}

static forage_status read_split(const text_tree *t, forest_builder *b, size_t i, size_t splits, raw_node *out) {
    double decision = t->of[DECISION][i], feature = t->of[FEATURE][i];
    if (!(decision >= 0 && decision < 16))
        return error_set(b->error, FORAGE_E_INVALID, "tree %u, split %zu: unknown decision_type %g", t->number, i, decision);
    int bits = (int)decision;
    forest_node node = {.feature = feature >= 0 && feature < UINT32_MAX ? (uint32_t)feature : UINT32_MAX,
                        .value = threshold_in_float(t->of[THRESHOLD][i]),
                        .gain = t->n[GAIN] ? (float)t->of[GAIN][i] : 0,
                        .cover = t->n[COVER] ? (float)t->of[COVER][i] : -1,
                        .kind = NODE_NUMBER,
                        .default_left = bits >> 1 & 1};
    forage_status status = FORAGE_OK;
    if (bits & 1) status = categorical_split(t, b, i, &node);
    else set_missing(&node, bits >> 2);
    if (node.kind == NODE_NUMBER && t->of[THRESHOLD][i] == (double)INFINITY && node.feature < b->f->n_features) {
        node.kind = NODE_NOT_IN; /* x <= infinity: every number goes left, and infinity is not less than any threshold */
        node.set = forest_build_empty_set(b, node.feature);
        node.value = 0;
    }
    if (bits >> 2 > MISSING_NAN)
        status = error_set(b->error, FORAGE_E_INVALID, "tree %u, split %zu: unknown missing type", t->number, i);
    *out = (raw_node){child_number(t->of[LEFT][i], splits), child_number(t->of[RIGHT][i], splits), node};
    return status;
}

/* Splits first, then leaves. */
static forage_status read_tree(text_reader *r, arena *memory, forest_builder *b) {
    text_tree t = {.number = b->f->n_trees};
    forage_status status = read_tree_lines(r, memory, &t);
    if (status) return status;
    size_t leaves = (size_t)t.scalar[LEAVES], splits = leaves - 1;
    raw_node *nodes = arena_zalloc(memory, splits + leaves, sizeof *nodes);
    for (size_t i = 0; i < splits && !status; i++) status = read_split(&t, b, i, splits, &nodes[i]);
    for (size_t i = 0; i < leaves; i++)
        nodes[splits + i].node = (forest_node){.value = (float)t.of[VALUE][i],
                                               .cover = t.n[LEAF_COVER] ? (float)t.of[LEAF_COVER][i] : splits ? -1 : 1,
                                               .kind = NODE_LEAF};
    return status ? status : forest_build_tree(b, nodes, splits + leaves);
}

/* ---- The model ---- */

typedef struct text_header {
    double n_features, classes, per_iteration;
    slice names, objective;
    bool average;
} text_header;

static forage_status read_header(text_reader *r, text_header *h) {
    static const char *const names[] = {"max_feature_idx", "num_class", "num_tree_per_iteration"};
    double *numbers[] = {&h->n_features, &h->classes, &h->per_iteration};
    slice line, value;
    *h = (text_header){.n_features = -2, .classes = 1, .per_iteration = 1};
    while (r->at < r->end && !starts_with((slice){r->at, (size_t)(r->end - r->at)}, "Tree=") && next_line(r, &line)) {
        for (int i = 0; i < 3; i++)
            if (value_of(line, names[i], &value) && !forest_number(value, numbers[i]))
                return error_set(r->error, FORAGE_E_INVALID, "LightGBM model: %s: \"%.*s\" is not a number", names[i],
                                 SLICE_ARG(value));
        if (value_of(line, "feature_names", &value)) h->names = value;
        if (value_of(line, "objective", &value)) h->objective = value;
        if (slice_is(line, "average_output")) h->average = true;
        if (starts_with(line, "end of trees")) {
            r->ended = true;
            break;
        }
    }
    h->n_features += 1;
    if (h->classes != 1 || h->per_iteration != 1)
        return error_set(r->error, FORAGE_E_INVALID, "LightGBM model: num_class %g: expected one output",
                         fmax(h->classes, h->per_iteration));
    if (!(h->n_features >= 0 && h->n_features <= FOREST_MAX_FEATURES))
        return error_set(r->error, FORAGE_E_INVALID, "LightGBM model: max_feature_idx: expected up to %d",
                         FOREST_MAX_FEATURES - 1);
    return FORAGE_OK;
}

static forage_status read_names(const text_header *h, forest_builder *b) {
    slice rest = h->names, word;
    uint32_t i = 0;
    while (next_word(&rest, &word)) {
        if (i >= b->f->n_features || memchr(word.data, 0, word.size))
            return error_set(b->error, FORAGE_E_INVALID, "LightGBM model: feature_names: expected %u", b->f->n_features);
        forest_build_name(b, i++, word);
    }
    return FORAGE_OK;
}

static forage_status read_trees(text_reader *r, forest_builder *b) {
    arena memory;
    slice line, value;
    forage_status status = FORAGE_OK;
    arena_init(&memory, 0);
    while (!status && !r->ended && next_line(r, &line)) {
        double number;
        r->ended = starts_with(line, "end of trees");
        if (!value_of(line, "Tree", &value)) continue;
        if (!forest_number(value, &number) || number != b->f->n_trees)
            status = error_set(b->error, FORAGE_E_INVALID, "LightGBM model: expected Tree=%u, got \"%.*s\"", b->f->n_trees,
                               SLICE_ARG(line));
        arena_reset(&memory);
        if (!status) status = read_tree(r, &memory, b);
    }
    arena_release(&memory);
    if (!status && !r->ended) status = error_set(b->error, FORAGE_E_INVALID, "LightGBM model: ends too early");
    return status;
}

forage_status forest_read_lightgbm(slice bytes, forest **out, base_error *error) {
    text_reader r = {bytes.data, bytes.data + bytes.size, false, error};
    text_header h;
    forest_builder b;
    forage_status status = read_header(&r, &h);
    if (status) return status;
    forest_build_begin(&b, FOREST_LIGHTGBM, (uint32_t)h.n_features, error);
    b.f->objective = mem_strndup(h.objective.data ? h.objective.data : "", h.objective.size);
    status = read_names(&h, &b);
    if (!status) status = read_trees(&r, &b);
    if (!status && h.average && b.f->n_trees)
        for (size_t i = 0; i < b.nodes; i++)
            if (b.f->node[i].kind == NODE_LEAF) b.f->node[i].value /= (float)b.f->n_trees;
    return forest_build_end(&b, status, out);
}
