#include "rank/linear_fit.h"

#include "os/clock.h"
#include "rank/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Steps that L-BFGS remembers; rows of a group that one is paired with. */
enum { MEMORY = 10, MOST_PAIRED = 1000 };

void linear_settings_default(linear_settings *s) {
    *s = (linear_settings){.loss = LINEAR_LISTWISE, .gain = NDCG_EXPONENTIAL, .cutoff = 10, .empty = NDCG_EMPTY_ONE, .n_grid = 6,
                           .l2 = {.01, 1, .1, .001, 1e-4, 1e-5}, .iterations = 200, .weight_clip = 10};
}

forage_status linear_settings_check(const linear_settings *s, base_error *error) {
    if (s->n_grid < 1 || s->n_grid > LINEAR_MOST_GRID)
        return error_set(error, FORAGE_E_INVALID, "l2: expected 1 to %d values, got %u", LINEAR_MOST_GRID, s->n_grid);
    for (uint32_t i = 0; i < s->n_grid; i++)
        if (!(s->l2[i] >= 1e-9 && s->l2[i] <= 1e9))
            return error_set(error, FORAGE_E_INVALID, "l2: expected 1e-09 to 1e+09, got %g", s->l2[i]);
    if (s->iterations < 1 || s->iterations > 100000)
        return error_set(error, FORAGE_E_INVALID, "iterations: expected 1 to 100000, got %u", s->iterations);
    if (!(s->weight_clip >= 0 && isfinite(s->weight_clip)))
        return error_set(error, FORAGE_E_INVALID, "weight_clip: expected 0 or more, got %g", s->weight_clip);
    return FORAGE_OK;
}

void linear_model_release(linear_model *m) {
    free(m->weight);
    memset(m, 0, sizeof *m);
}

void linear_score(const linear_model *m, const float *x, size_t n, float *scores) {
    for (size_t i = 0; i < n; i++) {
        const float *row = x + i * m->n_features;
        double sum = 0;
        for (uint32_t f = 0; f < m->n_features; f++)
            if (isfinite(row[f])) sum += (double)m->weight[f] * ((double)row[f] - (double)m->center[f]);
        scores[i] = (float)sum;
    }
}

/* ---- Standardised rows ----------------------------------------------------------------------------------------- */

typedef struct fit {
    const linear_settings *settings;
    const rank_rows *rows;
    uint32_t F;
    size_t groups; /* with something to learn */
    double mass;   /* their weights' sum */
    float *z;      /* n_rows × F, standardised; missing: 0 */
    double *center, *spread;
    double *gain, *weight; /* by row; weight clipped */
    double *score, *push;  /* by row */
    double l2;
    double *prior; /* F, in standardised features */
    double done;  /* share of the grid */
    bool stopped; /* by whoever watches */
} fit;

static int by_value(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

static double quantile(const float *sorted, size_t n, double q) {
    double at = q * (double)(n - 1);
    size_t i = (size_t)at, j = i + 1 < n ? i + 1 : i;
    return (double)sorted[i] + (at - (double)i) * ((double)sorted[j] - (double)sorted[i]);
}

static double deviation(const float *values, size_t n, double center) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += ((double)values[i] - center) * ((double)values[i] - center);
    return sqrt(sum / (double)n);
}

/* Of mostly equal values the quartiles say nothing about the rest: then the deviation is the scale, and never less than a
 * hundredth of it, so that a few far values do not get all the weight. */
