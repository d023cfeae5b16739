/* Status codes: one list for the C API, the HTTP API and the command line.
 *
 * 0 is success and negative numbers are errors. Each code has a stable name, used as `error.code` in JSON, an HTTP
 * status, and a sentence for people. The list is the only place where they are written down. */
#ifndef FORAGE_STATUS_H
#define FORAGE_STATUS_H

/*  X(symbol, value, stable name, HTTP status, message) */
#define FORAGE_STATUS_LIST(X)                                                                                          \
    X(FORAGE_OK, 0, "ok", 200, "success")                                                                              \
    X(FORAGE_E_INVALID, -1, "invalid_request", 400, "the request is not valid")                                        \
    X(FORAGE_E_JSON, -2, "invalid_json", 400, "the text is not valid JSON")                                            \
    X(FORAGE_E_SCHEMA, -3, "invalid_schema", 400, "the schema is not valid")                                           \
    X(FORAGE_E_DOCUMENT, -4, "invalid_document", 400, "the document does not fit the schema")                          \
    X(FORAGE_E_FILTER, -5, "invalid_filter", 400, "the filter is not valid")                                           \
    X(FORAGE_E_EVENT, -6, "invalid_event", 400, "the event is not valid")                                              \
    X(FORAGE_E_NO_COLLECTION, -7, "collection_not_found", 404, "there is no such collection")                          \
    X(FORAGE_E_NO_DOCUMENT, -8, "document_not_found", 404, "there is no such document")                                \
    X(FORAGE_E_NO_QUERY, -9, "query_not_found", 404, "there is no impression with this query_id")                      \
    X(FORAGE_E_NO_ROUTE, -10, "route_not_found", 404, "there is nothing at this address")                              \
    X(FORAGE_E_METHOD, -11, "method_not_allowed", 405, "this address does not take that method")                       \
    X(FORAGE_E_EXISTS, -12, "already_exists", 409, "it exists already")                                                \
    X(FORAGE_E_TOO_LARGE, -13, "too_large", 413, "the request is larger than the limit")                               \
    X(FORAGE_E_OVERLOADED, -14, "overloaded", 429, "too many requests at once; try again shortly")                     \
    X(FORAGE_E_UNAUTHORIZED, -15, "unauthorized", 401, "an API key is needed")                                         \
    X(FORAGE_E_IO, -16, "io_error", 500, "reading or writing a file failed")                                           \
    X(FORAGE_E_FULL, -17, "disk_full", 507, "the disk is full")                                                        \
    X(FORAGE_E_CORRUPT, -18, "corrupt", 500, "stored data is damaged")                                                 \
    X(FORAGE_E_VERSION, -19, "newer_version", 500, "the data folder was written by a newer version")                   \
    X(FORAGE_E_LOCKED, -20, "locked", 409, "another process is writing to this data folder")                           \
    X(FORAGE_E_READ_ONLY, -21, "read_only", 403, "the data folder is open for reading only")                           \
    X(FORAGE_E_TIMEOUT, -22, "timeout", 504, "the deadline passed")                                                    \
    X(FORAGE_E_CLOSED, -23, "closed", 503, "the server is stopping")                                                   \
    X(FORAGE_E_NOT_FOUND, -24, "not_found", 404, "there is no such thing")                                             \
    X(FORAGE_E_INTERNAL, -25, "internal", 500, "an internal error happened")

typedef enum forage_status {
#define FORAGE_STATUS_ENUM(symbol, value, name, http, message) symbol = value,
    FORAGE_STATUS_LIST(FORAGE_STATUS_ENUM)
#undef FORAGE_STATUS_ENUM
} forage_status;

/* What a failing call says: a status for the program, a message for the person. Every call that takes one takes NULL. */
typedef struct forage_error {
    forage_status status;
    char message[1024]; /* UTF-8, NUL-terminated */
} forage_error;

#endif
