/* What is not known well: documents that were added last or were hardly shown, those first whose chance to please is most
 * uncertain; of two alike, the newer. */
#include "retrieve/strategy.h"

#include <math.h>
#include <stdlib.h>

#define LOOK_AT_ALL 2048 /* sets up to this size are compared whole */
#define WIDER 4          /* else this many times the depth of the newest, and as many at random */

typedef struct unknown {
    uint32_t document;
    float deviation;
    uint64_t version;
} unknown;

static int least_known_first(const void *x, const void *y) {
    const unknown *a = x, *b = y;
    if (a->deviation != b->deviation) return a->deviation > b->deviation ? -1 : 1;
    if (a->version != b->version) return a->version > b->version ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

/* The documents to compare; some may be there twice. */
static size_t candidates(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit **out) {
    const sparse_eligible *choice = retrieve_choice(r);
    size_t count = (size_t)choice->count, wide = (size_t)depth * WIDER;
    bool all = count <= LOOK_AT_ALL || count <= wide;
    *out = arena_alloc(a, (all ? count + 1 : 2 * wide) * sizeof **out);
    size_t n = sparse_newest(choice, all ? count : wide, a, *out);
    if (all) return n;
    random_source random;
    random_seed(&random, r->seed);
    return n + sparse_sample(choice, wide, &random, a, *out + n);
}

static size_t run_known(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits) {
    sparse_hit *list;
    size_t n = candidates(r, depth, a, &list), kept = 0;
    trend_belief *beliefs = arena_alloc(a, (n + 1) * sizeof *beliefs);
    unknown *order = arena_alloc(a, (n + 1) * sizeof *order);
    for (size_t i = 0; i < n; i++) beliefs[i].document = list[i].document;
    trend_believe(behaviour_trends(r->behaviour), r->now, beliefs, n);
    for (size_t i = 0; i < n; i++)
        order[i] = (unknown){list[i].document, beliefs[i].deviation, sparse_version_of(r->snapshot, list[i].document)};
    if (n) qsort(order, n, sizeof *order, least_known_first);
    for (size_t i = 0; i < n && kept < depth; i++)
        if (i == 0 || order[i].document != order[i - 1].document)
            hits[kept++] = (sparse_hit){order[i].document, order[i].deviation};
    return kept;
}

static bool available(const retrieve_request *r) { return !r->like && r->eligible->count > 0; }

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    (void)late;
    return r->behaviour ? run_known(r, depth, a, hits) : sparse_newest(retrieve_choice(r), depth, a, hits);
}

const retrieve_strategy retrieve_fresh = {
    .name = "fresh", .purpose = "the documents that match and are new or were hardly shown", .needs = RETRIEVE_MATCHING,
    .prior_reward = 0.02, .fixed_depth = 10, .available = available, .run = run,
};
