/* The way back: an event is joined to its impression, credited, and taught to memory, policy and ranker. */
#include "funnel/answer.h"

#include "base/bytes.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What records teach ---- */

bool funnel_teach_impression(funnel *f, const funnel_learners *l, const record_impression *r) {
    if (!funnel_teach_policy(f, l->policy, r, NULL, NULL, NULL)) return false;
    pthread_mutex_lock(&f->counters_mutex);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const record_strategy *asked = &r->strategies[s];
        policy_overlap_learn(l->overlap, s, asked->level, funnel_depths, asked->candidates, asked->alone);
    }
    pthread_mutex_unlock(&f->counters_mutex);
    return true;
}

void funnel_learn_impression(funnel *f, const record_impression *r) {
    uint32_t depth[RETRIEVE_STRATEGIES];
    funnel_learners own = funnel_own_learners(f);
    funnel_experiment_shown(f, r);
    if (!funnel_teach_impression(f, &own, r)) return;
    double price = policy_price(f->learned);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) depth[s] = r->strategies[s].depth;
    pthread_mutex_lock(&f->counters_mutex);
    history_shown(&f->history, depth, r->n_candidates, price);
    f->counters.searches++;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        f->counters.asked[s] += r->strategies[s].depth > 0;
        f->counters.depth[s] += r->strategies[s].depth;
        f->counters.took_us[s] += r->strategies[s].took_us;
        f->counters.late[s] += r->strategies[s].late;
    }
    pthread_mutex_unlock(&f->counters_mutex);
}

static void teach_performance(const funnel *f, const funnel_learners *l, const record_impression *r, const record_event *e,
                              float weight) {
    performance_keys keys;
    memory_segment segments[SEGMENTS_MAX];
    buffer normalized = {0};
    arena a;
    arena_init(&a, 0);
    segment_fields fields = funnel_segment_fields(collection_schema(f->collection));
    size_t n = segments_read(&fields, r->context, &a, segments);
    text_normalize_query(l->analyzer, r->query, &normalized);
    performance_keys_of((slice){normalized.data, normalized.size}, &r->memory_key, segments, n, &keys);
    performance_learn(l->performance, &keys, e->ranks, weight);
    buffer_release(&normalized);
    arena_release(&a);
}

static void teach_ranker(ranker *learner, const record_impression *r, const record_event *e) {
    if (r->feature_set < FUNNEL_FEATURE_SET || r->n_features < F_COUNT) return; /* all later sets begin with the core */
    float *x = mem_alloc(r->n_hits * F_COUNT * sizeof *x);
    bool *engaged = mem_zalloc(r->n_hits, sizeof *engaged);
    for (uint32_t i = 0; i < r->n_hits; i++) {
        memcpy(x + (size_t)i * F_COUNT, r->hits[i].features, F_COUNT * sizeof *x);
        engaged[i] = i < 64 && (e->engaged >> i & 1);
    }
    ranker_learn(learner, x, r->n_hits, e->hit, e->credit, engaged);
    free(x);
    free(engaged);
}

static bool teaches(const record_impression *r, const record_event *e) { return e->hit < r->n_hits && e->credit > 0; }

void funnel_teach_event(const funnel *f, const funnel_learners *l, const record_impression *r, const record_event *e) {
    float weight;
    if (!teaches(r, e)) return;
    if (funnel_teach_policy(f, l->policy, r, e, NULL, &weight)) teach_performance(f, l, r, e, fminf(1, e->credit) * weight);
    teach_ranker(l->ranker, r, e);
}

void funnel_learn_event(funnel *f, const record_impression *r, const record_event *e) {
    funnel_learners own = funnel_own_learners(f);
    bool credits = teaches(r, e) && r->n_strategies == RETRIEVE_STRATEGIES;
    pthread_mutex_lock(&f->counters_mutex);
    f->counters.events++;
    history_earned(&f->history, (double)e->credit);
    for (uint32_t s = 0; credits && s < RETRIEVE_STRATEGIES; s++) f->counters.credited[s] += r->hits[e->hit].ranks[s] > 0;
    pthread_mutex_unlock(&f->counters_mutex);
    funnel_teach_event(f, &own, r, e);
    if (teaches(r, e)) funnel_experiment_earned(f, r, e);
}

/* ---- Recording ---- */

typedef struct recorded {
    uint64_t sequence;
    record_impression impression;
    record_event event;
    behaviour_change change;
} recorded;

