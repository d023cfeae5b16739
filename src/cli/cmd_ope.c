/* ope: what would another policy have earned? */
#include "cli/client.h"
#include "cli/input.h"
#include "cli/screen.h"
#include "format/records.h"
#include "os/file.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const cli_option options[] = {
    {"policy", 'p', "NAME|FILE", "a policy's name (default: the collection's), equal, or a file with a plan as JSON"},
    {"depth", 0, "N", "of equal: candidates asked of every strategy (default: 25)"},
    {"since", 0, "TIME", "only searches from then on, such as 2026-01-31 or 2026-01-31T12:00:00Z"},
    {"until", 0, "TIME", "only searches before then"},
    {"limit", 0, "N", "only the latest N searches (default: 100000, at most 1000000)"},
    {"rows", 0, "FILE", "evaluate these rows instead of the log (CSV, TSV or NDJSON)"},
    {"interval", 0, "NAME", "normal (default) or bootstrap"},
    {"tuning", 0, "NAME", "how tau and lambda are found: mse (default) or slope"},
    {"tau", 0, "X", "of switch-dr, instead of tuning"},
    {"lambda", 0, "X", "of dros, instead of tuning"},
    {"seed", 0, "N", "of the bootstrap (default: 42)"},
    {0}};

typedef struct ope_run {
    const cli_arguments *arguments;
    client *client;
    const char *collection;
    char folder[512]; /* a temporary data folder; "": none */
    arena memory;
} ope_run;

/* ---- The request ----------------------------------------------------------------------------------------------- */

static int write_policy(ope_run *r, json_writer *w) {
    const char *policy = arg_text(r->arguments, "policy", NULL);
    if (!policy) return CLI_OK;
    if (!strpbrk(policy, "./")) { /* a name; one that nobody knows is the API's to refuse */
        json_key(w, "policy");
        json_text(w, policy);
        return CLI_OK;
    }
    buffer text = {0};
    json_value *plan;
    base_error error;
    int status = input_text(policy, &text);
    if (!status && json_read(&r->memory, (slice){text.data, text.size}, &plan, &error)) {
        cli_error("%s: %s", policy, error.message);
        status = CLI_FAILED;
    }
    if (!status) {
        json_key(w, "plan");
        json_value_write(w, plan);
    }
    buffer_release(&text);
    return status;
}

/* A table's cell may be a number that is not written canonically, such as 1e-05: it is one all the same. */
static void write_cell(ope_run *r, json_writer *w, const json_value *cell) {
    json_value *number;
    bool is_number = cell->type == JSON_STRING && !json_read(&r->memory, cell->text, &number, NULL) &&
                     number->type == JSON_NUMBER;
    json_key_slice(w, cell->key);
    json_value_write(w, is_number ? number : cell);
}

static int write_records(ope_run *r, records_reader *records, const char *path, json_writer *w) {
    base_error error;
    bool end = false, recoverable;
    uint64_t line;
    slice text;
    for (;;) {
        json_value *row;
        forage_status status = records_next(records, &text, &line, &end, &recoverable, &error);
        if (!status && end) return CLI_OK;
        if (!status) status = json_read(&r->memory, text, &row, &error);
        if (status) {
            cli_error("%s: %s", path, error.message);
            return CLI_FAILED;
        }
        json_begin_object(w);
        for (const json_value *cell = row->first; cell; cell = cell->next) write_cell(r, w, cell);
        json_end_object(w);
    }
}

static int write_rows(ope_run *r, const char *path, json_writer *w) {
    input_file file;
    int status = input_open(path, &file);
    if (status) return status;
    records_reader *records = records_open(input_read, &file, NULL);
    json_key(w, "rows");
    json_begin_array(w);
    status = write_records(r, records, path, w);
    json_end_array(w);
    records_close(records);
    input_close(&file);
    return status;
}

/* A number as it was typed; what is none stays a string, which the API refuses with the option's name. */
static void write_option(ope_run *r, json_writer *w, const char *name, bool number) {
    const char *text = arg_text(r->arguments, name, NULL);
    json_value *value;
    if (!text) return;
    json_key(w, name);
    if (number && !json_read(&r->memory, slice_of(text), &value, NULL) && value->type == JSON_NUMBER)
        json_value_write(w, value);
    else json_text(w, text);
}

