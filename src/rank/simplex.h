/* Small linear programmes: maximise c · x subject to A x = b, x >= 0.
 *
 * The two-phase tableau simplex (Dantzig 1963) with Bland's rule, which cannot cycle. For a few dozen rows and a few
 * hundred columns. Pure; any thread. */
#ifndef RANK_SIMPLEX_H
#define RANK_SIMPLEX_H

#include "base/memory.h"

#define SIMPLEX_MAX_ROWS 64

/* A: m × n, row-major; b: m, each >= 0; c: n. Writes x (n) and returns true, or returns false: no x satisfies the
 * constraints (to 1e-9), the objective has no bound, or the pivots allowed (50 × (m + n)) were used up. Redundant
 * rows are fine. Scratch: (m + 2) × (n + m + 1) doubles from the heap. */
bool simplex_maximise(const double *A, const double *b, const double *c, size_t m, size_t n, double *x);

#endif
