/* The dense index: recall against exact search, changes, threads, images. */
#include "testing.h"

#include "base/random.h"
#include "dense/dense.h"
#include "os/file.h"

#include <math.h>
#include <pthread.h>
#include <sys/stat.h>

enum { N = 3000, D = 24, QUERIES = 50, K = 10 };

static float vectors[N][D], queries[QUERIES][D];

/* Clusters, as embeddings have them. */
static void draw(random_source *r, float (*centres)[D], float *out) {
    const float *centre = centres[random_below(r, 40)];
    for (int d = 0; d < D; d++) out[d] = centre[d] + 0.5f * (float)random_normal(r);
}

static int setup(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 11);
    float centres[40][D];
    for (int i = 0; i < 40; i++)
        for (int d = 0; d < D; d++) centres[i][d] = (float)random_normal(&r);
    for (int i = 0; i < N; i++) draw(&r, centres, vectors[i]);
    for (int i = 0; i < QUERIES; i++) draw(&r, centres, queries[i]);
    return 0;
}

static dense_config config_of(dense_metric metric, dense_code code, uint32_t graph_at) {
    return (dense_config){.dimensions = D, .metric = metric, .code = code, .graph_at = graph_at, .seed = 5};
}

static dense_index *filled(dense_metric metric, dense_code code, uint32_t graph_at, unsigned threads) {
    dense_config c = config_of(metric, code, graph_at);
    dense_index *index = NULL;
    base_error error = {0};
    assert_ok(dense_index_create(NULL, &c, &index, &error));
    uint32_t *documents = mem_alloc(N * sizeof *documents);
    uint64_t *versions = mem_alloc(N * sizeof *versions);
    for (uint32_t i = 0; i < N; i++) documents[i] = i, versions[i] = 1;
    assert_ok(dense_index_add_all(index, N, documents, versions, vectors[0], threads, &error));
    free(documents);
    free(versions);
    return index;
}

static double recall(dense_index *index, uint32_t ef, const dense_filter *filter) {
    arena a;
    arena_init(&a, 0);
    uint32_t met = 0, all = 0;
    for (int i = 0; i < QUERIES; i++) {
        dense_hit hits[K], truth[K];
        size_t n = dense_search(index, queries[i], K, ef, filter, &a, hits);
        size_t m = dense_search_exact(index, queries[i], K, filter, &a, truth);
        assert_int_equal(n, m);
        for (size_t j = 0; j < n; j++) {
            assert_true(!filter || filter->bits[hits[j].document / 64] >> (hits[j].document % 64) & 1);
            for (size_t l = 0; l < m; l++) met += hits[j].document == truth[l].document;
        }
        all += (uint32_t)m;
        arena_reset(&a);
    }
    arena_release(&a);
    return all ? (double)met / all : 1;
}

static void sound(dense_index *index) {
    base_error error = {0};
    forage_status status = dense_index_check(index, &error);
    if (status < 0) fail_msg("%s", error.message);
}

static void test_recall(void **state) {
    (void)state;
    for (int metric = 0; metric < DENSE_METRICS; metric++) {
        for (int code = 0; code < DENSE_CODES; code++) {
            dense_index *index = filled((dense_metric)metric, (dense_code)code, 500, 2);
            dense_info info;
            dense_index_describe(index, &info);
            assert_true(info.graph);
            assert_int_equal(info.documents, N);
            sound(index);
            double r = recall(index, 80, NULL);
            if (r < (code == DENSE_BIT ? 0.8 : 0.95)) fail_msg("metric %d, code %d: recall %g", metric, code, r);
            dense_index_close(index);
        }
    }
}

static void test_scan_is_exact(void **state) {
    (void)state;
    dense_index *index = filled(DENSE_COSINE, DENSE_INT8, N + 1, 1);
    dense_info info;
    dense_index_describe(index, &info);
    assert_false(info.graph);
    assert_true(recall(index, 0, NULL) > 0.99);
    dense_index_close(index);
}

