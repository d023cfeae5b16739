#include "feedback/event.h"

#include "feedback/timestamp.h"

#include <math.h>

const feedback_reward feedback_default_rewards[] = {
    {"click", 0.5f}, {"play", 0.6f}, {"like", 0.8f}, {"favorite", 0.8f}, {"add_to_cart", 0.8f}, {"purchase", 1.0f},
};
const size_t feedback_default_rewards_count = sizeof feedback_default_rewards / sizeof feedback_default_rewards[0];

/* A string, or a number as it was written: ids are often sent as numbers. */
static forage_status read_id(const json_value *object, const char *key, const char *path, size_t limit, slice *out,
                             base_error *error) {
    const json_value *value = json_get(object, key);
    if (!value || value->type == JSON_NULL) return FORAGE_OK;
    if (value->type != JSON_STRING && value->type != JSON_NUMBER)
        return error_set(error, FORAGE_E_EVENT, "event, \"%s\": expected a string, got %s", path,
                         json_type_name(value->type));
    if (value->text.size > limit)
        return error_set(error, FORAGE_E_EVENT, "event, \"%s\": %zu bytes are more than the %zu allowed", path,
                         value->text.size, limit);
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
    forage_status status = read_id(json, "query_id", "query_id", 128, &event.query_id, error);
    if (!status) status = read_id(json, "action_name", "action_name", 63, &event.action, error);
    if (!status) status = read_id(json, "client_id", "client_id", 256, &event.user, error);
    if (!status && !event.user.size) status = read_id(json, "user_id", "user_id", 256, &event.user, error);
    if (!status) status = read_id(json, "session_id", "session_id", 256, &event.session, error);
    if (!status) status = read_id(object, "object_id", "event_attributes.object.object_id", 512, &event.document, error);
    if (!status) status = read_id(attributes, "event_id", "event_attributes.event_id", 256, &event.event_id, error);
    if (!status && !event.event_id.size) status = read_id(json, "event_id", "event_id", 256, &event.event_id, error);
    if (!status) status = read_time(json, &event.time, error);
    if (status) return status;
    if (!event.query_id.size) return error_set(error, FORAGE_E_EVENT, "event: \"query_id\" is missing");
    if (!event.action.size) return error_set(error, FORAGE_E_EVENT, "event: \"action_name\" is missing");
    if (!event.document.size)
        return error_set(error, FORAGE_E_EVENT, "event: \"event_attributes.object.object_id\" is missing");
    *out = event;
    return FORAGE_OK;
}
