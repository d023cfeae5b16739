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

#endif
