/* Read transactions, lookups and cursors, and moving the memory map when it has to grow. */
#include "base/log.h"
#include "store/store_impl.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

enum { KEEP_IDLE = 64, PATIENCE_SECONDS = 2 };

static slice slice_of_value(MDB_val v) { return (slice){v.mv_data, v.mv_size}; }

/* LMDB's values are not const, though it only reads keys. */
static MDB_val value_of_slice(slice s) {
    return (MDB_val){s.size, s.size ? (void *)(uintptr_t)s.data : (void *)(uintptr_t)""};
}

/* A transaction ready to begin. While the map moves, nobody may look at it. */
static store_txn *take_idle(store *s) {
    pthread_mutex_lock(&s->readers);
    while (s->moving) pthread_cond_wait(&s->readers_changed, &s->readers);
    s->active++;
    store_txn *t = s->idle;
    if (t) {
        s->idle = t->next;
        s->idle_count--;
    }
    pthread_mutex_unlock(&s->readers);
    if (!t) {
        t = mem_zalloc(1, sizeof *t);
        t->owner = s;
    }
    return t;
}

/* Few stay idle, because each holds one of the reader slots that all processes share. */
static void give_idle(store_txn *t) {
    store *s = t->owner;
    pthread_mutex_lock(&s->readers);
    bool keep = t->txn && s->idle_count < KEEP_IDLE;
    if (keep) {
        t->next = s->idle;
        s->idle = t;
        s->idle_count++;
    } else if (t->txn) {
        mdb_txn_abort(t->txn);
    }
    s->active--;
    if (s->active == 0 && s->moving) pthread_cond_broadcast(&s->readers_changed);
    pthread_mutex_unlock(&s->readers);
    if (!keep) free(t);
}

void store_release_readers(store *s) {
    assert(s->active == 0);
    for (store_txn *t = s->idle; t;) {
        store_txn *next = t->next;
        mdb_txn_abort(t->txn);
        free(t);
        t = next;
    }
    s->idle = NULL;
}

static int begin(store_txn *t) {
    if (!t->txn) return mdb_txn_begin(t->owner->env, NULL, MDB_RDONLY, &t->txn);
    int code = mdb_txn_renew(t->txn);
    if (code) {
        mdb_txn_abort(t->txn);
        t->txn = NULL;
    }
    return code;
}

forage_status store_read_begin(store *s, store_txn **out, base_error *error) {
    for (int attempt = 0;; attempt++) {
        store_txn *t = take_idle(s);
        int code = begin(t);
        if (code == MDB_READERS_FULL) {
            mdb_reader_check(s->env, NULL);
            code = begin(t);
        }
        if (!code) {
            *out = t;
            return FORAGE_OK;
        }
        t->txn = NULL;
        give_idle(t);
        if (code != MDB_MAP_RESIZED || attempt == 3) return store_error(error, code, "reading", s->path);
        forage_status status = store_grow_map(s, store_bytes(s), error); /* another process outgrew our map */
        if (status) return status;
    }
}

void store_read_end(store_txn *t) {
    if (!t) return;
    assert(!t->writable);
    mdb_txn_reset(t->txn);
    give_idle(t);
}

/* mdb_env_set_mapsize unmaps before it maps: if the new map failed, the environment would be dead. So try first. */
static bool address_space_for(uint64_t size) {
    void *probe = mmap(NULL, size, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (probe == MAP_FAILED) return false;
    munmap(probe, size);
    return true;
}

static forage_status move_map(store *s, uint64_t need, base_error *error) {
    MDB_envinfo info;
    mdb_env_info(s->env, &info);
    uint64_t size = info.me_mapsize;
    do size *= 2;
    while (size < need && size < STORE_MAP_LARGEST);
    if (size < need || size > STORE_MAP_LARGEST || !address_space_for(size))
        return error_set(error, FORAGE_E_FULL, "%s: no address space for more than %zu MiB", s->path,
                         info.me_mapsize >> 20);
    int code = mdb_env_set_mapsize(s->env, size);
    if (code) return store_error(error, code, "enlarging", s->path);
    log_info("%s: the map now has %llu MiB", s->path, (unsigned long long)size >> 20);
    return FORAGE_OK;
}

forage_status store_grow_map(store *s, uint64_t need, base_error *error) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += PATIENCE_SECONDS;
    forage_status status = FORAGE_OK;
    pthread_mutex_lock(&s->readers);
    while (s->moving) pthread_cond_wait(&s->readers_changed, &s->readers);
    s->moving = true; /* a thread that holds one transaction and wants another ends the wait by the timeout */
    while (s->active > 0 && !status)
        if (pthread_cond_timedwait(&s->readers_changed, &s->readers, &until) == ETIMEDOUT && s->active > 0)
            status = error_set(error, FORAGE_E_FULL, "%s: its map has to grow, but %u readers do not end", s->path,
                               s->active);
    if (!status) status = move_map(s, need, error);
    s->moving = false;
    pthread_cond_broadcast(&s->readers_changed);
    pthread_mutex_unlock(&s->readers);
    return status;
}

/* The map holds still under the lock of the readers. */
static void describe(store *s, MDB_envinfo *info, MDB_stat *stat) {
    pthread_mutex_lock(&s->readers);
    mdb_env_info(s->env, info);
    mdb_env_stat(s->env, stat);
    pthread_mutex_unlock(&s->readers);
}

uint64_t store_commit_number(store *s) {
    MDB_envinfo info;
    MDB_stat stat;
    describe(s, &info, &stat);
    return info.me_last_txnid;
}

