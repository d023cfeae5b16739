/* The inside of vectors; only files of this folder include it. */
#ifndef RETRIEVE_VECTORS_STATE_H
#define RETRIEVE_VECTORS_STATE_H

#include "retrieve/vectors.h"
#include "sparse/placeset.h"

#include <pthread.h>
#include <stdatomic.h>

/* An encoder and the vectors it made: they go together. Never changed but for what the index takes in. */
typedef struct vector_space {
    atomic_uint references;
    const schema_field *field;
    encoder *encoder; /* NULL: documents bring their vectors */
    dense_index *index;
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

vector_space *vector_space_retain(vector_space *s);
vector_space *vectors_hold(vectors *v, vector_field *f); /* the current one, retained; NULL: there is none yet */
void vector_space_release(vector_space *s);
/* Takes the encoder over, also when it fails. */
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
