/* forage_call: routes, parameters, errors. */
#include "api/call.h"

#include "base/log.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef enum route_needs { NO_COLLECTION, EXISTING_COLLECTION } route_needs;

typedef struct route {
    const char *method, *pattern;
    api_handler handler;
    route_needs needs;
} route;

static const route routes[] = {
    {"GET", "/collections", api_list_collections, NO_COLLECTION},
    {"PUT", "/collections/{collection}", api_put_collection, NO_COLLECTION},
    {"GET", "/collections/{collection}", api_get_collection, EXISTING_COLLECTION},
    {"DELETE", "/collections/{collection}", api_delete_collection, NO_COLLECTION},
    {"POST", "/collections/{collection}/documents", api_post_documents, NO_COLLECTION},
    {"GET", "/collections/{collection}/documents", api_list_documents, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/documents/{id}", api_get_document, EXISTING_COLLECTION},
    {"DELETE", "/collections/{collection}/documents/{id}", api_delete_document, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/search", api_post_search, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/search", api_get_search, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/events", api_post_events, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/log", api_get_log, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/evaluate", api_post_evaluate, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/ope", api_post_ope, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/replay", api_post_replay, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/replay", api_get_replay, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/documents/{id}/predictions", api_get_document_predictions, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/predictions", api_get_predictions, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/predictions", api_post_predictions, EXISTING_COLLECTION},
    {"DELETE", "/collections/{collection}/predictions", api_delete_predictions, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/predictions/build", api_post_predictions_build, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/predictions/train", api_post_predictions_train, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/predictions/evaluate", api_post_predictions_evaluate, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/simulate", api_post_simulate, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/policy", api_get_policy, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/policy", api_post_policy, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/users/{id}", api_get_user, EXISTING_COLLECTION},
    {"DELETE", "/collections/{collection}/users/{id}", api_delete_user, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/train", api_post_train, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/train", api_get_train, EXISTING_COLLECTION},
    {"DELETE", "/collections/{collection}/train", api_delete_train, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/training-data", api_get_training_data, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/models", api_get_models, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/models", api_post_models, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/models/rollback", api_post_models_rollback, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/models/{id}", api_get_model, EXISTING_COLLECTION},
    {"DELETE", "/collections/{collection}/models/{id}", api_delete_model, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/models/{id}/activate", api_post_model_activate, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/models/{id}/shadow", api_post_model_shadow, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/shadow", api_get_shadow, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/features", api_get_features, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/examination", api_get_examination, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/rank", api_post_rank, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/experiment", api_post_experiment, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/experiment", api_get_experiment, EXISTING_COLLECTION},
    {"DELETE", "/collections/{collection}/experiment", api_delete_experiment, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/similar", api_post_similar, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/recommend", api_post_recommend, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/vectors", api_get_vectors, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/vectors", api_post_vectors, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/terms", api_get_terms, EXISTING_COLLECTION},
    {"GET", "/collections/{collection}/stats", api_get_stats, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/check", api_post_check, EXISTING_COLLECTION},
    {"POST", "/collections/{collection}/optimize", api_post_optimize, EXISTING_COLLECTION},
    {"GET", "/metrics", api_get_metrics, NO_COLLECTION},
    {"GET", "/openapi.json", api_get_openapi, NO_COLLECTION},
};
#define N_ROUTES (sizeof routes / sizeof routes[0])

FORAGE_API const char *const *forage_routes(void) {
    static const char *list[N_ROUTES + 1];
    static char texts[N_ROUTES][80];
    static pthread_mutex_t once = PTHREAD_MUTEX_INITIALIZER;
    pthread_mutex_lock(&once);
    for (size_t i = 0; i < N_ROUTES && !list[i]; i++) {
        snprintf(texts[i], sizeof texts[i], "%s %s", routes[i].method, routes[i].pattern);
        list[i] = texts[i];
    }
    pthread_mutex_unlock(&once);
    return list;
}

/* ---- The target ---- */

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

/* Percent-decoding; in query strings a plus is a space. A broken escape stands for itself. */
static slice decode(arena *a, slice text, bool plus_is_space) {
    char *out = arena_alloc(a, text.size + 1);
    size_t n = 0;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '%' && i + 2 < text.size && hex_digit(text.data[i + 1]) >= 0 && hex_digit(text.data[i + 2]) >= 0) {
            c = (char)(hex_digit(text.data[i + 1]) * 16 + hex_digit(text.data[i + 2]));
            i += 2;
        } else if (c == '+' && plus_is_space) {
            c = ' ';
        }
        out[n++] = c;
    }
    out[n] = '\0';
    return (slice){out, n};
}

static slice until(slice text, char stop, slice *rest) {
    const char *at = text.size ? memchr(text.data, stop, text.size) : NULL;
    size_t n = at ? (size_t)(at - text.data) : text.size;
    *rest = at ? (slice){at + 1, text.size - n - 1} : (slice){text.data + text.size, 0};
    return (slice){text.data, n};
}

static void read_parameters(api_call *c, slice text) {
    while (text.size && c->n_parameters < API_MAX_PARAMETERS) {
        slice value, pair = until(text, '&', &text), name = until(pair, '=', &value);
        if (!name.size) continue;
        c->parameters[c->n_parameters++] =
            (api_parameter){decode(&c->memory, name, true), decode(&c->memory, value, true)};
    }
}

/* Whether the path fits; {collection} and {id} are taken from it. */
static bool fits(api_call *c, slice pattern, slice path) {
    while (pattern.size || path.size) {
        if (!pattern.size || !path.size || pattern.data[0] != '/' || path.data[0] != '/') return false;
        slice rest_of_pattern, rest_of_path;
        slice wanted = until((slice){pattern.data + 1, pattern.size - 1}, '/', &rest_of_pattern);
        slice given = until((slice){path.data + 1, path.size - 1}, '/', &rest_of_path);
        bool variable = wanted.size && wanted.data[0] == '{';
        if (variable && !given.size) return false;
        if (variable) *(wanted.data[1] == 'c' ? &c->collection : &c->id) = decode(&c->memory, given, false);
        else if (!slice_equal(wanted, given)) return false;
        pattern = (slice){wanted.data + wanted.size, pattern.size - wanted.size - 1};
        path = (slice){given.data + given.size, path.size - given.size - 1};
    }
    return true;
}

static forage_status find_route(api_call *c, slice path, const route **out, base_error *error) {
    bool known_path = false;
    if (path.size > 1 && path.data[path.size - 1] == '/') path.size--;
    for (size_t i = 0; i < N_ROUTES; i++) {
        if (!fits(c, slice_of(routes[i].pattern), path)) continue;
        known_path = true;
        if (strcmp(routes[i].method, c->request->method) != 0) continue;
        *out = &routes[i];
        return FORAGE_OK;
    }
    if (known_path)
        return error_set(error, FORAGE_E_METHOD, "%.*s does not take %s", SLICE_ARG(path), c->request->method);
    return error_set(error, FORAGE_E_NO_ROUTE, "there is nothing at %.*s; see /openapi.json", SLICE_ARG(path));
}

slice api_parameter_of(const api_call *c, const char *name) {
    for (size_t i = 0; i < c->n_parameters; i++)
        if (slice_is(c->parameters[i].name, name)) return c->parameters[i].value;
    return (slice){0};
}

forage_status api_parameter_integer(const api_call *c, const char *name, int64_t low, int64_t high, int64_t *out,
                                    base_error *error) {
    slice text = api_parameter_of(c, name);
    if (!text.size) return FORAGE_OK;
    char *end;
    errno = 0;
    long long value = strtoll(text.data, &end, 10);
    if (end != text.data + text.size || errno == ERANGE || value < low || value > high)
        return error_set(error, FORAGE_E_INVALID, "\"%s\": expected a whole number from %lld to %lld, got \"%.*s\"", name,
                         (long long)low, (long long)high, SLICE_ARG(text));
    *out = value;
    return FORAGE_OK;
}

forage_status api_body(api_call *c, json_value **out, base_error *error) {
    slice text = {c->request->body, c->request->body_size};
    return json_read(&c->memory, text.size ? text : SLICE("{}"), out, error);
}

/* ---- The call ---- */

static void write_error(api_call *c, const base_error *error) {
    buffer_clear(&c->body);
    c->json = json_writer_of(&c->body);
    c->content_type = "application/json";
    c->http = status_http(error->status);
    json_begin_object(&c->json);
    json_key(&c->json, "error");
    json_begin_object(&c->json);
    json_key(&c->json, "code");
    json_text(&c->json, status_name(error->status));
    json_key(&c->json, "message");
    json_text(&c->json, error->message);
    json_key(&c->json, "status");
    json_integer(&c->json, c->http);
    json_end_object(&c->json);
    json_end_object(&c->json);
}

static forage_status answer(api_call *c, base_error *error) {
    slice parameters, target = slice_of(c->request->target);
    slice path = until(target, '?', &parameters);
    const route *found = NULL;
    forage_status status = find_route(c, path, &found, error);
    if (status) return status;
    read_parameters(c, parameters);
    if (found->needs == EXISTING_COLLECTION) status = engine_acquire(c->db, c->collection, false, &c->entry, NULL, error);
    if (!status) status = found->handler(c, error);
    engine_release(c->entry);
    return status;
}

FORAGE_API void forage_call(forage *db, const forage_request *request, forage_response *response) {
    api_call c = {.db = db, .request = request, .content_type = "application/json"};
    base_error error = {.status = FORAGE_E_INTERNAL};
    arena_init(&c.memory, 0);
    c.json = json_writer_of(&c.body);
    forage_status status = request && request->method && request->target
                               ? answer(&c, &error)
                               : error_set(&error, FORAGE_E_INVALID, "a request needs a method and a target");
    if (status) {
        if (!error.message[0]) error_set(&error, status, "%s", status_message(status));
        error.status = status;
        if (status_http(status) >= 500) log_error("%s: %s", status_name(status), error.message);
        write_error(&c, &error);
    }
    arena_release(&c.memory);
    *response = (forage_response){.status = c.http ? c.http : 200, .content_type = c.content_type,
                                  .body = buffer_text(&c.body), .body_size = c.body.size};
    memcpy(response->next, c.next, sizeof response->next);
}

FORAGE_API void forage_response_release(forage_response *response) {
    if (!response) return;
    free(response->body);
    *response = (forage_response){0};
}
