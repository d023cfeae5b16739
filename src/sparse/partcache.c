#include "sparse/partcache.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

enum { SETS = 64, SEEN = 256, LEAST_BYTES = 64 * 1024, SHARE = 16 };

typedef struct kept {
    uint64_t hash, used; /* used: the clock at its last use */
    char *key;
    size_t key_size, bytes;
    part_cache_set *set; /* NULL: free */
} kept;

/* A shape is made by one thread while the others do without. */
typedef struct shape {
    atomic_uint missed;
    _Atomic(void *) made;
} shape;

struct part_cache {
    const sparse_segment *segment;
    size_t most; /* bytes of sets, and of shapes */

    pthread_mutex_t mutex; /* guards all below but the shapes */
    uint64_t clock, hits, misses;
    size_t bytes, shape_bytes;
    uint32_t n_shapes;
    kept sets[SETS];
    uint64_t seen[SEEN]; /* hashes of leaves that were offered; one drives another out */

    shape orders[SPARSE_MAX_FIELDS], counts[SPARSE_MAX_FIELDS];
};

part_cache *part_cache_create(const sparse_segment *segment) {
    if (sparse_segment_count(segment) < PART_CACHE_PLACES) return NULL;
    part_cache *c = mem_zalloc(1, sizeof *c);
    c->segment = segment;
    c->most = sparse_segment_bytes(segment) / SHARE;
    if (c->most < LEAST_BYTES) c->most = LEAST_BYTES;
    pthread_mutex_init(&c->mutex, NULL);
    return c;
}

void part_cache_give_back(part_cache_set *set) {
    if (!set || atomic_fetch_sub(&set->references, 1) != 1) return;
    bitmap_destroy(set->members);
    free(set);
}

static void drop(part_cache *c, kept *k) {
    c->bytes -= k->bytes;
    part_cache_give_back(k->set);
    free(k->key);
    *k = (kept){0};
}

void part_cache_destroy(part_cache *c) {
    if (!c) return;
    for (size_t i = 0; i < SETS; i++)
        if (c->sets[i].set) drop(c, &c->sets[i]);
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) {
        sparse_keywords column = {0};
        sparse_segment_keywords(c->segment, f, &column);
        column_order_destroy(atomic_load(&c->orders[f].made));
        column_counts_destroy(atomic_load(&c->counts[f].made), column.n_values);
    }
    pthread_mutex_destroy(&c->mutex);
    free(c);
}

/* --- sets -------------------------------------------------------------------------------------------------------- */

/* The mutex is held. */
static kept *find(part_cache *c, const part_cache_key *key) {
    for (size_t i = 0; i < SETS; i++) {
        kept *k = &c->sets[i];
        if (k->hash == key->hash && k->set && k->key_size == key->bytes.size &&
            memcmp(k->key, key->bytes.data, k->key_size) == 0)
            return k;
    }
    return NULL;
}

part_cache_set *part_cache_take(part_cache *c, const part_cache_key *key) {
    part_cache_set *set = NULL;
    if (!c || key->bytes.size == 0) return NULL;
    pthread_mutex_lock(&c->mutex);
    kept *k = find(c, key);
    if (k) {
        k->used = ++c->clock;
        set = k->set;
        atomic_fetch_add(&set->references, 1);
        c->hits++;
    } else {
        c->misses++;
    }
    pthread_mutex_unlock(&c->mutex);
    return set;
}

/* True when the leaf was offered before and is still not kept. */
static bool is_wanted(part_cache *c, const part_cache_key *key) {
    pthread_mutex_lock(&c->mutex);
    uint64_t *seen = &c->seen[key->hash % SEEN];
    bool wanted = *seen == key->hash && !find(c, key);
    *seen = key->hash;
    pthread_mutex_unlock(&c->mutex);
    return wanted;
}

