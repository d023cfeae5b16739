/* The dense index where graphs go wrong: equal vectors, vectors on a line, clusters far apart, any number of dimensions, many
 * changes, odd requests. Walks, not scans: every index has many more nodes than a search may compare. */
#include "dense_world.h"

#include <string.h>

enum { K = DENSE_WORLD_K };

static void refuse_below(double recall, double floor, const char *what) {
    if (recall < floor) fail_msg("%s: recall %.3f is below %.2f", what, recall, floor);
}

/* ---- Dimensions ---- */

static void any_number_of_dimensions(void **state) {
    (void)state;
    static const uint32_t dimensions[] = {1, 2, 3, 7, 63, 65, 384, 1000, 4096};
    enum { QUERIES = 20, FEW = 1 };
    for (size_t i = 0; i < sizeof dimensions / sizeof *dimensions; i++)
        for (int code = 0; code < DENSE_CODES; code++) {
            uint32_t d = dimensions[i], n = code == DENSE_BIT ? 1850 : 600;
            dense_metric metric = (dense_metric)((i + (size_t)code) % DENSE_METRICS);
            if (d == 1 && metric == DENSE_COSINE) metric = DENSE_L2; /* a line has two directions: half of all are equal */
            dense_config c = {.dimensions = d, .metric = metric, .code = (dense_code)code, .graph_at = 300,
                              .M = d < 300 ? 16 : 4, .ef_construction = d < 300 ? 60 : 16, .seed = 3};
            float *rows = dense_room(n + QUERIES, d);
            char what[80];
            dense_clusters(rows, n + QUERIES, d, 30, 0.4f, 5 + i);
            dense_index *index = dense_empty(&c);
            dense_put(index, 0, n, rows, 1);
            double floor = d > 3 || code == DENSE_FLOAT32 ? 0.9 : code == DENSE_BIT ? 0 : 0.6; /* few values make coarse codes */
            snprintf(what, sizeof what, "%u dimensions, metric %d, code %d", d, metric, code);
            assert_true(dense_told(index).graph);
            dense_sound(index);
            refuse_below(dense_recall(index, rows + (size_t)n * d, QUERIES, d, FEW, 36, NULL), floor, what);
            dense_index_close(index);
            free(rows);
        }
}

/* ---- Equal vectors ---- */

/* A thousand products with the same placeholder for a picture. */
static void equal_vectors(void **state) {
    (void)state;
    enum { N = 10000, D = 8 };
    for (int metric = 0; metric < DENSE_METRICS; metric += 2) {
        dense_config c = {.dimensions = D, .metric = (dense_metric)metric, .code = DENSE_INT8, .graph_at = 1000, .ef_construction = 60};
        dense_index *index = dense_empty(&c);
        float *rows = dense_room(N, D);
        arena a;
        arena_init(&a, 0);
        for (size_t i = 0; i < N * D; i++) rows[i] = 1 + (float)(i % D);
        dense_put(index, 0, N, rows, 2);
        dense_sound(index);
        for (uint32_t k = 1; k < 20000; k = k * 5 + 7) {
            uint32_t expected = k < N ? k : N;
            dense_hit *hits = mem_alloc(k * sizeof *hits);
            assert_int_equal(dense_search(index, rows, k, 0, NULL, &a, hits), expected);
            for (uint32_t i = 0; i < expected; i++) {
                assert_true(fabsf(hits[i].distance) < 1e-5f);
                assert_true(i == 0 || hits[i - 1].document < hits[i].document);
            }
            free(hits);
        }
        arena_release(&a);
        dense_index_close(index);
        free(rows);
    }
}

/* They must not cut off the rest: half of all are equal, and what is not is found from wherever a walk begins. */
static void equal_vectors_among_others(void **state) {
    (void)state;
    enum { N = 4000, D = 12, QUERIES = 100 };
    float *rows = dense_room(N + QUERIES, D);
    dense_clusters(rows, N + QUERIES, D, 40, 0.5f, 77);
    for (size_t i = 0; i < N; i += 2) memcpy(rows + i * D, rows + (size_t)N * D, D * sizeof *rows);
    for (uint64_t seed = 1; seed <= 2; seed++)
        for (int at_once = 0; at_once < 2; at_once++) {
            dense_config c = {.dimensions = D, .metric = DENSE_L2, .code = DENSE_INT8, .graph_at = at_once ? N : 100,
                              .ef_construction = 60, .seed = seed};
            dense_index *index = dense_empty(&c);
            dense_put(index, 0, 100, rows, 1);
            dense_put(index, 100, N - 100, rows + 100 * D, 2);
            refuse_below(dense_recall(index, rows + (N + 1) * (size_t)D, QUERIES - 1, D, K, 60, NULL), 0.95, "beside equal ones");
            refuse_below(dense_recall(index, rows + (size_t)N * D, 1, D, K, 60, NULL), 1, "the equal ones");
            dense_index_close(index);
        }
    free(rows);
}

