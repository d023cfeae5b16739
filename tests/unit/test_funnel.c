/* The funnel, the way there: what a search answers, why, how it can be repeated, and what happens when something is
 * late. */
#include "world.h"

#include <time.h>

static world *w;

static const char *const catalogue =
    "{\"id\":\"collins\",\"type\":\"author\",\"title\":\"Suzanne Collins\",\"popularity\":900}\n"
    "{\"id\":\"hunger\",\"type\":\"book\",\"title\":\"The Hunger "
    "Games\",\"genre\":[\"Drama\",\"War\"],\"year\":2008,\"released\":\"2008-09-14\","
    "\"author\":\"collins\",\"popularity\":800}\n"
    "{\"id\":\"fire\",\"type\":\"book\",\"title\":\"Catching "
    "Fire\",\"genre\":\"drama\",\"year\":2009,\"author\":\"collins\",\"popularity\":500}\n"
    "{\"id\":\"goblet\",\"type\":\"book\",\"title\":\"Goblet of "
    "Fire\",\"genre\":\"fantasy\",\"year\":2000,\"popularity\":990}\n"
    "{\"id\":\"manual\",\"type\":\"book\",\"title\":\"Fire safety, fire doors, fire drills\",\"popularity\":1}\n"
    "{\"id\":\"film\",\"type\":\"film\",\"title\":\"Fire in the "
    "Sky\",\"genre\":\"drama\",\"year\":1993,\"popularity\":30}\n";

static int set_up(void **state) {
    (void)state;
    w = world_begin();
    world_schema(
        w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"genre\":{\"type\":\"keyword\"},\"year\":{\"type\":\"number\"},"
           "\"released\":{\"type\":\"date\"},\"author\":{\"type\":\"reference\"}}}");
    world_import(w, catalogue);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    return 0;
}

static const json_value *ask(const char *request) { return world_search(w, request); }
static const char *ids(const char *request) { return world_ids(w, ask(request)); }

/* "fire" matched by a great many documents. */
static void add_fires(int n) {
    buffer lines = {0};
    for (int i = 0; i < n; i++) {
        buffer_printf(&lines, "{\"id\":\"f%d\",\"type\":\"book\",\"title\":\"", i);
        for (int k = 0; k <= i % 7; k++) buffer_puts(&lines, "fire ");
        for (int k = 0; k <= i % 5; k++) buffer_printf(&lines, "word%d ", (i * 31 + k * 7) % 50);
        buffer_printf(&lines, "\",\"popularity\":%d,\"year\":%d,\"genre\":\"g%d\"}\n", i * 37 % 101, 1900 + i % 100,
                      i % 9);
    }
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
}

/* ---- The answer ---- */

static void an_answer_tells_what_every_stage_did(void **state) {
    (void)state;
    const json_value *a = ask("{\"query\":\"The Hunger-Games!\",\"policy\":\"all\"}");
    assert_string_equal(text_at(a, "query"), "The Hunger-Games!");
    assert_int_equal(strlen(text_at(a, "query_id")), 36);
    assert_int_equal(text_at(a, "query_id")[14], '7');
    assert_true(number_at(a, "took_ms") >= 0);
    assert_float_equal(number_at(a, "total.value"), 1, 0);
    assert_string_equal(text_at(a, "total.relation"), "exact");
    assert_string_equal(text_at(a, "hits.0.id"), "hunger");
    assert_string_equal(text_at(a, "hits.0.type"), "book");
    assert_string_equal(text_at(a, "hits.0.document.title"), "The Hunger Games");
    assert_string_equal(text_at(a, "hits.0.strategies.0"), "lexical");
    assert_null(at(a, "hits.0.explain"));
    assert_string_equal(text_at(a, "interpretation.normalized"), "the hunger games");
    assert_string_equal(text_at(a, "interpretation.language"), "en");
    assert_string_equal(text_at(a, "interpretation.tokens.0"), "hunger");
    assert_string_equal(text_at(a, "interpretation.tokens.1"), "game");
    assert_string_equal(text_at(a, "interpretation.readings.0.kind"), "free_text");
    assert_string_equal(text_at(a, "decision.policy"), "all");
    assert_int_equal(count_at(a, "decision.strategies"), RETRIEVE_STRATEGIES);
    assert_string_equal(text_at(a, "ranker.name"), "linear");
    const json_value *lexical = named(at(a, "decision.strategies"), "name", "lexical");
    assert_float_equal(number_at(lexical, "depth"), 200, 0);
    assert_float_equal(number_at(lexical, "candidates"), 1, 0);
    assert_false(true_at(lexical, "late"));
}

