/* Rows that are owned: grown row by row, or chosen groups of others. */
#ifndef RANK_TABLE_H
#define RANK_TABLE_H

#include "rank/rows.h"

typedef struct rank_table {
    rank_rows rows;   /* points into what is below */
    float *x, *label, *weight, *group_weight;
    uint32_t *position;
    int64_t *time;
    size_t *first;
    size_t row_capacity, group_capacity;
} rank_table;

void rank_table_init(rank_table *t, uint32_t n_features);
void rank_table_release(rank_table *t);

/* Rows belong to the group begun last (an assert). x: n_features, copied. */
void rank_table_begin_group(rank_table *t, float group_weight, int64_t time);
void rank_table_add(rank_table *t, const float *x, float label, float weight, uint32_t position);

/* A copy of chosen groups, in the order given. */
void rank_table_take(rank_table *t, const rank_rows *from, const size_t *groups, size_t n);

/* FORAGE_E_INVALID: first out of order, a label or weight that is negative or not finite, labels beyond `most_label`.
 * Messages name the row and the group. */
forage_status rank_rows_check(const rank_rows *rows, float most_label, base_error *error);

/* Splits by groups, drawn from the seed: about one in `parts` goes to `held`, the others to `kept`. At least one to each, given two. */
void rank_table_split(const rank_rows *from, uint32_t parts, uint32_t part, uint64_t seed, rank_table *kept, rank_table *held);

#endif
