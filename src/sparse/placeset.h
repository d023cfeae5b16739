/* Sets of places as bitmaps: bit p % 64 of word p / 64. In sets that others made (live documents) the bits at and after
 * `count` in the last word may be anything, so whoever reads whole words masks them with placeset_word. */
#ifndef SPARSE_PLACESET_H
#define SPARSE_PLACESET_H

#include "sparse/index.h"
#include "sparse/wordloops.h"

#include <string.h>

/* Adds the places of a term's postings, in a part of `count` places. */
void placeset_add_term(uint64_t *bits, uint32_t count, const sparse_term *t);

/* The words that a set over the largest part has. */
size_t placeset_most_words(const sparse_snapshot *s);

static inline size_t placeset_words(uint32_t count) {
    return ((size_t)count + 63) / 64;
}

static inline bool placeset_has(const uint64_t *bits, uint32_t place) {
    return bits[place >> 6] >> (place & 63) & 1;
}

static inline void placeset_add(uint64_t *bits, uint32_t place) {
    bits[place >> 6] |= (uint64_t)1 << (place & 63);
}

/* Word i of a set over `count` places. bits NULL: every place. */
static inline uint64_t placeset_word(const uint64_t *bits, size_t i, uint32_t count) {
    uint64_t word = bits ? bits[i] : UINT64_MAX;
    size_t left = count - i * 64;
    return left < 64 ? word & (((uint64_t)1 << left) - 1) : word;
}

/* Spelt out, because the baseline x86-64 has no popcount instruction and the compiler's stand-in is a call. */
static inline uint32_t placeset_ones(uint64_t x) {
    x -= x >> 1 & 0x5555555555555555u;
    x = (x & 0x3333333333333333u) + (x >> 2 & 0x3333333333333333u);
    x = (x + (x >> 4)) & 0x0f0f0f0f0f0f0f0fu;
    return (uint32_t)(x * 0x0101010101010101u >> 56);
}

static inline uint64_t placeset_count(const uint64_t *bits, uint32_t count) {
    size_t whole = count / 64;
    if (!bits) return count;
    return words_count(bits, whole) + (count % 64 ? word_ones(placeset_word(bits, whole, count)) : 0);
}

/* Only those that are in `live` too (NULL: all are) stay; and no bit after the last place. */
static inline void placeset_keep(uint64_t *bits, const uint64_t *live, uint32_t count) {
    size_t words = placeset_words(count);
    if (live) words_and(bits, live, words);
    if (count % 64) bits[words - 1] = placeset_word(bits, words - 1, count);
}

/* One word from 64 truths, each a byte of 0 or 1: the product moves bit 0 of byte j to bit 56 + j. */
static inline uint64_t placeset_pack(const uint8_t truths[64]) {
    uint64_t word = 0;
    for (unsigned i = 0; i < 8; i++) {
        uint64_t eight;
        memcpy(&eight, truths + i * 8, 8);
        word |= (eight * 0x0102040810204080u >> 56) << (i * 8);
    }
    return word;
}

/* The next member of *word, which is not 0, as its place in word i; takes it out. */
static inline uint32_t placeset_take(uint64_t *word, size_t i) {
    uint32_t place = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(*word);
    *word &= *word - 1;
    return place;
}

#endif
