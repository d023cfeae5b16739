/* The manifest: which files there are and which of their places live. It changes with the store's transactions, so that
 * files, manifest and STORE_PENDING agree at every moment. The bytes are drawn in README.md. */
#include "sparse/index_impl.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"

#include <stdio.h>
#include <stdlib.h>

#define MANIFEST_KEY SLICE("manifest")
#define MANIFEST_VERSION 1u
#define LIVE_PREFIX "live/"

enum { SETTLE_AT_ONCE = 16384 }; /* entries of STORE_PENDING looked at in one transaction */

typedef struct live_key {
    char text[sizeof LIVE_PREFIX + 16];
} live_key;

static slice make_live_key(uint64_t number, live_key *room) {
    int n = snprintf(room->text, sizeof room->text, LIVE_PREFIX "%016llx", (unsigned long long)number);
    return (slice){room->text, (size_t)n};
}

char *index_file_path(const char *folder, uint64_t number) {
    buffer path = {0};
    buffer_printf(&path, "%s/%016llx.seg", folder, (unsigned long long)number);
    return buffer_text(&path);
}

static slice live_bytes(const index_live *l, uint32_t count) {
    return (slice){(const char *)l->words, ((size_t)count + 63) / 64 * sizeof *l->words};
}

static uint64_t live_hash(const index_live *l, uint32_t count) {
    slice bytes = live_bytes(l, count);
    uint64_t hash = hash64(bytes.data, bytes.size, 0);
    return hash ? hash : 1;
}

/* --- bytes ------------------------------------------------------------------------------------------------------- */

static void encode(const index_draft *durable, bool incomplete, uint64_t next_file, buffer *out) {
    put_u32(out, MANIFEST_VERSION);
    put_u32(out, incomplete);
    put_u64(out, next_file);
    put_u64(out, durable->n);
    for (size_t i = 0; i < durable->n; i++) {
        const index_part *p = &durable->parts[i];
        const sparse_segment *s = p->segment->segment;
        put_u64(out, p->segment->number);
        put_u64(out, sparse_segment_bytes(s));
        put_u64(out, sparse_segment_checksum(s));
        put_u64(out, p->live ? live_hash(p->live, sparse_segment_count(s)) : 0);
        put_u32(out, sparse_segment_count(s));
        put_u32(out, index_part_live(p));
    }
    put_u64(out, hash64(out->data, out->size, 0));
}

/* Every format ends with the hash of what is before it, so that damage is not taken for a newer one. */
forage_status index_manifest_decode(slice bytes, index_stored *out, base_error *error) {
    const size_t tail = sizeof(uint64_t);
    bool whole = bytes.size >= tail &&
                 load_le64(bytes.data + bytes.size - tail) == hash64(bytes.data, bytes.size - tail, 0);
    byte_reader r = byte_reader_of(bytes.data, whole ? bytes.size - tail : 0);
    uint32_t version = read_u32(&r);
    if (version > MANIFEST_VERSION)
        return error_set(error, FORAGE_E_VERSION, "the index manifest has the newer format %u", version);
    out->incomplete = read_u32(&r) != 0;
    out->next_file = read_u64(&r);
    uint64_t n = read_u64(&r);
    if (version != MANIFEST_VERSION || n != read_left(&r) / sizeof(index_file))
        return error_set(error, FORAGE_E_CORRUPT, "the index manifest is damaged");
    out->files = mem_zalloc(n, sizeof *out->files);
    out->n_files = n;
    for (uint64_t i = 0; i < n; i++) {
        index_file *f = &out->files[i];
        f->number = read_u64(&r);
        f->size = read_u64(&r);
        f->checksum = read_u64(&r);
        f->live_hash = read_u64(&r);
        f->count = read_u32(&r);
        f->n_live = read_u32(&r);
    }
    return FORAGE_OK;
}

/* --- reading ----------------------------------------------------------------------------------------------------- */

void index_stored_release(index_stored *stored) {
    for (size_t i = 0; stored->live && i < stored->n_files; i++) index_live_release(stored->live[i]);
    free(stored->files);
    free(stored->live);
    free(stored->unreadable);
    free(stored->pending);
    free(stored->deleted);
    *stored = (index_stored){0};
}

bool index_stored_is_pending(const index_stored *stored, uint32_t document) {
    size_t low = 0, high = stored->n_pending;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (stored->pending[middle] < document) low = middle + 1;
        else high = middle;
    }
    return low < stored->n_pending && stored->pending[low] == document;
}

