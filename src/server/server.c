#include "server/server.h"

#include "base/log.h"
#include "format/json.h"
#include "server/listen.h"
#include "server/service.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define DEFAULT_LISTEN "127.0.0.1:7700"
#define DEFAULT_BODY_LIMIT ((size_t)64 << 20)
#define DEFAULT_QUEUE 256
#define STOP_LIMIT_US 10000000

static const int stop_signals[] = {SIGTERM, SIGINT};

static sigset_t stop_set(void) {
    sigset_t set;
    sigemptyset(&set);
    for (size_t i = 0; i < 2; i++) sigaddset(&set, stop_signals[i]);
    return set;
}

/* Threads made later inherit the mask, so that only wait_for_stop sees the signals. */
static void hold_signals(void) {
    sigset_t set = stop_set();
    pthread_sigmask(SIG_BLOCK, &set, NULL);
    signal(SIGPIPE, SIG_IGN);
}

/* From here on a signal ends the process at once. */
static void release_signals(void) {
    sigset_t set = stop_set();
    for (size_t i = 0; i < 2; i++) signal(stop_signals[i], SIG_DFL);
    pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

static void wait_for_stop(http_server *server) {
    sigset_t set = stop_set();
    struct timespec second = {.tv_sec = 1};
    while (sigtimedwait(&set, NULL, &second) < 0) http_sweep(server);
}

static void raise_file_limit(void) {
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

static forage_status check_options(const server_options *o, const listen_address *address, base_error *error) {
    if (!address->loopback && !o->api_key)
        return error_set(error, FORAGE_E_INVALID, "%s can be reached from other machines, so an API key is needed: "
                         "give --api-key-file FILE or set FORAGE_API_KEY", address->host);
    for (size_t i = 0; i < o->n_cors; i++) {
        bool any = strcmp(o->cors[i], "*") == 0;
        if (any && !o->api_key)
            return error_set(error, FORAGE_E_INVALID, "--cors \"*\" lets every page call this server, so an API key is "
                             "needed: give --api-key-file FILE or set FORAGE_API_KEY");
        if (!any && !strstr(o->cors[i], "://"))
            return error_set(error, FORAGE_E_INVALID, "--cors \"%s\" is no origin: expected one such as "
                             "https://example.org", o->cors[i]);
    }
    return FORAGE_OK;
}

static http_limits limits_of(const server_options *o) {
    long cores = sysconf(_SC_NPROCESSORS_ONLN);
    unsigned workers = cores > 2 ? (unsigned)cores * 2 : 4;
    return (http_limits){
        .body = o->body_limit ? o->body_limit : DEFAULT_BODY_LIMIT,
        .workers = o->workers ? o->workers : workers,
        .queue = o->queue ? o->queue : DEFAULT_QUEUE,
    };
}

static void announce(const server_options *o, const char *url) {
    if (o->json) {
        buffer line = {0};
        json_writer w = json_writer_of(&line);
        json_begin_object(&w);
        json_key(&w, "version");
        json_text(&w, forage_version());
        json_key(&w, "folder");
        json_text(&w, o->folder);
        json_key(&w, "url");
        json_text(&w, url);
        json_end_object(&w);
        printf("%s\n", buffer_text(&line));
        buffer_release(&line);
    } else {
        printf("Forage %s serves %s at %s (Ctrl-C stops)\n", forage_version(), o->folder, url);
    }
    fflush(stdout);
}

/* The port answers before the folder is open, so that /health/ready can say so while a large index is checked. */
static forage_status serve(const server_options *o, const char *url, service *s, http_server *server,
                           base_error *error) {
    forage_options library = {.threads = o->threads};
    forage_status status = forage_open(o->folder, &library, &s->db, error);
    if (!status) {
        atomic_store(&s->state, SERVICE_READY);
        announce(o, url);
        wait_for_stop(server);
    }
    atomic_store(&s->state, SERVICE_STOPPING);
    release_signals();
    if (http_drain(server, STOP_LIMIT_US)) return status;
    return error_set(error, FORAGE_E_TIMEOUT, "stopped while a request was still in progress after %d seconds; "
                     "what had been acknowledged is safe", STOP_LIMIT_US / 1000000);
}

forage_status server_run(const server_options *o, base_error *error) {
    listen_address address;
    int fd;
    forage_status status = listen_resolve(o->listen ? o->listen : DEFAULT_LISTEN, &address, error);
    if (!status) status = check_options(o, &address, error);
    if (!status) status = listen_open(&address, &fd, error);
    if (status) return status;
    hold_signals();
    raise_file_limit();

    char url[300];
    listen_url(&address, fd, url, sizeof url);
    guard g = {.key = o->api_key, .host = address.host, .origins = o->cors, .n_origins = o->n_cors};
    service *s = service_create(&g, o->access_log);
    http_limits limits = limits_of(o);
    http_handler handler = service_handler(s);
    http_server *server = NULL;
    status = http_start(fd, &limits, &handler, &server, error);
    if (!status) {
        atomic_store(&s->server, server);
        status = serve(o, url, s, server, error);
    }
    if (status == FORAGE_E_TIMEOUT) return status; /* workers still use all of it; the process ends next */
    http_destroy(server);
    forage_close(s->db);
    service_destroy(s);
    return status;
}
