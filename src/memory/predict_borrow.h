/* Predictions from behaviour elsewhere: queries borrowed from the most similar documents that people chose (k-nearest-
 * neighbour transfer), and remembered queries that a translation model finds likely.
 *
 * Both need passes over what is remembered, done once for many documents: `predict_lenders`. It is a snapshot and is used
 * by one thread at a time. */
#ifndef MEMORY_PREDICT_BORROW_H
#define MEMORY_PREDICT_BORROW_H

#include "memory/predict_catalogue.h"
#include "memory/translate.h"
#include "sparse/search.h"

/* Pairs that are held out are treated as if nobody had done them: every `of`-th (by hash); of 0: none. */
typedef struct predict_split {
    uint32_t of, part;
} predict_split;
bool predict_held_out(predict_split split, hash128 key, uint32_t document);

#define PREDICT_MAX_KNOWN 200000 /* remembered queries that the translation model chooses from */
#define PREDICT_NEAREST 16       /* documents that lend to one */

typedef struct predict_lenders predict_lenders;
/* The transaction and the snapshot must outlive it. Reads every remembered query. */
predict_lenders *predict_lenders_create(store_txn *t, const sparse_snapshot *snapshot, predict_split split,
                                        text_analyzer *analyzer);
void predict_lenders_destroy(predict_lenders *l);
uint64_t predict_lenders_documents(const predict_lenders *l); /* with behaviour, in the snapshot */

/* Queries of the nearest documents, by words and attributes in the index; the score of a query is the mean of its
 * beliefs there, weighed by the squared similarity, as if one document without it had been near too. The document itself
 * lends nothing. At most PREDICT_MAX_QUERIES, best first, in the arena. */
size_t predict_from_neighbours(predict_lenders *l, const predict_description *d, arena *a, predict_entry **out);
/* Remembered queries that contain a term which the model expects, by P(query | document) = P(query) × its lift: as often as
 * it was asked, times how much better it fits this document than any. One that a twentieth of those who look for the
 * document would ask scores 0.5. Limits as above. */
size_t predict_from_translation(predict_lenders *l, const translation *model, const predict_description *d, arena *a,
                                predict_entry **out);

/* Adds every remembered pair that is not held out to a model, `describe` giving the documents' terms; at most
 * `most_pairs`. */
typedef size_t (*predict_describe_terms)(void *self, uint32_t document, arena *a, slice **terms);
void predict_teach(predict_lenders *l, translation *model, predict_describe_terms describe, void *self,
                   size_t most_pairs);

#endif
