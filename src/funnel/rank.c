/* Rank: in what order? Features, model, order. */
#include "funnel/answer.h"

#include "retrieve/gather.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *const funnel_feature_names[] = {
    [F_LEXICAL_RRF] = "lexical_rrf", [F_LEXICAL_SCORE] = "lexical_score", [F_MEMORY_RRF] = "memory_rrf",
    [F_MEMORY_MEAN] = "memory_mean", [F_MEMORY_SURE] = "memory_sure", [F_POPULAR_RRF] = "popular_rrf",
    [F_FRESH_RRF] = "fresh_rrf", [F_RELATED_RRF] = "related_rrf", [F_EXPLORE_RRF] = "explore_rrf",
    [F_FOUND_BY] = "found_by", [F_POPULARITY] = "popularity", [F_TYPE_MATCH] = "type_match",
    [F_SHORT_LEXICAL] = "lexical_score_short_query", [F_SHORT_POPULARITY] = "popularity_short_query",
    [F_BROWSE_POPULAR] = "popular_rrf_no_words", [F_BROWSE_FRESH] = "fresh_rrf_no_words",
    [F_PERSONAL_RRF] = "personal_rrf", [F_AFFINITY] = "user_document", [F_BROWSE_PERSONAL] = "personal_rrf_no_words",
};

const uint32_t funnel_feature_count = F_COUNT;

/* The belief before any event. Words and the memory decide; the rest breaks near-ties. Within what lexical search found,
 * rank and score agree, so that the order is its own until something else is known. Without words, popularity stands in for
 * them, with weights of its own: what is learned there says nothing about searches. */
const float funnel_prior_weights[F_COUNT] = {
    [F_LEXICAL_RRF] = 1.0f, [F_LEXICAL_SCORE] = 2.0f, [F_MEMORY_RRF] = 0.3f, [F_MEMORY_MEAN] = 4.0f,
    [F_MEMORY_SURE] = 0.5f, [F_POPULAR_RRF] = 0.02f, [F_FRESH_RRF] = 0.01f, [F_RELATED_RRF] = 0.3f,
    [F_EXPLORE_RRF] = 0.0f, [F_FOUND_BY] = 0.0f, [F_POPULARITY] = 0.02f, [F_TYPE_MATCH] = 0.15f,
    [F_BROWSE_POPULAR] = 3.0f, [F_BROWSE_FRESH] = 0.5f, [F_PERSONAL_RRF] = 0.2f, [F_AFFINITY] = 0.1f, [F_BROWSE_PERSONAL] = 3.0f,
};
/* How readily each moves: the memory's own weights soonest, since they are about this query and nothing else. */
const float funnel_prior_variances[F_COUNT] = {
    [F_LEXICAL_RRF] = 0.02f, [F_LEXICAL_SCORE] = 0.02f, [F_MEMORY_RRF] = 0.05f, [F_MEMORY_MEAN] = 0.5f,
    [F_MEMORY_SURE] = 0.1f, [F_POPULAR_RRF] = 0.01f, [F_FRESH_RRF] = 0.01f, [F_RELATED_RRF] = 0.02f,
    [F_EXPLORE_RRF] = 0.005f, [F_FOUND_BY] = 0.01f, [F_POPULARITY] = 0.02f, [F_TYPE_MATCH] = 0.02f,
    [F_SHORT_LEXICAL] = 0.01f, [F_SHORT_POPULARITY] = 0.01f,
    [F_BROWSE_POPULAR] = 0.02f, [F_BROWSE_FRESH] = 0.02f, [F_PERSONAL_RRF] = 0.05f, [F_AFFINITY] = 0.05f,
    [F_BROWSE_PERSONAL] = 0.05f,
};

#define RRF_K 60.0f

/* 1 for the first, falling as reciprocal-rank fusion does; 0 when not found. */
static float reciprocal(uint32_t rank) { return rank ? (RRF_K + 1) / (RRF_K + (float)rank) : 0; }

/* What is known of candidates beside what found them. */
typedef struct known {
    gather rows;  /* of the memory: place + 1 */
    gather items; /* of the user's profile: weight */
    float best_lexical;
} known;

static known gather_known(funnel_answer *a) {
    const funnel_slot *lexical = &a->slots[RETRIEVE_IS_LEXICAL];
    const profile *p = a->profile;
    known k = {.best_lexical = lexical->state == SLOT_DONE && lexical->n_hits ? lexical->hits[0].score : 0};
    gather_init(&k.rows, a->n_rows, &a->memory);
    for (size_t i = 0; i < a->n_rows; i++) gather_add(&k.rows, a->rows[i].document, (float)(i + 1));
    gather_init(&k.items, p ? p->n_items : 0, &a->memory);
    for (uint32_t i = 0; p && i < p->n_items; i++) gather_add(&k.items, p->items[i].document, p->items[i].weight);
    return k;
}

