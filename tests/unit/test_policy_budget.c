/* The price of a candidate, steered to a budget. */
#include "policy_world.h"

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

/* A budget that asking everything does not use up makes candidates as cheap as they can be; when requests change, the price
 * must come back from there soon. */
static void an_idle_price_comes_back_soon(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    policy_config c = settings("regcb", true);
    c.budget = 60;
    c.cost = .0001; /* below what the budget makes of it */
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
    assert_float_equal(policy_price(p), c.cost, 1e-12);
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
        policy_decide_by(p, NULL, r->x, allowed, cost, &random, &d);
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
    policy_decide_by(p, NULL, rows[0].x, allowed, cost, &random, &d);
    assert_true(isfinite(d.expected_cost) && d.propensity > 0);
    policy_destroy(p);
}

/* What a request really cost is noisier than what was expected: the union of what was drawn, of which much or little
 * overlaps. Here .2 to 1.8 times what was drawn, so that a budget of 100 sees unions of 20 to 180. */
static void what_was_really_spent_meets_the_budget(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    for (int i = 0; i < LEARNERS; i++) {
        policy_config c = settings(learners[i], true);
        c.budget = 100;
        c.cost = .0001; /* below what the budget makes of it */
        policy *p = make(&c);
        random_source random;
        policy_decision d;
        double spent = 0, least = INFINITY, most = 0;
        random_seed(&random, (uint64_t)i);
        for (int t = 0; t < 3000; t++) {
            const row *r = &rows[t % ROWS];
            double drawn = 0;
            policy_decide(p, r->x, allowed, &random, &d);
            for (int s = 0; s < S; s++) drawn += depths[d.level[s]];
            d.expected_cost = round(drawn * (.2 + 1.6 * random_double(&random)));
            policy_observe_all(p, r->x, allowed, &d);
            policy_hindsight(p, r->x, &d, r->rank, 1);
            if (t < 1000) continue;
            spent += d.expected_cost / 2000;
            least = fmin(least, d.expected_cost);
            most = fmax(most, d.expected_cost);
        }
        if (fabs(spent / c.budget - 1) >= .02) fail_msg("%s: %.1f for 100", c.name, spent);
        assert_true(least <= 20 && most >= 180);
        policy_destroy(p);
    }
}

/* "95 % within the limit": a request over it counts as 20 budgets, any other as none. The time is log-normal around
 * what was drawn. */
static void a_quantile_meets_its_share(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    for (int i = 0; i < 2 * LEARNERS; i++) {
        const double limit = i % 2 ? 40 : 150;
        policy_config c = settings(learners[i / 2], true);
        c.budget = 100;
        c.cost = .0001; /* below what the budget makes of it */
        policy *p = make(&c);
        random_source random;
        policy_decision d;
        int over = 0, early = 0;
        random_seed(&random, (uint64_t)i);
        for (int t = 0; t < 10000; t++) {
            const row *r = &rows[t % ROWS];
            double took = 3;
            policy_decide(p, r->x, allowed, &random, &d);
            for (int s = 0; s < S; s++) took += depths[d.level[s]];
            took *= exp(.5 * random_normal(&random));
            d.expected_cost = took > limit ? c.budget / .05 : 0;
            policy_observe_all(p, r->x, allowed, &d);
            policy_hindsight(p, r->x, &d, r->rank, 1);
            over += t >= 2000 && took > limit;
            early += t < 2000 && took > limit;
        }
        if (over < .03 * 8000 || over > .07 * 8000 || early > .1 * 2000)
            fail_msg("%s: %d of 8000 over %.0f, before that %d of 2000", c.name, over, limit, early);
        policy_destroy(p);
    }
}

