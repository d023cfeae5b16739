#include "collection/document.h"

#include "feedback/timestamp.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static forage_status wrong(document_problem *p, const json_value *member, const char *expected, const json_value *got,
                           arena *a) {
    p->field = member->key;
    return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%.*s\": expected %s, got %s", SLICE_ARG(member->key), expected,
                     json_quote(a, got));
}

static locale_t c_locale; /* a point is a point, whatever the program's locale says */
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

/* CSV and sloppy JSON give numbers as strings: a string that is a number, whole, counts as one. */
static bool number_of(const json_value *value, double *out) {
    if (value->type == JSON_NUMBER) {
        *out = value->number;
        return true;
    }
    if (value->type != JSON_STRING || value->text.size == 0 || value->text.size > 63) return false;
    char copy[64], *end;
    memcpy(copy, value->text.data, value->text.size);
    copy[value->text.size] = '\0';
    if (strspn(copy, "0123456789+-.eE") != value->text.size) return false; /* no hexadecimal, no "nan", no spaces */
    pthread_once(&once, make_locale);
    *out = strtod_l(copy, &end, c_locale);
    return *end == '\0' && isfinite(*out);
}

forage_status document_weights_check(const schema_field *f, const json_value *weights, base_error *error) {
    double most = (double)f->vector.max_weight;
    if (weights->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_DOCUMENT, "expected an object such as {\"token\": 1.5}, got %s", json_type_name(weights->type));
    if (weights->count > SCHEMA_MAX_TOKENS)
        return error_set(error, FORAGE_E_DOCUMENT, "at most %d tokens, got %zu", SCHEMA_MAX_TOKENS, weights->count);
    for (const json_value *w = weights->first; w; w = w->next) {
        if (!w->key.size || w->key.size > SCHEMA_MAX_TOKEN_BYTES)
            return error_set(error, FORAGE_E_DOCUMENT, "a token has 1 to %d bytes, this one has %zu", SCHEMA_MAX_TOKEN_BYTES, w->key.size);
        if (w->type != JSON_NUMBER || !(w->number >= 0))
            return error_set(error, FORAGE_E_DOCUMENT, "token \"%.*s\": expected a weight of 0 or more, got %s", SLICE_ARG(w->key),
                             w->type == JSON_NUMBER ? "one below 0" : json_type_name(w->type));
        if (w->number > most)
            return error_set(error, FORAGE_E_DOCUMENT, "token \"%.*s\": %g is more than the field's \"max_weight\", %g", SLICE_ARG(w->key),
                             w->number, most);
    }
    return FORAGE_OK;
}

bool document_date(const json_value *value, double *seconds) {
    int64_t microseconds;
    if (value->type == JSON_STRING && timestamp_read(value->text, &microseconds)) {
        *seconds = (double)microseconds / 1e6;
        return true;
    }
    if (value->type != JSON_NUMBER || fabs(value->number) > 1e13) return false;
    *seconds = value->number;
    return true;
}

static bool is_scalar(const json_value *v) { return v->type == JSON_STRING || v->type == JSON_NUMBER || v->type == JSON_BOOL; }

static forage_status check_strings(const json_value *member, const char *expected, document_problem *p, arena *a) {
    if (is_scalar(member)) return FORAGE_OK;
    if (member->type != JSON_ARRAY) return wrong(p, member, expected, member, a);
    for (const json_value *item = member->first; item; item = item->next)
        if (!is_scalar(item) && item->type != JSON_NULL) return wrong(p, member, expected, item, a);
    return FORAGE_OK;
}

static forage_status check_vector(const schema_field *f, const json_value *member, document_problem *p, arena *a) {
    char *expected = arena_printf(a, "an array of %u numbers", f->dimensions);
    if (member->type != JSON_ARRAY) return wrong(p, member, expected, member, a);
    if (member->count != f->dimensions) {
        p->field = member->key;
        return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%.*s\": expected %s, got %zu", SLICE_ARG(member->key),
                         expected, member->count);
    }
    double square = 0;
    for (const json_value *item = member->first; item; item = item->next) {
        if (item->type != JSON_NUMBER || fabs(item->number) > 3e38) return wrong(p, member, expected, item, a);
        square += (double)(float)item->number * (double)(float)item->number;
    }
    p->field = member->key;
    if (f->vector.encoder != SCHEMA_ENCODER_NONE)
        return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%.*s\": its vectors are made by the field's encoder; leave it out",
                         SLICE_ARG(member->key));
    if (square > DENSE_MOST_SQUARE)
        return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%.*s\": the vector is too long to be compared (the sum of its squares "
                         "is above %g)", SLICE_ARG(member->key), DENSE_MOST_SQUARE);
    if (square < DENSE_LEAST_SQUARE && f->vector.metric == DENSE_COSINE)
        return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%.*s\": a vector of zeros has no direction, which cosine compares",
                         SLICE_ARG(member->key));
    p->field = (slice){0};
    return FORAGE_OK;
}

static forage_status check_weights(const schema_field *f, const json_value *member, document_problem *p) {
    p->field = member->key;
    if (f->vector.encoder != SCHEMA_ENCODER_NONE)
        return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%.*s\": its weights are made by the field's encoder; leave it out",
                         SLICE_ARG(member->key));
    if (document_weights_check(f, member, &p->error))
        return error_prefix(&p->error, "field \"%.*s\"", SLICE_ARG(member->key));
    p->field = (slice){0};
    return FORAGE_OK;
}

