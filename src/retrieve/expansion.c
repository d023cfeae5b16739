/* By learned words: the documents whose tokens, with the weights that a model or somebody gave them, are most like the query's. */
#include "retrieve/strategy.h"

static bool available(const retrieve_request *r) { return weights_query_possible(r->expansion) && r->eligible->count > 0; }

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    return weights_query_search(r->expansion, r->eligible, depth, r->deadline, a, hits, late);
}

const retrieve_strategy retrieve_expansion = {
    .name = "expansion", .purpose = "documents that share learned, weighted words with the query", .needs = RETRIEVE_NOTHING,
    .prior_reward = 0.25, .fixed_depth = 100, .available = available, .run = run,
};
