/* Does the store agree with itself, and the index with the store? */
#include "collection/state.h"

#include "base/bytes.h"
#include "collection/document.h"
#include "feedback/record.h"

#include <stdarg.h>

#define MAX_LINES 100

typedef struct checker {
    collection *c;
    store_txn *t;
    const sparse_snapshot *snapshot;
    buffer *problems;
    size_t n_problems;
    arena parse;
} checker;

static void problem(checker *k, const char *format, ...) __attribute__((format(printf, 2, 3)));

static void problem(checker *k, const char *format, ...) {
    if (k->n_problems++ >= MAX_LINES) return;
    va_list arguments;
    va_start(arguments, format);
    buffer_vprintf(k->problems, format, arguments);
    buffer_putc(k->problems, '\n');
    va_end(arguments);
}

static void check_document(checker *k, slice key, slice value) {
    collection_document d = {0};
    json_value *json;
    if (key.size != 4 || !collection_decode_document(value, &d)) {
        problem(k, "a document record of %zu bytes cannot be decoded", value.size);
        return;
    }
    d.number = load_be32(key.data);
    uint32_t number, part, place;
    if (!collection_number_of(k->t, d.id, &number) || number != d.number)
        problem(k, "document \"%.*s\" (number %u) has no entry in the id table", SLICE_ARG(d.id), d.number);
    arena_reset(&k->parse);
    if (json_read(&k->parse, d.source, &json, NULL) || json->type != JSON_OBJECT)
        problem(k, "document \"%.*s\" is not a JSON object", SLICE_ARG(d.id));
    if (!sparse_snapshot_find(k->snapshot, d.number, &part, &place))
        problem(k, "document \"%.*s\" is not in the index", SLICE_ARG(d.id));
    else if (sparse_segment_version(k->snapshot->parts[part].segment, place) != d.version)
        problem(k, "document \"%.*s\" is in the index at another version", SLICE_ARG(d.id));
}

static forage_status walk(checker *k, store_table table, void (*each)(checker *, slice, slice), base_error *error) {
    store_cursor *cursor;
    forage_status status = store_cursor_open(k->t, table, (slice){0}, &cursor, error);
    if (status) return status;
    slice key, value;
    while (store_cursor_next(cursor, &key, &value)) each(k, key, value);
    store_cursor_close(cursor);
    return FORAGE_OK;
}

static void check_record(checker *k, slice key, slice value) {
    record_kind kind;
    record_impression impression;
    record_event event;
    arena_reset(&k->parse);
    forage_status status = key.size == 8 ? record_kind_of(value, &kind) : FORAGE_E_CORRUPT;
    if (!status)
        status = kind == RECORD_IMPRESSION ? record_read_impression(value, &k->parse, &impression)
                                           : record_read_event(value, &event);
    if (status) problem(k, "log record %llu: %s", key.size == 8 ? (unsigned long long)load_be64(key.data) : 0,
                        status_message(status));
}

forage_status collection_check(collection *c, buffer *problems, base_error *error) {
    checker k = {.c = c, .problems = problems};
    base_error found = {0};
    forage_status status = FORAGE_OK;
    if (store_check(c->store, &found)) { /* first: nobody can walk tables whose pages are broken */
        problem(&k, "store: %s", found.message);
        return error_set(error, FORAGE_E_CORRUPT, "the store is damaged");
    }
    /* A pair (transaction, snapshot) of the same moment: repeat until no commit came in between. */
    for (int attempt = 0; attempt < 100; attempt++) {
        if (!c->options.read_only) store_wait(c->store);
        uint64_t before = store_commit_number(c->store);
        collection_refresh(c);
        status = store_read_begin(c->store, &k.t, error);
        if (status) return status;
        k.snapshot = collection_acquire(c);
        if (store_commit_number(c->store) == before) break;
        collection_release(c, k.snapshot);
        store_read_end(k.t);
        k.t = NULL;
    }
    if (!k.t) return error_set(error, FORAGE_E_OVERLOADED, "the collection is being written to all the time; try again later");
    arena_init(&k.parse, 0);
    status = walk(&k, STORE_DOCUMENTS, check_document, error);
    if (!status) status = walk(&k, STORE_LOG, check_record, error);
    uint64_t stored = store_count(k.t, STORE_DOCUMENTS), ids = store_count(k.t, STORE_IDS);
    if (stored != k.snapshot->live_documents)
        problem(&k, "%llu documents are stored, %llu are in the index", (unsigned long long)stored,
                (unsigned long long)k.snapshot->live_documents);
    if (stored != ids)
        problem(&k, "%llu documents are stored, %llu ids", (unsigned long long)stored, (unsigned long long)ids);
    arena_release(&k.parse);
    collection_release(c, k.snapshot);
    store_read_end(k.t);
    if (!status && sparse_index_check(c->index, &found)) problem(&k, "index: %s", found.message);
    if (!status && k.n_problems)
        status = error_set(error, FORAGE_E_CORRUPT, "%zu problems were found", k.n_problems);
    return status;
}
