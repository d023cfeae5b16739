#include "base/log.h"
#include "os/clock.h"
#include "rank/arrange.h"
#include "rank/forest.h"
#include "train/train_judging.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define LEAST_SEARCHES 30 /* with feedback: fewer tell nothing that chance does not */

const char *train_phase_name(train_phase phase) {
    static const char *const names[] = {"reading", "weighing", "linear", "fitting", "judging", "done"};
    return names[phase];
}

typedef struct run {
    funnel *funnel;
    const train_settings *settings;
    train_watch watch;
    void *self;
    bool stopped;
    train_rows rows;
    examination_curve curve;
    examination_weighing weighing;
    float *weight;            /* per row */
    size_t validation, held_out; /* the first group of each */
    rank_fit fit;
    bool fitted;
    float *candidate, *incumbent; /* scores per row, of those held out */
    uint64_t active;
    arrange_calibration calibration;
    bool calibrated;
    train_verdict verdict;
    double judged, judged_incumbent; /* NDCG by judgments; NaN: there are none */
    bool wins;
    char why[256];
} run;

static bool tell(run *r, const train_progress *p) {
    if (!r->stopped && r->watch && !r->watch(r->self, p)) r->stopped = true;
    return !r->stopped;
}

static bool tell_phase(run *r, train_phase phase, double share) {
    return tell(r, &(train_progress){.phase = phase, .share = share, .train = NAN, .valid = NAN});
}

static bool reading_goes_on(void *self, double share) { return tell_phase(self, TRAIN_READING, share); }

static bool fitting_goes_on(void *self, const lambdamart_progress *p) {
    run *r = self;
    double bags = r->settings->fit.trees.bags > 0 ? (double)r->settings->fit.trees.bags : 1;
    double share = ((double)p->bag + (double)p->round / (double)(p->rounds ? p->rounds : 1)) / bags;
    return tell(r, &(train_progress){TRAIN_FITTING, share, p->round, p->train, p->valid});
}

static bool linear_goes_on(void *self, double share) {
    return tell(self, &(train_progress){.phase = TRAIN_LINEAR, .share = share, .train = NAN, .valid = NAN});
}

/* ---- Weights ---- */

static void weigh(run *r) {
    train_rows *t = &r->rows;
    r->weight = mem_alloc((t->n_rows + 1) * sizeof *r->weight);
    examination_method method = r->settings->debias == TRAIN_DEBIAS_EM ? EXAMINATION_REGRESSION_EM : EXAMINATION_HARVEST;
    examination_fit(t->looked, method, &r->curve);
    for (size_t i = 0; i < t->n_rows; i++) r->weight[i] = 1;
    if (r->settings->debias != TRAIN_DEBIAS_NONE)
        examination_weigh(&r->curve, t->label, t->position, t->n_rows, r->settings->weight_clip, r->weight, &r->weighing);
}

/* What is known of the curve is used by the memory from now on. */
static forage_status use_curve(run *r, base_error *error) {
    float chances[EXAMINATION_MAX_RANKS];
    if (!r->curve.identified) return FORAGE_OK;
    for (uint32_t k = 0; k < r->curve.n_ranks; k++) {
        double p = examination_at(&r->curve, k + 1);
        chances[k] = (float)(p < 1e-4 ? 1e-4 : p > 1 ? 1 : p);
    }
    return funnel_set_examination(r->funnel, chances, r->curve.n_ranks, error);
}

/* ---- Splitting and fitting ---- */

static forage_status split(run *r, base_error *error) {
    size_t n = r->rows.n_groups;
    if (n < LEAST_SEARCHES)
        return error_set(error, FORAGE_E_INVALID, "%zu searches of the log have feedback on what they showed and logged features; at least "
                         "%d are needed to train (%llu searches, %llu events with a reward, %llu searches without logged features)", n,
                         LEAST_SEARCHES, (unsigned long long)r->rows.searches, (unsigned long long)r->rows.events,
                         (unsigned long long)r->rows.without_features);
    r->held_out = n - (size_t)(r->settings->held_out * (double)n);
    r->validation = r->held_out - (size_t)(r->settings->validation * (double)n);
    if (r->held_out == n) r->held_out = n - 1;
    if (r->validation >= r->held_out) r->validation = r->held_out - 1;
    return FORAGE_OK;
}