uint64_t store_bytes(store *s) {
    MDB_envinfo info;
    MDB_stat stat;
    describe(s, &info, &stat);
    return ((uint64_t)info.me_last_pgno + 1) * stat.ms_psize;
}

forage_status store_get(store_txn *t, store_table table, slice key, slice *out) {
    MDB_dbi dbi = t->owner->tables[table];
    if (dbi == STORE_NO_TABLE || key.size == 0 || key.size > STORE_MAX_KEY) return FORAGE_E_NOT_FOUND;
    MDB_val k = value_of_slice(key), v;
    int code = mdb_get(t->txn, dbi, &k, &v);
    if (code == MDB_NOTFOUND) return FORAGE_E_NOT_FOUND;
    if (code) return store_error(NULL, code, "reading", t->owner->path);
    *out = slice_of_value(v);
    return FORAGE_OK;
}

uint64_t store_count(store_txn *t, store_table table) {
    MDB_stat stat;
    MDB_dbi dbi = t->owner->tables[table];
    return dbi == STORE_NO_TABLE || mdb_stat(t->txn, dbi, &stat) ? 0 : stat.ms_entries;
}

struct store_cursor {
    MDB_cursor *cursor; /* NULL when the table does not exist */
    MDB_cursor_op next;
    size_t from_size;
    char from[STORE_MAX_KEY];
};

forage_status store_cursor_open(store_txn *t, store_table table, slice from, store_cursor **out, base_error *error) {
    if (from.size > STORE_MAX_KEY)
        return error_set(error, FORAGE_E_INVALID, "a key of %zu bytes: expected at most %u", from.size, STORE_MAX_KEY);
    MDB_dbi dbi = t->owner->tables[table];
    store_cursor *c = mem_alloc(sizeof *c);
    c->cursor = NULL;
    c->next = from.size ? MDB_SET_RANGE : MDB_FIRST;
    c->from_size = from.size;
    if (from.size) memcpy(c->from, from.data, from.size);
    int code = dbi == STORE_NO_TABLE ? 0 : mdb_cursor_open(t->txn, dbi, &c->cursor);
    if (code) {
        free(c);
        return store_error(error, code, "reading", t->owner->path);
    }
    *out = c;
    return FORAGE_OK;
}

bool store_cursor_next(store_cursor *c, slice *key, slice *value) {
    if (!c->cursor) return false;
    MDB_val k = {c->from_size, c->from}, v;
    if (mdb_cursor_get(c->cursor, &k, &v, c->next)) return false;
    c->next = MDB_NEXT;
    *key = slice_of_value(k);
    *value = slice_of_value(v);
    return true;
}

void store_cursor_close(store_cursor *c) {
    if (!c) return;
    if (c->cursor) mdb_cursor_close(c->cursor);
    free(c);
}

forage_status store_last_key(store_txn *t, store_table table, slice *key) {
    MDB_dbi dbi = t->owner->tables[table];
    MDB_cursor *cursor = NULL;
    if (dbi == STORE_NO_TABLE || mdb_cursor_open(t->txn, dbi, &cursor)) return FORAGE_E_NOT_FOUND;
    MDB_val k, v;
    int code = mdb_cursor_get(cursor, &k, &v, MDB_LAST);
    mdb_cursor_close(cursor);
    if (code) return FORAGE_E_NOT_FOUND;
    *key = slice_of_value(k);
    return FORAGE_OK;
}

/* Every write goes through here, so that one failure is enough to know that the transaction is spoilt. */
static forage_status finish_write(store_txn *t, int code, size_t bytes, base_error *error) {
    if (!code) {
        t->changes++;
        t->bytes += bytes;
        return FORAGE_OK;
    }
    if (!t->fault) t->fault = code;
    return store_write_error(t->owner, error, code, "writing to");
}

static forage_status check_key(const store_txn *t, slice key, base_error *error) {
    assert(t->writable);
    (void)t;
    if (key.size == 0 || key.size > STORE_MAX_KEY)
        return error_set(error, FORAGE_E_INVALID, "a key of %zu bytes: expected 1 to %u", key.size, STORE_MAX_KEY);
    return FORAGE_OK;
}

static forage_status put(store_txn *t, store_table table, slice key, slice value, unsigned flags, base_error *error) {
    forage_status status = check_key(t, key, error);
    if (status) return status;
    if (value.size > UINT32_MAX)
        return error_set(error, FORAGE_E_TOO_LARGE, "a value of %zu bytes: at most 4 GiB can be stored", value.size);
    MDB_val k = value_of_slice(key), v = value_of_slice(value);
    int code = mdb_put(t->txn, t->owner->tables[table], &k, &v, flags);
    if (code == MDB_KEYEXIST && flags) code = mdb_put(t->txn, t->owner->tables[table], &k, &v, 0);
    return finish_write(t, code, key.size + value.size, error);
}

forage_status store_put(store_txn *t, store_table table, slice key, slice value, base_error *error) {
    return put(t, table, key, value, 0, error);
}

forage_status store_append(store_txn *t, store_table table, slice key, slice value, base_error *error) {
    return put(t, table, key, value, MDB_APPEND, error);
}

forage_status store_delete(store_txn *t, store_table table, slice key, base_error *error) {
    forage_status status = check_key(t, key, error);
    if (status) return status;
    MDB_val k = value_of_slice(key);
    int code = mdb_del(t->txn, t->owner->tables[table], &k, NULL);
    return code == MDB_NOTFOUND ? FORAGE_OK : finish_write(t, code, 0, error);
}
