/* The strategies on a small catalogue of authors and books: each gives what its purpose says, and nothing else. */
#include "world.h"

static world *w;
static text_analyzer *analyzer;
static behaviour *people; /* what they did; NULL: nothing is known */

static const char *const catalogue =
    "{\"id\":\"collins\",\"type\":\"author\",\"title\":\"Suzanne Collins\",\"popularity\":900}\n"
    "{\"id\":\"rowling\",\"type\":\"author\",\"title\":\"Joanne Rowling\",\"popularity\":950}\n"
    "{\"id\":\"hunger\",\"type\":\"book\",\"title\":\"The Hunger Games\",\"author\":\"collins\",\"popularity\":800}\n"
    "{\"id\":\"fire\",\"type\":\"book\",\"title\":\"Catching Fire\",\"author\":[\"collins\"],\"popularity\":500}\n"
    "{\"id\":\"gregor\",\"type\":\"book\",\"title\":\"Gregor the "
    "Overlander\",\"author\":\"collins\",\"popularity\":90}\n"
    "{\"id\":\"goblet\",\"type\":\"book\",\"title\":\"Goblet of Fire\",\"author\":\"rowling\",\"popularity\":990}\n"
    "{\"id\":\"stone\",\"type\":\"book\",\"title\":\"Philosopher Stone\",\"author\":\"rowling\",\"popularity\":999}\n"
    "{\"id\":\"manual\",\"type\":\"book\",\"title\":\"Fire Safety Manual fire fire\",\"popularity\":1}\n"
    "{\"id\":\"anonymous\",\"type\":\"book\",\"title\":\"Beowulf\",\"author\":\"nobody\"}\n";

static int set_up(void **state) {
    (void)state;
    w = world_begin();
    analyzer = text_analyzer_create();
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"},\"author\":{\"type\":\"reference\"}}}");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    text_analyzer_destroy(analyzer);
    behaviour_close(people);
    people = NULL;
    world_end(w);
    return 0;
}

/* What a strategy is asked, as the funnel would ask it. */
typedef struct asking {
    const char *query, *filter;
    uint64_t seed;
    bool too_late;
    memory_row rows[8];
    size_t n_rows;
    const char *user, *type;
    uint64_t segment; /* 0: none */
    bool beyond_words, only_new;
} asking;

typedef struct prepared {
    retrieve_request r;
    sparse_eligible eligible, matching;
    sparse_hit lexical[64];
    store_txn *t;
    profile known;
} prepared;

#define NOW ((int64_t)1700000000 * 1000000)

/* After the collection's part of the request. */
static void prepare_people(const asking *q, prepared *p) {
    hash128 key;
    p->r.behaviour = people;
    p->r.now = NOW;
    p->r.beyond_words = q->beyond_words;
    p->r.only_new = q->only_new;
    p->r.type = q->type ? slice_of(q->type) : (slice){0};
    p->r.segments = &q->segment;
    p->r.n_segments = q->segment != 0;
    p->r.known_user = q->user != NULL;
    if (q->user && profile_key(slice_of(q->user), (slice){0}, &key) && profile_read(p->t, &key, &p->known)) p->r.profile = &p->known;
}

static void prepare(const asking *q, prepared *p) {
    const sparse_filter *filter = NULL;
    const sparse_snapshot *s = collection_acquire(w->collection);
    const schema *known = collection_schema(w->collection);
    base_error error = {0};
    if (q->filter && filter_read(known, parse(&w->memory, q->filter), analyzer, &w->memory, &filter, &error))
        fail_msg("%s", error.message);
    text_tokens found = text_analyze(analyzer, slice_of(q->query), TEXT_EN, 0);
    text_token *used = arena_alloc(&w->memory, (found.count + 1) * sizeof *used);
    size_t n = text_query_tokens(found, used);
    sparse_query_term *terms = arena_zalloc(&w->memory, n + 1, sizeof *terms);
    for (size_t i = 0; i < n; i++)
        terms[i] = (sparse_query_term){.key = sparse_text_key(&w->memory, used[i].term), .weight = 1};
    sparse_eligible_compute(s, filter, &w->memory, &p->eligible);
    p->matching = p->eligible;
    if (n) sparse_matching(&p->eligible, &(sparse_query){.terms = terms, .n_terms = n}, &w->memory, &p->matching);
    p->r = (retrieve_request){.collection = w->collection,
                              .schema = known,
                              .snapshot = s,
                              .eligible = &p->eligible,
                              .matching = &p->matching,
                              .terms = terms,
                              .n_terms = n,
                              .prior_weight = 0.01f,
                              .memory = q->rows,
                              .n_memory = q->n_rows,
                              .seed = q->seed,
                              .clock = &os_clock_system,
                              .deadline = clock_monotonic(&os_clock_system) + (q->too_late ? -1 : 60000000)};
    bool late = false;
    if (n) {
        sparse_query lexical = {.terms = terms, .n_terms = n, .prior_weight = 0.01f, .text_weight = 1};
        p->r.lexical = p->lexical;
        p->r.n_lexical = sparse_search(&p->eligible, &lexical, 64, &w->memory, p->lexical, &late);
    }
    assert_ok(store_read_begin(collection_store(w->collection), &p->t, NULL));
    prepare_people(q, p);
}

