/* The funnel, the way back: what an event changes, which events are refused, and that nothing learned is lost. */
#include "world.h"

#include "memory/predict.h"
#include "memory/profile_trace.h"

#include <sys/wait.h>

static world *w;

static const char *const catalogue =
    "{\"id\":\"goblet\",\"title\":\"Goblet of Fire\",\"popularity\":990}\n"
    "{\"id\":\"catching\",\"title\":\"Catching Fire\",\"popularity\":500}\n"
    "{\"id\":\"manual\",\"title\":\"Fire safety for large and small buildings\",\"popularity\":1}\n"
    "{\"id\":\"hen\",\"title\":\"A hen\",\"popularity\":3}\n";

static void begin(void) {
    w = world_begin();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"}},\"rewards\":{\"share\":0.25}}");
    world_import(w, catalogue);
}

static int set_up(void **state) {
    (void)state;
    begin();
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    return 0;
}

#define FIRE "{\"query\":\"fire\",\"policy\":\"all\",\"explain\":true,\"user\":\"u1\",\"session\":\"s1\"}"

static const char *query_id_of(const json_value *answer) {
    return arena_strndup(&w->memory, text_at(answer, "query_id"), 36);
}

static feedback_event event_of(const char *query_id, const char *action, const char *document) {
    return (feedback_event){
        .query_id = slice_of(query_id), .action = slice_of(action), .document = slice_of(document), .time = INT64_MIN};
}

static funnel_event_result send(const char *query_id, const char *action, const char *document) {
    feedback_event e = event_of(query_id, action, document);
    return world_event(w, &e);
}

static size_t place_of(const json_value *answer, const char *id) {
    size_t place = 0;
    for (const json_value *hit = at(answer, "hits.0"); hit; hit = hit->next, place++)
        if (strcmp(text_at(hit, "id"), id) == 0) return place;
    return SIZE_MAX;
}

static const json_value *stats(void) {
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    store_wait(collection_store(w->collection));
    funnel_write_stats(w->funnel, &writer);
    const json_value *json = parse(&w->memory, buffer_text(&text));
    buffer_release(&text);
    return json;
}

/* ---- What an event changes ---- */

static void a_click_moves_a_document_up_and_the_memory_says_why(void **state) {
    (void)state;
    const json_value *before = world_search(w, FIRE);
    size_t old_place = place_of(before, "manual");
    assert_true(old_place > 0);
    assert_null(at(named(at(before, "hits"), "id", "manual"), "explain.memory"));
    assert_ok(send(query_id_of(before), "click", "manual").status);
    const json_value *after = world_search(w, FIRE), *hit = named(at(after, "hits"), "id", "manual");
    assert_true(place_of(after, "manual") < old_place);
    assert_non_null(named(at(hit, "explain.strategies"), "name", "memory"));
    assert_float_equal(number_at(hit, "explain.memory.rewards"), 0.5, 0);
    assert_float_equal(number_at(hit, "explain.memory.impressions"), 1, 0);
    assert_true(number_at(named(at(hit, "explain.features"), "name", "memory_mean"), "contribution") > 0);
    assert_float_equal(number_at(stats(), "events"), 1, 0);
    assert_float_equal(number_at(stats(), "memory_pairs"), 1, 0);
}

/* A document without any of the words, once chosen, is found by the memory alone. */
static void the_memory_is_of_the_query_however_it_is_typed(void **state) {
    (void)state;
    const json_value *a = world_search(w, "{\"query\":\"\",\"policy\":\"all\"}");
    assert_ok(send(query_id_of(a), "purchase", "hen").status);
    assert_string_equal(text_at(world_search(w, "{\"query\":\" ?! \",\"policy\":\"all\"}"), "hits.0.id"), "hen");
    a = world_search(w, "{\"query\":\"Catching  FIRE!\",\"policy\":\"all\"}");
    assert_ok(send(query_id_of(a), "purchase", "manual").status);
    a = world_search(w, "{\"query\":\"cátching-fire\",\"policy\":\"all\",\"explain\":true}");
    assert_float_equal(number_at(named(at(a, "hits"), "id", "manual"), "explain.memory.rewards"), 1, 0);
    a = world_search(w, "{\"query\":\"fire catching\",\"policy\":\"all\",\"explain\":true}");
    const json_value *other = at(named(at(a, "hits"), "id", "manual"), "explain.memory"); /* another query with the same words */
    assert_string_equal(text_at(other, "way"), "words");
    assert_float_equal(number_at(other, "rewards"), 0, 0);
    assert_true(number_at(other, "lent") > 0);
    a = world_search(w, "{\"query\":\"goblet\",\"policy\":\"all\",\"explain\":true}");
    assert_null(at(named(at(a, "hits"), "id", "manual"), "explain.memory"));
}

