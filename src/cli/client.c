#include "cli/client.h"

#include "cli/http_client.h"
#include "os/file.h"

#include "forage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEFAULT_FOLDER "forage-data"
#define DEFAULT_TIMEOUT_S 600
#define OVERLOADED_TRIES 8
#define LOCKED_TRIES 20
#define LOCKED_PAUSE_US 100000

struct client {
    http_client *http; /* one of the two */
    forage *db;
    const char *place;
};

const char *data_folder(const cli_arguments *a) {
    const char *environment = getenv("FORAGE_DATA_FOLDER");
    return arg_text(a, "data", environment && *environment ? environment : DEFAULT_FOLDER);
}

int api_key_read(const cli_arguments *a, char **key) {
    const char *path = arg_text(a, "api-key-file", NULL), *environment = getenv("FORAGE_API_KEY");
    *key = NULL;
    if (!path) {
        if (environment && *environment) *key = mem_strdup(environment);
        return CLI_OK;
    }
    buffer text = {0};
    base_error error;
    if (os_read_file(path, 4096, &text, &error)) {
        cli_error("%s", error.message);
        return CLI_FAILED;
    }
    char *start = buffer_text(&text);
    start += strspn(start, " \t\r\n");
    start[strcspn(start, " \t\r\n")] = '\0';
    if (*start) *key = mem_strdup(start);
    buffer_release(&text);
    if (*key) return CLI_OK;
    cli_error("%s holds no API key; put a long random word in it", path);
    return CLI_FAILED;
}

/* ---- Opening --------------------------------------------------------------------------------------------------- */

static int open_remote(const cli_arguments *a, const char *url, client **out) {
    char *key = NULL;
    int64_t timeout_s = DEFAULT_TIMEOUT_S;
    int status = arg_integer(a, "timeout", 1, 86400, &timeout_s);
    if (!status) status = api_key_read(a, &key);
    if (status) return status;
    http_client *http;
    base_error error;
    forage_status opened = http_client_create(url, key, (long)timeout_s, &http, &error);
    free(key);
    if (opened) return cli_usage_error(a->command, "%s", error.message);
    client *c = mem_zalloc(1, sizeof *c);
    c->http = http;
    c->place = url;
    *out = c;
    return CLI_OK;
}

static void tell_open_error(const char *folder, const base_error *error) {
    cli_error("opening %s: %s", folder, error->message);
    if (error->status == FORAGE_E_LOCKED)
        fprintf(stderr, "If that is `forage serve`, use the server instead of the folder: "
                        "--url http://127.0.0.1:7700\n");
}

static int open_folder(const cli_arguments *a, const char *folder, client_purpose purpose, bool throw_away,
                       client **out) {
    if (purpose != CLIENT_CREATES && !os_exists(folder)) {
        cli_error("there is no data folder %s; `forage import FILE` makes one, --data FOLDER names another", folder);
        return CLI_FAILED;
    }
    forage_options options = {.no_sync = throw_away, .read_only = purpose == CLIENT_LOOKS};
    forage *db = NULL;
    base_error error = {0};
    forage_status status = forage_open(folder, &options, &db, &error);
    for (int tries = 0; status == FORAGE_E_LOCKED && purpose != CLIENT_READS && tries < LOCKED_TRIES; tries++) {
        usleep(LOCKED_PAUSE_US);
        status = forage_open(folder, &options, &db, &error);
    }
    bool locked = status == FORAGE_E_LOCKED;
    if ((locked || status == FORAGE_E_READ_ONLY) && purpose == CLIENT_READS) {
        options.read_only = true;
        status = forage_open(folder, &options, &db, &error);
        if (!status)
            cli_note(a, "note: %s %s, so this reads only and logs nothing", folder,
                     locked ? "is open in another process" : "cannot be written to");
    }
    if (status) {
        tell_open_error(folder, &error);
        return CLI_FAILED;
    }
    client *c = mem_zalloc(1, sizeof *c);
    c->db = db;
    c->place = folder;
    *out = c;
    return CLI_OK;
}

/* NULL: a folder. */
static const char *server_url(const cli_arguments *a) {
    const char *environment = getenv("FORAGE_URL");
    bool by_environment = environment && *environment && !arg_text(a, "data", NULL);
    return arg_text(a, "url", by_environment ? environment : NULL);
}

