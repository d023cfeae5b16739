#include "base/random.h"
#include "cli/client.h"
#include "cli/eval_input.h"
#include "cli/import_batch.h"
#include "cli/screen.h"
#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_METRICS "ndcg@10,recall@100,mrr,map"
#define DEFAULT_DEPTH 1000

static const cli_option options[] = {
    {"queries", 0, "FILE", "TSV (id, text) or JSON lines (_id, text); gzip and zstd are fine"},
    {"judgments", 0, "FILE", "TREC qrels or BEIR's TSV; only judged queries are run"},
    {"beir", 0, "FOLDER", "takes queries.jsonl and qrels/test.tsv from a BEIR folder"},
    {"import", 0, NULL, "with --beir: import its corpus.jsonl into a temporary collection first"},
    {"run", 0, "FILE", "evaluate this TREC run instead of searching"},
    {"run-out", 0, "FILE", "write the results as a TREC run"},
    {"metrics", 'm', "LIST", "default: " DEFAULT_METRICS},
    {"depth", 0, "N", "results per query, at most 1000 (default: 1000)"},
    {"policy", 0, "NAME", "who chooses the strategies (default: all of them at equal depth)"},
    {"ranker", 0, "NAME", "who orders the results, instead of the collection's ranker"},
    {0}};

typedef struct eval_run {
    const cli_arguments *arguments;
    client *client;
    const char *collection;
    eval_input input;
    int64_t depth;
    char folder[512];  /* a temporary data folder; "": none */
    bool drop;         /* the collection is temporary */
    arena memory;
} eval_run;

/* ---- Input ----------------------------------------------------------------------------------------------------- */

/* A file of the BEIR folder, as it is or compressed. */
static const char *beir_file(eval_run *r, const char *name) {
    static const char *const endings[] = {".gz", ".zst"};
    const char *path = path_join(&r->memory, arg_text(r->arguments, "beir", NULL), name);
    for (size_t i = 0; i < 2 && !os_exists(path); i++) {
        const char *packed = arena_printf(&r->memory, "%s%s", path, endings[i]);
        if (os_exists(packed)) return packed;
    }
    return path;
}

static int read_input(eval_run *r) {
    const cli_arguments *a = r->arguments;
    const char *beir = arg_text(a, "beir", NULL), *run = arg_text(a, "run", NULL);
    const char *queries = arg_text(a, "queries", NULL), *judgments = arg_text(a, "judgments", NULL);
    if (beir && !queries) queries = beir_file(r, "queries.jsonl");
    if (beir && !judgments) judgments = beir_file(r, "qrels/test.tsv");
    if (!run && !queries)
        return cli_usage_error(a->command, "which queries? Give --queries FILE, --beir FOLDER or --run FILE");
    if (!judgments && (run || !arg_text(a, "run-out", NULL)))
        return cli_usage_error(a->command, "which judgments? Give --judgments FILE");
    if (arg_flag(a, "import") && !beir) return cli_usage_error(a->command, "--import goes with --beir FOLDER");
    if (run && arg_text(a, "run-out", NULL))
        return cli_usage_error(a->command, "--run and --run-out exclude each other");
    int status = judgments ? eval_read_judgments(&r->input, judgments) : CLI_OK;
    if (!status && run) return eval_read_run(&r->input, run);
    if (!status) status = eval_read_queries(&r->input, queries);
    if (status) return status;
    if (!judgments) {
        for (size_t i = 0; i < r->input.n_queries; i++) r->input.queries[i].judged = true;
    } else if (eval_mark_judged(&r->input) == 0) {
        cli_error("no query of %s is judged in %s: their ids differ", queries, judgments);
        status = CLI_FAILED;
    }
    return status;
}

/* ---- Where to evaluate ----------------------------------------------------------------------------------------- */

static int open_temporary_folder(eval_run *r) {
    const char *base = getenv("TMPDIR");
    snprintf(r->folder, sizeof r->folder, "%s/forage-eval-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(r->folder)) {
        cli_error("making a temporary folder: %s", strerror(errno));
        r->folder[0] = '\0';
        return CLI_FAILED;
    }
    return client_open_folder(r->arguments, r->folder, &r->client);
}

static int make_temporary_collection(eval_run *r, const char *schema) {
    r->collection = arena_printf(&r->memory, "eval-%08x", (unsigned)random_entropy());
    r->drop = true;
    json_value *answer;
    return client_json(r->client, &r->memory, "PUT", collection_target(&r->memory, r->collection, ""),
                       slice_of(schema), &answer, NULL);
}

