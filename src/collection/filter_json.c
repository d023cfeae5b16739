#include "collection/filter_json.h"

#include "collection/document.h"

#include <math.h>

typedef struct filter_reader {
    const schema *schema;
    text_analyzer *analyzer;
    arena *a;
    base_error *error;
    uint32_t nodes;
} filter_reader;

static forage_status read_object(filter_reader *r, const json_value *json, sparse_filter **out);

static forage_status make(filter_reader *r, sparse_filter_kind kind, sparse_filter **out) {
    if (++r->nodes > FILTER_MAX_NODES)
        return error_set(r->error, FORAGE_E_FILTER, "filter: more than %d conditions", FILTER_MAX_NODES);
    sparse_filter *node = arena_zalloc(r->a, 1, sizeof *node);
    node->kind = kind;
    *out = node;
    return FORAGE_OK;
}

/* Reads each filter of an array into a list of children. */
static forage_status read_list(filter_reader *r, const json_value *json, sparse_filter_kind kind, sparse_filter **out) {
    if (json->type != JSON_ARRAY)
        return error_set(r->error, FORAGE_E_FILTER, "filter, \"%.*s\": expected an array of filters, got %s",
                         SLICE_ARG(json->key), json_type_name(json->type));
    sparse_filter *node = NULL;
    forage_status status = make(r, kind, &node);
    if (status) return status;
    const sparse_filter **tail = &node->first;
    for (const json_value *item = json->first; !status && item; item = item->next) {
        sparse_filter *child = NULL;
        status = read_object(r, item, &child);
        if (status) break;
        *tail = child;
        tail = &child->next;
    }
    if (!status) *out = node;
    return status;
}

static forage_status read_not(filter_reader *r, const json_value *json, sparse_filter **out) {
    sparse_filter *node = NULL, *child = NULL;
    forage_status status = make(r, SPARSE_FILTER_NOT, &node);
    if (!status) status = read_object(r, json, &child);
    if (status) return status;
    node->first = child;
    *out = node;
    return FORAGE_OK;
}

static forage_status wrong_value(filter_reader *r, const char *field, const char *expected, const json_value *got) {
    return error_set(r->error, FORAGE_E_FILTER, "filter, field \"%s\": expected %s, got %s", field, expected,
                     json_quote(r->a, got));
}

static forage_status keyword_value(filter_reader *r, const schema_field *f, const json_value *json, slice *out) {
    slice text = json->text;
    if (json->type == JSON_BOOL) text = json->boolean ? SLICE("true") : SLICE("false");
    else if (json->type != JSON_STRING && json->type != JSON_NUMBER)
        return wrong_value(r, f->name, "a string or an array of strings", json);
    if (f->kind == SCHEMA_REFERENCE) {
        *out = text;
        return FORAGE_OK;
    }
    buffer normalized = {0};
    text_normalize_keyword(r->analyzer, text, &normalized);
    *out = arena_slice(r->a, (slice){normalized.data, normalized.size});
    buffer_release(&normalized);
    return FORAGE_OK;
}

static forage_status read_keywords(filter_reader *r, const schema_field *f, const json_value *json, sparse_filter **out) {
    sparse_filter *node = NULL;
    forage_status status = make(r, SPARSE_FILTER_VALUES, &node);
    if (status) return status;
    node->field = (uint32_t)f->sparse;
    bool many = json->type == JSON_ARRAY;
    slice *values = arena_alloc(r->a, ((many ? json->count : 1) + 1) * sizeof *values);
    for (const json_value *item = many ? json->first : json; !status && item; item = many ? item->next : NULL)
        status = keyword_value(r, f, item, &values[node->n_values++]);
    node->values = values;
    if (!status) *out = node;
    return status;
}

static forage_status number_value(filter_reader *r, const schema_field *f, const json_value *json, double *out) {
    if (f->kind == SCHEMA_DATE)
        return document_date(json, out) ? FORAGE_OK : wrong_value(r, f->name, "a date such as \"2008-06-12\"", json);
    if (json->type != JSON_NUMBER) return wrong_value(r, f->name, "a number", json);
    *out = json->number;
    return FORAGE_OK;
}

static forage_status read_equal(filter_reader *r, const schema_field *f, const json_value *json, sparse_filter **out) {
    sparse_filter *node = NULL;
    forage_status status = make(r, SPARSE_FILTER_RANGE, &node);
    if (status) return status;
    node->field = (uint32_t)f->sparse;
    status = number_value(r, f, json, &node->low);
    node->high = node->low;
    if (!status) *out = node;
    return status;
}

/* "year": [1994, 2001] means any of them. */
static forage_status read_numbers(filter_reader *r, const schema_field *f, const json_value *json, sparse_filter **out) {
    if (json->type != JSON_ARRAY) return read_equal(r, f, json, out);
    sparse_filter *node = NULL;
    forage_status status = make(r, SPARSE_FILTER_OR, &node);
    if (status) return status;
    const sparse_filter **tail = &node->first;
    for (const json_value *item = json->first; !status && item; item = item->next) {
        sparse_filter *child = NULL;
        status = read_equal(r, f, item, &child);
        if (status) break;
        *tail = child;
        tail = &child->next;
    }
    if (!status) *out = node;
    return status;
}

