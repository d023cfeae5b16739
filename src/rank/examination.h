/* How likely is each rank looked at? Estimated from what was shown and clicked, without asking anybody.
 *
 * The position-based model: a document at rank k is clicked with p_k · g, where p_k says how likely rank k is looked at and g
 * how welcome the document is for its query (Richardson, Dominowska & Ragno, WWW 2007). Only p_k / p_1 can be learned from
 * clicks, and that is all an inverse weight needs: curves here are relative to rank 1, p_1 = 1.
 *
 * What people clicked at rank k says nothing by itself, because better documents stand higher. But a document that stood at
 * two ranks for the same query tells their ratio: an interventional pair. Rankers that replaced each other, exploration and
 * a policy that draws its depths all make such pairs ("intervention harvesting", Agarwal, Zaitsev, Wang, Li, Najork & Joachims,
 * WSDM 2019). Add everything that was shown, then fit:
 *
 *     examination_add(e, &(examination_observation){.key = examination_key(query, document), .rank = 3, .shown = 1});
 *     examination_fit(e, EXAMINATION_HARVEST, &curve);
 *     weight = examination_weight(&curve, 3, 20);
 *
 * What is assumed: one key, one g. Where the ranks depend on who asks, put that into the key (or tell the propensities); where g
 * changes over time, put the period into it. The intervals take keys as independent of each other.
 *
 * Threads: no locks. One thread at a time changes an estimator; any number may fit one that nobody changes. */
#ifndef RANK_EXAMINATION_H
#define RANK_EXAMINATION_H

#include "base/hash.h"
#include "base/memory.h"
#include "base/status.h"
#include "format/json.h"

#define EXAMINATION_MAX_RANKS 64
#define EXAMINATION_MAX_FEATURES 32
#define EXAMINATION_MAX_KEYS 4194304u
#define EXAMINATION_LEAST 1e-4       /* no rank is believed to be looked at less, relative to rank 1 */
#define EXAMINATION_LEAST_CHANCE .01 /* a smaller propensity counts as this: no impression stands for more than 100 */
#define EXAMINATION_SURE .3          /* a rank is identified when the standard error of its logarithm is at most this */

typedef enum examination_method {
    EXAMINATION_HARVEST,       /* conditional likelihood of all ranks of each key (below); the one to use */
    EXAMINATION_ALL_PAIRS,     /* AllPairs of Agarwal et al. 2019: p_k and r_kk' together */
    EXAMINATION_ADJACENT,      /* chain of the ratios of adjacent ranks: a baseline */
    EXAMINATION_PIVOT,         /* ratio of each rank to rank 1: a baseline */
    EXAMINATION_REGRESSION_EM, /* Wang, Golbandi, Bendersky, Metzler & Najork, WSDM 2018 */
    EXAMINATION_METHODS
} examination_method;
const char *examination_method_name(examination_method m); /* "harvest", "all-pairs", "adjacent", "pivot", "regression-em" */
bool examination_method_named(const char *name, examination_method *out); /* false: there is none; NULL is none */

/* HARVEST. Given how many clicks a key had in all, they fall on its ranks as n_k p_k / Σ_j n_j p_j: g cancels. All keys together
 * give one concave likelihood in log p, and its estimating equation is unbiased whatever g is and however large the chances
 * are (the conditional likelihood of a Poisson regression with an effect per key; Hausman, Hall & Griliches 1984). For two
 * ranks it is the Mantel–Haenszel ratio. Each method's p is drawn towards the prior k^-prior_power by a random walk over log
 * k, prior_spread per square root of unit, so that a rank without data follows its neighbours; HARVEST and REGRESSION_EM weigh
 * prior and data in one fit, the others rank by rank. */

typedef struct examination_config {
    uint32_t n_ranks;    /* K, 2 to EXAMINATION_MAX_RANKS; what is shown deeper is not counted */
    uint32_t n_features; /* F, 0 to EXAMINATION_MAX_FEATURES, for REGRESSION_EM; 0: one relevance for each key */
    uint32_t max_keys;   /* 16 to EXAMINATION_MAX_KEYS; beyond, a sample by hash (below) */
    double prior_power;  /* 0 to 4 */
    double prior_spread; /* .01 to 10: how far the curve may leave the prior */
    bool monotone;       /* no rank is looked at more than one above it (isotonic regression of log p) */
} examination_config;
void examination_config_default(examination_config *c); /* 10 ranks, no features, 65,536 keys, power 1, spread .5, not monotone */

