#include "simulate/simulation_measure.h"

#include "base/memory.h"
#include "base/random.h"

#include <math.h>
#include <stdlib.h>

#define PLACES 24
#define REDRAWN 400
#define LEAST_STEPS 100

static void place_evenly(size_t n, size_t places[PLACES]) {
    double first = fmax((double)n / 50, 2), ratio = log((double)n / first) / (PLACES - 1);
    for (size_t g = 0; g < PLACES; g++) places[g] = (size_t)lround(first * exp(ratio * (double)g));
    places[PLACES - 1] = n;
}

/* R at each place. */
static bool fit(const size_t places[PLACES], const double R[PLACES], power_fit *out) {
    double x_mean = 0, y_mean = 0, xx = 0, xy = 0, yy = 0;
    for (size_t g = 0; g < PLACES; g++) {
        if (!(R[g] > 0)) return false;
        x_mean += log((double)places[g]) / PLACES;
        y_mean += log(R[g]) / PLACES;
    }
    for (size_t g = 0; g < PLACES; g++) {
        double x = log((double)places[g]) - x_mean, y = log(R[g]) - y_mean;
        xx += x * x;
        xy += x * y;
        yy += y * y;
    }
    out->exponent = xy / xx;
    out->scale = exp(y_mean - out->exponent * x_mean);
    out->r2 = yy > 0 ? xy * xy / (xx * yy) : 1;
    return true;
}

static void sum_up(const double *increments, const size_t places[PLACES], random_source *r, double R[PLACES]) {
    double sum = 0;
    for (size_t g = 0, from = 0; g < PLACES; from = places[g++]) {
        for (size_t i = from; i < places[g]; i++) sum += increments[r ? from + random_below(r, places[g] - from) : i];
        R[g] = sum;
    }
}

static int by_size(const void *left, const void *right) {
    double a = *(const double *)left, b = *(const double *)right;
    return (a > b) - (a < b);
}

bool measure_power(const double *increments, size_t n, uint64_t seed, power_fit *out) {
    size_t places[PLACES], n_fits = 0;
    double R[PLACES], exponents[REDRAWN];
    random_source r;
    if (n < LEAST_STEPS) return false;
    place_evenly(n, places);
    sum_up(increments, places, NULL, R);
    if (!fit(places, R, out)) return false;
    random_seed(&r, seed);
    for (int i = 0; i < REDRAWN; i++) {
        power_fit again;
        sum_up(increments, places, &r, R);
        if (fit(places, R, &again)) exponents[n_fits++] = again.exponent;
    }
    qsort(exponents, n_fits, sizeof *exponents, by_size);
    bool enough = n_fits >= REDRAWN - REDRAWN / 20;
    out->low = enough ? exponents[n_fits / 40] : NAN;
    out->high = enough ? exponents[n_fits - 1 - n_fits / 40] : NAN;
    return true;
}

static double mean(const double *x, size_t from, size_t to) {
    double sum = 0;
    for (size_t i = from; i < to; i++) sum += x[i];
    return sum / (double)(to - from);
}

bool measure_recovery(const double *reward, size_t drift, size_t end, size_t window, double share, recovery *out) {
    if (!window || drift < window || end < drift + window) return false;
    size_t from = drift > 2 * window ? drift - 2 * window : 0;
    recovery found = {.before = mean(reward, from, drift), .lowest = INFINITY};
    double sum = mean(reward, drift, drift + window) * (double)window;
    for (size_t last = drift + window;; last++) {
        double level = sum / (double)window;
        if (!found.recovered && level < found.lowest) found.lowest = level;
        if (!found.recovered && level >= share * found.before) {
            found.recovered = true;
            found.customers = last - drift;
        }
        if (last == end) break;
        sum += reward[last] - reward[last - window];
    }
    *out = found;
    return true;
}
