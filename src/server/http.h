/* HTTP: connections, requests, bodies, limits. libmicrohttpd enters the project in http.c and knows nothing of Forage;
 * what a request means is the handler's business.
 *
 * One thread does all the network's work. A request whose answer takes longer than a moment is taken off that thread:
 * its connection is suspended, a worker from a bounded queue runs `answer`, and the connection then goes on. */
#ifndef SERVER_HTTP_H
#define SERVER_HTTP_H

#include "base/memory.h"
#include "base/status.h"

#define HTTP_MAX_HEADERS 20

typedef struct http_request {
    const char *method;    /* as sent */
    const char *target;    /* as sent: percent-encoded, with the query string */
    slice path;            /* the part of target before "?" */
    slice body;            /* whole; empty in `begin` */
    int64_t started_us;    /* monotonic */
    int route;             /* the handler's own */
    const char *id;        /* the handler's own */
    arena *memory;         /* lives as long as the request */
    void *connection;
} http_request;

typedef struct http_reply {
    int status;
    const char *content_type;      /* NULL: there is no body */
    slice body;
    void (*release)(void *owner);  /* of the body, once sent; NULL: the body is static or in the request's memory */
    void *owner;
    struct {
        const char *name, *value;  /* static, or in the request's memory */
    } headers[HTTP_MAX_HEADERS];
    size_t n_headers;
    bool close;                    /* the connection, after this reply */
} http_reply;

const char *http_header(const http_request *r, const char *name);    /* the request's; NULL when absent */
void http_peer(const http_request *r, char *out, size_t size);       /* the client's address */
void http_reply_header(http_reply *reply, const char *name, const char *value);
/* {"error":{"code","message","status"}} */
void http_reply_error(const http_request *r, http_reply *reply, int http_status, const char *code,
                      const char *format, ...) __attribute__((format(printf, 5, 6)));

typedef struct http_handler {
    void *self;
    /* The headers are in. True: *reply is the answer and the body, if any, is not wanted. On the network thread. */
    bool (*begin)(void *self, http_request *r, http_reply *reply);
    /* The body is in. On a worker. */
    void (*answer)(void *self, http_request *r, http_reply *reply);
    /* Adds headers to a reply about to be sent, those that http.c made included. On the network thread. */
    void (*finish)(void *self, http_request *r, http_reply *reply);
    /* Sent, or the connection broke (reply->status 0: before there was a reply). On the network thread. */
    void (*end)(void *self, const http_request *r, const http_reply *reply);
} http_handler;

typedef struct http_limits {
    size_t body;      /* bytes */
    unsigned workers; /* threads that answer */
    unsigned queue;   /* requests that wait for one; more are answered 429 */
} http_limits;

typedef struct http_counts {
    unsigned in_flight, queued, connections;
} http_counts;

typedef struct http_server http_server;

/* Takes over the listening socket `fd`, also when it fails. */
forage_status http_start(int fd, const http_limits *limits, const http_handler *handler, http_server **out,
                         base_error *error);
http_counts http_count(http_server *s);
/* Cuts connections whose request takes too long to arrive, or whose client takes too long to read. Call it once a
 * second. */
void http_sweep(http_server *s);
/* Accepts no more, answers 503 to new requests of open connections, waits for what is in progress, at most `limit_us`.
 * Returns whether all workers are idle; if not, the server still holds threads and must not be destroyed. */
bool http_drain(http_server *s, int64_t limit_us);
void http_destroy(http_server *s); /* NULL is a no-op */

#endif
