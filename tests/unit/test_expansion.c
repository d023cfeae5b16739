/* Fields of weights: what documents bring is found at once, survives, and stays in step; a small SPLADE model finds what the words
 * do not say; what is wrong is said. */
#include "world.h"

#include "encode/bert.h"
#include "retrieve/vectors.h"

static world *w;
static arena lasting;

static const char *const documents =
    "{\"id\":\"apple\",\"title\":\"braeburn\",\"kind\":\"fruit\",\"learned\":{\"apple\":3,\"fruit\":2,\"##s\":0.5}}\n"
    "{\"id\":\"pear\",\"title\":\"conference\",\"kind\":\"fruit\",\"learned\":{\"pear\":3,\"fruit\":2.5}}\n"
    "{\"id\":\"cider\",\"title\":\"bottle\",\"kind\":\"drink\",\"learned\":{\"apple\":1,\"drink\":3,\"fruit\":0.4}}\n"
    "{\"id\":\"bare\",\"title\":\"nothing learned\"}\n"
    "{\"id\":\"faint\",\"title\":\"hardly anything\",\"learned\":{\"fruit\":0.001,\"zero\":0}}\n";

static int set_up(void **state) {
    (void)state;
    arena_init(&lasting, 0);
    w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"kind\":{\"type\":\"keyword\"},\"learned\":{\"type\":\"weights\"}}}");
    world_import(w, documents);
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

/* Those that the strategy alone finds. */
static void assert_expanded(const char *weights, const char *ids) {
    const json_value *answer =
        world_search(w, arena_printf(&lasting, "{\"policy\":\"all\",\"explain\":true,\"weights\":%s}", weights));
    buffer out = {0};
    for (const json_value *hit = at(answer, "hits")->first; hit; hit = hit->next)
        if (named(at(hit, "explain.strategies"), "name", "expansion")) buffer_printf(&out, "%s%s", out.size ? " " : "", text_at(hit, "id"));
    assert_string_equal(buffer_text(&out), ids);
    buffer_release(&out);
}

static void assert_refused(const char *request, const char *why) {
    const json_value *answer;
    base_error error = {0};
    assert_int_equal(world_try(w, request, &answer, &error), FORAGE_E_INVALID);
    if (!strstr(error.message, why)) fail_msg("expected \"%s\" in \"%s\"", why, error.message);
}

static void assert_near(double x, double wanted, double tolerance) {
    if (!(fabs(x - wanted) <= tolerance)) fail_msg("%g is not %g within %g", x, wanted, tolerance);
}

static vectors_info info_of(const char *name) {
    vectors_info fields[SPARSE_MAX_FIELDS];
    size_t n = vectors_describe(funnel_vectors(w->funnel), fields);
    for (size_t i = 0; i < n; i++)
        if (strcmp(fields[i].field->name, name) == 0) return fields[i];
    fail();
    return fields[0];
}

static void settle(void) {
    base_error error = {0};
    if (vectors_settle(funnel_vectors(w->funnel), &error)) fail_msg("%s", error.message);
}

static void what_documents_bring_is_found_at_once(void **state) {
    (void)state;
    assert_expanded("{\"fruit\":1}", "pear apple cider");
    assert_expanded("{\"apple\":1,\"fruit\":0.1}", "apple cider pear");
    assert_expanded("{\"plum\":1}", "");
    world_import(w, "{\"id\":\"plum\",\"title\":\"mirabelle\",\"learned\":{\"plum\":2,\"fruit\":3}}\n"
                    "{\"id\":\"pear\",\"title\":\"gone sour\",\"learned\":{\"vinegar\":2}}\n"
                    "{\"id\":\"plum\",\"title\":\"damson\",\"learned\":{\"plum\":1,\"fruit\":3.5}}\n"); /* the later one counts */
    assert_expanded("{\"fruit\":1}", "plum apple cider");
    assert_ok(collection_delete(w->collection, SLICE("apple"), NULL));
    assert_expanded("{\"fruit\":1,\"apple\":1}", "plum cider");
    world_import(w, "{\"id\":\"cider\",\"title\":\"bottle\"}\n");
    assert_expanded("{\"fruit\":1,\"apple\":1}", "plum");
}

static void scores_are_dot_products(void **state) {
    (void)state;
    const json_value *a = world_search(w, "{\"policy\":\"all\",\"explain\":true,\"weights\":{\"apple\":2,\"fruit\":0.5}}");
    const json_value *expansion = named(at(a, "hits.0.explain.strategies"), "name", "expansion");
    assert_string_equal(text_at(a, "hits.0.id"), "apple");
    /* Weights are kept in steps of 4 / 255. */
    assert_near(number_at(expansion, "score"), 2 * 3 + 0.5 * 2, 2.5 * 4 / 255 / 2);
}

