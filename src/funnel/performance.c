#include "funnel/performance.h"

#include "base/bytes.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define KEPT 0.995f    /* of a slot at each lesson: it remembers about the last 200 */
#define TOWARDS 3.0f   /* lessons that the more general mean counts for */
#define PRIOR_MEAN 0.1f

typedef struct slot {
    float n, sum[RETRIEVE_STRATEGIES];
} slot;

struct performance {
    pthread_rwlock_t *lock; /* apart, so that const calls can take it */
    slot all, *slots;
};

performance *performance_create(void) {
    performance *p = mem_zalloc(1, sizeof *p);
    p->slots = mem_zalloc(PERFORMANCE_SLOTS, sizeof *p->slots);
    p->lock = mem_alloc(sizeof *p->lock);
    pthread_rwlock_init(p->lock, NULL);
    return p;
}

void performance_destroy(performance *p) {
    if (!p) return;
    pthread_rwlock_destroy(p->lock);
    free(p->lock);
    free(p->slots);
    free(p);
}

void performance_keys_of(slice normalized, const hash128 *memory_key, const memory_segment *segments, size_t n_segments,
                         performance_keys *out) {
    enum { QUERY = 1, WORD, SEGMENT };
    *out = (performance_keys){.query = (uint32_t)(hash64(memory_key, sizeof *memory_key, QUERY) % PERFORMANCE_SLOTS)};
    for (size_t at = 0; at < normalized.size && out->n_words < PERFORMANCE_WORDS;) {
        size_t end = at;
        while (end < normalized.size && normalized.data[end] != ' ') end++;
        if (end > at) out->words[out->n_words++] = (uint32_t)(hash64(normalized.data + at, end - at, WORD) % PERFORMANCE_SLOTS);
        at = end + 1;
    }
    for (size_t i = 0; i < n_segments && i < SEGMENTS_MAX; i++)
        out->segments[out->n_segments++] = (uint32_t)(hash64(&segments[i].hash, sizeof segments[i].hash, SEGMENT) % PERFORMANCE_SLOTS);
}

static void teach(slot *s, const float *worth, float weight) {
    s->n = s->n * KEPT + weight;
    for (uint32_t i = 0; i < RETRIEVE_STRATEGIES; i++) s->sum[i] = s->sum[i] * KEPT + weight * worth[i];
}

void performance_learn(performance *p, const performance_keys *keys, const uint32_t *rank, float weight) {
    float worth[RETRIEVE_STRATEGIES];
    for (uint32_t i = 0; i < RETRIEVE_STRATEGIES; i++) worth[i] = rank[i] ? 1 / log2f(1 + (float)rank[i]) : 0;
    pthread_rwlock_wrlock(p->lock);
    teach(&p->all, worth, weight);
    teach(&p->slots[keys->query], worth, weight);
    for (size_t i = 0; i < keys->n_words; i++) teach(&p->slots[keys->words[i]], worth, weight);
    for (size_t i = 0; i < keys->n_segments; i++) teach(&p->slots[keys->segments[i]], worth, weight);
    pthread_rwlock_unlock(p->lock);
}

static void draw(const slot *s, const float *towards, float *out) {
    for (uint32_t i = 0; i < RETRIEVE_STRATEGIES; i++) out[i] = (s->sum[i] + TOWARDS * towards[i]) / (s->n + TOWARDS);
}

static void add(slot *sum, const slot *s) {
    sum->n += s->n;
    for (uint32_t i = 0; i < RETRIEVE_STRATEGIES; i++) sum->sum[i] += s->sum[i];
}

void performance_ask(const performance *p, const performance_keys *keys, performance_means *out) {
    float prior[RETRIEVE_STRATEGIES], all[RETRIEVE_STRATEGIES];
    slot words = {0}, segments = {0};
    for (uint32_t i = 0; i < RETRIEVE_STRATEGIES; i++) prior[i] = PRIOR_MEAN;
    pthread_rwlock_rdlock(p->lock);
    draw(&p->all, prior, all);
    for (size_t i = 0; i < keys->n_segments; i++) add(&segments, &p->slots[keys->segments[i]]);
    for (size_t i = 0; i < keys->n_words; i++) add(&words, &p->slots[keys->words[i]]);
    draw(&segments, all, out->segments);
    draw(&words, out->segments, out->words);
    draw(&p->slots[keys->query], out->words, out->query);
    pthread_rwlock_unlock(p->lock);
}

/* ---- Bytes ---- */

#define WHOLE UINT32_MAX /* the slot number of `all` */

static void put_slot(uint32_t number, const slot *s, buffer *out) {
    put_u32(out, number);
    put_f32(out, s->n);
    for (uint32_t i = 0; i < RETRIEVE_STRATEGIES; i++) put_f32(out, s->sum[i]);
}

void performance_save(const performance *p, buffer *out) {
    uint32_t n = 1;
    for (uint32_t i = 0; i < PERFORMANCE_SLOTS; i++) n += p->slots[i].n > 0;
    put_u32(out, n);
    put_slot(WHOLE, &p->all, out);
    for (uint32_t i = 0; i < PERFORMANCE_SLOTS; i++)
        if (p->slots[i].n > 0) put_slot(i, &p->slots[i], out);
}

#define MOST 1e6f /* lessons of a slot: more than any weight adds up to */

static bool read_slot(byte_reader *in, slot *out) {
    out->n = read_f32(in);
    bool sane = out->n >= 0 && out->n <= MOST;
    for (uint32_t i = 0; i < RETRIEVE_STRATEGIES; i++) {
        out->sum[i] = read_f32(in);
        sane = sane && isfinite(out->sum[i]) && out->sum[i] >= 0 && out->sum[i] <= out->n * 1.001f;
    }
    return sane && !in->failed;
}

bool performance_load(performance *p, slice bytes) {
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    slot all = {0}, *slots = mem_zalloc(PERFORMANCE_SLOTS, sizeof *slots);
    uint32_t n = read_u32(&in);
    bool sane = n <= PERFORMANCE_SLOTS + 1;
    for (uint32_t i = 0; sane && i < n; i++) {
        uint32_t number = read_u32(&in);
        sane = number == WHOLE || number < PERFORMANCE_SLOTS;
        if (sane) sane = read_slot(&in, number == WHOLE ? &all : &slots[number]);
    }
    if (!sane || in.failed) {
        free(slots);
        return false;
    }
    pthread_rwlock_wrlock(p->lock);
    free(p->slots);
    p->slots = slots;
    p->all = all;
    pthread_rwlock_unlock(p->lock);
    return true;
}
