#include "funnel/funnel.h"

#include <string.h>

void funnel_request_default(funnel_request *r) {
    *r = (funnel_request){.limit = 10, .log = true, .timeout_ms = FUNNEL_DEFAULT_TIMEOUT_MS, .diversity = -1, .temperature = -1,
                          .explore_top = 10, .cross_encoder = -1};
}

void funnel_request_set_context(funnel_request *r, const json_value *context) {
    const json_value *language = context ? json_get(context, "language") : NULL;
    r->context = context;
    r->context_language = language && language->type == JSON_STRING ? language->text : (slice){0};
}

#define MAX_QUERY 131072
#define MAX_ID 256

static forage_status read_short(const json_value *json, const char *key, size_t most, slice *out, base_error *error) {
    forage_status status = json_member_string(json, key, out, error);
    if (!status && out->size > most)
        return error_set(error, FORAGE_E_INVALID, "\"%s\": %zu bytes are more than the %zu allowed", key, out->size, most);
    return status;
}

static forage_status read_facet(const json_value *json, funnel_facet *out, base_error *error) {
    static const char *const members[] = {"field", "limit", "buckets", NULL};
    int64_t limit = 10;
    *out = (funnel_facet){0};
    if (json->type == JSON_STRING) {
        *out = (funnel_facet){json->text, 10};
        return FORAGE_OK;
    }
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "\"facets\": expected field names or objects, got %s",
                         json_type_name(json->type));
    forage_status status = json_only_members(json, members, error);
    if (!status) status = json_member_string(json, "field", &out->field, error);
    if (!status) status = json_member_integer(json, "limit", 1, 1000, &limit, error);
    if (!status) status = json_member_integer(json, "buckets", 1, 64, &limit, error);
    if (!status && !out->field.size) return error_set(error, FORAGE_E_INVALID, "\"facets\": \"field\" is missing");
    out->limit = (uint32_t)limit;
    return status;
}

static forage_status read_facets(const json_value *json, funnel_request *r, base_error *error) {
    if (!json || json->type == JSON_NULL) return FORAGE_OK;
    if (json->type != JSON_ARRAY)
        return error_set(error, FORAGE_E_INVALID, "\"facets\": expected an array, got %s", json_type_name(json->type));
    for (const json_value *facet = json->first; facet; facet = facet->next) {
        if (r->n_facets == FUNNEL_MAX_FACETS)
            return error_set(error, FORAGE_E_INVALID, "\"facets\": at most %d", FUNNEL_MAX_FACETS);
        funnel_facet *read = &r->facets[r->n_facets];
        forage_status status = read_facet(facet, read, error);
        if (status) return status;
        for (size_t i = 0; i < r->n_facets; i++)
            if (slice_equal(r->facets[i].field, read->field))
                return error_set(error, FORAGE_E_INVALID, "\"facets\": \"%.*s\" is there twice", SLICE_ARG(read->field));
        r->n_facets++;
    }
    return FORAGE_OK;
}

static forage_status read_context(const json_value *json, funnel_request *r, base_error *error) {
    const json_value *context = json_get(json, "context");
    if (!context || context->type == JSON_NULL) return FORAGE_OK;
    if (context->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "\"context\": expected an object, got %s", json_type_name(context->type));
    slice language = {0};
    funnel_request_set_context(r, context);
    return read_short(context, "language", 32, &language, error);
}

static forage_status read_fields(const json_value *json, funnel_request *r, base_error *error) {
    const json_value *fields = json_get(json, "fields");
    if (!fields || fields->type == JSON_NULL) return FORAGE_OK;
    if (fields->type != JSON_ARRAY)
        return error_set(error, FORAGE_E_INVALID, "\"fields\": expected an array of names, got %s", json_type_name(fields->type));
    for (const json_value *name = fields->first; name; name = name->next)
        if (name->type != JSON_STRING)
            return error_set(error, FORAGE_E_INVALID, "\"fields\": expected names, got %s", json_type_name(name->type));
    r->fields = fields;
    return FORAGE_OK;
}

