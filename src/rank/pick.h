/* Which model? Both are trained on the same rows and compared on the validation rows, group by group. The linear one is taken
 * unless the trees are better by more than `standard_errors` standard errors of the paired difference. */
#ifndef RANK_PICK_H
#define RANK_PICK_H

#include "rank/lambdamart.h"
#include "rank/linear_fit.h"

typedef enum pick_kind { PICK_BEST, PICK_LINEAR, PICK_TREES } pick_kind;

typedef struct pick_settings {
    pick_kind kind; /* which to train */
    lambdamart_settings trees;
    linear_settings linear;
    double standard_errors; /* by which trees must be ahead */
    bool json;              /* the trees as XGBoost's JSON, not UBJSON */
} pick_settings;
void pick_settings_default(pick_settings *s);

typedef struct rank_fit {
    pick_kind kind;        /* of the model taken: PICK_LINEAR or PICK_TREES */
    bool has_linear, has_trees;
    linear_model linear;
    linear_report linear_report;
    buffer trees;          /* XGBoost's bytes */
    lambdamart_report trees_report;
    double difference, standard_error; /* trees − linear, NDCG on the validation rows; NaN unless both were trained */
    size_t compared;       /* groups */
} rank_fit;

/* valid may be NULL unless kind is PICK_BEST. */
forage_status rank_train(const rank_rows *train, const rank_rows *valid, const pick_settings *settings, lambdamart_watch watch,
                         void *self, rank_fit *out, base_error *error);
void rank_fit_release(rank_fit *f);
void rank_fit_json(const rank_fit *f, buffer *out);

/* Scores by the model taken. */
forage_status rank_fit_score(const rank_fit *f, const rank_rows *rows, float *scores, base_error *error);

#endif
