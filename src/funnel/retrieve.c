/* Retrieve: the chosen strategies, side by side, each within its deadline. */
#include "funnel/answer.h"

#include "os/wait.h"

static void run_slot(void *argument) {
    funnel_slot *slot = argument;
    funnel_answer *a = slot->answer;
    const os_clock *clock = a->asked.clock;
    int64_t start = clock_monotonic(clock);
    pthread_mutex_lock(&a->mutex);
    bool wanted = slot->state == SLOT_RUNNING;
    pthread_mutex_unlock(&a->mutex);
    bool late = start > a->asked.deadline; /* it waited too long for a thread */
    size_t n = 0;
    if (wanted && !late)
        n = a->funnel->strategies[slot->strategy]->run(&a->asked, slot->depth, &slot->memory, slot->hits,
                                                   &late);
    pthread_mutex_lock(&a->mutex);
    if (slot->state == SLOT_RUNNING) { /* else the request has gone on without it, and reads the slot */
        slot->took_us = (uint32_t)(clock_monotonic(clock) - start);
        slot->n_hits = n;
        slot->gave_up = late;
        slot->state = SLOT_DONE;
        pthread_cond_signal(&a->arrived);
    }
    pthread_mutex_unlock(&a->mutex);
    funnel_answer_unref(a);
}

static void start(funnel_answer *a, uint32_t s) {
    funnel_slot *slot = &a->slots[s];
    if (!slot->depth) return;
    /* Late strategies of the last user of this memory are gone: they held references. */
    slot->answer = a;
    slot->strategy = s;
    slot->hits = arena_alloc(&slot->memory, slot->depth * sizeof *slot->hits);
    slot->state = SLOT_RUNNING;
    atomic_fetch_add(&a->references, 1);
    if (!os_pool_submit(a->funnel->pool, run_slot, slot)) run_slot(slot); /* the pool is full: do it ourselves */
}

/* Waits until the strategy has answered or its time is over. True when it has answered. */
static bool wait_for(funnel_answer *a, uint32_t s) {
    funnel_slot *slot = &a->slots[s];
    pthread_mutex_lock(&a->mutex);
    while (slot->state == SLOT_RUNNING)
        if (!os_wait_until(&a->arrived, &a->mutex, a->asked.deadline) && slot->state == SLOT_RUNNING) {
            slot->state = SLOT_LATE;
            slot->took_us = (uint32_t)(clock_monotonic(a->asked.clock) - a->started);
        }
    bool done = slot->state == SLOT_DONE;
    pthread_mutex_unlock(&a->mutex);
    return done;
}

static void start_all(funnel_answer *a, retrieve_needs needs) {
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        if (a->funnel->strategies[s]->needs == needs) start(a, s);
}

/* The words' matches are needed by some strategies, by facets and by the total; they are found here while the first
 * strategies run elsewhere. */
void funnel_retrieve(funnel_answer *a) {
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        funnel_slot *slot = &a->slots[s];
        slot->state = SLOT_IDLE;
        slot->n_hits = slot->took_us = 0;
        slot->gave_up = false;
    }
    start_all(a, RETRIEVE_NOTHING);
    if (a->n_terms) sparse_matching(&a->eligible, &(sparse_query){.terms = a->terms, .n_terms = a->n_terms}, &a->memory, &a->matching);
    else a->matching = a->eligible;
    a->asked.matching = &a->matching;
    start_all(a, RETRIEVE_MATCHING);
    const funnel_slot *lexical = &a->slots[RETRIEVE_IS_LEXICAL];
    a->asked.n_lexical = 0;
    if (a->slots[RETRIEVE_IS_RELATED].depth && (!lexical->depth || wait_for(a, RETRIEVE_IS_LEXICAL))) {
        a->asked.lexical = lexical->hits;
        a->asked.n_lexical = lexical->depth ? lexical->n_hits : 0; /* without words it starts from what is remembered */
        start_all(a, RETRIEVE_LEXICAL);
    } else if (a->slots[RETRIEVE_IS_RELATED].depth) {
        a->slots[RETRIEVE_IS_RELATED].state = SLOT_LATE; /* what it starts from did not come in time */
    }
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) wait_for(a, s);
}
