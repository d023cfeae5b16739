/* Hostile learning history: what loads must be one that could have been counted: it saves as bytes that load again, can
 * be counted on, and gives JSON without a number gone wrong. */
#include "funnel/history.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

static void check_json(const history *h) {
    const char *names[HISTORY_STRATEGIES];
    buffer out = {0};
    arena a;
    json_value *read = NULL;
    json_writer w = json_writer_of(&out);
    for (uint32_t s = 0; s < HISTORY_STRATEGIES; s++) names[s] = retrieve_strategies[s]->name;
    history_write_json(h, names, &w);
    arena_init(&a, 0);
    require(json_read(&a, (slice){out.data, out.size}, &read, NULL) == FORAGE_OK);
    for (const json_value *p = json_get(read, "points")->first; p; p = p->next) {
        require(json_get(p, "reward")->type == JSON_NUMBER && json_get(p, "price")->type == JSON_NUMBER);
        for (const json_value *s = json_get(p, "strategies")->first; s; s = s->next)
            require(json_get(s, "share")->number <= 1 && json_get(s, "depth")->number < HISTORY_MOST * 1.01);
    }
    arena_release(&a);
    buffer_release(&out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const uint32_t depth[HISTORY_STRATEGIES] = {UINT32_MAX, 0, 8};
    history *h = mem_zalloc(1, sizeof *h), *again = mem_zalloc(1, sizeof *again);
    if (history_load((slice){(const char *)data, size}, h, NULL) == FORAGE_OK) {
        buffer out = {0};
        history_save(h, &out);
        require(history_load((slice){out.data, out.size}, again, NULL) == FORAGE_OK);
        buffer_release(&out);
        for (int i = 0; i < 600; i++) {
            history_shown(h, depth, UINT32_MAX, 1);
            history_earned(h, 1);
        }
        check_json(h);
    }
    free(h);
    free(again);
    return 0;
}
