/* What the routes of predicted queries share; only this folder's files include it. */
#ifndef API_PREDICTIONS_H
#define API_PREDICTIONS_H

#include "api/call.h"
#include "api/predict_describe.h"
#include "memory/predict_borrow.h"


/* A look at the collection, for the predictors; always closed after it was opened, also when that failed. */
typedef struct prediction_world {
    collection *collection;
    text_analyzer *analyzer;
    const sparse_snapshot *snapshot;
    store_txn *txn;
    predict_view view;
    translation *model; /* NULL: none */
} prediction_world;
forage_status prediction_world_open(api_call *c, prediction_world *w, base_error *error);
void prediction_world_close(prediction_world *w);
/* Loads the model, if one was trained. FORAGE_E_CORRUPT, FORAGE_E_VERSION. */
forage_status prediction_world_model(prediction_world *w, base_error *error);

/* What a source predicts for a document, best first; `lenders` may be NULL for the catalogue. */
size_t prediction_guess(prediction_world *w, predict_lenders *lenders, const predict_description *d,
                        predict_source source, arena *a, predict_entry **out);

typedef struct prediction_list {
    uint32_t document;
    const predict_entry *entries;
    size_t n;
} prediction_list;
/* Stores what a source predicts for some documents, in a few transactions. */
forage_status prediction_store(collection *k, const prediction_list *list, size_t n, predict_source source, bool replace,
                               base_error *error);
/* What was stored or dropped is in the memory's next answer. */
forage_status prediction_publish(api_call *c, base_error *error);

/* FORAGE_E_INVALID for a name that is not among the sources below `below`. */
forage_status prediction_source_read(slice name, predict_source below, predict_source *out, base_error *error);

#endif
