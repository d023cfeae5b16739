/* Is one side better, looked at after every observation? Inference that stays valid however often one looks and
 * whenever one stops.
 *
 * Observations are bounded and come one by one; each has, given everything before it, the same unknown mean mu. What
 * is computed is a confidence sequence: with probability at least 1 − alpha, mu is within the interval at all times
 * at once. And an e-value for "mu = m": a nonnegative supermartingale that starts at 1 if that is so, hence by
 * Ville's inequality ever above 1 / alpha with probability at most alpha. No distribution is assumed, and nothing is
 * asymptotic.
 *
 * Source: betting confidence sequences (Waudby-Smith & Ramdas, JRSS B 2024): whoever bets that the mean is above m, at most a
 * share b of their wealth, has, with observations y in [0, 1] after scaling,
 *     W_t(m, b) = product over i of (1 + b (y_i − m) min(1 / m, 2)),
 * a supermartingale if the mean is at most m; against 1 − y and 1 − m for "below". Instead of the product, which would need
 * all observations for each m, its lower bound by log(1 + u) >= u − u²/2 + u³/3 − C(b) u⁴ for u >= −b, with C(b) = sum over
 * j >= 4 of b^(j−4) / j (the remainder of Taylor's series grows with u, as in Fan, Grama & Liu 2015 for the square). The sums of
 * the first four powers of y then are the whole state, for every m. Bets are mixed: M_t(m) = the mean of the bounds over
 * b_k = .9 × 2^(−k/2), k = 0 … 19 (a discrete mixture: Howard, Ramdas, McAuliffe & Sekhon 2021, theorem 2). The interval is
 * { m : neither direction's M_t(m) is 2 / alpha or more }; W falls with m, so that what is rejected is all of one side.
 * e_t = max(M_t above, M_t below) / 2 at the null.
 *
 * A struct in place, copied freely; its owner guards it. */
#ifndef RANK_SEQUENTIAL_H
#define RANK_SEQUENTIAL_H

#include "base/memory.h"
#include "base/status.h"

#define SEQUENTIAL_STATE_SIZE 119 /* bytes that sequential_save appends */

typedef enum sequential_verdict { SEQUENTIAL_OPEN = 0, SEQUENTIAL_A = 1, SEQUENTIAL_B = -1 } sequential_verdict;

typedef struct sequential {
    double low, high, alpha; /* range of an observation, level */
    uint64_t n;              /* observations */
    double sum[4];           /* of d, d², d³, d⁴; d = y less the scaled null */
    double null;             /* the mean in question; 0 unless set before the first observation */
    double greatest;         /* log of the greatest e-value for `null` so far */
    sequential_verdict verdict; /* A: the mean is above `null`. Stands once it is reached */
    uint64_t decided_at;     /* observations at that time; 0: open */
    double decided_low, decided_high; /* the interval at that time */
} sequential;

/* low < high, both finite, low <= 0 <= high; alpha in (0, .5]. Asserted. */
void sequential_init(sequential *s, double low, double high, double alpha);

/* One observation, clipped to the range; NaN is passed over. Around 0.3 µs. */
void sequential_add(sequential *s, double x);

typedef struct sequential_result {
    uint64_t n;
    double mean, low, high; /* the estimate and the interval now, within the range; n = 0: null, and the whole range */
    double e, p;            /* e-value now (at most 1e300) and the always-valid p, 1 / the greatest e so far, at most 1 */
    sequential_verdict verdict;
    uint64_t decided_at;
} sequential_result;

/* Interval by bisection to 1e-9 of the range, around 25 µs. */
sequential_result sequential_ask(const sequential *s);

/* Two arms, by random assignment: unit i goes to A with probability p, whatever happened before, and earns y_i in
 * [0, 1]. Then
 *     z_i = (y_i − y^_i) / p for an A, −(y_i − y^_i) / (1 − p) for a B
 * has the mean mu_A − mu_B whatever y^_i was predicted before i (here the running mean of both arms, which takes
 * away most of the variance that weighting by 1 / p has; the augmented inverse-propensity weighting of Robins,
 * Rotnitzky & Zhao 1994), so that the same machinery holds. What must be true: each unit counts once, its assignment
 * was its own draw, and what it earned was not cut short because of what it earned. Many observations of one person
 * under one assignment are one unit. */
typedef struct sequential_arms {
    sequential difference; /* of z, range ±1 / min(p, 1 − p) */
    double p;
    uint64_t n[2];         /* units of A and B */
    double sum[2];         /* what they earned */
} sequential_arms;

#define SEQUENTIAL_ARMS_SIZE (SEQUENTIAL_STATE_SIZE + 54)

void sequential_arms_init(sequential_arms *s, double p, double alpha); /* p in [.01, .99]; asserted */
void sequential_arms_add(sequential_arms *s, bool is_b, double y);     /* clipped to [0, 1]; NaN is passed over */

/* Does a count of n_a against n_b fit shares of p and 1 − p? Always-valid p by the Dirichlet-multinomial mixture of
 * Lindon & Malek, NeurIPS 2022, for two arms: the e-value B(cp + n_a, c(1 − p) + n_b) / B(cp, c(1 − p)) / p^n_a / (1
 * − p)^n_b, c = 100. Returns its log: evidence at level alpha when it ever was above −log(alpha). */
double sequential_ratio_mismatch(uint64_t n_a, uint64_t n_b, double p);

/* State as bytes: fixed size, versioned, checksummed. A failed load changes nothing: FORAGE_E_VERSION,
 * FORAGE_E_CORRUPT. */
void sequential_save(const sequential *s, buffer *out);
forage_status sequential_load(sequential *s, slice state, base_error *error);
void sequential_arms_save(const sequential_arms *s, buffer *out);
forage_status sequential_arms_load(sequential_arms *s, slice state, base_error *error);

#endif
