/* The schema: which members of a document mean what.
 *
 * A schema value is immutable once published; a changed one is a new value. Field i of the schema is field `sparse` of the
 * index; fields are appended and never reordered, so that older segments stay readable. */
#ifndef COLLECTION_SCHEMA_H
#define COLLECTION_SCHEMA_H

#include "dense/code.h"
#include "feedback/event.h"
#include "format/json.h"
#include "sparse/fields.h"
#include "text/analyze.h"

#define SCHEMA_MAX_SEGMENTS 4
#define SCHEMA_DEFAULT_CANDIDATES 200.0
#define SCHEMA_DEFAULT_HALF_LIFE 30.0
#define SCHEMA_MAX_FEATURES 32
#define SCHEMA_DEFAULT_UNSHOWN 4
#define SCHEMA_REQUEST_FEATURE "request." /* begins the name of a feature that the request brings */

typedef enum schema_kind {
    SCHEMA_TEXT, SCHEMA_KEYWORD, SCHEMA_NUMBER, SCHEMA_DATE, SCHEMA_VECTOR, SCHEMA_REFERENCE, SCHEMA_WEIGHTS
} schema_kind;

typedef enum schema_encoder {
    SCHEMA_ENCODER_NONE, /* documents and requests bring their vectors */
    SCHEMA_ENCODER_CATALOGUE, SCHEMA_ENCODER_BERT, SCHEMA_ENCODER_REMOTE
} schema_encoder;

#define SCHEMA_MAX_FROM 8
#define SCHEMA_MOST_CROSS 200 /* documents that a cross-encoder scores for one search */

#define SCHEMA_MAX_TOKENS 1024     /* with weights, of a document or a request */
#define SCHEMA_MAX_TOKEN_BYTES 256
#define SCHEMA_DEFAULT_MAX_WEIGHT 4.0

/* How a vector field is compared and kept, and what makes its vectors; or what makes the tokens and weights of a field of weights,
 * which has no dimensions, metric and code. */
typedef struct schema_vector {
    dense_metric metric;
    dense_code code;
    schema_encoder encoder;
    char *model;              /* bert: a folder; remote: a name */
    char *url, *key_env;      /* remote; key_env: the environment variable that holds the API key, or NULL */
    char *query_prefix, *document_prefix; /* or NULL */
    bool full_precision;      /* bert: 32-bit floats instead of 8-bit integers */
    uint32_t timeout_ms;      /* remote */
    float max_weight;         /* weights: the largest there is; they are kept in 255 steps up to it */
    bool token_queries;       /* weights by bert: a query is its own tokens by their idf, and no model is asked */
    uint32_t n_from;          /* 0: from all text fields, heaviest first */
    char *from[SCHEMA_MAX_FROM];
} schema_vector;

typedef struct schema_field {
    char *name;
    schema_kind kind;
    float weight;           /* text */
    text_language language; /* text */
    bool detect;            /* text: the language is detected for each value */
    uint32_t dimensions;    /* vector */
    schema_vector vector;
    int32_t sparse;         /* its number in the index, -1 for vectors and weights, which have indexes of their own */
} schema_field;

/* A model that reads the query and a document's text together, for the first of the order (retrieve/cross_encoder.h). */
typedef struct schema_cross {
    char *model;          /* a folder; NULL: there is none */
    bool full_precision;  /* 32-bit floats instead of 8-bit integers */
    bool on;              /* for requests that do not say */
    bool last;            /* it orders what it scored */
    double weight;        /* of its score in that order, 0 to 1; the rest is the ranker's */
    uint32_t top;         /* of the ranker's order that it may score */
    uint32_t budget_ms;   /* for all of them */
    uint32_t tokens;      /* of a pair that are read */
    uint32_t n_from;      /* 0: all text fields, heaviest first */
    char *from[SCHEMA_MAX_FROM];
} schema_cross;

/* How the union becomes an order, and what is kept of it to learn from. */
typedef struct schema_ranking {
    bool features_declared;        /* else the first number and date fields are features */
    uint32_t n_features;
    char *features[SCHEMA_MAX_FEATURES]; /* number and date fields, and "request.NAME" */
    double log_features;           /* share of the searches whose features are logged, but for the few that are learned from online */
    uint32_t log_unshown;          /* candidates beyond the page that are logged with it */
    double temperature;            /* of exploration in the order; 0: none */
    uint32_t explore_top;          /* places that it may move */
    double diversity;              /* 0: none, 1: as unlike as can be */
    char *value_field;             /* what a document is worth to the shop, or NULL */
    double value_strength;
    uint64_t train_every;          /* events; 0: a model is trained when somebody says so */
    uint32_t memory_mb;            /* of a training's rows */
    schema_cross cross;
} schema_ranking;

typedef struct schema {
    arena memory;
    schema_field fields[SPARSE_MAX_FIELDS];
    uint32_t n_fields;
    char *id, *type, *popularity;  /* member names */
    int32_t type_field, popularity_field; /* among fields, or -1 */
    text_language language;
    bool detect;                   /* language: "detect" */
    bool inferred;                 /* members not named yet are added as they come */
    feedback_reward rewards[FEEDBACK_MAX_REWARDS];
    uint32_t n_rewards;
    char policy[32], ranker[32];
    /* What retrieval may cost: the mean number of candidates of a search, or the milliseconds that 95 % of them stay below.
     * 0: no such limit; at most one is above 0. */
    double budget_candidates, budget_p95_ms;
    double half_life_days;         /* of what behaviour tells: profiles, trends, graph */
    bool only_new;                 /* personal leaves out what the user chose before */
    bool beyond_words;             /* strategies of behaviour also find documents without a word of the query */
    char *segments[SCHEMA_MAX_SEGMENTS]; /* context members that group people, most general first */
    uint32_t n_segments;
    schema_ranking ranking;
} schema;

/* An empty schema that infers. */
schema *schema_create(void);
schema *schema_copy(const schema *s);
void schema_destroy(schema *s);

/* A copy of `base` with what `json` declares added. FORAGE_E_SCHEMA names the member. `empty`: nothing is stored yet, so
 * kinds may change. Declaring any field ends inference unless "inferred": true says otherwise. */
forage_status schema_extend(const schema *base, const json_value *json, bool empty, schema **out, base_error *error);
void schema_write(const schema *s, json_writer *w);
/* The schema that schema_write wrote. FORAGE_E_SCHEMA. */
forage_status schema_read(const json_value *json, schema **out, base_error *error);
const char *schema_kind_name(schema_kind kind);
const char *schema_encoder_name(schema_encoder kind);

const schema_field *schema_find(const schema *s, slice name); /* NULL when it has no such field */
void schema_sparse_config(const schema *s, sparse_config *out); /* names point into the schema */
bool schema_reward(const schema *s, slice action, float *reward);

/* Parts that a search request may have as well; absent members stay as they are. FORAGE_E_INVALID names the member. */
forage_status schema_read_explore(const json_value *json, double *temperature, uint32_t *top, base_error *error);
forage_status schema_read_value(const schema *s, const json_value *json, slice *field, double *strength, base_error *error);
bool schema_ranker_known(slice name); /* "auto", "linear", "rrf", "model" or "model:NUMBER" */

/* Looks at a sample of documents and appends fields for members that the schema does not name; *added says how many. */
void schema_infer(schema *s, const json_value *const *documents, size_t n, uint32_t *added);

/* Appends a field (used by inference and by implied fields). False when there are SPARSE_MAX_FIELDS already, and for a name
 * that could not be declared. */
bool schema_add_field(schema *s, slice name, schema_kind kind, uint32_t dimensions);

#endif
