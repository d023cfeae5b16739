/* The registry's rows; only the files of the registry include it. */
#ifndef FUNNEL_MODELS_ROWS_H
#define FUNNEL_MODELS_ROWS_H

#include "funnel/models.h"

#define MODELS_BEFORE 16

typedef struct models_state {
    uint64_t next, active, shadow;
    uint32_t n_before;
    uint64_t before[MODELS_BEFORE]; /* that served, the last one last; 0: the linear ranker that learns online */
} models_state;

/* A state that is not there is the first one. FORAGE_E_CORRUPT, FORAGE_E_VERSION. */
forage_status models_read_state(store_txn *t, models_state *out, base_error *error);
forage_status models_write_state(store_txn *t, const models_state *state, base_error *error);
/* Slices in the arena; with bytes. FORAGE_E_NOT_FOUND, FORAGE_E_CORRUPT. */
forage_status models_read_row(store_txn *t, uint64_t number, arena *a, funnel_model *out, base_error *error);

models_state models_get_state(model_registry *m);
void models_set_state(model_registry *m, const models_state *state);
void models_forget(model_registry *m, uint64_t number); /* a version that is loaded; searches that hold it go on */
forage_status model_load(const funnel_model *stored, const columns_list *list, loaded_model **out, base_error *error);

#endif
