/* From a file's trees to the forest's: every child is looked at once and laid out in preorder, so that whatever a file claims, what
 * comes out is a tree. */
#include "rank/forest_internal.h"

#include <assert.h>
#include <locale.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void forest_destroy(forest *f) {
    if (!f) return;
    for (uint32_t i = 0; f->names && i < f->n_features; i++) free(f->names[i]);
    void *blocks[] = {f->objective, f->names,      f->source,     f->root,       f->node,   f->set_first, f->set_words,
                      f->column,    f->node_column, f->walk,       f->walk_root,  f->walk_depth, f->thresholds, f->uses,
                      f->blocks,    f->block,      f->op,         f->slice,      f->table,  f->table_bytes, f};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; i++) free(blocks[i]);
}

static locale_t c_locale;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

bool forest_number(slice text, double *out) {
    char copy[64], *end;
    if (!text.size || text.size >= sizeof copy) return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = 0;
    pthread_once(&once, make_locale);
    *out = strtod_l(copy, &end, c_locale);
    return end == copy + text.size && isfinite(*out);
}

void forest_build_begin(forest_builder *b, enum forest_library library, uint32_t n_features, base_error *error) {
    assert(n_features <= FOREST_MAX_FEATURES);
    *b = (forest_builder){.f = mem_zalloc(1, sizeof *b->f), .error = error};
    b->f->library = (uint8_t)library;
    b->f->n_features = b->f->n_columns_in = n_features;
    b->f->names = mem_zalloc(n_features + 1, sizeof *b->f->names);
    b->f->source = mem_zalloc(n_features + 1, sizeof *b->f->source);
    for (uint32_t i = 0; i < n_features; i++) b->f->source[i] = i;
    b->f->has_cover = true;
}

void forest_build_name(forest_builder *b, uint32_t i, slice name) {
    assert(i < b->f->n_features);
    free(b->f->names[i]);
    b->f->names[i] = mem_strndup(name.data, name.size);
}

uint32_t forest_build_set(forest_builder *b, const uint32_t *words, size_t n) {
    forest *f = b->f;
    f->set_first = mem_grow(f->set_first, &b->set_room, (size_t)f->n_sets + 2, sizeof *f->set_first);
    f->set_words = mem_grow(f->set_words, &b->word_room, b->words + n + 1, sizeof *f->set_words);
    f->set_first[f->n_sets] = (uint32_t)b->words;
    if (n) memcpy(f->set_words + b->words, words, n * sizeof *words);
    b->words += n;
    f->set_first[f->n_sets + 1] = (uint32_t)b->words;
    b->owner = mem_grow(b->owner, &b->owner_room, (size_t)f->n_sets + 1, sizeof *b->owner);
    b->owner[f->n_sets] = UINT64_MAX;
    return f->n_sets++;
}

uint32_t forest_build_empty_set(forest_builder *b, uint32_t feature) {
    if (!b->empty_set) {
        b->empty_set = mem_alloc(((size_t)b->f->n_features + 1) * sizeof *b->empty_set);
        memset(b->empty_set, 0xff, b->f->n_features * sizeof *b->empty_set);
    }
    if (b->empty_set[feature] == UINT32_MAX) b->empty_set[feature] = forest_build_set(b, NULL, 0);
    return b->empty_set[feature];
}

static forage_status check_node(const forest_builder *b, const raw_node *nodes, size_t n, size_t at) {
    const raw_node *r = &nodes[at];
    uint32_t t = b->f->n_trees;
    if (!isfinite(r->node.value) && (r->node.kind == NODE_LEAF || isnan(r->node.value)))
        return error_set(b->error, FORAGE_E_INVALID, "tree %u, node %zu: its %s is not a number", t, at,
                         r->node.kind == NODE_LEAF ? "value" : "threshold");
    if (r->node.kind == NODE_LEAF) return FORAGE_OK;
    if (r->left < 0 || r->right < 0 || (uint64_t)r->left >= n || (uint64_t)r->right >= n)
        return error_set(b->error, FORAGE_E_INVALID, "tree %u, node %zu: children %lld and %lld of %zu nodes", t, at,
                         (long long)r->left, (long long)r->right, n);
    if (r->node.feature >= b->f->n_features)
        return error_set(b->error, FORAGE_E_INVALID, "tree %u, node %zu: feature %u of %u", t, at, r->node.feature,
                         b->f->n_features);
    if (r->node.kind != NODE_IN && r->node.kind != NODE_NOT_IN) return FORAGE_OK;
    uint64_t owner = (uint64_t)r->node.feature << 8 | r->node.kind, *of = &b->owner[r->node.set];
    if (*of != UINT64_MAX && *of != owner)
        return error_set(b->error, FORAGE_E_INVALID, "tree %u, node %zu: its categories are another feature's", t, at);
    *of = owner;
    return FORAGE_OK;
}

