/* The cross-encoder's stage: the first of the ranker's order are read together with the query. What it says is a feature, so that
 * a trained model can weigh it: the candidates are ranked again with it. Where the schema says "last", it orders what it scored. */
#include "funnel/answer.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

forage_status funnel_check_cross(const funnel_answer *a, base_error *error) {
    if (a->request->cross_encoder <= 0 || a->schema->ranking.cross.model) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"cross_encoder\": the schema's \"ranking\" has none");
}

/* A page that is frozen has its order already; without words there is nothing to read with the documents. */
static bool is_wanted(const funnel_answer *a) {
    const schema_cross *c = &a->schema->ranking.cross;
    bool on = a->request->cross_encoder < 0 ? c->on : a->request->cross_encoder > 0;
    return c->model && on && a->understood.normalized.size && !a->request->page.size && a->n_candidates;
}

/* ---- Which ---- */

/* The first `top` of the first page's list; where two rankers share the page those of both, in turns, so that neither is favoured
 * when time is short. */
static void choose(funnel_answer *a) {
    size_t n_orders = a->rival.name ? 2 : 1, top = a->schema->ranking.cross.top, at[2] = {0};
    uint32_t *order[2] = {funnel_sorted(a, a->scores)};
    if (a->rival.name) order[1] = funnel_sorted(a, funnel_score(a, &a->rival));
    const bool *hidden = funnel_hidden(a);
    bool *taken = arena_zalloc(&a->memory, a->n_candidates + 1, sizeof *taken);
    a->cross.chosen = arena_alloc(&a->memory, (n_orders * top + 1) * sizeof *a->cross.chosen);
    for (size_t i = 0; i < top; i++)
        for (size_t o = 0; o < n_orders; o++) {
            while (at[o] < a->n_candidates && hidden && hidden[order[o][at[o]]]) at[o]++;
            if (at[o] == a->n_candidates || a->candidates[order[o][at[o]]].tier > 0) continue;
            uint32_t candidate = order[o][at[o]++];
            if (taken[candidate]) continue;
            taken[candidate] = true;
            a->cross.chosen[a->cross.n++] = candidate;
        }
}

/* ---- The feature ---- */

static float *feature_of(const funnel_answer *a, uint32_t candidate) {
    return a->features + (size_t)candidate * a->columns->n + a->columns->first[COLUMNS_CROSS];
}

/* What somebody else's candidate brings is not asked for again. */
static size_t without_given(funnel_answer *a, uint32_t *documents, uint32_t *places) {
    size_t n = 0;
    for (size_t i = 0; i < a->cross.n; i++) {
        uint32_t candidate = a->cross.chosen[i], column = a->columns->first[COLUMNS_CROSS];
        funnel_describe_given(a, candidate, column, column + 1);
        a->cross.score[i] = *feature_of(a, candidate);
        if (!isnan(a->cross.score[i])) continue;
        documents[n] = a->candidates[candidate].document;
        places[n++] = (uint32_t)i;
    }
    return n;
}

bool funnel_cross_read(funnel_answer *a) {
    funnel *f = a->funnel;
    a->cross = (funnel_cross){.asked = is_wanted(a)};
    if (!a->cross.asked) return false;
    choose(a);
    size_t n = a->cross.n;
    uint32_t *documents = arena_alloc(&a->memory, (n + 1) * sizeof *documents), *places = arena_alloc(&a->memory, (n + 1) * sizeof *places);
    float *found = arena_alloc(&a->memory, (n + 1) * sizeof *found);
    a->cross.score = arena_alloc(&a->memory, (n + 1) * sizeof *a->cross.score);
    cross_request r = {.schema = a->schema, .txn = a->txn, .query = a->request->query, .documents = documents,
                       .n = without_given(a, documents, places), .deadline = a->asked.deadline};
    a->cross.result = cross_encoder_score(f->cross, &r, &a->memory, found);
    for (size_t i = 0; i < r.n; i++) {
        a->cross.score[places[i]] = found[i];
        *feature_of(a, a->cross.chosen[places[i]]) = found[i];
    }
    atomic_fetch_add_explicit(&f->column_us[COLUMNS_CROSS], a->cross.result.took_us, memory_order_relaxed);
    for (size_t i = 0; i < n; i++)
        if (!isnan(a->cross.score[i])) return true;
    return false;
}

/* ---- The last stage ---- */

typedef struct contender {
    uint32_t candidate, tie;
    float cross, ranked;
    double blend;
} contender;

static int by_blend(const void *x, const void *y) {
    const contender *p = x, *q = y;
    if (p->blend != q->blend) return p->blend > q->blend ? -1 : 1;
    if (p->ranked != q->ranked) return p->ranked > q->ranked ? -1 : 1;
    return (p->tie > q->tie) - (p->tie < q->tie);
}

static int falling(const void *x, const void *y) {
    float p = *(const float *)x, q = *(const float *)y;
    return (p < q) - (p > q);
}

static double scaled(float x, float low, float high) {
    return high > low ? ((double)x - (double)low) / ((double)high - (double)low) : 0;
}

