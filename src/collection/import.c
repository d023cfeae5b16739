/* Documents in: read, check, index a batch outside any lock, then store and publish it in one job of the writer thread. */
#include "collection/state.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "collection/document.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_DOCUMENTS 4096
#define BATCH_BYTES (8u << 20)
#define INFER_SAMPLE 1000       /* records, */
#define INFER_BYTES (2u << 20)  /* or this much of them: a hostile sample must not fill the memory */

typedef struct batch_document {
    slice id, source;
    uint64_t line;
} batch_document;

typedef struct import_batch {
    collection *c;
    const schema *schema;
    arena memory; /* ids and sources */
    size_t bytes, n;
    batch_document documents[BATCH_DOCUMENTS];
    sparse_builder *builder;
    uint32_t *number;
    uint64_t *version;
    uint32_t *by_id; /* open addressing: place + 1 of the last document with this id */
    buffer image;
    forage_status published;
} import_batch;

#define BY_ID_SLOTS (BATCH_DOCUMENTS * 4)

/* Notes that `place` holds the id now; an earlier place with the same id is left out. */
static void last_of_id_wins(import_batch *b, size_t place) {
    slice id = b->documents[place].id;
    for (size_t i = hash64(id.data, id.size, 0) % BY_ID_SLOTS;; i = (i + 1) % BY_ID_SLOTS) {
        if (!b->by_id[i]) {
            b->by_id[i] = (uint32_t)place + 1;
            return;
        }
        size_t earlier = b->by_id[i] - 1;
        if (!slice_equal(b->documents[earlier].id, id)) continue;
        b->number[earlier] = UINT32_MAX;
        b->by_id[i] = (uint32_t)place + 1;
        return;
    }
}

static forage_status put_document(store_txn *t, const batch_document *d, uint32_t number, uint64_t version, bool is_new,
                                  buffer *value, base_error *error) {
    uint8_t key[4], small[8];
    store_be32(key, number);
    slice key_bytes = {(const char *)key, 4};
    buffer_clear(value);
    put_u64(value, version);
    put_string(value, d->id);
    buffer_slice(value, d->source);
    slice record = {value->data, value->size};
    forage_status status = is_new ? store_append(t, STORE_DOCUMENTS, key_bytes, record, error)
                                  : store_put(t, STORE_DOCUMENTS, key_bytes, record, error);
    if (!status && is_new) {
        store_le32(small, number);
        status = store_put(t, STORE_IDS, d->id, (slice){(const char *)small, 4}, error);
    }
    store_le64(small, version);
    slice version_bytes = {(const char *)small, 8};
    if (!status)
        status = is_new ? store_append(t, STORE_PENDING, key_bytes, version_bytes, error)
                        : store_put(t, STORE_PENDING, key_bytes, version_bytes, error);
    return status;
}

static forage_status put_counters(collection *c, store_txn *t, base_error *error) {
    uint8_t bytes[12];
    store_le32(bytes, c->next_number);
    store_le64(bytes + 4, c->next_version);
    return store_put(t, STORE_META, SLICE("counters"), (slice){(const char *)bytes, 12}, error);
}

static forage_status batch_apply(store_txn *t, void *self, base_error *error) {
    import_batch *b = self;
    collection *c = b->c;
    if (c->next_number > UINT32_MAX - BATCH_DOCUMENTS - 1)
        return error_set(error, FORAGE_E_TOO_LARGE, "the collection has used up its 4 billion document numbers");
    if (!collection_same_kinds(b->schema, c->coming ? c->coming : collection_schema(c)))
        return error_set(error, FORAGE_E_SCHEMA, "the schema changed while these documents were read; send them again");
    buffer value = {0};
    forage_status status = FORAGE_OK;
    for (size_t i = 0; !status && i < b->n; i++) {
        if (b->number[i] == UINT32_MAX) continue;
        bool is_new = !collection_number_of(t, b->documents[i].id, &b->number[i]);
        if (is_new) b->number[i] = c->next_number++;
        b->version[i] = c->next_version++;
        status = put_document(t, &b->documents[i], b->number[i], b->version[i], is_new, &value, error);
    }
    if (!status) status = put_counters(c, t, error);
    buffer_release(&value);
    return status;
}

static void batch_committed(void *self, forage_status status) {
    import_batch *b = self;
    b->published = status;
    if (status) return;
    sparse_statistics own, all;
    sparse_builder_statistics(b->builder, &own);
    sparse_index_statistics(b->c->index, &own, &all);
    sparse_builder_finish(b->builder, b->number, b->version, &all, &b->image);
    base_error error;
    b->published = sparse_index_apply(b->c->index, &b->image, NULL, 0, &error);
    if (b->published) log_error("collection %s: publishing a batch: %s", b->c->name, error.message);
}

