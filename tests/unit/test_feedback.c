/* Feedback: log records as bytes and as JSON, times as people write them, events as UBI has them. */
#include "testing.h"

#include "base/bytes.h"
#include "base/random.h"
#include "feedback/event.h"
#include "feedback/record.h"
#include "feedback/timestamp.h"
#include "format/json.h"

#include <math.h>

static arena memory;
static random_source dice;

static int set_up(void **state) {
    (void)state;
    arena_init(&memory, 0);
    random_seed(&dice, 11);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&memory);
    return 0;
}

/* ---- Records ---- */

static uint32_t below(uint32_t n) { return (uint32_t)random_below(&dice, n); }

static slice random_text(uint32_t longest) {
    size_t size = below(longest + 1);
    char *text = arena_alloc(&memory, size + 1);
    for (size_t i = 0; i < size; i++) text[i] = (char)(' ' + below(95));
    return (slice){text, size};
}

static float *random_floats(uint32_t n) {
    float *out = arena_alloc(&memory, (n + 1) * sizeof *out);
    for (uint32_t i = 0; i < n; i++) out[i] = (float)random_normal(&dice);
    return out;
}

static void random_strategies(record_impression *r) {
    for (uint32_t s = 0; s < r->n_strategies; s++) {
        record_strategy *out = &r->strategies[s];
        *out = (record_strategy){.name = slice_of(arena_printf(&memory, "s%u", s)),
                                 .level = below(r->n_levels),
                                 .depth = below(500),
                                 .candidates = below(500),
                                 .took_us = (uint32_t)random_u64(&dice),
                                 .late = below(2),
                                 .x = random_floats(r->n_policy_features)};
        out->allowed = below(1u << r->n_levels) | 1u << out->level;
        for (uint32_t l = 0; l < r->n_levels; l++) out->probability[l] = (float)random_double(&dice);
    }
}

static const record_hit *random_hits(const record_impression *r, uint32_t n) {
    record_hit *hits = arena_zalloc(&memory, n + 1, sizeof *hits);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t *ranks = arena_zalloc(&memory, r->n_strategies + 1, sizeof *ranks);
        for (uint32_t s = 0; s < r->n_strategies; s++) ranks[s] = below(3) ? below(300) : (uint32_t)random_u64(&dice);
        hits[i] = (record_hit){(uint32_t)random_u64(&dice), (float)random_normal(&dice), ranks,
                               random_floats(r->n_features), below(400), (int32_t)below(3), (float)(2 * random_double(&dice) - 1)};
    }
    return hits;
}

static record_impression random_impression(void) {
    record_impression r = {.time = (int64_t)(random_u64(&dice) >> 12),
                           .query_id = random_text(40),
                           .query = random_text(300),
                           .language = random_text(3),
                           .user = random_text(20),
                           .session = random_text(20),
                           .offset = below(10000),
                           .policy = random_text(12),
                           .policy_version = random_u64(&dice),
                           .propensity = random_double(&dice),
                           .n_levels = 1 + below(RECORD_MAX_LEVELS),
                           .n_policy_features = below(20),
                           .n_strategies = below(RECORD_MAX_STRATEGIES + 1),
                           .ranker = random_text(12),
                           .ranker_version = random_u64(&dice),
                           .feature_set = below(9),
                           .n_features = below(30),
                           .n_candidates = (uint32_t)random_u64(&dice),
                           .took_us = (uint32_t)random_u64(&dice),
                           .prefix = below(2),
                           .n_hits = below(20),
                           .n_unshown = below(5),
                           .experiment = random_text(12),
                           .side = below(4),
                           .shadow = random_text(10),
                           .explored = below(100),
                           .log_propensity = (float)random_normal(&dice)};
    for (size_t i = 0; i < sizeof r.memory_key.bytes; i++) r.memory_key.bytes[i] = (uint8_t)below(256);
    for (uint32_t l = 0; l < r.n_levels; l++) r.depths[l] = below(1000);
    if (below(2)) r.context = SLICE("{\"page\": \"home\"}");
    if (below(2)) r.filter = SLICE("{\"genre\": [\"fantasy\"]}");
    random_strategies(&r);
    r.hits = random_hits(&r, r.n_hits);
    r.unshown = random_hits(&r, r.n_unshown);
    return r;
}

static record_event random_event(void) {
    record_event e = {.time = (int64_t)random_u64(&dice),
                          .event_id = random_text(30),
                          .query_id = random_text(40),
                          .action = random_text(20),
                          .user = random_text(9),
                          .session = random_text(9),
                          .document_id = random_text(60),
                          .document = (uint32_t)random_u64(&dice),
                          .impression = random_u64(&dice),
                          .hit = below(1000),
                          .reward = (float)random_double(&dice),
                          .credit = (float)random_double(&dice),
                          .engaged = random_u64(&dice),
                          .n_ranks = below(RECORD_MAX_STRATEGIES + 1)};
    for (uint32_t s = 0; s < e.n_ranks; s++) e.ranks[s] = below(3) ? below(130) : (uint32_t)random_u64(&dice);
    return e;
}

