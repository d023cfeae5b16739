/* The image of an index: written beside, synced, renamed; read back only when every byte is what was written.
 *
 *     header   magic, format, config, counts, entry, seed state; a checksum of itself and of each part
 *     coder    what dense_coder_save writes
 *     words    a node each: document, level and whether it lives
 *     links    layer 0: M_max0 of each node; then the blocks of upper layers in the order of nodes
 *     codes    of each node
 *     rows     of each node: version and floats
 *
 * Little-endian; parts follow each other without gaps. Checksums find damage; links, levels and documents are checked all the
 * same, so that no image, however made, leads a walk out of its memory. */
#include "dense/dense_impl.h"

#include "base/hash.h"
#include "os/file.h"
#include "os/output.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x3178646e65736e44ull
#define FORMAT 1u

enum { PART_CODER, PART_WORDS, PART_LINKS, PART_UPPERS, PART_CODES, PART_ROWS, PARTS };

typedef struct image_header {
    uint64_t magic;
    uint32_t format, dimensions, metric, code, M, ef_construction;
    uint32_t n, n_uppers, sampled, linked;
    uint64_t entry;
    uint64_t random[4];
    uint64_t size[PARTS], sum[PARTS];
    uint64_t own_sum; /* of all before it */
} image_header;

typedef struct image_word {
    uint32_t document;
    uint32_t state;
} image_word;

/* --- writing ------------------------------------------------------------------------------------------------------------ */

typedef struct writer {
    os_output *output;
    base_error *error;
    image_header *header;
    buffer pending;
    int part;
    forage_status status;
} writer;

#define FLUSH_AT ((size_t)1 << 20)

/* A part's checksum is that of its pieces' checksums, so that it can be made and compared as bytes pass. */
static void flush_part(writer *w) {
    if (w->pending.size == 0 || w->status < 0) return;
    w->header->size[w->part] += w->pending.size;
    w->header->sum[w->part] = hash64(w->pending.data, w->pending.size, w->header->sum[w->part]);
    w->status = os_output_write(w->output, w->pending.data, w->pending.size, w->error);
    buffer_clear(&w->pending);
}

static void put(writer *w, int part, const void *data, size_t size) {
    if (part != w->part) flush_part(w), w->part = part;
    while (size > 0 && w->status >= 0) {
        size_t now = FLUSH_AT - w->pending.size < size ? FLUSH_AT - w->pending.size : size;
        buffer_append(&w->pending, data, now);
        data = (const char *)data + now;
        size -= now;
        if (w->pending.size == FLUSH_AT) flush_part(w);
    }
}

static void put_links(writer *w, int part, const dense_graph *g, uint32_t node, uint32_t layer) {
    dense_link *links = dense_links_of(g, node, layer);
    uint32_t plain[2 * DENSE_MOST_M], most = dense_most_links(g, layer);
    for (uint32_t i = 0; i < most; i++) plain[i] = dense_link_load(links, i);
    put(w, part, plain, most * sizeof *plain);
}

static void put_parts(writer *w, const dense_index *index, const dense_graph *g) {
    uint32_t n = w->header->n;
    buffer coder = {0};
    dense_coder_save(g->coder, &coder);
    put(w, PART_CODER, coder.data, coder.size);
    buffer_release(&coder);
    for (uint32_t i = 0; i < n; i++) {
        image_word word = {dense_about_of(g, i)->document, atomic_load(dense_state_of(g, i))};
        put(w, PART_WORDS, &word, sizeof word);
    }
    for (uint32_t i = 0; i < n; i++) put_links(w, PART_LINKS, g, i, 0);
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t l = 1; l <= dense_level_of(g, i); l++) put_links(w, PART_UPPERS, g, i, l);
    for (uint32_t i = 0; i < n; i++) put(w, PART_CODES, dense_code_of(g, i), g->stride);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t row = dense_about_of(g, i)->row;
        put(w, PART_ROWS, dense_vectors_version(index->vectors, row), sizeof(uint64_t));
        put(w, PART_ROWS, dense_vectors_row(index->vectors, row), index->config.dimensions * sizeof(float));
    }
    flush_part(w);
}

static forage_status save(dense_index *index, const char *path, base_error *error) {
    dense_graph *g = atomic_load(&index->graph);
    const dense_config *c = &index->config;
    image_header header = {.magic = MAGIC, .format = FORMAT, .dimensions = c->dimensions, .metric = c->metric, .code = c->code,
                           .M = c->M, .ef_construction = c->ef_construction, .sampled = index->sampled};
    memcpy(header.random, index->random.s, sizeof header.random);
    writer w = {.header = &header, .error = error, .part = PART_CODER};
    if ((w.status = os_output_create(path, &w.output, error)) < 0) return w.status;
    w.status = os_output_write(w.output, &header, sizeof header, error);
    if (g && w.status >= 0) {
        header.n = atomic_load(&g->n);
        header.n_uppers = g->n_uppers;
        header.linked = atomic_load(&g->linked);
        header.entry = atomic_load(&g->entry);
        put_parts(&w, index, g);
    }
    header.own_sum = hash64(&header, offsetof(image_header, own_sum), 0);
    if (w.status >= 0) w.status = os_output_rewrite(w.output, 0, &header, sizeof header, error);
    if (w.status >= 0) w.status = os_output_commit(w.output, error);
    os_output_destroy(w.output);
    buffer_release(&w.pending);
    return w.status;
}

