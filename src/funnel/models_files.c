/* Model files, and what is in a model. */
#include "base/bytes.h"
#include "funnel/answer.h"
#include "funnel/models_rows.h"
#include "rank/forest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static forage_status map_onto(forest *trees, const columns_list *list, slice map, bool allow_missing, base_error *error) {
    slice *names = mem_alloc((list->n + 1) * sizeof *names);
    for (uint32_t i = 0; i < list->n; i++) names[i] = slice_of(list->names[i]);
    forage_status status = forest_map_features(trees, names, list->n, map, allow_missing, error);
    free(names);
    return status;
}

forage_status funnel_model_import(funnel *f, slice file, slice map, bool allow_missing, buffer *bytes, base_error *error) {
    forest *trees = NULL;
    size_t before = bytes->size;
    forage_status status = forest_read(file, &trees, error);
    if (!status) { /* saved before it is mapped: another schema maps it anew */
        forest_save(trees, bytes);
        status = map_onto(trees, funnel_columns(f, collection_schema(f->collection)), map, allow_missing, error);
    }
    if (status) bytes->size = before;
    forest_destroy(trees);
    return status;
}

void funnel_linear_bytes(const char *const *names, const float *weight, const float *center, uint32_t n, buffer *out) {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < n; i++) kept += weight[i] != 0;
    put_u8(out, 1);
    put_varint(out, kept);
    for (uint32_t i = 0; i < n; i++) {
        if (weight[i] == 0) continue;
        put_string(out, slice_of(names[i]));
        put_f32(out, weight[i]);
        put_f32(out, center[i]);
    }
}

/* ---- Importance ---- */

typedef struct important {
    slice feature;
    double gain, cover, splits;
} important;

static int most_first(const void *x, const void *y) {
    const important *a = x, *b = y;
    if (fabs(a->gain) != fabs(b->gain)) return fabs(a->gain) < fabs(b->gain) ? 1 : -1;
    if (a->splits != b->splits) return a->splits < b->splits ? 1 : -1;
    return slice_compare(a->feature, b->feature);
}

static void write_important(const important *list, size_t n, bool trees, json_writer *w) {
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(w);
        json_key(w, "feature");
        json_string(w, list[i].feature);
        json_key(w, trees ? "gain" : "weight");
        json_float(w, list[i].gain);
        if (trees) {
            json_key(w, "cover");
            json_float(w, list[i].cover);
            json_key(w, "splits");
            json_float(w, list[i].splits);
        }
        json_end_object(w);
    }
    json_end_array(w);
}

/* By our names: the model's own say little where they were f0, f1 … */
static forage_status importance_of_trees(const funnel_model *m, json_writer *w, base_error *error) {
    forest *trees;
    forage_status status = forest_load(m->bytes, &trees, error);
    if (status) return status;
    uint32_t n = forest_describe(trees).n_features, kept = 0;
    arena a;
    arena_init(&a, 0);
    slice *names = arena_alloc(&a, (n + 1) * sizeof *names);
    status = forest_feature_names(trees, m->map, &a, names, error);
    if (status) goto done;
    double *gain = mem_alloc((3 * (size_t)n + 1) * sizeof *gain);
    important *list = mem_alloc((n + 1) * sizeof *list);
    forest_importance(trees, FOREST_GAIN, gain);
    forest_importance(trees, FOREST_COVER, gain + n);
    forest_importance(trees, FOREST_SPLITS, gain + 2 * (size_t)n);
    for (uint32_t i = 0; i < n; i++)
        if (gain[2 * (size_t)n + i] > 0)
            list[kept++] = (important){names[i], gain[i], gain[n + i], gain[2 * (size_t)n + i]};
    if (kept) qsort(list, kept, sizeof *list, most_first);
    write_important(list, kept, true, w);
    free(list);
    free(gain);
done:
    arena_release(&a);
    forest_destroy(trees);
    return status;
}

static forage_status importance_of_linear(const funnel_model *m, json_writer *w, base_error *error) {
    byte_reader in = byte_reader_of(m->bytes.data, m->bytes.size);
    (void)read_u8(&in);
    uint64_t count = read_varint(&in);
    if (in.failed || count > read_left(&in)) return error_set(error, FORAGE_E_CORRUPT, "the linear model is damaged");
    important *list = mem_zalloc(count + 1, sizeof *list);
    size_t n = 0;
    for (uint64_t i = 0; i < count && !in.failed; i++) {
        list[n].feature = read_string(&in);
        list[n++].gain = (double)read_f32(&in);
        (void)read_f32(&in);
    }
    if (n) qsort(list, n, sizeof *list, most_first);
    write_important(list, n, false, w);
    free(list);
    return FORAGE_OK;
}

forage_status funnel_model_importance(const funnel_model *m, json_writer *w, base_error *error) {
    return m->kind == FUNNEL_MODEL_TREES ? importance_of_trees(m, w, error) : importance_of_linear(m, w, error);
}

/* ---- Scoring rows that were logged ---- */

/* The rows' columns in the place where the schema of today has them. */
static float *rearranged(const columns_list *list, const char *const *names, uint32_t n_names, const float *x, size_t n) {
    float *out = mem_alloc(n * list->n * sizeof *out + 1);
    uint32_t *from = mem_alloc((list->n + 1) * sizeof *from);
    for (uint32_t c = 0; c < list->n; c++) {
        from[c] = COLUMNS_NONE;
        for (uint32_t i = 0; i < n_names && from[c] == COLUMNS_NONE; i++)
            if (strcmp(names[i], list->names[c]) == 0) from[c] = i;
    }
    for (size_t i = 0; i < n; i++)
        for (uint32_t c = 0; c < list->n; c++) out[i * list->n + c] = from[c] == COLUMNS_NONE ? NAN : x[i * n_names + from[c]];
    free(from);
    return out;
}

forage_status funnel_model_score(funnel *f, uint64_t number, const char *const *names, uint32_t n_names, const float *x, size_t n,
                                 float *scores, base_error *error) {
    const columns_list *list = funnel_columns(f, collection_schema(f->collection));
    float *rows = rearranged(list, names, n_names, x, n);
    forage_status status = FORAGE_OK;
    if (number) {
        loaded_model *one = NULL;
        arena a;
        arena_init(&a, 0);
        status = models_acquire(f->models, collection_store(f->collection), number, list, &one, error);
        if (!status) model_score(one, rows, n, list->n, &a, scores);
        models_release(one);
        arena_release(&a);
    } else {
        ranker_score(f->ranker, rows, n, list->n, scores);
    }
    free(rows);
    return status;
}
