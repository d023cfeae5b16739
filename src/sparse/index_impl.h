/* Inside an index: segments and bitmaps with reference counts, drafts of snapshots, the manifest. For index*.c only. */
#ifndef SPARSE_INDEX_IMPL_H
#define SPARSE_INDEX_IMPL_H

#include "os/file.h"
#include "sparse/index.h"

#include <pthread.h>
#include <stdatomic.h>

/* Which places of a segment live. Never changes once a snapshot has it. */
typedef struct index_live {
    atomic_uint references;
    uint32_t n_live;
    uint64_t words[];
} index_live;

/* An open segment, in memory or in a file. */
typedef struct index_segment {
    atomic_uint references;
    sparse_segment *segment;
    struct part_cache *cache; /* of this segment, for its readers */
    buffer image;      /* in memory */
    os_map map;        /* in a file */
    uint64_t number;   /* of the file; 0: in memory */
    bool busy;         /* the maintenance thread is merging it; guarded by the index's mutex */
    index_live *saved; /* a file's live places as the manifest has them; NULL: all. The maintenance thread's. */
} index_segment;

typedef struct index_part {
    index_segment *segment; /* referenced */
    index_live *live;       /* referenced; NULL: all */
    bool own;               /* in a draft: `live` is a copy that nobody else has seen */
} index_part;

/* A snapshot in the making. */
typedef struct index_draft {
    index_part *parts;
    size_t n, capacity;
} index_draft;

typedef struct index_snapshot {
    sparse_snapshot visible; /* first: a snapshot handed out is this struct's address */
    atomic_llong references; /* acquired less released; while it is the current one only the released, counted down */
    index_part *owned;       /* beside visible.parts */
    struct index_snapshot *_Atomic *slot; /* where it stands among the index's snapshots */
} index_snapshot;

/* The current snapshot is a word: its slot, and below it how often it was acquired since it was published. So acquiring is
 * one addition, which cannot come between reading the pointer and counting. Publishing exchanges the word and adds the count
 * to the snapshot that was current: what then remains of it is held by somebody. */
enum { INDEX_SLOTS = 1 << 16, INDEX_SLOT_SHIFT = 48 };

typedef struct index_request index_request; /* somebody waits for a flush or an optimisation */

struct sparse_index {
    char *folder;
    store *store; /* NULL: an index alone */
    bool writable;

    pthread_mutex_t mutex;  /* one publication at a time; guards all below except where said */
    pthread_cond_t changed; /* work for the maintenance thread, or a request done */
    arena configs;          /* every config there was: snapshots point to them */
    const sparse_config *config;
    uint64_t generation;

    index_snapshot *current;                 /* as the word below says */
    index_snapshot *_Atomic *slots;          /* every snapshot that lives, at most INDEX_SLOTS; NULL: free */
    char alone[64];                          /* what acquiring writes has a cache line to itself */
    _Atomic(uint64_t) word;
    char alone_too[64];

    pthread_t thread;
    bool running, stopping;
    index_request *requests;
    atomic_bool searched; /* somebody has acquired a snapshot since the thread looked last */
    atomic_bool piled;    /* so much is in memory that searches have to wait for merges, not merges for searches */
    atomic_bool closing;
    atomic_uint awaited; /* flushes that somebody waits for */
    uint64_t changes;                 /* so far */
    int64_t dirty_since, last_change; /* monotonic microseconds; dirty_since 0: files and manifest say everything */
    int64_t retry_at, retry_after;    /* after a failure no file is written before; 0: none failed */
    bool incomplete; /* the manifest must say that documents may be missing */
    bool repaired;   /* they have been applied again, to memory */

    pthread_mutex_t files; /* held while files and manifest change; taken before `mutex` */
    uint64_t next_file;    /* guarded by `files` */
    uint64_t commit_number; /* of the store, at the last refresh */
};

/* --- index.c --- */

sparse_index *index_create(const char *folder, store *s, const sparse_config *config); /* s NULL: nobody writes files */

/* --- index_parts.c: reference counts, drafts and snapshots --- */

