/* NDCG of groups of rows (Järvelin & Kekäläinen 2002; exponential gains: Burges et al. 2005). */
#ifndef RANK_NDCG_H
#define RANK_NDCG_H

#include "rank/rows.h"

typedef enum ndcg_gain {
    NDCG_EXPONENTIAL, /* 2^label − 1, for judgments; labels to NDCG_MOST_GRADE */
    NDCG_LINEAR       /* label, for rewards */
} ndcg_gain;
#define NDCG_MOST_GRADE 30.0f
#define NDCG_MOST_REWARD 1e6f

/* What a group without a row of gain above 0 counts as. LETOR's and LightGBM's figures take 1. */
typedef enum ndcg_empty { NDCG_EMPTY_ONE, NDCG_EMPTY_ZERO, NDCG_EMPTY_OUT } ndcg_empty;

typedef struct ndcg_options {
    ndcg_gain gain;
    ndcg_empty empty;
    uint32_t cutoff; /* 0: none */
    bool weighted;   /* a row's gain is multiplied by its weight, of clicks the inverse propensity, and a group counts by the
                      * mean weight of what it gained: a click at a rank that few look at stands for many, which a share of the
                      * group's own ideal would hide */
} ndcg_options;

double ndcg_gain_of(ndcg_gain gain, float label); /* 0 for labels that are negative or NaN */
double ndcg_discount(size_t rank);                /* 1 / log2(rank + 1), rank from 1 */

/* Rows of one group, best first: order[i] is a row, from 0. Of equal scores the earlier row comes first; NaN comes last.
 * n below 2^32; scratch is room for 2 n. */
void ndcg_order(const float *scores, size_t n, uint64_t *scratch, uint32_t *order);

/* ideal[g]: the DCG of the best possible order of group g, 0 when no row of it has a gain. n_groups. */
void ndcg_ideals(const rank_rows *rows, const ndcg_options *options, double *ideal);

/* What a group counts. */
double ndcg_group_weight(const rank_rows *rows, const ndcg_options *options, size_t group);

/* Mean over groups, each counting by ndcg_group_weight; NaN when no group counts. scores: n_rows. ideal: of ndcg_ideals.
 * values: n_groups, NaN for those left out; NULL: not wanted. Any thread. */
double ndcg_mean_of(const rank_rows *rows, const float *scores, const ndcg_options *options, const double *ideal,
                    double *values);
/* The same, with ideals of its own. */
double ndcg_mean(const rank_rows *rows, const float *scores, const ndcg_options *options, double *values);

#endif
