#include "testing.h"

#include "base/random.h"
#include "format/json.h"
#include "rank/lambda_pairs.h"
#include "rank/lambdamart.h"
#include "rank/pick.h"
#include "rank/ranking_file.h"
#include "rank/table.h"

#include <math.h>

/* ---- NDCG ---- */

static void ndcg_is_what_the_definition_says(void **state) {
    (void)state;
    float label[] = {0, 2, 1, 0, 0, 1}, scores[] = {3, 1, 2, NAN, 5, 5};
    size_t first[] = {0, 3, 5, 6, 6};
    rank_rows rows = {.n_features = 1, .n_rows = 6, .n_groups = 4, .label = label, .first = first};
    double values[4], discount2 = 1 / log2(3), wanted = (discount2 + 3 / 2.0) / (3 + discount2);
    ndcg_options o = {.empty = NDCG_EMPTY_ONE};
    assert_true(fabs(ndcg_mean(&rows, scores, &o, values) - (wanted + 3) / 4) < 1e-12);
    assert_true(fabs(values[0] - wanted) < 1e-12 && values[1] == 1 && values[2] == 1);
    o.empty = NDCG_EMPTY_ZERO;
    assert_true(fabs(ndcg_mean(&rows, scores, &o, values) - (wanted + 1) / 4) < 1e-12);
    o.empty = NDCG_EMPTY_OUT;
    assert_true(fabs(ndcg_mean(&rows, scores, &o, values) - (wanted + 1) / 2) < 1e-12);
    assert_true(isnan(values[1]) && isnan(values[3]));
    o.cutoff = 1;
    ndcg_mean(&rows, scores, &o, values);
    assert_true(values[0] == 0);
    o = (ndcg_options){.gain = NDCG_LINEAR, .cutoff = 2};
    ndcg_mean(&rows, scores, &o, values);
    assert_true(fabs(values[0] - discount2 / (2 + discount2)) < 1e-12);
}

static void order_breaks_ties_by_row_and_puts_nan_last(void **state) {
    (void)state;
    enum { N = 1000 };
    static float scores[N];
    static uint64_t scratch[2 * N];
    static uint32_t order[N];
    random_source random;
    random_seed(&random, 3);
    for (int i = 0; i < N; i++) scores[i] = (float)random_below(&random, 50) - 25;
    scores[7] = -0.0f;
    scores[8] = 0.0f;
    scores[500] = NAN;
    scores[501] = -INFINITY;
    ndcg_order(scores, N, scratch, order);
    assert_int_equal(order[N - 1], 500);
    assert_int_equal(order[N - 2], 501);
    for (int i = 1; i < N - 1; i++) {
        float before = scores[order[i - 1]], now = scores[order[i]];
        assert_true(before > now || (before >= now && order[i - 1] < order[i]));
    }
}

/* ---- Gradients ---- */

/* The textbook's double loop, in doubles. */
static void reference(const lambdamart_settings *s, const float *score, const float *label, const float *weight, size_t n,
                      double *g, double *h) {
    size_t order[64];
    double gains[64], ideal = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        for (; at && score[order[at - 1]] < score[i]; at--) order[at] = order[at - 1];
        order[at] = i;
        at = i;
        double gain = exp2((double)label[i]) - 1;
        for (; at && gains[at - 1] < gain; at--) gains[at] = gains[at - 1];
        gains[at] = gain;
        g[i] = h[i] = 0;
    }
    for (size_t i = 0; i < n && i < s->truncation; i++) ideal += gains[i] / log2((double)i + 2);
    for (size_t i = 0; i < n && i < s->truncation; i++) {
        for (size_t j = i + 1; j < n; j++) {
            size_t a = order[i], b = order[j];
            if (!(label[a] < label[b] || label[a] > label[b])) continue;
            size_t winner = label[a] > label[b] ? a : b, loser = winner == a ? b : a;
            double apart = (double)score[winner] - (double)score[loser];
            double delta = (exp2((double)label[winner]) - exp2((double)label[loser])) *
                           (1 / log2((double)i + 2) - 1 / log2((double)j + 2)) / ideal;
            if (s->normalise) delta /= .01 + fabs(apart);
            double rho = 1 / (1 + exp(s->sigma * apart)), push = s->sigma * delta * rho;
            g[winner] -= push * (double)weight[winner];
            g[loser] += push * (double)weight[winner];
            h[winner] += s->sigma * push * (1 - rho) * (double)weight[winner];
            h[loser] += s->sigma * push * (1 - rho) * (double)weight[winner];
            size += 2 * push;
        }
    }
    for (size_t i = 0; i < n && s->normalise; i++) {
        g[i] *= log2(1 + size) / size;
        h[i] *= log2(1 + size) / size;
    }
}

