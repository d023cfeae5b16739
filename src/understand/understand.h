/* What may a query mean? Its language, its words, and its readings with their likelihoods. Readings are hints for what
 * follows (policy, retrieval, ranking); none of them removes a result, and free text is always among them. */
#ifndef UNDERSTAND_UNDERSTAND_H
#define UNDERSTAND_UNDERSTAND_H

#include "base/memory.h"
#include "text/analyze.h"

#define UNDERSTAND_MAX_TOKENS 1024      /* of a query; the rest is ignored */
#define UNDERSTAND_MAX_INTERPRETATIONS 16

/* A kind of document in the collection ("book", "tv show") and how many documents are of it. */
typedef struct understand_type {
    slice name;
    uint64_t documents;
} understand_type;

typedef struct understand_options {
    text_language default_language; /* the collection's */
    text_language context_language; /* the searcher's, or TEXT_ANY; where known it goes before the collection's */
    const understand_type *types;
    size_t n_types;
} understand_options;

typedef struct understand_token {
    slice term, folded;  /* as in text_token */
    uint32_t start, end; /* bytes in the query's text */
    bool stopword;
    bool used; /* searched for: see text_query_tokens */
} understand_token;

typedef enum understand_kind {
    UNDERSTAND_FREE_TEXT, /* just words */
    UNDERSTAND_TYPE_WORD, /* tokens [token, token + n_tokens) name a type of document: "books about bees" */
    UNDERSTAND_YEAR,      /* a token is a year: "alien 1979" */
} understand_kind;

typedef struct understand_interpretation {
    understand_kind kind;
    double likelihood;      /* over all interpretations these sum to 1 */
    size_t token, n_tokens; /* 0, 0 for free text */
    slice type;             /* TYPE_WORD: the type's name as given in the options */
    int year;               /* YEAR */
} understand_interpretation;

typedef struct understand_query {
    slice text;       /* the part that was analysed: all of it unless truncated */
    slice normalized; /* the memory's key: text_normalize_query */
    text_language language;
    double language_confidence; /* of the detection; 0 when `language` is only the fallback */
    const understand_token *tokens;
    size_t n_tokens;
    const understand_interpretation *interpretations; /* free text first, then by falling likelihood */
    size_t n_interpretations;                         /* at least 1 */
    bool all_stopwords;         /* it has tokens, and all are stopwords (and therefore used) */
    bool has_digits;
    bool looks_like_identifier; /* one word such as a part number or a package name: exact matches matter */
    bool truncated;             /* it had more than UNDERSTAND_MAX_TOKENS tokens */
} understand_query;

/* Analyses `text` (any bytes). Everything in `out` lives in `memory`, but types' names are the caller's. Uses the
 * analyzer, whose earlier results end. Never fails: an empty query has no tokens and one reading. */
void understand_analyze(text_analyzer *analyzer, slice text, const understand_options *options, arena *memory,
                        understand_query *out);

#endif
