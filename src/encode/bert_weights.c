/* From named tensors to layers. The names are those of Hugging Face's BERT and DistilBERT; a prefix ("bert.") is found by
 * looking for the word embeddings. */
#include "encode/bert_model.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME = 192 };

typedef struct names {
    const char *positions, *types, *embedded_norm;
    const char *parts[3]; /* query, key, value of layer %u */
    const char *out, *out_norm, *widen, *narrow, *narrow_norm;
    const char *transform, *transform_norm, *decoder, *decoder_bias; /* without prefix */
    const char *pooler, *classifier;                                 /* the first with prefix in BERT */
} names;

static const names bert_names = {
    .positions = "embeddings.position_embeddings.weight", .types = "embeddings.token_type_embeddings.weight",
    .embedded_norm = "embeddings.LayerNorm",
    .parts = {"encoder.layer.%u.attention.self.query", "encoder.layer.%u.attention.self.key",
              "encoder.layer.%u.attention.self.value"},
    .out = "encoder.layer.%u.attention.output.dense", .out_norm = "encoder.layer.%u.attention.output.LayerNorm",
    .widen = "encoder.layer.%u.intermediate.dense", .narrow = "encoder.layer.%u.output.dense",
    .narrow_norm = "encoder.layer.%u.output.LayerNorm",
    .transform = "cls.predictions.transform.dense", .transform_norm = "cls.predictions.transform.LayerNorm",
    .decoder = "cls.predictions.decoder", .decoder_bias = "cls.predictions.bias",
    .pooler = "pooler.dense", .classifier = "classifier",
};

static const names distil_names = {
    .positions = "embeddings.position_embeddings.weight", .embedded_norm = "embeddings.LayerNorm",
    .parts = {"transformer.layer.%u.attention.q_lin", "transformer.layer.%u.attention.k_lin",
              "transformer.layer.%u.attention.v_lin"},
    .out = "transformer.layer.%u.attention.out_lin", .out_norm = "transformer.layer.%u.sa_layer_norm",
    .widen = "transformer.layer.%u.ffn.lin1", .narrow = "transformer.layer.%u.ffn.lin2",
    .narrow_norm = "transformer.layer.%u.output_layer_norm",
    .transform = "vocab_transform", .transform_norm = "vocab_layer_norm", .decoder = "vocab_projector",
    .decoder_bias = "vocab_projector.bias", .pooler = "pre_classifier", .classifier = "classifier",
};

static const char *const prefixes[] = {"", "bert.", "distilbert.", "model.", "0.auto_model."};

typedef struct reader {
    bert_model *m;
    const names *names;
    const char *prefix;
    bool onednn;
    base_error *error;
    float *weights, *bias; /* of the layer that is being read */
    size_t weights_capacity, bias_capacity;
} reader;

/* ---- Tensors ---- */

static void shape_text(const uint64_t *shape, uint32_t n, char out[NAME]) {
    size_t used = (size_t)snprintf(out, NAME, "[");
    for (uint32_t i = 0; i < n && used < NAME - 32; i++)
        used += (size_t)snprintf(out + used, NAME - used, "%s%llu", i ? ", " : "", (unsigned long long)shape[i]);
    snprintf(out + used, NAME - used, "]");
}

static forage_status find_tensor(reader *r, const char *name, uint64_t rows, uint64_t columns, tensor_view *out) {
    const uint64_t wanted[2] = {rows, columns};
    const uint32_t n = columns ? 2 : 1;
    char shape[NAME], found[NAME];
    shape_text(wanted, n, shape);
    if (!safetensors_find(r->m->file, slice_of(name), out))
        return error_set(r->error, FORAGE_E_CORRUPT, "tensor \"%s\": missing; expected one of shape %s", name, shape);
    if (out->n_dimensions == n && out->shape[0] == rows && (n == 1 || out->shape[1] == columns)) return FORAGE_OK;
    shape_text(out->shape, out->n_dimensions, found);
    return error_set(r->error, FORAGE_E_CORRUPT, "tensor \"%s\": expected shape %s, found %s", name, shape, found);
}

