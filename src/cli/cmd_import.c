#include "cli/client.h"
#include "cli/import_batch.h"
#include "cli/screen.h"
#include "format/records.h"
#include "os/file.h"

#include <stdio.h>
#include <stdlib.h>

#define REFUSED_SHOWN 10
#define SCHEMA_LIMIT ((size_t)16 << 20)

static const cli_option options[] = {
    {"format", 0, "NAME", "ndjson, json, csv or tsv (default: recognised; so are gzip and zstd)"},
    {"schema", 0, "FILE", "declare the fields first (JSON; see docs/api.md)"},
    {"id", 0, "COLUMN", "the member that holds the id (default: id or _id)"},
    {"popularity", 0, "COLUMN", "the member that says how popular a document is"},
    {0}};

/* ---- The schema ------------------------------------------------------------------------------------------------ */

/* The schema of --schema, with --id and --popularity put in; "{}" without any of them: the documents decide. */
static int compose_schema(const cli_arguments *a, arena *memory, buffer *out) {
    const char *path = arg_text(a, "schema", NULL);
    json_value *schema = NULL;
    base_error error;
    if (path) {
        buffer text = {0};
        forage_status status = os_read_file(path, SCHEMA_LIMIT, &text, &error);
        slice copy = arena_slice(memory, (slice){text.data, text.size});
        buffer_release(&text);
        if (!status && json_read(memory, copy, &schema, &error)) error_prefix(&error, "%s", path);
        if (!schema) {
            cli_error("%s", error.message);
            return CLI_FAILED;
        }
    }
    static const char *const overrides[] = {"id", "popularity"};
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    for (const json_value *m = schema ? schema->first : NULL; m; m = m->next) {
        bool overridden = (slice_is(m->key, "id") && arg_text(a, "id", NULL)) ||
                          (slice_is(m->key, "popularity") && arg_text(a, "popularity", NULL));
        if (overridden) continue;
        json_key_slice(&w, m->key);
        json_value_write(&w, m);
    }
    for (size_t i = 0; i < 2; i++) {
        if (!arg_text(a, overrides[i], NULL)) continue;
        json_key(&w, overrides[i]);
        json_text(&w, arg_text(a, overrides[i], NULL));
    }
    json_end_object(&w);
    return CLI_OK;
}

static int declare_schema(client *c, const cli_arguments *a, arena *memory, const char *collection) {
    buffer schema = {0};
    json_value *answer;
    bool declares = arg_text(a, "schema", NULL) || arg_text(a, "id", NULL) || arg_text(a, "popularity", NULL);
    if (!declares) return CLI_OK; /* the first document makes the collection */
    int status = compose_schema(a, memory, &schema);
    if (!status)
        status = client_json(c, memory, "PUT", collection_target(memory, collection, ""),
                             (slice){schema.data, schema.size}, &answer, NULL);
    buffer_release(&schema);
    return status;
}

static void show_inferred_schema(client *c, arena *memory, const char *collection) {
    json_value *answer;
    if (client_json(c, memory, "GET", collection_target(memory, collection, ""), (slice){0}, &answer, NULL)) return;
    const json_value *fields = json_get(json_get(answer, "schema"), "fields");
    static const table_column columns[] = {{"field", false, true, STYLE_BOLD}, {"type", false, false, STYLE_NONE}};
    table *t = table_create(columns, 2);
    for (const json_value *f = fields ? fields->first : NULL; f; f = f->next) {
        slice type = {0};
        json_member_string(f, "type", &type, NULL);
        table_cell(t, f->key);
        table_cell(t, type);
    }
    printf("\nInferred schema:\n");
    table_print(t, "  ");
    printf("Other types or weights: `forage collections drop %s`, then `forage import --schema FILE`.\n", collection);
    table_destroy(t);
}

/* ---- The documents --------------------------------------------------------------------------------------------- */

static void print_summary(const import_batch *b, const progress *p, arena *memory) {
    double seconds = progress_seconds(p);
    if (b->indexed + b->failed == 0) {
        printf("There are no documents in what was given\n");
        return;
    }
    printf("%s%s%s: %s %s imported in %s (%s/s)", paint(STYLE_BOLD), b->collection, paint(STYLE_NONE),
           text_count(memory, b->indexed), plural(b->indexed, "document", "documents"), text_seconds(memory, seconds),
           text_count(memory, (uint64_t)((double)b->indexed / seconds)));
    if (b->failed) printf(", %s refused", text_count(memory, b->failed));
    printf("\n");
    fflush(stdout);
}

