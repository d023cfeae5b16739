#include "testing.h"

#include "base/bytes.h"
#include "base/hash.h"
#include "base/random.h"
#include "rank/ranker.h"

#include <math.h>
#include <pthread.h>

enum { F = 6, ROWS = 10 };

static ranker *make(const float *mean, const float *variance, uint32_t n) {
    ranker *r = NULL;
    base_error error = {0};
    if (ranker_create(&(ranker_config){n, mean, variance}, &r, &error)) fail_msg("%s", error.message);
    return r;
}

static const float prior_mean[F] = {2, 1, 0, 0, .5f, -1};
static const float prior_variance[F] = {1, 1, 1, 1, 1, 0};

static void random_page(random_source *random, float *x, size_t rows) {
    for (size_t i = 0; i < rows * F; i++) x[i] = (float)(2 * random_double(random) - 1);
}

/* Shows a page in the ranker's own order to a user who clicks, going down, with a probability that follows the weights
 * `truth` and gives up after `patience` rows. Returns whether there was a click. */
static bool click(ranker *r, random_source *random, const float *truth, size_t patience) {
    float x[ROWS * F], shown[ROWS * F], scores[ROWS];
    random_page(random, x, ROWS);
    ranker_score(r, x, ROWS, F, scores);
    for (size_t i = 0; i < ROWS; i++) {
        size_t best = 0;
        for (size_t j = 1; j < ROWS; j++)
            if (scores[j] > scores[best]) best = j;
        memcpy(shown + i * F, x + best * F, F * sizeof *x);
        scores[best] = -INFINITY;
    }
    for (size_t i = 0; i < patience; i++) {
        double utility = -2;
        for (size_t j = 0; j < F; j++) utility += (double)(truth[j] * shown[i * F + j]);
        if (random_double(random) >= 1 / (1 + exp(-utility))) continue;
        ranker_learn(r, shown, ROWS, i, 1, NULL);
        return true;
    }
    return false;
}

/* Kendall's tau between the orders that two weight vectors give to random rows. */
static double agreement(const float *a, const float *b, uint64_t seed) {
    enum { SAMPLE = 200 };
    random_source random;
    static float x[SAMPLE * F];
    int same = 0, pairs = 0;
    random_seed(&random, seed);
    random_page(&random, x, SAMPLE);
    for (int i = 0; i < SAMPLE; i++)
        for (int j = 0; j < i; j++) {
            double da = 0, db = 0;
            for (int k = 0; k < F; k++) {
                double difference = (double)(x[i * F + k] - x[j * F + k]);
                da += (double)a[k] * difference;
                db += (double)b[k] * difference;
            }
            pairs++;
            same += da * db > 0 ? 1 : -1;
        }
    return (double)same / pairs;
}

static void bad_configurations_are_named(void **state) {
    (void)state;
    float mean[2] = {0, 1}, variance[2] = {1, 1};
    ranker *r = NULL;
    base_error error;
    assert_int_equal(ranker_create(&(ranker_config){0, mean, variance}, &r, &error), FORAGE_E_INVALID);
    assert_int_equal(ranker_create(&(ranker_config){257, mean, variance}, &r, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "n_features"));
    mean[1] = NAN;
    assert_int_equal(ranker_create(&(ranker_config){2, mean, variance}, &r, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "prior_mean[1]"));
    mean[1] = 0;
    variance[0] = -1;
    assert_int_equal(ranker_create(&(ranker_config){2, mean, variance}, &r, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "prior_variance[0]"));
    assert_null(r);
}