/* A request that takes a thousand times what it should is no reason to ask nobody for long, whenever it comes. */
static void one_outlier_does_not_throw_the_price(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    for (int warm = 0; warm < 2; warm++) {
        policy_config c = settings("regcb", true);
        c.budget = 48;
        c.cost = .0001; /* below what the budget makes of it */
        policy *p = make(&c);
        random_source random;
        policy_decision d;
        random_seed(&random, 1);
        if (warm) run(p, true, rows, 0, 2000, &random);
        double price = policy_price(p);
        policy_decide(p, rows[0].x, allowed, &random, &d);
        d.expected_cost = 1000 * c.budget;
        policy_observe_all(p, rows[0].x, allowed, &d);
        assert_true(policy_price(p) > price && policy_price(p) < 1.25 * price);
        run(p, true, rows, 0, 300, &random);
        tally t = run(p, true, rows, 300, 800, &random);
        assert_true(fabs(t.cost / c.budget - 1) < .1);
        policy_destroy(p);
    }
}

/* An apprentice learns from a static plan but does not pay for it; what a decision cost may also be unknown. */
static void only_its_own_spending_moves_the_price(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    policy_config c = settings("regcb", true);
    c.budget = 10;
    c.cost = .0001; /* below what the budget makes of it */
    policy *p = make(&c);
    policy_decision d = {.n_strategies = S, .n_levels = L, .expected_cost = 3 * 128};
    for (int s = 0; s < S; s++) d.probability[s][6] = 1;
    policy_observe_all(p, rows[0].x, allowed, &d);
    assert_true(policy_price(p) == c.cost);
    d.version = 1;
    const double unknown[] = {-1, NAN, INFINITY};
    for (int i = 0; i < 3; i++) {
        d.expected_cost = unknown[i];
        policy_observe_all(p, rows[0].x, allowed, &d);
        assert_true(policy_price(p) == c.cost);
    }
    d.expected_cost = 3 * 128;
    policy_observe_all(p, rows[0].x, allowed, &d);
    double price = policy_price(p);
    assert_true(price > c.cost);
    d.expected_cost = 0; /* nothing was spent: that is known */
    for (int i = 0; i < 50; i++) policy_observe_all(p, rows[0].x, allowed, &d);
    assert_true(policy_price(p) < price);
    policy_destroy(p);
}

static void without_a_budget_the_price_is_its_own_again(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    policy_config c = settings("regcb", true);
    c.budget = 2;
    c.cost = .0001;
    policy *p = make(&c);
    random_source random;
    random_seed(&random, 1);
    run(p, true, rows, 0, 500, &random);
    assert_true(policy_price(p) > 2 * c.cost);
    policy_set_budget(p, 0, c.cost, false);
    assert_float_equal(policy_price(p), c.cost, 1e-12);
    run(p, true, rows, 0, 100, &random);
    assert_float_equal(policy_price(p), c.cost, 1e-12);
    policy_destroy(p);
}

/* Eight milliseconds are not eight candidates. */
static void equal_depths_do_not_come_from_a_budget_of_time(void **state) {
    (void)state;
    const row *rows = draw_rows(6);
    policy_config c = settings("regcb", true);
    policy_decision with, without;
    random_source random;
    random_seed(&random, 1);
    policy *p = make(&c);
    policy_decide_by(p, "rrf-equal", rows[0].x, allowed, NULL, &random, &without);
    policy_set_budget(p, 8, c.cost, true);
    policy_decide_by(p, "rrf-equal", rows[0].x, allowed, NULL, &random, &with);
    assert_memory_equal(with.level, without.level, sizeof with.level);
    assert_true(with.level[0] > 0);
    policy_destroy(p);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mean_cost_meets_the_budget),
        cmocka_unit_test(an_idle_price_comes_back_soon),
        cmocka_unit_test(costs_of_its_own_steer_a_decision),
        cmocka_unit_test(what_was_really_spent_meets_the_budget),
        cmocka_unit_test(a_quantile_meets_its_share),
        cmocka_unit_test(one_outlier_does_not_throw_the_price),
        cmocka_unit_test(only_its_own_spending_moves_the_price),
        cmocka_unit_test(without_a_budget_the_price_is_its_own_again),
        cmocka_unit_test(equal_depths_do_not_come_from_a_budget_of_time),
    };
    return cmocka_run_group_tests_name("policy budget", tests, NULL, NULL);
}