/* Where each strategy would have had an event's document; found before the event changes what they know. */
typedef struct foresight {
    uint64_t impression; /* 0: not found out */
    uint32_t document, rank[RETRIEVE_STRATEGIES];
} foresight;

typedef struct recording {
    funnel *funnel;
    const schema *schema;
    const feedback_event *events;
    size_t n, n_recorded;
    funnel_event_result *results;
    recorded *recorded; /* what was accepted, for the learners */
    const foresight *ranks;
    const sparse_snapshot *snapshot;
    memory_changes changes;
    arena memory;
} recording;

static forage_status refuse(funnel_event_result *out, forage_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static forage_status refuse(funnel_event_result *out, forage_status status, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(out->message, sizeof out->message, format, arguments);
    va_end(arguments);
    out->status = status;
    return status;
}

/* The events table's key of an event's id. */
static hash128 event_id_key(slice event_id) {
    char text[6 + 256];
    size_t size = event_id.size < 256 ? event_id.size : 256;
    memcpy(text, "event:", 6);
    memcpy(text + 6, event_id.data, size);
    return hash128_of(text, 6 + size);
}

static slice key_slice(const hash128 *key) { return (slice){(const char *)key->bytes, sizeof key->bytes}; }

#define EARNED_SIZE 12

/* *first (unless NULL): the sequence of the first event that earned; 0: not known. */
static float earned_before(store_txn *t, const hash128 *key, uint64_t *first) {
    slice value;
    float earned = 0;
    if (first) *first = 0;
    if (store_get(t, STORE_EVENTS, key_slice(key), &value) || value.size < sizeof earned) return 0;
    memcpy(&earned, value.data, sizeof earned);
    if (first && value.size == EARNED_SIZE) *first = load_be64(value.data + sizeof earned);
    return earned;
}

static forage_status put_earned(store_txn *t, const hash128 *key, float earned, uint64_t first, base_error *error) {
    uint8_t value[EARNED_SIZE];
    memcpy(value, &earned, sizeof earned);
    store_be64(value + sizeof earned, first);
    return store_put(t, STORE_EVENTS, key_slice(key), (slice){(const char *)value, sizeof value}, error);
}

static forage_status find_impression(recording *r, store_txn *t, slice query_id, recorded *out, funnel_event_result *result) {
    hash128 id = hash128_of(query_id.data, query_id.size);
    slice value;
    if (store_get(t, STORE_IMPRESSIONS, key_slice(&id), &value) || value.size != 8)
        return refuse(result, FORAGE_E_NO_QUERY, "no search with query_id \"%.*s\" was logged here", SLICE_ARG(query_id));
    out->event.impression = load_be64(value.data);
    slice record;
    if (store_get(t, STORE_LOG, value, &record))
        return refuse(result, FORAGE_E_NO_QUERY, "the impression of \"%.*s\" is gone", SLICE_ARG(query_id));
    if (record_read_impression(arena_slice(&r->memory, record), &r->memory, &out->impression))
        return refuse(result, FORAGE_E_CORRUPT, "the impression of \"%.*s\" cannot be read", SLICE_ARG(query_id));
    return FORAGE_OK;
}

#define DAY_US ((int64_t)86400 * 1000000)

static forage_status check_time(int64_t time, const record_impression *r, int64_t now, funnel_event_result *result) {
    if (time > now + DAY_US)
        return refuse(result, FORAGE_E_EVENT, "event, \"timestamp\": it lies more than a day in the future");
    if (time < r->time - DAY_US)
        return refuse(result, FORAGE_E_EVENT, "event, \"timestamp\": it lies more than a day before the search");
    if (time > r->time + FUNNEL_EVENT_WINDOW_DAYS * DAY_US)
        return refuse(result, FORAGE_E_EVENT, "event, \"timestamp\": it comes more than %d days after the search",
                      FUNNEL_EVENT_WINDOW_DAYS);
    return FORAGE_OK;
}

/* Everything that can be refused is refused here, before anything is written. */
static forage_status join(recording *r, store_txn *t, const feedback_event *e, recorded *out, funnel_event_result *result) {
    int64_t now = clock_wall(collection_clock(r->funnel->collection)), time = e->time == INT64_MIN ? now : e->time;
    float reward;
    uint32_t number = UINT32_MAX;
    if (!schema_reward(r->schema, e->action, &reward))
        return refuse(result, FORAGE_E_EVENT, "event, \"action_name\": \"%.*s\" has no reward; declare one in the schema's \"rewards\"",
                      SLICE_ARG(e->action));
    forage_status status = find_impression(r, t, e->query_id, out, result);
    if (!status) status = check_time(time, &out->impression, now, result);
    if (status) return status;
    collection_number_of(t, e->document, &number);
    uint32_t hit = 0;
    while (hit < out->impression.n_hits && out->impression.hits[hit].document != number) hit++;
    if (hit == out->impression.n_hits)
        return refuse(result, FORAGE_E_EVENT, "event: \"%.*s\" was not among the hits of that search", SLICE_ARG(e->document));
    uint64_t sequence = out->event.impression;
    out->event = (record_event){
        .time = time, .event_id = e->event_id, .query_id = e->query_id,
        .action = e->action, .user = e->user.size ? e->user : out->impression.user,
        .session = e->session.size ? e->session : out->impression.session, .document_id = e->document,
        .document = number, .impression = sequence, .hit = hit, .reward = reward};
    return FORAGE_OK;
}

static void note_engaged(store_txn *t, recorded *out) {
    for (uint32_t i = 0; i < out->impression.n_hits && i < 64; i++) {
        hash128 key = record_credit_key(out->event.impression, out->impression.hits[i].document);
        if (i != out->event.hit && earned_before(t, &key, NULL) > 0) out->event.engaged |= (uint64_t)1 << i;
    }
}

static forage_status write_event(recording *r, store_txn *t, size_t index, recorded *out, base_error *error) {
    record_event *e = &out->event;
    hash128 key = record_credit_key(e->impression, e->document);
    uint64_t first;
    float before = earned_before(t, &key, &first);
    out->change = (behaviour_change){0};
    e->credit = e->reward > before ? e->reward - before : 0;
    if (e->credit > 0) note_engaged(t, out);
    const foresight *seen = &r->ranks[index];
    if (e->credit > 0 && seen->impression == e->impression && seen->document == e->document) {
        e->n_ranks = RETRIEVE_STRATEGIES;
        memcpy(e->ranks, seen->rank, sizeof seen->rank);
    }
    buffer record = {0};
    record_write_event(e, &record);
    forage_status status = funnel_append_log(r->funnel, t, (slice){record.data, record.size}, &out->sequence, error);
    buffer_release(&record);
    if (!status && e->event_id.size) {
        hash128 id = event_id_key(e->event_id);
        uint8_t sequence[8];
        store_be64(sequence, out->sequence);
        status = store_put(t, STORE_EVENTS, key_slice(&id), (slice){(const char *)sequence, 8}, error);
    }
    if (status || e->credit == 0) return status;
    status = put_earned(t, &key, before + e->credit, before > 0 ? first : out->sequence, error);
    if (!status) status = query_memory_earned(r->funnel->memory, t, &r->changes, &out->impression, e, before == 0, error);
    if (!status)
        status = funnel_engage(r->funnel, t, r->snapshot, &out->impression, e, false, &r->memory, &out->change, error);
    return status;
}

static bool is_known(store_txn *t, slice event_id) {
    if (!event_id.size) return false;
    hash128 id = event_id_key(event_id);
    slice value;
    return store_get(t, STORE_EVENTS, key_slice(&id), &value) == FORAGE_OK;
}

static forage_status record_apply(store_txn *t, void *self, base_error *error) {
    recording *r = self;
    forage_status status = FORAGE_OK;
    r->n_recorded = 0;
    arena_reset(&r->memory);
    memory_changes_reset(&r->changes);
    for (size_t i = 0; !status && i < r->n; i++) {
        const feedback_event *e = &r->events[i];
        funnel_event_result *result = &r->results[i];
        if (result->malformed) continue;
        *result = (funnel_event_result){.duplicate = is_known(t, e->event_id)};
        if (result->duplicate) continue;
        recorded *out = &r->recorded[r->n_recorded];
        if (join(r, t, e, out, result)) continue;
        status = write_event(r, t, i, out, error);
        r->n_recorded++;
    }
    return status;
}

static void record_committed(void *self, forage_status status) {
    recording *r = self;
    if (!status) query_memory_publish(r->funnel->memory, &r->changes);
    for (size_t i = 0; !status && i < r->n_recorded; i++) {
        behaviour_committed(r->funnel->behaviour, &r->recorded[i].change);
        record_impression *searched = &r->recorded[i].impression;
        searched->policy_version = funnel_line_now(&r->funnel->line, r->recorded[i].event.impression, searched->policy_version);
        funnel_learn_event(r->funnel, searched, &r->recorded[i].event);
        r->funnel->learned_sequence = r->recorded[i].sequence;
    }
}

/* Each event keeps its impression in memory until the commit: of a page of a thousand hits that is a fifth of a megabyte. */
#define EVENTS_AT_ONCE 256

/* What an earlier event for the same hit told: the strategies have learned from it since. */
static void look_up(store_txn *t, uint64_t first, foresight *out, const record_event *event) {
    slice record;
    record_event earlier;
    if (!funnel_log_record(t, first, &record) || record_read_event(record, &earlier)) return;
    if (earlier.n_ranks != RETRIEVE_STRATEGIES || earlier.impression != event->impression) return;
    *out = (foresight){.impression = event->impression, .document = event->document};
    memcpy(out->rank, earlier.ranks, sizeof out->rank);
}

/* Finds what there is to look back at. False: the impression is not there (yet). *ask: strategies are to be asked. */
static bool look_at(recording *r, store_txn *t, const feedback_event *e, recorded *found, foresight *out, bool *ask) {
    funnel_event_result result = {0};
    arena_reset(&r->memory);
    *ask = false;
    if (is_known(t, e->event_id)) return true;
    if (join(r, t, e, found, &result)) return result.status != FORAGE_E_NO_QUERY;
    const record_event *event = &found->event;
    hash128 key = record_credit_key(event->impression, event->document);
    uint64_t first;
    float before = earned_before(t, &key, &first);
    if (found->impression.n_strategies != RETRIEVE_STRATEGIES || event->reward <= before) return true;
    if (before > 0) look_up(t, first, out, event);
    else *ask = true;
    return true;
}

static bool look_in_store(recording *r, store *s, const feedback_event *e, recorded *found, foresight *out, bool *ask) {
    store_txn *t;
    *ask = false;
    if (store_read_begin(s, &t, NULL)) return true;
    bool there = look_at(r, t, e, found, out, ask);
    store_read_end(t); /* before strategies are asked: what is found lies in the arena */
    return there;
}

/* Outside of any transaction. The impressions of searches that were just answered may still be on their way to the disk: they are
 * waited for, once. */
static void look_back(funnel *f, recording *r, foresight *out) {
    store *s = collection_store(f->collection);
    bool waited = false, ask;
    for (size_t i = 0; i < r->n; i++) {
        recorded found = {0};
        if (r->results[i].malformed) continue;
        if (!look_in_store(r, s, &r->events[i], &found, &out[i], &ask) && !waited) {
            store_wait(s);
            waited = true;
            look_in_store(r, s, &r->events[i], &found, &out[i], &ask);
        }
        const record_event *event = &found.event;
        if (!ask || !funnel_hindsight(f, &found.impression, event->impression, event->hit, out[i].rank)) continue;
        out[i].impression = event->impression;
        out[i].document = event->document;
    }
}

static forage_status record_some(funnel *f, const feedback_event *events, size_t n, funnel_event_result *results,
                                 base_error *error) {
    recording r = {.funnel = f, .schema = collection_schema(f->collection), .events = events, .n = n, .results = results,
                   .recorded = mem_zalloc(n, sizeof *r.recorded)};
    foresight *ranks = mem_zalloc(n, sizeof *ranks);
    arena_init(&r.memory, 0);
    look_back(f, &r, ranks);
    r.ranks = ranks;
    r.snapshot = collection_acquire(f->collection);
    store_job job = {record_apply, record_committed, &r};
    forage_status status = store_write(collection_store(f->collection), &job, error);
    collection_release(f->collection, r.snapshot);
    memory_changes_release(&r.changes);
    arena_release(&r.memory);
    free(ranks);
    free(r.recorded);
    return status;
}

forage_status funnel_record(funnel *f, const feedback_event *events, size_t n, funnel_event_result *results,
                            base_error *error) {
    base_error why = {0};
    for (size_t i = 0; i < n; i += EVENTS_AT_ONCE) {
        size_t left = n - i;
        forage_status status = record_some(f, events + i, left < EVENTS_AT_ONCE ? left : EVENTS_AT_ONCE, results + i, &why);
        if (!status) continue;
        if (i == 0) return error_set(error, status, "%s", why.message);
        for (; i < n; i++)
            if (!results[i].status) refuse(&results[i], status, "%s", why.message);
    }
    return FORAGE_OK;
}