static index_live *read_live(store_txn *t, const index_file *f) {
    live_key room;
    slice value;
    if (store_get(t, STORE_META, make_live_key(f->number, &room), &value) != FORAGE_OK) return NULL;
    if (value.size != ((size_t)f->count + 63) / 64 * 8) return NULL;
    index_live *l = index_live_create(f->count);
    memcpy(l->words, value.data, value.size);
    l->n_live = f->n_live;
    uint64_t n = 0;
    for (size_t i = 0; i < value.size / 8; i++) n += (uint64_t)__builtin_popcountll(l->words[i]);
    if (n == f->n_live && live_hash(l, f->count) == f->live_hash) return l;
    index_live_release(l);
    return NULL;
}

static void read_bitmaps(store_txn *t, index_stored *out) {
    out->live = mem_zalloc(out->n_files, sizeof *out->live);
    out->unreadable = mem_zalloc(out->n_files, sizeof *out->unreadable);
    for (size_t i = 0; i < out->n_files; i++) {
        if (out->files[i].live_hash == 0) continue;
        out->live[i] = read_live(t, &out->files[i]);
        out->unreadable[i] = !out->live[i];
    }
}

static bool is_deleted(store_txn *t, slice document_key) {
    slice value;
    return store_get(t, STORE_DOCUMENTS, document_key, &value) == FORAGE_E_NOT_FOUND;
}

static forage_status read_pending(store_txn *t, index_stored *out, base_error *error) {
    store_cursor *cursor = NULL;
    forage_status status = store_cursor_open(t, STORE_PENDING, (slice){0}, &cursor, error);
    if (status != FORAGE_OK) return status;
    size_t most = store_count(t, STORE_PENDING);
    out->pending = mem_alloc(most * sizeof *out->pending);
    out->deleted = mem_alloc(most * sizeof *out->deleted);
    slice key, value;
    while (out->n_pending < most && store_cursor_next(cursor, &key, &value)) {
        if (key.size != 4) continue;
        out->deleted[out->n_pending] = is_deleted(t, key);
        out->pending[out->n_pending++] = load_be32(key.data);
    }
    store_cursor_close(cursor);
    return FORAGE_OK;
}

