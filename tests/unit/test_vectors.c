/* Vector fields: what documents bring is found at once, survives, and stays in step; what is wrong is said. */
#include "world.h"

#include "base/random.h"
#include "retrieve/vectors.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static world *w;
static arena lasting;

static const char *const points =
    "{\"id\":\"east\",\"title\":\"sunrise\",\"kind\":\"side\",\"place\":[1,0,0]}\n"
    "{\"id\":\"north\",\"title\":\"cold\",\"kind\":\"side\",\"place\":[0,1,0]}\n"
    "{\"id\":\"northeast\",\"title\":\"breeze\",\"kind\":\"corner\",\"place\":[0.7,0.7,0]}\n"
    "{\"id\":\"up\",\"title\":\"sky\",\"kind\":\"side\",\"place\":[0,0.1,1]}\n"
    "{\"id\":\"nowhere\",\"title\":\"lost\"}\n";

static int set_up(void **state) {
    (void)state;
    arena_init(&lasting, 0);
    w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"kind\":{\"type\":\"keyword\"},"
                    "\"place\":{\"type\":\"vector\",\"dimensions\":3}}}");
    world_import(w, points);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    arena_release(&lasting);
    return 0;
}

/* The ids that a search finds, best first. All strategies are asked, so that nothing is left to chance. */
static const char *found(const char *members) {
    const char *request = arena_printf(&lasting, "{\"policy\":\"all\",%s}", members);
    return world_ids(w, world_search(w, request));
}

static void assert_refused(const char *request, const char *why) {
    const json_value *answer;
    base_error error = {0};
    assert_int_not_equal(world_try(w, request, &answer, &error), FORAGE_OK);
    if (!strstr(error.message, why)) fail_msg("expected \"%s\" in \"%s\"", why, error.message);
}

/* Of the documents that have a vector, those nearest to the one given come first. */
static void assert_nearest(const char *vector, const char *ids) {
    const char *all = found(arena_printf(&lasting, "\"vector\":%s", vector));
    if (strncmp(all, ids, strlen(ids)) != 0) fail_msg("expected \"%s\" at first, got \"%s\"", ids, all);
}

static void what_documents_bring_is_found_at_once(void **state) {
    (void)state;
    assert_nearest("[1,0.1,0]", "east northeast north");
    assert_nearest("[0,0,2]", "up");
    world_import(w, "{\"id\":\"down\",\"title\":\"cellar\",\"place\":[0,0,-1]}\n"
                    "{\"id\":\"east\",\"title\":\"sunrise\",\"place\":[-1,0,0]}\n");
    assert_nearest("[0,0,-3]", "down");
    assert_nearest("[1,0.1,0]", "northeast north");
    assert_ok(collection_delete(w->collection, SLICE("northeast"), NULL));
    assert_nearest("[0.5,1,0]", "north");
    assert_null(strstr(found("\"vector\":[0.5,1,0]"), "northeast"));
}

static void filters_hold(void **state) {
    (void)state;
    assert_string_equal(found("\"vector\":[1,1,0],\"filter\":{\"kind\":\"corner\"}"), "northeast");
    const char *sides = found("\"vector\":[1,0.9,0],\"filter\":{\"kind\":\"side\"}");
    assert_string_equal(sides, "east north up");
}

static void they_survive(void **state) {
    (void)state;
    world_reopen(w);
    assert_ok(vectors_settle(funnel_vectors(w->funnel), NULL));
    assert_nearest("[1,0.1,0]", "east northeast north");
    world_import(w, "{\"id\":\"west\",\"title\":\"sunset\",\"place\":[-1,0,0]}\n");
    w = world_crash(w);
    assert_ok(vectors_settle(funnel_vectors(w->funnel), NULL));
    assert_nearest("[-1,0.1,0]", "west");
    assert_nearest("[1,0.1,0]", "east northeast north");
}

static void words_and_vectors_meet(void **state) {
    (void)state;
    assert_string_equal(found("\"query\":\"cold\""), "north"); /* nothing encodes the words */
    const char *both = found("\"query\":\"cold\",\"vector\":[1,0,0]");
    assert_non_null(strstr(both, "north"));
    assert_non_null(strstr(both, "east"));
    const json_value *a = world_search(w, "{\"query\":\"cold\",\"vector\":[0,1,0],\"policy\":\"all\",\"explain\":true}");
    const json_value *hit = at(a, "hits")->first;
    assert_true(number_at(named(at(hit, "explain.features"), "name", "semantic_score"), "value") > 0.99);
}

