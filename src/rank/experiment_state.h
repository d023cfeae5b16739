/* What an experiment is made of: for the files of the experiment only. */
#ifndef RANK_EXPERIMENT_STATE_H
#define RANK_EXPERIMENT_STATE_H

#include "rank/experiment.h"

/* A unit that is, or has been, watched. */
typedef struct experiment_watched {
    uint64_t key;
    int64_t opened;
    double for_a, for_b, weight; /* "ab": for_a is what it earned. Else credited to A, to B; sum of |reward| */
    uint32_t impressions;
    uint8_t side;
} experiment_watched;

struct experiment {
    experiment_config config; /* its texts are the copies below */
    char name[EXPERIMENT_NAME_MAX + 1], side[2][EXPERIMENT_NAME_MAX + 1];
    experiment_watched *units; /* in the order in which they opened; before first_open: closed, of which only the key counts */
    size_t n_units, first_open, capacity;
    uint32_t *slots;           /* key → place in units + 1; open addressing */
    size_t n_slots;            /* a power of two */
    int64_t now;               /* latest time seen */
    sequential paired;         /* interleaved */
    sequential_arms arms;      /* "ab" */
    double earned[2];          /* interleaved: sums over closed pages */
    uint64_t opened[2], impressions[2], late, turned_away;
    double mismatch;           /* log of the greatest e-value against the split */
};

void experiment_index(experiment *e); /* makes `slots` anew */

#endif
