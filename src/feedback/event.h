/* Events as people send them: User Behavior Insights 1.3. */
#ifndef FEEDBACK_EVENT_H
#define FEEDBACK_EVENT_H

#include "format/json.h"

typedef struct feedback_event {
    slice query_id, action, document, event_id, user, session; /* into the JSON's arena; empty when absent */
    int64_t time;      /* microseconds since 1970; INT64_MIN when absent */
} feedback_event;

/* Reads one event. The action is `action_name`, the document `event_attributes.object.object_id` (a string, or a number
 * taken as written), the user `client_id` (or `user_id`), the id `event_attributes.event_id` (or `event_id`).
 * FORAGE_E_EVENT names the missing or wrong member. Members that UBI has and Forage does not use are ignored. */
forage_status feedback_event_read(const json_value *json, feedback_event *out, base_error *error);

/* The same demands on an event that did not come as JSON: what must be there, and lengths. */
forage_status feedback_event_check(const feedback_event *e, base_error *error);

/* What an action is worth, (0, 1]. */
typedef struct feedback_reward {
    char action[64];
    float reward;
} feedback_reward;

#define FEEDBACK_MAX_REWARDS 32
extern const feedback_reward feedback_default_rewards[];
extern const size_t feedback_default_rewards_count;

#endif
