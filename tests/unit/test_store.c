/* The store: round trips, order, group commit, isolation of failures, crashes, full disks, damaged files. */
#include "testing.h"

#include "base/bytes.h"
#include "base/random.h"
#include "os/file.h"
#include "store/store.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static char folder[600], file[700];

static int set_up(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "%s/c", testing_folder());
    snprintf(file, sizeof file, "%s/store.mdb", folder);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    folder[strlen(folder) - 2] = '\0';
    assert_ok(os_remove_tree(folder, NULL));
    return 0;
}

static const store_options fast = {.no_sync = true};
static const store_options reading = {.read_only = true};

static store *must_open(const store_options *options) {
    store *s = NULL;
    base_error error = {0};
    forage_status status = store_open(folder, options, &s, &error);
    if (status) fail_msg("%s: %s", status_name(status), error.message);
    return s;
}

/* --- A job that puts some pairs, and may fail before or after. --- */

typedef struct pairs {
    store_table table;
    slice keys[4], values[4];
    int count;
    bool append, fail_before, fail_after;
    forage_status told;  /* by `committed` */
    atomic_int *sequence; /* when set: numbers the calls of `committed` */
    int place, applied;
} pairs;

static forage_status apply_puts(store_txn *t, void *self, base_error *error) {
    pairs *p = self;
    p->applied++;
    if (p->fail_before) return error_set(error, FORAGE_E_INVALID, "refused");
    for (int i = 0; i < p->count; i++) {
        forage_status status = p->append ? store_append(t, p->table, p->keys[i], p->values[i], error)
                                         : store_put(t, p->table, p->keys[i], p->values[i], error);
        if (status) return status;
    }
    return p->fail_after ? error_set(error, FORAGE_E_DOCUMENT, "failed halfway") : FORAGE_OK;
}

static void committed_puts(void *self, forage_status status) {
    pairs *p = self;
    p->told = status;
    if (p->sequence) p->place = atomic_fetch_add(p->sequence, 1);
}

static store_job job_of(pairs *p) {
    p->told = 1;
    return (store_job){apply_puts, committed_puts, p};
}

static forage_status put_one(store *s, store_table table, slice key, slice value, base_error *error) {
    pairs p = {.table = table, .keys = {key}, .values = {value}, .count = 1};
    store_job job = job_of(&p);
    return store_write(s, &job, error);
}

static bool has(store *s, store_table table, slice key, const char *value) {
    store_txn *t = NULL;
    slice found;
    assert_ok(store_read_begin(s, &t, NULL));
    forage_status status = store_get(t, table, key, &found);
    bool same = !status && (!value || slice_is(found, value));
    store_read_end(t);
    return same;
}

static uint64_t count_of(store *s, store_table table) {
    store_txn *t = NULL;
    assert_ok(store_read_begin(s, &t, NULL));
    uint64_t count = store_count(t, table);
    store_read_end(t);
    return count;
}

static forage_status apply_nothing(store_txn *t, void *self, base_error *error) {
    (void)t, (void)self, (void)error;
    return FORAGE_OK;
}

/* --- Tests --- */

static void round_trips_and_survives_reopening(void **state) {
    (void)state;
    store *s = must_open(NULL);
    assert_false(store_read_only(s));
    uint64_t before = store_commit_number(s);
    assert_ok(put_one(s, STORE_IDS, SLICE("a"), SLICE("1"), NULL));
    assert_ok(put_one(s, STORE_IDS, SLICE("b"), (slice){0}, NULL));
    assert_ok(put_one(s, STORE_DOCUMENTS, SLICE("a"), SLICE("other table"), NULL));
    assert_ok(put_one(s, STORE_IDS, SLICE("a"), SLICE("2"), NULL));
    assert_true(store_commit_number(s) == before + 4);
    assert_true(has(s, STORE_IDS, SLICE("a"), "2"));
    assert_true(has(s, STORE_IDS, SLICE("b"), ""));
    assert_true(has(s, STORE_DOCUMENTS, SLICE("a"), "other table"));
    assert_false(has(s, STORE_IDS, SLICE("c"), NULL));
    assert_true(store_bytes(s) >= 4096);
    store_close(s);
    s = must_open(NULL);
    assert_true(store_commit_number(s) == before + 4); /* opening writes nothing */
    assert_true(has(s, STORE_IDS, SLICE("a"), "2"));
    assert_true(count_of(s, STORE_IDS) == 2 && count_of(s, STORE_MODELS) == 0);
    assert_ok(store_check(s, NULL));
    store_close(s);
    store_close(NULL);
}