static void assert_same_hit(const record_impression *r, const record_hit *p, const record_hit *q) {
    assert_true(p->document == q->document && p->score == q->score && p->shadow == q->shadow && p->team == q->team &&
                p->lean == q->lean);
    assert_memory_equal(p->ranks, q->ranks, r->n_strategies * sizeof(uint32_t));
    assert_memory_equal(p->features, q->features, r->n_features * sizeof(float));
}

static void assert_same_impression(const record_impression *a, const record_impression *b) {
    assert_true(a->time == b->time && a->offset == b->offset && a->policy_version == b->policy_version &&
                a->propensity == b->propensity && a->ranker_version == b->ranker_version &&
                a->feature_set == b->feature_set && a->prefix == b->prefix && a->n_candidates == b->n_candidates &&
                a->took_us == b->took_us);
    assert_true(slice_equal(a->query_id, b->query_id) && slice_equal(a->query, b->query) &&
                slice_equal(a->language, b->language) && slice_equal(a->user, b->user) &&
                slice_equal(a->session, b->session) && slice_equal(a->context, b->context) &&
                slice_equal(a->filter, b->filter) &&
                slice_equal(a->policy, b->policy) && slice_equal(a->ranker, b->ranker));
    assert_memory_equal(&a->memory_key, &b->memory_key, sizeof a->memory_key);
    assert_true(a->n_levels == b->n_levels && a->n_policy_features == b->n_policy_features &&
                a->n_strategies == b->n_strategies && a->n_features == b->n_features && a->n_hits == b->n_hits);
    assert_memory_equal(a->depths, b->depths, a->n_levels * sizeof a->depths[0]);
    for (uint32_t s = 0; s < a->n_strategies; s++) {
        const record_strategy *p = &a->strategies[s], *q = &b->strategies[s];
        assert_true(slice_equal(p->name, q->name) && p->level == q->level && p->depth == q->depth &&
                    p->late == q->late && p->candidates == q->candidates && p->took_us == q->took_us &&
                    p->allowed == q->allowed);
        assert_memory_equal(p->probability, q->probability, a->n_levels * sizeof(float));
        assert_memory_equal(p->x, q->x, a->n_policy_features * sizeof(float));
    }
    assert_true(a->n_unshown == b->n_unshown && slice_equal(a->experiment, b->experiment) && a->side == b->side &&
                slice_equal(a->shadow, b->shadow) && a->explored == b->explored && a->log_propensity == b->log_propensity);
    for (uint32_t i = 0; i < a->n_hits; i++) assert_same_hit(a, &a->hits[i], &b->hits[i]);
    for (uint32_t i = 0; i < a->n_unshown; i++) assert_same_hit(a, &a->unshown[i], &b->unshown[i]);
}

static slice id_of(void *self, uint32_t document, arena *a) {
    (void)self;
    return document % 5 == 0 ? (slice){0} : slice_of(arena_printf(a, "d\"%u", document));
}

static forage_status export(slice bytes, buffer *out) {
    static const char *const list[] = {"one", "two", "three"};
    static const record_names names = {.features = list, .policy_features = list, .strategies = list, .n_features = 2,
                                       .n_policy_features = 1, .n_strategies = 3};
    return record_to_json(bytes, 77, &names, id_of, NULL, &memory, out);
}

/* What is exported is one line of JSON. */
static json_value *exported(slice bytes) {
    buffer line = {0};
    json_value *json;
    base_error error = {0};
    assert_ok(export(bytes, &line));
    assert_null(memchr(line.data, '\n', line.size));
    if (json_read(&memory, (slice){line.data, line.size}, &json, &error)) fail_msg("%s", error.message);
    buffer_release(&line);
    return json;
}

static void impressions_come_back_as_they_were(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        record_impression r = random_impression(), back;
        record_kind kind;
        buffer bytes = {0}, again = {0};
        record_write_impression(&r, &bytes);
        slice record = {bytes.data, bytes.size};
        assert_ok(record_kind_of(record, &kind));
        assert_int_equal(kind, RECORD_IMPRESSION);
        assert_ok(record_read_impression(record, &memory, &back));
        assert_same_impression(&r, &back);
        record_write_impression(&back, &again);
        assert_int_equal(again.size, bytes.size);
        assert_memory_equal(again.data, bytes.data, bytes.size);
        record_event event;
        assert_int_equal(record_read_event(record, &event), FORAGE_E_CORRUPT);
        buffer_release(&bytes);
        buffer_release(&again);
        arena_reset(&memory);
    }
}

