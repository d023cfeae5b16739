/* A tree as a program of bitwise selections (if-conversion: control flow becomes data flow; Allen, Kennedy, Porterfield &
 * Warren 1983).
 *
 * Each row is one bit of a word. A split has a mask: the rows that it sends left. A leaf has a number; the program leaves
 * these numbers' bits, plane by plane: plane p of a split is mask ? plane p of its left side : of its right side, bottom up.
 * There is no branch, and the same few hundred operations serve as many rows as a word has bits.
 *
 * How leaves are numbered decides how many operations that takes. Where a subtree of height h has 2^h numbers of its own,
 * it can be numbered by the way down, bit h − 1 for its root, 1 for left: then that plane is the root's mask, at no cost; a
 * child of less height leaves planes free, which cost nothing either (a leaf then answers to several numbers). A bushy tree so
 * takes about one operation a split. Trees grown leaf by leaf are too deep to be numbered so as a whole. So first every leaf is
 * a block of height 0; then siblings are merged into blocks, those that waste the fewest numbers first, while all blocks
 * together fit 2^planes. Placed by falling size, blocks are aligned. Splits above them select all planes. */
#include "rank/forest_compile.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { FREE = UINT32_MAX }; /* a plane that may be anything */

typedef struct tree_work {
    const forest *f;
    uint32_t first, n;            /* nodes of the tree */
    const uint32_t *slot_of_node; /* of the forest */
    uint8_t *height;              /* n: of a block, where `block` says that the node is in one */
    bool *block, *root;           /* n: inside a block; its root */
    uint32_t *base;               /* n: a block's first number */
    slice_op *op;
    size_t n_ops, room;
    uint32_t planes, start; /* start: first operation of this tree */
} tree_work;

static const forest_node *node_at(const tree_work *w, uint32_t i) { return &w->f->node[w->first + i]; }
static uint32_t right_of(const tree_work *w, uint32_t i) { return node_at(w, i)->right - w->first; }

static uint32_t planes_for(uint32_t leaves) {
    uint32_t planes = 0;
    while ((1u << planes) < leaves) planes++;
    return planes;
}

/* Merges siblings into blocks. From the last node on, children are seen before their parents. */
static void merge_blocks(tree_work *w) {
    uint32_t leaves = (w->n + 1) / 2, left = (1u << w->planes) - leaves;
    for (uint32_t i = 0; i < w->n; i++) {
        w->root[i] = w->block[i] = node_at(w, i)->kind == NODE_LEAF;
        w->height[i] = 0;
    }
    for (uint32_t waste = 0; waste <= 1u << w->planes; waste = waste ? 2 * waste : 1) {
        for (uint32_t i = w->n; i-- > 0;) {
            if (w->block[i]) continue;
            uint32_t a = i + 1, b = right_of(w, i);
            if (!w->root[a] || !w->root[b]) continue;
            uint32_t height = (w->height[a] > w->height[b] ? w->height[a] : w->height[b]) + 1u;
            uint32_t more = (1u << height) - (1u << w->height[a]) - (1u << w->height[b]);
            if (more > waste || more > left) continue;
            left -= more;
            w->height[i] = (uint8_t)height;
            w->block[i] = w->root[i] = true;
            w->root[a] = w->root[b] = false;
        }
    }
}

static void number_blocks(tree_work *w) {
    uint32_t next = 0;
    for (uint32_t height = w->planes + 1; height-- > 0;)
        for (uint32_t i = 0; i < w->n; i++)
            if (w->root[i] && w->height[i] == height) {
                w->base[i] = next;
                next += 1u << height;
            }
    assert(next <= 1u << w->planes);
}

/* ---- The program ---- */

static uint32_t choose(tree_work *w, uint32_t mask, uint32_t a, uint32_t b) {
    if (a == FREE) return b;
    if (b == FREE || a == b) return a;
    if (a == SLICE_ONES && b == SLICE_ZEROS) return mask;
    w->op = mem_grow(w->op, &w->room, w->n_ops + 1, sizeof *w->op);
    w->op[w->n_ops] = (slice_op){mask, a, b};
    return w->f->temporary + (uint32_t)(w->n_ops++ - w->start);
}

/* The planes of subtree i, into `out`. */
static void emit(tree_work *w, uint32_t i, uint32_t *out) {
    for (uint32_t p = 0; p < w->planes; p++) out[p] = FREE;
    if (node_at(w, i)->kind != NODE_LEAF) {
        uint32_t b[SLICE_MAX_PLANES], mask = w->slot_of_node[w->first + i];
        emit(w, i + 1, out);
        emit(w, right_of(w, i), b);
        uint32_t own = w->block[i] ? w->height[i] - 1u : w->planes;
        for (uint32_t p = 0; p < own; p++) out[p] = choose(w, mask, out[p], b[p]);
        if (w->block[i]) out[own] = mask;
    }
    if (w->root[i])
        for (uint32_t p = w->height[i]; p < w->planes; p++) out[p] = w->base[i] >> p & 1 ? SLICE_ONES : SLICE_ZEROS;
}