static void finish(prepared *p) {
    store_read_end(p->t);
    collection_release(w->collection, p->r.snapshot);
}

/* The ids that come, in order, as text; checks what holds for every strategy. */
static const char *ask(const retrieve_strategy *strategy, const asking *q, uint32_t depth, bool *late) {
    prepared p;
    bool ignored = false;
    buffer ids = {0};
    prepare(q, &p);
    sparse_hit *hits = arena_alloc(&w->memory, (depth + 1) * sizeof *hits);
    size_t n = strategy->available(&p.r) ? strategy->run(&p.r, depth, &w->memory, hits, late ? late : &ignored) : 0;
    assert_true(n <= depth);
    for (size_t i = 0; i < n; i++) {
        collection_document d;
        assert_true(sparse_is_eligible(&p.eligible, hits[i].document));
        assert_true(i == 0 || hits[i].score <= hits[i - 1].score);
        for (size_t j = 0; j < i; j++) assert_true(hits[j].document != hits[i].document);
        assert_ok(collection_document_by_number(p.t, hits[i].document, &d));
        buffer_printf(&ids, "%s%.*s", i ? " " : "", (int)d.id.size, d.id.data);
    }
    finish(&p);
    const char *out = arena_strndup(&w->memory, ids.data ? ids.data : "", ids.size);
    buffer_release(&ids);
    return out;
}

#define ASK(strategy, depth, ...) ask(&retrieve_##strategy, &(asking){__VA_ARGS__}, depth, NULL)

static uint32_t number_of(const char *id) {
    store_txn *t;
    uint32_t number = UINT32_MAX;
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_true(collection_number_of(t, slice_of(id), &number));
    store_read_end(t);
    return number;
}

/* ---- Each one's purpose ---- */

static void lexical_finds_the_words(void **state) {
    (void)state;
    world_import(w, catalogue);
    assert_string_equal(ASK(lexical, 8, .query = "hunger games"), "hunger");
    assert_string_equal(ASK(lexical, 8, .query = "fires"), "manual fire goblet"); /* more often, or among fewer words */
    assert_string_equal(ASK(lexical, 1, .query = "fires"), "manual");
    assert_string_equal(ASK(lexical, 8, .query = "fire", .filter = "{\"author\":\"collins\"}"), "fire");
    assert_string_equal(ASK(lexical, 8, .query = "nothing like it"), "");
    assert_string_equal(ASK(lexical, 8, .query = ""), "");
}

static void memory_gives_what_was_chosen_before(void **state) {
    (void)state;
    world_import(w, catalogue);
    asking q = {.query = "fire", .n_rows = 3};
    q.rows[0] = (memory_row){.document = number_of("stone"), .mean = 0.9f};
    q.rows[1] = (memory_row){.document = number_of("gregor"), .mean = 0.5f};
    q.rows[2] = (memory_row){.document = number_of("fire"), .mean = 0.1f};
    assert_string_equal(ask(&retrieve_memory, &q, 8, NULL), "stone gregor fire"); /* words or not */
    assert_string_equal(ask(&retrieve_memory, &q, 2, NULL), "stone gregor");
    q.filter = "{\"author\":\"collins\"}";
    assert_string_equal(ask(&retrieve_memory, &q, 1, NULL), "gregor"); /* what is filtered out takes no place */
    q.filter = NULL;
    assert_ok(collection_delete(w->collection, SLICE("stone"), NULL));
    assert_string_equal(ask(&retrieve_memory, &q, 8, NULL), "gregor fire");
    assert_string_equal(ASK(memory, 8, .query = "fire"), "");
}

