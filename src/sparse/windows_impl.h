/* The state of one search over one part, shared by the two ways of going through it: windows.c and ranges.c. */
#ifndef SPARSE_WINDOWS_IMPL_H
#define SPARSE_WINDOWS_IMPL_H

#include "sparse/cursor.h"
#include "sparse/phrases.h"
#include "sparse/placeset.h"
#include "sparse/search_scratch.h"
#include "sparse/windows.h"

#include <math.h>
#include <stdlib.h>

enum {
    DENSE = SCRATCH_DENSE,   /* places of a window that is scanned; sums, candidates and a block share a 32 KiB cache */
    WIDE = SCRATCH_WIDE,     /* places of a window whose elements in use are listed, and candidates at most */
    WIDE_POSTINGS = 6144,    /* with fewer postings in WIDE places, listing is faster than scanning: measured */
    CANDIDATES = 4096,       /* wanted in a window of one essential term */
    FEW_FOUND = 48,          /* sorted by insertion */
    MOST_MAXIMA = 8,         /* terms whose range maxima are asked for each candidate */
    MAXIMA_PAY = 8,          /* candidates from which on that is worth while */
    GROUP = 24,              /* candidates within a block from which on two lists are intersected as such */
    TRIAL = 16384,           /* places after which a threshold says something */
    RETRY = 1 << 20,         /* places until ranges are tried again when they did not suit */
    SLACK = SPARSE_BLOCK + 16
};

struct sparse_windows {
    arena *arena;
    const kernel_table *kernel;
    const sparse_plan *plan;
    const sparse_eligible *eligible;
    const os_clock *clock;
    int64_t deadline;
    hit_heap *heap;
    double floor, threshold; /* a score below the threshold cannot enter the heap */

    /* the part */
    sparse_cursor *cursors; /* required ones first, rarest first; then optional ones, most score per posting first */
    uint32_t n_cursors, n_required;
    sparse_cursor *excluded;
    uint32_t n_excluded;
    const uint32_t *documents; /* NULL: first_document + place */
    uint32_t first_document;
    const uint64_t *bits;
    bool few;           /* so few places are eligible that counting them window by window pays */
    const sparse_segment *segment;
    const float *prior; /* NULL: does not count */
    float prior_max;
    sparse_phrases *phrases; /* NULL: none */
    uint32_t try_ranges; /* the first place at which to ask whether ranges suit */
    uint32_t count, step; /* step: the largest window now; grows, so that the first ones set a threshold soon */

    /* the window */
    uint32_t base, size;
    uint32_t need;  /* a smaller sum cannot enter the heap */
    uint32_t total; /* of the cursors' bounds */
    sparse_cursor **lookups;
    uint32_t n_lookups, n;
    uint32_t *candidates;     /* places, ascending */
    uint32_t *candidate_sums; /* one for each */
    uint32_t *wide;           /* WIDE sums, all zero between uses … */
    uint32_t *used, n_used;   /* … and those that are not; NULL until needed */
    uint32_t *sums;           /* DENSE, all zero between uses */
    uint64_t *marks;          /* a bit for each of WIDE, likewise */
    struct sparse_ranges *ranges; /* NULL until needed */
    uint32_t at_candidate[SLACK], at_posting[SLACK];
};

/* The smallest sum that can reach the threshold beside a prior of at most `prior_max`; UINT32_MAX: none can. The slack
 * is wider than the rounding of a float, so that ties stay in. */
static inline uint32_t needed_sum(const sparse_windows *w, float prior_max) {
    double text = w->threshold - fabs(w->threshold) * 1e-6 - w->plan->prior_weight * (double)prior_max;
    if (!(text > 0)) return 1;
    double sum = w->plan->unit > 0 ? text / w->plan->unit : INFINITY;
    if (!(sum <= INT32_MAX)) return UINT32_MAX;
    return sum > 1 ? (uint32_t)sum : 1;
}

/* Candidates with their sums, all terms added, to the heap. */
static inline void offer_candidates(sparse_windows *w) {
    for (uint32_t i = 0; i < w->n; i++) {
        uint32_t place = w->candidates[i];
        float score = sparse_plan_score(w->plan, w->candidate_sums[i], w->prior ? w->prior[place] : 0);
        if ((double)score < w->threshold || (w->phrases && !sparse_phrases_match(w->phrases, place))) continue;
        hit_heap_offer(w->heap, hit_key_double((double)score), w->documents ? w->documents[place] : w->first_document + place);
        if (hit_heap_full(w->heap)) w->threshold = fmax(w->floor, hit_double(w->heap->entries[0].key));
    }
}

/* What searching so many places by windows takes, in nanoseconds; only its ratio to other costs matters. */
double windows_cost(const sparse_windows *w, uint32_t places);

/* Instead of windows: finds the ranges of 64 places that can hold one of the k best, by the maxima of the terms, and scores
 * only those. Starts at w->base and sets w->size. False when so many ranges are left that windows are faster: then nothing
 * has been done but that the floor is higher. */
bool ranges_search(sparse_windows *w, bool *in_time);
/* Whether it is worth trying. */
bool ranges_suit(const sparse_windows *w);

#endif
