/* From scores to a page: pinned, hidden, valued, diverse and explored documents, pages that neither repeat nor lose, and
 * somebody else's candidates. */
#include "ranked_world.h"

#include "rank/page_token.h"
#include "rank/plackett_luce.h"

static world *w;

/* Twenty stones, the first the dearest; with equal words, so that only the model tells them apart. */
static int begin(void **state) {
    buffer lines = {0};
    (void)state;
    w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"price\":{\"type\":\"number\"},\"margin\":{\"type\":\"number\"},"
                    "\"brand\":{\"type\":\"keyword\"}},\"ranking\":{\"features\":[\"price\",\"request.bid\"]}}");
    for (int i = 0; i < 20; i++)
        buffer_printf(&lines, "{\"id\":\"s%02d\",\"title\":\"stone\",\"price\":%d,\"margin\":%d,\"brand\":\"%s\"}\n", i, 20 - i,
            i == 19 ? 100000 : 1,
                      i < 12 ? "big" : i < 16 ? "mid" : "small");
    buffer_puts(&lines, "{\"id\":\"river\",\"title\":\"river\",\"price\":1,\"brand\":\"none\"}\n");
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
    assert_ok(funnel_model_activate(w->funnel, add_linear(w, "field.price", 1), NULL));
    return 0;
}

static int end(void **state) {
    (void)state;
    ranked_end(w);
    return 0;
}

static const json_value *ask(const char *more) {
    return world_search(w, arena_printf(&w->memory, "{\"query\":\"stone\",\"policy\":\"all\"%s%s}", *more ? "," : "", more));
}

static const char *ids(const char *more) { return world_ids(w, ask(more)); }

static forage_status refused(const char *more, const char *part) {
    const json_value *answer;
    base_error error;
    forage_status status = world_try(w, arena_printf(&w->memory, "{\"query\":\"stone\",%s}", more), &answer, &error);
    if (!status) fail_msg("%s was taken", more);
    if (!strstr(error.message, part)) fail_msg("\"%s\" does not say \"%s\"", error.message, part);
    return status;
}

/* ---- Pinned and hidden ---- */

static void the_pinned_stand_where_they_are_pinned(void **state) {
    (void)state;
    assert_string_equal(ids("\"limit\":4"), "s00 s01 s02 s03");
    assert_string_equal(ids("\"limit\":4,\"pinned\":[\"s10\",\"s11\"]"), "s10 s11 s00 s01");
    assert_string_equal(ids("\"limit\":4,\"pinned\":[{\"id\":\"s10\",\"position\":3}]"), "s00 s01 s10 s02");
    assert_string_equal(ids("\"limit\":4,\"pinned\":[{\"id\":\"s10\",\"position\":2},{\"id\":\"s11\",\"position\":2}]"), "s00 s10 s11 s01");
    assert_string_equal(ids("\"limit\":3,\"pinned\":[\"s02\",\"s02\"]"), "s02 s00 s01");
    assert_string_equal(ids("\"limit\":3,\"pinned\":[\"river\"]"), "river s00 s01"); /* nothing found it */
    assert_string_equal(ids("\"limit\":3,\"pinned\":[\"nobody\",\"s05\"]"), "s00 s05 s01"); /* places are counted in the list */
    assert_string_equal(ids("\"limit\":3,\"pinned\":[\"s15\"],\"filter\":{\"brand\":\"big\"}"), "s00 s01 s02"); /* the filter holds */
    assert_string_equal(ids("\"limit\":3,\"offset\":3,\"pinned\":[{\"id\":\"s19\",\"position\":5}]"), "s03 s19 s04");
    assert_string_equal(ids("\"limit\":2,\"offset\":19,\"pinned\":[{\"id\":\"s00\",\"position\":9999}]"), "s00");
}

static void the_hidden_are_nowhere(void **state) {
    (void)state;
    assert_string_equal(ids("\"limit\":3,\"hidden\":[\"s00\",\"s02\",\"nobody\"]"), "s01 s03 s04");
    assert_string_equal(ids("\"limit\":3,\"hidden\":[\"s10\"],\"pinned\":[\"s10\",{\"id\":\"s11\",\"position\":1}]"), "s11 s00 s01");
    assert_string_equal(ids("\"limit\":3,\"pinned\":[\"river\"],\"hidden\":[\"river\"]"), "s00 s01 s02");
    record_impression r = world_last_impression(w);
    for (uint32_t i = 0; i < r.n_unshown; i++) assert_int_not_equal(r.unshown[i].document, number_of_id(w, "river"));
    assert_int_equal(count_at(ask("\"limit\":50,\"hidden\":[\"s03\"]"), "hits"), 19);
}

