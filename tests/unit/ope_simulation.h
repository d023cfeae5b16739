/* Worlds with a known truth for off-policy evaluation: a bandit with contexts, and decisions about depths. Everything
 * is drawn from a seed. */
#ifndef OPE_SIMULATION_H
#define OPE_SIMULATION_H

#include "base/random.h"
#include "evaluate/ope.h"
#include "evaluate/ope_depth.h"
#include "evaluate/ope_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- A bandit with five actions, two context features, clicks ---- */

enum { SIM_ACTIONS = 5, SIM_FEATURES = 3 };

static const double sim_theta[SIM_ACTIONS][SIM_FEATURES] = {
    {.10, .05, .00}, {.15, -.05, .05}, {.20, .05, .10}, {.12, .00, -.08}, {.30, -.12, .06}};

static inline void sim_context(random_source *random, double x[SIM_FEATURES]) {
    x[0] = 1;
    for (int f = 1; f < SIM_FEATURES; f++) x[f] = 2 * random_double(random) - 1;
}

static inline double sim_reward(const double *x, int action) {
    double p = 0;
    for (int f = 0; f < SIM_FEATURES; f++) p += sim_theta[action][f] * x[f];
    return p;
}

/* Softmax of a linear score, mixed with uniform choice. */
static inline void sim_policy(const double *x, double greed, double tilt, double explore, double pi[SIM_ACTIONS]) {
    double sum = 0;
    for (int a = 0; a < SIM_ACTIONS; a++) sum += pi[a] = exp(greed * sim_reward(x, a) + tilt * a * x[1]);
    for (int a = 0; a < SIM_ACTIONS; a++) pi[a] = (1 - explore) * pi[a] / sum + explore / SIM_ACTIONS;
}
static inline void sim_logger(const double *x, double *mu) { sim_policy(x, -3, .3, .2, mu); }
static inline void sim_target(const double *x, double *pi) { sim_policy(x, 10, -.2, .05, pi); }

static inline int sim_draw(random_source *random, const double *pi, int n) {
    double u = random_double(random);
    int a = 0;
    while (a < n - 1 && u >= pi[a]) u -= pi[a++];
    return a;
}

/* What the target earns: its mean over many contexts, each taken exactly. */
static inline double sim_truth(void) {
    random_source random;
    double x[SIM_FEATURES], pi[SIM_ACTIONS], value = 0;
    const int n = 400000;
    random_seed(&random, 99);
    for (int i = 0; i < n; i++) {
        sim_context(&random, x);
        sim_target(x, pi);
        for (int a = 0; a < SIM_ACTIONS; a++) value += pi[a] * sim_reward(x, a) / n;
    }
    return value;
}

typedef struct sim_log {
    ope_rows rows;
    double *weight, *logging, *target, *missing; /* of what was logged */
} sim_log;

static inline sim_log sim_log_create(size_t n, uint32_t strategies, uint32_t levels, uint32_t features) {
    sim_log log = {.rows = {.n = n, .n_strategies = strategies, .n_levels = levels, .n_features = features}};
    log.rows.x = mem_zalloc(n * strategies * features, sizeof(float));
    log.rows.level = mem_zalloc(n, strategies);
    log.rows.target = mem_zalloc(n * strategies * levels, sizeof(float));
    log.rows.reward = mem_zalloc(n, sizeof(double));
    log.weight = mem_zalloc(n, sizeof(double));
    log.logging = mem_zalloc(n, sizeof(double));
    log.target = mem_zalloc(n, sizeof(double));
    log.missing = mem_zalloc(n, sizeof(double));
    return log;
}

static inline void sim_log_release(sim_log *log) {
    free(log->rows.x);
    free(log->rows.level);
    free(log->rows.target);
    free(log->rows.reward);
    free(log->weight);
    free(log->logging);
    free(log->target);
    free(log->missing);
}

