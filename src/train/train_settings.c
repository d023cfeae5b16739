#include "train/train.h"

#include <string.h>

#define MEGABYTE ((size_t)1 << 20)

void train_settings_default(train_settings *s) {
    *s = (train_settings){.validation = .15, .held_out = .2, .debias = TRAIN_DEBIAS_HARVEST, .weight_clip = 10, .user_cap = 100,
                          .memory = 512 * MEGABYTE, .since = INT64_MIN, .activate = true, .seed = 1};
    pick_settings_default(&s->fit);
    s->fit.trees.gain = s->fit.linear.gain = NDCG_LINEAR; /* labels are rewards */
    s->fit.trees.truncation = 10;
}

static forage_status read_kind(const json_value *json, pick_kind *out, base_error *error) {
    slice kind = {0};
    forage_status status = json_member_string(json, "kind", &kind, error);
    if (status || !kind.size) return status;
    if (slice_is(kind, "best")) *out = PICK_BEST;
    else if (slice_is(kind, "linear")) *out = PICK_LINEAR;
    else if (slice_is(kind, "trees")) *out = PICK_TREES;
    else if (slice_is(kind, "blend")) *out = PICK_BLEND;
    else return error_set(error, FORAGE_E_INVALID, "\"kind\": expected best, linear, trees or blend, got \"%.*s\"", SLICE_ARG(kind));
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
    t->rounds = (uint32_t)rounds;
    t->trees.max_leaves = (uint32_t)leaves;
    t->patience = (uint32_t)patience;
    t->bags = (uint32_t)bags;
    t->truncation = (uint32_t)truncation;
    t->trees.threads = (uint32_t)threads;
    return status;
}

forage_status train_settings_read(const json_value *json, train_settings *out, base_error *error) {
    static const char *const members[] = {"kind", "debias", "trees", "leaves", "patience", "bags", "truncation", "threads", "learning_rate",
                                          "max_seconds", "validation", "held_out", "weight_clip", "user_cap", "memory_mb", "since",
                                          "activate", "name", "seed", "wait", "judgments", "queries", NULL};
    train_settings s = *out;
    int64_t memory = (int64_t)(s.memory / MEGABYTE), seed = (int64_t)s.seed;
    double since = -1;
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
    if (!status) status = json_member_number(json, "since", 0, 1e11, &since, error);
    if (!status) status = json_member_bool(json, "activate", &s.activate, error);
    if (!status) status = json_member_string(json, "name", &s.name, error);
    if (status) return status;
    if (s.name.size > FUNNEL_MODEL_NAME)
        return error_set(error, FORAGE_E_INVALID, "\"name\": at most %d bytes", FUNNEL_MODEL_NAME);
    if (s.validation + s.held_out > .8)
        return error_set(error, FORAGE_E_INVALID, "\"validation\" and \"held_out\" leave less than a fifth of the searches to learn from");
    s.memory = (size_t)memory * MEGABYTE;
    s.seed = (uint64_t)seed;
    s.since = since >= 0 ? (int64_t)(since * 1e6) : s.since;
    *out = s;
    return FORAGE_OK;
}