static void test_filters(void **state) {
    (void)state;
    dense_index *index = filled(DENSE_COSINE, DENSE_INT8, 500, 1);
    const uint32_t every[] = {100, 10, 2, 1};
    for (int f = 0; f < 4; f++) {
        uint64_t bits[N / 64 + 1] = {0};
        dense_filter filter = {bits, N, 0};
        for (uint32_t i = 0; i < N; i += every[f]) bits[i / 64] |= 1ull << (i % 64), filter.count++;
        assert_true(recall(index, 40, &filter) > 0.95);
    }
    dense_index_close(index);
}

static void test_changes(void **state) {
    (void)state;
    dense_index *index = filled(DENSE_L2, DENSE_INT8, 500, 1);
    base_error error = {0};
    for (uint32_t i = 0; i < N; i += 3) dense_index_remove(index, i);
    for (uint32_t i = 1; i < N; i += 3) assert_ok(dense_index_add(index, i, 2, vectors[(i + 7) % N], &error));
    uint64_t version = 0;
    assert_false(dense_index_version(index, 0, &version));
    assert_true(dense_index_version(index, 1, &version));
    assert_int_equal(version, 2);
    assert_ok(dense_index_add(index, 1, 1, vectors[1], &error)); /* older: stays as it is */
    float out[D];
    assert_true(dense_index_vector(index, 1, out));
    assert_memory_equal(out, vectors[8], sizeof out);
    dense_info info;
    dense_index_describe(index, &info);
    assert_int_equal(info.documents, N - N / 3);
    assert_true(info.dead < N); /* it was compacted */
    sound(index);
    assert_true(recall(index, 80, NULL) > 0.95);
    for (uint32_t i = 0; i < N; i++) dense_index_remove(index, i);
    dense_hit hits[K];
    arena a;
    arena_init(&a, 0);
    assert_int_equal(dense_search(index, queries[0], K, 0, NULL, &a, hits), 0);
    assert_ok(dense_index_add(index, 9, 1, vectors[9], &error));
    assert_int_equal(dense_search(index, queries[0], K, 0, NULL, &a, hits), 1);
    assert_int_equal(hits[0].document, 9);
    arena_release(&a);
    dense_index_close(index);
}

static void test_refused(void **state) {
    (void)state;
    dense_config c = config_of(DENSE_COSINE, DENSE_INT8, 0);
    dense_index *index = NULL;
    base_error error = {0};
    assert_ok(dense_index_create(NULL, &c, &index, &error));
    float v[D] = {0};
    assert_int_equal(dense_index_add(index, 1, 1, v, &error), FORAGE_E_INVALID);
    v[3] = NAN;
    assert_int_equal(dense_index_add(index, 1, 1, v, &error), FORAGE_E_INVALID);
    v[3] = INFINITY;
    assert_int_equal(dense_index_add(index, 1, 1, v, &error), FORAGE_E_INVALID);
    dense_index_close(index);
    c.dimensions = DENSE_MOST_DIMENSIONS + 1;
    assert_int_equal(dense_index_create(NULL, &c, &index, &error), FORAGE_E_INVALID);
}

typedef struct crowd {
    dense_index *index;
    _Atomic bool done;
} crowd;

static void *keep_searching(void *argument) {
    crowd *c = argument;
    arena a;
    arena_init(&a, 0);
    for (int i = 0; !c->done; i++) {
        dense_hit hits[K];
        size_t n = dense_search(c->index, queries[i % QUERIES], K, 40, NULL, &a, hits);
        for (size_t j = 0; j < n; j++) assert_true(hits[j].document < N && isfinite(hits[j].distance));
        for (size_t j = 1; j < n; j++) assert_true(hits[j - 1].distance <= hits[j].distance);
        arena_reset(&a);
    }
    arena_release(&a);
    return NULL;
}

