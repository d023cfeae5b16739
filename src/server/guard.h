/* Who may call: the API key, the names of this machine (DNS rebinding), and the pages of other sites (CSRF, CORS). */
#ifndef SERVER_GUARD_H
#define SERVER_GUARD_H

#include <stdbool.h>
#include <stddef.h>

typedef struct guard {
    const char *key;            /* NULL: none */
    const char *host;           /* the address listened on, as written */
    const char *const *origins; /* allowed beside the server's own; "*" allows any */
    size_t n_origins;
} guard;

/* The headers that matter; NULL when absent. */
typedef struct guard_request {
    const char *host, *origin, *authorization;
} guard_request;

/* Without a key the server answers only to names of the machine itself: a page whose name was pointed at 127.0.0.1 by
 * its DNS server would otherwise be a page of this server in the browser's eyes. */
bool guard_host_allowed(const guard *g, const guard_request *r);
/* A browser names the page's origin when it is another one, and on every request that changes something. */
bool guard_origin_allowed(const guard *g, const guard_request *r);
/* The origin to send back in Access-Control-Allow-Origin, or NULL. */
const char *guard_cors_origin(const guard *g, const guard_request *r);
/* Takes the same time wherever the keys differ. */
bool guard_key_matches(const guard *g, const guard_request *r);

#endif
