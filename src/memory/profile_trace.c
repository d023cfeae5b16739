#include "memory/profile_trace.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>

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

static bool holds(slice bytes, slice text) { return memmem(bytes.data, bytes.size, text.data, text.size) != NULL; }

static bool is_theirs(const profile_trace *trace, const owner *o) {
    if (o->user.size) return slice_equal(o->user, trace->user);
    return o->session.size && session_slot(trace, o->session)->size;
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

/* A record that cannot be read is theirs when the id is in it. */
static bool next(const profile_trace *trace, store_txn *t, uint64_t *sequence, slice *record, bool damaged_too) {
    uint8_t from[8];
    slice key, value;
    store_cursor *cursor;
    arena scratch;
    bool found = false;
    store_be64(from, *sequence + 1);
    if (store_cursor_open(t, STORE_LOG, (slice){(const char *)from, 8}, &cursor, NULL)) return false;
    arena_init(&scratch, 0);
    while (!found && store_cursor_next(cursor, &key, &value)) {
        owner o;
        bool named = holds(value, trace->user);
        if (key.size != 8 || (!named && !trace->n_sessions)) continue;
        found = read_owner(value, &scratch, &o) ? is_theirs(trace, &o) : named && damaged_too;
        if (!found) continue;
        *sequence = load_be64(key.data);
        *record = value;
    }
    store_cursor_close(cursor);
    arena_release(&scratch);
    return found;
}

bool profile_trace_next(const profile_trace *trace, store_txn *t, uint64_t *sequence, slice *record) {
    return next(trace, t, sequence, record, false);
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

/* The text, or nothing when the id stands in it as a word: "7" is not in "1789". */
static slice without(slice text, slice id) {
    for (size_t i = 0; i + id.size <= text.size; i++) {
        if (memcmp(text.data + i, id.data, id.size) != 0) continue;
        bool starts = i == 0 || !is_word(text.data[i - 1]) || !is_word(id.data[0]);
        bool ends = i + id.size == text.size || !is_word(text.data[i + id.size]) || !is_word(id.data[id.size - 1]);
        if (starts && ends) return (slice){0};
    }
    return text;
}

static bool anonymise(slice bytes, slice user, arena *a, buffer *out, record_kind *kind) {
    record_impression impression;
    record_event event;
    if (record_kind_of(bytes, kind)) return false;
    if (*kind == RECORD_IMPRESSION) {
        if (record_read_impression(bytes, a, &impression)) return false;
        impression.user = impression.session = (slice){0};
        impression.query = without(impression.query, user);
        impression.query_id = without(impression.query_id, user);
        impression.context = without(impression.context, user);
        record_write_impression(&impression, out);
    } else {
        if (record_read_event(bytes, &event)) return false;
        event.user = event.session = event.event_id = (slice){0};
        event.query_id = without(event.query_id, user);
        record_write_event(&event, out);
    }
    return true;
}

static void blank(char *bytes, size_t size, slice text) {
    for (char *at; (at = memmem(bytes, size, text.data, text.size)) != NULL;) memset(at, 0, text.size);
}

static forage_status forget_record(forgetting *f, store_txn *t, uint64_t sequence, arena *a, base_error *error) {
    uint8_t key_bytes[8];
    slice key = {(const char *)key_bytes, 8}, record;
    buffer anonymous = {0};
    record_kind kind = RECORD_IMPRESSION;
    store_be64(key_bytes, sequence);
    if (store_get(t, STORE_LOG, key, &record)) return FORAGE_OK;
    record = arena_slice(a, record);
    bool readable = anonymise(record, f->trace->user, a, &anonymous, &kind);
    /* First the same number of bytes, which the store writes where the old ones are: a shorter value alone would leave the
     * old one's end in the page. */
    char *old = arena_alloc(a, record.size + 1);
    if (readable) memset(old, 0, record.size);
    else {
        memcpy(old, record.data, record.size);
        blank(old, record.size, f->trace->user);
    }
    forage_status status = store_put(t, STORE_LOG, key, (slice){old, record.size}, error);
    if (!status && readable) status = store_put(t, STORE_LOG, key, (slice){anonymous.data, anonymous.size}, error);
    buffer_release(&anonymous);
    f->done.unreadable += !readable;
    f->done.impressions += readable && kind == RECORD_IMPRESSION;
    f->done.events += readable && kind == RECORD_EVENT;
    return status;
}

static forage_status forget_apply(store_txn *t, void *self, base_error *error) {
    forgetting *f = self;
    forage_status status = FORAGE_OK;
    arena a;
    arena_init(&a, 0);
    f->done = (profile_forgotten){0};
    for (size_t i = 0; !status && i < f->n; i++) {
        arena_reset(&a);
        status = forget_record(f, t, f->sequences[i], &a, error);
    }
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

/* The sequences of the user's records after `*after`, up to `most`; *after becomes the last. */
static forage_status list_records(const profile_trace *trace, store *s, uint64_t *after, size_t most, uint64_t *out, size_t *n,
                                  base_error *error) {
    store_txn *t;
    slice record;
    forage_status status = store_read_begin(s, &t, error);
    if (status) return status;
    for (*n = 0; *n < most && next(trace, t, after, &record, true); (*n)++) out[*n] = *after;
    store_read_end(t);
    return FORAGE_OK;
}

forage_status profile_forget(store *s, slice user, profile_forgotten *out, base_error *error) {
    profile_trace *trace = NULL;
    store_txn *t;
    uint64_t sequences[RECORDS_OF_ONE_JOB], after = 0;
    profile_forgotten sum = {0};
    size_t n = 0;
    store_wait(s); /* searches of theirs whose impressions are on their way */
    forage_status status = store_read_begin(s, &t, error);
    if (status) return status;
    status = profile_trace_create(t, user, &trace, error);
    store_read_end(t);
    if (status) return status;
    forgetting f = {.trace = trace};
    do {
        status = list_records(trace, s, &after, RECORDS_OF_ONE_JOB, sequences, &n, error);
        f.sequences = sequences;
        f.n = n;
        if (!status && n) status = store_write(s, &(store_job){forget_apply, NULL, &f}, error);
        if (!status && n) add_up(&sum, &f.done);
    } while (!status && n == RECORDS_OF_ONE_JOB);
    if (!status) status = store_write(s, &(store_job){forget_profiles_apply, NULL, &f}, error);
    if (!status) add_up(&sum, &f.done);
    if (!status) *out = sum;
    profile_trace_destroy(trace);
    return status;
}
