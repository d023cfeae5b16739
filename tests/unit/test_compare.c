/* Experiments through the funnel: who is on which side, what is counted, and that the log gives the same verdict again. */
#include "ranked_world.h"

#define NOW ((int64_t)1700000000 * 1000000)
#define STONES 6

static world *w;
static uint64_t good, bad;

static int begin(void **state) {
    (void)state;
    buffer lines = {0};
    w = world_begin();
    w->fixed = NOW;
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"price\":{\"type\":\"number\"}},\"rewards\":{\"click\":1},"
                    "\"ranking\":{\"features\":[\"price\"]}}");
    for (int i = 0; i < STONES; i++) buffer_printf(&lines, "{\"id\":\"s%d\",\"title\":\"stone\",\"price\":%d}\n", i, i);
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
    good = add_linear(w, "field.price", 1);
    bad = add_linear(w, "field.price", -1);
    return 0;
}

static int end(void **state) {
    (void)state;
    ranked_end(w);
    return 0;
}

static forage_status start(experiment_kind kind, const char *a, const char *b, double window, base_error *error) {
    experiment_config c;
    experiment_config_default(&c, "trial", kind, a, b);
    c.window = window;
    return funnel_experiment_start(w->funnel, &c, error);
}

static void begin_trial(experiment_kind kind, const char *a, const char *b) {
    base_error error = {0};
    if (start(kind, a, b, 60, &error)) fail_msg("%s", error.message);
}

static const json_value *told(void) {
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    store_wait(collection_store(w->collection));
    if (!funnel_experiment_write(w->funnel, &writer)) return NULL;
    const json_value *json = parse(&w->memory, buffer_text(&text));
    buffer_release(&text);
    return json;
}

/* One person looks at the page from the top and takes the dearest of the first three; a click every time. */
static const json_value *visit(int user, const char *more) {
    w->fixed += 10 * 1000000;
    const json_value *page = world_search(w, arena_printf(&w->memory, "{\"query\":\"stone\",\"user\":\"u%d\",\"limit\":3,\"seed\":%d%s}",
                                                          user, user + 1, more));
    return page;
}

static void click(const json_value *page, const char *id) {
    feedback_event e = {.query_id = slice_of(text_at(page, "query_id")), .action = SLICE("click"), .document = slice_of(id),
        .time = w->fixed};
    funnel_event_result result = world_event(w, &e);
    if (result.status) fail_msg("%s", result.message);
}

/* People like it dear: the dearer one is, the likelier a click. */
static void act(const json_value *page, random_source *random) {
    for (const json_value *hit = at(page, "hits.0"); hit; hit = hit->next)
        if (random_double(random) < number_at(hit, "document.price") / STONES) click(page, text_at(hit, "id"));
}

static void sides_are_stable_logged_and_counted(void **state) {
    (void)state;
    char sides[40];
    uint32_t of_a = 0;
    assert_null(told());
    begin_trial(EXPERIMENT_AB, "model:1", "model:2");
    for (int round = 0; round < 2; round++)
        for (int u = 0; u < 40; u++) {
            const json_value *page = visit(u, "");
            const char *side = text_at(page, "experiment.side");
            assert_string_equal(text_at(page, "experiment.name"), "trial");
            assert_string_equal(text_at(page, "ranker.name"), *side == 'a' ? "model:1" : "model:2");
            assert_string_equal(text_at(page, "hits.0.id"), *side == 'a' ? "s5" : "s0");
            record_impression r = world_last_impression(w);
            assert_true(slice_is(r.experiment, "trial") && r.side == (*side == 'a' ? RECORD_SIDE_A : RECORD_SIDE_B));
            if (round) assert_int_equal(sides[u], *side);
            sides[u] = *side;
            of_a += *side == 'a';
        }
    assert_true(of_a > 2 * 8 && of_a < 2 * 32);
    assert_float_equal(number_at(told(), "result.a.opened"), of_a / 2, 0);
    assert_float_equal(number_at(told(), "result.b.opened"), 40 - of_a / 2, 0);
    /* A later page is the same side's. */
    for (int u = 0; u < 10; u++)
        assert_string_equal(text_at(visit(u, ",\"offset\":3"), "hits.0.id"), sides[u] == 'a' ? "s2" : "s3");
    /* Who asks for a ranker, or is not logged, takes no part. */
    assert_null(at(visit(1, ",\"ranker\":\"linear\""), "experiment"));
    assert_null(at(visit(1, ",\"log\":false"), "experiment"));
}

