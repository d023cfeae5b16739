/* The index: adding, replacing, removing; when a graph starts, and when it is made anew. */
#include "dense/dense_impl.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* --- creation ----------------------------------------------------------------------------------------------------------- */

static forage_status check_config(dense_config *c, base_error *error) {
    if (c->dimensions == 0 || c->dimensions > DENSE_MOST_DIMENSIONS)
        return error_set(error, FORAGE_E_INVALID, "dimensions: expected 1 to %u, got %u", DENSE_MOST_DIMENSIONS, c->dimensions);
    if ((unsigned)c->metric >= DENSE_METRICS || (unsigned)c->code >= DENSE_CODES)
        return error_set(error, FORAGE_E_INVALID, "metric %d or code %d does not exist", (int)c->metric, (int)c->code);
    if (c->M == 0) c->M = 16;
    if (c->M < 2 || c->M > DENSE_MOST_M)
        return error_set(error, FORAGE_E_INVALID, "M: expected 2 to %u, got %u", DENSE_MOST_M, c->M);
    if (c->ef_construction == 0) c->ef_construction = 120;
    if (c->ef_construction < c->M) c->ef_construction = c->M;
    if (c->ef_construction > DENSE_MOST_EF)
        return error_set(error, FORAGE_E_INVALID, "ef_construction: expected at most %u, got %u", DENSE_MOST_EF, c->ef_construction);
    if (c->graph_at == 0) c->graph_at = DENSE_GRAPH_AT;
    return FORAGE_OK;
}

