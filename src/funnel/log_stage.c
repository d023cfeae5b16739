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
    uint64_t saves; /* the learned state up to this record is saved in the same transaction; 0: it is not */
} logged;

forage_status funnel_append_log(funnel *f, store_txn *t, slice record, uint64_t *sequence, base_error *error) {
    uint8_t key[8];
    *sequence = f->next_sequence++;
    store_be64(key, *sequence);
    return store_append(t, STORE_LOG, (slice){(const char *)key, 8}, record, error);
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
    uint32_t *documents = arena_alloc(&l->memory, (r.n_hits + 1) * sizeof *documents);
    for (uint32_t i = 0; i < r.n_hits; i++) documents[i] = r.hits[i].document;
    if (!status) status = memory_shown(t, r.memory_key, documents, r.n_hits, r.time, error);
    funnel *f = l->funnel;
    bool tried = f->save_tried == f->learned_sequence && !l->saves; /* by an earlier job of this group */
    if (status || tried || l->sequence - f->saved_sequence < FUNNEL_SAVE_EVERY) return status;
    l->saves = f->save_tried = f->learned_sequence;
    return funnel_save_state(f, t, error);
}

static void impression_committed(void *self, forage_status status) {
    logged *l = self;
    record_impression r;
    arena_reset(&l->memory);
    if (!status && l->saves) l->funnel->saved_sequence = l->saves;
    if (status) log_warn("an impression could not be stored: %s", status_message(status));
    else if (!record_read_impression((slice){l->record.data, l->record.size}, &l->memory, &r)) {
        funnel_learn_impression(l->funnel, &r);
        l->funnel->learned_sequence = l->sequence;
    }
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
                                 .late = funnel_slot_late(slot)};
        memcpy(out->probability, a->decision.probability[s], FUNNEL_LEVELS * sizeof(float));
    }
}

static slice cut(slice text, size_t most) {
    if (text.size <= most) return text;
    while (most && ((unsigned char)text.data[most] & 0xC0) == 0x80) most--;
    return (slice){text.data, most};
}

#define MAX_CONTEXT 4096

static slice context_text(funnel_answer *a) {
    if (!a->request->context) return (slice){0};
    buffer text = {0};
    json_writer w = json_writer_of(&text);
    json_value_write(&w, a->request->context);
    slice out = text.size <= MAX_CONTEXT ? arena_slice(&a->memory, (slice){text.data, text.size}) : (slice){0};
    buffer_release(&text);
    return out;
}

void funnel_log(funnel_answer *a) {
    if (!a->query_id_slice.size) return;
    funnel *f = a->funnel;
    record_hit *hits = arena_alloc(&a->memory, (a->n_hits + 1) * sizeof *hits);
    for (size_t i = 0; i < a->n_hits; i++) {
        uint32_t candidate = a->hits[i].candidate;
        hits[i] = (record_hit){a->hits[i].document, a->hits[i].score, a->candidates[candidate].rank,
                               a->features + (size_t)candidate * F_COUNT};
    }
    record_impression r = {
        .time = clock_wall(collection_clock(f->collection)), .query_id = a->query_id_slice,
        .query = cut(a->request->query, 1024), .memory_key = a->memory_key,
        .language = slice_of(text_language_code(a->understood.language)), .user = a->request->user,
        .session = a->request->session, .context = context_text(a), .offset = a->request->offset,
        .policy = slice_of(a->policy_name), .policy_version = a->decision.version,
        .propensity = a->decision.propensity, .n_levels = FUNNEL_LEVELS, .n_policy_features = X_COUNT,
        .n_strategies = RETRIEVE_STRATEGIES, .ranker = slice_of(a->ranker_name),
        .ranker_version = a->ranker_version, .feature_set = FUNNEL_FEATURE_SET, .n_features = F_COUNT,
        .n_hits = (uint32_t)a->n_hits, .hits = hits};
    memcpy(r.depths, funnel_depths, sizeof funnel_depths);
    fill_strategies(a, &r);
    logged *l = mem_zalloc(1, sizeof *l);
    l->funnel = f;
    arena_init(&l->memory, 0);
    record_write_impression(&r, &l->record);
    store_job job = {impression_apply, impression_committed, l};
    if (store_write_async(collection_store(f->collection), &job)) return;
    log_warn("the log cannot keep up; an impression was dropped");
    buffer_release(&l->record);
    free(l);
    a->query_id_slice = (slice){0}; /* events for it could not be joined */
}
