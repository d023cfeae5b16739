/* Log records: any bytes are read or refused. What is read is written again as the same bytes, and its JSON is valid. */
#include "feedback/record.h"
#include "format/json.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A document that is there, one that is gone, and an id that JSON has to escape. */
static slice id_of(void *self, uint32_t document, arena *a) {
    (void)self;
    if (document % 3 == 0) return (slice){0};
    return slice_of(arena_printf(a, document % 3 == 1 ? "d%u" : "\"\\\n%u", document));
}

static void check_same(const buffer *written, slice bytes) {
    if (!slice_equal((slice){written->data, written->size}, bytes)) abort();
}

/* The reader takes more than the writer makes: format 1, long varints, and other numbers than 0 and 1 for a bool. So
 * what it read is compared after it was written and read once. What it read is also within its bounds. */
static void check_impression(slice bytes, arena *a) {
    record_impression first, second;
    buffer once = {0}, twice = {0};
    if (record_read_impression(bytes, a, &first)) return;
    for (uint32_t s = 0; s < first.n_strategies; s++)
        if (first.strategies[s].allowed >> first.n_levels) abort();
    record_write_impression(&first, &once);
    if (record_read_impression((slice){once.data, once.size}, a, &second)) abort();
    record_write_impression(&second, &twice);
    check_same(&twice, (slice){once.data, once.size});
    buffer_release(&once);
    buffer_release(&twice);
}

static void check_event(slice bytes) {
    record_event first, second;
    buffer once = {0}, twice = {0};
    if (record_read_event(bytes, &first)) return;
    if (first.n_ranks > RECORD_MAX_STRATEGIES) abort();
    record_write_event(&first, &once);
    if (record_read_event((slice){once.data, once.size}, &second)) abort();
    record_write_event(&second, &twice);
    check_same(&twice, (slice){once.data, once.size});
    buffer_release(&once);
    buffer_release(&twice);
}

static void check_json(slice bytes, arena *a) {
    static const char *const features[] = {"lexical_rrf", "memory"}, *const policy[] = {"bias"},
        *const strategies[] = {"lexical", "memory"};
    static const record_names names = {.features = features, .policy_features = policy, .strategies = strategies,
                                       .n_features = 2, .n_policy_features = 1, .n_strategies = 2};
    buffer json = {0};
    json_value *value = NULL;
    base_error error = {0};
    forage_status status = record_to_json(bytes, 7, &names, id_of, NULL, a, &json);
    if (!status) {
        forage_status read = json_read(a, (slice){json.data, json.size}, &value, &error);
        /* Names of strategies are the fuzzer's: two that are equal make a key twice. */
        if (read && !strstr(error.message, "twice") && !strstr(error.message, "NUL")) abort();
        if (memchr(json.data, '\n', json.size)) abort();
    }
    if (status && json.size) abort();
    buffer_release(&json);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    slice bytes = {(const char *)data, size};
    arena a;
    arena_init(&a, 0);
    record_kind kind;
    if (record_kind_of(bytes, &kind) == FORAGE_OK) {
        check_impression(bytes, &a);
        check_event(bytes);
    }
    check_json(bytes, &a);
    arena_release(&a);
    return 0;
}
