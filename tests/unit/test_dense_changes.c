/* The dense index while it changes: recall beside additions, filters beside removals, graphs after many deletes. */
#include "dense_world.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

enum { N = 4000, D = 12, QUERIES = 40, K = DENSE_WORLD_K };

static float rows[N * D], queries[QUERIES * D];

static int set_up(void **state) {
    (void)state;
    float *all = dense_room(N + QUERIES, D);
    dense_clusters(all, N + QUERIES, D, 40, 0.5f, 21);
    memcpy(rows, all, sizeof rows);
    memcpy(queries, all + N * D, sizeof queries);
    free(all);
    return 0;
}

static dense_config config_of(int metric, int code) {
    return (dense_config){.dimensions = D, .metric = (dense_metric)metric, .code = (dense_code)code, .ef_construction = 60,
                          .graph_at = 500, .seed = 6};
}

/* Documents 0 … n − 1 that `every` divides. */
static dense_filter filter_of(uint64_t *bits, uint32_t n, uint32_t every) {
    dense_filter f = {bits, n, 0};
    memset(bits, 0, (n / 64 + 1) * sizeof *bits);
    for (uint32_t i = 0; i < n; i += every, f.count++) bits[i / 64] |= 1ull << i % 64;
    return f;
}

/* ---- Every metric and code ---- */

/* As it grows, after deletes, with filters broad and narrow. One-bit codes of 12 dimensions, padded to 32, are estimates as coarse
 * as they come; what is walked is made good by full vectors. */
static void every_metric_and_code_through_its_life(void **state) {
    (void)state;
    static uint64_t bits[N / 64 + 1];
    for (int metric = 0; metric < DENSE_METRICS; metric++)
        for (int code = 0; code < DENSE_CODES; code++) {
            dense_config c = config_of(metric, code);
            dense_index *index = dense_empty(&c);
            double floor = code == DENSE_BIT ? 0.85 : 0.95, r[5];
            dense_put(index, 0, N / 2, rows, 1);
            dense_put(index, N / 2, N / 2, rows + N / 2 * D, 1);
            r[0] = dense_recall(index, queries, QUERIES, D, K, 60, NULL);
            dense_filter half = filter_of(bits, N, 2);
            r[1] = dense_recall(index, queries, QUERIES, D, K, 60, &half);
            dense_filter few = filter_of(bits, N, 97);
            r[2] = dense_recall(index, queries, QUERIES, D, K, 60, &few);
            for (uint32_t i = 0; i < N; i += 4) dense_index_remove(index, i);
            r[3] = dense_recall(index, queries, QUERIES, D, K, 60, NULL);
            half = filter_of(bits, N, 2);
            for (uint32_t i = 0; i < N; i += 4) bits[i / 64] &= ~(1ull << i % 64), half.count--;
            r[4] = dense_recall(index, queries, QUERIES, D, K, 60, &half);
            dense_sound(index);
            for (int i = 0; i < 5; i++)
                if (r[i] < floor) fail_msg("metric %d, code %d, stage %d: recall %.3f", metric, code, i, r[i]);
            dense_index_close(index);
        }
}

/* ---- Side by side ---- */

typedef struct crowd {
    dense_index *index;
    dense_filter filter;
    dense_hit truth[QUERIES][K];
    _Atomic bool done;
    _Atomic uint64_t asked, met, wrong;
} crowd;

/* Of documents that nobody changes, all answers are known beforehand. */
static void *ask_meanwhile(void *argument) {
    crowd *c = argument;
    arena a;
    arena_init(&a, 0);
    for (int i = 0; !c->done || i < QUERIES; i++) {
        dense_hit hits[K];
        size_t n = dense_search(c->index, queries + i % QUERIES * D, K, 60, &c->filter, &a, hits);
        atomic_fetch_add(&c->asked, K);
        for (size_t j = 0; j < n; j++) {
            uint32_t d = hits[j].document;
            if (d >= c->filter.n_documents || !(c->filter.bits[d / 64] >> d % 64 & 1)) atomic_fetch_add(&c->wrong, 1);
            for (int k = 0; k < K; k++) atomic_fetch_add(&c->met, d == c->truth[i % QUERIES][k].document);
        }
        arena_reset(&a);
    }
    arena_release(&a);
    return NULL;
}