static int write_request(ope_run *r, buffer *out) {
    static const struct {
        const char *name;
        bool number;
    } passed[] = {{"depth", true},   {"since", false}, {"until", false}, {"limit", true}, {"interval", false},
                  {"tuning", false}, {"tau", true},    {"lambda", true}, {"seed", true}};
    const char *rows = arg_text(r->arguments, "rows", NULL);
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    int status = rows ? write_rows(r, rows, &w) : write_policy(r, &w);
    for (size_t i = 0; i < sizeof passed / sizeof passed[0]; i++) write_option(r, &w, passed[i].name, passed[i].number);
    json_end_object(&w);
    return status;
}

/* ---- The answer ------------------------------------------------------------------------------------------------ */

static double number(const json_value *object, const char *key) {
    const json_value *value = json_get(object, key);
    return value && value->type == JSON_NUMBER ? value->number : 0;
}

static slice text(const json_value *object, const char *key) {
    slice out = {0};
    json_member_string(object, key, &out, NULL);
    return out;
}

static void add_estimate(table *t, const json_value *e, arena *memory) {
    table_cell(t, text(e, "name"));
    table_cell_text(t, arena_printf(memory, "%.5f", number(e, "value")));
    table_cell_text(t, arena_printf(memory, "%.5f to %.5f", number(e, "low"), number(e, "high")));
    table_cell_text(t, text_count(memory, (uint64_t)(number(e, "effective_sample_size") + .5)));
    table_cell_text(t, arena_printf(memory, "%.4g", number(e, "max_weight")));
    table_cell_text(t, json_get(e, "parameter") ? arena_printf(memory, "%.4g", number(e, "parameter")) : "");
}

static bool warns(const json_value *estimate, slice warning) {
    const json_value *list = json_get(estimate, "warnings");
    for (const json_value *v = list ? list->first : NULL; v; v = v->next)
        if (slice_equal(v->text, warning)) return true;
    return false;
}

/* Each warning once, with everybody it is about; `estimate` is where it comes first. */
static void print_warning(const json_value *estimates, const json_value *estimate, slice warning) {
    const json_value *e = estimates->first;
    while (e != estimate && !warns(e, warning)) e = e->next;
    if (e != estimate) return;
    printf("%s", paint(STYLE_YELLOW));
    for (bool first = true; e; e = e->next) {
        if (!warns(e, warning)) continue;
        printf("%s%.*s", first ? "" : ", ", SLICE_ARG(text(e, "name")));
        first = false;
    }
    printf("%s: %.*s\n", paint(STYLE_NONE), (int)warning.size, warning.data);
}

static void print_warnings(const json_value *answer) {
    const json_value *all = json_get(answer, "warnings"), *estimates = json_get(answer, "estimates");
    for (const json_value *v = all ? all->first : NULL; v; v = v->next)
        printf("%sthe log%s: %.*s\n", paint(STYLE_YELLOW), paint(STYLE_NONE), (int)v->text.size, v->text.data);
    for (const json_value *e = estimates ? estimates->first : NULL; e; e = e->next) {
        const json_value *list = json_get(e, "warnings");
        for (const json_value *v = list ? list->first : NULL; v; v = v->next) print_warning(estimates, e, v->text);
    }
}

