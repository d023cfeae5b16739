#include "testing.h"

#include "ope_simulation.h"
#include "world.h"

#include "evaluate/ope_internal.h"
#include "evaluate/ope_log.h"
#include "forage.h"

static void near(double value, double wanted, double tolerance) {
    if (!(fabs(value - wanted) <= tolerance)) fail_msg("%.12g, not %.12g", value, wanted);
}

/* ---- Four rows, by hand ---- */

static const double hand_reward[] = {1, 0, 1, 0}, hand_target[] = {.5, .5, .2, .8}, hand_logging[] = {.25, .5, .5, .2};
static const double hand_predicted[] = {.5, .5, .8, .2}, hand_expected[] = {.6, .4, .7, .3};

static ope_data hand_data(double *weight) {
    assert_ok(ope_weigh(hand_target, hand_logging, 4, weight, NULL));
    return (ope_data){
        .n = 4, .reward = hand_reward, .weight = weight, .predicted = hand_predicted, .expected = hand_expected};
}

static void by_hand(void **state) {
    (void)state;
    double w[4];
    ope_data d = hand_data(w);
    ope_options o = OPE_DEFAULTS;
    ope_estimate e[OPE_KINDS];
    size_t n = 0;
    o.tau = 2;
    o.lambda = 4;
    near(w[0], 2, 1e-12);
    near(w[3], 4, 1e-12);
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    assert_int_equal(n, OPE_KINDS);
    near(e[OPE_IPS].value, (2 * 1 + .4 * 1) / 4, 1e-12);
    near(e[OPE_SNIPS].value, 2.4 / 7.4, 1e-12);
    near(e[OPE_DM].value, .5, 1e-12);
    /* residuals: .5, -.5, .2, -.2 */
    near(e[OPE_DR].value, .5 + (2 * .5 - 1 * .5 + .4 * .2 - 4 * .2) / 4, 1e-12);
    near(e[OPE_SWITCH_DR].value, .5 + (2 * .5 - 1 * .5 + .4 * .2) / 4, 1e-12);
    double shrunk[] = {4 * 2 / 8., 4 * 1 / 5., 4 * .4 / 4.16, 4 * 4 / 20.};
    near(e[OPE_DROS].value, .5 + (shrunk[0] * .5 - shrunk[1] * .5 + shrunk[2] * .2 - shrunk[3] * .2) / 4, 1e-12);
    near(e[OPE_IPS].effective, 7.4 * 7.4 / (4 + 1 + .16 + 16), 1e-12);
    near(e[OPE_IPS].max_weight, 4, 1e-12);
    near(e[OPE_DM].effective, 4, 1e-12);
    near(e[OPE_SWITCH_DR].max_weight, 2, 1e-12);
    near(e[OPE_SWITCH_DR].parameter, 2, 0);
    assert_true(isnan(e[OPE_IPS].parameter));
    /* wr: 2, 0, .4, 0 with mean .6 */
    near(e[OPE_IPS].deviation, sqrt((1.96 + .36 + .04 + .36) / 3 / 4), 1e-12);
    near(e[OPE_IPS].high - e[OPE_IPS].value, 1.959963984540054 * e[OPE_IPS].deviation, 1e-12);
}

static void the_ends_of_shrinking(void **state) {
    (void)state;
    double w[4];
    ope_data d = hand_data(w);
    ope_options o = OPE_DEFAULTS;
    ope_estimate e[OPE_KINDS];
    size_t n;
    o.tau = o.lambda = 0;
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    near(e[OPE_SWITCH_DR].value, e[OPE_DM].value, 1e-12);
    near(e[OPE_DROS].value, e[OPE_DM].value, 1e-12);
    o.tau = o.lambda = INFINITY;
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    near(e[OPE_SWITCH_DR].value, e[OPE_DR].value, 1e-12);
    near(e[OPE_DROS].value, e[OPE_DR].value, 1e-12);
    double zero[] = {0, 0, 0, 0};
    d.weight = zero;
    o.tau = o.lambda = NAN;
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    for (size_t i = 0; i < n; i++) assert_true(isfinite(e[i].value) && isfinite(e[i].low) && isfinite(e[i].high));
    near(e[OPE_SNIPS].value, 0, 0);
}

/* The target is the logger: every estimator that weighs gives the mean reward. */
static void on_policy(void **state) {
    (void)state;
    double one[] = {1, 1, 1, 1};
    ope_data d = {.n = 4, .reward = hand_reward, .weight = one};
    ope_options o = OPE_DEFAULTS;
    ope_estimate e[OPE_KINDS];
    size_t n = 0;
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    assert_int_equal(n, 2);
    near(e[OPE_IPS].value, .5, 1e-12);
    near(e[OPE_SNIPS].value, .5, 1e-12);
    near(e[OPE_SNIPS].deviation, e[OPE_IPS].deviation, 1e-12);
    near(e[OPE_IPS].effective, 4, 1e-12);
}