static forage_status fit(run *r, base_error *error) {
    size_t *first = mem_alloc((r->rows.n_groups + 2) * 2 * sizeof *first);
    rank_rows train, valid;
    pick_settings settings = r->settings->fit;
    settings.trees.seed = settings.trees.trees.seed = r->settings->seed;
    float *prior = mem_zalloc(r->rows.n_features, sizeof *prior); /* the online ranker, which the linear order can only add to */
    for (uint32_t i = 0; i < r->rows.n_features; i++) prior[i] = strcmp(r->rows.names[i], FUNNEL_ONLINE_COLUMN) == 0;
    settings.linear.prior = prior;
    settings.linear.watch = linear_goes_on;
    settings.linear.self = r;
    train_rows_view(&r->rows, 0, r->validation, r->weight, first, &train);
    train_rows_view(&r->rows, r->validation, r->held_out, r->weight, first + r->rows.n_groups + 2, &valid);
    forage_status status = rank_train(&train, &valid, &settings, fitting_goes_on, r, &r->fit, error);
    r->fitted = !status;
    free(prior);
    free(first);
    return status;
}

/* ---- Judging ---- */

/* The linear ranker has learned from the held-out searches since: what it is judged by is the score that it gave when they were asked. */
static void as_it_was_online(run *r, size_t base) {
    const train_rows *t = &r->rows;
    uint32_t column = 0;
    while (column < t->n_features && strcmp(t->names[column], FUNNEL_ONLINE_COLUMN) != 0) column++;
    for (size_t i = base; column < t->n_features && i < t->n_rows; i++)
        if (isfinite(t->x[i * t->n_features + column])) r->incumbent[i] = t->x[i * t->n_features + column];
}

static forage_status score_held_out(run *r, base_error *error) {
    train_rows *t = &r->rows;
    size_t *first = mem_alloc((t->n_groups + 2) * sizeof *first);
    size_t base = t->first[r->validation];
    rank_rows late;
    r->candidate = mem_zalloc(t->n_rows + 1, sizeof *r->candidate);
    r->incumbent = mem_zalloc(t->n_rows + 1, sizeof *r->incumbent);
    train_rows_view(t, r->validation, t->n_groups, NULL, first, &late);
    forage_status status = rank_fit_score(&r->fit, &late, r->candidate + base, error);
    if (!status)
        status = funnel_model_score(r->funnel, r->active, t->names, t->n_features, late.x, late.n_rows, r->incumbent + base, error);
    free(first);
    if (!status && !r->active) as_it_was_online(r, base);
    return status;
}

/* From the score to the expected reward of a hit that is looked at: by the validation searches. */
static void calibrate(run *r) {
    train_rows *t = &r->rows;
    size_t from = t->first[r->validation], n = 0, most = t->first[r->held_out] - from;
    float *score = mem_alloc((most + 1) * sizeof *score), *reward = mem_alloc((most + 1) * sizeof *reward);
    float *weight = mem_alloc((most + 1) * sizeof *weight);
    for (size_t i = from; i < from + most; i++) {
        if (!t->position[i]) continue;
        score[n] = r->candidate[i];
        reward[n] = fminf(1, t->label[i]);
        weight[n++] = r->weight[i];
    }
    r->calibration = (arrange_calibration){1, 0};
    r->calibrated = arrange_fit(score, reward, weight, n, &r->calibration, NULL) == FORAGE_OK;
    free(score);
    free(reward);
    free(weight);
}

static const char *incumbent_name(const run *r, char text[32]) {
    if (!r->active) return "linear";
    snprintf(text, 32, "model:%llu", (unsigned long long)r->active);
    return text;
}

static void decide(run *r) {
    const train_value *d = &r->verdict.difference;
    bool by_people = !isnan(r->judged), agree = !by_people || r->judged >= r->judged_incumbent;
    r->wins = d->low > 0 && agree;
    if (r->wins)
        snprintf(r->why, sizeof r->why,
            "it wins: on %zu searches that it has not seen it earns %.3f of the possible, %+.3f (%+.3f to %+.3f) "
                 "against what serves now", r->verdict.searches, r->verdict.candidate.value, d->value, d->low, d->high);
    else if (d->low > 0)
        snprintf(r->why, sizeof r->why, "it wins by clicks (%+.3f, %+.3f to %+.3f) and loses by judgments (%.4f against %.4f)", d->value,
                 d->low, d->high, r->judged, r->judged_incumbent);
    else
        snprintf(r->why, sizeof r->why, "it does not win: on %zu searches that it has not seen the difference to what serves now is %+.3f "
                 "(%+.3f to %+.3f)", r->verdict.searches, d->value, d->low, d->high);
}

