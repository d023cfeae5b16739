#include "cli/http_client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define CONNECT_TIMEOUT_S 5L
#define ANSWER_LIMIT ((size_t)1 << 30)

struct http_client {
    CURL *curl;
    char *url, *authorization;
    char message[CURL_ERROR_SIZE];
};

forage_status http_client_create(const char *url, const char *key, long timeout_s, http_client **out,
                                 base_error *error) {
    if (strncasecmp(url, "http://", 7) != 0 && strncasecmp(url, "https://", 8) != 0)
        return error_set(error, FORAGE_E_INVALID, "\"%s\" is no URL of a server: expected one such as "
                         "http://127.0.0.1:7700", url);
    if (curl_global_init(CURL_GLOBAL_DEFAULT) != 0)
        return error_set(error, FORAGE_E_INTERNAL, "the HTTP library did not start");
    http_client *c = mem_zalloc(1, sizeof *c);
    c->curl = curl_easy_init();
    c->url = mem_strdup(url);
    for (size_t n = strlen(c->url); n && c->url[n - 1] == '/'; n--) c->url[n - 1] = '\0';
    if (key) {
        buffer header = {0};
        buffer_printf(&header, "Authorization: Bearer %s", key);
        c->authorization = buffer_text(&header);
    }
    curl_easy_setopt(c->curl, CURLOPT_ERRORBUFFER, c->message);
    curl_easy_setopt(c->curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(c->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c->curl, CURLOPT_CONNECTTIMEOUT, CONNECT_TIMEOUT_S);
    curl_easy_setopt(c->curl, CURLOPT_TIMEOUT, timeout_s);
    curl_easy_setopt(c->curl, CURLOPT_USERAGENT, "forage/" FORAGE_VERSION);
    *out = c;
    return FORAGE_OK;
}

void http_client_destroy(http_client *c) {
    if (!c) return;
    curl_easy_cleanup(c->curl);
    free(c->url);
    free(c->authorization);
    free(c);
    curl_global_cleanup();
}

static size_t take_body(char *data, size_t one, size_t size, void *self) {
    buffer *body = self;
    if (body->size + size > ANSWER_LIMIT) return 0;
    buffer_append(body, data, one * size);
    return one * size;
}

static bool header_is(const char *line, size_t size, const char *name, slice *value) {
    size_t n = strlen(name);
    if (size <= n || strncasecmp(line, name, n) != 0 || line[n] != ':') return false;
    const char *start = line + n + 1, *end = line + size;
    while (start < end && *start == ' ') start++;
    while (end > start && (end[-1] == '\r' || end[-1] == '\n' || end[-1] == ' ')) end--;
    *value = (slice){start, (size_t)(end - start)};
    return true;
}

static size_t take_header(char *line, size_t one, size_t size, void *self) {
    http_answer *answer = self;
    slice value;
    if (header_is(line, size, "Forage-Next", &value) && value.size < sizeof answer->next) {
        memcpy(answer->next, value.data, value.size);
        answer->next[value.size] = '\0';
    } else if (header_is(line, size, "Retry-After", &value) && value.size) {
        answer->retry_after = atoi(value.data);
    }
    return one * size;
}

static forage_status no_answer(http_client *c, CURLcode code, base_error *error) {
    const char *why = c->message[0] ? c->message : curl_easy_strerror(code);
    if (code == CURLE_COULDNT_CONNECT || code == CURLE_COULDNT_RESOLVE_HOST)
        return error_set(error, FORAGE_E_IO, "could not reach %s (%s); is `forage serve` running?", c->url, why);
    if (code == CURLE_OPERATION_TIMEDOUT)
        return error_set(error, FORAGE_E_IO, "%s did not answer in time (%s); --timeout SECONDS waits longer",
                         c->url, why);
    return error_set(error, FORAGE_E_IO, "talking to %s failed: %s", c->url, why);
}

static struct curl_slist *request_headers(const http_client *c, const char *content_type) {
    struct curl_slist *list = NULL;
    if (c->authorization) list = curl_slist_append(list, c->authorization);
    char line[128];
    snprintf(line, sizeof line, "Content-Type: %s", content_type ? content_type : "application/json");
    return curl_slist_append(list, line);
}

forage_status http_client_send(http_client *c, const char *method, const char *target, const char *content_type,
                               slice body, http_answer *out, base_error *error) {
    http_answer answer = {0};
    buffer url = {0};
    buffer_printf(&url, "%s%s", c->url, target);
    struct curl_slist *headers = request_headers(c, content_type);
    bool get = strcmp(method, "GET") == 0;
    curl_easy_setopt(c->curl, CURLOPT_URL, buffer_text(&url));
    curl_easy_setopt(c->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(c->curl, get ? CURLOPT_HTTPGET : CURLOPT_POST, 1L);
    curl_easy_setopt(c->curl, CURLOPT_CUSTOMREQUEST, method);
    if (!get) {
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body.size);
        curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, body.size ? body.data : "");
    }
    curl_easy_setopt(c->curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(c->curl, CURLOPT_WRITEDATA, &answer.body);
    curl_easy_setopt(c->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(c->curl, CURLOPT_HEADERDATA, &answer);
    c->message[0] = '\0';
    CURLcode code = curl_easy_perform(c->curl);
    curl_slist_free_all(headers);
    buffer_release(&url);
    if (code != CURLE_OK) {
        buffer_release(&answer.body);
        return no_answer(c, code, error);
    }
    long status = 0;
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &status);
    answer.status = (int)status;
    *out = answer;
    return FORAGE_OK;
}
