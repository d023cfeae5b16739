/* What the log holds about one user, and how it is made to forget.
 *
 * A user's records are the impressions and events that name them, and those of their sessions that name nobody. Forgetting
 * deletes the profiles (of the user and of those sessions) and rewrites the records: user, session and event id are
 * emptied, and the query, the query's id and the context where the user's id or a session's stands in them as a word; such a
 * query's text is no longer remembered or predicted either. In the records of other people who used one of the sessions the
 * session is emptied.
 * What was shown, which documents were chosen, decisions and features stay, and so do sums over all people (memory,
 * trends, graph, models): they do not say whose they are. Learners that are computed again from the log come out the same.
 *
 * Threads: reading from any; forgetting from any but the store's writer thread. It is not one transaction. If it is cut short,
 * forgetting again ends it: records that do not name the user go first, and those by which their sessions are known last. */
#ifndef MEMORY_PROFILE_TRACE_H
#define MEMORY_PROFILE_TRACE_H

#include "feedback/record.h"
#include "memory/profile.h"

typedef struct profile_trace profile_trace; /* the user's id and sessions */

/* Reads the whole log for the user's sessions; the records that match are those of this read transaction. Cost: the log's
 * bytes are searched once. */
forage_status profile_trace_create(store_txn *t, slice user, profile_trace **out, base_error *error);
void profile_trace_destroy(profile_trace *trace); /* NULL is a no-op */

/* The next record of the user's after `*sequence`, which is set to its own. False at the end. The slice lives as long as the
 * transaction. */
bool profile_trace_next(const profile_trace *trace, store_txn *t, uint64_t *sequence, slice *record);

/* Whether the id stands in the text as a word, in capitals or not: "7" is not in "1789". */
bool profile_mentions(slice text, slice id);

typedef struct profile_forgotten {
    uint64_t impressions, events, profiles;
    uint64_t unreadable; /* damaged records with the id in them: the id was overwritten */
} profile_forgotten;

/* FORAGE_E_INVALID for an empty id; others as store_write and store_scrub. On return it is on disk and nothing of it is left in
 * the store's file, not in unused bytes either. */
forage_status profile_forget(store *s, slice user, profile_forgotten *out, base_error *error);

#endif