static double sum_of(const json_value *array, const char *key) {
    double sum = 0;
    for (const json_value *v = array ? array->first : NULL; v; v = v->next) sum += number_at(v, key);
    return sum;
}

/* With the linear ranker a hit's score is the sum of its features' contributions; a lexical score is that of its
 * terms. */
static void explanations_add_up(void **state) {
    (void)state;
    add_fires(60);
    const json_value *a = ask("{\"query\":\"fire safety word7\",\"policy\":\"all\",\"explain\":true,\"limit\":50}");
    double last = INFINITY;
    for (const json_value *hit = at(a, "hits.0"); hit; hit = hit->next) {
        const json_value *explain = at(hit, "explain");
        double score = number_at(hit, "score");
        assert_true(score <= last + 1e-4);
        last = score;
        assert_float_equal(number_at(explain, "score"), score, 0);
        assert_float_equal(sum_of(at(explain, "features"), "contribution"), score, 1e-4 * (1 + fabs(score)));
        for (const json_value *f = at(explain, "features.0"); f; f = f->next)
            assert_float_equal(number_at(f, "value") * number_at(f, "weight"), number_at(f, "contribution"), 1e-4);
        const json_value *lexical = named(at(explain, "strategies"), "name", "lexical");
        assert_non_null(lexical);
        assert_float_equal(sum_of(at(explain, "terms"), "score") + number_at(explain, "popularity_score"),
                           number_at(lexical, "score"), 1e-3);
        assert_float_equal(number_at(named(at(explain, "features"), "name", "lexical_rrf"), "value"),
                           61 / (60 + number_at(lexical, "rank")), 1e-4);
        assert_int_equal(count_at(explain, "strategies"), count_at(hit, "strategies"));
    }
    const json_value *manual = named(at(a, "hits"), "id", "manual");
    const json_value *fire = named(at(manual, "explain.terms"), "term", "fire");
    assert_float_equal(number_at(fire, "field_frequencies.title"), 3, 0);
    assert_float_equal(number_at(fire, "document_frequency"), 64, 0);
}

static void reciprocal_rank_fusion_is_what_it_says(void **state) {
    (void)state;
    add_fires(40);
    const json_value *a = ask(
        "{\"query\":\"fire\",\"policy\":\"all\",\"ranker\":\"rrf\",\"explain\":true,\"limit\":40}");
    assert_string_equal(text_at(a, "ranker.name"), "rrf");
    for (const json_value *hit = at(a, "hits.0"); hit; hit = hit->next) {
        double sum = 0;
        for (const json_value *s = at(hit, "explain.strategies.0"); s; s = s->next)
            sum += 1 / (60 + number_at(s, "rank"));
        assert_float_equal(number_at(hit, "score"), sum, 1e-6);
        assert_null(at(hit, "explain.features.0.weight"));
    }
}

/* Each strategy's ranks are 1 … n over the union: whoever found n documents ranks each of them once. */
static void ranks_are_a_permutation(void **state) {
    (void)state;
    add_fires(30);
    const json_value *a = ask("{\"query\":\"fire\",\"policy\":\"all\",\"explain\":true,\"limit\":200}");
    for (const json_value *s = at(a, "decision.strategies.0"); s; s = s->next) {
        bool seen[256] = {false};
        double found = 0;
        for (const json_value *hit = at(a, "hits.0"); hit; hit = hit->next) {
            const json_value *story = named(at(hit, "explain.strategies"), "name", text_at(s, "name"));
            if (!story) continue;
            size_t rank = (size_t)number_at(story, "rank");
            assert_true(rank >= 1 && rank < 256 && !seen[rank]);
            seen[rank] = true;
            found++;
        }
        assert_float_equal(found, number_at(s, "candidates"), 0);
        for (size_t rank = 1; rank <= (size_t)found; rank++) assert_true(seen[rank]);
    }
}

/* ---- Queries without much in them ---- */

