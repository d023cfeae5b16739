/* What was learned, kept: a saved state and the log since then give it back exactly. */
#include "funnel/answer.h"

#include "base/bytes.h"
#include "base/log.h"

#include <string.h>

#define STATE_FORMAT 3

/* Bytes under STORE_MODELS "learned": u8 format; u64 sequence of the last log record in it; strings policy, ranker, performance,
 * overlap (f32 × 32 strategies × 8 levels), history; counters: u8 strategies, u64 searches, events, then u64 asked, depth, took_us,
 * late, credited for each strategy. */
static void write_counters(const funnel_counters *c, buffer *out) {
    put_u8(out, RETRIEVE_STRATEGIES);
    put_u64(out, c->searches);
    put_u64(out, c->events);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        put_u64(out, c->asked[s]);
        put_u64(out, c->depth[s]);
        put_u64(out, c->took_us[s]);
        put_u64(out, c->late[s]);
        put_u64(out, c->credited[s]);
    }
}

static void read_counters(byte_reader *in, funnel_counters *c) {
    uint8_t n = read_u8(in);
    c->searches = read_u64(in);
    c->events = read_u64(in);
    for (uint32_t s = 0; s < n && s < RETRIEVE_STRATEGIES; s++) {
        c->asked[s] = read_u64(in);
        c->depth[s] = read_u64(in);
        c->took_us[s] = read_u64(in);
        c->late[s] = read_u64(in);
        c->credited[s] = read_u64(in);
    }
}

static void put_part(buffer *part, buffer *out) {
    put_string(out, (slice){part->data, part->size});
    buffer_clear(part);
}

void funnel_write_learners(funnel *f, const funnel_learners *l, buffer *out) {
    buffer part = {0};
    policy_save(l->policy, &part);
    put_part(&part, out);
    ranker_save(l->ranker, &part);
    put_part(&part, out);
    performance_save(l->performance, &part);
    put_part(&part, out);
    pthread_mutex_lock(&f->counters_mutex);
    policy_overlap overlap = *l->overlap;
    pthread_mutex_unlock(&f->counters_mutex);
    put_string(out, (slice){(const char *)&overlap, sizeof overlap});
    buffer_release(&part);
}

/* The line under STORE_MODELS "line": u64 sequence, i64 fell by, for each turn. */
static forage_status save_line(const funnel_line *line, store_txn *t, base_error *error) {
    buffer bytes = {0};
    if (!line->n) return FORAGE_OK;
    for (uint32_t i = 0; i < line->n; i++) {
        put_u64(&bytes, line->turns[i].sequence);
        put_u64(&bytes, (uint64_t)line->turns[i].fell_by);
    }
    forage_status status = store_put(t, STORE_MODELS, SLICE("line"), (slice){bytes.data, bytes.size}, error);
    buffer_release(&bytes);
    return status;
}

forage_status funnel_save_learners(funnel *f, store_txn *t, const funnel_learners *l, const funnel_line *line, base_error *error) {
    buffer state = {0}, part = {0};
    put_u8(&state, STATE_FORMAT);
    put_u64(&state, f->learned_sequence);
    funnel_write_learners(f, l, &state);
    history_save(&f->history, &part);
    put_part(&part, &state);
    write_counters(&f->counters, &state);
    forage_status status = store_put(t, STORE_MODELS, SLICE("learned"), (slice){state.data, state.size}, error);
    buffer_release(&state);
    buffer_release(&part);
    if (!status) status = save_line(line, t, error);
    if (!status) status = behaviour_save(f->behaviour, t, error);
    if (!status) status = funnel_experiment_save(f, t, error);
    return status;
}

forage_status funnel_save_state(funnel *f, store_txn *t, base_error *error) {
    funnel_learners own = funnel_own_learners(f);
    forage_status status = funnel_save_learners(f, t, &own, &f->line, error);
    return status ? status : funnel_keep_sometimes(f, t, error);
}

/* Shares that are none leave what was there. */
static void read_overlap(slice bytes, policy_overlap *out) {
    policy_overlap read;
    if (bytes.size != sizeof read) return;
    memcpy(&read, bytes.data, sizeof read);
    for (uint32_t s = 0; s < POLICY_MAX_STRATEGIES; s++)
        for (uint32_t l = 0; l < POLICY_MAX_LEVELS; l++)
            if (read.alone[s][l] >= 0 && read.alone[s][l] <= 1) out->alone[s][l] = read.alone[s][l];
}