/* ---- Shapes ---- */

static void vectors_on_a_line(void **state) {
    (void)state;
    enum { N = 4000, D = 16, QUERIES = 50 };
    float *rows = dense_room(N + QUERIES, D), direction[D];
    random_source r;
    random_seed(&r, 4);
    for (int d = 0; d < D; d++) direction[d] = (float)random_normal(&r);
    for (size_t i = 0; i < N; i++)
        for (int d = 0; d < D; d++) rows[i * D + d] = (float)i * direction[d]; /* in order: the worst case */
    for (size_t i = N; i < N + QUERIES; i++) {
        float at = (float)random_double(&r) * N;
        for (int d = 0; d < D; d++) rows[i * D + d] = at * direction[d];
    }
    for (int code = 0; code < DENSE_INT4; code++) {
        dense_config c = {.dimensions = D, .metric = DENSE_L2, .code = (dense_code)code, .graph_at = 100, .ef_construction = 60};
        dense_index *index = dense_empty(&c);
        dense_put(index, 0, 200, rows, 1);
        dense_put(index, 200, N - 200, rows + 200 * D, 1);
        dense_sound(index);
        refuse_below(dense_recall(index, rows + (size_t)N * D, QUERIES, D, K, 60, NULL), 0.95, "on a line");
        dense_index_close(index);
    }
    free(rows);
}

/* Cluster after cluster, each far from all others, added to a graph that is there already. */
static void clusters_far_apart(void **state) {
    (void)state;
    enum { CLUSTERS = 40, EACH = 150, D = 8, QUERIES = 10 };
    float *rows = dense_room(CLUSTERS * EACH, D), *queries = dense_room(CLUSTERS * QUERIES, D), centre[D];
    random_source r;
    random_seed(&r, 9);
    for (size_t i = 0; i < CLUSTERS; i++) {
        for (int d = 0; d < D; d++) centre[d] = 1000 * (float)random_normal(&r);
        for (size_t j = 0; j < EACH * D; j++) rows[i * EACH * D + j] = centre[j % D] + (float)random_normal(&r);
        for (size_t j = 0; j < QUERIES * D; j++) queries[i * QUERIES * D + j] = centre[j % D] + (float)random_normal(&r);
    }
    for (int threads = 1; threads <= 2; threads++) {
        dense_config c = {.dimensions = D, .metric = DENSE_L2, .code = DENSE_FLOAT32, .graph_at = 100, .ef_construction = 60};
        dense_index *index = dense_empty(&c);
        dense_put(index, 0, EACH, rows, 1);
        dense_put(index, EACH, (CLUSTERS - 1) * EACH, rows + EACH * D, (unsigned)threads);
        dense_sound(index);
        double mean = 0;
        for (size_t i = 0; i < CLUSTERS; i++) {
            char what[40];
            double recall = dense_recall(index, queries + i * QUERIES * D, QUERIES, D, K, 60, NULL);
            snprintf(what, sizeof what, "cluster %zu, %d threads", i, threads);
            refuse_below(recall, threads == 1 ? 0.9 : 0.2, what); /* two threads never build the same graph twice */
            mean += recall / CLUSTERS;
        }
        refuse_below(mean, 0.95, "all clusters");
        dense_index_close(index);
    }
    free(rows);
    free(queries);
}

/* ---- Requests ---- */

static void odd_requests(void **state) {
    (void)state;
    enum { N = 3000, D = 6 };
    dense_config c = {.dimensions = D, .metric = DENSE_COSINE, .code = DENSE_INT8, .graph_at = 500, .ef_construction = 60};
    dense_index *index = dense_empty(&c);
    dense_hit *hits = mem_alloc(2 * N * sizeof *hits);
    float *rows = dense_room(N, D), zero[D] = {0}, wrong[D] = {0, 0, NAN, 1, 1, 1};
    arena a;
    arena_init(&a, 0);
    assert_int_equal(dense_search(index, zero, 5, 0, NULL, &a, hits), 0); /* empty */
    assert_int_equal(dense_search_exact(index, zero, 5, NULL, &a, hits), 0);
    dense_sound(index);
    dense_clusters(rows, N, D, 10, 0.5f, 3);
    dense_put(index, 0, N, rows, 1);
    assert_int_equal(dense_search(index, rows, 0, 0, NULL, &a, hits), 0);
    assert_int_equal(dense_search(index, rows, 2 * N, 0, NULL, &a, hits), N);
    assert_int_equal(dense_search(index, rows, UINT32_MAX, UINT32_MAX, NULL, &a, hits), N);
    static const uint32_t breadths[] = {1, 100000, 100001, UINT32_MAX};
    for (size_t i = 0; i < sizeof breadths / sizeof *breadths; i++) {
        assert_int_equal(dense_search(index, rows + 7 * D, 5, breadths[i], NULL, &a, hits), 5);
        assert_int_equal(hits[0].document, 7);
    }
    assert_int_equal(dense_search(index, wrong, 5, 0, NULL, &a, hits), 0);
    assert_int_equal(dense_search_exact(index, wrong, 5, NULL, &a, hits), 0);
    size_t n = dense_search(index, zero, 5, 0, NULL, &a, hits); /* no direction: any, none nearer than another */
    for (size_t i = 0; i < n; i++) assert_true(hits[i].distance == 1);
    uint64_t none[N / 64 + 1] = {0};
    assert_int_equal(dense_search(index, rows, 5, 0, &(dense_filter){none, N, 0}, &a, hits), 0);
    none[1] = 1ull << 36; /* one passes, and more bits than documents */
    assert_int_equal(dense_search(index, rows, 5, 0, &(dense_filter){none, N, 1}, &a, hits), 1);
    assert_int_equal(hits[0].document, 100);
    assert_int_equal(dense_search(index, rows, 5, 0, &(dense_filter){none, 100, 1}, &a, hits), 0); /* its bit is beyond the last */
    free(hits);
    free(rows);
    arena_release(&a);
    dense_index_close(index);
}