forage_status dense_index_create(const char *folder, const dense_config *wanted, dense_index **out, base_error *error) {
    dense_config config = *wanted;
    forage_status status = check_config(&config, error);
    if (status < 0) return status;
    dense_vectors *vectors = NULL;
    if ((status = dense_vectors_create(folder, config.dimensions, &vectors, error)) < 0) return status;
    dense_index *index = mem_zalloc(1, sizeof *index);
    index->config = config;
    index->vectors = vectors;
    pthread_rwlockattr_t fair;
    pthread_rwlockattr_init(&fair);
#ifdef PTHREAD_RWLOCK_WRITER_NONRECURSIVE_INITIALIZER_NP
    pthread_rwlockattr_setkind_np(&fair, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
#endif
    pthread_rwlock_init(&index->writers, &fair);
    pthread_rwlockattr_destroy(&fair);
    pthread_mutex_init(&index->append, NULL);
    for (uint32_t i = 0; i < DENSE_STRIPES; i++) pthread_mutex_init(index->documents + i, NULL);
    random_seed(&index->random, config.seed);
    *out = index;
    return FORAGE_OK;
}

void dense_index_close(dense_index *index) {
    if (!index) return;
    for (dense_scratch *s = atomic_load(&index->scratches), *next; s; s = next) {
        next = s->next;
        dense_scratch_release(s);
        free(s);
    }
    dense_graph_destroy(atomic_load(&index->graph));
    dense_vectors_destroy(index->vectors);
    for (uint32_t i = 0; i < DENSE_STRIPES; i++) pthread_mutex_destroy(index->documents + i);
    pthread_mutex_destroy(&index->append);
    pthread_rwlock_destroy(&index->writers);
    free(index);
}

/* --- scratch ------------------------------------------------------------------------------------------------------------ */

dense_scratch *dense_scratch_take(dense_index *index) {
    dense_scratch *first = atomic_load_explicit(&index->scratches, memory_order_acquire);
    for (dense_scratch *s = first; s; s = s->next) {
        bool idle = false;
        if (!atomic_load_explicit(&s->busy, memory_order_relaxed) && atomic_compare_exchange_strong(&s->busy, &idle, true)) return s;
    }
    dense_scratch *s = mem_alloc(sizeof *s);
    dense_scratch_init(s);
    atomic_store(&s->busy, true);
    s->next = atomic_load(&index->scratches);
    while (!atomic_compare_exchange_weak(&index->scratches, &s->next, s)) {}
    return s;
}

void dense_scratch_give(dense_scratch *s) {
    atomic_store(&s->graph, NULL);
    atomic_store(&s->busy, false);
}

/* A hazard pointer (Michael 2004): whoever replaces the graph waits until no scratch names the old one. */
dense_graph *dense_pin(dense_index *index, dense_scratch *s) {
    dense_graph *g = atomic_load(&index->graph);
    for (;;) {
        atomic_store(&s->graph, g);
        dense_graph *now = atomic_load(&index->graph);
        if (now == g) return g;
        g = now;
    }
}

/* --- the first vectors -------------------------------------------------------------------------------------------------- */

#define SAMPLE 4096u

/* A coder is made from what comes first, and made anew (see better_coder) while there is no graph. */
static void make_coder(dense_index *index, const float *vectors, size_t n) {
    const dense_config *c = &index->config;
    pthread_mutex_lock(&index->append);
    if (!atomic_load(&index->graph)) {
        index->sampled = n < SAMPLE ? (uint32_t)n : SAMPLE;
        dense_coder *coder = dense_coder_create(c->dimensions, c->metric, c->code, vectors, index->sampled);
        atomic_store(&index->graph, dense_graph_create(coder, c));
    }
    pthread_mutex_unlock(&index->append);
}

/* --- adding ------------------------------------------------------------------------------------------------------------- */

static forage_status check_vector(const dense_index *index, uint32_t document, const float *vector, base_error *error) {
    if (document == DENSE_NONE) return error_set(error, FORAGE_E_INVALID, "document %u: the number is too large", document);
    double norm = 0;
    for (uint32_t i = 0; i < index->config.dimensions; i++) {
        if (!isfinite(vector[i]))
            return error_set(error, FORAGE_E_INVALID, "document %u: value %u of the vector is not finite", document, i);
        norm += (double)vector[i] * vector[i];
    }
    if (norm > DENSE_MOST_SQUARE) return error_set(error, FORAGE_E_INVALID, "document %u: the vector is too long", document);
    if (index->config.metric == DENSE_COSINE && norm < DENSE_LEAST_SQUARE)
        return error_set(error, FORAGE_E_INVALID, "document %u: a zero vector has no direction", document);
    return FORAGE_OK;
}

/* l = floor(-ln(unif(0..1)) * mL), mL = 1 / ln(M). */
static uint32_t draw_level(dense_index *index) {
    double u = 1 - random_double(&index->random), mL = 1 / log(index->config.M);
    double l = floor(-log(u) * mL);
    return l < 15 ? (uint32_t)l : 15;
}

static forage_status append(dense_index *index, dense_graph *g, uint32_t document, uint64_t version, const float *vector,
                            uint32_t *node, base_error *error) {
    uint32_t row = 0;
    pthread_mutex_lock(&index->append);
    forage_status status = FORAGE_OK;
    if (atomic_load_explicit(&g->n, memory_order_relaxed) >= DENSE_MOST_NODES)
        status = error_set(error, FORAGE_E_TOO_LARGE, "an index has at most %u vectors", DENSE_MOST_NODES);
    else status = dense_vectors_take(index->vectors, &row, error);
    if (status >= 0) {
        *node = dense_graph_append(g, document, row, draw_level(index));
        memcpy(dense_vectors_row(index->vectors, row), vector, index->config.dimensions * sizeof *vector);
        *dense_vectors_version(index->vectors, row) = version;
        dense_coder_encode(g->coder, vector, dense_code_of(g, *node));
        dense_graph_publish(g, *node);
    }
    pthread_mutex_unlock(&index->append);
    return status;
}

static void bury(dense_graph *g, uint32_t node) {
    atomic_fetch_or_explicit(dense_state_of(g, node), DENSE_DEAD, memory_order_release);
    atomic_fetch_add(&g->n_dead, 1);
}

static uint64_t version_of(const dense_index *index, const dense_graph *g, uint32_t node) {
    return *dense_vectors_version(index->vectors, dense_about_of(g, node)->row);
}

/* With `writers` held for reading. */
static forage_status add_one(dense_index *index, dense_scratch *s, uint32_t document, uint64_t version, const float *vector,
                             base_error *error) {
    forage_status status = check_vector(index, document, vector, error);
    if (status < 0) return status;
    if (!atomic_load(&index->graph)) make_coder(index, vector, 1);
    dense_graph *g = atomic_load(&index->graph);
    pthread_mutex_t *lock = index->documents + document % DENSE_STRIPES;
    pthread_mutex_lock(lock);
    uint32_t old = dense_graph_node(g, document), node = 0;
    if (old != DENSE_NONE && version_of(index, g, old) > version) goto done;
    if ((status = append(index, g, document, version, vector, &node, error)) < 0) goto done;
    if (atomic_load(&g->linked)) dense_link_node(g, s, node);
    dense_graph_map(g, document, node);
    if (old == DENSE_NONE) {
        atomic_fetch_add(&index->live, 1);
    } else {
        bury(g, old);
        atomic_fetch_add(&index->replaced, 1);
    }
done:
    pthread_mutex_unlock(lock);
    return status;
}

#define DEAD_AT_LEAST 1024u

static bool wants_compaction(dense_index *index) {
    dense_graph *g = atomic_load(&index->graph);
    uint32_t dead = g ? atomic_load(&g->n_dead) : 0;
    return dead >= DEAD_AT_LEAST && dead > atomic_load(&index->live) / 2;
}

static bool wants_graph(dense_index *index) {
    dense_graph *g = atomic_load(&index->graph);
    return g && !atomic_load(&g->linked) && atomic_load(&index->live) >= index->config.graph_at;
}

/* Few vectors say little about the ranges of those to come. */
static bool wants_coder(dense_index *index) {
    dense_graph *g = atomic_load(&index->graph);
    return g && !atomic_load(&g->linked) && index->sampled < SAMPLE && atomic_load(&index->live) >= 8 * (uint64_t)index->sampled;
}

#define MEND_AT 32u      /* growth by 1/32 */
#define MEND_ALL_AT 256u /* after many at once */
#define MOST_UNMENDED 8192u

/* Additions cut off what was linked: a link that gave way to nearer ones may have been the only way to a cluster, and where
 * vectors come cluster by cluster, walks end in the nearest one that they see. To mend costs a part of what the additions did. */
static bool wants_mending(dense_index *index, uint32_t share) {
    dense_graph *g = atomic_load(&index->graph);
    uint32_t n = g && atomic_load(&g->linked) ? atomic_load(&g->n) : 0, repaired = atomic_load(&index->repaired);
    uint32_t growth = repaired / share < MOST_UNMENDED ? repaired / share : MOST_UNMENDED;
    return n > repaired && n - repaired > growth;
}

void dense_mend(dense_index *index) {
    dense_graph *g = atomic_load(&index->graph);
    if (!g || !atomic_load(&g->linked) || atomic_load(&g->n) == atomic_load(&index->repaired)) return;
    dense_scratch *s = dense_scratch_take(index);
    dense_probe(g, s, atomic_load(&index->repaired), index->mended++);
    dense_repair(g, s);
    dense_scratch_give(s);
    atomic_store(&index->repaired, atomic_load(&g->n));
}

/* One of a sample of the living, spread over all of them. */
static dense_coder *better_coder(dense_index *index) {
    const dense_config *c = &index->config;
    dense_graph *g = atomic_load(&index->graph);
    uint32_t n = atomic_load(&g->n), live = atomic_load(&index->live), wanted = live < SAMPLE ? live : SAMPLE, taken = 0, met = 0;
    float *sample = mem_alloc((size_t)wanted * c->dimensions * sizeof *sample + 1);
    for (uint32_t i = 0; i < n && taken < wanted; i++) {
        if (dense_graph_node(g, dense_about_of(g, i)->document) != i) continue;
        if ((uint64_t)met++ * wanted / live < taken) continue;
        const float *row = dense_vectors_row(index->vectors, dense_about_of(g, i)->row);
        memcpy(sample + (size_t)taken++ * c->dimensions, row, c->dimensions * sizeof *row);
    }
    dense_coder *coder = dense_coder_create(c->dimensions, c->metric, c->code, sample, taken);
    index->sampled = taken;
    free(sample);
    return coder;
}

static bool wants_anything(dense_index *index) {
    return wants_compaction(index) || wants_coder(index) || wants_graph(index) || wants_mending(index, MEND_AT);
}

static void start_graph(dense_index *index, unsigned n_threads);

/* Looked at with `writers` held, which keeps the graph from going away; acted on with all others out. */
static void maintain(dense_index *index, bool wanted, unsigned n_threads) {
    if (!wanted) return;
    pthread_rwlock_wrlock(&index->writers);
    bool graph = wants_graph(index), coder = wants_coder(index) || (graph && index->sampled < SAMPLE);
    if (coder || graph || wants_compaction(index)) dense_compact(index, coder ? better_coder(index) : NULL);
    if (graph) start_graph(index, n_threads);
    dense_mend(index);
    pthread_rwlock_unlock(&index->writers);
}

forage_status dense_index_add(dense_index *index, uint32_t document, uint64_t version, const float *vector, base_error *error) {
    dense_scratch *s = dense_scratch_take(index);
    pthread_rwlock_rdlock(&index->writers);
    forage_status status = add_one(index, s, document, version, vector, error);
    bool wanted = wants_anything(index);
    pthread_rwlock_unlock(&index->writers);
    dense_scratch_give(s);
    maintain(index, wanted, 1);
    return status;
}

/* --- many --------------------------------------------------------------------------------------------------------------- */

typedef struct add_work {
    dense_index *index;
    size_t n;
    const uint32_t *documents;
    const uint64_t *versions;
    const float *vectors;
    const uint32_t *order; /* in which nodes are linked */
    _Atomic size_t next;
    _Atomic bool failed;
    pthread_mutex_t lock; /* of status and error */
    forage_status status;
    base_error error;
} add_work;

static void *add_some(void *argument) {
    add_work *w = argument;
    dense_index *index = w->index;
    dense_scratch *s = dense_scratch_take(index);
    for (size_t i; !atomic_load(&w->failed) && (i = atomic_fetch_add(&w->next, 1)) < w->n;) {
        base_error error = {0};
        pthread_rwlock_rdlock(&index->writers);
        forage_status status = add_one(index, s, w->documents[i], w->versions[i], w->vectors + i * index->config.dimensions, &error);
        bool wanted = wants_compaction(index) || wants_coder(index) || wants_mending(index, MEND_AT);
        pthread_rwlock_unlock(&index->writers);
        if (wanted) maintain(index, true, 1);
        if (status >= 0) continue;
        pthread_mutex_lock(&w->lock);
        if (!atomic_exchange(&w->failed, true)) {
            w->status = status;
            w->error = error;
        }
        pthread_mutex_unlock(&w->lock);
    }
    dense_scratch_give(s);
    return NULL;
}

#define MOST_THREADS 256u

static void run_threads(void *(*body)(void *), void *argument, unsigned n_threads) {
    if (n_threads == 0) {
        long processors = sysconf(_SC_NPROCESSORS_ONLN);
        n_threads = processors > 0 ? (unsigned)processors : 1;
    }
    if (n_threads > MOST_THREADS) n_threads = MOST_THREADS;
    pthread_t threads[MOST_THREADS];
    unsigned started = 0;
    while (started + 1 < n_threads && pthread_create(threads + started, NULL, body, argument) == 0) started++;
    body(argument);
    for (unsigned i = 0; i < started; i++) pthread_join(threads[i], NULL);
}

forage_status dense_index_add_all(dense_index *index, size_t n, const uint32_t *documents, const uint64_t *versions,
                                  const float *vectors, unsigned n_threads, base_error *error) {
    if (n == 0) return FORAGE_OK;
    for (size_t i = 0; i < n && i < SAMPLE; i++) {
        forage_status status = check_vector(index, documents[i], vectors + i * index->config.dimensions, error);
        if (status < 0) return status;
    }
    if (!atomic_load(&index->graph)) make_coder(index, vectors, n);
    add_work w = {.index = index, .n = n, .documents = documents, .versions = versions, .vectors = vectors};
    pthread_mutex_init(&w.lock, NULL);
    run_threads(add_some, &w, n_threads);
    pthread_mutex_destroy(&w.lock);
    pthread_rwlock_rdlock(&index->writers);
    bool wanted = wants_anything(index) || wants_mending(index, MEND_ALL_AT);
    pthread_rwlock_unlock(&index->writers);
    maintain(index, wanted, n_threads);
    if (w.status < 0 && error) *error = w.error;
    return w.status;
}

static void *link_some(void *argument) {
    add_work *w = argument;
    dense_graph *g = atomic_load(&w->index->graph);
    dense_scratch *s = dense_scratch_take(w->index);
    for (size_t i; (i = atomic_fetch_add(&w->next, 1)) < w->n;) dense_link_node(g, s, w->order[i]);
    dense_scratch_give(s);
    return NULL;
}

/* Searches scan meanwhile. In random order: of vectors that come cluster by cluster, the first of a cluster would find all lists
 * around full, and lose its links to those that come later. */
static void start_graph(dense_index *index, unsigned n_threads) {
    dense_graph *g = atomic_load(&index->graph);
    uint32_t n = atomic_load(&g->n), *order = mem_alloc((size_t)n * sizeof *order + 1);
    random_source r;
    random_seed(&r, index->config.seed);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t at = (uint32_t)random_below(&r, i + 1);
        order[i] = order[at];
        order[at] = i;
    }
    add_work w = {.index = index, .n = n, .order = order};
    run_threads(link_some, &w, n_threads);
    free(order);
    dense_compact(index, NULL);
    atomic_store(&atomic_load(&index->graph)->linked, true);
}

