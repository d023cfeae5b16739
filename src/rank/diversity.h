/* Diversity: an order in which neighbours are not all of a kind.
 *
 * Maximal marginal relevance (Carbonell & Goldstein, SIGIR 1998): position by position, the candidate with the
 * greatest
 *     lambda × relevance_i − (1 − lambda) × max over those placed of similarity(i, j),       lambda = 1 − strength.
 * Similarity is the weighted Jaccard coefficient of the candidates' attributes (type, brand, author, …): the sum
 * over attributes of the smaller of the two weights, over the sum of the greater (Ruzicka 1958); two candidates
 * without attributes are not alike at all. Relevance is the score, scaled so that the window's best has 1 and its
 * worst 0; all equal: 1 each.
 *
 * Deterministic: of equals, the one that stood higher. Pure; any thread. */
#ifndef RANK_DIVERSITY_H
#define RANK_DIVERSITY_H

#include "base/memory.h"

/* What the candidates have: those of candidate i are attribute[first[i] … first[i + 1] − 1], rising and each once.
 * weight: one per entry of attribute, above 0 and finite (anything else counts as 0); NULL: 1 each. */
typedef struct diversity_attributes {
    const uint32_t *first; /* n + 1 */
    const uint32_t *attribute;
    const float *weight;
} diversity_attributes;

/* score: n, in the order as ranked; NaN is lowest; NULL: relevance falls evenly with the position. Positions from
 * `top` on stay as they are. strength: 0 (nothing changes) to 1 (only difference counts); clipped, NaN is 0. order:
 * n, position → index as ranked. redundancy: n or NULL; by position, how alike the item is to the most similar one
 * above it (0 behind the first `placed`). Only the first `placed` positions are chosen so (the page and what a reader may
 * reach); what is left of the window follows as ranked. O(top × placed) similarities. scratch: released or reset by
 * the caller. */
void diversity_rerank(const float *score, const diversity_attributes *attributes, size_t n, size_t top, size_t placed,
                      double strength, arena *scratch, uint32_t *order, float *redundancy);

/* Weighted Jaccard coefficient of candidates i and j, 0 to 1. */
float diversity_similarity(const diversity_attributes *attributes, size_t i, size_t j);

#endif
