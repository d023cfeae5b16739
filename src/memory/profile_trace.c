#include "memory/profile_trace.h"

#include "base/bytes.h"
#include "memory/predict.h"
#include "memory/translate.h"

#include <stdlib.h>
#include <string.h>
#include <strings.h>

struct profile_trace {
    slice user; /* own copy */
    arena memory;
    slice *sessions; /* open addressing */
    size_t slots, n_sessions;
};

/* Who a record is about. */
typedef struct owner {
    slice user, session;
    record_kind kind;
} owner;

static bool read_owner(slice bytes, arena *a, owner *out) {
    record_impression impression;
    record_event event;
    arena_reset(a);
    if (record_kind_of(bytes, &out->kind)) return false;
    if (out->kind == RECORD_IMPRESSION) {
        if (record_read_impression(bytes, a, &impression)) return false;
        out->user = impression.user;
        out->session = impression.session;
    } else {
        if (record_read_event(bytes, &event)) return false;
        out->user = event.user;
        out->session = event.session;
    }
    return true;
}

/* ---- Sessions ---- */

static slice *session_slot(const profile_trace *trace, slice session) {
    size_t at = hash64(session.data, session.size, 0) & (trace->slots - 1);
    while (trace->sessions[at].size && !slice_equal(trace->sessions[at], session)) at = (at + 1) & (trace->slots - 1);
    return &trace->sessions[at];
}

static void add_session(profile_trace *trace, slice session) {
    if (!session.size || session_slot(trace, session)->size) return;
    if (trace->n_sessions * 2 >= trace->slots) {
        slice *old = trace->sessions;
        size_t n = trace->slots;
        trace->slots = n * 2;
        trace->sessions = mem_zalloc(trace->slots, sizeof *trace->sessions);
        for (size_t i = 0; i < n; i++)
            if (old[i].size) *session_slot(trace, old[i]) = old[i];
        free(old);
    }
    *session_slot(trace, session) = arena_slice(&trace->memory, session);
    trace->n_sessions++;
}

static bool has_session(const profile_trace *trace, slice session) { return session.size && session_slot(trace, session)->size; }

static bool holds(slice bytes, slice text) { return memmem(bytes.data, bytes.size, text.data, text.size) != NULL; }

#define LOOK_FOR 16 /* sessions; more are not looked for in a record before it is read */

static bool holds_any(const profile_trace *trace, slice bytes) {
    bool found = holds(bytes, trace->user);
    for (size_t i = 0; !found && i < trace->slots; i++) found = trace->sessions[i].size && holds(bytes, trace->sessions[i]);
    return found;
}

forage_status profile_trace_create(store_txn *t, slice user, profile_trace **out, base_error *error) {
    if (!user.size) return error_set(error, FORAGE_E_INVALID, "a user's id cannot be empty");
    store_cursor *cursor;
    slice key, value;
    forage_status status = store_cursor_open(t, STORE_LOG, (slice){0}, &cursor, error);
    if (status) return status;
    profile_trace *trace = mem_zalloc(1, sizeof *trace);
    arena scratch;
    arena_init(&trace->memory, 4096);
    arena_init(&scratch, 0);
    trace->user = arena_slice(&trace->memory, user);
    trace->slots = 16;
    trace->sessions = mem_zalloc(trace->slots, sizeof *trace->sessions);
    while (store_cursor_next(cursor, &key, &value)) {
        owner o;
        if (holds(value, user) && read_owner(value, &scratch, &o) && slice_equal(o.user, user)) add_session(trace, o.session);
    }
    store_cursor_close(cursor);
    arena_release(&scratch);
    *out = trace;
    return FORAGE_OK;
}

void profile_trace_destroy(profile_trace *trace) {
    if (!trace) return;
    free(trace->sessions);
    arena_release(&trace->memory);
    free(trace);
}

/* ---- Walking ---- */

/* Bits: how a record concerns the user. */
enum { NAMED = 1, OF_SESSION = 2 /* it names nobody */, SHARED = 4 /* it names somebody else, and their session */, DAMAGED = 8 };

static int concern_of(const profile_trace *trace, slice record, arena *scratch) {
    owner o;
    if (trace->n_sessions <= LOOK_FOR && !holds_any(trace, record)) return 0;
    if (!read_owner(record, scratch, &o)) return holds_any(trace, record) ? DAMAGED : 0;
    if (slice_equal(o.user, trace->user)) return NAMED;
    return !has_session(trace, o.session) ? 0 : o.user.size ? SHARED : OF_SESSION;
}

