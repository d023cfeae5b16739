/* A trial: what every strategy found for each scored request of a replay, kept, so that any number of policies and fixed
 * plans can be compared on exactly the same requests.
 *
 * What the strategies know does not depend on who is being tried: the log happened, and all of it is taught. So one pass
 * over the log records the lists, and each policy then runs through the record on its own, from event zero, learning only
 * from what it would have shown.
 *
 * A request's union is its distinct candidates. Recall: the document that was wanted is in the union. Cost: how many
 * candidates the union has. Both are exact expectations under the distribution that a decision is drawn from; learning
 * sees only what was drawn.
 *
 * Threads: a trial belongs to one thread while it is recorded; trial_run may run on several at once. */
#ifndef SIMULATE_TRIAL_H
#define SIMULATE_TRIAL_H

#include "base/memory.h"
#include "policy/overlap.h"

#define TRIAL_MOST_DEPTH 1024 /* of a list */
#define TRIAL_MOST_WEIGHT 4.0 /* of an event that could be seen for what was shown */

typedef struct trial_row {
    uint64_t event;          /* which row of the log, from 0 */
    uint32_t n_documents;    /* distinct, in all lists */
    const uint32_t *length;  /* per strategy */
    const uint16_t *const *list; /* per strategy: documents, numbered within the row in no order, best first */
    const uint32_t *rank;    /* per strategy: of the document that was wanted, from 1; 0: not in its list */
    const float *x;          /* n_strategies × n_features */
    const uint32_t *allowed; /* per strategy: bits of levels */
    const float *cost;       /* n_strategies × n_levels */
} trial_row;

typedef struct trial {
    uint32_t n_strategies, n_levels, n_features;
    uint32_t levels[POLICY_MAX_LEVELS];
    uint32_t deepest;        /* of a list */
    trial_row *rows;
    size_t n, capacity;
    uint32_t most_documents; /* of a row */
    size_t n_lessons;        /* rows at the start that are no part of any measure: policies may learn from them before */
    arena memory;
} trial;

/* The rows that are measured, as a trial that owns nothing. */
trial trial_measured(const trial *t);

/* What is known of one request; shaped as funnel_probe. */
typedef struct trial_probe {
    uint32_t n_strategies, n_levels, n_features;
    const uint32_t *levels;
    const float *x;
    const uint32_t *allowed;
    const float *cost;
    const uint32_t *const *documents;
    const uint32_t *n_documents;
} trial_probe;

void trial_init(trial *t);
void trial_release(trial *t);
/* Keeps a copy. Lists are cut at `deepest`, the same for every row of a trial (at most TRIAL_MOST_DEPTH). Strategies whose
 * bit is not in `strategies` count as unable to answer. */
void trial_add(trial *t, const trial_probe *probe, uint32_t deepest, uint32_t strategies, uint32_t wanted,
               uint64_t event);

typedef enum trial_credit {
    TRIAL_HINDSIGHT, /* each event that was shown teaches all strategies, weighed by its inclusion probability */
    TRIAL_PLAYED     /* it teaches the strategies that brought it, if nobody else did: config.hindsight is false */
} trial_credit;

/* Arrays of n rows belong to the caller: `found` and `cost` are added to, so that several seeds can be averaged. */
typedef struct trial_sums {
    double *found;           /* probability that the wanted document was in the union */
    double *cost;            /* expected candidates in the union */
    double drawn_found, drawn_cost; /* of what was drawn, summed over rows */
    double *asked;           /* n_strategies: expected depth, summed over rows */
    double least;            /* probability of an allowed level, over all decisions; 1 before the first */
} trial_sums;

/* A policy with what it learns about costs beside it. */
typedef struct trial_learner {
    policy *policy; /* the caller's */
    policy_overlap overlap;
} trial_learner;
void trial_learner_init(trial_learner *out, policy *p);

/* Teaches it all of the trial's lessons, as an existing log does: what was wanted is known, whatever was drawn. */
void trial_teach(const trial *t, trial_learner *learner, uint64_t seed);
/* Runs it through the rows in this order (NULL: that of the log), added to `sums`. Cost: some 20 µs a row. */
void trial_run(const trial *t, trial_learner *learner, trial_credit credit, uint64_t seed, const uint32_t *order,
               trial_sums *sums);

/* Distinct candidates of the lists cut at these depths. `seen`: room for most_documents, scratch. */
uint32_t trial_union(const trial *t, const trial_row *row, const uint32_t *depth, bool *seen);

#endif
