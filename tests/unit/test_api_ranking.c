/* Models, trainings, experiments and what shapes an order, by forage_call: what they answer and what they refuse. */
#include "calling.h"

static caller c;

#define CALL(method, target, body) call(c.db, method, target, body)
#define FAILS(method, target, body, status, code) assert_fails(c.db, method, target, body, status, code)
#define OK(method, target, body) call_ok(c.db, method, target, body)
#define C "/collections/books"

static const char *const books =
    "{\"id\":\"b1\",\"type\":\"book\",\"title\":\"The Hunger Games\",\"year\":2008,\"price\":5,\"popularity\":9}\n"
    "{\"id\":\"b2\",\"type\":\"book\",\"title\":\"Catching Fire\",\"year\":2009,\"price\":90,\"popularity\":7}\n"
    "{\"id\":\"b3\",\"type\":\"book\",\"title\":\"Goblet of Fire\",\"year\":2000,\"price\":1,\"popularity\":8}\n"
    "{\"id\":\"f1\",\"type\":\"film\",\"title\":\"Fire\",\"year\":1996,\"price\":2,\"popularity\":1}\n"
    "{\"id\":\"f2\",\"type\":\"film\",\"title\":\"Fire Walk\",\"year\":1992,\"price\":3,\"popularity\":2}\n";

static int set_up(void **state) {
    (void)state;
    caller_begin(&c);
    OK("PUT", C, "{\"fields\":{\"title\":{\"type\":\"text\"},\"year\":{\"type\":\"number\"},\"price\":{\"type\":\"number\"}},"
                 "\"ranking\":{\"features\":[\"year\",\"price\",\"request.nearness\"]}}");
    OK("POST", C "/documents", books);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    caller_end(&c);
    return 0;
}

/* One split of one feature, as LightGBM writes it: `low` up to the threshold, `high` above it. */
static const char *stump(const char *feature, double threshold, double low, double high, bool with_counts) {
    static char text[1024];
    snprintf(text, sizeof text,
             "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nlabel_index=0\nmax_feature_idx=0\nobjective=lambdarank\n"
             "feature_names=%s\nfeature_infos=[0:9999]\ntree_sizes=300\n\nTree=0\nnum_leaves=2\nnum_cat=0\nsplit_feature=0\nsplit_gain=1\n"
             "threshold=%g\ndecision_type=2\nleft_child=-1\nright_child=-2\nleaf_value=%g %g\n%s"
             "internal_value=0\n%sis_linear=0\nshrinkage=1\n\n\nend of trees\n",
             feature, threshold, low, high, with_counts ? "leaf_weight=5 15\nleaf_count=5 15\n" : "",
             with_counts ? "internal_weight=20\ninternal_count=20\n" : "");
    return text;
}

static int64_t import(const char *parameters, const char *model) {
    char target[200];
    snprintf(target, sizeof target, C "/models%s", parameters);
    answer a = CALL("POST", target, model);
    if (a.status != 201) fail_msg("%d %s", a.status, a.response.body);
    int64_t number = (int64_t)number_at(a.json, "model");
    answer_release(&a);
    return number;
}

/* The ids of a search's hits, with commas. */
static const char *ids(const char *body) {
    static char text[400];
    answer a = CALL("POST", C "/search", body);
    if (a.status != 200) fail_msg("%s", a.response.body);
    text[0] = '\0';
    const json_value *hits = json_get(a.json, "hits");
    for (const json_value *hit = hits->first; hit; hit = hit->next)
        snprintf(text + strlen(text), sizeof text - strlen(text), "%s%s", *text ? "," : "", text_at(hit, "id"));
    answer_release(&a);
    return text;
}

#define FIRE "\"query\":\"fire\",\"policy\":\"all\",\"timeout_ms\":60000,\"log\":false,\"seed\":3"

/* ---- Models ---- */

