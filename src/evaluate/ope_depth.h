/* Off-policy evaluation of depth vectors: a decision draws a level for each strategy independently, so its propensity
 * factors, and an estimator need not pay for all strategies at once.
 *
 * | weight of a row | assumes | source |
 * | --- | --- | --- |
 * | product: prod over s of w_s | nothing | |
 * | additive: sum over s of w_s - S + 1 | strategies add their parts to the reward | the pseudo-inverse estimator of
 *   Swaminathan et al. 2017, in closed form for a product logger (Vlassis et al. 2021) |
 * | inclusion, for each engaged document | a document that is among the candidates is engaged with in the same way,
 *   whatever else is there | below |
 *
 * with w_s = pi_s(l_s) / mu_s(l_s). Inclusion: a document is among the candidates when some strategy s was asked down
 * to its rank rho_s. If all ranks were known, its weight would be P_pi(included) / P_mu(included), with P(included) =
 * 1 - prod over s of P(d_s < rho_s); so it is where the log holds what every strategy would have had
 * (record_event.ranks). A page's own ranks know rho_s only for the strategies that found it: rank 0 says "deeper than it
 * was asked". Taking that as "nowhere" would make P_mu too small where another level would have found the
 * document too, and the estimate too large or too small as the target asks for more or less of it. So only what is
 * known is used: put the strategies in an order that does not depend on what was drawn, and let j be the first that
 * found the document; then
 *
 *     weight = P_pi(d_j >= rho_j) / P_mu(d_j >= rho_j) × product over s before j of w_s
 *
 * has exactly the mean P_pi(included) over the logger's draws: those before j did not find it, and w_s moves that
 * event's probability to the target's; those after j do not matter. Strategies whose weights vary least come first, so
 * the wildest are seldom needed. */
#ifndef EVALUATE_OPE_DEPTH_H
#define EVALUATE_OPE_DEPTH_H

#include "base/memory.h"

#define OPE_MAX_STRATEGIES 32
#define OPE_MAX_LEVELS 8

/* One logged decision and what the target would have done. Each row of both distributions sums to 1. */
typedef struct ope_decision {
    uint32_t n_strategies, n_levels;
    uint32_t level[OPE_MAX_STRATEGIES]; /* drawn */
    float logging[OPE_MAX_STRATEGIES][OPE_MAX_LEVELS];
    float target[OPE_MAX_STRATEGIES][OPE_MAX_LEVELS];
    uint32_t depth[OPE_MAX_STRATEGIES][OPE_MAX_LEVELS]; /* candidates asked for at each level */
} ope_decision;

/* w_s; 0 when the log gives the drawn level no chance, which a sound log never does. */
double ope_level_weight(const ope_decision *d, uint32_t strategy);
double ope_product_weight(const ope_decision *d);
double ope_additive_weight(const ope_decision *d);

/* The target's probability of at least one level that the logger never draws. */
double ope_missing_support(const ope_decision *d);

/* The weight of a document engaged with; ranks: n_strategies, from 1, 0 when the strategy did not return it. 0 when no
 * strategy found it (it came from elsewhere). */
double ope_inclusion_weight(const ope_decision *d, const uint32_t *ranks);

/* P(included) under both, when all ranks are known; a rank beyond every depth, or 0, is "never". */
void ope_inclusion(const ope_decision *d, const uint32_t *ranks, double *target, double *logging);

#endif
