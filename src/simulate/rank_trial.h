/* A trial of rankers: what a replay's scored requests look like to a ranker, kept, and rankers learned from the earlier part of the
 * log compared on the later one.
 *
 * A row is a candidate of a request with its columns as they were before the request was learned from. The requests of the teaching
 * share are lessons; the others are measured, one relevant document each: nDCG@10 is the mean of 1 / log2(1 + rank) where the
 * document that was wanted is among the first ten, and a request whose candidates do not have it counts as 0.
 *
 * What is learned from: the document that was wanted, of every lesson (`trees`, `linear`); and, since people who look at a page do
 * not see all of it, what they would have clicked had the lessons been served in the order of the event-zero fusion to people
 * who look at rank r with chance r^−1 (`biased`): naively, and with each click weighed by one over that chance. */
#ifndef SIMULATE_RANK_TRIAL_H
#define SIMULATE_RANK_TRIAL_H

#include "base/memory.h"
#include "base/status.h"
#include "format/json.h"

typedef struct rank_trial {
    uint32_t n_features;
    const char *const *names; /* the caller's */
    uint32_t fusion;          /* the column that serves: event-zero fusion */
    size_t n, n_rows, n_lessons; /* requests, rows, requests that are lessons (the first ones) */
    float *x;
    bool *wanted;             /* per row */
    size_t *first;            /* n + 1 */
    bool *found;              /* per request: the wanted document is a candidate */
    float *rrf;               /* per row: reciprocal-rank fusion of the strategies' ranks */
    int64_t *time;
    size_t rows_capacity, n_capacity;
} rank_trial;

void rank_trial_init(rank_trial *t, const char *const *names, uint32_t n_features);
void rank_trial_release(rank_trial *t);
void rank_trial_add(rank_trial *t, const float *x, const float *rrf, const uint32_t *documents, size_t n, uint32_t wanted, int64_t time);

typedef struct rank_trial_options {
    uint64_t seed;
    uint32_t trees, leaves, truncation, threads, bags;
    double learning_rate;
    uint32_t most_rows; /* of a lesson: the wanted one and the best by fusion; 0: all */
} rank_trial_options;
extern const rank_trial_options rank_trial_defaults;

/* Writes an object: requests, lessons, candidates, recall, rankers: [{name, ndcg, low, high, recall10}], importance: [{feature, gain}]. */
forage_status rank_trial_write(const rank_trial *t, const rank_trial_options *options, json_writer *w, base_error *error);

#endif
