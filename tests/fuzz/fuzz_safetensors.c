/* A model's file may be any bytes: what is handed out lies in the file. */
#include "encode/safetensors.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[64];
    safetensors *s;
    tensor_view v;
    snprintf(path, sizeof path, "/tmp/fuzz-safetensors-%ld", (long)getpid());
    if (os_write_file(path, data, size, NULL)) abort();
    if (!safetensors_open(path, &s, NULL)) {
        if (safetensors_find(s, SLICE("a"), &v) && v.n < 1 << 20) {
            float *values = mem_alloc((v.n + 1) * sizeof *values);
            (void)tensor_to_floats(&v, values, NULL);
            free(values);
        }
        safetensors_close(s);
    }
    remove(path);
    return 0;
}
