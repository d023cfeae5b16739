/* Replay logs: the first byte chooses the format. Whatever the bytes are, what comes out is whole rows, whose texts are
 * UTF-8 of bounded size, and a report that adds up. */
#include "format/json.h"
#include "simulate/replay_log.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A string that JSON's reader takes back as it is. */
static void check_text(slice text, arena *a) {
    buffer quoted = {0};
    json_writer w = json_writer_of(&quoted);
    json_value *v = NULL;
    json_string(&w, text);
    if (text.size > 4096 || json_read(a, (slice){quoted.data, quoted.size}, &v, NULL) || !slice_equal(v->text, text)) abort();
    buffer_release(&quoted);
}

static void check(const replay_log *log) {
    arena a;
    int64_t newest = INT64_MIN;
    uint64_t older = 0;
    arena_init(&a, 4096);
    for (size_t i = 0; i < log->n; i++) {
        const replay_row *row = &log->rows[i];
        json_value *context = NULL;
        arena_reset(&a);
        check_text(row->query, &a);
        check_text(row->user, &a);
        check_text(row->document, &a);
        if (!row->document.size || !row->action.size) abort();
        if (row->context.size && (json_read(&a, row->context, &context, NULL) || context->type != JSON_OBJECT)) abort();
        older += row->time < newest;
        if (row->time > newest) newest = row->time;
    }
    if (older != log->out_of_order || log->n_problems > REPLAY_PROBLEMS_KEPT) abort();
    if (log->malformed < REPLAY_PROBLEMS_KEPT && log->n_problems != log->malformed) abort();
    arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size == 0) return 0;
    records_options options = {.format = (records_format)(data[0] % 5), .record_limit = 5000, .inflated_limit = 1 << 20};
    slice text = {(const char *)data + 1, size - 1};
    records_reader *records = records_open_memory(text, &options);
    replay_log log;
    if (replay_log_read(records, SLICE("click"), 1700000000000000, &log, NULL)) abort();
    check(&log);
    replay_log_release(&log);
    records_close(records);
    return 0;
}
