/* The memory: what it believes, in which order it answers, and what showing and earning change. */
#include "testing.h"

#include "base/bytes.h"
#include "base/random.h"
#include "memory/query_memory.h"
#include "os/file.h"

#include <math.h>

static char folder[600];
static store *s;
static arena memory;

static int set_up(void **state) {
    (void)state;
    store_options fast = {.no_sync = true};
    snprintf(folder, sizeof folder, "%s", testing_folder());
    arena_init(&memory, 0);
    assert_ok(store_open(folder, &fast, &s, NULL));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    store_close(s);
    arena_release(&memory);
    assert_ok(os_remove_tree(folder, NULL));
    return 0;
}

typedef struct change {
    const char *query;
    const uint32_t *shown;
    size_t n_shown;
    uint32_t document;
    float credit;
    bool first;
    uint64_t impression;
    int64_t time;
} change;

static forage_status apply(store_txn *t, void *self, base_error *error) {
    const change *c = self;
    hash128 key = memory_key(slice_of(c->query));
    if (c->shown) return memory_shown(t, key, c->shown, c->n_shown, c->time, error);
    return memory_earned(t, key, c->document, c->credit, c->first, c->impression, c->time, error);
}

static void earn_from(const char *query, uint64_t impression, uint32_t document, float credit, bool first) {
    change c = {
        .query = query, .document = document, .credit = credit, .first = first, .impression = impression, .time = 1000};
    store_job job = {.apply = apply, .self = &c};
    assert_ok(store_write(s, &job, NULL));
}

static void earn(const char *query, uint32_t document, float credit) { earn_from(query, 10, document, credit, true); }

static void show(const char *query, const uint32_t *documents, size_t n) {
    change c = {.query = query, .shown = documents, .n_shown = n, .time = 2000};
    store_job job = {.apply = apply, .self = &c};
    assert_ok(store_write(s, &job, NULL));
}

static size_t remembered(const char *query, memory_row **rows) {
    store_txn *t;
    assert_ok(store_read_begin(s, &t, NULL));
    size_t n = memory_lookup(t, memory_key(slice_of(query)), &memory, rows);
    store_read_end(t);
    return n;
}

static void the_belief_is_a_beta_posterior(void **state) {
    (void)state;
    static const struct {
        float impressions, rewards, mean, deviation;
    } rows[] = {
        {0, 0, 0.1f, 0.173205f},        /* Beta(0.2, 1.8) */
        {1, 1, 0.4f, 0.244949f},        /* Beta(1.2, 1.8) */
        {4, 2, 0.366667f, 0.182139f},   /* Beta(2.2, 3.8) */
        {100, 0, 0.001961f, 0.004360f}, /* Beta(0.2, 101.8) */
        {1, 3, 0.64f, 0.195959f},       /* Beta(3.2, 1.8): more reward than showings is no negative miss */
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        float mean, deviation;
        memory_posterior(rows[i].impressions, rows[i].rewards, &mean, &deviation);
        assert_float_equal(mean, rows[i].mean, 1e-5);
        assert_float_equal(deviation, rows[i].deviation, 1e-5);
    }
}

static void belief_rises_with_reward_and_sinks_with_showing(void **state) {
    (void)state;
    random_source dice;
    random_seed(&dice, 3);
    for (int i = 0; i < 10000; i++) {
        float shown = (float)random_below(&dice, 1000), earned = (float)(random_double(&dice) * shown), mean, more,
              less, deviation;
        memory_posterior(shown, earned, &mean, &deviation);
        memory_posterior(shown + 1, earned + 1, &more, &deviation);
        memory_posterior(shown + 1, earned, &less, &deviation);
        assert_true(mean > 0 && mean < 1 && less < mean && more > mean && deviation > 0 && deviation < 0.5f);
    }
}

static void an_engagement_makes_a_row_and_showings_count_against_it(void **state) {
    (void)state;
    memory_row *rows;
    const uint32_t page[] = {7, 8, 9};
    show("hunger games", page, 3); /* nobody chose anything yet: nothing to remember */
    assert_int_equal(remembered("hunger games", &rows), 0);
    earn("hunger games", 8, 0.5f);
    assert_int_equal(remembered("hunger games", &rows), 1);
    assert_int_equal(rows[0].document, 8);
    assert_float_equal(rows[0].impressions, 1, 0);
    assert_float_equal(rows[0].rewards, 0.5, 0);
    assert_int_equal(rows[0].time, 1000);
    float before = rows[0].mean;
    for (int i = 0; i < 3; i++) show("hunger games", page, 3);
    assert_int_equal(remembered("hunger games", &rows), 1);
    assert_float_equal(rows[0].impressions, 4, 0);
    assert_true(rows[0].mean < before);
    assert_int_equal(rows[0].time, 2000);
    earn("hunger games", 8, 0.25f);
    assert_int_equal(remembered("hunger games", &rows), 1);
    assert_float_equal(rows[0].rewards, 0.75, 0);
    assert_float_equal(rows[0].impressions, 4, 0);
}

/* Events may come in another order than the searches: a showing before the row was made is counted when it pays. */
static void earlier_showings_count_once_they_pay(void **state) {
    (void)state;
    memory_row *rows;
    earn_from("q", 20, 8, 0.5f, true);
    earn_from("q", 20, 8, 0.5f, false); /* more from the same showing */
    assert_int_equal(remembered("q", &rows), 1);
    assert_float_equal(rows[0].impressions, 1, 0);
    earn_from("q", 12, 8, 0.5f, true); /* shown before that, chosen after it */
    earn_from("q", 12, 8, 0.25f, false);
    assert_int_equal(remembered("q", &rows), 1);
    assert_float_equal(rows[0].impressions, 2, 0);
    assert_float_equal(rows[0].rewards, 1.75, 0);
    earn_from("q", 30, 8, 0.5f, true); /* a later showing was counted when it was shown */
    assert_int_equal(remembered("q", &rows), 1);
    assert_float_equal(rows[0].impressions, 2, 0);
}

