/* Looks at the pages of store.mdb as bytes, because LMDB trusts the file: a page that lies beyond the end of the file
 * is a SIGBUS there, a damaged one an abort.
 *
 * The file's size alone does not tell that it was cut short: LMDB does not write pages that were taken and given back
 * in one transaction, so a sound file may end before its last page. Only a walk over the pages in use does tell.
 *
 * The layout (LMDB data version 1, 64 bit, little-endian), sizes in bytes:
 *   page      number 8, pad 2, flags 2, then lower 2 and upper 2 (or, of an overflow page, how many pages 4), then
 *             (lower - 16) / 2 offsets of nodes, 2 each
 *   node      low 2, high 2, flags 2, key size 2, key, data. Branch: the child is low | high << 16 | flags << 32.
 *             Leaf: low | high << 16 is the size of the data; the data is in the node, or is the first page (8) of an
 *             overflow run (flag 1), or a table (flag 2)
 *   table     pad 4 (page size, in the first table of a meta page), flags 2, depth 2, counts 8 × 4, root 8
 *   meta      (pages 0 and 1) page header 16, magic 4, version 4, address 8, map size 8, free list's table 48, main
 *             table 48, last page 8, transaction 8; the one with the higher transaction counts */
#include "base/bytes.h"
#include "os/file.h"
#include "store/store_impl.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    HEADER = 16,
    NODE = 8,
    TABLE = 48,
    META = HEADER + 24 + 2 * TABLE + 16,
    MAX_DEPTH = 32,
    PAGE_BRANCH = 1,
    PAGE_LEAF = 2,
    PAGE_OVERFLOW = 4,
    PAGE_META = 8,
    PAGE_KINDS = 0x6F, /* without the marks of pages in memory */
    NODE_OVERFLOW = 1,
    NODE_TABLE = 2
};
#define META_MAGIC 0xBEEFC0DEu
#define META_VERSION 1u
#define NO_PAGE UINT64_MAX

typedef struct meta {
    uint32_t page_size;
    uint64_t free_root, main_root, last_page, transaction;
} meta;

typedef struct walk {
    const char *path;
    int fd;
    uint32_t page_size;
    uint64_t pages;  /* that the file has and the meta page knows */
    uint8_t *seen;   /* a bit each */
    uint8_t *levels; /* a page for each depth */
    uint8_t *chunk;  /* not NULL: what is not used is overwritten */
    base_error *error;
} walk;

static forage_status damaged(base_error *error, const char *path, uint64_t page, const char *what) {
    return error_set(error, FORAGE_E_CORRUPT, "%s: the file is damaged (page %llu %s); restore the folder from a "
                     "backup, or remove it and import again", path, (unsigned long long)page, what);
}

static bool read_at(int fd, void *data, size_t size, uint64_t offset) {
    for (size_t done = 0; done < size;) {
        ssize_t got = pread(fd, (char *)data + done, size - done, (off_t)(offset + done));
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        done += (size_t)got;
    }
    return true;
}

static forage_status read_meta(int fd, const char *path, uint64_t page, uint64_t offset, meta *out, base_error *error) {
    uint8_t bytes[META];
    if (!read_at(fd, bytes, sizeof bytes, offset)) return damaged(error, path, page, "is missing");
    byte_reader r = byte_reader_of(bytes, sizeof bytes);
    read_bytes(&r, 10);
    if (!(read_u16(&r) & PAGE_META)) return damaged(error, path, page, "is no meta page");
    read_bytes(&r, 4);
    if (read_u32(&r) != META_MAGIC) return damaged(error, path, page, "does not begin as LMDB's files do");
    uint32_t version = read_u32(&r);
    if (version != META_VERSION)
        return error_set(error, FORAGE_E_VERSION, "%s has version %u of LMDB's file format, this program knows version "
                         "%u", path, version, META_VERSION);
    read_bytes(&r, 16);
    meta m;
    m.page_size = read_u32(&r);
    read_bytes(&r, TABLE - 12);
    m.free_root = read_u64(&r);
    read_bytes(&r, TABLE - 8);
    m.main_root = read_u64(&r);
    m.last_page = read_u64(&r);
    m.transaction = read_u64(&r);
    if (m.page_size < 512 || m.page_size > 65536 || (m.page_size & (m.page_size - 1)))
        return damaged(error, path, page, "has an impossible page size");
    if (m.last_page > STORE_MAP_LARGEST / m.page_size) return damaged(error, path, page, "has an impossible last page");
    *out = m;
    return FORAGE_OK;
}

static forage_status newest_meta(int fd, const char *path, meta *out, base_error *error) {
    meta first, second;
    forage_status status = read_meta(fd, path, 0, 0, &first, error);
    if (!status) status = read_meta(fd, path, 1, first.page_size, &second, error);
    if (status) return status;
    if (first.page_size != second.page_size) return damaged(error, path, 1, "has another page size than page 0");
    *out = first.transaction >= second.transaction ? first : second;
    return FORAGE_OK;
}

