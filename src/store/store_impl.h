/* What the files of this folder share: the open store, its transactions, and how LMDB's errors become ours. */
#ifndef STORE_STORE_IMPL_H
#define STORE_STORE_IMPL_H

#include "store/store.h"

#include <lmdb.h>
#include <pthread.h>
#include <sys/types.h>

#define STORE_FORMAT 1u
#define STORE_MAX_KEY 511u                  /* LMDB's */
#define STORE_READERS 1024u                 /* concurrent read transactions of all processes */
#define STORE_NO_TABLE ((MDB_dbi)-1)        /* a read-only store written before this table existed */
#define STORE_MAP_DEFAULT ((uint64_t)256 << 30)
#define STORE_MAP_SMALLEST ((uint64_t)1 << 30)
#define STORE_MAP_LARGEST ((uint64_t)1 << 44)

typedef struct store_writer store_writer;

struct store_txn {
    store *owner;
    MDB_txn *txn;
    store_txn *next; /* in the list of idle readers */
    bool writable;
    int fault;         /* LMDB's code of the first failed write: the transaction can only be aborted */
    uint64_t changes;  /* puts and deletes so far */
    uint64_t bytes;    /* put so far */
};

struct store {
    MDB_env *env;
    MDB_dbi tables[STORE_TABLES];
    char *folder, *path;
    bool read_only;
    int lock; /* of writer.lock; -1 when read-only */
    store_writer *writer;

    /* Idle read transactions keep their reader slot, so that beginning one costs no lock shared with other processes.
     * The map may only be moved while `active` is 0. */
    pthread_mutex_t readers;
    pthread_cond_t readers_changed;
    store_txn *idle;
    unsigned idle_count, active;
    bool moving;

    /* LMDB must not open a file twice in one process: every open store is in one list. */
    store *next_open;
    dev_t device;
    ino_t inode;
    pid_t process;
};

/* Fills `error` for an LMDB or system code: "`doing` `path`: reason". */
forage_status store_error(base_error *error, int code, const char *doing, const char *path);

/* A failed write: tells a full disk from other trouble, which LMDB reports alike when a write was cut short. */
forage_status store_write_error(const store *s, base_error *error, int code, const char *doing);

/* Makes the map hold at least `need` bytes, at least doubling it. Waits for the readers of this process, but not for
 * ever: FORAGE_E_FULL when they do not end or the machine has no such address space. No write may be going on. */
forage_status store_grow_map(store *s, uint64_t need, base_error *error);

void store_release_readers(store *s); /* at close */

/* store_pages.c reads the file itself, because LMDB trusts it: a wrong page is a crash there. */
forage_status store_pages_header(const char *path, base_error *error); /* is this an LMDB file of a kind we know? */
forage_status store_pages_check(store *s, base_error *error);          /* is every page in use where it should be? */
bool store_pages_missing(const store *s); /* does the file end before its last page? That page may have been free */
/* Overwrites with zeros what the newest state does not use: free pages and the room within pages. No write may be going on, and
 * nobody may read an older state. */
forage_status store_pages_wipe(store *s, base_error *error);

store_writer *store_writer_start(store *s);
void store_writer_stop(store_writer *w); /* finishes what is queued */
/* Runs `task` in the writer thread between two transactions, after all that is queued so far. Errors as store_write. */
forage_status store_writer_alone(store *s, forage_status (*task)(store *s, base_error *error), base_error *error);

#endif
