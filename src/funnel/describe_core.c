/* The core of a row: what the linear ranker sees, and its prior. */
#include "funnel/answer.h"
#include "funnel/describe.h"
#include "retrieve/gather.h"

#include <math.h>
#include <string.h>

const columns_column funnel_core[F_COUNT] = {
    [F_LEXICAL_RRF] = {"lexical_rrf", "reciprocal rank among the words' matches", COLUMNS_CORE},
    [F_LEXICAL_SCORE] = {"lexical_score", "score over that of the best match", COLUMNS_CORE},
    [F_MEMORY_RRF] = {"memory_rrf", "reciprocal rank among what is remembered", COLUMNS_CORE},
    [F_MEMORY_MEAN] = {"memory_mean", "expected reward after this query, 0 when nothing is known", COLUMNS_CORE},
    [F_MEMORY_SURE] = {"memory_sure", "the same, as far as it was observed", COLUMNS_CORE},
    [F_POPULAR_RRF] = {"popular_rrf", "reciprocal rank by popularity", COLUMNS_CORE},
    [F_FRESH_RRF] = {"fresh_rrf", "reciprocal rank by newness", COLUMNS_CORE},
    [F_RELATED_RRF] = {"related_rrf", "reciprocal rank among what is related, by meaning alone as far as words leave open", COLUMNS_CORE},
    [F_EXPLORE_RRF] = {"explore_rrf", "found by exploration", COLUMNS_CORE},
    [F_FOUND_BY] = {"found_by", "share of the strategies that found it", COLUMNS_CORE},
    [F_POPULARITY] = {"popularity", "popularity, 0 without words", COLUMNS_CORE},
    [F_TYPE_MATCH] = {"type_match", "likelihood that a word of the query means its type", COLUMNS_CORE},
    [F_SHORT_LEXICAL] = {"lexical_score_short_query", "lexical_score for one or two words", COLUMNS_CORE},
    [F_SHORT_POPULARITY] = {"popularity_short_query", "popularity for one or two words", COLUMNS_CORE},
    [F_BROWSE_POPULAR] = {"popular_rrf_no_words", "popular_rrf without words or example", COLUMNS_CORE},
    [F_BROWSE_FRESH] = {"fresh_rrf_no_words", "fresh_rrf without words or example", COLUMNS_CORE},
    [F_PERSONAL_RRF] = {"personal_rrf", "reciprocal rank among what is personal", COLUMNS_CORE},
    [F_AFFINITY] = {"user_document", "the user chose this very document", COLUMNS_CORE},
    [F_BROWSE_PERSONAL] = {"personal_rrf_no_words", "personal_rrf without words", COLUMNS_CORE},
    [F_SEMANTIC_RRF] = {"semantic_rrf", "reciprocal rank by meaning", COLUMNS_CORE},
    [F_SEMANTIC_SCORE] = {"semantic_score", "similarity to the query by brought or pretrained vectors, over the best", COLUMNS_CORE},
    [F_CATALOGUE_SCORE] = {"catalogue_score", "the same by the catalogue's own encoder, as far as the words leave it open", COLUMNS_CORE},
    [F_BROWSE_SEMANTIC] = {"semantic_score_no_words", "the same without words, for a vector, a document or weights", COLUMNS_CORE},
    [F_EXPANSION_RRF] = {"expansion_rrf", "reciprocal rank by learned words", COLUMNS_CORE},
    [F_EXPANSION_SCORE] = {"expansion_score", "dot product of its and the query's learned words, over the best", COLUMNS_CORE},
};

/* The belief before any event. Words and the memory decide; the rest breaks near-ties. Within what lexical search found,
 * rank and score agree, so that the order is its own until something else is known: what is near by the catalogue's own vectors
 * counts as far as the words leave it open, since "laptop" means laptops. Without words, popularity stands in for
 * them, with weights of its own: what is learned there says nothing about searches. */
