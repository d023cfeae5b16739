#include "policy/regression.h"

#include <math.h>
#include <string.h>

enum { STEPS_PER_REFRESH = 512 }; /* rounding errors of P grow with each rank-one update; a refresh costs F of them */

size_t regression_doubles(uint32_t F, uint32_t K) { return 2 * (size_t)F * F + 3 * (size_t)K * F; }

/* Two numbers at a time, wherever they lie: compilers turn it into the baseline's vector instructions at any level of
 * optimisation. */
typedef double pair __attribute__((vector_size(16), aligned(8), may_alias));

static inline pair pair_at(const double *v) { return *(const pair *)v; }

/* out += scale v */
static inline void add_scaled(double *restrict out, const double *restrict v, double scale, size_t n) {
    size_t i = 0;
    for (; i + 4 <= n; i += 4) {
        *(pair *)(out + i) += scale * pair_at(v + i);
        *(pair *)(out + i + 2) += scale * pair_at(v + i + 2);
    }
    for (; i < n; i++) out[i] += scale * v[i];
}

enum { MOST_PAIRS = 8 }; /* sums that fit the registers */

/* 2 × `pairs` columns of x' M: no sum leaves its register. */
static inline __attribute__((always_inline)) void sum_columns(const double *restrict M, const double *restrict x, size_t F,
                                                              size_t pairs, double *restrict out) {
    pair sum[MOST_PAIRS] = {{0}};
    for (size_t j = 0; j < F; j++, M += F)
        for (size_t c = 0; c < pairs; c++) sum[c] += x[j] * pair_at(M + 2 * c);
    for (size_t c = 0; c < pairs; c++) *(pair *)(out + 2 * c) = sum[c];
}

/* out = M x for a symmetric M. */
static void multiply(const double *restrict M, const double *restrict x, size_t F, double *restrict out) {
    size_t i = 0;
    for (; i + 16 <= F; i += 16) sum_columns(M + i, x, F, 8, out + i);
    if (i + 8 <= F) {
        sum_columns(M + i, x, F, 4, out + i);
        i += 8;
    }
    if (i + 4 <= F) {
        sum_columns(M + i, x, F, 2, out + i);
        i += 4;
    }
    for (; i < F; i++) {
        double sum = 0;
        for (size_t j = 0; j < F; j++) sum += x[j] * M[j * F + i];
        out[i] = sum;
    }
}

/* Two pairs of sums, so that one addition need not wait for the one before. */
static inline double dot(const double *a, const double *b, size_t F) {
    pair even = {0}, odd = {0};
    size_t i = 0;
    double rest = 0;
    for (; i + 4 <= F; i += 4) {
        even += pair_at(a + i) * pair_at(b + i);
        odd += pair_at(a + i + 2) * pair_at(b + i + 2);
    }
    for (; i < F; i++) rest += a[i] * b[i];
    even += odd;
    return even[0] + even[1] + rest;
}

static void find_theta(regression *r, const regression_prior *prior, uint32_t k) {
    uint32_t F = prior->F;
    double c[REGRESSION_MAX_FEATURES];
    for (uint32_t i = 0; i < F; i++) c[i] = r->b[k * F + i] + prior->precision[i] * r->m[k * F + i];
    multiply(r->P, c, F, r->theta + k * F);
}

/* Nothing was observed: theta is the prior's mean. */
static void start(regression *r, const regression_prior *prior) {
    uint32_t F = prior->F;
    size_t outputs = (size_t)r->K * F;
    memset(r->A, 0, (size_t)F * F * sizeof *r->A);
    memset(r->P, 0, (size_t)F * F * sizeof *r->P);
    memset(r->b, 0, outputs * sizeof *r->b);
    memcpy(r->theta, r->m, outputs * sizeof *r->theta);
    for (uint32_t i = 0; i < F; i++) {
        r->A[i * F + i] = prior->precision[i];
        r->P[i * F + i] = 1 / prior->precision[i];
    }
    r->held = 1;
    r->steps = 0;
}

