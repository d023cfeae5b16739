/* Every kernel of every table that this processor can run gives what an oracle gives; and the choice between them. */
#include "testing.h"

#include "base/log.h"
#include "kernel_checks.h"

#include <sys/wait.h>

static const char *const names[] = {"scalar", "avx2", "avx512", "neon"};
enum { N_NAMES = sizeof names / sizeof *names };

static void test_check(void **state) {
    const struct kernel_check *check = *state;
    for (unsigned i = 0; i < N_NAMES; i++) {
        const kernel_table *k = kernels_named(names[i]);
        if (!k) continue;
        random_source r;
        for (uint64_t seed = 1; seed <= 2; seed++) {
            random_seed(&r, seed);
            assert_true(check->check(k, &r));
        }
    }
}

static void test_names(void **state) {
    (void)state;
    assert_non_null(kernels_named("scalar"));
    for (unsigned i = 0; i < N_NAMES; i++) {
        const kernel_table *k = kernels_named(names[i]);
        if (k) assert_string_equal(k->name, names[i]);
    }
    assert_null(kernels_named(""));
    assert_null(kernels_named("AVX2"));
    assert_ptr_equal(kernels(), kernels());
}

/* The name that a fresh process chooses with `wanted` in its environment: the choice is made once, so in a child. */
static void chosen(const char *wanted, char name[16]) {
    int ends[2], status;
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        log_set_level(LOG_SILENT);
        bool set = wanted ? setenv("FORAGE_KERNEL", wanted, 1) == 0 : unsetenv("FORAGE_KERNEL") == 0;
        const char *found = kernels()->name;
        _exit(set && write(ends[1], found, strlen(found)) > 0 ? 0 : 1);
    }
    memset(name, 0, 16);
    assert_true(read(ends[0], name, 15) > 0);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    close(ends[0]);
    close(ends[1]);
}

static void test_environment(void **state) {
    (void)state;
    char best[16], name[16];
    chosen(NULL, best);
    for (unsigned i = 0; i < N_NAMES; i++) {
        chosen(names[i], name);
        assert_string_equal(name, kernels_named(names[i]) ? names[i] : best);
    }
    chosen("abacus", name);
    assert_string_equal(name, best);
    chosen("", name);
    assert_string_equal(name, best);
    if (kernels_named("avx2") || kernels_named("neon")) assert_string_not_equal(best, "scalar");
}

int main(void) {
    struct CMUnitTest tests[2 + N_KERNEL_CHECKS] = {
        cmocka_unit_test(test_environment), /* first: before this process has chosen */
        cmocka_unit_test(test_names),
    };
    for (unsigned c = 0; c < N_KERNEL_CHECKS; c++) {
        tests[2 + c] = (struct CMUnitTest){kernel_checks[c].name, test_check, NULL, NULL, (void *)(uintptr_t)&kernel_checks[c]};
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