/* Of many documents, what is near comes first, not what is popular or new among all. */
static void an_example_outweighs_what_is_popular(void **state) {
    (void)state;
    buffer lines = {0};
    for (int i = 0; i < 300; i++) { /* 0.3 degrees apart */
        double angle = i * 0.3 * 3.14159265 / 180;
        buffer_printf(&lines, "{\"id\":\"a%d\",\"place\":[%.6f,%.6f,0]}\n", i, cos(angle), sin(angle));
    }
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
    static const struct { const char *policy, *asked; } requests[] = {
        {"all", "\"vector\":[1,1,0]"}, {"all", "\"like\":\"a150\""}, {"fixed", "\"vector\":[1,1,0]"}, {"regcb", "\"vector\":[1,1,0]"}};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++) {
        const char *request = arena_printf(&lasting, "{\"policy\":\"%s\",%s}", requests[i].policy, requests[i].asked);
        const char *ids = world_ids(w, world_search(w, request));
        int first = -1;
        if (strncmp(ids, "northeast ", 10) == 0) ids += 10;
        if (sscanf(ids, "a%d ", &first) != 1 || abs(first - 150) > 20) fail_msg("%s %s: %s", requests[i].policy, requests[i].asked, ids);
    }
}

static void like_a_document(void **state) {
    (void)state;
    const char *like = found("\"like\":\"northeast\"");
    assert_null(strstr(like, "northeast"));
    assert_true(strncmp(like, "east north", 10) == 0 || strncmp(like, "north east", 10) == 0);
    assert_string_equal(found("\"like\":\"nowhere\""), "");
    assert_refused("{\"like\":\"unheard of\"}", "no document \"unheard of\"");
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    assert_refused("{\"vector\":[1,2]}", "has 3 dimensions, got 2");
    assert_refused("{\"vector\":[0,0,0]}", "no direction");
    assert_refused("{\"vector\":\"x\"}", "expected an array of numbers");
    assert_refused("{\"vector\":[1,1e300,2]}", "32-bit");
    assert_refused("{\"vector\":[1,2,3],\"vector_field\":\"kind\"}", "no vector field \"kind\"");
    static const char *const bad[][2] = {{"[1,2]", "expected an array of 3 numbers, got 2"}, {"[0,0,0]", "no direction"},
                                         {"\"1,2,3\"", "expected an array of 3 numbers"}, {"[1,null,3]", "expected an array"},
                                         {"[1,1e39,3]", "expected an array"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        import_report report;
        arena_init(&report.memory, 0);
        const char *line = arena_printf(&lasting, "{\"id\":\"bad\",\"place\":%s}\n", bad[i][0]);
        world_import_report(w, slice_of(line), &report);
        assert_int_equal(report.failed, 1);
        if (!strstr(report.problems[0].message.data, bad[i][1])) fail_msg("%s: %s", bad[i][0], report.problems[0].message.data);
        arena_release(&report.memory);
    }
}

static void declarations_are_checked(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"{\"type\":\"vector\"}", "needs \"dimensions\""},
        {"{\"type\":\"vector\",\"dimensions\":3,\"metric\":\"manhattan\"}", "there is no \"manhattan\""},
        {"{\"type\":\"vector\",\"dimensions\":3,\"code\":\"int3\"}", "there is no \"int3\""},
        {"{\"type\":\"vector\",\"encoder\":\"magic\"}", "there is no \"magic\""},
        {"{\"type\":\"vector\",\"dimensions\":3,\"encoder\":{\"kind\":\"bert\"}}", "needs \"model\""},
        {"{\"type\":\"vector\",\"dimensions\":3,\"encoder\":{\"kind\":\"remote\",\"model\":\"m\"}}", "needs \"url\""},
        {"{\"type\":\"vector\",\"dimensions\":3,\"from\":[1]}", "expected names"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        base_error error = {0};
        const char *text = arena_printf(&lasting, "{\"fields\":{\"v\":%s}}", bad[i][0]);
        assert_int_equal(collection_extend_schema(w->collection, parse(&lasting, text), &error), FORAGE_E_SCHEMA);
        if (!strstr(error.message, bad[i][1])) fail_msg("%s: %s", bad[i][0], error.message);
    }
}

