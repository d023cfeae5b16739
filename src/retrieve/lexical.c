#include "retrieve/strategy.h"

static bool available(const retrieve_request *r) { return r->n_terms > 0; }

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    sparse_query query = {.terms = r->terms, .n_terms = r->n_terms, .prior_weight = r->prior_weight, .text_weight = 1,
                          .clock = r->clock, .deadline = r->deadline};
    return sparse_search(r->eligible, &query, depth, a, hits, late);
}

const retrieve_strategy retrieve_lexical = {
    .name = "lexical", .purpose = "documents that contain the words of the query", .needs = RETRIEVE_NOTHING,
    .prior_reward = 0.3, .fixed_depth = 100, .available = available, .run = run,
};
