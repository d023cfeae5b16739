/* Overlap: of the candidates that a strategy brings at a level, the share that nobody else brings. A candidate costs only once:
 * the expected cost of a level is its candidates times this share.
 *
 * Learned from the unions that were served, with the others as they were asked then. A plain value; its owner locks. */
#ifndef POLICY_OVERLAP_H
#define POLICY_OVERLAP_H

#include "policy/policy.h"

typedef struct policy_overlap {
    float alone[POLICY_MAX_STRATEGIES][POLICY_MAX_LEVELS]; /* 0 to 1 */
} policy_overlap;

void policy_overlap_init(policy_overlap *o); /* all alone */

/* Strategy s was asked at `level` and brought `brought` candidates; alone[l], for l up to `level`: how many of its first depths[l]
 * nobody else brought. */
void policy_overlap_learn(policy_overlap *o, uint32_t s, uint32_t level, const uint32_t *depths, uint32_t brought,
                          const uint32_t *alone);

#endif