static void the_prior_holds_until_evidence(void **state) {
    (void)state;
    ranker *r = make(prior_mean, prior_variance, F);
    float x[3 * F] = {1, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 1, 3, -2, 9, 9, 2, .5f}, scores[3], mean[F], variance[F];
    ranker_score(r, x, 3, F, scores);
    assert_true(scores[0] == 2 && scores[1] == 0 && scores[2] == 6 - 2 + 1 - .5f);
    ranker_learn(r, x, 1, 0, 1, NULL); /* nothing to compare with */
    ranker_learn(r, x, 3, 3, 1, NULL); /* no such row */
    ranker_learn(r, x, 3, 1, 0, NULL); /* no reward */
    ranker_learn(r, x, 3, 1, NAN, NULL);
    ranker_learn(r, x, 3, 1, 1, (bool[]){true, true, true}); /* everything else was engaged already */
    ranker_weights(r, mean, variance);
    assert_memory_equal(mean, prior_mean, sizeof mean);
    assert_memory_equal(variance, prior_variance, sizeof variance);
    assert_true(ranker_updates(r) == 0);
    ranker_destroy(r);
}

static void pairs_are_those_above_and_one_below(void **state) {
    (void)state;
    float mean[4] = {0}, variance[4] = {1, 1, 1, 1}, x[16] = {0}, learned[4];
    for (int i = 0; i < 4; i++) x[i * 4 + i] = 1; /* row i has feature i only */
    ranker *r = make(mean, variance, 4);
    ranker_learn(r, x, 4, 1, 1, NULL);
    ranker_weights(r, learned, NULL);
    assert_true(learned[1] > 0 && learned[0] < 0 && learned[2] < 0 && learned[3] == 0);
    ranker_destroy(r);
    r = make(mean, variance, 4);
    ranker_learn(r, x, 4, 3, 1, (bool[]){false, true, false, true});
    ranker_weights(r, learned, NULL);
    assert_true(learned[3] > 0 && learned[0] < 0 && learned[1] == 0 && learned[2] < 0);
    ranker_destroy(r);
}

static void reward_scales_the_evidence(void **state) {
    (void)state;
    float mean[1] = {0}, variance[1] = {1}, x[2] = {0, 1}, weak[1], strong[1], over[1];
    ranker *r[3];
    for (int i = 0; i < 3; i++) r[i] = make(mean, variance, 1);
    ranker_learn(r[0], x, 2, 1, .1f, NULL);
    ranker_learn(r[1], x, 2, 1, 1, NULL);
    ranker_learn(r[2], x, 2, 1, 50, NULL);
    ranker_weights(r[0], weak, NULL);
    ranker_weights(r[1], strong, NULL);
    ranker_weights(r[2], over, NULL);
    assert_true(weak[0] > 0 && weak[0] < .2f * strong[0] && over[0] == strong[0]);
    for (int i = 0; i < 3; i++) ranker_destroy(r[i]);
}

static void clicks_teach_the_true_order(void **state) {
    (void)state;
    static const float truth[F] = {-1, 3, 2, -2, .5f, -1};
    ranker *r = make(prior_mean, prior_variance, F);
    random_source random;
    float mean[F], variance[F];
    double before = agreement(prior_mean, truth, 1);
    random_seed(&random, 2024);
    int clicks = 0;
    while (clicks < 50) clicks += click(r, &random, truth, ROWS);
    ranker_weights(r, mean, NULL);
    double early = agreement(mean, truth, 1);
    while (clicks < 2000) clicks += click(r, &random, truth, ROWS);
    ranker_weights(r, mean, variance);
    assert_true(before < .3);
    assert_true(early > .5);
    assert_true(agreement(mean, truth, 1) > .9);
    assert_true(mean[5] == prior_mean[5] && variance[5] == 0); /* pinned */
    assert_true(variance[0] < .1f);
    assert_true(ranker_updates(r) == 2000);
    ranker_destroy(r);
}

/* Only the first three rows are ever looked at. */
static void impatient_users_teach_too(void **state) {
    (void)state;
    static const float truth[F] = {-1, 3, 2, -2, .5f, -1};
    ranker *r = make(prior_mean, prior_variance, F);
    random_source random;
    float mean[F];
    random_seed(&random, 5);
    for (int clicks = 0; clicks < 2000;) clicks += click(r, &random, truth, 3);
    ranker_weights(r, mean, NULL);
    assert_true(agreement(mean, truth, 1) > .8);
    ranker_destroy(r);
}

