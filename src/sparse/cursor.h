/* One term's postings in one part, read forwards: which block, what it can add, its places and impacts decoded. */
#ifndef SPARSE_CURSOR_H
#define SPARSE_CURSOR_H

#include "kernel/kernel.h"
#include "sparse/segment.h"

#define CURSOR_NO_BLOCK UINT32_MAX

typedef struct sparse_cursor {
    sparse_term term;
    const sparse_block *blocks;
    uint32_t units;
    uint32_t top; /* the most that the term adds to a document of the part */
    bool required, excluded, essential;
    uint32_t block;     /* the first that can overlap the window … */
    uint32_t end_block; /* … and one past the last */
    uint32_t bound;     /* the most that the term adds to a document of this window; 0: it is not there */
    uint32_t decoded;   /* the block whose places are below */
    uint32_t n;
    bool coded, weighed; /* its codes are there; its impacts are */
    const uint8_t *codes_at;
    const sparse_impacts *table;
    const kernel_table *kernel;
    uint32_t places[SPARSE_BLOCK + 8], codes[SPARSE_BLOCK + 8];
    uint8_t impacts[SPARSE_BLOCK + 8];
} sparse_cursor;

/* Takes the term over; the first block is the next. */
static inline void cursor_open(sparse_cursor *c, const sparse_term *term, uint32_t units) {
    c->term = *term;
    c->blocks = sparse_term_blocks(&c->term);
    c->units = units;
    c->top = units * term->max_impact + 1;
    c->block = c->end_block = 0;
    c->decoded = CURSOR_NO_BLOCK;
    c->kernel = kernels();
    c->table = term->impacts;
}

/* The first block from `b` on whose last place is not before `place`: gallops, then halves. */
static inline uint32_t cursor_skip(const sparse_cursor *c, uint32_t b, uint32_t place) {
    const sparse_block *blocks = c->blocks;
    uint32_t n = c->term.n_blocks;
    if (b >= n || blocks[b].last >= place) return b;
    uint32_t step = 1, low = b; /* blocks[low].last < place */
    while (low + step < n && blocks[low + step].last < place) {
        low += step;
        step *= 2;
    }
    uint32_t high = low + step < n ? low + step : n;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].last < place) low = middle;
        else high = middle;
    }
    return high;
}

static inline void cursor_load(sparse_cursor *c, uint32_t b) {
    if (c->decoded == b) return;
    c->n = sparse_block_load(&c->term, b, c->places, &c->codes_at);
    c->decoded = b;
    c->coded = c->weighed = false;
}

/* All impacts of the decoded block. */
static inline void cursor_weigh(sparse_cursor *c) {
    if (c->weighed) return;
    sparse_block_impacts(&c->term, c->decoded, c->codes_at, c->n, c->places, c->impacts);
    c->weighed = true;
}

/* The impact of one posting of it. */
static inline uint8_t cursor_impact(sparse_cursor *c, uint32_t i) {
    if (c->weighed) return c->impacts[i];
    if (!c->term.coded || !c->codes_at) return c->blocks[c->decoded].max_impact;
    if (!c->coded) sparse_block_codes(&c->term, c->codes_at, c->n, c->codes);
    c->coded = true;
    return sparse_impact(c->table, c->places[i], c->codes[i]);
}

/* The first posting of the decoded block that is not before `place`; n when all are. */
static inline uint32_t cursor_from(const sparse_cursor *c, uint32_t place) {
    return c->kernel->first_from(c->places, c->n, place);
}

#endif