typedef struct parts {
    slice policy, ranker, performance, overlap;
} parts;

static parts read_parts(byte_reader *in) {
    parts p;
    p.policy = read_string(in);
    p.ranker = read_string(in);
    p.performance = read_string(in);
    p.overlap = read_string(in);
    return p;
}

forage_status funnel_read_learners(funnel *f, byte_reader *in, const funnel_learners *l, base_error *error) {
    parts p = read_parts(in);
    if (in->failed) return error_set(error, FORAGE_E_CORRUPT, "cut short");
    forage_status status = policy_load(l->policy, p.policy, error);
    if (!status) status = ranker_load(l->ranker, p.ranker, error);
    if (!status && !performance_load(l->performance, p.performance))
        status = error_set(error, FORAGE_E_CORRUPT, "the strategies' past is damaged");
    if (!status && p.overlap.size != sizeof *l->overlap)
        status = error_set(error, FORAGE_E_INVALID, "the strategies' overlap is of another shape");
    if (status) return status;
    pthread_mutex_lock(&f->counters_mutex);
    read_overlap(p.overlap, l->overlap);
    pthread_mutex_unlock(&f->counters_mutex);
    return FORAGE_OK;
}

#define MOST_FALLEN ((int64_t)1 << 48)

static void load_line(funnel *f, store_txn *t) {
    slice bytes;
    if (store_get(t, STORE_MODELS, SLICE("line"), &bytes)) return;
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    while (read_left(&in) >= 16) {
        uint64_t sequence = read_u64(&in);
        int64_t fell_by = (int64_t)read_u64(&in);
        if (fell_by > -MOST_FALLEN && fell_by < MOST_FALLEN) funnel_line_turn(&f->line, sequence, fell_by);
    }
}

/* A state that cannot be used (another shape, damage) is no loss: the log has everything. */
static bool load_saved(funnel *f, store_txn *t) {
    slice bytes;
    if (store_get(t, STORE_MODELS, SLICE("learned"), &bytes)) return false;
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    funnel_counters counters = {0};
    uint8_t format = read_u8(&in);
    uint64_t sequence = read_u64(&in);
    parts p = read_parts(&in);
    slice past = read_string(&in);
    read_counters(&in, &counters);
    base_error why = {.message = "its bytes are damaged"};
    if (in.failed || format != STATE_FORMAT || policy_load(f->learned, p.policy, &why)) {
        log_warn("collection %s: the saved learning state cannot be used (%s); learning again from the log",
                 collection_name(f->collection), why.message);
        return false;
    }
    if (ranker_load(f->ranker, p.ranker, &why))
        log_warn("collection %s: the saved ranker cannot be used (%s); it starts from its prior",
                 collection_name(f->collection), why.message);
    if (!performance_load(f->performance, p.performance))
        log_warn("collection %s: what was saved of the strategies' past cannot be used; it starts anew", collection_name(f->collection));
    read_overlap(p.overlap, &f->overlap);
    (void)history_load(past, &f->history, NULL); /* without it, the history begins now */
    f->learned_sequence = f->saved_sequence = sequence;
    f->counters = counters;
    return true;
}

typedef struct catching_up {
    funnel *funnel;
    store_txn *t;
    int64_t skipped; /* as for funnel_line_count */
    arena memory;
} catching_up;

static void learn_record(catching_up *c, uint64_t sequence, slice record) {
    funnel *f = c->funnel;
    record_kind kind;
    record_impression impression;
    record_event event;
    if (record_kind_of(record, &kind)) return;
    if (kind == RECORD_IMPRESSION) {
        if (record_read_impression(record, &c->memory, &impression)) return;
        impression.policy_version = funnel_line_count(&f->line, sequence, impression.policy_version, c->skipped);
        funnel_learn_impression(f, &impression);
        funnel_count_shown(f, &impression, &c->memory);
        return;
    }
    if (record_read_event(record, &event) || !funnel_log_impression(c->t, event.impression, &c->memory, &impression)) return;
    impression.policy_version = funnel_line_count(&f->line, event.impression, impression.policy_version, c->skipped);
    funnel_learn_event(f, &impression, &event);
}

