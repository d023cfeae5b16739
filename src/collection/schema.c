#include "collection/schema_read.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *const kind_names[] = {"text", "keyword", "number", "date", "vector", "reference", "weights"};

const char *schema_kind_name(schema_kind kind) { return kind_names[kind]; }

schema *schema_create(void) {
    schema *s = mem_zalloc(1, sizeof *s);
    arena_init(&s->memory, 4096);
    s->id = arena_strndup(&s->memory, "id", 2);
    s->type = arena_strndup(&s->memory, "type", 4);
    s->popularity = arena_strndup(&s->memory, "popularity", 10);
    s->type_field = s->popularity_field = -1;
    s->language = TEXT_EN;
    s->inferred = true;
    s->n_rewards = (uint32_t)feedback_default_rewards_count;
    memcpy(s->rewards, feedback_default_rewards, feedback_default_rewards_count * sizeof s->rewards[0]);
    strcpy(s->policy, "regcb");
    strcpy(s->ranker, "auto");
    schema_ranking_default(&s->ranking);
    s->budget_candidates = SCHEMA_DEFAULT_CANDIDATES;
    s->half_life_days = SCHEMA_DEFAULT_HALF_LIFE;
    s->n_segments = 2;
    s->segments[0] = arena_strndup(&s->memory, "language", 8);
    s->segments[1] = arena_strndup(&s->memory, "country", 7);
    return s;
}

schema *schema_copy(const schema *s) {
    schema *copy = mem_alloc(sizeof *copy);
    *copy = *s;
    arena_init(&copy->memory, 4096);
    copy->id = arena_strndup(&copy->memory, s->id, strlen(s->id));
    copy->type = arena_strndup(&copy->memory, s->type, strlen(s->type));
    copy->popularity = arena_strndup(&copy->memory, s->popularity, strlen(s->popularity));
    for (uint32_t i = 0; i < s->n_fields; i++) {
        copy->fields[i].name = arena_strndup(&copy->memory, s->fields[i].name, strlen(s->fields[i].name));
        schema_copy_vector(&s->fields[i], &copy->fields[i], &copy->memory);
    }
    for (uint32_t i = 0; i < s->n_segments; i++)
        copy->segments[i] = arena_strndup(&copy->memory, s->segments[i], strlen(s->segments[i]));
    schema_copy_ranking(s, copy);
    return copy;
}

void schema_destroy(schema *s) {
    if (!s) return;
    arena_release(&s->memory);
    free(s);
}

const schema_field *schema_find(const schema *s, slice name) {
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (slice_is(name, s->fields[i].name)) return &s->fields[i];
    return NULL;
}

/* Numbers of the index are given in order of declaration; roles follow from the names. */
static void assign_numbers(schema *s) {
    int32_t next = 0;
    s->type_field = s->popularity_field = -1;
    for (uint32_t i = 0; i < s->n_fields; i++) {
        schema_field *f = &s->fields[i];
        f->sparse = f->kind == SCHEMA_VECTOR || f->kind == SCHEMA_WEIGHTS ? -1 : next++;
        if (f->kind == SCHEMA_KEYWORD && strcmp(f->name, s->type) == 0) s->type_field = (int32_t)i;
        if (f->kind == SCHEMA_NUMBER && strcmp(f->name, s->popularity) == 0) s->popularity_field = (int32_t)i;
    }
}

#define MAX_NAME 128

static bool good_name(slice name, size_t most) {
    if (name.size < 1 || name.size > most) return false;
    for (size_t i = 0; i < name.size; i++)
        if ((unsigned char)name.data[i] < 0x20) return false;
    return true;
}

/* A field as it is until something is said about it. */
static schema_field fresh_field(const schema *s, char *name, schema_kind kind) {
    bool title = kind == SCHEMA_TEXT && (strcmp(name, "title") == 0 || strcmp(name, "name") == 0);
    schema_field f = {.name = name, .kind = kind, .weight = title ? 3 : 1, .language = s->language, .detect = s->detect};
    schema_vector_default(&f.vector);
    return f;
}

