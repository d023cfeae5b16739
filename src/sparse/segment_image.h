/* An open segment: pointers into its image. For the files segment*.c only. */
#ifndef SPARSE_SEGMENT_IMAGE_H
#define SPARSE_SEGMENT_IMAGE_H

#include "sparse/segment_format.h"

typedef struct segment_column {
    const uint8_t *lengths;
    size_t length_width; /* 1, 2 or 4 bytes; 0: no lengths */
    const segment_forward_line *forward_lines; /* NULL: no forward tokens */
    const uint16_t *forward;
    const double *numbers;
    sparse_keywords keywords; /* starts NULL: none */
    const uint64_t *value_starts;
    const char *values;
} segment_column;

struct sparse_segment {
    slice image;
    uint32_t count, n_fields, n_terms, n_text;
    uint32_t text_fields[SPARSE_MAX_FIELDS]; /* by ordinal */
    uint64_t checksum;

    const segment_field *fields;
    const uint32_t *documents, *order; /* order NULL: documents ascend */
    const uint64_t *versions;

    const segment_entries *dictionary;
    const uint8_t *keys, *keys_end;
    const sparse_block *blocks;
    uint64_t n_blocks;
    const uint8_t *postings, *frequencies;
    size_t postings_size, frequencies_size; /* postings without their padding */
    /* Per dictionary block, made when opening: the first 8 bytes of its first key as a number, and the letters of its
     * texts. Searching the one and looking at the other costs no cache line of the keys. */
    uint64_t *heads;
    sparse_letters *letters;

    segment_column columns[SPARSE_MAX_FIELDS];
    const uint32_t *popularity;
    const float *prior;
    float max_prior;
};

/* Reads the entry at the walk's position into *term and moves on. False when the bytes are no entry. With `check`, the
 * postings too are decoded and every place is seen to be in range and ascending. */
bool segment_next_term(sparse_term_walk *w, sparse_term *term, bool check);

/* From the frequencies of block i to the end of the term's; false when they are damaged. */
bool segment_block_codes(const sparse_term *t, uint32_t i, const uint8_t **from, const uint8_t **end);

/* The whole dictionary, entry by entry; fills `heads` and `letters`. */
bool segment_check_terms(const sparse_segment *s);

#endif
