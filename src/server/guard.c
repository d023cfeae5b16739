#include "server/guard.h"

#include <stdint.h>
#include <string.h>
#include <strings.h>

/* Length of the host in "host:port" or "[v6]:port", brackets included. */
static size_t host_length(const char *authority) {
    if (*authority == '[') {
        const char *end = strchr(authority, ']');
        return end ? (size_t)(end - authority) + 1 : strlen(authority);
    }
    return strcspn(authority, ":");
}

static bool host_is(const char *authority, const char *name) {
    size_t n = host_length(authority), m = strlen(name);
    if (n >= 2 && authority[0] == '[') {
        if (*name != '[') authority++, n -= 2;
    }
    return n == m && strncasecmp(authority, name, n) == 0;
}

bool guard_host_allowed(const guard *g, const guard_request *r) {
    if (g->key) return true;
    if (!r->host) return false;
    static const char *const own[] = {"localhost", "127.0.0.1", "[::1]"};
    for (size_t i = 0; i < sizeof own / sizeof *own; i++)
        if (host_is(r->host, own[i])) return true;
    return host_is(r->host, g->host);
}

const char *guard_cors_origin(const guard *g, const guard_request *r) {
    if (!r->origin) return NULL;
    for (size_t i = 0; i < g->n_origins; i++)
        if (strcmp(g->origins[i], "*") == 0 || strcasecmp(g->origins[i], r->origin) == 0) return r->origin;
    return NULL;
}

bool guard_origin_allowed(const guard *g, const guard_request *r) {
    if (!r->origin || guard_cors_origin(g, r)) return true;
    const char *authority = strstr(r->origin, "://");
    return authority && r->host && strcasecmp(authority + 3, r->host) == 0;
}

bool guard_key_matches(const guard *g, const guard_request *r) {
    if (!g->key) return true;
    static const char scheme[] = "Bearer ";
    if (!r->authorization || strncasecmp(r->authorization, scheme, sizeof scheme - 1) != 0) return false;
    const char *given = r->authorization + sizeof scheme - 1;
    given += strspn(given, " ");
    size_t given_size = strlen(given), key_size = strlen(g->key);
    volatile uint8_t different = given_size != key_size;
    for (size_t i = 0; i < given_size; i++) {
        uint8_t expected = (uint8_t)(key_size ? g->key[i % key_size] : 0);
        different = (uint8_t)(different | ((uint8_t)given[i] ^ expected));
    }
    return !different;
}
