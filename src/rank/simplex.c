#include "rank/simplex.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING 1e-10 /* pivots and reduced costs below this are rounding */
#define FEASIBLE 1e-9 /* sum of artificials that counts as none */

/* Rows 0 … m − 1 are the constraints, row m the reduced costs; the last column is the right-hand side. Columns n … n + m − 1 are
 * phase one's artificials. */
typedef struct tableau {
    size_t m, n, width;
    double *t;       /* (m + 1) × width */
    uint32_t *basis; /* column of each row */
    size_t pivots_left;
} tableau;

static double *row_of(const tableau *p, size_t i) { return p->t + i * p->width; }

static void pivot(tableau *p, size_t row, size_t column) {
    double *r = row_of(p, row), by = 1 / r[column];
    for (size_t j = 0; j < p->width; j++) r[j] *= by;
    r[column] = 1;
    for (size_t i = 0; i <= p->m; i++) {
        double *other = row_of(p, i), factor = other[column];
        if (i == row || factor == 0) continue;
        for (size_t j = 0; j < p->width; j++) other[j] -= factor * r[j];
        other[column] = 0;
    }
    p->basis[row] = (uint32_t)column;
}

/* Bland: of the rows that bind first, the one whose basic variable has the least number. m: none binds. */
static size_t leaving(const tableau *p, size_t column) {
    size_t best = p->m;
    double least = INFINITY;
    for (size_t i = 0; i < p->m; i++) {
        const double *r = row_of(p, i);
        if (r[column] <= NOTHING) continue;
        double ratio = fmax(0, r[p->width - 1]) / r[column];
        if (ratio < least - NOTHING || (ratio <= least + NOTHING && best < p->m && p->basis[i] < p->basis[best])) {
            least = fmin(least, ratio);
            best = i;
        }
    }
    return best;
}

/* The column that enters: Dantzig's, of the greatest reduced cost, for speed; after many pivots in a row that gained nothing
 * Bland's, the first, which ends every cycle. `columns`: none. */
static size_t entering(const tableau *p, size_t columns, size_t stuck) {
    const double *cost = row_of(p, p->m);
    size_t best = columns;
    double greatest = NOTHING;
    for (size_t j = 0; j < columns; j++) {
        if (cost[j] <= greatest) continue;
        best = j;
        greatest = cost[j];
        if (stuck > 2 * p->m) break;
    }
    return best;
}

/* Pivots until no reduced cost is above 0 among the first `columns`. */
static bool improve(tableau *p, size_t columns) {
    for (size_t stuck = 0;;) {
        size_t column = entering(p, columns, stuck);
        if (column == columns) return true;
        size_t row = leaving(p, column);
        if (row == p->m || !p->pivots_left--) return false;
        stuck = row_of(p, row)[p->width - 1] > NOTHING ? 0 : stuck + 1;
        pivot(p, row, column);
    }
}

/* An artificial that is still basic, at 0, leaves for any column that has an entry in its row; where there is none, the row is
 * redundant and stays 0 for good. */
static void drive_out_artificials(tableau *p) {
    for (size_t i = 0; i < p->m; i++) {
        if (p->basis[i] < p->n) continue;
        const double *r = row_of(p, i);
        size_t best = 0;
        for (size_t j = 1; j < p->n; j++)
            if (fabs(r[j]) > fabs(r[best])) best = j;
        if (fabs(r[best]) > 1e-7) pivot(p, i, best);
    }
}

static void fill(tableau *p, const double *A, const double *b) {
    double *cost = row_of(p, p->m);
    for (size_t i = 0; i < p->m; i++) {
        double *r = row_of(p, i);
        memcpy(r, A + i * p->n, p->n * sizeof *r);
        r[p->n + i] = 1;
        r[p->width - 1] = b[i];
        p->basis[i] = (uint32_t)(p->n + i);
        for (size_t j = 0; j < p->n; j++) cost[j] += r[j]; /* phase one: −sum of artificials, in terms of the others */
        cost[p->width - 1] += b[i];
    }
}

static void phase_two_costs(tableau *p, const double *c) {
    double *cost = row_of(p, p->m);
    memset(cost, 0, p->width * sizeof *cost);
    memcpy(cost, c, p->n * sizeof *c);
    for (size_t i = 0; i < p->m; i++) {
        if (p->basis[i] >= p->n) continue;
        double factor = cost[p->basis[i]];
        if (factor == 0) continue;
        const double *r = row_of(p, i);
        for (size_t j = 0; j < p->width; j++) cost[j] -= factor * r[j];
    }
}

simplex_end simplex_maximise(const double *A, const double *b, const double *c, size_t m, size_t n, double *x, double *y) {
    assert(m >= 1 && m <= SIMPLEX_MAX_ROWS && n >= 1);
    uint32_t basis[SIMPLEX_MAX_ROWS];
    tableau p = {m, n, n + m + 1, NULL, basis, 50 * (m + n)};
    p.t = mem_zalloc((m + 1) * p.width, sizeof *p.t);
    fill(&p, A, b);
    simplex_end end = SIMPLEX_FAILED;
    const double *cost = row_of(&p, m);
    if (!improve(&p, n)) goto done;
    if (fabs(cost[p.width - 1]) > FEASIBLE) {
        for (size_t i = 0; i < m && y; i++) y[i] = 1 + cost[n + i]; /* phase one's prices, −1 − (reduced cost), turned round */
        end = SIMPLEX_INFEASIBLE;
        goto done;
    }
    drive_out_artificials(&p);
    phase_two_costs(&p, c);
    if (!improve(&p, n)) goto done;
    memset(x, 0, n * sizeof *x);
    for (size_t i = 0; i < m; i++)
        if (basis[i] < n) x[basis[i]] = fmax(0, row_of(&p, i)[p.width - 1]);
    end = SIMPLEX_SOLVED;
done:
    free(p.t);
    return end;
}
