#include "simulate/contest.h"

#include "evaluate/metrics.h"
#include "simulate/allocation.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SHUFFLED_BLOCK 250 /* scored requests in one point of a shuffled curve */
#define INTERVAL_SEED 20111231

forage_status contest_policy_read(slice text, contest_policy *out, base_error *error) {
    contest_policy p = {0};
    const char *colon = text.size ? memchr(text.data, ':', text.size) : NULL;
    size_t size = colon ? (size_t)(colon - text.data) : text.size;
    slice rest = {text.data + size, text.size - size};
    if (!size || size >= sizeof p.rule) return error_set(error, FORAGE_E_INVALID, "\"compare\": expected names of policies");
    memcpy(p.rule, text.data, size);
    while (rest.size) {
        rest = (slice){rest.data + 1, rest.size - 1};
        colon = rest.size ? memchr(rest.data, ':', rest.size) : NULL;
        slice option = {rest.data, colon ? (size_t)(colon - rest.data) : rest.size};
        if (slice_is(option, "played")) p.played = true;
        else if (slice_is(option, "shuffled")) p.shuffled = true;
        else if (slice_is(option, "warm")) p.warm = true;
        else
            return error_set(error, FORAGE_E_INVALID, "\"compare\", \"%.*s\": after the colon, expected played, shuffled or warm",
                             SLICE_ARG(text));
        rest = (slice){rest.data + option.size, rest.size - option.size};
    }
    if (p.played && p.warm)
        return error_set(error, FORAGE_E_INVALID, "\"compare\", \"%.*s\": played and warm exclude each other", SLICE_ARG(text));
    *out = p;
    return FORAGE_OK;
}

enum { EQUAL, FUSION, FIXED, ORACLE, SINGLE, MOST_PLANS = SINGLE + POLICY_MAX_STRATEGIES };

/* ---- Runs ---- */

/* Means over the seeds. */
typedef struct entry {
    const contest_policy *policy;
    double *found, *cost;  /* per row */
    double *along, *fixed; /* shuffled only: found, by how many requests it had seen; the same of the best fixed depths */
    double asked[POLICY_MAX_STRATEGIES];
    double drawn_found, drawn_cost, least;
} entry;

typedef struct contest {
    const trial *whole, *t; /* t: what is measured */
    const contest_options *o;
    allocation plan[MOST_PLANS];
    size_t n_plans, best_single;
    entry entries[CONTEST_MOST_POLICIES];
    json_writer *w;
} contest;

static uint32_t *shuffled_order(size_t n, uint64_t seed) {
    uint32_t *order = mem_alloc((n + 1) * sizeof *order);
    random_source random;
    random_seed(&random, seed);
    for (size_t i = 0; i < n; i++) order[i] = (uint32_t)i;
    for (size_t i = n; i > 1; i--) {
        size_t k = (size_t)random_below(&random, i);
        uint32_t swap = order[i - 1];
        order[i - 1] = order[k];
        order[k] = swap;
    }
    return order;
}

/* One seed, added at its share. */
static void add_run(const contest *c, policy *p, uint64_t seed, entry *e) {
    const trial *t = c->t;
    trial_sums sums = {.found = mem_zalloc(t->n + 1, sizeof(double)), .cost = mem_zalloc(t->n + 1, sizeof(double)),
                       .asked = mem_zalloc(POLICY_MAX_STRATEGIES, sizeof(double)), .least = 1};
    uint32_t *order = e->policy->shuffled ? shuffled_order(t->n, seed) : NULL;
    double share = 1.0 / c->o->seeds, n = t->n ? (double)t->n : 1;
    trial_learner learner;
    trial_learner_init(&learner, p);
    if (e->policy->warm) trial_teach(c->whole, &learner, ~seed);
    trial_run(t, &learner, e->policy->played ? TRIAL_PLAYED : TRIAL_HINDSIGHT, seed, order, &sums);
    for (size_t i = 0; i < t->n; i++) {
        e->found[i] += share * sums.found[i];
        e->cost[i] += share * sums.cost[i];
        if (!order) continue;
        e->along[i] += share * sums.found[order[i]];
        e->fixed[i] += share * c->plan[FIXED].found[order[i]];
    }
    for (uint32_t s = 0; s < t->n_strategies; s++) e->asked[s] += share * sums.asked[s] / n;
    e->drawn_found += share * sums.drawn_found / n;
    e->drawn_cost += share * sums.drawn_cost / n;
    if (sums.least < e->least) e->least = sums.least;
    free(order);
    free(sums.found);
    free(sums.cost);
    free(sums.asked);
}

