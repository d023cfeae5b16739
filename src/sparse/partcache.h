/* What is worth remembering about a segment, which never changes: results of filters, and its columns in other shapes. It
 * belongs to one segment, is found through sparse_part, and goes with the segment.
 *
 * Results of filters are kept for leaves (values, a range, existence) over every place, dead ones too, as compressed bitmaps
 * (bitmap.h): from the second time on that a leaf is asked for, the least recently used go first, at most
 * 1/16 of the segment's bytes (64 KiB at least). Shapes of columns (columnshape.h) are made when they have been missed
 * often enough, never go, and have as much room again; one that does not fit is not made.
 *
 * Threads: all calls by any. A mutex is held for a look at a table of 64 and a count, never while a set is read or made. */
#ifndef SPARSE_PARTCACHE_H
#define SPARSE_PARTCACHE_H

#include "sparse/bitmap.h"
#include "sparse/columnshape.h"
#include "sparse/segment.h"

#include <stdatomic.h>

#define PART_CACHE_PLACES 4096   /* smaller segments are read faster than they are remembered */
#define PART_CACHE_MEMBERS 2048  /* so many postings are read as fast as they are remembered */
#define PART_CACHE_MISSED 8      /* readings that a column's shape would have saved, before it is made */

typedef struct part_cache part_cache;

/* NULL for a segment below PART_CACHE_PLACES: every call but _create takes that for a cache that has nothing. The segment
 * must outlive the cache. */
part_cache *part_cache_create(const sparse_segment *segment);
void part_cache_destroy(part_cache *c); /* nothing is held then */

/* A leaf in a form that is the same for leaves that mean the same, and its hash64. */
typedef struct part_cache_key {
    slice bytes; /* empty: not to be kept */
    uint64_t hash;
} part_cache_key;

/* A set that stays while somebody holds it. */
typedef struct part_cache_set {
    atomic_uint references;
    bitmap *members;
} part_cache_set;

part_cache_set *part_cache_take(part_cache *c, const part_cache_key *key); /* NULL: not here */
void part_cache_give_back(part_cache_set *set);
/* Tells the result that was missed; it is kept when it was told before. `words` over all places of the segment; what is
 * set beyond does not count. */
void part_cache_offer(part_cache *c, const part_cache_key *key, const uint64_t *words);

/* A column in another shape, until the cache is destroyed. NULL: it is not there. `missed`: this reading would have
 * used it, which may make it now. */
const column_order *part_cache_order(part_cache *c, uint32_t field, bool missed);
const column_counts *part_cache_counts(part_cache *c, uint32_t field, bool missed);

typedef struct part_cache_info {
    uint64_t hits, misses; /* of leaves that can be kept */
    uint64_t bytes;        /* sets and shapes */
    uint32_t sets, shapes;
} part_cache_info;
void part_cache_describe(part_cache *c, part_cache_info *sum); /* adds */

#endif
