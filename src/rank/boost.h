/* Trees by gradients: XGBoost (Chen & Guestrin 2016) grows them, from the first and second derivatives that the caller computes.
 *
 * x is n × n_features, row-major, NaN: missing; XGBoost keeps a copy and its bins (about 9 bytes a value). Every score starts at
 * 0. The same settings, data, gradients and thread count give the same trees. A boost belongs to one thread at a time; the trees
 * are grown by `threads` of them. XGBoost's own messages become log lines. */
#ifndef RANK_BOOST_H
#define RANK_BOOST_H

#include "base/memory.h"
#include "base/status.h"

#define BOOST_MOST_BINS 254 /* with "missing" and "beyond the last", a bin's number fits in a byte */
#define BOOST_MOST_LEAVES 1024
#define BOOST_MOST_DEPTH 12

typedef struct boost_settings {
    uint32_t max_bin;    /* 2 to BOOST_MOST_BINS */
    uint32_t max_leaves; /* 2 to BOOST_MOST_LEAVES, grown where the loss falls most; 0: by depth alone */
    uint32_t max_depth;  /* to BOOST_MOST_DEPTH; 0: unlimited, with max_leaves only */
    double eta;          /* learning rate, (0, 1] */
    double lambda;       /* L2 of a leaf's value, added to its sum of second derivatives */
    double min_child_weight; /* least sum of second derivatives in a leaf */
    double gamma;        /* least fall of the loss for a split */
    double subsample;    /* share of rows a tree sees, (0, 1] */
    double colsample;    /* share of features a tree sees, (0, 1] */
    double colsample_node; /* … and of those, at each split */
    uint64_t seed;
    uint32_t threads;    /* 1 to 256 */
} boost_settings;

void boost_settings_default(boost_settings *s);
forage_status boost_settings_check(const boost_settings *s, base_error *error); /* FORAGE_E_INVALID names the member */

typedef struct boost boost;

/* valid_x: rows that are only scored, n_valid of them; 0: none. */
forage_status boost_create(const boost_settings *settings, uint32_t n_features, const float *x, size_t n,
                           const float *valid_x, size_t n_valid, boost **out, base_error *error);
void boost_destroy(boost *b);

/* Adds a tree. gradient and hessian: n each. Costs one tree's growing and its prediction on both sets. */
forage_status boost_round(boost *b, const float *gradient, const float *hessian, base_error *error);
uint32_t boost_rounds(const boost *b);
const float *boost_scores(const boost *b);       /* n; until the next call */
const float *boost_valid_scores(const boost *b); /* n_valid; NULL when there are none */

/* Keeps the first `rounds` trees (at least 1) and goes on from there. Costs a prediction by all of them. */
forage_status boost_cut(boost *b, uint32_t rounds, base_error *error);

/* Appends the model in XGBoost's own form, UBJSON or JSON. */
forage_status boost_model(const boost *b, bool json, buffer *out, base_error *error);

/* What a model written by boost_model makes of n rows. For tests and reports, not for serving. FORAGE_E_CORRUPT. */
forage_status boost_predict(slice model, uint32_t n_features, const float *x, size_t n, float *scores, base_error *error);

const char *boost_version(void); /* of XGBoost, "1.7.4" */

#endif