static void print_answer(const json_value *answer, arena *memory) {
    static const table_column columns[] = {
        {"estimator", false, false, STYLE_BOLD},     {"value", true, false, STYLE_NONE},
        {"95 % interval", true, false, STYLE_DIM},   {"effective rows", true, false, STYLE_NONE},
        {"largest weight", true, false, STYLE_NONE}, {"tau, lambda", true, false, STYLE_DIM}};
    const json_value *estimates = json_get(answer, "estimates"), *progressive = json_get(answer, "progressive");
    table *t = table_create(columns, 6);
    if (json_get(answer, "rows")) printf("%s rows", text_count(memory, (uint64_t)number(answer, "rows")));
    else
        printf("policy %.*s%s on %s impressions, %s events", SLICE_ARG(text(answer, "policy")),
               progressive && progressive->boolean ? ", learning as it goes," : "",
               text_count(memory, (uint64_t)number(answer, "impressions")),
               text_count(memory, (uint64_t)number(answer, "events")));
    printf("; %.*s intervals; %s\n", SLICE_ARG(text(answer, "interval")),
           text_seconds(memory, number(answer, "took_ms") / 1000));
    add_estimate(t, json_get(answer, "logged"), memory);
    for (const json_value *e = estimates ? estimates->first : NULL; e; e = e->next) add_estimate(t, e, memory);
    table_print(t, "  ");
    table_destroy(t);
    print_warnings(answer);
}

/* ---- Where ----------------------------------------------------------------------------------------------------- */

/* Rows need no log: they get a collection of their own in a folder of their own, unless a place was named. */
static int open_place(ope_run *r) {
    const cli_arguments *a = r->arguments;
    if (!arg_text(a, "rows", NULL) || client_would_be_remote(a) || arg_text(a, "data", NULL)) {
        int status = client_open(a, CLIENT_READS, &r->client);
        return status ? status : client_collection(r->client, a, &r->memory, NULL, &r->collection);
    }
    const char *base = getenv("TMPDIR");
    json_value *answer;
    snprintf(r->folder, sizeof r->folder, "%s/forage-ope-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(r->folder)) {
        cli_error("making a temporary folder: %s", strerror(errno));
        r->folder[0] = '\0';
        return CLI_FAILED;
    }
    r->collection = "rows";
    int status = client_open_folder(a, r->folder, &r->client);
    if (!status)
        status = client_json(r->client, &r->memory, "PUT", collection_target(&r->memory, r->collection, ""),
                             SLICE("{}"), &answer, NULL);
    return status;
}

static int evaluate(ope_run *r) {
    buffer request = {0};
    json_value *answer;
    slice raw;
    int status = write_request(r, &request);
    if (!status)
        status = client_json(r->client, &r->memory, "POST", collection_target(&r->memory, r->collection, "/ope"),
                             (slice){request.data, request.size}, &answer, &raw);
    buffer_release(&request);
    if (!status && arg_flag(r->arguments, "json")) printf("%.*s\n", (int)raw.size, raw.data);
    else if (!status) print_answer(answer, &r->memory);
    return status;
}

static int run(const cli_arguments *a) {
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": name a policy with --policy", a->words[0]);
    if (arg_text(a, "rows", NULL) && arg_text(a, "policy", NULL))
        return cli_usage_error(a->command,
                               "--rows and --policy exclude each other: the rows hold the target's probabilities");
    ope_run r = {.arguments = a};
    arena_init(&r.memory, 0);
    int status = open_place(&r);
    if (!status) status = evaluate(&r);
    client_close(r.client);
    if (r.folder[0]) os_remove_tree(r.folder, NULL);
    arena_release(&r.memory);
    return status;
}

const cli_command command_ope = {
    "ope",
    "tells what another policy would have earned",
    "ope [options] --policy NAME|FILE\nope [options] --rows FILE",
    "Off-policy evaluation: the log holds the probability of every choice, so that it can say what a policy that "
    "never\n"
    "served would have earned per search, with 95 % intervals and a warning where it cannot know. One that learns is\n"
    "judged as it learns: asked about each search before the log teaches it that search. A plan is a JSON file\n"
    "such as {\"lexical\": 100, \"memory\": {\"0\": 0.2, \"25\": 0.8}}: a depth, or probabilities of depths, for each "
    "strategy\n"
    "that is asked. Rows are logged bandit data from anywhere: columns reward, logging (the probability of what was\n"
    "done), target (the same under the policy in question) and, with a reward model, predicted and expected.",
    options,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage ope --policy all\nforage ope --policy equal --depth 25 --since 2026-01-31\nforage ope --policy plan.json "
    "--json\n"
    "forage ope --rows logged.csv",
    run};
