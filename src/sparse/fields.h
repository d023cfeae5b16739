/* What an index holds: the fields and the constants of the score. Shared by the writing and the reading side. */
#ifndef SPARSE_FIELDS_H
#define SPARSE_FIELDS_H

#include "base/memory.h"
#include "base/status.h"

#define SPARSE_MAX_FIELDS 64
#define SPARSE_BLOCK 128 /* postings in a block */

typedef enum sparse_kind {
    SPARSE_TEXT,    /* terms with frequencies, scored; a field length per document */
    SPARSE_KEYWORD, /* any number of exact values per document; in the inverted index and in a column */
    SPARSE_NUMBER   /* at most one double per document, in a column (dates are seconds since 1970) */
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
 * impact); a keyword value is a term of the attribute space under its field. */
#define SPARSE_SPACE_TEXT 't'
#define SPARSE_SPACE_ATTRIBUTE 'a'
#define SPARSE_MAX_TERM 512 /* longer keyword values are indexed by their first bytes and a hash */
slice sparse_text_key(arena *a, slice term);
slice sparse_attribute_key(arena *a, uint32_t field, slice value);

/* Collection-wide sums, over all live and not yet merged-away documents: they make idf and average lengths. */
typedef struct sparse_statistics {
    uint64_t documents;
    uint64_t length[SPARSE_MAX_FIELDS]; /* tokens per text field */
} sparse_statistics;

#endif
