/* The checks of tests/unit/kernel_checks.h without cmocka, for an emulated processor: check_kernels NAME. 0: all well. */
#include "../unit/kernel_checks.h"

int main(int argc, char **argv) {
    const kernel_table *k = argc == 2 ? kernels_named(argv[1]) : NULL;
    if (!k) {
        fprintf(stderr, "check_kernels: this build and processor have no kernels of that name\n");
        return 2;
    }
    int failed = 0;
    for (unsigned c = 0; c < N_KERNEL_CHECKS; c++) {
        random_source r;
        random_seed(&r, 4000 + c);
        failed += !kernel_checks[c].check(k, &r);
    }
    printf("%s: %u passed, %d failed\n", k->name, N_KERNEL_CHECKS - (unsigned)failed, failed);
    return failed != 0;
}
