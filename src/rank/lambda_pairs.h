/* LambdaMART's pairs: the derivatives of the loss, and the position biases that are learned from its costs. Internal. */
#ifndef RANK_LAMBDA_PAIRS_H
#define RANK_LAMBDA_PAIRS_H

#include "rank/lambdamart.h"

typedef struct lambda_pairs lambda_pairs;

/* `rows` must outlive it and have been checked; `settings` are copied. */
lambda_pairs *lambda_pairs_create(const rank_rows *rows, const lambdamart_settings *settings);
void lambda_pairs_destroy(lambda_pairs *p);

/* gradient and hessian (n_rows each) of the loss at `scores`; groups that the draw leaves out get 0. The draw depends on
 * round_seed alone. With debias, the biases move to those of these pairs afterwards. One call at a time; inside, the settings'
 * threads share the groups, and the result does not depend on how many they are. */
void lambda_pairs_compute(lambda_pairs *p, const float *scores, uint64_t round_seed, float *gradient, float *hessian);
void lambda_pairs_forget(lambda_pairs *p); /* the biases: another bag learns its own */

uint64_t lambda_pairs_count(const lambda_pairs *p);       /* over all calls */
size_t lambda_pairs_informative(const lambda_pairs *p);   /* groups with a pair */
double lambda_pairs_clipped(const lambda_pairs *p);       /* share of the rows with a gain */
/* Biases by position from 1; returns how many positions there are, 0 without debias. */
uint32_t lambda_pairs_biases(const lambda_pairs *p, const float **t_plus, const float **t_minus);

#endif
