#include "testing.h"

#include "world.h"

#include "feedback/export_formats.h"

/* ---- A record by hand: two strategies of three levels, the second without a choice; two hits ---- */

static const float hand_x[2][2] = {{1, .5f}, {1, .25f}}, hand_features[2][3] = {{1, 0, .125f}, {0, NAN, 2}};
static const uint32_t hand_ranks[2][2] = {{1, 0}, {0, 3}};

static void hand_record(buffer *out) {
    record_hit hits[2] = {{.document = 7, .score = 2, .ranks = hand_ranks[0], .features = hand_features[0]},
                          {.document = 8, .score = 1, .ranks = hand_ranks[1], .features = hand_features[1]}};
    record_impression r = {.time = 1700000000123456,
                           .query_id = SLICE("q\"1"),
                           .query = SLICE("red fox"),
                           .language = SLICE("en"),
                           .policy = SLICE("squarecb"),
                           .policy_version = 12,
                           .propensity = .25,
                           .n_levels = 3,
                           .depths = {0, 8, 32},
                           .n_policy_features = 2,
                           .n_strategies = 2,
                           .ranker = SLICE("linear"),
                           .n_features = 3,
                           .n_hits = 2,
                           .hits = hits};
    r.strategies[0] = (record_strategy){
        .name = SLICE("lexical"), .level = 2, .probability = {0, .75f, .25f}, .depth = 32, .x = hand_x[0]};
    r.strategies[1] = (record_strategy){.name = SLICE("memory"), .level = 0, .probability = {1, 0, 0}, .x = hand_x[1]};
    record_write_impression(&r, out);
}

static slice hand_id(void *self, uint32_t document, arena *a) {
    (void)self;
    return slice_of(arena_printf(a, "doc\n%u", document));
}

static float hand_credit(void *self, uint64_t sequence, uint32_t document) {
    assert_int_equal(sequence, 5);
    return document == 7 ? *(const float *)self : 0;
}

static const char *const hand_names[] = {"bias", "words"};

/* What the format makes of the record; the text lives in the arena. */
static const char *exported(export_format format, slice record, float credit, arena *a) {
    export_source source = {hand_names, 2, hand_id, hand_credit, &credit};
    buffer out = {0};
    export_head(format, &source, &out);
    assert_ok(export_record(format, record, 5, &source, a, &out));
    const char *text = arena_strndup(a, out.data ? out.data : "", out.size);
    buffer_release(&out);
    return text;
}

typedef struct hand {
    arena memory;
    buffer record;
} hand;

static int begin(void **state) {
    hand *h = mem_zalloc(1, sizeof *h);
    arena_init(&h->memory, 0);
    hand_record(&h->record);
    *state = h;
    return 0;
}

static int end(void **state) {
    hand *h = *state;
    arena_release(&h->memory);
    buffer_release(&h->record);
    free(h);
    return 0;
}

static void dsjson(void **state) {
    hand *h = *state;
    const char *text = exported(EXPORT_VW_DSJSON, (slice){h->record.data, h->record.size}, .5f, &h->memory);
    const json_value *v = parse(&h->memory, text);
    assert_int_equal(strchr(text, '\n') - text, strlen(text) - 1); /* one line: the second strategy had no choice */
    assert_true(number_at(v, "_label_cost") == -.5);
    assert_true(number_at(v, "_label_probability") == .25);
    assert_true(number_at(v, "_label_Action") == 2 && number_at(v, "_labelIndex") == 1);
    assert_string_equal(text_at(v, "EventId"), "q\"1/lexical");
    assert_true(number_at(v, "a.0") == 2 && number_at(v, "a.1") == 1 && count_at(v, "a") == 2);
    assert_true(number_at(v, "p.0") == .25 && number_at(v, "p.1") == .75 && count_at(v, "p") == 2);
    assert_true(number_at(v, "c.Query.words") == .5);
    assert_string_equal(text_at(v, "c.Slot.strategy"), "lexical");
    assert_int_equal(count_at(v, "c._multi"), 2);
    assert_string_equal(text_at(v, "c._multi.0.Depth.candidates"), "8");
    assert_string_equal(text_at(v, "c._multi.1.Depth.candidates"), "32");
    assert_string_equal(text_at(v, "VWState.m"), "squarecb/12");
}

static void open_bandit(void **state) {
    hand *h = *state;
    slice record = {h->record.data, h->record.size};
    const char *head = ",timestamp,item_id,position,click,propensity_score,user_feature_0,user_feature_1\n";
    char wanted[400];
    snprintf(wanted, sizeof wanted, "%s5,2023-11-14 22:13:20.123456+00:00,2,1,1,0.25,1,0.5\n", head);
    assert_string_equal(exported(EXPORT_OBD_CSV, record, .5f, &h->memory), wanted);
    snprintf(wanted, sizeof wanted, "%s5,2023-11-14 22:13:20.123456+00:00,2,1,0,0.25,1,0.5\n", head);
    assert_string_equal(exported(EXPORT_OBD_CSV, record, 0, &h->memory), wanted);
}

