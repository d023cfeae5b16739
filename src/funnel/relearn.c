/* Learning again from the log, and putting what was learned elsewhere in the place of what serves. */
#include "funnel/answer.h"

#include "base/log.h"

#include <string.h>

/* ---- The line ---- */

int64_t funnel_line_sum(const funnel_line *line) {
    int64_t sum = 0;
    for (uint32_t i = 0; i < line->n; i++) sum += line->turns[i].fell_by;
    return sum;
}

/* When there are too many, the two oldest become one. */
void funnel_line_turn(funnel_line *line, uint64_t sequence, int64_t fell_by) {
    if (!fell_by) return;
    if (line->n == FUNNEL_MOST_TURNS) {
        line->turns[1].fell_by += line->turns[0].fell_by;
        memmove(line->turns, line->turns + 1, --line->n * sizeof *line->turns);
    }
    line->turns[line->n++] = (funnel_turn){sequence, fell_by};
}

#define MOST_COUNT ((uint64_t)1 << 60)

uint64_t funnel_line_count(const funnel_line *line, uint64_t sequence, uint64_t version, int64_t skipped) {
    if (!version) return 0;
    int64_t count = (int64_t)(version < MOST_COUNT ? version : MOST_COUNT) - skipped;
    for (uint32_t i = 0; i < line->n; i++)
        if (line->turns[i].sequence < sequence) count += line->turns[i].fell_by;
    return count < 1 ? 1 : (uint64_t)count;
}

uint64_t funnel_line_now(const funnel_line *line, uint64_t sequence, uint64_t version) {
    return funnel_line_count(line, sequence, version, funnel_line_sum(line));
}

/* ---- Teaching from the log ---- */

static void teach_impression(funnel_swap *s, uint64_t sequence, record_impression *r) {
    if (r->time < s->since) {
        s->skipped += funnel_is_of_this_shape(r);
        return;
    }
    r->policy_version = funnel_line_count(&s->line, sequence, r->policy_version, s->skipped);
    s->searches += funnel_teach_impression(s->funnel, s->learners, r);
}

static void teach_event(funnel_swap *s, store_txn *t, const record_event *e, arena *a) {
    record_impression r;
    if (!funnel_log_impression(t, e->impression, a, &r)) return;
    if (r.time < s->since) return;
    r.policy_version = funnel_line_count(&s->line, e->impression, r.policy_version, s->skipped);
    funnel_teach_event(s->funnel, s->learners, &r, e);
    s->events++;
}

typedef struct teaching {
    funnel_swap *swap;
    store_txn *t;
    uint64_t last, most, n;
    arena memory;
} teaching;

static bool teach_record(void *self, uint64_t sequence, slice record) {
    teaching *w = self;
    record_kind kind;
    record_impression r;
    record_event e;
    if (sequence > w->last || w->n == w->most) return false;
    arena_reset(&w->memory);
    w->swap->reached = sequence;
    w->n++;
    if (record_kind_of(record, &kind)) return true;
    if (kind == RECORD_IMPRESSION && !record_read_impression(record, &w->memory, &r)) teach_impression(w->swap, sequence, &r);
    if (kind == RECORD_EVENT && !record_read_event(record, &e)) teach_event(w->swap, w->t, &e, &w->memory);
    return true;
}

/* The records after `reached` up to `last`, at most `most` of them; how many there were. */
static forage_status teach_some(funnel_swap *s, store_txn *t, uint64_t last, uint64_t most, uint64_t *n, base_error *error) {
    teaching w = {.swap = s, .t = t, .last = last, .most = most};
    arena_init(&w.memory, 0);
    forage_status status = funnel_log_each(t, s->reached, teach_record, &w, error);
    arena_release(&w.memory);
    *n = w.n;
    return status;
}

/* ---- Swapping ---- */

/* What is not yet known to be committed is left to swap_committed, since this may run again after it was undone. */
static forage_status swap_apply(store_txn *t, void *self, base_error *error) {
    funnel_swap *s = self;
    funnel *f = s->funnel;
    uint64_t n;
    s->line = f->line;
    forage_status status = s->prepare ? s->prepare(s, t, error) : FORAGE_OK;
    if (!status) status = teach_some(s, t, f->learned_sequence, UINT64_MAX, &n, error);
    if (status) return status;
    int64_t fell_by = (int64_t)policy_updates(f->learned) - (int64_t)policy_updates(s->learners->policy);
    s->turned = s->line;
    funnel_line_turn(&s->turned, f->learned_sequence, fell_by);
    /* Nobody else of this group may save what is there until then. */
    s->saves = f->save_tried = f->learned_sequence;
    status = funnel_keep_own(f, t, (slice){0}, s->before, error);
    return status ? status : funnel_save_learners(f, t, s->learners, &s->turned, error);
}

