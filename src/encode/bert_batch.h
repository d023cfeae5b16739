/* Many texts through a model: cut into batches that several threads share. */
#ifndef ENCODE_BERT_BATCH_H
#define ENCODE_BERT_BATCH_H

#include "encode/bert_model.h"

/* Tokens that go through the layers together: enough to use every weight often, few enough that the states stay in the
 * second-level cache. A longer text goes alone. */
enum { BERT_BATCH_TOKENS = 256 };

/* What a head makes of a batch: sequences[i] is texts[places[i]], the last layer's states are in s->x: of a model whose head is an
 * encoder that pools by CLS only the first tokens' (bert_forward). Called by several threads at
 * once, each text once. */
typedef forage_status (*bert_finish)(void *self, bert_scratch *s, const wordpiece_tokens *sequences, const size_t *places, size_t n,
                                     base_error *error);

/* Texts about which nothing can be said (no token of their own) are left out: finish never sees them. Queries are done by the calling
 * thread, documents by the model's threads too, the longest first. */
forage_status bert_batch_run(bert_model *m, encode_side side, const slice *texts, size_t n, int64_t deadline, bert_finish finish,
                             void *self, base_error *error);

#endif