static import_batch *batch_create(collection *c) {
    import_batch *b = mem_zalloc(1, sizeof *b);
    b->c = c;
    arena_init(&b->memory, 1 << 20);
    b->number = mem_zalloc(BATCH_DOCUMENTS, sizeof *b->number);
    b->version = mem_zalloc(BATCH_DOCUMENTS, sizeof *b->version);
    b->by_id = mem_zalloc(BY_ID_SLOTS, sizeof *b->by_id);
    return b;
}

/* Empties the batch for documents of the schema that is current now. */
static void batch_restart(import_batch *b) {
    const schema *current = collection_schema(b->c);
    if (current != b->schema || !b->builder) {
        sparse_config config;
        schema_sparse_config(current, &config);
        sparse_builder_destroy(b->builder);
        b->builder = sparse_builder_create(&config);
        b->schema = current;
    } else {
        sparse_builder_reset(b->builder);
    }
    arena_reset(&b->memory);
    if (b->n) {
        memset(b->number, 0, b->n * sizeof *b->number);
        memset(b->by_id, 0, BY_ID_SLOTS * sizeof *b->by_id);
    }
    b->n = b->bytes = 0;
    buffer_release(&b->image);
}

static void batch_destroy(import_batch *b) {
    sparse_builder_destroy(b->builder);
    arena_release(&b->memory);
    buffer_release(&b->image);
    free(b->number);
    free(b->version);
    free(b->by_id);
    free(b);
}

static void tell(import_batch *b) {
    size_t n = 0;
    for (size_t i = 0; i < b->n; i++) {
        if (b->number[i] == UINT32_MAX) continue;
        b->number[n] = b->number[i];
        b->version[n++] = b->version[i];
    }
    collection_tell(b->c, b->number, b->version, n);
}

static forage_status batch_store(import_batch *b, base_error *error) {
    if (b->n == 0) return FORAGE_OK;
    for (size_t i = 0; i < b->n; i++) last_of_id_wins(b, i);
    store_job job = {batch_apply, batch_committed, b};
    forage_status status = store_write(b->c->store, &job, error);
    if (!status && b->published)
        status = error_set(error, b->published, "the documents are stored, but the index could not be updated; restart to rebuild");
    if (!status) tell(b);
    return status;
}

/* ---- One import ---- */

typedef struct importer {
    collection *c;
    import_report *report;
    import_batch *batch;
    text_analyzer *analyzer;
    buffer scratch;
    arena parse;
    uint64_t line_offset;
} importer;

static void refuse(importer *im, uint64_t line, slice id, slice field, const char *message) {
    import_report *r = im->report;
    r->failed++;
    if (r->n_problems == IMPORT_MAX_ERRORS) return;
    char *full = arena_printf(&r->memory, "line %llu%s%s", (unsigned long long)line, field.size ? ", " : ": ", message);
    r->problems[r->n_problems++] = (import_problem){line, arena_slice(&r->memory, id), arena_slice(&r->memory, field),
                                                    slice_of(full)};
}

/* Sources are stored on one line, so that exports are NDJSON. */
static slice one_line(importer *im, slice json, const json_value *document) {
    if (!memchr(json.data, '\n', json.size) && !memchr(json.data, '\r', json.size))
        return arena_slice(&im->batch->memory, json);
    buffer compact = {0};
    json_writer w = json_writer_of(&compact);
    json_value_write(&w, document);
    slice out = arena_slice(&im->batch->memory, (slice){compact.data, compact.size});
    buffer_release(&compact);
    return out;
}

static forage_status flush(importer *im, base_error *error) {
    size_t n = im->batch->n;
    forage_status status = batch_store(im->batch, error);
    if (!status) im->report->indexed += n;
    batch_restart(im->batch);
    return status;
}

/* Checks and indexes one record; refusals go to the report, only failures of the store are returned. */
static forage_status take(importer *im, slice json, uint64_t line, base_error *error) {
    import_batch *b = im->batch;
    document_problem problem = {0};
    json_value *document;
    slice id = {0};
    arena_reset(&im->parse);
    forage_status bad = json_read(&im->parse, json, &document, &problem.error);
    if (!bad) bad = document_check(b->schema, document, &id, &problem, &im->parse);
    if (bad) {
        refuse(im, line, id, problem.field, problem.error.message);
        return FORAGE_OK;
    }
    document_index(b->schema, document, im->analyzer, &im->scratch, b->builder);
    b->documents[b->n++] = (batch_document){arena_slice(&b->memory, id), one_line(im, json, document), line};
    b->bytes += json.size;
    return b->n == BATCH_DOCUMENTS || b->bytes >= BATCH_BYTES ? flush(im, error) : FORAGE_OK;
}

