/* Predicted queries: shown, imported, counted, dropped. */
#include "api/predictions.h"

#include "evaluate/columns.h"
#include "memory/query_memory.h"
#include "text/utf8.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_ERRORS 100
#define JOB_DOCUMENTS 500

/* ---- A look at the collection, for the predictors ---- */

forage_status prediction_world_open(api_call *c, prediction_world *w, base_error *error) {
    collection *k = c->entry->collection;
    collection_refresh(k);
    *w = (prediction_world){.collection = k, .analyzer = text_analyzer_create(), .snapshot = collection_acquire(k)};
    forage_status status = store_read_begin(collection_store(k), &w->txn, error);
    if (!status) w->view = predict_view_of(collection_schema(k), w->snapshot, w->txn, w->analyzer);
    return status;
}

void prediction_world_close(prediction_world *w) {
    store_read_end(w->txn);
    if (w->snapshot) collection_release(w->collection, w->snapshot);
    text_analyzer_destroy(w->analyzer);
    translation_destroy(w->model);
}

/* A collection that has learned no model has none; one that cannot be read is an error. */
forage_status prediction_world_model(prediction_world *w, base_error *error) {
    slice bytes;
    if (store_get(w->txn, STORE_MODELS, SLICE(TRANSLATE_MODEL), &bytes)) return FORAGE_OK;
    return translation_load(bytes, &w->model, error);
}

size_t prediction_guess(prediction_world *w, predict_lenders *lenders, const predict_description *d,
                        predict_source source, arena *a, predict_entry **out) {
    *out = NULL;
    switch (source) {
    case PREDICT_CATALOGUE: return predict_from_catalogue(d, w->analyzer, a, out);
    case PREDICT_BORROWED: return lenders ? predict_from_neighbours(lenders, d, a, out) : 0;
    case PREDICT_TRANSLATED: return lenders && w->model ? predict_from_translation(lenders, w->model, d, a, out) : 0;
    case PREDICT_IMPORTED: case PREDICT_SOURCES: break;
    }
    return 0;
}

/* ---- Storing ---- */

typedef struct storing {
    const prediction_list *list;
    size_t n;
    predict_source source;
    bool replace;
} storing;

static forage_status store_apply(store_txn *t, void *self, base_error *error) {
    const storing *s = self;
    forage_status status = FORAGE_OK;
    for (size_t i = 0; !status && i < s->n; i++)
        status = predict_store(t, s->list[i].document, s->source, s->list[i].entries, s->list[i].n, s->replace, NULL,
                               error);
    return status;
}

forage_status prediction_store(collection *k, const prediction_list *list, size_t n, predict_source source, bool replace,
                               base_error *error) {
    forage_status status = FORAGE_OK;
    for (size_t at = 0; !status && at < n; at += JOB_DOCUMENTS) {
        storing s = {list + at, n - at < JOB_DOCUMENTS ? n - at : JOB_DOCUMENTS, source, replace};
        store_job job = {store_apply, NULL, &s};
        status = store_write(collection_store(k), &job, error);
    }
    return status;
}

typedef struct publishing {
    query_memory *memory;
    forage_status status;
    base_error *error;
} publishing;

static forage_status publish_apply(store_txn *t, void *self, base_error *error) {
    (void)t, (void)self, (void)error;
    return FORAGE_OK;
}

static void publish_committed(void *self, forage_status status) {
    publishing *p = self;
    if (!status) p->status = query_memory_refresh(p->memory, p->error);
}

/* The memory is refreshed by the writer thread, as everything that changes it: so this is a job that stores nothing. */
forage_status prediction_publish(api_call *c, base_error *error) {
    publishing p = {.memory = funnel_memory(c->entry->funnel), .error = error};
    store_job job = {publish_apply, publish_committed, &p};
    forage_status status = store_write(collection_store(c->entry->collection), &job, error);
    return status ? status : p.status;
}

/* ---- Showing ---- */

static void write_entry(json_writer *w, slice query, float score) {
    json_begin_object(w);
    json_key(w, "query");
    json_string(w, query);
    json_key(w, "score");
    json_float(w, score);
}

static void write_stored(api_call *c, store_txn *t, uint32_t document, size_t limit) {
    json_writer *w = &c->json;
    prediction *list;
    size_t n = predict_of_document(t, document, &c->memory, &list);
    json_key(w, "predictions");
    json_begin_array(w);
    for (size_t i = 0; i < n && i < limit; i++) {
        write_entry(w, list[i].query, list[i].score);
        json_key(w, "sources");
        json_begin_object(w);
        for (int s = 0; s < PREDICT_SOURCES; s++) {
            if (list[i].scores[s] == 0) continue;
            json_key(w, predict_source_name((predict_source)s));
            json_float(w, list[i].scores[s]);
        }
        json_end_object(w);
        json_end_object(w);
    }
    json_end_array(w);
}

