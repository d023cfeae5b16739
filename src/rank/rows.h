/* Rows to learn an order from: candidates with features and labels, in groups of one request each.
 *
 * A plain view; the arrays are the caller's. x is n_rows × n_features, row-major; NaN: no value. The rows of group g are
 * first[g] … first[g + 1] − 1; first has n_groups + 1 entries, first[0] = 0 and first[n_groups] = n_rows.
 *
 * label: 0 for "not wanted", more for better: a judgment's grade, or the reward that people gave.
 * weight: how many such labels a row stands for; for a click, one over the chance that its position was looked at. NULL: 1 each.
 * position: the rank, from 1, at which the row was shown when its label came about; 0: not known. NULL: none is.
 * group_weight: of a whole request. NULL: 1 each. time: microseconds since 1970, of a group; NULL: groups are in order of time. */
#ifndef RANK_ROWS_H
#define RANK_ROWS_H

#include "base/memory.h"
#include "base/status.h"

typedef struct rank_rows {
    uint32_t n_features;
    size_t n_rows, n_groups;
    const float *x;
    const float *label;
    const size_t *first;
    const float *weight;
    const uint32_t *position;
    const float *group_weight;
    const int64_t *time;
} rank_rows;

#endif
