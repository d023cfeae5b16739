#include "testing.h"

#include "base/bytes.h"
#include "click_simulation.h"

static const double WITHIN = .05;

static examination *make(uint32_t features, uint32_t max_keys) {
    examination_config c;
    examination *e = NULL;
    examination_config_default(&c);
    c.n_features = features;
    c.max_keys = max_keys;
    assert_ok(examination_create(&c, &e, NULL));
    return e;
}

static sim_pages *world(uint32_t queries, uint64_t seed) {
    sim_pages *s = malloc(sizeof *s);
    sim_pages_init(s, queries, seed);
    return s;
}

static double error_of(const examination *e, examination_method method) {
    examination_curve c;
    examination_fit(e, method, &c);
    return sim_error(&c);
}

static double naive_error(const sim_pages *s) {
    examination_curve c;
    for (int k = 0; k < SIM_RANKS; k++)
        c.ranks[k].estimate = s->clicks[k] / s->shown[k] / (s->clicks[0] / s->shown[0]);
    return sim_error(&c);
}

static void bad_settings_are_named(void **state) {
    (void)state;
    examination_config good, c;
    examination *e = NULL;
    base_error error;
    examination_config_default(&good);
    c = good, c.n_ranks = 65;
    assert_int_equal(examination_create(&c, &e, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "n_ranks"));
    c = good, c.max_keys = 2;
    assert_int_equal(examination_create(&c, &e, &error), FORAGE_E_INVALID);
    c = good, c.prior_power = NAN;
    assert_int_equal(examination_create(&c, &e, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "prior_power"));
    c = good, c.prior_spread = 0;
    assert_int_equal(examination_create(&c, &e, &error), FORAGE_E_INVALID);
    c = good, c.n_features = 33;
    assert_int_equal(examination_create(&c, &e, &error), FORAGE_E_INVALID);
    assert_null(e);
    examination_method m;
    assert_true(examination_method_named("all-pairs", &m) && m == EXAMINATION_ALL_PAIRS);
    assert_false(examination_method_named("guess", &m));
    assert_false(examination_method_named(NULL, &m));
}

static void bad_observations_count_nothing(void **state) {
    (void)state;
    examination *e = make(0, 64);
    const examination_observation bad[] = {
        {.key = 1, .rank = 0, .shown = 1},
        {.key = 1, .rank = 1, .shown = 0},
        {.key = 1, .rank = 1, .shown = NAN},
        {.key = 1, .rank = 1, .shown = 1, .clicks = 2},
        {.key = 1, .rank = 1, .shown = 1, .clicks = -1},
        {.key = 1, .rank = 1, .shown = 1, .propensity = 1.5f},
        {.key = 1, .rank = 1, .shown = 1, .propensity = NAN},
        {.key = 1, .rank = 1, .shown = 2e6f},
    };
    examination_curve c;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_false(examination_add(e, &bad[i]));
    assert_true(examination_add(e, &(examination_observation){.key = 1, .rank = 11, .shown = 1, .clicks = 1}));
    examination_fit(e, EXAMINATION_HARVEST, &c);
    assert_int_equal(c.keys, 0);
    for (int k = 0; k < SIM_RANKS; k++) assert_true(c.ranks[k].shown == 0);
    examination_destroy(e);
}

/* Click-through rates mix position with quality: better documents stand higher. */
static void rankings_that_differ_tell_the_curve_and_rates_do_not(void **state) {
    (void)state;
    sim_pages *s = world(100, 1);
    examination *e = make(0, 65536);
    examination_curve c;
    sim_rankers(s, e, 3, .3, 300000);
    assert_true(naive_error(s) > .4);
    assert_true(error_of(e, EXAMINATION_HARVEST) < WITHIN);
    assert_true(error_of(e, EXAMINATION_ALL_PAIRS) < WITHIN);
    assert_true(error_of(e, EXAMINATION_REGRESSION_EM) < WITHIN);
    assert_true(error_of(e, EXAMINATION_PIVOT) < 3 * WITHIN);
    assert_true(error_of(e, EXAMINATION_ADJACENT) < 4 * WITHIN); /* errors add up along the chain */
    examination_fit(e, EXAMINATION_HARVEST, &c);
    assert_true(c.identified);
    for (int k = 0; k < SIM_RANKS; k++) {
        assert_true(c.ranks[k].identified && c.ranks[k].pairs > 50);
        assert_true(c.ranks[k].shown == s->shown[k] && c.ranks[k].clicks == s->clicks[k]);
    }
    examination_destroy(e);
    free(s);
}

