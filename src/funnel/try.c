/* Trying: what every strategy would have found. Nothing is drawn, logged or ranked. */
#include "funnel/answer.h"

#include "base/bytes.h"

#include <string.h>

forage_status funnel_ask(funnel *f, const funnel_request *request, const uint32_t *depth, funnel_answer **out, base_error *error) {
    funnel_answer *a = funnel_answer_begin(f, request);
    forage_status status = funnel_understand(a, error);
    if (status) {
        funnel_answer_unref(a);
        return status;
    }
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++)
        a->slots[s].depth = a->slots[s].base = f->strategies[s]->available(&a->asked) ? depth[s] : 0;
    if (a->slots[RETRIEVE_IS_RELATED].depth && !a->slots[RETRIEVE_IS_LEXICAL].depth)
        a->slots[RETRIEVE_IS_LEXICAL].depth = f->strategies[RETRIEVE_IS_LEXICAL]->available(&a->asked) ? funnel_depths[1] : 0;
    funnel_retrieve(a);
    *out = a;
    return FORAGE_OK;
}

forage_status funnel_try(funnel *f, const funnel_request *request, uint32_t depth, funnel_answer **out, funnel_probe *probe,
                         base_error *error) {
    uint32_t depths[RETRIEVE_STRATEGIES];
    funnel_answer *a;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) depths[s] = depth;
    forage_status status = funnel_ask(f, request, depths, &a, error);
    if (status) return status;
    funnel_describe(a);
    uint32_t **documents = arena_alloc(&a->memory, RETRIEVE_STRATEGIES * sizeof *documents);
    uint32_t *n_documents = arena_zalloc(&a->memory, RETRIEVE_STRATEGIES, sizeof *n_documents);
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        const funnel_slot *slot = &a->slots[s];
        uint32_t n = slot->state == SLOT_DONE ? (uint32_t)slot->n_hits : 0;
        documents[s] = arena_alloc(&a->memory, (n + 1) * sizeof **documents);
        for (uint32_t i = 0; i < n; i++) documents[s][i] = slot->hits[i].document;
        n_documents[s] = n;
    }
    *probe = (funnel_probe){
        .n_strategies = RETRIEVE_STRATEGIES, .n_levels = FUNNEL_LEVELS, .n_features = X_COUNT, .levels = funnel_depths,
        .x = &a->x[0][0], .allowed = a->allowed, .cost = &a->cost[0][0],
        .documents = (const uint32_t *const *)documents, .n_documents = n_documents};
    *out = a;
    return FORAGE_OK;
}

#define RRF_K 60.0f

forage_status funnel_try_rows(funnel *f, const funnel_request *request, uint32_t depth, funnel_answer **out, funnel_rows *rows,
                              base_error *error) {
    uint32_t depths[RETRIEVE_STRATEGIES];
    funnel_answer *a;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) depths[s] = depth;
    forage_status status = funnel_ask(f, request, depths, &a, error);
    if (status) return status;
    memset(&a->decision, 0, sizeof a->decision);
    funnel_unite(a);
    a->columns = funnel_columns(f, a->schema);
    funnel_describe_core(a);
    size_t n = a->n_candidates;
    uint32_t *all = arena_alloc(&a->memory, (n + 1) * sizeof *all), *documents = arena_alloc(&a->memory, (n + 1) * sizeof *documents);
    float *rrf = arena_alloc(&a->memory, (n + 1) * sizeof *rrf);
    for (size_t i = 0; i < n; i++) {
        all[i] = (uint32_t)i;
        documents[i] = a->candidates[i].document;
        rrf[i] = rank_rrf(a->candidates[i].rank, RETRIEVE_STRATEGIES, RRF_K);
    }
    funnel_describe_rest(a, all, n);
    *rows = (funnel_rows){.n_features = a->columns->n, .names = a->columns->names, .n = n, .documents = documents, .x = a->features,
                          .rrf = rrf};
    *out = a;
    return FORAGE_OK;
}

/* ---- Hindsight ---- */

#define DEEPEST funnel_depths[FUNNEL_LEVELS - 1]

#define PATIENCE_MS 2000 /* nobody waits for the page */

/* The search as it was asked. False when it cannot be told any more. */
static bool ask_again(const record_impression *r, arena *memory, funnel_request *out) {
    json_value *context = NULL, *filter = NULL;
    funnel_request_default(out);
    if (r->context.size && json_read(memory, r->context, &context, NULL)) return false;
    if (r->filter.size && json_read(memory, r->filter, &filter, NULL)) return false;
    out->query = r->query;
    out->user = r->user;
    out->session = r->session;
    funnel_request_set_context(out, context);
    out->filter = filter;
    out->prefix = r->prefix;
    out->time = r->time;
    out->timeout_ms = PATIENCE_MS;
    out->log = false;
    return true;
}

/* What the impression tells: the rank where it was found; 0 where it was asked as deep as it could be and did not find it. */
static bool told(const record_impression *r, uint32_t hit, uint32_t s, uint32_t *rank) {
    uint32_t found = r->hits[hit].ranks[s];
    *rank = found <= DEEPEST ? found : 0;
    bool able = r->strategies[s].allowed & ~1u;
    return found || !able || (r->strategies[s].depth >= DEEPEST && !r->strategies[s].late && !r->offset);
}

static uint32_t rank_in(const funnel_slot *slot, uint32_t document) {
    for (size_t i = 0; slot->state == SLOT_DONE && i < slot->n_hits; i++)
        if (slot->hits[i].document == document) return (uint32_t)i + 1;
    return 0;
}

bool funnel_hindsight(funnel *f, const record_impression *r, uint64_t sequence, uint32_t hit,
                      uint32_t rank[RETRIEVE_STRATEGIES]) {
    uint32_t depth[RETRIEVE_STRATEGIES], document = r->hits[hit].document, asked = 0;
    for (uint32_t s = 0; s < RETRIEVE_STRATEGIES; s++) {
        depth[s] = told(r, hit, s, &rank[s]) ? 0 : DEEPEST;
        asked += depth[s] > 0;
    }
    if (!asked) return true;
    funnel_request request;
    funnel_answer *a = NULL;
    arena memory;
    arena_init(&memory, 0);
    bool known = ask_again(r, &memory, &request);
    request.seed = hash64(&sequence, sizeof sequence, document) | 1;
    known = known && funnel_ask(f, &request, depth, &a, NULL) == FORAGE_OK;
    /* A query that the log has cut is another one. */
    known = known && memcmp(&a->memory_key, &r->memory_key, sizeof a->memory_key) == 0;
    for (uint32_t s = 0; known && s < RETRIEVE_STRATEGIES; s++) {
        if (!depth[s]) continue;
        known = !funnel_slot_late(&a->slots[s]);
        /* It was asked as deep as its level and did not have it: what has changed since does not count. */
        uint32_t least = r->strategies[s].late || r->offset ? 0 : r->strategies[s].depth, found = rank_in(&a->slots[s], document);
        rank[s] = found && found <= least ? least + 1 : found;
    }
    if (a) funnel_answer_unref(a);
    arena_release(&memory);
    return known;
}
