/* Trends: what people engage with lately, and what they were shown.
 *
 * For each group of people or documents (everyone; a segment; a document type) and each document: the engagement it earned,
 * halved every half-life; and for each document how often it was shown, aged alike. All of it is in memory; a group also
 * keeps its TREND_TOP documents in order.
 *
 * Engagement is stored with its event, in the same transaction. Exposure is too frequent for that: it is stored now and then
 * (trend_save) and what came since is counted again from the log.
 *
 * Bytes in STORE_TRENDS: key: u64 group, u32 document, both big-endian (group 0 holds exposure); value: f32 weight, i64 time
 * that it is as of.
 *
 * Threads: trend_prepare, trend_apply, trend_shown and trend_save by one thread at a time, the store's writer (or before
 * anybody else looks); all else by any. */
#ifndef MEMORY_TREND_H
#define MEMORY_TREND_H

#include "memory/decay.h"
#include "store/store.h"

#define TREND_TOP 1024
#define TREND_GROUPS 256     /* further ones are not counted: their people are among everyone */
#define TREND_EVERYONE 1u    /* a group */
#define TREND_MAX_CHANGES 8  /* groups of one event */

typedef struct trend trend;

typedef struct trend_document {
    uint32_t document;
    float weight;
} trend_document;

trend *trend_create(int64_t half_life);
void trend_destroy(trend *t); /* NULL is a no-op */
/* False, and nothing changes, when there is a weight already that has aged by another one. The writer thread. */
bool trend_set_half_life(trend *t, int64_t half_life);
forage_status trend_load(trend *t, store_txn *txn, base_error *error);

/* The group of a type name. Segments bring hashes of their own. 0 and 1 are never given. */
uint64_t trend_type_group(slice type);

typedef struct trend_change {
    uint64_t group;
    uint32_t document;
    float weight;
    int64_t time;
} trend_change;

/* Inside a store job: adds `amount` to the stored row of (group, document). *out is then for trend_apply, after the commit;
 * its weight is 0 when there is no room for the group. */
forage_status trend_earned(const trend *t, store_txn *txn, uint64_t group, uint32_t document, float amount, int64_t time,
                           int64_t now, trend_change *out, base_error *error);
void trend_apply(trend *t, const trend_change *changes, size_t n);

void trend_shown(trend *t, const uint32_t *documents, size_t n, int64_t time, int64_t now);
/* What was shown is counted from nothing, from the whole log. The writer thread. */
void trend_forget_shown(trend *t);
/* Inside a store job: stores the exposure that changed. trend_saved says that it was committed; what was shown in between
 * waits for the next time. */
forage_status trend_save(trend *t, store_txn *txn, base_error *error);
void trend_saved(trend *t);

/* ---- Reading: any thread ---- */

/* The group's documents with most engagement, best first, as of now; those with any left. Returns how many, at most TREND_TOP. */
size_t trend_top(const trend *t, uint64_t group, int64_t now, size_t k, trend_document *out);
/* Fills in the weights of the given documents in the group. */
void trend_weights(const trend *t, uint64_t group, int64_t now, trend_document *documents, size_t n);
/* What is believed of documents: mean and deviation of the Beta posterior over (engaged, shown), with everyone's rows. */
typedef struct trend_belief {
    uint32_t document;
    float shown, engaged, mean, deviation;
} trend_belief;
void trend_believe(const trend *t, int64_t now, trend_belief *documents, size_t n);

#endif
