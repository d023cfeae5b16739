/* Trials and allocations: against brute force on lists that are small enough for it, and learners against a world where
 * the right strategy is known. */
#include "testing.h"

#include "simulate/allocation.h"
#include "simulate/contest.h"

#include <math.h>

enum { S = 3, DEEPEST = 6, L = 4, F = 2, ROWS = 60 };
static const uint32_t levels[L] = {0, 2, 4, 6};

typedef struct request {
    uint32_t list[S][DEEPEST], length[S], wanted;
    float x[S * F];
    uint32_t allowed[S];
} request;

static void add(trial *t, const request *r, uint32_t strategies, uint64_t event) {
    const uint32_t *documents[S];
    float cost[S * L];
    for (uint32_t s = 0; s < S; s++) {
        documents[s] = r->list[s];
        for (uint32_t l = 0; l < L; l++) cost[s * L + l] = (float)levels[l];
    }
    trial_probe probe = {S, L, F, levels, r->x, r->allowed, cost, documents, r->length};
    trial_add(t, &probe, DEEPEST, strategies, r->wanted, event);
}

/* Lists that overlap, of unequal lengths; what is wanted is in none, one or several of them. */
static request random_request(random_source *random) {
    request r = {.wanted = (uint32_t)random_below(random, 24) + 100};
    for (uint32_t s = 0; s < S; s++) {
        r.length[s] = (uint32_t)random_below(random, DEEPEST + 1);
        r.allowed[s] = 15;
        r.x[s * F] = 1;
        for (uint32_t i = 0; i < r.length[s]; i++) {
            bool again = true;
            while (again) {
                r.list[s][i] = (uint32_t)random_below(random, 16) + 100 + 4 * s;
                again = false;
                for (uint32_t k = 0; k < i; k++) again |= r.list[s][k] == r.list[s][i];
            }
        }
    }
    return r;
}

static void random_trial(trial *t) {
    random_source random;
    random_seed(&random, 11);
    trial_init(t);
    for (uint64_t i = 0; i < ROWS; i++) {
        request r = random_request(&random);
        add(t, &r, 7, i);
    }
}

static void measure(const trial *t, const uint32_t *depth, double *recall, double *cost) {
    bool seen[S * DEEPEST];
    *recall = *cost = 0;
    for (size_t i = 0; i < t->n; i++) {
        bool found = false;
        for (uint32_t s = 0; s < S; s++) found |= t->rows[i].rank[s] && t->rows[i].rank[s] <= depth[s];
        *recall += found / (double)t->n;
        *cost += trial_union(t, &t->rows[i], depth, seen) / (double)t->n;
    }
}

static void test_recorded(void **state) {
    (void)state;
    trial t;
    bool seen[S * DEEPEST];
    trial_init(&t);
    request r = {.list = {{7, 9, 5}, {9, 5}, {1, 2, 3, 4}}, .length = {3, 2, 4}, .wanted = 5, .allowed = {15, 15, 15}};
    add(&t, &r, 7, 40);
    add(&t, &r, 5, 41);
    const trial_row *row = &t.rows[0], *without = &t.rows[1];
    assert_int_equal(row->event, 40);
    assert_int_equal(row->n_documents, 7);
    assert_int_equal(row->rank[0], 3);
    assert_int_equal(row->rank[1], 2);
    assert_int_equal(row->rank[2], 0);
    assert_int_equal(trial_union(&t, row, (uint32_t[]){2, 1, 0}, seen), 2);
    assert_int_equal(trial_union(&t, row, (uint32_t[]){6, 6, 6}, seen), 7);
    assert_int_equal(trial_union(&t, row, (uint32_t[]){0, 0, 0}, seen), 0);
    /* A strategy that takes no part has no list, may not be asked, and costs nothing. */
    assert_int_equal(without->length[1], 0);
    assert_int_equal(without->rank[1], 0);
    assert_int_equal(without->allowed[1], 1);
    assert_float_equal(without->cost[L + 3], 0, 0);
    trial_release(&t);
}

