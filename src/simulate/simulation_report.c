/* What a simulation tells, as JSON. */
#include "simulate/simulation_internal.h"

#include <math.h>
#include <stdlib.h>

#define RECOVERED .95  /* of the level before a drift */
#define EQUAL_COST 1.1 /* times the candidates of what was served */

static void number(json_writer *w, const char *key, double value) {
    json_key(w, key);
    json_float(w, value);
}

static void integer(json_writer *w, const char *key, uint64_t value) {
    json_key(w, key);
    json_integer(w, (int64_t)value);
}

static void text(json_writer *w, const char *key, slice value) {
    json_key(w, key);
    json_string(w, value);
}

/* ---- The setting ---- */

static void write_clicks(const click_model *m, json_writer *w) {
    json_key(w, "click_model");
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, click_model_name(m));
    number(w, "noise", m->noise);
    number(w, "attraction", m->attraction);
    number(w, "satisfaction", m->satisfaction);
    number(w, "commitment", m->commitment);
    if (m->kind == CLICK_POSITION) number(w, "eta", m->eta);
    if (m->kind == CLICK_DYNAMIC) number(w, "perseverance", m->perseverance);
    json_end_object(w);
}

static void write_setting(const simulation *s, json_writer *w) {
    integer(w, "customers", s->config.customers);
    integer(w, "seed", s->config.population.seed);
    text(w, "policy", s->config.policy);
    integer(w, "documents", s->documents);
    write_clicks(&s->config.clicks, w);
    json_key(w, "actions");
    json_begin_object(w);
    json_key_slice(w, s->click_action);
    json_float(w, (double)s->click_reward);
    for (uint32_t i = 0; i < s->n_strong; i++) {
        json_key_slice(w, s->strong_actions[i]);
        json_float(w, (double)s->strong_rewards[i]);
    }
    json_end_object(w);
}

/* ---- Rewards ---- */

static double per_1000(double sum, double n) { return n > 0 ? 1000 * sum / n : 0; }

static double expected_between(const simulation *s, uint32_t from, uint32_t to) {
    double sum = 0;
    for (uint32_t i = from; i < to; i++) sum += s->expected[i];
    return per_1000(sum, (double)(to - from));
}

static void write_rewards(const simulation *s, json_writer *w) {
    uint32_t n = s->config.customers, some = n / 5 > 1000 ? 1000 : n / 5 ? n / 5 : 1;
    double reward = 0;
    for (uint32_t i = 0; i < n; i++) reward += (double)s->reward[i];
    integer(w, "events", s->events);
    integer(w, "refused", s->refused);
    if (s->refused) text(w, "refusal", slice_of(s->refusal));
    number(w, "reward_per_1000", per_1000(reward, n));
    number(w, "expected_per_1000", expected_between(s, 0, n));
    json_key(w, "first");
    json_begin_object(w);
    integer(w, "customers", some);
    number(w, "expected_per_1000", expected_between(s, 0, some));
    json_end_object(w);
    json_key(w, "last");
    json_begin_object(w);
    integer(w, "customers", some);
    number(w, "expected_per_1000", expected_between(s, n - some, n));
    json_end_object(w);
}

static void write_styles(const simulation *s, json_writer *w) {
    json_key(w, "styles");
    json_begin_array(w);
    for (int style = 0; style < QUERY_STYLES; style++) {
        uint32_t n = 0;
        double sum = 0;
        for (uint32_t i = 0; i < s->config.customers; i++) {
            if (s->style[i] != style) continue;
            n++;
            sum += s->expected[i];
        }
        json_begin_object(w);
        json_key(w, "name");
        json_text(w, query_style_names[style]);
        integer(w, "customers", n);
        number(w, "expected_per_1000", per_1000(sum, n));
        json_end_object(w);
    }
    json_end_array(w);
}

/* ---- Regret ---- */

/* Its pages took at most so many times the candidates of those that were served. */
static bool within(const simulation *s, uint32_t j, double most) { return s->candidates[j] <= most * s->candidates[0]; }

