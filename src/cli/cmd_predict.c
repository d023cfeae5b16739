/* predict: the queries that people are likely to ask for a document. */
#include "cli/client.h"
#include "cli/input.h"
#include "cli/progress.h"
#include "cli/screen.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"source", 's', "NAME", "catalogue, borrowed, translated or imported (may be repeated; default: all)"},
    {"per-document", 'n', "N", "queries of a document, at most 64 (default: 8; evaluate and show: 10)"},
    {"documents", 0, "N", "build: stop after so many documents (default: all of them)"},
    {"pairs", 0, "N", "evaluate: held-out pairs to look at (default: 2000)"},
    {"iterations", 0, "N", "train, evaluate: rounds of expectation and maximisation (default: 5)"},
    {"suggest", 0, NULL, "show: also what each source would predict now"},
    {0}};

typedef struct prediction_run {
    const cli_arguments *arguments;
    client *client;
    const char *collection;
    arena memory;
} prediction_run;

static const char *target(prediction_run *r, const char *rest) {
    return collection_target(&r->memory, r->collection, rest);
}

static int64_t integer(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? (int64_t)v->number : 0;
}

static double number(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : 0;
}

static void text_cell(table *t, const json_value *object, const char *key) {
    slice text = {0};
    json_member_string(object, key, &text, NULL);
    table_cell(t, text);
}

/* Whether the answer was printed as it came. */
static bool printed_raw(const prediction_run *r, slice text) {
    if (arg_flag(r->arguments, "json")) printf("%.*s\n", (int)text.size, text.data);
    return arg_flag(r->arguments, "json") || arg_flag(r->arguments, "quiet");
}

static int no_more_words(prediction_run *r, size_t n, const char *what) {
    if (r->arguments->n_words == n) return CLI_OK;
    return cli_usage_error(r->arguments->command, "`predict %s` takes %s", r->arguments->words[0], what);
}

static void write_sources(json_writer *w, const cli_arguments *a) {
    if (!arg_nth(a, "source", 0)) return;
    json_key(w, "sources");
    json_begin_array(w);
    for (size_t i = 0; arg_nth(a, "source", i); i++) json_text(w, arg_nth(a, "source", i));
    json_end_array(w);
}

static void write_integer(json_writer *w, const char *key, int64_t value) {
    if (value < 0) return;
    json_key(w, key);
    json_integer(w, value);
}

/* ---- show ------------------------------------------------------------------------------------------------------ */

static void print_queries(prediction_run *r, const char *title, const json_value *list) {
    static const table_column columns[] = {{"query", false, true, STYLE_GREEN}, {"score", true, false, STYLE_NONE},
                                           {"sources", false, false, STYLE_DIM}};
    printf("%s%s%s\n", paint(STYLE_BOLD), title, paint(STYLE_NONE));
    if (!list || !list->first) {
        printf("  none\n");
        return;
    }
    table *t = table_create(columns, 3);
    for (const json_value *q = list->first; q; q = q->next) {
        const json_value *sources = json_get(q, "sources");
        buffer names = {0};
        for (const json_value *s = sources ? sources->first : NULL; s; s = s->next) {
            if (names.size) buffer_puts(&names, ", ");
            buffer_slice(&names, s->key);
        }
        text_cell(t, q, "query");
        table_cell_text(t, arena_printf(&r->memory, "%.3f", number(q, "score")));
        table_cell(t, (slice){names.data, names.size});
        buffer_release(&names);
    }
    table_print(t, "  ");
    table_destroy(t);
}

static int run_show(prediction_run *r) {
    int64_t limit = 10;
    json_value *answer;
    slice text;
    buffer rest = {0};
    int status = no_more_words(r, 2, "one document's id");
    if (!status) status = arg_integer(r->arguments, "per-document", 1, 64, &limit);
    if (status) return status;
    buffer_puts(&rest, "/documents/");
    percent_encode(&rest, slice_of(r->arguments->words[1]));
    buffer_printf(&rest, "/predictions?limit=%lld%s", (long long)limit,
                  arg_flag(r->arguments, "suggest") ? "&suggest=true" : "");
    status = client_json(r->client, &r->memory, "GET", target(r, buffer_text(&rest)), (slice){0}, &answer, &text);
    buffer_release(&rest);
    if (status || printed_raw(r, text)) return status;
    print_queries(r, "predicted", json_get(answer, "predictions"));
    const json_value *suggestions = json_get(answer, "suggestions");
    for (const json_value *s = suggestions ? suggestions->first : NULL; s; s = s->next)
        print_queries(r, arena_printf(&r->memory, "\nfrom %.*s, now", SLICE_ARG(s->key)), s);
    return CLI_OK;
}

