/* Strategies: many ways to find candidates, behind one interface.
 *
 * A strategy is one small file and one line in registry.c. It is asked for its best `depth` documents and answers with a
 * ranked list and raw scores of its own scale. Strategies run side by side on a thread pool; what a strategy needs from
 * others (the set of matching documents, the best lexical hits) is said by `needs`, and it starts when that is there. */
#ifndef RETRIEVE_STRATEGY_H
#define RETRIEVE_STRATEGY_H

#include "collection/collection.h"
#include "memory/behaviour.h"
#include "memory/query_memory.h"
#include "retrieve/vectors.h"

typedef enum retrieve_needs {
    RETRIEVE_NOTHING,  /* starts at once */
    RETRIEVE_MATCHING, /* `matching` */
    RETRIEVE_LEXICAL   /* `lexical` */
} retrieve_needs;

/* Everything is read-only and lives until the last strategy of the request has returned, also a late one. */
typedef struct retrieve_request {
    collection *collection;
    const schema *schema;
    const sparse_snapshot *snapshot;
    const sparse_eligible *eligible; /* live documents that pass the filter */
    const sparse_eligible *matching; /* of those, the ones with at least one word of the query; all when it has no words */
    const sparse_query_term *terms;
    size_t n_terms;
    float prior_weight;              /* of popularity in the lexical score */
    const memory_row *memory;        /* of this query, best first */
    size_t n_memory;
    const sparse_hit *lexical;       /* best lexical hits, best first */
    size_t n_lexical;
    const behaviour *behaviour;      /* what people did; NULL: nothing is known */
    vector_query *meaning;           /* its vectors; NULL: the collection has none */
    weights_query *expansion;        /* its weights; NULL: the collection has no fields of them */
    const uint32_t *like;            /* a document that the hits are to be like; NULL: none */
    bool known_user;                 /* the request names a user or a session */
    const profile *profile;          /* of that user; NULL: none yet */
    const uint64_t *segments;        /* of the request, most general first; when it names none, those of the profile */
    size_t n_segments;
    slice type;                      /* the document type that was asked for; empty: any */
    bool beyond_words;               /* what people do leads to documents that have no word of the query, too */
    bool only_new;                   /* personal leaves out what the user chose before */
    int64_t now;                     /* wall clock */
    uint64_t seed;                   /* of the strategy's random choices */
    const os_clock *clock;
    int64_t deadline;                /* monotonic microseconds */
} retrieve_request;

/* What the strategies of behaviour choose from. */
static inline const sparse_eligible *retrieve_choice(const retrieve_request *r) {
    return r->beyond_words ? r->eligible : r->matching;
}

typedef struct retrieve_strategy {
    const char *name;
    const char *purpose;             /* one sentence for people */
    retrieve_needs needs;
    double prior_reward;             /* expected marginal reward of asking it deeply, before any event */
    uint32_t fixed_depth;            /* in the static plan */
    /* Whether it could find anything for this request; cheap. Called before `needs` are there. */
    bool (*available)(const retrieve_request *r);
    /* Up to `depth` candidates, best first, to hits (room for depth). Any thread. Checks r->deadline in long loops; *late
     * when it gave up on time. Memory from `a`. */
    size_t (*run)(const retrieve_request *r, uint32_t depth, arena *a, sparse_hit *hits, bool *late);
} retrieve_strategy;

#define RETRIEVE_STRATEGIES 9
extern const retrieve_strategy *const retrieve_strategies[RETRIEVE_STRATEGIES];

/* Their places in the list, for features that name one. */
enum {
    RETRIEVE_IS_LEXICAL, RETRIEVE_IS_MEMORY, RETRIEVE_IS_POPULAR, RETRIEVE_IS_FRESH, RETRIEVE_IS_RELATED, RETRIEVE_IS_EXPLORE,
    RETRIEVE_IS_PERSONAL, RETRIEVE_IS_SEMANTIC, RETRIEVE_IS_EXPANSION
};

/* Related's scores up to this are by meaning alone. */
#define RETRIEVE_NEAR 0.001f

extern const retrieve_strategy retrieve_lexical, retrieve_memory, retrieve_popular, retrieve_fresh, retrieve_related,
    retrieve_explore, retrieve_personal, retrieve_semantic, retrieve_expansion;

#endif
