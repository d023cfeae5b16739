/* Exact top-k: the plan, the order of the parts, a first threshold; the windows do the work. */
#include "sparse/search.h"

#include "sparse/phrases.h"
#include "sparse/placeset.h"
#include "sparse/windows.h"

#include <math.h>
#include <stdlib.h>

#define SPARSE_IMPACTS 256

/* ---- a threshold before the first document is scored ---- */

/* The rank-th largest of the term's block maxima over all parts: that many documents, one a block, have at least this
 * impact. −1 when there are fewer blocks. */
static int ranked_block_maximum(const sparse_plan *plan, uint32_t term, uint64_t rank) {
    uint64_t histogram[SPARSE_IMPACTS] = {0}, blocks = 0;
    for (uint32_t p = 0; p < plan->snapshot->n_parts; p++) blocks += sparse_plan_found(plan, p, term)->n_blocks;
    if (blocks < rank) return -1;
    for (uint32_t p = 0; p < plan->snapshot->n_parts; p++) {
        const sparse_term *found = sparse_plan_found(plan, p, term);
        if (found->n_blocks == 0) continue;
        const sparse_block *block = sparse_term_blocks(found);
        for (uint32_t b = 0; b < found->n_blocks; b++) histogram[block[b].max_impact]++;
    }
    int impact = SPARSE_IMPACTS - 1;
    for (uint64_t seen = 0; (seen += histogram[impact]) < rank;) impact--;
    return impact;
}

/* A score that the k-th best reaches for sure. Any document counted may be among those that are not eligible, so that
 * many more have to be counted. */
static float score_floor(const sparse_plan *plan, const sparse_eligible *eligible, size_t k) {
    uint64_t rank = k;
    uint32_t best = 0;
    for (uint32_t p = 0; p < plan->snapshot->n_parts; p++) {
        rank += sparse_segment_count(plan->snapshot->parts[p].segment) - eligible->counts[p];
    }
    if (plan->n_required && plan->n_terms - plan->n_excluded > 1) return -INFINITY;
    for (uint32_t t = 0; t < plan->n_terms; t++) rank += plan->terms[t].excluded ? plan->terms[t].df : 0;
    for (uint32_t t = 0; t < plan->n_terms; t++) {
        if (plan->terms[t].excluded) continue;
        int impact = ranked_block_maximum(plan, t, rank);
        uint32_t sum = impact < 0 ? 0 : plan->terms[t].units * (uint32_t)impact + 1;
        if (sum > best) best = sum;
    }
    return best ? sparse_plan_score(plan, best, 0) : -INFINITY;
}

/* ---- search ---- */

typedef struct part_bound {
    float bound;
    uint32_t part;
} part_bound;

static int by_bound(const void *left, const void *right) {
    const part_bound *a = left, *b = right;
    if (a->bound != b->bound) return a->bound > b->bound ? -1 : 1;
    return (a->part > b->part) - (a->part < b->part);
}

/* The parts that can hold the best documents first, so that the others are mostly skipped. */
static part_bound *order_parts(const sparse_windows *w, uint32_t n_parts, arena *a) {
    part_bound *order = arena_alloc(a, n_parts * sizeof *order);
    for (uint32_t p = 0; p < n_parts; p++) order[p] = (part_bound){sparse_windows_bound(w, p), p};
    qsort(order, n_parts, sizeof *order, by_bound);
    return order;
}

