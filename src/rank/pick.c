#include "rank/pick.h"

#include "format/json.h"
#include "rank/report_json.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

void pick_settings_default(pick_settings *s) {
    memset(s, 0, sizeof *s);
    s->kind = PICK_BEST;
    s->standard_errors = 1;
    lambdamart_settings_default(&s->trees);
    linear_settings_default(&s->linear);
}

void rank_fit_release(rank_fit *f) {
    linear_model_release(&f->linear);
    lambdamart_report_release(&f->trees_report);
    buffer_release(&f->trees);
    memset(f, 0, sizeof *f);
}

static forage_status score_by(const rank_fit *f, pick_kind kind, const rank_rows *rows, float *scores, base_error *error) {
    if (kind == PICK_TREES)
        return boost_predict((slice){f->trees.data, f->trees.size}, rows->n_features, rows->x, rows->n_rows, scores, error);
    linear_score(&f->linear, rows->x, rows->n_rows, scores);
    return FORAGE_OK;
}

forage_status rank_fit_score(const rank_fit *f, const rank_rows *rows, float *scores, base_error *error) {
    if (f->kind == PICK_LINEAR && rows->n_features != f->linear.n_features)
        return error_set(error, FORAGE_E_INVALID, "%u features, the model has %u", rows->n_features, f->linear.n_features);
    return score_by(f, f->kind, rows, scores, error);
}

/* Mean and standard error of the paired differences, as a ratio of sums. Groups in which nothing can be told apart are the
 * same for both: they would only make the error look small. */
static void compare_values(const double *trees, const double *linear, const double *weight, size_t n, rank_fit *f) {
    double sum = 0, squares = 0, weights = 0;
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(trees[i]) || !isfinite(linear[i])) continue;
        sum += weight[i] * (trees[i] - linear[i]);
        weights += weight[i];
        count++;
    }
    double mean = weights > 0 ? sum / weights : 0;
    for (size_t i = 0; i < n; i++)
        if (isfinite(trees[i]) && isfinite(linear[i])) squares += pow(weight[i] * (trees[i] - linear[i] - mean), 2);
    f->difference = mean;
    f->standard_error = count > 1 && weights > 0 ? sqrt(squares * (double)count / (double)(count - 1)) / weights : (double)INFINITY;
    f->compared = count;
}

static forage_status compare(rank_fit *f, const rank_rows *valid, const pick_settings *s, base_error *error) {
    ndcg_options metric = {.gain = s->trees.gain, .empty = NDCG_EMPTY_OUT, .cutoff = s->trees.cutoff, .weighted = true};
    float *scores = mem_alloc((valid->n_rows + 1) * sizeof *scores);
    double *trees = mem_alloc(3 * (valid->n_groups + 1) * sizeof *trees), *linear = trees + valid->n_groups;
    double *weight = trees + 2 * valid->n_groups;
    for (size_t g = 0; g < valid->n_groups; g++) weight[g] = ndcg_group_weight(valid, &metric, g);
    forage_status status = score_by(f, PICK_TREES, valid, scores, error);
    if (!status) {
        ndcg_mean(valid, scores, &metric, trees);
        status = score_by(f, PICK_LINEAR, valid, scores, error);
    }
    if (!status) {
        ndcg_mean(valid, scores, &metric, linear);
        compare_values(trees, linear, weight, valid->n_groups, f);
        bool ahead = f->difference > 0 && f->difference > s->standard_errors * f->standard_error;
        f->kind = ahead ? PICK_TREES : PICK_LINEAR;
    }
    free(scores);
    free(trees);
    return status;
}

forage_status rank_train(const rank_rows *train, const rank_rows *valid, const pick_settings *s, lambdamart_watch watch,
                         void *self, rank_fit *out, base_error *error) {
    rank_fit f = {.kind = s->kind, .difference = (double)NAN, .standard_error = (double)NAN};
    forage_status status = FORAGE_OK;
    if (s->kind == PICK_BEST && !valid)
        return error_set(error, FORAGE_E_INVALID, "without validation rows nobody can say which model is better: choose one");
    if (s->kind != PICK_TREES) {
        status = linear_fit(train, valid, &s->linear, &f.linear, &f.linear_report, error);
        f.has_linear = !status;
    }
    if (!status && s->kind != PICK_LINEAR) {
        status = lambdamart_train(train, valid, &s->trees, watch, self, s->json, &f.trees, &f.trees_report, error);
        f.has_trees = !status;
    }
    if (!status && s->kind == PICK_BEST) status = compare(&f, valid, s, error);
    if (status) rank_fit_release(&f);
    else *out = f;
    return status;
}

static void write_linear(json_writer *w, const rank_fit *f) {
    const linear_report *r = &f->linear_report;
    json_key(w, "linear");
    json_begin_object(w);
    write_number(w, "l2", r->l2);
    write_number(w, "train", r->train);
    write_number(w, "validation", r->valid);
    write_number(w, "loss", r->loss);
    json_key(w, "iterations");
    json_integer(w, r->iterations);
    write_number(w, "seconds", r->seconds);
    json_end_object(w);
}

void rank_fit_json(const rank_fit *f, buffer *out) {
    json_writer w = json_writer_of(out);
    buffer trees = {0};
    json_begin_object(&w);
    json_key(&w, "model");
    json_text(&w, f->kind == PICK_TREES ? "trees" : "linear");
    if (f->has_linear) write_linear(&w, f);
    if (f->has_trees) {
        lambdamart_report_json(&f->trees_report, &trees);
        json_key(&w, "trees");
        json_raw(&w, (slice){trees.data, trees.size});
    }
    if (f->has_linear && f->has_trees) {
        json_key(&w, "trees_ahead");
        json_begin_object(&w);
        write_number(&w, "difference", f->difference);
        write_number(&w, "standard_error", f->standard_error);
        json_key(&w, "groups");
        json_integer(&w, (int64_t)f->compared);
        json_end_object(&w);
    }
    json_end_object(&w);
    buffer_release(&trees);
}
