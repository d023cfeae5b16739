/* The index's life: changes, merges, files, crashes, damage. A small collection of model documents does what index.h
 * asks of a collection; the truth is what its store says. */
#include "sparse_model.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "os/clock.h"
#include "os/file.h"
#include "sparse/index.h"
#include "sparse/segment_format.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>

enum { DOCUMENTS = 400 };

typedef struct world {
    char folder[512], segments[600];
    store *store;
    sparse_index *index;
    sparse_config config;
    bool damaged;
    uint64_t next_version;
} world;

/* A document's content follows from its number and version. */
static model_document content(uint32_t document, uint64_t version) {
    random_source r;
    random_seed(&r, document * 1000003ull + version);
    return model_make(&r, document, version);
}

typedef struct change {
    world *w;
    uint32_t documents[DOCUMENTS];
    uint64_t versions[DOCUMENTS];
    size_t n;
    bool deletes;
} change;

static forage_status change_apply(store_txn *t, void *self, base_error *error) {
    change *c = self;
    forage_status status = FORAGE_OK;
    for (size_t i = 0; i < c->n && status == FORAGE_OK; i++) {
        uint8_t key[4], value[8];
        store_be32(key, c->documents[i]);
        store_le64(value, c->versions[i]);
        slice k = {(const char *)key, 4}, v = {(const char *)value, 8};
        status = store_put(t, STORE_PENDING, k, v, error);
        if (status != FORAGE_OK) return status;
        status = c->deletes ? store_delete(t, STORE_DOCUMENTS, k, error) : store_put(t, STORE_DOCUMENTS, k, v, error);
    }
    return status;
}

static void image_of(sparse_index *index, const uint32_t *documents, const uint64_t *versions, size_t n, buffer *out) {
    model_document *d = mem_zalloc(n, sizeof *d);
    for (size_t i = 0; i < n; i++) d[i] = content(documents[i], versions[i]);
    sparse_statistics batch, all;
    model_statistics(d, n, &batch);
    sparse_index_statistics(index, &batch, &all);
    model_image(d, n, &all, out);
    free(d);
}

static void change_committed(void *self, forage_status status) {
    change *c = self;
    buffer image = {0};
    if (status != FORAGE_OK) return;
    if (c->deletes) {
        assert_ok(sparse_index_apply(c->w->index, &image, c->documents, c->n, NULL));
        return;
    }
    image_of(c->w->index, c->documents, c->versions, c->n, &image);
    assert_ok(sparse_index_apply(c->w->index, &image, NULL, 0, NULL));
}

static void commit(change *c) {
    base_error error;
    for (size_t i = 0; i < c->n; i++) c->versions[i] = c->w->next_version++;
    store_job job = {change_apply, change_committed, c};
    if (store_write(c->w->store, &job, &error) != FORAGE_OK) fail_msg("%s", error.message);
}

static void put(world *w, uint32_t first, uint32_t n) {
    change c = {.w = w, .n = n};
    for (uint32_t i = 0; i < n; i++) c.documents[i] = first + i;
    commit(&c);
}

static void delete(world *w, uint32_t document) {
    change c = {.w = w, .n = 1, .deletes = true, .documents = {document}};
    commit(&c);
}

/* Applies what `table` names and the snapshot does not have at that version; kills what is pending and deleted. */
static void index_missing(world *w, store_table table) {
    store_txn *t;
    store_cursor *cursor;
    slice key, value;
    uint32_t documents[4 * DOCUMENTS], dead[4 * DOCUMENTS];
    uint64_t versions[4 * DOCUMENTS];
    size_t n = 0, n_dead = 0;
    const sparse_snapshot *s = sparse_index_acquire(w->index);
    assert_ok(store_read_begin(w->store, &t, NULL));
    assert_ok(store_cursor_open(t, table, (slice){0}, &cursor, NULL));
    while (store_cursor_next(cursor, &key, &value)) {
        uint32_t document = load_be32(key.data), part, place;
        uint64_t version = load_le64(value.data);
        if (version >= w->next_version) w->next_version = version + 1;
        if (store_get(t, STORE_DOCUMENTS, key, &value) != FORAGE_OK) {
            dead[n_dead++] = document;
            continue;
        }
        version = load_le64(value.data);
        if (version >= w->next_version) w->next_version = version + 1;
        if (sparse_snapshot_find(s, document, &part, &place) &&
            sparse_segment_version(s->parts[part].segment, place) == version)
            continue;
        documents[n] = document;
        versions[n++] = version;
    }
    store_cursor_close(cursor);
    store_read_end(t);
    sparse_index_release(w->index, s);
    buffer image = {0};
    if (n > 0) image_of(w->index, documents, versions, n, &image);
    assert_ok(sparse_index_apply(w->index, &image, dead, n_dead, NULL));
}

