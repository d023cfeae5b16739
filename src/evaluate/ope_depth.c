#include "evaluate/ope_depth.h"

#include <math.h>

double ope_level_weight(const ope_decision *d, uint32_t s) {
    double logging = (double)d->logging[s][d->level[s]];
    return logging > 0 ? (double)d->target[s][d->level[s]] / logging : 0;
}

double ope_product_weight(const ope_decision *d) {
    double weight = 1;
    for (uint32_t s = 0; s < d->n_strategies; s++) weight *= ope_level_weight(d, s);
    return weight;
}

double ope_additive_weight(const ope_decision *d) {
    double weight = 1;
    for (uint32_t s = 0; s < d->n_strategies; s++) weight += ope_level_weight(d, s) - 1;
    return weight;
}

double ope_missing_support(const ope_decision *d) {
    double supported = 1;
    for (uint32_t s = 0; s < d->n_strategies; s++) {
        double missing = 0;
        for (uint32_t l = 0; l < d->n_levels; l++)
            if (d->logging[s][l] <= 0) missing += (double)d->target[s][l];
        supported *= fmax(0, 1 - missing);
    }
    return 1 - supported;
}

/* P(d_s >= rank) under a distribution over levels. */
static double reach(const ope_decision *d, uint32_t s, const float *distribution, uint32_t rank) {
    double sum = 0;
    for (uint32_t l = 0; l < d->n_levels; l++)
        if (rank && d->depth[s][l] >= rank) sum += (double)distribution[l];
    return fmin(sum, 1);
}

void ope_inclusion(const ope_decision *d, const uint32_t *ranks, double *target, double *logging) {
    double out_target = 1, out_logging = 1;
    for (uint32_t s = 0; s < d->n_strategies; s++) {
        out_target *= 1 - reach(d, s, d->target[s], ranks[s]);
        out_logging *= 1 - reach(d, s, d->logging[s], ranks[s]);
    }
    *target = 1 - out_target;
    *logging = 1 - out_logging;
}

/* E[w_s^2] under the logger: 1 when both policies agree, infinite without support. */
static double second_moment(const ope_decision *d, uint32_t s) {
    double sum = 0;
    for (uint32_t l = 0; l < d->n_levels; l++) {
        double pi = (double)d->target[s][l], mu = (double)d->logging[s][l];
        if (pi > 0) sum += mu > 0 ? pi * pi / mu : INFINITY;
    }
    return sum;
}

/* Strategies by the second moment of their weights, ties by number: an order that the draw has no part in. */
static void order_strategies(const ope_decision *d, uint32_t *order) {
    double moment[OPE_MAX_STRATEGIES];
    for (uint32_t s = 0; s < d->n_strategies; s++) {
        uint32_t i = s;
        moment[s] = second_moment(d, s);
        for (; i && moment[order[i - 1]] > moment[s]; i--) order[i] = order[i - 1];
        order[i] = s;
    }
}

double ope_inclusion_weight(const ope_decision *d, const uint32_t *ranks) {
    uint32_t order[OPE_MAX_STRATEGIES];
    double weight = 1;
    order_strategies(d, order);
    for (uint32_t i = 0; i < d->n_strategies; i++) {
        uint32_t s = order[i];
        if (ranks[s]) {
            double logging = reach(d, s, d->logging[s], ranks[s]);
            return logging > 0 ? weight * reach(d, s, d->target[s], ranks[s]) / logging : 0;
        }
        weight *= ope_level_weight(d, s);
    }
    return 0;
}
