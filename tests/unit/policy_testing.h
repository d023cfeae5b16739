/* What the policy's tests share: policies of a small shape, and something for them to learn. */
#ifndef POLICY_TESTING_H
#define POLICY_TESTING_H

#include "testing.h"

#include "policy/policy.h"

enum { ALL_LEVELS = 0xff, LEARNERS = 5 };
static const char *const learners[LEARNERS] = {"epsilon-greedy", "linucb", "lin-ts", "squarecb", "regcb"};
static const char *const certain[] = {"fixed", "all", "rrf-equal"};

static inline policy *make(const policy_config *c) {
    policy *p = NULL;
    base_error error = {0};
    if (policy_create(c, &p, &error)) fail_msg("%s", error.message);
    return p;
}

static inline void set_allowed(uint32_t *allowed, uint32_t mask) {
    for (uint32_t s = 0; s < POLICY_MAX_STRATEGIES; s++) allowed[s] = mask;
}

/* Three features, depths 0, 8, 32, 128. */
static inline void four_strategies(policy_config *c) {
    policy_config_default(c, "squarecb", 4);
    c->n_features = 3;
    c->gamma = 3;
}

static inline void random_features(random_source *random, uint32_t rows, uint32_t F, float *x) {
    for (uint32_t i = 0; i < rows * F; i++) x[i] = i % F ? (float)random_double(random) : 1;
}

/* The levels of the funnel. */
static inline void eight_levels(policy_config *c) {
    static const uint32_t depths[] = {0, 10, 25, 40, 50, 64, 80, 100};
    c->n_levels = 8;
    memcpy(c->depths, depths, sizeof depths);
}

/* Rounds of deciding and learning; deeper levels and later strategies earn more. */
static inline void train(policy *p, const policy_config *c, uint64_t seed, int rounds) {
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

/* Calls `check` with each algorithm that learns, by each kind of credit. */
static inline void with_each_learner(void (*check)(const policy_config *)) {
    policy_config c;
    for (int i = 0; i < 2 * LEARNERS; i++) {
        four_strategies(&c);
        c.name = learners[i / 2];
        c.hindsight = i % 2;
        check(&c);
    }
}

static inline void assert_same_state(policy *a, policy *b) {
    buffer first = {0}, second = {0};
    policy_save(a, &first);
    policy_save(b, &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);
    buffer_release(&first);
    buffer_release(&second);
}

#endif
