#include "sparse/placeset.h"

enum { CLOSE = 8 }; /* places apart on average, at most, where collecting a word pays */

/* Ascending places that lie close, so that several fall into a word: each word is written once. */
static void add_close(uint64_t *bits, const uint32_t *places, uint32_t n) {
    uint64_t word = 0;
    uint32_t at = places[0] >> 6;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t w = places[i] >> 6;
        if (w != at) {
            bits[at] |= word;
            word = 0;
            at = w;
        }
        word |= (uint64_t)1 << (places[i] & 63);
    }
    bits[at] |= word;
}

void placeset_add_term(uint64_t *bits, uint32_t count, const sparse_term *t) {
    uint32_t places[SPARSE_BLOCK + 8];
    uint8_t impacts[SPARSE_BLOCK + 8];
    for (uint32_t b = 0; b < t->n_blocks; b++) {
        uint32_t n = sparse_block_decode(t, b, places, impacts), beyond = 0;
        for (uint32_t i = 0; i < n; i++) beyond |= places[i] >= count;
        if (beyond) continue; /* only when the bytes have changed since they were checked */
        if (places[n - 1] - places[0] < n * CLOSE) add_close(bits, places, n);
        else for (uint32_t i = 0; i < n; i++) placeset_add(bits, places[i]);
    }
}

size_t placeset_most_words(const sparse_snapshot *s) {
    size_t most = 0;
    for (uint32_t p = 0; p < s->n_parts; p++) {
        size_t words = placeset_words(sparse_segment_count(s->parts[p].segment));
        if (words > most) most = words;
    }
    return most;
}
