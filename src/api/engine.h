/* The inside of a data folder; only this folder's files include it. */
#ifndef API_ENGINE_H
#define API_ENGINE_H

#include "forage.h"
#include "funnel/funnel.h"

#include <pthread.h>

#define API_MAX_NAME 64
#define API_FORMAT 1 /* of the data folder */

struct forage_collection {
    forage_collection *next;
    forage *db;
    char name[API_MAX_NAME + 1];
    collection *collection;
    funnel *funnel;
    struct training *training; /* trainings.h */
    /* Under the database's mutex: */
    unsigned users; /* calls in progress */
    bool opening, dropped;
};

struct forage {
    char *folder;
    forage_options options;
    os_pool *pool;
    int lock; /* -1 when read-only */
    pthread_mutex_t mutex;
    pthread_cond_t idle;
    forage_collection *collections; /* those that are open */
};

bool engine_good_name(slice name);

/* Opens (or with `create` makes) a collection and counts the caller as its user; engine_release gives it back. */
forage_status engine_acquire(forage *db, slice name, bool create, forage_collection **out, bool *created, base_error *error);
void engine_release(forage_collection *c);
/* The same for the first open collection after `previous` (NULL: from the start), which is released; NULL at the end. Opens
 * nothing. */
forage_collection *engine_next_open(forage *db, forage_collection *previous);
forage_status engine_drop(forage *db, slice name, base_error *error);
/* Names of all collections in the folder, sorted, in the arena. */
forage_status engine_list(forage *db, arena *a, char ***names, size_t *n, base_error *error);

#endif