static void an_imported_model_orders_and_explains(void **state) {
    (void)state;
    int64_t oldest = import("?name=oldest", stump("field.year", 1995, 2, -1, true)); /* old before new */
    assert_int_equal(oldest, 1);
    assert_memory_equal(ids("{" FIRE ",\"ranker\":\"model:1\"}"), "f2", 2);
    answer a = CALL("GET", C "/models/1", NULL);
    assert_string_equal(text_at(a.json, "name"), "oldest");
    answer_release(&a);
    a = CALL("POST", C "/search", "{" FIRE ",\"ranker\":\"model:1\",\"explain\":true}");
    for (const json_value *hit = json_get(a.json, "hits")->first; hit; hit = hit->next) {
        double sum = number_at(hit, "explain.bias");
        assert_string_equal(text_at(hit, "explain.method"), "tree_shap");
        for (const json_value *f = json_get(json_get(hit, "explain"), "features")->first; f; f = f->next) {
            sum += number_at(f, "contribution");
            if (number_at(f, "contribution") != 0) assert_string_equal(text_at(f, "name"), "field.year");
        }
        assert_float_equal(sum, number_at(hit, "score"), 1e-5);
    }
    answer_release(&a);
}

static void a_model_without_counts_orders_and_does_not_explain(void **state) {
    (void)state;
    import("", stump("field.year", 1995, 2, -1, false));
    answer a = CALL("POST", C "/search", "{" FIRE ",\"ranker\":\"model:1\",\"explain\":true}");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(json_get(a.json, "hits")->first, "id"), "f2");
    assert_null(json_get(json_get(json_get(a.json, "hits")->first, "explain"), "method"));
    answer_release(&a);
}

static void maps_rename_and_importance_is_told_in_our_names(void **state) {
    (void)state;
    static const char *const maps[] = {"?map=theirs%09field.year%0A", "?map=%7B%22theirs%22%3A%22field.year%22%7D"};
    for (size_t i = 0; i < 2; i++) {
        char target[80];
        snprintf(target, sizeof target, C "/models/%d", (int)import(maps[i], stump("theirs", 1995, 2, -1, true)));
        answer a = CALL("GET", target, NULL);
        assert_string_equal(text_at(json_get(a.json, "importance")->first, "feature"), "field.year");
        answer_release(&a);
    }
    char body[1200];
    snprintf(body, sizeof body, "theirs\tfield.price\n%s", stump("theirs", 1995, 2, -1, true));
    import("?map_bytes=19", body);
    FAILS("POST", C "/models?map_bytes=9999", body, 400, "invalid_request");
    FAILS("POST", C "/models?map_bytes=12", body, 400, "invalid_request");
    FAILS("POST", C "/models", stump("theirs", 1995, 2, -1, true), 400, "invalid_request");
    FAILS("POST", C "/models?map=theirs%09nothing", stump("theirs", 1995, 2, -1, true), 400, "invalid_request");
    FAILS("POST", C "/models?allow_missing=2", stump("theirs", 1995, 2, -1, true), 400, "invalid_request");
    import("?allow_missing=1", stump("theirs", 1995, 2, -1, true));
}

static void damaged_models_are_refused_and_change_nothing(void **state) {
    (void)state;
    const char *whole = stump("field.year", 1995, 2, -1, true);
    char cut[1024];
    size_t n = strlen(whole) - strlen("end of trees\n") - 3;
    for (size_t size = 0; size < n; size += 7) {
        snprintf(cut, size + 1, "%s", whole);
        FAILS("POST", C "/models", cut, 400, "invalid_request");
    }
    FAILS("POST", C "/models", "{\"learner\":{}}", 400, "invalid_request");
    FAILS("POST", C "/models", "\x7b\x4c\x00", 400, "invalid_request");
    answer a = CALL("GET", C "/models", NULL);
    assert_int_equal(count_at(a.json, "models"), 0);
    answer_release(&a);
}