const float funnel_prior_weights[F_COUNT] = {
    [F_LEXICAL_RRF] = 1.0f, [F_LEXICAL_SCORE] = 2.0f, [F_MEMORY_RRF] = 0.3f, [F_MEMORY_MEAN] = 4.0f,
    [F_MEMORY_SURE] = 0.5f, [F_POPULAR_RRF] = 0.02f, [F_FRESH_RRF] = 0.01f, [F_RELATED_RRF] = 0.3f,
    [F_EXPLORE_RRF] = 0.0f, [F_FOUND_BY] = 0.0f, [F_POPULARITY] = 0.02f, [F_TYPE_MATCH] = 0.15f,
    [F_BROWSE_POPULAR] = 3.0f, [F_BROWSE_FRESH] = 0.5f, [F_PERSONAL_RRF] = 0.2f, [F_AFFINITY] = 0.1f, [F_BROWSE_PERSONAL] = 3.0f,
    [F_SEMANTIC_SCORE] = 3.0f, [F_CATALOGUE_SCORE] = 0.85f, [F_BROWSE_SEMANTIC] = 6.0f,
    [F_EXPANSION_SCORE] = 2.0f,
};
/* How readily each moves: the memory's own weights soonest, since they are about this query and nothing else. */
const float funnel_prior_variances[F_COUNT] = {
    [F_LEXICAL_RRF] = 0.02f, [F_LEXICAL_SCORE] = 0.02f, [F_MEMORY_RRF] = 0.05f, [F_MEMORY_MEAN] = 0.5f,
    [F_MEMORY_SURE] = 0.1f, [F_POPULAR_RRF] = 0.01f, [F_FRESH_RRF] = 0.01f, [F_RELATED_RRF] = 0.02f,
    [F_EXPLORE_RRF] = 0.005f, [F_FOUND_BY] = 0.01f, [F_POPULARITY] = 0.02f, [F_TYPE_MATCH] = 0.02f,
    [F_SHORT_LEXICAL] = 0.01f, [F_SHORT_POPULARITY] = 0.01f,
    [F_BROWSE_POPULAR] = 0.02f, [F_BROWSE_FRESH] = 0.02f, [F_PERSONAL_RRF] = 0.05f, [F_AFFINITY] = 0.05f,
    [F_BROWSE_PERSONAL] = 0.05f, [F_SEMANTIC_RRF] = 0.02f, [F_SEMANTIC_SCORE] = 0.05f, [F_CATALOGUE_SCORE] = 0.05f,
    [F_BROWSE_SEMANTIC] = 0.05f, [F_EXPANSION_RRF] = 0.02f, [F_EXPANSION_SCORE] = 0.05f,
};

#define RRF_K 60.0f

/* 1 for the first, falling as reciprocal-rank fusion does; 0 when not found. */
static float reciprocal(uint32_t rank) { return rank ? (RRF_K + 1) / (RRF_K + (float)rank) : 0; }

/* What is known of candidates beside what found them. */
typedef struct known {
    gather rows;  /* of the memory: place + 1 */
    gather items; /* of the user's profile: weight */
    float best_lexical, open;
    vector_similarity *similar, best_similar; /* of all candidates; NULL: no vectors */
    float *expanded, best_expanded;           /* likewise; NULL: no weights */
} known;

static float larger(float best, float x) { return isnan(x) || x <= best ? best : x; }

/* Of every candidate, also those that other strategies found; nothing when the query was not encoded in time. */
static void gather_similar(funnel_answer *a, known *k) {
    if (!vector_query_possible(a->meaning)) return;
    k->similar = arena_alloc(&a->memory, (a->n_candidates + 1) * sizeof *k->similar);
    for (size_t i = 0; i < a->n_candidates; i++) {
        k->similar[i] = vector_query_similarity(a->meaning, a->candidates[i].document);
        k->best_similar.pretrained = larger(k->best_similar.pretrained, k->similar[i].pretrained);
        k->best_similar.catalogue = larger(k->best_similar.catalogue, k->similar[i].catalogue);
    }
}

static void gather_expanded(funnel_answer *a, known *k) {
    size_t n = a->n_candidates;
    if (!weights_query_possible(a->expansion)) return;
    uint32_t *documents = arena_alloc(&a->memory, (n + 1) * sizeof *documents);
    float *scores = arena_alloc(&a->memory, (n + 1) * sizeof *scores);
    for (size_t i = 0; i < n; i++) documents[i] = a->candidates[i].document;
    if (!weights_query_scores(a->expansion, documents, n, &a->memory, scores)) return;
    for (size_t i = 0; i < n; i++) k->best_expanded = larger(k->best_expanded, scores[i]);
    k->expanded = scores;
}

/* In proportion to the best; what is not known or points away counts as 0. */
static float share_of(float x, float best) { return x > 0 && best > 0 ? x / best : 0; }

#define ENOUGH 10 /* a page */

/* How much the words leave open: 0 when a page of documents match them as well as the best does, 1 when fewer match at all. */
static float left_open(const funnel_slot *lexical) {
    if (lexical->state != SLOT_DONE || lexical->n_hits < ENOUGH || !(lexical->hits[0].score > 0)) return 1;
    return 1 - fminf(1, fmaxf(0, lexical->hits[ENOUGH - 1].score / lexical->hits[0].score));
}

