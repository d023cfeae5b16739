/* Sequential inference: looking after every observation raises no more false alarms than promised, and a difference that is
 * there is found. The same looking with a test that is made for one look is shown beside it. */
#include "testing.h"

#include "base/random.h"
#include "rank/sequential.h"

#include <math.h>

enum { RUNS = 500, LENGTH = 1000 };

/* What pages of an interleaved experiment say when nothing differs: mostly 0. */
static double no_preference(random_source *random) {
    double u = random_double(random);
    if (u < .7) return 0;
    double size = u < .9 ? 1 : random_double(random);
    return random_double(random) < .5 ? -size : size;
}

/* Alarms of a z-test at 5 % that is asked after every observation from the 30th on. */
typedef struct naive {
    double n, sum, squares;
    bool alarm;
} naive;

static void naive_add(naive *t, double x) {
    t->n++;
    t->sum += x;
    t->squares += x * x;
    double variance = t->squares / t->n - t->sum / t->n * t->sum / t->n;
    if (t->n >= 30 && fabs(t->sum) > 1.96 * sqrt(t->n * variance)) t->alarm = true;
}

static void no_difference_no_alarm(void **state) {
    (void)state;
    int alarms = 0, outside = 0, naive_alarms = 0;
    for (uint64_t run = 0; run < RUNS; run++) {
        random_source random;
        sequential s;
        naive test = {0};
        random_seed(&random, 1000 + run);
        sequential_init(&s, -1, 1, .05);
        bool missed = false;
        for (int i = 0; i < LENGTH; i++) {
            double x = no_preference(&random);
            sequential_add(&s, x);
            naive_add(&test, x);
            if (i % 100 == 0) {
                sequential_result r = sequential_ask(&s);
                missed |= r.low > 0 || r.high < 0;
                assert_true(r.low <= r.mean && r.mean <= r.high);
            }
        }
        alarms += s.verdict != SEQUENTIAL_OPEN;
        outside += missed;
        naive_alarms += test.alarm;
        assert_true((sequential_ask(&s).p <= .05) == (s.verdict != SEQUENTIAL_OPEN));
    }
    print_message("paired: %d of %d runs raise a false alarm; a z-test at every look: %d\n", alarms, RUNS, naive_alarms);
    assert_true(alarms <= RUNS / 20 && outside <= alarms);
    assert_true(naive_alarms > RUNS / 5);
}

static void no_difference_of_arms_no_alarm(void **state) {
    (void)state;
    for (int uneven = 0; uneven < 2; uneven++) {
        int alarms = 0, naive_alarms = 0;
        double p = uneven ? .2 : .5;
        for (uint64_t run = 0; run < RUNS; run++) {
            random_source random;
            sequential_arms s;
            double n[2] = {0}, sum[2] = {0};
            bool alarm = false;
            random_seed(&random, 5000 + run);
            sequential_arms_init(&s, p, .05);
            for (int i = 0; i < LENGTH; i++) {
                bool is_b = random_double(&random) >= p;
                double y = random_double(&random) < .3;
                sequential_arms_add(&s, is_b, y);
                n[is_b]++;
                sum[is_b] += y;
                double rate = (sum[0] + sum[1]) / (n[0] + n[1]);
                double error = sqrt(rate * (1 - rate) * (1 / n[0] + 1 / n[1]));
                if (n[0] >= 30 && n[1] >= 30 && fabs(sum[0] / n[0] - sum[1] / n[1]) > 1.96 * error) alarm = true;
            }
            alarms += s.difference.verdict != SEQUENTIAL_OPEN;
            naive_alarms += alarm;
        }
        print_message("two arms, %.0f %% in A: %d of %d runs raise a false alarm; a z-test at every look: %d\n", 100 * p,
                      alarms, RUNS, naive_alarms);
        assert_true(alarms <= RUNS / 20);
        assert_true(naive_alarms > RUNS / 10);
    }
}

/* The interval holds the truth at all times in all but 5 % of runs, wherever the truth is. */
static void intervals_hold_the_truth(void **state) {
    (void)state;
    const double truths[] = {.02, .5, .97};
    for (size_t t = 0; t < 3; t++) {
        int missed = 0;
        double width = 0;
        for (uint64_t run = 0; run < 100; run++) {
            random_source random;
            sequential s;
            random_seed(&random, 77 + run);
            sequential_init(&s, 0, 1, .05);
            bool miss = false;
            sequential_result r = {0};
            for (int i = 0; i < 400; i++) {
                sequential_add(&s, random_double(&random) < truths[t]);
                if (i % 20 != 19) continue;
                r = sequential_ask(&s);
                miss |= r.low > truths[t] || r.high < truths[t];
            }
            missed += miss;
            width += (r.high - r.low) / 100;
        }
        print_message("truth %.2f: missed in %d of 100 runs; width after 400 observations %.3f\n", truths[t], missed, width);
        assert_true(missed <= 5);
        assert_true(width < .25);
    }
}

static int by_size(const void *x, const void *y) {
    const uint64_t *a = x, *b = y;
    return (*a > *b) - (*a < *b);
}