static void what_serves_is_chosen_and_taken_back(void **state) {
    (void)state;
    import("", stump("field.year", 1995, 2, -1, true));
    import("", stump("field.price", 50, -1, 2, true));
    FAILS("POST", C "/models/rollback", NULL, 404, "not_found");
    OK("POST", C "/models/1/activate", NULL);
    assert_memory_equal(ids("{" FIRE "}"), "f2", 2);
    OK("POST", C "/models/2/activate", NULL);
    assert_memory_equal(ids("{" FIRE "}"), "b2", 2);
    assert_memory_equal(ids("{" FIRE ",\"ranker\":\"model:1\"}"), "f2", 2);
    FAILS("DELETE", C "/models/2", NULL, 400, "invalid_request");
    OK("POST", C "/models/rollback", NULL);
    assert_memory_equal(ids("{" FIRE "}"), "f2", 2);
    OK("POST", C "/models/2/shadow", NULL);
    FAILS("DELETE", C "/models/2", NULL, 400, "invalid_request");
    OK("POST", C "/models/0/shadow", NULL);
    OK("DELETE", C "/models/2", NULL);
    static const char *const wrong[] = {"x", "-1", "1.5", "99999999999999999999", "0x1", "%20"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        char target[100];
        snprintf(target, sizeof target, C "/models/%s", wrong[i]);
        FAILS("GET", target, NULL, 400, "invalid_request");
    }
    FAILS("GET", C "/models/2", NULL, 404, "not_found");
    FAILS("POST", C "/models/7/activate", NULL, 404, "not_found");
    FAILS("POST", C "/models/7/shadow", NULL, 404, "not_found");
    FAILS("POST", C "/search", "{\"ranker\":\"model:7\"}", 404, "not_found");
    FAILS("POST", C "/search", "{\"ranker\":\"model:0\"}", 400, "invalid_request");
}

/* ---- Training ---- */

static void trainings_check_what_they_are_asked(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "[]",                          "{\"kind\":\"forest\"}",      "{\"debias\":1}",            "{\"trees\":-1}",
        "{\"trees\":1.5}",             "{\"trees\":\"many\"}",       "{\"leaves\":1}",            "{\"learning_rate\":0}",
        "{\"held_out\":0.5,\"validation\":0.5}", "{\"since\":\"soon\"}", "{\"since\":-1}",        "{\"memory_mb\":1}",
        "{\"name\":7}",                "{\"surprise\":1}",           "{\"judgments\":[]}",        "{\"activate\":\"yes\"}",
        "{\"name\":\"a name that is longer than the sixty-four bytes that a name may have in here\"}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) FAILS("POST", C "/train", wrong[i], 400, "invalid_request");
    FAILS("POST", C "/train", "{\"trees\":NaN}", 400, "invalid_json");
    answer a = CALL("GET", C "/train", NULL);
    assert_string_equal(text_at(a.json, "state"), "never");
    answer_release(&a);
    FAILS("POST", C "/train", "{\"wait\":true,\"since\":\"2020-01-01\"}", 400, "invalid_request"); /* nothing to learn from */
    a = CALL("GET", C "/train", NULL);
    assert_string_equal(text_at(a.json, "state"), "failed");
    assert_non_null(strstr(text_at(a.json, "error"), "at least 30"));
    answer_release(&a);
    FAILS("GET", C "/examination?method=guess", NULL, 400, "invalid_request");
}

/* ---- What shapes an order ---- */

static void pinned_and_hidden(void **state) {
    (void)state;
    const char *shown = ids("{" FIRE ",\"pinned\":[\"f2\",\"b1\"],\"hidden\":[\"b2\"]}");
    assert_memory_equal(shown, "f2,b1,", 6);
    assert_null(strstr(shown, "b2"));
    assert_null(strstr(ids("{" FIRE ",\"pinned\":[\"f2\"],\"hidden\":[\"f2\"]}"), "f2"));
    shown = ids("{" FIRE ",\"pinned\":[{\"id\":\"b1\",\"position\":2}]}");
    assert_memory_equal(shown + 3, "b1", 2);
    assert_null(strstr(ids("{" FIRE ",\"pinned\":[\"f2\"],\"filter\":{\"type\":\"book\"}}"), "f2")); /* a filter is a filter */
    assert_non_null(strstr(ids("{" FIRE ",\"pinned\":[\"nobody\"]}"), "b2"));
}

