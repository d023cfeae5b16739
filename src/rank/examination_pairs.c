/* The estimators of Agarwal, Zaitsev, Wang, Li, Najork & Joachims (WSDM 2019), which look at two ranks at a time. */
#include "rank/examination_internal.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define GROUPS 10 /* of keys, for the jackknife */
#define EM_STEPS 3000
#define EM_TOLERANCE 1e-8

/* theta from data with that variance (infinite: none), drawn towards a prior. */
static double shrink(double theta, double variance, double prior, double prior_variance, double *posterior) {
    double data = isfinite(variance) && variance > 0 ? 1 / variance : 0, belief = 1 / prior_variance;
    *posterior = 1 / (data + belief);
    return ((data > 0 ? data * theta : 0) + belief * prior) * *posterior;
}

/* ---- Ratios of two ranks ---- */

typedef struct ratio {
    double log, variance; /* infinite: no clicks at one of them */
} ratio;

/* The Mantel–Haenszel ratio of b's click rate to a's over all keys that were shown at both; its variance from each key's
 * influence. place: rows.first[key] + place finds the cell; see find. */
static bool find(const exam_rows *r, size_t key, uint32_t rank, size_t *at) {
    for (*at = r->first[key]; *at < r->first[key + 1]; ++*at)
        if (r->rank[*at] >= rank) return r->rank[*at] == rank;
    return false;
}

static ratio compare(const exam_rows *r, uint32_t a, uint32_t b) {
    double A = 0, B = 0, squares = 0;
    size_t i, j;
    for (int pass = 0; pass < 2; pass++)
        for (size_t key = 0; key < r->n_keys; key++) {
            if (!find(r, key, a, &i) || !find(r, key, b, &j)) continue;
            double both = r->n[i] + r->n[j], at_a = r->c[i] * r->n[j] / both, at_b = r->c[j] * r->n[i] / both;
            if (!pass) {
                A += at_a;
                B += at_b;
            } else if (A > 0 && B > 0) {
                double influence = at_b / B - at_a / A;
                squares += influence * influence;
            }
        }
    if (!(A > 0 && B > 0)) return (ratio){0, INFINITY};
    return (ratio){log(B / A), fmax(squares, 1e-12)};
}

void exam_fit_ratios(const examination_config *c, const exam_rows *r, bool pivot, exam_fit *f) {
    f->by_pairs = true;
    for (uint32_t k = 1; k < r->K; k++) {
        uint32_t from = pivot ? 0 : k - 1;
        ratio found = compare(r, from, k);
        double step = exam_prior_theta(c, k) - exam_prior_theta(c, from), variance;
        double theta = shrink(found.log, found.variance, step, exam_prior_variance(c, from, k), &variance);
        f->theta[k] = f->theta[from] + theta;
        f->variance[k] = f->variance[from] + variance;
        f->own[k] = 1 / found.variance;
    }
}

/* ---- AllPairs ---- */

/* Clicks C[k][k'] and impressions N[k][k'] at k of the keys that were shown at k and k', each key weighed so that it is there
 * equally often at both: the paper's inverse weights, from what was shown instead of what was planned. */
typedef struct pair_counts {
    uint32_t K;
    double *C, *N; /* K × K */
} pair_counts;

static void add_counts(const exam_rows *r, size_t key, pair_counts *to) {
    for (size_t i = r->first[key]; i < r->first[key + 1]; i++)
        for (size_t j = r->first[key]; j < r->first[key + 1]; j++) {
            if (i == j) continue;
            double m = r->n[i] * r->n[j] / (r->n[i] + r->n[j]);
            size_t at = (size_t)r->rank[i] * to->K + r->rank[j];
            to->C[at] += m * r->c[i] / r->n[i];
            to->N[at] += m;
        }
}

/* One step of EM on Σ C log(p_k r_kk') + (N − C) log(1 − p_k r_kk'), with r symmetric: looking and liking as two coins, both
 * needed for a click. Returns the largest change of log p. */
static double em_step(const pair_counts *t, double *p, double *r) {
    uint32_t K = t->K;
    double looked[EXAMINATION_MAX_RANKS] = {0}, all[EXAMINATION_MAX_RANKS] = {0}, change = 0;
    for (uint32_t k = 0; k < K; k++)
        for (uint32_t l = 0; l < k; l++) {
            size_t here = (size_t)k * K + l, there = (size_t)l * K + k;
            if (!(t->N[here] > 0)) continue;
            double g = r[here], liked = 0;
            for (int side = 0; side < 2; side++) {
                size_t at = side ? there : here, rank = side ? l : k;
                double miss = (t->N[at] - t->C[at]) / fmax(1e-12, 1 - p[rank] * g);
                looked[rank] += t->C[at] + miss * p[rank] * (1 - g);
                all[rank] += t->N[at];
                liked += t->C[at] + miss * g * (1 - p[rank]);
            }
            r[here] = fmax(1e-9, fmin(1 - 1e-9, liked / (t->N[here] + t->N[there])));
        }
    for (uint32_t k = 0; k < K; k++) {
        if (!(all[k] > 0)) continue;
        double next = fmax(1e-9, fmin(1 - 1e-9, looked[k] / all[k]));
        change = fmax(change, fabs(log(next / p[k])));
        p[k] = next;
    }
    return change;
}

