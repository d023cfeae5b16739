#include "sparse/merge_inputs.h"

#include <stdlib.h>

static bool is_live(const uint64_t *live, uint32_t place) { return !live || live[place / 64] >> place % 64 & 1; }

void merge_inputs_open(merge_inputs *m, const sparse_merge_input *inputs, size_t n, const uint32_t *order) {
    *m = (merge_inputs){.n = n};
    m->sources = mem_zalloc(n, sizeof *m->sources);
    m->heap = mem_alloc(n * sizeof *m->heap);
    for (size_t i = 0; i < n; i++) {
        merge_source *s = &m->sources[i];
        uint32_t places = sparse_segment_count(inputs[i].segment);
        s->segment = inputs[i].segment;
        s->rank = i;
        s->moved = mem_alloc(places * sizeof *s->moved);
        for (uint32_t p = 0; p < places; p++) {
            bool live = is_live(inputs[i].live, p);
            s->moved[p] = !live ? MERGE_NONE : order ? order[m->count] : m->count;
            m->count += live;
        }
    }
}

void merge_inputs_release(merge_inputs *m) {
    for (size_t i = 0; i < m->n; i++) free(m->sources[i].moved);
    free(m->sources);
    free(m->heap);
}

static bool before(const merge_source *a, const merge_source *b) {
    int order = slice_compare(a->key, b->key);
    return order != 0 ? order < 0 : a->rank < b->rank;
}

static void sift_down(merge_source **heap, size_t n, size_t at) {
    merge_source *s = heap[at];
    for (size_t child; (child = 2 * at + 1) < n; at = child) {
        if (child + 1 < n && before(heap[child + 1], heap[child])) child++;
        if (!before(heap[child], s)) break;
        heap[at] = heap[child];
    }
    heap[at] = s;
}

void merge_inputs_start(merge_inputs *m, slice from) {
    m->left = 0;
    for (size_t i = 0; i < m->n; i++) {
        merge_source *s = &m->sources[i];
        sparse_term_walk_start(&s->walk, s->segment, from);
        if (sparse_term_walk_next(&s->walk, &s->key, &s->term)) m->heap[m->left++] = s;
    }
    for (size_t i = m->left / 2; i-- > 0;) sift_down(m->heap, m->left, i);
}

void merge_inputs_next(merge_inputs *m) {
    merge_source *s = m->heap[0];
    if (!sparse_term_walk_next(&s->walk, &s->key, &s->term)) m->heap[0] = m->heap[--m->left];
    if (m->left > 0) sift_down(m->heap, m->left, 0);
}
