/* The index manifest: any bytes, as they are and with the hash made to match. */
#include "base/bytes.h"
#include "base/hash.h"
#include "sparse/index_impl.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_manifest(const void *data, size_t size) {
    index_stored stored = {0};
    base_error error;
    if (index_manifest_decode((slice){data, size}, &stored, &error) == FORAGE_OK)
        for (size_t i = 0; i < stored.n_files; i++) /* every file that is counted can be read */
            if (stored.files[i].number != load_le64((const char *)data + 24 + 40 * i)) abort();
    index_stored_release(&stored);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    try_manifest(data, size);
    if (size < 8) return 0;
    uint8_t *sealed = malloc(size);
    if (!sealed) return 0;
    memcpy(sealed, data, size);
    store_le64(sealed + size - 8, hash64(sealed, size - 8, 0));
    try_manifest(sealed, size);
    free(sealed);
    return 0;
}
