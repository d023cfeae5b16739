/* What the libraries themselves say of their models: XGBoost by its own interface, LightGBM by what it wrote down
 * (tests/golden/forest/make.py). */
#include "forest_testing.h"

#include <xgboost/c_api.h>

enum { N = 300, F = 6 };

static float x[N * F], label[N];

static void check(int failed) {
    if (failed) fail_msg("%s", XGBGetLastError());
}

/* Some values missing, one column of few categories. */
static void make_data(uint64_t seed, bool positive) {
    random_source random;
    random_seed(&random, seed);
    for (int i = 0; i < N; i++) {
        float *row = x + i * F;
        for (int f = 0; f < F; f++) row[f] = (float)floor(16 * random_normal(&random)) / 16;
        row[1] = (float)random_below(&random, 40);
        for (int f = 2; f < F; f++)
            if (random_below(&random, 12) == 0) row[f] = NAN;
        double y = (double)row[0] + sin((double)row[1]) * 2 + (isnan(row[2]) ? 1 : (double)(row[2] * row[0]));
        label[i] = positive ? y > .5 : (float)y;
    }
}

static BoosterHandle train(const char *const (*parameters)[2], int rounds, bool categories, bool grouped, DMatrixHandle *rows) {
    BoosterHandle booster;
    check(XGDMatrixCreateFromMat(x, N, F, NAN, rows));
    check(XGDMatrixSetFloatInfo(*rows, "label", label, N));
    if (grouped) {
        unsigned sizes[N / 10];
        for (int i = 0; i < N / 10; i++) sizes[i] = 10;
        check(XGDMatrixSetUIntInfo(*rows, "group", sizes, N / 10));
    }
    if (categories) {
        const char *types[F] = {"q", "c", "q", "q", "q", "q"};
        check(XGDMatrixSetStrFeatureInfo(*rows, "feature_type", types, F));
    }
    check(XGBoosterCreate(rows, 1, &booster));
    check(XGBoosterSetParam(booster, "nthread", "1"));
    check(XGBoosterSetParam(booster, "seed", "3"));
    for (; (*parameters)[0]; parameters++) check(XGBoosterSetParam(booster, (*parameters)[0], (*parameters)[1]));
    for (int i = 0; i < rounds; i++) check(XGBoosterUpdateOneIter(booster, i, *rows));
    return booster;
}

static const float *predict(BoosterHandle booster, DMatrixHandle rows, int type) {
    const bst_ulong *shape;
    bst_ulong dims;
    const float *out;
    char config[160];
    snprintf(config, sizeof config,
             "{\"type\": %d, \"training\": false, \"iteration_begin\": 0, \"iteration_end\": 0, \"strict_shape\": false}", type);
    check(XGBoosterPredictFromDMatrix(booster, rows, config, &shape, &dims, &out));
    return out;
}

static forest *import(BoosterHandle booster, const char *format) {
    const char *bytes;
    bst_ulong size;
    char config[64];
    snprintf(config, sizeof config, "{\"format\": \"%s\"}", format);
    check(XGBoosterSaveModelToBuffer(booster, config, &size, &bytes));
    return read_forest((slice){bytes, size});
}

enum { MARGIN = 1, CONTRIBUTIONS = 2, APPROXIMATE = 3 };

typedef forage_status explainer(const forest *f, const float *row, arena *scratch, double *out, base_error *error);

/* theirs: N × (F + 1) */
static void compare_contributions(const forest *f, explainer *explain, const float *theirs) {
    arena scratch;
    arena_init(&scratch, 0);
    for (int i = 0; i < 60; i++) {
        double ours[F + 1];
        arena_reset(&scratch);
        assert_ok(explain(f, x + i * F, &scratch, ours, NULL));
        for (int c = 0; c <= F; c++)
            if (fabs(ours[c] - (double)theirs[i * (F + 1) + c]) > 1e-4)
                fail_msg("row %d, column %d: ours %g, theirs %g", i, c, ours[c], (double)theirs[i * (F + 1) + c]);
    }
    arena_release(&scratch);
}

static void check_model(const char *const (*parameters)[2], bool categories, bool grouped, bool contributions) {
    DMatrixHandle rows;
    BoosterHandle booster = train(parameters, 15, categories, grouped, &rows);
    static const char *const formats[] = {"json", "ubj"};
    for (int k = 0; k < 2; k++) {
        float ours[N];
        forest *f = import(booster, formats[k]);
        score_all_ways(f, x, N, F, 150, ours);
        const float *theirs = predict(booster, rows, MARGIN);
        float span = 0;
        for (int i = 0; i < N; i++) {
            span = fmaxf(span, fabsf(theirs[i] - theirs[0]));
            if (!(fabsf(ours[i] - theirs[i]) <= 1e-5f * fmaxf(1, fabsf(theirs[i]))))
                fail_msg("%s, row %d: ours %.9g, theirs %.9g", formats[k], i, (double)ours[i], (double)theirs[i]);
        }
        assert_true(span > .1f);
        if (contributions) {
            compare_contributions(f, forest_shap, predict(booster, rows, CONTRIBUTIONS));
            compare_contributions(f, forest_saabas, predict(booster, rows, APPROXIMATE));
        }
        forest_destroy(f);
    }
    check(XGBoosterFree(booster));
    check(XGDMatrixFree(rows));
}

