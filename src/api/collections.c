/* Collections and documents. */
#include "api/call.h"

#include "base/bytes.h"
#include "feedback/export_formats.h"

#include <stdio.h>
#include <string.h>

static uint64_t live_documents(forage_collection *e) {
    collection_refresh(e->collection);
    const sparse_snapshot *s = collection_acquire(e->collection);
    uint64_t n = s->live_documents;
    collection_release(e->collection, s);
    return n;
}

static void write_collection(api_call *c) {
    json_begin_object(&c->json);
    json_key(&c->json, "name");
    json_text(&c->json, c->entry->name);
    json_key(&c->json, "documents");
    json_integer(&c->json, (int64_t)live_documents(c->entry));
    json_key(&c->json, "schema");
    schema_write(collection_schema(c->entry->collection), &c->json);
    json_end_object(&c->json);
}

forage_status api_list_collections(api_call *c, base_error *error) {
    char **names;
    size_t n;
    forage_status status = engine_list(c->db, &c->memory, &names, &n, error);
    if (status) return status;
    json_begin_object(&c->json);
    json_key(&c->json, "collections");
    json_begin_array(&c->json);
    for (size_t i = 0; i < n; i++) {
        forage_collection *e;
        base_error why;
        json_begin_object(&c->json);
        json_key(&c->json, "name");
        json_text(&c->json, names[i]);
        if (engine_acquire(c->db, slice_of(names[i]), false, &e, NULL, &why)) {
            json_key(&c->json, "error");
            json_text(&c->json, why.message);
        } else {
            json_key(&c->json, "documents");
            json_integer(&c->json, (int64_t)live_documents(e));
            engine_release(e);
        }
        json_end_object(&c->json);
    }
    json_end_array(&c->json);
    json_end_object(&c->json);
    return FORAGE_OK;
}

forage_status api_make_collection(api_call *c, base_error *error) {
    return engine_acquire(c->db, c->collection, true, &c->entry, &c->created, error);
}

/* A declaration that no collection could take must not make one. */
static forage_status try_schema(const json_value *json, base_error *error) {
    schema *empty = schema_create(), *tried = NULL;
    forage_status status = schema_extend(empty, json, true, &tried, error);
    schema_destroy(tried);
    schema_destroy(empty);
    return status;
}

forage_status api_put_collection(api_call *c, base_error *error) {
    json_value *json;
    forage_status status = api_body(c, &json, error);
    if (!status) status = try_schema(json, error);
    if (!status) status = api_make_collection(c, error);
    if (!status && (json->type != JSON_OBJECT || json->count))
        status = collection_extend_schema(c->entry->collection, json, error);
    if (!status) status = funnel_settings_changed(c->entry->funnel, error);
    if (status) return status;
    c->http = c->created ? 201 : 200;
    write_collection(c);
    return FORAGE_OK;
}

forage_status api_get_collection(api_call *c, base_error *error) {
    (void)error;
    write_collection(c);
    return FORAGE_OK;
}

forage_status api_delete_collection(api_call *c, base_error *error) {
    forage_status status = engine_drop(c->db, c->collection, error);
    if (status) return status;
    json_begin_object(&c->json);
    json_key(&c->json, "removed");
    json_string(&c->json, c->collection);
    json_end_object(&c->json);
    return FORAGE_OK;
}

/* ---- Documents ---- */

static void write_report(api_call *c, const import_report *r, int64_t took_us) {
    json_begin_object(&c->json);
    json_key(&c->json, "received");
    json_integer(&c->json, (int64_t)r->received);
    json_key(&c->json, "indexed");
    json_integer(&c->json, (int64_t)r->indexed);
    json_key(&c->json, "failed");
    json_integer(&c->json, (int64_t)r->failed);
    json_key(&c->json, "took_ms");
    json_float(&c->json, (double)took_us / 1000);
    json_key(&c->json, "errors");
    json_begin_array(&c->json);
    for (size_t i = 0; i < r->n_problems; i++) {
        const import_problem *p = &r->problems[i];
        json_begin_object(&c->json);
        json_key(&c->json, "line");
        json_integer(&c->json, (int64_t)p->line);
        if (p->id.size) {
            json_key(&c->json, "id");
            json_string(&c->json, p->id);
        }
        if (p->field.size) {
            json_key(&c->json, "field");
            json_string(&c->json, p->field);
        }
        json_key(&c->json, "message");
        json_string(&c->json, p->message);
        json_end_object(&c->json);
    }
    json_end_array(&c->json);
    json_key(&c->json, "schema_inferred");
    json_bool(&c->json, r->inferred);
    json_end_object(&c->json);
}

