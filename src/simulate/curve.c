#include "simulate/curve.h"

#include "base/random.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define BISECTIONS 14      /* of the price: its factor of 10,000 to within a thousandth */
#define PRICE_LOW 1e-5
#define PRICE_HIGH 1e-1
#define MOST_ROUNDS 8      /* of coordinate ascent at one price */
#define RANDOM_STARTS 4
#define MOST_EXCHANGES 4   /* rounds over all pairs */

curve *curve_create(const trial *t) {
    curve *c = mem_zalloc(1, sizeof *c);
    c->trial = t;
    c->found = mem_zalloc(t->deepest + 2, sizeof *c->found);
    c->added = mem_zalloc(t->deepest + 2, sizeof *c->added);
    c->seen = mem_zalloc(t->most_documents + 1, sizeof *c->seen);
    return c;
}

void curve_destroy(curve *c) {
    if (!c) return;
    free(c->found);
    free(c->added);
    free(c->seen);
    free(c);
}

/* What the others bring to one request, and then what each further depth of `strategy` adds. */
static void walk_row(curve *c, const trial_row *row, const uint32_t *depth, uint32_t strategy) {
    const trial *t = c->trial;
    uint32_t walk = ++c->walk, others = 0;
    bool has = false;
    if (!walk) { /* after four thousand million requests the marks begin anew */
        memset(c->seen, 0, (t->most_documents + 1) * sizeof *c->seen);
        walk = c->walk = 1;
    }
    for (uint32_t s = 0; s < t->n_strategies; s++) {
        if (s == strategy) continue;
        uint32_t n = row->length[s] < depth[s] ? row->length[s] : depth[s];
        const uint16_t *list = row->list[s];
        for (uint32_t i = 0; i < n; i++) {
            others += c->seen[list[i]] != walk;
            c->seen[list[i]] = walk;
        }
        has |= row->rank[s] && row->rank[s] <= depth[s];
    }
    c->added[0] += others;
    const uint16_t *list = row->list[strategy];
    for (uint32_t i = 0; i < row->length[strategy]; i++) c->added[i + 1] += c->seen[list[i]] != walk;
    c->found[has ? 0 : row->rank[strategy] ? row->rank[strategy] : t->deepest + 1]++;
}

void curve_along(curve *c, const uint32_t *depth, uint32_t strategy) {
    const trial *t = c->trial;
    double n = t->n ? (double)t->n : 1;
    memset(c->found, 0, (t->deepest + 2) * sizeof *c->found);
    memset(c->added, 0, (t->deepest + 2) * sizeof *c->added);
    for (size_t i = 0; i < t->n; i++) walk_row(c, &t->rows[i], depth, strategy);
    uint64_t found = 0, added = 0;
    for (uint32_t d = 0; d <= t->deepest; d++) {
        c->recall[d] = (double)(found += c->found[d]) / n;
        c->cost[d] = (double)(added += c->added[d]) / n;
    }
}

/* ---- The search ---- */

/* The best so far at the budget: the upper hull of all points met, there. */
typedef struct search {
    curve *c;
    double budget;
    curve_point *below, *above; /* points met that are on the hull, either side */
    size_t n_below, n_above, below_capacity, above_capacity;
} search;

static curve_point point_at(const curve *c, const uint32_t *depth, uint32_t strategy, uint32_t d) {
    curve_point p = {.recall = c->recall[d], .cost = c->cost[d]};
    memcpy(p.depth, depth, sizeof p.depth);
    p.depth[strategy] = d;
    return p;
}

/* Keeps a point unless one that is not dearer finds as much; drops those it makes useless. */
static void offer(curve_point **list, size_t *n, size_t *capacity, const curve_point *p) {
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++)
        if ((*list)[i].cost <= p->cost && (*list)[i].recall >= p->recall) return;
    for (size_t i = 0; i < *n; i++)
        if ((*list)[i].cost < p->cost || (*list)[i].recall > p->recall) (*list)[kept++] = (*list)[i];
    *n = kept;
    *list = mem_grow(*list, capacity, *n + 1, sizeof **list);
    (*list)[(*n)++] = *p;
}

