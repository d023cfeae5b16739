#include "memory/graph.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <stdlib.h>

#define GRAPH_FORMAT 1
#define HEAD 10 /* bytes before the neighbours */

typedef struct neighbour {
    uint32_t document;
    float weight, inherited;
} neighbour;

typedef struct graph_row {
    int64_t time;
    uint32_t n;
    neighbour list[GRAPH_DEGREE];
} graph_row;

static float sane(float weight) { return weight > 0 && isfinite(weight) ? weight : 0; }

static slice make_key(uint32_t document, uint8_t out[4]) {
    store_be32(out, document);
    return (slice){(const char *)out, 4};
}

static void read_row(store_txn *t, uint32_t document, graph_row *row) {
    uint8_t key[4];
    slice value;
    row->time = INT64_MIN;
    row->n = 0;
    if (store_get(t, STORE_GRAPH, make_key(document, key), &value)) return;
    if (value.size < HEAD || value.data[0] != GRAPH_FORMAT) return;
    uint32_t n = (uint8_t)value.data[9];
    if (n > GRAPH_DEGREE || value.size != HEAD + n * sizeof *row->list) return;
    row->time = decay_bounded((int64_t)load_le64(value.data + 1));
    row->n = n;
    memcpy(row->list, value.data + HEAD, n * sizeof *row->list);
    for (uint32_t i = 0; i < n; i++) {
        row->list[i].weight = sane(row->list[i].weight);
        row->list[i].inherited = sane(row->list[i].inherited);
    }
}

static forage_status write_row(store_txn *t, uint32_t document, const graph_row *row, base_error *error) {
    uint8_t key[4], bytes[HEAD + GRAPH_DEGREE * sizeof(neighbour)];
    bytes[0] = GRAPH_FORMAT;
    store_le64(bytes + 1, (uint64_t)row->time);
    bytes[9] = (uint8_t)row->n;
    size_t size = row->n * sizeof *row->list;
    memcpy(bytes + HEAD, row->list, size);
    return store_put(t, STORE_GRAPH, make_key(document, key), (slice){(const char *)bytes, HEAD + size}, error);
}
_Static_assert(sizeof(neighbour) == 12, "a neighbour is stored as it is");

static void advance(graph_row *row, int64_t time, int64_t half_life) {
    float left = row->time == INT64_MIN ? 1 : decay_factor(time - row->time, half_life);
    row->time = time;
    for (uint32_t i = 0; i < row->n; i++) {
        row->list[i].weight *= left;
        row->list[i].inherited *= left;
    }
}

static void add_neighbour(graph_row *row, uint32_t document, float weight) {
    uint32_t i = 0, least = 0;
    for (; i < row->n && row->list[i].document != document; i++)
        if (row->list[i].weight < row->list[least].weight) least = i;
    if (i == row->n && row->n < GRAPH_DEGREE) row->list[row->n++] = (neighbour){document, 0, 0};
    else if (i == row->n) row->list[i = least] = (neighbour){document, row->list[least].weight, row->list[least].weight};
    row->list[i].weight += weight;
}

static void strengthen(graph_row *row, const graph_edge *edge, int64_t time, int64_t now, int64_t half_life) {
    time = decay_time(time, now, row->time);
    if (row->time == INT64_MIN || time > row->time) advance(row, time, half_life);
    add_neighbour(row, edge->document, sane(edge->weight) * decay_factor(row->time - time, half_life));
}

forage_status graph_link(store_txn *t, uint32_t document, const graph_edge *others, size_t n, int64_t time, int64_t now,
                         int64_t half_life, base_error *error) {
    graph_row own, row;
    forage_status status = FORAGE_OK;
    bool changed = false;
    read_row(t, document, &own);
    for (size_t i = 0; !status && i < n; i++) {
        if (others[i].document == document || !(others[i].weight > 0)) continue;
        changed = true;
        strengthen(&own, &others[i], time, now, half_life);
        read_row(t, others[i].document, &row);
        strengthen(&row, &(graph_edge){document, others[i].weight}, time, now, half_life);
        status = write_row(t, others[i].document, &row, error);
    }
    return changed && !status ? write_row(t, document, &own, error) : status;
}

/* ---- Reading ---- */