static bool next(const profile_trace *trace, store_txn *t, int concerns, uint64_t *sequence, slice *record) {
    uint8_t from[8];
    slice key, value;
    store_cursor *cursor;
    arena scratch;
    bool found = false;
    store_be64(from, *sequence + 1);
    if (store_cursor_open(t, STORE_LOG, (slice){(const char *)from, 8}, &cursor, NULL)) return false;
    arena_init(&scratch, 0);
    while (!found && store_cursor_next(cursor, &key, &value)) {
        if (key.size != 8 || !(concern_of(trace, value, &scratch) & concerns)) continue;
        found = true;
        *sequence = load_be64(key.data);
        *record = value;
    }
    store_cursor_close(cursor);
    arena_release(&scratch);
    return found;
}

bool profile_trace_next(const profile_trace *trace, store_txn *t, uint64_t *sequence, slice *record) {
    return next(trace, t, NAMED | OF_SESSION, sequence, record);
}

/* ---- Forgetting ---- */

#define RECORDS_OF_ONE_JOB 256

typedef struct forgetting {
    const profile_trace *trace;
    const uint64_t *sequences;
    size_t n;
    profile_forgotten done;
} forgetting;

static bool is_word(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ((unsigned char)c & 0x80);
}

bool profile_mentions(slice text, slice id) {
    for (size_t i = 0; id.size && i + id.size <= text.size; i++) {
        if (strncasecmp(text.data + i, id.data, id.size) != 0) continue;
        bool starts = i == 0 || !is_word(text.data[i - 1]) || !is_word(id.data[0]);
        bool ends = i + id.size == text.size || !is_word(text.data[i + id.size]) || !is_word(id.data[id.size - 1]);
        if (starts && ends) return true;
    }
    return false;
}

/* The text, or nothing when it says who they are. */
static slice without_ids(const profile_trace *trace, slice text) {
    bool found = profile_mentions(text, trace->user);
    for (size_t i = 0; !found && i < trace->slots; i++) found = profile_mentions(text, trace->sessions[i]);
    return found ? (slice){0} : text;
}

static forage_status anonymise_impression(const profile_trace *trace, store_txn *t, slice bytes, int concern, arena *a, buffer *out,
                                          base_error *error) {
    record_impression r;
    forage_status status = record_read_impression(bytes, a, &r);
    if (status) return status;
    bool asked = r.query.size > 0;
    r.session = (slice){0};
    if (concern != SHARED) {
        r.user = (slice){0};
        r.query = without_ids(trace, r.query);
        r.query_id = without_ids(trace, r.query_id);
        r.context = without_ids(trace, r.context);
        r.filter = without_ids(trace, r.filter);
    }
    record_write_impression(&r, out);
    if (!asked || r.query.size) return FORAGE_OK;
    status = store_delete(t, STORE_QUERIES, (slice){(const char *)r.memory_key.bytes, sizeof r.memory_key.bytes}, error);
    if (!status) status = predict_forget(t, r.memory_key, error);
    if (!status) status = store_delete(t, STORE_MODELS, SLICE(TRANSLATE_MODEL), error); /* it may hold the word; to be trained again */
    return status;
}

static forage_status anonymise_event(const profile_trace *trace, slice bytes, int concern, buffer *out) {
    record_event e;
    forage_status status = record_read_event(bytes, &e);
    if (status) return status;
    e.session = (slice){0};
    e.event_id = concern == SHARED ? without_ids(trace, e.event_id) : (slice){0};
    if (concern != SHARED) {
        e.user = (slice){0};
        e.query_id = without_ids(trace, e.query_id);
    }
    record_write_event(&e, out);
    return FORAGE_OK;
}

static void blank(buffer *bytes, slice id) {
    if (!id.size) return;
    char *end = bytes->data + bytes->size;
    for (char *at = bytes->data; (at = memmem(at, (size_t)(end - at), id.data, id.size)) != NULL; at += id.size)
        memset(at, 0, id.size);
}

static void blank_all(const profile_trace *trace, slice record, buffer *out) {
    buffer_append(out, record.data, record.size);
    blank(out, trace->user);
    for (size_t i = 0; i < trace->slots; i++) blank(out, trace->sessions[i]);
}

static forage_status forget_record(forgetting *f, store_txn *t, uint64_t sequence, arena *a, arena *scratch, base_error *error) {
    uint8_t key_bytes[8];
    slice key = {(const char *)key_bytes, 8}, record;
    buffer anonymous = {0};
    record_kind kind = RECORD_IMPRESSION;
    store_be64(key_bytes, sequence);
    if (store_get(t, STORE_LOG, key, &record)) return FORAGE_OK;
    record = arena_slice(a, record);
    int concern = concern_of(f->trace, record, scratch);
    forage_status status = FORAGE_OK;
    if (concern == DAMAGED) blank_all(f->trace, record, &anonymous);
    else if (!(status = record_kind_of(record, &kind)))
        status = kind == RECORD_EVENT ? anonymise_event(f->trace, record, concern, &anonymous)
                                      : anonymise_impression(f->trace, t, record, concern, a, &anonymous, error);
    if (!status) status = store_put(t, STORE_LOG, key, (slice){anonymous.data, anonymous.size}, error);
    buffer_release(&anonymous);
    bool theirs = concern == NAMED || concern == OF_SESSION;
    f->done.unreadable += concern == DAMAGED;
    f->done.impressions += theirs && kind == RECORD_IMPRESSION;
    f->done.events += theirs && kind == RECORD_EVENT;
    return status;
}

