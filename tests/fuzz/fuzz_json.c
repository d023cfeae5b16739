/* JSON: whatever the reader accepts, the writer writes so that it is read back as the same value. */
#include "format/json.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static buffer written(const json_value *v) {
    buffer b = {0};
    json_writer w = json_writer_of(&b);
    json_value_write(&w, v);
    return b;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    arena a;
    arena_init(&a, 4096);
    json_value *first = NULL, *second = NULL;
    base_error error;
    if (json_read(&a, (slice){(const char *)data, size}, &first, &error) == FORAGE_OK) {
        buffer once = written(first);
        if (json_read(&a, (slice){once.data, once.size}, &second, &error)) abort();
        buffer twice = written(second);
        if (!slice_equal((slice){once.data, once.size}, (slice){twice.data, twice.size})) abort();
        for (const json_value *v = first->first; v; v = v->next) (void)json_quote(&a, v);
        buffer_release(&once);
        buffer_release(&twice);
    }
    arena_release(&a);
    return 0;
}