static int import_corpus(eval_run *r) {
    int status = make_temporary_collection(r, "{\"id\":\"_id\",\"fields\":{\"title\":{\"type\":\"text\"},"
                                              "\"text\":{\"type\":\"text\"}}}");
    if (status) return status;
    const char *path = beir_file(r, "corpus.jsonl");
    progress p;
    import_batch b;
    import_batch_init(&b, r->client, r->collection);
    status = import_batch_files(&b, &path, 1, RECORDS_NDJSON, arg_flag(r->arguments, "quiet"), &p);
    if (!status)
        cli_note(r->arguments, "%s documents imported in %s", text_count(&r->memory, b.indexed),
                 text_seconds(&r->memory, progress_seconds(&p)));
    if (!status && b.failed)
        cli_error("%s documents were refused; the first: %s", text_count(&r->memory, b.failed),
                  b.n_refused ? b.refused[0].message : "unknown");
    import_batch_release(&b);
    return status;
}

/* A corpus to import gets a place of its own, and so does a run, which needs no documents. */
static int open_place(eval_run *r) {
    const cli_arguments *a = r->arguments;
    bool import = arg_flag(a, "import"), remote = client_would_be_remote(a);
    bool given = remote || arg_text(a, "data", NULL);
    if (import || (arg_text(a, "run", NULL) && !given)) {
        int status = remote ? client_open(a, CLIENT_CREATES, &r->client) : open_temporary_folder(r);
        if (status) return status;
        return import ? import_corpus(r) : make_temporary_collection(r, "{}");
    }
    int status = client_open(a, CLIENT_LOOKS, &r->client);
    return status ? status : client_collection(r->client, a, &r->memory, NULL, &r->collection);
}

static void close_place(eval_run *r) {
    if (r->drop && r->client && client_is_remote(r->client)) {
        client_reply reply;
        if (client_send(r->client, "DELETE", collection_target(&r->memory, r->collection, ""), NULL, (slice){0},
                        &reply) == CLI_OK)
            client_reply_release(&reply);
    }
    client_close(r->client);
    if (r->folder[0]) os_remove_tree(r->folder, NULL);
}

/* ---- Running and evaluating ------------------------------------------------------------------------------------ */

static void write_choice(json_writer *w, const cli_arguments *a, const char *name) {
    if (!arg_text(a, name, NULL)) return;
    json_key(w, name);
    json_text(w, arg_text(a, name, NULL));
}

/* The request that `evaluate` makes of the same query: the n-th judged one has the seed n. */
static void write_search(const eval_run *r, const eval_query *q, int64_t seed, buffer *request) {
    json_writer w = json_writer_of(request);
    json_begin_object(&w);
    json_key(&w, "query");
    json_string(&w, q->text);
    json_key(&w, "policy");
    json_text(&w, arg_text(r->arguments, "policy", "all"));
    json_key(&w, "seed");
    json_integer(&w, seed);
    json_key(&w, "timeout_ms");
    json_integer(&w, 60000);
    json_key(&w, "limit");
    json_integer(&w, r->depth);
    json_key(&w, "log");
    json_bool(&w, false);
    json_key(&w, "fields");
    json_begin_array(&w);
    json_end_array(&w);
    write_choice(&w, r->arguments, "ranker");
    json_end_object(&w);
}

static int run_query(eval_run *r, const eval_query *q, int64_t seed, FILE *out) {
    buffer request = {0};
    write_search(r, q, seed, &request);
    json_value *answer;
    arena memory;
    arena_init(&memory, 0);
    int status = client_json(r->client, &memory, "POST", collection_target(&memory, r->collection, "/search"),
                             (slice){request.data, request.size}, &answer, NULL);
    const json_value *hits = status ? NULL : json_get(answer, "hits");
    size_t rank = 0;
    for (const json_value *hit = hits ? hits->first : NULL; hit; hit = hit->next) {
        slice id = {0};
        double score = 0;
        json_member_string(hit, "id", &id, NULL);
        json_member_number(hit, "score", -1e300, 1e300, &score, NULL);
        fprintf(out, "%.*s Q0 %.*s %zu %.9g forage\n", (int)q->id.size, q->id.data, (int)id.size, id.data, ++rank,
                score);
    }
    buffer_release(&request);
    arena_release(&memory);
    return status;
}

static int run_queries(eval_run *r, const char *path) {
    FILE *out = fopen(path, "we");
    if (!out) {
        cli_error("writing %s: %s", path, strerror(errno));
        return CLI_FAILED;
    }
    progress p = progress_start("queries", r->input.n_queries, arg_flag(r->arguments, "quiet"));
    int status = CLI_OK;
    int64_t n = 0;
    for (size_t i = 0; i < r->input.n_queries && !status; i++) {
        if (r->input.queries[i].judged) status = run_query(r, &r->input.queries[i], ++n, out);
        progress_show(&p, i + 1, (uint64_t)n);
    }
    progress_clear(&p);
    if (fclose(out) != 0 && !status) {
        cli_error("writing %s: %s", path, strerror(errno));
        status = CLI_FAILED;
    }
    return status;
}

