/* What filters, facets and counts cost, on one thread, over a collection of packages as it is on disk:
 *
 *     filter_driver FOLDER QUERIES PASSES
 *
 * FOLDER is a collection's, QUERIES has a query a line. Every call's processor time is taken; a figure is the mean of PASSES
 * passes after ten that warm (as many as make what is asked again remembered), and `first` is the first call's,
 * `longest` that of the longest of the first ten. Each pass
 * asks a repeated filter again, or a range that no pass has asked for. Prints one JSON object. */
#include "collection/collection.h"
#include "sparse/search.h"
#include "text/analyze.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE = 4096, MOST_QUERIES = 1000, MOST_WORDS = 4, WARM = 10, LIMIT = 10, BUCKETS = 20 };

typedef struct bench {
    const sparse_snapshot *snapshot;
    size_t passes, n_numbers;
    double *numbers; /* all values of the number field, ascending */
    arena memory;    /* of one call */
    bool any;        /* something has been printed */
} bench;

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "filter_driver: %s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

static uint32_t field_named(const sparse_snapshot *s, const char *name) {
    for (uint32_t f = 0; f < s->config->n_fields; f++)
        if (strcmp(s->config->fields[f].name, name) == 0) return f;
    fail("the collection lacks a field of the packages");
}

/* first, longest and mean: microseconds of a call. */
static void print(bench *b, const char *kind, const char *what, double first, double longest, double mean,
                  uint64_t members) {
    printf("%s\n  {\"kind\": \"%s\", \"what\": \"%s\", \"first_us\": %.1f, \"longest_us\": %.1f, \"us\": %.2f, "
           "\"members\": %llu}", b->any ? "," : "", kind, what, first, longest, mean, (unsigned long long)members);
    b->any = true;
}

/* ---- filters ---- */

static double filter_once(bench *b, const sparse_filter *filter, uint64_t *members) {
    sparse_eligible e;
    double start = now();
    sparse_eligible_compute(b->snapshot, filter, &b->memory, &e);
    double took = now() - start;
    *members = e.count;
    arena_reset(&b->memory);
    return took;
}

static void measure_filter(bench *b, const char *what, const sparse_filter *filter) {
    uint64_t members;
    double first = filter_once(b, filter, &members), longest = first, sum = 0;
    for (size_t i = 1; i < WARM; i++) longest = fmax(longest, filter_once(b, filter, &members));
    for (size_t i = 0; i < b->passes; i++) sum += filter_once(b, filter, &members);
    print(b, "filter, repeated", what, first, longest, sum / (double)b->passes, members);
}

/* Of about this share of the documents, from the `step`-th value of the upper half on. */
static sparse_filter range_of_share(const bench *b, uint32_t field, double share, size_t step) {
    size_t n = (size_t)(share * (double)b->n_numbers), from = (b->n_numbers - n) / 2 + step;
    if (from + n >= b->n_numbers) from = b->n_numbers - n - 1;
    return (sparse_filter){.kind = SPARSE_FILTER_RANGE, .field = field, .low = b->numbers[from],
                           .high = b->numbers[from + n]};
}

/* Ranges that differ in every pass, by less than the least number that there is. */
static void measure_ranges(bench *b, const char *what, uint32_t field, double share) {
    uint64_t members = 0;
    double sum = 0, first = 0, longest = 0;
    for (size_t i = 0; i < WARM + b->passes; i++) {
        sparse_filter filter = range_of_share(b, field, share, 0);
        filter.high += (double)i * 1e-9 * (1 + fabs(filter.high));
        double took = filter_once(b, &filter, &members);
        if (i == 0) first = took;
        if (i >= WARM) sum += took;
        longest = fmax(longest, took);
    }
    print(b, "filter, another each time", what, first, longest, sum / (double)b->passes, members);
}

