#include "testing.h"

#include "base/random.h"
#include "rank/boost.h"

#include <math.h>

enum { N = 400, VALID = 100, F = 4 };

static float x[(N + VALID) * F], y[N + VALID];

/* y = 3 where x0 > 0, plus 2 x1; x2 is noise; x3 is missing half of the time and infinite once. */
static void make_rows(void) {
    random_source random;
    random_seed(&random, 5);
    for (int i = 0; i < N + VALID; i++) {
        for (int f = 0; f < F; f++) x[i * F + f] = (float)random_normal(&random);
        if (i % 2) x[i * F + 3] = NAN;
        y[i] = (x[i * F] > 0 ? 3.0f : 0.0f) + 2 * x[i * F + 1];
    }
    x[3] = INFINITY;
    x[F] = -INFINITY;
}

static boost *make(const boost_settings *s) {
    boost *b = NULL;
    base_error error = {0};
    if (boost_create(s, F, x, N, x + N * F, VALID, &b, &error)) fail_msg("%s", error.message);
    return b;
}

/* Squared error: gradient = score − y, hessian 1. */
static void step(boost *b) {
    float g[N], h[N];
    base_error error = {0};
    for (int i = 0; i < N; i++) {
        g[i] = boost_scores(b)[i] - y[i];
        h[i] = 1;
    }
    if (boost_round(b, g, h, &error)) fail_msg("%s", error.message);
}

static double mean_error(const float *scores, const float *wanted, int n) {
    double sum = 0;
    for (int i = 0; i < n; i++) sum += pow((double)(scores[i] - wanted[i]), 2);
    return sum / n;
}

static void a_known_function_is_learned(void **state) {
    (void)state;
    boost_settings s;
    boost_settings_default(&s);
    s.eta = .2;
    boost *b = make(&s);
    double start = mean_error(boost_valid_scores(b), y + N, VALID);
    for (int i = 0; i < 60; i++) step(b);
    assert_int_equal(boost_rounds(b), 60);
    assert_true(mean_error(boost_scores(b), y, N) < .05 * start);
    assert_true(mean_error(boost_valid_scores(b), y + N, VALID) < .1 * start);
    boost_destroy(b);
}

/* The scores kept from round to round are those of the model as it was written, in both forms, and after a cut. */
static void kept_scores_are_the_models(void **state) {
    (void)state;
    boost_settings s;
    boost_settings_default(&s);
    s.max_leaves = 0;
    s.max_depth = 3;
    boost *b = make(&s);
    float at_five[N + VALID], found[N + VALID];
    for (int i = 0; i < 9; i++) {
        step(b);
        if (i == 4) memcpy(at_five, boost_scores(b), sizeof at_five);
    }
    base_error error;
    assert_int_equal(boost_cut(b, 0, &error), FORAGE_E_INVALID);
    assert_int_equal(boost_cut(b, 10, &error), FORAGE_E_INVALID);
    assert_ok(boost_cut(b, 5, &error));
    assert_int_equal(boost_rounds(b), 5);
    for (int i = 0; i < N + VALID; i++) assert_true(fabsf(boost_scores(b)[i] - at_five[i]) < 1e-5f);
    for (int i = 0; i < 2; i++) step(b); /* and goes on from there */
    for (int json = 0; json < 2; json++) {
        buffer model = {0};
        assert_ok(boost_model(b, json, &model, &error));
        assert_ok(boost_predict((slice){model.data, model.size}, F, x, N + VALID, found, &error));
        for (int i = 0; i < N + VALID; i++) assert_true(fabsf(boost_scores(b)[i] - found[i]) < 1e-5f);
        buffer_release(&model);
    }
    boost_destroy(b);
}

/* Two at once, sampling, in one thread: neither draws from the other's numbers. */
static void the_same_seed_gives_the_same_trees(void **state) {
    (void)state;
    boost_settings s;
    boost_settings_default(&s);
    s.subsample = .5;
    s.colsample = .5;
    boost *alone = make(&s);
    for (int i = 0; i < 10; i++) step(alone);
    boost *a = make(&s), *b = make(&s);
    s.seed = 2;
    boost *other = make(&s);
    for (int i = 0; i < 10; i++) {
        step(a);
        step(b);
        step(other);
    }
    assert_memory_equal(boost_scores(alone), boost_scores(a), N * sizeof(float));
    assert_memory_equal(boost_scores(a), boost_scores(b), N * sizeof(float));
    assert_memory_not_equal(boost_scores(a), boost_scores(other), N * sizeof(float));
    boost_destroy(alone);
    boost_destroy(a);
    boost_destroy(b);
    boost_destroy(other);
}

static void bad_settings_and_models_are_named(void **state) {
    (void)state;
    base_error error;
    boost *b = NULL;
    boost_settings s;
    boost_settings_default(&s);
    s.max_bin = 256;
    assert_int_equal(boost_create(&s, F, x, N, NULL, 0, &b, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "max_bin"));
    boost_settings_default(&s);
    s.eta = NAN;
    assert_int_equal(boost_settings_check(&s, &error), FORAGE_E_INVALID);
    boost_settings_default(&s);
    s.max_leaves = s.max_depth = 0;
    assert_int_equal(boost_settings_check(&s, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "depth"));
    boost_settings_default(&s);
    assert_int_equal(boost_create(&s, F, x, 0, NULL, 0, &b, &error), FORAGE_E_INVALID);
    assert_null(b);
    float score;
    assert_int_equal(boost_predict(SLICE("{\"not\": \"a model\"}"), F, x, 1, &score, &error), FORAGE_E_CORRUPT);
}

int main(void) {
    make_rows();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_known_function_is_learned),
        cmocka_unit_test(kept_scores_are_the_models),
        cmocka_unit_test(the_same_seed_gives_the_same_trees),
        cmocka_unit_test(bad_settings_and_models_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
