/* Off-policy evaluation: what would another policy have earned on this collection's log, or on somebody's rows? */
#include "api/call.h"

#include "evaluate/ope_log.h"
#include "feedback/timestamp.h"
#include "policy/policy.h"

#include <stdlib.h>
#include <string.h>

_Static_assert(FUNNEL_LEVELS <= OPE_MAX_LEVELS && RECORD_MAX_STRATEGIES <= OPE_MAX_STRATEGIES, "decisions fit");

typedef struct evaluation {
    slice policy;
    const json_value *plan, *rows;
    int64_t depth;
    ope_target target;
    ope_log_options log;
    ope_options options;
    record_names names;
    /* The policy, when it is one: */
    const funnel *funnel;
    policy *judged;
    const char *rule;
    random_source random;       /* its draws; only the distributions are used */
    policy_decision *decided;   /* on the impression that was judged last */
} evaluation;

/* ---- The request ---- */

static forage_status read_choice(const json_value *json, const char *member, const char *first, const char *second,
                                 bool *is_second, base_error *error) {
    slice name = slice_of(first);
    forage_status status = json_member_string(json, member, &name, error);
    if (status) return status;
    *is_second = slice_is(name, second);
    if (*is_second || slice_is(name, first)) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"%s\": expected \"%s\" or \"%s\", got \"%.*s\"", member, first, second,
                     SLICE_ARG(name));
}

static forage_status read_time(const json_value *json, const char *member, int64_t *out, base_error *error) {
    slice text = {0};
    forage_status status = json_member_string(json, member, &text, error);
    if (status || !text.size || timestamp_read(text, out)) return status;
    return error_set(error, FORAGE_E_INVALID, "\"%s\": expected a time such as \"2026-01-31T12:00:00Z\", got \"%.*s\"",
                     member, SLICE_ARG(text));
}

static forage_status read_settings(evaluation *e, const json_value *json, base_error *error) {
    bool bootstrap = false, slope = false;
    int64_t limit = (int64_t)e->log.limit, seed = (int64_t)e->options.seed;
    forage_status status = read_choice(json, "interval", "normal", "bootstrap", &bootstrap, error);
    if (!status) status = read_choice(json, "tuning", "mse", "slope", &slope, error);
    if (!status) status = json_member_number(json, "tau", 0, 1e300, &e->options.tau, error);
    if (!status) status = json_member_number(json, "lambda", 0, 1e300, &e->options.lambda, error);
    if (!status) status = json_member_integer(json, "limit", 1, OPE_LOG_MOST, &limit, error);
    if (!status) status = json_member_integer(json, "seed", 0, INT64_MAX, &seed, error);
    if (!status) status = read_time(json, "since", &e->log.since, error);
    if (!status) status = read_time(json, "until", &e->log.until, error);
    e->options.interval = bootstrap ? OPE_BOOTSTRAP : OPE_NORMAL;
    e->options.tuning = slope ? OPE_TUNE_SLOPE : OPE_TUNE_MSE;
    e->options.seed = (uint64_t)seed;
    e->log.limit = (size_t)limit;
    return status;
}

/* ---- The target ---- */

static forage_status level_of(slice member, int64_t depth, uint32_t *level, base_error *error) {
    for (*level = 0; *level < FUNNEL_LEVELS; ++*level)
        if (funnel_depths[*level] == depth) return FORAGE_OK;
    buffer levels = {0};
    for (uint32_t l = 0; l < FUNNEL_LEVELS; l++)
        buffer_printf(&levels, "%s%u", l + 1 == FUNNEL_LEVELS ? " or " : l ? ", " : "", funnel_depths[l]);
    forage_status status = error_set(error, FORAGE_E_INVALID, "\"%.*s\": expected a depth of %s, got %lld",
                                     SLICE_ARG(member), buffer_text(&levels), (long long)depth);
    buffer_release(&levels);
    return status;
}

