/* For this user: what they engaged with, what people who engaged with the same engaged with too (a walk in the graph from
 * their documents), and documents with the attribute values that they favour: of what has words of the query. What people chose
 * after the same query is among it as well, and the surer that is the more it gains: it comes in the order of this user.
 *
 * The fewer engagements a profile has, the more its segment's favourites count in its stead, and everyone's when the segment
 * has none. */
#include "retrieve/gather.h"
#include "retrieve/strategy.h"

#include <math.h>

#define SEEDS 48          /* documents of the profile to walk from */
#define WALK_TIMES 4      /* the depth, to have enough when some do not match */
#define WARM 5.0f         /* engagements after which a profile outweighs its segment */
#define LIKED 16          /* attribute values to look for */
#define TELLING 1.0f      /* least idf of one: what more than a third of the documents have says nothing of a taste */

/* Shares of the best of each way; each way's scores are divided by its best. */
#define SHARE_OWN 1.0f
#define SHARE_NEAR 0.4f
#define SHARE_ALIKE 0.4f
#define SHARE_LIKED 0.5f
#define SHARE_SEGMENT 0.5f
#define SHARE_REMEMBERED 0.04f
#define REMEMBERED 8.0f   /* how much a document gains that the query's memory is sure of */

typedef struct search {
    const retrieve_request *r;
    const sparse_eligible *choice;
    gather found, remembered, chosen; /* chosen: to be left out */
    arena *a;
} search;

/* How much the query favours the document: 1, or more when people chose it after the same. */
static float favour(const search *s, uint32_t document) {
    return s->r->n_memory ? 1 + REMEMBERED * gather_score(&s->remembered, document) : 1;
}

static void find(search *s, uint32_t document, float score) {
    if (gather_score(&s->chosen, document) > 0) return;
    float gain = favour(s, document);
    if (gain > 1 ? sparse_is_eligible(s->r->eligible, document) : sparse_is_eligible(s->choice, document))
        gather_add(&s->found, document, score * gain);
}

/* In proportion to the strongest that is not left out. */
static void find_own(search *s, const profile *p) {
    float best = 0;
    for (uint32_t i = 0; i < p->n_items; i++) {
        if (gather_score(&s->chosen, p->items[i].document) > 0) continue;
        if (best == 0) best = p->items[i].weight;
        find(s, p->items[i].document, SHARE_OWN * p->items[i].weight / best);
    }
}

static void find_near(search *s, const profile *p, store_txn *t, uint32_t depth) {
    const retrieve_request *r = s->r;
    graph_edge seeds[SEEDS];
    size_t n = 0, k = (size_t)depth * WALK_TIMES;
    for (; n < p->n_items && n < SEEDS; n++) seeds[n] = (graph_edge){p->items[n].document, p->items[n].weight};
    graph_edge *near = arena_alloc(s->a, (k + 1) * sizeof *near);
    n = graph_walk(t, behaviour_trends(r->behaviour), seeds, n, r->now, behaviour_half_life(r->behaviour), k, s->a, near);
    for (size_t i = 0; i < n; i++) find(s, near[i].document, SHARE_NEAR * near[i].weight / near[0].weight);
}

static void find_liked(search *s, const profile *p, uint32_t depth, bool *late) {
    const retrieve_request *r = s->r;
    sparse_query_term terms[LIKED];
    size_t n = 0;
    for (uint32_t i = 0; n < LIKED && i < p->n_attributes; i++) {
        slice key = sparse_attribute_key(s->a, p->attributes[i].field, p->attributes[i].value);
        if (sparse_idf(r->snapshot, key) < TELLING) continue;
        terms[n++] = (sparse_query_term){.key = key, .weight = p->attributes[i].weight / p->attributes[0].weight};
    }
    if (!n) return;
    sparse_query query = {.terms = terms, .n_terms = n, .text_weight = 1, .clock = r->clock, .deadline = r->deadline};
    sparse_hit *liked = arena_alloc(s->a, (depth + 1) * sizeof *liked);
    n = sparse_search(s->choice, &query, depth, s->a, liked, late);
    for (size_t i = 0; i < n; i++) find(s, liked[i].document, SHARE_LIKED * liked[i].score / liked[0].score);
}

