#include "evaluate/ope_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { FOLDS = 5, PENALTIES = 4 };
static const double penalties[PENALTIES] = {1000, 100, 10, 1};
#define INTERCEPT_PENALTY 1e-6
#define FEATURE_LIMIT 10.0

struct ope_model {
    const ope_rows *rows;
    uint32_t used; /* features that each strategy's part sees */
    size_t p;      /* weights */
    double penalty;
    double *cholesky; /* p × p, lower: of all rows' X'X with the penalty */
    double *predicted, *expected;
};

/* A row of the design matrix: most entries are 0. */
typedef struct sparse_row {
    size_t n;
    uint32_t index[OPE_MODEL_WEIGHTS * 2];
    double value[OPE_MODEL_WEIGHTS * 2];
} sparse_row;

/* Sums over a fold, or over all rows. */
typedef struct moments {
    double *xx; /* p × p, lower triangle */
    double *xr; /* p */
    double rr;
} moments;

static uint32_t fold_of(size_t row) { return (uint32_t)((row * 0x9E3779B97F4A7C15u) >> 32) % FOLDS; }

static double feature(const ope_model *m, size_t row, uint32_t s, uint32_t f) {
    double v = (double)m->rows->x[(row * m->rows->n_strategies + s) * m->rows->n_features + f];
    return isfinite(v) ? fmax(-FEATURE_LIMIT, fmin(FEATURE_LIMIT, v)) : 0;
}

static uint32_t query_features(const ope_model *m) {
    return m->rows->n_features < OPE_MODEL_WEIGHTS / 2 ? m->rows->n_features : OPE_MODEL_WEIGHTS / 2;
}

static uint32_t part_at(const ope_model *m, uint32_t s, uint32_t level) {
    return query_features(m) + (s * (m->rows->n_levels - 1) + level - 1) * m->used;
}

static void add_query(const ope_model *m, size_t row, sparse_row *out) {
    out->n = 0;
    for (uint32_t f = 0; f < query_features(m); f++) {
        out->index[out->n] = f;
        out->value[out->n++] = feature(m, row, 0, f);
    }
}

static void drawn_row(const ope_model *m, size_t row, sparse_row *out) {
    add_query(m, row, out);
    for (uint32_t s = 0; s < m->rows->n_strategies; s++) {
        uint32_t level = m->rows->level[row * m->rows->n_strategies + s];
        for (uint32_t f = 0; level && f < m->used; f++) {
            out->index[out->n] = part_at(m, s, level) + f;
            out->value[out->n++] = feature(m, row, s, f);
        }
    }
}

static double dot(const sparse_row *x, const double *theta) {
    double sum = 0;
    for (size_t i = 0; i < x->n; i++) sum += x->value[i] * theta[x->index[i]];
    return sum;
}

/* The mean row under the target: with `theta` its value, and added into `sum` when that is not NULL. */
static double target_row(const ope_model *m, size_t row, const double *theta, double *sum) {
    const ope_rows *rows = m->rows;
    double value = 0;
    for (uint32_t f = 0; f < query_features(m); f++) {
        double x = feature(m, row, 0, f);
        if (theta) value += x * theta[f];
        if (sum) sum[f] += x;
    }
    for (uint32_t s = 0; s < rows->n_strategies; s++) {
        for (uint32_t l = 1; l < rows->n_levels; l++) {
            double pi = (double)rows->target[(row * rows->n_strategies + s) * rows->n_levels + l];
            for (uint32_t f = 0; pi > 0 && f < m->used; f++) {
                double x = pi * feature(m, row, s, f);
                if (theta) value += x * theta[part_at(m, s, l) + f];
                if (sum) sum[part_at(m, s, l) + f] += x;
            }
        }
    }
    return value;
}

/* ---- Solving ----------------------------------------------------------------------------------------------------- */

/* In place, lower triangle; the penalty makes it positive definite. */
static void factor(double *a, size_t p) {
    for (size_t j = 0; j < p; j++) {
        double *row = a + j * p;
        for (size_t i = 0; i <= j; i++) {
            const double *other = a + i * p;
            double sum = row[i];
            for (size_t k = 0; k < i; k++) sum -= row[k] * other[k];
            if (i == j) row[i] = sqrt(fmax(sum, 1e-12));
            else row[i] = sum / other[i];
        }
    }
}

static void solve(const double *lower, size_t p, double *b) {
    for (size_t i = 0; i < p; i++) {
        for (size_t k = 0; k < i; k++) b[i] -= lower[i * p + k] * b[k];
        b[i] /= lower[i * p + i];
    }
    for (size_t i = p; i-- > 0;) {
        b[i] /= lower[i * p + i];
        for (size_t k = 0; k < i; k++) b[k] -= lower[i * p + k] * b[i];
    }
}

static void add_penalty(double *a, size_t p, double penalty) {
    for (size_t i = 0; i < p; i++) a[i * p + i] += i ? penalty : INTERCEPT_PENALTY;
}

/* theta of all rows but the fold's. */
static void fit_without(size_t p, const moments *all, const moments *fold, double penalty, double *work,
                        double *theta) {
    for (size_t i = 0; i < p * p; i++) work[i] = all->xx[i] - fold->xx[i];
    for (size_t i = 0; i < p; i++) theta[i] = all->xr[i] - fold->xr[i];
    add_penalty(work, p, penalty);
    factor(work, p);
    solve(work, p, theta);
}

