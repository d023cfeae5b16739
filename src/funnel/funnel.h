/* The funnel: one query's whole life, and the way back. funnel.c reads like the list of its stages.
 *
 * A funnel is the engine of one collection: its policy, ranker, and the threads that run strategies.
 * Threads: every function from any thread. */
#ifndef FUNNEL_FUNNEL_H
#define FUNNEL_FUNNEL_H

#include "collection/collection.h"
#include "os/pool.h"

typedef struct funnel funnel;
struct policy; /* policy/policy.h */
struct query_memory;
struct record_names;
struct record_impression;
struct record_event;
struct policy_decision;

#define FUNNEL_LEVELS 8
extern const uint32_t funnel_depths[FUNNEL_LEVELS]; /* candidates at each level of a decision, increasing; the first 0 */

/* Loads what was learned and catches up with the log. `pool` and the collection stay the caller's and must outlive it. */
forage_status funnel_open(collection *c, os_pool *pool, uint64_t seed, funnel **out, base_error *error);
void funnel_close(funnel *f); /* saves what was learned; NULL is a no-op */
collection *funnel_collection(const funnel *f);
/* The schema's settings were changed: budget, segments, and (as long as nobody did anything) the half-life. */
forage_status funnel_settings_changed(funnel *f, base_error *error);

/* ---- The way there ---- */

#define FUNNEL_MAX_WINDOW 10000 /* offset + limit */
#define FUNNEL_MAX_LIMIT 1000
#define FUNNEL_MAX_FACETS 16

typedef struct funnel_facet {
    slice field;
    uint32_t limit; /* values of a keyword field; buckets of a number or date */
} funnel_facet;

typedef struct funnel_request {
    slice query, query_id, user, session;
    const json_value *context; /* an object; NULL: none */
    slice context_language;    /* its "language", or empty */
    uint32_t limit, offset;
    const json_value *filter;  /* NULL: none */
    funnel_facet facets[FUNNEL_MAX_FACETS];
    size_t n_facets;
    const json_value *fields;  /* array of member names to return; NULL: all */
    bool explain, log;
    bool prefix;               /* the last word is still being typed: words that begin with it match too */
    slice policy, ranker;      /* empty: the collection's */
    const json_value *vector;  /* an array of numbers for vector_field; NULL: none */
    slice vector_field;        /* empty: the first that documents bring */
    const json_value *weights; /* an object of tokens and weights for weights_field; NULL: none */
    slice weights_field;       /* empty: the first that documents bring */
    slice like;                /* id of a document that the hits are to be like; empty: none */
    uint64_t seed;             /* 0: the funnel's own randomness */
    uint32_t timeout_ms;
    const json_value *features;        /* values of the columns "request.…": numbers, or objects id → number; NULL: none */
    const json_value *pinned, *hidden; /* arrays of ids, pinned also of {"id", "position"}; NULL: none */
    const json_value *value;           /* {"field", "strength"}; NULL: the collection's */
    double diversity;                  /* 0 to 1; below 0: the collection's */
    double temperature;                /* of exploration in the order; below 0: the collection's */
    uint32_t explore_top;
    int cross_encoder;                 /* 1: asked, 0: not, -1: as the schema says */
    bool next_page;                    /* the answer has a token for its next page */
    slice page;                        /* such a token; empty: none */
    int64_t time;              /* when it is asked, microseconds since 1970; 0: now. For replays. */
} funnel_request;

#define FUNNEL_DEFAULT_TIMEOUT_MS 250
#define FUNNEL_MOST_NAMED_DOCUMENTS 100 /* pinned, or hidden */
#define FUNNEL_MOST_GIVEN 1000

void funnel_request_default(funnel_request *r);
void funnel_request_set_context(funnel_request *r, const json_value *context); /* an object or NULL, and its language */
/* Limits and encoding, for requests that were not read from JSON. FORAGE_E_INVALID names the member. */
forage_status funnel_request_check(const funnel_request *r, base_error *error);
/* An object of numbers; `by_document`: or of objects with a number for each id. NULL and null leave *out alone. */
forage_status funnel_read_features(const json_value *json, bool by_document, const json_value **out, base_error *error);
/* Reads docs/api.md's search request; slices point into the JSON. FORAGE_E_INVALID names the member. */
forage_status funnel_request_read(const json_value *json, funnel_request *out, base_error *error);

typedef struct funnel_answer funnel_answer;

