/* Segments: for whom something worked. A segment is one value of a context member ("language": "de", "country": "AT", or
 * any that is declared). The memory keeps counts for everybody and, beside them, for each segment of the asker. */
#ifndef MEMORY_SEGMENTS_H
#define MEMORY_SEGMENTS_H

#include "base/hash.h"
#include "format/json.h"

#define SEGMENTS_MAX 4 /* of one request */

typedef struct memory_segment {
    slice field;
    uint64_t hash; /* of field and value */
} memory_segment;

/* The context members that make segments, most general first: each segment's belief starts from the one before it. */
typedef struct segment_fields {
    const char *names[SEGMENTS_MAX];
    size_t n;
} segment_fields;
extern const segment_fields segments_default; /* language, country */

/* The segments of a context (an object, or NULL). Values may be strings, numbers or booleans; strings are compared
 * without the case of ASCII letters; others, and those of more than 200 bytes, make no segment. */
size_t segments_of(const segment_fields *fields, const json_value *context, memory_segment out[SEGMENTS_MAX]);
/* The same from the JSON text that the log keeps. Text that cannot be read has no segments. */
size_t segments_read(const segment_fields *fields, slice context, arena *a, memory_segment out[SEGMENTS_MAX]);

/* Where a query's rows of a segment are. */
hash128 segments_key(hash128 query, const memory_segment *s);

#endif
