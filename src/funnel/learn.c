/* The way back: an event is joined to its impression, credited, and taught to memory, policy and ranker. */
#include "funnel/answer.h"

#include "base/bytes.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- What records teach ---- */

/* The decision as the policy knew it. False when the record is of another shape and nobody can learn from it. */
static bool decision_of(const record_impression *r, policy_decision *d, float x[RETRIEVE_STRATEGIES][X_COUNT]) {
    if (r->n_strategies != RETRIEVE_STRATEGIES || r->n_levels != FUNNEL_LEVELS || r->n_policy_features != X_COUNT ||
        memcmp(r->depths, funnel_depths, sizeof funnel_depths) != 0)
        return false;
    memset(d, 0, sizeof *d);
    d->n_strategies = RETRIEVE_STRATEGIES;
    d->n_levels = FUNNEL_LEVELS;
    d->propensity = r->propensity;
    d->version = r->policy_version;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        d->level[s] = r->strategies[s].level;
        memcpy(d->probability[s], r->strategies[s].probability, FUNNEL_LEVELS * sizeof(float));
        memcpy(x[s], r->strategies[s].x, sizeof x[s]);
    }
    return true;
}

void funnel_learn_impression(funnel *f, const record_impression *r) {
    policy_decision d;
    float x[RETRIEVE_STRATEGIES][X_COUNT];
    if (!decision_of(r, &d, x)) return;
    policy_observe(f->learned, &x[0][0], &d);
    pthread_mutex_lock(&f->counters_mutex);
    f->counters.searches++;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        f->counters.asked[s] += r->strategies[s].depth > 0;
        f->counters.depth[s] += r->strategies[s].depth;
        f->counters.took_us[s] += r->strategies[s].took_us;
        f->counters.late[s] += r->strategies[s].late;
    }
    pthread_mutex_unlock(&f->counters_mutex);
}

/* The credit is shared by the strategies that found the document, in inverse proportion to the rank each gave it: whoever
 * put it on top earns most, and the shares add up to what the page earned. */
static void teach_policy(funnel *f, const record_impression *r, const record_event *e) {
    policy_decision d;
    float x[RETRIEVE_STRATEGIES][X_COUNT], reward[RETRIEVE_STRATEGIES] = {0}, sum = 0;
    const uint32_t *ranks = r->hits[e->hit].ranks;
    if (!decision_of(r, &d, x)) return;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) sum += ranks[s] ? 1 / (float)ranks[s] : 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        if (ranks[s]) reward[s] = e->credit / ((float)ranks[s] * sum);
    policy_reward(f->learned, &x[0][0], &d, reward);
    pthread_mutex_lock(&f->counters_mutex);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) f->counters.credited[s] += ranks[s] > 0;
    pthread_mutex_unlock(&f->counters_mutex);
}

static void teach_ranker(funnel *f, const record_impression *r, const record_event *e) {
    if (r->feature_set != FUNNEL_FEATURE_SET || r->n_features != F_COUNT) return;
    float *x = mem_alloc(r->n_hits * F_COUNT * sizeof *x);
    bool *engaged = mem_zalloc(r->n_hits, sizeof *engaged);
    for (uint32_t i = 0; i < r->n_hits; i++) {
        memcpy(x + (size_t)i * F_COUNT, r->hits[i].features, F_COUNT * sizeof *x);
        engaged[i] = i < 64 && (e->engaged >> i & 1);
    }
    ranker_learn(f->ranker, x, r->n_hits, e->hit, e->credit, engaged);
    free(x);
    free(engaged);
}

void funnel_learn_event(funnel *f, const record_impression *r, const record_event *e) {
    pthread_mutex_lock(&f->counters_mutex);
    f->counters.events++;
    pthread_mutex_unlock(&f->counters_mutex);
    if (e->hit >= r->n_hits || !(e->credit > 0)) return;
    teach_policy(f, r, e);
    teach_ranker(f, r, e);
}

/* ---- Recording ---- */

typedef struct recorded {
    uint64_t sequence;
    record_impression impression;
    record_event event;
} recorded;

typedef struct recording {
    funnel *funnel;
    const schema *schema;
    const feedback_event *events;
    size_t n, n_recorded;
    funnel_event_result *results;
    recorded *recorded; /* what was accepted, for the learners */
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

/* Keys of the events table: one for an event's id, one for what a document of an impression has earned. */
static hash128 event_id_key(slice event_id) {
    char text[6 + 256];
    size_t size = event_id.size < 256 ? event_id.size : 256;
    memcpy(text, "event:", 6);
    memcpy(text + 6, event_id.data, size);
    return hash128_of(text, 6 + size);
}

static hash128 credit_key(uint64_t impression, uint32_t document) {
    uint8_t text[7 + 12];
    memcpy(text, "credit:", 7);
    store_be64(text + 7, impression);
    store_be32(text + 15, document);
    return hash128_of(text, sizeof text);
}

static slice key_slice(const hash128 *key) { return (slice){(const char *)key->bytes, sizeof key->bytes}; }

static float earned_before(store_txn *t, const hash128 *key) {
    slice value;
    float earned = 0;
    if (store_get(t, STORE_EVENTS, key_slice(key), &value) == FORAGE_OK && value.size == 4)
        memcpy(&earned, value.data, 4);
    return earned;
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
        hash128 key = credit_key(out->event.impression, out->impression.hits[i].document);
        if (i != out->event.hit && earned_before(t, &key) > 0) out->event.engaged |= (uint64_t)1 << i;
    }
}

static forage_status write_event(recording *r, store_txn *t, recorded *out, base_error *error) {
    record_event *e = &out->event;
    hash128 key = credit_key(e->impression, e->document);
    float before = earned_before(t, &key);
    e->credit = e->reward > before ? e->reward - before : 0;
    if (e->credit > 0) note_engaged(t, out);
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
    float total = before + e->credit;
    status = store_put(t, STORE_EVENTS, key_slice(&key), (slice){(const char *)&total, 4}, error);
    if (!status) status = memory_earned(t, out->impression.memory_key, e->document, e->credit, e->time, error);
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
    for (size_t i = 0; !status && i < r->n; i++) {
        const feedback_event *e = &r->events[i];
        funnel_event_result *result = &r->results[i];
        if (result->malformed) continue;
        *result = (funnel_event_result){.duplicate = is_known(t, e->event_id)};
        if (result->duplicate) continue;
        recorded *out = &r->recorded[r->n_recorded];
        if (join(r, t, e, out, result)) continue;
        status = write_event(r, t, out, error);
        r->n_recorded++;
    }
    return status;
}

static void record_committed(void *self, forage_status status) {
    recording *r = self;
    for (size_t i = 0; !status && i < r->n_recorded; i++) {
        funnel_learn_event(r->funnel, &r->recorded[i].impression, &r->recorded[i].event);
        r->funnel->learned_sequence = r->recorded[i].sequence;
    }
}

/* Each event keeps its impression in memory until the commit: of a page of a thousand hits that is a fifth of a megabyte. */
#define EVENTS_AT_ONCE 256

static forage_status record_some(funnel *f, const feedback_event *events, size_t n, funnel_event_result *results,
                                 base_error *error) {
    recording r = {.funnel = f, .schema = collection_schema(f->collection), .events = events, .n = n, .results = results,
                   .recorded = mem_zalloc(n, sizeof *r.recorded)};
    arena_init(&r.memory, 0);
    store_job job = {record_apply, record_committed, &r};
    forage_status status = store_write(collection_store(f->collection), &job, error);
    arena_release(&r.memory);
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
