/* What 8 bits an impact cost: nDCG@10 of the search as it is beside the same formula in double from the frequencies.
 *
 *     impacts_driver DOCUMENTS QUERIES JUDGMENTS
 *
 * DOCUMENTS: id TAB title TAB text, a line each; QUERIES: id TAB text; JUDGMENTS as `forage eval` takes them. English, the
 * weights and constants of a collection. Prints: queries, nDCG@10 by impacts, nDCG@10 exact, queries whose ten differ. */
#include "evaluate/metrics.h"
#include "os/file.h"
#include "sparse/builder.h"
#include "sparse/search.h"
#include "text/analyze.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { TITLE, TEXT, DEPTH = 10, MOST_TERMS = 1024 };
#define K1 0.9f
#define B 0.4f

static const sparse_config config = {.n_fields = 2, .fields = {{"title", SPARSE_TEXT, 3}, {"text", SPARSE_TEXT, 1}},
                                     .k1 = K1, .b = B, .popularity = -1, .type = -1};

typedef struct corpus {
    slice *ids;
    uint32_t n;
    buffer image;
    sparse_segment *segment;
    sparse_part part;
    sparse_snapshot snapshot;
} corpus;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "impacts_driver: %s\n", what);
    exit(1);
}

static slice read_file(const char *path) {
    buffer bytes = {0};
    if (os_read_file(path, 0, &bytes, NULL)) fail(path);
    return (slice){bytes.data, bytes.size}; /* kept to the end */
}

/* The next part of *rest up to `separator`, which is taken, too. */
static slice cut(slice *rest, char separator) {
    const char *end = memchr(rest->data, separator, rest->size);
    slice part = {rest->data, end ? (size_t)(end - rest->data) : rest->size};
    size_t taken = part.size + (end != NULL);
    *rest = (slice){rest->data + taken, rest->size - taken};
    return part;
}

static void add_text(sparse_builder *b, uint32_t field, text_analyzer *analyzer, slice text) {
    text_tokens found = text_analyze(analyzer, text, TEXT_EN, 0);
    for (size_t i = 0; i < found.count; i++) sparse_builder_term(b, field, found.tokens[i].term);
}

static void build(corpus *c, slice lines, text_analyzer *analyzer) {
    sparse_builder *b = sparse_builder_create(&config);
    size_t room = 0;
    while (lines.size > 0) {
        slice line = cut(&lines, '\n');
        c->ids = mem_grow(c->ids, &room, c->n + 1, sizeof *c->ids);
        c->ids[c->n++] = cut(&line, '\t');
        sparse_builder_begin(b);
        add_text(b, TITLE, analyzer, cut(&line, '\t'));
        add_text(b, TEXT, analyzer, line);
    }
    uint32_t *numbers = mem_alloc(c->n * sizeof *numbers);
    uint64_t *versions = mem_zalloc(c->n, sizeof *versions);
    for (uint32_t i = 0; i < c->n; i++) numbers[i] = i;
    sparse_builder_statistics(b, &c->snapshot.statistics);
    sparse_builder_finish(b, numbers, versions, &c->snapshot.statistics, &c->image);
    base_error error = {0};
    if (sparse_segment_open((slice){c->image.data, c->image.size}, &c->segment, &error)) fail(error.message);
    c->part = (sparse_part){.segment = c->segment, .n_live = c->n};
    c->snapshot.config = &config;
    c->snapshot.n_parts = 1;
    c->snapshot.parts = &c->part;
    c->snapshot.live_documents = c->n;
    sparse_builder_destroy(b);
    free(numbers);
    free(versions);
}

/* ---- Exact scores ---- */

static double saturation(const corpus *c, const sparse_term *t, uint32_t place) {
    uint32_t frequency[SPARSE_MAX_FIELDS];
    const sparse_statistics *st = &c->snapshot.statistics;
    double x = 0;
    if (!sparse_term_frequencies(t, place, frequency)) fail("a posting without positions");
    for (uint32_t f = 0; f < 2; f++) {
        if (frequency[f] == 0) continue;
        double average = (double)st->length[f] / (double)st->having[f];
        double length = (double)sparse_segment_length(c->segment, f, place);
        x += (double)config.fields[f].weight * frequency[f] / (1 - (double)B + (double)B * length / average);
    }
    return x / ((double)K1 + x);
}

