/* Weights that halve with time. Nothing is ever walked to make it older: a weight is kept with its time, and is made younger
 * or older when it is looked at. All times are microseconds.
 *
 * Clocks are not trusted. What claims to come from the future counts as now; when the clock itself has jumped back, time
 * stands still until it has caught up: what was learned keeps its weight and what comes counts in full. */
#ifndef MEMORY_DECAY_H
#define MEMORY_DECAY_H

#include <math.h>
#include <stdint.h>

#define DECAY_DAY ((int64_t)86400 * 1000000)
#define DECAY_HALF_LIFE (30 * DECAY_DAY) /* unless a collection says otherwise */
#define DECAY_FARTHEST ((int64_t)1 << 60) /* either way from 1970; sums and differences of two cannot overflow */

static inline int64_t decay_bounded(int64_t time) {
    return time > DECAY_FARTHEST ? DECAY_FARTHEST : time < -DECAY_FARTHEST ? -DECAY_FARTHEST : time;
}

/* What is left after `age`; 1 for what is not older. */
static inline float decay_factor(int64_t age, int64_t half_life) {
    return age > 0 ? (float)exp2(-(double)age / (double)half_life) : 1;
}

/* When something of `time` happened on a scale that has reached `newest` (INT64_MIN: nothing yet), by a clock that says
 * `now`. The result is at most a day after `now`, or at most `newest`. */
static inline int64_t decay_time(int64_t time, int64_t now, int64_t newest) {
    int64_t latest = decay_bounded(now) + DECAY_DAY;
    time = decay_bounded(time);
    if (time > latest) time = latest;
    return newest > latest ? decay_bounded(time + (newest - latest)) : time;
}

#endif
