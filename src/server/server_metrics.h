/* Counters of the HTTP side in Prometheus' text form. Counting is lock-free. */
#ifndef SERVER_SERVER_METRICS_H
#define SERVER_SERVER_METRICS_H

#include "server/http.h"
#include "server/routes.h"

typedef struct server_metrics server_metrics;

server_metrics *server_metrics_create(const routes *r); /* `r` must outlive it */
void server_metrics_destroy(server_metrics *m);
void server_metrics_count(server_metrics *m, int route_number, int status, size_t received, size_t sent,
                          int64_t took_us);
void server_metrics_write(const server_metrics *m, http_counts now, buffer *out);

#endif
