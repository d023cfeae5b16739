#include "cli/client.h"
#include "cli/import_batch.h"
#include "cli/input.h"
#include "format/records.h"

#include <stdio.h>
#include <stdlib.h>

#define BATCH_EVENTS 1000
#define REJECTED_SHOWN 10

static const cli_option options[] = {
    {"query-id", 0, "ID", "the search that showed the document; `forage search` prints it"},
    {"document", 0, "ID", "the document"},
    {"action", 0, "NAME", "click (default), like, favorite, play, add_to_cart, purchase, or one of the schema's"},
    {"event-id", 0, "ID", "the same id counts once, however often it is sent"},
    {"user", 0, "ID", "who did it (default: who searched)"},
    {"session", 0, "ID", "the visit it belongs to"},
    {0}};

typedef struct event_run {
    client *client;
    const char *target;
    buffer body;     /* NDJSON */
    uint64_t *lines; /* of the file, for each line of the body */
    size_t n_lines, capacity;
    uint64_t accepted, duplicates, rejected;
    bool from_file;
    buffer messages; /* JSON objects of the rejected, comma-separated */
} event_run;

static void write_event(const cli_arguments *a, buffer *out) {
    json_writer w = json_writer_of(out);
    json_begin_object(&w);
    json_key(&w, "query_id");
    json_text(&w, arg_text(a, "query-id", NULL));
    json_key(&w, "action_name");
    json_text(&w, arg_text(a, "action", "click"));
    if (arg_text(a, "user", NULL)) {
        json_key(&w, "client_id");
        json_text(&w, arg_text(a, "user", NULL));
    }
    if (arg_text(a, "session", NULL)) {
        json_key(&w, "session_id");
        json_text(&w, arg_text(a, "session", NULL));
    }
    json_key(&w, "event_attributes");
    json_begin_object(&w);
    if (arg_text(a, "event-id", NULL)) {
        json_key(&w, "event_id");
        json_text(&w, arg_text(a, "event-id", NULL));
    }
    json_key(&w, "object");
    json_begin_object(&w);
    json_key(&w, "object_id");
    json_text(&w, arg_text(a, "document", NULL));
    json_end_object(&w);
    json_end_object(&w);
    json_end_object(&w);
}

static void reject(event_run *r, uint64_t line, slice code, slice message) {
    r->rejected++;
    if (r->rejected > REJECTED_SHOWN) return;
    if (r->from_file) cli_error("line %llu: %.*s", (unsigned long long)line, SLICE_ARG(message));
    else cli_error("%.*s", SLICE_ARG(message));
    if (slice_is(code, "query_not_found"))
        fprintf(stderr, "`forage search` prints the query id below its results; with --no-log there is none.\n");
    if (r->messages.size) buffer_putc(&r->messages, ',');
    json_writer w = json_writer_of(&r->messages);
    json_begin_object(&w);
    json_key(&w, "line");
    json_integer(&w, (int64_t)line);
    json_key(&w, "code");
    json_string(&w, code);
    json_key(&w, "message");
    json_string(&w, message);
    json_end_object(&w);
}

static void take_answer(event_run *r, const json_value *answer) {
    int64_t accepted = 0, duplicates = 0;
    json_member_integer(answer, "accepted", 0, INT64_MAX, &accepted, NULL);
    json_member_integer(answer, "duplicates", 0, INT64_MAX, &duplicates, NULL);
    r->accepted += (uint64_t)accepted;
    r->duplicates += (uint64_t)duplicates;
    const json_value *rejected = json_get(answer, "rejected");
    for (const json_value *e = rejected ? rejected->first : NULL; e; e = e->next) {
        int64_t index = -1;
        slice code = {0}, message = {0};
        json_member_integer(e, "index", 0, (int64_t)r->n_lines - 1, &index, NULL);
        json_member_string(e, "code", &code, NULL);
        json_member_string(e, "message", &message, NULL);
        reject(r, index >= 0 ? r->lines[index] : 0, code, message);
    }
}

