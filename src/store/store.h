/* The store: what must not be lost. LMDB enters the project in this folder.
 *
 * One store is one LMDB environment (one per collection). One process writes (the lock file says who); any number of
 * processes read. All writes go through one writer thread: concurrent jobs share one transaction and one fsync (group
 * commit). A job runs in the writer thread, must validate before it writes, and is acknowledged after its transaction
 * is on disk. If the commit fails (disk full), every job of the group fails and nothing of it is stored.
 *
 * Tables are LMDB named databases with byte-string keys in bytewise order. */
#ifndef STORE_STORE_H
#define STORE_STORE_H

#include "base/memory.h"
#include "base/status.h"

typedef struct store store;
typedef struct store_txn store_txn;

/* The tables of a collection; the order is the stored format's, append only. */
typedef enum store_table {
    STORE_META,        /* names → small values: schema, counters, manifest */
    STORE_IDS,         /* external id → document number (le32) */
    STORE_DOCUMENTS,   /* document number (be32) → version (le64), id, JSON source */
    STORE_PENDING,     /* document number (be32) → version (le64): not yet in a durable segment */
    STORE_LOG,         /* sequence (be64) → impression or event record */
    STORE_IMPRESSIONS, /* hash of query_id (16 bytes) → sequence (be64) */
    STORE_EVENTS,      /* hash of event id (16 bytes) → sequence (be64) */
    STORE_MEMORY,      /* hash of normalised query (16) + document number (be32) → counts */
    STORE_MODELS,      /* name → serialized learner state */
    STORE_QUERIES,     /* hash of normalised query (16) → the query's text and weight, for those with a memory */
    STORE_ASKED,       /* document number (be32) + hash of normalised query (16) → u8: who led to it */
    STORE_SEGMENTS,    /* hash of query and segment (16) + document number (be32) → counts */
    STORE_PREDICTIONS, /* predicted queries of documents, both ways round */
    STORE_PROFILES,    /* hash of user (16) → what they engaged with */
    STORE_GRAPH,       /* document number (be32) → documents that the same people engaged with */
    STORE_TRENDS,      /* group (be64) + document number (be32) → decayed engagement; group 0: exposure */
    STORE_TABLES
} store_table;

typedef struct store_options {
    bool read_only;
    bool no_sync;      /* for tests and benchmarks: acknowledged writes can be lost with the machine, not the process */
    uint64_t map_size; /* 0: 256 GiB of address space, less if the machine refuses; grows when it is used up */
} store_options;

/* Opens or creates `folder`/store.mdb. FORAGE_E_LOCKED when another process writes to it or this process has it open
 * already (reading or writing), FORAGE_E_VERSION for a newer format, FORAGE_E_CORRUPT for a file that is damaged or cut
 * short, FORAGE_E_NOT_FOUND for a read-only open of nothing. `options` may be NULL. A read-only open writes nothing but
 * LMDB's table of readers beside the file, and does without it in a folder that it may not write to. */
forage_status store_open(const char *folder, const store_options *options, store **out, base_error *error);
void store_close(store *s); /* finishes queued jobs; NULL is a no-op */
bool store_read_only(const store *s);
uint64_t store_commit_number(store *s); /* grows with every commit of any process: cheap "did anything change?" */

/* Reading. A read transaction is a snapshot; slices it returns live until it ends (or, in a write, until the next
 * put). It may pass from one thread to another, but is used by one at a time. End it soon: pages that it sees cannot be
 * used again, and the map cannot grow. Beginning one is cheap. Up to 1,024 at a time, of all processes together:
 * FORAGE_E_OVERLOADED. */
forage_status store_read_begin(store *s, store_txn **out, base_error *error);
void store_read_end(store_txn *t); /* NULL is a no-op */
forage_status store_get(store_txn *t, store_table table, slice key, slice *out); /* FORAGE_E_NOT_FOUND */
uint64_t store_count(store_txn *t, store_table table);
uint64_t store_bytes(store *s); /* of the file in use */

/* Cursors walk a table in key order, from the first key >= `from`. */
typedef struct store_cursor store_cursor;
forage_status store_cursor_open(store_txn *t, store_table table, slice from, store_cursor **out, base_error *error);
bool store_cursor_next(store_cursor *c, slice *key, slice *value); /* false at the end or on an error */
void store_cursor_close(store_cursor *c);
forage_status store_last_key(store_txn *t, store_table table, slice *key); /* FORAGE_E_NOT_FOUND when empty */

/* Writing: only inside a job. Keys have 1 to 511 bytes, else FORAGE_E_INVALID. */
forage_status store_put(store_txn *t, store_table table, slice key, slice value, base_error *error);
/* Fills pages to the brim when the key is greater than every key there is; an ordinary put when it is not. */
forage_status store_append(store_txn *t, store_table table, slice key, slice value, base_error *error);
forage_status store_delete(store_txn *t, store_table table, slice key, base_error *error); /* absent is success */

typedef struct store_job {
    /* Runs in the writer thread, inside the group's transaction. An error should come before the first put: then this
     * job alone is left out. After a put the whole group is undone and its other jobs run again, one by one. Jobs also
     * run again when the map had to grow: so `apply` changes nothing but what it puts and its own results, and does
     * not count on an earlier run. It may use store_write_async, never store_write or store_wait. */
    forage_status (*apply)(store_txn *t, void *self, base_error *error);
    /* Runs in the writer thread right after the commit, in commit order, before anyone is acknowledged: publishes.
     * Called once for every job; `status` is the commit's, or that of an `apply` that failed. May be NULL. */
    void (*committed)(void *self, forage_status status);
    void *self;
} store_job;

/* Runs the job and returns after it is durable (or failed). FORAGE_E_READ_ONLY, FORAGE_E_CLOSED while the store closes,
 * FORAGE_E_FULL (the store stays usable), or what `apply` returned. Waits while more than 65,536 jobs wait. */
forage_status store_write(store *s, const store_job *job, base_error *error);

/* Queues the job and returns; `committed` is told the outcome (also when apply failed). False when more than 65,536
 * jobs wait (the caller decides what to drop), when the store closes, and when it is read-only. */
bool store_write_async(store *s, const store_job *job);

void store_wait(store *s); /* until everything queued so far is committed */

/* Overwrites with zeros what the file still holds of values that were deleted or replaced, and returns when that is on disk.
 * It changes only bytes that nobody can read, so a crash in the middle does no harm. Writes wait meanwhile; the file is
 * read once. FORAGE_E_OVERLOADED when somebody (of this process or of another one) reads an older state and does not end within
 * ten seconds: try again. What the disk itself or the file system keeps of old blocks is out of reach. */
forage_status store_scrub(store *s, base_error *error);

/* Looks at every page in use and walks every table: FORAGE_E_CORRUPT names what is damaged. Values have no checksum. */
forage_status store_check(store *s, base_error *error);

#endif