/* Room for one more of so many bytes: what was used least recently goes. The mutex is held. */
static kept *make_room(part_cache *c, size_t bytes) {
    for (;;) {
        kept *oldest = NULL, *vacant = NULL;
        for (size_t i = 0; i < SETS; i++) {
            kept *k = &c->sets[i];
            if (!k->set) vacant = k;
            else if (!oldest || k->used < oldest->used) oldest = k;
        }
        if (vacant && c->bytes + bytes <= c->most) return vacant;
        drop(c, oldest);
    }
}

void part_cache_offer(part_cache *c, const part_cache_key *key, const uint64_t *words) {
    if (!c || key->bytes.size == 0 || !is_wanted(c, key)) return;
    bitmap *members = bitmap_of_flat(words, sparse_segment_count(c->segment));
    size_t bytes = bitmap_memory(members) + key->bytes.size + sizeof(kept) + sizeof(part_cache_set);
    if (bytes > c->most / 2) {
        bitmap_destroy(members);
        return;
    }
    part_cache_set *set = mem_alloc(sizeof *set);
    char *copy = mem_alloc(key->bytes.size);
    atomic_init(&set->references, 1);
    set->members = members;
    memcpy(copy, key->bytes.data, key->bytes.size);
    pthread_mutex_lock(&c->mutex);
    if (!find(c, key)) {
        kept *k = make_room(c, bytes);
        *k = (kept){key->hash, ++c->clock, copy, key->bytes.size, bytes, set};
        c->bytes += bytes;
        set = NULL;
        copy = NULL;
    }
    pthread_mutex_unlock(&c->mutex);
    part_cache_give_back(set); /* another thread was faster */
    free(copy);
}

/* --- shapes ------------------------------------------------------------------------------------------------------ */

/* Counts a miss; true for the one miss that is to make the shape, for which there is room. */
static bool is_due(part_cache *c, shape *s, size_t bytes) {
    if (atomic_fetch_add(&s->missed, 1) + 1 != PART_CACHE_MISSED) return false;
    pthread_mutex_lock(&c->mutex);
    bool fits = bytes <= c->most - c->shape_bytes;
    if (fits) {
        c->shape_bytes += bytes;
        c->n_shapes++;
    }
    pthread_mutex_unlock(&c->mutex);
    return fits;
}

const column_order *part_cache_order(part_cache *c, uint32_t field, bool missed) {
    if (!c || field >= SPARSE_MAX_FIELDS) return NULL;
    shape *s = &c->orders[field];
    void *made = atomic_load_explicit(&s->made, memory_order_acquire);
    if (made || !missed) return made;
    uint32_t count = sparse_segment_count(c->segment);
    const double *numbers = sparse_segment_numbers(c->segment, field);
    if (!numbers || !is_due(c, s, column_order_bytes(count))) return NULL;
    column_order *order = column_order_create(numbers, count);
    atomic_store_explicit(&s->made, order, memory_order_release);
    return order;
}

const column_counts *part_cache_counts(part_cache *c, uint32_t field, bool missed) {
    if (!c || field >= SPARSE_MAX_FIELDS) return NULL;
    shape *s = &c->counts[field];
    sparse_keywords column;
    void *made = atomic_load_explicit(&s->made, memory_order_acquire);
    if (made || !missed) return made;
    uint32_t count = sparse_segment_count(c->segment);
    if (!sparse_segment_keywords(c->segment, field, &column)) return NULL;
    if (!is_due(c, s, column_counts_bytes(&column, count))) return NULL;
    column_counts *counts = column_counts_create(&column, count);
    atomic_store_explicit(&s->made, counts, memory_order_release);
    return counts;
}

void part_cache_describe(part_cache *c, part_cache_info *sum) {
    if (!c) return;
    pthread_mutex_lock(&c->mutex);
    sum->hits += c->hits;
    sum->misses += c->misses;
    sum->bytes += c->bytes + c->shape_bytes;
    sum->shapes += c->n_shapes;
    for (size_t i = 0; i < SETS; i++) sum->sets += c->sets[i].set != NULL;
    pthread_mutex_unlock(&c->mutex);
}
