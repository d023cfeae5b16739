/* A service of embeddings on this machine that answers as a test wants: well, wrongly, slowly or not at all. */
#ifndef EMBEDDING_SERVICE_H
#define EMBEDDING_SERVICE_H

#include "testing.h"

#include "base/memory.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>

typedef enum service_mood {
    SERVICE_GOOD, SERVICE_SLOW, SERVICE_SILENT, SERVICE_DOWN, SERVICE_FEW, SERVICE_MANY, SERVICE_WIDE, SERVICE_NAN, SERVICE_TEXT
} service_mood;

typedef struct embedding_service {
    int listener;
    char url[64];
    atomic_int mood;
    atomic_uint asked;
    int held[64];
    int n_held;
    pthread_t thread;
} embedding_service;

/* Three numbers: how much of the sun, of the moon, and of anything else. */
static inline const char *service_vector(const char *text, size_t size) {
    char copy[512];
    snprintf(copy, sizeof copy, "%.*s", (int)(size < 500 ? size : 500), text);
    return strstr(copy, "sun") ? "1,0.1,0" : strstr(copy, "moon") ? "0.1,1,0" : "0,0.1,1";
}

static inline void service_item(buffer *out, size_t i, service_mood mood, const char *vector) {
    buffer_printf(out, "%s{\"index\":%zu,\"embedding\":[%s%s]}", i ? "," : "", i, mood == SERVICE_NAN ? "NaN,1,1" : vector,
                  mood == SERVICE_WIDE ? ",7" : "");
}

static inline void service_answer(const char *body, service_mood mood, buffer *out) {
    const char *at = strstr(body, "\"input\":["), *end = body + strlen(body);
    size_t n = 0;
    buffer_puts(out, "HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n");
    if (mood == SERVICE_TEXT || !at) {
        buffer_puts(out, "<html>we are moving</html>");
        return;
    }
    buffer_puts(out, "{\"data\":[");
    for (at += 9; at < end && *at == '"'; at += *at == ',') {
        const char *start = ++at;
        while (at < end && *at != '"') at += *at == '\\' ? 2 : 1;
        size_t skipped = mood == SERVICE_FEW, size = (size_t)(at - start);
        if (n >= skipped) service_item(out, n - skipped, mood, service_vector(start, size));
        n++;
        at++;
    }
    if (mood == SERVICE_MANY) service_item(out, n, mood, "1,1,1");
    buffer_puts(out, "]}");
}

static inline void service_serve(embedding_service *s, int c) {
    buffer request = {0}, out = {0};
    char piece[4096];
    size_t wanted = SIZE_MAX;
    for (ssize_t got; request.size < wanted && (got = read(c, piece, sizeof piece)) > 0;) {
        buffer_append(&request, piece, (size_t)got);
        char *text = buffer_text(&request), *body = strstr(text, "\r\n\r\n"), *length = strcasestr(text, "content-length:");
        if (strcasestr(text, "expect: 100") && body && wanted == SIZE_MAX && write(c, "HTTP/1.1 100 Continue\r\n\r\n", 25) < 0) break;
        if (body && length) wanted = (size_t)(body + 4 - text) + strtoul(length + 15, NULL, 10);
    }
    atomic_fetch_add(&s->asked, 1);
    service_mood mood = (service_mood)atomic_load(&s->mood);
    if (mood == SERVICE_SLOW) usleep(100000);
    if (mood == SERVICE_SILENT && s->n_held < 64) {
        s->held[s->n_held++] = c;
    } else {
        const char *body = request.size ? strstr(buffer_text(&request), "\r\n\r\n") : NULL;
        if (mood == SERVICE_DOWN) buffer_puts(&out, "HTTP/1.1 400 Down\r\nConnection: close\r\n\r\nnot today");
        else if (body) service_answer(body + 4, mood, &out);
        for (size_t done = 0; done < out.size;) {
            ssize_t wrote = send(c, out.data + done, out.size - done, MSG_NOSIGNAL);
            if (wrote <= 0) break;
            done += (size_t)wrote;
        }
        close(c);
    }
    buffer_release(&request);
    buffer_release(&out);
}

static inline void *service_run(void *self) {
    embedding_service *s = self;
    for (int c; (c = accept(s->listener, NULL, NULL)) >= 0;) service_serve(s, c);
    while (s->n_held > 0) close(s->held[--s->n_held]);
    return NULL;
}

static inline embedding_service *service_begin(service_mood mood) {
    embedding_service *s = mem_zalloc(1, sizeof *s);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    atomic_store(&s->mood, mood);
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 64), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/v1/embeddings", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, service_run, s), 0);
    return s;
}

static inline void service_end(embedding_service *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
    free(s);
}

#endif
