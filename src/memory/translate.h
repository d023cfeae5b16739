/* A translation model from the words of documents to the words people ask for them with: P(query term | document term),
 * learned from (query, document) pairs that worked, as a statistical translator learns from sentence pairs. IBM Model 1
 * (Brown et al. 1993, "The mathematics of statistical machine translation", eq. 18–20) with a null word, which stands in
 * every document and takes the terms that no word of it explains, and with the queries' own frequencies behind it:
 *
 *     P(q | D) = (1 − λ) · Σ_{d ∈ D ∪ {null}} t(q | d) / (|D| + 1) + λ · P(q),    λ = 0.1
 *
 * Bytes of a model (little-endian): u32 magic "FTRA", u8 format (1), u64 pairs learned from, u32 query terms, for each string and f32 P(q);
 * u32 document terms (the first is the null word, an empty string), for each string, u8 n, and n × (u32 query term,
 * f32 t); u64 hash64 (seed 0) of all bytes before it.
 *
 * Bounded: TRANSLATE_MAX_CELLS pairs of terms while it learns (further ones are not learned), TRANSLATE_MAX_ROW kept of
 * each document term, the likeliest. A model that has learned is immutable and may be used by any number of threads. */
#ifndef MEMORY_TRANSLATE_H
#define MEMORY_TRANSLATE_H

#include "base/memory.h"
#include "base/status.h"

#define TRANSLATE_MODEL "translation" /* its name in STORE_MODELS */

#define TRANSLATE_MAX_WORDS 64 /* of a document or a query; further ones are ignored */
#define TRANSLATE_MAX_ROW 32
#define TRANSLATE_MAX_CELLS ((size_t)8 << 20)

typedef struct translation translation;

/* ---- Learning ---- */

translation *translation_create(void);
void translation_destroy(translation *m); /* NULL is a no-op */
/* A pair: the terms of a query, the terms of a document that worked for it, and how often. Terms are copied. */
void translation_add(translation *m, const slice *query, size_t n_query, const slice *document, size_t n_document,
                     float weight);
/* Runs EM over what was added and gives the pairs' memory back. Call it once. */
void translation_train(translation *m, unsigned iterations);

/* ---- Using ---- */

float translation_probability(const translation *m, slice query_term, slice document_term); /* t(q | d) */
/* P(q | D) of one term; 0 for a term that was never asked. */
float translation_likelihood(const translation *m, slice query_term, const slice *document, size_t n_document);
/* How much likelier the query is for this document than for any: the product over its terms of P(q | D) / P(q), at most
 * TRANSLATE_MAX_LIFT; 0 when a term was never asked. */
#define TRANSLATE_MAX_LIFT 1e6f
float translation_lift(const translation *m, const slice *query, size_t n_query, const slice *document,
                       size_t n_document);

typedef struct translated {
    slice term; /* the model's */
    float likelihood; /* P(term | D) */
} translated;
/* The query terms that the document asks for most, best first (ties by term); at most `most`. */
size_t translation_expand(const translation *m, const slice *document, size_t n_document, size_t most, arena *a,
                          translated **out);

size_t translation_pairs(const translation *m); /* that it learned from */
size_t translation_terms(const translation *m); /* of documents */

void translation_save(const translation *m, buffer *out);
forage_status translation_load(slice bytes, translation **out, base_error *error); /* FORAGE_E_CORRUPT, _VERSION */

#endif
