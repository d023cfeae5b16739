/* Describing candidates: from what was found and what is known to rows of numbers, column by column (columns.h). */
#ifndef FUNNEL_DESCRIBE_H
#define FUNNEL_DESCRIBE_H

#include "funnel/columns.h"

struct funnel_answer;

/* The core's columns. */
extern const columns_column funnel_core[];

/* Makes a->features, n_candidates × a->columns->n, and fills the core of every row; the rest is NaN. */
void funnel_describe_core(struct funnel_answer *a);
/* Fills the other columns of these candidates, once: a row that is full already is passed over. */
void funnel_describe_rest(struct funnel_answer *a, const uint32_t *candidates, size_t n);
/* What the columns of each source cost, measured so far: microseconds a request and a candidate. */
struct funnel;
void funnel_column_costs(struct funnel *f, double per_request[COLUMNS_SOURCES], double per_candidate[COLUMNS_SOURCES]);

#endif