static void standardise(fit *f) {
    size_t n = f->rows->n_rows;
    float *column = mem_alloc(n * sizeof *column);
    for (uint32_t i = 0; i < f->F; i++) {
        size_t present = 0;
        for (size_t row = 0; row < n; row++)
            if (isfinite(f->rows->x[row * f->F + i])) column[present++] = f->rows->x[row * f->F + i];
        qsort(column, present, sizeof *column, by_value);
        f->center[i] = present ? quantile(column, present, .5) : 0;
        double scale = present ? deviation(column, present, f->center[i]) : 0;
        double robust = present ? (quantile(column, present, .75) - quantile(column, present, .25)) / 1.349 : 0;
        f->spread[i] = robust > .01 * scale ? robust : scale;
        for (size_t row = 0; row < n; row++) {
            float value = f->rows->x[row * f->F + i];
            bool counts = isfinite(value) && f->spread[i] > 0 && isfinite(f->spread[i]);
            f->z[row * f->F + i] = counts ? (float)(((double)value - f->center[i]) / f->spread[i]) : 0;
        }
    }
    free(column);
}

/* ---- The losses ------------------------------------------------------------------------------------------------ */

/* Group g's loss; its derivative by each score goes to f->push. Cross entropy between the shares of weight × gain and of
 * exp(score). */
static double listwise(const fit *f, size_t first, size_t end) {
    double most = f->score[first], total = 0, wanted = 0, loss = 0;
    for (size_t i = first; i < end; i++) {
        if (f->score[i] > most) most = f->score[i];
        wanted += f->weight[i] * f->gain[i];
    }
    for (size_t i = first; i < end; i++) total += exp(f->score[i] - most);
    for (size_t i = first; i < end; i++) {
        double share = f->weight[i] * f->gain[i] / wanted, logarithm = f->score[i] - most - log(total);
        loss -= share * logarithm;
        f->push[i] = exp(logarithm) - share;
    }
    return loss;
}

static double pairwise(const fit *f, size_t first, size_t end) {
    double loss = 0, mass = 0;
    size_t stride = (end - first + MOST_PAIRED - 1) / MOST_PAIRED; /* of a larger group, rows spread over it */
    for (size_t i = first; i < end; i++) f->push[i] = 0;
    for (size_t i = first; i < end; i++) {
        for (size_t j = first + (i - first) % stride; j < end; j += stride) {
            if (!(f->gain[i] > f->gain[j])) continue;
            double apart = f->score[i] - f->score[j], rho = 1 / (1 + exp(apart)), weight = f->weight[i];
            loss += weight * (apart > 0 ? log1p(exp(-apart)) : log1p(exp(apart)) - apart);
            f->push[i] -= weight * rho;
            f->push[j] += weight * rho;
            mass += weight;
        }
    }
    for (size_t i = first; i < end && mass > 0; i++) f->push[i] /= mass;
    return mass > 0 ? loss / mass : 0;
}

static double group_mass(const fit *f, size_t g) {
    double wanted = 0, gain = f->gain[f->rows->first[g]];
    bool differ = false;
    if (f->rows->first[g + 1] == f->rows->first[g]) return 0;
    for (size_t i = f->rows->first[g]; i < f->rows->first[g + 1]; i++) {
        wanted += f->weight[i] * f->gain[i];
        differ |= f->gain[i] < gain || f->gain[i] > gain;
    }
    double weight = f->rows->group_weight ? (double)f->rows->group_weight[g] : 1;
    if (!differ || !(wanted > 0)) return 0;
    /* As many clicks as the weights say stand behind a group. */
    double count = 0, rows = 0;
    for (size_t i = f->rows->first[g]; i < f->rows->first[g + 1]; i++) {
        if (!(f->gain[i] > 0)) continue;
        count += f->weight[i];
        rows++;
    }
    return weight * count / rows;
}