/* What cannot be opened takes nothing with it, and is told. */
static void an_encoder_that_is_not_there_stops_nobody(void **state) {
    (void)state;
    base_error error = {0};
    log_set_level(LOG_SILENT);
    world_schema(w, "{\"fields\":{\"meaning\":{\"type\":\"vector\",\"dimensions\":8,"
                    "\"encoder\":{\"kind\":\"bert\",\"model\":\"/none/such\"}}}}");
    assert_int_not_equal(vectors_settle(funnel_vectors(w->funnel), &error), FORAGE_OK);
    log_set_level(LOG_WARN);
    vectors_info fields[SPARSE_MAX_FIELDS];
    size_t n = vectors_describe(funnel_vectors(w->funnel), fields);
    assert_int_equal(n, 2);
    assert_non_null(strstr(fields[1].problem, "/none/such"));
    assert_string_equal(found("\"query\":\"cold\""), "north");
    assert_nearest("[0,0,2]", "up");
    import_report report;
    arena_init(&report.memory, 0);
    world_import_report(w, SLICE("{\"id\":\"x\",\"meaning\":[1,2,3,4,5,6,7,8]}\n"), &report);
    assert_non_null(strstr(report.problems[0].message.data, "made by the field's encoder"));
    arena_release(&report.memory);
}

/* ---- The catalogue's own encoder ---- */

/* Two fields of knowledge; in each, words that never stand together have the same company. */
static void import_knowledge(void) {
    static const char *const worlds[2][8] = {{"car", "engine", "wheel", "road", "brake", "driver", "fuel", "gear"},
                                             {"soup", "onion", "pepper", "kitchen", "spoon", "cook", "salt", "stew"}};
    buffer lines = {0};
    random_source r;
    random_seed(&r, 3);
    for (int i = 0; i < 200; i++) {
        const char *const *words = worlds[i % 2];
        buffer_printf(&lines, "{\"id\":\"%s%d\",\"title\":\"", i % 2 ? "food" : "ride", i);
        /* "automobile" stands where "car" does, but never beside it. */
        buffer_printf(&lines, "%s", i % 2 ? "dish" : i % 4 ? "automobile" : "car");
        for (int n = 0; n < 4; n++) buffer_printf(&lines, " %s", words[1 + random_below(&r, 7)]);
        buffer_printf(&lines, "\"}\n");
    }
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
}

static void train(bool anew) {
    base_error error = {0};
    vectors *v = funnel_vectors(w->funnel);
    if (anew ? vectors_train(v, &error) : vectors_settle(v, &error)) fail_msg("%s", error.message);
}

static vectors_info meaning_of(void) {
    vectors_info fields[SPARSE_MAX_FIELDS];
    size_t n = vectors_describe(funnel_vectors(w->funnel), fields);
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].field->name, "meaning") == 0) return fields[i];
    fail();
    return fields[0];
}

static size_t count_starting(const char *ids, const char *prefix) {
    size_t n = 0;
    for (const char *at = ids; (at = strstr(at, prefix)); at++) n++;
    return n;
}

static void the_catalogue_teaches_itself(void **state) {
    (void)state;
    world_schema(w, "{\"fields\":{\"meaning\":{\"type\":\"vector\",\"dimensions\":8,\"encoder\":\"catalogue\"}}}");
    import_knowledge();
    train(false);
    vectors_info info = meaning_of();
    assert_true(info.version != 0 && info.trained_documents > 200);
    assert_true(info.index.documents >= 200);
    /* "automobile" finds documents that say "car" only. */
    const char *ids = found("\"query\":\"automobile\",\"limit\":100,\"ranker\":\"rrf\"");
    assert_int_equal(count_starting(ids, "food"), 0);
    assert_true(count_starting(ids, "ride") > 60); /* 50 have the word */
    /* A word that nobody wrote, spelt almost like one. */
    ids = found("\"query\":\"kitchens oniones\",\"limit\":10");
    assert_true(count_starting(ids, "food") >= 8);
    /* It is the same after a restart, without another training. */
    world_reopen(w);
    train(false);
    assert_true(meaning_of().version == info.version);
    assert_true(meaning_of().index.documents == info.index.documents);
    /* A document that comes later has its vector soon. */
    world_import(w, "{\"id\":\"late\",\"title\":\"stew of pepper and salt\"}\n");
    train(false);
    assert_true(meaning_of().index.documents == info.index.documents + 1);
    assert_non_null(strstr(found("\"like\":\"late\",\"limit\":5"), "food"));
}

