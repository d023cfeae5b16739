/* What a query finds in a world of tests, read off the documents' words without any index: required and excluded terms,
 * phrases, filters. Scores come from elsewhere. */
#ifndef SPARSE_ORACLE_H
#define SPARSE_ORACLE_H

#include "sparse_world.h"

/* A query in the world's own words. */
enum { ORACLE_TERMS = 12, ORACLE_PHRASES = 3 };
typedef struct oracle_query {
    uint32_t words[ORACLE_TERMS];
    sparse_query_term terms[ORACLE_TERMS];
    sparse_phrase phrases[ORACLE_PHRASES];
    sparse_query query; /* points to the two above */
} oracle_query;

static inline uint32_t oracle_add(oracle_query *q, uint32_t word, arena *a) {
    size_t i = q->query.n_terms++;
    assert_true(i < ORACLE_TERMS);
    q->words[i] = word;
    q->terms[i] = (sparse_query_term){.key = sparse_text_key(a, world_word(a, "w", word)), .weight = 1};
    q->query.terms = q->terms;
    q->query.phrases = q->phrases;
    q->query.text_weight = 1;
    return (uint32_t)i;
}

static inline bool oracle_contains(const world_document *d, uint32_t word) {
    for (uint32_t i = 0; i < d->n_terms; i++)
        if (d->terms[i] == word) return true;
    return false;
}

/* Words one after the other from `from` on, the last at `last` at the latest. */
static inline bool oracle_in_order(const uint32_t *words, uint32_t n, const uint32_t *tokens, uint32_t from, uint32_t last) {
    if (n == 0) return true;
    for (uint32_t i = from; i <= last; i++)
        if (tokens[i] == words[0] && oracle_in_order(words + 1, n - 1, tokens, i + 1, last)) return true;
    return false;
}

static inline uint32_t oracle_count(const uint32_t *list, uint32_t n, uint32_t word) {
    uint32_t count = 0;
    for (uint32_t i = 0; i < n; i++) count += list[i] == word;
    return count;
}

/* In one value: tries every stretch of n + slop tokens. */
static inline bool oracle_in_value(const uint32_t *words, const sparse_phrase *p, const uint32_t *tokens, uint32_t n) {
    for (uint32_t start = 0; start < n; start++) {
        uint32_t size = n - start < p->n + p->slop ? n - start : p->n + p->slop;
        bool all = true;
        if (!p->any_order) {
            if (oracle_in_order(words, p->n, tokens + start, 0, size - 1)) return true;
            continue;
        }
        for (uint32_t i = 0; i < p->n; i++)
            all &= oracle_count(tokens + start, size, words[i]) >= oracle_count(words, p->n, words[i]);
        if (all) return true;
    }
    return false;
}

static inline bool oracle_has_phrase(const world_document *d, const uint32_t *words, const sparse_phrase *p) {
    for (uint32_t from = 0, to; from < d->n_terms; from = to) {
        for (to = from + 1; to < d->n_terms && to != d->n_title && !(d->gaps >> to & 1);) to++;
        if (oracle_in_value(words, p, d->terms + from, to - from)) return true;
    }
    return false;
}

static inline bool oracle_finds(const world_document *d, const oracle_query *q) {
    bool any = false, all = true;
    for (size_t i = 0; i < q->query.n_terms; i++) {
        bool has = oracle_contains(d, q->words[i]);
        if (q->terms[i].excluded) all &= !has;
        else any |= has;
        if (q->terms[i].required) all &= has;
    }
    for (size_t i = 0; i < q->query.n_phrases; i++)
        all &= oracle_has_phrase(d, q->words + q->phrases[i].first, &q->phrases[i]);
    return any && all && !d->dead;
}

#endif