static void expectations(void **state) {
    (void)state;
    double target[] = {.5, .5, 0, .1, .2, .7}, model[] = {1, 0, 9, 1, 2, 3}, predicted[2], expected[2];
    uint32_t action[] = {1, 2};
    assert_ok(ope_expect(target, model, action, 2, 3, predicted, expected, NULL));
    near(predicted[0], 0, 0);
    near(predicted[1], 3, 0);
    near(expected[0], .5, 1e-12);
    near(expected[1], 2.6, 1e-12);
}

/* ---- Hostile input ---- */

static void refused(forage_status status, const base_error *error, const char *part) {
    assert_int_equal(status, FORAGE_E_INVALID);
    if (!strstr(error->message, part)) fail_msg("\"%s\" does not say \"%s\"", error->message, part);
}

static void bad_probabilities(void **state) {
    (void)state;
    base_error error = {0};
    double good[] = {.5, .5}, zero[] = {.5, 0}, nan[] = {NAN, .5}, big[] = {.5, 1.5}, minus[] = {-.1, .5},
           w[2] = {7, 7};
    refused(ope_weigh(good, zero, 2, w, &error), &error, "row 2, \"logging\"");
    refused(ope_weigh(nan, good, 2, w, &error), &error, "row 1, \"target\"");
    refused(ope_weigh(good, big, 2, w, &error), &error, "row 2, \"logging\": expected a probability, got 1.5");
    refused(ope_weigh(minus, good, 2, w, &error), &error, "row 1");
    near(w[0] + w[1], 14, 0); /* nothing was written */
    double target[] = {.5, .4}, model[] = {0, 0}, nan_model[] = {0, NAN}, sound[] = {.5, .5}, out[1];
    uint32_t action[] = {0}, beyond[] = {2};
    refused(ope_expect(target, model, action, 1, 2, out, out, &error), &error, "add up to 0.9");
    refused(ope_expect(sound, nan_model, action, 1, 2, out, out, &error), &error, "row 1, action 1");
    refused(ope_expect(sound, model, beyond, 1, 2, out, out, &error), &error, "expected 0 to 1, got 2");
}

static void bad_data(void **state) {
    (void)state;
    base_error error = {0};
    double w[4], reward[] = {0, INFINITY, 0, 0};
    ope_data d = hand_data(w);
    ope_options o = OPE_DEFAULTS;
    ope_estimate e[OPE_KINDS];
    size_t n = 99;
    d.reward = reward;
    refused(ope_estimate_all(&d, &o, e, &n, &error), &error, "row 2, \"reward\"");
    d = hand_data(w);
    w[3] = NAN;
    refused(ope_estimate_all(&d, &o, e, &n, &error), &error, "row 4, \"weight\"");
    d = hand_data(w);
    o.lambda = -1;
    refused(ope_estimate_all(&d, &o, e, &n, &error), &error, "lambda");
    o = OPE_DEFAULTS;
    d.n = 0;
    refused(ope_estimate_all(&d, &o, e, &n, &error), &error, "no rows");
    assert_int_equal(n, 99);
    d = hand_data(w);
    d.predicted = NULL;
    refused(ope_estimate_one(&d, OPE_DR, &o, e, &error), &error, "dr needs a reward model");
    assert_ok(ope_estimate_one(&d, OPE_IPS, &o, e, &error));
    d.n = 1;
    assert_ok(ope_estimate_one(&d, OPE_IPS, &o, e, &error));
    near(e[0].low, e[0].high, 0);
    o.interval = OPE_BOOTSTRAP;
    assert_ok(ope_estimate_one(&d, OPE_IPS, &o, e, &error));
}

/* ---- Warnings ---- */

static bool says(const ope_estimate *e, const char *part) {
    buffer text = {0};
    bool found = false;
    for (unsigned i = 0; ope_warning(e, i, &text); i++) {
        found |= strstr(buffer_text(&text), part) != NULL;
        buffer_clear(&text);
    }
    buffer_release(&text);
    return found;
}

