/* One search: a scan or a walk over codes, then full vectors. */
#include "dense/dense_impl.h"

#include <string.h>

#define BATCH 64u

typedef struct search {
    dense_graph *graph;
    dense_scratch *scratch;
    const dense_prepared *prepared;
    const dense_filter *filter;
    uint32_t n;    /* nodes when it began */
    uint32_t kept; /* candidates for full vectors */
    const float *query;
    double inverse_length; /* of the query, for cosine */
} search;

static bool alive(const search *q, uint32_t node) {
    return dense_graph_node(q->graph, dense_about_of(q->graph, node)->document) == node;
}

static bool coarse(dense_code code) { return code == DENSE_INT4 || code == DENSE_BIT; }

/* How many candidates of coarse codes see full vectors, so that the errors of the codes do not cost recall. */
static uint32_t depth_of(dense_code code, uint32_t k) { return code == DENSE_INT4 ? 4 * k + 24 : 12 * k + 100; }

static uint32_t breadth_of(dense_code code, uint32_t k) {
    uint32_t ef = 3 * k < 100 ? 100 : 3 * k;
    return code == DENSE_BIT ? 4 * ef : code == DENSE_INT4 ? 2 * ef : ef;
}

/* --- scans -------------------------------------------------------------------------------------------------------------- */

static void scan_all(search *q) {
    dense_graph *g = q->graph;
    for (uint32_t i = 0; i < q->n; i += BATCH) {
        uint32_t n = q->n - i < BATCH ? q->n - i : BATCH;
        if ((i & g->mask) + n > g->mask + 1) n = g->mask + 1 - (i & g->mask);
        dense_scan(q->prepared, dense_code_of(g, i), g->stride, n, q->scratch->distances);
        dense_pool *f = &q->scratch->found;
        for (uint32_t j = 0; j < n; j++) {
            float distance = q->scratch->distances[j];
            if (f->n == f->most && !(distance < f->at[f->n - 1].distance)) continue;
            if (alive(q, i + j)) dense_pool_add(f, distance, i + j);
        }
        if (n < BATCH) i -= BATCH - n;
    }
}

static void flush(search *q, uint32_t n) {
    dense_scratch *s = q->scratch;
    dense_distances(q->prepared, s->codes, n, s->distances);
    for (uint32_t i = 0; i < n; i++) dense_pool_add(&s->found, s->distances[i], s->nodes[i]);
}

static void scan_passing(search *q) {
    dense_scratch *s = q->scratch;
    uint32_t n = 0, words = (q->filter->n_documents + 63) / 64;
    for (uint32_t w = 0; w < words; w++) {
        uint64_t bits = q->filter->bits[w];
        if (w + 1 == words && q->filter->n_documents % 64) bits &= (1ull << (q->filter->n_documents % 64)) - 1;
        for (; bits; bits &= bits - 1) {
            uint32_t node = dense_graph_node(q->graph, w * 64 + (uint32_t)__builtin_ctzll(bits));
            if (node >= q->n) continue;
            s->nodes[n] = node;
            s->codes[n] = dense_code_of(q->graph, node);
            __builtin_prefetch(s->codes[n]);
            if (++n == BATCH) flush(q, n), n = 0;
        }
    }
    flush(q, n);
}

static void scan(search *q) {
    dense_pool_reset(&q->scratch->found, q->kept);
    if (q->filter) scan_passing(q);
    else scan_all(q);
}

/* --- the choice --------------------------------------------------------------------------------------------------------- */

#define COST_OF_STEP 16.0 /* comparisons for every node that is followed */

/* With what the filter and the dead leave, a walk must be as much broader for as many candidates to remain. */
static void gather(search *q, uint32_t ef, uint32_t passing, uint32_t live) {
    dense_graph *g = q->graph;
    if (!atomic_load_explicit(&g->linked, memory_order_acquire) || q->n == 0) {
        scan(q);
        return;
    }
    double share = passing < live ? (double)passing / live : 1;
    if (live < q->n) share *= (double)live / q->n;
    double broad = share > 0 ? ef / share : DENSE_MOST_EF;
    double walk = broad * COST_OF_STEP, whole = q->filter ? passing : q->n;
    if (walk >= whole || broad > DENSE_MOST_EF) {
        scan(q);
        return;
    }
    uint64_t entry = atomic_load_explicit(&g->entry, memory_order_acquire);
    dense_candidate start = dense_descend(g, q->scratch, q->prepared, entry, 0);
    if (!q->filter && atomic_load_explicit(&g->n_dead, memory_order_relaxed) == 0) {
        dense_walk(g, q->scratch, q->prepared, 0, (uint32_t)broad, &start, 1);
        dense_pool swapped = q->scratch->pool;
        q->scratch->pool = q->scratch->found;
        q->scratch->found = swapped;
    } else {
        dense_walk_passing(g, q->scratch, q->prepared, (uint32_t)broad, &start, q->filter, q->kept);
    }
}

/* --- full vectors ------------------------------------------------------------------------------------------------------- */

static int nearer_first(const void *a, const void *b) {
    const dense_hit *x = a, *y = b;
    if (x->distance != y->distance) return x->distance < y->distance ? -1 : 1;
    return x->document < y->document ? -1 : x->document > y->document;
}

/* Into the nearest `most`, of which there are n, in order; how many there are then. */
static uint32_t insert(dense_hit *hits, uint32_t n, uint32_t most, dense_hit hit) {
    if (n == most && (n == 0 || nearer_first(&hit, hits + n - 1) >= 0)) return n;
    uint32_t at = n < most ? n++ : n - 1;
    for (; at > 0 && nearer_first(&hit, hits + at - 1) < 0; at--) hits[at] = hits[at - 1];
    hits[at] = hit;
    return n;
}

