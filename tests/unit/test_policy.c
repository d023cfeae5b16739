/* Deciding: whole distributions that are exactly what is drawn from, by every rule. */
#include "policy_testing.h"

#include <math.h>
#include <pthread.h>

static void defaults_are_valid_and_bad_members_are_named(void **state) {
    (void)state;
    policy_config c;
    policy *p = NULL;
    base_error error;
    for (size_t i = 0; i < 3 + LEARNERS; i++) {
        policy_config_default(&c, i < 3 ? certain[i] : learners[i - 3], POLICY_MAX_STRATEGIES);
        policy_destroy(make(&c));
    }
#define REFUSED(change, word)                                                                                          \
    do {                                                                                                               \
        policy_config_default(&c, "squarecb", 3);                                                                      \
        change;                                                                                                        \
        assert_int_equal(policy_create(&c, &p, &error), FORAGE_E_INVALID);                                             \
        assert_non_null(strstr(error.message, word));                                                                  \
        assert_null(p);                                                                                                \
    } while (0)
    REFUSED(c.name = "thompson", "thompson");
    REFUSED(c.name = NULL, "name");
    REFUSED(c.n_strategies = 0, "n_strategies");
    REFUSED(c.n_strategies = 33, "n_strategies");
    REFUSED(c.n_levels = 1, "n_levels");
    REFUSED(c.n_levels = 9, "n_levels");
    REFUSED(c.n_features = 0, "n_features");
    REFUSED(c.n_features = 65, "n_features");
    REFUSED(c.depths[0] = 1, "depths[0]");
    REFUSED(c.depths[2] = 8, "depths[2]");
    REFUSED(c.fixed_level[1] = 4, "fixed_level[1]");
    REFUSED(c.prior_reward[2] = NAN, "prior_reward[2]");
    REFUSED(c.exploration = .3, "exploration");
    REFUSED(c.gamma = -1, "gamma");
    REFUSED(c.gamma = INFINITY, "gamma");
    REFUSED(c.cost = NAN, "cost");
    REFUSED(c.noise = -1, "noise");
    REFUSED(c.samples = 0, "samples");
    REFUSED(c.samples = 257, "samples");
    REFUSED(c.budget = -1, "budget");
    REFUSED((c.budget = 100, c.cost = 0), "cost");
    REFUSED(c.discount = 0, "discount");
    REFUSED(c.discount = 1.1, "discount");
#undef REFUSED
}

static void check_rows(const policy_config *c, const uint32_t *allowed, const policy_decision *d) {
    double product = 1, cost = 0;
    for (int s = 0; s < 4; s++) {
        double sum = 0;
        for (uint32_t l = 0; l < POLICY_MAX_LEVELS; l++) {
            float probability = d->probability[s][l];
            sum += (double)probability;
            if (l < 4) cost += (double)probability * c->depths[l];
            if (l < 4 && allowed[s] >> l & 1) assert_true((double)probability >= c->exploration);
            else assert_true(probability == 0);
        }
        assert_true(sum == 1);
        assert_true(allowed[s] >> d->level[s] & 1);
        product *= (double)d->probability[s][d->level[s]];
    }
    assert_true(d->propensity == product);
    assert_true(fabs(d->expected_cost - cost) < 1e-9);
}

static void supports(const policy_config *c) {
    policy *p = make(c);
    random_source random;
    float x[4 * 3];
    uint32_t allowed[4];
    policy_decision d;
    random_seed(&random, 11);
    for (int round = 0; round < 20; round++) {
        train(p, c, (uint64_t)round, 100);
        for (int i = 0; i < 100; i++) {
            random_features(&random, 4, 3, x);
            for (int s = 0; s < 4; s++) allowed[s] = 1 + (uint32_t)random_below(&random, 15);
            policy_decide(p, x, allowed, &random, &d);
            check_rows(c, allowed, &d);
        }
    }
    assert_true(d.version == 2001 && policy_updates(p) == 2000);
    policy_destroy(p);
}