static void open_world(world *w, bool read_only) {
    base_error error = {0};
    store_options options = {.read_only = read_only, .no_sync = true};
    snprintf(w->segments, sizeof w->segments, "%s/segments", w->folder);
    if (!read_only) assert_ok(os_make_folders(w->segments, NULL));
    if (store_open(w->folder, &options, &w->store, &error) != FORAGE_OK) fail_msg("%s", error.message);
    if (sparse_index_open(w->segments, w->store, &w->config, &w->index, &w->damaged, &error) != FORAGE_OK)
        fail_msg("%s", error.message);
    index_missing(w, w->damaged ? STORE_DOCUMENTS : STORE_PENDING);
}

static void close_world(world *w) {
    sparse_index_close(w->index);
    store_close(w->store);
    w->index = NULL;
    w->store = NULL;
}

static world *new_world(void) {
    world *w = mem_zalloc(1, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "%s", testing_folder());
    w->config = model_config;
    w->next_version = 1;
    open_world(w, false);
    return w;
}

static void end_world(world *w) {
    close_world(w);
    assert_ok(os_remove_tree(w->folder, NULL));
    free(w);
}

/* The documents of a live posting list over the parts, marked; each may be there once. */
static size_t mark_term(const sparse_snapshot *s, slice key, uint8_t *marks) {
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_parts; i++) {
        sparse_term t;
        if (!sparse_segment_term(s->parts[i].segment, key, &t)) continue;
        for (uint32_t b = 0; b < t.n_blocks; b++) {
            uint32_t places[SPARSE_BLOCK + 8];
            uint8_t impacts[SPARSE_BLOCK + 8];
            uint32_t got = sparse_block_decode(&t, b, places, impacts);
            for (uint32_t j = 0; j < got; j++) {
                const uint64_t *live = s->parts[i].live;
                if (live && !(live[places[j] / 64] >> places[j] % 64 & 1)) continue;
                assert_int_equal(marks[sparse_segment_document(s->parts[i].segment, places[j])]++, 0);
                n++;
            }
        }
    }
    return n;
}

/* The snapshot has exactly the documents of the store, at their versions and with their words. */
static void check_world(world *w) {
    static uint64_t versions[4 * DOCUMENTS];
    memset(versions, 0, sizeof versions);
    store_txn *t;
    store_cursor *cursor;
    slice key, value;
    size_t n = 0;
    const sparse_snapshot *s = sparse_index_acquire(w->index);
    assert_ok(store_read_begin(w->store, &t, NULL));
    assert_ok(store_cursor_open(t, STORE_DOCUMENTS, (slice){0}, &cursor, NULL));
    while (store_cursor_next(cursor, &key, &value)) {
        uint32_t document = load_be32(key.data), part, place;
        versions[document] = load_le64(value.data);
        assert_true(sparse_snapshot_find(s, document, &part, &place));
        assert_int_equal(sparse_segment_version(s->parts[part].segment, place), versions[document]);
        n++;
    }
    store_cursor_close(cursor);
    store_read_end(t);
    assert_int_equal(s->live_documents, n);
    arena a;
    arena_init(&a, 0);
    for (uint32_t word = 0; word < MODEL_WORDS; word += 17) {
        uint8_t marks[4 * DOCUMENTS] = {0};
        char room[32];
        mark_term(s, sparse_text_key(&a, model_word(word, room)), marks);
        for (uint32_t d = 0; d < 4 * DOCUMENTS; d++) {
            model_document m = content(d, versions[d]);
            uint32_t tf = model_frequency(&m, MODEL_TITLE, word) + model_frequency(&m, MODEL_BODY, word);
            assert_int_equal(marks[d], versions[d] > 0 && tf > 0);
        }
    }
    arena_release(&a);
    sparse_index_release(w->index, s);
    base_error error = {0};
    if (sparse_index_check(w->index, &error) != FORAGE_OK) fail_msg("%s", error.message);
}

