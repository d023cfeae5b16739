/* Codes: how a vector is kept for the walk, and how fast a query is compared with many.
 *
 * A coder is made once for an index and never changes: float32 as it is, 8 bits or 4 bits a dimension, or one bit. Distances
 * are smaller for what is nearer, for every metric: cosine: 1 − cos, dot: −dot, L2: the squared distance. Those of short codes
 * are estimates; those of DENSE_FLOAT32 are exact up to rounding.
 *
 * Threads: a coder is read-only once created; a prepared query belongs to who prepared it. */
#ifndef DENSE_CODE_H
#define DENSE_CODE_H

#include "base/memory.h"
#include "base/status.h"

typedef enum dense_metric { DENSE_COSINE, DENSE_DOT, DENSE_L2, DENSE_METRICS } dense_metric;
typedef enum dense_code { DENSE_FLOAT32, DENSE_INT8, DENSE_INT4, DENSE_BIT, DENSE_CODES } dense_code;

#define DENSE_MOST_DIMENSIONS 4096
#define DENSE_MOST_SQUARE 1e37   /* of a vector's length */
#define DENSE_LEAST_SQUARE 1e-37 /* of one that has a direction */

typedef struct dense_coder dense_coder;
typedef struct dense_prepared dense_prepared; /* a query, ready for one coder */

/* `sample`: n × dimensions floats, row by row, of typical vectors (n = 0: ranges are taken from the metric alone, and 4-bit
 * and 1-bit codes are coarser for it). Cosine coders scale every vector they see to unit length. NULL never. */
dense_coder *dense_coder_create(uint32_t dimensions, dense_metric metric, dense_code code, const float *sample, size_t n);
void dense_coder_destroy(dense_coder *c);

/* What a file keeps of a coder, and back: FORAGE_E_CORRUPT names what is wrong. */
void dense_coder_save(const dense_coder *c, buffer *out);
forage_status dense_coder_load(slice bytes, dense_coder **out, base_error *error);

uint32_t dense_coder_dimensions(const dense_coder *c);
dense_metric dense_coder_metric(const dense_coder *c);
dense_code dense_coder_code(const dense_coder *c);
size_t dense_coder_bytes(const dense_coder *c); /* of one code: a multiple of 4 */

void dense_coder_encode(const dense_coder *c, const float *vector, void *code);

/* A query by its floats, or by a code that the index keeps (as when the graph is built). Lives in `a`. */
dense_prepared *dense_prepare(const dense_coder *c, const float *vector, arena *a);
dense_prepared *dense_prepare_code(const dense_coder *c, const void *code, arena *a);
/* The same in a place that was prepared before: no allocation. */
void dense_prepare_again(dense_prepared *p, const float *vector);
void dense_prepare_code_again(dense_prepared *p, const void *code);

/* distances[i] = from the query to codes[i]. Fastest for 4 or more; the codes are prefetched by the caller. */
void dense_distances(const dense_prepared *p, const void *const *codes, size_t n, float *distances);
/* The same for codes that lie one after the other, `stride` bytes apart: a scan. */
void dense_scan(const dense_prepared *p, const void *codes, size_t stride, size_t n, float *distances);
/* About the standard deviation of what the code's rounding adds to a distance; infinite where estimates are coarser than that. */
float dense_rounding(const dense_prepared *p);

/* Exact, from floats: the rerank. Both have dense_coder_dimensions floats. For cosine, neither needs unit length. */
float dense_exact(dense_metric metric, const float *a, const float *b, uint32_t dimensions);
/* The same for one query and many vectors; inverse_length: dense_inverse_length of the query, which only cosine wants. */
float dense_exact_from(dense_metric metric, const float *query, double inverse_length, const float *v, uint32_t dimensions);
double dense_inverse_length(const float *v, uint32_t dimensions); /* 1 / |v|; 0 for zeros */

#endif