static void rows_sum_to_one_with_full_support_over_what_is_allowed(void **state) {
    (void)state;
    with_each_learner(supports);
}

static void only_unasked_is_certain(void **state) {
    (void)state;
    policy_config c;
    four_strategies(&c);
    policy *p = make(&c);
    random_source random;
    float x[12] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0};
    uint32_t allowed[4] = {1, 1, 1, 0}; /* 0 breaks the contract and still is not asked */
    policy_decision d;
    random_seed(&random, 3);
    policy_decide(p, x, allowed, &random, &d);
    assert_true(d.propensity == 1);
    for (int s = 0; s < 4; s++) assert_true(d.level[s] == 0 && d.probability[s][0] == 1);
    policy_destroy(p);
}

/* "lin-ts" draws another distribution each time: what is expected is the sum of what was logged. */
static void draws_as_logged(const policy_config *c) {
    enum { DRAWS = 40000 };
    policy *p = make(c);
    train(p, c, 5, 50);
    random_source random;
    float x[12];
    uint32_t allowed[4] = {15, 15, 13, 10};
    double count[4][4] = {{0}}, expected[4][4] = {{0}}, pair[4] = {0}, pair_expected[4] = {0}, chi = 0;
    policy_decision d;
    random_seed(&random, 20240229);
    random_features(&random, 4, 3, x);
    for (int i = 0; i < DRAWS; i++) {
        policy_decide(p, x, allowed, &random, &d);
        for (int s = 0; s < 4; s++) {
            count[s][d.level[s]]++;
            for (int l = 0; l < 4; l++) expected[s][l] += (double)d.probability[s][l];
        }
        double a = (double)d.probability[0][0], b = (double)d.probability[1][0];
        pair[2 * (d.level[0] > 0) + (d.level[1] > 0)]++;
        for (int k = 0; k < 4; k++) pair_expected[k] += (k & 2 ? 1 - a : a) * (k & 1 ? 1 - b : b);
    }
    for (int s = 0; s < 4; s++, chi = 0) {
        for (int l = 0; l < 4; l++) {
            if (expected[s][l] > 0) chi += pow(count[s][l] - expected[s][l], 2) / expected[s][l];
            else assert_true(count[s][l] == 0);
        }
        assert_true(chi < 16.27); /* 3 degrees of freedom, p = .001 */
    }
    for (int k = 0; k < 4; k++) chi += pow(pair[k] - pair_expected[k], 2) / pair_expected[k];
    assert_true(chi < 16.27); /* strategies are drawn independently, so that the product is the propensity */
    policy_destroy(p);
}

static void frequencies_match_the_logged_probabilities(void **state) {
    (void)state;
    with_each_learner(draws_as_logged);
}

/* ---- Any rule, one learner ---- */

static void eight_trained(policy_config *c, bool hindsight, policy **out) {
    four_strategies(c);
    eight_levels(c);
    c->name = "regcb";
    c->hindsight = hindsight;
    c->budget = 120;
    *out = make(c);
    train(*out, c, 77, 300);
}

static void names_of_rules_are_known(void **state) {
    (void)state;
    for (int i = 0; i < LEARNERS; i++) assert_true(policy_rule_known(learners[i]) && policy_rule_learns(learners[i]));
    for (int i = 0; i < 3; i++) assert_true(policy_rule_known(certain[i]) && !policy_rule_learns(certain[i]));
    assert_false(policy_rule_known(NULL) || policy_rule_known("") || policy_rule_known("SquareCB"));
    assert_false(policy_rule_learns(NULL) || policy_rule_learns("linucb "));
}

static void assert_same_decision(const policy_decision *a, const policy_decision *b) {
    assert_memory_equal(a->level, b->level, sizeof a->level);
    assert_memory_equal(a->probability, b->probability, sizeof a->probability);
    assert_true(a->propensity == b->propensity && a->expected_cost == b->expected_cost && a->price == b->price);
    assert_true(a->version == b->version);
}

