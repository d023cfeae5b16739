#include "train/train.h"

#include "feedback/timestamp.h"

#include <string.h>

#define MEGABYTE ((size_t)1 << 20)
#define BAGGED_SHARE .8 /* of the groups, where bags would else all be the same */

void train_settings_default(train_settings *s) {
    *s = (train_settings){.validation = .15, .held_out = .2, .debias = TRAIN_DEBIAS_HARVEST, .weight_clip = 10, .user_cap = 100,
                          .memory = 512 * MEGABYTE, .since = INT64_MIN, .activate = true, .seed = 1};
    pick_settings_default(&s->fit);
    s->fit.trees.gain = s->fit.linear.gain = NDCG_LINEAR; /* labels are rewards */
    /* What did best, or no worse than others, on the Last.fm replay: few leaves, and no tree sees everything. */
    s->fit.trees.truncation = 20;
    s->fit.trees.trees.max_leaves = 15;
    s->fit.trees.trees.eta = .08;
    s->fit.trees.trees.lambda = 5;
    s->fit.trees.trees.min_child_weight = .5;
    s->fit.trees.trees.subsample = .7;
    s->fit.trees.trees.colsample = .5;
    s->fit.trees.weight_clip = 0; /* weights are clipped when they are made */
    s->fit.linear.weight_clip = 0;
    s->fit.linear.iterations = 150;
    s->fit.linear.standard_errors = 1;
    static const double penalties[] = {100, 10, 1, .1, .01, .001, 1e-4};
    s->fit.linear.n_grid = sizeof penalties / sizeof penalties[0];
    memcpy(s->fit.linear.l2, penalties, sizeof penalties);
}

static forage_status read_kind(const json_value *json, pick_kind *out, base_error *error) {
    slice kind = {0};
    forage_status status = json_member_string(json, "kind", &kind, error);
    if (status || !kind.size) return status;
    if (slice_is(kind, "best")) *out = PICK_BEST;
    else if (slice_is(kind, "linear")) *out = PICK_LINEAR;
    else if (slice_is(kind, "trees")) *out = PICK_TREES;
    else return error_set(error, FORAGE_E_INVALID, "\"kind\": expected best, linear or trees, got \"%.*s\"", SLICE_ARG(kind));
    return FORAGE_OK;
}

static forage_status read_debias(const json_value *json, train_debias *out, base_error *error) {
    slice how = {0};
    forage_status status = json_member_string(json, "debias", &how, error);
    if (status || !how.size) return status;
    if (slice_is(how, "harvest")) *out = TRAIN_DEBIAS_HARVEST;
    else if (slice_is(how, "regression-em")) *out = TRAIN_DEBIAS_EM;
    else if (slice_is(how, "none")) *out = TRAIN_DEBIAS_NONE;
    else return error_set(error, FORAGE_E_INVALID, "\"debias\": expected harvest, regression-em or none, got \"%.*s\"", SLICE_ARG(how));
    return FORAGE_OK;
}

