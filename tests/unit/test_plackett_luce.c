/* Exploration of order: what is drawn is what its probability says, whatever the scores. */
#include "testing.h"

#include "rank/plackett_luce.h"

#include <float.h>
#include <math.h>

static const plackett_luce_config all = {1, 0, 1000, 1000};

static uint32_t code_of(const uint32_t *order, size_t k) {
    uint32_t code = 0;
    for (size_t i = 0; i < k; i++) code = code * 5 + order[i];
    return code;
}

/* Every prefix of three out of five: how often it comes against its propensity (chi-square), the propensities' sum, and
 * the product of the placements. */
static void frequencies_are_propensities(void **state) {
    (void)state;
    enum { N = 5, SHOWN = 3, DRAWS = 60000, CODES = 125 };
    const float score[N] = {1.5f, 1, 1, .2f, -1};
    plackett_luce_config c = {.8, 0, N, SHOWN};
    static double expected[CODES];
    static int seen[CODES];
    random_source random;
    random_seed(&random, 11);
    int firsts[N] = {0};
    float first[N];
    for (int draw = 0; draw < DRAWS; draw++) {
        uint32_t order[N];
        float placement[SHOWN];
        plackett_luce_draw d = plackett_luce_sample(&c, score, N, &random, order, placement, first);
        double product = 1;
        for (int i = 0; i < SHOWN; i++) product *= (double)placement[i];
        assert_true(fabs(product - exp(d.log_propensity)) < 1e-6);
        assert_true(fabs(d.log_propensity - plackett_luce_log_propensity(&c, score, N, order)) < 1e-12);
        uint32_t code = code_of(order, SHOWN);
        seen[code]++;
        expected[code] = exp(d.log_propensity);
        firsts[order[0]]++;
    }
    double chi = 0, sum = 0;
    int cells = 0;
    for (int code = 0; code < CODES; code++) {
        if (!seen[code]) continue;
        double e = expected[code] * DRAWS;
        chi += (seen[code] - e) * (seen[code] - e) / e;
        sum += expected[code];
        cells++;
    }
    print_message("chi-square %.1f with %d degrees of freedom\n", chi, cells - 1);
    assert_int_equal(cells, 60);
    assert_true(fabs(sum - 1) < 1e-9);
    assert_true(chi < 98); /* 0.1 % of right draws are above, at 59 degrees */
    float firsts_sum = 0;
    for (int i = 0; i < N; i++) {
        assert_true(fabs(firsts[i] / (double)DRAWS - (double)first[i]) < .01);
        firsts_sum += first[i];
    }
    assert_true(fabsf(firsts_sum - 1) < 1e-6f);
}

static void no_temperature_no_change(void **state) {
    (void)state;
    const float score[4] = {1, 7, NAN, 7}; /* the order as ranked, whatever the scores */
    const double cold[] = {0, -1, NAN};
    for (int t = 0; t < 3; t++) {
        plackett_luce_config c = {cold[t], 0, 4, 4};
        random_source random, untouched;
        random_seed(&random, 1);
        untouched = random;
        uint32_t order[4];
        float placement[4], first[4];
        plackett_luce_draw d = plackett_luce_sample(&c, score, 4, &random, order, placement, first);
        assert_true(d.log_propensity == 0 && d.entropy == 0);
        for (uint32_t i = 0; i < 4; i++) assert_true(order[i] == i && placement[i] == 1 && first[i] == (i == 0));
        assert_memory_equal(&random, &untouched, sizeof random);
        assert_true(plackett_luce_log_propensity(&c, score, 4, order) == 0);
        order[0] = 1;
        order[1] = 0;
        assert_true(plackett_luce_log_propensity(&c, score, 4, order) == -INFINITY);
    }
}

static void only_the_window_moves(void **state) {
    (void)state;
    enum { N = 8 };
    float score[N] = {0};
    plackett_luce_config c = {1, 2, 6, 4};
    random_source random;
    random_seed(&random, 3);
    bool moved = false;
    for (int draw = 0; draw < 200; draw++) {
        uint32_t order[N], seen = 0;
        float placement[4], first[N];
        plackett_luce_draw d = plackett_luce_sample(&c, score, N, &random, order, placement, first);
        for (int i = 0; i < N; i++) seen |= 1u << order[i];
        assert_int_equal(seen, 255);
        assert_true(order[0] == 0 && order[1] == 1 && order[6] == 6 && order[7] == 7);
        assert_true(placement[0] == 1 && placement[1] == 1 && fabsf(placement[2] - .25f) < 1e-6f);
        assert_true(fabsf(placement[3] - 1.0f / 3) < 1e-6f && first[1] == 1 && first[2] == .25f && first[6] == 0);
        assert_true(fabs(d.log_propensity + log(12)) < 1e-9 && fabs(d.entropy - log(4)) < 1e-9);
        moved |= order[2] != 2;
    }
    assert_true(moved);
    uint32_t outside[N] = {0, 1, 7, 3, 4, 5, 6, 2};
    assert_true(plackett_luce_log_propensity(&c, score, N, outside) == -INFINITY);
}

