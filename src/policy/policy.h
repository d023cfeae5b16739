/* The policy: for one request, how deep to ask each strategy, and with what exact probability.
 *
 * A contextual bandit over depth vectors. It sees numbers only: S strategies, L depth levels, one feature vector x_s
 * per strategy. A decision draws, independently for each strategy s, a level from an explicit distribution pi_s(. |
 * x_s) with full support over the allowed levels, so the decision's propensity is the exact product. Names of policies
 * are data, so that new ones can be added without changing the log: every decision logs the whole distribution it drew
 * from. */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

#define POLICY_MAX_STRATEGIES 32
#define POLICY_MAX_LEVELS 8
#define POLICY_MAX_FEATURES 64
#define POLICY_FEATURE_LIMIT 10.0 /* features are clipped to +-this; NaN and infinities count as 0 */
#define POLICY_REWARD_LIMIT 100.0 /* so are rewards */

typedef struct policy policy;

typedef struct policy_config {
    const char *name;          /* "fixed", "all", "squarecb" (inverse-gap weighting; Foster & Rakhlin 2020) */
    uint32_t n_strategies;
    uint32_t n_levels;
    uint32_t n_features;       /* length of x_s; x_s[0] is 1 (the bias) */
    uint32_t depths[POLICY_MAX_LEVELS]; /* increasing; depths[0] == 0: not asked */
    uint32_t fixed_level[POLICY_MAX_STRATEGIES]; /* "fixed": the level of each; "all": the highest allowed level */
    double prior_reward[POLICY_MAX_STRATEGIES];  /* expected reward of asking s at its deepest level before any event */
    double exploration;        /* floor: the least probability of each allowed level, [0, .9 / levels] */
    double gamma;              /* inverse-gap weighting's greed at event zero; grows with the square root of updates */
    double cost;               /* price of one candidate, in reward units */
    double discount;           /* forgetting per update, (0, 1]; 1 never forgets */
} policy_config;

/* Depths 0, 8, 32, 128, one feature, "fixed" at 32, prior reward .1, exploration .005 (.02 / levels), gamma 200, cost
 * 5e-5, discount .9999 (half forgotten after 6,931 decisions). `name` is not copied. */
void policy_config_default(policy_config *c, const char *name, uint32_t n_strategies);

/* FORAGE_E_INVALID names the bad member. The name is copied. */
forage_status policy_create(const policy_config *config, policy **out, base_error *error);
void policy_destroy(policy *p);

typedef struct policy_decision {
    uint32_t n_strategies, n_levels;
    uint32_t level[POLICY_MAX_STRATEGIES];  /* drawn */
    float probability[POLICY_MAX_STRATEGIES][POLICY_MAX_LEVELS]; /* pi_s(level); each row sums to 1 */
    double propensity;                      /* product over s of probability[s][level[s]] */
    uint64_t version;                       /* 1 + the decisions that the policy had observed; "fixed" and "all": 0 */
} policy_decision;

/* x: n_strategies × n_features, row-major. allowed: bit l set when level l may be used by s (at least one bit each; a
 * strategy that cannot run has only bit 0). Deterministic given the generator's state. Thread rule: decide takes a
 * shared lock inside, learn an exclusive one. Each probability is a multiple of 2^-24, so that a row of floats sums to
 * exactly 1 and is exactly what the level was drawn from.
 * "fixed" and "all" put probability 1 on one level: "fixed" on the deepest allowed one up to fixed_level (else the
 * shallowest allowed), "all" on the deepest allowed. */
void policy_decide(const policy *p, const float *x, const uint32_t *allowed, random_source *random,
                   policy_decision *out);

/* The decision was carried out; its reward is not known yet: counts each strategy's drawn level with reward 0. */
void policy_observe(policy *p, const float *x, const policy_decision *d);

/* Later, an event: adds reward[s] (the marginal value of strategy s to what was engaged with, at the level drawn) to
 * what policy_observe counted. Linear in the reward, so late and repeated rewards simply add up, and a late one ends in
 * the same state as a prompt one: an observation and its rewards are forgotten at the same pace, from d->version on.
 * Both calls also take decisions of another policy; with version 0 their age is unknown and they count as new. */
void policy_reward(policy *p, const float *x, const policy_decision *d, const float *reward);

/* Expected reward, without the cost, of a strategy at a level; x: its n_features. "fixed" and "all" tell the prior. */
double policy_predict(const policy *p, uint32_t strategy, uint32_t level, const float *x);
uint64_t policy_updates(const policy *p); /* decisions observed */

/* State as bytes, versioned and checked on load: FORAGE_E_VERSION, FORAGE_E_CORRUPT, FORAGE_E_INVALID (other name,
 * strategies, levels, depths or features). What was learned is the state; prior, exploration, gamma, cost and discount
 * stay those of the policy that loads. A failed load changes nothing. */
void policy_save(const policy *p, buffer *out);
forage_status policy_load(policy *p, slice state, base_error *error);

#endif
