/* What the AVX2 files share, and what the AVX-512 table takes from them. Only for files compiled with AVX2. */
#ifndef KERNEL_KERNEL_AVX2_H
#define KERNEL_KERNEL_AVX2_H

#include "kernel/kernel.h"

#include <immintrin.h>

#define INLINE static inline __attribute__((always_inline))

typedef __m256i eight; /* 32-bit lanes */

INLINE eight load8(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE void store8(void *p, eight v) { _mm256_storeu_si256((__m256i *)p, v); }

/* Eight bytes as eight lanes. */
INLINE eight widen8(const void *p) { return _mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)p)); }

void kernel_avx2_unpack(const uint8_t *in, unsigned bits, uint32_t values[KERNEL_BLOCK]);
void kernel_avx2_unpack_gaps(const uint8_t *in, unsigned bits, uint32_t base, uint32_t places[KERNEL_BLOCK]);
void kernel_avx2_sum_gaps(uint32_t *values, uint32_t n, uint32_t base);
void kernel_avx2_add_impacts(uint32_t *sums, uint32_t mask, const uint32_t *places, const uint8_t *impacts, uint32_t n,
                             uint32_t units);
void kernel_avx2_max_groups(const uint32_t *values, uint32_t n, uint32_t *maxima);
uint32_t kernel_avx2_list_at_least(const uint32_t *values, uint32_t n, uint32_t least, uint32_t *out);
uint32_t kernel_avx2_intersect(const uint32_t *a, uint32_t na, const uint32_t *b, uint32_t nb, uint32_t *at_a,
                               uint32_t *at_b);
uint32_t kernel_avx2_first_from(const uint32_t *values, uint32_t n, uint32_t value);

#endif
