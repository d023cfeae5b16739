/* The registry of trained rankers, what the ranker sees, experiments, and ranking what somebody else has found. */
#include "api/call.h"

#include "feedback/timestamp.h"
#include "rank/experiment.h"

#include <stdlib.h>
#include <string.h>

static forage_status needs_writing(const api_call *c, base_error *error) {
    return c->db->options.read_only ? error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY)) : FORAGE_OK;
}

/* ---- Models ---- */

static void write_model(json_writer *w, const funnel_model *m, bool whole) {
    char time[TIMESTAMP_SIZE];
    timestamp_write(m->time, time);
    json_key(w, "model");
    json_integer(w, (int64_t)m->number);
    json_key(w, "name");
    json_string(w, m->name);
    json_key(w, "kind");
    json_text(w, m->kind == FUNNEL_MODEL_TREES ? "trees" : "linear");
    json_key(w, "time");
    json_text(w, time);
    json_key(w, "active");
    json_bool(w, m->active);
    json_key(w, "shadow");
    json_bool(w, m->shadow);
    if (!whole && !m->report.size) return;
    json_key(w, "report");
    if (m->report.size) json_raw(w, m->report);
    else json_null(w);
}

static void write_serving(api_call *c) {
    funnel *f = c->entry->funnel;
    json_writer *w = &c->json;
    json_key(w, "active");
    json_integer(w, (int64_t)funnel_active_model(f));
    json_key(w, "shadow");
    json_integer(w, (int64_t)funnel_shadow_model(f));
}

forage_status api_get_models(api_call *c, base_error *error) {
    funnel_model *list;
    size_t n;
    json_writer *w = &c->json;
    forage_status status = funnel_models(c->entry->funnel, &c->memory, &list, &n, error);
    if (status) return status;
    json_begin_object(w);
    json_key(w, "ranker");
    json_text(w, collection_schema(c->entry->collection)->ranker);
    write_serving(c);
    json_key(w, "models");
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        json_begin_object(w);
        write_model(w, &list[i], false);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
    return FORAGE_OK;
}

/* The number in the path; 0 is the linear ranker that learns online. */
static forage_status number_of(const api_call *c, uint64_t *out, base_error *error) {
    uint64_t n = 0;
    bool fine = c->id.size > 0 && c->id.size <= 18;
    for (size_t i = 0; fine && i < c->id.size; i++) {
        fine = c->id.data[i] >= '0' && c->id.data[i] <= '9';
        n = n * 10 + (uint64_t)(c->id.data[i] - '0');
    }
    if (!fine) return error_set(error, FORAGE_E_INVALID, "expected the number of a model, got \"%.*s\"", SLICE_ARG(c->id));
    *out = n;
    return FORAGE_OK;
}

forage_status api_get_model(api_call *c, base_error *error) {
    uint64_t number = 0;
    funnel_model m;
    json_writer *w = &c->json;
    forage_status status = number_of(c, &number, error);
    if (!status) status = funnel_model_get(c->entry->funnel, number, &c->memory, &m, error);
    if (status) return status;
    json_begin_object(w);
    write_model(w, &m, true);
    json_key(w, "bytes");
    json_integer(w, (int64_t)m.bytes.size);
    json_key(w, "importance");
    status = funnel_model_importance(&m, w, error);
    json_end_object(w);
    return status;
}

forage_status api_post_models(api_call *c, base_error *error) {
    buffer bytes = {0};
    uint64_t number = 0;
    int64_t missing = 0, in_front = 0;
    slice map = api_parameter_of(c, "map"), body = {c->request->body, c->request->body_size};
    forage_status status = needs_writing(c, error);
    if (!status) status = api_parameter_integer(c, "allow_missing", 0, 1, &missing, error);
    if (!status) status = api_parameter_integer(c, "map_bytes", 0, (int64_t)body.size, &in_front, error);
    if (!status && in_front) { /* a map that is too long for an address */
        map = (slice){body.data, (size_t)in_front};
        body = (slice){body.data + in_front, body.size - (size_t)in_front};
    }
    if (!status && !body.size) status = error_set(error, FORAGE_E_INVALID, "the body is empty; send a model file of XGBoost or LightGBM");
    if (!status) status = funnel_model_import(c->entry->funnel, body, map, missing, &bytes, error);
    funnel_model draft = {.kind = FUNNEL_MODEL_TREES, .name = api_parameter_of(c, "name"), .map = map,
                          .report = SLICE("{\"imported\":true}"),
                          .bytes = {bytes.data, bytes.size}};
    if (!status) status = funnel_model_add(c->entry->funnel, &draft, &number, error);
    buffer_release(&bytes);
    if (status) return status;
    json_begin_object(&c->json);
    json_key(&c->json, "model");
    json_integer(&c->json, (int64_t)number);
    write_serving(c);
    json_end_object(&c->json);
    c->http = 201;
    return FORAGE_OK;
}

