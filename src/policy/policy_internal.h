/* What policy.c (deciding and learning) and policy_state.c (bytes) share. */
#ifndef POLICY_INTERNAL_H
#define POLICY_INTERNAL_H

#include "policy/policy.h"
#include "policy/regression.h"

#include <pthread.h>

_Static_assert(POLICY_MAX_FEATURES <= REGRESSION_MAX_FEATURES, "a policy's features fit a regression");

typedef enum policy_kind { POLICY_FIXED, POLICY_ALL, POLICY_SQUARECB, POLICY_KINDS } policy_kind;
extern const char *const policy_kind_names[POLICY_KINDS];

/* One strategy: what all its levels have in common, and each level's own departure from it. */
typedef struct policy_model {
    regression shared;
    regression level[POLICY_MAX_LEVELS];
} policy_model;

struct policy {
    policy_config config;
    policy_kind kind;
    double shape[POLICY_MAX_LEVELS];       /* g(depth / deepest): 0 at level 0, 1 at the deepest */
    double precision[POLICY_MAX_FEATURES]; /* of the prior; the same for every regression */
    pthread_rwlock_t *lock;                /* apart, so that const calls can take it; guards all below */
    uint64_t updates;
    policy_model *models; /* S; "squarecb" only: NULL for the others */
    double *memory;       /* the models' numbers */
    double *theta;        /* S × L × F: the mean weights that decide reads */
};

regression_prior policy_prior(const policy *p);

/* Where a fresh set of models for `p` lives: points every regression of `models` into `memory`, at the prior. */
size_t policy_model_doubles(const policy *p); /* of one strategy */
void policy_models_init(const policy *p, policy_model *models, double *memory);

/* theta of every level of strategy s from its models. */
void policy_refresh_theta(policy *p, uint32_t s);

#endif
