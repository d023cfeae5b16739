/* Records: the first byte chooses the format and the size of the pieces the rest arrives in. The same records and
 * errors must come out whether it arrives in pieces or at once, and of tables nothing but valid JSON. */
#include "format/json.h"
#include "format/records.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct pieces {
    slice left;
    size_t step;
} pieces;

static forage_status next_piece(void *self, void *data, size_t size, size_t *got, base_error *error) {
    (void)error;
    pieces *p = self;
    *got = p->left.size < p->step ? p->left.size : p->step;
    if (*got > size) *got = size;
    if (*got) memcpy(data, p->left.data, *got);
    p->left.data += *got;
    p->left.size -= *got;
    return FORAGE_OK;
}

static void check_json(slice json) {
    arena a;
    arena_init(&a, 4096);
    json_value *v = NULL;
    base_error error;
    if (json_read(&a, json, &v, &error) || v->type != JSON_OBJECT) abort();
    arena_release(&a);
}

static void read_all(records_reader *r, bool is_table, buffer *out) {
    bool end = false, recoverable = true;
    while (!end && recoverable) {
        slice json = {0};
        uint64_t line = 0;
        base_error error = {0};
        forage_status status = records_next(r, &json, &line, &end, &recoverable, &error);
        if (!status && !end) {
            buffer_printf(out, "%llu:", (unsigned long long)line);
            buffer_slice(out, json);
            if (is_table) check_json(json);
            recoverable = true;
        } else {
            buffer_printf(out, "%d %s", (int)status, error.message);
        }
    }
    records_close(r);
}

static bool is_compressed(slice s) {
    uint8_t first = s.size ? (uint8_t)s.data[0] : 0;
    return first == 0x1F || first == 0x28 || (first & 0xF0) == 0x50;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    records_options options = {.format = (records_format)(data[0] % 5), .record_limit = 200, .inflated_limit = 1 << 20};
    slice text = {(const char *)data + 1, size - 1};
    bool is_table = options.format == RECORDS_CSV || options.format == RECORDS_TSV;
    pieces p = {text, 1u + (data[0] >> 4)};
    buffer whole = {0}, pieced = {0};
    read_all(records_open_memory(text, &options), is_table, &whole);
    read_all(records_open(next_piece, &p, &options), is_table, &pieced);
    /* Of damaged compressed data, how much comes out before the error depends on the pieces. */
    bool same = slice_equal((slice){whole.data, whole.size}, (slice){pieced.data, pieced.size});
    if (!same && !is_compressed(text)) abort();
    buffer_release(&whole);
    buffer_release(&pieced);
    return 0;
}
