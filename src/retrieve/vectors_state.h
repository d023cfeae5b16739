/* The inside of vectors; only files of this folder include it. */
#ifndef RETRIEVE_VECTORS_STATE_H
#define RETRIEVE_VECTORS_STATE_H

#include "encode/bert.h"
#include "retrieve/vectors.h"
#include "sparse/builder.h"
#include "sparse/placeset.h"

#include <pthread.h>
#include <stdatomic.h>

/* An encoder and the vectors it made: they go together. Never changed but for what the index takes in. Of a field of weights the
 * same, with a model and an index of its own kind. */
typedef struct vector_space {
    atomic_uint references;
    const schema_field *field;
    encoder *encoder; /* NULL: documents bring their vectors */
    dense_index *index;
    bert_model *model;     /* of a field of weights; NULL: documents bring them */
    sparse_index *weights; /* NULL: a vector field */
    uint64_t *nothing; /* by document: the version at which it had nothing to make a vector of; the background thread's own */
    size_t n_nothing;
    char *path;        /* of the index's file */
    struct chosen_pairs *chosen; /* catalogue: the queries of each document, once read; the background thread's own */
} vector_space;

typedef struct vector_field {
    _Atomic(const schema_field *) field; /* of the current schema */
    uint32_t number;
    vector_space *current;     /* under the mutex of vectors */
    int64_t count_at;          /* when what people chose is next counted; the background thread's own */
    int64_t retry_at;          /* of an encoder that could not be opened */
    atomic_bool unsaved;
    char problem[200];
    uint64_t trained_documents, trained_pairs;
    double trained_seconds;
} vector_field;

typedef struct settle_request settle_request;

struct vectors {
    collection *collection;
    bool writable;
    char *folder;

    pthread_mutex_t schema_mutex; /* one at a time follows the schema; taken before `mutex` */
    _Atomic(const schema *) schema; /* that the fields are of */
    vector_field fields[SPARSE_MAX_FIELDS];
    atomic_size_t n_fields; /* only ever grows */

    pthread_mutex_t mutex; /* of all that follows */
    pthread_cond_t changed;
    pthread_t thread;
    bool running, working;
    atomic_bool stopping;
    uint64_t changes; /* of documents */
    int64_t last_change, last_saved;
    settle_request *requests;
};

static inline bool vectors_lives(const sparse_part *p, uint32_t place) { return !p->live || placeset_has(p->live, place); }

static inline bool vector_space_encodes(const vector_space *s) { return s->encoder || s->model; }

/* The file of the index, to be freed: another one whenever what is in it would be something else. `version`: of the encoder. */
char *vectors_path(const vectors *v, const vector_field *f, uint64_t version);

vector_space *vector_space_retain(vector_space *s);
vector_space *vectors_hold(vectors *v, vector_field *f); /* the current one, retained; NULL: there is none yet */
void vector_space_release(vector_space *s);
/* Of a vector field. Takes the encoder over, also when it fails. */
forage_status vector_space_open(const vectors *v, const vector_field *f, encoder *e, bool fresh, vector_space **out, base_error *error);

/* ---- vectors_fill.c ---- */

/* Makes the vectors that the space lacks and removes those of documents that are gone. FORAGE_E_CLOSED: stopping. *added: how many
 * changed. */
forage_status vectors_fill(vectors *v, vector_space *s, uint64_t *changed, base_error *error);
/* One document's vector as it brings it, to out; false: it brings none. */
bool vectors_brought(const schema_field *f, const json_value *document, float *out);
/* The document's text for an encoder: the field's "from", one value a line. */
void vectors_text(const schema *s, const schema_field *f, const json_value *document, buffer *out);
/* The same in two steps, for any list of members: which are read (`from`, or without one all text fields, heaviest first), and the text. */
size_t vectors_text_members(const schema *s, char *const *from, uint32_t n_from, const char *names[SPARSE_MAX_FIELDS]);
void vectors_text_of(const char *const *names, size_t n, const json_value *document, buffer *out);

void vector_space_forget(vector_space *s, const uint32_t *documents, size_t n);

/* ---- vector_query.c ---- */

/* The eligible documents, bit d % 64 of word d / 64, to be freed; *n_documents: bits there are. */
uint64_t *vectors_allowed(const sparse_eligible *e, uint32_t *n_documents);

/* ---- weights.c ---- */

/* Documents on their way to an index of weights. */
typedef struct weights_batch {
    const schema_field *field;
    sparse_builder *builder;
    uint32_t *documents, *dead;
    uint64_t *versions;
    size_t n, n_dead, documents_room, versions_room, dead_room;
} weights_batch;

void weights_batch_init(weights_batch *b, const schema_field *f);
void weights_batch_release(weights_batch *b);
/* The document with its tokens, as its JSON or the model has them. False: it has none above half a step, and is to be removed. */
bool weights_batch_brought(weights_batch *b, uint32_t document, uint64_t version, const json_value *json);
bool weights_batch_made(weights_batch *b, const bert_model *m, uint32_t document, uint64_t version, const bert_weights *made);
void weights_batch_remove(weights_batch *b, uint32_t document);
forage_status weights_batch_apply(weights_batch *b, sparse_index *index, base_error *error); /* and empties it */

forage_status weights_space_open(const vectors *v, const vector_field *f, vector_space **out, base_error *error);
/* What documents bring, from the store. */
void weights_take_brought(vectors *v, vector_space *s, const uint32_t *numbers, size_t n);
bool weights_version(const vector_space *s, uint32_t document, uint64_t *version); /* false: it has none */
size_t weights_documents(const vector_space *s, arena *a, uint32_t **documents);

/* ---- vectors_train.c ---- */

/* Whether the catalogue's encoder of this field is to be trained now. */
bool vectors_wants_training(vectors *v, vector_field *f, bool trained);
forage_status vectors_train_catalogue(vectors *v, vector_field *f, encoder **out, base_error *error);
/* Adds the queries after which people chose the document, as training counts them, one a line. They are read once for a space. */
void vectors_chosen_text(vector_space *s, store_txn *t, uint32_t document, buffer *text);
void vectors_forget_chosen(vector_space *s);
/* The model on disk. FORAGE_E_NOT_FOUND. */
forage_status vectors_open_catalogue(vectors *v, vector_field *f, encoder **out, base_error *error);

#endif