static void what_is_shown_and_passed_over_sinks_again(void **state) {
    (void)state;
    assert_ok(send(query_id_of(world_search(w, FIRE)), "click", "manual").status);
    const json_value *a = world_search(w, FIRE);
    double mean = number_at(named(at(a, "hits"), "id", "manual"), "explain.memory.mean");
    for (int i = 0; i < 10; i++) {
        store_wait(collection_store(w->collection));
        a = world_search(w, arena_printf(&w->memory, "{\"query\":\"fire\",\"policy\":\"all\",\"explain\":true,\"user\":\"u%d\"}", i));
    }
    const json_value *memory = at(named(at(a, "hits"), "id", "manual"), "explain.memory");
    assert_true(number_at(memory, "impressions") > 2); /* each counts by the chance that its place was looked at */
    assert_true(number_at(memory, "mean") < mean * 0.8);
}

static void everybody_who_found_it_is_credited(void **state) {
    (void)state;
    const json_value *a = world_search(w, FIRE), *hit = named(at(a, "hits"), "id", "goblet");
    assert_ok(send(query_id_of(a), "like", "goblet").status);
    const json_value *told = stats();
    for (const json_value *s = at(told, "policy.strategies.0"); s; s = s->next) {
        bool found = named(at(hit, "explain.strategies"), "name", text_at(s, "name")) != NULL;
        assert_float_equal(number_at(s, "credited_events"), found, 0);
        assert_true(number_at(s, "searches") <= 1);
    }
    assert_float_equal(number_at(told, "impressions"), 1, 0);
    assert_float_equal(number_at(told, "policy.version"), 1, 0);
}

/* ---- Counting once ---- */

static void the_same_event_counts_once(void **state) {
    (void)state;
    const char *id = query_id_of(world_search(w, FIRE));
    feedback_event e[3] = {event_of(id, "click", "manual"), event_of(id, "click", "manual"),
                           event_of(id, "like", "goblet")};
    funnel_event_result results[3] = {{0}};
    e[0].event_id = e[1].event_id = e[2].event_id = SLICE("e-1");
    e[2].event_id = SLICE("e-2");
    assert_ok(funnel_record(w->funnel, e, 3, results, NULL));
    assert_true(!results[0].status && !results[0].duplicate);
    assert_true(!results[1].status && results[1].duplicate);
    assert_true(!results[2].status && !results[2].duplicate);
    for (int round = 0; round < 2; round++) {
        funnel_event_result again = world_event(w, &e[0]);
        assert_true(!again.status && again.duplicate);
        assert_float_equal(number_at(stats(), "events"), 2, 0);
        world_reopen(w);
    }
}

static void of_one_hit_only_the_best_counts(void **state) {
    (void)state;
    static const struct {
        const char *action;
        double credit;
    } steps[] = {{"share", 0.25}, {"click", 0.25}, {"click", 0}, {"share", 0}, {"purchase", 0.5}, {"like", 0}};
    const char *first = query_id_of(world_search(w, FIRE));
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_ok(send(first, steps[i].action, "manual").status);
        record_event e = world_last_event(w);
        assert_true(slice_is(e.action, steps[i].action));
        assert_float_equal(e.credit, steps[i].credit, 1e-6);
        assert_true(slice_is(e.user, "u1") && slice_is(e.session, "s1")); /* the impression's */
    }
    const json_value *a = world_search(w, FIRE);
    assert_float_equal(number_at(named(at(a, "hits"), "id", "manual"), "explain.memory.rewards"), 1, 0);
    assert_ok(
        send(first, "click", "goblet").status); /* another hit, and another impression, have credit of their own */
    assert_float_equal(world_last_event(w).credit, 0.5, 0);
    assert_ok(send(query_id_of(a), "click", "manual").status);
    assert_float_equal(world_last_event(w).credit, 0.5, 0);
    assert_true(world_last_event(w).engaged == 0);
    assert_ok(send(first, "like", "catching").status);
    assert_int_equal(__builtin_popcountll(world_last_event(w).engaged), 2);
}

