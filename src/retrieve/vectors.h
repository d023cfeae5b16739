/* The vectors of a collection: for each vector field an encoder (unless documents bring theirs) and a dense index, kept in
 * step with the documents. Fields of weights (learned sparse retrieval: SPLADE, Formal et al. 2021) are kept in the same way, with
 * tokens and weights for vectors and a sparse index for the dense one.
 *
 * What documents bring is found as soon as the write returns. What an encoder makes is made by one thread in the background,
 * after the writes have paused; until then a document is found by the other strategies. The catalogue's own encoder is trained
 * there too: when there are documents enough, again when they have doubled, and when people have taught more. A new model comes
 * with a new index, and both are put in the place of the old ones at once.
 *
 * On disk, all derived: FOLDER/vectors/NUMBER.model (catalogue), NUMBER.json (what it was trained on), NUMBER-HASH.dense or
 * NUMBER-HASH.weights (the index; the hash is of what its vectors or weights depend on). What is missing or damaged is made anew.
 *
 * Threads: everything from any thread. */
#ifndef RETRIEVE_VECTORS_H
#define RETRIEVE_VECTORS_H

#include "collection/collection.h"
#include "dense/dense.h"
#include "encode/encoder.h"

typedef struct vectors vectors;

/* Reads what is on disk and starts the thread. An encoder that cannot be opened is logged, tried again from time to time, and
 * its field finds nothing meanwhile. The collection must outlive it. */
forage_status vectors_open(collection *c, vectors **out, base_error *error);
void vectors_close(vectors *v); /* saves the indexes; NULL is a no-op */

/* Returns when all that is stored now has its vector, or why that cannot be; trains what was never trained. */
forage_status vectors_settle(vectors *v, base_error *error);
/* Trains the catalogue's encoders anew with what people did so far, and settles. */
forage_status vectors_train(vectors *v, base_error *error);

typedef struct vectors_info {
    const schema_field *field;
    uint64_t version;       /* of the encoder; 0: there is none yet */
    dense_info index;         /* of a vector field */
    sparse_index_info weights; /* of a field of weights */
    bool working;           /* vectors are being made */
    char problem[200];      /* why not; empty: none */
    uint64_t trained_documents, trained_pairs;
    double trained_seconds;
} vectors_info;
size_t vectors_describe(vectors *v, vectors_info out[SPARSE_MAX_FIELDS]);

/* ---- One request ---- */

typedef struct vector_query vector_query;

/* What a request asks for: of `text` for fields with an encoder; `given` (may be NULL: dimensions floats, for the field `given_field`);
 * or like the document `like` (UINT32_MAX: none). Nothing is encoded yet. NULL: the collection has no vectors. */
vector_query *vectors_ask(vectors *v, slice text, const schema_field *given_field, const float *given, uint32_t like);
void vector_query_release(vector_query *q); /* NULL is a no-op */

/* Whether a field may have an answer; cheap. */
bool vector_query_possible(const vector_query *q);
/* The best `depth` eligible documents by similarity to the query, best first: the cosine, the dot product, or 1 / (1 + squared
 * distance); of several fields the best. Encodes the query if nobody has yet. *late: the deadline passed. */
size_t vector_query_search(vector_query *q, const sparse_eligible *eligible, uint32_t depth, int64_t deadline, arena *a,
                           sparse_hit *hits, bool *late);
/* The same, near to the weighted mean of documents' vectors, which themselves are left out. */
size_t vector_query_near(vector_query *q, const sparse_eligible *eligible, const uint32_t *documents, const float *weights, size_t n,
                         uint32_t depth, arena *a, sparse_hit *hits);

typedef struct vector_similarity {
    float pretrained; /* by fields that bring vectors or have a pretrained encoder; NaN: not known */
    float catalogue;  /* by the catalogue's own */
} vector_similarity;
/* Of one document; only if the query has been encoded already. */
vector_similarity vector_query_similarity(vector_query *q, uint32_t document);

/* ---- The same by weights ---- */

typedef struct weights_query weights_query;

/* The query's tokens and their weights for fields with a model; `given` (may be NULL: an object of tokens and weights, checked) for
 * the field `given_field`. Nothing is encoded yet. NULL: the collection has no fields of weights. */
weights_query *weights_ask(vectors *v, slice text, const schema_field *given_field, const json_value *given);
void weights_query_release(weights_query *q); /* NULL is a no-op */
bool weights_query_possible(const weights_query *q); /* whether a field may have an answer; cheap */
/* The best `depth` eligible documents by the dot product of their weights and the query's, best first, exactly; of several fields
 * the sum over the best `depth` of each. Encodes the query if nobody has yet. *late: the deadline passed. */
size_t weights_query_search(weights_query *q, const sparse_eligible *eligible, uint32_t depth, int64_t deadline, arena *a,
                            sparse_hit *hits, bool *late);
/* scores[i]: of documents[i], in any order, each once; 0 without a token in common. Only if the query has been encoded already;
 * false otherwise. */
bool weights_query_scores(weights_query *q, const uint32_t *documents, size_t n, arena *a, float *scores);

#endif
