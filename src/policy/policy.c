#include "policy/policy_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define PLAYED_PRIOR 30.0  /* observations that the prior is worth, at each of its two stages */
#define HINDSIGHT_PRIOR 5.0  /* fewer: every observation tells of every level */
#define NOISE_LEAST 0.05     /* of a strategy by hindsight, in units of config.noise */
#define NOISE_MOST 1.5
#define SHAPE_STEEPNESS 15 /* of g: a quarter of the deepest level is worth 56 % of it, a sixteenth 24 % */

regression_prior policy_prior(const policy *p) {
    return (regression_prior){.F = p->config.n_features, .precision = p->precision};
}

size_t policy_model_doubles(const policy *p) {
    uint32_t F = p->config.n_features, L = p->config.n_levels;
    return p->config.hindsight ? regression_doubles(F, L) : (1 + L) * regression_doubles(F, 1);
}

void policy_share(const policy *p, policy_model *model) {
    regression_prior prior = policy_prior(p);
    for (uint32_t l = 0; l < p->config.n_levels; l++)
        regression_set_mean(&model->level[l], &prior, 0, model->whole.theta, p->shape[l]);
}

void policy_models_init(const policy *p, policy_model *models, double *memory) {
    const policy_config *c = &p->config;
    regression_prior prior = policy_prior(p);
    size_t single = regression_doubles(prior.F, 1);
    for (uint32_t s = 0; s < c->n_strategies; s++) {
        double *at = memory + s * policy_model_doubles(p), mean[POLICY_MAX_FEATURES] = {c->prior_reward[s]};
        policy_model *model = &models[s];
        regression_init(&model->whole, &prior, c->hindsight ? c->n_levels : 1, at);
        for (uint32_t k = 0; k < model->whole.K; k++)
            regression_set_mean(&model->whole, &prior, k, mean, c->hindsight ? p->shape[k] : 1);
        for (uint32_t l = 0; !c->hindsight && l < c->n_levels; l++)
            regression_init(&model->level[l], &prior, 1, at + (1 + l) * single);
        if (!c->hindsight) policy_share(p, model);
    }
}

/* By played-arm credit the bias is held by PLAYED_PRIOR observations, and the other features share it out among them,
 * for about a quarter of them being on at a time: one observation then moves a prediction by about 2 / PLAYED_PRIOR of
 * its error at each stage. */
static void set_prior(policy *p) {
    const policy_config *c = &p->config;
    double others = PLAYED_PRIOR * fmax(1, (c->n_features - 1) / 4.0);
    p->precision[0] = c->hindsight ? HINDSIGHT_PRIOR : PLAYED_PRIOR;
    for (uint32_t i = 1; i < c->n_features; i++) p->precision[i] = c->hindsight ? HINDSIGHT_PRIOR : others;
    for (uint32_t l = 0; l < c->n_levels; l++)
        p->shape[l] = log1p(SHAPE_STEEPNESS * (double)c->depths[l] / c->depths[c->n_levels - 1]) /
                      log1p(SHAPE_STEEPNESS);
}

forage_status policy_create(const policy_config *config, policy **out, base_error *error) {
    policy_kind kind = POLICY_FIXED;
    forage_status status = policy_config_check(config, &kind, error);
    if (status) return status;
    policy *p = mem_zalloc(1, sizeof *p);
    p->config = *config;
    p->kind = kind;
    p->config.name = policy_kind_names[kind];
    p->price = config->cost;
    set_prior(p);
    p->lock = mem_alloc(sizeof *p->lock);
    int failed = pthread_rwlock_init(p->lock, NULL);
    assert(!failed);
    (void)failed;
    if (policy_learns(p)) {
        p->models = mem_zalloc(config->n_strategies, sizeof *p->models);
        p->memory = mem_zalloc(config->n_strategies * policy_model_doubles(p), sizeof *p->memory);
        policy_models_init(p, p->models, p->memory);
    }
    *out = p;
    return FORAGE_OK;
}

