#include "rank/forest_ubjson.h"

#include "base/bytes.h"

#include <math.h>
#include <string.h>

typedef struct ubjson_reader {
    arena *a;
    byte_reader in;
    const uint8_t *start;
    size_t values;
    base_error *error;
} ubjson_reader;

static forage_status damaged(ubjson_reader *r, const char *what) {
    return error_set(r->error, FORAGE_E_INVALID, "UBJ, byte %zu: %s", (size_t)(r->in.at - r->start), what);
}

static size_t width_of(uint8_t type) {
    switch (type) {
    case 'i':
    case 'U': return 1;
    case 'I': return 2;
    case 'l':
    case 'd': return 4;
    case 'L':
    case 'D': return 8;
    default: return 0;
    }
}

static double number_at(const uint8_t *p, uint8_t type) {
    uint32_t bits32;
    uint64_t bits64;
    float single;
    double value;
    switch (type) {
    case 'i': return (int8_t)*p;
    case 'U': return *p;
    case 'I': return (int16_t)(p[0] << 8 | p[1]);
    case 'l': return (int32_t)load_be32(p);
    case 'L': return (double)(int64_t)load_be64(p);
    case 'd':
        bits32 = load_be32(p);
        memcpy(&single, &bits32, 4);
        return (double)single;
    default:
        bits64 = load_be64(p);
        memcpy(&value, &bits64, 8);
        return value;
    }
}

static bool read_number(ubjson_reader *r, uint8_t type, double *out) {
    slice bytes = read_bytes(&r->in, width_of(type));
    if (r->in.failed || !width_of(type)) return false;
    *out = number_at((const uint8_t *)bytes.data, type);
    return true;
}

/* A length cannot be more than the bytes that are left: everything but no-ops has at least one. */
static bool read_length(ubjson_reader *r, uint8_t type, size_t *out) {
    double value;
    if (type == 'd' || type == 'D' || !read_number(r, type, &value)) return false;
    if (value < 0 || value > (double)read_left(&r->in)) return false;
    *out = (size_t)value;
    return true;
}

static bool read_text(ubjson_reader *r, uint8_t type, slice *out) {
    size_t size;
    if (!read_length(r, type, &size)) return false;
    *out = read_bytes(&r->in, size);
    return !r->in.failed;
}

static forage_status read_value(ubjson_reader *r, uint8_t type, int depth, json_value *out);

/* After '[' or '{': `$` type, `#` count. */
static forage_status read_header(ubjson_reader *r, uint8_t *type, bool *counted, size_t *count) {
    *type = 0;
    *counted = false;
    if (read_left(&r->in) && *r->in.at == '$') {
        read_u8(&r->in);
        *type = read_u8(&r->in);
        if (!read_left(&r->in) || *r->in.at != '#') return damaged(r, "expected a count after an array's type");
    }
    if (read_left(&r->in) && *r->in.at == '#') {
        read_u8(&r->in);
        *counted = true;
        if (!read_length(r, read_u8(&r->in), count)) return damaged(r, "a count that cannot be");
    }
    return FORAGE_OK;
}

static forage_status read_typed(ubjson_reader *r, uint8_t type, size_t count, json_value *out) {
    size_t width = width_of(type);
    if (!width) return damaged(r, "an array of a type that is no number");
    if (count > read_left(&r->in) / width) return damaged(r, "an array goes on beyond the end");
    out->text = read_bytes(&r->in, count * width);
    out->integer = type;
    out->count = count;
    return FORAGE_OK;
}

