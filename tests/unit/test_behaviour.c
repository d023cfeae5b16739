/* Behaviour: one engagement told to profile, trends and graph, by somebody with one voice, however often it is said. */
#include "store_bench.h"

#include "memory/behaviour.h"

#include <pthread.h>
#include <stdatomic.h>

#define NOW ((int64_t)1700000000 * 1000000)
#define HALF DECAY_HALF_LIFE
#define SEGMENT 4711u

static void *load(store_txn *t) {
    behaviour *b;
    assert_ok(behaviour_open(t, 0, &b, NULL));
    return b;
}

static void unload(void *kept) { behaviour_close(kept); }

static int begin(void **state) { return bench_begin_with(state, load, unload); }

/* Events of one job. */
typedef struct batch {
    bench *b;
    const behaviour_event *events;
    behaviour_change *changes;
    size_t n;
} batch;

static forage_status batch_apply(store_txn *t, void *self, base_error *error) {
    const batch *x = self;
    forage_status status = FORAGE_OK;
    for (size_t i = 0; !status && i < x->n; i++)
        status = behaviour_record(x->b->kept, t, &x->events[i], &x->changes[i], error);
    return status;
}

static void batch_committed(void *self, forage_status status) {
    const batch *x = self;
    for (size_t i = 0; !status && i < x->n; i++) behaviour_committed(x->b->kept, &x->changes[i]);
}

static void record_all(bench *b, const behaviour_event *events, size_t n, behaviour_change *changes) {
    batch x = {b, events, changes, n};
    assert_ok(store_write(b->s, &(store_job){batch_apply, batch_committed, &x}, NULL));
}

static float record(bench *b, behaviour_event e) {
    behaviour_change change;
    if (!e.time) e.time = NOW;
    if (!e.now) e.now = e.time;
    if (!(e.credit != 0)) e.credit = 1;
    record_all(b, &e, 1, &change);
    return change.voice;
}

static float trend_of(const bench *b, uint64_t group, uint32_t document) {
    trend_document d = {document, 0};
    trend_weights(behaviour_trends(b->kept), group, NOW, &d, 1);
    return d.weight;
}

static float tie_of(const bench *b, uint32_t document, uint32_t other) {
    graph_edge out[GRAPH_DEGREE];
    store_txn *t;
    float weight = 0;
    assert_ok(store_read_begin(b->s, &t, NULL));
    size_t n = graph_neighbours(t, NULL, document, NOW, HALF, out);
    for (size_t i = 0; i < n; i++)
        if (out[i].document == other) weight = out[i].weight;
    store_read_end(t);
    return weight;
}

static bool profile_of(const bench *b, const char *user, const char *session, profile *out) {
    store_txn *t;
    hash128 key;
    assert_true(profile_key(slice_of(user), slice_of(session), &key));
    assert_ok(store_read_begin(b->s, &t, NULL));
    bool found = profile_read(t, &key, out);
    out->n_attributes = 0; /* their values are gone with the transaction */
    store_read_end(t);
    return found;
}

static uint64_t profiles(const bench *b) {
    store_txn *t;
    assert_ok(store_read_begin(b->s, &t, NULL));
    uint64_t n = store_count(t, STORE_PROFILES);
    store_read_end(t);
    return n;
}

#define EVENT(...) ((behaviour_event){__VA_ARGS__})

/* ---- Where it goes ---- */

static void one_engagement_is_told_to_all(void **state) {
    bench *b = *state;
    static profile p;
    uint64_t segments[] = {SEGMENT, SEGMENT + 1};
    uint32_t chosen[] = {7, 1, 8};
    profile_attribute genre = {2, SLICE("fantasy"), 0};
    assert_float_equal(record(b, EVENT(.user = SLICE("anna"), .document = 5)), 1, 1e-5);
    behaviour_event e = EVENT(.user = SLICE("anna"), .session = SLICE("s"), .document = 1, .credit = 0.5f, .segments = segments,
                              .n_segments = 2, .attributes = &genre, .n_attributes = 1, .type = SLICE("book"), .chosen = chosen,
                              .n_chosen = 3, .taught = true);
    assert_float_equal(record(b, e), 0.5, 1e-2);
    assert_float_equal(trend_of(b, TREND_EVERYONE, 1), 0.5, 1e-2);
    assert_float_equal(trend_of(b, SEGMENT, 1), 0.5, 1e-2);
    assert_float_equal(trend_of(b, SEGMENT + 1, 1), 0.5, 1e-2);
    assert_float_equal(trend_of(b, trend_type_group(SLICE("book")), 1), 0.5, 1e-2);
    assert_float_equal(trend_of(b, trend_type_group(SLICE("film")), 1), 0, 0);
    assert_float_equal(tie_of(b, 1, 5), 0.5, 1e-2);  /* what she engaged with before */
    assert_float_equal(tie_of(b, 7, 1), 0.25, 1e-2); /* what others chose after the same query */
    assert_float_equal(tie_of(b, 1, 1), 0, 0);
    assert_true(profile_of(b, "anna", "", &p));
    assert_int_equal(p.n_items, 2);
    assert_int_equal(p.items[1].origin, PROFILE_TAUGHT);
    assert_int_equal(p.n_segments, 2);
    assert_false(profile_of(b, "", "s", &p)); /* a session counts when nobody is named */
    record(b, EVENT(.session = SLICE("s"), .document = 1));
    assert_true(profile_of(b, "", "s", &p));
}