/* Mean loss over groups plus the penalty, and its gradient by w. */
static double objective(fit *f, const double *w, double *gradient, double *bare) {
    const rank_rows *rows = f->rows;
    double loss = 0, penalty = 0;
    for (uint32_t i = 0; i < f->F; i++) gradient[i] = 0;
    for (size_t row = 0; row < rows->n_rows; row++) {
        double sum = 0;
        for (uint32_t i = 0; i < f->F; i++) sum += w[i] * (double)f->z[row * f->F + i];
        f->score[row] = sum;
    }
    for (size_t g = 0; g < rows->n_groups; g++) {
        size_t first = rows->first[g], end = rows->first[g + 1];
        double mass = group_mass(f, g) / f->mass;
        if (!(mass > 0)) continue;
        loss += mass * (f->settings->loss == LINEAR_LISTWISE ? listwise(f, first, end) : pairwise(f, first, end));
        for (size_t row = first; row < end; row++) {
            double push = mass * f->push[row];
            for (uint32_t i = 0; i < f->F; i++) gradient[i] += push * (double)f->z[row * f->F + i];
        }
    }
    for (uint32_t i = 0; i < f->F; i++) {
        double away = w[i] - f->prior[i];
        penalty += away * away;
        gradient[i] += f->l2 * away;
    }
    *bare = loss;
    return loss + f->l2 / 2 * penalty;
}

/* ---- L-BFGS ---------------------------------------------------------------------------------------------------- */

static double dot(const double *a, const double *b, uint32_t n) {
    double sum = 0;
    for (uint32_t i = 0; i < n; i++) sum += a[i] * b[i];
    return sum;
}

/* The last MEMORY steps s = w' − w and changes of the gradient y, oldest first. */
typedef struct history {
    uint32_t n;
    double *s[MEMORY], *y[MEMORY];
} history;

static void remember(history *h, const double *step, const double *change, uint32_t F) {
    if (dot(step, change, F) <= 1e-12 * dot(change, change, F)) return;
    if (h->n == MEMORY) {
        double *s = h->s[0], *y = h->y[0];
        memmove(h->s, h->s + 1, (MEMORY - 1) * sizeof *h->s);
        memmove(h->y, h->y + 1, (MEMORY - 1) * sizeof *h->y);
        h->s[MEMORY - 1] = s;
        h->y[MEMORY - 1] = y;
        h->n--;
    }
    memcpy(h->s[h->n], step, F * sizeof *step);
    memcpy(h->y[h->n++], change, F * sizeof *change);
}

/* The two-loop recursion (Nocedal 1980): direction = −H gradient. */
static void choose_direction(const history *h, const double *gradient, double *direction, uint32_t F) {
    double alpha[MEMORY];
    for (uint32_t i = 0; i < F; i++) direction[i] = -gradient[i];
    for (uint32_t k = h->n; k-- > 0;) {
        alpha[k] = dot(h->s[k], direction, F) / dot(h->s[k], h->y[k], F);
        for (uint32_t i = 0; i < F; i++) direction[i] -= alpha[k] * h->y[k][i];
    }
    if (h->n) {
        const double *s = h->s[h->n - 1], *y = h->y[h->n - 1];
        double scale = dot(s, y, F) / dot(y, y, F);
        for (uint32_t i = 0; i < F; i++) direction[i] *= scale;
    }
    for (uint32_t k = 0; k < h->n; k++) {
        double beta = dot(h->y[k], direction, F) / dot(h->s[k], h->y[k], F);
        for (uint32_t i = 0; i < F; i++) direction[i] += (alpha[k] - beta) * h->s[k][i];
    }
}

/* Whoever watches may have had enough. */
static bool goes_on(fit *f) {
    const linear_settings *s = f->settings;
    if (!f->stopped && s->watch && !s->watch(s->self, f->done)) f->stopped = true;
    return !f->stopped;
}

/* Minimises from w on. Backtracks to a sufficient decrease (Armijo); ends at a gradient that is nothing beside the first, or
 * where no step helps. Returns the iterations. */
