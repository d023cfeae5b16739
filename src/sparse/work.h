/* Long work that others may slow down or end. */
#ifndef SPARSE_WORK_H
#define SPARSE_WORK_H

#include <stdbool.h>
#include <stdint.h>

/* `proceed` is called every few milliseconds of work with the bytes that went to files since; it may sleep. False ends the
 * work, which then fails with FORAGE_E_CLOSED. NULL: never called. */
typedef struct sparse_work {
    bool (*proceed)(void *context, uint64_t written);
    void *context;
} sparse_work;

static inline bool sparse_work_proceed(const sparse_work *w, uint64_t written) {
    return !w || !w->proceed || w->proceed(w->context, written);
}

#endif
