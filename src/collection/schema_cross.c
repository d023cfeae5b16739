/* The schema's cross-encoder: which model, over how many of the order, for how long, and what becomes of its scores. */
#include "collection/schema_read.h"

#define LEAST_TOKENS 8
#define MOST_TOKENS 8192
#define MOST_BUDGET_MS 60000

static const char *const precisions[] = {"int8", "fp32", NULL};

static forage_status read_members(schema *s, schema_cross *c, const json_value *json, base_error *error) {
    static const char *const members[] = {"model", "precision", "top", "budget_ms", "tokens", "from", "last", "weight", "on", NULL};
    int precision = 0;
    int64_t top = c->top, budget = c->budget_ms, tokens = c->tokens;
    forage_status status = json_only_members(json, members, error);
    if (!status) status = schema_read_text(s, json, "model", &c->model, error);
    if (!status) status = schema_read_name(json, "precision", precisions, &precision, error);
    if (!status) status = json_member_integer(json, "top", 1, SCHEMA_MOST_CROSS, &top, error);
    if (!status) status = json_member_integer(json, "budget_ms", 1, MOST_BUDGET_MS, &budget, error);
    if (!status) status = json_member_integer(json, "tokens", LEAST_TOKENS, MOST_TOKENS, &tokens, error);
    if (!status) status = schema_read_from(s, json_get(json, "from"), c->from, &c->n_from, error);
    if (!status) status = json_member_bool(json, "last", &c->last, error);
    if (!status) status = json_member_bool(json, "on", &c->on, error);
    if (!status) status = json_member_number(json, "weight", 0, 1, &c->weight, error);
    if (status) return status;
    if (!c->model || !*c->model)
        return error_set(error, FORAGE_E_SCHEMA, "it needs \"model\", a folder with config.json, model.safetensors and vocab.txt or "
                         "tokenizer.json");
    c->full_precision = precision == 1;
    c->top = (uint32_t)top;
    c->budget_ms = (uint32_t)budget;
    c->tokens = (uint32_t)tokens;
    return FORAGE_OK;
}

forage_status schema_read_cross(schema *s, const json_value *json, base_error *error) {
    schema_cross c = {.on = true, .last = true, .weight = 1, .top = 20, .budget_ms = 50, .tokens = 128};
    if (!json) return FORAGE_OK;
    if (json->type == JSON_NULL) {
        s->ranking.cross = (schema_cross){0};
        return FORAGE_OK;
    }
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_SCHEMA, "\"cross_encoder\": expected an object such as {\"model\": \"FOLDER\"}, got %s",
                         json_type_name(json->type));
    if (read_members(s, &c, json, error)) return error_prefix(error, "\"cross_encoder\"");
    s->ranking.cross = c;
    return FORAGE_OK;
}

void schema_copy_cross(schema_cross *c, arena *a) {
    c->model = schema_copy_text(a, c->model);
    for (uint32_t i = 0; i < c->n_from; i++) c->from[i] = schema_copy_text(a, c->from[i]);
}

void schema_write_cross(const schema_cross *c, json_writer *w) {
    if (!c->model) {
        json_null(w);
        return;
    }
    json_begin_object(w);
    json_key(w, "model");
    json_text(w, c->model);
    json_key(w, "precision");
    json_text(w, precisions[c->full_precision]);
    json_key(w, "top");
    json_integer(w, c->top);
    json_key(w, "budget_ms");
    json_integer(w, c->budget_ms);
    json_key(w, "tokens");
    json_integer(w, c->tokens);
    schema_write_from(c->from, c->n_from, w);
    json_key(w, "last");
    json_bool(w, c->last);
    json_key(w, "weight");
    json_float(w, c->weight);
    json_key(w, "on");
    json_bool(w, c->on);
    json_end_object(w);
}