#define INFLATED_LIMIT ((uint64_t)4 << 30)
#define MOST_LINES ((int64_t)1 << 53)

forage_status api_post_documents(api_call *c, base_error *error) {
    records_options options = {.inflated_limit = INFLATED_LIMIT};
    slice name = api_parameter_of(c, "format");
    int64_t first_line = 1, start = clock_monotonic(&os_clock_system);
    if (!name.size && c->request->content_type && records_format_from_name(slice_of(c->request->content_type), &options.format))
        options.format = RECORDS_AUTO; /* a content type that says nothing about records, such as curl's default */
    if (name.size && records_format_from_name(name, &options.format))
        return error_set(error, FORAGE_E_INVALID, "\"format\": expected ndjson, json, csv or tsv, got \"%.*s\"", SLICE_ARG(name));
    forage_status status = api_parameter_integer(c, "first_line", 1, MOST_LINES, &first_line, error);
    if (!status) status = api_make_collection(c, error);
    if (status) return status;
    import_report report = {0};
    arena_init(&report.memory, 0);
    records_reader *reader = records_open_memory((slice){c->request->body, c->request->body_size}, &options);
    status = collection_import(c->entry->collection, reader, (uint64_t)first_line, &report, error);
    records_close(reader);
    if (status && report.indexed && error) {
        char why[sizeof error->message];
        memcpy(why, error->message, sizeof why);
        status = error_set(error, status, "after %llu documents were stored: %s", (unsigned long long)report.indexed, why);
    }
    if (!status) write_report(c, &report, clock_monotonic(&os_clock_system) - start);
    arena_release(&report.memory);
    return status;
}

static forage_status no_document(slice id, base_error *error) {
    return error_set(error, FORAGE_E_NO_DOCUMENT, "there is no document \"%.*s\"", SLICE_ARG(id));
}

forage_status api_get_document(api_call *c, base_error *error) {
    store_txn *t;
    collection_document d;
    forage_status status = store_read_begin(collection_store(c->entry->collection), &t, error);
    if (status) return status;
    status = collection_document_by_id(t, c->id, &d);
    if (!status) buffer_slice(&c->body, d.source);
    else if (status == FORAGE_E_NO_DOCUMENT) status = no_document(c->id, error);
    store_read_end(t);
    return status;
}

forage_status api_delete_document(api_call *c, base_error *error) {
    forage_status status = collection_delete(c->entry->collection, c->id, error);
    if (status) return status;
    json_begin_object(&c->json);
    json_key(&c->json, "removed");
    json_string(&c->json, c->id);
    json_end_object(&c->json);
    return FORAGE_OK;
}

#define PAGE_BYTES (16u << 20)

/* A page of a table with big-endian integer keys, as lines; `write` appends one line. The cursor of the next page is the last
 * key. */
