#include "server/http.h"

#include "base/log.h"
#include "os/clock.h"
#include "os/pool.h"

#include <microhttpd.h>
#include <netdb.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define MAX_CONNECTIONS 4096
#define CONNECTION_MEMORY (64 << 10) /* headers and read buffer of one connection; zeroed for each request: no more */
#define MAX_TARGET (8 << 10)
#define MAX_HEADER_BYTES (32 << 10)
#define MAX_FORGOTTEN ((size_t)256 << 20) /* of a refused body; beyond, the connection is cut */
#define BODIES_AT_ONCE 8 /* times the body limit: what all requests together may hold */
#define IDLE_S 30        /* without a byte */
#define SLOWEST_BYTES_PER_S 16384 /* a client slower than this, after the time above, is cut off */

typedef enum phase { HEADERS, BODY, WORK, REPLY } phase;

/* An open connection, so that http_sweep can cut it. */
typedef struct open_connection {
    struct open_connection *next, *previous;
    int fd;
    phase phase;
    int64_t deadline_us; /* monotonic; 0: none, the server is at work */
} open_connection;

/* A request and its reply, from the request line to the last byte. Owned by the network thread, and by one worker while
 * the connection is suspended. */
typedef struct exchange {
    http_server *server;
    http_request request;
    http_reply reply;
    arena memory;
    phase phase;
    bool decided; /* `reply` is the answer; a body is read and forgotten */
    buffer body;
    size_t reserved, received; /* bytes of the body: accounted for, arrived */
} exchange;

struct http_server {
    http_limits limits;
    http_handler handler;
    struct MHD_Daemon *daemon;
    int fd; /* that listens */
    os_pool *pool;
    atomic_uint in_flight, queued, working;
    atomic_bool stopping;
    size_t bodies; /* bytes reserved by all exchanges; network thread only */
    pthread_mutex_t mutex;
    open_connection *connections;
    unsigned n_connections;
};

static int64_t now_us(void) { return clock_monotonic(&os_clock_system); }

static const int64_t allowance_us[] = {[HEADERS] = 60000000, [BODY] = 30000000, [WORK] = 0, [REPLY] = 60000000};

/* The phase that begins, and the bytes that are to be sent or received in it. */
static void set_deadline(struct MHD_Connection *connection, http_server *s, phase next, size_t bytes) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    open_connection *c = info ? info->socket_context : NULL;
    if (!c) return;
    int64_t slowest = (int64_t)(bytes / SLOWEST_BYTES_PER_S) * 1000000;
    pthread_mutex_lock(&s->mutex);
    c->phase = next;
    c->deadline_us = allowance_us[next] ? now_us() + allowance_us[next] + slowest : 0;
    pthread_mutex_unlock(&s->mutex);
}

const char *http_header(const http_request *r, const char *name) {
    return MHD_lookup_connection_value(r->connection, MHD_HEADER_KIND, name);
}

void http_peer(const http_request *r, char *out, size_t size) {
    const union MHD_ConnectionInfo *info = MHD_get_connection_info(r->connection, MHD_CONNECTION_INFO_CLIENT_ADDRESS);
    const struct sockaddr *address = info ? info->client_addr : NULL;
    socklen_t address_size = address && address->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                                       : sizeof(struct sockaddr_in);
    if (!address || getnameinfo(address, address_size, out, (socklen_t)size, NULL, 0, NI_NUMERICHOST) != 0)
        snprintf(out, size, "-");
}

/* ---- One exchange, in the order of its life -------------------------------------------------------------------- */

static void *on_target(void *self, const char *target, struct MHD_Connection *connection) {
    exchange *e = mem_zalloc(1, sizeof *e);
    e->server = self;
    arena_init(&e->memory, 4096);
    e->request.memory = &e->memory;
    e->request.connection = connection;
    e->request.started_us = now_us();
    e->request.method = "";
    e->request.target = arena_strndup(&e->memory, target, strlen(target));
    e->request.path = (slice){e->request.target, strcspn(e->request.target, "?")};
    atomic_fetch_add(&e->server->in_flight, 1);
    return e;
}