static size_t count_table(world *w, store_table table) {
    store_txn *t;
    assert_ok(store_read_begin(w->store, &t, NULL));
    size_t n = store_count(t, table);
    store_read_end(t);
    return n;
}

static size_t list_files(world *w, arena *a, char ***names) {
    size_t n;
    assert_ok(os_list(w->segments, a, names, &n, NULL));
    return n;
}

static size_t count_files(world *w) {
    arena a;
    char **names;
    arena_init(&a, 0);
    size_t n = list_files(w, &a, &names);
    arena_release(&a);
    return n;
}

static void random_change(world *w, random_source *r) {
    uint32_t first = (uint32_t)random_below(r, DOCUMENTS - 20);
    switch (random_below(r, 8)) {
    case 0: delete(w, first); break;
    case 1: put(w, first, 20); break;
    default: put(w, first, 1); break;
    }
}

/* --- tests ------------------------------------------------------------------------------------------------------- */

static void changes_are_visible_at_once_and_survive(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 11);
    world *w = new_world();
    const sparse_snapshot *empty = sparse_index_acquire(w->index);
    assert_int_equal(empty->n_parts + empty->live_documents, 0);
    uint64_t generation = empty->generation;
    sparse_index_release(w->index, empty);
    for (int round = 0; round < 12; round++) {
        for (int i = 0; i < 40; i++) random_change(w, &r);
        check_world(w);
        if (round % 3 == 1) assert_ok(sparse_index_flush(w->index, NULL));
        if (round % 5 == 2) assert_ok(sparse_index_optimize(w->index, NULL));
        check_world(w);
        if (round % 4 != 3) continue;
        close_world(w);
        open_world(w, false);
        assert_false(w->damaged);
        check_world(w);
    }
    const sparse_snapshot *s = sparse_index_acquire(w->index);
    assert_true(s->generation > generation || s->n_parts > 0);
    sparse_index_release(w->index, s);
    end_world(w);
}

static void flushing_settles_what_is_pending(void **state) {
    (void)state;
    world *w = new_world();
    put(w, 0, 50);
    put(w, 10, 5);
    delete(w, 3);
    delete(w, 77); /* was never there */
    assert_int_equal(count_table(w, STORE_PENDING), 51);
    assert_ok(sparse_index_flush(w->index, NULL));
    assert_int_equal(count_table(w, STORE_PENDING), 0);
    assert_int_equal(count_files(w), 1);
    sparse_index_info info;
    sparse_index_describe(w->index, &info);
    assert_int_equal(info.documents, 49);
    assert_int_equal(info.segments, 1);
    assert_int_equal(info.memory_segments + info.dead + info.memory_bytes, 0);
    assert_true(info.file_bytes > 0 && info.terms > 0);

    delete(w, 4); /* lives in the file: the manifest's bitmap has to say so before the entry may go */
    put(w, 5, 1);
    assert_int_equal(count_table(w, STORE_PENDING), 2);
    assert_ok(sparse_index_flush(w->index, NULL));
    assert_int_equal(count_table(w, STORE_PENDING), 0);
    assert_int_equal(count_files(w), 2);
    close_world(w);
    open_world(w, false);
    check_world(w);
    assert_ok(sparse_index_optimize(w->index, NULL));
    assert_int_equal(count_files(w), 1);
    sparse_index_describe(w->index, &info);
    assert_int_equal(info.segments, 1);
    assert_int_equal(info.documents, 48);
    assert_int_equal(info.dead, 0);
    check_world(w);
    for (uint32_t d = 0; d < 50; d++) delete(w, d);
    assert_ok(sparse_index_flush(w->index, NULL));
    assert_int_equal(count_files(w), 0);
    close_world(w);
    open_world(w, false);
    check_world(w);
    end_world(w);
}

