/* Users: what is known of one, and forgetting it. */
#include "api/call.h"

#include "feedback/record.h"
#include "feedback/timestamp.h"
#include "memory/profile_trace.h"

#include <stdio.h>

static slice id_of(void *self, uint32_t document, arena *a) {
    collection_document d;
    return collection_document_by_number(self, document, &d) ? (slice){0} : arena_slice(a, d.id);
}

static void write_time(json_writer *w, const char *key, int64_t time) {
    char text[TIMESTAMP_SIZE];
    timestamp_write(time, text);
    json_key(w, key);
    json_text(w, text);
}

static void write_documents(json_writer *w, const profile *p, store_txn *t, arena *a) {
    json_key(w, "documents");
    json_begin_array(w);
    for (uint32_t i = 0; i < p->n_items; i++) {
        slice id = id_of(t, p->items[i].document, a);
        if (!id.size) continue; /* it is gone */
        json_begin_object(w);
        json_key(w, "id");
        json_string(w, id);
        json_key(w, "weight");
        json_float(w, p->items[i].weight);
        json_key(w, "chosen");
        json_bool(w, p->items[i].origin & PROFILE_CHOSEN);
        json_end_object(w);
    }
    json_end_array(w);
}

static void write_attributes(json_writer *w, const profile *p, const schema *s) {
    json_key(w, "attributes");
    json_begin_array(w);
    for (uint32_t i = 0; i < p->n_attributes; i++) {
        uint32_t f = 0;
        while (f < s->n_fields && s->fields[f].sparse != (int32_t)p->attributes[i].field) f++;
        if (f == s->n_fields) continue;
        json_begin_object(w);
        json_key(w, "field");
        json_text(w, s->fields[f].name);
        json_key(w, "value");
        json_string(w, p->attributes[i].value);
        json_key(w, "weight");
        json_float(w, p->attributes[i].weight);
        json_end_object(w);
    }
    json_end_array(w);
}

static void write_profile(api_call *c, store_txn *t, const profile *p) {
    json_writer *w = &c->json;
    json_begin_object(w);
    json_key(w, "kind");
    json_text(w, "profile");
    json_key(w, "user");
    json_string(w, c->id);
    write_time(w, "first", p->first);
    write_time(w, "last", p->time);
    json_key(w, "engagements");
    json_integer(w, p->events);
    write_documents(w, p, t, &c->memory);
    write_attributes(w, p, collection_schema(c->entry->collection));
    json_end_object(w);
    buffer_putc(&c->body, '\n');
}

#define PAGE_BYTES (16u << 20)

/* The user's log records after `after`, a line each; where the next page starts when there are more. */
static void write_log(api_call *c, store_txn *t, const profile_trace *trace, int64_t after, int64_t limit) {
    uint64_t sequence = (uint64_t)after, last = (uint64_t)after;
    slice record;
    record_names names = funnel_names(c->entry->funnel);
    arena scratch;
    arena_init(&scratch, 0);
    while (profile_trace_next(trace, t, &sequence, &record)) {
        if (limit-- == 0 || c->body.size > PAGE_BYTES) {
            snprintf(c->next, sizeof c->next, "%llu", (unsigned long long)last);
            break;
        }
        last = sequence;
        arena_reset(&scratch);
        if (!record_to_json(record, sequence, &names, id_of, t, &scratch, &c->body)) buffer_putc(&c->body, '\n');
    }
    arena_release(&scratch);
}

/* Lines: the profile, when there is one, on the first page; then the log's records. */
forage_status api_get_user(api_call *c, base_error *error) {
    int64_t limit = 1000, after = 0;
    store_txn *t = NULL;
    profile_trace *trace = NULL;
    hash128 key;
    profile *p = arena_alloc(&c->memory, sizeof *p);
    forage_status status = api_parameter_integer(c, "limit", 1, 100000, &limit, error);
    if (!status) status = api_parameter_integer(c, "after", 0, INT64_MAX - 1, &after, error);
    if (!status) status = store_read_begin(collection_store(c->entry->collection), &t, error);
    if (!status) status = profile_trace_create(t, c->id, &trace, error);
    if (status) goto done;
    if (after == 0 && profile_key(c->id, (slice){0}, &key) && profile_read(t, &key, p)) write_profile(c, t, p);
    write_log(c, t, trace, after, limit);
    if (after == 0 && !c->body.size)
        status = error_set(error, FORAGE_E_NOT_FOUND, "nothing is known of a user \"%.*s\"", SLICE_ARG(c->id));
    c->content_type = "application/x-ndjson";
done:
    profile_trace_destroy(trace);
    store_read_end(t);
    return status;
}

static void write_count(json_writer *w, const char *key, uint64_t n) {
    json_key(w, key);
    json_integer(w, (int64_t)n);
}

forage_status api_delete_user(api_call *c, base_error *error) {
    profile_forgotten done;
    if (c->db->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    forage_status status = funnel_experiment_forget(c->entry->funnel, c->id, error); /* before the file is scrubbed */
    if (!status) status = profile_forget(collection_store(c->entry->collection), c->id, &done, error);
    if (status) return status;
    json_writer *w = &c->json;
    json_begin_object(w);
    json_key(w, "erased");
    json_string(w, c->id);
    write_count(w, "profiles", done.profiles);
    write_count(w, "impressions", done.impressions);
    write_count(w, "events", done.events);
    json_end_object(w);
    return FORAGE_OK;
}
