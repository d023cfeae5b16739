/* Keeping an index of vectors or weights in step with the documents: what it lacks is read from the store, encoded and added. */
#include "retrieve/vectors_state.h"

#include "base/log.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BATCH 64u               /* documents encoded together */
#define BROUGHT 4096u           /* documents with weights of their own that become searchable together */
#define TEXT_BYTES 16384u       /* of a document are encoded */
#define DOCUMENT_TOKENS 256u    /* the heaviest that a model gives a document */
#define ENCODE_TIME ((int64_t)600 * 1000000)

bool vectors_brought(const schema_field *f, const json_value *document, float *out) {
    const json_value *member = json_get(document, f->name);
    if (!member || member->type != JSON_ARRAY || member->count != f->dimensions) return false;
    bool zero = true;
    for (const json_value *item = member->first; item; item = item->next) {
        if (item->type != JSON_NUMBER || !isfinite((float)item->number)) return false;
        *out = (float)item->number;
        zero = zero && *out == 0;
        out++;
    }
    return !(zero && f->vector.metric == DENSE_COSINE);
}

/* ---- Texts ---- */

static void add_value(const json_value *value, buffer *out) {
    if (value->type == JSON_ARRAY) {
        for (const json_value *item = value->first; item; item = item->next) add_value(item, out);
    } else if (value->type == JSON_STRING && value->text.size && out->size < TEXT_BYTES) {
        size_t room = TEXT_BYTES - out->size;
        size_t size = value->text.size <= room ? value->text.size : room;
        while (size && size < value->text.size && ((unsigned char)value->text.data[size] & 0xc0) == 0x80) size--; /* a whole character */
        buffer_slice(out, (slice){value->text.data, size});
        buffer_slice(out, SLICE("\n"));
    }
}

/* Text fields from the heaviest on, in the order of declaration among equals. */
static size_t text_fields(const schema *s, const char *names[SPARSE_MAX_FIELDS]) {
    const schema_field *fields[SPARSE_MAX_FIELDS];
    size_t n = 0;
    for (uint32_t i = 0; i < s->n_fields; i++) {
        if (s->fields[i].kind != SCHEMA_TEXT) continue;
        size_t at = n++;
        for (; at > 0 && fields[at - 1]->weight < s->fields[i].weight; at--) fields[at] = fields[at - 1];
        fields[at] = &s->fields[i];
    }
    for (size_t i = 0; i < n; i++) names[i] = fields[i]->name;
    return n;
}

size_t vectors_text_members(const schema *s, char *const *from, uint32_t n_from, const char *names[SPARSE_MAX_FIELDS]) {
    if (!n_from) return text_fields(s, names);
    for (uint32_t i = 0; i < n_from; i++) names[i] = from[i];
    return n_from;
}

void vectors_text_of(const char *const *names, size_t n, const json_value *document, buffer *out) {
    buffer_clear(out);
    for (size_t i = 0; i < n; i++) {
        const json_value *value = json_get(document, names[i]);
        if (value) add_value(value, out);
    }
}

void vectors_text(const schema *s, const schema_field *f, const json_value *document, buffer *out) {
    const char *names[SPARSE_MAX_FIELDS];
    vectors_text_of(names, vectors_text_members(s, f->vector.from, f->vector.n_from, names), document, out);
}

/* ---- Filling ---- */

typedef struct filling {
    vectors *v;
    vector_space *s;
    const schema *schema;
    uint32_t document[BATCH];
    uint64_t version[BATCH];
    slice text[BATCH];
    size_t n;
    float *vectors;      /* BATCH × dimensions */
    weights_batch batch; /* of a field of weights */
    arena parse, texts;  /* texts: also what a model makes of them */
    buffer text_of_one;
    uint64_t changed;
} filling;

