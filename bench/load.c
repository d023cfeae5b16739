/* A load client: clients that each keep one HTTP connection and send the next request when the last is answered.
 *
 *     load HOST PORT PATH BODIES CLIENTS REQUESTS
 *
 * BODIES is a file with one JSON body per line; requests take them in turn, from the first again after the last. Prints
 * one JSON object: rate, latency quantiles in microseconds from the first byte sent to the last received, and errors
 * (an answer other than 200, or a connection that broke). The loop is closed: with all clients waiting, a slow server
 * also slows the questions, so compare latencies at equal numbers of clients only. */
#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

typedef struct load {
    const char *host, *port, *path;
    char **bodies;
    size_t n_bodies, n_requests;
    atomic_size_t next;
    uint32_t *latency; /* microseconds, per request; UINT32_MAX: failed */
} load;

typedef struct client {
    load *l;
    int socket; /* -1: not connected */
    char *out;  /* the request */
    size_t out_capacity;
    char in[64 * 1024]; /* head and as much of the body as fits; the rest is read and dropped */
    uint64_t received;
} client;

static int64_t now_us(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (int64_t)t.tv_sec * 1000000 + t.tv_nsec / 1000;
}

static void die(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void *allocate(size_t count, size_t size) {
    void *p = calloc(count ? count : 1, size);
    if (!p) die("memory");
    return p;
}

static int connect_to(const char *host, const char *port) {
    struct addrinfo hints = {.ai_socktype = SOCK_STREAM}, *found = NULL;
    if (getaddrinfo(host, port, &hints, &found) != 0) return -1;
    int s = -1;
    for (struct addrinfo *a = found; a && s < 0; a = a->ai_next) {
        s = socket(a->ai_family, a->ai_socktype, a->ai_protocol);
        if (s >= 0 && connect(s, a->ai_addr, a->ai_addrlen) != 0) {
            close(s);
            s = -1;
        }
    }
    freeaddrinfo(found);
    int on = 1;
    if (s >= 0) setsockopt(s, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    return s;
}

static bool send_all(int s, const char *data, size_t size) {
    while (size > 0) {
        ssize_t n = send(s, data, size, MSG_NOSIGNAL);
        if (n <= 0 && errno != EINTR) return false;
        if (n > 0) data += n, size -= (size_t)n;
    }
    return true;
}

static const char *header_value(const char *head, const char *name) {
    size_t length = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, name, length) == 0 && line[2 + length] == ':') return line + 3 + length;
    return NULL;
}

/* Reads one whole answer. *close_after: the server said that it closes the connection. */
static int read_answer(client *c, bool *close_after) {
    size_t size = 0;
    char *end = NULL;
    while (!end) {
        if (size + 1 >= sizeof c->in) return -1;
        ssize_t n = recv(c->socket, c->in + size, sizeof c->in - 1 - size, 0);
        if (n <= 0) return -1;
        size += (size_t)n;
        c->in[size] = '\0';
        end = strstr(c->in, "\r\n\r\n");
    }
    size_t body = size - (size_t)(end + 4 - c->in);
    end[2] = '\0';
    const char *length_text = header_value(c->in, "Content-Length"), *connection = header_value(c->in, "Connection");
    int status = strncmp(c->in, "HTTP/1.1 ", 9) == 0 ? atoi(c->in + 9) : -1;
    if (!length_text) return -1;
    *close_after = connection && strncasecmp(connection + strspn(connection, " "), "close", 5) == 0;
    size_t length = strtoull(length_text, NULL, 10);
    while (body < length) {
        size_t want = length - body < sizeof c->in ? length - body : sizeof c->in;
        ssize_t n = recv(c->socket, c->in, want, 0);
        if (n <= 0) return -1;
        body += (size_t)n;
    }
    c->received += size + body;
    return status;
}

static size_t write_request(client *c, const char *body) {
    size_t need = strlen(body) + strlen(c->l->path) + strlen(c->l->host) + 256;
    if (need > c->out_capacity) {
        free(c->out);
        c->out = allocate(need, 1);
        c->out_capacity = need;
    }
    int size = snprintf(
        c->out, c->out_capacity,
        "POST %s HTTP/1.1\r\nHost: %s:%s\r\nContent-Type: application/json\r\nContent-Length: %zu\r\n\r\n%s",
        c->l->path, c->l->host, c->l->port, strlen(body), body);
    return (size_t)size;
}

