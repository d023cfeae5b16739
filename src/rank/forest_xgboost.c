/* XGBoost's model files, JSON or UBJ, one schema for both: learner.learner_model_param, .objective, .feature_names,
 * .gradient_booster (gbtree; dart has a gbtree and a weight for each tree) .model.trees: one object a tree with an array for each
 * property of its nodes. Children are −1 in leaves; a leaf's value stands where a split has its threshold; a row goes left
 * when x < threshold, or, in a split by categories, when its category is not listed. */
#include "rank/forest_internal.h"
#include "rank/forest_ubjson.h"

#include <stdio.h>
#include <string.h>

/* Numbers in the parameters are strings; since 3.0 some are arrays: "[5E-1]". */
static forage_status parameter(const json_value *object, const char *key, double fallback, double *out, base_error *error) {
    const json_value *v = json_get(object, key);
    *out = fallback;
    if (!v || v->type == JSON_NULL) return FORAGE_OK;
    if (v->type == JSON_NUMBER) {
        *out = v->number;
        return FORAGE_OK;
    }
    const json_value *s = v->type == JSON_ARRAY && v->count == 1 && v->first ? v->first : v;
    if (s->type == JSON_NUMBER) {
        *out = s->number;
        return FORAGE_OK;
    }
    slice t = s->text;
    if (s->type == JSON_STRING && t.size >= 2 && t.data[0] == '[' && t.data[t.size - 1] == ']')
        t = (slice){t.data + 1, t.size - 2};
    if (s->type != JSON_STRING || !forest_number(t, out))
        return error_set(error, FORAGE_E_INVALID, "XGBoost model: \"%s\": expected one number, got \"%.*s\"", key,
                         SLICE_ARG(s->text));
    return FORAGE_OK;
}

static const char *const identity[] = {"rank:", "reg:squarederror", "reg:linear", "reg:squaredlogerror", "binary:hinge",
                                       "reg:pseudohubererror", "reg:absoluteerror", "reg:quantileerror", "binary:logitraw"};
static const char *const logistic[] = {"binary:logistic", "reg:logistic"};
static const char *const logarithmic[] = {"count:poisson", "reg:gamma", "reg:tweedie", "survival:"};
#define STARTS(list, name) starts(list, sizeof list / sizeof *list, name)

static bool starts(const char *const *list, size_t n, slice name) {
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(list[i]);
        if (name.size >= size && memcmp(name.data, list[i], size) == 0) return true;
    }
    return false;
}

/* The file has base_score as a prediction; sums begin with its margin. */
static forage_status margin_of(slice objective, double base, float *out, base_error *error) {
    float b = (float)base;
    if (STARTS(identity, objective)) *out = b;
    else if (STARTS(logistic, objective)) *out = -logf(1 / b - 1);
    else if (STARTS(logarithmic, objective)) *out = logf(b);
    else
        return error_set(error, FORAGE_E_INVALID, "XGBoost model: objective \"%.*s\" is not one of those that give one score",
                         SLICE_ARG(objective));
    if (!isfinite(*out))
        return error_set(error, FORAGE_E_INVALID, "XGBoost model: base_score %g cannot be with objective \"%.*s\"", base,
                         SLICE_ARG(objective));
    return FORAGE_OK;
}

/* ---- One tree ---- */

enum { LEFT, RIGHT, FEATURE, CONDITION, DEFAULT_LEFT, NEEDED, GAIN = NEEDED, COVER, TYPE, ARRAYS };
static const char *const array_names[ARRAYS] = {"left_children", "right_children", "split_indices", "split_conditions",
                                                "default_left",  "loss_changes",   "sum_hessian",   "split_type"};

typedef struct tree_arrays {
    arena *memory;
    double *of[ARRAYS]; /* NULL when the file has none */
    size_t n;
    uint32_t tree;
    const json_value *object;
    base_error *error;
} tree_arrays;

static forage_status read_arrays(tree_arrays *t) {
    char what[64];
    for (int i = 0; i < ARRAYS; i++) {
        const json_value *v = json_get(t->object, array_names[i]);
        size_t n;
        if (!v && i >= NEEDED) continue;
        snprintf(what, sizeof what, "tree %u, \"%s\"", t->tree, array_names[i]);
        forage_status status = ubjson_numbers(t->memory, v, what, &t->of[i], &n, t->error);
        if (status) return status;
        if (i == 0) t->n = n;
        if (n != t->n && (i < NEEDED || n))
            return error_set(t->error, FORAGE_E_INVALID, "%s: expected %zu elements, got %zu", what, t->n, n);
        if (!n) t->of[i] = NULL;
    }
    return FORAGE_OK;
}

static double at(const tree_arrays *t, int array, size_t i, double fallback) {
    return t->of[array] ? t->of[array][i] : fallback;
}

