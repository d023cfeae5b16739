/* Uniform samples without replacement: each subset of k eligible documents is as likely as any other; random order. */
#include "sparse/search.h"

#include "sparse/placeset.h"

#include <stdlib.h>

/* A set of numbers, open addressing, at most half full. */
typedef struct number_set {
    uint64_t *slots; /* number + 1; 0: free */
    size_t mask;
} number_set;

static number_set number_set_of(size_t most, arena *a) {
    size_t size = 4;
    while (size < most * 2) size *= 2;
    return (number_set){arena_zalloc(a, size, sizeof(uint64_t)), size - 1};
}

/* False when it was there before. */
static bool number_set_add(number_set *set, uint64_t number) {
    size_t at = (size_t)(number * 0x9e3779b97f4a7c15u >> 20) & set->mask;
    for (; set->slots[at]; at = (at + 1) & set->mask) {
        if (set->slots[at] == number + 1) return false;
    }
    set->slots[at] = number + 1;
    return true;
}

/* The document at a position in the parts' places laid end to end, which is not past them; false: not eligible. */
static bool document_at(const sparse_eligible *set, uint64_t position, uint32_t *document) {
    const sparse_part *part = set->snapshot->parts;
    const uint64_t **bits = set->bits;
    uint32_t count;
    for (; position >= (count = sparse_segment_count(part->segment)); part++, bits++) position -= count;
    if (*bits && !placeset_has(*bits, (uint32_t)position)) return false;
    *document = sparse_segment_document(part->segment, (uint32_t)position);
    return true;
}

/* Throws until k different members are hit. */
static void sample_by_rejection(const sparse_eligible *set, uint64_t places, size_t k, random_source *random, arena *a,
                                sparse_hit *hits) {
    number_set seen = number_set_of(k, a);
    for (size_t n = 0; n < k;) {
        uint64_t position = random_below(random, places);
        uint32_t document;
        if (!document_at(set, position, &document) || !number_set_add(&seen, position)) continue;
        hits[n++] = (sparse_hit){document, 0};
    }
}

static int by_number(const void *left, const void *right) {
    uint64_t a = *(const uint64_t *)left, b = *(const uint64_t *)right;
    return (a > b) - (a < b);
}

/* Floyd's algorithm: k different ranks below n, ascending. */
static uint64_t *draw_ranks(uint64_t n, size_t k, random_source *random, arena *a) {
    number_set seen = number_set_of(k, a);
    uint64_t *ranks = arena_alloc(a, k * sizeof *ranks);
    for (size_t i = 0; i < k; i++) {
        uint64_t top = n - k + i, rank = random_below(random, top + 1);
        if (!number_set_add(&seen, rank)) number_set_add(&seen, rank = top);
        ranks[i] = rank;
    }
    qsort(ranks, k, sizeof *ranks, by_number);
    return ranks;
}

/* The members at the given ranks: one pass over the bitmaps, by their words' population counts. */
static void select_ranks(const sparse_eligible *set, const uint64_t *ranks, size_t k, sparse_hit *hits) {
    uint64_t before = 0;
    size_t n = 0;
    for (uint32_t p = 0; p < set->snapshot->n_parts; p++) {
        const sparse_segment *segment = set->snapshot->parts[p].segment;
        uint32_t count = sparse_segment_count(segment);
        for (size_t i = 0, words = placeset_words(count); i < words && n < k; i++) {
            uint64_t word = placeset_word(set->bits[p], i, count), end = before + placeset_ones(word);
            for (; n < k && ranks[n] < end; n++) {
                for (; before < ranks[n]; before++) word &= word - 1;
                uint32_t place = (uint32_t)(i * 64) + (uint32_t)__builtin_ctzll(word);
                hits[n] = (sparse_hit){sparse_segment_document(segment, place), 0};
            }
            before = end;
        }
    }
}

static void shuffle(sparse_hit *hits, size_t n, random_source *random) {
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)random_below(random, i);
        sparse_hit swap = hits[i - 1];
        hits[i - 1] = hits[j];
        hits[j] = swap;
    }
}

size_t sparse_sample(const sparse_eligible *eligible, size_t k, random_source *random, arena *a, sparse_hit *hits) {
    uint64_t places = 0;
    for (uint32_t p = 0; p < eligible->snapshot->n_parts; p++) {
        places += sparse_segment_count(eligible->snapshot->parts[p].segment);
    }
    if (k > eligible->count) k = (size_t)eligible->count;
    if (k == 0) return 0;
    if (eligible->count >= places / 8 && k <= eligible->count / 2) {
        sample_by_rejection(eligible, places, k, random, a, hits);
    } else {
        select_ranks(eligible, draw_ranks(eligible->count, k, random, a), k, hits);
        shuffle(hits, k, random);
    }
    return k;
}
