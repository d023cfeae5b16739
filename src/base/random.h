/* Seeded randomness: xoshiro256** (Blackman & Vigna 2018) and the distributions the learners draw from.
 * A generator belongs to one thread at a time. */
#ifndef BASE_RANDOM_H
#define BASE_RANDOM_H

#include <stdint.h>

typedef struct random_source {
    uint64_t s[4];
} random_source;

void random_seed(random_source *r, uint64_t seed);
uint64_t random_entropy(void); /* a seed from the operating system */
uint64_t random_u64(random_source *r);
uint64_t random_below(random_source *r, uint64_t n); /* uniform in [0, n), n > 0, unbiased */
double random_double(random_source *r);              /* uniform in [0, 1) */
double random_normal(random_source *r);              /* mean 0, variance 1 */
double random_gamma(random_source *r, double shape); /* scale 1; Marsaglia & Tsang 2000 */
double random_beta(random_source *r, double a, double b);

#endif
