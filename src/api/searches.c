/* Searches and events. */
#include "api/call.h"
#include "api/trainings.h"

#include <stdlib.h>
#include <string.h>

static forage_status search(api_call *c, const json_value *json, base_error *error) {
    funnel_request request;
    funnel_answer *a;
    forage_status status = funnel_request_read(json, &request, error);
    if (!status) status = funnel_search(c->entry->funnel, &request, &a, error);
    if (status) return status;
    funnel_answer_write(a, &c->json);
    funnel_answer_release(a);
    return FORAGE_OK;
}

forage_status api_post_search(api_call *c, base_error *error) {
    json_value *json;
    forage_status status = api_body(c, &json, error);
    return status ? status : search(c, json, error);
}

/* Digits, and a point among them: as JSON has numbers. */
static bool is_number(slice text) {
    size_t points = 0;
    if (!text.size || text.size > 15) return false;
    for (size_t i = 0; i < text.size; i++) {
        bool point = text.data[i] == '.' && i > 0 && i + 1 < text.size;
        points += point;
        if (!point && (text.data[i] < '0' || text.data[i] > '9')) return false;
    }
    return points < 2 && (text.size == 1 || text.data[0] != '0' || text.data[1] == '.');
}

/* The query string as the JSON body it stands for: numbers, true, false and objects as they are, the rest as strings. */
forage_status api_get_search(api_call *c, base_error *error) {
    static const char *const texts[] = {"query", "user", "session", "query_id", "policy", "ranker", NULL};
    buffer body = {0};
    json_writer w = json_writer_of(&body);
    json_begin_object(&w);
    for (size_t i = 0; i < c->n_parameters; i++) {
        slice name = c->parameters[i].name, value = c->parameters[i].value;
        if (slice_is(name, "q")) name = SLICE("query");
        bool text = false;
        for (size_t t = 0; texts[t] && !text; t++) text = slice_is(name, texts[t]);
        bool raw = is_number(value) || slice_is(value, "true") || slice_is(value, "false") ||
                   (value.size && (value.data[0] == '{' || value.data[0] == '['));
        json_key_slice(&w, name);
        if (slice_is(name, "facets") && !raw) {
            json_begin_array(&w);
            json_string(&w, value);
            json_end_array(&w);
        } else if (raw && !text) {
            json_raw(&w, value);
        } else {
            json_string(&w, value);
        }
    }
    json_end_object(&w);
    json_value *json;
    forage_status status = json_read(&c->memory, arena_slice(&c->memory, (slice){body.data, body.size}), &json, error);
    buffer_release(&body);
    return status ? status : search(c, json, error);
}

/* ---- Events ---- */

#define MAX_EVENTS 100000

static forage_status too_many_events(base_error *error) {
    return error_set(error, FORAGE_E_TOO_LARGE, "events: more than %d in one request; send them in parts", MAX_EVENTS);
}

typedef struct event_list {
    feedback_event *events;
    funnel_event_result *results;
    size_t n, capacity, results_capacity;
} event_list;

/* Room for one more; its result. */
static funnel_event_result *next_event(event_list *list) {
    list->events = mem_grow(list->events, &list->capacity, list->n + 1, sizeof *list->events);
    list->results = mem_grow(list->results, &list->results_capacity, list->n + 1, sizeof *list->results);
    list->events[list->n] = (feedback_event){0};
    list->results[list->n] = (funnel_event_result){0};
    return &list->results[list->n++];
}

static void refuse(funnel_event_result *result, const base_error *why) {
    size_t size = strnlen(why->message, sizeof result->message - 1);
    while (size && size == sizeof result->message - 1 && ((unsigned char)why->message[size] & 0xC0) == 0x80) size--;
    memcpy(result->message, why->message, size);
    result->message[size] = '\0';
    result->status = why->status;
    result->malformed = true;
}

static void add_event(event_list *list, const json_value *json) {
    funnel_event_result *result = next_event(list);
    base_error why;
    if (feedback_event_read(json, &list->events[list->n - 1], &why)) refuse(result, &why);
}

