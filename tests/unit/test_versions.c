/* Versions of what is learned: kept, gone back to, and learned again from the log. */
#include "world.h"

#include <pthread.h>
#include <stdatomic.h>

static world *w;

static const char *const catalogue =
    "{\"id\":\"goblet\",\"title\":\"Goblet of Fire\"}\n{\"id\":\"catching\",\"title\":\"Catching Fire\"}\n"
    "{\"id\":\"manual\",\"title\":\"Fire safety for large and small buildings\"}\n{\"id\":\"hen\",\"title\":\"A hen\"}\n"
    "{\"id\":\"red\",\"title\":\"The little red hen\"}\n{\"id\":\"farm\",\"title\":\"A fire on the farm\"}\n";

#define LATE 3
static struct {
    char query_id[64], document[64];
} earlier[LATE]; /* the last searches and their last hits */

static int set_up(void **state) {
    (void)state;
    w = world_begin();
    memset(earlier, 0, sizeof earlier);
    world_schema(w, "{\"fields\":{\"title\":{\"type\":\"text\"}}}");
    world_import(w, catalogue);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    world_end(w);
    return 0;
}

static void choose(const char *query_id, const char *document) {
    feedback_event e = {.query_id = slice_of(query_id), .action = SLICE("click"), .document = slice_of(document), .time = INT64_MIN};
    assert_ok(world_event(w, &e).status);
}

/* Searches n times, and chooses one of the hits every other time, once in a while of an earlier search; from `first` on, so that no
 * two do the same. */
static void live(int first, int n) {
    static const char *const queries[] = {"fire", "hen", "little hen", "goblet", "farm fire"};
    for (int i = first; i < first + n; i++) {
        const char *request = arena_printf(&w->memory, "{\"query\":\"%s\",\"policy\":\"regcb\",\"user\":\"u%d\",\"seed\":%d}",
                                           queries[i % 5], i % 3, i + 1);
        const json_value *a = world_search(w, request);
        int hits = (int)count_at(a, "hits"), late = i % LATE;
        char hit[40];
        if (i % 2 == 0 && hits) {
            snprintf(hit, sizeof hit, "hits.%d.id", i % hits);
            choose(text_at(a, "query_id"), text_at(a, hit));
        }
        if (i % 4 == 1 && earlier[late].query_id[0]) choose(earlier[late].query_id, earlier[late].document);
        earlier[late].query_id[0] = '\0';
        if (!hits) continue;
        snprintf(hit, sizeof hit, "hits.%d.id", hits - 1);
        snprintf(earlier[late].query_id, sizeof earlier[late].query_id, "%s", text_at(a, "query_id"));
        snprintf(earlier[late].document, sizeof earlier[late].document, "%s", text_at(a, hit));
    }
    store_wait(collection_store(w->collection));
}

/* All that is learned, as bytes. */
static slice learned(world *in) {
    buffer bytes = {0};
    store_wait(collection_store(in->collection));
    funnel_learners own = funnel_own_learners(in->funnel);
    funnel_write_learners(in->funnel, &own, &bytes);
    slice out = arena_slice(&w->memory, (slice){bytes.data, bytes.size});
    buffer_release(&bytes);
    return out;
}

static void assert_learned(world *in, slice wanted) {
    slice got = learned(in);
    assert_int_equal(got.size, wanted.size);
    assert_memory_equal(got.data, wanted.data, wanted.size);
}

static funnel_version keep(const char *name) {
    funnel_version v;
    base_error error = {0};
    if (funnel_keep_version(w->funnel, slice_of(name), &v, &error)) fail_msg("%s", error.message);
    return v;
}

static void go_back(const char *version) {
    funnel_version v, before;
    base_error error = {0};
    if (funnel_roll_back(w->funnel, slice_of(version), &v, &before, &error)) fail_msg("%s", error.message);
}

