#include "server/service.h"

#include "base/random.h"
#include "os/clock.h"
#include "server/assets.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define MAX_REQUEST_ID 128

static const char page_policy[] = "default-src 'self'; img-src 'self' data:; object-src 'none'; base-uri 'none'; "
                                  "form-action 'self'; frame-ancestors 'none'";

service *service_create(const guard *g, bool access_log) {
    service *s = mem_zalloc(1, sizeof *s);
    s->guard = *g;
    s->guard.host = s->host = mem_strdup(g->host);
    s->access_log = access_log;
    atomic_init(&s->state, SERVICE_STARTING);
    routes_init(&s->routes, forage_routes());
    s->metrics = server_metrics_create(&s->routes);
    s->id_base = random_entropy();
    return s;
}

void service_destroy(service *s) {
    free(s->host);
    server_metrics_destroy(s->metrics);
    routes_release(&s->routes);
    free(s);
}

static void refuse(const http_request *r, http_reply *reply, forage_status status, const char *message) {
    http_reply_error(r, reply, forage_status_http(status), forage_status_name(status), "%s", message);
}

static guard_request guard_headers(const http_request *r) {
    return (guard_request){http_header(r, "Host"), http_header(r, "Origin"), http_header(r, "Authorization")};
}

/* The caller's id when it is short and plain, else one of ours. */
static const char *request_id(service *s, const http_request *r) {
    const char *given = http_header(r, "X-Request-Id");
    size_t n = given ? strlen(given) : 0;
    bool plain = n > 0 && n <= MAX_REQUEST_ID;
    for (size_t i = 0; plain && i < n; i++) plain = given[i] > ' ' && given[i] < 127;
    if (plain) return arena_strndup(r->memory, given, n);
    unsigned long long count = atomic_fetch_add(&s->id_count, 1);
    return arena_printf(r->memory, "%08" PRIx32 "-%llx", (uint32_t)s->id_base, count);
}

/* ---- Answers that need no library ------------------------------------------------------------------------------ */

static bool reply_health(service *s, http_request *r, http_reply *reply) {
    int state = atomic_load(&s->state);
    if (r->route == ROUTE_LIVE || state == SERVICE_READY) {
        reply->status = 200;
        reply->content_type = "application/json";
        reply->body = r->route == ROUTE_LIVE ? SLICE("{\"status\":\"live\"}\n") : SLICE("{\"status\":\"ready\"}\n");
        return true;
    }
    refuse(r, reply, FORAGE_E_CLOSED, state == SERVICE_STARTING ? "the server is starting" : "the server is stopping");
    return true;
}

static bool reply_asset(http_request *r, http_reply *reply) {
    slice name = SLICE("index.html");
    if (r->route == ROUTE_ASSET) {
        size_t prefix = sizeof "/web/" - 1;
        name = (slice){r->path.data + prefix, r->path.size - prefix};
    }
    const web_asset *asset = web_asset_find(name);
    if (!asset) {
        refuse(r, reply, FORAGE_E_NO_ROUTE, status_message(FORAGE_E_NO_ROUTE));
        return true;
    }
    http_reply_header(reply, "ETag", asset->etag);
    http_reply_header(reply, "Cache-Control", "no-cache");
    http_reply_header(reply, "Content-Security-Policy", page_policy);
    const char *known = http_header(r, "If-None-Match");
    if (known && (strstr(known, asset->etag) || strcmp(known, "*") == 0)) {
        reply->status = 304;
        return true;
    }
    reply->status = 200;
    reply->content_type = asset->content_type;
    reply->body = (slice){(const char *)asset->data, asset->size};
    return true;
}

/* OPTIONS: what an address takes, and the question a browser asks before it lets another site's page call. */
static bool reply_options(service *s, http_request *r, http_reply *reply) {
    const char *allowed = routes_allowed(&s->routes, r->path, r->memory);
    if (!allowed) {
        refuse(r, reply, FORAGE_E_NO_ROUTE, status_message(FORAGE_E_NO_ROUTE));
        return true;
    }
    reply->status = 204;
    http_reply_header(reply, "Allow", allowed);
    if (http_header(r, "Access-Control-Request-Method")) {
        http_reply_header(reply, "Access-Control-Allow-Methods", allowed);
        http_reply_header(reply, "Access-Control-Allow-Headers", "Authorization, Content-Type, X-Request-Id");
        http_reply_header(reply, "Access-Control-Max-Age", "600");
    }
    return true;
}

static bool refuse_key(http_request *r, http_reply *reply) {
    refuse(r, reply, FORAGE_E_UNAUTHORIZED, "an API key is needed: send the header \"Authorization: Bearer KEY\"");
    http_reply_header(reply, "WWW-Authenticate", "Bearer");
    return true;
}

static bool refuse_host(http_request *r, http_reply *reply) {
    http_reply_error(r, reply, 403, "forbidden", "without an API key the server answers only as localhost, 127.0.0.1 "
                     "or [::1]; start it with --api-key-file to use other names");
    return true;
}