/* ---- Keeping ---- */

static forage_status bytes_of_trees(run *r, buffer *bytes, buffer *map, base_error *error) {
    forest *trees;
    forage_status status = forest_read((slice){r->fit.trees.data, r->fit.trees.size}, &trees, error);
    if (status) return status;
    forest_save(trees, bytes);
    forest_destroy(trees);
    for (uint32_t i = 0; i < r->rows.n_features; i++) buffer_printf(map, "f%u\t%s\n", i, r->rows.names[i]);
    return FORAGE_OK;
}

static void number(json_writer *w, const char *key, double value) {
    json_key(w, key);
    json_number(w, value);
}

static void integer(json_writer *w, const char *key, uint64_t value) {
    json_key(w, key);
    json_integer(w, (int64_t)value);
}

static void write_value(json_writer *w, const char *key, const train_value *v) {
    json_key(w, key);
    json_begin_object(w);
    number(w, "value", v->value);
    number(w, "low", v->low);
    number(w, "high", v->high);
    json_end_object(w);
}

static void write_data(const run *r, json_writer *w) {
    const train_rows *t = &r->rows;
    json_key(w, "data");
    json_begin_object(w);
    integer(w, "searches", t->searches);
    integer(w, "events", t->events);
    integer(w, "with_feedback", t->n_groups);
    integer(w, "rows", t->n_rows);
    integer(w, "without_features", t->without_features);
    integer(w, "left_out", t->left_out);
    int64_t from = t->time[0], to = t->time[0]; /* the log is in the order of arrival; searches may tell an earlier time */
    for (size_t g = 1; g < t->n_groups; g++) {
        from = t->time[g] < from ? t->time[g] : from;
        to = t->time[g] > to ? t->time[g] : to;
    }
    integer(w, "from", (uint64_t)(from / 1000000));
    integer(w, "to", (uint64_t)(to / 1000000));
    integer(w, "first_sequence", t->sequence[0]);
    integer(w, "last_sequence", t->sequence[t->n_groups - 1]);
    integer(w, "features", t->n_features);
    integer(w, "trained_on", r->validation);
    integer(w, "stopped_by", r->held_out - r->validation);
    integer(w, "judged_by", t->n_groups - r->held_out);
    json_end_object(w);
}

static void write_bias(const run *r, json_writer *w) {
    static const char *const names[] = {"harvest", "regression-em", "none"};
    json_key(w, "position_bias");
    json_begin_object(w);
    json_key(w, "debias");
    json_text(w, names[r->settings->debias]);
    number(w, "weight_clip", r->settings->weight_clip);
    integer(w, "clicked", r->weighing.clicked);
    integer(w, "clipped", r->weighing.clipped);
    number(w, "lost", r->weighing.lost);
    number(w, "effective", r->weighing.effective);
    json_key(w, "curve");
    examination_write_json(w, &r->curve);
    json_end_object(w);
}

static void write_verdict(const run *r, json_writer *w) {
    char text[32];
    json_key(w, "held_out");
    json_begin_object(w);
    integer(w, "searches", r->verdict.searches);
    integer(w, "users", r->verdict.users);
    json_key(w, "incumbent_ranker");
    json_text(w, incumbent_name(r, text));
    write_value(w, "model", &r->verdict.candidate);
    write_value(w, "incumbent", &r->verdict.incumbent);
    write_value(w, "served", &r->verdict.served);
    write_value(w, "difference", &r->verdict.difference);
    json_end_object(w);
    if (isnan(r->judged)) return;
    json_key(w, "judgments");
    json_begin_object(w);
    number(w, "model", r->judged);
    number(w, "incumbent", r->judged_incumbent);
    json_end_object(w);
}

static void write_report(const run *r, json_writer *w) {
    buffer fitted = {0};
    json_begin_object(w);
    json_key(w, "kind");
    json_text(w, r->fit.kind == PICK_TREES ? "trees" : "linear");
    json_key(w, "verdict");
    json_text(w, r->why);
    json_key(w, "wins");
    json_bool(w, r->wins);
    write_data(r, w);
    write_verdict(r, w);
    write_bias(r, w);
    rank_fit_json(&r->fit, &fitted);
    json_key(w, "fit");
    json_raw(w, (slice){fitted.data, fitted.size});
    if (r->calibrated) {
        json_key(w, "calibration");
        json_begin_object(w);
        number(w, "slope", r->calibration.slope);
        number(w, "intercept", r->calibration.intercept);
        json_end_object(w);
    }
    integer(w, "seed", r->settings->seed);
    integer(w, "threads", r->settings->fit.trees.trees.threads);
    json_end_object(w);
    buffer_release(&fitted);
}

