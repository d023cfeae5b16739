/* Describing candidates: from what was found and what is known to rows of numbers, column by column (ranker_columns.h). */
#ifndef FUNNEL_DESCRIBE_H
#define FUNNEL_DESCRIBE_H

#include "funnel/ranker_columns.h"
#include "sparse/segment.h"

struct funnel_answer;

/* The core's columns. */
extern const columns_column funnel_core[];

/* What the index has of a candidate. */
typedef struct describe_indexed {
    uint32_t type;    /* its place among the collection's types, by number of documents; UINT32_MAX: none */
    float popularity; /* 0 to 1 */
    uint64_t version; /* 0: it is in the index no more */
    const sparse_segment *segment;
    uint32_t place;
} describe_indexed;
/* Of every candidate, looked up once. */
const describe_indexed *describe_look_up(struct funnel_answer *a);

/* Makes a->features, n_candidates × a->columns->n, and fills the core of every row; the rest is NaN. */
void funnel_describe_core(struct funnel_answer *a);
/* The values that somebody else's candidate brings overrule what is known here: columns from to end - 1 of its row. */
void funnel_describe_given(struct funnel_answer *a, uint32_t candidate, uint32_t from, uint32_t end);
/* FORAGE_E_INVALID names a value that no column is called by. */
forage_status funnel_check_given(const struct funnel_answer *a, base_error *error);
/* Fills the other columns of these candidates, once: a row that is full already is passed over. */
void funnel_describe_rest(struct funnel_answer *a, const uint32_t *candidates, size_t n);
/* What the columns of each source cost, measured so far: microseconds a request and a candidate. */
struct funnel;
void funnel_column_costs(struct funnel *f, double per_request[COLUMNS_SOURCES], double per_candidate[COLUMNS_SOURCES]);

#endif
