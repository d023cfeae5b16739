/* The policy: for one request, how deep to ask each strategy, and with what exact probability.
 *
 * A contextual bandit over depth vectors. It sees numbers only: S strategies, L depth levels, one feature vector x_s
 * per strategy. A decision draws, independently for each strategy s, a level from an explicit distribution pi_s(. |
 * x_s) with full support over the allowed levels, so the decision's propensity is the exact product. Names of policies
 * are data, so that new ones can be added without changing the log: every decision logs the whole distribution it drew
 * from.
 *
 * A learning policy learns in one of two ways. By played-arm credit: policy_observe when the decision was carried out,
 * policy_reward when something was engaged with. By hindsight (config.hindsight): policy_observe_all and
 * policy_hindsight, which also take the rank that every strategy, asked or not, would have given to what was engaged
 * with; each event then teaches all levels of all strategies. */
#ifndef POLICY_POLICY_H
#define POLICY_POLICY_H

#include "base/memory.h"
#include "base/random.h"
#include "base/status.h"

#define POLICY_MAX_STRATEGIES 32
#define POLICY_MAX_LEVELS 8
#define POLICY_MAX_FEATURES 64
#define POLICY_MAX_SAMPLES 256
#define POLICY_FEATURE_LIMIT 10.0 /* features are clipped to +-this; NaN and infinities count as 0 */
#define POLICY_REWARD_LIMIT 100.0 /* so are rewards */

typedef struct policy policy;

/* Rules, by name. Certain, and needing nothing learned:
 *     "fixed"          on the deepest allowed level up to fixed_level, else the shallowest allowed
 *     "all"            on the deepest allowed level
 *     "rrf-equal"      on the allowed level nearest to an equal share of the budget, the same for all that may be asked
 * Learning; each mixes a floor of `exploration` per allowed level into
 *     "epsilon-greedy" the level of highest value (expected reward less its price)
 *     "linucb"         the level of highest value + standard deviation (Li et al. 2010)
 *     "lin-ts"         how often a level is best in `samples` draws from the posterior (Agrawal & Goyal 2013)
 *     "squarecb"       inverse-gap weighting (Foster & Rakhlin 2020)
 *     "regcb"          all levels that are not worse than another beyond doubt, alike (Foster et al. 2018)
 * What is learned does not depend on the rule that decides, so that a policy that learns can be asked by every rule. */
bool policy_rule_known(const char *name);  /* NULL is not */
bool policy_rule_learns(const char *name); /* is known and not certain */

typedef struct policy_config {
    const char *name;          /* its own rule; one that learns makes the policy a learning one */
    uint32_t n_strategies;
    uint32_t n_levels;
    uint32_t n_features;       /* length of x_s; x_s[0] is 1 (the bias) */
    uint32_t depths[POLICY_MAX_LEVELS]; /* increasing; depths[0] == 0: not asked */
    uint32_t fixed_level[POLICY_MAX_STRATEGIES]; /* "fixed": the level of each */
    double prior_reward[POLICY_MAX_STRATEGIES];  /* expected reward of asking s at its deepest level before any event */
    bool hindsight;            /* learns by hindsight, else by played-arm credit */
    double exploration;        /* floor: the least probability of each allowed level, [0, .9 / levels] */
    double gamma;              /* "squarecb": greed at event zero; grows with the square root of updates */
    double noise;              /* "linucb", "lin-ts", "regcb": standard deviation of a reward around its expectation; by hindsight
                                * of a strategy that earns every fourth time, of others in proportion to the root of that */
    uint32_t samples;          /* "lin-ts": draws per decision, 1 to POLICY_MAX_SAMPLES */
    double cost;               /* least price of one unit of cost (a candidate), in reward units */
    double budget;             /* above 0: mean cost per decision that the price is steered to, from `cost` upwards; in
                                * the unit of `cost`. For "rrf-equal" a number of candidates */
    bool budget_of_time;       /* it is none of candidates: "rrf-equal" shares out what "fixed" asks for instead */
    double discount;           /* forgetting per update, (0, 1]; 1 never forgets */
} policy_config;

/* Depths 0, 8, 32, 128, one feature, "fixed" at 32, prior reward .1, played-arm credit, exploration .005 (.02 /
 * levels), gamma 400, noise .1, 32 samples, cost 5e-5, no budget, discount .9999 (half forgotten after 6,931
 * decisions). `name` is not copied. By hindsight an exploration of .001 is enough. */
void policy_config_default(policy_config *c, const char *name, uint32_t n_strategies);

/* FORAGE_E_INVALID names the bad member. The name is copied. */
forage_status policy_create(const policy_config *config, policy **out, base_error *error);
void policy_destroy(policy *p);

/* The same settings and the same state, to the last bit; from then on they share nothing. */
policy *policy_clone(const policy *p);

