/* What bench_encode.py runs: texts, one a line, through a model of the BERT family.
 *
 *     encode_tool encode  --model FOLDER --texts FILE --out FILE.f32 [--side query|document] …
 *     encode_tool latency --model FOLDER --texts FILE [--tokens N] …    µs of each text of at least N tokens as a query of its first N
 *     encode_tool sparse  --model FOLDER --texts FILE --out FILE …      token:weight, in order of tokens
 *     encode_tool pairs   --model FOLDER --texts FILE --out FILE …      lines are query TAB text; a score a line
 *     encode_tool tokens  --model FOLDER --texts FILE --out FILE …      token ids, a line for each text or pair
 *
 * Everywhere: --precision fp32|int8, --threads N, --backend best|onednn|own, --most N (tokens of a text). */
#include "encode/bert.h"
#include "encode/wordpiece.h"
#include "os/clock.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct settings {
    const char *what, *model, *texts, *out;
    bert_options options;
    encode_side side;
    uint32_t tokens;
} settings;

typedef struct lines {
    buffer file;
    slice *list;
    size_t n, capacity;
} lines;

static int fail(const char *message) {
    fprintf(stderr, "encode_tool: %s\n", message);
    return 1;
}

static bool read_settings(int n, char **arguments, settings *s) {
    *s = (settings){.what = n > 1 ? arguments[1] : "", .side = ENCODE_DOCUMENT, .tokens = 8, .options = {.threads = 1}};
    for (int i = 2; i + 1 < n; i += 2) {
        const char *name = arguments[i], *value = arguments[i + 1];
        if (!strcmp(name, "--model")) s->model = value;
        else if (!strcmp(name, "--texts")) s->texts = value;
        else if (!strcmp(name, "--out")) s->out = value;
        else if (!strcmp(name, "--side")) s->side = strcmp(value, "query") ? ENCODE_DOCUMENT : ENCODE_QUERY;
        else if (!strcmp(name, "--precision")) s->options.precision = strcmp(value, "int8") ? BERT_FP32 : BERT_INT8;
        else if (!strcmp(name, "--threads")) s->options.threads = (unsigned)atoi(value);
        else if (!strcmp(name, "--tokens")) s->tokens = (uint32_t)atoi(value);
        else if (!strcmp(name, "--most")) s->options.most_tokens = (uint32_t)atoi(value);
        else if (!strcmp(name, "--backend"))
            s->options.backend = !strcmp(value, "onednn") ? BERT_BACKEND_ONEDNN
                                 : !strcmp(value, "own")  ? BERT_BACKEND_OWN
                                                          : BERT_BACKEND_BEST;
        else return false;
    }
    s->options.head = !strcmp(s->what, "sparse") ? BERT_SPARSE : !strcmp(s->what, "pairs") ? BERT_PAIRS : BERT_ENCODER;
    return s->model && s->texts;
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

static double seconds(void) { return (double)clock_monotonic(&os_clock_system) / 1e6; }

/* Of the processor, by all threads: a busy machine does not count. */
static double busy_seconds(void) { return (double)clock() / CLOCKS_PER_SEC; }

static void print_time(size_t texts, double start, double busy) {
    printf("texts\t%zu\nseconds\t%.3f\nprocessor\t%.3f\n", texts, seconds() - start, busy_seconds() - busy);
}

static forage_status run_encode(bert_model *m, const settings *s, const lines *l, FILE *out, base_error *error) {
    const size_t d = bert_model_describe(m).dimensions;
    float *vectors = mem_alloc((l->n + 1) * d * sizeof *vectors);
    double start = seconds(), busy = busy_seconds();
    forage_status status = bert_encode(m, s->side, l->list, l->n, INT64_MAX, vectors, error);
    print_time(l->n, start, busy);
    if (!status && out) fwrite(vectors, sizeof *vectors, l->n * d, out);
    free(vectors);
    return status;
}

/* A line of µs; texts of fewer tokens are left out. */
static forage_status run_latency(const settings *s, const lines *l, FILE *out, base_error *error) {
    enum { WARM = 50 };
    bert_options o = s->options;
    bert_model *m;
    wordpiece *w;
    arena a;
    size_t chosen = 0;
    o.most_tokens = s->tokens;
    forage_status status = bert_model_open(s->model, &o, &m, error);
    if (status) return status;
    if ((status = wordpiece_open(s->model, &w, error))) {
        bert_model_close(m);
        return status;
    }
    float *vector = mem_alloc(bert_model_describe(m).dimensions * sizeof *vector);
    slice *texts = mem_alloc((l->n + 1) * sizeof *texts);
    arena_init(&a, 0);
    for (size_t i = 0; i < l->n; i++)
        if (wordpiece_encode(w, l->list[i], NULL, s->tokens, &a).n == s->tokens) texts[chosen++] = l->list[i];
    for (size_t i = 0; chosen && i < WARM + chosen && !status; i++) {
        double start = seconds();
        status = bert_encode(m, ENCODE_QUERY, &texts[i < WARM ? i % chosen : i - WARM], 1, INT64_MAX, vector, error);
        if (i >= WARM) fprintf(out, "%.0f\n", (seconds() - start) * 1e6);
    }
    free(texts);
    free(vector);
    arena_release(&a);
    wordpiece_close(w);
    bert_model_close(m);
    return status;
}

static int by_token(const void *x, const void *y) {
    uint32_t a = ((const bert_weight *)x)->token, b = ((const bert_weight *)y)->token;
    return (a > b) - (a < b);
}

static forage_status run_sparse(bert_model *m, const settings *s, const lines *l, FILE *out, base_error *error) {
    arena a;
    arena_init(&a, 0);
    bert_weights *found = mem_zalloc(l->n + 1, sizeof *found);
    double start = seconds(), busy = busy_seconds();
    forage_status status = bert_sparse_encode(m, s->side, l->list, l->n, UINT32_MAX, 0, INT64_MAX, &a, found, error);
    print_time(l->n, start, busy);
    for (size_t i = 0; i < l->n && !status && out; i++) {
        bert_weight *list = mem_alloc((found[i].n + 1) * sizeof *list);
        if (found[i].n) memcpy(list, found[i].list, found[i].n * sizeof *list);
        qsort(list, found[i].n, sizeof *list, by_token);
        for (uint32_t j = 0; j < found[i].n; j++) fprintf(out, "%s%u:%.6f", j ? " " : "", list[j].token, (double)list[j].weight);
        fputc('\n', out);
        free(list);
    }
    free(found);
    arena_release(&a);
    return status;
}

static forage_status run_pairs(bert_model *m, const lines *l, FILE *out, base_error *error) {
    forage_status status = FORAGE_OK;
    double start = seconds(), busy = busy_seconds();
    for (size_t i = 0; i < l->n && !status; i++) {
        const char *tab = memchr(l->list[i].data, '\t', l->list[i].size);
        if (!tab) return error_set(error, FORAGE_E_INVALID, "line %zu: no tab", i + 1);
        slice query = {l->list[i].data, (size_t)(tab - l->list[i].data)};
        slice text = {tab + 1, l->list[i].size - query.size - 1};
        float score;
        status = bert_score_pairs(m, query, &text, 1, INT64_MAX, &score, NULL, error);
        if (!status && out) fprintf(out, "%.9g\n", (double)score);
    }
    print_time(l->n, start, busy);
    return status;
}

static forage_status run_tokens(const settings *s, const lines *l, FILE *out, base_error *error) {
    wordpiece *w;
    arena a;
    forage_status status = wordpiece_open(s->model, &w, error);
    if (status) return status;
    arena_init(&a, 0);
    for (size_t i = 0; i < l->n; i++) {
        const char *tab = memchr(l->list[i].data, '\t', l->list[i].size);
        slice text = {l->list[i].data, tab ? (size_t)(tab - l->list[i].data) : l->list[i].size}, second = {0};
        if (tab) second = (slice){tab + 1, l->list[i].size - text.size - 1};
        wordpiece_tokens t = wordpiece_encode(w, text, tab ? &second : NULL, s->options.most_tokens, &a);
        for (uint32_t j = 0; j < t.n; j++) fprintf(out, "%s%u", j ? " " : "", t.ids[j]);
        fputc('\n', out);
        arena_reset(&a);
    }
    arena_release(&a);
    wordpiece_close(w);
    return FORAGE_OK;
}

int main(int n, char **arguments) {
    settings s;
    lines l = {0};
    bert_model *m = NULL;
    base_error error = {0};
    if (!read_settings(n, arguments, &s))
        return fail("usage: encode_tool encode|latency|sparse|pairs|tokens --model FOLDER --texts FILE …");
    forage_status status = read_lines(s.texts, &l, &error);
    FILE *out = s.out ? fopen(s.out, "wb") : NULL;
    if (s.out && !out) return fail(s.out);
    if (!status && !strcmp(s.what, "latency")) {
        status = run_latency(&s, &l, out ? out : stdout, &error);
    } else if (!status && !strcmp(s.what, "tokens")) {
        status = run_tokens(&s, &l, out ? out : stdout, &error);
    } else if (!status && !(status = bert_model_open(s.model, &s.options, &m, &error))) {
        status = !strcmp(s.what, "sparse")  ? run_sparse(m, &s, &l, out, &error)
                 : !strcmp(s.what, "pairs") ? run_pairs(m, &l, out, &error)
                                            : run_encode(m, &s, &l, out, &error);
    }
    bert_model_close(m);
    free(l.list);
    buffer_release(&l.file);
    if (out) fclose(out);
    return status ? fail(error.message) : 0;
}
