/* Pairs scored side by side within a time; only cross_encoder.c asks. */
#ifndef RETRIEVE_CROSS_SCORING_H
#define RETRIEVE_CROSS_SCORING_H

#include "encode/bert.h"
#include "os/pool.h"

typedef struct cross_pairs {
    bert_model *model;
    slice query;
    const slice *texts; /* n, the most wanted first */
    size_t n;
    int64_t deadline;   /* monotonic microseconds */
    float *scores;      /* n; untouched where time was over */
} cross_pairs;

/* Scores by this thread and, as far as they are free, those of `helpers` (NULL: nobody). Nobody touches what `p` points to after it
 * has returned. *late: time was over before all were begun. The error is the model's. */
forage_status cross_score_pairs(const cross_pairs *p, os_pool *helpers, bool *late, base_error *error);

#endif
