#include "policy/policy_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PRIOR_COUNT 30.0   /* observations that the prior is worth, at each of its two stages */
#define SHAPE_STEEPNESS 15 /* of g: a quarter of the deepest level is worth 56 % of it, a sixteenth 24 % */
#define PROBABILITY_BITS 24
#define PROBABILITY_UNITS (1u << PROBABILITY_BITS)

const char *const policy_kind_names[POLICY_KINDS] = {"fixed", "all", "squarecb"};

void policy_config_default(policy_config *c, const char *name, uint32_t n_strategies) {
    static const uint32_t depths[] = {0, 8, 32, 128};
    *c = (policy_config){.name = name,
                         .n_strategies = n_strategies,
                         .n_levels = 4,
                         .n_features = 1,
                         .exploration = .005,
                         .gamma = 200,
                         .cost = 5e-5,
                         .discount = .9999};
    memcpy(c->depths, depths, sizeof depths);
    for (uint32_t s = 0; s < POLICY_MAX_STRATEGIES; s++) {
        c->fixed_level[s] = 2;
        c->prior_reward[s] = .1;
    }
}

static forage_status check_count(const char *member, uint32_t value, uint32_t low, uint32_t high, base_error *error) {
    if (value >= low && value <= high) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "policy %s: expected %u to %u, got %u", member, low, high, value);
}

static forage_status check_number(const char *member, double value, double low, double high, base_error *error) {
    if (value >= low && value <= high) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "policy %s: expected %g to %g, got %g", member, low, high, value);
}

static forage_status check_kind(const char *name, policy_kind *out, base_error *error) {
    for (int kind = 0; kind < POLICY_KINDS; kind++) {
        if (!name || strcmp(name, policy_kind_names[kind]) != 0) continue;
        *out = (policy_kind)kind;
        return FORAGE_OK;
    }
    return error_set(error, FORAGE_E_INVALID,
                     "policy name: expected \"fixed\", \"all\" or \"squarecb\", got \"%.100s\"", name ? name : "");
}

static forage_status check_arrays(const policy_config *c, base_error *error) {
    if (c->depths[0] != 0)
        return error_set(error, FORAGE_E_INVALID, "policy depths[0]: expected 0, got %u", c->depths[0]);
    for (uint32_t l = 1; l < c->n_levels; l++)
        if (c->depths[l] <= c->depths[l - 1])
            return error_set(error, FORAGE_E_INVALID, "policy depths[%u]: expected more than %u, got %u", l,
                             c->depths[l - 1], c->depths[l]);
    for (uint32_t s = 0; s < c->n_strategies; s++) {
        if (c->fixed_level[s] >= c->n_levels)
            return error_set(error, FORAGE_E_INVALID, "policy fixed_level[%u]: expected 0 to %u, got %u", s,
                             c->n_levels - 1, c->fixed_level[s]);
        if (!(fabs(c->prior_reward[s]) <= POLICY_REWARD_LIMIT))
            return error_set(error, FORAGE_E_INVALID, "policy prior_reward[%u]: expected %g to %g, got %g", s,
                             -POLICY_REWARD_LIMIT, POLICY_REWARD_LIMIT, c->prior_reward[s]);
    }
    return FORAGE_OK;
}

static forage_status check_config(const policy_config *c, policy_kind *kind, base_error *error) {
    forage_status status = check_kind(c->name, kind, error);
    if (!status) status = check_count("n_strategies", c->n_strategies, 1, POLICY_MAX_STRATEGIES, error);
    if (!status) status = check_count("n_levels", c->n_levels, 2, POLICY_MAX_LEVELS, error);
    if (!status) status = check_count("n_features", c->n_features, 1, POLICY_MAX_FEATURES, error);
    if (!status) status = check_arrays(c, error);
    if (!status) status = check_number("exploration", c->exploration, 0, .9 / c->n_levels, error);
    if (!status) status = check_number("gamma", c->gamma, 0, 1e9, error);
    if (!status) status = check_number("cost", c->cost, 0, 1e6, error);
    if (!status) status = check_number("discount", c->discount, 1e-9, 1, error);
    return status;
}

regression_prior policy_prior(const policy *p) {
    return (regression_prior){.F = p->config.n_features, .precision = p->precision};
}

size_t policy_model_doubles(const policy *p) {
    return (1 + p->config.n_levels) * regression_doubles(p->config.n_features);
}

void policy_models_init(const policy *p, policy_model *models, double *memory) {
    regression_prior prior = policy_prior(p);
    size_t size = regression_doubles(prior.F);
    for (uint32_t s = 0; s < p->config.n_strategies; s++) {
        double *at = memory + s * policy_model_doubles(p);
        regression_init(&models[s].shared, &prior, at);
        for (uint32_t l = 0; l < p->config.n_levels; l++)
            regression_init(&models[s].level[l], &prior, at + (1 + l) * size);
    }
}