static inline sim_log sim_bandit(uint64_t seed, size_t n) {
    sim_log log = sim_log_create(n, 1, SIM_ACTIONS, SIM_FEATURES);
    random_source random;
    random_seed(&random, seed);
    for (size_t i = 0; i < n; i++) {
        double x[SIM_FEATURES], mu[SIM_ACTIONS], pi[SIM_ACTIONS];
        sim_context(&random, x);
        sim_logger(x, mu);
        sim_target(x, pi);
        int a = sim_draw(&random, mu, SIM_ACTIONS);
        for (int f = 0; f < SIM_FEATURES; f++) log.rows.x[i * SIM_FEATURES + (size_t)f] = (float)x[f];
        for (int k = 0; k < SIM_ACTIONS; k++) log.rows.target[i * SIM_ACTIONS + (size_t)k] = (float)pi[k];
        log.rows.level[i] = (uint8_t)a;
        log.rows.reward[i] = random_double(&random) < sim_reward(x, a);
        log.logging[i] = mu[a];
        log.target[i] = pi[a];
        log.weight[i] = pi[a] / mu[a];
    }
    return log;
}

/* ---- Decisions about the depths of three strategies ---- */

enum { SIM_STRATEGIES = 3, SIM_LEVELS = 4, SIM_DEEPEST = 128 };
static const uint32_t sim_depths[SIM_LEVELS] = {0, 8, 32, 128};

static inline void sim_levels(double x, const double pull[SIM_STRATEGIES], float out[][OPE_MAX_LEVELS]) {
    for (int s = 0; s < SIM_STRATEGIES; s++) {
        double sum = 0, p[SIM_LEVELS];
        for (int l = 0; l < SIM_LEVELS; l++) sum += p[l] = .05 + exp(pull[s] * l * (1 + .3 * x));
        for (int l = 0; l < SIM_LEVELS; l++) out[s][l] = (float)(p[l] / sum);
    }
}

/* A request: its context x, the wanted document's rank under each strategy (0: never), and both policies. With
 * `overlap` several strategies may find it; without, exactly one can, so that their parts add up. */
static inline void sim_request(random_source *random, bool overlap, double *x, uint32_t *ranks, ope_decision *d) {
    static const double logging[SIM_STRATEGIES] = {.1, 0, .2}, target[SIM_STRATEGIES] = {.6, -.3, .5};
    *x = 2 * random_double(random) - 1;
    uint32_t only = (uint32_t)random_below(random, SIM_STRATEGIES);
    *d = (ope_decision){.n_strategies = SIM_STRATEGIES, .n_levels = SIM_LEVELS};
    sim_levels(*x, logging, d->logging);
    sim_levels(*x, target, d->target);
    for (uint32_t s = 0; s < SIM_STRATEGIES; s++) {
        memcpy(d->depth[s], sim_depths, sizeof sim_depths);
        uint32_t rank = 1 + (uint32_t)floor(exp(random_double(random) * 5.5)); /* 2 to 245, small ones more often */
        ranks[s] = (overlap ? random_double(random) < .6 : s == only) ? rank : 0;
    }
}

/* The chance that the wanted document is engaged with once it is among the candidates. */
static inline double sim_engaged(double x) { return .4 + .2 * x; }

static inline double sim_depth_truth(bool overlap) {
    random_source random;
    double value = 0;
    const int n = 400000;
    random_seed(&random, 98);
    for (int i = 0; i < n; i++) {
        uint32_t ranks[SIM_STRATEGIES];
        double x, target, logging;
        ope_decision d;
        sim_request(&random, overlap, &x, ranks, &d);
        ope_inclusion(&d, ranks, &target, &logging);
        value += target * sim_engaged(x) / n;
    }
    return value;
}

typedef struct sim_depth_log {
    sim_log log;
    double *additive, *inclusion; /* weight; weight × reward, with only the ranks that the log would hold */
} sim_depth_log;

