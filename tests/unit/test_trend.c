/* Trends: what is engaged with lately, in memory and in the store, beside clocks that jump and readers that look on. */
#include "store_bench.h"

#include "memory/trend.h"

#include <pthread.h>
#include <stdatomic.h>

#define NOW ((int64_t)1700000000 * 1000000)
#define HALF (30 * DECAY_DAY)

static void *load(store_txn *txn) {
    trend *t = trend_create(HALF);
    assert_ok(trend_load(t, txn, NULL));
    return t;
}

static void unload(void *kept) { trend_destroy(kept); }

static int begin(void **state) { return bench_begin_with(state, load, unload); }

typedef struct earning {
    bench *b;
    uint64_t group;
    uint32_t document;
    float amount;
    int64_t time, now;
    trend_change change;
} earning;

static forage_status earn_apply(store_txn *t, void *self, base_error *error) {
    earning *e = self;
    return trend_earned(e->b->kept, t, e->group, e->document, e->amount, e->time, e->now, &e->change, error);
}

static void earn_committed(void *self, forage_status status) {
    earning *e = self;
    if (!status) trend_apply(e->b->kept, &e->change, 1);
}

static void earn_in(bench *b, uint64_t group, uint32_t document, float amount, int64_t time, int64_t now) {
    earning e = {b, group, document, amount, time, now, {0}};
    assert_ok(store_write(b->s, &(store_job){earn_apply, earn_committed, &e}, NULL));
}

static void earn(bench *b, uint32_t document, float amount, int64_t time) {
    earn_in(b, TREND_EVERYONE, document, amount, time, time);
}

static float weight_of(const bench *b, uint64_t group, uint32_t document, int64_t now) {
    trend_document d = {document, -1};
    trend_weights(b->kept, group, now, &d, 1);
    return d.weight;
}

static forage_status save_apply(store_txn *t, void *self, base_error *error) {
    return trend_save(((bench *)self)->kept, t, error);
}
static void save_committed(void *self, forage_status status) {
    if (!status) trend_saved(((bench *)self)->kept);
}
static void save(bench *b) { assert_ok(store_write(b->s, &(store_job){save_apply, save_committed, b}, NULL)); }

static void test_decay_and_order(void **state) {
    bench *b = *state;
    trend_document top[4];
    earn(b, 1, 1, NOW);
    earn(b, 2, 0.9f, NOW + HALF);
    assert_int_equal(trend_top(b->kept, TREND_EVERYONE, NOW + HALF, 4, top), 2);
    assert_int_equal(top[0].document, 2);
    assert_float_equal(top[1].weight, 0.5, 1e-4);
    earn(b, 1, 1, NOW + HALF);
    assert_int_equal(trend_top(b->kept, TREND_EVERYONE, NOW + 2 * HALF, 1, top), 1);
    assert_int_equal(top[0].document, 1);
    assert_float_equal(top[0].weight, 0.75, 1e-4);
    assert_int_equal(trend_top(b->kept, 999, NOW, 4, top), 0);
}

static void test_what_is_long_past_is_gone(void **state) {
    bench *b = *state;
    trend_document top[4];
    earn(b, 1, 1, NOW);
    earn(b, 2, 1, NOW + 100 * HALF);
    assert_int_equal(trend_top(b->kept, TREND_EVERYONE, NOW + 200 * HALF, 4, top), 1);
    assert_int_equal(top[0].document, 2);
    assert_int_equal(trend_top(b->kept, TREND_EVERYONE, NOW + 500 * HALF, 4, top), 0);
}

static void test_groups_are_apart(void **state) {
    bench *b = *state;
    uint64_t film = trend_type_group(SLICE("film")), book = trend_type_group(SLICE("book"));
    earn_in(b, film, 1, 1, NOW, NOW);
    earn_in(b, book, 2, 1, NOW, NOW);
    assert_float_equal(weight_of(b, film, 1, NOW), 1, 1e-4);
    assert_true(weight_of(b, book, 1, NOW) == 0);
    for (uint64_t g = 0; g < 2 * TREND_GROUPS; g++) earn_in(b, 1000 + g, 3, 1, NOW, NOW); /* made-up segments */
    assert_true(weight_of(b, 1000 + 2 * TREND_GROUPS - 1, 3, NOW) == 0);
    earn_in(b, film, 1, 1, NOW, NOW);
    assert_float_equal(weight_of(b, film, 1, NOW), 2, 1e-3);
}