static void a_process_killed_at_any_moment_loses_nothing(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 12);
    world *w = new_world();
    close_world(w);
    for (int round = 0; round < 10; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        fflush(NULL);
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0) {
            random_seed(&r, 100 + (uint64_t)round);
            open_world(w, false);
            for (int i = 0;; i++) {
                random_change(w, &r);
                if (i % 16 == 5) sparse_index_flush(w->index, NULL);
                if (i % 64 == 20) sparse_index_optimize(w->index, NULL);
                uint64_t acknowledged = w->next_version - 1;
                if (write(ends[1], &acknowledged, sizeof acknowledged) < 0) _exit(1);
            }
        }
        close(ends[1]);
        uint64_t acknowledged = 0, seen;
        usleep((useconds_t)(20000 + random_below(&r, 150000)));
        kill(child, SIGKILL);
        while (read(ends[0], &seen, sizeof seen) == sizeof seen) acknowledged = seen;
        close(ends[0]);
        assert_int_equal(waitpid(child, NULL, 0), child);
        open_world(w, false);
        assert_false(w->damaged);
        check_world(w);
        assert_true(w->next_version > acknowledged || count_table(w, STORE_DOCUMENTS) > 0 || acknowledged == 0);
        arena a;
        char **names;
        arena_init(&a, 0);
        size_t n = list_files(w, &a, &names);
        for (size_t i = 0; i < n; i++) assert_null(strstr(names[i], "tmp"));
        arena_release(&a);
        close_world(w);
        if (w->next_version <= acknowledged) w->next_version = acknowledged + 1;
    }
    open_world(w, false);
    end_world(w);
}

/* The file as a program of that format would have written its header. */
static void set_format(buffer *bytes, uint32_t version) {
    segment_header h;
    memcpy(&h, bytes->data, sizeof h);
    h.version = version;
    memcpy(bytes->data, &h, sizeof h);
    uint64_t end = h.table + h.n_sections * sizeof(segment_section), first = segment_hash(bytes->data, end, 0);
    memcpy(bytes->data + end, &first, sizeof first);
    h.checksum = hash64(bytes->data + end, bytes->size - end, 0);
    memcpy(bytes->data, &h, sizeof h);
}

enum { REMOVED, BIT_FLIPPED, CUT, MANIFEST_SPOILED, BITMAP_SPOILED, OLDER_FORMAT, WAYS, NEWER_FORMAT = WAYS, OWN_FORMAT };

static bool damages_file(int how) { return how != MANIFEST_SPOILED && how != BITMAP_SPOILED; }

static void damage_file(world *w, int how) {
    arena a;
    char **names;
    buffer bytes = {0};
    arena_init(&a, 0);
    assert_true(list_files(w, &a, &names) > 0);
    char *path = path_join(&a, w->segments, names[0]);
    if (how == REMOVED) assert_ok(os_remove_file(path, NULL));
    if (how != REMOVED) {
        assert_ok(os_read_file(path, 0, &bytes, NULL));
        if (how == BIT_FLIPPED) bytes.data[bytes.size / 2] ^= 4;
        if (how == OLDER_FORMAT) set_format(&bytes, SEGMENT_VERSION - 1);
        if (how == NEWER_FORMAT) set_format(&bytes, SEGMENT_VERSION + 1);
        if (how == OWN_FORMAT) set_format(&bytes, SEGMENT_VERSION);
        assert_ok(os_write_file(path, bytes.data, how == CUT ? bytes.size / 2 : bytes.size, NULL));
    }
    buffer_release(&bytes);
    arena_release(&a);
}

static forage_status spoil(store_txn *t, void *self, base_error *error) {
    return store_put(t, STORE_META, slice_of(self), SLICE("nonsense"), error);
}

static void lost_files_are_reported_until_rebuilt(void **state) {
    (void)state;
    log_set_level(LOG_SILENT);
    for (int how = 0; how < WAYS; how++) {
        world *w = new_world();
        put(w, 0, 100);
        assert_ok(sparse_index_flush(w->index, NULL));
        put(w, 100, 100);
        delete(w, 7);
        assert_ok(sparse_index_flush(w->index, NULL));
        if (!damages_file(how)) {
            char key[] = "manifest", live[] = "live/0000000000000001";
            store_job job = {.apply = spoil, .self = how == MANIFEST_SPOILED ? key : live};
            assert_ok(store_write(w->store, &job, NULL));
        }
        close_world(w);
        if (damages_file(how)) damage_file(w, how);

        store_options options = {.no_sync = true};
        assert_ok(store_open(w->folder, &options, &w->store, NULL));
        assert_ok(sparse_index_open(w->segments, w->store, &w->config, &w->index, &w->damaged, NULL));
        assert_true(w->damaged);
        put(w, 300, 1); /* a flush before all is rebuilt must not make the damage forgotten */
        assert_ok(sparse_index_flush(w->index, NULL));
        close_world(w);

        open_world(w, false);
        assert_true(w->damaged);
        sparse_index_repaired(w->index);
        assert_ok(sparse_index_flush(w->index, NULL));
        check_world(w);
        close_world(w);
        open_world(w, false);
        assert_false(w->damaged);
        check_world(w);
        end_world(w);
    }
    log_set_level(LOG_WARN);
}