/* The bias is held by PRIOR_COUNT observations. The other features share it out among them, for about a quarter of them
 * being on at a time: one observation then moves a prediction by about 2 / PRIOR_COUNT of its error at each stage. */
static void set_prior(policy *p) {
    const policy_config *c = &p->config;
    p->precision[0] = PRIOR_COUNT;
    for (uint32_t i = 1; i < c->n_features; i++) p->precision[i] = PRIOR_COUNT * fmax(1, (c->n_features - 1) / 4.0);
    for (uint32_t l = 0; l < c->n_levels; l++)
        p->shape[l] = log1p(SHAPE_STEEPNESS * (double)c->depths[l] / c->depths[c->n_levels - 1]) /
                      log1p(SHAPE_STEEPNESS);
}

void policy_refresh_theta(policy *p, uint32_t s) {
    regression_prior prior = policy_prior(p);
    double first[POLICY_MAX_FEATURES] = {p->config.prior_reward[s]}, mu[POLICY_MAX_FEATURES];
    regression_mean(&p->models[s].shared, &prior, first, 1, mu);
    for (uint32_t l = 0; l < p->config.n_levels; l++)
        regression_mean(&p->models[s].level[l], &prior, mu, p->shape[l],
                        p->theta + ((size_t)s * p->config.n_levels + l) * prior.F);
}

forage_status policy_create(const policy_config *config, policy **out, base_error *error) {
    policy_kind kind = POLICY_FIXED;
    forage_status status = check_config(config, &kind, error);
    if (status) return status;
    policy *p = mem_zalloc(1, sizeof *p);
    p->config = *config;
    p->kind = kind;
    p->config.name = policy_kind_names[kind];
    set_prior(p);
    p->lock = mem_alloc(sizeof *p->lock);
    int failed = pthread_rwlock_init(p->lock, NULL);
    assert(!failed);
    (void)failed;
    if (kind == POLICY_SQUARECB) {
        uint32_t S = config->n_strategies;
        p->models = mem_zalloc(S, sizeof *p->models);
        p->memory = mem_zalloc(S * policy_model_doubles(p), sizeof *p->memory);
        p->theta = mem_zalloc((size_t)S * config->n_levels * config->n_features, sizeof *p->theta);
        policy_models_init(p, p->models, p->memory);
        for (uint32_t s = 0; s < S; s++) policy_refresh_theta(p, s);
    }
    *out = p;
    return FORAGE_OK;
}

void policy_destroy(policy *p) {
    if (!p) return;
    pthread_rwlock_destroy(p->lock);
    free(p->lock);
    free(p->models);
    free(p->memory);
    free(p->theta);
    free(p);
}

static double clean(float value, double limit) {
    if (!isfinite(value)) return 0;
    return fmax(-limit, fmin(limit, value));
}

static void clean_features(const policy *p, const float *x, double *out) {
    for (uint32_t i = 0; i < p->config.n_features; i++) out[i] = clean(x[i], POLICY_FEATURE_LIMIT);
}

static double predict(const policy *p, uint32_t s, uint32_t l, const double *x) {
    uint32_t F = p->config.n_features;
    const double *theta = p->theta + ((size_t)s * p->config.n_levels + l) * F;
    double sum = 0;
    for (uint32_t i = 0; i < F; i++) sum += theta[i] * x[i];
    return sum;
}

/* "fixed" and "all" */
static uint32_t deepest_up_to(uint32_t allowed, uint32_t level) {
    uint32_t below = allowed & ((2u << level) - 1);
    return below ? 31 - (uint32_t)__builtin_clz(below) : (uint32_t)__builtin_ctz(allowed);
}

/* Inverse-gap weighting (Foster & Rakhlin 2020, algorithm 1; Abe & Long 1999) over the allowed levels, mixed with the
 * floor, in units of 2^-24 that sum to 2^24. Rounding is upwards for all but the best level, which gets what remains.
 * */
static void weigh(const policy *p, const double *value, uint32_t allowed, double gamma, uint32_t *units) {
    uint32_t L = p->config.n_levels, best = (uint32_t)__builtin_ctz(allowed), rest = PROBABILITY_UNITS;
    double K = __builtin_popcount(allowed), floor_share = p->config.exploration;
    for (uint32_t l = best + 1; l < L; l++)
        if (allowed >> l & 1 && value[l] > value[best]) best = l;
    for (uint32_t l = 0; l < L; l++) {
        units[l] = 0;
        if (l == best || !(allowed >> l & 1)) continue;
        double share = 1 / (K + gamma * (value[best] - value[l]));
        units[l] = (uint32_t)ceil(((1 - K * floor_share) * share + floor_share) * PROBABILITY_UNITS);
        rest -= units[l];
    }
    units[best] = rest;
}

static uint32_t draw(const uint32_t *units, random_source *random) {
    uint32_t u = (uint32_t)(random_u64(random) >> (64 - PROBABILITY_BITS)), l = 0;
    while (u >= units[l]) u -= units[l++];
    return l;
}