bool schema_add_field(schema *s, slice name, schema_kind kind, uint32_t dimensions) {
    if (s->n_fields == SPARSE_MAX_FIELDS || !good_name(name, MAX_NAME)) return false;
    schema_field *f = &s->fields[s->n_fields++];
    *f = fresh_field(s, arena_strndup(&s->memory, name.data, name.size), kind);
    f->dimensions = dimensions;
    assign_numbers(s);
    return true;
}

void schema_sparse_config(const schema *s, sparse_config *out) {
    *out = (sparse_config){.k1 = 0.9f, .b = 0.4f, .popularity = -1, .type = -1};
    for (uint32_t i = 0; i < s->n_fields; i++) {
        const schema_field *f = &s->fields[i];
        if (f->sparse < 0) continue;
        sparse_kind kind = f->kind == SCHEMA_TEXT                                     ? SPARSE_TEXT
                           : f->kind == SCHEMA_KEYWORD || f->kind == SCHEMA_REFERENCE ? SPARSE_KEYWORD
                                                                                      : SPARSE_NUMBER;
        out->fields[out->n_fields++] = (sparse_field){f->name, kind, f->weight};
    }
    if (s->type_field >= 0) out->type = s->fields[s->type_field].sparse;
    if (s->popularity_field >= 0) out->popularity = s->fields[s->popularity_field].sparse;
}

bool schema_reward(const schema *s, slice action, float *reward) {
    for (uint32_t i = 0; i < s->n_rewards; i++) {
        if (!slice_is(action, s->rewards[i].action)) continue;
        *reward = s->rewards[i].reward;
        return true;
    }
    return false;
}

/* ---- Reading a declaration ---- */

#define MAX_ACTION (sizeof ((feedback_reward *)NULL)->action - 1)

static forage_status bad_name(slice name, const char *what, size_t most, base_error *error) {
    return error_set(error, FORAGE_E_SCHEMA, "schema, %s \"%.*s\": a name has 1 to %zu bytes and no control characters", what,
                     SLICE_ARG(name), most);
}

static forage_status read_language(const json_value *json, const char *where, text_language *language, bool *detect,
                                   base_error *error) {
    slice code = {0};
    if (json_member_string(json, "language", &code, error)) return error_prefix(error, "schema, %s", where);
    if (!code.data) return FORAGE_OK;
    *detect = slice_is(code, "detect");
    if (*detect) return FORAGE_OK;
    if (code.size == 0 || slice_is(code, "any")) {
        *language = TEXT_ANY;
        return FORAGE_OK;
    }
    if (text_language_from_code(code, language))
        return error_set(error, FORAGE_E_SCHEMA, "schema, %s: unknown language \"%.*s\"; use a code such as \"en\", \"any\" or "
                         "\"detect\"", where, SLICE_ARG(code));
    return FORAGE_OK;
}

static forage_status read_kind(const json_value *json, const char *name, schema_kind *out, base_error *error) {
    slice kind = {0};
    forage_status status = json_member_string(json, "type", &kind, error);
    if (status) return error_prefix(error, "schema, field \"%s\"", name);
    for (int i = 0; i < (int)(sizeof kind_names / sizeof kind_names[0]); i++)
        if (slice_is(kind, kind_names[i])) {
            *out = (schema_kind)i;
            return FORAGE_OK;
        }
    return error_set(error, FORAGE_E_SCHEMA, "schema, field \"%s\": expected \"type\" to be text, keyword, number, date, vector, "
                     "reference or weights, got \"%.*s\"", name, SLICE_ARG(kind));
}

static schema_field *find_mutable(schema *s, slice name) {
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (slice_is(name, s->fields[i].name)) return &s->fields[i];
    return NULL;
}

