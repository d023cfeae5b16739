#include "forest_testing.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <pthread.h>

enum { ROWS = 333, STRIDE = MADE_FEATURES + 2 };

static void make_rows(random_source *random, float *x, size_t n) {
    for (size_t i = 0; i < n * STRIDE; i++) x[i] = NAN;
    for (size_t i = 0; i < n; i++) made_row(random, x + i * STRIDE);
}

typedef void maker(random_source *random, int trees, int leaves, bool skewed, buffer *out);

static forest *make(maker *how, random_source *random, int trees, int leaves, bool skewed) {
    buffer file = {0};
    how(random, trees, leaves, skewed, &file);
    forest *f = read_forest((slice){file.data, file.size});
    buffer_release(&file);
    return f;
}

/* Every size of tree that a sliced program treats in its own way, bushy and skewed; every size of block. */
static void all_implementations_give_the_same_bits(void **state) {
    (void)state;
    static const int leaves[] = {1, 2, 16, 30, 60, 120, 250, 400, 1000, 1500};
    static const size_t batches[] = {ROWS, 1, 9, 40, 64, 100, 257};
    random_source random;
    float x[ROWS * STRIDE], scores[ROWS];
    random_seed(&random, 5);
    make_rows(&random, x, ROWS);
    for (int i = 0; i < 40; i++) {
        int size = leaves[i % 10], trees = size > 200 ? 2 : 12;
        bool skewed = i >= 20 && size <= 250;
        forest *f = make(i / 10 % 2 ? made_lightgbm : made_xgboost, &random, trees, size, skewed);
        score_all_ways(f, x, ROWS, STRIDE, batches[i % 7], scores);
        for (int k = 0; k < ROWS; k++) assert_true(isfinite(scores[k]));
        forest_destroy(f);
    }
}

/* More thresholds of one feature than a byte numbers, each met exactly. */
static void many_thresholds(void **state) {
    (void)state;
    enum { TREES = 900 };
    buffer file = {0};
    buffer_puts(&file, "tree\nnum_class=1\nmax_feature_idx=0\nfeature_names=x\n\n");
    for (int t = 0; t < TREES; t++)
        buffer_printf(&file,
                      "Tree=%d\nnum_leaves=2\nsplit_feature=0\nthreshold=%d\ndecision_type=%d\nleft_child=-1\n"
                      "right_child=-2\nleaf_value=1 0\n\n",
                      t, t, t % 2 ? 8 : 10);
    buffer_puts(&file, "end of trees\n");
    forest *f = read_forest((slice){file.data, file.size});
    float x[TREES + 2], scores[TREES + 2];
    for (int i = 0; i <= TREES; i++) x[i] = (float)i;
    x[TREES + 1] = NAN;
    score_all_ways(f, x, TREES + 2, 1, TREES + 2, scores);
    for (int i = 0; i <= TREES; i++) assert_int_equal((int)scores[i], TREES - i); /* x <= t for t = i … 899 */
    assert_int_equal((int)scores[TREES + 1], TREES / 2);
    forest_destroy(f);
    buffer_release(&file);
}

/* One split, as XGBoost has it: x < .5 to the left, which is 1; NaN as told. */
static void a_split_is_strict(void **state) {
    (void)state;
    for (int left = 0; left < 2; left++) {
        buffer file = {0};
        buffer_printf(&file,
                      "{\"learner\":{\"learner_model_param\":{\"base_score\":\"0\",\"num_feature\":\"1\"},\"objective\":{"
                      "\"name\":\"reg:squarederror\"},\"gradient_booster\":{\"name\":\"gbtree\",\"model\":{\"trees\":[{"
                      "\"left_children\":[1,-1,-1],\"right_children\":[2,-1,-1],\"split_indices\":[0,0,0],"
                      "\"split_conditions\":[0.5,1,2],\"default_left\":[%s,0,0]}]}}}}",
                      left ? "true" : "false");
        forest *f = read_forest((slice){file.data, file.size});
        const float x[] = {.5f, nextafterf(.5f, 0), nextafterf(.5f, 1), NAN, -INFINITY, INFINITY, -0.f};
        const float wanted[] = {2, 1, 2, left ? 1 : 2, 1, 2, 1};
        float scores[7];
        score_all_ways(f, x, 7, 1, 7, scores);
        for (int i = 0; i < 7; i++) assert_true(scores[i] == wanted[i]);
        forest_destroy(f);
        buffer_release(&file);
    }
}

