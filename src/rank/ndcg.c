#include "rank/ndcg.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

double ndcg_gain_of(ndcg_gain gain, float label) {
    if (!(label > 0)) return 0;
    return gain == NDCG_EXPONENTIAL ? exp2((double)label) - 1 : (double)label;
}

double ndcg_discount(size_t rank) { return 1 / log2((double)rank + 1); }

/* ---- Order ----------------------------------------------------------------------------------------------------- */

/* A number that is smaller for a better score; −0 equals 0. */
static uint32_t descending(float score) {
    uint32_t bits;
    if (isnan(score)) return UINT32_MAX;
    score += 0.0f;
    memcpy(&bits, &score, sizeof bits);
    return bits & 0x80000000u ? bits : 0x7FFFFFFFu - bits;
}

static void insertion_sort(uint64_t *keys, size_t n) {
    for (size_t i = 1; i < n; i++) {
        uint64_t key = keys[i];
        size_t at = i;
        for (; at && keys[at - 1] > key; at--) keys[at] = keys[at - 1];
        keys[at] = key;
    }
}

static void merge_runs(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b, uint64_t *out) {
    size_t i = 0, j = 0;
    while (i < n_a && j < n_b) {
        bool second = b[j] < a[i];
        *out++ = second ? b[j] : a[i];
        j += second;
        i += !second;
    }
    memcpy(out, a + i, (n_a - i) * sizeof *a);
    memcpy(out + (n_a - i), b + j, (n_b - j) * sizeof *b);
}

/* Score and row in one number: the keys are distinct, so that every way of sorting them gives the same order. */
void ndcg_order(const float *scores, size_t n, uint64_t *scratch, uint32_t *order) {
    enum { RUN = 16 };
    assert(n <= UINT32_MAX);
    uint64_t *keys = scratch, *other = scratch + n;
    for (size_t i = 0; i < n; i++) keys[i] = (uint64_t)descending(scores[i]) << 32 | i;
    for (size_t i = 0; i < n; i += RUN) insertion_sort(keys + i, n - i < RUN ? n - i : RUN);
    for (size_t width = RUN; width < n; width *= 2) {
        for (size_t i = 0; i < n; i += 2 * width) {
            size_t n_a = n - i < width ? n - i : width, n_b = n - i - n_a < width ? n - i - n_a : width;
            merge_runs(keys + i, n_a, keys + i + n_a, n_b, other + i);
        }
        uint64_t *swap = keys;
        keys = other;
        other = swap;
    }
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)keys[i];
}

/* ---- NDCG ------------------------------------------------------------------------------------------------------ */

static double row_gain(const rank_rows *rows, const ndcg_options *o, size_t row) {
    double gain = ndcg_gain_of(o->gain, rows->label[row]);
    return o->weighted && rows->weight ? gain * (double)rows->weight[row] : gain;
}

static size_t largest_group(const rank_rows *rows) {
    size_t most = 0;
    for (size_t g = 0; g < rows->n_groups; g++) {
        size_t n = rows->first[g + 1] - rows->first[g];
        if (n > most) most = n;
    }
    return most;
}

static int by_gain(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x < y) - (x > y);
}

void ndcg_ideals(const rank_rows *rows, const ndcg_options *o, double *ideal) {
    double *gains = mem_alloc((largest_group(rows) + 1) * sizeof *gains);
    for (size_t g = 0; g < rows->n_groups; g++) {
        size_t n = 0;
        for (size_t row = rows->first[g]; row < rows->first[g + 1]; row++) {
            double gain = row_gain(rows, o, row);
            if (gain > 0) gains[n++] = gain;
        }
        qsort(gains, n, sizeof *gains, by_gain);
        if (o->cutoff && n > o->cutoff) n = o->cutoff;
        ideal[g] = 0;
        for (size_t i = 0; i < n; i++) ideal[g] += gains[i] * ndcg_discount(i + 1);
    }
    free(gains);
}

static double group_value(const rank_rows *rows, const ndcg_options *o, size_t g, const uint32_t *order, double ideal) {
    size_t first = rows->first[g], n = rows->first[g + 1] - first;
    double dcg = 0;
    if (o->cutoff && n > o->cutoff) n = o->cutoff;
    for (size_t i = 0; i < n; i++) {
        double gain = row_gain(rows, o, first + order[i]);
        if (gain > 0) dcg += gain * ndcg_discount(i + 1);
    }
    return dcg / ideal;
}

double ndcg_group_weight(const rank_rows *rows, const ndcg_options *o, size_t g) {
    double own = rows->group_weight ? (double)rows->group_weight[g] : 1, gains = 0, weighed = 0;
    if (!o->weighted || !rows->weight) return own;
    for (size_t i = rows->first[g]; i < rows->first[g + 1]; i++) {
        double gain = ndcg_gain_of(o->gain, rows->label[i]);
        gains += gain;
        weighed += gain * (double)rows->weight[i];
    }
    return gains > 0 ? own * weighed / gains : own;
}

double ndcg_mean_of(const rank_rows *rows, const float *scores, const ndcg_options *o, const double *ideal, double *values) {
    size_t most = largest_group(rows);
    uint64_t *scratch = mem_alloc((2 * most + 1) * sizeof *scratch);
    uint32_t *order = mem_alloc((most + 1) * sizeof *order);
    double sum = 0, weights = 0;
    for (size_t g = 0; g < rows->n_groups; g++) {
        double value = o->empty == NDCG_EMPTY_ONE ? 1 : 0, weight = ndcg_group_weight(rows, o, g);
        bool counts = ideal[g] > 0 || o->empty != NDCG_EMPTY_OUT;
        if (ideal[g] > 0) {
            ndcg_order(scores + rows->first[g], rows->first[g + 1] - rows->first[g], scratch, order);
            value = group_value(rows, o, g, order, ideal[g]);
        }
        if (values) values[g] = counts ? value : (double)NAN;
        if (!counts) continue;
        sum += weight * value;
        weights += weight;
    }
    free(scratch);
    free(order);
    return weights > 0 ? sum / weights : (double)NAN;
}

double ndcg_mean(const rank_rows *rows, const float *scores, const ndcg_options *o, double *values) {
    double *ideal = mem_alloc((rows->n_groups + 1) * sizeof *ideal);
    ndcg_ideals(rows, o, ideal);
    double mean = ndcg_mean_of(rows, scores, o, ideal, values);
    free(ideal);
    return mean;
}