/* Ids, or where it is allowed objects with a position. */
static forage_status read_named(const json_value *json, const char *key, bool positions, const json_value **out, base_error *error) {
    static const char *const members[] = {"id", "position", NULL};
    const json_value *list = json_get(json, key);
    if (!list || list->type == JSON_NULL) return FORAGE_OK;
    if (list->type != JSON_ARRAY || list->count > FUNNEL_MOST_NAMED_DOCUMENTS)
        return error_set(error, FORAGE_E_INVALID, "\"%s\": expected an array of at most %d ids", key, FUNNEL_MOST_NAMED_DOCUMENTS);
    for (const json_value *named = list->first; named; named = named->next) {
        slice id = named->text;
        int64_t position = 1;
        if (named->type == JSON_OBJECT && positions) {
            id = (slice){0};
            forage_status status = json_only_members(named, members, error);
            if (!status) status = json_member_string(named, "id", &id, error);
            if (!status) status = json_member_integer(named, "position", 1, FUNNEL_MAX_WINDOW, &position, error);
            if (status) return error_prefix(error, "\"pinned\"");
        } else if (named->type != JSON_STRING) {
            return error_set(error, FORAGE_E_INVALID, "\"%s\": expected ids%s, got %s", key,
                             positions ? " or objects with \"id\" and \"position\"" : "", json_type_name(named->type));
        }
        if (!id.size) return error_set(error, FORAGE_E_INVALID, "\"%s\": an id is missing or empty", key);
    }
    *out = list;
    return FORAGE_OK;
}

/* What is asked for besides words; the schema checks the vector's size. */
static forage_status read_vector(const json_value *json, funnel_request *r, base_error *error) {
    const json_value *vector = json_get(json, "vector");
    forage_status status = read_short(json, "vector_field", 256, &r->vector_field, error);
    if (!status) status = read_short(json, "like", 500, &r->like, error);
    if (status || !vector || vector->type == JSON_NULL) return status;
    if (vector->type != JSON_ARRAY)
        return error_set(error, FORAGE_E_INVALID, "\"vector\": expected an array of numbers, got %s", json_type_name(vector->type));
    for (const json_value *number = vector->first; number; number = number->next)
        if (number->type != JSON_NUMBER || !(number->number >= -3e38 && number->number <= 3e38))
            return error_set(error, FORAGE_E_INVALID, "\"vector\": expected numbers of 32-bit floats");
    r->vector = vector;
    return FORAGE_OK;
}

/* The schema checks the tokens and weights. */
static forage_status read_weights(const json_value *json, funnel_request *r, base_error *error) {
    const json_value *weights = json_get(json, "weights");
    forage_status status = read_short(json, "weights_field", 256, &r->weights_field, error);
    if (!status && weights && weights->type != JSON_NULL) r->weights = weights;
    return status;
}

static bool is_number(const json_value *v) { return v->type == JSON_NUMBER || v->type == JSON_NULL; }

forage_status funnel_read_features(const json_value *json, bool by_document, const json_value **out, base_error *error) {
    if (!json || json->type == JSON_NULL) return FORAGE_OK;
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "\"features\": expected an object, got %s", json_type_name(json->type));
    for (const json_value *f = json->first; f; f = f->next) {
        bool fine = is_number(f) || (by_document && f->type == JSON_OBJECT);
        for (const json_value *one = f->type == JSON_OBJECT ? f->first : NULL; one && fine; one = one->next) fine = is_number(one);
        if (!fine)
            return error_set(error, FORAGE_E_INVALID, "\"features\", \"%.*s\": expected a number%s", SLICE_ARG(f->key),
                             by_document ? ", or an object with a number for each document's id" : "");
    }
    *out = json;
    return FORAGE_OK;
}

/* What shapes the order. */
static forage_status read_shaping(const json_value *json, funnel_request *r, base_error *error) {
    double temperature = 0;
    const json_value *explore = json_get(json, "explore");
    forage_status status = read_named(json, "pinned", true, &r->pinned, error);
    if (!status) status = read_named(json, "hidden", false, &r->hidden, error);
    if (!status) status = funnel_read_features(json_get(json, "features"), true, &r->features, error);
    if (!status) status = json_member_number(json, "diversity", 0, 1, &r->diversity, error);
    if (!status) status = schema_read_explore(explore, &temperature, &r->explore_top, error);
    if (!status && explore) r->temperature = temperature;
    const json_value *cross = json_get(json, "cross_encoder");
    bool asked = false;
    if (!status) status = json_member_bool(json, "cross_encoder", &asked, error);
    if (!status && cross && cross->type == JSON_BOOL) r->cross_encoder = asked;
    r->value = json_get(json, "value"); /* checked against the schema when it is used */
    const json_value *page = json_get(json, "page");
    if (!page || page->type == JSON_NULL) return status;
    if (page->type == JSON_BOOL) r->next_page = page->boolean;
    else if (page->type == JSON_STRING) r->page = page->text;
    else return error_set(error, FORAGE_E_INVALID, "\"page\": expected true or a page token, got %s", json_type_name(page->type));
    if (r->page.size && r->offset)
        return error_set(error, FORAGE_E_INVALID, "\"page\" and \"offset\" exclude each other: the token knows where its page begins");
    return status;
}

