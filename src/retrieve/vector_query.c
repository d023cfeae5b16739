/* One request's view of the vectors: its own vector in each field's space, made when somebody first wants it. */
#include "retrieve/gather.h"
#include "retrieve/vectors_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_FIELDS 8     /* that one request searches */
#define SPARE 16u         /* further hits, for those whose document is gone or has changed */

typedef enum vector_state { VECTOR_UNKNOWN, VECTOR_KNOWN, VECTOR_NONE } vector_state;

typedef struct field_query {
    vector_space *space;
    _Atomic(vector_state) state; /* becomes known under the query's mutex */
    float *vector;
} field_query;

struct vector_query {
    pthread_mutex_t mutex; /* held while encoding: whoever else wants the vector waits for it */
    char *text;
    size_t text_size;
    size_t n;
    field_query fields[MOST_FIELDS];
    pthread_mutex_t allowing; /* of what follows: who needs no vector of the query does not wait for one */
    uint64_t *allowed; /* documents, once asked for with a filter; a request has one filter */
    uint32_t n_documents;
};

static void know(field_query *f, const float *vector) {
    memcpy(f->vector, vector, f->space->field->dimensions * sizeof *vector);
    f->state = VECTOR_KNOWN;
}

vector_query *vectors_ask(vectors *v, slice text, const schema_field *given_field, const float *given, uint32_t like) {
    size_t n = atomic_load(&v->n_fields);
    if (!n) return NULL;
    vector_query *q = mem_zalloc(1, sizeof *q);
    pthread_mutex_init(&q->mutex, NULL);
    pthread_mutex_init(&q->allowing, NULL);
    q->text = mem_alloc(text.size + 1);
    if (text.size) memcpy(q->text, text.data, text.size);
    q->text_size = text.size;
    for (size_t i = 0; i < n && q->n < MOST_FIELDS; i++) {
        vector_space *s = vectors_hold(v, &v->fields[i]);
        if (!s || !s->index) {
            vector_space_release(s);
            continue;
        }
        field_query *f = &q->fields[q->n++];
        f->space = s;
        f->vector = mem_alloc(s->field->dimensions * sizeof *f->vector);
        if (given && given_field && strcmp(given_field->name, s->field->name) == 0) know(f, given);
        else if (like != UINT32_MAX) f->state = dense_index_vector(s->index, like, f->vector) ? VECTOR_KNOWN : VECTOR_NONE;
        else if (!s->encoder || !text.size) f->state = VECTOR_NONE;
    }
    return q;
}

void vector_query_release(vector_query *q) {
    if (!q) return;
    for (size_t i = 0; i < q->n; i++) {
        vector_space_release(q->fields[i].space);
        free(q->fields[i].vector);
    }
    free(q->allowed);
    pthread_mutex_destroy(&q->allowing);
    pthread_mutex_destroy(&q->mutex);
    free(q->text);
    free(q);
}

bool vector_query_possible(const vector_query *q) {
    for (size_t i = 0; q && i < q->n; i++)
        if (q->fields[i].state != VECTOR_NONE) return true;
    return false;
}

/* A vector that could not be made in time may still be made for the next who asks. */
static bool make_vector(vector_query *q, field_query *f, int64_t deadline, bool *late) {
    pthread_mutex_lock(&q->mutex);
    if (f->state == VECTOR_UNKNOWN) {
        slice text = {q->text, q->text_size};
        forage_status status = encoder_encode(f->space->encoder, ENCODE_QUERY, &text, 1, deadline, f->vector, NULL);
        bool zero = true;
        for (uint32_t i = 0; !status && i < f->space->field->dimensions; i++) zero = zero && f->vector[i] == 0;
        if (status == FORAGE_E_TIMEOUT) *late = true;
        f->state = status || zero ? VECTOR_NONE : VECTOR_KNOWN;
    }
    bool known = f->state == VECTOR_KNOWN;
    pthread_mutex_unlock(&q->mutex);
    return known;
}

/* ---- Filters ---- */

static uint32_t documents_of(const sparse_eligible *e) {
    uint32_t most = 0;
    for (uint32_t p = 0; p < e->snapshot->n_parts; p++) {
        const sparse_segment *s = e->snapshot->parts[p].segment;
        uint32_t first, count = sparse_segment_count(s);
        const uint32_t *documents = sparse_segment_documents(s, &first);
        if (!documents && count && first + count > most) most = first + count;
        for (uint32_t i = 0; documents && i < count; i++)
            if (documents[i] >= most) most = documents[i] + 1;
    }
    return most;
}

uint64_t *vectors_allowed(const sparse_eligible *e, uint32_t *n_documents) {
    *n_documents = documents_of(e);
    uint64_t *allowed = mem_zalloc(*n_documents / 64 + 1, sizeof *allowed);
    for (uint32_t p = 0; p < e->snapshot->n_parts; p++) {
        const sparse_segment *s = e->snapshot->parts[p].segment;
        uint32_t count = sparse_segment_count(s);
        for (uint32_t word = 0; word * 64 < count; word++) {
            uint64_t bits = e->bits[p] ? e->bits[p][word] : UINT64_MAX;
            for (; bits; bits &= bits - 1) {
                uint32_t place = word * 64 + (uint32_t)__builtin_ctzll(bits);
                if (place >= count) break;
                uint32_t document = sparse_segment_document(s, place);
                allowed[document / 64] |= (uint64_t)1 << document % 64;
            }
        }
    }
    return allowed;
}

/* True, and *out made, when not all live documents are eligible. */
static bool filter_of(vector_query *q, const sparse_eligible *e, dense_filter *out) {
    if (e->count >= e->snapshot->live_documents) return false;
    pthread_mutex_lock(&q->allowing);
    if (!q->allowed) q->allowed = vectors_allowed(e, &q->n_documents);
    *out = (dense_filter){q->allowed, q->n_documents, (uint32_t)e->count};
    pthread_mutex_unlock(&q->allowing);
    return true;
}

