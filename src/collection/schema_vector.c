/* Fields of vectors and of weights: how they are compared and kept, and what encodes them. */
#include "collection/schema_read.h"

#include <stdio.h>
#include <string.h>

static const char *const metric_names[] = {"cosine", "dot", "l2", NULL};
static const char *const code_names[] = {"float32", "int8", "int4", "bit", NULL};
static const char *const encoder_names[] = {"none", "catalogue", "bert", "remote", NULL};

#define MAX_TEXT 1024
#define CATALOGUE_DIMENSIONS 128

const char *schema_encoder_name(schema_encoder kind) { return encoder_names[kind]; }

void schema_vector_default(schema_vector *v) {
    *v = (schema_vector){.metric = DENSE_COSINE, .code = DENSE_INT8, .timeout_ms = 2000, .max_weight = (float)SCHEMA_DEFAULT_MAX_WEIGHT};
}

char *schema_copy_text(arena *a, const char *text) { return text ? arena_strndup(a, text, strlen(text)) : NULL; }

void schema_copy_vector(const schema_field *from, schema_field *to, arena *a) {
    schema_vector *v = &to->vector;
    *v = from->vector;
    v->model = schema_copy_text(a, v->model);
    v->url = schema_copy_text(a, v->url);
    v->key_env = schema_copy_text(a, v->key_env);
    v->query_prefix = schema_copy_text(a, v->query_prefix);
    v->document_prefix = schema_copy_text(a, v->document_prefix);
    for (uint32_t i = 0; i < v->n_from; i++) v->from[i] = schema_copy_text(a, v->from[i]);
}

forage_status schema_read_name(const json_value *json, const char *key, const char *const *names, int *out, base_error *error) {
    slice value = {0};
    forage_status status = json_member_string(json, key, &value, error);
    if (status || !value.data) return status;
    for (int i = 0; names[i]; i++)
        if (slice_is(value, names[i])) {
            *out = i;
            return FORAGE_OK;
        }
    return error_set(error, FORAGE_E_SCHEMA, "\"%s\": there is no \"%.*s\"", key, SLICE_ARG(value));
}

forage_status schema_read_text(schema *s, const json_value *json, const char *key, char **out, base_error *error) {
    slice value = {0};
    forage_status status = json_member_string(json, key, &value, error);
    if (status || !value.data) return status;
    if (value.size > MAX_TEXT || memchr(value.data, 0, value.size))
        return error_set(error, FORAGE_E_SCHEMA, "\"%s\": at most %d bytes, none of them zero", key, MAX_TEXT);
    *out = arena_strndup(&s->memory, value.data, value.size);
    return FORAGE_OK;
}

static forage_status read_encoder_members(schema *s, schema_vector *v, const json_value *json, base_error *error) {
    static const char *const members[] = {"kind", "model", "url", "key_env", "query_prefix", "document_prefix", "precision",
                                          "timeout_ms", "queries", NULL};
    static const char *const precisions[] = {"int8", "fp32", NULL}, *const queries[] = {"model", "tokens", NULL};
    int kind = (int)v->encoder, precision = v->full_precision, query = v->token_queries;
    int64_t timeout = v->timeout_ms;
    forage_status status = json_only_members(json, members, error);
    if (!status) status = schema_read_name(json, "kind", encoder_names, &kind, error);
    if (!status) status = schema_read_text(s, json, "model", &v->model, error);
    if (!status) status = schema_read_text(s, json, "url", &v->url, error);
    if (!status) status = schema_read_text(s, json, "key_env", &v->key_env, error);
    if (!status) status = schema_read_text(s, json, "query_prefix", &v->query_prefix, error);
    if (!status) status = schema_read_text(s, json, "document_prefix", &v->document_prefix, error);
    if (!status) status = schema_read_name(json, "precision", precisions, &precision, error);
    if (!status) status = schema_read_name(json, "queries", queries, &query, error);
    if (!status) status = json_member_integer(json, "timeout_ms", 1, 600000, &timeout, error);
    v->encoder = (schema_encoder)kind;
    v->full_precision = precision == 1;
    v->token_queries = query == 1;
    v->timeout_ms = (uint32_t)timeout;
    return status;
}

/* "catalogue", or an object with its kind and what it needs. */
static forage_status read_encoder(schema *s, schema_vector *v, const json_value *json, base_error *error) {
    if (!json || json->type == JSON_NULL) return FORAGE_OK;
    if (json->type != JSON_OBJECT && json->type != JSON_STRING)
        return error_set(error, FORAGE_E_SCHEMA, "\"encoder\": expected \"catalogue\" or an object such as {\"kind\": \"bert\", "
                         "\"model\": \"FOLDER\"}, got %s", json_type_name(json->type));
    if (json->type == JSON_STRING && !slice_is(json->text, "catalogue"))
        return error_set(error, FORAGE_E_SCHEMA, "\"encoder\": there is no \"%.*s\"; use \"catalogue\", or an object with \"kind\": "
                         "\"bert\" or \"remote\"", SLICE_ARG(json->text));
    if (json->type == JSON_STRING) v->encoder = SCHEMA_ENCODER_CATALOGUE;
    else if (read_encoder_members(s, v, json, error)) return error_prefix(error, "\"encoder\"");
    if (v->encoder == SCHEMA_ENCODER_BERT && !v->model)
        return error_set(error, FORAGE_E_SCHEMA, "\"encoder\": \"bert\" needs \"model\", a folder with config.json, "
                         "model.safetensors and vocab.txt or tokenizer.json");
    if (v->encoder == SCHEMA_ENCODER_REMOTE && (!v->url || !v->model))
        return error_set(error, FORAGE_E_SCHEMA, "\"encoder\": \"remote\" needs \"url\" (of an OpenAI-compatible /v1/embeddings) and "
                         "\"model\"");
    return FORAGE_OK;
}

