/* The inside of a collection; only this folder's files include it. */
#ifndef COLLECTION_STATE_H
#define COLLECTION_STATE_H

#include "collection/collection.h"

#include <pthread.h>
#include <stdatomic.h>

struct collection {
    char *name, *folder;
    collection_options options;
    store *store;
    sparse_index *index;

    _Atomic(const schema *) current;
    pthread_mutex_t schema_mutex; /* one change of the schema at a time */
    const schema **schemas;       /* all that were ever current: readers may still look at one */
    size_t n_schemas, schemas_capacity;
    uint64_t schema_hash;         /* of the stored bytes it was loaded from */

    /* The writer thread's own; saved with every batch. Gaps are harmless, reuse is not. */
    uint32_t next_number;
    uint64_t next_version;
    const schema *coming; /* stored in the transaction at hand, published after its commit; NULL: none */

    pthread_rwlock_t watch_lock;
    collection_watcher watcher;
    void *watching;

    pthread_mutex_t types_mutex;
    arena types_memory;
    collection_type *types;
    size_t n_types;
    uint64_t types_generation;
    int64_t types_time;

    pthread_mutex_t refresh_mutex;
    uint64_t seen_commit, seen_version; /* read-only openers */
};

void collection_publish_schema(collection *c, schema *s); /* takes it over */
forage_status collection_save_schema(collection *c, schema *s, base_error *error); /* stores, then publishes; takes it over */
forage_status collection_load_schema(collection *c, base_error *error);

/* Indexes the documents that no snapshot holds at their version: pending ones, or all when `everything`. */
forage_status collection_index_missing(collection *c, bool everything, uint64_t after_version, base_error *error);

void collection_tell(collection *c, const uint32_t *numbers, const uint64_t *versions, size_t n);

bool collection_same_kinds(const schema *before, const schema *after);
bool collection_decode_document(slice value, collection_document *out);

#endif
