/* Engagement: what people chose, told to profiles, trends and the graph; and what is known from elsewhere. */
#include "funnel/answer.h"

#include "memory/profile_trace.h"

#include <stdlib.h>
#include <string.h>

void funnel_count_shown(funnel *f, const record_impression *r, arena *a) {
    uint32_t *documents = arena_alloc(a, (r->n_hits + 1) * sizeof *documents);
    for (uint32_t i = 0; i < r->n_hits; i++) documents[i] = r->hits[i].document;
    behaviour_shown(f->behaviour, documents, r->n_hits, r->time, clock_wall(collection_clock(f->collection)));
}

#define MOST_ATTRIBUTES 32
#define LOOK_AT_ROWS 256

static int most_rewarded_first(const void *x, const void *y) {
    const memory_row *a = x, *b = y;
    if (a->rewards != b->rewards) return a->rewards > b->rewards ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

/* What others chose after the same query. */
static size_t chosen_after(store_txn *t, hash128 key, arena *a, uint32_t chosen[BEHAVIOUR_CHOSEN]) {
    memory_row *rows;
    size_t n = memory_rows_of(t, key, LOOK_AT_ROWS, a, &rows);
    if (n) qsort(rows, n, sizeof *rows, most_rewarded_first);
    if (n > BEHAVIOUR_CHOSEN) n = BEHAVIOUR_CHOSEN;
    for (size_t i = 0; i < n; i++) chosen[i] = rows[i].document;
    return n;
}

forage_status funnel_engage(funnel *f, store_txn *t, const sparse_snapshot *snapshot, const record_impression *r,
                            const record_event *e, bool taught, arena *a, behaviour_change *out, base_error *error) {
    segment_fields fields = funnel_segment_fields(collection_schema(f->collection));
    memory_segment groups[SEGMENTS_MAX];
    uint64_t segments[SEGMENTS_MAX];
    uint32_t chosen[BEHAVIOUR_CHOSEN];
    profile_attribute attributes[MOST_ATTRIBUTES];
    size_t n = segments_read(&fields, r->context, a, groups);
    for (size_t i = 0; i < n; i++) segments[i] = groups[i].hash;
    slice *types, type = {0};
    int32_t type_field = snapshot->config->type;
    if (type_field >= 0 && sparse_keywords_of(snapshot, e->document, (uint32_t)type_field, a, &types)) type = types[0];
    behaviour_event engagement = {
        .user = e->user.size ? e->user : r->user, .session = e->session.size ? e->session : r->session,
        .query_id = r->query_id, .document = e->document, .credit = e->credit < 1 ? e->credit : 1, .taught = taught, .time = e->time,
        .query = r->query.size ? profile_query(&r->memory_key) : 0,
        .now = clock_wall(collection_clock(f->collection)), .segments = segments, .n_segments = n,
        .attributes = attributes, .n_attributes = behaviour_attributes(snapshot, e->document, a, MOST_ATTRIBUTES, attributes),
        .type = type, .chosen = chosen,
        .n_chosen = r->query.size ? chosen_after(t, r->memory_key, a, chosen) : 0};
    return behaviour_record(f->behaviour, t, &engagement, out, error);
}

/* ---- What is known from elsewhere ---- */

typedef struct teaching {
    funnel *funnel;
    const schema *schema;
    const funnel_engagement *engagements;
    size_t n, taught;
    text_analyzer *analyzer;
    const sparse_snapshot *snapshot;
    behaviour_change *changes;
    memory_changes remembered;
    arena memory;
} teaching;

/* As if it had been found first on a page that nobody else saw. */
static forage_status teach_memory(teaching *w, store_txn *t, const funnel_engagement *g, record_impression *r, record_event *e,
                                  base_error *error) {
    buffer normalized = {0};
    /* Taught queries are in no log, where erasing a user would find theirs. */
    if (!g->query.size || profile_mentions(g->query, g->user) || profile_mentions(g->query, g->session)) return FORAGE_OK;
    text_normalize_query(w->analyzer, g->query, &normalized);
    r->memory_key = memory_key((slice){normalized.data, normalized.size});
    buffer_release(&normalized);
    return query_memory_earned(w->funnel->memory, t, &w->remembered, r, e, true, error);
}

static forage_status teach_one(teaching *w, store_txn *t, const funnel_engagement *g, base_error *error) {
    uint32_t number;
    float reward;
    if (!schema_reward(w->schema, g->action, &reward) || !(reward > 0) || !collection_number_of(t, g->document, &number))
        return FORAGE_OK;
    record_impression r = {.time = g->time, .query = g->query, .user = g->user, .session = g->session,
                           .context = funnel_json_text(g->context, &w->memory)};
    record_event e = {.time = g->time, .user = g->user, .session = g->session, .document = number, .reward = reward, .credit = reward};
    forage_status status = teach_memory(w, t, g, &r, &e, error);
    if (!status) status = funnel_engage(w->funnel, t, w->snapshot, &r, &e, !g->query.size, &w->memory, &w->changes[w->taught], error);
    w->taught++;
    return status;
}

static forage_status teach_apply(store_txn *t, void *self, base_error *error) {
    teaching *w = self;
    forage_status status = FORAGE_OK;
    w->taught = 0;
    arena_reset(&w->memory);
    memory_changes_reset(&w->remembered);
    for (size_t i = 0; !status && i < w->n; i++) status = teach_one(w, t, &w->engagements[i], error);
    return status;
}

static void teach_committed(void *self, forage_status status) {
    teaching *w = self;
    if (status) return;
    query_memory_publish(w->funnel->memory, &w->remembered);
    for (size_t i = 0; i < w->taught; i++) behaviour_committed(w->funnel->behaviour, &w->changes[i]);
}

#define AT_ONCE 256

static forage_status teach_some(teaching *w, const funnel_engagement *engagements, size_t n, size_t *taught, base_error *error) {
    w->engagements = engagements;
    w->n = n;
    w->snapshot = collection_acquire(w->funnel->collection);
    store_job job = {teach_apply, teach_committed, w};
    forage_status status = store_write(collection_store(w->funnel->collection), &job, error);
    collection_release(w->funnel->collection, w->snapshot);
    if (!status) *taught += w->taught;
    return status;
}

forage_status funnel_teach(funnel *f, const funnel_engagement *engagements, size_t n, size_t *taught, base_error *error) {
    teaching w = {.funnel = f, .schema = collection_schema(f->collection), .analyzer = text_analyzer_create(),
                  .changes = mem_zalloc(AT_ONCE, sizeof *w.changes)};
    forage_status status = FORAGE_OK;
    size_t done = 0;
    arena_init(&w.memory, 0);
    for (size_t i = 0; !status && i < n; i += AT_ONCE)
        status = teach_some(&w, engagements + i, n - i < AT_ONCE ? n - i : AT_ONCE, &done, error);
    memory_changes_release(&w.remembered);
    arena_release(&w.memory);
    text_analyzer_destroy(w.analyzer);
    free(w.changes);
    *taught = done;
    return status;
}