static forage_status run_entry(const contest *c, const contest_policy *which, entry *out, base_error *error) {
    const contest_options *o = c->o;
    size_t room = c->t->n + 1;
    *out = (entry){.policy = which, .found = mem_zalloc(room, sizeof(double)), .cost = mem_zalloc(room, sizeof(double)),
                   .along = mem_zalloc(room, sizeof(double)), .fixed = mem_zalloc(room, sizeof(double)), .least = 1};
    forage_status status = FORAGE_OK;
    for (uint32_t k = 0; !status && k < o->seeds; k++) {
        policy *p = NULL;
        status = o->make(o->self, which, &p, error);
        if (!status) add_run(c, p, o->seed + k, out);
        policy_destroy(p);
    }
    return status;
}

static void release_entry(entry *e) {
    free(e->found);
    free(e->cost);
    free(e->along);
    free(e->fixed);
}

/* ---- The report ---- */

static void find_plans(contest *c) {
    const trial *t = c->t;
    double budget = c->o->budget;
    allocation_equal(t, budget, &c->plan[EQUAL]);
    allocation_fusion(t, budget, &c->plan[FUSION]);
    allocation_fixed(t, budget, c->o->seed, &c->plan[FIXED]);
    allocation_oracle(t, budget, &c->plan[ORACLE]);
    c->best_single = SINGLE;
    for (uint32_t s = 0; s < t->n_strategies; s++) {
        allocation_single(t, s, budget, &c->plan[SINGLE + s]);
        if (c->plan[SINGLE + s].recall > c->plan[c->best_single].recall) c->best_single = SINGLE + s;
    }
    c->n_plans = SINGLE + t->n_strategies;
}

static void write_number(json_writer *w, const char *key, double value) {
    json_key(w, key);
    json_float(w, value);
}

static void write_depths(const contest *c, const double *depth) {
    json_key(c->w, "depths");
    json_begin_object(c->w);
    for (uint32_t s = 0; s < c->t->n_strategies; s++)
        if (c->o->taking_part >> s & 1) write_number(c->w, c->o->strategies[s], depth[s]);
    json_end_object(c->w);
}

static void write_recall(json_writer *w, const double *found, size_t n) {
    metric_summary summary = metric_summarize(found, n, INTERVAL_SEED);
    write_number(w, "recall", summary.mean);
    write_number(w, "low", summary.low);
    write_number(w, "high", summary.high);
}

static void write_point(json_writer *w, uint64_t rows, size_t scored, double found) {
    json_key(w, "rows");
    json_integer(w, (int64_t)rows);
    json_key(w, "scored");
    json_integer(w, (int64_t)scored);
    write_number(w, "recall", found / (double)scored);
}

/* By blocks of the log. cost: NULL when it is not known of each row. */
static void write_curve(const contest *c, const double *found, const double *cost) {
    const trial *t = c->t;
    json_key(c->w, "curve");
    json_begin_array(c->w);
    for (size_t i = 0; i < t->n;) {
        uint64_t block = t->rows[i].event / c->o->block;
        double sum = 0, spent = 0;
        size_t n = 0;
        for (; i < t->n && t->rows[i].event / c->o->block == block; i++, n++) {
            sum += found[i];
            spent += cost ? cost[i] : 0;
        }
        json_begin_object(c->w);
        write_point(c->w, (block + 1) * c->o->block, n, sum);
        if (cost) write_number(c->w, "candidates", spent / (double)n);
        json_end_object(c->w);
    }
    json_end_array(c->w);
}

/* Beside what it found, what the best fixed depths find of the same requests: some are harder than others. */
static void write_shuffled_curve(const contest *c, const entry *e) {
    json_key(c->w, "curve");
    json_begin_array(c->w);
    for (size_t i = 0; i < c->t->n;) {
        double sum = 0, fixed = 0;
        size_t n = 0;
        for (; i < c->t->n && n < SHUFFLED_BLOCK; i++, n++) {
            sum += e->along[i];
            fixed += e->fixed[i];
        }
        json_begin_object(c->w);
        write_point(c->w, i, n, sum);
        write_number(c->w, "fixed", fixed / (double)n);
        json_end_object(c->w);
    }
    json_end_array(c->w);
}

static void write_plan(const contest *c, const char *name, const allocation *plan) {
    json_begin_object(c->w);
    json_key(c->w, "name");
    json_text(c->w, name);
    write_recall(c->w, plan->found, c->t->n);
    write_number(c->w, "candidates", plan->cost);
    write_depths(c, plan->depth);
    write_curve(c, plan->found, NULL);
    json_end_object(c->w);
}