static void without_credit_nothing_happens(void **state) {
    bench *b = *state;
    static const float credits[] = {-1, NAN, -INFINITY};
    for (int i = 0; i < 3; i++)
        assert_float_equal(record(b, EVENT(.user = SLICE("anna"), .document = 1, .credit = credits[i])), 0, 0);
    assert_float_equal(trend_of(b, TREND_EVERYONE, 1), 0, 0);
    assert_int_equal(profiles(b), 0);
}

/* The store may run a job again: what it gives must be the same. */
static forage_status again_apply(store_txn *t, void *self, base_error *error) {
    batch *x = self;
    static int runs;
    forage_status status = batch_apply(t, x, error);
    return status ? status : runs++ == 0 ? error_set(error, FORAGE_E_INTERNAL, "not this time") : FORAGE_OK;
}

static void a_job_that_runs_again_gives_the_same(void **state) {
    bench *b = *state;
    behaviour_event events[] = {EVENT(.user = SLICE("anna"), .document = 1, .credit = 1, .time = NOW, .now = NOW),
                                EVENT(.user = SLICE("anna"), .document = 2, .credit = 1, .time = NOW, .now = NOW)};
    behaviour_change changes[2];
    batch x = {b, events, changes, 2};
    assert_int_equal(store_write(b->s, &(store_job){again_apply, NULL, &x}, NULL), FORAGE_E_INTERNAL);
    assert_float_equal(trend_of(b, TREND_EVERYONE, 1), 0, 0);
    assert_int_equal(profiles(b), 0);
    assert_ok(store_write(b->s, &(store_job){again_apply, batch_committed, &x}, NULL));
    assert_float_equal(changes[0].voice, 1, 1e-5);
    assert_float_equal(trend_of(b, TREND_EVERYONE, 1), 1, 1e-3);
    assert_float_equal(tie_of(b, 1, 2), 1, 1e-2);
}

static void it_is_the_same_after_opening_again(void **state) {
    bench *b = *state;
    uint64_t segments[] = {SEGMENT};
    for (uint32_t i = 1; i < 20; i++)
        record(b, EVENT(.user = SLICE("anna"), .document = i % 7, .segments = segments, .n_segments = 1, .time = NOW + i * 1000));
    float everyone = trend_of(b, TREND_EVERYONE, 3), segment = trend_of(b, SEGMENT, 3), tie = tie_of(b, 3, 4);
    assert_true(everyone > 0 && segment > 0 && tie > 0);
    bench_close(b);
    bench_open(b);
    assert_float_equal(trend_of(b, TREND_EVERYONE, 3), everyone, 1e-4);
    assert_float_equal(trend_of(b, SEGMENT, 3), segment, 1e-4);
    assert_float_equal(tie_of(b, 3, 4), tie, 1e-4);
}

/* ---- One voice ---- */

/* A flood by one: weights of document 1 and of its tie to document 2 stay what one person is worth. */
static void flood(bench *b, behaviour_event by, uint32_t documents, size_t n) {
    enum { BATCH = 2000 };
    behaviour_event *events = mem_alloc(BATCH * sizeof *events);
    behaviour_change *changes = mem_alloc(BATCH * sizeof *changes);
    for (size_t done = 0; done < n; done += BATCH) {
        for (size_t i = 0; i < BATCH; i++) {
            events[i] = by;
            events[i].document = 1 + (uint32_t)((done + i) % documents);
            events[i].credit = 1;
            events[i].time = events[i].now = NOW + (int64_t)(done + i);
        }
        record_all(b, events, BATCH, changes);
    }
    free(events);
    free(changes);
}

static void assert_one_voice(const bench *b) {
    assert_true(trend_of(b, TREND_EVERYONE, 1) <= 1.01f);
    assert_true(trend_of(b, TREND_EVERYONE, 2) <= 1.01f);
    assert_true(tie_of(b, 1, 2) <= 2.01f); /* from either side */
    assert_true(trend_of(b, TREND_EVERYONE, 1) > 0.9f && tie_of(b, 1, 2) > 0.9f);
}

static void a_million_clicks_of_one_user(void **state) {
    bench *b = *state;
    static profile p;
    flood(b, EVENT(.user = SLICE("mallory")), 2, 1000000);
    assert_one_voice(b);
    assert_true(profile_of(b, "mallory", "", &p));
    assert_int_equal(p.events, 1000000);
    assert_true(p.items[0].weight <= PROFILE_ITEM_CAP && p.spent <= PROFILE_ALLOWANCE);
}