/* The list of the best against a count of everything. */
static void test_top_is_exact(void **state) {
    bench *b = *state;
    enum { DOCUMENTS = 1500, EVENTS = 6000 };
    static double sum[DOCUMENTS];
    static trend_document top[TREND_TOP];
    uint64_t x = 88172645463325252u;
    for (int i = 0; i < EVENTS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        uint32_t document = (uint32_t)((x >> 20) % DOCUMENTS * ((x >> 50) % 4 + 1) / 4);
        int64_t time = NOW + i * DECAY_DAY / 100;
        sum[document] += exp2((double)(time - NOW) / HALF);
        float weight = (float)(sum[document] / exp2((double)(time - NOW) / HALF));
        trend_apply(b->kept, &(trend_change){TREND_EVERYONE, document, weight, time}, 1);
    }
    size_t n = trend_top(b->kept, TREND_EVERYONE, NOW + 100 * DECAY_DAY, TREND_TOP, top);
    assert_int_equal(n, TREND_TOP);
    double least = sum[top[n - 1].document];
    size_t better = 0;
    for (int i = 0; i < DOCUMENTS; i++) better += sum[i] > least * (1 + 1e-5);
    assert_true(better < n);
    for (size_t i = 1; i < n; i++) assert_true(top[i - 1].weight >= top[i].weight);
}

static void test_reopened_is_the_same(void **state) {
    bench *b = *state;
    uint32_t shown[] = {1, 2, 3};
    for (uint32_t i = 0; i < 40; i++) earn(b, i % 7, 0.5f, NOW + i * DECAY_DAY);
    trend_shown(b->kept, shown, 3, NOW + 20 * DECAY_DAY, NOW + 40 * DECAY_DAY);
    trend_shown(b->kept, shown, 2, NOW + 40 * DECAY_DAY, NOW + 40 * DECAY_DAY);
    save(b);
    trend_belief before[4] = {{.document = 1}, {.document = 2}, {.document = 3}, {.document = 4}}, after[4];
    memcpy(after, before, sizeof before);
    trend_document top[8], again[8];
    size_t n = trend_top(b->kept, TREND_EVERYONE, NOW + 40 * DECAY_DAY, 8, top);
    trend_believe(b->kept, NOW + 40 * DECAY_DAY, before, 4);
    bench_close(b);
    bench_open(b);
    assert_int_equal(trend_top(b->kept, TREND_EVERYONE, NOW + 40 * DECAY_DAY, 8, again), n);
    trend_believe(b->kept, NOW + 40 * DECAY_DAY, after, 4);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(top[i].document, again[i].document);
        assert_float_equal(top[i].weight, again[i].weight, 1e-4);
    }
    for (int i = 0; i < 4; i++) {
        assert_float_equal(before[i].shown, after[i].shown, 1e-4);
        assert_float_equal(before[i].deviation, after[i].deviation, 1e-4);
    }
}

typedef struct between {
    bench *b;
    uint32_t document;
} between;

static void shown_before_saved(void *self, forage_status status) {
    between *x = self;
    (void)status;
    trend_shown(x->b->kept, &x->document, 1, NOW, NOW);
    trend_saved(x->b->kept);
}
static forage_status between_apply(store_txn *t, void *self, base_error *error) {
    return trend_save(((between *)self)->b->kept, t, error);
}

/* What is shown while a save is being committed is not in it: the next one must bring it. */
static void test_shown_during_a_save(void **state) {
    bench *b = *state;
    between x = {b, 5};
    trend_shown(b->kept, &x.document, 1, NOW, NOW);
    assert_ok(store_write(b->s, &(store_job){between_apply, shown_before_saved, &x}, NULL));
    save(b);
    bench_close(b);
    bench_open(b);
    trend_belief d = {.document = 5};
    trend_believe(b->kept, NOW, &d, 1);
    assert_float_equal(d.shown, 2, 1e-4);
}

