/* Performance: how well each strategy did lately for a query, for its words, and for the asker's segments.
 *
 * A table of slots, found by hash (two keys may share one; that costs accuracy, not correctness). A slot holds a decayed count of
 * engagements and, for each strategy, the sum of 1 / log2(1 + the rank that it gave, by hindsight, to what was engaged with).
 * What is asked of it is a mean that is drawn towards the next more general one: query, then words, then segments, then all.
 *
 * Bytes: u32 slots; (u32 slot, f32 n, f32 × RETRIEVE_STRATEGIES) each.
 * Threads: reading from any, learning from one. */
#ifndef FUNNEL_PERFORMANCE_H
#define FUNNEL_PERFORMANCE_H

#include "memory/segments.h"
#include "retrieve/strategy.h"

#define PERFORMANCE_SLOTS 8192
#define PERFORMANCE_WORDS 8

/* Whose performance is asked for; the same values when it learns. */
typedef struct performance_keys {
    uint32_t query;
    uint32_t words[PERFORMANCE_WORDS];
    size_t n_words;
    uint32_t segments[SEGMENTS_MAX];
    size_t n_segments;
} performance_keys;

/* normalized: text_normalize_query. */
void performance_keys_of(slice normalized, const hash128 *memory_key, const memory_segment *segments, size_t n_segments,
                         performance_keys *out);

typedef struct performance performance;
performance *performance_create(void);
void performance_destroy(performance *p); /* NULL is a no-op */

/* rank: RETRIEVE_STRATEGIES, from 1; 0: it did not have it. */
void performance_learn(performance *p, const performance_keys *keys, const uint32_t *rank, float weight);

typedef struct performance_means {
    float query[RETRIEVE_STRATEGIES], words[RETRIEVE_STRATEGIES], segments[RETRIEVE_STRATEGIES]; /* 0 to 1 */
} performance_means;
void performance_ask(const performance *p, const performance_keys *keys, performance_means *out);

void performance_save(const performance *p, buffer *out);
bool performance_load(performance *p, slice bytes); /* false, and unchanged, when they are damaged */

#endif