static forage_status read_field(schema *s, const json_value *json, bool empty, base_error *error) {
    static const char *const members[] = {"type", "weight", "language", "dimensions", "metric", "code", "encoder", "from",
                                          "max_weight", NULL};
    if (!good_name(json->key, MAX_NAME)) return bad_name(json->key, "field", MAX_NAME, error);
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_SCHEMA, "schema, field \"%.*s\": expected an object such as {\"type\": \"text\"}, got %s",
                         SLICE_ARG(json->key), json_type_name(json->type));
    schema_kind kind = SCHEMA_TEXT;
    char *name = arena_strndup(&s->memory, json->key.data, json->key.size);
    if (json_only_members(json, members, error)) return error_prefix(error, "schema, field \"%s\"", name);
    forage_status status = read_kind(json, name, &kind, error);
    if (status) return status;
    schema_field *field = find_mutable(s, json->key);
    if (!field) {
        if (!schema_add_field(s, json->key, kind, 0))
            return error_set(error, FORAGE_E_SCHEMA, "schema: more than %d fields", SPARSE_MAX_FIELDS);
        field = &s->fields[s->n_fields - 1];
    } else if (field->kind != kind && !empty) {
        return error_set(error, FORAGE_E_SCHEMA, "schema, field \"%s\": it is a %s field already and the collection has documents; "
                         "make a new collection to change that", name, kind_names[field->kind]);
    }
    if (field->kind != kind) *field = fresh_field(s, field->name, kind);
    double weight = (double)field->weight;
    int64_t dimensions = field->dimensions;
    char where[192];
    snprintf(where, sizeof where, "field \"%s\"", name);
    if (json_member_number(json, "weight", 0, 1000, &weight, error) ||
        json_member_integer(json, "dimensions", 1, 4096, &dimensions, error))
        return error_prefix(error, "schema, %s", where);
    if (kind == SCHEMA_VECTOR && !empty && field->dimensions && dimensions != field->dimensions)
        return error_set(error, FORAGE_E_SCHEMA, "schema, %s: it has %u dimensions already and the collection has documents; make a "
                         "new collection to change that", where, field->dimensions);
    field->weight = (float)weight;
    field->dimensions = (uint32_t)dimensions;
    if (kind == SCHEMA_VECTOR && schema_read_vector(s, field, json, error)) return error_prefix(error, "schema, %s", where);
    if (kind == SCHEMA_WEIGHTS && schema_read_weights(s, field, json, error)) return error_prefix(error, "schema, %s", where);
    return read_language(json, where, &field->language, &field->detect, error);
}

static forage_status read_rewards(schema *s, const json_value *json, base_error *error) {
    if (!json) return FORAGE_OK;
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_SCHEMA, "schema, \"rewards\": expected an object such as {\"click\": 0.5}");
    for (const json_value *entry = json->first; entry; entry = entry->next) {
        if (!good_name(entry->key, MAX_ACTION)) return bad_name(entry->key, "reward", MAX_ACTION, error);
        if (entry->type != JSON_NUMBER || !(entry->number > 0 && entry->number <= 1))
            return error_set(error, FORAGE_E_SCHEMA, "schema, reward \"%.*s\": expected a number above 0 and up to 1",
                             SLICE_ARG(entry->key));
        uint32_t i = 0;
        while (i < s->n_rewards && !slice_is(entry->key, s->rewards[i].action)) i++;
        if (i == FEEDBACK_MAX_REWARDS)
            return error_set(error, FORAGE_E_SCHEMA, "schema, \"rewards\": more than %d actions", FEEDBACK_MAX_REWARDS);
        s->n_rewards = i == s->n_rewards ? i + 1 : s->n_rewards;
        memcpy(s->rewards[i].action, entry->key.data, entry->key.size);
        s->rewards[i].action[entry->key.size] = '\0';
        s->rewards[i].reward = (float)entry->number;
    }
    return FORAGE_OK;
}

static forage_status read_role(schema *s, const json_value *json, const char *key, char **role, base_error *error) {
    slice name = {0};
    if (json_member_string(json, key, &name, error)) return error_prefix(error, "schema");
    if (!name.data) return FORAGE_OK;
    if (!good_name(name, MAX_NAME)) return bad_name(name, key, MAX_NAME, error);
    *role = arena_strndup(&s->memory, name.data, name.size);
    return FORAGE_OK;
}

