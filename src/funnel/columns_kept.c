/* Lists of columns, kept: in memory one for each schema value, in the store the names of every list that was logged with.
 * Rows under STORE_MODELS: "columns:" and be32 id → strings in a row. */
#include "base/bytes.h"
#include "base/log.h"
#include "funnel/answer.h"

#include <string.h>

#define PREFIX "columns:"
#define KEY_SIZE (sizeof PREFIX - 1 + 4)

const columns_list *funnel_columns(funnel *f, const schema *s) {
    pthread_mutex_lock(&f->columns_mutex);
    columns_list *list = f->columns;
    while (list && list->schema != s) list = list->next;
    if (!list) {
        list = columns_create(s, funnel_core, F_COUNT);
        list->next = f->columns;
        f->columns = list;
    }
    pthread_mutex_unlock(&f->columns_mutex);
    return list;
}

const char *const *funnel_columns_now(funnel *f, uint32_t *n) {
    const columns_list *list = funnel_columns(f, collection_schema(f->collection));
    *n = list->n;
    return list->names;
}

static slice key_of(uint32_t id, char key[KEY_SIZE]) {
    memcpy(key, PREFIX, sizeof PREFIX - 1);
    store_be32(key + sizeof PREFIX - 1, id);
    return (slice){key, KEY_SIZE};
}

forage_status funnel_keep_names(funnel *f, store_txn *t, const columns_list *list, base_error *error) {
    char key[KEY_SIZE];
    slice there;
    if (f->named_set == list->id || store_get(t, STORE_MODELS, key_of(list->id, key), &there) == FORAGE_OK) return FORAGE_OK;
    buffer names = {0};
    for (uint32_t i = 0; i < list->n; i++) put_string(&names, slice_of(list->names[i]));
    forage_status status = store_put(t, STORE_MODELS, key_of(list->id, key), (slice){names.data, names.size}, error);
    buffer_release(&names);
    return status;
}

static const char **core_names(arena *a) {
    const char **names = arena_alloc(a, F_COUNT * sizeof *names);
    for (uint32_t i = 0; i < F_COUNT; i++) names[i] = funnel_core[i].name;
    return names;
}

const char *const *funnel_column_names(funnel *f, uint32_t feature_set, uint32_t n, arena *a) {
    if (feature_set == FUNNEL_FEATURE_SET) return n == F_COUNT ? core_names(a) : NULL;
    store_txn *t;
    char key[KEY_SIZE];
    slice bytes;
    const char **names = NULL;
    if (store_read_begin(collection_store(f->collection), &t, NULL)) return NULL;
    if (!store_get(t, STORE_MODELS, key_of(feature_set, key), &bytes)) {
        byte_reader in = byte_reader_of(bytes.data, bytes.size);
        uint32_t found = 0;
        names = arena_alloc(a, ((size_t)n + 1) * sizeof *names);
        while (read_left(&in) && !in.failed && found < n) {
            slice name = read_string(&in);
            names[found++] = arena_strndup(a, name.data, name.size);
        }
        if (found != n || read_left(&in) || in.failed) names = NULL;
    }
    store_read_end(t);
    return names;
}

void funnel_complain_once(funnel *f, uint64_t number, const char *why) {
    if (atomic_exchange(&f->complained, number) == number) return;
    log_warn("collection %s: model %llu cannot be used (%s); the linear ranker serves in its stead", collection_name(f->collection),
             (unsigned long long)number, why);
}

/* ---- For people ---- */

void funnel_write_columns(funnel *f, json_writer *w) {
    const columns_list *list = funnel_columns(f, collection_schema(f->collection));
    double per_request[COLUMNS_SOURCES], per_candidate[COLUMNS_SOURCES];
    funnel_column_costs(f, per_request, per_candidate);
    json_begin_object(w);
    json_key(w, "id");
    json_integer(w, list->id);
    json_key(w, "columns");
    json_begin_array(w);
    for (uint32_t i = 0; i < list->n; i++) {
        json_begin_object(w);
        json_key(w, "name");
        json_text(w, list->names[i]);
        json_key(w, "source");
        json_text(w, columns_source_name(list->columns[i].source));
        json_key(w, "meaning");
        json_text(w, list->columns[i].meaning);
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "cost_us");
    json_begin_object(w);
    for (columns_source s = COLUMNS_STRATEGY; s < COLUMNS_SOURCES; s++) {
        json_key(w, columns_source_name(s));
        json_begin_object(w);
        json_key(w, "search");
        json_float(w, per_request[s]);
        json_key(w, "candidate");
        json_float(w, per_candidate[s]);
        json_end_object(w);
    }
    json_end_object(w);
    json_end_object(w);
}
