/* Which format bytes are, and the forest's own, little-endian:
 *
 *     u32 magic "FFOR", u16 version, u8 library, string objective, f32 base,
 *     u32 features, each: string name, u32 the row's column (or 2^32 − 1); u32 columns of a row,
 *     u32 sets, each: u32 words, then these
 *     u32 trees, each: u32 nodes, then these in preorder:
 *         u8 kind | default_left << 4
 *         a leaf: f32 value, f32 cover
 *         a split: u32 feature, f32 threshold or u32 set, f32 gain, f32 cover, u32 right child (from the tree's root)
 *     u64 hash64 (seed 0) of all bytes before it */
#include "rank/forest_internal.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MAGIC 0x524f4646u /* "FFOR" */
#define STATE_VERSION 1

forage_status forest_read(slice bytes, forest **out, base_error *error) {
    size_t i = 0;
    while (i < bytes.size && memchr(" \t\r\n", bytes.data[i], 4)) i++;
    slice text = {bytes.data + i, bytes.size - i};
    if (text.size >= 4 && memcmp(text.data, "tree", 4) == 0 && (text.size == 4 || text.data[4] == '\n' || text.data[4] == '\r'))
        return forest_read_lightgbm(text, out, error);
    if (!text.size || *text.data != '{')
        return error_set(error, FORAGE_E_INVALID, "not a model of XGBoost (JSON or UBJ) or LightGBM (text)");
    /* In UBJ a key is a length with its type; in JSON it is quoted. */
    size_t next = 1;
    while (next < text.size && memchr(" \t\r\n", text.data[next], 4)) next++;
    bool binary = next < text.size && memchr("iUIlL$#N", text.data[next], 8);
    return forest_read_xgboost(text, binary, out, error);
}

static void save_node(const forest *f, const forest_node *n, uint32_t root, buffer *out) {
    put_u8(out, (uint8_t)(n->kind | n->default_left << 4));
    if (n->kind == NODE_LEAF) {
        put_f32(out, n->value);
        put_f32(out, n->cover);
        return;
    }
    put_u32(out, n->feature);
    if (n->kind == NODE_NUMBER || n->kind == NODE_ZERO) put_f32(out, n->value);
    else put_u32(out, n->set);
    put_f32(out, n->gain);
    put_f32(out, n->cover);
    put_u32(out, n->right - root);
    (void)f;
}

void forest_save(const forest *f, buffer *out) {
    size_t first = out->size;
    put_u32(out, STATE_MAGIC);
    put_u16(out, STATE_VERSION);
    put_u8(out, f->library);
    put_string(out, slice_of(f->objective));
    put_f32(out, f->base);
    put_u32(out, f->n_features);
    for (uint32_t i = 0; i < f->n_features; i++) {
        put_string(out, slice_of(f->names[i]));
        put_u32(out, f->source[i]);
    }
    put_u32(out, f->n_columns_in);
    put_u32(out, f->n_sets);
    for (uint32_t s = 0; s < f->n_sets; s++) {
        put_u32(out, f->set_first[s + 1] - f->set_first[s]);
        for (uint32_t i = f->set_first[s]; i < f->set_first[s + 1]; i++) put_u32(out, f->set_words[i]);
    }
    put_u32(out, f->n_trees);
    for (uint32_t t = 0; t < f->n_trees; t++) {
        put_u32(out, f->root[t + 1] - f->root[t]);
        for (uint32_t i = f->root[t]; i < f->root[t + 1]; i++) save_node(f, &f->node[i], f->root[t], out);
    }
    put_u64(out, hash64(out->data + first, out->size - first, 0));
}

/* ---- Loading ---- */

static forage_status corrupt(base_error *error, const char *what) {
    return error_set(error, FORAGE_E_CORRUPT, "forest: %s", what);
}

static forage_status load_features(byte_reader *in, forest_builder *b) {
    forest *f = b->f;
    for (uint32_t i = 0; i < f->n_features && !in->failed; i++) {
        slice name = read_string(in);
        f->source[i] = read_u32(in);
        if (in->failed || (name.size && memchr(name.data, 0, name.size))) return corrupt(b->error, "a feature's name");
        forest_build_name(b, i, name);
    }
    f->n_columns_in = read_u32(in);
    if (in->failed || f->n_columns_in > FOREST_MAX_FEATURES) return corrupt(b->error, "columns of a row");
    for (uint32_t i = 0; i < f->n_features; i++)
        if (f->source[i] != FOREST_ABSENT && f->source[i] >= f->n_columns_in) return corrupt(b->error, "a feature's column");
    return FORAGE_OK;
}