/* --- removing and reading ----------------------------------------------------------------------------------------------- */

void dense_index_remove(dense_index *index, uint32_t document) {
    bool compaction = false;
    pthread_rwlock_rdlock(&index->writers);
    dense_graph *g = atomic_load(&index->graph);
    if (g && document != DENSE_NONE) {
        pthread_mutex_t *lock = index->documents + document % DENSE_STRIPES;
        pthread_mutex_lock(lock);
        uint32_t node = dense_graph_node(g, document);
        if (node != DENSE_NONE) {
            dense_graph_map(g, document, DENSE_NONE);
            bury(g, node);
            atomic_fetch_sub(&index->live, 1);
        }
        pthread_mutex_unlock(lock);
        compaction = wants_compaction(index);
    }
    pthread_rwlock_unlock(&index->writers);
    maintain(index, compaction, 1);
}

bool dense_index_version(dense_index *index, uint32_t document, uint64_t *version) {
    dense_scratch *s = dense_scratch_take(index);
    dense_graph *g = dense_pin(index, s);
    uint32_t node = g && document != DENSE_NONE ? dense_graph_node(g, document) : DENSE_NONE;
    if (node != DENSE_NONE) *version = version_of(index, g, node);
    dense_scratch_give(s);
    return node != DENSE_NONE;
}

