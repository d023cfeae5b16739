/* Replays through the real funnel and the API: scored before learned from, revealed only by what the page showed, and none
 * the worse for broken rows. */
#include "calling.h"

#include "simulate/replay.h"

typedef struct replayed {
    replay_log log;
    replay_result result;
} replayed;

static const char *const catalogue =
    "{\"id\":\"a\",\"title\":\"alpha stone\"}\n{\"id\":\"b\",\"title\":\"beta stone\"}\n{\"id\":\"c\",\"title\":\"gamma stone\"}\n"
    "{\"id\":\"d\",\"title\":\"delta river\"}\n{\"id\":\"e\",\"title\":\"epsilon river\"}\n";

static int begin(void **state) {
    world *w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"}},\"rewards\":{\"click\":1},\"beyond_words\":true}");
    world_import(w, catalogue);
    *state = w;
    return 0;
}

static int end(void **state) {
    world_end(*state);
    return 0;
}

static replayed replay(world *w, const char *log, const replay_options *options) {
    replayed r;
    base_error error = {0};
    records_reader *records = records_open_memory(slice_of(log), NULL);
    assert_ok(replay_log_read(records, SLICE("click"), clock_wall(&w->clock), &r.log, NULL));
    records_close(records);
    if (replay_run(w->funnel, &r.log, options, &r.result, &error)) fail_msg("%s", error.message);
    return r;
}

static void release(replayed *r) {
    replay_log_release(&r->log);
    replay_result_release(&r->result);
}

/* Nobody's words lead from "lucky" to document d: only what was learned can. */
static void test_scored_before_learned_from(void **state) {
    replay_options o = replay_defaults;
    o.teach = 0;
    replayed r = replay(*state, "{\"query\":\"lucky\",\"user\":\"1\",\"document\":\"d\"}\n"
                                "{\"query\":\"lucky\",\"user\":\"2\",\"document\":\"d\"}\n", &o);
    assert_int_equal(r.result.scored, 2);
    assert_int_equal(r.result.taught, 2);
    assert_true(r.result.scores[1].found);
    assert_int_equal(r.result.scores[1].rank, 1);
    release(&r);
    o.try = true;
    r = replay(*state, "{\"query\":\"happy\",\"user\":\"1\",\"document\":\"e\"}\n"
                       "{\"query\":\"happy\",\"user\":\"2\",\"document\":\"e\"}\n", &o);
    assert_int_equal(r.result.trial.n, 2);
    assert_int_equal(r.result.trial.rows[0].rank[RETRIEVE_IS_MEMORY], 0);
    assert_int_equal(r.result.trial.rows[1].rank[RETRIEVE_IS_MEMORY], 1);
    release(&r);
}

/* A page of one hit does not show the second best: the row is learned from all the same, but no event says so. */
static void test_only_the_page_reveals(void **state) {
    world *w = *state;
    replay_options o = replay_defaults;
    o.teach = 0;
    o.page = 3;
    replayed r = replay(w, "{\"query\":\"stone\",\"document\":\"a\"}\n{\"query\":\"stone\",\"document\":\"d\"}\n"
                           "{\"query\":\"river\",\"document\":\"a\"}\n", &o);
    assert_int_equal(r.result.scored, 3);
    assert_int_equal(r.result.taught, 3);
    uint64_t shown = 0;
    for (size_t i = 0; i < r.result.scored; i++) {
        shown += r.result.scores[i].rank > 0;
        assert_true(r.result.scores[i].rank <= 3);
        assert_true(r.result.scores[i].found || !r.result.scores[i].rank);
    }
    assert_int_equal(r.result.revealed, shown);
    assert_true(r.result.scores[0].rank > 0);
    release(&r);
    /* The events in the log are those that were revealed. */
    store_txn *t;
    slice key, value;
    store_cursor *cursor;
    uint64_t events = 0, impressions = 0;
    store_wait(collection_store(w->collection));
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_ok(store_cursor_open(t, STORE_LOG, (slice){0}, &cursor, NULL));
    while (store_cursor_next(cursor, &key, &value)) {
        record_kind kind;
        assert_ok(record_kind_of(value, &kind));
        events += kind == RECORD_EVENT;
        impressions += kind == RECORD_IMPRESSION;
    }
    store_cursor_close(cursor);
    store_read_end(t);
    assert_int_equal(impressions, 3);
    assert_int_equal(events, shown);
}

