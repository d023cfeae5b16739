/* The index of one collection: a set of segments, published as immutable snapshots.
 *
 * Each commit adds one in-memory segment and marks replaced documents dead; a maintenance thread merges small
 * segments into larger ones and writes the large ones to checksummed files. Which files there are (the manifest) and
 * which of their places live is in the store (STORE_META). Files are derived: missing or damaged ones are reported by
 * sparse_index_open and rebuilt by the collection from its documents.
 *
 * What is searchable must be reconstructible after a crash at any moment. For that the collection
 *   - writes, in the store transaction of every change, STORE_PENDING: document → version, for an added or replaced
 *     document its new version, for a deleted one a version it never had; and keeps STORE_DOCUMENTS as it says there;
 *   - publishes the change with sparse_index_apply from the job's `committed`;
 *   - after an open, adds every document of STORE_PENDING that is in STORE_DOCUMENTS: sparse_index_open has killed the
 *     places of them all.
 * The index deletes a STORE_PENDING entry when its files and manifest alone say the same: the document lives there at
 * this version, or it neither lives there nor is in STORE_DOCUMENTS.
 *
 * A version only grows for a document, so that of two versions the higher is the current one, in whatever order they
 * are applied.
 *
 * Threads: sparse_index_apply and sparse_index_extend are called by one thread at a time (the store's writer);
 * sparse_index_flush, _optimize, _check and _close wait for store jobs and so must not be called from one; all else
 * by any. */
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
    struct part_cache *cache; /* what searches remember about the segment (partcache.h); may be NULL */
} sparse_part;

typedef struct sparse_snapshot {
    const sparse_config *config;
    uint32_t n_parts;
    const sparse_part *parts;      /* oldest first */
    uint64_t live_documents;
    sparse_statistics statistics;
    uint64_t generation;           /* grows with every publication */
} sparse_snapshot;

/* Opens the segment files in `folder` that the manifest in `s` names. *damaged: some were missing or corrupt and have
 * been left out; the caller then re-adds every document that no snapshot has at its current version, and says so with
 * sparse_index_repaired. A read-only store opens without maintenance. The config may have more fields than files were
 * written with. The store must stay open until the index is closed. FORAGE_E_VERSION for files of a newer format,
 * FORAGE_E_IO, FORAGE_E_NOT_FOUND when a writer opens a folder that does not exist. */
forage_status sparse_index_open(const char *folder, store *s, const sparse_config *config, sparse_index **out,
                                bool *damaged, base_error *error);
/* Flushes to files when writable. Every snapshot has been released by then. NULL is a no-op. */
void sparse_index_close(sparse_index *index);

/* All that was damaged has been applied again. Until the files written since are committed, every open tells
 * *damaged. */
void sparse_index_repaired(sparse_index *index);

/* Publishes: `image` (taken over, also on failure; may be empty) becomes a segment; each document of `dead` (and each
 * document of the image in another segment, unless its version there is higher: then that of the image) dies. Returns
 * after the new snapshot is what sparse_index_acquire gives. FORAGE_E_CORRUPT or _INVALID for an image that is none
 * of this index; nothing has changed then. */
forage_status sparse_index_apply(sparse_index *index, buffer *image, const uint32_t *dead, size_t n_dead,
                                 base_error *error);

/* Without a lock: two atomic additions for both. 65,535 snapshots may be held at once. */
const sparse_snapshot *sparse_index_acquire(sparse_index *index);
void sparse_index_release(sparse_index *index, const sparse_snapshot *snapshot);

/* The collection's statistics right now, with those of a batch that is about to be added. */
void sparse_index_statistics(sparse_index *index, const sparse_statistics *batch, sparse_statistics *out);

/* Adds fields at the end of the config (schema growth), or changes weights: those hold for segments written from now
 * on. FORAGE_E_SCHEMA when an existing field would change its kind; an index without segments takes any fields. */
forage_status sparse_index_extend(sparse_index *index, const sparse_config *config, base_error *error);

/* For long-lived read-only openers: picks up files the writer has published since; *changed tells. Documents applied
 * before stay if they are still in STORE_PENDING; the caller then applies the entries of STORE_PENDING that are new
 * to it. A writable index is always up to date. On failure everything stays as it was. */
forage_status sparse_index_refresh(sparse_index *index, bool *changed, base_error *error);

typedef struct sparse_index_info {
    uint32_t segments, memory_segments;
    uint64_t documents, dead, file_bytes, memory_bytes, terms;
    uint64_t filter_hits, filter_misses; /* results of filters that were remembered, of the segments that there are */
    uint64_t remembered_bytes;           /* by all that searches remember */
} sparse_index_info;
void sparse_index_describe(sparse_index *index, sparse_index_info *out); /* documents: live; terms: of all segments */

/* Memory segments to a file, or everything into one segment file, now. FORAGE_E_READ_ONLY; FORAGE_E_FULL and
 * FORAGE_E_IO leave the index serving from memory, to be written later. Memory needed: as sparse_merge_to_file. */
forage_status sparse_index_flush(sparse_index *index, base_error *error);
forage_status sparse_index_optimize(sparse_index *index, base_error *error);
forage_status sparse_index_check(sparse_index *index, base_error *error); /* validates every segment and the manifest */

/* ---- Without a store ---- */

/* An empty index that its owner derives from something else and keeps: changes are applied as always, by any thread; there is no
 * manifest, no STORE_PENDING and no thread, and flush, optimize and refresh are not for it. `name` is for messages. */
sparse_index *sparse_index_create(const char *name, const sparse_config *config);
/* Makes the empty index what sparse_index_write_file wrote. FORAGE_E_NOT_FOUND; FORAGE_E_CORRUPT and _VERSION: build anew. */
forage_status sparse_index_read_file(sparse_index *index, const char *path, base_error *error);
/* All that lives to one segment file, which is then read in place of memory: after a crash it is the old one or the new one, whole.
 * What is applied meanwhile stays, in memory. Memory needed: as sparse_merge_to_file. One at a time. */
forage_status sparse_index_write_file(sparse_index *index, const char *path, base_error *error);

/* Where a live document is. False when it is in none. */
bool sparse_snapshot_find(const sparse_snapshot *s, uint32_t document, uint32_t *part, uint32_t *place);

#endif