/* By the catalogue's vectors alone: other strategies remember what was chosen. */
static double similarity_to(const char *query, const char *id) {
    vector_query *q = vectors_ask(funnel_vectors(w->funnel), slice_of(query), NULL, NULL, UINT32_MAX);
    const sparse_snapshot *s = collection_acquire(w->collection);
    sparse_eligible all;
    sparse_hit hit;
    arena a;
    store_txn *t;
    uint32_t number;
    bool late = false;
    arena_init(&a, 0);
    sparse_eligible_compute(s, NULL, &a, &all);
    assert_int_equal(vector_query_search(q, &all, 1, INT64_MAX, &a, &hit, &late), 1);
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_true(collection_number_of(t, slice_of(id), &number));
    store_read_end(t);
    double similarity = (double)vector_query_similarity(q, number).catalogue;
    collection_release(w->collection, s);
    vector_query_release(q);
    arena_release(&a);
    return similarity;
}

static void what_people_choose_teaches_it(void **state) {
    (void)state;
    world_schema(w, "{\"fields\":{\"meaning\":{\"type\":\"vector\",\"dimensions\":8,\"encoder\":\"catalogue\"}}}");
    import_knowledge();
    train(false);
    uint64_t before = meaning_of().version;
    assert_int_equal(count_starting(found("\"query\":\"vroom\",\"limit\":10"), "ride"), 0);
    static funnel_engagement chosen[40];
    for (int i = 0; i < 40; i++) {
        const char *id = arena_printf(&lasting, "ride%d", i * 4);
        chosen[i] = (funnel_engagement){.query = SLICE("vroom"), .user = slice_of(arena_printf(&lasting, "u%d", i)),
                                        .document = slice_of(id), .action = SLICE("click"), .time = (int64_t)1700000000 * 1000000};
    }
    size_t taught = 0;
    assert_ok(funnel_teach(w->funnel, chosen, 40, &taught, NULL));
    assert_int_equal(taught, 40);
    train(true);
    assert_true(meaning_of().version != before);
    assert_int_equal(meaning_of().trained_pairs, 40);
    /* Also documents that nobody chose after it, but that are like those. */
    const char *ids = found("\"query\":\"vroom\",\"limit\":60");
    size_t others = 0;
    for (int i = 160; i < 200; i += 4) others += strstr(ids, arena_printf(&lasting, "ride%d ", i)) != NULL;
    assert_true(others >= 8); /* of 10 */
    /* And the query is a word of what was chosen: nearer than any of the same kind. */
    double nearest = 0, chosen_mean = 0;
    for (int i = 0; i < 200; i += 4) {
        double s = similarity_to("vroom", arena_printf(&lasting, "ride%d", i));
        if (i >= 160) nearest = fmax(nearest, s);
        else chosen_mean += s / 40;
    }
    assert_true(chosen_mean > nearest);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(what_documents_bring_is_found_at_once),
        ISOLATED(filters_hold),
        ISOLATED(they_survive),
        ISOLATED(words_and_vectors_meet),
        ISOLATED(an_example_outweighs_what_is_popular),
        ISOLATED(like_a_document),
        ISOLATED(what_is_wrong_is_said),
        ISOLATED(declarations_are_checked),
        ISOLATED(an_encoder_that_is_not_there_stops_nobody),
        ISOLATED(the_catalogue_teaches_itself),
        ISOLATED(what_people_choose_teaches_it),
    };
    return cmocka_run_group_tests_name("vectors", tests, NULL, NULL);
}