static void large_values_and_long_keys(void **state) {
    (void)state;
    store *s = must_open(&fast);
    size_t size = 5 << 20;
    char *big = mem_alloc(size), *key = mem_alloc(600);
    memset(big, 'x', size);
    memset(key, 'k', 600);
    base_error error = {0};
    assert_ok(put_one(s, STORE_MODELS, (slice){key, 511}, (slice){big, size}, NULL));
    assert_int_equal(put_one(s, STORE_MODELS, (slice){key, 512}, SLICE("v"), &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "512"));
    assert_int_equal(put_one(s, STORE_MODELS, (slice){0}, SLICE("v"), &error), FORAGE_E_INVALID);
    store_txn *t = NULL;
    slice value;
    store_cursor *c = NULL;
    assert_ok(store_read_begin(s, &t, NULL));
    assert_ok(store_get(t, STORE_MODELS, (slice){key, 511}, &value));
    assert_true(value.size == size && memcmp(value.data, big, size) == 0);
    assert_int_equal(store_get(t, STORE_MODELS, (slice){key, 600}, &value), FORAGE_E_NOT_FOUND);
    assert_int_equal(store_get(t, STORE_MODELS, (slice){0}, &value), FORAGE_E_NOT_FOUND);
    assert_int_equal(store_cursor_open(t, STORE_MODELS, (slice){key, 512}, &c, &error), FORAGE_E_INVALID);
    store_read_end(t);
    store_read_end(NULL);
    assert_ok(store_check(s, NULL));
    free(big);
    free(key);
    store_close(s);
}

static forage_status apply_many(store_txn *t, void *self, base_error *error) {
    uint32_t *range = self;
    for (uint32_t i = range[0]; i < range[1]; i++) {
        char key[4];
        store_be32(key, i * 3);
        forage_status status = store_append(t, STORE_PENDING, (slice){key, 4}, (slice){key, 4}, error);
        if (status) return status;
    }
    return FORAGE_OK;
}

static forage_status apply_delete_while_walking(store_txn *t, void *self, base_error *error) {
    store_cursor *c = NULL;
    slice key, value;
    char from[4];
    uint32_t *removed = self;
    store_be32(from, 300);
    forage_status status = store_cursor_open(t, STORE_PENDING, (slice){from, 4}, &c, error);
    if (status) return status;
    while (!status && store_cursor_next(c, &key, &value) && load_be32(key.data) < 600) {
        char copy[4];
        memcpy(copy, key.data, 4);
        status = store_delete(t, STORE_PENDING, (slice){copy, 4}, error);
        ++*removed;
    }
    store_cursor_close(c);
    return status ? status : store_delete(t, STORE_PENDING, SLICE("none"), error);
}

static void cursors_walk_in_order(void **state) {
    (void)state;
    store *s = must_open(&fast);
    uint32_t upper[] = {5000, 10000}, lower[] = {0, 5000}, removed = 0;
    store_job job = {apply_many, NULL, upper};
    assert_ok(store_write(s, &job, NULL));
    job.self = lower; /* appends that are not greater are ordinary puts */
    assert_ok(store_write(s, &job, NULL));
    store_txn *t = NULL;
    store_cursor *c = NULL;
    slice key, value;
    assert_ok(store_read_begin(s, &t, NULL));
    assert_ok(store_cursor_open(t, STORE_PENDING, (slice){0}, &c, NULL));
    uint32_t count = 0;
    for (; store_cursor_next(c, &key, &value); count++) assert_true(load_be32(key.data) == count * 3);
    assert_int_equal(count, 10000);
    assert_false(store_cursor_next(c, &key, &value));
    store_cursor_close(c);
    char from[4];
    store_be32(from, 14998);
    assert_ok(store_cursor_open(t, STORE_PENDING, (slice){from, 4}, &c, NULL));
    assert_true(store_cursor_next(c, &key, &value) && load_be32(key.data) == 15000);
    store_cursor_close(c);
    assert_ok(store_last_key(t, STORE_PENDING, &key));
    assert_true(load_be32(key.data) == 9999 * 3);
    assert_int_equal(store_last_key(t, STORE_LOG, &key), FORAGE_E_NOT_FOUND);
    assert_ok(store_cursor_open(t, STORE_LOG, (slice){0}, &c, NULL));
    assert_false(store_cursor_next(c, &key, &value));
    store_cursor_close(c);
    store_cursor_close(NULL);

    job = (store_job){apply_delete_while_walking, NULL, &removed};
    assert_ok(store_write(s, &job, NULL));
    assert_int_equal(removed, 100);
    assert_true(store_count(t, STORE_PENDING) == 10000); /* the snapshot is what it was */
    store_read_end(t);
    assert_true(count_of(s, STORE_PENDING) == 9900);
    assert_ok(store_check(s, NULL));
    store_close(s);
}

