/* What a request means: the page, health, metrics, who may call, and for everything else forage_call. */
#ifndef SERVER_SERVICE_H
#define SERVER_SERVICE_H

#include "server/guard.h"
#include "server/http.h"
#include "server/routes.h"
#include "server/server_metrics.h"

#include "forage.h"

#include <stdatomic.h>

typedef enum service_state { SERVICE_STARTING, SERVICE_READY, SERVICE_STOPPING } service_state;

typedef struct service {
    guard guard;
    char *host;                    /* guard.host */
    bool access_log;
    atomic_int state;              /* service_state */
    forage *db;                    /* valid while SERVICE_READY, and until the server is drained */
    _Atomic(http_server *) server; /* for the gauges; NULL until started */
    routes routes;
    server_metrics *metrics;
    uint64_t id_base;              /* request ids: a number of this process … */
    atomic_ullong id_count;        /* … and one of the request */
} service;

service *service_create(const guard *g, bool access_log); /* what `g` points to must outlive it, but for its host */
void service_destroy(service *s);
http_handler service_handler(service *s);

#endif
