/* Errors: a status code for the program, a message for the person.
 *
 * A function that can fail returns a forage_status and, where a message helps, takes a `base_error *`. The caller may
 * pass NULL. `*out` parameters are written only on success. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "forage_status.h"

#include <stddef.h>

typedef forage_error base_error;

/* Fills `error` (when not NULL) and returns `status`, so that a failing line reads
 * `return error_set(error, FORAGE_E_INVALID, "limit: expected 0 to 1000, got %d", limit);`
 * A message longer than the struct holds is cut at a UTF-8 boundary; control characters in it become spaces. */
forage_status error_set(base_error *error, forage_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Puts "what: " before the message already in `error`; returns its status. */
forage_status error_prefix(base_error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));

const char *status_name(forage_status status);    /* "invalid_json"; "unknown" for a number that is no status */
const char *status_message(forage_status status); /* one sentence */
int status_http(forage_status status);            /* HTTP status code */

#endif
