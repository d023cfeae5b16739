/* Profiles: what one user engaged with, how it ages, what falls out, and how loud one user is heard. */
#include "testing.h"

#include "base/bytes.h"
#include "memory/profile.h"
#include "os/file.h"

#include <math.h>

#define NOW ((int64_t)1700000000 * 1000000)
#define HALF DECAY_HALF_LIFE

static float engage_at(profile *p, uint32_t document, float credit, int64_t time, int64_t now) {
    profile_engagement e = {.document = document, .credit = credit, .origin = PROFILE_CHOSEN, .time = time, .now = now,
                            .half_life = HALF};
    return profile_engage(p, &e);
}

static float engage(profile *p, uint32_t document, int64_t time) { return engage_at(p, document, 0.5f, time, time); }

static float weight_of(const profile *p, uint32_t document) {
    for (uint32_t i = 0; i < p->n_items; i++)
        if (p->items[i].document == document) return p->items[i].weight;
    return 0;
}

static void assert_ordered(const profile *p) {
    assert_true(p->n_items <= PROFILE_ITEMS && p->n_attributes <= PROFILE_ATTRIBUTES);
    for (uint32_t i = 1; i < p->n_items; i++) assert_true(p->items[i - 1].weight >= p->items[i].weight);
    for (uint32_t i = 1; i < p->n_attributes; i++) assert_true(p->attributes[i - 1].weight >= p->attributes[i].weight);
}

static void test_weights_halve(void **state) {
    (void)state;
    profile p;
    profile_init(&p);
    engage(&p, 1, NOW);
    engage(&p, 2, NOW + HALF);
    assert_float_equal(weight_of(&p, 1), 0.25, 1e-5);
    assert_float_equal(weight_of(&p, 2), 0.5, 1e-5);
    assert_int_equal(p.items[0].document, 2);
    engage(&p, 1, NOW + HALF);
    assert_float_equal(weight_of(&p, 1), 0.75, 1e-5);
    assert_int_equal(p.items[0].document, 1);
    assert_int_equal(p.events, 3);
    assert_int_equal(p.first, NOW);
    assert_float_equal(profile_left(&p, NOW + 3 * HALF, HALF), 0.25, 1e-5);
    assert_float_equal(profile_left(&p, NOW - 3 * HALF, HALF), 1, 1e-5);
}

/* An event that comes late counts as if it had come in time. */
static void test_order_does_not_matter(void **state) {
    (void)state;
    profile in_time, late;
    profile_init(&in_time);
    profile_init(&late);
    int64_t now = NOW + HALF;
    engage_at(&in_time, 1, 0.5f, NOW, now);
    engage_at(&in_time, 2, 0.5f, now, now);
    engage_at(&late, 2, 0.5f, now, now);
    engage_at(&late, 1, 0.5f, NOW, now);
    assert_float_equal(weight_of(&in_time, 1), weight_of(&late, 1), 1e-5);
    assert_float_equal(weight_of(&in_time, 2), weight_of(&late, 2), 1e-5);
    assert_int_equal(late.first, NOW);
}

static void test_the_least_falls_out(void **state) {
    (void)state;
    profile p;
    profile_init(&p);
    engage(&p, 7, NOW);
    engage(&p, 7, NOW);
    for (uint32_t i = 0; i < 5 * PROFILE_ITEMS; i++) engage(&p, 1000 + i, NOW + i * (HALF / 1000));
    assert_ordered(&p);
    assert_int_equal(p.n_items, PROFILE_ITEMS);
    assert_true(weight_of(&p, 1000 + 5 * PROFILE_ITEMS - 1) > 0); /* the last is there */
    assert_true(weight_of(&p, 1000) == 0);                        /* the first is not */
    assert_true(weight_of(&p, 7) > 0);                            /* what was chosen twice holds out longer */
}

/* A clock that was years ahead must not freeze what is learned after it was put right. */
static void test_clock_jumps_back(void **state) {
    (void)state;
    profile p;
    profile_init(&p);
    int64_t wrong = NOW + 3650 * DECAY_DAY;
    engage(&p, 1, wrong);
    for (int i = 0; i < 4; i++) engage(&p, 2, NOW + i * DECAY_DAY);
    assert_int_equal(p.items[0].document, 2);
    assert_true(weight_of(&p, 2) > 1.9f);
    assert_true(p.time <= wrong);
    engage(&p, 3, wrong + HALF); /* the time has come: it goes on from there */
    assert_float_equal(weight_of(&p, 1), 0.25, 1e-3);
}

static void test_hostile_times(void **state) {
    (void)state;
    static const int64_t times[] = {INT64_MIN, INT64_MIN + 1, -1, 0, INT64_MAX - 1, INT64_MAX};
    profile p;
    profile_init(&p);
    for (size_t i = 0; i < 36; i++) {
        float voice = engage_at(&p, (uint32_t)i, 0.5f, times[i / 6], times[i % 6]);
        assert_true(voice >= 0 && voice <= 1);
    }
    assert_ordered(&p);
    for (uint32_t i = 0; i < p.n_items; i++) assert_true(isfinite(p.items[i].weight));
}

