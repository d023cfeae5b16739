/* Reference models of clicks on result pages, to judge an estimate of examination by: how well does it predict held-out pages?
 *
 * Definitions follow Chuklin, Markov & de Rijke, "Click Models for Web Search" (2015). a is the attractiveness of a (query,
 * document) pair, s its power to satisfy.
 *
 *     "pbm"       P(C_r) = p_r a              p and a by EM (Richardson et al. 2007; Craswell et al. 2008)
 *     "curve"     P(C_r) = p_r a              p given, from wherever (rank/examination.h); a by EM
 *     "cascade"   looks on until the first click (Craswell, Zoeter, Taylor & Ramsey, WSDM 2008); a in closed form
 *     "dbn"       after a click satisfied with s, else looks on with gamma (Chapelle & Zhang, WWW 2009); a, s, gamma by EM
 *     "sdbn"      the same with gamma = 1, in closed form
 *     "rate"      P(C_r) = clicks / shown of rank r: what any model must beat
 *
 * A pair's parameter is the mode under a Beta prior of `prior_strength` observations with the mean of all pairs, so that a
 * pair that training never saw gets that mean. */
#ifndef EVALUATE_CLICK_MODELS_H
#define EVALUATE_CLICK_MODELS_H

#include "base/memory.h"
#include "base/status.h"

#define CLICK_MAX_RANKS 64
#define CLICK_LEAST 1e-6 /* chances are kept within [this, 1 - this]: a cascade finds a second click impossible */

/* Pages with what was clicked. A plain view; the arrays are the caller's. Page i holds rows first[i] … first[i + 1] − 1, best
 * first, at most CLICK_MAX_RANKS; pair numbers its (query, document) pairs below n_pairs; clicked is 0 or 1. */
typedef struct click_pages {
    size_t n_pages;
    const size_t *first; /* n_pages + 1 */
    const uint32_t *pair;
    const uint8_t *clicked;
    uint32_t n_pairs;
} click_pages;

typedef enum click_kind {
    CLICK_PBM,
    CLICK_CURVE,
    CLICK_CASCADE,
    CLICK_DBN,
    CLICK_SDBN,
    CLICK_RATE,
    CLICK_KINDS
} click_kind;
const char *click_kind_name(click_kind kind);
bool click_kind_named(const char *name, click_kind *out);

typedef struct click_options {
    uint32_t iterations;   /* of EM, at most; it stops when a page's log-likelihood gains less than `tolerance` */
    double tolerance;
    double prior_strength; /* observations, 0 or more */
    const double *curve;   /* "curve": n_curve chances, (0, 1], by rank; deeper ranks have the last one's */
    uint32_t n_curve;
} click_options;
void click_options_default(click_options *o); /* 200 iterations, 1e-7, 2 observations, no curve */

typedef struct click_model click_model;

/* FORAGE_E_INVALID: no page, one that is too long, a pair that is not below n_pairs, an option out of range. Cost: rows ×
 * iterations. */
forage_status click_model_train(click_kind kind, const click_pages *pages, const click_options *options, click_model **out,
                                base_error *error);
void click_model_destroy(click_model *m); /* NULL is a no-op */

double click_model_attractiveness(const click_model *m, uint32_t pair);
double click_model_satisfaction(const click_model *m, uint32_t pair); /* "dbn", "sdbn"; else 0 */
double click_model_continuation(const click_model *m);                /* gamma; "cascade" and "sdbn": 1 */
double click_model_examination(const click_model *m, uint32_t rank);  /* "pbm", "curve"; from 1; else 1 */
uint32_t click_model_iterations(const click_model *m);

/* The chance of a click at each of the page's n ranks: full, before anything is seen of the page, and conditional, given what was
 * clicked above. Either may be NULL. Pairs not below n_pairs are pairs never seen. */
void click_model_predict(const click_model *m, const uint32_t *pair, const uint8_t *clicked, size_t n, double *full,
                         double *conditional);

/* Log-likelihood: mean over pages of Σ_r ln P(C_r = c_r | C_<r), natural logarithm. Perplexity at rank r: 2^(− mean of log₂
 * P(C_r = c_r)), full or conditional; overall: its mean over ranks. 1 is perfect, 2 a coin. */
typedef struct click_score {
    size_t n_pages;
    uint32_t n_ranks; /* of the longest page */
    double log_likelihood;
    double perplexity, conditional_perplexity;
    double at_rank[CLICK_MAX_RANKS], conditional_at_rank[CLICK_MAX_RANKS];
} click_score;

/* FORAGE_E_INVALID: no page, or one that is too long. Pairs beyond those of training are pairs never seen. */
forage_status click_model_score(const click_model *m, const click_pages *pages, click_score *out, base_error *error);

#endif
