#include "policy/regression.h"

#include <math.h>
#include <string.h>

enum { STEPS_PER_REFRESH = 512 }; /* rounding errors of P grow with each rank-one update; a refresh costs F of them */

size_t regression_doubles(uint32_t F) { return 2 * (size_t)F * F + F; }

static void start(regression *r, const regression_prior *prior) {
    uint32_t F = prior->F;
    memset(r->A, 0, regression_doubles(F) * sizeof *r->A);
    for (uint32_t i = 0; i < F; i++) {
        r->A[i * F + i] = prior->precision[i];
        r->P[i * F + i] = 1 / prior->precision[i];
    }
    r->held = 1;
    r->steps = 0;
}

void regression_init(regression *r, const regression_prior *prior, double *memory) {
    size_t square = (size_t)prior->F * prior->F;
    *r = (regression){.A = memory, .P = memory + square, .b = memory + 2 * square};
    start(r, prior);
}

/* A = L L' in the lower triangle of `L`; false when a pivot is not above `least`. */
static bool cholesky(const double *A, double *L, uint32_t F, double least) {
    for (uint32_t i = 0; i < F; i++) {
        for (uint32_t j = 0; j <= i; j++) {
            double sum = A[i * F + j];
            for (uint32_t k = 0; k < j; k++) sum -= L[i * F + k] * L[j * F + k];
            if (i != j) {
                L[i * F + j] = sum / L[j * F + j];
            } else {
                if (!(sum > least)) return false;
                L[i * F + i] = sqrt(sum);
            }
        }
    }
    return true;
}

/* P = (L L')^-1 with L^-1 in place of L; reads and writes the same F × F numbers. */
static void invert_factor(double *L, uint32_t F) {
    for (uint32_t i = 0; i < F; i++) {
        L[i * F + i] = 1 / L[i * F + i];
        for (uint32_t j = 0; j < i; j++) {
            double sum = 0;
            for (uint32_t k = j; k < i; k++) sum -= L[i * F + k] * L[k * F + j];
            L[i * F + j] = sum * L[i * F + i];
        }
    }
    for (uint32_t i = 0; i < F; i++) {
        for (uint32_t j = 0; j <= i; j++) { /* row i of the inverse factor is last needed for element (i, i) */
            double sum = 0;
            for (uint32_t k = i; k < F; k++) sum += L[k * F + i] * L[k * F + j];
            L[i * F + j] = sum;
        }
    }
    for (uint32_t i = 0; i < F; i++)
        for (uint32_t j = 0; j < i; j++) L[j * F + i] = L[i * F + j];
}

bool regression_solve(regression *r, const regression_prior *prior) {
    double least = INFINITY;
    for (uint32_t i = 0; i < prior->F; i++) least = fmin(least, prior->precision[i]);
    if (!cholesky(r->A, r->P, prior->F, least / 2)) return false;
    invert_factor(r->P, prior->F);
    return true;
}

static void refresh(regression *r, const regression_prior *prior) {
    r->steps = 0;
    if (!regression_solve(r, prior)) start(r, prior);
}

/* Gives the prior back what discounting took. */
static void restore_prior(regression *r, const regression_prior *prior) {
    uint32_t F = prior->F;
    for (uint32_t i = 0; i < F; i++) {
        for (uint32_t j = 0; j <= i; j++) r->A[i * F + j] *= r->held;
        r->A[i * F + i] += (1 - r->held) * prior->precision[i];
        r->b[i] *= r->held;
    }
    r->held = 1;
    refresh(r, prior);
}

void regression_advance(regression *r, const regression_prior *prior, uint64_t now, double discount) {
    if (now <= r->time) return;
    if (discount < 1) r->held *= pow(discount, (double)(now - r->time));
    r->time = now;
    if (r->held < REGRESSION_LEAST_HELD) restore_prior(r, prior);
}

/* out = M x for a symmetric M, four rows at a time: the inner loop vectorises, and `out` is read and written four times
 * less often. */
static void multiply(const double *restrict M, const double *restrict x, uint32_t F, double *restrict out) {
    uint32_t j = 0;
    for (uint32_t i = 0; i < F; i++) out[i] = 0;
    for (; j + 4 <= F; j += 4) {
        const double *restrict a = M + (size_t)j * F, *restrict b = a + F, *restrict c = b + F, *restrict d = c + F;
        for (uint32_t i = 0; i < F; i++) out[i] += x[j] * a[i] + x[j + 1] * b[i] + x[j + 2] * c[i] + x[j + 3] * d[i];
    }
    for (; j < F; j++)
        for (uint32_t i = 0; i < F; i++) out[i] += x[j] * M[(size_t)j * F + i];
}

/* M += scale v v', in the lower triangle or in all of M. */
static void add_outer(double *restrict M, const double *restrict v, uint32_t F, double scale, bool lower) {
    for (uint32_t j = 0; j < F; j++) {
        double vj = scale * v[j];
        if (vj == 0) continue;
        double *restrict row = M + (size_t)j * F;
        uint32_t end = lower ? j + 1 : F;
        for (uint32_t i = 0; i < end; i++) row[i] += vj * v[i];
    }
}

void regression_add(regression *r, const regression_prior *prior, const double *x, double weight) {
    uint32_t F = prior->F;
    if (!(weight > 0)) return;
    weight /= r->held;
    double k[REGRESSION_MAX_FEATURES];
    multiply(r->P, x, F, k);
    double leverage = 0; /* x' P x */
    for (uint32_t i = 0; i < F; i++) leverage += x[i] * k[i];
    add_outer(r->A, x, F, weight, true);
    add_outer(r->P, k, F, -weight / (1 + weight * leverage), false);
    if (++r->steps >= STEPS_PER_REFRESH) refresh(r, prior);
}

void regression_reward(regression *r, const regression_prior *prior, const double *x, double amount) {
    for (uint32_t i = 0; i < prior->F; i++) r->b[i] += amount / r->held * x[i];
}

void regression_mean(const regression *r, const regression_prior *prior, const double *mean, double scale,
                     double *theta) {
    uint32_t F = prior->F;
    double c[REGRESSION_MAX_FEATURES];
    for (uint32_t i = 0; i < F; i++) c[i] = r->b[i] + scale * prior->precision[i] * mean[i];
    multiply(r->P, c, F, theta);
}
