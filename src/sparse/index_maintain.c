/* The maintenance thread: one task at a time, chosen from what the current snapshot holds.
 *
 * A task captures a snapshot, merges the parts it chose without any lock, writes the result to a file when it is to be
 * durable, commits the manifest, and swaps: whatever died meanwhile dies in the result too. Nothing is lost when a step
 * fails: memory segments stay, and STORE_PENDING still names what no file has. */
#include "sparse/index_impl.h"

#include "base/log.h"
#include "os/clock.h"
#include "os/wait.h"
#include "sparse/index_pace.h"
#include "sparse/merge.h"

#include <stdlib.h>
#include <time.h>

#define SECONDS (int64_t)1000000
#define IDLE (20 * SECONDS)    /* without a change: time to write what is in memory */
#define OLDEST (300 * SECONDS) /* with changes all the time */
#define FIRST_RETRY (5 * SECONDS)
#define LAST_RETRY (60 * SECONDS)
#define FLUSH_BYTES ((size_t)64 << 20) /* memory segments larger than this go to a file */
#define PILED_BYTES (2 * FLUSH_BYTES)  /* and now it is urgent */
#define ORDERING_BYTES ((size_t)192 << 20) /* memory to order places with, and as much for each: */
#define ORDERING_BYTES_A_PLACE ((size_t)48)
#define SMALLEST_TIER ((uint64_t)16 << 10)

enum { FANOUT = 8, RELIEF = 32, REWRITE_COUNT = 64, NO_TIER = 24, RELIEVED_TIERS = 3, PILED_SEGMENTS = 96 };
enum { FEWEST_ORDERED = 16384, ORDERED_SHARE = 16 }; /* places; 1/16 that lie as they came are not worth another order */

struct index_request {
    bool optimize, done;
    forage_status status;
    base_error *error;
    index_request *next;
};

typedef struct task {
    index_snapshot *base;
    bool *chosen; /* of the base's parts */
    size_t n_chosen;
    bool to_file;    /* and then the manifest is committed */
    bool everything; /* no memory segment stays behind */
    bool heals;      /* what was damaged is in it */
    uint64_t changes;
    index_request *request; /* NULL: of our own accord */
} task;

static int64_t now(void) { return clock_monotonic(&os_clock_system); }

/* --- choosing ---------------------------------------------------------------------------------------------------- */

/* Merging FANOUT of one tier gives one of the next: each posting is merged a logarithmic number of times. */
static unsigned tier_of(const index_part *p) {
    uint32_t count = sparse_segment_count(p->segment->segment);
    double size = (double)sparse_segment_bytes(p->segment->segment) * index_part_live(p) / (count ? count : 1);
    unsigned tier = 0;
    for (; size >= (double)SMALLEST_TIER; size /= FANOUT) tier++;
    return tier;
}

static bool is_file(const index_part *p) { return p->segment->number != 0; }

static bool mostly_dead(const index_part *p) {
    uint32_t count = sparse_segment_count(p->segment->segment);
    return 2 * (uint64_t)index_part_live(p) < count && (count >= REWRITE_COUNT || is_file(p));
}

/* The lowest tier with at least `limit` parts of the kind that nobody is merging; NO_TIER: none. */
static unsigned full_tier(const index_part *parts, size_t n, bool files, size_t limit) {
    size_t same[NO_TIER] = {0};
    for (size_t i = 0; i < n; i++) same[tier_of(&parts[i])] += is_file(&parts[i]) == files && !parts[i].segment->busy;
    for (unsigned tier = 0; tier < NO_TIER; tier++)
        if (same[tier] >= limit) return tier;
    return NO_TIER;
}

static bool in_tier(const index_part *p, bool files, unsigned tier) {
    return is_file(p) == files && !p->segment->busy && tier_of(p) == tier;
}

static void choose(task *t, uint32_t part) {
    t->n_chosen += !t->chosen[part];
    t->chosen[part] = true;
}

static void choose_kind(task *t, bool files, bool memory) {
    for (uint32_t i = 0; i < t->base->visible.n_parts; i++)
        if (is_file(&t->base->owned[i]) ? files : memory) choose(t, i);
}