static void gradients_are_the_textbooks(void **state) {
    (void)state;
    enum { N = 40 };
    float x[N] = {0}, label[N], weight[N], score[N], g[N], h[N];
    size_t first[] = {0, N};
    rank_rows rows = {.n_features = 1, .n_rows = N, .n_groups = 1, .x = x, .label = label, .first = first, .weight = weight};
    random_source random;
    random_seed(&random, 11);
    for (int round = 0; round < 20; round++) {
        double wanted_g[N], wanted_h[N];
        lambdamart_settings s;
        lambdamart_settings_default(&s);
        s.truncation = round % 3 ? 5 : 100;
        s.normalise = round % 2;
        s.sigma = 1 + round % 4;
        for (int i = 0; i < N; i++) {
            label[i] = random_below(&random, 4) ? 0 : (float)random_below(&random, 4);
            weight[i] = 1 + (float)random_below(&random, 3);
            score[i] = (float)(3 * random_normal(&random));
        }
        label[0] = 1;
        label[1] = 0;
        lambda_pairs *p = lambda_pairs_create(&rows, &s);
        lambda_pairs_compute(p, score, 0, g, h);
        reference(&s, score, label, weight, N, wanted_g, wanted_h);
        for (int i = 0; i < N; i++) {
            assert_true(fabs((double)g[i] - wanted_g[i]) < 1e-5 * (1 + fabs(wanted_g[i])));
            assert_true(fabs((double)h[i] - wanted_h[i]) < 1e-5 * (1 + fabs(wanted_h[i])));
        }
        assert_int_equal(lambda_pairs_informative(p), 1);
        lambda_pairs_destroy(p);
    }
}

/* ---- Worlds ---- */

enum { F = 5 };

/* Relevance follows x0 × x1 (which no linear order can say) or, `plain`, 2 x0 − x1; x4 is missing every third time. */
static void make_world(rank_table *t, size_t groups, size_t rows, bool plain, uint64_t seed) {
    random_source random;
    random_seed(&random, seed);
    rank_table_init(t, F);
    for (size_t g = 0; g < groups; g++) {
        rank_table_begin_group(t, 1, (int64_t)g);
        for (size_t i = 0; i < rows; i++) {
            float x[F];
            for (int f = 0; f < F; f++) x[f] = (float)random_normal(&random);
            double utility = plain ? (double)(2 * x[0] - x[1]) : 2 * (double)(x[0] * x[1]);
            if (i % 3 == 0) x[4] = NAN;
            utility += .5 * random_normal(&random);
            rank_table_add(t, x, utility > 3 ? 2.0f : utility > 1.2 ? 1.0f : 0.0f, 1, 0);
        }
    }
}

static lambdamart_settings small_settings(void) {
    lambdamart_settings s;
    lambdamart_settings_default(&s);
    s.rounds = 60;
    s.patience = 20;
    s.trees.max_leaves = 8;
    s.trees.eta = .1;
    s.trees.min_child_weight = .01;
    return s;
}

typedef struct trained {
    buffer model;
    lambdamart_report report;
} trained;

static trained train(const rank_rows *rows, const rank_rows *valid, const lambdamart_settings *s) {
    trained t = {0};
    base_error error = {0};
    if (lambdamart_train(rows, valid, s, NULL, NULL, false, &t.model, &t.report, &error)) fail_msg("%s", error.message);
    return t;
}

