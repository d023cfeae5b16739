#include "memory/behaviour.h"

#include <stdlib.h>

#define CHOSEN_SHARE 0.5f /* a tie by a common query, against one by a common user */

struct behaviour {
    trend *trends;
    _Atomic int64_t half_life;
};

forage_status behaviour_open(store_txn *t, int64_t half_life, behaviour **out, base_error *error) {
    behaviour *b = mem_zalloc(1, sizeof *b);
    b->half_life = half_life > 0 ? half_life : DECAY_HALF_LIFE;
    b->trends = trend_create(b->half_life);
    forage_status status = trend_load(b->trends, t, error);
    if (status) behaviour_close(b);
    else *out = b;
    return status;
}

void behaviour_close(behaviour *b) {
    if (!b) return;
    trend_destroy(b->trends);
    free(b);
}

const trend *behaviour_trends(const behaviour *b) { return b->trends; }
int64_t behaviour_half_life(const behaviour *b) { return b->half_life; }

bool behaviour_set_half_life(behaviour *b, int64_t half_life) {
    if (half_life == b->half_life) return true;
    if (!trend_set_half_life(b->trends, half_life)) return false;
    b->half_life = half_life;
    return true;
}

/* ---- Events ---- */

/* The user's own documents before this engagement, strongest first, each with at most one whole voice. */
static size_t partners_of(const profile *p, uint32_t document, float voice, graph_edge *out) {
    size_t n = 0;
    for (uint32_t i = 0; i < p->n_items && n < BEHAVIOUR_PARTNERS; i++)
        if (p->items[i].document != document)
            out[n++] = (graph_edge){p->items[i].document, voice * fminf(1, p->items[i].weight)};
    return n;
}

static size_t add_chosen(const behaviour_event *e, float voice, graph_edge *out, size_t n) {
    size_t own = n;
    for (size_t i = 0; i < e->n_chosen && n < own + BEHAVIOUR_CHOSEN; i++)
        if (e->chosen[i] != e->document) out[n++] = (graph_edge){e->chosen[i], voice * CHOSEN_SHARE};
    return n;
}

static forage_status record_profile(const behaviour *b, store_txn *t, const behaviour_event *e, float *voice,
                                    graph_edge *partners, size_t *n, base_error *error) {
    hash128 key;
    bool known = profile_key(e->user, e->session, &key);
    if (!known && !profile_key_of_search(e->query_id, &key)) {
        *voice = fminf(1, e->credit);
        *n = 0;
        return FORAGE_OK;
    }
    profile p;
    profile_read(t, &key, &p);
    profile_engagement engagement = {
        .document = e->document, .credit = e->credit, .origin = e->taught ? PROFILE_TAUGHT : PROFILE_CHOSEN,
        .query = e->query, .time = e->time, .now = e->now, .half_life = b->half_life,
        .attributes = e->attributes, .n_attributes = known ? e->n_attributes : 0, /* nobody comes back as a search */
        .segments = e->segments, .n_segments = known ? e->n_segments : 0};
    *voice = profile_engage(&p, &engagement);
    *n = partners_of(&p, e->document, *voice, partners);
    return profile_write(t, &key, &p, error);
}

static forage_status record_trend(const behaviour *b, store_txn *t, const behaviour_event *e, uint64_t group,
                                  behaviour_change *out, base_error *error) {
    if (out->n == TREND_MAX_CHANGES) return FORAGE_OK;
    return trend_earned(b->trends, t, group, e->document, out->voice, e->time, e->now, &out->trends[out->n++], error);
}

forage_status behaviour_record(const behaviour *b, store_txn *t, const behaviour_event *e, behaviour_change *out,
                               base_error *error) {
    graph_edge edges[BEHAVIOUR_PARTNERS + BEHAVIOUR_CHOSEN];
    size_t n = 0;
    *out = (behaviour_change){0};
    if (!(e->credit > 0)) return FORAGE_OK;
    forage_status status = record_profile(b, t, e, &out->voice, edges, &n, error);
    if (status || !(out->voice > 0)) return status;
    n = add_chosen(e, out->voice, edges, n);
    status = graph_link(t, e->document, edges, n, e->time, e->now, b->half_life, error);
    if (!status) status = record_trend(b, t, e, TREND_EVERYONE, out, error);
    if (!status && e->type.size) status = record_trend(b, t, e, trend_type_group(e->type), out, error);
    for (size_t i = 0; !status && i < e->n_segments && i < PROFILE_SEGMENTS; i++)
        status = record_trend(b, t, e, e->segments[i], out, error);
    return status;
}

void behaviour_committed(behaviour *b, const behaviour_change *change) { trend_apply(b->trends, change->trends, change->n); }

void behaviour_shown(behaviour *b, const uint32_t *documents, size_t n, int64_t time, int64_t now) {
    trend_shown(b->trends, documents, n, time, now);
}

void behaviour_forget_shown(behaviour *b) { trend_forget_shown(b->trends); }
forage_status behaviour_save(behaviour *b, store_txn *t, base_error *error) { return trend_save(b->trends, t, error); }
void behaviour_saved(behaviour *b) { trend_saved(b->trends); }

size_t behaviour_attributes(const sparse_snapshot *s, uint32_t document, arena *a, size_t most, profile_attribute *out) {
    size_t n = 0;
    for (uint32_t f = 0; f < s->config->n_fields && n < most; f++) {
        slice *values;
        if (s->config->fields[f].kind != SPARSE_KEYWORD) continue;
        size_t count = sparse_keywords_of(s, document, f, a, &values);
        for (size_t i = 0; i < count && n < most; i++) out[n++] = (profile_attribute){f, values[i], 0};
    }
    return n;
}
