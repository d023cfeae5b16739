/* A world whose best depths are known. A request is in one of two contexts; what is wanted has a rank under each of
 * three strategies, drawn from distributions that depend on the context; the reward is 1 when a strategy is asked that
 * deep. */
#ifndef POLICY_WORLD_H
#define POLICY_WORLD_H

#include "policy_testing.h"

#include <math.h>

enum { S = 3, F = 3, L = 7, ROWS = 3000, ALLOCATIONS = L * L * L };
static const uint32_t depths[L] = {0, 4, 8, 16, 32, 64, 128};
static const uint32_t allowed[S] = {127, 127, 127};

typedef struct row {
    uint32_t context, rank[S];
    float x[S * F];
} row;

/* Found with probability `chance`, then at a rank that is log-uniform up to `deep`. */
static inline uint32_t draw_rank(random_source *random, double chance, double deep) {
    if (random_double(random) >= chance) return 0;
    return (uint32_t)exp(random_double(random) * log(deep + 1));
}

/* Context 0 is strategy 0's, context 1 strategy 1's; strategy 2 mostly repeats, deeper, what the others find. */
static inline void draw_row(random_source *random, bool swapped, row *r) {
    *r = (row){.context = random_u64(random) & 1};
    uint32_t expert = r->context ^ swapped, repeats = (uint32_t)random_below(random, 2);
    r->rank[expert] = draw_rank(random, .8, 60);
    r->rank[1 - expert] = draw_rank(random, .15, 100);
    r->rank[2] = random_below(random, 3) ? r->rank[repeats] * 3 : draw_rank(random, .5, 200);
    for (uint32_t s = 0; s < S; s++) {
        r->x[s * F] = 1;
        r->x[s * F + 1 + r->context] = 1;
    }
}

static inline row *draw_rows(uint64_t seed) {
    static row rows[ROWS];
    random_source random;
    random_seed(&random, seed);
    for (int i = 0; i < ROWS; i++) draw_row(&random, false, &rows[i]);
    return rows;
}

/* ---- What is best ---- */

typedef struct allocation {
    double recall[2], cost; /* recall: summed over the rows of each context, divided by all rows */
} allocation;

static inline void weigh_allocations(const row *rows, allocation *out) {
    for (int a = 0; a < ALLOCATIONS; a++) {
        uint32_t depth[S] = {depths[a % L], depths[a / L % L], depths[a / L / L]};
        out[a] = (allocation){.cost = depth[0] + depth[1] + depth[2]};
        for (int i = 0; i < ROWS; i++) {
            bool found = false;
            for (int s = 0; s < S; s++) found |= rows[i].rank[s] && rows[i].rank[s] <= depth[s];
            out[a].recall[rows[i].context] += (double)found / ROWS;
        }
    }
}

/* Best recall within a mean cost: of one allocation for all, and of one for each context. */
static inline double best_fixed(const allocation *all, double budget) {
    double best = 0;
    for (int a = 0; a < ALLOCATIONS; a++)
        if (all[a].cost <= budget) best = fmax(best, all[a].recall[0] + all[a].recall[1]);
    return best;
}

static inline double best_by_context(const allocation *all, double budget) {
    double best = 0;
    for (int a = 0; a < ALLOCATIONS; a++)
        for (int b = 0; b < ALLOCATIONS; b++)
            if (all[a].cost + all[b].cost <= 2 * budget) best = fmax(best, all[a].recall[0] + all[b].recall[1]);
    return best;
}

/* The same when a candidate has a price: recall less what it costs. */
static inline double best_net(const allocation *all, double price) {
    double best[2] = {0};
    for (int a = 0; a < ALLOCATIONS; a++)
        for (int k = 0; k < 2; k++) best[k] = fmax(best[k], all[a].recall[k] - price * all[a].cost / 2);
    return best[0] + best[1];
}

/* ---- The learner in it ---- */

static inline policy_config settings(const char *name, bool hindsight) {
    policy_config c;
    policy_config_default(&c, name, S);
    c.n_levels = L;
    c.n_features = F;
    memcpy(c.depths, depths, sizeof depths);
    c.hindsight = hindsight;
    c.exploration = .001;
    c.cost = .002;
    for (int s = 0; s < S; s++) c.prior_reward[s] = .3;
    return c;
}

static inline bool shown(const row *r, const policy_decision *d) {
    for (int s = 0; s < S; s++)
        if (r->rank[s] && r->rank[s] <= depths[d->level[s]]) return true;
    return false;
}

/* Marginal values at the levels drawn. */
static inline void reward_played(const row *r, const policy_decision *d, float *reward) {
    int finders = 0;
    for (int s = 0; s < S; s++) {
        reward[s] = r->rank[s] && r->rank[s] <= depths[d->level[s]];
        finders += reward[s] > 0;
    }
    for (int s = 0; finders > 1 && s < S; s++) reward[s] = 0;
}

typedef struct tally {
    double recall, cost; /* means of what was expected */
} tally;

/* One request with full feedback. */
static inline void step(policy *p, bool hindsight, const row *r, random_source *random, tally *t) {
    policy_decision d;
    float reward[S];
    policy_decide(p, r->x, allowed, random, &d);
    t->recall += policy_inclusion(&d, depths, r->rank);
    t->cost += d.expected_cost;
    if (hindsight) {
        policy_observe_all(p, r->x, allowed, &d);
        policy_hindsight(p, r->x, &d, r->rank, 1);
    } else {
        reward_played(r, &d, reward);
        policy_observe(p, r->x, &d);
        policy_reward(p, r->x, &d, reward);
    }
}

static inline tally run(policy *p, bool hindsight, const row *rows, int from, int to, random_source *random) {
    tally t = {0};
    for (int i = from; i < to; i++) step(p, hindsight, &rows[i % ROWS], random, &t);
    return (tally){t.recall / (to - from), t.cost / (to - from)};
}

/* What a policy would earn on `n` rows as it is now; nothing is learned. */
static inline tally judge(const policy *p, const row *rows, int n) {
    tally t = {0};
    random_source random;
    policy_decision d;
    random_seed(&random, 5);
    for (int i = 0; i < n; i++) {
        policy_decide(p, rows[i].x, allowed, &random, &d);
        t.recall += policy_inclusion(&d, depths, rows[i].rank) / n;
        t.cost += d.expected_cost / n;
    }
    return t;
}

#endif
