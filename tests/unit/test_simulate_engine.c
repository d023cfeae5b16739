/* Simulated customers and the real engine: what is told is true, the same seed gives the same run, learning pays,
 * and bad requests are refused before anything is learned. */
#include "calling.h"

#include "simulate/simulation.h"

#include <pthread.h>

static world *w;

#define DOCUMENTS 240

/* Titles of two words out of twenty-four and fifteen: each word alone fits many documents. */
static void fill(world *to) {
    static const char *const colours[] = {"crimson", "amber",  "violet", "silver",  "golden", "scarlet",
                                          "azure",   "ivory",  "ebony",  "emerald", "copper", "coral",
                                          "indigo",  "maroon", "olive",  "pearl",   "russet", "sable",
                                          "tawny",   "umber",  "walnut", "ochre",   "lilac",  "jade"};
    static const char *const things[] = {"lantern", "harbour", "meadow", "castle", "orchard",
                                         "bridge",  "garden",  "tower",  "forest", "island",
                                         "river",   "valley",  "temple", "market", "desert"};
    buffer records = {0};
    world_schema(to, "{\"fields\":{\"title\":{\"type\":\"text\"},\"maker\":{\"type\":\"keyword\"}}}");
    for (int i = 0; i < DOCUMENTS; i++)
        buffer_printf(&records,
                      "{\"id\":\"d%d\",\"type\":\"%s\",\"title\":\"%s %s\",\"maker\":\"maker%d\",\"popularity\":%d}\n",
                      i, i % 3 ? "book" : "film", colours[i % 24], things[i / 24 % 15], i % 12, 1 + i * 7 % DOCUMENTS);
    world_import(to, buffer_text(&records));
    buffer_release(&records);
}

static int set_up(void **state) {
    (void)state;
    w = world_begin();
    fill(w);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    return 0;
}

static simulation_config settings(uint32_t n) {
    simulation_config c;
    simulation_config_default(&c);
    c.customers = n;
    c.population.seed = 17;
    c.population.users = 40;
    c.points = 5;
    return c;
}

static const json_value *simulate(world *in, const simulation_config *c) {
    simulation *s = NULL;
    base_error error = {0};
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    if (simulation_run(in->funnel, c, &s, &error)) fail_msg("%s", error.message);
    simulation_write(s, &writer);
    simulation_destroy(s);
    const json_value *json = parse(&w->memory, buffer_text(&text));
    buffer_release(&text);
    return json;
}

static void test_what_is_told_is_what_was_logged(void **state) {
    (void)state;
    simulation_config c = settings(300);
    c.population.n_drifts = 1;
    c.population.drift_at[0] = 150;
    const json_value *told = simulate(w, &c);
    arena a;
    buffer text = {0};
    arena_init(&a, 0);
    json_writer writer = json_writer_of(&text);
    funnel_write_stats(w->funnel, &writer);
    const json_value *stats = parse(&a, buffer_text(&text));
    assert_float_equal(number_at(stats, "impressions"), 300, 0); /* those that were only compared are not among them */
    assert_float_equal(number_at(stats, "events"), number_at(told, "events"), 0);
    assert_true(number_at(told, "events") > 100);
    assert_float_equal(number_at(told, "refused"), 0, 0);
    assert_int_equal(count_at(told, "series"), 5);
    assert_float_equal(number_at(told, "series.4.customers"), 300, 0);
    assert_float_equal(number_at(told, "series.4.events"), number_at(told, "events"), 0);
    assert_float_equal(number_at(told, "regret.compared"), 30, 0);
    assert_int_equal(count_at(told, "compared"), 4);
    assert_float_equal(number_at(told, "drifts.0.customer"), 150, 0);
    double sum = 0, share = number_at(named(at(told, "series.2.strategies"), "name", "lexical"), "share");
    for (int i = 0; i < QUERY_STYLES; i++) sum += number_at(told, arena_printf(&a, "styles.%d.customers", i));
    assert_float_equal(sum, 300, 0);
    assert_true(share > 0 && share <= 1);
    buffer_release(&text);
    arena_release(&a);
}

