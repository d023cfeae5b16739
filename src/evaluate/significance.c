/* How sure is a mean, and how sure is a difference? Both by resampling: no distribution is assumed. */
#include "evaluate/metrics.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>

enum { RESAMPLES = 2000, LEAST_TRIALS = 1000, MOST_TRIALS = 10000 };
#define TRIAL_WORK 2e8 /* sign flips that a randomisation test may cost */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double mean_of(const double *values, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += values[i];
    return n ? sum / (double)n : 0;
}

/* Percentile bootstrap (Efron 1979): the middle 95 % of the means of samples drawn with replacement. */
metric_summary metric_summarize(const double *values, size_t n, uint64_t seed) {
    double mean = mean_of(values, n);
    if (n < 2) return (metric_summary){mean, mean, mean, n};
    double *means = mem_alloc(RESAMPLES * sizeof *means);
    random_source random;
    random_seed(&random, seed);
    for (size_t b = 0; b < RESAMPLES; b++) {
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += values[random_below(&random, n)];
        means[b] = sum / (double)n;
    }
    qsort(means, RESAMPLES, sizeof *means, ascending);
    metric_summary s = {mean, means[RESAMPLES / 40], means[RESAMPLES - RESAMPLES / 40 - 1], n};
    free(means);
    return s;
}

/* The share of random sign patterns whose sum is at least as large, the observed pattern counted in. */
static double randomisation_p(const double *differences, size_t n, random_source *random) {
    double observed = 0, scale = 0;
    for (size_t i = 0; i < n; i++) {
        observed += differences[i];
        scale += fabs(differences[i]);
    }
    double least = fabs(observed) - 1e-12 * scale; /* sums of the same numbers in another order are equal */
    size_t trials = (size_t)fmax(LEAST_TRIALS, fmin(MOST_TRIALS, TRIAL_WORK / (double)n)), extreme = 1;
    for (size_t t = 0; t < trials; t++) {
        double sum = 0;
        uint64_t bits = 0;
        for (size_t i = 0; i < n; i++, bits >>= 1) {
            if (i % 64 == 0) bits = random_u64(random);
            sum += bits & 1 ? differences[i] : -differences[i];
        }
        extreme += fabs(sum) >= least;
    }
    return (double)extreme / (double)(trials + 1);
}

metric_comparison metric_compare(const double *a, const double *b, size_t n, uint64_t seed) {
    if (!n) return (metric_comparison){.p = 1};
    double *differences = mem_alloc(n * sizeof *differences);
    random_source random;
    for (size_t i = 0; i < n; i++) differences[i] = a[i] - b[i];
    metric_summary s = metric_summarize(differences, n, seed);
    random_seed(&random, seed + 1);
    double p = randomisation_p(differences, n, &random);
    free(differences);
    return (metric_comparison){s.mean, s.low, s.high, p, n};
}
