#include "server/routes.h"

#include <stdlib.h>
#include <string.h>

static const char *const own[ROUTE_API] = {
    [ROUTE_NONE] = " unknown",
    [ROUTE_PAGE] = "GET /",
    [ROUTE_ASSET] = "GET /web/{file}",
    [ROUTE_LIVE] = "GET /health/live",
    [ROUTE_READY] = "GET /health/ready",
};

static route route_of(const char *text) {
    size_t method = strcspn(text, " ");
    const char *pattern = text + method + 1;
    return (route){{text, method}, {pattern, strcspn(pattern, "?")}};
}

void routes_init(routes *r, const char *const *api) {
    size_t n_api = 0;
    while (api[n_api]) n_api++;
    r->items = mem_zalloc(ROUTE_API + n_api, sizeof *r->items);
    r->count = ROUTE_API;
    for (size_t i = 0; i < ROUTE_API; i++) r->items[i] = route_of(own[i]);
    for (size_t i = 0; i < n_api; i++) {
        route candidate = route_of(api[i]);
        bool known = false; /* the server's own come first */
        for (size_t j = 0; j < ROUTE_API; j++)
            known |= slice_equal(candidate.method, r->items[j].method) &&
                     slice_equal(candidate.pattern, r->items[j].pattern);
        if (!known) r->items[r->count++] = candidate;
    }
}

void routes_release(routes *r) {
    free(r->items);
    *r = (routes){0};
}

static slice first_segment(slice *path) {
    size_t n = 0;
    while (n < path->size && path->data[n] != '/') n++;
    slice segment = {path->data, n};
    size_t skip = n < path->size ? n + 1 : n;
    path->data += skip;
    path->size -= skip;
    return segment;
}

/* A {name} stands for one segment that is not empty. A slash at the end of the path does not matter. */
static bool path_matches(slice pattern, slice path) {
    if (path.size > 1 && path.data[path.size - 1] == '/') path.size--;
    while (pattern.size && path.size) {
        bool more_pattern = memchr(pattern.data, '/', pattern.size) != NULL;
        bool more_path = memchr(path.data, '/', path.size) != NULL;
        slice want = first_segment(&pattern), have = first_segment(&path);
        bool any = want.size > 2 && want.data[0] == '{';
        if (more_pattern != more_path || (any ? have.size == 0 : !slice_equal(want, have))) return false;
    }
    return pattern.size == 0 && path.size == 0;
}

int routes_match(const routes *r, const char *method, slice path) {
    if (strcmp(method, "HEAD") == 0) method = "GET";
    for (size_t i = ROUTE_PAGE; i < r->count; i++)
        if (slice_is(r->items[i].method, method) && path_matches(r->items[i].pattern, path)) return (int)i;
    return ROUTE_NONE;
}

const char *routes_allowed(const routes *r, slice path, arena *memory) {
    buffer methods = {0};
    for (size_t i = ROUTE_PAGE; i < r->count; i++) {
        if (!path_matches(r->items[i].pattern, path)) continue;
        buffer_slice(&methods, r->items[i].method);
        buffer_puts(&methods, slice_is(r->items[i].method, "GET") ? ", HEAD, " : ", ");
    }
    if (methods.size) buffer_puts(&methods, "OPTIONS");
    const char *out = methods.size ? arena_strndup(memory, methods.data, methods.size) : NULL;
    buffer_release(&methods);
    return out;
}
