/* The remote encoder: answers are checked, failures are told, and a service that is down is left alone for a while. */
#include "testing.h"

#include "encode/remote.h"

#include <arpa/inet.h>
#include <math.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void answers_are_read(void **state) {
    (void)state;
    float v[4];
    slice shuffled = SLICE("{\"data\":[{\"index\":1,\"embedding\":[0,2]},{\"index\":0,\"embedding\":[3,4]}]}");
    assert_int_equal(remote_read_answer(shuffled, 2, 2, v, NULL), FORAGE_OK);
    assert_float_equal(v[0], 0.6, 1e-6);
    assert_float_equal(v[3], 1, 1e-6);
    slice coded = SLICE("{\"data\":[{\"embedding\":\"AACAPwAAAAA=\"}]}"); /* 1, 0 */
    assert_int_equal(remote_read_answer(coded, 1, 2, v, NULL), FORAGE_OK);
    assert_true(v[0] == 1 && v[1] == 0);
}

static void wrong_answers_are_refused(void **state) {
    (void)state;
    static const char *const bad[] = {
        "", "<html>", "{}", "{\"data\":{}}", "{\"data\":[]}", "{\"data\":[{\"embedding\":[1]}]}",
        "{\"data\":[{\"embedding\":[1,2,3]}]}",
        "{\"data\":[{\"embedding\":[1,\"2\"]}]}", "{\"data\":[{\"embedding\":[1,1e300]}]}", "{\"data\":[{\"embedding\":[1,null]}]}",
        "{\"data\":[{\"index\":7,\"embedding\":[1,2]}]}", "{\"data\":[{\"embedding\":\"AACAPw\"}]}",
        "{\"data\":[{\"embedding\":\"****\"}]}",
        "{\"data\":[{\"embedding\":[1,2]},{\"embedding\":[1,2]}]}", "{\"data\":[{\"embedding\":[1,2]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        float v[2];
        if (remote_read_answer(slice_of(bad[i]), 1, 2, v, NULL) != FORAGE_E_IO) fail_msg("%s was taken", bad[i]);
    }
}

/* ---- A service of its own ---- */

typedef struct service {
    int listener;
    char url[64];
    const char *answers[8]; /* in turn; then the last again. NULL: says nothing */
    atomic_uint asked;
    pthread_t thread;
} service;

static void *serve(void *self) {
    service *s = self;
    int held[16], n_held = 0;
    for (;;) {
        int c = accept(s->listener, NULL, NULL);
        if (c < 0) break;
        char request[4096];
        if (read(c, request, sizeof request) <= 0) {
            close(c);
            continue;
        }
        unsigned i = atomic_fetch_add(&s->asked, 1);
        const char *answer = s->answers[i < 8 ? i : 7];
        if (!answer && n_held < 16) {
            held[n_held++] = c;
            continue;
        }
        if (answer && write(c, answer, strlen(answer)) < 0) break;
        close(c);
    }
    while (n_held > 0) close(held[--n_held]);
    return NULL;
}

