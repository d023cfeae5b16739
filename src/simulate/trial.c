#include "simulate/trial.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void trial_init(trial *t) {
    *t = (trial){0};
    arena_init(&t->memory, 1 << 20);
}

void trial_release(trial *t) {
    free(t->rows);
    arena_release(&t->memory);
    *t = (trial){0};
}

trial trial_measured(const trial *t) {
    trial measured = *t;
    measured.rows = t->rows ? t->rows + t->n_lessons : NULL;
    measured.n = t->n - t->n_lessons;
    measured.n_lessons = measured.capacity = 0;
    measured.memory = (arena){0};
    return measured;
}

/* ---- Recording ---- */

/* Document numbers of one request, to their numbers within the row: open addressing. */
typedef struct numbering {
    uint32_t *document;
    uint16_t *number;
    bool *used;
    uint32_t mask, n;
} numbering;

static uint16_t number_of(numbering *m, uint32_t document) {
    uint32_t at = (document * 2654435769u) & m->mask;
    while (m->used[at] && m->document[at] != document) at = (at + 1) & m->mask;
    if (!m->used[at]) {
        m->used[at] = true;
        m->document[at] = document;
        m->number[at] = (uint16_t)m->n++;
    }
    return m->number[at];
}

static numbering numbering_of(arena *a, uint64_t most) {
    uint32_t slots = 16;
    while (slots < 2 * most) slots *= 2;
    return (numbering){arena_zalloc(a, slots, sizeof(uint32_t)), arena_zalloc(a, slots, sizeof(uint16_t)),
                       arena_zalloc(a, slots, sizeof(bool)), slots - 1, 0};
}

static void *keep(arena *a, const void *data, size_t size) { return memcpy(arena_alloc(a, size), data, size); }

static void keep_lists(trial *t, const trial_probe *probe, uint32_t strategies, uint32_t wanted, trial_row *row) {
    uint32_t S = t->n_strategies, *length = arena_zalloc(&t->memory, S, sizeof *length);
    uint32_t *rank = arena_zalloc(&t->memory, S, sizeof *rank);
    const uint16_t **list = arena_zalloc(&t->memory, S, sizeof *list);
    uint64_t total = 0;
    for (uint32_t s = 0; s < S; s++) {
        if (strategies >> s & 1) length[s] = probe->n_documents[s] < t->deepest ? probe->n_documents[s] : t->deepest;
        total += length[s];
    }
    arena scratch;
    arena_init(&scratch, 0);
    numbering numbers = numbering_of(&scratch, total);
    for (uint32_t s = 0; s < S; s++) {
        uint16_t *numbered = arena_alloc(&t->memory, length[s] * sizeof *numbered);
        for (uint32_t i = 0; i < length[s]; i++) {
            numbered[i] = number_of(&numbers, probe->documents[s][i]);
            if (probe->documents[s][i] == wanted && !rank[s]) rank[s] = i + 1;
        }
        list[s] = numbered;
    }
    arena_release(&scratch);
    row->length = length;
    row->rank = rank;
    row->list = list;
    row->n_documents = numbers.n;
    if (numbers.n > t->most_documents) t->most_documents = numbers.n;
}

void trial_add(trial *t, const trial_probe *probe, uint32_t deepest, uint32_t strategies, uint32_t wanted,
               uint64_t event) {
    assert(probe->n_strategies <= POLICY_MAX_STRATEGIES && probe->n_levels <= POLICY_MAX_LEVELS);
    assert(deepest <= TRIAL_MOST_DEPTH);
    uint32_t S = probe->n_strategies, L = probe->n_levels;
    if (!t->n) {
        t->n_strategies = S;
        t->n_levels = L;
        t->n_features = probe->n_features;
        t->deepest = deepest;
        memcpy(t->levels, probe->levels, L * sizeof *t->levels);
    }
    assert(S == t->n_strategies && L == t->n_levels && probe->n_features == t->n_features && deepest == t->deepest);
    uint32_t *allowed = keep(&t->memory, probe->allowed, S * sizeof *allowed);
    float *cost = keep(&t->memory, probe->cost, (size_t)S * L * sizeof *cost);
    for (uint32_t s = 0; s < S; s++) {
        if (strategies >> s & 1) continue;
        allowed[s] = 1;
        for (uint32_t l = 0; l < L; l++) cost[s * L + l] = 0;
    }
    trial_row row = {.event = event,
                     .x = keep(&t->memory, probe->x, (size_t)S * t->n_features * sizeof *row.x),
                     .allowed = allowed,
                     .cost = cost};
    keep_lists(t, probe, strategies, wanted, &row);
    t->rows = mem_grow(t->rows, &t->capacity, t->n + 1, sizeof *t->rows);
    t->rows[t->n++] = row;
}

