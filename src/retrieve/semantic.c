/* By meaning: the documents whose vectors are nearest to the query's. */
#include "retrieve/strategy.h"

static bool available(const retrieve_request *r) { return vector_query_possible(r->meaning) && r->eligible->count > 0; }

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    return vector_query_search(r->meaning, r->eligible, depth, r->deadline, a, hits, late);
}

const retrieve_strategy retrieve_semantic = {
    .name = "semantic", .purpose = "documents that mean what the query means, by vectors", .needs = RETRIEVE_NOTHING,
    .prior_reward = 0.25, .fixed_depth = 100, .available = available, .run = run,
};
