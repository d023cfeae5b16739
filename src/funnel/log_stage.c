/* Log: the impression, in the writer's own time. A search does not wait for the disk; events do. */
#include "funnel/answer.h"

#include "base/bytes.h"
#include "base/log.h"

#include <stdlib.h>
#include <string.h>

typedef struct logged {
    funnel *funnel;
    buffer record;
    arena memory;
    uint64_t sequence;
    const columns_list *columns; /* whose names must be in the store; NULL: none */
    memory_changes changes;
    uint64_t saves; /* the learned state up to this record is saved in the same transaction; 0: it is not */
} logged;

forage_status funnel_append_log(funnel *f, store_txn *t, slice record, uint64_t *sequence, base_error *error) {
    uint8_t key[8];
    *sequence = f->next_sequence++;
    store_be64(key, *sequence);
    return store_append(t, STORE_LOG, (slice){(const char *)key, 8}, record, error);
}

bool funnel_log_record(store_txn *t, uint64_t sequence, slice *record) {
    uint8_t key[8];
    store_be64(key, sequence);
    return store_get(t, STORE_LOG, (slice){(const char *)key, 8}, record) == FORAGE_OK;
}

bool funnel_log_impression(store_txn *t, uint64_t sequence, arena *a, record_impression *out) {
    slice record;
    return funnel_log_record(t, sequence, &record) && record_read_impression(record, a, out) == FORAGE_OK;
}

forage_status funnel_log_each(store_txn *t, uint64_t after, funnel_see_record see, void *self, base_error *error) {
    uint8_t from[8];
    slice key, value;
    store_cursor *cursor;
    store_be64(from, after + 1);
    forage_status status = store_cursor_open(t, STORE_LOG, (slice){(const char *)from, 8}, &cursor, error);
    if (status) return status;
    while (store_cursor_next(cursor, &key, &value))
        if (key.size == 8 && !see(self, load_be64(key.data), value)) break;
    store_cursor_close(cursor);
    return FORAGE_OK;
}

static forage_status impression_apply(store_txn *t, void *self, base_error *error) {
    logged *l = self;
    record_impression r;
    slice record = {l->record.data, l->record.size};
    forage_status status = record_read_impression(record, &l->memory, &r);
    if (!status) status = funnel_append_log(l->funnel, t, record, &l->sequence, error);
    if (status) return status;
    uint8_t value[8];
    store_be64(value, l->sequence);
    hash128 id = hash128_of(r.query_id.data, r.query_id.size);
    status = store_put(t, STORE_IMPRESSIONS, (slice){(const char *)id.bytes, 16}, (slice){(const char *)value, 8}, error);
    funnel *f = l->funnel;
    if (!status && l->columns) status = funnel_keep_names(f, t, l->columns, error);
    memory_changes_reset(&l->changes);
    if (!status) status = query_memory_shown(f->memory, t, &l->changes, &r, l->sequence, error);
    bool tried = f->save_tried == f->learned_sequence && !l->saves; /* by an earlier job of this group */
    if (status || tried || l->sequence - f->saved_sequence < FUNNEL_SAVE_EVERY) return status;
    l->saves = f->save_tried = f->learned_sequence;
    return funnel_save_state(f, t, error);
}

static void impression_committed(void *self, forage_status status) {
    logged *l = self;
    record_impression r;
    arena_reset(&l->memory);
    if (!status) query_memory_publish(l->funnel->memory, &l->changes);
    if (!status && l->columns) l->funnel->named_set = l->columns->id;
    if (!status && l->saves) {
        l->funnel->saved_sequence = l->saves;
        behaviour_saved(l->funnel->behaviour);
    }
    if (status) log_warn("an impression could not be stored: %s", status_message(status));
    else if (!record_read_impression((slice){l->record.data, l->record.size}, &l->memory, &r)) {
        funnel_learn_impression(l->funnel, &r);
        funnel_count_shown(l->funnel, &r, &l->memory);
        l->funnel->learned_sequence = l->sequence;
    }
    memory_changes_release(&l->changes);
    arena_release(&l->memory);
    buffer_release(&l->record);
    free(l);
}

static void fill_strategies(const funnel_answer *a, record_impression *r) {
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const funnel_slot *slot = &a->slots[s];
        record_strategy *out = &r->strategies[s];
        *out = (record_strategy){.name = slice_of(a->funnel->strategies[s]->name), .level = a->decision.level[s],
                                 .depth = slot->depth, .took_us = slot->took_us, .x = a->x[s],
                                 .candidates = slot->state == SLOT_DONE ? (uint32_t)slot->n_hits : 0,
                                 .late = funnel_slot_late(slot), .allowed = a->allowed[s]};
        memcpy(out->probability, a->decision.probability[s], FUNNEL_LEVELS * sizeof(float));
        memcpy(out->cost, a->cost[s], sizeof a->cost[s]);
        memcpy(out->alone, a->alone[s], sizeof a->alone[s]);
    }
}

static slice cut(slice text, size_t most) {
    if (text.size <= most) return text;
    while (most && ((unsigned char)text.data[most] & 0xC0) == 0x80) most--;
    return (slice){text.data, most};
}

#define MAX_JSON 4096

slice funnel_json_text(const json_value *value, arena *a) {
    if (!value) return (slice){0};
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    json_value_write(&w, value);
    slice out = arena_slice(a, (slice){text.data, text.size});
    buffer_release(&text);
    return out;
}