static void an_empty_query_lists_what_is_popular(void **state) {
    (void)state;
    add_fires(300);
    world_import(w, "{\"id\":\"star\",\"title\":\"whatever\",\"popularity\":5000}\n{\"id\":\"moon\",\"title\":"
                    "\"whatever\",\"popularity\":4000}\n");
    add_fires(20);
    static const char *const empty[] = {"{\"policy\":\"fixed\"}", "{\"query\":\"\"}", "{\"query\":\"  !? \"}",
                                        "{\"query\":null,\"policy\":\"all\"}"};
    for (size_t i = 0; i < 4; i++) {
        const json_value *a = ask(empty[i]);
        assert_string_equal(text_at(a, "hits.0.id"), "star");
        assert_string_equal(text_at(a, "hits.1.id"), "moon");
        assert_float_equal(number_at(a, "total.value"), 308, 0);
        assert_int_equal(count_at(a, "hits"), 10);
    }
    assert_string_equal(text_at(ask("{\"filter\":{\"type\":\"film\"}}"), "hits.0.id"), "film");
}

static void words_that_are_nowhere_find_nothing(void **state) {
    (void)state;
    const json_value *a = ask("{\"query\":\"zyzzyva\",\"facets\":[\"genre\",\"year\"],\"explain\":true}");
    assert_int_equal(count_at(a, "hits"), 0);
    assert_float_equal(number_at(a, "total.value"), 0, 0);
    assert_int_equal(count_at(a, "facets.genre"), 0);
    assert_float_equal(number_at(a, "facets.year.count"), 0, 0);
    assert_string_not_equal(text_at(a, "query_id"), "(nothing)");
    assert_string_equal(ids("{\"query\":\"fire\",\"filter\":{\"type\":\"song\"}}"), "");
    assert_string_equal(ids("{\"query\":\"fire\",\"limit\":0}"), "");
    assert_string_equal(ids("{\"query\":\"fire\",\"offset\":9000,\"limit\":1000}"), "");
    assert_float_equal(number_at(ask("{\"query\":\"fire\",\"limit\":0}"), "total.value"), 4, 0);
}

static void stopwords_alone_are_searched_for(void **state) {
    (void)state;
    world_import(w, "{\"id\":\"who\",\"title\":\"The Who\"}\n");
    assert_string_equal(text_at(ask("{\"query\":\"the who\"}"), "hits.0.id"), "who");
}

static void the_last_word_may_be_unfinished(void **state) {
    (void)state;
    assert_string_equal(text_at(ask("{\"query\":\"hunger gam\"}"), "hits.0.id"), "hunger");
    assert_string_equal(text_at(ask("{\"query\":\"collins hun\",\"prefix\":true,\"policy\":\"all\"}"), "hits.0.id"),
                        "collins");
    assert_non_null(
        named(at(ask("{\"query\":\"collins hun\",\"prefix\":true,\"policy\":\"all\"}"), "hits"), "id", "hunger"));
    assert_float_equal(number_at(ask("{\"query\":\"hun\",\"prefix\":true}"), "total.value"), 1, 0);
    assert_float_equal(number_at(ask("{\"query\":\"hun\"}"), "total.value"), 0, 0);
}

/* ---- Filters, facets, fields ---- */

static void every_candidate_passes_the_filter(void **state) {
    (void)state;
    add_fires(200);
    static const char *const queries[] = {"fire", "hunger games", "suzanne collins", ""};
    for (size_t i = 0; i < 4; i++) {
        const json_value *a = ask(arena_printf(&w->memory,
                                               "{\"query\":\"%s\",\"policy\":\"all\",\"limit\":500,"
                                               "\"filter\":{\"type\":\"book\",\"year\":{\"gte\":2000}}}",
                                               queries[i]));
        for (const json_value *hit = at(a, "hits.0"); hit; hit = hit->next) {
            assert_string_equal(text_at(hit, "type"), "book");
            assert_true(number_at(hit, "document.year") >= 2000);
        }
        assert_true(i == 2 || number_at(a, "total.value") > 0);
    }
}