static void warnings(void **state) {
    (void)state;
    enum { N = 1000 };
    static double reward[N], weight[N], missing[N], q[N];
    ope_options o = OPE_DEFAULTS;
    ope_estimate e[OPE_KINDS];
    size_t n;
    for (int i = 0; i < N; i++) reward[i] = i % 3 == 0, weight[i] = 1, q[i] = .3;
    ope_data d = {.n = N, .reward = reward, .weight = weight, .predicted = q, .expected = q, .missing = missing};
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    assert_int_equal(e[OPE_IPS].warnings, 0);
    assert_true(says(&e[OPE_DM], "does not know the error of the reward model"));
    for (int i = 0; i < N; i++) missing[i] = .4, weight[i] = .6;
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    assert_true(says(&e[OPE_IPS], "support is missing: 40 %"));
    assert_true(says(&e[OPE_IPS], "average 0.6 where 1 is expected"));
    assert_true(says(&e[OPE_DM], "support is missing"));
    assert_false(says(&e[OPE_DM], "average"));
    for (int i = 0; i < N; i++) missing[i] = 0, weight[i] = i == 7 ? 500 : .5;
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    assert_true(says(&e[OPE_DR], "worth only 4 rows for this policy (of 1000)"));
    assert_true(says(&e[OPE_DR], "a single row"));
    for (int i = 0; i < N; i++) reward[i] = 0, weight[i] = 1;
    assert_ok(ope_estimate_all(&d, &o, e, &n, NULL));
    assert_true(says(&e[OPE_SNIPS], "nothing was earned"));
}

/* ---- Simulation ---- */

static void intervals_hold_the_truth(void **state) {
    (void)state;
    sim_coverage bandit[OPE_KINDS] = {{0}}, slope[OPE_KINDS] = {{0}}, depth[4] = {{0}};
    ope_options o = OPE_DEFAULTS;
    const int runs = 60;
    sim_cover_bandit(runs, &o, bandit);
    o.tuning = OPE_TUNE_SLOPE;
    sim_cover_bandit(runs, &o, slope);
    sim_cover_depth(runs, false, &o, depth);
    for (int i = 0; i < OPE_KINDS; i++) { /* of 60, 51 are fewer than .95 would give in 999 of 1,000 seeds */
        if (bandit[i].covered < 51) fail_msg("%s: %d of %d", bandit[i].name, bandit[i].covered, runs);
        if (slope[i].covered < 51) fail_msg("%s, slope: %d of %d", slope[i].name, slope[i].covered, runs);
    }
    for (int i = 0; i < 4; i++)
        if (depth[i].covered < 51) fail_msg("%s: %d of %d", depth[i].name, depth[i].covered, runs);
    /* Unbiased: the mean error is within 4 of its standard errors. */
    const sim_coverage *unbiased[] = {&bandit[OPE_IPS], &bandit[OPE_DR], &depth[0], &depth[1], &depth[2], &depth[3]};
    for (size_t i = 0; i < 6; i++)
        if (fabs(unbiased[i]->bias) > 4 * unbiased[i]->error / sqrt(runs))
            fail_msg("%s: bias %g", unbiased[i]->name, unbiased[i]->bias);
    assert_true(bandit[OPE_DR].error < bandit[OPE_IPS].error);
    assert_true(depth[3].error < depth[0].error);
}

static void a_bootstrap_agrees(void **state) {
    (void)state;
    sim_log log = sim_bandit(5, 3000);
    ope_data d = {.n = 3000, .reward = log.rows.reward, .weight = log.weight};
    ope_options normal = OPE_DEFAULTS, bootstrap = OPE_DEFAULTS;
    bootstrap.interval = OPE_BOOTSTRAP;
    for (int kind = OPE_IPS; kind <= OPE_SNIPS; kind++) {
        ope_estimate a, b, c;
        assert_ok(ope_estimate_one(&d, (ope_kind)kind, &normal, &a, NULL));
        assert_ok(ope_estimate_one(&d, (ope_kind)kind, &bootstrap, &b, NULL));
        assert_ok(ope_estimate_one(&d, (ope_kind)kind, &bootstrap, &c, NULL));
        near(b.value, a.value, 0);
        near((b.high - b.low) / (a.high - a.low), 1, .1);
        near(b.low, c.low, 0); /* the same seed */
    }
    sim_log_release(&log);
}

static void tuning(void **state) {
    (void)state;
    enum { N = 4000 };
    static double reward[N], weight[N], right[N], wrong[N];
    random_source random;
    random_seed(&random, 3);
    for (int i = 0; i < N; i++) {
        weight[i] = random_double(&random) < .02 ? 40.2 : .2;
        reward[i] = random_double(&random) < .5;
        right[i] = .5;
        wrong[i] = 5;
    }
    ope_data good = {.n = N, .reward = reward, .weight = weight, .predicted = right, .expected = right};
    ope_data bad = {.n = N, .reward = reward, .weight = weight, .predicted = wrong, .expected = wrong};
    ope_shrunk dr_good = ope_shrunk_at(&good, OPE_DR, NAN), dr_bad = ope_shrunk_at(&bad, OPE_DR, NAN);
    for (int i = 0; i < 4; i++) {
        ope_kind kind = i % 2 ? OPE_SWITCH_DR : OPE_DROS;
        ope_tuning how = i < 2 ? OPE_TUNE_MSE : OPE_TUNE_SLOPE;
        ope_shrunk trusting = ope_shrunk_at(&good, kind, ope_tune(&good, kind, how));
        ope_shrunk wary = ope_shrunk_at(&bad, kind, ope_tune(&bad, kind, how));
        assert_true(trusting.deviation < .8 * dr_good.deviation); /* a good model: fewer wild weights */
        near(wary.value, dr_bad.value, 2 * dr_bad.deviation);     /* a bad one: the weights, whatever they cost */
    }
}

