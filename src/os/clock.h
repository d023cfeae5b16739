/* Time is passed in, so that a run can be replayed. Times are microseconds. */
#ifndef OS_CLOCK_H
#define OS_CLOCK_H

#include <stdint.h>

typedef struct os_clock {
    int64_t (*wall)(void *self);      /* microseconds since 1970-01-01 UTC; may jump */
    int64_t (*monotonic)(void *self); /* microseconds since some start; never goes back */
    void *self;
} os_clock;

extern const os_clock os_clock_system;

static inline int64_t clock_wall(const os_clock *c) { return c->wall(c->self); }
static inline int64_t clock_monotonic(const os_clock *c) { return c->monotonic(c->self); }

#endif
