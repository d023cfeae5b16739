/* Forests for tests: random model files in both formats, random rows that meet their thresholds, and all ways to score. */
#ifndef FOREST_TESTING_H
#define FOREST_TESTING_H

#include "testing.h"

#include "base/random.h"
#include "rank/forest.h"

#include <math.h>

enum { MADE_FEATURES = 7, MADE_VALUES = 9 };

/* What thresholds and features are drawn from, so that they often meet. */
static const float made_values[MADE_VALUES] = {-3.5f, -1, -1e-36f, 0, 1e-36f, .1f, .30000001f, 2, 1e6f};

static inline uint32_t made_below(random_source *random, uint32_t n) { return (uint32_t)random_below(random, n); }

static inline void made_row(random_source *random, float *x) {
    static const float odd[] = {NAN, INFINITY, -INFINITY, -0.f, 3.4e38f, 1e-40f};
    for (int f = 0; f < MADE_FEATURES; f++) {
        uint32_t how = made_below(random, 10);
        x[f] = made_values[made_below(random, MADE_VALUES)];
        if (how < 2) x[f] = odd[made_below(random, 6)];
        else if (how < 5) x[f] = (float)random_normal(random);
        else if (how == 5) x[f] = nextafterf(x[f], INFINITY);
        else if (how == 6) x[f] = (float)made_below(random, 70);
    }
}

/* A tree of `leaves` leaves by splitting random ones: left[i] < 0 is a leaf. Numbers as XGBoost gives them, in order of making. */
typedef struct made_tree {
    int n, left[4096], right[4096];
} made_tree;

static inline void made_shape(random_source *random, int leaves, bool skewed, made_tree *t) {
    int open[4096], n_open = 1;
    open[0] = 0;
    t->n = 1;
    t->left[0] = t->right[0] = -1;
    while (n_open < leaves) {
        int pick = skewed && made_below(random, 4) ? n_open - 1 : (int)made_below(random, (uint32_t)n_open), i = open[pick];
        t->left[i] = t->n;
        t->right[i] = t->n + 1;
        for (int k = 0; k < 2; k++) t->left[t->n + k] = t->right[t->n + k] = -1;
        open[pick] = t->n;
        open[n_open++] = t->n + 1;
        t->n += 2;
    }
}

static inline void made_list(random_source *random, buffer *out, const char *name, const made_tree *t, int what) {
    buffer_printf(out, "\"%s\":[", name);
    for (int i = 0; i < t->n; i++) {
        bool leaf = t->left[i] < 0;
        double value = 0;
        if (what == 0) value = t->left[i];
        if (what == 1) value = t->right[i];
        if (what == 2) value = made_below(random, MADE_FEATURES);
        if (what == 3) value = leaf ? random_normal(random) : (double)made_values[made_below(random, MADE_VALUES)];
        if (what == 4) value = made_below(random, 2);
        if (what == 5) value = 1 + made_below(random, 9);
        buffer_printf(out, "%s%.9g", i ? "," : "", value);
    }
    buffer_puts(out, "]");
}

static inline void made_xgboost(random_source *random, int trees, int leaves, bool skewed, buffer *out) {
    static const char *const names[] = {"left_children",    "right_children", "split_indices",
                                        "split_conditions", "default_left",   "sum_hessian"};
    static made_tree t;
    buffer_printf(out,
                  "{\"learner\":{\"learner_model_param\":{\"base_score\":\"[2.5E-1]\",\"num_class\":\"0\","
                  "\"num_feature\":\"%d\"},\"objective\":{\"name\":\"rank:ndcg\"},\"gradient_booster\":{\"name\":\"gbtree\","
                  "\"model\":{\"trees\":[",
                  MADE_FEATURES);
    for (int k = 0; k < trees; k++) {
        made_shape(random, 1 + (int)made_below(random, (uint32_t)leaves), skewed, &t);
        buffer_puts(out, k ? ",{" : "{");
        for (int i = 0; i < 6; i++) {
            if (i) buffer_putc(out, ',');
            made_list(random, out, names[i], &t, i);
        }
        buffer_puts(out, "}");
    }
    buffer_puts(out, "]}}},\"version\":[3,0,0]}");
}

