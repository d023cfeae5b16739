/* The workhorse of search: one part, window by window. */
#ifndef SPARSE_WINDOWS_H
#define SPARSE_WINDOWS_H

#include "sparse/hitheap.h"
#include "sparse/queryplan.h"

typedef struct sparse_windows sparse_windows;

/* floor: the k-th best score is known to be at least this (−INFINITY: nothing is known). Everything lives in the arena
 * and is reused from part to part; the heap is the caller's. */
sparse_windows *sparse_windows_create(const sparse_plan *plan, const sparse_eligible *eligible,
                                      const sparse_query *query, float floor, hit_heap *heap, arena *a);

/* The most that a document of the part can score; −INFINITY when none can match. */
float sparse_windows_bound(const sparse_windows *w, uint32_t part);

/* Offers the part's documents that can be among the k best. False: the deadline passed before the end. */
bool sparse_windows_search(sparse_windows *w, uint32_t part);

#endif