static void what_is_named_is_checked(void **state) {
    (void)state;
    refused("\"pinned\":\"a\"", "\"pinned\"");
    refused("\"pinned\":[{\"id\":\"a\",\"position\":0}]", "position");
    refused("\"pinned\":[{\"position\":1}]", "id");
    refused("\"pinned\":[\"\"]", "id");
    refused("\"hidden\":[{\"id\":\"a\"}]", "\"hidden\"");
    refused("\"hidden\":[1]", "\"hidden\"");
    buffer many = {0};
    for (int i = 0; i <= FUNNEL_MOST_NAMED_DOCUMENTS; i++) buffer_printf(&many, "%s\"x%d\"", i ? "," : "\"pinned\":[", i);
    buffer_puts(&many, "]");
    refused(buffer_text(&many), "100");
    buffer_release(&many);
    refused("\"diversity\":2", "diversity");
    refused("\"explore\":{\"temperature\":-1}", "temperature");
    refused("\"explore\":{\"top\":1}", "top");
    refused("\"value\":{\"field\":\"brand\",\"strength\":1}", "brand");
    refused("\"value\":{\"strength\":1}", "field");
    refused("\"features\":[1]", "features");
    refused("\"features\":{\"bid\":\"x\"}", "bid");
    refused("\"features\":{\"bid\":{\"s00\":{}}}", "bid");
}

/* ---- Value and diversity ---- */

static void value_moves_what_earns_more(void **state) {
    (void)state;
    const char *plain = ids("\"limit\":5,\"seed\":1,\"log\":false,\"ranker\":\"rrf\""),
        *first = strtok(arena_strndup(&w->memory, plain, strlen(plain)), " ");
    assert_string_not_equal(first, "s19");
    assert_string_equal(ids("\"limit\":1,\"seed\":1,\"log\":false,\"ranker\":\"rrf\",\"value\":{\"field\":\"margin\","
        "\"strength\":1}"), "s19");
    assert_string_equal(ids("\"limit\":5,\"seed\":1,\"log\":false,\"ranker\":\"rrf\",\"value\":{\"field\":\"margin\","
        "\"strength\":0}"), plain);
    world_schema(w, "{\"ranking\":{\"value\":{\"field\":\"margin\",\"strength\":1}}}");
    assert_string_equal(ids("\"limit\":1,\"seed\":1,\"log\":false,\"ranker\":\"rrf\""), "s19");
    /* a request may do without */
    assert_string_equal(ids("\"limit\":5,\"seed\":1,\"log\":false,\"ranker\":\"rrf\",\"value\":null"), plain);
}

static void neighbours_are_not_all_of_a_kind(void **state) {
    (void)state;
    assert_string_equal(ids("\"limit\":3,\"diversity\":0"), "s00 s01 s02");
    assert_string_equal(ids("\"limit\":3,\"diversity\":0.9"), "s00 s12 s16");
    assert_string_equal(ids("\"limit\":3,\"offset\":0,\"diversity\":0.9,\"hidden\":[\"s12\"]"), "s00 s13 s16");
    /* Pages of one diverse order do not overlap. */
    const char *all = ids("\"limit\":20,\"diversity\":0.7"), *first = ids("\"limit\":7,\"diversity\":0.7");
    assert_true(strncmp(all, first, strlen(first)) == 0);
    const char *second = ids("\"limit\":7,\"offset\":7,\"diversity\":0.7");
    assert_true(strncmp(all + strlen(first) + 1, second, strlen(second)) == 0);
}

static void equals_stand_by_number(void **state) {
    (void)state;
    world_import(w, "{\"id\":\"t1\",\"title\":\"stone\",\"price\":50}\n{\"id\":\"t0\",\"title\":\"stone\",\"price\":50}\n");
    for (int i = 0; i < 5; i++)
        assert_string_equal(ids(arena_printf(&w->memory, "\"limit\":3,\"seed\":%d", i + 1)), "t1 t0 s00");
}

/* ---- Exploration ---- */

