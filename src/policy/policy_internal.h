/* What the parts of the policy share: policy.c (deciding), policy_config.c, policy_rules.c (from values to
 * probabilities), policy_learn.c and policy_state.c (bytes). */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include "policy/policy.h"
#include "policy/regression.h"

#include <pthread.h>

#define PROBABILITY_BITS 24
#define PROBABILITY_UNITS (1u << PROBABILITY_BITS)
#define POLICY_PRICE_RANGE 1000.0 /* a steered price is at most so many times `cost`, and never below it */

_Static_assert(POLICY_MAX_FEATURES <= REGRESSION_MAX_FEATURES, "a policy's features fit a regression");

typedef enum policy_kind {
    POLICY_FIXED,
    POLICY_ALL,
    POLICY_RRF_EQUAL,
    POLICY_EPSILON_GREEDY,
    POLICY_LINUCB,
    POLICY_LIN_TS,
    POLICY_SQUARECB,
    POLICY_REGCB,
    POLICY_KINDS
} policy_kind;
extern const char *const policy_kind_names[POLICY_KINDS];

static inline bool policy_kind_learns(policy_kind kind) { return kind >= POLICY_EPSILON_GREEDY; }
bool policy_kind_of(const char *name, policy_kind *out); /* false: there is none of this name */

forage_status policy_config_check(const policy_config *c, policy_kind *kind, base_error *error);

/* One strategy. By hindsight: `whole`, with an output for each level, since every observation is one of all levels. By
 * played-arm credit: what the levels have in common, and each level's own departure from it. */
typedef struct policy_model {
    regression whole;
    regression level[POLICY_MAX_LEVELS];
} policy_model;

struct policy {
    policy_config config;
    policy_kind kind;
    double shape[POLICY_MAX_LEVELS];       /* g(depth / deepest): 0 at level 0, 1 at the deepest */
    double precision[POLICY_MAX_FEATURES]; /* of the prior; the same for every regression */
    pthread_rwlock_t *lock;                /* apart, so that const calls can take it; guards all below */
    uint64_t updates;
    double price;
    double owed;          /* by how much the price's logarithm has yet to rise */
    policy_model *models; /* S; NULL when it does not learn (policy_learns, which needs no lock) */
    double *memory;       /* the models' numbers */
};

static inline bool policy_learns(const policy *p) { return policy_kind_learns(p->kind); }

regression_prior policy_prior(const policy *p);

/* Where a fresh set of models for `p` lives: points every regression of `models` into `memory`, at the prior. */
size_t policy_model_doubles(const policy *p); /* of one strategy */
void policy_models_init(const policy *p, policy_model *models, double *memory);

/* Played-arm credit: what the levels of a strategy have in common is the mean of each level's prior. */
void policy_share(const policy *p, policy_model *model);

/* How many regressions a strategy has besides the whole. */
static inline uint32_t policy_levels_apart(const policy *p) { return p->config.hindsight ? 0 : p->config.n_levels; }

/* Features as the regressions take them: finite and within the limit. */
double policy_clean(float value, double limit);
void policy_clean_features(const policy *p, const float *x, double *out);

/* What is known of one strategy's levels when its level is drawn. */
typedef struct policy_outlook {
    double value[POLICY_MAX_LEVELS];  /* expected reward less its price */
    double spread[POLICY_MAX_LEVELS]; /* standard deviation of value under the posterior; 0 where the rule needs none */
    uint32_t allowed;                 /* bits, at least one */
} policy_outlook;

/* Standard normal numbers, one row of levels per sample: "lin-ts" only. */
typedef struct policy_samples {
    double normal[POLICY_MAX_SAMPLES][POLICY_MAX_LEVELS];
} policy_samples;
void policy_sample(const policy *p, random_source *random, policy_samples *out);

/* The distribution that a learning rule makes of it, in units of 2^-24 that sum to 2^24. The caller holds the lock.
 * samples: NULL but for "lin-ts". */
void policy_weigh(const policy *p, policy_kind rule, const policy_outlook *o, const policy_samples *samples,
                  uint32_t *units);

#endif
