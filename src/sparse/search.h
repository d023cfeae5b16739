/* Questions to a snapshot: exact top-k, filters, facets, and the plain lists that other strategies need.
 * Memory comes from the caller's arena; nothing is kept. Ties are broken by document number, ascending. */
#ifndef SPARSE_SEARCH_H
#define SPARSE_SEARCH_H

#include "base/random.h"
#include "os/clock.h"
#include "sparse/index.h"

typedef struct sparse_filter sparse_filter;
typedef enum sparse_filter_kind {
    SPARSE_FILTER_ALL,     /* every document */
    SPARSE_FILTER_AND, SPARSE_FILTER_OR, SPARSE_FILTER_NOT, /* of children (NOT: of one) */
    SPARSE_FILTER_VALUES,  /* the keyword field has any of the values */
    SPARSE_FILTER_RANGE,   /* low <= number <= high (strict when said) */
    SPARSE_FILTER_EXISTS   /* the field has a value */
} sparse_filter_kind;
struct sparse_filter {
    sparse_filter_kind kind;
    uint32_t field;
    uint32_t n_values;
    const slice *values;           /* normalised keywords */
    double low, high;              /* may be infinite */
    bool low_strict, high_strict;
    const sparse_filter *first, *next; /* children as a list */
};

/* Documents of each part that are live and pass the filter: computed once per request and shared by its strategies. */
typedef struct sparse_eligible {
    const sparse_snapshot *snapshot;
    const uint64_t **bits;  /* per part, bit per place; NULL: every place (all live, no filter) */
    uint64_t *counts;       /* per part */
    uint64_t count;
} sparse_eligible;
/* filter NULL: no filter. Cost: without a filter nothing is copied. A field that is unknown or of another kind matches
 * nothing; AND of no children is every document, OR of none is nothing, NOT of none is every document. Recursion is as
 * deep as the tree, which the caller bounds. */
void sparse_eligible_compute(const sparse_snapshot *s, const sparse_filter *filter, arena *a, sparse_eligible *out);

#define SPARSE_MAX_QUERY_TERMS 16384 /* further ones are ignored */

typedef struct sparse_query_term {
    slice key;     /* sparse_text_key, sparse_attribute_key or sparse_weight_key */
    float weight;  /* multiplies idf, or the weight that was given; 1 for a plain word, a repeated word adds up; below 0 counts as 0 */
    bool required; /* only documents with it */
    bool excluded; /* only documents without it; its weight does not count */
} sparse_query_term;

/* Only documents in which some of the query's terms stand together, in one value of one text field. The terms are
 * required by that. The score is that of the terms: a phrase selects. */
typedef struct sparse_phrase {
    uint32_t first, n; /* terms[first] … terms[first + n − 1], in this order; n >= 1 */
    uint32_t slop;     /* so many other words may stand between the first and the last; 0: a phrase */
    bool any_order;    /* the words may change places */
} sparse_phrase;

typedef struct sparse_query {
    const sparse_query_term *terms;
    size_t n_terms;
    const sparse_phrase *phrases;
    size_t n_phrases;
    float prior_weight;  /* added to the score: prior_weight × the document's popularity prior in [0, 1]; below 0: 0 */
    float text_weight;   /* multiplies the terms' part (1: BM25; 0: documents that match, by prior alone) */
    const os_clock *clock; /* with `deadline`, checked between windows; NULL: none */
    int64_t deadline;    /* monotonic microseconds */
} sparse_query;

typedef struct sparse_hit {
    uint32_t document;
    float score;
} sparse_hit;

/* score(d) = text_weight · Σ_t weight_t · idf_t · (k1 + 1) · impact_t(d) + prior_weight · prior(d), where
 * idf_t = ln(1 + (N − df_t + 0.5) / (df_t + 0.5)) over the whole snapshot and a repeated key is one term t. A token with
 * weights has 1 instead of idf_t · (k1 + 1): a dot product of the query's weights and impacts / 255.
 *
 * The k best eligible documents that have at least one of the terms, and all the required ones, exactly, best first.
 * Returns how many.
 * *late (may be NULL): the deadline passed and the list is the best so far. */
