/* Decide: which strategies, how deep, at what probability? */
#include "funnel/answer.h"

#include <string.h>

const uint32_t funnel_depths[FUNNEL_LEVELS] = {0, 10, 25, 50, 75, 100, 150, 200};

/* The price of one candidate in reward, before a budget steers it: 100 of them must earn a fiftieth of a click each time. By
 * time, that of one millisecond. */
#define CANDIDATE_COST 2e-4
#define MILLISECOND_COST 2e-3
#define EXPLORATION .0005 /* of each level; hindsight teaches about all of them whichever is drawn */
#define LATE_SHARE .05   /* of the searches, beyond the budget of time: the 95th percentile */

static double budget_of(const schema *s) { return s->budget_p95_ms > 0 ? s->budget_p95_ms : s->budget_candidates; }
static double cost_of(const schema *s) { return s->budget_p95_ms > 0 ? MILLISECOND_COST : CANDIDATE_COST; }

/* What a search costs by this budget is its mean: of candidates, or of being late (1 / LATE_SHARE when it is, in the budget's
 * unit), which is the budget when LATE_SHARE of them are. */
static policy_config settings_of(const schema *s, const char *name, double budget) {
    policy_config config;
    policy_config_default(&config, name, RETRIEVE_STRATEGIES);
    config.n_levels = FUNNEL_LEVELS;
    config.n_features = X_COUNT;
    config.hindsight = true;
    config.exploration = EXPLORATION;
    config.cost = cost_of(s);
    config.budget = budget > 0 ? budget : budget_of(s);
    config.budget_of_time = s->budget_p95_ms > 0;
    memcpy(config.depths, funnel_depths, sizeof funnel_depths);
    for (uint32_t i = 0; i < RETRIEVE_STRATEGIES; i++) {
        const retrieve_strategy *strategy = retrieve_strategies[i];
        config.prior_reward[i] = strategy->prior_reward;
        config.fixed_level[i] = 0;
        while (config.fixed_level[i] + 1 < FUNNEL_LEVELS && funnel_depths[config.fixed_level[i] + 1] <= strategy->fixed_depth)
            config.fixed_level[i]++;
    }
    return config;
}

void funnel_set_budget(funnel *f) {
    const schema *s = collection_schema(f->collection);
    policy_set_budget(f->learned, budget_of(s), cost_of(s), s->budget_p95_ms > 0);
}

float funnel_spent(const schema *s, uint32_t candidates, uint32_t took_us) {
    if (s->budget_p95_ms > 0) return (double)took_us / 1000 > s->budget_p95_ms ? (float)(s->budget_p95_ms / LATE_SHARE) : 0;
    return (float)candidates;
}

#define LEARNER "regcb" /* the rule of those who ask without one, and what learns while a static rule serves */

forage_status funnel_policy(const funnel *f, const char *name, double budget, policy **out, base_error *error) {
    if (!policy_rule_known(name)) return error_set(error, FORAGE_E_INVALID, "\"policy\": there is no \"%s\"", name);
    policy_config config = settings_of(collection_schema(f->collection), name, budget);
    return policy_create(&config, out, error);
}

forage_status funnel_learners_init(const funnel *f, policy_overlap *overlap, funnel_learners *out, base_error *error) {
    ranker_config config = {F_COUNT, funnel_prior_weights, funnel_prior_variances};
    *out = (funnel_learners){.performance = performance_create(), .overlap = overlap, .analyzer = text_analyzer_create()};
    policy_overlap_init(overlap);
    forage_status status = funnel_policy(f, LEARNER, 0, &out->policy, error);
    if (!status) status = ranker_create(&config, &out->ranker, error);
    if (status) funnel_learners_release(out);
    return status;
}

void funnel_learners_release(funnel_learners *l) {
    policy_destroy(l->policy);
    performance_destroy(l->performance);
    ranker_destroy(l->ranker);
    text_analyzer_destroy(l->analyzer);
    *l = (funnel_learners){0};
}

static forage_status choose(funnel_answer *a, base_error *error) {
    slice name = a->request->policy.size ? a->request->policy : a->side_policy.size ? a->side_policy : slice_of(a->schema->policy);
    a->policy_name = arena_slice(&a->memory, name).data;
    if (policy_rule_known(a->policy_name)) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "\"policy\": there is no \"%s\"; use regcb, squarecb, lin-ts, linucb, epsilon-greedy, "
                     "rrf-equal, fixed or all", a->policy_name);
}

/* Candidates that the others will bring, as far as that is certain: what is remembered, and beyond words what is popular or new. */
static uint32_t certain(const funnel_answer *a) {
    uint32_t depth = funnel_depths[a->decision.level[RETRIEVE_IS_MEMORY]];
    uint32_t n = a->n_rows < depth ? (uint32_t)a->n_rows : depth;
    if (!a->asked.beyond_words) return n;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        if (s == RETRIEVE_IS_POPULAR || s == RETRIEVE_IS_FRESH || s == RETRIEVE_IS_PERSONAL) n += funnel_depths[a->decision.level[s]];
    return n;
}

/* The shallowest level that has as many, and what lies beyond the levels, in steps of tenfold depth. */
static uint32_t depth_with(uint32_t needed) {
    uint32_t l = 0;
    while (l < FUNNEL_LEVELS && funnel_depths[l] < needed) l++;
    return l < FUNNEL_LEVELS ? funnel_depths[l] : funnel_later_depth(needed);
}

/* Beyond the first page: always in the same steps, so that all pages are cut from the same candidates. */
uint32_t funnel_later_depth(uint32_t needed) {
    uint64_t depth = funnel_depths[FUNNEL_LEVELS - 1];
    while (depth < needed) depth *= 10;
    return depth < FUNNEL_MAX_WINDOW ? (uint32_t)depth : FUNNEL_MAX_WINDOW;
}

/* A page needs at least as many candidates as it shows, whatever was drawn: then the main strategy is asked for more. The first
 * page's candidates are the same for all pages of a search; what later ones need besides (from `base` on) comes after them, so
 * that no page repeats another's. The level drawn and its probability stay what they were. */
static void set_depth(funnel_answer *a, uint32_t s) {
    funnel_slot *slot = &a->slots[s];
    uint32_t limit = a->request->limit, window = a->request->offset + limit;
    slot->depth = slot->base = funnel_depths[a->decision.level[s]];
    if (!funnel_is_main(a, s) || !a->funnel->strategies[s]->available(&a->asked)) return;
    if (slot->base < limit && (slot->base || certain(a) < limit)) slot->base = depth_with(limit);
    slot->depth = a->request->offset && slot->base < window ? funnel_later_depth(window) : slot->base;
}

forage_status funnel_decide(funnel_answer *a, base_error *error) {
    forage_status status = choose(a, error);
    if (status) return status;
    funnel_describe(a);
    policy_decide_by(a->funnel->learned, a->policy_name, &a->x[0][0], a->allowed, &a->cost[0][0], &a->random, &a->decision);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) set_depth(a, s);
    return FORAGE_OK;
}
