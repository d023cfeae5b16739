/* What an order of documents costs, and what it costs to find it, on one thread:
 *
 *     bisect_driver FOLDER ORDER LEAF ITERATIONS HEAD
 *
 * FOLDER has the files of native numbers that bench_bisect.py writes: starts (u64), terms (u32), popularity (f32) and first
 * (u32: the document's first word, as a number). ORDER is as, random, first or popularity, where nothing else matters, or
 * bisect or shuffled (bisect from a random order). Prints seconds of processor time, mean log2 gap, packed and patched bits
 * per posting, bytes of working memory. */
#include "base/memory.h"
#include "base/random.h"
#include "sparse/bisect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct corpus {
    uint64_t *starts;
    uint32_t *terms, *first;
    float *popularity;
    uint32_t n, n_terms;
} corpus;

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void *read_numbers(const char *folder, const char *name, size_t *size) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        fprintf(stderr, "bisect_driver: cannot read %s\n", path);
        exit(1);
    }
    *size = (size_t)ftell(file);
    rewind(file);
    void *data = mem_alloc(*size);
    if (fread(data, 1, *size, file) != *size) exit(1);
    fclose(file);
    return data;
}

static corpus read_corpus(const char *folder) {
    size_t size;
    corpus c = {.starts = read_numbers(folder, "starts", &size)};
    c.n = (uint32_t)(size / sizeof *c.starts - 1);
    c.terms = read_numbers(folder, "terms", &size);
    for (size_t i = 0; i < size / sizeof *c.terms; i++)
        if (c.terms[i] >= c.n_terms) c.n_terms = c.terms[i] + 1;
    c.first = read_numbers(folder, "first", &size);
    c.popularity = read_numbers(folder, "popularity", &size);
    return c;
}

static const corpus *sorted;

static int by_first(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b, s = sorted->first[x], t = sorted->first[y];
    return s != t ? (s > t) - (s < t) : (x > y) - (x < y);
}

static int by_popularity(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    float s = sorted->popularity[x], t = sorted->popularity[y];
    return s != t ? (s < t) - (s > t) : (x > y) - (x < y);
}

static void shuffle(uint32_t *order, uint32_t n) {
    random_source r;
    random_seed(&r, 1);
    for (uint32_t i = n; i > 1; i--) {
        uint32_t j = (uint32_t)random_below(&r, i), x = order[j];
        order[j] = order[i - 1];
        order[i - 1] = x;
    }
}

/* Bisects the documents as they lie in `order`, and puts the result there. */
static void bisect(const corpus *c, const bisect_options *o, uint32_t *order) {
    bisect_options options = *o;
    uint64_t *starts = mem_zalloc((size_t)c->n + 1, sizeof *starts);
    uint32_t *terms = mem_alloc(c->starts[c->n] * sizeof *terms), *found = mem_alloc(c->n * sizeof *found);
    float *popularity = mem_alloc(c->n * sizeof *popularity);
    for (uint32_t i = 0; i < c->n; i++) {
        uint64_t at = c->starts[order[i]], size = c->starts[order[i] + 1] - at;
        memcpy(terms + starts[i], c->terms + at, size * sizeof *terms);
        starts[i + 1] = starts[i] + size;
        popularity[i] = c->popularity[order[i]];
    }
    options.popularity = popularity;
    bisect_documents d = {.n = c->n, .n_terms = c->n_terms, .starts = starts, .terms = terms};
    double begin = now();
    if (bisect_order(&d, &options, found) != FORAGE_OK) exit(1);
    printf("%.3f\t", now() - begin);
    for (uint32_t i = 0; i < c->n; i++) found[i] = order[found[i]];
    memcpy(order, found, c->n * sizeof *order);
    free(starts);
    free(terms);
    free(found);
    free(popularity);
}

int main(int argc, char **argv) {
    if (argc != 6) {
        fprintf(stderr, "usage: bisect_driver FOLDER ORDER LEAF ITERATIONS HEAD\n");
        return 2;
    }
    corpus c = read_corpus(argv[1]);
    const char *name = argv[2];
    bisect_options options = {
        .leaf = (uint32_t)atoi(argv[3]), .iterations = (uint32_t)atoi(argv[4]), .head = (uint32_t)atoi(argv[5])};
    uint32_t *order = mem_alloc(c.n * sizeof *order);
    for (uint32_t i = 0; i < c.n; i++) order[i] = i;
    sorted = &c;
    if (!strcmp(name, "random") || !strcmp(name, "shuffled")) shuffle(order, c.n);
    if (!strcmp(name, "first")) qsort(order, c.n, sizeof *order, by_first);
    if (!strcmp(name, "popularity")) qsort(order, c.n, sizeof *order, by_popularity);
    if (!strcmp(name, "bisect") || !strcmp(name, "shuffled")) bisect(&c, &options, order);
    else printf("0\t");
    bisect_documents d = {.n = c.n, .n_terms = c.n_terms, .starts = c.starts, .terms = c.terms};
    bisect_cost cost = bisect_cost_of(&d, order);
    printf("%.4f\t%.4f\t%.4f\t%zu\n", cost.log_gap, cost.packed, cost.patched,
           bisect_memory(c.n, c.starts[c.n], c.n_terms));
    free(order);
    free(c.starts);
    free(c.terms);
    free(c.first);
    free(c.popularity);
    return 0;
}