static void swaps_by_chance_tell_the_curve(void **state) {
    (void)state;
    sim_pages *s = world(100, 3);
    examination *e = make(0, 65536);
    sim_swaps(s, e, .1, 300000);
    assert_true(naive_error(s) > .4);
    assert_true(error_of(e, EXAMINATION_HARVEST) < WITHIN);
    assert_true(error_of(e, EXAMINATION_ALL_PAIRS) < WITHIN);
    examination_destroy(e);
    free(s);
}

/* One ranker that never changes its mind: nothing is harvested, and the answer says so. */
static void without_interventions_the_prior_stays(void **state) {
    (void)state;
    sim_pages *s = world(50, 4);
    examination *e = make(0, 65536);
    examination_curve c;
    sim_rankers(s, e, 1, .3, 20000);
    for (int m = EXAMINATION_HARVEST; m <= EXAMINATION_PIVOT; m++) {
        examination_fit(e, (examination_method)m, &c);
        assert_false(c.identified);
        for (int k = 0; k < SIM_RANKS; k++) {
            assert_int_equal(c.ranks[k].pairs, 0);
            assert_true(fabs(c.ranks[k].estimate - 1. / (k + 1)) < 1e-6);
            assert_true(c.ranks[k].identified == (k == 0));
        }
    }
    examination_destroy(e);
    free(s);
}

/* Relevance that is logistic in features: one ranking is enough, where the model is right. */
static void regression_em_needs_no_interventions(void **state) {
    (void)state;
    enum { QUERIES = 300, F = 3 };
    sim_pages *s = world(QUERIES, 5);
    static float x[QUERIES][SIM_DOCUMENTS][F];
    examination *e = make(F, 65536);
    examination_curve c;
    for (int q = 0; q < QUERIES; q++)
        for (int d = 0; d < SIM_DOCUMENTS; d++) {
            for (int i = 0; i < F; i++) x[q][d][i] = (float)random_normal(&s->random);
            double eta = -1.2 + 1.1 * (double)x[q][d][0] - .7 * (double)x[q][d][1] + .3 * (double)x[q][d][2];
            s->relevance[q][d] = 1 / (1 + exp(-eta));
        }
    for (size_t i = 0; i < 200000; i++) {
        uint32_t order[SIM_DOCUMENTS], q = (uint32_t)random_below(&s->random, QUERIES);
        sim_rank(s, 0, .25, q, order);
        for (uint32_t k = 0; k < SIM_RANKS; k++) {
            examination_observation o = {.key = (uint64_t)q * SIM_DOCUMENTS + order[k], .rank = k + 1, .shown = 1,
                                         .clicks = sim_click(s, k, s->relevance[q][order[k]]),
                                         .features = x[q][order[k]]};
            assert_true(examination_add(e, &o));
        }
    }
    assert_true(naive_error(s) > .4);
    examination_fit(e, EXAMINATION_REGRESSION_EM, &c);
    assert_true(sim_error(&c) < WITHIN);
    assert_true(c.identified);
    examination_fit(e, EXAMINATION_HARVEST, &c);
    assert_false(c.identified);
    examination_destroy(e);
    free(s);
}

/* Two kinds of people who want different things get different orders more often: within a key the ranks are not drawn alike,
 * and only their propensities make that good. */
