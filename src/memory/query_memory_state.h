/* The inside of the memory; only this folder's query_memory files include it. */
#ifndef MEMORY_QUERY_MEMORY_STATE_H
#define MEMORY_QUERY_MEMORY_STATE_H

#include "memory/query_memory.h"
#include "memory/query_memory_row.h"

#include <pthread.h>

#define MEMORY_ROW_KEY 20

struct query_memory {
    store *store;
    memory_settings settings; /* of the segments the learning side only: who asks brings its own */
    arena names;              /* of the segments */
    float curve[MEMORY_CURVE];
    text_analyzer *analyzer; /* the writer's */
    pthread_rwlock_t lock;   /* of `near`: a refresh puts another in its place */
    neighbours *near;
};

void memory_row_key(hash128 key, uint32_t document, uint8_t out[MEMORY_ROW_KEY]);

/* Calls `see` with every row of a key in a table, at most `most`, until it says false. */
typedef bool (*memory_see_counts)(void *self, uint32_t document, const memory_counts *counts);
void memory_each_row(store_txn *t, store_table table, hash128 key, size_t most, memory_see_counts see, void *self);

/* The pseudo-counts of a prediction, added to what was counted. */
static inline float memory_prior_mean(float predicted) {
    return MEMORY_PRIOR_MEAN + (MEMORY_PREDICTED_MEAN - MEMORY_PRIOR_MEAN) * predicted;
}

/* Sets mean and deviation of Beta(m·s + rewards, (1 − m)·s + misses). */
void memory_believe(float m, float s, float rewards, float misses, float *mean, float *deviation);

#endif
