/* The cross-encoder's stage, with the tiny model of tests/golden/bert: what it orders, what models see of it, what is remembered,
 * what happens when time is short or the model is not there. Expected scores come from bert_score_pairs, which test_bert checks. */
#include "ranked_world.h"

#include "encode/bert.h"
#include "retrieve/cross_scoring.h"

#include <stdatomic.h>

enum { TOP = 5, DOCUMENTS = 9 };

static world *w;
static bert_model *model; /* the same as the world's */

static const char *const titles[DOCUMENTS] = {"red shoe", "shoe for women", "the red shoe of a walker", "cotton shoe", "warm winter shoe",
                                              "blue shoe for men and shoe", "shoe bag", "cold summer shoe", "green running shoes"};

static const char *model_folder(void) {
    static char path[1024];
    const char *source = getenv("FORAGE_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden/bert", source ? source : ".");
    return path;
}

static void declare(const char *folder, const char *more) {
    world_schema(w, arena_printf(&w->memory, "{\"fields\":{\"title\":{\"type\":\"text\"}},\"ranking\":{\"cross_encoder\":{\"model\":\"%s\""
                                 "%s}}}", folder, more));
    cross_encoder_follow(w->funnel->cross);
}

/* Until the model is there, or cannot be. */
static cross_info settled(void) {
    cross_info i = {0};
    for (int tries = 0; tries < 10000; tries++) {
        if (!cross_encoder_describe(w->funnel->cross, &i)) fail_msg("the schema names no model");
        if (!i.opening) return i;
        nanosleep(&(struct timespec){0, 1000000}, NULL);
    }
    fail_msg("the model is still being opened");
    return i;
}

static void use(const char *more) {
    declare(model_folder(), arena_printf(&w->memory, ",\"precision\":\"fp32\",\"budget_ms\":60000%s", more));
    cross_info i = settled();
    if (!i.version) fail_msg("%s", i.problem);
}

static int begin(void **state) {
    bert_options o = {.head = BERT_PAIRS, .most_tokens = 128, .threads = 1};
    base_error error = {0};
    buffer lines = {0};
    (void)state;
    w = world_begin();
    use(",\"top\":5");
    for (int i = 0; i < DOCUMENTS; i++) buffer_printf(&lines, "{\"id\":\"d%d\",\"title\":\"%s\"}\n", i, titles[i]);
    world_import(w, buffer_text(&lines));
    buffer_release(&lines);
    if (bert_model_open(model_folder(), &o, &model, &error)) fail_msg("%s", error.message);
    return 0;
}

static int end(void **state) {
    (void)state;
    bert_model_close(model);
    ranked_end(w);
    return 0;
}

static const json_value *ask(const char *more) {
    return world_search(w, arena_printf(&w->memory, "{\"query\":\"shoe\",\"policy\":\"all\"%s%s}", *more ? "," : "", more));
}

/* What the model says of a document of this title, which is one line for it. */
static float pair_score(const char *title) {
    slice text = slice_of(arena_printf(&w->memory, "%s\n", title));
    float score;
    assert_ok(bert_score_pairs(model, SLICE("shoe"), &text, 1, INT64_MAX, &score, NULL, NULL));
    return score;
}

static float expected(const char *id) { return pair_score(titles[id[1] - '0']); }

typedef struct order {
    char id[DOCUMENTS][4];
    double score[DOCUMENTS];
    size_t n;
} order;

static order order_of(const json_value *answer) {
    order o = {0};
    for (const json_value *hit = at(answer, "hits.0"); hit && o.n < DOCUMENTS; hit = hit->next) {
        snprintf(o.id[o.n], sizeof o.id[0], "%.3s", text_at(hit, "id"));
        o.score[o.n++] = number_at(hit, "score");
    }
    return o;
}

static order plain(void) { return order_of(ask("\"cross_encoder\":false")); }

static bool contains(const order *o, size_t n, const char *id) {
    for (size_t i = 0; i < n; i++)
        if (strcmp(o->id[i], id) == 0) return true;
    return false;
}

/* ---- The last stage ---- */