static void popular_orders_what_matches_by_popularity(void **state) {
    (void)state;
    world_import(w, catalogue);
    assert_string_equal(ASK(popular, 3, .query = ""), "stone goblet rowling");
    assert_string_equal(ASK(popular, 8, .query = "fire"), "goblet fire manual");
    assert_string_equal(ASK(popular, 2, .query = "", .filter = "{\"type\":\"author\"}"), "rowling collins");
    assert_string_equal(ASK(popular, 8, .query = "", .filter = "{\"type\":\"film\"}"), "");
}

static void fresh_gives_the_last_first(void **state) {
    (void)state;
    world_import(w, catalogue);
    assert_string_equal(ASK(fresh, 2, .query = ""), "anonymous manual");
    assert_string_equal(ASK(fresh, 8, .query = "fire"), "manual goblet fire");
    world_import(
        w, "{\"id\":\"fire\",\"type\":\"book\",\"title\":\"Catching Fire, second edition\",\"author\":\"collins\"}\n");
    assert_string_equal(ASK(fresh, 1, .query = ""), "fire"); /* replaced is new */
    assert_string_equal(ASK(fresh, 1, .query = "", .filter = "{\"type\":\"author\"}"), "rowling");
}

static void related_walks_along_references(void **state) {
    (void)state;
    world_import(w, catalogue);
    /* From an author to the books, the most popular first. */
    assert_string_equal(ASK(related, 8, .query = "suzanne collins"), "hunger fire gregor");
    /* From a book to its author, then to the author's other books. */
    assert_string_equal(ASK(related, 8, .query = "hunger games"), "collins fire gregor");
    assert_string_equal(ASK(related, 1, .query = "hunger games"), "collins");
    assert_string_equal(ASK(related, 8, .query = "hunger games", .filter = "{\"author\":\"collins\"}"), "fire gregor");
    assert_string_equal(ASK(related, 8, .query = "beowulf"), ""); /* refers to somebody who is not there */
    assert_string_equal(ASK(related, 8, .query = "safety"), "");
    assert_string_equal(ASK(related, 8, .query = ""), "");
}

static void related_stops_when_its_time_is_over(void **state) {
    (void)state;
    bool late = false;
    world_import(w, catalogue);
    assert_string_equal(ask(&retrieve_related, &(asking){.query = "hunger games", .too_late = true}, 8, &late), "");
    assert_true(late);
}

/* ---- Explore ---- */

#define N_EXPLORED 40

static void explore_is_uniform_over_what_matches(void **state) {
    (void)state;
    enum { ROUNDS = 8000, DEPTH = 3 };
    buffer lines = {0};
    for (int i = 0; i < N_EXPLORED * 2; i++)
        buffer_printf(&lines, "{\"id\":%d,\"title\":\"%s\",\"popularity\":%d}\n", i, i % 2 ? "other" : "wanted", i * i);
    world_import(w, buffer_text(&lines));
    assert_ok(sparse_index_flush(collection_index(w->collection), NULL));
    world_import(w, "{\"id\":0,\"title\":\"wanted\"}\n{\"id\":2,\"title\":\"wanted wanted\"}\n"); /* two segments */
    prepared p;
    prepare(&(asking){.query = "wanted"}, &p);
    double drawn[N_EXPLORED * 2] = {0}, first[N_EXPLORED * 2] = {0};
    for (int round = 0; round < ROUNDS; round++) {
        sparse_hit hits[DEPTH];
        bool late = false;
        arena scratch;
        arena_init(&scratch, 0);
        p.r.seed = (uint64_t)round * 7919 + 1;
        assert_int_equal(retrieve_explore.run(&p.r, DEPTH, &scratch, hits, &late), DEPTH);
        for (int i = 0; i < DEPTH; i++) drawn[hits[i].document]++;
        first[hits[0].document]++;
        arena_release(&scratch);
    }
    double chi = 0, chi_first = 0, expected = (double)ROUNDS * DEPTH / N_EXPLORED,
           expected_first = (double)ROUNDS / N_EXPLORED;
    for (int i = 0; i < N_EXPLORED * 2; i++) {
        if (i % 2) assert_true(drawn[i] == 0);
        else chi += (drawn[i] - expected) * (drawn[i] - expected) / expected;
        if (i % 2 == 0) chi_first += (first[i] - expected_first) * (first[i] - expected_first) / expected_first;
    }
    assert_true(chi <
                72.1); /* 39 degrees of freedom: exceeded once in a thousand (drawing without repetition varies less) */
    assert_true(chi_first < 72.1);
    finish(&p);
    buffer_release(&lines);
}