static void files_of_a_newer_format_are_refused(void **state) {
    (void)state;
    world *w = new_world();
    put(w, 0, 100);
    close_world(w);
    damage_file(w, NEWER_FORMAT);
    base_error error = {0};
    store_options options = {.no_sync = true};
    assert_ok(store_open(w->folder, &options, &w->store, NULL));
    forage_status status = sparse_index_open(w->segments, w->store, &w->config, &w->index, &w->damaged, &error);
    assert_int_equal(status, FORAGE_E_VERSION);
    assert_non_null(strstr(error.message, "newer"));
    store_close(w->store);
    damage_file(w, OWN_FORMAT); /* the program that wrote it finds all as it was */
    open_world(w, false);
    assert_false(w->damaged);
    check_world(w);
    end_world(w);
}

static void strange_files_are_removed(void **state) {
    (void)state;
    world *w = new_world();
    put(w, 0, 10);
    close_world(w);
    char path[700];
    static const char *const names[] = {"00000000000000ff.seg", "0000000000000abc.seg.tmp", "notes.txt"};
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", w->segments, names[i]);
        assert_ok(os_write_file(path, "x", 1, NULL));
    }
    open_world(w, false);
    assert_int_equal(count_files(w), 2);
    put(w, 10, 1);
    assert_ok(sparse_index_flush(w->index, NULL)); /* numbers are not used again */
    snprintf(path, sizeof path, "%s/%016x.seg", w->segments, 0x100);
    assert_true(os_exists(path));
    check_world(w);
    end_world(w);
}

static void a_failing_disk_leaves_everything_searchable(void **state) {
    (void)state;
    log_set_level(LOG_SILENT);
    world *w = new_world();
    char away[700];
    snprintf(away, sizeof away, "%s.away", w->segments);
    put(w, 0, 30);
    assert_ok(sparse_index_flush(w->index, NULL));
    put(w, 20, 30);
    delete(w, 1);
    assert_ok(os_rename(w->segments, away, NULL));
    base_error error = {0};
    assert_true(sparse_index_flush(w->index, &error) != FORAGE_OK);
    assert_true(error.message[0] != '\0');
    assert_int_equal(count_table(w, STORE_PENDING), 31);
    put(w, 60, 1);
    assert_ok(os_rename(away, w->segments, NULL));
    check_world(w);
    assert_ok(sparse_index_flush(w->index, NULL));
    assert_int_equal(count_table(w, STORE_PENDING), 0);
    check_world(w);
    end_world(w);
    log_set_level(LOG_WARN);
}

static void the_higher_version_stays(void **state) {
    (void)state;
    world *w = new_world();
    uint32_t document = 5, part, place;
    for (int order = 0; order < 2; order++)
        for (int i = 0; i < 2; i++) {
            uint64_t version = (uint64_t)(10 * order + ((i == 0) == (order == 0) ? 2 : 1));
            buffer image = {0};
            image_of(w->index, &document, &version, 1, &image);
            assert_ok(sparse_index_apply(w->index, &image, NULL, 0, NULL));
        }
    const sparse_snapshot *s = sparse_index_acquire(w->index);
    assert_int_equal(s->live_documents, 1);
    assert_true(sparse_snapshot_find(s, document, &part, &place));
    assert_int_equal(sparse_segment_version(s->parts[part].segment, place), 12);
    sparse_index_release(w->index, s);
    buffer bad = {0};
    buffer_puts(&bad, "no segment at all");
    assert_int_equal(sparse_index_apply(w->index, &bad, NULL, 0, NULL), FORAGE_E_CORRUPT);
    assert_null(bad.data);
    end_world(w);
}

