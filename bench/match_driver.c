/* What lexical match features cost, on one thread, over a collection as it is on disk:
 *
 *     match_driver FOLDER QUERIES CANDIDATES WORDS PASSES
 *
 * FOLDER is a collection's. Of the lines of QUERIES those count that have WORDS words to search for. Half of a query's
 * candidates are what a lexical search finds, the rest is a random sample of the collection, all in random order. The
 * first pass over the queries warms; of the others every call's processor time is taken. Prints one JSON object. */
#include "collection/collection.h"
#include "sparse/match.h"
#include "text/analyze.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE = 4096, MOST_QUERIES = 1000, MOST_WORDS = 64 };

typedef struct question {
    size_t n_terms, n;
    sparse_query_term *terms;
    uint32_t *documents;
} question;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "match_driver: %s\n", what);
    exit(1);
}

/* Microseconds of a core, so that what else the machine does is left out. */
static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static text_language language_of(const schema *s) {
    for (uint32_t f = 0; f < s->n_fields; f++)
        if (s->fields[f].kind == SCHEMA_TEXT) return s->fields[f].language;
    return TEXT_ANY;
}

static bool read_question(slice line, size_t words, text_language language, text_analyzer *analyzer, arena *a,
                          question *q) {
    text_token used[MOST_WORDS];
    text_tokens found = text_analyze(analyzer, line, language, MOST_WORDS);
    q->n_terms = text_query_tokens(found, used);
    if (q->n_terms != words) return false;
    q->terms = arena_zalloc(a, words, sizeof *q->terms);
    for (size_t i = 0; i < words; i++)
        q->terms[i] = (sparse_query_term){.key = sparse_text_key(a, used[i].term), .weight = 1};
    return true;
}

static void choose(const sparse_snapshot *s, size_t candidates, random_source *r, arena *a, question *q) {
    arena scratch;
    arena_init(&scratch, 0);
    sparse_eligible all;
    sparse_eligible_compute(s, NULL, &scratch, &all);
    sparse_query query = {.terms = q->terms, .n_terms = q->n_terms, .text_weight = 1};
    sparse_hit *hits = arena_alloc(&scratch, candidates * sizeof *hits);
    q->documents = arena_alloc(a, candidates * sizeof *q->documents);
    q->n = sparse_search(&all, &query, candidates / 2, &scratch, hits, NULL);
    q->n += sparse_sample(&all, candidates - q->n, r, &scratch, hits + q->n);
    for (size_t i = 0; i < q->n; i++) {
        size_t j = random_below(r, i + 1);
        q->documents[i] = q->documents[j];
        q->documents[j] = hits[i].document;
    }
    arena_release(&scratch);
}

static size_t read_questions(const char *path, const collection *c, const sparse_snapshot *s, size_t candidates,
                             size_t words, arena *a, question *out) {
    char line[LINE];
    size_t n = 0;
    random_source r;
    random_seed(&r, 300);
    text_analyzer *analyzer = text_analyzer_create();
    FILE *file = fopen(path, "r");
    if (!file) fail("the queries cannot be opened");
    while (n < MOST_QUERIES && fgets(line, sizeof line, file)) {
        slice text = {line, strcspn(line, "\n")};
        if (!read_question(text, words, language_of(collection_schema(c)), analyzer, a, &out[n])) continue;
        choose(s, candidates, &r, a, &out[n++]);
    }
    fclose(file);
    text_analyzer_destroy(analyzer);
    return n;
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double one_call(const sparse_snapshot *s, const question *q, sparse_match *out, float *coverage, arena *a) {
    double start = now();
    sparse_match_fields(s, q->terms, q->n_terms, q->documents, q->n, a, out, coverage);
    double took = now() - start;
    arena_reset(a);
    return took;
}

static void measure(const sparse_snapshot *s, const question *questions, size_t n, size_t candidates, size_t passes) {
    uint32_t columns = sparse_match_columns(s->config, NULL);
    sparse_match *out = mem_alloc(candidates * columns * sizeof *out);
    float *coverage = mem_alloc(candidates * sizeof *coverage);
    double *times = mem_alloc(n * passes * sizeof *times), sum = 0;
    arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < n; i++) one_call(s, &questions[i], out, coverage, &a);
    for (size_t i = 0; i < n * passes; i++) sum += times[i] = one_call(s, &questions[i % n], out, coverage, &a);
    qsort(times, n * passes, sizeof *times, ascending);
    printf("{\"queries\": %zu, \"columns\": %u, \"parts\": %u, \"mean_us\": %.2f, \"p50_us\": %.2f, \"p99_us\": %.2f}\n", n,
           columns, s->n_parts, sum / (double)(n * passes), times[n * passes / 2], times[n * passes * 99 / 100]);
    arena_release(&a);
    free(times);
    free(coverage);
    free(out);
}

int main(int argc, char **argv) {
    if (argc != 6) fail("usage: match_driver FOLDER QUERIES CANDIDATES WORDS PASSES");
    size_t candidates = strtoul(argv[3], NULL, 10), words = strtoul(argv[4], NULL, 10), passes = strtoul(argv[5], NULL, 10);
    if (candidates < 1 || words < 1 || words > MOST_WORDS || passes < 1) fail("numbers out of range");
    collection *c = NULL;
    base_error error;
    collection_options options = {.read_only = true, .clock = os_clock_system};
    if (collection_open(argv[1], "bench", &options, &c, &error) != FORAGE_OK) fail(error.message);
    const sparse_snapshot *s = collection_acquire(c);
    arena a;
    arena_init(&a, 0);
    question *questions = arena_zalloc(&a, MOST_QUERIES, sizeof *questions);
    size_t n = read_questions(argv[2], c, s, candidates, words, &a, questions);
    if (n == 0) fail("no query has that many words");
    measure(s, questions, n, candidates, passes);
    arena_release(&a);
    collection_release(c, s);
    collection_close(c);
    return 0;
}
