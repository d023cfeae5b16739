/* Regression-EM (Wang, Golbandi, Bendersky, Metzler & Najork, WSDM 2018): whether a rank was looked at and whether the document
 * is welcome are hidden; a click says both. Relevance is logistic in the features of query and document, or a number of its
 * own for each key.
 *
 * p_1 is held at 1, because only p_k g can be seen: g is then the chance of a click at rank 1. Each step of EM solves for p_k
 * with the prior in, and climbs for the relevance by a step that never overshoots (the bound of Böhning & Lindsay 1988). Plain
 * EM crawls here, so that two steps are extrapolated (SQUAREM, Varadhan & Roland 2008) and kept where that climbs. */
#include "rank/examination_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define CYCLES 500
#define TOLERANCE 1e-6
#define MEAN_ROUNDS 30
#define KEY_STRENGTH 1. /* observations that a key's own relevance begins with, at the mean rate */
#define RIDGE 1e-2      /* of each weight but the intercept's */
#define TOP (-1e-3)     /* theta of a rank that is looked at as much as rank 1: EM cannot come back from 0 */
#define LOGIT_LIMIT 15.

typedef struct em {
    const examination_config *config;
    const exam_rows *rows;
    uint32_t K, D;       /* D = F + 1: weights and intercept; 0: one logit for each key */
    size_t n;            /* K + D, or K + keys: the parameters, theta first */
    double *prior;       /* K − 1 squared */
    double *bound;       /* D × D: Cholesky factor */
    double *pull;        /* D: gradient of the weights' step */
    double rate;         /* mean relevance, that a key's own begins with */
} em;

static double logit(double g) { return log(g / (1 - g)); }
static double chance(double eta) { return 1 / (1 + exp(-eta)); }

static double feature(const em *m, size_t key, uint32_t i) {
    return i < m->rows->F ? (double)m->rows->x[key * m->rows->F + i] : 1;
}

static double relevance(const em *m, const double *v, size_t key) {
    double eta = 0;
    if (!m->D) return chance(v[m->K + key]);
    for (uint32_t i = 0; i < m->D; i++) eta += v[m->K + i] * feature(m, key, i);
    return chance(fmax(-LOGIT_LIMIT, fmin(LOGIT_LIMIT, eta)));
}

static double deviation(const em *m, const double *v, uint32_t k) { return v[k] - exam_prior_theta(m->config, k); }

/* Row k of the prior's precision times the deviations, without the diagonal's part when `other`. */
static double prior_pull(const em *m, const double *v, uint32_t k, bool other) {
    double sum = 0;
    for (uint32_t l = 1; l < m->K; l++)
        if (!other || l != k) sum += m->prior[(k - 1) * (size_t)(m->K - 1) + l - 1] * deviation(m, v, l);
    return sum;
}

/* Log-likelihood and log prior. */
static double objective(const em *m, const double *v) {
    const exam_rows *r = m->rows;
    double sum = 0, p[EXAMINATION_MAX_RANKS];
    for (uint32_t k = 0; k < m->K; k++) p[k] = exp(v[k]);
    for (uint32_t k = 1; k < m->K; k++) sum -= deviation(m, v, k) * prior_pull(m, v, k, false) / 2;
    for (uint32_t i = 0; i + 1 < m->D; i++) sum -= RIDGE * v[m->K + i] * v[m->K + i] / 2;
    for (size_t key = 0; key < r->n_keys; key++) {
        double g = relevance(m, v, key);
        if (!m->D) sum += KEY_STRENGTH * (m->rate * log(g) + (1 - m->rate) * log1p(-g));
        for (size_t i = r->first[key]; i < r->first[key + 1]; i++) {
            double pg = fmin(p[r->rank[i]] * g, 1 - 1e-12);
            sum += r->c[i] * log(pg) + (r->n[i] - r->c[i]) * log1p(-pg);
        }
    }
    return sum;
}

/* theta_k that gives looked · theta + missed · log(1 − e^theta) and the prior their maximum, by bisection: the derivative
 * falls. */
static double solve_theta(const em *m, const double *v, uint32_t k, double looked, double missed) {
    double low = log(EXAMINATION_LEAST), high = TOP, other = prior_pull(m, v, k, true);
    double precision = m->prior[(k - 1) * (size_t)m->K], prior = exam_prior_theta(m->config, k);
    for (int i = 0; i < 60; i++) {
        double theta = (low + high) / 2, p = exp(theta);
        double slope = looked - missed * p / (1 - p) - precision * (theta - prior) - other;
        if (slope > 0) low = theta;
        else high = theta;
    }
    return (low + high) / 2;
}

/* One key's expectations at v: adds to looked and all by rank, returns the expected number of welcome impressions. */
static double expect(const em *m, const double *p, double g, size_t key, double *looked, double *all, double *shown) {
    const exam_rows *r = m->rows;
    double liked = 0;
    *shown = 0;
    for (size_t i = r->first[key]; i < r->first[key + 1]; i++) {
        uint32_t k = r->rank[i];
        double miss = (r->n[i] - r->c[i]) / fmax(1e-12, 1 - p[k] * g);
        looked[k] += r->c[i] + miss * p[k] * (1 - g);
        liked += r->c[i] + miss * g * (1 - p[k]);
        all[k] += r->n[i];
        *shown += r->n[i];
    }
    return liked;
}