static uint32_t minimise(fit *f, double *w, double *bare) {
    uint32_t F = f->F, iterations = 0;
    double *block = mem_zalloc((size_t)F * (6 + 2 * MEMORY), sizeof *block);
    double *gradient = block, *next = block + F, *next_gradient = block + 2 * F, *direction = block + 3 * F;
    double *step = block + 4 * F, *change = block + 5 * F, next_bare;
    history h = {0};
    for (uint32_t k = 0; k < MEMORY; k++) {
        h.s[k] = block + (6 + 2 * k) * (size_t)F;
        h.y[k] = h.s[k] + F;
    }
    double value = objective(f, w, gradient, bare), start = sqrt(dot(gradient, gradient, F));
    while (iterations < f->settings->iterations && sqrt(dot(gradient, gradient, F)) > 1e-6 * (start + 1e-9) && goes_on(f)) {
        choose_direction(&h, gradient, direction, F);
        double slope = dot(direction, gradient, F), length = h.n ? 1 : 1 / fmax(1, start), next_value = value;
        bool better = false;
        if (!(slope < 0)) break;
        for (int tries = 0; tries < 40 && !better; tries++, length /= 2) {
            for (uint32_t i = 0; i < F; i++) next[i] = w[i] + length * direction[i];
            next_value = objective(f, next, next_gradient, &next_bare);
            better = next_value <= value + 1e-4 * length * slope;
        }
        if (!better) break;
        for (uint32_t i = 0; i < F; i++) {
            step[i] = next[i] - w[i];
            change[i] = next_gradient[i] - gradient[i];
        }
        remember(&h, step, change, F);
        memcpy(w, next, F * sizeof *w);
        memcpy(gradient, next_gradient, F * sizeof *gradient);
        value = next_value;
        *bare = next_bare;
        iterations++;
    }
    free(block);
    return iterations;
}

/* ---- Fitting --------------------------------------------------------------------------------------------------- */

static void fit_init(fit *f, const rank_rows *rows, const linear_settings *s) {
    size_t n = rows->n_rows;
    uint32_t F = rows->n_features;
    *f = (fit){.settings = s, .rows = rows, .F = F};
    f->z = mem_alloc(n * F * sizeof *f->z);
    f->center = mem_zalloc(3 * (size_t)F, sizeof *f->center);
    f->spread = f->center + F;
    f->prior = f->center + 2 * (size_t)F;
    f->gain = mem_alloc(4 * n * sizeof *f->gain);
    f->weight = f->gain + n;
    f->score = f->gain + 2 * n;
    f->push = f->gain + 3 * n;
    for (size_t i = 0; i < n; i++) {
        double weight = rows->weight ? (double)rows->weight[i] : 1;
        f->gain[i] = ndcg_gain_of(s->gain, rows->label[i]);
        f->weight[i] = s->weight_clip > 0 && weight > s->weight_clip ? s->weight_clip : weight;
    }
    for (size_t g = 0; g < rows->n_groups; g++) {
        double mass = group_mass(f, g);
        f->groups += mass > 0;
        f->mass += mass;
    }
}

static void fit_release(fit *f) {
    free(f->z);
    free(f->center);
    free(f->gain);
}

static void to_model(const fit *f, const double *w, linear_model *m) {
    for (uint32_t i = 0; i < f->F; i++) {
        double weight = f->spread[i] > 0 && isfinite(f->spread[i]) ? w[i] / f->spread[i] : 0;
        m->weight[i] = (float)weight;
        m->center[i] = (float)f->center[i];
    }
}

static linear_model model_make(uint32_t F) {
    linear_model m = {.n_features = F, .weight = mem_zalloc(2 * (size_t)F, sizeof *m.weight)};
    m.center = m.weight + F;
    return m;
}

/* values: n_groups, or NULL. */
static double evaluate(const linear_model *m, const rank_rows *rows, const linear_settings *s, double *values) {
    if (!rows) return (double)NAN;
    float *scores = mem_alloc(rows->n_rows * sizeof *scores);
    linear_score(m, rows->x, rows->n_rows, scores);
    ndcg_options metric = {.gain = s->gain, .empty = s->empty, .cutoff = s->cutoff, .weighted = true};
    double value = ndcg_mean(rows, scores, &metric, values);
    free(scores);
    return value;
}

