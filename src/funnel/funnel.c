#include "funnel/answer.h"

#include "os/wait.h"

#include <stdlib.h>
#include <string.h>

/* An answer with memory from an earlier request, if one is spare. */
funnel_answer *funnel_answer_begin(funnel *f, const funnel_request *request) {
    pthread_mutex_lock(&f->spare_mutex);
    funnel_answer *a = f->spare;
    if (a) f->spare = a->next_spare;
    pthread_mutex_unlock(&f->spare_mutex);
    if (!a) {
        a = mem_zalloc(1, sizeof *a);
        a->funnel = f;
        arena_init(&a->memory, 256 * 1024);
        a->analyzer = text_analyzer_create();
        pthread_mutex_init(&a->mutex, NULL);
        os_condition_init(&a->arrived);
        for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) arena_init(&a->slots[s].memory, 64 * 1024);
    }
    atomic_store(&a->references, 1);
    atomic_fetch_add(&f->in_flight, 1);
    a->request = request;
    a->n_given = 0;
    a->experiment = a->side_ranker = a->side_policy = a->rival_name = (slice){0};
    a->side = RECORD_SIDE_NONE;
    a->shadow_rank = NULL;
    a->shadow_name = NULL;
    a->cross = (funnel_cross){0};
    a->query_id_slice = (slice){0};
    a->started = clock_monotonic(collection_clock(f->collection));
    pthread_mutex_lock(&f->random_mutex);
    random_seed(&a->random, request->seed ? request->seed : random_u64(&f->random));
    pthread_mutex_unlock(&f->random_mutex);
    return a;
}

forage_status funnel_search(funnel *f, const funnel_request *request, funnel_answer **out, base_error *error) {
    funnel_answer *a = funnel_answer_begin(f, request);
    forage_status status = funnel_understand(a, error);
    if (!status) funnel_make_id(a);
    if (!status) funnel_assign(a);
    if (!status) status = funnel_decide(a, error);
    if (!status) funnel_retrieve(a);
    if (!status) funnel_unite(a);
    if (!status) status = funnel_rank(a, error);
    if (!status) funnel_respond(a);
    if (!status) funnel_log(a);
    if (status) {
        funnel_answer_unref(a);
        return status;
    }
    a->finished = clock_monotonic(collection_clock(f->collection));
    *out = a;
    return FORAGE_OK;
}

#define GIVEN_DEPTH 200 /* that the strategies are asked for, so that candidates have their ranks */

static int by_id(const void *x, const void *y) { return slice_compare(*(const slice *)x, *(const slice *)y); }

/* A candidate that is there twice would stand twice in the order. */
static forage_status check_given(const funnel_given *given, size_t n, base_error *error) {
    if (n > FUNNEL_MOST_GIVEN) return error_set(error, FORAGE_E_INVALID, "%zu candidates are more than %d", n, FUNNEL_MOST_GIVEN);
    slice *ids = mem_alloc((n + 1) * sizeof *ids);
    forage_status status = FORAGE_OK;
    for (size_t i = 0; i < n; i++) ids[i] = given[i].id;
    if (n) qsort(ids, n, sizeof *ids, by_id);
    for (size_t i = 1; i < n && !status; i++)
        if (slice_equal(ids[i - 1], ids[i])) status = error_set(error, FORAGE_E_INVALID, "candidate \"%.*s\" is there twice",
            SLICE_ARG(ids[i]));
    free(ids);
    return status;
}

forage_status funnel_rank_given(funnel *f, const funnel_request *request, const funnel_given *given, size_t n, funnel_answer **out,
                                base_error *error) {
    uint32_t depth[RETRIEVE_STRATEGIES];
    funnel_answer *a;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) depth[s] = GIVEN_DEPTH;
    forage_status status = check_given(given, n, error);
    if (!status) status = funnel_ask(f, request, depth, &a, error);
    if (status) return status;
    memset(&a->decision, 0, sizeof a->decision);
    a->given = given;
    a->n_given = n;
    funnel_unite(a);
    status = funnel_rank(a, error);
    if (status) {
        funnel_answer_unref(a);
        return status;
    }
    funnel_respond(a);
    a->finished = clock_monotonic(collection_clock(f->collection));
    *out = a;
    return FORAGE_OK;
}

/* ---- Memory of answers ---- */

static void answer_destroy(funnel_answer *a) {
    arena_release(&a->memory);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) arena_release(&a->slots[s].memory);
    text_analyzer_destroy(a->analyzer);
    pthread_cond_destroy(&a->arrived);
    pthread_mutex_destroy(&a->mutex);
    free(a);
}

#define LARGEST_SPARE (8u << 20) /* an unusually large request's memory is given back */

