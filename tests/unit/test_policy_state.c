/* States as bytes, and copies. */
#include "policy_testing.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <math.h>

/* Both then learn the same `rounds` lessons from decisions that must not differ in a single bit. */
static void assert_alike(policy *a, policy *b, const policy_config *c, int rounds) {
    random_source random, same;
    float x[12], reward[4] = {0, 1, 0, .5f};
    uint32_t usable[4] = {255, 255, 255, 255}, rank[4] = {3, 60, 0, 17};
    policy_decision d, e;
    random_seed(&random, 99);
    while (rounds--) {
        random_features(&random, 4, 3, x);
        same = random;
        policy_decide(a, x, usable, &random, &d);
        policy_decide(b, x, usable, &same, &e);
        assert_memory_equal(d.probability, e.probability, sizeof d.probability);
        assert_memory_equal(d.level, e.level, sizeof d.level);
        assert_true(d.propensity == e.propensity && d.price == e.price && d.version == e.version);
        for (uint32_t s = 0; s < 4; s++)
            for (uint32_t l = 0; l < c->n_levels; l++)
                assert_true(policy_predict(a, s, l, x + 3 * s) == policy_predict(b, s, l, x + 3 * s));
        d.expected_cost = d.level[0] > 1 ? 20 * c->budget : 0;
        for (int i = 0; i < 2; i++) {
            policy *p = i ? b : a;
            if (c->hindsight) {
                policy_observe_all(p, x, usable, &d);
                policy_hindsight(p, x, &d, rank, 1);
            } else {
                policy_observe(p, x, &d);
                policy_reward(p, x, &d, reward);
            }
        }
    }
}

static void resumes_exactly(const policy_config *config) {
    policy_config c = *config;
    eight_levels(&c);
    c.discount = .999;
    c.budget = 90;
    policy *a = make(&c), *b = make(&c);
    buffer saved = {0};
    train(a, &c, 8, 700);
    policy_decision costly = {.n_strategies = 4, .n_levels = 8, .version = 1, .expected_cost = 50 * c.budget};
    const float x[12] = {0};
    const uint32_t none[4] = {1, 1, 1, 1};
    if (c.hindsight) policy_observe_all(a, x, none, &costly); /* leaves some of it owed */
    else policy_observe(a, x, &costly);
    policy_save(a, &saved);
    assert_ok(policy_load(b, (slice){saved.data, saved.size}, NULL));
    assert_alike(a, b, &c, 700); /* across a refresh */
    assert_same_state(a, b);
    buffer_release(&saved);
    policy_destroy(a);
    policy_destroy(b);
}

static void a_loaded_policy_decides_alike_to_the_last_bit(void **state) {
    (void)state;
    with_each_learner(resumes_exactly);
}

static void clones_exactly(const policy_config *config) {
    policy_config c = *config;
    c.discount = .999;
    c.budget = 50;
    policy *a = make(&c);
    train(a, &c, 8, 300);
    policy *b = policy_clone(a), *frozen = policy_clone(a);
    assert_alike(a, b, &c, 400);
    float x[3] = {1, .5f, .5f};
    assert_true(policy_updates(b) == 700 && policy_updates(frozen) == 300);
    assert_true(policy_predict(frozen, 1, 3, x) != policy_predict(b, 1, 3, x));
    policy_destroy(a); /* nothing is shared */
    train(b, &c, 1, 10);
    policy_destroy(b);
    train(frozen, &c, 2, 10);
    policy_destroy(frozen);
}

static void a_clone_is_alike_and_on_its_own(void **state) {
    (void)state;
    with_each_learner(clones_exactly);
    policy_config c;
    policy_config_default(&c, "all", 4);
    policy *a = make(&c), *b = policy_clone(a);
    policy_destroy(a);
    assert_true(policy_updates(b) == 0);
    policy_destroy(b);
}

static void resumes(const policy_config *config) {
    policy_config c = *config;
    c.discount = .999;
    c.budget = 50;
    policy *a = make(&c), *b = make(&c);
    buffer saved = {0};
    train(a, &c, 31, 777);
    policy_save(a, &saved);
    assert_ok(policy_load(b, (slice){saved.data, saved.size}, NULL));
    assert_same_state(a, b);
    assert_true(policy_updates(b) == 777 && policy_price(b) == policy_price(a) && policy_price(a) != c.cost);
    train(a, &c, 32, 1000); /* across several refreshes */
    train(b, &c, 32, 1000);
    assert_same_state(a, b);
    buffer_release(&saved);
    policy_destroy(a);
    policy_destroy(b);
}

static void a_loaded_policy_goes_on_as_the_saved_one(void **state) {
    (void)state;
    with_each_learner(resumes);
}

/* What was learned is the same for all algorithms; what credit it was learned by is not. */
static void another_algorithm_goes_on_from_a_state(void **state) {
    (void)state;
    policy_config c;
    four_strategies(&c);
    policy *a = make(&c);
    c.name = "regcb";
    policy *b = make(&c);
    c.hindsight = true;
    policy *other = make(&c);
    float x[3] = {1, .5f, .25f};
    buffer saved = {0};
    base_error error;
    c.hindsight = false;
    train(a, &c, 3, 500);
    policy_save(a, &saved);
    assert_ok(policy_load(b, (slice){saved.data, saved.size}, NULL));
    for (uint32_t l = 0; l < 4; l++) assert_true(fabs(policy_predict(a, 3, l, x) - policy_predict(b, 3, l, x)) < 1e-9);
    assert_int_equal(policy_load(other, (slice){saved.data, saved.size}, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "hindsight"));
    buffer_release(&saved);
    policy_destroy(a);
    policy_destroy(b);
    policy_destroy(other);
}