static void test_one_user_is_one_voice(void **state) {
    (void)state;
    profile p;
    profile_init(&p);
    assert_float_equal(engage_at(&p, 1, 0.5f, NOW, NOW), 0.5, 1e-4);
    assert_float_equal(engage_at(&p, 1, 1, NOW, NOW), 0.5, 2e-3); /* the rest of what one document can have */
    float same = 0, many = 0;
    for (int i = 0; i < 1000000; i++) same += engage_at(&p, 1, 1, NOW + i, NOW + i);
    assert_true(same < 0.01f);
    assert_true(weight_of(&p, 1) <= PROFILE_ITEM_CAP);
    profile_init(&p);
    for (uint32_t i = 0; i < 1000000; i++) many += engage_at(&p, i % 5000, 1, NOW + i, NOW + i);
    assert_true(many > 100 && many <= PROFILE_ALLOWANCE + 1);
    assert_ordered(&p);
}

static void test_hostile_credit(void **state) {
    (void)state;
    profile p;
    profile_init(&p);
    static const float credits[] = {0, -1, NAN, INFINITY, 1e30f};
    for (uint32_t i = 0; i < 5; i++) {
        float voice = engage_at(&p, i, credits[i], NOW, NOW);
        assert_true(voice >= 0 && voice <= 1);
    }
    for (uint32_t i = 0; i < p.n_items; i++) assert_true(p.items[i].weight >= 0 && p.items[i].weight <= PROFILE_ITEM_CAP);
}

static void engage_with(profile *p, uint32_t document, const profile_attribute *attributes, size_t n) {
    profile_engagement e = {.document = document, .credit = 0.5f, .time = NOW, .now = NOW, .half_life = HALF,
                            .attributes = attributes, .n_attributes = n};
    profile_engage(p, &e);
}

static void test_attributes(void **state) {
    (void)state;
    static char long_value[PROFILE_MAX_VALUE + 1];
    memset(long_value, 'x', sizeof long_value);
    profile p;
    profile_init(&p);
    profile_attribute fantasy[] = {{1, SLICE("fantasy"), 0}, {2, SLICE("tolkien"), 0}};
    profile_attribute mixed[] = {{1, SLICE("fantasy"), 0}, {1, SLICE("war"), 0}, {3, {long_value, sizeof long_value}, 0}};
    engage_with(&p, 1, fantasy, 2);
    engage_with(&p, 2, mixed, 3);
    assert_int_equal(p.n_attributes, 3);
    assert_true(slice_is(p.attributes[0].value, "fantasy"));
    assert_float_equal(p.attributes[0].weight, 0.75, 1e-5); /* 0.5, and half of 0.5: two genres share it */
    assert_ordered(&p);
    char names[1000][8];
    for (uint32_t i = 0; i < 1000; i++) {
        snprintf(names[i], sizeof names[i], "v%u", i);
        engage_with(&p, i, &(profile_attribute){4, slice_of(names[i]), 0}, 1);
    }
    assert_int_equal(p.n_attributes, PROFILE_ATTRIBUTES);
    assert_true(slice_is(p.attributes[0].value, "fantasy"));
    assert_ordered(&p);
}

static void test_bytes(void **state) {
    (void)state;
    static profile p, back;
    profile_init(&p);
    uint64_t segments[6] = {11, 12, 13, 14, 15, 16};
    profile_attribute genre = {1, SLICE("fantasy"), 0};
    profile_engagement e = {.document = 5, .credit = 1, .origin = PROFILE_TAUGHT, .time = NOW, .now = NOW, .half_life = HALF,
                            .attributes = &genre, .n_attributes = 1, .segments = segments, .n_segments = 6};
    profile_engage(&p, &e);
    engage(&p, 5, NOW);
    engage(&p, 6, NOW + HALF);
    buffer bytes = {0}, again = {0};
    profile_encode(&p, &bytes);
    assert_true(profile_decode((slice){bytes.data, bytes.size}, &back));
    assert_int_equal(back.n_segments, PROFILE_SEGMENTS);
    assert_int_equal(back.segments[3], 14);
    assert_int_equal(back.items[0].origin, PROFILE_TAUGHT | PROFILE_CHOSEN);
    profile_encode(&back, &again);
    assert_int_equal(bytes.size, again.size);
    assert_memory_equal(bytes.data, again.data, bytes.size);
    for (size_t cut = 0; cut < bytes.size; cut++) {
        char *exact = mem_alloc(cut + 1);
        memcpy(exact, bytes.data, cut);
        assert_false(profile_decode((slice){exact, cut}, &back));
        assert_int_equal(back.n_items, 0);
        free(exact);
    }
    for (size_t at = 0; at < bytes.size; at++) /* no damage is more than a wrong number */
        for (int bit = 0; bit < 8; bit++) {
            bytes.data[at] ^= (char)(1 << bit);
            if (profile_decode((slice){bytes.data, bytes.size}, &back)) {
                engage(&back, 9, NOW);
                assert_true(back.n_items <= PROFILE_ITEMS && back.n_attributes <= PROFILE_ATTRIBUTES);
            }
            bytes.data[at] ^= (char)(1 << bit);
        }
    buffer_release(&bytes);
    buffer_release(&again);
}

