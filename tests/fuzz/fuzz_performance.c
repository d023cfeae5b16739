/* Hostile past of the strategies: what loads saves as bytes that load again and save alike, tells means from 0 to 1, and can be
 * taught on. What does not load changes nothing. */
#include "funnel/performance.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds) {
    if (!holds) abort();
}

static void check_means(const performance *p, const performance_keys *keys) {
    performance_means m;
    performance_ask(p, keys, &m);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        require(m.query[s] >= 0 && m.query[s] <= 1.01f);
        require(m.words[s] >= 0 && m.words[s] <= 1.01f);
        require(m.segments[s] >= 0 && m.segments[s] <= 1.01f);
    }
}

static bool saved_alike(const performance *a, const performance *b) {
    buffer one = {0}, two = {0};
    performance_save(a, &one);
    performance_save(b, &two);
    bool alike = one.size == two.size && memcmp(one.data, two.data, one.size) == 0;
    buffer_release(&one);
    buffer_release(&two);
    return alike;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    performance *p = performance_create(), *fresh = performance_create();
    performance_keys keys = {.query = 1, .words = {2, 3, 3, 8191}, .n_words = 4, .segments = {4, 5}, .n_segments = 2};
    const uint32_t rank[RETRIEVE_STRATEGIES] = {1, UINT32_MAX, 0, 7};
    if (performance_load(p, (slice){(const char *)data, size})) {
        buffer out = {0};
        performance_save(p, &out);
        require(performance_load(fresh, (slice){out.data, out.size}));
        buffer_release(&out);
    }
    require(saved_alike(p, fresh));
    check_means(p, &keys);
    for (int i = 0; i < 20; i++) performance_learn(p, &keys, rank, 4);
    check_means(p, &keys);
    performance_destroy(p);
    performance_destroy(fresh);
    return 0;
}
