/* Segments to one segment: live documents only, impacts computed anew from the exact frequencies; given weights stay. */
#ifndef SPARSE_MERGE_H
#define SPARSE_MERGE_H

#include "sparse/segment.h"
#include "sparse/work.h"

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

/* Takes the inputs' dead out of statistics that count them: what is left is what holds after the merge, so that its impacts
 * are those of an index that never had them. Cost: the dead. */
void sparse_merge_statistics(const sparse_merge_input *input, sparse_statistics *statistics);

/* The same, which `work` (may be NULL) may slow down or end: FORAGE_E_CLOSED, and `out` stays empty. */
forage_status sparse_merge_to_memory(const sparse_merge_input *inputs, size_t n, const sparse_config *config,
                                     const sparse_statistics *statistics, const sparse_work *work, buffer *out,
                                     base_error *error);

/* The same into a file, which has its name when it is whole and synced; until then PATH.tmp and, for a moment, PATH.spool
 * stand beside. Memory: columns (12 bytes a place, 16 a text field, 8 a number field, 4 to 8 a keyword) and the most
 * frequent term, whatever the size of the result. FORAGE_E_FULL, FORAGE_E_IO; FORAGE_E_CLOSED when `work` (may be NULL) was
 * ended: then no file is left. */
forage_status sparse_merge_to_file(const sparse_merge_input *inputs, size_t n, const uint32_t *order,
                                   const sparse_config *config, const sparse_statistics *statistics, const char *path,
                                   const sparse_work *work, base_error *error);

/* An order in which documents with the same words and attributes lie beside each other (bisect.h), the more popular first
 * among those that are as alike; for sparse_merge. Documents that lay well in the inputs stay together and take less time.
 * order[] has an element for each live place. Errors, with order[] undefined: FORAGE_E_TOO_LARGE, it would take more than
 * memory_limit bytes; FORAGE_E_CLOSED, `work` (may be NULL) was ended. Cost: README.md. */
forage_status sparse_merge_order(const sparse_merge_input *inputs, size_t n, const sparse_config *config,
                                 size_t memory_limit, const sparse_work *work, uint32_t *order);

/* Whether one segment can hold them. */
bool sparse_merge_fits(const sparse_merge_input *inputs, size_t n);

#endif
