/* SVMlight ranking files, as LETOR, LightGBM, RankLib and XGBoost read them: one row a line, rows of one request together.
 *
 *     label qid:7 1:0.5 4:-2e-3 # comment          index from 1, increasing; a feature that is not named is 0
 *
 * Read: plain, gzip or zstd (told by the first bytes), lines ending in \n or \r\n, a byte order mark before the first. Empty lines
 * and lines that begin with # are passed over; after # on a line comes a comment. Numbers are decimal, with an exponent if need be, in
 * every locale; "nan" as a feature's value is a missing one (NaN), "inf" and what no float can hold are refused. A label is any
 * finite number. In a comment, `position=3` and `weight=2.5` (blanks around them) are read as the row's position and weight.
 *
 * Refused, with the line's number (FORAGE_E_INVALID): a line without label or qid, an index of 0, out of order or twice, a number
 * that is none, a qid that comes back after another, a file without rows. FORAGE_E_TOO_LARGE: a line, an index, or a matrix beyond
 * the limits below.
 *
 * A value belongs to one thread at a time. Reading takes the matrix and about twice the file, at some 200 MB/s. */
#ifndef FORMAT_SVMLIGHT_H
#define FORMAT_SVMLIGHT_H

#include "format/records.h"

typedef struct svmlight_options {
    uint32_t n_features;     /* at least so many columns, so that a second file fits the first */
    uint32_t feature_limit;  /* the largest index; 0: 100,000 */
    size_t line_limit;       /* bytes; 0: 16 MiB */
    size_t matrix_limit;     /* bytes of x; 0: 8 GiB */
    uint64_t inflated_limit; /* bytes after decompression; 0: 64 GiB */
    bool absent_is_missing;  /* a feature that is not named is NaN, not 0 */
} svmlight_options;

typedef struct svmlight_rows {
    uint32_t n_features;
    size_t n_rows, n_groups;
    float *x;           /* n_rows × n_features, row-major */
    float *label;       /* n_rows */
    size_t *first;      /* n_groups + 1: the rows of group g are first[g] … first[g + 1] − 1 */
    uint64_t *qid;      /* n_groups */
    float *weight;      /* n_rows, 1 where a comment names none; NULL: none does */
    uint32_t *position; /* n_rows, from 1, 0 where a comment names none; NULL: none does */
} svmlight_rows;

/* `options` may be NULL. Every message begins with "line N: ", but for those of the source. */
forage_status svmlight_read(records_source source, void *self, const svmlight_options *options, svmlight_rows *out,
                            base_error *error);
forage_status svmlight_read_memory(slice bytes, const svmlight_options *options, svmlight_rows *out, base_error *error);
void svmlight_release(svmlight_rows *rows); /* no-op on a zeroed one */

/* Appends the rows, values that are 0 left out, NaN as "nan"; what it writes reads back equal, but for features of the
 * highest indices that are 0 throughout. names: n_features of them for a comment at the top ("# 1:title 2:price"), NULL: none. */
void svmlight_write(const svmlight_rows *rows, const char *const *names, buffer *out);

#endif