static void propensities_undo_who_was_shown_what(void **state) {
    (void)state;
    examination *with = make(0, 65536), *without = make(0, 65536);
    random_source random;
    random_seed(&random, 6);
    for (int i = 0; i < 400000; i++) {
        bool fond = random_below(&random, 2);
        float high = fond ? .8f : .2f; /* chance that the document is shown at rank 1; else at rank 4 */
        uint32_t rank = random_double(&random) < (double)high ? 1 : 4;
        double g = fond ? .6 : .15;
        examination_observation o = {.key = random_below(&random, 40), .rank = rank, .shown = 1};
        o.clicks = random_double(&random) < g * sim_curve[rank - 1];
        examination_add(without, &o);
        o.propensity = rank == 1 ? high : 1 - high;
        examination_add(with, &o);
    }
    examination_curve c;
    examination_fit(without, EXAMINATION_HARVEST, &c);
    assert_true(fabs(c.ranks[3].estimate / sim_curve[3] - 1) > .3);
    examination_fit(with, EXAMINATION_HARVEST, &c);
    assert_true(fabs(c.ranks[3].estimate / sim_curve[3] - 1) < WITHIN);
    assert_true(c.ranks[3].low < sim_curve[3] && sim_curve[3] < c.ranks[3].high);
    assert_int_equal(c.clipped, 0);
    examination_destroy(with);
    examination_destroy(without);
}

/* A page leaves the prior where it is, sixty do no harm, and many are believed. */
static void few_pages_leave_the_prior_slowly(void **state) {
    (void)state;
    static const size_t pages[] = {1, 60, 30000};
    double before = INFINITY;
    for (int i = 0; i < 3; i++) {
        double sum = 0;
        for (uint64_t seed = 1; seed <= 8; seed++) {
            sim_pages *s = world(20, seed);
            examination *e = make(0, 65536);
            examination_curve c;
            sim_rankers(s, e, 3, .4, pages[i]);
            examination_fit(e, EXAMINATION_HARVEST, &c);
            sum += sim_error(&c) / 8;
            if (!i) assert_true(fabs(c.ranks[1].estimate - .5) < .15);
            assert_true(c.identified == (i == 2));
            examination_destroy(e);
            free(s);
        }
        assert_true(i == 2 ? sum < before / 2 : sum < 1.5 * before);
        before = sum;
    }
}

static void intervals_hold_the_truth(void **state) {
    (void)state;
    static const examination_method methods[] = {EXAMINATION_HARVEST, EXAMINATION_PIVOT};
    for (size_t m = 0; m < 2; m++) {
        int held = 0, all = 0;
        for (uint64_t seed = 1; seed <= 60; seed++) {
            sim_pages *s = world(60, seed);
            examination *e = make(0, 65536);
            examination_curve c;
            sim_rankers(s, e, 4, .4, 6000);
            examination_fit(e, methods[m], &c);
            for (int k = 1; k < SIM_RANKS; k++, all++)
                held += c.ranks[k].low <= sim_curve[k] && sim_curve[k] <= c.ranks[k].high;
            examination_destroy(e);
            free(s);
        }
        assert_true(held > .9 * all);
        assert_true(held < all); /* not so wide that they say nothing */
    }
}

static void a_monotone_curve_never_rises(void **state) {
    (void)state;
    examination_config config;
    examination *e = NULL, *free_one = make(0, 1024);
    examination_curve c;
    examination_config_default(&config);
    config.monotone = true;
    assert_ok(examination_create(&config, &e, NULL));
    for (uint64_t key = 0; key < 20; key++) /* as often clicked at ranks 2 and 4 as at 1, at 3 less */
        for (uint32_t rank = 1; rank <= 4; rank++) {
            examination_observation o = {.key = key, .rank = rank, .shown = 100};
            o.clicks = rank == 3 ? 20 : rank == 2 ? 60 : 50;
            examination_add(e, &o);
            examination_add(free_one, &o);
        }
    examination_fit(free_one, EXAMINATION_HARVEST, &c);
    assert_true(c.ranks[1].estimate > 1.1 && c.ranks[3].estimate > 2 * c.ranks[2].estimate);
    examination_fit(e, EXAMINATION_HARVEST, &c);
    assert_true(c.ranks[1].estimate == 1 && c.ranks[2].estimate > .5);
    for (int k = 1; k < SIM_RANKS; k++) assert_true(c.ranks[k].estimate <= c.ranks[k - 1].estimate);
    examination_destroy(e);
    examination_destroy(free_one);
}

static buffer bytes_of(const examination *e) {
    buffer out = {0};
    examination_save(e, &out);
    return out;
}

static void assert_same(const examination *a, const examination *b) {
    buffer x = bytes_of(a), y = bytes_of(b);
    assert_int_equal(x.size, y.size);
    assert_memory_equal(x.data, y.data, x.size);
    buffer_release(&x);
    buffer_release(&y);
}