void regression_init(regression *r, const regression_prior *prior, uint32_t K, double *memory) {
    size_t square = (size_t)prior->F * prior->F, outputs = (size_t)K * prior->F;
    double *b = memory + 2 * square;
    *r = (regression){
        .A = memory, .P = memory + square, .b = b, .m = b + outputs, .theta = b + 2 * outputs, .K = K};
    memset(r->m, 0, outputs * sizeof *r->m);
    start(r, prior);
}

void regression_set_mean(regression *r, const regression_prior *prior, uint32_t k, const double *mean, double scale) {
    for (uint32_t i = 0; i < prior->F; i++) r->m[k * prior->F + i] = scale * mean[i];
    find_theta(r, prior, k);
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
    for (uint32_t k = 0; k < r->K; k++) find_theta(r, prior, k);
    return true;
}

void regression_refresh(regression *r, const regression_prior *prior) {
    r->steps = 0;
    if (!regression_solve(r, prior)) start(r, prior);
}

/* Gives the prior back what discounting took. */
static void restore_prior(regression *r, const regression_prior *prior) {
    uint32_t F = prior->F;
    for (uint32_t i = 0; i < F; i++) {
        for (uint32_t j = 0; j <= i; j++) r->A[i * F + j] *= r->held;
        r->A[i * F + i] += (1 - r->held) * prior->precision[i];
    }
    for (uint32_t i = 0; i < r->K * F; i++) r->b[i] *= r->held;
    r->held = 1;
    regression_refresh(r, prior);
}

void regression_advance(regression *r, const regression_prior *prior, uint64_t now, double discount) {
    if (now <= r->time) return;
    if (discount < 1) r->held *= pow(discount, (double)(now - r->time));
    r->time = now;
    if (r->held < REGRESSION_LEAST_HELD) restore_prior(r, prior);
}

/* M += scale v v', in the lower triangle or in all of M. */
static void add_outer(double *restrict M, const double *restrict v, uint32_t F, double scale, bool lower) {
    for (uint32_t j = 0; j < F; j++)
        if (v[j] != 0) add_scaled(M + (size_t)j * F, v, scale * v[j], lower ? j + 1 : F);
}

void regression_add(regression *r, const regression_prior *prior, const double *x, double weight) {
    uint32_t F = prior->F;
    if (!(weight > 0)) return;
    weight /= r->held;
    double Px[REGRESSION_MAX_FEATURES];
    multiply(r->P, x, F, Px);
    double shrink = weight / (1 + weight * dot(x, Px, F));
    add_outer(r->A, x, F, weight, true);
    add_outer(r->P, Px, F, -shrink, false);
    for (uint32_t k = 0; k < r->K; k++) { /* (P - shrink Px Px') c = theta - shrink Px (x' theta) */
        double *theta = r->theta + k * F;
        add_scaled(theta, Px, -shrink * dot(x, theta, F), F);
    }
    if (++r->steps >= STEPS_PER_REFRESH) regression_refresh(r, prior);
}

void regression_reward(regression *r, const regression_prior *prior, const double *x, const double *amount) {
    uint32_t F = prior->F;
    double Px[REGRESSION_MAX_FEATURES];
    multiply(r->P, x, F, Px);
    for (uint32_t k = 0; k < r->K; k++) {
        if (amount[k] == 0) continue;
        add_scaled(r->b + k * F, x, amount[k] / r->held, F);
        add_scaled(r->theta + k * F, Px, amount[k] / r->held, F);
    }
}

double regression_predict(const regression *r, const regression_prior *prior, uint32_t k, const double *x) {
    return dot(r->theta + k * prior->F, x, prior->F);
}

double regression_variance(const regression *r, const regression_prior *prior, const double *x) {
    double Px[REGRESSION_MAX_FEATURES];
    multiply(r->P, x, prior->F, Px);
    return fmax(0, dot(x, Px, prior->F));
}
