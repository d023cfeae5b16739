/* Small linear programmes: maximise c · x subject to A x = b, x >= 0.
 *
 * The two-phase tableau simplex (Dantzig 1963) with Bland's rule, which cannot cycle. For a few dozen rows and a few
 * hundred columns. Pure; any thread. */
#ifndef RANK_SIMPLEX_H
#define RANK_SIMPLEX_H

#include "base/memory.h"

#define SIMPLEX_MAX_ROWS 64

typedef enum simplex_end {
    SIMPLEX_SOLVED,
    SIMPLEX_INFEASIBLE, /* no x satisfies the constraints, to 1e-9 */
    SIMPLEX_FAILED      /* the objective has no bound, or the pivots allowed (50 × (m + n)) were used up */
} simplex_end;

/* A: m × n, row-major; b: m, each >= 0; c: n. Solved: writes x (n). Infeasible: writes y (m, or NULL), a proof of it:
 * y · b > 0, while y · (column of A) <= 0 for every column, so that only a column above 0 can help (Farkas' lemma; what
 * column generation looks for). Redundant rows are fine. Scratch: (m + 1) × (n + m + 1) doubles from the heap. */
simplex_end simplex_maximise(const double *A, const double *b, const double *c, size_t m, size_t n, double *x,
                             double *y);

#endif
