/* The registry of trained rankers: every version with what it was trained on and how it did; which one serves, and which one
 * only scores beside it (the shadow).
 *
 * Rows under STORE_MODELS: "model:" and be64 number → u8 format (1); i64 time; u8 kind; string name; string map; string report;
 * string bytes; u64 hash64 (seed 0) of all bytes before it. "models" → u8 format (1); u64 next number, active, shadow;
 * u8 n, u64 number × n: those that served before, the last one last.
 *
 * A model is immutable. Loaded, it is mapped onto the columns of a schema by its features' names; a column that it needs and that is not
 * there any more is missing (NaN) in every row. Threads: every function from any thread; writing waits for the disk. */
#ifndef FUNNEL_MODELS_H
#define FUNNEL_MODELS_H

#include "funnel/ranker_columns.h"
#include "funnel/funnel.h"
#include "rank/arrange.h"
#include "store/store.h"

typedef struct model_registry model_registry;
typedef struct loaded_model loaded_model;

model_registry *models_create(void);
void models_destroy(model_registry *m); /* NULL is a no-op; no model is held any more */
forage_status models_load(model_registry *m, store_txn *t, base_error *error);

/* What serves; 0: the linear ranker that learns online. */
uint64_t models_active(const model_registry *m);
uint64_t models_shadow(const model_registry *m);

/* A version mapped onto the columns; for models_release. FORAGE_E_NOT_FOUND: there is none of this number. A handful of versions
 * stays loaded. `list` must live as long as `m`. */
forage_status models_acquire(model_registry *m, store *s, uint64_t number, const columns_list *list, loaded_model **out, base_error *error);
void models_release(loaded_model *one); /* NULL is a no-op */
uint64_t model_number(const loaded_model *one);
arrange_calibration model_calibration(const loaded_model *one); /* from score to expected reward; {1, 0} where none was fitted */
bool model_is_trees(const loaded_model *one);
/* x: n rows of the list's columns, stride apart. */
void model_score(const loaded_model *one, const float *x, size_t n, size_t stride, arena *scratch, float *scores);
/* Contributions of the columns to one row's score, and of the rest at the end: list->n + 1. *method names how. */
forage_status model_explain(const loaded_model *one, const float *row, arena *scratch, double *out, const char **method, base_error *error);

#endif