static void the_first_are_put_in_its_order_and_the_others_stay(void **state) {
    (void)state;
    order before = plain(), after = order_of(ask(""));
    assert_int_equal(before.n, DOCUMENTS);
    assert_int_equal(after.n, DOCUMENTS);
    bool moved = false;
    for (size_t i = 0; i < DOCUMENTS; i++) {
        if (i < TOP) assert_true(contains(&before, TOP, after.id[i]));
        else assert_string_equal(after.id[i], before.id[i]);
        if (i > 0 && i < TOP) assert_true(expected(after.id[i - 1]) >= expected(after.id[i]));
        moved = moved || strcmp(after.id[i], before.id[i]) != 0;
    }
    assert_true(moved);
    /* The hits' scores are still the ranker's. */
    for (size_t i = 0; i < DOCUMENTS; i++)
        for (size_t j = 0; j < DOCUMENTS; j++)
            if (strcmp(after.id[i], before.id[j]) == 0) assert_true(fabs(after.score[i] - before.score[j]) < 1e-6);
}

static void a_weight_shares_the_order_with_the_ranker(void **state) {
    (void)state;
    order before = plain();
    use(",\"top\":5,\"weight\":0");
    order none = order_of(ask(""));
    for (size_t i = 0; i < DOCUMENTS; i++) assert_string_equal(none.id[i], before.id[i]);
    use(",\"top\":5,\"weight\":0.5");
    order half = order_of(ask(""));
    double blend[TOP], low = 1e9, high = -1e9;
    for (size_t i = 0; i < TOP; i++) low = fmin(low, expected(before.id[i])), high = fmax(high, expected(before.id[i]));
    for (size_t i = 0; i < TOP; i++) {
        double range = before.score[0] - before.score[TOP - 1];
        double ranked = range > 0 ? (before.score[i] - before.score[TOP - 1]) / range : 0;
        blend[i] = .5 * (expected(before.id[i]) - low) / (high - low) + .5 * ranked;
    }
    double last = 2;
    for (size_t i = 0; i < TOP; i++) {
        size_t j = 0;
        while (strcmp(before.id[j], half.id[i]) != 0) j++;
        assert_true(j < TOP && blend[j] <= last + 1e-5);
        last = blend[j];
    }
}

static void requests_turn_it_on_and_off(void **state) {
    (void)state;
    assert_null(at(ask("\"cross_encoder\":false"), "cross_encoder"));
    assert_non_null(at(ask("\"cross_encoder\":null"), "cross_encoder"));
    use(",\"on\":false");
    assert_null(at(ask(""), "cross_encoder"));
    assert_int_equal(number_at(ask("\"cross_encoder\":true"), "cross_encoder.scored"), DOCUMENTS);
    /* Without words there is nothing to be read with the documents. */
    assert_null(at(world_search(w, "{\"query\":\"\",\"cross_encoder\":true}"), "cross_encoder"));
    world_schema(w, "{\"ranking\":{\"cross_encoder\":null}}");
    cross_encoder_follow(w->funnel->cross);
    cross_info i;
    assert_false(cross_encoder_describe(w->funnel->cross, &i));
    assert_null(at(ask(""), "cross_encoder"));
    const json_value *answer;
    base_error error;
    assert_int_equal(world_try(w, "{\"query\":\"shoe\",\"cross_encoder\":true}", &answer, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "\"cross_encoder\""));
    assert_int_equal(world_try(w, "{\"query\":\"shoe\",\"cross_encoder\":1}", &answer, &error), FORAGE_E_INVALID);
}

static void hidden_and_pinned_hold(void **state) {
    (void)state;
    order before = plain();
    const json_value *answer = ask(arena_printf(&w->memory, "\"hidden\":[\"%s\"],\"pinned\":[\"%s\"]", before.id[0], before.id[8]));
    order after = order_of(answer);
    assert_string_equal(after.id[0], before.id[8]);
    assert_false(contains(&after, after.n, before.id[0]));
    assert_true(contains(&after, 1 + TOP, before.id[TOP])); /* the sixth is read in the hidden one's place */
    assert_int_equal(number_at(answer, "cross_encoder.scored"), TOP);
}

