/* What the files of dense/ share: nodes and links, full vectors, scratch of a walk, the index.
 *
 * A graph's nodes are numbered from 0 and never move: their codes, links and words about them lie in chunks. A link is a node's
 * number + 1; the first 0 ends a list. Lists are rewritten in place under the mutex of their node's stripe while walks read them:
 * a reader sees some of the old links and some of the new, all of them nodes. Links are stored with release and read with
 * acquire order, because the code behind a link must be seen, too. */
#ifndef DENSE_IMPL_H
#define DENSE_IMPL_H

#include "base/random.h"
#include "dense/dense.h"

#include <pthread.h>
#include <stdatomic.h>

#define DENSE_MOST_NODES (1u << 28)
#define DENSE_MOST_M 128u
#define DENSE_MOST_EF 100000u
#define DENSE_MOST_LEVEL 31u
#define DENSE_STRIPES 1024u
#define DENSE_DEAD 0x80u
#define DENSE_NONE UINT32_MAX

typedef _Atomic uint32_t dense_link;

/* --- full vectors: dense_vectors.c ---------------------------------------------------------------------------------- */

/* Rows of `dimensions` floats and a version. Rows never move. */
typedef struct dense_vectors dense_vectors;

forage_status dense_vectors_create(const char *folder, uint32_t dimensions, dense_vectors **out, base_error *error);
void dense_vectors_destroy(dense_vectors *v);
/* A row to be written by who asked. One thread at a time. */
forage_status dense_vectors_take(dense_vectors *v, uint32_t *row, base_error *error);
void dense_vectors_give(dense_vectors *v, uint32_t row); /* nobody reads it any more */
float *dense_vectors_row(const dense_vectors *v, uint32_t row);
uint64_t *dense_vectors_version(const dense_vectors *v, uint32_t row);
size_t dense_vectors_bytes(const dense_vectors *v);

/* --- nodes: dense_nodes.c --------------------------------------------------------------------------------------------- */

typedef struct dense_about {
    uint32_t document;
    uint32_t row;   /* of the full vector */
    uint32_t upper; /* first of as many blocks of M links as the node's level */
} dense_about;

typedef struct dense_page dense_page; /* of document -> node + 1 */

typedef struct dense_graph {
    dense_coder *coder; /* the graph's */
    uint32_t M, M_max0, ef_construction;
    uint32_t shift, mask; /* node i: place i & mask of chunk i >> shift */
    size_t stride;        /* of codes, bytes */
    char **codes;
    dense_link **links;   /* layer 0: M_max0 of each node */
    dense_link **uppers;  /* blocks of M links, DENSE_UPPER_CHUNK a chunk */
    dense_about **about;
    _Atomic uint8_t **states; /* level, DENSE_DEAD */
    _Atomic(dense_page *) *pages;
    _Atomic uint32_t n;   /* nodes whose code, row and words are written */
    uint32_t n_uppers;
    _Atomic uint32_t n_dead;
    _Atomic uint64_t entry; /* node + 1, level << 32; 0: none */
    _Atomic bool linked;
    pthread_mutex_t top;    /* whoever raises the entry's level */
    pthread_mutex_t stripes[DENSE_STRIPES];
} dense_graph;

#define DENSE_UPPER_CHUNK 4096u

dense_graph *dense_graph_create(dense_coder *coder, const dense_config *config); /* the coder is the graph's from now on */
void dense_graph_destroy(dense_graph *g);
/* A node with room for its code and links, not counted in `n` before dense_graph_publish. One thread at a time. */
uint32_t dense_graph_append(dense_graph *g, uint32_t document, uint32_t row, uint32_t level);
void dense_graph_publish(dense_graph *g, uint32_t node);
uint32_t dense_graph_node(const dense_graph *g, uint32_t document); /* DENSE_NONE: it has none */
void dense_graph_map(dense_graph *g, uint32_t document, uint32_t node); /* DENSE_NONE: it has none from now on */
void dense_graph_make_page(dense_graph *g, uint32_t document); /* before dense_graph_map; one thread at a time */
size_t dense_graph_memory(const dense_graph *g);

static inline char *dense_code_of(const dense_graph *g, uint32_t node) {
    return g->codes[node >> g->shift] + (size_t)(node & g->mask) * g->stride;
}

static inline dense_about *dense_about_of(const dense_graph *g, uint32_t node) {
    return g->about[node >> g->shift] + (node & g->mask);
}

static inline _Atomic uint8_t *dense_state_of(const dense_graph *g, uint32_t node) {
    return g->states[node >> g->shift] + (node & g->mask);
}

static inline uint32_t dense_level_of(const dense_graph *g, uint32_t node) {
    return atomic_load_explicit(dense_state_of(g, node), memory_order_relaxed) & 0x1f;
}

static inline bool dense_dead(const dense_graph *g, uint32_t node) {
    return atomic_load_explicit(dense_state_of(g, node), memory_order_relaxed) & DENSE_DEAD;
}

static inline dense_link *dense_links_of(const dense_graph *g, uint32_t node, uint32_t layer) {
    if (layer == 0) return g->links[node >> g->shift] + (size_t)(node & g->mask) * g->M_max0;
    uint32_t block = dense_about_of(g, node)->upper + layer - 1;
    return g->uppers[block / DENSE_UPPER_CHUNK] + (size_t)(block % DENSE_UPPER_CHUNK) * g->M;
}

static inline uint32_t dense_most_links(const dense_graph *g, uint32_t layer) { return layer ? g->M : g->M_max0; }

static inline uint32_t dense_link_load(dense_link *links, uint32_t i) {
    return atomic_load_explicit(links + i, memory_order_acquire);
}

