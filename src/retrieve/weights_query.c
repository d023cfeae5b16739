/* One request's view of the fields of weights: its own tokens for each, made when somebody first wants them. */
#include "retrieve/gather.h"
#include "retrieve/vectors_state.h"

#include <stdlib.h>
#include <string.h>

#define MOST_FIELDS 8     /* that one request searches */
#define QUERY_TOKENS 64u  /* the heaviest that a model gives a query */
#define SPARE 16u         /* further hits, for those whose document is gone */

typedef enum query_state { QUERY_UNKNOWN, QUERY_KNOWN, QUERY_NONE } query_state;

typedef struct field_query {
    vector_space *space;
    const sparse_snapshot *snapshot; /* of its index: searches and scores are of the same documents */
    bool own_tokens;                 /* the query is its own tokens, by their idf */
    _Atomic(query_state) state;      /* becomes known under the query's mutex */
    sparse_query_term *terms;
    size_t n_terms;
} field_query;

struct weights_query {
    pthread_mutex_t mutex; /* held while encoding: whoever else wants the tokens waits for it */
    arena memory;          /* under the mutex */
    slice text;
    size_t n;
    field_query fields[MOST_FIELDS];
};

static void add_term(weights_query *q, field_query *f, slice token, double weight) {
    double scaled = weight * (double)f->space->field->vector.max_weight;
    if (!(scaled > 0) || !token.size || f->n_terms == SCHEMA_MAX_TOKENS) return;
    f->terms[f->n_terms++] = (sparse_query_term){.key = sparse_weight_key(&q->memory, 0, token), .weight = (float)scaled};
}

static void take_given(weights_query *q, field_query *f, const json_value *given) {
    f->terms = arena_alloc(&q->memory, (given->count + 1) * sizeof *f->terms);
    for (const json_value *w = given->first; w; w = w->next)
        if (w->type == JSON_NUMBER) add_term(q, f, w->key, w->number);
    f->state = f->n_terms ? QUERY_KNOWN : QUERY_NONE;
}

weights_query *weights_ask(vectors *v, slice text, const schema_field *given_field, const json_value *given) {
    size_t n = atomic_load(&v->n_fields);
    weights_query *q = NULL;
    for (size_t i = 0; i < n && !(q && q->n == MOST_FIELDS); i++) {
        const schema_field *field = atomic_load(&v->fields[i].field);
        vector_space *s = field->kind == SCHEMA_WEIGHTS ? vectors_hold(v, &v->fields[i]) : NULL;
        if (!s) continue;
        if (!q) {
            q = mem_zalloc(1, sizeof *q);
            pthread_mutex_init(&q->mutex, NULL);
            arena_init(&q->memory, 4096);
            q->text = arena_slice(&q->memory, text);
        }
        field_query *f = &q->fields[q->n++];
        f->space = s;
        f->snapshot = sparse_index_acquire(s->weights);
        f->own_tokens = field->vector.token_queries;
        if (given && strcmp(given_field->name, field->name) == 0) take_given(q, f, given);
        else if (!s->model || !text.size) f->state = QUERY_NONE;
    }
    return q;
}

void weights_query_release(weights_query *q) {
    if (!q) return;
    for (size_t i = 0; i < q->n; i++) {
        sparse_index_release(q->fields[i].space->weights, q->fields[i].snapshot);
        vector_space_release(q->fields[i].space);
    }
    arena_release(&q->memory);
    pthread_mutex_destroy(&q->mutex);
    free(q);
}

bool weights_query_possible(const weights_query *q) {
    for (size_t i = 0; q && i < q->n; i++)
        if (q->fields[i].state != QUERY_NONE) return true;
    return false;
}

/* Without a model each token weighs its idf in the field's index: without it, words that all documents have would decide (Geng et
 * al. 2024). */
static void take_own_tokens(weights_query *q, field_query *f, const bert_weights *tokens) {
    for (uint32_t i = 0; i < tokens->n; i++) {
        slice token = bert_token_text(f->space->model, tokens->list[i].token);
        float idf = sparse_idf(f->snapshot, sparse_weight_key(&q->memory, 0, token));
        add_term(q, f, token, (double)tokens->list[i].weight * (double)idf);
    }
}

static void take_made(weights_query *q, field_query *f, const bert_weights *made) {
    for (uint32_t i = 0; i < made->n; i++)
        add_term(q, f, bert_token_text(f->space->model, made->list[i].token), (double)made->list[i].weight);
}

/* Tokens that could not be made in time may still be made for the next who asks. */
static bool make_terms(weights_query *q, field_query *f, int64_t deadline, bool *late) {
    pthread_mutex_lock(&q->mutex);
    if (f->state == QUERY_UNKNOWN) {
        bert_model *m = f->space->model;
        bert_weights made = {0};
        forage_status status = FORAGE_OK;
        if (f->own_tokens) made = bert_sparse_tokens(m, q->text, QUERY_TOKENS, &q->memory);
        else status = bert_sparse_encode(m, ENCODE_QUERY, &q->text, 1, QUERY_TOKENS, 0, deadline, &q->memory, &made, NULL);
        if (status == FORAGE_E_TIMEOUT) *late = true;
        f->terms = arena_alloc(&q->memory, (made.n + 1) * sizeof *f->terms);
        if (!status) (f->own_tokens ? take_own_tokens : take_made)(q, f, &made);
        f->state = f->n_terms ? QUERY_KNOWN : QUERY_NONE;
    }
    bool known = f->state == QUERY_KNOWN;
    pthread_mutex_unlock(&q->mutex);
    return known;
}

