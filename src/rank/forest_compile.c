/* What scoring runs on: columns, nodes to walk, and the sliced programs' columns. forest_slice.c writes the programs. */
#include "rank/forest_compile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define SLICE_MAX_SLOTS 262144 /* 8 MiB of scratch */

/* ---- Columns ---- */

/* One column for each feature that is compared as a number, one for each whose zeros count as missing, one a set. */
static size_t column_key(const forest *f, const forest_node *n) {
    if (n->kind == NODE_IN || n->kind == NODE_NOT_IN) return 2 * (size_t)f->n_features + n->set;
    return 2 * (size_t)n->feature + (n->kind == NODE_ZERO);
}

/* In the order of features, as they lie in a row. */
static void find_columns(forest *f) {
    size_t n = f->root[f->n_trees], keys = 2 * (size_t)f->n_features + f->n_sets;
    uint32_t *of_key = mem_zalloc(keys + 1, sizeof *of_key), *node_of_key = mem_zalloc(keys + 1, sizeof *of_key);
    f->node_column = mem_zalloc(n + 1, sizeof *f->node_column);
    for (size_t i = 0; i < n; i++) {
        if (f->node[i].kind == NODE_LEAF) continue;
        size_t key = column_key(f, &f->node[i]);
        f->n_columns += !of_key[key];
        of_key[key] = 1;
        node_of_key[key] = (uint32_t)i;
    }
    f->column = mem_zalloc((size_t)f->n_columns + 1, sizeof *f->column);
    uint32_t used = 0;
    for (size_t key = 0; key < keys; key++) {
        if (!of_key[key]) continue;
        const forest_node *node = &f->node[node_of_key[key]];
        f->column[used] = (forest_column){.feature = node->feature, .set = node->set, .kind = node->kind};
        of_key[key] = used++;
    }
    for (size_t i = 0; i < n; i++)
        if (f->node[i].kind != NODE_LEAF) f->node_column[i] = of_key[column_key(f, &f->node[i])];
    free(of_key);
    free(node_of_key);
}

static float threshold_of(const forest_node *n) {
    return n->kind == NODE_NUMBER || n->kind == NODE_ZERO ? n->value : .5f;
}

/* ---- To walk ---- */

/* Children get neighbouring places, breadth first, so that the upper levels, where every row comes by, share lines. */
static void lay_out_walk(forest *f, uint32_t t, uint32_t *queue) {
    uint32_t first = f->root[t], put = first, taken = first;
    queue[put++] = first; /* queue[i]: the node at place i of the walk; a tree takes the same places as in `node` */
    f->walk_root[t] = first;
    uint32_t depth = 0;
    for (uint32_t level_end = put; taken < put; taken++) {
        if (taken == level_end) {
            depth++;
            level_end = put;
        }
        const forest_node *n = &f->node[queue[taken]];
        if (n->kind == NODE_LEAF) {
            f->walk[taken] = (walk_node){n->value, taken, 0};
            continue;
        }
        uint32_t column = f->node_column[queue[taken]];
        f->walk[taken] = (walk_node){threshold_of(n), put, column << 2 | (uint32_t)n->default_left << 1 | 1};
        queue[put++] = queue[taken] + 1;
        queue[put++] = n->right;
    }
    f->walk_depth[t] = depth;
}

static void make_walk(forest *f) {
    size_t n = f->root[f->n_trees];
    uint32_t *queue = mem_alloc((n + 1) * sizeof *queue);
    f->walk = mem_alloc((n + 1) * sizeof *f->walk);
    f->walk_root = mem_alloc(((size_t)f->n_trees + 1) * sizeof *f->walk_root);
    f->walk_depth = mem_alloc(((size_t)f->n_trees + 1) * sizeof *f->walk_depth);
    for (uint32_t t = 0; t < f->n_trees; t++) {
        uint32_t leaves = (f->root[t + 1] - f->root[t] + 1) / 2;
        lay_out_walk(f, t, queue);
        if (f->walk_depth[t] > f->depth) f->depth = f->walk_depth[t];
        if (leaves > f->leaves_max) f->leaves_max = leaves;
    }
    free(queue);
}

/* ---- Thresholds, and the slots of their masks ---- */

typedef struct cut {
    float value;
    uint32_t column, node;
} cut;