/* {"0": 0.2, "25": 0.8} */
static forage_status read_distribution(const json_value *json, float *out, base_error *error) {
    double sum = 0;
    for (const json_value *v = json->first; v; v = v->next) {
        uint32_t level;
        char *end, *digits = mem_strndup(v->key.data, v->key.size);
        long long depth = strtoll(digits, &end, 10);
        bool number = v->key.size && !*end;
        free(digits);
        forage_status status = level_of(json->key, number ? depth : -1, &level, error);
        if (status) return status;
        if (v->type != JSON_NUMBER || !(v->number >= 0 && v->number <= 1))
            return error_set(error, FORAGE_E_INVALID, "\"plan\", \"%.*s\": expected probabilities from 0 to 1",
                             SLICE_ARG(json->key));
        out[level] = (float)v->number;
        sum += v->number;
    }
    if (fabs(sum - 1) < 1e-6) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"plan\", \"%.*s\": the probabilities add up to %g, not 1",
                     SLICE_ARG(json->key), sum);
}

static forage_status read_part(evaluation *e, const json_value *part, base_error *error) {
    uint32_t s = 0, level;
    while (s < e->names.n_strategies && !slice_is(part->key, e->names.strategies[s])) s++;
    if (s == e->names.n_strategies)
        return error_set(error, FORAGE_E_INVALID, "\"plan\": there is no strategy \"%.*s\"", SLICE_ARG(part->key));
    memset(e->target.plan[s], 0, sizeof e->target.plan[s]);
    if (part->type == JSON_OBJECT) return read_distribution(part, e->target.plan[s], error);
    if (part->type != JSON_NUMBER || !part->integral)
        return error_set(error, FORAGE_E_INVALID, "\"plan\", \"%.*s\": expected a depth, or probabilities of depths",
                         SLICE_ARG(part->key));
    forage_status status = level_of(part->key, part->integer, &level, error);
    if (!status) e->target.plan[s][level] = 1;
    return status;
}

/* Strategies that a plan does not name are not asked. */
static forage_status read_plan(evaluation *e, base_error *error) {
    if (e->plan->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "\"plan\": expected an object of strategies and depths");
    for (uint32_t s = 0; s < e->names.n_strategies; s++) e->target.plan[s][0] = 1;
    for (const json_value *part = e->plan->first; part; part = part->next) {
        forage_status status = read_part(e, part, error);
        if (status) return status;
    }
    return FORAGE_OK;
}

static forage_status plan_equal(evaluation *e, base_error *error) {
    uint32_t level;
    forage_status status = level_of(SLICE("depth"), e->depth, &level, error);
    for (uint32_t s = 0; !status && s < e->names.n_strategies; s++) e->target.plan[s][level] = 1;
    return status;
}

static bool decide(void *self, const record_impression *r, ope_distributions out) {
    evaluation *e = self;
    if (!funnel_decide_again(e->funnel, e->judged, e->rule, r, &e->random, e->decided)) return false;
    for (uint32_t s = 0; s < r->n_strategies; s++)
        memcpy(out[s], e->decided->probability[s], r->n_levels * sizeof(float));
    return true;
}

/* Records too old to be judged teach too; what the policy would have spent on them is asked for here. */
static void learn(void *self, const record_impression *r, const record_event *event) {
    evaluation *e = self;
    if (!event && !funnel_decide_again(e->funnel, e->judged, e->rule, r, &e->random, e->decided)) return;
    funnel_teach_policy(e->funnel, e->judged, r, event, e->decided, NULL);
}

static forage_status choose_policy(evaluation *e, api_call *c, base_error *error) {
    e->rule = arena_slice(&c->memory, e->policy).data;
    if (!policy_rule_known(e->rule))
        return error_set(error, FORAGE_E_INVALID,
                         "\"policy\": expected regcb, squarecb, lin-ts, linucb, epsilon-greedy, rrf-equal, fixed, all or "
                         "equal, got \"%s\"", e->rule);
    e->decided = arena_zalloc(&c->memory, 1, sizeof *e->decided);
    random_seed(&e->random, e->options.seed);
    e->target.self = e;
    e->target.decide = decide;
    if (policy_rule_learns(e->rule)) e->target.learn = learn;
    return funnel_policy(e->funnel, e->rule, 0, &e->judged, error);
}