static void step(const em *m, const double *v, double *next) {
    double looked[EXAMINATION_MAX_RANKS] = {0}, all[EXAMINATION_MAX_RANKS] = {0}, p[EXAMINATION_MAX_RANKS], shown;
    for (uint32_t k = 0; k < m->K; k++) p[k] = exp(v[k]);
    for (uint32_t i = 0; i < m->D; i++) m->pull[i] = i + 1 < m->D ? -RIDGE * v[m->K + i] : 0;
    memcpy(next, v, m->n * sizeof *next);
    for (size_t key = 0; key < m->rows->n_keys; key++) {
        double g = relevance(m, v, key), liked = expect(m, p, g, key, looked, all, &shown);
        if (!m->D) next[m->K + key] = logit((liked + KEY_STRENGTH * m->rate) / (shown + KEY_STRENGTH));
        for (uint32_t i = 0; i < m->D; i++) m->pull[i] += (liked - shown * g) * feature(m, key, i);
    }
    if (m->D) exam_solve(m->bound, m->D, m->pull);
    for (uint32_t i = 0; i < m->D; i++) next[m->K + i] += m->pull[i];
    for (uint32_t k = 1; k < m->K; k++) next[k] = solve_theta(m, next, k, looked[k], fmax(0, all[k] - looked[k]));
}

/* v2 becomes v − 2 α (v1 − v) + α² (v2 − 2 v1 + v), α by the ratio of lengths; stays where there is nothing to gain. */
static void extrapolate(const em *m, const double *v, const double *v1, const double *v2, double *out) {
    double r = 0, w = 0;
    for (size_t i = 0; i < m->n; i++) {
        double first = v1[i] - v[i], bend = v2[i] - 2 * v1[i] + v[i];
        r += first * first;
        w += bend * bend;
    }
    double alpha = w > 0 ? -sqrt(r / w) : -1;
    alpha = fmax(-1000, fmin(-1, alpha));
    for (size_t i = 0; i < m->n; i++) {
        double x = v[i] - 2 * alpha * (v1[i] - v[i]) + alpha * alpha * (v2[i] - 2 * v1[i] + v[i]);
        if (i < m->K) x = i ? fmax(log(EXAMINATION_LEAST), fmin(TOP, x)) : 0;
        else if (!m->D) x = fmax(-LOGIT_LIMIT, fmin(LOGIT_LIMIT, x));
        out[i] = x;
    }
}

static void climb(const em *m, double *v, exam_fit *f) {
    double *v1 = mem_alloc(4 * m->n * sizeof *v1), *v2 = v1 + m->n, *far = v2 + m->n, *landed = far + m->n;
    for (int cycle = 0; cycle < CYCLES; cycle++) {
        double change = 0;
        step(m, v, v1);
        step(m, v1, v2);
        for (uint32_t k = 1; k < m->K; k++) change = fmax(change, fabs(v2[k] - v[k]));
        f->iterations += 3;
        extrapolate(m, v, v1, v2, far);
        step(m, far, landed);
        bool better = objective(m, landed) >= objective(m, v2);
        if (better)
            for (uint32_t k = 1; k < m->K; k++) change = fmax(change, fabs(landed[k] - v[k]));
        memcpy(v, better ? landed : v2, m->n * sizeof *v);
        if (change < TOLERANCE) break;
    }
    free(v1);
}

/* A key's own relevance is drawn towards the mean. That is far above the clicks per impression, which it starts from, because
 * most ranks are hardly looked at; so climb, take the mean that was found, and climb on. */
static void climb_with_mean(em *m, double *v, exam_fit *f) {
    const exam_rows *r = m->rows;
    for (int round = 0; round < MEAN_ROUNDS; round++) {
        double liked = 0, shown = 0;
        climb(m, v, f);
        if (m->D) return;
        for (size_t key = 0; key < r->n_keys; key++)
            for (size_t i = r->first[key]; i < r->first[key + 1]; i++) {
                liked += r->n[i] * relevance(m, v, key);
                shown += r->n[i];
            }
        if (!(shown > 0)) return;
        double mean = fmax(1e-4, fmin(.9, liked / shown)), change = fabs(log(mean / m->rate));
        m->rate = mean;
        if (change < 1e-3) return;
    }
}

/* ---- How sure ---- */

/* The information about (theta, weights), or about theta with every key's own relevance taken out (Schur complement), and the
 * outer products of the keys' scores. N: their number. */