/* ---- Policies ---- */

uint32_t trial_union(const trial *t, const trial_row *row, const uint32_t *depth, bool *seen) {
    uint32_t n = 0;
    memset(seen, 0, row->n_documents * sizeof *seen);
    for (uint32_t s = 0; s < t->n_strategies; s++)
        for (uint32_t i = 0; i < row->length[s] && i < depth[s]; i++) {
            n += !seen[row->list[s][i]];
            seen[row->list[s][i]] = true;
        }
    return n;
}

/* Sum over documents of the probability that at least one strategy draws deep enough for it. `missed`: scratch. */
static double expected_union(const trial *t, const trial_row *row, const policy_decision *d, double *missed) {
    double sum = 0;
    for (uint32_t i = 0; i < row->n_documents; i++) missed[i] = 1;
    for (uint32_t s = 0; s < t->n_strategies; s++) {
        double shallower = 0; /* the probability that the depth is less than this rank */
        uint32_t l = 0;
        for (uint32_t i = 0; i < row->length[s]; i++) {
            for (; l < t->n_levels && t->levels[l] <= i; l++) shallower += (double)d->probability[s][l];
            if (l == t->n_levels) break;
            missed[row->list[s][i]] *= shallower;
        }
    }
    for (uint32_t i = 0; i < row->n_documents; i++) sum += 1 - missed[i];
    return sum;
}

/* What a strategy added: the wanted document, if nobody else brought it. Returns whether anybody did. */
static bool reward_played(const trial *t, const trial_row *row, const uint32_t *depth, float *reward) {
    uint32_t finders = 0;
    for (uint32_t s = 0; s < t->n_strategies; s++) {
        reward[s] = row->rank[s] && row->rank[s] <= depth[s];
        finders += reward[s] > 0;
    }
    for (uint32_t s = 0; finders > 1 && s < t->n_strategies; s++) reward[s] = 0;
    return finders > 0;
}

/* What comes with a decision. */
typedef struct drawn {
    policy_decision decision;
    uint32_t depth[POLICY_MAX_STRATEGIES];
    uint32_t candidates; /* distinct */
} drawn;

/* How often each candidate was brought, and for each strategy how many of a level's only by it. */
static void learn_overlap(const trial *t, const trial_row *row, const drawn *d, uint8_t *finders, policy_overlap *overlap) {
    memset(finders, 0, row->n_documents);
    for (uint32_t s = 0; s < t->n_strategies; s++)
        for (uint32_t i = 0; i < row->length[s] && i < d->depth[s]; i++) finders[row->list[s][i]]++;
    for (uint32_t s = 0; s < t->n_strategies; s++) {
        uint32_t alone[POLICY_MAX_LEVELS] = {0}, brought = row->length[s] < d->depth[s] ? row->length[s] : d->depth[s];
        for (uint32_t i = 0; i < brought; i++)
            for (uint32_t l = d->decision.level[s]; l > 0 && i < t->levels[l]; l--) alone[l] += finders[row->list[s][i]] == 1;
        policy_overlap_learn(overlap, s, d->decision.level[s], t->levels, brought, alone);
    }
}