static forage_status read_trees(const json_value *json, lambdamart_settings *t, base_error *error) {
    int64_t rounds = t->rounds, leaves = t->trees.max_leaves, patience = t->patience, threads = t->trees.threads, bags = t->bags,
            truncation = t->truncation;
    forage_status status = json_member_integer(json, "trees", 1, 5000, &rounds, error);
    if (!status) status = json_member_integer(json, "leaves", 2, 255, &leaves, error);
    if (!status) status = json_member_integer(json, "patience", 0, 5000, &patience, error);
    if (!status) status = json_member_integer(json, "bags", 1, 20, &bags, error);
    if (!status) status = json_member_integer(json, "truncation", 1, 1000, &truncation, error);
    if (!status) status = json_member_integer(json, "threads", 1, 64, &threads, error);
    if (!status) status = json_member_number(json, "learning_rate", 1e-4, 1, &t->trees.eta, error);
    if (!status) status = json_member_number(json, "max_seconds", 0, 1e6, &t->seconds, error);
    if (!status) status = json_member_number(json, "subsample", .01, 1, &t->trees.subsample, error);
    if (!status) status = json_member_number(json, "group_share", .01, 1, &t->group_share, error);
    if (!status) status = json_member_number(json, "colsample", .01, 1, &t->trees.colsample, error);
    if (!status) status = json_member_number(json, "colsample_node", .01, 1, &t->trees.colsample_node, error);
    bool draws = t->group_share < 1 || t->trees.subsample < 1 || t->trees.colsample < 1 || t->trees.colsample_node < 1;
    if (bags > 1 && !draws) t->group_share = BAGGED_SHARE;
    t->rounds = (uint32_t)rounds;
    t->trees.max_leaves = (uint32_t)leaves;
    t->patience = (uint32_t)patience;
    t->bags = (uint32_t)bags;
    t->truncation = (uint32_t)truncation;
    t->trees.threads = (uint32_t)threads;
    return status;
}

/* A date or time, or seconds since 1970. */
static forage_status read_since(const json_value *json, int64_t *out, base_error *error) {
    const json_value *since = json_get(json, "since");
    double seconds = 0;
    if (!since || since->type == JSON_NULL) return FORAGE_OK;
    if (since->type == JSON_STRING) {
        if (timestamp_read(since->text, out)) return FORAGE_OK;
        return error_set(error, FORAGE_E_INVALID, "\"since\": \"%.*s\" is no date or time such as 2026-01-31", SLICE_ARG(since->text));
    }
    forage_status status = json_member_number(json, "since", 0, 1e11, &seconds, error);
    if (!status) *out = (int64_t)(seconds * 1e6);
    return status;
}

forage_status train_settings_read(const json_value *json, train_settings *out, base_error *error) {
    static const char *const members[] = {"kind", "debias", "trees", "leaves", "patience", "bags", "truncation", "threads", "learning_rate",
                                          "subsample", "group_share", "colsample", "colsample_node", "max_seconds", "validation",
                                          "held_out", "weight_clip", "user_cap", "memory_mb", "since",
                                          "activate", "name", "seed", "wait", "judgments", "queries", NULL};
    train_settings s = *out;
    int64_t memory = (int64_t)(s.memory / MEGABYTE), seed = (int64_t)s.seed;
    forage_status status = json_only_members(json, members, error);
    if (!status) status = read_kind(json, &s.fit.kind, error);
    if (!status) status = read_debias(json, &s.debias, error);
    if (!status) status = read_trees(json, &s.fit.trees, error);
    if (!status) status = json_member_number(json, "validation", .01, .5, &s.validation, error);
    if (!status) status = json_member_number(json, "held_out", .01, .5, &s.held_out, error);
    if (!status) status = json_member_number(json, "weight_clip", 1, 1000, &s.weight_clip, error);
    if (!status) status = json_member_number(json, "user_cap", 1, 1e9, &s.user_cap, error);
    if (!status) status = json_member_integer(json, "memory_mb", 16, 65536, &memory, error);
    if (!status) status = json_member_integer(json, "seed", 0, INT64_MAX, &seed, error);
    if (!status) status = read_since(json, &s.since, error);
    if (!status) status = json_member_bool(json, "activate", &s.activate, error);
    if (!status) status = json_member_string(json, "name", &s.name, error);
    if (status) return status;
    if (s.name.size > FUNNEL_MODEL_NAME)
        return error_set(error, FORAGE_E_INVALID, "\"name\": at most %d bytes", FUNNEL_MODEL_NAME);
    if (s.validation + s.held_out > .8)
        return error_set(error, FORAGE_E_INVALID, "\"validation\" and \"held_out\" leave less than a fifth of the searches to learn from");
    s.memory = (size_t)memory * MEGABYTE;
    s.seed = (uint64_t)seed;
    *out = s;
    return FORAGE_OK;
}