static void the_model_learns_what_strategies_add(void **state) {
    (void)state;
    sim_log log = sim_bandit(11, 20000);
    ope_model *m = ope_model_fit(&log.rows);
    double error = 0, x[SIM_FEATURES], mean = 0;
    for (size_t i = 0; i < log.rows.n; i++) {
        for (int f = 0; f < SIM_FEATURES; f++) x[f] = (double)log.rows.x[i * SIM_FEATURES + (size_t)f];
        double q = sim_reward(x, log.rows.level[i]);
        error += (ope_model_predicted(m)[i] - q) * (ope_model_predicted(m)[i] - q);
        mean += ope_model_expected(m)[i] / (double)log.rows.n;
    }
    assert_true(sqrt(error / (double)log.rows.n) < .02);
    near(mean, sim_truth(), .02);
    ope_model_destroy(m);
    sim_log_release(&log);
}

/* As many strategies, levels and features as a log can hold, few rows, features that are no numbers. */
static void the_model_takes_anything(void **state) {
    (void)state;
    sim_log log = sim_log_create(50, 32, 8, 64);
    for (size_t i = 0; i < (size_t)50 * 32 * 64; i++) log.rows.x[i] = i % 5 == 0 ? NAN : (float)(i % 7) * 1e30f;
    for (size_t i = 0; i < 50; i++) {
        log.rows.reward[i] = i % 2;
        for (size_t s = 0; s < 32; s++) {
            log.rows.level[i * 32 + s] = (uint8_t)((i + s) % 8);
            log.rows.target[(i * 32 + s) * 8 + 3] = 1;
        }
    }
    ope_model *m = ope_model_fit(&log.rows);
    for (size_t i = 0; i < 50; i++)
        assert_true(isfinite(ope_model_predicted(m)[i]) && isfinite(ope_model_expected(m)[i]));
    ope_model_destroy(m);
    sim_log_release(&log);
}

/* ---- Depth vectors ---- */

static ope_decision two_strategies(void) {
    ope_decision d = {.n_strategies = 2, .n_levels = 3, .level = {1, 2}};
    static const float logging[2][3] = {{.5f, .25f, .25f}, {.25f, .5f, .25f}};
    static const float target[2][3] = {{.25f, .5f, .25f}, {0, .5f, .5f}};
    static const uint32_t depths[] = {0, 8, 32};
    for (int s = 0; s < 2; s++) {
        memcpy(d.logging[s], logging[s], sizeof logging[s]);
        memcpy(d.target[s], target[s], sizeof target[s]);
        memcpy(d.depth[s], depths, sizeof depths);
    }
    return d;
}

static void depth_weights_by_hand(void **state) {
    (void)state;
    ope_decision d = two_strategies();
    near(ope_level_weight(&d, 0), 2, 1e-12);
    near(ope_level_weight(&d, 1), 2, 1e-12);
    near(ope_product_weight(&d), 4, 1e-12);
    near(ope_additive_weight(&d), 3, 1e-12);
    near(ope_missing_support(&d), 0, 1e-12);
    double target, logging;
    ope_inclusion(&d, (uint32_t[]){8, 9}, &target, &logging);
    near(target, 1 - .25 * .5, 1e-12); /* one is asked for 8 or more with .75, the other for 9 or more with .5 */
    near(logging, 1 - .5 * .75, 1e-12);
    ope_inclusion(&d, (uint32_t[]){33, 0}, &target, &logging);
    near(target, 0, 0);
    near(logging, 0, 0);
    /* Second moments: 1/8 + 1 + 1/4 and 0 + 1/2 + 1: the first comes first. */
    near(ope_inclusion_weight(&d, (uint32_t[]){8, 9}), .75 / .5, 1e-12);
    near(ope_inclusion_weight(&d, (uint32_t[]){0, 9}), 2 * .5 / .25, 1e-12);
    near(ope_inclusion_weight(&d, (uint32_t[]){0, 0}), 0, 0);
    d.logging[1][2] = 0;
    d.logging[1][1] = .75f;
    near(ope_missing_support(&d), .5, 1e-12);
}

/* Over all draws of the logger, each with its probability, the inclusion weight's mean is P_target(included): exactly,
 * for every combination of ranks and although the log knows only those ranks that were within the depth drawn. */