/* The logged propensity is the one with which these scores draw this page. */
static void check_propensity(const record_impression *r, uint32_t pinned_hits, double temperature, uint32_t top) {
    float scores[32];
    uint32_t order[32], n = 0, shown = 0;
    bool is_pinned[32] = {false};
    for (uint32_t i = 0; i < pinned_hits; i++) is_pinned[i] = true; /* they stand at the top */
    /* All candidates by falling score are the model's order; those of the page come first in `order`. */
    for (int i = 0; i < 20; i++) scores[i] = (float)(20 - i);
    uint32_t skip[32] = {0};
    for (uint32_t h = 0; h < r->n_hits; h++) {
        if (is_pinned[h]) {
            skip[r->hits[h].document - number_of_id(w, "s00")] = 1;
            continue;
        }
    }
    float left[32];
    uint32_t place[32];
    for (uint32_t i = 0; i < 20; i++) {
        if (skip[i]) continue;
        left[n] = scores[i];
        place[i] = n++;
    }
    bool used[32] = {false};
    for (uint32_t h = 0; h < r->n_hits; h++) {
        if (is_pinned[h]) continue;
        order[shown] = place[r->hits[h].document - number_of_id(w, "s00")];
        used[order[shown++]] = true;
    }
    uint32_t filled = shown;
    for (uint32_t i = 0; i < n; i++)
        if (!used[i]) order[filled++] = i;
    plackett_luce_config c = {.temperature = temperature, .top = top, .shown = shown};
    double exact = plackett_luce_log_propensity(&c, left, n, order);
    assert_true(exact > -1e30);
    if (!(fabs(exact - (double)r->log_propensity) < 1e-4)) fail_msg("logged %g, exact %g", (double)r->log_propensity, exact);
}

static void explored_pages_log_their_exact_propensity(void **state) {
    (void)state;
    uint32_t moved = 0, first[32] = {0};
    for (int i = 0; i < 200; i++) {
        ask(arena_printf(&w->memory, "\"limit\":5,\"seed\":%d,\"explore\":{\"temperature\":2,\"top\":6}", i + 1));
        record_impression r = world_last_impression(w);
        assert_int_equal(r.explored, 6);
        check_propensity(&r, 0, 2, 6);
        moved += r.hits[0].document != number_of_id(w, "s00");
        first[r.hits[0].document - number_of_id(w, "s00")]++;
    }
    assert_true(moved > 50);
    double sum = 0;
    for (int i = 0; i < 6; i++) sum += exp((20 - i) / 2.0);
    for (int i = 0; i < 6; i++) { /* who stands first, as often as it should */
        double p = exp((20 - i) / 2.0) / sum;
        assert_true(fabs(first[i] - 200 * p) < 4 * sqrt(200 * p * (1 - p)) + 1);
    }
    for (int i = 6; i < 20; i++) assert_int_equal(first[i], 0);
}

/* A pinned document is no part of the draw, and takes a place from it. */
static void pinned_documents_are_not_drawn(void **state) {
    (void)state;
    for (int i = 0; i < 60; i++) {
        ask(arena_printf(&w->memory, "\"limit\":4,\"seed\":%d,\"explore\":{\"temperature\":2,\"top\":6},\"pinned\":[\"s03\"]", i + 1));
        record_impression r = world_last_impression(w);
        assert_int_equal(r.hits[0].document, number_of_id(w, "s03"));
        check_propensity(&r, 1, 2, 6);
    }
}

static void hidden_documents_are_not_drawn(void **state) {
    (void)state;
    for (int i = 0; i < 60; i++) {
        ask(arena_printf(&w->memory, "\"limit\":2,\"seed\":%d,\"explore\":{\"temperature\":3,\"top\":2},\"hidden\":[\"s00\"]", i + 1));
        record_impression r = world_last_impression(w);
        double p = 1 / (1 + exp(-1 / 3.0)); /* s01 before s02: scores 19 and 18 */
        bool kept = r.hits[0].document == number_of_id(w, "s01");
        assert_true(fabs((double)r.log_propensity - log(kept ? p : 1 - p)) < 1e-4);
    }
}

static void whoever_is_not_logged_sees_the_order_as_it_is(void **state) {
    (void)state;
    for (int i = 0; i < 20; i++)
        assert_string_equal(ids(arena_printf(&w->memory,
            "\"limit\":3,\"seed\":%d,\"log\":false,\"explore\":{\"temperature\":50}", i + 1)), "s00 s01 s02");
    world_schema(w, "{\"ranking\":{\"explore\":{\"temperature\":50,\"top\":5}}}");
    uint32_t moved = 0;
    for (int i = 0; i < 20; i++) moved += strcmp(ids(arena_printf(&w->memory, "\"limit\":3,\"seed\":%d", i + 1)), "s00 s01 s02") != 0;
    assert_true(moved > 10);
    assert_string_equal(ids("\"limit\":3,\"explore\":null"), "s00 s01 s02");
    assert_float_equal(world_last_impression(w).log_propensity, 0, 0);
    assert_int_equal(world_last_impression(w).explored, 0);
}

/* ---- Pages ---- */