static forage_status read_range(filter_reader *r, const schema_field *f, const json_value *json, sparse_filter **out) {
    static const char *const bounds[] = {"gt", "gte", "lt", "lte", NULL};
    if (f->kind != SCHEMA_NUMBER && f->kind != SCHEMA_DATE)
        return error_set(r->error, FORAGE_E_FILTER, "filter, field \"%s\": a range needs a number or date field, this is a %s field",
                         f->name, schema_kind_name(f->kind));
    if (json_only_members(json, bounds, r->error)) {
        if (r->error) r->error->status = FORAGE_E_FILTER;
        return error_prefix(r->error, "filter, field \"%s\"", f->name), FORAGE_E_FILTER;
    }
    sparse_filter *node = NULL;
    forage_status status = make(r, SPARSE_FILTER_RANGE, &node);
    if (status) return status;
    node->field = (uint32_t)f->sparse;
    node->low = -INFINITY;
    node->high = INFINITY;
    for (const json_value *bound = json->first; !status && bound; bound = bound->next) {
        bool low = bound->key.data[0] == 'g', strict = bound->key.size == 2;
        double value, *limit = low ? &node->low : &node->high;
        bool *limit_strict = low ? &node->low_strict : &node->high_strict;
        status = number_value(r, f, bound, &value);
        if (status) break;
        /* All of them hold: of "gt" and "gte" the narrower one decides. */
        if (low ? value < *limit : value > *limit) continue;
        *limit_strict = value == *limit ? *limit_strict || strict : strict;
        *limit = value;
    }
    if (!status) *out = node;
    return status;
}

static forage_status read_exists(filter_reader *r, const schema_field *f, const json_value *json, sparse_filter **out) {
    if (json->type != JSON_BOOL) return wrong_value(r, f->name, "true or false for \"exists\"", json);
    sparse_filter *node = NULL, *negation = NULL;
    forage_status status = make(r, SPARSE_FILTER_EXISTS, &node);
    if (status) return status;
    node->field = (uint32_t)f->sparse;
    *out = node;
    if (json->boolean) return FORAGE_OK;
    status = make(r, SPARSE_FILTER_NOT, &negation);
    if (status) return status;
    negation->first = node;
    *out = negation;
    return FORAGE_OK;
}

static forage_status read_field(filter_reader *r, const json_value *json, sparse_filter **out) {
    const schema_field *f = schema_find(r->schema, json->key);
    if (!f)
        return error_set(r->error, FORAGE_E_FILTER, "filter: there is no field \"%.*s\"", SLICE_ARG(json->key));
    if (f->sparse < 0)
        return error_set(r->error, FORAGE_E_FILTER, "filter, field \"%s\": %s fields cannot be filtered", f->name,
                         schema_kind_name(f->kind));
    const json_value *exists = json_get(json, "exists");
    if (exists && json->count == 1) return read_exists(r, f, exists, out);
    if (f->kind == SCHEMA_TEXT)
        return error_set(r->error, FORAGE_E_FILTER, "filter, field \"%s\": text fields can be searched, not filtered; declare it "
                         "as keyword to filter by it", f->name);
    if (json->type == JSON_OBJECT) return read_range(r, f, json, out);
    if (f->kind == SCHEMA_KEYWORD || f->kind == SCHEMA_REFERENCE) return read_keywords(r, f, json, out);
    return read_numbers(r, f, json, out);
}

static forage_status read_member(filter_reader *r, const json_value *json, sparse_filter **out) {
    if (slice_is(json->key, "all")) return read_list(r, json, SPARSE_FILTER_AND, out);
    if (slice_is(json->key, "any")) return read_list(r, json, SPARSE_FILTER_OR, out);
    if (slice_is(json->key, "not")) return read_not(r, json, out);
    return read_field(r, json, out);
}

static forage_status read_object(filter_reader *r, const json_value *json, sparse_filter **out) {
    if (json->type != JSON_OBJECT)
        return error_set(r->error, FORAGE_E_FILTER, "filter: expected an object such as {\"type\": \"book\"}, got %s",
                         json_type_name(json->type));
    sparse_filter *node = NULL;
    forage_status status = make(r, SPARSE_FILTER_AND, &node);
    if (status) return status;
    const sparse_filter **tail = &node->first;
    for (const json_value *member = json->first; !status && member; member = member->next) {
        sparse_filter *child = NULL;
        status = read_member(r, member, &child);
        if (status) break;
        *tail = child;
        tail = &child->next;
    }
    if (!status) *out = node;
    return status;
}

forage_status filter_read(const schema *s, const json_value *json, text_analyzer *analyzer, arena *a,
                          const sparse_filter **out, base_error *error) {
    *out = NULL;
    if (!json || json->type == JSON_NULL || (json->type == JSON_OBJECT && !json->count)) return FORAGE_OK;
    filter_reader r = {s, analyzer, a, error, 0};
    sparse_filter *root = NULL;
    forage_status status = read_object(&r, json, &root);
    if (!status) *out = root;
    return status;
}
