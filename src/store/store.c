/* Opening and closing. A new store is made under another name and renamed, so that store.mdb is never half a store. */
#include "base/bytes.h"
#include "base/log.h"
#include "os/file.h"
#include "store/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static const char *const table_names[STORE_TABLES] = {"meta", "ids",    "documents", "pending", "log", "impressions",
                                                      "events", "memory", "models",    "queries", "asked", "memory_segments",
                                                      "predictions", "profiles", "graph", "trends"};
static char format_key[] = "format"; /* not const: LMDB's values are not */

static pthread_mutex_t open_stores_lock = PTHREAD_MUTEX_INITIALIZER;
static store *open_stores;

forage_status store_error(base_error *error, int code, const char *doing, const char *path) {
    switch (code) {
    case MDB_INVALID: case MDB_CORRUPTED: case MDB_PAGE_NOTFOUND: case MDB_INCOMPATIBLE: case MDB_CURSOR_FULL:
    case MDB_PAGE_FULL:
        return error_set(error, FORAGE_E_CORRUPT, "%s %s: the file is damaged (%s); restore the folder from a backup, "
                         "or remove it and import again", doing, path, mdb_strerror(code));
    case MDB_VERSION_MISMATCH:
        return error_set(error, FORAGE_E_VERSION, "%s %s: it was written by another version of LMDB than this one (%s)",
                         doing, path, mdb_version(NULL, NULL, NULL));
    case MDB_MAP_FULL:
        return error_set(error, FORAGE_E_FULL, "%s %s: its address space is used up", doing, path);
    case MDB_TXN_FULL:
        return error_set(error, FORAGE_E_TOO_LARGE, "%s %s: too much for one transaction", doing, path);
    case MDB_READERS_FULL:
        return error_set(error, FORAGE_E_OVERLOADED, "%s %s: %u readers are active", doing, path, STORE_READERS);
    case MDB_PANIC:
        return error_set(error, FORAGE_E_IO, "%s %s: an earlier write failed halfway; close it and open it again",
                         doing, path);
    case EFBIG:
        return error_set(error, FORAGE_E_FULL, "%s %s: %s", doing, path, mdb_strerror(code));
    default:
        if (code > 0) return os_error(error, code, doing, path);
        return error_set(error, FORAGE_E_INTERNAL, "%s %s: %s", doing, path, mdb_strerror(code));
    }
}

/* LMDB found a page that cannot be, in the middle of its work: it cannot go on, and would abort without a word to people. */
static void stop_at_damage(MDB_env *env, const char *found) {
    const char *path = "the store";
    mdb_env_get_path(env, &path);
    log_error("%s: the file is damaged (%s); restore the folder from a backup, or remove it and import again", path, found);
    _exit(EXIT_FAILURE);
}

/* The address space that a machine grants differs: ask for less until it agrees. */
static int open_environment(const char *path, unsigned flags, uint64_t map_size, MDB_env **out) {
    for (;; map_size /= 2) {
        MDB_env *env = NULL;
        int code = mdb_env_create(&env);
        if (code) return code;
        mdb_env_set_assert(env, stop_at_damage);
        mdb_env_set_maxdbs(env, STORE_TABLES);
        mdb_env_set_maxreaders(env, STORE_READERS);
        mdb_env_set_mapsize(env, map_size);
        code = mdb_env_open(env, path, MDB_NOSUBDIR | MDB_NOTLS | flags, 0644);
        if (!code) {
            *out = env;
            return 0;
        }
        mdb_env_close(env);
        if (code != ENOMEM || map_size <= STORE_MAP_SMALLEST) return code;
    }
}

/* The lock file is a shared map: a page that cannot be given its block when the disk is full would kill the process. */
static void reserve_lock_file(const char *path) {
    arena a;
    arena_init(&a, 0);
    int fd = open(arena_printf(&a, "%s-lock", path), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd >= 0) {
        if (fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)(STORE_READERS + 64) * 64) != 0)
            log_debug("%s-lock: its blocks cannot be reserved here", path);
        close(fd);
    }
    arena_release(&a);
}