static forage_status read_choice(const json_value *json, const char *key, const char *const *choices, char *out,
                                 size_t size, base_error *error) {
    slice value = {0};
    if (json_member_string(json, key, &value, error)) return error_prefix(error, "schema");
    if (!value.data) return FORAGE_OK;
    for (; *choices; choices++) {
        if (!slice_is(value, *choices)) continue;
        snprintf(out, size, "%s", *choices);
        return FORAGE_OK;
    }
    return error_set(error, FORAGE_E_SCHEMA, "schema, \"%s\": there is no \"%.*s\"", key, SLICE_ARG(value));
}

/* The members that say what type and how popular a document is are fields even when nobody declares them. */
static forage_status imply(schema *s, const char *name, schema_kind kind, bool wanted, base_error *error) {
    const schema_field *field = schema_find(s, slice_of(name));
    if (field && field->kind != kind && wanted)
        return error_set(error, FORAGE_E_SCHEMA, "schema: \"%s\" must be a %s field, it is declared as %s", name,
                         kind_names[kind], kind_names[field->kind]);
    if (!field && wanted && !schema_add_field(s, slice_of(name), kind, 0))
        return error_set(error, FORAGE_E_SCHEMA, "schema: more than %d fields, with \"%s\"", SPARSE_MAX_FIELDS, name);
    return FORAGE_OK;
}

static forage_status read_fields(schema *s, const json_value *json, bool empty, base_error *error) {
    const json_value *fields = json_get(json, "fields");
    if (!fields) return FORAGE_OK;
    if (fields->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_SCHEMA, "schema, \"fields\": expected an object, got %s", json_type_name(fields->type));
    if (fields->count) s->inferred = false;
    for (const json_value *field = fields->first; field; field = field->next) {
        forage_status status = read_field(s, field, empty, error);
        if (status) return status;
    }
    return FORAGE_OK;
}

#define MAX_CANDIDATES 10000.0
#define MAX_MILLISECONDS 60000.0

/* {"candidates": n} or {"p95_ms": n}; null: as much as it takes. */
static forage_status read_budget(schema *s, const json_value *json, base_error *error) {
    static const char *const members[] = {"candidates", "p95_ms", NULL};
    if (!json) return FORAGE_OK;
    if (json->type == JSON_NULL) {
        s->budget_candidates = s->budget_p95_ms = 0;
        return FORAGE_OK;
    }
    const json_value *candidates = json->type == JSON_OBJECT ? json_get(json, "candidates") : NULL;
    const json_value *p95 = json->type == JSON_OBJECT ? json_get(json, "p95_ms") : NULL;
    if (!candidates == !p95)
        return error_set(error, FORAGE_E_SCHEMA, "schema, \"budget\": expected {\"candidates\": n}, {\"p95_ms\": n} or null");
    forage_status status = json_only_members(json, members, error);
    if (status) return error_prefix(error, "schema, \"budget\"");
    const json_value *value = candidates ? candidates : p95;
    double most = candidates ? MAX_CANDIDATES : MAX_MILLISECONDS, least = candidates ? 1 : 0.1;
    if (value->type != JSON_NUMBER || !(value->number >= least && value->number <= most))
        return error_set(error, FORAGE_E_SCHEMA, "schema, \"budget\", \"%s\": expected a number from %g to %g",
                         candidates ? "candidates" : "p95_ms", least, most);
    s->budget_candidates = candidates ? value->number : 0;
    s->budget_p95_ms = candidates ? 0 : value->number;
    return FORAGE_OK;
}

