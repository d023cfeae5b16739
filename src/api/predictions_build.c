/* Predicted queries: made for many documents, and how good they are. */
#include "api/predictions.h"

#include "base/bytes.h"
#include "memory/query_memory.h"

#include <stdlib.h>
#include <string.h>

/* ---- Which sources ---- */

typedef struct chosen {
    bool sources[PREDICT_SOURCES];
} chosen;

static forage_status read_sources(const json_value *json, predict_source below, chosen *out, base_error *error) {
    const json_value *list = json_get(json, "sources");
    for (predict_source s = PREDICT_CATALOGUE; s < below; s++) out->sources[s] = !list || list->type == JSON_NULL;
    if (!list || list->type == JSON_NULL) return FORAGE_OK;
    if (list->type != JSON_ARRAY || !list->first)
        return error_set(error, FORAGE_E_INVALID, "\"sources\": expected an array of names");
    for (const json_value *name = list->first; name; name = name->next) {
        predict_source s;
        forage_status status = prediction_source_read(name->type == JSON_STRING ? name->text : (slice){0}, below, &s, error);
        if (status) return error_prefix(error, "\"sources\"");
        out->sources[s] = true;
    }
    return FORAGE_OK;
}

static bool needs_lenders(const chosen *c) { return c->sources[PREDICT_BORROWED] || c->sources[PREDICT_TRANSLATED]; }

/* ---- Build ---- */

#define MOST_DOCUMENTS 10000 /* of one request: they are all predicted before any is stored */

typedef struct building {
    api_call *c;
    prediction_world *w;
    chosen chosen;
    int64_t per_document, documents;
    uint32_t from;
    predict_lenders *lenders;
    prediction_list *lists[PREDICT_IMPORTED]; /* by source, a document each */
    size_t n;
    uint64_t predicted;
    arena texts, scratch;
    uint32_t next;
    bool more;
} building;

static const predict_entry *keep_entries(arena *a, const predict_entry *list, size_t n) {
    predict_entry *kept = arena_alloc(a, (n + 1) * sizeof *kept);
    for (size_t i = 0; i < n; i++) kept[i] = (predict_entry){arena_slice(a, list[i].query), list[i].score};
    return kept;
}

static void predict_one(building *b, uint32_t document) {
    predict_description d;
    arena_reset(&b->scratch);
    if (!predict_describe(&b->w->view, document, &b->scratch, &d)) return;
    for (predict_source s = PREDICT_CATALOGUE; s < PREDICT_IMPORTED; s++) {
        predict_entry *entries;
        if (!b->chosen.sources[s]) continue;
        size_t n = prediction_guess(b->w, b->lenders, &d, s, &b->scratch, &entries);
        if (n > (size_t)b->per_document) n = (size_t)b->per_document;
        b->lists[s][b->n] = (prediction_list){d.document, keep_entries(&b->texts, entries, n), n};
        b->predicted += n;
    }
    b->n++;
}

static forage_status predict_all(building *b, base_error *error) {
    uint8_t from[4];
    slice key, value;
    store_cursor *cursor;
    store_be32(from, b->from);
    forage_status status = store_cursor_open(b->w->txn, STORE_DOCUMENTS, (slice){(const char *)from, 4}, &cursor, error);
    if (status) return status;
    for (int s = 0; s < PREDICT_IMPORTED; s++) b->lists[s] = mem_alloc((size_t)b->documents * sizeof *b->lists[s]);
    while (!b->more && store_cursor_next(cursor, &key, &value)) {
        if (key.size != 4) continue;
        b->next = load_be32(key.data);
        b->more = b->n == (size_t)b->documents;
        if (!b->more) predict_one(b, b->next);
    }
    store_cursor_close(cursor);
    return FORAGE_OK;
}

static void write_built(building *b) {
    json_writer *w = &b->c->json;
    json_begin_object(w);
    json_key(w, "documents");
    json_integer(w, (int64_t)b->n);
    json_key(w, "predictions");
    json_integer(w, (int64_t)b->predicted);
    json_key(w, "next");
    if (b->more) json_integer(w, b->next);
    else json_null(w);
    json_end_object(w);
}

