/* What a Hugging Face folder says about its model, read from its JSON files and checked.
 *
 * Every number is bounded before anything is allocated by it; whether the tensors agree is checked when they are read. */
#ifndef ENCODE_BERT_CONFIG_H
#define ENCODE_BERT_CONFIG_H

#include "encode/bert.h"
#include "encode/bert_ops.h"

typedef struct bert_config {
    bool distil;             /* names and layers of DistilBERT */
    uint32_t dimensions;     /* hidden_size, dim */
    uint32_t layers, heads;  /* heads divides dimensions */
    uint32_t inner;          /* intermediate_size, hidden_dim */
    uint32_t positions;      /* max_position_embeddings */
    uint32_t vocabulary;     /* vocab_size */
    uint32_t types;          /* type_vocab_size; DistilBERT: 0 */
    float epsilon;           /* layer_norm_eps */
    bert_activation activation;
    bert_pooling pooling;    /* never AS_FOLDER */
    uint32_t most_tokens;    /* 3 … positions */
    slice query_prefix, document_prefix; /* in the arena */
} bert_config;

/* `config.json`, and where they are there `1_Pooling/config.json` (mean or CLS), `sentence_bert_config.json` (max_seq_length) and
 * `config_sentence_transformers.json` (prompts). Options go before the folder. Errors name file and member. */
forage_status bert_config_read(const char *folder, const bert_options *options, arena *a, bert_config *out, base_error *error);

#endif
