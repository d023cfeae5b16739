/* How far a long command is: a bar that moves on a terminal, a line now and then in a log. On standard error. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

typedef struct progress {
    const char *unit;       /* "documents" */
    uint64_t total;         /* of `done`; 0: not known */
    bool quiet, terminal;
    int64_t started_us, shown_us; /* monotonic */
} progress;

progress progress_start(const char *unit, uint64_t total, bool quiet);
/* done: bytes read or steps taken, of `total`; count: units so far. Draws at most ten times a second. */
void progress_show(progress *p, uint64_t done, uint64_t count);
/* The same with words instead of a count; part: from 0 to 1. */
void progress_tell(progress *p, double part, const char *text);
void progress_clear(progress *p); /* removes the bar before something else is printed */
double progress_seconds(const progress *p);

#endif