static void fields_are_added(void **state) {
    (void)state;
    world *w = mem_zalloc(1, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "%s", testing_folder());
    w->next_version = 1;
    w->config = model_config;
    w->config.n_fields = 1;
    w->config.popularity = -1;
    open_world(w, false);
    sparse_builder *b = sparse_builder_create(&w->config);
    uint32_t documents[] = {3};
    uint64_t versions[] = {1};
    sparse_builder_begin(b);
    sparse_builder_term(b, MODEL_TITLE, SLICE("old"));
    sparse_statistics st;
    sparse_builder_statistics(b, &st);
    buffer image = {0};
    sparse_builder_finish(b, documents, versions, &st, &image);
    sparse_builder_destroy(b);
    assert_ok(sparse_index_apply(w->index, &image, NULL, 0, NULL));

    uint64_t version = 2;
    uint32_t document = 4;
    image_of(w->index, &document, &version, 1, &image);
    assert_int_equal(sparse_index_apply(w->index, &image, NULL, 0, NULL), FORAGE_E_INVALID); /* too early */
    const sparse_snapshot *before = sparse_index_acquire(w->index);
    assert_ok(sparse_index_extend(w->index, &model_config, NULL));
    assert_int_equal(before->config->n_fields, 1);
    sparse_index_release(w->index, before);
    image_of(w->index, &document, &version, 1, &image);
    assert_ok(sparse_index_apply(w->index, &image, NULL, 0, NULL));
    const sparse_snapshot *s = sparse_index_acquire(w->index);
    assert_int_equal(s->config->n_fields, MODEL_FIELDS);
    assert_string_equal(s->config->fields[MODEL_YEAR].name, "year");
    assert_int_equal(s->n_parts, 2);
    sparse_index_release(w->index, s);
    assert_ok(sparse_index_optimize(w->index, NULL));
    s = sparse_index_acquire(w->index);
    assert_int_equal(s->n_parts, 1);
    assert_int_equal(sparse_segment_fields(s->parts[0].segment), MODEL_FIELDS);
    sparse_index_release(w->index, s);
    assert_ok(sparse_index_extend(w->index, &model_config, NULL));
    assert_int_equal(sparse_index_extend(w->index, &w->config, NULL), FORAGE_E_SCHEMA);
    end_world(w);
}

/* --- readers ----------------------------------------------------------------------------------------------------- */

typedef struct readers {
    world *w;
    atomic_bool stop;
    atomic_uint checked;
} readers;

/* A snapshot stays what it was, and names each document once. */
static void *read_on(void *argument) {
    readers *r = argument;
    arena a;
    arena_init(&a, 0);
    char room[32];
    slice key = sparse_text_key(&a, model_word(0, room));
    while (!atomic_load(&r->stop)) {
        uint8_t marks[4 * DOCUMENTS] = {0}, again[4 * DOCUMENTS] = {0};
        const sparse_snapshot *s = sparse_index_acquire(r->w->index);
        uint64_t live = 0;
        for (uint32_t i = 0; i < s->n_parts; i++) live += s->parts[i].n_live;
        if (live != s->live_documents) abort();
        size_t n = mark_term(s, key, marks);
        usleep(500);
        if (mark_term(s, key, again) != n || memcmp(marks, again, sizeof marks) != 0) abort();
        sparse_index_release(r->w->index, s);
        atomic_fetch_add(&r->checked, 1);
    }
    arena_release(&a);
    return NULL;
}

static void *optimize_on(void *argument) {
    readers *r = argument;
    for (int i = 0; !atomic_load(&r->stop); i++) {
        if ((i % 4 ? sparse_index_flush : sparse_index_optimize)(r->w->index, NULL) != FORAGE_OK) abort();
        usleep(3000);
    }
    return NULL;
}

static void snapshots_hold_while_others_write_and_merge(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 13);
    world *w = new_world();
    readers r = {.w = w};
    pthread_t threads[4];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, read_on, &r), 0);
    assert_int_equal(pthread_create(&threads[3], NULL, optimize_on, &r), 0);
    for (int i = 0; i < 600; i++) random_change(w, &random);
    atomic_store(&r.stop, true);
    for (int i = 0; i < 4; i++) pthread_join(threads[i], NULL);
    assert_true(atomic_load(&r.checked) > 0);
    check_world(w);
    sparse_index_info info;
    sparse_index_describe(w->index, &info);
    assert_true(info.segments < 40);
    close_world(w);
    open_world(w, false);
    check_world(w);
    end_world(w);
}

