/* Training a ranker from the log: started, watched, stopped. */
#include "api/trainings.h"

#include "api/call.h"
#include "base/log.h"
#include "feedback/timestamp.h"
#include "train/train.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

struct training {
    forage_collection *owner;
    pthread_mutex_t mutex; /* of everything below but `stop` */
    pthread_cond_t ended;
    pthread_t thread;
    bool started, running; /* started: there is a thread to be joined */
    atomic_bool stop;
    atomic_uint_fast64_t events; /* since the last one began */
    train_progress progress;
    int64_t began, finished; /* wall clock; 0: never */
    forage_status status;
    base_error error;
    train_result result;
    char *request; /* JSON */
    size_t request_size;
};

training *training_create(forage_collection *c) {
    training *t = mem_zalloc(1, sizeof *t);
    t->owner = c;
    pthread_mutex_init(&t->mutex, NULL);
    pthread_cond_init(&t->ended, NULL);
    return t;
}

static void join(training *t) {
    if (t->started) pthread_join(t->thread, NULL);
    t->started = false;
}

void training_destroy(training *t) {
    if (!t) return;
    atomic_store(&t->stop, true);
    join(t);
    buffer_release(&t->result.report);
    free(t->request);
    pthread_mutex_destroy(&t->mutex);
    pthread_cond_destroy(&t->ended);
    free(t);
}

void training_stop(training *t) { atomic_store(&t->stop, true); }

/* ---- The run ---- */

static bool watch(void *self, const train_progress *p) {
    training *t = self;
    pthread_mutex_lock(&t->mutex);
    t->progress = *p;
    pthread_mutex_unlock(&t->mutex);
    return !atomic_load(&t->stop);
}

typedef struct people {
    forage_collection *owner;
    const json_value *queries, *judgments;
} people;

static forage_status ask_people(void *self, const char *ranker, double *ndcg, base_error *error) {
    people *p = self;
    return api_ndcg_of(p->owner, p->queries, p->judgments, slice_of(ranker), ndcg, error);
}

static forage_status settings_of(training *t, arena *a, train_settings *settings, people *judges, base_error *error) {
    json_value *json;
    train_settings_default(settings);
    settings->memory = (size_t)collection_schema(t->owner->collection)->ranking.memory_mb << 20;
    forage_status status = json_read(a, (slice){t->request, t->request_size}, &json, error);
    if (!status) status = train_settings_read(json, settings, error);
    if (status) return status;
    judges->queries = json_get(json, "queries");
    judges->judgments = json_get(json, "judgments");
    if ((judges->queries != NULL) != (judges->judgments != NULL))
        return error_set(error, FORAGE_E_INVALID, "\"judgments\" and \"queries\" belong together");
    if (judges->judgments) {
        settings->judge = ask_people;
        settings->judge_self = judges;
    }
    return FORAGE_OK;
}

static void *run(void *self) {
    training *t = self;
    arena a;
    train_settings settings;
    people judges = {.owner = t->owner};
    train_result result = {0};
    base_error error = {0};
    arena_init(&a, 0);
    forage_status status = settings_of(t, &a, &settings, &judges, &error);
    if (!status) status = train_run(t->owner->funnel, &settings, watch, t, &result, &error);
    arena_release(&a);
    if (status) log_warn("collection %s: training ended: %s", t->owner->name, error.message);
    pthread_mutex_lock(&t->mutex);
    buffer_release(&t->result.report);
    t->result = result;
    t->status = status;
    t->error = error;
    t->finished = clock_wall(collection_clock(t->owner->collection));
    t->running = false;
    pthread_cond_broadcast(&t->ended);
    pthread_mutex_unlock(&t->mutex);
    return NULL;
}

/* What the request says is checked before a thread is made. */
static forage_status start(training *t, slice request, base_error *error) {
    arena a;
    train_settings settings;
    people judges = {0};
    arena_init(&a, 0);
    pthread_mutex_lock(&t->mutex);
    forage_status status = FORAGE_OK;
    if (t->running)
        status = error_set(error, FORAGE_E_EXISTS, "a training is running already; GET …/train tells how far it is, DELETE …/train "
                           "stops it");
    if (!status) {
        join(t);
        free(t->request);
        t->request = mem_alloc(request.size + 1);
        memcpy(t->request, request.data, request.size);
        t->request_size = request.size;
        status = settings_of(t, &a, &settings, &judges, error);
    }
    if (!status) {
        atomic_store(&t->stop, false);
        atomic_store(&t->events, 0);
        t->progress = (train_progress){.train = NAN, .valid = NAN};
        t->began = clock_wall(collection_clock(t->owner->collection));
        t->running = t->started = true;
        if (pthread_create(&t->thread, NULL, run, t)) {
            t->running = t->started = false;
            status = error_set(error, FORAGE_E_OVERLOADED, "no thread could be made for the training");
        }
    }
    pthread_mutex_unlock(&t->mutex);
    arena_release(&a);
    return status;
}

