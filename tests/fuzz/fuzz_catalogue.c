/* A model file of the catalogue's encoder made of any bytes is refused or safe to encode with. As the trailing checksum would hide
 * all else, it is made to match: of the bytes, and of the bytes with an empty table of n-grams behind them, which alone is larger than
 * a fuzzer's inputs. */
#include "encode/catalogue_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(encoder *e) {
    static const slice texts[] = {SLICE("engine wheel road"), SLICE("onion soup\nsalt, and pepper"), SLICE(""),
                                  SLICE("\xc3\xa4\xc3\xb6 \xe4\xb8\xad\xe6\x96\x87")};
    enum { N = sizeof texts / sizeof *texts };
    float *out = calloc((size_t)N * e->dimensions, sizeof *out);
    for (int side = 0; side < 2; side++) {
        if (encoder_encode(e, side ? ENCODE_DOCUMENT : ENCODE_QUERY, texts, N, INT64_MAX, out, NULL)) abort();
        for (size_t i = 0; i < N; i++) {
            double square = 0;
            for (uint32_t d = 0; d < e->dimensions; d++) square += (double)out[i * e->dimensions + d] * (double)out[i * e->dimensions + d];
            if (!(square < 1e-6 || fabs(square - 1) < 1e-3)) abort(); /* nothing, or a direction */
        }
    }
    if (!e->version || catalogue_terms(e) > UINT32_MAX) abort();
    free(out);
}

static void try_read(const uint8_t *data, size_t size) {
    encoder *e;
    if (catalogue_read((slice){(const char *)data, size}, &e, NULL)) return;
    use(e);
    encoder_destroy(e);
}

static void seal(uint8_t *data, size_t size) {
    uint64_t sum = hash64(data, size - 8, CATALOGUE_SEED);
    for (int i = 0; i < 8; i++) data[size - 8 + (size_t)i] = (uint8_t)(sum >> 8 * i);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_read(data, size);
    uint32_t dimensions = 0, buckets = CATALOGUE_BUCKETS;
    if (size >= 8) memcpy(&dimensions, data + 4, 4);
    if (dimensions > 64) dimensions = 64; /* more is the same, slower */
    size_t table = 4 + (size_t)CATALOGUE_BUCKETS * (4 + dimensions);
    uint8_t *file = calloc(1, size + table + 8);
    if (size) memcpy(file, data, size);
    seal(file, size + 8);
    try_read(file, size + 8);
    memcpy(file + size, &buckets, 4);
    memset(file + size + 4 + 4 * CATALOGUE_BUCKETS, 3, (size_t)CATALOGUE_BUCKETS * dimensions);
    for (size_t i = 0; i < CATALOGUE_BUCKETS; i++) memcpy(file + size + 4 + 4 * i, &(float){0.01f}, 4);
    seal(file, size + table + 8);
    try_read(file, size + table + 8);
    free(file);
    return 0;
}
