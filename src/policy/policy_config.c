#include "policy/policy_internal.h"

#include <math.h>
#include <string.h>

const char *const policy_kind_names[POLICY_KINDS] = {"fixed",  "all",    "rrf-equal", "epsilon-greedy",
                                                     "linucb", "lin-ts", "squarecb",  "regcb"};

void policy_config_default(policy_config *c, const char *name, uint32_t n_strategies) {
    static const uint32_t depths[] = {0, 8, 32, 128};
    *c = (policy_config){.name = name,
                         .n_strategies = n_strategies,
                         .n_levels = 4,
                         .n_features = 1,
                         .exploration = .005,
                         .gamma = 400,
                         .noise = .1,
                         .samples = 32,
                         .cost = 5e-5,
                         .discount = .9999};
    memcpy(c->depths, depths, sizeof depths);
    for (uint32_t s = 0; s < POLICY_MAX_STRATEGIES; s++) {
        c->fixed_level[s] = 2;
        c->prior_reward[s] = .1;
    }
}

static forage_status check_count(const char *member, uint32_t value, uint32_t low, uint32_t high, base_error *error) {
    if (value >= low && value <= high) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "policy %s: expected %u to %u, got %u", member, low, high, value);
}

static forage_status check_number(const char *member, double value, double low, double high, base_error *error) {
    if (value >= low && value <= high) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "policy %s: expected %g to %g, got %g", member, low, high, value);
}

bool policy_kind_of(const char *name, policy_kind *out) {
    for (int kind = 0; name && kind < POLICY_KINDS; kind++) {
        if (strcmp(name, policy_kind_names[kind]) != 0) continue;
        *out = (policy_kind)kind;
        return true;
    }
    return false;
}

bool policy_rule_known(const char *name) {
    policy_kind kind;
    return policy_kind_of(name, &kind);
}

bool policy_rule_learns(const char *name) {
    policy_kind kind;
    return policy_kind_of(name, &kind) && policy_kind_learns(kind);
}

static forage_status check_kind(const char *name, policy_kind *out, base_error *error) {
    if (policy_kind_of(name, out)) return FORAGE_OK;
    char known[128] = "";
    for (int kind = 0; kind < POLICY_KINDS; kind++) {
        strcat(known, kind == 0 ? "" : kind + 1 == POLICY_KINDS ? " or " : ", ");
        strcat(known, policy_kind_names[kind]);
    }
    return error_set(error, FORAGE_E_INVALID, "policy name: expected %s, got \"%.100s\"", known, name ? name : "");
}

static forage_status check_arrays(const policy_config *c, base_error *error) {
    if (c->depths[0] != 0)
        return error_set(error, FORAGE_E_INVALID, "policy depths[0]: expected 0, got %u", c->depths[0]);
    for (uint32_t l = 1; l < c->n_levels; l++)
        if (c->depths[l] <= c->depths[l - 1])
            return error_set(error, FORAGE_E_INVALID, "policy depths[%u]: expected more than %u, got %u", l,
                             c->depths[l - 1], c->depths[l]);
    for (uint32_t s = 0; s < c->n_strategies; s++) {
        if (c->fixed_level[s] >= c->n_levels)
            return error_set(error, FORAGE_E_INVALID, "policy fixed_level[%u]: expected 0 to %u, got %u", s,
                             c->n_levels - 1, c->fixed_level[s]);
        if (!(fabs(c->prior_reward[s]) <= POLICY_REWARD_LIMIT))
            return error_set(error, FORAGE_E_INVALID, "policy prior_reward[%u]: expected %g to %g, got %g", s,
                             -POLICY_REWARD_LIMIT, POLICY_REWARD_LIMIT, c->prior_reward[s]);
    }
    return FORAGE_OK;
}

static forage_status check_numbers(const policy_config *c, base_error *error) {
    forage_status status = check_number("exploration", c->exploration, 0, .9 / c->n_levels, error);
    if (!status) status = check_number("gamma", c->gamma, 0, 1e9, error);
    if (!status) status = check_number("noise", c->noise, 0, POLICY_REWARD_LIMIT, error);
    if (!status) status = check_count("samples", c->samples, 1, POLICY_MAX_SAMPLES, error);
    if (!status) status = check_number("cost", c->cost, 0, 1e6, error);
    if (!status) status = check_number("budget", c->budget, 0, 1e12, error);
    if (!status && c->budget > 0 && c->cost == 0)
        status = error_set(error, FORAGE_E_INVALID, "policy cost: with a budget it must be above 0, to start from");
    if (!status) status = check_number("discount", c->discount, 1e-9, 1, error);
    return status;
}

forage_status policy_config_check(const policy_config *c, policy_kind *kind, base_error *error) {
    forage_status status = check_kind(c->name, kind, error);
    if (!status) status = check_count("n_strategies", c->n_strategies, 1, POLICY_MAX_STRATEGIES, error);
    if (!status) status = check_count("n_levels", c->n_levels, 2, POLICY_MAX_LEVELS, error);
    if (!status) status = check_count("n_features", c->n_features, 1, POLICY_MAX_FEATURES, error);
    if (!status) status = check_arrays(c, error);
    if (!status) status = check_numbers(c, error);
    return status;
}
