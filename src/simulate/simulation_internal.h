/* The inside of a simulation; only this folder's files include it. */
#ifndef SIMULATE_SIMULATION_INTERNAL_H
#define SIMULATE_SIMULATION_INTERNAL_H

#include "simulate/simulation.h"
#include "simulate/simulation_measure.h"

typedef struct simulation_strategy {
    char name[32];
    uint64_t asked, depth; /* so far: searches that asked it, candidates it was asked for */
} simulation_strategy;

typedef struct simulation_point {
    uint32_t customers;
    uint64_t events;
    double reward, expected; /* sums so far */
    uint64_t searches;       /* that the engine has counted so far */
    simulation_strategy strategies[SIMULATION_MAX_STRATEGIES];
    uint32_t n_strategies;
} simulation_point;

struct simulation {
    simulation_config config;
    arena memory;
    char policy[32];
    slice click_action, strong_actions[FEEDBACK_MAX_REWARDS];
    float click_reward, strong_rewards[FEEDBACK_MAX_REWARDS];
    uint32_t n_strong;

    uint64_t events, refused; /* events that the engine took, and that it did not */
    char refusal[256];        /* why the first of those */
    double *expected;         /* of each served page */
    float *reward;            /* that each customer brought */
    uint32_t *events_before;  /* of each customer */
    uint8_t *style;
    /* Customers that were compared: what each policy's page was worth, the served one's first. */
    double *compared[SIMULATION_MAX_RULES + 1];
    double candidates[SIMULATION_MAX_RULES + 1]; /* sums of their unions' sizes */
    uint32_t *compared_at, n_compared;
    simulation_point *points; /* points[0]: before the first customer */
    uint32_t n_points;
    size_t documents;         /* that customers knew of */
    double seconds;
};

#endif