static void regression_of_xgboost(void **state) {
    (void)state;
    make_data(1, false);
    const char *const leafwise[][2] = {{"tree_method", "hist"}, {"grow_policy", "lossguide"}, {"max_leaves", "20"},
                                       {"max_depth", "0"},      {"base_score", "0.75"},       {NULL, NULL}};
    check_model(leafwise, false, false, true);
    const char *const exact[][2] = {{"tree_method", "exact"}, {"max_depth", "5"}, {"gamma", "0.5"}, {NULL, NULL}};
    check_model(exact, false, false, true);
}

static void ranking_and_classes_of_xgboost(void **state) {
    (void)state;
    make_data(2, true);
    const char *const rank[][2] = {{"objective", "rank:ndcg"}, {"max_depth", "4"}, {NULL, NULL}};
    check_model(rank, false, true, true);
    const char *const logistic[][2] = {{"objective", "binary:logistic"}, {"base_score", "0.3"}, {NULL, NULL}};
    check_model(logistic, false, false, true);
    const char *const raw[][2] = {{"objective", "binary:logitraw"}, {"base_score", "0.3"}, {NULL, NULL}};
    check_model(raw, false, false, false);
    const char *const poisson[][2] = {{"objective", "count:poisson"}, {"base_score", "0.3"}, {NULL, NULL}};
    check_model(poisson, false, false, false);
}

static void dart_of_xgboost(void **state) {
    (void)state;
    make_data(3, false);
    const char *const dart[][2] = {{"booster", "dart"}, {"rate_drop", "0.3"}, {"max_depth", "4"}, {NULL, NULL}};
    check_model(dart, false, false, false);
}

static void categories_of_xgboost(void **state) {
    (void)state;
    make_data(4, false);
    const char *const sets[][2] = {{"tree_method", "hist"}, {"max_cat_to_onehot", "1"}, {"max_depth", "5"}, {NULL, NULL}};
    check_model(sets, true, false, true);
}

static void several_classes_are_refused(void **state) {
    (void)state;
    make_data(5, true);
    const char *const classes[][2] = {{"objective", "multi:softprob"}, {"num_class", "2"}, {NULL, NULL}};
    DMatrixHandle rows;
    BoosterHandle booster = train(classes, 2, false, false, &rows);
    const char *bytes;
    bst_ulong size;
    forest *f = NULL;
    base_error error;
    check(XGBoosterSaveModelToBuffer(booster, "{\"format\": \"ubj\"}", &size, &bytes));
    assert_int_equal(forest_read((slice){bytes, size}, &f, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "num_class 2"));
    check(XGBoosterFree(booster));
    check(XGDMatrixFree(rows));
}

/* A cut file is an error wherever it is cut; a changed byte is an error or another forest, never worse. */
static void damaged_models(void **state) {
    (void)state;
    make_data(6, false);
    const char *const small[][2] = {{"max_depth", "3"}, {NULL, NULL}};
    DMatrixHandle rows;
    BoosterHandle booster = train(small, 2, false, false, &rows);
    static const char *const formats[] = {"{\"format\": \"json\"}", "{\"format\": \"ubj\"}"};
    for (int k = 0; k < 2; k++) {
        const char *bytes;
        bst_ulong size;
        buffer copy = {0};
        check(XGBoosterSaveModelToBuffer(booster, formats[k], &size, &bytes));
        buffer_append(&copy, bytes, size);
        forest *f = NULL;
        base_error error;
        for (size_t i = 0; i < copy.size; i += 1 + copy.size / 1500) {
            assert_true(forest_read((slice){copy.data, i}, &f, &error) < 0);
            copy.data[i] ^= 0x10;
            if (forest_read((slice){copy.data, copy.size}, &f, &error) == FORAGE_OK) forest_destroy(f);
            copy.data[i] ^= 0x10;
            f = NULL;
        }
        buffer_release(&copy);
    }
    check(XGBoosterFree(booster));
    check(XGDMatrixFree(rows));
}

/* ---- LightGBM ---- */

static char *read_golden(const char *name, const char *end, size_t *size) {
    char path[512];
    const char *source = getenv("FORAGE_SOURCE");
    snprintf(path, sizeof path, "%s/tests/golden/forest/%s%s", source ? source : ".", name, end);
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    char *text = mem_alloc(1 << 20);
    *size = fread(text, 1, (1 << 20) - 1, file);
    text[*size] = 0;
    fclose(file);
    return text;
}