static void explore_repeats_itself_only_for_the_same_seed(void **state) {
    (void)state;
    world_import(w, catalogue);
    const char *first = ASK(explore, 5, .query = "", .seed = 1);
    assert_string_equal(ASK(explore, 5, .query = "", .seed = 1), first);
    bool differs = false;
    for (uint64_t seed = 2; seed < 12; seed++)
        differs |= strcmp(ASK(explore, 5, .query = "", .seed = seed), first) != 0;
    assert_true(differs);
    assert_int_equal(strlen(ASK(explore, 100, .query = "", .seed = 3)),
                     strlen(ASK(fresh, 100, .query = ""))); /* all there are */
    assert_string_equal(ASK(explore, 5, .query = "", .filter = "{\"type\":\"film\"}"), "");
}

/* ---- What people did ---- */

typedef struct deed {
    behaviour_event event;
    behaviour_change change;
} deed;

static forage_status deed_apply(store_txn *t, void *self, base_error *error) {
    deed *d = self;
    return behaviour_record(people, t, &d->event, &d->change, error);
}

static void deed_committed(void *self, forage_status status) {
    if (!status) behaviour_committed(people, &((deed *)self)->change);
}

static void begin_people(void) {
    store_txn *t;
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_ok(behaviour_open(t, 0, &people, NULL));
    store_read_end(t);
}

static void engage_at(const char *user, const char *id, uint64_t segment, int64_t time) {
    profile_attribute attributes[16];
    arena a;
    slice *types;
    arena_init(&a, 0);
    const sparse_snapshot *s = collection_acquire(w->collection);
    uint32_t document = number_of(id);
    deed d = {.event = {.user = slice_of(user), .document = document, .credit = 1, .time = time, .now = NOW, .segments = &segment,
                        .n_segments = segment != 0, .attributes = attributes}};
    d.event.n_attributes = behaviour_attributes(s, document, &a, 16, attributes);
    if (sparse_keywords_of(s, document, (uint32_t)s->config->type, &a, &types)) d.event.type = types[0];
    assert_ok(store_write(collection_store(w->collection), &(store_job){deed_apply, deed_committed, &d}, NULL));
    collection_release(w->collection, s);
    arena_release(&a);
}

static void engage(const char *user, const char *id) { engage_at(user, id, 0, NOW); }

static void crowd(int n, const char *id, uint64_t segment, int64_t time) {
    char user[32];
    for (int i = 0; i < n; i++) {
        snprintf(user, sizeof user, "%s-%d-%d", id, (int)segment, i);
        engage_at(user, id, segment, time);
    }
}

static void personal_knows_the_user(void **state) {
    (void)state;
    world_import(w, catalogue);
    begin_people();
    for (int i = 0; i < 6; i++) { /* others who like what anna likes go on to beowulf */
        char user[16];
        snprintf(user, sizeof user, "u%d", i);
        engage(user, "hunger");
        engage(user, "anonymous");
    }
    for (int i = 0; i < 6; i++) engage("anna", i < 4 ? "hunger" : "gregor");
    assert_string_equal(ASK(personal, 2, .query = "", .user = "anna"), "hunger gregor"); /* her own, the dearest first */
    const char *all = ASK(personal, 8, .query = "", .user = "anna");
    assert_non_null(strstr(all, "anonymous")); /* through the graph */
    assert_non_null(strstr(all, "fire"));      /* through the author she favours */
    all = ASK(personal, 8, .query = "", .user = "anna", .only_new = true);
    assert_null(strstr(all, "hunger"));
    assert_null(strstr(all, "gregor"));
    assert_non_null(strstr(all, "anonymous"));
    assert_string_equal(ASK(personal, 8, .query = "games", .user = "anna"), "hunger"); /* what has words of the query */
    const char *wide = ASK(personal, 8, .query = "games", .user = "anna", .beyond_words = true);
    assert_true(strncmp(wide, "hunger gregor", 13) == 0);
    assert_null(strstr(ASK(personal, 8, .query = "", .user = "anna", .filter = "{\"type\":\"author\"}"), "hunger"));
}

