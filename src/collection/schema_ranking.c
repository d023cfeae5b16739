/* The schema's "ranking": what the ranker sees beside its own features, what of it is logged, and how an order becomes a page. */
#include "collection/schema_read.h"

#include <string.h>

void schema_ranking_default(schema_ranking *r) {
    *r = (schema_ranking){.log_features = 1, .log_unshown = SCHEMA_DEFAULT_UNSHOWN, .explore_top = 10, .memory_mb = 512};
}

static forage_status wrong(base_error *error, const char *member, const char *expected) {
    return error_set(error, FORAGE_E_SCHEMA, "schema, \"ranking\", \"%s\": expected %s", member, expected);
}

/* Number and date fields by name, and "request.NAME": a value that the request brings. */
static forage_status read_features(schema *s, const json_value *json, base_error *error) {
    schema_ranking *r = &s->ranking;
    if (!json) return FORAGE_OK;
    r->n_features = 0;
    r->features_declared = json->type != JSON_NULL;
    if (json->type == JSON_NULL) return FORAGE_OK;
    if (json->type != JSON_ARRAY || json->count > SCHEMA_MAX_FEATURES)
        return wrong(error, "features", "an array of at most 32 names, or null");
    for (const json_value *name = json->first; name; name = name->next) {
        if (name->type != JSON_STRING || name->text.size < 1 || name->text.size > 64 ||
            memchr(name->text.data, 0, name->text.size))
            return wrong(error, "features", "names of 1 to 64 bytes");
        bool of_request = slice_starts(name->text, SCHEMA_REQUEST_FEATURE) &&
                          name->text.size > sizeof SCHEMA_REQUEST_FEATURE - 1;
        const schema_field *field = schema_find(s, name->text);
        if (!of_request && (!field || (field->kind != SCHEMA_NUMBER && field->kind != SCHEMA_DATE)))
            return error_set(error, FORAGE_E_SCHEMA, "schema, \"ranking\", \"features\": \"%.*s\" is no number or date field; a value "
                             "of the request is called \"request.NAME\"", SLICE_ARG(name->text));
        for (uint32_t i = 0; i < r->n_features; i++)
            if (slice_is(name->text, r->features[i]))
                return error_set(error, FORAGE_E_SCHEMA, "schema, \"ranking\", \"features\": \"%s\" is there twice", r->features[i]);
        r->features[r->n_features++] = arena_strndup(&s->memory, name->text.data, name->text.size);
    }
    return FORAGE_OK;
}

forage_status schema_read_explore(const json_value *json, double *temperature, uint32_t *top, base_error *error) {
    static const char *const members[] = {"temperature", "top", NULL};
    int64_t n = *top;
    if (!json) return FORAGE_OK;
    if (json->type == JSON_NULL) {
        *temperature = 0;
        return FORAGE_OK;
    }
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "\"explore\": expected an object such as {\"temperature\": 0.1, \"top\": 10}, got %s",
                         json_type_name(json->type));
    forage_status status = json_only_members(json, members, error);
    if (!status) status = json_member_number(json, "temperature", 0, 100, temperature, error);
    if (!status) status = json_member_integer(json, "top", 2, 100, &n, error);
    *top = (uint32_t)n;
    return status ? error_prefix(error, "\"explore\"") : FORAGE_OK;
}

forage_status schema_read_value(const schema *s, const json_value *json, slice *name, double *strength, base_error *error) {
    static const char *const members[] = {"field", "strength", NULL};
    if (!json) return FORAGE_OK;
    if (json->type == JSON_NULL) {
        *strength = 0;
        return FORAGE_OK;
    }
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID,
            "\"value\": expected an object such as {\"field\": \"margin\", \"strength\": 0.5}, got %s",
                         json_type_name(json->type));
    forage_status status = json_only_members(json, members, error);
    if (!status) status = json_member_string(json, "field", name, error);
    if (!status) status = json_member_number(json, "strength", 0, 4, strength, error);
    if (status) return error_prefix(error, "\"value\"");
    const schema_field *field = name->size ? schema_find(s, *name) : NULL;
    if (*strength > 0 && (!field || field->kind != SCHEMA_NUMBER))
        return error_set(error, FORAGE_E_INVALID, "\"value\", \"field\": \"%.*s\" is no number field", SLICE_ARG(*name));
    return FORAGE_OK;
}