static bool refuse_origin(http_request *r, http_reply *reply) {
    http_reply_error(r, reply, 403, "forbidden", "pages of other sites may not call this server; "
                     "allow one with --cors ORIGIN");
    return true;
}

/* ---- The handler ----------------------------------------------------------------------------------------------- */

static bool service_begin(void *self, http_request *r, http_reply *reply) {
    service *s = self;
    r->route = routes_match(&s->routes, r->method, r->path);
    if (r->route == ROUTE_LIVE || r->route == ROUTE_READY) return reply_health(s, r, reply);
    guard_request headers = guard_headers(r);
    if (!guard_host_allowed(&s->guard, &headers)) return refuse_host(r, reply);
    if (!guard_origin_allowed(&s->guard, &headers)) return refuse_origin(r, reply);
    if (strcmp(r->method, "OPTIONS") == 0) return reply_options(s, r, reply);
    if (r->route == ROUTE_PAGE || r->route == ROUTE_ASSET) return reply_asset(r, reply);
    if (!guard_key_matches(&s->guard, &headers)) return refuse_key(r, reply);
    if (atomic_load(&s->state) != SERVICE_READY) {
        refuse(r, reply, FORAGE_E_CLOSED, "the server is starting; try again shortly");
        http_reply_header(reply, "Retry-After", "1");
        return true;
    }
    return false;
}

static void release_response(void *owner) {
    forage_response_release(owner);
    free(owner);
}

static void release_text(void *owner) { free(owner); }

static void append_metrics(service *s, http_reply *reply) {
    buffer text = {0};
    buffer_slice(&text, reply->body);
    if (text.size && text.data[text.size - 1] != '\n') buffer_putc(&text, '\n');
    http_counts now = {0};
    http_server *server = atomic_load(&s->server);
    if (server) now = http_count(server);
    server_metrics_write(s->metrics, now, &text);
    reply->release(reply->owner);
    reply->body = (slice){text.data, text.size};
    reply->release = release_text;
    reply->owner = text.data;
}

static void service_answer(void *self, http_request *r, http_reply *reply) {
    service *s = self;
    forage_request request = {
        .method = strcmp(r->method, "HEAD") == 0 ? "GET" : r->method,
        .target = r->target,
        .content_type = http_header(r, "Content-Type"),
        .body = r->body.data,
        .body_size = r->body.size,
    };
    forage_response *response = mem_zalloc(1, sizeof *response);
    forage_call(s->db, &request, response);
    reply->status = response->status;
    reply->content_type = response->content_type;
    reply->body = (slice){response->body, response->body_size};
    reply->release = release_response;
    reply->owner = response;
    if (response->next[0]) http_reply_header(reply, "Forage-Next", response->next);
    if (slice_is(r->path, "/metrics") && reply->status == 200) append_metrics(s, reply);
}

static void service_finish(void *self, http_request *r, http_reply *reply) {
    service *s = self;
    r->id = request_id(s, r);
    http_reply_header(reply, "X-Request-Id", r->id);
    http_reply_header(reply, "X-Content-Type-Options", "nosniff");
    http_reply_header(reply, "Referrer-Policy", "no-referrer");
    if (r->route != ROUTE_PAGE && r->route != ROUTE_ASSET) {
        http_reply_header(reply, "Cache-Control", "no-store");
        http_reply_header(reply, "Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'");
    }
    if (reply->status == 405) {
        const char *allowed = routes_allowed(&s->routes, r->path, r->memory);
        if (allowed) http_reply_header(reply, "Allow", allowed);
    }
    if (s->guard.n_origins == 0) return;
    http_reply_header(reply, "Vary", "Origin");
    guard_request headers = guard_headers(r);
    const char *origin = guard_cors_origin(&s->guard, &headers);
    if (!origin) return;
    http_reply_header(reply, "Access-Control-Allow-Origin", origin);
    http_reply_header(reply, "Access-Control-Expose-Headers", "Forage-Next, X-Request-Id");
}

static void write_access_line(const http_request *r, const http_reply *reply, int64_t took_us) {
    char peer[64], when[32];
    http_peer(r, peer, sizeof peer);
    time_t now = (time_t)(clock_wall(&os_clock_system) / 1000000);
    struct tm parts;
    strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &parts));
    fprintf(stderr, "%s %s \"%s %.2000s\" %d %zu %.1fms %s\n", when, peer, r->method, r->target, reply->status,
            reply->body.size, (double)took_us / 1000, r->id ? r->id : "-");
}

static void service_end(void *self, const http_request *r, const http_reply *reply) {
    service *s = self;
    int64_t took_us = clock_monotonic(&os_clock_system) - r->started_us;
    server_metrics_count(s->metrics, r->route, reply->status, r->body.size, reply->body.size, took_us);
    if (s->access_log) write_access_line(r, reply, took_us);
}

http_handler service_handler(service *s) {
    return (http_handler){s, service_begin, service_answer, service_finish, service_end};
}