/* Clicks are drawn from what is expected, so both say the same but for luck. */
static void test_expected_and_drawn_rewards_agree(void **state) {
    (void)state;
    const char *const models[] = {"pbm", "cascade", "dbn"};
    for (size_t i = 0; i < 3; i++) {
        simulation_config c = settings(500);
        c.compare_every = 0;
        assert_ok(click_model_named(slice_of(models[i]), &c.clicks, NULL));
        const json_value *told = simulate(w, &c);
        assert_float_equal(number_at(told, "reward_per_1000") / number_at(told, "expected_per_1000"), 1, .15);
        assert_null(at(told, "regret"));
    }
}

static void assert_same_series(const json_value *a, const json_value *b, const char *member) {
    for (int i = 0; i < 5; i++) {
        const char *path = arena_printf(&w->memory, "series.%d.%s", i, member);
        if (number_at(a, path) != number_at(b, path))
            fail_msg("%s: %g and %g", path, number_at(a, path), number_at(b, path));
    }
}

/* Also with another number of comparisons in between: they leave no trace. */
static void test_a_seed_gives_the_same_run(void **state) {
    (void)state;
    world *other = world_begin();
    fill(other);
    simulation_config c = settings(250);
    c.until = 1750000000000000;
    const json_value *one = simulate(w, &c);
    c.compare_every = 3;
    const json_value *two = simulate(other, &c);
    assert_same_series(one, two, "events");
    assert_same_series(one, two, "expected_per_1000");
    assert_same_series(one, two, "reward_per_1000");
    world_end(other);
}

/* Nothing is known of ambiguous words at first; the memory finds out what people mean by them. */
static void test_learning_pays(void **state) {
    (void)state;
    simulation_config c = settings(4000);
    memset(c.population.styles, 0, sizeof c.population.styles);
    c.population.styles[STYLE_AMBIGUOUS] = 1;
    c.compare_every = 0;
    c.policy = SLICE("all"); /* whatever a busy machine makes of a policy's latencies */
    const json_value *told = simulate(w, &c);
    double first = number_at(told, "first.expected_per_1000"), last = number_at(told, "last.expected_per_1000");
    if (!(last > first * 1.1)) fail_msg("%g at first, %g at last", first, last);
}

static void test_a_schema_without_clicks_uses_its_least_action(void **state) {
    (void)state;
    world_schema(w, "{\"rewards\":{\"peek\":0.05}}");
    simulation_config c = settings(60);
    const json_value *told = simulate(w, &c);
    assert_float_equal(number_at(told, "actions.click"), .5, 1e-6); /* "click" is there by default and goes first */
    assert_null(at(told, "actions.peek"));
    assert_float_equal(number_at(told, "actions.purchase"), 1, 1e-6);
}

/* ---- Through the API ---- */

static void refused(forage *db, const char *body) {
    assert_fails(db, "POST", "/collections/shop/simulate", body, 400, "invalid_request");
}

static void test_bad_requests_are_refused_and_teach_nothing(void **state) {
    (void)state;
    caller c;
    caller_begin(&c);
    assert_fails(c.db, "POST", "/collections/shop/simulate", "{}", 404, "collection_not_found");
    call_ok(c.db, "PUT", "/collections/shop", "{\"fields\":{\"title\":{\"type\":\"text\"}}}");
    refused(c.db, "{}"); /* no documents yet */
    call_ok(c.db, "POST", "/collections/shop/documents",
            "{\"id\":\"a\",\"title\":\"one\"}\n{\"id\":\"b\",\"title\":\"two\"}\n");
    const char *const bodies[] = {"[]",
                                  "{\"customers\":0}",
                                  "{\"customers\":100001}",
                                  "{\"customers\":1e300}",
                                  "{\"customers\":\"many\"}",
                                  "{\"clicks\":1}",
                                  "{\"click_model\":\"ubm\"}",
                                  "{\"click_model\":7}",
                                  "{\"click_parameters\":[]}",
                                  "{\"click_parameters\":{\"eta\":-1}}",
                                  "{\"click_parameters\":{\"noise\":1,\"attraction\":0}}",
                                  "{\"click_parameters\":{\"theta\":1}}",
                                  "{\"styles\":{}}",
                                  "{\"styles\":{\"title\":-1}}",
                                  "{\"styles\":{\"shouting\":1}}",
                                  "{\"styles\":[1]}",
                                  "{\"drift_at\":0}",
                                  "{\"drift_at\":5000}",
                                  "{\"drift_at\":[20,10]}",
                                  "{\"drift_at\":[1,2,3,4,5,6,7,8,9]}",
                                  "{\"drift_at\":\"soon\"}",
                                  "{\"drift_share\":2}",
                                  "{\"season\":-1}",
                                  "{\"season_strength\":11}",
                                  "{\"days\":-1}",
                                  "{\"until\":\"tomorrow\"}",
                                  "{\"page\":0}",
                                  "{\"page\":101}",
                                  "{\"points\":501}",
                                  "{\"seed\":-1}",
                                  "{\"users\":0}",
                                  "{\"compare\":\"all\"}",
                                  "{\"compare\":[\"nobody\"]}",
                                  "{\"compare\":[1]}",
                                  "{\"policy\":\"nobody\"}",
                                  "{\"compare\":[\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\"]}"};
    for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) refused(c.db, bodies[i]);
    answer stats = call(c.db, "GET", "/collections/shop/stats", NULL);
    assert_float_equal(number_at(stats.json, "impressions"), 0, 0);
    answer_release(&stats);
    caller_end(&c);
}

