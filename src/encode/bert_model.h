/* An open model, as the files of BERT see it: its layers, and the rooms that threads work in. */
#ifndef ENCODE_BERT_MODEL_H
#define ENCODE_BERT_MODEL_H

#include "encode/bert_config.h"
#include "encode/bert_matmul.h"
#include "encode/safetensors.h"
#include "encode/wordpiece.h"
#include "os/pool.h"

#include <pthread.h>

typedef struct bert_norm {
    float *weight, *bias; /* dimensions */
} bert_norm;

typedef struct bert_layer {
    bert_linear mix;   /* query, key and value in one: 3 × dimensions outputs */
    bert_linear out;   /* of attention */
    bert_norm out_norm;
    bert_linear widen; /* to `inner` */
    bert_linear narrow;
    bert_norm narrow_norm;
} bert_layer;

/* Room of one thread, kept for the next batch. */
typedef struct bert_scratch bert_scratch;
struct bert_scratch {
    bert_scratch *next;
    bert_room room;
    arena tokens;
    float *x, *y, *mix, *inner, *scores, *best;
    size_t x_capacity, y_capacity, mix_capacity, inner_capacity, scores_capacity, best_capacity;
};

struct bert_model {
    bert_config config;
    bert_head head;
    bert_precision precision;
    const bert_ops *ops;
    arena strings;
    wordpiece *words;
    safetensors *file;      /* mapped: word embeddings are read where they lie */
    tensor_view embeddings; /* vocabulary × dimensions */
    float *positions, *types;
    bert_norm embedded_norm;
    bert_layer *layers;
    bert_linear transform, decoder; /* masked-language head; pairs: pooler and classifier */
    bert_norm transform_norm;
    void *weights; /* of all linear layers, in the order of their use */
    uint64_t version;
    uint32_t labels;
    unsigned threads;
    os_pool *pool; /* threads − 1; NULL when there is but one */
    pthread_mutex_t lock;
    bert_scratch *free;
};

/* bert_weights.c: fills what the tensors of `m->file` hold. What was made is released by bert_model_close also after an error. */
forage_status bert_weights_read(bert_model *m, bool onednn, base_error *error);

bert_scratch *bert_scratch_take(bert_model *m);
void bert_scratch_give(bert_model *m, bert_scratch *s);

/* bert_forward.c: the last layer's states of `n` sequences one after the other without padding: Σ lengths × dimensions, in s->x; with
 * `first_only` those of the first tokens alone, n × dimensions, which spares most of the last layer. */
void bert_forward(const bert_model *m, bert_scratch *s, const wordpiece_tokens *sequences, size_t n, bool first_only);
/* rows × dimensions of states → the head's transform: dense, activation, norm; in s->y. */
void bert_transform(const bert_model *m, bert_scratch *s, const float *states, size_t rows);

#endif