/* ---- Searching ---- */

/* A set of places of the field's index, none in it at first. */
static uint64_t **start_set(const sparse_snapshot *s, arena *a, sparse_eligible *out) {
    uint64_t **bits = arena_alloc(a, (s->n_parts + 1) * sizeof *bits);
    for (uint32_t p = 0; p < s->n_parts; p++)
        bits[p] = arena_zalloc(a, sparse_segment_count(s->parts[p].segment) / 64 + 1, sizeof **bits);
    *out = (sparse_eligible){.snapshot = s, .bits = (const uint64_t **)(uintptr_t)bits};
    out->counts = arena_zalloc(a, s->n_parts + 1, sizeof *out->counts);
    return bits;
}

static void put_in(sparse_eligible *set, uint64_t **bits, uint32_t part, uint32_t place) {
    bits[part][place / 64] |= (uint64_t)1 << place % 64;
    set->counts[part]++;
    set->count++;
}

/* Those whose documents are eligible. */
static void choose_places(const sparse_snapshot *s, const sparse_eligible *eligible, arena *a, sparse_eligible *out) {
    uint32_t n_documents;
    uint64_t *allowed = vectors_allowed(eligible, &n_documents), **bits = start_set(s, a, out);
    for (uint32_t p = 0; p < s->n_parts; p++) {
        const sparse_segment *segment = s->parts[p].segment;
        for (uint32_t place = 0; place < sparse_segment_count(segment); place++) {
            uint32_t d = sparse_segment_document(segment, place);
            if (d < n_documents && allowed[d / 64] >> d % 64 & 1 && vectors_lives(&s->parts[p], place)) put_in(out, bits, p, place);
        }
    }
    free(allowed);
}

static sparse_query query_of(const field_query *f) {
    return (sparse_query){.terms = f->terms, .n_terms = f->n_terms, .text_weight = 1};
}

static void search_field(const field_query *f, const sparse_eligible *eligible, uint32_t depth, int64_t deadline, arena *a, gather *found,
                         bool *late) {
    bool filtered = eligible->count < eligible->snapshot->live_documents, cut = false;
    sparse_eligible own;
    sparse_query query = query_of(f);
    size_t k = (size_t)depth + SPARE, taken = 0;
    sparse_hit *hits = arena_alloc(a, k * sizeof *hits);
    if (filtered) choose_places(f->snapshot, eligible, a, &own);
    else sparse_eligible_compute(f->snapshot, NULL, a, &own);
    query.clock = &os_clock_system;
    query.deadline = deadline;
    size_t n = sparse_search(&own, &query, k, a, hits, &cut);
    if (cut) *late = true;
    for (size_t i = 0; i < n && taken < depth; i++) {
        if (!sparse_is_eligible(eligible, hits[i].document)) continue;
        gather_add(found, hits[i].document, hits[i].score);
        taken++;
    }
}

size_t weights_query_search(weights_query *q, const sparse_eligible *eligible, uint32_t depth, int64_t deadline, arena *a,
                            sparse_hit *hits, bool *late) {
    gather found;
    gather_init(&found, q->n * (size_t)depth, a);
    for (size_t i = 0; i < q->n; i++)
        if (make_terms(q, &q->fields[i], deadline, late)) search_field(&q->fields[i], eligible, depth, deadline, a, &found, late);
    return gather_take(&found, depth, hits);
}

/* ---- Scores of given documents ---- */

/* A search among these documents alone. */
static void score_field(const field_query *f, const uint32_t *documents, size_t n, arena *a, gather *found) {
    sparse_eligible own;
    sparse_query query = query_of(f);
    uint64_t **bits = start_set(f->snapshot, a, &own);
    for (size_t i = 0; i < n; i++) {
        uint32_t part, place;
        if (sparse_snapshot_find(f->snapshot, documents[i], &part, &place)) put_in(&own, bits, part, place);
    }
    sparse_hit *hits = arena_alloc(a, (own.count + 1) * sizeof *hits);
    size_t n_hits = own.count ? sparse_search(&own, &query, own.count, a, hits, NULL) : 0;
    for (size_t i = 0; i < n_hits; i++) gather_add(found, hits[i].document, hits[i].score);
}

bool weights_query_scores(weights_query *q, const uint32_t *documents, size_t n, arena *a, float *scores) {
    gather found;
    bool known = false;
    gather_init(&found, n, a);
    for (size_t i = 0; q && i < q->n; i++) {
        if (q->fields[i].state != QUERY_KNOWN) continue;
        score_field(&q->fields[i], documents, n, a, &found);
        known = true;
    }
    for (size_t i = 0; i < n; i++) scores[i] = known ? gather_score(&found, documents[i]) : 0;
    return known;
}
