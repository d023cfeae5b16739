#include "retrieve/cross_encoder.h"

#include "base/hash.h"
#include "base/log.h"
#include "encode/vector_cache.h"
#include "os/wait.h"
#include "retrieve/cross_scoring.h"
#include "retrieve/vectors_state.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SECOND ((int64_t)1000000)
#define RETRY (60 * SECOND)
#define PATIENCE SECOND       /* of opening a collection, for its model */
#define REMEMBERED 65536u     /* scores; 3 MiB */
#define MOST_THREADS 8        /* that score one search's documents */

/* Held by the searches that use it: the next one may be put in its place meanwhile. */
typedef struct cross_model {
    atomic_uint references;
    bert_model *bert;
    uint64_t version;
    const schema_cross *declared; /* a collection's schemas live as long as it does */
} cross_model;

struct cross_encoder {
    collection *collection;
    pthread_mutex_t mutex; /* of all up to the counts */
    pthread_cond_t opened;
    pthread_t thread;
    bool started, opening, closing;
    cross_model *current;
    const schema_cross *tried; /* the last one that was, or is, opened */
    int64_t retry_at;
    char problem[200];
    os_pool *helpers;          /* made with the first model */
    vector_cache *cache;

    atomic_ullong searches, scored, cached, late, unready, took_us;
};

static int64_t now(void) { return clock_monotonic(&os_clock_system); }

/* ---- Models ---- */

static bool same_model(const schema_cross *x, const schema_cross *y) {
    return x && y && x->model && y->model && strcmp(x->model, y->model) == 0 && x->full_precision == y->full_precision &&
           x->tokens == y->tokens;
}

static void release_model(cross_model *m) {
    if (!m || atomic_fetch_sub(&m->references, 1) != 1) return;
    bert_model_close(m->bert);
    free(m);
}

/* The mutex is held. */
static void note_problem(cross_encoder *x, const char *why) {
    if (strcmp(x->problem, why) != 0)
        log_warn("collection %s, cross-encoder: %s; searches go without it until that is mended", collection_name(x->collection), why);
    snprintf(x->problem, sizeof x->problem, "%.199s", why);
}

static void make_helpers(cross_encoder *x) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned threads = cores > MOST_THREADS ? MOST_THREADS : cores > 1 ? (unsigned)cores : 1;
    if (threads > 1 && !x->helpers) x->helpers = os_pool_create(threads - 1, 4 * MOST_THREADS); /* and the search's own */
    if (!x->cache) x->cache = vector_cache_create(1, REMEMBERED);
}

static void *open_model(void *argument) {
    cross_encoder *x = argument;
    pthread_mutex_lock(&x->mutex);
    const schema_cross *c = x->tried;
    pthread_mutex_unlock(&x->mutex);
    bert_options options = {.head = BERT_PAIRS, .precision = c->full_precision ? BERT_FP32 : BERT_INT8, .most_tokens = c->tokens,
                            .threads = 1};
    bert_model *bert = NULL;
    cross_model *made = NULL;
    base_error error = {0};
    forage_status status = bert_model_open(c->model, &options, &bert, &error);
    if (!status) {
        made = mem_zalloc(1, sizeof *made);
        atomic_init(&made->references, 1);
        made->bert = bert;
        made->version = bert_model_describe(bert).version;
        made->declared = c;
    }
    pthread_mutex_lock(&x->mutex);
    cross_model *old = made;
    if (made && same_model(&collection_schema(x->collection)->ranking.cross, c)) {
        make_helpers(x);
        old = x->current;
        x->current = made;
        x->problem[0] = '\0';
    } else if (!made) {
        note_problem(x, error.message);
        x->retry_at = now() + RETRY;
    }
    x->opening = false;
    pthread_cond_broadcast(&x->opened);
    pthread_mutex_unlock(&x->mutex);
    release_model(old);
    return NULL;
}

