/* The tables that this build has, for kernel.c, which asks the processor before it hands one out. */
#ifndef KERNEL_KERNEL_TABLES_H
#define KERNEL_KERNEL_TABLES_H

#include "kernel/kernel.h"

/* One list that is this many times longer than the other is searched, not walked. */
enum { KERNEL_GALLOP = 16 };

extern const kernel_table kernel_scalar;

#if defined(__x86_64__)
extern const kernel_table kernel_avx2;   /* needs AVX2, BMI1, BMI2, POPCNT */
extern const kernel_table kernel_avx512; /* needs those and AVX-512 F, BW, DQ, VL, VPOPCNTDQ */
#elif defined(__aarch64__)
extern const kernel_table kernel_neon;
#endif

/* What few[i … n_few) and many[j … n_many) have in common, by a search for each of the few; otherwise as `intersect`. */
uint32_t kernel_search_each(const uint32_t *few, uint32_t i, uint32_t n_few, const uint32_t *many, uint32_t j,
                            uint32_t n_many, uint32_t *at_few, uint32_t *at_many);

#endif
