/* A query against one snapshot, made ready: repeated words merged, statistics looked up, weights as integers.
 *
 * score(d) = text_weight · Σ_t weight_t · idf_t · (k1 + 1) · impact_t(d) / 255 + prior_weight · prior(d)
 * idf_t    = ln(1 + (N − df_t + 0.5) / (df_t + 0.5)), over the whole snapshot; a token of SPARSE_SPACE_WEIGHT has 1 for
 *            idf_t · (k1 + 1)
 *
 * The sum is kept in integers: a posting adds units_t · impact + 1, where units_t is weight_t · idf_t scaled so that
 * the sum of all terms at impact 255 just fits in 31 bits. Integer sums do not depend on the order of adding, so pruned
 * and exhaustive search agree bit for bit; the 1 tells "matched, with nothing to add" from "not matched". */
#ifndef SPARSE_QUERYPLAN_H
#define SPARSE_QUERYPLAN_H

#include "sparse/search.h"

typedef struct sparse_plan_term {
    slice key;
    float weight;   /* of all its occurrences in the query */
    float idf;      /* of a token with weights: 1 */
    uint64_t df;
    uint32_t units; /* per step of impact */
    bool required, excluded;
} sparse_plan_term;

typedef struct sparse_plan {
    const sparse_snapshot *snapshot;
    uint32_t n_terms, n_required, n_excluded;
    sparse_plan_term *terms;
    const uint32_t *term_of;  /* query term → its plan term */
    const sparse_term *found; /* n_parts × n_terms; n_blocks 0: the part does not have the term */
    const sparse_phrase *phrases; /* of query terms; see term_of */
    size_t n_phrases;
    double unit;              /* what 1 of the integer sum is worth; 0: the text does not count */
    double prior_weight;
} sparse_plan;

/* Lives in the arena. The query's keys must outlive it. Weights that are negative or not finite count as 0. */
void sparse_plan_make(const sparse_snapshot *s, const sparse_query *query, arena *a, sparse_plan *out);

/* The only place where a score is computed, one machine code for all: it never falls when `sum` grows, so it turns
 * bounds on the sum into bounds on the score. */
float sparse_plan_score(const sparse_plan *plan, uint32_t sum, float prior);

static inline const sparse_term *sparse_plan_found(const sparse_plan *plan, uint32_t part, uint32_t term) {
    return &plan->found[(size_t)part * plan->n_terms + term];
}

#endif