/* A thousand keys into room for a hundred: the same ones stay in any order and in any number of parts, and totals are whole. */
static void memory_is_bounded_and_order_does_not_matter(void **state) {
    (void)state;
    enum { KEYS = 1000 };
    examination *up = make(0, 100), *down = make(0, 100), *parts[2] = {make(0, 100), make(0, 100)};
    examination_curve c;
    for (int i = 0; i < KEYS; i++)
        for (uint32_t rank = 1; rank <= 3; rank++) {
            examination_observation o = {.key = (uint64_t)i, .rank = rank, .shown = 2, .clicks = i % 2};
            examination_add(up, &o);
            examination_add(parts[i % 3 == 0], &o);
            o.key = (uint64_t)(KEYS - 1 - i), o.rank = 4 - rank, o.clicks = (KEYS - 1 - i) % 2;
            examination_add(down, &o);
        }
    assert_ok(examination_merge(parts[0], parts[1], NULL));
    assert_same(up, down);
    assert_same(up, parts[0]);
    examination_fit(up, EXAMINATION_HARVEST, &c);
    assert_true(c.keys <= 100 && c.keys > 20 && c.one_in >= 8);
    assert_true(c.ranks[0].shown == 2 * KEYS && c.ranks[2].clicks == KEYS / 2);
    examination *other = make(1, 100);
    assert_int_equal(examination_merge(up, other, NULL), FORAGE_E_INVALID);
    examination_destroy(other);
    examination_destroy(up);
    examination_destroy(down);
    examination_destroy(parts[0]);
    examination_destroy(parts[1]);
}

static void what_is_saved_loads_and_what_is_damaged_does_not(void **state) {
    (void)state;
    examination *e = make(2, 4096), *copy = make(2, 4096), *small = make(2, 16), *other = make(0, 4096);
    random_source random;
    base_error error;
    random_seed(&random, 7);
    for (int i = 0; i < 2000; i++) {
        float x[2] = {(float)random_normal(&random), i % 7 ? 1 : NAN};
        examination_observation o = {.key = random_below(&random, 100), .rank = 1 + (uint32_t)random_below(&random, 10),
                                     .shown = 1, .clicks = (float)random_below(&random, 2), .features = x,
                                     .propensity = (float)random_double(&random)};
        assert_true(examination_add(e, &o));
    }
    buffer saved = bytes_of(e);
    assert_ok(examination_load(copy, (slice){saved.data, saved.size}, NULL));
    assert_same(e, copy);
    assert_ok(examination_load(small, (slice){saved.data, saved.size}, NULL));
    examination_curve c;
    examination_fit(small, EXAMINATION_REGRESSION_EM, &c);
    assert_true(c.keys <= 16);
    assert_int_equal(examination_load(other, (slice){saved.data, saved.size}, &error), FORAGE_E_INVALID);
    for (size_t i = 0; i < saved.size; i += 1 + saved.size / 97) {
        saved.data[i] ^= 0x40;
        assert_int_not_equal(examination_load(copy, (slice){saved.data, saved.size}, &error), FORAGE_OK);
        store_le64(saved.data + saved.size - 8, hash64(saved.data, saved.size - 8, 0));
        if (examination_load(other, (slice){saved.data, saved.size}, &error) == FORAGE_OK) fail();
        saved.data[i] ^= 0x40;
        store_le64(saved.data + saved.size - 8, hash64(saved.data, saved.size - 8, 0));
        assert_int_not_equal(examination_load(copy, (slice){saved.data, i}, &error), FORAGE_OK);
    }
    assert_same(e, copy);
    buffer_release(&saved);
    examination_destroy(e);
    examination_destroy(copy);
    examination_destroy(small);
    examination_destroy(other);
}

