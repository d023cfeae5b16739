/* Whether an index is what it should be: for tests, and for whoever asks an engine to look at itself. */
#include "dense/dense_impl.h"

#include <stdlib.h>
#include <string.h>

static forage_status check_links(const dense_graph *g, uint32_t n, base_error *error) {
    for (uint32_t i = 0; i < n; i++) {
        for (uint32_t l = 0; l <= dense_level_of(g, i); l++) {
            dense_link *links = dense_links_of(g, i, l);
            for (uint32_t j = 0, link; j < dense_most_links(g, l) && (link = dense_link_load(links, j)) != 0; j++)
                if (link > n || link - 1 == i || dense_level_of(g, link - 1) < l)
                    return error_set(error, FORAGE_E_CORRUPT, "node %u, layer %u: link %u leads to no entry", i, l, j);
        }
    }
    return FORAGE_OK;
}

/* One in a thousand may have lost all links to it by additions since the graph was mended, and none when there were none. */
static forage_status check_reach(const dense_index *index, const dense_graph *g, uint32_t n, base_error *error) {
    uint32_t may = atomic_load(&index->repaired) == n ? 0 : n / 1000;
    uint64_t *reached = mem_zalloc((size_t)n / 64 + 1, sizeof *reached);
    uint32_t *order = mem_alloc((size_t)n * sizeof *order + 1);
    uint32_t found = dense_reach(g, reached, order);
    free(reached);
    free(order);
    if (n - found > may) return error_set(error, FORAGE_E_CORRUPT, "%u of %u nodes cannot be reached", n - found, n);
    return FORAGE_OK;
}

static forage_status check_codes(const dense_index *index, const dense_graph *g, uint32_t n, base_error *error) {
    char *code = mem_alloc(g->stride);
    forage_status status = FORAGE_OK;
    for (uint32_t i = 0; i < n && status >= 0; i++) {
        memset(code, 0, g->stride);
        dense_coder_encode(g->coder, dense_vectors_row(index->vectors, dense_about_of(g, i)->row), code);
        if (memcmp(code, dense_code_of(g, i), g->stride) != 0)
            status = error_set(error, FORAGE_E_CORRUPT, "node %u: its code is not that of its vector", i);
    }
    free(code);
    return status;
}

static forage_status check_map(dense_index *index, const dense_graph *g, uint32_t n, base_error *error) {
    uint32_t live = 0, dead = 0;
    for (uint32_t i = 0; i < n; i++) {
        bool mapped = dense_graph_node(g, dense_about_of(g, i)->document) == i;
        live += mapped;
        dead += dense_dead(g, i);
        if (mapped == dense_dead(g, i)) return error_set(error, FORAGE_E_CORRUPT, "node %u: neither dead nor alive", i);
    }
    if (live != atomic_load(&index->live) || dead != atomic_load(&g->n_dead))
        return error_set(error, FORAGE_E_CORRUPT, "%u live and %u dead nodes, but others are counted", live, dead);
    return FORAGE_OK;
}

forage_status dense_index_check(dense_index *index, base_error *error) {
    pthread_rwlock_wrlock(&index->writers);
    dense_graph *g = atomic_load(&index->graph);
    uint32_t n = g ? atomic_load(&g->n) : 0;
    forage_status status = FORAGE_OK;
    if (n > 0) {
        status = check_map(index, g, n, error);
        if (status >= 0) status = check_codes(index, g, n, error);
        if (status >= 0) status = check_links(g, n, error);
        if (status >= 0 && atomic_load(&g->linked)) status = check_reach(index, g, n, error);
    }
    pthread_rwlock_unlock(&index->writers);
    return status;
}
