/* The typed C API: thin calls over the same engine. */
#include "api/trainings.h"
#include "api/call.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

FORAGE_API const char *forage_version(void) { return FORAGE_VERSION; }
FORAGE_API const char *forage_status_name(forage_status status) { return status_name(status); }
FORAGE_API const char *forage_status_message(forage_status status) { return status_message(status); }
FORAGE_API int forage_status_http(forage_status status) { return status_http(status); }
FORAGE_API void forage_free(void *memory) { free(memory); }

/* Handles are not counted: they live until the collection is dropped or the database is closed. */
FORAGE_API forage_status forage_collection_open(forage *db, const char *name, forage_open_mode mode, forage_collection **out,
                                                forage_error *error) {
    forage_collection *c;
    forage_status status = engine_acquire(db, slice_of(name), mode == FORAGE_CREATE, &c, NULL, error);
    if (status) return status;
    engine_release(c);
    *out = c;
    return FORAGE_OK;
}

FORAGE_API forage_status forage_collection_drop(forage *db, const char *name, forage_error *error) {
    return engine_drop(db, slice_of(name), error);
}

FORAGE_API forage_status forage_collection_set_schema(forage_collection *c, const char *json, size_t size, forage_error *error) {
    arena a;
    json_value *value;
    arena_init(&a, 0);
    forage_status status = json_read(&a, (slice){json, size}, &value, error);
    if (!status) status = collection_extend_schema(c->collection, value, error);
    arena_release(&a);
    return status;
}

/* ---- Documents ---- */

static forage_status import_records(forage_collection *c, records_reader *reader, forage_import_report *out, forage_error *error) {
    import_report report = {0};
    arena_init(&report.memory, 0);
    forage_status status = collection_import(c->collection, reader, 1, &report, error);
    if (out) {
        *out = (forage_import_report){.received = report.received, .indexed = report.indexed, .failed = report.failed};
        if (report.n_problems) {
            size_t size = report.problems[0].message.size;
            if (size >= sizeof out->first_error) size = sizeof out->first_error - 1;
            memcpy(out->first_error, report.problems[0].message.data, size);
        }
    }
    arena_release(&report.memory);
    return status;
}

static forage_status options_for(const char *format, records_options *out, forage_error *error) {
    *out = (records_options){0};
    if (format && records_format_from_name(slice_of(format), &out->format))
        return error_set(error, FORAGE_E_INVALID, "import: unknown format \"%s\"; use ndjson, json, csv or tsv", format);
    return FORAGE_OK;
}

FORAGE_API forage_status forage_import(forage_collection *c, const void *data, size_t size, const char *format,
                                       forage_import_report *report, forage_error *error) {
    records_options options;
    forage_status status = options_for(format, &options, error);
    if (status) return status;
    records_reader *reader = records_open_memory((slice){data, size}, &options);
    status = import_records(c, reader, report, error);
    records_close(reader);
    return status;
}

typedef struct file_source {
    int fd;
    const char *path;
} file_source;