static forage_status load_sets(byte_reader *in, forest_builder *b) {
    uint32_t n = read_u32(in);
    uint32_t *words = mem_alloc(FOREST_MAX_CATEGORIES / 32 * sizeof *words);
    for (uint32_t s = 0; s < n && !in->failed; s++) {
        uint32_t size = read_u32(in);
        if (size > FOREST_MAX_CATEGORIES / 32 || size > read_left(in) / 4) in->failed = true;
        for (uint32_t i = 0; i < size && !in->failed; i++) words[i] = read_u32(in);
        if (!in->failed) forest_build_set(b, words, size);
    }
    free(words);
    return in->failed ? corrupt(b->error, "a set of categories") : FORAGE_OK;
}

static bool load_node(byte_reader *in, const forest *f, uint32_t i, raw_node *out) {
    uint8_t kind = read_u8(in);
    forest_node n = {.kind = kind & 15, .default_left = kind >> 4 & 1};
    if (n.kind > NODE_NOT_IN) return false;
    if (n.kind == NODE_LEAF) {
        n.value = read_f32(in);
        n.cover = read_f32(in);
        *out = (raw_node){-1, -1, n};
        return !in->failed;
    }
    n.feature = read_u32(in);
    if (n.kind == NODE_NUMBER || n.kind == NODE_ZERO) n.value = read_f32(in);
    else if ((n.set = read_u32(in)) >= f->n_sets) return false;
    n.gain = read_f32(in);
    n.cover = read_f32(in);
    *out = (raw_node){(int64_t)i + 1, read_u32(in), n};
    return !in->failed;
}

static forage_status load_trees(byte_reader *in, forest_builder *b) {
    uint32_t trees = read_u32(in);
    for (uint32_t t = 0; t < trees; t++) {
        uint32_t n = read_u32(in);
        if (in->failed || n > read_left(in) / 9) return corrupt(b->error, "the number of nodes");
        raw_node *nodes = mem_alloc(((size_t)n + 1) * sizeof *nodes);
        forage_status status = FORAGE_OK;
        for (uint32_t i = 0; i < n && !status; i++)
            if (!load_node(in, b->f, i, &nodes[i])) status = corrupt(b->error, "a node");
        if (!status && forest_build_tree(b, nodes, n)) status = FORAGE_E_CORRUPT;
        if (!status && b->nodes - b->f->root[t] != n) status = corrupt(b->error, "a node that no way leads to");
        free(nodes);
        if (status && b->error) b->error->status = status;
        if (status) return status;
    }
    return in->failed || read_left(in) != 8 ? corrupt(b->error, "wrong size") : FORAGE_OK;
}

forage_status forest_load(slice bytes, forest **out, base_error *error) {
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    forest_builder b;
    uint32_t magic = read_u32(&in);
    uint16_t version = read_u16(&in);
    if (in.failed || magic != STATE_MAGIC) return corrupt(error, "not a forest");
    if (version != STATE_VERSION)
        return error_set(error, FORAGE_E_VERSION, "forest: version %u, expected %u", version, STATE_VERSION);
    if (read_left(&in) < 8 || load_le64(bytes.data + bytes.size - 8) != hash64(bytes.data, bytes.size - 8, 0))
        return corrupt(error, "checksum does not match");
    uint8_t library = read_u8(&in);
    slice objective = read_string(&in);
    float base = read_f32(&in);
    uint32_t n_features = read_u32(&in);
    if (in.failed || library > FOREST_LIGHTGBM || !isfinite(base) || n_features > FOREST_MAX_FEATURES)
        return corrupt(error, "a header that cannot be");
    forest_build_begin(&b, library, n_features, error);
    b.f->base = base;
    b.f->objective = mem_strndup(objective.size ? objective.data : "", objective.size);
    forage_status status = load_features(&in, &b);
    if (!status) status = load_sets(&in, &b);
    if (!status) status = load_trees(&in, &b);
    return forest_build_end(&b, status, out);
}
