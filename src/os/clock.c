#include "os/clock.h"

#include <stddef.h>
#include <time.h>

static int64_t read_clock(clockid_t which) {
    struct timespec now;
    clock_gettime(which, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static int64_t system_wall(void *self) {
    (void)self;
    return read_clock(CLOCK_REALTIME);
}

static int64_t system_monotonic(void *self) {
    (void)self;
    return read_clock(CLOCK_MONOTONIC);
}

const os_clock os_clock_system = {system_wall, system_monotonic, NULL};