static uint32_t run_em(const pair_counts *t, double *p, double *r) {
    uint32_t steps = 0;
    while (steps < EM_STEPS && em_step(t, p, r) > EM_TOLERANCE) steps++;
    return steps;
}

static void start_em(const pair_counts *t, const examination_config *c, double *p, double *r) {
    for (uint32_t k = 0; k < t->K; k++) p[k] = .5 * exp(exam_prior_theta(c, k));
    for (size_t i = 0; i < (size_t)t->K * t->K; i++) r[i] = .5;
}

/* Leaves out one group of keys after the other (Quenouille's jackknife): the spread of log p_k / p_1. */
static void jackknife(const pair_counts *all, const pair_counts *groups, const double *p, const double *r,
                      double *variance) {
    uint32_t K = all->K;
    size_t cells = (size_t)K * K;
    double *left = mem_alloc(3 * cells * sizeof *left), *r_left = left + 2 * cells;
    double p_left[EXAMINATION_MAX_RANKS], theta[GROUPS][EXAMINATION_MAX_RANKS], mean[EXAMINATION_MAX_RANKS] = {0};
    pair_counts without = {K, left, left + cells};
    for (int g = 0; g < GROUPS; g++) {
        for (size_t i = 0; i < cells; i++) {
            without.C[i] = fmax(0, all->C[i] - groups[g].C[i]);
            without.N[i] = fmax(without.C[i], all->N[i] - groups[g].N[i]);
        }
        memcpy(p_left, p, K * sizeof *p_left);
        memcpy(r_left, r, cells * sizeof *r_left);
        run_em(&without, p_left, r_left);
        for (uint32_t k = 0; k < K; k++) mean[k] += (theta[g][k] = log(p_left[k] / p_left[0])) / GROUPS;
    }
    for (uint32_t k = 0; k < K; k++) {
        variance[k] = 0;
        for (int g = 0; g < GROUPS; g++)
            variance[k] += (theta[g][k] - mean[k]) * (theta[g][k] - mean[k]) * (GROUPS - 1) / GROUPS;
    }
    free(left);
}

/* Clicks of rank k's pairs; a rank without any is not estimated. */
static double clicks_of(const pair_counts *t, uint32_t k) {
    double sum = 0;
    for (uint32_t l = 0; l < t->K; l++) sum += t->C[(size_t)k * t->K + l];
    return sum;
}

void exam_fit_all_pairs(const examination_config *c, const exam_rows *r, exam_fit *f) {
    uint32_t K = r->K;
    size_t cells = (size_t)K * K;
    double *memory = mem_zalloc((2 * (GROUPS + 1) + 1) * cells, sizeof *memory), *liked = memory + 2 * cells;
    double p[EXAMINATION_MAX_RANKS], variance[EXAMINATION_MAX_RANKS];
    pair_counts all = {K, memory, memory + cells}, groups[GROUPS];
    for (int g = 0; g < GROUPS; g++) {
        groups[g] = (pair_counts){K, memory + (3 + 2 * (size_t)g) * cells, memory + (4 + 2 * (size_t)g) * cells};
    }
    for (size_t key = 0; key < r->n_keys; key++)
        add_counts(r, key, &groups[hash64(&r->key[key], sizeof r->key[key], 2) % GROUPS]);
    for (int g = 0; g < GROUPS; g++)
        for (size_t i = 0; i < cells; i++) {
            all.C[i] += groups[g].C[i];
            all.N[i] += groups[g].N[i];
        }
    start_em(&all, c, p, liked);
    f->iterations = run_em(&all, p, liked);
    jackknife(&all, groups, p, liked, variance);
    for (uint32_t k = 1; k < K; k++) {
        bool known = clicks_of(&all, k) > 0 && clicks_of(&all, 0) > 0;
        double spread = known ? fmax(variance[k], 1e-12) : INFINITY;
        f->own[k] = 1 / spread;
        f->theta[k] = shrink(log(p[k] / p[0]), spread, exam_prior_theta(c, k), exam_prior_variance(c, 0, k),
                             &f->variance[k]);
    }
    f->by_pairs = true;
    free(memory);
}
