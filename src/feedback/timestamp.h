/* Dates and times as people write them: RFC 3339 and its shorter forms, in UTC. */
#ifndef FEEDBACK_TIMESTAMP_H
#define FEEDBACK_TIMESTAMP_H

#include "base/memory.h"

#define TIMESTAMP_SIZE 48

/* "2008", "2008-06", "2008-06-12", "2008-06-12T10:00", "2008-06-12T10:00:00.123Z", "… 10:00:00+02:00" (T or a space; no
 * zone means UTC; a year has four digits and may have a minus sign). False when it is none of these or not a day of the
 * calendar. */
bool timestamp_read(slice text, int64_t *microseconds);
void timestamp_write(int64_t microseconds, char out[TIMESTAMP_SIZE]); /* "2008-06-12T10:00:00.123456Z" */

#endif
