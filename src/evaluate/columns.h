/* Text in lines and columns, as judgments and runs are written. */
#ifndef EVALUATE_COLUMNS_H
#define EVALUATE_COLUMNS_H

#include "base/memory.h"

typedef struct line_reader {
    slice rest;
    uint64_t number; /* of the line last read, from 1 */
} line_reader;

line_reader line_reader_of(slice text); /* a UTF-8 byte order mark is skipped */

/* The next line without its end (\n or \r\n). False at the end. */
bool line_next(line_reader *r, slice *line);

/* Splits at runs of white space, or at every single tab. Returns the number of columns; the first `limit` are stored.
 * */
size_t columns_split(slice line, slice *columns, size_t limit);
size_t columns_split_tabs(slice line, slice *columns, size_t limit);

bool column_whole(slice column, int *out); /* within +-1,000,000 */

/* A decimal number, read the same in every locale; beyond double it is infinite. */
bool column_number(slice column, double *out);

#endif