/* A second event for a hit must not see what the first one taught the memory, the graph and the profile. */
static void later_events_have_the_ranks_of_the_first(void **state) {
    (void)state;
    assert_ok(send(query_id_of(world_search(w, FIRE)), "click", "goblet").status); /* the query has a memory */
    const char *id = query_id_of(world_search(w, "{\"query\":\"fire\",\"policy\":\"rrf-equal\",\"user\":\"u2\"}"));
    assert_ok(send(id, "click", "manual").status);
    record_event first = world_last_event(w);
    assert_ok(send(id, "purchase", "manual").status);
    record_event second = world_last_event(w);
    assert_int_equal(first.n_ranks, RETRIEVE_STRATEGIES);
    assert_int_equal(second.n_ranks, RETRIEVE_STRATEGIES);
    assert_memory_equal(first.ranks, second.ranks, sizeof first.ranks[0] * RETRIEVE_STRATEGIES);
    assert_int_equal(second.ranks[RETRIEVE_IS_MEMORY], 0);
}

/* A page of fifty asks for more than a shallow level has: what it shows was certain to be there. */
static void what_a_page_needs_stands_for_itself(void **state) {
    (void)state;
    record_event e = {.credit = 1, .n_ranks = RETRIEVE_STRATEGIES};
    float weight = 0;
    policy *p;
    world_search(w, FIRE);
    record_impression r = world_last_impression(w);
    assert_ok(funnel_policy(w->funnel, "regcb", 0, &p, NULL));
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) { /* nearly always level 1 */
        r.strategies[s].level = 1;
        r.strategies[s].depth = funnel_depths[1];
        memset(r.strategies[s].probability, 0, sizeof r.strategies[s].probability);
        r.strategies[s].probability[1] = 1;
    }
    e.ranks[RETRIEVE_IS_LEXICAL] = funnel_depths[1] + 1;
    assert_true(funnel_teach_policy(w->funnel, p, &r, &e, NULL, &weight));
    assert_true(weight > 1);
    r.strategies[RETRIEVE_IS_LEXICAL].depth = funnel_depths[FUNNEL_LEVELS - 1];
    assert_true(funnel_teach_policy(w->funnel, p, &r, &e, NULL, &weight));
    assert_float_equal(weight, 1, 0);
    policy_destroy(p);
}

static double remembered(const char *document, const char *what) {
    const json_value *a = world_search(w, "{\"query\":\"fire\",\"policy\":\"all\",\"explain\":true,\"log\":false}");
    return number_at(named(at(a, "hits"), "id", document), arena_printf(&w->memory, "explain.memory.%s", what));
}

/* What is known from elsewhere counts whole: each engagement was one showing, whoever it was. */
static void what_is_taught_counts_as_shown(void **state) {
    (void)state;
    for (int i = 0; i < 100; i++) {
        const char *user = arena_printf(&w->memory, "u%d", i);
        funnel_engagement g[2] = {
            {.query = SLICE("fire"), .user = slice_of(user), .document = SLICE("hen"), .action = SLICE("purchase")},
            {.query = SLICE("fire"), .document = SLICE("manual"), .action = SLICE("purchase")}};
        size_t taught;
        g[0].time = g[1].time = clock_wall(&w->clock);
        assert_ok(funnel_teach(w->funnel, g, 2, &taught, NULL));
    }
    assert_true(remembered("hen", "rewards") > 95);
    assert_float_equal(remembered("hen", "impressions"), remembered("hen", "rewards"), 1e-2);
    assert_float_equal(remembered("manual", "rewards"), 100, 1);
    double before = remembered("hen", "mean");
    for (int i = 0; i < 60; i++)
        world_search(w, arena_printf(&w->memory, "{\"query\":\"fire\",\"policy\":\"all\",\"user\":\"v%d\"}", i));
    store_wait(collection_store(w->collection));
    assert_true(remembered("hen", "mean") < before * 0.9);
}

