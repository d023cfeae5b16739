/* What the policy sees of a request before anybody is asked, which levels it may draw, and what they would cost. */
#include "funnel/answer.h"

#include "retrieve/gather.h"

#include <math.h>
#include <string.h>

const char *const funnel_policy_feature_names[] = {
    [X_BIAS] = "bias", [X_WORDS] = "words", [X_ONE_WORD] = "one_word", [X_STOPWORDS] = "all_stopwords",
    [X_DIGITS] = "has_digits", [X_TYPE_WORD] = "type_word", [X_LANGUAGE] = "other_language", [X_FILTER] = "filtered",
    [X_RARITY] = "rarest_word", [X_MATCHING] = "share_eligible", [X_SEEN] = "documents_remembered",
    [X_UNSEEN] = "nothing_remembered", [X_EARNED] = "rewards_remembered", [X_TOP] = "share_of_best_memory",
    [X_BELIEF] = "best_memory", [X_USER] = "user_known", [X_TENURE] = "user_events", [X_LIKED] = "user_documents",
    [X_BOTH] = "remembered_and_users", [X_SHARED] = "share_remembered_and_users", [X_HOUR_SIN] = "hour_sine",
    [X_HOUR_COS] = "hour_cosine", [X_WEEKEND] = "weekend", [X_EXPECTED] = "expected_results",
    [X_QUERY] = "past_of_query", [X_PAST_WORDS] = "past_of_words", [X_SEGMENT] = "past_of_segments",
    [X_LATENCY] = "past_latency",
};

const uint32_t funnel_policy_feature_count = X_COUNT;

static bool has_reading(const funnel_answer *a, understand_kind kind) {
    for (size_t i = 0; i < a->understood.n_interpretations; i++)
        if (a->understood.interpretations[i].kind == kind) return true;
    return false;
}

static void describe_query(const funnel_answer *a, float *x) {
    uint64_t documents = a->snapshot->live_documents;
    x[X_BIAS] = 1;
    x[X_WORDS] = fminf((float)a->n_terms, 8) / 4;
    x[X_ONE_WORD] = a->n_terms == 1;
    x[X_STOPWORDS] = a->understood.all_stopwords;
    x[X_DIGITS] = a->understood.has_digits;
    x[X_TYPE_WORD] = has_reading(a, UNDERSTAND_TYPE_WORD);
    x[X_LANGUAGE] = a->understood.language != a->schema->language;
    x[X_FILTER] = a->request->filter != NULL;
    x[X_RARITY] = a->rarity / 10;
    x[X_MATCHING] = documents ? (float)a->eligible.count / (float)documents : 0;
}

/* How many remembered documents the user has engaged with. */
static uint32_t in_both(funnel_answer *a) {
    const profile *p = a->profile;
    gather mine;
    uint32_t both = 0;
    if (!p || !a->n_rows) return 0;
    gather_init(&mine, p->n_items, &a->memory);
    for (uint32_t i = 0; i < p->n_items; i++) gather_add(&mine, p->items[i].document, 1);
    for (size_t i = 0; i < a->n_rows; i++) both += gather_score(&mine, a->rows[i].document) > 0;
    return both;
}

static void describe_memory(funnel_answer *a, float *x) {
    float sum = 0, best = 0;
    for (size_t i = 0; i < a->n_rows; i++) {
        sum += a->rows[i].rewards;
        best = fmaxf(best, a->rows[i].rewards);
    }
    x[X_SEEN] = log1pf((float)a->n_rows) / 4;
    x[X_UNSEEN] = a->n_rows == 0;
    x[X_EARNED] = log1pf(sum) / 5;
    x[X_TOP] = sum > 0 ? best / sum : 0;
    x[X_BELIEF] = a->n_rows ? a->rows[0].mean : 0;
    uint32_t both = in_both(a);
    x[X_BOTH] = log1pf((float)both) / 2;
    x[X_SHARED] = a->n_rows ? (float)both / (float)a->n_rows : 0;
}

#define HOUR_US ((int64_t)3600 * 1000000)

static void describe_asker(const funnel_answer *a, float *x) {
    int64_t hours = a->now / HOUR_US, weekday = (hours / 24 + 4) % 7; /* 1 January 1970 was a Thursday; 0: Sunday */
    float angle = 2 * (float)M_PI * (float)(a->now % (24 * HOUR_US)) / (24.0f * (float)HOUR_US);
    x[X_USER] = a->asked.known_user;
    x[X_TENURE] = a->profile ? log1pf((float)a->profile->events) / 5 : 0;
    x[X_LIKED] = a->profile ? log1pf((float)a->profile->n_items) / 4 : 0;
    x[X_HOUR_SIN] = sinf(angle);
    x[X_HOUR_COS] = cosf(angle);
    x[X_WEEKEND] = weekday == 0 || weekday == 6;
}