static void release(trained *t) {
    buffer_release(&t->model);
    lambdamart_report_release(&t->report);
}

static double quality(const trained *t, const rank_rows *rows) {
    float *scores = mem_alloc(rows->n_rows * sizeof *scores);
    assert_ok(boost_predict((slice){t->model.data, t->model.size}, rows->n_features, rows->x, rows->n_rows, scores, NULL));
    double value = ndcg_mean(rows, scores, &(ndcg_options){.cutoff = 10, .empty = NDCG_EMPTY_ONE}, NULL);
    free(scores);
    return value;
}

static void trees_learn_what_no_linear_order_can(void **state) {
    (void)state;
    rank_table known, held, fresh;
    pick_settings s;
    rank_fit fit;
    base_error error = {0};
    make_world(&known, 150, 20, false, 1);
    make_world(&held, 60, 20, false, 2);
    make_world(&fresh, 100, 20, false, 3);
    pick_settings_default(&s);
    s.trees = small_settings();
    assert_ok(rank_train(&known.rows, &held.rows, &s, NULL, NULL, &fit, &error));
    assert_int_equal(fit.kind, PICK_TREES);
    assert_true(fit.difference > 3 * fit.standard_error);
    assert_true(fit.trees_report.valid > .85);
    assert_true(fit.linear_report.valid < .7);
    float *scores = mem_alloc(fresh.rows.n_rows * sizeof *scores);
    assert_ok(rank_fit_score(&fit, &fresh.rows, scores, &error));
    assert_true(ndcg_mean(&fresh.rows, scores, &(ndcg_options){.cutoff = 10, .empty = NDCG_EMPTY_ONE}, NULL) > .85);
    free(scores);
    buffer json = {0};
    arena memory;
    json_value *value;
    arena_init(&memory, 0);
    rank_fit_json(&fit, &json);
    assert_ok(json_read(&memory, (slice){json.data, json.size}, &value, &error));
    arena_release(&memory);
    buffer_release(&json);
    rank_fit_release(&fit);
    rank_table_release(&known);
    rank_table_release(&held);
    rank_table_release(&fresh);
}

/* Where a linear order is the truth it is found, weight by weight, and taken. */
static void a_linear_truth_is_found_and_taken(void **state) {
    (void)state;
    rank_table known, held;
    pick_settings s;
    rank_fit fit;
    base_error error = {0};
    make_world(&known, 150, 20, true, 4);
    make_world(&held, 80, 20, true, 5);
    for (int loss = 0; loss < 2; loss++) {
        pick_settings_default(&s);
        s.trees = small_settings();
        s.linear.loss = (linear_loss)loss;
        assert_ok(rank_train(&known.rows, &held.rows, &s, NULL, NULL, &fit, &error));
        assert_int_equal(fit.kind, PICK_LINEAR);
        const float *w = fit.linear.weight;
        assert_true(w[0] > 0 && fabsf(w[1] / w[0] + .5f) < .12f);
        for (int f = 2; f < F; f++) assert_true(fabsf(w[f]) < .15f * w[0]);
        assert_true(fit.linear_report.valid > .93);
        rank_fit_release(&fit);
    }
    rank_table_release(&known);
    rank_table_release(&held);
}

