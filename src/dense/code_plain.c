/* A plain coder that stands in until the real one is merged: every code keeps float32, cosine ones unit length. */
#include "dense/code.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

struct dense_coder {
    uint32_t dimensions;
    dense_metric metric;
    dense_code code;
};

struct dense_prepared {
    const dense_coder *c;
    float *values;
};

dense_coder *dense_coder_create(uint32_t dimensions, dense_metric metric, dense_code code, const float *sample, size_t n) {
    (void)sample, (void)n;
    dense_coder *c = mem_alloc(sizeof *c);
    *c = (dense_coder){dimensions, metric, code};
    return c;
}

void dense_coder_destroy(dense_coder *c) { free(c); }

void dense_coder_save(const dense_coder *c, buffer *out) {
    uint32_t words[3] = {c->dimensions, c->metric, c->code};
    buffer_append(out, words, sizeof words);
}

forage_status dense_coder_load(slice bytes, dense_coder **out, base_error *error) {
    uint32_t words[3];
    if (bytes.size != sizeof words) return error_set(error, FORAGE_E_CORRUPT, "coder: %zu bytes", bytes.size);
    memcpy(words, bytes.data, sizeof words);
    if (words[0] == 0 || words[0] > DENSE_MOST_DIMENSIONS || words[1] >= DENSE_METRICS || words[2] >= DENSE_CODES)
        return error_set(error, FORAGE_E_CORRUPT, "coder: a value out of range");
    *out = dense_coder_create(words[0], (dense_metric)words[1], (dense_code)words[2], NULL, 0);
    return FORAGE_OK;
}

uint32_t dense_coder_dimensions(const dense_coder *c) { return c->dimensions; }
dense_metric dense_coder_metric(const dense_coder *c) { return c->metric; }
dense_code dense_coder_code(const dense_coder *c) { return c->code; }
size_t dense_coder_bytes(const dense_coder *c) { return c->dimensions * sizeof(float); }

void dense_coder_encode(const dense_coder *c, const float *vector, void *code) {
    float *out = code, sum = 0;
    for (uint32_t i = 0; i < c->dimensions; i++) sum += vector[i] * vector[i];
    float scale = c->metric == DENSE_COSINE && sum > 0 ? 1 / sqrtf(sum) : 1;
    for (uint32_t i = 0; i < c->dimensions; i++) out[i] = vector[i] * scale;
}

static dense_prepared *make(const dense_coder *c, arena *a) {
    dense_prepared *p = arena_alloc(a, sizeof *p);
    *p = (dense_prepared){c, arena_alloc(a, c->dimensions * sizeof(float))};
    return p;
}

dense_prepared *dense_prepare(const dense_coder *c, const float *vector, arena *a) {
    dense_prepared *p = make(c, a);
    dense_prepare_again(p, vector);
    return p;
}

dense_prepared *dense_prepare_code(const dense_coder *c, const void *code, arena *a) {
    dense_prepared *p = make(c, a);
    dense_prepare_code_again(p, code);
    return p;
}

void dense_prepare_again(dense_prepared *p, const float *vector) { dense_coder_encode(p->c, vector, p->values); }
void dense_prepare_code_again(dense_prepared *p, const void *code) {
    memcpy(p->values, code, p->c->dimensions * sizeof(float));
}

typedef float lanes __attribute__((vector_size(32), aligned(4)));

static float dot(const float *a, const float *b, uint32_t n) {
    lanes sum = {0};
    uint32_t i = 0;
    for (; i + 8 <= n; i += 8) sum += *(const lanes *)(const void *)(a + i) * *(const lanes *)(const void *)(b + i);
    float total = 0;
    for (int j = 0; j < 8; j++) total += sum[j];
    for (; i < n; i++) total += a[i] * b[i];
    return total;
}

static float squared(const float *a, const float *b, uint32_t n) {
    float total = 0;
    for (uint32_t i = 0; i < n; i++) total += (a[i] - b[i]) * (a[i] - b[i]);
    return total;
}

static float distance(const dense_coder *c, const float *a, const float *b) {
    if (c->metric == DENSE_L2) return squared(a, b, c->dimensions);
    float product = dot(a, b, c->dimensions);
    return c->metric == DENSE_COSINE ? 1 - product : -product;
}

void dense_distances(const dense_prepared *p, const void *const *codes, size_t n, float *distances) {
    for (size_t i = 0; i < n; i++) distances[i] = distance(p->c, p->values, codes[i]);
}

void dense_scan(const dense_prepared *p, const void *codes, size_t stride, size_t n, float *distances) {
    for (size_t i = 0; i < n; i++) distances[i] = distance(p->c, p->values, (const void *)((const char *)codes + i * stride));
}

float dense_exact(dense_metric metric, const float *a, const float *b, uint32_t dimensions) {
    if (metric == DENSE_L2) return squared(a, b, dimensions);
    float product = dot(a, b, dimensions);
    if (metric == DENSE_DOT) return -product;
    float norm = sqrtf(dot(a, a, dimensions)) * sqrtf(dot(b, b, dimensions));
    return norm > 0 ? 1 - product / norm : 1;
}