/* ---- import ---------------------------------------------------------------------------------------------------- */

#define BATCH_BYTES ((size_t)2 << 20)
#define REFUSED_SHOWN 10

typedef struct import_sums {
    int64_t received, stored, failed, shown;
    buffer errors; /* JSON values, parted by commas */
} import_sums;

static void take_errors(import_sums *sums, const json_value *errors, bool json) {
    for (const json_value *e = errors ? errors->first : NULL; e; e = e->next) {
        slice message = {0};
        if (sums->errors.size) buffer_putc(&sums->errors, ',');
        json_writer w = json_writer_of(&sums->errors);
        json_value_write(&w, e);
        if (json || sums->shown++ >= REFUSED_SHOWN) continue;
        buffer clean = {0};
        json_member_string(e, "message", &message, NULL);
        text_clean(&clean, message);
        fprintf(stderr, "  line %lld: %s\n", (long long)integer(e, "line"), buffer_text(&clean));
        buffer_release(&clean);
    }
}

/* Sends whole lines, some megabytes at a time. */
static int send_lines(prediction_run *r, slice text, import_sums *sums) {
    uint64_t line = 1;
    int status = CLI_OK;
    while (!status && text.size) {
        size_t size = text.size < BATCH_BYTES ? text.size : BATCH_BYTES;
        if (size < text.size) {
            const char *end = memchr(text.data + size, '\n', text.size - size);
            size = end ? (size_t)(end - text.data) + 1 : text.size;
        }
        json_value *answer;
        arena memory;
        arena_init(&memory, 0);
        const char *rest = arena_printf(&memory, "/predictions?first_line=%llu", (unsigned long long)line);
        status = client_json(r->client, &memory, "POST", collection_target(&memory, r->collection, rest),
                             (slice){text.data, size}, &answer, NULL);
        if (!status) {
            sums->received += integer(answer, "received");
            sums->stored += integer(answer, "stored");
            sums->failed += integer(answer, "failed");
            take_errors(sums, json_get(answer, "errors"), arg_flag(r->arguments, "json"));
        }
        arena_release(&memory);
        for (size_t i = 0; i < size; i++) line += text.data[i] == '\n';
        text = (slice){text.data + size, text.size - size};
    }
    return status;
}

static int run_import(prediction_run *r) {
    int status = CLI_OK;
    import_sums sums = {0};
    if (r->arguments->n_words < 2) return cli_usage_error(r->arguments->command, "which file? Give one, or - for standard input");
    for (size_t i = 1; !status && i < r->arguments->n_words; i++) {
        buffer text = {0};
        status = input_text(r->arguments->words[i], &text);
        if (!status) status = send_lines(r, (slice){text.data, text.size}, &sums);
        buffer_release(&text);
    }
    if (arg_flag(r->arguments, "json"))
        printf("{\"received\":%lld,\"stored\":%lld,\"failed\":%lld,\"errors\":[%s]}\n", (long long)sums.received,
               (long long)sums.stored, (long long)sums.failed, buffer_text(&sums.errors));
    else if (sums.failed > REFUSED_SHOWN)
        fprintf(stderr, "  … and %s more\n", text_count(&r->memory, (uint64_t)(sums.failed - REFUSED_SHOWN)));
    if (!arg_flag(r->arguments, "json") && !arg_flag(r->arguments, "quiet") && (!status || sums.stored))
        printf("%s predicted %s stored\n", text_count(&r->memory, (uint64_t)sums.stored),
               plural((uint64_t)sums.stored, "query", "queries"));
    buffer_release(&sums.errors);
    return status ? status : !sums.failed ? CLI_OK : sums.stored ? CLI_PARTLY : CLI_FAILED;
}

/* ---- build ----------------------------------------------------------------------------------------------------- */

#define DOCUMENTS_OF_ONE 5000 /* of one request */

static int build_some(prediction_run *r, int64_t per_document, int64_t documents, int64_t *from, int64_t sums[2]) {
    buffer request = {0};
    json_value *answer;
    arena memory;
    arena_init(&memory, 0);
    json_writer w = json_writer_of(&request);
    json_begin_object(&w);
    write_sources(&w, r->arguments);
    write_integer(&w, "per_document", per_document);
    write_integer(&w, "documents", documents < DOCUMENTS_OF_ONE ? documents : DOCUMENTS_OF_ONE);
    write_integer(&w, "from", *from);
    json_end_object(&w);
    int status = client_json(r->client, &memory, "POST", collection_target(&memory, r->collection, "/predictions/build"),
                             (slice){request.data, request.size}, &answer, NULL);
    if (!status) {
        const json_value *next = json_get(answer, "next");
        sums[0] += integer(answer, "documents");
        sums[1] += integer(answer, "predictions");
        *from = next && next->type == JSON_NUMBER ? (int64_t)next->number : -1;
    }
    arena_release(&memory);
    buffer_release(&request);
    return status;
}