/* The records that were read ahead to infer a schema from. */
typedef struct sample {
    arena memory;
    slice json[INFER_SAMPLE];
    uint64_t line[INFER_SAMPLE];
    size_t n;
} sample;

/* The reader's messages name a line of their own count; the report names the line of the whole input. */
static const char *without_line(const char *message) {
    unsigned long long line;
    int end = 0;
    return sscanf(message, "line %llu: %n", &line, &end) == 1 && end > 0 ? message + end : message;
}

static forage_status next_record(importer *im, records_reader *records, slice *json, uint64_t *line, bool *end,
                                 base_error *error) {
    for (;;) {
        base_error problem = {0};
        bool recoverable = false;
        forage_status status = records_next(records, json, line, end, &recoverable, &problem);
        if (!status) {
            *line += im->line_offset;
            im->report->received += !*end;
            return FORAGE_OK;
        }
        const char *what = without_line(problem.message);
        *line += im->line_offset;
        if (!recoverable && what == problem.message) return error_set(error, status, "%s", what); /* of the source */
        if (!recoverable) return error_set(error, status, "line %llu: %s", (unsigned long long)*line, what);
        im->report->received++;
        refuse(im, *line, (slice){0}, (slice){0}, what);
    }
}

static forage_status infer(importer *im, sample *s, base_error *error) {
    const json_value **documents = mem_alloc((s->n + 1) * sizeof *documents);
    arena parse;
    arena_init(&parse, 1 << 20);
    size_t n = 0;
    for (size_t i = 0; i < s->n; i++) {
        json_value *document;
        if (s->json[i].size <= INFER_BYTES / 2 && !json_read(&parse, s->json[i], &document, NULL) &&
            document->type == JSON_OBJECT)
            documents[n++] = document;
    }
    pthread_mutex_lock(&im->c->schema_mutex);
    schema *grown = schema_copy(collection_schema(im->c));
    uint32_t added = 0;
    if (grown->inferred) schema_infer(grown, documents, n, &added);
    forage_status status = FORAGE_OK;
    if (added) {
        im->report->inferred = true;
        status = collection_save_schema(im->c, grown, error);
    } else {
        schema_destroy(grown);
    }
    pthread_mutex_unlock(&im->c->schema_mutex);
    arena_release(&parse);
    free(documents);
    return status;
}

/* While the schema is inferred, the first records are looked at together before they are taken. */
static forage_status sample_first(importer *im, records_reader *records, bool *end, base_error *error) {
    if (!collection_schema(im->c)->inferred) return FORAGE_OK;
    sample *s = mem_zalloc(1, sizeof *s);
    arena_init(&s->memory, 1 << 20);
    forage_status status = FORAGE_OK;
    size_t bytes = 0;
    while (s->n < INFER_SAMPLE && bytes < INFER_BYTES) {
        slice json;
        uint64_t line = 0;
        status = next_record(im, records, &json, &line, end, error);
        if (status || *end) break;
        s->json[s->n] = arena_slice(&s->memory, json);
        s->line[s->n++] = line;
        bytes += json.size;
    }
    forage_status taken = s->n ? infer(im, s, status ? NULL : error) : FORAGE_OK;
    batch_restart(im->batch);
    for (size_t i = 0; !taken && i < s->n; i++) taken = take(im, s->json[i], s->line[i], status ? NULL : error);
    arena_release(&s->memory);
    free(s);
    return status ? status : taken;
}

