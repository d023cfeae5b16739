#include "feedback/event.h"

#include "feedback/timestamp.h"

#include <math.h>

const feedback_reward feedback_default_rewards[] = {
    {"click", 0.5f}, {"play", 0.6f}, {"like", 0.8f}, {"favorite", 0.8f}, {"add_to_cart", 0.8f}, {"purchase", 1.0f},
};
const size_t feedback_default_rewards_count = sizeof feedback_default_rewards / sizeof feedback_default_rewards[0];

typedef struct event_member {
    const char *name;
    slice text;
    size_t most;
    bool needed;
} event_member;

forage_status feedback_event_check(const feedback_event *e, base_error *error) {
    const event_member members[] = {
        {"query_id", e->query_id, 128, true}, {"action_name", e->action, 63, true},
        {"event_attributes.object.object_id", e->document, 512, true}, {"client_id", e->user, 256, false},
        {"session_id", e->session, 256, false}, {"event_attributes.event_id", e->event_id, 256, false},
    };
    for (size_t i = 0; i < sizeof members / sizeof members[0]; i++) {
        const event_member *m = &members[i];
        if (m->needed && !m->text.size) return error_set(error, FORAGE_E_EVENT, "event: \"%s\" is missing", m->name);
        if (m->text.size > m->most)
            return error_set(error, FORAGE_E_EVENT, "event, \"%s\": %zu bytes are more than the %zu allowed", m->name,
                             m->text.size, m->most);
    }
    return FORAGE_OK;
}

/* A string, or a number as it was written: ids are often sent as numbers. */
static forage_status read_id(const json_value *object, const char *key, const char *path, slice *out, base_error *error) {
    const json_value *value = json_get(object, key);
    if (!value || value->type == JSON_NULL) return FORAGE_OK;
    if (value->type != JSON_STRING && value->type != JSON_NUMBER)
        return error_set(error, FORAGE_E_EVENT, "event, \"%s\": expected a string, got %s", path,
                         json_type_name(value->type));
    *out = value->text;
    return FORAGE_OK;
}

static forage_status read_time(const json_value *json, int64_t *out, base_error *error) {
    const json_value *value = json_get(json, "timestamp");
    *out = INT64_MIN;
    if (!value || value->type == JSON_NULL) return FORAGE_OK;
    if (value->type == JSON_STRING && timestamp_read(value->text, out)) return FORAGE_OK;
    /* UBI's numbers are milliseconds. */
    if (value->type == JSON_NUMBER && fabs(value->number) < 1e15) {
        *out = (int64_t)(value->number * 1000);
        return FORAGE_OK;
    }
    return error_set(error, FORAGE_E_EVENT,
                     "event, \"timestamp\": expected a time such as \"2026-01-31T12:00:00Z\" or milliseconds since 1970");
}

forage_status feedback_event_read(const json_value *json, feedback_event *out, base_error *error) {
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_EVENT, "event: expected an object, got %s", json_type_name(json->type));
    feedback_event event = {0};
    const json_value *attributes = json_get(json, "event_attributes");
    const json_value *object = json_get(attributes, "object");
    forage_status status = read_id(json, "query_id", "query_id", &event.query_id, error);
    if (!status) status = read_id(json, "action_name", "action_name", &event.action, error);
    if (!status) status = read_id(json, "client_id", "client_id", &event.user, error);
    if (!status && !event.user.size) status = read_id(json, "user_id", "user_id", &event.user, error);
    if (!status) status = read_id(json, "session_id", "session_id", &event.session, error);
    if (!status) status = read_id(object, "object_id", "event_attributes.object.object_id", &event.document, error);
    if (!status) status = read_id(attributes, "event_id", "event_attributes.event_id", &event.event_id, error);
    if (!status && !event.event_id.size) status = read_id(json, "event_id", "event_id", &event.event_id, error);
    if (!status) status = read_time(json, &event.time, error);
    if (!status) status = feedback_event_check(&event, error);
    if (!status) *out = event;
    return status;
}
