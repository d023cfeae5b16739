/* Does training on clicks, weighed by an estimated examination, reach training on judgments?
 *
 *     debias_driver TRAIN TEST FEATURE PAGES BY_PAGE SEED    one JSON line: NDCG@10 on TEST of each way to train
 *
 * TRAIN and TEST are SVMlight files. The production ranker is one feature (from 1) with Plackett–Luce exploration. PAGES pages
 * are simulated; the first BY_PAGE of them are also learned from page by page (0: not). */
#include "judged_clicks.h"
#include "rank/lambdamart.h"
#include "rank/ranking_file.h"

#include <stdio.h>

enum { RANKS = 10, ROUNDS = 150 };
#define MOST_WEIGHT 100.

static _Noreturn void give_up(const char *what) {
    fprintf(stderr, "debias_driver: %s\n", what);
    exit(1);
}

static void measure(const char *name, const rank_rows *test, const float *scores) {
    ndcg_options o = {.gain = NDCG_EXPONENTIAL, .empty = NDCG_EMPTY_OUT, .cutoff = RANKS};
    printf(", \"%s\": %.6f", name, ndcg_mean(test, scores, &o, NULL));
    o.empty = NDCG_EMPTY_ONE;
    printf(", \"%s, empty ones 1\": %.6f", name, ndcg_mean(test, scores, &o, NULL));
}

static void train(const char *name, const rank_rows *rows, const rank_rows *test, ndcg_gain gain, uint64_t seed) {
    lambdamart_settings s;
    lambdamart_report report = {0};
    buffer model = {0};
    base_error error;
    float *scores = mem_alloc(test->n_rows * sizeof *scores);
    lambdamart_settings_default(&s);
    s.trees.max_leaves = 8;
    s.trees.colsample = .5;
    s.trees.lambda = 10;
    s.trees.threads = 1;
    s.trees.seed = s.seed = seed;
    s.group_share = .7;
    s.rounds = ROUNDS;
    s.patience = 0;
    s.weight_clip = 0; /* weights come clipped */
    s.gain = gain;
    if (lambdamart_train(rows, NULL, &s, NULL, NULL, false, &model, &report, &error)) give_up(error.message);
    if (boost_predict((slice){model.data, model.size}, test->n_features, test->x, test->n_rows, scores, &error))
        give_up(error.message);
    measure(name, test, scores);
    lambdamart_report_release(&report);
    buffer_release(&model);
    free(scores);
}

static float *column(const rank_rows *rows, uint32_t feature) {
    float *out = mem_alloc(rows->n_rows * sizeof *out);
    for (size_t i = 0; i < rows->n_rows; i++) out[i] = rows->x[i * rows->n_features + feature];
    return out;
}

/* The curve that the simulation has, as if it had been estimated without error. */
static void true_curve(const judged_world *w, examination_curve *out) {
    examination_config c;
    examination_config_default(&c);
    c.n_ranks = w->ranks;
    c.prior_power = w->power;
    examination_prior(&c, out);
}

static void estimate(const judged_world *w, const judged_log *log, examination_curve *out) {
    examination_config c;
    examination *e = NULL;
    base_error error;
    double worst = 0;
    examination_config_default(&c);
    c.n_ranks = w->ranks;
    c.prior_power = .5; /* not the truth's */
    if (examination_create(&c, &e, &error)) give_up(error.message);
    judged_count(log, e);
    examination_fit(e, EXAMINATION_HARVEST, out);
    for (uint32_t k = 1; k < c.n_ranks; k++)
        worst = fmax(worst, fabs(out->ranks[k].estimate * pow(k + 1., w->power) - 1));
    printf(", \"curve error\": %.6f, \"identified\": %s", worst, out->identified ? "true" : "false");
    examination_destroy(e);
}

static void train_all(const judged_world *w, const judged_log *log, size_t by_page, const rank_rows *test, uint64_t seed) {
    examination_curve estimated, known;
    const struct {
        const char *name;
        const examination_curve *curve;
    } ways[] = {{"debiased", &estimated}, {"debiased, curve known", &known}, {"naive", NULL}};
    char name[64];
    rank_table rows;
    estimate(w, log, &estimated);
    true_curve(w, &known);
    train("judgments", w->judged, test, NDCG_EXPONENTIAL, seed);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        judged_by_query(w, log, ways[i].curve, MOST_WEIGHT, &rows);
        train(ways[i].name, &rows.rows, test, NDCG_LINEAR, seed);
        rank_table_release(&rows);
        if (!by_page) continue;
        judged_by_page(w, log, by_page, ways[i].curve, MOST_WEIGHT, &rows);
        snprintf(name, sizeof name, "%s, by page", ways[i].name);
        train(name, &rows.rows, test, NDCG_LINEAR, seed);
        rank_table_release(&rows);
    }
}

int main(int argc, char **argv) {
    svmlight_rows train_rows, test_rows;
    svmlight_options options = {0};
    base_error error;
    judged_log log;
    if (argc != 7) give_up("expected TRAIN TEST FEATURE PAGES BY_PAGE SEED");
    if (ranking_file_read(argv[1], &options, &train_rows, &error)) give_up(error.message);
    options.n_features = options.feature_limit = train_rows.n_features;
    if (ranking_file_read(argv[2], &options, &test_rows, &error)) give_up(error.message);
    rank_rows judged = ranking_file_rows(&train_rows), test = ranking_file_rows(&test_rows);
    uint32_t feature = (uint32_t)atoi(argv[3]) - 1;
    uint64_t seed = strtoull(argv[6], NULL, 10);
    if (feature >= judged.n_features) give_up("there is no such feature");
    float *production = column(&judged, feature), *on_test = column(&test, feature);
    judged_world w = {.judged = &judged, .production = production, .ranks = RANKS, .power = 1, .mistake = .1,
                      .temperature = .5};
    judged_log_init(&w, strtoull(argv[4], NULL, 10), seed, &log);
    printf("{\"pages\": %zu, \"seed\": %llu", log.n_pages, (unsigned long long)seed);
    measure("production", &test, on_test);
    train_all(&w, &log, strtoull(argv[5], NULL, 10), &test, seed);
    printf("}\n");
    judged_log_release(&log);
    free(production);
    free(on_test);
    svmlight_release(&train_rows);
    svmlight_release(&test_rows);
    return 0;
}