static forage_status served(api_call *c, forage_status status) {
    if (status) return status;
    json_begin_object(&c->json);
    write_serving(c);
    json_end_object(&c->json);
    return FORAGE_OK;
}

forage_status api_post_model_activate(api_call *c, base_error *error) {
    uint64_t number = 0;
    forage_status status = needs_writing(c, error);
    if (!status) status = number_of(c, &number, error);
    if (!status) status = funnel_model_activate(c->entry->funnel, number, error);
    return served(c, status);
}

forage_status api_post_model_shadow(api_call *c, base_error *error) {
    uint64_t number = 0;
    forage_status status = needs_writing(c, error);
    if (!status) status = number_of(c, &number, error);
    if (!status) status = funnel_model_shadow(c->entry->funnel, number, error);
    return served(c, status);
}

forage_status api_post_models_rollback(api_call *c, base_error *error) {
    uint64_t number = 0;
    forage_status status = needs_writing(c, error);
    if (!status) status = funnel_model_rollback(c->entry->funnel, &number, error);
    return served(c, status);
}

forage_status api_delete_model(api_call *c, base_error *error) {
    uint64_t number = 0;
    forage_status status = needs_writing(c, error);
    if (!status) status = number_of(c, &number, error);
    if (!status) status = funnel_model_remove(c->entry->funnel, number, error);
    if (status) return status;
    json_begin_object(&c->json);
    json_key(&c->json, "removed");
    json_integer(&c->json, (int64_t)number);
    json_end_object(&c->json);
    return FORAGE_OK;
}

forage_status api_get_features(api_call *c, base_error *error) {
    (void)error;
    funnel_write_columns(c->entry->funnel, &c->json);
    return FORAGE_OK;
}

/* ---- Experiments ---- */

static forage_status read_experiment(api_call *c, const json_value *json, experiment_config *out, base_error *error) {
    static const char *const members[] = {"name", "kind", "a", "b", "share", "split", "window_seconds", "alpha", NULL};
    slice name = {0}, kind = SLICE("team_draft"), sides[2] = {{0}, {0}};
    experiment_kind how;
    if (json->type != JSON_OBJECT) return error_set(error, FORAGE_E_INVALID, "expected an object");
    forage_status status = json_only_members(json, members, error);
    if (!status) status = json_member_string(json, "name", &name, error);
    if (!status) status = json_member_string(json, "kind", &kind, error);
    if (!status) status = json_member_string(json, "a", &sides[0], error);
    if (!status) status = json_member_string(json, "b", &sides[1], error);
    if (status) return status;
    if (!experiment_kind_of(kind, &how))
        return error_set(error, FORAGE_E_INVALID, "\"kind\": expected ab, team_draft or optimised, got \"%.*s\"", SLICE_ARG(kind));
    if (!name.size || !sides[0].size || !sides[1].size)
        return error_set(error, FORAGE_E_INVALID, "an experiment needs a \"name\" and its sides \"a\" and \"b\"");
    experiment_config_default(out, arena_slice(&c->memory, name).data, how, arena_slice(&c->memory, sides[0]).data,
                              arena_slice(&c->memory, sides[1]).data);
    status = json_member_number(json, "share", 0, 1, &out->share, error);
    if (!status) status = json_member_number(json, "split", .01, .99, &out->split, error);
    if (!status) status = json_member_number(json, "window_seconds", 1e-3, 31 * 86400.0, &out->window, error);
    if (!status) status = json_member_number(json, "alpha", 1e-4, .5, &out->alpha, error);
    return status ? status : experiment_check(out, error);
}

