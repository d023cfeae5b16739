#include "encode/safetensors.h"

#include "base/bytes.h"
#include "format/json.h"
#include "os/file.h"

#include <stdlib.h>
#include <string.h>

#define MOST_HEADER ((uint64_t)100 << 20)
#define PREFIX 8 /* the header's length */

typedef struct named_tensor {
    slice name;
    tensor_view view;
    uint64_t begin, end; /* in the data */
} named_tensor;

struct safetensors {
    os_map map;
    arena memory;
    named_tensor *tensors; /* by name */
    size_t n;
};

static const struct {
    const char *name;
    tensor_type type;
    unsigned bits;
} types[] = {{"F32", TENSOR_F32, 32}, {"F16", TENSOR_F16, 16}, {"BF16", TENSOR_BF16, 16}, {"F64", TENSOR_F64, 64},
             {"I64", TENSOR_I64, 64}, {"I32", TENSOR_I32, 32}, {"I8", TENSOR_I8, 8},     {"U8", TENSOR_U8, 8},
             {"I16", TENSOR_OTHER, 16}, {"U16", TENSOR_OTHER, 16}, {"U32", TENSOR_OTHER, 32}, {"U64", TENSOR_OTHER, 64},
             {"BOOL", TENSOR_OTHER, 8}, {"F8_E4M3", TENSOR_OTHER, 8}, {"F8_E5M2", TENSOR_OTHER, 8}};

static int by_name(const void *x, const void *y) {
    return slice_compare(((const named_tensor *)x)->name, ((const named_tensor *)y)->name);
}

static int by_place(const void *x, const void *y) {
    const named_tensor *a = *(const named_tensor *const *)x, *b = *(const named_tensor *const *)y;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    return a->end < b->end ? -1 : a->end > b->end;
}

static forage_status read_shape(const json_value *json, tensor_view *view) {
    if (!json || json->type != JSON_ARRAY || json->count > TENSOR_MOST_DIMENSIONS) return FORAGE_E_CORRUPT;
    view->n = 1;
    for (const json_value *side = json->first; side; side = side->next) {
        if (side->type != JSON_NUMBER || !side->integral || side->integer < 0) return FORAGE_E_CORRUPT;
        view->shape[view->n_dimensions++] = (uint64_t)side->integer;
        if (__builtin_mul_overflow(view->n, (uint64_t)side->integer, &view->n)) return FORAGE_E_CORRUPT;
    }
    return FORAGE_OK;
}

static forage_status read_range(const json_value *json, named_tensor *t) {
    if (!json || json->type != JSON_ARRAY || json->count != 2) return FORAGE_E_CORRUPT;
    const json_value *begin = json->first, *end = begin->next;
    if (begin->type != JSON_NUMBER || end->type != JSON_NUMBER || !begin->integral || !end->integral) return FORAGE_E_CORRUPT;
    if (begin->integer < 0 || end->integer < begin->integer) return FORAGE_E_CORRUPT;
    t->begin = (uint64_t)begin->integer;
    t->end = (uint64_t)end->integer;
    return FORAGE_OK;
}

static forage_status read_tensor(safetensors *s, const json_value *json, uint64_t data, const char *path, base_error *error) {
    named_tensor *t = &s->tensors[s->n];
    slice type = {0};
    size_t i = 0, n_types = sizeof types / sizeof *types;
    uint64_t bits;
    *t = (named_tensor){.name = json->key};
    if (json->type != JSON_OBJECT || json_member_string(json, "dtype", &type, NULL) ||
        read_shape(json_get(json, "shape"), &t->view) || read_range(json_get(json, "data_offsets"), t))
        return error_set(error, FORAGE_E_CORRUPT, "%s: tensor \"%.*s\" is not described as safetensors are", path, SLICE_ARG(json->key));
    while (i < n_types && !slice_is(type, types[i].name)) i++;
    if (i == n_types)
        return error_set(error, FORAGE_E_CORRUPT, "%s: tensor \"%.*s\" has the unknown type \"%.*s\"", path, SLICE_ARG(json->key),
                         SLICE_ARG(type));
    if (t->end > data || __builtin_mul_overflow(t->view.n, (uint64_t)types[i].bits, &bits) || bits / 8 != t->end - t->begin)
        return error_set(error, FORAGE_E_CORRUPT, "%s: tensor \"%.*s\": its shape, its place and the file's size do not agree", path,
                         SLICE_ARG(json->key));
    t->view.type = types[i].type;
    s->n++;
    return FORAGE_OK;
}

