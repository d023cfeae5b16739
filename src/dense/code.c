/* Four kinds of codes behind one interface.
 *
 * int8: a scale for each vector, v ≈ scale · c. int4: a least value and a step, v ≈ low + step · c. bit: the signs of the vector after
 * a random rotation (signs and Hadamard transforms) with the factor that makes the estimate of a product unbiased (Gao & Long,
 * RaBitQ, 2024). The query is rounded to 8 bits for all of them. */
#include "dense/code.h"

#include "base/bytes.h"
#include "base/random.h"
#include "kernel/dense_kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x32434456u /* "VDC2" */
#define ROTATION_SEED 0x5ee0f5u
#define ROUNDS 3

/* What comes before the packed values. */
typedef struct code_head {
    float scale;  /* see above; bit: the factor */
    float square; /* of the vector's length; int8: not kept but for L2 */
    float low;    /* int4 */
} code_head;

struct dense_coder {
    uint32_t dimensions, padded, groups; /* padded: of the rotated vector, or filled up to whole groups */
    dense_metric metric;
    dense_code code;
    size_t bytes, head; /* head: of code_head, that many are kept */
    uint32_t values;    /* bytes behind the head */
    uint8_t *flips; /* of the rotation: ROUNDS × padded */
    const dense_kernel_table *kernel;
};

struct dense_prepared {
    const dense_coder *coder;
    float *values;   /* dimensions (float32) or padded */
    int8_t *rounded; /* padded */
    float scale, square;
    int32_t sum;     /* of rounded */
};

static uint32_t power_above(uint32_t n) {
    uint32_t p = KERNEL_GROUP;
    while (p < n) p *= 2;
    return p;
}

static bool known(uint32_t dimensions, uint32_t metric, uint32_t code) {
    return dimensions >= 1 && dimensions <= DENSE_MOST_DIMENSIONS && metric < DENSE_METRICS && code < DENSE_CODES;
}

static dense_coder *make(uint32_t dimensions, dense_metric metric, dense_code code) {
    dense_coder *c = mem_zalloc(1, sizeof *c);
    uint32_t whole = (dimensions + KERNEL_GROUP - 1) / KERNEL_GROUP * KERNEL_GROUP;
    c->dimensions = dimensions;
    c->metric = metric;
    c->code = code;
    c->padded = code == DENSE_BIT ? power_above(dimensions) : whole;
    c->groups = c->padded / KERNEL_GROUP;
    c->kernel = dense_kernels();
    c->head = code == DENSE_FLOAT32 ? 0 : code == DENSE_INT8 ? (metric == DENSE_L2 ? 2 : 1) * sizeof(float) : sizeof(code_head);
    c->values = code == DENSE_FLOAT32 ? dimensions * (uint32_t)sizeof(float)
                : code == DENSE_INT8  ? (dimensions + 3) / 4 * 4
                : code == DENSE_INT4  ? c->padded / 2
                                      : c->padded / 8;
    c->bytes = c->head + c->values;
    if (code != DENSE_BIT) return c;
    random_source r;
    random_seed(&r, ROTATION_SEED);
    c->flips = mem_alloc((size_t)ROUNDS * c->padded);
    for (size_t i = 0; i < (size_t)ROUNDS * c->padded; i++) c->flips[i] = (uint8_t)random_below(&r, 2);
    return c;
}

dense_coder *dense_coder_create(uint32_t dimensions, dense_metric metric, dense_code code, const float *sample, size_t n) {
    (void)sample; /* every vector has ranges of its own */
    (void)n;
    return make(dimensions, metric, code);
}

void dense_coder_destroy(dense_coder *c) {
    if (!c) return;
    free(c->flips);
    free(c);
}

void dense_coder_save(const dense_coder *c, buffer *out) {
    put_u32(out, MAGIC);
    put_u32(out, c->dimensions);
    put_u8(out, (uint8_t)c->metric);
    put_u8(out, (uint8_t)c->code);
}

forage_status dense_coder_load(slice bytes, dense_coder **out, base_error *error) {
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    uint32_t magic = read_u32(&in), dimensions = read_u32(&in);
    uint8_t metric = read_u8(&in), code = read_u8(&in);
    if (in.failed || read_left(&in) || magic != MAGIC || !known(dimensions, metric, code))
        return error_set(error, FORAGE_E_CORRUPT, "the coder of a dense index is damaged");
    *out = make(dimensions, (dense_metric)metric, (dense_code)code);
    return FORAGE_OK;
}

