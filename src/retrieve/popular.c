/* What is popular: the catalogue's own figure, blended with what people engaged with lately. The more engagement there is, the
 * less the catalogue's figure counts: its share is that of BELIEF events among all. Among a segment's people, or documents of
 * the type that was asked for, their own engagement counts instead of everyone's when there is enough of it. */
#include "retrieve/gather.h"
#include "retrieve/strategy.h"

#include <math.h>

#define BELIEF 20.0f    /* events that weigh as much as the catalogue's figure */
#define ENOUGH 50.0f    /* events for a group to speak for itself */
#define LOOK_AT_ALL 2048 /* sets up to this size are scored whole */

/* The most special group that has enough to say: the last segment, then the one before …, the type, everyone. */
static uint64_t speaker(const retrieve_request *r, trend_document *top, size_t *n, float *whole) {
    const trend *trends = behaviour_trends(r->behaviour);
    uint64_t groups[PROFILE_SEGMENTS + 2];
    size_t n_groups = 0;
    groups[n_groups++] = TREND_EVERYONE;
    if (r->type.size) groups[n_groups++] = trend_type_group(r->type);
    for (size_t i = 0; i < r->n_segments && i < PROFILE_SEGMENTS; i++) groups[n_groups++] = r->segments[i];
    for (size_t g = n_groups; g-- > 0;) {
        *whole = 0;
        *n = trend_top(trends, groups[g], r->now, TREND_TOP, top);
        for (size_t i = 0; i < *n; i++) *whole += top[i].weight;
        if (g == 0 || *whole >= ENOUGH) return groups[g];
    }
    return TREND_EVERYONE;
}

static size_t blend(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits) {
    const sparse_eligible *choice = retrieve_choice(r);
    trend_document *top = arena_alloc(a, TREND_TOP * sizeof *top);
    size_t n = 0;
    float whole = 0;
    uint64_t group = speaker(r, top, &n, &whole);
    bool all = choice->count <= LOOK_AT_ALL;
    size_t k = all ? (size_t)choice->count : depth;
    sparse_hit *known = arena_alloc(a, (k + 1) * sizeof *known);
    k = sparse_top_popular(choice, k, a, known);
    trend_document *lately = arena_alloc(a, (k + 1) * sizeof *lately);
    for (size_t i = 0; i < k; i++) lately[i].document = known[i].document;
    trend_weights(behaviour_trends(r->behaviour), group, r->now, lately, k);
    float share = whole / (whole + BELIEF), best = n ? log1pf(top[0].weight) : 1;
    gather g;
    gather_init(&g, k + n, a);
    for (size_t i = 0; i < k; i++)
        gather_add(&g, known[i].document, (1 - share) * known[i].score + share * log1pf(lately[i].weight) / best + 1e-9f);
    for (size_t i = 0; i < n && !all; i++) {
        uint32_t document = top[i].document;
        if (gather_score(&g, document) > 0 || !sparse_is_eligible(choice, document)) continue;
        gather_add(&g, document, (1 - share) * sparse_prior_of(r->snapshot, document) + share * log1pf(top[i].weight) / best);
    }
    return gather_take(&g, depth, hits);
}

static bool available(const retrieve_request *r) { return !r->like && (r->snapshot->config->popularity >= 0 || r->behaviour); }

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    (void)late;
    return r->behaviour ? blend(r, depth, a, hits) : sparse_top_popular(retrieve_choice(r), depth, a, hits);
}

const retrieve_strategy retrieve_popular = {
    .name = "popular", .purpose = "the documents that match and are popular, of old and lately", .needs = RETRIEVE_MATCHING,
    .prior_reward = 0.05, .fixed_depth = 10, .available = available, .run = run,
};