/* ---- Searching ---- */

static float similarity(dense_metric metric, float distance) {
    return metric == DENSE_COSINE ? 1 - distance : metric == DENSE_DOT ? -distance : 1 / (1 + fmaxf(distance, 0));
}

typedef struct merged {
    gather places;    /* place + 1 among hits */
    sparse_hit *hits;
    size_t n;
} merged;

static void take_hits(const field_query *f, const float *vector, const sparse_eligible *eligible, const dense_filter *filter,
                      const gather *but, uint32_t depth, arena *a, merged *m) {
    size_t n, taken, k = depth + SPARE;
    dense_hit *found = arena_alloc(a, k * sizeof *found);
    n = dense_search(f->space->index, vector, (uint32_t)k, 0, filter, a, found);
    taken = 0;
    for (size_t i = 0; i < n && taken < depth; i++) {
        uint32_t document = found[i].document;
        if (!sparse_is_eligible(eligible, document) || (but && gather_score(but, document) > 0)) continue;
        taken++;
        float score = similarity(f->space->field->vector.metric, found[i].distance);
        uint32_t place = (uint32_t)gather_score(&m->places, document);
        if (!place) {
            gather_add(&m->places, document, (float)(m->n + 1));
            m->hits[m->n++] = (sparse_hit){document, score};
        } else if (score > m->hits[place - 1].score) {
            m->hits[place - 1].score = score;
        }
    }
}

static int best_first(const void *x, const void *y) {
    const sparse_hit *a = x, *b = y;
    if (a->score != b->score) return a->score < b->score ? 1 : -1;
    return a->document < b->document ? -1 : a->document > b->document;
}

static merged merged_of(const vector_query *q, uint32_t depth, arena *a) {
    merged m = {.hits = arena_alloc(a, (q->n * (size_t)depth + 1) * sizeof *m.hits)};
    gather_init(&m.places, q->n * (size_t)depth, a);
    return m;
}

static size_t give(merged *m, uint32_t depth, sparse_hit *hits) {
    if (m->n) qsort(m->hits, m->n, sizeof *m->hits, best_first);
    size_t n = m->n < depth ? m->n : depth;
    if (n) memcpy(hits, m->hits, n * sizeof *hits);
    return n;
}

size_t vector_query_search(vector_query *q, const sparse_eligible *eligible, uint32_t depth, int64_t deadline, arena *a,
                           sparse_hit *hits, bool *late) {
    dense_filter filter;
    bool filtered = filter_of(q, eligible, &filter);
    merged m = merged_of(q, depth, a);
    for (size_t i = 0; i < q->n; i++) {
        field_query *f = &q->fields[i];
        if (make_vector(q, f, deadline, late)) take_hits(f, f->vector, eligible, filtered ? &filter : NULL, NULL, depth, a, &m);
    }
    return give(&m, depth, hits);
}

/* Adds the document's vector, as long as one of length 1 times the weight. */
static bool add_vector(vector_space *s, uint32_t document, float weight, float *one, float *sum) {
    uint32_t dimensions = s->field->dimensions;
    double length = 0;
    if (!dense_index_vector(s->index, document, one)) return false;
    for (uint32_t i = 0; i < dimensions; i++) length += (double)one[i] * one[i];
    if (!(length > 0)) return false;
    bool scale = s->field->vector.metric == DENSE_COSINE;
    float by = scale ? weight / (float)sqrt(length) : weight;
    for (uint32_t i = 0; i < dimensions; i++) sum[i] += by * one[i];
    return true;
}

size_t vector_query_near(vector_query *q, const sparse_eligible *eligible, const uint32_t *documents, const float *weights, size_t n,
                         uint32_t depth, arena *a, sparse_hit *hits) {
    dense_filter filter;
    bool filtered = filter_of(q, eligible, &filter);
    merged m = merged_of(q, depth, a);
    gather but;
    gather_init(&but, n, a);
    for (size_t d = 0; d < n; d++) gather_add(&but, documents[d], 1);
    for (size_t i = 0; i < q->n; i++) {
        field_query *f = &q->fields[i];
        uint32_t dimensions = f->space->field->dimensions;
        float *one = arena_alloc(a, dimensions * sizeof *one), *sum = arena_zalloc(a, dimensions, sizeof *sum), total = 0;
        for (size_t d = 0; d < n; d++)
            if (weights[d] > 0 && add_vector(f->space, documents[d], weights[d], one, sum)) total += weights[d];
        if (total <= 0) continue;
        double length = 0;
        for (uint32_t d = 0; d < dimensions; d++) {
            sum[d] /= total;
            length += (double)sum[d] * sum[d];
        }
        if (length > 1e-12) take_hits(f, sum, eligible, filtered ? &filter : NULL, &but, depth, a, &m);
    }
    return give(&m, depth, hits);
}

vector_similarity vector_query_similarity(vector_query *q, uint32_t document) {
    vector_similarity out = {NAN, NAN};
    float stack[DENSE_MOST_DIMENSIONS];
    for (size_t i = 0; q && i < q->n; i++) {
        field_query *f = &q->fields[i];
        if (f->state != VECTOR_KNOWN || !dense_index_vector(f->space->index, document, stack)) continue;
        const schema_field *field = f->space->field;
        float s = similarity(field->vector.metric, dense_exact(field->vector.metric, f->vector, stack, field->dimensions));
        float *side = field->vector.encoder == SCHEMA_ENCODER_CATALOGUE ? &out.catalogue : &out.pretrained;
        if (isnan(*side) || s > *side) *side = s;
    }
    return out;
}
