/* Simulations: simulated customers for a collection, and what became of it. */
#include "api/call.h"

#include "feedback/timestamp.h"
#include "simulate/simulation.h"

#include <stdatomic.h>

/* Numbers that are read by their names: where they go and what is allowed. Other ranges are the simulation's to
 * check. */
typedef struct number_member {
    const char *name;
    double *to, most;
} number_member;

static forage_status read_numbers(const json_value *json, const number_member *members, size_t n, base_error *error) {
    forage_status status = FORAGE_OK;
    for (size_t i = 0; !status && i < n; i++)
        status = json_member_number(json, members[i].name, 0, members[i].most, members[i].to, error);
    return status;
}

static forage_status read_clicks(const json_value *json, click_model *m, base_error *error) {
    static const char *const members[] = {"noise",        "attraction", "satisfaction", "commitment", "eta",
                                          "perseverance", NULL};
    slice name = SLICE("pbm");
    forage_status status = json_member_string(json, "click_model", &name, error);
    if (!status) status = click_model_named(name, m, error);
    const json_value *parameters = json_get(json, "click_parameters");
    if (status || !parameters || parameters->type == JSON_NULL) return status;
    if (parameters->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID,
                         "\"click_parameters\": expected an object such as {\"eta\": 1}, got %s",
                         json_type_name(parameters->type));
    const number_member numbers[] = {{"noise", &m->noise, 1},
                                     {"attraction", &m->attraction, 1},
                                     {"satisfaction", &m->satisfaction, 1},
                                     {"commitment", &m->commitment, 1},
                                     {"eta", &m->eta, 10},
                                     {"perseverance", &m->perseverance, 1}};
    status = json_only_members(parameters, members, error);
    if (!status) status = read_numbers(parameters, numbers, sizeof numbers / sizeof numbers[0], error);
    return status;
}

static forage_status read_styles(const json_value *styles, population_config *p, base_error *error) {
    const char *members[QUERY_STYLES + 1] = {0};
    forage_status status = FORAGE_OK;
    if (!styles || styles->type == JSON_NULL) return FORAGE_OK;
    if (styles->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID,
                         "\"styles\": expected an object such as {\"title\": 0.5, \"typo\": 0.5}, got %s",
                         json_type_name(styles->type));
    for (int s = 0; s < QUERY_STYLES; s++) {
        members[s] = query_style_names[s];
        p->styles[s] = 0;
    }
    status = json_only_members(styles, members, error);
    for (int s = 0; !status && s < QUERY_STYLES; s++)
        status = json_member_number(styles, members[s], 0, 1, &p->styles[s], error);
    return status;
}

/* A number, or an array of them. */
static forage_status read_drifts(const json_value *drifts, population_config *p, base_error *error) {
    if (!drifts || drifts->type == JSON_NULL) return FORAGE_OK;
    bool list = drifts->type == JSON_ARRAY;
    if (list && drifts->count > POPULATION_MAX_DRIFTS)
        return error_set(error, FORAGE_E_INVALID, "\"drift_at\": at most %d drifts", POPULATION_MAX_DRIFTS);
    for (const json_value *v = list ? drifts->first : drifts; v; v = list ? v->next : NULL) {
        if (v->type != JSON_NUMBER || !v->integral || v->integer < 1 || v->integer > SIMULATION_MAX_CUSTOMERS)
            return error_set(error, FORAGE_E_INVALID, "\"drift_at\": expected customers' numbers from 1 to %d",
                             SIMULATION_MAX_CUSTOMERS);
        p->drift_at[p->n_drifts++] = (uint32_t)v->integer;
    }
    return FORAGE_OK;
}

static forage_status read_compare(const json_value *json, simulation_config *c, base_error *error) {
    const json_value *list = json_get(json, "compare");
    if (!list || list->type == JSON_NULL) return FORAGE_OK;
    if (list->type != JSON_ARRAY || list->count > SIMULATION_MAX_RULES)
        return error_set(error, FORAGE_E_INVALID, "\"compare\": expected an array of at most %d names of policies",
                         SIMULATION_MAX_RULES);
    c->n_rules = 0;
    for (const json_value *v = list->first; v; v = v->next) {
        if (v->type != JSON_STRING || !v->text.size)
            return error_set(error, FORAGE_E_INVALID, "\"compare\": expected names of policies, got %s",
                             json_type_name(v->type));
        c->rules[c->n_rules++] = v->text;
    }
    return FORAGE_OK;
}

