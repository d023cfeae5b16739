/* Forage: search that learns what to retrieve and how to rank it.
 *
 * One data folder holds any number of collections; a collection holds documents of one schema, and what people did with
 * them. The life of a result:
 *
 *     forage *db;
 *     forage_collection *books;
 *     forage_open("data", NULL, &db, &error);
 *     forage_collection_open(db, "books", FORAGE_CREATE, &books, &error);
 *     forage_import_file(books, "books.ndjson", NULL, NULL, &error);       // searchable when this returns
 *
 *     forage_results *results;
 *     forage_search_request request = {.query = "the hunger games", .limit = 10};
 *     forage_search(books, &request, &results, &error);
 *     forage_hit hit = forage_results_hit(results, 0);                     // hit.id, hit.score, hit.document …
 *
 *     forage_event event = {.query_id = forage_results_query_id(results), .action = "click", .document = hit.id};
 *     forage_record_event(books, &event, NULL, &error);                     // the next search has learned from it
 *     forage_results_free(results);
 *     forage_close(db);
 *
 * The same engine answers JSON requests through one call, forage_call(): it is the whole HTTP API without HTTP, and what
 * the server and the command line are made of. docs/api.md describes it.
 *
 * Threads: every function may be called from any thread, except that a handle must not be in use while it is closed.
 * Errors: functions return 0 or a negative forage_status and fill `error` when it is not NULL. Out parameters are written
 * only on success. Strings are UTF-8. Durability: a call that changed something returns after the change is on disk. */
#ifndef FORAGE_H
#define FORAGE_H

#include "forage_status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#if defined(__GNUC__)
#define FORAGE_API __attribute__((visibility("default")))
#else
#define FORAGE_API
#endif

/* "0.1.0" */
FORAGE_API const char *forage_version(void);
/* A stable name ("invalid_filter"), a sentence, and the HTTP status of a status code. */
FORAGE_API const char *forage_status_name(forage_status status);
FORAGE_API const char *forage_status_message(forage_status status);
FORAGE_API int forage_status_http(forage_status status);

/* ---- A data folder --------------------------------------------------------------------------------------------- */

typedef struct forage forage;
typedef struct forage_collection forage_collection;

typedef struct forage_options {
    bool read_only;    /* open beside another process that writes: its documents are followed; what it learns after the opening is
                          not, and searches are not logged */
    unsigned threads;  /* that run strategies; 0: one per core */
    uint64_t seed;     /* of every random choice; 0: from the operating system */
    bool no_sync;      /* do not wait for the disk: for throw-away folders only */
} forage_options;

/* Opens `folder`, creating it unless read_only. options may be NULL.
 * FORAGE_E_LOCKED: another process writes to it (the message names it); FORAGE_E_VERSION: written by a newer version;
 * FORAGE_E_CORRUPT, FORAGE_E_IO, FORAGE_E_READ_ONLY, FORAGE_E_FULL. */
FORAGE_API forage_status forage_open(const char *folder, const forage_options *options, forage **out,
                                     forage_error *error);
/* Finishes what is queued, writes index files, closes all collections. NULL is a no-op. */
FORAGE_API void forage_close(forage *db);

/* ---- Collections ----------------------------------------------------------------------------------------------- */

typedef enum forage_open_mode {
    FORAGE_EXISTING, /* FORAGE_E_NO_COLLECTION when it is not there */
    FORAGE_CREATE    /* made when absent; the schema is inferred from the first import unless set before */
} forage_open_mode;

/* name: a–z, 0–9, - and _, at most 64, starting with a letter or digit. The handle belongs to `db`; it is the same for
 * every caller and needs no closing. */
FORAGE_API forage_status forage_collection_open(forage *db, const char *name, forage_open_mode mode,
                                                forage_collection **out, forage_error *error);
/* Declares or extends the schema (JSON, see docs/api.md). Fields can be added at any time; a field's kind can only be
 * changed while the collection is empty (FORAGE_E_SCHEMA). */
FORAGE_API forage_status forage_collection_set_schema(forage_collection *c, const char *json, size_t size,
                                                      forage_error *error);
/* Removes a collection and all its files. Its handles must not be used any more. */
FORAGE_API forage_status forage_collection_drop(forage *db, const char *name, forage_error *error);

/* ---- Documents ------------------------------------------------------------------------------------------------- */

typedef struct forage_import_report {
    uint64_t received, indexed, failed;
    char first_error[512]; /* "line 17, field \"year\": expected a number, got \"nineteen\""; "" when none */
} forage_import_report;

/* Inserts or replaces documents by id. format: "ndjson", "json", "csv", "tsv" or NULL to recognise it; gzip and zstd are
 * recognised. Documents that do not fit the schema are counted and skipped, the others go in. Atomic per batch of some
 * thousand documents. report may be NULL. */
FORAGE_API forage_status forage_import(forage_collection *c, const void *data, size_t size, const char *format,
                                       forage_import_report *report, forage_error *error);
FORAGE_API forage_status forage_import_file(forage_collection *c, const char *path, const char *format,
                                            forage_import_report *report, forage_error *error);
FORAGE_API forage_status forage_document_delete(forage_collection *c, const char *id, forage_error *error);
/* The document's JSON, to be freed with forage_free. FORAGE_E_NO_DOCUMENT. */
FORAGE_API forage_status forage_document_get(forage_collection *c, const char *id, char **json, forage_error *error);
FORAGE_API void forage_free(void *memory);

