#include "memory/query_memory.h"

#include "base/bytes.h"

#include <math.h>
#include <stdlib.h>

#define KEY_SIZE 20
#define VALUE_SIZE 24

hash128 memory_key(slice normalized_query) { return hash128_of(normalized_query.data, normalized_query.size); }

void memory_posterior(float impressions, float rewards, float *mean, float *deviation) {
    float missed = impressions > rewards ? impressions - rewards : 0;
    float a = MEMORY_PRIOR_MEAN * MEMORY_PRIOR_STRENGTH + rewards;
    float b = (1 - MEMORY_PRIOR_MEAN) * MEMORY_PRIOR_STRENGTH + missed;
    float n = a + b;
    *mean = a / n;
    *deviation = sqrtf(a * b / (n * n * (n + 1)));
}

static void make_key(hash128 key, uint32_t document, uint8_t out[KEY_SIZE]) {
    memcpy(out, key.bytes, sizeof key.bytes);
    store_be32(out + sizeof key.bytes, document);
}

/* Damaged or hostile counts never reach a learner. */
static float sane(float count) { return isfinite(count) && count > 0 ? count : 0; }

static bool decode(slice value, memory_row *row) {
    if (value.size != VALUE_SIZE) return false;
    byte_reader in = byte_reader_of(value.data, value.size);
    row->impressions = sane(read_f32(&in));
    row->rewards = sane(read_f32(&in));
    row->time = (int64_t)read_u64(&in);
    row->born = read_u64(&in);
    memory_posterior(row->impressions, row->rewards, &row->mean, &row->deviation);
    return true;
}

static forage_status put(store_txn *t, const uint8_t key[KEY_SIZE], const memory_row *row, base_error *error) {
    uint8_t value[VALUE_SIZE];
    memcpy(value, &row->impressions, 4);
    memcpy(value + 4, &row->rewards, 4);
    store_le64(value + 8, (uint64_t)row->time);
    store_le64(value + 16, row->born);
    return store_put(t, STORE_MEMORY, (slice){(const char *)key, KEY_SIZE}, (slice){(const char *)value, VALUE_SIZE},
                     error);
}

static bool get(store_txn *t, const uint8_t key[KEY_SIZE], memory_row *row) {
    slice value;
    return store_get(t, STORE_MEMORY, (slice){(const char *)key, KEY_SIZE}, &value) == FORAGE_OK && decode(value, row);
}

static int by_mean(const void *x, const void *y) {
    const memory_row *a = x, *b = y;
    if (a->mean != b->mean) return a->mean > b->mean ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

size_t memory_lookup(store_txn *t, hash128 key, arena *a, memory_row **rows) {
    store_cursor *cursor;
    slice prefix = {(const char *)key.bytes, sizeof key.bytes}, at, value;
    *rows = NULL;
    if (store_cursor_open(t, STORE_MEMORY, prefix, &cursor, NULL)) return 0;
    size_t n = 0, capacity = 0;
    memory_row *found = NULL;
    while (n < MEMORY_MAX_ROWS && store_cursor_next(cursor, &at, &value)) {
        if (at.size != KEY_SIZE || memcmp(at.data, prefix.data, prefix.size) != 0) break;
        if (n == capacity) {
            capacity = capacity ? capacity * 2 : 16;
            memory_row *grown = arena_alloc(a, capacity * sizeof *grown);
            if (n) memcpy(grown, found, n * sizeof *grown);
            found = grown;
        }
        found[n].document = load_be32(at.data + prefix.size);
        n += decode(value, &found[n]);
    }
    store_cursor_close(cursor);
    if (n) qsort(found, n, sizeof *found, by_mean);
    *rows = found;
    return n;
}

forage_status memory_shown(store_txn *t, hash128 key, const uint32_t *documents, size_t n, int64_t time,
                           base_error *error) {
    uint8_t bytes[KEY_SIZE];
    for (size_t i = 0; i < n; i++) {
        memory_row row;
        make_key(key, documents[i], bytes);
        if (!get(t, bytes, &row)) continue;
        row.impressions += 1;
        row.time = time;
        forage_status status = put(t, bytes, &row, error);
        if (status) return status;
    }
    return FORAGE_OK;
}

forage_status memory_earned(store_txn *t, hash128 key, uint32_t document, float credit, bool first, uint64_t impression,
                            int64_t time, base_error *error) {
    uint8_t bytes[KEY_SIZE];
    memory_row row = {.document = document, .impressions = 1, .born = impression};
    make_key(key, document, bytes);
    if (get(t, bytes, &row) && first && impression < row.born) row.impressions += 1;
    row.rewards += sane(credit);
    row.time = time;
    return put(t, bytes, &row, error);
}
