/* Runs a fuzz target over files: what libFuzzer found or was seeded with stays tested where there is no libFuzzer.
 *
 *     fuzz_json seeds/json [FILE-OR-FOLDER …]
 *
 * The name of each input is printed before it runs, so that the last line names the one that crashed. */
#include <dirent.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int passed, failed;

static void fail(const char *path) {
    printf("%s: %s\n", path, strerror(errno));
    failed++;
}

/* The bytes get a block of their own exact size: a read past their end is then one that AddressSanitizer sees. */
static void replay_file(const char *path, size_t size) {
    uint8_t *bytes = malloc(size ? size : 1);
    FILE *file = fopen(path, "rb");
    if (!bytes || !file || fread(bytes, 1, size, file) != size) {
        fail(path);
    } else {
        printf("%s (%zu bytes)\n", path, size);
        fflush(stdout);
        LLVMFuzzerTestOneInput(bytes, size);
        passed++;
    }
    if (file) fclose(file);
    free(bytes);
}

static int visible(const struct dirent *entry) { return entry->d_name[0] != '.'; }

static void replay(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) {
        fail(path);
    } else if (!S_ISDIR(info.st_mode)) {
        replay_file(path, (size_t)info.st_size);
    } else {
        struct dirent **entries = NULL;
        int count = scandir(path, &entries, visible, alphasort);
        if (count < 0) fail(path);
        for (int i = 0; i < count; i++) {
            char inner[4096];
            snprintf(inner, sizeof inner, "%s/%s", path, entries[i]->d_name);
            replay(inner);
            free(entries[i]);
        }
        free(entries);
    }
}

int main(int argc, char **argv) {
    static const uint8_t nothing;
    LLVMFuzzerTestOneInput(&nothing, 0);
    for (int i = 1; i < argc; i++) replay(argv[i]);
    printf("%d passed, %d failed\n", passed, failed);
    return failed || passed == 0;
}
