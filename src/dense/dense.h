/* A dense index: the nearest vectors to a vector.
 *
 * One per vector field of a collection. Each entry is (document, version, vector). While there are few, a search scans all
 * codes; from DENSE_GRAPH_AT on a graph is walked (HNSW, Malkov & Yashunin 2018). The walk compares codes; the best of it are
 * compared again with full vectors, which lie in a mapped file, not in memory of the process.
 *
 * The index is derived: the store has the vectors. dense_index_save writes a checksummed image beside it, and whoever opens
 * compares (document, version) pairs with what is live and adds what is missing.
 *
 * Threads: any number may search while others add and remove; adds run side by side. save, and only it, waits for adds. */
#ifndef DENSE_DENSE_H
#define DENSE_DENSE_H

#include "base/memory.h"
#include "base/status.h"
#include "dense/code.h"

typedef struct dense_config {
    uint32_t dimensions;       /* 1 … DENSE_MOST_DIMENSIONS */
    dense_metric metric;
    dense_code code;
    uint32_t M;                /* links of a node on the layers above 0, twice that on layer 0; 0: 16 */
    uint32_t ef_construction;  /* 0: 120 */
    uint32_t graph_at;         /* entries from which a graph is kept; 0: DENSE_GRAPH_AT */
    uint64_t seed;             /* of the levels */
} dense_config;

#define DENSE_GRAPH_AT 10000u

typedef struct dense_index dense_index;

typedef struct dense_hit {
    uint32_t document;
    float distance; /* exact: of the full vectors; see code.h */
} dense_hit;

/* Documents that may be found. */
typedef struct dense_filter {
    const uint64_t *bits; /* bit d % 64 of word d / 64 */
    uint32_t n_documents; /* bits there are; documents at and after it may not be found */
    uint32_t count;       /* of set bits */
} dense_filter;

/* An empty index whose full vectors are kept in a file of `folder` that is gone when the process is (NULL: in memory).
 * FORAGE_E_INVALID for a config that cannot be. */
forage_status dense_index_create(const char *folder, const dense_config *config, dense_index **out, base_error *error);
/* FORAGE_E_NOT_FOUND, FORAGE_E_CORRUPT (damaged, or of another config): build anew. */
forage_status dense_index_open(const char *folder, const char *path, const dense_config *config, dense_index **out, base_error *error);
/* Atomic: the file at `path` is the old one or the new one, whole. */
forage_status dense_index_save(dense_index *index, const char *path, base_error *error);
void dense_index_close(dense_index *index);

/* Adds the document or replaces its vector if `version` is not older. The vector is finite (who reads it from outside
 * checks); a zero vector under cosine is FORAGE_E_INVALID, as is one that is not finite or longer than DENSE_MOST_SQUARE. */
forage_status dense_index_add(dense_index *index, uint32_t document, uint64_t version, const float *vector, base_error *error);
/* The same for many on n_threads threads (0: one per processor). */
forage_status dense_index_add_all(dense_index *index, size_t n, const uint32_t *documents, const uint64_t *versions,
                                  const float *vectors, unsigned n_threads, base_error *error);
void dense_index_remove(dense_index *index, uint32_t document);
/* Its version; false when it is not there. */
bool dense_index_version(dense_index *index, uint32_t document, uint64_t *version);
/* Its vector to out[0 … dimensions). */
bool dense_index_vector(dense_index *index, uint32_t document, float *out);
/* All live documents, ascending, with their versions. Both arrays live in `a`. */
size_t dense_index_documents(dense_index *index, arena *a, uint32_t **documents, uint64_t **versions);

/* The k nearest that pass the filter (NULL: all do), nearest first, equal ones by document. ef >= k is the breadth of the
 * walk (0: chosen from k). A filter that few pass makes it an exact scan of those. Returns how many, min(k, passing) save
 * where the walk misses. */
size_t dense_search(dense_index *index, const float *query, uint32_t k, uint32_t ef, const dense_filter *filter, arena *a,
                    dense_hit *hits);
/* The same by comparing all full vectors: the oracle. */
size_t dense_search_exact(dense_index *index, const float *query, uint32_t k, const dense_filter *filter, arena *a,
                          dense_hit *hits);

typedef struct dense_info {
    uint32_t documents, dead, layers;
    size_t memory;  /* of the process: codes, links, levels */
    size_t mapped;  /* full vectors in files */
    bool graph;
} dense_info;
void dense_index_describe(dense_index *index, dense_info *out);

/* Whether every link leads to an entry, every live entry can be reached, and codes agree with vectors. */
forage_status dense_index_check(dense_index *index, base_error *error);

#endif