static void facets_count_all_that_matches(void **state) {
    (void)state;
    const json_value *a = ask("{\"query\":\"fire\",\"limit\":1,\"facets\":[\"genre\",{\"field\":\"type\",\"limit\":1},"
                              "{\"field\":\"year\",\"buckets\":2},\"author\",\"released\"]}");
    assert_string_equal(text_at(a, "facets.genre.0.value"), "drama");
    assert_float_equal(number_at(a, "facets.genre.0.count"), 2, 0);
    assert_string_equal(text_at(a, "facets.genre.1.value"), "fantasy");
    assert_int_equal(count_at(a, "facets.genre"), 2);
    assert_int_equal(count_at(a, "facets.type"), 1);
    assert_float_equal(number_at(a, "facets.type.0.count"), 3, 0);
    assert_float_equal(number_at(a, "facets.year.count"), 3, 0);
    assert_float_equal(number_at(a, "facets.year.low"), 1993, 0);
    assert_float_equal(number_at(a, "facets.year.high"), 2009, 0);
    assert_float_equal(number_at(a, "facets.year.width"), 8, 0);
    assert_float_equal(number_at(a, "facets.year.buckets.0"), 2, 0);
    assert_float_equal(number_at(a, "facets.year.buckets.1"), 1, 0);
    assert_string_equal(text_at(a, "facets.author.0.value"), "collins");
    assert_float_equal(number_at(a, "facets.released.count"), 0, 0);
    /* A filter narrows them, and more buckets than there can be are not. */
    a = ask("{\"query\":\"fire\",\"filter\":{\"type\":\"film\"},\"facets\":[\"type\",{\"field\":\"year\",\"limit\":"
            "1000}]}");
    assert_int_equal(count_at(a, "facets.type"), 1);
    assert_true(count_at(a, "facets.year.buckets") <= 64);
}

static void only_the_fields_asked_for_come_back(void **state) {
    (void)state;
    const json_value *a = ask("{\"query\":\"hunger\",\"fields\":[\"title\",\"year\",\"nothing\",\"title\"]}");
    assert_int_equal(count_at(a, "hits.0.document"), 2);
    assert_string_equal(text_at(a, "hits.0.document.title"), "The Hunger Games");
    assert_int_equal(count_at(ask("{\"query\":\"hunger\",\"fields\":[]}"), "hits.0.document"), 0);
}

/* ---- Wrong requests ---- */

static const char *const wrong_requests[][2] = {
    {"[]", "search: expected an object such as {\"query\": \"…\"}, got an array"},
    {"{\"qeury\":\"x\"}", NULL},
    {"{\"query\":7}", NULL},
    {"{\"limit\":-1}", NULL},
    {"{\"limit\":1001}", NULL},
    {"{\"limit\":\"ten\"}", "\"limit\": expected a whole number from 0 to 1000, got \"ten\""},
    {"{\"offset\":10001}", NULL},
    {"{\"offset\":9500,\"limit\":501}", "\"offset\" + \"limit\": at most 10000"},
    {"{\"timeout_ms\":0}", NULL},
    {"{\"seed\":-1}", NULL},
    {"{\"filter\":{\"gerne\":\"x\"}}", "filter: there is no field \"gerne\""},
    {"{\"facets\":\"genre\"}", "\"facets\": expected an array, got a string"},
    {"{\"facets\":[7]}", "\"facets\": expected field names or objects, got a number"},
    {"{\"facets\":[{}]}", "\"facets\": \"field\" is missing"},
    {"{\"facets\":[\"nothing\"]}", "\"facets\": there is no field \"nothing\""},
    {"{\"facets\":[\"title\"]}",
     "\"facets\": \"title\" is a text field; keyword, number, date and reference fields can be counted"},
    {"{\"facets\":[\"genre\",\"genre\"]}", "\"facets\": \"genre\" is there twice"},
    {"{\"facets\":[\"1\",\"2\",\"3\",\"4\",\"5\",\"6\",\"7\",\"8\",\"9\",\"10\",\"11\",\"12\",\"13\",\"14\",\"15\","
     "\"16\",\"17\"]}",
     "\"facets\": at most 16"},
    {"{\"fields\":\"title\"}", "\"fields\": expected an array of names, got a string"},
    {"{\"fields\":[1]}", "\"fields\": expected names, got a number"},
    {"{\"context\":\"en\"}", "\"context\": expected an object, got a string"},
    {"{\"policy\":\"thompson\"}", "\"policy\": there is no \"thompson\"; use regcb, squarecb, lin-ts, linucb, epsilon-greedy, "
     "rrf-equal, fixed or all"},
    {"{\"ranker\":\"trees\"}", "\"ranker\": there is no \"trees\"; use auto, linear, rrf, model or model:NUMBER"},
    {"{\"explain\":1}", NULL},
};