static bool see_record(void *self, uint64_t sequence, slice record) {
    catching_up *c = self;
    arena_reset(&c->memory);
    learn_record(c, sequence, record);
    c->funnel->learned_sequence = sequence;
    return true;
}

/* From nothing, what is learned has one count for the whole log, and the line turns where that differs from the last one's. */
static forage_status catch_up(funnel *f, store_txn *t, bool from_nothing, base_error *error) {
    int64_t sum = funnel_line_sum(&f->line);
    catching_up c = {.funnel = f, .t = t, .skipped = from_nothing ? 0 : sum};
    arena_init(&c.memory, 0);
    forage_status status = funnel_log_each(t, f->learned_sequence, see_record, &c, error);
    arena_release(&c.memory);
    if (!status && from_nothing && sum) funnel_line_turn(&f->line, f->learned_sequence, -sum);
    return status;
}

static int64_t half_life_of(const funnel *f) { return (int64_t)(collection_schema(f->collection)->half_life_days * 86400e6); }

static forage_status nothing(store_txn *t, void *self, base_error *error) {
    (void)t, (void)self, (void)error;
    return FORAGE_OK;
}

static void apply_settings(void *self, forage_status status) {
    funnel *f = self;
    if (status) return;
    segment_fields fields = funnel_segment_fields(collection_schema(f->collection));
    query_memory_set_segments(f->memory, &fields);
    funnel_set_budget(f);
    (void)behaviour_set_half_life(f->behaviour, half_life_of(f));
}

/* By the writer thread, whose settings they are. */
forage_status funnel_settings_changed(funnel *f, base_error *error) {
    store_job job = {nothing, apply_settings, f};
    cross_encoder_follow(f->cross);
    return store_write(collection_store(f->collection), &job, error);
}

/* ---- Examination ---- */

#define EXAMINATION SLICE("examination") /* STORE_MODELS: f32 × ranks */

typedef struct looking {
    funnel *funnel;
    float chances[MEMORY_CURVE];
    size_t n;
} looking;

static forage_status keep_looking(store_txn *t, void *self, base_error *error) {
    const looking *l = self;
    return store_put(t, STORE_MODELS, EXAMINATION, (slice){(const char *)l->chances, l->n * sizeof *l->chances}, error);
}

static void look_so(void *self, forage_status status) {
    const looking *l = self;
    if (!status) query_memory_set_examination(l->funnel->memory, l->chances, l->n);
}

forage_status funnel_set_examination(funnel *f, const float *chances, size_t n, base_error *error) {
    looking l = {.funnel = f, .n = n < MEMORY_CURVE ? n : MEMORY_CURVE};
    for (size_t i = 0; i < l.n; i++) {
        if (!(chances[i] > 0 && chances[i] <= 1))
            return error_set(error, FORAGE_E_INVALID, "examination of rank %zu: expected above 0 to 1, got %g", i + 1, (double)chances[i]);
        l.chances[i] = chances[i];
    }
    store_job job = {keep_looking, look_so, &l};
    return store_write(collection_store(f->collection), &job, error);
}

static void load_examination(funnel *f, store_txn *t) {
    float chances[MEMORY_CURVE];
    slice bytes;
    if (store_get(t, STORE_MODELS, EXAMINATION, &bytes) || bytes.size > sizeof chances || bytes.size % sizeof *chances) return;
    size_t n = bytes.size / sizeof *chances;
    memcpy(chances, bytes.data, bytes.size);
    for (size_t i = 0; i < n; i++)
        if (!(chances[i] > 0 && chances[i] <= 1)) return;
    query_memory_set_examination(f->memory, chances, n);
}

forage_status funnel_load_state(funnel *f, base_error *error) {
    store_txn *t;
    forage_status status = store_read_begin(collection_store(f->collection), &t, error);
    if (status) return status;
    slice last;
    f->next_sequence = 1;
    if (store_last_key(t, STORE_LOG, &last) == FORAGE_OK && last.size == 8) f->next_sequence = load_be64(last.data) + 1;
    load_line(f, t);
    load_examination(f, t);
    bool saved = load_saved(f, t);
    status = behaviour_open(t, half_life_of(f), &f->behaviour, error);
    if (!status && !saved) behaviour_forget_shown(f->behaviour);
    funnel_experiment_load(f, t, !saved);
    if (!status) status = models_load(f->models, t, error);
    if (!status) status = catch_up(f, t, !saved, error);
    store_read_end(t);
    return status;
}