static void configurations_are_checked(void **state) {
    (void)state;
    static const dense_config bad[] = {{.dimensions = 0}, {.dimensions = 4097}, {.dimensions = 4, .metric = DENSE_METRICS},
                                       {.dimensions = 4, .code = DENSE_CODES}, {.dimensions = 4, .M = 1}, {.dimensions = 4, .M = 129},
                                       {.dimensions = 4, .ef_construction = 100001}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        dense_index *index = NULL;
        base_error error = {0};
        assert_int_equal(dense_index_create(NULL, &bad[i], &index, &error), FORAGE_E_INVALID);
        assert_null(index);
        assert_true(error.message[0] != '\0');
    }
    dense_index *index = NULL;
    base_error error = {0};
    assert_int_equal(dense_index_create("/nonexistent/folder", &(dense_config){.dimensions = 4}, &index, &error), FORAGE_E_NOT_FOUND);
    assert_non_null(strstr(error.message, "/nonexistent/folder"));
    index = dense_empty(&(dense_config){.dimensions = 2, .metric = DENSE_L2});
    assert_int_equal(dense_index_add(index, UINT32_MAX, 1, (float[]){1, 2}, &error), FORAGE_E_INVALID);
    assert_int_equal(dense_index_add(index, 1, 1, (float[]){3e38f, 3e38f}, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "too long"));
    uint32_t documents[] = {1, 2, 3};
    uint64_t versions[] = {1, 1, 1}, version;
    assert_int_equal(dense_index_add_all(index, 3, documents, versions, (float[]){1, 2, 1, NAN, 1, 2}, 2, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "document 2"));
    assert_false(dense_index_version(index, 2, &version));
    assert_false(dense_index_vector(index, UINT32_MAX, (float[]){0, 0}));
    dense_index_remove(index, UINT32_MAX);
    dense_index_remove(index, 77);
    assert_ok(dense_index_add(index, UINT32_MAX - 1, 1, (float[]){0, 0}, &error)); /* zero is a place by L2 */
    assert_true(dense_index_version(index, UINT32_MAX - 1, &version));
    dense_index_close(index);
    dense_index_close(NULL);
}

/* One wrong vector far behind many right ones: it is named, and nothing is half there. */
static void one_wrong_among_many(void **state) {
    (void)state;
    enum { N = 6000, WRONG = 5500, D = 2 };
    dense_index *index = dense_empty(&(dense_config){.dimensions = D, .metric = DENSE_L2});
    float *rows = dense_room(N, D);
    uint32_t *documents = mem_alloc(N * sizeof *documents);
    uint64_t *versions = mem_alloc(N * sizeof *versions), version;
    base_error error = {0};
    for (uint32_t i = 0; i < N; i++) {
        documents[i] = i;
        versions[i] = 1;
        rows[i * D] = (float)i;
        rows[i * D + 1] = i == WRONG ? INFINITY : 1;
    }
    assert_int_equal(dense_index_add_all(index, N, documents, versions, rows, 0, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "document 5500"));
    assert_false(dense_index_version(index, WRONG, &version));
    assert_true(dense_index_version(index, 0, &version));
    dense_sound(index);
    rows[WRONG * D + 1] = 1;
    assert_ok(dense_index_add_all(index, N, documents, versions, rows, 0, &error));
    assert_int_equal(dense_told(index).documents, N);
    dense_index_close(index);
    free(rows);
    free(documents);
    free(versions);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_number_of_dimensions), cmocka_unit_test(equal_vectors),
        cmocka_unit_test(equal_vectors_among_others), cmocka_unit_test(vectors_on_a_line),
        cmocka_unit_test(clusters_far_apart), cmocka_unit_test(odd_requests),
        cmocka_unit_test(configurations_are_checked), cmocka_unit_test(one_wrong_among_many),
    };
    return cmocka_run_group_tests_name("dense_edges", tests, NULL, NULL);
}
