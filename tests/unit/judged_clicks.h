/* Clicks where what is relevant is known: a judged data set, a production ranker that is weak and explores, and people who look
 * at rank k with chance k^-power and click what they look at by its grade, now and then by mistake (the set-up of Joachims,
 * Swaminathan & Schnabel, WSDM 2017, with graded relevance). Everything is drawn from a seed. */
#ifndef JUDGED_CLICKS_H
#define JUDGED_CLICKS_H

#include "base/random.h"
#include "rank/examination.h"
#include "rank/table.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

typedef struct judged_world {
    const rank_rows *judged;
    const float *production; /* score of each row; standardised within its group before use */
    uint32_t ranks;          /* of a page */
    double power;
    double mistake;          /* chance to click what is looked at and not relevant */
    double temperature;      /* of Plackett–Luce exploration, in standard deviations of the production's scores */
} judged_world;

/* Row i of page p: first[p] + rank − 1. */
typedef struct judged_log {
    size_t n_pages;
    size_t *first, *group;
    uint32_t *row;
    uint8_t *clicked;
} judged_log;

/* mistake + (1 − mistake) (2^grade − 1) / (2^highest − 1) */
static inline double judged_chance(const judged_world *w, float grade, float highest) {
    return w->mistake + (1 - w->mistake) * (exp2((double)grade) - 1) / (exp2((double)highest) - 1);
}

typedef struct judged_draw {
    double score;
    uint32_t row;
} judged_draw;

static inline int judged_by_score(const void *a, const void *b) {
    const judged_draw *x = a, *y = b;
    if (x->score != y->score) return x->score < y->score ? 1 : -1;
    return (x->row > y->row) - (x->row < y->row);
}

/* An order of the group by score and Gumbel noise, which draws without replacement in proportion to exp(score / temperature). */
static inline void judged_order(const judged_world *w, size_t group, random_source *random, judged_draw *order) {
    size_t from = w->judged->first[group], n = w->judged->first[group + 1] - from;
    double mean = 0, square = 0;
    for (size_t i = 0; i < n; i++) mean += (double)w->production[from + i] / (double)n;
    for (size_t i = 0; i < n; i++) square += pow((double)w->production[from + i] - mean, 2) / (double)n;
    for (size_t i = 0; i < n; i++) {
        double z = square > 0 ? ((double)w->production[from + i] - mean) / sqrt(square) : 0;
        double gumbel = -log(-log(fmax(1e-300, random_double(random))));
        order[i] = (judged_draw){z + w->temperature * gumbel, (uint32_t)(from + i)};
    }
    qsort(order, n, sizeof *order, judged_by_score);
}

static inline void judged_log_init(const judged_world *w, size_t pages, uint64_t seed, judged_log *log) {
    random_source random;
    float highest = 1;
    size_t most = 1, at = 0;
    random_seed(&random, seed);
    for (size_t i = 0; i < w->judged->n_rows; i++) highest = fmaxf(highest, w->judged->label[i]);
    for (size_t g = 0; g < w->judged->n_groups; g++) {
        size_t n = w->judged->first[g + 1] - w->judged->first[g];
        if (n > most) most = n;
    }
    judged_draw *order = mem_alloc(most * sizeof *order);
    *log = (judged_log){.n_pages = pages};
    log->first = mem_alloc((pages + 1) * sizeof *log->first);
    log->group = mem_alloc((pages + 1) * sizeof *log->group);
    log->row = mem_alloc((pages * w->ranks + 1) * sizeof *log->row);
    log->clicked = mem_alloc(pages * w->ranks + 1);
    for (size_t p = 0; p < pages; p++) {
        size_t g = random_below(&random, w->judged->n_groups), n = w->judged->first[g + 1] - w->judged->first[g];
        judged_order(w, g, &random, order);
        log->first[p] = at;
        log->group[p] = g;
        for (size_t k = 0; k < w->ranks && k < n; k++) {
            double looked = pow((double)k + 1, -w->power);
            double chance = looked * judged_chance(w, w->judged->label[order[k].row], highest);
            log->row[at] = order[k].row;
            log->clicked[at++] = random_double(&random) < chance;
        }
    }
    log->first[pages] = at;
    free(order);
}

static inline void judged_log_release(judged_log *log) {
    free(log->first);
    free(log->group);
    free(log->row);
    free(log->clicked);
}

/* Everything that was shown, for the estimate of examination. */
static inline void judged_count(const judged_log *log, examination *e) {
    for (size_t p = 0; p < log->n_pages; p++)
        for (size_t i = log->first[p]; i < log->first[p + 1]; i++) {
            examination_observation o = {.key = log->row[i], .rank = (uint32_t)(i - log->first[p] + 1), .shown = 1,
                                         .clicks = log->clicked[i]};
            if (!examination_add(e, &o)) abort();
        }
}

/* Rows to learn from, a group for each of the first `pages` pages: label 1 where there was a click, weighed by examination
 * (curve NULL: 1). */
static inline void judged_by_page(const judged_world *w, const judged_log *log, size_t pages,
                                  const examination_curve *curve, double most, rank_table *out) {
    uint32_t F = w->judged->n_features;
    rank_table_init(out, F);
    for (size_t p = 0; p < pages && p < log->n_pages; p++) {
        rank_table_begin_group(out, 1, (int64_t)p);
        for (size_t i = log->first[p]; i < log->first[p + 1]; i++) {
            uint32_t rank = (uint32_t)(i - log->first[p] + 1);
            double weight = curve && log->clicked[i] ? examination_weight(curve, rank, most) : 1;
            rank_table_add(out, w->judged->x + (size_t)log->row[i] * F, log->clicked[i], (float)weight, rank);
        }
    }
}

/* The same pages, a group for each query: every document that was shown, its label the mean over its impressions of click ×
 * weight. With the true curve its expectation is the chance of a click where it is looked at. */
static inline void judged_by_query(const judged_world *w, const judged_log *log, const examination_curve *curve,
                                   double most, rank_table *out) {
    const rank_rows *judged = w->judged;
    uint32_t F = judged->n_features;
    double *earned = mem_zalloc(2 * judged->n_rows + 1, sizeof *earned), *shown = earned + judged->n_rows;
    for (size_t p = 0; p < log->n_pages; p++)
        for (size_t i = log->first[p]; i < log->first[p + 1]; i++) {
            uint32_t rank = (uint32_t)(i - log->first[p] + 1);
            shown[log->row[i]]++;
            if (log->clicked[i]) earned[log->row[i]] += curve ? examination_weight(curve, rank, most) : 1;
        }
    rank_table_init(out, F);
    for (size_t g = 0; g < judged->n_groups; g++) {
        rank_table_begin_group(out, 1, (int64_t)g);
        for (size_t r = judged->first[g]; r < judged->first[g + 1]; r++)
            if (shown[r] > 0) rank_table_add(out, judged->x + r * F, (float)(earned[r] / shown[r]), 1, 0);
    }
    free(earned);
}

#endif
