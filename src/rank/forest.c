/* The forest as others see it: which implementation scores, whose columns, what matters. */
#include "rank/forest_internal.h"

#include "format/json.h"

#include <assert.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

forest_shape forest_describe(const forest *f) {
    static const char *const libraries[] = {[FOREST_XGBOOST] = "XGBoost", [FOREST_LIGHTGBM] = "LightGBM"};
    return (forest_shape){.n_features = f->n_features,
                          .n_columns = f->n_columns_in,
                          .n_trees = f->n_trees,
                          .n_leaves_max = f->leaves_max,
                          .depth = f->depth,
                          .n_nodes = f->root[f->n_trees],
                          .base = f->base,
                          .has_cover = f->has_cover,
                          .source = libraries[f->library],
                          .objective = f->objective};
}

slice forest_feature_name(const forest *f, uint32_t feature) {
    assert(feature < f->n_features);
    return slice_of(f->names[feature]);
}

void forest_importance(const forest *f, forest_importance_kind kind, double *out) {
    for (uint32_t i = 0; i < f->n_features; i++) out[i] = 0;
    for (size_t i = 0; i < f->root[f->n_trees]; i++) {
        const forest_node *n = &f->node[i];
        if (n->kind == NODE_LEAF) continue;
        double cover = isfinite(n->cover) ? (double)n->cover : 0;
        out[n->feature] += kind == FOREST_SPLITS ? 1 : kind == FOREST_GAIN ? (double)n->gain : cover;
    }
}

/* ---- Scoring ---- */

typedef struct backend {
    const char *name;
    forest_scorer *score;
    uint32_t block; /* rows that a sliced program serves at once; 0: it does not need programs */
} backend;

static const backend backends[] = {
    {"scalar", forest_score_scalar, 0},
    {"interleaved", forest_score_interleaved, 0},
    {"sliced", forest_score_sliced, 64},
#if defined(__x86_64__)
    {"avx2", forest_score_avx2, 256},
#endif
};
enum { INTERLEAVED = 1, PORTABLE = 2, BACKENDS = sizeof backends / sizeof *backends };

static _Atomic(const backend *) chosen;

static bool runs_here(const backend *b) {
#if defined(__x86_64__)
    /* libgcc's answer includes whether the operating system keeps the upper halves of the registers. */
    if (b->score == forest_score_avx2) return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("popcnt");
#endif
    (void)b;
    return true;
}

static const backend *find_backend(const char *name) {
    for (size_t i = 0; i < BACKENDS; i++)
        if (strcmp(backends[i].name, name) == 0) return runs_here(&backends[i]) ? &backends[i] : NULL;
    return NULL;
}

/* Names that other parts of the program know and that are none here choose the best, as does one of another machine. */
static const backend *best_backend(void) {
    const char *name = getenv("FORAGE_SIMD");
    const backend *wanted = name ? find_backend(name) : NULL;
    if (wanted) return wanted;
    size_t best = BACKENDS - 1;
    while (best > PORTABLE && !runs_here(&backends[best])) best--;
    return &backends[best];
}

/* Threads that come first at once find the same. */
static const backend *current(void) {
    const backend *b = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!b) {
        b = best_backend();
        atomic_store_explicit(&chosen, b, memory_order_relaxed);
    }
    return b;
}

forage_status forest_use(const char *name, base_error *error) {
    const backend *b = name ? find_backend(name) : best_backend();
    if (!b)
        return error_set(error, FORAGE_E_INVALID, "forest: no implementation \"%s\" on this machine", name);
    atomic_store_explicit(&chosen, b, memory_order_relaxed);
    return FORAGE_OK;
}

const char *forest_backend_name(void) { return current()->name; }

enum { WORDS = 4, ALIGNMENT = 64 }; /* of a slot, at most */

size_t forest_scratch_bytes(const forest *f) {
    size_t tile = (size_t)f->n_columns * FOREST_TILE * sizeof(float), slots = (size_t)f->n_slots * WORDS * sizeof(uint64_t);
    return (tile > slots ? tile : slots) + ALIGNMENT;
}

/* What slicing is not worth: too few rows, the last few of many, or trees too large for it. */
void forest_score(const forest *f, const float *x, size_t n, size_t stride, arena *scratch, float *scores) {
    assert(stride >= f->n_columns_in || !n);
    const backend *b = current();
    uintptr_t memory = (uintptr_t)arena_alloc(scratch, forest_scratch_bytes(f));
    void *aligned = (void *)((memory + ALIGNMENT - 1) & ~(uintptr_t)(ALIGNMENT - 1));
    if (!b->block) {
        b->score(f, x, n, stride, aligned, scores);
        return;
    }
    size_t last = n % b->block, sliced = !f->n_slots ? 0 : last < f->sliced_from ? n - last : n;
    if (sliced) b->score(f, x, sliced, stride, aligned, scores);
    if (sliced < n)
        backends[INTERLEAVED].score(f, x + sliced * stride, n - sliced, stride, aligned, scores + sliced);
}

/* ---- Whose columns ---- */

typedef struct renaming {
    slice theirs, ours;
} renaming;

