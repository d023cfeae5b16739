#include "cli/client.h"
#include "cli/progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAGE 1000

static const cli_option options[] = {
    {"what", 0, "WHAT", "documents (default), or log: impressions and events"},
    {"format", 'f', "NAME", "of the log: json (default), vw-dsjson, obd-csv or letor"},
    {"output", 'o', "FILE", "write to a file (default: standard output); it appears when it is complete"},
    {0}};

/* What is exported, and in which form (NULL: JSON lines); and how far it is. */
typedef struct export_choice {
    const char *collection, *what, *format;
    progress progress;
    uint64_t lines;
} export_choice;

static const char *page_target(void *self, arena *memory, const char *after) {
    const export_choice *e = self;
    buffer rest = {0};
    buffer_printf(&rest, "/%s?limit=%d", e->what, PAGE);
    if (e->format) buffer_printf(&rest, "&format=%s", e->format);
    if (after[0]) {
        buffer_puts(&rest, "&after=");
        percent_encode(&rest, slice_of(after));
    }
    const char *target = collection_target(memory, e->collection, buffer_text(&rest));
    buffer_release(&rest);
    return target;
}

static uint64_t count_lines(slice text) {
    uint64_t n = 0;
    for (size_t i = 0; i < text.size; i++) n += text.data[i] == '\n';
    return n;
}

static void count_page(void *self, slice page) {
    export_choice *e = self;
    e->lines += count_lines(page);
    progress_show(&e->progress, 0, e->lines);
}

/* The file is written under another name first, so that a file of the wanted name is always whole. */
static int export_to_file(client *c, export_choice *e, const char *path) {
    buffer partial = {0};
    buffer_printf(&partial, "%s.partial", path);
    const char *temporary = buffer_text(&partial);
    FILE *out = fopen(temporary, "we");
    int status = CLI_FAILED;
    if (!out) {
        cli_error("writing %s: %s", temporary, strerror(errno));
        goto done;
    }
    status = client_write_pages(c, page_target, count_page, e, out);
    bool written = fflush(out) == 0 && fsync(fileno(out)) == 0;
    written &= fclose(out) == 0;
    if (!status && (!written || rename(temporary, path) != 0)) {
        cli_error("writing %s: %s", path, strerror(errno));
        status = CLI_FAILED;
    }
    if (status) unlink(temporary);
done:
    buffer_release(&partial);
    return status;
}

static bool ends_with(const char *text, const char *end) {
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

static int check_format(const cli_arguments *a, const export_choice *e) {
    static const char *const formats[] = {"json", "vw-dsjson", "obd-csv", "letor", NULL};
    size_t i = 0;
    while (e->format && formats[i] && strcmp(formats[i], e->format) != 0) i++;
    if (!formats[i])
        return cli_usage_error(a->command, "--format: expected json, vw-dsjson, obd-csv or letor, got \"%s\"",
                               e->format);
    if (e->format && strcmp(e->what, "log") != 0)
        return cli_usage_error(a->command, "--format goes with --what log; documents are written as they came");
    return CLI_OK;
}

static int run(const cli_arguments *a) {
    const char *what = arg_text(a, "what", "documents"), *path = arg_text(a, "output", NULL);
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": name a file with --output", a->words[0]);
    if (strcmp(what, "documents") != 0 && strcmp(what, "log") != 0)
        return cli_usage_error(a->command, "--what: expected documents or log, got \"%s\"", what);
    if (path && (ends_with(path, ".zst") || ends_with(path, ".gz")))
        return cli_usage_error(a->command,
                               "--output %s: the export is plain NDJSON; compress it with "
                               "`forage export | zstd > FILE`",
                               path);
    export_choice e = {.what = what, .format = arg_text(a, "format", NULL)};
    if (check_format(a, &e)) return CLI_USAGE;
    client *c = NULL;
    arena memory;
    arena_init(&memory, 0);
    e.progress = progress_start(strcmp(what, "log") == 0 ? "lines" : "documents", 0, arg_flag(a, "quiet") || !path);
    int status = client_open(a, CLIENT_LOOKS, &c);
    if (!status) status = client_collection(c, a, &memory, NULL, &e.collection);
    if (!status && path) status = export_to_file(c, &e, path);
    else if (!status) status = client_write_pages(c, page_target, count_page, &e, stdout);
    progress_clear(&e.progress);
    if (!status && path) {
        if (arg_flag(a, "json")) printf("{\"lines\":%llu}\n", (unsigned long long)e.lines);
        else cli_note(a, "%llu lines written to %s", (unsigned long long)e.lines, path);
    }
    client_close(c);
    arena_release(&memory);
    return status;
}

const cli_command command_export = {
    "export",
    "writes documents or the log",
    "export [options]",
    "What `forage export` writes, `forage import` reads. The log holds what was shown and what was done with it, with\n"
    "the probability of every choice: enough to evaluate other policies, here (`forage ope`) or elsewhere: vw-dsjson "
    "is\n"
    "for vw --cb_explore_adf --dsjson, obd-csv for the Open Bandit Pipeline, letor for rankers (SVMlight).",
    options,
    CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage export -c books > books.ndjson\nforage export --what log -o log.ndjson\n"
    "forage export --what log --format vw-dsjson -o log.dsjson\n"
    "forage export | zstd > books.ndjson.zst",
    run};