/* Members and elements until the closing mark, or as many as were announced. */
static forage_status read_children(ubjson_reader *r, uint8_t type, bool counted, size_t count, int depth, json_value *out) {
    bool object = out->type == JSON_OBJECT;
    json_value **link = &out->first;
    while (!counted || out->count < count) {
        uint8_t mark = object || !type ? read_u8(&r->in) : type;
        if (r->in.failed) return damaged(r, "ends too early");
        if (!counted && mark == (object ? '}' : ']')) return FORAGE_OK;
        if (mark == 'N') continue;
        if (++r->values > JSON_MAX_VALUES) return damaged(r, "too many values");
        json_value *child = arena_zalloc(r->a, 1, sizeof *child);
        if (object) {
            if (!read_text(r, mark, &child->key)) return damaged(r, "a key that cannot be");
            mark = type ? type : read_u8(&r->in);
        }
        forage_status status = read_value(r, mark, depth + 1, child);
        if (status) return status;
        *link = child;
        link = &child->next;
        out->count++;
    }
    return FORAGE_OK;
}

static forage_status read_container(ubjson_reader *r, bool object, int depth, json_value *out) {
    uint8_t type;
    bool counted;
    size_t count = 0;
    if (depth >= JSON_MAX_DEPTH) return damaged(r, "nested too deeply");
    out->type = object ? JSON_OBJECT : JSON_ARRAY;
    forage_status status = read_header(r, &type, &counted, &count);
    if (status) return status;
    if (type && !object) return read_typed(r, type, count, out);
    return read_children(r, type, counted, count, depth, out);
}

static forage_status read_value(ubjson_reader *r, uint8_t type, int depth, json_value *out) {
    switch (type) {
    case '{':
    case '[': return read_container(r, type == '{', depth, out);
    case 'S':
    case 'H':
        out->type = JSON_STRING;
        return read_text(r, read_u8(&r->in), &out->text) ? FORAGE_OK : damaged(r, "a string that cannot be");
    case 'C':
        out->type = JSON_STRING;
        out->text = read_bytes(&r->in, 1);
        return r->in.failed ? damaged(r, "ends too early") : FORAGE_OK;
    case 'Z': out->type = JSON_NULL; return FORAGE_OK;
    case 'T':
    case 'F':
        out->type = JSON_BOOL;
        out->boolean = type == 'T';
        return FORAGE_OK;
    default:
        out->type = JSON_NUMBER;
        if (!read_number(r, type, &out->number)) return damaged(r, "an unknown type, or ends too early");
        out->integral = type != 'd' && type != 'D' && fabs(out->number) < 9e15;
        out->integer = out->integral ? (int64_t)out->number : 0;
        return FORAGE_OK;
    }
}

forage_status ubjson_read(arena *a, slice bytes, json_value **out, base_error *error) {
    ubjson_reader r = {.a = a, .in = byte_reader_of(bytes.data, bytes.size), .start = (const uint8_t *)bytes.data};
    r.error = error;
    json_value *value = arena_zalloc(a, 1, sizeof *value);
    forage_status status = read_value(&r, read_u8(&r.in), 0, value);
    if (status) return status;
    if (read_left(&r.in)) return damaged(&r, "something follows the value");
    *out = value;
    return FORAGE_OK;
}

forage_status ubjson_numbers(arena *a, const json_value *array, const char *what, double **out, size_t *n,
                             base_error *error) {
    if (!array || array->type != JSON_ARRAY)
        return error_set(error, FORAGE_E_INVALID, "%s: expected an array, got %s", what,
                         array ? json_type_name(array->type) : "nothing");
    double *numbers = arena_alloc(a, array->count * sizeof *numbers);
    if (array->count && !array->first) {
        size_t width = width_of((uint8_t)array->integer);
        for (size_t i = 0; i < array->count; i++)
            numbers[i] = number_at((const uint8_t *)array->text.data + i * width, (uint8_t)array->integer);
    }
    size_t i = 0;
    for (const json_value *v = array->first; v; v = v->next, i++) {
        bool none = v->type == JSON_STRING && !v->text.size;
        if (v->type != JSON_NUMBER && v->type != JSON_BOOL && !none)
            return error_set(error, FORAGE_E_INVALID, "%s: element %zu: expected a number, got %s", what, i,
                             json_type_name(v->type));
        numbers[i] = none ? (double)NAN : v->type == JSON_BOOL ? v->boolean : v->number;
    }
    *out = numbers;
    *n = array->count;
    return FORAGE_OK;
}
