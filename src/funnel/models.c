#include "funnel/models.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "funnel/models_rows.h"
#include "rank/forest.h"

#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#define LOADED 8

struct loaded_model {
    atomic_uint references;
    uint64_t number;
    const columns_list *list;
    forest *trees;           /* NULL: linear */
    float *weight, *center;  /* list->n each */
    arrange_calibration calibration;
};

struct model_registry {
    pthread_mutex_t mutex;
    models_state state;
    loaded_model *loaded[LOADED]; /* the latest used first */
};

model_registry *models_create(void) {
    model_registry *m = mem_zalloc(1, sizeof *m);
    pthread_mutex_init(&m->mutex, NULL);
    m->state.next = 1;
    return m;
}

void models_destroy(model_registry *m) {
    if (!m) return;
    for (int i = 0; i < LOADED; i++) models_release(m->loaded[i]);
    pthread_mutex_destroy(&m->mutex);
    free(m);
}

forage_status models_load(model_registry *m, store_txn *t, base_error *error) {
    models_state state;
    forage_status status = models_read_state(t, &state, error);
    if (!status) models_set_state(m, &state);
    return status;
}

models_state models_get_state(model_registry *m) {
    pthread_mutex_lock(&m->mutex);
    models_state state = m->state;
    pthread_mutex_unlock(&m->mutex);
    return state;
}

void models_set_state(model_registry *m, const models_state *state) {
    pthread_mutex_lock(&m->mutex);
    m->state = *state;
    pthread_mutex_unlock(&m->mutex);
}

uint64_t models_active(const model_registry *m) { return models_get_state((model_registry *)(uintptr_t)m).active; }
uint64_t models_shadow(const model_registry *m) { return models_get_state((model_registry *)(uintptr_t)m).shadow; }

/* ---- Loading ---- */

void models_release(loaded_model *one) {
    if (!one || atomic_fetch_sub(&one->references, 1) != 1) return;
    forest_destroy(one->trees);
    free(one->weight);
    free(one);
}

uint64_t model_number(const loaded_model *one) { return one->number; }
arrange_calibration model_calibration(const loaded_model *one) { return one->calibration; }
bool model_is_trees(const loaded_model *one) { return one->trees != NULL; }

static forage_status read_linear(loaded_model *one, slice bytes, base_error *error) {
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    uint32_t n = one->list->n;
    one->weight = mem_zalloc(2 * (size_t)n, sizeof *one->weight);
    one->center = one->weight + n;
    uint8_t format = read_u8(&in);
    uint64_t count = read_varint(&in);
    for (uint64_t i = 0; i < count && !in.failed; i++) {
        slice name = read_string(&in);
        float weight = read_f32(&in), center = read_f32(&in);
        uint32_t column = in.failed ? COLUMNS_NONE : columns_find(one->list, name);
        if (column == COLUMNS_NONE || !isfinite(weight) || !isfinite(center)) continue;
        one->weight[column] = weight;
        one->center[column] = center;
    }
    if (in.failed || format != 1 || read_left(&in)) return error_set(error, FORAGE_E_CORRUPT, "the linear model is damaged");
    return FORAGE_OK;
}

static forage_status read_trees(loaded_model *one, const funnel_model *stored, base_error *error) {
    uint32_t n = one->list->n;
    slice *names = mem_alloc((n + 1) * sizeof *names);
    for (uint32_t i = 0; i < n; i++) names[i] = slice_of(one->list->names[i]);
    forage_status status = forest_load(stored->bytes, &one->trees, error);
    if (!status) status = forest_map_features(one->trees, names, n, stored->map, true, error);
    free(names);
    return status;
}

static arrange_calibration read_calibration(slice report, arena *a) {
    arrange_calibration c = {1, 0};
    json_value *json;
    if (!report.size || json_read(a, report, &json, NULL)) return c;
    const json_value *given = json_get(json, "calibration");
    const json_value *slope = given ? json_get(given, "slope") : NULL, *intercept = given ? json_get(given, "intercept") : NULL;
    if (!slope || !intercept || slope->type != JSON_NUMBER || intercept->type != JSON_NUMBER || !(slope->number > 0)) return c;
    return (arrange_calibration){slope->number, intercept->number};
}

