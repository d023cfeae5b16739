/* Rank: in what order? A ranker scores the candidates' features; order.c makes an order of the scores. */
#include "funnel/answer.h"
#include "funnel/describe.h"
#include "funnel/models.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Which ranker ---- */

#define MODEL "model:"

static forage_status take_model(funnel_answer *a, uint64_t number, funnel_scorer *out, base_error *error) {
    funnel *f = a->funnel;
    forage_status status = models_acquire(f->models, collection_store(f->collection), number, a->columns, &out->model, error);
    if (status) return status;
    char name[32];
    snprintf(name, sizeof name, MODEL "%llu", (unsigned long long)number);
    out->kind = FUNNEL_SCORE_MODEL;
    out->name = arena_strndup(&a->memory, name, strlen(name));
    out->version = number;
    return FORAGE_OK;
}

/* A model that cannot be read does not take the search with it. */
static forage_status take_serving(funnel_answer *a, bool must, funnel_scorer *out, base_error *error) {
    uint64_t active = models_active(a->funnel->models);
    base_error why = {0};
    if (active && take_model(a, active, out, &why) == FORAGE_OK) return FORAGE_OK;
    if (active) funnel_complain_once(a->funnel, active, why.message);
    if (!active && must)
        return error_set(error, FORAGE_E_INVALID, "\"ranker\": no model serves in this collection yet; train or activate one");
    *out = (funnel_scorer){.kind = FUNNEL_SCORE_ONLINE, .name = "linear", .version = ranker_updates(a->funnel->ranker)};
    return FORAGE_OK;
}

forage_status funnel_take_scorer(funnel_answer *a, slice name, funnel_scorer *out, base_error *error) {
    *out = (funnel_scorer){.kind = FUNNEL_SCORE_RRF, .name = "rrf"};
    if (!schema_ranker_known(name))
        return error_set(error, FORAGE_E_INVALID, "\"ranker\": there is no \"%.*s\"; use auto, linear, rrf, model or model:NUMBER",
                         SLICE_ARG(name));
    if (slice_is(name, "rrf")) return FORAGE_OK;
    if (slice_is(name, "auto") || slice_is(name, "model")) return take_serving(a, slice_is(name, "model"), out, error);
    if (slice_is(name, "linear")) {
        *out = (funnel_scorer){.kind = FUNNEL_SCORE_ONLINE, .name = "linear", .version = ranker_updates(a->funnel->ranker)};
        return FORAGE_OK;
    }
    char digits[32] = {0};
    memcpy(digits, name.data + sizeof MODEL - 1, name.size - (sizeof MODEL - 1)); /* schema_ranker_known bounds it */
    forage_status status = take_model(a, strtoull(digits, NULL, 10), out, error);
    return status ? error_prefix(error, "\"ranker\"") : FORAGE_OK;
}

void funnel_release_scorer(funnel_scorer *s) {
    models_release(s->model);
    *s = (funnel_scorer){0};
}

/* ---- Scores ---- */

#define RRF_K 60.0f

static void describe_all(funnel_answer *a) {
    uint32_t *all = arena_alloc(&a->memory, (a->n_candidates + 1) * sizeof *all);
    for (size_t i = 0; i < a->n_candidates; i++) all[i] = (uint32_t)i;
    funnel_describe_rest(a, all, a->n_candidates);
}

float *funnel_score(funnel_answer *a, const funnel_scorer *s) {
    size_t n = a->n_candidates, stride = a->columns->n;
    float *scores = arena_alloc(&a->memory, (n + 1) * sizeof *scores);
    if (s->kind == FUNNEL_SCORE_MODEL) {
        describe_all(a);
        model_score(s->model, a->features, n, stride, &a->memory, scores);
    } else if (s->kind == FUNNEL_SCORE_ONLINE) {
        ranker_score(a->funnel->ranker, a->features, n, stride, scores);
    } else {
        for (size_t i = 0; i < n; i++) scores[i] = rank_rrf(a->candidates[i].rank, RETRIEVE_STRATEGIES, RRF_K);
    }
    return scores;
}

/* Where the shadow would have had every candidate. What it costs is spent on searches that are logged only: without the log
 * nobody would ever know. */
static void ask_shadow(funnel_answer *a) {
    uint64_t number = models_shadow(a->funnel->models);
    funnel_scorer shadow = {0};
    if (!number || !a->query_id_slice.size || a->offset || take_model(a, number, &shadow, NULL)) return;
    float *scores = funnel_cross_last(a, funnel_score(a, &shadow));
    uint32_t *order = funnel_sorted(a, scores);
    a->shadow_rank = arena_alloc(&a->memory, (a->n_candidates + 1) * sizeof *a->shadow_rank);
    for (size_t i = 0; i < a->n_candidates; i++) a->shadow_rank[order[i]] = (uint32_t)i + 1;
    a->shadow_name = shadow.name;
    funnel_release_scorer(&shadow);
}

forage_status funnel_rank(funnel_answer *a, base_error *error) {
    int64_t started = clock_monotonic(&os_clock_system);
    slice name = a->request->ranker.size ? a->request->ranker : slice_of(a->schema->ranker);
    a->columns = funnel_columns(a->funnel, a->schema);
    forage_status status = funnel_check_given(a, error);
    if (!status) status = funnel_check_cross(a, error);
    if (!status) status = funnel_add_pinned(a, error);
    if (status) return status;
    funnel_describe_core(a);
    status = funnel_compare(a, name, error); /* an experiment may choose the ranker, or draft from two */
    if (status) return status;
    a->scores = funnel_score(a, &a->scorer);
    if (funnel_cross_read(a)) a->scores = funnel_score(a, &a->scorer); /* now with what it found */
    if (a->request->explain && a->scorer.kind == FUNNEL_SCORE_ONLINE) ranker_weights(a->funnel->ranker, a->weights, NULL);
    ask_shadow(a);
    status = funnel_order(a, error);
    a->rank_us = (uint32_t)(clock_monotonic(&os_clock_system) - started);
    return status;
}