static void install(funnel_swap *s) {
    funnel *f = s->funnel;
    funnel_learners own = funnel_own_learners(f);
    base_error why = {0};
    buffer parts = {0};
    funnel_write_learners(f, s->learners, &parts);
    byte_reader in = byte_reader_of(parts.data, parts.size);
    if (funnel_read_learners(f, &in, &own, &why))
        log_error("collection %s: what was learned cannot be put in place (%s) until it is opened again",
                  collection_name(f->collection), why.message);
    buffer_release(&parts);
}

/* The jobs that were committed together with this one, before it, taught what is replaced now: their records come on top. */
static void swap_committed(void *self, forage_status status) {
    funnel_swap *s = self;
    funnel *f = s->funnel;
    store_txn *t;
    uint64_t n;
    base_error why = {0};
    if (status) return;
    s->line = s->turned;
    s->skipped = funnel_line_sum(&s->turned);
    if (f->learned_sequence > s->reached) {
        status = store_read_begin(collection_store(f->collection), &t, &why);
        if (!status) {
            status = teach_some(s, t, f->learned_sequence, UINT64_MAX, &n, &why);
            store_read_end(t);
        }
        if (status)
            log_warn("collection %s: the last searches and events teach nothing: %s", collection_name(f->collection), why.message);
    }
    install(s);
    f->line = s->turned;
    f->saved_sequence = s->saves;
    behaviour_saved(f->behaviour);
}

forage_status funnel_swap_learners(funnel_swap *s, base_error *error) {
    store_job job = {swap_apply, swap_committed, s};
    return store_write(collection_store(s->funnel->collection), &job, error);
}

/* ---- Learning again ---- */

#define AT_ONCE 256 /* records in one read transaction: some milliseconds */

static uint64_t last_sequence(store_txn *t) {
    slice last;
    return store_last_key(t, STORE_LOG, &last) == FORAGE_OK && last.size == 8 ? load_be64(last.data) : 0;
}

static forage_status teach_log(funnel_swap *s, base_error *error) {
    funnel *f = s->funnel;
    forage_status status = FORAGE_OK;
    for (uint64_t n = AT_ONCE; !status && n == AT_ONCE;) {
        store_txn *t;
        status = store_read_begin(collection_store(f->collection), &t, error);
        if (status) return status;
        atomic_store(&f->relearn_end, last_sequence(t));
        status = teach_some(s, t, UINT64_MAX, AT_ONCE, &n, error);
        store_read_end(t);
        atomic_store(&f->relearned_to, s->reached);
    }
    return status;
}

static forage_status relearn(funnel *f, int64_t since, funnel_relearned *out, base_error *error) {
    policy_overlap overlap;
    funnel_learners learners;
    funnel_relearned done = {0};
    funnel_swap s = {.funnel = f, .learners = &learners, .since = since, .before = &done.before};
    forage_status status = funnel_learners_init(f, &overlap, &learners, error);
    if (status) return status;
    pthread_mutex_lock(&f->versions_mutex);
    s.line = f->line;
    pthread_mutex_unlock(&f->versions_mutex);
    status = teach_log(&s, error);
    pthread_mutex_lock(&f->versions_mutex);
    if (!status) status = funnel_swap_learners(&s, error);
    pthread_mutex_unlock(&f->versions_mutex);
    done.searches = s.searches;
    done.events = s.events;
    done.number = policy_updates(learners.policy);
    funnel_learners_release(&learners);
    if (!status) *out = done;
    return status;
}

forage_status funnel_relearn(funnel *f, int64_t since, funnel_relearned *out, base_error *error) {
    if (store_read_only(collection_store(f->collection)))
        return error_set(error, FORAGE_E_READ_ONLY, "%s", status_message(FORAGE_E_READ_ONLY));
    if (atomic_exchange(&f->relearning, true))
        return error_set(error, FORAGE_E_OVERLOADED, "the policy is learning again from the log already; wait until it is done");
    atomic_store(&f->relearned_to, 0);
    atomic_store(&f->relearn_end, 0);
    forage_status status = relearn(f, since, out, error);
    atomic_store(&f->relearning, false);
    return status;
}

bool funnel_relearn_progress(const funnel *f, uint64_t *done, uint64_t *total) {
    *done = atomic_load(&f->relearned_to);
    *total = atomic_load(&f->relearn_end);
    return atomic_load(&f->relearning);
}
