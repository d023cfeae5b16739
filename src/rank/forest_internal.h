/* What the sources of the forest share: the trees as read, and what is compiled from them to score with. */
#ifndef RANK_FOREST_INTERNAL_H
#define RANK_FOREST_INTERNAL_H

#include "rank/forest.h"

#include <math.h>

#define FOREST_ABSENT UINT32_MAX /* a feature that the caller's rows do not have */
#define FOREST_TILE 16           /* rows that walk side by side */
#define SLICE_MAX_LEAVES 1024    /* of a tree; a forest with a larger one walks */
#define SLICE_MAX_PLANES 10

/* How a split decides. A number goes left when x < value; NaN by default_left. Categories: x cut to a whole number. */
typedef enum node_kind {
    NODE_LEAF,
    NODE_NUMBER,
    NODE_ZERO,   /* a number, where also zero (within LightGBM's 1e-35) goes by default_left */
    NODE_IN,     /* left when the set has the category: LightGBM */
    NODE_NOT_IN, /* left when it does not, or x < 0: XGBoost */
} node_kind;

/* A tree's nodes are in preorder: a split's left child is the next one. */
typedef struct forest_node {
    uint32_t right;   /* of the forest's nodes */
    uint32_t feature; /* of the model */
    uint32_t set;     /* NODE_IN, NODE_NOT_IN */
    float value;      /* of a leaf; or the threshold */
    float gain, cover;
    uint8_t kind, default_left;
} forest_node;

/* Categories as bits: set s has set_first[s] … set_first[s + 1] − 1 of set_words. */

/* What a split compares is a column: a feature, or what zeros or categories make of it (0 for left, 1 for right; NaN stays), so that
 * every split is `value < threshold`, NaN by default. */
typedef struct forest_column {
    uint32_t feature, set;
    uint8_t kind; /* NODE_NUMBER, NODE_ZERO, NODE_IN, NODE_NOT_IN */
    uint32_t n_thresholds, threshold; /* ascending, from thresholds[threshold] */
    uint32_t first;                   /* of its slots, in the order of thresholds: see `uses` */
} forest_column;

/* To walk: children side by side, leaves that lead to themselves. */
typedef struct walk_node {
    float value;     /* threshold, or of the leaf */
    uint32_t child;  /* left; the right one is next. A leaf's is itself */
    uint32_t column; /* << 2 | default_left << 1 | is a split */
} walk_node;

enum { USES_RIGHT = 1, USES_LEFT = 2 }; /* where the splits at a threshold send NaN; the slots are in this order */

typedef struct slice_op {
    uint32_t mask, a, b; /* slots; the result, mask ? a : b, is the next slot */
} slice_op;

typedef struct slice_tree {
    uint32_t op, n_ops; /* results from slot `temporary` on */
    uint32_t n_planes;  /* bits of a leaf's number */
    uint32_t table;     /* 2^max(4, n_planes) values */
    uint32_t plane[SLICE_MAX_PLANES]; /* slots, lowest bit first */
} slice_tree;

struct forest {
    uint32_t n_features, n_trees, n_columns_in; /* n_columns_in: of a row */
    float base;
    bool has_cover;
    uint8_t library; /* enum forest_library */
    char *objective;
    char **names;     /* n_features */
    uint32_t *source; /* n_features: the row's column, or FOREST_ABSENT */
    uint32_t *root;   /* n_trees + 1: first node of each tree */
    forest_node *node;
    uint32_t n_sets;
    uint32_t *set_first, *set_words;
    /* compiled */
    uint32_t depth, leaves_max;
    uint32_t n_columns;
    forest_column *column;
    uint32_t *node_column; /* of each node that splits */
    walk_node *walk;
    uint32_t *walk_root, *walk_depth;
    uint32_t n_slots; /* 0: nothing is sliced */
    uint32_t temporary;
    uint32_t sliced_from; /* rows from which slicing is the faster */
    float *thresholds;
    uint8_t *uses;   /* of each threshold: USES_RIGHT, USES_LEFT: it has a slot of the rows below it, with those without value */
    float *blocks;   /* for vector search: per column 16 pivots, then its thresholds in blocks of 16, then a block of NaN */
    uint32_t *block; /* per column */
    slice_op *op;
    slice_tree *slice;
    float *table;
    uint8_t *table_bytes; /* the same, per tree all lowest bytes, then the next ones … */
};