/* The standard error of the mean of paired differences. */
static double error_of(const double *a, const double *b, size_t n) {
    double sum = 0, squares = 0;
    size_t count = 0;
    for (size_t g = 0; g < n; g++) {
        if (!isfinite(a[g]) || !isfinite(b[g])) continue;
        sum += a[g] - b[g];
        squares += (a[g] - b[g]) * (a[g] - b[g]);
        count++;
    }
    if (count < 2) return 0;
    double mean = sum / (double)count, variance = squares / (double)count - mean * mean;
    return variance > 0 ? sqrt(variance / (double)(count - 1)) : 0;
}

/* From the strongest penalty to the weakest, each from where the one before ended. */
static void search(fit *f, const rank_rows *valid, linear_model *best, linear_report *report) {
    double grid[LINEAR_MOST_GRID], *w = mem_alloc(f->F * sizeof *w), bare = 0;
    memcpy(w, f->prior, f->F * sizeof *w);
    uint32_t n = valid ? f->settings->n_grid : 1;
    memcpy(grid, f->settings->l2, n * sizeof *grid);
    for (uint32_t i = 1; i < n; i++)
        for (uint32_t j = i; j && grid[j] > grid[j - 1]; j--) {
            double swap = grid[j];
            grid[j] = grid[j - 1];
            grid[j - 1] = swap;
        }
    double *values = valid ? mem_alloc(2 * (valid->n_groups + 1) * sizeof *values) : NULL, *taken = valid ? values + valid->n_groups : NULL;
    for (uint32_t i = 0; i < n && !f->stopped; i++) {
        linear_model m = model_make(f->F);
        f->l2 = grid[i];
        f->done = (double)i / (double)n;
        report->iterations += minimise(f, w, &bare);
        to_model(f, w, &m);
        double value = evaluate(&m, valid, f->settings, values);
        double ahead = best->weight && valid ? f->settings->standard_errors * error_of(values, taken, valid->n_groups) : 0;
        if (best->weight && !(value > report->valid + ahead)) {
            linear_model_release(&m);
            continue;
        }
        if (valid) memcpy(taken, values, valid->n_groups * sizeof *taken);
        linear_model_release(best);
        *best = m;
        report->l2 = grid[i];
        report->valid = value;
        report->loss = bare;
    }
    free(values);
    free(w);
}

forage_status linear_fit(const rank_rows *train, const rank_rows *valid, const linear_settings *settings, linear_model *out,
                         linear_report *report, base_error *error) {
    int64_t start = clock_monotonic(&os_clock_system);
    float most = settings->gain == NDCG_EXPONENTIAL ? NDCG_MOST_GRADE : NDCG_MOST_REWARD;
    linear_report told = {0};
    linear_model model = {0};
    fit f;
    forage_status status = linear_settings_check(settings, error);
    if (status) return status;
    if ((status = rank_rows_check(train, most, error))) return error_prefix(error, "training rows"), status;
    if (valid && (status = rank_rows_check(valid, most, error))) return error_prefix(error, "validation rows"), status;
    if (valid && valid->n_features != train->n_features)
        return error_set(error, FORAGE_E_INVALID, "validation rows: %u features, the training rows have %u", valid->n_features,
                         train->n_features);
    fit_init(&f, train, settings);
    if (f.groups) {
        standardise(&f);
        for (uint32_t i = 0; settings->prior && i < f.F; i++)
            f.prior[i] = f.spread[i] > 0 && isfinite(f.spread[i]) ? (double)settings->prior[i] * f.spread[i] : 0;
        search(&f, valid, &model, &told);
        told.train = evaluate(&model, train, settings, NULL);
        told.seconds = (double)(clock_monotonic(&os_clock_system) - start) / 1e6;
        *out = model;
        *report = told;
    } else {
        status = error_set(error, FORAGE_E_INVALID, "there is nothing to learn: in none of the %zu groups are there rows of "
                                                    "different labels", train->n_groups);
    }
    fit_release(&f);
    return status;
}
