/* Between training and scoring of click models. */
#ifndef EVALUATE_CLICK_MODELS_INTERNAL_H
#define EVALUATE_CLICK_MODELS_INTERNAL_H

#include "evaluate/click_models.h"

struct click_model {
    click_kind kind;
    uint32_t n_pairs;
    double *a, *s;               /* by pair; s also for "cascade": 1 */
    double mean_a, mean_s;       /* of a pair never seen */
    double gamma;
    double p[CLICK_MAX_RANKS];   /* chance to be looked at, or by "rate" to be clicked */
    uint32_t iterations;
};

double click_limit(double chance); /* within [CLICK_LEAST, 1 − CLICK_LEAST] */
forage_status click_pages_check(const click_pages *pages, uint32_t n_pairs, base_error *error); /* UINT32_MAX: any pair */

#endif
