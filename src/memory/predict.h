/* Predicted queries: what people are likely to ask for a document before anybody did. A prediction is the prior of the
 * memory's belief in a (query, document) pair; what people do replaces it.
 *
 * Predictions come from four sources, and a pair may have a score in [0, 1] from each; the best one counts. They are kept
 * in a table of their own, which can be emptied without losing anything that people did.
 *
 * Bytes (STORE_PREDICTIONS): a document's predictions, key 'd', document (be32), hash of the normalised query (16):
 *   u8 format (1), u8 number of sources, then an f32 score for each, string query (normalised).
 * A query's documents, best first, key 'q', hash (16), u8 255 − 255 × best score, document (be32): f32 best score,
 *   u8 its source. Scores are 0 where a source does not predict the pair.
 *
 * Bounded: PREDICT_MAX_QUERIES for a document (the worst go), PREDICT_MAX_TEXT bytes a query. */
#ifndef MEMORY_PREDICT_H
#define MEMORY_PREDICT_H

#include "base/hash.h"
#include "store/store.h"

#define PREDICT_MAX_QUERIES 64
#define PREDICT_MAX_TEXT 256

/* The order is part of the stored format: append only. */
typedef enum predict_source {
    PREDICT_CATALOGUE,  /* made from what the document says about itself */
    PREDICT_BORROWED,   /* asked for similar documents */
    PREDICT_TRANSLATED, /* asked before, and likely by the translation model */
    PREDICT_IMPORTED,   /* from a file */
    PREDICT_SOURCES
} predict_source;

const char *predict_source_name(predict_source source); /* "catalogue", "borrowed", "translated", "imported" */
bool predict_source_from_name(slice name, predict_source *out);

typedef struct prediction {
    slice query; /* normalised; not given by predict_of_query */
    hash128 key;
    uint32_t document;
    float score; /* the best of its sources */
    predict_source source;
    float scores[PREDICT_SOURCES]; /* not given by predict_of_query */
} prediction;

/* Best first, ties by key or document, in the arena. */
size_t predict_of_document(store_txn *t, uint32_t document, arena *a, prediction **out);
size_t predict_of_query(store_txn *t, hash128 key, size_t most, arena *a, prediction **out);
float predict_of_pair(store_txn *t, hash128 key, uint32_t document); /* 0: none */

/* One predicted query of a list: `query` normalised. */
typedef struct predict_entry {
    slice query;
    float score;
} predict_entry;
/* Stores what a source predicts for a document. `replace`: instead of what it predicted before, else beside it. Queries
 * that are empty or too long, and scores that are not in (0, 1], are left out. *kept (may be NULL): how many of the
 * document's predictions there are now. Inside a store job. */
forage_status predict_store(store_txn *t, uint32_t document, predict_source source, const predict_entry *list, size_t n,
                            bool replace, size_t *kept, base_error *error);

/* Goes through documents from *document on and takes the source's predictions away (of every source: PREDICT_SOURCES), as
 * many documents as one transaction should. *document is where to go on, *done whether there is no more.
 * Inside a store job. */
forage_status predict_drop(store_txn *t, predict_source source, uint32_t *document, bool *done, base_error *error);

/* Takes a query away from all documents, whoever predicts it. Inside a store job. */
forage_status predict_forget(store_txn *t, hash128 key, base_error *error);

/* Pairs, and how many of them each source predicts. Reads the whole table. */
typedef struct predict_counts {
    uint64_t documents, pairs, of_source[PREDICT_SOURCES];
} predict_counts;
predict_counts predict_count(store_txn *t);

/* Every prediction, document by document, until `see` says false. */
typedef bool (*predict_see)(void *self, const prediction *p);
void predict_each(store_txn *t, predict_see see, void *self);

#endif