static forage_status choose_target(evaluation *e, api_call *c, base_error *error) {
    const schema *s = collection_schema(c->entry->collection);
    e->funnel = c->entry->funnel;
    e->names = funnel_names(NULL);
    e->target.n_strategies = e->names.n_strategies;
    e->target.n_levels = FUNNEL_LEVELS;
    e->target.n_features = e->names.n_policy_features;
    memcpy(e->target.depths, funnel_depths, sizeof funnel_depths);
    if (e->plan && e->policy.size)
        return error_set(error, FORAGE_E_INVALID, "\"policy\" and \"plan\" exclude each other");
    if (e->plan) return read_plan(e, error);
    if (!e->policy.size) e->policy = slice_of(s->policy);
    return slice_is(e->policy, "equal") ? plan_equal(e, error) : choose_policy(e, c, error);
}

/* ---- The answer ---- */

static void write_number(json_writer *w, const char *key, double value) {
    json_key(w, key);
    json_number(w, value);
}

static void write_estimate(json_writer *w, const ope_estimate *e) {
    json_begin_object(w);
    json_key(w, "name");
    json_text(w, e->name);
    write_number(w, "value", e->value);
    write_number(w, "low", e->low);
    write_number(w, "high", e->high);
    write_number(w, "deviation", e->deviation);
    write_number(w, "effective_sample_size", e->effective);
    write_number(w, "max_weight", e->max_weight);
    if (!isnan(e->parameter)) write_number(w, "parameter", e->parameter);
    json_key(w, "warnings");
    json_begin_array(w);
    buffer text = {0};
    for (unsigned i = 0; ope_warning(e, i, &text); i++) {
        json_text(w, buffer_text(&text));
        buffer_clear(&text);
    }
    buffer_release(&text);
    json_end_array(w);
    json_end_object(w);
}

static void write_estimates(json_writer *w, const evaluation *e, const ope_estimate *logged,
                            const ope_estimate *estimates, size_t n) {
    json_key(w, "interval");
    json_text(w, e->options.interval == OPE_BOOTSTRAP ? "bootstrap" : "normal");
    json_key(w, "logged");
    write_estimate(w, logged);
    json_key(w, "estimates");
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) write_estimate(w, &estimates[i]);
    json_end_array(w);
}

/* What is wrong with the whole, rather than with one estimator. */
static void write_warnings(json_writer *w, const ope_log *log) {
    buffer text = {0};
    json_key(w, "warnings");
    json_begin_array(w);
    if (log->certain) {
        buffer_printf(&text,
                      "%.3g %% of the impressions left nothing to chance; they tell only about policies that would "
                      "have asked the same",
                      100 * (double)log->certain / (double)log->rows.n);
        json_text(w, buffer_text(&text));
        buffer_clear(&text);
    }
    if (log->skipped) {
        buffer_printf(&text, "%zu impressions were left out: they are damaged, or another version made them",
                      log->skipped);
        json_text(w, buffer_text(&text));
    }
    json_end_array(w);
    buffer_release(&text);
}

static void write_count(json_writer *w, const char *key, size_t value) {
    json_key(w, key);
    json_integer(w, (int64_t)value);
}

static forage_status evaluate_log(api_call *c, evaluation *e, int64_t start, base_error *error) {
    store_txn *t;
    ope_log log = {0};
    ope_estimate estimates[OPE_LOG_ESTIMATES];
    forage_status status = choose_target(e, c, error);
    if (status) return status;
    status = store_read_begin(collection_store(c->entry->collection), &t, error);
    if (!status) {
        status = ope_log_read(t, &e->target, &e->log, &log, error);
        store_read_end(t);
    }
    policy_destroy(e->judged);
    if (!status) status = ope_log_estimate(&log, &e->options, estimates, error);
    if (!status) {
        ope_estimate logged = ope_log_logged(&log, &e->options);
        json_writer *w = &c->json;
        json_begin_object(w);
        json_key(w, "policy");
        if (e->plan) json_text(w, "plan");
        else json_string(w, e->policy);
        json_key(w, "progressive");
        json_bool(w, e->target.learn != NULL);
        write_count(w, "impressions", log.rows.n);
        write_count(w, "events", log.n_events);
        write_estimates(w, e, &logged, estimates, OPE_LOG_ESTIMATES);
        write_warnings(w, &log);
        json_key(w, "took_ms");
        json_float(w, (double)(clock_monotonic(&os_clock_system) - start) / 1000);
        json_end_object(w);
    }
    ope_log_release(&log);
    return status;
}