static enum MHD_Result add_header_bytes(void *total, enum MHD_ValueKind kind, const char *name, const char *value) {
    (void)kind;
    *(size_t *)total += strlen(name) + (value ? strlen(value) : 0) + 4;
    return MHD_YES;
}

static void refuse(exchange *e, int status, const char *code, const char *message) {
    http_reply_error(&e->request, &e->reply, status, code, "%s", message);
    e->decided = true;
}

static void refuse_size(exchange *e) {
    http_reply_error(&e->request, &e->reply, 413, status_name(FORAGE_E_TOO_LARGE),
                     "the request's body is larger than the limit of %zu bytes; send it in smaller parts",
                     e->server->limits.body);
    e->decided = true;
}

static void refuse_load(exchange *e) {
    refuse(e, 429, status_name(FORAGE_E_OVERLOADED), status_message(FORAGE_E_OVERLOADED));
    http_reply_header(&e->reply, "Retry-After", "1");
}

/* Makes room for the whole body at once; the system gives memory only as it is filled. */
static void reserve_body(exchange *e, size_t size) {
    http_server *s = e->server;
    if (s->bodies + size > s->limits.body * BODIES_AT_ONCE) {
        refuse_load(e);
        return;
    }
    s->bodies += size;
    e->reserved += size;
    if (size) buffer_reserve(&e->body, size + 1);
}

static uint64_t content_length(const exchange *e) {
    const char *length = http_header(&e->request, MHD_HTTP_HEADER_CONTENT_LENGTH);
    return length ? strtoull(length, NULL, 10) : 0;
}

static void check_limits(exchange *e) {
    size_t header_bytes = 0;
    MHD_get_connection_values(e->request.connection, MHD_HEADER_KIND, add_header_bytes, &header_bytes);
    if (atomic_load(&e->server->stopping)) {
        refuse(e, 503, status_name(FORAGE_E_CLOSED), status_message(FORAGE_E_CLOSED));
    } else if (strlen(e->request.target) > MAX_TARGET) {
        refuse(e, 414, "uri_too_long", "the address is longer than the limit of 8192 bytes");
    } else if (header_bytes > MAX_HEADER_BYTES) {
        refuse(e, 431, "headers_too_large", "the headers are larger than the limit of 32768 bytes");
    } else if (content_length(e) > e->server->limits.body) {
        refuse_size(e);
    }
}

static enum MHD_Result send_reply(exchange *e) {
    http_server *s = e->server;
    http_reply *reply = &e->reply;
    s->handler.finish(s->handler.self, &e->request, reply);
    if (reply->close || atomic_load(&s->stopping)) http_reply_header(reply, MHD_HTTP_HEADER_CONNECTION, "close");
    /* libmicrohttpd only reads the body; its type lacks the const. */
    void *body = (void *)(uintptr_t)reply->body.data;
    struct MHD_Response *response =
        MHD_create_response_from_buffer(reply->body.size, body, MHD_RESPMEM_PERSISTENT);
    if (!response) return MHD_NO;
    if (reply->content_type) MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, reply->content_type);
    for (size_t i = 0; i < reply->n_headers; i++)
        MHD_add_response_header(response, reply->headers[i].name, reply->headers[i].value);
    e->phase = REPLY;
    set_deadline(e->request.connection, s, REPLY, reply->body.size);
    enum MHD_Result queued = MHD_queue_response(e->request.connection, (unsigned)reply->status, response);
    MHD_destroy_response(response);
    return queued;
}

static enum MHD_Result begin(exchange *e, const char *method) {
    http_server *s = e->server;
    e->request.method = arena_strndup(&e->memory, method, strlen(method));
    e->phase = BODY;
    check_limits(e);
    if (!e->decided) e->decided = s->handler.begin(s->handler.self, &e->request, &e->reply);
    uint64_t size = content_length(e);
    if (!e->decided) reserve_body(e, (size_t)size);
    const char *expect = http_header(&e->request, MHD_HTTP_HEADER_EXPECT);
    /* Otherwise a refused body is read before the refusal is sent: many clients look at the answer only after they have
     * sent everything, and would see a broken connection instead. */
    bool refuse_now = e->decided && (expect || size > s->limits.body + MAX_FORGOTTEN);
    if (refuse_now && size) e->reply.close = true;
    if (refuse_now) return send_reply(e);
    set_deadline(e->request.connection, s, BODY, size ? (size_t)size : s->limits.body);
    return MHD_YES;
}

