/* A compressed bitmap: any bytes. What opens is read by every question, and is what its own members build. */
#include "sparse/bitmap.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { WORDS = 3000 }; /* ends within a chunk */

static void require(bool truth) {
    if (!truth) abort();
}

static void read_all(const bitmap *b) {
    static uint64_t words[WORDS];
    uint64_t n = 0, inside = 0;
    uint32_t value, selected, last = 0;
    bitmap_builder *builder = bitmap_builder_create();
    bitmap_walk w;
    for (bitmap_walk_start(&w, b, 0); bitmap_walk_next(&w, &value); n++) {
        bitmap_builder_add(builder, value);
        inside += value < WORDS * 64;
        last = value;
    }
    bitmap *again = bitmap_builder_finish(builder);
    require(n == bitmap_cardinality(b) && bitmap_equal(again, b));
    if (n > 0) require(bitmap_select(b, n - 1, &selected) && selected == last && bitmap_contains(b, last));
    require(bitmap_rank(b, (uint64_t)last + 1) == n);
    bitmap_fill_flat(b, words, WORDS);
    require(bitmap_count_flat(b, words, WORDS) == inside);
    bitmap_and_flat(b, words, WORDS);
    require(bitmap_count_flat(b, words, WORDS) == inside);
    bitmap_and_not_flat(b, words, WORDS);
    for (size_t i = 0; i < WORDS; i++) require(words[i] == 0);
    bitmap *nothing = bitmap_and_not(b, again), *same = bitmap_and(b, again), *both = bitmap_or(b, again);
    require(bitmap_cardinality(nothing) == 0 && bitmap_equal(same, b) && bitmap_equal(both, b));
    bitmap_destroy(nothing);
    bitmap_destroy(same);
    bitmap_destroy(both);
    bitmap_destroy(again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    base_error error;
    bitmap *b = NULL;
    void *aligned = malloc(size ? size : 1);
    if (!aligned) return 0;
    if (size > 0) memcpy(aligned, data, size);
    if (bitmap_open((slice){aligned, size}, &b, &error) == FORAGE_OK) read_all(b);
    bitmap_destroy(b);
    free(aligned);
    return 0;
}