typedef struct examination examination;

/* FORAGE_E_INVALID, naming the member. */
forage_status examination_create(const examination_config *config, examination **out, base_error *error);
void examination_destroy(examination *e); /* NULL is a no-op */

uint64_t examination_key(hash128 query, uint64_t document);

typedef struct examination_observation {
    uint64_t key;          /* of query and document */
    uint32_t rank;         /* from 1 */
    float shown;           /* impressions, up to 1e6; one, or many that were counted together */
    float clicks;          /* of them, 0 to `shown` */
    float propensity;      /* that the document was put at this rank, (0, 1]; 0: not known. All of a key's, or none */
    const float *features; /* F of them, of query and document, never of the rank; NULL: zeros. Not finite counts as 0 */
} examination_observation;

/* False when a number is out of its range: then nothing is counted. Amortised O(1); about 100 bytes for each key and 40 for each
 * rank it was shown at. When there are more than max_keys keys, those stay whose hash begins with enough zero bits (adaptive
 * sampling; Flajolet 1990): the same keys in whatever order they came. Totals by rank count all. */
bool examination_add(examination *e, const examination_observation *o);

/* Adds what another has counted. FORAGE_E_INVALID: ranks or features differ. */
forage_status examination_merge(examination *e, const examination *other, base_error *error);
/* Multiplies every count by `factor`, (0, 1]: what is old fades. */
void examination_fade(examination *e, double factor);
void examination_clear(examination *e);

typedef struct examination_rank {
    double estimate, low, high; /* relative to rank 1, with a 95 % interval; rank 1 is 1, 1, 1 */
    double shown, clicks;       /* of all keys, without weights */
    uint64_t pairs;             /* interventional: (key, other rank) where the key was shown here and there, and clicked */
    bool identified;            /* by data: joined with rank 1 through pairs, and sure enough */
} examination_rank;

typedef struct examination_curve {
    examination_method method;
    uint32_t n_ranks;
    bool identified;       /* the identified ranks, at least two, hold 90 % of the clicks; else it is mostly the prior */
    bool monotone;
    double prior_power;
    uint64_t keys;         /* that the fit saw */
    uint64_t one_in;       /* the sample: one key in so many */
    uint64_t clipped;      /* impressions whose propensity was below EXAMINATION_LEAST_CHANCE */
    uint32_t iterations;
    examination_rank ranks[EXAMINATION_MAX_RANKS]; /* ranks[0] is rank 1 */
} examination_curve;

/* Never fails: without data it is the prior. HARVEST: keys × their ranks squared, some 10 iterations. REGRESSION_EM: keys × (ranks
 * + F), some hundred. Deterministic. */
void examination_fit(const examination *e, examination_method method, examination_curve *out);

/* The prior alone, identified at no rank. */
void examination_prior(const examination_config *config, examination_curve *out);

/* Relative chance that a rank was looked at. Beyond K: rank K's, falling on with the prior's power. Rank 0, not known: 1. */
double examination_at(const examination_curve *c, uint32_t rank);

/* One over it, at most `most` (1 or more). */
double examination_weight(const examination_curve *c, uint32_t rank, double most);

/* Inverse-propensity weights of rows (rank/rows.h): examination_weight where label > 0, else 1. */
typedef struct examination_weighing {
    uint64_t clicked;   /* rows with a label */
    uint64_t clipped;   /* of them, those whose weight would have been above `most` */
    double lost;        /* share of the weight that was clipped away */
    double effective;   /* (Σ w)² / Σ w² of the clicked rows: as many equal ones would say as much */
} examination_weighing;
void examination_weigh(const examination_curve *c, const float *label, const uint32_t *position, size_t n_rows, double most,
                       float *weight, examination_weighing *report);

/* An object: method, identified, monotone, prior_power, keys, one_in, clipped, ranks: [{rank, estimate, low, high, shown, clicks,
 * pairs, identified}]. */
void examination_write_json(json_writer *w, const examination_curve *c);

/* State as bytes, versioned and checked. Equal counts give equal bytes. A failed load changes nothing: FORAGE_E_VERSION,
 * FORAGE_E_CORRUPT, FORAGE_E_INVALID (ranks or features differ). What was loaded replaces what was counted; with a smaller
 * max_keys it is sampled further. */
void examination_save(const examination *e, buffer *out);
forage_status examination_load(examination *e, slice state, base_error *error);

#endif