static void personal_of_cold_users(void **state) {
    (void)state;
    enum { NORTH = 4711, SOUTH };
    world_import(w, catalogue);
    begin_people();
    crowd(12, "manual", NORTH, NOW);
    crowd(20, "gregor", SOUTH, NOW);
    assert_string_equal(ASK(personal, 1, .query = "", .user = "new", .segment = NORTH), "manual"); /* like people there */
    assert_string_equal(ASK(personal, 1, .query = "", .user = "new", .segment = SOUTH), "gregor");
    assert_string_equal(ASK(personal, 1, .query = "", .segment = NORTH), "manual");     /* nobody, from there */
    assert_string_equal(ASK(personal, 1, .query = "", .user = "new"), "gregor");        /* everyone's */
    assert_string_equal(ASK(personal, 1, .query = "", .user = "new", .segment = 999), "gregor"); /* nobody came from there yet */
    assert_string_equal(ASK(personal, 8, .query = ""), ""); /* about nobody there is nothing to say */
    for (int i = 0; i < 40; i++) engage("anna", i % 2 ? "hunger" : "fire");
    const char *own = ASK(personal, 3, .query = "", .user = "anna", .segment = NORTH);
    assert_null(strstr(own, "manual")); /* who is known needs no segment */
}

static void personal_before_anybody_did_anything(void **state) {
    (void)state;
    world_import(w, catalogue);
    begin_people();
    assert_string_equal(ASK(personal, 2, .query = "", .user = "new"), "stone goblet"); /* the catalogue's own figure */
}

static void popular_of_late(void **state) {
    (void)state;
    enum { NORTH = 4711 };
    world_import(w, catalogue);
    begin_people();
    assert_string_equal(ASK(popular, 2, .query = ""), "stone goblet");
    crowd(80, "gregor", 0, NOW);
    assert_string_equal(ASK(popular, 1, .query = ""), "gregor");
    crowd(60, "manual", NORTH, NOW);
    assert_string_equal(ASK(popular, 1, .query = "", .segment = NORTH), "manual"); /* among people there */
    assert_string_equal(ASK(popular, 1, .query = ""), "gregor");
    crowd(100, "collins", 0, NOW);
    assert_string_equal(ASK(popular, 1, .query = "", .type = "author"), "collins");
    assert_string_equal(ASK(popular, 1, .query = "", .type = "book"), "gregor"); /* among the engagement with books */
    assert_string_equal(ASK(popular, 8, .query = "fire"), "manual goblet fire"); /* only what has the words */
    assert_string_equal(ASK(popular, 1, .query = "fire", .beyond_words = true), "collins");
}

static void popular_forgets(void **state) {
    (void)state;
    world_import(w, catalogue);
    begin_people();
    crowd(200, "gregor", 0, NOW - 300 * DECAY_DAY); /* ten half-lives ago */
    crowd(30, "fire", 0, NOW);
    assert_string_equal(ASK(popular, 1, .query = "", .filter = "{\"author\":\"collins\"}"), "fire");
}

static void fresh_is_what_is_known_least(void **state) {
    (void)state;
    world_import(w, catalogue);
    begin_people();
    uint32_t often[] = {number_of("anonymous"), number_of("manual"), number_of("stone")};
    for (int i = 0; i < 60; i++) behaviour_shown(people, often, 3, NOW, NOW);
    assert_string_equal(ASK(fresh, 2, .query = ""), "goblet gregor"); /* never shown, the newest first */
    const char *all = ASK(fresh, 9, .query = "");
    assert_string_equal(all + strlen(all) - strlen(" stone"), " stone");
    crowd(30, "stone", 0, NOW); /* shown and chosen half of the time: less is known of it than of what is never chosen */
    all = ASK(fresh, 9, .query = "");
    assert_non_null(strstr(all, "stone anonymous"));
    assert_string_equal(ASK(fresh, 8, .query = "fire"), "goblet fire manual");
}

