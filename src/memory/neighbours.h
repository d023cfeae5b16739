/* Neighbours: the remembered queries, in memory. Which of them share words with a query, and which are spelt almost like
 * it? Each keeps the documents that served it best, so that an answer needs no disk.
 *
 * Two inverted lists lead to the queries: by word (stemmed, without stopwords) and by three letters in a row ("metalica"
 * and "metallica" share six). Similarity by words is the idf-weighted Jaccard index; by letters it is Dice's coefficient.
 * A neighbour's weight says what its evidence is worth for the query that asks: falling with the square of the distance,
 * and less for letters than for words. Letters are only looked at for a query that few people asked before.
 *
 * Bounded: beyond `most` queries the one that matters least among a few drawn ones goes; a query keeps NEIGHBOURS_ROWS
 * documents; one search looks at NEIGHBOURS_BUDGET postings of words, rare ones first. About 350 bytes a query.
 *
 * Threads: neighbours_put, _row, _drop by one thread at a time; neighbours_find and _count by any. A lock lets a change
 * go before new readers, and is held for microseconds. */
#ifndef MEMORY_NEIGHBOURS_H
#define MEMORY_NEIGHBOURS_H

#include "base/hash.h"
#include "text/analyze.h"

#define NEIGHBOURS_WORDS 16
#define NEIGHBOURS_GRAMS 48
#define NEIGHBOURS_ROWS 32
#define NEIGHBOURS_BUDGET 32768
#define NEIGHBOURS_EACH 32 /* neighbours found by words, and as many by letters */

typedef struct neighbours neighbours;

/* A query as the lists hold it: hashes, sorted, each once. */
typedef struct neighbours_features {
    uint32_t n_words, n_grams;
    uint32_t words[NEIGHBOURS_WORDS], grams[NEIGHBOURS_GRAMS];
} neighbours_features;
/* Of a normalised query. Uses the analyzer, whose earlier results end. What goes beyond the limits is left out. */
void neighbours_features_of(text_analyzer *analyzer, slice normalized, text_language language,
                            neighbours_features *out);

typedef struct neighbours_row {
    uint32_t document;
    uint32_t time;              /* seconds since 1970 of the counts */
    float impressions, rewards; /* with what was predicted */
} neighbours_row;

neighbours *neighbours_create(size_t most);
void neighbours_destroy(neighbours *n); /* NULL is a no-op */
/* Adds a query, or changes its weight: how much depends on it. */
void neighbours_put(neighbours *n, const hash128 *key, const neighbours_features *features, float weight);
/* Adds or replaces a document's counts for a query that is there. */
void neighbours_row_set(neighbours *n, const hash128 *key, const neighbours_row *row);
bool neighbours_has(neighbours *n, const hash128 *key);
size_t neighbours_count(neighbours *n);
size_t neighbours_bytes(neighbours *n); /* of memory, about */

typedef struct neighbour {
    hash128 key;
    bool by_letters;
    float similarity; /* (0, 1] */
    float weight;     /* (0, 1): what a count there is worth here */
    size_t n_rows;
    const neighbours_row *rows;
} neighbour;
/* The best neighbours but `self`, best first (ties by key), copied to the arena. */
size_t neighbours_find(neighbours *n, const neighbours_features *features, const hash128 *self, arena *a,
                       neighbour **out);

#endif
