/* Unite: one list, each candidate with every strategy's raw score and rank. */
#include "funnel/answer.h"

#include "base/hash.h"
#include "rank/page_token.h"

#include <string.h>

typedef struct table {
    funnel_answer *a;
    uint32_t *places; /* place + 1 */
    size_t slots;
} table;

/* The candidate of a document; NULL when it is not there and is not to be made. */
static funnel_candidate *candidate_of(table *t, uint32_t document, bool make) {
    funnel_answer *a = t->a;
    size_t at = hash64(&document, sizeof document, 0) & (t->slots - 1);
    while (t->places[at] && a->candidates[t->places[at] - 1].document != document) at = (at + 1) & (t->slots - 1);
    if (!t->places[at]) {
        if (!make) return NULL;
        a->candidates[a->n_candidates].document = document;
        t->places[at] = (uint32_t)++a->n_candidates;
    }
    return &a->candidates[t->places[at] - 1];
}

/* The document that the hits are to be like is none of them. */
static bool is_asked_about(const funnel_answer *a, uint32_t document) { return a->asked.like && document == *a->asked.like; }

static void note(funnel_candidate *c, uint32_t s, size_t place, float score) {
    if (c->rank[s]) return;
    c->rank[s] = (uint32_t)place + 1;
    c->raw[s] = score;
}

/* By the step (funnel_later_depth) at which it comes in. */
static uint32_t tier_of(size_t place) {
    uint32_t tier = 1;
    for (uint32_t end = funnel_later_depth(1); place >= end; end *= 10) tier++;
    return tier;
}

/* What only later pages need. Where it is on the first page's list already, that list is as it was. */
static void add_later(table *t, uint32_t s) {
    const funnel_slot *slot = &t->a->slots[s];
    for (size_t i = slot->base; i < slot->n_hits; i++) {
        if (is_asked_about(t->a, slot->hits[i].document) || candidate_of(t, slot->hits[i].document, false)) continue;
        funnel_candidate *c = candidate_of(t, slot->hits[i].document, true);
        c->tier = tier_of(i);
        note(c, s, i, slot->hits[i].score);
    }
}

/* For each strategy, how many candidates within the depth of each level, up to the one drawn, nobody else brought. */
static void count_alone(funnel_answer *a) {
    memset(a->alone, 0, sizeof a->alone);
    for (size_t i = 0; i < a->n_candidates; i++) {
        const funnel_candidate *c = &a->candidates[i];
        uint32_t finders = 0, finder = 0;
        for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
            if (!c->rank[s]) continue;
            finders++;
            finder = s;
        }
        if (finders != 1) continue;
        for (uint32_t l = a->decision.level[finder]; l > 0 && c->rank[finder] <= funnel_depths[l]; l--) a->alone[finder][l]++;
    }
}

/* That may become candidates without having been found. */
static size_t named_documents(const funnel_request *r) {
    return r->page.size ? PAGE_TOKEN_DOCUMENTS : r->pinned ? r->pinned->count : 0;
}

/* Somebody else's candidates, each once, in their order; those that are no document have numbers that no document has. */
static void unite_given(table *t) {
    funnel_answer *a = t->a;
    for (size_t i = 0; i < a->n_given; i++) {
        uint32_t number;
        if (!collection_number_of(a->txn, a->given[i].id, &number)) number = UINT32_MAX - (uint32_t)i;
        a->candidates[a->n_candidates].document = number;
        size_t at = hash64(&number, sizeof number, 0) & (t->slots - 1);
        while (t->places[at]) at = (at + 1) & (t->slots - 1);
        t->places[at] = (uint32_t)++a->n_candidates;
    }
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const funnel_slot *slot = &a->slots[s];
        for (size_t i = 0; slot->state == SLOT_DONE && i < slot->n_hits; i++) {
            funnel_candidate *c = candidate_of(t, slot->hits[i].document, false);
            if (c) note(c, s, i, slot->hits[i].score);
        }
    }
}

void funnel_unite(funnel_answer *a) {
    table t = {.a = a, .slots = 16};
    size_t most = 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        if (a->slots[s].state == SLOT_DONE) most += a->slots[s].n_hits;
    most += a->n_given;
    while (t.slots < most * 2) t.slots *= 2;
    t.places = arena_zalloc(&a->memory, t.slots, sizeof *t.places);
    a->room = most + named_documents(a->request);
    a->candidates = arena_zalloc(&a->memory, a->room + 1, sizeof *a->candidates);
    a->n_candidates = 0;
    if (a->n_given) {
        unite_given(&t);
        a->n_united = a->n_candidates;
        return;
    }
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const funnel_slot *slot = &a->slots[s];
        for (size_t i = 0; slot->state == SLOT_DONE && i < slot->n_hits && i < slot->base; i++)
            if (!is_asked_about(a, slot->hits[i].document))
                note(candidate_of(&t, slot->hits[i].document, true), s, i, slot->hits[i].score);
    }
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        if (a->slots[s].state == SLOT_DONE) add_later(&t, s);
    a->n_united = a->n_candidates;
    count_alone(a);
}