/* The text of a line is forgotten with the next one. */
static void keep_event(arena *a, feedback_event *e) {
    slice *texts[] = {&e->query_id, &e->action, &e->user, &e->session, &e->document, &e->event_id};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) *texts[i] = arena_slice(a, *texts[i]);
}

/* A line that is no JSON is refused by itself; when it is the first, this is something else than events. */
static forage_status read_lines(api_call *c, slice body, event_list *list, base_error *error) {
    arena memory;
    arena_init(&memory, 0);
    forage_status status = FORAGE_OK;
    base_error why;
    for (uint64_t line = 1; !status && body.size; line++) {
        const char *end = memchr(body.data, '\n', body.size);
        size_t size = end ? (size_t)(end - body.data) : body.size;
        slice text = {body.data, size};
        body = (slice){body.data + size + (end ? 1 : 0), body.size - size - (end ? 1 : 0)};
        while (text.size && (text.data[text.size - 1] == '\r' || text.data[text.size - 1] == ' ')) text.size--;
        if (!text.size) continue;
        json_value *json;
        arena_reset(&memory);
        if (list->n == MAX_EVENTS) {
            status = too_many_events(error);
            break;
        }
        if (json_read(&memory, text, &json, &why)) {
            error_prefix(&why, "line %llu", (unsigned long long)line);
            if (list->n == 0) status = error_set(error, FORAGE_E_JSON, "events, %s", why.message);
            else refuse(next_event(list), &why);
        } else {
            add_event(list, json);
            keep_event(&c->memory, &list->events[list->n - 1]);
        }
    }
    arena_release(&memory);
    return status;
}

/* One object, an array, or a line each. */
static forage_status read_events(api_call *c, event_list *list, base_error *error) {
    slice body = {c->request->body, c->request->body_size};
    json_value *json;
    size_t spaces = 0;
    while (spaces < body.size && memchr(" \t\r\n", body.data[spaces], 4)) spaces++;
    bool array = spaces < body.size && body.data[spaces] == '[';
    forage_status status = json_read(&c->memory, body, &json, array ? error : NULL);
    if (status) return array ? error_prefix(error, "events") : read_lines(c, body, list, error);
    if (!array) add_event(list, json);
    else if (json->count > MAX_EVENTS) status = too_many_events(error);
    for (const json_value *item = array ? json->first : NULL; !status && item; item = item->next) add_event(list, item);
    return status;
}

static void write_results(api_call *c, const event_list *list) {
    int64_t accepted = 0, duplicates = 0;
    forage_status first = FORAGE_OK;
    for (size_t i = 0; i < list->n; i++) {
        const funnel_event_result *r = &list->results[i];
        duplicates += !r->status && r->duplicate;
        accepted += !r->status && !r->duplicate;
        if (r->status && !first) first = r->status;
    }
    if (first && !accepted && !duplicates) c->http = status_http(first);
    json_begin_object(&c->json);
    json_key(&c->json, "accepted");
    json_integer(&c->json, accepted);
    json_key(&c->json, "duplicates");
    json_integer(&c->json, duplicates);
    json_key(&c->json, "rejected");
    json_begin_array(&c->json);
    for (size_t i = 0; i < list->n; i++) {
        const funnel_event_result *r = &list->results[i];
        if (!r->status) continue;
        json_begin_object(&c->json);
        json_key(&c->json, "index");
        json_integer(&c->json, (int64_t)i);
        json_key(&c->json, "code");
        json_text(&c->json, status_name(r->status));
        json_key(&c->json, "message");
        json_text(&c->json, r->message);
        json_end_object(&c->json);
    }
    json_end_array(&c->json);
    json_end_object(&c->json);
}

forage_status api_post_events(api_call *c, base_error *error) {
    event_list list = {0};
    forage_status status = read_events(c, &list, error);
    if (!status && list.n == 0) status = error_set(error, FORAGE_E_EVENT, "events: the body is empty");
    if (!status) status = funnel_record(c->entry->funnel, list.events, list.n, list.results, error);
    if (!status) training_count(c->entry->training, list.n);
    if (!status) write_results(c, &list);
    free(list.events);
    free(list.results);
    return status;
}