/* It is in no log, where erasing its user would find it. */
static void a_taught_query_with_its_users_id_is_not_remembered(void **state) {
    (void)state;
    funnel_engagement g[2] = {
        {.query = SLICE("fire of Anna07"), .user = SLICE("anna07"), .document = SLICE("hen"), .action = SLICE("purchase")},
        {.query = SLICE("fire of mine"), .user = SLICE("anna07"), .document = SLICE("hen"), .action = SLICE("purchase")}};
    size_t taught;
    store_txn *t;
    memory_query q;
    g[0].time = g[1].time = clock_wall(&w->clock);
    assert_ok(funnel_teach(w->funnel, g, 2, &taught, NULL));
    assert_int_equal(taught, 2);
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_int_equal(memory_query_get(t, memory_key(SLICE("fire of anna07")), &q), FORAGE_E_NOT_FOUND);
    assert_ok(memory_query_get(t, memory_key(SLICE("fire of mine")), &q));
    store_read_end(t);
}

/* ---- What is refused ---- */

#define DAY INT64_C(86400000000)

static void assert_refused(const feedback_event *e, forage_status status, const char *message) {
    funnel_event_result result = world_event(w, e);
    assert_int_equal(result.status, status);
    assert_string_equal(result.message, message);
}

static void events_that_cannot_be_are_refused_with_a_reason(void **state) {
    (void)state;
    const char *id = query_id_of(world_search(w, FIRE));
    int64_t now = clock_wall(&w->clock);
    feedback_event e = event_of("nobody-knows", "click", "manual");
    assert_refused(&e, FORAGE_E_NO_QUERY, "no search with query_id \"nobody-knows\" was logged here");
    e = event_of(id, "click", "hen");
    assert_refused(&e, FORAGE_E_EVENT, "event: \"hen\" was not among the hits of that search");
    e = event_of(id, "click", "nothing");
    assert_refused(&e, FORAGE_E_EVENT, "event: \"nothing\" was not among the hits of that search");
    e = event_of(id, "sneeze", "manual");
    assert_refused(&e, FORAGE_E_EVENT,
                   "event, \"action_name\": \"sneeze\" has no reward; declare one in the schema's \"rewards\"");
    e = event_of(id, "click", "manual");
    e.time = now + 2 * DAY;
    assert_refused(&e, FORAGE_E_EVENT, "event, \"timestamp\": it lies more than a day in the future");
    e.time = now - 2 * DAY;
    assert_refused(&e, FORAGE_E_EVENT, "event, \"timestamp\": it lies more than a day before the search");
    w->ahead = 32 * DAY;
    e.time = now + 31 * DAY;
    assert_refused(&e, FORAGE_E_EVENT, "event, \"timestamp\": it comes more than 30 days after the search");
    e.time = INT64_MIN; /* now */
    assert_refused(&e, FORAGE_E_EVENT, "event, \"timestamp\": it comes more than 30 days after the search");
    assert_float_equal(number_at(stats(), "events"), 0, 0);
    e.time = now + 29 * DAY; /* sent late, but it happened in time */
    assert_ok(world_event(w, &e).status);
    w->ahead = 0;
}

static void one_bad_event_does_not_spoil_the_others(void **state) {
    (void)state;
    const char *id = query_id_of(world_search(w, FIRE));
    feedback_event e[3] = {event_of(id, "click", "manual"), event_of("nobody", "click", "manual"),
                           event_of(id, "like", "goblet")};
    funnel_event_result results[3] = {{0}};
    assert_ok(funnel_record(w->funnel, e, 3, results, NULL));
    assert_true(!results[0].status && results[1].status == FORAGE_E_NO_QUERY && !results[2].status);
    assert_float_equal(number_at(stats(), "events"), 2, 0);
}

static void a_search_without_a_log_is_nobodys(void **state) {
    (void)state;
    const json_value *a = world_search(w, "{\"query\":\"fire\",\"log\":false,\"query_id\":\"mine\"}");
    assert_int_equal(at(a, "query_id")->type, JSON_NULL);
    assert_int_equal(send("mine", "click", "manual").status, FORAGE_E_NO_QUERY);
    assert_float_equal(number_at(stats(), "impressions"), 0, 0);
    a = world_search(w, "{\"query\":\"fire\",\"query_id\":\"mine\",\"policy\":\"all\"}");
    assert_string_equal(text_at(a, "query_id"), "mine");
    assert_ok(send("mine", "click", "manual").status);
}