/* All 343 vectors of depths, and every mixture of two of them. */
static double best_by_force(const trial *t, double budget) {
    static double recall[343], cost[343];
    double best = 0;
    for (uint32_t i = 0; i < 343; i++) measure(t, (uint32_t[]){i % 7, i / 7 % 7, i / 49}, &recall[i], &cost[i]);
    for (uint32_t i = 0; i < 343; i++) {
        if (cost[i] > budget) continue;
        best = fmax(best, recall[i]);
        for (uint32_t k = 0; k < 343; k++)
            if (cost[k] > budget)
                best = fmax(best, recall[i] + (recall[k] - recall[i]) * (budget - cost[i]) / (cost[k] - cost[i]));
    }
    return best;
}

static void test_best_fixed_is_the_best(void **state) {
    (void)state;
    trial t;
    random_trial(&t);
    for (double budget = 1; budget < 9; budget += 1.5) {
        allocation a;
        allocation_fixed(&t, budget, 1, &a);
        assert_float_equal(a.recall, best_by_force(&t, budget), 1e-9);
        assert_true(a.cost <= budget + 1e-9);
        allocation_release(&a);
    }
    trial_release(&t);
}

static void assert_holds(const trial *t, const allocation *a, double budget) {
    double sum = 0;
    for (size_t i = 0; i < t->n; i++) sum += a->found[i] / (double)t->n;
    assert_float_equal(sum, a->recall, 1e-9);
    assert_true(a->cost <= budget + 1e-9);
}

static void test_plans_meet_the_budget(void **state) {
    (void)state;
    trial t;
    random_trial(&t);
    const double budget = 2.7;
    allocation equal, fusion, oracle, fixed, single[S];
    allocation_equal(&t, budget, &equal);
    allocation_fusion(&t, budget, &fusion);
    allocation_oracle(&t, budget, &oracle);
    allocation_fixed(&t, budget, 1, &fixed);
    assert_float_equal(equal.cost, budget, 1e-9); /* a mixture of two depths meets it */
    assert_float_equal(equal.depth[0], equal.depth[2], 1e-9);
    assert_true(fusion.cost <= 2);
    for (uint32_t s = 0; s < S; s++) {
        allocation_single(&t, s, budget, &single[s]);
        assert_holds(&t, &single[s], budget);
        assert_true(fixed.recall >= single[s].recall - 1e-9);
        allocation_release(&single[s]);
    }
    assert_holds(&t, &equal, budget);
    assert_holds(&t, &fusion, budget);
    assert_holds(&t, &fixed, budget);
    assert_true(fixed.recall >= equal.recall - 1e-9);
    for (size_t i = 0; i < t.n; i++) { /* wherever any plan of whole requests finds it, the oracle does */
        uint32_t least = UINT32_MAX;
        for (uint32_t s = 0; s < S; s++)
            if (t.rows[i].rank[s] && t.rows[i].rank[s] < least) least = t.rows[i].rank[s];
        assert_float_equal(oracle.found[i], least <= budget, 0);
    }
    allocation_release(&equal);
    allocation_release(&fusion);
    allocation_release(&oracle);
    allocation_release(&fixed);
    trial_release(&t);
}

static void test_fusion_prefers_what_two_found(void **state) {
    (void)state;
    trial t;
    allocation a;
    trial_init(&t);
    request r = {.list = {{1, 2, 3, 4}, {5, 4}}, .length = {4, 2}, .wanted = 4, .allowed = {15, 15, 15}};
    add(&t, &r, 7, 0);
    allocation_fusion(&t, 1, &a);
    assert_float_equal(a.recall, 1, 0);
    assert_float_equal(a.cost, 1, 0);
    allocation_release(&a);
    trial_release(&t);
}

static void test_empty_trial(void **state) {
    (void)state;
    trial t;
    allocation a;
    trial_init(&t);
    allocation_fixed(&t, 10, 1, &a);
    assert_float_equal(a.recall, 0, 0);
    allocation_release(&a);
    allocation_equal(&t, 10, &a);
    assert_float_equal(a.cost, 0, 0);
    allocation_release(&a);
    trial_release(&t);
}

/* ---- Policies ---- */

static policy *make(const char *rule, bool played, double budget) {
    policy_config c;
    policy *p = NULL;
    policy_config_default(&c, rule, S);
    c.n_levels = L;
    c.n_features = F;
    c.hindsight = !played;
    c.exploration = played ? .02 : .002;
    c.cost = 1e-3;
    c.budget = budget;
    memcpy(c.depths, levels, sizeof levels);
    assert_ok(policy_create(&c, &p, NULL));
    return p;
}