/* Asked by a rule, a learner decides as a policy of that rule that has learned the same. */
static void one_learner_answers_by_every_rule(void **state) {
    (void)state;
    float x[12], cost[4 * 8];
    uint32_t allowed[4] = {255, 255, 129, 254};
    random_source random, same;
    policy_decision by, alone;
    for (int i = 0; i < 2 * (LEARNERS + 3); i++) {
        policy_config c;
        policy *p;
        buffer saved = {0};
        bool learns = i / 2 < LEARNERS;
        const char *rule = learns ? learners[i / 2] : certain[i / 2 - LEARNERS];
        eight_trained(&c, i % 2, &p);
        policy_save(p, &saved);
        c.name = rule;
        policy *own = make(&c);
        if (learns) assert_ok(policy_load(own, (slice){saved.data, saved.size}, NULL));
        random_seed(&random, 5);
        random_seed(&same, 5);
        for (int round = 0; round < 50; round++) {
            random_features(&random, 4, 3, x);
            random_features(&same, 4, 3, x);
            for (int k = 0; k < 32; k++) cost[k] = (float)(k % 8 * (k / 8 + 1));
            const float *priced = round % 2 ? cost : NULL;
            policy_decide_by(p, rule, x, allowed, priced, &random, &by);
            policy_decide_by(own, NULL, x, allowed, priced, &same, &alone);
            assert_true(by.price == policy_price(p) && by.version == (learns ? 301 : 0));
            if (!learns) alone.price = by.price; /* a policy of a certain rule steers none */
            assert_same_decision(&by, &alone);
        }
        buffer_release(&saved);
        policy_destroy(p);
        policy_destroy(own);
    }
}

static void certain_rules_also_decide_for_each_other(void **state) {
    (void)state;
    policy_config c;
    policy_config_default(&c, "fixed", 4);
    policy *p = make(&c);
    random_source random;
    float x[4] = {1, 1, 1, 1};
    uint32_t allowed[4] = {15, 15, 15, 3};
    policy_decision d;
    policy_decide_by(p, "all", x, allowed, NULL, &random, &d);
    assert_true(d.level[0] == 3 && d.level[3] == 1 && d.propensity == 1 && d.version == 0);
    policy_decide(p, x, allowed, &random, &d);
    assert_true(d.level[0] == 2 && d.level[3] == 1);
    policy_destroy(p);
}

/* Seed 515; for each rule and strategy the chi-square of levels drawn against the sum of what was logged. */
static void frequencies_match_for_every_rule_of_one_learner(void **state) {
    (void)state;
    enum { DRAWS = 20000 };
    policy_config c;
    policy *p;
    float x[12];
    const uint32_t allowed[4] = {255, 0x6f, 0x81, 254};
    eight_trained(&c, true, &p);
    for (int i = 0; i < LEARNERS + 3; i++) {
        double count[4][8] = {{0}}, expected[4][8] = {{0}};
        policy_decision d;
        random_source random;
        random_seed(&random, 515);
        random_features(&random, 4, 3, x);
        for (int n = 0; n < DRAWS; n++) {
            policy_decide_by(p, i < 3 ? certain[i] : learners[i - 3], x, allowed, NULL, &random, &d);
            for (int s = 0; s < 4; s++) count[s][d.level[s]]++;
            for (int k = 0; k < 32; k++) expected[k / 8][k % 8] += (double)d.probability[k / 8][k % 8];
        }
        for (int s = 0; s < 4; s++) {
            double chi = 0;
            for (int l = 0; l < 8; l++) {
                if (expected[s][l] > 0) chi += pow(count[s][l] - expected[s][l], 2) / expected[s][l];
                else assert_true(count[s][l] == 0);
                if (i >= 3) assert_true((allowed[s] >> l & 1) == (expected[s][l] > 0));
            }
            assert_true(chi < 24.32); /* 7 degrees of freedom, p = .001 */
        }
    }
    policy_destroy(p);
}