static uint32_t ask(client *c, const char *body) {
    if (c->socket < 0) c->socket = connect_to(c->l->host, c->l->port);
    if (c->socket < 0) return UINT32_MAX;
    size_t size = write_request(c, body);
    bool close_after = true;
    int64_t start = now_us();
    int status = send_all(c->socket, c->out, size) ? read_answer(c, &close_after) : -1;
    int64_t took = now_us() - start;
    if (status < 0 || close_after) {
        close(c->socket);
        c->socket = -1;
    }
    return status == 200 ? (uint32_t)took : UINT32_MAX;
}

static void *run_client(void *argument) {
    client *c = argument;
    load *l = c->l;
    c->socket = connect_to(l->host, l->port);
    for (size_t i; (i = atomic_fetch_add(&l->next, 1)) < l->n_requests;)
        l->latency[i] = ask(c, l->bodies[i % l->n_bodies]);
    if (c->socket >= 0) close(c->socket);
    free(c->out);
    return NULL;
}

static void read_bodies(load *l, const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) die(path);
    char *line = NULL;
    size_t room = 0, capacity = 0;
    for (ssize_t n; (n = getline(&line, &room, file)) > 0;) {
        if (line[n - 1] == '\n') line[n - 1] = '\0';
        if (l->n_bodies == capacity) {
            capacity = capacity ? 2 * capacity : 1024;
            l->bodies = realloc(l->bodies, capacity * sizeof *l->bodies);
            if (!l->bodies) die("memory");
        }
        l->bodies[l->n_bodies] = strdup(line);
        if (!l->bodies[l->n_bodies++]) die("memory");
    }
    free(line);
    fclose(file);
    if (l->n_bodies == 0) die("no bodies");
}

static int by_value(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The smallest latency that is not below a fraction q of them. */
static uint32_t quantile(const uint32_t *sorted, size_t n, double q) {
    size_t rank = (size_t)(q * (double)n);
    return n ? sorted[rank < n ? rank : n - 1] : 0;
}

static void print_result(load *l, size_t clients, double seconds, uint64_t received) {
    qsort(l->latency, l->n_requests, sizeof *l->latency, by_value); /* failures sort last */
    size_t good = l->n_requests;
    while (good > 0 && l->latency[good - 1] == UINT32_MAX) good--;
    double sum = 0;
    for (size_t i = 0; i < good; i++) sum += l->latency[i];
    printf("{\"clients\": %zu, \"requests\": %zu, \"errors\": %zu, \"seconds\": %.3f, \"per_second\": %.1f, "
           "\"bytes\": %llu, \"mean_us\": %.1f, \"p50_us\": %u, \"p90_us\": %u, \"p99_us\": %u, \"p999_us\": %u, "
           "\"max_us\": %u}\n",
           clients, l->n_requests, l->n_requests - good, seconds, (double)good / seconds, (unsigned long long)received,
           good ? sum / (double)good : 0.0, quantile(l->latency, good, 0.5), quantile(l->latency, good, 0.9),
           quantile(l->latency, good, 0.99), quantile(l->latency, good, 0.999), good ? l->latency[good - 1] : 0);
}

int main(int argc, char **argv) {
    if (argc != 7) {
        fprintf(stderr, "usage: load HOST PORT PATH BODIES CLIENTS REQUESTS\n");
        return 2;
    }
    load l = {.host = argv[1], .port = argv[2], .path = argv[3], .n_requests = strtoull(argv[6], NULL, 10)};
    size_t n_clients = strtoull(argv[5], NULL, 10);
    if (n_clients == 0 || l.n_requests == 0) {
        fprintf(stderr, "load: CLIENTS and REQUESTS are at least 1\n");
        return 2;
    }
    read_bodies(&l, argv[4]);
    l.latency = allocate(l.n_requests, sizeof *l.latency);
    client *clients = allocate(n_clients, sizeof *clients);
    pthread_t *threads = allocate(n_clients, sizeof *threads);

    int64_t start = now_us();
    for (size_t i = 0; i < n_clients; i++) {
        clients[i].l = &l;
        if (pthread_create(&threads[i], NULL, run_client, &clients[i]) != 0) die("thread");
    }
    uint64_t received = 0;
    for (size_t i = 0; i < n_clients; i++) {
        pthread_join(threads[i], NULL);
        received += clients[i].received;
    }
    print_result(&l, n_clients, (double)(now_us() - start) / 1e6, received);

    for (size_t i = 0; i < l.n_bodies; i++) free(l.bodies[i]);
    free(l.bodies);
    free(l.latency);
    free(clients);
    free(threads);
    return 0;
}
