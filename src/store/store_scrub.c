/* Scrubbing: after it, bytes that were deleted or replaced are nowhere in the file, and do not come back.
 *
 * LMDB leaves old bytes in three places. In the file: pages that became free, and the room between a page's offsets and its
 * entries; these are overwritten where they are. In memory: a buffer that a page was written from is used again as it is, and
 * the next commit could write its old bytes into the room of another page; these are filled with other bytes.
 *
 * Nothing that LMDB reads is changed, in whatever moment the process is killed; pages that only an older state uses are
 * overwritten when nobody reads that state any more. */
#include "base/bytes.h"
#include "os/clock.h"
#include "store/store_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* ---- LMDB's spare buffers ---- */

#define PAGE_HEADER 16u
#define FILLER 0xFF
#define MOST_PAGES 120000u /* of one transaction; LMDB begins to write early at 131,071 */
#define MOST_ROUNDS 8

typedef struct rinsing {
    uintptr_t *filled; /* pages that were filled, by address */
    size_t n, n_known, capacity; /* the first n_known are sorted: those of the rounds before */
} rinsing;

static int by_address(const void *x, const void *y) {
    uintptr_t a = *(const uintptr_t *)x, b = *(const uintptr_t *)y;
    return (a > b) - (a < b);
}

static bool all_zero(const uint8_t *bytes, size_t size) {
    for (size_t i = 0; i < size; i++)
        if (bytes[i]) return false;
    return true;
}

/* Takes pages of one value each until LMDB has no spare buffers left, fills them, and gives all back. A buffer that is fresh
 * from the system holds zeros: the spare ones, which are handed out first, do not. *news: pages that no round before had. */
static int rinse_once(store *s, rinsing *r, size_t page_size, size_t *news) {
    MDB_txn *txn = NULL;
    bool fresh = false;
    int code = mdb_txn_begin(s->env, NULL, 0, &txn);
    if (code) return code;
    *news = 0;
    r->n_known = r->n;
    for (uint32_t i = 0; !code && !fresh && i < MOST_PAGES; i++) {
        uint8_t name[6] = {0xFF, 0xFF};
        store_be32(name + 2, i);
        MDB_val key = {sizeof name, name}, value = {page_size - PAGE_HEADER, NULL};
        code = mdb_put(txn, s->tables[STORE_META], &key, &value, MDB_RESERVE);
        if (code) break;
        uintptr_t at = (uintptr_t)value.mv_data;
        fresh = all_zero(value.mv_data, value.mv_size);
        memset(value.mv_data, FILLER, value.mv_size);
        if (r->n_known && bsearch(&at, r->filled, r->n_known, sizeof at, by_address)) continue;
        r->filled = mem_grow(r->filled, &r->capacity, r->n + 1, sizeof *r->filled);
        r->filled[r->n++] = at;
        *news += !fresh;
    }
    mdb_txn_abort(txn);
    qsort(r->filled, r->n, sizeof *r->filled, by_address);
    return code;
}

/* Some pages of a round hold the tree above the values and keep old bytes in their room; the next round hands the pages out in
 * the opposite order, so that these come to hold values. It is over when a round has met no page that is new. */
static forage_status rinse(store *s, base_error *error) {
    MDB_stat stat;
    rinsing r = {0};
    size_t news = 1;
    int code = mdb_env_stat(s->env, &stat);
    for (int round = 0; !code && news && round < MOST_ROUNDS; round++) code = rinse_once(s, &r, stat.ms_psize, &news);
    free(r.filled);
    return code ? store_write_error(s, error, code, "scrubbing") : FORAGE_OK;
}

/* ---- Readers of older states ---- */

#define OLD_READERS_US 10000000 /* waited for */
#define LOOK_EVERY_NS 1000000

typedef struct readers {
    size_t newest; /* transaction */
    unsigned older;
} readers;

/* A line of LMDB's table of readers: process, thread, transaction ("-": none). */
static int look_at_reader(const char *line, void *self) {
    readers *r = self;
    int process;
    size_t thread, transaction;
    if (sscanf(line, "%d %zx %zu", &process, &thread, &transaction) == 3 && transaction < r->newest) r->older++;
    return 0;
}

static forage_status wait_for_old_readers(store *s, base_error *error) {
    MDB_envinfo info;
    int64_t until = clock_monotonic(&os_clock_system) + OLD_READERS_US;
    mdb_env_info(s->env, &info);
    for (;;) {
        readers r = {.newest = info.me_last_txnid};
        mdb_reader_check(s->env, NULL);
        mdb_reader_list(s->env, look_at_reader, &r);
        if (!r.older) return FORAGE_OK;
        if (clock_monotonic(&os_clock_system) > until)
            return error_set(error, FORAGE_E_OVERLOADED, "%s: %u readers do not end, so what they read cannot be overwritten; "
                             "try again", s->path, r.older);
        nanosleep(&(struct timespec){.tv_nsec = LOOK_EVERY_NS}, NULL);
    }
}

static forage_status scrub(store *s, base_error *error) {
    int code = mdb_env_sync(s->env, 1); /* whatever happens, the older state is not needed any more */
    if (code) return store_write_error(s, error, code, "syncing");
    forage_status status = rinse(s, error);
    if (!status) status = wait_for_old_readers(s, error);
    return status ? status : store_pages_wipe(s, error);
}

forage_status store_scrub(store *s, base_error *error) { return store_writer_alone(s, scrub, error); }