/* What is not finite is 0, and an id cannot end the line. */
static void letor(void **state) {
    hand *h = *state;
    assert_string_equal(exported(EXPORT_LETOR, (slice){h->record.data, h->record.size}, .5f, &h->memory),
                        "0.5 qid:5 1:1 2:0 3:0.125 # doc 7\n0 qid:5 1:0 2:0 3:2 # doc 8\n");
}

static void damaged_records_and_events_make_no_lines(void **state) {
    hand *h = *state;
    export_source source = {hand_names, 2, hand_id, hand_credit, &(float){0}};
    buffer out = {0}, event = {0};
    for (size_t size = 0; size < h->record.size; size++)
        for (int f = EXPORT_VW_DSJSON; f <= EXPORT_LETOR; f++)
            assert_int_not_equal(
                export_record((export_format)f, (slice){h->record.data, size}, 5, &source, &h->memory, &out),
                FORAGE_OK);
    record_write_event(&(record_event){.action = SLICE("click")}, &event);
    assert_ok(export_record(EXPORT_LETOR, (slice){event.data, event.size}, 5, &source, &h->memory, &out));
    assert_int_equal(out.size, 0);
    buffer_release(&out);
    buffer_release(&event);
}

static void names(void **state) {
    (void)state;
    static const char *const known[] = {"json", "vw-dsjson", "obd-csv", "letor"};
    export_format format;
    base_error error;
    for (int i = 0; i < 4; i++) {
        assert_ok(export_format_parse(slice_of(known[i]), &format, &error));
        assert_int_equal(format, i);
    }
    assert_int_equal(export_format_parse(SLICE("xml"), &format, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "vw-dsjson"));
}

/* ---- Credit by the store's own books ---- */

static float credit_of(void *self, uint64_t sequence, uint32_t document) {
    return export_credit(self, sequence, document);
}

static slice no_id(void *self, uint32_t document, arena *a) { return (void)self, (void)document, (void)a, (slice){0}; }

/* The first label of each impression in the log, in order. */
static size_t first_labels(world *w, double *labels, size_t room) {
    store_txn *t;
    store_cursor *cursor;
    slice key, value;
    size_t n = 0;
    assert_ok(store_read_begin(collection_store(w->collection), &t, NULL));
    assert_ok(store_cursor_open(t, STORE_LOG, (slice){0}, &cursor, NULL));
    export_source source = {.id_of = no_id, .credit_of = credit_of, .self = t};
    while (store_cursor_next(cursor, &key, &value)) {
        buffer out = {0};
        uint64_t sequence = 0;
        for (size_t i = 0; i < key.size; i++) sequence = sequence << 8 | (uint8_t)key.data[i];
        assert_ok(export_record(EXPORT_LETOR, value, sequence, &source, &w->memory, &out));
        if (out.size && n < room) labels[n++] = strtod(buffer_text(&out), NULL);
        buffer_release(&out);
    }
    store_cursor_close(cursor);
    store_read_end(t);
    return n;
}

static void credit_is_what_was_earned(void **state) {
    (void)state;
    world *w = world_begin();
    double labels[4];
    world_import(w, "{\"id\":\"a\",\"title\":\"red fox\"}\n{\"id\":\"b\",\"title\":\"blue fox\"}\n");
    for (int i = 0; i < 3; i++) {
        world_search(w, "{\"query\":\"red\",\"policy\":\"all\",\"query_id\":\"same\",\"timeout_ms\":60000}");
        store_wait(collection_store(w->collection));
    }
    const json_value *other = world_search(w, "{\"query\":\"red\",\"policy\":\"all\",\"timeout_ms\":60000}");
    store_wait(collection_store(w->collection));
    assert_string_equal(text_at(other, "hits.0.id"), "a");
    feedback_event click = {
        .query_id = SLICE("same"), .action = SLICE("click"), .document = SLICE("a"), .time = INT64_MIN};
    feedback_event buy = click;
    assert_ok(world_event(w, &click).status);
    buy.action = SLICE("purchase");
    assert_ok(world_event(w, &buy).status);
    assert_int_equal(first_labels(w, labels, 4), 4);
    float purchase;
    assert_true(schema_reward(collection_schema(w->collection), SLICE("purchase"), &purchase));
    assert_true(labels[0] == 0 && labels[1] == 0 && labels[3] == 0);
    assert_true(fabs(labels[2] - (double)purchase) < 1e-6); /* not click + purchase; the latest of the same query_id */
    world_end(w);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(dsjson, begin, end),
        cmocka_unit_test_setup_teardown(open_bandit, begin, end),
        cmocka_unit_test_setup_teardown(letor, begin, end),
        cmocka_unit_test_setup_teardown(damaged_records_and_events_make_no_lines, begin, end),
        cmocka_unit_test(names),
        cmocka_unit_test(credit_is_what_was_earned),
    };
    return cmocka_run_group_tests_name("export formats", tests, NULL, NULL);
}
