/* How a query's words lie in the text fields of given documents: what a ranker wants to know beyond the one BM25F score.
 *
 * All of it comes from the positions of the words' postings and is exact. */
#ifndef SPARSE_MATCH_H
#define SPARSE_MATCH_H

#include "sparse/search.h"

#define SPARSE_MATCH_TERMS 64 /* of a query; further ones are left out */

/* One text field of one document. All but `length` are 0 when none of the query's words is in it. */
typedef struct sparse_match {
    float bm25;      /* Σ_t weight_t · idf_t · (k1 + 1) · tf / (tf + k1 · (1 − b + b · length / average)), the field alone */
    float coverage;  /* the share of Σ_t weight_t · idf_t whose words are in the field, 0 … 1 */
    float matched;   /* how many of the query's different words are in it */
    float exact;     /* 1: the field, or one of its values, is the query's words and nothing else */
    float prefix;    /* 1: the field, or one of its values, begins with the query's words */
    float phrase;    /* the longest run of query words that stand next to each other and in order / their number, 0 … 1 */
    float proximity; /* different words matched / tokens of the smallest stretch that has them all, 0 … 1; 0: fewer than 2 */
    float first;     /* 1 / (1 + tokens before the first match), 0 … 1; a gap between values is a token, as in proximity */
    float length;    /* ln(1 + tokens) */
} sparse_match;

/* The text fields of a config in the order of `sparse_match`'s columns: their numbers, to `fields` (may be NULL). Returns
 * how many. */
uint32_t sparse_match_columns(const sparse_config *config, uint32_t fields[SPARSE_MAX_FIELDS]);

/* terms: the query's words in its order, repeated ones included, as the fields' language makes them; those that are no
 * sparse_text_key are left out. A word of weight 0 has its place in exact, prefix and phrase and counts for nothing else:
 * that is how to give stopwords, which documents keep. idf is over the snapshot, as in sparse_search; k1 and b are the
 * config's; the average length is over the documents that have the field.
 *
 * out is n × n_columns, row-major. coverage (n, or NULL): of the whole document, the share of Σ weight · idf whose words
 * are in any text field. A document that is not in the snapshot has zeros. `required` is not looked at.
 *
 * Memory comes from the arena, and stays there: 3 KiB, 2.5 KiB for each word, about 100 bytes for each word and part, 32 for
 * each document. Cost: the dictionary once for each word and part; documents are looked at in the order of their places,
 * and each block of postings that has one is decoded once: about 0.2 µs a document and word. Any thread that holds the
 * snapshot. BM25: Robertson & Zaragoza 2009, eq. 3.15. */
void sparse_match_fields(const sparse_snapshot *s, const sparse_query_term *terms, size_t n_terms,
                         const uint32_t *documents, size_t n, arena *a, sparse_match *out, float *coverage);

#endif
