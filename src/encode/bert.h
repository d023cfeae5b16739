/* BERT-family models in this process, from a Hugging Face folder: `config.json`, `model.safetensors`, a WordPiece vocabulary.
 *
 * BERT (Devlin et al. 2019) and DistilBERT (Sanh et al. 2019). One model serves one purpose, its head: sentence vectors
 * (Reimers & Gurevych 2019), learned sparse weights (SPLADE, Formal et al. 2021) or scores of pairs (cross-encoder, Nogueira & Cho
 * 2019). Weights are kept as float32 or as 8-bit integers with a scale for each output; sums are the same on every processor
 * up to rounding of float32.
 *
 * Threads: an open model is immutable; every function may be called from any number of threads on the same model. */
#ifndef ENCODE_BERT_H
#define ENCODE_BERT_H

#include "encode/encoder.h"

typedef enum bert_precision { BERT_FP32, BERT_INT8 } bert_precision;
typedef enum bert_head { BERT_ENCODER, BERT_SPARSE, BERT_PAIRS } bert_head;
typedef enum bert_pooling { BERT_POOL_AS_FOLDER, BERT_POOL_MEAN, BERT_POOL_CLS } bert_pooling;
typedef enum bert_backend { BERT_BACKEND_BEST, BERT_BACKEND_ONEDNN, BERT_BACKEND_OWN } bert_backend;

typedef struct bert_options {
    bert_head head;
    bert_precision precision;
    bert_backend backend;      /* whose matrix products; the best for this processor unless a test wants another */
    bert_pooling pooling;      /* as_folder: what `1_Pooling/config.json` says, mean without it */
    /* Put before every text ("query: " of E5, the instruction of BGE); data NULL: what `config_sentence_transformers.json`
     * says, if anything; an empty text for none. Read by bert_model_open only. */
    slice query_prefix, document_prefix;
    uint32_t most_tokens;      /* of a text with [CLS] and [SEP]; 0: what the folder says. What does not fit is cut off. */
    unsigned threads;          /* for documents; 0: one per core. Queries are encoded by the thread that asks. */
    uint32_t cached_queries;   /* vectors that bert_encoder_open's encoder remembers; 0: none */
} bert_options;

typedef struct bert_model bert_model;

/* Reads config, vocabulary and weights. `options` NULL: sentence vectors, fp32. Errors: FORAGE_E_NOT_FOUND (a file),
 * FORAGE_E_JSON, FORAGE_E_CORRUPT (a tensor is missing, has another shape or a value that is no number; the message names it
 * and both shapes), FORAGE_E_INVALID (a model of another kind). Cost: about 0.1 s for MiniLM. */
forage_status bert_model_open(const char *folder, const bert_options *options, bert_model **out, base_error *error);
void bert_model_close(bert_model *m); /* NULL is a no-op; nobody may be using it */

typedef struct bert_info {
    uint32_t dimensions, layers, heads, inner, vocabulary, most_tokens;
    uint64_t version; /* changes with the weights and with everything that moves the vectors */
    bert_head head;
    bert_precision precision;
    bert_pooling pooling;
    slice query_prefix, document_prefix; /* live as long as the model */
} bert_info;
bert_info bert_model_describe(const bert_model *m);

/* Of a model with BERT_ENCODER: what encoder.h promises of encode. Documents are packed into batches without padding, which
 * the model's threads share. */
forage_status bert_encode(bert_model *m, encode_side side, const slice *texts, size_t n, int64_t deadline, float *out,
                          base_error *error);

/* The same as an encoder of encoder.h, which owns its model; options->head is ignored. */
forage_status bert_encoder_open(const char *folder, const bert_options *options, encoder **out, base_error *error);

typedef struct bert_weight {
    uint32_t token;
    float weight; /* > 0 */
} bert_weight;

typedef struct bert_weights {
    const bert_weight *list; /* heaviest first, ties by token */
    uint32_t n;
} bert_weights;

/* Of a model with BERT_SPARSE: for each text the at most `most` heaviest tokens of the vocabulary that weigh more than `least`:
 * max over the text's tokens of log(1 + relu(logit)) (Formal et al. 2021, eq. 1 with max pooling). Special tokens are left out.
 * out: n lists in the arena. */
forage_status bert_sparse_encode(bert_model *m, encode_side side, const slice *texts, size_t n, uint32_t most, float least,
                                 int64_t deadline, arena *a, bert_weights *out, base_error *error);
/* The text's own tokens, each with how often it occurs: a query of the document-only mode, for which no model is asked (Formal et
 * al. 2021b, SPLADE-doc). Like a list of bert_sparse_encode; any head. */
bert_weights bert_sparse_tokens(bert_model *m, slice text, uint32_t most, arena *a);
slice bert_token_text(const bert_model *m, uint32_t token); /* "##ing"; empty when there is none */

/* Of a model with BERT_PAIRS: scores[i] is the logit of (query, texts[i]), with two labels that of the second less that of the
 * first. The texts are scored in the order they come, in batches that grow; past the deadline FORAGE_E_TIMEOUT, and *scored says how
 * many of the first texts have their score. `scored` NULL is allowed. */
forage_status bert_score_pairs(bert_model *m, slice query, const slice *texts, size_t n, int64_t deadline, float *scores,
                               size_t *scored, base_error *error);

#endif