static forage_status read_build(building *b, base_error *error) {
    static const char *const members[] = {"sources", "per_document", "documents", "from", NULL};
    json_value *json;
    int64_t from = 0;
    forage_status status = api_body(b->c, &json, error);
    if (!status) status = json_only_members(json, members, error);
    if (!status) status = json_member_integer(json, "per_document", 1, PREDICT_MAX_QUERIES, &b->per_document, error);
    if (!status) status = json_member_integer(json, "documents", 1, MOST_DOCUMENTS, &b->documents, error);
    if (!status) status = json_member_integer(json, "from", 0, UINT32_MAX, &from, error);
    if (!status) status = read_sources(json, PREDICT_IMPORTED, &b->chosen, error);
    b->from = (uint32_t)from;
    return status;
}

static forage_status predict_them(building *b, base_error *error) {
    forage_status status = prediction_world_open(b->c, b->w, error);
    if (!status) status = prediction_world_model(b->w, error);
    if (!status && needs_lenders(&b->chosen))
        b->lenders = predict_lenders_create(b->w->txn, b->w->snapshot, (predict_split){0}, b->w->analyzer);
    if (!status) status = predict_all(b, error);
    predict_lenders_destroy(b->lenders);
    prediction_world_close(b->w); /* a store that grows waits for its readers, and so for this one */
    return status;
}

forage_status api_post_predictions_build(api_call *c, base_error *error) {
    prediction_world w = {0};
    building b = {.c = c, .w = &w, .per_document = 8, .documents = 5000};
    arena_init(&b.texts, 1 << 20);
    arena_init(&b.scratch, 1 << 18);
    forage_status status = read_build(&b, error);
    if (!status) status = predict_them(&b, error);
    for (predict_source s = PREDICT_CATALOGUE; !status && s < PREDICT_IMPORTED; s++)
        if (b.chosen.sources[s]) status = prediction_store(c->entry->collection, b.lists[s], b.n, s, true, error);
    if (!status) status = prediction_publish(c, error);
    if (!status) write_built(&b);
    for (int s = 0; s < PREDICT_IMPORTED; s++) free(b.lists[s]);
    arena_release(&b.texts);
    arena_release(&b.scratch);
    return status;
}

/* ---- Train ---- */

#define MAX_PAIRS 1000000

static size_t describe_terms(void *self, uint32_t document, arena *a, slice **terms) {
    const prediction_world *w = self;
    predict_description d;
    *terms = NULL;
    return predict_describe(&w->view, document, a, &d) ? predict_terms(&d, w->analyzer, TRANSLATE_MAX_WORDS, a, terms) : 0;
}

static translation *train(prediction_world *w, predict_lenders *lenders, int64_t iterations) {
    translation *m = translation_create();
    predict_teach(lenders, m, describe_terms, w, MAX_PAIRS);
    translation_train(m, (unsigned)iterations);
    return m;
}

static forage_status save_model(store_txn *t, void *self, base_error *error) {
    const buffer *bytes = self;
    return store_put(t, STORE_MODELS, SLICE(TRANSLATE_MODEL), (slice){bytes->data, bytes->size}, error);
}

static void write_trained(api_call *c, const translation *m) {
    json_begin_object(&c->json);
    json_key(&c->json, "pairs");
    json_integer(&c->json, (int64_t)translation_pairs(m));
    json_key(&c->json, "terms");
    json_integer(&c->json, (int64_t)translation_terms(m));
    json_end_object(&c->json);
}

static void train_model(api_call *c, prediction_world *w, int64_t iterations, buffer *bytes) {
    predict_lenders *lenders = predict_lenders_create(w->txn, w->snapshot, (predict_split){0}, w->analyzer);
    w->model = train(w, lenders, iterations);
    predict_lenders_destroy(lenders);
    translation_save(w->model, bytes);
    write_trained(c, w->model);
}

