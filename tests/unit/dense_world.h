/* Indexes made from rows of floats, and how well they are searched, for the tests of the dense index. */
#ifndef DENSE_WORLD_H
#define DENSE_WORLD_H

#include "testing.h"

#include "base/random.h"
#include "dense/dense.h"

#include <math.h>

#define DENSE_WORLD_K 10u

static inline float *dense_room(size_t n, uint32_t dimensions) { return mem_alloc(n * dimensions * sizeof(float)); }

/* Rows around `n_centres` points, as embeddings lie. */
static inline void dense_clusters(float *out, size_t n, uint32_t dimensions, uint32_t n_centres, float spread, uint64_t seed) {
    random_source r;
    float *centres = dense_room(n_centres, dimensions);
    random_seed(&r, seed);
    for (size_t i = 0; i < (size_t)n_centres * dimensions; i++) centres[i] = (float)random_normal(&r);
    for (size_t i = 0; i < n; i++) {
        const float *centre = centres + (size_t)random_below(&r, n_centres) * dimensions;
        for (uint32_t d = 0; d < dimensions; d++) out[i * dimensions + d] = centre[d] + spread * (float)random_normal(&r);
    }
    free(centres);
}

static inline dense_index *dense_empty(const dense_config *config) {
    dense_index *index = NULL;
    base_error error = {0};
    if (dense_index_create(NULL, config, &index, &error)) fail_msg("%s", error.message);
    return index;
}

/* Documents from … from + n − 1 of version 1, all at once. */
static inline void dense_put(dense_index *index, uint32_t from, size_t n, const float *rows, unsigned threads) {
    base_error error = {0};
    uint32_t *documents = mem_alloc(n * sizeof *documents + 1);
    uint64_t *versions = mem_alloc(n * sizeof *versions + 1);
    for (size_t i = 0; i < n; i++) {
        documents[i] = from + (uint32_t)i;
        versions[i] = 1;
    }
    if (dense_index_add_all(index, n, documents, versions, rows, threads, &error)) fail_msg("%s", error.message);
    free(documents);
    free(versions);
}

static inline void dense_sound(dense_index *index) {
    base_error error = {0};
    if (dense_index_check(index, &error)) fail_msg("%s", error.message);
}

/* The share of hits that are as near as the k-th of an exact search: equal ones stand for each other. All that is promised of a
 * list is asserted: as many as there are, in order, each once, live and passing. */
static inline double dense_recall(dense_index *index, const float *queries, size_t n_queries, uint32_t dimensions, uint32_t k, uint32_t ef,
                                  const dense_filter *filter) {
    arena a;
    size_t met = 0, all = 0;
    dense_hit *hits = mem_alloc(k * sizeof *hits), *truth = mem_alloc(k * sizeof *truth);
    arena_init(&a, 0);
    for (size_t q = 0; q < n_queries; q++) {
        size_t n = dense_search(index, queries + q * dimensions, k, ef, filter, &a, hits);
        size_t m = dense_search_exact(index, queries + q * dimensions, k, filter, &a, truth);
        assert_int_equal(n, m);
        for (size_t i = 0; i < n; i++) {
            uint64_t version;
            uint32_t d = hits[i].document;
            assert_true(dense_index_version(index, d, &version));
            assert_true(!filter || (d < filter->n_documents && filter->bits[d / 64] >> (d % 64) & 1));
            assert_true(i == 0 || hits[i - 1].distance < hits[i].distance ||
                        (hits[i - 1].distance == hits[i].distance && hits[i - 1].document < d));
            met += hits[i].distance <= truth[m - 1].distance;
        }
        all += m;
        arena_reset(&a);
    }
    free(hits);
    free(truth);
    arena_release(&a);
    return all ? (double)met / (double)all : 1;
}

static inline dense_info dense_told(dense_index *index) {
    dense_info info;
    dense_index_describe(index, &info);
    return info;
}

#endif