static void contradictions_average_out(void **state) {
    (void)state;
    float mean[2] = {1, 0}, variance[2] = {1, 1}, x[4] = {1, 0, 0, 1}, learned[2];
    ranker *r = make(mean, variance, 2);
    for (int i = 0; i < 5000; i++) ranker_learn(r, x, 2, (size_t)(i & 1), 1, NULL);
    ranker_weights(r, learned, NULL);
    assert_true(fabsf(learned[0] - learned[1]) < .1f);
    assert_true(fabsf(learned[0]) < 1 && fabsf(learned[1]) < 1);
    ranker_destroy(r);
}

static void senseless_numbers_do_no_harm(void **state) {
    (void)state;
    float mean[3] = {1, 1, 1}, variance[3] = {1e6f, 1, 1e6f}, learned[3], scores[2];
    float x[6] = {NAN, INFINITY, 3e38f, -INFINITY, 1, -3e38f};
    ranker *r = make(mean, variance, 3);
    for (int i = 0; i < 3000; i++) ranker_learn(r, x, 2, (size_t)(i % 3 == 0), 1, NULL);
    ranker_weights(r, learned, variance);
    for (int i = 0; i < 3; i++) {
        assert_true(fabsf(learned[i]) <= RANKER_WEIGHT_LIMIT);
        assert_true(variance[i] > 0 && variance[i] <= 1e6f);
    }
    ranker_score(r, x, 2, 3, scores);
    assert_true(isfinite(scores[0]) && isfinite(scores[1]));
    ranker_destroy(r);
}

static void a_saved_ranker_comes_back(void **state) {
    (void)state;
    static const float truth[F] = {-1, 3, 2, -2, .5f, -1};
    ranker *a = make(prior_mean, prior_variance, F), *b = make(prior_mean, prior_variance, F);
    random_source random, again;
    buffer first = {0}, second = {0};
    random_seed(&random, 3);
    for (int i = 0; i < 100; i++) click(a, &random, truth, ROWS);
    ranker_save(a, &first);
    assert_ok(ranker_load(b, (slice){first.data, first.size}, NULL));
    again = random;
    for (int i = 0; i < 100; i++) assert_true(click(a, &random, truth, 5) == click(b, &again, truth, 5));
    buffer_clear(&first);
    ranker_save(a, &first);
    ranker_save(b, &second);
    assert_int_equal(first.size, second.size);
    assert_memory_equal(first.data, second.data, first.size);

    float unpinned[F] = {0, 1, 1, 1, 1, 1}, mean[F], variance[F], before[F];
    ranker *c = make(prior_mean, unpinned, F);
    assert_ok(ranker_load(c, (slice){first.data, first.size}, NULL));
    ranker_weights(a, before, NULL);
    ranker_weights(c, mean, variance);
    assert_true(mean[0] == prior_mean[0] && variance[0] == 0); /* pinned now */
    assert_true(mean[5] == prior_mean[5] && variance[5] == 1); /* pinned then */
    assert_true(mean[1] == before[1]);
    buffer_release(&first);
    buffer_release(&second);
    ranker_destroy(a);
    ranker_destroy(b);
    ranker_destroy(c);
}

