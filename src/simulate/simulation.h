/* A simulation: simulated customers ask the real engine, act by a click model, and the engine learns from what they
 * do.
 *
 * For every page the click model tells the exact expected reward, so that what was earned can be compared without
 * the luck of clicks. Every so many customers the same request is also answered, unlogged and before the real one,
 * under some other policies: at the same moment, from the same memory, by the same ranker. What the best of those
 * that cost no more (a tenth, in candidates) would have earned more is the regret.
 *
 * Time is simulated: requests and events spread evenly over some days that end at `until`. With the same seed and
 * the same state of the collection the customers and their deeds are the same, as long as nobody else searches
 * meanwhile. */
#ifndef SIMULATE_SIMULATION_H
#define SIMULATE_SIMULATION_H

#include "funnel/funnel.h"
#include "simulate/click_model.h"
#include "simulate/population.h"

#define SIMULATION_MAX_CUSTOMERS 100000
#define SIMULATION_MAX_PAGE 100
#define SIMULATION_MAX_RULES 8
#define SIMULATION_MAX_POINTS 500
#define SIMULATION_MAX_STRATEGIES 32

typedef struct simulation_config {
    uint32_t customers, page;  /* page: hits that a customer gets */
    population_config population;
    click_model clicks;
    uint32_t compare_every;    /* customers; 0: never */
    slice rules[SIMULATION_MAX_RULES]; /* policies to compare with; they live as long as the config */
    uint32_t n_rules;
    slice policy;              /* that serves; empty: the collection's */
    uint32_t points;           /* of the series */
    double days;               /* that the customers are spread over */
    int64_t until;             /* microseconds since 1970; 0: now */
} simulation_config;

/* 5,000 customers, pages of 10, "pbm", compared at every tenth with fixed, all and rrf-equal, 50 points, 14 days. */
void simulation_config_default(simulation_config *c);
/* Ranges, and that drifts increase. FORAGE_E_INVALID names the member. */
forage_status simulation_config_check(const simulation_config *c, base_error *error);

typedef struct simulation simulation;

/* Takes a millisecond or so a customer. The collection has learned from every event when it returns, also with an
 * error. FORAGE_E_INVALID: nothing to look for, an unknown policy, no action that is rewarded. */
forage_status simulation_run(funnel *f, const simulation_config *config, simulation **out, base_error *error);
void simulation_destroy(simulation *s); /* NULL is a no-op */
/* The answer of docs/api.md's POST /collections/{c}/simulate. */
void simulation_write(const simulation *s, json_writer *w);

#endif