static funnel_relearned learn_again(int64_t since) {
    funnel_relearned done;
    base_error error = {0};
    if (funnel_relearn(w->funnel, since, &done, &error)) fail_msg("%s", error.message);
    return done;
}

static size_t versions(funnel_version **out) {
    size_t n;
    assert_ok(funnel_versions(w->funnel, &w->memory, out, &n, NULL));
    return n;
}

static uint64_t updates(world *in) { return funnel_learned(in->funnel).updates; }

/* ---- Keeping ---- */

static void some_are_kept_by_themselves(void **state) {
    (void)state;
    funnel_version *list;
    live(0, 63);
    world_reopen(w);
    assert_int_equal(versions(&list), 0);
    live(63, 3);
    world_reopen(w); /* what is learned is saved on closing at the latest */
    assert_int_equal(versions(&list), 1);
    assert_int_equal(list[0].number, 66);
    assert_true(list[0].time > 0 && !list[0].name[0]);
    live(66, 20);
    world_reopen(w);
    assert_int_equal(versions(&list), 1); /* until 128 */
}

static void the_latest_and_the_named_stay(void **state) {
    (void)state;
    funnel_version *list;
    keep("first");
    live(0, 1);
    for (int i = 0; i < 12; i++) {
        learn_again(INT64_MIN); /* each keeps what was there */
        live(i + 1, 1);
    }
    size_t n = versions(&list);
    assert_int_equal(n, FUNNEL_KEPT + 1);
    assert_string_equal(list[n - 1].name, "first");
    for (size_t i = 0; i + 1 < n; i++) assert_true(!list[i].name[0] && list[i].number == 12 - i);
}

static void a_name_moves(void **state) {
    (void)state;
    funnel_version *list;
    keep("good");
    live(0, 4);
    slice good = learned(w);
    assert_int_equal(keep("good").number, 4);
    keep("again"); /* the same state under another name, too */
    assert_int_equal(versions(&list), 2);
    live(4, 4);
    go_back("good");
    assert_learned(w, good);
    live(8, 2);
    go_back("again");
    assert_learned(w, good);
}

static void names_are_limited(void **state) {
    (void)state;
    static const char *const bad[] = {"", "17", "a b", "caf\xc3\xa9", "x/y",
                                      "0123456789012345678901234567890123456789012345678901234567890123x"};
    funnel_version v, *list;
    base_error error = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        assert_int_equal(funnel_keep_version(w->funnel, slice_of(bad[i]), &v, &error), FORAGE_E_INVALID);
    for (int i = 0; i < FUNNEL_MOST_NAMED; i++) keep(arena_printf(&w->memory, "v%d", i));
    assert_int_equal(funnel_keep_version(w->funnel, SLICE("more"), &v, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "32"));
    keep("v7");
    assert_int_equal(versions(&list), FUNNEL_MOST_NAMED);
}

/* ---- Going back ---- */

static void what_was_kept_comes_back_and_learns_on(void **state) {
    (void)state;
    live(0, 30);
    slice good = learned(w);
    funnel_version kept = keep("good"), v, before, *list;
    live(30, 30);
    slice spoilt = learned(w);
    assert_ok(funnel_roll_back(w->funnel, SLICE("good"), &v, &before, NULL));
    assert_true(v.number == 30 && v.sequence == kept.sequence && before.number == 60);
    assert_learned(w, good);
    assert_int_equal(versions(&list), 2);
    live(60, 5);
    assert_int_equal(updates(w), 35);
    go_back("60"); /* it can be undone */
    assert_learned(w, spoilt);
    go_back("35");
    assert_int_equal(updates(w), 35);
}

static void it_is_still_so_after_a_crash(void **state) {
    (void)state;
    live(0, 20);
    slice good = learned(w);
    keep("good");
    live(20, 20);
    go_back("good");
    world *other = world_crash(w);
    assert_learned(other, good);
    assert_int_equal(updates(other), 20); /* the log's forty are not taught again */
    world_end(other);
    live(40, 15);
    slice later = learned(w);
    other = world_crash(w);
    assert_learned(other, later);
    world_reopen(other);
    assert_learned(other, later);
    world_end(other);
    world_reopen(w);
    assert_learned(w, later);
}

