/* The dense index alone: how fast it is built, what it takes, and queries a second at each recall, on one thread.
 *
 *     dense_speed --base FILE --queries FILE --dimensions N --metric cosine|dot|l2 --code int8|int4|bit|float32
 *                 [--M 16] [--ef-construction 120] [--ef 10,20,40] [--k 10] [--limit N] [--threads 1]
 *
 * Files are rows of float32. Prints JSON lines: one "built", then a "curve" for each ef; recall is against exact search. */
#include "dense/dense.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    const char *base, *queries, *ef;
    uint32_t k, threads;
    size_t limit;
    dense_config config;
} options;

static void fail(const char *what, const char *which) {
    fprintf(stderr, "dense_speed: %s: %s\n", what, which);
    exit(1);
}

static int one_of(const char *value, const char *const *names) {
    for (int i = 0; names[i]; i++)
        if (strcmp(value, names[i]) == 0) return i;
    fail("unknown value", value);
    return 0;
}

static options read_options(int argc, char **argv) {
    static const char *const metrics[] = {"cosine", "dot", "l2", NULL}, *const codes[] = {"float32", "int8", "int4", "bit", NULL};
    options o = {.ef = "10,20,40,80,160,320", .k = 10, .threads = 1,
                 .config = {.code = DENSE_INT8, .graph_at = 1000, .seed = 1}};
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i], *value = i + 1 < argc ? argv[i + 1] : NULL;
        if (!value) fail("no value", name);
        uint32_t number = (uint32_t)strtoul(value, NULL, 10);
        if (strcmp(name, "--base") == 0) o.base = value;
        else if (strcmp(name, "--queries") == 0) o.queries = value;
        else if (strcmp(name, "--ef") == 0) o.ef = value;
        else if (strcmp(name, "--dimensions") == 0) o.config.dimensions = number;
        else if (strcmp(name, "--metric") == 0) o.config.metric = (dense_metric)one_of(value, metrics);
        else if (strcmp(name, "--code") == 0) o.config.code = (dense_code)one_of(value, codes);
        else if (strcmp(name, "--M") == 0) o.config.M = number;
        else if (strcmp(name, "--ef-construction") == 0) o.config.ef_construction = number;
        else if (strcmp(name, "--k") == 0) o.k = number;
        else if (strcmp(name, "--limit") == 0) o.limit = number;
        else if (strcmp(name, "--threads") == 0) o.threads = number;
        else fail("unknown option", name);
    }
    if (!o.base || !o.queries || !o.config.dimensions || !o.k) fail("needed", "--base --queries --dimensions");
    return o;
}

static float *read_rows(const char *path, uint32_t dimensions, size_t limit, size_t *n) {
    FILE *file = fopen(path, "rb");
    if (!file) fail("cannot open", path);
    fseek(file, 0, SEEK_END);
    *n = (size_t)ftell(file) / (dimensions * sizeof(float));
    rewind(file);
    if (limit && *n > limit) *n = limit;
    float *rows = mem_alloc(*n * dimensions * sizeof *rows + 1);
    if (fread(rows, dimensions * sizeof *rows, *n, file) != *n) fail("cannot read", path);
    fclose(file);
    return rows;
}

static int by_value(const void *a, const void *b) {
    int64_t x = *(const int64_t *)a, y = *(const int64_t *)b;
    return x < y ? -1 : x > y;
}

typedef struct bench {
    options o;
    dense_index *index;
    float *queries;
    size_t n;
    dense_hit *truth; /* n × k */
    size_t *n_truth;
} bench;

static void measure(const bench *b, uint32_t ef) {
    int64_t *times = mem_alloc(b->n * sizeof *times), total = 0;
    dense_hit *hits = mem_alloc(b->o.k * sizeof *hits);
    size_t met = 0, all = 0;
    arena a;
    arena_init(&a, 0);
    for (int round = 0; round < 3; round++) { /* the first warms; the last is reported */
        met = all = 0;
        total = 0;
        for (size_t i = 0; i < b->n; i++) {
            arena_reset(&a);
            int64_t start = clock_monotonic(&os_clock_system);
            size_t n = dense_search(b->index, b->queries + i * b->o.config.dimensions, b->o.k, ef, NULL, &a, hits);
            times[i] = clock_monotonic(&os_clock_system) - start;
            total += times[i];
            for (size_t j = 0; j < n; j++)
                for (size_t l = 0; l < b->n_truth[i]; l++) met += hits[j].document == b->truth[i * b->o.k + l].document;
            all += b->n_truth[i];
        }
    }
    qsort(times, b->n, sizeof *times, by_value);
    printf("{\"event\":\"curve\",\"ef\":%u,\"qps\":%.0f,\"recall\":%.4f,\"p50_us\":%lld,\"p99_us\":%lld}\n", ef,
           (double)b->n * 1e6 / (double)(total ? total : 1), (double)met / (double)(all ? all : 1),
           (long long)times[b->n / 2], (long long)times[b->n * 99 / 100]);
    fflush(stdout);
    arena_release(&a);
    free(times);
    free(hits);
}

int main(int argc, char **argv) {
    bench b = {.o = read_options(argc, argv)};
    uint32_t dimensions = b.o.config.dimensions;
    size_t n_base;
    float *base = read_rows(b.o.base, dimensions, b.o.limit, &n_base);
    b.queries = read_rows(b.o.queries, dimensions, 0, &b.n);
    uint32_t *documents = mem_alloc(n_base * sizeof *documents + 1);
    uint64_t *versions = mem_zalloc(n_base + 1, sizeof *versions);
    for (size_t i = 0; i < n_base; i++) documents[i] = (uint32_t)i;
    base_error error = {0};
    if (b.n == 0 || dense_index_create(NULL, &b.o.config, &b.index, &error) < 0) fail("cannot create", error.message);
    int64_t start = clock_monotonic(&os_clock_system);
    if (dense_index_add_all(b.index, n_base, documents, versions, base, b.o.threads, &error) < 0) fail("cannot add", error.message);
    double seconds = (double)(clock_monotonic(&os_clock_system) - start) / 1e6;
    dense_info info;
    dense_index_describe(b.index, &info);
    printf("{\"event\":\"built\",\"seconds\":%.3f,\"memory\":%zu,\"mapped\":%zu}\n", seconds, info.memory, info.mapped);
    fflush(stdout);
    b.truth = mem_alloc(b.n * b.o.k * sizeof *b.truth);
    b.n_truth = mem_alloc(b.n * sizeof *b.n_truth);
    arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < b.n; i++)
        b.n_truth[i] = dense_search_exact(b.index, b.queries + i * dimensions, b.o.k, NULL, &a, b.truth + i * b.o.k);
    arena_release(&a);
    for (const char *at = b.o.ef; *at; at += strcspn(at, ","), at += *at == ',') measure(&b, (uint32_t)strtoul(at, NULL, 10));
    dense_index_close(b.index);
    free(base);
    free(b.queries);
    free(documents);
    free(versions);
    free(b.truth);
    free(b.n_truth);
    return 0;
}
