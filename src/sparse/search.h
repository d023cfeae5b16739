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
/* filter NULL: no filter. Cost: without a filter nothing is copied. */
void sparse_eligible_compute(const sparse_snapshot *s, const sparse_filter *filter, arena *a, sparse_eligible *out);

typedef struct sparse_query_term {
    slice key;     /* sparse_text_key or sparse_attribute_key */
    float weight;  /* multiplies idf; 1 for a plain word, a repeated word adds up */
    bool required; /* only documents with it */
} sparse_query_term;

typedef struct sparse_query {
    const sparse_query_term *terms;
    size_t n_terms;
    float prior_weight;  /* added to the score: prior_weight × the document's popularity prior in [0, 1] */
    float text_weight;   /* multiplies the terms' part (1: BM25; 0: documents that match, by prior alone) */
    const os_clock *clock; /* with `deadline`, checked between windows; NULL: none */
    int64_t deadline;    /* monotonic microseconds */
} sparse_query;

typedef struct sparse_hit {
    uint32_t document;
    float score;
} sparse_hit;

/* The k best eligible documents that have at least one of the terms, exactly, best first. Returns how many.
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
void sparse_explain(const sparse_snapshot *s, const sparse_query *query, uint32_t document, sparse_term_story *stories,
                    float *prior, float *score);

uint64_t sparse_document_frequency(const sparse_snapshot *s, slice key); /* dead ones included */
float sparse_idf(const sparse_snapshot *s, slice key);

/* Documents that match any term and are eligible: for facets and totals. Counting stops at `limit` (0: exact);
 * bits as in sparse_eligible. */
void sparse_matching(const sparse_eligible *eligible, const sparse_query_term *terms, size_t n, arena *a,
                     sparse_eligible *out);

typedef struct sparse_facet_value {
    slice value;
    uint64_t count;
} sparse_facet_value;
/* Counts of a keyword field over a set, most frequent first (ties by value), at most `limit`. */
size_t sparse_facet_keyword(const sparse_eligible *set, uint32_t field, size_t limit, arena *a,
                            sparse_facet_value *out);
/* Lowest, highest and how many have a value; and counts of up to n_buckets equal-width buckets. */
typedef struct sparse_facet_range {
    uint64_t count;
    double low, high, width;
    uint64_t buckets[64];
    uint32_t n_buckets;
} sparse_facet_range;
void sparse_facet_number(const sparse_eligible *set, uint32_t field, uint32_t n_buckets, sparse_facet_range *out);

size_t sparse_top_popular(const sparse_eligible *eligible, size_t k, arena *a, sparse_hit *hits); /* score: the prior */
size_t sparse_newest(const sparse_eligible *eligible, size_t k, arena *a, sparse_hit *hits);      /* by version, newest first */
size_t sparse_sample(const sparse_eligible *eligible, size_t k, random_source *random, arena *a, sparse_hit *hits); /* uniform,
                                                                                                 without replacement */
size_t sparse_with_keyword(const sparse_eligible *eligible, uint32_t field, slice value, size_t k, arena *a,
                           sparse_hit *hits); /* documents that have the value, most popular first */
bool sparse_is_eligible(const sparse_eligible *eligible, uint32_t document);

/* Column values of one live document. */
double sparse_number_of(const sparse_snapshot *s, uint32_t document, uint32_t field); /* NaN: none */
size_t sparse_keywords_of(const sparse_snapshot *s, uint32_t document, uint32_t field, arena *a, slice **values);
float sparse_prior_of(const sparse_snapshot *s, uint32_t document); /* 0 without popularity */
uint64_t sparse_version_of(const sparse_snapshot *s, uint32_t document);

#endif
