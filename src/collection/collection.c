#include "collection/state.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "collection/document.h"
#include "os/file.h"

#include <stdlib.h>

/* ---- Schema ---- */

void collection_publish_schema(collection *c, schema *s) {
    c->schemas = mem_grow(c->schemas, &c->schemas_capacity, c->n_schemas + 1, sizeof(const schema *));
    c->schemas[c->n_schemas++] = s;
    atomic_store(&c->current, s);
}

typedef struct schema_change {
    collection *c;
    schema *s;
    buffer bytes;
    forage_status published;
} schema_change;

/* Whether what was indexed by one schema can stand beside what another indexes. */
bool collection_same_kinds(const schema *before, const schema *after) {
    if (after->n_fields < before->n_fields) return false;
    for (uint32_t i = 0; i < before->n_fields; i++)
        if (before->fields[i].kind != after->fields[i].kind) return false;
    return true;
}

/* Kinds may change until the first document; only here, in the writer's order, is it certain that there was none. */
static forage_status schema_apply(store_txn *t, void *self, base_error *error) {
    schema_change *change = self;
    if (change->c->next_number > 0 && !collection_same_kinds(collection_schema(change->c), change->s))
        return error_set(error, FORAGE_E_SCHEMA, "schema: a field's type can change only before the first document; make a new "
                         "collection");
    change->c->coming = change->s;
    return store_put(t, STORE_META, SLICE("schema"), (slice){change->bytes.data, change->bytes.size}, error);
}

static void schema_committed(void *self, forage_status status) {
    schema_change *change = self;
    change->c->coming = NULL;
    change->published = status;
    if (status) return;
    sparse_config config;
    schema_sparse_config(change->s, &config);
    change->published = sparse_index_extend(change->c->index, &config, NULL);
    if (!change->published) collection_publish_schema(change->c, change->s);
}

forage_status collection_save_schema(collection *c, schema *s, base_error *error) {
    schema_change change = {.c = c, .s = s, .published = FORAGE_E_INTERNAL};
    json_writer w = json_writer_of(&change.bytes);
    schema_write(s, &w);
    store_job job = {schema_apply, schema_committed, &change};
    forage_status status = store_write(c->store, &job, error);
    if (!status && change.published)
        status = error_set(error, change.published, "the new fields could not be added to the index; restart to rebuild it");
    if (status) schema_destroy(s);
    buffer_release(&change.bytes);
    return status;
}

static bool same_schema(const schema *a, const schema *b) {
    buffer x = {0}, y = {0};
    json_writer to_x = json_writer_of(&x), to_y = json_writer_of(&y);
    schema_write(a, &to_x);
    schema_write(b, &to_y);
    bool same = slice_equal((slice){x.data, x.size}, (slice){y.data, y.size});
    buffer_release(&x);
    buffer_release(&y);
    return same;
}