static void test_which_rows_are_scored(void **state) {
    static const char *const log =
        "{\"query\":\"stone\",\"user\":\"1\",\"document\":\"a\"}\n{\"query\":\"stone\",\"user\":\"1\",\"document\":\"b\"}\n"
        "{\"query\":\"river\",\"user\":\"1\",\"document\":\"a\"}\n{\"query\":\"river\",\"user\":\"2\",\"document\":\"a\"}\n"
        "{\"query\":\"\",\"user\":\"3\",\"document\":\"c\"}\n{\"query\":\"gamma\",\"user\":\"3\",\"document\":\"c\"}\n";
    replay_options warm = replay_defaults;
    warm.try = warm.warm = true;
    warm.every = 2;
    replayed lessons = replay(*state, log, &warm); /* rows 1, 3 and 5: every second, either side of the half */
    assert_int_equal(lessons.result.trial.n, 3);
    assert_int_equal(lessons.result.trial.n_lessons, 1);
    assert_int_equal(lessons.result.trial.rows[0].event, 1);
    assert_int_equal(lessons.result.scored, 2);
    release(&lessons);
    static const struct {
        double teach;
        uint32_t every;
        bool new_only;
        uint64_t events[6];
        size_t n;
    } cases[] = {{0, 1, false, {0, 1, 2, 3, 4, 5}, 6}, {.5, 1, false, {3, 4, 5}, 3}, {.5, 2, false, {3, 5}, 2},
                 {0, 1, true, {0, 1, 3, 5}, 4}, /* the row without a query makes no pair, and is none */
                 {0, 2, true, {0}, 1}, {1, 1, false, {0}, 0}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        replay_options o = replay_defaults;
        o.teach = cases[i].teach;
        o.every = cases[i].every;
        o.new_only = cases[i].new_only;
        o.try = true;
        replayed r = replay(*state, log, &o);
        assert_int_equal(r.result.trial.n, cases[i].n);
        for (size_t k = 0; k < cases[i].n; k++) assert_int_equal(r.result.trial.rows[k].event, cases[i].events[k]);
        assert_int_equal(r.result.taught, 6);
        release(&r);
    }
}

static void test_rows_that_cannot_be_used(void **state) {
    replay_options o = replay_defaults;
    o.teach = 0;
    replayed r = replay(*state,
                        "{\"query\":\"stone\",\"document\":\"a\",\"time\":\"2020-01-02\"}\n"
                        "{\"query\":\"stone\",\"document\":\"nobody\",\"time\":\"2020-01-03\"}\n"
                        "{\"query\":\"stone\",\"document\":\"b\",\"action\":\"stare\"}\n"
                        "{\"query\":\"stone\",\"document\":\"c\",\"time\":\"1999-01-01\"}\n"
                        "{\"query\":\"stone\",\"document\":\"b\",\"time\":\"2200-01-01\"}\n"
                        "{\"query\":\"stone\",\"document\":\"b\",\"time\":\"0001-01-01\"}\n"
                        "{\"query\":\"st",
                        &o);
    assert_int_equal(r.log.malformed, 1);
    assert_int_equal(r.log.out_of_order, 2);
    assert_int_equal(r.result.unknown_documents, 1);
    assert_int_equal(r.result.unknown_actions, 1);
    assert_int_equal(r.result.scored, 4);
    assert_int_equal(r.result.taught, 4); /* the page of the year 2200 takes no event, but the row is learned from */
    assert_true(r.log.n_problems >= 3);
    release(&r);
}