static void inclusion_is_unbiased(void **state) {
    (void)state;
    static const uint32_t ranks[] = {0, 5, 20, 40};
    ope_decision d = two_strategies();
    for (int a = 0; a < 4; a++) {
        for (int b = 0; b < 4; b++) {
            double mean = 0, target, logging;
            for (uint32_t draw = 0; draw < 9; draw++) {
                uint32_t known[2], truth[] = {ranks[a], ranks[b]};
                double p = 1;
                d.level[0] = draw % 3;
                d.level[1] = draw / 3;
                for (int s = 0; s < 2; s++) {
                    known[s] = truth[s] <= d.depth[s][d.level[s]] ? truth[s] : 0;
                    p *= (double)d.logging[s][d.level[s]];
                }
                mean += p * ope_inclusion_weight(&d, known);
            }
            ope_inclusion(&d, (uint32_t[]){ranks[a], ranks[b]}, &target, &logging);
            near(mean, target, 1e-12);
        }
    }
}

/* ---- The collection's own log ---- */

static const char *const books = "{\"id\":\"a\",\"title\":\"red fox\"}\n{\"id\":\"b\",\"title\":\"red hen\"}\n"
                                 "{\"id\":\"c\",\"title\":\"red red cat\"}\n{\"id\":\"d\",\"title\":\"blue cat\"}\n";

static void search_and_click(world *w, int n, const char *served_by) {
    for (int i = 0; i < n; i++) {
        const json_value *answer = world_search(w, arena_printf(&w->memory,
                                                                "{\"query\":\"red\",\"policy\":\"%s\",\"seed\":%d,"
                                                                "\"timeout_ms\":60000}",
                                                                served_by, i + 1));
        store_wait(collection_store(w->collection));
        if (i % 2) continue;
        feedback_event e = {.query_id = slice_of(text_at(answer, "query_id")),
                            .action = SLICE("click"),
                            .time = INT64_MIN,
                            .document = slice_of(text_at(answer, "hits.0.id"))};
        assert_ok(world_event(w, &e).status);
    }
}

/* A policy of the funnel's as a target; it keeps what it was asked and taught. */
typedef struct asked {
    const funnel *funnel;
    const char *rule;
    policy *policy;
    random_source random;
    policy_decision decision;
    uint32_t n_asked, n_taught, n_earned;
    uint64_t order; /* of the last questions and lessons, a decimal digit each: 1 asked, 2 taught, 3 earned */
} asked;

static void note(asked *a, uint32_t *count, uint64_t what) {
    ++*count;
    a->order = (a->order * 10 + what) % 1000000;
}

static bool ask(void *self, const record_impression *r, ope_distributions out) {
    asked *a = self;
    note(a, &a->n_asked, 1);
    if (!funnel_decide_again(a->funnel, a->policy, a->rule, r, &a->random, &a->decision)) return false;
    for (uint32_t s = 0; s < r->n_strategies; s++)
        memcpy(out[s], a->decision.probability[s], r->n_levels * sizeof(float));
    return true;
}

static void teach(void *self, const record_impression *r, const record_event *e) {
    asked *a = self;
    if (e) note(a, &a->n_earned, 3);
    else note(a, &a->n_taught, 2);
    assert_true(funnel_teach_policy(a->funnel, a->policy, r, e, &a->decision, NULL));
}

static ope_target plan_target(void) {
    ope_target t = {.n_strategies = RETRIEVE_STRATEGIES,
                    .n_levels = FUNNEL_LEVELS,
                    .n_features = funnel_names(NULL).n_policy_features};
    memcpy(t.depths, funnel_depths, sizeof funnel_depths);
    return t;
}

static ope_target policy_target(world *w, const char *rule, asked *a) {
    ope_target t = plan_target();
    *a = (asked){.funnel = w->funnel, .rule = rule};
    random_seed(&a->random, 1);
    assert_ok(funnel_policy(w->funnel, rule, 0, &a->policy, NULL));
    t.self = a;
    t.decide = ask;
    t.learn = policy_rule_learns(rule) ? teach : NULL;
    return t;
}

static forage_status read_log(world *w, const ope_target *t, const ope_log_options *options, ope_log *log,
                              base_error *error) {
    store_txn *txn;
    assert_ok(store_read_begin(collection_store(w->collection), &txn, NULL));
    forage_status status = ope_log_read(txn, t, options, log, error);
    store_read_end(txn);
    return status;
}