static forage_status read_numbers(const json_value *json, funnel_request *r, base_error *error) {
    int64_t limit = r->limit, offset = r->offset, seed = 0, timeout = r->timeout_ms;
    forage_status status = json_member_integer(json, "limit", 0, FUNNEL_MAX_LIMIT, &limit, error);
    if (!status) status = json_member_integer(json, "offset", 0, FUNNEL_MAX_WINDOW, &offset, error);
    if (!status) status = json_member_integer(json, "seed", 0, INT64_MAX, &seed, error);
    if (!status) status = json_member_integer(json, "timeout_ms", 1, 60000, &timeout, error);
    if (!status && limit + offset > FUNNEL_MAX_WINDOW)
        return error_set(error, FORAGE_E_INVALID, "\"offset\" + \"limit\": at most %d", FUNNEL_MAX_WINDOW);
    r->limit = (uint32_t)limit;
    r->offset = (uint32_t)offset;
    r->seed = (uint64_t)seed;
    r->timeout_ms = (uint32_t)timeout;
    return status;
}

static forage_status check_text(const char *key, slice text, size_t most, base_error *error) {
    size_t bad;
    if (text.size > most)
        return error_set(error, FORAGE_E_INVALID, "\"%s\": %zu bytes are more than the %zu allowed", key, text.size, most);
    if (!text_valid_utf8(text, &bad))
        return error_set(error, FORAGE_E_INVALID, "\"%s\": byte %zu is not valid UTF-8", key, bad);
    return FORAGE_OK;
}

forage_status funnel_request_check(const funnel_request *r, base_error *error) {
    forage_status status = check_text("query", r->query, MAX_QUERY, error);
    if (!status) status = check_text("user", r->user, MAX_ID, error);
    if (!status) status = check_text("session", r->session, MAX_ID, error);
    if (!status && r->limit > FUNNEL_MAX_LIMIT)
        status = error_set(error, FORAGE_E_INVALID, "\"limit\": at most %d", FUNNEL_MAX_LIMIT);
    if (!status && (r->offset > FUNNEL_MAX_WINDOW || r->limit + r->offset > FUNNEL_MAX_WINDOW))
        status = error_set(error, FORAGE_E_INVALID, "\"offset\" + \"limit\": at most %d", FUNNEL_MAX_WINDOW);
    return status;
}

forage_status funnel_request_read(const json_value *json, funnel_request *out, base_error *error) {
    static const char *const members[] = {"query", "limit", "offset", "filter", "facets", "user", "session", "context",
                                          "explain", "policy", "ranker", "cross_encoder", "log", "query_id", "timeout_ms", "fields", "seed",
                                          "prefix", "pinned", "hidden", "features", "diversity", "explore", "value", "page",
                                          "vector", "vector_field", "like", "weights", "weights_field", NULL};
    funnel_request r;
    funnel_request_default(&r);
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "search: expected an object such as {\"query\": \"…\"}, got %s",
                         json_type_name(json->type));
    forage_status status = json_only_members(json, members, error);
    if (!status) status = read_short(json, "query", MAX_QUERY, &r.query, error);
    if (!status) status = read_short(json, "user", MAX_ID, &r.user, error);
    if (!status) status = read_short(json, "session", MAX_ID, &r.session, error);
    if (!status) status = read_short(json, "query_id", 128, &r.query_id, error);
    if (!status) status = read_short(json, "policy", 32, &r.policy, error);
    if (!status) status = read_short(json, "ranker", 32, &r.ranker, error);
    if (!status) status = json_member_bool(json, "explain", &r.explain, error);
    if (!status) status = json_member_bool(json, "log", &r.log, error);
    if (!status) status = json_member_bool(json, "prefix", &r.prefix, error);
    if (!status) status = read_vector(json, &r, error);
    if (!status) status = read_weights(json, &r, error);
    if (!status) status = read_numbers(json, &r, error);
    if (!status) status = read_shaping(json, &r, error);
    if (!status) status = read_facets(json_get(json, "facets"), &r, error);
    if (!status) status = read_context(json, &r, error);
    if (!status) status = read_fields(json, &r, error);
    if (status) return status;
    r.filter = json_get(json, "filter");
    *out = r;
    return FORAGE_OK;
}