static bool stop(void *self, uint64_t done) {
    (void)done;
    return ++*(int *)self < 3;
}

static void test_ended_from_outside(void **state) {
    world *w = *state;
    buffer text = {0};
    base_error error = {0};
    replay_log log;
    replay_result result = {0};
    int calls = 0;
    for (int i = 0; i < 2000; i++) buffer_puts(&text, "{\"query\":\"stone\",\"document\":\"a\"}\n");
    records_reader *records = records_open_memory((slice){text.data, text.size}, NULL);
    assert_ok(replay_log_read(records, SLICE("click"), 0, &log, NULL));
    records_close(records);
    replay_options o = replay_defaults;
    o.teach = 1;
    o.progress = stop;
    o.self = &calls;
    assert_int_equal(replay_run(w->funnel, &log, &o, &result, &error), FORAGE_E_CLOSED);
    assert_int_equal(calls, 3);
    replay_log_release(&log);
    buffer_release(&text);
}

/* ---- The API ---- */

/* What people want for "lucky" has none of its words, and changes halfway. */
static void write_log(buffer *out) {
    for (int i = 0; i < 600; i++)
        buffer_printf(out, "{\"query\":\"%s\",\"user\":\"u%d\",\"document\":\"%s\",\"time\":\"2020-01-%02d\"}\n",
                      i % 2 ? "lucky" : "stone", i, i % 2 ? "d" : i % 3 ? "a" : "b", 1 + i / 30);
}

static answer post(caller *c, const char *parameters, slice log) {
    char target[300];
    snprintf(target, sizeof target, "/collections/w/replay%s", parameters);
    return call_bytes(c->db, "POST", target, NULL, log.data, log.size);
}

static void begin_api(caller *c) {
    caller_begin(c);
    call_ok(c->db, "PUT", "/collections/w", "{\"fields\":{\"title\":{\"type\":\"text\"}},\"beyond_words\":true}");
    call_ok(c->db, "POST", "/collections/w/documents", catalogue);
}

static void test_served_answer(void **state) {
    (void)state;
    caller c;
    buffer log = {0};
    begin_api(&c);
    write_log(&log);
    answer a = post(&c, "?block=100&page=2", (slice){log.data, log.size});
    if (a.status != 200) fail_msg("%s", a.response.body);
    assert_float_equal(number_at(a.json, "rows"), 600, 0);
    assert_float_equal(number_at(a.json, "scored"), 300, 0);
    assert_float_equal(number_at(a.json, "taught"), 600, 0);
    assert_true(number_at(a.json, "served.recall") > .9);
    assert_true(number_at(a.json, "served.shown") > .5);
    assert_true(number_at(a.json, "served.shown") <= number_at(a.json, "served.recall"));
    assert_int_equal(count_at(a.json, "served.curve"), 3);
    assert_null(at(a.json, "tried"));
    answer_release(&a);
    buffer_release(&log);
    caller_end(&c);
}

static void test_compared_answer(void **state) {
    (void)state;
    caller c;
    buffer log = {0};
    begin_api(&c);
    write_log(&log);
    answer a = post(&c, "?block=100&compare=regcb,rrf-equal,regcb:played:shuffled&strategies=lexical,memory,popular&budget=2&seeds=2",
                    (slice){log.data, log.size});
    if (a.status != 200) fail_msg("%s", a.response.body);
    assert_int_equal(count_at(a.json, "tried.strategies"), 3);
    assert_int_equal(count_at(a.json, "tried.plans"), 5 + 3);
    assert_int_equal(count_at(a.json, "tried.policies"), 3);
    const json_value *plans = at(a.json, "tried.plans"), *fixed = named(plans, "name", "best fixed depths in hindsight");
    assert_true(number_at(fixed, "recall") > .9);
    for (const json_value *p = plans->first; p; p = p->next) {
        assert_true(number_at(p, "candidates") <= 2 + 1e-9);
        assert_true(number_at(p, "low") <= number_at(p, "recall") && number_at(p, "recall") <= number_at(p, "high"));
        assert_true(number_at(p, "recall") <= number_at(named(plans, "name", "oracle for each request"), "recall") + 1e-9);
    }
    const json_value *played = at(a.json, "tried.policies.2");
    assert_string_equal(text_at(played, "credit"), "played");
    assert_string_equal(text_at(played, "order"), "shuffled");
    assert_false(isnan(number_at(played, "versus.equal depth.difference")));
    answer_release(&a);
    buffer_release(&log);
    caller_end(&c);
}