/* Whether the chosen parts fit one segment; without the newest ones if need be. */
static bool make_fit(task *t) {
    uint32_t n = t->base->visible.n_parts;
    sparse_merge_input *inputs = mem_alloc(n * sizeof *inputs);
    bool fits = false;
    while (!fits && t->n_chosen > 1) {
        size_t n_inputs = 0;
        uint32_t last = 0;
        for (uint32_t i = 0; i < n; i++)
            if (t->chosen[i]) inputs[n_inputs++] = (sparse_merge_input){t->base->visible.parts[last = i].segment, NULL};
        fits = sparse_merge_fits(inputs, n_inputs);
        if (fits) break;
        t->chosen[last] = false;
        t->n_chosen--;
    }
    free(inputs);
    return fits;
}

static bool choose_tier(task *t, bool files) {
    const index_part *parts = t->base->owned;
    uint32_t n = t->base->visible.n_parts;
    unsigned tier = full_tier(parts, n, files, FANOUT);
    if (tier == NO_TIER) return false;
    for (uint32_t i = 0; i < n; i++)
        if (in_tier(&parts[i], files, tier)) choose(t, i);
    return make_fit(t);
}

static bool choose_dead(task *t, bool files) {
    for (uint32_t i = 0; i < t->base->visible.n_parts; i++)
        if (is_file(&t->base->owned[i]) == files && mostly_dead(&t->base->owned[i])) return choose(t, i), true;
    return false;
}

static size_t memory_bytes(const index_snapshot *s) {
    size_t bytes = 0;
    for (uint32_t i = 0; i < s->visible.n_parts; i++)
        if (!is_file(&s->owned[i])) bytes += sparse_segment_bytes(s->owned[i].segment->segment);
    return bytes;
}

/* When the memory segments are due, if ever. */
static int64_t flush_time(const sparse_index *index) {
    if (index->dirty_since == 0) return INT64_MAX;
    int64_t due = index->last_change + IDLE, latest = index->dirty_since + OLDEST;
    if (due > latest) due = latest;
    return due > index->retry_at ? due : index->retry_at;
}

static void choose_flush(task *t) {
    choose_kind(t, false, true);
    t->to_file = t->everything = true;
}

/* What to do next, if anything. The mutex is held. */
static bool find_task(sparse_index *index, task *t) {
    int64_t time = now();
    bool may_write = time >= index->retry_at;
    if (index->requests) {
        t->request = index->requests;
        choose_flush(t);
        if (t->request->optimize) choose_kind(t, true, true);
        return true;
    }
    if (index->stopping) return false;
    if (may_write && (memory_bytes(t->base) >= FLUSH_BYTES || time >= flush_time(index))) return choose_flush(t), true;
    if (choose_tier(t, false) || choose_dead(t, false)) return true;
    t->to_file = true;
    return may_write && (choose_tier(t, true) || choose_dead(t, true));
}

static void task_release(task *t) {
    free(t->chosen);
    index_release(t->base);
}

/* The mutex is held. False when there is nothing to do. */
static bool start_task(sparse_index *index, task *t) {
    *t = (task){.base = index_acquire(index), .changes = index->changes};
    uint32_t n = t->base->visible.n_parts;
    t->chosen = mem_zalloc(n, sizeof *t->chosen);
    if (!find_task(index, t)) {
        task_release(t);
        return false;
    }
    t->heals = t->everything && index->repaired;
    for (uint32_t i = 0; i < n; i++) { /* a file without a live place goes with any change of the manifest */
        if (t->to_file && is_file(&t->base->owned[i]) && index_part_live(&t->base->owned[i]) == 0) choose(t, i);
        if (t->chosen[i]) t->base->owned[i].segment->busy = true;
    }
    return true;
}

/* --- pace -------------------------------------------------------------------------------------------------------- */

/* A task that others may slow down. */
typedef struct paced {
    sparse_index *index;
    const task *task;
    index_pace pace;
    bool ordering; /* its places: what waits does not wait for that */
} paced;

