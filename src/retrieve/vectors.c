#include "retrieve/vectors_state.h"

#include "base/hash.h"
#include "base/log.h"
#include "encode/remote.h"
#include "os/file.h"
#include "os/wait.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CACHED_QUERIES 10000u
#define SECOND ((int64_t)1000000)
#define PAUSE (SECOND / 4)       /* of the writes, before what an encoder makes is made */
#define LONGEST (5 * SECOND)     /* that writes without a pause delay it */
#define RETRY (60 * SECOND)      /* an encoder that could not be opened */
#define SAVE_EVERY (300 * SECOND)
#define LOOK_EVERY (60 * SECOND) /* for what people taught */

struct settle_request {
    bool train, done;
    forage_status status;
    base_error *error;
    settle_request *next;
};

static int64_t now(void) { return clock_monotonic(&os_clock_system); }

/* ---- Spaces ---- */

vector_space *vector_space_retain(vector_space *s) {
    if (s) atomic_fetch_add(&s->references, 1);
    return s;
}

void vector_space_release(vector_space *s) {
    if (!s || atomic_fetch_sub(&s->references, 1) != 1) return;
    encoder_destroy(s->encoder);
    dense_index_close(s->index);
    bert_model_close(s->model);
    sparse_index_close(s->weights);
    vectors_forget_chosen(s);
    free(s->nothing);
    free(s->path);
    free(s);
}

vector_space *vectors_hold(vectors *v, vector_field *f) {
    pthread_mutex_lock(&v->mutex);
    vector_space *s = vector_space_retain(f->current);
    pthread_mutex_unlock(&v->mutex);
    return s;
}

char *vectors_path(const vectors *v, const vector_field *f, uint64_t version) {
    const schema_field *field = f->field;
    bool weights = field->kind == SCHEMA_WEIGHTS;
    const schema_vector *d = &field->vector;
    buffer key = {0};
    arena a;
    arena_init(&a, 0);
    buffer_printf(&key, "%s %u %d %d %d %s %llu %d", field->name, field->dimensions, d->metric, d->code, d->encoder,
                  d->model ? d->model : "", (unsigned long long)version, d->full_precision);
    if (weights) buffer_printf(&key, " %.9g", (double)d->max_weight);
    if (d->document_prefix) buffer_printf(&key, " %s", d->document_prefix);
    for (uint32_t i = 0; i < d->n_from; i++) buffer_printf(&key, "\n%s", d->from[i]);
    char *name = arena_printf(&a, "%u-%016llx.%s", f->number, (unsigned long long)hash64(key.data, key.size, 0),
                              weights ? "weights" : "dense");
    char *path = mem_strdup(path_join(&a, v->folder, name));
    buffer_release(&key);
    arena_release(&a);
    return path;
}

forage_status vector_space_open(const vectors *v, const vector_field *f, encoder *e, bool fresh, vector_space **out,
                                base_error *error) {
    const schema_field *field = f->field;
    dense_config config = {.dimensions = field->dimensions, .metric = field->vector.metric, .code = field->vector.code, .seed = 1};
    vector_space *s = mem_zalloc(1, sizeof *s);
    atomic_init(&s->references, 1);
    s->field = field;
    s->encoder = e;
    s->path = vectors_path(v, f, e ? e->version : 0);
    const char *files = v->writable ? v->folder : NULL;
    base_error why = {0};
    forage_status status = fresh ? FORAGE_E_NOT_FOUND : dense_index_open(files, s->path, &config, &s->index, &why);
    if (status == FORAGE_E_CORRUPT) log_warn("%s: %s; its vectors are made anew", s->path, why.message);
    if (status) status = dense_index_create(files, &config, &s->index, error);
    if (status) {
        vector_space_release(s);
        return status;
    }
    *out = s;
    return FORAGE_OK;
}

/* ---- Encoders ---- */