static void *change_others(void *argument) {
    crowd *c = argument;
    for (uint64_t version = 2; version < 4; version++)
        for (uint32_t i = N / 4; i < N; i++) {
            if ((i + version) % 5 == 0) dense_index_remove(c->index, i);
            else if (dense_index_add(c->index, i, version, rows + i * D, NULL)) abort();
        }
    return NULL;
}

static void *add_others(void *argument) {
    crowd *c = argument;
    dense_put(c->index, N / 4, N - N / 4, rows + N / 4 * D, 1);
    return NULL;
}

/* A quarter is there, and is found by its filter while others come, change and go. */
static void what_does_not_change_is_found_meanwhile(void **state) {
    (void)state;
    static uint64_t bits[N / 64 + 1];
    for (int metric = DENSE_COSINE; metric <= DENSE_COSINE; metric++) {
        dense_config config = config_of(metric, DENSE_INT8);
        crowd *c = mem_zalloc(1, sizeof *c);
        arena a;
        arena_init(&a, 0);
        c->index = dense_empty(&config);
        c->filter = filter_of(bits, N / 4, 1);
        dense_put(c->index, 0, N / 4, rows, 1);
        for (int q = 0; q < QUERIES; q++)
            assert_int_equal(dense_search_exact(c->index, queries + q * D, K, &c->filter, &a, c->truth[q]), K);
        pthread_t askers[2], changers[2];
        for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(askers + i, NULL, ask_meanwhile, c), 0);
        assert_int_equal(pthread_create(changers, NULL, add_others, c), 0);
        assert_int_equal(pthread_create(changers + 1, NULL, change_others, c), 0);
        for (int i = 0; i < 2; i++) pthread_join(changers[i], NULL);
        c->done = true;
        for (int i = 0; i < 2; i++) pthread_join(askers[i], NULL);
        assert_int_equal(c->wrong, 0);
        if ((double)c->met < 0.97 * (double)c->asked) fail_msg("recall %.3f beside changes", (double)c->met / (double)c->asked);
        dense_sound(c->index);
        for (uint32_t i = N / 4; i < N; i++) { /* the last change of each holds */
            uint64_t version = 0;
            bool there = dense_index_version(c->index, i, &version);
            assert_true((i + 3) % 5 == 0 || (there && version == 3));
        }
        assert_true(dense_recall(c->index, queries, QUERIES, D, K, 60, NULL) > 0.95);
        dense_index_close(c->index);
        arena_release(&a);
        free(c);
    }
}

static void *add_twice(void *argument) {
    dense_put(argument, 0, N, rows, 1);
    return NULL;
}

/* The same documents from several sides: each is there once. */
static void the_same_from_several_sides(void **state) {
    (void)state;
    dense_config config = config_of(DENSE_L2, DENSE_INT8);
    dense_index *index = dense_empty(&config);
    pthread_t threads[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(threads + i, NULL, add_twice, index), 0);
    for (int i = 0; i < 3; i++) pthread_join(threads[i], NULL);
    assert_int_equal(dense_told(index).documents, N);
    dense_sound(index);
    assert_true(dense_recall(index, queries, QUERIES, D, K, 60, NULL) > 0.95);
    dense_index_close(index);
}

/* ---- Many changes ---- */