static forage_status read_counts(const json_value *json, simulation_config *c, base_error *error) {
    const struct {
        const char *name;
        uint32_t *to;
        int64_t low, high;
    } counts[] = {{"customers", &c->customers, 1, SIMULATION_MAX_CUSTOMERS},
                  {"page", &c->page, 1, SIMULATION_MAX_PAGE},
                  {"points", &c->points, 1, SIMULATION_MAX_POINTS},
                  {"compare_every", &c->compare_every, 0, SIMULATION_MAX_CUSTOMERS},
                  {"season", &c->population.season, 0, 10 * SIMULATION_MAX_CUSTOMERS}};
    forage_status status = FORAGE_OK;
    for (size_t i = 0; !status && i < sizeof counts / sizeof counts[0]; i++) {
        int64_t value = *counts[i].to;
        status = json_member_integer(json, counts[i].name, counts[i].low, counts[i].high, &value, error);
        *counts[i].to = (uint32_t)value;
    }
    int64_t seed = 1, users = c->customers / 10 < 10 ? 10 : c->customers / 10;
    if (!status) status = json_member_integer(json, "seed", 0, INT64_MAX, &seed, error);
    if (!status) status = json_member_integer(json, "users", 1, 10000000, &users, error);
    c->population.seed = (uint64_t)seed;
    c->population.users = (uint32_t)users;
    return status;
}

static forage_status read_config(const json_value *json, simulation_config *c, base_error *error) {
    static const char *const members[] = {
        "customers", "seed",          "users",       "page",        "points",
        "compare",   "compare_every", "policy",      "click_model", "click_parameters",
        "styles",    "drift_at",      "drift_share", "season",      "season_strength",
        "days",      "until",         NULL};
    const number_member numbers[] = {{"drift_share", &c->population.drift_share, 1},
                                     {"season_strength", &c->population.season_strength, 10},
                                     {"days", &c->days, 3650}};
    slice until = {0};
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "expected an object such as {\"customers\": 5000}, got %s",
                         json_type_name(json->type));
    forage_status status = json_only_members(json, members, error);
    if (!status) status = read_counts(json, c, error);
    if (!status) status = read_numbers(json, numbers, sizeof numbers / sizeof numbers[0], error);
    if (!status) status = read_clicks(json, &c->clicks, error);
    if (!status) status = read_styles(json_get(json, "styles"), &c->population, error);
    if (!status) status = read_drifts(json_get(json, "drift_at"), &c->population, error);
    if (!status) status = read_compare(json, c, error);
    if (!status) status = json_member_string(json, "policy", &c->policy, error);
    if (!status) status = json_member_string(json, "until", &until, error);
    if (!status && until.size && !timestamp_read(until, &c->until))
        status = error_set(error, FORAGE_E_INVALID,
                           "\"until\": expected a time such as \"2026-01-31T12:00:00Z\", got \"%.*s\"",
                           SLICE_ARG(until));
    return status ? status : simulation_config_check(c, error);
}

/* One at a time in a process: it keeps a worker busy for long, and two would learn from each other's customers. */
static atomic_flag running = ATOMIC_FLAG_INIT;

forage_status api_post_simulate(api_call *c, base_error *error) {
    json_value *json;
    simulation_config config;
    simulation *s = NULL;
    simulation_config_default(&config);
    if (c->db->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    forage_status status = api_body(c, &json, error);
    if (!status) status = read_config(json, &config, error);
    if (status) return status;
    if (atomic_flag_test_and_set(&running))
        return error_set(error, FORAGE_E_OVERLOADED, "another simulation is running; wait until it is done");
    status = simulation_run(c->entry->funnel, &config, &s, error);
    atomic_flag_clear(&running);
    if (!status) simulation_write(s, &c->json);
    simulation_destroy(s);
    return status;
}
