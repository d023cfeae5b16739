/* An image made of any bytes is refused or safe to search, change and save. Checksums are made to match first, so that what
 * they would hide is reached too; the bytes as they are come second. */
#include "dense/dense_impl.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(dense_index *index) {
    const float vector[4] = {1, 2, -3, 0.5f};
    dense_hit hits[5];
    arena a;
    arena_init(&a, 0);
    dense_search(index, vector, 5, 10, NULL, &a, hits);
    dense_search_exact(index, vector, 5, NULL, &a, hits);
    dense_index_check(index, NULL);
    dense_index_add(index, 3, UINT64_MAX, vector, NULL);
    dense_index_remove(index, 2);
    dense_search(index, vector, 5, 10, NULL, &a, hits);
    arena_release(&a);
}

static void try_open(const char *path, const uint8_t *data, size_t size) {
    const dense_config config = {.dimensions = 4, .metric = DENSE_L2, .code = DENSE_INT8, .M = 4, .graph_at = 20};
    dense_index *index = NULL;
    FILE *file = fopen(path, "wb"); /* nothing is to outlive a crash: no sync */
    if (!file || fwrite(data, 1, size, file) != size || fclose(file) != 0) abort();
    if (dense_index_open(NULL, path, &config, &index, NULL) < 0) return;
    use(index);
    dense_index_close(index);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    snprintf(path, sizeof path, "/tmp/fuzz-dense-%ld", (long)getpid());
    uint8_t *sealed = malloc(size + 1);
    memcpy(sealed, data, size);
    dense_image_seal(sealed, size);
    try_open(path, sealed, size);
    try_open(path, data, size);
    free(sealed);
    remove(path);
    return 0;
}
