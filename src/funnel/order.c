/* From scores to an order: the cross-encoder's say, what it is worth to the shop, diversity, exploration, two rankers in one page,
 * and what people have pinned, hidden or frozen. */
#include "funnel/answer.h"
#include "rank/arrange.h"
#include "rank/diversity.h"
#include "rank/page_token.h"
#include "rank/plackett_luce.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Sorting ---- */

typedef struct sortable {
    uint32_t tier;
    float score;
    uint32_t tie, candidate;
} sortable;

static int best_first(const void *x, const void *y) {
    const sortable *p = x, *q = y;
    if (p->tier != q->tier) return p->tier < q->tier ? -1 : 1;
    if (p->score != q->score) return p->score > q->score ? -1 : 1;
    return (p->tie > q->tie) - (p->tie < q->tie);
}

/* Equals by document; somebody else's candidates as they were given. */
uint32_t *funnel_sorted(funnel_answer *a, const float *scores) {
    size_t n = a->n_candidates;
    sortable *list = arena_alloc(&a->memory, (n + 1) * sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = (sortable){a->candidates[i].tier, scores[i], a->n_given ? (uint32_t)i : a->candidates[i].document, (uint32_t)i};
    if (n) qsort(list, n, sizeof *list, best_first);
    uint32_t *order = arena_alloc(&a->memory, (n + 1) * sizeof *order);
    for (size_t i = 0; i < n; i++) order[i] = list[i].candidate;
    return order;
}

/* ---- What it is worth ---- */

static forage_status with_value(funnel_answer *a, const funnel_scorer *scorer, float **scores, base_error *error) {
    double strength = a->schema->ranking.value_strength;
    slice name = slice_of(a->schema->ranking.value_field ? a->schema->ranking.value_field : "");
    forage_status status = schema_read_value(a->schema, a->request->value, &name, &strength, error);
    if (status || strength <= 0) return status;
    const schema_field *field = schema_find(a->schema, name);
    size_t n = a->n_candidates;
    float *values = arena_alloc(&a->memory, (n + 1) * sizeof *values), *final = arena_alloc(&a->memory, (n + 1) * sizeof *final);
    for (size_t i = 0; i < n; i++)
        values[i] = (float)sparse_number_of(a->snapshot, a->candidates[i].document, (uint32_t)field->sparse);
    arrange_value settings = {.engagement = scorer->model ? model_calibration(scorer->model) : (arrange_calibration){1, 0},
                              .strength = strength};
    arrange_score(&settings, *scores, values, n, &a->memory, final, NULL, NULL);
    *scores = final;
    return FORAGE_OK;
}

/* ---- Diversity ---- */

#define WINDOW 200 /* candidates among which it chooses */
#define MOST_ATTRIBUTES 24

static int rising(const void *x, const void *y) {
    uint32_t p = *(const uint32_t *)x, q = *(const uint32_t *)y;
    return (p > q) - (p < q);
}

/* Values of keyword and reference fields, the type among them, by hash: two that collide are taken for one. */
static diversity_attributes attributes_of(funnel_answer *a, const uint32_t *order, size_t n) {
    profile_attribute own[MOST_ATTRIBUTES];
    uint32_t *first = arena_alloc(&a->memory, (n + 1) * sizeof *first);
    uint32_t *ids = arena_alloc(&a->memory, (n * MOST_ATTRIBUTES + 1) * sizeof *ids), total = 0;
    for (size_t i = 0; i < n; i++) {
        first[i] = total;
        size_t found = behaviour_attributes(a->snapshot, a->candidates[order[i]].document, &a->memory, MOST_ATTRIBUTES, own);
        for (size_t v = 0; v < found; v++) ids[total + v] = (uint32_t)hash64(own[v].value.data, own[v].value.size, own[v].field);
        if (found) qsort(ids + total, found, sizeof *ids, rising);
        uint32_t kept = 0;
        for (size_t v = 0; v < found; v++)
            if (!kept || ids[total + v] != ids[total + kept - 1]) ids[total + kept++] = ids[total + v];
        total += kept;
    }
    first[n] = total;
    return (diversity_attributes){.first = first, .attribute = ids};
}

/* Puts the first n of `order` in another order: places[i] says which of them comes i-th. */
static void permute(funnel_answer *a, uint32_t *order, const uint32_t *places, size_t n) {
    uint32_t *copy = arena_alloc(&a->memory, (n + 1) * sizeof *copy);
    memcpy(copy, order, n * sizeof *copy);
    for (size_t i = 0; i < n; i++) order[i] = copy[places[i]];
}

static float *in_order(funnel_answer *a, const float *scores, const uint32_t *order, size_t n) {
    float *out = arena_alloc(&a->memory, (n + 1) * sizeof *out);
    for (size_t i = 0; i < n; i++) out[i] = scores[order[i]];
    return out;
}

/* How many of the order belong to the first page's list. */
static size_t first_tier(const funnel_answer *a, const uint32_t *order) {
    size_t n = 0;
    while (n < a->n_order && a->candidates[order[n]].tier == 0) n++;
    return n;
}

static void diversify(funnel_answer *a, const float *scores, uint32_t *order) {
    double strength = a->request->diversity >= 0 ? a->request->diversity : a->schema->ranking.diversity;
    size_t n = first_tier(a, order), placed = (size_t)a->request->offset + a->request->limit;
    if (n > WINDOW) n = WINDOW;
    if (!(strength > 0) || n < 3) return;
    diversity_attributes attributes = attributes_of(a, order, n);
    uint32_t *places = arena_alloc(&a->memory, (n + 1) * sizeof *places);
    diversity_rerank(in_order(a, scores, order, n), &attributes, n, n, placed < n ? placed : n, strength, &a->memory, places, NULL);
    permute(a, order, places, n);
}

/* ---- Pinned and hidden in an order ---- */

static bool is_pinned(const funnel_answer *a, uint32_t candidate) {
    for (size_t i = 0; i < a->n_pins; i++)
        if (a->pins[i].candidate == candidate) return true;
    return false;
}

/* Without them: what is decided about an order is decided about the others, so that nobody earns by a place that was given. */
static size_t without_named(const funnel_answer *a, const bool *hidden, uint32_t *order, size_t n) {
    size_t kept = 0;
    for (size_t i = 0; i < n; i++)
        if (!(hidden && hidden[order[i]]) && !is_pinned(a, order[i])) order[kept++] = order[i];
    return kept;
}

/* The pinned in their places among the n_order others; returns how many there are. Hidden wins over pinned: those pins are gone. */
static size_t with_pins(funnel_answer *a, uint32_t *order) {
    size_t n = a->n_order;
    for (size_t i = 0; i < a->n_pins; i++) {
        bool again = false;
        for (size_t j = 0; j < i; j++) again = again || a->pins[j].candidate == a->pins[i].candidate;
        if (!again) order[n++] = a->pins[i].candidate;
    }
    return a->n_pins ? arrange_pins(order, n, NULL, a->pins, a->n_pins, &a->memory) : n;
}

static void drop_hidden_pins(funnel_answer *a, const bool *hidden) {
    size_t kept = 0;
    for (size_t i = 0; i < a->n_pins; i++)
        if (!hidden || !hidden[a->pins[i].candidate]) a->pins[kept++] = a->pins[i];
    a->n_pins = kept;
}

/* ---- Exploration ---- */

/* How many places of the page are drawn: the others are pinned, whatever is drawn. */
static uint32_t places_drawn(funnel_answer *a, const uint32_t *order) {
    uint32_t drawn = 0, *copy = arena_alloc(&a->memory, (a->n_order + a->n_pins + 1) * sizeof *copy);
    memcpy(copy, order, a->n_order * sizeof *copy);
    size_t n = with_pins(a, copy);
    for (size_t i = 0; i < n && i < a->request->limit; i++) drawn += !is_pinned(a, copy[i]);
    return drawn;
}

static void explore(funnel_answer *a, const float *scores, uint32_t *order) {
    plackett_luce_config c = {.temperature = a->schema->ranking.temperature, .top = a->schema->ranking.explore_top};
    if (a->request->temperature >= 0) {
        c.temperature = a->request->temperature;
        c.top = a->request->explore_top;
    }
    size_t n = first_tier(a, order);
    if (!(c.temperature > 0) || a->request->offset || a->n_given || n < 2 || !a->query_id_slice.size) return;
    if (c.top > n) c.top = (uint32_t)n;
    c.shown = places_drawn(a, order);
    uint32_t *places = arena_alloc(&a->memory, (n + 1) * sizeof *places);
    plackett_luce_draw draw = plackett_luce_sample(&c, in_order(a, scores, order, n), n, &a->random, places, NULL, NULL);
    permute(a, order, places, n);
    a->explored = c.top;
    a->log_propensity = (float)draw.log_propensity;
}

/* ---- Two rankers in one page ---- */

/* The rival's whole order, made as the first one's was. */
static forage_status interleave(funnel_answer *a, const bool *hidden, uint32_t *order, base_error *error) {
    size_t n = first_tier(a, order);
    float *scores = funnel_cross_last(a, funnel_score(a, &a->rival));
    forage_status status = with_value(a, &a->rival, &scores, error);
    if (status) return status;
    uint32_t *other = funnel_sorted(a, scores);
    (void)without_named(a, hidden, other, a->n_candidates);
    diversify(a, scores, other);
    uint32_t length = a->request->limit < INTERLEAVE_MAX ? a->request->limit : INTERLEAVE_MAX;
    interleave_page *page = arena_alloc(&a->memory, sizeof *page);
    interleave_draw(a->interleaving, order, n, other, n, length, &a->random, page);
    uint32_t *rest = arena_alloc(&a->memory, (a->n_candidates + 1) * sizeof *rest);
    bool *shown = arena_zalloc(&a->memory, a->n_candidates + 1, sizeof *shown);
    size_t kept = 0;
    for (uint32_t i = 0; i < page->n; i++) shown[page->id[i]] = true;
    for (size_t i = 0; i < a->n_order; i++)
        if (!shown[order[i]]) rest[kept++] = order[i];
    memcpy(order, page->id, page->n * sizeof *order);
    memcpy(order + page->n, rest, kept * sizeof *order);
    a->drafted = page;
    return FORAGE_OK;
}

/* ---- Named documents: pinned, hidden, frozen ---- */

static uint32_t candidate_of(const funnel_answer *a, uint32_t document) {
    for (uint32_t i = 0; i < a->n_candidates; i++)
        if (a->candidates[i].document == document) return i;
    return UINT32_MAX;
}

/* unite.c left room for them. */
static uint32_t made_candidate(funnel_answer *a, uint32_t document) {
    uint32_t found = candidate_of(a, document);
    if (found != UINT32_MAX || a->n_candidates == a->room) return found;
    a->candidates[a->n_candidates].document = document;
    return (uint32_t)a->n_candidates++;
}

static slice id_in(const json_value *named) {
    const json_value *id = named->type == JSON_OBJECT ? json_get(named, "id") : named;
    return id ? id->text : (slice){0};
}

static uint32_t position_in(const json_value *named, uint32_t otherwise) {
    const json_value *position = named->type == JSON_OBJECT ? json_get(named, "position") : NULL;
    return position ? (uint32_t)position->integer : otherwise;
}

static uint64_t request_hash(funnel_answer *a) {
    slice filter = funnel_json_text(a->request->filter, &a->memory);
    uint64_t h = hash64(a->understood.normalized.data, a->understood.normalized.size, 1);
    return hash64(filter.data, filter.size, h);
}

/* Damage, and tokens of other collections, are noticed; it is no secret. */
static uint64_t page_key(const funnel_answer *a) {
    const char *name = collection_name(a->funnel->collection);
    return hash64(name, strlen(name), 0x70616765);
}

static forage_status thaw(funnel_answer *a, base_error *error) {
    page_token token;
    forage_status status = page_token_decode(a->request->page, page_key(a), &a->memory, &token, error);
    if (status) return error_prefix(error, "\"page\"");
    if (token.request != request_hash(a))
        return error_set(error, FORAGE_E_INVALID, "\"page\": the token belongs to a search with another query or filter");
    a->frozen = arena_alloc(&a->memory, (token.n_documents + 1) * sizeof *a->frozen);
    a->n_frozen = 0;
    a->offset = token.offset;
    for (uint32_t i = 0; i < token.n_documents; i++) {
        uint32_t place = made_candidate(a, token.documents[i]);
        if (place != UINT32_MAX) a->frozen[a->n_frozen++] = place;
    }
    return FORAGE_OK;
}

forage_status funnel_add_pinned(funnel_answer *a, base_error *error) {
    a->offset = a->request->offset;
    a->n_frozen = a->n_pins = 0;
    if (a->request->page.size) return thaw(a, error);
    if (!a->request->pinned) return FORAGE_OK;
    a->pins = arena_alloc(&a->memory, (a->request->pinned->count + 1) * sizeof *a->pins);
    uint32_t next = 1;
    for (const json_value *named = a->request->pinned->first; named; named = named->next, next++) {
        uint32_t number, position = position_in(named, next);
        if (!collection_number_of(a->txn, id_in(named), &number) || !sparse_is_eligible(&a->eligible, number)) continue;
        uint32_t place = made_candidate(a, number);
        if (place != UINT32_MAX) a->pins[a->n_pins++] = (arrange_pin){place, position};
    }
    return FORAGE_OK;
}

bool *funnel_hidden(funnel_answer *a) {
    if (!a->request->hidden) return NULL;
    bool *hidden = arena_zalloc(&a->memory, a->n_candidates + 1, sizeof *hidden);
    for (const json_value *named = a->request->hidden->first; named; named = named->next) {
        uint32_t number, place;
        if (!collection_number_of(a->txn, named->text, &number)) continue;
        place = candidate_of(a, number);
        if (place != UINT32_MAX) hidden[place] = true;
    }
    return hidden;
}

/* For the next page, when there is one. */
slice funnel_next_page(funnel_answer *a) {
    uint32_t end = a->end;
    size_t n = a->n_order < PAGE_TOKEN_DOCUMENTS ? a->n_order : PAGE_TOKEN_DOCUMENTS;
    if (!a->request->limit || end >= n) return (slice){0};
    uint32_t *documents = arena_alloc(&a->memory, (n + 1) * sizeof *documents);
    for (size_t i = 0; i < n; i++) documents[i] = a->candidates[a->order[i]].document;
    page_token token = {.generation = a->snapshot->generation, .seed = 0, .model = a->scorer.version, .request = request_hash(a),
                        .total = a->matching.count, .offset = end, .n_documents = (uint32_t)n, .documents = documents};
    buffer text = {0};
    forage_status status = page_token_encode(&token, page_key(a), &text, NULL);
    slice out = status ? (slice){0} : arena_slice(&a->memory, (slice){text.data, text.size});
    buffer_release(&text);
    return out;
}

/* ---- All ---- */

forage_status funnel_order(funnel_answer *a, base_error *error) {
    a->explored = 0;
    a->log_propensity = 0;
    a->drafted = NULL;
    if (a->request->page.size) {
        a->order = a->frozen;
        a->n_order = a->n_frozen;
        return FORAGE_OK;
    }
    float *scores = funnel_cross_last(a, a->scores);
    forage_status status = with_value(a, &a->scorer, &scores, error);
    if (status) return status;
    bool *hidden = funnel_hidden(a);
    drop_hidden_pins(a, hidden);
    a->order = funnel_sorted(a, scores);
    a->n_order = without_named(a, hidden, a->order, a->n_candidates);
    diversify(a, scores, a->order);
    if (a->rival.name) status = interleave(a, hidden, a->order, error);
    else explore(a, scores, a->order);
    a->n_order = with_pins(a, a->order);
    return status;
}
