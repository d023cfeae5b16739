#include "sparse/placeset.h"

void placeset_add_term(uint64_t *bits, uint32_t count, const sparse_term *t) {
    uint32_t places[SPARSE_BLOCK + 8];
    uint8_t impacts[SPARSE_BLOCK + 8];
    for (uint32_t b = 0; b < t->n_blocks; b++) {
        uint32_t n = sparse_block_decode(t, b, places, impacts);
        for (uint32_t i = 0; i < n; i++) {
            if (places[i] < count) placeset_add(bits, places[i]);
        }
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
