/* An open segment: pointers into its image. For the files segment*.c only. */
#ifndef SPARSE_SEGMENT_IMAGE_H
#define SPARSE_SEGMENT_IMAGE_H

#include "sparse/segment_format.h"

typedef struct segment_column {
    const uint8_t *lengths, *spans;    /* one array where they are the same */
    size_t length_width, span_width; /* 1, 2 or 4 bytes; 0: none */
    const double *numbers;
    sparse_keywords keywords; /* starts NULL: none */
    const uint64_t *value_starts;
    const char *values;
} segment_column;

/* The highest impacts of frequent terms among the places of a range, made when the segment is opened. */
typedef struct segment_maxima {
    buffer bytes;
    struct segment_maximum {
        uint32_t ordinal; /* ascending */
        uint32_t shift;
        uint64_t start; /* in bytes */
    } *terms;
    size_t n, capacity;
} segment_maxima;

struct sparse_segment {
    slice image;
    uint32_t count, n_fields, n_terms, n_text;
    uint32_t text_fields[SPARSE_MAX_FIELDS]; /* by ordinal */
    uint64_t checksum, hashed; /* hashed: bytes before the hashes */

    const segment_field *fields;
    const uint32_t *documents, *order; /* order NULL: documents ascend */
    const uint64_t *versions;

    const segment_entries *dictionary;
    const uint8_t *keys, *keys_end;
    const sparse_block *blocks;
    uint64_t n_blocks;
    const uint8_t *postings, *positions;
    size_t postings_size, positions_size; /* postings without their padding */
    /* Per dictionary block, made when opening: the first 8 bytes of its first key as a number, and the letters of its
     * texts. Searching the one and looking at the other costs no cache line of the keys. */
    uint64_t *heads;
    sparse_letters *letters;

    segment_column columns[SPARSE_MAX_FIELDS];
    const uint32_t *popularity;
    const float *prior;
    float max_prior;
    float *prior_maxima; /* among each 64 places; NULL without */

    segment_maxima maxima;
};

/* Reads the entry at the walk's position into *term and moves on. False when the bytes are no entry. With `check`, the
 * postings too are decoded and every place is seen to be in range and ascending. */
bool segment_next_term(sparse_term_walk *w, sparse_term *term, bool check);

/* Bytes of a number that says where in the positions of a term a block's begin: as many as hold the size of all. */
static inline size_t segment_start_width(uint64_t size) {
    return 1 + (size >> 8 > 0) + (size >> 16 > 0) + (size >> 24 > 0) + (size >> 32 > 0);
}

/* From the positions of block i to their end; false when they are damaged. */
bool segment_block_positions(const sparse_term *t, uint32_t i, const uint8_t **from, const uint8_t **end);

/* The hashes that follow the image's first `end` bytes, against its header's checksum and against those bytes. */
forage_status segment_check_hashes(slice image, uint64_t end, uint64_t checksum, base_error *error);

/* The whole dictionary, entry by entry. With maxima, which get those of the frequent terms, `heads` and `letters` are
 * filled: while opening. */
bool segment_check_terms(const sparse_segment *s, segment_maxima *maxima);

/* Adds those of the term, which is the next in order, if it is frequent. */
void segment_maxima_add(segment_maxima *m, const sparse_term *t);
/* Fills in t->maxima. */
void segment_maxima_find(const sparse_segment *s, sparse_term *t);
void segment_maxima_release(segment_maxima *m);

#endif