static void test_belief(void **state) {
    bench *b = *state;
    uint32_t often[] = {1}, rarely[] = {2};
    for (int i = 0; i < 50; i++) trend_shown(b->kept, often, 1, NOW, NOW);
    trend_shown(b->kept, rarely, 1, NOW, NOW);
    trend_belief d[] = {{.document = 1}, {.document = 2}, {.document = 3}};
    trend_believe(b->kept, NOW, d, 3);
    assert_true(d[0].deviation < d[1].deviation && d[1].deviation < d[2].deviation);
    trend_believe(b->kept, NOW + 20 * HALF, d, 3); /* what was shown long ago is not known any more */
    assert_float_equal(d[0].deviation, d[2].deviation, 1e-3);
}

static void test_clock_jumps_back(void **state) {
    bench *b = *state;
    int64_t wrong = NOW + 36500 * DECAY_DAY;
    earn(b, 1, 1, wrong);
    for (int i = 0; i < 3; i++) earn(b, 2, 1, NOW + i);
    trend_document top[2];
    assert_int_equal(trend_top(b->kept, TREND_EVERYONE, NOW + 3, 2, top), 2);
    assert_int_equal(top[0].document, 2);
    assert_true(top[0].weight > 2 && top[0].weight < 4);
    earn_in(b, TREND_EVERYONE, 3, 1, INT64_MAX, INT64_MIN);
    earn_in(b, TREND_EVERYONE, 4, 1, INT64_MIN, INT64_MAX);
    assert_true(isfinite(weight_of(b, TREND_EVERYONE, 3, NOW)));
}

typedef struct onlooker {
    bench *b;
    atomic_bool *stop;
} onlooker;

static void *look_on(void *self) {
    const onlooker *o = self;
    static _Thread_local trend_document top[TREND_TOP];
    while (!atomic_load(o->stop)) {
        size_t n = trend_top(o->b->kept, TREND_EVERYONE, NOW, TREND_TOP, top);
        trend_weights(o->b->kept, TREND_EVERYONE, NOW, top, n);
        for (size_t i = 1; i < n; i++) assert_true(top[i].document < 3000);
        trend_belief d = {.document = 7};
        trend_believe(o->b->kept, NOW, &d, 1);
    }
    return NULL;
}

static void test_readers_and_a_writer(void **state) {
    bench *b = *state;
    atomic_bool stop = false;
    onlooker o = {b, &stop};
    pthread_t threads[2];
    for (int i = 0; i < 2; i++) pthread_create(&threads[i], NULL, look_on, &o);
    for (uint32_t i = 0; i < 2000; i++) {
        earn(b, i, 1, NOW);
        trend_shown(b->kept, &i, 1, NOW, NOW);
        if (i % 200 == 0) save(b);
    }
    atomic_store(&stop, true);
    for (int i = 0; i < 2; i++) pthread_join(threads[i], NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_decay_and_order, begin, bench_end),
        cmocka_unit_test_setup_teardown(test_what_is_long_past_is_gone, begin, bench_end),
        cmocka_unit_test_setup_teardown(test_groups_are_apart, begin, bench_end),
        cmocka_unit_test_setup_teardown(test_top_is_exact, begin, bench_end),
        cmocka_unit_test_setup_teardown(test_reopened_is_the_same, begin, bench_end),
        cmocka_unit_test_setup_teardown(test_shown_during_a_save, begin, bench_end),
        cmocka_unit_test_setup_teardown(test_belief, begin, bench_end),
        cmocka_unit_test_setup_teardown(test_clock_jumps_back, begin, bench_end),
        cmocka_unit_test_setup_teardown(test_readers_and_a_writer, begin, bench_end),
    };
    return cmocka_run_group_tests_name("trend", tests, NULL, NULL);
}
