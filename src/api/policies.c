/* The policy: what it has learned, the versions that are kept, going back to one, and learning again. */
#include "api/call.h"

#include "feedback/timestamp.h"
#include "policy/policy.h"

#include <stdio.h>

static void write_count(json_writer *w, const char *key, uint64_t value) {
    json_key(w, key);
    json_integer(w, (int64_t)value);
}

static void write_version(json_writer *w, const char *key, const funnel_version *v) {
    char time[TIMESTAMP_SIZE];
    timestamp_write(v->time, time);
    if (key) json_key(w, key);
    json_begin_object(w);
    write_count(w, "version", v->number);
    json_key(w, "time");
    json_text(w, time);
    json_key(w, "name");
    if (v->name[0]) json_text(w, v->name);
    else json_null(w);
    json_end_object(w);
}

/* ---- Telling ---- */

static void write_budget(json_writer *w, const schema *s) {
    bool by_time = s->budget_p95_ms > 0;
    json_key(w, "budget");
    if (!by_time && !(s->budget_candidates > 0)) {
        json_null(w);
        return;
    }
    json_begin_object(w);
    json_key(w, by_time ? "p95_ms" : "candidates");
    json_number(w, by_time ? s->budget_p95_ms : s->budget_candidates);
    json_end_object(w);
}

static void write_relearning(json_writer *w, const funnel *f) {
    uint64_t done, total;
    json_key(w, "relearning");
    if (!funnel_relearn_progress(f, &done, &total)) {
        json_null(w);
        return;
    }
    json_begin_object(w);
    write_count(w, "done", done);
    write_count(w, "records", total);
    json_end_object(w);
}

forage_status api_get_policy(api_call *c, base_error *error) {
    const forage_collection *e = c->entry;
    const schema *s = collection_schema(e->collection);
    json_writer *w = &c->json;
    funnel_version *versions;
    size_t n;
    forage_status status = funnel_versions(e->funnel, &c->memory, &versions, &n, error);
    if (status) return status;
    funnel_learning learned = funnel_learned(e->funnel);
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, s->policy);
    json_key(w, "learns"); /* the rule that serves; what learns does so whichever serves */
    json_bool(w, policy_rule_learns(s->policy));
    write_count(w, "version", learned.updates);
    write_count(w, "ranker_version", learned.ranker_updates);
    json_key(w, "price");
    json_number(w, learned.price);
    write_budget(w, s);
    json_key(w, "levels");
    json_begin_array(w);
    for (uint32_t l = 0; l < FUNNEL_LEVELS; l++) json_integer(w, funnel_depths[l]);
    json_end_array(w);
    write_relearning(w, e->funnel);
    json_key(w, "versions");
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) write_version(w, NULL, &versions[i]);
    json_end_array(w);
    json_end_object(w);
    return FORAGE_OK;
}

/* ---- Changing ---- */

static forage_status keep(api_call *c, const json_value *name, base_error *error) {
    funnel_version kept;
    if (name->type != JSON_STRING) return error_set(error, FORAGE_E_INVALID, "\"keep\": expected a name");
    forage_status status = funnel_keep_version(c->entry->funnel, name->text, &kept, error);
    if (status) return status;
    json_begin_object(&c->json);
    write_version(&c->json, "kept", &kept);
    json_end_object(&c->json);
    return FORAGE_OK;
}

static forage_status roll_back(api_call *c, const json_value *version, base_error *error) {
    funnel_version found, before;
    if (version->type != JSON_STRING && version->type != JSON_NUMBER)
        return error_set(error, FORAGE_E_INVALID, "\"rollback\": expected the number or the name of a version");
    forage_status status = funnel_roll_back(c->entry->funnel, version->text, &found, &before, error);
    if (status) return status;
    json_begin_object(&c->json);
    write_version(&c->json, "rolled_back_to", &found);
    write_version(&c->json, "before", &before);
    json_end_object(&c->json);
    return FORAGE_OK;
}

static forage_status read_since(const json_value *how, int64_t *since, base_error *error) {
    static const char *const members[] = {"since", NULL};
    slice text = {0};
    if (how->type == JSON_BOOL && how->boolean) return FORAGE_OK;
    if (how->type != JSON_OBJECT) return error_set(error, FORAGE_E_INVALID, "\"relearn\": expected true or {\"since\": a date}");
    forage_status status = json_only_members(how, members, error);
    if (!status) status = json_member_string(how, "since", &text, error);
    if (!status && text.size && !timestamp_read(text, since))
        status = error_set(error, FORAGE_E_INVALID, "\"since\": expected a date such as 2026-01-31, got \"%.*s\"", SLICE_ARG(text));
    return status;
}

static forage_status relearn(api_call *c, const json_value *how, base_error *error) {
    int64_t since = INT64_MIN, start = clock_monotonic(&os_clock_system);
    funnel_relearned done;
    forage_status status = read_since(how, &since, error);
    if (!status) status = funnel_relearn(c->entry->funnel, since, &done, error);
    if (status) return status;
    json_begin_object(&c->json);
    write_count(&c->json, "version", done.number);
    write_count(&c->json, "searches", done.searches);
    write_count(&c->json, "events", done.events);
    write_version(&c->json, "before", &done.before);
    json_key(&c->json, "took_ms");
    json_float(&c->json, (double)(clock_monotonic(&os_clock_system) - start) / 1000);
    json_end_object(&c->json);
    return FORAGE_OK;
}

forage_status api_post_policy(api_call *c, base_error *error) {
    static const char *const members[] = {"keep", "rollback", "relearn", NULL};
    json_value *json;
    if (c->db->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    forage_status status = api_body(c, &json, error);
    if (!status && json->type != JSON_OBJECT) status = error_set(error, FORAGE_E_INVALID, "expected an object");
    if (!status) status = json_only_members(json, members, error);
    if (status) return status;
    if (json->count != 1)
        return error_set(error, FORAGE_E_INVALID, "expected one of \"keep\", \"rollback\" and \"relearn\", got %zu of them", json->count);
    const json_value *what = json->first;
    if (slice_is(what->key, "keep")) return keep(c, what, error);
    if (slice_is(what->key, "rollback")) return roll_back(c, what, error);
    return relearn(c, what, error);
}
