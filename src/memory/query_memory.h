/* The memory: which documents worked for which query.
 *
 * One row per (normalised query, document) that was ever engaged with: how often it was shown for that query since, and
 * the reward it earned. The belief about its chance is a Beta posterior: Beta(m·s + rewards, (1 − m)·s + impressions −
 * rewards), with prior mean m and strength s. What is shown and passed over sinks; what is clicked rises.
 *
 * Bytes: key: 16-byte hash of the normalised query, document number (big-endian u32); value: f32 impressions, f32 rewards,
 * i64 time of the last change (microseconds), u64 sequence of the impression that made the row. */
#ifndef MEMORY_QUERY_MEMORY_H
#define MEMORY_QUERY_MEMORY_H

#include "base/hash.h"
#include "store/store.h"

#define MEMORY_PRIOR_MEAN 0.1f
#define MEMORY_PRIOR_STRENGTH 2.0f
#define MEMORY_MAX_ROWS 16384 /* read for one query */

typedef struct memory_row {
    uint32_t document;
    float impressions, rewards;
    int64_t time;
    uint64_t born; /* the log's sequence of the impression with which it began */
    float mean, deviation; /* of the posterior */
} memory_row;

hash128 memory_key(slice normalized_query);
void memory_posterior(float impressions, float rewards, float *mean, float *deviation);

/* The rows of a query, best posterior mean first (ties by document number). At most MEMORY_MAX_ROWS are read. */
size_t memory_lookup(store_txn *t, hash128 key, arena *a, memory_row **rows);

/* The query's documents were shown: counts an impression for those that have a row. Inside a store job. */
forage_status memory_shown(store_txn *t, hash128 key, const uint32_t *documents, size_t n, int64_t time,
                           base_error *error);
/* A document earned `credit` >= 0 from the impression with this sequence in the log; makes the row (with that impression) when
 * there is none. An earlier impression was not counted when it was shown, so its first credit counts it. Inside a store
 * job. */
forage_status memory_earned(store_txn *t, hash128 key, uint32_t document, float credit, bool first, uint64_t impression,
                            int64_t time, base_error *error);

#endif
