/* Boosted trees, served: a forest read from XGBoost's or LightGBM's model file and scored many rows at a time.
 *
 * A forest is immutable once its features are mapped: any number of threads may score with it. Its output is the margin
 * (XGBoost's output_margin, LightGBM's raw_score): base score plus one leaf's value of every tree, added in float and in
 * the order of the trees, so that every implementation gives the same bits.
 *
 * There are four ways to the same sums, chosen once at run time (forest_backend_name; the environment's FORAGE_SIMD
 * overrides, see forest_use):
 *     scalar       one row at a time, the oracle
 *     interleaved  sixteen rows at a time go down a tree in step, without branches
 *     sliced       64 rows at a time in the bits of a word: every comparison of the forest is made once for a block of rows and
 *                  is then a bit per row; a tree is a short program of bitwise selections over these, without branches,
 *                  that leaves the bits of each row's leaf number (if-conversion)
 *     avx2         the same with up to 256 rows a word; leaves are looked up 32 rows at a time
 *
 * Missing values are NaN. What a node does with one is the model's: a default direction, LightGBM's "zero counts as
 * missing", or, where the model knew none, the direction of 0. */
#ifndef RANK_FOREST_H
#define RANK_FOREST_H

#include "base/memory.h"
#include "base/status.h"

#define FOREST_MAX_TREES 65536
#define FOREST_MAX_NODES 16000000 /* of all trees together, leaves included */
#define FOREST_MAX_DEPTH 256      /* splits from a root to a leaf */
#define FOREST_MAX_FEATURES 65536
#define FOREST_MAX_CATEGORIES 1048576 /* of one feature: they are numbered from 0 */

typedef struct forest forest;

/* Reads a model file; its first bytes tell which: XGBoost's JSON or UBJ (1.x to 3.x; gbtree and dart; one output; objectives
 * that regress, classify in two or rank), or LightGBM's text (2.x to 4.x; one class). Numeric and categorical splits.
 * FORAGE_E_INVALID names what is damaged, unknown or beyond a limit, and the tree and node where; FORAGE_E_JSON. */
forage_status forest_read(slice bytes, forest **out, base_error *error);
void forest_destroy(forest *f);

/* The forest's own bytes, with a checksum; the map of features is part of them. They load faster than the model files
 * and are a third to a tenth of their size. Bytes may come from anybody: every index is checked.
 * FORAGE_E_CORRUPT, FORAGE_E_VERSION. */
void forest_save(const forest *f, buffer *out);
forage_status forest_load(slice bytes, forest **out, base_error *error);

typedef struct forest_shape {
    uint32_t n_features;        /* of the model */
    uint32_t n_columns;         /* of a row: n_features, or as many as the caller's names once mapped */
    uint32_t n_trees;
    uint32_t n_leaves_max;      /* of a tree */
    uint32_t depth;             /* splits on the longest path */
    size_t n_nodes;             /* leaves included */
    float base;                 /* score before the first tree */
    bool has_cover;             /* explanations need it */
    const char *source;         /* "XGBoost" or "LightGBM" */
    const char *objective;      /* as the file has it, "" where it has none */
} forest_shape;

forest_shape forest_describe(const forest *f); /* its strings live as long as the forest */
slice forest_feature_name(const forest *f, uint32_t feature); /* "f0", "f1" … where the file names none */

/* Makes rows the caller's: column c of a row is then the feature called names[c]. `map` renames first: a JSON object
 * {"theirs": "ours", …} or lines `theirs<TAB>ours` (empty ones and those that begin with # are passed over); empty: no renaming.
 * Only features that a split uses are needed. One that no column has is FORAGE_E_INVALID naming it, or, with
 * `allow_missing`, NaN in every row. Before the forest is shared; a failed call changes nothing. */
forage_status forest_map_features(forest *f, const slice *names, uint32_t n, slice map, bool allow_missing,
                                  base_error *error);

/* The names after renaming by such a map, in the arena or as they were. FORAGE_E_INVALID, FORAGE_E_JSON: the map is none. */
forage_status forest_rename(slice map, const slice *theirs, uint32_t n, arena *a, slice *ours, base_error *error);

/* scores[i] of row i, which begins at x + i × stride and has n_columns floats. stride ≥ n_columns, in floats. Memory comes from
 * `scratch`, forest_scratch_bytes at most for any n; nothing of it is needed afterwards. Any thread, each with its own arena. */
void forest_score(const forest *f, const float *x, size_t n, size_t stride, arena *scratch, float *scores);
size_t forest_scratch_bytes(const forest *f);

/* Which implementation scores; "scalar", "interleaved", "sliced" or "avx2" for all forests from now on, NULL for the best this
 * machine has (or the environment's FORAGE_SIMD, which has the same names). FORAGE_E_INVALID: unknown, or not of this machine. Tests
 * and benchmarks compare with it; it is not for a program that is serving. */
forage_status forest_use(const char *backend, base_error *error);
const char *forest_backend_name(void);

/* Why a row has its score: contributions[c] of column c, n_columns + 1 of them, the last the bias. They sum to the margin.
 * A column that several features are mapped to gets their sum; a feature without a column adds to the bias.
 * forest_shap: Shapley values of the tree-path-dependent expectation, exact: Algorithm 2 of Lundberg, Erion & Lee,
 * "Consistent individualized feature attribution for tree ensembles" (2018); trees × leaves × depth² steps.
 * forest_saabas: at each split on the row's way the change of the expectation goes to the split's feature (Saabas 2014);
 * trees × depth steps, but its figures depend on where in the tree a feature stands.
 * Expectations are weighted by the training cover: FORAGE_E_INVALID when the file did not have it. */
forage_status forest_shap(const forest *f, const float *x, arena *scratch, double *contributions, base_error *error);
forage_status forest_saabas(const forest *f, const float *x, arena *scratch, double *contributions, base_error *error);

/* Importance of each of the model's n_features features, summed over the splits that use it: of loss won, of training cover
 * (XGBoost: sum of hessians; LightGBM: rows), or the number of splits. 0 where the file has no such figures. */
typedef enum forest_importance_kind { FOREST_GAIN, FOREST_COVER, FOREST_SPLITS } forest_importance_kind;
void forest_importance(const forest *f, forest_importance_kind kind, double *out);

#endif
