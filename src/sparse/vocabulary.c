/* Words of the index that begin as given: for completing the word that somebody is still typing. */
#include "sparse/search.h"

#include "base/hash.h"

#include <stdlib.h>
#include <string.h>

#define WALK_LIMIT 8192 /* terms looked at in one part: a short beginning of a large vocabulary is cut off, in order */

typedef struct counted {
    slice key;
    uint64_t df;
} counted;

typedef struct vocabulary {
    counted *slots; /* open addressing */
    size_t capacity, n;
} vocabulary;

static void grow(vocabulary *v, arena *a) {
    vocabulary old = *v;
    v->capacity = old.capacity ? old.capacity * 2 : 256;
    v->slots = arena_zalloc(a, v->capacity, sizeof *v->slots);
    for (size_t i = 0; i < old.capacity; i++) {
        if (!old.slots[i].key.data) continue;
        size_t at = hash64(old.slots[i].key.data, old.slots[i].key.size, 0) & (v->capacity - 1);
        while (v->slots[at].key.data) at = (at + 1) & (v->capacity - 1);
        v->slots[at] = old.slots[i];
    }
}

static void count(vocabulary *v, slice key, uint32_t df, arena *a) {
    if (v->n * 2 >= v->capacity) grow(v, a);
    size_t at = hash64(key.data, key.size, 0) & (v->capacity - 1);
    while (v->slots[at].key.data && !slice_equal(v->slots[at].key, key)) at = (at + 1) & (v->capacity - 1);
    if (!v->slots[at].key.data) {
        v->slots[at].key = arena_slice(a, key);
        v->n++;
    }
    v->slots[at].df += df;
}

static int most_frequent_first(const void *x, const void *y) {
    const counted *a = x, *b = y;
    if (a->df != b->df) return a->df > b->df ? -1 : 1;
    return slice_compare(a->key, b->key);
}

size_t sparse_complete(const sparse_snapshot *s, slice prefix, size_t limit, arena *a, sparse_completion *out) {
    vocabulary v = {0};
    for (uint32_t p = 0; p < s->n_parts; p++) {
        sparse_term_walk walk;
        sparse_term term;
        slice key;
        sparse_term_walk_start(&walk, s->parts[p].segment, prefix);
        for (size_t looked = 0; looked < WALK_LIMIT && sparse_term_walk_next(&walk, &key, &term); looked++) {
            if (key.size < prefix.size || memcmp(key.data, prefix.data, prefix.size) != 0) break;
            count(&v, key, term.df, a);
        }
    }
    counted *list = arena_alloc(a, (v.n + 1) * sizeof *list);
    size_t n = 0;
    for (size_t i = 0; i < v.capacity; i++)
        if (v.slots[i].key.data) list[n++] = v.slots[i];
    if (n) qsort(list, n, sizeof *list, most_frequent_first);
    if (n > limit) n = limit;
    for (size_t i = 0; i < n; i++) out[i] = (sparse_completion){list[i].key, list[i].df};
    return n;
}
