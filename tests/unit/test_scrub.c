/* Scrubbing a store: what was deleted or replaced is in no byte of the file, does not come back, and nothing else changes. */
#include "store_bench.h"

#include "base/bytes.h"
#include "base/random.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/wait.h>
#include <time.h>

#define SECRET "do-not-tell-anybody-0815"
#define ENTRIES 3000

typedef enum doing { PUT_SECRET, PUT_OTHER, DELETE } doing;

typedef struct span {
    uint32_t from, to, seed;
    doing what;
} span;

/* Some short, some that fill a page, some of several pages. */
static size_t size_of(uint32_t i, uint32_t seed) { return 40 + (i * 7919u + seed * 104729u) % (i % 50 ? 300 : 11000); }

static slice value_of(buffer *room, uint32_t i, const span *x) {
    size_t size = size_of(i, x->seed);
    buffer_clear(room);
    buffer_reserve(room, size + 64);
    while (room->size < size) buffer_printf(room, x->what == PUT_SECRET ? SECRET "-%u " : "entry %u of anybody ", i);
    return (slice){room->data, room->size};
}

static forage_status change_apply(store_txn *t, void *self, base_error *error) {
    const span *x = self;
    buffer room = {0};
    forage_status status = FORAGE_OK;
    for (uint32_t i = x->from; !status && i < x->to; i++) {
        uint8_t name[4];
        store_be32(name, i);
        slice key = {(const char *)name, 4};
        status = x->what == DELETE ? store_delete(t, STORE_LOG, key, error)
                                   : store_put(t, STORE_LOG, key, value_of(&room, i, x), error);
    }
    buffer_release(&room);
    return status;
}

static void change(store *s, doing what, uint32_t from, uint32_t to, uint32_t seed) {
    span x = {from, to, seed, what};
    assert_ok(store_write(s, &(store_job){change_apply, NULL, &x}, NULL));
}

static size_t in_file(const char *folder) {
    arena a;
    buffer bytes = {0};
    size_t n = 0;
    arena_init(&a, 0);
    assert_ok(os_read_file(path_join(&a, folder, "store.mdb"), 0, &bytes, NULL));
    for (char *at = bytes.data; (at = memmem(at, bytes.size - (size_t)(at - bytes.data), SECRET, strlen(SECRET))); at++) n++;
    buffer_release(&bytes);
    arena_release(&a);
    return n;
}

static bool holds(store_txn *t, uint32_t i, const span *x) {
    uint8_t name[4];
    slice value;
    buffer room = {0};
    store_be32(name, i);
    bool same = store_get(t, STORE_LOG, (slice){(const char *)name, 4}, &value) == FORAGE_OK &&
                slice_equal(value, value_of(&room, i, x));
    buffer_release(&room);
    return same;
}

static void assert_holds(store *s, uint32_t from, uint32_t to, uint32_t seed) {
    store_txn *t;
    span x = {from, to, seed, PUT_OTHER};
    assert_ok(store_read_begin(s, &t, NULL));
    for (uint32_t i = from; i < to; i++) assert_true(holds(t, i, &x));
    store_read_end(t);
}

/* What one process wrote and replaced in many transactions, and then goes on to write. */
static void nothing_remains(void **state) {
    bench *b = *state;
    for (uint32_t i = 0; i < ENTRIES; i += 100) change(b->s, i % 300 ? PUT_SECRET : PUT_OTHER, i, i + 100, 0);
    for (uint32_t i = 0; i < ENTRIES; i += 100)
        if (i % 300) change(b->s, i % 200 ? DELETE : PUT_OTHER, i, i + 100, 1);
    assert_true(in_file(b->folder) > 100); /* or this test tests nothing */
    assert_ok(store_scrub(b->s, NULL));
    assert_int_equal(in_file(b->folder), 0);
    assert_ok(store_check(b->s, NULL));
    for (uint32_t i = 0; i < ENTRIES; i += 300) assert_holds(b->s, i, i + 100, 0);
    for (uint32_t i = 0; i < ENTRIES; i += 100)
        if (i % 300 && i % 200 == 0) assert_holds(b->s, i, i + 100, 1);
    for (uint32_t i = 0; i < ENTRIES; i += 10) { /* few in each: the pages have room */
        change(b->s, PUT_OTHER, i, i + 10, 2);
        change(b->s, PUT_OTHER, ENTRIES + i, ENTRIES + i + 5, 3);
        if (i % 30 == 0) change(b->s, DELETE, ENTRIES + i, ENTRIES + i + 4, 3);
    }
    assert_int_equal(in_file(b->folder), 0);
    assert_holds(b->s, 0, ENTRIES, 2);
    assert_ok(store_check(b->s, NULL));
    assert_ok(store_scrub(b->s, NULL));
    bench_close(b);
    bench_open(b);
    assert_holds(b->s, 0, ENTRIES, 2);
}