/* About how many candidates the strategy has, at most. */
static float expected_results(const funnel_answer *a, uint32_t s) {
    float eligible = (float)a->eligible.count;
    if (!a->funnel->strategies[s]->available(&a->asked)) return 0;
    if (s == RETRIEVE_IS_MEMORY) return (float)a->n_rows;
    if (s == RETRIEVE_IS_SEMANTIC || s == RETRIEVE_IS_EXPANSION) return eligible;
    bool words = a->n_terms > 0 && (s == RETRIEVE_IS_LEXICAL || s == RETRIEVE_IS_EXPLORE || !a->asked.beyond_words);
    if (s == RETRIEVE_IS_RELATED || !words) return eligible;
    return fminf(eligible, a->spread + (s == RETRIEVE_IS_PERSONAL ? (float)a->n_rows : 0));
}

/* In steps of fourfold time, from 4 ms on: what takes a bit longer today decides nothing. */
static float slowness(float ms) { return ms < 4 ? 0 : fminf(4, floorf(log2f(ms) / 2)) / 4; }

static void describe_strategies(funnel_answer *a, const float *x) {
    funnel *f = a->funnel;
    performance_keys keys;
    performance_means past;
    policy_overlap overlap;
    double took[RETRIEVE_STRATEGIES], deep[RETRIEVE_STRATEGIES];
    performance_keys_of(a->understood.normalized, &a->memory_key, a->context_segments, a->n_context_segments, &keys);
    performance_ask(f->performance, &keys, &past);
    pthread_mutex_lock(&f->counters_mutex);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        double asked = f->counters.asked[s] ? (double)f->counters.asked[s] : 1;
        took[s] = (double)f->counters.took_us[s] / asked;
        deep[s] = (double)f->counters.depth[s] / asked;
    }
    overlap = f->overlap;
    pthread_mutex_unlock(&f->counters_mutex);
    bool by_time = a->schema->budget_p95_ms > 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        float *own = a->x[s], expected = expected_results(a, s);
        memcpy(own, x, X_COUNT * sizeof *own);
        own[X_EXPECTED] = log1pf(expected) / 7;
        own[X_QUERY] = past.query[s];
        own[X_PAST_WORDS] = past.words[s];
        own[X_SEGMENT] = past.segments[s];
        own[X_LATENCY] = slowness((float)took[s] / 1000);
        for (uint32_t l = 0; l < FUNNEL_LEVELS; l++) {
            float depth = (float)funnel_depths[l];
            a->cost[s][l] = by_time ? (deep[s] > 0 ? depth * (float)(took[s] / deep[s]) / 1000 : depth * 1e-3f)
                                    : overlap.alone[s][l] * fminf(depth, expected);
        }
    }
}

/* The words; without words, a vector or a document to be like, or weights; without those, popularity, or what is new. */
bool funnel_is_main(const funnel_answer *a, uint32_t s) {
    if (a->n_terms > 0) return s == RETRIEVE_IS_LEXICAL;
    if (vector_query_possible(a->meaning)) return s == RETRIEVE_IS_SEMANTIC;
    if (weights_query_possible(a->expansion)) return s == RETRIEVE_IS_EXPANSION;
    bool popular = a->funnel->strategies[RETRIEVE_IS_POPULAR]->available(&a->asked);
    return s == (popular ? RETRIEVE_IS_POPULAR : RETRIEVE_IS_FRESH);
}

/* The levels that may be drawn, as bits. Exploring an empty page teaches nothing: the main strategy is always asked, unless
 * what is remembered can fill the page, or what people do finds documents without the words. */
static uint32_t allowed_levels(const funnel_answer *a, uint32_t s) {
    uint32_t all = (1u << FUNNEL_LEVELS) - 1;
    if (!a->funnel->strategies[s]->available(&a->asked)) return 1;
    bool others = a->n_rows >= a->request->limit || (a->n_terms && a->asked.beyond_words);
    return funnel_is_main(a, s) && !others ? all & ~1u : all;
}

void funnel_describe(funnel_answer *a) {
    float x[X_COUNT] = {0};
    describe_query(a, x);
    describe_memory(a, x);
    describe_asker(a, x);
    describe_strategies(a, x);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) a->allowed[s] = allowed_levels(a, s);
}
