/* Learning by hindsight and to a budget, in a world whose best depths are known. A request is in one of two contexts;
 * what is wanted has a rank under each of three strategies, drawn from distributions that depend on the context; the
 * reward is 1 when a strategy is asked that deep. */
#include "testing.h"

#include "policy/policy.h"

#include <math.h>

enum { S = 3, F = 3, L = 7, ROWS = 3000, ALLOCATIONS = L * L * L };
static const uint32_t depths[L] = {0, 4, 8, 16, 32, 64, 128};
static const uint32_t allowed[S] = {127, 127, 127};
static const char *const learners[] = {"epsilon-greedy", "linucb", "lin-ts", "squarecb", "regcb"};
enum { LEARNERS = sizeof learners / sizeof *learners };

typedef struct row {
    uint32_t context, rank[S];
    float x[S * F];
} row;

/* Found with probability `chance`, then at a rank that is log-uniform up to `deep`. */
static uint32_t draw_rank(random_source *random, double chance, double deep) {
    if (random_double(random) >= chance) return 0;
    return (uint32_t)exp(random_double(random) * log(deep + 1));
}

/* Context 0 is strategy 0's, context 1 strategy 1's; strategy 2 mostly repeats, deeper, what the others find. */
static void draw_row(random_source *random, bool swapped, row *r) {
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

static row *draw_rows(uint64_t seed) {
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

static void weigh_allocations(const row *rows, allocation *out) {
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
static double best_fixed(const allocation *all, double budget) {
    double best = 0;
    for (int a = 0; a < ALLOCATIONS; a++)
        if (all[a].cost <= budget) best = fmax(best, all[a].recall[0] + all[a].recall[1]);
    return best;
}

static double best_by_context(const allocation *all, double budget) {
    double best = 0;
    for (int a = 0; a < ALLOCATIONS; a++)
        for (int b = 0; b < ALLOCATIONS; b++)
            if (all[a].cost + all[b].cost <= 2 * budget) best = fmax(best, all[a].recall[0] + all[b].recall[1]);
    return best;
}

/* The same when a candidate has a price: recall less what it costs. */
static double best_net(const allocation *all, double price) {
    double best[2] = {0};
    for (int a = 0; a < ALLOCATIONS; a++)
        for (int k = 0; k < 2; k++) best[k] = fmax(best[k], all[a].recall[k] - price * all[a].cost / 2);
    return best[0] + best[1];
}

/* ---- The learner in it ---- */

static policy_config settings(const char *name, bool hindsight) {
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

static policy *make(const policy_config *c) {
    policy *p = NULL;
    base_error error = {0};
    if (policy_create(c, &p, &error)) fail_msg("%s", error.message);
    return p;
}

static bool shown(const row *r, const policy_decision *d) {
    for (int s = 0; s < S; s++)
        if (r->rank[s] && r->rank[s] <= depths[d->level[s]]) return true;
    return false;
}

/* Marginal values at the levels drawn. */
static void reward_played(const row *r, const policy_decision *d, float *reward) {
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
static void step(policy *p, bool hindsight, const row *r, random_source *random, tally *t) {
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

static tally run(policy *p, bool hindsight, const row *rows, int from, int to, random_source *random) {
    tally t = {0};
    for (int i = from; i < to; i++) step(p, hindsight, &rows[i % ROWS], random, &t);
    return (tally){t.recall / (to - from), t.cost / (to - from)};
}

/* What a policy would earn on `n` rows as it is now; nothing is learned. */
static tally judge(const policy *p, const row *rows, int n) {
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

/* ---- Credit ---- */

static void inclusion_is_how_often_a_document_is_among_the_candidates(void **state) {
    (void)state;
    enum { DRAWS = 40000 };
    policy_config c = settings("squarecb", true);
    c.gamma = 5;
    policy *p = make(&c);
    random_source random;
    row r = {.rank = {20, 0, 100}, .x = {1, 1, 0, 1, 1, 0, 1, 1, 0}};
    policy_decision d;
    int found = 0;
    random_seed(&random, 77);
    for (int i = 0; i < DRAWS; i++) {
        policy_decide(p, r.x, allowed, &random, &d);
        found += shown(&r, &d);
    }
    double inclusion = policy_inclusion(&d, depths, r.rank);
    assert_true(inclusion > .2 && inclusion < .8);
    assert_true(fabs(found - DRAWS * inclusion) < 3.5 * sqrt(DRAWS * inclusion * (1 - inclusion)));
    uint32_t nowhere[S] = {0}, beyond[S] = {129, 4000, UINT32_MAX}, top[S] = {1, 1, 1};
    assert_true(policy_inclusion(&d, depths, nowhere) == 0 && policy_inclusion(&d, depths, beyond) == 0);
    double unasked = (double)d.probability[0][0] * (double)d.probability[1][0] * (double)d.probability[2][0];
    assert_true(fabs(policy_inclusion(&d, depths, top) - (1 - unasked)) < 1e-6);
    policy_destroy(p);
}

/* One event, by hand: what a level is credited with is what it adds to the others' distributions. */
static void hindsight_credits_the_marginal_value_of_every_level(void **state) {
    (void)state;
    policy_config c = settings("regcb", true);
    c.n_features = 1;
    for (int s = 0; s < S; s++) c.prior_reward[s] = 0;
    policy *p = make(&c);
    float x[S] = {1, 1, 1};
    policy_decision d = {.n_strategies = S, .n_levels = L, .version = 1};
    d.probability[0][0] = .5f, d.probability[0][5] = .5f; /* finds rank 20 with probability .5 */
    d.probability[1][3] = .75f, d.probability[1][6] = .25f; /* finds rank 100 with .25 */
    d.probability[2][6] = 1; /* certain, but does not find it at all */
    const uint32_t rank[S] = {20, 100, 0};
    policy_observe_all(p, x, allowed, &d);
    policy_hindsight(p, x, &d, rank, 1);
    double unit = policy_predict(p, 0, L - 1, x) / .75; /* what a label of 1 is worth after one event */
    assert_true(unit > .05 && unit < .5);
    for (uint32_t l = 0; l < L; l++) {
        assert_true(fabs(policy_predict(p, 0, l, x) - (depths[l] >= 20 ? .75 : 0) * unit) < 1e-12);
        assert_true(fabs(policy_predict(p, 1, l, x) - (depths[l] >= 100 ? .5 : 0) * unit) < 1e-12);
        assert_true(policy_predict(p, 2, l, x) == 0);
    }
    const uint32_t unable[S] = {127, 1, 127}; /* what cannot run is not observed, and so keeps its estimate */
    policy_observe_all(p, x, unable, &d);
    assert_true(fabs(policy_predict(p, 1, L - 1, x) - .5 * unit) < 1e-12);
    assert_true(policy_predict(p, 0, L - 1, x) < .74 * unit);
    policy_destroy(p);
}

static void late_hindsight_ends_where_prompt_does(void **state) {
    (void)state;
    enum { ROUNDS = 400 };
    policy_config c = settings("regcb", true);
    c.discount = .995;
    policy *prompt = make(&c), *late = make(&c);
    static policy_decision d[ROUNDS];
    const row *rows = draw_rows(3);
    random_source random;
    random_seed(&random, 9);
    for (int i = 0; i < ROUNDS; i++) {
        policy_decide(prompt, rows[i].x, allowed, &random, &d[i]);
        policy_observe_all(prompt, rows[i].x, allowed, &d[i]);
        policy_hindsight(prompt, rows[i].x, &d[i], rows[i].rank, 1);
        policy_observe_all(late, rows[i].x, allowed, &d[i]);
    }
    for (int i = ROUNDS - 1; i >= 0; i--) { /* in another order, and in two halves */
        policy_hindsight(late, rows[i].x, &d[i], rows[i].rank, .25f);
        policy_hindsight(late, rows[i].x, &d[i], rows[i].rank, .75f);
    }
    for (uint32_t s = 0; s < S; s++)
        for (uint32_t l = 0; l < L; l++)
            assert_true(fabs(policy_predict(prompt, s, l, rows[0].x + F * s) -
                             policy_predict(late, s, l, rows[0].x + F * s)) < 1e-6);
    policy_destroy(prompt);
    policy_destroy(late);
}

static void deeper_is_never_predicted_to_find_less(void **state) {
    (void)state;
    const row *rows = draw_rows(8);
    for (int hindsight = 0; hindsight < 2; hindsight++) {
        policy_config c = settings("lin-ts", hindsight);
        policy *p = make(&c);
        random_source random;
        random_seed(&random, 2);
        for (int i = 0; i < 500; i += 25) {
            run(p, hindsight, rows, i, i + 25, &random);
            for (uint32_t s = 0; s < S; s++)
                for (uint32_t l = 1; l < L; l++)
                    assert_true(policy_predict(p, s, l, rows[i].x) >= policy_predict(p, s, l - 1, rows[i].x));
        }
        policy_destroy(p);
    }
}

/* ---- Learning ---- */

static void every_algorithm_beats_the_best_fixed_depths_at_equal_cost(void **state) {
    (void)state;
    const double budget = 48;
    static allocation all[ALLOCATIONS];
    const row *rows = draw_rows(1);
    weigh_allocations(rows, all);
    double fixed = best_fixed(all, budget), best = best_by_context(all, budget);
    assert_true(best > 1.1 * fixed); /* or there is nothing to learn */
    for (int i = 0; i < LEARNERS; i++) {
        policy_config c = settings(learners[i], true);
        c.budget = budget;
        policy *p = make(&c);
        random_source random;
        random_seed(&random, 10);
        run(p, true, rows, 0, ROWS, &random);
        tally t = run(p, true, rows, ROWS, 2 * ROWS, &random);
        printf("    %s: recall %.3f at cost %.1f; best fixed %.3f, best by context %.3f\n", learners[i], t.recall,
               t.cost, fixed, best);
        assert_true(t.recall > fixed);
        assert_true(t.recall > .95 * best);
        assert_true(fabs(t.cost / budget - 1) < .03);
        policy_destroy(p);
    }
}

/* Where only what was drawn can be engaged with, those events stand for the others by their inclusion probability. */
static void feedback_on_what_was_shown_is_enough(void **state) {
    (void)state;
    const double budget = 48;
    static allocation all[ALLOCATIONS];
    const row *rows = draw_rows(1);
    weigh_allocations(rows, all);
    policy_config c = settings("regcb", true);
    c.budget = budget;
    policy *p = make(&c);
    random_source random;
    policy_decision d;
    random_seed(&random, 4);
    for (int i = 0; i < ROWS; i++) {
        policy_decide(p, rows[i].x, allowed, &random, &d);
        policy_observe_all(p, rows[i].x, allowed, &d);
        if (!shown(&rows[i], &d)) continue;
        double weight = fmin(4, 1 / policy_inclusion(&d, depths, rows[i].rank));
        policy_hindsight(p, rows[i].x, &d, rows[i].rank, (float)weight);
    }
    tally t = judge(p, rows, ROWS);
    assert_true(t.recall > best_fixed(all, budget));
    assert_true(t.recall > .9 * best_by_context(all, budget));
    policy_destroy(p);
}

/* Events until a policy is, and 10 looks later still is, at 95 % of what can be had at this price. */
static int events_needed(const char *name, bool hindsight, uint64_t seed, double enough) {
    enum { LOOK = 10, MOST = 20000 };
    policy_config c = settings(name, hindsight);
    policy *p = make(&c);
    const row *rows = draw_rows(1);
    random_source random;
    int good = 0, events = 0;
    random_seed(&random, seed);
    while (good < 10 && events < MOST) {
        run(p, hindsight, rows, events, events + LOOK, &random);
        events += LOOK;
        tally t = judge(p, rows, 200);
        good = t.recall - c.cost * t.cost >= enough ? good + 1 : 0;
    }
    policy_destroy(p);
    return events - 10 * LOOK;
}

static void hindsight_needs_far_fewer_events_than_played_arms(void **state) {
    (void)state;
    static allocation all[ALLOCATIONS];
    weigh_allocations(draw_rows(1), all);
    double enough = .95 * best_net(all, settings("squarecb", true).cost);
    for (int i = 0; i < LEARNERS; i++) {
        int hindsight = 0, played = 0;
        for (uint64_t seed = 1; seed <= 3; seed++) {
            hindsight += events_needed(learners[i], true, seed, enough);
            played += events_needed(learners[i], false, seed, enough);
        }
        printf("    %s: %d events by hindsight, %d by played-arm credit\n", learners[i], hindsight / 3, played / 3);
        assert_true(played >= 2 * hindsight);
    }
}

static void a_swap_of_the_contexts_is_recovered_from(void **state) {
    (void)state;
    enum { BEFORE = 3000, RECOVERY = 1500, WINDOW = 500 };
    static row after[ROWS];
    random_source random;
    random_seed(&random, 21);
    for (int i = 0; i < ROWS; i++) draw_row(&random, true, &after[i]);
    const row *before = draw_rows(20);
    for (int i = 0; i < LEARNERS; i++) {
        policy_config c = settings(learners[i], true);
        c.budget = 48;
        c.discount = .998;
        policy *p = make(&c);
        run(p, true, before, 0, BEFORE - WINDOW, &random);
        double reached = run(p, true, before, BEFORE - WINDOW, BEFORE, &random).recall;
        double broken = judge(p, after, 1000).recall;
        run(p, true, after, 0, RECOVERY, &random);
        tally recovered = run(p, true, after, RECOVERY, RECOVERY + WINDOW, &random);
        assert_true(broken < .6 * reached);
        assert_true(recovered.recall > .95 * reached);
        assert_true(recovered.cost < 1.1 * c.budget);
        policy_destroy(p);
    }
}

/* ---- The budget ---- */

static void the_mean_cost_meets_the_budget(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    const double budgets[] = {16, 48, 120};
    for (int i = 0; i < 3 * 2 * LEARNERS; i++) {
        bool hindsight = i % 2;
        policy_config c = settings(learners[i / 6], hindsight);
        c.budget = budgets[i / 2 % 3];
        c.cost = 5e-5; /* far too cheap at first */
        policy *p = make(&c);
        random_source random;
        random_seed(&random, (uint64_t)i);
        run(p, hindsight, rows, 0, 500, &random);
        tally t = run(p, hindsight, rows, 500, 8500, &random);
        if (fabs(t.cost / c.budget - 1) >= .03)
            fail_msg("%s by %s: %.1f for a budget of %.0f", c.name, hindsight ? "hindsight" : "played", t.cost,
                     c.budget);
        policy_destroy(p);
    }
}

/* A budget that asking everything does not use up makes candidates cheap, without end; when requests change, the price
 * must come back from there soon. */
static void an_idle_price_comes_back_soon(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    policy_config c = settings("regcb", true);
    c.budget = 60;
    policy *p = make(&c);
    random_source random;
    policy_decision d;
    const uint32_t shallow[S] = {3, 3, 3}; /* at most 4 candidates each */
    random_seed(&random, 1);
    run(p, true, rows, 0, 2000, &random);
    for (int i = 0; i < 20000; i++) {
        policy_decide(p, rows[i % ROWS].x, shallow, &random, &d);
        policy_observe_all(p, rows[i % ROWS].x, shallow, &d);
        policy_hindsight(p, rows[i % ROWS].x, &d, rows[i % ROWS].rank, 1);
    }
    assert_true(policy_price(p) >= c.cost / 1000 && policy_price(p) < c.cost / 10);
    run(p, true, rows, 0, 1000, &random);
    tally t = run(p, true, rows, 1000, 4000, &random);
    assert_true(fabs(t.cost / c.budget - 1) < .03);
    policy_destroy(p);
}

/* Costs may be other than depths: here strategy 0 takes 100 times as long as the others. */
static void costs_of_its_own_steer_a_decision(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    policy_config c = settings("regcb", true);
    c.budget = 500;
    c.cost = 1e-5;
    policy *p = make(&c);
    random_source random;
    policy_decision d;
    float cost[S * L];
    double spent = 0, slow = 0, others = 0;
    for (int s = 0; s < S; s++)
        for (int l = 0; l < L; l++) cost[s * L + l] = (float)depths[l] * (s ? 5 : 500);
    random_seed(&random, 1);
    for (int i = 0; i < 6000; i++) {
        const row *r = &rows[i % ROWS];
        policy_decide_at(p, r->x, allowed, cost, &random, &d);
        policy_observe_all(p, r->x, allowed, &d);
        policy_hindsight(p, r->x, &d, r->rank, 1);
        if (i < 1000) continue;
        spent += d.expected_cost / 5000;
        slow += depths[d.level[0]];
        others += depths[d.level[1]] + depths[d.level[2]];
    }
    assert_true(fabs(spent / c.budget - 1) < .03);
    assert_true(slow < others / 20);
    cost[0] = NAN, cost[1] = -1, cost[2] = INFINITY; /* hostile costs count as 0 */
    policy_decide_at(p, rows[0].x, allowed, cost, &random, &d);
    assert_true(isfinite(d.expected_cost) && d.propensity > 0);
    policy_destroy(p);
}

/* An apprentice learns from a static plan but does not pay for it; a decision from a log without its cost is counted
 * from the depths. */
static void only_its_own_spending_moves_the_price(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    policy_config c = settings("regcb", true);
    c.budget = 10;
    policy *p = make(&c);
    policy_decision d = {.n_strategies = S, .n_levels = L};
    for (int s = 0; s < S; s++) d.probability[s][6] = 1;
    policy_observe_all(p, rows[0].x, allowed, &d);
    assert_true(policy_price(p) == c.cost);
    d.version = 1;
    policy_observe_all(p, rows[0].x, allowed, &d);
    assert_true(policy_price(p) > c.cost);
    policy_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(inclusion_is_how_often_a_document_is_among_the_candidates),
        cmocka_unit_test(hindsight_credits_the_marginal_value_of_every_level),
        cmocka_unit_test(late_hindsight_ends_where_prompt_does),
        cmocka_unit_test(deeper_is_never_predicted_to_find_less),
        cmocka_unit_test(every_algorithm_beats_the_best_fixed_depths_at_equal_cost),
        cmocka_unit_test(feedback_on_what_was_shown_is_enough),
        cmocka_unit_test(hindsight_needs_far_fewer_events_than_played_arms),
        cmocka_unit_test(a_swap_of_the_contexts_is_recovered_from),
        cmocka_unit_test(the_mean_cost_meets_the_budget),
        cmocka_unit_test(an_idle_price_comes_back_soon),
        cmocka_unit_test(costs_of_its_own_steer_a_decision),
        cmocka_unit_test(only_its_own_spending_moves_the_price),
    };
    return cmocka_run_group_tests_name("policy learning", tests, NULL, NULL);
}
