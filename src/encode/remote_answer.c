#include "encode/remote.h"

#include "format/json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static forage_status wrong(base_error *error, const char *what) {
    return error_set(error, FORAGE_E_IO, "the embedding service's answer: %s", what);
}

/* Of unit length; zeros stay. */
static bool normalise(float *v, uint32_t dimensions) {
    double square = 0;
    for (uint32_t i = 0; i < dimensions; i++) {
        if (!isfinite(v[i])) return false;
        square += (double)v[i] * v[i];
    }
    for (uint32_t i = 0; i < dimensions && square > 0; i++) v[i] = (float)(v[i] / sqrt(square));
    return true;
}

static int base64_digit(char c) {
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    return c == '+' ? 62 : c == '/' ? 63 : -1;
}

/* Little-endian floats. */
static bool read_base64(slice text, uint32_t dimensions, float *out) {
    size_t want = (size_t)dimensions * sizeof *out, n = 0;
    uint8_t *bytes = (uint8_t *)out;
    uint32_t bits = 0, have = 0;
    while (text.size && text.data[text.size - 1] == '=') text.size--;
    for (size_t i = 0; i < text.size; i++) {
        int digit = base64_digit(text.data[i]);
        if (digit < 0) return false;
        bits = bits << 6 | (uint32_t)digit;
        have += 6;
        if (have < 8) continue;
        if (n == want) return false;
        have -= 8;
        bytes[n++] = (uint8_t)(bits >> have);
    }
    return n == want;
}

static bool read_vector(const json_value *v, uint32_t dimensions, float *out) {
    if (v && v->type == JSON_STRING) return read_base64(v->text, dimensions, out);
    if (!v || v->type != JSON_ARRAY || v->count != dimensions) return false;
    for (const json_value *item = v->first; item; item = item->next) {
        if (item->type != JSON_NUMBER) return false;
        *out++ = (float)item->number;
    }
    return true;
}

static forage_status read_data(const json_value *data, size_t n, uint32_t dimensions, bool *seen, float *out, base_error *error) {
    if (!data || data->type != JSON_ARRAY) return wrong(error, "it has no \"data\"");
    if (data->count != n) return error_set(error, FORAGE_E_IO, "the embedding service's answer: %zu vectors for %zu texts", data->count, n);
    size_t place = 0;
    for (const json_value *item = data->first; item; item = item->next, place++) {
        int64_t index = (int64_t)place;
        if (json_member_integer(item, "index", 0, (int64_t)n - 1, &index, NULL) || seen[index])
            return wrong(error, "an \"index\" is wrong");
        seen[index] = true;
        float *vector = out + (size_t)index * dimensions;
        if (!read_vector(json_get(item, "embedding"), dimensions, vector))
            return error_set(error, FORAGE_E_IO, "the embedding service's answer: vector %lld has not %u numbers", (long long)index,
                             dimensions);
        if (!normalise(vector, dimensions)) return wrong(error, "a vector has numbers that are not finite");
    }
    return FORAGE_OK;
}

forage_status remote_read_answer(slice body, size_t n, uint32_t dimensions, float *out, base_error *error) {
    arena a;
    json_value *json;
    base_error why = {0};
    arena_init(&a, 0);
    bool *seen = arena_zalloc(&a, n + 1, sizeof *seen);
    forage_status status = json_read(&a, body, &json, &why);
    if (status) status = error_set(error, FORAGE_E_IO, "the embedding service's answer is no JSON: %s", why.message);
    else status = read_data(json_get(json, "data"), n, dimensions, seen, out, error);
    arena_release(&a);
    return status;
}