static void decide(const trial *t, const trial_row *row, const trial_learner *learner, random_source *random, bool *seen,
                   drawn *out) {
    float cost[POLICY_MAX_STRATEGIES * POLICY_MAX_LEVELS];
    for (uint32_t s = 0; s < t->n_strategies; s++)
        for (uint32_t l = 0; l < t->n_levels; l++)
            cost[s * t->n_levels + l] = row->cost[s * t->n_levels + l] * learner->overlap.alone[s][l];
    policy_decide_by(learner->policy, NULL, row->x, row->allowed, cost, random, &out->decision);
    for (uint32_t s = 0; s < t->n_strategies; s++) out->depth[s] = t->levels[out->decision.level[s]];
    out->candidates = trial_union(t, row, out->depth, seen);
    out->decision.expected_cost = out->candidates; /* what is spent steers the price */
}

static void learn(const trial *t, policy *p, const trial_row *row, const policy_decision *d, trial_credit credit, bool shown,
                  const float *reward) {
    if (credit == TRIAL_PLAYED) {
        policy_observe(p, row->x, d);
        if (shown) policy_reward(p, row->x, d, reward);
        return;
    }
    policy_observe_all(p, row->x, row->allowed, d);
    if (!shown) return;
    double weight = fmin(TRIAL_MOST_WEIGHT, 1 / policy_inclusion(d, t->levels, row->rank));
    policy_hindsight(p, row->x, d, row->rank, (float)weight);
}

static void note_decision(const trial *t, const trial_row *row, const policy_decision *d, trial_sums *sums) {
    for (uint32_t s = 0; s < t->n_strategies; s++)
        for (uint32_t l = 0; l < t->n_levels; l++) {
            double probability = (double)d->probability[s][l];
            sums->asked[s] += probability * t->levels[l];
            if (row->allowed[s] >> l & 1 && probability < sums->least) sums->least = probability;
        }
}

void trial_learner_init(trial_learner *out, policy *p) {
    out->policy = p;
    policy_overlap_init(&out->overlap);
}

void trial_run(const trial *t, trial_learner *learner, trial_credit credit, uint64_t seed, const uint32_t *order,
               trial_sums *sums) {
    random_source random;
    bool *seen = mem_zalloc(t->most_documents + 1, sizeof *seen);
    uint8_t *finders = mem_zalloc(t->most_documents + 1, sizeof *finders);
    double *missed = mem_zalloc(t->most_documents + 1, sizeof *missed);
    random_seed(&random, seed);
    for (size_t i = 0; i < t->n; i++) {
        size_t at = order ? order[i] : i;
        const trial_row *row = &t->rows[at];
        float reward[POLICY_MAX_STRATEGIES];
        drawn d;
        decide(t, row, learner, &random, seen, &d);
        bool shown = reward_played(t, row, d.depth, reward);
        sums->found[at] += policy_inclusion(&d.decision, t->levels, row->rank);
        sums->cost[at] += expected_union(t, row, &d.decision, missed);
        sums->drawn_found += shown;
        sums->drawn_cost += d.candidates;
        note_decision(t, row, &d.decision, sums);
        learn(t, learner->policy, row, &d.decision, credit, shown, reward);
        learn_overlap(t, row, &d, finders, &learner->overlap);
    }
    free(seen);
    free(finders);
    free(missed);
}

void trial_teach(const trial *t, trial_learner *learner, uint64_t seed) {
    random_source random;
    bool *seen = mem_zalloc(t->most_documents + 1, sizeof *seen);
    uint8_t *finders = mem_zalloc(t->most_documents + 1, sizeof *finders);
    random_seed(&random, seed);
    for (size_t i = 0; i < t->n_lessons; i++) {
        const trial_row *row = &t->rows[i];
        drawn d;
        decide(t, row, learner, &random, seen, &d);
        policy_observe_all(learner->policy, row->x, row->allowed, &d.decision);
        policy_hindsight(learner->policy, row->x, &d.decision, row->rank, 1);
        learn_overlap(t, row, &d, finders, &learner->overlap);
    }
    free(seen);
    free(finders);
}