static int by_column_and_value(const void *a, const void *b) {
    const cut *x = a, *y = b;
    if (x->column != y->column) return x->column < y->column ? -1 : 1;
    if (x->value != y->value) return x->value < y->value ? -1 : 1;
    return (x->node > y->node) - (x->node < y->node);
}

static cut *sorted_cuts(const forest *f, size_t *n_cuts) {
    size_t n = f->root[f->n_trees], count = 0;
    cut *cuts = mem_alloc((n + 1) * sizeof *cuts);
    for (size_t i = 0; i < n; i++)
        if (f->node[i].kind != NODE_LEAF) cuts[count++] = (cut){threshold_of(&f->node[i]), f->node_column[i], (uint32_t)i};
    qsort(cuts, count, sizeof *cuts, by_column_and_value);
    *n_cuts = count;
    return cuts;
}

/* The slots of one column, whose cuts are given, and each cut's mask. */
static void place_column(forest *f, forest_column *c, const cut *cuts, size_t n, uint32_t *slot_of_node) {
    c->first = f->n_slots;
    for (size_t i = 0, end; i < n; i = end) {
        uint8_t uses = 0;
        for (end = i; end < n && cuts[end].value == cuts[i].value; end++)
            uses |= f->node[cuts[end].node].default_left ? USES_LEFT : USES_RIGHT;
        for (size_t k = i; k < end; k++)
            slot_of_node[cuts[k].node] = f->n_slots + (f->node[cuts[k].node].default_left && uses & USES_RIGHT);
        f->thresholds[c->threshold + c->n_thresholds] = cuts[i].value;
        f->uses[c->threshold + c->n_thresholds++] = uses;
        f->n_slots += (uses & USES_RIGHT) + (uses >> 1);
    }
}

static void place_columns(forest *f, uint32_t *slot_of_node) {
    size_t n_cuts;
    cut *cuts = sorted_cuts(f, &n_cuts);
    f->thresholds = mem_alloc((n_cuts + 1) * sizeof *f->thresholds);
    f->uses = mem_alloc(n_cuts + 1);
    f->n_slots = SLICE_ONES + 1;
    uint32_t used = 0;
    for (size_t i = 0, end; i < n_cuts; i = end) {
        forest_column *c = &f->column[cuts[i].column];
        for (end = i; end < n_cuts && cuts[end].column == cuts[i].column;) end++;
        c->threshold = used;
        place_column(f, c, cuts + i, end - i, slot_of_node);
        used += c->n_thresholds;
    }
    f->temporary = f->n_slots;
    free(cuts);
}

/* For a search with vectors: which of 16 blocks, then where in it. NaN, which nothing reaches, fills up. */
static void make_blocks(forest *f) {
    size_t size = 0;
    f->block = mem_zalloc((size_t)f->n_columns + 1, sizeof *f->block);
    for (uint32_t c = 0; c < f->n_columns; c++) {
        f->block[c] = (uint32_t)size;
        if (f->column[c].n_thresholds <= 256) size += 16 + (f->column[c].n_thresholds / 16 + 1) * 16;
    }
    f->blocks = mem_alloc((size + 1) * sizeof *f->blocks);
    for (size_t i = 0; i < size; i++) f->blocks[i] = NAN;
    for (uint32_t c = 0; c < f->n_columns; c++) {
        const forest_column *column = &f->column[c];
        if (column->n_thresholds > 256) continue;
        float *pivots = f->blocks + f->block[c], *fine = pivots + 16;
        memcpy(fine, f->thresholds + column->threshold, column->n_thresholds * sizeof *fine);
        for (uint32_t i = 15; i < column->n_thresholds; i += 16) pivots[i / 16] = fine[i];
    }
}

void forest_compile(forest *f) {
    size_t n = f->root[f->n_trees];
    find_columns(f);
    make_walk(f);
    if (f->leaves_max > SLICE_MAX_LEAVES || n > 2 * (size_t)SLICE_MAX_SLOTS * 64) return;
    uint32_t *slot_of_node = mem_zalloc(n + 1, sizeof *slot_of_node);
    place_columns(f, slot_of_node);
    if (f->n_slots <= SLICE_MAX_SLOTS) {
        make_blocks(f);
        slice_compile(f, slot_of_node);
    } else {
        f->n_slots = 0;
    }
    free(slot_of_node);
}
