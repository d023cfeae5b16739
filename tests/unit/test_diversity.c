/* Diversity: with strength, neighbours differ; without, nothing happens. */
#include "testing.h"

#include "base/random.h"
#include "rank/diversity.h"

#include <float.h>
#include <math.h>

/* Six candidates of two brands (1, 2) and two types (10, 11). */
static const uint32_t first[7] = {0, 2, 4, 6, 8, 10, 10}, attribute[10] = {1, 10, 1, 10, 1, 11, 2, 10, 2, 11};
static const diversity_attributes things = {first, attribute, NULL};

static void similarity_is_weighted_jaccard(void **state) {
    (void)state;
    assert_true(diversity_similarity(&things, 0, 1) == 1);
    assert_true(diversity_similarity(&things, 0, 2) == (float)(1.0 / 3));
    assert_true(diversity_similarity(&things, 0, 4) == 0);
    assert_true(diversity_similarity(&things, 5, 5) == 0 && diversity_similarity(&things, 0, 5) == 0);
    const float weight[10] = {3, 1, 1, 1, 2, 1, NAN, -1, FLT_MAX, INFINITY};
    diversity_attributes weighted = {first, attribute, weight};
    assert_true(diversity_similarity(&weighted, 0, 1) == 2.0f / 4); /* (1 + 1) / (3 + 1) */
    assert_true(diversity_similarity(&weighted, 0, 2) == 2.0f / 5); /* 2 / (3 + 1 + 1) */
    assert_true(diversity_similarity(&weighted, 2, 0) == 2.0f / 5);
    assert_true(diversity_similarity(&weighted, 0, 3) == 0);
    assert_true(diversity_similarity(&weighted, 4, 4) == 1);
}

/* The definition, without any of the shortcuts. */
static void by_definition(const float *score, const diversity_attributes *a, uint32_t n, double strength, uint32_t *order) {
    float low = FLT_MAX, high = -FLT_MAX;
    bool placed[64] = {false};
    for (uint32_t i = 0; i < n; i++) {
        low = fminf(low, score[i]);
        high = fmaxf(high, score[i]);
    }
    for (uint32_t position = 0; position < n; position++) {
        double greatest = -INFINITY;
        for (uint32_t i = 0; i < n; i++) {
            float most = 0;
            for (uint32_t p = 0; p < position; p++) most = fmaxf(most, diversity_similarity(a, i, order[p]));
            double relevance = (double)(float)(((double)score[i] - (double)low) / ((double)high - (double)low));
            double value = (1 - strength) * relevance - strength * (double)most;
            if (placed[i] || value <= greatest) continue;
            greatest = value;
            order[position] = i;
        }
        placed[order[position]] = true;
    }
}

static void orders_are_those_of_the_definition(void **state) {
    (void)state;
    enum { N = 40 };
    random_source random;
    arena scratch;
    random_seed(&random, 21);
    arena_init(&scratch, 0);
    for (int trial = 0; trial < 60; trial++) {
        uint32_t starts[N + 1] = {0}, attributes[N * 3], expected[N], order[N];
        float weights[N * 3], score[N], redundancy[N];
        for (uint32_t i = 0; i < N; i++) {
            uint32_t at = starts[i], id = 0;
            for (uint64_t k = random_below(&random, 4); k > 0; k--) {
                attributes[at] = id += 1 + (uint32_t)random_below(&random, 4);
                weights[at++] = (float)(1 + random_below(&random, 3));
            }
            starts[i + 1] = at;
            score[i] = (float)(N - i) + (float)random_below(&random, 3);
        }
        diversity_attributes a = {starts, attributes, trial % 2 ? weights : NULL};
        double strength = (1 + (double)random_below(&random, 10)) / 10;
        by_definition(score, &a, N, strength, expected);
        diversity_rerank(score, &a, N, N, N, strength, &scratch, order, redundancy);
        assert_memory_equal(order, expected, sizeof order);
        for (uint32_t p = 1; p < N; p++) {
            float most = 0;
            for (uint32_t q = 0; q < p; q++) most = fmaxf(most, diversity_similarity(&a, order[p], order[q]));
            assert_true(redundancy[p] == most);
        }
        arena_reset(&scratch);
    }
    arena_release(&scratch);
}

static void a_brand_does_not_fill_the_page(void **state) {
    (void)state;
    const float score[6] = {10, 9.9f, 9.8f, 9.7f, 5, 0};
    uint32_t order[6];
    float redundancy[6];
    arena scratch;
    arena_init(&scratch, 0);
    diversity_rerank(score, &things, 6, 6, 6, .3, &scratch, order, redundancy);
    assert_true(order[0] == 0 && order[1] == 2 && order[2] == 3 && order[3] == 1); /* its twin comes behind two others */
    assert_true(redundancy[0] == 0 && redundancy[1] == (float)(1.0 / 3));
    const double none[] = {0, -1, NAN};
    for (int i = 0; i < 3; i++) { /* nothing happens, and what is alike is told */
        diversity_rerank(score, &things, 6, 6, 6, none[i], &scratch, order, redundancy);
        for (uint32_t p = 0; p < 6; p++) assert_int_equal(order[p], p);
        assert_true(redundancy[1] == 1);
    }
    diversity_rerank(score, &things, 6, 2, 2, 1, &scratch, order, redundancy); /* only two may move */
    assert_true(order[0] == 0 && order[1] == 1 && order[2] == 2 && redundancy[2] == 0);
    diversity_rerank(score, &things, 6, 6, 2, 1, &scratch, order, NULL); /* the rest follows as ranked */
    assert_true(order[0] == 0 && order[1] == 4 && order[2] == 1 && order[3] == 2 && order[4] == 3 && order[5] == 5);
    diversity_rerank(NULL, &things, 6, 6, 6, .3, &scratch, order, NULL); /* by position */
    assert_true(order[0] == 0 && order[1] != 1);
    const float odd[6] = {INFINITY, NAN, 1, -INFINITY, NAN, 1};
    diversity_rerank(odd, &things, 6, 6, 6, .5, &scratch, order, NULL);
    assert_int_equal(order[0], 0);
    diversity_rerank(odd, &things, 0, 6, 6, .5, &scratch, order, NULL);
    arena_release(&scratch);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(similarity_is_weighted_jaccard),
        cmocka_unit_test(orders_are_those_of_the_definition),
        cmocka_unit_test(a_brand_does_not_fill_the_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
