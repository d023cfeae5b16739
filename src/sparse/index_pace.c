#include "sparse/index_pace.h"

#define SECOND 1000000

void index_pace_start(index_pace *p, int64_t now) {
    *p = (index_pace){.searched = now - INDEX_PACE_RECENT, .resumed = now, .filled = now, .credit = INDEX_PACE_BURST};
}

static void count_bytes(index_pace *p, int64_t now, uint64_t written) {
    int64_t elapsed = now - p->filled < SECOND ? now - p->filled : SECOND;
    p->filled = now;
    p->credit += elapsed * INDEX_PACE_BYTES / SECOND;
    if (p->credit > INDEX_PACE_BURST) p->credit = INDEX_PACE_BURST;
    p->credit -= (int64_t)written;
}

int64_t index_pace_pause(index_pace *p, int64_t now, bool searched, bool urgent, uint64_t written) {
    if (searched) p->searched = now;
    count_bytes(p, now, written);
    if (urgent || now - p->searched >= INDEX_PACE_RECENT) { /* nobody to wait for, and nothing to make up for later */
        p->resumed = now;
        if (p->credit < 0) p->credit = 0;
        return 0;
    }
    int64_t worked = now - p->resumed, pause = worked >= INDEX_PACE_SLICE ? worked : 0;
    int64_t owed = p->credit < 0 ? -p->credit * SECOND / INDEX_PACE_BYTES : 0;
    if (pause < owed) pause = owed;
    if (pause > INDEX_PACE_LONGEST) pause = INDEX_PACE_LONGEST;
    if (pause > 0) p->resumed = now + pause;
    return pause;
}