/* Its order is drawn from, paged through and diversified as the ranker's is. */
static void pages_go_on_in_its_order(void **state) {
    (void)state;
    order whole = order_of(ask(""));
    const json_value *first = ask("\"limit\":3,\"page\":true");
    const json_value *second = ask(arena_printf(&w->memory, "\"limit\":3,\"page\":\"%s\"", text_at(first, "next_page")));
    order shown[3] = {order_of(first), order_of(second), order_of(ask("\"limit\":3,\"offset\":6"))};
    for (size_t i = 0; i < DOCUMENTS; i++) assert_string_equal(shown[i / 3].id[i % 3], whole.id[i]);
    assert_null(at(second, "cross_encoder")); /* its order was frozen */
}

/* ---- The feature ---- */

static void models_see_its_score(void **state) {
    (void)state;
    use(",\"top\":5,\"last\":false");
    order before = plain(), same = order_of(ask(""));
    for (size_t i = 0; i < DOCUMENTS; i++) assert_string_equal(same.id[i], before.id[i]);
    /* By a model that looks at nothing else; what it was not told counts as nothing. */
    assert_ok(funnel_model_activate(w->funnel, add_linear(w, "cross_score", 1), NULL));
    const json_value *answer = ask("\"explain\":true");
    order first = order_of(ask("\"cross_encoder\":false")), ranked = order_of(answer);
    for (size_t i = 0; i < DOCUMENTS; i++) {
        bool read = contains(&first, TOP, ranked.id[i]);
        assert_true(fabs(ranked.score[i] - (read ? (double)expected(ranked.id[i]) : 0)) < 1e-5);
        if (i > 0) assert_true(ranked.score[i - 1] >= ranked.score[i]);
    }
    const json_value *hit = named(at(answer, "hits"), "id", first.id[0]);
    assert_true(fabs(number_at(hit, "explain.cross_encoder.score") - expected(first.id[0])) < 1e-5);
    assert_int_equal(number_at(hit, "explain.cross_encoder.rank_before"), 1);
    assert_true(fabs(number_at(named(at(hit, "explain.features"), "name", "cross_score"), "value") - expected(first.id[0])) < 1e-5);
    assert_null(at(named(at(answer, "hits"), "id", first.id[TOP]), "explain.cross_encoder"));
}

static void its_score_is_logged(void **state) {
    (void)state;
    order before = plain();
    ask("\"limit\":9");
    record_impression r = world_last_impression(w);
    const char *const *names = funnel_column_names(w->funnel, r.feature_set, r.n_features, &w->memory);
    uint32_t column = 0;
    while (column < r.n_features && strcmp(names[column], "cross_score") != 0) column++;
    assert_true(column < r.n_features);
    assert_int_equal(r.n_hits, DOCUMENTS);
    size_t known = 0;
    for (uint32_t i = 0; i < r.n_hits; i++) {
        float value = r.hits[i].features[column];
        known += !isnan(value);
        for (size_t d = 0; d < DOCUMENTS; d++)
            if (number_of_id(w, before.id[d]) == r.hits[i].document)
                assert_true(d < TOP ? fabsf(value - expected(before.id[d])) < 1e-5f : isnan(value));
    }
    assert_int_equal(known, TOP);
    world_schema(w, "{\"ranking\":{\"cross_encoder\":null}}"); /* the column comes and goes with it */
    uint32_t n;
    const char *const *now = funnel_columns_now(w->funnel, &n);
    for (uint32_t i = 0; i < n; i++) assert_string_not_equal(now[i], "cross_score");
    assert_non_null(funnel_column_names(w->funnel, r.feature_set, r.n_features, &w->memory));
}

static void given_candidates_are_read_too(void **state) {
    (void)state;
    use(",\"top\":5");
    json_value *own = parse(&w->memory, "{\"cross_score\":1000}");
    funnel_given given[] = {{.id = SLICE("d0")}, {.id = SLICE("d4")}, {.id = SLICE("elsewhere"), .features = own}, {.id = SLICE("nobody")}};
    funnel_request r;
    funnel_answer *answer;
    const funnel_hit *hits;
    funnel_request_default(&r);
    r.query = SLICE("shoe");
    r.log = false;
    r.timeout_ms = 60000;
    assert_ok(funnel_rank_given(w->funnel, &r, given, 4, &answer, NULL));
    assert_int_equal(funnel_answer_hits(answer, &hits), 4);
    /* The three that have a score share the first three places of the ranker; its own value needs no reading. */
    assert_int_equal(answer->cross.result.scored, 2);
    size_t at_[4];
    for (size_t i = 0; i < 4; i++)
        for (size_t j = 0; j < 4; j++)
            if (slice_equal(hits[j].id, given[i].id)) at_[i] = j;
    assert_true(at_[2] < at_[0] && at_[2] < at_[1]);
    assert_int_equal(at_[0] < at_[1], expected("d0") > expected("d4"));
    funnel_answer_release(answer);
}

