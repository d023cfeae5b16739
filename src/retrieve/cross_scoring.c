#include "retrieve/cross_scoring.h"

#include "os/clock.h"

#include <pthread.h>
#include <stdlib.h>

/* Shared with helpers, of which the last may come when the search is long over: then all they find here is `closed`. */
typedef struct scoring {
    pthread_mutex_t mutex; /* of all */
    pthread_cond_t idle;
    unsigned references, working;
    bool closed, late;
    const cross_pairs *pairs; /* the search's own: looked at by who counts among the working */
    size_t next;
    int64_t longest; /* that a pair took so far, microseconds */
    forage_status status;
    base_error error;
} scoring;

static int64_t now(void) { return clock_monotonic(&os_clock_system); }

/* Takes the next pair, if it is expected to be done in time: the first is begun without expectations, so that one slow pair says
 * nothing about later searches. The mutex is held. */
static bool take(scoring *s, size_t *out) {
    if (s->closed || s->status || s->next == s->pairs->n) return false;
    if (now() + s->longest >= s->pairs->deadline) {
        s->late = true;
        return false;
    }
    *out = s->next++;
    return true;
}

static void work(scoring *s) {
    size_t i;
    pthread_mutex_lock(&s->mutex);
    s->working++;
    while (take(s, &i)) {
        const cross_pairs *p = s->pairs;
        base_error error = {0};
        float score;
        pthread_mutex_unlock(&s->mutex);
        int64_t began = now();
        forage_status status = bert_score_pairs(p->model, p->query, &p->texts[i], 1, INT64_MAX, &score, NULL, &error);
        int64_t took = now() - began;
        pthread_mutex_lock(&s->mutex);
        if (took > s->longest) s->longest = took;
        if (!status) p->scores[i] = score;
        else if (!s->status) s->status = status, s->error = error;
    }
    if (--s->working == 0) pthread_cond_broadcast(&s->idle);
    pthread_mutex_unlock(&s->mutex);
}

static void release(scoring *s) {
    pthread_mutex_lock(&s->mutex);
    unsigned left = --s->references;
    pthread_mutex_unlock(&s->mutex);
    if (left) return;
    pthread_cond_destroy(&s->idle);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static void help(void *argument) {
    work(argument);
    release(argument);
}

static void ask_for_help(scoring *s, os_pool *helpers, size_t n) {
    size_t most = helpers ? os_pool_threads(helpers) : 0;
    for (size_t i = 0; i < most && i + 1 < n; i++) {
        pthread_mutex_lock(&s->mutex);
        s->references++;
        pthread_mutex_unlock(&s->mutex);
        if (os_pool_submit(helpers, help, s)) continue;
        release(s);
        return;
    }
}

forage_status cross_score_pairs(const cross_pairs *p, os_pool *helpers, bool *late, base_error *error) {
    scoring *s = mem_zalloc(1, sizeof *s);
    pthread_mutex_init(&s->mutex, NULL);
    pthread_cond_init(&s->idle, NULL);
    s->references = 1;
    s->pairs = p;
    ask_for_help(s, helpers, p->n);
    work(s);
    pthread_mutex_lock(&s->mutex);
    s->closed = true;
    while (s->working) pthread_cond_wait(&s->idle, &s->mutex);
    *late = s->late;
    forage_status status = s->status;
    if (status && error) *error = s->error;
    pthread_mutex_unlock(&s->mutex);
    release(s);
    return status;
}
