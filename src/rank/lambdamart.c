#include "rank/lambdamart.h"

#include "format/json.h"
#include "os/clock.h"
#include "rank/lambda_pairs.h"
#include "rank/report_json.h"
#include "rank/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Report ---------------------------------------------------------------------------------------------------- */

void lambdamart_report_release(lambdamart_report *r) {
    free(r->train_curve);
    free(r->valid_curve);
    free(r->t_plus);
    free(r->t_minus);
    memset(r, 0, sizeof *r);
}

static void write_floats(json_writer *w, const char *key, const float *values, uint32_t n) {
    if (!values) return;
    json_key(w, key);
    json_begin_array(w);
    for (uint32_t i = 0; i < n; i++) json_float(w, (double)values[i]);
    json_end_array(w);
}

void lambdamart_report_json(const lambdamart_report *r, buffer *out) {
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    write_whole(&w, "trees", r->rounds);
    write_whole(&w, "bags", r->bags);
    write_whole(&w, "best_round", r->best_round);
    write_number(&w, "train", r->train);
    write_number(&w, "validation", r->valid);
    write_number(&w, "seconds", r->seconds);
    write_whole(&w, "pairs", r->pairs);
    write_whole(&w, "informative_groups", r->informative);
    write_number(&w, "clipped", r->clipped);
    write_flag(&w, "cancelled", r->cancelled);
    write_flag(&w, "timed_out", r->timed_out);
    write_whole(&w, "seed", r->seed);
    write_whole(&w, "threads", r->threads);
    write_floats(&w, "train_curve", r->train_curve, r->n_curve);
    write_floats(&w, "validation_curve", r->valid_curve, r->n_curve);
    write_floats(&w, "position_bias_engaged", r->t_plus, r->n_positions);
    write_floats(&w, "position_bias_passed", r->t_minus, r->n_positions);
    json_end_object(&w);
}

/* ---- Training -------------------------------------------------------------------------------------------------- */

/* Bags follow each other in one booster. Scores add up, so a bag's own score is the total less what stood when it began;
 * its leaves count by 1 / bags, so that the total is the mean of the bags. */
typedef struct training {
    const rank_rows *train, *valid;
    const lambdamart_settings *settings;
    lambdamart_watch watch;
    void *self;
    int64_t start;
    boost *boost;
    lambda_pairs *pairs;
    ndcg_options metric;
    double *train_ideal, *valid_ideal;
    float *train_base, *valid_base, *own, *gradient, *hessian;
    lambdamart_report report;
} training;

static double seconds_since(int64_t start) { return (double)(clock_monotonic(&os_clock_system) - start) / 1e6; }

/* XGBoost's rows (8 bytes a value) and bins (up to 4, in rows and columns), and what is kept for each row here. */
static forage_status check_memory(const rank_rows *train, const rank_rows *valid, size_t limit, base_error *error) {
    double values = (double)train->n_rows * train->n_features, rows = (double)train->n_rows;
    double bytes = values * 12 + rows * 80;
    if (valid) bytes += (double)valid->n_rows * (valid->n_features * 8.0 + 16);
    if (!limit || bytes <= (double)limit) return FORAGE_OK;
    return error_set(error, FORAGE_E_TOO_LARGE, "training on %zu rows of %u features takes about %.0f MB; the limit is %.0f MB",
                     train->n_rows, train->n_features, bytes / 1e6, (double)limit / 1e6);
}

static forage_status check_rows(const rank_rows *train, const rank_rows *valid, const lambdamart_settings *s, base_error *error) {
    float most = s->gain == NDCG_EXPONENTIAL ? NDCG_MOST_GRADE : NDCG_MOST_REWARD;
    forage_status status = rank_rows_check(train, most, error);
    if (status) return error_prefix(error, "training rows"), status;
    if (valid && (status = rank_rows_check(valid, most, error))) return error_prefix(error, "validation rows"), status;
    if (valid && valid->n_features != train->n_features)
        return error_set(error, FORAGE_E_INVALID, "validation rows: %u features, the training rows have %u", valid->n_features,
                         train->n_features);
    return check_memory(train, valid, s->memory_limit, error);
}

