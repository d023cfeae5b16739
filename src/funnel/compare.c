/* Experiments: two rankers or two policies compared on the people who search. */
#include "funnel/answer.h"

#include "base/log.h"

#include <stdlib.h>
#include <string.h>

/* The row under STORE_MODELS "experiment": u8 format (1); u8 running; i64 started; string name; u64 salt; u8 kind; string a, b; f64
 * share, split, window, alpha; string state (experiment_save); u64 hash64 (seed 0) of all bytes before it. */
#define FORMAT 1
#define ROW SLICE("experiment")

typedef struct side_of {
    slice ranker, policy; /* one of them is empty */
} side_of;

static bool read_side(slice name, side_of *out) {
    char text[EXPERIMENT_NAME_MAX + 1] = {0};
    *out = (side_of){0};
    if (!name.size || name.size > EXPERIMENT_NAME_MAX) return false;
    memcpy(text, name.data, name.size);
    if (schema_ranker_known(name)) out->ranker = name;
    else if (policy_rule_known(text)) out->policy = name;
    else return false;
    return true;
}

/* ---- On the way of a query ---- */

/* Who takes part, and on which side; before anything is decided. */
void funnel_assign(funnel_answer *a) {
    funnel *f = a->funnel;
    const funnel_request *r = a->request;
    a->experiment = a->rival_name = a->side_ranker = a->side_policy = (slice){0};
    a->side = RECORD_SIDE_NONE;
    bool later = r->page.size || r->offset; /* a page that two rankers share is the first one */
    if (!a->query_id_slice.size || a->n_given || r->ranker.size || r->policy.size) return;
    pthread_mutex_lock(&f->experiment_mutex);
    const experiment_config *c = f->experiment && f->experiment_running ? experiment_config_of(f->experiment) : NULL;
    if (c && !(later && c->kind != EXPERIMENT_AB)) {
        bool interleaved = c->kind != EXPERIMENT_AB;
        slice id = interleaved ? a->query_id_slice : r->user.size ? r->user : r->session.size ? r->session : a->query_id_slice;
        experiment_unit unit = interleaved      ? EXPERIMENT_QUERY
                               : r->user.size    ? EXPERIMENT_USER
                               : r->session.size ? EXPERIMENT_SESSION
                                                 : EXPERIMENT_QUERY;
        experiment_side side = experiment_assign(c, unit, id, NULL);
        side_of mine, other;
        if (side != EXPERIMENT_OUT && read_side(slice_of(c->side[side]), &mine)) {
            a->experiment = arena_slice(&a->memory, slice_of(c->name));
            a->side = interleaved ? RECORD_SIDE_BOTH : side == EXPERIMENT_A ? RECORD_SIDE_A : RECORD_SIDE_B;
            a->side_ranker = arena_slice(&a->memory, mine.ranker);
            a->side_policy = arena_slice(&a->memory, mine.policy);
            a->interleaving = c->kind == EXPERIMENT_OPTIMISED ? INTERLEAVE_OPTIMISED : INTERLEAVE_TEAM_DRAFT;
            if (interleaved && read_side(slice_of(c->side[1]), &other)) a->rival_name = arena_slice(&a->memory, other.ranker);
        }
    }
    pthread_mutex_unlock(&f->experiment_mutex);
}

forage_status funnel_compare(funnel_answer *a, slice otherwise, base_error *error) {
    if (!a->side_ranker.size) return funnel_take_scorer(a, otherwise, &a->scorer, error);
    forage_status status = funnel_take_scorer(a, a->side_ranker, &a->scorer, error);
    if (!status && a->rival_name.size) status = funnel_take_scorer(a, a->rival_name, &a->rival, error);
    if (!status) return FORAGE_OK;
    /* A side whose model is gone: the search goes on without the experiment. */
    funnel_release_scorer(&a->scorer);
    funnel_release_scorer(&a->rival);
    a->experiment = (slice){0};
    a->side = RECORD_SIDE_NONE;
    return funnel_take_scorer(a, otherwise, &a->scorer, error);
}

/* ---- On the way back: the writer thread ---- */

static bool takes_part(const funnel *f, const record_impression *r) {
    return f->experiment && r->experiment.size && r->time >= f->experiment_started &&
           slice_is(r->experiment, experiment_config_of(f->experiment)->name);
}

static uint64_t unit_of(const experiment_config *c, const record_impression *r) {
    bool by_query = c->kind != EXPERIMENT_AB || (!r->user.size && !r->session.size);
    uint64_t key = 0;
    if (by_query) (void)experiment_assign(c, EXPERIMENT_QUERY, r->query_id, &key);
    else if (r->user.size) (void)experiment_assign(c, EXPERIMENT_USER, r->user, &key);
    else (void)experiment_assign(c, EXPERIMENT_SESSION, r->session, &key);
    return key;
}

