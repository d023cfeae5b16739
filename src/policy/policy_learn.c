/* Learning: what was observed and earned enters the regressions, what was spent the price. */
#include "policy/policy_internal.h"

#include <assert.h>
#include <math.h>

#define STEP_FIRST 0.2   /* of the price's logarithm, per decision that costs twice the budget: first, falling with */
#define STEP_LEAST 0.02  /* the square root of the decisions observed, and at last */
#define STEP_MOST 0.2    /* of it per decision: what exceeds it is owed to the next ones */
#define EXCESS_MOST 2.0  /* of it in all, for one decision: STEP_LEAST for one that costs 100 budgets */

static bool by_hindsight(const policy *p) { return policy_learns(p) && p->config.hindsight; }
static bool by_played_arms(const policy *p) { return policy_learns(p) && !p->config.hindsight; }

/* What an observation made under that version weighs in a regression, which is as old as its last observation. A
 * version from the future (of a policy whose state was lost) counts as new, and so does 0. */
static double weight_at(const policy *p, const regression *r, uint64_t version) {
    if (p->config.discount == 1 || version == 0 || version > r->time) return 1;
    return pow(p->config.discount, (double)(r->time - (version - 1)));
}

static void observe(const policy *p, regression *r, const double *x, uint64_t version) {
    regression_prior prior = policy_prior(p);
    regression_advance(r, &prior, p->updates, p->config.discount);
    regression_add(r, &prior, x, weight_at(p, r, version));
}

/* What the levels' common regression sees of an observation at level l. */
static void scale_features(const policy *p, uint32_t l, const double *x, double *out) {
    for (uint32_t i = 0; i < p->config.n_features; i++) out[i] = p->shape[l] * x[i];
}

/* Dual ascent on the price's logarithm. The logarithm is the step × the sum of all excesses, so that the mean cost can
 * exceed the budget only by the range of the price / (step × decisions). One that costs many budgets, as for a
 * quantile, raises the price over several decisions; to limit what it adds would shift the mean. A budget is a limit, not
 * a goal: what is not worth `cost` is not bought because there is money left. At an end of its range the price waits and
 * owes nothing. */
static void steer(policy *p, const policy_decision *d) {
    const policy_config *c = &p->config;
    if (!policy_learns(p) || c->budget == 0 || d->version == 0) return;
    if (!(d->expected_cost >= 0) || !isfinite(d->expected_cost)) return;
    double least = c->cost, most = c->cost * POLICY_PRICE_RANGE;
    double step = fmax(STEP_LEAST, STEP_FIRST / sqrt(1 + (double)p->updates));
    p->owed += fmin(step * (d->expected_cost / c->budget - 1), EXCESS_MOST);
    double rise = fmin(p->owed, STEP_MOST);
    p->owed -= rise;
    p->price *= exp(rise);
    if (p->price < least || p->price > most) p->owed = 0;
    p->price = fmax(least, fmin(p->price, most));
}

void policy_observe(policy *p, const float *x, const policy_decision *d) {
    const policy_config *c = &p->config;
    double features[POLICY_MAX_FEATURES], scaled[POLICY_MAX_FEATURES];
    assert(!policy_learns(p) || !c->hindsight);
    pthread_rwlock_wrlock(p->lock);
    for (uint32_t s = 0; by_played_arms(p) && s < c->n_strategies && s < d->n_strategies; s++) {
        uint32_t l = d->level[s];
        if (l >= c->n_levels) continue;
        policy_clean_features(p, x + (size_t)s * c->n_features, features);
        scale_features(p, l, features, scaled);
        observe(p, &p->models[s].level[l], features, d->version);
        observe(p, &p->models[s].whole, scaled, d->version);
        policy_share(p, &p->models[s]);
    }
    steer(p, d);
    p->updates++;
    pthread_rwlock_unlock(p->lock);
}

static void reward_at(const policy *p, regression *r, const double *x, uint64_t version, double reward) {
    regression_prior prior = policy_prior(p);
    reward *= weight_at(p, r, version);
    regression_reward(r, &prior, x, &reward);
}

