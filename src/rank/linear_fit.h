/* A linear order for small data: score = sum over features of weight_f × (x_f − center_f); a missing feature adds nothing.
 *
 * Listwise: the cross entropy between the labels' gains and softmax(scores), as shares of a group (ListNet's top-one; Cao, Qin, Liu,
 * Tsai & Li, ICML 2007). Pairwise: the logistic loss of score differences, by pairs of different gain (Burges et al. 2005),
 * averaged within a group. Both times the row's weight, of a pair the winner's; plus l2 / 2 × |w − prior|² in standardised
 * features, that is centred at the median and divided by the spread (interquartile range / 1.349, or the standard deviation
 * where that is 0). Constant features have weight 0. Convex; minimised by L-BFGS (Liu & Nocedal 1989). From the largest
 * l2 of the grid on, a smaller one is taken where its validation NDCG is ahead of the one taken so far (by `standard_errors`). */
#ifndef RANK_LINEAR_FIT_H
#define RANK_LINEAR_FIT_H

#include "rank/ndcg.h"

#define LINEAR_MOST_GRID 16

typedef enum linear_loss { LINEAR_LISTWISE, LINEAR_PAIRWISE } linear_loss;

typedef struct linear_settings {
    linear_loss loss;
    ndcg_gain gain;
    uint32_t cutoff;             /* of the validation's NDCG */
    ndcg_empty empty;
    uint32_t n_grid;
    double l2[LINEAR_MOST_GRID]; /* per group: the loss is a mean over groups */
    double standard_errors;      /* by which a smaller l2 must be ahead on the validation rows, paired by group; 0: any better is taken */
    uint32_t iterations;         /* of L-BFGS, at most */
    double weight_clip;          /* as LambdaMART's */
    const float *prior;          /* n_features weights, of raw features, that the penalty draws to and the search begins at: what is
                                  * believed before. NULL: 0 each */
    /* Called with every step and the share of the grid that is done; false: stop with what there is. NULL: nobody watches. */
    bool (*watch)(void *self, double share);
    void *self;
} linear_settings;

void linear_settings_default(linear_settings *s);
forage_status linear_settings_check(const linear_settings *s, base_error *error);

typedef struct linear_model {
    uint32_t n_features;
    float *weight, *center; /* n_features each, of raw features; owned */
} linear_model;

typedef struct linear_report {
    double l2, train, valid; /* chosen; NDCG; valid NaN without validation rows */
    double loss;             /* at the end, without the penalty */
    uint32_t iterations;     /* over the whole grid */
    double seconds;
} linear_report;

/* Without validation rows (NULL) the first l2 of the grid is taken. FORAGE_E_INVALID as lambdamart_train. Any thread. */
forage_status linear_fit(const rank_rows *train, const rank_rows *valid, const linear_settings *settings, linear_model *out,
                         linear_report *report, base_error *error);
void linear_model_release(linear_model *m);
void linear_score(const linear_model *m, const float *x, size_t n, float *scores);

#endif
