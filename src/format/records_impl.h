/* The reader's window on its input, which the formats share. */
#ifndef FORMAT_RECORDS_IMPL_H
#define FORMAT_RECORDS_IMPL_H

#include "format/inflate.h"

typedef enum array_state { ARRAY_NONE, ARRAY_FIRST, ARRAY_AFTER } array_state;

struct records_reader {
    inflater *input;
    slice memory; /* what is left of it, for records_open_memory */
    records_format format;
    size_t limit;

    buffer window; /* bytes read and not yet given out, from `at` on */
    size_t at;
    uint64_t line;  /* of the byte at `at` */
    bool ended;     /* nothing follows the window */
    bool started;   /* the format is known */
    bool over;      /* the stream is over, after its end or an error */
    array_state array;

    /* CSV and TSV */
    char delimiter;
    arena names;
    slice *columns; /* the keys as JSON with their colon; empty for a column without a name */
    size_t column_count;
    buffer record, cell;
};

static inline const char *window_at(const records_reader *r) { return r->window.data + r->at; }
static inline size_t window_size(const records_reader *r) { return r->window.size - r->at; }

forage_status window_more(records_reader *r, base_error *error); /* more bytes, or `ended` */
void window_skip(records_reader *r, size_t size);                /* counts the lines */

/* The offset of the next line end at or after `from`, or of the input's end. When it lies more than the limit away,
 * *too_long is set and the offset is somewhere inside the line. */
forage_status window_line(records_reader *r, size_t from, size_t *end, bool *too_long, base_error *error);
forage_status window_skip_line(records_reader *r, base_error *error); /* through the next line end */

/* The error of a record that the rest of the stream can go on after. */
forage_status record_too_large(const records_reader *r, uint64_t line, bool *recoverable, base_error *error);

forage_status csv_read_header(records_reader *r, base_error *error);
forage_status csv_next(records_reader *r, slice *json, uint64_t *line, bool *recoverable, base_error *error);

#endif