forage_status index_stored_read(store *s, index_stored *out, base_error *error) {
    store_txn *t = NULL;
    slice value;
    base_error why;
    *out = (index_stored){0};
    forage_status status = store_read_begin(s, &t, error);
    if (status != FORAGE_OK) return status;
    forage_status found = store_get(t, STORE_META, MANIFEST_KEY, &value);
    if (found == FORAGE_OK) found = index_manifest_decode(value, out, &why);
    else if (found != FORAGE_E_NOT_FOUND) status = error_set(error, found, "the index manifest cannot be read");
    if (found == FORAGE_E_VERSION) status = error_set(error, found, "%s", why.message);
    if (found == FORAGE_E_CORRUPT && status == FORAGE_OK) {
        log_warn("%s; the index is built anew", why.message);
        out->incomplete = true;
        out->next_file = 0;
    }
    if (status == FORAGE_OK) read_bitmaps(t, out);
    if (status == FORAGE_OK) status = read_pending(t, out, error);
    store_read_end(t);
    if (status != FORAGE_OK) index_stored_release(out);
    return status;
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static index_segment *find_open(const index_snapshot *open, const index_file *f) {
    for (uint32_t i = 0; open && i < open->visible.n_parts; i++) {
        index_segment *s = open->owned[i].segment;
        if (s->number == f->number && sparse_segment_checksum(s->segment) == f->checksum) return s;
    }
    return NULL;
}

/* FORAGE_E_NOT_FOUND and FORAGE_E_CORRUPT: the file can be rebuilt. */
static forage_status open_file(const sparse_index *index, const index_file *f, index_segment **out, base_error *error) {
    char *path = index_file_path(index->folder, f->number);
    index_segment *s = NULL;
    forage_status status = index_segment_in_file(path, f->number, &s, error);
    if (status != FORAGE_OK) goto done;
    if (sparse_segment_checksum(s->segment) != f->checksum || sparse_segment_bytes(s->segment) != f->size ||
        sparse_segment_count(s->segment) != f->count)
        status = error_set(error, FORAGE_E_CORRUPT, "%s: not the file that the manifest names", path);
    else if (!sparse_segment_matches(s->segment, index->config) ||
             (index->writable && sparse_segment_fields(s->segment) > index->config->n_fields))
        status = error_set(error, FORAGE_E_CORRUPT, "%s: its fields are not the collection's", path);
    if (status == FORAGE_OK) {
        *out = s;
        s = NULL;
    }
done:
    index_segment_release(s);
    free(path);
    return status;
}

forage_status index_load(const sparse_index *index, const index_snapshot *open, index_stored *stored, index_draft *out,
                         bool *damaged, base_error *error) {
    index_draft d = {0};
    bool lost = stored->incomplete;
    for (size_t i = 0; i < stored->n_files; i++) {
        const index_file *f = &stored->files[i];
        base_error why = {0};
        index_segment *s = find_open(open, f);
        forage_status status = FORAGE_OK;
        if (stored->unreadable[i])
            status = error_set(&why, FORAGE_E_CORRUPT, "live places of file %llx", (unsigned long long)f->number);
        else if (s) index_segment_retain(s);
        else status = open_file(index, f, &s, &why);
        if (status == FORAGE_E_NOT_FOUND || status == FORAGE_E_CORRUPT) {
            log_warn("index: %s", why.message);
            lost = true;
            continue;
        }
        if (status != FORAGE_OK) {
            index_draft_release(&d);
            return error_set(error, status, "%s", why.message);
        }
        if (!find_open(open, f)) s->saved = index_live_retain(stored->live[i]);
        index_draft_add(&d, d.n, s, index_live_retain(stored->live[i]));
    }
    *out = d;
    *damaged = lost;
    return FORAGE_OK;
}

/* The number in a name like 00000000000000a1.seg. */
static bool segment_name(const char *name, uint64_t *number) {
    char *end;
    if (strspn(name, "0123456789abcdef") != 16) return false;
    *number = strtoull(name, &end, 16);
    return strcmp(end, ".seg") == 0;
}

static bool temporary_name(const char *name) {
    size_t n = strlen(name);
    return strspn(name, "0123456789abcdef") == 16 && n > 20 && strncmp(name + 16, ".seg.", 5) == 0;
}

void index_remove_strangers(const sparse_index *index, const index_stored *stored, uint64_t *next_file) {
    arena a;
    arena_init(&a, 0);
    char **names;
    size_t n = 0;
    if (os_list(index->folder, &a, &names, &n, NULL) != FORAGE_OK) n = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t number = 0;
        bool segment = segment_name(names[i], &number), known = false;
        if (!segment && !temporary_name(names[i])) continue;
        if (segment && number >= *next_file && number < UINT64_MAX) *next_file = number + 1;
        for (size_t f = 0; segment && f < stored->n_files; f++) known = known || stored->files[f].number == number;
        if (known) continue;
        log_info("index: removing %s, which the manifest does not name", names[i]);
        os_remove_file(path_join(&a, index->folder, names[i]), NULL);
    }
    arena_release(&a);
}

/* --- writing ----------------------------------------------------------------------------------------------------- */

typedef struct save_job {
    const index_draft *durable;
    slice manifest;
} save_job;

/* Bitmaps of files that the manifest no longer names. */
static forage_status delete_old_bitmaps(store_txn *t, const index_draft *durable, base_error *error) {
    store_cursor *cursor = NULL;
    buffer keys = {0};
    slice key, value;
    forage_status status = store_cursor_open(t, STORE_META, SLICE(LIVE_PREFIX), &cursor, error);
    while (status == FORAGE_OK && store_cursor_next(cursor, &key, &value)) {
        if (key.size < 5 || memcmp(key.data, LIVE_PREFIX, 5) != 0) break;
        bool named = false;
        for (size_t i = 0; i < durable->n; i++) {
            live_key room;
            named = named || slice_equal(make_live_key(durable->parts[i].segment->number, &room), key);
        }
        if (!named) put_string(&keys, key);
    }
    store_cursor_close(cursor);
    byte_reader r = byte_reader_of(keys.data, keys.size);
    while (status == FORAGE_OK && read_left(&r) > 0) status = store_delete(t, STORE_META, read_string(&r), error);
    buffer_release(&keys);
    return status;
}

