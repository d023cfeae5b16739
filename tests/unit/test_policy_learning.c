/* Learning by hindsight. */
#include "policy_world.h"

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
        c.cost = .0001; /* below what the budget makes of it */
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
    c.cost = .0001; /* below what the budget makes of it */
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
        c.cost = .0001; /* below what the budget makes of it */
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
    };
    return cmocka_run_group_tests_name("policy, hindsight", tests, NULL, NULL);
}
