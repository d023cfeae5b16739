/* Learning by played-arm credit. */
#include "policy_testing.h"

#include <math.h>

static void a_promising_strategy_is_asked_deeply_from_event_zero(void **state) {
    (void)state;
    for (double prior = .3; prior < 1.01; prior += .1) {
        policy_config c;
        policy_config_default(&c, "squarecb", 2);
        c.prior_reward[0] = prior;
        c.prior_reward[1] = .02;
        policy *p = make(&c);
        random_source random;
        float x[2] = {1, 1};
        uint32_t allowed[2] = {15, 15};
        policy_decision d;
        random_seed(&random, 1);
        policy_decide(p, x, allowed, &random, &d);
        assert_true(d.probability[0][2] + d.probability[0][3] > .9f);
        assert_true(d.probability[0][3] > .85f);
        assert_true(d.probability[1][3] < d.probability[0][3]);
        for (uint32_t l = 0; l < 4; l++) assert_true(policy_predict(p, 0, l, x) <= prior + 1e-9);
        assert_true(fabs(policy_predict(p, 0, 3, x) - prior) < 1e-9);
        assert_true(policy_predict(p, 0, 1, x) > prior * 8 / 128); /* concave */
        policy_destroy(p);
    }
}

/* Rewards are ten times rarer than the prior believes; the productive strategy must stay asked while it learns so, and
 * the other must fade to what exploration costs. */
static void sparse_rewards_keep_the_productive_and_fade_the_rest(void **state) {
    (void)state;
    policy_config c;
    policy_config_default(&c, "squarecb", 2);
    c.prior_reward[0] = c.prior_reward[1] = .3;
    policy *p = make(&c);
    random_source random;
    float x[2] = {1, 1}, reward[2] = {0};
    uint32_t allowed[2] = {15, 15};
    policy_decision d;
    double deep = 0, start_deep = 0;
    random_seed(&random, 8);
    for (int t = 0; t < 20000; t++) {
        policy_decide(p, x, allowed, &random, &d);
        policy_observe(p, x, &d);
        reward[0] = random_double(&random) < .03 * (d.level[0] == 3 ? 1 : d.level[0] * .25) ? 1 : 0;
        policy_reward(p, x, &d, reward);
        double now = (double)(d.probability[0][2] + d.probability[0][3]);
        if (t < 1000) start_deep += now / 1000;
        deep += now / 20000;
    }
    assert_true(start_deep > .8);
    assert_true(deep > .9);
    assert_true(d.probability[1][0] > .7f);
    assert_true(d.probability[1][3] < .05f && (double)d.probability[1][3] >= c.exploration);
    policy_destroy(p);
}

/* Strategy 0 pays when feature 1 is on, strategy 1 when feature 2 is on; each then at its deepest level. */
static void context_decides_and_regret_falls(void **state) {
    (void)state;
    policy_config c;
    policy_config_default(&c, "squarecb", 2);
    c.n_features = 3;
    c.cost = 5e-4;
    policy *p = make(&c);
    random_source random;
    uint32_t allowed[2] = {15, 15};
    double regret[2] = {0};
    int right = 0, asked = 0;
    policy_decision d;
    random_seed(&random, 42);
    for (int t = 0; t < 12000; t++) {
        bool first = random_u64(&random) & 1;
        float x[6] = {1, first, !first, 1, first, !first}, reward[2];
        policy_decide(p, x, allowed, &random, &d);
        policy_observe(p, x, &d);
        for (uint32_t s = 0; s < 2; s++) {
            bool pays = first == (s == 0);
            double mean[4];
            for (uint32_t l = 0; l < 4; l++) mean[l] = pays ? .2 * l : 0;
            reward[s] = random_double(&random) < mean[d.level[s]] ? 1 : 0;
            double best = 0;
            for (uint32_t l = 0; l < 4; l++) best = fmax(best, mean[l] - c.cost * c.depths[l]);
            if (t < 300 || t >= 11700) regret[t >= 11700] += best - (mean[d.level[s]] - c.cost * c.depths[d.level[s]]);
            if (t < 10000) continue;
            asked++;
            right += pays ? d.level[s] == 3 : d.level[s] == 0;
        }
        policy_reward(p, x, &d, reward);
    }
    assert_true(right > .9 * asked);
    assert_true(regret[1] < regret[0] / 2);
    policy_destroy(p);
}

static void late_rewards_end_where_prompt_ones_do(void **state) {
    (void)state;
    enum { ROUNDS = 400 };
    policy_config c;
    four_strategies(&c);
    c.discount = .995;
    policy *prompt = make(&c), *late = make(&c);
    random_source random;
    static float x[ROUNDS][12], reward[ROUNDS][4];
    static policy_decision d[ROUNDS];
    uint32_t allowed[4] = {15, 15, 15, 15};
    random_seed(&random, 9);
    for (int i = 0; i < ROUNDS; i++) {
        random_features(&random, 4, 3, x[i]);
        policy_decide(prompt, x[i], allowed, &random, &d[i]);
        for (int s = 0; s < 4; s++) reward[i][s] = (float)random_double(&random);
        policy_observe(prompt, x[i], &d[i]);
        policy_reward(prompt, x[i], &d[i], reward[i]);
        policy_observe(late, x[i], &d[i]);
    }
    for (int i = ROUNDS - 1; i >= 0; i--) { /* in another order, and in two halves */
        float half[4];
        for (int s = 0; s < 4; s++) half[s] = reward[i][s] / 2;
        policy_reward(late, x[i], &d[i], half);
        policy_reward(late, x[i], &d[i], half);
    }
    for (uint32_t s = 0; s < 4; s++)
        for (uint32_t l = 0; l < 4; l++) {
            double a = policy_predict(prompt, s, l, x[0] + 3 * s), b = policy_predict(late, s, l, x[0] + 3 * s);
            assert_true(fabs(a - b) < 1e-6);
        }
    policy_destroy(prompt);
    policy_destroy(late);
}

