#include "rank/lambdamart.h"
#include "rank/report_json.h"

/* ---- Settings -------------------------------------------------------------------------------------------------- */

void lambdamart_settings_default(lambdamart_settings *s) {
    *s = (lambdamart_settings){.rounds = 500, .patience = 50, .bags = 1, .truncation = 30, .sigma = 1, .normalise = true,
                               .gain = NDCG_EXPONENTIAL, .cutoff = 10, .empty = NDCG_EMPTY_ONE, .group_share = 1,
                               .weight_clip = 10, .debias_regularisation = 0, .memory_limit = (size_t)8 << 30, .seed = 1};
    boost_settings_default(&s->trees);
}

static forage_status check_whole(const char *name, uint64_t value, uint64_t low, uint64_t high, base_error *error) {
    if (value >= low && value <= high) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "%s: expected %llu to %llu, got %llu", name, (unsigned long long)low,
                     (unsigned long long)high, (unsigned long long)value);
}

static forage_status check_number(const char *name, double value, double low, double high, base_error *error) {
    if (value >= low && value <= high) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "%s: expected %g to %g, got %g", name, low, high, value);
}

forage_status lambdamart_settings_check(const lambdamart_settings *s, base_error *error) {
    forage_status status = boost_settings_check(&s->trees, error);
    if (!status) status = check_whole("trees", s->rounds, 1, LAMBDAMART_MOST_ROUNDS, error);
    if (!status) status = check_whole("patience", s->patience, 0, LAMBDAMART_MOST_ROUNDS, error);
    if (!status) status = check_whole("bags", s->bags, 1, LAMBDAMART_MOST_BAGS, error);
    if (!status) status = check_whole("truncation", s->truncation, 1, LAMBDAMART_MOST_TRUNCATION, error);
    if (!status) status = check_number("sigma", s->sigma, 1e-3, 100, error);
    if (!status) status = check_number("group_share", s->group_share, 1e-3, 1, error);
    if (!status) status = check_number("weight_clip", s->weight_clip, 0, 1e6, error);
    if (!status) status = check_number("debias_regularisation", s->debias_regularisation, 0, 100, error);
    if (!status) status = check_number("seconds", s->seconds, 0, 1e9, error);
    bool draws = s->group_share < 1 || s->trees.subsample < 1 || s->trees.colsample < 1 || s->trees.colsample_node < 1;
    if (!status && s->bags > 1 && !draws)
        status = error_set(error, FORAGE_E_INVALID, "bags: without sampling of groups, rows or features all would be the same");
    return status;
}

void lambdamart_settings_json(const lambdamart_settings *s, buffer *out) {
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    write_whole(&w, "trees", s->rounds);
    write_whole(&w, "patience", s->patience);
    write_whole(&w, "bags", s->bags);
    write_whole(&w, "leaves", s->trees.max_leaves);
    write_whole(&w, "depth", s->trees.max_depth);
    write_whole(&w, "bins", s->trees.max_bin);
    write_number(&w, "learning_rate", s->trees.eta);
    write_number(&w, "lambda", s->trees.lambda);
    write_number(&w, "min_child_weight", s->trees.min_child_weight);
    write_number(&w, "gamma", s->trees.gamma);
    write_number(&w, "subsample", s->trees.subsample);
    write_number(&w, "colsample", s->trees.colsample);
    write_number(&w, "colsample_node", s->trees.colsample_node);
    write_number(&w, "group_share", s->group_share);
    write_whole(&w, "truncation", s->truncation);
    write_number(&w, "sigma", s->sigma);
    write_flag(&w, "normalise", s->normalise);
    json_key(&w, "gain");
    json_text(&w, s->gain == NDCG_EXPONENTIAL ? "exponential" : "linear");
    write_whole(&w, "cutoff", s->cutoff);
    write_number(&w, "weight_clip", s->weight_clip);
    write_flag(&w, "debias", s->debias);
    write_number(&w, "seconds", s->seconds);
    write_whole(&w, "seed", s->seed);
    write_whole(&w, "threads", s->trees.threads);
    json_end_object(&w);
}

/* ---- From JSON ------------------------------------------------------------------------------------------------- */

static forage_status read_whole(const json_value *json, const char *key, int64_t high, uint32_t *out, base_error *error) {
    int64_t value = *out;
    forage_status status = json_member_integer(json, key, 0, high, &value, error);
    if (!status) *out = (uint32_t)value;
    return status;
}

static forage_status read_gain(const json_value *json, ndcg_gain *out, base_error *error) {
    slice name = {0};
    forage_status status = json_member_string(json, "gain", &name, error);
    if (status || !name.size) return status;
    *out = slice_is(name, "linear") ? NDCG_LINEAR : NDCG_EXPONENTIAL;
    if (*out == NDCG_LINEAR || slice_is(name, "exponential")) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"gain\": expected exponential or linear, got \"%.*s\"", SLICE_ARG(name));
}

forage_status lambdamart_settings_read(const json_value *json, lambdamart_settings *s, base_error *error) {
    boost_settings *b = &s->trees;
    const struct {
        const char *key;
        uint32_t *out;
    } whole[] = {{"trees", &s->rounds},      {"patience", &s->patience}, {"bags", &s->bags},     {"leaves", &b->max_leaves},
                 {"depth", &b->max_depth},   {"bins", &b->max_bin},      {"cutoff", &s->cutoff}, {"truncation", &s->truncation},
                 {"threads", &b->threads}};
    const struct {
        const char *key;
        double *out;
    } numbers[] = {{"learning_rate", &b->eta},
                   {"lambda", &b->lambda},
                   {"min_child_weight", &b->min_child_weight},
                   {"gamma", &b->gamma},
                   {"subsample", &b->subsample},
                   {"colsample", &b->colsample},
                   {"colsample_node", &b->colsample_node},
                   {"group_share", &s->group_share},
                   {"sigma", &s->sigma},
                   {"weight_clip", &s->weight_clip},
                   {"debias_regularisation", &s->debias_regularisation},
                   {"seconds", &s->seconds}};
    int64_t seed = (int64_t)(s->seed & INT64_MAX);
    forage_status status = FORAGE_OK;
    for (size_t i = 0; i < sizeof whole / sizeof whole[0] && !status; i++)
        status = read_whole(json, whole[i].key, 1000000, whole[i].out, error);
    for (size_t i = 0; i < sizeof numbers / sizeof numbers[0] && !status; i++)
        status = json_member_number(json, numbers[i].key, 0, 1e9, numbers[i].out, error);
    if (!status) status = json_member_bool(json, "normalise", &s->normalise, error);
    if (!status) status = json_member_bool(json, "debias", &s->debias, error);
    if (!status) status = json_member_integer(json, "seed", 0, INT64_MAX, &seed, error);
    if (!status) status = read_gain(json, &s->gain, error);
    s->seed = (uint64_t)seed;
    return status ? status : lambdamart_settings_check(s, error);
}