static void copy_regression(regression *to, const regression *from) {
    to->held = from->held;
    to->time = from->time;
    to->steps = from->steps;
}

policy *policy_clone(const policy *p) {
    policy *copy = NULL;
    forage_status status = policy_create(&p->config, &copy, NULL);
    assert(!status);
    (void)status;
    pthread_rwlock_rdlock(p->lock);
    copy->updates = p->updates;
    copy->price = p->price;
    copy->owed = p->owed;
    for (uint32_t s = 0; policy_learns(p) && s < p->config.n_strategies; s++) {
        copy_regression(&copy->models[s].whole, &p->models[s].whole);
        for (uint32_t l = 0; l < policy_levels_apart(p); l++)
            copy_regression(&copy->models[s].level[l], &p->models[s].level[l]);
    }
    if (policy_learns(p))
        memcpy(copy->memory, p->memory, p->config.n_strategies * policy_model_doubles(p) * sizeof *p->memory);
    pthread_rwlock_unlock(p->lock);
    return copy;
}

void policy_destroy(policy *p) {
    if (!p) return;
    pthread_rwlock_destroy(p->lock);
    free(p->lock);
    free(p->models);
    free(p->memory);
    free(p);
}

void policy_set_budget(policy *p, double budget, double cost, bool of_time) {
    pthread_rwlock_wrlock(p->lock);
    p->config.budget = isfinite(budget) && budget > 0 ? budget : 0;
    p->config.budget_of_time = of_time;
    cost = isfinite(cost) && cost > 0 ? cost : 0;
    if (cost != p->config.cost || p->config.budget == 0) {
        p->config.cost = p->price = cost;
        p->owed = 0;
    }
    pthread_rwlock_unlock(p->lock);
}

double policy_clean(float value, double limit) {
    if (!isfinite(value)) return 0;
    return value > limit ? limit : value < -limit ? -limit : (double)value;
}

void policy_clean_features(const policy *p, const float *x, double *out) {
    for (uint32_t i = 0; i < p->config.n_features; i++) out[i] = policy_clean(x[i], POLICY_FEATURE_LIMIT);
}

/* ---- Expected rewards ---- */

/* A deeper level finds all that a shallower one does: makes `value` increase with the level, by pooling neighbours that
 * do not, weighted by what is known of each (isotonic regression; pool adjacent violators, Ayer et al. 1955). */
static void make_monotone(double *value, const double *weight, uint32_t n) {
    double mean[POLICY_MAX_LEVELS], mass[POLICY_MAX_LEVELS];
    uint32_t size[POLICY_MAX_LEVELS], blocks = 0;
    for (uint32_t l = 0; l < n; l++) {
        mean[blocks] = value[l];
        mass[blocks] = weight[l];
        size[blocks++] = 1;
        for (; blocks > 1 && mean[blocks - 1] < mean[blocks - 2]; blocks--) {
            double both = mass[blocks - 2] + mass[blocks - 1];
            mean[blocks - 2] += (mean[blocks - 1] - mean[blocks - 2]) * mass[blocks - 1] / both;
            mass[blocks - 2] = both;
            size[blocks - 2] += size[blocks - 1];
        }
    }
    for (uint32_t block = 0, l = 0; block < blocks; block++)
        for (uint32_t i = 0; i < size[block]; i++) value[l++] = mean[block];
}

/* The bias is 1, so that the first element of A counts observations (and the prior's). */
static void expect(const policy *p, uint32_t s, const double *x, double *reward) {
    const policy_model *model = &p->models[s];
    regression_prior prior = policy_prior(p);
    double weight[POLICY_MAX_LEVELS];
    for (uint32_t l = 0; l < p->config.n_levels; l++) {
        bool whole = p->config.hindsight;
        reward[l] = whole ? regression_predict(&model->whole, &prior, l, x)
                          : regression_predict(&model->level[l], &prior, 0, x);
        weight[l] = whole ? 1 : model->level[l].A[0];
    }
    make_monotone(reward, weight, p->config.n_levels);
}

