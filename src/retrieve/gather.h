/* Documents that several ways lead to: each document once, with the sum of what the ways give it. */
#ifndef RETRIEVE_GATHER_H
#define RETRIEVE_GATHER_H

#include "sparse/search.h"

typedef struct gather {
    sparse_hit *found; /* open addressing by document; score 0: free */
    size_t slots, n;
} gather;

/* Room for about `most` documents; further ones are not taken in. */
void gather_init(gather *g, size_t most, arena *a);
void gather_add(gather *g, uint32_t document, float score); /* score > 0, else nothing */
float gather_score(const gather *g, uint32_t document);     /* 0: not there */
/* The best `depth`, ties by document number. Nothing may be added after. */
size_t gather_take(gather *g, size_t depth, sparse_hit *hits);

#endif