static const json_value *next_page(const json_value *page, const char *more) {
    const char *token = arena_strndup(&w->memory, at(page, "next_page")->text.data, at(page, "next_page")->text.size);
    return ask(arena_printf(&w->memory, "%s,\"page\":\"%s\"", more, token));
}

static void click(const json_value *page, const char *id) {
    feedback_event e = {.query_id = slice_of(text_at(page, "query_id")), .action = SLICE("click"), .document = slice_of(id),
        .time = INT64_MIN};
    funnel_event_result result = world_event(w, &e);
    if (result.status) fail_msg("%s", result.message);
}

/* Whatever happens between the pages: together they are the first page's order, each once. */
static void pages_neither_repeat_nor_lose(void **state) {
    (void)state;
    const json_value *page = ask("\"limit\":6,\"page\":true,\"seed\":5,\"explore\":{\"temperature\":2,\"top\":10}");
    const char *first = world_ids(w, page);
    buffer seen = {0};
    buffer_printf(&seen, "%s", first);
    world_import(w, "{\"id\":\"new1\",\"title\":\"stone\",\"price\":99}\n{\"id\":\"new2\",\"title\":\"stone\",\"price\":15}\n");
    click(page, text_at(page, "hits.5.id"));
    for (int i = 0; i < 3; i++) {
        page = next_page(page, "\"limit\":6");
        buffer_printf(&seen, " %s", world_ids(w, page));
        record_impression r = world_last_impression(w);
        assert_int_equal(r.offset, 6 * (i + 1));
        assert_true(r.n_candidates < 30); /* what was found, not what was frozen */
        if (i < 2) click(page, text_at(page, "hits.0.id"));
    }
    assert_true(at(page, "next_page")->type == JSON_NULL);
    for (int i = 0; i < 20; i++) {
        const char *id = arena_printf(&w->memory, "s%02d", i), *there = strstr(buffer_text(&seen), id);
        if (!there || strstr(there + 1, id)) fail_msg("%s is %s in %s", id, there ? "twice" : "not", buffer_text(&seen));
    }
    assert_null(strstr(buffer_text(&seen), "new"));
    buffer_release(&seen);
}

/* Documents that are removed meanwhile leave no gap, and what follows them is not shown twice. */
static void removed_documents_do_not_shift_later_pages(void **state) {
    (void)state;
    const json_value *page = ask("\"limit\":4,\"page\":true");
    assert_string_equal(world_ids(w, page), "s00 s01 s02 s03");
    assert_ok(collection_delete(w->collection, SLICE("s05"), NULL));
    assert_ok(collection_delete(w->collection, SLICE("s07"), NULL));
    page = next_page(page, "\"limit\":4");
    assert_string_equal(world_ids(w, page), "s04 s06 s08 s09");
    page = next_page(page, "\"limit\":4");
    assert_string_equal(world_ids(w, page), "s10 s11 s12 s13");
}

static void pinned_and_hidden_hold_for_the_first_page_s_order(void **state) {
    (void)state;
    const json_value *page = ask("\"limit\":3,\"page\":true,\"pinned\":[\"river\",{\"id\":\"s09\",\"position\":5}],\"hidden\":[\"s01\"]");
    assert_string_equal(world_ids(w, page), "river s00 s02");
    page = next_page(page, "\"limit\":3");
    assert_string_equal(world_ids(w, page), "s03 s09 s04");
}

static void tokens_belong_to_their_search(void **state) {
    (void)state;
    const json_value *page = ask("\"limit\":3,\"page\":true"), *answer;
    base_error error;
    const char *token = arena_strndup(&w->memory, at(page, "next_page")->text.data, at(page, "next_page")->text.size);
    const char *request = arena_printf(&w->memory, "{\"query\":\"river\",\"page\":\"%s\"}", token);
    assert_int_equal(world_try(w, request, &answer, &error), FORAGE_E_INVALID);
    request = arena_printf(&w->memory, "{\"query\":\"stone\",\"filter\":{\"brand\":\"big\"},\"page\":\"%s\"}", token);
    assert_int_equal(world_try(w, request, &answer, &error), FORAGE_E_INVALID);
    request = arena_printf(&w->memory, "{\"query\":\" STONE\",\"page\":\"%s\",\"log\":false}", token); /* the same query */
    assert_string_equal(world_ids(w, world_search(w, request)), "s03 s04 s05 s06 s07 s08 s09 s10 s11 s12");
    refused("\"page\":\"AAAA\"", "\"page\"");
    refused("\"page\":7", "\"page\"");
    refused(arena_printf(&w->memory, "\"page\":\"%s\",\"offset\":3", token), "offset");
    for (size_t i = 0; i < strlen(token); i += 3) {
        char *changed = arena_strndup(&w->memory, token, strlen(token));
        changed[i] = changed[i] == 'A' ? 'B' : 'A';
        refused(arena_printf(&w->memory, "\"page\":\"%s\"", changed), "page");
    }
    assert_null(at(ask("\"limit\":3"), "next_page"));
    assert_true(at(ask("\"limit\":20,\"page\":true"), "next_page")->type == JSON_NULL);
}

