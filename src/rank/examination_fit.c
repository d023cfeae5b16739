/* From counts to a curve: the prior, the conditional likelihood of harvested interventions, what is identified. */
#include "rank/examination_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NEWTON_STEPS 60
#define NORMAL_95 1.959963984540054

/* ---- Small dense matrices ---- */

void exam_cholesky(double *A, size_t n) {
    for (size_t j = 0; j < n; j++) {
        double pivot = A[j * n + j], least = 1e-12 * fmax(1e-6, fabs(pivot));
        for (size_t k = 0; k < j; k++) pivot -= A[j * n + k] * A[j * n + k];
        double root = A[j * n + j] = sqrt(fmax(pivot, least));
        for (size_t i = j + 1; i < n; i++) {
            double sum = A[i * n + j];
            for (size_t k = 0; k < j; k++) sum -= A[i * n + k] * A[j * n + k];
            A[i * n + j] = sum / root;
        }
    }
}

void exam_solve(const double *L, size_t n, double *b) {
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < i; k++) b[i] -= L[i * n + k] * b[k];
        b[i] /= L[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        for (size_t k = i + 1; k < n; k++) b[i] -= L[k * n + i] * b[k];
        b[i] /= L[i * n + i];
    }
}

void exam_variances(const double *L, const double *B, size_t n, double *diagonal) {
    double *column = mem_alloc(n * sizeof *column);
    for (size_t i = 0; i < n; i++) {
        memset(column, 0, n * sizeof *column);
        column[i] = 1;
        exam_solve(L, n, column);
        double sandwich = 0;
        for (size_t a = 0; a < n; a++)
            for (size_t b = 0; b < n; b++) sandwich += column[a] * B[a * n + b] * column[b];
        diagonal[i] = fmax(column[i], sandwich);
    }
    free(column);
}

/* ---- The prior: k^-power, and a random walk over log k around it ---- */

double exam_prior_theta(const examination_config *c, uint32_t rank) { return -c->prior_power * log(rank + 1.0); }

double exam_prior_variance(const examination_config *c, uint32_t a, uint32_t b) {
    return c->prior_spread * c->prior_spread * log((b + 1.0) / (a + 1.0));
}

void exam_prior_precision(const examination_config *c, double *A, size_t stride) {
    for (uint32_t k = 1; k < c->n_ranks; k++) {
        double precision = 1 / exam_prior_variance(c, k - 1, k);
        size_t i = k - 1;
        A[i * stride + i] += precision;
        if (!i) continue;
        A[(i - 1) * stride + i - 1] += precision;
        A[(i - 1) * stride + i] -= precision;
        A[i * stride + i - 1] -= precision;
    }
}

/* ---- Harvesting: the conditional likelihood ---- */

typedef struct harvest {
    const examination_config *config;
    const exam_rows *rows;
    uint32_t n;      /* K − 1 parameters: theta of ranks 2 to K */
    double *prior;   /* n × n precision */
    double *H, *J;   /* n × n: information; scores' outer products */
    double *gradient;
} harvest;

/* One key: share[i] = n_i p_i / Σ_j n_j p_j. Returns Σ c_i log share_i. A key that was shown at one rank, or was never
 * clicked, says nothing. */
static double key_share(const exam_rows *r, size_t key, const double *p, double *share, double *clicks) {
    size_t from = r->first[key], m = r->first[key + 1] - from;
    double sum = 0, value = 0;
    *clicks = 0;
    for (size_t i = 0; i < m; i++) *clicks += r->c[from + i];
    if (m < 2 || !(*clicks > 0)) return *clicks = 0;
    for (size_t i = 0; i < m; i++) sum += share[i] = r->n[from + i] * p[r->rank[from + i]];
    for (size_t i = 0; i < m; i++) {
        share[i] /= sum;
        if (r->c[from + i] > 0) value += r->c[from + i] * log(share[i]);
    }
    return value;
}

static double penalty(const harvest *h, const double *theta, double *push) {
    double sum = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        double row = 0;
        for (uint32_t j = 0; j < h->n; j++)
            row += h->prior[i * h->n + j] * (theta[j + 1] - exam_prior_theta(h->config, j + 1));
        if (push) push[i] = row;
        sum += row * (theta[i + 1] - exam_prior_theta(h->config, i + 1)) / 2;
    }
    return sum;
}

static void exponentials(const double *theta, uint32_t K, double *p) {
    for (uint32_t k = 0; k < K; k++) p[k] = exp(theta[k]);
}

static double objective(const harvest *h, const double *theta) {
    double p[EXAMINATION_MAX_RANKS], share[EXAMINATION_MAX_RANKS], clicks, sum = -penalty(h, theta, NULL);
    exponentials(theta, h->rows->K, p);
    for (size_t key = 0; key < h->rows->n_keys; key++) sum += key_share(h->rows, key, p, share, &clicks);
    return sum;
}

