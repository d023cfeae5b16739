#include "retrieve/strategy.h"

static bool available(const retrieve_request *r) { return !r->like && r->eligible->count > 0; }

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    (void)late;
    random_source random;
    random_seed(&random, r->seed);
    return sparse_sample(r->matching, depth, &random, a, hits);
}

const retrieve_strategy retrieve_explore = {
    .name = "explore", .purpose = "documents that match, drawn with equal chances", .needs = RETRIEVE_MATCHING,
    .prior_reward = 0.01, .fixed_depth = 0, .available = available, .run = run,
};
