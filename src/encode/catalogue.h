/* The catalogue's own encoder: vectors learned from the documents themselves and from what people chose, without any download.
 *
 * Terms that stand in the same documents get near vectors: those of the strongest directions of the weighted document–term matrix
 * (latent semantic analysis, Deerwester et al. 1990; log tf · idf rows of unit length; directions by block subspace iteration, Halko,
 * Martinsson & Tropp 2011). What people did enters the same matrix: the queries after which a document was chosen are words of it, and
 * the documents that it refers to, or that the same people chose, are terms of their own. A word that training never saw gets
 * the mean of the vectors of its character n-grams (Bojanowski et al. 2017).
 *
 * A text's vector is the weighted sum of its terms' vectors, of unit length; queries, documents and their means are in one space.
 * Deterministic for a seed. A trainer belongs to one thread; a model's encoder to any number. */
#ifndef ENCODE_CATALOGUE_H
#define ENCODE_CATALOGUE_H

#include "encode/encoder.h"
#include "text/analyze.h"

typedef struct catalogue_options {
    uint32_t dimensions;   /* 2 … 512; 0: 128 */
    uint32_t most_terms;   /* that get vectors; 0: 100,000 */
    text_language language; /* of texts and queries */
    uint64_t seed;
    /* Told now and then how far training is, 0 to 1; false ends it. NULL: nobody. */
    bool (*progress)(void *context, double done);
    void *context;
} catalogue_options;

typedef struct catalogue_trainer catalogue_trainer;
catalogue_trainer *catalogue_trainer_create(const catalogue_options *options);
void catalogue_trainer_destroy(catalogue_trainer *t);

/* Begins a document. Its text is one value a line. */
void catalogue_trainer_document(catalogue_trainer *t, slice text);
/* To the document that was begun last: further text, such as a query after which it was chosen, as if it stood there `weight` times. */
void catalogue_trainer_more(catalogue_trainer *t, slice text, float weight);
/* The same for something that is no word: `key` names a document that it refers to or is chosen with. */
void catalogue_trainer_tie(catalogue_trainer *t, uint64_t key, float weight);
size_t catalogue_trainer_documents(const catalogue_trainer *t);

/* An encoder of the class "catalogue". FORAGE_E_INVALID: too few documents or terms to learn from; FORAGE_E_CLOSED: ended. Time: about
 * 0.1 ms for a term of a document; memory: 8 bytes for each term of each document, 1.2 KB for each term. */
forage_status catalogue_train(catalogue_trainer *t, encoder **out, base_error *error);

/* Atomic, checksummed. */
forage_status catalogue_save(const encoder *e, const char *path, base_error *error);
/* FORAGE_E_NOT_FOUND; FORAGE_E_CORRUPT. */
forage_status catalogue_open(const char *path, encoder **out, base_error *error);
/* From what a file holds; for tests of damaged ones. */
forage_status catalogue_read(slice bytes, encoder **out, base_error *error);
size_t catalogue_terms(const encoder *e);

#endif