static void the_best_belief_comes_first(void **state) {
    (void)state;
    memory_row *rows;
    const uint32_t five = 5;
    earn("q", 9, 0.5f);
    earn("q", 5, 1);
    earn("q", 3, 0.5f); /* as good as 9: the lower number first */
    earn("q", 70000, 0.75f);
    assert_int_equal(remembered("q", &rows), 4);
    const uint32_t expected[] = {5, 70000, 3, 9};
    for (int i = 0; i < 4; i++) assert_int_equal(rows[i].document, expected[i]);
    for (int i = 0; i < 8; i++) show("q", &five, 1);
    assert_int_equal(remembered("q", &rows), 4);
    assert_int_equal(rows[3].document, 5); /* shown and passed over eight times */
}

static void queries_have_memories_of_their_own(void **state) {
    (void)state;
    memory_row *rows;
    earn("war", 1, 1);
    earn("war and peace", 2, 1);
    assert_int_equal(remembered("war", &rows), 1);
    assert_int_equal(rows[0].document, 1);
    assert_int_equal(remembered("war and peace", &rows), 1);
    assert_int_equal(rows[0].document, 2);
    assert_int_equal(remembered("peace", &rows), 0);
    earn("", 3, 1); /* the empty query is one, too */
    assert_int_equal(remembered("", &rows), 1);
}

static void what_is_no_credit_changes_nothing(void **state) {
    (void)state;
    memory_row *rows;
    earn("q", 1, NAN);
    earn("q", 1, -5);
    earn("q", 1, INFINITY);
    assert_int_equal(remembered("q", &rows), 1);
    assert_float_equal(rows[0].rewards, 0, 0);
}

static forage_status put_raw(store_txn *t, void *self, base_error *error) {
    const buffer *value = self;
    uint8_t key[20] = {0};
    hash128 query = memory_key(SLICE("q"));
    memcpy(key, query.bytes, 16);
    key[19] = (uint8_t)value->size;
    return store_put(t, STORE_MEMORY, (slice){(const char *)key, 20}, (slice){value->data, value->size}, error);
}

static void damaged_rows_do_no_harm(void **state) {
    (void)state;
    memory_row *rows;
    buffer value = {0};
    store_job job = {.apply = put_raw, .self = &value};
    put_f32(&value, NAN);
    put_f32(&value, -INFINITY);
    put_u64(&value, 5);
    put_u64(&value, 6);
    assert_ok(store_write(s, &job, NULL));
    put_u8(&value, 1); /* a byte too long */
    assert_ok(store_write(s, &job, NULL));
    earn("q", 3, 1);
    assert_int_equal(remembered("q", &rows), 2);
    assert_int_equal(rows[0].document, 3);
    assert_float_equal(rows[1].mean, 0.1, 1e-6); /* what cannot be is nothing */
    buffer_release(&value);
}

static forage_status put_many(store_txn *t, void *self, base_error *error) {
    (void)self;
    for (uint32_t i = 0; i < MEMORY_MAX_ROWS + 100; i++) {
        forage_status status = memory_earned(t, memory_key(SLICE("popular query")), i, (float)(i % 97) / 97, true, 1, 1,
                                             error);
        if (status) return status;
    }
    return FORAGE_OK;
}

/* Clicks that are sent the next day belong to impressions that nobody counted when they were shown. */
static void a_late_credit_counts_its_own_impression(void **state) {
    (void)state;
    memory_row *rows;
    earn("late", 4, 0.5f);
    for (uint64_t impression = 1; impression < 10; impression++) {
        change c = {
            .query = "late", .document = 4, .credit = 0.5f, .first = true, .impression = impression, .time = 2000};
        store_job job = {.apply = apply, .self = &c};
        assert_ok(store_write(s, &job, NULL));
    }
    assert_int_equal(remembered("late", &rows), 1);
    assert_float_equal(rows[0].impressions, 10, 1e-6);
    assert_float_equal(rows[0].rewards, 5, 1e-6);
}

static void rows_beyond_the_limit_are_not_read(void **state) {
    (void)state;
    memory_row *rows;
    store_job job = {.apply = put_many};
    assert_ok(store_write(s, &job, NULL));
    assert_int_equal(remembered("popular query", &rows), MEMORY_MAX_ROWS);
    for (size_t i = 1; i < MEMORY_MAX_ROWS; i++)
        assert_true(rows[i - 1].mean > rows[i].mean ||
                    (rows[i - 1].mean == rows[i].mean && rows[i - 1].document < rows[i].document));
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_belief_is_a_beta_posterior),
        ISOLATED(a_late_credit_counts_its_own_impression),
        cmocka_unit_test(belief_rises_with_reward_and_sinks_with_showing),
        ISOLATED(an_engagement_makes_a_row_and_showings_count_against_it),
        ISOLATED(earlier_showings_count_once_they_pay),
        ISOLATED(the_best_belief_comes_first),
        ISOLATED(queries_have_memories_of_their_own),
        ISOLATED(what_is_no_credit_changes_nothing),
        ISOLATED(damaged_rows_do_no_harm),
        ISOLATED(rows_beyond_the_limit_are_not_read),
    };
    return cmocka_run_group_tests_name("query memory", tests, NULL, NULL);
}