uint32_t dense_coder_dimensions(const dense_coder *c) { return c->dimensions; }
dense_metric dense_coder_metric(const dense_coder *c) { return c->metric; }
dense_code dense_coder_code(const dense_coder *c) { return c->code; }
size_t dense_coder_bytes(const dense_coder *c) { return c->bytes; }

/* ---- Into the space of the codes ---- */

static void hadamard(float *v, uint32_t n) {
    for (uint32_t half = 1; half < n; half *= 2)
        for (uint32_t i = 0; i < n; i += 2 * half)
            for (uint32_t j = i; j < i + half; j++) {
                float a = v[j], b = v[j + half];
                v[j] = a + b;
                v[j + half] = a - b;
            }
    float by = 1 / sqrtf((float)n);
    for (uint32_t i = 0; i < n; i++) v[i] *= by;
}

/* To unit length for cosine, filled up with zeros, rotated for bits. Returns the squared length. */
static float transform(const dense_coder *c, const float *vector, float *out) {
    float square = c->kernel->dot(vector, vector, c->dimensions), by = 1;
    if (c->metric == DENSE_COSINE && square > 0) {
        by = 1 / sqrtf(square);
        if (!isfinite(by) || !isfinite(square)) { /* the square leaves the range of floats before the vector does */
            double exact = 0;
            for (uint32_t i = 0; i < c->dimensions; i++) exact += (double)vector[i] * vector[i];
            for (uint32_t i = 0; i < c->dimensions; i++) out[i] = (float)(vector[i] / sqrt(exact));
            by = 0;
        }
        square = 1;
    }
    for (uint32_t i = 0; by != 0 && i < c->dimensions; i++) out[i] = vector[i] * by;
    if (c->code == DENSE_FLOAT32) return square;
    memset(out + c->dimensions, 0, (c->padded - c->dimensions) * sizeof *out);
    for (uint32_t round = 0; c->code == DENSE_BIT && round < ROUNDS; round++) {
        const uint8_t *flips = c->flips + (size_t)round * c->padded;
        for (uint32_t i = 0; i < c->padded; i++) out[i] = flips[i] ? -out[i] : out[i];
        hadamard(out, c->padded);
    }
    return square;
}

/* ---- Encoding ---- */

static float largest(const float *v, uint32_t n) {
    float most = 0;
    for (uint32_t i = 0; i < n; i++) most = fabsf(v[i]) > most ? fabsf(v[i]) : most;
    return most;
}

static float round_int8(const float *v, uint32_t n, int8_t *out) {
    float most = largest(v, n), by = most > 0 ? 127 / most : 0;
    if (!isfinite(by)) by = 0;
    for (uint32_t i = 0; i < n; i++) {
        float x = v[i] * by;
        out[i] = (int8_t)(int32_t)(x + copysignf(0.5f, x));
    }
    return by > 0 ? most / 127 : 0;
}

static void encode_int4(const dense_coder *c, const float *v, code_head *head, uint8_t *out) {
    float low = v[0], high = v[0];
    for (uint32_t i = 1; i < c->dimensions; i++) {
        low = fminf(low, v[i]);
        high = fmaxf(high, v[i]);
    }
    float step = (high - low) / 15, by = step > 0 ? 1 / step : 0;
    if (!isfinite(by)) by = step = 0;
    head->low = low;
    head->scale = step;
    memset(out, 0, c->padded / 2);
    for (uint32_t i = 0; i < c->dimensions; i++) {
        uint32_t value = (uint32_t)lrintf(fminf(15, (v[i] - low) * by)), g = i / KERNEL_GROUP, j = i % KERNEL_GROUP;
        out[g * 16 + j % 16] |= (uint8_t)(value << (j < 16 ? 0 : 4));
    }
}

static void encode_bits(const dense_coder *c, const float *v, code_head *head, uint8_t *out) {
    float sum = 0;
    memset(out, 0, c->padded / 8);
    for (uint32_t i = 0; i < c->padded; i++) {
        sum += fabsf(v[i]);
        if (v[i] > 0) out[i / 8] |= (uint8_t)(1u << i % 8);
    }
    head->low = 0;
    head->scale = sum > 0 ? head->square / sum : 0; /* ⟨v, v⟩ / ⟨signs, v⟩ */
}