/* ---- Nothing learned is lost ---- */

/* Everything that was learned, as bytes; times that were measured left out. */
static buffer learned(world *it) {
    buffer state = {0};
    store_wait(collection_store(it->collection));
    funnel_counters counters = it->funnel->counters;
    memset(counters.took_us, 0, sizeof counters.took_us);
    policy_save(it->funnel->learned, &state);
    ranker_save(it->funnel->ranker, &state);
    buffer_append(&state, &counters, sizeof counters);
    return state;
}

static void assert_learned(world *it, const buffer *expected) {
    buffer now = learned(it);
    assert_int_equal(now.size, expected->size);
    assert_memory_equal(now.data, expected->data, now.size);
    buffer_release(&now);
}

/* Searches and events, the same for the same seeds: it is played in two worlds. */
static void play(world *it, int first, int rounds, int events_every) {
    static const char *const queries[] = {"fire", "catching fire", "hen", "", "goblet"};
    static const char *const actions[] = {"click", "purchase", "share"};
    world *before = w;
    w = it;
    for (int i = first; i < first + rounds; i++) {
        w->fixed = INT64_C(1700000000000000) + i * INT64_C(60000000); /* memories fade alike in all worlds */
        const json_value *a = world_search(
            w,
            arena_printf(&w->memory, "{\"query\":\"%s\",\"seed\":%d,\"query_id\":\"q%d\"}", queries[i % 5], i + 1, i));
        size_t hits = count_at(a, "hits");
        if (events_every && i % events_every == 0 && hits) {
            const char *hit = arena_printf(&w->memory, "hits.%zu.id", (size_t)i % hits);
            const char *query_id = arena_printf(&w->memory, "q%d", i);
            const char *document = arena_strndup(&w->memory, text_at(a, hit), strlen(text_at(a, hit)));
            assert_ok(send(query_id, actions[i % 3], document).status);
        }
        store_wait(collection_store(w->collection)); /* so that every search knows all that came before */
        if (i % 64 == 63) arena_reset(&w->memory);
    }
    w = before;
}

static void what_was_learned_is_there_after_reopening(void **state) {
    (void)state;
    play(w, 0, 60, 3);
    buffer before = learned(w);
    world *crashed = world_crash(w); /* nothing was saved: all from the log */
    assert_learned(crashed, &before);
    world_reopen(w);
    assert_learned(w, &before);
    world *again = world_crash(w);
    assert_learned(again, &before);
    buffer_release(&before);
    /* and the three go on alike */
    play(w, 60, 30, 3);
    play(crashed, 60, 30, 3);
    play(again, 60, 30, 3);
    before = learned(w);
    assert_learned(crashed, &before);
    assert_learned(again, &before);
    buffer_release(&before);
    world_end(crashed);
    world_end(again);
}

/* The state is saved from time to time; what comes after is learned from the log, also when it is about older
 * searches. */
static void a_saved_state_and_the_log_since_make_the_whole(void **state) {
    (void)state;
    play(w, 0, FUNNEL_SAVE_EVERY + 100, 9);
    assert_true(w->funnel->saved_sequence > 0);
    assert_true(w->funnel->saved_sequence < w->funnel->learned_sequence);
    assert_ok(send("q3", "purchase", "hen").status);
    buffer before = learned(w);
    world *crashed = world_crash(w);
    assert_learned(crashed, &before);
    world_end(crashed);
    buffer_release(&before);
}

static forage_status spoil_state(store_txn *t, void *self, base_error *error) {
    (void)self;
    return store_put(t, STORE_MODELS, SLICE("learned"), SLICE("\1rubbish"), error);
}

static float times_shown(world *it, const char *id) {
    store_txn *t;
    trend_belief b = {0};
    assert_ok(store_read_begin(collection_store(it->collection), &t, NULL));
    assert_true(collection_number_of(t, slice_of(id), &b.document));
    store_read_end(t);
    trend_believe(behaviour_trends(it->funnel->behaviour), world_wall(w), &b, 1);
    return b.shown;
}

