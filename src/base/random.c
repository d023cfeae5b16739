#include "base/random.h"

#include <math.h>
#include <sys/random.h>
#include <time.h>

/* SplitMix64 spreads a seed over the state, as the generator's authors advise. */
static uint64_t splitmix(uint64_t *x) {
    uint64_t z = (*x += 0x9E3779B97F4A7C15u);
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
    z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
    return z ^ (z >> 31);
}

void random_seed(random_source *r, uint64_t seed) {
    for (int i = 0; i < 4; i++) r->s[i] = splitmix(&seed);
}

uint64_t random_entropy(void) {
    uint64_t seed;
    if (getrandom(&seed, sizeof seed, 0) == (ssize_t)sizeof seed) return seed;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (uint64_t)now.tv_nsec * 0x9E3779B97F4A7C15u ^ (uint64_t)now.tv_sec;
}

static uint64_t rotate(uint64_t x, int k) { return (x << k) | (x >> (64 - k)); }

uint64_t random_u64(random_source *r) {
    uint64_t *s = r->s, result = rotate(s[1] * 5, 7) * 9, t = s[1] << 17;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotate(s[3], 45);
    return result;
}

uint64_t random_below(random_source *r, uint64_t n) {
    uint64_t reject_below = -n % n; /* 2^64 mod n: values under it would favour small results */
    uint64_t x;
    do x = random_u64(r);
    while (x < reject_below);
    return x % n;
}

double random_double(random_source *r) { return (double)(random_u64(r) >> 11) * 0x1.0p-53; }

double random_normal(random_source *r) {
    double u, v, s;
    do {
        u = 2 * random_double(r) - 1;
        v = 2 * random_double(r) - 1;
        s = u * u + v * v;
    } while (s >= 1 || s == 0);
    return u * sqrt(-2 * log(s) / s);
}

double random_gamma(random_source *r, double shape) {
    if (shape < 1) {
        double u = random_double(r);
        while (u == 0) u = random_double(r);
        return random_gamma(r, shape + 1) * pow(u, 1 / shape);
    }
    double d = shape - 1.0 / 3, c = 1 / sqrt(9 * d);
    for (;;) {
        double x = random_normal(r), v = 1 + c * x;
        if (v <= 0) continue;
        v = v * v * v;
        double u = random_double(r);
        if (u > 0 && log(u) < 0.5 * x * x + d - d * v + d * log(v)) return d * v;
    }
}

double random_beta(random_source *r, double a, double b) {
    double x = random_gamma(r, a), y = random_gamma(r, b);
    return x + y > 0 ? x / (x + y) : 0.5;
}