/* The most special group of people that has favourites. */
static void find_usual(search *s, float share, uint32_t depth) {
    const retrieve_request *r = s->r;
    const trend *trends = behaviour_trends(r->behaviour);
    trend_document *top = arena_alloc(s->a, TREND_TOP * sizeof *top);
    size_t n = 0;
    for (size_t i = r->n_segments; i-- > 0 && n < depth;) n = trend_top(trends, r->segments[i], r->now, TREND_TOP, top);
    if (n < depth) n = trend_top(trends, TREND_EVERYONE, r->now, TREND_TOP, top);
    for (size_t i = 0; i < n; i++) find(s, top[i].document, share * log1pf(top[i].weight) / log1pf(top[0].weight));
    if (n) return;
    sparse_hit *popular = arena_alloc(s->a, (depth + 1) * sizeof *popular);
    n = sparse_top_popular(s->choice, depth, s->a, popular);
    for (size_t i = 0; i < n; i++) find(s, popular[i].document, share * popular[i].score);
}

/* What is near by meaning to what the user engaged with, the latest most. */
static void find_alike(search *s, const profile *p, uint32_t depth) {
    const retrieve_request *r = s->r;
    if (!r->meaning) return;
    uint32_t documents[SEEDS];
    float weights[SEEDS];
    size_t n = 0;
    for (; n < p->n_items && n < SEEDS; n++) {
        documents[n] = p->items[n].document;
        weights[n] = p->items[n].weight;
    }
    sparse_hit *near = arena_alloc(s->a, (depth + 1) * sizeof *near);
    n = vector_query_near(r->meaning, r->eligible, documents, weights, n, depth, s->a, near);
    for (size_t i = 0; i < n && near[i].score > 0; i++) find(s, near[i].document, SHARE_ALIKE * near[i].score / near[0].score);
}

static bool available(const retrieve_request *r) {
    return !r->like && r->behaviour && (r->known_user || r->n_segments > 0) && r->eligible->count > 0;
}

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    search s = {.r = r, .choice = retrieve_choice(r), .a = a};
    const profile *p = r->profile;
    gather_init(&s.found, PROFILE_ITEMS + TREND_TOP + r->n_memory + (size_t)depth * (WALK_TIMES + 2), a);
    gather_init(&s.remembered, r->n_memory, a);
    for (size_t i = 0; i < r->n_memory; i++) gather_add(&s.remembered, r->memory[i].document, r->memory[i].mean);
    gather_init(&s.chosen, PROFILE_ITEMS, a);
    for (uint32_t i = 0; r->only_new && p && i < p->n_items; i++)
        if (p->items[i].origin & PROFILE_CHOSEN) gather_add(&s.chosen, p->items[i].document, 1);
    float warm = p ? (float)p->events / ((float)p->events + WARM) : 0;
    if (p && p->n_items) {
        store_txn *t;
        find_own(&s, p);
        if (!store_read_begin(collection_store(r->collection), &t, NULL)) {
            find_near(&s, p, t, depth);
            store_read_end(t);
        }
        find_alike(&s, p, depth);
    }
    for (size_t i = 0; i < r->n_memory; i++) find(&s, r->memory[i].document, SHARE_REMEMBERED);
    if (p) find_liked(&s, p, depth, late);
    if (warm < 0.9f) find_usual(&s, SHARE_SEGMENT * (1 - warm), depth);
    return gather_take(&s.found, depth, hits);
}

const retrieve_strategy retrieve_personal = {
    .name = "personal", .purpose = "what this user engaged with, and what is like it", .needs = RETRIEVE_MATCHING,
    .prior_reward = 0.1, .fixed_depth = 25, .available = available, .run = run,
};