static void the_better_ranker_wins(void **state) {
    static const experiment_kind kinds[] = {EXPERIMENT_AB, EXPERIMENT_TEAM_DRAFT, EXPERIMENT_OPTIMISED};
    for (int k = 0; k < 3; k++) {
        random_source random;
        if (k) begin(state);
        random_seed(&random, 5 + (uint64_t)k);
        begin_trial(kinds[k], "model:2", "model:1");
        for (int u = 0; u < 250; u++) {
            const json_value *page = visit(u, "");
            if (k) assert_string_equal(text_at(page, "experiment.side"), "both");
            act(page, &random);
        }
        w->fixed += 600 * (int64_t)1000000;
        const json_value *t = told();
        assert_true(number_at(t, "result.difference.high") < 0);
        assert_string_equal(text_at(t, "result.difference.decided"), "b");
        if (k < 2) end(state);
    }
}

/* Two that are the same: every page is its own, and nobody wins. */
static void equals_do_not_win(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 3);
    uint64_t same = add_linear(w, "field.price", 2);
    begin_trial(EXPERIMENT_TEAM_DRAFT, "model:1", arena_printf(&w->memory, "model:%d", (int)same));
    for (int u = 0; u < 120; u++) act(visit(u, ""), &random);
    assert_string_equal(text_at(told(), "result.difference.decided"), "not yet");
    assert_float_equal(number_at(told(), "result.difference.estimate"), 0, 1e-9);
}

/* A pinned document is nobody's choice, wherever the sides would have put it. */
static void pinned_hits_credit_nobody(void **state) {
    (void)state;
    begin_trial(EXPERIMENT_TEAM_DRAFT, "model:1", "model:2");
    for (int u = 0; u < 40; u++) {
        visit(u, ",\"pinned\":[\"s5\"],\"hidden\":[\"s0\"]");
        record_impression r = world_last_impression(w);
        assert_int_equal(r.hits[0].document, number_of_id(w, "s5"));
        assert_true(r.hits[0].team == RECORD_SIDE_NONE && r.hits[0].lean == 0);
        for (uint32_t i = 0; i < r.n_hits; i++) assert_int_not_equal(r.hits[i].document, number_of_id(w, "s0"));
        assert_true(r.hits[1].team != RECORD_SIDE_NONE);
    }
}

static forage_status drop_apply(store_txn *t, void *self, base_error *error) {
    (void)self;
    return store_delete(t, STORE_MODELS, SLICE("learned"), error);
}

static void drop_saved(void) {
    base_error error = {0};
    collection *c;
    collection_options options = {.no_sync = true, .clock = w->clock};
    store_job job = {drop_apply, NULL, NULL};
    assert_ok(collection_open(w->folder, "world", &options, &c, &error));
    assert_ok(store_write(collection_store(c), &job, NULL));
    collection_close(c);
}

/* What the saved state and the log since give back, and what the whole log gives back from nothing. */
static void a_reopened_collection_counts_on(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 9);
    begin_trial(EXPERIMENT_AB, "model:1", "model:2");
    for (int u = 0; u < 60; u++) act(visit(u % 30, ""), &random);
    (void)told(); /* looking changes nothing */
    w->fixed += 30 * (int64_t)1000000;
    (void)told();
    for (int u = 0; u < 20; u++) act(visit(u, ""), &random);
    buffer before = {0}, after = {0};
    store_wait(collection_store(w->collection));
    experiment_save(w->funnel->experiment, &before);
    world *other = world_crash(w); /* what was saved at the start, and the log since */
    experiment_save(other->funnel->experiment, &after);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    world_end(other);
    world_reopen(w);
    buffer_clear(&after);
    experiment_save(w->funnel->experiment, &after);
    assert_memory_equal(before.data, after.data, before.size);
    assert_true(true_at(told(), "running"));
    world_shut(w);
    drop_saved();
    world_open(w); /* learns from the whole log */
    buffer_clear(&after);
    experiment_save(w->funnel->experiment, &after);
    assert_int_equal(before.size, after.size);
    assert_memory_equal(before.data, after.data, before.size);
    buffer_release(&before);
    buffer_release(&after);
}