/* LightGBM's: x <= threshold in double, and the three meanings of missing. */
static void missing_of_lightgbm(void **state) {
    (void)state;
    static const struct {
        double threshold;
        int decision;
        float x;
        int left;
    } cases[] = {
        {.5, 0, .5f, 1},      {.1, 0, .1f, 0},        {.1, 0, .099999994f, 1}, {-1, 2, NAN, 0},       {1, 0, NAN, 1},
        {0, 2, NAN, 1},       {-1e-9, 2, NAN, 0},     {.5, 4, 0, 0},           {.5, 6, 0, 1},         {.5, 4, NAN, 0},
        {-.5, 6, 0, 1},       {-.5, 6, NAN, 1},       {-.5, 6, 1e-36f, 1},     {-.5, 6, 2e-35f, 0},   {-.5, 6, -1, 1},
        {-.5, 4, -1, 1},      {.5, 8, NAN, 0},        {.5, 10, NAN, 1},        {.5, 10, 0, 1},        {-.5, 10, 0, 0},
        {(double)INFINITY, 8, INFINITY, 1}, {(double)INFINITY, 8, NAN, 0}, {(double)INFINITY, 10, NAN, 1},
        {(double)INFINITY, 0, NAN, 1}, {(double)INFINITY, 8, -3, 1}, {-(double)INFINITY, 8, -3, 0},
        {1e300, 8, 3e38f, 1}, {1e300, 8, INFINITY, 0}, {-1e300, 8, -3e38f, 0}, {-1e300, 8, -INFINITY, 1}, {0, 8, -0.f, 1},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        buffer file = {0};
        float score;
        buffer_printf(&file,
                      "tree\nversion=v4\nnum_class=1\nmax_feature_idx=0\nfeature_names=x\n\nTree=0\nnum_leaves=2\nnum_cat=0\n"
                      "split_feature=0\nthreshold=%.17g\ndecision_type=%d\nleft_child=-1\nright_child=-2\n"
                      "leaf_value=1 0\nis_linear=0\n\nend of trees\n",
                      cases[i].threshold, cases[i].decision);
        forest *f = read_forest((slice){file.data, file.size});
        score_all_ways(f, &cases[i].x, 1, 1, 1, &score);
        if (score != (float)cases[i].left) fail_msg("case %zu: %g", i, (double)score);
        forest_destroy(f);
        buffer_release(&file);
    }
}

static void saved_is_loaded(void **state) {
    (void)state;
    random_source random;
    float x[ROWS * STRIDE], before[ROWS], after[ROWS];
    random_seed(&random, 11);
    make_rows(&random, x, ROWS);
    for (int i = 0; i < 2; i++) {
        buffer own = {0}, again = {0};
        forest *f = make(i ? made_lightgbm : made_xgboost, &random, 9, 70, false), *copy = NULL;
        forest_save(f, &own);
        assert_ok(forest_load((slice){own.data, own.size}, &copy, NULL));
        score_all_ways(f, x, ROWS, STRIDE, ROWS, before);
        score_all_ways(copy, x, ROWS, STRIDE, ROWS, after);
        assert_memory_equal(before, after, sizeof before);
        forest_save(copy, &again);
        assert_int_equal(own.size, again.size);
        assert_memory_equal(own.data, again.data, own.size);
        assert_string_equal(forest_describe(copy).source, i ? "LightGBM" : "XGBoost");
        forest_destroy(copy);
        forest_destroy(f);
        buffer_release(&own);
        buffer_release(&again);
    }
}

