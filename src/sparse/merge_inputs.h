/* The inputs of a merge, gone over term by term in key order. For merge*.c only. */
#ifndef SPARSE_MERGE_INPUTS_H
#define SPARSE_MERGE_INPUTS_H

#include "sparse/merge.h"

#define MERGE_NONE UINT32_MAX

typedef struct merge_source {
    const sparse_segment *segment;
    uint32_t *moved; /* place → place in the result, or MERGE_NONE */
    sparse_term_walk walk;
    slice key;
    sparse_term term;
    size_t rank; /* among the inputs */
} merge_source;

typedef struct merge_inputs {
    merge_source *sources;
    size_t n;
    uint32_t count; /* live places */
    merge_source **heap; /* those with terms left, by (key, rank) */
    size_t left;
} merge_inputs;

/* `order` as in sparse_merge. */
void merge_inputs_open(merge_inputs *m, const sparse_merge_input *inputs, size_t n, const uint32_t *order);
void merge_inputs_release(merge_inputs *m);

void merge_inputs_start(merge_inputs *m, slice from); /* before the first term >= `from` */
/* The source with the smallest key, of equal keys that of the first input; NULL at the end. */
static inline merge_source *merge_inputs_first(const merge_inputs *m) { return m->left > 0 ? m->heap[0] : NULL; }
void merge_inputs_next(merge_inputs *m); /* past that source's term */

#endif
