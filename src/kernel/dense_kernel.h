/* The inner loops of dense/: products of vectors, as floats and as codes.
 *
 * Integer products are exact and the same everywhere. Float sums run in sixteen lanes that are added pairwise at the end, so that
 * scalar and AVX2 agree to the bit; where the compiler contracts a multiplication and an addition (AArch64) the last bits differ.
 *
 * Queries lie in groups of KERNEL_GROUP dimensions, the last one filled up with zeros. Many codes are compared at once: `codes` are
 * addresses, `skip` the bytes before dimension 0. Nothing behind a code is read. Threads: any. */
#ifndef KERNEL_DENSE_KERNEL_H
#define KERNEL_DENSE_KERNEL_H

#include <stddef.h>
#include <stdint.h>

#define KERNEL_GROUP 32u

typedef struct dense_kernel_table {
    float (*dot)(const float *a, const float *b, uint32_t n);
    float (*squared_distance)(const float *a, const float *b, uint32_t n);
    float (*dot_and_square)(const float *a, const float *b, uint32_t n, float *square); /* and Σ b · b */
    /* out[i] = Σ query · code; both −127 … 127. Of a code `bytes` are read: a multiple of 4. */
    void (*dots_int8)(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t bytes, int32_t *out);
    /* Codes 0 … 15: byte j of a group's 16 has dimension j in its lower half and 16 + j in its upper. */
    void (*dots_int4)(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t groups, int32_t *out);
    /* Codes 0 or 1: bit j of a group's little-endian word is dimension j. */
    void (*dots_bit)(const int8_t *query, const void *const *codes, size_t skip, size_t n, uint32_t groups, int32_t *out);
} dense_kernel_table;

extern const dense_kernel_table dense_kernel_scalar, dense_kernel_avx2;

/* The best for this processor; FORAGE_KERNEL=scalar asks for plain C. */
const dense_kernel_table *dense_kernels(void);

#endif