static bool is_urgent(sparse_index *index) {
    return atomic_load(&index->piled) || atomic_load(&index->closing) || atomic_load(&index->awaited) > 0;
}

static bool proceed(void *context, uint64_t written) {
    paced *p = context;
    bool urgent = is_urgent(p->index), searched = atomic_exchange(&p->index->searched, false);
    int64_t pause = index_pace_pause(&p->pace, now(), searched, urgent, written);
    if (pause > 0) nanosleep(&(struct timespec){.tv_nsec = pause * 1000}, NULL);
    if (p->ordering) return !atomic_load(&p->index->piled) && !atomic_load(&p->index->closing);
    return !atomic_load(&p->index->closing) || p->task->request || p->task->everything;
}

/* --- merging ----------------------------------------------------------------------------------------------------- */

/* The chosen parts of which something lives, and what the index's statistics are without what is dead in any chosen part,
 * which the merge leaves behind. To be freed. */
static sparse_merge_input *list_inputs(const task *t, size_t *n, sparse_statistics *statistics) {
    sparse_merge_input *inputs = mem_alloc(t->base->visible.n_parts * sizeof *inputs);
    *n = 0;
    *statistics = t->base->visible.statistics;
    for (uint32_t i = 0; i < t->base->visible.n_parts; i++) {
        const sparse_part *p = &t->base->visible.parts[i];
        if (!t->chosen[i]) continue;
        inputs[*n] = (sparse_merge_input){p->segment, p->live};
        sparse_merge_statistics(&inputs[*n], statistics);
        *n += p->n_live > 0;
    }
    return inputs;
}

/* Whether another order would gain enough: not when nearly all lie in one part that has been ordered. `n_live`: of all. */
static bool is_worth_ordering(const task *t, uint64_t *n_live) {
    uint64_t all = 0, most = 0;
    for (uint32_t i = 0; i < t->base->visible.n_parts; i++) {
        const sparse_part *p = &t->base->visible.parts[i];
        if (!t->chosen[i]) continue;
        all += p->n_live;
        if (!sparse_segment_ascends(p->segment) && p->n_live > most) most = p->n_live;
    }
    *n_live = all;
    return all >= FEWEST_ORDERED && (all - most) * ORDERED_SHARE >= all;
}

/* To be freed; NULL: that of the inputs. */
static uint32_t *find_order(const task *t, paced *p, const sparse_merge_input *inputs, size_t n) {
    uint64_t n_live;
    if (!is_worth_ordering(t, &n_live) || atomic_load(&p->index->closing)) return NULL;
    uint32_t *order = mem_alloc(n_live * sizeof *order);
    p->ordering = true;
    forage_status status = sparse_merge_order(inputs, n, t->base->visible.config,
                                              ORDERING_BYTES + n_live * ORDERING_BYTES_A_PLACE,
                                              &(sparse_work){proceed, p}, order);
    p->ordering = false;
    if (status == FORAGE_OK) return order;
    free(order);
    return NULL;
}

static forage_status too_many(base_error *error) {
    return error_set(error, FORAGE_E_TOO_LARGE, "its documents do not fit one segment");
}

/* `image` stays empty when nothing of the chosen parts lives. */
static forage_status merge_to_memory(const task *t, paced *p, buffer *image, base_error *error) {
    size_t n;
    sparse_statistics statistics;
    sparse_merge_input *inputs = list_inputs(t, &n, &statistics);
    forage_status status = FORAGE_OK;
    if (!sparse_merge_fits(inputs, n)) status = too_many(error);
    else if (n > 0)
        status = sparse_merge_to_memory(inputs, n, t->base->visible.config, &statistics,
                                        &(sparse_work){proceed, p}, image, error);
    free(inputs);
    return status;
}

