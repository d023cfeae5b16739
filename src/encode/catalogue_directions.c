/* The strongest directions of a sparse matrix: block subspace iteration on XᵀX with Rayleigh–Ritz at the end (Halko, Martinsson &
 * Tropp 2011; Saad 2011, ch. 5). A row's product with the basis is made and used up at once: no matrix as long as the rows. */
#include "encode/catalogue_model.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define OVER 16       /* directions beyond those wanted: they take what converges last */
#define ITERATIONS 6
#define SWEEPS 12     /* of Jacobi's method */

/* out = Xᵀ X basis. */
static void multiply(const catalogue_matrix *m, uint32_t k, const float *basis, float *out) {
    float *y = mem_alloc(k * sizeof *y);
    memset(out, 0, (size_t)m->n_columns * k * sizeof *out);
    for (uint32_t row = 0; row < m->n_rows; row++) {
        memset(y, 0, k * sizeof *y);
        for (uint64_t e = m->first[row]; e < m->first[row + 1]; e++) {
            const float *from = basis + (size_t)m->column[e] * k;
            float value = m->value[e];
            for (uint32_t d = 0; d < k; d++) y[d] += value * from[d];
        }
        for (uint64_t e = m->first[row]; e < m->first[row + 1]; e++) {
            float *to = out + (size_t)m->column[e] * k, value = m->value[e];
            for (uint32_t d = 0; d < k; d++) to[d] += value * y[d];
        }
    }
    free(y);
}

/* g = aᵀ b; a and b are n × k. */
static void product(const float *a, const float *b, uint32_t n, uint32_t k, double *g) {
    memset(g, 0, (size_t)k * k * sizeof *g);
    for (uint32_t row = 0; row < n; row++, a += k, b += k)
        for (uint32_t i = 0; i < k; i++) {
            double value = (double)a[i];
            if (value == 0) continue;
            for (uint32_t j = 0; j < k; j++) g[(size_t)i * k + j] += value * (double)b[j];
        }
}

/* Columns become orthonormal: Cholesky of aᵀa, twice, as one round loses digits. What is linearly dependent becomes zero. */
static void orthonormalise(float *a, uint32_t n, uint32_t k) {
    double *g = mem_alloc((size_t)k * k * sizeof *g), *row = mem_alloc(k * sizeof *row);
    for (int round = 0; round < 2; round++) {
        product(a, a, n, k, g);
        for (uint32_t j = 0; j < k; j++) { /* lower triangle: g = L Lᵀ */
            double sum = g[(size_t)j * k + j];
            double whole = sum;
            for (uint32_t p = 0; p < j; p++) sum -= g[(size_t)j * k + p] * g[(size_t)j * k + p];
            bool dependent = !(sum > whole * 1e-10);
            double diagonal = dependent ? 0 : sqrt(sum);
            g[(size_t)j * k + j] = diagonal;
            for (uint32_t i = j + 1; i < k; i++) {
                double s = g[(size_t)i * k + j];
                for (uint32_t p = 0; p < j; p++) s -= g[(size_t)i * k + p] * g[(size_t)j * k + p];
                g[(size_t)i * k + j] = dependent ? 0 : s / diagonal;
            }
        }
        for (uint32_t r = 0; r < n; r++) { /* each row x becomes the solution of x' Lᵀ = x */
            float *x = a + (size_t)r * k;
            for (uint32_t j = 0; j < k; j++) {
                double s = (double)x[j];
                for (uint32_t p = 0; p < j; p++) s -= row[p] * g[(size_t)j * k + p];
                row[j] = g[(size_t)j * k + j] > 0 ? s / g[(size_t)j * k + j] : 0;
                x[j] = (float)row[j];
            }
        }
    }
    free(g);
    free(row);
}