size_t sparse_search(const sparse_eligible *eligible, const sparse_query *query, size_t k, arena *a, sparse_hit *hits,
                     bool *late);
/* The same by scoring everything: the oracle for tests. */
size_t sparse_search_exhaustive(const sparse_eligible *eligible, const sparse_query *query, size_t k, arena *a,
                                sparse_hit *hits);

/* The part that one term plays in one document's score, for explanations. */
typedef struct sparse_term_story {
    bool found;
    uint64_t df;
    float idf, impact /* 0 … 1 */, score;
    uint32_t frequency[SPARSE_MAX_FIELDS];
} sparse_term_story;
/* stories[i] tells about query->terms[i]; a repeated key's score is shared by weight. *prior is the prior's part of the
 * score: the stories' scores and *prior add up to *score (to float rounding), and *score is to the bit what a search
 * gives, or 0 when the search would not return the document. Allocates; not for hot paths. */
void sparse_explain(const sparse_snapshot *s, const sparse_query *query, uint32_t document, sparse_term_story *stories,
                    float *prior, float *score);

uint64_t sparse_document_frequency(const sparse_snapshot *s, slice key); /* dead ones included */
float sparse_idf(const sparse_snapshot *s, slice key);
float sparse_idf_of(const sparse_snapshot *s, uint64_t df); /* of a word that is in df documents */

/* The eligible documents that a search could return (any term, all the required ones, no excluded one, all phrases), with
 * exact counts: for facets and totals. A search by itself counts nothing. */
void sparse_matching(const sparse_eligible *eligible, const sparse_query *query, arena *a, sparse_eligible *out);

typedef struct sparse_facet_value {
    slice value;
    uint64_t count;
} sparse_facet_value;
/* Counts of a keyword field over a set, most frequent first (ties by value), at most `limit`. */
size_t sparse_facet_keyword(const sparse_eligible *set, uint32_t field, size_t limit, arena *a,
                            sparse_facet_value *out);
/* Lowest, highest and how many have a finite value; and counts of n_buckets (64 at most) equal-width buckets. */
typedef struct sparse_facet_range {
    uint64_t count;
    double low, high, width;
    uint64_t buckets[64];
    uint32_t n_buckets;
} sparse_facet_range;
void sparse_facet_number(const sparse_eligible *set, uint32_t field, uint32_t n_buckets, sparse_facet_range *out);

/* The most popular; score: the prior. Cost: about k, unless few are eligible. */
size_t sparse_top_popular(const sparse_eligible *eligible, size_t k, arena *a, sparse_hit *hits);
/* By version, newest first; score: the version, rounded. */
size_t sparse_newest(const sparse_eligible *eligible, size_t k, arena *a, sparse_hit *hits);
/* Uniform, without replacement, in random order; score: 0. The same seed and snapshot give the same sample. */
size_t sparse_sample(const sparse_eligible *eligible, size_t k, random_source *random, arena *a, sparse_hit *hits);
/* Documents that have the value, most popular first; score: the prior. */
size_t sparse_with_keyword(const sparse_eligible *eligible, uint32_t field, slice value, size_t k, arena *a,
                           sparse_hit *hits);
bool sparse_is_eligible(const sparse_eligible *eligible, uint32_t document);

/* Terms whose key begins with `prefix` (space included), the most frequent first (ties by key), at most `limit`, copied to
 * the arena. df: documents, dead ones included. Bounded: at most 8,192 terms of each part are looked at. */
typedef struct sparse_completion {
    slice key;
    uint64_t df;
} sparse_completion;
size_t sparse_complete(const sparse_snapshot *s, slice prefix, size_t limit, arena *a, sparse_completion *out);

/* Column values of one live document. */
double sparse_number_of(const sparse_snapshot *s, uint32_t document, uint32_t field); /* NaN: none */
size_t sparse_keywords_of(const sparse_snapshot *s, uint32_t document, uint32_t field, arena *a, slice **values);
float sparse_prior_of(const sparse_snapshot *s, uint32_t document); /* 0 without popularity */
uint64_t sparse_version_of(const sparse_snapshot *s, uint32_t document);

#endif