/* ---- Beside other rankers ---- */

static bool is_chosen(const funnel_answer *a, uint32_t document) {
    for (size_t i = 0; i < a->cross.n; i++)
        if (a->candidates[a->cross.chosen[i]].document == document) return true;
    return false;
}

/* Where two rankers share a page, the first of both are read; where one only looks on, it is asked for its order with what was read. */
static void a_rival_and_a_shadow_are_treated_alike(void **state) {
    (void)state;
    experiment_config c;
    use(",\"top\":3");
    uint64_t up = add_linear(w, "lexical_score", 1), down = add_linear(w, "lexical_score", -1);
    const char *a = arena_printf(&w->memory, "model:%llu", (unsigned long long)up);
    const char *b = arena_printf(&w->memory, "model:%llu", (unsigned long long)down);
    order first[2] = {order_of(ask(arena_printf(&w->memory, "\"cross_encoder\":false,\"ranker\":\"%s\"", a))),
                      order_of(ask(arena_printf(&w->memory, "\"cross_encoder\":false,\"ranker\":\"%s\"", b)))};
    assert_ok(funnel_model_shadow(w->funnel, down, NULL));
    order seen = order_of(ask(arena_printf(&w->memory, "\"ranker\":\"%s\"", b)));
    asked *q = ask_open(w, arena_printf(&w->memory, "{\"query\":\"shoe\",\"policy\":\"all\",\"ranker\":\"%s\"}", b), 0);
    for (size_t i = 0; i < DOCUMENTS; i++)
        for (size_t j = 0; j < q->answer->n_candidates; j++)
            if (q->answer->candidates[j].document == number_of_id(w, seen.id[i])) assert_int_equal(q->answer->shadow_rank[j], i + 1);
    asked_end(q);
    experiment_config_default(&c, "trial", EXPERIMENT_TEAM_DRAFT, a, b);
    assert_ok(funnel_experiment_start(w->funnel, &c, NULL));
    q = ask_open(w, "{\"query\":\"shoe\",\"limit\":9}", 0);
    assert_non_null(q->answer->drafted);
    assert_in_range(q->answer->cross.n, 3, 6);
    for (size_t o = 0; o < 2; o++)
        for (size_t i = 0; i < 3; i++) assert_true(is_chosen(q->answer, number_of_id(w, first[o].id[i])));
    asked_end(q);
}

/* ---- Memory ---- */

static void scores_are_remembered_until_the_document_changes(void **state) {
    (void)state;
    use(",\"top\":20");
    const json_value *first = ask(""), *again = ask("");
    assert_int_equal(number_at(first, "cross_encoder.cached"), 0);
    assert_int_equal(number_at(again, "cross_encoder.cached"), DOCUMENTS);
    assert_int_equal(number_at(again, "cross_encoder.scored"), DOCUMENTS);
    assert_string_equal(world_ids(w, first), world_ids(w, again));
    world_import(w, "{\"id\":\"d3\",\"title\":\"shoe for the kid\"}\n");
    const json_value *changed = ask("\"explain\":true");
    assert_int_equal(number_at(changed, "cross_encoder.cached"), DOCUMENTS - 1);
    const json_value *hit = named(at(changed, "hits"), "id", "d3");
    assert_true(fabs(number_at(hit, "explain.cross_encoder.score") - pair_score("shoe for the kid")) < 1e-5);
    use(",\"top\":20,\"from\":[\"title\",\"id\"]"); /* another text */
    assert_int_equal(number_at(ask(""), "cross_encoder.cached"), 0);
    use(",\"top\":20,\"tokens\":8"); /* another model */
    assert_int_equal(number_at(ask(""), "cross_encoder.cached"), 0);
    cross_info i = settled();
    assert_true(i.searches >= 5 && i.cached == 2 * DOCUMENTS - 1 && i.scored >= 5 * DOCUMENTS);
}

