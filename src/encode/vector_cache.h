/* The vectors of recent queries, least recently used out first, in front of any encoder.
 *
 * People ask the same few queries again and again; encoding one costs milliseconds, finding it here a microsecond.
 *
 * Threads: everything may be called from any thread; a short lock inside. */
#ifndef ENCODE_VECTOR_CACHE_H
#define ENCODE_VECTOR_CACHE_H

#include "encode/encoder.h"

typedef struct vector_cache vector_cache;

/* Room for `most` (1 to 16 million) vectors of `dimensions` floats; memory is taken as they come. */
vector_cache *vector_cache_create(uint32_t dimensions, uint32_t most);
void vector_cache_destroy(vector_cache *c); /* NULL is a no-op */

/* Copies the vector to out and makes it the most recently used; false when it is not there. Texts are told apart by 128 bits
 * of their hash, and by the encoder's version and the side. */
bool vector_cache_get(vector_cache *c, uint64_t version, encode_side side, slice text, float *out);
void vector_cache_put(vector_cache *c, uint64_t version, encode_side side, slice text, const float *vector);

typedef struct vector_cache_info {
    uint64_t hits, misses;
    uint32_t n; /* vectors in it */
} vector_cache_info;
vector_cache_info vector_cache_describe(vector_cache *c);

/* An encoder that remembers the query vectors of `inner`, which it owns from now on; documents go through. */
encoder *vector_cached_encoder(encoder *inner, uint32_t most);

#endif