static forage_status prepare(training *t, base_error *error) {
    const rank_rows *train = t->train, *valid = t->valid;
    const lambdamart_settings *s = t->settings;
    size_t n_valid = valid ? valid->n_rows : 0, larger = n_valid > train->n_rows ? n_valid : train->n_rows;
    t->pairs = lambda_pairs_create(train, s);
    t->report.informative = lambda_pairs_informative(t->pairs);
    t->report.clipped = lambda_pairs_clipped(t->pairs);
    if (!t->report.informative)
        return error_set(error, FORAGE_E_INVALID, "there is nothing to learn: in none of the %zu groups are there rows of "
                                                  "different labels", train->n_groups);
    const float *t_plus, *t_minus;
    if (s->debias && !lambda_pairs_biases(t->pairs, &t_plus, &t_minus))
        return error_set(error, FORAGE_E_INVALID, "debias: the training rows have no positions to learn from");
    t->metric = (ndcg_options){.gain = s->gain, .empty = s->empty, .cutoff = s->cutoff, .weighted = true};
    t->train_ideal = mem_alloc((train->n_groups + 1) * sizeof *t->train_ideal);
    ndcg_ideals(train, &t->metric, t->train_ideal);
    if (valid) {
        t->valid_ideal = mem_alloc((valid->n_groups + 1) * sizeof *t->valid_ideal);
        ndcg_ideals(valid, &t->metric, t->valid_ideal);
    }
    t->train_base = mem_zalloc(train->n_rows, sizeof *t->train_base);
    t->valid_base = mem_zalloc(n_valid + 1, sizeof *t->valid_base);
    t->own = mem_alloc(larger * sizeof *t->own);
    t->gradient = mem_alloc(2 * train->n_rows * sizeof *t->gradient);
    t->hessian = t->gradient + train->n_rows;
    t->report.train_curve = mem_alloc(s->rounds * sizeof(float));
    if (valid) t->report.valid_curve = mem_alloc(s->rounds * sizeof(float));
    boost_settings trees = s->trees;
    trees.eta /= s->bags;
    trees.seed = s->seed;
    if (trees.eta < 1e-6) trees.eta = 1e-6;
    return boost_create(&trees, train->n_features, train->x, train->n_rows, valid ? valid->x : NULL, n_valid, &t->boost, error);
}

static void release(training *t) {
    boost_destroy(t->boost);
    lambda_pairs_destroy(t->pairs);
    free(t->train_ideal);
    free(t->valid_ideal);
    free(t->train_base);
    free(t->valid_base);
    free(t->own);
    free(t->gradient);
}

static const float *own_scores(const training *t, const float *total, const float *base, size_t n) {
    float bags = (float)t->settings->bags;
    for (size_t i = 0; i < n; i++) t->own[i] = (total[i] - base[i]) * bags;
    return t->own;
}

static double own_train(const training *t) {
    const float *own = own_scores(t, boost_scores(t->boost), t->train_base, t->train->n_rows);
    return ndcg_mean_of(t->train, own, &t->metric, t->train_ideal, NULL);
}

static double own_valid(const training *t) {
    if (!t->valid) return (double)NAN;
    const float *own = own_scores(t, boost_valid_scores(t->boost), t->valid_base, t->valid->n_rows);
    return ndcg_mean_of(t->valid, own, &t->metric, t->valid_ideal, NULL);
}

/* Whether training as a whole is to stop. */
static bool should_stop(training *t, uint32_t bag, uint32_t round, double train, double valid) {
    lambdamart_progress now = {bag, round, t->settings->rounds, train, valid};
    if (t->watch && !t->watch(t->self, &now)) t->report.cancelled = true;
    if (t->settings->seconds > 0 && seconds_since(t->start) >= t->settings->seconds) t->report.timed_out = true;
    return t->report.cancelled || t->report.timed_out;
}

