#include "rank/table.h"

#include "base/random.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

void rank_table_init(rank_table *t, uint32_t n_features) {
    memset(t, 0, sizeof *t);
    t->first = mem_zalloc(1, sizeof *t->first);
    t->rows = (rank_rows){.n_features = n_features, .first = t->first};
}

void rank_table_release(rank_table *t) {
    free(t->x);
    free(t->label);
    free(t->weight);
    free(t->group_weight);
    free(t->position);
    free(t->time);
    free(t->first);
    memset(t, 0, sizeof *t);
}

static void point(rank_table *t) {
    t->rows.x = t->x;
    t->rows.label = t->label;
    t->rows.weight = t->weight;
    t->rows.position = t->position;
    t->rows.group_weight = t->group_weight;
    t->rows.time = t->time;
    t->rows.first = t->first;
}

static void grow_groups(rank_table *t, size_t need) {
    size_t capacity = t->group_capacity ? t->group_capacity : 16;
    if (need <= t->group_capacity) return;
    while (capacity < need) capacity *= 2;
    t->first = mem_realloc(t->first, (capacity + 1) * sizeof *t->first);
    t->group_weight = mem_realloc(t->group_weight, capacity * sizeof *t->group_weight);
    t->time = mem_realloc(t->time, capacity * sizeof *t->time);
    t->group_capacity = capacity;
}

static void grow_rows(rank_table *t, size_t need) {
    size_t capacity = t->row_capacity ? t->row_capacity : 64, F = t->rows.n_features;
    if (need <= t->row_capacity) return;
    while (capacity < need) capacity *= 2;
    t->x = mem_realloc(t->x, (capacity * F + 1) * sizeof *t->x);
    t->label = mem_realloc(t->label, capacity * sizeof *t->label);
    t->weight = mem_realloc(t->weight, capacity * sizeof *t->weight);
    t->position = mem_realloc(t->position, capacity * sizeof *t->position);
    t->row_capacity = capacity;
}

void rank_table_begin_group(rank_table *t, float group_weight, int64_t time) {
    size_t g = t->rows.n_groups++;
    grow_groups(t, g + 1);
    t->group_weight[g] = group_weight;
    t->time[g] = time;
    t->first[g + 1] = t->first[g];
    point(t);
}

void rank_table_add(rank_table *t, const float *x, float label, float weight, uint32_t position) {
    assert(t->rows.n_groups > 0);
    size_t row = t->rows.n_rows++, F = t->rows.n_features;
    grow_rows(t, row + 1);
    memcpy(t->x + row * F, x, F * sizeof *x);
    t->label[row] = label;
    t->weight[row] = weight;
    t->position[row] = position;
    t->first[t->rows.n_groups] = row + 1;
    point(t);
}

void rank_table_take(rank_table *t, const rank_rows *from, const size_t *groups, size_t n) {
    rank_table_init(t, from->n_features);
    for (size_t i = 0; i < n; i++) {
        size_t g = groups[i];
        rank_table_begin_group(t, from->group_weight ? from->group_weight[g] : 1, from->time ? from->time[g] : (int64_t)g);
        for (size_t row = from->first[g]; row < from->first[g + 1]; row++)
            rank_table_add(t, from->x + row * from->n_features, from->label[row], from->weight ? from->weight[row] : 1,
                           from->position ? from->position[row] : 0);
    }
}

forage_status rank_rows_check(const rank_rows *rows, float most_label, base_error *error) {
    if (rows->n_groups == 0 || rows->n_rows == 0) return error_set(error, FORAGE_E_INVALID, "there are no rows");
    if (rows->n_features == 0) return error_set(error, FORAGE_E_INVALID, "the rows have no features");
    if (rows->n_rows > INT32_MAX) return error_set(error, FORAGE_E_TOO_LARGE, "more than 2,147,483,647 rows");
    if (rows->first[0] != 0 || rows->first[rows->n_groups] != rows->n_rows)
        return error_set(error, FORAGE_E_INVALID, "the groups do not cover the rows");
    for (size_t g = 0; g < rows->n_groups; g++) {
        float weight = rows->group_weight ? rows->group_weight[g] : 1;
        if (rows->first[g + 1] < rows->first[g]) return error_set(error, FORAGE_E_INVALID, "group %zu: ends before it starts", g + 1);
        if (!(weight >= 0 && isfinite(weight)))
            return error_set(error, FORAGE_E_INVALID, "group %zu: weight: expected 0 or more, got %g", g + 1, (double)weight);
        for (size_t row = rows->first[g]; row < rows->first[g + 1]; row++) {
            float label = rows->label[row], w = rows->weight ? rows->weight[row] : 1;
            if (!(label >= 0 && label <= most_label))
                return error_set(error, FORAGE_E_INVALID, "group %zu, row %zu: label: expected 0 to %g, got %g", g + 1, row + 1,
                                 (double)most_label, (double)label);
            if (!(w >= 0 && isfinite(w)))
                return error_set(error, FORAGE_E_INVALID, "group %zu, row %zu: weight: expected 0 or more, got %g", g + 1,
                                 row + 1, (double)w);
        }
    }
    return FORAGE_OK;
}

/* A shuffled deal: every part gets as many groups as any other, or one more. */
void rank_table_split(const rank_rows *from, uint32_t parts, uint32_t part, uint64_t seed, rank_table *kept, rank_table *held) {
    size_t n = from->n_groups, n_kept = 0, n_held = 0;
    uint32_t *place = mem_alloc((n + 1) * sizeof *place);
    size_t *groups = mem_alloc((2 * n + 1) * sizeof *groups);
    random_source random;
    random_seed(&random, seed);
    for (size_t i = 0; i < n; i++) place[i] = (uint32_t)(i % parts);
    for (size_t i = n; i > 1; i--) {
        size_t j = (size_t)random_below(&random, i);
        uint32_t swap = place[i - 1];
        place[i - 1] = place[j];
        place[j] = swap;
    }
    for (size_t i = 0; i < n; i++) {
        if (place[i] == part) groups[n + n_held++] = i;
        else groups[n_kept++] = i;
    }
    rank_table_take(kept, from, groups, n_kept);
    rank_table_take(held, from, groups + n, n_held);
    free(place);
    free(groups);
}
