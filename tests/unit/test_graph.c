/* The graph of what the same people engage with; and a user's trace in the log, which can be wiped. */
#include "store_bench.h"

#include "memory/graph.h"
#include "memory/profile_trace.h"

#include "base/bytes.h"

#define NOW ((int64_t)1700000000 * 1000000)
#define HALF (30 * DECAY_DAY)

typedef struct tie {
    uint32_t document;
    const graph_edge *others;
    size_t n;
    int64_t time, now;
} tie;

static forage_status tie_apply(store_txn *t, void *self, base_error *error) {
    const tie *x = self;
    return graph_link(t, x->document, x->others, x->n, x->time, x->now, HALF, error);
}

static void link_at(bench *b, uint32_t document, uint32_t other, float weight, int64_t time, int64_t now) {
    graph_edge edge = {other, weight};
    tie x = {document, &edge, 1, time, now};
    assert_ok(store_write(b->s, &(store_job){tie_apply, NULL, &x}, NULL));
}

static size_t neighbours(bench *b, uint32_t document, int64_t now, graph_edge out[GRAPH_DEGREE]) {
    store_txn *t;
    assert_ok(store_read_begin(b->s, &t, NULL));
    size_t n = graph_neighbours(t, NULL, document, now, HALF, out);
    store_read_end(t);
    return n;
}

static void test_ties_go_both_ways_and_age(void **state) {
    bench *b = *state;
    graph_edge out[GRAPH_DEGREE];
    link_at(b, 1, 2, 1, NOW, NOW);
    link_at(b, 1, 3, 1, NOW + HALF, NOW + HALF);
    link_at(b, 1, 1, 1, NOW, NOW); /* nothing */
    link_at(b, 1, 4, NAN, NOW, NOW);
    assert_int_equal(neighbours(b, 1, NOW + HALF, out), 2);
    assert_int_equal(out[0].document, 3);
    assert_float_equal(out[1].weight, 0.5, 1e-4);
    assert_int_equal(neighbours(b, 2, NOW + HALF, out), 1);
    assert_float_equal(out[0].weight, 0.5, 1e-4);
    assert_int_equal(neighbours(b, 9, NOW, out), 0);
    link_at(b, 1, 2, 1, NOW - 3650 * DECAY_DAY, NOW + HALF); /* long ago: hardly anything */
    neighbours(b, 1, NOW + HALF, out);
    assert_float_equal(out[1].weight, 0.5, 1e-3);
    link_at(b, 5, 6, 1, NOW + 3650 * DECAY_DAY, NOW + 3650 * DECAY_DAY); /* and by a clock that was wrong */
    link_at(b, 5, 7, 1.5f, NOW, NOW);
    neighbours(b, 5, NOW, out);
    assert_int_equal(out[0].document, 7);
}

static void test_degree_is_bounded(void **state) {
    bench *b = *state;
    graph_edge out[GRAPH_DEGREE];
    for (uint32_t i = 0; i < 10; i++)
        for (int k = 0; k < 20; k++) link_at(b, 1, 100 + i, 1, NOW, NOW);
    for (uint32_t i = 0; i < 500; i++) link_at(b, 1, 1000 + i, 0.5f, NOW, NOW); /* passers-by */
    for (int k = 0; k < 30; k++) link_at(b, 1, 7, 1, NOW, NOW);                  /* one that stays */
    size_t n = neighbours(b, 1, NOW, out);
    assert_true(n <= GRAPH_DEGREE);
    assert_int_equal(out[0].document, 7);
    assert_float_equal(out[0].weight, 30, 1e-3);
    for (int i = 1; i <= 10; i++) assert_true(out[i].document >= 100 && out[i].document < 110);
}

static void test_the_walk(void **state) {
    bench *b = *state;
    graph_edge out[16], again[16], seed = {1, 1};
    link_at(b, 1, 2, 3, NOW, NOW);
    link_at(b, 1, 3, 1, NOW, NOW);
    link_at(b, 3, 4, 1, NOW, NOW);
    link_at(b, 10, 11, 5, NOW, NOW); /* elsewhere */
    store_txn *t;
    arena a;
    arena_init(&a, 0);
    assert_ok(store_read_begin(b->s, &t, NULL));
    size_t n = graph_walk(t, NULL, &seed, 1, NOW, HALF, 16, &a, out);
    assert_int_equal(graph_walk(t, NULL, &seed, 1, NOW, HALF, 16, &a, again), n);
    assert_memory_equal(out, again, n * sizeof *out);
    float place[16] = {0};
    for (size_t i = 0; i < n; i++) place[out[i].document] = out[i].weight;
    assert_true(place[2] > place[3] && place[3] > place[4] && place[4] > 0 && place[10] == 0 && place[11] == 0);
    assert_int_equal(graph_walk(t, NULL, &seed, 1, NOW, HALF, 2, &a, out), 2);
    assert_int_equal(graph_walk(t, NULL, NULL, 0, NOW, HALF, 2, &a, out), 0);
    assert_int_equal(graph_walk(t, NULL, &(graph_edge){1, -1}, 1, NOW, HALF, 2, &a, out), 0);
    store_read_end(t);
    arena_release(&a);
}

