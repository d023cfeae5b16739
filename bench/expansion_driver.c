/* What bench_expansion.py runs: texts through a SPLADE model into a sparse index of weights, and queries against it.
 *
 *     expansion_driver --model FOLDER --documents FILE --document-ids FILE --queries FILE --query-ids FILE
 *                      --model-run FILE --tokens-run FILE [--k N] [--most-document N] [--most-query N] [--precision int8|fp32]
 *
 * FILEs have one text or id a line. Queries are asked twice, encoded by the model and as their own tokens by idf; the runs are written in
 * TREC's form. Prints name TAB number: tokens of a document and a query, bytes, and µs of a query, the median: to encode it, to search
 * with pruning and by scoring everything, whose answers must be the same. */
#include "encode/bert.h"
#include "os/clock.h"
#include "os/file.h"
#include "sparse/builder.h"
#include "sparse/search.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_WEIGHT 4.0 /* as a field of weights has it unless it says otherwise */
enum { BATCH = 64 };

typedef struct lines {
    buffer file;
    slice *list;
    size_t n, capacity;
} lines;

typedef struct settings {
    const char *model, *documents, *document_ids, *queries, *query_ids;
    const char *run[2]; /* by the model, by tokens */
    bool exact;
    uint32_t k, most_document, most_query;
} settings;

static const sparse_config config = {
    .n_fields = 1, .fields = {{"learned", SPARSE_WEIGHTS, 0}}, .k1 = 1, .popularity = -1, .type = -1};

static int fail(const char *message) {
    fprintf(stderr, "expansion_driver: %s\n", message);
    return 1;
}

static bool read_settings(int n, char **arguments, settings *s) {
    *s = (settings){.k = 100, .most_document = 256, .most_query = 64};
    for (int i = 1; i + 1 < n; i += 2) {
        const char *name = arguments[i], *value = arguments[i + 1];
        if (!strcmp(name, "--model")) s->model = value;
        else if (!strcmp(name, "--documents")) s->documents = value;
        else if (!strcmp(name, "--document-ids")) s->document_ids = value;
        else if (!strcmp(name, "--queries")) s->queries = value;
        else if (!strcmp(name, "--query-ids")) s->query_ids = value;
        else if (!strcmp(name, "--model-run")) s->run[0] = value;
        else if (!strcmp(name, "--tokens-run")) s->run[1] = value;
        else if (!strcmp(name, "--precision")) s->exact = !strcmp(value, "fp32");
        else if (!strcmp(name, "--k")) s->k = (uint32_t)atoi(value);
        else if (!strcmp(name, "--most-document")) s->most_document = (uint32_t)atoi(value);
        else if (!strcmp(name, "--most-query")) s->most_query = (uint32_t)atoi(value);
        else return false;
    }
    return s->model && s->documents && s->document_ids && s->queries && s->query_ids && s->run[0] && s->run[1];
}

static forage_status read_lines(const char *path, lines *l, base_error *error) {
    forage_status status = os_read_file(path, 0, &l->file, error);
    for (size_t at = 0; !status && at < l->file.size;) {
        const char *start = l->file.data + at, *end = memchr(start, '\n', l->file.size - at);
        size_t size = end ? (size_t)(end - start) : l->file.size - at;
        l->list = mem_grow(l->list, &l->capacity, l->n + 1, sizeof *l->list);
        l->list[l->n++] = (slice){start, size};
        at += size + 1;
    }
    return status;
}

static double microseconds(void) { return (double)clock_monotonic(&os_clock_system); }

static int by_size(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return (a > b) - (a < b);
}

static void print_median(const char *by, const char *name, double *times, size_t n) {
    qsort(times, n, sizeof *times, by_size);
    printf("%s_%s\t%.1f\n", by, name, n ? times[n / 2] : 0);
}

/* ---- Documents ---- */