/* Equal scores are equally likely wherever they stand, and far apart never exchanged. */
static void any_scores_are_safe(void **state) {
    (void)state;
    enum { N = 8, DRAWS = 4000 };
    const float score[N] = {INFINITY, 1e30f, 1e30f, 0, -1e30f, -1e30f, -INFINITY, NAN};
    const double temperatures[] = {1e-300, 1e-3, 1, 1e20};
    for (int t = 0; t < 4; t++) {
        plackett_luce_config c = {temperatures[t], 0, N, N};
        random_source random;
        random_seed(&random, 6);
        int exchanged[2] = {0};
        for (int draw = 0; draw < DRAWS; draw++) {
            uint32_t order[N];
            float placement[N];
            plackett_luce_draw d = plackett_luce_sample(&c, score, N, &random, order, placement, NULL);
            assert_true(order[0] == 0 && order[3] == 3 && order[6] == 6 && order[7] == 7);
            assert_true(fabs(d.log_propensity + 2 * log(2)) < 1e-9);
            assert_true(fabsf(placement[1] - .5f) < 1e-6f && placement[2] == 1 && fabsf(placement[4] - .5f) < 1e-6f);
            exchanged[0] += order[1] == 2;
            exchanged[1] += order[4] == 5;
        }
        for (int pair = 0; pair < 2; pair++) assert_true(abs(exchanged[pair] - DRAWS / 2) < 4 * sqrt(DRAWS) / 2);
    }
    plackett_luce_config hot = {INFINITY, 0, N, 1}; /* infinitely hot: all but the infinite and the unknown are alike */
    random_source random;
    uint32_t order[N];
    random_seed(&random, 1);
    plackett_luce_draw d = plackett_luce_sample(&hot, score + 1, 5, &random, order, NULL, NULL);
    assert_true(fabs(d.log_propensity + log(5)) < 1e-9);
    d = plackett_luce_sample(&all, score, 0, &random, order, NULL, NULL);
    assert_true(d.log_propensity == 0);
    d = plackett_luce_sample(&all, score, 1, &random, order, NULL, NULL);
    assert_true(d.log_propensity == 0 && order[0] == 0);
}

static void one_seed_one_order(void **state) {
    (void)state;
    enum { N = 1500 };
    static float score[N];
    static uint32_t x[N], y[N];
    random_source a, b;
    random_seed(&a, 9);
    b = a;
    for (int i = 0; i < N; i++) score[i] = (float)(N - i) / 100;
    plackett_luce_config c = {1, 0, N, 10};
    plackett_luce_draw d = plackett_luce_sample(&c, score, N, &a, x, NULL, NULL);
    plackett_luce_draw e = plackett_luce_sample(&c, score, N, &b, y, NULL, NULL);
    assert_memory_equal(x, y, sizeof x);
    assert_true(d.log_propensity == e.log_propensity && d.log_propensity < 0);
    for (uint32_t i = PLACKETT_LUCE_MAX; i < N; i++) assert_int_equal(x[i], i);
}

/* Rewards weighted by the ratio of propensities tell what another temperature would have earned: the use of it all. */
static void weights_tell_of_another_temperature(void **state) {
    (void)state;
    enum { N = 4, DRAWS = 40000 };
    const float score[N] = {1, .5f, 0, -.5f};
    const double worth[N] = {.1, .9, .2, .4}; /* of the item at the top */
    plackett_luce_config logged = {1, 0, N, 1}, other = {.4, 0, N, 1};
    float first[N];
    random_source random;
    random_seed(&random, 2);
    double truth = 0, estimate = 0;
    uint32_t order[N];
    plackett_luce_sample(&other, score, N, &random, order, NULL, first);
    for (int i = 0; i < N; i++) truth += (double)first[i] * worth[i];
    for (int draw = 0; draw < DRAWS; draw++) {
        plackett_luce_draw d = plackett_luce_sample(&logged, score, N, &random, order, NULL, NULL);
        double weight = exp(plackett_luce_log_propensity(&other, score, N, order) - d.log_propensity);
        estimate += weight * worth[order[0]] / DRAWS;
    }
    assert_true(fabs(estimate - truth) < .01);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_propensities), cmocka_unit_test(no_temperature_no_change),
        cmocka_unit_test(only_the_window_moves),        cmocka_unit_test(any_scores_are_safe),
        cmocka_unit_test(one_seed_one_order),           cmocka_unit_test(weights_tell_of_another_temperature),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