static int create_tables(MDB_env *env) {
    MDB_txn *txn = NULL;
    MDB_dbi tables[STORE_TABLES];
    int code = mdb_txn_begin(env, NULL, 0, &txn);
    if (code) return code;
    for (int i = 0; !code && i < STORE_TABLES; i++) code = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &tables[i]);
    if (!code) {
        char format[4];
        store_le32(format, STORE_FORMAT);
        MDB_val key = {sizeof format_key - 1, format_key}, value = {sizeof format, format};
        code = mdb_put(txn, tables[STORE_META], &key, &value, 0);
    }
    if (code) {
        mdb_txn_abort(txn);
        return code;
    }
    return mdb_txn_commit(txn);
}

static forage_status sync_folder(const char *folder, base_error *error) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    forage_status status = FORAGE_OK;
    if (fd < 0 || fsync(fd) != 0) status = os_error(error, errno, "syncing the folder", folder);
    if (fd >= 0) close(fd);
    return status;
}

static forage_status create_file(const store *s, bool no_sync, base_error *error) {
    arena a;
    arena_init(&a, 0);
    const char *temporary = path_join(&a, s->folder, "store.new");
    MDB_env *env = NULL;
    forage_status status = os_remove_file(temporary, error);
    if (status) goto done;
    int code = open_environment(temporary, MDB_NOLOCK | (no_sync ? MDB_NOSYNC : 0), 1 << 20, &env);
    if (!code) code = create_tables(env);
    if (code) {
        status = store_error(error, code, "creating", temporary);
        goto done;
    }
    mdb_env_close(env);
    env = NULL;
    status = os_rename(temporary, s->path, error);
    if (!status && !no_sync) status = sync_folder(s->folder, error);
done:
    if (env) mdb_env_close(env);
    if (status) os_remove_file(temporary, NULL);
    arena_release(&a);
    return status;
}

/* Another open store of this process on the same file? Entries that a fork inherited do not count. */
static forage_status enlist(store *s, base_error *error) {
    struct stat info;
    if (stat(s->path, &info) != 0) return os_error(error, errno, "opening", s->path);
    s->device = info.st_dev;
    s->inode = info.st_ino;
    s->process = getpid();
    forage_status status = FORAGE_OK;
    pthread_mutex_lock(&open_stores_lock);
    for (const store *o = open_stores; o; o = o->next_open)
        if (o->device == s->device && o->inode == s->inode && o->process == s->process)
            status = error_set(error, FORAGE_E_LOCKED, "%s is open in this process already", s->folder);
    if (!status) {
        s->next_open = open_stores;
        open_stores = s;
    }
    pthread_mutex_unlock(&open_stores_lock);
    return status;
}

static void delist(store *s) {
    pthread_mutex_lock(&open_stores_lock);
    for (store **at = &open_stores; *at; at = &(*at)->next_open)
        if (*at == s) {
            *at = s->next_open;
            break;
        }
    pthread_mutex_unlock(&open_stores_lock);
}

static forage_status check_format(const store *s, MDB_txn *txn, base_error *error) {
    MDB_val key = {sizeof format_key - 1, format_key}, value;
    int code = s->tables[STORE_META] == STORE_NO_TABLE ? MDB_NOTFOUND
                                                       : mdb_get(txn, s->tables[STORE_META], &key, &value);
    if (code && code != MDB_NOTFOUND) return store_error(error, code, "reading", s->path);
    uint32_t format = code == MDB_NOTFOUND || value.mv_size != 4 ? 0 : load_le32(value.mv_data);
    if (format == 0)
        return error_set(error, FORAGE_E_CORRUPT, "%s: it has no format number; restore the folder from a backup, or "
                         "remove it and import again", s->path);
    if (format > STORE_FORMAT)
        return error_set(error, FORAGE_E_VERSION, "%s has format %u, this program knows formats up to %u: use a newer "
                         "version of the program", s->path, format, STORE_FORMAT);
    return FORAGE_OK;
}

/* Table handles live as long as the environment once the transaction that opened them is committed. The format is
 * checked first, so that a newer store is not touched. */