forage_status api_post_experiment(api_call *c, base_error *error) {
    json_value *json;
    experiment_config config;
    forage_status status = needs_writing(c, error);
    if (!status) status = api_body(c, &json, error);
    if (!status) status = read_experiment(c, json, &config, error);
    if (!status) status = funnel_experiment_start(c->entry->funnel, &config, error);
    if (status) return status;
    c->http = 201;
    (void)funnel_experiment_write(c->entry->funnel, &c->json);
    return FORAGE_OK;
}

forage_status api_get_experiment(api_call *c, base_error *error) {
    (void)error;
    if (funnel_experiment_write(c->entry->funnel, &c->json)) return FORAGE_OK;
    json_begin_object(&c->json); /* there was none yet, which is no error to whoever only looks */
    json_key(&c->json, "running");
    json_bool(&c->json, false);
    json_key(&c->json, "started");
    json_null(&c->json);
    json_key(&c->json, "result");
    json_null(&c->json);
    json_end_object(&c->json);
    return FORAGE_OK;
}

forage_status api_delete_experiment(api_call *c, base_error *error) {
    forage_status status = needs_writing(c, error);
    if (!status) status = funnel_experiment_end(c->entry->funnel, error);
    if (!status) (void)funnel_experiment_write(c->entry->funnel, &c->json);
    return status;
}

/* ---- Somebody else's candidates ---- */

static forage_status read_given(api_call *c, const json_value *list, funnel_given **out, size_t *n, base_error *error) {
    static const char *const members[] = {"id", "features", NULL};
    if (!list || list->type != JSON_ARRAY || !list->count || list->count > FUNNEL_MOST_GIVEN)
        return error_set(error, FORAGE_E_INVALID, "\"candidates\": expected an array of 1 to %d ids or {\"id\", \"features\"}",
                         FUNNEL_MOST_GIVEN);
    funnel_given *given = arena_zalloc(&c->memory, list->count, sizeof *given);
    size_t i = 0;
    for (const json_value *one = list->first; one; one = one->next, i++) {
        forage_status status = FORAGE_OK;
        given[i].id = one->text;
        if (one->type == JSON_OBJECT) {
            given[i].id = (slice){0};
            status = json_only_members(one, members, error);
            if (!status) status = json_member_string(one, "id", &given[i].id, error);
            if (!status) status = funnel_read_features(json_get(one, "features"), false, &given[i].features, error);
        } else if (one->type != JSON_STRING) {
            status = error_set(error, FORAGE_E_INVALID, "expected an id or an object, got %s", json_type_name(one->type));
        }
        if (!status && !given[i].id.size) status = error_set(error, FORAGE_E_INVALID, "an id is missing");
        if (status) return error_prefix(error, "\"candidates\", number %zu", i + 1);
    }
    *out = given;
    *n = list->count;
    return FORAGE_OK;
}

forage_status api_post_rank(api_call *c, base_error *error) {
    json_value *json;
    funnel_request request;
    funnel_answer *a;
    funnel_given *given = NULL;
    size_t n = 0;
    forage_status status = api_body(c, &json, error);
    if (!status && json->type != JSON_OBJECT) status = error_set(error, FORAGE_E_INVALID, "expected an object");
    if (!status) status = read_given(c, json_get(json, "candidates"), &given, &n, error);
    if (status) return status;
    /* Everything else is as in a search, so it is read as one. */
    json_value *rest = arena_alloc(&c->memory, sizeof *rest), **last = &rest->first;
    *rest = *json;
    rest->count = 0;
    for (json_value *member = json->first; member; member = member->next) {
        if (slice_is(member->key, "candidates")) continue;
        json_value *copy = arena_alloc(&c->memory, sizeof *copy);
        *copy = *member;
        *last = copy;
        last = &copy->next;
        rest->count++;
    }
    *last = NULL;
    status = funnel_request_read(rest, &request, error);
    if (status) return status;
    if (!json_get(json, "limit")) request.limit = (uint32_t)n;
    request.log = false;
    if (request.page.size || request.next_page)
        return error_set(error, FORAGE_E_INVALID, "\"page\": somebody else's candidates have no pages; use \"limit\" and \"offset\"");
    status = funnel_rank_given(c->entry->funnel, &request, given, n, &a, error);
    if (status) return status;
    funnel_answer_write(a, &c->json);
    funnel_answer_release(a);
    return FORAGE_OK;
}