static void many_clicks_of_one_session_and_of_one_search(void **state) {
    bench *b = *state;
    flood(b, EVENT(.session = SLICE("s")), 2, 50000);
    assert_one_voice(b);
    flood(b, EVENT(.query_id = SLICE("q")), 2, 50000); /* nobody is known: the search is */
    assert_true(trend_of(b, TREND_EVERYONE, 1) <= 2.01f);
    assert_int_equal(profiles(b), 2);
    assert_float_equal(record(b, EVENT(.query_id = SLICE("another"), .document = 1)), 1, 1e-3);
    assert_float_equal(record(b, EVENT(.query_id = SLICE("another"), .document = 1)), 0, 1e-3);
    assert_float_equal(record(b, EVENT(.document = 1)), 1, 1e-3); /* what somebody teaches is taken at its word */
    assert_float_equal(record(b, EVENT(.document = 1)), 1, 1e-3);
}

static void many_documents_of_one_user(void **state) {
    bench *b = *state;
    flood(b, EVENT(.user = SLICE("mallory")), 3000, 6000);
    trend_document top[TREND_TOP];
    double sum = 0;
    size_t n = trend_top(behaviour_trends(b->kept), TREND_EVERYONE, NOW, TREND_TOP, top);
    for (size_t i = 0; i < n; i++) sum += top[i].weight;
    assert_true(n > 100 && sum <= PROFILE_ALLOWANCE + 1);
}

static void a_search_by_nobody_leaves_only_its_voice(void **state) {
    bench *b = *state;
    store_txn *t;
    static profile p;
    hash128 key;
    uint64_t segments[] = {SEGMENT};
    profile_attribute genre = {2, SLICE("fantasy"), 0};
    record(b, EVENT(.query_id = SLICE("q"), .document = 1, .attributes = &genre, .n_attributes = 1, .segments = segments,
                    .n_segments = 1));
    record(b, EVENT(.query_id = SLICE("q"), .document = 2));
    assert_float_equal(tie_of(b, 1, 2), 1, 1e-2); /* chosen together */
    assert_float_equal(trend_of(b, SEGMENT, 1), 1, 1e-2);
    assert_true(profile_key_of_search(SLICE("q"), &key));
    assert_ok(store_read_begin(b->s, &t, NULL));
    assert_true(profile_read(t, &key, &p));
    assert_int_equal(p.n_items, 2);
    assert_int_equal(p.n_attributes + p.n_segments, 0);
    store_read_end(t);
    assert_false(profile_of(b, "q", "", &p));
    assert_false(profile_of(b, "", "q", &p));
    assert_false(profile_key_of_search((slice){0}, &key));
}

/* ---- Together ---- */

typedef struct onlooker {
    const bench *b;
    atomic_bool *stop;
} onlooker;

static void *look_on(void *self) {
    const onlooker *o = self;
    static _Thread_local trend_document top[TREND_TOP];
    static _Thread_local graph_edge near[16];
    arena a;
    arena_init(&a, 0);
    while (!atomic_load(o->stop)) {
        store_txn *t;
        size_t n = trend_top(behaviour_trends(o->b->kept), TREND_EVERYONE, NOW, TREND_TOP, top);
        for (size_t i = 1; i < n; i++) assert_true(top[i - 1].weight >= top[i].weight);
        assert_ok(store_read_begin(o->b->s, &t, NULL));
        graph_edge seed = {1, 1};
        n = graph_walk(t, behaviour_trends(o->b->kept), &seed, 1, NOW, HALF, 16, &a, near);
        for (size_t i = 0; i < n; i++) assert_true(near[i].weight > 0);
        store_read_end(t);
        arena_reset(&a);
    }
    arena_release(&a);
    return NULL;
}

static void readers_and_a_writer(void **state) {
    bench *b = *state;
    atomic_bool stop = false;
    onlooker o = {b, &stop};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, look_on, &o);
    for (uint32_t i = 0; i < 600; i++) {
        char user[16];
        snprintf(user, sizeof user, "u%u", i % 40);
        record(b, EVENT(.user = slice_of(user), .document = i % 90, .type = SLICE("book")));
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, begin, bench_end)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(one_engagement_is_told_to_all),
        ISOLATED(without_credit_nothing_happens),
        ISOLATED(a_job_that_runs_again_gives_the_same),
        ISOLATED(it_is_the_same_after_opening_again),
        ISOLATED(a_million_clicks_of_one_user),
        ISOLATED(many_clicks_of_one_session_and_of_one_search),
        ISOLATED(many_documents_of_one_user),
        ISOLATED(a_search_by_nobody_leaves_only_its_voice),
        ISOLATED(readers_and_a_writer),
    };
    return cmocka_run_group_tests_name("behaviour", tests, NULL, NULL);
}