/* A certain rule's spending must not move the price that the learning rules pay. */
static void a_certain_rule_does_not_steer_a_learner(void **state) {
    (void)state;
    policy_config c;
    policy *p;
    float x[12] = {1, 0, 0, 1, 0, 0, 1, 0, 0, 1, 0, 0};
    const uint32_t allowed[4] = {255, 255, 255, 255};
    random_source random;
    policy_decision d;
    random_seed(&random, 1);
    eight_trained(&c, true, &p);
    double price = policy_price(p);
    for (int i = 0; i < 3; i++) {
        policy_decide_by(p, certain[i], x, allowed, NULL, &random, &d);
        d.expected_cost = 5000;
        policy_observe_all(p, x, allowed, &d);
        assert_true(policy_price(p) == price);
    }
    policy_decide_by(p, "lin-ts", x, allowed, NULL, &random, &d);
    d.expected_cost = 5000;
    policy_observe_all(p, x, allowed, &d);
    assert_true(policy_price(p) > price);
    policy_destroy(p);
}

static void static_policies_are_certain_and_only_count(void **state) {
    (void)state;
    policy_config c;
    policy_config_default(&c, "fixed", 4);
    c.fixed_level[3] = 1;
    policy *fixed = make(&c);
    c.name = "all";
    policy *all = make(&c);
    random_source random, before;
    float x[4] = {1, 1, 1, 1}, reward[4] = {1, 1, 1, 1};
    uint32_t allowed[4] = {15, 9, 1, 8};
    policy_decision d;
    random_seed(&random, 1);
    before = random;
    policy_decide(fixed, x, allowed, &random, &d);
    assert_true(d.level[0] == 2 && d.level[1] == 0 && d.level[2] == 0 && d.level[3] == 3);
    assert_true(d.propensity == 1 && d.probability[0][2] == 1);
    policy_decide(all, x, allowed, &random, &d);
    assert_true(d.level[0] == 3 && d.level[1] == 3 && d.level[2] == 0 && d.level[3] == 3);
    assert_true(d.propensity == 1);
    policy_observe(all, x, &d);
    policy_reward(all, x, &d, reward);
    assert_true(policy_updates(all) == 1 && d.version == 0);
    assert_true(fabs(policy_predict(all, 0, 3, x) - .1) < 1e-12);
    assert_memory_equal(&random, &before, sizeof random);
    policy_destroy(fixed);
    policy_destroy(all);
}

static void equal_depth_shares_the_budget_among_those_that_can_run(void **state) {
    (void)state;
    policy_config c;
    policy_config_default(&c, "rrf-equal", 4);
    policy *p = make(&c);
    random_source random;
    float x[4] = {1, 1, 1, 1};
    uint32_t all[4] = {15, 15, 15, 15}, some[4] = {15, 1, 9, 15};
    policy_decision d;
    policy_decide(p, x, all, &random, &d); /* without a budget: what "fixed" asks for, shared out */
    for (int s = 0; s < 4; s++) assert_int_equal(d.level[s], 2);
    policy_destroy(p);
    c.budget = 45;
    p = make(&c);
    policy_decide(p, x, all, &random, &d); /* 11 each: nearest is 8 */
    for (int s = 0; s < 4; s++) assert_int_equal(d.level[s], 1);
    assert_true(d.expected_cost == 32 && d.propensity == 1 && d.version == 0);
    policy_decide(p, x, some, &random, &d); /* 15 each: nearest is 8, and 0 where there is only 0 or 128 */
    assert_true(d.level[0] == 1 && d.level[1] == 0 && d.level[2] == 0 && d.level[3] == 1);
    policy_destroy(p);
}

