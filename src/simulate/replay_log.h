/* A replay's log: what people did, in the order of time, as other systems write it down.
 *
 *     {"query": "indie", "user": "42", "session": "s1", "document": "1672", "time": "2009-05-01", "action": "tag",
 *      "context": {"country": "DE"}}
 *
 * as NDJSON or a JSON array, or CSV or TSV with these names in the header; plain, gzip or zstd. Only the document must be
 * there; other members are passed over. A time is RFC 3339 or one of its shorter forms, or a number since 1970: seconds,
 * milliseconds or microseconds, told apart by its size. A row without a time has that of the row before it. */
#ifndef SIMULATE_REPLAY_LOG_H
#define SIMULATE_REPLAY_LOG_H

#include "format/json.h"
#include "format/records.h"

#define REPLAY_MOST_ROWS 20000000
#define REPLAY_PROBLEMS_KEPT 20

typedef struct replay_row {
    slice query, user, session, document, action, context; /* context: JSON, or empty */
    int64_t time;   /* microseconds since 1970 */
    uint64_t line;
} replay_row;

/* Whatever can be used is used; what could not is counted and the first few are told. */
typedef struct replay_log {
    arena memory;
    replay_row *rows;
    size_t n, capacity;
    uint64_t malformed;    /* records that are no such row */
    uint64_t out_of_order; /* rows older than one before them; they stay in their places */
    bool cut;              /* reading ended before the log did: a compressed log that is cut off or damaged */
    int64_t newest;
    char *problems[REPLAY_PROBLEMS_KEPT]; /* "line 17: …", in the arena */
    size_t n_problems;
} replay_log;

/* Reads all of it. `action`: of rows that have none. `now`: the time of rows at the start that have none. Fails only
 * when there are more than REPLAY_MOST_ROWS (FORAGE_E_TOO_LARGE). */
forage_status replay_log_read(records_reader *records, slice action, int64_t now, replay_log *out, base_error *error);
void replay_log_release(replay_log *log);
/* Keeps a problem for the report, if there is room. */
void replay_log_problem(replay_log *log, uint64_t line, const char *what);

#endif