static forage_status open_tables(store *s, base_error *error) {
    MDB_txn *txn = NULL;
    bool missing = false;
    forage_status status = FORAGE_OK;
    int code = mdb_txn_begin(s->env, NULL, MDB_RDONLY, &txn);
    for (int i = 0; !code && i < STORE_TABLES; i++) {
        code = mdb_dbi_open(txn, table_names[i], 0, &s->tables[i]);
        if (code != MDB_NOTFOUND) continue;
        s->tables[i] = STORE_NO_TABLE;
        missing = true;
        code = 0;
    }
    if (!code) status = check_format(s, txn, error);
    if (code || status) {
        if (txn) mdb_txn_abort(txn);
        return status ? status : store_error(error, code, "opening", s->path);
    }
    code = mdb_txn_commit(txn);
    if (!code && missing && !s->read_only) {
        code = mdb_txn_begin(s->env, NULL, 0, &txn);
        for (int i = 0; !code && i < STORE_TABLES; i++)
            if (s->tables[i] == STORE_NO_TABLE) code = mdb_dbi_open(txn, table_names[i], MDB_CREATE, &s->tables[i]);
        if (!code) code = mdb_txn_commit(txn);
        else if (txn) mdb_txn_abort(txn);
    }
    return code ? store_error(error, code, "opening", s->path) : FORAGE_OK;
}

static forage_status take_writer_lock(store *s, base_error *error) {
    arena a;
    arena_init(&a, 0);
    const char *path = path_join(&a, s->folder, "writer.lock");
    forage_status status = os_lock(path, &s->lock, error);
    if (status == FORAGE_E_LOCKED) {
        buffer owner = {0};
        long process = os_read_file(path, 64, &owner, NULL) ? 0 : strtol(buffer_text(&owner), NULL, 10);
        buffer_release(&owner);
        if (process == (long)getpid())
            error_set(error, status, "%s is open in this process already", s->folder);
        else if (process > 0)
            error_set(error, status, "another process (pid %ld) is writing to %s; stop it, or talk to it with --url",
                      process, s->folder);
        else
            error_set(error, status, "another process is writing to %s; stop it, or talk to it with --url", s->folder);
    }
    arena_release(&a);
    return status;
}

static forage_status open_file(store *s, const store_options *options, base_error *error) {
    uint64_t map_size = options->map_size ? options->map_size : STORE_MAP_DEFAULT;
    map_size = (map_size + 0xFFFF) & ~(uint64_t)0xFFFF;
    unsigned flags = s->read_only ? MDB_RDONLY : options->no_sync ? MDB_NOSYNC : 0;
    if (!s->read_only) reserve_lock_file(s->path);
    int code = open_environment(s->path, flags, map_size, &s->env);
    if (s->read_only && (code == EACCES || code == EROFS || code == EPERM) && access(s->path, R_OK) == 0)
        code = open_environment(s->path, flags | MDB_NOLOCK, map_size, &s->env);
    if (code) return store_error(error, code, "opening", s->path);
    if (store_pages_missing(s)) {
        forage_status status = store_pages_check(s, error);
        if (status) return status;
    }
    return open_tables(s, error);
}

forage_status store_open(const char *folder, const store_options *options, store **out, base_error *error) {
    static const store_options defaults;
    if (!options) options = &defaults;
    store *s = mem_zalloc(1, sizeof *s);
    s->lock = -1;
    s->read_only = options->read_only;
    s->folder = mem_strdup(folder);
    arena a;
    arena_init(&a, 0);
    s->path = mem_strdup(path_join(&a, folder, "store.mdb"));
    arena_release(&a);
    pthread_mutex_init(&s->readers, NULL);
    pthread_cond_init(&s->readers_changed, NULL);

    forage_status status = FORAGE_OK;
    if (!s->read_only) {
        status = os_make_folders(folder, error);
        if (!status) status = take_writer_lock(s, error);
        if (!status && !os_exists(s->path)) status = create_file(s, options->no_sync, error);
    }
    if (!status) status = store_pages_header(s->path, error);
    if (!status) status = enlist(s, error);
    if (!status) status = open_file(s, options, error);
    if (status) {
        store_close(s);
        return status;
    }
    if (!s->read_only) {
        int dead = 0;
        mdb_reader_check(s->env, &dead);
        if (dead) log_info("%s: cleared %d readers that had died", s->path, dead);
        s->writer = store_writer_start(s);
    }
    *out = s;
    return FORAGE_OK;
}

void store_close(store *s) {
    if (!s) return;
    if (s->writer) store_writer_stop(s->writer);
    if (s->env) {
        store_release_readers(s);
        mdb_env_close(s->env);
    }
    delist(s);
    os_unlock(s->lock);
    pthread_cond_destroy(&s->readers_changed);
    pthread_mutex_destroy(&s->readers);
    free(s->folder);
    free(s->path);
    free(s);
}

bool store_read_only(const store *s) { return s->read_only; }