/* *merged stays NULL when nothing of the chosen parts lives. */
static forage_status merge_to_file(sparse_index *index, const task *t, paced *p, index_segment **merged,
                                   base_error *error) {
    size_t n;
    sparse_statistics statistics;
    sparse_merge_input *inputs = list_inputs(t, &n, &statistics);
    uint32_t *order = NULL;
    char *path = NULL;
    forage_status status = sparse_merge_fits(inputs, n) ? FORAGE_OK : too_many(error);
    if (status != FORAGE_OK || n == 0) goto done;
    order = find_order(t, p, inputs, n);
    uint64_t number = index->next_file++;
    path = index_file_path(index->folder, number);
    status = sparse_merge_to_file(inputs, n, order, t->base->visible.config, &statistics, path,
                                  &(sparse_work){proceed, p}, error);
    if (status != FORAGE_OK) goto done;
    status = index_segment_in_file(path, number, merged, error);
    if (status != FORAGE_OK) os_remove_file(path, NULL);
done:
    free(path);
    free(order);
    free(inputs);
    return status;
}

/* What died in the base's part since the task began dies in the merged segment. `part` is its place in the draft now,
 * or SIZE_MAX when nothing of it lives. */
static void kill_since(const index_part *base, size_t part, index_draft *d, size_t merged) {
    const sparse_segment *s = base->segment->segment;
    const index_live *live = part == SIZE_MAX ? NULL : d->parts[part].live;
    if (part != SIZE_MAX && live == base->live) return;
    for (uint32_t p = 0; p < sparse_segment_count(s); p++) {
        uint32_t place;
        if (!index_live_has(base->live, p) || (part != SIZE_MAX && index_live_has(live, p))) continue;
        if (sparse_segment_find(d->parts[merged].segment->segment, sparse_segment_document(s, p), &place))
            index_draft_kill(d, merged, place);
    }
}

static size_t find_part(const index_draft *d, const index_segment *segment) {
    for (size_t i = 0; i < d->n; i++)
        if (d->parts[i].segment == segment) return i;
    return SIZE_MAX;
}

void index_swap(sparse_index *index, const index_snapshot *base, const bool *chosen, index_segment *merged) {
    index_draft d;
    index_draft_start(&d, index->current);
    if (merged) index_draft_add(&d, d.n, index_segment_retain(merged), NULL);
    size_t first = SIZE_MAX;
    for (uint32_t i = 0; i < base->visible.n_parts; i++) {
        if (!chosen[i]) continue;
        size_t part = find_part(&d, base->owned[i].segment);
        if (merged) kill_since(&base->owned[i], part, &d, d.n - 1);
        if (part == SIZE_MAX) continue;
        if (first == SIZE_MAX) first = part;
        index_draft_remove(&d, part);
    }
    if (merged && first < d.n - 1) { /* where the oldest of them was */
        index_part last = d.parts[d.n - 1];
        for (size_t i = d.n - 1; i > first; i--) d.parts[i] = d.parts[i - 1];
        d.parts[first] = last;
    }
    index_publish(index, &d);
}

/* --- files ------------------------------------------------------------------------------------------------------- */

static void remove_file(const sparse_index *index, const index_segment *s) {
    char *path = index_file_path(index->folder, s->number);
    base_error error;
    if (os_remove_file(path, &error) != FORAGE_OK) log_warn("index: %s", error.message);
    free(path);
}

/* The files that there will be, with the live places that the manifest will have. */
static void make_durable(const task *t, index_segment *merged, index_draft *out) {
    *out = (index_draft){0};
    for (uint32_t i = 0; i < t->base->visible.n_parts; i++) {
        const index_part *p = &t->base->owned[i];
        if (!is_file(p) || t->chosen[i]) continue;
        index_draft_add(out, out->n, index_segment_retain(p->segment), index_live_retain(p->live));
    }
    if (merged) index_draft_add(out, out->n, index_segment_retain(merged), NULL);
}

static void finish_swap(sparse_index *index, const task *t, index_segment *merged) {
    pthread_mutex_lock(&index->mutex);
    index_swap(index, t->base, t->chosen, merged);
    if (t->heals) index->incomplete = index->repaired = false;
    pthread_mutex_unlock(&index->mutex);
}