/* An answer that counts events is one whatever its status: when all were rejected it has the status of the first. */
static int flush(event_run *r) {
    if (r->n_lines == 0) return CLI_OK;
    client_reply reply;
    slice body = {r->body.data, r->body.size};
    int status = client_send(r->client, "POST", r->target, "application/x-ndjson", body, &reply);
    if (!status) {
        arena memory;
        arena_init(&memory, 0);
        json_value *answer;
        bool counted = json_read(&memory, reply.body, &answer, NULL) == FORAGE_OK && json_get(answer, "accepted");
        if (counted) take_answer(r, answer);
        else status = client_check(r->client, &reply);
        arena_release(&memory);
        client_reply_release(&reply);
    }
    buffer_clear(&r->body);
    r->n_lines = 0;
    return status;
}

static int add(event_run *r, slice json, uint64_t line) {
    ndjson_append(&r->body, json);
    r->lines = mem_grow(r->lines, &r->capacity, r->n_lines + 1, sizeof *r->lines);
    r->lines[r->n_lines++] = line;
    return r->n_lines == BATCH_EVENTS ? flush(r) : CLI_OK;
}

static int send_file(event_run *r, const char *path) {
    input_file file;
    int status = input_open(path, &file);
    if (status) return status;
    records_reader *reader = records_open(input_read, &file, NULL);
    while (!status) {
        slice json;
        uint64_t line = 0;
        bool end = false, recoverable = false;
        base_error error;
        if (records_next(reader, &json, &line, &end, &recoverable, &error)) {
            reject(r, line, SLICE("invalid_json"), slice_of(error.message));
            if (!recoverable) status = CLI_FAILED;
        } else if (end) {
            break;
        } else {
            status = add(r, json, line);
        }
    }
    int flushed = flush(r);
    records_close(reader);
    input_close(&file);
    return status ? status : flushed;
}

static void print_result(const cli_arguments *a, const event_run *r) {
    unsigned long long accepted = r->accepted, duplicates = r->duplicates, rejected = r->rejected;
    if (arg_flag(a, "json")) {
        printf("{\"accepted\":%llu,\"duplicates\":%llu,\"rejected_count\":%llu,\"rejected\":[%.*s]}\n", accepted,
               duplicates, rejected, (int)r->messages.size, r->messages.data ? r->messages.data : "");
    } else if (!arg_flag(a, "quiet")) {
        printf("%llu accepted", accepted);
        if (duplicates) printf(", %llu known already", duplicates);
        if (rejected) printf(", %llu rejected", rejected);
        printf("\n");
    }
}

static int send_events(const cli_arguments *a, client *c, arena *memory) {
    const char *collection;
    int status = client_collection(c, a, memory, NULL, &collection);
    if (status) return status;
    event_run r = {.client = c, .target = collection_target(memory, collection, "/events")};
    r.from_file = a->n_words > 0;
    if (r.from_file) {
        for (size_t i = 0; i < a->n_words && !status; i++) status = send_file(&r, a->words[i]);
    } else {
        buffer event = {0};
        write_event(a, &event);
        status = add(&r, (slice){event.data, event.size}, 1);
        if (!status) status = flush(&r);
        buffer_release(&event);
    }
    if (!status) print_result(a, &r);
    if (!status && r.rejected) status = r.accepted + r.duplicates ? CLI_PARTLY : CLI_FAILED;
    buffer_release(&r.body);
    buffer_release(&r.messages);
    free(r.lines);
    return status;
}

static int run(const cli_arguments *a) {
    bool single = arg_text(a, "query-id", NULL) && arg_text(a, "document", NULL);
    if (!single && a->n_words == 0)
        return cli_usage_error(a->command, "what happened? Give --query-id and --document, or a file of events");
    if (single && a->n_words > 0)
        return cli_usage_error(a->command, "give either a file of events, or --query-id and --document");
    client *c = NULL;
    arena memory;
    arena_init(&memory, 0);
    int status = client_open(a, CLIENT_WRITES, &c);
    if (!status) status = send_events(a, c, &memory);
    client_close(c);
    arena_release(&memory);
    return status;
}

const cli_command command_event = {
    "event", "says what somebody did with a result",
    "event [options] --query-id ID --document ID [--action NAME]\nevent [options] FILE…",
    "The next search has learned from it. A file holds one User Behavior Insights event a line (NDJSON; - is standard\n"
    "input). Events that are rejected are listed, the others count (exit status 3).",
    options, CLI_TAKES_PLACE | CLI_TAKES_COLLECTION,
    "forage event --query-id 019a2b… --document book:1 --action click\n"
    "forage event ubi_events.ndjson.gz",
    run};