/* How likely the reader's type word means this document's type. */
static float type_match(funnel_answer *a, uint32_t document) {
    float likelihood = 0;
    slice *types = NULL;
    size_t n = 0;
    for (size_t i = 0; i < a->understood.n_interpretations; i++) {
        const understand_interpretation *reading = &a->understood.interpretations[i];
        if (reading->kind != UNDERSTAND_TYPE_WORD || a->snapshot->config->type < 0) continue;
        if (!types) n = sparse_keywords_of(a->snapshot, document, (uint32_t)a->snapshot->config->type, &a->memory, &types);
        for (size_t t = 0; t < n; t++)
            if (slice_equal(types[t], reading->type)) likelihood += (float)reading->likelihood;
    }
    return likelihood;
}

static void describe(funnel_answer *a, const funnel_candidate *c, const known *k, float *x) {
    float best_lexical = k->best_lexical;
    uint32_t found_by = 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) found_by += c->rank[s] > 0;
    uint32_t place = (uint32_t)gather_score(&k->rows, c->document);
    const memory_row *row = place ? &a->rows[place - 1] : NULL;
    x[F_LEXICAL_RRF] = reciprocal(c->rank[RETRIEVE_IS_LEXICAL]);
    x[F_LEXICAL_SCORE] = best_lexical > 0 ? c->raw[RETRIEVE_IS_LEXICAL] / best_lexical : 0;
    x[F_MEMORY_RRF] = reciprocal(c->rank[RETRIEVE_IS_MEMORY]);
    x[F_MEMORY_MEAN] = row ? row->mean : 0;
    x[F_MEMORY_SURE] = row ? row->mean * row->impressions / (row->impressions + MEMORY_PRIOR_STRENGTH) : 0;
    bool browsing = a->n_terms == 0;
    x[browsing ? F_BROWSE_POPULAR : F_POPULAR_RRF] = reciprocal(c->rank[RETRIEVE_IS_POPULAR]);
    x[browsing ? F_BROWSE_FRESH : F_FRESH_RRF] = reciprocal(c->rank[RETRIEVE_IS_FRESH]);
    x[browsing ? F_BROWSE_PERSONAL : F_PERSONAL_RRF] = reciprocal(c->rank[RETRIEVE_IS_PERSONAL]);
    x[F_AFFINITY] = fminf(1, gather_score(&k->items, c->document)); /* the user engaged with this very document */
    x[F_RELATED_RRF] = reciprocal(c->rank[RETRIEVE_IS_RELATED]);
    x[F_EXPLORE_RRF] = c->rank[RETRIEVE_IS_EXPLORE] > 0;
    x[F_FOUND_BY] = (float)found_by / RETRIEVE_STRATEGIES;
    float popularity = sparse_prior_of(a->snapshot, c->document);
    x[F_POPULARITY] = browsing ? 0 : popularity;
    x[F_TYPE_MATCH] = type_match(a, c->document);
    bool is_short = a->n_terms > 0 && a->n_terms <= 2;
    x[F_SHORT_LEXICAL] = is_short ? x[F_LEXICAL_SCORE] : 0;
    x[F_SHORT_POPULARITY] = is_short ? popularity : 0;
}

typedef struct sortable {
    uint32_t tier;
    float score;
    uint32_t document, candidate;
} sortable;

static int best_first(const void *x, const void *y) {
    const sortable *p = x, *q = y;
    if (p->tier != q->tier) return p->tier < q->tier ? -1 : 1;
    if (p->score != q->score) return p->score > q->score ? -1 : 1;
    return (p->document > q->document) - (p->document < q->document);
}

static void sort_candidates(funnel_answer *a) {
    size_t n = a->n_candidates;
    sortable *list = arena_alloc(&a->memory, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++) list[i] = (sortable){a->candidates[i].tier, a->scores[i], a->candidates[i].document, (uint32_t)i};
    if (n) qsort(list, n, sizeof *list, best_first);
    a->order = arena_alloc(&a->memory, (n + 1) * sizeof *a->order);
    for (size_t i = 0; i < n; i++) a->order[i] = list[i].candidate;
}

forage_status funnel_rank(funnel_answer *a, base_error *error) {
    size_t n = a->n_candidates;
    known k = gather_known(a);
    a->features = arena_zalloc(&a->memory, n * F_COUNT + 1, sizeof *a->features);
    a->scores = arena_alloc(&a->memory, (n + 1) * sizeof *a->scores);
    for (size_t i = 0; i < n; i++) describe(a, &a->candidates[i], &k, a->features + i * F_COUNT);
    slice name = a->request->ranker.size ? a->request->ranker : slice_of(a->schema->ranker);
    if (slice_is(name, "linear")) {
        a->ranker_name = "linear";
        a->ranker_version = ranker_updates(a->funnel->ranker);
        ranker_score(a->funnel->ranker, a->features, n, a->scores);
        if (a->request->explain) ranker_weights(a->funnel->ranker, a->weights, NULL);
    } else if (slice_is(name, "rrf")) {
        a->ranker_name = "rrf";
        a->ranker_version = 0;
        for (size_t i = 0; i < n; i++) a->scores[i] = rank_rrf(a->candidates[i].rank, RETRIEVE_STRATEGIES, RRF_K);
    } else {
        return error_set(error, FORAGE_E_INVALID, "\"ranker\": there is no \"%.*s\"; use linear or rrf", SLICE_ARG(name));
    }
    sort_candidates(a);
    return FORAGE_OK;
}