static void add_key(harvest *h, size_t key, const double *share, double clicks) {
    const exam_rows *r = h->rows;
    size_t from = r->first[key], m = r->first[key + 1] - from, n = h->n;
    double score[EXAMINATION_MAX_RANKS];
    for (size_t i = 0; i < m; i++) score[i] = r->c[from + i] - clicks * share[i];
    for (size_t i = 0; i < m; i++) {
        if (!r->rank[from + i]) continue; /* rank 1 is 1 */
        size_t a = r->rank[from + i] - 1u;
        h->gradient[a] += score[i];
        h->H[a * n + a] += clicks * share[i];
        for (size_t j = 0; j < m; j++) {
            if (!r->rank[from + j]) continue;
            size_t b = r->rank[from + j] - 1u;
            h->H[a * n + b] -= clicks * share[i] * share[j];
            h->J[a * n + b] += score[i] * score[j];
        }
    }
}

/* Gradient, information and scores at theta, the prior in all three. */
static void derive(harvest *h, const double *theta) {
    double p[EXAMINATION_MAX_RANKS], share[EXAMINATION_MAX_RANKS], push[EXAMINATION_MAX_RANKS], clicks;
    memset(h->H, 0, h->n * h->n * sizeof *h->H);
    memset(h->J, 0, h->n * h->n * sizeof *h->J);
    memset(h->gradient, 0, h->n * sizeof *h->gradient);
    exponentials(theta, h->rows->K, p);
    for (size_t key = 0; key < h->rows->n_keys; key++) {
        key_share(h->rows, key, p, share, &clicks);
        if (clicks > 0) add_key(h, key, share, clicks);
    }
    penalty(h, theta, push);
    for (uint32_t i = 0; i < h->n; i++) h->gradient[i] -= push[i];
}

/* Newton's method with halved steps where a whole one does not climb. Returns false at the top. */
static bool climb(harvest *h, double *theta, double *value) {
    double next[EXAMINATION_MAX_RANKS] = {0}, *step = h->gradient, slope = 0, longest = 0;
    double gradient[EXAMINATION_MAX_RANKS];
    memcpy(gradient, step, h->n * sizeof *gradient);
    exam_cholesky(h->H, h->n);
    exam_solve(h->H, h->n, step);
    for (uint32_t i = 0; i < h->n; i++) {
        slope += gradient[i] * step[i];
        longest = fmax(longest, fabs(step[i]));
    }
    if (!(longest > 1e-9)) return false;
    for (double t = fmin(1, 4 / longest); t > 1e-6; t /= 2) {
        for (uint32_t i = 0; i < h->n; i++) next[i + 1] = theta[i + 1] + t * step[i];
        double reached = objective(h, next);
        if (!(reached >= *value + 1e-4 * t * slope)) continue;
        memcpy(theta, next, (h->n + 1) * sizeof *theta);
        *value = reached;
        return true;
    }
    return false;
}

static void add_prior(const harvest *h, double *A) {
    for (size_t i = 0; i < (size_t)h->n * h->n; i++) A[i] += h->prior[i];
}

void exam_fit_harvest(const examination_config *c, const exam_rows *r, exam_fit *f) {
    uint32_t n = r->K - 1;
    harvest h = {.config = c, .rows = r, .n = n};
    h.prior = mem_zalloc(3 * (size_t)n * n + n, sizeof *h.prior);
    h.H = h.prior + n * n;
    h.J = h.H + n * n;
    h.gradient = h.J + n * n;
    exam_prior_precision(c, h.prior, n);
    for (uint32_t k = 0; k < r->K; k++) f->theta[k] = exam_prior_theta(c, k);
    double value = objective(&h, f->theta);
    for (bool more = true; more && f->iterations < NEWTON_STEPS; f->iterations += more) {
        derive(&h, f->theta);
        add_prior(&h, h.H);
        more = climb(&h, f->theta, &value);
    }
    derive(&h, f->theta);
    for (uint32_t i = 0; i < n; i++) f->own[i + 1] = h.H[i * n + i];
    add_prior(&h, h.H);
    add_prior(&h, h.J);
    exam_cholesky(h.H, n);
    f->variance[0] = 0;
    exam_variances(h.H, h.J, n, f->variance + 1);
    f->by_pairs = true;
    free(h.prior);
}

/* ---- Which ranks pairs join ---- */

static uint32_t root_of(uint32_t *parent, uint32_t k) {
    while (parent[k] != k) k = parent[k] = parent[parent[k]];
    return k;
}