index_segment *index_segment_retain(index_segment *s);
void index_segment_release(index_segment *s);
/* `image` is taken over, also on failure. */
forage_status index_segment_in_memory(buffer *image, index_segment **out, base_error *error);
forage_status index_segment_in_file(const char *path, uint64_t number, index_segment **out, base_error *error);

index_live *index_live_create(uint32_t count); /* all live */
index_live *index_live_retain(index_live *l);  /* NULL is a no-op, as for release */
void index_live_release(index_live *l);
static inline bool index_live_has(const index_live *l, uint32_t place) {
    return !l || (l->words[place / 64] >> place % 64 & 1);
}
uint32_t index_part_live(const index_part *p); /* how many */

void index_draft_start(index_draft *d, const index_snapshot *from); /* NULL: empty */
void index_draft_release(index_draft *d);
void index_draft_add(index_draft *d, size_t at, index_segment *segment, index_live *live); /* takes both over */
void index_draft_remove(index_draft *d, size_t at);
void index_draft_kill(index_draft *d, size_t part, uint32_t place);
/* The part in which the document lives. */
bool index_draft_find(const index_draft *d, uint32_t document, size_t *part, uint32_t *place);
/* The documents of part `added` die in every other, or in it when they are older there than elsewhere. */
void index_draft_replace(index_draft *d, size_t added);

/* Makes the draft the current snapshot; memory segments without a live place are dropped. The mutex is held. */
void index_publish(sparse_index *index, index_draft *d);
index_snapshot *index_acquire(sparse_index *index);
void index_release(index_snapshot *s);
void index_retire(sparse_index *index); /* no snapshot is current any more */

/* --- index_manifest.c: what the store knows --- */

typedef struct index_file {
    uint64_t number, size, checksum;
    uint64_t live_hash; /* of its bitmap, stored beside; 0: all live */
    uint32_t count, n_live;
} index_file;

/* The store's view at one moment. */
typedef struct index_stored {
    bool incomplete; /* documents may be missing from the files named here */
    uint64_t next_file;
    index_file *files;
    index_live **live; /* of each file; NULL: all */
    bool *unreadable;  /* its bitmap is damaged */
    size_t n_files;
    uint32_t *pending; /* ascending */
    bool *deleted;     /* of each pending document: it is not in STORE_DOCUMENTS */
    size_t n_pending;
} index_stored;

/* Fills what the manifest says; *out is zeroed before, and to be released even after a failure. */
forage_status index_manifest_decode(slice bytes, index_stored *out, base_error *error);
forage_status index_stored_read(store *s, index_stored *out, base_error *error);
void index_stored_release(index_stored *stored);
bool index_stored_is_pending(const index_stored *stored, uint32_t document);

/* The files of the manifest as parts; those that `open` (may be NULL) has open already are shared with it. *damaged
 * as in sparse_index_open. */
forage_status index_load(const sparse_index *index, const index_snapshot *open, index_stored *stored, index_draft *out,
                         bool *damaged, base_error *error);
void index_remove_strangers(const sparse_index *index, const index_stored *stored, uint64_t *next_file);

char *index_file_path(const char *folder, uint64_t number); /* to be freed */

/* Commits a manifest of these file parts with these live places, and remembers them as saved. */
forage_status index_save(sparse_index *index, const index_draft *durable, bool incomplete, base_error *error);
/* Deletes the entries of STORE_PENDING that are no longer needed beside this manifest. */
forage_status index_settle_pending(sparse_index *index, const index_draft *durable, base_error *error);
forage_status index_check_manifest(sparse_index *index, base_error *error); /* `files` is held */

/* --- index_maintain.c: the thread --- */

/* Publishes `merged` (may be NULL: nothing lived) in place of the chosen parts of `base`: what died in them since dies in it
 * too. The mutex is held. */
void index_swap(sparse_index *index, const index_snapshot *base, const bool *chosen, index_segment *merged);

forage_status index_maintain_start(sparse_index *index, base_error *error);
void index_maintain_stop(sparse_index *index); /* after a last flush */
void index_touch(sparse_index *index);         /* something changed; the mutex is held */
void index_watch_pile(sparse_index *index);    /* what is in memory changed; the mutex is held */
/* Merges small memory segments of the draft at once, when many have gathered. The mutex is held. */
void index_relieve(sparse_index *index, index_draft *d);

#endif