static forage_status forget_apply(store_txn *t, void *self, base_error *error) {
    forgetting *f = self;
    forage_status status = FORAGE_OK;
    arena a, scratch;
    arena_init(&a, 0);
    arena_init(&scratch, 0);
    f->done = (profile_forgotten){0};
    for (size_t i = 0; !status && i < f->n; i++) {
        arena_reset(&a);
        status = forget_record(f, t, f->sequences[i], &a, &scratch, error);
    }
    arena_release(&scratch);
    arena_release(&a);
    return status;
}

static forage_status forget_profile(forgetting *f, store_txn *t, slice user, slice session, base_error *error) {
    hash128 key;
    slice bytes;
    if (!profile_key(user, session, &key) ||
        store_get(t, STORE_PROFILES, (slice){(const char *)key.bytes, sizeof key.bytes}, &bytes))
        return FORAGE_OK;
    f->done.profiles++;
    return profile_erase(t, &key, error);
}

static forage_status forget_profiles_apply(store_txn *t, void *self, base_error *error) {
    forgetting *f = self;
    f->done = (profile_forgotten){0};
    forage_status status = forget_profile(f, t, f->trace->user, (slice){0}, error);
    for (size_t i = 0; !status && i < f->trace->slots; i++)
        if (f->trace->sessions[i].size) status = forget_profile(f, t, (slice){0}, f->trace->sessions[i], error);
    return status;
}

static void add_up(profile_forgotten *sum, const profile_forgotten *part) {
    sum->impressions += part->impressions;
    sum->events += part->events;
    sum->profiles += part->profiles;
    sum->unreadable += part->unreadable;
}

static forage_status run_job(store *s, forgetting *f, forage_status (*apply)(store_txn *, void *, base_error *),
                             profile_forgotten *sum, base_error *error) {
    forage_status status = store_write(s, &(store_job){apply, NULL, f}, error);
    if (!status) add_up(sum, &f->done);
    return status;
}

/* The sequences of records after `*after` that concern the user so, up to `most`; *after becomes the last. */
static forage_status list_records(const profile_trace *trace, store *s, int concerns, uint64_t *after, size_t most, uint64_t *out,
                                  size_t *n, base_error *error) {
    store_txn *t;
    slice record;
    forage_status status = store_read_begin(s, &t, error);
    if (status) return status;
    for (*n = 0; *n < most && next(trace, t, concerns, after, &record); (*n)++) out[*n] = *after;
    store_read_end(t);
    return FORAGE_OK;
}

static forage_status forget_records(const profile_trace *trace, store *s, int concerns, profile_forgotten *sum,
                                    base_error *error) {
    uint64_t sequences[RECORDS_OF_ONE_JOB], after = 0;
    forgetting f = {.trace = trace, .sequences = sequences};
    forage_status status;
    do {
        status = list_records(trace, s, concerns, &after, RECORDS_OF_ONE_JOB, sequences, &f.n, error);
        if (!status && f.n) status = run_job(s, &f, forget_apply, sum, error);
    } while (!status && f.n == RECORDS_OF_ONE_JOB);
    return status;
}

forage_status profile_forget(store *s, slice user, profile_forgotten *out, base_error *error) {
    profile_trace *trace = NULL;
    store_txn *t;
    profile_forgotten sum = {0};
    store_wait(s); /* searches of theirs whose impressions are on their way */
    forage_status status = store_read_begin(s, &t, error);
    if (status) return status;
    status = profile_trace_create(t, user, &trace, error);
    store_read_end(t);
    if (status) return status;
    forgetting f = {.trace = trace};
    /* The records that tell which sessions were theirs come last: whoever forgets again still finds them. */
    status = run_job(s, &f, forget_profiles_apply, &sum, error);
    if (!status && trace->n_sessions) status = forget_records(trace, s, OF_SESSION | SHARED | DAMAGED, &sum, error);
    if (!status) status = forget_records(trace, s, NAMED | (trace->n_sessions ? 0 : DAMAGED), &sum, error);
    if (!status) status = store_scrub(s, error);
    if (!status) *out = sum;
    profile_trace_destroy(trace);
    return status;
}