/* The data is the tensors, one after the other, without gaps. */
static forage_status check_places(const safetensors *s, uint64_t data, const char *path, base_error *error) {
    const named_tensor **order = mem_alloc((s->n + 1) * sizeof *order);
    uint64_t at = 0;
    bool fine = true;
    for (size_t i = 0; i < s->n; i++) order[i] = &s->tensors[i];
    qsort(order, s->n, sizeof *order, by_place);
    for (size_t i = 0; i < s->n && fine; i++) {
        fine = order[i]->begin == at;
        at = order[i]->end;
    }
    free(order);
    if (fine && at == data) return FORAGE_OK;
    return error_set(error, FORAGE_E_CORRUPT, "%s: the tensors overlap or leave gaps; is the file truncated?", path);
}

static forage_status read_header(safetensors *s, const char *path, base_error *error) {
    if (s->map.size < PREFIX) return error_set(error, FORAGE_E_CORRUPT, "%s: %zu bytes are no safetensors file", path, s->map.size);
    uint64_t header = load_le64(s->map.data), rest = s->map.size - PREFIX;
    if (header > rest || header > MOST_HEADER)
        return error_set(error, FORAGE_E_CORRUPT, "%s: its header would have %llu bytes; is the file truncated?", path,
                         (unsigned long long)header);
    json_value *json;
    base_error why = {0};
    if (json_read(&s->memory, (slice){(const char *)s->map.data + PREFIX, header}, &json, &why))
        return error_set(error, FORAGE_E_CORRUPT, "%s: its header: %s", path, why.message);
    if (json->type != JSON_OBJECT) return error_set(error, FORAGE_E_CORRUPT, "%s: its header is no object", path);
    uint64_t data = rest - header;
    s->tensors = mem_alloc((json->count + 1) * sizeof *s->tensors);
    for (const json_value *member = json->first; member; member = member->next) {
        if (slice_is(member->key, "__metadata__")) continue;
        forage_status status = read_tensor(s, member, data, path, error);
        if (status) return status;
        s->tensors[s->n - 1].view.data = s->map.data + PREFIX + header + s->tensors[s->n - 1].begin;
    }
    qsort(s->tensors, s->n, sizeof *s->tensors, by_name);
    return check_places(s, data, path, error);
}

forage_status safetensors_open(const char *path, safetensors **out, base_error *error) {
    safetensors *s = mem_zalloc(1, sizeof *s);
    arena_init(&s->memory, 0);
    forage_status status = os_map_file(path, &s->map, error);
    if (!status) status = read_header(s, path, error);
    if (status) {
        safetensors_close(s);
        return status;
    }
    *out = s;
    return FORAGE_OK;
}

void safetensors_close(safetensors *s) {
    if (!s) return;
    os_unmap(&s->map);
    arena_release(&s->memory);
    free(s->tensors);
    free(s);
}

size_t safetensors_count(const safetensors *s) { return s->n; }

bool safetensors_find(const safetensors *s, slice name, tensor_view *out) {
    named_tensor key = {.name = name};
    const named_tensor *found = s->n ? bsearch(&key, s->tensors, s->n, sizeof key, by_name) : NULL;
    if (found) *out = found->view;
    return found != NULL;
}

/* ---- Values ---- */

static float from_bits(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16. */
static float from_half(uint16_t half) {
    uint32_t sign = (uint32_t)(half >> 15) << 31, exponent = half >> 10 & 31, fraction = half & 1023;
    if (exponent == 31) return from_bits(sign | 0x7f800000u | fraction << 13);
    if (exponent) return from_bits(sign | (exponent + 112) << 23 | fraction << 13);
    float small = (float)fraction * 0x1p-24f;
    return sign ? -small : small;
}

forage_status tensor_to_floats(const tensor_view *t, float *out, base_error *error) {
    const uint8_t *data = t->data;
    switch (t->type) {
    case TENSOR_F32: if (t->n) memcpy(out, data, t->n * sizeof *out); return FORAGE_OK;
    case TENSOR_F16: for (uint64_t i = 0; i < t->n; i++) out[i] = from_half(load_le16(data + 2 * i)); return FORAGE_OK;
    case TENSOR_BF16: for (uint64_t i = 0; i < t->n; i++) out[i] = from_bits((uint32_t)load_le16(data + 2 * i) << 16); return FORAGE_OK;
    case TENSOR_F64:
        for (uint64_t i = 0; i < t->n; i++) {
            double value;
            memcpy(&value, data + 8 * i, sizeof value);
            out[i] = (float)value;
        }
        return FORAGE_OK;
    default: return error_set(error, FORAGE_E_INVALID, "the tensor's values are no floating-point numbers");
    }
}