static double after_drift(double discount) {
    policy_config c;
    policy_config_default(&c, "squarecb", 1);
    c.discount = discount;
    policy *p = make(&c);
    random_source random;
    float x[1] = {1}, reward[1];
    uint32_t allowed[1] = {15};
    policy_decision d;
    double shallow = 0;
    random_seed(&random, 77);
    for (int t = 0; t < 8000; t++) {
        uint32_t pays = t < 5000 ? 3 : 1; /* from then on the deep level is worth nothing */
        policy_decide(p, x, allowed, &random, &d);
        policy_observe(p, x, &d);
        reward[0] = d.level[0] == pays && random_double(&random) < .5 ? 1 : 0;
        policy_reward(p, x, &d, reward);
        if (t >= 7000) shallow += d.level[0] == 1;
    }
    policy_destroy(p);
    return shallow / 1000;
}

static void forgetting_follows_a_drift(void **state) {
    (void)state;
    assert_true(after_drift(.998) > .9);
    assert_true(after_drift(1) < .5);
}

static void forgetting_leads_back_to_the_prior(void **state) {
    (void)state;
    policy_config c;
    policy_config_default(&c, "squarecb", 1);
    c.discount = .9;
    c.n_features = 2;
    policy *p = make(&c);
    policy_decision d = {.n_strategies = 1, .n_levels = 4, .level = {3}};
    float x[2] = {1, 5}, elsewhere[2] = {1e-6f, 0}, reward[1] = {1};
    for (int i = 0; i < 50; i++) {
        d.version = policy_updates(p) + 1;
        policy_observe(p, x, &d);
        policy_reward(p, x, &d, reward);
    }
    assert_true(policy_predict(p, 0, 3, x) > .3);
    for (int i = 0; i < 2000; i++) {
        d.version = policy_updates(p) + 1;
        policy_observe(p, elsewhere, &d);
    }
    assert_true(fabs(policy_predict(p, 0, 3, x) - .1) < .001);
    policy_destroy(p);
}

/* While a static plan serves, the learner learns from its decisions, however much it has seen already. */
static void an_apprentice_learns_from_other_policies(void **state) {
    (void)state;
    policy_config c;
    policy_config_default(&c, "squarecb", 1);
    c.discount = .999;
    policy *p = make(&c);
    c.name = "fixed";
    policy *fixed = make(&c);
    random_source random;
    float x[1] = {1}, reward[1];
    uint32_t allowed[1] = {15};
    policy_decision d;
    random_seed(&random, 1);
    train(p, &(policy_config){.n_strategies = 1, .n_levels = 4, .n_features = 1}, 1, 20000);
    for (int i = 0; i < 3000; i++) {
        policy_decide(fixed, x, allowed, &random, &d);
        policy_observe(p, x, &d);
        reward[0] = i % 2 ? 1 : 0;
        policy_reward(p, x, &d, reward);
    }
    assert_true(fabs(policy_predict(p, 0, 2, x) - .5) < .03);
    policy_destroy(p);
    policy_destroy(fixed);
}

/* The rank-one updates against A theta = b + Lambda m with thousands of correlated observations. */
static void learning_stays_exact_over_many_updates(void **state) {
    (void)state;
    policy_config c;
    policy_config_default(&c, "squarecb", 1);
    c.n_features = 16;
    c.discount = 1;
    policy *p = make(&c);
    random_source random;
    float x[16], reward[1];
    policy_decision d = {.n_strategies = 1, .n_levels = 4, .level = {3}};
    random_seed(&random, 6);
    for (int t = 0; t < 30000; t++) {
        random_features(&random, 1, 16, x);
        for (int i = 9; i < 16; i++) x[i] = x[i - 8] * 1.0001f;
        reward[0] = .25f + .5f * x[1] - .25f * x[2];
        policy_observe(p, x, &d);
        policy_reward(p, x, &d, reward);
    }
    assert_true(fabs(policy_predict(p, 0, 3, x) - (double)reward[0]) < .02);
    policy_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_promising_strategy_is_asked_deeply_from_event_zero),
        cmocka_unit_test(sparse_rewards_keep_the_productive_and_fade_the_rest),
        cmocka_unit_test(context_decides_and_regret_falls),
        cmocka_unit_test(late_rewards_end_where_prompt_ones_do),
        cmocka_unit_test(forgetting_follows_a_drift),
        cmocka_unit_test(forgetting_leads_back_to_the_prior),
        cmocka_unit_test(an_apprentice_learns_from_other_policies),
        cmocka_unit_test(learning_stays_exact_over_many_updates),
    };
    return cmocka_run_group_tests_name("policy, played arms", tests, NULL, NULL);
}
