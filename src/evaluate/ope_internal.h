/* What ope_estimate.c (estimates and their intervals) and ope_tune.c (how much to shrink) share. */
#ifndef EVALUATE_OPE_INTERNAL_H
#define EVALUATE_OPE_INTERNAL_H

#include "evaluate/ope.h"

/* The weight as the kind uses it. parameter: tau or lambda. */
double ope_shrink(ope_kind kind, double weight, double parameter);

/* The mean of rows y_i = expected + shrunk weight × residual, its standard error, and the estimate of its bias: the
 * mean of the correction that shrinking took away. */
typedef struct ope_shrunk {
    double value, deviation, bias;
} ope_shrunk;
ope_shrunk ope_shrunk_at(const ope_data *d, ope_kind kind, double parameter);

double ope_tune(const ope_data *d, ope_kind kind, ope_tuning tuning);

#endif
