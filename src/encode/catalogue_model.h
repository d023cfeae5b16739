/* What training gives and encoding reads; only catalogue_*.c include it. */
#ifndef ENCODE_CATALOGUE_MODEL_H
#define ENCODE_CATALOGUE_MODEL_H

#include "encode/catalogue.h"

#include "base/hash.h"

#define CATALOGUE_SHORTEST 3 /* characters of an n-gram, with the word's ends marked */
#define CATALOGUE_LONGEST 5
#define CATALOGUE_BUCKETS 32768u
#define CATALOGUE_MOST_DIMENSIONS 512u
#define CATALOGUE_TOKENS 4096u /* of a text */
#define CATALOGUE_TITLE 2.0f   /* weight of a document's first line */
#define CATALOGUE_SEED 0x0f0e0d0cu

/* Rows of 8-bit values, value = scale × c. */
typedef struct catalogue_rows {
    uint32_t n;
    float *scale;
    int8_t *values; /* n × dimensions */
} catalogue_rows;

typedef struct catalogue_weights {
    uint32_t dimensions;
    text_language language;
    uint64_t *keys; /* of terms, ascending */
    catalogue_rows terms, buckets;
} catalogue_weights;

static inline uint64_t catalogue_key(slice term) { return hash64(term.data, term.size, CATALOGUE_SEED); }

void catalogue_rows_make(catalogue_rows *r, uint32_t n, uint32_t dimensions);
void catalogue_row_set(catalogue_rows *r, uint32_t row, uint32_t dimensions, const float *vector);
void catalogue_row_add(const catalogue_rows *r, uint32_t row, uint32_t dimensions, float weight, float *sum);
void catalogue_weights_release(catalogue_weights *w);
/* The buckets of a word's n-grams, up to `most`. */
size_t catalogue_ngrams(slice word, uint32_t *buckets, size_t most);
/* Takes the weights over. */
encoder *catalogue_encoder(catalogue_weights *w);

/* ---- catalogue_directions.c ---- */

/* Sparse rows: entries first[i] … first[i + 1] − 1 of row i. */
typedef struct catalogue_matrix {
    uint32_t n_rows, n_columns;
    const uint64_t *first;
    const uint32_t *column;
    const float *value;
} catalogue_matrix;

/* The k strongest right singular vectors, strongest first, and the squares of their singular values. basis: n_columns × k, row by row.
 * False: `proceed` said so. */
bool catalogue_directions(const catalogue_matrix *m, uint32_t k, uint64_t seed, bool (*proceed)(void *, double), void *context,
                          float *basis, float *strength);

#endif