bool client_would_be_remote(const cli_arguments *a) { return server_url(a) != NULL; }

int client_open(const cli_arguments *a, client_purpose purpose, client **out) {
    const char *url = server_url(a);
    if (url && arg_text(a, "data", NULL)) return cli_usage_error(a->command, "--data and --url exclude each other");
    return url ? open_remote(a, url, out) : open_folder(a, data_folder(a), purpose, false, out);
}

int client_open_folder(const cli_arguments *a, const char *folder, client **out) {
    return open_folder(a, folder, CLIENT_CREATES, true, out);
}

void client_close(client *c) {
    if (!c) return;
    http_client_destroy(c->http);
    forage_close(c->db);
    free(c);
}

bool client_is_remote(const client *c) { return c->http != NULL; }

const char *client_place(const client *c) { return c->place; }

/* ---- Requests -------------------------------------------------------------------------------------------------- */

static void send_local(client *c, const forage_request *request, client_reply *out) {
    forage_response *response = mem_zalloc(1, sizeof *response);
    forage_call(c->db, request, response);
    out->status = response->status;
    out->body = (slice){response->body, response->body_size};
    memcpy(out->next, response->next, sizeof out->next);
    out->local = response;
}

static forage_status send_remote(client *c, const forage_request *request, client_reply *out, base_error *error) {
    http_answer answer = {0};
    slice body = {request->body, request->body_size};
    for (int tries = 1;; tries++) {
        forage_status status =
            http_client_send(c->http, request->method, request->target, request->content_type, body, &answer, error);
        if (status) return status;
        bool again = answer.status == 429 && tries < OVERLOADED_TRIES;
        if (!again) break;
        unsigned pause = answer.retry_after > 0 && answer.retry_after < 60 ? (unsigned)answer.retry_after : 1;
        buffer_release(&answer.body);
        sleep(pause);
        answer = (http_answer){0};
    }
    out->status = answer.status;
    out->body = (slice){buffer_text(&answer.body), answer.body.size};
    memcpy(out->next, answer.next, sizeof out->next);
    out->remote = answer.body.data;
    return FORAGE_OK;
}

int client_send(client *c, const char *method, const char *target, const char *content_type, slice body,
                client_reply *out) {
    forage_request request = {method, target, content_type, body.data, body.size};
    client_reply reply = {0};
    base_error error = {0};
    if (c->db) {
        send_local(c, &request, &reply);
    } else if (send_remote(c, &request, &reply, &error)) {
        cli_error("%s", error.message);
        return CLI_FAILED;
    }
    *out = reply;
    return CLI_OK;
}

void client_reply_release(client_reply *reply) {
    if (reply->local) forage_response_release(reply->local);
    free(reply->local);
    free(reply->remote);
    *reply = (client_reply){0};
}

/* What to do about an error, by its stable name. */
static const char *advice(const client *c, slice code) {
    static const struct {
        const char *code, *text;
    } list[] = {
        {"collection_not_found", "`forage collections` lists them; `forage import FILE -c NAME` makes one."},
        {"query_not_found", "`forage search` prints the query id below its results; with --no-log there is none."},
        {"unauthorized", "Give the server's key with --api-key-file FILE or FORAGE_API_KEY."},
        {"overloaded", "The server is busy; try again in a moment."},
        {"newer_version", "Use the version of forage that wrote the folder, or a newer one."},
        {"corrupt", "`forage check` says what is damaged."},
        {"disk_full", "Make room on the disk and try again; what was acknowledged is safe."},
    };
    if (slice_is(code, "read_only") && !client_is_remote(c))
        return "Another process has the folder open. If it is `forage serve`, add --url http://127.0.0.1:7700";
    for (size_t i = 0; i < sizeof list / sizeof *list; i++)
        if (slice_is(code, list[i].code)) return list[i].text;
    return NULL;
}

