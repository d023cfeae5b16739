/* What an index holds: the fields and the constants of the score. Shared by the writing and the reading side. */
#ifndef SPARSE_FIELDS_H
#define SPARSE_FIELDS_H

#include "base/memory.h"
#include "base/status.h"

#define SPARSE_MAX_FIELDS 64
#define SPARSE_BLOCK 128 /* postings in a block */

/* Positions of a document: its text fields lie end to end, in the order of their numbers. Each token takes one, and so
 * does each gap between two values of a field, so that no phrase goes across either. A document's tokens and gaps beyond
 * this number are not indexed at all: no frequency, no length. */
#define SPARSE_MAX_TOKENS (1u << 22)

typedef enum sparse_kind {
    SPARSE_TEXT,    /* terms with frequencies, scored; a field length per document */
    SPARSE_KEYWORD, /* any number of exact values per document; in the inverted index and in a column */
    SPARSE_NUMBER,  /* at most one double per document, in a column (dates are seconds since 1970) */
    SPARSE_WEIGHTS  /* tokens with weights that somebody gives, in the inverted index alone */
} sparse_kind;

typedef struct sparse_field {
    const char *name;
    sparse_kind kind;
    float weight; /* SPARSE_TEXT: the w of BM25F */
} sparse_field;

typedef struct sparse_config {
    uint32_t n_fields;
    sparse_field fields[SPARSE_MAX_FIELDS]; /* a field's number is its place; appended to, never reordered */
    float k1, b;                            /* BM25 */
    int32_t popularity; /* number of the SPARSE_NUMBER field that is the popularity prior, or -1 */
    int32_t type;       /* number of the SPARSE_KEYWORD field that is the document's type, or -1 */
} sparse_config;

/* Term keys are bytes: space, field, text. Text of all text fields shares one space (BM25F folds the fields into one
 * impact); a keyword value is a term of the attribute space under its field, a token with weights one of the weight space. */
#define SPARSE_SPACE_TEXT 't'
#define SPARSE_SPACE_ATTRIBUTE 'a'
#define SPARSE_SPACE_WEIGHT 'w' /* a token with weights: what it adds to a score is given, and no idf multiplies it */
#define SPARSE_SPACE_GAP 'g' /* alone, the one key of its space: the positions between the values of a field */
#define SPARSE_MAX_TERM 512 /* longer keyword values are indexed by their first bytes and a hash */
slice sparse_text_key(arena *a, slice term);
slice sparse_attribute_key(arena *a, uint32_t field, slice value);
slice sparse_weight_key(arena *a, uint32_t field, slice token);

/* The form in which a term or value longer than SPARSE_MAX_TERM is indexed (and kept in the column): its first bytes
 * and 16 hexadecimal digits of its hash, SPARSE_MAX_TERM bytes in all, written to `room`. A shorter one is returned
 * as it is. */
slice sparse_term_form(slice value, char room[SPARSE_MAX_TERM]);

/* A copy whose names live in `a`. */
void sparse_config_copy(const sparse_config *config, arena *a, sparse_config *out);

/* Collection-wide sums, over all live and not yet merged-away documents: they make idf and average lengths. The average
 * length of a field is over the documents that have it, so that a rare field's matches are not taken for long ones. */
typedef struct sparse_statistics {
    uint64_t documents;
    uint64_t length[SPARSE_MAX_FIELDS]; /* tokens per text field */
    uint64_t having[SPARSE_MAX_FIELDS]; /* documents with at least one token in it */
} sparse_statistics;
void sparse_statistics_add(sparse_statistics *sum, const sparse_statistics *more);

#endif