/* Sees to it that what is declared is open, or will be. The mutex is held. */
static void want(cross_encoder *x, const schema_cross *c) {
    bool open = x->current && same_model(x->current->declared, c);
    if (!c->model || open || x->opening || x->closing) return;
    if (x->problem[0] && same_model(x->tried, c) && now() < x->retry_at) return;
    if (x->started) pthread_join(x->thread, NULL); /* it has let go of the mutex for good */
    x->tried = c;
    x->opening = x->started = pthread_create(&x->thread, NULL, open_model, x) == 0;
    if (x->started) return;
    note_problem(x, "no thread can be started");
    x->retry_at = now() + RETRY;
}

/* For release_model; NULL: it is not there. */
static cross_model *hold(cross_encoder *x, const schema_cross *c) {
    pthread_mutex_lock(&x->mutex);
    want(x, c);
    cross_model *m = x->current && same_model(x->current->declared, c) ? x->current : NULL;
    if (m) atomic_fetch_add(&m->references, 1);
    pthread_mutex_unlock(&x->mutex);
    return m;
}

void cross_encoder_follow(cross_encoder *x) {
    const schema_cross *c = &collection_schema(x->collection)->ranking.cross;
    cross_model *gone = NULL;
    pthread_mutex_lock(&x->mutex);
    x->retry_at = 0; /* somebody may have mended it */
    want(x, c);
    if (!c->model) { /* its memory is given back */
        gone = x->current;
        x->current = NULL;
        x->problem[0] = '\0';
    }
    pthread_mutex_unlock(&x->mutex);
    release_model(gone);
}

/* ---- Open and close ---- */

cross_encoder *cross_encoder_create(collection *c) {
    cross_encoder *x = mem_zalloc(1, sizeof *x);
    x->collection = c;
    pthread_mutex_init(&x->mutex, NULL);
    os_condition_init(&x->opened);
    cross_encoder_follow(x);
    int64_t until = now() + PATIENCE;
    pthread_mutex_lock(&x->mutex);
    while (x->opening && os_wait_until(&x->opened, &x->mutex, until)) {}
    pthread_mutex_unlock(&x->mutex);
    return x;
}

void cross_encoder_destroy(cross_encoder *x) {
    if (!x) return;
    pthread_mutex_lock(&x->mutex);
    x->closing = true;
    pthread_mutex_unlock(&x->mutex);
    if (x->started) pthread_join(x->thread, NULL);
    os_pool_destroy(x->helpers);
    release_model(x->current);
    vector_cache_destroy(x->cache);
    pthread_cond_destroy(&x->opened);
    pthread_mutex_destroy(&x->mutex);
    free(x);
}

/* ---- Scoring ---- */

/* What a score depends on beside the model: no padding, for it is hashed as it lies. */
typedef struct pair_key {
    hash128 query;
    uint64_t members; /* that the text is made of */
    uint64_t version;
    uint64_t document;
} pair_key;
_Static_assert(sizeof(pair_key) == 40, "no padding");

/* What is not remembered and is to be scored. */
typedef struct missing {
    pair_key key;
    size_t place;
} missing;

typedef struct reading {
    const char *names[SPARSE_MAX_FIELDS];
    size_t n_names;
    pair_key key;
    arena parse;
    buffer text;
} reading;

static void begin_reading(reading *d, const cross_request *r) {
    const schema_cross *c = &r->schema->ranking.cross;
    d->n_names = vectors_text_members(r->schema, c->from, c->n_from, d->names);
    d->key = (pair_key){.query = hash128_of(r->query.data, r->query.size)};
    for (size_t i = 0; i < d->n_names; i++) d->key.members = hash64(d->names[i], strlen(d->names[i]) + 1, d->key.members);
    arena_init(&d->parse, 1 << 16);
}

static void end_reading(reading *d) {
    arena_release(&d->parse);
    buffer_release(&d->text);
}

