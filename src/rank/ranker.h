/* The ranker: the order of the union. It sees a matrix of features, never documents.
 *
 * First version: a linear model whose prior weights are a strong fusion (reciprocal-rank fusion plus normalised
 * scores), learned online by logistic regression on pairs (what was engaged with against what was shown and passed
 * over), each weight with its own variance (diagonal Gaussian posterior), so that the prior holds until evidence moves
 * it. */
#ifndef RANK_RANKER_H
#define RANK_RANKER_H

#include "base/memory.h"
#include "base/status.h"

#define RANKER_MAX_FEATURES 256
#define RANKER_WEIGHT_LIMIT 10000.0f /* weights stay within +-this */

typedef struct ranker ranker;

typedef struct ranker_config {
    uint32_t n_features;         /* 1 to RANKER_MAX_FEATURES */
    const float *prior_mean;     /* n_features, each within +-RANKER_WEIGHT_LIMIT */
    const float *prior_variance; /* n_features, 0 to 10^6; 0 pins a weight */
} ranker_config;

/* The arrays are copied. FORAGE_E_INVALID names the bad member. */
forage_status ranker_create(const ranker_config *config, ranker **out, base_error *error);
void ranker_destroy(ranker *r);

/* scores[i] = w · x_i; row i begins at x + i × stride (at least n_features, in floats). Features that are not finite count
 * as 0, so that scores are always finite (within +-FLT_MAX). Any thread (shared lock inside). */
void ranker_score(const ranker *r, const float *x, size_t n, size_t stride, float *scores);
void ranker_weights(const ranker *r, float *mean, float *variance); /* n_features each; NULL skips */

/* One engagement: x as served, n rows in shown order, `engaged` the row, reward in (0, 1] scaling the evidence (more
 * counts as 1; 0, less or NaN as nothing).
 * Pairs: every row shown above it, and one below, that has not been engaged itself (`engaged_before`, may be NULL):
 * "Click > Skip Above" and "Click > No-Click Next" of Joachims et al. 2005. */
void ranker_learn(ranker *r, const float *x, size_t n, size_t engaged, float reward, const bool *engaged_before);

uint64_t ranker_updates(const ranker *r); /* engagements that made at least one pair */

/* State as bytes. A weight that is pinned by the configuration, or was pinned when saved, takes its configured prior. A
 * failed load changes nothing. */
void ranker_save(const ranker *r, buffer *out);
/* FORAGE_E_VERSION, FORAGE_E_CORRUPT, FORAGE_E_INVALID (other number of features) */
forage_status ranker_load(ranker *r, slice state, base_error *error);

/* Reciprocal-rank fusion (Cormack et al. 2009): sum over strategies of 1 / (k + rank), rank from 1; k = 60. */
float rank_rrf(const uint32_t *ranks, size_t n, float k); /* rank 0: not found by that strategy */

#endif
