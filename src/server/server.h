/* The server: the whole API over HTTP, and the search page. */
#ifndef SERVER_SERVER_H
#define SERVER_SERVER_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct server_options {
    const char *folder;      /* the data folder */
    const char *listen;      /* "HOST:PORT", "[::1]:7700", "PORT"; NULL: 127.0.0.1:7700; port 0: any free one */
    const char *api_key;     /* NULL: none; needed for an address that other machines can reach */
    const char *const *cors; /* origins whose pages may call the API, "https://example.org" or "*" */
    size_t n_cors;
    size_t body_limit;       /* bytes of one request's body; 0: 64 MiB */
    unsigned workers;        /* requests worked on at once; 0: twice the cores, at least 4 */
    unsigned queue;          /* requests that wait for a worker; 0: 256. More are answered 429 */
    unsigned threads;        /* of the library that run strategies; 0: one per core */
    bool access_log;         /* a line per request on standard error */
    bool json;               /* the startup line as JSON */
} server_options;

/* Serves until SIGTERM or SIGINT, then finishes what is in progress (10 s at most) and closes the folder. A second
 * signal ends the process at once. Prints one line on standard output when it is ready. Call it from the only thread of
 * the process: it takes over the signals.
 * FORAGE_E_INVALID: the options; FORAGE_E_IO: the address cannot be used; FORAGE_E_TIMEOUT: stopped, but a request was
 * still in progress (what had been acknowledged is safe), and the process must end; or what forage_open says. */
forage_status server_run(const server_options *options, base_error *error);

#endif