forage_status collection_import(collection *c, records_reader *records, uint64_t first_line, import_report *report,
                                base_error *error) {
    if (c->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    importer im = {.c = c, .report = report, .batch = batch_create(c), .analyzer = text_analyzer_create(),
                   .line_offset = first_line ? first_line - 1 : 0};
    arena_init(&im.parse, 1 << 18);
    batch_restart(im.batch);
    bool end = false;
    forage_status status = sample_first(&im, records, &end, error);
    while (!status && !end) {
        slice json;
        uint64_t line = 0;
        status = next_record(&im, records, &json, &line, &end, error);
        if (!status && !end) status = take(&im, json, line, error);
    }
    /* What was good before the input broke off is kept. */
    forage_status last = im.batch->n ? flush(&im, status ? NULL : error) : FORAGE_OK;
    batch_destroy(im.batch);
    text_analyzer_destroy(im.analyzer);
    buffer_release(&im.scratch);
    arena_release(&im.parse);
    return status ? status : last;
}

/* ---- Removing ---- */

typedef struct removal {
    collection *c;
    slice id;
    uint32_t number;
    forage_status published;
} removal;

static forage_status removal_apply(store_txn *t, void *self, base_error *error) {
    removal *r = self;
    if (!collection_number_of(t, r->id, &r->number))
        return error_set(error, FORAGE_E_NO_DOCUMENT, "there is no document \"%.*s\"", SLICE_ARG(r->id));
    uint8_t key[4], version[8];
    store_be32(key, r->number);
    store_le64(version, r->c->next_version++);
    slice key_bytes = {(const char *)key, 4};
    forage_status status = store_delete(t, STORE_IDS, r->id, error);
    if (!status) status = store_delete(t, STORE_DOCUMENTS, key_bytes, error);
    if (!status) status = store_put(t, STORE_PENDING, key_bytes, (slice){(const char *)version, 8}, error);
    if (!status) status = put_counters(r->c, t, error);
    return status;
}

static void removal_committed(void *self, forage_status status) {
    removal *r = self;
    buffer none = {0};
    r->published = status ? status : sparse_index_apply(r->c->index, &none, &r->number, 1, NULL);
}

forage_status collection_delete(collection *c, slice id, base_error *error) {
    if (c->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    removal r = {.c = c, .id = id};
    store_job job = {removal_apply, removal_committed, &r};
    forage_status status = store_write(c->store, &job, error);
    if (!status && r.published)
        status = error_set(error, r.published, "the document is removed, but the index could not be updated; restart to rebuild");
    if (!status) collection_tell(c, &r.number, NULL, 1);
    return status;
}

/* ---- Making the index whole again ---- */

static bool is_indexed(const sparse_snapshot *s, uint32_t number, uint64_t version) {
    uint32_t part, place;
    return sparse_snapshot_find(s, number, &part, &place) &&
           sparse_segment_version(s->parts[part].segment, place) == version;
}

/* Publishes what the batch holds as it is stored already: numbers and versions are known. */
static forage_status publish_stored(import_batch *b, base_error *error) {
    sparse_statistics own, all;
    if (b->n == 0) return FORAGE_OK;
    sparse_builder_statistics(b->builder, &own);
    sparse_index_statistics(b->c->index, &own, &all);
    sparse_builder_finish(b->builder, b->number, b->version, &all, &b->image);
    forage_status status = sparse_index_apply(b->c->index, &b->image, NULL, 0, error);
    batch_restart(b);
    return status;
}

static void add_stored(import_batch *b, const collection_document *d, text_analyzer *analyzer, buffer *scratch, arena *parse) {
    json_value *json;
    arena_reset(parse);
    if (json_read(parse, d->source, &json, NULL)) {
        log_warn("collection %s: document \"%.*s\" cannot be read and is left out", b->c->name, SLICE_ARG(d->id));
        return;
    }
    document_index(b->schema, json, analyzer, scratch, b->builder);
    b->number[b->n] = d->number;
    b->version[b->n++] = d->version;
    b->bytes += d->source.size;
}

forage_status collection_index_missing(collection *c, bool everything, uint64_t after_version, base_error *error) {
    store_txn *t;
    forage_status status = store_read_begin(c->store, &t, error);
    if (status) return status;
    import_batch *b = batch_create(c);
    text_analyzer *analyzer = text_analyzer_create();
    const sparse_snapshot *before = collection_acquire(c);
    buffer scratch = {0};
    arena parse;
    arena_init(&parse, 1 << 18);
    batch_restart(b);
    store_cursor *cursor = NULL;
    store_table table = everything ? STORE_DOCUMENTS : STORE_PENDING;
    status = store_cursor_open(t, table, (slice){0}, &cursor, error);
    slice key, value;
    uint32_t *dead = NULL;
    size_t n_dead = 0, dead_capacity = 0;
    uint64_t newest = after_version;
    while (!status && store_cursor_next(cursor, &key, &value)) {
        uint64_t version = value.size >= 8 ? load_le64(value.data) : 0;
        collection_document d;
        if (key.size != 4 || version <= after_version) continue;
        if (version > newest) newest = version;
        uint32_t number = load_be32(key.data);
        if (collection_document_by_number(t, number, &d)) { /* removed since: make sure that it is dead */
            dead = mem_grow(dead, &dead_capacity, n_dead + 1, sizeof *dead);
            dead[n_dead++] = number;
            continue;
        }
        if (is_indexed(before, number, d.version)) continue;
        add_stored(b, &d, analyzer, &scratch, &parse);
        if (b->n == BATCH_DOCUMENTS || b->bytes >= BATCH_BYTES) status = publish_stored(b, error);
    }
    store_cursor_close(cursor);
    if (!status) status = publish_stored(b, error);
    buffer none = {0};
    if (!status && n_dead) status = sparse_index_apply(c->index, &none, dead, n_dead, error);
    free(dead);
    if (!status && newest > c->seen_version) c->seen_version = newest;
    collection_release(c, before);
    batch_destroy(b);
    text_analyzer_destroy(analyzer);
    buffer_release(&scratch);
    arena_release(&parse);
    store_read_end(t);
    return status;
}