static void decide_strategy(const policy *p, uint32_t s, const float *x, uint32_t allowed, double gamma,
                            random_source *random, policy_decision *out) {
    const policy_config *c = &p->config;
    double features[POLICY_MAX_FEATURES], value[POLICY_MAX_LEVELS];
    uint32_t units[POLICY_MAX_LEVELS];
    clean_features(p, x, features);
    for (uint32_t l = 0; l < c->n_levels; l++) value[l] = predict(p, s, l, features) - c->cost * c->depths[l];
    weigh(p, value, allowed, gamma, units);
    for (uint32_t l = 0; l < c->n_levels; l++) out->probability[s][l] = (float)units[l] / PROBABILITY_UNITS;
    out->level[s] = draw(units, random);
}

void policy_decide(const policy *p, const float *x, const uint32_t *allowed, random_source *random,
                   policy_decision *out) {
    const policy_config *c = &p->config;
    memset(out, 0, sizeof *out);
    out->n_strategies = c->n_strategies;
    out->n_levels = c->n_levels;
    out->propensity = 1;
    pthread_rwlock_rdlock(p->lock);
    out->version = p->kind == POLICY_SQUARECB ? p->updates + 1 : 0;
    double gamma = c->gamma * sqrt(1 + (double)p->updates);
    for (uint32_t s = 0; s < c->n_strategies; s++) {
        uint32_t usable = allowed[s] & ((1u << c->n_levels) - 1);
        if (!usable) usable = 1;
        if (p->kind == POLICY_SQUARECB) {
            decide_strategy(p, s, x + (size_t)s * c->n_features, usable, gamma, random, out);
        } else {
            out->level[s] = deepest_up_to(usable, p->kind == POLICY_ALL ? c->n_levels - 1 : c->fixed_level[s]);
            out->probability[s][out->level[s]] = 1;
        }
        out->propensity *= out->probability[s][out->level[s]];
    }
    pthread_rwlock_unlock(p->lock);
}

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

static void reward_with(const policy *p, regression *r, const double *x, uint64_t version, double reward) {
    regression_prior prior = policy_prior(p);
    regression_reward(r, &prior, x, weight_at(p, r, version) * reward);
}

/* What the shared regression sees of an observation at level l. */
static void scale_features(const policy *p, uint32_t l, const double *x, double *out) {
    for (uint32_t i = 0; i < p->config.n_features; i++) out[i] = p->shape[l] * x[i];
}

void policy_observe(policy *p, const float *x, const policy_decision *d) {
    const policy_config *c = &p->config;
    double features[POLICY_MAX_FEATURES], scaled[POLICY_MAX_FEATURES];
    pthread_rwlock_wrlock(p->lock);
    for (uint32_t s = 0; p->models && s < c->n_strategies && s < d->n_strategies; s++) {
        uint32_t l = d->level[s];
        if (l >= c->n_levels) continue;
        clean_features(p, x + (size_t)s * c->n_features, features);
        scale_features(p, l, features, scaled);
        observe(p, &p->models[s].level[l], features, d->version);
        observe(p, &p->models[s].shared, scaled, d->version);
        policy_refresh_theta(p, s);
    }
    p->updates++;
    pthread_rwlock_unlock(p->lock);
}

void policy_reward(policy *p, const float *x, const policy_decision *d, const float *reward) {
    const policy_config *c = &p->config;
    double features[POLICY_MAX_FEATURES], scaled[POLICY_MAX_FEATURES];
    pthread_rwlock_wrlock(p->lock);
    for (uint32_t s = 0; p->models && s < c->n_strategies && s < d->n_strategies; s++) {
        uint32_t l = d->level[s];
        double amount = clean(reward[s], POLICY_REWARD_LIMIT);
        if (l >= c->n_levels || amount == 0) continue;
        clean_features(p, x + (size_t)s * c->n_features, features);
        scale_features(p, l, features, scaled);
        reward_with(p, &p->models[s].level[l], features, d->version, amount);
        reward_with(p, &p->models[s].shared, scaled, d->version, amount);
        policy_refresh_theta(p, s);
    }
    pthread_rwlock_unlock(p->lock);
}

double policy_predict(const policy *p, uint32_t strategy, uint32_t level, const float *x) {
    if (strategy >= p->config.n_strategies || level >= p->config.n_levels) return 0;
    if (p->kind != POLICY_SQUARECB) return p->config.prior_reward[strategy] * p->shape[level];
    double features[POLICY_MAX_FEATURES];
    clean_features(p, x, features);
    pthread_rwlock_rdlock(p->lock);
    double reward = predict(p, strategy, level, features);
    pthread_rwlock_unlock(p->lock);
    return reward;
}

uint64_t policy_updates(const policy *p) {
    pthread_rwlock_rdlock(p->lock);
    uint64_t updates = p->updates;
    pthread_rwlock_unlock(p->lock);
    return updates;
}