static double told(world *in, const char *path) {
    buffer text = {0};
    json_writer writer = json_writer_of(&text);
    funnel_write_stats(in->funnel, &writer);
    double value = number_at(parse(&in->memory, buffer_text(&text)), path);
    buffer_release(&text);
    return value;
}

static void what_happened_is_not_forgotten(void **state) {
    (void)state;
    keep("nothing");
    live(0, 10);
    go_back("nothing");
    assert_int_equal(updates(w), 0);
    world *other = world_crash(w);
    assert_float_equal(told(w, "impressions"), 10, 0);
    assert_float_equal(told(other, "impressions"), 10, 0);
    assert_float_equal(told(other, "events"), told(w, "events"), 0);
    assert_true(told(w, "memory_pairs") > 0);
    world_end(other);
}

/* ---- What cannot be gone back to ---- */

typedef struct forgery {
    const char *name;
    slice value;
} forgery;

static forage_status forge(store_txn *t, void *self, base_error *error) {
    const forgery *g = self;
    char key[64] = "version:\0\0\0\0\0\0\0\5\0\0\0\0\0\0\0\1";
    memcpy(key + 24, g->name, strlen(g->name));
    return store_put(t, STORE_MODELS, (slice){key, 24 + strlen(g->name)}, g->value, error);
}

static void put_forged(const char *name, buffer *value, bool sum) {
    if (sum) put_u64(value, hash64(value->data, value->size, 0));
    forgery g = {name, {value->data, value->size}};
    store_job job = {forge, NULL, &g};
    assert_ok(store_write(collection_store(w->collection), &job, NULL));
    buffer_release(value);
}

static void begin_forged(buffer *value, uint8_t format) {
    put_u8(value, format);
    put_u64(value, 1);
}

/* The learned strings, with a policy of another shape in place of the first. */
static void put_other_shape(buffer *out) {
    policy_config config;
    policy *p = NULL;
    buffer state = {0};
    byte_reader in;
    slice all = learned(w);
    policy_config_default(&config, "regcb", 3);
    config.hindsight = true;
    assert_ok(policy_create(&config, &p, NULL));
    policy_save(p, &state);
    put_string(out, (slice){state.data, state.size});
    in = byte_reader_of(all.data, all.size);
    read_string(&in);
    buffer_append(out, in.at, read_left(&in));
    policy_destroy(p);
    buffer_release(&state);
}

static void assert_refused(const char *version, forage_status status, const char *message) {
    funnel_version v, before, *list;
    base_error error = {0};
    slice was = learned(w);
    size_t n = versions(&list);
    assert_int_equal(funnel_roll_back(w->funnel, slice_of(version), &v, &before, &error), status);
    if (!strstr(error.message, message)) fail_msg("%s: %s", version, error.message);
    assert_learned(w, was);
    assert_int_equal(versions(&list), n);
}

static void others_are_refused_and_change_nothing(void **state) {
    (void)state;
    live(0, 10);
    slice all = learned(w);
    buffer b = {0};
    begin_forged(&b, 9);
    put_forged("newer", &b, true);
    begin_forged(&b, 1);
    buffer_slice(&b, all);
    b.data[b.size / 2] ^= 1;
    put_u64(&b, hash64(all.data, all.size, 0));
    put_forged("damaged", &b, false);
    begin_forged(&b, 1);
    buffer_append(&b, all.data, all.size / 2);
    put_forged("cut", &b, true);
    begin_forged(&b, 1);
    put_other_shape(&b);
    put_forged("shape", &b, true);
    begin_forged(&b, 1);
    put_forged("short", &b, false); /* too short to be listed */
    assert_refused("newer", FORAGE_E_VERSION, "version 5 cannot be gone back to: its format is 9");
    assert_refused("damaged", FORAGE_E_CORRUPT, "damaged");
    assert_refused("cut", FORAGE_E_CORRUPT, "version 5");
    assert_refused("shape", FORAGE_E_INVALID, "of 3 strategies");
    assert_refused("short", FORAGE_E_NOT_FOUND, "there is no version \"short\"");
    assert_refused("4", FORAGE_E_NOT_FOUND, "there is no version \"4\"");
    assert_refused("", FORAGE_E_NOT_FOUND, "there is no version");
    assert_refused("99999999999999999999999999", FORAGE_E_NOT_FOUND, "there is no version");
}