/* Follows the writing process: says what it has after each line that the parent sends. */
static void follow(world *w, int commands, int answers) {
    bool changed;
    char command;
    open_world(w, true);
    while (read(commands, &command, 1) == 1) {
        if (sparse_index_refresh(w->index, &changed, NULL) != FORAGE_OK) _exit(2);
        index_missing(w, STORE_PENDING);
        check_world(w);
        sparse_index_info info;
        sparse_index_describe(w->index, &info);
        uint64_t answer = info.documents << 8 | (info.segments - info.memory_segments);
        if (sparse_index_flush(w->index, NULL) != FORAGE_E_READ_ONLY) _exit(3);
        if (write(answers, &answer, sizeof answer) != sizeof answer) _exit(4);
    }
    close_world(w);
    _exit(0);
}

static uint64_t ask(int commands, int answers) {
    uint64_t answer = 0;
    assert_int_equal(write(commands, "?", 1), 1);
    assert_int_equal(read(answers, &answer, sizeof answer), sizeof answer);
    return answer;
}

static void another_process_follows(void **state) {
    (void)state;
    world *w = new_world();
    put(w, 0, 40);
    int commands[2], answers[2];
    assert_int_equal(pipe(commands), 0);
    assert_int_equal(pipe(answers), 0);
    close_world(w);
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        close(commands[1]);
        close(answers[0]);
        usleep(100000);
        follow(w, commands[0], answers[1]);
    }
    close(commands[0]);
    close(answers[1]);
    open_world(w, false);
    assert_int_equal(ask(commands[1], answers[0]), 40 << 8 | 1);
    put(w, 30, 20); /* in memory here, pending there */
    delete(w, 2);
    assert_int_equal(ask(commands[1], answers[0]), 49 << 8 | 1);
    delete(w, 45); /* there in memory, too */
    put(w, 31, 1);
    assert_int_equal(ask(commands[1], answers[0]), 48 << 8 | 1);
    delete(w, 46);
    assert_ok(sparse_index_flush(w->index, NULL)); /* now there is no trace of 46 anywhere */
    assert_int_equal(ask(commands[1], answers[0]), 47 << 8 | 2);
    put(w, 32, 1);
    assert_ok(sparse_index_optimize(w->index, NULL)); /* the files it reads from are gone */
    assert_int_equal(ask(commands[1], answers[0]), 47 << 8 | 1);
    assert_int_equal(ask(commands[1], answers[0]), 47 << 8 | 1);
    close(commands[1]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(answers[0]);
    end_world(w);
}

/* Prints how fast single documents are published; asserts only that segments do not pile up. */
static void rate(void **state) {
    (void)state;
    enum { N = 3000 };
    world *w = new_world();
    int64_t start = clock_monotonic(&os_clock_system), most = 0;
    uint32_t parts = 0;
    for (uint32_t i = 0; i < N; i++) {
        uint32_t document = i;
        uint64_t version = i + 1;
        buffer image = {0};
        image_of(w->index, &document, &version, 1, &image);
        int64_t begin = clock_monotonic(&os_clock_system);
        assert_ok(sparse_index_apply(w->index, &image, NULL, 0, NULL));
        int64_t took = clock_monotonic(&os_clock_system) - begin;
        if (took > most) most = took;
        const sparse_snapshot *s = sparse_index_acquire(w->index);
        if (s->n_parts > parts) parts = s->n_parts;
        sparse_index_release(w->index, s);
    }
    int64_t end = clock_monotonic(&os_clock_system);
    printf("%d documents published one by one: %.1f us each, %.1f ms at most, %u segments at most\n", N,
           (double)(end - start) / N, (double)most / 1e3, parts);
    assert_true(parts < 150);
    end_world(w);
}

int main(void) {
    signal(SIGPIPE, SIG_IGN);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(changes_are_visible_at_once_and_survive),
        cmocka_unit_test(flushing_settles_what_is_pending),
        cmocka_unit_test(a_process_killed_at_any_moment_loses_nothing),
        cmocka_unit_test(lost_files_are_reported_until_rebuilt),
        cmocka_unit_test(files_of_a_newer_format_are_refused),
        cmocka_unit_test(strange_files_are_removed),
        cmocka_unit_test(a_failing_disk_leaves_everything_searchable),
        cmocka_unit_test(the_higher_version_stays),
        cmocka_unit_test(fields_are_added),
        cmocka_unit_test(snapshots_hold_while_others_write_and_merge),
        cmocka_unit_test(another_process_follows),
        cmocka_unit_test(rate),
    };
    return cmocka_run_group_tests_name("sparse_index", tests, NULL, NULL);
}