static void value_moves_what_is_dear(void **state) {
    (void)state;
    assert_memory_equal(ids("{" FIRE ",\"value\":{\"field\":\"price\",\"strength\":4}}"), "b2", 2);
    FAILS("POST", C "/search", "{\"value\":{\"field\":\"title\",\"strength\":1}}", 400, "invalid_request");
    FAILS("POST", C "/search", "{\"value\":{\"field\":\"price\",\"strength\":-1}}", 400, "invalid_request");
    FAILS("POST", C "/search", "{\"value\":{\"field\":\"price\",\"strength\":5}}", 400, "invalid_request");
    FAILS("POST", C "/search", "{\"value\":3}", 400, "invalid_request");
}

static void diversity_mixes_types(void **state) {
    (void)state;
    import("", stump("field.year", 1998, -1, 2, true)); /* both books before both films */
    const char *shown = ids("{" FIRE ",\"ranker\":\"model:1\"}");
    assert_true(shown[0] == 'b' && shown[3] == 'b' && shown[6] == 'f' && shown[9] == 'f');
    shown = ids("{" FIRE ",\"ranker\":\"model:1\",\"diversity\":0.7}");
    assert_true(shown[0] == 'b' && shown[3] == 'f');
}

static void features_of_the_request_reach_the_model(void **state) {
    (void)state;
    import("", stump("request.nearness", 0.5, 0, 1, true));
    assert_memory_equal(ids("{" FIRE ",\"ranker\":\"model:1\",\"features\":{\"nearness\":{\"f1\":0.9,\"b2\":0.1}}}"), "f1", 2);
    assert_memory_equal(ids("{" FIRE ",\"ranker\":\"model:1\",\"features\":{\"nearness\":{\"b3\":0.9,\"unknown\":1}}}"), "b3", 2);
}

static void what_shapes_is_checked(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "{\"pinned\":\"b1\"}",           "{\"pinned\":[7]}",                  "{\"pinned\":[{\"id\":\"b1\",\"position\":0}]}",
        "{\"pinned\":[{\"place\":1}]}",  "{\"hidden\":[{\"id\":\"b1\"}]}",    "{\"hidden\":[\"\"]}",
        "{\"diversity\":-0.1}",          "{\"diversity\":1.1}",               "{\"diversity\":\"much\"}",
        "{\"explore\":1}",               "{\"explore\":{\"temperature\":-1}}", "{\"explore\":{\"top\":1}}",
        "{\"features\":[1]}",            "{\"features\":{\"a\":\"b\"}}",      "{\"features\":{\"a\":{\"b\":[]}}}",
        "{\"page\":7}",                  "{\"page\":\"x\"}",                  "{\"page\":\"AAAA\",\"offset\":1}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) FAILS("POST", C "/search", wrong[i], 400, "invalid_request");
    static char huge[100000];
    size_t n = (size_t)snprintf(huge, sizeof huge, "{\"query\":\"fire\",\"page\":\"");
    memset(huge + n, 'A', 90000);
    strcpy(huge + n + 90000, "\"}");
    FAILS("POST", C "/search", huge, 400, "invalid_request");
    FAILS("PUT", C, "{\"ranking\":{\"features\":[\"title\"]}}", 400, "invalid_schema");
    FAILS("PUT", C, "{\"ranking\":{\"log_features\":2}}", 400, "invalid_schema");
    FAILS("PUT", C, "{\"ranking\":{\"surprise\":2}}", 400, "invalid_schema");
    FAILS("PUT", C, "{\"ranker\":\"model:x\"}", 400, "invalid_schema");
}