static void models_of_lightgbm(void **state) {
    (void)state;
    static const char *const names[] = {"lambdarank", "categories", "zero", "unaware", "average"};
    enum { ALL = 2 * F + 2 };
    for (int k = 0; k < 5; k++) {
        size_t size, n = 0;
        char *model = read_golden(names[k], ".txt", &size);
        forest *f = read_forest((slice){model, size});
        char *table = read_golden(names[k], ".tsv", &size), *at = table;
        static double wanted[N][ALL];
        float scores[N];
        for (; *at && n < N; n++) {
            for (int c = 0; c < ALL; c++) wanted[n][c] = strtod(at, &at);
            for (int c = 0; c < F; c++) x[n * F + c] = (float)wanted[n][c];
            while (*at == '\n') at++;
        }
        assert_int_equal(n, 80);
        score_all_ways(f, x, n, F, n, scores);
        for (size_t i = 0; i < n; i++)
            if (fabs((double)scores[i] - wanted[i][F]) > 1e-5)
                fail_msg("%s, row %zu: ours %.9g, theirs %.9g", names[k], i, (double)scores[i], wanted[i][F]);
        static float contributions[N * (F + 1)];
        for (size_t i = 0; i < n; i++)
            for (int c = 0; c <= F; c++) contributions[i * (F + 1) + (size_t)c] = (float)wanted[i][F + 1 + c];
        compare_contributions(f, forest_shap, contributions);
        forest_destroy(f);
        free(model);
        free(table);
    }
}

/* ---- Explanations of any forest ---- */

static void contributions_sum_to_the_score(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 8);
    arena scratch;
    arena_init(&scratch, 0);
    for (int k = 0; k < 6; k++) {
        buffer file = {0};
        (k % 2 ? made_lightgbm : made_xgboost)(&random, 6, 40, k > 3, &file);
        forest *f = read_forest((slice){file.data, file.size});
        assert_true(forest_describe(f).has_cover);
        for (int i = 0; i < 20; i++) {
            float row[MADE_FEATURES], score;
            double shap[MADE_FEATURES + 1], saabas[MADE_FEATURES + 1], sums[2] = {0};
            made_row(&random, row);
            arena_reset(&scratch);
            forest_score(f, row, 1, MADE_FEATURES, &scratch, &score);
            assert_ok(forest_shap(f, row, &scratch, shap, NULL));
            assert_ok(forest_saabas(f, row, &scratch, saabas, NULL));
            for (int c = 0; c <= MADE_FEATURES; c++) sums[0] += shap[c], sums[1] += saabas[c];
            assert_true(fabs(sums[0] - (double)score) < 1e-4 && fabs(sums[1] - (double)score) < 1e-4);
        }
        forest_destroy(f);
        buffer_release(&file);
    }
    arena_release(&scratch);
}

/* Shapley values by their definition: over all subsets S of three features, the expectation that follows the row where a
 * split's feature is in S and weighs both sides by cover where it is not. */
static void shap_is_shapley(void **state) {
    (void)state;
    const char *file = "tree\nnum_class=1\nmax_feature_idx=2\n\nTree=0\nnum_leaves=5\nsplit_feature=0 1 2 0\n"
                       "threshold=0 0 0 1\ndecision_type=8 8 8 8\nleft_child=1 -1 -3 -4\nright_child=2 -2 3 -5\n"
                       "leaf_value=1 5 -2 7 11\nleaf_count=3 4 2 6 5\ninternal_count=20 7 13 11\n\nend of trees\n";
    forest *f = read_forest(slice_of(file));
    const float row[3] = {.5f, -1, 2}; /* right, right, left of the last: 7 */
    double v[8], phi[4], wanted[3] = {0};
    for (int S = 0; S < 8; S++) {
        double last = S & 1 ? 7 : (6 * 7.0 + 5 * 11) / 11, right = S & 4 ? last : (2 * -2.0 + 11 * last) / 13;
        double left = S & 2 ? 1 : (3 * 1.0 + 4 * 5) / 7;
        v[S] = S & 1 ? right : (7 * left + 13 * right) / 20;
    }
    static const double weight[] = {1.0 / 3, 1.0 / 6, 1.0 / 3};
    for (int i = 0; i < 3; i++)
        for (int S = 0; S < 8; S++)
            if (!(S >> i & 1)) wanted[i] += weight[__builtin_popcount((unsigned)S)] * (v[S | 1 << i] - v[S]);
    arena scratch;
    arena_init(&scratch, 0);
    assert_ok(forest_shap(f, row, &scratch, phi, NULL));
    for (int i = 0; i < 3; i++) assert_true(fabs(phi[i] - wanted[i]) < 1e-9);
    assert_true(fabs(phi[3] - v[0]) < 1e-9);
    arena_release(&scratch);
    forest_destroy(f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(regression_of_xgboost),
        cmocka_unit_test(ranking_and_classes_of_xgboost),
        cmocka_unit_test(dart_of_xgboost),
        cmocka_unit_test(categories_of_xgboost),
        cmocka_unit_test(several_classes_are_refused),
        cmocka_unit_test(damaged_models),
        cmocka_unit_test(models_of_lightgbm),
        cmocka_unit_test(contributions_sum_to_the_score),
        cmocka_unit_test(shap_is_shapley),
    };
    return cmocka_run_group_tests_name("forest_peers", tests, NULL, NULL);
}