forage_status dense_index_save(dense_index *index, const char *path, base_error *error) {
    pthread_rwlock_wrlock(&index->writers);
    dense_mend(index);
    forage_status status = save(index, path, error);
    pthread_rwlock_unlock(&index->writers);
    return status;
}

/* --- reading ------------------------------------------------------------------------------------------------------------ */

typedef struct reader {
    const char *path;
    image_header header;
    const uint8_t *part[PARTS];
    base_error *error;
} reader;

static forage_status bad(const reader *r, const char *what) {
    return error_set(r->error, FORAGE_E_CORRUPT, "%s: %s", r->path, what);
}

static uint64_t sum_of(const uint8_t *data, uint64_t size) {
    uint64_t sum = 0;
    for (uint64_t at = 0; at < size; at += FLUSH_AT) sum = hash64(data + at, size - at < FLUSH_AT ? size - at : FLUSH_AT, sum);
    return sum;
}

void dense_image_seal(uint8_t *image, size_t size) {
    image_header h;
    if (size < sizeof h) return;
    memcpy(&h, image, sizeof h);
    uint64_t at = sizeof h;
    for (int i = 0; i < PARTS && h.size[i] <= size - at; at += h.size[i++]) h.sum[i] = sum_of(image + at, h.size[i]);
    h.own_sum = hash64(&h, offsetof(image_header, own_sum), 0);
    memcpy(image, &h, sizeof h);
}

static forage_status read_header(reader *r, const os_map *map, const dense_config *c) {
    image_header *h = &r->header;
    if (map->size < sizeof *h) return bad(r, "the file is too short");
    memcpy(h, map->data, sizeof *h);
    if (h->magic != MAGIC || h->format != FORMAT) return bad(r, "not a dense index of this format");
    if (h->own_sum != hash64(h, offsetof(image_header, own_sum), 0)) return bad(r, "the header is damaged");
    if (h->dimensions != c->dimensions || h->metric != (uint32_t)c->metric || h->code != (uint32_t)c->code || h->M != c->M)
        return bad(r, "made with another configuration");
    if (h->n > DENSE_MOST_NODES || h->n_uppers > DENSE_MOST_NODES) return bad(r, "too many nodes");
    uint64_t at = sizeof *h;
    for (int i = 0; i < PARTS; i++) {
        if (h->size[i] > map->size - at) return bad(r, "the file is cut off");
        r->part[i] = map->data + at;
        at += h->size[i];
    }
    if (at != map->size) return bad(r, "bytes after the end");
    for (int i = 0; i < PARTS; i++)
        if (sum_of(r->part[i], h->size[i]) != h->sum[i]) return bad(r, "a checksum does not match");
    return FORAGE_OK;
}

static forage_status check_sizes(const reader *r, const dense_graph *g, size_t row_bytes) {
    const image_header *h = &r->header;
    uint64_t n = h->n;
    if (h->size[PART_WORDS] != n * sizeof(image_word) || h->size[PART_LINKS] != n * g->M_max0 * 4 ||
        h->size[PART_UPPERS] != (uint64_t)h->n_uppers * g->M * 4 || h->size[PART_CODES] != n * g->stride ||
        h->size[PART_ROWS] != n * row_bytes)
        return bad(r, "a part has the wrong size");
    uint32_t entry = (uint32_t)h->entry;
    if (entry > n || (entry == 0 && (h->entry != 0 || (n > 0 && h->linked)))) return bad(r, "the entry is no node");
    return FORAGE_OK;
}

