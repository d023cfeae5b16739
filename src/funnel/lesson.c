/* What a logged search teaches a policy: the one that serves, and those that are judged by the log. */
#include "funnel/answer.h"

#include <math.h>
#include <string.h>

bool funnel_is_of_this_shape(const record_impression *r) {
    return r->n_strategies == RETRIEVE_STRATEGIES && r->n_levels == FUNNEL_LEVELS && r->n_policy_features == X_COUNT &&
           memcmp(r->depths, funnel_depths, sizeof funnel_depths) == 0;
}

typedef struct lesson {
    policy_decision decision; /* as the policy that served knew it */
    float x[RETRIEVE_STRATEGIES][X_COUNT];
    uint32_t allowed[RETRIEVE_STRATEGIES];
} lesson;

static void lesson_of(const funnel *f, const record_impression *r, lesson *out) {
    policy_decision *d = &out->decision;
    *d = (policy_decision){.n_strategies = RETRIEVE_STRATEGIES, .n_levels = FUNNEL_LEVELS, .propensity = r->propensity,
                           .version = r->policy_version};
    d->expected_cost = (double)funnel_spent(collection_schema(f->collection), r->n_candidates, r->took_us);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        d->level[s] = r->strategies[s].level;
        memcpy(d->probability[s], r->strategies[s].probability, FUNNEL_LEVELS * sizeof(float));
        memcpy(out->x[s], r->strategies[s].x, sizeof out->x[s]);
        out->allowed[s] = r->strategies[s].allowed;
    }
}

/* ---- Asking again ---- */

bool funnel_decide_again(const funnel *f, const policy *p, const char *rule, const record_impression *r,
                         random_source *random, policy_decision *out) {
    float cost[RETRIEVE_STRATEGIES][FUNNEL_LEVELS];
    lesson l;
    if (!funnel_is_of_this_shape(r)) return false;
    lesson_of(f, r, &l);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) memcpy(cost[s], r->strategies[s].cost, sizeof cost[s]);
    policy_decide_by(p, rule, &l.x[0][0], l.allowed, &cost[0][0], random, out);
    return true;
}

/* ---- Teaching ---- */

/* What the policy would have spent instead: as much more or less as it was expected to. By time nothing tells, and what was
 * spent stands for it. */
static double would_have_spent(const funnel *f, const record_impression *r, const lesson *l,
                               const policy_decision *decided) {
    double served = 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        for (uint32_t i = 0; i < FUNNEL_LEVELS; i++)
            served += (double)r->strategies[s].probability[i] * (double)r->strategies[s].cost[i];
    bool by_time = collection_schema(f->collection)->budget_p95_ms > 0;
    return by_time || !(served > 0) ? l->decision.expected_cost : r->n_candidates * decided->expected_cost / served;
}

#define MOST_WEIGHT 4.0 /* of an event that could be seen for what was shown: the bias costs less than the variance */

/* A page asks its main strategy for as many candidates as it shows, whatever was drawn. */
static bool brought_anyway(const record_impression *r, const uint32_t *rank) {
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const record_strategy *asked = &r->strategies[s];
        if (asked->depth > funnel_depths[asked->level] && rank[s] && rank[s] <= asked->depth) return true;
    }
    return false;
}

bool funnel_teach_policy(const funnel *f, policy *p, const record_impression *r, const record_event *e,
                         const policy_decision *decided, float *weight) {
    lesson l;
    if (!funnel_is_of_this_shape(r) || (e && e->n_ranks != RETRIEVE_STRATEGIES)) return false;
    lesson_of(f, r, &l);
    if (!e) {
        if (decided) l.decision.expected_cost = would_have_spent(f, r, &l, decided);
        if (decided && !l.decision.version) l.decision.version = policy_updates(p) + 1;
        policy_observe_all(p, &l.x[0][0], l.allowed, &l.decision);
        return true;
    }
    /* Every level of every strategy is credited with what it adds to the others. The event stands for those, too, that
     * could not be seen because the document was no candidate. */
    double inclusion = brought_anyway(r, e->ranks) ? 1 : policy_inclusion(&l.decision, funnel_depths, e->ranks);
    float stands_for = (float)(inclusion * MOST_WEIGHT > 1 ? 1 / inclusion : MOST_WEIGHT);
    policy_hindsight(p, &l.x[0][0], &l.decision, e->ranks, e->credit * stands_for);
    if (weight) *weight = stands_for;
    return true;
}
