/* Hostile counts of examination: the first byte says how many ranks and features are expected; a state goes in as it is and,
 * since hardly any mutation has the right checksum, also with its last 8 bytes made the checksum. What loads must fit by every
 * method without a number going wrong, save as bytes that load and save alike, and take more. */
#include "base/bytes.h"
#include "base/hash.h"
#include "rank/examination.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

static void fit_all(const examination *e) {
    examination_curve c;
    for (int m = 0; m < EXAMINATION_METHODS; m++) {
        examination_fit(e, (examination_method)m, &c);
        for (uint32_t k = 0; k < c.n_ranks; k++) {
            const examination_rank *r = &c.ranks[k];
            require(r->estimate >= EXAMINATION_LEAST && isfinite(r->estimate));
            require(r->low <= r->high && r->low >= EXAMINATION_LEAST && isfinite(r->high));
        }
        require(c.ranks[0].estimate == 1);
    }
}

static void use(examination *e, const examination_config *config) {
    const float x[2] = {1, -2};
    examination *copy = NULL;
    buffer out = {0}, again = {0};
    require(examination_create(config, &copy, NULL) == FORAGE_OK);
    fit_all(e);
    examination_save(e, &out);
    require(examination_load(copy, (slice){out.data, out.size}, NULL) == FORAGE_OK);
    examination_save(copy, &again);
    require(out.size == again.size && memcmp(out.data, again.data, out.size) == 0);
    for (uint64_t i = 0; i < 40; i++) {
        examination_observation o = {.key = i, .rank = 1 + (uint32_t)i % 2, .shown = 3, .clicks = 1, .features = x};
        require(examination_add(e, &o));
    }
    require(examination_merge(e, copy, NULL) == FORAGE_OK);
    examination_fade(e, .5);
    fit_all(e);
    examination_destroy(copy);
    buffer_release(&out);
    buffer_release(&again);
}

static void try_state(const examination_config *config, slice state) {
    examination *e = NULL;
    require(examination_create(config, &e, NULL) == FORAGE_OK);
    if (examination_load(e, state, NULL) == FORAGE_OK) use(e, config);
    examination_destroy(e);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (!size) return 0;
    examination_config config;
    buffer state = {0};
    examination_config_default(&config);
    config.n_ranks = data[0] % 2 ? 3 : 10;
    config.n_features = data[0] % 4 > 1 ? 2 : 0;
    config.monotone = data[0] % 8 > 3;
    config.max_keys = 16;
    buffer_append(&state, data + 1, size - 1);
    try_state(&config, (slice){state.data, state.size});
    if (state.size >= 8) {
        store_le64(state.data + state.size - 8, hash64(state.data, state.size - 8, 0));
        try_state(&config, (slice){state.data, state.size});
    }
    buffer_release(&state);
    return 0;
}
