/* Interleaving: two rankings in one page, so that what people click on says which ranking is better.
 *
 * Both rankings of a query are drafted into one list. Each shown item carries a credit: what a click on it says for
 * A (above 0) or for B (below 0). Whoever clicks without looking at what is there, at any positions, gives both
 * sides the same in expectation over the draw; that is exact, not approximate, for every pair of rankings. Two equal
 * rankings give 0 to every click.
 *
 * Two ways:
 *     team draft   Radlinski, Kurup & Joachims, CIKM 2008; Chapelle, Joachims, Radlinski & Yue, TOIS 2012. In rounds, a coin
 *                  says which side picks first; a credit is +1 or −1. An item that both sides would pick next is shown for
 *                  neither (Chapelle et al. do so for a common beginning; here anywhere), which takes away coin noise and
 *                  leaves every expectation as it was.
 *     optimised    Radlinski & Craswell, WSDM 2013. The list is drawn from those lists each beginning of which is a
 *                  beginning of A together with one of B. A credit is the linear rank difference (rank_B − rank_A) / L, with
 *                  L the page's length and a rank beyond it counting as L + 1. The probabilities of the lists solve the linear
 *                  programme "the first k items earn 0 in expectation, for every k, and the expected sensitivity is
 *                  greatest": exactly while there are no more than INTERLEAVE_LISTS allowed lists; beyond, over a sample
 *                  of so many, to which what the constraints need is added by column generation. Some pairs have no solution
 *                  (short rankings that share little): a team draft then takes its place, page by page, just as unbiased.
 *
 * Pure functions, deterministic given the generator's state; any thread. */
#ifndef RANK_INTERLEAVE_H
#define RANK_INTERLEAVE_H

#include "base/memory.h"
#include "base/random.h"

#define INTERLEAVE_MAX 100          /* items of a page */
#define INTERLEAVE_OPTIMISED_MAX 20 /* of them drawn by the programme; what follows is drafted with credit 0 */
#define INTERLEAVE_LISTS 64         /* allowed lists that a programme starts with at most */

typedef enum interleave_kind { INTERLEAVE_TEAM_DRAFT = 0, INTERLEAVE_OPTIMISED = 1 } interleave_kind;

typedef struct interleave_page {
    interleave_kind kind;          /* how it was drawn: team draft where a programme was asked for but has no solution */
    uint32_t n;                    /* items; fewer than asked for when the rankings have fewer different ones */
    uint32_t id[INTERLEAVE_MAX];   /* as shown */
    int8_t team[INTERLEAVE_MAX];   /* 1: A's pick, −1: B's, 0: of both, or of one that has nobody left to play against.
                                    * Optimised: the sign of the credit */
    float credit[INTERLEAVE_MAX];  /* within [−1, 1] */
    double propensity;             /* of this very list with these credits, given the rankings (and, where lists were
                                    * sampled, the sample): the sum over all possible lists is 1 */
} interleave_page;

/* Drafts a page of at most `length` items (more than INTERLEAVE_MAX counts as that) from rankings a and b, best first; an id
 * that a ranking names twice counts where it stands first. Both may be longer than the page. Cost of a team draft:
 * O(length × (n_a + n_b)) at worst, under a microsecond for 10 items; optimised besides a linear programme of at most
 * INTERLEAVE_OPTIMISED_MAX + 1 rows and 2 × INTERLEAVE_LISTS columns, for 10 items around 0.05 ms, for 20 around 0.25 ms
 * (`make bench-online`), and 50 kB from the heap. */
void interleave_draw(interleave_kind kind, const uint32_t *a, size_t n_a, const uint32_t *b, size_t n_b, size_t length,
                     random_source *random, interleave_page *out);

/* What a page's rewards say, within [−1, 1], above 0 for A: sum r_i credit_i / max(1, sum |r_i|). reward: one per
 * shown item, clipped to [−1, 1], NaN is 0. Since the divisor does not depend on who is credited, it stays 0 in
 * expectation for whoever clicks without looking. One observation for sequential_add: one per page, when no more
 * rewards are awaited. */
double interleave_outcome(const float *credit, const float *reward, size_t n);

const char *interleave_kind_name(interleave_kind kind); /* "team_draft", "optimised" */

#endif