static forage_status list_table(api_call *c, store_table table, size_t key_size,
                                forage_status (*write)(api_call *, store_txn *, slice, slice), base_error *error) {
    int64_t limit = 1000, after = -1;
    forage_status status = api_parameter_integer(c, "limit", 1, 100000, &limit, error);
    if (!status) status = api_parameter_integer(c, "after", 0, INT64_MAX - 1, &after, error);
    store_txn *t = NULL;
    if (!status) status = store_read_begin(collection_store(c->entry->collection), &t, error);
    if (status) return status;
    uint8_t from[8];
    store_be64(from, (uint64_t)(after + 1));
    bool past_the_end = key_size == 4 && after >= UINT32_MAX;
    store_cursor *cursor = NULL;
    slice start = {(const char *)from + 8 - key_size, key_size}, key, value;
    status = store_cursor_open(t, table, start, &cursor, error);
    uint64_t last = 0;
    while (!status && !past_the_end && store_cursor_next(cursor, &key, &value)) {
        if (limit-- == 0 || c->body.size > PAGE_BYTES) {
            snprintf(c->next, sizeof c->next, "%llu", (unsigned long long)last);
            break;
        }
        if (key.size != key_size) continue;
        last = key_size == 4 ? load_be32(key.data) : load_be64(key.data);
        status = write(c, t, key, value);
    }
    store_cursor_close(cursor);
    store_read_end(t);
    c->content_type = "application/x-ndjson";
    return status;
}

static forage_status write_document_line(api_call *c, store_txn *t, slice key, slice value) {
    collection_document d;
    (void)value;
    if (collection_document_by_number(t, load_be32(key.data), &d)) return FORAGE_OK;
    buffer_slice(&c->body, d.source);
    buffer_putc(&c->body, '\n');
    return FORAGE_OK;
}

forage_status api_list_documents(api_call *c, base_error *error) {
    return list_table(c, STORE_DOCUMENTS, 4, write_document_line, error);
}

/* ---- The log ---- */

static slice id_of(void *self, uint32_t document, arena *a) {
    collection_document d;
    return collection_document_by_number(self, document, &d) ? (slice){0} : arena_slice(a, d.id);
}

static forage_status write_log_line(api_call *c, store_txn *t, slice key, slice value) {
    record_names names = funnel_names(c->entry->funnel);
    arena scratch;
    arena_init(&scratch, 0);
    /* Damage is reported by `check`; an export goes on. */
    if (!record_to_json(value, load_be64(key.data), &names, id_of, t, &scratch, &c->body)) buffer_putc(&c->body, '\n');
    arena_release(&scratch);
    return FORAGE_OK;
}

static float credit_of(void *self, uint64_t sequence, uint32_t document) {
    return export_credit(self, sequence, document);
}

static forage_status write_lines(api_call *c, export_format format, store_txn *t, slice key, slice value) {
    record_names names = funnel_names(c->entry->funnel);
    export_source source = {names.policy_features, names.n_policy_features, id_of, credit_of, t};
    arena scratch;
    arena_init(&scratch, 0);
    /* As above, an export goes on over damage. */
    (void)export_record(format, value, load_be64(key.data), &source, &scratch, &c->body);
    arena_release(&scratch);
    return FORAGE_OK;
}

static forage_status write_vw_lines(api_call *c, store_txn *t, slice key, slice value) {
    return write_lines(c, EXPORT_VW_DSJSON, t, key, value);
}

static forage_status write_obd_lines(api_call *c, store_txn *t, slice key, slice value) {
    return write_lines(c, EXPORT_OBD_CSV, t, key, value);
}

static forage_status write_letor_lines(api_call *c, store_txn *t, slice key, slice value) {
    return write_lines(c, EXPORT_LETOR, t, key, value);
}

forage_status api_get_log(api_call *c, base_error *error) {
    static forage_status (*const writers[])(api_call *, store_txn *, slice, slice) = {
        [EXPORT_JSON] = write_log_line, [EXPORT_VW_DSJSON] = write_vw_lines, [EXPORT_OBD_CSV] = write_obd_lines,
        [EXPORT_LETOR] = write_letor_lines};
    export_format format = EXPORT_JSON;
    export_source names = {.n_policy_features = funnel_names(NULL).n_policy_features};
    slice name = api_parameter_of(c, "format");
    forage_status status = name.size ? export_format_parse(name, &format, error) : FORAGE_OK;
    if (status) return status;
    if (!api_parameter_of(c, "after").size) export_head(format, &names, &c->body);
    status = list_table(c, STORE_LOG, 8, writers[format], error);
    c->content_type = export_content_type(format);
    return status;
}
