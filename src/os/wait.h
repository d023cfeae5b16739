/* Waiting for a condition until a moment of the monotonic clock: no jump of the wall clock makes it longer or shorter. */
#ifndef OS_WAIT_H
#define OS_WAIT_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

void os_condition_init(pthread_cond_t *condition); /* pthread_cond_destroy ends it */
/* `until`: microseconds of os_clock_system's monotonic time. False when it has passed; else as pthread_cond_wait returns. */
bool os_wait_until(pthread_cond_t *condition, pthread_mutex_t *mutex, int64_t until);

#endif
