/* Plain C, and which table. */
#include "kernel/dense_kernel.h"

#include "kernel/kernel.h"

#include <string.h>

enum { LANES = 16 };

static float add_lanes(const float *l) {
    float f[8];
    for (uint32_t i = 0; i < 8; i++) f[i] = l[i] + l[i + 8];
    return ((f[0] + f[4]) + (f[2] + f[6])) + ((f[1] + f[5]) + (f[3] + f[7]));
}

static float dot(const float *a, const float *b, uint32_t n) {
    float lanes[LANES] = {0};
    for (uint32_t i = 0; i < n; i++) lanes[i % LANES] += a[i] * b[i];
    return add_lanes(lanes);
}

static float squared_distance(const float *a, const float *b, uint32_t n) {
    float lanes[LANES] = {0};
    for (uint32_t i = 0; i < n; i++) {
        float d = a[i] - b[i];
        lanes[i % LANES] += d * d;
    }
    return add_lanes(lanes);
}

static float dot_and_square(const float *a, const float *b, uint32_t n, float *square) {
    *square = dot(b, b, n);
    return dot(a, b, n);
}

static void dots_int8(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t bytes, int32_t *out) {
    for (size_t c = 0; c < n; c++) {
        const int8_t *code = (const int8_t *)codes[c] + skip;
        int32_t sum = 0;
        for (uint32_t i = 0; i < bytes; i++) sum += query[i] * code[i];
        out[c] = sum;
    }
}

static void dots_int4(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t groups, int32_t *out) {
    for (size_t c = 0; c < n; c++) {
        const uint8_t *code = (const uint8_t *)codes[c] + skip;
        int32_t sum = 0;
        for (uint32_t g = 0; g < groups; g++, code += 16)
            for (uint32_t j = 0; j < 16; j++)
                sum += query[g * KERNEL_GROUP + j] * (code[j] & 15) + query[g * KERNEL_GROUP + 16 + j] * (code[j] >> 4);
        out[c] = sum;
    }
}

static void dots_bit(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t groups, int32_t *out) {
    for (size_t c = 0; c < n; c++) {
        const uint8_t *code = (const uint8_t *)codes[c] + skip;
        int32_t sum = 0;
        for (uint32_t i = 0; i < groups * KERNEL_GROUP; i++) sum += code[i / 8] >> i % 8 & 1 ? query[i] : 0;
        out[c] = sum;
    }
}

const dense_kernel_table dense_kernel_scalar = {dot, squared_distance, dot_and_square, dots_int8, dots_int4, dots_bit};

const dense_kernel_table *dense_kernels(void) {
#if defined(__x86_64__)
    if (strcmp(kernels()->name, "scalar") != 0) return &dense_kernel_avx2; /* AVX-512 machines have it, too */
#endif
    return &dense_kernel_scalar;
}
