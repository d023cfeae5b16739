/* Between the files of the examination estimator: its table of counts, and what a fit works on. */
#ifndef RANK_EXAMINATION_INTERNAL_H
#define RANK_EXAMINATION_INTERNAL_H

#include "rank/examination.h"

#define NO_CELL UINT32_MAX
#define EXAM_MOST_LEVEL 40

/* A key at one rank. Weights are one over propensities: n = Σ shown w, c = Σ clicks w, n2 = Σ shown w². */
typedef struct exam_cell {
    double n, c, n2;
    uint32_t next; /* of the same key, next deeper rank; NO_CELL: none */
    uint32_t rank; /* from 0 */
} exam_cell;

typedef struct exam_key {
    uint64_t key;
    double shown;   /* impressions that its features are the mean of */
    uint32_t first; /* cell */
} exam_key;

struct examination {
    examination_config config;
    double shown[EXAMINATION_MAX_RANKS], clicks[EXAMINATION_MAX_RANKS]; /* of all keys */
    uint64_t clipped;
    uint32_t level; /* keys are kept whose hash begins with so many zero bits */
    uint32_t *slots; /* open addressing: 1 + number of the key; 0: free */
    size_t n_slots;
    exam_key *keys;
    size_t n_keys, key_room;
    exam_cell *cells;
    size_t n_cells, cell_room;
    float *x; /* n_keys × F */
    size_t x_room;
};

/* The cell of a key and rank (from 0), made when there is none. NULL: the key is not in the sample. */
exam_cell *exam_find(examination *e, uint64_t key, uint32_t rank, uint32_t *key_number);
bool exam_sampled(const examination *e, uint64_t key);
/* Leaves out the keys that are not in the sample at e->level, and keys and cells with fewer than `least` impressions. */
void exam_rebuild(examination *e, double least);
void exam_thin(examination *e); /* raises the level until no more than max_keys are left */
void exam_init(examination *e, const examination_config *config);
void exam_release(examination *e);

typedef struct exam_ordered {
    uint64_t key;
    uint32_t number;
} exam_ordered;
exam_ordered *exam_order(const examination *e); /* ascending by key; the caller frees it */

/* What a fit works on: keys in order of their number, so that sums do not depend on the order of arrival. Weighted counts are
 * brought to their effective size n² / n2 (Kish 1965), rates unchanged. */
typedef struct exam_rows {
    uint32_t K, F;
    size_t n_keys;
    size_t *first;  /* n_keys + 1 */
    uint8_t *rank;  /* from 0 */
    double *n, *c;
    uint64_t *key;
    float *x;       /* n_keys × F */
} exam_rows;
void exam_rows_init(const examination *e, exam_rows *r);
void exam_rows_release(exam_rows *r);

/* What a method finds: theta = log p relative to rank 1, its variance with the prior in, and how much data alone say. */
typedef struct exam_fit {
    double theta[EXAMINATION_MAX_RANKS], variance[EXAMINATION_MAX_RANKS];
    double own[EXAMINATION_MAX_RANKS]; /* precision that data bring to this rank, the others given */
    bool by_pairs; /* a rank that no pairs join with rank 1 is not identified */
    uint32_t iterations;
} exam_fit;

void exam_fit_harvest(const examination_config *c, const exam_rows *r, exam_fit *f);
void exam_fit_all_pairs(const examination_config *c, const exam_rows *r, exam_fit *f);
void exam_fit_ratios(const examination_config *c, const exam_rows *r, bool pivot, exam_fit *f); /* or adjacent */
void exam_fit_em(const examination_config *c, const exam_rows *r, exam_fit *f);

double exam_prior_theta(const examination_config *c, uint32_t rank);              /* from 0 */
double exam_prior_variance(const examination_config *c, uint32_t a, uint32_t b); /* of theta_b − theta_a, a < b, from 0 */
/* Adds the prior's precision matrix of theta_1 … theta_{K−1} (rank 1 left out) to A, whose rows are `stride` long. */
void exam_prior_precision(const examination_config *c, double *A, size_t stride);

/* ---- Small dense matrices, row-major n × n ---- */

/* A becomes its lower Cholesky factor. A pivot that rounding made too small is replaced, as if a little more were known. */
void exam_cholesky(double *A, size_t n);
void exam_solve(const double *L, size_t n, double *b); /* b becomes A⁻¹ b */
/* diagonal[i] of the larger of A⁻¹ and A⁻¹ B A⁻¹, element by element; L: A's factor. */
void exam_variances(const double *L, const double *B, size_t n, double *diagonal);

#endif