static void a_log_evaluates_the_policy_that_made_it(void **state) {
    (void)state;
    world *w = world_begin();
    base_error error = {0};
    world_import(w, books);
    search_and_click(w, 40, "all");
    asked all;
    ope_target t = policy_target(w, "all", &all);
    ope_log_options options = OPE_LOG_DEFAULTS;
    ope_options o = OPE_DEFAULTS;
    ope_log log;
    ope_estimate e[OPE_LOG_ESTIMATES];
    assert_ok(read_log(w, &t, &options, &log, &error));
    assert_int_equal(log.rows.n, 40);
    assert_int_equal(log.n_events, 20);
    assert_int_equal(log.certain, 40);
    assert_ok(ope_log_estimate(&log, &o, e, &error));
    double logged = ope_log_logged(&log, &o).value;
    assert_true(logged > 0);
    for (int i = 0; i < OPE_LOG_ESTIMATES; i++)
        near(e[i].value, logged, i == OPE_DM || i == OPE_SWITCH_DR || i == OPE_DROS ? .01 : 1e-9);
    ope_log_release(&log);
    options.limit = 10;
    assert_ok(read_log(w, &t, &options, &log, &error));
    assert_int_equal(log.rows.n, 10);
    assert_int_equal(log.n_events, 5);
    ope_log_release(&log);
    options = OPE_LOG_DEFAULTS;
    options.until = 0;
    refused(read_log(w, &t, &options, &log, &error), &error, "of that time");
    t.n_features--;
    options = OPE_LOG_DEFAULTS;
    refused(read_log(w, &t, &options, &log, &error), &error, "that this engine made");
    policy_destroy(all.policy);
    world_end(w);
}

static void a_log_says_where_it_knows_nothing(void **state) {
    (void)state;
    world *w = world_begin();
    base_error error = {0};
    ope_target t = plan_target();
    ope_log_options options = OPE_LOG_DEFAULTS;
    ope_options o = OPE_DEFAULTS;
    ope_log log;
    ope_estimate e[OPE_LOG_ESTIMATES];
    refused(read_log(w, &t, &options, &log, &error), &error, "no impressions");
    world_import(w, books);
    search_and_click(w, 40, "all");
    for (int s = 0; s < RETRIEVE_STRATEGIES; s++) t.plan[s][1] = 1; /* everybody at 10; the log has 100 */
    assert_ok(read_log(w, &t, &options, &log, &error));
    assert_ok(ope_log_estimate(&log, &o, e, &error));
    assert_true(says(&e[0], "support is missing: 100 %"));
    near(e[0].value, 0, 0);
    for (int i = 0; i < OPE_LOG_ESTIMATES; i++) assert_true(e[i].warnings & OPE_NO_SUPPORT);
    ope_log_release(&log);
    world_end(w);
}

/* Every level has a chance: the weights of any plan average 1, give or take. */
static void a_log_with_chance_knows_every_plan(void **state) {
    (void)state;
    world *w = world_begin();
    base_error error = {0};
    world_import(w, books);
    search_and_click(w, 300, "squarecb");
    asked learner;
    ope_target t = policy_target(w, "squarecb", &learner);
    ope_log_options options = OPE_LOG_DEFAULTS;
    ope_options o = OPE_DEFAULTS;
    ope_log log;
    ope_estimate e[OPE_LOG_ESTIMATES];
    assert_ok(read_log(w, &t, &options, &log, &error));
    assert_int_equal(log.certain, 0);
    assert_ok(ope_log_estimate(&log, &o, e, &error));
    double sum = 0;
    for (size_t i = 0; i < log.rows.n; i++) {
        sum += log.additive[i];
        near(log.missing[i], 0, 1e-6);
    }
    near(sum / (double)log.rows.n, 1, .5);
    for (int i = 0; i < OPE_LOG_ESTIMATES; i++) assert_false(e[i].warnings & OPE_NO_SUPPORT);
    near(e[OPE_LOG_ESTIMATES - 1].value, ope_log_logged(&log, &o).value, .1);
    ope_log_release(&log);
    policy_destroy(learner.policy);
    world_end(w);
}

/* Each impression is judged by what the policy knew before it: what is left out of the judgment still teaches, and what
 * comes later changes nothing. */
static void a_policy_that_learns_is_judged_before_it_learns(void **state) {
    (void)state;
    world *w = world_begin();
    base_error error = {0};
    asked learner;
    world_import(w, books);
    search_and_click(w, 40, "squarecb");
    ope_target t = policy_target(w, "regcb", &learner);
    ope_log_options options = OPE_LOG_DEFAULTS;
    ope_log all, last;
    assert_ok(read_log(w, &t, &options, &all, &error));
    assert_int_equal(learner.n_asked, 40);
    assert_int_equal(learner.n_taught, 40);
    assert_int_equal(learner.n_earned, 20);
    assert_int_equal(learner.order, 212312); /* the last but one was clicked */
    policy_destroy(learner.policy);
    t = policy_target(w, "regcb", &learner);
    options.limit = 10;
    assert_ok(read_log(w, &t, &options, &last, &error));
    assert_int_equal(learner.n_asked, 10);
    assert_int_equal(learner.n_taught, 40);
    assert_int_equal(last.rows.n, 10);
    size_t each = (size_t)RETRIEVE_STRATEGIES * FUNNEL_LEVELS;
    assert_memory_equal(last.rows.target, all.rows.target + 30 * each, 10 * each * sizeof(float));
    assert_memory_equal(last.inclusion, all.inclusion + 30, 10 * sizeof *last.inclusion);
    ope_log_release(&last);
    ope_log_release(&all);
    policy_destroy(learner.policy);
    world_end(w);
}

