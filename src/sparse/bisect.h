/* Which documents should lie beside each other? An order of documents in which the postings of a term lie close
 * together, so that their gaps are small and a block's highest impact speaks for few documents.
 *
 * Recursive graph bisection (Dhulipala, Kabiljo, Karrer, Ottaviano, Pupyrev & Shalita 2016, "Compressing graphs and
 * indexes with recursive graph bisection"): the documents are cut into two halves, pairs are swapped between them while
 * that makes the expected log-gaps smaller, and each half is cut in turn.
 *
 *     bisect_gather *g = bisect_gather_create(n, &options);
 *     while (bisect_gather_pass(g))
 *         for every term: bisect_gather_places(g, places, count) …, bisect_gather_end(g);
 *     bisect_documents documents;
 *     if (bisect_gather_documents(g, &documents) && bisect_order(&documents, &options, order) == FORAGE_OK) …
 *     bisect_gather_destroy(g);
 *
 * Everything here is deterministic: the same input and options give the same order on every machine. */
#ifndef SPARSE_BISECT_H
#define SPARSE_BISECT_H

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Which terms each document has. Document d has terms[starts[d] … starts[d + 1]), ascending and without repetition, ids
 * below n_terms; starts[0] = 0. */
typedef struct bisect_documents {
    uint32_t n, n_terms;
    const uint64_t *starts; /* n + 1 */
    uint32_t *terms;        /* bisect_order uses it as working memory: its contents are lost */
} bisect_documents;

typedef struct bisect_options {
    uint32_t leaf;           /* at most so many documents are not cut any more; 0: 128 */
    uint32_t iterations;     /* of exchanging, for each cut; 0: 20 */
    uint32_t min_df;         /* terms of fewer documents are ignored; 0: 2 */
    const float *popularity; /* n, finite; what does not matter to the gaps is decided by it. NULL: by the given order */
    uint32_t head;           /* so many of the most popular come first, ordered among themselves; needs popularity */
    size_t memory_limit;     /* bytes that gathering and ordering may take together; 0: no limit */
    bool (*proceed)(void *context); /* called every few milliseconds of work: may sleep; false ends it. NULL: never */
    void *context;
} bisect_options;

/* order[i] = the document that should have place i. Whatever is not decided by the gaps keeps the given order.
 *
 * Errors, with `order` as it was: FORAGE_E_TOO_LARGE, it would take more than memory_limit; FORAGE_E_CLOSED, `proceed`
 * said so. One thread; O(postings · log(n / leaf) · iterations), measured by bench/bench_bisect.py. Takes what
 * bisect_memory says. */
forage_status bisect_order(bisect_documents *documents, const bisect_options *options, uint32_t *order);

/* Bytes of the documents and of ordering them: 33 per document, 8 per posting, 16 per term. */
size_t bisect_memory(uint32_t n, uint64_t postings, uint32_t n_terms);

/* What an order costs, per posting. Gaps are counted from the place before the first, so that none is below 1. Blocks are of
 * SPARSE_BLOCK gaps, a term's last one shorter. */
typedef struct bisect_cost {
    double log_gap; /* log2(gap): what bisection makes small */
    double packed;  /* bits, when a block's gaps have as many as its largest needs */
    double patched; /* bits, when gaps too large for the best width are exceptions of 8 bits and their high bits each */
} bisect_cost;

/* `order` NULL: as they are. All 0 without postings. Takes 4 bytes per posting, 8 per term. */
bisect_cost bisect_cost_of(const bisect_documents *documents, const uint32_t *order);

/* Gathers documents from the places of terms. The caller goes over the terms several times, always the same: to count, once
 * more when what was counted does not fit, then to fill. Left out are terms of fewer than min_df documents or of more than
 * half of them and, while memory_limit does not suffice for bisect_memory, the most frequent of the rest. Takes 4 bytes per
 * posting that is kept and 10 per document. */
typedef struct bisect_gather bisect_gather;

bisect_gather *bisect_gather_create(uint32_t n, const bisect_options *options); /* keeps only min_df and memory_limit */
void bisect_gather_destroy(bisect_gather *g);                                  /* NULL is a no-op */

bool bisect_gather_pass(bisect_gather *g); /* begins a pass; false: there is no more to do */
/* More places of the term, ascending, below n; a term's may come in several calls. */
void bisect_gather_places(bisect_gather *g, const uint32_t *places, size_t count);
void bisect_gather_end(bisect_gather *g); /* the next places are another term's */

/* After the passes. False when memory_limit is too low to be of use: then keep the order there is. The documents live as
 * long as the gatherer; their terms are numbered in the order in which they came. */
bool bisect_gather_documents(const bisect_gather *g, bisect_documents *out);

#endif