void funnel_experiment_shown(funnel *f, const record_impression *r) {
    pthread_mutex_lock(&f->experiment_mutex);
    if (takes_part(f, r)) {
        uint64_t key = unit_of(experiment_config_of(f->experiment), r);
        experiment_show(f->experiment, key, r->side == RECORD_SIDE_B ? EXPERIMENT_B : EXPERIMENT_A, r->time);
    }
    pthread_mutex_unlock(&f->experiment_mutex);
}

void funnel_experiment_earned(funnel *f, const record_impression *r, const record_event *e) {
    pthread_mutex_lock(&f->experiment_mutex);
    if (takes_part(f, r)) {
        uint64_t key = unit_of(experiment_config_of(f->experiment), r);
        experiment_reward(f->experiment, key, r->hits[e->hit].lean, e->credit, e->time);
    }
    pthread_mutex_unlock(&f->experiment_mutex);
}

/* ---- Kept ---- */

forage_status funnel_experiment_save(funnel *f, store_txn *t, base_error *error) {
    buffer bytes = {0}, state = {0};
    pthread_mutex_lock(&f->experiment_mutex);
    if (f->experiment) {
        const experiment_config *c = experiment_config_of(f->experiment);
        put_u8(&bytes, FORMAT);
        put_u8(&bytes, f->experiment_running);
        put_u64(&bytes, (uint64_t)f->experiment_started);
        put_string(&bytes, slice_of(c->name));
        put_u64(&bytes, c->salt);
        put_u8(&bytes, (uint8_t)c->kind);
        put_string(&bytes, slice_of(c->side[0]));
        put_string(&bytes, slice_of(c->side[1]));
        put_f64(&bytes, c->share);
        put_f64(&bytes, c->split);
        put_f64(&bytes, c->window);
        put_f64(&bytes, c->alpha);
        experiment_save(f->experiment, &state);
        put_string(&bytes, (slice){state.data, state.size});
        put_u64(&bytes, hash64(bytes.data, bytes.size, 0));
    }
    pthread_mutex_unlock(&f->experiment_mutex);
    forage_status status = bytes.size ? store_put(t, STORE_MODELS, ROW, (slice){bytes.data, bytes.size}, error) : FORAGE_OK;
    buffer_release(&bytes);
    buffer_release(&state);
    return status;
}

/* `fresh`: the log is read again from its beginning, and the experiment counts anew. */
void funnel_experiment_load(funnel *f, store_txn *t, bool fresh) {
    slice bytes;
    char name[EXPERIMENT_NAME_MAX + 1], sides[2][EXPERIMENT_NAME_MAX + 1];
    if (store_get(t, STORE_MODELS, ROW, &bytes) || bytes.size < 16) return;
    byte_reader in = byte_reader_of(bytes.data, bytes.size - 8);
    bool sound = load_le64(bytes.data + bytes.size - 8) == hash64(bytes.data, bytes.size - 8, 0) && read_u8(&in) == FORMAT;
    bool running = read_u8(&in) != 0;
    int64_t started = (int64_t)read_u64(&in);
    slice texts[3] = {read_string(&in)};
    experiment_config c = {.name = name, .salt = read_u64(&in), .kind = (experiment_kind)read_u8(&in), .side = {sides[0], sides[1]}};
    texts[1] = read_string(&in);
    texts[2] = read_string(&in);
    c.share = read_f64(&in);
    c.split = read_f64(&in);
    c.window = read_f64(&in);
    c.alpha = read_f64(&in);
    slice state = read_string(&in);
    for (int i = 0; i < 3; i++) sound = sound && texts[i].size > 0 && texts[i].size <= EXPERIMENT_NAME_MAX;
    experiment *e = NULL;
    for (int i = 0; sound && i < 3; i++) {
        char *to = i ? sides[i - 1] : name;
        memcpy(to, texts[i].data, texts[i].size);
        to[texts[i].size] = 0;
    }
    if (!sound || in.failed || experiment_create(&c, &e, NULL) || (!fresh && experiment_load(e, state, NULL))) {
        log_warn("collection %s: the experiment that was kept cannot be read; it is over", collection_name(f->collection));
        experiment_destroy(e);
        return;
    }
    f->experiment = e;
    f->experiment_running = running;
    f->experiment_started = started;
}

/* ---- Starting and ending ---- */

#define ALREADY_RUNNING "an experiment is running; end it first"

typedef struct starting {
    funnel *funnel;
    experiment *made; /* NULL: the one there is ends */
    bool late;        /* somebody else has started one meanwhile */
} starting;

static forage_status start_apply(store_txn *t, void *self, base_error *error) {
    (void)t, (void)self, (void)error;
    return FORAGE_OK;
}

/* The state is in the writer thread's hands. */
static void start_committed(void *self, forage_status status) {
    starting *s = self;
    funnel *f = s->funnel;
    if (status) return;
    pthread_mutex_lock(&f->experiment_mutex);
    if (s->made && f->experiment && f->experiment_running) {
        s->late = true;
    } else if (s->made) {
        experiment_destroy(f->experiment);
        f->experiment = s->made;
        f->experiment_started = clock_wall(collection_clock(f->collection));
        s->made = NULL;
        f->experiment_running = true;
    } else {
        f->experiment_running = false;
    }
    pthread_mutex_unlock(&f->experiment_mutex);
}

