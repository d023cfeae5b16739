#include "testing.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "policy/policy.h"

#include <math.h>
#include <pthread.h>

enum { ALL_LEVELS = 0xff };

static const char *const learners[] = {"epsilon-greedy", "linucb", "lin-ts", "squarecb", "regcb"};
enum { LEARNERS = sizeof learners / sizeof *learners };

static policy *make(const policy_config *c) {
    policy *p = NULL;
    base_error error = {0};
    if (policy_create(c, &p, &error)) fail_msg("%s", error.message);
    return p;
}

static void set_allowed(uint32_t *allowed, uint32_t mask) {
    for (uint32_t s = 0; s < POLICY_MAX_STRATEGIES; s++) allowed[s] = mask;
}

/* A policy that has seen something: four strategies, three features, depths 0, 8, 32, 128, uneven rewards. */
static void four_strategies(policy_config *c) {
    policy_config_default(c, "squarecb", 4);
    c->n_features = 3;
    c->gamma = 3;
}

static void random_features(random_source *random, uint32_t rows, uint32_t F, float *x) {
    for (uint32_t i = 0; i < rows * F; i++) x[i] = i % F ? (float)random_double(random) : 1;
}

static void train(policy *p, const policy_config *c, uint64_t seed, int rounds) {
    random_source random;
    float x[POLICY_MAX_STRATEGIES * 8], reward[POLICY_MAX_STRATEGIES];
    uint32_t allowed[POLICY_MAX_STRATEGIES], rank[POLICY_MAX_STRATEGIES];
    policy_decision d;
    random_seed(&random, seed);
    set_allowed(allowed, ALL_LEVELS);
    while (rounds--) {
        random_features(&random, c->n_strategies, c->n_features, x);
        policy_decide(p, x, allowed, &random, &d);
        if (c->hindsight) {
            policy_observe_all(p, x, allowed, &d);
            for (uint32_t s = 0; s < c->n_strategies; s++) rank[s] = (uint32_t)random_below(&random, 200 / (s + 1));
            policy_hindsight(p, x, &d, rank, 1);
            continue;
        }
        policy_observe(p, x, &d);
        for (uint32_t s = 0; s < c->n_strategies; s++)
            reward[s] = random_double(&random) < .2 * s * d.level[s] / c->n_levels ? 1.0f : 0;
        policy_reward(p, x, &d, reward);
    }
}

static void defaults_are_valid_and_bad_members_are_named(void **state) {
    (void)state;
    static const char *const names[] = {"fixed", "all", "rrf-equal"};
    policy_config c;
    policy *p = NULL;
    base_error error;
    for (size_t i = 0; i < 3 + LEARNERS; i++) {
        policy_config_default(&c, i < 3 ? names[i] : learners[i - 3], POLICY_MAX_STRATEGIES);
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

/* Calls `check` with each algorithm that learns, by each kind of credit. */
static void with_each_learner(void (*check)(const policy_config *)) {
    policy_config c;
    for (int i = 0; i < 2 * LEARNERS; i++) {
        four_strategies(&c);
        c.name = learners[i / 2];
        c.hindsight = i % 2;
        check(&c);
    }
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

static void assert_same_state(const policy *a, const policy *b) {
    buffer first = {0}, second = {0};
    policy_save(a, &first);
    policy_save(b, &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    buffer_release(&first);
    buffer_release(&second);
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

/* Version 1 lacked a byte and the price; what was learned is the same. */
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
    buffer_append(&old, now.data + price + 8, now.size - price - 8);
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
    const size_t held = header + 1 + 8 + 8 + 8, diagonal = held + 8;
    struct {
        size_t at;
        double value;
    } numbers[] = {
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
        assert_non_null(strstr(error.message, "strategy 0, regression 0"));
    }
    buffer_clear(&bad);
    buffer_append(&bad, good.data, good.size);
    buffer_append(&bad, "12345678", 8); /* trailing bytes */
    resign(&bad);
    assert_int_equal(policy_load(p, (slice){bad.data, bad.size}, NULL), FORAGE_E_CORRUPT);
    memcpy(bad.data, good.data, good.size);
    bad.size = good.size;
    bad.data[4] = 9;
    assert_int_equal(policy_load(p, (slice){bad.data, bad.size}, NULL), FORAGE_E_VERSION);
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
        cmocka_unit_test(a_promising_strategy_is_asked_deeply_from_event_zero),
        cmocka_unit_test(sparse_rewards_keep_the_productive_and_fade_the_rest),
        cmocka_unit_test(context_decides_and_regret_falls),
        cmocka_unit_test(late_rewards_end_where_prompt_ones_do),
        cmocka_unit_test(forgetting_follows_a_drift),
        cmocka_unit_test(forgetting_leads_back_to_the_prior),
        cmocka_unit_test(static_policies_are_certain_and_only_count),
        cmocka_unit_test(equal_depth_shares_the_budget_among_those_that_can_run),
        cmocka_unit_test(an_apprentice_learns_from_other_policies),
        cmocka_unit_test(senseless_numbers_do_no_harm),
        cmocka_unit_test(learning_stays_exact_over_many_updates),
        cmocka_unit_test(same_seed_same_history),
        cmocka_unit_test(a_loaded_policy_goes_on_as_the_saved_one),
        cmocka_unit_test(another_algorithm_goes_on_from_a_state),
        cmocka_unit_test(states_of_version_1_are_read),
        cmocka_unit_test(hostile_states_are_refused_and_change_nothing),
        cmocka_unit_test(states_of_another_shape_are_refused),
        cmocka_unit_test(deciding_goes_on_while_others_learn),
    };
    return cmocka_run_group_tests_name("policy", tests, NULL, NULL);
}