enum forest_library { FOREST_XGBOOST, FOREST_LIGHTGBM };

/* ---- Building ---- */

/* A node as a file has it; children by number in the file's tree. `node.right` is not used. */
typedef struct raw_node {
    int64_t left, right; /* kind NODE_LEAF: not used */
    forest_node node;
} raw_node;

typedef struct forest_builder {
    forest *f;
    base_error *error;
    size_t nodes, node_room, tree_room, set_room, word_room, words, owner_room;
    uint64_t *owner;     /* of each set: the feature and kind of the split that has it, or UINT64_MAX */
    uint32_t *empty_set; /* of each feature, or UINT32_MAX */
} forest_builder;

void forest_build_begin(forest_builder *b, enum forest_library library, uint32_t n_features, base_error *error);
/* Names feature i; those that get none are f0, f1 … */
void forest_build_name(forest_builder *b, uint32_t i, slice name);
uint32_t forest_build_set(forest_builder *b, const uint32_t *words, size_t n); /* its number; n at most FOREST_MAX_CATEGORIES / 32 */
uint32_t forest_build_empty_set(forest_builder *b, uint32_t feature); /* the feature's one; nothing is in it */
/* A set may be of several splits, if they are of one feature and one kind. */
forage_status forest_build_tree(forest_builder *b, const raw_node *nodes, size_t n);
/* Hands the forest over, or on failure destroys it. `status`: of what went before. */
forage_status forest_build_end(forest_builder *b, forage_status status, forest **out);

/* A decimal number and nothing else, the same in every locale; false for what is none. */
bool forest_number(slice text, double *out);

/* The readers of one format each; `bytes` is known to look like it. */
forage_status forest_read_xgboost(slice bytes, bool binary, forest **out, base_error *error);
forage_status forest_read_lightgbm(slice bytes, forest **out, base_error *error);

void forest_compile(forest *f); /* forest_compile.c; everything below `compiled` */

/* ---- Deciding ---- */

#define FOREST_ZERO 1e-35f

static inline bool forest_is_in(const forest *f, uint32_t set, float x) {
    uint32_t words = f->set_first[set + 1] - f->set_first[set];
    if (!(x > -1 && x < 32.f * (float)words)) return false;
    uint32_t category = (uint32_t)(int32_t)x;
    return category / 32 < words && f->set_words[f->set_first[set] + category / 32] >> (category % 32) & 1;
}

/* The value of a column where its feature is x. */
static inline float forest_column_value(const forest *f, const forest_column *c, float x) {
    switch (c->kind) {
    case NODE_ZERO: return fabsf(x) <= FOREST_ZERO ? NAN : x;
    case NODE_IN: return isnan(x) ? NAN : !forest_is_in(f, c->set, x);
    case NODE_NOT_IN: return isnan(x) ? NAN : x >= 0 && forest_is_in(f, c->set, x);
    default: return x;
    }
}

static inline float forest_feature(const forest *f, const float *row, uint32_t feature) {
    uint32_t column = f->source[feature];
    return column == FOREST_ABSENT ? NAN : row[column];
}

/* Which way a row goes, as the file's library would say it: the oracle's and the explanations' only rule. */
bool forest_goes_left(const forest *f, const forest_node *n, const float *row);

/* ---- Scoring ---- */

typedef void forest_scorer(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores);

void forest_score_scalar(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores);
void forest_score_interleaved(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores);
void forest_score_sliced(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores);
#if defined(__x86_64__)
void forest_score_avx2(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores);
#endif

#endif