/* The request's slices and JSON must live until the answer is released. */
forage_status funnel_search(funnel *f, const funnel_request *request, funnel_answer **out, base_error *error);
void funnel_answer_release(funnel_answer *a); /* NULL is a no-op */

/* One of somebody else's candidates. */
typedef struct funnel_given {
    slice id;                   /* of a document here, or not */
    const json_value *features; /* an object: values of columns, by their names or for "request.NAME" by NAME; NULL: none */
} funnel_given;
/* Ranks them by the collection's ranker, after asking the strategies about the query; nothing is logged. An id that is no
 * document's is ranked by its features alone; equals stay as they were given. FORAGE_E_INVALID: an id is there twice. */
forage_status funnel_rank_given(funnel *f, const funnel_request *request, const funnel_given *given, size_t n, funnel_answer **out,
                                base_error *error);

typedef struct funnel_hit {
    uint32_t document;
    float score;
    uint32_t candidate; /* its row among the candidates */
    slice id, type, source;
} funnel_hit;

size_t funnel_answer_hits(const funnel_answer *a, const funnel_hit **hits);
slice funnel_answer_query_id(const funnel_answer *a); /* empty when it was not logged */
/* "lexical,memory": the strategies that found the hit. Lives in the answer. */
const char *funnel_answer_strategies(funnel_answer *a, size_t hit);
void funnel_answer_write(funnel_answer *a, json_writer *w);

/* ---- The way back ---- */

typedef struct funnel_event_result {
    forage_status status; /* 0: accepted */
    bool malformed;       /* set by the caller, with status and message: it is not an event at all */
    bool duplicate;
    char message[256];    /* when refused */
} funnel_event_result;

/* Records events, some hundred in a transaction; results[i] tells about events[i]. On return they are durable, and memory,
 * policy and ranker have learned. An error return means that nothing was recorded; when the store fails later than that,
 * the events that are left are refused. */
forage_status funnel_record(funnel *f, const feedback_event *events, size_t n, funnel_event_result *results,
                            base_error *error);

/* ---- What is known from elsewhere ---- */

typedef struct funnel_engagement {
    slice query, user, session, document; /* user and session may be empty; without a query only profiles, trends and graph learn */
    const json_value *context;            /* an object, or NULL */
    slice action;                         /* gives the reward */
    int64_t time;                         /* microseconds since 1970 */
} funnel_engagement;

/* Teaches memory, profiles, trends and graph what people did where no search of ours was: policy and ranker learn nothing, since
 * nothing was decided. Durable on return. *taught: how many were; the others name a document or an action that is unknown. */
forage_status funnel_teach(funnel *f, const funnel_engagement *engagements, size_t n, size_t *taught, base_error *error);

/* ---- Trying ---- */

/* What each strategy would find for a request, and what a policy would see of it. Arrays live in the answer. */
typedef struct funnel_probe {
    uint32_t n_strategies, n_levels, n_features;
    const uint32_t *levels;      /* n_levels depths, increasing, the first 0 */
    const float *x;              /* n_strategies × n_features, for policy_decide */
    const uint32_t *allowed;     /* n_strategies: bits of levels */
    const float *cost;           /* n_strategies × n_levels: candidates that the level is expected to give */
    const uint32_t *const *documents; /* per strategy: documents, best first */
    const uint32_t *n_documents;
} funnel_probe;

/* Asks every strategy that can answer for `depth` candidates; draws, logs and ranks nothing. */
forage_status funnel_try(funnel *f, const funnel_request *request, uint32_t depth, funnel_answer **out, funnel_probe *probe,
                         base_error *error);
/* A union as the ranker sees it: row i is documents[i]. Arrays live in the answer, names as long as the funnel. */
typedef struct funnel_rows {
    uint32_t n_features;
    const char *const *names;
    size_t n;
    const uint32_t *documents;
    const float *x;   /* n × n_features, NaN: no value */
    const float *rrf; /* n: reciprocal-rank fusion */
} funnel_rows;
/* Asks every strategy that can answer for `depth` candidates and describes them all; draws, logs and orders nothing. */
forage_status funnel_try_rows(funnel *f, const funnel_request *request, uint32_t depth, funnel_answer **out, funnel_rows *rows,
                              base_error *error);
/* A fresh policy of this name with the collection's levels, features, priors and budget (policy/policy.h); it has learned
 * nothing. `budget` 0: the collection's. FORAGE_E_INVALID: there is none of this name. */
forage_status funnel_policy(const funnel *f, const char *name, double budget, struct policy **out, base_error *error);
/* Asks a policy of this shape what it would have done where r was served; of *out only the distribution and its expected cost
 * mean anything. What levels cost is told by the logged features. False: r is of another shape. */