static forage_status run_to_file(sparse_index *index, const task *t, paced *p, base_error *error) {
    index_segment *merged = NULL;
    index_draft durable = {0};
    bool committed = false;
    forage_status status = merge_to_file(index, t, p, &merged, error);
    if (status != FORAGE_OK) goto done;
    make_durable(t, merged, &durable);
    status = index_save(index, &durable, index->incomplete && !t->heals, error);
    if (status != FORAGE_OK) goto done;
    committed = true;
    finish_swap(index, t, merged);
    for (uint32_t i = 0; i < t->base->visible.n_parts; i++)
        if (t->chosen[i] && is_file(&t->base->owned[i])) remove_file(index, t->base->owned[i].segment);
    status = index_settle_pending(index, &durable, error);
done:
    if (merged && !committed) remove_file(index, merged);
    index_draft_release(&durable);
    index_segment_release(merged);
    return status;
}

static forage_status run_in_memory(sparse_index *index, const task *t, paced *p, base_error *error) {
    buffer image = {0};
    index_segment *merged = NULL;
    forage_status status = merge_to_memory(t, p, &image, error);
    if (status == FORAGE_OK && image.size > 0) status = index_segment_in_memory(&image, &merged, error);
    if (status == FORAGE_OK) finish_swap(index, t, merged);
    index_segment_release(merged);
    return status;
}

/* --- the thread -------------------------------------------------------------------------------------------------- */

/* Nothing to write: the files and the manifest say everything, in the form that is wanted. */
static bool is_idle(const sparse_index *index, const task *t) {
    if (!t->request || index->dirty_since != 0) return false;
    return !t->request->optimize || t->base->visible.n_parts == 0 ||
           (t->base->visible.n_parts == 1 && !t->base->owned[0].live);
}

static void run_task(sparse_index *index, const task *t) {
    base_error error = {0};
    forage_status status;
    paced p = {.index = index, .task = t};
    index_pace_start(&p.pace, now());
    if (t->to_file) {
        pthread_mutex_lock(&index->files);
        status = run_to_file(index, t, &p, &error);
        pthread_mutex_unlock(&index->files);
    } else {
        status = run_in_memory(index, t, &p, &error);
    }
    pthread_mutex_lock(&index->mutex);
    for (uint32_t i = 0; i < t->base->visible.n_parts; i++)
        if (t->chosen[i]) t->base->owned[i].segment->busy = false;
    if (status == FORAGE_E_CLOSED && atomic_load(&index->closing)) { /* the last flush will do */
    } else if (status != FORAGE_OK) {
        int64_t after = 2 * index->retry_after;
        index->retry_after = after < FIRST_RETRY ? FIRST_RETRY : after > LAST_RETRY ? LAST_RETRY : after;
        index->retry_at = now() + index->retry_after;
        log_warn("index %s: %s; it goes on from memory", index->folder, error.message);
    } else if (t->to_file) {
        index->retry_at = index->retry_after = 0;
        if (t->everything) index->dirty_since = index->changes == t->changes ? 0 : now();
    }
    if (t->request) {
        t->request->status = status;
        if (t->request->error && status != FORAGE_OK) *t->request->error = error;
    }
    pthread_mutex_unlock(&index->mutex);
}

static void settle_request(sparse_index *index, index_request *r) {
    index->requests = r->next;
    r->done = true;
    pthread_cond_broadcast(&index->changed);
}

static void wait_for_work(sparse_index *index) {
    int64_t wake = flush_time(index);
    if (index->retry_at > now() && index->retry_at < wake) wake = index->retry_at;
    if (wake == INT64_MAX) {
        pthread_cond_wait(&index->changed, &index->mutex);
        return;
    }
    if (wake > now()) os_wait_until(&index->changed, &index->mutex, wake);
}

