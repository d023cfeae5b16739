#include "retrieve/strategy.h"

static bool available(const retrieve_request *r) { return r->n_memory > 0; }

/* The rows are ordered by belief already; what the filter excludes, or is gone, is passed over. */
static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    (void)a;
    (void)late;
    size_t n = 0;
    for (size_t i = 0; i < r->n_memory && n < depth; i++)
        if (sparse_is_eligible(r->eligible, r->memory[i].document))
            hits[n++] = (sparse_hit){r->memory[i].document, r->memory[i].mean};
    return n;
}

const retrieve_strategy retrieve_memory = {
    .name = "memory", .purpose = "documents that people chose after asking the same", .needs = RETRIEVE_NOTHING,
    .prior_reward = 0.3, .fixed_depth = 25, .available = available, .run = run,
};