/* Of the last curve: the points either side of the budget, and the one that the price likes best. */
static uint32_t take_from_curve(search *s, const uint32_t *depth, uint32_t strategy, double price) {
    const curve *c = s->c;
    uint32_t best = 0, d = 0, deepest = c->trial->deepest;
    for (uint32_t i = 1; i <= deepest; i++)
        if (c->recall[i] - price * c->cost[i] > c->recall[best] - price * c->cost[best] + 1e-12) best = i;
    while (d < deepest && c->cost[d + 1] <= s->budget) d++;
    uint32_t at[3] = {best, d, d < deepest ? d + 1 : d};
    for (int i = 0; i < 3; i++) {
        curve_point p = point_at(c, depth, strategy, at[i]);
        if (p.cost <= s->budget) offer(&s->below, &s->n_below, &s->below_capacity, &p);
        else offer(&s->above, &s->n_above, &s->above_capacity, &p);
    }
    return best;
}

/* Coordinate ascent at one price, from `depth`, which it changes. Returns the mean cost where it ends. */
static double ascend(search *s, double price, uint32_t *depth) {
    double cost = 0;
    for (int round = 0; round < MOST_ROUNDS; round++) {
        bool moved = false;
        for (uint32_t strategy = 0; strategy < s->c->trial->n_strategies; strategy++) {
            curve_along(s->c, depth, strategy);
            uint32_t best = take_from_curve(s, depth, strategy, price);
            moved |= best != depth[strategy];
            depth[strategy] = best;
            cost = s->c->cost[best];
        }
        if (!moved) break;
    }
    return cost;
}

static void bisect_price(search *s, uint32_t *depth) {
    double low = log(PRICE_LOW), high = log(PRICE_HIGH);
    for (int i = 0; i < BISECTIONS; i++) {
        double middle = (low + high) / 2;
        if (ascend(s, exp(middle), depth) > s->budget) low = middle;
        else high = middle;
    }
}

/* The pair of points whose mixture at the budget finds most. */
static double best_mixture(const search *s, curve_point *below, curve_point *above) {
    double best = -1;
    for (size_t i = 0; i < s->n_below; i++) {
        const curve_point *a = &s->below[i];
        if (a->recall > best) best = a->recall, *below = *above = *a;
        for (size_t k = 0; k < s->n_above; k++) {
            const curve_point *b = &s->above[k];
            double mixed = a->recall + (b->recall - a->recall) * (s->budget - a->cost) / (b->cost - a->cost);
            if (mixed > best) best = mixed, *below = *a, *above = *b;
        }
    }
    return best;
}

/* Every strategy gives up some of its depth, and another gets what that allows. Single steps of one coordinate cannot do
 * this: they would leave the budget first. */
static void exchange_from(search *s, const curve_point *from) {
    uint32_t S = s->c->trial->n_strategies, deepest = s->c->trial->deepest;
    for (uint32_t giver = 0; giver < S; giver++) {
        uint32_t d = from->depth[giver], to[] = {0, d / 2, d - d / 4, d > 2 ? d - 2 : 0, d + 2 < deepest ? d + 2 : deepest};
        for (size_t k = 0; k < sizeof to / sizeof *to; k++) {
            if (to[k] == d) continue;
            uint32_t depth[POLICY_MAX_STRATEGIES];
            memcpy(depth, from->depth, sizeof depth);
            depth[giver] = to[k];
            for (uint32_t taker = 0; taker < S; taker++) {
                if (taker == giver) continue;
                curve_along(s->c, depth, taker);
                take_from_curve(s, depth, taker, PRICE_LOW);
            }
        }
    }
}

void curve_search(curve *c, double budget, uint64_t seed) {
    search s = {.c = c, .budget = budget};
    random_source random;
    uint32_t S = c->trial->n_strategies;
    random_seed(&random, seed);
    for (int start = 0; start < 2 + RANDOM_STARTS; start++) {
        uint32_t depth[POLICY_MAX_STRATEGIES] = {0};
        for (uint32_t i = 0; i < S; i++)
            depth[i] = start == 0 ? 0 : start == 1 ? (uint32_t)(budget / S) : (uint32_t)random_below(&random, c->trial->deepest + 1);
        for (uint32_t i = 0; i < S; i++)
            if (depth[i] > c->trial->deepest) depth[i] = c->trial->deepest;
        bisect_price(&s, depth);
    }
    double best = best_mixture(&s, &c->below, &c->above);
    for (int round = 0; round < MOST_EXCHANGES; round++) {
        exchange_from(&s, &c->below);
        double better = best_mixture(&s, &c->below, &c->above);
        if (better <= best) break;
        best = better;
    }
    free(s.below);
    free(s.above);
}
