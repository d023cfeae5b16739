#include "evaluate/ope.h"

#include "base/random.h"
#include "evaluate/ope_internal.h"
#include "evaluate/ope_model.h"

#include <stdlib.h>
#include <string.h>

#define Z95 1.959963984540054
#define ROW_SUM_TOLERANCE 1e-3
enum { MOST_RESAMPLES = 2000, LEAST_RESAMPLES = 200 };
#define RESAMPLE_WORK 2e8 /* rows that a bootstrap may draw */

#define FEWEST_EFFECTIVE_SHARE .01
#define MOST_OF_ONE_ROW .1

const char *const ope_kind_names[OPE_KINDS] = {"ips", "snips", "dm", "dr", "switch-dr", "dros"};

/* ---- What comes from outside ------------------------------------------------------------------------------------- */

static forage_status check_probability(const char *member, double p, size_t row, base_error *error) {
    if (p >= 0 && p <= 1) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "row %zu, \"%s\": expected a probability, got %g", row + 1, member, p);
}

forage_status ope_weigh(const double *target, const double *logging, size_t n, double *weight, base_error *error) {
    for (size_t i = 0; i < n; i++) {
        forage_status status = check_probability("target", target[i], i, error);
        if (!status) status = check_probability("logging", logging[i], i, error);
        if (!status && logging[i] == 0)
            status = error_set(error, FORAGE_E_INVALID,
                               "row %zu, \"logging\": what was logged had a probability above 0, got 0", i + 1);
        if (status) return status;
    }
    for (size_t i = 0; i < n; i++) weight[i] = target[i] / logging[i];
    return FORAGE_OK;
}

static forage_status check_row(const double *target, const double *model, uint32_t n_actions, size_t row, double *sum,
                               base_error *error) {
    *sum = 0;
    for (uint32_t k = 0; k < n_actions; k++) {
        forage_status status = check_probability("target", target[k], row, error);
        if (status) return status;
        if (!isfinite(model[k]))
            return error_set(error, FORAGE_E_INVALID, "row %zu, action %u: the prediction is no finite number", row + 1,
                             k);
        *sum += target[k];
    }
    if (fabs(*sum - 1) <= ROW_SUM_TOLERANCE) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "row %zu, \"target\": the probabilities add up to %g, not 1", row + 1,
                     *sum);
}

forage_status ope_expect(const double *target, const double *model, const uint32_t *action, size_t n,
                         uint32_t n_actions, double *predicted, double *expected, base_error *error) {
    double sum;
    for (size_t i = 0; i < n; i++) {
        forage_status status = check_row(target + i * n_actions, model + i * n_actions, n_actions, i, &sum, error);
        if (status) return status;
        if (action[i] >= n_actions)
            return error_set(error, FORAGE_E_INVALID, "row %zu, \"action\": expected 0 to %u, got %u", i + 1,
                             n_actions - 1, action[i]);
    }
    for (size_t i = 0; i < n; i++) {
        const double *pi = target + i * n_actions, *q = model + i * n_actions;
        double value = 0;
        sum = 0;
        for (uint32_t k = 0; k < n_actions; k++) {
            value += pi[k] * q[k];
            sum += pi[k];
        }
        predicted[i] = q[action[i]];
        expected[i] = value / sum;
    }
    return FORAGE_OK;
}

static forage_status check_column(const char *member, const double *column, size_t n, base_error *error) {
    for (size_t i = 0; column && i < n; i++)
        if (!isfinite(column[i]))
            return error_set(error, FORAGE_E_INVALID, "row %zu, \"%s\": expected a finite number, got %g", i + 1,
                             member, column[i]);
    return FORAGE_OK;
}

static forage_status check_data(const ope_data *d, const ope_options *o, base_error *error) {
    if (!d->n) return error_set(error, FORAGE_E_INVALID, "there are no rows to evaluate a policy with");
    if (o->tau < 0) return error_set(error, FORAGE_E_INVALID, "\"tau\": expected 0 or more, got %g", o->tau);
    if (o->lambda < 0) return error_set(error, FORAGE_E_INVALID, "\"lambda\": expected 0 or more, got %g", o->lambda);
    forage_status status = check_column("reward", d->reward, d->n, error);
    if (!status) status = check_column("weight", d->weight, d->n, error);
    if (!status) status = check_column("predicted", d->predicted, d->n, error);
    if (!status) status = check_column("expected", d->expected, d->n, error);
    if (!status) status = check_column("missing", d->missing, d->n, error);
    return status;
}

/* ---- Means and their intervals ----------------------------------------------------------------------------------- */

static double sum_of(const double *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return sum;
}

static double ratio_of(double value, double ratio) { return ratio != 0 ? value / ratio : 0; }

