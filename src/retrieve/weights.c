/* Documents' tokens and weights on their way to a sparse index of their own, and the index of a field of weights. */
#include "retrieve/vectors_state.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FIELD = 0, STEPS = 255 }; /* an index has but one field */

static sparse_config config_of(const schema_field *f) {
    return (sparse_config){.n_fields = 1, .fields = {{f->name, SPARSE_WEIGHTS, 0}}, .k1 = 1, .popularity = -1, .type = -1};
}

/* ---- Batches ---- */

void weights_batch_init(weights_batch *b, const schema_field *f) { *b = (weights_batch){.field = f}; }

void weights_batch_release(weights_batch *b) {
    sparse_builder_destroy(b->builder);
    free(b->documents);
    free(b->versions);
    free(b->dead);
    *b = (weights_batch){0};
}

void weights_batch_remove(weights_batch *b, uint32_t document) {
    b->dead = mem_grow(b->dead, &b->dead_room, b->n_dead + 1, sizeof *b->dead);
    b->dead[b->n_dead++] = document;
}

/* In steps of 1/255 of the largest weight; what is below half a step is nothing. */
static uint8_t step_of(const schema_field *f, double weight) {
    double steps = weight * STEPS / (double)f->vector.max_weight;
    return !(steps > 0) ? 0 : steps >= STEPS ? STEPS : (uint8_t)lround(steps);
}

static void begin(weights_batch *b, uint32_t document, uint64_t version) {
    if (!b->builder) {
        sparse_config config = config_of(b->field);
        b->builder = sparse_builder_create(&config);
    }
    b->documents = mem_grow(b->documents, &b->documents_room, b->n + 1, sizeof *b->documents);
    b->versions = mem_grow(b->versions, &b->versions_room, b->n + 1, sizeof *b->versions);
    b->documents[b->n] = document;
    b->versions[b->n++] = version;
    sparse_builder_begin(b->builder);
}

/* Begins the document with its first token. */
static void add(weights_batch *b, bool *begun, uint32_t document, uint64_t version, slice token, double weight) {
    uint8_t step = step_of(b->field, weight);
    if (!step || !token.size) return;
    if (!*begun) begin(b, document, version);
    *begun = true;
    sparse_builder_weight(b->builder, FIELD, token, step);
}

bool weights_batch_brought(weights_batch *b, uint32_t document, uint64_t version, const json_value *json) {
    const json_value *weights = json_get(json, b->field->name);
    bool begun = false;
    if (weights && weights->type == JSON_OBJECT)
        for (const json_value *w = weights->first; w; w = w->next)
            if (w->type == JSON_NUMBER) add(b, &begun, document, version, w->key, w->number);
    if (!begun) weights_batch_remove(b, document);
    return begun;
}

bool weights_batch_made(weights_batch *b, const bert_model *m, uint32_t document, uint64_t version, const bert_weights *made) {
    bool begun = false;
    for (uint32_t i = 0; i < made->n; i++)
        add(b, &begun, document, version, bert_token_text(m, made->list[i].token), (double)made->list[i].weight);
    if (!begun) weights_batch_remove(b, document);
    return begun;
}

forage_status weights_batch_apply(weights_batch *b, sparse_index *index, base_error *error) {
    buffer image = {0};
    forage_status status = FORAGE_OK;
    if (b->n) {
        sparse_statistics statistics;
        sparse_builder_statistics(b->builder, &statistics);
        sparse_builder_finish(b->builder, b->documents, b->versions, &statistics, &image);
        sparse_builder_reset(b->builder);
    }
    if (b->n || b->n_dead) status = sparse_index_apply(index, &image, b->dead, b->n_dead, error);
    b->n = b->n_dead = 0;
    return status;
}

/* ---- A field's index ---- */

static forage_status open_model(const schema_vector *d, bert_model **out, base_error *error) {
    bert_options options = {.head = BERT_SPARSE, .precision = d->full_precision ? BERT_FP32 : BERT_INT8};
    if (d->query_prefix) options.query_prefix = slice_of(d->query_prefix);
    if (d->document_prefix) options.document_prefix = slice_of(d->document_prefix);
    return bert_model_open(d->model, &options, out, error);
}

forage_status weights_space_open(const vectors *v, const vector_field *f, vector_space **out, base_error *error) {
    const schema_field *field = f->field;
    bert_model *model = NULL;
    forage_status status = field->vector.encoder == SCHEMA_ENCODER_BERT ? open_model(&field->vector, &model, error) : FORAGE_OK;
    if (status) return status;
    vector_space *s = mem_zalloc(1, sizeof *s);
    sparse_config config = config_of(field);
    base_error why = {0};
    atomic_init(&s->references, 1);
    s->field = field;
    s->model = model;
    s->path = vectors_path(v, f, model ? bert_model_describe(model).version : 0);
    s->weights = sparse_index_create(s->path, &config);
    status = sparse_index_read_file(s->weights, s->path, &why);
    if (status && status != FORAGE_E_NOT_FOUND) log_warn("%s; its weights are made anew", why.message);
    *out = s;
    return FORAGE_OK;
}

bool weights_version(const vector_space *s, uint32_t document, uint64_t *version) {
    const sparse_snapshot *snapshot = sparse_index_acquire(s->weights);
    uint32_t part, place;
    bool found = sparse_snapshot_find(snapshot, document, &part, &place);
    if (found) *version = sparse_segment_version(snapshot->parts[part].segment, place);
    sparse_index_release(s->weights, snapshot);
    return found;
}

size_t weights_documents(const vector_space *s, arena *a, uint32_t **documents) {
    const sparse_snapshot *snapshot = sparse_index_acquire(s->weights);
    size_t n = 0;
    *documents = arena_alloc(a, (snapshot->live_documents + 1) * sizeof **documents);
    for (uint32_t p = 0; p < snapshot->n_parts; p++)
        for (uint32_t place = 0; place < sparse_segment_count(snapshot->parts[p].segment); place++)
            if (vectors_lives(&snapshot->parts[p], place)) (*documents)[n++] = sparse_segment_document(snapshot->parts[p].segment, place);
    sparse_index_release(s->weights, snapshot);
    return n;
}

static int ascending(const void *x, const void *y) {
    uint32_t a = *(const uint32_t *)x, b = *(const uint32_t *)y;
    return (a > b) - (a < b);
}

void weights_take_brought(vectors *v, vector_space *s, const uint32_t *numbers, size_t n) {
    store_txn *t;
    base_error error = {0};
    weights_batch batch;
    arena a;
    uint32_t *sorted = mem_alloc((n + 1) * sizeof *sorted); /* a document that was written twice comes once */
    arena_init(&a, 0);
    weights_batch_init(&batch, s->field);
    if (n) memcpy(sorted, numbers, n * sizeof *sorted);
    if (n) qsort(sorted, n, sizeof *sorted, ascending);
    forage_status status = store_read_begin(collection_store(v->collection), &t, &error);
    for (size_t i = 0; i < n && !status; i++) {
        collection_document d;
        json_value *json;
        arena_reset(&a);
        if ((i && sorted[i] == sorted[i - 1]) || collection_document_by_number(t, sorted[i], &d) || json_read(&a, d.source, &json, NULL))
            continue;
        weights_batch_brought(&batch, sorted[i], d.version, json);
    }
    if (!status) {
        store_read_end(t);
        status = weights_batch_apply(&batch, s->weights, &error);
    }
    if (status) log_warn("weights of \"%s\": %s", s->field->name, error.message);
    weights_batch_release(&batch);
    arena_release(&a);
    free(sorted);
}