static int by_name(const void *a, const void *b) {
    return slice_compare(((const renaming *)a)->theirs, ((const renaming *)b)->theirs);
}

static forage_status read_object(arena *memory, slice map, renaming **out, size_t *n, base_error *error) {
    json_value *object;
    forage_status status = json_read(memory, map, &object, error);
    if (status && error) error_prefix(error, "map of features");
    if (status) return status;
    *out = arena_alloc(memory, (object->count + 1) * sizeof **out);
    for (const json_value *member = object->first; member; member = member->next) {
        if (member->type != JSON_STRING)
            return error_set(error, FORAGE_E_INVALID, "map of features: \"%.*s\": expected a name, got %s",
                             SLICE_ARG(member->key), json_type_name(member->type));
        (*out)[(*n)++] = (renaming){member->key, member->text};
    }
    return FORAGE_OK;
}

static forage_status read_lines(arena *memory, slice map, renaming **out, size_t *n, base_error *error) {
    size_t lines = 1, number = 0;
    for (size_t i = 0; i < map.size; i++) lines += map.data[i] == '\n';
    *out = arena_alloc(memory, lines * sizeof **out);
    for (const char *at = map.data, *end = map.data + map.size; at < end;) {
        const char *stop = memchr(at, '\n', (size_t)(end - at)), *next = stop ? stop + 1 : end;
        if (!stop) stop = end;
        if (stop > at && stop[-1] == '\r') stop--;
        number++;
        const char *tab = memchr(at, '\t', (size_t)(stop - at));
        if (stop > at && *at != '#') {
            if (!tab || tab == at || tab + 1 == stop)
                return error_set(error, FORAGE_E_INVALID, "map of features: line %zu: expected theirs<TAB>ours", number);
            (*out)[(*n)++] = (renaming){{at, (size_t)(tab - at)}, {tab + 1, (size_t)(stop - tab - 1)}};
        }
        at = next;
    }
    return FORAGE_OK;
}

static forage_status read_map(arena *memory, slice map, renaming **out, size_t *n, base_error *error) {
    size_t i = 0;
    while (i < map.size && strchr(" \t\r\n", map.data[i]) && map.data[i]) i++;
    bool object = i < map.size && map.data[i] == '{';
    forage_status status = (object ? read_object : read_lines)(memory, map, out, n, error);
    if (status) return status;
    qsort(*out, *n, sizeof **out, by_name);
    for (i = 1; i < *n; i++)
        if (by_name(&(*out)[i - 1], &(*out)[i]) == 0)
            return error_set(error, FORAGE_E_INVALID, "map of features: \"%.*s\" twice", SLICE_ARG((*out)[i].theirs));
    return FORAGE_OK;
}

static const renaming *find_name(const renaming *sorted, size_t n, slice name) {
    renaming key = {name, {0}};
    return n ? bsearch(&key, sorted, n, sizeof key, by_name) : NULL;
}

forage_status forest_rename(slice map, const slice *theirs, uint32_t n, arena *a, slice *ours, base_error *error) {
    renaming *renames = NULL;
    size_t n_renames = 0;
    forage_status status = read_map(a, map, &renames, &n_renames, error);
    for (uint32_t i = 0; !status && i < n; i++) {
        const renaming *renamed = find_name(renames, n_renames, theirs[i]);
        ours[i] = renamed ? renamed->ours : theirs[i];
    }
    return status;
}

static uint32_t find_column(const slice *names, uint32_t n, slice name) {
    for (uint32_t c = 0; c < n; c++)
        if (slice_equal(names[c], name)) return c;
    return FOREST_ABSENT;
}

forage_status forest_map_features(forest *f, const slice *names, uint32_t n, slice map, bool allow_missing,
                                  base_error *error) {
    arena memory;
    renaming *renames = NULL;
    size_t n_renames = 0;
    arena_init(&memory, 0);
    uint32_t *source = mem_alloc(((size_t)f->n_features + 1) * sizeof *source);
    bool *used = mem_zalloc((size_t)f->n_features + 1, sizeof *used);
    forage_status status = read_map(&memory, map, &renames, &n_renames, error);
    if (status) goto done;
    for (uint32_t c = 0; c < f->n_columns; c++) used[f->column[c].feature] = true;
    for (uint32_t i = 0; i < f->n_features; i++) {
        slice name = slice_of(f->names[i]);
        const renaming *renamed = find_name(renames, n_renames, name);
        source[i] = find_column(names, n, renamed ? renamed->ours : name);
        if (source[i] != FOREST_ABSENT || !used[i] || allow_missing) continue;
        if (renamed)
            status = error_set(error, FORAGE_E_INVALID, "the model's feature \"%.*s\" is mapped to \"%.*s\", which is no column",
                               SLICE_ARG(name), SLICE_ARG(renamed->ours));
        else
            status = error_set(error, FORAGE_E_INVALID, "no column is called \"%.*s\", a feature that the model uses",
                               SLICE_ARG(name));
        goto done;
    }
    memcpy(f->source, source, f->n_features * sizeof *source);
    f->n_columns_in = n;
done:
    arena_release(&memory);
    free(source);
    free(used);
    return status;
}
