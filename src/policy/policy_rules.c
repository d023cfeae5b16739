/* From what is known of a strategy's levels to the distribution that its level is drawn from. */
#include "policy/policy_internal.h"

#include <math.h>
#include <string.h>

/* By hindsight the level's rewards are nested (what a shallow level finds, a deep one finds too), and so is their
 * uncertainty: a Brownian path whose variance at level l is g_l^2. By played-arm credit the levels' regressions are
 * independent given what they share. All strategies use the same numbers; each row of probabilities still is exactly
 * what its level is drawn from. */
void policy_sample(const policy *p, random_source *random, policy_samples *out) {
    const policy_config *c = &p->config;
    for (uint32_t i = 0; i < c->samples; i++) {
        double path = 0, before = 0;
        for (uint32_t l = 0; l < c->n_levels; l++) {
            double g = p->shape[l];
            if (!c->hindsight) {
                out->normal[i][l] = random_normal(random);
            } else if (l == 0) {
                out->normal[i][l] = 0;
            } else {
                path += sqrt(g * g - before * before) * random_normal(random);
                out->normal[i][l] = path / g;
            }
            before = g;
        }
    }
}

static uint32_t best_of(const double *value, uint32_t allowed, uint32_t n_levels) {
    uint32_t best = (uint32_t)__builtin_ctz(allowed);
    for (uint32_t l = best + 1; l < n_levels; l++)
        if (allowed >> l & 1 && value[l] > value[best]) best = l;
    return best;
}

/* Inverse-gap weighting (Foster & Rakhlin 2020, algorithm 1; Abe & Long 1999). */
static uint32_t share_by_gap(const policy *p, const policy_outlook *o, double *share) {
    double K = __builtin_popcount(o->allowed), gamma = p->config.gamma * sqrt(1 + (double)p->updates);
    uint32_t best = best_of(o->value, o->allowed, p->config.n_levels);
    for (uint32_t l = 0; l < p->config.n_levels; l++) share[l] = 1 / (K + gamma * (o->value[best] - o->value[l]));
    return best;
}

static uint32_t share_by_optimism(const policy *p, const policy_outlook *o) {
    double bound[POLICY_MAX_LEVELS];
    for (uint32_t l = 0; l < p->config.n_levels; l++) bound[l] = o->value[l] + o->spread[l];
    return best_of(bound, o->allowed, p->config.n_levels);
}

/* Equal shares to the levels whose upper bound reaches every lower bound (Foster et al. 2018, RegCB by elimination). */
static uint32_t share_by_elimination(const policy *p, const policy_outlook *o, double *share) {
    uint32_t L = p->config.n_levels, plausible = 0;
    double low = -INFINITY;
    for (uint32_t l = 0; l < L; l++)
        if (o->allowed >> l & 1) low = fmax(low, o->value[l] - o->spread[l]);
    for (uint32_t l = 0; l < L; l++)
        if (o->allowed >> l & 1 && o->value[l] + o->spread[l] >= low) plausible |= 1u << l;
    for (uint32_t l = 0; l < L; l++)
        if (plausible >> l & 1) share[l] = 1.0 / __builtin_popcount(plausible);
    return best_of(o->value, o->allowed, L);
}

static uint32_t share_by_sampling(const policy *p, const policy_outlook *o, const policy_samples *z, double *share) {
    uint32_t L = p->config.n_levels;
    for (uint32_t i = 0; i < p->config.samples; i++) {
        double value[POLICY_MAX_LEVELS];
        for (uint32_t l = 0; l < L; l++) value[l] = o->value[l] + o->spread[l] * z->normal[i][l];
        share[best_of(value, o->allowed, L)] += 1.0 / p->config.samples;
    }
    return best_of(share, o->allowed, L);
}

/* Rounding is upwards for all but the likeliest level, which gets what remains. */
void policy_weigh(const policy *p, policy_kind rule, const policy_outlook *o, const policy_samples *samples,
                  uint32_t *units) {
    double share[POLICY_MAX_LEVELS] = {0}, K = __builtin_popcount(o->allowed), floor_share = p->config.exploration;
    uint32_t best, rest = PROBABILITY_UNITS;
    if (rule == POLICY_SQUARECB) best = share_by_gap(p, o, share);
    else if (rule == POLICY_LINUCB) best = share_by_optimism(p, o);
    else if (rule == POLICY_LIN_TS) best = share_by_sampling(p, o, samples, share);
    else if (rule == POLICY_REGCB) best = share_by_elimination(p, o, share);
    else best = best_of(o->value, o->allowed, p->config.n_levels);
    for (uint32_t l = 0; l < p->config.n_levels; l++) {
        units[l] = 0;
        if (l == best || !(o->allowed >> l & 1)) continue;
        units[l] = (uint32_t)ceil(((1 - K * floor_share) * share[l] + floor_share) * PROBABILITY_UNITS);
        rest -= units[l];
    }
    units[best] = rest;
}