static void an_experiment_that_has_ended_stops(void **state) {
    (void)state;
    base_error error = {0};
    assert_int_equal(funnel_experiment_end(w->funnel, &error), FORAGE_E_NOT_FOUND);
    begin_trial(EXPERIMENT_AB, "model:1", "model:2");
    assert_int_equal(start(EXPERIMENT_AB, "model:1", "rrf", 60, &error), FORAGE_E_EXISTS);
    visit(1, "");
    assert_ok(funnel_experiment_end(w->funnel, NULL));
    assert_null(at(visit(2, ""), "experiment"));
    assert_false(true_at(told(), "running"));
    world_reopen(w);
    assert_null(at(visit(2, ""), "experiment"));
    assert_false(true_at(told(), "running"));
    assert_float_equal(number_at(told(), "result.a.opened") + number_at(told(), "result.b.opened"), 1, 0);
    begin_trial(EXPERIMENT_AB, "model:2", "model:1"); /* of the same name: it counts anew */
    assert_float_equal(number_at(told(), "result.a.opened") + number_at(told(), "result.b.opened"), 0, 0);
}

static void a_side_that_is_gone_ends_nothing_but_its_part(void **state) {
    (void)state;
    uint64_t gone = add_linear(w, "field.price", -2);
    begin_trial(EXPERIMENT_TEAM_DRAFT, "model:1", arena_printf(&w->memory, "model:%d", (int)gone));
    assert_non_null(at(visit(1, ""), "experiment"));
    assert_ok(funnel_model_remove(w->funnel, gone, NULL));
    for (int u = 0; u < 5; u++) {
        const json_value *page = visit(u, "");
        assert_null(at(page, "experiment"));
        assert_string_equal(text_at(page, "ranker.name"), "linear");
        assert_int_equal(count_at(page, "hits"), 3);
        assert_int_equal(world_last_impression(w).side, RECORD_SIDE_NONE);
    }
}

static void sides_are_checked(void **state) {
    (void)state;
    base_error error = {0};
    assert_int_equal(start(EXPERIMENT_AB, "model:1", "model:9", 60, &error), FORAGE_E_NOT_FOUND);
    assert_int_equal(start(EXPERIMENT_AB, "model:1", "magic", 60, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "\"b\""));
    assert_int_equal(start(EXPERIMENT_AB, "model:1", "fixed", 60, &error), FORAGE_E_INVALID);
    assert_int_equal(start(EXPERIMENT_TEAM_DRAFT, "all", "fixed", 60, &error), FORAGE_E_INVALID);
    assert_int_equal(start(EXPERIMENT_AB, "rrf", "rrf", 60, &error), FORAGE_E_INVALID);
    assert_int_equal(start(EXPERIMENT_AB, "rrf", "linear", -1, &error), FORAGE_E_INVALID);
}

static void policies_are_compared_too(void **state) {
    (void)state;
    begin_trial(EXPERIMENT_AB, "all", "fixed");
    for (int u = 0; u < 20; u++) {
        const json_value *page = visit(u, "");
        assert_string_equal(text_at(page, "decision.policy"), *text_at(page, "experiment.side") == 'a' ? "all" : "fixed");
    }
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(sides_are_stable_logged_and_counted), T(the_better_ranker_wins), T(equals_do_not_win), T(pinned_hits_credit_nobody),
        T(a_reopened_collection_counts_on), T(an_experiment_that_has_ended_stops), T(a_side_that_is_gone_ends_nothing_but_its_part),
        T(sides_are_checked), T(policies_are_compared_too),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
