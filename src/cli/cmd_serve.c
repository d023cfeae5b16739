#include "cli/client.h"
#include "server/server.h"

#include <stdlib.h>
#include <string.h>

#define MAX_ORIGINS 32

static const cli_option options[] = {
    {"data", 0, "FOLDER", "the data folder, made when absent (default: $FORAGE_DATA_FOLDER, or ./forage-data)"},
    {"listen", 'l', "HOST:PORT", "the address (default: 127.0.0.1:7700); port 0 takes any free one"},
    {"api-key-file", 0, "FILE", "file with a key that callers must send (default: $FORAGE_API_KEY)"},
    {"cors", 0, "ORIGIN", "let pages of this origin call the API, such as https://example.org; repeatable"},
    {"body-limit", 0, "MIB", "largest request body (default: 64)"},
    {"workers", 0, "N", "requests worked on at once (default: twice the cores, at least 4)"},
    {"queue", 0, "N", "requests that may wait; more are answered 429 (default: 256)"},
    {"threads", 0, "N", "threads that run strategies (default: one per core)"},
    {"access-log", 0, NULL, "write a line per request on standard error"},
    {0}};

static int read_sizes(const cli_arguments *a, server_options *o) {
    int64_t mib = 0, workers = 0, queue = 0, threads = 0;
    int status = arg_integer(a, "body-limit", 1, 4096, &mib);
    if (!status) status = arg_integer(a, "workers", 1, 1024, &workers);
    if (!status) status = arg_integer(a, "queue", 1, 100000, &queue);
    if (!status) status = arg_integer(a, "threads", 1, 1024, &threads);
    o->body_limit = (size_t)mib << 20;
    o->workers = (unsigned)workers;
    o->queue = (unsigned)queue;
    o->threads = (unsigned)threads;
    return status;
}

static int run(const cli_arguments *a) {
    if (a->n_words) return cli_usage_error(a->command, "\"%s\": name the folder with --data", a->words[0]);
    server_options o = {
        .folder = data_folder(a),
        .listen = arg_text(a, "listen", NULL),
        .access_log = arg_flag(a, "access-log"),
        .json = arg_flag(a, "json"),
    };
    const char *origins[MAX_ORIGINS];
    while (arg_nth(a, "cors", o.n_cors)) {
        if (o.n_cors == MAX_ORIGINS) return cli_usage_error(a->command, "at most %d --cors are possible", MAX_ORIGINS);
        origins[o.n_cors] = arg_nth(a, "cors", o.n_cors);
        o.n_cors++;
    }
    o.cors = origins;
    char *key;
    base_error error = {0};
    int status = read_sizes(a, &o);
    if (!status) status = api_key_read(a, &key);
    if (status) return status;
    o.api_key = key;
    forage_status served = server_run(&o, &error);
    if (served == FORAGE_E_INVALID) status = cli_usage_error(a->command, "%s", error.message);
    else if (served) cli_error("%s", error.message);
    if (served == FORAGE_E_TIMEOUT) exit(CLI_FAILED); /* workers still read the key and the options */
    free(key);
    return status ? status : served ? CLI_FAILED : CLI_OK;
}

const cli_command command_serve = {
    "serve", "serves the search page and the HTTP API", "serve [options]",
    "Stops on SIGTERM or Ctrl-C after finishing the requests in progress. Only this machine can reach it unless\n"
    "--listen says otherwise, and then callers need an API key.",
    options, 0,
    "forage serve\nforage serve --data /srv/books --listen 0.0.0.0:7700 --api-key-file key.txt\n"
    "# the same commands work on a running server\nforage search --url http://127.0.0.1:7700 hunger games",
    run};
