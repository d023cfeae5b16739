#include "encode/vector_cache.h"

#include "base/hash.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* Entries lie in one array and name each other by number, 0 being nobody: chains of a hash table, and a ring through
 * entry 0 in order of use, its `next` the most recent. */
typedef struct cache_key {
    hash128 text;
    uint64_t version;
    uint64_t side;
} cache_key;

typedef struct cache_entry {
    cache_key key;
    uint32_t chain, next, before;
} cache_entry;

struct vector_cache {
    pthread_mutex_t lock;
    uint32_t dimensions, most, n, n_buckets; /* a power of two */
    uint32_t *buckets;
    cache_entry *entries; /* n + 1 */
    float *vectors;       /* (n + 1) × dimensions */
    size_t entries_capacity, vectors_capacity;
    uint64_t hits, misses;
};

vector_cache *vector_cache_create(uint32_t dimensions, uint32_t most) {
    assert(dimensions && most && most <= 1u << 24);
    vector_cache *c = mem_zalloc(1, sizeof *c);
    pthread_mutex_init(&c->lock, NULL);
    c->dimensions = dimensions;
    c->most = most;
    for (c->n_buckets = 16; c->n_buckets < most; c->n_buckets *= 2) {}
    c->buckets = mem_zalloc(c->n_buckets, sizeof *c->buckets);
    c->entries = mem_grow(NULL, &c->entries_capacity, 1, sizeof *c->entries);
    c->entries[0] = (cache_entry){0};
    return c;
}

void vector_cache_destroy(vector_cache *c) {
    if (!c) return;
    pthread_mutex_destroy(&c->lock);
    free(c->buckets);
    free(c->entries);
    free(c->vectors);
    free(c);
}

static cache_key key_of(uint64_t version, encode_side side, slice text) {
    return (cache_key){hash128_of(text.data, text.size), version, side};
}

static uint32_t *bucket_of(vector_cache *c, const cache_key *key) {
    return &c->buckets[hash64(key, sizeof *key, 0) & (c->n_buckets - 1)];
}

static uint32_t find(vector_cache *c, const cache_key *key) {
    uint32_t at = *bucket_of(c, key);
    while (at && memcmp(&c->entries[at].key, key, sizeof *key) != 0) at = c->entries[at].chain;
    return at;
}

static void unlink_entry(vector_cache *c, uint32_t at) {
    cache_entry *e = &c->entries[at];
    c->entries[e->before].next = e->next;
    c->entries[e->next].before = e->before;
}

static void link_first(vector_cache *c, uint32_t at) {
    cache_entry *e = &c->entries[at];
    e->before = 0;
    e->next = c->entries[0].next;
    c->entries[e->next].before = at;
    c->entries[0].next = at;
}

bool vector_cache_get(vector_cache *c, uint64_t version, encode_side side, slice text, float *out) {
    cache_key key = key_of(version, side, text);
    pthread_mutex_lock(&c->lock);
    uint32_t at = find(c, &key);
    if (at) {
        unlink_entry(c, at);
        link_first(c, at);
        memcpy(out, c->vectors + (size_t)at * c->dimensions, c->dimensions * sizeof *out);
        c->hits++;
    } else {
        c->misses++;
    }
    pthread_mutex_unlock(&c->lock);
    return at != 0;
}

/* A free place: a new one while there is room, then that of the least recently used. */
static uint32_t take_place(vector_cache *c) {
    if (c->n < c->most) {
        size_t need = (size_t)++c->n + 1;
        c->entries = mem_grow(c->entries, &c->entries_capacity, need, sizeof *c->entries);
        c->vectors = mem_grow(c->vectors, &c->vectors_capacity, need * c->dimensions, sizeof *c->vectors);
        return c->n;
    }
    uint32_t last = c->entries[0].before, *at = bucket_of(c, &c->entries[last].key);
    while (*at != last) at = &c->entries[*at].chain;
    *at = c->entries[last].chain;
    unlink_entry(c, last);
    return last;
}

void vector_cache_put(vector_cache *c, uint64_t version, encode_side side, slice text, const float *vector) {
    cache_key key = key_of(version, side, text);
    pthread_mutex_lock(&c->lock);
    uint32_t at = find(c, &key);
    if (!at) {
        at = take_place(c);
        uint32_t *bucket = bucket_of(c, &key);
        c->entries[at].key = key;
        c->entries[at].chain = *bucket;
        *bucket = at;
        link_first(c, at);
    }
    memcpy(c->vectors + (size_t)at * c->dimensions, vector, c->dimensions * sizeof *vector);
    pthread_mutex_unlock(&c->lock);
}

vector_cache_info vector_cache_describe(vector_cache *c) {
    pthread_mutex_lock(&c->lock);
    vector_cache_info info = {c->hits, c->misses, c->n};
    pthread_mutex_unlock(&c->lock);
    return info;
}

/* ---- In front of an encoder ---- */

typedef struct cached_encoder {
    encoder base;
    encoder_class class; /* its kind is the inner one's */
    encoder *inner;
    vector_cache *cache;
} cached_encoder;

static forage_status encode_missing(cached_encoder *c, const slice *texts, const size_t *missing, size_t n, int64_t deadline,
                                    float *out, base_error *error) {
    const size_t d = c->base.dimensions;
    slice *asked = mem_alloc(n * sizeof *asked);
    float *vectors = mem_alloc(n * d * sizeof *vectors);
    uint64_t version = c->inner->version;
    for (size_t i = 0; i < n; i++) asked[i] = texts[missing[i]];
    forage_status status = encoder_encode(c->inner, ENCODE_QUERY, asked, n, deadline, vectors, error);
    for (size_t i = 0; i < n && !status; i++) {
        memcpy(out + missing[i] * d, vectors + i * d, d * sizeof *out);
        vector_cache_put(c->cache, version, ENCODE_QUERY, asked[i], vectors + i * d);
    }
    free(asked);
    free(vectors);
    return status;
}

static forage_status cached_encode(encoder *e, encode_side side, const slice *texts, size_t n, int64_t deadline, float *out,
                                   base_error *error) {
    cached_encoder *c = (cached_encoder *)e;
    if (side != ENCODE_QUERY) return encoder_encode(c->inner, side, texts, n, deadline, out, error);
    size_t n_missing = 0, *missing = mem_alloc((n + 1) * sizeof *missing);
    for (size_t i = 0; i < n; i++)
        if (!vector_cache_get(c->cache, c->inner->version, side, texts[i], out + i * e->dimensions)) missing[n_missing++] = i;
    forage_status status = n_missing ? encode_missing(c, texts, missing, n_missing, deadline, out, error) : FORAGE_OK;
    free(missing);
    return status;
}

static void cached_destroy(encoder *e) {
    cached_encoder *c = (cached_encoder *)e;
    encoder_destroy(c->inner);
    vector_cache_destroy(c->cache);
    free(c);
}

encoder *vector_cached_encoder(encoder *inner, uint32_t most) {
    cached_encoder *c = mem_zalloc(1, sizeof *c);
    c->class = (encoder_class){inner->class->kind, cached_encode, cached_destroy};
    c->base = (encoder){&c->class, inner->dimensions, inner->version};
    c->inner = inner;
    c->cache = vector_cache_create(inner->dimensions, most);
    return &c->base;
}