/* The rows' influence on sum(value) / sum(ratio); without a ratio, their distance from the mean. */
static double deviation_of(const double *value, const double *ratio, double estimate, size_t n) {
    double squares = 0, scale = ratio ? sum_of(ratio, n) / (double)n : 1;
    if (n < 2 || scale == 0) return 0;
    for (size_t i = 0; i < n; i++) {
        double influence = (value[i] - estimate * (ratio ? ratio[i] : 1)) / scale;
        squares += influence * influence;
    }
    return sqrt(squares / (double)(n - 1) / (double)n);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Percentile bootstrap (Efron 1979) over rows. */
static void bootstrap(const double *value, const double *ratio, size_t n, uint64_t seed, ope_estimate *e) {
    size_t B = (size_t)fmax(LEAST_RESAMPLES, fmin(MOST_RESAMPLES, RESAMPLE_WORK / (double)n)), tail = B / 40;
    double *means = mem_alloc(B * sizeof *means);
    random_source random;
    random_seed(&random, seed);
    for (size_t b = 0; b < B; b++) {
        double sum = 0, weights = 0;
        for (size_t i = 0; i < n; i++) {
            size_t row = random_below(&random, n);
            sum += value[row];
            weights += ratio ? ratio[row] : 1;
        }
        means[b] = ratio_of(sum, weights);
    }
    qsort(means, B, sizeof *means, ascending);
    e->low = means[tail];
    e->high = means[B - tail - 1];
    free(means);
}

static void weigh_up(const double *weight, size_t n, ope_estimate *e) {
    double sum = 0, squares = 0;
    e->effective = (double)n;
    e->max_weight = e->mean_weight = 1;
    if (!weight) return;
    e->max_weight = weight[0];
    for (size_t i = 0; i < n; i++) {
        sum += weight[i];
        squares += weight[i] * weight[i];
        e->max_weight = fmax(e->max_weight, weight[i]);
    }
    e->effective = squares > 0 ? sum * sum / squares : 0;
    e->mean_weight = sum / (double)n;
}

ope_estimate ope_summarize(const char *name, const double *value, const double *ratio, const double *weight, size_t n,
                           const ope_options *options) {
    ope_estimate e = {.name = name, .parameter = NAN, .n = n};
    if (!n) return e;
    e.value = ratio_of(sum_of(value, n), ratio ? sum_of(ratio, n) : (double)n);
    e.deviation = deviation_of(value, ratio, e.value, n);
    e.low = e.value - Z95 * e.deviation;
    e.high = e.value + Z95 * e.deviation;
    weigh_up(weight, n, &e);
    if (options->interval == OPE_BOOTSTRAP && n > 1) bootstrap(value, ratio, n, options->seed, &e);
    if (sum_of(value, n) == 0) e.warnings |= OPE_NO_REWARD;
    return e;
}

/* ---- Warnings ---------------------------------------------------------------------------------------------------- */

/* Judged by the weights as they are, whatever a kind makes of them: shrinking hides missing support, it does not cure
 * it, and a model has learned from the same rows. */
static void judge_weights(const ope_data *d, ope_kind kind, ope_estimate *e) {
    ope_estimate raw = {0};
    double squares = 0, largest = 0, n = (double)d->n;
    weigh_up(d->weight, d->n, &raw);
    for (size_t i = 0; i < d->n; i++) {
        squares += (d->weight[i] - raw.mean_weight) * (d->weight[i] - raw.mean_weight);
        largest = fmax(largest, fabs(d->weight[i]));
    }
    e->mean_weight = raw.mean_weight;
    e->worth = raw.effective;
    e->missing = d->missing ? sum_of(d->missing, d->n) / n : 0;
    if (e->missing > OPE_MOST_MISSING) e->warnings |= OPE_NO_SUPPORT;
    if (e->worth < OPE_FEWEST_EFFECTIVE || e->worth < FEWEST_EFFECTIVE_SHARE * n)
        e->warnings |= kind <= OPE_SNIPS || kind == OPE_DR ? OPE_FEW_EFFECTIVE : OPE_MODEL_ALONE;
    if (kind == OPE_DM) return; /* it uses no weights */
    if (fabs(raw.mean_weight - 1) > fmax(4 * sqrt(squares) / n, 1e-6)) e->warnings |= OPE_WEIGHTS_OFF;
    if (largest > MOST_OF_ONE_ROW * fabs(raw.mean_weight) * n && d->n >= OPE_FEWEST_EFFECTIVE)
        e->warnings |= OPE_ONE_RULES;
}

bool ope_warning(const ope_estimate *e, unsigned i, buffer *out) {
    unsigned bit = 0;
    for (;; bit++) {
        if (bit >= OPE_WARNINGS) return false;
        if (e->warnings >> bit & 1 && i-- == 0) break;
    }
    switch (1u << bit) {
    case OPE_NO_SUPPORT:
        buffer_printf(out,
                      "support is missing: %.3g %% of what the policy would do was never done while logging, and what "
                      "that would have earned is not in the log",
                      100 * e->missing);
        break;
    case OPE_WEIGHTS_OFF:
        buffer_printf(out,
                      "the weights average %.3g where 1 is expected: support is missing, propensities are wrong, or "
                      "what matters is too rare to be in the log",
                      e->mean_weight);
        break;
    case OPE_FEW_EFFECTIVE:
        buffer_printf(out, "the log is worth only %.0f rows for this policy (of %zu)", e->worth, e->n);
        break;
    case OPE_MODEL_ALONE:
        buffer_printf(out,
                      "the log is worth only %.0f rows for this policy (of %zu); the rest is the reward model's word",
                      e->worth, e->n);
        break;
    case OPE_ONE_RULES: buffer_puts(out, "a single row carries more than a tenth of all weight"); break;
    case OPE_NO_REWARD: buffer_puts(out, "nothing was earned in the rows that count"); break;
    default: buffer_puts(out, "the interval does not know the error of the reward model"); break;
    }
    return true;
}

/* ---- The estimators ---------------------------------------------------------------------------------------------- */

double ope_shrink(ope_kind kind, double weight, double parameter) {
    if (kind == OPE_DM) return 0;
    if (kind == OPE_SWITCH_DR) return weight <= parameter ? weight : 0;
    if (kind == OPE_DROS && isfinite(parameter))
        return parameter > 0 ? parameter * weight / (weight * weight + parameter) : 0;
    return weight;
}

ope_shrunk ope_shrunk_at(const ope_data *d, ope_kind kind, double parameter) {
    double sum = 0, squares = 0, bias = 0, n = (double)d->n;
    for (size_t i = 0; i < d->n; i++) {
        double residual = d->reward[i] - d->predicted[i], weight = ope_shrink(kind, d->weight[i], parameter);
        double y = d->expected[i] + weight * residual;
        sum += y;
        squares += y * y;
        bias += (weight - d->weight[i]) * residual;
    }
    double mean = sum / n, variance = fmax(0, squares / n - mean * mean);
    return (ope_shrunk){mean, sqrt(variance / n), bias / n};
}

/* Doubly robust in all its forms: rows, the model's error where it is known, and the bias of shrinking. */
static ope_estimate estimate_with_model(const ope_data *d, ope_kind kind, const ope_options *o) {
    double parameter = kind == OPE_SWITCH_DR ? o->tau : kind == OPE_DROS ? o->lambda : NAN;
    if ((kind == OPE_SWITCH_DR || kind == OPE_DROS) && isnan(parameter)) parameter = ope_tune(d, kind, o->tuning);
    double *weight = mem_alloc(d->n * sizeof *weight), *y = mem_alloc(d->n * sizeof *y), bias = 0;
    for (size_t i = 0; i < d->n; i++) {
        double residual = d->reward[i] - d->predicted[i];
        weight[i] = ope_shrink(kind, d->weight[i], parameter);
        y[i] = d->expected[i] + weight[i] * residual;
        bias += (weight[i] - d->weight[i]) * residual / (double)d->n;
    }
    ope_estimate e = ope_summarize(ope_kind_names[kind], y, NULL, kind == OPE_DM ? NULL : weight, d->n, o);
    if (d->model) {
        ope_model_add_influence(d->model, weight, y);
        e.deviation = deviation_of(y, NULL, sum_of(y, d->n) / (double)d->n, d->n);
    }
    if (o->interval == OPE_NORMAL) {
        double half = Z95 * hypot(e.deviation, bias);
        e.low = e.value - half;
        e.high = e.value + half;
    }
    if (kind == OPE_DM && (!d->model || o->interval == OPE_BOOTSTRAP)) e.warnings |= OPE_MODEL_UNKNOWN;
    e.parameter = parameter;
    free(weight);
    free(y);
    return e;
}

static ope_estimate estimate_without_model(const ope_data *d, ope_kind kind, const ope_options *o) {
    double *y = mem_alloc(d->n * sizeof *y);
    for (size_t i = 0; i < d->n; i++) y[i] = d->weight[i] * d->reward[i];
    ope_estimate e = ope_summarize(ope_kind_names[kind], y, kind == OPE_SNIPS ? d->weight : NULL, d->weight, d->n, o);
    free(y);
    return e;
}

static ope_estimate estimate(const ope_data *d, ope_kind kind, const ope_options *o) {
    ope_estimate e = kind <= OPE_SNIPS ? estimate_without_model(d, kind, o) : estimate_with_model(d, kind, o);
    judge_weights(d, kind, &e);
    return e;
}

forage_status ope_estimate_one(const ope_data *data, ope_kind kind, const ope_options *options, ope_estimate *out,
                               base_error *error) {
    forage_status status = check_data(data, options, error);
    if (status) return status;
    if (kind > OPE_SNIPS && !(data->predicted && data->expected))
        return error_set(error, FORAGE_E_INVALID, "%s needs a reward model's predictions", ope_kind_names[kind]);
    *out = estimate(data, kind, options);
    return FORAGE_OK;
}

forage_status ope_estimate_all(const ope_data *data, const ope_options *options, ope_estimate out[OPE_KINDS],
                               size_t *count, base_error *error) {
    forage_status status = check_data(data, options, error);
    if (status) return status;
    *count = data->predicted && data->expected ? OPE_KINDS : OPE_SNIPS + 1;
    for (size_t kind = 0; kind < *count; kind++) out[kind] = estimate(data, (ope_kind)kind, options);
    return FORAGE_OK;
}