static forage_status open_encoder(vectors *v, vector_field *f, encoder **out, base_error *error) {
    const schema_field *field = f->field;
    const schema_vector *d = &field->vector;
    *out = NULL;
    switch (d->encoder) {
    case SCHEMA_ENCODER_NONE: return FORAGE_OK;
    case SCHEMA_ENCODER_CATALOGUE: return vectors_open_catalogue(v, f, out, error);
    case SCHEMA_ENCODER_BERT: {
        bert_options options = {.precision = d->full_precision ? BERT_FP32 : BERT_INT8, .cached_queries = CACHED_QUERIES};
        if (d->query_prefix) options.query_prefix = slice_of(d->query_prefix);
        if (d->document_prefix) options.document_prefix = slice_of(d->document_prefix);
        return bert_encoder_open(d->model, &options, out, error);
    }
    case SCHEMA_ENCODER_REMOTE: {
        remote_options options = {.url = d->url, .model = d->model, .key_env = d->key_env, .dimensions = field->dimensions,
                                  .timeout_ms = d->timeout_ms, .query_prefix = d->query_prefix,
                                  .document_prefix = d->document_prefix, .cached_queries = CACHED_QUERIES};
        return remote_encoder_open(&options, out, error);
    }
    }
    return FORAGE_OK;
}

static void note_problem(vectors *v, vector_field *f, const base_error *error) {
    pthread_mutex_lock(&v->mutex);
    bool is_new = strcmp(f->problem, error->message) != 0;
    snprintf(f->problem, sizeof f->problem, "%.199s", error->message);
    pthread_mutex_unlock(&v->mutex);
    if (is_new)
        log_warn("vectors of \"%s\": %s; it finds nothing until that is mended", atomic_load(&f->field)->name, error->message);
}

static void forget_problem(vectors *v, vector_field *f) {
    pthread_mutex_lock(&v->mutex);
    f->problem[0] = '\0';
    pthread_mutex_unlock(&v->mutex);
}

static void publish(vectors *v, vector_field *f, vector_space *s) {
    pthread_mutex_lock(&v->mutex);
    vector_space *old = f->current;
    f->current = s;
    f->problem[0] = '\0';
    pthread_mutex_unlock(&v->mutex);
    if (old && strcmp(old->path, s->path) != 0) os_remove_file(old->path, NULL);
    vector_space_release(old);
}

static forage_status open_vectors(vectors *v, vector_field *f, vector_space **out, base_error *error) {
    encoder *e;
    uint32_t dimensions = atomic_load(&f->field)->dimensions;
    forage_status status = open_encoder(v, f, &e, error);
    if (status) return status;
    if (e && e->dimensions != dimensions) {
        status = error_set(error, FORAGE_E_SCHEMA, "the encoder makes %u dimensions, the field has %u", e->dimensions, dimensions);
        encoder_destroy(e);
        return status;
    }
    return vector_space_open(v, f, e, false, out, error);
}

static forage_status open_field(vectors *v, vector_field *f, base_error *error) {
    const schema_field *field = f->field;
    base_error why = {0};
    vector_space *s;
    forage_status status = field->kind == SCHEMA_WEIGHTS ? weights_space_open(v, f, &s, &why) : open_vectors(v, f, &s, &why);
    if (status == FORAGE_E_NOT_FOUND && field->vector.encoder == SCHEMA_ENCODER_CATALOGUE) return FORAGE_OK; /* to be trained */
    f->retry_at = now() + RETRY;
    if (!status) {
        publish(v, f, s);
        return FORAGE_OK;
    }
    note_problem(v, f, &why);
    if (error) *error = why;
    return status;
}

/* What the current space was made by is not what is declared now. */
static bool is_stale(const vectors *v, const vector_field *f, const vector_space *s) {
    const schema_field *field = f->field;
    if (s->field->vector.encoder != field->vector.encoder) return true;
    char *path = vectors_path(v, f, s->encoder ? s->encoder->version : s->model ? bert_model_describe(s->model).version : 0);
    bool stale = strcmp(path, s->path) != 0;
    free(path);
    return stale;
}