static void differences_are_found(void **state) {
    (void)state;
    enum { TRIES = 41, MOST = 20000 };
    uint64_t needed[2][TRIES];
    for (uint64_t run = 0; run < TRIES; run++) {
        random_source random;
        sequential s;
        sequential_arms arms;
        random_seed(&random, 300 + run);
        sequential_init(&s, -1, 1, .05);
        sequential_arms_init(&arms, .5, .05);
        for (int i = 0; i < MOST && s.verdict == SEQUENTIAL_OPEN; i++) { /* B wins 25 %, A 15 %, the rest is a draw */
            double u = random_double(&random);
            sequential_add(&s, u < .15 ? 1 : u < .4 ? -1 : 0);
        }
        for (int i = 0; i < MOST && arms.difference.verdict == SEQUENTIAL_OPEN; i++) { /* A earns 30 %, B 20 % */
            bool is_b = random_double(&random) < .5;
            sequential_arms_add(&arms, is_b, random_double(&random) < (is_b ? .2 : .3));
        }
        assert_int_equal(s.verdict, SEQUENTIAL_B);
        assert_int_equal(arms.difference.verdict, SEQUENTIAL_A);
        assert_true(s.decided_high < 0 && arms.difference.decided_low > 0);
        needed[0][run] = s.decided_at;
        needed[1][run] = arms.difference.decided_at;
    }
    for (int kind = 0; kind < 2; kind++) qsort(needed[kind], TRIES, sizeof **needed, by_size);
    print_message("decided in the median after %zu pages (15 %% against 25 %%), %zu units (30 %% against 20 %%)\n",
                  (size_t)needed[0][TRIES / 2], (size_t)needed[1][TRIES / 2]);
    assert_true(needed[0][TRIES / 2] < 900);   /* one look planned beforehand, with a power of one half: 154 */
    assert_true(needed[1][TRIES / 2] < 1500);  /* 288 */
}

static void strange_observations(void **state) {
    (void)state;
    sequential s;
    sequential_init(&s, -1, 1, .05);
    sequential_result r = sequential_ask(&s);
    assert_true(r.n == 0 && r.low == -1 && r.high == 1 && r.p == 1 && r.verdict == SEQUENTIAL_OPEN && r.mean == 0);
    sequential_add(&s, NAN);
    assert_true(s.n == 0);
    for (int i = 0; i < 1000; i++) sequential_add(&s, 0); /* nobody ever clicks */
    assert_true(s.verdict == SEQUENTIAL_OPEN && sequential_ask(&s).p == 1);
    for (int i = 0; i < 5000; i++) sequential_add(&s, INFINITY);
    r = sequential_ask(&s);
    assert_true(r.verdict == SEQUENTIAL_A && isfinite(r.e) && r.low > 0 && r.high <= 1 && r.low <= r.mean);
}

static void states_are_kept(void **state) {
    (void)state;
    random_source random;
    sequential_arms s, t, untouched;
    random_seed(&random, 4);
    sequential_arms_init(&s, .3, .1);
    sequential_arms_init(&t, .5, .05);
    for (int i = 0; i < 700; i++) {
        bool is_b = random_double(&random) >= .3;
        sequential_arms_add(&s, is_b, is_b ? .2 : random_double(&random));
    }
    buffer bytes = {0};
    sequential_arms_save(&s, &bytes);
    assert_int_equal(bytes.size, SEQUENTIAL_ARMS_SIZE);
    assert_ok(sequential_arms_load(&t, (slice){bytes.data, bytes.size}, NULL));
    assert_int_not_equal(t.difference.verdict, SEQUENTIAL_OPEN);
    for (int i = 0; i < 100; i++) {
        sequential_arms_add(&s, i % 3 > 0, .5);
        sequential_arms_add(&t, i % 3 > 0, .5);
    }
    assert_memory_equal(&s.difference.sum, &t.difference.sum, sizeof s.difference.sum);
    assert_true(s.sum[0] == t.sum[0] && s.sum[1] == t.sum[1]);
    assert_true(s.difference.greatest == t.difference.greatest && s.difference.decided_at == t.difference.decided_at);
    untouched = t;
    for (size_t i = 0; i < bytes.size; i++) { /* any damaged byte, any cut */
        bytes.data[i] ^= 16;
        assert_true(sequential_arms_load(&t, (slice){bytes.data, bytes.size}, NULL) < 0);
        bytes.data[i] ^= 16;
        assert_true(sequential_arms_load(&t, (slice){bytes.data, i}, NULL) < 0);
    }
    assert_true(t.difference.sum[1] == untouched.difference.sum[1] && t.n[0] == untouched.n[0]);
    base_error error;
    bytes.data[4] = 9;
    assert_int_equal(sequential_arms_load(&t, (slice){bytes.data, bytes.size}, &error), FORAGE_E_VERSION);
    buffer_release(&bytes);
}

static void wrong_proportions_are_told(void **state) {
    (void)state;
    int alarms = 0;
    for (uint64_t run = 0; run < RUNS; run++) {
        random_source random;
        random_seed(&random, 9000 + run);
        uint64_t n[2] = {0};
        bool alarm = false;
        for (int i = 0; i < LENGTH; i++) {
            n[random_double(&random) >= .3]++;
            alarm |= sequential_ratio_mismatch(n[0], n[1], .3) > -log(.05);
        }
        alarms += alarm;
    }
    print_message("sample ratio: %d of %d runs raise a false alarm\n", alarms, RUNS);
    assert_true(alarms <= RUNS / 20);
    assert_true(sequential_ratio_mismatch(0, 0, .3) == 0);
    assert_true(sequential_ratio_mismatch(5300, 4700, .5) > -log(.001));
    assert_true(sequential_ratio_mismatch(5050, 4950, .5) < 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_difference_no_alarm),   cmocka_unit_test(no_difference_of_arms_no_alarm),
        cmocka_unit_test(intervals_hold_the_truth), cmocka_unit_test(differences_are_found),
        cmocka_unit_test(strange_observations),     cmocka_unit_test(states_are_kept),
        cmocka_unit_test(wrong_proportions_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
