#include "encode/bert_config.h"

#include "format/json.h"
#include "os/file.h"

#include <string.h>

enum {
    MOST_BYTES = 1 << 20, /* of a configuration */
    MOST_DIMENSIONS = 8192,
    MOST_LAYERS = 128,
    MOST_INNER = 65536,
    MOST_POSITIONS = 65536,
    MOST_VOCABULARY = 4 << 20,
    MOST_TYPES = 64,
    LEAST_TOKENS = 3, /* [CLS], a word, [SEP] */
};

/* *out stays NULL when the file may be absent and is. */
static forage_status read_json(const char *folder, const char *name, bool needed, arena *a, const json_value **out,
                               base_error *error) {
    buffer text = {0};
    json_value *value;
    const char *path = path_join(a, folder, name);
    forage_status status = FORAGE_OK;
    if (!needed && !os_exists(path)) goto done;
    if ((status = os_read_file(path, MOST_BYTES, &text, error))) goto done;
    if ((status = json_read(a, (slice){text.data, text.size}, &value, error))) {
        status = error_prefix(error, "%s", path);
        goto done;
    }
    if (value->type != JSON_OBJECT) {
        status = error_set(error, FORAGE_E_INVALID, "%s: expected an object, got %s", path, json_type_name(value->type));
        goto done;
    }
    *out = value;
done:
    buffer_release(&text);
    return status;
}

/* The first of two names that is there; `standard` < 0: one of them must be. */
static forage_status number_of(const json_value *json, const char *name, const char *other, int64_t low, int64_t high,
                               int64_t standard, uint32_t *out, base_error *error) {
    const char *key = json_get(json, name) || !other ? name : other;
    int64_t value = standard;
    forage_status status = json_member_integer(json, key, low, high, &value, error);
    if (status) return status;
    if (value < 0) return error_set(error, FORAGE_E_INVALID, "\"%s\": missing", name);
    *out = (uint32_t)value;
    return FORAGE_OK;
}

static forage_status read_activation(const json_value *json, bert_activation *out, base_error *error) {
    static const struct { const char *name; bert_activation value; } known[] = {
        {"gelu", BERT_GELU}, {"gelu_new", BERT_GELU_TANH}, {"gelu_pytorch_tanh", BERT_GELU_TANH}, {"relu", BERT_RELU}};
    slice name = SLICE("gelu");
    forage_status status = json_member_string(json, json_get(json, "hidden_act") ? "hidden_act" : "activation", &name, error);
    if (status) return status;
    for (size_t i = 0; i < sizeof known / sizeof *known; i++) {
        if (slice_is(name, known[i].name)) {
            *out = known[i].value;
            return FORAGE_OK;
        }
    }
    return error_set(error, FORAGE_E_INVALID, "\"hidden_act\": expected gelu, gelu_new or relu, got \"%.*s\"", SLICE_ARG(name));
}

static forage_status read_kind(const json_value *json, bool *distil, base_error *error) {
    slice kind = SLICE("bert"), positions = SLICE("absolute");
    forage_status status;
    if ((status = json_member_string(json, "model_type", &kind, error))) return status;
    if ((status = json_member_string(json, "position_embedding_type", &positions, error))) return status;
    if (!slice_is(kind, "bert") && !slice_is(kind, "distilbert"))
        return error_set(error, FORAGE_E_INVALID, "\"model_type\": expected bert or distilbert, got \"%.*s\"", SLICE_ARG(kind));
    if (!slice_is(positions, "absolute"))
        return error_set(error, FORAGE_E_INVALID, "\"position_embedding_type\": expected absolute, got \"%.*s\"",
                         SLICE_ARG(positions));
    *distil = slice_is(kind, "distilbert");
    return FORAGE_OK;
}