/* Rewards are near 0 or 1, so that their variance is about their mean: what never earns needs few trials to be known for it.
 * 1 for what earns every fourth time. */
static double own_noise(const policy *p, uint32_t s) {
    const regression *r = &p->models[s].whole;
    uint32_t deepest = p->config.n_levels - 1, F = p->config.n_features;
    double evidence = r->b[deepest * F] + p->precision[0] * r->m[deepest * F], mean = evidence / r->A[0];
    return fmin(NOISE_MOST, fmax(NOISE_LEAST, 2 * sqrt(fmax(mean, 0))));
}

static void find_spread(const policy *p, uint32_t s, const double *x, double *spread) {
    const policy_model *model = &p->models[s];
    regression_prior prior = policy_prior(p);
    bool whole = p->config.hindsight;
    double unit = whole ? own_noise(p, s) * sqrt(regression_variance(&model->whole, &prior, x)) : 0;
    for (uint32_t l = 0; l < p->config.n_levels; l++)
        spread[l] = p->config.noise * (whole ? unit * p->shape[l] : sqrt(regression_variance(&model->level[l], &prior, x)));
}

double policy_predict(const policy *p, uint32_t strategy, uint32_t level, const float *x) {
    if (strategy >= p->config.n_strategies || level >= p->config.n_levels) return 0;
    if (!policy_learns(p)) return p->config.prior_reward[strategy] * p->shape[level];
    double features[POLICY_MAX_FEATURES], reward[POLICY_MAX_LEVELS];
    policy_clean_features(p, x, features);
    pthread_rwlock_rdlock(p->lock);
    expect(p, strategy, features, reward);
    pthread_rwlock_unlock(p->lock);
    return reward[level];
}

/* ---- Deciding ---- */

/* What a decision is taken from. */
typedef struct deciding {
    const policy *p;
    policy_kind rule;
    const float *x;
    const uint32_t *allowed;
    const float *cost; /* NULL: the depths */
    const policy_samples *samples;
    uint32_t equal_depth; /* "rrf-equal" */
} deciding;

static uint32_t usable_levels(const deciding *d, uint32_t s) {
    uint32_t usable = d->allowed[s] & ((1u << d->p->config.n_levels) - 1);
    return usable ? usable : 1;
}

static double cost_of(const deciding *d, uint32_t s, uint32_t l) {
    const policy_config *c = &d->p->config;
    if (!d->cost) return c->depths[l];
    float cost = d->cost[(size_t)s * c->n_levels + l];
    return isfinite(cost) && cost > 0 ? (double)cost : 0;
}

static uint32_t deepest_up_to(uint32_t usable, uint32_t level) {
    uint32_t below = usable & ((2u << level) - 1);
    return below ? 31 - (uint32_t)__builtin_clz(below) : (uint32_t)__builtin_ctz(usable);
}

static uint32_t nearest_to(const policy_config *c, uint32_t usable, uint32_t depth) {
    uint32_t best = (uint32_t)__builtin_ctz(usable);
    for (uint32_t l = best + 1; l < c->n_levels; l++)
        if (usable >> l & 1 && llabs((int64_t)c->depths[l] - depth) < llabs((int64_t)c->depths[best] - depth)) best = l;
    return best;
}

/* An equal share of the budget for each strategy that may be asked; without a budget of candidates, of what "fixed" asks for. */
static uint32_t equal_depth(const deciding *d) {
    const policy_config *c = &d->p->config;
    double total = 0;
    uint32_t able = 0;
    for (uint32_t s = 0; s < c->n_strategies; s++) {
        if (usable_levels(d, s) == 1) continue;
        total += c->depths[c->fixed_level[s]];
        able++;
    }
    if (c->budget > 0 && !c->budget_of_time) total = c->budget;
    return able ? (uint32_t)fmin(round(total / able), UINT32_MAX) : 0;
}

