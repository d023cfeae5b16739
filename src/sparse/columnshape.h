/* Columns of a segment in shapes that answer what the columns themselves tell only place by place. */
#ifndef SPARSE_COLUMNSHAPE_H
#define SPARSE_COLUMNSHAPE_H

#include "sparse/bitmap.h"
#include "sparse/segment.h"

#define COLUMN_SAMPLE 64 /* places per sample of an order */

/* The places that have a number, by number (equal ones by place). */
typedef struct column_order {
    const double *numbers; /* the column */
    uint32_t n;
    uint32_t *places;
    double *samples; /* the number of places[i · COLUMN_SAMPLE] */
} column_order;

size_t column_order_bytes(uint32_t count); /* at most, for a column of so many places; as much again while it is made */
column_order *column_order_create(const double *numbers, uint32_t count); /* the numbers must outlive it */
void column_order_destroy(column_order *o);                              /* NULL is a no-op */

/* places[from … to) have low <= number <= high. from == to when none has. */
void column_order_range(const column_order *o, double low, double high, uint32_t *from, uint32_t *to);

#define COLUMN_FEW 16 /* values whose places are kept as sets */

/* How often each value of a keyword column occurs, dead places included. */
typedef struct column_counts {
    bool single;     /* every place has exactly one value: ordinals[p] is its */
    bitmap **places; /* the places of each value; NULL when there are more than COLUMN_FEW */
    uint32_t counts[];
} column_counts;

size_t column_counts_bytes(const sparse_keywords *column, uint32_t count); /* at most */
column_counts *column_counts_create(const sparse_keywords *column, uint32_t count);
void column_counts_destroy(column_counts *c, uint32_t n_values); /* NULL is a no-op */

#endif
