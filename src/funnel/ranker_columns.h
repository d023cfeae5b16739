/* Columns: the features of the ranker, one declared list.
 *
 * A candidate is a row of numbers; a column has a name, a source and a cost. The core comes first and is the same everywhere: the
 * linear ranker that learns online sees nothing else. The columns after it depend on the schema (its text fields, its number
 * fields) and are for models that are trained: NaN where a value is not known.
 *
 * A list belongs to one schema value and lives until the funnel is closed. Its id is a hash of its names: impressions are logged
 * with it, and the names are kept in the store, so that what was logged under an older schema can still be learned from. */
#ifndef FUNNEL_RANKER_COLUMNS_H
#define FUNNEL_RANKER_COLUMNS_H

#include "collection/schema.h"
#include "rank/ranker.h"

typedef enum columns_source {
    COLUMNS_CORE,     /* fusion of what is below, for the linear ranker */
    COLUMNS_STRATEGY, /* who found it, at which rank, with which score */
    COLUMNS_WORDS,    /* how its text matches */
    COLUMNS_MEMORY,   /* what became of it after this query */
    COLUMNS_PEOPLE,   /* what everybody does with it */
    COLUMNS_USER,     /* what this user does with it, and with what is like it */
    COLUMNS_DOCUMENT, /* how popular and how new, among all and among its type */
    COLUMNS_QUERY,    /* the same for all candidates of a request */
    COLUMNS_CONTEXT,
    COLUMNS_FIELD,    /* number and date fields */
    COLUMNS_REQUEST,  /* values that the request brings */
    COLUMNS_CROSS,    /* the cross-encoder's score, of those that it scored; where the schema has one */
    COLUMNS_SOURCES
} columns_source;
const char *columns_source_name(columns_source source);

typedef struct columns_column {
    const char *name;
    const char *meaning; /* one phrase for people */
    columns_source source;
} columns_column;

#define COLUMNS_MAX_TEXT 8    /* text fields with columns of their own, those of most weight */
#define COLUMNS_MAX_NUMBERS 24

/* Places after the core, each the first of its source: ranker_columns.c and describe.c agree on what follows. */
typedef struct columns_list {
    struct columns_list *next;
    const schema *schema;
    uint32_t n, id;
    const columns_column *columns;
    const char *const *names;
    uint32_t first[COLUMNS_SOURCES + 1];
    uint32_t n_text;
    uint32_t text[COLUMNS_MAX_TEXT];      /* place of the field among the index's text fields */
    uint32_t n_numbers;
    uint32_t number[COLUMNS_MAX_NUMBERS]; /* the field's number in the index */
    uint32_t n_request;
    const char *request[SCHEMA_MAX_FEATURES]; /* names without "request." */
} columns_list;

/* Columns of the sources, relative to first[source]; the list in columns.c has them in this order. */
enum { C_FUSION, C_ONLINE, C_STRATEGIES /* raw and rank of each */ };
enum { C_COVERAGE, C_BM25, C_FIELDS /* COLUMNS_PER_TEXT of each */ };
enum { C_FIELD_BM25, C_FIELD_COVERAGE, C_FIELD_EXACT, C_FIELD_PREFIX, C_FIELD_PHRASE, C_FIELD_PROXIMITY, C_FIELD_FIRST,
       C_FIELD_LENGTH, COLUMNS_PER_TEXT };
enum { C_MEMORY_PLACE, C_MEMORY_MEAN, C_MEMORY_DEVIATION, C_MEMORY_SHOWN, C_MEMORY_REWARDS, C_MEMORY_SHARE, C_MEMORY_SAME_MEAN,
       C_MEMORY_SAME_DEVIATION, C_MEMORY_LENT, C_MEMORY_PREDICTED, C_MEMORY_WAY, C_MEMORY_AGE };
enum { C_PEOPLE_EVERYONE, C_PEOPLE_TYPE, C_PEOPLE_SEGMENT, C_PEOPLE_SHOWN, C_PEOPLE_MEAN, C_PEOPLE_DEVIATION, C_PEOPLE_SURPRISE };
enum { C_USER_CHOSEN, C_USER_PLACE, C_USER_ORIGIN, C_USER_SIMILAR, C_USER_SIMILAR_HERE, C_USER_SIMILAR_OWN, C_USER_OWN,
       C_USER_ATTRIBUTES, C_USER_TYPE, C_USER_EVENTS, C_USER_ITEMS,
       C_USER_SHARED };
enum { C_DOCUMENT_POPULARITY, C_DOCUMENT_IN_TYPE, C_DOCUMENT_BEHIND, C_DOCUMENT_BEHIND_IN_TYPE, C_DOCUMENT_TYPE };
enum { C_QUERY_WORDS, C_QUERY_LETTERS, C_QUERY_RARITY, C_QUERY_TYPE, C_QUERY_YEAR, C_QUERY_YEAR_MATCH, C_QUERY_LANGUAGE,
       C_QUERY_DIGITS, C_QUERY_IDENTIFIER, C_QUERY_STOPWORDS, C_QUERY_MATCHING, C_QUERY_REMEMBERED, C_QUERY_REWARDS };
enum { C_CONTEXT_HOUR, C_CONTEXT_WEEKDAY, C_CONTEXT_SEGMENTS, C_CONTEXT_USER };

/* Builds the list of a schema; `core` are the names of the core's columns. For columns_release. */
columns_list *columns_create(const schema *s, const columns_column *core, uint32_t n_core);
void columns_destroy(columns_list *list); /* NULL is a no-op */
#define COLUMNS_NONE UINT32_MAX
uint32_t columns_find(const columns_list *list, slice name); /* its place, or COLUMNS_NONE */
/* The same for a value that comes with a candidate: "NAME" also stands for "request.NAME". */
uint32_t columns_find_given(const columns_list *list, slice name);
uint32_t columns_hash(const char *const *names, uint32_t n); /* the id of a list of these names; never one of the few fixed ones */

#endif
