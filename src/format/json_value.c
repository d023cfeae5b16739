/* Looking into values, and saying what is wrong with them. */
#include "format/json.h"
#include "format/json_impl.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { QUOTE_BYTES = 40 };

const json_value *json_get(const json_value *object, const char *key) {
    if (!object || object->type != JSON_OBJECT) return NULL;
    size_t size = strlen(key);
    for (const json_value *m = object->first; m; m = m->next)
        if (m->key.size == size && memcmp(m->key.data, key, size) == 0) return m;
    return NULL;
}

const char *json_type_name(json_type type) {
    static const char *const names[] = {"null", "true or false", "a number", "a string", "an array", "an object"};
    return names[type];
}

static size_t cut(slice text) {
    if (text.size <= QUOTE_BYTES) return text.size;
    size_t size = QUOTE_BYTES;
    while (size && ((unsigned char)text.data[size] & 0xC0) == 0x80) size--;
    return size;
}

/* Containers are named, not written out: they may be large. Strings are escaped, so that a message stays one line. */
const char *json_quote(arena *a, const json_value *value) {
    switch (value->type) {
    case JSON_BOOL: return value->boolean ? "true" : "false";
    case JSON_NUMBER: {
        size_t size = cut(value->text);
        return arena_printf(a, "%.*s%s", (int)size, value->text.data, size < value->text.size ? "…" : "");
    }
    case JSON_STRING: {
        buffer b = {0};
        size_t size = cut(value->text);
        json_writer w = json_writer_of(&b);
        json_string(&w, (slice){value->text.data, size});
        if (size < value->text.size) {
            b.size--;
            buffer_puts(&b, "…\"");
        }
        const char *quoted = arena_strndup(a, b.data, b.size);
        buffer_release(&b);
        return quoted;
    }
    default: return json_type_name(value->type);
    }
}

static forage_status wrong(base_error *error, const char *key, const char *expected, const json_value *got) {
    arena a;
    arena_init(&a, 512);
    forage_status status = error_set(error, FORAGE_E_INVALID, "\"%s\": expected %s, got %s", key, expected,
                                     json_quote(&a, got));
    arena_release(&a);
    return status;
}

/* NULL when the member is absent or null. */
static const json_value *given(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type != JSON_NULL ? v : NULL;
}

forage_status json_member_string(const json_value *object, const char *key, slice *out, base_error *error) {
    const json_value *v = given(object, key);
    if (!v) return FORAGE_OK;
    if (v->type != JSON_STRING) return wrong(error, key, "a string", v);
    *out = v->text;
    return FORAGE_OK;
}

forage_status json_member_bool(const json_value *object, const char *key, bool *out, base_error *error) {
    const json_value *v = given(object, key);
    if (!v) return FORAGE_OK;
    if (v->type != JSON_BOOL) return wrong(error, key, "true or false", v);
    *out = v->boolean;
    return FORAGE_OK;
}

/* 10.0 and 1e1 are whole numbers too: many languages write them so. */
static bool whole(const json_value *v, int64_t *out) {
    if (v->type != JSON_NUMBER) return false;
    if (!v->integral && (v->number != floor(v->number) || fabs(v->number) > 0x1p53)) return false;
    *out = v->integral ? v->integer : (int64_t)v->number;
    return true;
}

forage_status json_member_integer(const json_value *object, const char *key, int64_t low, int64_t high, int64_t *out,
                                  base_error *error) {
    const json_value *v = given(object, key);
    int64_t value;
    if (!v) return FORAGE_OK;
    if (whole(v, &value) && value >= low && value <= high) {
        *out = value;
        return FORAGE_OK;
    }
    char expected[96];
    if (low == INT64_MIN && high == INT64_MAX)
        snprintf(expected, sizeof expected, "a whole number");
    else if (high == INT64_MAX)
        snprintf(expected, sizeof expected, "a whole number of at least %lld", (long long)low);
    else
        snprintf(expected, sizeof expected, "a whole number from %lld to %lld", (long long)low, (long long)high);
    return wrong(error, key, expected, v);
}

forage_status json_member_number(const json_value *object, const char *key, double low, double high, double *out,
                                 base_error *error) {
    const json_value *v = given(object, key);
    if (!v) return FORAGE_OK;
    if (v->type == JSON_NUMBER && v->number >= low && v->number <= high) {
        *out = v->number;
        return FORAGE_OK;
    }
    char expected[96];
    if (isfinite(low) && isfinite(high))
        snprintf(expected, sizeof expected, "a number from %g to %g", low, high);
    else if (isfinite(low))
        snprintf(expected, sizeof expected, "a number of at least %g", low);
    else if (isfinite(high))
        snprintf(expected, sizeof expected, "a number of at most %g", high);
    else
        snprintf(expected, sizeof expected, "a number");
    return wrong(error, key, expected, v);
}

static bool is_allowed(slice key, const char *const *allowed) {
    for (; *allowed; allowed++)
        if (slice_is(key, *allowed)) return true;
    return false;
}

forage_status json_only_members(const json_value *object, const char *const *allowed, base_error *error) {
    if (!object || object->type != JSON_OBJECT) return FORAGE_OK;
    const json_value *m = object->first;
    while (m && is_allowed(m->key, allowed)) m = m->next;
    if (!m) return FORAGE_OK;
    arena a;
    arena_init(&a, 1024);
    buffer known = {0};
    for (const char *const *name = allowed; *name; name++)
        buffer_printf(&known, "%s\"%s\"", name == allowed ? "" : ", ", *name);
    json_value key = {.type = JSON_STRING, .text = m->key};
    forage_status status = error_set(error, FORAGE_E_INVALID, "%s is not known here; known are %s",
                                     json_quote(&a, &key), known.size ? buffer_text(&known) : "none");
    buffer_release(&known);
    arena_release(&a);
    return status;
}
