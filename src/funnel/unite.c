/* Unite: one list, each candidate with every strategy's raw score and rank. */
#include "funnel/answer.h"

#include "base/hash.h"

void funnel_unite(funnel_answer *a) {
    size_t most = 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        if (a->slots[s].state == SLOT_DONE) most += a->slots[s].n_hits;
    size_t slots = 16;
    while (slots < most * 2) slots *= 2;
    uint32_t *table = arena_zalloc(&a->memory, slots, sizeof *table); /* place + 1 */
    a->candidates = arena_zalloc(&a->memory, most + 1, sizeof *a->candidates);
    a->n_candidates = 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const funnel_slot *slot = &a->slots[s];
        if (slot->state != SLOT_DONE) continue;
        for (size_t i = 0; i < slot->n_hits; i++) {
            uint32_t document = slot->hits[i].document;
            size_t at = hash64(&document, sizeof document, 0) & (slots - 1);
            while (table[at] && a->candidates[table[at] - 1].document != document) at = (at + 1) & (slots - 1);
            if (!table[at]) {
                a->candidates[a->n_candidates].document = document;
                table[at] = (uint32_t)++a->n_candidates;
            }
            funnel_candidate *candidate = &a->candidates[table[at] - 1];
            if (candidate->rank[s]) continue;
            candidate->rank[s] = (uint32_t)i + 1;
            candidate->raw[s] = slot->hits[i].score;
        }
    }
}