/* ---- Search ---------------------------------------------------------------------------------------------------- */

typedef struct forage_search_request {
    const char *query;   /* NULL or "": what is popular, new and personal */
    uint32_t limit;      /* 0: 10; at most 1,000 */
    uint32_t offset;     /* offset + limit at most 10,000 */
    const char *filter;  /* JSON, NULL: none */
    const char *user, *session; /* NULL: unknown */
    const char *options; /* any further member of the JSON search request as an object, NULL: none:
                            {"facets":["genre"],"explain":true,"policy":"all"} */
} forage_search_request;

typedef struct forage_results forage_results;

typedef struct forage_hit { /* strings live as long as the results */
    const char *id, *type;  /* type "" when the schema has none */
    double score;
    const char *document;   /* JSON */
    const char *strategies; /* that found it, comma-separated: "lexical,memory" */
} forage_hit;

FORAGE_API forage_status forage_search(forage_collection *c, const forage_search_request *request,
                                       forage_results **out, forage_error *error);
FORAGE_API void forage_results_free(forage_results *r); /* NULL is a no-op */
FORAGE_API size_t forage_results_count(const forage_results *r);
FORAGE_API forage_hit forage_results_hit(const forage_results *r, size_t i); /* i < count */
FORAGE_API const char *forage_results_query_id(const forage_results *r);
FORAGE_API const char *forage_results_json(const forage_results *r); /* the whole response */

/* ---- Events ---------------------------------------------------------------------------------------------------- */

typedef struct forage_event {
    const char *query_id;  /* of the search that showed the document */
    const char *action;    /* "click", "like", "favorite", "play", "add_to_cart", "purchase", or one the schema declares */
    const char *document;  /* its id */
    const char *event_id;  /* NULL: none; the same id counts once */
    const char *user;      /* NULL: the impression's */
    int64_t time_us;       /* microseconds since 1970; 0: now */
} forage_event;

/* *duplicate (may be NULL): it was known already. FORAGE_E_NO_QUERY: no impression of that query_id;
 * FORAGE_E_EVENT: the document was not among its hits, an unknown action, a time out of range. */
FORAGE_API forage_status forage_record_event(forage_collection *c, const forage_event *event, bool *duplicate,
                                             forage_error *error);

/* ---- Learning to rank from files -------------------------------------------------------------------------------- */

typedef struct forage_train_options {
    const char *train;      /* SVMlight ranking files ("label qid:7 1:0.5 2:3 # comment"), plain, gzip or zstd. In comments,
                               position=N and weight=X are read: where a row was shown, and how much its label counts */
    const char *validation; /* to stop and to choose by; NULL: every fifth group of train, drawn by the seed, is held out */
    const char *test;       /* only measured; NULL: none */
    const char *output;     /* the model is written there: trees in XGBoost's form, JSON for names that end in .json and
                               UBJSON for others; a linear model as JSON. NULL: nowhere */
    const char *scores;     /* the test rows' scores are written there, one a line; NULL: nowhere */
    const char *settings;   /* JSON object, NULL: defaults: "model" (best, trees, linear), "trees", "leaves", "depth",
                               "learning_rate", "truncation", "patience", "bags", "seed", "threads", "debias" … as `forage
                               help train` lists them */
} forage_train_options;

typedef struct forage_train_progress {
    uint32_t bag, round, rounds; /* round of rounds, from 1, of a bag (from 0) */
    double train, validation;    /* NDCG */
} forage_train_progress;
typedef bool (*forage_train_watch)(void *self, const forage_train_progress *progress); /* false: stop with what there is */

/* Trains LambdaMART and a linear order, takes the trees where they are ahead on the validation rows by more than a standard
 * error, and measures. *report: JSON, to be freed with forage_free. watch may be NULL; it is called by this thread.
 * FORAGE_E_INVALID: a file or a setting is not what it should be; FORAGE_E_TOO_LARGE, FORAGE_E_NOT_FOUND, FORAGE_E_IO. Takes
 * about 16 bytes per value of the files. */
FORAGE_API forage_status forage_train_files(const forage_train_options *options, forage_train_watch watch, void *self,
                                            char **report, forage_error *error);

/* ---- Everything else: the JSON API without HTTP ---------------------------------------------------------------- */

typedef struct forage_request {
    const char *method;       /* "GET", "PUT", "POST", "DELETE" */
    const char *target;       /* "/collections/books/search", with the query string if any, percent-encoded */
    const char *content_type; /* NULL: JSON, or recognised */
    const void *body;
    size_t body_size;
} forage_request;

typedef struct forage_response {
    int status;               /* an HTTP status */
    const char *content_type; /* static */
    char *body;               /* NUL-terminated */
    size_t body_size;
    char next[256];           /* GET of a list: where the next page starts ("after"); "" at the end */
} forage_response;

/* Answers one request; errors are answers too ({"error":{"code":…,"message":…}}). Release the response after use. */
FORAGE_API void forage_call(forage *db, const forage_request *request, forage_response *response);
FORAGE_API void forage_response_release(forage_response *response);

/* The routes that forage_call knows, "GET /collections/{collection}" …, NULL-terminated. */
FORAGE_API const char *const *forage_routes(void);

#ifdef __cplusplus
}
#endif
#endif