static forage_status write_guesses(api_call *c, prediction_world *w, uint32_t document, size_t limit, base_error *error) {
    predict_description d;
    forage_status status = prediction_world_model(w, error);
    if (status || !predict_describe(&w->view, document, &c->memory, &d)) return status;
    predict_lenders *lenders = predict_lenders_create(w->txn, w->snapshot, (predict_split){0}, w->analyzer);
    json_key(&c->json, "suggestions");
    json_begin_object(&c->json);
    for (predict_source s = PREDICT_CATALOGUE; s < PREDICT_IMPORTED; s++) {
        predict_entry *list;
        size_t n = prediction_guess(w, lenders, &d, s, &c->memory, &list);
        json_key(&c->json, predict_source_name(s));
        json_begin_array(&c->json);
        for (size_t i = 0; i < n && i < limit; i++) {
            write_entry(&c->json, list[i].query, list[i].score);
            json_end_object(&c->json);
        }
        json_end_array(&c->json);
    }
    json_end_object(&c->json);
    predict_lenders_destroy(lenders);
    return FORAGE_OK;
}

forage_status api_get_document_predictions(api_call *c, base_error *error) {
    prediction_world w;
    uint32_t document;
    int64_t limit = 20;
    bool suggest = slice_is(api_parameter_of(c, "suggest"), "true");
    forage_status status = api_parameter_integer(c, "limit", 0, PREDICT_MAX_QUERIES, &limit, error);
    if (status) return status;
    status = prediction_world_open(c, &w, error);
    if (!status && !collection_number_of(w.txn, c->id, &document))
        status = error_set(error, FORAGE_E_NO_DOCUMENT, "there is no document \"%.*s\"", SLICE_ARG(c->id));
    if (!status) {
        json_begin_object(&c->json);
        json_key(&c->json, "document");
        json_string(&c->json, c->id);
        write_stored(c, w.txn, document, (size_t)limit);
        if (suggest) status = write_guesses(c, &w, document, (size_t)limit, error);
        json_end_object(&c->json);
    }
    prediction_world_close(&w);
    return status;
}

/* ---- Counting ---- */

forage_status api_get_predictions(api_call *c, base_error *error) {
    prediction_world w;
    forage_status status = prediction_world_open(c, &w, error);
    if (!status) {
        predict_counts counts = predict_count(w.txn);
        json_begin_object(&c->json);
        json_key(&c->json, "documents");
        json_integer(&c->json, (int64_t)counts.documents);
        json_key(&c->json, "predictions");
        json_integer(&c->json, (int64_t)counts.pairs);
        json_key(&c->json, "sources");
        json_begin_object(&c->json);
        for (int s = 0; s < PREDICT_SOURCES; s++) {
            json_key(&c->json, predict_source_name((predict_source)s));
            json_integer(&c->json, (int64_t)counts.of_source[s]);
        }
        json_end_object(&c->json);
        json_key(&c->json, "queries");
        json_integer(&c->json, (int64_t)store_count(w.txn, STORE_QUERIES));
        bool trained = !prediction_world_model(&w, NULL) && w.model;
        json_key(&c->json, "model");
        if (!trained) json_null(&c->json);
        else {
            json_begin_object(&c->json);
            json_key(&c->json, "pairs");
            json_integer(&c->json, (int64_t)translation_pairs(w.model));
            json_key(&c->json, "terms");
            json_integer(&c->json, (int64_t)translation_terms(w.model));
            json_end_object(&c->json);
        }
        json_end_object(&c->json);
    }
    prediction_world_close(&w);
    return status;
}

/* ---- Dropping ---- */

typedef struct dropping {
    predict_source source;
    uint32_t document;
    uint32_t from; /* where this job starts: it may run again */
    bool done;
} dropping;

static forage_status drop_apply(store_txn *t, void *self, base_error *error) {
    dropping *d = self;
    d->document = d->from;
    return predict_drop(t, d->source, &d->document, &d->done, error);
}

