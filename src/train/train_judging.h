/* Judging: what would a ranker have earned on searches that it has not learned from? */
#ifndef TRAIN_TRAIN_JUDGING_H
#define TRAIN_TRAIN_JUDGING_H

#include "train/train_rows.h"

/* A ranker's order of every held-out search, as scores per row of the rows; higher stands higher. */
typedef struct train_order {
    const char *name;
    const float *score;
} train_order;

/* By the shown hits of each search: Σ weight · reward / log2(1 + rank under the order), over the most that any order could have; the
 * weight is one over the chance that the hit was looked at where it stood, so that what people saw less counts for those who did not
 * look (Joachims, Swaminathan & Schnabel, WSDM 2017). With intervals of 95 % from 1,000 Poisson bootstraps over users. */
typedef struct train_value {
    double value, low, high;
} train_value;

typedef struct train_verdict {
    size_t searches, users;
    train_value candidate, incumbent, served; /* served: as people saw it */
    train_value difference;                   /* candidate less incumbent */
} train_verdict;

/* Groups from to end − 1; weight and scores per row of `rows`. */
void train_judge_orders(const train_rows *rows, size_t from, size_t end, const float *weight, const float *candidate,
                        const float *incumbent, uint64_t seed, train_verdict *out);

#endif
