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

/* Column generation, for programmes with too many columns to write down: when the columns at hand cannot satisfy the
 * constraints, `more` is given a proof of it, y (m) with y · b > 0 and y · (column) <= 0 for each of them (Farkas' lemma), so that
 * only a column with y · column > 0 can help. It writes one such, with its cost, and returns true; or returns false: there is
 * none, and the programme is infeasible. The columns that it adds are numbered from n on, and at most `most`. */
typedef struct simplex_columns {
    bool (*more)(void *context, const double *y, double *column, double *cost);
    void *context;
    size_t most;
} simplex_columns;

/* A: m × n, row-major; b: m, each >= 0; c: n. Solved: writes x, of n and as many as were added. columns: NULL: those given
 * are all. Redundant rows are fine. Scratch: (m + 2) × (n + most + m + 1) doubles from the heap. */
simplex_end simplex_maximise(const double *A, const double *b, const double *c, size_t m, size_t n,
                             const simplex_columns *columns, double *x);

#endif
