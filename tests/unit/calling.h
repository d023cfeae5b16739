/* A data folder in a temporary place, asked through forage_call: for the tests of the API. */
#ifndef CALLING_H
#define CALLING_H

#include "world.h"

#include "forage.h"

typedef struct caller {
    forage *db;
    char folder[600];
} caller;

/* One answer: its status and its body as JSON (NULL when it is none), which live until answer_release. */
typedef struct answer {
    arena memory;
    forage_response response;
    const json_value *json;
    int status;
} answer;

static inline void caller_open(caller *c, bool read_only) {
    forage_options options = {.read_only = read_only, .threads = 2, .no_sync = true};
    forage_error error = {0};
    if (forage_open(c->folder, &options, &c->db, &error)) fail_msg("%s", error.message);
}

static inline void caller_begin(caller *c) {
    *c = (caller){0};
    snprintf(c->folder, sizeof c->folder, "%s", testing_folder());
    caller_open(c, false);
}

static inline void caller_end(caller *c) {
    forage_close(c->db);
    assert_ok(os_remove_tree(c->folder, NULL));
}

static inline answer call_bytes(forage *db, const char *method, const char *target, const char *type, const void *body,
                                size_t size) {
    answer a = {0};
    json_value *json = NULL;
    forage_request request = {
        .method = method, .target = target, .content_type = type, .body = body, .body_size = size};
    forage_call(db, &request, &a.response);
    arena_init(&a.memory, 0);
    if (json_read(&a.memory, (slice){a.response.body, a.response.body_size}, &json, NULL) == FORAGE_OK) a.json = json;
    a.status = a.response.status;
    return a;
}

static inline answer call(forage *db, const char *method, const char *target, const char *body) {
    return call_bytes(db, method, target, NULL, body, body ? strlen(body) : 0);
}

static inline void answer_release(answer *a) {
    forage_response_release(&a->response);
    arena_release(&a->memory);
}

/* Calls for the status only. */
static inline int call_status(forage *db, const char *method, const char *target, const char *body) {
    answer a = call(db, method, target, body);
    int status = a.status;
    answer_release(&a);
    return status;
}

static inline void call_ok(forage *db, const char *method, const char *target, const char *body) {
    answer a = call(db, method, target, body);
    if (a.status >= 300) fail_msg("%s %s: %s", method, target, a.response.body);
    answer_release(&a);
}

static inline void assert_fails(forage *db, const char *method, const char *target, const char *body, int status,
                                const char *code) {
    answer a = call(db, method, target, body);
    if (a.status != status || strcmp(text_at(a.json, "error.code"), code) != 0)
        fail_msg("%s %s: %d %s", method, target, a.status, a.response.body);
    assert_float_equal(number_at(a.json, "error.status"), status, 0);
    assert_true(strlen(text_at(a.json, "error.message")) > 5);
    answer_release(&a);
}

#endif