static void events_come_back_as_they_were(void **state) {
    (void)state;
    for (int round = 0; round < 300; round++) {
        record_event e = random_event(), back;
        buffer bytes = {0}, again = {0};
        record_write_event(&e, &bytes);
        assert_ok(record_read_event((slice){bytes.data, bytes.size}, &back));
        assert_true(slice_equal(e.event_id, back.event_id) && slice_equal(e.document_id, back.document_id));
        assert_true(e.time == back.time && e.impression == back.impression && e.hit == back.hit &&
                    e.credit == back.credit && e.n_ranks == back.n_ranks);
        assert_memory_equal(e.ranks, back.ranks, sizeof e.ranks);
        record_write_event(&back, &again);
        assert_int_equal(again.size, bytes.size);
        assert_memory_equal(again.data, bytes.data, bytes.size);
        record_impression impression;
        assert_int_equal(record_read_impression((slice){bytes.data, bytes.size}, &memory, &impression),
                         FORAGE_E_CORRUPT);
        buffer_release(&bytes);
        buffer_release(&again);
    }
}

/* A test's own record of format 1: two strategies, three levels, one feature of each kind, one hit. */
static void write_format_1(buffer *b) {
    put_u8(b, RECORD_IMPRESSION);
    put_u8(b, 1);
    put_u64(b, 1000);
    put_string(b, SLICE("q1"));
    put_string(b, SLICE("heat"));
    buffer_append(b, "0123456789abcdef", 16);
    put_string(b, SLICE("en"));
    put_string(b, SLICE("u1"));
    put_string(b, SLICE("s1"));
    put_string(b, SLICE("{\"page\":1}"));
    put_u32(b, 7);
    put_string(b, SLICE("squarecb"));
    put_u64(b, 3);
    put_f64(b, 0.5);
    put_u8(b, 3);
    for (uint32_t depth = 0; depth <= 32; depth += 16) put_u32(b, depth);
    put_u8(b, 1);
    put_u8(b, 2);
    for (uint32_t s = 0; s < 2; s++) {
        put_string(b, s ? SLICE("two") : SLICE("one"));
        put_u8(b, 0);
        for (uint32_t l = 0; l < 3; l++) put_f32(b, s ? (l ? 0 : 1) : l == 1 ? 0 : 0.5f);
        put_u32(b, 16);
        put_u32(b, 9);
        put_u32(b, 120);
        put_u8(b, 0);
        put_f32(b, 1.5f);
    }
    put_string(b, SLICE("linear"));
    put_u64(b, 4);
    put_u32(b, 1);
    put_u16(b, 1);
    put_u16(b, 1);
    put_u32(b, 11);
    put_f32(b, 2.5f);
    put_varint(b, 300);
    put_varint(b, 0);
    put_f32(b, 0.25f);
}

static void records_of_format_1_are_still_read(void **state) {
    (void)state;
    buffer bytes = {0}, event = {0};
    record_impression r;
    record_event e = {.ranks = {5}};
    write_format_1(&bytes);
    assert_ok(record_read_impression((slice){bytes.data, bytes.size}, &memory, &r));
    assert_true(slice_is(r.query, "heat") && slice_is(r.context, "{\"page\":1}") && r.offset == 7);
    assert_true(r.filter.size == 0 && !r.prefix && r.n_candidates == 0);
    assert_int_equal(r.strategies[0].allowed, 5); /* what had a chance */
    assert_int_equal(r.strategies[1].allowed, 1);
    assert_true(slice_is(r.ranker, "linear") && r.hits[0].document == 11 && r.hits[0].ranks[0] == 300);
    assert_float_equal(r.hits[0].features[0], 0.25, 0);
    buffer again = {0};
    record_impression back;
    record_write_impression(&r, &again); /* what is read can be written, in the format of today */
    assert_ok(record_read_impression((slice){again.data, again.size}, &memory, &back));
    assert_same_impression(&r, &back);
    put_u8(&event, RECORD_EVENT);
    put_u8(&event, 1);
    put_u64(&event, 2000);
    for (int i = 0; i < 6; i++) put_string(&event, SLICE("t"));
    put_u32(&event, 11);
    put_u64(&event, 1);
    put_u32(&event, 0);
    put_f32(&event, 1);
    put_f32(&event, 0.5f);
    put_u64(&event, 6);
    assert_ok(record_read_event((slice){event.data, event.size}, &e));
    assert_true(e.credit == 0.5f && e.engaged == 6 && e.n_ranks == 0 && e.ranks[0] == 0);
    assert_null(json_get(exported((slice){event.data, event.size}), "hindsight_ranks"));
    buffer_release(&bytes);
    buffer_release(&again);
    buffer_release(&event);
}