/* The documents whose score is not remembered, with their texts; returns how many. */
static size_t read_missing(cross_encoder *x, const cross_model *m, const cross_request *r, int64_t deadline, arena *a, float *scores,
                           missing *list, slice *texts, cross_result *out) {
    reading d = {0};
    size_t n = 0;
    begin_reading(&d, r);
    for (size_t i = 0; i < r->n; i++) {
        collection_document document;
        json_value *json;
        slice key = {(const char *)&d.key, sizeof d.key};
        if (collection_document_by_number(r->txn, r->documents[i], &document)) continue;
        d.key.version = document.version;
        d.key.document = document.number;
        if (vector_cache_get(x->cache, m->version, ENCODE_DOCUMENT, key, &scores[i])) {
            out->cached++;
            continue;
        }
        if (out->late) continue; /* others may still be remembered */
        arena_reset(&d.parse);
        if (json_read(&d.parse, document.source, &json, NULL)) continue;
        vectors_text_of(d.names, d.n_names, json, &d.text);
        if (!d.text.size) continue;
        texts[n] = arena_slice(a, (slice){d.text.data, d.text.size});
        list[n++] = (missing){d.key, i};
        out->late = now() >= deadline;
    }
    end_reading(&d);
    return n;
}

static void score_missing(cross_encoder *x, cross_model *m, const cross_request *r, int64_t deadline, arena *a, float *scores,
                          cross_result *out) {
    missing *list = arena_alloc(a, (r->n + 1) * sizeof *list);
    slice *texts = arena_alloc(a, (r->n + 1) * sizeof *texts);
    float *found = arena_alloc(a, (r->n + 1) * sizeof *found);
    base_error error = {0};
    bool late = false;
    size_t n = read_missing(x, m, r, deadline, a, scores, list, texts, out);
    for (size_t i = 0; i < n; i++) found[i] = NAN;
    cross_pairs pairs = {m->bert, r->query, texts, n, deadline, found};
    if (n && cross_score_pairs(&pairs, x->helpers, &late, &error)) {
        pthread_mutex_lock(&x->mutex);
        note_problem(x, error.message);
        pthread_mutex_unlock(&x->mutex);
    }
    out->late = out->late || late;
    for (size_t i = 0; i < n; i++) {
        if (isnan(found[i])) continue;
        scores[list[i].place] = found[i];
        vector_cache_put(x->cache, m->version, ENCODE_DOCUMENT, (slice){(const char *)&list[i].key, sizeof list[i].key}, &found[i]);
        out->scored++;
    }
    out->scored += out->cached;
}

cross_result cross_encoder_score(cross_encoder *x, const cross_request *r, arena *a, float *scores) {
    const schema_cross *c = &r->schema->ranking.cross;
    int64_t began = now(), deadline = began + (int64_t)c->budget_ms * 1000;
    cross_result out = {0};
    for (size_t i = 0; i < r->n; i++) scores[i] = NAN;
    cross_model *m = hold(x, c);
    out.ready = m != NULL;
    if (m) score_missing(x, m, r, r->deadline < deadline ? r->deadline : deadline, a, scores, &out);
    release_model(m);
    out.took_us = (uint32_t)(now() - began);
    atomic_fetch_add(&x->searches, 1);
    atomic_fetch_add(&x->scored, out.scored);
    atomic_fetch_add(&x->cached, out.cached);
    atomic_fetch_add(&x->late, out.late);
    atomic_fetch_add(&x->unready, !out.ready);
    atomic_fetch_add(&x->took_us, out.took_us);
    return out;
}

bool cross_encoder_describe(cross_encoder *x, cross_info *out) {
    const schema_cross *c = &collection_schema(x->collection)->ranking.cross;
    if (!c->model) return false;
    *out = (cross_info){.searches = x->searches, .scored = x->scored, .cached = x->cached, .late = x->late, .unready = x->unready,
                        .took_us = x->took_us};
    pthread_mutex_lock(&x->mutex);
    want(x, c);
    out->opening = x->opening;
    if (x->current && same_model(x->current->declared, c)) out->version = x->current->version;
    memcpy(out->problem, x->problem, sizeof out->problem);
    pthread_mutex_unlock(&x->mutex);
    return true;
}
