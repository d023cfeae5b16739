/* Nodes in chunks that never move, and the map from documents to nodes. */
#include "dense/dense_impl.h"

#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#define CHUNK_BYTES ((size_t)8 << 20)
#define MOST_CHUNK_SHIFT 15u
#define PAGE_SHIFT 14u
#define HUGE ((size_t)2 << 20)

struct dense_page {
    _Atomic uint32_t nodes[1u << PAGE_SHIFT];
};

/* Zeroed. Large chunks are asked for in huge pages: a walk jumps all over them, and each jump would miss the TLB. */
static void *chunk_alloc(size_t size) {
    if (size < HUGE) return mem_zalloc(1, size);
    char *at = mmap(NULL, size + HUGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (at == MAP_FAILED) abort();
    size_t before = (HUGE - (uintptr_t)at % HUGE) % HUGE, page = 4096;
    size = (size + page - 1) / page * page;
    if (before) munmap(at, before);
    if (HUGE - before) munmap(at + before + size, HUGE - before);
    madvise(at + before, size, MADV_HUGEPAGE);
    return at + before;
}

static void chunk_free(void *at, size_t size) {
    if (size < HUGE) free(at);
    else if (at) munmap(at, (size + 4095) / 4096 * 4096);
}

static size_t links_bytes(const dense_graph *g) { return (size_t)g->M_max0 * sizeof(dense_link) << g->shift; }
static size_t uppers_bytes(const dense_graph *g) { return (size_t)g->M * sizeof(dense_link) * DENSE_UPPER_CHUNK; }

dense_graph *dense_graph_create(dense_coder *coder, const dense_config *config) {
    dense_graph *g = mem_zalloc(1, sizeof *g);
    g->coder = coder;
    g->M = config->M;
    g->M_max0 = 2 * config->M;
    g->ef_construction = config->ef_construction;
    g->stride = dense_coder_bytes(coder);
    size_t widest = g->stride > g->M_max0 * sizeof(dense_link) ? g->stride : g->M_max0 * sizeof(dense_link);
    while (g->shift < MOST_CHUNK_SHIFT && widest << (g->shift + 1) <= CHUNK_BYTES) g->shift++;
    g->mask = (1u << g->shift) - 1;
    size_t chunks = DENSE_MOST_NODES >> g->shift;
    g->codes = mem_zalloc(chunks, sizeof *g->codes);
    g->links = mem_zalloc(chunks, sizeof *g->links);
    g->about = mem_zalloc(chunks, sizeof *g->about);
    g->states = mem_zalloc(chunks, sizeof *g->states);
    g->uppers = mem_zalloc(DENSE_MOST_NODES / DENSE_UPPER_CHUNK, sizeof *g->uppers);
    g->pages = mem_zalloc(1u << (32 - PAGE_SHIFT), sizeof *g->pages);
    pthread_mutex_init(&g->top, NULL);
    for (uint32_t i = 0; i < DENSE_STRIPES; i++) pthread_mutex_init(g->stripes + i, NULL);
    return g;
}

void dense_graph_destroy(dense_graph *g) {
    if (!g) return;
    uint32_t n = atomic_load(&g->n);
    for (uint32_t i = 0; i << g->shift < n; i++) {
        chunk_free(g->codes[i], g->stride << g->shift);
        chunk_free(g->links[i], links_bytes(g));
        free(g->about[i]);
        free(g->states[i]);
    }
    for (uint32_t i = 0; i * DENSE_UPPER_CHUNK < g->n_uppers; i++) chunk_free(g->uppers[i], uppers_bytes(g));
    for (uint32_t i = 0; i < 1u << (32 - PAGE_SHIFT); i++) free(atomic_load_explicit(g->pages + i, memory_order_relaxed));
    for (uint32_t i = 0; i < DENSE_STRIPES; i++) pthread_mutex_destroy(g->stripes + i);
    pthread_mutex_destroy(&g->top);
    dense_coder_destroy(g->coder);
    free(g->codes);
    free(g->links);
    free(g->about);
    free(g->states);
    free(g->uppers);
    free(g->pages);
    free(g);
}

uint32_t dense_graph_append(dense_graph *g, uint32_t document, uint32_t row, uint32_t level) {
    uint32_t node = atomic_load_explicit(&g->n, memory_order_relaxed), chunk = node >> g->shift;
    if (!g->codes[chunk]) {
        g->codes[chunk] = chunk_alloc(g->stride << g->shift);
        g->links[chunk] = chunk_alloc(links_bytes(g));
        g->about[chunk] = mem_alloc(sizeof **g->about << g->shift);
        g->states[chunk] = mem_zalloc((size_t)1 << g->shift, 1);
    }
    for (uint32_t i = 0; i < level; i++) {
        uint32_t block = (g->n_uppers + i) / DENSE_UPPER_CHUNK;
        if (!g->uppers[block]) g->uppers[block] = chunk_alloc(uppers_bytes(g));
    }
    *dense_about_of(g, node) = (dense_about){document, row, g->n_uppers};
    g->n_uppers += level;
    atomic_store_explicit(dense_state_of(g, node), (uint8_t)level, memory_order_relaxed);
    dense_graph_make_page(g, document);
    return node;
}

void dense_graph_publish(dense_graph *g, uint32_t node) { atomic_store_explicit(&g->n, node + 1, memory_order_release); }

void dense_graph_make_page(dense_graph *g, uint32_t document) {
    _Atomic(dense_page *) *page = g->pages + (document >> PAGE_SHIFT);
    if (!atomic_load_explicit(page, memory_order_relaxed))
        atomic_store_explicit(page, mem_zalloc(1, sizeof(dense_page)), memory_order_release);
}

uint32_t dense_graph_node(const dense_graph *g, uint32_t document) {
    dense_page *page = atomic_load_explicit(g->pages + (document >> PAGE_SHIFT), memory_order_acquire);
    if (!page) return DENSE_NONE;
    return atomic_load_explicit(page->nodes + document % (1u << PAGE_SHIFT), memory_order_acquire) - 1;
}

void dense_graph_map(dense_graph *g, uint32_t document, uint32_t node) {
    dense_page *page = atomic_load_explicit(g->pages + (document >> PAGE_SHIFT), memory_order_acquire);
    atomic_store_explicit(page->nodes + document % (1u << PAGE_SHIFT), node + 1, memory_order_release);
}

size_t dense_graph_memory(const dense_graph *g) {
    size_t n = atomic_load_explicit(&g->n, memory_order_acquire), pages = 0;
    for (uint32_t i = 0; i < 1u << (32 - PAGE_SHIFT); i++)
        pages += atomic_load_explicit(g->pages + i, memory_order_relaxed) != NULL;
    return n * (g->stride + g->M_max0 * sizeof(dense_link) + sizeof(dense_about) + 1) +
           (size_t)g->n_uppers * g->M * sizeof(dense_link) + pages * sizeof(dense_page);
}
