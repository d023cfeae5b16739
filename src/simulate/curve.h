/* The search for the best fixed depths. Its step is a curve: recall and cost along the depth of one strategy, the others
 * staying where they are, for all depths in one walk through the trial. */
#ifndef SIMULATE_CURVE_H
#define SIMULATE_CURVE_H

#include "simulate/trial.h"

typedef struct curve_point {
    uint32_t depth[POLICY_MAX_STRATEGIES];
    double recall, cost;
} curve_point;

typedef struct curve {
    const trial *trial;
    double recall[TRIAL_MOST_DEPTH + 1], cost[TRIAL_MOST_DEPTH + 1]; /* along the last strategy asked for, by depth */
    curve_point below, above; /* the best found: the mixture that meets the budget; the same point when one does */
    uint64_t *found, *added;  /* scratch */
    uint32_t *seen, walk;
} curve;

curve *curve_create(const trial *t);
void curve_destroy(curve *c);
void curve_along(curve *c, const uint32_t *depth, uint32_t strategy);
void curve_search(curve *c, double budget, uint64_t seed);

#endif
