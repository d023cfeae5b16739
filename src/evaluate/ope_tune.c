/* How much to shrink: tau of switch-DR and lambda of DRos, from the data. */
#include "evaluate/ope_internal.h"

#include <stdlib.h>

enum { STEPS = 30 };
#define SLOPE_FACTOR 1.449489742783178 /* sqrt(6) - 1 (Tucker & Lee 2021) */
#define Z95 1.959963984540054

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Candidates from the least shrunk (plain DR) to the most (DM), a geometric ladder over the weights' range. lambda has
 * the unit of a squared weight, and its ladder reaches further out at both ends (Su et al. 2020). */
static size_t ladder(const ope_data *d, ope_kind kind, double out[STEPS + 2]) {
    double *sorted = mem_alloc(d->n * sizeof *sorted);
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++)
        if (d->weight[i] > 0) sorted[n++] = d->weight[i];
    size_t steps = 0;
    out[steps++] = INFINITY;
    if (n) {
        qsort(sorted, n, sizeof *sorted, ascending);
        double low = sorted[n / 20], high = sorted[n - 1 - n / 20];
        if (kind == OPE_SWITCH_DR) high = sorted[n - 1];
        else low = .1 * low * low, high = 100 * high * high;
        for (size_t i = 0; i < STEPS; i++) out[steps++] = high * pow(low / high, (double)i / (STEPS - 1));
    }
    out[steps++] = 0;
    free(sorted);
    return steps;
}

static double least_error(const ope_data *d, ope_kind kind, const double *candidates, size_t n) {
    double best = INFINITY, least = INFINITY;
    for (size_t i = 0; i < n; i++) {
        ope_shrunk s = ope_shrunk_at(d, kind, candidates[i]);
        double error = s.deviation * s.deviation + s.bias * s.bias;
        if (error < least) {
            least = error;
            best = candidates[i];
        }
    }
    return best;
}

/* The most shrunk estimate that no less shrunk one contradicts. */
static double slope(const ope_data *d, ope_kind kind, const double *candidates, size_t n) {
    ope_shrunk at[STEPS + 2];
    for (size_t i = 0; i < n; i++) {
        at[i] = ope_shrunk_at(d, kind, candidates[i]);
        for (size_t j = 0; j < i; j++) {
            double allowed = Z95 * (at[i].deviation + SLOPE_FACTOR * at[j].deviation);
            if (fabs(at[i].value - at[j].value) > allowed) return candidates[i - 1];
        }
    }
    return candidates[n - 1];
}

double ope_tune(const ope_data *d, ope_kind kind, ope_tuning tuning) {
    double candidates[STEPS + 2];
    size_t n = ladder(d, kind, candidates);
    return tuning == OPE_TUNE_SLOPE ? slope(d, kind, candidates, n) : least_error(d, kind, candidates, n);
}