static void a_spoiled_state_is_learned_again_from_the_log(void **state) {
    (void)state;
    play(w, 0, 40, 3);
    world_reopen(w);
    buffer before = learned(w);
    float shown = times_shown(w, "goblet");
    assert_true(shown > 20);
    store_job job = {.apply = spoil_state};
    assert_ok(store_write(collection_store(w->collection), &job, NULL));
    log_set_level(LOG_SILENT);
    world *crashed = world_crash(w);
    log_set_level(LOG_WARN);
    assert_learned(crashed, &before);
    assert_float_equal(times_shown(crashed, "goblet"), shown, 0.01); /* not twice */
    world_end(crashed);
    buffer_release(&before);
}

static void learning_prefers_what_people_choose(void **state) {
    (void)state;
    float prior[F_COUNT], now[F_COUNT];
    ranker_weights(w->funnel->ranker, prior, NULL);
    for (int i = 0; i < 40; i++) {
        const json_value *a = world_search(w, FIRE);
        assert_ok(send(query_id_of(a), "purchase", "manual").status); /* always, wherever it stands */
        store_wait(collection_store(w->collection));
    }
    ranker_weights(w->funnel->ranker, now, NULL);
    assert_string_equal(text_at(world_search(w, FIRE), "hits.0.id"), "manual");
    assert_true(now[F_MEMORY_MEAN] > prior[F_MEMORY_MEAN]);
    assert_true(number_at(stats(), "ranker.version") > 0);
}

/* ---- Forgetting ---- */

static forage_status predict_it(store_txn *t, void *self, base_error *error) {
    predict_entry entry = {*(slice *)self, 0.5f};
    return predict_store(t, 1, PREDICT_BORROWED, &entry, 1, true, NULL, error);
}

/* What they asked, with their name in it in whatever letters, is neither remembered nor predicted for other documents. */
static void a_query_with_a_name_is_forgotten(void **state) {
    (void)state;
    slice text = SLICE("fire for anna07");
    profile_forgotten done;
    memory_query query;
    prediction *list;
    store_txn *t;
    const json_value *a = world_search(w, "{\"query\":\"Fire for ANNA07\",\"user\":\"anna07\",\"policy\":\"all\"}");
    assert_ok(send(query_id_of(a), "purchase", "manual").status);
    assert_ok(store_write(collection_store(w->collection), &(store_job){.apply = predict_it, .self = &text}, NULL));
    for (int forgotten = 0; forgotten < 2; forgotten++) {
        if (forgotten) assert_ok(profile_forget(collection_store(w->collection), SLICE("anna07"), &done, NULL));
        assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
        assert_int_equal(predict_of_query(t, memory_key(text), 10, &w->memory, &list), !forgotten);
        assert_int_equal(predict_of_document(t, 1, &w->memory, &list), !forgotten);
        assert_int_equal(memory_query_get(t, memory_key(text), &query), forgotten ? FORAGE_E_NOT_FOUND : FORAGE_OK);
        store_read_end(t);
    }
}

/* ---- Beside a writing process ---- */

static void tell(int to, const char *text) {
    assert_int_equal(write(to, text, strlen(text) + 1), (ssize_t)strlen(text) + 1);
}

static const char *hear(int from) {
    static char text[2000];
    size_t n = 0;
    do
        if (read(from, text + n, 1) != 1) return "(the other process is gone)";
    while (text[n++] && n < sizeof text);
    return text;
}

/* The reading process: for each query that it hears it tells the ids it finds. */
static int read_beside(int from, int to) {
    const char *text = hear(from);
    char folder[600];
    snprintf(folder, sizeof folder, "%.599s", text);
    base_error error = {0};
    collection_options options = {.read_only = true, .clock = os_clock_system};
    world reader = {.pool = os_pool_create(2, 16)};
    arena_init(&reader.memory, 0);
    forage_status status = collection_open(folder, "world", &options, &reader.collection, &error);
    if (!status) status = funnel_open(reader.collection, reader.pool, 1, &reader.funnel, &error);
    tell(to, status ? error.message : "ready");
    while (!status) {
        const json_value *answer;
        const char *request = hear(from);
        if (strcmp(request, "end") == 0) break;
        char copy[2000];
        snprintf(copy, sizeof copy, "%.1999s", request);
        if (world_try(&reader, copy, &answer, &error)) tell(to, error.message);
        else
            tell(to,
                 arena_printf(&reader.memory, "%s|%g|%s", world_ids(&reader, answer), number_at(answer, "total.value"),
                              at(answer, "query_id")->type == JSON_NULL ? "not logged" : "logged"));
    }
    funnel_close(reader.funnel);
    collection_close(reader.collection);
    os_pool_destroy(reader.pool);
    arena_release(&reader.memory);
    return status ? 1 : 0;
}

