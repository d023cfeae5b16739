#include "server/server_metrics.h"

#include <stdatomic.h>
#include <stdlib.h>

#define STATUSES 600 /* HTTP statuses count from 100; 0 stands for connections that broke */

static const double bounds_s[] = {0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10};
#define N_BOUNDS (sizeof bounds_s / sizeof *bounds_s)

typedef struct route_metrics {
    atomic_ullong by_status[STATUSES];
    atomic_ullong within[N_BOUNDS + 1]; /* requests whose time falls into the bucket, not cumulated; the last: slower */
    atomic_ullong total_us, received, sent;
} route_metrics;

struct server_metrics {
    const routes *routes;
    route_metrics *by_route;
};

server_metrics *server_metrics_create(const routes *r) {
    server_metrics *m = mem_zalloc(1, sizeof *m);
    m->routes = r;
    m->by_route = mem_zalloc(r->count, sizeof *m->by_route);
    return m;
}

void server_metrics_destroy(server_metrics *m) {
    if (!m) return;
    free(m->by_route);
    free(m);
}

static void add(atomic_ullong *counter, unsigned long long by) {
    atomic_fetch_add_explicit(counter, by, memory_order_relaxed);
}

static unsigned long long value(const atomic_ullong *counter) {
    return atomic_load_explicit(counter, memory_order_relaxed);
}

void server_metrics_count(server_metrics *m, int route_number, int status, size_t received, size_t sent,
                          int64_t took_us) {
    route_metrics *r = &m->by_route[route_number];
    size_t bucket = 0;
    while (bucket < N_BOUNDS && (double)took_us > bounds_s[bucket] * 1e6) bucket++;
    add(&r->by_status[status >= 0 && status < STATUSES ? status : 0], 1);
    add(&r->within[bucket], 1);
    add(&r->total_us, took_us > 0 ? (unsigned long long)took_us : 0);
    add(&r->received, received);
    add(&r->sent, sent);
}

static void write_gauge(buffer *out, const char *name, const char *help, unsigned now) {
    buffer_printf(out, "# HELP %s %s\n# TYPE %s gauge\n%s %u\n", name, help, name, name, now);
}

static void write_requests(const server_metrics *m, buffer *out) {
    buffer_puts(out, "# HELP forage_http_requests_total Requests by route and status (0: the connection broke).\n"
                     "# TYPE forage_http_requests_total counter\n");
    for (size_t i = 0; i < m->routes->count; i++) {
        const route *r = &m->routes->items[i];
        for (int status = 0; status < STATUSES; status++) {
            unsigned long long n = value(&m->by_route[i].by_status[status]);
            if (n)
                buffer_printf(out, "forage_http_requests_total{method=\"%.*s\",route=\"%.*s\",status=\"%d\"} %llu\n",
                              SLICE_ARG(r->method), SLICE_ARG(r->pattern), status, n);
        }
    }
}

static void write_times(const server_metrics *m, buffer *out) {
    buffer_puts(out, "# HELP forage_http_request_seconds From the request line to the last byte of the answer.\n"
                     "# TYPE forage_http_request_seconds histogram\n");
    for (size_t i = 0; i < m->routes->count; i++) {
        const route_metrics *counts = &m->by_route[i];
        const route *r = &m->routes->items[i];
        unsigned long long sum = 0, total = 0;
        for (size_t b = 0; b <= N_BOUNDS; b++) total += value(&counts->within[b]);
        if (total == 0) continue;
        for (size_t b = 0; b < N_BOUNDS; b++) {
            sum += value(&counts->within[b]);
            buffer_printf(out, "forage_http_request_seconds_bucket{method=\"%.*s\",route=\"%.*s\",le=\"%g\"} %llu\n",
                          SLICE_ARG(r->method), SLICE_ARG(r->pattern), bounds_s[b], sum);
        }
        buffer_printf(out, "forage_http_request_seconds_bucket{method=\"%.*s\",route=\"%.*s\",le=\"+Inf\"} %llu\n",
                      SLICE_ARG(r->method), SLICE_ARG(r->pattern), total);
        buffer_printf(out, "forage_http_request_seconds_sum{method=\"%.*s\",route=\"%.*s\"} %.6f\n",
                      SLICE_ARG(r->method), SLICE_ARG(r->pattern), (double)value(&counts->total_us) / 1e6);
        buffer_printf(out, "forage_http_request_seconds_count{method=\"%.*s\",route=\"%.*s\"} %llu\n",
                      SLICE_ARG(r->method), SLICE_ARG(r->pattern), total);
    }
}

void server_metrics_write(const server_metrics *m, http_counts now, buffer *out) {
    unsigned long long received = 0, sent = 0;
    for (size_t i = 0; i < m->routes->count; i++) {
        received += value(&m->by_route[i].received);
        sent += value(&m->by_route[i].sent);
    }
    write_requests(m, out);
    write_times(m, out);
    write_gauge(out, "forage_http_in_flight", "Requests begun and not yet answered.", now.in_flight);
    write_gauge(out, "forage_http_queue_length", "Requests that wait for a worker.", now.queued);
    write_gauge(out, "forage_http_connections", "Open connections.", now.connections);
    buffer_printf(out, "# HELP forage_http_received_bytes_total Bytes of request bodies.\n"
                       "# TYPE forage_http_received_bytes_total counter\nforage_http_received_bytes_total %llu\n"
                       "# HELP forage_http_sent_bytes_total Bytes of response bodies.\n"
                       "# TYPE forage_http_sent_bytes_total counter\nforage_http_sent_bytes_total %llu\n",
                  received, sent);
}