/* ---- Time ---- */

typedef struct reader {
    store_txn *txn;
    cross_request request;
    uint32_t documents[DOCUMENTS];
    float scores[DOCUMENTS];
} reader;

static void begin_reader(reader *r, int64_t deadline) {
    assert_ok(store_read_begin(collection_store(w->collection), &r->txn, NULL));
    for (int i = 0; i < DOCUMENTS; i++) r->documents[i] = number_of_id(w, arena_printf(&w->memory, "d%d", i));
    r->request = (cross_request){.schema = collection_schema(w->collection), .txn = r->txn, .query = SLICE("shoe"),
                                 .documents = r->documents, .n = DOCUMENTS, .deadline = deadline};
}

static void too_late_is_said_and_fails_nothing(void **state) {
    (void)state;
    reader r;
    begin_reader(&r, 0);
    cross_result none = cross_encoder_score(w->funnel->cross, &r.request, &w->memory, r.scores);
    assert_true(none.ready && none.late);
    assert_int_equal(none.scored, 0);
    for (int i = 0; i < DOCUMENTS; i++) assert_true(isnan(r.scores[i]));
    r.request.deadline = INT64_MAX;
    r.request.n = 4;
    cross_result some = cross_encoder_score(w->funnel->cross, &r.request, &w->memory, r.scores);
    assert_true(!some.late && some.scored == 4 && some.cached == 0);
    r.request.deadline = 0; /* what is remembered needs no time */
    r.request.n = DOCUMENTS;
    cross_result rest = cross_encoder_score(w->funnel->cross, &r.request, &w->memory, r.scores);
    assert_true(rest.late && rest.scored == 4 && rest.cached == 4);
    for (int i = 0; i < DOCUMENTS; i++) assert_int_equal(isnan(r.scores[i]), i >= 4);
    uint32_t gone[2] = {UINT32_MAX - 3, r.documents[0]};
    r.request.documents = gone;
    r.request.n = 2;
    assert_int_equal(cross_encoder_score(w->funnel->cross, &r.request, &w->memory, r.scores).scored, 1);
    assert_true(isnan(r.scores[0]) && !isnan(r.scores[1]));
    store_read_end(r.txn);
}

static void a_search_with_little_time_answers_with_what_there_is(void **state) {
    (void)state;
    declare(model_folder(), ",\"budget_ms\":1,\"top\":9");
    assert_true(settled().version != 0);
    const json_value *answer = ask("");
    size_t scored = (size_t)number_at(answer, "cross_encoder.scored");
    assert_int_equal(count_at(answer, "hits"), DOCUMENTS);
    assert_true(true_at(answer, "cross_encoder.ready"));
    assert_true(scored == DOCUMENTS || true_at(answer, "cross_encoder.late"));
}

/* Far more than can be read in the time: it ends when time is over, with what it has in the places it belongs to. */
static void the_deadline_ends_it(void **state) {
    (void)state;
    enum { N = 100000 };
    buffer text = {0};
    for (int i = 0; i < 120; i++) buffer_puts(&text, "shoe ");
    slice *texts = mem_alloc(N * sizeof *texts);
    float *scores = mem_alloc(N * sizeof *scores), score;
    for (size_t i = 0; i < N; i++) texts[i] = (slice){text.data, text.size}, scores[i] = NAN;
    assert_ok(bert_score_pairs(model, SLICE("shoe"), texts, 1, INT64_MAX, &score, NULL, NULL));
    for (int helping = 0; helping < 2; helping++) {
        os_pool *pool = helping ? os_pool_create(3, 2) : NULL; /* its queue takes fewer than would help */
        int64_t began = clock_monotonic(&os_clock_system);
        bool late = false;
        cross_pairs p = {model, SLICE("shoe"), texts, N, began + 100000, scores};
        assert_ok(cross_score_pairs(&p, pool, &late, NULL));
        assert_true(clock_monotonic(&os_clock_system) - began < 5000000);
        assert_true(late);
        size_t known = 0;
        for (size_t i = 0; i < N; i++) {
            if (isnan(scores[i])) continue;
            known++;
            assert_true(fabsf(scores[i] - score) < 1e-6f);
        }
        assert_true(known > 0 && known < N);
        os_pool_destroy(pool);
    }
    free(texts);
    free(scores);
    buffer_release(&text);
}

