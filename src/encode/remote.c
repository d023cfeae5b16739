#include "encode/remote.h"

#include "base/hash.h"
#include "base/random.h"
#include "encode/vector_cache.h"
#include "format/json.h"

#include <curl/curl.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MOST_CONNECTIONS 16u
#define BYTES_A_NUMBER 32u /* of an answer, at most */
#define MOST_TEXT 32768u   /* bytes of a text that are sent */
#define FIRST_PAUSE 50000  /* microseconds before the second try; doubled for each further one */

typedef struct remote_encoder {
    encoder base;
    char *url, *body_start; /* {"model":…,"input": */
    char *prefixes[2];
    struct curl_slist *headers;
    uint32_t timeout_ms, tries, batch;
    os_clock clock;
    pthread_mutex_t mutex; /* of all that follows */
    CURL *idle[MOST_CONNECTIONS];
    size_t n_idle;
    uint32_t failures;   /* in a row */
    int64_t open_until;  /* of the breaker */
    bool probing;        /* one call has been let through */
    random_source random;
} remote_encoder;

typedef struct reply {
    buffer body;
    size_t most;
    bool too_large;
    long retry_after; /* seconds; 0: not said */
} reply;

static size_t take_body(char *data, size_t size, size_t n, void *self) {
    reply *r = self;
    if (size * n > r->most - r->body.size) {
        r->too_large = true;
        return 0;
    }
    buffer_append(&r->body, data, size * n);
    return size * n;
}

/* ---- The breaker ---- */

static bool may_try(remote_encoder *e) {
    pthread_mutex_lock(&e->mutex);
    bool may = e->failures < REMOTE_BREAKER_AFTER;
    if (!may && clock_monotonic(&e->clock) >= e->open_until && !e->probing) may = e->probing = true;
    pthread_mutex_unlock(&e->mutex);
    return may;
}

static void note_outcome(remote_encoder *e, bool fine) {
    pthread_mutex_lock(&e->mutex);
    e->failures = fine ? 0 : e->failures + 1;
    if (!fine && e->failures >= REMOTE_BREAKER_AFTER) e->open_until = clock_monotonic(&e->clock) + REMOTE_BREAKER_PAUSE;
    e->probing = false;
    pthread_mutex_unlock(&e->mutex);
}

/* ---- One request ---- */

static CURL *take_connection(remote_encoder *e) {
    pthread_mutex_lock(&e->mutex);
    CURL *c = e->n_idle ? e->idle[--e->n_idle] : NULL;
    pthread_mutex_unlock(&e->mutex);
    return c ? c : curl_easy_init();
}

static void give_connection(remote_encoder *e, CURL *c) {
    pthread_mutex_lock(&e->mutex);
    bool room = e->n_idle < MOST_CONNECTIONS;
    if (room) e->idle[e->n_idle++] = c;
    pthread_mutex_unlock(&e->mutex);
    if (!room) curl_easy_cleanup(c);
}

typedef enum outcome { OUTCOME_FINE, OUTCOME_REFUSED, OUTCOME_TRY_AGAIN } outcome;

static outcome post(remote_encoder *e, slice body, long timeout_ms, reply *r, base_error *error) {
    CURL *c = take_connection(e);
    if (!c) {
        error_set(error, FORAGE_E_INTERNAL, "libcurl gave no handle");
        return OUTCOME_REFUSED;
    }
    char why[CURL_ERROR_SIZE] = "";
    long code = 0;
    curl_off_t wait = 0;
    curl_easy_setopt(c, CURLOPT_URL, e->url);
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, e->headers);
    curl_easy_setopt(c, CURLOPT_POSTFIELDS, body.data);
    curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
    curl_easy_setopt(c, CURLOPT_TIMEOUT_MS, timeout_ms);
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, r);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    CURLcode result = curl_easy_perform(c);
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
    curl_easy_getinfo(c, CURLINFO_RETRY_AFTER, &wait);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    give_connection(e, c);
    r->retry_after = wait > 0 && wait < 3600 ? (long)wait : 0;
    if (r->too_large) {
        error_set(error, FORAGE_E_IO, "%s answered with more than %zu bytes", e->url, r->most);
        return OUTCOME_REFUSED;
    }
    if (result == CURLE_OK && code == 200) return OUTCOME_FINE;
    forage_status status = result == CURLE_OPERATION_TIMEDOUT ? FORAGE_E_TIMEOUT : FORAGE_E_IO;
    if (result != CURLE_OK) error_set(error, status, "%s: %s", e->url, *why ? why : curl_easy_strerror(result));
    else
        error_set(error, FORAGE_E_IO, "%s answered %ld: %.*s", e->url, code, r->body.size < 200 ? (int)r->body.size : 200,
                  r->body.data ? r->body.data : "");
    return result != CURLE_OK || code == 429 || code >= 500 ? OUTCOME_TRY_AGAIN : OUTCOME_REFUSED;
}