forage_status api_post_predictions_train(api_call *c, base_error *error) {
    static const char *const members[] = {"iterations", NULL};
    prediction_world w = {0};
    json_value *json;
    int64_t iterations = 5;
    buffer bytes = {0};
    forage_status status = api_body(c, &json, error);
    if (!status) status = json_only_members(json, members, error);
    if (!status) status = json_member_integer(json, "iterations", 1, 50, &iterations, error);
    if (!status) {
        status = prediction_world_open(c, &w, error);
        if (!status) train_model(c, &w, iterations, &bytes);
        prediction_world_close(&w);
    }
    store_job job = {save_model, NULL, &bytes};
    if (!status) status = store_write(collection_store(c->entry->collection), &job, error);
    buffer_release(&bytes);
    return status;
}

/* ---- Evaluate ---- */

#define HELD_OUT_OF 5

typedef struct held_pair {
    uint32_t document;
    hash128 key;
} held_pair;

typedef struct judging {
    prediction_world *w;
    predict_lenders *lenders;
    chosen chosen;
    predict_split split;
    int64_t per_document, most;
    held_pair *pairs;
    size_t n, capacity;
    struct { uint64_t found; double reciprocal; } result[PREDICT_SOURCES + 1]; /* the last: all sources together */
    arena scratch;
} judging;

static bool collect(void *self, const memory_query *q) {
    judging *j = self;
    memory_row *rows;
    arena a;
    arena_init(&a, 0);
    size_t n = memory_rows_of(j->w->txn, q->key, MEMORY_MAX_ROWS, &a, &rows);
    for (size_t i = 0; i < n && j->n < (size_t)j->most; i++) {
        if (!(rows[i].rewards > 0) || !predict_held_out(j->split, q->key, rows[i].document)) continue;
        j->pairs = mem_grow(j->pairs, &j->capacity, j->n + 1, sizeof *j->pairs);
        j->pairs[j->n++] = (held_pair){rows[i].document, q->key};
    }
    arena_release(&a);
    return j->n < (size_t)j->most;
}

static int by_document(const void *x, const void *y) {
    const held_pair *a = x, *b = y;
    return a->document != b->document ? (a->document > b->document ? 1 : -1) : memcmp(&a->key, &b->key, sizeof a->key);
}

static int best_first(const void *x, const void *y) {
    const predict_entry *a = x, *b = y;
    return a->score != b->score ? (a->score > b->score ? -1 : 1) : slice_compare(a->query, b->query);
}

static size_t imported(judging *j, uint32_t document, predict_entry **out) {
    prediction *stored;
    size_t n = 0, n_stored = predict_of_document(j->w->txn, document, &j->scratch, &stored);
    predict_entry *list = arena_alloc(&j->scratch, (n_stored + 1) * sizeof *list);
    for (size_t i = 0; i < n_stored; i++)
        if (stored[i].scores[PREDICT_IMPORTED] > 0)
            list[n++] = (predict_entry){stored[i].query, stored[i].scores[PREDICT_IMPORTED]};
    if (n) qsort(list, n, sizeof *list, best_first);
    *out = list;
    return n;
}

/* The place of a query in a list, from 1; 0: it is not among the first per_document. A query counts once. */
static void judge_list(judging *j, int source, const predict_entry *list, size_t n, const held_pair *pairs, size_t n_pairs) {
    uint32_t place = 0;
    for (size_t i = 0; i < n && place < (uint32_t)j->per_document; i++) {
        if (i && slice_equal(list[i].query, list[i - 1].query)) continue;
        place++;
        hash128 key = memory_key(list[i].query);
        for (size_t p = 0; p < n_pairs; p++)
            if (memcmp(&pairs[p].key, &key, sizeof key) == 0) {
                j->result[source].found++;
                j->result[source].reciprocal += 1.0 / place;
            }
    }
}

/* All sources together: each query once, with the best score that any gives it. */
static size_t once(predict_entry *list, size_t n) {
    size_t kept = 0;
    if (n) qsort(list, n, sizeof *list, best_first);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        while (at < kept && !slice_equal(list[at].query, list[i].query)) at++;
        if (at == kept) list[kept++] = list[i];
    }
    return kept;
}