forage_status model_load(const funnel_model *stored, const columns_list *list, loaded_model **out, base_error *error) {
    loaded_model *one = mem_zalloc(1, sizeof *one);
    arena a;
    arena_init(&a, 0);
    one->number = stored->number;
    one->list = list;
    one->calibration = read_calibration(stored->report, &a);
    atomic_store(&one->references, 1);
    forage_status status = stored->kind == FUNNEL_MODEL_TREES ? read_trees(one, stored, error) : read_linear(one, stored->bytes, error);
    arena_release(&a);
    if (status) models_release(one);
    else *out = one;
    return status;
}

/* The one that is loaded, moved to the front; NULL. Its caller holds the mutex. */
static loaded_model *find_loaded(model_registry *m, uint64_t number, const columns_list *list) {
    for (int i = 0; i < LOADED; i++) {
        loaded_model *one = m->loaded[i];
        if (!one || one->number != number || one->list != list) continue;
        memmove(m->loaded + 1, m->loaded, (size_t)i * sizeof *m->loaded);
        m->loaded[0] = one;
        atomic_fetch_add(&one->references, 1);
        return one;
    }
    return NULL;
}

static void keep_loaded(model_registry *m, loaded_model *one) {
    pthread_mutex_lock(&m->mutex);
    loaded_model *last = m->loaded[LOADED - 1];
    memmove(m->loaded + 1, m->loaded, (LOADED - 1) * sizeof *m->loaded);
    m->loaded[0] = one;
    atomic_fetch_add(&one->references, 1);
    pthread_mutex_unlock(&m->mutex);
    models_release(last);
}

forage_status models_acquire(model_registry *m, store *s, uint64_t number, const columns_list *list, loaded_model **out,
    base_error *error) {
    pthread_mutex_lock(&m->mutex);
    loaded_model *one = find_loaded(m, number, list);
    pthread_mutex_unlock(&m->mutex);
    if (one) {
        *out = one;
        return FORAGE_OK;
    }
    store_txn *t;
    arena a;
    funnel_model stored;
    arena_init(&a, 0);
    forage_status status = store_read_begin(s, &t, error);
    if (!status) {
        status = models_read_row(t, number, &a, &stored, error);
        if (!status) status = model_load(&stored, list, &one, error);
        store_read_end(t);
    }
    arena_release(&a);
    if (status) return status;
    keep_loaded(m, one);
    *out = one;
    return FORAGE_OK;
}

void models_forget(model_registry *m, uint64_t number) {
    loaded_model *gone[LOADED];
    int n = 0, kept = 0;
    pthread_mutex_lock(&m->mutex);
    for (int i = 0; i < LOADED; i++) {
        loaded_model *one = m->loaded[i];
        if (one && one->number == number) gone[n++] = one;
        else m->loaded[kept++] = one;
    }
    while (kept < LOADED) m->loaded[kept++] = NULL;
    pthread_mutex_unlock(&m->mutex);
    while (n) models_release(gone[--n]);
}

/* ---- Scoring ---- */

static float linear_score(const loaded_model *one, const float *x) {
    double sum = 0;
    for (uint32_t i = 0; i < one->list->n; i++)
        if (one->weight[i] != 0 && isfinite(x[i])) sum += (double)one->weight[i] * ((double)x[i] - (double)one->center[i]);
    return (float)fmax(-3e38, fmin(3e38, sum));
}

void model_score(const loaded_model *one, const float *x, size_t n, size_t stride, arena *scratch, float *scores) {
    if (one->trees) forest_score(one->trees, x, n, stride, scratch, scores);
    else
        for (size_t i = 0; i < n; i++) scores[i] = linear_score(one, x + i * stride);
}

forage_status model_explain(const loaded_model *one, const float *row, arena *scratch, double *out, const char **method,
    base_error *error) {
    uint32_t n = one->list->n;
    if (!one->trees) {
        out[n] = 0;
        for (uint32_t i = 0; i < n; i++)
            out[i] = isfinite(row[i]) ? (double)one->weight[i] * ((double)row[i] - (double)one->center[i]) : 0;
        *method = "linear";
        return FORAGE_OK;
    }
    *method = "tree_shap";
    return forest_shap(one->trees, row, scratch, out, error);
}
