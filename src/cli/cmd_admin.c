/* stats, check, optimize: the state of a collection. */
#include "cli/client.h"
#include "cli/screen.h"

#include <stdio.h>
#include <string.h>

typedef void (*answer_printer)(const json_value *answer, arena *memory);

/* Sends one request about the collection, prints the answer. *out lives in `memory`. */
static int ask(const cli_arguments *a, client_purpose purpose, const char *method, const char *rest, arena *memory,
               answer_printer print, json_value **out) {
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": this command takes no words", a->words[0]);
    client *c = NULL;
    const char *collection;
    slice text;
    int status = client_open(a, purpose, &c);
    if (!status) status = client_collection(c, a, memory, NULL, &collection);
    if (!status)
        status = client_json(c, memory, method, collection_target(memory, collection, rest), (slice){0}, out, &text);
    if (!status && arg_flag(a, "json")) printf("%.*s\n", (int)text.size, text.data);
    else if (!status && !arg_flag(a, "quiet")) print(*out, memory);
    client_close(c);
    return status;
}

static double number(const json_value *object, const char *key) {
    const json_value *value = json_get(object, key);
    return value && value->type == JSON_NUMBER ? value->number : 0;
}

static void name_cell(table *t, const json_value *object, const char *key) {
    slice name = {0};
    json_member_string(object, key, &name, NULL);
    table_cell(t, name);
}

/* ---- stats ----------------------------------------------------------------------------------------------------- */

static void print_counts(const json_value *answer, arena *memory) {
    static const table_column columns[] = {{"", false, false, STYLE_DIM}, {"", true, false, STYLE_NONE}};
    table *t = table_create(columns, 2);
    for (const json_value *m = answer->first; m; m = m->next) {
        if (m->type != JSON_NUMBER) continue;
        bool bytes = m->key.size > 6 && memcmp(m->key.data + m->key.size - 6, "_bytes", 6) == 0;
        char *name = arena_strndup(memory, m->key.data, m->key.size - (bytes ? 6 : 0));
        for (char *at = name; *at; at++)
            if (*at == '_') *at = ' ';
        table_cell_text(t, bytes ? arena_printf(memory, "%s on disk", name) : name);
        table_cell_text(t, bytes ? text_bytes(memory, (uint64_t)m->number) : text_count(memory, (uint64_t)m->number));
    }
    for (long row = 0; row < (long)table_rows(t); row++) table_print_row(t, row, "  ");
    table_destroy(t);
}

static void print_versioned(const char *what, const json_value *object) {
    slice name = {0};
    json_member_string(object, "name", &name, NULL);
    printf("\n%s%s%s %.*s, version %.0f\n", paint(STYLE_BOLD), what, paint(STYLE_NONE), SLICE_ARG(name),
           number(object, "version"));
}

static void print_policy(const json_value *policy, arena *memory) {
    const json_value *strategies = json_get(policy, "strategies");
    if (!strategies) return;
    print_versioned("policy", policy);
    static const table_column columns[] = {
        {"strategy", false, false, STYLE_GREEN},  {"searches", true, false, STYLE_NONE},
        {"share", true, false, STYLE_NONE},       {"mean depth", true, false, STYLE_NONE},
        {"mean time", true, false, STYLE_NONE},   {"late", true, false, STYLE_NONE}};
    table *t = table_create(columns, 6);
    for (const json_value *s = strategies->first; s; s = s->next) {
        name_cell(t, s, "name");
        table_cell_text(t, text_count(memory, (uint64_t)number(s, "searches")));
        table_cell_text(t, arena_printf(memory, "%.1f %%", number(s, "share") * 100));
        table_cell_text(t, arena_printf(memory, "%.1f", number(s, "mean_depth")));
        table_cell_text(t, arena_printf(memory, "%.2f ms", number(s, "mean_us") / 1000));
        table_cell_text(t, text_count(memory, (uint64_t)number(s, "late")));
    }
    table_print(t, "  ");
    table_destroy(t);
}

