#include "os/pool.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct pool_item {
    os_pool_task task;
    void *argument;
} pool_item;

struct os_pool {
    pthread_mutex_t mutex;
    pthread_cond_t wake;
    pool_item *items; /* a ring of `limit` */
    unsigned limit, head, count, n_threads;
    bool stopping;
    pthread_t *threads;
};

static void *pool_run(void *argument) {
    os_pool *pool = argument;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (pool->count == 0 && !pool->stopping) pthread_cond_wait(&pool->wake, &pool->mutex);
        if (pool->count == 0) break;
        pool_item item = pool->items[pool->head];
        pool->head = (pool->head + 1) % pool->limit;
        pool->count--;
        pthread_mutex_unlock(&pool->mutex);
        item.task(item.argument);
        pthread_mutex_lock(&pool->mutex);
    }
    pthread_mutex_unlock(&pool->mutex);
    return NULL;
}

os_pool *os_pool_create(unsigned threads, unsigned queue_limit) {
    if (threads == 0) {
        long cores = sysconf(_SC_NPROCESSORS_ONLN);
        threads = cores > 0 ? (unsigned)cores : 1;
    }
    os_pool *pool = mem_zalloc(1, sizeof *pool);
    pool->limit = queue_limit ? queue_limit : 1;
    pool->items = mem_zalloc(pool->limit, sizeof *pool->items);
    pool->threads = mem_zalloc(threads, sizeof *pool->threads);
    pthread_mutex_init(&pool->mutex, NULL);
    pthread_cond_init(&pool->wake, NULL);
    while (pool->n_threads < threads &&
           pthread_create(&pool->threads[pool->n_threads], NULL, pool_run, pool) == 0)
        pool->n_threads++;
    return pool;
}

void os_pool_destroy(os_pool *pool) {
    if (!pool) return;
    pthread_mutex_lock(&pool->mutex);
    pool->stopping = true;
    pthread_cond_broadcast(&pool->wake);
    pthread_mutex_unlock(&pool->mutex);
    for (unsigned i = 0; i < pool->n_threads; i++) pthread_join(pool->threads[i], NULL);
    pthread_cond_destroy(&pool->wake);
    pthread_mutex_destroy(&pool->mutex);
    free(pool->threads);
    free(pool->items);
    free(pool);
}

bool os_pool_submit(os_pool *pool, os_pool_task task, void *argument) {
    pthread_mutex_lock(&pool->mutex);
    bool room = pool->n_threads > 0 && pool->count < pool->limit && !pool->stopping;
    if (room) {
        pool->items[(pool->head + pool->count) % pool->limit] = (pool_item){task, argument};
        pool->count++;
        pthread_cond_signal(&pool->wake);
    }
    pthread_mutex_unlock(&pool->mutex);
    return room;
}

unsigned os_pool_threads(const os_pool *pool) { return pool->n_threads; }
