/* The reward model of off-policy evaluation: what would this request have earned with other depths?
 *
 * q(x, l) = theta_0 . x_0 + sum over strategies s with l_s > 0 of theta_(s, l_s) . x_s: every strategy adds its part,
 * so its mean over a policy that draws the strategies' levels independently has a closed form. Ridge regression; the
 * penalty is chosen by cross-validation among 1, 10, 100 and 1,000. A bandit with K actions is one strategy with K
 * levels. Each row is predicted by a model that has not seen it (five folds; Chernozhukov et al. 2018). */
#ifndef EVALUATE_OPE_MODEL_H
#define EVALUATE_OPE_MODEL_H

#include "base/memory.h"

#define OPE_MODEL_MAX_LEVELS 256
#define OPE_MODEL_WEIGHTS 512 /* at most about; with more strategies and levels each part sees fewer features */

/* Whoever fills it owns the arrays. Features that are not finite count as 0. */
typedef struct ope_rows {
    size_t n;
    uint32_t n_strategies, n_levels, n_features;
    float *x;       /* n × strategies × features; feature 0 is 1; those of the first strategy stand for the query */
    uint8_t *level; /* n × strategies: drawn */
    float *target;  /* n × strategies × levels: the target's distribution */
    double *reward; /* n */
} ope_rows;

typedef struct ope_model ope_model;

/* `rows` must outlive the model. About n × (strategies × features)^2 / 2 multiplications and a few of 512^3. */
ope_model *ope_model_fit(const ope_rows *rows);
void ope_model_destroy(ope_model *m); /* NULL is a no-op */

const double *ope_model_predicted(const ope_model *m); /* n: of the levels drawn */
const double *ope_model_expected(const ope_model *m);  /* n: mean over the target's levels */

/* Adds to y what each row's reward does, through theta, to the mean of expected + weight × (reward - predicted): with
 * it the spread of y holds the model's error too. */
void ope_model_add_influence(const ope_model *m, const double *weight, double *y);

#endif
