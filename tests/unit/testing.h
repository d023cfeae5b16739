/* What every unit test needs: cmocka's prerequisites in the right order, temporary folders, and the real data's place. */
#ifndef TESTING_H
#define TESTING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A fresh folder under TMPDIR (or /tmp); the caller removes it with os_remove_tree. Static memory, one at a time. */
static inline const char *testing_folder(void) {
    static char path[512];
    const char *base = getenv("TMPDIR");
    snprintf(path, sizeof path, "%s/forage-test-XXXXXX", base ? base : "/tmp");
    assert_non_null(mkdtemp(path));
    return path;
}

/* Path of a real data file, or NULL after a visible line when FORAGE_DATA is unset or lacks it: then call skip(). */
static inline const char *testing_data(const char *name) {
    static char path[1024];
    const char *base = getenv("FORAGE_DATA");
    if (base) snprintf(path, sizeof path, "%s/%s", base, name);
    if (base && access(path, R_OK) == 0) return path;
    printf("SKIPPED: needs %s in the folder named by FORAGE_DATA\n", name);
    return NULL;
}

#define assert_ok(call) assert_int_equal((call), FORAGE_OK)

#endif
