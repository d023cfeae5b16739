/* Bayesian linear regression with a ridge prior, updated one observation at a time, that can forget. It may have
 * several outputs: they see the same observations, and so share the one matrix that costs.
 *
 * The letters are LinUCB's (Li, Chu, Langford & Schapire 2010): A is the precision of the weights, b the sum of reward
 * × features, theta = A^-1 b. The prior has the diagonal precision Lambda; b holds evidence only, and the prior's mean
 * m enters when the mean is computed, since it may itself be learned:
 *     A = Lambda + sum of w x x',   b_k = sum of w r_k x,   theta_k = A^-1 (b_k + Lambda m_k).
 * Discounting multiplies the true A and b by one factor; so that it costs nothing, they are kept divided by `held`, the
 * product of these factors, and new weights are divided by it too. It also shrinks the prior, which is given back
 * before that matters: forgetting leads to the prior, and A stays positive definite. */
#ifndef POLICY_REGRESSION_H
#define POLICY_REGRESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define REGRESSION_MAX_FEATURES 64
#define REGRESSION_LEAST_HELD 0.95 /* at less, the prior is given back */

typedef struct regression_prior {
    uint32_t F;              /* features, 1 to REGRESSION_MAX_FEATURES */
    const double *precision; /* the diagonal of Lambda: F numbers above 0 */
} regression_prior;

typedef struct regression {
    double *A;     /* F × F, row-major; only the lower triangle counts */
    double *P;     /* A^-1: F × F, all of it */
    double *b;     /* K × F */
    double *m;     /* K × F: the prior's means */
    double *theta; /* K × F: kept up to date by everything below */
    uint32_t K;    /* outputs */
    double held;   /* [REGRESSION_LEAST_HELD, 1] */
    uint64_t time; /* of the last discount */
    uint32_t steps; /* rank-one updates since P was last computed from A */
} regression;

size_t regression_doubles(uint32_t F, uint32_t K); /* that its numbers take together */

/* Starts at the prior with means 0, in `memory` (regression_doubles(F, K), the caller's). */
void regression_init(regression *r, const regression_prior *prior, uint32_t K, double *memory);

/* The prior's mean of output k becomes scale × mean (F numbers). O(F^2). */
void regression_set_mean(regression *r, const regression_prior *prior, uint32_t k, const double *mean, double scale);

/* Discounts what is known to time `now` by discount ^ (now - r->time). O(1), now and then O(F^3). */
void regression_advance(regression *r, const regression_prior *prior, uint64_t now, double discount);

/* A += weight x x' / held, P and theta by Sherman & Morrison (1950). O(F^2 + K F). */
void regression_add(regression *r, const regression_prior *prior, const double *x, double weight);

/* b_k += amount[k] x / held. O(F^2 + K F). */
void regression_reward(regression *r, const regression_prior *prior, const double *x, const double *amount);

double regression_predict(const regression *r, const regression_prior *prior, uint32_t k, const double *x);

/* x' P x: the variance of a prediction, in units of the noise's. O(F^2). */
double regression_variance(const regression *r, const regression_prior *prior, const double *x);

/* Computes P and theta from A, b and m. False, with both unusable, when A is not positive definite with some margin:
 * possible only for a state that was not made here, or beyond 10^14 observations. O(F^3). */
bool regression_solve(regression *r, const regression_prior *prior);

/* The same, without the rounding errors that P and theta gathered; where that fails, it is back at the prior. */
void regression_refresh(regression *r, const regression_prior *prior);

#endif
