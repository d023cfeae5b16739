/* Which table? The processor is asked once; the answer is kept in one atomic pointer. Two threads that ask first at the
 * same time find the same answer, so neither waits. */
#include "kernel/kernel_tables.h"

#include "base/log.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
/* These builtins also ask whether the operating system saves the registers. */
static bool has_avx2(void) {
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi") && __builtin_cpu_supports("bmi2") &&
           __builtin_cpu_supports("popcnt");
}

static bool has_avx512(void) {
    return has_avx2() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
           __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512vpopcntdq");
}
#endif

static bool always(void) { return true; }

/* Best first. */
static const struct {
    const kernel_table *table;
    bool (*supported)(void);
} built[] = {
#if defined(__x86_64__)
    {&kernel_avx512, has_avx512},
    {&kernel_avx2, has_avx2},
#elif defined(__aarch64__)
    {&kernel_neon, always},
#endif
    {&kernel_scalar, always},
};
enum { N_BUILT = sizeof built / sizeof *built };

const kernel_table *kernels_named(const char *name) {
    for (unsigned i = 0; i < N_BUILT; i++) {
        if (strcmp(built[i].table->name, name) == 0) return built[i].supported() ? built[i].table : NULL;
    }
    return NULL;
}

static const kernel_table *choose(void) {
    const char *name = getenv("FORAGE_KERNEL");
    const kernel_table *wanted = name && *name ? kernels_named(name) : NULL;
    if (wanted) return wanted;
    unsigned best = 0;
    while (!built[best].supported()) best++;
    if (name && *name) {
        log_warn("FORAGE_KERNEL=%s: this processor or build has no such kernels; using %s", name,
                 built[best].table->name);
    }
    return built[best].table;
}

const kernel_table *kernels(void) {
    static _Atomic(const kernel_table *) chosen;
    const kernel_table *table = atomic_load_explicit(&chosen, memory_order_relaxed);
    if (!table) {
        table = choose();
        atomic_store_explicit(&chosen, table, memory_order_relaxed);
    }
    return table;
}