static void print_ranker(const json_value *ranker, arena *memory) {
    const json_value *weights = json_get(ranker, "weights");
    if (!weights) return;
    print_versioned("ranker", ranker);
    static const table_column columns[] = {
        {"feature", false, false, STYLE_GREEN},
        {"weight", true, false, STYLE_NONE},
        {"started at", true, false, STYLE_DIM}};
    table *t = table_create(columns, 3);
    for (const json_value *w = weights->first; w; w = w->next) {
        name_cell(t, w, "feature");
        table_cell_text(t, arena_printf(memory, "%.3f", number(w, "weight")));
        table_cell_text(t, arena_printf(memory, "%.3f", number(w, "prior")));
    }
    table_print(t, "  ");
    table_destroy(t);
}

static void print_stats(const json_value *answer, arena *memory) {
    slice name = {0};
    json_member_string(answer, "name", &name, NULL);
    printf("%s%.*s%s\n", paint(STYLE_BOLD), SLICE_ARG(name), paint(STYLE_NONE));
    print_counts(answer, memory);
    print_policy(json_get(answer, "policy"), memory);
    print_ranker(json_get(answer, "ranker"), memory);
}

static int run_stats(const cli_arguments *a) {
    arena memory;
    arena_init(&memory, 0);
    json_value *answer;
    int status = ask(a, CLIENT_LOOKS, "GET", "/stats", &memory, print_stats, &answer);
    arena_release(&memory);
    return status;
}

const cli_command command_stats = {
    "stats", "shows sizes, counts and what was learned", "stats [options]", NULL, NULL,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION, "forage stats\nforage stats -c books --json", run_stats};

/* ---- check ----------------------------------------------------------------------------------------------------- */

static void print_check(const json_value *answer, arena *memory) {
    const json_value *problems = json_get(answer, "problems");
    if (!problems || !problems->first) printf("ok: store and index agree and are undamaged\n");
    for (const json_value *p = problems ? problems->first : NULL; p; p = p->next) {
        buffer line = {0};
        json_writer w = json_writer_of(&line);
        if (p->type == JSON_STRING) text_clean(&line, p->text);
        else json_value_write(&w, p);
        printf("%sproblem:%s %s\n", paint(STYLE_YELLOW), paint(STYLE_NONE), buffer_text(&line));
        buffer_release(&line);
    }
    (void)memory;
}

static int run_check(const cli_arguments *a) {
    arena memory;
    arena_init(&memory, 0);
    json_value *answer = NULL;
    bool ok = false;
    int status = ask(a, CLIENT_READS, "POST", "/check", &memory, print_check, &answer);
    if (!status) json_member_bool(answer, "ok", &ok, NULL);
    arena_release(&memory);
    return status ? status : ok ? CLI_OK : CLI_FAILED;
}

const cli_command command_check = {
    "check", "verifies the store and the index", "check [options]",
    "Reads every document and every posting. Exit status 1 when something is damaged or does not fit together.", NULL,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION, "forage check -c books", run_check};

/* ---- optimize -------------------------------------------------------------------------------------------------- */

static void print_optimize(const json_value *answer, arena *memory) {
    (void)answer, (void)memory;
    printf("the index is one file now\n");
}

static int run_optimize(const cli_arguments *a) {
    arena memory;
    arena_init(&memory, 0);
    json_value *answer;
    int status = ask(a, CLIENT_WRITES, "POST", "/optimize", &memory, print_optimize, &answer);
    arena_release(&memory);
    return status;
}

const cli_command command_optimize = {
    "optimize", "merges the index into one file", "optimize [options]",
    "Searches become somewhat faster, and space of deleted documents is freed. Merging happens by itself as well;\n"
    "this is for a collection that will not change for a while.", NULL,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION, "forage optimize -c books", run_optimize};
