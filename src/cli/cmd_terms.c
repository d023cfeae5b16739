/* terms: the vocabulary of a collection. */
#include "cli/client.h"
#include "cli/screen.h"

#include <stdio.h>
#include <string.h>

static const cli_option options[] = {
    {"prefix", 'p', "TEXT", "what begins so, most frequent first"},
    {"fuzzy", 'f', "WORD", "what is spelled nearly so, nearest first"},
    {"edits", 0, "N", "with --fuzzy: at most so many letters wrong, missing, extra or exchanged, 1 or 2 (default: 1)"},
    {"from", 0, "TEXT", "what is not before it, in order"},
    {"to", 0, "TEXT", "what is before it, in order"},
    {"field", 0, "NAME", "values of a keyword field (default: the words of all text fields)"},
    {"limit", 'n', "N", "how many, at most 1,000 (default: 20)"},
    {0}};

static const char *target_of(const cli_arguments *a, arena *memory, const char *collection) {
    static const char *const parameters[] = {"prefix", "fuzzy", "edits", "from", "to", "field", "limit"};
    buffer rest = {0};
    buffer_puts(&rest, "/terms");
    char before = '?';
    for (size_t i = 0; i < sizeof parameters / sizeof *parameters; i++) {
        const char *value = arg_text(a, parameters[i], NULL);
        if (!value) continue;
        buffer_putc(&rest, before);
        buffer_printf(&rest, "%s=", parameters[i]);
        percent_encode(&rest, slice_of(value));
        before = '&';
    }
    const char *target = collection_target(memory, collection, buffer_text(&rest));
    buffer_release(&rest);
    return target;
}

static void print_terms(const json_value *answer, arena *memory) {
    static const table_column columns[] = {
        {"term", false, true, STYLE_GREEN}, {"documents", true, false, STYLE_NONE}, {"edits", true, false, STYLE_DIM}};
    const json_value *terms = json_get(answer, "terms");
    table *t = table_create(columns, 3);
    for (const json_value *e = terms ? terms->first : NULL; e; e = e->next) {
        slice term = {0};
        int64_t documents = 0, edits = -1;
        json_member_string(e, "term", &term, NULL);
        json_member_integer(e, "documents", 0, INT64_MAX, &documents, NULL);
        json_member_integer(e, "edits", 0, 3, &edits, NULL);
        table_cell(t, term);
        table_cell_text(t, text_count(memory, (uint64_t)documents));
        table_cell_text(t, edits < 0 ? "" : text_count(memory, (uint64_t)edits));
    }
    if (table_rows(t)) table_print(t, "");
    table_destroy(t);
}

static void note_rest(const cli_arguments *a, const json_value *answer) {
    const json_value *terms = json_get(answer, "terms"), *more = json_get(answer, "more"), *cut = json_get(answer, "cut");
    if (!terms || !terms->first) cli_note(a, "no such term");
    if (more && more->boolean) cli_note(a, "there are more: --limit");
    if (cut && cut->boolean) cli_note(a, "it took too long: there may be others");
}

static int run(const cli_arguments *a) {
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": this command takes no words; did you mean --prefix?", a->words[0]);
    client *c = NULL;
    const char *collection;
    json_value *answer;
    slice raw;
    arena memory;
    arena_init(&memory, 0);
    int status = client_open(a, CLIENT_LOOKS, &c);
    if (!status) status = client_collection(c, a, &memory, NULL, &collection);
    if (!status) status = client_json(c, &memory, "GET", target_of(a, &memory, collection), (slice){0}, &answer, &raw);
    if (!status && arg_flag(a, "json")) printf("%.*s\n", (int)raw.size, raw.data);
    else if (!status) {
        print_terms(answer, &memory);
        note_rest(a, answer);
    }
    client_close(c);
    arena_release(&memory);
    return status;
}

const cli_command command_terms = {
    "terms", "shows which words and values there are", "terms [options]",
    "The vocabulary of a collection: words as they are indexed, folded and reduced to their stems, or the values of a keyword\n"
    "field, with the number of documents that have them. Without --prefix, --fuzzy, --from or --to: the most frequent.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage terms --prefix har\nforage terms --fuzzy \"hungr\" --edits 2\nforage terms --field year --from 1990 --to 2000 --json",
    run};