/* categories_nodes[k] splits by categories[segments[k] … + sizes[k]]. */
static forage_status read_categories(tree_arrays *t, forest_builder *b, raw_node *nodes) {
    static const char *const names[] = {"categories_nodes", "categories_segments", "categories_sizes", "categories"};
    double *of[4];
    size_t n[4];
    char what[64];
    for (int i = 0; i < 4; i++) {
        snprintf(what, sizeof what, "tree %u, \"%s\"", t->tree, names[i]);
        forage_status status = ubjson_numbers(t->memory, json_get(t->object, names[i]), what, &of[i], &n[i], t->error);
        if (status) return status;
    }
    if (n[1] != n[0] || n[2] != n[0])
        return error_set(t->error, FORAGE_E_INVALID, "tree %u: its lists of categories have different lengths", t->tree);
    for (size_t k = 0; k < n[0]; k++) {
        double node = of[0][k], from = of[1][k], size = of[2][k];
        if (!(node >= 0 && node < (double)t->n && from >= 0 && size >= 0 && from + size <= (double)n[3]))
            return error_set(t->error, FORAGE_E_INVALID, "tree %u: categories of node %g are not there", t->tree, node);
        double most = 0;
        for (size_t i = 0; i < (size_t)size; i++) {
            double category = of[3][(size_t)from + i];
            if (!(category >= 0 && category < FOREST_MAX_CATEGORIES))
                return error_set(t->error, FORAGE_E_INVALID, "tree %u, node %g: category %g, expected 0 to %d", t->tree,
                                 node, category, FOREST_MAX_CATEGORIES - 1);
            most = fmax(most, category);
        }
        size_t words = (size_t)most / 32 + 1;
        uint32_t *bits = arena_zalloc(t->memory, words, sizeof *bits);
        for (size_t i = 0; i < (size_t)size; i++) {
            uint32_t category = (uint32_t)of[3][(size_t)from + i];
            bits[category / 32] |= 1u << (category % 32);
        }
        nodes[(size_t)node].node.set = forest_build_set(b, bits, words);
    }
    return FORAGE_OK;
}

static uint32_t whole(double x) { return x >= 0 && x < UINT32_MAX ? (uint32_t)x : UINT32_MAX; }
static int64_t child(double x) { return x >= 0 && x < UINT32_MAX ? (int64_t)x : -1; }

static forage_status read_tree(tree_arrays *t, forest_builder *b, float scale) {
    bool categorical = false;
    double leaf_vector;
    forage_status status = read_arrays(t);
    if (!status) status = parameter(json_get(t->object, "tree_param"), "size_leaf_vector", 1, &leaf_vector, t->error);
    if (status) return status;
    if (leaf_vector > 1)
        return error_set(t->error, FORAGE_E_INVALID, "tree %u: leaves have %g values, expected one", t->tree, leaf_vector);
    raw_node *nodes = arena_zalloc(t->memory, t->n, sizeof *nodes);
    for (size_t i = 0; i < t->n; i++) {
        bool leaf = t->of[LEFT][i] < 0;
        double type = at(t, TYPE, i, 0);
        float value = (float)t->of[CONDITION][i];
        forest_node node = {.feature = leaf ? 0 : whole(t->of[FEATURE][i]),
                            .set = UINT32_MAX,
                            .value = leaf ? value * scale : value,
                            .gain = leaf ? 0 : (float)at(t, GAIN, i, 0),
                            .cover = (float)at(t, COVER, i, -1),
                            .kind = leaf ? NODE_LEAF : type == 1 ? NODE_NOT_IN : NODE_NUMBER,
                            .default_left = !leaf && t->of[DEFAULT_LEFT][i] != 0};
        if (node.kind == NODE_NOT_IN) node.value = 0;
        categorical |= node.kind == NODE_NOT_IN;
        nodes[i] = (raw_node){child(t->of[LEFT][i]), child(t->of[RIGHT][i]), node};
    }
    if (categorical) status = read_categories(t, b, nodes);
    for (size_t i = 0; i < t->n && !status; i++)
        if (nodes[i].node.kind == NODE_NOT_IN && nodes[i].node.set == UINT32_MAX)
            status = error_set(t->error, FORAGE_E_INVALID, "tree %u, node %zu: its categories are not there", t->tree, i);
    return status ? status : forest_build_tree(b, nodes, t->n);
}

/* ---- The model ---- */

static forage_status read_trees(const json_value *model, const double *weights, size_t n_weights, forest_builder *b) {
    const json_value *trees = json_get(model, "trees");
    arena memory;
    forage_status status = FORAGE_OK;
    if (!trees || trees->type != JSON_ARRAY || (trees->count && !trees->first))
        return error_set(b->error, FORAGE_E_INVALID, "XGBoost model: no \"trees\"");
    if (weights && n_weights != trees->count)
        return error_set(b->error, FORAGE_E_INVALID, "XGBoost model: %zu trees, but weight_drop has %zu weights",
                         trees->count, n_weights);
    arena_init(&memory, 0);
    uint32_t number = 0;
    for (const json_value *tree = trees->first; tree && !status; tree = tree->next, number++) {
        tree_arrays t = {.memory = &memory, .tree = number, .object = tree, .error = b->error};
        arena_reset(&memory);
        status = read_tree(&t, b, weights ? (float)weights[number] : 1);
    }
    arena_release(&memory);
    return status;
}