forage_status api_delete_predictions(api_call *c, base_error *error) {
    dropping d = {.source = PREDICT_SOURCES};
    slice name = api_parameter_of(c, "source");
    forage_status status = FORAGE_OK;
    if (name.size) status = prediction_source_read(name, PREDICT_SOURCES, &d.source, error);
    while (!status && !d.done) {
        store_job job = {drop_apply, NULL, &d};
        status = store_write(collection_store(c->entry->collection), &job, error);
        d.from = d.document;
    }
    if (!status) status = prediction_publish(c, error);
    return status ? status : api_get_predictions(c, error);
}

/* `below`: the sources that may be named here. */
forage_status prediction_source_read(slice name, predict_source below, predict_source *out, base_error *error) {
    if (predict_source_from_name(name, out) && *out < below) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "there is no source \"%.*s\"; use catalogue, borrowed%s translated%s",
                     SLICE_ARG(name), below == PREDICT_SOURCES ? "," : " or",
                     below == PREDICT_SOURCES ? " or imported" : "");
}

/* ---- Importing ---- */

typedef struct importing {
    api_call *c;
    prediction_world *w;
    prediction_list *lists; /* a document's queries, as they come one after the other */
    size_t n_lists, lists_capacity;
    predict_entry *entries;
    size_t n_entries, entries_capacity;
    arena texts;
    uint64_t received, stored, failed, line;
    buffer errors;
    json_writer error_json;
    size_t n_errors;
    buffer normalized;
    arena line_memory; /* of one line */
} importing;

static void refuse(importing *x, const char *message) {
    x->failed++;
    if (x->n_errors++ >= MAX_ERRORS) return;
    json_begin_object(&x->error_json);
    json_key(&x->error_json, "line");
    json_integer(&x->error_json, (int64_t)x->line);
    json_key(&x->error_json, "message");
    json_text(&x->error_json, message);
    json_end_object(&x->error_json);
}

static forage_status flush(importing *x, base_error *error) {
    predict_entry *next = x->entries;
    for (size_t i = 0; i < x->n_lists; i++) {
        x->lists[i].entries = next;
        next += x->lists[i].n;
    }
    store_read_end(x->w->txn); /* a store that grows waits for its readers, and so for this one */
    x->w->txn = NULL;
    forage_status status = prediction_store(x->w->collection, x->lists, x->n_lists, PREDICT_IMPORTED, false, error);
    if (!status) status = store_read_begin(collection_store(x->w->collection), &x->w->txn, error);
    if (!status) x->stored += x->n_entries;
    x->n_lists = x->n_entries = 0;
    arena_reset(&x->texts);
    return status;
}

#define FLUSH_AT 20000     /* predictions */
#define LONGEST_QUERY 4096 /* bytes, as it is written: longer ones are not even looked at */

static void add_query(importing *x, uint32_t document, slice query, double score) {
    arena *a = &x->line_memory;
    x->received++;
    if (query.size <= LONGEST_QUERY) text_normalize_query(x->w->analyzer, query, &x->normalized);
    slice normalized = {x->normalized.data, x->normalized.size};
    if (query.size <= LONGEST_QUERY && !normalized.size) return refuse(x, "\"query\": it has no words");
    if (query.size > LONGEST_QUERY || normalized.size > PREDICT_MAX_TEXT)
        return refuse(x, arena_printf(a, "\"query\": longer than %d bytes", PREDICT_MAX_TEXT));
    if (!(score > 0 && score <= 1))
        return refuse(x, arena_printf(a, "\"score\": expected a number above 0 and up to 1, got %g", score));
    bool same = x->n_lists && x->lists[x->n_lists - 1].document == document;
    if (!same) {
        x->lists = mem_grow(x->lists, &x->lists_capacity, x->n_lists + 1, sizeof *x->lists);
        x->lists[x->n_lists++] = (prediction_list){document, NULL, 0};
    }
    x->lists[x->n_lists - 1].n++;
    x->entries = mem_grow(x->entries, &x->entries_capacity, x->n_entries + 1, sizeof *x->entries);
    x->entries[x->n_entries++] = (predict_entry){arena_slice(&x->texts, normalized), (float)score};
}

#define USUAL_SCORE 0.5 /* of a line without one */
#define LONGEST_ID 200  /* in a message */

static bool find_document(importing *x, slice id, uint32_t *document) {
    if (id.size && collection_number_of(x->w->txn, id, document)) return true;
    x->received++;
    slice shown = {id.data, text_cut(id.data, id.size, LONGEST_ID)};
    refuse(x, id.size ? arena_printf(&x->line_memory, "there is no document \"%.*s%s\"", SLICE_ARG(shown),
                                     shown.size < id.size ? "…" : "")
                      : "it names no document");
    return false;
}

