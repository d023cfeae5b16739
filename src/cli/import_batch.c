#include "cli/import_batch.h"

#include "cli/input.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define BATCH_BYTES ((size_t)4 << 20)
#define BATCH_RECORDS 10000

void import_batch_init(import_batch *b, client *c, const char *collection) {
    memset(b, 0, sizeof *b);
    b->client = c;
    b->collection = collection;
    arena_init(&b->memory, 0);
    b->target = collection_target(&b->memory, collection, "/documents");
}

void import_batch_release(import_batch *b) {
    buffer_release(&b->body);
    free(b->lines);
    arena_release(&b->memory);
}

/* A record that spans lines becomes one line. A raw line break inside a string makes the record invalid, and must not
 * become valid on the way: it is sent as another character that JSON forbids there. */
static void append_on_one_line(buffer *out, slice json) {
    bool in_string = false;
    for (size_t i = 0; i < json.size; i++) {
        char c = json.data[i];
        if (c == '\n' || c == '\r') c = in_string ? '\x01' : ' ';
        else if (c == '"') in_string = !in_string;
        buffer_putc(out, c);
        if (c == '\\' && in_string && i + 1 < json.size) buffer_putc(out, json.data[++i]);
    }
}

void ndjson_append(buffer *out, slice json) {
    if (memchr(json.data, '\n', json.size) || memchr(json.data, '\r', json.size)) append_on_one_line(out, json);
    else buffer_slice(out, json);
    buffer_putc(out, '\n');
}

int import_batch_add(import_batch *b, slice json, uint64_t line) {
    ndjson_append(&b->body, json);
    b->lines = mem_grow(b->lines, &b->lines_capacity, b->n_lines + 1, sizeof *b->lines);
    b->lines[b->n_lines++] = line;
    return b->body.size >= BATCH_BYTES || b->n_lines >= BATCH_RECORDS ? import_batch_flush(b) : CLI_OK;
}

static void remember(import_batch *b, uint64_t line, const char *message) {
    if (b->n_refused == REFUSED_KEPT) return;
    b->refused[b->n_refused++] = (refused_document){b->file, line, message};
}

void import_batch_refuse(import_batch *b, uint64_t line, const char *message) {
    b->failed++;
    slice text = slice_of(message);
    bool named = strncmp(message, "line ", 5) == 0;
    remember(b, line, named ? arena_strndup(&b->memory, text.data, text.size)
                            : arena_printf(&b->memory, "line %llu: %s", (unsigned long long)line, message));
}

/* The server counts lines of the body; a person counts those of the file. */
static void remember_error(import_batch *b, const json_value *error) {
    int64_t body_line = 0;
    slice message = {0};
    json_member_integer(error, "line", 1, (int64_t)b->n_lines, &body_line, NULL);
    json_member_string(error, "message", &message, NULL);
    uint64_t line = body_line ? b->lines[body_line - 1] : 0;
    char said[32];
    int n = snprintf(said, sizeof said, "line %lld", (long long)body_line);
    slice rest = message;
    bool named = message.size >= (size_t)n && memcmp(message.data, said, (size_t)n) == 0;
    if (named) rest = (slice){message.data + n, message.size - (size_t)n};
    remember(b, line, arena_printf(&b->memory, "line %llu%s%.*s", (unsigned long long)line, named ? "" : ": ",
                                   (int)rest.size, rest.data));
}

static void take_answer(import_batch *b, const json_value *answer) {
    int64_t indexed = 0, failed = 0;
    bool inferred = false;
    json_member_integer(answer, "indexed", 0, INT64_MAX, &indexed, NULL);
    json_member_integer(answer, "failed", 0, INT64_MAX, &failed, NULL);
    json_member_bool(answer, "schema_inferred", &inferred, NULL);
    b->indexed += (uint64_t)indexed;
    b->failed += (uint64_t)failed;
    b->schema_inferred |= inferred;
    const json_value *errors = json_get(answer, "errors");
    for (const json_value *e = errors ? errors->first : NULL; e; e = e->next) remember_error(b, e);
}

int import_batch_flush(import_batch *b) {
    if (b->n_lines == 0) return CLI_OK;
    client_reply reply;
    slice body = {b->body.data, b->body.size};
    int status = client_send(b->client, "POST", b->target, "application/x-ndjson", body, &reply);
    if (!status) {
        status = client_check(b->client, &reply);
        arena memory;
        arena_init(&memory, 0);
        json_value *answer;
        if (!status && json_read(&memory, reply.body, &answer, NULL) == FORAGE_OK) take_answer(b, answer);
        arena_release(&memory);
        client_reply_release(&reply);
    }
    buffer_clear(&b->body);
    b->n_lines = 0;
    return status;
}

static int import_records(import_batch *b, records_reader *reader, progress *p, uint64_t bytes_before) {
    int status = CLI_OK;
    while (!status) {
        slice json;
        uint64_t line = 0;
        bool end = false, recoverable = false;
        base_error error;
        forage_status got = records_next(reader, &json, &line, &end, &recoverable, &error);
        if (!got && end) break;
        if (!got) {
            status = import_batch_add(b, json, line);
        } else if (recoverable) {
            import_batch_refuse(b, line, error.message);
        } else {
            cli_error("%s: %s", b->file, error.message);
            status = CLI_FAILED;
        }
        progress_show(p, bytes_before + records_bytes_read(reader), b->indexed);
    }
    int flushed = import_batch_flush(b); /* what was read before an error goes in all the same */
    return status ? status : flushed;
}

int import_batch_files(import_batch *b, const char *const *paths, size_t n, records_format format, bool quiet,
                       progress *p) {
    uint64_t total = 0, bytes = 0;
    bool known = true;
    for (size_t i = 0; i < n; i++) {
        uint64_t size = input_size(paths[i]);
        known &= size > 0;
        total += size;
    }
    *p = progress_start("documents", known ? total : 0, quiet);
    int status = CLI_OK;
    for (size_t i = 0; i < n && !status; i++) {
        input_file file;
        status = input_open(paths[i], &file);
        if (status) break;
        b->file = file.name;
        records_options how = {.format = format};
        records_reader *reader = records_open(input_read, &file, &how);
        status = import_records(b, reader, p, bytes);
        bytes += records_bytes_read(reader);
        records_close(reader);
        input_close(&file);
    }
    progress_clear(p);
    return status;
}
