/* What it costs to look for words in a vocabulary, on one thread:
 *
 *     terms_driver build LINES IMAGE           LINES: one document's text a line; writes a segment image
 *     terms_driver words IMAGE EDITS N         N misspelt words of the vocabulary, each `edits` edits from its own, one a line
 *     terms_driver fuzzy IMAGE EDITS WORDS     every line of WORDS looked for; three passes, the first warms
 *     terms_driver scan IMAGE EDITS WORDS N    the first N by reading the whole dictionary with the same automaton
 *     terms_driver prefix IMAGE SIZE N         completions of N beginnings of SIZE letters
 *
 * Prints one JSON object but for `words`. Times are the thread's processor time in microseconds, the making of the
 * automaton included; transpositions count as one edit. */
#include "base/random.h"
#include "os/clock.h"
#include "sparse/builder.h"
#include "sparse/enumerate.h"
#include "sparse/search.h"
#include "text/analyze.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { LINE = 1 << 16, MOST_WORDS = 4096, SHORTEST = 5, LONGEST = 14, PASSES = 3, LIMIT = 10, DICTIONARY_BLOCK = 16 };

static _Noreturn void fail(const char *what) {
    fprintf(stderr, "terms_driver: %s\n", what);
    exit(1);
}

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return (double)t.tv_sec * 1e6 + (double)t.tv_nsec / 1e3;
}

/* ---- The image ---- */

static void build(const char *lines, const char *path) {
    static char line[LINE];
    const sparse_config config = {
        .n_fields = 1, .fields = {{"text", SPARSE_TEXT, 1}}, .k1 = 1.2f, .b = .75f, .popularity = -1, .type = -1};
    FILE *in = fopen(lines, "r"), *out = fopen(path, "wb");
    if (!in || !out) fail("cannot open the lines or the image");
    sparse_builder *b = sparse_builder_create(&config);
    text_analyzer *analyzer = text_analyzer_create();
    while (fgets(line, sizeof line, in)) {
        sparse_builder_begin(b);
        text_tokens found = text_analyze(analyzer, (slice){line, strcspn(line, "\n")}, TEXT_EN, 0);
        for (size_t i = 0; i < found.count; i++) sparse_builder_term(b, 0, found.tokens[i].folded);
    }
    uint32_t n = sparse_builder_count(b), *documents = mem_alloc(n * sizeof *documents);
    uint64_t *versions = mem_zalloc(n, sizeof *versions);
    for (uint32_t i = 0; i < n; i++) documents[i] = i;
    sparse_statistics statistics;
    buffer image = {0};
    sparse_builder_statistics(b, &statistics);
    sparse_builder_finish(b, documents, versions, &statistics, &image);
    if (fwrite(image.data, 1, image.size, out) != image.size || fclose(out)) fail("cannot write the image");
    fclose(in);
    buffer_release(&image);
    free(documents);
    free(versions);
    sparse_builder_destroy(b);
    text_analyzer_destroy(analyzer);
}

static sparse_segment *open_image(const char *path, buffer *image) {
    FILE *file = fopen(path, "rb");
    if (!file || fseek(file, 0, SEEK_END)) fail("cannot read the image");
    size_t size = (size_t)ftell(file);
    rewind(file);
    image->size = fread(buffer_reserve(image, size), 1, size, file);
    fclose(file);
    sparse_segment *s = NULL;
    base_error error = {0};
    if (sparse_segment_open((slice){image->data, image->size}, &s, &error)) fail(error.message);
    return s;
}

/* ---- Words ---- */

static bool usable(slice key) {
    if (key.size < SHORTEST + 1 || key.size > LONGEST + 1) return false;
    for (size_t i = 1; i < key.size; i++)
        if (key.data[i] < 'a' || key.data[i] > 'z') return false;
    return true;
}

static size_t edit(random_source *r, char *word, size_t n) {
    size_t at = random_below(r, n);
    char letter = (char)('a' + random_below(r, 26));
    switch (random_below(r, 4)) {
    case 0:
        memmove(word + at, word + at + 1, n - at - 1);
        return n - 1;
    case 1:
        memmove(word + at + 1, word + at, n - at);
        word[at] = letter;
        return n + 1;
    case 2:
        if (at + 1 == n) at--;
        letter = word[at];
        word[at] = word[at + 1];
        word[at + 1] = letter;
        return n;
    default:
        word[at] = letter;
        return n;
    }
}

/* Terms drawn evenly from the dictionary: reservoir sampling. */
static size_t draw(const sparse_segment *s, random_source *r, size_t n, char (*out)[LONGEST + 8]) {
    sparse_term_walk w;
    sparse_term term;
    slice key;
    size_t seen = 0;
    sparse_term_walk_start(&w, s, SLICE("t"));
    while (sparse_term_walk_next(&w, &key, &term)) {
        if (!usable(key)) continue;
        size_t place = seen < n ? seen : random_below(r, seen + 1);
        if (place < n) snprintf(out[place], LONGEST + 8, "%.*s", (int)key.size - 1, key.data + 1);
        seen++;
    }
    return seen < n ? seen : n;
}

static void words(const sparse_segment *s, uint32_t edits, size_t n) {
    char(*drawn)[LONGEST + 8] = mem_zalloc(n, sizeof *drawn);
    random_source r;
    random_seed(&r, 20261129);
    n = draw(s, &r, n, drawn);
    for (size_t i = 0; i < n; i++) {
        size_t size = strlen(drawn[i]);
        for (uint32_t e = 0; e < edits; e++) size = edit(&r, drawn[i], size);
        printf("%.*s\n", (int)size, drawn[i]);
    }
    free(drawn);
}