static void wrong_requests_are_refused_by_name(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof wrong_requests / sizeof wrong_requests[0]; i++) {
        const json_value *answer = NULL;
        base_error error;
        forage_status status = world_try(w, wrong_requests[i][0], &answer, &error);
        assert_true(status == FORAGE_E_INVALID || status == FORAGE_E_FILTER);
        assert_null(answer);
        assert_true(error.message[0]);
        if (wrong_requests[i][1]) assert_string_equal(error.message, wrong_requests[i][1]);
    }
    assert_string_equal(text_at(ask("{\"query\":\"hunger\"}"), "hits.0.id"), "hunger"); /* nothing broke */
}

/* ---- Decisions ---- */

/* What holds for every decision: rows of probabilities that sum to 1, a drawn level that was possible, the depth it
 * means, and a propensity that is the product. */
static void assert_decision(const record_impression *r, const json_value *answer, uint32_t window) {
    uint32_t enough = 0; /* what a page needs of the main strategy */
    while (enough + 1 < r->n_levels && r->depths[enough] < window) enough++;
    double product = 1;
    assert_int_equal(r->n_strategies, RETRIEVE_STRATEGIES);
    for (uint32_t s = 0; s < r->n_strategies; s++) {
        const record_strategy *p = &r->strategies[s];
        const json_value *told = at(answer, arena_printf(&w->memory, "decision.strategies.%u", s));
        double sum = 0;
        for (uint32_t l = 0; l < r->n_levels; l++) {
            assert_true(p->probability[l] >= 0);
            sum += (double)p->probability[l];
        }
        assert_float_equal(sum, 1, 0);
        assert_true(p->probability[p->level] > 0);
        product *= (double)p->probability[p->level];
        assert_true(p->depth == r->depths[p->level] ||
                    (r->depths[p->level] < window && p->depth == r->depths[enough]));
        assert_true(p->candidates <= p->depth);
        assert_true(slice_is(p->name, text_at(told, "name")));
        assert_float_equal(number_at(told, "depth"), p->depth, 0);
        assert_float_equal(number_at(told, "probability"), p->probability[p->level], 1e-5);
        assert_float_equal(number_at(told, "candidates"), p->candidates, 0);
    }
    assert_float_equal(r->propensity, product, 1e-12);
    assert_float_equal(number_at(answer, "decision.propensity"), r->propensity, 1e-12);
}

static void decisions_log_their_exact_probabilities(void **state) {
    (void)state;
    bool explored = false;
    add_fires(50);
    for (int round = 0; round < 60; round++) {
        const json_value *a = ask(round % 3 ? "{\"query\":\"fire\",\"limit\":20,\"user\":\"u\"}"
                                            : "{\"query\":\"\",\"limit\":20,\"filter\":{\"type\":\"book\"}}");
        record_impression r = world_last_impression(w);
        assert_true(slice_is(r.query_id, text_at(a, "query_id")));
        assert_int_equal(r.n_hits, count_at(a, "hits"));
        assert_true(slice_is(r.policy, "regcb"));
        assert_decision(&r, a, 20);
        explored |= r.propensity < 1;
        /* Without words there is nothing to look up, so that level was not possible. */
        if (round % 3 == 0) assert_float_equal(r.strategies[RETRIEVE_IS_LEXICAL].probability[0], 1, 0);
        else
            assert_float_equal(r.strategies[RETRIEVE_IS_LEXICAL].probability[0], 0,
                               0); /* a page is never empty by choice */
    }
    assert_true(explored);
}

static void all_and_fixed_decide_the_same_every_time(void **state) {
    (void)state;
    static const char *const names[] = {"all", "fixed"};
    for (size_t i = 0; i < 2; i++)
        for (int round = 0; round < 10; round++) {
            const json_value *a = ask(arena_printf(&w->memory, "{\"query\":\"fire\",\"policy\":\"%s\"}", names[i]));
            record_impression r = world_last_impression(w);
            assert_decision(&r, a, 10);
            assert_float_equal(r.propensity, 1, 0);
            for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
                uint32_t most = i == 0 ? 200 : retrieve_strategies[s]->fixed_depth, expected = 0;
                for (uint32_t l = 0; l < r.n_levels; l++) expected = r.depths[l] <= most ? r.depths[l] : expected;
                /* Nothing is remembered, nobody is known, and there are no vectors and no weights. */
                if (s == RETRIEVE_IS_MEMORY || s == RETRIEVE_IS_PERSONAL || s >= RETRIEVE_IS_SEMANTIC) expected = 0;
                assert_int_equal(r.strategies[s].depth, expected);
            }
        }
}