static void related_by_what_people_choose_together(void **state) {
    (void)state;
    world_import(w, catalogue);
    begin_people();
    for (int i = 0; i < 5; i++) {
        char user[16];
        snprintf(user, sizeof user, "u%d", i);
        engage(user, "anonymous");
        engage(user, "manual");
    }
    assert_string_equal(ASK(related, 8, .query = "beowulf"), "manual anonymous"); /* no reference leads there */
    assert_string_equal(ASK(related, 8, .query = "beowulf", .filter = "{\"type\":\"author\"}"), "");
    asking q = {.query = "nothing like it", .n_rows = 1};
    q.rows[0] = (memory_row){.document = number_of("manual"), .mean = 0.9f};
    assert_string_equal(ask(&retrieve_related, &q, 8, NULL), "anonymous manual"); /* from what is remembered */
    assert_ok(collection_delete(w->collection, SLICE("anonymous"), NULL));
    assert_string_equal(ask(&retrieve_related, &q, 8, NULL), "manual"); /* it is gone, its ties are not yet */
}

/* ---- What holds for all ---- */

static void no_strategy_leaves_the_filter(void **state) {
    (void)state;
    world_import(w, catalogue);
    static const char *const filters[] = {"{\"type\":\"book\"}", "{\"not\":{\"author\":\"rowling\"}}",
                                          "{\"type\":\"film\"}"};
    static const char *const queries[] = {"fire", "collins", "hunger games fire", ""};
    asking q = {.n_rows = 2};
    q.rows[0] = (memory_row){.document = number_of("stone"), .mean = 0.9f};
    q.rows[1] = (memory_row){.document = number_of("collins"), .mean = 0.8f};
    for (size_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        for (size_t f = 0; f < 3; f++)
            for (size_t i = 0; i < 4; i++)
                for (uint32_t depth = 1; depth <= 128; depth *= 4) {
                    q.query = queries[i];
                    q.filter = filters[f];
                    q.seed = depth;
                    ask(retrieve_strategies[s], &q, depth, NULL); /* asserts it inside */
                }
}

static void no_strategy_leaves_the_filter_whatever_people_did(void **state) {
    world_import(w, catalogue);
    begin_people();
    static const char *const ids[] = {"hunger", "stone", "rowling", "collins", "manual", "fire"};
    for (int i = 0; i < 60; i++) engage(i % 3 ? "anna" : "bert", ids[i % 6]);
    asking q = {.user = "anna", .segment = 5, .beyond_words = true, .filter = "{\"type\":\"book\"}", .query = "fire"};
    for (size_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        for (uint32_t depth = 1; depth <= 128; depth *= 4) ask(retrieve_strategies[s], &q, depth, NULL); /* asserts it inside */
    no_strategy_leaves_the_filter(state);
}

static void an_empty_collection_gives_nothing(void **state) {
    (void)state;
    if (!people) begin_people();
    for (size_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        assert_string_equal(ask(retrieve_strategies[s], &(asking){.query = "fire"}, 8, NULL), "");
}

static void strategies_say_who_they_are(void **state) {
    (void)state;
    static const char *const names[] = {"lexical", "memory", "popular", "fresh", "related", "explore", "personal", "semantic",
                                        "expansion"};
    assert_int_equal(sizeof names / sizeof *names, RETRIEVE_STRATEGIES);
    for (size_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        assert_string_equal(retrieve_strategies[s]->name, names[s]); /* their order is stored in logs */
        assert_true(strlen(retrieve_strategies[s]->purpose) > 10);
    }
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(lexical_finds_the_words),
        ISOLATED(memory_gives_what_was_chosen_before),
        ISOLATED(popular_orders_what_matches_by_popularity),
        ISOLATED(fresh_gives_the_last_first),
        ISOLATED(related_walks_along_references),
        ISOLATED(related_stops_when_its_time_is_over),
        ISOLATED(explore_is_uniform_over_what_matches),
        ISOLATED(explore_repeats_itself_only_for_the_same_seed),
        ISOLATED(personal_knows_the_user),
        ISOLATED(personal_of_cold_users),
        ISOLATED(personal_before_anybody_did_anything),
        ISOLATED(popular_of_late),
        ISOLATED(popular_forgets),
        ISOLATED(fresh_is_what_is_known_least),
        ISOLATED(related_by_what_people_choose_together),
        ISOLATED(no_strategy_leaves_the_filter),
        ISOLATED(no_strategy_leaves_the_filter_whatever_people_did),
        ISOLATED(an_empty_collection_gives_nothing),
        cmocka_unit_test(strategies_say_who_they_are),
    };
    return cmocka_run_group_tests_name("strategies", tests, NULL, NULL);
}