static void filters_hold(void **state) {
    (void)state;
    assert_string_equal(found("\"weights\":{\"apple\":1},\"filter\":{\"kind\":\"drink\"}"), "cider");
    assert_string_equal(found("\"weights\":{\"fruit\":1},\"filter\":{\"kind\":\"fruit\"}"), "pear apple");
}

static void they_survive(void **state) {
    (void)state;
    world_reopen(w);
    assert_expanded("{\"fruit\":1}", "pear apple cider"); /* from the file */
    settle();
    assert_int_equal(info_of("learned").weights.documents, 3);
    world_import(w, "{\"id\":\"plum\",\"title\":\"mirabelle\",\"learned\":{\"fruit\":3}}\n");
    w = world_crash(w);
    settle();
    assert_expanded("{\"fruit\":1}", "plum pear apple cider");
}

/* Every file of weights is damaged, or gone: they are made anew. */
static void damaged_files_are_made_anew(void **state) {
    (void)state;
    for (int gone = 0; gone < 2; gone++) {
        char **names;
        size_t n, seen = 0;
        settle(); /* and so saves */
        world_shut(w);
        const char *folder = arena_printf(&lasting, "%s/collections/world/vectors", w->folder);
        if (!os_exists(folder)) folder = arena_printf(&lasting, "%s/vectors", w->folder);
        assert_ok(os_list(folder, &lasting, &names, &n, NULL));
        for (size_t i = 0; i < n; i++) {
            buffer bytes = {0};
            char *path = path_join(&lasting, folder, names[i]);
            if (!strstr(names[i], ".weights")) continue;
            seen++;
            assert_ok(os_read_file(path, 0, &bytes, NULL));
            bytes.data[bytes.size / 3] ^= 4;
            if (gone) assert_ok(os_remove_file(path, NULL));
            else assert_ok(os_write_file(path, bytes.data, bytes.size, NULL));
            buffer_release(&bytes);
        }
        assert_int_equal(seen, 1);
        log_set_level(LOG_SILENT);
        world_open(w);
        log_set_level(LOG_WARN);
        settle();
        assert_expanded("{\"fruit\":1}", "pear apple cider");
    }
}

static void words_and_weights_meet(void **state) {
    (void)state;
    assert_string_equal(found("\"query\":\"bottle\""), "cider"); /* nothing encodes the words */
    const char *both = found("\"query\":\"bottle\",\"weights\":{\"pear\":2}");
    assert_non_null(strstr(both, "cider"));
    assert_non_null(strstr(both, "pear"));
    const json_value *a =
        world_search(w, "{\"query\":\"bottle\",\"weights\":{\"drink\":1,\"fruit\":0.1},\"policy\":\"all\",\"explain\":true}");
    assert_string_equal(text_at(a, "hits.0.id"), "cider");
    assert_true(number_at(named(at(a, "hits.0.explain.features"), "name", "expansion_score"), "value") > 0.99);
    assert_true(number_at(named(at(a, "hits.0.explain.features"), "name", "expansion_rrf"), "value") > 0.99);
}

