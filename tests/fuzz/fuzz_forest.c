/* Hostile models: forest_read, and forest_load, with the bytes as they are and with their last 8 made the checksum. What is read
 * must score the same by every implementation, explain itself, and come back from its own bytes. */
#include "base/bytes.h"
#include "base/hash.h"
#include "rank/forest.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { ROWS = 70, COLUMNS = 32 };

static void require(bool holds) {
    if (!holds) abort();
}

static void score(const forest *f, const float *x, const char *backend, float *scores) {
    arena scratch;
    arena_init(&scratch, 0);
    if (forest_use(backend, NULL) == FORAGE_OK) forest_score(f, x, ROWS, COLUMNS, &scratch, scores);
    arena_release(&scratch);
}

static void use(const forest *f, bool again) {
    static const char *const backends[] = {"interleaved", "sliced", "avx2"};
    static const float values[] = {0, NAN, 1, -1, INFINITY, -INFINITY, .5f, 1e-36f, 7, 40, 1e30f};
    float x[ROWS * COLUMNS], wanted[ROWS], scores[ROWS];
    if (forest_describe(f).n_columns > COLUMNS) return;
    for (size_t i = 0; i < ROWS * COLUMNS; i++) x[i] = values[(i * 7 + i / COLUMNS) % 11];
    score(f, x, "scalar", wanted);
    for (int b = 0; b < 3; b++) {
        memcpy(scores, wanted, sizeof scores);
        score(f, x, backends[b], scores);
        require(memcmp(scores, wanted, sizeof scores) == 0);
    }
    arena scratch;
    arena_init(&scratch, 0);
    double contributions[COLUMNS + 1];
    forest_shape shape = forest_describe(f);
    if (shape.n_nodes < 2000 && shape.depth < 40) forest_shap(f, x, &scratch, contributions, NULL);
    forest_saabas(f, x, &scratch, contributions, NULL);
    arena_release(&scratch);
    if (!again) return;
    buffer own = {0};
    forest *copy = NULL;
    forest_save(f, &own);
    require(forest_load((slice){own.data, own.size}, &copy, NULL) == FORAGE_OK);
    use(copy, false);
    forest_destroy(copy);
    buffer_release(&own);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    forest *f = NULL;
    if (forest_read((slice){(const char *)data, size}, &f, NULL) == FORAGE_OK) use(f, true);
    forest_destroy(f);
    f = NULL;
    buffer state = {0};
    buffer_append(&state, data, size);
    if (size >= 8) store_le64(state.data + size - 8, hash64(state.data, size - 8, 0));
    if (forest_load((slice){state.data, state.size}, &f, NULL) == FORAGE_OK) use(f, true);
    forest_destroy(f);
    buffer_release(&state);
    return 0;
}