static known gather_known(funnel_answer *a) {
    const funnel_slot *lexical = &a->slots[RETRIEVE_IS_LEXICAL];
    const profile *p = a->profile;
    known k = {.best_lexical = lexical->state == SLOT_DONE && lexical->n_hits ? lexical->hits[0].score : 0};
    gather_init(&k.rows, a->n_rows, &a->memory);
    for (size_t i = 0; i < a->n_rows; i++) gather_add(&k.rows, a->rows[i].document, (float)(i + 1));
    gather_init(&k.items, p ? p->n_items : 0, &a->memory);
    for (uint32_t i = 0; p && i < p->n_items; i++) gather_add(&k.items, p->items[i].document, p->items[i].weight);
    gather_similar(a, &k);
    gather_expanded(a, &k);
    k.open = left_open(lexical);
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

/* Without words: for what is near to a vector, a document, weights. */
static bool by_example(const known *k) {
    return (k->similar && fmaxf(k->best_similar.pretrained, k->best_similar.catalogue) > 0) || (k->expanded && k->best_expanded > 0);
}

static void describe_one(funnel_answer *a, const funnel_candidate *c, const known *k, float *x) {
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
    bool browsing = a->n_terms == 0, asked = !browsing || by_example(k); /* for something */
    x[asked ? F_POPULAR_RRF : F_BROWSE_POPULAR] = reciprocal(c->rank[RETRIEVE_IS_POPULAR]);
    x[asked ? F_FRESH_RRF : F_BROWSE_FRESH] = reciprocal(c->rank[RETRIEVE_IS_FRESH]);
    x[browsing ? F_BROWSE_PERSONAL : F_PERSONAL_RRF] = reciprocal(c->rank[RETRIEVE_IS_PERSONAL]);
    x[F_AFFINITY] = fminf(1, gather_score(&k->items, c->document)); /* the user engaged with this very document */
    if (k->similar) {
        const vector_similarity *similar = &k->similar[c - a->candidates];
        float pretrained = share_of(similar->pretrained, k->best_similar.pretrained);
        float catalogue = share_of(similar->catalogue, k->best_similar.catalogue);
        x[F_SEMANTIC_RRF] = reciprocal(c->rank[RETRIEVE_IS_SEMANTIC]);
        if (browsing) x[F_BROWSE_SEMANTIC] = fmaxf(pretrained, catalogue);
        else x[F_SEMANTIC_SCORE] = pretrained, x[F_CATALOGUE_SCORE] = catalogue * k->open;
    }
    if (k->expanded) {
        float share = share_of(k->expanded[c - a->candidates], k->best_expanded);
        x[F_EXPANSION_RRF] = reciprocal(c->rank[RETRIEVE_IS_EXPANSION]);
        if (browsing) x[F_BROWSE_SEMANTIC] = fmaxf(x[F_BROWSE_SEMANTIC], share);
        else x[F_EXPANSION_SCORE] = share;
    }
    float near = c->raw[RETRIEVE_IS_RELATED] <= RETRIEVE_NEAR ? k->open : 1;
    x[F_RELATED_RRF] = reciprocal(c->rank[RETRIEVE_IS_RELATED]) * near;
    x[F_EXPLORE_RRF] = c->rank[RETRIEVE_IS_EXPLORE] > 0;
    x[F_FOUND_BY] = (float)found_by / RETRIEVE_STRATEGIES;
    float popularity = a->indexed[c - a->candidates].popularity;
    x[F_POPULARITY] = browsing ? 0 : popularity;
    x[F_TYPE_MATCH] = type_match(a, c->document);
    bool is_short = a->n_terms > 0 && a->n_terms <= 2;
    x[F_SHORT_LEXICAL] = is_short ? x[F_LEXICAL_SCORE] : 0;
    x[F_SHORT_POPULARITY] = is_short ? popularity : 0;
}

void funnel_describe_given(funnel_answer *a, uint32_t candidate, uint32_t from, uint32_t end) {
    const json_value *features = candidate < a->n_given ? a->given[candidate].features : NULL;
    float *row = a->features + (size_t)candidate * a->columns->n;
    for (const json_value *f = features ? features->first : NULL; f; f = f->next) {
        uint32_t column = columns_find_given(a->columns, f->key);
        if (column >= from && column < end && f->type == JSON_NUMBER) row[column] = (float)f->number;
    }
}

forage_status funnel_check_given(const funnel_answer *a, base_error *error) {
    for (size_t i = 0; i < a->n_given; i++)
        for (const json_value *f = a->given[i].features ? a->given[i].features->first : NULL; f; f = f->next)
            if (columns_find_given(a->columns, f->key) == COLUMNS_NONE)
                return error_set(error, FORAGE_E_INVALID,
                                 "\"candidates\", number %zu: there is no feature \"%.*s\"; GET …/features lists them", i + 1,
                                 SLICE_ARG(f->key));
    return FORAGE_OK;
}

void funnel_describe_core(funnel_answer *a) {
    size_t n = a->n_candidates, cells = n * a->columns->n;
    known k = gather_known(a);
    a->indexed = NULL;
    a->indexed = describe_look_up(a);
    a->described = arena_zalloc(&a->memory, n + 1, sizeof *a->described);
    a->features = arena_alloc(&a->memory, (cells + 1) * sizeof *a->features);
    for (size_t i = 0; i < cells; i++) a->features[i] = NAN;
    for (size_t i = 0; i < n; i++) {
        float *x = a->features + i * a->columns->n;
        memset(x, 0, F_COUNT * sizeof *x);
        describe_one(a, &a->candidates[i], &k, x);
        funnel_describe_given(a, (uint32_t)i, 0, F_COUNT);
    }
}
