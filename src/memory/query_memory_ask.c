/* Asking: one list out of the four ways. */
#include "memory/predict.h"
#include "memory/query_memory_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_PREDICTED 256 /* documents of one query */

typedef struct belief {
    memory_row row;
    float misses;                /* of the same query */
    float by_words, by_letters;  /* rewards lent */
    float lent_misses;
} belief;

typedef struct answer {
    const query_memory *m;
    const memory_question *q;
    arena *a;
    belief *beliefs;
    size_t n, capacity;
    uint32_t *slots; /* number + 1, by document */
    size_t mask;
} answer;

/* Documents stand in rows; a product alone would leave them in rows. */
static size_t spread(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    return x ^ x >> 15;
}

static uint32_t *slot_of(const answer *x, uint32_t document) {
    size_t i = spread(document) & x->mask;
    while (x->slots[i] && x->beliefs[x->slots[i] - 1].row.document != document) i = (i + 1) & x->mask;
    return &x->slots[i];
}

static void make_slots(answer *x, size_t size) {
    x->slots = arena_zalloc(x->a, size, sizeof *x->slots);
    x->mask = size - 1;
    for (size_t i = 0; i < x->n; i++) *slot_of(x, x->beliefs[i].row.document) = (uint32_t)i + 1;
}

static belief *belief_in(answer *x, uint32_t document) {
    uint32_t *slot = slot_of(x, document);
    if (*slot) return &x->beliefs[*slot - 1];
    if (x->n == x->capacity) {
        x->capacity *= 2;
        belief *grown = arena_alloc(x->a, x->capacity * sizeof *grown);
        memcpy(grown, x->beliefs, x->n * sizeof *grown);
        x->beliefs = grown;
        make_slots(x, 2 * x->capacity);
        slot = slot_of(x, document);
    }
    x->beliefs[x->n] = (belief){.row = {.document = document}};
    *slot = (uint32_t)++x->n;
    return &x->beliefs[x->n - 1];
}

static float missed(float impressions, float rewards) { return impressions > rewards ? impressions - rewards : 0; }

/* ---- The ways ---- */

static bool add_same(void *self, uint32_t document, const memory_counts *c) {
    answer *x = self;
    belief *b = belief_in(x, document);
    float left = memory_decay(c->time, x->q->now, x->m->settings.half_life);
    b->row.impressions = c->impressions * left;
    b->row.rewards = c->rewards * left;
    b->row.time = c->time;
    b->misses = missed(b->row.impressions, b->row.rewards);
    return true;
}

static void add_predicted(answer *x, store_txn *t, hash128 key) {
    prediction *list;
    size_t n = predict_of_query(t, key, MAX_PREDICTED, x->a, &list);
    for (size_t i = 0; i < n; i++) belief_in(x, list[i].document)->row.predicted = list[i].score;
}

static float left_of(const answer *x, const neighbours_row *row) {
    return memory_decay((int64_t)row->time * 1000000, x->q->now, x->m->settings.half_life);
}

/* The neighbours' counts, each for what it is worth, and all together at most `lent_most`: a query that many others
 * resemble is not drowned by them. */
static void add_lent(answer *x, const neighbour *near, size_t n) {
    float all = 0, most = x->m->settings.lent_most;
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < near[i].n_rows; r++)
            all += near[i].weight * near[i].rows[r].rewards * left_of(x, &near[i].rows[r]);
    float share = all > most ? most / all : 1;
    for (size_t i = 0; i < n; i++)
        for (size_t r = 0; r < near[i].n_rows; r++) {
            const neighbours_row *row = &near[i].rows[r];
            float worth = share * near[i].weight * left_of(x, row), rewards = worth * row->rewards;
            belief *b = belief_in(x, row->document);
            *(near[i].by_letters ? &b->by_letters : &b->by_words) += rewards;
            b->lent_misses += missed(worth * row->impressions, rewards);
        }
}

static void find_lent(answer *x, hash128 key) {
    neighbours_features features;
    neighbour *near;
    query_memory *m = (query_memory *)(uintptr_t)x->m; /* its lock is part of it */
    if (!query_memory_describe(m).queries) return;
    neighbours_features_of(x->q->analyzer, x->q->normalized, x->q->language, &features);
    pthread_rwlock_rdlock(&m->lock);
    size_t n = neighbours_find(m->near, &features, &key, x->a, &near);
    pthread_rwlock_unlock(&m->lock);
    add_lent(x, near, n);
}