static void resign(buffer *b) { store_le64(b->data + b->size - 8, hash64(b->data, b->size - 8, 0)); }

/* Version 1 lacked a byte, the price and what it owes; what was learned is the same. */
static void states_of_version_1_are_read(void **state) {
    (void)state;
    policy_config c;
    four_strategies(&c);
    policy *a = make(&c), *b = make(&c);
    buffer now = {0}, old = {0};
    train(a, &c, 4, 400);
    policy_save(a, &now);
    const size_t credit = 6 + 9 + 12 + 16, price = credit + 1 + 8; /* magic, version; name; S, L, F; depths */
    buffer_append(&old, now.data, credit);
    buffer_append(&old, now.data + credit + 1, 8);
    buffer_append(&old, now.data + price + 16, now.size - price - 16); /* and what is owed */
    old.data[4] = 1;
    resign(&old);
    assert_ok(policy_load(b, (slice){old.data, old.size}, NULL));
    assert_same_state(a, b);
    buffer_release(&now);
    buffer_release(&old);
    policy_destroy(a);
    policy_destroy(b);
}

static void hostile_states_are_refused_and_change_nothing(void **state) {
    (void)state;
    policy_config c;
    four_strategies(&c);
    policy *p = make(&c);
    buffer good = {0}, bad = {0}, after = {0};
    base_error error;
    train(p, &c, 2, 300);
    policy_save(p, &good);
    const size_t header = 6 + 9 + 12 + 16; /* magic, version; name; S, L, F; depths */
    const size_t price = header + 1 + 8, held = price + 16 + 8, diagonal = held + 8;
    struct {
        size_t at;
        double value;
    } numbers[] = {
        {price, -1},
        {price, (double)NAN},
        {price + 8, -1},
        {price + 8, (double)INFINITY},
        {held, 0},
        {held, -1},
        {held, 2},
        {held, (double)NAN},
        {diagonal, 0},
        {diagonal, -5},
        {diagonal, (double)NAN},
        {diagonal, 1e300},
        {diagonal + 8, 1e12},
        {diagonal + 8 * 6, (double)INFINITY},
        {diagonal + 8 * 8, 1e200},
    };
    for (size_t size = 0; size < good.size; size += size < 80 ? 1 : 97)
        assert_int_equal(policy_load(p, (slice){good.data, size}, NULL), FORAGE_E_CORRUPT);
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        buffer_clear(&bad);
        buffer_append(&bad, good.data, good.size);
        memcpy(bad.data + numbers[i].at, &numbers[i].value, 8);
        assert_int_equal(policy_load(p, (slice){bad.data, bad.size}, &error), FORAGE_E_CORRUPT);
        assert_non_null(strstr(error.message, "checksum"));
        resign(&bad);
        assert_int_equal(policy_load(p, (slice){bad.data, bad.size}, &error), FORAGE_E_CORRUPT);
        assert_non_null(strstr(error.message, i < 4 ? "head" : "strategy 0, regression 0"));
    }
    buffer_clear(&bad);
    buffer_append(&bad, good.data, good.size);
    buffer_append(&bad, "12345678", 8); /* trailing bytes */
    resign(&bad);
    assert_int_equal(policy_load(p, (slice){bad.data, bad.size}, NULL), FORAGE_E_CORRUPT);
    memcpy(bad.data, good.data, good.size);
    bad.size = good.size;
    bad.data[4] = 9;
    assert_int_equal(policy_load(p, (slice){bad.data, bad.size}, &error), FORAGE_E_VERSION);
    assert_non_null(strstr(error.message, "version 9"));
    policy_save(p, &after);
    assert_int_equal(after.size, good.size);
    assert_memory_equal(after.data, good.data, good.size);
    buffer_release(&good);
    buffer_release(&bad);
    buffer_release(&after);
    policy_destroy(p);
}

static void states_of_another_shape_are_refused(void **state) {
    (void)state;
    policy_config c;
    four_strategies(&c);
    policy *p = make(&c), *other;
    buffer good = {0};
    base_error error;
    policy_save(p, &good);
    policy_config shapes[4] = {c, c, c, c};
    shapes[0].n_features = 2, shapes[1].n_strategies = 5, shapes[2].depths[3] = 64, shapes[3].name = "all";
    for (size_t i = 0; i < 4; i++) {
        other = make(&shapes[i]);
        assert_int_equal(policy_load(other, (slice){good.data, good.size}, &error), FORAGE_E_INVALID);
        policy_destroy(other);
    }
    buffer_release(&good);
    policy_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_loaded_policy_goes_on_as_the_saved_one),
        cmocka_unit_test(a_loaded_policy_decides_alike_to_the_last_bit),
        cmocka_unit_test(a_clone_is_alike_and_on_its_own),
        cmocka_unit_test(another_algorithm_goes_on_from_a_state),
        cmocka_unit_test(states_of_version_1_are_read),
        cmocka_unit_test(hostile_states_are_refused_and_change_nothing),
        cmocka_unit_test(states_of_another_shape_are_refused),
    };
    return cmocka_run_group_tests_name("policy state", tests, NULL, NULL);
}
