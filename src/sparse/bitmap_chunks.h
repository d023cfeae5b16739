/* Inside compressed sets: containers. For bitmap*.c only. */
#ifndef SPARSE_BITMAP_CHUNKS_H
#define SPARSE_BITMAP_CHUNKS_H

#include "sparse/bitmap.h"
#include "sparse/wordloops.h"

enum { CHUNK_ARRAY = 1, CHUNK_BITS = 2, CHUNK_RUNS = 3 };
enum { CHUNK_WORDS = 1024, CHUNK_ARRAY_MOST = 4096 };

typedef struct bitmap_chunk {
    uint16_t key; /* the members' high half */
    uint8_t kind, zero;
    uint16_t members_minus_1, elements_minus_1;
    uint32_t at;     /* of the elements, in units of 8 bytes */
    uint32_t before; /* members of the chunks before */
} bitmap_chunk;
_Static_assert(sizeof(bitmap_chunk) == 16, "as it is on disk");

typedef struct bitmap_run {
    uint16_t first, last;
} bitmap_run;

struct bitmap {
    const uint8_t *bytes;
    size_t size;
    const bitmap_chunk *chunks;
    uint32_t n_chunks;
    uint64_t cardinality;
    bool own; /* the bytes follow this struct */
};

struct bitmap_builder {
    buffer chunks, elements; /* a chunk's `at` counts from the first element here */
    uint64_t next;           /* the smallest number that may come */
    uint64_t cardinality;
    uint32_t key, low, high;     /* of the chunk under work; its words from low to high may have members. low > high: none */
    uint64_t words[CHUNK_WORDS]; /* all others are zero */
};

static inline uint32_t chunk_members(const bitmap_chunk *c) { return (uint32_t)c->members_minus_1 + 1; }
static inline uint32_t chunk_elements(const bitmap_chunk *c) { return (uint32_t)c->elements_minus_1 + 1; }

static inline const uint16_t *chunk_values(const bitmap *b, const bitmap_chunk *c) {
    return (const uint16_t *)(const void *)(b->bytes + (size_t)c->at * 8);
}
static inline const bitmap_run *chunk_runs(const bitmap *b, const bitmap_chunk *c) {
    return (const bitmap_run *)(const void *)(b->bytes + (size_t)c->at * 8);
}
static inline const uint64_t *chunk_words(const bitmap *b, const bitmap_chunk *c) {
    return (const uint64_t *)(const void *)(b->bytes + (size_t)c->at * 8);
}

/* The first chunk whose key is >= `key`; n_chunks: none. */
uint32_t bitmap_find_chunk(const bitmap *b, uint32_t key);

/* A whole chunk to the builder, at a key above all before: from its own words, which are zero again afterwards; from
 * ascending values or runs (at least one); another set's. */
void bitmap_builder_flush(bitmap_builder *b);
void bitmap_builder_array(bitmap_builder *b, uint32_t key, const uint16_t *values, uint32_t n);
void bitmap_builder_runs(bitmap_builder *b, uint32_t key, const bitmap_run *runs, uint32_t n);
void bitmap_builder_copy(bitmap_builder *b, const bitmap *set, const bitmap_chunk *c);

#endif