#define BESIDE(query) "{\"query\":\"" query "\",\"policy\":\"all\"}"

static void a_reader_follows_the_writing_process(void **state) {
    (void)state;
    int there[2], back[2], code;
    assert_int_equal(pipe(there) | pipe(back), 0);
    pid_t child = fork(); /* before there are threads */
    if (child == 0) _exit(read_beside(there[0], back[1]));
    begin();
    tell(there[1], w->folder);
    assert_string_equal(hear(back[0]), "ready");
    tell(there[1], BESIDE("hen"));
    assert_string_equal(hear(back[0]), "hen|1|not logged");
    world_import(w, "{\"id\":\"fox\",\"title\":\"red fox\"}\n");
    tell(there[1], BESIDE("fox"));
    assert_string_equal(hear(back[0]), "fox|1|not logged");
    assert_ok(sparse_index_optimize(collection_index(w->collection), NULL)); /* other files */
    world_import(w, "{\"id\":\"hen\",\"title\":\"brown fox\"}\n");
    assert_ok(collection_delete(w->collection, SLICE("fox"), NULL));
    tell(there[1], BESIDE("fox"));
    assert_string_equal(hear(back[0]), "hen|1|not logged");
    world_schema(w, "{\"fields\":{\"year\":{\"type\":\"number\"}}}"); /* a new field, in files before anybody looks */
    world_import(w, "{\"id\":\"owl\",\"title\":\"white owl\",\"year\":1999}\n");
    assert_ok(sparse_index_optimize(collection_index(w->collection), NULL));
    tell(there[1], "{\"query\":\"owl\",\"filter\":{\"year\":1999},\"policy\":\"all\"}");
    assert_string_equal(hear(back[0]), "owl|1|not logged");
    const json_value *a = world_search(w, BESIDE("fire"));
    assert_ok(send(query_id_of(a), "purchase", "manual").status); /* and the memory is everybody's */
    tell(there[1], "{\"query\":\"fire\",\"policy\":\"all\",\"limit\":1}");
    assert_string_equal(hear(back[0]), "manual|3|not logged");
    tell(there[1], "end");
    assert_int_equal(waitpid(child, &code, 0), child);
    assert_int_equal(code, 0);
    for (int i = 0; i < 2; i++) close(there[i]), close(back[i]);
    world_end(w);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_reader_follows_the_writing_process),
        ISOLATED(a_click_moves_a_document_up_and_the_memory_says_why),
        ISOLATED(the_memory_is_of_the_query_however_it_is_typed),
        ISOLATED(what_is_shown_and_passed_over_sinks_again),
        ISOLATED(everybody_who_found_it_is_credited),
        ISOLATED(the_same_event_counts_once),
        ISOLATED(of_one_hit_only_the_best_counts),
        ISOLATED(later_events_have_the_ranks_of_the_first),
        ISOLATED(what_a_page_needs_stands_for_itself),
        ISOLATED(what_is_taught_counts_as_shown),
        ISOLATED(a_taught_query_with_its_users_id_is_not_remembered),
        ISOLATED(events_that_cannot_be_are_refused_with_a_reason),
        ISOLATED(one_bad_event_does_not_spoil_the_others),
        ISOLATED(a_search_without_a_log_is_nobodys),
        ISOLATED(what_was_learned_is_there_after_reopening),
        ISOLATED(a_saved_state_and_the_log_since_make_the_whole),
        ISOLATED(a_spoiled_state_is_learned_again_from_the_log),
        ISOLATED(learning_prefers_what_people_choose),
        ISOLATED(a_query_with_a_name_is_forgotten),
    };
    return cmocka_run_group_tests_name("learning", tests, NULL, NULL);
}