static void test_the_same_seed_gives_the_same(void **state) {
    (void)state;
    double recall[2];
    for (int i = 0; i < 2; i++) {
        caller c;
        buffer log = {0};
        begin_api(&c);
        write_log(&log);
        answer a = post(&c, "?compare=lin-ts&budget=3&seed=9", (slice){log.data, log.size});
        recall[i] = number_at(a.json, "tried.policies.0.recall");
        assert_true(recall[i] > 0);
        answer_release(&a);
        buffer_release(&log);
        caller_end(&c);
    }
    assert_float_equal(recall[0], recall[1], 0);
}

static void test_refusals(void **state) {
    (void)state;
    caller c;
    static const char *const bad[] = {"?teach=2", "?teach=half", "?every=0", "?new_only=maybe", "?page=0", "?page=100000",
                                      "?compare=nobody", "?compare=regcb:bold", "?strategies=nobody", "?budget=0",
                                      "?depth=5000", "?seeds=1000", "?format=xml", "?block=0"};
    begin_api(&c);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        answer a = post(&c, bad[i], SLICE("{\"document\":\"a\"}\n"));
        if (a.status != 400) fail_msg("%s: %d %s", bad[i], a.status, a.response.body);
        answer_release(&a);
    }
    answer a = post(&c, "", (slice){0}); /* nothing is no error */
    assert_int_equal(a.status, 200);
    assert_float_equal(number_at(a.json, "rows"), 0, 0);
    answer_release(&a);
    a = post(&c, "?compare=regcb", SLICE("{\"document\":\"nobody\"}\n"));
    assert_int_equal(a.status, 200);
    assert_float_equal(number_at(a.json, "unknown_documents"), 1, 0);
    answer_release(&a);
    assert_fails(c.db, "POST", "/collections/none/replay", "{}", 404, "collection_not_found");
    caller_end(&c);
}

/* More pairs than the table of them begins with: those that were there before it grew are still known. */
static void test_every_pair_is_known_for_good(void **state) {
    replay_options o = replay_defaults;
    buffer log = {0};
    o.new_only = true;
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < 4500; i++)
            buffer_printf(&log, "{\"query\":\"stone\",\"user\":\"%d\",\"document\":\"%c\"}\n", i / 3, 'a' + i % 3);
    replayed r = replay(*state, buffer_text(&log), &o);
    assert_int_equal(r.result.taught, 9000);
    assert_int_equal(r.result.scored, 0); /* the second half says nothing new */
    release(&r);
    buffer_release(&log);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_every_pair_is_known_for_good, begin, end),
        cmocka_unit_test_setup_teardown(test_scored_before_learned_from, begin, end),
        cmocka_unit_test_setup_teardown(test_only_the_page_reveals, begin, end),
        cmocka_unit_test_setup_teardown(test_which_rows_are_scored, begin, end),
        cmocka_unit_test_setup_teardown(test_rows_that_cannot_be_used, begin, end),
        cmocka_unit_test_setup_teardown(test_ended_from_outside, begin, end),
        cmocka_unit_test(test_served_answer),
        cmocka_unit_test(test_compared_answer),
        cmocka_unit_test(test_the_same_seed_gives_the_same),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests_name("replay", tests, NULL, NULL);
}
