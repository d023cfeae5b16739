#include "os/wait.h"

#include <errno.h>
#include <time.h>

void os_condition_init(pthread_cond_t *condition) {
    pthread_condattr_t attributes;
    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

bool os_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until) {
    const struct timespec time = {until / 1000000, until % 1000000 * 1000};
    return pthread_cond_timedwait(condition, mutex, &time) != ETIMEDOUT;
}
