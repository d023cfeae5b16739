/* The same score as the search's, term by term, for one document. */
#include "sparse/search.h"

#include "sparse/placeset.h"
#include "sparse/queryplan.h"

#include <string.h>

/* The impact of the term at a place; false when it does not occur there. */
static bool impact_at(const sparse_term *t, uint32_t place, uint8_t *impact) {
    const sparse_block *blocks = sparse_term_blocks(t);
    uint32_t low = 0, high = t->n_blocks, places[SPARSE_BLOCK + 8];
    uint8_t impacts[SPARSE_BLOCK + 8];
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (blocks[middle].last < place) low = middle + 1;
        else high = middle;
    }
    if (low == t->n_blocks) return false;
    uint32_t n = sparse_block_decode(t, low, places, impacts);
    for (uint32_t i = 0; i < n; i++) {
        if (places[i] == place) return *impact = impacts[i], true;
    }
    return false;
}

/* Every occurrence of a repeated word tells its own weight's share. */
static void tell(const sparse_plan *plan, const sparse_query *query, uint32_t i, const sparse_term *t, uint32_t place,
                 sparse_term_story *story) {
    const sparse_plan_term *term = &plan->terms[plan->term_of[i]];
    uint8_t impact;
    if (!t->n_blocks || !impact_at(t, place, &impact)) return;
    float share = term->weight > 0 && query->terms[i].weight > 0 ? query->terms[i].weight / term->weight : 0;
    story->found = true;
    story->impact = sparse_impact_value(impact);
    story->score = share * sparse_plan_score(plan, term->units * impact + 1, 0);
    sparse_term_frequencies(t, place, story->frequency);
}

/* The sum over the plan's terms; 0 when the search would not return the document. */
static uint32_t sum_at(const sparse_plan *plan, uint32_t part, uint32_t place) {
    uint32_t sum = 0;
    for (uint32_t t = 0; t < plan->n_terms; t++) {
        const sparse_term *found = sparse_plan_found(plan, part, t);
        uint8_t impact;
        if (found->n_blocks && impact_at(found, place, &impact)) sum += plan->terms[t].units * impact + 1;
        else if (plan->terms[t].required) return 0;
    }
    return sum;
}

void sparse_explain(const sparse_snapshot *s, const sparse_query *query, uint32_t document, sparse_term_story *stories,
                    float *prior, float *score) {
    arena scratch;
    sparse_plan plan;
    uint32_t part, place;
    arena_init(&scratch, 0);
    sparse_plan_make(s, query, &scratch, &plan);
    *prior = *score = 0;
    for (size_t i = 0; i < query->n_terms; i++) {
        stories[i] = (sparse_term_story){0};
        if (i >= SPARSE_MAX_QUERY_TERMS) continue;
        stories[i].df = plan.terms[plan.term_of[i]].df;
        stories[i].idf = plan.terms[plan.term_of[i]].idf;
    }
    if (sparse_snapshot_find(s, document, &part, &place)) {
        size_t n = query->n_terms < SPARSE_MAX_QUERY_TERMS ? query->n_terms : SPARSE_MAX_QUERY_TERMS;
        const float *priors = sparse_segment_prior(s->parts[part].segment, &(float){0});
        for (uint32_t i = 0; i < n; i++) {
            tell(&plan, query, i, sparse_plan_found(&plan, part, plan.term_of[i]), place, &stories[i]);
        }
        uint32_t sum = sum_at(&plan, part, place);
        float own = priors ? priors[place] : 0;
        *prior = sparse_plan_score(&plan, 0, own);
        *score = sum ? sparse_plan_score(&plan, sum, own) : 0;
    }
    arena_release(&scratch);
}