/* Eigenvalues to the diagonal of symmetric a, vectors to the columns of v: Jacobi's method. */
static void diagonalise(double *a, double *v, uint32_t k) {
    for (uint32_t i = 0; i < k; i++)
        for (uint32_t j = 0; j < k; j++) v[(size_t)i * k + j] = i == j;
    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        double off = 0, all = 0;
        for (uint32_t i = 0; i < k; i++)
            for (uint32_t j = 0; j < k; j++) {
                double square = a[(size_t)i * k + j] * a[(size_t)i * k + j];
                all += square;
                off += i == j ? 0 : square;
            }
        if (off <= all * 1e-20) return;
        for (uint32_t p = 0; p + 1 < k; p++)
            for (uint32_t q = p + 1; q < k; q++) {
                double apq = a[(size_t)p * k + q];
                if (apq == 0) continue;
                double theta = (a[(size_t)q * k + q] - a[(size_t)p * k + p]) / (2 * apq);
                double t = (theta >= 0 ? 1 : -1) / (fabs(theta) + sqrt(theta * theta + 1)), c = 1 / sqrt(t * t + 1), s = t * c;
                for (uint32_t i = 0; i < k; i++) {
                    double x = a[(size_t)i * k + p], y = a[(size_t)i * k + q];
                    a[(size_t)i * k + p] = c * x - s * y;
                    a[(size_t)i * k + q] = s * x + c * y;
                }
                for (uint32_t i = 0; i < k; i++) {
                    double x = a[(size_t)p * k + i], y = a[(size_t)q * k + i];
                    a[(size_t)p * k + i] = c * x - s * y;
                    a[(size_t)q * k + i] = s * x + c * y;
                    double vx = v[(size_t)i * k + p], vy = v[(size_t)i * k + q];
                    v[(size_t)i * k + p] = c * vx - s * vy;
                    v[(size_t)i * k + q] = s * vx + c * vy;
                }
            }
    }
}

/* Within the space of `q`: its directions in the order of strength. */
static void rotate(const catalogue_matrix *m, uint32_t wide, uint32_t k, const float *q, float *scratch, float *basis, float *strength) {
    double *g = mem_alloc((size_t)wide * wide * sizeof *g), *v = mem_alloc((size_t)wide * wide * sizeof *v);
    uint32_t *order = mem_alloc(wide * sizeof *order);
    multiply(m, wide, q, scratch);
    product(q, scratch, m->n_columns, wide, g);
    for (uint32_t i = 0; i < wide; i++)
        for (uint32_t j = 0; j < i; j++)
            g[(size_t)i * wide + j] = g[(size_t)j * wide + i] = (g[(size_t)i * wide + j] + g[(size_t)j * wide + i]) / 2;
    diagonalise(g, v, wide);
    for (uint32_t i = 0; i < wide; i++) {
        uint32_t at = i;
        for (; at > 0 && g[(size_t)order[at - 1] * wide + order[at - 1]] < g[(size_t)i * wide + i]; at--) order[at] = order[at - 1];
        order[at] = i;
    }
    for (uint32_t d = 0; d < k; d++) strength[d] = (float)fmax(g[(size_t)order[d] * wide + order[d]], 0);
    for (uint32_t row = 0; row < m->n_columns; row++)
        for (uint32_t d = 0; d < k; d++) {
            double sum = 0;
            for (uint32_t j = 0; j < wide; j++) sum += (double)q[(size_t)row * wide + j] * v[(size_t)j * wide + order[d]];
            basis[(size_t)row * k + d] = (float)sum;
        }
    free(g);
    free(v);
    free(order);
}

bool catalogue_directions(const catalogue_matrix *m, uint32_t k, uint64_t seed, bool (*proceed)(void *, double), void *context,
                          float *basis, float *strength) {
    uint32_t wide = k + OVER;
    size_t cells = (size_t)m->n_columns * wide;
    float *q = mem_alloc(cells * sizeof *q), *next = mem_alloc(cells * sizeof *next);
    random_source r;
    random_seed(&r, seed);
    for (size_t i = 0; i < cells; i++) q[i] = (float)(random_double(&r) - 0.5);
    bool going = true;
    for (int i = 0; i < ITERATIONS && going; i++) {
        orthonormalise(q, m->n_columns, wide);
        multiply(m, wide, q, next);
        float *swap = q;
        q = next;
        next = swap;
        going = !proceed || proceed(context, (i + 1) / (double)(ITERATIONS + 2));
    }
    if (going) {
        orthonormalise(q, m->n_columns, wide);
        rotate(m, wide, k, q, next, basis, strength);
    }
    free(q);
    free(next);
    return going;
}