/* Any byte changed, and any end cut off, is noticed; with a right checksum every index is checked. */
static void damaged_state_is_refused(void **state) {
    (void)state;
    random_source random;
    random_seed(&random, 12);
    buffer own = {0};
    forest *f = make(made_lightgbm, &random, 4, 9, false), *other = NULL;
    base_error error;
    forest_save(f, &own);
    for (size_t i = 0; i < own.size; i++) {
        assert_true(forest_load((slice){own.data, i}, &other, &error) < 0);
        own.data[i] ^= 0x11;
        assert_true(forest_load((slice){own.data, own.size}, &other, &error) < 0);
        store_le64(own.data + own.size - 8, hash64(own.data, own.size - 8, 0));
        if (forest_load((slice){own.data, own.size}, &other, &error) == FORAGE_OK) {
            float x[70 * 20] = {0}, scores[70];
            if (forest_describe(other).n_columns <= 20) score_all_ways(other, x, 70, 20, 70, scores);
            forest_destroy(other);
            other = NULL;
        } else {
            assert_true(error.status == FORAGE_E_CORRUPT || error.status == FORAGE_E_VERSION);
        }
        own.data[i] ^= 0x11;
        store_le64(own.data + own.size - 8, hash64(own.data, own.size - 8, 0));
    }
    assert_null(other);
    forest_destroy(f);
    buffer_release(&own);
}

static void refuse(const char *text, const char *says) {
    forest *f = NULL;
    base_error error = {0};
    assert_int_equal(forest_read(slice_of(text), &f, &error), FORAGE_E_INVALID);
    assert_null(f);
    if (!strstr(error.message, says)) fail_msg("\"%s\" lacks \"%s\"", error.message, says);
}

#define TREE_HEAD "tree\nnum_class=1\nmax_feature_idx=1\n\nTree=0\nnum_leaves=3\nsplit_feature=0 1\nthreshold=1 2\n"
#define TREE_TAIL "leaf_value=1 2 3\n\nend of trees\n"
#define BOOST(parameters, rest)                                                                                        \
    "{\"learner\":{\"learner_model_param\":{\"num_feature\":\"1\"" parameters "},\"objective\":{\"name\":\"reg:"           \
    "squarederror\"},\"gradient_booster\":" rest "}}"

static void refusals_say_why(void **state) {
    (void)state;
    refuse("", "not a model");
    refuse("trees", "not a model");
    refuse("{}", "no learner");
    refuse("tree\nnum_class=3\nmax_feature_idx=1\n\nend of trees\n", "num_class 3");
    refuse("tree\nnum_class=1\nmax_feature_idx=1\n\n", "ends too early");
    refuse("tree\nnum_class=1\nmax_feature_idx=9999999\n\nend of trees\n", "max_feature_idx");
    refuse(TREE_HEAD "decision_type=8 8\nleft_child=1 0\nright_child=-1 -2\n" TREE_TAIL, "reached twice");
    refuse(TREE_HEAD "decision_type=8 8\nleft_child=1 -1\nright_child=-1 -2\n" TREE_TAIL, "reached twice");
    refuse(TREE_HEAD "decision_type=8 8\nleft_child=1 -1\nright_child=-9 -2\n" TREE_TAIL, "tree 0, node 0: children");
    refuse(TREE_HEAD "decision_type=8 9\nleft_child=1 -1\nright_child=-3 -2\n" TREE_TAIL, "split 1: its categories");
    refuse(TREE_HEAD "decision_type=8\nleft_child=1 -1\nright_child=-3 -2\n" TREE_TAIL, "decision_type: expected 2");
    refuse(TREE_HEAD "decision_type=8 x\nleft_child=1 -1\nright_child=-3 -2\n" TREE_TAIL, "\"x\" is not a number");
    refuse(TREE_HEAD "is_linear=1\n" TREE_TAIL, "linear");
    refuse("tree\nmax_feature_idx=1\n\nTree=1\nnum_leaves=1\nleaf_value=1\n\nend of trees\n", "expected Tree=0");
    refuse(BOOST(",\"num_class\":\"3\"", "{}"), "num_class 3");
    refuse(BOOST("", "{\"name\":\"gblinear\"}"), "gblinear");
    refuse(BOOST("", "{\"name\":\"gbtree\",\"model\":{\"trees\":[{}]}}"), "left_children");
    refuse(BOOST("", "{\"name\":\"gbtree\",\"model\":{\"trees\":[{\"left_children\":[1,-1,-1],\"right_children\":[2,-1,-1],"
                     "\"split_indices\":[4,0,0],\"split_conditions\":[0,0,0],\"default_left\":[0,0,0]}]}}"),
           "feature 4 of 1");
    refuse("{L\x7f", "UBJ");
}

