/* What was asked and what it earned, from the first search until now: the line that the page draws of learning.
 *
 * A history has at most HISTORY_POINTS points, and every point but the last covers equally many searches: one each at
 * first. When no place is left, neighbours are merged and a point covers twice as many. So it always tells the whole
 * time, its size is bounded, and the sums over all points stay what they were.
 *
 * A reward counts in the point that is open when it comes, which may be later than its search's.
 *
 * A plain value, about 40 KB; zeroed is empty. Threads: its owner locks. The same calls in the same order give the same
 * value. */
#ifndef FUNNEL_HISTORY_H
#define FUNNEL_HISTORY_H

#include "base/memory.h"
#include "base/status.h"
#include "format/json.h"
#include "retrieve/strategy.h"

#define HISTORY_POINTS 256
#define HISTORY_STRATEGIES RETRIEVE_STRATEGIES

/* All are sums over the point's searches. */
typedef struct history_point {
    uint64_t searches;
    uint64_t candidates;                  /* in the unions */
    double reward;                        /* credit of the events that came meanwhile */
    double price;                         /* of a candidate: divided by `searches` it is the mean */
    uint64_t asked[HISTORY_STRATEGIES];   /* searches in which the strategy was asked */
    uint64_t depth[HISTORY_STRATEGIES];   /* candidates that it was asked for */
} history_point;

typedef struct history {
    uint64_t searches_per_point; /* a power of two; 0 as long as nothing was counted */
    uint32_t n_points;
    history_point points[HISTORY_POINTS]; /* oldest first; all but the last are full */
} history;

/* A search was answered: depth[s] candidates were asked of strategy s (0: not asked), `candidates` came together in the
 * union, each at `price` in reward units (not finite or negative: 0). Counts of more than HISTORY_MOST count as that. */
#define HISTORY_MOST (1u << 20)
void history_shown(history *h, const uint32_t depth[HISTORY_STRATEGIES], uint32_t candidates, double price);

/* An event earned `credit`, in reward units. Nothing happens when it is not above 0 or when there was no search yet. */
void history_earned(history *h, double credit);

/* {"points": [{"searches", "reward", "candidates", "price", "strategies": {NAME: {"share", "depth"}}}]}, oldest first.
 * Sums: reward, candidates. Means over the searches: price, depth (a search that did not ask counts as 0), share (of the
 * searches that asked). names: HISTORY_STRATEGIES. */
void history_write_json(const history *h, const char *const *names, json_writer *w);

/* Bytes: u8 format (1), u8 strategies, varint searches_per_point, varint points; for each: varint searches, varint
 * candidates, f64 reward, f64 price, then for each strategy varint asked, varint depth. */
void history_save(const history *h, buffer *out);
/* FORAGE_E_VERSION: another format; FORAGE_E_INVALID: of other strategies; FORAGE_E_CORRUPT: damaged. *out only on
 * success. */
forage_status history_load(slice bytes, history *out, base_error *error);

#endif