static slice id_of(const json_value *json) {
    static const char *const names[] = {"document", "id", "_id", "docid"};
    for (size_t i = 0; i < 4; i++) {
        const json_value *v = json_get(json, names[i]);
        if (v && (v->type == JSON_STRING || v->type == JSON_NUMBER)) return v->text;
    }
    return (slice){0};
}

/* {"document", "query", "score"}, or a document's whole list: {"id", "predicted_queries": […], "scores": […]}. */
static void add_json(importing *x, slice line) {
    static const char *const lists[] = {"queries", "predicted_queries"};
    json_value *json;
    base_error why;
    uint32_t document;
    if (json_read(&x->line_memory, line, &json, &why)) {
        x->received++;
        return refuse(x, why.message);
    }
    if (!find_document(x, id_of(json), &document)) return;
    const json_value *score = json_get(json, "score"), *query = json_get(json, "query");
    double value = score && score->type == JSON_NUMBER ? score->number : score && score->type != JSON_NULL ? NAN : USUAL_SCORE;
    if (query && query->type == JSON_STRING) return add_query(x, document, query->text, value);
    const json_value *list = json_get(json, lists[0]) ? json_get(json, lists[0]) : json_get(json, lists[1]);
    const json_value *scores = json_get(json, "scores");
    const json_value *each = scores && scores->type == JSON_ARRAY ? scores->first : NULL;
    if (!list || list->type != JSON_ARRAY) {
        x->received++;
        return refuse(x, "\"query\": expected a text, or \"predicted_queries\" with an array of texts");
    }
    for (const json_value *q = list->first; q; q = q->next, each = each ? each->next : NULL)
        add_query(x, document, q->type == JSON_STRING ? q->text : (slice){0},
                  each && each->type == JSON_NUMBER ? each->number : value);
}

static void add_columns(importing *x, slice line) {
    slice columns[3] = {{0}};
    double score = USUAL_SCORE;
    uint32_t document;
    size_t n = columns_split_tabs(line, columns, 3);
    bool header = x->line == 1 && (slice_is(columns[1], "query") || slice_is(columns[1], "text"));
    if (header) return;
    if (n < 2 || (columns[2].size && !column_number(columns[2], &score))) {
        x->received++;
        return refuse(x, n < 2 ? "expected document, query and score, parted by tabs"
                               : "the third column is no number; expected document, query and score, parted by tabs");
    }
    if (find_document(x, columns[0], &document)) add_query(x, document, columns[1], score);
}

static forage_status import_lines(importing *x, slice body, base_error *error) {
    line_reader lines = line_reader_of(body);
    forage_status status = FORAGE_OK;
    for (slice line; !status && line_next(&lines, &line); x->line++) {
        while (line.size && line.data[line.size - 1] == ' ') line.size--;
        if (!line.size) continue;
        if (!text_valid_utf8(line, NULL)) x->received++, refuse(x, "it is not UTF-8");
        else if (line.data[0] == '{') add_json(x, line);
        else add_columns(x, line);
        arena_reset(&x->line_memory);
        if (x->n_entries >= FLUSH_AT) status = flush(x, error);
    }
    return status ? status : flush(x, error);
}

static void write_report(importing *x) {
    json_writer *w = &x->c->json;
    json_end_array(&x->error_json);
    json_begin_object(w);
    json_key(w, "received");
    json_integer(w, (int64_t)x->received);
    json_key(w, "stored");
    json_integer(w, (int64_t)x->stored);
    json_key(w, "failed");
    json_integer(w, (int64_t)x->failed);
    json_key(w, "errors");
    json_raw(w, (slice){x->errors.data, x->errors.size});
    json_end_object(w);
}

forage_status api_post_predictions(api_call *c, base_error *error) {
    prediction_world w;
    int64_t first_line = 1;
    forage_status status = api_parameter_integer(c, "first_line", 1, INT64_MAX, &first_line, error);
    if (status) return status;
    status = prediction_world_open(c, &w, error);
    importing x = {.c = c, .w = &w, .line = (uint64_t)first_line};
    x.error_json = json_writer_of(&x.errors);
    arena_init(&x.texts, 0);
    arena_init(&x.line_memory, 0);
    json_begin_array(&x.error_json);
    if (!status) status = import_lines(&x, (slice){c->request->body, c->request->body_size}, error);
    if (!status) status = prediction_publish(c, error);
    if (!status) write_report(&x);
    arena_release(&x.texts);
    arena_release(&x.line_memory);
    buffer_release(&x.errors);
    buffer_release(&x.normalized);
    free(x.lists);
    free(x.entries);
    prediction_world_close(&w);
    return status;
}