/* ---- The table ---- */

static void fill_table(const tree_work *w, float *table) {
    for (uint32_t i = 0; i < w->n; i++)
        for (uint32_t code = 0; w->root[i] && code < 1u << w->height[i]; code++) {
            uint32_t at = i;
            while (node_at(w, at)->kind != NODE_LEAF)
                at = code >> (w->height[at] - 1) & 1 ? at + 1 : right_of(w, at);
            table[w->base[i] + code] = node_at(w, at)->value;
        }
}

static void split_bytes(const float *table, uint32_t size, uint8_t *bytes) {
    for (uint32_t i = 0; i < size; i++) {
        uint32_t bits;
        memcpy(&bits, &table[i], 4);
        for (uint32_t k = 0; k < 4; k++) bytes[k * size + i] = (uint8_t)(bits >> 8 * k);
    }
}

static void write_program(tree_work *w, slice_tree *s) {
    w->n_ops = w->start;
    merge_blocks(w);
    number_blocks(w);
    emit(w, 0, s->plane);
}

static void compile_tree(forest *f, tree_work *w, uint32_t t, size_t *table_used, size_t *table_room, size_t *byte_room) {
    slice_tree *s = &f->slice[t];
    w->first = f->root[t];
    w->n = f->root[t + 1] - w->first;
    w->planes = planes_for((w->n + 1) / 2);
    w->start = (uint32_t)w->n_ops;
    *s = (slice_tree){.op = w->start, .table = (uint32_t)*table_used};
    write_program(w, s);
    /* With one plane more there is room for numbers that cost nothing; a lookup then costs a little more. */
    if (w->n_ops - w->start > w->n && w->planes >= 4 && w->planes < 8) {
        w->planes++;
        write_program(w, s);
    }
    s->n_planes = w->planes;
    uint32_t size = w->planes < 4 ? 16 : 1u << w->planes;
    for (uint32_t p = 0; p < w->planes; p++)
        if (s->plane[p] == FREE) s->plane[p] = SLICE_ZEROS;
    s->n_ops = (uint32_t)w->n_ops - w->start;
    f->table = mem_grow(f->table, table_room, *table_used + size, sizeof *f->table);
    f->table_bytes = mem_grow(f->table_bytes, byte_room, 4 * (*table_used + size), 1);
    memset(f->table + *table_used, 0, size * sizeof *f->table);
    fill_table(w, f->table + *table_used);
    split_bytes(f->table + *table_used, size, f->table_bytes + 4 * *table_used);
    *table_used += size;
}

/* Rows from which a block of 64 costs less than letting each walk, in about cycles. */
static uint32_t worth_from(const forest *f, size_t n_ops) {
    double walk = 1, block = 2.0 * f->n_slots + 3.0 * (double)n_ops;
    for (uint32_t t = 0; t < f->n_trees; t++) walk += 4.0 * f->walk_depth[t] + 2;
    return (uint32_t)fmin(1 + block / walk, 1e9);
}

void slice_compile(forest *f, const uint32_t *slot_of_node) {
    uint32_t widest = 2 * f->leaves_max + 1;
    size_t table_used = 0, table_room = 0, byte_room = 0;
    uint32_t most = 0;
    tree_work w = {.f = f, .slot_of_node = slot_of_node};
    w.height = mem_alloc(widest);
    w.block = mem_alloc(widest * sizeof *w.block);
    w.root = mem_alloc(widest * sizeof *w.root);
    w.base = mem_alloc(widest * sizeof *w.base);
    f->slice = mem_alloc(((size_t)f->n_trees + 1) * sizeof *f->slice);
    for (uint32_t t = 0; t < f->n_trees; t++) {
        compile_tree(f, &w, t, &table_used, &table_room, &byte_room);
        if (f->slice[t].n_ops > most) most = f->slice[t].n_ops;
    }
    f->op = w.op;
    f->sliced_from = worth_from(f, w.n_ops);
    for (uint32_t c = 0; c < f->n_columns; c++) /* ranks are sorted out where the temporaries will be */
        if (f->column[c].n_thresholds + SLICE_RANKS > most) most = f->column[c].n_thresholds + SLICE_RANKS;
    f->n_slots = f->temporary + most;
    free(w.height);
    free(w.block);
    free(w.root);
    free(w.base);
}