static void begin(service *s) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    s->listener = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(s->listener, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(listen(s->listener, 16), 0);
    assert_int_equal(getsockname(s->listener, (struct sockaddr *)&address, &size), 0);
    snprintf(s->url, sizeof s->url, "http://127.0.0.1:%u/v1/embeddings", ntohs(address.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void end(service *s) {
    shutdown(s->listener, SHUT_RDWR);
    pthread_join(s->thread, NULL);
    close(s->listener);
}

#define HTTP(code, body) "HTTP/1.1 " code "\r\nConnection: close\r\nContent-Type: application/json\r\n\r\n" body
#define GOOD HTTP("200 OK", "{\"data\":[{\"index\":0,\"embedding\":[3,4]}]}")
#define DOWN HTTP("503 Down", "no")

static int64_t time_now;
static int64_t told(void *self) { return (void)self, time_now; }

static encoder *open_at(const char *url, uint32_t timeout_ms, uint32_t tries, const os_clock *clock) {
    encoder *e;
    remote_options options = {.url = url, .model = "m", .dimensions = 2, .timeout_ms = timeout_ms, .tries = tries, .clock = clock};
    assert_int_equal(remote_encoder_open(&options, &e, NULL), FORAGE_OK);
    return e;
}

static forage_status ask(encoder *e, int64_t deadline, float v[2]) {
    slice text = SLICE("hello");
    return encoder_encode(e, ENCODE_QUERY, &text, 1, deadline, v, NULL);
}

static void what_fails_is_tried_again(void **state) {
    (void)state;
    service s = {.answers = {DOWN, HTTP("429 Slow", "x"), GOOD, HTTP("400 Bad", "why"), HTTP("200 OK", "text")}};
    begin(&s);
    encoder *e = open_at(s.url, 2000, 3, NULL);
    float v[2];
    assert_int_equal(ask(e, INT64_MAX, v), FORAGE_OK);
    assert_float_equal(v[1], 0.8, 1e-6);
    assert_int_equal(s.asked, 3);
    assert_int_equal(ask(e, INT64_MAX, v), FORAGE_E_IO); /* a refusal is not repeated */
    assert_int_equal(s.asked, 4);
    assert_int_equal(ask(e, INT64_MAX, v), FORAGE_E_IO);
    encoder_destroy(e);
    end(&s);
}

static void who_says_nothing_is_not_waited_for(void **state) {
    (void)state;
    service s = {.answers = {NULL}};
    begin(&s);
    encoder *e = open_at(s.url, 60000, 3, NULL);
    float v[2];
    int64_t started = clock_monotonic(&os_clock_system);
    assert_int_equal(ask(e, started + 200000, v), FORAGE_E_TIMEOUT);
    assert_true(clock_monotonic(&os_clock_system) - started < 5000000);
    encoder_destroy(e);
    end(&s);
}

static void the_breaker_opens_and_closes(void **state) {
    (void)state;
    service s = {.answers = {DOWN, DOWN, DOWN, DOWN, DOWN, GOOD, GOOD, GOOD}};
    os_clock clock = os_clock_system;
    clock.monotonic = told;
    begin(&s);
    encoder *e = open_at(s.url, 2000, 1, &clock);
    float v[2];
    for (int i = 0; i < REMOTE_BREAKER_AFTER; i++) assert_int_equal(ask(e, INT64_MAX, v), FORAGE_E_IO);
    assert_int_equal(ask(e, INT64_MAX, v), FORAGE_E_IO);
    assert_int_equal(s.asked, REMOTE_BREAKER_AFTER); /* nobody was asked */
    time_now += REMOTE_BREAKER_PAUSE;
    assert_int_equal(ask(e, INT64_MAX, v), FORAGE_OK);
    assert_int_equal(ask(e, INT64_MAX, v), FORAGE_OK);
    encoder_destroy(e);
    end(&s);
}

static void queries_are_remembered(void **state) {
    (void)state;
    service s = {.answers = {DOWN, GOOD, GOOD, GOOD, DOWN, DOWN, DOWN, DOWN}};
    begin(&s);
    encoder *e;
    remote_options options = {.url = s.url, .model = "m", .dimensions = 2, .tries = 1, .cached_queries = 8};
    assert_int_equal(remote_encoder_open(&options, &e, NULL), FORAGE_OK);
    assert_string_equal(e->class->kind, "remote");
    slice other = SLICE("other"), hello = SLICE("hello");
    float v[2] = {0}, w[2];
    assert_int_equal(ask(e, INT64_MAX, v), FORAGE_E_IO); /* a failure is not */
    assert_int_equal(ask(e, INT64_MAX, v), FORAGE_OK);
    assert_int_equal(s.asked, 2);
    assert_int_equal(encoder_encode(e, ENCODE_QUERY, &other, 1, INT64_MAX, w, NULL), FORAGE_OK);
    assert_int_equal(encoder_encode(e, ENCODE_DOCUMENT, &hello, 1, INT64_MAX, w, NULL), FORAGE_OK); /* documents go through */
    assert_int_equal(s.asked, 4);
    /* Known queries are answered while the service is down, and without time. */
    assert_int_equal(encoder_encode(e, ENCODE_DOCUMENT, &hello, 1, INT64_MAX, w, NULL), FORAGE_E_IO);
    w[0] = w[1] = 0;
    assert_int_equal(encoder_encode(e, ENCODE_QUERY, &hello, 1, 0, w, NULL), FORAGE_OK);
    assert_int_equal(s.asked, 5);
    assert_memory_equal(v, w, sizeof v);
    encoder_destroy(e);
    end(&s);
}

static void settings_are_checked(void **state) {
    (void)state;
    encoder *e;
    unsetenv("FORAGE_NO_SUCH_KEY");
    static const remote_options bad[] = {{.url = "file:///etc/passwd", .model = "m", .dimensions = 2}, {.url = "http://x", .dimensions = 2},
                                         {.url = "http://x", .model = "m"},
                                         {.url = "http://x", .model = "m", .dimensions = 2, .key_env = "FORAGE_NO_SUCH_KEY"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) assert_int_equal(remote_encoder_open(&bad[i], &e, NULL), FORAGE_E_INVALID);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_read),          cmocka_unit_test(wrong_answers_are_refused),
        cmocka_unit_test(what_fails_is_tried_again), cmocka_unit_test(who_says_nothing_is_not_waited_for),
        cmocka_unit_test(the_breaker_opens_and_closes), cmocka_unit_test(queries_are_remembered),
        cmocka_unit_test(settings_are_checked)};
    return cmocka_run_group_tests_name("remote", tests, NULL, NULL);
}