static inline sim_depth_log sim_depth(uint64_t seed, size_t n, bool overlap) {
    sim_depth_log out = {sim_log_create(n, SIM_STRATEGIES, SIM_LEVELS, 2), mem_zalloc(n, sizeof(double)),
                         mem_zalloc(n, sizeof(double))};
    random_source random;
    random_seed(&random, seed);
    for (size_t i = 0; i < n; i++) {
        uint32_t ranks[SIM_STRATEGIES];
        double x;
        ope_decision d;
        bool included = false;
        sim_request(&random, overlap, &x, ranks, &d);
        for (uint32_t s = 0; s < SIM_STRATEGIES; s++) {
            double mu[SIM_LEVELS];
            size_t at = i * SIM_STRATEGIES + s;
            for (int l = 0; l < SIM_LEVELS; l++) mu[l] = (double)d.logging[s][l];
            d.level[s] = (uint32_t)sim_draw(&random, mu, SIM_LEVELS);
            if (ranks[s] > sim_depths[d.level[s]]) ranks[s] = 0;
            included |= ranks[s] > 0;
            out.log.rows.x[2 * at] = 1;
            out.log.rows.x[2 * at + 1] = (float)x;
            out.log.rows.level[at] = (uint8_t)d.level[s];
            memcpy(out.log.rows.target + at * SIM_LEVELS, d.target[s], SIM_LEVELS * sizeof(float));
        }
        double reward = included && random_double(&random) < sim_engaged(x);
        out.log.rows.reward[i] = reward;
        out.log.weight[i] = ope_product_weight(&d);
        out.additive[i] = ope_additive_weight(&d);
        out.inclusion[i] = reward > 0 ? reward * ope_inclusion_weight(&d, ranks) : 0;
    }
    return out;
}

static inline void sim_depth_release(sim_depth_log *log) {
    sim_log_release(&log->log);
    free(log->additive);
    free(log->inclusion);
}

/* ---- Coverage: how many of `runs` intervals hold the truth? ---- */

enum { SIM_ROWS = 2000, SIM_ESTIMATES = OPE_KINDS + 4 };

typedef struct sim_coverage {
    const char *name;
    int runs, covered;
    double error, bias, width; /* root of the mean squared error, mean error, mean width */
} sim_coverage;

static inline void sim_count(sim_coverage *c, const ope_estimate *e, double truth) {
    c->name = e->name;
    c->runs++;
    c->covered += e->low <= truth && truth <= e->high;
    c->error += (e->value - truth) * (e->value - truth);
    c->bias += e->value - truth;
    c->width += e->high - e->low;
}

static inline void sim_finish(sim_coverage *c, size_t n) {
    for (size_t i = 0; i < n; i++) {
        c[i].error = sqrt(c[i].error / c[i].runs);
        c[i].bias /= c[i].runs;
        c[i].width /= c[i].runs;
    }
}

/* The bandit's six kinds into out[0..5]. */
static inline void sim_cover_bandit(int runs, const ope_options *o, sim_coverage *out) {
    double truth = sim_truth();
    for (int run = 0; run < runs; run++) {
        sim_log log = sim_bandit(1000 + (uint64_t)run, SIM_ROWS);
        ope_model *model = ope_model_fit(&log.rows);
        ope_data d = {SIM_ROWS, log.rows.reward, log.weight, ope_model_predicted(model), ope_model_expected(model),
                      log.missing, model};
        ope_estimate e[OPE_KINDS];
        size_t n = 0;
        if (ope_estimate_all(&d, o, e, &n, NULL)) abort();
        for (size_t i = 0; i < n; i++) sim_count(&out[i], &e[i], truth);
        ope_model_destroy(model);
        sim_log_release(&log);
    }
    sim_finish(out, OPE_KINDS);
}

/* Product, additive, additive doubly robust, inclusion into out[0..3]. */
static inline void sim_cover_depth(int runs, bool overlap, const ope_options *o, sim_coverage *out) {
    double truth = sim_depth_truth(overlap);
    for (int run = 0; run < runs; run++) {
        sim_depth_log log = sim_depth(5000 + (uint64_t)run, SIM_ROWS, overlap);
        ope_model *model = ope_model_fit(&log.log.rows);
        ope_data d = {SIM_ROWS, log.log.rows.reward, log.log.weight, ope_model_predicted(model),
                      ope_model_expected(model), log.log.missing, model};
        ope_estimate e[4];
        if (ope_estimate_one(&d, OPE_IPS, o, &e[0], NULL)) abort();
        d.weight = log.additive;
        if (ope_estimate_one(&d, OPE_IPS, o, &e[1], NULL) || ope_estimate_one(&d, OPE_DR, o, &e[2], NULL)) abort();
        e[3] = ope_summarize("inclusion", log.inclusion, NULL, NULL, SIM_ROWS, o);
        e[0].name = "product";
        e[1].name = "additive";
        e[2].name = "additive-dr";
        for (int i = 0; i < 4; i++) sim_count(&out[i], &e[i], truth);
        ope_model_destroy(model);
        sim_depth_release(&log);
    }
    sim_finish(out, 4);
}

#endif