/* An event whose ranks are all known weighs P_target(included) / P_logger(included), whoever found it that time. */
static void hindsight_makes_inclusion_exact(void **state) {
    (void)state;
    world *w = world_begin();
    base_error error = {0};
    world_import(w, books);
    search_and_click(w, 1, "squarecb");
    ope_target t = plan_target();
    for (int s = 0; s < RETRIEVE_STRATEGIES; s++) t.plan[s][1] = 1;
    ope_log_options options = OPE_LOG_DEFAULTS;
    ope_log log;
    store_txn *txn;
    store_cursor *cursor;
    slice key, value;
    record_impression r;
    record_event e = {0};
    assert_ok(store_read_begin(collection_store(w->collection), &txn, NULL));
    assert_ok(store_cursor_open(txn, STORE_LOG, (slice){0}, &cursor, NULL));
    assert_true(store_cursor_next(cursor, &key, &value));
    assert_ok(record_read_impression(arena_slice(&w->memory, value), &w->memory, &r));
    assert_true(store_cursor_next(cursor, &key, &value));
    assert_ok(record_read_event(value, &e));
    store_cursor_close(cursor);
    store_read_end(txn);
    assert_int_equal(e.n_ranks, RETRIEVE_STRATEGIES);
    double not_target = 1, not_logger = 1;
    for (uint32_t s = 0; s < r.n_strategies; s++) {
        double shallower = 0;
        if (!e.ranks[s]) continue;
        for (uint32_t l = 0; l < r.n_levels; l++)
            if (r.depths[l] < e.ranks[s]) shallower += (double)r.strategies[s].probability[l];
        not_logger *= shallower;
        not_target *= !(r.strategies[s].allowed & 2) || e.ranks[s] > r.depths[1];
    }
    assert_ok(read_log(w, &t, &options, &log, &error));
    near(log.inclusion[0], (double)e.credit * (1 - not_target) / (1 - not_logger), 1e-6);
    ope_log_release(&log);
    world_end(w);
}

/* ---- The API ---- */

typedef struct house {
    char folder[600];
    forage *db;
    arena memory;
} house;

static const json_value *call(house *h, const char *method, const char *path, const char *body, int wanted) {
    forage_response response;
    forage_request request = {method, arena_printf(&h->memory, "/collections/books%s", path), NULL, body, strlen(body)};
    forage_call(h->db, &request, &response);
    if (response.status != wanted) fail_msg("%s %s: %d, %s", path, body, response.status, response.body);
    const json_value *json = response.body_size && response.body[0] == '{' && !strchr(response.body, '\n')
                                 ? parse(&h->memory, response.body)
                                 : NULL;
    forage_response_release(&response);
    return json;
}

static void serve_and_click(house *h, int n) {
    for (int i = 0; i < n; i++) {
        const json_value *found = call(h, "POST", "/search", "{\"query\":\"red\",\"timeout_ms\":60000}", 200);
        const char *event = arena_printf(&h->memory,
                                         "{\"query_id\":\"%s\",\"action_name\":\"click\",\"event_attributes\":"
                                         "{\"object\":{\"object_id\":\"%s\"}}}",
                                         text_at(found, "query_id"), text_at(found, "hits.0.id"));
        if (i % 3 == 2) call(h, "POST", "/events", event, 200); /* an event waits for the searches before it */
    }
}

static int open_house(void **state) {
    house *h = mem_zalloc(1, sizeof *h);
    forage_error error;
    snprintf(h->folder, sizeof h->folder, "%s", testing_folder());
    arena_init(&h->memory, 0);
    assert_ok(forage_open(h->folder, NULL, &h->db, &error));
    call(h, "PUT", "", "{}", 201);
    *state = h;
    return 0;
}

static int close_house(void **state) {
    house *h = *state;
    forage_close(h->db);
    arena_release(&h->memory);
    assert_ok(os_remove_tree(h->folder, NULL));
    free(h);
    return 0;
}

