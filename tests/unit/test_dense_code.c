/* Codes: estimates are near to the truth, nearer with more bits, and the same by every kernel. */
#include "testing.h"

#include "base/memory.h"
#include "base/random.h"
#include "dense/code.h"
#include "kernel/dense_kernel.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static random_source r;

static float gauss(void) { return (float)random_normal(&r); }

/* Vectors around a few centres, as embeddings lie. */
static float *clustered(size_t n, uint32_t dimensions, uint64_t seed) {
    random_seed(&r, seed);
    float *v = mem_alloc(n * dimensions * sizeof *v), *centres = mem_alloc(20 * (size_t)dimensions * sizeof *centres);
    for (size_t i = 0; i < 20 * (size_t)dimensions; i++) centres[i] = gauss();
    for (size_t i = 0; i < n; i++) {
        const float *centre = centres + random_below(&r, 20) * dimensions;
        for (uint32_t d = 0; d < dimensions; d++) v[i * dimensions + d] = centre[d] + 0.8f * gauss();
    }
    free(centres);
    return v;
}

/* ---- Kernels ---- */

static void every_kernel_says_the_same(void **state) {
    (void)state;
    const dense_kernel_table *plain = &dense_kernel_scalar, *fast = dense_kernels();
    random_seed(&r, 1);
    for (uint32_t groups = 1; groups <= 128; groups = groups * 3 / 2 + 1) {
        size_t bytes = (size_t)groups * KERNEL_GROUP;
        int8_t *query = mem_alloc(bytes);
        uint8_t *codes = mem_alloc(7 * (bytes + 5));
        const void *at[7];
        for (size_t i = 0; i < bytes; i++) query[i] = (int8_t)((int)random_below(&r, 255) - 127);
        for (int extreme = 0; extreme < 2; extreme++) {
            for (size_t i = 0; i < 7 * (bytes + 5); i++) codes[i] = (uint8_t)(extreme ? 129 : 129 + random_below(&r, 255));
            for (size_t i = 0; extreme && i < bytes; i++) query[i] = i % 2 ? 127 : -127;
            for (size_t i = 0; i < 7; i++) at[i] = codes + i * (bytes + 5);
            int32_t a[7], b[7];
            for (size_t n = 1; n <= 7; n++) {
                uint32_t cut = 4 * (uint32_t)n - 4; /* 0 … 24: whole groups and parts of one */
                plain->dots_int8(query, at, 5, n, (uint32_t)bytes - cut, a);
                fast->dots_int8(query, at, 5, n, (uint32_t)bytes - cut, b);
                assert_memory_equal(a, b, n * sizeof *a);
                plain->dots_int4(query, at, 5, n, groups, a);
                fast->dots_int4(query, at, 5, n, groups, b);
                assert_memory_equal(a, b, n * sizeof *a);
                plain->dots_bit(query, at, 5, n, groups, a);
                fast->dots_bit(query, at, 5, n, groups, b);
                assert_memory_equal(a, b, n * sizeof *a);
            }
        }
        free(query);
        free(codes);
    }
    for (uint32_t n = 1; n < 300; n += n < 40 ? 1 : 37) {
        float x[300], y[300];
        for (uint32_t i = 0; i < n; i++) {
            x[i] = gauss();
            y[i] = gauss();
        }
        assert_true(plain->dot(x, y, n) == fast->dot(x, y, n));
        assert_true(plain->squared_distance(x, y, n) == fast->squared_distance(x, y, n));
        float a, b;
        assert_true(plain->dot_and_square(x, y, n, &a) == fast->dot_and_square(x, y, n, &b));
        assert_true(a == b && a == plain->dot(y, y, n));
    }
}

/* ---- Codes ---- */

/* How far estimates are off, as a share of how far distances are spread. */
static double error_of(dense_metric metric, dense_code code, uint32_t dimensions, bool by_code) {
    enum { N = 300 };
    arena a;
    arena_init(&a, 0);
    float *v = clustered(N, dimensions, 7 + dimensions);
    dense_coder *c = dense_coder_create(dimensions, metric, code, v, N);
    size_t bytes = dense_coder_bytes(c);
    assert_int_equal(bytes % 4, 0);
    uint8_t *codes = mem_alloc(N * bytes);
    for (size_t i = 0; i < N; i++) dense_coder_encode(c, v + i * dimensions, codes + i * bytes);
    double off = 0, mean = 0, spread = 0, exact[N];
    float estimated[N];
    dense_prepared *p = by_code ? dense_prepare_code(c, codes, &a) : dense_prepare(c, v, &a);
    dense_scan(p, codes, bytes, N, estimated);
    for (size_t i = 1; i < N; i++) mean += exact[i] = (double)dense_exact(metric, v, v + i * dimensions, dimensions);
    mean /= N - 1;
    for (size_t i = 1; i < N; i++) {
        off += ((double)estimated[i] - exact[i]) * ((double)estimated[i] - exact[i]);
        spread += (exact[i] - mean) * (exact[i] - mean);
    }
    dense_coder_destroy(c);
    arena_release(&a);
    free(codes);
    free(v);
    return sqrt(off / spread);
}