/* The parts of an answer that a seed decides. */
static const char *repeatable(const json_value *a) {
    buffer text = {0};
    buffer_puts(&text, world_ids(w, a));
    for (const json_value *s = at(a, "decision.strategies.0"); s; s = s->next)
        buffer_printf(&text, " %s=%g/%g", text_at(s, "name"), number_at(s, "depth"), number_at(s, "candidates"));
    const char *out = arena_strndup(&w->memory, text.data, text.size);
    buffer_release(&text);
    return out;
}

static void a_seed_makes_a_search_repeatable(void **state) {
    (void)state;
    bool differs = false;
    const char *first = NULL;
    add_fires(400);
    for (int seed = 1; seed <= 20; seed++) {
        const char *request = arena_printf(&w->memory, "{\"query\":\"fire\",\"limit\":100,\"seed\":%d,\"log\":false}",
                                           seed);
        const char *one = repeatable(ask(request));
        assert_string_equal(repeatable(ask(request)), one);
        differs |= first && strcmp(first, one) != 0;
        first = first ? first : one;
    }
    assert_true(differs);
}

static void one_seed_still_gives_every_search_its_own_id(void **state) {
    (void)state;
    const char *last = "";
    for (int i = 0; i < 200; i++) {
        const char *id = text_at(ask("{\"query\":\"fire\",\"seed\":5}"), "query_id");
        assert_string_not_equal(id, last);
        last = id;
    }
}

/* Turns the pages of a search until they end or there were `pages`; returns how many documents there were. */
static size_t turn_pages(const char *policy_name, int limit, int pages, int seed) {
    bool seen[1000] = {false};
    size_t n = 0;
    for (int page = 0; page < pages; page++) {
        const json_value *a = ask(arena_printf(&w->memory,
                                               "{\"query\":\"fire word7 word9\",\"limit\":%d,\"offset\":%d,\"seed\":%d,"
                                               "\"policy\":\"%s\",\"log\":false,\"filter\":{\"type\":\"book\"}}",
                                               limit, page * limit, seed, policy_name));
        for (const json_value *hit = at(a, "hits.0"); hit; hit = hit->next, n++) {
            const char *id = text_at(hit, "id");
            int number = id[1] >= '0' && id[1] <= '9' ? atoi(id + 1) : 0;
            if (number && seen[number])
                fail_msg("%s, %d a page, seed %d: %s is on two pages", policy_name, limit, seed, id);
            seen[number] = true;
        }
    }
    return n;
}

static void pages_of_one_seed_do_not_repeat_a_document(void **state) {
    (void)state;
    static const char *const policies[] = {"all", "fixed", "regcb"};
    add_fires(500);
    for (int p = 0; p < 3; p++)
        for (int seed = 1; seed <= 8; seed++) {
            assert_int_equal(turn_pages(policies[p], 3, 12, seed), 36);
            assert_int_equal(turn_pages(policies[p], 10, 20, seed), 200); /* beyond the deepest level */
            assert_int_equal(turn_pages(policies[p], 100, 8, seed), 503); /* to the end */
        }
}

/* ---- Late strategies ---- */

static _Atomic int nap_ms;
static const retrieve_strategy *replaced;

static size_t sleepy(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    struct timespec nap = {nap_ms / 1000, nap_ms % 1000 * 1000000L};
    nanosleep(&nap, NULL);
    return replaced->run(r, depth, a, hits, late);
}

static size_t gives_up(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    *late = true;
    return replaced->run(r, depth < 2 ? depth : 2, a, hits, late);
}

static void put_strategy(uint32_t place,
                         size_t (*run)(const retrieve_request *, uint32_t, arena *, sparse_hit *, bool *)) {
    static const retrieve_strategy *table[RETRIEVE_STRATEGIES];
    static retrieve_strategy other;
    memcpy(table, retrieve_strategies, sizeof table);
    replaced = retrieve_strategies[place];
    other = *replaced;
    other.run = run;
    table[place] = &other;
    w->funnel->strategies = table;
}

static bool found_by(const json_value *answer, const char *strategy) {
    for (const json_value *hit = at(answer, "hits.0"); hit; hit = hit->next)
        for (const json_value *s = at(hit, "strategies.0"); s; s = s->next)
            if (slice_is(s->text, strategy)) return true;
    return false;
}