/* What is believed before holds until the rows say otherwise: with few of them, a weaker penalty has to earn its place. */
static void a_linear_order_begins_at_what_is_believed(void **state) {
    (void)state;
    rank_table known, held;
    linear_settings s;
    linear_model m;
    linear_report told;
    float prior[F] = {2, -1};
    make_world(&known, 12, 10, true, 41);
    make_world(&held, 12, 10, true, 42);
    linear_settings_default(&s);
    s.prior = prior;
    s.n_grid = 1;
    s.l2[0] = 1e6;
    assert_ok(linear_fit(&known.rows, &held.rows, &s, &m, &told, NULL));
    for (int f = 0; f < F; f++) assert_float_equal(m.weight[f], prior[f], .01);
    linear_model_release(&m);
    s.n_grid = 3;
    s.l2[1] = 1;
    s.l2[2] = 1e-5;
    s.standard_errors = 2; /* the truth is 2 : -1 in this world: nothing is better than the prior */
    assert_ok(linear_fit(&known.rows, &held.rows, &s, &m, &told, NULL));
    assert_true(told.l2 == 1e6);
    linear_model_release(&m);
    for (int f = 0; f < F; f++) prior[f] = f == 1 ? 2 : 0; /* a wrong belief gives way */
    assert_ok(linear_fit(&known.rows, &held.rows, &s, &m, &told, NULL));
    assert_true(told.l2 < 1e6 && m.weight[0] > 0);
    linear_model_release(&m);
    rank_table_release(&known);
    rank_table_release(&held);
}

static void early_stopping_cuts_to_the_best_round(void **state) {
    (void)state;
    rank_table known, held;
    make_world(&known, 25, 15, false, 6);
    make_world(&held, 25, 15, false, 7);
    lambdamart_settings s = small_settings();
    s.rounds = 400;
    s.patience = 10;
    trained t = train(&known.rows, &held.rows, &s);
    uint32_t best = 0;
    for (uint32_t i = 1; i < t.report.n_curve; i++)
        if (t.report.valid_curve[i] > t.report.valid_curve[best]) best = i;
    assert_int_equal(t.report.best_round, best + 1);
    assert_int_equal(t.report.rounds, best + 1);
    assert_int_equal(t.report.n_curve, best + 11);
    assert_true(fabs(t.report.valid - (double)t.report.valid_curve[best]) < 1e-6);
    assert_true(fabs(quality(&t, &held.rows) - t.report.valid) < 1e-3);
    release(&t);
    rank_table_release(&known);
    rank_table_release(&held);
}

/* The same bytes again, and from gradients that threads shared; another seed gives others. */
static void training_is_deterministic(void **state) {
    (void)state;
    rank_table known;
    make_world(&known, 1100, 20, false, 8); /* enough rows for the threads to share */
    lambdamart_settings s = small_settings();
    s.rounds = 3;
    s.bags = 2;
    s.group_share = .5;
    s.trees.colsample = .6;
    trained a = train(&known.rows, NULL, &s), b = train(&known.rows, NULL, &s);
    assert_int_equal(a.report.rounds, 6);
    assert_int_equal(a.model.size, b.model.size);
    assert_memory_equal(a.model.data, b.model.data, a.model.size);
    s.seed = 99;
    trained c = train(&known.rows, NULL, &s);
    assert_true(a.model.size != c.model.size || memcmp(a.model.data, c.model.data, a.model.size) != 0);
    size_t n = known.rows.n_rows;
    float *scores = mem_zalloc(5 * n, sizeof *scores);
    for (size_t i = 0; i < n; i++) scores[i] = known.rows.x[i * F];
    lambda_pairs *one = lambda_pairs_create(&known.rows, &s);
    s.trees.threads = 3;
    lambda_pairs *three = lambda_pairs_create(&known.rows, &s);
    lambda_pairs_compute(one, scores, 5, scores + n, scores + 2 * n);
    lambda_pairs_compute(three, scores, 5, scores + 3 * n, scores + 4 * n);
    assert_memory_equal(scores + n, scores + 3 * n, 2 * n * sizeof *scores);
    assert_true(lambda_pairs_count(one) == lambda_pairs_count(three));
    lambda_pairs_destroy(one);
    lambda_pairs_destroy(three);
    free(scores);
    release(&a);
    release(&b);
    release(&c);
    rank_table_release(&known);
}

static bool stop_at_four(void *self, const lambdamart_progress *p) {
    ++*(int *)self;
    return p->round < 4;
}