/* Fields that the schema has by now, and the declarations of those that are there. */
static void follow_schema(vectors *v) {
    const schema *s = collection_schema(v->collection);
    if (s == atomic_load(&v->schema)) return;
    pthread_mutex_lock(&v->schema_mutex);
    s = collection_schema(v->collection);
    for (uint32_t i = 0; i < s->n_fields && s != v->schema; i++) {
        if (s->fields[i].kind != SCHEMA_VECTOR && s->fields[i].kind != SCHEMA_WEIGHTS) continue;
        size_t at = 0, n = v->n_fields;
        while (at < n && v->fields[at].number != i) at++;
        vector_field *f = &v->fields[at];
        atomic_store(&f->field, &s->fields[i]);
        if (at == n) {
            f->number = i;
            atomic_store(&f->unsaved, true);
            atomic_store(&v->n_fields, n + 1);
        }
        vector_space *current = vectors_hold(v, f);
        if (!current || is_stale(v, f, current)) open_field(v, f, NULL);
        vector_space_release(current);
    }
    atomic_store(&v->schema, s);
    pthread_mutex_unlock(&v->schema_mutex);
}

/* ---- The thread ---- */

static forage_status save(vectors *v, vector_field *f, base_error *error) {
    vector_space *s = v->writable ? vectors_hold(v, f) : NULL;
    if (!s || !atomic_exchange(&f->unsaved, false)) {
        vector_space_release(s);
        return FORAGE_OK;
    }
    forage_status status = s->weights ? sparse_index_write_file(s->weights, s->path, error) : dense_index_save(s->index, s->path, error);
    if (status) atomic_store(&f->unsaved, true);
    vector_space_release(s);
    return status;
}

static void save_all(vectors *v) {
    for (size_t i = 0; i < v->n_fields; i++) {
        base_error error = {0};
        if (save(v, &v->fields[i], &error)) log_warn("vectors: %s", error.message);
    }
    v->last_saved = now();
}

/* Trains, if it is time or somebody asks, fills, and publishes what is new. */
static forage_status work_on(vectors *v, vector_field *f, bool settle, bool train, base_error *error) {
    forage_status status = FORAGE_OK;
    const schema_field *field = f->field;
    bool catalogue = field->vector.encoder == SCHEMA_ENCODER_CATALOGUE;
    vector_space *s = vectors_hold(v, f), *fresh = NULL;
    if (!s && !catalogue && (settle || now() >= f->retry_at)) {
        status = open_field(v, f, error);
        if (status) return status;
        s = vectors_hold(v, f);
    }
    if (catalogue && v->writable && (train || (settle && !s) || vectors_wants_training(v, f, s != NULL))) {
        encoder *e = NULL;
        status = vectors_train_catalogue(v, f, &e, error);
        if (!status && e) status = vector_space_open(v, f, e, true, &fresh, error);
    }
    uint64_t changed = 0;
    vector_space *filled = fresh ? fresh : s;
    if (!status && filled) status = vectors_fill(v, filled, &changed, error);
    if (!status && filled) forget_problem(v, f);
    if (changed || fresh) atomic_store(&f->unsaved, true);
    if (fresh && !status) publish(v, f, fresh);
    else if (fresh) vector_space_release(fresh);
    vector_space_release(s);
    return status;
}

static forage_status work(vectors *v, bool settle, bool train, base_error *error) {
    forage_status status = FORAGE_OK;
    follow_schema(v);
    for (size_t i = 0; i < v->n_fields && !atomic_load(&v->stopping); i++) {
        base_error why = {0};
        forage_status one = work_on(v, &v->fields[i], settle, train, &why);
        if (one && one != FORAGE_E_CLOSED) note_problem(v, &v->fields[i], &why);
        if (one && !status) {
            status = one;
            if (error) *error = why;
        }
    }
    return status;
}

/* Microseconds until there may be something to do. The mutex is held. */
static int64_t until_work(const vectors *v, uint64_t done, int64_t looked) {
    int64_t time = now();
    if (v->requests) return 0;
    int64_t wait = looked + LOOK_EVERY - time;
    if (v->changes != done) {
        int64_t due = v->last_change + PAUSE, latest = looked + LONGEST;
        if (due > latest) due = latest;
        if (due - time < wait) wait = due - time;
    }
    if (collection_schema(v->collection) != v->schema) wait = 0;
    return wait > 0 ? wait : 0;
}