static enum MHD_Result receive(exchange *e, const char *data, size_t size) {
    e->received += size;
    if (e->received > e->server->limits.body + MAX_FORGOTTEN) return MHD_NO;
    if (!e->decided && e->received > e->server->limits.body) refuse_size(e);
    if (!e->decided && e->received > e->reserved) {
        size_t more = e->received < 65536 ? 65536 : e->received; /* sent in chunks: the size is not known */
        reserve_body(e, more);
    }
    if (e->decided) buffer_release(&e->body);
    else buffer_append(&e->body, data, size);
    return MHD_YES;
}

static void work(void *argument) {
    exchange *e = argument;
    http_server *s = e->server;
    struct MHD_Connection *connection = e->request.connection;
    atomic_fetch_sub(&s->queued, 1);
    s->handler.answer(s->handler.self, &e->request, &e->reply);
    MHD_resume_connection(connection); /* from here on the exchange is the network thread's again */
    atomic_fetch_sub(&s->working, 1);
}

static enum MHD_Result hand_to_worker(exchange *e) {
    http_server *s = e->server;
    set_deadline(e->request.connection, s, WORK, 0);
    e->request.body = (slice){e->body.data ? buffer_text(&e->body) : "", e->body.size};
    /* Only this thread adds to the queue, so there is still room when the request is submitted. */
    if (atomic_load(&s->queued) >= s->limits.queue) {
        refuse_load(e);
        return send_reply(e);
    }
    e->phase = WORK;
    atomic_fetch_add(&s->queued, 1);
    atomic_fetch_add(&s->working, 1);
    MHD_suspend_connection(e->request.connection);
    os_pool_submit(s->pool, work, e);
    return MHD_YES;
}

static enum MHD_Result on_request(void *self, struct MHD_Connection *connection, const char *url, const char *method,
                                  const char *version, const char *data, size_t *size, void **context) {
    (void)self, (void)connection, (void)url, (void)version;
    exchange *e = *context;
    if (e->phase == HEADERS) return begin(e, method);
    if (e->phase == WORK) return send_reply(e);
    if (*size == 0) return e->decided ? send_reply(e) : hand_to_worker(e);
    enum MHD_Result result = receive(e, data, *size);
    *size = 0;
    return result;
}

static void on_completed(void *self, struct MHD_Connection *connection, void **context,
                         enum MHD_RequestTerminationCode code) {
    (void)code;
    exchange *e = *context;
    if (!e) return;
    http_server *s = self;
    s->handler.end(s->handler.self, &e->request, &e->reply);
    set_deadline(connection, s, HEADERS, 0);
    if (e->reply.release) e->reply.release(e->reply.owner);
    s->bodies -= e->reserved;
    buffer_release(&e->body);
    arena_release(&e->memory);
    free(e);
    *context = NULL;
    atomic_fetch_sub(&s->in_flight, 1);
}

/* ---- Connections ----------------------------------------------------------------------------------------------- */

static void on_connection(void *self, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode code) {
    http_server *s = self;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        const union MHD_ConnectionInfo *info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
        open_connection *c = mem_zalloc(1, sizeof *c);
        c->fd = info ? info->connect_fd : -1;
        c->deadline_us = now_us() + allowance_us[HEADERS];
        pthread_mutex_lock(&s->mutex);
        c->next = s->connections;
        if (c->next) c->next->previous = c;
        s->connections = c;
        s->n_connections++;
        pthread_mutex_unlock(&s->mutex);
        *context = c;
        return;
    }
    open_connection *c = *context;
    pthread_mutex_lock(&s->mutex); /* the socket is still open: http_sweep cannot hit another one with its number */
    if (c->next) c->next->previous = c->previous;
    if (c->previous) c->previous->next = c->next;
    else s->connections = c->next;
    s->n_connections--;
    pthread_mutex_unlock(&s->mutex);
    free(c);
}