/* The rule within the cost that earned most over compared customers [from, to), and how much; 0: there is none. */
static uint32_t best_rule(const simulation *s, double most, uint32_t from, uint32_t to, double *earned) {
    uint32_t best = 0;
    *earned = -INFINITY;
    for (uint32_t j = 1; j <= s->config.n_rules; j++) {
        double sum = 0;
        if (!within(s, j, most)) continue;
        for (uint32_t i = from; i < to; i++) sum += s->compared[j][i];
        if (sum <= *earned) continue;
        *earned = sum;
        best = j;
    }
    return best;
}

static void write_policy(const simulation *s, uint32_t j, slice name, json_writer *w) {
    double sum = 0;
    for (uint32_t i = 0; i < s->n_compared; i++) sum += s->compared[j][i];
    json_begin_object(w);
    text(w, "policy", name);
    number(w, "expected_per_1000", per_1000(sum, s->n_compared));
    number(w, "candidates", s->candidates[j] / s->n_compared);
    json_key(w, "equal_cost");
    json_bool(w, within(s, j, EQUAL_COST));
    json_end_object(w);
}

static void write_compared(const simulation *s, json_writer *w) {
    json_key(w, "compared");
    json_begin_array(w);
    if (s->n_compared) write_policy(s, 0, SLICE("served"), w);
    for (uint32_t j = 1; s->n_compared && j <= s->config.n_rules; j++) write_policy(s, j, s->config.rules[j - 1], w);
    json_end_array(w);
}

/* The first compared customer of segment d: from drift d - 1 on. */
static uint32_t segment_start(const simulation *s, uint32_t d) {
    uint32_t i = 0;
    if (d > s->config.population.n_drifts) return s->n_compared;
    while (d && i < s->n_compared && s->compared_at[i] < s->config.population.drift_at[d - 1]) i++;
    return i;
}

/* Against a rule that may be another one after each drift. */
static double regret_by_segment(const simulation *s, double most) {
    double regret = 0;
    for (uint32_t d = 0; d <= s->config.population.n_drifts; d++) {
        uint32_t from = segment_start(s, d), to = segment_start(s, d + 1);
        double earned;
        if (from == to || !best_rule(s, most, from, to, &earned)) continue;
        for (uint32_t i = from; i < to; i++) earned -= s->compared[0][i];
        regret += earned;
    }
    return regret * s->config.compare_every;
}

static void write_fit(const simulation *s, const double *increments, json_writer *w) {
    power_fit fit;
    uint32_t until = segment_start(s, 1);
    bool found = measure_power(increments, until, s->config.population.seed, &fit);
    json_key(w, "growth");
    if (!found) {
        json_null(w);
        return;
    }
    json_begin_object(w);
    integer(w, "customers", s->config.population.n_drifts ? s->config.population.drift_at[0] : s->config.customers);
    number(w, "exponent", fit.exponent);
    number(w, "low", fit.low);
    number(w, "high", fit.high);
    number(w, "r2", fit.r2);
    json_end_object(w);
}

/* What each compared customer adds to the regret against a rule; freed by the caller. */
static double *increments_against(const simulation *s, uint32_t rule) {
    double *out = mem_zalloc(s->n_compared + 1, sizeof *out);
    for (uint32_t i = 0; rule && i < s->n_compared; i++)
        out[i] = (s->compared[rule][i] - s->compared[0][i]) * s->config.compare_every;
    return out;
}

static void write_regret(const simulation *s, const char *key, double most, json_writer *w) {
    double earned, total = 0, squares = 0;
    uint32_t n = s->n_compared, best = best_rule(s, most, 0, n, &earned);
    if (!n || !best) return;
    double *increments = increments_against(s, best);
    for (uint32_t i = 0; i < n; i++) {
        total += increments[i];
        squares += increments[i] * increments[i];
    }
    json_key(w, key);
    json_begin_object(w);
    text(w, "against", s->config.rules[best - 1]);
    integer(w, "compared", n);
    number(w, "total", total);
    number(w, "standard_error", sqrt(squares - total * total / n));
    number(w, "by_segment", regret_by_segment(s, most));
    write_fit(s, increments, w);
    json_end_object(w);
    free(increments);
}