size_t sparse_search(const sparse_eligible *eligible, const sparse_query *query, size_t k, arena *a, sparse_hit *hits,
                     bool *late) {
    const sparse_snapshot *s = eligible->snapshot;
    sparse_plan plan;
    bool in_time = true;
    hit_heap heap = hit_heap_of(k, eligible->count, a);
    if (heap.k > 0) {
        sparse_plan_make(s, query, a, &plan);
        float floor = score_floor(&plan, eligible, heap.k);
        sparse_windows *w = sparse_windows_create(&plan, eligible, query, floor, &heap, a);
        part_bound *order = order_parts(w, s->n_parts, a);
        for (uint32_t i = 0; i < s->n_parts && order[i].bound > -INFINITY && in_time; i++) {
            if (hit_heap_full(&heap) && order[i].bound < (float)hit_double(heap.entries[0].key)) break;
            in_time = sparse_windows_search(w, order[i].part);
        }
    }
    hit_heap_sort(&heap);
    for (size_t i = 0; i < heap.size; i++) {
        hits[i] = (sparse_hit){heap.entries[i].document, (float)hit_double(heap.entries[i].key)};
    }
    if (late) *late = !in_time;
    return heap.size;
}

/* ---- the oracle ---- */

static void sum_term(const sparse_term *t, const sparse_plan_term *term, uint32_t count, uint32_t *sums,
                     uint32_t *required, uint64_t *excluded) {
    uint32_t places[SPARSE_BLOCK + 8];
    uint8_t impacts[SPARSE_BLOCK + 8];
    for (uint32_t b = 0; b < t->n_blocks; b++) {
        uint32_t n = sparse_block_decode(t, b, places, impacts);
        for (uint32_t i = 0; i < n; i++) {
            if (places[i] >= count) continue;
            if (!term->excluded) sums[places[i]] += term->units * impacts[i] + 1;
            required[places[i]] += term->required;
            if (term->excluded) excluded[places[i] / 64] |= (uint64_t)1 << places[i] % 64;
        }
    }
}

static size_t score_part(const sparse_plan *plan, const sparse_eligible *eligible, uint32_t part, arena *a,
                         sparse_hit *hits) {
    const sparse_segment *segment = eligible->snapshot->parts[part].segment;
    uint32_t count = sparse_segment_count(segment);
    uint32_t *sums = arena_zalloc(a, count, sizeof *sums), *required = arena_zalloc(a, count, sizeof *required);
    uint64_t *excluded = arena_zalloc(a, placeset_words(count), sizeof *excluded);
    const float *prior = sparse_segment_prior(segment, &(float){0});
    size_t n = 0;
    for (uint32_t t = 0; t < plan->n_terms; t++)
        if (plan->terms[t].required && sparse_plan_found(plan, part, t)->n_blocks == 0) return 0;
    sparse_phrases *phrases = sparse_phrases_open(plan, part, a);
    for (uint32_t t = 0; t < plan->n_terms; t++) {
        sum_term(sparse_plan_found(plan, part, t), &plan->terms[t], count, sums, required, excluded);
    }
    for (uint32_t place = 0; place < count; place++) {
        if (sums[place] == 0 || required[place] < plan->n_required || placeset_has(excluded, place)) continue;
        if (eligible->bits[part] && !placeset_has(eligible->bits[part], place)) continue;
        if (phrases && !sparse_phrases_match(phrases, place)) continue;
        hits[n].document = sparse_segment_document(segment, place);
        hits[n++].score = sparse_plan_score(plan, sums[place], prior ? prior[place] : 0);
    }
    return n;
}

static int by_score(const void *left, const void *right) {
    const sparse_hit *a = left, *b = right;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return (a->document > b->document) - (a->document < b->document);
}

size_t sparse_search_exhaustive(const sparse_eligible *eligible, const sparse_query *query, size_t k, arena *a,
                                sparse_hit *hits) {
    sparse_plan plan;
    sparse_plan_make(eligible->snapshot, query, a, &plan);
    sparse_hit *all = arena_alloc(a, eligible->count * sizeof *all);
    size_t n = 0;
    for (uint32_t p = 0; p < eligible->snapshot->n_parts; p++) n += score_part(&plan, eligible, p, a, all + n);
    qsort(all, n, sizeof *all, by_score);
    if (n > k) n = k;
    if (n > 0) memcpy(hits, all, n * sizeof *hits);
    return n;
}