static void begin_sums(const trial *t, trial_sums *sums) {
    *sums = (trial_sums){.found = mem_zalloc(t->n, sizeof(double)), .cost = mem_zalloc(t->n, sizeof(double)),
                         .asked = mem_zalloc(S, sizeof(double)), .least = 1};
}

static void end_sums(trial_sums *sums) {
    free(sums->found);
    free(sums->cost);
    free(sums->asked);
}

/* By the exact sum over all 64 draws. */
static void run(const trial *t, policy *p, trial_credit credit, uint64_t seed, const uint32_t *order, trial_sums *sums) {
    trial_learner learner;
    trial_learner_init(&learner, p);
    trial_run(t, &learner, credit, seed, order, sums);
}

static void test_expectations_are_exact(void **state) {
    (void)state;
    trial t;
    trial_sums sums;
    bool seen[S * DEEPEST];
    random_trial(&t);
    policy *p = make("lin-ts", false, 0), *same = make("lin-ts", false, 0);
    t.n = 1; /* the first decision only: nothing is learned before it */
    begin_sums(&t, &sums);
    run(&t, p, TRIAL_HINDSIGHT, 5, NULL, &sums);
    policy_decision d;
    random_source random;
    double cost = 0, found = 0;
    random_seed(&random, 5);
    policy_decide_by(same, NULL, t.rows[0].x, t.rows[0].allowed, t.rows[0].cost, &random, &d);
    for (uint32_t i = 0; i < L * L * L; i++) {
        uint32_t level[S] = {i % L, i / L % L, i / L / L}, depth[S];
        double probability = 1;
        bool has = false;
        for (uint32_t s = 0; s < S; s++) {
            depth[s] = levels[level[s]];
            probability *= (double)d.probability[s][level[s]];
            has |= t.rows[0].rank[s] && t.rows[0].rank[s] <= depth[s];
        }
        cost += probability * trial_union(&t, &t.rows[0], depth, seen);
        found += probability * has;
    }
    assert_float_equal(sums.cost[0], cost, 1e-6);
    assert_float_equal(sums.found[0], found, 1e-6);
    end_sums(&sums);
    policy_destroy(p);
    policy_destroy(same);
    t.n = ROWS;
    trial_release(&t);
}

static void test_all_is_the_union(void **state) {
    (void)state;
    trial t;
    trial_sums sums;
    bool seen[S * DEEPEST];
    random_trial(&t);
    policy *p = make("all", false, 0);
    begin_sums(&t, &sums);
    run(&t, p, TRIAL_HINDSIGHT, 1, NULL, &sums);
    for (size_t i = 0; i < t.n; i++) {
        assert_float_equal(sums.cost[i], trial_union(&t, &t.rows[i], (uint32_t[]){6, 6, 6}, seen), 1e-9);
        bool any = t.rows[i].rank[0] || t.rows[i].rank[1] || t.rows[i].rank[2];
        assert_float_equal(sums.found[i], any, 1e-9);
    }
    end_sums(&sums);
    policy_destroy(p);
    trial_release(&t);
}

/* Where the second feature is 1, only the first strategy has what is wanted, at rank 5; else only the second. The third
 * never has. A plan that is the same for all has half of it for five candidates, and all of it for ten. */
static void known_world(trial *t, size_t n) {
    random_source random;
    random_seed(&random, 3);
    trial_init(t);
    for (uint64_t i = 0; i < n; i++) {
        request r = {.wanted = 1000, .allowed = {15, 15, 15}, .length = {6, 6, 6}};
        uint32_t side = (uint32_t)random_below(&random, 2);
        for (uint32_t s = 0; s < S; s++) {
            r.x[s * F] = 1;
            r.x[s * F + 1] = (float)side;
            for (uint32_t k = 0; k < DEEPEST; k++) r.list[s][k] = 10 * s + k;
        }
        r.list[side ? 0 : 1][4] = 1000;
        add(t, &r, 7, i);
    }
}

static double late_recall(const trial *t, const double *found) {
    double sum = 0;
    for (size_t i = t->n / 2; i < t->n; i++) sum += found[i];
    return sum / (double)(t->n - t->n / 2);
}

