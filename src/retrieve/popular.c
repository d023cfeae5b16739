#include "retrieve/strategy.h"

static bool available(const retrieve_request *r) { return r->snapshot->config->popularity >= 0; }

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    (void)late;
    return sparse_top_popular(r->matching, depth, a, hits);
}

const retrieve_strategy retrieve_popular = {
    .name = "popular", .purpose = "the most popular documents that match", .needs = RETRIEVE_MATCHING,
    .prior_reward = 0.05, .fixed_depth = 8, .available = available, .run = run,
};