static forage_status read_floats(reader *r, const char *name, uint64_t rows, uint64_t columns, float *out) {
    tensor_view t;
    forage_status status = find_tensor(r, name, rows, columns, &t);
    if (status) return status;
    if ((status = tensor_to_floats(&t, out, r->error))) return error_prefix(r->error, "tensor \"%s\"", name);
    for (uint64_t i = 0; i < t.n; i++) {
        if (isfinite(out[i])) continue;
        return error_set(r->error, FORAGE_E_CORRUPT, "tensor \"%s\": value %llu is no finite number", name, (unsigned long long)i);
    }
    return FORAGE_OK;
}

/* Checks the tensor before it allocates: a shape that the configuration made up is not in the file. */
static forage_status new_floats(reader *r, const char *name, uint64_t rows, uint64_t columns, float **out) {
    tensor_view t;
    forage_status status = find_tensor(r, name, rows, columns, &t);
    if (status) return status;
    *out = mem_alloc(t.n * sizeof **out);
    return read_floats(r, name, rows, columns, *out);
}

/* prefix + stem (with the layer's number) + ending. */
static const char *name_of(char out[NAME], const char *prefix, const char *stem, uint32_t layer, const char *ending) {
    const char *number = strstr(stem, "%u");
    if (number) snprintf(out, NAME, "%s%.*s%u%s%s", prefix, (int)(number - stem), stem, layer, number + 2, ending);
    else snprintf(out, NAME, "%s%s%s", prefix, stem, ending);
    return out;
}

static bool has_tensor(reader *r, const char *name) {
    tensor_view t;
    return safetensors_find(r->m->file, slice_of(name), &t);
}

/* Checkpoints converted from TensorFlow say gamma and beta. */
static forage_status read_norm(reader *r, const char *prefix, const char *stem, uint32_t layer, bert_norm *out) {
    char name[NAME];
    const bool old = has_tensor(r, name_of(name, prefix, stem, layer, ".gamma"));
    name_of(name, prefix, stem, layer, old ? ".gamma" : ".weight");
    forage_status status = new_floats(r, name, r->m->config.dimensions, 0, &out->weight);
    if (status) return status;
    name_of(name, prefix, stem, layer, old ? ".beta" : ".bias");
    return new_floats(r, name, r->m->config.dimensions, 0, &out->bias);
}

/* `count` linear layers of the same inputs, their outputs one after the other. */
static forage_status read_linear(reader *r, const char *prefix, const char *const *stems, uint32_t count, uint32_t layer,
                                 uint32_t n, uint32_t k, bert_linear *out) {
    char name[NAME];
    tensor_view t;
    forage_status status;
    for (uint32_t i = 0; i < count; i++) {
        name_of(name, prefix, stems[i], layer, ".weight");
        if ((status = find_tensor(r, name, n, k, &t))) return status;
        r->weights = mem_grow(r->weights, &r->weights_capacity, (size_t)count * n * k, sizeof *r->weights);
        r->bias = mem_grow(r->bias, &r->bias_capacity, (size_t)count * n, sizeof *r->bias);
        if ((status = read_floats(r, name, n, k, r->weights + (size_t)i * n * k))) return status;
        name_of(name, prefix, stems[i], layer, ".bias");
        if ((status = read_floats(r, name, n, 0, r->bias + (size_t)i * n))) return status;
    }
    bert_linear_init(out, r->weights, r->bias, count * n, k, r->m->precision, r->onednn);
    return FORAGE_OK;
}

static forage_status read_layer(reader *r, uint32_t i, bert_layer *l) {
    const bert_config *c = &r->m->config;
    const names *n = r->names;
    forage_status status;
    if ((status = read_linear(r, r->prefix, n->parts, 3, i, c->dimensions, c->dimensions, &l->mix))) return status;
    if ((status = read_linear(r, r->prefix, &n->out, 1, i, c->dimensions, c->dimensions, &l->out))) return status;
    if ((status = read_norm(r, r->prefix, n->out_norm, i, &l->out_norm))) return status;
    if ((status = read_linear(r, r->prefix, &n->widen, 1, i, c->inner, c->dimensions, &l->widen))) return status;
    if ((status = read_linear(r, r->prefix, &n->narrow, 1, i, c->dimensions, c->inner, &l->narrow))) return status;
    return read_norm(r, r->prefix, n->narrow_norm, i, &l->narrow_norm);
}

/* ---- Embeddings ---- */