typedef struct crowd {
    store *s;
    int number, jobs;
} crowd;

static void *write_alone(void *argument) {
    crowd *c = argument;
    for (int i = 0; i < c->jobs; i++) {
        char key[16];
        snprintf(key, sizeof key, "%d-%d", c->number, i);
        assert_ok(put_one(c->s, STORE_IDS, slice_of(key), SLICE("v"), NULL));
        assert_true(has(c->s, STORE_IDS, slice_of(key), "v")); /* acknowledged is visible */
    }
    return NULL;
}

static void concurrent_writes_share_commits(void **state) {
    (void)state;
    enum { THREADS = 8, JOBS = 40 };
    store *s = must_open(NULL);
    uint64_t before = store_commit_number(s);
    pthread_t threads[THREADS];
    crowd crowds[THREADS];
    for (int i = 0; i < THREADS; i++) {
        crowds[i] = (crowd){s, i, JOBS};
        assert_int_equal(pthread_create(&threads[i], NULL, write_alone, &crowds[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    uint64_t commits = store_commit_number(s) - before;
    assert_true(commits < THREADS * JOBS);
    assert_true(count_of(s, STORE_IDS) == THREADS * JOBS);
    store_close(s);
}

/* Holds the writer thread until it is opened, so that a test can build a group. */
typedef struct gate {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    bool inside, open;
} gate;

static forage_status apply_gate(store_txn *t, void *self, base_error *error) {
    (void)t, (void)error;
    gate *g = self;
    pthread_mutex_lock(&g->lock);
    g->inside = true;
    pthread_cond_broadcast(&g->changed);
    while (!g->open) pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
    return FORAGE_OK;
}

static void close_gate(store *s, gate *g) {
    *g = (gate){PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};
    store_job job = {apply_gate, NULL, g};
    assert_true(store_write_async(s, &job));
    pthread_mutex_lock(&g->lock);
    while (!g->inside) pthread_cond_wait(&g->changed, &g->lock);
    pthread_mutex_unlock(&g->lock);
}

static void open_gate(gate *g) {
    pthread_mutex_lock(&g->lock);
    g->open = true;
    pthread_cond_broadcast(&g->changed);
    pthread_mutex_unlock(&g->lock);
}

/* Ten jobs in one group, the fifth of which fails as told. */
static void run_group_with_failure(store *s, pairs *all, bool before, bool after, atomic_int *sequence) {
    gate g;
    close_gate(s, &g);
    static char keys[10][8];
    for (int i = 0; i < 10; i++) {
        snprintf(keys[i], sizeof keys[i], "k%d", i);
        all[i] = (pairs){.table = STORE_IDS, .keys = {slice_of(keys[i])}, .values = {SLICE("v")}, .count = 1,
                        .sequence = sequence};
        if (i == 5) all[i].fail_before = before, all[i].fail_after = after;
        store_job job = job_of(&all[i]);
        assert_true(store_write_async(s, &job));
    }
    open_gate(&g);
    store_wait(s);
    for (int i = 0; i < 10; i++) {
        bool failed = i == 5 && (before || after);
        assert_int_equal(all[i].place, i);
        assert_int_equal(all[i].told, !failed ? FORAGE_OK : before ? FORAGE_E_INVALID : FORAGE_E_DOCUMENT);
        assert_int_equal(has(s, STORE_IDS, slice_of(keys[i]), NULL), !failed);
    }
}

static void failing_jobs_fail_alone(void **state) {
    (void)state;
    store *s = must_open(&fast);
    pairs all[10];
    atomic_int sequence = 0;
    uint64_t before = store_commit_number(s);
    run_group_with_failure(s, all, true, false, &sequence);
    assert_true(store_commit_number(s) - before == 1); /* the others shared one commit */
    store_close(s);
    assert_ok(os_remove_tree(folder, NULL));

    s = must_open(&fast);
    sequence = 0;
    run_group_with_failure(s, all, false, true, &sequence); /* it had written: none of that may stay */
    assert_int_equal(all[5].applied, 1);
    assert_true(count_of(s, STORE_IDS) == 9);
    base_error error = {0};
    pairs one = {.table = STORE_IDS, .keys = {SLICE("x")}, .values = {SLICE("y")}, .count = 1, .fail_after = true};
    store_job job = job_of(&one);
    assert_int_equal(store_write(s, &job, &error), FORAGE_E_DOCUMENT);
    assert_string_equal(error.message, "failed halfway");
    assert_int_equal(one.told, FORAGE_E_DOCUMENT);
    assert_false(has(s, STORE_IDS, SLICE("x"), NULL));
    store_close(s);
}

static void queue_is_bounded_and_closing_finishes_it(void **state) {
    (void)state;
    store *s = must_open(&fast);
    gate g;
    close_gate(s, &g);
    pairs p = {.table = STORE_IDS, .keys = {SLICE("x")}, .values = {SLICE("y")}, .count = 1};
    store_job job = job_of(&p), nothing = {apply_nothing, NULL, NULL};
    int accepted = 0;
    while (accepted < 100000 && store_write_async(s, accepted ? &nothing : &job)) accepted++;
    assert_in_range(accepted, 65535, 65536);
    open_gate(&g);
    store_close(s);
    s = must_open(&reading);
    assert_true(has(s, STORE_IDS, SLICE("x"), "y"));
    base_error error = {0};
    assert_true(store_read_only(s));
    assert_int_equal(store_write(s, &job, &error), FORAGE_E_READ_ONLY);
    assert_false(store_write_async(s, &job));
    store_wait(s);
    store_close(s);
}

typedef struct chain {
    store *s;
    int left;
    atomic_int done;
} chain;

static void committed_chain(void *self, forage_status status) {
    chain *c = self;
    assert_ok(status);
    atomic_fetch_add(&c->done, 1);
    store_job next = {apply_nothing, committed_chain, c};
    if (c->left-- > 0) assert_true(store_write_async(c->s, &next));
}

static void callbacks_may_queue_more(void **state) {
    (void)state;
    store *s = must_open(&fast);
    chain c = {.s = s, .left = 20};
    store_job job = {apply_nothing, committed_chain, &c};
    assert_ok(store_write(s, &job, NULL));
    while (atomic_load(&c.done) < 21) store_wait(s);
    store_close(s);
}

static void the_map_grows(void **state) {
    (void)state;
    store_options small = {.no_sync = true, .map_size = 1 << 20};
    store *s = must_open(&small);
    char value[3000], key[4];
    memset(value, 'v', sizeof value);
    for (uint32_t i = 0; i < 3000; i++) {
        store_be32(key, i);
        assert_ok(put_one(s, STORE_LOG, (slice){key, 4}, (slice){value, sizeof value}, NULL));
        if (i % 100 == 0) assert_true(has(s, STORE_LOG, (slice){key, 4}, NULL));
    }
    assert_true(store_bytes(s) > 8 << 20);
    assert_true(count_of(s, STORE_LOG) == 3000);

    /* A reader that does not end keeps the map where it is: an error in time, and all is well once it ended. */
    store_txn *t = NULL;
    assert_ok(store_read_begin(s, &t, NULL));
    size_t size = 64 << 20;
    char *big = mem_zalloc(1, size);
    base_error error = {0};
    assert_int_equal(put_one(s, STORE_MODELS, SLICE("m"), (slice){big, size}, &error), FORAGE_E_FULL);
    assert_non_null(strstr(error.message, "reader"));
    assert_true(store_count(t, STORE_LOG) == 3000);
    store_read_end(t);
    assert_ok(put_one(s, STORE_MODELS, SLICE("m"), (slice){big, size}, &error));
    free(big);
    assert_ok(store_check(s, NULL));
    store_close(s);
}

static void *grow_and_read(void *argument) {
    crowd *c = argument;
    random_source r;
    random_seed(&r, (uint64_t)c->number);
    char key[8], value[2000];
    memset(value, c->number, sizeof value);
    for (int i = 0; i < c->jobs; i++) {
        store_be32(key, (uint32_t)c->number);
        store_be32(key + 4, (uint32_t)i);
        if (c->number < 2) {
            assert_ok(put_one(c->s, STORE_LOG, (slice){key, 8}, (slice){value, sizeof value}, NULL));
            continue;
        }
        store_txn *t = NULL;
        slice found;
        store_be32(key, (uint32_t)random_below(&r, 2));
        assert_ok(store_read_begin(c->s, &t, NULL));
        if (!store_get(t, STORE_LOG, (slice){key, 8}, &found)) assert_true(found.data[1999] == (char)key[3]);
        (void)store_commit_number(c->s);
        store_read_end(t);
    }
    return NULL;
}

static void readers_live_through_growth(void **state) {
    (void)state;
    store_options small = {.no_sync = true, .map_size = 1 << 18};
    store *s = must_open(&small);
    pthread_t threads[6];
    crowd crowds[6];
    for (int i = 0; i < 6; i++) {
        crowds[i] = (crowd){s, i, i < 2 ? 1000 : 5000};
        assert_int_equal(pthread_create(&threads[i], NULL, grow_and_read, &crowds[i]), 0);
    }
    for (int i = 0; i < 6; i++) pthread_join(threads[i], NULL);
    assert_true(count_of(s, STORE_LOG) == 2000);
    store_close(s);
}

/* Runs `body` in a child process; its result is the exit status. */
static int in_child(int (*body)(void)) {
    fflush(NULL);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) _exit(body());
    int status = 0;
    assert_int_equal(waitpid(child, &status, 0), child);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static int open_second_writer(void) {
    store *s = NULL;
    base_error error = {0};
    forage_status status = store_open(folder, &fast, &s, &error);
    char pid[32];
    snprintf(pid, sizeof pid, "(pid %ld)", (long)getppid());
    return status != FORAGE_E_LOCKED ? 1 : !strstr(error.message, pid) ? 2 : !strstr(error.message, folder) ? 3 : 0;
}

static int read_everything(void) {
    store *s = NULL;
    store_txn *t = NULL;
    slice value;
    store_options small = {.read_only = true, .map_size = 1 << 16}; /* less than there is */
    if (store_open(folder, &small, &s, NULL)) return 1;
    if (store_read_begin(s, &t, NULL) || store_get(t, STORE_IDS, SLICE("a"), &value) || !slice_is(value, "1")) return 2;
    store_read_end(t);
    store_close(s);
    return 0;
}

static void one_process_writes_many_read(void **state) {
    (void)state;
    store *s = must_open(NULL);
    assert_ok(put_one(s, STORE_IDS, SLICE("a"), SLICE("1"), NULL));
    assert_int_equal(in_child(open_second_writer), 0);
    assert_int_equal(in_child(read_everything), 0);
    store *second = NULL;
    base_error error = {0};
    assert_int_equal(store_open(folder, &fast, &second, &error), FORAGE_E_LOCKED);
    assert_non_null(strstr(error.message, "this process"));
    assert_int_equal(store_open(folder, &reading, &second, &error), FORAGE_E_LOCKED);
    store_close(s);
    s = must_open(&fast); /* the refused attempts left nothing behind */
    store_close(s);
}

/* A reader process opened before the file outgrew its map. */
static void another_process_outgrows_a_readers_map(void **state) {
    (void)state;
    store *s = must_open(&fast);
    assert_ok(put_one(s, STORE_IDS, SLICE("a"), SLICE("1"), NULL));
    store_close(s);
    int to_child[2], from_child[2];
    assert_int_equal(pipe(to_child) | pipe(from_child), 0);
    pid_t child = fork();
    if (child == 0) {
        store_options small = {.read_only = true, .map_size = 1 << 16};
        store_txn *t = NULL;
        slice value;
        char c = 'r';
        if (store_open(folder, &small, &s, NULL) || store_read_begin(s, &t, NULL)) _exit(1);
        if (store_count(t, STORE_MODELS) != 0) _exit(2);
        store_read_end(t);
        uint64_t before = store_commit_number(s);
        if (write(from_child[1], &c, 1) != 1 || read(to_child[0], &c, 1) != 1) _exit(3);
        if (store_commit_number(s) == before) _exit(4);
        if (store_read_begin(s, &t, NULL) || store_get(t, STORE_MODELS, SLICE("m"), &value)) _exit(5);
        if (value.size != 8 << 20 || value.data[value.size - 1] != 'z') _exit(6);
        store_read_end(t);
        store_close(s);
        _exit(0);
    }
    char c;
    assert_int_equal(read(from_child[0], &c, 1), 1);
    s = must_open(&fast);
    size_t size = 8 << 20;
    char *big = mem_alloc(size);
    memset(big, 'z', size);
    assert_ok(put_one(s, STORE_MODELS, SLICE("m"), (slice){big, size}, NULL));
    free(big);
    assert_int_equal(write(to_child[1], &c, 1), 1);
    int status = 0;
    waitpid(child, &status, 0);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
    store_close(s);
    for (int i = 0; i < 2; i++) close(to_child[i]), close(from_child[i]);
}

static void read_only_opens_create_nothing(void **state) {
    (void)state;
    store *s = NULL;
    base_error error = {0};
    assert_int_equal(store_open(folder, &reading, &s, &error), FORAGE_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "store.mdb"));
    assert_false(os_exists(folder));
    assert_ok(os_make_folders(folder, NULL));
    assert_int_equal(store_open(folder, &reading, &s, &error), FORAGE_E_NOT_FOUND);
    arena a;
    arena_init(&a, 0);
    char **names;
    size_t count;
    assert_ok(os_list(folder, &a, &names, &count, NULL));
    assert_int_equal(count, 0);
    arena_release(&a);
}

static int read_as_nobody(void) {
    if (geteuid() == 0 && setuid(65534) != 0) return 77;
    store *s = NULL;
    base_error error = {0};
    if (store_open(folder, &fast, &s, &error) != FORAGE_E_READ_ONLY) return 5;
    return read_everything();
}

static void reads_a_folder_it_may_not_write(void **state) {
    (void)state;
    store *s = must_open(&fast);
    assert_ok(put_one(s, STORE_IDS, SLICE("a"), SLICE("1"), NULL));
    store_close(s);
    char parent[600], lock[800];
    snprintf(parent, sizeof parent, "%s", folder);
    parent[strlen(parent) - 2] = '\0';
    chmod(parent, 0755);
    chmod(folder, 0555);
    snprintf(lock, sizeof lock, "%s-lock", file);
    assert_ok(os_remove_file(lock, NULL));
    int with_none = in_child(read_as_nobody);
    assert_int_equal(open(lock, O_CREAT | O_WRONLY, 0600) < 0, 0);
    chmod(lock, 0444);
    int with_unwritable = in_child(read_as_nobody);
    chmod(folder, 0755);
    assert_int_equal(with_none, 0);
    assert_int_equal(with_unwritable, 0);
}

static forage_status apply_format(store_txn *t, void *self, base_error *error) {
    return store_put(t, STORE_META, SLICE("format"), (slice){self, 4}, error);
}

static void refuses_a_newer_format(void **state) {
    (void)state;
    store *s = must_open(&fast);
    char format[4];
    store_le32(format, 7);
    store_job job = {apply_format, NULL, format};
    assert_ok(store_write(s, &job, NULL));
    store_close(s);
    for (int i = 0; i < 2; i++) {
        base_error error = {0};
        assert_int_equal(store_open(folder, i ? &fast : &reading, &s, &error), FORAGE_E_VERSION);
        assert_non_null(strstr(error.message, "format 7"));
        assert_non_null(strstr(error.message, "up to 1"));
    }
}

static void fill(store *s, int count) {
    char value[700], key[4];
    memset(value, 'v', sizeof value);
    for (int i = 0; i < count; i++) {
        store_be32(key, (uint32_t)i);
        assert_ok(put_one(s, STORE_DOCUMENTS, (slice){key, 4}, (slice){value, sizeof value}, NULL));
    }
}

static void assert_refused(const char *part) {
    store *s = NULL;
    for (int i = 0; i < 2; i++) {
        base_error error = {0};
        assert_int_equal(store_open(folder, i ? &fast : &reading, &s, &error), FORAGE_E_CORRUPT);
        assert_non_null(strstr(error.message, file));
        assert_non_null(strstr(error.message, "backup"));
        if (part) assert_non_null(strstr(error.message, part));
    }
}

static void refuses_files_cut_short_and_garbage(void **state) {
    (void)state;
    store *s = must_open(&fast);
    fill(s, 500);
    store_close(s);
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    for (off_t keep = info.st_size / 2; keep > 0; keep /= 2) {
        assert_int_equal(truncate(file, keep), 0);
        assert_refused(NULL);
    }
    assert_int_equal(truncate(file, 0), 0);
    assert_refused(NULL);
    char garbage[20000];
    memset(garbage, 'g', sizeof garbage);
    assert_ok(os_write_file(file, garbage, sizeof garbage, NULL));
    assert_refused("damaged");
}

/* LMDB leaves pages unwritten that came and went in one transaction: such a file is short, and sound. */
static forage_status apply_come_and_go(store_txn *t, void *self, base_error *error) {
    slice big = {self, 1 << 20};
    char key[8];
    snprintf(key, sizeof key, "kept%llu", (unsigned long long)store_count(t, STORE_IDS));
    forage_status status = store_put(t, STORE_IDS, slice_of(key), (slice){self, 5000}, error);
    if (!status) status = store_put(t, STORE_MODELS, SLICE("gone"), big, error);
    if (!status) status = store_delete(t, STORE_MODELS, SLICE("gone"), error);
    return status;
}

static void accepts_a_sound_file_that_is_short(void **state) {
    (void)state;
    store *s = must_open(&fast);
    char *big = mem_zalloc(1, 1 << 20);
    store_job job = {apply_come_and_go, NULL, big};
    for (int i = 0; i < 4; i++) assert_ok(store_write(s, &job, NULL));
    uint64_t expected = store_bytes(s);
    store_close(s);
    free(big);
    struct stat info;
    assert_int_equal(stat(file, &info), 0);
    assert_true((uint64_t)info.st_size < expected);
    for (int i = 0; i < 2; i++) {
        s = must_open(i ? &fast : &reading);
        assert_true(count_of(s, STORE_IDS) == 4);
        assert_ok(store_check(s, NULL));
        store_close(s);
    }
}

/* Whatever single byte of the structure is damaged, checking says so or finds nothing wrong, and does not crash. */
static void checking_survives_damage(void **state) {
    (void)state;
    store *s = must_open(&fast);
    fill(s, 60);
    store_close(s);
    buffer bytes = {0};
    assert_ok(os_read_file(file, 0, &bytes, NULL));
    random_source r;
    random_seed(&r, 7);
    int caught = 0;
    for (int i = 0; i < 60; i++) {
        size_t page = 2 + random_below(&r, bytes.size / 4096 - 2), at = page * 4096 + 8 + random_below(&r, 8);
        char before = bytes.data[at];
        bytes.data[at] ^= (char)(1 << random_below(&r, 8));
        assert_ok(os_write_file(file, bytes.data, bytes.size, NULL));
        base_error error = {0};
        if (store_open(folder, &reading, &s, &error) == FORAGE_OK) {
            caught += store_check(s, &error) == FORAGE_E_CORRUPT;
            store_close(s);
        } else {
            caught++;
        }
        bytes.data[at] = before;
    }
    assert_true(caught > 0);
    buffer_release(&bytes);
}

/* --- Crashes --- */

static void *write_until_killed(void *argument) {
    crowd *c = argument;
    for (uint32_t i = 0;; i++) {
        uint32_t record[2] = {(uint32_t)c->number, i};
        char value[300];
        memset(value, (int)i, sizeof value);
        if (put_one(c->s, STORE_LOG, (slice){(const char *)record, sizeof record}, (slice){value, sizeof value}, NULL))
            _exit(3);
        if (write(c->jobs, record, sizeof record) != sizeof record) _exit(4);
    }
    return NULL;
}

static void acknowledged_writes_survive_kill(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 11);
    int acknowledged = 0;
    for (int round = 0; round < 20; round++) {
        int ends[2];
        assert_int_equal(pipe(ends), 0);
        fflush(NULL);
        pid_t child = fork();
        if (child == 0) {
            store *s = NULL;
            if (store_open(folder, NULL, &s, NULL)) _exit(1);
            pthread_t thread;
            crowd one = {s, 2 * round, ends[1]}, two = {s, 2 * round + 1, ends[1]};
            if (pthread_create(&thread, NULL, write_until_killed, &one)) _exit(2);
            write_until_killed(&two);
        }
        close(ends[1]);
        struct timespec pause = {0, (long)(1000000 + random_below(&r, 40000000))};
        nanosleep(&pause, NULL);
        kill(child, SIGKILL);
        int status;
        waitpid(child, &status, 0);
        assert_true(WIFSIGNALED(status));
        store *s = must_open(NULL);
        uint32_t record[2];
        while (read(ends[0], record, sizeof record) == sizeof record) {
            assert_true(has(s, STORE_LOG, (slice){(const char *)record, sizeof record}, NULL));
            acknowledged++;
        }
        assert_ok(store_check(s, NULL));
        store_close(s);
        close(ends[0]);
    }
    assert_true(acknowledged > 0);
}

/* --- Full disks --- */

static int write_beyond_a_limit(void) {
    store *s = NULL;
    base_error error = {0};
    signal(SIGXFSZ, SIG_IGN);
    if (store_open(folder, NULL, &s, &error)) return 1;
    if (put_one(s, STORE_IDS, SLICE("a"), SLICE("1"), NULL)) return 2;
    struct rlimit limit, tight;
    getrlimit(RLIMIT_FSIZE, &limit);
    tight = limit;
    tight.rlim_cur = 1 << 20;
    setrlimit(RLIMIT_FSIZE, &tight);
    size_t size = 4 << 20;
    char *big = mem_zalloc(1, size);
    if (put_one(s, STORE_MODELS, SLICE("m"), (slice){big, size}, &error) != FORAGE_E_FULL) return 3;
    if (put_one(s, STORE_IDS, SLICE("b"), SLICE("2"), &error)) return 4; /* small ones still fit */
    setrlimit(RLIMIT_FSIZE, &limit);
    if (has(s, STORE_MODELS, SLICE("m"), NULL)) return 5;
    if (put_one(s, STORE_MODELS, SLICE("m"), (slice){big, size}, &error)) return 6;
    free(big);
    if (store_check(s, &error)) return 7;
    store_close(s);
    return 0;
}

static void a_full_disk_fails_the_write_only(void **state) {
    (void)state;
    assert_int_equal(in_child(write_beyond_a_limit), 0);
    store *s = must_open(NULL);
    assert_true(has(s, STORE_IDS, SLICE("b"), "2") && has(s, STORE_MODELS, SLICE("m"), NULL));
    store_close(s);
}

/* In a mount namespace of its own, so that nothing stays mounted. */
static int write_on_a_tiny_disk(void) {
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", folder, "tmpfs", 0, "size=3m") != 0)
        return 77;
    store *s = NULL;
    base_error error = {0};
    if (store_open(folder, NULL, &s, &error)) return 1;
    char value[20000], key[4];
    memset(value, 'v', sizeof value);
    uint32_t stored = 0;
    forage_status status = FORAGE_OK;
    while (!status && stored < 1000) {
        store_be32(key, stored);
        status = put_one(s, STORE_LOG, (slice){key, 4}, (slice){value, sizeof value}, &error);
        if (!status) stored++;
    }
    if (status != FORAGE_E_FULL || !strstr(error.message, folder)) return 2;
    if (stored < 20 || count_of(s, STORE_LOG) != stored) return 3;
    store_txn *readers[200] = {0}; /* their slots are there although the disk is full */
    for (int i = 0; i < 200; i++)
        if (store_read_begin(s, &readers[i], &error)) return 4;
    for (int i = 0; i < 200; i++) store_read_end(readers[i]);
    if (mount("tmpfs", folder, "tmpfs", MS_REMOUNT, "size=6m") != 0) return 5;
    for (int i = 0; i < 20; i++) {
        store_be32(key, stored++);
        if (put_one(s, STORE_LOG, (slice){key, 4}, (slice){value, sizeof value}, &error)) return 6;
    }
    if (store_check(s, &error)) return 7;
    store_close(s);
    if (store_open(folder, NULL, &s, &error) || count_of(s, STORE_LOG) != stored) return 8;
    store_close(s);
    return 0;
}

static void a_full_disk_is_survived(void **state) {
    (void)state;
    assert_ok(os_make_folders(folder, NULL));
    int result = in_child(write_on_a_tiny_disk);
    if (result == 77) {
        printf("SKIPPED: a small tmpfs cannot be mounted here\n");
        skip();
    }
    assert_int_equal(result, 0);
}

static int open_with_little_address_space(void) {
    struct rlimit limit = {(rlim_t)3 << 30, (rlim_t)3 << 30};
    if (setrlimit(RLIMIT_AS, &limit) != 0) return 77;
    store *s = NULL;
    if (store_open(folder, &fast, &s, NULL)) return 1;
    if (put_one(s, STORE_IDS, SLICE("a"), SLICE("1"), NULL)) return 2;
    store_close(s);
    return 0;
}

static void opens_with_little_address_space(void **state) {
    (void)state;
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    printf("SKIPPED: sanitizers need address space themselves\n");
    skip();
#endif
#ifdef __has_feature
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
    printf("SKIPPED: sanitizers need address space themselves\n");
    skip();
#endif
#endif
    assert_int_equal(in_child(open_with_little_address_space), 0);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        TEST(round_trips_and_survives_reopening), TEST(large_values_and_long_keys), TEST(cursors_walk_in_order),
        TEST(concurrent_writes_share_commits), TEST(failing_jobs_fail_alone),
        TEST(queue_is_bounded_and_closing_finishes_it), TEST(callbacks_may_queue_more), TEST(the_map_grows),
        TEST(readers_live_through_growth), TEST(one_process_writes_many_read),
        TEST(another_process_outgrows_a_readers_map), TEST(read_only_opens_create_nothing),
        TEST(reads_a_folder_it_may_not_write), TEST(refuses_a_newer_format), TEST(refuses_files_cut_short_and_garbage),
        TEST(accepts_a_sound_file_that_is_short), TEST(checking_survives_damage),
        TEST(acknowledged_writes_survive_kill),
        TEST(a_full_disk_fails_the_write_only), TEST(a_full_disk_is_survived), TEST(opens_with_little_address_space),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