static forage_status read_segments(schema *s, const json_value *json, base_error *error) {
    if (!json) return FORAGE_OK;
    if (json->type != JSON_ARRAY || json->count > SCHEMA_MAX_SEGMENTS)
        return error_set(error, FORAGE_E_SCHEMA, "schema, \"segments\": expected an array of at most %d members of the context",
                         SCHEMA_MAX_SEGMENTS);
    s->n_segments = 0;
    for (const json_value *name = json->first; name; name = name->next) {
        if (name->type != JSON_STRING || !name->text.size || name->text.size > 64 ||
            memchr(name->text.data, 0, name->text.size))
            return error_set(error, FORAGE_E_SCHEMA, "schema, \"segments\": expected names of 1 to 64 bytes");
        for (uint32_t i = 0; i < s->n_segments; i++)
            if (slice_is(name->text, s->segments[i]))
                return error_set(error, FORAGE_E_SCHEMA, "schema, \"segments\": \"%s\" is there twice", s->segments[i]);
        s->segments[s->n_segments++] = arena_strndup(&s->memory, name->text.data, name->text.size);
    }
    return FORAGE_OK;
}

#define MODEL "model:"

bool schema_ranker_known(slice name) {
    if (slice_is(name, "auto") || slice_is(name, "linear") || slice_is(name, "rrf") || slice_is(name, "model")) return true;
    size_t prefix = sizeof MODEL - 1;
    if (!slice_starts(name, MODEL) || name.size == prefix || name.size > prefix + 18 || name.data[prefix] == '0') return false;
    for (size_t i = prefix; i < name.size; i++)
        if (name.data[i] < '0' || name.data[i] > '9') return false;
    return true;
}

static forage_status read_ranker(schema *s, const json_value *json, base_error *error) {
    slice name = slice_of(s->ranker);
    forage_status status = json_member_string(json, "ranker", &name, error);
    if (status) return error_prefix(error, "schema");
    if (!schema_ranker_known(name))
        return error_set(error, FORAGE_E_SCHEMA, "schema, \"ranker\": expected auto, linear, rrf, model or model:NUMBER, got \"%.*s\"",
                         SLICE_ARG(name));
    char *copy = arena_strndup(&s->memory, name.data, name.size);
    strcpy(s->ranker, copy);
    return FORAGE_OK;
}

static forage_status declare(schema *s, const json_value *json, bool empty, base_error *error) {
    static const char *const members[] = {"name", "fields", "id", "type", "popularity", "language", "rewards", "policy",
                                          "ranker", "inferred", "budget", "beyond_words",
                                          "only_new", "half_life_days", "segments", "ranking", NULL};
    static const char *const policies[] = {"regcb", "squarecb", "lin-ts", "linucb", "epsilon-greedy", "rrf-equal", "fixed", "all",
                                           NULL};
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_SCHEMA, "schema: expected an object, got %s", json_type_name(json->type));
    forage_status status = json_only_members(json, members, error);
    if (status) return error_prefix(error, "schema");
    status = read_language(json, "collection", &s->language, &s->detect, error);
    if (s->detect) s->language = TEXT_EN;
    if (!status) status = read_role(s, json, "id", &s->id, error);
    if (!status) status = read_role(s, json, "type", &s->type, error);
    if (!status) status = read_role(s, json, "popularity", &s->popularity, error);
    if (!status) status = read_fields(s, json, empty, error);
    if (!status) status = read_rewards(s, json_get(json, "rewards"), error);
    if (!status) status = read_choice(json, "policy", policies, s->policy, sizeof s->policy, error);
    if (!status) status = read_ranker(s, json, error);
    if (!status) status = json_member_bool(json, "inferred", &s->inferred, error);
    if (!status) status = json_member_bool(json, "beyond_words", &s->beyond_words, error);
    if (!status) status = json_member_bool(json, "only_new", &s->only_new, error);
    if (!status) status = json_member_number(json, "half_life_days", 0.01, 36500, &s->half_life_days, error);
    if (!status) status = read_budget(s, json_get(json, "budget"), error);
    if (!status) status = read_segments(s, json_get(json, "segments"), error);
    if (!status) status = schema_read_ranking(s, json_get(json, "ranking"), error);
    /* Where the text does not tell its language, it is the collection's. */
    for (uint32_t i = 0; i < s->n_fields; i++)
        if (s->fields[i].detect) s->fields[i].language = s->language;
    assign_numbers(s);
    return status;
}