static void estimates_are_near(void **state) {
    (void)state;
    static const uint32_t dimensions[] = {7, 100, 128, 384, 1000, 4096};
    static const double most[DENSE_CODES] = {1e-4, 0.02, 0.15, 0.6};
    for (size_t d = 0; d < sizeof dimensions / sizeof *dimensions; d++)
        for (int metric = 0; metric < DENSE_METRICS; metric++)
            for (int code = 0; code < DENSE_CODES; code++)
                for (int by_code = 0; by_code < 2; by_code++) {
                    double error = error_of((dense_metric)metric, (dense_code)code, dimensions[d], by_code);
                    double bound = most[code] * (by_code && code == DENSE_BIT ? 1.6 : by_code ? 1.5 : 1);
                    if (!(error < bound)) fail_msg("metric %d, code %d, %u dimensions: %.4f", metric, code, dimensions[d], error);
                }
}

/* Of a few dozen that the codes put first, the ten nearest are among them. */
static double recall_of(dense_metric metric, dense_code code, uint32_t dimensions, size_t kept) {
    enum { N = 2000, QUERIES = 20, K = 10 };
    arena a;
    arena_init(&a, 0);
    float *v = clustered(N, dimensions, 99), *estimated = mem_alloc(N * sizeof *estimated), *exact = mem_alloc(N * sizeof *exact);
    dense_coder *c = dense_coder_create(dimensions, metric, code, v, N);
    size_t bytes = dense_coder_bytes(c), found = 0;
    uint8_t *codes = mem_alloc(N * bytes);
    for (size_t i = 0; i < N; i++) dense_coder_encode(c, v + i * dimensions, codes + i * bytes);
    for (size_t q = 0; q < QUERIES; q++) {
        const float *query = v + q * 97 * dimensions;
        dense_scan(dense_prepare(c, query, &a), codes, bytes, N, estimated);
        for (size_t i = 0; i < N; i++) exact[i] = dense_exact(metric, query, v + i * dimensions, dimensions);
        for (size_t i = 0; i < N; i++) {
            size_t nearer = 0, before = 0;
            for (size_t j = 0; j < N; j++) {
                nearer += exact[j] < exact[i];
                before += estimated[j] < estimated[i];
            }
            found += nearer < K && before < kept;
        }
    }
    dense_coder_destroy(c);
    arena_release(&a);
    free(codes);
    free(v);
    free(estimated);
    free(exact);
    return (double)found / (QUERIES * K);
}

static void the_nearest_come_first(void **state) {
    (void)state;
    for (int metric = 0; metric < DENSE_METRICS; metric++) {
        assert_true(recall_of((dense_metric)metric, DENSE_INT8, 100, 12) > 0.97);
        assert_true(recall_of((dense_metric)metric, DENSE_INT4, 100, 40) > 0.97);
        assert_true(recall_of((dense_metric)metric, DENSE_BIT, 128, 200) > 0.85);
    }
}

static void odd_vectors_are_taken(void **state) {
    (void)state;
    arena a;
    arena_init(&a, 0);
    for (int metric = 0; metric < DENSE_METRICS; metric++)
        for (int code = 0; code < DENSE_CODES; code++) {
            static const float vectors[][3] = {{0, 0, 0}, {1e-30f, 0, 1e-30f}, {1e25f, -1e25f, 3}, {-0.0f, 5, 5}};
            dense_coder *c = dense_coder_create(3, (dense_metric)metric, (dense_code)code, NULL, 0);
            void *codes = mem_zalloc(4, dense_coder_bytes(c));
            float distances[4];
            for (size_t i = 0; i < 4; i++) dense_coder_encode(c, vectors[i], (char *)codes + i * dense_coder_bytes(c));
            for (size_t i = 0; i < 4; i++) {
                dense_scan(dense_prepare(c, vectors[i], &a), codes, dense_coder_bytes(c), 4, distances);
                for (size_t j = 0; j < 4; j++) assert_false(isnan(distances[j]) && metric == DENSE_COSINE);
            }
            free(codes);
            dense_coder_destroy(c);
        }
    arena_release(&a);
}

static void a_coder_is_kept_and_read(void **state) {
    (void)state;
    buffer bytes = {0};
    dense_coder *c = dense_coder_create(100, DENSE_L2, DENSE_BIT, NULL, 0), *back;
    dense_coder_save(c, &bytes);
    assert_int_equal(dense_coder_load((slice){bytes.data, bytes.size}, &back, NULL), FORAGE_OK);
    assert_int_equal(dense_coder_dimensions(back), 100);
    assert_int_equal(dense_coder_metric(back), DENSE_L2);
    assert_int_equal(dense_coder_code(back), DENSE_BIT);
    dense_coder_destroy(back);
    for (size_t n = 0; n < bytes.size; n++)
        assert_int_equal(dense_coder_load((slice){bytes.data, n}, &back, NULL), FORAGE_E_CORRUPT);
    for (size_t i = 0; i < bytes.size; i += i == 3 ? 2 : 1) { /* but for the dimensions' lowest byte */
        bytes.data[i] ^= (char)0x80;
        assert_int_equal(dense_coder_load((slice){bytes.data, bytes.size}, &back, NULL), FORAGE_E_CORRUPT);
        bytes.data[i] ^= (char)0x80;
    }
    dense_coder_destroy(c);
    buffer_release(&bytes);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kernel_says_the_same), cmocka_unit_test(estimates_are_near),
        cmocka_unit_test(the_nearest_come_first),     cmocka_unit_test(odd_vectors_are_taken),
        cmocka_unit_test(a_coder_is_kept_and_read),
    };
    return cmocka_run_group_tests_name("dense_code", tests, NULL, NULL);
}
