/* Hostile learned state: policy_load and ranker_load. The first byte chooses the model; a state goes in as it is and,
 * since hardly any mutation has the right checksum, also with its last 8 bytes made the checksum. What loads must then
 * decide, learn and save without a number going wrong. */
#include "base/bytes.h"
#include "base/hash.h"
#include "policy/policy.h"
#include "rank/ranker.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { S = 2, F = 3 };

static void require(bool holds) {
    if (!holds) abort();
}

/* What is saved loads, unless learning led its numbers beyond their limit, and then decides alike. */
static void reload_policy(policy *p, const float *x, const uint32_t *allowed) {
    random_source random, same;
    policy_decision d, e;
    buffer out = {0};
    policy *copy = policy_clone(p);
    policy_save(p, &out);
    random_seed(&random, 2);
    same = random;
    if (policy_load(copy, (slice){out.data, out.size}, NULL) == FORAGE_OK) {
        policy_decide(p, x, allowed, &random, &d);
        policy_decide(copy, x, allowed, &same, &e);
        require(memcmp(d.probability, e.probability, sizeof d.probability) == 0 && d.price == e.price);
    }
    buffer_release(&out);
    policy_destroy(copy);
}

static void use_policy(policy *p, bool learns, bool hindsight) {
    static const char *const rules[] = {"fixed",  "all",      "rrf-equal", "epsilon-greedy",
                                        "linucb", "squarecb", "lin-ts",    "regcb"};
    random_source random;
    const float x[S * F] = {1, .5f, -3, 1, 10, -10}, reward[S] = {1, -100};
    const uint32_t allowed[S] = {7, 5}, rank[S] = {8, 200};
    policy_decision d;
    random_seed(&random, 1);
    for (int i = 0; i < (learns ? 8 : 3); i++) {
        policy_decide_by(p, rules[i], x, allowed, NULL, &random, &d);
        require(d.propensity > 0 && d.propensity <= 1);
        if (hindsight) {
            policy_observe_all(p, x, allowed, &d);
            policy_hindsight(p, x, &d, rank, 1);
        } else {
            policy_observe(p, x, &d);
            policy_reward(p, x, &d, reward);
        }
        require(isfinite(policy_price(p)) && isfinite(d.expected_cost));
        for (uint32_t s = 0; s < S; s++)
            for (uint32_t l = 0; l < 3; l++) require(isfinite(policy_predict(p, s, l, x + s * F)));
    }
    reload_policy(p, x, allowed);
}

static void use_ranker(ranker *r) {
    const float x[2 * F] = {1, 0, -1, 0, 2, 5};
    float scores[2], mean[F], variance[F];
    buffer out = {0};
    ranker_learn(r, x, 2, 1, 1, NULL);
    ranker_score(r, x, 2, F, scores);
    ranker_weights(r, mean, variance);
    require(isfinite(scores[0]) && isfinite(scores[1]));
    for (int i = 0; i < F; i++) require(fabsf(mean[i]) <= RANKER_WEIGHT_LIMIT && variance[i] >= 0);
    ranker_save(r, &out);
    require(ranker_load(r, (slice){out.data, out.size}, NULL) == FORAGE_OK);
    buffer_release(&out);
}

static void try_policy(const char *name, bool hindsight, slice state) {
    policy_config c;
    policy *p = NULL;
    policy_config_default(&c, name, S);
    c.n_levels = 3;
    c.n_features = F;
    c.discount = .9;
    c.budget = 20;
    c.hindsight = hindsight;
    require(policy_create(&c, &p, NULL) == FORAGE_OK);
    if (policy_load(p, state, NULL) == FORAGE_OK) use_policy(p, policy_rule_learns(name), hindsight);
    policy_destroy(p);
}

static void try_ranker(slice state) {
    const float mean[F] = {1, 0, 0}, variance[F] = {1, 1, 0};
    ranker *r = NULL;
    require(ranker_create(&(ranker_config){F, mean, variance}, &r, NULL) == FORAGE_OK);
    if (ranker_load(r, state, NULL) == FORAGE_OK) use_ranker(r);
    ranker_destroy(r);
}

static void try_state(uint8_t model, slice state) {
    if (model % 4 == 0) try_policy("squarecb", false, state);
    else if (model % 4 == 1) try_policy("all", false, state);
    else if (model % 4 == 2) try_ranker(state);
    else try_policy("lin-ts", true, state);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    buffer state = {0};
    buffer_append(&state, data + 1, size - 1);
    try_state(data[0], (slice){state.data, state.size});
    if (state.size >= 8) {
        store_le64(state.data + state.size - 8, hash64(state.data, state.size - 8, 0));
        try_state(data[0], (slice){state.data, state.size});
    }
    buffer_release(&state);
    return 0;
}