/* Sum of squared errors of theta on the fold, from its moments alone. */
static double error_on(size_t p, const moments *fold, const double *theta) {
    double error = fold->rr;
    for (size_t i = 0; i < p; i++) {
        double row = fold->xx[i * p + i] * theta[i];
        for (size_t k = 0; k < i; k++) row += 2 * fold->xx[i * p + k] * theta[k];
        error += theta[i] * (row - 2 * fold->xr[i]);
    }
    return error;
}

/* ---- Fitting ----------------------------------------------------------------------------------------------------- */

static void gather(const ope_model *m, moments folds[FOLDS], moments *all) {
    size_t p = m->p;
    sparse_row *x = mem_alloc(sizeof *x);
    for (size_t row = 0; row < m->rows->n; row++) {
        moments *f = &folds[fold_of(row)];
        double r = m->rows->reward[row];
        drawn_row(m, row, x);
        for (size_t i = 0; i < x->n; i++) {
            double *line = f->xx + x->index[i] * p, value = x->value[i];
            if (value == 0) continue;
            for (size_t k = 0; k <= i; k++) line[x->index[k]] += value * x->value[k];
            f->xr[x->index[i]] += value * r;
        }
        f->rr += r * r;
    }
    for (uint32_t f = 0; f < FOLDS; f++) {
        for (size_t i = 0; i < p * p; i++) all->xx[i] += folds[f].xx[i];
        for (size_t i = 0; i < p; i++) all->xr[i] += folds[f].xr[i];
    }
    free(x);
}

/* The penalty with the least error on rows not seen; theta of each fold at it. */
static void choose(ope_model *m, const moments *all, const moments folds[FOLDS], double *work, double *theta[FOLDS]) {
    double least = INFINITY, *trial = mem_alloc(m->p * sizeof *trial);
    for (size_t i = 0; i < PENALTIES; i++) {
        double error = 0;
        for (uint32_t f = 0; f < FOLDS; f++) {
            fit_without(m->p, all, &folds[f], penalties[i], work, trial);
            error += error_on(m->p, &folds[f], trial);
        }
        if (error >= least) continue;
        least = error;
        m->penalty = penalties[i];
    }
    for (uint32_t f = 0; f < FOLDS; f++) fit_without(m->p, all, &folds[f], m->penalty, work, theta[f]);
    free(trial);
}

static void predict(ope_model *m, double *const theta[FOLDS]) {
    sparse_row *x = mem_alloc(sizeof *x);
    for (size_t row = 0; row < m->rows->n; row++) {
        const double *fitted = theta[fold_of(row)];
        drawn_row(m, row, x);
        m->predicted[row] = dot(x, fitted);
        m->expected[row] = target_row(m, row, fitted, NULL);
    }
    free(x);
}

static uint32_t features_used(const ope_rows *rows) {
    uint32_t parts = rows->n_strategies * (rows->n_levels - 1), room = OPE_MODEL_WEIGHTS / (parts ? parts : 1);
    return room < 1 ? 1 : room < rows->n_features ? room : rows->n_features;
}

ope_model *ope_model_fit(const ope_rows *rows) {
    ope_model *m = mem_zalloc(1, sizeof *m);
    m->rows = rows;
    m->used = features_used(rows);
    m->p = query_features(m) + (size_t)rows->n_strategies * (rows->n_levels - 1) * m->used;
    m->penalty = penalties[0];
    size_t p = m->p;
    moments folds[FOLDS], all = {mem_zalloc(p * p, sizeof(double)), mem_zalloc(p, sizeof(double)), 0};
    double *theta[FOLDS], *work = mem_alloc(p * p * sizeof *work);
    for (uint32_t f = 0; f < FOLDS; f++) {
        folds[f] = (moments){mem_zalloc(p * p, sizeof(double)), mem_zalloc(p, sizeof(double)), 0};
        theta[f] = mem_alloc(p * sizeof(double));
    }
    m->predicted = mem_alloc(rows->n * sizeof *m->predicted);
    m->expected = mem_alloc(rows->n * sizeof *m->expected);
    gather(m, folds, &all);
    choose(m, &all, folds, work, theta);
    predict(m, theta);
    m->cholesky = all.xx;
    add_penalty(m->cholesky, p, m->penalty);
    factor(m->cholesky, p);
    for (uint32_t f = 0; f < FOLDS; f++) {
        free(folds[f].xx);
        free(folds[f].xr);
        free(theta[f]);
    }
    free(all.xr);
    free(work);
    return m;
}

void ope_model_destroy(ope_model *m) {
    if (!m) return;
    free(m->cholesky);
    free(m->predicted);
    free(m->expected);
    free(m);
}

const double *ope_model_predicted(const ope_model *m) { return m->predicted; }
const double *ope_model_expected(const ope_model *m) { return m->expected; }

void ope_model_add_influence(const ope_model *m, const double *weight, double *y) {
    double *gradient = mem_zalloc(m->p, sizeof *gradient);
    sparse_row *x = mem_alloc(sizeof *x);
    for (size_t row = 0; row < m->rows->n; row++) {
        target_row(m, row, NULL, gradient);
        drawn_row(m, row, x);
        for (size_t i = 0; i < x->n; i++) gradient[x->index[i]] -= weight[row] * x->value[i];
    }
    solve(m->cholesky, m->p, gradient); /* the sums over rows stand for n × the means */
    for (size_t row = 0; row < m->rows->n; row++) {
        drawn_row(m, row, x);
        y[row] += dot(x, gradient) * (m->rows->reward[row] - m->predicted[row]);
    }
    free(gradient);
    free(x);
}
