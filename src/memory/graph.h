/* The co-engagement graph: which documents do the same people engage with?
 *
 * A row per document: its GRAPH_DEGREE strongest neighbours, each with the decayed weight of having been engaged with by the
 * same user (or session), or after the same query. Rows change with each event, in its transaction. When a row is full, the
 * weakest neighbour makes room and the new one starts from its weight, so that a neighbour that comes again and again gets in
 * (Metwally, Agrawal & El Abbadi 2005, Space-Saving); what it did not earn itself is kept beside and does not count.
 *
 * A similarity is w(i, j) / (n(i) · n(j))^GRAPH_DAMPING with n the document's whole engagement: most of a cosine (whose
 * power is 0.5), so that what everybody likes is not everybody's neighbour.
 *
 * Bytes in STORE_GRAPH: key: document number (big-endian u32); value: u8 format (1), i64 time that the weights are as of, u8
 * n, (u32 document, f32 weight, f32 inherited) × n. */
#ifndef MEMORY_GRAPH_H
#define MEMORY_GRAPH_H

#include "memory/trend.h"

#define GRAPH_DEGREE 64
#define GRAPH_DAMPING 0.35f
#define GRAPH_MAX_SEEDS 64
#define GRAPH_PUSHES 64   /* rows read by one walk */

typedef struct graph_edge {
    uint32_t document;
    float weight;
} graph_edge;

/* Inside a store job: ties `document` to each of `others` with its weight, and them to it. Others equal to `document`, or with
 * a weight that is not above 0, are passed over. Writes n + 1 rows at most. */
forage_status graph_link(store_txn *t, uint32_t document, const graph_edge *others, size_t n, int64_t time, int64_t now,
                         int64_t half_life, base_error *error);

/* The neighbours, most similar first, as of now: weights are similarities. `trends` may be NULL: then they are co-engagement
 * alone. out has room for GRAPH_DEGREE. */
size_t graph_neighbours(store_txn *t, const trend *trends, uint32_t document, int64_t now, int64_t half_life, graph_edge *out);

/* The same in no order and not damped: a tie's similarity is its weight times graph_damping of both ends' engagement (of everyone, as
 * trend_weights has it). For many documents at once, when only some of their neighbours matter. */
size_t graph_ties(store_txn *t, uint32_t document, int64_t now, int64_t half_life, graph_edge *out);
float graph_damping(float engagement);

/* A random walk with restart from the seeds (their weights are their shares), in the limit: the probability to be at each
 * document, by pushing what is largest first (Andersen, Chung & Lang 2006) until GRAPH_PUSHES rows are read. The seeds
 * themselves are left out unless they are reached from another. Best first, ties by number; at most `k` to out. Exact and the
 * same for the same rows: nothing is drawn. */
size_t graph_walk(store_txn *t, const trend *trends, const graph_edge *seeds, size_t n, int64_t now, int64_t half_life, size_t k,
                  arena *a, graph_edge *out);

#endif