/* ---- Learning again ---- */

static void the_whole_log_gives_the_same_again(void **state) {
    (void)state;
    live(0, 300); /* more than are read at once */
    slice was = learned(w);
    funnel_relearned done = learn_again(INT64_MIN);
    assert_learned(w, was);
    assert_int_equal(done.searches, 300);
    assert_int_equal(done.number, 300);
    assert_true(done.events > 100);
    world_reopen(w);
    live(300, 10);
    was = learned(w);
    learn_again(INT64_MIN);
    assert_learned(w, was);
    world *other = world_crash(w);
    assert_learned(other, was);
    world_end(other);
}

/* What the log from `since` on would have taught, had nobody gone back: counted by hand. */
static slice taught_by_hand(int64_t since) {
    policy_overlap overlap;
    funnel_learners l;
    store_txn *t;
    store_cursor *cursor;
    slice key, value, joined;
    arena a;
    uint64_t count[2048] = {0}, n = 0;
    assert_ok(funnel_learners_init(w->funnel, &overlap, &l, NULL));
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_ok(store_cursor_open(t, STORE_LOG, SLICE("\0\0\0\0\0\0\0\0"), &cursor, NULL));
    arena_init(&a, 0);
    while (store_cursor_next(cursor, &key, &value)) {
        record_kind kind;
        record_impression r;
        record_event e;
        arena_reset(&a);
        assert_ok(record_kind_of(value, &kind));
        if (kind == RECORD_IMPRESSION) {
            assert_ok(record_read_impression(value, &a, &r));
            if (r.time < since) continue;
            r.policy_version = count[load_be64(key.data)] = ++n;
            assert_true(funnel_teach_impression(w->funnel, &l, &r));
            continue;
        }
        uint8_t of[8];
        assert_ok(record_read_event(value, &e));
        store_be64(of, e.impression);
        assert_ok(store_get(t, STORE_LOG, (slice){(const char *)of, 8}, &joined));
        assert_ok(record_read_impression(joined, &a, &r));
        if (r.time < since) continue;
        r.policy_version = count[e.impression];
        funnel_teach_event(w->funnel, &l, &r, &e);
    }
    buffer bytes = {0};
    funnel_write_learners(w->funnel, &l, &bytes);
    slice out = arena_slice(&w->memory, (slice){bytes.data, bytes.size});
    buffer_release(&bytes);
    arena_release(&a);
    store_cursor_close(cursor);
    store_read_end(t);
    funnel_learners_release(&l);
    return out;
}

static void live_in_step(int first, int n) {
    for (int i = 0; i < n; i++) live(first + i, 1);
}

static forage_status lose_state(store_txn *t, void *self, base_error *error) {
    (void)self;
    return store_put(t, STORE_MODELS, SLICE("learned"), SLICE("?"), error);
}

