/* Off-policy evaluation: what would another policy have earned, going by what one policy did and logged?
 *
 * n rows of logged bandit data (x_i, a_i, r_i): what was done with which probability, and what it earned. The target
 * policy is given by w_i = pi(a_i | x_i) / mu(a_i | x_i), its probability of the logged action over the logger's. A
 * reward model may help: q(x_i, a_i), and q(x_i, pi) = sum over a of pi(a | x_i) q(x_i, a).
 *
 * | kind | estimate, the mean over i of | source |
 * | --- | --- | --- |
 * | IPS | w r | Horvitz & Thompson 1952 |
 * | SNIPS | w r / mean(w) | Swaminathan & Joachims 2015 |
 * | DM | q(x, pi) | |
 * | DR | q(x, pi) + w (r - q(x, a)) | Dudik, Langford & Li 2011; Dudik et al. 2014 |
 * | SWITCH_DR | as DR with w where w <= tau, else 0 | Wang, Agarwal & Dudik 2017 |
 * | DROS | as DR with lambda w / (w^2 + lambda) | Su, Dimakopoulou, Krishnamurthy & Dudik 2020 |
 *
 * Nothing here keeps state: any function from any thread. */
#ifndef EVALUATE_OPE_H
#define EVALUATE_OPE_H

#include "base/memory.h"
#include "base/status.h"

#include <math.h>

typedef struct ope_model ope_model;

typedef struct ope_data {
    size_t n;
    const double *reward;    /* n */
    const double *weight;    /* n: w; of the additive estimator it may be negative */
    const double *predicted; /* n: q(x_i, a_i); NULL: no reward model, then only IPS and SNIPS */
    const double *expected;  /* n: q(x_i, pi); NULL when `predicted` is */
    const double *missing;   /* n: the target's probability of actions that the logger never took; NULL: unknown */
    const ope_model *model;  /* that made the predictions, so that intervals know its error; NULL: they do not */
} ope_data;

/* Checks what comes from outside: probabilities are in [0, 1], and an action that was logged had one above 0.
 * FORAGE_E_INVALID names the row (from 1). */
forage_status ope_weigh(const double *target, const double *logging, size_t n, double *weight, base_error *error);
/* target, model: n × n_actions, row-major; action: n. Each row of `target` sums to 1 within 1e-3 and is used as if it
 * did exactly. FORAGE_E_INVALID. */
forage_status ope_expect(const double *target, const double *model, const uint32_t *action, size_t n,
                         uint32_t n_actions, double *predicted, double *expected, base_error *error);

typedef enum ope_kind { OPE_IPS, OPE_SNIPS, OPE_DM, OPE_DR, OPE_SWITCH_DR, OPE_DROS, OPE_KINDS } ope_kind;
extern const char *const ope_kind_names[OPE_KINDS]; /* "ips", "snips", "dm", "dr", "switch-dr", "dros" */

/* How tau and lambda are found when they are not given. MSE: the least estimated variance + bias^2 (Su et al. 2020;
 * the bias is estimated by the correction that shrinking took away). SLOPE: the most shrunk whose interval still meets
 * those of all less shrunk ones (Su, Srinath & Krishnamurthy 2020, with the factor of Tucker & Lee 2021). */
typedef enum ope_tuning { OPE_TUNE_MSE, OPE_TUNE_SLOPE } ope_tuning;

/* NORMAL: asymptotic, value +- 1.96 standard errors. A ratio's error is linearised (delta method); those that use less
 * than the whole weight (DM, SWITCH_DR, DROS) add the estimate of their bias in squares; the error of the model that
 * is fitted here (ope_model.h) is part of it. BOOTSTRAP: the middle 95 % of resampled rows, without bias and model. */
typedef enum ope_interval { OPE_NORMAL, OPE_BOOTSTRAP } ope_interval;

typedef struct ope_options {
    ope_tuning tuning;
    ope_interval interval;
    double tau, lambda; /* NAN: tuned */
    uint64_t seed;      /* of the bootstrap */
} ope_options;
#define OPE_DEFAULTS ((ope_options){.tau = NAN, .lambda = NAN, .seed = 42})

enum {
    OPE_NO_SUPPORT = 1,    /* the target does what the logger never did */
    OPE_WEIGHTS_OFF = 2,   /* the mean weight is not 1: propensities are wrong, or support is missing */
    OPE_FEW_EFFECTIVE = 4, /* the weights' effective sample size is below 100, or below 1 % of the rows */
    OPE_ONE_RULES = 8,     /* one row has more than a tenth of the weight */
    OPE_NO_REWARD = 16,    /* nothing was ever earned */
    OPE_MODEL_UNKNOWN = 32, /* DM of predictions made elsewhere: the interval does not know the model's error */
    OPE_MODEL_ALONE = 64    /* as FEW_EFFECTIVE, where a model fills what the weights lack */
};
#define OPE_WARNINGS 7
#define OPE_FEWEST_EFFECTIVE 100
#define OPE_MOST_MISSING 1e-3

typedef struct ope_estimate {
    const char *name;
    double value, low, high;  /* 95 % */
    double deviation;         /* standard error */
    double effective;         /* sum(w)^2 / sum(w^2) (Kish 1965), of the weights as used; DM: n */
    double max_weight;
    double mean_weight, worth, missing; /* as the warnings saw them: of the weights before any shrinking; worth is
                                           their effective sample size */
    double parameter;         /* tau or lambda as used (may be infinite); NAN for the others */
    size_t n;
    unsigned warnings;
} ope_estimate;

/* Fills out[kind] for every kind that the data allows and returns how many: OPE_KINDS, or 2 without predictions.
 * FORAGE_E_INVALID names the row and member that is no finite number; FORAGE_E_INVALID when n is 0, or tau or lambda
 * is below 0. On an error nothing is written. */
forage_status ope_estimate_all(const ope_data *data, const ope_options *options, ope_estimate out[OPE_KINDS],
                               size_t *count, base_error *error);
forage_status ope_estimate_one(const ope_data *data, ope_kind kind, const ope_options *options, ope_estimate *out,
                               base_error *error);

/* The mean of a column, or with `ratio` sum(value) / sum(ratio), with its interval: what every estimator ends in.
 * `weight` is for the diagnostics (NULL: no weights). */
ope_estimate ope_summarize(const char *name, const double *value, const double *ratio, const double *weight, size_t n,
                           const ope_options *options);

/* One sentence for each warning, without a full stop; i from 0. False after the last. */
bool ope_warning(const ope_estimate *e, unsigned i, buffer *out);

#endif