/* What a search is logged to have taken steers the strategies, which cannot help what is read after them. */
static void its_time_is_not_the_strategies(void **state) {
    (void)state;
    use(",\"top\":9");
    asked *q = ask_open(w, "{\"query\":\"shoe\",\"policy\":\"all\"}", 0);
    const funnel_answer *a = q->answer;
    assert_int_equal(a->cross.result.scored, DOCUMENTS);
    assert_true(a->cross.result.took_us > 0);
    record_impression r = world_last_impression(w);
    assert_true((int64_t)r.took_us + a->cross.result.took_us <= a->finished - a->started);
    asked_end(q);
}

/* ---- Models that are not there ---- */

static void assert_problem(const char *part) {
    cross_info i = settled();
    assert_int_equal(i.version, 0);
    if (!strstr(i.problem, part)) fail_msg("\"%s\" does not say \"%s\"", i.problem, part);
    const json_value *answer = ask("");
    assert_int_equal(count_at(answer, "hits"), DOCUMENTS);
    assert_false(true_at(answer, "cross_encoder.ready"));
    assert_int_equal(number_at(answer, "cross_encoder.scored"), 0);
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    funnel_write_stats(w->funnel, &writer);
    const json_value *stats = parse(&w->memory, buffer_text(&text));
    assert_string_equal(text_at(stats, "cross_encoder.state"), "problem");
    assert_non_null(strstr(text_at(stats, "cross_encoder.problem"), part));
    assert_true(number_at(stats, "cross_encoder.unready") >= 1);
    buffer_release(&text);
}

static void copy_model(const char *folder, const char *file, const char *from, const char *to) {
    buffer bytes = {0};
    arena a;
    arena_init(&a, 0);
    assert_ok(os_make_folders(folder, NULL));
    assert_ok(os_read_file(path_join(&a, model_folder(), file), 0, &bytes, NULL));
    for (size_t i = 0; from && i + strlen(from) <= bytes.size; i++)
        if (memcmp(bytes.data + i, from, strlen(from)) == 0) memcpy(bytes.data + i, to, strlen(to));
    assert_ok(os_write_file(path_join(&a, folder, file), bytes.data, bytes.size, NULL));
    buffer_release(&bytes);
    arena_release(&a);
}

static void a_model_that_is_not_there_is_waited_for(void **state) {
    (void)state;
    const char *folder = arena_printf(&w->memory, "%s/model", w->folder);
    declare(folder, "");
    assert_problem("config.json");
    copy_model(folder, "config.json", NULL, NULL);
    copy_model(folder, "vocab.txt", NULL, NULL);
    copy_model(folder, "model.safetensors", "\"classifier.weight\"", "\"classifiex.weight\"");
    declare(folder, "");
    assert_problem("classifier.weight"); /* a sentence encoder, say */
    world_reopen(w);
    assert_problem("classifier.weight"); /* and the collection opens all the same */
    copy_model(folder, "model.safetensors", NULL, NULL);
    cross_encoder_follow(w->funnel->cross);
    assert_true(settled().version != 0);
    assert_int_equal(settled().problem[0], 0);
    assert_int_equal(number_at(ask(""), "cross_encoder.scored"), DOCUMENTS);
    world_reopen(w); /* whoever searches once has it */
    assert_int_equal(number_at(ask(""), "cross_encoder.scored"), DOCUMENTS);
}

/* ---- Threads ---- */

static atomic_int wrong;
static atomic_bool stop;

