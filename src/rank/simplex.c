#include "rank/simplex.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define NOTHING 1e-10 /* pivots and reduced costs below this are rounding */
#define FEASIBLE 1e-9 /* sum of artificials that counts as none */

/* Rows 0 … m − 1 are the constraints, row m the reduced costs. Columns: n of the programme, room for those to be added, from
 * `artificial` on m of phase one, and the right-hand side. Under the artificials stands the inverse of the basis. */
typedef struct tableau {
    size_t m, n, artificial, width;
    double *t;       /* (m + 1) × width */
    double *cost;    /* of the programme's columns */
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
        if (p->basis[i] < p->artificial) continue;
        const double *r = row_of(p, i);
        size_t best = 0;
        for (size_t j = 1; j < p->n; j++)
            if (fabs(r[j]) > fabs(r[best])) best = j;
        if (fabs(r[best]) > 1e-7) pivot(p, i, best);
    }
}

static void fill(tableau *p, const double *A, const double *b) {
    double *reduced = row_of(p, p->m);
    for (size_t i = 0; i < p->m; i++) {
        double *r = row_of(p, i);
        memcpy(r, A + i * p->n, p->n * sizeof *r);
        r[p->artificial + i] = 1;
        r[p->width - 1] = b[i];
        p->basis[i] = (uint32_t)(p->artificial + i);
        for (size_t j = 0; j < p->n; j++) reduced[j] += r[j]; /* phase one: −sum of artificials, in terms of the others */
        reduced[p->width - 1] += b[i];
    }
}

/* One more column, by phase one's prices y; false: nobody has one. */
static bool add_column(tableau *p, const simplex_columns *columns) {
    double y[SIMPLEX_MAX_ROWS], column[SIMPLEX_MAX_ROWS], *reduced = row_of(p, p->m);
    if (!columns || p->n == p->artificial) return false;
    for (size_t i = 0; i < p->m; i++) y[i] = 1 + reduced[p->artificial + i];
    if (!columns->more(columns->context, y, column, &p->cost[p->n])) return false;
    for (size_t i = 0; i < p->m; i++) {
        double *r = row_of(p, i);
        for (size_t k = 0; k < p->m; k++) r[p->n] += r[p->artificial + k] * column[k];
        reduced[p->n] += y[i] * column[i];
    }
    p->n++;
    return true;
}

/* Phase one: the artificials to 0. */
static simplex_end satisfy(tableau *p, const simplex_columns *columns) {
    do
        if (!improve(p, p->n)) return SIMPLEX_FAILED;
    while (fabs(row_of(p, p->m)[p->width - 1]) > FEASIBLE && add_column(p, columns));
    return fabs(row_of(p, p->m)[p->width - 1]) > FEASIBLE ? SIMPLEX_INFEASIBLE : SIMPLEX_SOLVED;
}

static void phase_two_costs(tableau *p) {
    double *reduced = row_of(p, p->m);
    memset(reduced, 0, p->width * sizeof *reduced);
    memcpy(reduced, p->cost, p->n * sizeof *reduced);
    for (size_t i = 0; i < p->m; i++) {
        if (p->basis[i] >= p->n) continue;
        double factor = reduced[p->basis[i]];
        if (factor == 0) continue;
        const double *r = row_of(p, i);
        for (size_t j = 0; j < p->width; j++) reduced[j] -= factor * r[j];
    }
}

simplex_end simplex_maximise(const double *A, const double *b, const double *c, size_t m, size_t n,
                             const simplex_columns *columns, double *x) {
    assert(m >= 1 && m <= SIMPLEX_MAX_ROWS && n >= 1);
    uint32_t basis[SIMPLEX_MAX_ROWS];
    size_t most = n + (columns ? columns->most : 0);
    tableau p = {.m = m, .n = n, .artificial = most, .width = most + m + 1, .basis = basis, .pivots_left = 50 * (m + most)};
    p.t = mem_zalloc((m + 1) * p.width + most, sizeof *p.t);
    p.cost = p.t + (m + 1) * p.width;
    memcpy(p.cost, c, n * sizeof *c);
    fill(&p, A, b);
    simplex_end end = satisfy(&p, columns);
    if (end != SIMPLEX_SOLVED) goto done;
    drive_out_artificials(&p);
    phase_two_costs(&p);
    if (!improve(&p, p.n)) {
        end = SIMPLEX_FAILED;
        goto done;
    }
    memset(x, 0, p.n * sizeof *x);
    for (size_t i = 0; i < m; i++)
        if (basis[i] < p.n) x[basis[i]] = fmax(0, row_of(&p, i)[p.width - 1]);
done:
    free(p.t);
    return end;
}
