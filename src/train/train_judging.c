#include "train/train_judging.h"

#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

#define BOOTSTRAPS 1000

enum { CANDIDATE, INCUMBENT, SERVED, IDEAL, ORDERS };

/* What one search is worth under each order. */
typedef struct worth {
    double of[ORDERS];
    uint64_t user;
} worth;

static double discount(size_t rank) { return 1 / log2(1 + (double)rank); }

/* Rank of row i among the shown rows by this key, ties to who stood higher. */
static size_t rank_of(const train_rows *r, size_t g, size_t i, const float *score) {
    size_t rank = 1;
    for (size_t j = r->first[g]; j < r->first[g + 1]; j++) {
        if (j == i || !r->position[j]) continue;
        if (score ? score[j] > score[i] || (score[j] == score[i] && r->position[j] < r->position[i]) : r->position[j] < r->position[i])
            rank++;
    }
    return rank;
}

static int falling(const void *x, const void *y) {
    double p = *(const double *)x, q = *(const double *)y;
    return (p < q) - (p > q);
}

static worth worth_of(const train_rows *r, size_t g, const float *weight, const float *candidate, const float *incumbent) {
    worth w = {.user = r->user[g] ? r->user[g] : r->sequence[g] * 2};
    double *gains = mem_alloc((r->first[g + 1] - r->first[g] + 1) * sizeof *gains);
    size_t n = 0;
    for (size_t i = r->first[g]; i < r->first[g + 1]; i++) {
        if (!(r->label[i] > 0) || !r->position[i]) continue;
        double gain = (double)(weight[i] * r->label[i] * r->group_weight[g]);
        gains[n++] = gain;
        w.of[CANDIDATE] += gain * discount(rank_of(r, g, i, candidate));
        w.of[INCUMBENT] += gain * discount(rank_of(r, g, i, incumbent));
        w.of[SERVED] += gain * discount(rank_of(r, g, i, NULL));
    }
    if (n) qsort(gains, n, sizeof *gains, falling);
    for (size_t i = 0; i < n; i++) w.of[IDEAL] += gains[i] * discount(i + 1);
    free(gains);
    return w;
}

/* Poisson of mean 1 from a uniform number. */
static uint32_t poisson(double u) {
    double p = exp(-1.0), sum = p;
    uint32_t k = 0;
    while (u > sum && k < 12) {
        p /= ++k;
        sum += p;
    }
    return k;
}

static double shares(const double *sum, int order) { return sum[IDEAL] > 0 ? sum[order] / sum[IDEAL] : 0; }

static int rising(const void *x, const void *y) { return falling(y, x); }

static train_value interval(double value, double *draws) {
    qsort(draws, BOOTSTRAPS, sizeof *draws, rising);
    return (train_value){value, draws[(size_t)(.025 * BOOTSTRAPS)], draws[(size_t)(.975 * BOOTSTRAPS) - 1]};
}

static size_t count_users(const worth *list, size_t n) {
    size_t different = 0;
    size_t slots = 16;
    while (slots < 2 * n) slots *= 2;
    uint64_t *seen = mem_zalloc(slots, sizeof *seen);
    for (size_t i = 0; i < n; i++) {
        uint64_t key = list[i].user | 1;
        size_t at = key >> 7 & (slots - 1);
        while (seen[at] && seen[at] != key) at = (at + 1) & (slots - 1);
        different += !seen[at];
        seen[at] = key;
    }
    free(seen);
    return different;
}

void train_judge_orders(const train_rows *rows, size_t from, size_t end, const float *weight, const float *candidate,
                        const float *incumbent, uint64_t seed, train_verdict *out) {
    size_t n = end - from;
    worth *list = mem_alloc((n + 1) * sizeof *list);
    double total[ORDERS] = {0}, *draws = mem_alloc((size_t)BOOTSTRAPS * 4 * sizeof *draws);
    for (size_t i = 0; i < n; i++) {
        list[i] = worth_of(rows, from + i, weight, candidate, incumbent);
        for (int o = 0; o < ORDERS; o++) total[o] += list[i].of[o];
    }
    for (uint64_t b = 0; b < BOOTSTRAPS; b++) {
        double sum[ORDERS] = {0};
        for (size_t i = 0; i < n; i++) {
            uint64_t lot[2] = {list[i].user, b};
            uint32_t times = poisson((double)(hash64(lot, sizeof lot, seed) >> 11) * 0x1p-53);
            for (int o = 0; o < ORDERS; o++) sum[o] += times * list[i].of[o];
        }
        for (int o = 0; o < 3; o++) draws[(size_t)o * BOOTSTRAPS + b] = shares(sum, o);
        draws[3 * (size_t)BOOTSTRAPS + b] = shares(sum, CANDIDATE) - shares(sum, INCUMBENT);
    }
    *out = (train_verdict){.searches = n, .users = count_users(list, n)};
    out->candidate = interval(shares(total, CANDIDATE), draws);
    out->incumbent = interval(shares(total, INCUMBENT), draws + BOOTSTRAPS);
    out->served = interval(shares(total, SERVED), draws + 2 * BOOTSTRAPS);
    out->difference = interval(shares(total, CANDIDATE) - shares(total, INCUMBENT), draws + 3 * BOOTSTRAPS);
    free(draws);
    free(list);
}