int client_check(const client *c, const client_reply *reply) {
    if (reply->status >= 200 && reply->status < 300) return CLI_OK;
    arena memory;
    arena_init(&memory, 0);
    json_value *answer = NULL;
    const json_value *error = json_read(&memory, reply->body, &answer, NULL) ? NULL : json_get(answer, "error");
    slice code = {0}, message = {0};
    json_member_string(error, "code", &code, NULL);
    json_member_string(error, "message", &message, NULL);
    if (message.size) cli_error("%.*s", (int)message.size, message.data);
    else cli_error("%s answered with HTTP status %d, which is no answer of a Forage server", c->place, reply->status);
    const char *what_to_do = advice(c, code);
    if (what_to_do) fprintf(stderr, "%s\n", what_to_do);
    arena_release(&memory);
    return CLI_FAILED;
}

int client_json(client *c, arena *memory, const char *method, const char *target, slice body, json_value **out,
                slice *text) {
    client_reply reply;
    int status = client_send(c, method, target, NULL, body, &reply);
    if (status) return status;
    status = client_check(c, &reply);
    if (!status) {
        base_error error;
        slice copy = arena_slice(memory, reply.body);
        if (json_read(memory, copy, out, &error)) {
            cli_error("%s gave an answer that is no JSON: %s", c->place, error.message);
            status = CLI_FAILED;
        }
        if (text) *text = copy;
    }
    client_reply_release(&reply);
    return status;
}

/* ---- Collections ----------------------------------------------------------------------------------------------- */

void percent_encode(buffer *out, slice text) {
    static const char digits[] = "0123456789ABCDEF";
    for (size_t i = 0; i < text.size; i++) {
        uint8_t c = (uint8_t)text.data[i];
        bool plain = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
                     c == '_' || c == '.' || c == '~';
        if (plain) {
            buffer_putc(out, (char)c);
        } else {
            buffer_putc(out, '%');
            buffer_putc(out, digits[c >> 4]);
            buffer_putc(out, digits[c & 15]);
        }
    }
}

const char *collection_target(arena *memory, const char *collection, const char *rest) {
    buffer target = {0};
    buffer_puts(&target, "/collections/");
    percent_encode(&target, slice_of(collection));
    buffer_puts(&target, rest);
    const char *out = arena_strndup(memory, target.data, target.size);
    buffer_release(&target);
    return out;
}

static int several_collections(const cli_arguments *a, const json_value *list) {
    buffer names = {0};
    for (const json_value *item = list->first; item; item = item->next) {
        slice name = {0};
        json_member_string(item, "name", &name, NULL);
        if (names.size) buffer_puts(&names, ", ");
        buffer_slice(&names, name);
    }
    int status = cli_usage_error(a->command, "there are several collections (%s): choose one with -c NAME",
                                 buffer_text(&names));
    buffer_release(&names);
    return status;
}

int client_write_pages(client *c, client_page page, client_written written, void *self, FILE *out) {
    char after[256] = "";
    int status = CLI_OK;
    do {
        arena memory;
        arena_init(&memory, 0);
        client_reply reply = {0};
        status = client_send(c, "GET", page(self, &memory, after), NULL, (slice){0}, &reply);
        if (!status) status = client_check(c, &reply);
        if (!status && fwrite(reply.body.data, 1, reply.body.size, out) != reply.body.size) {
            if (errno != EPIPE) cli_error("writing: %s", strerror(errno));
            status = CLI_FAILED;
        }
        if (!status && written) written(self, reply.body);
        memcpy(after, reply.next, sizeof after);
        client_reply_release(&reply);
        arena_release(&memory);
    } while (!status && after[0]);
    return status;
}

int client_collection(client *c, const cli_arguments *a, arena *memory, const char *otherwise, const char **name) {
    *name = arg_text(a, "collection", NULL);
    if (*name) return CLI_OK;
    json_value *answer;
    int status = client_json(c, memory, "GET", "/collections", (slice){0}, &answer, NULL);
    if (status) return status;
    const json_value *list = json_get(answer, "collections");
    slice only = {0};
    if (list && list->count == 1) json_member_string(list->first, "name", &only, NULL);
    if (list && list->count > 1) return several_collections(a, list);
    *name = only.size ? arena_strndup(memory, only.data, only.size) : otherwise;
    if (*name) return CLI_OK;
    cli_error("there is no collection in %s yet; `forage import FILE` makes one", c->place);
    return CLI_FAILED;
}