/* ---- Drifts ---- */

static void write_drifts(const simulation *s, json_writer *w) {
    uint32_t n = s->config.customers, window = n / 40 < 50 ? 50 : n / 40 > 1000 ? 1000 : n / 40;
    const population_config *p = &s->config.population;
    json_key(w, "drifts");
    json_begin_array(w);
    for (uint32_t d = 0; d < p->n_drifts; d++) {
        recovery r;
        uint32_t at = p->drift_at[d], end = d + 1 < p->n_drifts ? p->drift_at[d + 1] : n;
        json_begin_object(w);
        integer(w, "customer", at);
        if (measure_recovery(s->expected, at, end, window, RECOVERED, &r)) {
            integer(w, "window", window);
            number(w, "before_per_1000", 1000 * r.before);
            number(w, "lowest_per_1000", 1000 * r.lowest);
            json_key(w, "recovered");
            json_bool(w, r.recovered);
            if (r.recovered) {
                uint64_t until = at + r.customers < n ? s->events_before[at + r.customers] : s->events;
                integer(w, "recovery_customers", r.customers);
                integer(w, "recovery_events", until - s->events_before[at]);
            }
        }
        json_end_object(w);
    }
    json_end_array(w);
}

/* ---- The series ---- */

static void write_strategies(const simulation_point *p, const simulation_point *before, json_writer *w) {
    uint64_t searches = p->searches - before->searches;
    json_key(w, "strategies");
    json_begin_array(w);
    for (uint32_t i = 0; i < p->n_strategies && i < before->n_strategies; i++) {
        uint64_t asked = p->strategies[i].asked - before->strategies[i].asked;
        uint64_t depth = p->strategies[i].depth - before->strategies[i].depth;
        json_begin_object(w);
        json_key(w, "name");
        json_text(w, p->strategies[i].name);
        number(w, "share", searches ? (double)asked / (double)searches : 0);
        number(w, "mean_depth", asked ? (double)depth / (double)asked : 0);
        json_end_object(w);
    }
    json_end_array(w);
}

/* Each point tells about the customers since the one before; regret is the sum from the start. */
static void write_series(const simulation *s, json_writer *w) {
    double earned, regret = 0;
    uint32_t compared = 0, best = best_rule(s, EQUAL_COST, 0, s->n_compared, &earned);
    double *increments = increments_against(s, best);
    json_key(w, "series");
    json_begin_array(w);
    for (uint32_t i = 1; i < s->n_points; i++) {
        const simulation_point *p = &s->points[i], *before = p - 1;
        double n = (double)(p->customers - before->customers);
        for (; compared < s->n_compared && s->compared_at[compared] < p->customers; compared++)
            regret += increments[compared];
        json_begin_object(w);
        integer(w, "customers", p->customers);
        integer(w, "events", p->events);
        number(w, "reward_per_1000", per_1000(p->reward - before->reward, n));
        number(w, "expected_per_1000", per_1000(p->expected - before->expected, n));
        if (best && s->n_compared) number(w, "regret", regret);
        write_strategies(p, before, w);
        json_end_object(w);
    }
    json_end_array(w);
    free(increments);
}

void simulation_write(const simulation *s, json_writer *w) {
    json_begin_object(w);
    write_setting(s, w);
    write_rewards(s, w);
    write_styles(s, w);
    write_compared(s, w);
    write_regret(s, "regret", EQUAL_COST, w);
    write_regret(s, "regret_at_any_cost", INFINITY, w);
    write_drifts(s, w);
    write_series(s, w);
    number(w, "took_ms", s->seconds * 1000);
    json_end_object(w);
}