static void print_refused(const import_batch *b, bool name_file, arena *memory) {
    uint64_t shown = 0;
    for (size_t i = 0; i < b->n_refused && shown < REFUSED_SHOWN; i++, shown++) {
        buffer line = {0};
        if (name_file) buffer_printf(&line, "%s, ", b->refused[i].file);
        buffer_puts(&line, b->refused[i].message);
        buffer clean = {0};
        text_clean(&clean, (slice){line.data, line.size});
        fprintf(stderr, "  %s\n", buffer_text(&clean));
        buffer_release(&clean);
        buffer_release(&line);
    }
    if (b->failed > shown) fprintf(stderr, "  … and %s more\n", text_count(memory, b->failed - shown));
}

static void print_json(const import_batch *b, const progress *p) {
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    json_begin_object(&w);
    json_key(&w, "collection");
    json_text(&w, b->collection);
    json_key(&w, "received");
    json_integer(&w, (int64_t)(b->indexed + b->failed));
    json_key(&w, "indexed");
    json_integer(&w, (int64_t)b->indexed);
    json_key(&w, "failed");
    json_integer(&w, (int64_t)b->failed);
    json_key(&w, "took_ms");
    json_float(&w, progress_seconds(p) * 1000);
    json_key(&w, "errors");
    json_begin_array(&w);
    for (size_t i = 0; i < b->n_refused; i++) {
        json_begin_object(&w);
        json_key(&w, "file");
        json_text(&w, b->refused[i].file);
        json_key(&w, "line");
        json_integer(&w, (int64_t)b->refused[i].line);
        json_key(&w, "message");
        json_text(&w, b->refused[i].message);
        json_end_object(&w);
    }
    json_end_array(&w);
    json_key(&w, "schema_inferred");
    json_bool(&w, b->schema_inferred);
    json_end_object(&w);
    printf("%s\n", buffer_text(&text));
    buffer_release(&text);
}

static int import_into(const cli_arguments *a, records_format format, client *c, arena *memory,
                       const char *collection) {
    progress p;
    import_batch b;
    import_batch_init(&b, c, collection);
    int status = import_batch_files(&b, a->words, a->n_words, format, arg_flag(a, "quiet"), &p);
    bool talks = !arg_flag(a, "json") && !arg_flag(a, "quiet");
    if (arg_flag(a, "json")) print_json(&b, &p);
    else if (talks && (!status || b.indexed + b.failed)) print_summary(&b, &p, memory);
    if (!arg_flag(a, "json")) print_refused(&b, a->n_words > 1, memory);
    if (b.schema_inferred && talks) show_inferred_schema(c, memory, collection);
    if (!status && b.failed) status = b.indexed ? CLI_PARTLY : CLI_FAILED;
    import_batch_release(&b);
    return status;
}

static int run(const cli_arguments *a) {
    if (a->n_words == 0) return cli_usage_error(a->command, "which file? Give at least one, or - for standard input");
    records_format format = RECORDS_AUTO;
    const char *name = arg_text(a, "format", NULL);
    if (name && records_format_from_name(slice_of(name), &format))
        return cli_usage_error(a->command, "--format: expected ndjson, json, csv or tsv, got \"%s\"", name);
    client *c = NULL;
    arena memory;
    arena_init(&memory, 0);
    const char *collection;
    int status = client_open(a, CLIENT_CREATES, &c);
    if (!status) status = client_collection(c, a, &memory, "default", &collection);
    if (!status) status = declare_schema(c, a, &memory, collection);
    if (!status) status = import_into(a, format, c, &memory, collection);
    client_close(c);
    arena_release(&memory);
    return status;
}

const cli_command command_import = {
    "import", "reads documents into a collection", "import [options] FILE…\nimport [options] -",
    "Documents with an id that is known already replace the old ones. Documents that do not fit the schema are\n"
    "refused and listed, the others go in (exit status 3). What is imported can be searched at once.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage import books.ndjson\n"
    "forage import -c products --id sku --popularity sold products.csv.gz\n"
    "forage import --schema examples/media/schema.json examples/media/catalogue.ndjson.zst\n"
    "# from another program, to a running server\n"
    "my-export | forage import --url http://127.0.0.1:7700 -",
    run};