static void judge_document(judging *j, const held_pair *pairs, size_t n_pairs) {
    predict_description d;
    predict_entry *all, *list;
    size_t n_all = 0;
    arena_reset(&j->scratch);
    if (!predict_describe(&j->w->view, pairs[0].document, &j->scratch, &d)) return;
    all = arena_alloc(&j->scratch, PREDICT_SOURCES * PREDICT_MAX_QUERIES * sizeof *all);
    for (predict_source s = PREDICT_CATALOGUE; s < PREDICT_SOURCES; s++) {
        if (!j->chosen.sources[s]) continue;
        size_t n = s == PREDICT_IMPORTED ? imported(j, d.document, &list)
                                         : prediction_guess(j->w, j->lenders, &d, s, &j->scratch, &list);
        judge_list(j, s, list, n, pairs, n_pairs);
        if (n) memcpy(all + n_all, list, n * sizeof *all);
        n_all += n;
    }
    judge_list(j, PREDICT_SOURCES, all, once(all, n_all), pairs, n_pairs);
}

static void judge(judging *j) {
    memory_each_query(j->w->txn, collect, j);
    if (j->n) qsort(j->pairs, j->n, sizeof *j->pairs, by_document);
    for (size_t i = 0, end; i < j->n; i = end) {
        for (end = i + 1; end < j->n && j->pairs[end].document == j->pairs[i].document;) end++;
        judge_document(j, j->pairs + i, end - i);
    }
}

static void write_result(api_call *c, const judging *j, int source, const char *name) {
    double n = j->n ? (double)j->n : 1;
    json_begin_object(&c->json);
    json_key(&c->json, "source");
    json_text(&c->json, name);
    json_key(&c->json, "found");
    json_integer(&c->json, (int64_t)j->result[source].found);
    json_key(&c->json, "recall");
    json_float(&c->json, (double)j->result[source].found / n);
    json_key(&c->json, "mrr");
    json_float(&c->json, j->result[source].reciprocal / n);
    json_end_object(&c->json);
}

static void write_judged(api_call *c, const judging *j) {
    json_begin_object(&c->json);
    json_key(&c->json, "pairs");
    json_integer(&c->json, (int64_t)j->n);
    json_key(&c->json, "per_document");
    json_integer(&c->json, j->per_document);
    json_key(&c->json, "sources");
    json_begin_array(&c->json);
    for (int s = 0; s < PREDICT_SOURCES; s++)
        if (j->chosen.sources[s]) write_result(c, j, s, predict_source_name((predict_source)s));
    write_result(c, j, PREDICT_SOURCES, "all");
    json_end_array(&c->json);
    json_end_object(&c->json);
}

forage_status api_post_predictions_evaluate(api_call *c, base_error *error) {
    static const char *const members[] = {"sources", "per_document", "pairs", "iterations", NULL};
    prediction_world w = {0};
    judging j = {.w = &w, .split = {HELD_OUT_OF, 0}, .per_document = 10, .most = 2000};
    int64_t iterations = 5;
    json_value *json;
    arena_init(&j.scratch, 1 << 18);
    forage_status status = api_body(c, &json, error);
    if (!status) status = json_only_members(json, members, error);
    if (!status) status = read_sources(json, PREDICT_SOURCES, &j.chosen, error);
    if (!status) status = json_member_integer(json, "per_document", 1, PREDICT_MAX_QUERIES, &j.per_document, error);
    if (!status) status = json_member_integer(json, "pairs", 1, 100000, &j.most, error);
    if (!status) status = json_member_integer(json, "iterations", 1, 50, &iterations, error);
    if (!status) status = prediction_world_open(c, &w, error);
    if (!status && needs_lenders(&j.chosen)) {
        j.lenders = predict_lenders_create(w.txn, w.snapshot, j.split, w.analyzer);
        if (j.chosen.sources[PREDICT_TRANSLATED]) w.model = train(&w, j.lenders, iterations);
    }
    if (!status) judge(&j);
    if (!status) write_judged(c, &j);
    predict_lenders_destroy(j.lenders);
    prediction_world_close(&w);
    arena_release(&j.scratch);
    free(j.pairs);
    return status;
}