static void *keep_in_step(void *argument) {
    vectors *v = argument;
    uint64_t done = UINT64_MAX;
    int64_t looked = 0;
    pthread_mutex_lock(&v->mutex);
    while (!atomic_load(&v->stopping)) {
        int64_t wait = looked ? until_work(v, done, looked) : 0;
        if (wait > 0) {
            os_wait_until(&v->changed, &v->mutex, now() + wait);
            continue;
        }
        settle_request *r = v->requests;
        done = v->changes;
        v->working = true;
        pthread_mutex_unlock(&v->mutex);
        base_error error = {0};
        forage_status status = work(v, r != NULL, r && r->train, &error);
        if (r || now() - v->last_saved > SAVE_EVERY) save_all(v);
        looked = now();
        pthread_mutex_lock(&v->mutex);
        v->working = false;
        if (!r) continue;
        v->requests = r->next;
        r->status = status;
        if (status && r->error) *r->error = error;
        r->done = true;
        pthread_cond_broadcast(&v->changed);
    }
    while (v->requests) {
        settle_request *r = v->requests;
        v->requests = r->next;
        r->status = error_set(r->error, FORAGE_E_CLOSED, "the collection is being closed");
        r->done = true;
    }
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->mutex);
    return NULL;
}

static forage_status ask_for(vectors *v, bool train, base_error *error) {
    settle_request self = {.train = train, .error = error}, **end;
    pthread_mutex_lock(&v->mutex);
    if (atomic_load(&v->stopping)) {
        pthread_mutex_unlock(&v->mutex);
        return error_set(error, FORAGE_E_CLOSED, "the collection is being closed");
    }
    for (end = &v->requests; *end;) end = &(*end)->next;
    *end = &self;
    pthread_cond_broadcast(&v->changed);
    while (!self.done) pthread_cond_wait(&v->changed, &v->mutex);
    pthread_mutex_unlock(&v->mutex);
    return self.status;
}

forage_status vectors_settle(vectors *v, base_error *error) { return ask_for(v, false, error); }

forage_status vectors_train(vectors *v, base_error *error) {
    if (!v->writable) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    return ask_for(v, true, error);
}

/* ---- What documents bring ---- */

static void take_brought(vectors *v, vector_space *s, const uint32_t *numbers, size_t n) {
    store_txn *t;
    float *vector = mem_alloc(s->field->dimensions * sizeof *vector);
    arena a;
    arena_init(&a, 0);
    if (!store_read_begin(collection_store(v->collection), &t, NULL)) {
        for (size_t i = 0; i < n; i++) {
            collection_document d;
            json_value *json;
            arena_reset(&a);
            if (collection_document_by_number(t, numbers[i], &d) || json_read(&a, d.source, &json, NULL)) continue;
            if (!vectors_brought(s->field, json, vector)) dense_index_remove(s->index, numbers[i]);
            else dense_index_add(s->index, numbers[i], d.version, vector, NULL);
        }
        store_read_end(t);
    }
    arena_release(&a);
    free(vector);
}

static void watch(void *self, const uint32_t *numbers, const uint64_t *versions, size_t n) {
    vectors *v = self;
    vector_space *held[SPARSE_MAX_FIELDS];
    size_t n_held = 0;
    follow_schema(v);
    pthread_mutex_lock(&v->mutex);
    v->changes++;
    v->last_change = now();
    for (size_t i = 0; i < v->n_fields; i++) {
        if (!v->fields[i].current) continue;
        held[n_held++] = vector_space_retain(v->fields[i].current);
        atomic_store(&v->fields[i].unsaved, true);
    }
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->mutex);
    for (size_t i = 0; i < n_held; i++) {
        if (!versions) vector_space_forget(held[i], numbers, n);
        else if (held[i]->weights && !held[i]->model) weights_take_brought(v, held[i], numbers, n);
        else if (!vector_space_encodes(held[i])) take_brought(v, held[i], numbers, n);
        vector_space_release(held[i]);
    }
}

