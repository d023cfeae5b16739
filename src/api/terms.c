/* The vocabulary: what words and keyword values there are, looked at by beginning, range or spelling. */
#include "api/call.h"

#include "os/clock.h"
#include "sparse/enumerate.h"
#include "text/analyze.h"

#define TERMS_MICROSECONDS 1000000 /* after that the answer is what has been found */

typedef struct terms_request {
    slice prefix, fuzzy, from, to; /* keys; fuzzy: text */
    slice space;
    int64_t limit, edits;
    bool by_prefix, by_fuzzy, by_range;
} terms_request;

static bool given(const api_call *c, const char *name) {
    for (size_t i = 0; i < c->n_parameters; i++)
        if (slice_is(c->parameters[i].name, name)) return true;
    return false;
}

/* The index's number of the keyword field that is asked for, or -1 for words. */
static forage_status read_field(const api_call *c, int32_t *out, base_error *error) {
    slice name = api_parameter_of(c, "field");
    *out = -1;
    if (!name.size) return FORAGE_OK;
    const schema_field *f = schema_find(collection_schema(c->entry->collection), name);
    if (!f) return error_set(error, FORAGE_E_INVALID, "field: there is no field \"%.*s\"", SLICE_ARG(name));
    if (f->kind == SCHEMA_TEXT)
        return error_set(error, FORAGE_E_INVALID, "field: the words of all text fields are one vocabulary; leave out \"%s\"",
                         f->name);
    if (f->kind == SCHEMA_NUMBER || f->kind == SCHEMA_DATE || f->sparse < 0)
        return error_set(error, FORAGE_E_INVALID, "field: \"%s\" is a %s field and has no terms", f->name, schema_kind_name(f->kind));
    *out = f->sparse;
    return FORAGE_OK;
}

/* The form in which the index has it. */
static slice normalized(api_call *c, text_analyzer *analyzer, const char *name, int32_t field) {
    buffer text = {0};
    if (field < 0) text_normalize_query(analyzer, api_parameter_of(c, name), &text);
    else text_normalize_keyword(analyzer, api_parameter_of(c, name), &text);
    slice out = arena_slice(&c->memory, (slice){text.data, text.size});
    buffer_release(&text);
    return out;
}

static slice key_of(api_call *c, int32_t field, slice text) {
    return field < 0 ? sparse_text_key(&c->memory, text) : sparse_attribute_key(&c->memory, (uint32_t)field, text);
}

static forage_status read_request(api_call *c, terms_request *r, base_error *error) {
    int32_t field;
    *r = (terms_request){.limit = 20, .edits = 1, .by_prefix = given(c, "prefix"), .by_fuzzy = given(c, "fuzzy"),
                         .by_range = given(c, "from") || given(c, "to")};
    if (r->by_prefix + r->by_fuzzy + r->by_range > 1)
        return error_set(error, FORAGE_E_INVALID, "expected one of prefix, fuzzy, and from with to");
    forage_status status = api_parameter_integer(c, "limit", 1, 1000, &r->limit, error);
    if (!status) status = api_parameter_integer(c, "edits", 1, 2, &r->edits, error);
    if (!status) status = read_field(c, &field, error);
    if (status) return status;
    text_analyzer *analyzer = text_analyzer_create();
    r->space = key_of(c, field, (slice){0});
    r->prefix = key_of(c, field, normalized(c, analyzer, "prefix", field));
    r->from = key_of(c, field, normalized(c, analyzer, "from", field));
    if (given(c, "to")) r->to = key_of(c, field, normalized(c, analyzer, "to", field));
    r->fuzzy = normalized(c, analyzer, "fuzzy", field);
    text_analyzer_destroy(analyzer);
    return FORAGE_OK;
}

static forage_status enumerate(api_call *c, const sparse_snapshot *s, const terms_request *r, sparse_vocabulary *out,
                               base_error *error) {
    const sparse_effort effort = {0, &os_clock_system, clock_monotonic(&os_clock_system) + TERMS_MICROSECONDS};
    size_t limit = (size_t)r->limit;
    if (r->by_range) {
        sparse_vocabulary_range(s, r->space, r->from, r->to, limit, &effort, &c->memory, out);
        return FORAGE_OK;
    }
    if (!r->by_fuzzy) {
        sparse_vocabulary_prefix(s, r->prefix, limit, &effort, &c->memory, out);
        return FORAGE_OK;
    }
    levenshtein *automaton = NULL;
    const levenshtein_options options = {.edits = (uint32_t)r->edits, .transpositions = true};
    forage_status status = levenshtein_create(r->fuzzy, &options, &automaton, error);
    if (status) return error_prefix(error, "fuzzy");
    sparse_vocabulary_fuzzy(s, r->space, automaton, limit, &effort, &c->memory, out);
    levenshtein_destroy(automaton);
    return FORAGE_OK;
}

static void write_terms(json_writer *w, const terms_request *r, const sparse_vocabulary *v) {
    json_begin_object(w);
    json_key(w, "terms");
    json_begin_array(w);
    for (size_t i = 0; i < v->n; i++) {
        slice key = v->terms[i].key;
        json_begin_object(w);
        json_key(w, "term");
        json_string(w, (slice){key.data + r->space.size, key.size - r->space.size});
        json_key(w, "documents");
        json_integer(w, (int64_t)v->terms[i].df);
        if (r->by_fuzzy) {
            json_key(w, "edits");
            json_integer(w, v->terms[i].distance);
        }
        json_end_object(w);
    }
    json_end_array(w);
    json_key(w, "more");
    json_bool(w, v->more);
    json_key(w, "cut");
    json_bool(w, v->cut);
    json_end_object(w);
}

forage_status api_get_terms(api_call *c, base_error *error) {
    terms_request r;
    sparse_vocabulary found;
    forage_status status = read_request(c, &r, error);
    if (status) return status;
    const sparse_snapshot *s = collection_acquire(c->entry->collection);
    status = enumerate(c, s, &r, &found, error);
    collection_release(c->entry->collection, s);
    if (!status) write_terms(&c->json, &r, &found);
    return status;
}
