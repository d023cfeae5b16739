/* A graph made anew from the living, in the order in which walks meet them.
 *
 * Nodes are numbered breadth first from the entry, so that what is near in the graph is near in memory. Where a link led to
 * the dead, the dead one's own links stand in as candidates, and the heuristic chooses. Full vectors stay where they are. */
#include "dense/dense_impl.h"

#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define MOST_CANDIDATES 256u

typedef struct compaction {
    dense_index *index;
    dense_graph *old, *new;
    dense_scratch *scratch;
    uint32_t *new_of;  /* of old nodes; DENSE_NONE: dead */
    uint32_t *old_of;
    uint32_t n;        /* living */
    dense_candidate *near;
} compaction;

/* The living, breadth first. */
static void order_nodes(compaction *c) {
    uint32_t n = atomic_load(&c->old->n);
    uint64_t *reached = mem_zalloc((size_t)n / 64 + 1, sizeof *reached);
    uint32_t *order = mem_alloc((size_t)n * sizeof *order + 1);
    uint32_t found = dense_reach(c->old, reached, order);
    for (uint32_t i = 0; i < n; i++)
        if (!(reached[i / 64] >> (i % 64) & 1)) order[found++] = i;
    for (uint32_t i = 0; i < n; i++) c->new_of[i] = DENSE_NONE;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t node = order[i];
        if (dense_graph_node(c->old, dense_about_of(c->old, node)->document) != node) continue;
        c->new_of[node] = c->n;
        c->old_of[c->n++] = node;
    }
    free(reached);
    free(order);
}

static void copy_nodes(compaction *c) {
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t old = c->old_of[i];
        dense_about *about = dense_about_of(c->old, old);
        uint32_t node = dense_graph_append(c->new, about->document, about->row, dense_level_of(c->old, old));
        if (c->new->coder == c->old->coder) memcpy(dense_code_of(c->new, node), dense_code_of(c->old, old), c->old->stride);
        else dense_coder_encode(c->new->coder, dense_vectors_row(c->index->vectors, about->row), dense_code_of(c->new, node));
        dense_graph_publish(c->new, node);
        dense_graph_map(c->new, about->document, node);
    }
}

/* Adds the links of old node `from` to the candidates: those of the living in new numbers, once. Returns whether any is dead. */
static bool gather(compaction *c, uint32_t layer, uint32_t self, uint32_t from, uint32_t *n) {
    dense_link *links = dense_links_of(c->old, from, layer);
    bool dead = false;
    for (uint32_t i = 0, link; i < dense_most_links(c->old, layer) && (link = dense_link_load(links, i)) != 0; i++) {
        uint32_t node = c->new_of[link - 1], at = 0;
        dead |= node == DENSE_NONE;
        if (node == DENSE_NONE || node == self || *n == MOST_CANDIDATES) continue;
        while (at < *n && c->near[at].node != node) at++;
        if (at == *n) c->near[(*n)++].node = node;
    }
    return dead;
}

static void copy_links(compaction *c, uint32_t node, uint32_t layer) {
    uint32_t old = c->old_of[node], n = 0, most = dense_most_links(c->new, layer);
    if (gather(c, layer, node, old, &n)) {
        dense_link *links = dense_links_of(c->old, old, layer);
        for (uint32_t i = 0, link; i < most && (link = dense_link_load(links, i)) != 0; i++)
            if (c->new_of[link - 1] == DENSE_NONE) gather(c, layer, node, link - 1, &n);
        dense_sort_near(c->new, c->scratch, node, c->near, n);
        n = dense_select(c->new, c->scratch, c->near, n, most);
    }
    dense_link *links = dense_links_of(c->new, node, layer);
    for (uint32_t i = 0; i < n; i++) dense_link_store(links, i, c->near[i].node + 1);
}

static void copy_graph(compaction *c) {
    uint64_t entry = 0;
    dense_scratch_prepare(c->scratch, c->new);
    for (uint32_t i = 0; i < c->n; i++) {
        uint32_t level = dense_level_of(c->new, i);
        for (uint32_t l = 0; l <= level; l++) copy_links(c, i, l);
        if (entry == 0 || level > entry >> 32) entry = (uint64_t)level << 32 | (i + 1);
    }
    uint64_t old = atomic_load(&c->old->entry);
    uint32_t same = c->new_of[(uint32_t)old - 1];
    if (same != DENSE_NONE) entry = old >> 32 << 32 | (same + 1);
    atomic_store(&c->new->entry, entry);
    dense_repair(c->new, c->scratch);
}

/* Until no search reads the old graph, whose rows of the dead may then be written anew. */
static void retire(compaction *c) {
    for (dense_scratch *s = atomic_load(&c->index->scratches); s; s = s->next)
        while (atomic_load(&s->graph) == c->old) sched_yield();
    uint32_t n = atomic_load(&c->old->n);
    for (uint32_t i = 0; i < n; i++)
        if (c->new_of[i] == DENSE_NONE) dense_vectors_give(c->index->vectors, dense_about_of(c->old, i)->row);
    if (c->old->coder == c->new->coder) c->old->coder = NULL;
    dense_graph_destroy(c->old);
}

/* What adders keep prepared belongs to a coder; they are out. */
static void forget_prepared(dense_index *index) {
    for (dense_scratch *s = atomic_load(&index->scratches); s; s = s->next) {
        s->inserted = s->compared = NULL;
        arena_reset(&s->arena);
    }
}

void dense_compact(dense_index *index, dense_coder *coder) {
    dense_graph *old = atomic_load(&index->graph);
    size_t n = atomic_load(&old->n);
    if (coder) forget_prepared(index);
    compaction c = {.index = index, .old = old, .new = dense_graph_create(coder ? coder : old->coder, &index->config)};
    c.scratch = dense_scratch_take(index);
    c.new_of = mem_alloc(n * sizeof *c.new_of + 1);
    c.old_of = mem_alloc(n * sizeof *c.old_of + 1);
    c.near = mem_alloc(MOST_CANDIDATES * sizeof *c.near);
    order_nodes(&c);
    copy_nodes(&c);
    if (atomic_load(&old->entry) != 0 && c.n > 0) copy_graph(&c);
    atomic_store(&c.new->linked, atomic_load(&old->linked) && c.n > 0);
    atomic_store(&index->repaired, c.n);
    dense_scratch_give(c.scratch);
    atomic_store(&index->graph, c.new);
    retire(&c);
    free(c.new_of);
    free(c.old_of);
    free(c.near);
}
