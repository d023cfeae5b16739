/* What a run of rewards tells: how regret grows, and how soon a drift is made good. Numbers only. */
#ifndef SIMULATE_SIMULATION_MEASURE_H
#define SIMULATE_SIMULATION_MEASURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Cumulative regret R(n) = scale n^exponent, fitted by least squares to log R at 24 places spread evenly over log n,
 * from a fiftieth of the run on. low, high: 95 % of 400 fits to series drawn anew, with replacement, between one
 * place and the next. r2: of the fit, in logarithms. */
typedef struct power_fit {
    double exponent, low, high, r2, scale;
} power_fit;
/* increments[i]: what the regret grew by in step i. False when R is not above 0 everywhere, or there are under 100
 * steps: then there is no power law to speak of. low and high are NaN when a twentieth of the drawn series are like
 * that. */
bool measure_power(const double *increments, size_t n, uint64_t seed, power_fit *out);

/* What a drift cost. before: mean reward of the 2 × window customers before it; customers: from the drift to the end
 * of the first window after it whose mean reaches `share` of `before`; lowest: the lowest mean of a window up to
 * there. */
typedef struct recovery {
    double before, lowest;
    size_t customers;
    bool recovered;
} recovery;
/* reward: of each customer; the drift comes before customer `drift`; `end`: one past the last that counts. False
 * when there is not a window on both sides. */
bool measure_recovery(const double *reward, size_t drift, size_t end, size_t window, double share, recovery *out);

#endif