static void hostile_states_are_refused_and_change_nothing(void **state) {
    (void)state;
    ranker *r = make(prior_mean, prior_variance, F), *other = make(prior_mean, prior_variance, F - 1);
    buffer good = {0}, bad = {0};
    base_error error;
    float mean[F];
    ranker_save(r, &good);
    for (size_t size = 0; size < good.size; size++)
        assert_int_equal(ranker_load(r, (slice){good.data, size}, NULL), FORAGE_E_CORRUPT);
    const size_t third_mean = 18 + 8 * 2, third_variance = third_mean + 8 * F;
    struct {
        size_t at;
        double value;
    } numbers[] = {
        {third_mean, (double)NAN},     {third_mean, (double)INFINITY}, {third_mean, 1e300},
        {third_variance, (double)NAN}, {third_variance, 1e300},        {third_variance, -1},
    };
    for (size_t i = 0; i < sizeof numbers / sizeof *numbers; i++) {
        buffer_clear(&bad);
        buffer_append(&bad, good.data, good.size);
        memcpy(bad.data + numbers[i].at, &numbers[i].value, 8);
        assert_int_equal(ranker_load(r, (slice){bad.data, bad.size}, &error), FORAGE_E_CORRUPT);
        store_le64(bad.data + bad.size - 8, hash64(bad.data, bad.size - 8, 0));
        assert_int_equal(ranker_load(r, (slice){bad.data, bad.size}, &error), FORAGE_E_CORRUPT);
        assert_non_null(strstr(error.message, "weight 2"));
    }
    bad.data[4] = 7;
    assert_int_equal(ranker_load(r, (slice){bad.data, bad.size}, &error), FORAGE_E_VERSION);
    assert_int_equal(ranker_load(other, (slice){good.data, good.size}, &error), FORAGE_E_INVALID);
    ranker_weights(r, mean, NULL);
    assert_memory_equal(mean, prior_mean, sizeof mean);
    buffer_release(&good);
    buffer_release(&bad);
    ranker_destroy(r);
    ranker_destroy(other);
}

static void *score_often(void *argument) {
    random_source random;
    float x[ROWS * F], scores[ROWS];
    random_seed(&random, 1);
    for (int i = 0; i < 5000; i++) {
        random_page(&random, x, ROWS);
        ranker_score(argument, x, ROWS, F, scores);
        if (!isfinite(scores[0])) return argument;
    }
    return NULL;
}

static void scoring_goes_on_while_others_learn(void **state) {
    (void)state;
    static const float truth[F] = {-1, 3, 2, -2, .5f, -1};
    ranker *r = make(prior_mean, prior_variance, F);
    pthread_t threads[2];
    random_source random;
    random_seed(&random, 2);
    for (int i = 0; i < 2; i++) assert_int_equal(pthread_create(&threads[i], NULL, score_often, r), 0);
    for (int i = 0; i < 1000; i++) click(r, &random, truth, ROWS);
    for (int i = 0; i < 2; i++) {
        void *failed;
        pthread_join(threads[i], &failed);
        assert_null(failed);
    }
    ranker_destroy(r);
}

static void reciprocal_rank_fusion(void **state) {
    (void)state;
    const uint32_t ranks[] = {1, 0, 40};
    assert_true(fabsf(rank_rrf(ranks, 3, 60) - (1.0f / 61 + 1.0f / 100)) < 1e-7f);
    assert_true(rank_rrf(ranks, 0, 60) == 0);
    assert_true(rank_rrf(ranks + 1, 1, 60) == 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_configurations_are_named),
        cmocka_unit_test(the_prior_holds_until_evidence),
        cmocka_unit_test(pairs_are_those_above_and_one_below),
        cmocka_unit_test(reward_scales_the_evidence),
        cmocka_unit_test(clicks_teach_the_true_order),
        cmocka_unit_test(impatient_users_teach_too),
        cmocka_unit_test(contradictions_average_out),
        cmocka_unit_test(senseless_numbers_do_no_harm),
        cmocka_unit_test(a_saved_ranker_comes_back),
        cmocka_unit_test(hostile_states_are_refused_and_change_nothing),
        cmocka_unit_test(scoring_goes_on_while_others_learn),
        cmocka_unit_test(reciprocal_rank_fusion),
    };
    return cmocka_run_group_tests_name("ranker", tests, NULL, NULL);
}