static forage_status check_member(const schema_field *f, const json_value *member, document_problem *p, arena *a) {
    double number;
    switch (f->kind) {
    case SCHEMA_TEXT: return check_strings(member, "text or an array of texts", p, a);
    case SCHEMA_KEYWORD: return check_strings(member, "a string or an array of strings", p, a);
    case SCHEMA_REFERENCE: return check_strings(member, "a document's id or an array of ids", p, a);
    case SCHEMA_NUMBER: return number_of(member, &number) ? FORAGE_OK : wrong(p, member, "a number", member, a);
    case SCHEMA_DATE:
        return document_date(member, &number) ? FORAGE_OK
                                              : wrong(p, member, "a date such as \"2008-06-12\"", member, a);
    case SCHEMA_VECTOR: return check_vector(f, member, p, a);
    case SCHEMA_WEIGHTS: return check_weights(f, member, p);
    }
    return FORAGE_OK;
}

static forage_status check_id(const schema *s, const json_value *document, slice *id, document_problem *p, arena *a) {
    const json_value *value = json_get(document, s->id);
    if (!value && slice_is(SLICE("id"), s->id)) value = json_get(document, "_id");
    if (!value || value->type == JSON_NULL) {
        p->field = slice_of(s->id);
        return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%s\": the document has no id; if another member holds it, "
                         "name that one (the schema's \"id\", or --id on the command line)", s->id);
    }
    if (value->type != JSON_STRING && !(value->type == JSON_NUMBER && value->integral))
        return wrong(p, value, "an id (a string or a whole number)", value, a);
    if (value->text.size < 1 || value->text.size > DOCUMENT_MAX_ID) {
        p->field = value->key;
        return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%s\": an id has 1 to %d bytes, this one has %zu", s->id,
                         DOCUMENT_MAX_ID, value->text.size);
    }
    for (size_t i = 0; i < value->text.size; i++)
        if ((unsigned char)value->text.data[i] < 0x20 || value->text.data[i] == 0x7f) {
            p->field = value->key;
            return error_set(&p->error, FORAGE_E_DOCUMENT, "field \"%s\": an id has no control characters", s->id);
        }
    *id = value->text;
    return FORAGE_OK;
}

forage_status document_check(const schema *s, const json_value *document, slice *id, document_problem *problem, arena *a) {
    problem->field = (slice){0};
    if (document->type != JSON_OBJECT)
        return error_set(&problem->error, FORAGE_E_DOCUMENT, "expected a document (an object), got %s",
                         json_type_name(document->type));
    forage_status status = check_id(s, document, id, problem, a);
    for (const json_value *member = document->first; !status && member; member = member->next) {
        const schema_field *f = member->type == JSON_NULL ? NULL : schema_find(s, member->key);
        if (f) status = check_member(f, member, problem, a);
    }
    return status;
}

/* ---- Indexing ---- */

static slice scalar_text(const json_value *v) {
    if (v->type == JSON_BOOL) return v->boolean ? SLICE("true") : SLICE("false");
    return v->type == JSON_NULL ? (slice){0} : v->text;
}

static void index_text(const schema_field *f, slice text, text_analyzer *analyzer, sparse_builder *b) {
    text_language language = f->language;
    if (f->detect) language = text_detect_language(text, language, NULL);
    text_tokens tokens = text_analyze(analyzer, text, language, 0);
    sparse_builder_gap(b, (uint32_t)f->sparse); /* after another value of the field */
    for (size_t i = 0; i < tokens.count; i++) sparse_builder_term(b, (uint32_t)f->sparse, tokens.tokens[i].term);
}

static void index_string(const schema_field *f, slice text, text_analyzer *analyzer, buffer *scratch, sparse_builder *b) {
    if (!text.size) return;
    if (f->kind == SCHEMA_TEXT) {
        index_text(f, text, analyzer, b);
    } else if (f->kind == SCHEMA_REFERENCE) {
        sparse_builder_keyword(b, (uint32_t)f->sparse, text);
    } else {
        text_normalize_keyword(analyzer, text, scratch);
        if (scratch->size) sparse_builder_keyword(b, (uint32_t)f->sparse, (slice){scratch->data, scratch->size});
    }
}

static void index_member(const schema_field *f, const json_value *member, text_analyzer *analyzer, buffer *scratch,
                         sparse_builder *b) {
    double number;
    switch (f->kind) {
    case SCHEMA_NUMBER:
        if (number_of(member, &number)) sparse_builder_number(b, (uint32_t)f->sparse, number);
        return;
    case SCHEMA_DATE:
        if (document_date(member, &number)) sparse_builder_number(b, (uint32_t)f->sparse, number);
        return;
    case SCHEMA_VECTOR: case SCHEMA_WEIGHTS: return;
    case SCHEMA_TEXT: case SCHEMA_KEYWORD: case SCHEMA_REFERENCE: break;
    }
    if (member->type != JSON_ARRAY) {
        index_string(f, scalar_text(member), analyzer, scratch, b);
        return;
    }
    for (const json_value *item = member->first; item; item = item->next)
        index_string(f, scalar_text(item), analyzer, scratch, b);
}

void document_index(const schema *s, const json_value *document, text_analyzer *analyzer, buffer *scratch,
                    sparse_builder *b) {
    sparse_builder_begin(b);
    for (const json_value *member = document->first; member; member = member->next) {
        const schema_field *f = member->type == JSON_NULL ? NULL : schema_find(s, member->key);
        if (f) index_member(f, member, analyzer, scratch, b);
    }
}
