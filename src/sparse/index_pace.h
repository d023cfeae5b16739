/* How much of its time a merge may take, and how much it may write, while others search: half of the time, in slices too
 * short for a search to notice, and so many bytes a second. Time is passed in. */
#ifndef SPARSE_INDEX_PACE_H
#define SPARSE_INDEX_PACE_H

#include <stdbool.h>
#include <stdint.h>

#define INDEX_PACE_RECENT 100000 /* microseconds: a search so long ago still counts */
#define INDEX_PACE_SLICE 4000    /* of work between two pauses */
#define INDEX_PACE_LONGEST 100000 /* pause, so that every merge ends */
#define INDEX_PACE_BYTES ((int64_t)32 << 20) /* written in a second … */
#define INDEX_PACE_BURST ((int64_t)4 << 20)  /* … and at once */

typedef struct index_pace {
    int64_t searched; /* when a search was seen last */
    int64_t resumed;  /* since when it works without a pause */
    int64_t filled;   /* when the credit was counted last */
    int64_t credit;   /* bytes; below 0: owed */
} index_pace;

void index_pace_start(index_pace *p, int64_t now);

/* Called between pieces of work: returns for how long to pause now, in microseconds; 0: not yet. `searched`: somebody
 * has searched since the last call; `written`: bytes since; `urgent`: others wait for this work more than for searches. */
int64_t index_pace_pause(index_pace *p, int64_t now, bool searched, bool urgent, uint64_t written);

#endif