static void note_nothing(vector_space *s, uint32_t document, uint64_t version) {
    if (document >= s->n_nothing) {
        size_t n = s->n_nothing ? s->n_nothing * 2 : 1024;
        if (n <= document) n = (size_t)document + 1;
        s->nothing = mem_realloc(s->nothing, n * sizeof *s->nothing);
        memset(s->nothing + s->n_nothing, 0, (n - s->n_nothing) * sizeof *s->nothing);
        s->n_nothing = n;
    }
    s->nothing[document] = version;
}

static bool is_zero(const float *vector, uint32_t dimensions) {
    for (uint32_t i = 0; i < dimensions; i++)
        if (vector[i] != 0) return false;
    return true;
}

static void add(filling *f, uint32_t document, uint64_t version, const float *vector) {
    uint32_t dimensions = f->s->field->dimensions;
    f->changed++;
    if ((f->s->encoder && is_zero(vector, dimensions)) || dense_index_add(f->s->index, document, version, vector, NULL)) {
        dense_index_remove(f->s->index, document);
        note_nothing(f->s, document, version);
    }
}

static forage_status apply_batch(filling *f, base_error *error) {
    f->changed += f->batch.n + f->batch.n_dead;
    return weights_batch_apply(&f->batch, f->s->weights, error);
}

static forage_status encode_weights(filling *f, base_error *error) {
    bert_weights made[BATCH];
    int64_t deadline = clock_monotonic(&os_clock_system) + ENCODE_TIME;
    forage_status status = bert_sparse_encode(f->s->model, ENCODE_DOCUMENT, f->text, f->n, DOCUMENT_TOKENS, 0, deadline, &f->texts, made,
                                              error);
    for (size_t i = 0; i < f->n && !status; i++)
        if (!weights_batch_made(&f->batch, f->s->model, f->document[i], f->version[i], &made[i]))
            note_nothing(f->s, f->document[i], f->version[i]);
    f->n = 0;
    arena_reset(&f->texts);
    return status ? status : apply_batch(f, error);
}

static forage_status encode_batch(filling *f, base_error *error) {
    if (!f->n) return f->batch.n + f->batch.n_dead ? apply_batch(f, error) : FORAGE_OK;
    if (f->s->weights) return encode_weights(f, error);
    uint32_t dimensions = f->s->field->dimensions;
    int64_t deadline = clock_monotonic(&os_clock_system) + ENCODE_TIME;
    forage_status status = encoder_encode(f->s->encoder, ENCODE_DOCUMENT, f->text, f->n, deadline, f->vectors, error);
    for (size_t i = 0; !status && i < f->n; i++) add(f, f->document[i], f->version[i], f->vectors + i * dimensions);
    f->n = 0;
    arena_reset(&f->texts);
    return status;
}

static void take_vector(filling *f, uint32_t number, uint64_t version, const json_value *json) {
    if (vectors_brought(f->s->field, json, f->vectors)) {
        add(f, number, version, f->vectors);
    } else {
        dense_index_remove(f->s->index, number);
        note_nothing(f->s, number, version);
    }
}

/* The store's document, which may be newer than the snapshot's; one that is gone is passed over. */
static forage_status take(filling *f, store_txn *t, uint32_t number, base_error *error) {
    collection_document d;
    json_value *json;
    arena_reset(&f->parse);
    if (collection_document_by_number(t, number, &d) || json_read(&f->parse, d.source, &json, NULL)) return FORAGE_OK;
    if (!vector_space_encodes(f->s)) {
        if (!f->s->weights) take_vector(f, number, d.version, json);
        else if (!weights_batch_brought(&f->batch, number, d.version, json)) note_nothing(f->s, number, d.version);
        return f->batch.n + f->batch.n_dead >= BROUGHT ? apply_batch(f, error) : FORAGE_OK;
    }
    vectors_text(f->schema, f->s->field, json, &f->text_of_one);
    if (f->s->field->vector.encoder == SCHEMA_ENCODER_CATALOGUE) vectors_chosen_text(f->s, t, number, &f->text_of_one);
    if (!f->text_of_one.size && !f->s->weights) { /* no encoder is asked */
        dense_index_remove(f->s->index, number);
        note_nothing(f->s, number, d.version);
        return FORAGE_OK;
    }
    f->document[f->n] = number;
    f->version[f->n] = d.version;
    f->text[f->n++] = arena_slice(&f->texts, (slice){f->text_of_one.data, f->text_of_one.size});
    return f->n == BATCH ? encode_batch(f, error) : FORAGE_OK;
}