static forage_status damage_apply(store_txn *t, void *self, base_error *error) {
    char bytes[1024];
    uint8_t key[4];
    memset(bytes, 0xFF, sizeof bytes);
    bytes[0] = 1;
    store_be32(key, 1);
    return store_put(t, STORE_GRAPH, (slice){(const char *)key, 4}, (slice){bytes, *(size_t *)self}, error);
}

static void test_damaged_rows_are_empty(void **state) {
    bench *b = *state;
    graph_edge out[GRAPH_DEGREE];
    for (size_t size = 0; size < 1024; size += 7) {
        assert_ok(store_write(b->s, &(store_job){damage_apply, NULL, &size}, NULL));
        assert_int_equal(neighbours(b, 1, NOW, out), 0);
    }
    link_at(b, 1, 2, 1, NOW, NOW);
    assert_int_equal(neighbours(b, 1, NOW, out), 1);
}

/* ---- A user's trace ---- */

#define ANNA "anna-4711-unique"

typedef struct log_line {
    uint64_t sequence;
    slice bytes;
} log_line;

static forage_status log_apply(store_txn *t, void *self, base_error *error) {
    const log_line *l = self;
    uint8_t key[8];
    store_be64(key, l->sequence);
    return store_append(t, STORE_LOG, (slice){(const char *)key, 8}, l->bytes, error);
}

static void log_impression(bench *b, uint64_t sequence, const char *user, const char *session, const char *query) {
    record_impression r = {.time = NOW, .query_id = SLICE("q"), .query = slice_of(query), .user = slice_of(user),
                           .session = slice_of(session), .context = SLICE("{\"who\":\"" ANNA "\"}")};
    buffer bytes = {0};
    record_write_impression(&r, &bytes);
    log_line l = {sequence, {bytes.data, bytes.size}};
    assert_ok(store_write(b->s, &(store_job){log_apply, NULL, &l}, NULL));
    buffer_release(&bytes);
}

static void log_event(bench *b, uint64_t sequence, const char *user, const char *session) {
    record_event e = {.time = NOW, .event_id = SLICE(ANNA "/1"), .query_id = SLICE("q"), .action = SLICE("click"),
                      .user = slice_of(user), .session = slice_of(session), .document_id = SLICE("d1"), .credit = 0.5f};
    buffer bytes = {0};
    record_write_event(&e, &bytes);
    log_line l = {sequence, {bytes.data, bytes.size}};
    assert_ok(store_write(b->s, &(store_job){log_apply, NULL, &l}, NULL));
    buffer_release(&bytes);
}

static forage_status profile_apply(store_txn *t, void *self, base_error *error) {
    static profile p;
    hash128 key;
    const slice *names = self;
    profile_init(&p);
    profile_key(names[0], names[1], &key);
    return profile_write(t, &key, &p, error);
}

static void make_profile(bench *b, const char *user, const char *session) {
    slice names[2] = {slice_of(user), slice_of(session)};
    assert_ok(store_write(b->s, &(store_job){profile_apply, NULL, names}, NULL));
}

static size_t records_of(bench *b, const char *user) {
    store_txn *t;
    profile_trace *trace;
    uint64_t sequence = 0;
    slice record;
    size_t n = 0;
    assert_ok(store_read_begin(b->s, &t, NULL));
    assert_ok(profile_trace_create(t, slice_of(user), &trace, NULL));
    while (profile_trace_next(trace, t, &sequence, &record)) n++;
    profile_trace_destroy(trace);
    store_read_end(t);
    return n;
}

/* Whether any live key or value holds the text. */
static bool stored(bench *b, slice text) {
    store_txn *t;
    bool found = false;
    assert_ok(store_read_begin(b->s, &t, NULL));
    for (int table = 0; table < STORE_TABLES; table++) {
        store_cursor *c;
        slice key, value;
        assert_ok(store_cursor_open(t, (store_table)table, (slice){0}, &c, NULL));
        while (store_cursor_next(c, &key, &value))
            found |= memmem(key.data, key.size, text.data, text.size) || memmem(value.data, value.size, text.data, text.size);
        store_cursor_close(c);
    }
    store_read_end(t);
    return found;
}