bool funnel_decide_again(const funnel *f, const struct policy *p, const char *rule, const struct record_impression *r,
                         random_source *random, struct policy_decision *out);
/* Teaches it r (e is NULL), or what e earned on r. `decided`: what funnel_decide_again told of r, so that the price is steered by
 * what this policy would have spent; NULL: by what was spent. False: nothing was taught; r is of another shape, or nobody
 * looked back at e. *weight, unless NULL: how many events e stands for, with those that could not be seen. */
bool funnel_teach_policy(const funnel *f, struct policy *p, const struct record_impression *r, const struct record_event *e,
                         const struct policy_decision *decided, float *weight);
/* Of a served answer: its union, in no order. */
size_t funnel_answer_union(funnel_answer *a, const uint32_t **documents);

struct vectors *funnel_vectors(funnel *f);
struct query_memory *funnel_memory(funnel *f); /* its own, for what is learned beside searches and events */

/* ---- Trained rankers ---- */

#define FUNNEL_MODEL_NAME 64
#define FUNNEL_MOST_MODELS 64   /* kept; beyond, the oldest that neither serves nor is the shadow goes */
#define FUNNEL_MODEL_BYTES (256u << 20)

typedef enum funnel_model_kind { FUNNEL_MODEL_LINEAR = 1, FUNNEL_MODEL_TREES = 2 } funnel_model_kind;

typedef struct funnel_model {
    uint64_t number;           /* from 1; 0 where none is meant */
    int64_t time;              /* when it was kept */
    funnel_model_kind kind;
    slice name;                /* of people's choice; may be empty */
    slice map;                 /* "theirs<TAB>ours" lines: its features' names to columns; may be empty */
    slice report;              /* a JSON object: what it was trained on and how it did; "calibration": {"slope", "intercept"} */
    slice bytes;               /* trees: forest_save's; linear: funnel_linear_bytes' */
    bool active, shadow;
} funnel_model;

/* Reads a model file of XGBoost (JSON, UBJ) or LightGBM (text), checks it against the columns, and makes it the bytes of a
 * model. FORAGE_E_INVALID says what is wrong: a feature that no column has is, unless allow_missing. */
forage_status funnel_model_import(funnel *f, slice file, slice map, bool allow_missing, buffer *bytes, base_error *error);
/* The bytes of a linear model: score = Σ weight × (x − center). */
void funnel_linear_bytes(const char *const *names, const float *weight, const float *center, uint32_t n, buffer *out);

uint64_t funnel_active_model(funnel *f); /* what serves; 0: the linear ranker that learns online */
uint64_t funnel_shadow_model(funnel *f); /* 0: none */
/* Stores a new version; of *model only name, kind, map, report and bytes are looked at. Nothing serves it yet. */
forage_status funnel_model_add(funnel *f, const funnel_model *draft, uint64_t *number, base_error *error);
/* The latest first, in the arena, with everything but bytes. */
forage_status funnel_models(funnel *f, arena *a, funnel_model **out, size_t *n, base_error *error);
forage_status funnel_model_get(funnel *f, uint64_t number, arena *a, funnel_model *out, base_error *error); /* with bytes */
/* From now on `number` serves (0: the linear ranker that learns online) where the ranker is "auto" or "model". */
forage_status funnel_model_activate(funnel *f, uint64_t number, base_error *error);
/* What served before serves again; *number says what. FORAGE_E_NOT_FOUND: nothing did. */
forage_status funnel_model_rollback(funnel *f, uint64_t *number, base_error *error);
forage_status funnel_model_shadow(funnel *f, uint64_t number, base_error *error); /* 0: none */
/* FORAGE_E_INVALID: it serves or is the shadow. */
forage_status funnel_model_remove(funnel *f, uint64_t number, base_error *error);
/* {"columns": importance…}: an array of {"feature", "gain", "cover", "splits"} or {"feature", "weight"}, the most important first. */
forage_status funnel_model_importance(const funnel_model *m, json_writer *w, base_error *error);
/* Scores rows of named columns (NaN: missing) by one version; 0: the linear ranker as it is now, by its own columns' names. */
forage_status funnel_model_score(funnel *f, uint64_t number, const char *const *names, uint32_t n_names, const float *x, size_t n,
                                 float *scores, base_error *error);

/* How likely ranks 1 … n are looked at, in (0, 1], as the log tells: from now on the memory corrects by it what people did at a
 * rank. Durable on return; n at most 64. */
