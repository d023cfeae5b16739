/* Simulated customers: who comes, what they have in mind, what they type, and how close a hit is to it.
 *
 * A population of users has persistent tastes (attributes of the catalogue). Each customer is one visit of a user
 * with an intent: a document drawn by popularity, within one of the user's tastes more often than not; or, for some,
 * anything like that document that has one attribute. A query style says how the intent becomes words. Popularity is
 * a power law whose order follows the catalogue's own, loosely; drifts redraw it and the tastes, seasons move it to
 * and fro.
 *
 * Everything follows from the seed: customer n is the same whatever the engine answered to those before. */
#ifndef SIMULATE_POPULATION_H
#define SIMULATE_POPULATION_H

#include "simulate/sim_catalogue.h"

typedef enum query_style {
    STYLE_TITLE,     /* the exact title */
    STYLE_ATTRIBUTE, /* one or two of its attributes: "fantasy Ursula K. Le Guin" */
    STYLE_AMBIGUOUS, /* one word of the title, one that many titles have */
    STYLE_TYPO,      /* the title with one slip of the finger */
    STYLE_BROAD,     /* one attribute, a wide one: "book" */
    QUERY_STYLES
} query_style;
extern const char *const query_style_names[QUERY_STYLES];

#define POPULATION_MAX_DRIFTS 8
#define POPULATION_TASTES 3

typedef struct population_config {
    uint64_t seed;
    uint32_t users;
    double styles[QUERY_STYLES]; /* shares; need not add up to 1 */
    uint32_t drift_at[POPULATION_MAX_DRIFTS], n_drifts; /* customers before it, increasing */
    double drift_share;          /* of documents and of users that a drift changes */
    uint32_t season;             /* customers of one turn of the seasons; 0: none */
    double season_strength;      /* a popularity moves by e^±strength at most */
} population_config;

/* 500 users; styles .3, .2, .2, .15, .15; no drift (share .5), no season (strength 1). */
void population_config_default(population_config *c);

typedef struct customer {
    uint32_t number;        /* from 0 */
    uint32_t user;
    uint32_t intent;        /* a document of the catalogue */
    uint32_t attribute;     /* anything with it will do; SIM_NONE: that document */
    query_style style;      /* as it came out: a document without attributes is asked for by its title */
    slice query;            /* in the arena */
    uint64_t seed;          /* for what else is left to chance about this customer */
} customer;

typedef struct population population;

/* The catalogue must outlive it. Weights of styles are at least 0, one is above. */
population *population_create(const sim_catalogue *k, const population_config *config);
void population_destroy(population *c); /* NULL is a no-op */
/* The next customer, after any drift and change of season that falls before. */
void population_next(population *c, arena *a, customer *out);

/* The attributes that a user likes now, the favourite first. */
void population_tastes(const population *c, uint32_t user, uint32_t out[POPULATION_TASTES]);
/* How likely a document is to be somebody's intent when tastes play no part; of all documents it sums to 1. */
double population_popularity(const population *c, uint32_t document);

/* Of a document, by its number and attributes, to what the customer has in mind, in [0, 1]. The intent itself: 1.
 * With J the share of the intent's attributes, by weight, that the document has: .5 J; for a customer whom an
 * attribute will do: .3 + .7 J with the attribute, else 0. */
double population_relevance(const population *c, const customer *who, uint32_t number, const uint32_t *attributes,
                            size_t n);

#endif