static size_t in_file(const bench *b, slice text) {
    arena a;
    buffer bytes = {0};
    size_t n = 0;
    arena_init(&a, 0);
    assert_ok(os_read_file(path_join(&a, b->folder, "store.mdb"), 0, &bytes, NULL));
    for (char *at = bytes.data; (at = memmem(at, bytes.size - (size_t)(at - bytes.data), text.data, text.size)) != NULL; at++) n++;
    buffer_release(&bytes);
    arena_release(&a);
    return n;
}

static void test_a_user_is_forgotten(void **state) {
    bench *b = *state;
    profile_forgotten done;
    uint64_t sequence = 1;
    for (int i = 0; i < 400; i++) {
        log_impression(b, sequence++, ANNA, "s-anna", "books for " ANNA);
        log_event(b, sequence++, ANNA, "s-anna");
        log_impression(b, sequence++, "bert", "s-bert", "books");
    }
    log_impression(b, sequence++, "", "s-anna", "before she said who she is");
    log_impression(b, sequence++, "carl", "s-anna", "on her computer");
    make_profile(b, ANNA, "");
    make_profile(b, "", "s-anna");
    make_profile(b, "bert", "");
    assert_int_equal(records_of(b, ANNA), 801);
    assert_int_equal(records_of(b, "anna"), 0);
    assert_ok(profile_forget(b->s, SLICE(ANNA), &done, NULL));
    assert_int_equal(done.impressions, 401);
    assert_int_equal(done.events, 400);
    assert_int_equal(done.profiles, 2);
    assert_int_equal(done.unreadable, 0);
    assert_int_equal(records_of(b, ANNA), 0);
    assert_int_equal(records_of(b, "bert"), 400);
    assert_int_equal(records_of(b, "carl"), 1); /* still his, but the session says nothing any more */
    assert_false(stored(b, SLICE("s-anna")));
    assert_int_equal(in_file(b, SLICE("s-anna")), 0);
    assert_int_equal(in_file(b, SLICE("books for " ANNA)), 0);
    assert_ok(profile_forget(b->s, SLICE(ANNA), &done, NULL));
    assert_int_equal(done.impressions + done.events + done.profiles, 0);
    assert_int_equal(profile_forget(b->s, (slice){0}, &done, NULL), FORAGE_E_INVALID);
    assert_ok(store_check(b->s, NULL));
}

/* Damaged records are not lost, but say no more who it was. */
static void test_damaged_records_are_blanked(void **state) {
    bench *b = *state;
    profile_forgotten done;
    log_line l = {7, SLICE("\x01\x01 no record, but " ANNA " and s-anna stand in it")};
    log_impression(b, 6, ANNA, "s-anna", "books");
    assert_ok(store_write(b->s, &(store_job){log_apply, NULL, &l}, NULL));
    l = (log_line){8, SLICE("\x02 not hers")};
    assert_ok(store_write(b->s, &(store_job){log_apply, NULL, &l}, NULL));
    assert_ok(profile_forget(b->s, SLICE(ANNA), &done, NULL));
    assert_int_equal(done.unreadable, 1);
    assert_int_equal(in_file(b, SLICE(ANNA)) + in_file(b, SLICE("s-anna")), 0);
    assert_int_equal(in_file(b, SLICE("not hers")), 1);
}

static void test_many_sessions(void **state) {
    bench *b = *state;
    profile_forgotten done;
    char session[32];
    for (int i = 0; i < 60; i++) {
        snprintf(session, sizeof session, "s-anna-%03d-x", i);
        log_impression(b, (uint64_t)i * 2 + 1, ANNA, session, "books");
        log_impression(b, (uint64_t)i * 2 + 2, "", session, "before");
    }
    log_impression(b, 500, "", "s-anna-1", "somebody else's");
    assert_int_equal(records_of(b, ANNA), 120);
    assert_ok(profile_forget(b->s, SLICE(ANNA), &done, NULL));
    assert_int_equal(done.impressions, 120);
    assert_int_equal(in_file(b, SLICE("s-anna-0")), 0);
    assert_int_equal(in_file(b, SLICE("s-anna-1")), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_ties_go_both_ways_and_age, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(test_degree_is_bounded, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(test_the_walk, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(test_damaged_rows_are_empty, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(test_a_user_is_forgotten, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(test_damaged_records_are_blanked, bench_begin, bench_end),
        cmocka_unit_test_setup_teardown(test_many_sessions, bench_begin, bench_end),
    };
    return cmocka_run_group_tests_name("graph", tests, NULL, NULL);
}