/* Without hits, a record of format 2 is one of today's without its last eleven bytes: what came later was empty. */
static void records_of_format_2_are_still_read(void **state) {
    (void)state;
    buffer bytes = {0};
    record_impression r = random_impression(), back;
    r.n_hits = r.n_unshown = 0;
    r.experiment = r.shadow = (slice){0};
    r.side = r.explored = 0;
    r.log_propensity = 0;
    record_write_impression(&r, &bytes);
    bytes.data[1] = 2;
    assert_int_equal(record_read_impression((slice){bytes.data, bytes.size}, &memory, &back), FORAGE_E_CORRUPT);
    assert_ok(record_read_impression((slice){bytes.data, bytes.size - 11}, &memory, &back));
    assert_same_impression(&r, &back);
    buffer_release(&bytes);
}

/* Whatever a feature is, it comes back to the bit (any NaN as the one that means: no value); what repeats takes next to nothing. */
static void features_are_packed_and_come_back(void **state) {
    (void)state;
    enum { N = 130, HITS = 14 };
    float x[HITS][N];
    const float odd[] = {0, -0.0f, NAN, 1, -1, 3e38f, 1e-45f, INFINITY, .1f};
    const uint32_t ranks[1] = {0};
    record_hit hits[HITS] = {0};
    for (int h = 0; h < HITS; h++) {
        for (int i = 0; i < N; i++) x[h][i] = odd[(i + (i % 3 ? 0 : h)) % 9];
        hits[h] = (record_hit){.ranks = ranks, .features = x[h]};
    }
    record_impression r = {.n_features = N, .n_hits = HITS, .hits = hits, .n_unshown = 2, .unshown = hits + 3}, back;
    buffer bytes = {0};
    record_write_impression(&r, &bytes);
    assert_in_range(bytes.size, 1, HITS * N * 4 * 6 / 10);
    assert_ok(record_read_impression((slice){bytes.data, bytes.size}, &memory, &back));
    for (int h = 0; h < HITS; h++) assert_memory_equal(back.hits[h].features, x[h], sizeof x[h]);
    assert_memory_equal(back.unshown[1].features, x[4], sizeof x[4]);
    buffer_release(&bytes);
}

static forage_status read_one_strategy(uint32_t allowed, uint32_t n_levels, uint32_t level, record_impression *out) {
    buffer bytes = {0};
    record_impression r = {.n_levels = n_levels, .n_strategies = 1};
    r.strategies[0] = (record_strategy){.level = level, .allowed = allowed, .probability = {0, 0.75f, 0.25f}};
    record_write_impression(&r, &bytes);
    forage_status status = record_read_impression((slice){bytes.data, bytes.size}, &memory, out);
    buffer_release(&bytes);
    return status;
}

static void levels_and_ranks_are_bounded(void **state) {
    (void)state;
    record_impression r;
    assert_ok(read_one_strategy(7, 3, 1, &r));
    assert_int_equal(r.strategies[0].allowed, 7);
    assert_ok(read_one_strategy(0, 3, 1, &r)); /* not told: what had a chance */
    assert_int_equal(r.strategies[0].allowed, 6);
    assert_int_equal(read_one_strategy(9, 3, 0, &r), FORAGE_E_CORRUPT); /* a level that there is not */
    assert_int_equal(read_one_strategy(5, 3, 1, &r), FORAGE_E_CORRUPT); /* drawn, and not allowed */
    assert_ok(read_one_strategy(255, 8, 7, &r));
    assert_int_equal(read_one_strategy(255, 8, 200, &r), FORAGE_E_CORRUPT);
    record_event e = {.n_ranks = RECORD_MAX_STRATEGIES};
    buffer bytes = {0};
    record_write_event(&e, &bytes);
    size_t count = bytes.size - RECORD_MAX_STRATEGIES - 1;
    bytes.data[count]++;
    buffer_putc(&bytes, 0); /* one rank more than there may be strategies */
    assert_int_equal(record_read_event((slice){bytes.data, bytes.size}, &e), FORAGE_E_CORRUPT);
    bytes.size = count;
    put_u8(&bytes, 1);
    put_varint(&bytes, (uint64_t)UINT32_MAX + 1);
    assert_int_equal(record_read_event((slice){bytes.data, bytes.size}, &e), FORAGE_E_CORRUPT);
    bytes.size = count + 1;
    put_varint(&bytes, UINT32_MAX);
    assert_ok(record_read_event((slice){bytes.data, bytes.size}, &e));
    assert_int_equal(e.ranks[0], UINT32_MAX);
    buffer_release(&bytes);
}