static void measure_filters(bench *b, uint32_t popularity) {
    static const double shares[] = {0.001, 0.01, 0.03, 0.1, 0.3, 0.5, 0.9};
    uint32_t ecosystem = field_named(b->snapshot, "ecosystem"), summary = field_named(b->snapshot, "summary");
    char what[64];
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        sparse_filter range = range_of_share(b, popularity, shares[i], 0);
        snprintf(what, sizeof what, "popularity range, %g %%", shares[i] * 100);
        measure_ranges(b, what, popularity, shares[i]);
        measure_filter(b, what, &range);
    }
    slice npm = SLICE("npm");
    sparse_filter value = {.kind = SPARSE_FILTER_VALUES, .field = ecosystem, .n_values = 1, .values = &npm};
    sparse_filter range = range_of_share(b, popularity, 0.3, 0), popular = range_of_share(b, popularity, 0.01, 0);
    sparse_filter has = {.kind = SPARSE_FILTER_EXISTS, .field = popularity};
    sparse_filter text = {.kind = SPARSE_FILTER_EXISTS, .field = summary};
    sparse_filter negated = {.kind = SPARSE_FILTER_NOT, .first = &value};
    measure_filter(b, "ecosystem is npm", &value);
    measure_filter(b, "ecosystem is not npm", &negated);
    measure_filter(b, "has a popularity", &has);
    measure_filter(b, "has a summary", &text);
    sparse_filter first = value, second = range;
    first.next = &second;
    sparse_filter both = {.kind = SPARSE_FILTER_AND, .first = &first};
    measure_filter(b, "npm and a popularity range of 30 %", &both);
    second = popular;
    first.next = &second;
    measure_filter(b, "npm and a popularity range of 1 %", &both);
}

/* ---- facets ---- */

static double facet_once(bench *b, const sparse_eligible *set, uint32_t field, bool number) {
    sparse_facet_value values[LIMIT];
    sparse_facet_range range;
    double start = now();
    if (number) sparse_facet_number(set, field, BUCKETS, &range);
    else sparse_facet_keyword(set, field, LIMIT, &b->memory, values);
    double took = now() - start;
    arena_reset(&b->memory);
    return took;
}

static void measure_facet(bench *b, const sparse_eligible *set, const char *of, uint32_t field, bool number) {
    char what[96];
    double first = facet_once(b, set, field, number), longest = first, sum = 0;
    for (size_t i = 1; i < WARM; i++) longest = fmax(longest, facet_once(b, set, field, number));
    for (size_t i = 0; i < b->passes; i++) sum += facet_once(b, set, field, number);
    snprintf(what, sizeof what, "%s of %s", b->snapshot->config->fields[field].name, of);
    print(b, "facet", what, first, longest, sum / (double)b->passes, set->count);
}

static void measure_facets(bench *b, uint32_t popularity) {
    static const double shares[] = {0.001, 0.01, 0.1, 0.5, 0.9, 2};
    arena sets;
    arena_init(&sets, 0);
    for (size_t i = 0; i < sizeof shares / sizeof *shares; i++) {
        char of[32] = "all";
        sparse_eligible set;
        sparse_filter range = {.kind = SPARSE_FILTER_ALL};
        if (shares[i] <= 1) {
            range = range_of_share(b, popularity, shares[i], 0);
            snprintf(of, sizeof of, "%g %%", shares[i] * 100);
        }
        sparse_eligible_compute(b->snapshot, shares[i] <= 1 ? &range : NULL, &sets, &set);
        measure_facet(b, &set, of, field_named(b->snapshot, "ecosystem"), false);
        measure_facet(b, &set, of, field_named(b->snapshot, "version"), false);
        measure_facet(b, &set, of, popularity, true);
    }
    arena_release(&sets);
}

/* ---- counts ---- */

typedef struct question {
    size_t n_terms;
    sparse_query_term terms[MOST_WORDS];
} question;