static void a_page_token_freezes_the_order(void **state) {
    (void)state;
    answer a = CALL("POST", C "/search", "{\"query\":\"fire\",\"limit\":2,\"page\":true,\"policy\":\"all\",\"timeout_ms\":60000}");
    char first[2][32], body[9000], whole[400];
    const json_value *hit = json_get(a.json, "hits")->first;
    snprintf(first[0], 32, "%s", text_at(hit, "id"));
    snprintf(first[1], 32, "%s", text_at(hit->next, "id"));
    snprintf(whole, sizeof whole, "%s", ids("{" FIRE ",\"limit\":4}"));
    snprintf(body, sizeof body, "{\"query\":\"fire\",\"limit\":2,\"page\":\"%s\"}", text_at(a.json, "next_page"));
    answer_release(&a);
    OK("POST", C "/documents", "{\"id\":\"b9\",\"type\":\"book\",\"title\":\"Fire fire fire\",\"popularity\":99}");
    const char *second = ids(body);
    assert_null(strstr(second, first[0]));
    assert_null(strstr(second, first[1]));
    assert_null(strstr(second, "b9"));
    assert_string_equal(second, whole + 6); /* as the whole order had it */
    FAILS("POST", C "/search", strcpy(body, "{\"query\":\"water\",\"page\":\"AQAA\"}"), 400, "invalid_request");
}

static void an_address_may_shape_an_order(void **state) {
    (void)state;
    import("", stump("field.year", 1998, -1, 2, true));
    static const char target[] = C "/search?q=fire&policy=all&timeout_ms=60000&log=false&seed=3&ranker=model:1&diversity=0.7"
                                   "&hidden=[\"b2\"]&page=true&limit=2&value={\"field\":\"price\",\"strength\":0}";
    answer a = CALL("GET", target, NULL);
    if (a.status != 200) fail_msg("%s", a.response.body);
    const json_value *hits = json_get(a.json, "hits");
    assert_string_equal(text_at(hits->first, "id"), "b3");
    assert_int_equal(text_at(hits->first->next, "id")[0], 'f');
    char next[400];
    snprintf(next, sizeof next, C "/search?q=fire&page=%s", text_at(a.json, "next_page"));
    answer_release(&a);
    OK("GET", next, NULL);
    FAILS("GET", C "/search?q=fire&diversity=0.7.1", NULL, 400, "invalid_request");
    FAILS("GET", C "/search?q=fire&diversity=.7", NULL, 400, "invalid_request");
}

/* ---- Somebody else's candidates ---- */