static slice short_json(funnel_answer *a, const json_value *value, slice when_too_long) {
    slice text = funnel_json_text(value, &a->memory);
    return text.size <= MAX_JSON ? text : when_too_long;
}

static record_hit hit_of(const funnel_answer *a, uint32_t candidate) {
    return (record_hit){.document = a->candidates[candidate].document, .score = a->scores[candidate],
                        .ranks = a->candidates[candidate].rank, .features = a->features + (size_t)candidate * a->columns->n,
                        .shadow = a->shadow_rank ? a->shadow_rank[candidate] : 0};
}

static record_hit *shown_hits(funnel_answer *a) {
    record_hit *hits = arena_alloc(&a->memory, (a->n_hits + 1) * sizeof *hits);
    for (size_t i = 0; i < a->n_hits; i++) {
        hits[i] = hit_of(a, a->hits[i].candidate);
        for (uint32_t p = 0; a->drafted && p < a->drafted->n; p++) {
            if (a->drafted->id[p] != a->hits[i].candidate) continue;
            hits[i].team = a->drafted->team[p] > 0 ? RECORD_SIDE_A : a->drafted->team[p] < 0 ? RECORD_SIDE_B : RECORD_SIDE_NONE;
            hits[i].lean = a->drafted->credit[p];
        }
    }
    return hits;
}

/* Drawn evenly among the candidates that come after the page, so that the ranker learns what it should keep away from it. */
static record_hit *draw_unshown(funnel_answer *a, uint32_t wanted, uint32_t *n) {
    size_t end = a->end, left = a->n_order > end ? a->n_order - end : 0;
    record_hit *out = arena_alloc(&a->memory, (wanted + 1) * sizeof *out);
    *n = 0;
    for (size_t i = 0; i < left && *n < wanted; i++)
        if (random_below(&a->random, (uint32_t)(left - i)) < wanted - *n) out[(*n)++] = hit_of(a, a->order[end + i]);
    return out;
}

/* Whether more than the core is logged, by the impression's own id: the same for whoever asks again. */
static bool logs_all(const funnel_answer *a) {
    double share = a->schema->ranking.log_features;
    double lot = (double)(hash64(a->query_id_slice.data, a->query_id_slice.size, 17) >> 11) * 0x1p-53;
    return lot < share && a->n_hits <= FUNNEL_MOST_LOGGED;
}

static void fill_ranking(funnel_answer *a, record_impression *r) {
    bool all = logs_all(a);
    if (all) r->unshown = draw_unshown(a, a->schema->ranking.log_unshown, &r->n_unshown);
    r->hits = shown_hits(a);
    r->n_hits = (uint32_t)a->n_hits;
    r->feature_set = all ? a->columns->id : FUNNEL_FEATURE_SET;
    r->n_features = all ? a->columns->n : F_COUNT;
    r->ranker = slice_of(a->scorer.name);
    r->ranker_version = a->scorer.version;
    r->experiment = a->experiment;
    r->side = a->side;
    r->shadow = a->shadow_name ? slice_of(a->shadow_name) : (slice){0};
    r->explored = a->explored;
    r->log_propensity = a->log_propensity;
    if (!all) return;
    uint32_t *rows = arena_alloc(&a->memory, (a->n_hits + r->n_unshown + 1) * sizeof *rows);
    for (size_t i = 0; i < a->n_hits; i++) rows[i] = a->hits[i].candidate;
    for (uint32_t i = 0; i < r->n_unshown; i++)
        rows[a->n_hits + i] = (uint32_t)((size_t)(r->unshown[i].features - a->features) / a->columns->n);
    funnel_describe_rest(a, rows, a->n_hits + r->n_unshown);
}

void funnel_log(funnel_answer *a) {
    if (!a->query_id_slice.size) return;
    funnel *f = a->funnel;
    /* What the strategies' budget is steered by: the cross-encoder has a budget of its own. */
    int64_t took = clock_monotonic(collection_clock(f->collection)) - a->started - (int64_t)a->cross.result.took_us;
    record_impression r = {
        .time = a->now, .query_id = a->query_id_slice,
        .query = cut(a->request->query, 1024), .memory_key = a->memory_key,
        .language = slice_of(text_language_code(a->understood.language)), .user = a->request->user,
        .session = a->request->session, .context = short_json(a, a->request->context, (slice){0}),
        .filter = short_json(a, a->request->filter, SLICE("(too long)")), /* no JSON: it cannot be asked again */
        .prefix = a->request->prefix, .offset = a->offset, .n_candidates = (uint32_t)a->n_united,
        .took_us = took > 0 ? (uint32_t)took : 0,
        .policy = slice_of(a->policy_name), .policy_version = a->decision.version,
        .propensity = a->decision.propensity, .n_levels = FUNNEL_LEVELS, .n_policy_features = X_COUNT,
        .n_strategies = RETRIEVE_STRATEGIES};
    memcpy(r.depths, funnel_depths, sizeof funnel_depths);
    fill_strategies(a, &r);
    fill_ranking(a, &r);
    logged *l = mem_zalloc(1, sizeof *l);
    l->funnel = f;
    l->columns = r.feature_set == a->columns->id ? a->columns : NULL;
    arena_init(&l->memory, 0);
    record_write_impression(&r, &l->record);
    store_job job = {impression_apply, impression_committed, l};
    if (store_write_async(collection_store(f->collection), &job)) return;
    log_warn("the log cannot keep up; an impression was dropped");
    buffer_release(&l->record);
    free(l);
    a->query_id_slice = (slice){0}; /* events for it could not be joined */
}
