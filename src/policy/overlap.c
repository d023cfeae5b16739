#include "policy/overlap.h"

#include <math.h>

#define STEP 0.02f /* of an average that forgets: about the last 50 unions count */

void policy_overlap_init(policy_overlap *o) {
    for (uint32_t s = 0; s < POLICY_MAX_STRATEGIES; s++)
        for (uint32_t l = 0; l < POLICY_MAX_LEVELS; l++) o->alone[s][l] = 1;
}

void policy_overlap_learn(policy_overlap *o, uint32_t s, uint32_t level, const uint32_t *depths, uint32_t brought,
                          const uint32_t *alone) {
    for (uint32_t l = 1; l <= level && brought; l++) {
        float share = fminf(1, (float)alone[l] / (float)(brought < depths[l] ? brought : depths[l]));
        o->alone[s][l] += STEP * (share - o->alone[s][l]);
    }
}