static forage_status build(bert_model *m, const settings *s, const lines *texts, buffer *image, base_error *error) {
    sparse_builder *b = sparse_builder_create(&config);
    uint32_t *documents = mem_alloc((texts->n + 1) * sizeof *documents);
    uint64_t *versions = mem_alloc((texts->n + 1) * sizeof *versions), postings = 0, cut = 0;
    sparse_statistics statistics;
    arena a;
    arena_init(&a, 0);
    forage_status status = FORAGE_OK;
    double started = microseconds();
    for (size_t from = 0; from < texts->n && !status; from += BATCH, arena_reset(&a)) {
        bert_weights made[BATCH];
        size_t n = texts->n - from < BATCH ? texts->n - from : BATCH;
        status = bert_sparse_encode(m, ENCODE_DOCUMENT, texts->list + from, n, s->most_document, 0, INT64_MAX, &a, made, error);
        for (size_t i = 0; i < n && !status; i++) {
            documents[from + i] = (uint32_t)(from + i);
            versions[from + i] = 1;
            sparse_builder_begin(b);
            for (uint32_t t = 0; t < made[i].n; t++) {
                double steps = (double)made[i].list[t].weight * 255 / MAX_WEIGHT;
                cut += steps > 255;
                if (steps < 0.5) continue;
                sparse_builder_weight(b, 0, bert_token_text(m, made[i].list[t].token), (uint8_t)lround(fmin(steps, 255)));
                postings++;
            }
        }
    }
    printf("documents\t%zu\nencoding_s\t%.1f\ndocument_tokens\t%.1f\ncut_weights\t%llu\n", texts->n, (microseconds() - started) / 1e6,
           (double)postings / (double)texts->n, (unsigned long long)cut);
    sparse_builder_statistics(b, &statistics);
    if (!status) sparse_builder_finish(b, documents, versions, &statistics, image);
    printf("bytes\t%zu\nbits_a_posting\t%.2f\n", image->size, (double)image->size * 8 / (double)postings);
    sparse_builder_destroy(b);
    arena_release(&a);
    free(documents);
    free(versions);
    return status;
}

/* ---- Queries ---- */

typedef struct times {
    double *encoded, *pruned, *exhaustive;
    uint64_t tokens, differ;
} times;

static forage_status ask(bert_model *m, const settings *s, bool own_tokens, const sparse_snapshot *snapshot, slice text, times *t,
                         size_t at, arena *a, sparse_hit *hits, size_t *n_hits, base_error *error) {
    bert_weights made = {0};
    forage_status status = FORAGE_OK;
    double started = microseconds();
    if (own_tokens) made = bert_sparse_tokens(m, text, s->most_query, a);
    else status = bert_sparse_encode(m, ENCODE_QUERY, &text, 1, s->most_query, 0, INT64_MAX, a, &made, error);
    t->encoded[at] = microseconds() - started;
    sparse_query_term *terms = arena_alloc(a, (made.n + 1) * sizeof *terms);
    for (uint32_t i = 0; i < made.n; i++)
        terms[i] = (sparse_query_term){.key = sparse_weight_key(a, 0, bert_token_text(m, made.list[i].token)),
                                       .weight = made.list[i].weight * (float)MAX_WEIGHT};
    for (uint32_t i = 0; own_tokens && i < made.n; i++) terms[i].weight *= sparse_idf(snapshot, terms[i].key);
    t->tokens += made.n;
    sparse_query q = {.terms = terms, .n_terms = made.n, .text_weight = 1};
    sparse_hit *all = arena_alloc(a, s->k * sizeof *all);
    sparse_eligible e;
    sparse_eligible_compute(snapshot, NULL, a, &e);
    started = microseconds();
    *n_hits = sparse_search(&e, &q, s->k, a, hits, NULL);
    t->pruned[at] = microseconds() - started;
    started = microseconds();
    size_t n = sparse_search_exhaustive(&e, &q, s->k, a, all);
    t->exhaustive[at] = microseconds() - started;
    t->differ += n != *n_hits || memcmp(all, hits, n * sizeof *hits) != 0;
    return status;
}

