/* Segments to one segment: live documents only, impacts computed anew from the exact frequencies. */
#ifndef SPARSE_MERGE_H
#define SPARSE_MERGE_H

#include "sparse/segment.h"

typedef struct sparse_merge_input {
    const sparse_segment *segment;
    const uint64_t *live; /* bit per place; NULL: all */
} sparse_merge_input;

/* Places of the result follow the inputs' order; or, given an `order`, the i-th live place of all inputs, one after the
 * other, becomes place order[i]: a permutation. A document is live in one input at most. `out` is a whole segment image.
 * The inputs may know fewer fields than `config`. Cost: about 0.1 µs a posting, twice that with an order. Memory: the result
 * twice; with an order, also 8 to 24 bytes for each posting of the most frequent term and 4 for each of its positions. */
void sparse_merge(const sparse_merge_input *inputs, size_t n, const uint32_t *order, const sparse_config *config,
                  const sparse_statistics *statistics, buffer *out);

/* Whether one segment can hold them. */
bool sparse_merge_fits(const sparse_merge_input *inputs, size_t n);

#endif
