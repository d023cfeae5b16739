/* Bayesian linear regression with a ridge prior, updated one observation at a time, that can forget.
 *
 * The letters are LinUCB's (Li, Chu, Langford & Schapire 2010): A is the precision of the weights, b the sum of reward
 * × features, theta = A^-1 b. The prior has the diagonal precision Lambda; b holds evidence only, and the prior's mean
 * m enters when the mean is computed, since it is itself learned:
 *     A = Lambda + sum of w x x',   b = sum of w r x,   theta = A^-1 (b + Lambda m).
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
    double *b;     /* F */
    double held;   /* [REGRESSION_LEAST_HELD, 1] */
    uint64_t time; /* of the last discount */
    uint32_t steps; /* rank-one updates since P was last computed from A */
} regression;

size_t regression_doubles(uint32_t F); /* that A, P and b take together */

/* Starts at the prior, in `memory` (regression_doubles(F), the caller's). */
void regression_init(regression *r, const regression_prior *prior, double *memory);

/* Discounts what is known to time `now` by discount ^ (now - r->time). O(1), now and then O(F^3). */
void regression_advance(regression *r, const regression_prior *prior, uint64_t now, double discount);

/* A += weight x x' / held, P by Sherman & Morrison (1950). O(F^2). */
void regression_add(regression *r, const regression_prior *prior, const double *x, double weight);

/* b += amount x / held */
void regression_reward(regression *r, const regression_prior *prior, const double *x, double amount);

/* theta = P (b + Lambda scale mean); F numbers. */
void regression_mean(const regression *r, const regression_prior *prior, const double *mean, double scale,
                     double *theta);

/* Computes P from A. False, with P unusable, when A is not positive definite with some margin: possible only for a
 * state that was not made here, or beyond 10^14 observations. O(F^3). */
bool regression_solve(regression *r, const regression_prior *prior);

#endif
