/* What a business wants of an order: value where it says so, nothing where it does not, pins where they belong. */
#include "testing.h"

#include "base/random.h"
#include "rank/arrange.h"

#include <float.h>
#include <math.h>

enum { N = 6 };

static arena scratch;

static int set_up(void **state) {
    (void)state;
    arena_init(&scratch, 0);
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    arena_release(&scratch);
    return 0;
}

static void assert_order(const float *final, const float *score, const bool *hidden, const uint32_t *expected, size_t n) {
    uint32_t order[N];
    assert_int_equal(arrange_order(final, score, hidden, N, NULL, 0, &scratch, order), n);
    for (size_t i = 0; i < n; i++) assert_int_equal(order[i], expected[i]);
}

static void no_strength_no_effect(void **state) {
    (void)state;
    const float score[N] = {1e30f, 40, 1000, -1e30f, 41, -3}, value[N] = {0, 100, NAN, 1e9f, 1, 3};
    const double none[] = {0, -2, NAN};
    for (int i = 0; i < 3; i++) {
        float final[N], e[N];
        arrange_value settings = {.engagement = {1, 0}, .strength = none[i]};
        arrange_score(&settings, score, value, N, &scratch, final, e, NULL);
        /* 40, 41 and all above have an engagement of 1 as far as numbers go; the order is the scores' all the same */
        assert_order(final, score, NULL, (uint32_t[]){0, 2, 4, 1, 5, 3}, N);
        for (int k = 0; k < N; k++) assert_true(isfinite(final[k]) && e[k] >= 0 && e[k] <= 1);
        assert_true(fabsf(e[5] - .0474259f) < 1e-6f);
    }
}

/* Strength 1: the order of expected value, e × v; a missing value is the usual one. */
static void value_counts_as_it_should(void **state) {
    (void)state;
    const float score[N] = {2, 1, 0, -1, -2, 3}, value[N] = {1, 2, 4, 8, NAN, -5};
    float final[N], e[N];
    arrange_value settings = {.engagement = {.5, -1}, .strength = 1};
    arrange_score(&settings, score, value, N, &scratch, final, e, NULL);
    for (int i = 0; i < N; i++) {
        double p = 1 / (1 + exp(-.5 * (double)score[i] + 1)), v = value[i] >= 0 ? (double)value[i] : 2;
        assert_true(fabs((double)e[i] - p) < 1e-6 && fabs(exp((double)final[i]) - p * v / 2) < 1e-6);
    }
    settings.strength = .5; /* e × sqrt(v) */
    arrange_score(&settings, score, value, N, &scratch, final, NULL, NULL);
    assert_true(fabs(exp((double)final[3]) - (double)e[3] * 2) < 1e-6);
    settings.strength = 1e9; /* clipped, still finite; a value of 0 is last */
    const float free_of_charge[N] = {0, FLT_MAX, 1e-30f, 1, 1, 0};
    arrange_score(&settings, score, free_of_charge, N, &scratch, final, NULL, NULL);
    for (int i = 0; i < N; i++) assert_true(isfinite(final[i]));
    assert_order(final, score, NULL, (uint32_t[]){1, 3, 4, 2, 5, 0}, N);
    arrange_score(&settings, score, NULL, N, &scratch, final, NULL, NULL); /* no values at all */
    assert_order(final, score, NULL, (uint32_t[]){5, 0, 1, 2, 3, 4}, N);
    settings.engagement = (arrange_calibration){-1, 0}; /* would turn the order: not taken */
    arrange_score(&settings, score, NULL, N, &scratch, final, NULL, NULL);
    assert_order(final, NULL, NULL, (uint32_t[]){5, 0, 1, 2, 3, 4}, N);
}

static void money_does_not_buy_what_nobody_wants(void **state) {
    (void)state;
    const float score[N] = {2, 1, 0, -1, -2, -4}, value[N] = {1, 1, 1, 1, 1, 1000};
    float final[N];
    bool hidden[N] = {[2] = true};
    arrange_value settings = {.engagement = {1, 0}, .strength = 1};
    arrange_score(&settings, score, value, N, &scratch, final, NULL, NULL);
    assert_order(final, score, NULL, (uint32_t[]){5, 0, 1, 2, 3, 4}, N);
    settings.reserve = .05;
    arrange_score(&settings, score, value, N, &scratch, final, NULL, NULL);
    assert_order(final, score, NULL, (uint32_t[]){0, 1, 2, 3, 4, 5}, N);
    settings.drop = true;
    arrange_score(&settings, score, value, N, &scratch, final, NULL, hidden);
    assert_true(hidden[2] && hidden[5] && !hidden[4]);
    assert_order(final, score, hidden, (uint32_t[]){0, 1, 3, 4}, 4);
}

