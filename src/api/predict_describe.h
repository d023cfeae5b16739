/* A document as the predictors see it: what its fields say, in roles. Only this folder's files include it. */
#ifndef API_PREDICT_DESCRIBE_H
#define API_PREDICT_DESCRIBE_H

#include "collection/collection.h"
#include "memory/predict_catalogue.h"

/* What stays the same for many documents. */
typedef struct predict_view {
    const schema *schema;
    const sparse_snapshot *snapshot;
    store_txn *txn;
    text_analyzer *analyzer;
    int32_t title; /* field of the schema that holds the documents' names, or -1 */
} predict_view;

predict_view predict_view_of(const schema *s, const sparse_snapshot *snapshot, store_txn *t, text_analyzer *analyzer);

/* The title is a text field called title, name or label, else the weightiest one; text fields whose name says so are
 * aliases. Keywords and references bring how many documents share them; a reference's text is the title of what it refers
 * to. Years come from number fields that are called so and from the first date. False when there is no such document.
 * Slices live in the arena. */
bool predict_describe(const predict_view *v, uint32_t document, arena *a, predict_description *out);

#endif
