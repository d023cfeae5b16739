/* Decide: which strategies, how deep, at what probability? */
#include "funnel/answer.h"

#include <math.h>
#include <string.h>

/* The price of one candidate in reward: 128 of them must earn a twentieth of a click each time. */
#define CANDIDATE_COST 2e-4

const uint32_t funnel_depths[FUNNEL_LEVELS] = {0, 8, 32, 128};

const char *const funnel_policy_feature_names[] = {
    [X_BIAS] = "bias", [X_WORDS] = "words", [X_ONE_WORD] = "one_word", [X_STOPWORDS] = "all_stopwords",
    [X_DIGITS] = "has_digits", [X_TYPE_WORD] = "type_word", [X_SEEN] = "documents_remembered",
    [X_BELIEF] = "best_memory", [X_USER] = "user_known", [X_FILTER] = "filtered", [X_RARITY] = "rarest_word",
    [X_MATCHING] = "share_eligible",
};
const uint32_t funnel_policy_feature_count = X_COUNT;

static policy_config policy_settings(const char *name) {
    policy_config config;
    policy_config_default(&config, name, RETRIEVE_STRATEGIES);
    config.n_levels = FUNNEL_LEVELS;
    config.n_features = X_COUNT;
    config.cost = CANDIDATE_COST;
    memcpy(config.depths, funnel_depths, sizeof funnel_depths);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        config.prior_reward[s] = retrieve_strategies[s]->prior_reward;
        config.fixed_level[s] = 0;
        while (config.fixed_level[s] + 1 < FUNNEL_LEVELS &&
               funnel_depths[config.fixed_level[s] + 1] <= retrieve_strategies[s]->fixed_depth)
            config.fixed_level[s]++;
    }
    return config;
}

static forage_status create_policy(const char *name, policy **out, base_error *error) {
    policy_config config = policy_settings(name);
    return policy_create(&config, out, error);
}

forage_status funnel_create_learners(funnel *f, base_error *error) {
    ranker_config config = {F_COUNT, funnel_prior_weights, funnel_prior_variances};
    forage_status status = create_policy("squarecb", &f->learned, error);
    if (!status) status = create_policy("all", &f->all, error);
    if (!status) status = create_policy("fixed", &f->fixed, error);
    if (!status) status = ranker_create(&config, &f->ranker, error);
    return status;
}

static bool has_reading(const funnel_answer *a, understand_kind kind) {
    for (size_t i = 0; i < a->understood.n_interpretations; i++)
        if (a->understood.interpretations[i].kind == kind) return true;
    return false;
}

/* What is known before anybody is asked, the same for every strategy; each strategy has weights of its own. */
static void describe(funnel_answer *a) {
    float x[X_COUNT] = {0};
    uint64_t documents = a->snapshot->live_documents;
    x[X_BIAS] = 1;
    x[X_WORDS] = fminf((float)a->n_terms, 8) / 4;
    x[X_ONE_WORD] = a->n_terms == 1;
    x[X_STOPWORDS] = a->understood.all_stopwords;
    x[X_DIGITS] = a->understood.has_digits;
    x[X_TYPE_WORD] = has_reading(a, UNDERSTAND_TYPE_WORD);
    x[X_SEEN] = log1pf((float)a->n_rows) / 2;
    x[X_BELIEF] = a->n_rows ? a->rows[0].mean : 0;
    x[X_USER] = a->request->user.size > 0;
    x[X_FILTER] = a->request->filter != NULL;
    x[X_RARITY] = a->rarity / 10;
    x[X_MATCHING] = documents ? (float)a->eligible.count / (float)documents : 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) memcpy(a->x[s], x, sizeof x);
}

static forage_status choose(funnel_answer *a, const policy **out, base_error *error) {
    funnel *f = a->funnel;
    slice name = a->request->policy.size ? a->request->policy : slice_of(a->schema->policy);
    if (slice_is(name, "squarecb")) {
        a->policy_name = "squarecb";
        *out = f->learned;
    } else if (slice_is(name, "all")) {
        a->policy_name = "all";
        *out = f->all;
    } else if (slice_is(name, "fixed")) {
        a->policy_name = "fixed";
        *out = f->fixed;
    } else {
        return error_set(error, FORAGE_E_INVALID, "\"policy\": there is no \"%.*s\"; use squarecb, all or fixed", SLICE_ARG(name));
    }
    return FORAGE_OK;
}

/* The strategy without which a page would be empty: the words; for a query without words, popularity, or what is new. */
static bool is_main(const funnel_answer *a, uint32_t s) {
    if (a->n_terms > 0) return s == RETRIEVE_IS_LEXICAL;
    bool popular = a->funnel->strategies[RETRIEVE_IS_POPULAR]->available(&a->asked);
    return s == (popular ? RETRIEVE_IS_POPULAR : RETRIEVE_IS_FRESH);
}

/* The levels that may be drawn, as bits. The main strategy is always asked: exploring an empty page teaches nothing. */
static uint32_t allowed_levels(const funnel_answer *a, uint32_t s) {
    if (!a->funnel->strategies[s]->available(&a->asked)) return 1;
    uint32_t all = (1u << FUNNEL_LEVELS) - 1;
    return is_main(a, s) ? all & ~1u : all;
}

#define DEEPER 4 /* times as deep, for pages beyond the deepest level */

/* A page needs at least as many candidates as it shows, whatever was drawn: the next level that has them, so that the pages
 * of a search are cut from the same candidates but for a few steps. The level drawn and its probability stay what they
 * were. */
static uint32_t depth_for(const funnel_answer *a, uint32_t s) {
    uint32_t level = a->decision.level[s], depth = funnel_depths[level], window = a->request->offset + a->request->limit;
    if (!depth || !is_main(a, s)) return depth;
    while (depth < window) depth = ++level < FUNNEL_LEVELS ? funnel_depths[level] : depth * DEEPER;
    return depth < FUNNEL_MAX_WINDOW ? depth : FUNNEL_MAX_WINDOW;
}

forage_status funnel_decide(funnel_answer *a, base_error *error) {
    const policy *chosen = NULL;
    forage_status status = choose(a, &chosen, error);
    if (status) return status;
    describe(a);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) a->allowed[s] = allowed_levels(a, s);
    policy_decide(chosen, &a->x[0][0], a->allowed, &a->random, &a->decision);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) a->slots[s].depth = depth_for(a, s);
    return FORAGE_OK;
}