static void test_a_small_run_through_the_api(void **state) {
    (void)state;
    caller c;
    caller_begin(&c);
    call_ok(c.db, "POST", "/collections/shop/documents",
            "{\"id\":\"a\",\"title\":\"one\"}\n{\"id\":\"b\",\"title\":\"two\"}\n{\"id\":\"c\"}\n");
    answer a = call(
        c.db, "POST", "/collections/shop/simulate",
        "{\"customers\":40,\"seed\":3,\"click_model\":\"dbn\",\"click_parameters\":{\"perseverance\":0.5},"
        "\"styles\":{\"title\":0.5,\"broad\":0.5},\"drift_at\":[10,30],\"season\":20,\"compare\":[],\"days\":0}");
    assert_int_equal(a.status, 200);
    assert_float_equal(number_at(a.json, "click_model.perseverance"), .5, 0);
    assert_int_equal(count_at(a.json, "drifts"), 2);
    assert_int_equal(count_at(a.json, "series"), 40);
    answer_release(&a);
    forage_close(c.db);
    caller_open(&c, true);
    assert_fails(c.db, "POST", "/collections/shop/simulate", "{}", 403, "read_only");
    caller_end(&c);
}

static void *run_long(void *self) {
    caller *c = self;
    answer a = call(c->db, "POST", "/collections/shop/simulate", "{\"customers\":4000,\"compare_every\":0}");
    int status = a.status;
    answer_release(&a);
    return (void *)(intptr_t)status;
}

/* Meanwhile others are served, and a second simulation is told to come back. */
static void test_one_at_a_time(void **state) {
    (void)state;
    caller c;
    pthread_t thread;
    void *status;
    int second = 200;
    caller_begin(&c);
    call_ok(c.db, "POST", "/collections/shop/documents",
            "{\"id\":\"a\",\"title\":\"one\"}\n{\"id\":\"b\",\"title\":\"two\"}\n");
    assert_int_equal(pthread_create(&thread, NULL, run_long, &c), 0);
    for (int i = 0; i < 200 && second == 200; i++) {
        call_ok(c.db, "GET", "/collections/shop/search?q=one", NULL);
        second = call_status(c.db, "POST", "/collections/shop/simulate", "{\"customers\":1}");
    }
    pthread_join(thread, &status);
    assert_true((second == 429) != ((intptr_t)status == 429)); /* whoever came second */
    assert_int_equal(call_status(c.db, "POST", "/collections/shop/simulate", "{\"customers\":1}"), 200);
    caller_end(&c);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_told_is_what_was_logged, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_expected_and_drawn_rewards_agree, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_seed_gives_the_same_run, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_learning_pays, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_a_schema_without_clicks_uses_its_least_action, set_up, tear_down),
        cmocka_unit_test(test_bad_requests_are_refused_and_teach_nothing),
        cmocka_unit_test(test_a_small_run_through_the_api),
        cmocka_unit_test(test_one_at_a_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