/* Reads and exports bytes from memory of exactly their size, so that a sanitizer sees every step beyond. */
static forage_status read_exactly(const char *data, size_t size) {
    char *copy = mem_alloc(size + !size);
    if (size) memcpy(copy, data, size);
    slice bytes = {copy, size};
    record_impression impression;
    record_event event;
    record_kind kind;
    buffer line = {0};
    forage_status status = record_kind_of(bytes, &kind);
    if (!status && kind == RECORD_IMPRESSION) status = record_read_impression(bytes, &memory, &impression);
    else if (!status) status = record_read_event(bytes, &event);
    assert_int_equal(export(bytes, &line), status);
    buffer_release(&line);
    free(copy);
    return status;
}

static void cut_records_are_corrupt(void **state) {
    (void)state;
    for (int round = 0; round < 8; round++) {
        record_impression r = random_impression();
        record_event e = random_event();
        buffer bytes = {0};
        if (round % 2) record_write_impression(&r, &bytes);
        else record_write_event(&e, &bytes);
        for (size_t size = 0; size < bytes.size; size++)
            assert_int_equal(read_exactly(bytes.data, size), FORAGE_E_CORRUPT);
        assert_ok(read_exactly(bytes.data, bytes.size));
        buffer_putc(&bytes, 0);
        assert_int_equal(read_exactly(bytes.data, bytes.size), FORAGE_E_CORRUPT);
        buffer_release(&bytes);
        arena_reset(&memory);
    }
}

static void spoiled_records_never_crash(void **state) {
    (void)state;
    for (int round = 0; round < 2000; round++) {
        record_impression r = random_impression();
        buffer bytes = {0};
        record_write_impression(&r, &bytes);
        for (uint32_t n = 1 + below(4); n; n--) bytes.data[2 + below((uint32_t)bytes.size - 2)] = (char)below(256);
        forage_status status = read_exactly(bytes.data, bytes.size);
        assert_true(status == FORAGE_OK || status == FORAGE_E_CORRUPT);
        buffer_release(&bytes);
        arena_reset(&memory);
    }
}

static void newer_and_unknown_records_are_told_apart(void **state) {
    (void)state;
    record_kind kind;
    assert_ok(record_kind_of(SLICE("\1\1rest"), &kind));
    assert_ok(record_kind_of(SLICE("\1\3rest"), &kind));
    assert_int_equal(record_kind_of(SLICE("\1\4rest"), &kind), FORAGE_E_VERSION);
    assert_int_equal(record_kind_of((slice){"\1\0", 2}, &kind), FORAGE_E_CORRUPT);
    assert_int_equal(record_kind_of(SLICE("\3\1rest"), &kind), FORAGE_E_CORRUPT);
    assert_int_equal(record_kind_of(SLICE("\1"), &kind), FORAGE_E_CORRUPT);
    assert_int_equal(record_kind_of((slice){0}, &kind), FORAGE_E_CORRUPT);
}

static void exports_are_json_with_names(void **state) {
    (void)state;
    for (int round = 0; round < 100; round++) {
        record_impression r = random_impression();
        buffer bytes = {0};
        record_write_impression(&r, &bytes);
        const json_value *json = exported((slice){bytes.data, bytes.size});
        assert_true(slice_is(json_get(json, "kind")->text, "impression"));
        assert_int_equal(json_get(json, "sequence")->integer, 77);
        assert_true(slice_equal(json_get(json, "user_query")->text, r.query));
        assert_int_equal(json_get(json, "hits")->count, r.n_hits);
        const json_value *decision = json_get(json, "decision");
        assert_int_equal(json_get(decision, "strategies")->count, r.n_strategies);
        assert_true(json_get(decision, "propensity")->number == r.propensity);
        assert_int_equal(json_get(json, "candidates")->integer, r.n_candidates);
        assert_true(json_get(json, "prefix")->boolean == r.prefix);
        assert_true((json_get(json, "filter") != NULL) == (r.filter.size > 0));
        if (r.n_strategies) {
            const json_value *allowed = json_get(json_get(decision, "strategies")->first, "allowed");
            uint32_t lowest = (uint32_t)__builtin_ctz(r.strategies[0].allowed);
            assert_int_equal(allowed->count, __builtin_popcount(r.strategies[0].allowed));
            assert_int_equal(allowed->first->integer, r.depths[lowest]);
        }
        if (r.n_hits && r.n_features > 2) {
            const json_value *features = json_get(json_get(json, "hits")->first, "features");
            assert_int_equal(features->count, r.n_features);
            assert_true(slice_is(features->first->key, "one"));
            assert_non_null(json_get(features, "f2")); /* a feature without a name has its number */
        }
        buffer_release(&bytes);
        arena_reset(&memory);
    }
}