static forage_status keep(run *r, train_result *out, base_error *error) {
    buffer bytes = {0}, map = {0};
    forage_status status = FORAGE_OK;
    if (r->fit.kind == PICK_TREES) status = bytes_of_trees(r, &bytes, &map, error);
    else funnel_linear_bytes(r->rows.names, r->fit.linear.weight, r->fit.linear.center, r->rows.n_features, &bytes);
    json_writer w = json_writer_of(&out->report);
    if (!status) write_report(r, &w);
    funnel_model draft = {.kind = r->fit.kind == PICK_TREES ? FUNNEL_MODEL_TREES : FUNNEL_MODEL_LINEAR, .name = r->settings->name,
                          .map = {map.data, map.size}, .report = {out->report.data, out->report.size},
                          .bytes = {bytes.data, bytes.size}};
    if (!status) status = funnel_model_add(r->funnel, &draft, &out->model, error);
    buffer_release(&bytes);
    buffer_release(&map);
    return status;
}

/* By people's judgments the new model is asked as it would serve. */
static forage_status ask_people(run *r, uint64_t model, base_error *error) {
    char mine[32], text[32];
    if (!r->settings->judge) return FORAGE_OK;
    snprintf(mine, sizeof mine, "model:%llu", (unsigned long long)model);
    forage_status status = r->settings->judge(r->settings->judge_self, mine, &r->judged, error);
    if (!status) status = r->settings->judge(r->settings->judge_self, incumbent_name(r, text), &r->judged_incumbent, error);
    return status;
}

/* The report says how people judge, so it is written again when there are judgments. */
static forage_status finish(run *r, train_result *out, base_error *error) {
    decide(r);
    forage_status status = keep(r, out, error);
    if (!status && r->settings->judge) {
        uint64_t first = out->model;
        status = ask_people(r, first, error);
        decide(r);
        buffer_clear(&out->report);
        if (!status) status = keep(r, out, error);
        if (!status) status = funnel_model_remove(r->funnel, first, error);
    }
    bool same = funnel_active_model(r->funnel) == r->active; /* else it has not been compared with what serves */
    if (!status && r->wins && r->settings->activate && same) {
        status = funnel_model_activate(r->funnel, out->model, error);
        out->activated = !status;
    }
    return status;
}

static void release(run *r) {
    if (r->fitted) rank_fit_release(&r->fit);
    train_rows_release(&r->rows);
    free(r->weight);
    free(r->candidate);
    free(r->incumbent);
}

forage_status train_run(funnel *f, const train_settings *settings, train_watch watch, void *self, train_result *out,
                        base_error *error) {
    run r = {.funnel = f, .settings = settings, .watch = watch, .self = self, .judged = NAN, .judged_incumbent = NAN,
             .active = funnel_active_model(f)};
    train_result result = {0};
    if (store_read_only(collection_store(funnel_collection(f))))
        return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    forage_status status = train_rows_read(f, settings, reading_goes_on, &r, &r.rows, error);
    if (status) return status;
    if (!r.stopped) status = split(&r, error);
    if (!status && tell_phase(&r, TRAIN_WEIGHING, 0)) weigh(&r);
    if (!status && tell_phase(&r, TRAIN_FITTING, 0)) status = fit(&r, error);
    if (!status && tell_phase(&r, TRAIN_JUDGING, 0)) {
        status = score_held_out(&r, error);
        if (!status) calibrate(&r);
        if (!status)
            train_judge_orders(&r.rows, r.held_out, r.rows.n_groups, r.weight, r.candidate, r.incumbent, settings->seed, &r.verdict);
        if (!status) status = finish(&r, &result, error);
        if (!status) status = use_curve(&r, error);
    }
    result.cancelled = !status && !result.model;
    if (!status && result.model) tell_phase(&r, TRAIN_DONE, 1);
    release(&r);
    if (status) buffer_release(&result.report);
    else *out = result;
    return status;
}