static uint32_t certain_level(const deciding *d, uint32_t s) {
    const policy_config *c = &d->p->config;
    uint32_t usable = usable_levels(d, s);
    if (d->rule == POLICY_RRF_EQUAL) return nearest_to(c, usable, d->equal_depth);
    return deepest_up_to(usable, d->rule == POLICY_ALL ? c->n_levels - 1 : c->fixed_level[s]);
}

static uint32_t draw(const uint32_t *units, random_source *random) {
    uint32_t u = (uint32_t)(random_u64(random) >> (64 - PROBABILITY_BITS)), l = 0;
    while (u >= units[l]) u -= units[l++];
    return l;
}

static void decide_strategy(const deciding *d, uint32_t s, random_source *random, policy_decision *out) {
    const policy *p = d->p;
    double features[POLICY_MAX_FEATURES];
    policy_outlook outlook = {.allowed = usable_levels(d, s)};
    uint32_t units[POLICY_MAX_LEVELS];
    policy_clean_features(p, d->x + (size_t)s * p->config.n_features, features);
    expect(p, s, features, outlook.value);
    for (uint32_t l = 0; l < p->config.n_levels; l++) outlook.value[l] -= p->price * cost_of(d, s, l);
    if (d->rule != POLICY_EPSILON_GREEDY && d->rule != POLICY_SQUARECB) find_spread(p, s, features, outlook.spread);
    policy_weigh(p, d->rule, &outlook, d->samples, units);
    for (uint32_t l = 0; l < p->config.n_levels; l++) out->probability[s][l] = (float)units[l] / PROBABILITY_UNITS;
    out->level[s] = draw(units, random);
}

static void decide_all(const deciding *d, random_source *random, policy_decision *out) {
    const policy_config *c = &d->p->config;
    for (uint32_t s = 0; s < c->n_strategies; s++) {
        if (policy_kind_learns(d->rule)) {
            decide_strategy(d, s, random, out);
        } else {
            out->level[s] = certain_level(d, s);
            out->probability[s][out->level[s]] = 1;
        }
        out->propensity *= (double)out->probability[s][out->level[s]];
        for (uint32_t l = 0; l < c->n_levels; l++)
            if (out->probability[s][l] > 0) out->expected_cost += (double)out->probability[s][l] * cost_of(d, s, l);
    }
}

static policy_kind rule_of(const policy *p, const char *rule) {
    policy_kind kind = p->kind;
    bool known = !rule || policy_kind_of(rule, &kind), able = policy_learns(p) || !policy_kind_learns(kind);
    assert(known && able);
    return known && able ? kind : p->kind;
}

void policy_decide_by(const policy *p, const char *rule, const float *x, const uint32_t *allowed, const float *cost,
                      random_source *random, policy_decision *out) {
    policy_samples samples;
    deciding d = {.p = p, .rule = rule_of(p, rule), .x = x, .allowed = allowed, .cost = cost};
    if (d.rule == POLICY_LIN_TS) {
        policy_sample(p, random, &samples);
        d.samples = &samples;
    }
    memset(out, 0, sizeof *out);
    out->n_strategies = p->config.n_strategies;
    out->n_levels = p->config.n_levels;
    out->propensity = 1;
    pthread_rwlock_rdlock(p->lock);
    if (d.rule == POLICY_RRF_EQUAL) d.equal_depth = equal_depth(&d);
    out->version = policy_kind_learns(d.rule) ? p->updates + 1 : 0;
    out->price = p->price;
    decide_all(&d, random, out);
    pthread_rwlock_unlock(p->lock);
}

void policy_decide(const policy *p, const float *x, const uint32_t *allowed, random_source *random,
                   policy_decision *out) {
    policy_decide_by(p, NULL, x, allowed, NULL, random, out);
}

uint64_t policy_updates(const policy *p) {
    pthread_rwlock_rdlock(p->lock);
    uint64_t updates = p->updates;
    pthread_rwlock_unlock(p->lock);
    return updates;
}

double policy_price(const policy *p) {
    pthread_rwlock_rdlock(p->lock);
    double price = p->price;
    pthread_rwlock_unlock(p->lock);
    return price;
}