static void an_empty_store_and_a_read_only_one(void **state) {
    bench *b = *state;
    base_error error;
    store_options reading = {.read_only = true};
    assert_ok(store_scrub(b->s, NULL));
    assert_ok(store_check(b->s, NULL));
    store_close(b->s);
    assert_ok(store_open(b->folder, &reading, &b->s, NULL));
    assert_int_equal(store_scrub(b->s, &error), FORAGE_E_READ_ONLY);
}

typedef struct late {
    store *s;
    store_txn *t;
    atomic_bool *over;
} late;

static void *read_for_a_while(void *self) {
    late *l = self;
    span x = {0, 100, 0, PUT_SECRET};
    nanosleep(&(struct timespec){.tv_nsec = 100000000}, NULL);
    for (uint32_t i = 0; i < 100; i++) assert_true(holds(l->t, i, &x)); /* what it began to read is still there */
    atomic_store(l->over, true);
    store_read_end(l->t);
    return NULL;
}

static void it_waits_for_readers_of_an_older_state(void **state) {
    bench *b = *state;
    atomic_bool over = false;
    late l = {b->s, NULL, &over};
    pthread_t thread;
    change(b->s, PUT_SECRET, 0, 100, 0);
    assert_ok(store_read_begin(b->s, &l.t, NULL));
    change(b->s, PUT_OTHER, 0, 100, 0);
    pthread_create(&thread, NULL, read_for_a_while, &l);
    assert_ok(store_scrub(b->s, NULL));
    assert_true(atomic_load(&over));
    pthread_join(thread, NULL);
    assert_int_equal(in_file(b->folder), 0);
}

typedef struct onlooker {
    store *s;
    atomic_bool *stop;
    atomic_size_t looked;
} onlooker;

static void *look_on(void *self) {
    onlooker *o = self;
    while (!atomic_load(o->stop)) {
        assert_holds(o->s, 0, 50, 0);
        o->looked++;
    }
    return NULL;
}

static void readers_and_writers_go_on(void **state) {
    bench *b = *state;
    atomic_bool stop = false;
    onlooker lookers[2] = {{b->s, &stop, 0}, {b->s, &stop, 0}};
    pthread_t threads[2];
    change(b->s, PUT_OTHER, 0, 50, 0);
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, look_on, &lookers[i]);
    for (int i = 0; i < 2; i++)
        while (!atomic_load(&lookers[i].looked)) sched_yield();
    for (uint32_t round = 0; round < 20; round++) {
        change(b->s, PUT_SECRET, 50, 400, round);
        change(b->s, round % 2 ? PUT_OTHER : DELETE, 50, 400, round);
        assert_ok(store_scrub(b->s, NULL));
        assert_int_equal(in_file(b->folder), 0);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) {
        pthread_join(threads[i], NULL);
    }
}

/* Writes, forgets and scrubs until it is killed. */
static void work(const char *folder) {
    store *s;
    if (store_open(folder, &bench_options, &s, NULL)) _exit(1);
    for (uint32_t seed = 5;; seed++) {
        change(s, PUT_SECRET, 1000, 1400, seed);
        change(s, DELETE, 1000, 1400, seed);
        if (store_scrub(s, NULL)) _exit(2);
    }
}

static void killed_in_the_middle(void **state) {
    bench *b = *state;
    random_source random;
    random_seed(&random, 3);
    change(b->s, PUT_OTHER, 0, 1000, 0);
    for (int round = 0; round < 25; round++) {
        int how;
        bench_close(b);
        pid_t child = fork();
        if (child == 0) work(b->folder);
        nanosleep(&(struct timespec){.tv_nsec = 5000000 + (long)random_below(&random, 60000000)}, NULL);
        kill(child, SIGKILL);
        assert_int_equal(waitpid(child, &how, 0), child);
        assert_true(WIFSIGNALED(how));
        bench_open(b);
        assert_ok(store_check(b->s, NULL));
        assert_holds(b->s, 0, 1000, 0);
        change(b->s, DELETE, 1000, 1400, 0);
        assert_ok(store_scrub(b->s, NULL));
        assert_int_equal(in_file(b->folder), 0);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_remains, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(an_empty_store_and_a_read_only_one, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(it_waits_for_readers_of_an_older_state, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(readers_and_writers_go_on, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(killed_in_the_middle, bench_begin, bench_end),
    };
    return cmocka_run_group_tests_name("scrub", tests, NULL, NULL);
}