static void add_information(const em *m, const double *v, size_t key, double *H, double *J, size_t N) {
    const exam_rows *r = m->rows;
    double g = relevance(m, v, key), score[EXAMINATION_MAX_RANKS + EXAMINATION_MAX_FEATURES + 1] = {0};
    double cross[EXAMINATION_MAX_RANKS] = {0}, own = 0, pull = 0, K1 = m->K - 1;
    for (size_t i = r->first[key]; i < r->first[key + 1]; i++) {
        double pg = fmin(exp(v[r->rank[i]]) * g, 1 - 1e-9), w = r->n[i] * pg / (1 - pg);
        double residual = (r->c[i] - r->n[i] * pg) / (1 - pg);
        own += w * (1 - g) * (1 - g);
        pull += residual * (1 - g);
        if (!r->rank[i]) continue;
        size_t a = r->rank[i] - 1u;
        H[a * N + a] += w;
        score[a] = residual;
        cross[a] = w * (1 - g);
    }
    if (!m->D) own += KEY_STRENGTH * m->rate * (1 - m->rate);
    for (uint32_t i = 0; i < m->D; i++) score[m->K - 1 + i] = pull * feature(m, key, i);
    for (size_t a = 0; a < (size_t)K1; a++) {
        if (!m->D) score[a] -= cross[a] / own * pull;
        for (size_t b = 0; !m->D && b < (size_t)K1; b++) H[a * N + b] -= cross[a] * cross[b] / own;
        for (uint32_t i = 0; i < m->D; i++) {
            double both = cross[a] * feature(m, key, i);
            H[a * N + m->K - 1 + i] += both;
            H[(m->K - 1 + i) * N + a] += both;
        }
    }
    for (uint32_t i = 0; i < m->D; i++)
        for (uint32_t j = 0; j < m->D; j++)
            H[(m->K - 1 + i) * N + m->K - 1 + j] += own * feature(m, key, i) * feature(m, key, j);
    for (size_t a = 0; a < N; a++)
        for (size_t b = 0; score[a] != 0 && b < N; b++) J[a * N + b] += score[a] * score[b];
}

static void find_variances(const em *m, const double *v, exam_fit *f) {
    size_t N = m->K - 1 + m->D;
    double *H = mem_zalloc(2 * N * N + N, sizeof *H), *J = H + N * N, *diagonal = J + N * N;
    for (size_t key = 0; key < m->rows->n_keys; key++) add_information(m, v, key, H, J, N);
    for (uint32_t k = 1; k < m->K; k++) f->own[k] = H[(k - 1) * N + k - 1];
    exam_prior_precision(m->config, H, N);
    exam_prior_precision(m->config, J, N);
    for (uint32_t i = 0; i < m->D; i++) H[(m->K - 1 + i) * (N + 1)] += i + 1 < m->D ? RIDGE : 1e-9;
    exam_cholesky(H, N);
    exam_variances(H, J, N, diagonal);
    for (uint32_t k = 1; k < m->K; k++) f->variance[k] = diagonal[k - 1];
    free(H);
}

/* ---- */

static void prepare(em *m, double *v) {
    const exam_rows *r = m->rows;
    double clicks = 0, shown = 0;
    exam_prior_precision(m->config, m->prior, m->K - 1);
    for (size_t key = 0; key < r->n_keys; key++)
        for (size_t i = r->first[key]; i < r->first[key + 1]; i++) {
            clicks += r->c[i];
            shown += r->n[i];
            for (uint32_t a = 0; a < m->D; a++)
                for (uint32_t b = 0; b < m->D; b++)
                    m->bound[a * m->D + b] += r->n[i] * feature(m, key, a) * feature(m, key, b) / 4;
        }
    for (uint32_t a = 0; a < m->D; a++) m->bound[a * m->D + a] += RIDGE;
    if (m->D) exam_cholesky(m->bound, m->D);
    m->rate = fmax(1e-4, fmin(.9, (clicks + .1) / (shown + 1)));
    for (uint32_t k = 1; k < m->K; k++) v[k] = fmax(log(EXAMINATION_LEAST), fmin(TOP, exam_prior_theta(m->config, k)));
    if (m->D) v[m->n - 1] = logit(m->rate);
    for (size_t i = m->K; !m->D && i < m->n; i++) v[i] = logit(m->rate);
}

void exam_fit_em(const examination_config *c, const exam_rows *r, exam_fit *f) {
    em m = {.config = c, .rows = r, .K = r->K, .D = r->F ? r->F + 1 : 0};
    size_t square = (size_t)(m.K - 1) * (m.K - 1);
    m.n = m.K + (m.D ? m.D : r->n_keys);
    m.prior = mem_zalloc(square + (size_t)m.D * m.D + m.D + m.n, sizeof *m.prior);
    m.bound = m.prior + square;
    m.pull = m.bound + (size_t)m.D * m.D;
    double *v = m.pull + m.D;
    prepare(&m, v);
    climb_with_mean(&m, v, f);
    find_variances(&m, v, f);
    memcpy(f->theta, v, m.K * sizeof *v);
    f->by_pairs = !m.D; /* a key of its own relevance tells nothing about a rank unless it was at another */
    free(m.prior);
}
