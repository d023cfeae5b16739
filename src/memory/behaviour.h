/* Behaviour: what an engagement changes beside the memory of its query, in one place.
 *
 * An engagement goes to the user's profile, which gives it its voice; with that voice it goes to the trends (everyone's, its
 * segments', its document's type's) and ties the document, in the graph, to what the user engaged with before and to what
 * others chose after the same query. Profile and graph live in the store; the trends are in memory as well.
 *
 * The life of an event:    behaviour_record    in its store job
 *                          behaviour_committed after the commit
 * and of an impression:    behaviour_shown     after the commit, and again for each that the log has since the last save
 * now and then:            behaviour_save      in a store job, with the log's sequence up to which impressions were shown
 *                          behaviour_saved     after its commit
 *
 * Whoever it is, is heard as one voice (profile.h): a user; without one a session; without either all that comes from one search.
 * What names no search either (it was taught) is taken at its word: each counts whole.
 *
 * Threads: these are called by the store's writer thread; behaviour_open before anybody else looks; reading by any. */
#ifndef MEMORY_BEHAVIOUR_H
#define MEMORY_BEHAVIOUR_H

#include "memory/graph.h"
#include "memory/profile.h"
#include "memory/trend.h"
#include "sparse/search.h"

#define BEHAVIOUR_PARTNERS 32 /* documents of the user's that one engagement is tied to */
#define BEHAVIOUR_CHOSEN 8    /* and of the query's */

typedef struct behaviour behaviour;

typedef struct behaviour_event {
    slice user, session;     /* either or both may be empty */
    slice query_id;          /* of the search it belongs to: who it was when neither is known; may be empty */
    uint32_t document;
    float credit;            /* (0, 1], as the learners see it */
    uint32_t query;          /* profile_query of the search; 0: none */
    bool taught;             /* it is known from elsewhere, not from a search */
    int64_t time, now;       /* of the event; of the collection's clock */
    const uint64_t *segments; /* hashes, most general first */
    size_t n_segments;
    const profile_attribute *attributes; /* of the document: behaviour_attributes */
    size_t n_attributes;
    slice type;              /* of the document; empty: none */
    const uint32_t *chosen;  /* what others engaged with after the same query, best first */
    size_t n_chosen;
} behaviour_event;

typedef struct behaviour_change {
    trend_change trends[TREND_MAX_CHANGES];
    size_t n;
    float voice;
} behaviour_change;

forage_status behaviour_open(store_txn *t, int64_t half_life, behaviour **out, base_error *error); /* half_life 0: 30 days */
void behaviour_close(behaviour *b); /* NULL is a no-op */
const trend *behaviour_trends(const behaviour *b);
int64_t behaviour_half_life(const behaviour *b);
/* As long as nobody did anything; false later: then it counts from the next opening. The writer thread. */
bool behaviour_set_half_life(behaviour *b, int64_t half_life);

/* Writes profile, graph and trends: 1 + 41 + 6 rows at most. May run again for the same event: it changes nothing but the
 * store and *out. */
forage_status behaviour_record(const behaviour *b, store_txn *t, const behaviour_event *e, behaviour_change *out,
                               base_error *error);
void behaviour_committed(behaviour *b, const behaviour_change *change);
void behaviour_shown(behaviour *b, const uint32_t *documents, size_t n, int64_t time, int64_t now);
void behaviour_forget_shown(behaviour *b); /* before the whole log is read again */
forage_status behaviour_save(behaviour *b, store_txn *t, base_error *error);
void behaviour_saved(behaviour *b);

/* The keyword and reference values of a live document, at most `most`; slices live as long as the snapshot or the arena. */
size_t behaviour_attributes(const sparse_snapshot *s, uint32_t document, arena *a, size_t most, profile_attribute *out);

#endif