/* ---- Somebody's rows ---- */

enum { REWARD, LOGGING, TARGET, PREDICTED, EXPECTED, MISSING, COLUMNS };
static const char *const column_names[COLUMNS + 1] = {"reward",   "logging", "target", "predicted",
                                                      "expected", "missing", NULL};

/* The first row says which of the optional columns there are. */
static forage_status read_rows(api_call *c, const json_value *rows, double *column[COLUMNS], base_error *error) {
    size_t i = 0;
    if (rows->type != JSON_ARRAY || !rows->first)
        return error_set(error, FORAGE_E_INVALID,
                         "\"rows\": expected an array of {\"reward\", \"logging\", \"target\"}");
    for (int k = 0; k < COLUMNS; k++)
        if (k <= TARGET || json_get(rows->first, column_names[k]))
            column[k] = arena_zalloc(&c->memory, rows->count, sizeof(double));
    for (const json_value *row = rows->first; row; row = row->next, i++) {
        forage_status status = json_only_members(row, column_names, error);
        if (status) return error_prefix(error, "row %zu", i + 1), status;
        for (int k = 0; k < COLUMNS; k++) {
            const json_value *v = json_get(row, column_names[k]);
            if (column[k] && v && v->type == JSON_NUMBER) column[k][i] = v->number;
            else if (column[k] || v)
                return error_set(error, FORAGE_E_INVALID, "row %zu, \"%s\": expected a number%s", i + 1,
                                 column_names[k], v ? ", as in the first row" : "");
        }
    }
    if (!column[PREDICTED] == !column[EXPECTED]) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"predicted\" and \"expected\" go together");
}

static forage_status evaluate_rows(api_call *c, evaluation *e, int64_t start, base_error *error) {
    double *column[COLUMNS] = {0};
    ope_estimate estimates[OPE_KINDS];
    size_t n, n_rows = e->rows->count;
    if (e->plan || e->policy.size)
        return error_set(error, FORAGE_E_INVALID,
                         "\"rows\" hold the target's probabilities; leave out \"policy\" and \"plan\"");
    forage_status status = read_rows(c, e->rows, column, error);
    if (status) return status;
    double *weight = arena_zalloc(&c->memory, n_rows, sizeof *weight);
    status = ope_weigh(column[TARGET], column[LOGGING], n_rows, weight, error);
    ope_data d = {n_rows, column[REWARD], weight, column[PREDICTED], column[EXPECTED], column[MISSING], NULL};
    if (!status) status = ope_estimate_all(&d, &e->options, estimates, &n, error);
    if (status) return status;
    ope_estimate logged = ope_summarize("logged", column[REWARD], NULL, NULL, n_rows, &e->options);
    json_begin_object(&c->json);
    write_count(&c->json, "rows", n_rows);
    write_estimates(&c->json, e, &logged, estimates, n);
    json_key(&c->json, "took_ms");
    json_float(&c->json, (double)(clock_monotonic(&os_clock_system) - start) / 1000);
    json_end_object(&c->json);
    return FORAGE_OK;
}

forage_status api_post_ope(api_call *c, base_error *error) {
    static const char *const members[] = {"policy",   "plan",   "depth", "rows",   "since", "until", "limit",
                                          "interval", "tuning", "tau",   "lambda", "seed",  NULL};
    int64_t start = clock_monotonic(&os_clock_system);
    json_value *json;
    evaluation e = {.log = OPE_LOG_DEFAULTS, .options = OPE_DEFAULTS, .depth = 25};
    forage_status status = api_body(c, &json, error);
    if (!status && json->type != JSON_OBJECT)
        status = error_set(error, FORAGE_E_INVALID, "expected an object, got %s", json_type_name(json->type));
    if (!status) status = json_only_members(json, members, error);
    if (!status) status = json_member_string(json, "policy", &e.policy, error);
    if (!status) status = json_member_integer(json, "depth", 0, UINT32_MAX, &e.depth, error);
    if (!status) status = read_settings(&e, json, error);
    if (status) return status;
    e.plan = json_get(json, "plan");
    e.rows = json_get(json, "rows");
    if (e.rows) return evaluate_rows(c, &e, start, error);
    return evaluate_log(c, &e, start, error);
}
