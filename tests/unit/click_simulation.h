/* Result pages with a known truth: queries whose documents have grades, rankers that order them more or less well, and people
 * who click by the position-based model. Everything is drawn from a seed. */
#ifndef CLICK_SIMULATION_H
#define CLICK_SIMULATION_H

#include "base/random.h"
#include "rank/examination.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { SIM_RANKS = 10, SIM_DOCUMENTS = 14, SIM_MOST_QUERIES = 400 };

/* Steeper than any k^-power at first, flatter later: no prior is right. */
static const double sim_curve[SIM_RANKS] = {1, .62, .5, .36, .3, .21, .19, .15, .13, .12};

typedef struct sim_pages {
    random_source random;
    uint32_t queries;
    double relevance[SIM_MOST_QUERIES][SIM_DOCUMENTS]; /* chance of a click where it is looked at */
    double shown[SIM_RANKS], clicks[SIM_RANKS];        /* for the naive rates */
} sim_pages;

static inline void sim_pages_init(sim_pages *s, uint32_t queries, uint64_t seed) {
    memset(s, 0, sizeof *s);
    random_seed(&s->random, seed);
    s->queries = queries;
    for (uint32_t q = 0; q < queries; q++)
        for (int d = 0; d < SIM_DOCUMENTS; d++) {
            double u = random_double(&s->random);
            s->relevance[q][d] = .05 + .75 * u * u;
        }
}

/* The order of a ranker that sees relevance through noise of its own, the same whenever it is asked. */
static inline void sim_rank(const sim_pages *s, uint32_t ranker, double noise, uint32_t q, uint32_t *order) {
    double score[SIM_DOCUMENTS];
    random_source own;
    random_seed(&own, 1000003ull * ranker + q);
    for (uint32_t d = 0; d < SIM_DOCUMENTS; d++) {
        score[d] = s->relevance[q][d] + noise * random_normal(&own);
        uint32_t at = d;
        for (; at && score[order[at - 1]] < score[d]; at--) order[at] = order[at - 1];
        order[at] = d;
    }
}

static inline bool sim_click(sim_pages *s, uint32_t rank, double relevance) {
    bool clicked = random_double(&s->random) < sim_curve[rank] * relevance;
    s->shown[rank]++;
    s->clicks[rank] += clicked;
    return clicked;
}

/* One page, shown, clicked and added. */
static inline void sim_show(sim_pages *s, examination *e, uint32_t q, const uint32_t *order) {
    for (uint32_t k = 0; k < SIM_RANKS; k++) {
        bool clicked = sim_click(s, k, s->relevance[q][order[k]]);
        examination_observation o = {.key = (uint64_t)q * SIM_DOCUMENTS + order[k], .rank = k + 1, .shown = 1,
                                     .clicks = clicked};
        if (!examination_add(e, &o)) abort();
    }
}

/* Pages by several rankers, each for as many pages as the next. */
static inline void sim_rankers(sim_pages *s, examination *e, uint32_t rankers, double noise, size_t pages) {
    uint32_t order[SIM_DOCUMENTS];
    for (size_t i = 0; i < pages; i++) {
        uint32_t q = (uint32_t)random_below(&s->random, s->queries);
        sim_rank(s, (uint32_t)random_below(&s->random, rankers), noise, q, order);
        sim_show(s, e, q, order);
    }
}

/* Pages by one ranker, one document of each swapped with another, both drawn. */
static inline void sim_swaps(sim_pages *s, examination *e, double noise, size_t pages) {
    uint32_t order[SIM_DOCUMENTS];
    for (size_t i = 0; i < pages; i++) {
        uint32_t q = (uint32_t)random_below(&s->random, s->queries);
        uint32_t a = (uint32_t)random_below(&s->random, SIM_RANKS), b = (uint32_t)random_below(&s->random, SIM_RANKS);
        sim_rank(s, 0, noise, q, order);
        uint32_t moved = order[a];
        order[a] = order[b];
        order[b] = moved;
        sim_show(s, e, q, order);
    }
}

/* Largest relative error over ranks 2 to 10. */
static inline double sim_error(const examination_curve *c) {
    double worst = 0;
    for (int k = 1; k < SIM_RANKS; k++) worst = fmax(worst, fabs(c->ranks[k].estimate / sim_curve[k] - 1));
    return worst;
}

#endif
