/* vectors: the fields of vectors and weights of a collection. */
#include "cli/client.h"
#include "cli/screen.h"

#include <stdio.h>
#include <string.h>

static const cli_option options[] = {
    {"make", 0, NULL, "make the vectors that are missing now, and wait for it"},
    {"train", 0, NULL, "train the catalogue's encoder anew, with what people chose so far, and make all vectors anew"},
    {0}};

static uint64_t count_of(const json_value *field, const char *key) {
    int64_t n = 0;
    json_member_integer(field, key, 0, INT64_MAX, &n, NULL);
    return (uint64_t)n;
}

static slice text_of(const json_value *field, const char *key) {
    slice text = {0};
    json_member_string(field, key, &text, NULL);
    return text;
}

static void print_fields(const json_value *answer, arena *memory) {
    static const table_column columns[] = {
        {"field", false, true, STYLE_GREEN}, {"encoder", false, false, STYLE_NONE}, {"documents", true, false, STYLE_NONE},
        {"without", true, false, STYLE_NONE}, {"index", false, false, STYLE_NONE}, {"kept as", false, false, STYLE_DIM},
        {"memory", true, false, STYLE_DIM}, {"problem", false, false, STYLE_NONE}};
    const json_value *fields = json_get(answer, "fields");
    table *t = table_create(columns, 8);
    for (const json_value *f = fields ? fields->first : NULL; f; f = f->next) {
        const json_value *working = json_get(f, "working");
        slice problem = text_of(f, "problem");
        table_cell(t, text_of(f, "field"));
        table_cell(t, text_of(f, "encoder"));
        table_cell_text(t, text_count(memory, count_of(f, "documents")));
        table_cell_text(t, text_count(memory, count_of(f, "without")));
        table_cell(t, text_of(f, "index"));
        table_cell(t, text_of(f, "code"));
        table_cell_text(t, arena_printf(memory, "%.1f MiB", (double)count_of(f, "memory_bytes") / (1 << 20)));
        table_cell(t, problem.size ? problem : working && working->boolean ? SLICE("at work") : (slice){0});
    }
    if (table_rows(t)) table_print(t, "");
    table_destroy(t);
}

static int run(const cli_arguments *a) {
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": this command takes no words", a->words[0]);
    bool make = arg_flag(a, "make"), train = arg_flag(a, "train");
    client *c = NULL;
    const char *collection;
    json_value *answer;
    slice raw, body = train ? SLICE("{\"train\":true}") : (slice){0};
    arena memory;
    arena_init(&memory, 0);
    int status = client_open(a, make || train ? CLIENT_WRITES : CLIENT_LOOKS, &c);
    if (!status) status = client_collection(c, a, &memory, NULL, &collection);
    if (!status && (make || train)) cli_note(a, "%s …", train ? "training, and making all vectors" : "making the vectors that are missing");
    if (!status)
        status = client_json(c, &memory, make || train ? "POST" : "GET", collection_target(&memory, collection, "/vectors"), body,
                             &answer, &raw);
    if (!status && arg_flag(a, "json")) printf("%.*s\n", (int)raw.size, raw.data);
    else if (!status) {
        print_fields(answer, &memory);
        const json_value *fields = json_get(answer, "fields");
        if (!fields || !fields->first)
            cli_note(a, "no vector fields; declare one in the schema: {\"meaning\": {\"type\": \"vector\", \"encoder\": \"catalogue\"}}");
    }
    client_close(c);
    arena_release(&memory);
    return status;
}

const cli_command command_vectors = {
    "vectors", "shows the vector fields, trains their encoder", "vectors [options]",
    "Vector fields let documents be found by meaning: with vectors that documents bring, or that an encoder makes of their\n"
    "texts; fields of weights do it with learned words. A server makes and trains them by itself in the background; this shows\n"
    "how far it is, or does it now.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION, "forage vectors\nforage vectors --make\nforage vectors --train --json", run};
