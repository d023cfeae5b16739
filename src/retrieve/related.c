/* From the best lexical hits along references: what a hit refers to (a book's author), what refers to it (an author's
 * books), and what refers to the same (the author's other books). A document's score is the sum, over the ways that lead
 * to it, of (weight of the way) / (1 + rank of the hit it started from); popularity breaks ties. */
#include "retrieve/strategy.h"

#include "base/hash.h"

#include <stdlib.h>

#define SEEDS 8        /* lexical hits to start from */
#define WAYS_OF_ONE 32 /* documents taken along one reference */
#define REFERENCES 32  /* of one field that are followed */

#define WEIGHT_REFERRED 1.0f
#define WEIGHT_REFERRING 0.8f
#define WEIGHT_SIBLING 0.5f

typedef struct walk {
    const retrieve_request *r;
    arena *a;
    sparse_hit *found; /* open addressing by document; score 0: empty */
    size_t slots, n;
} walk;

static void reach(walk *w, uint32_t document, float score) {
    if (w->n * 4 >= w->slots * 3 || !sparse_is_eligible(w->r->eligible, document)) return;
    for (size_t i = hash64(&document, sizeof document, 0) & (w->slots - 1);; i = (i + 1) & (w->slots - 1)) {
        sparse_hit *slot = &w->found[i];
        if (slot->score == 0) {
            *slot = (sparse_hit){document, score};
            w->n++;
            return;
        }
        if (slot->document != document) continue;
        slot->score += score;
        return;
    }
}

static void reach_all_with(walk *w, uint32_t field, slice value, uint32_t but, float score) {
    sparse_hit hits[WAYS_OF_ONE];
    size_t n = sparse_with_keyword(w->r->eligible, field, value, WAYS_OF_ONE, w->a, hits);
    for (size_t i = 0; i < n; i++)
        if (hits[i].document != but) reach(w, hits[i].document, score * (1 + 0.1f * hits[i].score));
}

static void walk_from(walk *w, store_txn *t, uint32_t document, float score) {
    const retrieve_request *r = w->r;
    collection_document self;
    bool known = collection_document_by_number(t, document, &self) == FORAGE_OK;
    slice id = known ? arena_slice(w->a, self.id) : (slice){0};
    for (uint32_t f = 0; f < r->schema->n_fields; f++) {
        const schema_field *field = &r->schema->fields[f];
        if (field->kind != SCHEMA_REFERENCE) continue;
        slice *values;
        size_t n = sparse_keywords_of(r->snapshot, document, (uint32_t)field->sparse, w->a, &values);
        for (size_t i = 0; i < n && i < REFERENCES; i++) {
            uint32_t number;
            if (collection_number_of(t, values[i], &number)) reach(w, number, score * WEIGHT_REFERRED);
            reach_all_with(w, (uint32_t)field->sparse, values[i], document, score * WEIGHT_SIBLING);
        }
        if (known) reach_all_with(w, (uint32_t)field->sparse, id, document, score * WEIGHT_REFERRING);
    }
}

static int best_first(const void *x, const void *y) {
    const sparse_hit *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

static bool available(const retrieve_request *r) {
    for (uint32_t f = 0; f < r->schema->n_fields; f++)
        if (r->schema->fields[f].kind == SCHEMA_REFERENCE) return r->n_terms > 0;
    return false;
}

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    walk w = {.r = r, .a = a, .slots = 4096, .found = arena_zalloc(a, 4096, sizeof *w.found)};
    store_txn *t;
    if (store_read_begin(collection_store(r->collection), &t, NULL)) {
        *late = true; /* nothing could be read: that is to be said */
        return 0;
    }
    for (size_t i = 0; i < r->n_lexical && i < SEEDS; i++) {
        if (clock_monotonic(r->clock) > r->deadline) {
            *late = true;
            break;
        }
        walk_from(&w, t, r->lexical[i].document, 1.0f / (float)(1 + i));
    }
    store_read_end(t);
    size_t n = 0;
    for (size_t i = 0; i < w.slots; i++)
        if (w.found[i].score > 0) w.found[n++] = w.found[i];
    if (n) qsort(w.found, n, sizeof *w.found, best_first);
    if (n > depth) n = depth;
    for (size_t i = 0; i < n; i++) hits[i] = w.found[i];
    return n;
}

const retrieve_strategy retrieve_related = {
    .name = "related", .purpose = "what the best matches refer to, and what refers to them", .needs = RETRIEVE_LEXICAL,
    .prior_reward = 0.08, .fixed_depth = 8, .available = available, .run = run,
};
