/* The index of one collection: a set of segments, published as immutable snapshots.
 *
 * Each commit adds one in-memory segment and marks replaced documents dead; a maintenance thread merges small segments
 * into larger ones and writes the large ones to checksummed files, whose list (the manifest) is in the store, together
 * with which documents are not in a file yet (STORE_PENDING). Files are derived: missing or damaged ones are reported by
 * sparse_index_open and rebuilt by the collection from its documents.
 *
 * Threads: sparse_index_apply is called by one thread at a time (the store's writer); acquire and release by any. */
#ifndef SPARSE_INDEX_H
#define SPARSE_INDEX_H

#include "sparse/fields.h"
#include "sparse/segment.h"
#include "store/store.h"

typedef struct sparse_index sparse_index;

/* A live document set is a bitmap per segment. A snapshot's memory lives until it is released. */
typedef struct sparse_part {
    const sparse_segment *segment;
    const uint64_t *live;  /* bit per place; NULL: all live */
    uint32_t n_live;
} sparse_part;

typedef struct sparse_snapshot {
    const sparse_config *config;
    uint32_t n_parts;
    const sparse_part *parts;      /* oldest first */
    uint64_t live_documents;
    sparse_statistics statistics;
    uint64_t generation;           /* grows with every publication */
} sparse_snapshot;

/* Opens the segment files in `folder` that the manifest in `s` names. *damaged: some were missing or corrupt and have been
 * left out; the caller then re-adds every document that no snapshot has at its current version. A read-only store opens
 * without maintenance. The config may have more fields than files were written with. */
forage_status sparse_index_open(const char *folder, store *s, const sparse_config *config, sparse_index **out,
                                bool *damaged, base_error *error);
void sparse_index_close(sparse_index *index); /* flushes to files when writable; NULL is a no-op */

/* Publishes: `image` (taken over; may be empty) becomes a segment; each document of `dead` (and each document of the image
 * in an older segment) dies. Returns after the new snapshot is what sparse_index_acquire gives. */
forage_status sparse_index_apply(sparse_index *index, buffer *image, const uint32_t *dead, size_t n_dead,
                                 base_error *error);

const sparse_snapshot *sparse_index_acquire(sparse_index *index);
void sparse_index_release(sparse_index *index, const sparse_snapshot *snapshot);

/* The collection's statistics right now, with those of a batch that is about to be added. */
void sparse_index_statistics(sparse_index *index, const sparse_statistics *batch, sparse_statistics *out);

/* Adds fields at the end of the config (schema growth). */
forage_status sparse_index_extend(sparse_index *index, const sparse_config *config, base_error *error);

/* For long-lived read-only openers: picks up files the writer has published since. *changed tells. */
forage_status sparse_index_refresh(sparse_index *index, bool *changed, base_error *error);

typedef struct sparse_index_info {
    uint32_t segments, memory_segments;
    uint64_t documents, dead, file_bytes, memory_bytes, terms;
} sparse_index_info;
void sparse_index_describe(sparse_index *index, sparse_index_info *out);

forage_status sparse_index_flush(sparse_index *index, base_error *error);    /* memory segments to a file, now */
forage_status sparse_index_optimize(sparse_index *index, base_error *error); /* everything into one segment file, now */
forage_status sparse_index_check(sparse_index *index, base_error *error);    /* validates every segment and the manifest */

/* Where a live document is. False when it is in none. */
bool sparse_snapshot_find(const sparse_snapshot *s, uint32_t document, uint32_t *part, uint32_t *place);

#endif