static forage_status save_apply(store_txn *t, void *self, base_error *error) {
    const save_job *job = self;
    forage_status status = delete_old_bitmaps(t, job->durable, error);
    for (size_t i = 0; i < job->durable->n && status == FORAGE_OK; i++) {
        const index_part *p = &job->durable->parts[i];
        if (!p->live || p->live == p->segment->saved) continue;
        live_key room;
        slice key = make_live_key(p->segment->number, &room);
        status = store_put(t, STORE_META, key, live_bytes(p->live, sparse_segment_count(p->segment->segment)), error);
    }
    return status == FORAGE_OK ? store_put(t, STORE_META, MANIFEST_KEY, job->manifest, error) : status;
}

forage_status index_save(sparse_index *index, const index_draft *durable, bool incomplete, base_error *error) {
    buffer manifest = {0};
    encode(durable, incomplete, index->next_file, &manifest);
    save_job job = {durable, {manifest.data, manifest.size}};
    forage_status status = store_write(index->store, &(store_job){.apply = save_apply, .self = &job}, error);
    for (size_t i = 0; i < durable->n && status == FORAGE_OK; i++) {
        index_segment *s = durable->parts[i].segment;
        index_live *before = s->saved;
        s->saved = index_live_retain(durable->parts[i].live);
        index_live_release(before);
    }
    buffer_release(&manifest);
    return status;
}

typedef struct settle_job {
    const index_draft *durable;
    uint32_t from, next; /* documents */
    bool more;
} settle_job;

/* An entry can go when files and manifest alone tell the document's state as this transaction sees it. */
static bool settled(store_txn *t, const index_draft *durable, slice key, slice value) {
    size_t part;
    uint32_t place;
    if (key.size != 4 || value.size != 8) return false;
    if (!index_draft_find(durable, load_be32(key.data), &part, &place)) return is_deleted(t, key);
    return sparse_segment_version(durable->parts[part].segment->segment, place) == load_le64(value.data);
}

static forage_status settle_apply(store_txn *t, void *self, base_error *error) {
    settle_job *job = self;
    uint8_t(*keys)[4] = mem_alloc(SETTLE_AT_ONCE * sizeof *keys), from[4];
    size_t n = 0, seen = 0;
    store_cursor *cursor = NULL;
    slice key, value;
    store_be32(from, job->from);
    forage_status status = store_cursor_open(t, STORE_PENDING, (slice){(const char *)from, 4}, &cursor, error);
    if (status != FORAGE_OK) goto done;
    job->more = false;
    while (store_cursor_next(cursor, &key, &value)) {
        if (seen++ == SETTLE_AT_ONCE) {
            job->more = key.size == 4;
            job->next = job->more ? load_be32(key.data) : 0;
            break;
        }
        if (settled(t, job->durable, key, value)) memcpy(keys[n++], key.data, 4);
    }
    store_cursor_close(cursor);
    for (size_t i = 0; i < n && status == FORAGE_OK; i++)
        status = store_delete(t, STORE_PENDING, (slice){(const char *)keys[i], 4}, error);
done:
    free(keys);
    return status;
}

/* In steps, so that nobody's commit waits long; each is right by itself. */
forage_status index_settle_pending(sparse_index *index, const index_draft *durable, base_error *error) {
    settle_job job = {.durable = durable, .more = true};
    forage_status status = FORAGE_OK;
    while (status == FORAGE_OK && job.more) {
        job.from = job.next;
        status = store_write(index->store, &(store_job){.apply = settle_apply, .self = &job}, error);
    }
    return status;
}

/* --- checking ---------------------------------------------------------------------------------------------------- */

forage_status index_check_manifest(sparse_index *index, base_error *error) {
    index_stored stored;
    forage_status status = index_stored_read(index->store, &stored, error);
    if (status != FORAGE_OK) return status;
    index_snapshot *current = index_acquire(index);
    if (stored.incomplete)
        status = error_set(error, FORAGE_E_CORRUPT, "index: files were lost and are not rebuilt yet");
    for (size_t i = 0; i < stored.n_files && status == FORAGE_OK; i++) {
        const index_file *f = &stored.files[i];
        char *path = index_file_path(index->folder, f->number);
        if (!find_open(current, f))
            status = error_set(error, FORAGE_E_CORRUPT, "%s: in the manifest, but not open", path);
        else if (stored.unreadable[i])
            status = error_set(error, FORAGE_E_CORRUPT, "%s: its live places are damaged", path);
        else if (!os_exists(path)) status = error_set(error, FORAGE_E_CORRUPT, "%s: missing", path);
        free(path);
    }
    index_release(current);
    index_stored_release(&stored);
    return status;
}
