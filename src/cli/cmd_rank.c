/* rank: orders somebody else's candidates. */
#include "cli/client.h"
#include "cli/input.h"
#include "cli/passing.h"
#include "cli/search_view.h"

#include <stdio.h>
#include <string.h>

static const cli_option options[] = {
    {"candidates", 0, "FILE", "ids, one a line, or {\"id\": …, \"features\": {…}} a line; \"-\": standard input"},
    {"limit", 'n', "N", "how many of them (default: all)"},
    {"user", 0, "ID", "for whom"},
    {"session", 0, "ID", "the visit it belongs to"},
    {"ranker", 0, "NAME", "who orders: auto, linear, rrf, model, model:N"},
    {"explain", 'e', NULL, "say for every one why it is there"},
    {0}};

static bool next_line(slice *text, slice *line) {
    if (!text->size) return false;
    const char *end = memchr(text->data, '\n', text->size);
    size_t n = end ? (size_t)(end - text->data) : text->size, skip = end ? n + 1 : n;
    *line = (slice){text->data, n};
    while (line->size && (line->data[line->size - 1] == '\r' || line->data[line->size - 1] == ' ')) line->size--;
    text->data += skip;
    text->size -= skip;
    return true;
}

/* Lines, or one JSON array as the API takes it. */
static int write_candidates(const char *path, arena *memory, json_writer *w) {
    buffer file = {0};
    int status = input_text(path, &file);
    slice rest = {file.data, file.size}, line;
    base_error error;
    json_value *value;
    json_key(w, "candidates");
    if (!status && rest.size && rest.data[0] == '[') {
        if (!json_read(memory, rest, &value, &error)) json_value_write(w, value);
        else status = CLI_FAILED;
        if (status) cli_error("%s: %s", path, error.message);
        buffer_release(&file);
        return status;
    }
    json_begin_array(w);
    for (size_t n = 1; !status && next_line(&rest, &line); n++) {
        if (!line.size) continue;
        if (line.data[0] != '{') {
            json_string(w, line);
        } else if (json_read(memory, line, &value, &error)) {
            cli_error("%s, line %zu: %s", path, n, error.message);
            status = CLI_FAILED;
        } else {
            json_value_write(w, value);
        }
    }
    if (!status) json_end_array(w);
    buffer_release(&file);
    return status;
}

static int write_request(const cli_arguments *a, arena *memory, buffer *out) {
    static const passed_option passed[] = {{"limit", NULL, true}, {"user", NULL, false}, {"session", NULL, false},
                                           {"ranker", NULL, false}, {0}};
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    json_key(&w, "query");
    json_text(&w, joined_words(a, 0, memory));
    pass_options(a, passed, &w);
    if (arg_flag(a, "explain")) {
        json_key(&w, "explain");
        json_bool(&w, true);
    }
    int status = write_candidates(arg_text(a, "candidates", NULL), memory, &w);
    if (!status) json_end_object(&w);
    return status;
}

static int run(const cli_arguments *a) {
    client *c = NULL;
    arena memory;
    buffer request = {0};
    const char *collection;
    json_value *answer;
    slice raw;
    if (!arg_text(a, "candidates", NULL)) return cli_usage_error(a->command, "which candidates? Give --candidates FILE");
    arena_init(&memory, 0);
    int status = write_request(a, &memory, &request);
    if (!status) status = client_open(a, CLIENT_LOOKS, &c);
    if (!status) status = client_collection(c, a, &memory, NULL, &collection);
    if (!status)
        status = client_json(c, &memory, "POST", collection_target(&memory, collection, "/rank"), (slice){request.data, request.size},
                             &answer,
                             &raw);
    if (!status && arg_flag(a, "json")) printf("%.*s\n", (int)raw.size, raw.data);
    else if (!status) search_view_print(answer, &memory, 1, NULL);
    client_close(c);
    buffer_release(&request);
    arena_release(&memory);
    return status;
}

const cli_command command_rank = {
    "rank", "orders somebody else's candidates", "rank [options] --candidates FILE QUERY…",
    "Candidates that another engine has found, ordered by what was learned here. One whose id is a document of the collection\n"
    "is described as in a search; of others only the features count that come with them. Nothing is logged.",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage rank --candidates ids.txt hunger games\nforage rank --ranker model:3 --explain --candidates - hunger games <found.ndjson",
    run};