static void bags_average_and_callers_can_stop(void **state) {
    (void)state;
    rank_table known, held;
    make_world(&known, 80, 15, false, 9);
    make_world(&held, 40, 15, false, 10);
    lambdamart_settings s = small_settings();
    s.bags = 3;
    base_error error;
    buffer model = {0};
    lambdamart_report report;
    assert_int_equal(lambdamart_train(&known.rows, NULL, &s, NULL, NULL, false, &model, &report, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "bags"));
    s.group_share = .6;
    trained t = train(&known.rows, &held.rows, &s);
    assert_int_equal(t.report.bags, 3);
    assert_true(t.report.rounds > t.report.best_round);
    assert_true(fabs(quality(&t, &held.rows) - t.report.valid) < 1e-3);
    assert_true(t.report.valid > .75);
    release(&t);
    int calls = 0;
    s.patience = 0;
    assert_ok(lambdamart_train(&known.rows, NULL, &s, stop_at_four, &calls, true, &model, &report, &error));
    assert_true(report.cancelled);
    assert_int_equal(report.rounds, 4);
    assert_int_equal(calls, 4);
    assert_true(isnan(report.valid) && !report.valid_curve);
    lambdamart_report_release(&report);
    s.seconds = 1e-9;
    assert_ok(lambdamart_train(&known.rows, NULL, &s, NULL, NULL, true, &model, &report, &error));
    assert_true(report.timed_out);
    assert_int_equal(report.rounds, 1);
    lambdamart_report_release(&report);
    buffer_release(&model);
    rank_table_release(&known);
    rank_table_release(&held);
}

/* ---- Clicks ---- */

static double look(uint32_t position) { return pow((double)position, -1.0); }

/* What is shown is ordered by x2, which says nothing about relevance (that follows x0); people look at a position with probability
 * look(position) and click what is relevant. */
static void make_clicks(rank_table *t, size_t groups, bool weights, uint64_t seed) {
    enum { ROWS = 10 };
    random_source random;
    random_seed(&random, seed);
    rank_table_init(t, F);
    for (size_t g = 0; g < groups; g++) {
        float x[ROWS][F];
        rank_table_begin_group(t, 1, (int64_t)g);
        for (int i = 0; i < ROWS; i++)
            for (int f = 0; f < F; f++) x[i][f] = (float)random_normal(&random);
        for (uint32_t position = 1; position <= ROWS; position++) {
            float *row = x[position - 1];
            row[2] = (float)(ROWS - position) / 3 + .3f * row[2];
            double relevant = row[0] > .8f ? .9 : .05;
            bool clicked = random_double(&random) < look(position) * relevant;
            rank_table_add(t, row, clicked, weights ? (float)(1 / look(position)) : 1, position);
        }
    }
}

static void make_truth(rank_table *t, uint64_t seed) {
    random_source random;
    random_seed(&random, seed);
    rank_table_init(t, F);
    for (size_t g = 0; g < 150; g++) {
        rank_table_begin_group(t, 1, 0);
        for (int i = 0; i < 10; i++) {
            float x[F];
            for (int f = 0; f < F; f++) x[f] = (float)random_normal(&random);
            x[2] = (float)(9 - i) / 3 + .3f * x[2];
            rank_table_add(t, x, x[0] > .8f, 1, 0);
        }
    }
}

static void propensities_and_learned_biases_undo_the_position(void **state) {
    (void)state;
    rank_table clicks, weighted, truth;
    make_clicks(&clicks, 800, false, 12);
    make_clicks(&weighted, 800, true, 12);
    make_truth(&truth, 13);
    lambdamart_settings s = small_settings();
    s.gain = NDCG_LINEAR;
    s.rounds = 40;
    s.weight_clip = 100;
    trained naive = train(&clicks.rows, NULL, &s), ips = train(&weighted.rows, NULL, &s);
    s.debias = true;
    trained joint = train(&clicks.rows, NULL, &s);
    double naive_value = quality(&naive, &truth.rows);
    assert_true(quality(&ips, &truth.rows) > naive_value + .01);
    assert_true(quality(&joint, &truth.rows) > naive_value + .01);
    assert_int_equal(joint.report.n_positions, 10);
    assert_true(joint.report.t_plus[0] == 1);
    assert_true(joint.report.t_plus[1] < .8f && joint.report.t_plus[9] < .4f);
    assert_true(ips.report.clipped == 0);
    release(&ips);
    s.debias = false;
    s.weight_clip = 5;
    ips = train(&weighted.rows, NULL, &s);
    assert_true(ips.report.clipped > .01 && ips.report.clipped < .6);
    release(&naive);
    release(&ips);
    release(&joint);
    rank_table_release(&clicks);
    rank_table_release(&weighted);
    rank_table_release(&truth);
}