static void senseless_numbers_do_no_harm(void **state) {
    (void)state;
    policy_config c;
    four_strategies(&c);
    policy *p = make(&c);
    random_source random;
    float x[12] = {NAN, INFINITY, -INFINITY, 1, 3e38f, -3e38f, 1, 0, 0, 1, 1, 1};
    float reward[4] = {NAN, INFINITY, 3e38f, -3e38f};
    uint32_t allowed[4] = {15, 15, 15, 15};
    policy_decision d;
    random_seed(&random, 4);
    for (int i = 0; i < 2000; i++) {
        policy_decide(p, x, allowed, &random, &d);
        policy_observe(p, x, &d);
        policy_reward(p, x, &d, reward);
    }
    for (int s = 0; s < 4; s++) {
        double sum = 0;
        for (int l = 0; l < 4; l++) sum += (double)d.probability[s][l];
        assert_true(sum == 1);
        for (uint32_t l = 0; l < 4; l++) assert_true(isfinite(policy_predict(p, (uint32_t)s, l, x + 3 * s)));
    }
    d.level[0] = 99; /* a decision that is not ours: that strategy is left out */
    d.n_strategies = 1000;
    d.version = UINT64_MAX;
    policy_observe(p, x, &d);
    policy_destroy(p);
}

static void repeats(const policy_config *config) {
    policy_config c = *config;
    c.budget = 50;
    policy *a = make(&c), *b = make(&c);
    train(a, &c, 123, 700);
    train(b, &c, 123, 700);
    assert_same_state(a, b);
    policy_destroy(a);
    policy_destroy(b);
}

static void same_seed_same_history(void **state) {
    (void)state;
    with_each_learner(repeats);
}

static void *decide_often(void *argument) {
    policy *p = argument;
    random_source random;
    float x[12];
    uint32_t allowed[4] = {15, 15, 15, 15};
    policy_decision d;
    random_seed(&random, 1);
    for (int i = 0; i < 1000; i++) {
        random_features(&random, 4, 3, x);
        policy_decide(p, x, allowed, &random, &d);
        if (!(d.propensity > 0 && d.price > 0 && isfinite(policy_predict(p, 1, 2, x)))) return p;
    }
    return NULL;
}

static void decides_while_learning(const policy_config *config) {
    policy_config c = *config;
    c.budget = 50;
    policy *p = make(&c);
    pthread_t threads[3];
    buffer b = {0};
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&threads[i], NULL, decide_often, p), 0);
    for (int i = 0; i < 20; i++) {
        train(p, &c, (uint64_t)i, 50);
        buffer_clear(&b);
        policy_save(p, &b);
        assert_ok(policy_load(p, (slice){b.data, b.size}, NULL));
    }
    for (int i = 0; i < 3; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    assert_true(policy_updates(p) == 1000);
    buffer_release(&b);
    policy_destroy(p);
}

static void deciding_goes_on_while_others_learn(void **state) {
    (void)state;
    with_each_learner(decides_while_learning);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_valid_and_bad_members_are_named),
        cmocka_unit_test(rows_sum_to_one_with_full_support_over_what_is_allowed),
        cmocka_unit_test(only_unasked_is_certain),
        cmocka_unit_test(frequencies_match_the_logged_probabilities),
        cmocka_unit_test(names_of_rules_are_known),
        cmocka_unit_test(one_learner_answers_by_every_rule),
        cmocka_unit_test(certain_rules_also_decide_for_each_other),
        cmocka_unit_test(frequencies_match_for_every_rule_of_one_learner),
        cmocka_unit_test(a_certain_rule_does_not_steer_a_learner),
        cmocka_unit_test(static_policies_are_certain_and_only_count),
        cmocka_unit_test(equal_depth_shares_the_budget_among_those_that_can_run),
        cmocka_unit_test(senseless_numbers_do_no_harm),
        cmocka_unit_test(same_seed_same_history),
        cmocka_unit_test(deciding_goes_on_while_others_learn),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