static forage_status read_sizes(const json_value *json, bert_config *c, base_error *error) {
    double epsilon = 1e-12;
    forage_status status;
    if ((status = read_kind(json, &c->distil, error))) return status;
    if ((status = number_of(json, "hidden_size", "dim", 1, MOST_DIMENSIONS, -1, &c->dimensions, error))) return status;
    if ((status = number_of(json, "num_hidden_layers", "n_layers", 1, MOST_LAYERS, -1, &c->layers, error))) return status;
    if ((status = number_of(json, "num_attention_heads", "n_heads", 1, MOST_DIMENSIONS, -1, &c->heads, error))) return status;
    if ((status = number_of(json, "intermediate_size", "hidden_dim", 1, MOST_INNER, -1, &c->inner, error))) return status;
    if ((status = number_of(json, "max_position_embeddings", NULL, LEAST_TOKENS, MOST_POSITIONS, -1, &c->positions, error)))
        return status;
    if ((status = number_of(json, "vocab_size", NULL, 1, MOST_VOCABULARY, -1, &c->vocabulary, error))) return status;
    if ((status = number_of(json, "type_vocab_size", NULL, 1, MOST_TYPES, 2, &c->types, error))) return status;
    if (c->distil) c->types = 0;
    if ((status = json_member_number(json, "layer_norm_eps", 0, 1, &epsilon, error))) return status;
    c->epsilon = (float)epsilon;
    if (c->dimensions % c->heads)
        return error_set(error, FORAGE_E_INVALID, "\"num_attention_heads\": %u heads do not divide a hidden size of %u", c->heads,
                         c->dimensions);
    return read_activation(json, &c->activation, error);
}

static forage_status read_pooling(const char *folder, arena *a, bert_config *c, base_error *error) {
    const json_value *json = NULL;
    bool cls = false, mean = false;
    forage_status status = read_json(folder, "1_Pooling/config.json", false, a, &json, error);
    c->pooling = BERT_POOL_MEAN;
    if (status || !json) return status;
    if ((status = json_member_bool(json, "pooling_mode_cls_token", &cls, error)) ||
        (status = json_member_bool(json, "pooling_mode_mean_tokens", &mean, error)))
        return error_prefix(error, "1_Pooling/config.json");
    if (cls == mean)
        return error_set(error, FORAGE_E_INVALID, "1_Pooling/config.json: expected either the mean of the tokens or the CLS token");
    c->pooling = cls ? BERT_POOL_CLS : BERT_POOL_MEAN;
    return FORAGE_OK;
}

static forage_status read_limits(const char *folder, arena *a, bert_config *c, base_error *error) {
    const json_value *json = NULL;
    int64_t most = c->positions;
    forage_status status = read_json(folder, "sentence_bert_config.json", false, a, &json, error);
    if (status) return status;
    if (json && (status = json_member_integer(json, "max_seq_length", LEAST_TOKENS, INT32_MAX, &most, error)))
        return error_prefix(error, "sentence_bert_config.json");
    c->most_tokens = most < c->positions ? (uint32_t)most : c->positions;
    return FORAGE_OK;
}

static forage_status read_prompts(const char *folder, arena *a, bert_config *c, base_error *error) {
    static const char *const documents[] = {"document", "passage", "corpus"};
    const json_value *json = NULL, *prompts;
    forage_status status = read_json(folder, "config_sentence_transformers.json", false, a, &json, error);
    if (status || !json || !(prompts = json_get(json, "prompts")) || prompts->type != JSON_OBJECT) return status;
    status = json_member_string(prompts, "query", &c->query_prefix, error);
    for (size_t i = 0; i < sizeof documents / sizeof *documents && !status && !c->document_prefix.size; i++)
        status = json_member_string(prompts, documents[i], &c->document_prefix, error);
    return status ? error_prefix(error, "config_sentence_transformers.json") : FORAGE_OK;
}

forage_status bert_config_read(const char *folder, const bert_options *options, arena *a, bert_config *out, base_error *error) {
    bert_config c = {0};
    const json_value *json = NULL;
    forage_status status = read_json(folder, "config.json", true, a, &json, error);
    if (status) return status;
    if ((status = read_sizes(json, &c, error))) return error_prefix(error, "%s/config.json", folder);
    if (options->pooling == BERT_POOL_AS_FOLDER) {
        if ((status = read_pooling(folder, a, &c, error))) return error_prefix(error, "%s", folder);
    } else {
        c.pooling = options->pooling;
    }
    if ((status = read_limits(folder, a, &c, error))) return error_prefix(error, "%s", folder);
    if ((status = read_prompts(folder, a, &c, error))) return error_prefix(error, "%s", folder);
    if (options->most_tokens >= LEAST_TOKENS)
        c.most_tokens = options->most_tokens < c.positions ? options->most_tokens : c.positions;
    if (options->query_prefix.data) c.query_prefix = arena_slice(a, options->query_prefix);
    if (options->document_prefix.data) c.document_prefix = arena_slice(a, options->document_prefix);
    *out = c;
    return FORAGE_OK;
}