static forage_status run_bag(training *t, uint32_t bag, bool *stop, base_error *error) {
    const lambdamart_settings *s = t->settings;
    uint32_t before = boost_rounds(t->boost), best_round = 0;
    double best = -1;
    for (uint32_t round = 1; round <= s->rounds && !*stop; round++) {
        const float *own = own_scores(t, boost_scores(t->boost), t->train_base, t->train->n_rows);
        uint64_t draw = s->seed * 0x9E3779B97F4A7C15u + ((uint64_t)bag << 32) + round;
        lambda_pairs_compute(t->pairs, own, draw, t->gradient, t->hessian);
        forage_status status = boost_round(t->boost, t->gradient, t->hessian, error);
        if (status) return status;
        double train = own_train(t), valid = own_valid(t);
        if (bag == 0) {
            t->report.train_curve[round - 1] = (float)train;
            if (t->valid) t->report.valid_curve[round - 1] = (float)valid;
            t->report.n_curve = round;
        }
        if (valid > best) {
            best = valid;
            best_round = round;
        }
        *stop = should_stop(t, bag, round, train, valid);
        if (s->patience && best_round && round - best_round >= s->patience) break;
    }
    if (bag == 0) t->report.best_round = best_round ? best_round : boost_rounds(t->boost) - before;
    return s->patience && best_round ? boost_cut(t->boost, before + best_round, error) : FORAGE_OK;
}

static forage_status run_bags(training *t, base_error *error) {
    bool stop = false;
    forage_status status = FORAGE_OK;
    for (uint32_t bag = 0; bag < t->settings->bags && !stop && !status; bag++) {
        t->report.bags = bag + 1;
        memcpy(t->train_base, boost_scores(t->boost), t->train->n_rows * sizeof *t->train_base);
        if (t->valid) memcpy(t->valid_base, boost_valid_scores(t->boost), t->valid->n_rows * sizeof *t->valid_base);
        lambda_pairs_forget(t->pairs);
        status = run_bag(t, bag, &stop, error);
    }
    return status;
}

static void finish(training *t) {
    lambdamart_report *r = &t->report;
    const float *t_plus, *t_minus;
    r->rounds = boost_rounds(t->boost);
    r->train = ndcg_mean_of(t->train, boost_scores(t->boost), &t->metric, t->train_ideal, NULL);
    r->valid = t->valid ? ndcg_mean_of(t->valid, boost_valid_scores(t->boost), &t->metric, t->valid_ideal, NULL) : (double)NAN;
    r->pairs = lambda_pairs_count(t->pairs);
    r->seed = t->settings->seed;
    r->threads = t->settings->trees.threads;
    r->n_positions = lambda_pairs_biases(t->pairs, &t_plus, &t_minus);
    if (r->n_positions) {
        size_t size = r->n_positions * sizeof *t_plus;
        r->t_plus = memcpy(mem_alloc(size), t_plus, size);
        r->t_minus = memcpy(mem_alloc(size), t_minus, size);
    }
    r->seconds = seconds_since(t->start);
}

forage_status lambdamart_train(const rank_rows *train, const rank_rows *valid, const lambdamart_settings *settings,
                               lambdamart_watch watch, void *self, bool json, buffer *model, lambdamart_report *report,
                               base_error *error) {
    training t = {.train = train, .valid = valid, .settings = settings, .watch = watch, .self = self,
                  .start = clock_monotonic(&os_clock_system)};
    forage_status status = lambdamart_settings_check(settings, error);
    if (!status) status = check_rows(train, valid, settings, error);
    if (!status) status = prepare(&t, error);
    if (!status) status = run_bags(&t, error);
    if (!status) status = boost_model(t.boost, json, model, error);
    if (!status) {
        finish(&t);
        *report = t.report;
    } else {
        lambdamart_report_release(&t.report);
    }
    release(&t);
    return status;
}
