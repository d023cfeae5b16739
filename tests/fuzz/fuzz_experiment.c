/* Hostile states of experiments: experiment_load, and sequential_load within it. The first byte chooses the kind; a state goes
 * in as it is and, since hardly any mutation has the right checksums, also with those put right. What loads must then go on
 * counting, describe itself as JSON, and be saved and loaded again as the same. */
#include "base/bytes.h"
#include "base/hash.h"
#include "rank/experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { HEAD = 4 + 2 + 8 + 8 + 8 + 8 + 8 + 16 + 16 + 16 }; /* bytes before the inference's state */

static void require(bool holds) {
    if (!holds) abort();
}

static void go_on(experiment *e) {
    buffer text = {0};
    arena memory;
    json_value *json;
    arena_init(&memory, 0);
    for (uint64_t key = 0; key < 20; key++) {
        experiment_show(e, key, key % 2 ? EXPERIMENT_A : EXPERIMENT_B, (int64_t)key * 1000000);
        experiment_reward(e, key, .5f, 1, (int64_t)key * 1000000);
    }
    experiment_advance(e, INT64_MAX);
    experiment_result r = experiment_ask(e);
    require(r.difference.low <= r.difference.high && r.difference.p >= 0 && r.difference.p <= 1);
    json_writer w = json_writer_of(&text);
    experiment_describe(e, &w);
    require(json_read(&memory, (slice){text.data, text.size}, &json, NULL) == FORAGE_OK);
    arena_release(&memory);
    buffer_release(&text);
}

static void try_state(experiment_kind kind, const char *data, size_t size) {
    experiment_config c;
    experiment *e = NULL, *f = NULL;
    base_error error;
    buffer saved = {0}, again = {0};
    experiment_config_default(&c, "fuzz", kind, "a", "b");
    require(experiment_create(&c, &e, NULL) == FORAGE_OK && experiment_create(&c, &f, NULL) == FORAGE_OK);
    if (experiment_load(e, (slice){data, size}, &error) == FORAGE_OK) {
        experiment_save(e, &saved);
        require(experiment_load(f, (slice){saved.data, saved.size}, NULL) == FORAGE_OK);
        experiment_save(f, &again);
        require(saved.size == again.size && !memcmp(saved.data, again.data, saved.size));
        go_on(e);
    }
    buffer_release(&saved);
    buffer_release(&again);
    experiment_destroy(e);
    experiment_destroy(f);
}

/* Checksums from the inside out: the difference's, the two arms', the whole's; and the settings' identity. */
static void put_right(experiment_kind kind, char *data, size_t size) {
    experiment_config c;
    experiment *e;
    buffer state = {0};
    experiment_config_default(&c, "fuzz", kind, "a", "b");
    require(experiment_create(&c, &e, NULL) == FORAGE_OK);
    experiment_save(e, &state);
    size_t inner = kind == EXPERIMENT_AB ? SEQUENTIAL_ARMS_SIZE : SEQUENTIAL_STATE_SIZE, end = HEAD + (inner < 128 ? 1 : 2) + inner;
    if (size > end + 8) {
        memcpy(data + 6, state.data + 6, 8);
        size_t start = end - inner;
        if (kind == EXPERIMENT_AB) {
            char *difference = data + end - 8 - SEQUENTIAL_STATE_SIZE;
            store_le64(difference + SEQUENTIAL_STATE_SIZE - 8, hash64(difference, SEQUENTIAL_STATE_SIZE - 8, 0));
        }
        store_le64(data + end - 8, hash64(data + start, inner - 8, 0));
        store_le64(data + size - 8, hash64(data, size - 8, 0));
    }
    buffer_release(&state);
    experiment_destroy(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    experiment_kind kind = data[0] % 2 ? EXPERIMENT_TEAM_DRAFT : EXPERIMENT_AB;
    char *copy = mem_alloc(size);
    memcpy(copy, data + 1, size - 1);
    try_state(kind, copy, size - 1);
    put_right(kind, copy, size - 1);
    try_state(kind, copy, size - 1);
    free(copy);
    return 0;
}
