/* Fields of vectors and weights, and the searches that start from a document or from nothing. */
#include "api/call.h"
#include "retrieve/vectors.h"

#include <string.h>

static void write_trained(const vectors_info *f, json_writer *w) {
    if (!f->trained_documents) return;
    json_key(w, "trained");
    json_begin_object(w);
    json_key(w, "documents");
    json_integer(w, (int64_t)f->trained_documents);
    json_key(w, "pairs");
    json_integer(w, (int64_t)f->trained_pairs);
    json_key(w, "seconds");
    json_float(w, f->trained_seconds);
    json_end_object(w);
}

static void write_field(const vectors_info *f, uint64_t documents, json_writer *w) {
    static const char *const codes[] = {"float32", "int8", "int4", "bit"};
    bool weights = f->field->kind == SCHEMA_WEIGHTS;
    uint64_t having = weights ? f->weights.documents : f->index.documents;
    json_begin_object(w);
    json_key(w, "field");
    json_text(w, f->field->name);
    json_key(w, "encoder");
    json_text(w, schema_encoder_name(f->field->vector.encoder));
    json_key(w, "type");
    json_text(w, schema_kind_name(f->field->kind));
    if (!weights) {
        json_key(w, "dimensions");
        json_integer(w, f->field->dimensions);
    }
    json_key(w, "code");
    json_text(w, weights ? "int8" : codes[f->field->vector.code]);
    json_key(w, "version");
    buffer hex = {0};
    buffer_printf(&hex, "%016llx", (unsigned long long)f->version);
    json_text(w, f->version ? buffer_text(&hex) : NULL);
    buffer_release(&hex);
    json_key(w, "documents");
    json_integer(w, (int64_t)having);
    json_key(w, "without");
    json_integer(w, documents > having ? (int64_t)(documents - having) : 0);
    json_key(w, "working");
    json_bool(w, f->working);
    json_key(w, "index");
    json_text(w, weights ? "postings" : f->index.graph ? "graph" : "scan");
    json_key(w, "memory_bytes");
    json_integer(w, (int64_t)(weights ? f->weights.memory_bytes : f->index.memory));
    json_key(w, "mapped_bytes");
    json_integer(w, (int64_t)(weights ? f->weights.file_bytes : f->index.mapped));
    write_trained(f, w);
    json_key(w, "problem");
    json_text(w, f->problem[0] ? f->problem : NULL);
    json_end_object(w);
}

static void write_fields(api_call *c) {
    vectors_info fields[SPARSE_MAX_FIELDS];
    size_t n = vectors_describe(funnel_vectors(c->entry->funnel), fields);
    const sparse_snapshot *s = collection_acquire(c->entry->collection);
    uint64_t documents = s->live_documents;
    collection_release(c->entry->collection, s);
    json_begin_object(&c->json);
    json_key(&c->json, "fields");
    json_begin_array(&c->json);
    for (size_t i = 0; i < n; i++) write_field(&fields[i], documents, &c->json);
    json_end_array(&c->json);
    json_end_object(&c->json);
}

forage_status api_get_vectors(api_call *c, base_error *error) {
    (void)error;
    write_fields(c);
    return FORAGE_OK;
}

/* {"train": true}: the catalogue's encoders anew; else what has no vector yet gets one. Answers when that is done. */
forage_status api_post_vectors(api_call *c, base_error *error) {
    static const char *const members[] = {"train", NULL};
    bool train = false;
    json_value *json = NULL;
    forage_status status = c->db->options.read_only
                               ? error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY))
                               : FORAGE_OK;
    if (!status) status = api_body(c, &json, error);
    if (!status) {
        if (json->type != JSON_OBJECT)
            status = error_set(error, FORAGE_E_INVALID, "vectors: expected an object such as {\"train\": true}");
        if (!status) status = json_only_members(json, members, error);
        if (!status) status = json_member_bool(json, "train", &train, error);
    }
    vectors *v = funnel_vectors(c->entry->funnel);
    if (!status) status = train ? vectors_train(v, error) : vectors_settle(v, error);
    if (!status) write_fields(c);
    return status;
}

static forage_status answer(api_call *c, funnel_request *request, base_error *error) {
    funnel_answer *a;
    forage_status status = funnel_search(c->entry->funnel, request, &a, error);
    if (status) return status;
    funnel_answer_write(a, &c->json);
    funnel_answer_release(a);
    return FORAGE_OK;
}

/* A search request's members, but for those that would say what to look for. */
static forage_status read_without(const json_value *json, const char *what, const char *const *but, const char *instead,
                                  funnel_request *out, base_error *error) {
    for (; json->type == JSON_OBJECT && *but; but++)
        if (json_get(json, *but))
            return error_set(error, FORAGE_E_INVALID, "%s: \"%s\" is not for this; %s", what, *but, instead);
    return funnel_request_read(json, out, error);
}

forage_status api_post_similar(api_call *c, base_error *error) {
    static const char *const but[] = {"query", "vector", "like", "weights", "prefix", NULL};
    json_value *json;
    funnel_request request;
    slice id = {0};
    forage_status status = api_body(c, &json, error);
    if (status) return status;
    if (json->type != JSON_OBJECT)
        return error_set(error, FORAGE_E_INVALID, "similar: expected an object such as {\"id\": \"…\"}, got %s",
                         json_type_name(json->type));
    /* "id" is this request's own member; the rest is a search's. */
    json_value **link = &json->first;
    while (*link && !slice_is((*link)->key, "id")) link = &(*link)->next;
    if (*link) {
        const json_value *member = *link;
        if (member->type != JSON_STRING && !(member->type == JSON_NUMBER && member->integral))
            return error_set(error, FORAGE_E_INVALID, "\"id\": expected a document's id, got %s", json_type_name(member->type));
        id = member->text;
        *link = member->next;
        json->count--;
    }
    if (!id.size) return error_set(error, FORAGE_E_INVALID, "similar: \"id\" is missing: the document that hits are to be like");
    status = read_without(json, "similar", but, "POST …/search takes it", &request, error);
    if (status) return status;
    request.like = id;
    return answer(c, &request, error);
}

forage_status api_post_recommend(api_call *c, base_error *error) {
    static const char *const but[] = {"query", "vector", "like", "weights", "prefix", NULL};
    json_value *json;
    funnel_request request;
    forage_status status = api_body(c, &json, error);
    if (!status) status = read_without(json, "recommend", but, "POST …/search or …/similar takes it", &request, error);
    return status ? status : answer(c, &request, error);
}
