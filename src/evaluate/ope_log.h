/* Off-policy evaluation from a collection's own log: impressions with their decisions, and what was earned on them. */
#ifndef EVALUATE_OPE_LOG_H
#define EVALUATE_OPE_LOG_H

#include "evaluate/ope.h"
#include "evaluate/ope_depth.h"
#include "evaluate/ope_model.h"
#include "feedback/record.h"
#include "store/store.h"

typedef float ope_distributions[OPE_MAX_STRATEGIES][OPE_MAX_LEVELS]; /* of levels, for each strategy */

/* What to evaluate: a policy, or a plan, the same for every request: a distribution over levels for each strategy.
 * Where a plan's level is not allowed, its share goes to the deepest allowed one that is not deeper, else to the
 * shallowest, as the policy "fixed" does. Impressions of another shape are left out.
 *
 * A policy that learns would look too good if it were judged by what taught it. So it is judged progressively (Blum,
 * Kalai & Langford 1999): asked about each impression first, taught it and what it earned afterwards, in the log's
 * order. */
typedef struct ope_target {
    uint32_t n_strategies, n_levels, n_features;
    uint32_t depths[OPE_MAX_LEVELS];
    /* What the policy would do where r was served; `out` comes zeroed; false leaves r out. NULL: the plan. */
    bool (*decide)(void *self, const record_impression *r, ope_distributions out);
    /* r was served (e is NULL), or e earned something on r. NULL: it learns nothing. */
    void (*learn)(void *self, const record_impression *r, const record_event *e);
    void *self;
    ope_distributions plan;
} ope_target;

typedef struct ope_log_options {
    int64_t since, until; /* of impressions: microseconds since 1970; since <= time < until */
    size_t limit;         /* the most recent impressions; at most OPE_LOG_MOST */
} ope_log_options;
#define OPE_LOG_MOST 1000000
#define OPE_LOG_DEFAULTS ((ope_log_options){INT64_MIN, INT64_MAX, 100000})

typedef struct ope_log {
    ope_rows rows;      /* reward: credit of all events on the impression */
    uint64_t *sequence; /* n, ascending */
    double *product, *additive, *missing; /* n */
    double *inclusion;  /* n: sum of weight × credit over the documents engaged with */
    double inclusion_sum, inclusion_squares, inclusion_max; /* of those weights, over events */
    size_t n_events;    /* with credit, on these impressions */
    size_t skipped;     /* impressions that are damaged, or of another shape than the target */
    size_t certain;     /* impressions on which nothing was left to chance */
    size_t capacity;
} ope_log;

/* Reads the log with the target in hand. A target that learns is taught by the latest OPE_LOG_MOST impressions, those
 * before `since` and beyond `limit` among them, but by nothing from `until` on. FORAGE_E_INVALID when there is no
 * impression to go by. On success ope_log_release. */
forage_status ope_log_read(store_txn *t, const ope_target *target, const ope_log_options *options, ope_log *out,
                           base_error *error);
void ope_log_release(ope_log *log);

/* All estimators on it, in the order in which people should read them. */
#define OPE_LOG_ESTIMATES 10
forage_status ope_log_estimate(const ope_log *log, const ope_options *options, ope_estimate out[OPE_LOG_ESTIMATES],
                               base_error *error);
ope_estimate ope_log_logged(const ope_log *log, const ope_options *options); /* what was earned, on average */

#endif