static inline void dense_link_store(dense_link *links, uint32_t i, uint32_t link) {
    atomic_store_explicit(links + i, link, memory_order_release);
}

static inline bool dense_passes(const dense_filter *filter, uint32_t document) {
    return document < filter->n_documents && filter->bits[document / 64] >> (document % 64) & 1;
}

/* --- scratch and walks: dense_walk.c ---------------------------------------------------------------------------------- */

typedef struct dense_candidate {
    float distance;
    uint32_t node; /* in a pool: DENSE_SEEN when its links were followed */
} dense_candidate;

#define DENSE_SEEN 0x80000000u

typedef struct dense_pool {
    dense_candidate *at; /* nearest first */
    uint32_t n, most;
    size_t capacity;
} dense_pool;

/* What one walk at a time needs. Kept by the index from one search to the next. */
typedef struct dense_scratch {
    struct dense_scratch *next;
    _Atomic bool busy;
    _Atomic(dense_graph *) graph; /* that its holder reads: not freed until this changes */
    uint64_t *visited;
    size_t n_words;
    uint32_t *touched;            /* visited nodes */
    size_t n_touched, touched_capacity;
    dense_pool pool, found;
    dense_candidate *chosen;      /* 2 × DENSE_MOST_M + 1 */
    dense_candidate *listed;      /* as many */
    uint32_t *nodes;              /* a batch */
    const void **codes;
    float *distances;
    size_t batch;
    arena arena;                  /* of what lives as long: prepared queries */
    dense_prepared *inserted, *compared;
} dense_scratch;

void dense_pool_reset(dense_pool *p, uint32_t most);
/* Keeps the nearest `most`; returns the place, p->n when there is none for it. */
uint32_t dense_pool_add(dense_pool *p, float distance, uint32_t node);
void dense_scratch_init(dense_scratch *s);
void dense_scratch_release(dense_scratch *s);
void dense_scratch_batch(dense_scratch *s, size_t n); /* room in nodes, codes and distances */
void dense_scratch_prepare(dense_scratch *s, const dense_graph *g); /* `inserted` and `compared` */

/* Down to `layer` (exclusive of its own search), from the entry: the nearest that greedy steps find. */
dense_candidate dense_descend(const dense_graph *g, dense_scratch *s, const dense_prepared *p, uint64_t entry, uint32_t layer);
/* SEARCH-LAYER (algorithm 2): s->pool has the nearest ef of the layer, from what is in `from`. */
void dense_walk(const dense_graph *g, dense_scratch *s, const dense_prepared *p, uint32_t layer, uint32_t ef,
                const dense_candidate *from, uint32_t n_from);
/* The same on layer 0, with those that live and pass in s->found: the nearest `most` of all that were met. */
void dense_walk_passing(const dense_graph *g, dense_scratch *s, const dense_prepared *p, uint32_t ef,
                        const dense_candidate *from, const dense_filter *filter, uint32_t most);

/* --- links: dense_link.c ------------------------------------------------------------------------------------------------ */

void dense_link_node(dense_graph *g, dense_scratch *s, uint32_t node); /* INSERT (algorithm 1) */
/* SELECT-NEIGHBORS-HEURISTIC (algorithm 4): of n candidates, nearest first, at most `most`; in place. Returns how many. */
uint32_t dense_select(const dense_graph *g, dense_scratch *s, dense_candidate *candidates, uint32_t n, uint32_t most);
/* Distances of `node` to n others, and sorts them. */
void dense_sort_near(const dense_graph *g, dense_scratch *s, uint32_t node, dense_candidate *candidates, uint32_t n);
/* Links to what cannot be reached on layer 0. Returns how many could not. Nobody else links meanwhile. */
uint32_t dense_repair(dense_graph *g, dense_scratch *s);
/* Looks as a search would for the nodes from `since` on and for some of the older ones of the upper layers, others each `turn`;
 * to what is not found a link leads from where the walk ended. Nobody else links meanwhile. */
void dense_probe(dense_graph *g, dense_scratch *s, uint32_t since, uint32_t turn);
/* Marks in `reached` (a bit per node) what can be reached on layer 0 from the entry; `order` gets the nodes, breadth first. */
uint32_t dense_reach(const dense_graph *g, uint64_t *reached, uint32_t *order);

/* --- the index: dense.c -------------------------------------------------------------------------------------------------- */

struct dense_index {
    dense_config config;
    uint32_t sampled;             /* vectors that the coder was made from */
    dense_vectors *vectors;
    _Atomic(dense_graph *) graph;
    _Atomic(dense_scratch *) scratches;
    _Atomic uint32_t live;
    _Atomic uint32_t repaired;    /* nodes of the graph when it was mended */
    uint32_t mended;              /* how often */
    _Atomic uint64_t replaced;    /* counts documents whose node changed */
    pthread_rwlock_t writers;     /* read: adds and removes; write: who changes the whole graph, and save */
    pthread_mutex_t append;
    pthread_mutex_t documents[DENSE_STRIPES]; /* of a document: from comparing versions to mapping it */
    random_source random;
};

dense_scratch *dense_scratch_take(dense_index *index);
void dense_scratch_give(dense_scratch *s);
dense_graph *dense_pin(dense_index *index, dense_scratch *s); /* until the scratch is given back */
/* With `writers` held for writing: a graph of the living in the order of walks takes the place of this one. With a coder (which
 * the new graph owns) all vectors are encoded by it. */
void dense_compact(dense_index *index, dense_coder *coder);
/* With `writers` held for writing: links to what additions left without. */
void dense_mend(dense_index *index);

/* Makes the checksums of an image match, so that a fuzzer reaches what they would hide: dense_image.c. */
void dense_image_seal(uint8_t *image, size_t size);

#endif