static void write_plans(const contest *c) {
    char name[96];
    json_key(c->w, "plans");
    json_begin_array(c->w);
    snprintf(name, sizeof name, "best single strategy: %s", c->o->strategies[c->best_single - SINGLE]);
    write_plan(c, name, &c->plan[c->best_single]);
    write_plan(c, "equal depth", &c->plan[EQUAL]);
    write_plan(c, "reciprocal-rank fusion", &c->plan[FUSION]);
    write_plan(c, "best fixed depths in hindsight", &c->plan[FIXED]);
    write_plan(c, "oracle for each request", &c->plan[ORACLE]);
    for (size_t i = SINGLE; i < c->n_plans; i++) {
        if (!(c->o->taking_part >> (i - SINGLE) & 1)) continue;
        snprintf(name, sizeof name, "only %s", c->o->strategies[i - SINGLE]);
        write_plan(c, name, &c->plan[i]);
    }
    json_end_array(c->w);
}

static void write_versus(const contest *c, const char *name, const double *found, const allocation *plan) {
    metric_comparison m = metric_compare(found, plan->found, c->t->n, INTERVAL_SEED);
    json_key(c->w, name);
    json_begin_object(c->w);
    write_number(c->w, "difference", m.difference);
    write_number(c->w, "low", m.low);
    write_number(c->w, "high", m.high);
    write_number(c->w, "p", m.p);
    json_end_object(c->w);
}

static void write_policy(const contest *c, const entry *e) {
    json_begin_object(c->w);
    json_key(c->w, "name");
    json_text(c->w, e->policy->rule);
    json_key(c->w, "credit");
    json_text(c->w, !policy_rule_learns(e->policy->rule) ? "none" : e->policy->played ? "played" : "hindsight");
    json_key(c->w, "warm");
    json_bool(c->w, e->policy->warm);
    json_key(c->w, "order");
    json_text(c->w, e->policy->shuffled ? "shuffled" : "log");
    write_recall(c->w, e->found, c->t->n);
    double cost = 0;
    for (size_t i = 0; i < c->t->n; i++) cost += e->cost[i] / (double)c->t->n;
    write_number(c->w, "candidates", cost);
    write_number(c->w, "drawn_recall", e->drawn_found);
    write_number(c->w, "drawn_candidates", e->drawn_cost);
    write_number(c->w, "least_probability", e->least);
    write_depths(c, e->asked);
    json_key(c->w, "versus");
    json_begin_object(c->w);
    write_versus(c, "best single strategy", e->found, &c->plan[c->best_single]);
    write_versus(c, "equal depth", e->found, &c->plan[EQUAL]);
    write_versus(c, "reciprocal-rank fusion", e->found, &c->plan[FUSION]);
    write_versus(c, "best fixed depths in hindsight", e->found, &c->plan[FIXED]);
    write_versus(c, "oracle for each request", e->found, &c->plan[ORACLE]);
    json_end_object(c->w);
    if (e->policy->shuffled) write_shuffled_curve(c, e);
    else write_curve(c, e->found, e->cost);
    json_end_object(c->w);
}

static void write_all(const contest *c) {
    const trial *t = c->t;
    write_number(c->w, "budget", c->o->budget);
    json_key(c->w, "depth");
    json_integer(c->w, t->deepest);
    json_key(c->w, "levels");
    json_begin_array(c->w);
    for (uint32_t l = 0; l < t->n_levels; l++) json_integer(c->w, t->levels[l]);
    json_end_array(c->w);
    json_key(c->w, "strategies");
    json_begin_array(c->w);
    for (uint32_t s = 0; s < t->n_strategies; s++)
        if (c->o->taking_part >> s & 1) json_text(c->w, c->o->strategies[s]);
    json_end_array(c->w);
    write_plans(c);
    json_key(c->w, "policies");
    json_begin_array(c->w);
    for (size_t i = 0; i < c->o->n_policies; i++) write_policy(c, &c->entries[i]);
    json_end_array(c->w);
}

forage_status contest_write(const trial *t, const contest_options *options, json_writer *w, base_error *error) {
    contest *c = mem_zalloc(1, sizeof *c);
    size_t n = 0;
    forage_status status = FORAGE_OK;
    trial measured = trial_measured(t);
    c->whole = t;
    c->t = &measured;
    c->o = options;
    c->w = w;
    find_plans(c);
    for (; !status && n < options->n_policies; n++) status = run_entry(c, &options->policies[n], &c->entries[n], error);
    if (!status) write_all(c);
    for (size_t i = 0; i < n; i++) release_entry(&c->entries[i]);
    for (size_t i = 0; i < c->n_plans; i++) allocation_release(&c->plan[i]);
    free(c);
    return status;
}