static void write_metrics(json_writer *w, const char *list) {
    json_key(w, "metrics");
    json_begin_array(w);
    while (*list) {
        size_t n = strcspn(list, ", ");
        if (n) json_string(w, (slice){list, n});
        list += n + (list[n] != '\0');
    }
    json_end_array(w);
}

static void write_request(const eval_run *r, buffer *out) {
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    if (r->input.run.count) eval_write_pairs(&w, "run", &r->input.run, "score");
    else eval_write_queries(&w, &r->input);
    eval_write_pairs(&w, "judgments", &r->input.judgments, "grade");
    write_metrics(&w, arg_text(r->arguments, "metrics", DEFAULT_METRICS));
    json_key(&w, "depth");
    json_integer(&w, r->depth);
    if (!r->input.run.count) {
        write_choice(&w, r->arguments, "policy");
        write_choice(&w, r->arguments, "ranker");
    }
    json_end_object(&w);
}

static void print_metrics(const json_value *answer, arena *memory) {
    static const table_column columns[] = {{"metric", false, false, STYLE_BOLD}, {"mean", true, false, STYLE_NONE},
                                           {"95 % interval", true, false, STYLE_DIM}};
    const json_value *metrics = json_get(answer, "metrics");
    table *t = table_create(columns, 3);
    for (const json_value *m = metrics ? metrics->first : NULL; m; m = m->next) {
        slice name = {0};
        double mean = 0, low = 0, high = 0;
        json_member_string(m, "name", &name, NULL);
        json_member_number(m, "mean", -1e300, 1e300, &mean, NULL);
        json_member_number(m, "low", -1e300, 1e300, &low, NULL);
        json_member_number(m, "high", -1e300, 1e300, &high, NULL);
        table_cell(t, name);
        table_cell_text(t, arena_printf(memory, "%.4f", mean));
        table_cell_text(t, arena_printf(memory, "%.4f to %.4f", low, high));
    }
    int64_t queries = 0;
    double took_ms = 0;
    json_member_integer(answer, "queries", 0, INT64_MAX, &queries, NULL);
    json_member_number(answer, "took_ms", 0, 1e300, &took_ms, NULL);
    printf("%s queries in %s\n", text_count(memory, (uint64_t)queries), text_seconds(memory, took_ms / 1000));
    table_print(t, "  ");
    table_destroy(t);
}

static int evaluate(eval_run *r) {
    buffer request = {0};
    json_value *answer;
    slice text;
    write_request(r, &request);
    int status = client_json(r->client, &r->memory, "POST", collection_target(&r->memory, r->collection, "/evaluate"),
                             (slice){request.data, request.size}, &answer, &text);
    buffer_release(&request);
    if (!status && arg_flag(r->arguments, "json")) printf("%.*s\n", (int)text.size, text.data);
    else if (!status) print_metrics(answer, &r->memory);
    return status;
}

static int run(const cli_arguments *a) {
    if (a->n_words)
        return cli_usage_error(a->command, "\"%s\": name files with --queries and --judgments", a->words[0]);
    eval_run r = {.arguments = a, .depth = DEFAULT_DEPTH};
    const char *run_out = arg_text(a, "run-out", NULL);
    arena_init(&r.memory, 0);
    eval_input_init(&r.input);
    int status = arg_integer(a, "depth", 1, 1000, &r.depth);
    if (!status) status = read_input(&r);
    if (!status) status = open_place(&r);
    if (!status && run_out) status = run_queries(&r, run_out);
    if (!status && r.input.judgments.count) status = evaluate(&r);
    close_place(&r);
    eval_input_release(&r.input);
    arena_release(&r.memory);
    return status;
}

const cli_command command_eval = {
    "eval", "measures how good the results are",
    "eval [options] --queries FILE --judgments FILE\neval [options] --beir FOLDER [--import]\n"
    "eval [options] --run FILE --judgments FILE",
    "Runs every judged query, compares with the judgments, and prints the mean of each metric with its 95 % interval.\n"
    "Nothing is logged and nothing is learned.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage eval --queries examples/media/queries.tsv --judgments examples/media/judgments.tsv\n"
    "forage eval --beir scifact --import -m ndcg@10,recall@100 --policy all\n"
    "forage eval --run bm25.run --judgments qrels.txt",
    run};