static forage_status imply_roles(schema *s, const json_value *json, base_error *error) {
    bool declared = s->n_fields > 0;
    forage_status status = imply(s, s->type, SCHEMA_KEYWORD, declared || json_get(json, "type"), error);
    if (!status) status = imply(s, s->popularity, SCHEMA_NUMBER, declared || json_get(json, "popularity"), error);
    return status;
}

/* Takes `s` over. */
static forage_status finish(schema *s, forage_status status, schema **out, base_error *error) {
    if (!status) {
        *out = s;
        return FORAGE_OK;
    }
    if (error) error->status = FORAGE_E_SCHEMA;
    schema_destroy(s);
    return FORAGE_E_SCHEMA;
}

forage_status schema_extend(const schema *base, const json_value *json, bool empty, schema **out, base_error *error) {
    schema *s = schema_copy(base);
    forage_status status = declare(s, json, empty, error);
    if (!status) status = imply_roles(s, json, error);
    return finish(s, status, out, error);
}

forage_status schema_read(const json_value *json, schema **out, base_error *error) {
    schema *s = schema_create();
    s->n_rewards = 0;
    return finish(s, declare(s, json, true, error), out, error);
}

/* ---- Writing ---- */

static void write_language(json_writer *w, text_language language, bool detect) {
    json_key(w, "language");
    json_text(w, detect ? "detect" : language == TEXT_ANY ? "any" : text_language_code(language));
}

static void write_field(const schema_field *f, json_writer *w) {
    json_key(w, f->name);
    json_begin_object(w);
    json_key(w, "type");
    json_text(w, kind_names[f->kind]);
    if (f->kind == SCHEMA_TEXT) {
        json_key(w, "weight");
        json_float(w, (double)f->weight);
        write_language(w, f->language, f->detect);
    }
    if (f->kind == SCHEMA_VECTOR) schema_write_vector(f, w);
    if (f->kind == SCHEMA_WEIGHTS) schema_write_weights(f, w);
    json_end_object(w);
}

void schema_write(const schema *s, json_writer *w) {
    json_begin_object(w);
    json_key(w, "fields");
    json_begin_object(w);
    for (uint32_t i = 0; i < s->n_fields; i++) write_field(&s->fields[i], w);
    json_end_object(w);
    json_key(w, "id");
    json_text(w, s->id);
    json_key(w, "type");
    json_text(w, s->type);
    json_key(w, "popularity");
    json_text(w, s->popularity);
    write_language(w, s->language, s->detect);
    json_key(w, "rewards");
    json_begin_object(w);
    for (uint32_t i = 0; i < s->n_rewards; i++) {
        json_key(w, s->rewards[i].action);
        json_float(w, (double)s->rewards[i].reward);
    }
    json_end_object(w);
    json_key(w, "policy");
    json_text(w, s->policy);
    json_key(w, "ranker");
    json_text(w, s->ranker);
    json_key(w, "inferred");
    json_bool(w, s->inferred);
    json_key(w, "budget");
    if (s->budget_candidates > 0 || s->budget_p95_ms > 0) {
        json_begin_object(w);
        json_key(w, s->budget_candidates > 0 ? "candidates" : "p95_ms");
        json_float(w, s->budget_candidates > 0 ? s->budget_candidates : s->budget_p95_ms);
        json_end_object(w);
    } else {
        json_null(w);
    }
    json_key(w, "beyond_words");
    json_bool(w, s->beyond_words);
    json_key(w, "only_new");
    json_bool(w, s->only_new);
    json_key(w, "half_life_days");
    json_float(w, s->half_life_days);
    json_key(w, "segments");
    json_begin_array(w);
    for (uint32_t i = 0; i < s->n_segments; i++) json_text(w, s->segments[i]);
    json_end_array(w);
    json_key(w, "ranking");
    schema_write_ranking(&s->ranking, w);
    json_end_object(w);
}