static forage_status read_file(void *self, void *data, size_t size, size_t *got, base_error *error) {
    const file_source *file = self;
    for (;;) {
        ssize_t n = read(file->fd, data, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return os_error(error, errno, "reading", file->path);
        *got = (size_t)n;
        return FORAGE_OK;
    }
}

FORAGE_API forage_status forage_import_file(forage_collection *c, const char *path, const char *format,
                                            forage_import_report *report, forage_error *error) {
    records_options options;
    forage_status status = options_for(format, &options, error);
    if (status) return status;
    file_source file = {open(path, O_RDONLY | O_CLOEXEC), path};
    if (file.fd < 0) return os_error(error, errno, "opening", path);
    records_reader *reader = records_open(read_file, &file, &options);
    status = import_records(c, reader, report, error);
    records_close(reader);
    close(file.fd);
    return status;
}

FORAGE_API forage_status forage_document_delete(forage_collection *c, const char *id, forage_error *error) {
    return collection_delete(c->collection, slice_of(id), error);
}

FORAGE_API forage_status forage_document_get(forage_collection *c, const char *id, char **json, forage_error *error) {
    store_txn *t;
    collection_document d;
    forage_status status = store_read_begin(collection_store(c->collection), &t, error);
    if (status) return status;
    status = collection_document_by_id(t, slice_of(id), &d);
    if (status) error_set(error, status, "there is no document \"%.200s\"", id);
    else *json = mem_strndup(d.source.data, d.source.size);
    store_read_end(t);
    return status;
}

/* ---- Search ---- */

struct forage_results {
    arena memory;
    funnel_answer *answer;
    forage_hit *hits;
    size_t n;
    char *query_id;
    buffer json;
};

static forage_status request_of(const forage_search_request *in, arena *a, funnel_request *out, forage_error *error) {
    json_value *options = NULL, *filter = NULL;
    funnel_request_default(out);
    forage_status status = FORAGE_OK;
    if (in->options) {
        status = json_read(a, slice_of(in->options), &options, error);
        if (!status) status = funnel_request_read(options, out, error);
        if (status) return error_prefix(error, "options"), status;
    }
    if (in->filter) status = json_read(a, slice_of(in->filter), &filter, error);
    if (status) return error_prefix(error, "filter"), status;
    if (in->query) out->query = slice_of(in->query);
    if (in->limit) out->limit = in->limit;
    if (in->offset) out->offset = in->offset;
    if (in->user) out->user = slice_of(in->user);
    if (in->session) out->session = slice_of(in->session);
    if (filter) out->filter = filter;
    return funnel_request_check(out, error);
}

static const char *arena_copy(arena *a, const char *text) { return arena_strndup(a, text, strlen(text)); }

static void fill(forage_results *r) {
    const funnel_hit *hits;
    r->n = funnel_answer_hits(r->answer, &hits);
    r->hits = arena_alloc(&r->memory, (r->n + 1) * sizeof *r->hits);
    for (size_t i = 0; i < r->n; i++)
        r->hits[i] = (forage_hit){.id = arena_strndup(&r->memory, hits[i].id.data, hits[i].id.size),
                                  .type = arena_strndup(&r->memory, hits[i].type.data, hits[i].type.size),
                                  .score = (double)hits[i].score,
                                  .document = arena_strndup(&r->memory, hits[i].source.data, hits[i].source.size),
                                  .strategies = arena_copy(&r->memory, funnel_answer_strategies(r->answer, i))};
    slice id = funnel_answer_query_id(r->answer);
    r->query_id = arena_strndup(&r->memory, id.data, id.size);
    json_writer w = json_writer_of(&r->json);
    funnel_answer_write(r->answer, &w);
    buffer_text(&r->json);
    funnel_answer_release(r->answer); /* it holds a snapshot and a transaction; results may be kept for long */
    r->answer = NULL;
}

FORAGE_API forage_status forage_search(forage_collection *c, const forage_search_request *request, forage_results **out,
                                       forage_error *error) {
    forage_results *r = mem_zalloc(1, sizeof *r);
    funnel_request wanted;
    arena_init(&r->memory, 0);
    forage_status status = request_of(request, &r->memory, &wanted, error);
    if (!status) status = funnel_search(c->funnel, &wanted, &r->answer, error);
    if (status) {
        forage_results_free(r);
        return status;
    }
    fill(r);
    *out = r;
    return FORAGE_OK;
}

FORAGE_API void forage_results_free(forage_results *r) {
    if (!r) return;
    funnel_answer_release(r->answer);
    buffer_release(&r->json);
    arena_release(&r->memory);
    free(r);
}

FORAGE_API size_t forage_results_count(const forage_results *r) { return r->n; }
FORAGE_API forage_hit forage_results_hit(const forage_results *r, size_t i) { return i < r->n ? r->hits[i] : (forage_hit){0}; }
FORAGE_API const char *forage_results_query_id(const forage_results *r) { return r->query_id; }
FORAGE_API const char *forage_results_json(const forage_results *r) { return r->json.data; }

/* ---- Events ---- */

static slice given(const char *text) { return text ? slice_of(text) : (slice){0}; }

FORAGE_API forage_status forage_record_event(forage_collection *c, const forage_event *event, bool *duplicate,
                                             forage_error *error) {
    feedback_event e = {.query_id = given(event->query_id), .action = given(event->action), .document = given(event->document),
                        .event_id = given(event->event_id), .user = given(event->user),
                        .time = event->time_us ? event->time_us : INT64_MIN};
    funnel_event_result result = {0};
    const slice texts[] = {e.query_id, e.action, e.document, e.event_id, e.user};
    forage_status status = feedback_event_check(&e, error);
    for (size_t i = 0; !status && i < sizeof texts / sizeof texts[0]; i++)
        if (!text_valid_utf8(texts[i], NULL)) status = error_set(error, FORAGE_E_EVENT, "event: a text is not valid UTF-8");
    if (!status) status = funnel_record(c->funnel, &e, 1, &result, error);
    if (!status) training_count(c->training, 1);
    if (!status && result.status) status = error_set(error, result.status, "%s", result.message);
    if (!status && duplicate) *duplicate = result.duplicate;
    return status;
}