static void additions_after_deletes_and_compactions(void **state) {
    (void)state;
    dense_config config = config_of(DENSE_COSINE, DENSE_INT8);
    dense_index *index = dense_empty(&config);
    dense_put(index, 0, N, rows, 1);
    for (uint64_t round = 2; round < 4; round++) {
        for (uint32_t i = 0; i < N; i++)
            if (i % 8 != round) dense_index_remove(index, i); /* all but an eighth: compacted on the way */
        dense_info left = dense_told(index);
        assert_int_equal(left.documents, N / 8);
        assert_true(left.dead <= 1024 + N / 8);
        assert_true(dense_recall(index, queries, QUERIES, D, K, 60, NULL) > 0.95);
        dense_put(index, 0, N / 2, rows, 1);
        for (uint32_t i = N / 2; i < N; i++) assert_ok(dense_index_add(index, i, 1, rows + i * D, NULL));
        assert_int_equal(dense_told(index).documents, N);
        dense_sound(index);
        assert_true(dense_recall(index, queries, QUERIES, D, K, 60, NULL) > 0.95);
    }
    dense_index_close(index);
}

static void one_document_many_times(void **state) {
    (void)state;
    for (int graph = 0; graph < 2; graph++) {
        dense_config config = config_of(DENSE_L2, DENSE_INT8);
        dense_index *index = dense_empty(&config);
        arena a;
        dense_hit hits[2];
        float out[D];
        arena_init(&a, 0);
        if (graph) dense_put(index, 0, 1000, rows, 1);
        for (uint64_t version = 2; version < 3000; version++)
            assert_ok(dense_index_add(index, 7, version, rows + version * D, NULL));
        assert_int_equal(dense_told(index).documents, graph ? 1000 : 1);
        assert_true(dense_told(index).dead <= 1100);
        assert_true(dense_index_vector(index, 7, out));
        assert_memory_equal(out, rows + 2999 * D, sizeof out);
        assert_int_equal(dense_search(index, rows + 2999 * D, 1, 0, NULL, &a, hits), 1);
        assert_int_equal(hits[0].document, 7);
        assert_ok(dense_index_add(index, 7, 3, rows, NULL)); /* late, and older: nothing changes */
        assert_true(dense_index_vector(index, 7, out));
        assert_memory_equal(out, rows + 2999 * D, sizeof out);
        dense_sound(index);
        arena_release(&a);
        dense_index_close(index);
    }
}

/* Compaction and the start of a graph leave nothing that cannot be reached, whatever the data: dense_index_check allows none then. */
static void nothing_is_lost_by_compaction(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 13);
    for (int round = 0; round < 6; round++) {
        dense_config config = config_of(round % DENSE_METRICS, round % DENSE_CODES);
        config.M = round % 2 ? 4 : 16; /* few links are soon lost */
        config.seed = (uint64_t)round;
        uint32_t n = 2000;
        float *some = dense_room(n, D);
        dense_clusters(some, n, D, round % 3 ? 200 : 2, round % 4 ? 0.05f : 1, (uint64_t)round + 50);
        dense_index *index = dense_empty(&config);
        dense_put(index, 0, n, some, 1 + (unsigned)round % 2);
        dense_sound(index);
        for (int compactions = 0; compactions < 2; compactions++) {
            uint32_t removed = 0;
            for (uint32_t i = 0; i < n; i++)
                if (random_below(&r, 4)) dense_index_remove(index, i), removed++;
            assert_true(dense_told(index).dead < removed); /* one took place */
            dense_sound(index);
            dense_put(index, 0, n, some, 1);
            dense_sound(index);
        }
        dense_index_close(index);
        free(some);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_metric_and_code_through_its_life),
        cmocka_unit_test(what_does_not_change_is_found_meanwhile),
        cmocka_unit_test(the_same_from_several_sides),
        cmocka_unit_test(additions_after_deletes_and_compactions),
        cmocka_unit_test(one_document_many_times),
        cmocka_unit_test(nothing_is_lost_by_compaction),
    };
    return cmocka_run_group_tests_name("dense_changes", tests, set_up, NULL);
}