/* ---- Beliefs ---- */

void memory_believe(float m, float s, float rewards, float misses, float *mean, float *deviation) {
    float a = m * s + rewards, b = (1 - m) * s + misses, n = a + b;
    *mean = a / n;
    *deviation = sqrtf(a * b / (n * n * (n + 1)));
}

static void believe(belief *b) {
    memory_row *row = &b->row;
    float m = memory_prior_mean(row->predicted), predicted = (m - MEMORY_PRIOR_MEAN) * MEMORY_PRIOR_STRENGTH;
    row->lent = b->by_words + b->by_letters;
    memory_believe(m, MEMORY_PRIOR_STRENGTH, row->rewards + row->lent, b->misses + b->lent_misses, &row->mean,
                   &row->deviation);
    row->way = MEMORY_SAME;
    float most = row->rewards;
    const float others[MEMORY_WAYS] = {0, b->by_words, b->by_letters, predicted};
    for (int way = MEMORY_WORDS; way < MEMORY_WAYS; way++)
        if (others[way] > most) {
            most = others[way];
            row->way = (memory_way)way;
        }
}

static bool pull(void *self, uint32_t document, const memory_counts *c) {
    answer *x = self;
    uint32_t *slot = slot_of(x, document);
    if (!*slot) return true;
    memory_row *row = &x->beliefs[*slot - 1].row;
    float left = memory_decay(c->time, x->q->now, x->m->settings.half_life);
    memory_believe(row->mean, x->m->settings.segment_strength, c->rewards * left,
                   missed(c->impressions, c->rewards) * left, &row->mean, &row->deviation);
    return true;
}

/* ---- The list ---- */

static bool is_before(const memory_row *a, const memory_row *b) {
    return a->mean != b->mean ? a->mean > b->mean : a->document < b->document;
}

static int best_first(const void *x, const void *y) { return is_before(x, y) ? -1 : 1; }

/* The worst of those kept is on top of the heap. */
static void sink(memory_row *heap, size_t n, size_t at) {
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && is_before(&heap[child], &heap[child + 1])) child++;
        if (!is_before(&heap[at], &heap[child])) return;
        memory_row held = heap[at];
        heap[at] = heap[child];
        heap[child] = held;
    }
}

/* Nobody chose it, nothing predicts it any more: that it was shown once is no answer. */
static bool is_answer(const memory_row *row) { return row->rewards > 0 || row->lent > 0 || row->predicted > 0; }

static size_t select_best(const answer *x, size_t most, memory_row **rows) {
    size_t n = 0, room = x->n < most ? x->n : most;
    memory_row *heap = arena_alloc(x->a, (room + 1) * sizeof *heap);
    for (size_t i = 0; room && i < x->n; i++) {
        const memory_row *row = &x->beliefs[i].row;
        if (!is_answer(row)) continue;
        if (n < room) {
            heap[n++] = *row;
            for (size_t at = n / 2; n == room && at-- > 0;) sink(heap, n, at);
        } else if (is_before(row, &heap[0])) {
            heap[0] = *row;
            sink(heap, n, 0);
        }
    }
    if (n) qsort(heap, n, sizeof *heap, best_first);
    *rows = heap;
    return n;
}

#define FIRST_BELIEFS 256

size_t query_memory_ask(query_memory *m, store_txn *t, const memory_question *question, size_t most, arena *a,
                        memory_row **rows) {
    *rows = NULL;
    if (!store_count(t, STORE_MEMORY) && !store_count(t, STORE_PREDICTIONS)) return 0;
    answer x = {.m = m, .q = question, .a = a, .capacity = FIRST_BELIEFS,
                .beliefs = arena_alloc(a, FIRST_BELIEFS * sizeof(belief))};
    hash128 key = memory_key(question->normalized);
    make_slots(&x, 2 * FIRST_BELIEFS);
    memory_each_row(t, STORE_MEMORY, key, MEMORY_MAX_ROWS, add_same, &x);
    if (question->normalized.size) add_predicted(&x, t, key);
    if (question->normalized.size && !question->same_only) find_lent(&x, key);
    for (size_t i = 0; i < x.n; i++) believe(&x.beliefs[i]);
    for (size_t s = 0; s < question->n_segments; s++)
        memory_each_row(t, STORE_SEGMENTS, segments_key(key, &question->segments[s]), MEMORY_MAX_ROWS, pull, &x);
    return select_best(&x, most, rows);
}
