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
    uint64_t seed;             /* 0: the funnel's own randomness */
    uint32_t timeout_ms;
    int64_t time;              /* when it is asked, microseconds since 1970; 0: now. For replays. */
} funnel_request;

#define FUNNEL_DEFAULT_TIMEOUT_MS 250

void funnel_request_default(funnel_request *r);
void funnel_request_set_context(funnel_request *r, const json_value *context); /* an object or NULL, and its language */
/* Limits and encoding, for requests that were not read from JSON. FORAGE_E_INVALID names the member. */
forage_status funnel_request_check(const funnel_request *r, base_error *error);
/* Reads docs/api.md's search request; slices point into the JSON. FORAGE_E_INVALID names the member. */
forage_status funnel_request_read(const json_value *json, funnel_request *out, base_error *error);

typedef struct funnel_answer funnel_answer;

/* The request's slices and JSON must live until the answer is released. */
forage_status funnel_search(funnel *f, const funnel_request *request, funnel_answer **out, base_error *error);
void funnel_answer_release(funnel_answer *a); /* NULL is a no-op */

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

struct query_memory *funnel_memory(funnel *f); /* its own, for what is learned beside searches and events */

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
struct record_names funnel_names(void);
extern const char *const funnel_feature_names[];
extern const uint32_t funnel_feature_count;
extern const char *const funnel_policy_feature_names[];
extern const uint32_t funnel_policy_feature_count;

#endif
