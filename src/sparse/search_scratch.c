/* A thread's scratch is made when it first searches and freed when it ends. */
#include "sparse/search_scratch.h"

#include "base/memory.h"

#include <pthread.h>
#include <stdlib.h>

static _Thread_local sparse_scratch *scratch;
static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static int has_key;

static void make_key(void) { has_key = pthread_key_create(&key, free) == 0; }

sparse_scratch *sparse_scratch_of_thread(void) {
    if (scratch) return scratch;
    pthread_once(&once, make_key);
    scratch = mem_zalloc(1, sizeof *scratch);
    if (has_key) pthread_setspecific(key, scratch); /* without one, it stays until the program ends */
    return scratch;
}
