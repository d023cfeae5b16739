/* Range maxima: what a search asks before it reads any posting.
 *
 * A block's maximum speaks of 128 postings, wherever they are. To add up what several terms can give in one place, their
 * maxima have to be of the same places: those of ranges. They are bytes that follow from the postings, so they are made
 * while opening checks these, and are not stored. */
#include "sparse/segment_image.h"

#include <stdlib.h>

enum {
    SMALLEST_SHIFT = 6, /* a range is a word of a bitmap … */
    LARGEST_SHIFT = 8,
    POSTINGS = 4 /* … and larger for rarer terms: at least so many postings a range on average; below that, none are kept */
};

/* 0: none. */
static unsigned shift_for(const sparse_segment *s, uint32_t df) {
    if (df <= SPARSE_BLOCK) return 0;
    for (unsigned shift = SMALLEST_SHIFT; shift <= LARGEST_SHIFT; shift++)
        if ((uint64_t)df << shift >= (uint64_t)s->count * POSTINGS) return shift;
    return 0;
}

void segment_maxima_add(segment_maxima *m, const sparse_term *t) {
    const sparse_segment *s = t->segment;
    unsigned shift = shift_for(s, t->df);
    if (shift == 0) return;
    size_t size = ((size_t)s->count >> shift) + 1;
    m->terms = mem_grow(m->terms, &m->capacity, m->n + 1, sizeof *m->terms);
    m->terms[m->n++] = (struct segment_maximum){t->ordinal, shift, m->bytes.size};
    uint8_t *maxima = (uint8_t *)buffer_reserve(&m->bytes, size);
    memset(maxima, 0, size);
    m->bytes.size += size;
    for (uint32_t b = 0; b < t->n_blocks; b++) {
        uint32_t places[SPARSE_BLOCK + 8], n;
        const uint8_t *impacts;
        n = sparse_block_places(t, b, places, &impacts);
        for (uint32_t i = 0; i < n; i++) {
            uint8_t *max = &maxima[places[i] >> shift];
            if (impacts[i] > *max) *max = impacts[i];
        }
    }
}

void segment_maxima_find(const sparse_segment *s, sparse_term *t) {
    const segment_maxima *m = &s->maxima;
    t->maxima = NULL;
    if (shift_for(s, t->df) == 0) return;
    size_t low = 0, high = m->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (m->terms[middle].ordinal < t->ordinal) low = middle + 1;
        else high = middle;
    }
    if (low == m->n || m->terms[low].ordinal != t->ordinal) return;
    t->maxima = (const uint8_t *)m->bytes.data + m->terms[low].start;
    t->maxima_shift = m->terms[low].shift;
}

void segment_maxima_release(segment_maxima *m) {
    buffer_release(&m->bytes);
    free(m->terms);
    *m = (segment_maxima){0};
}