static size_t read_questions(const char *path, text_language language, arena *a, question *out) {
    char line[LINE];
    size_t n = 0;
    text_analyzer *analyzer = text_analyzer_create();
    FILE *file = fopen(path, "r");
    if (!file) fail("the queries cannot be opened");
    while (n < MOST_QUERIES && fgets(line, sizeof line, file)) {
        text_token used[LINE];
        text_tokens found = text_analyze(analyzer, (slice){line, strcspn(line, "\n")}, language, MOST_WORDS);
        question q = {.n_terms = text_query_tokens(found, used)};
        if (q.n_terms < 2 || q.n_terms > MOST_WORDS) continue;
        for (size_t i = 0; i < q.n_terms; i++)
            q.terms[i] = (sparse_query_term){.key = sparse_text_key(a, used[i].term), .weight = 1};
        out[n++] = q;
    }
    fclose(file);
    text_analyzer_destroy(analyzer);
    return n;
}

static void measure_counts(bench *b, question *questions, size_t n, bool required) {
    sparse_eligible all, matching;
    arena sets;
    uint64_t members = 0;
    double sum = 0;
    size_t passes = b->passes / 20 + 1;
    arena_init(&sets, 0);
    sparse_eligible_compute(b->snapshot, NULL, &sets, &all);
    for (size_t pass = 0; pass <= passes; pass++) {
        for (size_t i = 0; i < n; i++) {
            for (size_t t = 0; t < questions[i].n_terms; t++) questions[i].terms[t].required = required;
            double start = now();
            sparse_matching(&all, &(sparse_query){.terms = questions[i].terms, .n_terms = questions[i].n_terms}, &b->memory,
                            &matching);
            if (pass > 0) sum += now() - start;
            if (pass > 0) members += matching.count;
            arena_reset(&b->memory);
        }
    }
    arena_release(&sets);
    print(b, "count", required ? "intersection" : "union", 0, 0, sum / (double)(n * passes), members / (n * passes));
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static void read_numbers(bench *b, uint32_t field) {
    const sparse_snapshot *s = b->snapshot;
    size_t most = 0;
    for (uint32_t p = 0; p < s->n_parts; p++) most += sparse_segment_count(s->parts[p].segment);
    b->numbers = mem_alloc(most * sizeof *b->numbers + 1);
    for (uint32_t p = 0; p < s->n_parts; p++) {
        const double *numbers = sparse_segment_numbers(s->parts[p].segment, field);
        for (uint32_t i = 0; numbers && i < sparse_segment_count(s->parts[p].segment); i++)
            if (isfinite(numbers[i])) b->numbers[b->n_numbers++] = numbers[i];
    }
    if (b->n_numbers < 1000) fail("the collection has few numbers");
    qsort(b->numbers, b->n_numbers, sizeof *b->numbers, ascending);
}

int main(int argc, char **argv) {
    if (argc != 4) fail("usage: filter_driver FOLDER QUERIES PASSES");
    collection *c = NULL;
    base_error error;
    collection_options options = {.read_only = true, .clock = os_clock_system};
    if (collection_open(argv[1], "bench", &options, &c, &error) != FORAGE_OK) fail(error.message);
    bench b = {.snapshot = collection_acquire(c), .passes = strtoul(argv[3], NULL, 10)};
    if (b.passes < 1) fail("numbers out of range");
    arena a;
    arena_init(&a, 0);
    arena_init(&b.memory, 1 << 20);
    uint32_t popularity = field_named(b.snapshot, "popularity");
    read_numbers(&b, popularity);
    question *questions = arena_zalloc(&a, MOST_QUERIES, sizeof *questions);
    size_t n = read_questions(argv[2], collection_schema(c)->fields[0].language, &a, questions);
    if (n == 0) fail("no query has two words");
    printf("{\"documents\": %llu, \"parts\": %u, \"queries\": %zu, \"rows\": [",
           (unsigned long long)b.snapshot->live_documents, b.snapshot->n_parts, n);
    measure_filters(&b, popularity);
    measure_facets(&b, popularity);
    measure_counts(&b, questions, n, false);
    measure_counts(&b, questions, n, true);
    printf("]}\n");
    free(b.numbers);
    arena_release(&b.memory);
    arena_release(&a);
    collection_release(c, b.snapshot);
    collection_close(c);
    return 0;
}