/* LightGBM's splits come first: node i of the shape is split number[i] or leaf ~number[i]. */
static inline void made_lightgbm_tree(random_source *random, int tree, const made_tree *t, buffer *out) {
    static int number[4096];
    static bool categorical[4096];
    int splits = 0, leaves = 0;
    for (int i = 0; i < t->n; i++) {
        number[i] = t->left[i] < 0 ? ~leaves++ : splits++;
        categorical[i] = made_below(random, 5) == 0;
    }
    buffer_printf(out, "Tree=%d\nnum_leaves=%d\nnum_cat=2\n", tree, leaves);
    static const char *const names[] = {"split_feature", "threshold",   "decision_type", "left_child",
                                        "right_child",   "leaf_value", "leaf_count",    "internal_count"};
    for (int k = 0; k < 8; k++) {
        buffer_printf(out, "%s=", names[k]);
        for (int i = 0; i < t->n; i++) {
            bool leaf = t->left[i] < 0;
            double value = 0;
            if (leaf != (k == 5 || k == 6)) continue;
            if (k == 0) value = made_below(random, MADE_FEATURES);
            if (k == 1) value = categorical[i] ? made_below(random, 2) : (double)made_values[made_below(random, MADE_VALUES)];
            if (k == 3) value = number[t->left[i]];
            if (k == 4) value = number[t->right[i]];
            if (k == 5) value = random_normal(random);
            if (k >= 6) value = 1 + made_below(random, 9);
            if (k == 2) value = made_below(random, 3) * 4 + made_below(random, 2) * 2 + categorical[i];
            buffer_printf(out, "%.17g ", value);
        }
        buffer_putc(out, '\n');
    }
    buffer_printf(out, "cat_boundaries=0 2 3\ncat_threshold=%u 5 9\nis_linear=0\nshrinkage=1\n\n\n",
                  (unsigned)random_u64(random));
}

static inline void made_lightgbm(random_source *random, int trees, int leaves, bool skewed, buffer *out) {
    static made_tree t;
    buffer_printf(out, "tree\nversion=v4\nnum_class=1\nnum_tree_per_iteration=1\nmax_feature_idx=%d\nobjective=lambdarank\n"
                       "feature_names=a b c d e f g\n\n",
                  MADE_FEATURES - 1);
    for (int k = 0; k < trees; k++) {
        made_shape(random, 1 + (int)made_below(random, (uint32_t)leaves), skewed, &t);
        made_lightgbm_tree(random, k, &t, out);
    }
    buffer_puts(out, "end of trees\n");
}

static inline forest *read_forest(slice bytes) {
    forest *f = NULL;
    base_error error = {0};
    if (forest_read(bytes, &f, &error)) fail_msg("%s", error.message);
    return f;
}

static const char *const all_backends[] = {"scalar", "interleaved", "sliced", "avx2"};

/* Scores by every implementation of this machine in requests of `batch`, all equal to the scalar one's bits. */
static inline void score_all_ways(const forest *f, const float *x, size_t n, size_t stride, size_t batch, float *scores) {
    arena scratch;
    arena_init(&scratch, 0);
    float *other = mem_alloc((n + 1) * sizeof *other);
    for (int b = 0; b < 4; b++) {
        if (forest_use(all_backends[b], NULL)) continue;
        float *out = b ? other : scores;
        for (size_t i = 0; i < n; i += batch) {
            arena_reset(&scratch);
            forest_score(f, x + i * stride, n - i < batch ? n - i : batch, stride, &scratch, out + i);
        }
        if (b && memcmp(scores, other, n * sizeof *scores) != 0)
            for (size_t i = 0; i < n; i++)
                if (memcmp(&scores[i], &other[i], 4) != 0)
                    fail_msg("row %zu of %zu: %s says %.9g, the oracle %.9g", i, n, all_backends[b], (double)other[i],
                             (double)scores[i]);
    }
    forest_use(NULL, NULL);
    free(other);
    arena_release(&scratch);
}

#endif
