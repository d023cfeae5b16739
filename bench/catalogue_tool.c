/* Trains the catalogue's encoder on a file of texts, encodes texts with it and finds the nearest, for benchmarks:
 *     catalogue_tool train --texts FILE --dimensions N --out MODEL [--pairs FILE] [--limit N]
 *     catalogue_tool encode --model MODEL --side query|document --texts FILE --out FILE.f32
 *     catalogue_tool nearest --model MODEL --documents FILE --queries FILE [--k 10]
 * Texts: one document a line, its values separated by tabs. Pairs: "document number TAB query" lines, in the order of documents. `nearest`
 * prints a line for each query: the numbers of its documents, nearest first. */
#include "base/memory.h"
#include "dense/dense.h"
#include "encode/catalogue.h"
#include "os/clock.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char *option(int argc, char **argv, const char *name, const char *otherwise) {
    for (int i = 2; i + 1 < argc; i += 2)
        if (strcmp(argv[i], name) == 0) return argv[i + 1];
    if (!otherwise) {
        fprintf(stderr, "catalogue_tool: %s is missing\n", name);
        exit(2);
    }
    return otherwise;
}

static FILE *open_or_die(const char *path, const char *mode) {
    FILE *f = fopen(path, mode);
    if (!f) {
        perror(path);
        exit(1);
    }
    return f;
}

static bool next_line(FILE *f, char **line, size_t *room, slice *out) {
    ssize_t n = getline(line, room, f);
    if (n <= 0) return false;
    if ((*line)[n - 1] == '\n') n--;
    *out = (slice){*line, (size_t)n};
    return true;
}

static void tabs_to_lines(slice text) {
    for (char *p = (char *)(uintptr_t)text.data; p < text.data + text.size; p++)
        if (*p == '\t') *p = '\n';
}

static int train(int argc, char **argv) {
    catalogue_options options = {.dimensions = (uint32_t)atoi(option(argc, argv, "--dimensions", "128")), .language = TEXT_EN, .seed = 1};
    size_t limit = (size_t)atoll(option(argc, argv, "--limit", "1000000000")), room = 0, pair_room = 0;
    const char *pairs_path = option(argc, argv, "--pairs", "");
    FILE *texts = open_or_die(option(argc, argv, "--texts", NULL), "r"), *pairs = *pairs_path ? open_or_die(pairs_path, "r") : NULL;
    catalogue_trainer *t = catalogue_trainer_create(&options);
    int64_t started = clock_monotonic(&os_clock_system);
    char *line = NULL, *pair_line = NULL;
    slice text, pair = {0};
    bool more = pairs && next_line(pairs, &pair_line, &pair_room, &pair);
    while (catalogue_trainer_documents(t) < limit && next_line(texts, &line, &room, &text)) {
        size_t document = catalogue_trainer_documents(t);
        tabs_to_lines(text);
        catalogue_trainer_document(t, text);
        for (; more && strtoull(pair.data, NULL, 10) == document; more = next_line(pairs, &pair_line, &pair_room, &pair)) {
            const char *tab = memchr(pair.data, '\t', pair.size);
            if (tab) catalogue_trainer_more(t, (slice){tab + 1, pair.size - (size_t)(tab + 1 - pair.data)}, 1);
        }
    }
    encoder *e = NULL;
    base_error error = {0};
    size_t documents = catalogue_trainer_documents(t);
    forage_status status = catalogue_train(t, &e, &error);
    if (!status) status = catalogue_save(e, option(argc, argv, "--out", NULL), &error);
    if (status) fprintf(stderr, "catalogue_tool: %s\n", error.message);
    else
        printf("{\"documents\":%zu,\"terms\":%zu,\"dimensions\":%u,\"seconds\":%.2f}\n", documents, catalogue_terms(e), e->dimensions,
               (double)(clock_monotonic(&os_clock_system) - started) / 1e6);
    encoder_destroy(e);
    catalogue_trainer_destroy(t);
    free(line);
    free(pair_line);
    fclose(texts);
    if (pairs) fclose(pairs);
    return status ? 1 : 0;
}

