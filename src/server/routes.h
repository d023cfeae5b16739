/* Which route a request belongs to: for the Allow header and for the metrics' labels. */
#ifndef SERVER_ROUTES_H
#define SERVER_ROUTES_H

#include "base/memory.h"

/* From ROUTE_API on: forage_routes(). */
enum { ROUTE_NONE, ROUTE_PAGE, ROUTE_ASSET, ROUTE_LIVE, ROUTE_READY, ROUTE_API };

typedef struct route {
    slice method, pattern; /* "GET", "/collections/{collection}" */
} route;

typedef struct routes {
    route *items; /* by number; ROUTE_NONE has an empty method and the pattern "unknown" */
    size_t count;
} routes;

void routes_init(routes *r, const char *const *api);
void routes_release(routes *r);
/* HEAD is matched as GET. ROUTE_NONE when there is no such path, or not with this method. */
int routes_match(const routes *r, const char *method, slice path);
/* "GET, HEAD, PUT, OPTIONS" for a path; NULL when no route has it. */
const char *routes_allowed(const routes *r, slice path, arena *memory);

#endif
