#include "api/predict_describe.h"

#include "collection/document.h"
#include "feedback/timestamp.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define MAX_FACTS 96
#define LONGEST_PHRASE 80 /* bytes: a longer keyword is no phrase that people type */

typedef struct facts {
    const predict_view *v;
    arena *a;
    predict_fact *list;
    size_t n;
} facts;

static bool contains(const char *name, const char *const *parts) {
    for (; *parts; parts++)
        if (strcasestr(name, *parts)) return true;
    return false;
}

static const char *const alias_names[] = {"alias", "aka", "alternat", "original", "also", "synonym", "series", NULL};
static const char *const year_names[] = {"year", NULL};
static const char *const code_names[] = {"lang", "locale", NULL}; /* nobody types "2008 en" */

predict_view predict_view_of(const schema *s, const sparse_snapshot *snapshot, store_txn *t, text_analyzer *analyzer) {
    static const char *const usual[] = {"title", "name", "label"};
    predict_view v = {s, snapshot, t, analyzer, -1};
    for (size_t i = 0; i < 3 && v.title < 0; i++)
        for (uint32_t f = 0; f < s->n_fields && v.title < 0; f++)
            if (s->fields[f].kind == SCHEMA_TEXT && strcasecmp(s->fields[f].name, usual[i]) == 0) v.title = (int32_t)f;
    for (uint32_t f = 0; f < s->n_fields && v.title < 0; f++)
        if (s->fields[f].kind == SCHEMA_TEXT) v.title = (int32_t)f;
    for (uint32_t f = 0; v.title >= 0 && f < s->n_fields; f++)
        if (s->fields[f].kind == SCHEMA_TEXT && s->fields[f].weight > 2 * s->fields[v.title].weight) v.title = (int32_t)f;
    return v;
}

static void add(facts *x, predict_role role, slice text, slice attribute, uint64_t documents) {
    if (x->n < MAX_FACTS) x->list[x->n++] = (predict_fact){role, text, attribute, documents};
}

static slice value_text(const json_value *value) {
    return value && (value->type == JSON_STRING || value->type == JSON_NUMBER) ? value->text : (slice){0};
}

static bool read_source(const predict_view *v, uint32_t document, arena *a, json_value **out) {
    collection_document d;
    return collection_document_by_number(v->txn, document, &d) == FORAGE_OK &&
           json_read(a, arena_slice(a, d.source), out, NULL) == FORAGE_OK;
}

static slice title_of(const predict_view *v, slice id, arena *a) {
    uint32_t number;
    json_value *json;
    if (v->title < 0 || !collection_number_of(v->txn, id, &number) || !read_source(v, number, a, &json)) return (slice){0};
    const json_value *title = json_get(json, v->schema->fields[v->title].name);
    if (title && title->type == JSON_ARRAY) title = title->first;
    return value_text(title);
}

/* A number has no list of documents in the index: as if the collection spanned fifty years. */
static void add_year(facts *x, double year) {
    if (!(year >= 1000 && year <= 2100) || year != floor(year)) return;
    uint64_t share = x->v->snapshot->live_documents / 50;
    add(x, PREDICT_YEAR, slice_of(arena_printf(x->a, "%.0f", year)), (slice){0}, share ? share : 1);
}

static void add_keyword(facts *x, uint32_t f, slice text) {
    const schema_field *field = &x->v->schema->fields[f];
    buffer normalized = {0};
    text_normalize_keyword(x->v->analyzer, text, &normalized);
    slice key = sparse_attribute_key(x->a, (uint32_t)field->sparse, (slice){normalized.data, normalized.size});
    buffer_release(&normalized);
    predict_role role = (int32_t)f == x->v->schema->type_field ? PREDICT_TYPE
                        : contains(field->name, year_names)    ? PREDICT_YEAR
                                                               : PREDICT_KEYWORD;
    bool phrase = text.size <= LONGEST_PHRASE && !contains(field->name, code_names);
    add(x, role, phrase ? text : (slice){0}, key, sparse_document_frequency(x->v->snapshot, key));
}

static void add_reference(facts *x, uint32_t f, slice id) {
    slice key = sparse_attribute_key(x->a, (uint32_t)x->v->schema->fields[f].sparse, id);
    add(x, PREDICT_REFERENCE, title_of(x->v, id, x->a), key, sparse_document_frequency(x->v->snapshot, key));
}

static void add_value(facts *x, uint32_t f, const json_value *value) {
    const schema_field *field = &x->v->schema->fields[f];
    slice text = value_text(value);
    double seconds;
    switch (field->kind) {
    case SCHEMA_TEXT:
        if (text.size)
            add(x, (int32_t)f == x->v->title ? PREDICT_TITLE : contains(field->name, alias_names) ? PREDICT_ALIAS : PREDICT_TEXT,
                text, (slice){0}, 0);
        return;
    case SCHEMA_KEYWORD:
        if (text.size) add_keyword(x, f, text);
        return;
    case SCHEMA_REFERENCE:
        if (text.size) add_reference(x, f, text);
        return;
    case SCHEMA_NUMBER:
        if (value->type == JSON_NUMBER && contains(field->name, year_names)) add_year(x, value->number);
        return;
    case SCHEMA_DATE:
        if (document_date(value, &seconds) && fabs(seconds) < 1e11) {
            char date[TIMESTAMP_SIZE];
            int year;
            timestamp_write((int64_t)(seconds * 1e6), date);
            if (sscanf(date, "%d", &year) == 1) add_year(x, year);
        }
        return;
    case SCHEMA_VECTOR: case SCHEMA_WEIGHTS: return;
    }
}

bool predict_describe(const predict_view *v, uint32_t document, arena *a, predict_description *out) {
    facts x = {v, a, arena_alloc(a, MAX_FACTS * sizeof(predict_fact)), 0};
    json_value *json;
    if (!read_source(v, document, a, &json)) return false;
    for (uint32_t f = 0; f < v->schema->n_fields; f++) {
        const json_value *member = json_get(json, v->schema->fields[f].name);
        if (!member || member->type == JSON_NULL) continue;
        if (member->type != JSON_ARRAY) add_value(&x, f, member);
        else if (v->schema->fields[f].sparse >= 0)
            for (const json_value *item = member->first; item; item = item->next) add_value(&x, f, item);
    }
    *out = (predict_description){document, v->snapshot->live_documents, v->schema->language, x.list, x.n};
    return true;
}