forage_status store_pages_header(const char *path, base_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return os_error(error, errno, "opening", path);
    meta m;
    forage_status status = newest_meta(fd, path, &m, error);
    close(fd);
    return status;
}

bool store_pages_missing(const store *s) {
    MDB_envinfo info;
    MDB_stat stat;
    mdb_filehandle_t fd;
    struct stat file;
    mdb_env_info(s->env, &info);
    mdb_env_stat(s->env, &stat);
    mdb_env_get_fd(s->env, &fd);
    return fstat(fd, &file) != 0 || (uint64_t)file.st_size / stat.ms_psize <= info.me_last_pgno;
}

/* ---- Wiping ---- */

#define CHUNK 65536u

static bool all_zero(const uint8_t *bytes, size_t size) {
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

static forage_status write_zeros(walk *w, uint64_t offset, size_t size) {
    static const uint8_t zeros[CHUNK];
    while (size) {
        ssize_t put = pwrite(w->fd, zeros, size < CHUNK ? size : CHUNK, (off_t)offset);
        if (put < 0 && errno == EINTR) continue;
        if (put <= 0) return os_error(w->error, put ? errno : ENOSPC, "overwriting free pages of", w->path);
        offset += (uint64_t)put;
        size -= (size_t)put;
    }
    return FORAGE_OK;
}

/* Bytes `from` to `to` of the file; what is zero already is only read. */
static forage_status wipe(walk *w, uint64_t from, uint64_t to) {
    forage_status status = FORAGE_OK;
    while (!status && from < to) {
        size_t size = to - from < CHUNK ? (size_t)(to - from) : CHUNK;
        if (!read_at(w->fd, w->chunk, size, from)) return damaged(w->error, w->path, from / w->page_size, "cannot be read");
        if (!all_zero(w->chunk, size)) status = write_zeros(w, from, size);
        from += size;
    }
    return status;
}

static bool is_used(const walk *w, uint64_t page) { return w->seen[page >> 3] & 1u << (page & 7); }

/* Everything behind the meta pages that the walk has not seen, to the file's end. */
static forage_status wipe_unused(walk *w, uint64_t file_size) {
    forage_status status = FORAGE_OK;
    for (uint64_t page = 2; !status && page < w->pages;) {
        uint64_t end = page;
        while (end < w->pages && !is_used(w, end)) end++;
        status = wipe(w, page * w->page_size, end * w->page_size);
        page = end + 1;
    }
    return status ? status : wipe(w, w->pages * w->page_size, file_size);
}

/* ---- The walk ---- */

/* Marks `count` pages as used; each may be used once. */
static forage_status use(walk *w, uint64_t page, uint64_t count) {
    if (page < 2 || page >= w->pages || count > w->pages - page)
        return damaged(w->error, w->path, page, "is in use but is not in the file: it was cut short");
    for (uint64_t p = page; p < page + count; p++) {
        uint8_t bit = (uint8_t)(1u << (p & 7));
        if (w->seen[p >> 3] & bit) return damaged(w->error, w->path, p, "is used twice");
        w->seen[p >> 3] |= bit;
    }
    return FORAGE_OK;
}

static forage_status use_overflow(walk *w, uint64_t page, uint64_t size) {
    uint8_t header[HEADER];
    uint64_t needed = (size + HEADER + w->page_size - 1) / w->page_size;
    if (page < 2 || page >= w->pages) return use(w, page, 1);
    if (!read_at(w->fd, header, sizeof header, page * w->page_size))
        return damaged(w->error, w->path, page, "cannot be read");
    if (load_le64(header) != page || !(load_le16(header + 10) & PAGE_OVERFLOW) || load_le32(header + 12) < needed)
        return damaged(w->error, w->path, page, "is not the long value it should be");
    uint64_t pages = load_le32(header + 12), start = page * w->page_size;
    forage_status status = use(w, page, pages);
    return status || !w->chunk ? status : wipe(w, start + HEADER + size, start + pages * w->page_size);
}

static forage_status walk_page(walk *w, uint64_t page, unsigned depth);

static forage_status walk_leaf_node(walk *w, uint64_t page, const uint8_t *node, size_t room, unsigned depth) {
    size_t key = load_le16(node + 6), size = load_le16(node) | (size_t)load_le16(node + 2) << 16;
    unsigned flags = load_le16(node + 4);
    size_t inside = flags & NODE_OVERFLOW ? 8 : size;
    if (flags & ~(NODE_OVERFLOW | NODE_TABLE) || key > room || inside > room - key ||
        (flags & NODE_TABLE && size != TABLE))
        return damaged(w->error, w->path, page, "holds a broken entry");
    const uint8_t *data = node + NODE + key;
    if (flags & NODE_OVERFLOW) return use_overflow(w, load_le64(data), size);
    if (flags & NODE_TABLE) {
        uint64_t root = load_le64(data + TABLE - 8);
        if (root != NO_PAGE) return walk_page(w, root, depth + 1);
    }
    return FORAGE_OK;
}

static forage_status walk_page(walk *w, uint64_t page, unsigned depth) {
    if (depth >= MAX_DEPTH) return damaged(w->error, w->path, page, "lies too deep");
    forage_status status = use(w, page, 1);
    if (status) return status;
    uint8_t *bytes = w->levels + (size_t)depth * w->page_size;
    if (!read_at(w->fd, bytes, w->page_size, page * w->page_size))
        return damaged(w->error, w->path, page, "cannot be read");
    unsigned kind = load_le16(bytes + 10) & PAGE_KINDS, lower = load_le16(bytes + 12), upper = load_le16(bytes + 14);
    bool branch = kind == PAGE_BRANCH;
    if (load_le64(bytes) != page || (!branch && kind != PAGE_LEAF) || lower < HEADER || lower % 2 || lower > upper ||
        upper > w->page_size)
        return damaged(w->error, w->path, page, "is broken");
    unsigned count = (lower - HEADER) / 2;
    if (count == 0) return damaged(w->error, w->path, page, "is empty");
    if (w->chunk && !all_zero(bytes + lower, upper - lower)) status = write_zeros(w, page * w->page_size + lower, upper - lower);
    for (unsigned i = 0; !status && i < count; i++) {
        unsigned at = load_le16(bytes + HEADER + 2 * i);
        if (at < upper || at + NODE > w->page_size) return damaged(w->error, w->path, page, "holds a broken entry");
        const uint8_t *node = bytes + at;
        size_t room = w->page_size - at - NODE;
        if (!branch) {
            status = walk_leaf_node(w, page, node, room, depth);
        } else {
            uint64_t child = load_le32(node) | (uint64_t)load_le16(node + 4) << 32;
            if (load_le16(node + 6) > room) return damaged(w->error, w->path, page, "holds a broken entry");
            status = walk_page(w, child, depth + 1);
        }
    }
    return status;
}

static forage_status walk_all(store *s, bool wiping, base_error *error) {
    walk w = {.path = s->path, .fd = open(s->path, (wiping ? O_RDWR : O_RDONLY) | O_CLOEXEC), .error = error};
    if (w.fd < 0) return os_error(error, errno, "opening", s->path);
    struct stat info;
    meta m = {0};
    store_txn *pin = NULL; /* keeps the writer from using the pages again that are looked at */
    forage_status status = store_read_begin(s, &pin, error);
    if (!status) status = newest_meta(w.fd, s->path, &m, error);
    if (!status && fstat(w.fd, &info) != 0) status = os_error(error, errno, "looking at", s->path);
    if (status) goto done;
    w.page_size = m.page_size;
    w.pages = (uint64_t)info.st_size / m.page_size;
    if (w.pages > m.last_page + 1) w.pages = m.last_page + 1;
    w.seen = mem_zalloc((size_t)(w.pages >> 3) + 1, 1);
    w.levels = mem_alloc((size_t)MAX_DEPTH * m.page_size);
    w.chunk = wiping ? mem_alloc(CHUNK) : NULL;
    if (m.free_root != NO_PAGE) status = walk_page(&w, m.free_root, 0);
    if (!status && m.main_root != NO_PAGE) status = walk_page(&w, m.main_root, 0);
    if (!status && wiping) status = wipe_unused(&w, (uint64_t)info.st_size);
    if (!status && wiping && fdatasync(w.fd) != 0) status = os_error(error, errno, "syncing", s->path);
done:
    store_read_end(pin);
    free(w.chunk);
    free(w.seen);
    free(w.levels);
    close(w.fd);
    return status;
}

forage_status store_pages_check(store *s, base_error *error) { return walk_all(s, false, error); }
forage_status store_pages_wipe(store *s, base_error *error) { return walk_all(s, true, error); }

static forage_status check_table(store_txn *t, store_table table, base_error *error) {
    store_cursor *c = NULL;
    forage_status status = store_cursor_open(t, table, (slice){0}, &c, error);
    if (status) return status;
    slice key, value, before = {0};
    uint64_t count = 0;
    for (; !status && store_cursor_next(c, &key, &value); count++) {
        if (count && slice_compare(before, key) >= 0)
            status = error_set(error, FORAGE_E_CORRUPT, "%s: table %d is out of order at entry %llu", t->owner->path,
                               (int)table, (unsigned long long)count);
        before = key;
    }
    if (!status && count != store_count(t, table))
        status = error_set(error, FORAGE_E_CORRUPT, "%s: table %d has %llu entries, %llu were expected", t->owner->path,
                           (int)table, (unsigned long long)count, (unsigned long long)store_count(t, table));
    store_cursor_close(c);
    return status;
}

forage_status store_check(store *s, base_error *error) {
    forage_status status = store_pages_check(s, error);
    store_txn *t = NULL;
    if (!status) status = store_read_begin(s, &t, error);
    for (int table = 0; !status && table < STORE_TABLES; table++) status = check_table(t, (store_table)table, error);
    store_read_end(t);
    return status;
}
