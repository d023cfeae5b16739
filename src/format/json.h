/* JSON: a strict reader into an arena, and a writer. yajl enters the project in json.c.
 *
 * The reader refuses what would be silently misread: invalid UTF-8, duplicate keys, numbers beyond double, nesting
 * deeper than JSON_MAX_DEPTH, more than JSON_MAX_VALUES (a value takes 80 bytes, its text may have two), anything after the
 * value, lone surrogate escapes, NUL in keys. A byte order mark before the value is passed over. Values point into the
 * arena, not into the text. Numbers are read and written as in the C locale, whatever the program's locale is. Every
 * function may run in many threads at once on objects of their own. */
#ifndef FORMAT_JSON_H
#define FORMAT_JSON_H

#include "base/memory.h"
#include "base/status.h"

#define JSON_MAX_DEPTH 64
#define JSON_MAX_VALUES 4000000

typedef enum json_type { JSON_NULL, JSON_BOOL, JSON_NUMBER, JSON_STRING, JSON_ARRAY, JSON_OBJECT } json_type;

typedef struct json_value json_value;
struct json_value {
    json_type type;
    bool boolean;   /* JSON_BOOL */
    bool integral;  /* JSON_NUMBER written without fraction or exponent and within int64 */
    slice key;      /* when it is an object's member */
    slice text;     /* JSON_STRING: the value; JSON_NUMBER: as it was written */
    double number;  /* JSON_NUMBER */
    int64_t integer; /* JSON_NUMBER when integral */
    json_value *first, *next; /* children of arrays and objects, in order */
    size_t count;   /* of children */
};

/* Reads one value from `text`. FORAGE_E_JSON; the message names the byte offset and the reason, on one line. Around
 * 700 MB/s on text, about 0.1 µs a member. */
forage_status json_read(arena *a, slice text, json_value **out, base_error *error);

const json_value *json_get(const json_value *object, const char *key); /* NULL when absent or not an object */
const char *json_type_name(json_type type);                            /* "a number", "an object" … for messages */

/* Typed members with defaults, for requests: absent or null leaves *out alone; a wrong type is FORAGE_E_INVALID naming
 * the member and what was found: `"limit": expected a whole number from 0 to 1000, got "ten"`. */
forage_status json_member_string(const json_value *object, const char *key, slice *out, base_error *error);
forage_status json_member_bool(const json_value *object, const char *key, bool *out, base_error *error);
forage_status json_member_integer(const json_value *object, const char *key, int64_t low, int64_t high, int64_t *out,
                                  base_error *error);
forage_status json_member_number(const json_value *object, const char *key, double low, double high, double *out,
                                 base_error *error);
/* Refuses members that are not in the NULL-terminated list: catches misspelt options. */
forage_status json_only_members(const json_value *object, const char *const *allowed, base_error *error);

/* A short quotation of a value for messages: at most 40 bytes of text, cut at a UTF-8 boundary; arrays and objects are
 * only named. Lives in the arena. */
const char *json_quote(arena *a, const json_value *value);

/* The writer appends to a buffer and keeps track of commas. Keys and strings are escaped; invalid UTF-8 becomes U+FFFD;
 * numbers that are not finite become null. */
typedef struct json_writer {
    buffer *out;
    int depth;
    uint64_t started; /* bit d: something was written at depth d */
    bool after_key;
} json_writer;

json_writer json_writer_of(buffer *out);
void json_begin_object(json_writer *w);
void json_end_object(json_writer *w);
void json_begin_array(json_writer *w);
void json_end_array(json_writer *w);
void json_key(json_writer *w, const char *key);
void json_key_slice(json_writer *w, slice key);
void json_string(json_writer *w, slice text);
void json_text(json_writer *w, const char *text); /* NULL writes null */
void json_number(json_writer *w, double value);   /* shortest form that reads back equal */
void json_float(json_writer *w, double value);    /* six significant digits, for scores and times */
void json_integer(json_writer *w, int64_t value);
void json_bool(json_writer *w, bool value);
void json_null(json_writer *w);
void json_raw(json_writer *w, slice json); /* valid JSON, as it is */
void json_value_write(json_writer *w, const json_value *value); /* numbers as they were written */

#endif
