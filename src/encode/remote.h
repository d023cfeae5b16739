/* Somebody else's encoder: an OpenAI-compatible `/v1/embeddings` over HTTP.
 *
 * Requests are tried again after failures of transport, 429 and 5xx, with growing pauses, never past the deadline. After BREAKER_AFTER
 * failures in a row the breaker opens: for BREAKER_PAUSE every call fails at once, then one is let through to see. Answers are
 * bounded and checked: the right number of vectors of the right size, finite numbers.
 *
 * Threads: any number; each request in flight has a connection, and connections are kept for later ones. */
#ifndef ENCODE_REMOTE_H
#define ENCODE_REMOTE_H

#include "encode/encoder.h"
#include "os/clock.h"

#define REMOTE_BREAKER_AFTER 5
#define REMOTE_BREAKER_PAUSE ((int64_t)15 * 1000000)

typedef struct remote_options {
    const char *url, *model;
    const char *key_env;       /* name of the environment variable with the API key; NULL: none */
    uint32_t dimensions;       /* of its vectors */
    uint32_t timeout_ms;       /* of one request; 0: 2000 */
    uint32_t tries;            /* 0: 3 */
    uint32_t batch;            /* texts a request; 0: 32 */
    const char *query_prefix, *document_prefix; /* or NULL */
    uint32_t cached_queries;   /* vectors of queries that are remembered; 0: none */
    const os_clock *clock;     /* of the breaker; NULL: the system's */
} remote_options;

/* Nothing is asked yet. FORAGE_E_INVALID: a setting, or the key's variable, is missing. */
forage_status remote_encoder_open(const remote_options *options, encoder **out, base_error *error);

/* ---- remote_answer.c ---- */

/* Reads an answer to n texts: n × dimensions floats of unit length to out. FORAGE_E_IO says what is wrong with it. */
forage_status remote_read_answer(slice body, size_t n, uint32_t dimensions, float *out, base_error *error);

#endif
