/* Scoring by walking down: one row at a time by the rules of the file (the oracle), and sixteen in step. */
#include "rank/forest_internal.h"

bool forest_goes_left(const forest *f, const forest_node *n, const float *row) {
    float x = forest_feature(f, row, n->feature);
    bool missing = isnan(x) || (n->kind == NODE_ZERO && x >= -FOREST_ZERO && x <= FOREST_ZERO);
    if (missing) return n->default_left;
    if (n->kind == NODE_IN) return forest_is_in(f, n->set, x);
    if (n->kind == NODE_NOT_IN) return x < 0 || !forest_is_in(f, n->set, x);
    return x < n->value;
}

void forest_score_scalar(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores) {
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        const float *row = x + i * stride;
        float sum = f->base;
        for (uint32_t t = 0; t < f->n_trees; t++) {
            const forest_node *node = f->node + f->root[t];
            while (node->kind != NODE_LEAF) node = forest_goes_left(f, node, row) ? node + 1 : f->node + node->right;
            sum += node->value;
        }
        scores[i] = sum;
    }
}

/* The tile is column-major: n_columns × FOREST_TILE. Rows beyond the last repeat it. */
static void fill_tile(const forest *f, const float *x, size_t n, size_t stride, float *tile) {
    for (uint32_t c = 0; c < f->n_columns; c++) {
        const forest_column *column = &f->column[c];
        uint32_t source = f->source[column->feature];
        for (size_t d = 0; d < FOREST_TILE; d++) {
            float value = source == FOREST_ABSENT ? NAN : x[(d < n ? d : n - 1) * stride + source];
            tile[c * FOREST_TILE + d] = column->kind == NODE_NUMBER ? value : forest_column_value(f, column, value);
        }
    }
}

static void walk_tile(const forest *f, const float *tile, float *sums) {
    const walk_node *nodes = f->walk;
    for (uint32_t t = 0; t < f->n_trees; t++) {
        uint32_t at[FOREST_TILE];
        for (size_t d = 0; d < FOREST_TILE; d++) at[d] = f->walk_root[t];
        for (uint32_t level = f->walk_depth[t]; level; level--)
            for (size_t d = 0; d < FOREST_TILE; d++) {
                walk_node node = nodes[at[d]];
                float value = tile[(node.column >> 2) * FOREST_TILE + d];
                uint32_t right = !(value < node.value) & !((value != value) & (node.column >> 1));
                at[d] = node.child + (right & node.column);
            }
        for (size_t d = 0; d < FOREST_TILE; d++) sums[d] += nodes[at[d]].value;
    }
}

void forest_score_interleaved(const forest *f, const float *x, size_t n, size_t stride, void *scratch, float *scores) {
    float *tile = scratch;
    for (size_t first = 0; first < n; first += FOREST_TILE) {
        size_t rows = n - first < FOREST_TILE ? n - first : FOREST_TILE;
        float sums[FOREST_TILE];
        for (size_t d = 0; d < FOREST_TILE; d++) sums[d] = f->base;
        fill_tile(f, x + first * stride, rows, stride, tile);
        walk_tile(f, tile, sums);
        for (size_t d = 0; d < rows; d++) scores[first + d] = sums[d];
    }
}