forage_status collection_extend_schema(collection *c, const json_value *json, base_error *error) {
    if (c->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    pthread_mutex_lock(&c->schema_mutex);
    const sparse_snapshot *snapshot = collection_acquire(c);
    bool empty = snapshot->n_parts == 0;
    collection_release(c, snapshot);
    schema *changed;
    forage_status status = schema_extend(collection_schema(c), json, empty, &changed, error);
    if (!status && same_schema(collection_schema(c), changed)) schema_destroy(changed); /* nothing to store */
    else if (!status) status = collection_save_schema(c, changed, error);
    pthread_mutex_unlock(&c->schema_mutex);
    return status;
}

forage_status collection_load_schema(collection *c, base_error *error) {
    store_txn *t;
    forage_status status = store_read_begin(c->store, &t, error);
    if (status) return status;
    arena a;
    arena_init(&a, 0);
    schema *loaded = NULL;
    slice bytes = {0};
    bool stored = store_get(t, STORE_META, SLICE("schema"), &bytes) == FORAGE_OK;
    uint64_t hash = hash64(bytes.data, bytes.size, 0);
    if (c->n_schemas && hash == c->schema_hash) {
        /* The one that is current already. */
    } else if (stored) {
        json_value *json;
        status = json_read(&a, bytes, &json, error);
        if (!status) status = schema_read(json, &loaded, error);
        if (status) status = error_prefix(error, "the stored schema of \"%s\"", c->name);
    } else {
        loaded = schema_create();
    }
    if (loaded) {
        collection_publish_schema(c, loaded);
        c->schema_hash = hash;
    }
    arena_release(&a);
    store_read_end(t);
    return status;
}

/* ---- Documents ---- */

bool collection_decode_document(slice value, collection_document *out) {
    byte_reader in = byte_reader_of(value.data, value.size);
    out->version = read_u64(&in);
    out->id = read_string(&in);
    out->source = read_bytes(&in, read_left(&in));
    return !in.failed && out->id.size > 0;
}

forage_status collection_document_by_number(store_txn *t, uint32_t number, collection_document *out) {
    uint8_t key[4];
    store_be32(key, number);
    slice value;
    if (store_get(t, STORE_DOCUMENTS, (slice){(const char *)key, 4}, &value)) return FORAGE_E_NO_DOCUMENT;
    out->number = number;
    return collection_decode_document(value, out) ? FORAGE_OK : FORAGE_E_CORRUPT;
}

bool collection_number_of(store_txn *t, slice id, uint32_t *number) {
    slice value;
    if (id.size < 1 || id.size > DOCUMENT_MAX_ID || store_get(t, STORE_IDS, id, &value) || value.size != 4) return false;
    *number = load_le32(value.data);
    return true;
}

forage_status collection_document_by_id(store_txn *t, slice id, collection_document *out) {
    uint32_t number;
    return collection_number_of(t, id, &number) ? collection_document_by_number(t, number, out) : FORAGE_E_NO_DOCUMENT;
}

/* ---- Snapshots ---- */

const sparse_snapshot *collection_acquire(collection *c) { return sparse_index_acquire(c->index); }
void collection_release(collection *c, const sparse_snapshot *s) { sparse_index_release(c->index, s); }

void collection_refresh(collection *c) {
    if (!c->options.read_only) return;
    uint64_t commit = store_commit_number(c->store);
    pthread_mutex_lock(&c->refresh_mutex);
    if (commit != c->seen_commit) {
        base_error error;
        bool changed;
        forage_status status = sparse_index_refresh(c->index, &changed, &error);
        if (!status) status = collection_load_schema(c, &error);
        if (!status) {
            sparse_config config;
            schema_sparse_config(collection_schema(c), &config);
            status = sparse_index_extend(c->index, &config, &error);
        }
        if (!status) status = collection_index_missing(c, false, c->seen_version, &error);
        if (status) log_warn("collection %s: following the writing process: %s", c->name, error.message);
        else c->seen_commit = commit;
    }
    pthread_mutex_unlock(&c->refresh_mutex);
}

#define MAX_TYPES 256

static void count_types(collection *c, const sparse_snapshot *s) {
    arena scratch;
    arena_init(&scratch, 0);
    arena_reset(&c->types_memory);
    sparse_eligible all;
    sparse_facet_value values[MAX_TYPES];
    sparse_eligible_compute(s, NULL, &scratch, &all);
    c->n_types = s->config->type < 0 ? 0
                                     : sparse_facet_keyword(&all, (uint32_t)s->config->type, MAX_TYPES, &scratch, values);
    c->types = arena_alloc(&c->types_memory, (c->n_types + 1) * sizeof *c->types);
    for (size_t i = 0; i < c->n_types; i++)
        c->types[i] = (collection_type){arena_slice(&c->types_memory, values[i].value), values[i].count};
    arena_release(&scratch);
}

size_t collection_types(collection *c, const sparse_snapshot *s, arena *a, collection_type **types) {
    pthread_mutex_lock(&c->types_mutex);
    int64_t now = clock_monotonic(&c->options.clock);
    if (!c->types || (c->types_generation != s->generation && (now - c->types_time > 1000000 || now < c->types_time))) {
        count_types(c, s);
        c->types_generation = s->generation;
        c->types_time = now;
    }
    size_t n = c->n_types;
    *types = arena_alloc(a, (n + 1) * sizeof **types);
    for (size_t i = 0; i < n; i++) (*types)[i] = (collection_type){arena_slice(a, c->types[i].name), c->types[i].documents};
    pthread_mutex_unlock(&c->types_mutex);
    return n;
}

/* ---- Watching ---- */

void collection_watch(collection *c, collection_watcher watcher, void *self) {
    pthread_rwlock_wrlock(&c->watch_lock);
    c->watcher = watcher;
    c->watching = self;
    pthread_rwlock_unlock(&c->watch_lock);
}

void collection_tell(collection *c, const uint32_t *numbers, const uint64_t *versions, size_t n) {
    pthread_rwlock_rdlock(&c->watch_lock);
    if (c->watcher && n) c->watcher(c->watching, numbers, versions, n);
    pthread_rwlock_unlock(&c->watch_lock);
}

/* ---- Open and close ---- */

const char *collection_name(const collection *c) { return c->name; }
const char *collection_folder(const collection *c) { return c->folder; }
const schema *collection_schema(const collection *c) { return atomic_load(&((collection *)(uintptr_t)c)->current); }
store *collection_store(const collection *c) { return c->store; }
sparse_index *collection_index(const collection *c) { return c->index; }
const os_clock *collection_clock(const collection *c) { return &c->options.clock; }

static forage_status load_counters(collection *c, base_error *error) {
    store_txn *t;
    forage_status status = store_read_begin(c->store, &t, error);
    if (status) return status;
    slice value;
    if (store_get(t, STORE_META, SLICE("counters"), &value) == FORAGE_OK && value.size == 12) {
        c->next_number = load_le32(value.data);
        c->next_version = load_le64(value.data + 4);
    }
    store_read_end(t);
    return FORAGE_OK;
}

static forage_status open_index(collection *c, base_error *error) {
    arena a;
    arena_init(&a, 0);
    char *folder = path_join(&a, c->folder, "segments");
    sparse_config config;
    bool damaged = false;
    schema_sparse_config(collection_schema(c), &config);
    forage_status status = c->options.read_only ? FORAGE_OK : os_make_folders(folder, error);
    if (!status) status = sparse_index_open(folder, c->store, &config, &c->index, &damaged, error);
    if (!status && damaged) log_warn("collection %s: index files were missing or damaged; rebuilding them", c->name);
    if (!status && damaged) status = store_check(c->store, error); /* all of it is going to be read */
    if (!status) status = collection_index_missing(c, damaged, 0, error);
    if (!status && damaged && !c->options.read_only) { /* written at once, or every start would build it again */
        sparse_index_repaired(c->index);
        sparse_index_flush(c->index, NULL);
    }
    arena_release(&a);
    return status;
}

forage_status collection_open(const char *folder, const char *name, const collection_options *options, collection **out,
                              base_error *error) {
    collection *c = mem_zalloc(1, sizeof *c);
    c->name = mem_strdup(name);
    c->folder = mem_strdup(folder);
    c->options = *options;
    c->next_version = 1;
    pthread_mutex_init(&c->schema_mutex, NULL);
    pthread_rwlock_init(&c->watch_lock, NULL);
    pthread_mutex_init(&c->types_mutex, NULL);
    pthread_mutex_init(&c->refresh_mutex, NULL);
    arena_init(&c->types_memory, 4096);
    store_options store_opts = {.read_only = options->read_only, .no_sync = options->no_sync};
    forage_status status = options->read_only ? FORAGE_OK : os_make_folders(folder, error);
    if (!status) status = store_open(folder, &store_opts, &c->store, error);
    if (!status) c->seen_commit = store_commit_number(c->store);
    if (!status) status = collection_load_schema(c, error);
    if (!status) status = load_counters(c, error);
    if (!status) status = open_index(c, error);
    if (status) {
        collection_close(c);
        return status;
    }
    *out = c;
    return FORAGE_OK;
}

void collection_close(collection *c) {
    if (!c) return;
    if (c->store && !c->options.read_only) store_wait(c->store);
    sparse_index_close(c->index);
    store_close(c->store);
    for (size_t i = 0; i < c->n_schemas; i++) schema_destroy((schema *)(uintptr_t)c->schemas[i]);
    free(c->schemas);
    arena_release(&c->types_memory);
    pthread_mutex_destroy(&c->schema_mutex);
    pthread_rwlock_destroy(&c->watch_lock);
    pthread_mutex_destroy(&c->types_mutex);
    pthread_mutex_destroy(&c->refresh_mutex);
    free(c->name);
    free(c->folder);
    free(c);
}