static void too_deep_is_refused(void **state) {
    (void)state;
    for (int extra = 0; extra < 2; extra++) {
        buffer file = {0};
        int splits = FOREST_MAX_DEPTH + extra;
        buffer_printf(&file, "tree\nnum_class=1\nmax_feature_idx=0\n\nTree=0\nnum_leaves=%d\n", splits + 1);
        static const char *const names[] = {"split_feature", "threshold", "decision_type", "left_child", "right_child"};
        for (int k = 0; k < 5; k++) {
            buffer_printf(&file, "%s=", names[k]);
            for (int i = 0; i < splits; i++)
                buffer_printf(&file, "%d ", k == 0 ? 0 : k == 1 ? -i : k == 2 ? 8 : k == 3 ? (i + 1 < splits ? i + 1 : -1) : -2 - i);
            buffer_putc(&file, '\n');
        }
        buffer_puts(&file, "leaf_value=");
        for (int i = 0; i <= splits; i++) buffer_printf(&file, "%d ", i);
        buffer_puts(&file, "\n\nend of trees\n");
        forest *f = NULL;
        forage_status status = forest_read((slice){file.data, file.size}, &f, NULL);
        assert_int_equal(status, extra ? FORAGE_E_INVALID : FORAGE_OK);
        if (!extra) {
            float x[64], scores[64];
            for (int i = 0; i < 64; i++) x[i] = (float)(-4 * i) + 1;
            score_all_ways(f, x, 64, 1, 64, scores);
            for (int i = 1; i < 64; i++) assert_int_equal((int)scores[i], 4 * i + 1); /* right at split 4 i */
        }
        forest_destroy(f);
        buffer_release(&file);
    }
}

static void features_find_their_columns(void **state) {
    (void)state;
    const char *file = "tree\nnum_class=1\nmax_feature_idx=2\nfeature_names=price clicks unused\n\nTree=0\nnum_leaves=3\n"
                       "split_feature=0 1\nthreshold=1 2\ndecision_type=8 10\nleft_child=1 -1\nright_child=-3 -2\n"
                       "leaf_value=1 2 4\nleaf_count=1 1 1\ninternal_count=3 2\nsplit_gain=5 3\n\nend of trees\n";
    forest *f = read_forest(slice_of(file));
    const slice names[] = {SLICE("bm25"), SLICE("clicks_24h"), SLICE("price")};
    const float x[] = {9, 3, 1, 9, 2, 1, 9, 2, 5, 9, NAN, 0};
    float scores[4];
    base_error error;
    assert_int_equal(forest_map_features(f, names, 3, SLICE(""), false, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "\"clicks\""));
    assert_int_equal(forest_map_features(f, names, 3, SLICE("clicks\tclick"), false, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "\"click\""));
    assert_int_equal(forest_map_features(f, names, 3, SLICE("# x\n\nclicks"), false, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "line 3"));
    assert_int_equal(forest_map_features(f, names, 3, SLICE("{\"clicks\":7}"), false, &error), FORAGE_E_INVALID);
    assert_int_equal(forest_map_features(f, names, 3, SLICE("a\tb\na\tc"), false, &error), FORAGE_E_INVALID);
    assert_int_equal(forest_describe(f).n_columns, 3);
    assert_ok(forest_map_features(f, names, 3, SLICE("{\"clicks\": \"clicks_24h\"}"), false, &error));
    score_all_ways(f, x, 4, 3, 4, scores);
    assert_true(scores[0] == 2 && scores[1] == 1 && scores[2] == 4 && scores[3] == 1);
    assert_ok(forest_map_features(f, names, 3, SLICE("# theirs, ours\r\nclicks\tclicks_24h\r\n"), false, &error));
    assert_ok(forest_map_features(f, names, 1, SLICE(""), true, &error)); /* all missing: right at the first */
    score_all_ways(f, x, 4, 1, 4, scores);
    assert_true(scores[0] == 4 && scores[3] == 4);
    forest_destroy(f);
}