static void *maintain(void *argument) {
    sparse_index *index = argument;
    task t;
    pthread_mutex_lock(&index->mutex);
    for (;;) {
        if (start_task(index, &t)) {
            if (!is_idle(index, &t)) {
                pthread_mutex_unlock(&index->mutex);
                run_task(index, &t);
                pthread_mutex_lock(&index->mutex);
            }
            if (t.request) settle_request(index, t.request);
            task_release(&t);
        } else if (index->stopping) {
            break;
        } else {
            wait_for_work(index);
        }
    }
    pthread_mutex_unlock(&index->mutex);
    return NULL;
}

static forage_status request(sparse_index *index, bool optimize, base_error *error) {
    if (!index->writable)
        return error_set(error, FORAGE_E_READ_ONLY, "index %s is open for reading only", index->folder);
    index_request self = {.optimize = optimize, .error = error}, **end;
    if (!optimize) atomic_fetch_add(&index->awaited, 1);
    pthread_mutex_lock(&index->mutex);
    for (end = &index->requests; *end;) end = &(*end)->next;
    *end = &self;
    pthread_cond_broadcast(&index->changed);
    while (!self.done) pthread_cond_wait(&index->changed, &index->mutex);
    pthread_mutex_unlock(&index->mutex);
    if (!optimize) atomic_fetch_sub(&index->awaited, 1);
    return self.status;
}

forage_status sparse_index_flush(sparse_index *index, base_error *error) { return request(index, false, error); }
forage_status sparse_index_optimize(sparse_index *index, base_error *error) { return request(index, true, error); }

void index_watch_pile(sparse_index *index) {
    const index_snapshot *s = index->current;
    uint32_t segments = 0;
    for (uint32_t i = 0; i < s->visible.n_parts; i++) segments += !is_file(&s->owned[i]);
    atomic_store(&index->piled, segments >= PILED_SEGMENTS || memory_bytes(s) >= PILED_BYTES);
}

void index_touch(sparse_index *index) {
    index->changes++;
    index->last_change = now();
    if (index->dirty_since == 0) index->dirty_since = index->last_change;
    pthread_cond_broadcast(&index->changed);
}

void sparse_index_repaired(sparse_index *index) {
    pthread_mutex_lock(&index->mutex);
    if (index->incomplete && index->writable) {
        index->repaired = true;
        index_touch(index);
    }
    pthread_mutex_unlock(&index->mutex);
}

void index_relieve(sparse_index *index, index_draft *d) {
    unsigned tier = full_tier(d->parts, d->n, false, index->writable ? RELIEF : FANOUT);
    if (tier == NO_TIER || (index->writable && tier >= RELIEVED_TIERS)) return;
    sparse_merge_input *inputs = mem_alloc(d->n * sizeof *inputs);
    size_t n = 0;
    for (size_t i = 0; i < d->n; i++) {
        const index_part *p = &d->parts[i];
        if (!in_tier(p, false, tier)) continue;
        inputs[n++] = (sparse_merge_input){p->segment->segment, p->live ? p->live->words : NULL};
    }
    buffer image = {0};
    index_segment *merged = NULL;
    if (sparse_merge_fits(inputs, n)) {
        sparse_merge(inputs, n, NULL, index->config, &index->current->visible.statistics, &image);
        if (index_segment_in_memory(&image, &merged, NULL) != FORAGE_OK) merged = NULL;
    }
    for (size_t i = d->n; merged && i-- > 0;)
        if (in_tier(&d->parts[i], false, tier)) index_draft_remove(d, i);
    if (merged) index_draft_add(d, d->n, merged, NULL);
    free(inputs);
}

forage_status index_maintain_start(sparse_index *index, base_error *error) {
    if (pthread_create(&index->thread, NULL, maintain, index) != 0)
        return error_set(error, FORAGE_E_INTERNAL, "index %s: no thread can be started", index->folder);
    index->running = true;
    return FORAGE_OK;
}

void index_maintain_stop(sparse_index *index) {
    if (!index->running) return;
    atomic_store(&index->closing, true);
    request(index, false, NULL);
    pthread_mutex_lock(&index->mutex);
    index->stopping = true;
    pthread_cond_broadcast(&index->changed);
    pthread_mutex_unlock(&index->mutex);
    pthread_join(index->thread, NULL);
    index->running = false;
}
