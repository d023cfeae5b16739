/* What retrieval may cost, end to end: a collection's budget steers what its searches spend, and what one click teaches all
 * strategies reaches the next decisions. */
#include "world.h"

#include <time.h>

static world *w;

static int set_up(void **state) {
    (void)state;
    w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"shelf\":{\"type\":\"keyword\"}}}");
    buffer lines = {0};
    for (int i = 0; i < 600; i++)
        buffer_printf(&lines, "{\"id\":\"d%d\",\"title\":\"lamp number%d\",\"shelf\":\"s%d\",\"popularity\":%d}\n", i, i % 50,
                      i % 9, i * 37 % 601);
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    return 0;
}

static void set(const char *settings) {
    world_schema(w, settings);
    assert_ok(funnel_settings_changed(w->funnel, NULL));
}

static const json_value *ask(int i, const char *rule) {
    return world_search(w, arena_printf(&w->memory, "{\"query\":\"lamp number%d\",\"seed\":%d,\"policy\":\"%s\",\"query_id\":\"q%d\","
                                                    "\"user\":\"u%d\"}", i % 50, i + 1, rule, i, i % 20));
}

static void click(int i, const char *document) {
    feedback_event e = {.query_id = slice_of(arena_printf(&w->memory, "q%d", i)), .action = SLICE("click"),
                        .document = slice_of(document), .time = INT64_MIN};
    funnel_event_result result = {0};
    assert_ok(funnel_record(w->funnel, &e, 1, &result, NULL));
    assert_int_equal(result.status, FORAGE_OK);
}

/* Mean candidates of the searches from `from` on, out of `n`. Somebody always chooses the first hit. */
static double spend(const char *rule, int first, int from, int n) {
    double spent = 0;
    for (int i = first; i < first + n; i++) {
        const json_value *a = ask(i, rule);
        const char *best = arena_printf(&w->memory, "%s", text_at(a, "hits.0.id"));
        if (i >= first + from) spent += world_last_impression(w).n_candidates;
        click(i, best);
        if (i % 32 == 31) arena_reset(&w->memory);
    }
    return spent / (n - from);
}

static void the_mean_of_candidates_meets_the_budget(void **state) {
    (void)state;
    set("{\"budget\":{\"candidates\":40}}");
    double spent = spend("regcb", 0, 500, 1200);
    assert_true(spent < 40 * 1.1);
    set("{\"budget\":{\"candidates\":25}}");
    assert_true(spend("regcb", 1200, 500, 1000) < 25 * 1.1);
}

static void an_impression_tells_what_was_spent_and_could_be_drawn(void **state) {
    (void)state;
    const json_value *a = ask(1, "all");
    record_impression r = world_last_impression(w);
    uint32_t alone = 0;
    assert_true(r.n_candidates > 0 && r.took_us > 0);
    for (uint32_t s = 0; s < r.n_strategies; s++) {
        assert_true(r.strategies[s].allowed >> r.strategies[s].level & 1);
        for (uint32_t l = 1; l < r.n_levels; l++) {
            assert_true(r.strategies[s].cost[l] >= r.strategies[s].cost[l - 1]);
            assert_true(r.strategies[s].alone[l] >= r.strategies[s].alone[l - 1]);
            assert_true(r.strategies[s].alone[l] <= r.depths[l]);
        }
        alone += r.strategies[s].alone[r.strategies[s].level];
    }
    assert_true(alone <= r.n_candidates);
    assert_non_null(a);
}

/* ---- By time ---- */

static size_t slow(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    struct timespec nap = {0, 6000000};
    nanosleep(&nap, NULL);
    return retrieve_popular.run(r, depth, a, hits, late);
}

/* Of the last 100 searches out of n, those that took longer than 5 ms. Somebody always chooses the first hit. */
static int late_ones(const char *rule, int first, int n) {
    int late = 0;
    for (int i = first; i < first + n; i++) {
        const json_value *a = ask(i, rule);
        const char *best = arena_printf(&w->memory, "%s", text_at(a, "hits.0.id"));
        late += i >= first + n - 100 && world_last_impression(w).strategies[RETRIEVE_IS_POPULAR].took_us > 5000;
        click(i, best);
        if (i % 32 == 31) arena_reset(&w->memory);
    }
    return late;
}

static void what_is_slow_is_asked_seldom_when_time_is_short(void **state) {
    (void)state;
    static const retrieve_strategy *table[RETRIEVE_STRATEGIES];
    static retrieve_strategy sleepy;
    memcpy(table, retrieve_strategies, sizeof table);
    sleepy = retrieve_popular;
    sleepy.run = slow;
    table[RETRIEVE_IS_POPULAR] = &sleepy;
    w->funnel->strategies = table;
    set("{\"budget\":{\"p95_ms\":5}}");
    assert_int_equal(late_ones("all", 0, 100), 100);
    assert_true(late_ones("regcb", 100, 400) <= 15);
}

/* ---- Hindsight ---- */

/* One click tells of all strategies, also of those that were not asked. */
static void a_click_teaches_the_strategies_that_were_not_asked(void **state) {
    (void)state;
    world_search(w, "{\"query\":\"number7\",\"policy\":\"fixed\",\"query_id\":\"q7\"}");
    record_impression r = world_last_impression(w);
    assert_int_equal(r.strategies[RETRIEVE_IS_EXPLORE].depth, 0);
    click(7, "d7");
    record_event e = world_last_event(w);
    assert_int_equal(e.n_ranks, RETRIEVE_STRATEGIES);
    assert_true(e.ranks[RETRIEVE_IS_LEXICAL] > 0);
    assert_true(e.ranks[RETRIEVE_IS_EXPLORE] > 0);        /* 12 documents match, and it takes them all */
    assert_int_equal(e.ranks[RETRIEVE_IS_MEMORY], 0);     /* the click itself was not known yet */
    world_search(w, "{\"query\":\"number7\",\"policy\":\"fixed\",\"query_id\":\"q57\"}");
    click(57, "d7");
    e = world_last_event(w);
    assert_int_equal(e.ranks[RETRIEVE_IS_MEMORY], 1);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(the_mean_of_candidates_meets_the_budget),
        ISOLATED(an_impression_tells_what_was_spent_and_could_be_drawn),
        ISOLATED(what_is_slow_is_asked_seldom_when_time_is_short),
        ISOLATED(a_click_teaches_the_strategies_that_were_not_asked),
    };
    return cmocka_run_group_tests_name("budget", tests, NULL, NULL);
}
