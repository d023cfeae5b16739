/* Rows from the log: searches that somebody engaged with, in the columns of today. */
#ifndef TRAIN_TRAIN_ROWS_H
#define TRAIN_TRAIN_ROWS_H

#include "train/train.h"

typedef struct train_rows {
    uint32_t n_features;
    const char *const *names;    /* in the arena */
    size_t n_rows, n_groups;
    float *x, *label;
    uint32_t *position;          /* 0: it was not shown */
    size_t *first;               /* n_groups + 1 */
    float *group_weight;
    int64_t *time;
    uint64_t *user;              /* hash of user or session; 0: nobody known */
    uint64_t *sequence;          /* of the impression in the log */
    float *shadow;               /* per row: its rank by the ranker that is the shadow now; 0: none */
    arena memory;
    /* what was seen on the way */
    uint64_t searches, events, without_features, left_out;
    examination *looked;         /* owned */
} train_rows;

/* Groups are in the order of the log. `each` is told the share that is read, and may stop it (*out is then released). */
forage_status train_rows_read(funnel *f, const train_settings *settings, bool (*each)(void *self, double share), void *self,
                              train_rows *out, base_error *error);
void train_rows_release(train_rows *r);

/* Groups from to end - 1 as rank_rows; `weight` (n_rows, or NULL) per row. `first` must have room for end - from + 1. */
void train_rows_view(const train_rows *r, size_t from, size_t end, const float *weight, size_t *first, rank_rows *out);

#define TRAIN_RANKS 20 /* whose chance to be looked at is estimated */

#endif