static void what_is_wrong_is_said(void **state) {
    (void)state;
    assert_refused("{\"weights\":[1,2]}", "\"weights\": expected an object");
    assert_refused("{\"weights\":{\"a\":-1}}", "token \"a\": expected a weight of 0 or more");
    assert_refused("{\"weights\":{\"a\":\"x\"}}", "token \"a\": expected a weight");
    assert_refused("{\"weights\":{\"a\":5}}", "5 is more than the field's \"max_weight\", 4");
    assert_refused("{\"weights\":{\"\":1}}", "a token has 1 to 256 bytes");
    assert_refused("{\"weights\":{\"a\":1},\"weights_field\":\"title\"}", "no field of weights \"title\"");
    assert_refused("{\"query\":\"x\",\"facets\":[\"learned\"]}", "weights field");
    static const char *const bad[][2] = {{"[1,2]", "expected an object"}, {"{\"a\":-0.1}", "a weight of 0 or more"},
                                         {"{\"a\":4.1}", "more than the field's"}, {"{\"a\":null}", "expected a weight"},
                                         {"\"apple\"", "expected an object"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        import_report report;
        arena_init(&report.memory, 0);
        world_import_report(w, slice_of(arena_printf(&lasting, "{\"id\":\"bad\",\"learned\":%s}\n", bad[i][0])), &report);
        assert_int_equal(report.failed, 1);
        if (!strstr(report.problems[0].message.data, bad[i][1])) fail_msg("%s: %s", bad[i][0], report.problems[0].message.data);
        arena_release(&report.memory);
    }
    static const char *const declarations[][2] = {
        {"{\"type\":\"weights\",\"max_weight\":0}", "max_weight"},
        {"{\"type\":\"weights\",\"encoder\":\"catalogue\"}", "not by \"catalogue\""},
        {"{\"type\":\"weights\",\"encoder\":{\"kind\":\"bert\"}}", "needs \"model\""},
        {"{\"type\":\"weights\",\"encoder\":{\"kind\":\"bert\",\"model\":\"m\",\"queries\":\"none\"}}", "there is no \"none\""}};
    for (size_t i = 0; i < sizeof declarations / sizeof *declarations; i++) {
        base_error error = {0};
        const char *text = arena_printf(&lasting, "{\"fields\":{\"v\":%s}}", declarations[i][0]);
        assert_int_equal(collection_extend_schema(w->collection, parse(&lasting, text), &error), FORAGE_E_SCHEMA);
        if (!strstr(error.message, declarations[i][1])) fail_msg("%s: %s", declarations[i][0], error.message);
    }
}

static void a_larger_scale_may_be_declared(void **state) {
    (void)state;
    world_schema(w, "{\"fields\":{\"wide\":{\"type\":\"weights\",\"max_weight\":100}}}");
    world_import(w, "{\"id\":\"big\",\"title\":\"big\",\"wide\":{\"fruit\":80}}\n"
                    "{\"id\":\"small\",\"title\":\"small\",\"wide\":{\"fruit\":20}}\n");
    const json_value *a =
        world_search(w, "{\"policy\":\"all\",\"explain\":true,\"weights_field\":\"wide\",\"weights\":{\"fruit\":50}}");
    const json_value *big = named(at(a, "hits"), "id", "big");
    assert_near(number_at(named(at(big, "explain.strategies"), "name", "expansion"), "score"), 4000, 50 * 0.2);
}

/* ---- With a model ---- */

static const char *model(void) {
    const char *source = getenv("FORAGE_SOURCE");
    return arena_printf(&lasting, "%s/tests/golden/bert", source ? source : ".");
}

static const char *const shop = "{\"id\":\"a\",\"title\":\"red running shoes\"}\n"
                                "{\"id\":\"b\",\"title\":\"warm winter jacket for women\"}\n"
                                "{\"id\":\"c\",\"title\":\"the blue bag of a walker\"}\n"
                                "{\"id\":\"d\",\"title\":\"cotton shirts for kids\"}\n";

enum { TITLES = 9 };
static const char *const titles[TITLES] = {"red running shoes", "warm winter jacket for women", "the blue bag of a walker",
                                           "cotton shirts for kids", "braeburn", "conference", "bottle", "nothing learned",
                                           "hardly anything"};
#define MAX_WEIGHT "10"
#define STEP (10 / 255.0)

static void encode_titles(bert_model *m, bert_weights out[TITLES]) {
    for (int i = 0; i < TITLES; i++) {
        slice title = slice_of(arena_printf(&lasting, "%s\n", titles[i]));
        assert_ok(bert_sparse_encode(m, ENCODE_DOCUMENT, &title, 1, 256, 0, INT64_MAX, &lasting, &out[i], NULL));
    }
}

static double weight_of(const bert_weights *of, uint32_t token) {
    for (uint32_t i = 0; i < of->n; i++)
        if (of->list[i].token == token) return (double)of->list[i].weight;
    return 0;
}

static double idf_among(const bert_weights *of_titles, uint32_t token) {
    double df = 0;
    for (int i = 0; i < TITLES; i++) df += weight_of(&of_titles[i], token) >= STEP / 2;
    return log1p((TITLES - df + .5) / (df + .5));
}

/* What the engine adds up is what the model says of both texts, in its own steps. */
static void check_against_model(const char *queries, bool own_tokens) {
    bert_options options = {.head = BERT_SPARSE, .precision = BERT_FP32};
    bert_model *m;
    world_schema(w, arena_printf(&lasting, "{\"fields\":{\"splade\":{\"type\":\"weights\",\"max_weight\":" MAX_WEIGHT ",\"encoder\":{"
                                           "\"kind\":\"bert\",\"model\":\"%s\",\"precision\":\"fp32\",\"queries\":\"%s\"}}}}",
                                 model(), queries));
    world_import(w, shop);
    settle();
    assert_int_equal(info_of("splade").weights.documents, TITLES);
    assert_ok(bert_model_open(model(), &options, &m, NULL));
    slice query = SLICE("cold walk for women women");
    bert_weights of_query, of_titles[TITLES];
    encode_titles(m, of_titles);
    if (own_tokens) of_query = bert_sparse_tokens(m, query, 64, &lasting);
    else assert_ok(bert_sparse_encode(m, ENCODE_QUERY, &query, 1, 64, 0, INT64_MAX, &lasting, &of_query, NULL));
    assert_true(of_query.n > 0);
    if (own_tokens) assert_float_equal(of_query.list[0].weight, 2, 0); /* "women", twice */
    const json_value *answer =
        world_search(w, "{\"policy\":\"all\",\"explain\":true,\"query\":\"cold walk for women women\",\"limit\":20}");
    for (int i = 0; i < 4; i++) {
        double dot = 0, total = 0;
        for (uint32_t q = 0; q < of_query.n; q++) {
            double weight = (double)of_query.list[q].weight * (own_tokens ? idf_among(of_titles, of_query.list[q].token) : 1);
            dot += weight * weight_of(&of_titles[i], of_query.list[q].token);
            total += weight;
        }
        const char id[] = {(char)('a' + i), 0};
        const json_value *hit = named(at(answer, "hits"), "id", id);
        double raw = number_at(named(at(hit, "explain.strategies"), "name", "expansion"), "score");
        assert_near(raw, dot, total * STEP / 2 + 1e-3);
    }
    bert_model_close(m);
}

static void a_model_weighs_both_sides(void **state) {
    (void)state;
    check_against_model("model", false);
}

static void or_the_documents_only(void **state) {
    (void)state;
    check_against_model("tokens", true);
    /* The schema says so, and how queries are made may change without new weights for the documents. */
    world_schema(w, arena_printf(&lasting, "{\"fields\":{\"splade\":{\"type\":\"weights\",\"max_weight\":10,\"encoder\":{\"kind\":\"bert\","
                                           "\"model\":\"%s\",\"precision\":\"fp32\",\"queries\":\"model\"}}}}", model()));
    assert_int_equal(info_of("splade").weights.documents, 9);
}

static void documents_stay_in_step_with_the_model(void **state) {
    (void)state;
    world_schema(w, arena_printf(&lasting, "{\"fields\":{\"splade\":{\"type\":\"weights\",\"encoder\":{\"kind\":\"bert\",\"model\":"
                                           "\"%s\"}}}}", model()));
    world_import(w, shop);
    settle();
    uint64_t before = info_of("splade").weights.documents;
    assert_ok(collection_delete(w->collection, SLICE("b"), NULL));
    assert_int_equal(info_of("splade").weights.documents, before - 1);
    world_import(w, "{\"id\":\"e\",\"title\":\"green bag for men\"}\n");
    settle();
    assert_int_equal(info_of("splade").weights.documents, before);
    world_reopen(w);
    assert_int_equal(info_of("splade").weights.documents, before); /* from its file, not made anew */
    import_report report;
    arena_init(&report.memory, 0);
    world_import_report(w, SLICE("{\"id\":\"x\",\"splade\":{\"a\":1}}\n"), &report);
    assert_non_null(strstr(report.problems[0].message.data, "made by the field's encoder"));
    arena_release(&report.memory);
}

static void a_model_that_is_not_there_stops_nobody(void **state) {
    (void)state;
    base_error error = {0};
    log_set_level(LOG_SILENT);
    world_schema(w, "{\"fields\":{\"splade\":{\"type\":\"weights\",\"encoder\":{\"kind\":\"bert\",\"model\":\"/none/such\"}}}}");
    assert_int_not_equal(vectors_settle(funnel_vectors(w->funnel), &error), FORAGE_OK);
    log_set_level(LOG_WARN);
    assert_non_null(strstr(info_of("splade").problem, "/none/such"));
    assert_string_equal(found("\"query\":\"bottle\""), "cider");
    assert_expanded("{\"fruit\":1}", "pear apple cider");
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(what_documents_bring_is_found_at_once),
        ISOLATED(scores_are_dot_products),
        ISOLATED(filters_hold),
        ISOLATED(they_survive),
        ISOLATED(damaged_files_are_made_anew),
        ISOLATED(words_and_weights_meet),
        ISOLATED(what_is_wrong_is_said),
        ISOLATED(a_larger_scale_may_be_declared),
        ISOLATED(a_model_weighs_both_sides),
        ISOLATED(or_the_documents_only),
        ISOLATED(documents_stay_in_step_with_the_model),
        ISOLATED(a_model_that_is_not_there_stops_nobody),
    };
    return cmocka_run_group_tests_name("expansion", tests, NULL, NULL);
}
