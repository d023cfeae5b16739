/* A store in a temporary folder, with or without something kept in memory beside it, for tests of what lives in one. */
#ifndef STORE_BENCH_H
#define STORE_BENCH_H

#include "testing.h"

#include "os/file.h"
#include "store/store.h"

typedef struct bench {
    char folder[600];
    store *s;
    void *kept; /* what `load` made of the store; NULL without one */
    void *(*load)(store_txn *t);
    void (*unload)(void *kept);
} bench;

static const store_options bench_options = {.no_sync = true};

static inline void bench_open(bench *b) {
    store_txn *t;
    assert_ok(store_open(b->folder, &bench_options, &b->s, NULL));
    if (!b->load) return;
    assert_ok(store_read_begin(b->s, &t, NULL));
    b->kept = b->load(t);
    store_read_end(t);
}

static inline void bench_close(bench *b) {
    if (b->unload) b->unload(b->kept);
    store_close(b->s);
}

/* For a test's setup: `kept` is loaded whenever the bench is opened, and unloaded before its store is closed. */
static inline int bench_begin_with(void **state, void *(*load)(store_txn *), void (*unload)(void *)) {
    bench *b = mem_zalloc(1, sizeof *b);
    snprintf(b->folder, sizeof b->folder, "%s", testing_folder());
    b->load = load;
    b->unload = unload;
    bench_open(b);
    *state = b;
    return 0;
}

/* A setup by itself: a store and nothing beside it. */
static inline int bench_begin(void **state) { return bench_begin_with(state, NULL, NULL); }

/* The teardown for either. */
static inline int bench_end(void **state) {
    bench *b = *state;
    bench_close(b);
    assert_ok(os_remove_tree(b->folder, NULL));
    free(b);
    return 0;
}

#endif