static void exported_events_are_in_ubis_form(void **state) {
    (void)state;
    record_event e = {.time = 1213258800000000,
                      .event_id = SLICE("e1"),
                      .query_id = SLICE("q1"),
                      .action = SLICE("click"),
                      .user = SLICE("u1"),
                      .document_id = SLICE("b\"1"),
                      .document = 3,
                      .hit = 4,
                      .reward = 0.5f,
                      .credit = 0.25f};
    buffer bytes = {0};
    record_write_event(&e, &bytes);
    const json_value *json = exported((slice){bytes.data, bytes.size});
    feedback_event back;
    base_error error = {0};
    assert_ok(feedback_event_read(json, &back, &error)); /* and so it can be read as one */
    assert_true(slice_is(back.document, "b\"1") && slice_is(back.event_id, "e1") && slice_is(back.user, "u1"));
    assert_true(slice_is(back.query_id, "q1") && slice_is(back.action, "click") && back.time == e.time);
    assert_int_equal(json_get(json_get(json_get(json, "event_attributes"), "position"), "ordinal")->integer, 5);
    assert_float_equal(json_get(json, "credit")->number, 0.25, 0);
    assert_null(json_get(json, "hindsight_ranks"));
    e.n_ranks = 3;
    e.ranks[1] = 12;
    bytes.size = 0;
    record_write_event(&e, &bytes);
    const json_value *ranks = json_get(exported((slice){bytes.data, bytes.size}), "hindsight_ranks");
    assert_int_equal(json_get(ranks, "two")->integer, 12);
    assert_int_equal(json_get(ranks, "three")->integer, 0);
    e.n_ranks = 2; /* of an engine with other strategies: their names are not known here */
    bytes.size = 0;
    record_write_event(&e, &bytes);
    ranks = json_get(exported((slice){bytes.data, bytes.size}), "hindsight_ranks");
    assert_int_equal(json_get(ranks, "s1")->integer, 12);
    assert_int_equal(ranks->count, 2);
    buffer_release(&bytes);
}

static void filters_that_are_no_json_are_left_out(void **state) {
    (void)state;
    record_impression r = {.filter = SLICE("{\"genre\""), .context = SLICE("{\"a\":[1]}")};
    buffer bytes = {0};
    record_write_impression(&r, &bytes);
    const json_value *json = exported((slice){bytes.data, bytes.size});
    assert_null(json_get(json, "filter"));
    assert_int_equal(json_get(json_get(json, "context"), "a")->count, 1);
    buffer_release(&bytes);
}

static void numbers_that_are_none_become_null(void **state) {
    (void)state;
    float features[] = {NAN, INFINITY};
    record_hit hit = {.document = 5, .score = -INFINITY, .ranks = NULL, .features = features};
    record_impression r = {.n_levels = 1, .propensity = NAN, .n_features = 2, .n_hits = 1, .hits = &hit};
    buffer bytes = {0};
    record_write_impression(&r, &bytes);
    const json_value *json = exported((slice){bytes.data, bytes.size}), *first = json_get(json, "hits")->first;
    assert_int_equal(json_get(first, "score")->type, JSON_NULL);
    assert_int_equal(json_get(json_get(first, "features"), "two")->type, JSON_NULL);
    assert_int_equal(json_get(first, "id")->text.size, 0); /* a document that is gone */
    buffer_release(&bytes);
}

/* ---- Times ---- */

#define S INT64_C(1000000)

static const struct {
    const char *text;
    int64_t us;
} good_times[] = {
    {"1970", 0},
    {"1970-01", 0},
    {"1970-01-01", 0},
    {"1970-01-01T00:00:00Z", 0},
    {"1970-01-01 00:00", 0},
    {"1969-12-31T23:59:59.999999Z", -1},
    {"2000-02-29", INT64_C(951782400) * S},
    {"2024-02-29T12:34:56.789Z", INT64_C(1709210096789000)},
    {"1900-03-01", INT64_C(-2203891200) * S},
    {"0001-01-01", INT64_C(-62135596800) * S},
    {"9999-12-31T23:59:59Z", INT64_C(253402300799) * S},
    {"2008-06-12T10:00:00+02:00", INT64_C(1213257600) * S},
    {"2008-06-12T10:00:00+0200", INT64_C(1213257600) * S},
    {"2008-06-12T10:00:00+02", INT64_C(1213257600) * S},
    {"2008-06-12T03:30:00-04:30", INT64_C(1213257600) * S},
    {"2008-06-12t08:00:00z", INT64_C(1213257600) * S},
    {"2008-06-12T08:00:00.5", INT64_C(1213257600) * S + S / 2},
    {"2008-06-12T08:00:00,000001Z", INT64_C(1213257600) * S + 1},
    {"2008-06-12T08:00:00.0000019999Z", INT64_C(1213257600) * S + 1},
    {"2016-12-31T23:59:60Z", INT64_C(1483228800) * S}, /* a leap second is the next minute's first */
    {"0000-01-01", INT64_C(-62167219200) * S},
    {"-0001-12-31", INT64_C(-62167305600) * S},
    {"-0044-03-15", INT64_C(-63549360000) * S},
};