static void *keep_changing(void *argument) {
    crowd *c = argument;
    for (uint32_t i = 0; i < N; i += 2) {
        if (i % 4) dense_index_remove(c->index, i);
        else if (dense_index_add(c->index, i, 2, vectors[i], NULL) < 0) abort();
    }
    return NULL;
}

static void test_threads(void **state) {
    (void)state;
    crowd c = {filled(DENSE_COSINE, DENSE_INT8, 500, 2), false};
    pthread_t searcher, changers[2];
    pthread_create(&searcher, NULL, keep_searching, &c);
    for (int i = 0; i < 2; i++) pthread_create(changers + i, NULL, keep_changing, &c);
    for (int i = 0; i < 2; i++) pthread_join(changers[i], NULL);
    c.done = true;
    pthread_join(searcher, NULL);
    sound(c.index);
    assert_true(recall(c.index, 80, NULL) > 0.95);
    dense_index_close(c.index);
}

static void test_image(void **state) {
    (void)state;
    char path[600];
    char folder[512];
    snprintf(folder, sizeof folder, "%s", testing_folder());
    snprintf(path, sizeof path, "%s/image", folder);
    dense_index *index = filled(DENSE_COSINE, DENSE_INT8, 500, 1), *again = NULL;
    base_error error = {0};
    for (uint32_t i = 0; i < 100; i++) dense_index_remove(index, i);
    assert_ok(dense_index_save(index, path, &error));
    dense_config c = config_of(DENSE_COSINE, DENSE_INT8, 500);
    assert_ok(dense_index_open(folder, path, &c, &again, &error));
    sound(again);
    arena a;
    arena_init(&a, 0);
    for (int i = 0; i < QUERIES; i++) {
        dense_hit hits[K], same[K];
        size_t n = dense_search(index, queries[i], K, 50, NULL, &a, hits);
        assert_int_equal(dense_search(again, queries[i], K, 50, NULL, &a, same), n);
        assert_memory_equal(hits, same, n * sizeof *hits);
    }
    arena_release(&a);
    dense_index_close(again);
    dense_index_close(index);
    c.dimensions = D + 1;
    assert_int_equal(dense_index_open(folder, path, &c, &again, &error), FORAGE_E_CORRUPT);
    assert_ok(os_remove_tree(folder, &error));
}

/* A small image, cut at and flipped in every so many bytes. */
static void test_damage(void **state) {
    (void)state;
    char path[600], folder[512];
    snprintf(folder, sizeof folder, "%s", testing_folder());
    snprintf(path, sizeof path, "%s/image", folder);
    dense_index *index = filled(DENSE_L2, DENSE_FLOAT32, 500, 1), *again = NULL;
    base_error error = {0};
    assert_ok(dense_index_save(index, path, &error));
    dense_index_close(index);
    buffer image = {0};
    assert_ok(os_read_file(path, 0, &image, &error));
    dense_config c = config_of(DENSE_L2, DENSE_FLOAT32, 500);
    for (size_t at = 0; at < image.size; at += image.size / 40) {
        assert_ok(os_write_file(path, image.data, at, &error));
        assert_int_equal(dense_index_open(NULL, path, &c, &again, &error), FORAGE_E_CORRUPT);
        image.data[at] ^= 0x10;
        assert_ok(os_write_file(path, image.data, image.size, &error));
        assert_int_equal(dense_index_open(NULL, path, &c, &again, &error), FORAGE_E_CORRUPT);
        image.data[at] ^= 0x10;
    }
    assert_int_equal(dense_index_open(NULL, "/nonexistent/image", &c, &again, &error), FORAGE_E_NOT_FOUND);
    buffer_release(&image);
    assert_ok(os_remove_tree(folder, &error));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recall),  cmocka_unit_test(test_scan_is_exact), cmocka_unit_test(test_filters),
        cmocka_unit_test(test_changes), cmocka_unit_test(test_refused),       cmocka_unit_test(test_threads),
        cmocka_unit_test(test_image),   cmocka_unit_test(test_damage),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
