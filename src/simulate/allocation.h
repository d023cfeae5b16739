/* Allocations: what plans that do not learn would have earned on a trial, each at the same mean cost. All are found with
 * the whole trial in view, so that a policy that learns as it goes has no easy rivals.
 *
 * Threads: each call works on its own; the trial is only read. */
#ifndef SIMULATE_ALLOCATION_H
#define SIMULATE_ALLOCATION_H

#include "simulate/trial.h"

typedef struct allocation {
    double recall, cost;     /* means over the trial's rows */
    double depth[POLICY_MAX_STRATEGIES]; /* mean depth that each strategy was asked for */
    double *found;           /* per row, in [0, 1] */
} allocation;

void allocation_release(allocation *a);

/* One strategy, as deep as `budget` candidates on average allow; between two depths in the proportion that meets it. */
void allocation_single(const trial *t, uint32_t strategy, double budget, allocation *out);
/* All strategies that can answer, equally deep, in the same way. */
void allocation_equal(const trial *t, double budget, allocation *out);
/* Reciprocal-rank fusion (Cormack et al. 2009, k = 60) of all whole lists, cut after `budget` candidates. Its depths are
 * those of the whole lists; its cost is what is left after the cut. */
void allocation_fusion(const trial *t, double budget, allocation *out);
/* The best depths for all requests alike that `budget` candidates on average allow, or the best mixture of two such
 * vectors of depths that meets it. Searched by coordinate ascent on recall less a price of the cost, from several starts
 * and with the price bisected until the cost meets the budget, then by exchanges between pairs of strategies. Cost: a
 * minute for 15,000 rows of 7 × 128. */
void allocation_fixed(const trial *t, double budget, uint64_t seed, allocation *out);
/* Each request gets the allocation of at most `budget` candidates that has what was wanted, where one has. */
void allocation_oracle(const trial *t, double budget, allocation *out);

#endif