/* The last holder puts the answer away; a late strategy may be the last. */
void funnel_answer_unref(funnel_answer *a) {
    if (atomic_fetch_sub(&a->references, 1) != 1) return;
    funnel *f = a->funnel;
    funnel_release_scorer(&a->scorer);
    funnel_release_scorer(&a->rival);
    store_read_end(a->txn);
    if (a->snapshot) collection_release(f->collection, a->snapshot);
    vector_query_release(a->meaning);
    a->meaning = NULL;
    weights_query_release(a->expansion);
    a->expansion = NULL;
    a->txn = NULL;
    a->snapshot = NULL;
    if (arena_used(&a->memory) > LARGEST_SPARE) arena_release(&a->memory);
    arena_reset(&a->memory);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        if (arena_used(&a->slots[s].memory) > LARGEST_SPARE) arena_release(&a->slots[s].memory);
        arena_reset(&a->slots[s].memory);
    }
    pthread_mutex_lock(&f->spare_mutex);
    a->next_spare = f->spare;
    f->spare = a;
    pthread_mutex_unlock(&f->spare_mutex);
    atomic_fetch_sub(&f->in_flight, 1); /* last: funnel_close waits for it */
}

/* ---- Open and close ---- */

forage_status funnel_open(collection *c, os_pool *pool, uint64_t seed, funnel **out, base_error *error) {
    funnel *f = mem_zalloc(1, sizeof *f);
    f->collection = c;
    f->pool = pool;
    f->strategies = retrieve_strategies;
    random_seed(&f->random, seed ? seed : random_entropy());
    pthread_mutex_init(&f->random_mutex, NULL);
    pthread_mutex_init(&f->spare_mutex, NULL);
    pthread_mutex_init(&f->counters_mutex, NULL);
    pthread_mutex_init(&f->versions_mutex, NULL);
    pthread_mutex_init(&f->columns_mutex, NULL);
    pthread_mutex_init(&f->experiment_mutex, NULL);
    f->models = models_create();
    memory_settings settings = memory_default_settings;
    settings.segments = funnel_segment_fields(collection_schema(c));
    funnel_learners own = {0};
    forage_status status = funnel_learners_init(f, &f->overlap, &own, error);
    f->learned = own.policy;
    f->performance = own.performance;
    f->ranker = own.ranker;
    f->analyzer = own.analyzer;
    if (!status) status = query_memory_open(collection_store(c), &settings, &f->memory, error);
    if (!status) status = funnel_load_state(f, error);
    if (!status) status = vectors_open(c, &f->vectors, error);
    if (!status) f->cross = cross_encoder_create(c);
    if (status) {
        funnel_close(f);
        return status;
    }
    *out = f;
    return FORAGE_OK;
}

static forage_status save_apply(store_txn *t, void *self, base_error *error) {
    funnel *f = self;
    return f->saved_sequence == f->learned_sequence ? FORAGE_OK : funnel_save_state(f, t, error);
}

void funnel_close(funnel *f) {
    if (!f) return;
    while (atomic_load(&f->in_flight)) {
        struct timespec pause = {0, 1000000}; /* a late strategy is still on its way */
        nanosleep(&pause, NULL);
    }
    vectors_close(f->vectors);
    cross_encoder_destroy(f->cross);
    store *s = collection_store(f->collection);
    if (f->behaviour && s && !store_read_only(s)) {
        store_job job = {save_apply, NULL, f};
        store_write(s, &job, NULL);
    }
    while (f->spare) {
        funnel_answer *next = f->spare->next_spare;
        answer_destroy(f->spare);
        f->spare = next;
    }
    funnel_learners own = funnel_own_learners(f);
    funnel_learners_release(&own);
    query_memory_close(f->memory);
    behaviour_close(f->behaviour);
    models_destroy(f->models);
    experiment_destroy(f->experiment);
    while (f->columns) {
        columns_list *next = f->columns->next;
        columns_destroy(f->columns);
        f->columns = next;
    }
    pthread_mutex_destroy(&f->columns_mutex);
    pthread_mutex_destroy(&f->experiment_mutex);
    pthread_mutex_destroy(&f->versions_mutex);
    pthread_mutex_destroy(&f->random_mutex);
    pthread_mutex_destroy(&f->spare_mutex);
    pthread_mutex_destroy(&f->counters_mutex);
    free(f);
}

collection *funnel_collection(const funnel *f) { return f->collection; }
query_memory *funnel_memory(funnel *f) { return f->memory; }
vectors *funnel_vectors(funnel *f) { return f->vectors; }

void funnel_answer_release(funnel_answer *a) {
    if (a) funnel_answer_unref(a);
}

size_t funnel_answer_hits(const funnel_answer *a, const funnel_hit **hits) {
    *hits = a->hits;
    return a->n_hits;
}

size_t funnel_answer_union(funnel_answer *a, const uint32_t **documents) {
    uint32_t *list = arena_alloc(&a->memory, (a->n_candidates + 1) * sizeof *list);
    for (size_t i = 0; i < a->n_candidates; i++) list[i] = a->candidates[i].document;
    *documents = list;
    return a->n_candidates;
}

slice funnel_answer_query_id(const funnel_answer *a) { return a->query_id_slice; }
