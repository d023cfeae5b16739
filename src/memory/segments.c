#include "memory/segments.h"

#include <string.h>

#define MAX_VALUE 200

const segment_fields segments_default = {{"language", "country"}, 2};

static uint64_t hash_value(const char *field, const json_value *value) {
    char text[MAX_VALUE + 8];
    slice given = value->type == JSON_BOOL ? slice_of(value->boolean ? "true" : "false") : value->text;
    for (size_t i = 0; i < given.size; i++) {
        char c = given.data[i];
        text[i] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    return hash64(text, given.size, hash64(field, strlen(field), 0));
}

size_t segments_of(const segment_fields *fields, const json_value *context, memory_segment out[SEGMENTS_MAX]) {
    size_t n = 0;
    for (size_t i = 0; context && i < fields->n && i < SEGMENTS_MAX; i++) {
        const json_value *value = json_get(context, fields->names[i]);
        if (!value || value->type == JSON_NULL || value->type == JSON_ARRAY || value->type == JSON_OBJECT) continue;
        if (value->type != JSON_BOOL && (value->text.size == 0 || value->text.size > MAX_VALUE)) continue;
        out[n++] = (memory_segment){slice_of(fields->names[i]), hash_value(fields->names[i], value)};
    }
    return n;
}

size_t segments_read(const segment_fields *fields, slice context, arena *a, memory_segment out[SEGMENTS_MAX]) {
    json_value *json;
    if (!context.size || json_read(a, context, &json, NULL)) return 0;
    return segments_of(fields, json, out);
}

hash128 segments_key(hash128 query, const memory_segment *s) {
    uint8_t bytes[sizeof query.bytes + sizeof s->hash];
    memcpy(bytes, query.bytes, sizeof query.bytes);
    memcpy(bytes + sizeof query.bytes, &s->hash, sizeof s->hash);
    return hash128_of(bytes, sizeof bytes);
}