static void test_learners_find_the_right_strategy(void **state) {
    (void)state;
    static const char *const rules[] = {"regcb", "squarecb", "lin-ts", "epsilon-greedy"};
    trial t;
    allocation fixed;
    known_world(&t, 4000);
    allocation_fixed(&t, 6, 1, &fixed);
    assert_true(fixed.recall < .65);
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++) {
        trial_sums sums;
        double cost = 0;
        policy *p = make(rules[i], false, 6.5);
        begin_sums(&t, &sums);
        run(&t, p, TRIAL_HINDSIGHT, 1, NULL, &sums);
        for (size_t k = 0; k < t.n; k++) cost += sums.cost[k] / (double)t.n;
        if (late_recall(&t, sums.found) < .8) fail_msg("%s: %f", rules[i], late_recall(&t, sums.found));
        assert_true(cost < 7);
        assert_true(sums.least > 0); /* every level that is allowed can be drawn */
        end_sums(&sums);
        policy_destroy(p);
    }
    allocation_release(&fixed);
    trial_release(&t);
}

static void test_hindsight_learns_faster(void **state) {
    (void)state;
    trial t;
    known_world(&t, 600);
    double recall[2];
    for (int played = 0; played < 2; played++) {
        trial_sums sums;
        policy *p = make("regcb", played, 6.5);
        begin_sums(&t, &sums);
        run(&t, p, played ? TRIAL_PLAYED : TRIAL_HINDSIGHT, 1, NULL, &sums);
        recall[played] = late_recall(&t, sums.found);
        end_sums(&sums);
        policy_destroy(p);
    }
    assert_true(recall[0] > recall[1]);
    trial_release(&t);
}

/* A policy that has learned from lessons is as good at once as one that learned as it went is later; its lessons are no
 * part of what is measured. */
static void test_lessons_before(void **state) {
    (void)state;
    trial t;
    known_world(&t, 2000);
    t.n_lessons = 1900;
    trial measured = trial_measured(&t);
    assert_int_equal(measured.n, 100);
    double recall[2];
    for (int warm = 0; warm < 2; warm++) {
        trial_sums sums;
        policy *p = make("regcb", false, 6.5);
        begin_sums(&measured, &sums);
        trial_learner learner;
        trial_learner_init(&learner, p);
        if (warm) trial_teach(&t, &learner, 2);
        trial_run(&measured, &learner, TRIAL_HINDSIGHT, 1, NULL, &sums);
        recall[warm] = 0;
        for (size_t i = 0; i < 30; i++) recall[warm] += sums.found[i] / 30; /* the first that are measured */
        end_sums(&sums);
        policy_destroy(p);
    }
    assert_true(recall[1] > .8);
    assert_true(recall[1] > recall[0]);
    trial_release(&t);
}

static void test_names_of_policies(void **state) {
    (void)state;
    contest_policy p;
    base_error error;
    assert_ok(contest_policy_read(SLICE("regcb"), &p, &error));
    assert_true(!p.played && !p.shuffled);
    assert_ok(contest_policy_read(SLICE("lin-ts:played:shuffled"), &p, &error));
    assert_string_equal(p.rule, "lin-ts");
    assert_true(p.played && p.shuffled);
    assert_ok(contest_policy_read(SLICE("regcb:warm"), &p, &error));
    assert_true(p.warm);
    assert_int_equal(contest_policy_read(SLICE("regcb:warm:played"), &p, &error), FORAGE_E_INVALID);
    assert_int_equal(contest_policy_read(SLICE("regcb:"), &p, &error), FORAGE_E_INVALID);
    assert_int_equal(contest_policy_read(SLICE("regcb:bold"), &p, &error), FORAGE_E_INVALID);
    assert_int_equal(contest_policy_read(SLICE(":played"), &p, &error), FORAGE_E_INVALID);
    assert_int_equal(contest_policy_read(SLICE(""), &p, &error), FORAGE_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_recorded),
        cmocka_unit_test(test_best_fixed_is_the_best),
        cmocka_unit_test(test_plans_meet_the_budget),
        cmocka_unit_test(test_fusion_prefers_what_two_found),
        cmocka_unit_test(test_empty_trial),
        cmocka_unit_test(test_expectations_are_exact),
        cmocka_unit_test(test_all_is_the_union),
        cmocka_unit_test(test_learners_find_the_right_strategy),
        cmocka_unit_test(test_hindsight_learns_faster),
        cmocka_unit_test(test_lessons_before),
        cmocka_unit_test(test_names_of_policies),
    };
    return cmocka_run_group_tests_name("replay_trial", tests, NULL, NULL);
}