static const char *const bad_times[] = {
    "",
    "x",
    "19",
    "199",
    "1970-",
    "1970-1",
    "1970-13",
    "1970-00",
    "1970-01-",
    "1970-01-00",
    "1970-01-32",
    "1970-02-29",
    "1900-02-29",
    "2100-02-29",
    "2023-04-31",
    "1970-01-01T",
    "1970-01-01T24:00",
    "1970-01-01T10",
    "1970-01-01T10:60",
    "1970-01-01T10:00:61",
    "1970-01-01T10:00:00.",
    "1970-01-01T10:00:00+",
    "1970-01-01T10:00:00+2",
    "1970-01-01T10:00:00+02:",
    "1970-01-01T10:00:00+02:0",
    "1970-01-01T10:00:00+24:00",
    "1970-01-01T10:00:00+02:60",
    "1970-01-01T10:00:00 Z",
    "1970-01-01Z",
    " 1970",
    "1970 ",
    "+1970",
    "1970T10:00",
    "1970-01T10:00",
    "10000",
    "999999",
    "-999999-01-01",
    "12345-01-01",
    "1970/01/01",
    "01-01-1970",
    "1234567",
    "2008-06-12T10:00:00.123456789012345678901234567890123456789012345678901Z",
};

static void times_are_read_as_people_write_them(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof good_times / sizeof good_times[0]; i++) {
        int64_t us = 42;
        if (!timestamp_read(slice_of(good_times[i].text), &us)) fail_msg("%s is refused", good_times[i].text);
        if (us != good_times[i].us) fail_msg("%s is read as %lld", good_times[i].text, (long long)us);
    }
    for (size_t i = 0; i < sizeof bad_times / sizeof bad_times[0]; i++) {
        int64_t us;
        if (timestamp_read(slice_of(bad_times[i]), &us))
            fail_msg("\"%s\" is read as %lld", bad_times[i], (long long)us);
    }
    int64_t us;
    assert_false(timestamp_read((slice){0}, &us));
}

static void times_are_written_as_they_are_read(void **state) {
    (void)state;
    char text[TIMESTAMP_SIZE];
    timestamp_write(INT64_C(1213257600123456), text);
    assert_string_equal(text, "2008-06-12T08:00:00.123456Z");
    timestamp_write(-1, text);
    assert_string_equal(text, "1969-12-31T23:59:59.999999Z");
    timestamp_write(INT64_C(-63549360000) * S, text);
    assert_string_equal(text, "-0044-03-15T00:00:00.000000Z");
    const int64_t first = INT64_C(-377705116800) * S,
                  last = INT64_C(253402300800) * S - 1; /* the years -9999 to 9999 */
    for (int round = 0; round < 100000; round++) {
        int64_t us = round == 0   ? first
                     : round == 1 ? last
                                  : first + (int64_t)random_below(&dice, (uint64_t)(last - first)),
                back;
        timestamp_write(us, text);
        if (!timestamp_read(slice_of(text), &back) || back != us)
            fail_msg("%lld is written as %s", (long long)us, text);
    }
    const int64_t beyond[] = {INT64_MIN, first - 1, last + 1, INT64_MAX};
    for (size_t i = 0; i < 4; i++) timestamp_write(beyond[i], text); /* written all the same, and within its room */
}

/* ---- Events ---- */

static forage_status read_event(const char *text, feedback_event *out, base_error *error) {
    json_value *json;
    assert_ok(json_read(&memory, slice_of(text), &json, NULL));
    return feedback_event_read(json, out, error);
}