/* A document whose vector was replaced meanwhile can have been met twice: the nearer one stays. */
static uint32_t drop_twins(dense_hit *hits, uint32_t n) {
    uint32_t left = 0;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t j = 0;
        while (j < left && hits[j].document != hits[i].document) j++;
        if (j == left) hits[left++] = hits[i];
    }
    return left;
}

static void prefetch_row(const float *row, uint32_t dimensions) {
    for (uint32_t at = 0; at < dimensions && at < 256; at += 16) __builtin_prefetch(row + at);
}

#define SURE 4 /* standard deviations */

/* The best `depth` candidates by full vectors, nearest first. They come in the order of their codes' distances: an insertion finds
 * its place from the far end, and one whose code is surely too far to be among the nearest k ends it. */
static uint32_t rerank(dense_index *index, search *q, uint32_t k, uint32_t depth, arena *a, dense_hit **out) {
    dense_pool *found = &q->scratch->found;
    dense_hit *hits = arena_alloc(a, (size_t)depth * sizeof *hits);
    uint32_t n = 0, dimensions = index->config.dimensions, ahead = found->n < depth ? found->n : depth;
    if (!coarse(index->config.code) && ahead > k + k / 2 + 8) ahead = k + k / 2 + 8; /* few of fine codes are looked at */
    float margin = SURE * dense_rounding(q->prepared);
    for (uint32_t i = 0; i < ahead; i++)
        prefetch_row(dense_vectors_row(index->vectors, dense_about_of(q->graph, found->at[i].node)->row), dimensions);
    for (uint32_t i = 0; i < found->n && n < depth; i++) {
        uint32_t node = found->at[i].node;
        const dense_about *about = dense_about_of(q->graph, node);
        if (n >= k && found->at[i].distance > hits[k - 1].distance + margin) break;
        if (!alive(q, node)) continue;
        const float *row = dense_vectors_row(index->vectors, about->row);
        dense_hit hit = {about->document, dense_exact_from(index->config.metric, q->query, q->inverse_length, row, dimensions)};
        n = insert(hits, n, depth, hit);
    }
    *out = hits;
    return n;
}

static bool finite_query(const dense_index *index, const float *query) {
    float sum = 0;
    for (uint32_t i = 0; i < index->config.dimensions; i++) sum += query[i] * 0;
    return sum == 0;
}

size_t dense_search(dense_index *index, const float *query, uint32_t k, uint32_t ef, const dense_filter *filter, arena *a,
                    dense_hit *hits) {
    uint32_t live = atomic_load(&index->live), passing = filter && filter->count < live ? filter->count : live;
    if (k > passing) k = passing;
    if (k == 0 || !finite_query(index, query)) return 0;
    uint64_t replaced = atomic_load(&index->replaced);
    dense_scratch *s = dense_scratch_take(index);
    search q = {.graph = dense_pin(index, s), .scratch = s, .filter = filter, .query = query};
    uint32_t n = 0, depth = depth_of(index->config.code, k);
    if (!q.graph) goto done;
    if (ef == 0) ef = breadth_of(index->config.code, k);
    q.n = atomic_load_explicit(&q.graph->n, memory_order_acquire);
    if (ef > q.n) ef = q.n;
    if (!coarse(index->config.code)) depth = ef = ef < k ? k : ef; /* their rounding ends it, unless it cannot tell the near ones apart */
    else if (ef < depth) ef = depth;
    q.kept = depth + 8 > ef ? depth + 8 : ef; /* some may die on the way */
    q.prepared = dense_prepare(q.graph->coder, query, a);
    if (index->config.metric == DENSE_COSINE) q.inverse_length = dense_inverse_length(query, index->config.dimensions);
    gather(&q, ef, passing, live);
    dense_hit *best;
    n = rerank(index, &q, k, depth, a, &best);
    if (n < k) { /* the walk met too few of those that pass */
        scan(&q);
        n = rerank(index, &q, k, depth, a, &best);
    }
    if (atomic_load(&index->replaced) != replaced) n = drop_twins(best, n);
    if (n > k) n = k;
    memcpy(hits, best, n * sizeof *hits);
done:
    dense_scratch_give(s);
    return n;
}

size_t dense_search_exact(dense_index *index, const float *query, uint32_t k, const dense_filter *filter, arena *a,
                          dense_hit *hits) {
    if (k == 0 || !finite_query(index, query)) return 0;
    dense_scratch *s = dense_scratch_take(index);
    search q = {.graph = dense_pin(index, s), .scratch = s, .filter = filter};
    uint32_t n = 0, dimensions = index->config.dimensions;
    dense_metric metric = index->config.metric;
    double inverse_length = metric == DENSE_COSINE ? dense_inverse_length(query, dimensions) : 1;
    q.n = q.graph ? atomic_load_explicit(&q.graph->n, memory_order_acquire) : 0;
    uint32_t most = q.n < k + 8 ? q.n : k + 8; /* some may be twins */
    dense_hit *best = arena_alloc(a, ((size_t)most + 1) * sizeof *best);
    for (uint32_t i = 0; i < q.n; i++) {
        const dense_about *about = dense_about_of(q.graph, i);
        if ((filter && !dense_passes(filter, about->document)) || !alive(&q, i)) continue;
        const float *row = dense_vectors_row(index->vectors, about->row);
        dense_hit hit = {about->document, dense_exact_from(metric, query, inverse_length, row, dimensions)};
        n = insert(best, n, most, hit);
    }
    n = drop_twins(best, n);
    if (n > k) n = k;
    memcpy(hits, best, n * sizeof *hits);
    dense_scratch_give(s);
    return n;
}