/* Searches are logged with the policy's count of then; having gone back, it counts the same numbers again. */
static void the_age_of_a_search_survives_turns(void **state) {
    (void)state;
    live_in_step(0, 8);
    keep("early");
    live_in_step(8, 60);
    go_back("early");
    live_in_step(68, 30);
    go_back("68");
    live_in_step(98, 10);
    go_back("early");
    live_in_step(108, 10);
    slice wanted = taught_by_hand(INT64_MIN);
    learn_again(INT64_MIN);
    assert_learned(w, wanted);
    live_in_step(118, 10);
    wanted = taught_by_hand(INT64_MIN);
    assert_learned(w, wanted); /* it goes on as if nothing had been */
    go_back("early");
    live_in_step(128, 4);
    slice now = learned(w);
    world *other = world_crash(w);
    assert_learned(other, now);
    store_job job = {lose_state, NULL, NULL}; /* without it, everything is learned from the log, by one count */
    assert_ok(store_write(collection_store(other->collection), &job, NULL));
    world *third = world_crash(other);
    world_end(other);
    assert_learned(third, taught_by_hand(INT64_MIN));
    world_end(third);
}

static void what_was_searched_before_a_day_can_be_left_out(void **state) {
    (void)state;
    w->fixed = INT64_C(1700000000000000);
    live_in_step(0, 20);
    w->fixed += INT64_C(86400000000);
    live_in_step(20, 12);
    int64_t since = w->fixed - 1;
    slice wanted = taught_by_hand(since);
    funnel_relearned done = learn_again(since);
    assert_learned(w, wanted);
    assert_int_equal(done.searches, 12);
    assert_int_equal(done.number, 12);
    assert_int_equal(done.before.number, 32);
    live_in_step(32, 3);
    slice was = learned(w);
    assert_int_equal(updates(w), 15);
    assert_learned(w, taught_by_hand(since)); /* it goes on as if nothing had been before */
    world *other = world_crash(w);
    assert_learned(other, was);
    world_end(other);
    assert_int_equal(learn_again(w->fixed + 1).number, 0);
    assert_int_equal(learn_again(INT64_MIN).number, 35);
}

static void nothing_teaches_nothing(void **state) {
    (void)state;
    slice fresh = learned(w);
    funnel_relearned done = learn_again(INT64_MIN);
    assert_learned(w, fresh);
    assert_int_equal(done.searches + done.events + done.number, 0);
}

/* ---- While people search ---- */

static atomic_bool held, let_go;

static forage_status hold(store_txn *t, void *self, base_error *error) {
    (void)t, (void)self, (void)error;
    atomic_store(&held, true);
    while (!atomic_load(&let_go)) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    return FORAGE_OK;
}

static void search_quickly(int seed) {
    funnel_request r;
    funnel_answer *a = NULL;
    funnel_request_default(&r);
    r.query = SLICE("fire");
    r.policy = SLICE("regcb");
    r.seed = (uint64_t)seed;
    r.timeout_ms = 60000;
    assert_ok(funnel_search(w->funnel, &r, &a, NULL));
    funnel_answer_release(a);
}

static void *change(void *self) {
    const char *back_to = self;
    if (back_to) go_back(back_to);
    else learn_again(INT64_MIN);
    return NULL;
}

/* Searches that the writer takes together with the change, before it and after it; and after it the state is to be saved. */
static void change_among_searches(const char *back_to) {
    pthread_t thread;
    store_job holding = {hold, NULL, NULL};
    atomic_store(&held, false);
    atomic_store(&let_go, false);
    w->funnel->saved_sequence = w->funnel->learned_sequence - (FUNNEL_SAVE_EVERY - 10); /* may wrap around */
    assert_true(store_write_async(collection_store(w->collection), &holding));
    while (!atomic_load(&held)) nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    for (int i = 0; i < 5; i++) search_quickly(1000 + i);
    assert_int_equal(pthread_create(&thread, NULL, change, (void *)(uintptr_t)back_to), 0);
    nanosleep(&(struct timespec){.tv_nsec = 200000000}, NULL); /* until it waits in the queue; later tests less, and nothing false */
    for (int i = 0; i < 15; i++) search_quickly(2000 + i);
    atomic_store(&let_go, true);
    pthread_join(thread, NULL);
}