static forage_status keep_apply(store_txn *t, void *self, base_error *error) {
    starting *s = self;
    forage_status status = funnel_save_state(s->funnel, t, error);
    return status;
}

static forage_status put_in_place(funnel *f, experiment *made, base_error *error) {
    starting s = {.funnel = f, .made = made};
    store *db = collection_store(f->collection);
    store_job first = {start_apply, start_committed, &s}, second = {keep_apply, NULL, &s};
    forage_status status = store_write(db, &first, error);
    if (!status && s.late) status = error_set(error, FORAGE_E_EXISTS, ALREADY_RUNNING);
    if (!status) status = store_write(db, &second, error);
    experiment_destroy(s.made);
    return status;
}

forage_status funnel_experiment_start(funnel *f, const experiment_config *config, base_error *error) {
    side_of sides[2];
    experiment *made;
    for (int i = 0; i < 2; i++) {
        slice name = slice_of(config->side[i]);
        if (!read_side(name, &sides[i]))
            return error_set(error, FORAGE_E_INVALID, "\"%s\": \"%.*s\" is no ranker (auto, linear, rrf, model:NUMBER) and no policy",
                             i ? "b" : "a", SLICE_ARG(name));
        arena a;
        arena_init(&a, 0);
        funnel_model found;
        forage_status there = FORAGE_OK;
        if (slice_starts(name, "model:")) there = funnel_model_get(f, strtoull(config->side[i] + 6, NULL, 10), &a, &found, error);
        arena_release(&a);
        if (there) return there;
    }
    if ((sides[0].ranker.size > 0) != (sides[1].ranker.size > 0))
        return error_set(error, FORAGE_E_INVALID, "\"a\" and \"b\": both must be rankers, or both policies");
    if (config->kind != EXPERIMENT_AB && !sides[0].ranker.size)
        return error_set(error, FORAGE_E_INVALID, "\"kind\": policies cannot share a page; compare them by \"ab\"");
    pthread_mutex_lock(&f->experiment_mutex);
    bool running = f->experiment && f->experiment_running;
    pthread_mutex_unlock(&f->experiment_mutex);
    if (running) return error_set(error, FORAGE_E_EXISTS, ALREADY_RUNNING);
    forage_status status = experiment_create(config, &made, error);
    return status ? status : put_in_place(f, made, error);
}

typedef struct forgetting {
    funnel *funnel;
    slice user;
} forgetting;

static forage_status forget_apply(store_txn *t, void *self, base_error *error) {
    const forgetting *w = self;
    funnel *f = w->funnel;
    uint64_t key;
    pthread_mutex_lock(&f->experiment_mutex);
    bool known = f->experiment != NULL;
    if (known) {
        (void)experiment_assign(experiment_config_of(f->experiment), EXPERIMENT_USER, w->user, &key);
        known = experiment_forget(f->experiment, key);
    }
    pthread_mutex_unlock(&f->experiment_mutex);
    return known ? funnel_save_state(f, t, error) : FORAGE_OK; /* as one: the state is of a place in the log */
}

forage_status funnel_experiment_forget(funnel *f, slice user, base_error *error) {
    forgetting w = {f, user};
    store_job job = {forget_apply, NULL, &w};
    return store_write(collection_store(f->collection), &job, error);
}

forage_status funnel_experiment_end(funnel *f, base_error *error) {
    pthread_mutex_lock(&f->experiment_mutex);
    bool running = f->experiment && f->experiment_running;
    pthread_mutex_unlock(&f->experiment_mutex);
    if (!running) return error_set(error, FORAGE_E_NOT_FOUND, "no experiment is running");
    return put_in_place(f, NULL, error);
}

/* A copy as of now: looking must close no unit, or the log read again would give another state. Its caller holds the mutex. */
static experiment *as_of_now(const funnel *f) {
    experiment *copy = NULL;
    buffer state = {0};
    experiment_save(f->experiment, &state);
    if (!experiment_create(experiment_config_of(f->experiment), &copy, NULL) &&
        !experiment_load(copy, (slice){state.data, state.size}, NULL))
        experiment_advance(copy, clock_wall(collection_clock(f->collection)));
    buffer_release(&state);
    return copy;
}

bool funnel_experiment_write(funnel *f, json_writer *w) {
    experiment *copy = NULL;
    pthread_mutex_lock(&f->experiment_mutex);
    bool running = f->experiment_running;
    int64_t started = f->experiment_started;
    if (f->experiment) copy = as_of_now(f);
    pthread_mutex_unlock(&f->experiment_mutex);
    if (!copy) return false;
    json_begin_object(w);
    json_key(w, "running");
    json_bool(w, running);
    json_key(w, "started");
    json_integer(w, started / 1000000);
    json_key(w, "result");
    experiment_describe(copy, w);
    json_end_object(w);
    experiment_destroy(copy);
    return true;
}