static int encode(int argc, char **argv) {
    encoder *e = NULL;
    base_error error = {0};
    encode_side side = strcmp(option(argc, argv, "--side", NULL), "query") == 0 ? ENCODE_QUERY : ENCODE_DOCUMENT;
    if (catalogue_open(option(argc, argv, "--model", NULL), &e, &error)) {
        fprintf(stderr, "catalogue_tool: %s\n", error.message);
        return 1;
    }
    FILE *texts = open_or_die(option(argc, argv, "--texts", NULL), "r"), *out = open_or_die(option(argc, argv, "--out", NULL), "w");
    float *vector = mem_alloc(e->dimensions * sizeof *vector);
    char *line = NULL;
    size_t room = 0, n = 0;
    slice text;
    int64_t started = clock_monotonic(&os_clock_system);
    for (; next_line(texts, &line, &room, &text); n++) {
        tabs_to_lines(text);
        encoder_encode(e, side, &text, 1, INT64_MAX, vector, NULL);
        fwrite(vector, sizeof *vector, e->dimensions, out);
    }
    printf("{\"texts\":%zu,\"seconds\":%.3f}\n", n, (double)(clock_monotonic(&os_clock_system) - started) / 1e6);
    free(line);
    free(vector);
    fclose(texts);
    int failed = fclose(out);
    encoder_destroy(e);
    return failed ? 1 : 0;
}

/* The vectors of a file's texts, row by row; *n: how many. */
static float *encode_all(encoder *e, const char *path, encode_side side, size_t *n) {
    FILE *texts = open_or_die(path, "r");
    char *line = NULL;
    size_t room = 0, capacity = 0;
    slice text;
    float *rows = NULL;
    for (*n = 0; next_line(texts, &line, &room, &text); ++*n) {
        tabs_to_lines(text);
        rows = mem_grow(rows, &capacity, (*n + 1) * e->dimensions, sizeof *rows);
        encoder_encode(e, side, &text, 1, INT64_MAX, rows + *n * e->dimensions, NULL);
    }
    free(line);
    fclose(texts);
    return rows;
}

/* Exactly: floats, scanned. A text without a vector is found by nobody and finds nothing. */
static int nearest(int argc, char **argv) {
    encoder *e = NULL;
    base_error error = {0};
    dense_index *index = NULL;
    size_t n_documents, n_queries;
    uint32_t k = (uint32_t)atoi(option(argc, argv, "--k", "10"));
    if (catalogue_open(option(argc, argv, "--model", NULL), &e, &error)) goto fail;
    float *documents = encode_all(e, option(argc, argv, "--documents", NULL), ENCODE_DOCUMENT, &n_documents);
    float *queries = encode_all(e, option(argc, argv, "--queries", NULL), ENCODE_QUERY, &n_queries);
    dense_config config = {.dimensions = e->dimensions, .metric = DENSE_COSINE, .code = DENSE_FLOAT32, .graph_at = UINT32_MAX, .seed = 1};
    if (dense_index_create(NULL, &config, &index, &error)) goto fail;
    for (size_t i = 0; i < n_documents; i++) dense_index_add(index, (uint32_t)i, 1, documents + i * e->dimensions, NULL);
    dense_hit *hits = mem_alloc(((size_t)k + 1) * sizeof *hits);
    arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < n_queries; i++) {
        const float *query = queries + i * e->dimensions;
        float square = 0;
        for (uint32_t d = 0; d < e->dimensions; d++) square += query[d] * query[d];
        size_t n = square > 0 ? dense_search(index, query, k, 0, NULL, &a, hits) : 0;
        for (size_t j = 0; j < n; j++) printf(j ? " %u" : "%u", hits[j].document);
        printf("\n");
        arena_reset(&a);
    }
    arena_release(&a);
    free(hits);
    free(documents);
    free(queries);
    dense_index_close(index);
    encoder_destroy(e);
    return 0;
fail:
    fprintf(stderr, "catalogue_tool: %s\n", error.message);
    encoder_destroy(e);
    return 1;
}

int main(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "train") == 0) return train(argc, argv);
    if (argc > 1 && strcmp(argv[1], "encode") == 0) return encode(argc, argv);
    if (argc > 1 && strcmp(argv[1], "nearest") == 0) return nearest(argc, argv);
    fprintf(stderr, "usage: catalogue_tool train|encode|nearest …\n");
    return 2;
}
