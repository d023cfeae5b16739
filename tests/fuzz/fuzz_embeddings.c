/* A service's answer may be any bytes. */
#include "encode/remote.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    float out[2 * 3];
    if (remote_read_answer((slice){(const char *)data, size}, 2, 3, out, NULL)) return 0;
    for (int i = 0; i < 6; i++)
        if (!isfinite(out[i])) abort();
    return 0;
}