/* ---- What cannot be learned from ---- */

static forage_status try_rows(const rank_rows *rows, const lambdamart_settings *s, base_error *error) {
    buffer model = {0};
    lambdamart_report report;
    linear_model linear;
    linear_report linear_told;
    linear_settings l;
    linear_settings_default(&l);
    l.gain = s->gain;
    forage_status status = lambdamart_train(rows, NULL, s, NULL, NULL, false, &model, &report, error);
    if (!status) lambdamart_report_release(&report);
    buffer_release(&model);
    if (s->debias) return status;
    forage_status other = linear_fit(rows, NULL, &l, &linear, &linear_told, NULL);
    assert_int_equal(status, other);
    if (!other) linear_model_release(&linear);
    return status;
}

static void hopeless_rows_are_named(void **state) {
    (void)state;
    lambdamart_settings s = small_settings();
    base_error error;
    rank_table t;
    rank_table_init(&t, F);
    assert_int_equal(try_rows(&t.rows, &s, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "there are no rows"));
    rank_table_release(&t);
    make_world(&t, 3, 10, true, 14);
    static const struct {
        float label, weight;
        const char *message;
    } bad[] = {{NAN, 1, "label"}, {-1, 1, "label"}, {31, 1, "label"}, {INFINITY, 1, "label"}, {1, -1, "weight"}, {1, NAN, "weight"}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        t.label[12] = bad[i].label;
        t.weight[12] = bad[i].weight;
        assert_int_equal(try_rows(&t.rows, &s, &error), FORAGE_E_INVALID);
        assert_non_null(strstr(error.message, bad[i].message));
        assert_non_null(strstr(error.message, "row 13"));
    }
    t.weight[12] = 1;
    for (float label = 0; label < 2; label++) {
        for (int i = 0; i < 30; i++) t.label[i] = label;
        assert_int_equal(try_rows(&t.rows, &s, &error), FORAGE_E_INVALID);
        assert_non_null(strstr(error.message, "nothing to learn"));
    }
    s.debias = true;
    t.label[3] = 2;
    assert_int_equal(try_rows(&t.rows, &s, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "positions"));
    s.debias = false;
    s.memory_limit = 1000;
    buffer model = {0};
    lambdamart_report report;
    assert_int_equal(lambdamart_train(&t.rows, NULL, &s, NULL, NULL, false, &model, &report, &error), FORAGE_E_TOO_LARGE);
    assert_int_equal(model.size, 0);
    rank_table_release(&t);
}

/* One group; features that say nothing, are all missing or not finite; very many rows that are all the same. */
static void odd_rows_give_a_sane_model(void **state) {
    (void)state;
    lambdamart_settings s = small_settings();
    s.rounds = 3;
    base_error error;
    rank_table t;
    make_world(&t, 1, 30, true, 15);
    assert_ok(try_rows(&t.rows, &s, &error));
    for (int i = 0; i < 30 * F; i++) t.x[i] = i % F == 0 ? INFINITY : NAN;
    assert_ok(try_rows(&t.rows, &s, &error));
    trained model = train(&t.rows, &t.rows, &s);
    assert_true(isfinite(model.report.valid));
    release(&model);
    rank_table_release(&t);
    rank_table_init(&t, 2);
    rank_table_begin_group(&t, 1, 0);
    for (int i = 0; i < 100000; i++) rank_table_add(&t, (float[]){1, 2}, i == 50000, 1, 0);
    s.rounds = 2;
    assert_ok(try_rows(&t.rows, &s, &error));
    s.gain = NDCG_LINEAR;
    t.label[50000] = NDCG_MOST_REWARD;
    assert_ok(try_rows(&t.rows, &s, &error));
    rank_table_release(&t);
}

