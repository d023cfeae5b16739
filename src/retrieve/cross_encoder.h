/* The cross-encoder of a collection: a model that reads the query and a document's text together and says how well they fit
 * (Nogueira & Cho 2019). It costs milliseconds a document, so it is asked about the first few of an order only, within a time.
 *
 * The schema's ranking names the model. It is opened by a thread in the background; one that cannot be opened is said once, tried
 * again after a minute when somebody wants it, and nothing is scored meanwhile. Scores are remembered, the least recently used
 * forgotten first: a document that has not changed is read once for a query.
 *
 * Threads: everything from any thread. One search's documents are shared with a few helping threads. */
#ifndef RETRIEVE_CROSS_ENCODER_H
#define RETRIEVE_CROSS_ENCODER_H

#include "collection/collection.h"

typedef struct cross_encoder cross_encoder;

/* Begins to open the model that the schema names, and waits for it up to a second, so that a process that searches once has it. The
 * collection must outlive it. */
cross_encoder *cross_encoder_create(collection *c);
void cross_encoder_destroy(cross_encoder *x); /* NULL is a no-op; nobody may be using it */
void cross_encoder_follow(cross_encoder *x);  /* the schema was changed: it may name another one; what failed is tried again */

typedef struct cross_request {
    const schema *schema;      /* whose ranking names a model */
    store_txn *txn;            /* that the documents are read in */
    slice query;
    const uint32_t *documents; /* the most wanted first; numbers of no document are passed over */
    size_t n;
    int64_t deadline;          /* monotonic microseconds; the schema's budget may be over before */
} cross_request;

typedef struct cross_result {
    bool ready;            /* there is a model; else nothing else means anything */
    bool late;             /* time was over before all were scored */
    uint32_t scored;       /* with those that were remembered */
    uint32_t cached;       /* that were remembered */
    uint32_t took_us;
} cross_result;

/* scores[i]: how well documents[i] fits, on the model's own scale; NaN where it was not scored: no time, no text, no document. A
 * document is begun only while another one is expected to be done in time, so that the deadline is missed by one at most. Never fails:
 * what is wrong with the model is said by cross_encoder_describe. */
cross_result cross_encoder_score(cross_encoder *x, const cross_request *r, arena *a, float *scores);

typedef struct cross_info {
    bool opening;
    uint64_t version;   /* of the model that is open; 0: none */
    char problem[200];  /* why not; empty: none */
    uint64_t searches, scored, cached, late, unready, took_us; /* unready: searches that found no model */
} cross_info;
/* False: the schema names no model. Tries to open one that could not be opened, if it is time. */
bool cross_encoder_describe(cross_encoder *x, cross_info *out);

#endif
