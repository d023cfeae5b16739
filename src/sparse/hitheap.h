/* The k best of a stream of (key, document): higher keys first, ties by document number, ascending. */
#ifndef SPARSE_HITHEAP_H
#define SPARSE_HITHEAP_H

#include "sparse/search.h"

#include <string.h>

/* Numbers as keys of the same order (not for NaN; both zeros are one number). */
static inline uint64_t hit_key_double(double v) {
    uint64_t bits;
    v += 0.0; /* −0 to +0 */
    memcpy(&bits, &v, sizeof bits);
    return bits >> 63 ? ~bits : bits | (uint64_t)1 << 63;
}

static inline double hit_double(uint64_t key) {
    uint64_t bits = key >> 63 ? key & ~((uint64_t)1 << 63) : ~key;
    double v;
    memcpy(&v, &bits, sizeof v);
    return v;
}

typedef struct hit_entry {
    uint64_t key;
    uint32_t document;
} hit_entry;

typedef struct hit_heap {
    hit_entry *entries; /* a binary heap with the worst at its root */
    size_t size, k;     /* k > 0 */
} hit_heap;

static inline bool hit_better(hit_entry a, hit_entry b) {
    return (a.key > b.key) | ((a.key == b.key) & (a.document < b.document)); /* a branch would be mispredicted */
}

/* `most` bounds how many can be offered, so that a huge k costs nothing. */
static inline hit_heap hit_heap_of(size_t k, uint64_t most, arena *a) {
    if (k > most) k = (size_t)most;
    return (hit_heap){arena_alloc(a, k * sizeof(hit_entry)), 0, k};
}

static inline bool hit_heap_full(const hit_heap *h) {
    return h->size == h->k;
}

static inline void hit_heap_sink(hit_entry *entries, size_t size, hit_entry entry) {
    size_t at = 0;
    for (size_t child; (child = 2 * at + 1) < size; at = child) {
        size_t other = child + (child + 1 < size);
        child += (size_t)hit_better(entries[child], entries[other]);
        if (hit_better(entries[child], entry)) break;
        entries[at] = entries[child];
    }
    entries[at] = entry;
}

static inline void hit_heap_offer(hit_heap *h, uint64_t key, uint32_t document) {
    hit_entry entry = {key, document};
    if (hit_heap_full(h)) {
        if (h->k && hit_better(entry, h->entries[0])) hit_heap_sink(h->entries, h->size, entry);
        return;
    }
    size_t at = h->size++;
    for (; at > 0 && hit_better(h->entries[(at - 1) / 2], entry); at = (at - 1) / 2) {
        h->entries[at] = h->entries[(at - 1) / 2];
    }
    h->entries[at] = entry;
}

/* Orders the entries best first; the heap is one no longer. */
static inline void hit_heap_sort(hit_heap *h) {
    for (size_t size = h->size; size > 1;) {
        hit_entry worst = h->entries[0], last = h->entries[--size];
        hit_heap_sink(h->entries, size, last);
        h->entries[size] = worst;
    }
}

#endif
