/* The sliced programs on any machine: a block is 64 rows, the bits of one word. */
#include "rank/forest_sliced.h"

static void score_block(const forest *f, const float *x, size_t n, size_t stride, uint64_t *slots, float *scores) {
    float values[64], sums[64];
    uint64_t *ranks = slots + f->temporary;
    slots[SLICE_ZEROS] = 0;
    slots[SLICE_ONES] = UINT64_MAX;
    for (uint32_t c = 0; c < f->n_columns; c++) {
        const forest_column *column = &f->column[c];
        const float *thresholds = f->thresholds + column->threshold;
        sliced_values(f, column, x, n, stride, values);
        memset(ranks, 0, (column->n_thresholds + SLICE_RANKS) * sizeof *ranks);
        for (size_t d = 0; d < n; d++) {
            uint32_t rank = sliced_rank(thresholds, column->n_thresholds, values[d]);
            if (isnan(values[d])) rank = column->n_thresholds + 1;
            ranks[rank] |= 1ull << d;
        }
        sliced_unite(f, column, ranks, slots, 1);
    }
    for (size_t d = 0; d < 64; d++) sums[d] = f->base;
    for (uint32_t t = 0; t < f->n_trees; t++) {
        const slice_tree *s = &f->slice[t];
        sliced_run(f->op + s->op, s->n_ops, slots, slots + f->temporary, 1);
        for (size_t g = 0; 8 * g < n; g++) sliced_add8(f, s, slots, 1, g, sums);
    }
    memcpy(scores, sums, n * sizeof *sums);
}

void forest_score_sliced(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores) {
    for (size_t first = 0; first < n; first += 64)
        score_block(f, x + first * stride, n - first < 64 ? n - first : 64, stride, scratch, scores + first);
}
