/* A collection: one schema, the documents, and their index, kept in step.
 *
 * On disk: FOLDER/store.mdb (the truth) and FOLDER/segments/ (derived). A document has a number that stays with its id;
 * each replacement gets a new version. What is acknowledged is on disk and in the next snapshot.
 *
 * Threads: all functions from any thread. Writes of one collection are serialised by its store's writer thread. */
#ifndef COLLECTION_COLLECTION_H
#define COLLECTION_COLLECTION_H

#include "collection/schema.h"
#include "format/records.h"
#include "os/clock.h"
#include "sparse/search.h"
#include "store/store.h"

typedef struct collection collection;

typedef struct collection_options {
    bool read_only, no_sync;
    os_clock clock;
} collection_options;

/* Opens or creates the folder. Segment files that are missing or damaged are rebuilt from the documents before this returns.
 * Errors as store_open. */
forage_status collection_open(const char *folder, const char *name, const collection_options *options, collection **out,
                              base_error *error);
void collection_close(collection *c); /* writes index files; NULL is a no-op */

const char *collection_name(const collection *c);
const schema *collection_schema(const collection *c); /* the current one; lives until the collection is closed */
store *collection_store(const collection *c);
const os_clock *collection_clock(const collection *c);
forage_status collection_extend_schema(collection *c, const json_value *json, base_error *error);

const char *collection_folder(const collection *c);

/* Told of documents that were stored (at these versions) or removed (versions NULL), when that is durable and published, on the
 * thread that did it and before its call returns. One watcher; NULL: nobody. Returns when no call to the last one runs. */
typedef void (*collection_watcher)(void *self, const uint32_t *numbers, const uint64_t *versions, size_t n);
void collection_watch(collection *c, collection_watcher watcher, void *self);

/* ---- Documents ---- */

#define IMPORT_MAX_ERRORS 100

typedef struct import_problem {
    uint64_t line;
    slice id, field, message; /* in the report's arena */
} import_problem;

typedef struct import_report {
    arena memory; /* arena_init before, arena_release after */
    uint64_t received, indexed, failed;
    size_t n_problems;
    import_problem problems[IMPORT_MAX_ERRORS];
    bool inferred; /* the schema grew */
} import_report;

/* Reads records to their end. Lines count from first_line. Documents that do not fit go to the report; an error return
 * means that reading or storing stopped (what the report counts as indexed is stored all the same). */
forage_status collection_import(collection *c, records_reader *records, uint64_t first_line, import_report *report,
                                base_error *error);
forage_status collection_delete(collection *c, slice id, base_error *error); /* FORAGE_E_NO_DOCUMENT */

/* The document as it is stored: slices live as long as the transaction. */
typedef struct collection_document {
    uint32_t number;
    uint64_t version;
    slice id, source; /* source: JSON */
} collection_document;
forage_status collection_document_by_id(store_txn *t, slice id, collection_document *out);      /* FORAGE_E_NO_DOCUMENT */
forage_status collection_document_by_number(store_txn *t, uint32_t number, collection_document *out);
bool collection_number_of(store_txn *t, slice id, uint32_t *number);

/* ---- Snapshots ---- */

/* For a read-only opener: picks up what another process has committed. Cheap when nothing changed. */
void collection_refresh(collection *c);
const sparse_snapshot *collection_acquire(collection *c);
void collection_release(collection *c, const sparse_snapshot *s);

typedef struct collection_type {
    slice name;
    uint64_t documents;
} collection_type;
/* Names of the document types, most frequent first, copied to the arena. Counted anew at most once a second. */
size_t collection_types(collection *c, const sparse_snapshot *s, arena *a, collection_type **types);

sparse_index *collection_index(const collection *c);

/* ---- Upkeep ---- */

/* Verifies the store's tables, every document's record, the index, and that both hold the same documents at the same
 * versions. Problems are appended as lines; FORAGE_E_CORRUPT when there are any. */
forage_status collection_check(collection *c, buffer *problems, base_error *error);

#endif
