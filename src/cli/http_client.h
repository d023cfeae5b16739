/* The API over HTTP. libcurl enters the project in http_client.c. */
#ifndef CLI_HTTP_CLIENT_H
#define CLI_HTTP_CLIENT_H

#include "base/memory.h"
#include "base/status.h"

typedef struct http_client http_client;

typedef struct http_answer {
    int status;
    buffer body;
    char next[256]; /* the header Forage-Next */
    int retry_after; /* seconds; 0: not said */
} http_answer;

/* url: "http://host:port" or https. key NULL: none. FORAGE_E_INVALID when the URL is none. */
forage_status http_client_create(const char *url, const char *key, long timeout_s, http_client **out,
                                 base_error *error);
void http_client_destroy(http_client *c);
/* FORAGE_E_IO when there was no answer. The caller releases the answer's body. */
forage_status http_client_send(http_client *c, const char *method, const char *target, const char *content_type,
                               slice body, http_answer *out, base_error *error);

#endif