static forage_status run_queries(bert_model *m, const settings *s, bool own_tokens, const sparse_segment *segment, const lines *texts,
                                 const lines *ids, const lines *document_ids, base_error *error) {
    FILE *out = fopen(s->run[own_tokens], "w");
    if (!out) return error_set(error, FORAGE_E_IO, "%s cannot be written", s->run[own_tokens]);
    const sparse_part part = {.segment = segment, .n_live = sparse_segment_count(segment)};
    sparse_snapshot snapshot = {.config = &config, .n_parts = 1, .parts = &part, .live_documents = part.n_live};
    times t = {mem_alloc(texts->n * sizeof(double)), mem_alloc(texts->n * sizeof(double)), mem_alloc(texts->n * sizeof(double)), 0, 0};
    sparse_hit *hits = mem_alloc(s->k * sizeof *hits);
    forage_status status = FORAGE_OK;
    arena a;
    arena_init(&a, 1 << 20);
    sparse_segment_statistics(segment, &snapshot.statistics);
    for (size_t i = 0; i < texts->n && !status; i++, arena_reset(&a)) {
        size_t n = 0;
        status = ask(m, s, own_tokens, &snapshot, texts->list[i], &t, i, &a, hits, &n, error);
        for (size_t h = 0; h < n; h++)
            fprintf(out, "%.*s Q0 %.*s %zu %.6f expansion\n", SLICE_ARG(ids->list[i]), SLICE_ARG(document_ids->list[hits[h].document]),
                    h + 1, (double)hits[h].score);
    }
    const char *by = own_tokens ? "tokens" : "model";
    printf("%s_query_tokens\t%.1f\n%s_differ\t%llu\n", by, (double)t.tokens / (double)texts->n, by, (unsigned long long)t.differ);
    print_median(by, "encode_us", t.encoded, texts->n);
    print_median(by, "pruned_us", t.pruned, texts->n);
    print_median(by, "exhaustive_us", t.exhaustive, texts->n);
    if (fclose(out) && !status) status = error_set(error, FORAGE_E_IO, "%s cannot be written", s->run[own_tokens]);
    arena_release(&a);
    free(hits);
    free(t.encoded);
    free(t.pruned);
    free(t.exhaustive);
    return status;
}

static void release(lines *l) {
    buffer_release(&l->file);
    free(l->list);
}

int main(int argc, char **argv) {
    settings s;
    base_error error = {0};
    bert_model *m = NULL;
    sparse_segment *segment = NULL;
    buffer image = {0};
    lines documents = {0}, document_ids = {0}, queries = {0}, query_ids = {0};
    if (!read_settings(argc, argv, &s)) return fail("which model, texts, ids and run? See the head of the file");
    bert_options options = {.head = BERT_SPARSE, .precision = s.exact ? BERT_FP32 : BERT_INT8, .threads = 1};
    forage_status status = read_lines(s.documents, &documents, &error);
    if (!status) status = read_lines(s.document_ids, &document_ids, &error);
    if (!status) status = read_lines(s.queries, &queries, &error);
    if (!status) status = read_lines(s.query_ids, &query_ids, &error);
    if (!status && (documents.n != document_ids.n || queries.n != query_ids.n))
        status = error_set(&error, FORAGE_E_INVALID, "not as many ids as texts");
    if (!status) status = bert_model_open(s.model, &options, &m, &error);
    if (!status) status = build(m, &s, &documents, &image, &error);
    if (!status) status = sparse_segment_open((slice){image.data, image.size}, &segment, &error);
    for (int own_tokens = 0; own_tokens < 2 && !status; own_tokens++)
        status = run_queries(m, &s, own_tokens, segment, &queries, &query_ids, &document_ids, &error);
    sparse_segment_close(segment);
    bert_model_close(m);
    buffer_release(&image);
    release(&documents);
    release(&document_ids);
    release(&queries);
    release(&query_ids);
    return status ? fail(error.message) : 0;
}
