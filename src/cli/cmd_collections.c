#include "cli/client.h"
#include "cli/screen.h"
#include "os/file.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define SCHEMA_LIMIT ((size_t)16 << 20)

static const cli_option options[] = {
    {"schema", 0, "FILE", "for create: the fields (JSON; see docs/api.md)"},
    {"yes", 'y', NULL, "for drop: do not ask"},
    {0}};

static void print_list(const json_value *answer, arena *memory) {
    static const table_column columns[] = {
        {"collection", false, true, STYLE_BOLD}, {"documents", true, false, STYLE_NONE}};
    const json_value *list = json_get(answer, "collections");
    if (!list || !list->first) {
        printf("No collections yet; `forage import FILE` makes one.\n");
        return;
    }
    table *t = table_create(columns, 2);
    for (const json_value *c = list->first; c; c = c->next) {
        slice name = {0};
        int64_t documents = 0;
        json_member_string(c, "name", &name, NULL);
        json_member_integer(c, "documents", 0, INT64_MAX, &documents, NULL);
        table_cell(t, name);
        table_cell_text(t, text_count(memory, (uint64_t)documents));
    }
    table_print(t, "");
    table_destroy(t);
}

static const char *scalar(const json_value *value, arena *memory) {
    if (!value) return "";
    if (value->type == JSON_STRING) return arena_strndup(memory, value->text.data, value->text.size);
    if (value->type == JSON_NUMBER) return arena_printf(memory, "%g", value->number);
    return "";
}

static void print_fields(const json_value *fields, arena *memory) {
    static const table_column columns[] = {
        {"field", false, true, STYLE_BOLD},     {"type", false, false, STYLE_NONE},
        {"weight", true, false, STYLE_NONE},    {"language", false, false, STYLE_NONE},
        {"dimensions", true, false, STYLE_NONE}};
    static const char *const members[] = {"type", "weight", "language", "dimensions"};
    table *t = table_create(columns, 5);
    for (const json_value *f = fields ? fields->first : NULL; f; f = f->next) {
        table_cell(t, f->key);
        for (size_t i = 0; i < 4; i++) table_cell_text(t, scalar(json_get(f, members[i]), memory));
    }
    if (table_rows(t)) table_print(t, "  ");
    table_destroy(t);
}

static void print_collection(const json_value *answer, arena *memory) {
    slice name = {0};
    int64_t documents = 0;
    json_member_string(answer, "name", &name, NULL);
    json_member_integer(answer, "documents", 0, INT64_MAX, &documents, NULL);
    printf("%s%.*s%s: %s %s\n", paint(STYLE_BOLD), SLICE_ARG(name), paint(STYLE_NONE),
           text_count(memory, (uint64_t)documents), plural((uint64_t)documents, "document", "documents"));
    const json_value *schema = json_get(answer, "schema");
    for (const json_value *m = schema ? schema->first : NULL; m; m = m->next) {
        const char *value = scalar(m, memory);
        if (*value) printf("  %s%.*s%s %s\n", paint(STYLE_DIM), SLICE_ARG(m->key), paint(STYLE_NONE), value);
    }
    print_fields(json_get(schema, "fields"), memory);
}

static void print_nothing(const json_value *answer, arena *memory) { (void)answer, (void)memory; }

static int ask(const cli_arguments *a, client_purpose purpose, const char *method, const char *target, slice body,
               arena *memory, void (*print)(const json_value *, arena *)) {
    client *c = NULL;
    json_value *answer;
    slice text;
    int status = client_open(a, purpose, &c);
    if (!status) status = client_json(c, memory, method, target, body, &answer, &text);
    if (!status && arg_flag(a, "json")) printf("%.*s\n", (int)text.size, text.data);
    else if (!status && !arg_flag(a, "quiet")) print(answer, memory);
    client_close(c);
    return status;
}

static int create(const cli_arguments *a, const char *target, arena *memory) {
    const char *path = arg_text(a, "schema", NULL);
    buffer schema = {0};
    base_error error;
    if (path && os_read_file(path, SCHEMA_LIMIT, &schema, &error)) {
        cli_error("%s", error.message);
        return CLI_FAILED;
    }
    int status = ask(a, CLIENT_CREATES, "PUT", target, (slice){schema.data, schema.size}, memory, print_collection);
    buffer_release(&schema);
    return status;
}

static int drop(const cli_arguments *a, const char *name, const char *target, arena *memory) {
    if (!arg_flag(a, "yes")) {
        if (!isatty(STDIN_FILENO))
            return cli_usage_error(a->command, "add --yes to drop \"%s\" without being asked", name);
        char answer[16] = "";
        fprintf(stderr, "Remove the collection \"%s\" with all documents and all that was learned? [y/N] ", name);
        if (!fgets(answer, sizeof answer, stdin) || (answer[0] != 'y' && answer[0] != 'Y')) {
            cli_error("nothing was removed");
            return CLI_FAILED;
        }
    }
    int status = ask(a, CLIENT_WRITES, "DELETE", target, (slice){0}, memory, print_nothing);
    if (!status && !arg_flag(a, "quiet") && !arg_flag(a, "json")) printf("removed %s\n", name);
    return status;
}

static int run_verb(const cli_arguments *a, arena *memory) {
    const char *verb = a->n_words ? a->words[0] : "list";
    static const char *const verbs[] = {"list", "create", "show", "drop", NULL};
    bool list = strcmp(verb, "list") == 0;
    if (list && a->n_words <= 1)
        return ask(a, CLIENT_LOOKS, "GET", "/collections", (slice){0}, memory, print_list);
    bool known = false;
    for (size_t i = 0; verbs[i]; i++) known |= strcmp(verb, verbs[i]) == 0;
    const char *near = known ? NULL : nearest_word(verb, verbs);
    if (near) return cli_usage_error(a->command, "\"%s\"; did you mean `forage collections %s`?", verb, near);
    if (!known) return cli_usage_error(a->command, "\"%s\": expected list, create, show or drop", verb);
    if (list) return cli_usage_error(a->command, "\"%s\": list takes no name", a->words[1]);
    if (a->n_words != 2) return cli_usage_error(a->command, "which collection? forage collections %s NAME", verb);
    const char *name = a->words[1], *target = collection_target(memory, name, "");
    if (strcmp(verb, "create") == 0) return create(a, target, memory);
    if (strcmp(verb, "show") == 0) return ask(a, CLIENT_LOOKS, "GET", target, (slice){0}, memory, print_collection);
    return drop(a, name, target, memory);
}

static int run(const cli_arguments *a) {
    arena memory;
    arena_init(&memory, 0);
    int status = run_verb(a, &memory);
    arena_release(&memory);
    return status;
}

const cli_command command_collections = {
    "collections", "lists, creates, shows and drops collections",
    "collections [options] [list]\ncollections [options] create NAME [--schema FILE]\ncollections [options] show NAME\n"
    "collections [options] drop NAME [--yes]",
    "create extends the schema of a collection that is there already; what it holds stays.", options, CLI_TAKES_PLACE,
    "forage collections\nforage collections create films --schema films.json\nforage collections show films", run};