/* ---- Open and close ---- */

static bool ends_in(const char *name, const char *end) {
    size_t length = strlen(name), size = strlen(end);
    return length >= size && strcmp(name + length - size, end) == 0;
}

/* Files of indexes that no field has now: of other encoders or settings. */
static void remove_strange_files(vectors *v) {
    arena a;
    char **names;
    size_t n;
    arena_init(&a, 0);
    if (os_list(v->folder, &a, &names, &n, NULL)) n = 0;
    for (size_t i = 0; i < n; i++) {
        char *path = path_join(&a, v->folder, names[i]);
        bool known = !ends_in(names[i], ".dense") && !ends_in(names[i], ".weights");
        for (size_t f = 0; f < v->n_fields && !known; f++)
            known = !v->fields[f].current || strcmp(v->fields[f].current->path, path) == 0;
        if (!known) os_remove_file(path, NULL);
    }
    arena_release(&a);
}

forage_status vectors_open(collection *c, vectors **out, base_error *error) {
    vectors *v = mem_zalloc(1, sizeof *v);
    arena a;
    arena_init(&a, 0);
    v->collection = c;
    v->writable = !store_read_only(collection_store(c));
    v->folder = mem_strdup(path_join(&a, collection_folder(c), "vectors"));
    v->last_saved = now();
    arena_release(&a);
    pthread_mutex_init(&v->mutex, NULL);
    pthread_mutex_init(&v->schema_mutex, NULL);
    os_condition_init(&v->changed);
    forage_status status = v->writable ? os_make_folders(v->folder, error) : FORAGE_OK;
    if (!status) {
        follow_schema(v);
        if (v->writable) remove_strange_files(v);
        collection_watch(c, watch, v);
        if (pthread_create(&v->thread, NULL, keep_in_step, v) == 0) v->running = true;
        else status = error_set(error, FORAGE_E_INTERNAL, "vectors of %s: no thread can be started", collection_name(c));
    }
    if (status) {
        vectors_close(v);
        return status;
    }
    *out = v;
    return FORAGE_OK;
}

void vectors_close(vectors *v) {
    if (!v) return;
    collection_watch(v->collection, NULL, NULL);
    pthread_mutex_lock(&v->mutex);
    atomic_store(&v->stopping, true);
    pthread_cond_broadcast(&v->changed);
    pthread_mutex_unlock(&v->mutex);
    if (v->running) pthread_join(v->thread, NULL);
    save_all(v);
    for (size_t i = 0; i < v->n_fields; i++) vector_space_release(v->fields[i].current);
    pthread_cond_destroy(&v->changed);
    pthread_mutex_destroy(&v->mutex);
    pthread_mutex_destroy(&v->schema_mutex);
    free(v->folder);
    free(v);
}

size_t vectors_describe(vectors *v, vectors_info out[SPARSE_MAX_FIELDS]) {
    vector_space *held[SPARSE_MAX_FIELDS];
    pthread_mutex_lock(&v->mutex);
    size_t n = v->n_fields;
    for (size_t i = 0; i < n; i++) {
        const vector_field *f = &v->fields[i];
        held[i] = vector_space_retain(f->current);
        out[i] = (vectors_info){.field = f->field, .working = v->working, .trained_documents = f->trained_documents,
                                .trained_pairs = f->trained_pairs, .trained_seconds = f->trained_seconds};
        memcpy(out[i].problem, f->problem, sizeof out[i].problem);
    }
    pthread_mutex_unlock(&v->mutex);
    for (size_t i = 0; i < n; i++) {
        if (!held[i]) continue;
        if (held[i]->weights) sparse_index_describe(held[i]->weights, &out[i].weights);
        else dense_index_describe(held[i]->index, &out[i].index);
        out[i].version = held[i]->encoder ? held[i]->encoder->version : held[i]->model ? bert_model_describe(held[i]->model).version : 1;
        vector_space_release(held[i]);
    }
    return n;
}