static size_t read_words(const char *path, size_t most, slice *out, arena *a) {
    char line[256];
    FILE *file = fopen(path, "r");
    size_t n = 0;
    if (!file) fail("cannot read the words");
    while (n < most && fgets(line, sizeof line, file)) out[n++] = slice_of(arena_strndup(a, line, strcspn(line, "\n")));
    fclose(file);
    return n;
}

static levenshtein *automaton(slice word, uint32_t edits) {
    levenshtein *l = NULL;
    base_error error = {0};
    if (levenshtein_create(word, &(levenshtein_options){.edits = edits, .transpositions = true}, &l, &error))
        fail(error.message);
    return l;
}

/* ---- Measuring ---- */

static int ascending(const void *x, const void *y) {
    double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

static void print_times(double *times, size_t n) {
    double sum = 0;
    qsort(times, n, sizeof *times, ascending);
    for (size_t i = 0; i < n; i++) sum += times[i];
    printf("{\"n\":%zu,\"mean\":%.2f,\"p50\":%.2f,\"p99\":%.2f", n, sum / (double)n, times[n / 2], times[n * 99 / 100]);
}

static void fuzzy(const sparse_segment *s, uint32_t edits, const slice *list, size_t n) {
    double *times = mem_alloc(PASSES * n * sizeof *times);
    uint64_t looked = 0, blocks = 0, found = 0, states = 0;
    sparse_enumerator *e = mem_alloc(sizeof *e);
    sparse_enumerated term;
    for (size_t pass = 0; pass < PASSES; pass++) {
        looked = blocks = found = states = 0;
        for (size_t i = 0; i < n; i++) {
            double start = now();
            levenshtein *l = automaton(list[i], edits);
            sparse_enumerate_fuzzy(e, s, SLICE("t"), l, &(sparse_effort){0});
            while (sparse_enumerate_next(e, &term)) found++;
            looked += e->looked;
            blocks += e->walk.blocks;
            states += levenshtein_states(l);
            levenshtein_destroy(l);
            times[pass * n + i] = now() - start;
        }
    }
    uint32_t terms = sparse_segment_terms(s);
    double all = (terms + DICTIONARY_BLOCK - 1) / DICTIONARY_BLOCK, each = (double)n;
    print_times(times + n, (PASSES - 1) * n);
    printf(",\"terms\":%u,\"found\":%.2f,\"looked\":%.1f,\"blocks\":%.1f,\"share\":%.6f,\"states\":%.1f}\n", terms,
           (double)found / each, (double)looked / each, (double)blocks / each, (double)blocks / each / all,
           (double)states / each);
    free(e);
    free(times);
}

static void scan(const sparse_segment *s, uint32_t edits, const slice *list, size_t n) {
    double *times = mem_alloc(n * sizeof *times);
    uint64_t found = 0;
    for (size_t i = 0; i < n; i++) {
        sparse_term_walk w;
        sparse_term term;
        slice key;
        double start = now();
        levenshtein *l = automaton(list[i], edits);
        sparse_term_walk_start(&w, s, SLICE("t"));
        while (sparse_term_walk_next(&w, &key, &term))
            found += levenshtein_match(l, (slice){key.data + 1, key.size - 1}) != LEVENSHTEIN_NONE;
        levenshtein_destroy(l);
        times[i] = now() - start;
    }
    print_times(times, n);
    printf(",\"found\":%.2f}\n", (double)found / (double)n);
    free(times);
}

static void prefix(const sparse_segment *s, size_t size, size_t n) {
    char(*drawn)[LONGEST + 8] = mem_zalloc(n, sizeof *drawn);
    double *times = mem_alloc(n * sizeof *times);
    const sparse_part part = {.segment = s, .n_live = sparse_segment_count(s)};
    const sparse_snapshot snapshot = {.n_parts = 1, .parts = &part};
    sparse_completion out[LIMIT];
    random_source r;
    random_seed(&r, 3);
    n = draw(s, &r, n, drawn);
    arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < n; i++) {
        arena_reset(&a);
        double start = now();
        slice key = sparse_text_key(&a, (slice){drawn[i], size});
        if (sparse_complete(&snapshot, key, LIMIT, &a, out) == 0) fail("a beginning of a term completes to nothing");
        times[i] = now() - start;
    }
    print_times(times, n);
    printf("}\n");
    arena_release(&a);
    free(times);
    free(drawn);
}

int main(int argc, char **argv) {
    if (argc < 4) fail("build LINES IMAGE, words IMAGE EDITS N, fuzzy IMAGE EDITS WORDS, scan IMAGE EDITS WORDS N or prefix "
                       "IMAGE SIZE N");
    if (strcmp(argv[1], "build") == 0) {
        build(argv[2], argv[3]);
        return 0;
    }
    if (argc < 5) fail("too few arguments");
    buffer image = {0};
    arena a;
    arena_init(&a, 0);
    sparse_segment *s = open_image(argv[2], &image);
    uint32_t number = (uint32_t)atoi(argv[3]);
    slice *list = arena_alloc(&a, MOST_WORDS * sizeof *list);
    size_t most = argc > 5 ? (size_t)atoi(argv[5]) : MOST_WORDS;
    if (strcmp(argv[1], "words") == 0) words(s, number, (size_t)atoi(argv[4]));
    else if (strcmp(argv[1], "fuzzy") == 0) fuzzy(s, number, list, read_words(argv[4], MOST_WORDS, list, &a));
    else if (strcmp(argv[1], "scan") == 0) scan(s, number, list, read_words(argv[4], most, list, &a));
    else if (strcmp(argv[1], "prefix") == 0) prefix(s, number, (size_t)atoi(argv[4]));
    else fail("unknown command");
    sparse_segment_close(s);
    buffer_release(&image);
    arena_release(&a);
    return 0;
}
