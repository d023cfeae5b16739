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
    uint32_t decoded;   /* the block whose postings are below */
    uint32_t n;
    const uint8_t *impacts;
    uint32_t places[SPARSE_BLOCK + 8];
} sparse_cursor;

/* Takes the term over; the first block is the next. */
static inline void cursor_open(sparse_cursor *c, const sparse_term *term, uint32_t units) {
    c->term = *term;
    c->blocks = sparse_term_blocks(&c->term);
    c->units = units;
    c->top = units * term->max_impact + 1;
    c->block = c->end_block = 0;
    c->decoded = CURSOR_NO_BLOCK;
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
    c->n = sparse_block_places(&c->term, b, c->places, &c->impacts);
    c->decoded = b;
}

/* The first posting of the decoded block that is not before `place`; n when all are. Without branches to mispredict. */
static inline uint32_t cursor_from(const sparse_cursor *c, uint32_t place) {
    const uint32_t *at = c->places;
    uint32_t n = c->n;
    while (n > 1) {
        uint32_t half = n / 2;
        at += half & -(uint32_t)(at[half - 1] < place);
        n -= half;
    }
    return (uint32_t)(at - c->places) + (*at < place);
}

#endif