static forage_status find_prefix(reader *r) {
    char name[NAME];
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes; i++) {
        r->prefix = prefixes[i];
        if (has_tensor(r, name_of(name, r->prefix, "embeddings.word_embeddings", 0, ".weight"))) return FORAGE_OK;
    }
    return error_set(r->error, FORAGE_E_CORRUPT, "tensor \"embeddings.word_embeddings.weight\": missing, with and without \"bert.\"");
}

static forage_status read_embeddings(reader *r) {
    bert_model *m = r->m;
    const bert_config *c = &m->config;
    char name[NAME];
    float probe;
    forage_status status = find_prefix(r);
    if (status) return status;
    name_of(name, r->prefix, "embeddings.word_embeddings", 0, ".weight");
    if ((status = find_tensor(r, name, c->vocabulary, c->dimensions, &m->embeddings))) return status;
    tensor_view one = m->embeddings;
    one.n = 1;
    if ((status = tensor_to_floats(&one, &probe, r->error))) return error_prefix(r->error, "tensor \"%s\"", name);
    name_of(name, r->prefix, r->names->positions, 0, "");
    if ((status = new_floats(r, name, c->positions, c->dimensions, &m->positions))) return status;
    if (c->types) {
        name_of(name, r->prefix, r->names->types, 0, "");
        if ((status = new_floats(r, name, c->types, c->dimensions, &m->types))) return status;
    }
    return read_norm(r, r->prefix, r->names->embedded_norm, 0, &m->embedded_norm);
}

/* ---- Heads ---- */

/* The decoder's weights are the word embeddings where it has none of its own. */
static forage_status read_sparse_head(reader *r) {
    bert_model *m = r->m;
    const bert_config *c = &m->config;
    const names *n = r->names;
    const uint32_t d = c->dimensions, v = c->vocabulary;
    char name[NAME];
    tensor_view t;
    forage_status status;
    if ((status = read_linear(r, "", &n->transform, 1, 0, d, d, &m->transform))) return status;
    if ((status = read_norm(r, "", n->transform_norm, 0, &m->transform_norm))) return status;
    name_of(name, "", n->decoder, 0, ".weight");
    if (!has_tensor(r, name)) name_of(name, r->prefix, "embeddings.word_embeddings", 0, ".weight");
    if ((status = find_tensor(r, name, v, d, &t))) return status;
    r->weights = mem_grow(r->weights, &r->weights_capacity, (size_t)v * d, sizeof *r->weights);
    if ((status = read_floats(r, name, v, d, r->weights))) return status;
    name_of(name, "", n->decoder_bias, 0, "");
    if (!has_tensor(r, name)) name_of(name, "", n->decoder, 0, ".bias");
    if ((status = find_tensor(r, name, v, 0, &t))) return status;
    r->bias = mem_grow(r->bias, &r->bias_capacity, v, sizeof *r->bias);
    if ((status = read_floats(r, name, v, 0, r->bias))) return status;
    bert_linear_init(&m->decoder, r->weights, r->bias, v, d, m->precision, r->onednn);
    return FORAGE_OK;
}

static forage_status read_pairs_head(reader *r) {
    bert_model *m = r->m;
    const uint32_t d = m->config.dimensions;
    char name[NAME];
    tensor_view t;
    forage_status status;
    status = read_linear(r, m->config.distil ? "" : r->prefix, &r->names->pooler, 1, 0, d, d, &m->transform);
    if (status) return status;
    name_of(name, "", r->names->classifier, 0, ".weight");
    m->labels = safetensors_find(m->file, slice_of(name), &t) && t.n_dimensions == 2 && t.shape[0] == 2 ? 2 : 1;
    return read_linear(r, "", &r->names->classifier, 1, 0, m->labels, d, &m->decoder);
}

forage_status bert_weights_read(bert_model *m, bool onednn, base_error *error) {
    reader r = {.m = m, .names = m->config.distil ? &distil_names : &bert_names, .onednn = onednn, .error = error};
    forage_status status = read_embeddings(&r);
    m->layers = mem_zalloc(m->config.layers, sizeof *m->layers);
    for (uint32_t i = 0; i < m->config.layers && !status; i++) status = read_layer(&r, i, &m->layers[i]);
    if (!status && m->head == BERT_SPARSE) status = read_sparse_head(&r);
    if (!status && m->head == BERT_PAIRS) status = read_pairs_head(&r);
    free(r.weights);
    free(r.bias);
    return status;
}
