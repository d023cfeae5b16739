/* Hostile bytes where the memory and the predictions keep theirs. The first byte chooses: a row's counts (alone, or where
 * they are asked for), a translation model (as it is, and with its last 8 bytes made the checksum), a predicted query, a
 * remembered query. What is read must then be used without a number going wrong. */
#include "base/bytes.h"
#include "memory/predict.h"
#include "memory/query_memory.h"
#include "memory/query_memory_row.h"
#include "memory/translate.h"
#include "os/file.h"

#include <math.h>
#include <stdlib.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

static void try_counts(slice bytes) {
    memory_counts c;
    uint8_t out[MEMORY_COUNTS_SIZE];
    if (!memory_counts_read(bytes, &c)) return;
    require(isfinite(c.impressions) && isfinite(c.rewards) && c.impressions >= 0 && c.rewards >= 0);
    memory_counts_cap(&c, 1000);
    memory_counts_age(&c, c.time / 2 + INT64_MAX / 2, 1000);
    require(c.impressions >= 0 && c.rewards >= 0);
    for (uint64_t who = 0; who < 40; who++) {
        float taken = memory_cells_take(c.reward_cells, who, 1);
        require(taken >= 0 && taken <= 1);
    }
    memory_counts back;
    require(memory_counts_read((slice){(const char *)out, memory_counts_write(&c, out)}, &back));
    require(back.born == c.born && back.shown == c.shown && back.earned == c.earned);
}

static void try_translation(slice bytes) {
    translation *m = NULL;
    arena a;
    translated *list;
    slice words[] = {SLICE("d0"), SLICE("d1"), SLICE("")}, query[] = {SLICE("q0"), SLICE("q1")};
    if (translation_load(bytes, &m, NULL)) return;
    arena_init(&a, 0);
    float lift = translation_lift(m, query, 2, words, 3);
    require(lift >= 0 && lift <= TRANSLATE_MAX_LIFT);
    size_t n = translation_expand(m, words, 3, 5, &a, &list);
    for (size_t i = 0; i < n; i++) require(list[i].likelihood >= 0 && list[i].likelihood <= 100);
    buffer out = {0};
    translation_save(m, &out);
    translation *again = NULL;
    require(translation_load((slice){out.data, out.size}, &again, NULL) == FORAGE_OK);
    translation_destroy(again);
    translation_destroy(m);
    buffer_release(&out);
    arena_release(&a);
}

/* ---- Rows in a store ---- */

static char folder[] = "/tmp/forage-fuzz-XXXXXX";
static store *rows;
static query_memory *memory;
static text_analyzer *analyzer;

static void remove_folder(void) {
    query_memory_close(memory);
    store_close(rows);
    text_analyzer_destroy(analyzer);
    os_remove_tree(folder, NULL);
}

static void open_rows(void) {
    if (rows) return;
    require(mkdtemp(folder) != NULL);
    require(store_open(folder, &(store_options){.no_sync = true}, &rows, NULL) == FORAGE_OK);
    require(query_memory_open(rows, NULL, &memory, NULL) == FORAGE_OK);
    analyzer = text_analyzer_create();
    atexit(remove_folder);
}

typedef struct putting {
    store_table table;
    slice key, value;
} putting;

static forage_status put(store_txn *t, void *self, base_error *error) {
    const putting *p = self;
    return p->value.data ? store_put(t, p->table, p->key, p->value, error) : store_delete(t, p->table, p->key, error);
}

static void write_row(store_table table, slice key, slice value) {
    putting p = {table, key, value};
    store_job job = {put, NULL, &p};
    store_write(rows, &job, NULL);
}

static void read_rows(void) {
    store_txn *t;
    arena a;
    memory_row *answer;
    prediction *list;
    arena_init(&a, 0);
    require(query_memory_refresh(memory, NULL) == FORAGE_OK);
    require(store_read_begin(rows, &t, NULL) == FORAGE_OK);
    memory_question q = {.normalized = SLICE("dune"), .language = TEXT_EN, .analyzer = analyzer, .now = 5};
    size_t n = query_memory_ask(memory, t, &q, 10, &a, &answer);
    for (size_t i = 0; i < n; i++) require(answer[i].mean > 0 && answer[i].mean <= 1 && isfinite(answer[i].deviation));
    n = predict_of_document(t, 0x64646464, &a, &list);
    for (size_t i = 0; i < n; i++) require(list[i].score >= 0 && list[i].score <= 1);
    (void)predict_count(t);
    store_read_end(t);
    arena_release(&a);
}

/* The first bytes are the key: as long as such keys are, so that some fit. */
static void try_row(store_table table, size_t key_size, slice bytes) {
    if (bytes.size < key_size) return;
    slice key = {bytes.data, key_size};
    open_rows();
    write_row(table, key, (slice){bytes.data + key_size, bytes.size - key_size});
    read_rows();
    write_row(table, key, (slice){0});
}

static void try_asked_row(slice counts) {
    char key[20] = {0};
    hash128 query = memory_key(SLICE("dune"));
    memcpy(key, query.bytes, sizeof query.bytes);
    buffer row = {0};
    buffer_append(&row, key, sizeof key);
    buffer_slice(&row, counts);
    try_row(STORE_MEMORY, sizeof key, (slice){row.data, row.size});
    buffer_release(&row);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    slice bytes = {(const char *)data + 1, size - 1};
    buffer signed_bytes = {0};
    switch (data[0] % 6) {
    case 0: try_counts(bytes); break;
    case 1:
        try_translation(bytes);
        if (bytes.size < 8) break;
        buffer_append(&signed_bytes, bytes.data, bytes.size);
        store_le64(signed_bytes.data + bytes.size - 8, hash64(signed_bytes.data, bytes.size - 8, 0));
        try_translation((slice){signed_bytes.data, bytes.size});
        buffer_release(&signed_bytes);
        break;
    case 2: try_row(STORE_PREDICTIONS, 21, bytes); break;
    case 3: try_row(STORE_PREDICTIONS, 22, bytes); break;
    case 4: try_row(STORE_QUERIES, 16, bytes); break;
    default: try_asked_row(bytes); break;
    }
    return 0;
}