forage_status schema_read_from(schema *s, const json_value *json, char *from[SCHEMA_MAX_FROM], uint32_t *n, base_error *error) {
    if (!json || json->type == JSON_NULL) return FORAGE_OK;
    if (json->type != JSON_ARRAY || json->count > SCHEMA_MAX_FROM)
        return error_set(error, FORAGE_E_SCHEMA, "\"from\": expected an array of at most %d fields' names", SCHEMA_MAX_FROM);
    *n = 0;
    for (const json_value *name = json->first; name; name = name->next) {
        if (name->type != JSON_STRING || !name->text.size || name->text.size > MAX_TEXT)
            return error_set(error, FORAGE_E_SCHEMA, "\"from\": expected names, got %s", json_type_name(name->type));
        from[(*n)++] = arena_strndup(&s->memory, name->text.data, name->text.size);
    }
    return FORAGE_OK;
}

forage_status schema_read_vector(schema *s, schema_field *field, const json_value *json, base_error *error) {
    schema_vector *v = &field->vector;
    int metric = (int)v->metric, code = (int)v->code;
    forage_status status = schema_read_name(json, "metric", metric_names, &metric, error);
    if (!status) status = schema_read_name(json, "code", code_names, &code, error);
    if (!status) status = read_encoder(s, v, json_get(json, "encoder"), error);
    if (!status) status = schema_read_from(s, json_get(json, "from"), v->from, &v->n_from, error);
    if (status) return status;
    v->metric = (dense_metric)metric;
    v->code = (dense_code)code;
    if (field->dimensions == 0 && v->encoder == SCHEMA_ENCODER_CATALOGUE) field->dimensions = CATALOGUE_DIMENSIONS;
    if (field->dimensions == 0)
        return error_set(error, FORAGE_E_SCHEMA, "a vector needs \"dimensions\" (1 to %d)", DENSE_MOST_DIMENSIONS);
    return FORAGE_OK;
}

forage_status schema_read_weights(schema *s, schema_field *field, const json_value *json, base_error *error) {
    schema_vector *v = &field->vector;
    double most = (double)v->max_weight;
    forage_status status = json_member_number(json, "max_weight", 1e-6, 1e6, &most, error);
    if (!status) status = read_encoder(s, v, json_get(json, "encoder"), error);
    if (!status) status = schema_read_from(s, json_get(json, "from"), v->from, &v->n_from, error);
    if (status) return status;
    if (v->encoder != SCHEMA_ENCODER_NONE && v->encoder != SCHEMA_ENCODER_BERT)
        return error_set(error, FORAGE_E_SCHEMA, "\"encoder\": weights are made by \"bert\" (a SPLADE model) or brought by documents, "
                         "not by \"%s\"", encoder_names[v->encoder]);
    v->max_weight = (float)most;
    return FORAGE_OK;
}

static void write_text(json_writer *w, const char *key, const char *text) {
    if (!text) return;
    json_key(w, key);
    json_text(w, text);
}

void schema_write_from(char *const *from, uint32_t n, json_writer *w) {
    if (!n) return;
    json_key(w, "from");
    json_begin_array(w);
    for (uint32_t i = 0; i < n; i++) json_text(w, from[i]);
    json_end_array(w);
}

static void write_encoder(const schema_vector *v, json_writer *w) {
    json_key(w, "encoder");
    json_begin_object(w);
    write_text(w, "kind", encoder_names[v->encoder]);
    write_text(w, "model", v->model);
    write_text(w, "url", v->url);
    write_text(w, "key_env", v->key_env);
    write_text(w, "query_prefix", v->query_prefix);
    write_text(w, "document_prefix", v->document_prefix);
    if (v->encoder == SCHEMA_ENCODER_BERT) write_text(w, "precision", v->full_precision ? "fp32" : "int8");
    if (v->token_queries) write_text(w, "queries", "tokens");
    if (v->encoder == SCHEMA_ENCODER_REMOTE) {
        json_key(w, "timeout_ms");
        json_integer(w, v->timeout_ms);
    }
    json_end_object(w);
}

void schema_write_vector(const schema_field *f, json_writer *w) {
    const schema_vector *v = &f->vector;
    json_key(w, "dimensions");
    json_integer(w, f->dimensions);
    write_text(w, "metric", metric_names[v->metric]);
    write_text(w, "code", code_names[v->code]);
    schema_write_from(v->from, v->n_from, w);
    if (v->encoder == SCHEMA_ENCODER_NONE) return;
    write_encoder(v, w);
}

void schema_write_weights(const schema_field *f, json_writer *w) {
    json_key(w, "max_weight");
    json_float(w, (double)f->vector.max_weight);
    schema_write_from(f->vector.from, f->vector.n_from, w);
    if (f->vector.encoder != SCHEMA_ENCODER_NONE) write_encoder(&f->vector, w);
}
