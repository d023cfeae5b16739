/* experiment: two rankers or two policies compared on the people who search. */
#include "cli/client.h"
#include "cli/passing.h"
#include "cli/screen.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

static const cli_option options[] = {
    {"a", 0, "NAME", "start: one side, a ranker (auto, linear, rrf, model:N), or for ab a policy"},
    {"b", 0, "NAME", "start: the other side"},
    {"kind", 0, "NAME", "start: team_draft (default) or optimised share each page; ab parts the people"},
    {"share", 0, "X", "start: of the searches or people that take part (default: 1)"},
    {"split", 0, "X", "start: share of side a in ab (default: 0.5)"},
    {"window-seconds", 0, "X", "start: how long after a search a reward counts"},
    {"alpha", 0, "X", "start: chance of a false alarm, however often one looks (default: 0.05)"},
    {0}};

typedef struct experiment_command {
    const cli_arguments *arguments;
    client *client;
    const char *target;
    arena memory;
} experiment_command;

static double number(const json_value *object, const char *key) {
    const json_value *v = json_get(object, key);
    return v && v->type == JSON_NUMBER ? v->number : 0;
}

static slice text(const json_value *object, const char *key) {
    slice out = {0};
    json_member_string(object, key, &out, NULL);
    return out;
}

static const char *day(arena *memory, double seconds) {
    char out[32] = "?";
    time_t time = (time_t)seconds;
    struct tm parts;
    if (gmtime_r(&time, &parts)) strftime(out, sizeof out, "%Y-%m-%d %H:%M", &parts);
    return arena_strndup(memory, out, 31);
}

static void add_side(table *t, const json_value *result, const char *key, arena *memory) {
    const json_value *side = json_get(result, key);
    bool ab = json_get(side, "units") != NULL;
    table_cell_text(t, key);
    table_cell(t, text(side, "name"));
    table_cell_text(t, arena_printf(memory, "%.5g", number(side, "earned")));
    table_cell_text(t, ab ? text_count(memory, (uint64_t)number(side, "units")) : "");
    table_cell_text(t, ab ? text_count(memory, (uint64_t)number(side, "impressions")) : "");
}

static void print(experiment_command *e, const json_value *answer) {
    static const table_column columns[] = {{"side", false, false, STYLE_BOLD},  {"", false, false, STYLE_CYAN},
                                           {"earned", true, false, STYLE_NONE}, {"units", true, false, STYLE_NONE},
                                           {"searches", true, false, STYLE_NONE}};
    const json_value *result = json_get(answer, "result"), *running = json_get(answer, "running"), *d = json_get(result, "difference");
    printf("%s%.*s%s (%.*s) %s, started %s", paint(STYLE_BOLD), SLICE_ARG(text(result, "name")), paint(STYLE_NONE),
           SLICE_ARG(text(result, "kind")),
           running && running->boolean ? "is running" : "has ended", day(&e->memory, number(answer, "started")));
    if (json_get(result, "pages")) printf(", %s pages", text_count(&e->memory, (uint64_t)number(result, "pages")));
    printf("\n");
    table *t = table_create(columns, 5);
    add_side(t, result, "a", &e->memory);
    add_side(t, result, "b", &e->memory);
    table_print(t, "  ");
    table_destroy(t);
    printf("  difference %+.5g (%+.5g to %+.5g at %g %%, however often one looks)\n\n", number(d, "estimate"), number(d, "low"),
           number(d, "high"), 100 * number(result, "confidence"));
    slice verdict = text(result, "verdict");
    printf("%.*s\n", (int)verdict.size, verdict.data);
}

static int tell(experiment_command *e, const char *method, slice body) {
    json_value *answer;
    slice raw;
    int status = client_json(e->client, &e->memory, method, e->target, body, &answer, &raw);
    if (status) return status;
    const json_value *result = json_get(answer, "result");
    bool none = !result || result->type == JSON_NULL;
    if (arg_flag(e->arguments, "json")) printf("%.*s\n", (int)raw.size, raw.data);
    else if (none) cli_error("there was no experiment yet; forage experiment start NAME --a RANKER --b RANKER begins one");
    else if (strcmp(method, "GET") == 0 || !arg_flag(e->arguments, "quiet")) print(e, answer);
    return none ? CLI_FAILED : CLI_OK;
}

static int start(experiment_command *e, const char *name) {
    static const passed_option passed[] = {{"a", NULL, false},    {"b", NULL, false},    {"kind", NULL, false},
                                           {"share", NULL, true},
                                           {"split", NULL, true}, {"alpha", NULL, true}, {"window-seconds", NULL, true}, {0}};
    buffer body = {0};
    json_writer w = json_writer_of(&body);
    json_begin_object(&w);
    json_key(&w, "name");
    json_text(&w, name);
    pass_options(e->arguments, passed, &w);
    json_end_object(&w);
    int status = tell(e, "POST", (slice){body.data, body.size});
    buffer_release(&body);
    return status;
}

static int check(const cli_arguments *a, const char *verb) {
    bool starts = strcmp(verb, "start") == 0;
    if (!starts && strcmp(verb, "show") != 0 && strcmp(verb, "end") != 0)
        return cli_usage_error(a->command, "\"%s\": expected start, show or end", verb);
    if (starts && a->n_words != 2) return cli_usage_error(a->command,
                                                          "what is it called? forage experiment start NAME --a RANKER --b RANKER");
    if (starts && (!arg_text(a, "a", NULL) || !arg_text(a, "b", NULL)))
        return cli_usage_error(a->command, "which two? Give --a NAME and --b NAME");
    if (!starts && a->n_words > 1) return cli_usage_error(a->command, "\"%s\": %s takes no more words", a->words[1], verb);
    for (const cli_option *o = options; o->name && !starts; o++)
        if (arg_text(a, o->name, NULL)) return cli_usage_error(a->command, "--%s is for start", o->name);
    return CLI_OK;
}

static int run(const cli_arguments *a) {
    experiment_command e = {.arguments = a};
    const char *verb = a->n_words ? a->words[0] : "show", *collection;
    int status = check(a, verb);
    if (status) return status;
    bool shows = strcmp(verb, "show") == 0;
    arena_init(&e.memory, 0);
    status = client_open(a, shows ? CLIENT_LOOKS : CLIENT_WRITES, &e.client);
    if (!status) status = client_collection(e.client, a, &e.memory, NULL, &collection);
    if (!status) {
        e.target = collection_target(&e.memory, collection, "/experiment");
        status = strcmp(verb, "start") == 0 ? start(&e, a->words[1]) : tell(&e, shows ? "GET" : "DELETE", (slice){0});
    }
    client_close(e.client);
    arena_release(&e.memory);
    return status;
}

const cli_command command_experiment = {
    "experiment", "compares two rankers or two policies on the people who search",
    "experiment [options] start NAME --a NAME --b NAME\nexperiment [options] [show]\nexperiment [options] end",
    "team_draft and optimised put both sides' hits on one page and count whose are chosen: they need few searches. ab gives\n"
    "each person one side. The interval holds at every moment, so that one may look as often as one likes and stop when it\n"
    "is decided. One experiment runs at a time; searches that name a ranker or policy take no part.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage experiment start spring --a linear --b model:3\nforage experiment start budget --kind ab --a regcb --b rrf-equal --share 0.2\n"
    "forage experiment\nforage experiment end",
    run};