/* A convex combination of both scores, each scaled to 0 … 1 over what was scored (Bruch, Gai & Ingber 2023). */
static void blend(contender *list, size_t n, double weight) {
    float low[2] = {INFINITY, INFINITY}, high[2] = {-INFINITY, -INFINITY};
    for (size_t i = 0; i < n; i++) {
        low[0] = fminf(low[0], list[i].cross), high[0] = fmaxf(high[0], list[i].cross);
        low[1] = fminf(low[1], list[i].ranked), high[1] = fmaxf(high[1], list[i].ranked);
    }
    for (size_t i = 0; i < n; i++)
        list[i].blend = weight * scaled(list[i].cross, low[0], high[0]) + (1 - weight) * scaled(list[i].ranked, low[1], high[1]);
}

/* Those that were scored share the ranker's scores of them anew, the best the highest. So they change places among themselves, what
 * was not scored stays where it was, and scores keep the ranker's scale, which value, diversity and exploration count on. */
float *funnel_cross_last(funnel_answer *a, float *scores) {
    const schema_cross *c = &a->schema->ranking.cross;
    if (!a->cross.asked || !c->last) return scores;
    contender *list = arena_alloc(&a->memory, (a->cross.n + 1) * sizeof *list);
    float *shared = arena_alloc(&a->memory, (a->cross.n + 1) * sizeof *shared);
    size_t n = 0;
    for (size_t i = 0; i < a->cross.n; i++) {
        uint32_t candidate = a->cross.chosen[i];
        if (isnan(a->cross.score[i])) continue;
        uint32_t tie = a->n_given ? candidate : a->candidates[candidate].document;
        list[n++] = (contender){.candidate = candidate, .tie = tie, .cross = a->cross.score[i], .ranked = scores[candidate]};
        shared[n - 1] = scores[candidate];
    }
    if (n < 2) return scores;
    blend(list, n, c->weight);
    qsort(list, n, sizeof *list, by_blend);
    qsort(shared, n, sizeof *shared, falling);
    float *out = arena_alloc(&a->memory, (a->n_candidates + 1) * sizeof *out);
    memcpy(out, scores, a->n_candidates * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        if (i && shared[i] >= shared[i - 1]) shared[i] = nextafterf(shared[i - 1], -INFINITY); /* what the ranker held for equal */
        out[list[i].candidate] = shared[i];
    }
    return out;
}

/* ---- JSON ---- */

void funnel_write_cross(const funnel_answer *a, json_writer *w) {
    const cross_result *r = &a->cross.result;
    if (!a->cross.asked) return;
    json_key(w, "cross_encoder");
    json_begin_object(w);
    json_key(w, "ready");
    json_bool(w, r->ready);
    json_key(w, "candidates");
    json_integer(w, (int64_t)a->cross.n);
    json_key(w, "scored");
    json_integer(w, r->scored);
    json_key(w, "cached");
    json_integer(w, r->cached);
    json_key(w, "late");
    json_bool(w, r->late);
    json_key(w, "last");
    json_bool(w, a->schema->ranking.cross.last);
    json_key(w, "took_us");
    json_integer(w, r->took_us);
    json_end_object(w);
}

void funnel_write_cross_hit(const funnel_answer *a, uint32_t candidate, json_writer *w) {
    for (size_t i = 0; a->cross.asked && i < a->cross.n; i++) {
        if (a->cross.chosen[i] != candidate || isnan(a->cross.score[i])) continue;
        json_key(w, "cross_encoder");
        json_begin_object(w);
        json_key(w, "score");
        json_float(w, (double)a->cross.score[i]);
        json_key(w, "rank_before");
        json_integer(w, (int64_t)i + 1);
        json_end_object(w);
    }
}

static const char *state_of(const cross_info *i) { return i->version ? "ready" : i->opening ? "opening" : "problem"; }

void funnel_write_cross_stats(funnel *f, json_writer *w) {
    const schema_cross *c = &collection_schema(f->collection)->ranking.cross;
    cross_info i;
    if (!cross_encoder_describe(f->cross, &i)) return;
    const struct {
        const char *name;
        uint64_t n;
    } counts[] = {{"searches", i.searches}, {"scored", i.scored}, {"cached", i.cached}, {"late", i.late}, {"unready", i.unready}};
    char version[17];
    snprintf(version, sizeof version, "%016llx", (unsigned long long)i.version);
    json_key(w, "cross_encoder");
    json_begin_object(w);
    json_key(w, "model");
    json_text(w, c->model);
    json_key(w, "state");
    json_text(w, state_of(&i));
    json_key(w, "version");
    json_text(w, i.version ? version : NULL);
    json_key(w, "problem");
    json_text(w, i.problem[0] ? i.problem : NULL);
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++) {
        json_key(w, counts[n].name);
        json_integer(w, (int64_t)counts[n].n);
    }
    json_key(w, "mean_us");
    json_float(w, i.searches ? (double)i.took_us / (double)i.searches : 0);
    json_end_object(w);
}

void funnel_write_cross_metrics(funnel *f, buffer *out) {
    cross_info i;
    const char *name = collection_name(f->collection);
    if (!cross_encoder_describe(f->cross, &i)) return;
    const struct {
        const char *name;
        uint64_t n;
    } counts[] = {{"searches", i.searches}, {"scored", i.scored}, {"cached", i.cached}, {"late", i.late}, {"unready", i.unready}};
    for (size_t n = 0; n < sizeof counts / sizeof *counts; n++)
        buffer_printf(out, "forage_cross_encoder_%s_total{collection=\"%s\"} %llu\n", counts[n].name, name,
                      (unsigned long long)counts[n].n);
    buffer_printf(out, "forage_cross_encoder_seconds_total{collection=\"%s\"} %.6f\n", name, (double)i.took_us / 1e6);
}
