/* A fixed pool of threads with a bounded queue: strategies run side by side on it. */
#ifndef OS_POOL_H
#define OS_POOL_H

#include "base/status.h"

#include <stdbool.h>

typedef struct os_pool os_pool;
typedef void (*os_pool_task)(void *argument);

os_pool *os_pool_create(unsigned threads, unsigned queue_limit); /* threads 0: one per core */
void os_pool_destroy(os_pool *pool);                             /* finishes what is queued; NULL is a no-op */
bool os_pool_submit(os_pool *pool, os_pool_task task, void *argument); /* false when the queue is full */
unsigned os_pool_threads(const os_pool *pool);

#endif