static void searches_of_one_commit_come_on_top(void **state) {
    (void)state;
    live(0, 10);
    keep("good");
    live(10, 10);
    change_among_searches("good");
    slice was = learned(w);
    assert_int_equal(updates(w), 30);
    world *other = world_crash(w);
    assert_learned(other, was);
    world_end(other);
    change_among_searches(NULL);
    was = learned(w);
    assert_int_equal(updates(w), 60);
    other = world_crash(w);
    assert_learned(other, was);
    world_end(other);
}

typedef struct crowd {
    pthread_t thread;
    int first;
    atomic_bool *stop;
} crowd;

static void *search_on(void *self) {
    crowd *c = self;
    for (int i = 0; !atomic_load(c->stop); i++) {
        funnel_request r;
        funnel_answer *a = NULL;
        const funnel_hit *hits;
        funnel_request_default(&r);
        r.query = i % 2 ? SLICE("fire") : SLICE("hen");
        r.policy = SLICE("regcb");
        r.seed = (uint64_t)(c->first + i + 1);
        r.timeout_ms = 60000;
        assert_ok(funnel_search(w->funnel, &r, &a, NULL));
        if (i % 3 == 0 && funnel_answer_hits(a, &hits)) {
            funnel_event_result result = {0};
            feedback_event e = {.query_id = funnel_answer_query_id(a), .action = SLICE("click"), .document = hits[0].id, .time = INT64_MIN};
            assert_ok(funnel_record(w->funnel, &e, 1, &result, NULL));
        }
        funnel_answer_release(a);
    }
    return NULL;
}

#define CROWD 3

static void memory_and_disk_agree_whenever_it_happens(void **state) {
    (void)state;
    crowd people[CROWD];
    atomic_bool stop = false;
    live(0, 20);
    keep("good");
    for (int i = 0; i < CROWD; i++) {
        people[i] = (crowd){.first = i * 100000, .stop = &stop};
        assert_int_equal(pthread_create(&people[i].thread, NULL, search_on, &people[i]), 0);
    }
    for (int round = 0; round < 6; round++) {
        if (round % 2) learn_again(INT64_MIN);
        else go_back("good");
        nanosleep(&(struct timespec){.tv_nsec = 20000000}, NULL);
    }
    go_back("good");
    atomic_store(&stop, true);
    for (int i = 0; i < CROWD; i++) pthread_join(people[i].thread, NULL);
    slice was = learned(w);
    world *other = world_crash(w);
    assert_learned(other, was);
    world_end(other);
    uint64_t searches = (uint64_t)told(w, "impressions");
    assert_true(updates(w) < searches);
    assert_int_equal(learn_again(INT64_MIN).number, searches); /* each once */
    was = learned(w);
    other = world_crash(w);
    assert_learned(other, was);
    world_end(other);
}

#define ISOLATED(test) cmocka_unit_test_setup_teardown(test, set_up, tear_down)

int main(void) {
    const struct CMUnitTest tests[] = {
        ISOLATED(some_are_kept_by_themselves),
        ISOLATED(the_latest_and_the_named_stay),
        ISOLATED(a_name_moves),
        ISOLATED(names_are_limited),
        ISOLATED(what_was_kept_comes_back_and_learns_on),
        ISOLATED(it_is_still_so_after_a_crash),
        ISOLATED(what_happened_is_not_forgotten),
        ISOLATED(others_are_refused_and_change_nothing),
        ISOLATED(the_whole_log_gives_the_same_again),
        ISOLATED(the_age_of_a_search_survives_turns),
        ISOLATED(what_was_searched_before_a_day_can_be_left_out),
        ISOLATED(nothing_teaches_nothing),
        ISOLATED(searches_of_one_commit_come_on_top),
        ISOLATED(memory_and_disk_agree_whenever_it_happens),
    };
    return cmocka_run_group_tests_name("versions", tests, NULL, NULL);
}