static void *search_on(void *argument) {
    (void)argument;
    while (!stop) {
        funnel_request r;
        funnel_answer *answer;
        funnel_request_default(&r);
        r.query = SLICE("shoe");
        r.log = false;
        r.timeout_ms = 60000;
        if (funnel_search(w->funnel, &r, &answer, NULL)) {
            wrong++;
            continue;
        }
        for (size_t i = 0; i < answer->cross.n; i++) /* by either model */
            if (!isnan(answer->cross.score[i]) && !(fabsf(answer->cross.score[i]) < 10)) wrong++;
        funnel_answer_release(answer);
    }
    return NULL;
}

static void models_change_under_searches(void **state) {
    (void)state;
    pthread_t threads[3];
    wrong = 0;
    stop = false;
    for (int i = 0; i < 3; i++) pthread_create(&threads[i], NULL, search_on, NULL);
    for (int i = 0; i < 6; i++) {
        use(i % 2 ? ",\"top\":5,\"tokens\":16" : ",\"top\":9");
        nanosleep(&(struct timespec){0, 20000000}, NULL);
    }
    stop = true;
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(wrong, 0);
}

/* ---- The schema ---- */

static void the_schema_says_what_is_wrong(void **state) {
    (void)state;
    static const char *const bad[][2] = {
        {"{}", "needs \"model\""}, {"\"folder\"", "expected an object"}, {"{\"model\":\"\"}", "needs \"model\""},
        {"{\"model\":1}", "\"model\""}, {"{\"model\":\"a\",\"top\":0}", "\"top\""}, {"{\"model\":\"a\",\"top\":201}", "\"top\""},
        {"{\"model\":\"a\",\"budget_ms\":0}", "\"budget_ms\""}, {"{\"model\":\"a\",\"weight\":1.5}", "\"weight\""},
        {"{\"model\":\"a\",\"precision\":\"int4\"}", "there is no \"int4\""}, {"{\"model\":\"a\",\"from\":\"title\"}", "\"from\""},
        {"{\"model\":\"a\",\"last\":1}", "\"last\""}, {"{\"model\":\"a\",\"tokens\":4}", "\"tokens\""},
        {"{\"model\":\"a\",\"to\":4}", "\"to\""}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        base_error error = {0};
        const char *json = arena_printf(&w->memory, "{\"ranking\":{\"cross_encoder\":%s}}", bad[i][0]);
        assert_int_equal(collection_extend_schema(w->collection, parse(&w->memory, json), &error), FORAGE_E_SCHEMA);
        if (!strstr(error.message, "\"cross_encoder\"") || !strstr(error.message, bad[i][1]))
            fail_msg("\"%s\" does not say \"%s\"", error.message, bad[i][1]);
    }
    declare(model_folder(), ",\"from\":[\"title\",\"id\"],\"top\":7,\"last\":false,\"weight\":0.25,\"tokens\":64,\"on\":false");
    world_schema(w, "{\"ranking\":{\"diversity\":0.5}}"); /* the rest stays */
    world_reopen(w);
    const schema_cross *c = &collection_schema(w->collection)->ranking.cross;
    assert_string_equal(c->model, model_folder());
    assert_true(c->top == 7 && !c->last && !c->on && c->weight == .25 && c->tokens == 64 && c->budget_ms == 50 && !c->full_precision);
    assert_int_equal(c->n_from, 2);
    assert_string_equal(c->from[1], "id");
}

int main(void) {
#define T(test) cmocka_unit_test_setup_teardown(test, begin, end)
    const struct CMUnitTest tests[] = {
        T(the_first_are_put_in_its_order_and_the_others_stay),
        T(a_weight_shares_the_order_with_the_ranker),
        T(requests_turn_it_on_and_off),
        T(hidden_and_pinned_hold),
        T(pages_go_on_in_its_order),
        T(models_see_its_score),
        T(its_score_is_logged),
        T(given_candidates_are_read_too),
        T(a_rival_and_a_shadow_are_treated_alike),
        T(scores_are_remembered_until_the_document_changes),
        T(too_late_is_said_and_fails_nothing),
        T(a_search_with_little_time_answers_with_what_there_is),
        T(the_deadline_ends_it),
        T(its_time_is_not_the_strategies),
        T(a_model_that_is_not_there_is_waited_for),
        T(models_change_under_searches),
        T(the_schema_says_what_is_wrong),
    };
    return cmocka_run_group_tests_name("cross", tests, NULL, NULL);
}
