/* One document: checked against the schema, then given to the index builder. */
#ifndef COLLECTION_DOCUMENT_H
#define COLLECTION_DOCUMENT_H

#include "collection/schema.h"
#include "sparse/builder.h"

#define DOCUMENT_MAX_ID 500 /* bytes: a key of the store */

typedef struct document_problem {
    slice field;   /* empty when it is about the whole document */
    base_error error;
} document_problem;

/* The id (a string, or a whole number as written) and every value of a declared field. FORAGE_E_DOCUMENT fills `problem`
 * with the field and `field "year": expected a number, got "nineteen"`. Nothing is kept. */
forage_status document_check(const schema *s, const json_value *document, slice *id, document_problem *problem, arena *a);

/* Adds a checked document to the builder. Keywords are normalised with text_normalize_keyword, references are kept as they are. */
void document_index(const schema *s, const json_value *document, text_analyzer *analyzer, buffer *scratch,
                    sparse_builder *b);

/* An object of tokens and weights for a field of weights, a document's or a request's: at most SCHEMA_MAX_TOKENS, none above the
 * field's max_weight. FORAGE_E_DOCUMENT; the message names the token, not the field. */
forage_status document_weights_check(const schema_field *f, const json_value *weights, base_error *error);

/* A date member's seconds since 1970; false when it is none. Shared with filters. */
bool document_date(const json_value *value, double *seconds);

#endif