static forage_status read_nodes(reader *r, dense_index *index, dense_graph *g, size_t row_bytes) {
    const image_header *h = &r->header;
    uint32_t uppers = 0;
    for (uint32_t i = 0; i < h->n; i++) {
        image_word word;
        memcpy(&word, r->part[PART_WORDS] + i * sizeof word, sizeof word);
        uint32_t level = word.state & ~DENSE_DEAD;
        if (level > 15 || word.document == DENSE_NONE) return bad(r, "a node's level or document");
        uppers += level;
        if (uppers > h->n_uppers) return bad(r, "more levels than links");
        uint32_t row = 0;
        forage_status status = dense_vectors_take(index->vectors, &row, r->error);
        if (status < 0) return status;
        const uint8_t *from = r->part[PART_ROWS] + (size_t)i * row_bytes;
        memcpy(dense_vectors_version(index->vectors, row), from, sizeof(uint64_t));
        float *vector = dense_vectors_row(index->vectors, row);
        memcpy(vector, from + sizeof(uint64_t), row_bytes - sizeof(uint64_t));
        for (uint32_t d = 0; d < h->dimensions; d++)
            if (!isfinite(vector[d])) return bad(r, "a vector is not finite");
        uint32_t node = dense_graph_append(g, word.document, row, level);
        memcpy(dense_code_of(g, node), r->part[PART_CODES] + (size_t)i * g->stride, g->stride);
        dense_graph_publish(g, node);
        if (word.state & DENSE_DEAD) {
            atomic_fetch_or(dense_state_of(g, node), DENSE_DEAD);
            atomic_fetch_add(&g->n_dead, 1);
            continue;
        }
        if (dense_graph_node(g, word.document) != DENSE_NONE) return bad(r, "a document twice");
        dense_graph_map(g, word.document, node);
        atomic_fetch_add(&index->live, 1);
    }
    return uppers == h->n_uppers ? FORAGE_OK : bad(r, "fewer levels than links");
}

static forage_status read_list(reader *r, dense_graph *g, uint32_t node, uint32_t layer, const uint8_t *from) {
    dense_link *links = dense_links_of(g, node, layer);
    for (uint32_t i = 0; i < dense_most_links(g, layer); i++) {
        uint32_t link;
        memcpy(&link, from + i * 4, 4);
        if (link > r->header.n || (link && dense_level_of(g, link - 1) < layer)) return bad(r, "a link leads nowhere");
        dense_link_store(links, i, link);
    }
    return FORAGE_OK;
}

static forage_status read_links(reader *r, dense_graph *g) {
    forage_status status = FORAGE_OK;
    const uint8_t *upper = r->part[PART_UPPERS];
    for (uint32_t i = 0; i < r->header.n && status >= 0; i++) {
        status = read_list(r, g, i, 0, r->part[PART_LINKS] + (size_t)i * g->M_max0 * 4);
        for (uint32_t l = 1; l <= dense_level_of(g, i) && status >= 0; l++, upper += g->M * 4) status = read_list(r, g, i, l, upper);
    }
    uint64_t entry = r->header.entry;
    if (status >= 0 && entry && entry >> 32 != dense_level_of(g, (uint32_t)entry - 1)) status = bad(r, "the entry's level");
    return status;
}

static forage_status read_graph(reader *r, dense_index *index) {
    dense_coder *coder = NULL;
    slice bytes = {(const char *)r->part[PART_CODER], r->header.size[PART_CODER]};
    forage_status status = dense_coder_load(bytes, &coder, r->error);
    if (status < 0) return status;
    if (dense_coder_dimensions(coder) != index->config.dimensions || dense_coder_metric(coder) != index->config.metric ||
        dense_coder_code(coder) != index->config.code) {
        dense_coder_destroy(coder);
        return bad(r, "a coder of another configuration");
    }
    dense_graph *g = dense_graph_create(coder, &index->config);
    atomic_store(&index->graph, g);
    size_t row_bytes = sizeof(uint64_t) + index->config.dimensions * sizeof(float);
    if ((status = check_sizes(r, g, row_bytes)) < 0) return status;
    if ((status = read_nodes(r, index, g, row_bytes)) < 0) return status;
    if ((status = read_links(r, g)) < 0) return status;
    atomic_store(&g->entry, r->header.entry);
    atomic_store(&g->linked, r->header.linked != 0);
    atomic_store(&index->repaired, r->header.n);
    return FORAGE_OK;
}

forage_status dense_index_open(const char *folder, const char *path, const dense_config *config, dense_index **out,
                               base_error *error) {
    os_map map = {0};
    dense_index *index = NULL;
    reader r = {.path = path, .error = error};
    forage_status status = dense_index_create(folder, config, &index, error);
    if (status < 0) goto done;
    if ((status = os_map_file(path, &map, error)) < 0) goto done;
    if ((status = read_header(&r, &map, &index->config)) < 0) goto done;
    if (r.header.size[PART_CODER] > 0) status = read_graph(&r, index);
    else if (r.header.n > 0) status = bad(&r, "nodes without a coder");
    if (status < 0) goto done;
    index->sampled = r.header.sampled ? r.header.sampled : 1;
    uint64_t any = r.header.random[0] | r.header.random[1] | r.header.random[2] | r.header.random[3];
    if (any) memcpy(index->random.s, r.header.random, sizeof r.header.random);
    *out = index;
    index = NULL;
done:
    dense_index_close(index);
    os_unmap(&map);
    return status;
}