static const json_value *story(const json_value *answer, const char *strategy) {
    return named(at(answer, "decision.strategies"), "name", strategy);
}

static void a_late_strategy_is_left_out_and_named(void **state) {
    (void)state;
    put_strategy(RETRIEVE_IS_FRESH, sleepy);
    nap_ms = 1500;
    int64_t start = clock_monotonic(&os_clock_system);
    const json_value *a = ask("{\"query\":\"fire\",\"policy\":\"all\",\"timeout_ms\":300}");
    assert_true(clock_monotonic(&os_clock_system) - start < 1400000); /* nobody waited for it */
    assert_true(true_at(story(a, "fresh"), "late"));
    assert_float_equal(number_at(story(a, "fresh"), "candidates"), 0, 0);
    assert_true(number_at(story(a, "fresh"), "took_us") >= 290000);
    assert_false(found_by(a, "fresh"));
    assert_non_null(named(at(a, "hits"), "id", "goblet"));
    assert_false(true_at(story(a, "lexical"), "late"));
    record_impression r = world_last_impression(w);
    assert_true(r.strategies[RETRIEVE_IS_FRESH].late);
    assert_int_equal(r.strategies[RETRIEVE_IS_FRESH].candidates, 0);
    nap_ms = 0;
    a = ask("{\"query\":\"fire\",\"policy\":\"all\"}"); /* the next search is not disturbed */
    assert_false(true_at(story(a, "fresh"), "late"));
    assert_true(found_by(a, "fresh"));
}

static void what_needs_a_late_strategy_is_late_too(void **state) {
    (void)state;
    put_strategy(RETRIEVE_IS_LEXICAL, sleepy);
    nap_ms = 1000;
    const json_value *a = ask("{\"query\":\"hunger games\",\"policy\":\"all\",\"timeout_ms\":300}");
    assert_true(true_at(story(a, "lexical"), "late"));
    assert_true(true_at(story(a, "related"), "late"));
    assert_false(true_at(story(a, "popular"), "late"));
    assert_string_equal(text_at(a, "hits.0.id"), "hunger"); /* by popular, fresh and explore */
}

static void what_was_found_before_giving_up_counts(void **state) {
    (void)state;
    put_strategy(RETRIEVE_IS_FRESH, gives_up);
    const json_value *a = ask("{\"query\":\"fire\",\"policy\":\"all\"}");
    assert_true(true_at(story(a, "fresh"), "late"));
    assert_float_equal(number_at(story(a, "fresh"), "candidates"), 2, 0);
}

static void closing_waits_for_who_is_late(void **state) {
    (void)state;
    put_strategy(RETRIEVE_IS_FRESH, sleepy);
    nap_ms = 200;
    for (int i = 0; i < 5; i++) ask("{\"query\":\"fire\",\"policy\":\"all\",\"timeout_ms\":1}");
    world_reopen(w); /* the funnel is a new one, with its own strategies */
    assert_non_null(named(at(ask("{\"query\":\"fire\"}"), "hits"), "id", "goblet"));
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(an_answer_tells_what_every_stage_did),
        ISOLATED(explanations_add_up),
        ISOLATED(reciprocal_rank_fusion_is_what_it_says),
        ISOLATED(ranks_are_a_permutation),
        ISOLATED(an_empty_query_lists_what_is_popular),
        ISOLATED(words_that_are_nowhere_find_nothing),
        ISOLATED(stopwords_alone_are_searched_for),
        ISOLATED(the_last_word_may_be_unfinished),
        ISOLATED(every_candidate_passes_the_filter),
        ISOLATED(facets_count_all_that_matches),
        ISOLATED(only_the_fields_asked_for_come_back),
        ISOLATED(wrong_requests_are_refused_by_name),
        ISOLATED(decisions_log_their_exact_probabilities),
        ISOLATED(all_and_fixed_decide_the_same_every_time),
        ISOLATED(a_seed_makes_a_search_repeatable),
        ISOLATED(one_seed_still_gives_every_search_its_own_id),
        ISOLATED(pages_of_one_seed_do_not_repeat_a_document),
        ISOLATED(a_late_strategy_is_left_out_and_named),
        ISOLATED(what_needs_a_late_strategy_is_late_too),
        ISOLATED(what_was_found_before_giving_up_counts),
        ISOLATED(closing_waits_for_who_is_late),
    };
    return cmocka_run_group_tests_name("funnel", tests, NULL, NULL);
}