static void features_are_called_what_they_are_renamed_to(void **state) {
    (void)state;
    const char *file = "tree\nnum_class=1\nmax_feature_idx=1\nfeature_names=price clicks\n\nTree=0\nnum_leaves=2\nsplit_feature=0\n"
                       "threshold=1\ndecision_type=8\nleft_child=-1\nright_child=-2\nleaf_value=1 2\nleaf_count=1 1\n"
                       "internal_count=2\nsplit_gain=5\n\nend of trees\n";
    forest *f = read_forest(slice_of(file));
    const char *const maps[] = {"", "clicks\tclicks_24h\nother\tprice\n", "{\"clicks\": \"clicks_24h\"}"};
    slice names[2];
    arena memory;
    arena_init(&memory, 0);
    for (int i = 0; i < 3; i++) {
        assert_ok(forest_feature_names(f, slice_of(maps[i]), &memory, names, NULL));
        assert_true(slice_is(names[0], "price") && slice_is(names[1], i ? "clicks_24h" : "clicks"));
    }
    assert_int_equal(forest_feature_names(f, SLICE("clicks"), &memory, names, NULL), FORAGE_E_INVALID);
    arena_release(&memory);
    forest_destroy(f);
}

static void importance_adds_up(void **state) {
    (void)state;
    const char *file = "tree\nnum_class=1\nmax_feature_idx=1\nfeature_names=p q\n\nTree=0\nnum_leaves=3\n"
                       "split_feature=1 1\nthreshold=1 2\ndecision_type=8 8\nleft_child=1 -1\nright_child=-3 -2\n"
                       "leaf_value=1 2 4\nleaf_count=1 1 1\ninternal_count=3 2\nsplit_gain=5 3\n\nend of trees\n";
    forest *f = read_forest(slice_of(file));
    double out[2];
    forest_importance(f, FOREST_GAIN, out);
    assert_true(out[0] == 0 && out[1] == 8);
    forest_importance(f, FOREST_COVER, out);
    assert_true(out[1] == 5);
    forest_importance(f, FOREST_SPLITS, out);
    assert_true(out[1] == 2);
    assert_true(slice_is(forest_feature_name(f, 1), "q"));
    forest_destroy(f);
}

typedef struct worker {
    const forest *f;
    const float *x;
    float scores[ROWS];
} worker;

static void *work(void *argument) {
    worker *w = argument;
    arena scratch;
    arena_init(&scratch, 0);
    for (int i = 0; i < 20; i++) {
        arena_reset(&scratch);
        forest_score(w->f, w->x, ROWS, STRIDE, &scratch, w->scores);
    }
    arena_release(&scratch);
    return NULL;
}

static void threads_share_a_forest(void **state) {
    (void)state;
    enum { THREADS = 4 };
    static worker workers[THREADS];
    static float x[ROWS * STRIDE];
    pthread_t threads[THREADS];
    random_source random;
    random_seed(&random, 3);
    make_rows(&random, x, ROWS);
    forest *f = make(made_xgboost, &random, 5, 40, false);
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (worker){.f = f, .x = x};
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < THREADS; i++) pthread_join(threads[i], NULL);
    for (int i = 1; i < THREADS; i++) assert_memory_equal(workers[0].scores, workers[i].scores, sizeof workers[0].scores);
    forest_destroy(f);
}

static void the_environment_chooses(void **state) {
    (void)state;
    setenv("FORAGE_SIMD", "scalar", 1);
    assert_ok(forest_use(NULL, NULL));
    assert_string_equal(forest_backend_name(), "scalar");
    setenv("FORAGE_SIMD", "nonsense", 1);
    assert_ok(forest_use(NULL, NULL));
    assert_string_not_equal(forest_backend_name(), "scalar");
    unsetenv("FORAGE_SIMD");
    assert_int_equal(forest_use("nonsense", NULL), FORAGE_E_INVALID);
    assert_ok(forest_use(NULL, NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_implementations_give_the_same_bits),
        cmocka_unit_test(many_thresholds),
        cmocka_unit_test(a_split_is_strict),
        cmocka_unit_test(missing_of_lightgbm),
        cmocka_unit_test(saved_is_loaded),
        cmocka_unit_test(damaged_state_is_refused),
        cmocka_unit_test(refusals_say_why),
        cmocka_unit_test(too_deep_is_refused),
        cmocka_unit_test(features_find_their_columns),
        cmocka_unit_test(features_are_called_what_they_are_renamed_to),
        cmocka_unit_test(importance_adds_up),
        cmocka_unit_test(threads_share_a_forest),
        cmocka_unit_test(the_environment_chooses),
    };
    return cmocka_run_group_tests_name("forest", tests, NULL, NULL);
}