/* The nodes on the way to the present one whose right child is to come. */
typedef struct pending {
    size_t child;    /* in the file */
    uint32_t parent; /* in the forest */
    uint32_t depth;  /* of the child */
} pending;

/* Preorder without recursion: go left, remember the right. */
static forage_status lay_out(forest_builder *b, const raw_node *nodes, size_t n, uint8_t *seen) {
    forest *f = b->f;
    pending stack[FOREST_MAX_DEPTH + 1] = {{0, UINT32_MAX, 0}};
    size_t height = 1;
    while (height) {
        pending next = stack[--height];
        if (next.parent != UINT32_MAX) f->node[next.parent].right = (uint32_t)b->nodes;
        for (size_t at = next.child, depth = next.depth;; depth++) {
            forage_status status = check_node(b, nodes, n, at);
            if (status) return status;
            if (seen[at]++)
                return error_set(b->error, FORAGE_E_INVALID, "tree %u: node %zu is reached twice", f->n_trees, at);
            if (depth > FOREST_MAX_DEPTH)
                return error_set(b->error, FORAGE_E_INVALID, "tree %u: deeper than %d", f->n_trees, FOREST_MAX_DEPTH);
            if (b->nodes >= FOREST_MAX_NODES)
                return error_set(b->error, FORAGE_E_INVALID, "more than %d nodes", FOREST_MAX_NODES);
            f->node = mem_grow(f->node, &b->node_room, b->nodes + 1, sizeof *f->node);
            f->node[b->nodes] = nodes[at].node;
            f->node[b->nodes].right = 0;
            if (!(f->node[b->nodes].cover >= 0 && isfinite(f->node[b->nodes].cover))) f->has_cover = false;
            if (!isfinite(f->node[b->nodes].gain)) f->node[b->nodes].gain = 0;
            if (nodes[at].node.kind == NODE_LEAF) {
                b->nodes++;
                break;
            }
            stack[height++] = (pending){(size_t)nodes[at].right, (uint32_t)b->nodes++, (uint32_t)depth + 1};
            at = (size_t)nodes[at].left;
        }
    }
    return FORAGE_OK;
}

forage_status forest_build_tree(forest_builder *b, const raw_node *nodes, size_t n) {
    forest *f = b->f;
    if (!n) return error_set(b->error, FORAGE_E_INVALID, "tree %u: no nodes", f->n_trees);
    if (f->n_trees >= FOREST_MAX_TREES)
        return error_set(b->error, FORAGE_E_INVALID, "more than %d trees", FOREST_MAX_TREES);
    f->root = mem_grow(f->root, &b->tree_room, (size_t)f->n_trees + 2, sizeof *f->root);
    f->root[f->n_trees] = (uint32_t)b->nodes;
    uint8_t *seen = mem_zalloc(n, 1);
    forage_status status = lay_out(b, nodes, n, seen);
    free(seen);
    if (status) return status;
    f->root[++f->n_trees] = (uint32_t)b->nodes;
    return FORAGE_OK;
}

/* A tree whose root has no cover, or where a split's has less than its children's share of anything, explains nothing. */
static bool covers_hold(const forest *f) {
    for (uint32_t t = 0; t < f->n_trees; t++)
        for (uint32_t i = f->root[t]; i < f->root[t + 1]; i++)
            if (f->node[i].kind != NODE_LEAF && !(f->node[i + 1].cover + f->node[f->node[i].right].cover > 0)) return false;
    return true;
}

forage_status forest_build_end(forest_builder *b, forage_status status, forest **out) {
    forest *f = b->f;
    free(b->owner);
    free(b->empty_set);
    if (status) {
        forest_destroy(f);
        return status;
    }
    if (!f->root) f->root = mem_zalloc(1, sizeof *f->root);
    if (!f->set_first) f->set_first = mem_zalloc(1, sizeof *f->set_first);
    if (!f->objective) f->objective = mem_strdup("");
    for (uint32_t i = 0; i < f->n_features; i++) {
        char name[16];
        snprintf(name, sizeof name, "f%u", i);
        if (!f->names[i]) f->names[i] = mem_strdup(name);
    }
    if (f->base == 0) f->base = 0; /* never −0: then no sum is, and adding 0 changes no bit */
    f->has_cover = f->has_cover && covers_hold(f);
    forest_compile(f);
    *out = f;
    return FORAGE_OK;
}