static int64_t now(void) { return clock_monotonic(&os_clock_system); }

/* Before the next try, or false when the deadline comes first. */
static bool pause_before(remote_encoder *e, uint32_t tried, long retry_after, int64_t deadline) {
    pthread_mutex_lock(&e->mutex);
    double share = 0.5 + random_double(&e->random) / 2; /* so that many do not come back at once */
    pthread_mutex_unlock(&e->mutex);
    int64_t pause = (int64_t)((double)(FIRST_PAUSE << tried) * share), said = (int64_t)retry_after * 1000000;
    if (said > pause) pause = said;
    if (deadline != INT64_MAX && now() + pause >= deadline) return false;
    nanosleep(&(struct timespec){pause / 1000000, pause % 1000000 * 1000}, NULL);
    return true;
}

static forage_status ask(remote_encoder *e, slice body, size_t n, int64_t deadline, float *out, base_error *error) {
    base_error why = {0};
    if (!may_try(e))
        return error_set(error, FORAGE_E_IO, "%s failed %d times in a row and is left alone for a while", e->url, REMOTE_BREAKER_AFTER);
    for (uint32_t tried = 0;; tried++) {
        reply r = {.most = (n * (size_t)e->base.dimensions * BYTES_A_NUMBER) + 65536};
        int64_t left = deadline == INT64_MAX ? INT64_MAX : (deadline - now()) / 1000;
        long timeout = left < (int64_t)e->timeout_ms ? (long)left : (long)e->timeout_ms;
        if (timeout <= 0) {
            pthread_mutex_lock(&e->mutex); /* nobody was asked: that says nothing about the service */
            e->probing = false;
            pthread_mutex_unlock(&e->mutex);
            return error_set(error, FORAGE_E_TIMEOUT, "%s", status_message(FORAGE_E_TIMEOUT));
        }
        outcome o = post(e, body, timeout, &r, &why);
        forage_status status = why.status;
        if (o == OUTCOME_FINE) status = remote_read_answer((slice){r.body.data, r.body.size}, n, e->base.dimensions, out, &why);
        long retry_after = r.retry_after;
        buffer_release(&r.body);
        if (o == OUTCOME_FINE && !status) {
            note_outcome(e, true);
            return FORAGE_OK;
        }
        if (o == OUTCOME_TRY_AGAIN && tried + 1 < e->tries && pause_before(e, tried, retry_after, deadline)) continue;
        note_outcome(e, false);
        if (error) *error = why;
        return why.status;
    }
}

/* ---- The encoder ---- */

static size_t cut_at(slice text) {
    size_t size = text.size < MOST_TEXT ? text.size : MOST_TEXT;
    while (size && size < text.size && ((unsigned char)text.data[size] & 0xc0) == 0x80) size--;
    return size;
}

static void write_body(const remote_encoder *e, encode_side side, const slice *texts, size_t n, buffer *out) {
    buffer one = {0};
    json_writer w = json_writer_of(out);
    buffer_clear(out);
    buffer_puts(out, e->body_start);
    json_begin_array(&w);
    for (size_t i = 0; i < n; i++) {
        buffer_clear(&one);
        buffer_puts(&one, e->prefixes[side]);
        buffer_append(&one, texts[i].data, cut_at(texts[i]));
        json_string(&w, one.size ? (slice){one.data, one.size} : SLICE(" ")); /* services refuse empty texts */
    }
    json_end_array(&w);
    buffer_puts(out, "}");
    buffer_release(&one);
}

