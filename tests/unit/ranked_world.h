/* Searches whose whole answer stays open, so that a test can look at rows and orders; and small models to rank by. */
#ifndef RANKED_WORLD_H
#define RANKED_WORLD_H

#include "world.h"

typedef struct asked {
    funnel_request request;
    funnel_answer *answer;
    struct asked *next; /* that is open */
} asked;

static asked *asked_open;

/* NULL-terminated JSON of a search; `time`: when it is asked, 0: now. For asked_end. */
static inline asked *ask_open(world *w, const char *json, int64_t time) {
    asked *a = arena_zalloc(&w->memory, 1, sizeof *a);
    base_error error = {0};
    if (funnel_request_read(parse(&w->memory, json), &a->request, &error)) fail_msg("%s in %s", error.message, json);
    a->request.timeout_ms = 60000;
    a->request.time = time;
    if (funnel_search(w->funnel, &a->request, &a->answer, &error)) fail_msg("%s for %s", error.message, json);
    a->next = asked_open;
    asked_open = a;
    return a;
}

static inline void asked_end(asked *a) {
    for (asked **at_ = &asked_open; *at_; at_ = &(*at_)->next)
        if (*at_ == a) {
            *at_ = a->next;
            break;
        }
    funnel_answer_release(a->answer);
}

/* world_end, also after a test that failed with answers open: the funnel would wait for them. */
static inline void ranked_end(world *w) {
    while (asked_open) asked_end(asked_open);
    world_end(w);
}

static inline void describe_all_of(funnel_answer *a) {
    uint32_t *all = arena_alloc(&a->memory, (a->n_candidates + 1) * sizeof *all);
    for (size_t i = 0; i < a->n_candidates; i++) all[i] = (uint32_t)i;
    funnel_describe_rest(a, all, a->n_candidates);
}

static inline uint32_t number_of_id(world *w, const char *id) {
    store_txn *t;
    uint32_t number = UINT32_MAX;
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    bool there = collection_number_of(t, slice_of(id), &number);
    store_read_end(t);
    if (!there) fail_msg("no document %s", id);
    return number;
}

/* The row of a document among the candidates, NULL when it is none. */
static inline const float *row_of_document(const funnel_answer *a, uint32_t document) {
    for (size_t i = 0; i < a->n_candidates; i++)
        if (a->candidates[i].document == document) return a->features + i * a->columns->n;
    return NULL;
}

static inline double value_in(world *w, const funnel_answer *a, const char *id, const char *column) {
    const float *row = row_of_document(a, number_of_id(w, id));
    uint32_t c = columns_find(a->columns, slice_of(column));
    if (!row) fail_msg("%s is no candidate", id);
    if (c == COLUMNS_NONE) fail_msg("no column %s", column);
    return (double)row[c];
}

static inline void assert_value(world *w, const funnel_answer *a, const char *id, const char *column, double expected) {
    double value = value_in(w, a, id, column);
    if (isnan(expected) ? !isnan(value) : !(fabs(value - expected) <= 1e-4 * fmax(1, fabs(expected))))
        fail_msg("%s of %s is %.7g, expected %.7g", column, id, value, expected);
}

/* ---- Models ---- */

/* score = weight × the column. */
static inline uint64_t add_linear(world *w, const char *column, float weight) {
    buffer bytes = {0};
    float center = 0;
    uint64_t number = 0;
    funnel_linear_bytes(&column, &weight, &center, 1, &bytes);
    funnel_model draft = {.kind = FUNNEL_MODEL_LINEAR, .name = SLICE("by hand"), .report = SLICE("{}"),
                          .bytes = {bytes.data, bytes.size}};
    base_error error = {0};
    if (funnel_model_add(w->funnel, &draft, &number, &error)) fail_msg("%s", error.message);
    buffer_release(&bytes);
    return number;
}

typedef struct stump {
    const char *feature;
    double threshold, low, high; /* low where the feature is at most the threshold, or missing */
} stump;

/* LightGBM's text, a tree for each stump. `cover`: with what explanations need. */
static inline void write_stumps(const stump *list, int n, bool cover, buffer *out) {
    buffer_printf(out, "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=%d\nobjective=lambdarank\nfeature_names=",
                  n - 1);
    for (int i = 0; i < n; i++) buffer_printf(out, "%s%s", i ? " " : "", list[i].feature);
    buffer_puts(out, "\n\n");
    for (int i = 0; i < n; i++) {
        buffer_printf(out, "Tree=%d\nnum_leaves=2\nnum_cat=0\nsplit_feature=%d\nsplit_gain=%d\nthreshold=%.17g\ndecision_type=10\n"
                           "left_child=-1\nright_child=-2\nleaf_value=%.17g %.17g\n", i, i, n - i, list[i].threshold,
                               list[i].low, list[i].high);
        if (cover) buffer_puts(out, "leaf_count=30 10\ninternal_count=40\n");
        buffer_puts(out, "is_linear=0\nshrinkage=1\n\n\n");
    }
    buffer_puts(out, "end of trees\n");
}

static inline uint64_t add_stumps(world *w, const stump *list, int n, bool cover, const char *map) {
    buffer file = {0}, bytes = {0};
    base_error error = {0};
    uint64_t number = 0;
    write_stumps(list, n, cover, &file);
    if (funnel_model_import(w->funnel, (slice){file.data, file.size}, slice_of(map), false, &bytes, &error)) fail_msg("%s", error.message);
    funnel_model draft = {.kind = FUNNEL_MODEL_TREES, .map = slice_of(map), .report = SLICE("{}"), .bytes = {bytes.data, bytes.size}};
    if (funnel_model_add(w->funnel, &draft, &number, &error)) fail_msg("%s", error.message);
    buffer_release(&file);
    buffer_release(&bytes);
    return number;
}

#endif