void policy_reward(policy *p, const float *x, const policy_decision *d, const float *reward) {
    const policy_config *c = &p->config;
    double features[POLICY_MAX_FEATURES], scaled[POLICY_MAX_FEATURES];
    assert(!policy_learns(p) || !c->hindsight);
    pthread_rwlock_wrlock(p->lock);
    for (uint32_t s = 0; by_played_arms(p) && s < c->n_strategies && s < d->n_strategies; s++) {
        uint32_t l = d->level[s];
        double amount = policy_clean(reward[s], POLICY_REWARD_LIMIT);
        if (l >= c->n_levels || amount == 0) continue;
        policy_clean_features(p, x + (size_t)s * c->n_features, features);
        scale_features(p, l, features, scaled);
        reward_at(p, &p->models[s].level[l], features, d->version, amount);
        reward_at(p, &p->models[s].whole, scaled, d->version, amount);
        policy_share(p, &p->models[s]);
    }
    pthread_rwlock_unlock(p->lock);
}

void policy_observe_all(policy *p, const float *x, const uint32_t *allowed, const policy_decision *d) {
    const policy_config *c = &p->config;
    double features[POLICY_MAX_FEATURES];
    uint32_t asking = ((1u << c->n_levels) - 1) & ~1u;
    assert(!policy_learns(p) || c->hindsight);
    pthread_rwlock_wrlock(p->lock);
    for (uint32_t s = 0; by_hindsight(p) && s < c->n_strategies; s++) {
        if (!(allowed[s] & asking)) continue;
        policy_clean_features(p, x + (size_t)s * c->n_features, features);
        observe(p, &p->models[s].whole, features, d->version);
    }
    steer(p, d);
    p->updates++;
    pthread_rwlock_unlock(p->lock);
}

/* P(d_s < rank): the document at this rank of strategy s is not among what the decision draws from it. */
static double missed(const policy_decision *d, const uint32_t *depths, uint32_t s, uint32_t rank) {
    double found = 0;
    for (uint32_t l = 0; rank && l < d->n_levels && l < POLICY_MAX_LEVELS; l++)
        if (depths[l] >= rank) found += policy_clean(d->probability[s][l], 1);
    return fmax(0, fmin(1, 1 - found));
}

static uint32_t strategies_of(const policy_decision *d) {
    return d->n_strategies < POLICY_MAX_STRATEGIES ? d->n_strategies : POLICY_MAX_STRATEGIES;
}

double policy_inclusion(const policy_decision *d, const uint32_t *depths, const uint32_t *rank) {
    double none = 1;
    for (uint32_t s = 0; s < strategies_of(d); s++) none *= missed(d, depths, s, rank[s]);
    return 1 - none;
}

/* others[s]: the probability that no strategy but s brings the document. By products from both ends, since a factor may
 * be 0. */
static void missed_by_others(const policy_decision *d, const uint32_t *depths, const uint32_t *rank, double *others) {
    double miss[POLICY_MAX_STRATEGIES], product = 1;
    uint32_t n = strategies_of(d);
    for (uint32_t s = 0; s < n; s++) {
        miss[s] = missed(d, depths, s, rank[s]);
        others[s] = product;
        product *= miss[s];
    }
    product = 1;
    for (uint32_t s = n; s-- > 0;) {
        others[s] *= product;
        product *= miss[s];
    }
}

void policy_hindsight(policy *p, const float *x, const policy_decision *d, const uint32_t *rank, float reward) {
    const policy_config *c = &p->config;
    double features[POLICY_MAX_FEATURES], others[POLICY_MAX_STRATEGIES], label[POLICY_MAX_LEVELS];
    double amount = policy_clean(reward, POLICY_REWARD_LIMIT);
    regression_prior prior = policy_prior(p);
    assert(!policy_learns(p) || c->hindsight);
    if (!by_hindsight(p) || amount == 0 || d->n_levels != c->n_levels) return;
    missed_by_others(d, c->depths, rank, others);
    pthread_rwlock_wrlock(p->lock);
    for (uint32_t s = 0; s < c->n_strategies && s < d->n_strategies; s++) {
        if (!rank[s] || rank[s] > c->depths[c->n_levels - 1] || others[s] == 0) continue;
        double value = amount * others[s] * weight_at(p, &p->models[s].whole, d->version);
        for (uint32_t l = 0; l < c->n_levels; l++) label[l] = rank[s] <= c->depths[l] ? value : 0;
        policy_clean_features(p, x + (size_t)s * c->n_features, features);
        regression_reward(&p->models[s].whole, &prior, features, label);
    }
    pthread_rwlock_unlock(p->lock);
}
