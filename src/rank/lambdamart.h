/* LambdaMART: trees that raise NDCG (Burges, "From RankNet to LambdaRank to LambdaMART", 2010; as a bound of the metric: Wang, Li,
 * Golbandi, Bendersky & Najork, CIKM 2018).
 *
 * Each pair of rows i, j of a group with gain_i > gain_j pushes i up and j down by sigma × rho, rho = 1 / (1 + exp(sigma (s_i −
 * s_j))), times what exchanging the two would change NDCG: |gain_i − gain_j| × |discount_i − discount_j| / ideal, over the pairs of
 * which at least one is among the first `truncation`. With `normalise`, a pair counts less where the scores are far apart already,
 * and a group's push grows with the logarithm of its size, not with the number of its pairs.
 *
 * Clicks are biased by position. (a) The weight of a row, one over the chance that its position was looked at, multiplies the pairs
 * that it wins (Joachims, Swaminathan & Schnabel, WSDM 2017), clipped at `weight_clip`. (b) With `debias`, the biases t+ of what was
 * clicked and t− of what was not are learned beside the trees, from `position` (Unbiased LambdaMART; Hu, Wang, Peng & Li, WWW
 * 2019): after each round t+_p = (cost of pairs won at p / that at 1)^(1 / (1 + regularisation)), and pairs count by 1 / (t+_i t−_j).
 *
 * Labels: finite, 0 to NDCG_MOST_GRADE (exponential) or NDCG_MOST_REWARD (linear gains). Features: NaN is missing, infinities count as
 * missing. Weights: finite, 0 or more. Training is deterministic given data, settings and threads; gradients do not depend on
 * the threads. */
#ifndef RANK_LAMBDAMART_H
#define RANK_LAMBDAMART_H

#include "format/json.h"
#include "rank/boost.h"
#include "rank/ndcg.h"

#define LAMBDAMART_MOST_ROUNDS 20000
#define LAMBDAMART_MOST_TRUNCATION 1000 /* so that a group costs at most so many times its rows */
#define LAMBDAMART_MOST_BAGS 100
#define LAMBDAMART_MOST_POSITIONS 200 /* biases of positions beyond share the last one's */

typedef struct lambdamart_settings {
    boost_settings trees;
    uint32_t rounds;       /* at most, of each bag */
    uint32_t patience;     /* rounds without a better validation NDCG until a bag ends, cut to its best; 0: never, nothing is cut */
    uint32_t bags;         /* ensembles with seeds of their own, averaged: they need sampling to differ */
    uint32_t truncation;   /* 1 to LAMBDAMART_MOST_TRUNCATION */
    double sigma;          /* steepness of the sigmoid */
    bool normalise;
    ndcg_gain gain;
    uint32_t cutoff;       /* of the NDCG that is watched; 0: none */
    ndcg_empty empty;      /* … and its convention */
    double group_share;    /* share of groups a tree sees, (0, 1] */
    double weight_clip;    /* largest weight of a row; 0: none */
    bool debias;           /* learn position biases */
    double debias_regularisation;
    double seconds;        /* stop then, with what there is; 0: no limit */
    size_t memory_limit;   /* bytes, estimated; FORAGE_E_TOO_LARGE beyond. 0: none */
    uint64_t seed;
} lambdamart_settings;

/* 500 rounds of 16 leaves at rate .05, patience 50, one bag, truncation 30, sigma 1, normalised, exponential gains, NDCG@10, clipped
 * at 10. */
void lambdamart_settings_default(lambdamart_settings *s);
forage_status lambdamart_settings_check(const lambdamart_settings *s, base_error *error);
/* As an object with "trees" (rounds), "leaves", "learning_rate" …; what is written reads back the same. Absent members leave theirs
 * alone; the result has been checked. */
void lambdamart_settings_json(const lambdamart_settings *s, buffer *out);
forage_status lambdamart_settings_read(const json_value *json, lambdamart_settings *s, base_error *error);

typedef struct lambdamart_progress {
    uint32_t bag, round, rounds; /* round of rounds, from 1, of bag (from 0) */
    double train, valid;         /* NDCG; NaN: not known */
} lambdamart_progress;
typedef bool (*lambdamart_watch)(void *self, const lambdamart_progress *p); /* false: stop with what there is */

typedef struct lambdamart_report {
    uint32_t rounds;       /* trees of the model */
    uint32_t bags;         /* finished or begun */
    uint32_t best_round;   /* of the first bag, from 1 */
    double train, valid;   /* NDCG of the model as a whole; valid NaN without validation rows */
    uint32_t n_curve;      /* rounds of the first bag */
    float *train_curve, *valid_curve; /* NDCG after each; valid_curve NULL without validation rows */
    double seconds;
    uint64_t pairs;        /* counted, over all rounds */
    double clipped;        /* share of rows with a gain whose weight was clipped */
    size_t informative;    /* groups in which there is a pair to learn from */
    uint32_t n_positions;  /* learned biases, of the last bag; 0: none */
    float *t_plus, *t_minus; /* by position from 1; t[0] of position 1 is 1 */
    bool cancelled, timed_out;
    uint64_t seed;
    uint32_t threads;
} lambdamart_report;
void lambdamart_report_release(lambdamart_report *r);
void lambdamart_report_json(const lambdamart_report *r, buffer *out);

/* Trains, and appends the model (XGBoost's UBJSON, or its JSON) to `model`. valid and watch may be NULL.
 * FORAGE_E_INVALID: bad settings or rows, or nothing to learn from (no group has rows of different gain). */
forage_status lambdamart_train(const rank_rows *train, const rank_rows *valid, const lambdamart_settings *settings,
                               lambdamart_watch watch, void *self, bool json, buffer *model, lambdamart_report *report,
                               base_error *error);

#endif