/* As the program before wrote them: without the queries. */
static void test_format_1_is_read(void **state) {
    (void)state;
    profile back;
    buffer old = {0}, now = {0};
    put_u8(&old, 1);
    put_u64(&old, (uint64_t)(NOW - HALF));
    put_u64(&old, (uint64_t)NOW);
    put_f32(&old, 3);
    put_u32(&old, 7);
    put_u8(&old, 1);
    put_u64(&old, 99);
    put_u16(&old, 2);
    for (uint32_t i = 0; i < 2; i++) {
        put_u32(&old, 40 + i);
        put_f32(&old, 2 - (float)i);
        put_u8(&old, PROFILE_CHOSEN);
    }
    put_u16(&old, 1);
    put_u16(&old, 3);
    put_string(&old, SLICE("fantasy"));
    put_f32(&old, 1.5f);
    assert_true(profile_decode((slice){old.data, old.size}, &back));
    assert_int_equal(back.events, 7);
    assert_int_equal(back.segments[0], 99);
    assert_int_equal(back.n_items, 2);
    assert_int_equal(back.items[1].document, 41);
    assert_float_equal(back.items[1].weight, 1, 0);
    assert_int_equal(back.items[1].origin, PROFILE_CHOSEN);
    assert_int_equal(back.items[1].query, 0); /* not known */
    assert_true(back.n_attributes == 1 && slice_is(back.attributes[0].value, "fantasy"));
    profile_encode(&back, &now);
    assert_int_equal(now.data[0], 2);
    assert_true(profile_decode((slice){now.data, now.size}, &back));
    assert_int_equal(back.items[0].document, 40);
    old.data[0] = 3; /* a newer program's */
    assert_false(profile_decode((slice){old.data, old.size}, &back));
    buffer_release(&old);
    buffer_release(&now);
}

static void test_keys(void **state) {
    (void)state;
    hash128 user, session, both;
    assert_false(profile_key((slice){0}, (slice){0}, &user));
    assert_true(profile_key(SLICE("a"), (slice){0}, &user));
    assert_true(profile_key((slice){0}, SLICE("a"), &session));
    assert_true(profile_key(SLICE("a"), SLICE("b"), &both));
    assert_memory_equal(&user, &both, sizeof user);
    assert_memory_not_equal(&user, &session, sizeof user);
}

typedef struct written {
    hash128 key;
    profile *p; /* NULL: erase */
} written;

static forage_status write_apply(store_txn *t, void *self, base_error *error) {
    const written *w = self;
    return w->p ? profile_write(t, &w->key, w->p, error) : profile_erase(t, &w->key, error);
}

static void test_store(void **state) {
    (void)state;
    const char *folder = testing_folder();
    store *s;
    store_txn *t;
    store_options options = {.no_sync = true};
    static profile p, back;
    written w = {.p = &p};
    profile_init(&p);
    engage(&p, 3, NOW);
    profile_key(SLICE("anna"), (slice){0}, &w.key);
    assert_ok(store_open(folder, &options, &s, NULL));
    assert_ok(store_write(s, &(store_job){write_apply, NULL, &w}, NULL));
    store_close(s);
    assert_ok(store_open(folder, &options, &s, NULL));
    assert_ok(store_read_begin(s, &t, NULL));
    assert_true(profile_read(t, &w.key, &back));
    assert_int_equal(back.items[0].document, 3);
    store_read_end(t);
    w.p = NULL;
    assert_ok(store_write(s, &(store_job){write_apply, NULL, &w}, NULL));
    assert_ok(store_write(s, &(store_job){write_apply, NULL, &w}, NULL)); /* absent is fine */
    assert_ok(store_read_begin(s, &t, NULL));
    assert_false(profile_read(t, &w.key, &back));
    assert_int_equal(store_count(t, STORE_PROFILES), 0);
    store_read_end(t);
    store_close(s);
    assert_ok(os_remove_tree(folder, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights_halve),         cmocka_unit_test(test_order_does_not_matter),
        cmocka_unit_test(test_the_least_falls_out),   cmocka_unit_test(test_clock_jumps_back),
        cmocka_unit_test(test_hostile_times),         cmocka_unit_test(test_one_user_is_one_voice),
        cmocka_unit_test(test_hostile_credit),        cmocka_unit_test(test_attributes),
        cmocka_unit_test(test_bytes),                 cmocka_unit_test(test_format_1_is_read), cmocka_unit_test(test_keys),
        cmocka_unit_test(test_store),
    };
    return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