/* libmicrohttpd sometimes does not notice that a client left in the middle of a body, which then counts until it times
 * out. */
static bool has_left(const open_connection *c) {
    struct pollfd peer = {.fd = c->fd, .events = POLLRDHUP};
    int unread = 0;
    if (c->phase != BODY || poll(&peer, 1, 0) != 1 || !(peer.revents & POLLRDHUP)) return false;
    return ioctl(c->fd, FIONREAD, &unread) == 0 && unread == 0;
}

void http_sweep(http_server *s) {
    int64_t now = now_us();
    pthread_mutex_lock(&s->mutex);
    for (open_connection *c = s->connections; c; c = c->next)
        if ((c->deadline_us && c->deadline_us < now) || has_left(c)) shutdown(c->fd, SHUT_RDWR);
    pthread_mutex_unlock(&s->mutex);
}

/* ---- Life of the server ---------------------------------------------------------------------------------------- */

static void on_log(void *self, const char *format, va_list arguments) {
    (void)self;
    char line[512];
    vsnprintf(line, sizeof line, format, arguments);
    line[strcspn(line, "\n")] = '\0';
    log_debug("http: %s", line);
}

http_counts http_count(http_server *s) {
    pthread_mutex_lock(&s->mutex);
    unsigned connections = s->n_connections;
    pthread_mutex_unlock(&s->mutex);
    return (http_counts){atomic_load(&s->in_flight), atomic_load(&s->queued), connections};
}

forage_status http_start(int fd, const http_limits *limits, const http_handler *handler, http_server **out,
                         base_error *error) {
    http_server *s = mem_zalloc(1, sizeof *s);
    s->fd = fd;
    s->limits = *limits;
    s->handler = *handler;
    pthread_mutex_init(&s->mutex, NULL);
    s->pool = os_pool_create(limits->workers, limits->queue);
    unsigned flags = MHD_USE_EPOLL_INTERNAL_THREAD | MHD_ALLOW_SUSPEND_RESUME | MHD_USE_ERROR_LOG;
    s->daemon = MHD_start_daemon(flags, 0, NULL, NULL, on_request, s,
        MHD_OPTION_EXTERNAL_LOGGER, on_log, NULL,
        MHD_OPTION_LISTEN_SOCKET, fd,
        MHD_OPTION_CONNECTION_LIMIT, (unsigned)MAX_CONNECTIONS,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY,
        MHD_OPTION_CONNECTION_TIMEOUT, (unsigned)IDLE_S,
        MHD_OPTION_URI_LOG_CALLBACK, on_target, s,
        MHD_OPTION_NOTIFY_COMPLETED, on_completed, s,
        MHD_OPTION_NOTIFY_CONNECTION, on_connection, s,
        MHD_OPTION_END);
    if (s->daemon) {
        *out = s;
        return FORAGE_OK;
    }
    http_destroy(s);
    return error_set(error, FORAGE_E_IO, "the HTTP library did not start; FORAGE_LOG=debug shows why");
}

bool http_drain(http_server *s, int64_t limit_us) {
    atomic_store(&s->stopping, true);
    MHD_quiesce_daemon(s->daemon);
    shutdown(s->fd, SHUT_RDWR); /* refuses connections from now on; closed when the network thread has ended */
    int64_t end = now_us() + limit_us;
    while (atomic_load(&s->in_flight) && now_us() < end) {
        struct timespec pause = {.tv_nsec = 5000000};
        nanosleep(&pause, NULL);
        http_sweep(s);
    }
    return atomic_load(&s->in_flight) == 0 || atomic_load(&s->working) == 0;
}

void http_destroy(http_server *s) {
    if (!s) return;
    if (s->daemon) MHD_stop_daemon(s->daemon);
    if (s->fd >= 0) close(s->fd);
    os_pool_destroy(s->pool);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}