static forage_status read_value(schema *s, const json_value *json, base_error *error) {
    slice name = slice_of(s->ranking.value_field ? s->ranking.value_field : "");
    forage_status status = schema_read_value(s, json, &name, &s->ranking.value_strength, error);
    if (!status && json) s->ranking.value_field = name.size ? arena_strndup(&s->memory, name.data, name.size) : NULL;
    return status;
}

forage_status schema_read_ranking(schema *s, const json_value *json, base_error *error) {
    static const char *const members[] = {"features", "log_features", "log_unshown", "explore", "diversity", "value", "train_every",
                                          "memory_mb", "cross_encoder", NULL};
    schema_ranking *r = &s->ranking;
    int64_t unshown = r->log_unshown, every = r->train_every, memory = r->memory_mb;
    if (!json) return FORAGE_OK;
    if (json->type == JSON_NULL) {
        schema_ranking_default(r);
        return FORAGE_OK;
    }
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_SCHEMA, "schema, \"ranking\": expected an object, got %s", json_type_name(json->type));
    forage_status status = json_only_members(json, members, error);
    if (!status) status = json_member_number(json, "log_features", 0, 1, &r->log_features, error);
    if (!status) status = json_member_integer(json, "log_unshown", 0, 20, &unshown, error);
    if (!status) status = json_member_number(json, "diversity", 0, 1, &r->diversity, error);
    if (!status) status = json_member_integer(json, "train_every", 0, 1000000000, &every, error);
    if (!status) status = json_member_integer(json, "memory_mb", 16, 65536, &memory, error);
    if (!status) status = schema_read_explore(json_get(json, "explore"), &r->temperature, &r->explore_top, error);
    if (!status) status = read_value(s, json_get(json, "value"), error);
    if (!status) status = schema_read_cross(s, json_get(json, "cross_encoder"), error);
    if (status) return error_prefix(error, "schema, \"ranking\"");
    r->log_unshown = (uint32_t)unshown;
    r->train_every = (uint64_t)every;
    r->memory_mb = (uint32_t)memory;
    return read_features(s, json_get(json, "features"), error);
}

void schema_copy_ranking(const schema *from, schema *to) {
    for (uint32_t i = 0; i < from->ranking.n_features; i++)
        to->ranking.features[i] = arena_strndup(&to->memory, from->ranking.features[i], strlen(from->ranking.features[i]));
    schema_copy_cross(&to->ranking.cross, &to->memory);
    if (from->ranking.value_field)
        to->ranking.value_field = arena_strndup(&to->memory, from->ranking.value_field, strlen(from->ranking.value_field));
}

void schema_write_ranking(const schema_ranking *r, json_writer *w) {
    json_begin_object(w);
    json_key(w, "features");
    if (r->features_declared) {
        json_begin_array(w);
        for (uint32_t i = 0; i < r->n_features; i++) json_text(w, r->features[i]);
        json_end_array(w);
    } else {
        json_null(w);
    }
    json_key(w, "log_features");
    json_float(w, r->log_features);
    json_key(w, "log_unshown");
    json_integer(w, r->log_unshown);
    json_key(w, "explore");
    json_begin_object(w);
    json_key(w, "temperature");
    json_float(w, r->temperature);
    json_key(w, "top");
    json_integer(w, r->explore_top);
    json_end_object(w);
    json_key(w, "diversity");
    json_float(w, r->diversity);
    json_key(w, "value");
    if (r->value_field) {
        json_begin_object(w);
        json_key(w, "field");
        json_text(w, r->value_field);
        json_key(w, "strength");
        json_float(w, r->value_strength);
        json_end_object(w);
    } else {
        json_null(w);
    }
    json_key(w, "train_every");
    json_integer(w, (int64_t)r->train_every);
    json_key(w, "memory_mb");
    json_integer(w, r->memory_mb);
    json_key(w, "cross_encoder");
    schema_write_cross(&r->cross, w);
    json_end_object(w);
}