forage_status funnel_set_examination(funnel *f, const float *chances, size_t n, base_error *error);

/* ---- Experiments ---- */

struct experiment_config;
/* FORAGE_E_EXISTS: one is running. Sides are rankers ("auto", "linear", "rrf", "model:NUMBER"), or for "ab" policies. */
forage_status funnel_experiment_start(funnel *f, const struct experiment_config *config, base_error *error);
forage_status funnel_experiment_end(funnel *f, base_error *error); /* FORAGE_E_NOT_FOUND: none is running */
/* Forgets that a user takes part in the experiment; what was counted stays, as nobody's. Durable on return. */
forage_status funnel_experiment_forget(funnel *f, slice user, base_error *error);
bool funnel_experiment_write(funnel *f, json_writer *w); /* false: there never was one, and nothing was written */

/* ---- The ranker's columns ---- */

#define FUNNEL_ONLINE_COLUMN "online" /* the score of the linear ranker that learns online, as it was then */

/* {"id", "columns": [{"name", "source", "meaning"}], "cost": {source: µs a search}}. */
void funnel_write_columns(funnel *f, json_writer *w);
/* The names of today's columns, and how many; they live as long as the funnel. */
const char *const *funnel_columns_now(funnel *f, uint32_t *n);
/* The names of the columns that an impression was logged with, in the arena; NULL: they are not known. */
const char *const *funnel_column_names(funnel *f, uint32_t feature_set, uint32_t n, arena *a);

/* ---- Versions of what is learned ---- */

/* A version is what policy, ranker, the strategies' past and their overlap were when the policy had observed `number` searches. A
 * few are kept by themselves, and those that a person gave a name. */
#define FUNNEL_VERSION_NAME 64
#define FUNNEL_KEPT 8        /* without a name, the latest */
#define FUNNEL_MOST_NAMED 32

typedef struct funnel_version {
    uint64_t number;
    uint64_t sequence; /* of the last record of the log in it: tells versions of one number apart */
    int64_t time;      /* when it was kept */
    char name[FUNNEL_VERSION_NAME + 1]; /* empty: none */
} funnel_version;

/* The kept ones, the latest first, in the arena. */
forage_status funnel_versions(funnel *f, arena *a, funnel_version **out, size_t *n, base_error *error);
/* Keeps what is learned now. A name that another version has moves to this one. FORAGE_E_INVALID: no name (1 to 64 letters, digits,
 * dots, dashes and underscores, not digits only), or FUNNEL_MOST_NAMED have one. Durable on return, as the two that follow. */
forage_status funnel_keep_version(funnel *f, slice name, funnel_version *out, base_error *error);
/* Goes back to a version, by name or number (of several with one number, the latest); what is learned from then on comes on top.
 * What was there is kept without a name before. Nothing is changed on FORAGE_E_NOT_FOUND, FORAGE_E_CORRUPT,
 * FORAGE_E_VERSION, FORAGE_E_INVALID (it is of another shape) and FORAGE_E_OVERLOADED (funnel_relearn is at work). */
forage_status funnel_roll_back(funnel *f, slice version, funnel_version *out, funnel_version *before, base_error *error);

typedef struct funnel_relearned {
    uint64_t searches, events; /* that taught */
    uint64_t number;           /* of decisions that the policy has observed now */
    funnel_version before;     /* as what was there is kept */
} funnel_relearned;

/* Learns again from the log what was searched from `since` on (INT64_MIN: all), beside what serves, and then takes its place, with
 * everything that was logged meanwhile. From the whole log, by unchanged settings, that gives what was learned as it came.
 * FORAGE_E_OVERLOADED: it is at work already. */
forage_status funnel_relearn(funnel *f, int64_t since, funnel_relearned *out, base_error *error);
/* How far it is, in records of the log. False: none is at work. */
bool funnel_relearn_progress(const funnel *f, uint64_t *done, uint64_t *total);

typedef struct funnel_learning {
    uint64_t updates, ranker_updates;
    double price;
} funnel_learning;
funnel_learning funnel_learned(const funnel *f);

void funnel_write_stats(funnel *f, json_writer *w);
void funnel_write_metrics(funnel *f, buffer *out); /* Prometheus text */

/* The log's features and strategies by name, for exports (feedback/record.h). */
struct record_names funnel_names(funnel *f); /* f: for the columns of every feature set that was logged; NULL: the core alone */
extern const char *const funnel_policy_feature_names[];
extern const uint32_t funnel_policy_feature_count;

#endif