void dense_coder_encode(const dense_coder *c, const float *vector, void *code) {
    float stack[2 * DENSE_MOST_DIMENSIONS];
    float square = transform(c, vector, stack);
    if (c->code == DENSE_FLOAT32) {
        memcpy(code, stack, c->bytes);
        return;
    }
    code_head head = {.square = square};
    uint8_t *values = (uint8_t *)code + c->head;
    if (c->code == DENSE_INT8) head.scale = round_int8(stack, c->values, (int8_t *)values);
    else if (c->code == DENSE_INT4) encode_int4(c, stack, &head, values);
    else encode_bits(c, stack, &head, values);
    memcpy(code, &head, c->head);
}

/* ---- Queries ---- */

static void sum_up(dense_prepared *p) {
    int32_t sum = 0;
    for (uint32_t i = 0; i < p->coder->padded; i++) sum += p->rounded[i];
    p->sum = sum;
}

void dense_prepare_again(dense_prepared *p, const float *vector) {
    const dense_coder *c = p->coder;
    p->square = transform(c, vector, p->values);
    if (c->code == DENSE_FLOAT32) return;
    p->scale = round_int8(p->values, c->padded, p->rounded);
    if (c->code != DENSE_INT8) sum_up(p);
}

/* Where the head does not say, it was made from a vector of length 1 (cosine), or nobody asks (dot). */
static code_head head_of(const dense_coder *c, const void *code) {
    code_head head = {0, 1, 0};
    memcpy(&head, code, c->head);
    return head;
}

/* Bits give the signs only: as long as the estimate says. */
void dense_prepare_code_again(dense_prepared *p, const void *code) {
    const dense_coder *c = p->coder;
    if (c->code == DENSE_FLOAT32) {
        memcpy(p->values, code, c->bytes);
        p->square = c->metric == DENSE_COSINE ? 1 : c->kernel->dot(p->values, p->values, c->dimensions);
        return;
    }
    code_head head = head_of(c, code);
    const uint8_t *values = (const uint8_t *)code + c->head;
    p->square = head.square;
    if (c->code == DENSE_INT8) { /* rounded already; what is behind the values stays 0 */
        p->scale = head.scale;
        memcpy(p->rounded, values, c->values);
        return;
    }
    for (uint32_t i = 0; i < c->padded; i++) {
        uint32_t g = i / KERNEL_GROUP, j = i % KERNEL_GROUP;
        if (c->code == DENSE_INT4) {
            uint32_t nibble = values[g * 16 + j % 16] >> (j < 16 ? 0 : 4) & 15;
            p->values[i] = i < c->dimensions ? head.low + head.scale * (float)nibble : 0;
        } else {
            p->values[i] = values[i / 8] >> i % 8 & 1 ? head.scale : -head.scale;
        }
    }
    p->scale = round_int8(p->values, c->padded, p->rounded);
    sum_up(p);
}

static dense_prepared *prepared(const dense_coder *c, arena *a) {
    dense_prepared *p = arena_zalloc(a, 1, sizeof *p);
    p->coder = c;
    p->values = arena_alloc(a, (size_t)(c->padded > c->dimensions ? c->padded : c->dimensions) * sizeof *p->values);
    p->rounded = arena_zalloc(a, c->padded, 1);
    return p;
}

dense_prepared *dense_prepare(const dense_coder *c, const float *vector, arena *a) {
    dense_prepared *p = prepared(c, a);
    dense_prepare_again(p, vector);
    return p;
}

dense_prepared *dense_prepare_code(const dense_coder *c, const void *code, arena *a) {
    dense_prepared *p = prepared(c, a);
    dense_prepare_code_again(p, code);
    return p;
}

/* ---- Distances ---- */

static float distance_of(const dense_prepared *p, float product, float square) {
    switch (p->coder->metric) {
    case DENSE_COSINE: return 1 - product;
    case DENSE_DOT: return -product;
    default: return p->square + square - 2 * product;
    }
}

static void compare_floats(const dense_prepared *p, const void *const *codes, size_t n, float *distances) {
    const dense_coder *c = p->coder;
    for (size_t i = 0; i < n; i++) {
        const float *code = codes[i];
        distances[i] = c->metric == DENSE_L2 ? c->kernel->squared_distance(p->values, code, c->dimensions)
                                             : distance_of(p, c->kernel->dot(p->values, code, c->dimensions), 0);
    }
}