void training_count(training *t, uint64_t events) {
    uint64_t every = collection_schema(t->owner->collection)->ranking.train_every;
    uint64_t seen = atomic_fetch_add(&t->events, events) + events;
    base_error why;
    if (!every || seen < every) return;
    atomic_store(&t->events, 0);
    if (start(t, SLICE("{}"), &why) && why.status != FORAGE_E_EXISTS)
        log_warn("collection %s: training could not begin: %s", t->owner->name, why.message);
}

/* ---- Telling ---- */

static void write_time(json_writer *w, const char *key, int64_t time) {
    char text[TIMESTAMP_SIZE];
    json_key(w, key);
    if (!time) {
        json_null(w);
        return;
    }
    timestamp_write(time, text);
    json_text(w, text);
}

static const char *state_of(const training *t) {
    if (t->running) return "running";
    if (!t->began) return "never";
    return t->status ? "failed" : t->result.cancelled ? "cancelled" : "done";
}

static void write_state(training *t, json_writer *w) {
    const train_progress *p = &t->progress;
    json_begin_object(w);
    json_key(w, "state");
    json_text(w, state_of(t));
    write_time(w, "started", t->began);
    if (t->running) {
        json_key(w, "phase");
        json_text(w, train_phase_name(p->phase));
        json_key(w, "share");
        json_float(w, p->share);
        json_key(w, "trees");
        json_integer(w, p->round);
        json_key(w, "ndcg");
        json_number(w, p->train);
        json_key(w, "validation_ndcg");
        json_number(w, p->valid);
    } else if (t->began) {
        write_time(w, "finished", t->finished);
    }
    if (!t->running && t->status) {
        json_key(w, "error");
        json_text(w, t->error.message);
    }
    if (!t->running && t->result.model) {
        json_key(w, "model");
        json_integer(w, (int64_t)t->result.model);
        json_key(w, "activated");
        json_bool(w, t->result.activated);
        json_key(w, "report");
        json_raw(w, (slice){t->result.report.data, t->result.report.size});
    }
    json_end_object(w);
}

static void write_locked(training *t, json_writer *w) {
    pthread_mutex_lock(&t->mutex);
    write_state(t, w);
    pthread_mutex_unlock(&t->mutex);
}

/* ---- Routes ---- */

forage_status api_post_train(api_call *c, base_error *error) {
    json_value *json;
    bool wait = false;
    training *t = c->entry->training;
    if (c->db->options.read_only) return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    forage_status status = api_body(c, &json, error);
    if (!status && json->type != JSON_OBJECT) status = error_set(error, FORAGE_E_INVALID, "expected an object");
    if (!status) status = json_member_bool(json, "wait", &wait, error);
    slice body = {c->request->body, c->request->body_size};
    if (!status) status = start(t, body.size ? body : SLICE("{}"), error);
    if (status) return status;
    pthread_mutex_lock(&t->mutex);
    while (wait && t->running) pthread_cond_wait(&t->ended, &t->mutex);
    forage_status outcome = wait ? t->status : FORAGE_OK;
    if (outcome) error_set(error, outcome, "%s", t->error.message);
    else write_state(t, &c->json);
    pthread_mutex_unlock(&t->mutex);
    if (!wait) c->http = 202;
    return outcome;
}

forage_status api_get_train(api_call *c, base_error *error) {
    (void)error;
    write_locked(c->entry->training, &c->json);
    return FORAGE_OK;
}

forage_status api_delete_train(api_call *c, base_error *error) {
    training *t = c->entry->training;
    pthread_mutex_lock(&t->mutex);
    bool running = t->running;
    if (running) atomic_store(&t->stop, true);
    while (t->running) pthread_cond_wait(&t->ended, &t->mutex);
    pthread_mutex_unlock(&t->mutex);
    if (!running) return error_set(error, FORAGE_E_NOT_FOUND, "no training is running");
    write_locked(t, &c->json);
    return FORAGE_OK;
}

forage_status api_get_training_data(api_call *c, base_error *error) {
    train_settings settings;
    train_settings_default(&settings);
    settings.memory = (size_t)collection_schema(c->entry->collection)->ranking.memory_mb << 20;
    forage_status status = train_export(c->entry->funnel, &settings, &c->body, error);
    c->content_type = "text/plain; charset=utf-8";
    return status;
}

forage_status api_get_examination(api_call *c, base_error *error) {
    examination_method method = EXAMINATION_HARVEST;
    slice name = api_parameter_of(c, "method");
    examination_curve *curve = arena_alloc(&c->memory, sizeof *curve);
    if (name.size && !examination_method_named(arena_strndup(&c->memory, name.data, name.size), &method))
        return error_set(error, FORAGE_E_INVALID, "\"method\": there is no \"%.*s\"; use harvest, all-pairs, adjacent, pivot or "
                         "regression-em",
                         SLICE_ARG(name));
    forage_status status = train_examination(c->entry->funnel, method, curve, error);
    if (!status) examination_write_json(&c->json, curve);
    return status;
}

forage_status api_get_shadow(api_call *c, base_error *error) { return train_shadow(c->entry->funnel, &c->json, error); }