static forage_status read_booster(arena *memory, const json_value *booster, forest_builder *b) {
    const json_value *name = json_get(booster, "name");
    double *weights = NULL;
    size_t n_weights = 0;
    if (name && slice_is(name->text, "dart")) {
        forage_status status =
            ubjson_numbers(memory, json_get(booster, "weight_drop"), "XGBoost model: weight_drop", &weights, &n_weights, b->error);
        if (status) return status;
        booster = json_get(booster, "gbtree");
    } else if (!name || !slice_is(name->text, "gbtree")) {
        return error_set(b->error, FORAGE_E_INVALID, "XGBoost model: booster \"%.*s\": expected gbtree or dart",
                         SLICE_ARG(name ? name->text : SLICE("")));
    }
    return read_trees(json_get(booster, "model"), weights, n_weights, b);
}

static forage_status read_names(const json_value *names, forest_builder *b) {
    if (!names || names->type != JSON_ARRAY || !names->count) return FORAGE_OK;
    if (names->count != b->f->n_features || !names->first)
        return error_set(b->error, FORAGE_E_INVALID, "XGBoost model: %u features, but %zu names", b->f->n_features,
                         names->count);
    uint32_t i = 0;
    for (const json_value *name = names->first; name; name = name->next) {
        if (name->type != JSON_STRING || memchr(name->text.data, 0, name->text.size))
            return error_set(b->error, FORAGE_E_INVALID, "XGBoost model: name of feature %u: expected a text", i);
        forest_build_name(b, i++, name->text);
    }
    return FORAGE_OK;
}

typedef struct header {
    double n_features, base;
    slice objective;
} header;

static forage_status read_header(const json_value *learner, header *h, base_error *error) {
    const json_value *param = json_get(learner, "learner_model_param");
    const json_value *objective = json_get(json_get(learner, "objective"), "name");
    double classes, targets;
    if (!param || !objective || objective->type != JSON_STRING)
        return error_set(error, FORAGE_E_INVALID, "XGBoost model: no learner with learner_model_param and objective");
    h->objective = objective->text;
    forage_status status = parameter(param, "num_class", 0, &classes, error);
    if (!status) status = parameter(param, "num_target", 1, &targets, error);
    if (!status) status = parameter(param, "num_feature", 0, &h->n_features, error);
    if (status) return status;
    if (classes > 1 || targets > 1)
        return error_set(error, FORAGE_E_INVALID, "XGBoost model: num_class %g, num_target %g: expected one output", classes,
                         targets);
    if (!(h->n_features >= 0 && h->n_features <= FOREST_MAX_FEATURES))
        return error_set(error, FORAGE_E_INVALID, "XGBoost model: num_feature %g: expected 0 to %d", h->n_features,
                         FOREST_MAX_FEATURES);
    return parameter(param, "base_score", .5, &h->base, error);
}

/* XGBoost writes NaN and Infinity, which JSON does not have, as thresholds of splits by categories. They become empty texts of the
 * same length, which ubjson_numbers takes for NaN. */
static slice without_nan(arena *memory, slice text) {
    static const slice words[] = {{"NaN", 3}, {"-Infinity", 9}, {"Infinity", 8}};
    char *copy = NULL;
    bool quoted = false;
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c == '"') quoted = !quoted;
        if (quoted && c == '\\') i++;
        if (quoted || (c != 'N' && c != 'I' && c != '-')) continue;
        for (int k = 0; k < 3; k++) {
            size_t size = words[k].size;
            if (text.size - i < size || memcmp(text.data + i, words[k].data, size) != 0) continue;
            if (!copy) copy = memcpy(arena_alloc(memory, text.size), text.data, text.size);
            memset(copy + i, ' ', size);
            copy[i] = copy[i + 1] = '"';
            i += size - 1;
            break;
        }
    }
    return copy ? (slice){copy, text.size} : text;
}

forage_status forest_read_xgboost(slice bytes, bool binary, forest **out, base_error *error) {
    arena memory;
    json_value *root = NULL;
    header h;
    float margin = 0;
    arena_init(&memory, 1 << 20);
    if (!binary) bytes = without_nan(&memory, bytes);
    forage_status status = (binary ? ubjson_read : json_read)(&memory, bytes, &root, error);
    if (status && error) error_prefix(error, "XGBoost model");
    if (status) goto done;
    const json_value *learner = json_get(root, "learner");
    status = read_header(learner, &h, error);
    if (!status) status = margin_of(h.objective, h.base, &margin, error);
    if (status) goto done;
    forest_builder b;
    forest_build_begin(&b, FOREST_XGBOOST, (uint32_t)h.n_features, error);
    b.f->base = margin;
    b.f->objective = mem_strndup(h.objective.data, h.objective.size);
    status = read_names(json_get(learner, "feature_names"), &b);
    if (!status) status = read_booster(&memory, json_get(learner, "gradient_booster"), &b);
    status = forest_build_end(&b, status, out);
done:
    arena_release(&memory);
    return status;
}