static forage_status encode(encoder *base, encode_side side, const slice *texts, size_t n, int64_t deadline, float *out,
                            base_error *error) {
    remote_encoder *e = (remote_encoder *)base;
    buffer body = {0};
    forage_status status = FORAGE_OK;
    for (size_t from = 0; from < n && !status; from += e->batch) {
        size_t m = n - from < e->batch ? n - from : e->batch;
        write_body(e, side, texts + from, m, &body);
        status = ask(e, (slice){body.data, body.size}, m, deadline, out + from * base->dimensions, error);
        for (size_t i = from; i < from + m && !status; i++)
            if (!texts[i].size) memset(out + i * base->dimensions, 0, base->dimensions * sizeof *out);
    }
    buffer_release(&body);
    return status;
}

static void destroy(encoder *base) {
    remote_encoder *e = (remote_encoder *)base;
    for (size_t i = 0; i < e->n_idle; i++) curl_easy_cleanup(e->idle[i]);
    curl_slist_free_all(e->headers);
    pthread_mutex_destroy(&e->mutex);
    free(e->url);
    free(e->body_start);
    free(e->prefixes[0]);
    free(e->prefixes[1]);
    free(e);
}

static const encoder_class remote_class = {"remote", encode, destroy};

static void start_curl(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

forage_status remote_encoder_open(const remote_options *options, encoder **out, base_error *error) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    const char *key = options->key_env ? getenv(options->key_env) : NULL;
    if (!options->url || !options->model || !options->dimensions)
        return error_set(error, FORAGE_E_INVALID, "a remote encoder needs a URL, a model and its dimensions");
    if (strncmp(options->url, "http://", 7) != 0 && strncmp(options->url, "https://", 8) != 0)
        return error_set(error, FORAGE_E_INVALID, "\"%s\" is no http or https address", options->url);
    if (options->key_env && (!key || !*key))
        return error_set(error, FORAGE_E_INVALID, "the environment variable %s, which holds the API key, is not set", options->key_env);
    pthread_once(&once, start_curl);
    remote_encoder *e = mem_zalloc(1, sizeof *e);
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    buffer_puts(&text, "{\"encoding_format\":\"float\",\"model\":");
    json_text(&w, options->model);
    buffer_puts(&text, ",\"input\":");
    e->body_start = mem_strdup(buffer_text(&text));
    buffer_printf(&text, "%s\n%s\n%s\n%u", options->url, options->query_prefix ? options->query_prefix : "",
                  options->document_prefix ? options->document_prefix : "", options->dimensions);
    uint64_t version = hash64(text.data, text.size, 0);
    e->base = (encoder){&remote_class, options->dimensions, version | 1};
    e->url = mem_strdup(options->url);
    e->prefixes[ENCODE_QUERY] = mem_strdup(options->query_prefix ? options->query_prefix : "");
    e->prefixes[ENCODE_DOCUMENT] = mem_strdup(options->document_prefix ? options->document_prefix : "");
    e->timeout_ms = options->timeout_ms ? options->timeout_ms : 2000;
    e->tries = options->tries ? options->tries : 3;
    e->batch = options->batch ? options->batch : 32;
    e->clock = options->clock ? *options->clock : os_clock_system;
    e->headers = curl_slist_append(NULL, "Content-Type: application/json");
    random_seed(&e->random, version);
    pthread_mutex_init(&e->mutex, NULL);
    if (key) {
        buffer_clear(&text);
        buffer_printf(&text, "Authorization: Bearer %s", key);
        e->headers = curl_slist_append(e->headers, buffer_text(&text));
    }
    buffer_release(&text);
    *out = options->cached_queries ? vector_cached_encoder(&e->base, options->cached_queries) : &e->base;
    return FORAGE_OK;
}
