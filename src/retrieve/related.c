/* What is near to what the query finds. From its best lexical hits along the catalogue's references: what a hit refers to (a
 * book's author), what refers to it (an author's books), and what refers to the same (the author's other books). And from its
 * lexical and remembered hits through the graph of what the same people engage with. */
#include "retrieve/gather.h"
#include "retrieve/strategy.h"

#define SEEDS 8         /* lexical hits to start from */
#define REMEMBERED 32   /* remembered documents to start from, in the graph */
#define WAYS_OF_ONE 32  /* documents taken along one reference */
#define REFERENCES 32   /* of one field that are followed */
#define ROOM 3072       /* documents found along references */

#define WEIGHT_REFERRED 1.0f
#define WEIGHT_REFERRING 0.8f
#define WEIGHT_SIBLING 0.5f
#define WEIGHT_GRAPH 1.0f /* the nearest in the graph, against what the first hit refers to */

typedef struct walk {
    const retrieve_request *r;
    arena *a;
    gather found;
} walk;

static void reach(walk *w, uint32_t document, float score) {
    if (sparse_is_eligible(w->r->eligible, document)) gather_add(&w->found, document, score);
}

static void reach_all_with(walk *w, uint32_t field, slice value, uint32_t but, float score) {
    sparse_hit hits[WAYS_OF_ONE];
    size_t n = sparse_with_keyword(w->r->eligible, field, value, WAYS_OF_ONE, w->a, hits);
    for (size_t i = 0; i < n; i++)
        if (hits[i].document != but) reach(w, hits[i].document, score * (1 + 0.1f * hits[i].score));
}

/* A document's score is the sum, over the ways that lead to it, of (weight of the way) / (1 + rank of the hit it started
 * from); popularity breaks ties. */
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

static void walk_graph(walk *w, store_txn *t, uint32_t depth) {
    const retrieve_request *r = w->r;
    graph_edge seeds[1 + SEEDS + REMEMBERED];
    size_t n = 0, k = (size_t)depth * 2;
    if (r->like) seeds[n++] = (graph_edge){*r->like, 1};
    for (size_t i = 0; i < r->n_lexical && i < SEEDS; i++)
        seeds[n++] = (graph_edge){r->lexical[i].document, 1.0f / (float)(1 + i)};
    for (size_t i = 0; i < r->n_memory && i < REMEMBERED; i++)
        seeds[n++] = (graph_edge){r->memory[i].document, 2 * r->memory[i].mean};
    graph_edge *near = arena_alloc(w->a, (k + 1) * sizeof *near);
    n = graph_walk(t, behaviour_trends(r->behaviour), seeds, n, r->now, behaviour_half_life(r->behaviour), k, w->a, near);
    for (size_t i = 0; i < n; i++) reach(w, near[i].document, WEIGHT_GRAPH * near[i].weight / near[0].weight);
}

/* What is near to the lexical hits, all together: for queries whose own vector says little. After all that people and references tell. */
static void walk_meaning(walk *w, uint32_t depth) {
    const retrieve_request *r = w->r;
    if (!vector_query_possible(r->meaning)) return;
    uint32_t documents[SEEDS];
    float weights[SEEDS];
    size_t n = 0;
    for (; n < r->n_lexical && n < SEEDS; n++) {
        documents[n] = r->lexical[n].document;
        weights[n] = 1.0f / (float)(1 + n);
    }
    sparse_hit *near = arena_alloc(w->a, (depth + 1) * sizeof *near);
    n = vector_query_near(r->meaning, r->eligible, documents, weights, n, depth, w->a, near);
    for (size_t i = 0; i < n && near[i].score > 0; i++) reach(w, near[i].document, RETRIEVE_NEAR * near[i].score / near[0].score);
}

static bool has_references(const retrieve_request *r) {
    for (uint32_t f = 0; f < r->schema->n_fields; f++)
        if (r->schema->fields[f].kind == SCHEMA_REFERENCE) return true;
    return false;
}

static bool available(const retrieve_request *r) {
    return (r->n_terms > 0 || r->n_memory > 0 || r->like) &&
           (r->behaviour || has_references(r) || vector_query_possible(r->meaning));
}

static size_t run(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late) {
    walk w = {.r = r, .a = a};
    store_txn *t;
    gather_init(&w.found, ROOM + (size_t)depth * 2, a);
    if (store_read_begin(collection_store(r->collection), &t, NULL)) {
        *late = true; /* nothing could be read: that is to be said */
        return 0;
    }
    for (size_t i = 0; has_references(r) && i < r->n_lexical && i < SEEDS && !*late; i++) {
        *late = clock_monotonic(r->clock) > r->deadline;
        if (!*late) walk_from(&w, t, r->lexical[i].document, 1.0f / (float)(1 + i));
    }
    if (r->like && has_references(r)) walk_from(&w, t, *r->like, 1);
    if (r->behaviour && !*late) walk_graph(&w, t, depth);
    if (r->n_lexical && !*late) walk_meaning(&w, depth);
    store_read_end(t);
    return gather_take(&w.found, depth, hits);
}

const retrieve_strategy retrieve_related = {
    .name = "related", .purpose = "what the best matches refer to, what refers to them, and what the same people choose",
    .needs = RETRIEVE_LEXICAL, .prior_reward = 0.08, .fixed_depth = 10, .available = available, .run = run,
};