typedef struct policy_decision {
    uint32_t n_strategies, n_levels;
    uint32_t level[POLICY_MAX_STRATEGIES];  /* drawn */
    float probability[POLICY_MAX_STRATEGIES][POLICY_MAX_LEVELS]; /* pi_s(level); each row sums to 1 */
    double propensity;                      /* product over s of probability[s][level[s]] */
    double expected_cost;                   /* sum over s, l of probability[s][l] × cost[s][l]; see policy_observe */
    double price;                           /* of one unit of cost, that it was taken at */
    uint64_t version;                       /* 1 + the decisions that the policy had observed; 0: by a certain rule */
} policy_decision;

/* By `rule`; NULL: by the policy's own. A policy that learns decides by every rule; one that does not, by certain ones
 * only (an assert, as that the rule is known; without asserts, by the policy's own).
 * x: n_strategies × n_features, row-major. allowed: bit l set when level l may be used by s (at least one bit each; a
 * strategy that cannot run has only bit 0). cost: n_strategies × n_levels, row-major, of what the price is for (say,
 * the candidates that a strategy is expected to have); negative or not finite counts as 0; NULL: the depths.
 * Deterministic given the generator's state. Thread rule: decide takes a shared lock inside, learn an exclusive one.
 * Each probability is a multiple of 2^-24, so that a row of floats sums to exactly 1 and is exactly what the level was
 * drawn from. */
void policy_decide_by(const policy *p, const char *rule, const float *x, const uint32_t *allowed, const float *cost,
                      random_source *random, policy_decision *out);

/* By its own rule, at the cost of the depths. */
void policy_decide(const policy *p, const float *x, const uint32_t *allowed, random_source *random,
                   policy_decision *out);

/* The decision was carried out; its reward is not known yet: counts each strategy's drawn level with reward 0. This and
 * policy_observe_all also steer the price, so that d->expected_cost is the budget on average. The caller may put there
 * what was really spent: a mean is steered just as well. For a quantile put budget / q where a request was over the
 * limit, else 0: a share of q of them then will be (q at least .01). Nothing is steered where it is unknown (negative
 * or not finite) or d->version is 0: the spending of a certain rule says nothing about this policy's. */
void policy_observe(policy *p, const float *x, const policy_decision *d);

/* Later, an event: adds reward[s] (the marginal value of strategy s to what was engaged with, at the level drawn) to
 * what policy_observe counted. Linear in the reward, so late and repeated rewards simply add up, and a late one ends in
 * the same state as a prompt one: an observation and its rewards are forgotten at the same pace, from d->version on.
 * Both calls also take decisions of another policy; with version 0 their age is unknown and they count as new. */
void policy_reward(policy *p, const float *x, const policy_decision *d, const float *reward);

/* By hindsight, the same pair. policy_observe_all counts every level of each strategy that `allowed` lets run.
 * rank[s]: at which rank, from 1, strategy s would have returned the document that was engaged with; 0: not within its
 * deepest level. Level l of s is credited with its marginal value to the union under the logged distribution:
 *     reward × [rank_s <= depth_l] × product over t other than s of P(d_t < rank_t).
 * Where a document can be engaged with only because it was a candidate, divide the reward by policy_inclusion: the
 * events that were seen then stand for those that could not be. Let the divided reward be at most about 4 times the
 * reward: the bias costs less than the variance. */
void policy_observe_all(policy *p, const float *x, const uint32_t *allowed, const policy_decision *d);
void policy_hindsight(policy *p, const float *x, const policy_decision *d, const uint32_t *rank, float reward);

/* Exact probability that a document at these ranks is among a decision's candidates: 1 - product over s of
 * P(d_s < rank_s). depths: of d's levels. */
double policy_inclusion(const policy_decision *d, const uint32_t *depths, const uint32_t *rank);

/* Expected reward, without the cost, of a strategy at a level (never less than at a shallower one); x: its n_features.
 * Policies that do not learn tell the prior. */
double policy_predict(const policy *p, uint32_t strategy, uint32_t level, const float *x);
uint64_t policy_updates(const policy *p); /* decisions observed */
double policy_price(const policy *p);     /* of one unit of cost, now */
/* Another budget (0: none); without one, or with another `cost`, the price starts anew from that. Negative or not finite counts
 * as 0. */
void policy_set_budget(policy *p, double budget, double cost, bool of_time);

/* State as bytes, versioned and checked on load. Saving also recomputes what is derived from the state, so that the
 * policy that saved and one that loads decide alike to the last bit, now and after the same lessons. A failed load
 * changes nothing: FORAGE_E_VERSION, FORAGE_E_CORRUPT, FORAGE_E_INVALID (strategies,
 * levels, depths, features or credit differ; a state that learned for a policy that does not, or the other way). What
 * was learned and the price are the state; everything else stays that of the policy that loads, so that one learning
 * policy can go on from another's state. */
void policy_save(policy *p, buffer *out);
forage_status policy_load(policy *p, slice state, base_error *error);

#endif