static void add_scores(const corpus *c, slice key, double *scores) {
    sparse_term t;
    if (!sparse_segment_term(c->segment, key, &t)) return;
    double idf = log1p(((double)c->n - t.df + 0.5) / (t.df + 0.5));
    for (uint32_t b = 0; b < t.n_blocks; b++) {
        uint32_t places[SPARSE_BLOCK + 8];
        uint8_t impacts[SPARSE_BLOCK + 8];
        uint32_t n = sparse_block_decode(&t, b, places, impacts);
        for (uint32_t i = 0; i < n; i++) scores[places[i]] += idf * ((double)K1 + 1) * saturation(c, &t, places[i]);
    }
}

/* The best by exact score, ties by number: how many. */
static size_t search_exactly(const corpus *c, const sparse_query *query, double *scores, uint32_t best[DEPTH]) {
    size_t n = 0;
    memset(scores, 0, c->n * sizeof *scores);
    for (size_t i = 0; i < query->n_terms; i++) add_scores(c, query->terms[i].key, scores);
    for (uint32_t d = 0; d < c->n; d++) {
        if (!(scores[d] > 0) || (n == DEPTH && !(scores[d] > scores[best[DEPTH - 1]]))) continue;
        size_t at = n < DEPTH ? n++ : DEPTH - 1;
        for (; at > 0 && scores[best[at - 1]] < scores[d]; at--) best[at] = best[at - 1];
        best[at] = d;
    }
    return n;
}

/* ---- Queries ---- */

static double measure(const corpus *c, const judgments *j, slice query, const uint32_t *best, size_t n) {
    slice ids[DEPTH];
    for (size_t i = 0; i < n; i++) ids[i] = c->ids[best[i]];
    return metric_query((metric){METRIC_NDCG, DEPTH}, j, query, ids, n);
}

static size_t read_terms(text_analyzer *analyzer, slice text, arena *a, sparse_query_term *terms) {
    text_tokens found = text_analyze(analyzer, text, TEXT_EN, MOST_TERMS);
    text_token *kept = arena_alloc(a, found.count * sizeof *kept);
    size_t n = text_query_tokens(found, kept);
    for (size_t i = 0; i < n; i++) terms[i] = (sparse_query_term){.key = sparse_text_key(a, kept[i].term), .weight = 1};
    return n;
}

int main(int argc, char **argv) {
    if (argc != 4) fail("DOCUMENTS QUERIES JUDGMENTS");
    text_analyzer *analyzer = text_analyzer_create();
    corpus c = {0};
    base_error error = {0};
    build(&c, read_file(argv[1]), analyzer);
    judgments *j = judgments_create();
    if (judgments_read(j, read_file(argv[3]), &error)) fail(error.message);
    double *scores = mem_alloc(c.n * sizeof *scores), by_impacts = 0, exactly = 0;
    size_t n = 0, different = 0;
    arena a;
    arena_init(&a, 0);
    for (slice lines = read_file(argv[2]); lines.size > 0; arena_reset(&a)) {
        slice text = cut(&lines, '\n'), id = cut(&text, '\t');
        if (!judgments_has_query(j, id)) continue;
        static sparse_query_term terms[MOST_TERMS];
        sparse_query query = {.terms = terms, .n_terms = read_terms(analyzer, text, &a, terms), .text_weight = 1};
        sparse_eligible e;
        sparse_hit hits[DEPTH];
        uint32_t best[DEPTH], exact[DEPTH];
        sparse_eligible_compute(&c.snapshot, NULL, &a, &e);
        size_t found = sparse_search(&e, &query, DEPTH, &a, hits, NULL), m = search_exactly(&c, &query, scores, exact);
        if (found != m) fail("not as many hits");
        for (size_t i = 0; i < found; i++) best[i] = hits[i].document;
        by_impacts += measure(&c, j, id, best, found);
        exactly += measure(&c, j, id, exact, m);
        different += memcmp(best, exact, m * sizeof *best) != 0;
        n++;
    }
    printf("%zu\t%.6f\t%.6f\t%zu\n", n, by_impacts / (double)n, exactly / (double)n, different);
    arena_release(&a);
    free(scores);
    judgments_destroy(j);
    sparse_segment_close(c.segment);
    buffer_release(&c.image);
    free(c.ids);
    text_analyzer_destroy(analyzer);
    return 0;
}