/* A page that was laid out anew: what was learned before fades, and what is seen since counts. */
static void what_is_old_fades(void **state) {
    (void)state;
    examination *e = make(0, 1024);
    examination_curve c;
    for (int period = 0; period < 2; period++) {
        if (period) examination_fade(e, .001);
        for (uint64_t key = 0; key < 50; key++)
            for (uint32_t rank = 1; rank <= 2; rank++) {
                examination_observation o = {.key = key, .rank = rank, .shown = 1000};
                o.clicks = rank == 1 ? 400 : period ? 300 : 40;
                assert_true(examination_add(e, &o));
            }
        examination_fit(e, EXAMINATION_HARVEST, &c);
        assert_true(fabs(c.ranks[1].estimate - (period ? .75 : .1)) < .01);
    }
    for (int i = 0; i < 5; i++) examination_fade(e, .001);
    examination_fit(e, EXAMINATION_HARVEST, &c);
    assert_int_equal(c.keys, 0);
    examination_destroy(e);
}

static void weights_are_one_over_the_chance_and_clipping_is_told(void **state) {
    (void)state;
    examination_config config;
    examination_curve c;
    examination_weighing report;
    examination_config_default(&config);
    examination_prior(&config, &c);
    assert_false(c.identified);
    assert_true(examination_at(&c, 1) == 1 && examination_at(&c, 0) == 1);
    assert_true(fabs(examination_at(&c, 5) - .2) < 1e-12 && fabs(examination_at(&c, 20) - .05) < 1e-12);
    assert_true(examination_at(&c, UINT32_MAX) >= EXAMINATION_LEAST);
    const float label[5] = {1, 0, 2, 1, 0};
    const uint32_t position[5] = {1, 2, 4, 20, 9};
    float weight[5];
    examination_weigh(&c, label, position, 5, 8, weight, &report);
    assert_true(weight[0] == 1 && weight[1] == 1 && weight[4] == 1);
    assert_true(fabs((double)weight[2] - 4) < 1e-5 && fabs((double)weight[3] - 8) < 1e-5);
    assert_int_equal(report.clicked, 3);
    assert_int_equal(report.clipped, 1);
    assert_true(fabs(report.lost - 12. / 25) < 1e-9);
    assert_true(fabs(report.effective - 169. / 81) < 1e-9);
}

static void the_curve_is_told_as_json(void **state) {
    (void)state;
    examination *e = make(0, 1024);
    examination_curve c;
    buffer out = {0};
    arena a;
    json_value *v = NULL;
    for (uint32_t rank = 1; rank <= 2; rank++)
        examination_add(e, &(examination_observation){.key = 5, .rank = rank, .shown = 100, .clicks = 50 / (float)rank});
    examination_fit(e, EXAMINATION_HARVEST, &c);
    json_writer w = json_writer_of(&out);
    examination_write_json(&w, &c);
    arena_init(&a, 0);
    assert_ok(json_read(&a, (slice){out.data, out.size}, &v, NULL));
    assert_true(slice_is(json_get(v, "method")->text, "harvest"));
    const json_value *ranks = json_get(v, "ranks"), *second = ranks->first->next;
    assert_int_equal(ranks->count, 10);
    assert_int_equal(json_get(second, "rank")->integer, 2);
    assert_true(json_get(second, "low")->number < .5 && json_get(second, "high")->number > .5);
    assert_int_equal(json_get(second, "pairs")->integer, 1);
    assert_true(json_get(second, "shown")->number == 100 && json_get(second, "clicks")->number == 25);
    arena_release(&a);
    buffer_release(&out);
    examination_destroy(e);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bad_settings_are_named),
        cmocka_unit_test(bad_observations_count_nothing),
        cmocka_unit_test(rankings_that_differ_tell_the_curve_and_rates_do_not),
        cmocka_unit_test(swaps_by_chance_tell_the_curve),
        cmocka_unit_test(without_interventions_the_prior_stays),
        cmocka_unit_test(regression_em_needs_no_interventions),
        cmocka_unit_test(propensities_undo_who_was_shown_what),
        cmocka_unit_test(few_pages_leave_the_prior_slowly),
        cmocka_unit_test(intervals_hold_the_truth),
        cmocka_unit_test(a_monotone_curve_never_rises),
        cmocka_unit_test(memory_is_bounded_and_order_does_not_matter),
        cmocka_unit_test(what_is_saved_loads_and_what_is_damaged_does_not),
        cmocka_unit_test(what_is_old_fades),
        cmocka_unit_test(weights_are_one_over_the_chance_and_clipping_is_told),
        cmocka_unit_test(the_curve_is_told_as_json),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