static int best_first(const void *x, const void *y) {
    const graph_edge *a = x, *b = y;
    if (a->weight != b->weight) return a->weight > b->weight ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

/* Divided by how much both ends are engaged with. One more than nothing, so that a single meeting of two documents that
 * nobody else knows does not pass for certainty. */
static float damped(float weight, float one_end, float other_end) {
    return weight / powf((1 + one_end) * (1 + other_end), GRAPH_DAMPING);
}

float graph_damping(float engagement) { return powf(1 + engagement, -GRAPH_DAMPING); }

static void damp(const trend *trends, uint32_t document, int64_t now, graph_edge *edges, size_t n) {
    trend_document whole[GRAPH_DEGREE + 1];
    for (size_t i = 0; i < n; i++) whole[i].document = edges[i].document;
    whole[n].document = document;
    trend_weights(trends, TREND_EVERYONE, now, whole, n + 1);
    for (size_t i = 0; i < n; i++) edges[i].weight = damped(edges[i].weight, whole[i].weight, whole[n].weight);
}

size_t graph_ties(store_txn *t, uint32_t document, int64_t now, int64_t half_life, graph_edge *out) {
    graph_row row;
    size_t n = 0;
    read_row(t, document, &row);
    float left = decay_factor(row.n ? decay_bounded(now) - row.time : 0, half_life);
    for (uint32_t i = 0; i < row.n; i++) {
        float earned = row.list[i].weight - row.list[i].inherited;
        if (earned > 0) out[n++] = (graph_edge){row.list[i].document, earned * left};
    }
    return n;
}

size_t graph_neighbours(store_txn *t, const trend *trends, uint32_t document, int64_t now, int64_t half_life, graph_edge *out) {
    size_t n = graph_ties(t, document, now, half_life, out);
    if (trends && n) damp(trends, document, now, out, n);
    if (n) qsort(out, n, sizeof *out, best_first);
    return n;
}

/* ---- The walk ---- */

#define RESTART 0.3f      /* the chance to go back to a seed at each step */
#define SMALLEST 1e-4f    /* what is not worth pushing */
#define REACHED 4096      /* slots for documents; they meet so often that more are hardly needed */
#define MOST_PLACES (REACHED * 3 / 4)

typedef struct place {
    uint32_t document;
    float settled, waiting; /* p and r of the paper */
    float whole;            /* how much the document is engaged with, once it is known */
    bool whole_known;
} place;

typedef struct walk {
    uint16_t *slots; /* place + 1; open addressing */
    place *places;   /* in the order in which they were reached */
    size_t n;
} walk;

static place *place_of(walk *w, uint32_t document) {
    size_t at = hash64(&document, sizeof document, 0) & (REACHED - 1);
    while (w->slots[at] && w->places[w->slots[at] - 1].document != document) at = (at + 1) & (REACHED - 1);
    if (w->slots[at]) return &w->places[w->slots[at] - 1];
    if (w->n == MOST_PLACES) return NULL;
    w->places[w->n] = (place){.document = document};
    w->slots[at] = (uint16_t)(w->n + 1);
    return &w->places[w->n++];
}

static place *largest(const walk *w) {
    place *best = NULL;
    for (place *p = w->places, *end = p + w->n; p < end; p++) {
        if (p->waiting < SMALLEST || (best && p->waiting < best->waiting)) continue;
        if (!best || p->waiting > best->waiting || p->document < best->document) best = p;
    }
    return best;
}

/* As damp; documents meet again and again, and are weighed once. to: the edges' ends, NULL where there is no room. */
static void damp_in(const trend *trends, int64_t now, place *from, place *const *to, graph_edge *edges, size_t n) {
    trend_document asked[GRAPH_DEGREE + 1];
    float whole[GRAPH_DEGREE + 1];
    uint8_t from_asked[GRAPH_DEGREE + 1]; /* number + 1 */
    size_t n_asked = 0;
    for (size_t i = 0; i <= n; i++) {
        const place *p = i < n ? to[i] : from;
        bool known = p && p->whole_known;
        from_asked[i] = 0;
        if (known) whole[i] = p->whole;
        else asked[n_asked++].document = i < n ? edges[i].document : from->document;
        if (!known) from_asked[i] = (uint8_t)n_asked;
    }
    if (n_asked) trend_weights(trends, TREND_EVERYONE, now, asked, n_asked);
    for (size_t i = 0; i <= n; i++) {
        place *p = i < n ? to[i] : from;
        if (!from_asked[i]) continue;
        whole[i] = asked[from_asked[i] - 1].weight;
        if (!p) continue;
        p->whole = whole[i];
        p->whole_known = true;
    }
    for (size_t i = 0; i < n; i++) edges[i].weight = damped(edges[i].weight, whole[i], whole[n]);
}

static void push(walk *w, const trend *trends, int64_t now, place *from, graph_edge *edges, size_t n) {
    place *to[GRAPH_DEGREE];
    float sum = 0, out = (1 - RESTART) * from->waiting;
    for (size_t i = 0; i < n; i++) to[i] = place_of(w, edges[i].document);
    if (trends && n) damp_in(trends, now, from, to, edges, n);
    for (size_t i = 0; i < n; i++) sum += edges[i].weight;
    from->waiting = 0;
    for (size_t i = 0; i < n && sum > 0; i++) {
        if (!to[i]) continue;
        float share = out * edges[i].weight / sum;
        to[i]->waiting += share;
        to[i]->settled += RESTART * share;
    }
}

size_t graph_walk(store_txn *t, const trend *trends, const graph_edge *seeds, size_t n, int64_t now, int64_t half_life, size_t k,
                  arena *a, graph_edge *out) {
    walk w = {arena_zalloc(a, REACHED, sizeof *w.slots), arena_alloc(a, MOST_PLACES * sizeof *w.places), 0};
    float sum = 0;
    if (n > GRAPH_MAX_SEEDS) n = GRAPH_MAX_SEEDS;
    for (size_t i = 0; i < n; i++) sum += sane(seeds[i].weight);
    for (size_t i = 0; i < n && sum > 0; i++) place_of(&w, seeds[i].document)->waiting += sane(seeds[i].weight) / sum;
    graph_edge edges[GRAPH_DEGREE];
    place *from;
    for (int i = 0; i < GRAPH_PUSHES && (from = largest(&w)) != NULL; i++)
        push(&w, trends, now, from, edges, graph_ties(t, from->document, now, half_life, edges));
    graph_edge *found = arena_alloc(a, (w.n + 1) * sizeof *found);
    size_t n_found = 0;
    for (const place *p = w.places, *end = p + w.n; p < end; p++)
        if (p->settled > 0) found[n_found++] = (graph_edge){p->document, p->settled};
    if (n_found) qsort(found, n_found, sizeof *found, best_first);
    if (n_found > k) n_found = k;
    if (n_found) memcpy(out, found, n_found * sizeof *out);
    return n_found;
}