static int run_build(prediction_run *r) {
    int64_t per_document = 8, documents = INT64_MAX, from = 0, sums[2] = {0};
    int status = no_more_words(r, 1, "no words");
    if (!status) status = arg_integer(r->arguments, "per-document", 1, 64, &per_document);
    if (!status) status = arg_integer(r->arguments, "documents", 1, INT64_MAX, &documents);
    if (status) return status;
    progress p = progress_start("documents", 0, arg_flag(r->arguments, "quiet") || arg_flag(r->arguments, "json"));
    while (!status && from >= 0 && sums[0] < documents) {
        status = build_some(r, per_document, documents - sums[0], &from, sums);
        progress_show(&p, (uint64_t)sums[0], (uint64_t)sums[0]);
    }
    progress_clear(&p);
    if (arg_flag(r->arguments, "json"))
        printf("{\"documents\":%lld,\"predictions\":%lld}\n", (long long)sums[0], (long long)sums[1]);
    else if (!status && !arg_flag(r->arguments, "quiet"))
        printf("%s queries predicted for %s documents in %s\n", text_count(&r->memory, (uint64_t)sums[1]),
               text_count(&r->memory, (uint64_t)sums[0]), text_seconds(&r->memory, progress_seconds(&p)));
    return status;
}

/* ---- train, evaluate, status, drop ------------------------------------------------------------------------------ */

static int post(prediction_run *r, const char *rest, buffer *request, json_value **answer, slice *text) {
    int status = client_json(r->client, &r->memory, "POST", target(r, rest), (slice){request->data, request->size}, answer,
                             text);
    buffer_release(request);
    return status;
}

static int run_train(prediction_run *r) {
    int64_t iterations = -1;
    json_value *answer;
    slice text;
    buffer request = {0};
    int status = no_more_words(r, 1, "no words");
    if (!status) status = arg_integer(r->arguments, "iterations", 1, 50, &iterations);
    if (status) return status;
    json_writer w = json_writer_of(&request);
    json_begin_object(&w);
    write_integer(&w, "iterations", iterations);
    json_end_object(&w);
    status = post(r, "/predictions/train", &request, &answer, &text);
    if (status || printed_raw(r, text)) return status;
    printf("learned from %s pairs of a query and a document, over %s words\n",
           text_count(&r->memory, (uint64_t)integer(answer, "pairs")),
           text_count(&r->memory, (uint64_t)integer(answer, "terms")));
    return CLI_OK;
}

static void print_evaluation(prediction_run *r, const json_value *answer) {
    static const table_column columns[] = {{"source", false, false, STYLE_GREEN}, {"found", true, false, STYLE_NONE},
                                           {"recall", true, false, STYLE_NONE},   {"MRR", true, false, STYLE_NONE}};
    printf("%s held-out pairs; the first %lld predictions of each document\n",
           text_count(&r->memory, (uint64_t)integer(answer, "pairs")), (long long)integer(answer, "per_document"));
    table *t = table_create(columns, 4);
    const json_value *sources = json_get(answer, "sources");
    for (const json_value *s = sources ? sources->first : NULL; s; s = s->next) {
        text_cell(t, s, "source");
        table_cell_text(t, text_count(&r->memory, (uint64_t)integer(s, "found")));
        table_cell_text(t, arena_printf(&r->memory, "%.4f", number(s, "recall")));
        table_cell_text(t, arena_printf(&r->memory, "%.4f", number(s, "mrr")));
    }
    table_print(t, "  ");
    table_destroy(t);
}

static int run_evaluate(prediction_run *r) {
    int64_t per_document = -1, pairs = -1, iterations = -1;
    json_value *answer;
    slice text;
    buffer request = {0};
    int status = no_more_words(r, 1, "no words");
    if (!status) status = arg_integer(r->arguments, "per-document", 1, 64, &per_document);
    if (!status) status = arg_integer(r->arguments, "pairs", 1, 100000, &pairs);
    if (!status) status = arg_integer(r->arguments, "iterations", 1, 50, &iterations);
    if (status) return status;
    json_writer w = json_writer_of(&request);
    json_begin_object(&w);
    write_sources(&w, r->arguments);
    write_integer(&w, "per_document", per_document);
    write_integer(&w, "pairs", pairs);
    write_integer(&w, "iterations", iterations);
    json_end_object(&w);
    status = post(r, "/predictions/evaluate", &request, &answer, &text);
    if (!status && !printed_raw(r, text)) print_evaluation(r, answer);
    return status;
}