/* ---- Somebody else's candidates ---- */

static forage_status rank_given(const char *request, const funnel_given *given, size_t n, const json_value **out, base_error *error) {
    funnel_request r;
    funnel_answer *a;
    assert_ok(funnel_request_read(parse(&w->memory, request), &r, NULL));
    r.timeout_ms = 60000;
    forage_status status = funnel_rank_given(w->funnel, &r, given, n, &a, error);
    if (status) return status;
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    funnel_answer_write(a, &writer);
    funnel_answer_release(a);
    *out = parse(&w->memory, buffer_text(&text));
    buffer_release(&text);
    return FORAGE_OK;
}

static void given_candidates_are_ranked_as_ours_are(void **state) {
    (void)state;
    const json_value *answer;
    base_error error = {0};
    const funnel_given given[] = {{SLICE("x"), NULL}, {SLICE("s04"), NULL}, {SLICE("y"), NULL}, {SLICE("s01"), NULL},
        {SLICE("river"), NULL}};
    assert_ok(rank_given("{\"query\":\"stone\"}", given, 5, &answer, &error));
    assert_string_equal(world_ids(w, answer), "s01 s04 river x y"); /* x and y: as they were given */
    assert_string_equal(text_at(answer, "hits.0.document.title"), "stone");
    assert_true(at(answer, "hits.3.document")->type == JSON_NULL);
    assert_true(at(answer, "query_id")->type == JSON_NULL);
    assert_null(at(answer, "decision"));
    assert_ok(rank_given("{\"query\":\"stone\",\"limit\":2,\"offset\":1,\"explain\":true,\"hidden\":[\"s01\"],"
        "\"pinned\":[\"river\"]}", given, 5, &answer, &error));
    assert_string_equal(world_ids(w, answer), "s04 x");
    const funnel_given twice[] = {{SLICE("x"), NULL}, {SLICE("s04"), NULL}, {SLICE("x"), NULL}};
    assert_int_equal(rank_given("{\"query\":\"stone\"}", twice, 3, &answer, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "\"x\""));
}

static void given_candidates_bring_their_features(void **state) {
    (void)state;
    const json_value *answer;
    base_error error = {0};
    assert_ok(funnel_model_activate(w->funnel, add_linear(w, "request.bid", 1), NULL));
    funnel_given given[] = {{SLICE("x"), NULL}, {SLICE("s04"), NULL}, {SLICE("y"), NULL}};
    given[0].features = parse(&w->memory, "{\"bid\":2}");
    given[1].features = parse(&w->memory, "{\"bid\":3}");
    given[2].features = parse(&w->memory, "{\"bid\":5}");
    assert_ok(rank_given("{\"query\":\"\"}", given, 3, &answer, &error));
    assert_string_equal(world_ids(w, answer), "y s04 x");
    assert_ok(rank_given("{\"query\":\"\",\"ranker\":\"linear\",\"explain\":true,\"diversity\":0.5}", given, 3, &answer, &error));
    assert_int_equal(count_at(answer, "hits"), 3);
    given[1].features = parse(&w->memory, "{\"bid\":3,\"other\":9}"); /* a name that is misspelt is not passed over */
    assert_int_equal(rank_given("{\"query\":\"\"}", given, 3, &answer, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "other"));
}

int main(void) {
#define T(name) cmocka_unit_test_setup_teardown(name, begin, end)
    const struct CMUnitTest tests[] = {
        T(the_pinned_stand_where_they_are_pinned), T(the_hidden_are_nowhere), T(what_is_named_is_checked), T(value_moves_what_earns_more),
        T(neighbours_are_not_all_of_a_kind), T(equals_stand_by_number), T(explored_pages_log_their_exact_propensity),
        T(pinned_documents_are_not_drawn), T(hidden_documents_are_not_drawn), T(whoever_is_not_logged_sees_the_order_as_it_is),
        T(pages_neither_repeat_nor_lose), T(removed_documents_do_not_shift_later_pages),
        T(pinned_and_hidden_hold_for_the_first_page_s_order), T(tokens_belong_to_their_search),
        T(given_candidates_are_ranked_as_ours_are), T(given_candidates_bring_their_features),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