static bool lacks(const vector_space *s, uint32_t document, uint64_t version) {
    uint64_t have;
    bool found = s->weights ? weights_version(s, document, &have) : dense_index_version(s->index, document, &have);
    if (found && have >= version) return false;
    return document >= s->n_nothing || s->nothing[document] < version;
}

/* A transaction is held no longer than a piece: an old one keeps the store from reusing pages. */
static forage_status fill_piece(filling *f, const sparse_part *p, uint32_t from, uint32_t end, base_error *error) {
    store_txn *t = NULL;
    forage_status status = FORAGE_OK;
    for (uint32_t place = from; place < end && !status; place++) {
        uint32_t document = sparse_segment_document(p->segment, place);
        if (!vectors_lives(p, place) || !lacks(f->s, document, sparse_segment_version(p->segment, place))) continue;
        if (atomic_load(&f->v->stopping)) status = error_set(error, FORAGE_E_CLOSED, "the collection is being closed");
        if (!status && !t) status = store_read_begin(collection_store(f->v->collection), &t, error);
        if (!status) status = take(f, t, document, error);
    }
    if (t) store_read_end(t);
    return status;
}

#define PIECE 4096u

void vector_space_forget(vector_space *s, const uint32_t *documents, size_t n) {
    base_error error;
    if (!s->weights)
        for (size_t i = 0; i < n; i++) dense_index_remove(s->index, documents[i]);
    else if (n && sparse_index_apply(s->weights, &(buffer){0}, documents, n, &error)) log_warn("vectors: %s", error.message);
}

static uint64_t remove_gone(vector_space *s, const sparse_snapshot *snapshot, store_txn *t) {
    arena a;
    uint32_t *documents;
    uint64_t *versions;
    arena_init(&a, 0);
    size_t n = s->weights ? weights_documents(s, &a, &documents) : dense_index_documents(s->index, &a, &documents, &versions), gone = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t part, place;
        collection_document d;
        if (sparse_snapshot_find(snapshot, documents[i], &part, &place)) continue;
        if (collection_document_by_number(t, documents[i], &d) == FORAGE_OK) continue; /* newer than the snapshot */
        documents[gone++] = documents[i];
    }
    vector_space_forget(s, documents, gone);
    arena_release(&a);
    return gone;
}

forage_status vectors_fill(vectors *v, vector_space *s, uint64_t *changed, base_error *error) {
    filling f = {.v = v, .s = s, .schema = collection_schema(v->collection)};
    const sparse_snapshot *snapshot = collection_acquire(v->collection);
    forage_status status = FORAGE_OK;
    store_txn *t;
    f.vectors = mem_alloc((size_t)BATCH * s->field->dimensions * sizeof *f.vectors);
    weights_batch_init(&f.batch, s->field);
    arena_init(&f.parse, 1 << 16);
    arena_init(&f.texts, 1 << 16);
    for (uint32_t p = 0; p < snapshot->n_parts && !status; p++) {
        const sparse_part *part = &snapshot->parts[p];
        uint32_t count = sparse_segment_count(part->segment);
        for (uint32_t from = 0; from < count && !status; from += PIECE)
            status = fill_piece(&f, part, from, count - from < PIECE ? count : from + PIECE, error);
    }
    if (!status) status = encode_batch(&f, error);
    if (!status && store_read_begin(collection_store(v->collection), &t, NULL) == FORAGE_OK) {
        f.changed += remove_gone(s, snapshot, t);
        store_read_end(t);
    }
    collection_release(v->collection, snapshot);
    *changed = f.changed;
    weights_batch_release(&f.batch);
    buffer_release(&f.text_of_one);
    arena_release(&f.parse);
    arena_release(&f.texts);
    free(f.vectors);
    return status;
}