static void print_counts(prediction_run *r, const json_value *answer) {
    printf("%s predictions for %s documents; %s remembered queries\n",
           text_count(&r->memory, (uint64_t)integer(answer, "predictions")),
           text_count(&r->memory, (uint64_t)integer(answer, "documents")),
           text_count(&r->memory, (uint64_t)integer(answer, "queries")));
    const json_value *sources = json_get(answer, "sources"), *model = json_get(answer, "model");
    for (const json_value *s = sources ? sources->first : NULL; s; s = s->next)
        if (s->number > 0)
            printf("  %-12.*s %s\n", SLICE_ARG(s->key), text_count(&r->memory, (uint64_t)s->number));
    if (model && model->type == JSON_OBJECT)
        printf("translation model: learned from %s pairs, %s words\n",
               text_count(&r->memory, (uint64_t)integer(model, "pairs")),
               text_count(&r->memory, (uint64_t)integer(model, "terms")));
}

static int run_counts(prediction_run *r, const char *method) {
    json_value *answer;
    slice text;
    const char *source = arg_text(r->arguments, "source", NULL);
    buffer rest = {0};
    int status = no_more_words(r, 1, "no words");
    if (status) return status;
    buffer_puts(&rest, "/predictions");
    if (source && strcmp(method, "DELETE") == 0) {
        buffer_puts(&rest, "?source=");
        percent_encode(&rest, slice_of(source));
    }
    status = client_json(r->client, &r->memory, method, target(r, buffer_text(&rest)), (slice){0}, &answer, &text);
    buffer_release(&rest);
    if (!status && !printed_raw(r, text)) print_counts(r, answer);
    return status;
}

static int run_status(prediction_run *r) { return run_counts(r, "GET"); }

static int run_drop(prediction_run *r) { return run_counts(r, "DELETE"); }

/* ---- The command ----------------------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    client_purpose purpose;
    int (*run)(prediction_run *r);
} actions[] = {
    {"status", CLIENT_READS, run_status},     {"show", CLIENT_READS, run_show},   {"import", CLIENT_WRITES, run_import},
    {"build", CLIENT_WRITES, run_build},      {"train", CLIENT_WRITES, run_train}, {"drop", CLIENT_WRITES, run_drop},
    {"evaluate", CLIENT_READS, run_evaluate},
};
#define N_ACTIONS (sizeof actions / sizeof actions[0])

static int unknown_action(const cli_arguments *a) {
    const char *names[N_ACTIONS + 1] = {0};
    for (size_t i = 0; i < N_ACTIONS; i++) names[i] = actions[i].name;
    const char *near = nearest_word(a->words[0], names);
    return near ? cli_usage_error(a->command, "there is no `predict %s`; did you mean `predict %s`?", a->words[0], near)
                : cli_usage_error(a->command, "there is no `predict %s`", a->words[0]);
}

static int run(const cli_arguments *a) {
    if (a->n_words == 0)
        return cli_usage_error(a->command, "what about it? status, show, import, build, train, evaluate or drop");
    size_t i = 0;
    while (i < N_ACTIONS && strcmp(actions[i].name, a->words[0]) != 0) i++;
    if (i == N_ACTIONS) return unknown_action(a);
    prediction_run r = {.arguments = a};
    arena_init(&r.memory, 0);
    int status = client_open(a, actions[i].purpose, &r.client);
    if (!status) status = client_collection(r.client, a, &r.memory, NULL, &r.collection);
    if (!status) status = actions[i].run(&r);
    client_close(r.client);
    arena_release(&r.memory);
    return status;
}

const cli_command command_predict = {
    "predict", "predicts which queries people will ask for a document",
    "predict status [options]\npredict show [options] ID\npredict import [options] FILE…\npredict build [options]\n"
    "predict train [options]\npredict evaluate [options]\npredict drop [options]",
    "A predicted query lets a document be found before anybody chose it; what people do replaces the prediction.\n"
    "`build` predicts from the catalogue, from similar documents that people chose, and with a translation model that\n"
    "`train` learns from the memory. `import` takes what other programs predicted, as tab-separated lines (document id,\n"
    "query, score from 0 to 1) or JSON lines. `evaluate` says how many of the queries that people did ask each source\n"
    "would have predicted; every fifth pair is kept from it for that.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage predict train && forage predict build\n"
    "forage predict show --suggest book:42\n"
    "forage predict import doc2query.tsv.gz\n"
    "forage predict evaluate --source borrowed --source translated -n 20\n"
    "forage predict drop --source imported",
    run};