static void events_are_read_from_ubi(void **state) {
    (void)state;
    feedback_event e;
    assert_ok(read_event(
        "{\"application\":\"shop\",\"query_id\":\"q1\",\"action_name\":\"click\",\"client_id\":\"u1\",\"session_id\":"
        "\"s1\","
        "\"timestamp\":\"2008-06-12T08:00:00Z\",\"message_type\":\"CLICK\",\"event_attributes\":{\"event_id\":\"e1\","
        "\"object\":{\"object_id\":\"book:1\",\"name\":\"x\"},\"position\":{\"ordinal\":1}}}",
        &e, NULL));
    assert_true(slice_is(e.query_id, "q1") && slice_is(e.action, "click") && slice_is(e.user, "u1") &&
                slice_is(e.session, "s1"));
    assert_true(slice_is(e.event_id, "e1") && slice_is(e.document, "book:1") && e.time == INT64_C(1213257600) * S);
    assert_ok(read_event(
        "{\"query_id\":\"q\",\"action_name\":\"a\",\"user_id\":\"u2\",\"event_id\":77,\"timestamp\":1213257600000,"
        "\"client_id\":null,\"event_attributes\":{\"object\":{\"object_id\":12345678901234567890}}}",
        &e, NULL));
    assert_true(slice_is(e.user, "u2") && slice_is(e.event_id, "77") && e.time == INT64_C(1213257600) * S);
    assert_true(slice_is(e.document, "12345678901234567890")); /* as written */
    assert_ok(
        read_event("{\"query_id\":\"q\",\"action_name\":\"a\",\"event_attributes\":{\"object\":{\"object_id\":\"d\"}}}",
                   &e, NULL));
    assert_true(e.time == INT64_MIN && e.user.size == 0 && e.event_id.size == 0);
}

#define OBJECT "\"event_attributes\":{\"object\":{\"object_id\":\"d\"}}"

static void wrong_events_are_refused_by_name(void **state) {
    (void)state;
    char long_id[400];
    snprintf(long_id, sizeof long_id, "{\"query_id\":\"%0129d\",\"action_name\":\"a\"," OBJECT "}", 1);
    const char *const rows[][2] = {
        {"[]", "event: expected an object, got an array"},
        {"{}", "event: \"query_id\" is missing"},
        {"{\"query_id\":\"\",\"action_name\":\"a\"," OBJECT "}", "event: \"query_id\" is missing"},
        {"{\"query_id\":\"q\"," OBJECT "}", "event: \"action_name\" is missing"},
        {"{\"query_id\":\"q\",\"action_name\":\"a\"}", "event: \"event_attributes.object.object_id\" is missing"},
        {"{\"query_id\":\"q\",\"action_name\":\"a\",\"event_attributes\":\"d\"}",
         "event: \"event_attributes.object.object_id\" is missing"},
        {"{\"query_id\":\"q\",\"action_name\":\"a\",\"event_attributes\":{\"object\":{\"object_id\":[1]}}}",
         "event, \"event_attributes.object.object_id\": expected a string, got an array"},
        {"{\"query_id\":true,\"action_name\":\"a\"," OBJECT "}",
         "event, \"query_id\": expected a string, got true or false"},
        {long_id, "event, \"query_id\": 129 bytes are more than the 128 allowed"},
        {"{\"query_id\":\"q\",\"action_name\":\"a\",\"timestamp\":\"soon\"," OBJECT "}",
         "event, \"timestamp\": expected a time such as \"2026-01-31T12:00:00Z\" or milliseconds since 1970"},
        {"{\"query_id\":\"q\",\"action_name\":\"a\",\"timestamp\":1e16," OBJECT "}",
         "event, \"timestamp\": expected a time such as \"2026-01-31T12:00:00Z\" or milliseconds since 1970"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        feedback_event e = {.time = 42};
        base_error error = {0};
        assert_int_equal(read_event(rows[i][0], &e, &error), FORAGE_E_EVENT);
        assert_string_equal(error.message, rows[i][1]);
        assert_int_equal(e.time, 42);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(impressions_come_back_as_they_were),
        cmocka_unit_test(events_come_back_as_they_were),
        cmocka_unit_test(records_of_format_1_are_still_read),
        cmocka_unit_test(records_of_format_2_are_still_read),
        cmocka_unit_test(features_are_packed_and_come_back),
        cmocka_unit_test(levels_and_ranks_are_bounded),
        cmocka_unit_test(cut_records_are_corrupt),
        cmocka_unit_test(spoiled_records_never_crash),
        cmocka_unit_test(newer_and_unknown_records_are_told_apart),
        cmocka_unit_test(exports_are_json_with_names),
        cmocka_unit_test(exported_events_are_in_ubis_form),
        cmocka_unit_test(filters_that_are_no_json_are_left_out),
        cmocka_unit_test(numbers_that_are_none_become_null),
        cmocka_unit_test(times_are_read_as_people_write_them),
        cmocka_unit_test(times_are_written_as_they_are_read),
        cmocka_unit_test(events_are_read_from_ubi),
        cmocka_unit_test(wrong_events_are_refused_by_name),
    };
    return cmocka_run_group_tests_name("feedback", tests, set_up, tear_down);
}
