#include "cli/waiting.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

typedef struct waiting {
    client *client;
    arena *memory;
    const char *target;
    slice body, *text;
    json_value **out;
    int status;
    atomic_bool done;
} waiting;

static void *wait_for_answer(void *self) {
    waiting *w = self;
    w->status = client_json(w->client, w->memory, "POST", w->target, w->body, w->out, w->text);
    atomic_store(&w->done, true);
    return NULL;
}

int client_json_watched(client *c, arena *memory, const char *target, slice body, client_look look, void *self,
                        unsigned every_us, json_value **out, slice *text) {
    waiting w = {.client = c, .memory = memory, .target = target, .body = body, .text = text, .out = out};
    pthread_t thread;
    if (!look || pthread_create(&thread, NULL, wait_for_answer, &w)) {
        wait_for_answer(&w);
        return w.status;
    }
    for (bool looking = true; looking && !atomic_load(&w.done);) {
        usleep(every_us);
        looking = look(self);
    }
    pthread_join(thread, NULL);
    return w.status;
}
