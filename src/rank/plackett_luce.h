/* Exploration of order: a ranking drawn from a Plackett–Luce model of scores, with its exact probability.
 *
 * P(ranking) = product over positions i of exp(s_i / T) / sum over what is not yet placed of exp(s_j / T) (Luce
 * 1959, Plackett 1975). Drawn by the Gumbel trick: sorting s_i / T + G_i, G_i standard Gumbel, draws from exactly
 * this (Yellott 1977; Kool, van Hoof & Welling, ICML 2019). Only a window of positions is drawn; before and after it
 * the order stays. The probabilities make the log usable for off-policy estimation and for unbiased learning from
 * positions.
 *
 * Safe for every float: scores are first sorted, and a gap between neighbours of more than PLACKETT_LUCE_GAP
 * temperatures counts as that (the chance of an exchange across it is below 1e-43); an infinite score is finite, at
 * the end of its side; NaN is lowest, below −infinity. The model that is drawn from is the one after this rule, so
 * that the probabilities are exact. Equal scores are equally likely. Pure functions; any thread. */
#ifndef RANK_PLACKETT_LUCE_H
#define RANK_PLACKETT_LUCE_H

#include "base/memory.h"
#include "base/random.h"

#define PLACKETT_LUCE_MAX 1000 /* window */
#define PLACKETT_LUCE_GAP 100.0

typedef struct plackett_luce_config {
    double temperature; /* in units of a score; 0, less or NaN: nothing is drawn */
    uint32_t fixed;     /* positions at the top that stay as they are */
    uint32_t top;       /* positions that exploration may touch, counted from the first; at most fixed + PLACKETT_LUCE_MAX */
    uint32_t shown;     /* length of the prefix whose probability is wanted (the page) */
} plackett_luce_config;

typedef struct plackett_luce_draw {
    double log_propensity; /* of the first `shown` positions, in their order; 0 when nothing was drawn */
    double entropy;        /* of the first open position, in nats: how much is explored */
} plackett_luce_draw;

/* score: n, in the order as ranked (score[0] belongs to the first; it need not fall). order: n, position → index
 * into score, the identity where nothing is drawn. placement: min(n, shown) or NULL; placement[i] = P(this item at i
 * | those before it), 1 outside of the window; the product is the propensity. first: n or NULL; first[i] = P(item i
 * takes the first open position), 1 for a fixed item and 0 below the window. One draw of the generator per item of
 * the window, whatever the scores. O(w log w), w the window. */
plackett_luce_draw plackett_luce_sample(const plackett_luce_config *c, const float *score, size_t n, random_source *random,
                                        uint32_t *order, float *placement, float *first);

/* Log-probability that the same model draws `order` in its first `shown` positions: for another temperature or other
 * scores than those that were shown (importance weights). −INFINITY where the model cannot: the order moves what is
 * fixed, or brings something in from below the window. order: n, a permutation (asserted); score as above, by index. */
double plackett_luce_log_propensity(const plackett_luce_config *c, const float *score, size_t n, const uint32_t *order);

#endif
