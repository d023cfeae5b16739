#include "retrieve/strategy.h"

static bool available(const retrieve_request *r) { return r->eligible->count > 0; }

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    (void)late;
    return sparse_newest(r->matching, depth, a, hits);
}

const retrieve_strategy retrieve_fresh = {
    .name = "fresh", .purpose = "the documents that match and were added last", .needs = RETRIEVE_MATCHING,
    .prior_reward = 0.02, .fixed_depth = 8, .available = available, .run = run,
};