static void given_candidates_are_ranked(void **state) {
    (void)state;
    import("", stump("field.price", 50, 0, 1, true));
    answer a = CALL("POST", C "/rank", "{\"query\":\"fire\",\"ranker\":\"model:1\",\"candidates\":[\"b1\",\"b3\",{\"id\":\"theirs\","
                                       "\"features\":{\"field.price\":60}},{\"id\":\"b2\","
                                       "\"features\":{\"field.price\":5,\"nearness\":1}}]}");
    const json_value *hits = json_get(a.json, "hits");
    assert_int_equal(hits->count, 4);
    assert_string_equal(text_at(hits->first, "id"), "theirs");
    assert_int_equal(json_get(hits->first, "document")->type, JSON_NULL);
    assert_string_equal(text_at(hits->first->next, "id"), "b1"); /* equals as they were given; what b2 brings overrules */
    assert_string_equal(text_at(hits->first->next->next->next, "id"), "b2");
    answer_release(&a);
    a = CALL("POST", C "/rank", "{\"query\":\"fire\",\"ranker\":\"linear\",\"candidates\":[\"b1\",{\"id\":\"theirs\","
                                "\"features\":{\"lexical_rrf\":1,\"lexical_score\":1}}]}");
    assert_string_equal(text_at(json_get(a.json, "hits")->first, "id"), "theirs");
    answer_release(&a);
    static const char *const wrong[] = {
        "{}",  "{\"candidates\":[]}", "{\"candidates\":\"b1\"}", "{\"candidates\":[1]}", "{\"candidates\":[{\"features\":{}}]}",
        "{\"candidates\":[{\"id\":\"x\",\"features\":{\"a\":\"b\"}}]}", "{\"candidates\":[{\"id\":\"x\",\"score\":1}]}",
        "{\"candidates\":[{\"id\":\"x\",\"features\":{\"field.nothing\":1}}]}",
        "{\"candidates\":[\"b1\"],\"page\":true}", "{\"candidates\":[\"\"]}", "[]", "{\"candidates\":[\"b1\"],\"limit\":-1}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) FAILS("POST", C "/rank", wrong[i], 400, "invalid_request");
    FAILS("POST", C "/rank", "{\"candidates\":[{\"id\":\"x\",\"features\":{\"a\":NaN}}]}", 400, "invalid_json");
}

static void a_candidate_is_given_once(void **state) {
    (void)state;
    FAILS("POST", C "/rank", "{\"query\":\"fire\",\"candidates\":[\"b2\",\"x\",\"b2\"]}", 400, "invalid_request");
    FAILS("POST", C "/rank", "{\"query\":\"fire\",\"candidates\":[\"x\",\"x\"]}", 400, "invalid_request");
    answer a = CALL("POST", C "/rank", "{\"query\":\"fire\",\"candidates\":[\"b2\",\"x\"],"
                                       "\"pinned\":[\"b3\"],\"hidden\":[\"x\"],\"explain\":true}");
    assert_int_equal(a.status, 200);
    assert_string_equal(text_at(json_get(a.json, "hits")->first, "id"), "b3");
    answer_release(&a);
}

/* ---- Experiments ---- */

static void experiments_are_checked_and_end_once(void **state) {
    (void)state;
    static const char *const wrong[] = {
        "[]", "{}", "{\"name\":\"e\",\"a\":\"linear\"}", "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"nobody\"}",
        "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"regcb\"}", "{\"name\":\"e\",\"a\":\"all\",\"b\":\"regcb\"}",
        "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"rrf\",\"kind\":\"abc\"}", "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"rrf\",\"share\":-1}",
        "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"rrf\",\"alpha\":2}", "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"rrf\",\"split\":1}",
        "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"rrf\",\"surprise\":1}"};
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) FAILS("POST", C "/experiment", wrong[i], 400, "invalid_request");
    FAILS("POST", C "/experiment", "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"model:7\"}", 404, "not_found");
    FAILS("DELETE", C "/experiment", NULL, 404, "not_found");
    OK("POST", C "/experiment", "{\"name\":\"e\",\"a\":\"linear\",\"b\":\"rrf\"}");
    answer a = CALL("POST", C "/search", "{\"query\":\"fire\"}");
    assert_string_equal(text_at(a.json, "experiment.name"), "e");
    assert_string_equal(text_at(a.json, "experiment.side"), "both");
    answer_release(&a);
    a = CALL("POST", C "/experiment", "{\"name\":\"f\",\"a\":\"linear\",\"b\":\"rrf\"}");
    assert_int_equal(a.status, 409);
    answer_release(&a);
    OK("DELETE", C "/experiment", NULL);
    FAILS("DELETE", C "/experiment", NULL, 404, "not_found");
    a = CALL("GET", C "/experiment", NULL);
    assert_false(json_get(a.json, "running")->boolean);
    answer_release(&a);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(an_imported_model_orders_and_explains),
        ISOLATED(a_model_without_counts_orders_and_does_not_explain),
        ISOLATED(maps_rename_and_importance_is_told_in_our_names),
        ISOLATED(damaged_models_are_refused_and_change_nothing),
        ISOLATED(what_serves_is_chosen_and_taken_back),
        ISOLATED(trainings_check_what_they_are_asked),
        ISOLATED(pinned_and_hidden),
        ISOLATED(value_moves_what_is_dear),
        ISOLATED(diversity_mixes_types),
        ISOLATED(features_of_the_request_reach_the_model),
        ISOLATED(what_shapes_is_checked),
        ISOLATED(a_page_token_freezes_the_order),
        ISOLATED(an_address_may_shape_an_order),
        ISOLATED(given_candidates_are_ranked),
        ISOLATED(a_candidate_is_given_once),
        ISOLATED(experiments_are_checked_and_end_once),
    };
    return cmocka_run_group_tests_name("api_ranking", tests, NULL, NULL);
}