static void pins_stand_where_they_are_put(void **state) {
    (void)state;
    const float final[N] = {6, 5, 4, 3, 2, 1};
    bool hidden[N] = {[1] = true};
    uint32_t order[N];
    arrange_pin pins[] = {{5, 2}, {4, 2}, {1, 1}, {5, 1}, {77, 1}, {3, 100}, {0, 0}};
    assert_int_equal(arrange_order(final, NULL, hidden, N, pins, 7, &scratch, order), 5);
    const uint32_t expected[] = {0, 5, 4, 2, 3}; /* 1 is hidden, 5 is named twice, there is no 77 */
    assert_memory_equal(order, expected, sizeof expected);
    assert_int_equal(arrange_order(final, NULL, NULL, N, (arrange_pin[]){{3, 1}, {0, 4}}, 2, &scratch, order), N);
    const uint32_t moved[] = {3, 1, 2, 0, 4, 5};
    assert_memory_equal(order, moved, sizeof moved);
    uint32_t explored[4] = {5, 0, 3, 1}; /* an order of some, as drawn */
    assert_int_equal(arrange_pins(explored, 4, hidden, (arrange_pin[]){{3, 1}, {4, 1}}, 2, &scratch), 3);
    assert_true(explored[0] == 3 && explored[1] == 5 && explored[2] == 0);
    assert_int_equal(arrange_pins(NULL, 0, NULL, pins, 7, &scratch), 0);
    assert_int_equal(arrange_order(NULL, NULL, NULL, 0, pins, 7, &scratch, NULL), 0);
}

/* Pins and the hidden against a plain model: insert in order of position into the list of the rest. */
static void pins_keep_everybody(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 31);
    for (int trial = 0; trial < 500; trial++) {
        enum { MANY = 12 };
        float final[MANY];
        bool hidden[MANY];
        arrange_pin pins[4];
        uint32_t order[MANY], seen = 0, wanted = 0;
        for (uint32_t i = 0; i < MANY; i++) {
            final[i] = (float)random_below(&random, 4);
            hidden[i] = random_below(&random, 5) == 0;
            if (!hidden[i]) wanted |= 1u << i;
        }
        for (int i = 0; i < 4; i++) pins[i] = (arrange_pin){(uint32_t)random_below(&random, 14), (uint32_t)random_below(&random, 16)};
        size_t n = arrange_order(final, NULL, hidden, MANY, pins, 4, &scratch, order), last = MANY;
        for (size_t i = 0; i < n; i++) {
            seen |= 1u << order[i];
            bool pinned = false;
            for (int p = 0; p < 4; p++) pinned |= pins[p].candidate == order[i];
            if (pinned) continue;
            if (last < MANY) assert_true(final[last] > final[order[i]] || (final[last] == final[order[i]] && last < order[i]));
            last = order[i];
        }
        assert_true(seen == wanted && n == (size_t)__builtin_popcount(wanted));
        arena_reset(&scratch);
    }
}

static void calibration_finds_the_truth(void **state) {
    (void)state;
    enum { ROWS = 20000 };
    static float score[ROWS], reward[ROWS], weight[ROWS];
    random_source random;
    random_seed(&random, 13);
    for (int i = 0; i < ROWS; i++) {
        score[i] = (float)(500 + 200 * random_normal(&random)); /* any scale */
        reward[i] = random_double(&random) < 1 / (1 + exp(-.01 * (double)score[i] + 6)) ? 1 : 0;
        weight[i] = i % 2 ? 2 : 0;
    }
    arrange_calibration c = {7, 7}, w;
    base_error error;
    assert_ok(arrange_fit(score, reward, NULL, ROWS, &c, &error));
    assert_true(fabs(c.slope - .01) < .001 && fabs(c.intercept + 6) < .5);
    assert_ok(arrange_fit(score, reward, weight, ROWS, &w, &error)); /* half the rows */
    assert_true(fabs(w.slope - .01) < .001 && w.slope != c.slope);
    double expected = 0, seen = 0; /* calibrated: as many engagements as expected */
    for (int i = 0; i < ROWS; i++) {
        expected += 1 / (1 + exp(-c.slope * (double)score[i] - c.intercept));
        seen += (double)reward[i];
    }
    assert_true(fabs(expected - seen) < 3);
    for (int i = 0; i < ROWS; i++) reward[i] = 1 - reward[i];
    c = (arrange_calibration){7, 7};
    assert_int_equal(arrange_fit(score, reward, NULL, ROWS, &c, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "slope"));
    assert_int_equal(arrange_fit(score, reward, NULL, 1, &c, &error), FORAGE_E_INVALID);
    assert_int_equal(arrange_fit(score, NULL, NULL, 0, &c, &error), FORAGE_E_INVALID);
    assert_int_equal(arrange_fit((float[]){1, 1, 1}, (float[]){0, 1, 0}, NULL, 3, &c, &error), FORAGE_E_INVALID);
    assert_int_equal(arrange_fit((float[]){1, 2, 3}, (float[]){1, 1, 1}, NULL, 3, &c, &error), FORAGE_E_INVALID);
    assert_true(c.slope == 7 && c.intercept == 7);
    /* a clean cut and wild scores still give a finite answer */
    assert_ok(arrange_fit((float[]){-2, -1, 1, 2}, (float[]){0, 0, 1, 1}, NULL, 4, &c, &error));
    assert_true(c.slope > 0 && c.slope < 100 && fabs(c.intercept) < 1);
    assert_ok(arrange_fit((float[]){-1e30f, NAN, INFINITY, 1e30f}, (float[]){0, 0, 1, 1}, NULL, 4, &c, &error));
    assert_true(c.slope > 0 && isfinite(c.intercept));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_strength_no_effect),        cmocka_unit_test(value_counts_as_it_should),
        cmocka_unit_test(money_does_not_buy_what_nobody_wants), cmocka_unit_test(pins_stand_where_they_are_put),
        cmocka_unit_test(pins_keep_everybody),          cmocka_unit_test(calibration_finds_the_truth),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