bool dense_index_vector(dense_index *index, uint32_t document, float *out) {
    dense_scratch *s = dense_scratch_take(index);
    dense_graph *g = dense_pin(index, s);
    uint32_t node = g && document != DENSE_NONE ? dense_graph_node(g, document) : DENSE_NONE;
    if (node != DENSE_NONE) {
        const float *row = dense_vectors_row(index->vectors, dense_about_of(g, node)->row);
        memcpy(out, row, index->config.dimensions * sizeof *out);
    }
    dense_scratch_give(s);
    return node != DENSE_NONE;
}

typedef struct live_document {
    uint32_t document;
    uint64_t version;
} live_document;

static int by_document(const void *a, const void *b) {
    const live_document *x = a, *y = b;
    return x->document < y->document ? -1 : x->document > y->document;
}

size_t dense_index_documents(dense_index *index, arena *a, uint32_t **documents, uint64_t **versions) {
    dense_scratch *s = dense_scratch_take(index);
    dense_graph *g = dense_pin(index, s);
    uint32_t n = g ? atomic_load_explicit(&g->n, memory_order_acquire) : 0;
    live_document *all = mem_alloc((size_t)n * sizeof *all + 1);
    size_t found = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t document = dense_about_of(g, i)->document;
        if (dense_graph_node(g, document) == i) all[found++] = (live_document){document, version_of(index, g, i)};
    }
    dense_scratch_give(s);
    qsort(all, found, sizeof *all, by_document);
    *documents = arena_alloc(a, found * sizeof **documents);
    *versions = arena_alloc(a, found * sizeof **versions);
    for (size_t i = 0; i < found; i++) {
        (*documents)[i] = all[i].document;
        (*versions)[i] = all[i].version;
    }
    free(all);
    return found;
}

void dense_index_describe(dense_index *index, dense_info *out) {
    *out = (dense_info){0};
    dense_scratch *s = dense_scratch_take(index);
    dense_graph *g = dense_pin(index, s);
    pthread_mutex_lock(&index->append);
    out->documents = atomic_load(&index->live);
    out->mapped = dense_vectors_bytes(index->vectors);
    if (g) {
        uint64_t entry = atomic_load(&g->entry);
        out->dead = atomic_load(&g->n_dead);
        out->layers = entry ? (uint32_t)(entry >> 32) + 1 : 0;
        out->memory = dense_graph_memory(g);
        out->graph = atomic_load(&g->linked);
    }
    pthread_mutex_unlock(&index->append);
    dense_scratch_give(s);
}