static void requests(void **state) {
    static const char *const good[] = {
        "{}",
        "{\"policy\":\"lin-ts\"}",
        "{\"policy\":\"fixed\",\"interval\":\"bootstrap\"}",
        "{\"policy\":\"all\",\"tuning\":\"slope\"}",
        "{\"policy\":\"equal\",\"depth\":10,\"limit\":10}",
        "{\"plan\":{\"lexical\":{\"10\":0.5,\"25\":0.5},\"memory\":10}}",
        "{\"plan\":{},\"since\":\"2001-01-01\",\"tau\":3,\"lambda\":0,\"seed\":1}",
    };
    house *h = *state;
    call(h, "POST", "/ope", "{}", 400); /* no impressions yet */
    call(h, "POST", "/documents", books, 200);
    serve_and_click(h, 60);
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        const json_value *answer = call(h, "POST", "/ope", good[i], 200);
        assert_int_equal(count_at(answer, "estimates"), OPE_LOG_ESTIMATES);
        near(number_at(answer, "impressions"), i == 4 ? 10 : 60, 0);
        assert_true(true_at(answer, "progressive") == (i < 2)); /* the default learns */
        assert_true(number_at(answer, "logged.value") > 0);
        assert_true(number_at(answer, "estimates.9.low") <= number_at(answer, "estimates.9.high"));
    }
    static const char *const formats[] = {"json", "vw-dsjson", "obd-csv", "letor"};
    for (size_t i = 0; i < 4; i++) call(h, "GET", arena_printf(&h->memory, "/log?format=%s", formats[i]), "", 200);
    call(h, "GET", "/log?format=xml", "", 400);
    call(h, "POST", "/ope", "{\"until\":\"2001-01-01\"}", 400);
}

static void bad_requests(void **state) {
#define ROW "{\"reward\":1,\"logging\":0.5,\"target\":1"
    static const char *const bad[] = {
        "[]",
        "{\"what\":1}",
        "{\"policy\":\"best\"}",
        "{\"policy\":\"equal\",\"depth\":7}",
        "{\"plan\":10}",
        "{\"plan\":{\"psychic\":10}}",
        "{\"plan\":{\"lexical\":9}}",
        "{\"plan\":{\"lexical\":{\"10\":0.5}}}",
        "{\"plan\":{\"lexical\":{\"10\":2}}}",
        "{\"plan\":{\"lexical\":{\"x\":1}}}",
        "{\"plan\":{},\"policy\":\"all\"}",
        "{\"since\":\"yesterday\"}",
        "{\"limit\":0}",
        "{\"tau\":-1}",
        "{\"interval\":\"none\"}",
        "{\"rows\":[]}",
        "{\"rows\":[1]}",
        "{\"rows\":[{\"reward\":1}]}",
        "{\"rows\":[{\"reward\":1,\"logging\":0,\"target\":1}]}",
        "{\"rows\":[{\"reward\":1,\"logging\":0.5,\"target\":1.5}]}",
        "{\"rows\":[" ROW ",\"predicted\":1}]}",
        "{\"rows\":[" ROW "}," ROW ",\"missing\":0}]}",
        "{\"rows\":[" ROW "}],\"policy\":\"all\"}",
    };
    house *h = *state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) call(h, "POST", "/ope", bad[i], 400);
    const json_value *rows =
        call(h, "POST", "/ope", "{\"rows\":[{\"reward\":0,\"logging\":0.25,\"target\":0.5}," ROW "}]}", 200);
    near(number_at(named(at(rows, "estimates"), "name", "ips"), "value"), 1, 1e-12);
    assert_int_equal(count_at(rows, "estimates"), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(by_hand),
        cmocka_unit_test(the_ends_of_shrinking),
        cmocka_unit_test(on_policy),
        cmocka_unit_test(expectations),
        cmocka_unit_test(bad_probabilities),
        cmocka_unit_test(bad_data),
        cmocka_unit_test(warnings),
        cmocka_unit_test(intervals_hold_the_truth),
        cmocka_unit_test(a_bootstrap_agrees),
        cmocka_unit_test(tuning),
        cmocka_unit_test(the_model_learns_what_strategies_add),
        cmocka_unit_test(the_model_takes_anything),
        cmocka_unit_test(depth_weights_by_hand),
        cmocka_unit_test(inclusion_is_unbiased),
        cmocka_unit_test(a_log_evaluates_the_policy_that_made_it),
        cmocka_unit_test(a_log_says_where_it_knows_nothing),
        cmocka_unit_test(a_log_with_chance_knows_every_plan),
        cmocka_unit_test(a_policy_that_learns_is_judged_before_it_learns),
        cmocka_unit_test(hindsight_makes_inclusion_exact),
        cmocka_unit_test_setup_teardown(requests, open_house, close_house),
        cmocka_unit_test_setup_teardown(bad_requests, open_house, close_house),
    };
    return cmocka_run_group_tests_name("off-policy evaluation", tests, NULL, NULL);
}
