/* Documents to a segment image: bytes in the one format that segments have, in memory or in a file. */
#ifndef SPARSE_BUILDER_H
#define SPARSE_BUILDER_H

#include "sparse/fields.h"

typedef struct sparse_builder sparse_builder;

sparse_builder *sparse_builder_create(const sparse_config *config); /* copies the config */
void sparse_builder_destroy(sparse_builder *b);
void sparse_builder_reset(sparse_builder *b);

/* Starts the next document and returns its place, 0 … n−1. What follows belongs to it. */
uint32_t sparse_builder_begin(sparse_builder *b);
void sparse_builder_term(sparse_builder *b, uint32_t field, slice term); /* one occurrence, at the field's next position */
/* The field's next term belongs to another of its values: no phrase goes across. Before the first it does nothing. Terms
 * behind a document's SPARSE_MAX_TOKENS positions are left out. */
void sparse_builder_gap(sparse_builder *b, uint32_t field);
void sparse_builder_keyword(sparse_builder *b, uint32_t field, slice value);
void sparse_builder_number(sparse_builder *b, uint32_t field, double value);
/* A token with its weight, 1 … 255; one that the document has twice keeps the greater. */
void sparse_builder_weight(sparse_builder *b, uint32_t field, slice token, uint8_t weight);

uint32_t sparse_builder_count(const sparse_builder *b);
size_t sparse_builder_bytes(const sparse_builder *b); /* memory in use */
void sparse_builder_statistics(const sparse_builder *b, sparse_statistics *out);

/* document[i] and version[i]: the document number and version of place i. Places with document UINT32_MAX are left out
 * (replaced within the same batch). Average lengths come from `statistics` (the collection's, this batch included).
 * `out` is a whole segment image. */
void sparse_builder_finish(sparse_builder *b, const uint32_t *document, const uint64_t *version,
                           const sparse_statistics *statistics, buffer *out);

#endif
