/* Between forest_compile.c and forest_slice.c. */
#ifndef RANK_FOREST_COMPILE_H
#define RANK_FOREST_COMPILE_H

#include "rank/forest_internal.h"

enum { SLICE_ZEROS, SLICE_ONES }; /* slots 0 and 1: no row, every row */

enum { SLICE_RANKS = 2 }; /* besides one for each threshold: rows that reach all, and those without value */

/* Writes the programs and the tables of leaves. slot_of_node: for each split the slot of the rows that go left. Adds the
 * temporary slots to n_slots. */
void slice_compile(forest *f, const uint32_t *slot_of_node);

#endif
