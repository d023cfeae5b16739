/* The memory: which documents worked for which query.
 *
 * For a (query, document) pair that was ever engaged with, or that was predicted, it keeps how often the document was
 * shown and looked at for the query, and the reward it earned (query_memory_row.h tells how they decay and are capped).
 * The belief in its chance is a Beta posterior,
 *
 *     a = m·s + rewards + lent rewards,   b = (1 − m)·s + misses + lent misses,   mean = a / (a + b),
 *
 * with prior mean m = 0.1 + 0.4 × predicted score (0 when nothing predicted it) and strength s = 2; misses are impressions
 * that were looked at and earned nothing. What was shown and passed over sinks; what is chosen rises; a prediction counts
 * until people have spoken.
 *
 * An answer is one list made in four ways: the rows of the same query; the rows that queries with the same words, and
 * those that are spelt almost the same, lend (neighbours.h: each count times the neighbour's weight, and all of them
 * together no more than `lent_most` rewards, as a Dirichlet prior would); and what was predicted. Segments of the asker
 * (segments.h) then pull each belief towards what worked for people like them: a Beta posterior whose prior mean is the
 * belief so far.
 *
 * Tables: STORE_MEMORY, hash of the normalised query (16) and document (be32) → counts; STORE_SEGMENTS, the same with the
 * segment in the hash; STORE_QUERIES, hash → u8 format (1), f32 weight, i64 time, string language, string text;
 * STORE_ASKED, document (be32) and hash → u8 1: the queries that led to a document.
 *
 * Threads: query_memory_ask from any thread, in any read transaction. query_memory_shown and _earned inside a store job,
 * query_memory_publish and _refresh from its `committed` (the store's one writer thread). What was published is in the next
 * answer; the rows themselves are there with the commit. */
#ifndef MEMORY_QUERY_MEMORY_H
#define MEMORY_QUERY_MEMORY_H

#include "feedback/record.h"
#include "memory/neighbours.h"
#include "memory/segments.h"
#include "store/store.h"

#define MEMORY_PRIOR_MEAN 0.1f
#define MEMORY_PRIOR_STRENGTH 2.0f
#define MEMORY_PREDICTED_MEAN 0.5f /* the prior mean of what is predicted with score 1 */
#define MEMORY_MAX_ROWS 16384      /* read for one query */

typedef enum memory_way {
    MEMORY_SAME,      /* people who asked the same */
    MEMORY_WORDS,     /* people who asked with some of its words */
    MEMORY_LETTERS,   /* people who asked what is spelt almost like it */
    MEMORY_PREDICTED, /* nobody yet */
    MEMORY_WAYS
} memory_way;
const char *memory_way_name(memory_way way); /* "same", "words", "letters", "predicted" */

typedef struct memory_row {
    uint32_t document;
    float impressions, rewards; /* of the same query, decayed to the time of asking */
    int64_t time;               /* of the last change */
    float mean, deviation;      /* of the posterior */
    float lent;                 /* rewards that neighbours lend */
    float predicted;            /* score, 0: not predicted */
    memory_way way;             /* that most of the belief comes from */
} memory_row;

typedef struct memory_settings {
    int64_t half_life;          /* microseconds; 0: counts do not decay */
    float examination_power;    /* the chance that rank r is looked at is r^−power, until it has been estimated */
    float lent_most;            /* rewards that neighbours may lend for one query, all together */
    float segment_strength;
    size_t most_queries;        /* in memory, to be found as neighbours */
    segment_fields segments;
} memory_settings;
extern const memory_settings memory_default_settings;

typedef struct query_memory query_memory;

/* Reads the remembered queries and predictions, those with most behind them first. `settings` NULL: the default ones.
 * The store must outlive it. Cost: about 5 µs a query. */
forage_status query_memory_open(store *s, const memory_settings *settings, query_memory **out, base_error *error);
void query_memory_close(query_memory *m); /* NULL is a no-op */

hash128 memory_key(slice normalized_query);

/* ---- Asking ---- */

typedef struct memory_question {
    slice normalized;          /* text_normalize_query */
    text_language language;
    text_analyzer *analyzer;   /* of this thread; its earlier results end */
    const memory_segment *segments;
    size_t n_segments;
    int64_t now;               /* microseconds since 1970 */
    bool same_only;            /* only the same query */
} memory_question;

/* The `most` best rows, best mean first (ties by document number), in the arena: of documents that were chosen, by whom
 * ever, or that are predicted. Of the same query MEMORY_MAX_ROWS are read. Nothing is done when nothing is remembered;
 * of 200,000 queries it takes about 0.1 ms. */
size_t query_memory_ask(query_memory *m, store_txn *t, const memory_question *question, size_t most, arena *a,
                        memory_row **rows);

/* ---- Learning ---- */

/* What a job changed, to be published after its commit. Zeroed is empty. */
typedef struct memory_changes {
    struct memory_change *list;
    size_t n, capacity;
    arena texts;
    bool used;
} memory_changes;
void memory_changes_reset(memory_changes *c);   /* at the start of every run of the job */
void memory_changes_release(memory_changes *c);

/* A page was shown: counts an impression, weighed by its position, for the hits that have a row and for those that were
 * predicted. `sequence`: the impression's in the log. */
forage_status query_memory_shown(query_memory *m, store_txn *t, memory_changes *changes, const record_impression *r,
                                 uint64_t sequence, base_error *error);
/* A hit of it earned e->credit (at most 16); makes its row when there is none. `first`: the first time that this
 * impression's document earned anything. An impression older than the row's birth was not counted when it was shown: its
 * first credit counts it whole. Times may come in any order: what is late counts as if it had decayed. */
forage_status query_memory_earned(query_memory *m, store_txn *t, memory_changes *changes, const record_impression *r,
                                  const record_event *e, bool first, base_error *error);

void query_memory_publish(query_memory *m, const memory_changes *changes);
/* Everything anew from the store: after predictions were stored or dropped; for a reader, after another process has
 * written. */
forage_status query_memory_refresh(query_memory *m, base_error *error);

/* From now on these members of the context make segments; the names are copied. Called by the writer thread. */
void query_memory_set_segments(query_memory *m, const segment_fields *fields);

/* Estimated chances that ranks 1 … n are looked at, in (0, 1]; beyond the last it goes on falling as settings say. Called
 * by the writer thread. */
#define MEMORY_CURVE 64
void query_memory_set_examination(query_memory *m, const float *chances, size_t n);
float query_memory_examination(const query_memory *m, uint32_t rank); /* from 1 */

typedef struct memory_info {
    size_t queries; /* remembered in memory */
    size_t bytes;
} memory_info;
memory_info query_memory_describe(query_memory *m);

/* ---- Reading what is remembered ---- */

typedef struct memory_query {
    hash128 key;
    slice text, language;
    float weight; /* rewards, decayed to `time` */
    int64_t time;
} memory_query;
/* The query's text; slices live as long as the transaction. FORAGE_E_NOT_FOUND. */
forage_status memory_query_get(store_txn *t, hash128 key, memory_query *out);
/* Every remembered query in key order until `see` says false. */
typedef bool (*memory_see_query)(void *self, const memory_query *q);
void memory_each_query(store_txn *t, memory_see_query see, void *self);
/* The rows of a query as they are stored, in order of document number; up to `most`. */
size_t memory_rows_of(store_txn *t, hash128 key, size_t most, arena *a, memory_row **rows);
/* The belief in counts that stand alone: nothing lent, nothing predicted. */
void memory_posterior(float impressions, float rewards, float *mean, float *deviation);

#endif