static void count_pairs(const exam_rows *r, examination_curve *c, uint32_t *parent) {
    for (uint32_t k = 0; k < r->K; k++) parent[k] = k;
    for (size_t key = 0; key < r->n_keys; key++) {
        size_t from = r->first[key], to = r->first[key + 1];
        double clicks = 0;
        for (size_t i = from; i < to; i++) clicks += r->c[i];
        if (!(clicks > 0)) continue;
        for (size_t i = from; i < to; i++) {
            c->ranks[r->rank[i]].pairs += to - from - 1;
            parent[root_of(parent, r->rank[i])] = root_of(parent, r->rank[from]);
        }
    }
}

/* ---- Finishing ---- */

/* Pool adjacent violators (Ayer et al. 1955) over ranks 2 to K, weighed by precision; then nothing above rank 1, which is the
 * bounded solution. */
static void make_monotone(double *theta, const double *variance, uint32_t K) {
    double mean[EXAMINATION_MAX_RANKS], weight[EXAMINATION_MAX_RANKS];
    uint32_t size[EXAMINATION_MAX_RANKS], n = 0;
    for (uint32_t k = 1; k < K; k++) {
        mean[n] = theta[k];
        weight[n] = 1 / fmax(variance[k], 1e-12);
        size[n++] = 1;
        for (; n > 1 && mean[n - 1] > mean[n - 2]; n--) {
            double both = weight[n - 2] + weight[n - 1];
            mean[n - 2] = (weight[n - 2] * mean[n - 2] + weight[n - 1] * mean[n - 1]) / both;
            weight[n - 2] = both;
            size[n - 2] += size[n - 1];
        }
    }
    for (uint32_t i = 0, k = 1; i < n; i++)
        for (uint32_t j = 0; j < size[i]; j++) theta[k++] = fmin(0, mean[i]);
}

static double chance_of(double theta) { return fmax(EXAMINATION_LEAST, exp(fmin(theta, 20))); }

static void finish(const examination_config *config, exam_fit *f, uint32_t *parent, examination_curve *out) {
    double clicks = 0, sure = 0;
    uint32_t identified = 0;
    if (config->monotone) make_monotone(f->theta, f->variance, out->n_ranks);
    for (uint32_t k = 0; k < out->n_ranks; k++) {
        examination_rank *rank = &out->ranks[k];
        double spread = sqrt(f->variance[k]);
        rank->estimate = chance_of(f->theta[k]);
        rank->low = chance_of(f->theta[k] - NORMAL_95 * spread);
        rank->high = chance_of(f->theta[k] + NORMAL_95 * spread);
        rank->identified = !k || (spread <= EXAMINATION_SURE && f->own[k] >= 1 / EXAMINATION_SURE / EXAMINATION_SURE &&
                                  (!f->by_pairs || root_of(parent, k) == root_of(parent, 0)));
        identified += rank->identified;
        clicks += rank->clicks;
        if (rank->identified) sure += rank->clicks;
    }
    out->identified = identified >= 2 && clicks > 0 && sure >= .9 * clicks;
    out->iterations = f->iterations;
}

static void fit_prior(const examination_config *c, exam_fit *f) {
    for (uint32_t k = 0; k < c->n_ranks; k++) {
        f->theta[k] = exam_prior_theta(c, k);
        f->variance[k] = exam_prior_variance(c, 0, k);
    }
}

void examination_prior(const examination_config *config, examination_curve *out) {
    exam_fit f = {.by_pairs = true};
    uint32_t parent[EXAMINATION_MAX_RANKS];
    *out = (examination_curve){.n_ranks = config->n_ranks, .prior_power = config->prior_power, .one_in = 1,
                               .monotone = config->monotone};
    for (uint32_t k = 0; k < config->n_ranks; k++) parent[k] = k;
    fit_prior(config, &f);
    finish(config, &f, parent, out);
}

void examination_fit(const examination *e, examination_method method, examination_curve *out) {
    const examination_config *config = &e->config;
    exam_rows rows;
    exam_fit f = {0};
    uint32_t parent[EXAMINATION_MAX_RANKS];
    assert((unsigned)method < EXAMINATION_METHODS);
    *out = (examination_curve){.method = method, .n_ranks = config->n_ranks, .monotone = config->monotone,
                               .prior_power = config->prior_power, .keys = e->n_keys, .one_in = 1ull << e->level,
                               .clipped = e->clipped};
    for (uint32_t k = 0; k < config->n_ranks; k++) {
        out->ranks[k].shown = e->shown[k];
        out->ranks[k].clicks = e->clicks[k];
    }
    exam_rows_init(e, &rows);
    count_pairs(&rows, out, parent);
    if (method == EXAMINATION_HARVEST) exam_fit_harvest(config, &rows, &f);
    else if (method == EXAMINATION_ALL_PAIRS) exam_fit_all_pairs(config, &rows, &f);
    else if (method == EXAMINATION_REGRESSION_EM) exam_fit_em(config, &rows, &f);
    else exam_fit_ratios(config, &rows, method == EXAMINATION_PIVOT, &f);
    finish(config, &f, parent, out);
    exam_rows_release(&rows);
}