#define AT_ONCE 64u

static void finish_int8(const dense_prepared *p, const void *const *codes, size_t n, const int32_t *sums, float *distances) {
    if (p->coder->metric == DENSE_L2) {
        for (size_t i = 0; i < n; i++) {
            code_head head = head_of(p->coder, codes[i]);
            distances[i] = p->square + head.square - 2 * p->scale * head.scale * (float)sums[i];
        }
        return;
    }
    float one = p->coder->metric == DENSE_COSINE ? 1 : 0;
    for (size_t i = 0; i < n; i++) {
        float scale;
        memcpy(&scale, codes[i], sizeof scale);
        distances[i] = one - p->scale * scale * (float)sums[i];
    }
}

void dense_distances(const dense_prepared *p, const void *const *codes, size_t n, float *distances) {
    const dense_coder *c = p->coder;
    if (c->code == DENSE_FLOAT32) {
        compare_floats(p, codes, n, distances);
        return;
    }
    int32_t sums[AT_ONCE];
    for (size_t from = 0; from < n; from += AT_ONCE) {
        size_t m = n - from < AT_ONCE ? n - from : AT_ONCE;
        if (c->code == DENSE_INT8) {
            c->kernel->dots_int8(p->rounded, codes + from, c->head, m, c->values, sums);
            finish_int8(p, codes + from, m, sums, distances + from);
            continue;
        }
        if (c->code == DENSE_INT4) c->kernel->dots_int4(p->rounded, codes + from, c->head, m, c->groups, sums);
        else c->kernel->dots_bit(p->rounded, codes + from, c->head, m, c->groups, sums);
        for (size_t i = 0; i < m; i++) {
            code_head head = head_of(c, codes[from + i]);
            float sum = c->code == DENSE_BIT ? (float)(2 * sums[i] - p->sum) : (float)sums[i];
            distances[from + i] = distance_of(p, p->scale * (head.low * (float)p->sum + head.scale * sum), head.square);
        }
    }
}

void dense_scan(const dense_prepared *p, const void *codes, size_t stride, size_t n, float *distances) {
    const void *addresses[AT_ONCE];
    for (size_t from = 0; from < n; from += AT_ONCE) {
        size_t m = n - from < AT_ONCE ? n - from : AT_ONCE;
        for (size_t i = 0; i < m; i++) addresses[i] = (const char *)codes + (from + i) * stride;
        dense_distances(p, addresses, m, distances + from);
    }
}

/* Both sides are rounded to steps of about the query's, which add a uniform error to each coordinate of the other. */
float dense_rounding(const dense_prepared *p) {
    if (p->coder->code == DENSE_FLOAT32) return 0;
    if (p->coder->code != DENSE_INT8) return INFINITY;
    float product = p->scale * sqrtf(p->square / 6);
    return p->coder->metric == DENSE_L2 ? 2 * product : product;
}

double dense_inverse_length(const float *v, uint32_t dimensions) {
    double square = (double)dense_kernels()->dot(v, v, dimensions);
    if (!(square > 1e-30 && square < 1e30)) { /* it may leave the range of floats before the vector does */
        square = 0;
        for (uint32_t i = 0; i < dimensions; i++) square += (double)v[i] * v[i];
    }
    return square > 0 ? 1 / sqrt(square) : 0;
}

float dense_exact_from(dense_metric metric, const float *query, double inverse_length, const float *v, uint32_t dimensions) {
    const dense_kernel_table *k = dense_kernels();
    if (metric == DENSE_L2) return k->squared_distance(query, v, dimensions);
    if (metric == DENSE_DOT) return -k->dot(query, v, dimensions);
    float square, product = k->dot_and_square(query, v, dimensions, &square);
    if (square > 1e-30f && square < 1e30f && inverse_length > 1e-15 && inverse_length < 1e15)
        return 1 - (float)(product * inverse_length / sqrt((double)square));
    double exact = 0, x = dense_inverse_length(v, dimensions);
    for (uint32_t i = 0; i < dimensions; i++) exact += (double)query[i] * v[i];
    return (float)(1 - exact * inverse_length * x);
}

float dense_exact(dense_metric metric, const float *a, const float *b, uint32_t dimensions) {
    return dense_exact_from(metric, a, metric == DENSE_COSINE ? dense_inverse_length(a, dimensions) : 1, b, dimensions);
}