static void settings_read_back(void **state) {
    (void)state;
    lambdamart_settings s = small_settings(), back;
    base_error error;
    arena memory;
    json_value *json;
    buffer first = {0}, second = {0};
    arena_init(&memory, 0);
    s.bags = 4;
    s.trees.colsample = .25;
    s.gain = NDCG_LINEAR;
    s.seed = 77;
    lambdamart_settings_json(&s, &first);
    assert_ok(json_read(&memory, (slice){first.data, first.size}, &json, &error));
    lambdamart_settings_default(&back);
    assert_ok(lambdamart_settings_read(json, &back, &error));
    lambdamart_settings_json(&back, &second);
    assert_string_equal(buffer_text(&first), buffer_text(&second));
    assert_ok(json_read(&memory, SLICE("{\"truncation\": 0}"), &json, &error));
    assert_int_equal(lambdamart_settings_read(json, &back, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "truncation"));
    arena_release(&memory);
    buffer_release(&first);
    buffer_release(&second);
}

static void tables_split_by_group(void **state) {
    (void)state;
    rank_table t, kept, held, again, other;
    make_world(&t, 10, 4, true, 16);
    rank_table_split(&t.rows, 5, 0, 1, &kept, &held);
    assert_int_equal(kept.rows.n_groups, 8);
    assert_int_equal(held.rows.n_groups, 2);
    assert_int_equal(kept.rows.n_rows + held.rows.n_rows, 40);
    rank_table_split(&t.rows, 5, 0, 1, &again, &other);
    assert_memory_equal(held.x, other.x, held.rows.n_rows * F * sizeof *held.x);
    for (size_t g = 0; g < 2; g++) /* groups stay whole */
        assert_memory_equal(held.x + held.first[g] * F, t.x + t.first[held.time[g]] * F, sizeof(float));
    rank_table_release(&t);
    rank_table_release(&kept);
    rank_table_release(&held);
    rank_table_release(&again);
    rank_table_release(&other);
}

static void mq2008_is_learned(void **state) {
    (void)state;
    const char *path = testing_data("letor-mq2008-fold1/train.txt");
    if (!path) skip();
    svmlight_rows rows;
    base_error error;
    assert_ok(ranking_file_read(path, NULL, &rows, &error));
    rank_rows all = ranking_file_rows(&rows);
    rank_table kept, held;
    rank_table_split(&all, 5, 0, 1, &kept, &held);
    lambdamart_settings s = small_settings();
    s.trees.min_child_weight = .1;
    s.rounds = 30;
    s.trees.colsample = .5;
    trained t = train(&kept.rows, &held.rows, &s);
    assert_true(t.report.valid > .78);
    release(&t);
    rank_table_release(&kept);
    rank_table_release(&held);
    svmlight_release(&rows);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ndcg_is_what_the_definition_says),
        cmocka_unit_test(order_breaks_ties_by_row_and_puts_nan_last),
        cmocka_unit_test(gradients_are_the_textbooks),
        cmocka_unit_test(trees_learn_what_no_linear_order_can),
        cmocka_unit_test(a_linear_truth_is_found_and_taken),
        cmocka_unit_test(a_linear_order_begins_at_what_is_believed),
        cmocka_unit_test(early_stopping_cuts_to_the_best_round),
        cmocka_unit_test(training_is_deterministic),
        cmocka_unit_test(bags_average_and_callers_can_stop),
        cmocka_unit_test(propensities_and_learned_biases_undo_the_position),
        cmocka_unit_test(hopeless_rows_are_named),
        cmocka_unit_test(odd_rows_give_a_sane_model),
        cmocka_unit_test(settings_read_back),
        cmocka_unit_test(tables_split_by_group),
        cmocka_unit_test(mq2008_is_learned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
