#include "memory/predict_borrow.h"

#include "base/bytes.h"
#include "memory/query_memory.h"
#include "memory/query_memory_row.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MAX_TERMS 64          /* of a document, to look for similar ones */
#define QUERIES_OF_ONE 64     /* that one document lends */
#define EXPANDED 12           /* terms of the translation model */
#define WITH_ONE_TERM 32      /* queries tried for each */
#define MAX_CANDIDATES 1024
#define LEAST 0.02f
#define EVEN_CHANCE 0.05f /* of a query that scores 0.5 */

/* A remembered query and its terms. */
typedef struct known {
    slice text;
    hash128 key;
    float weight;
    uint32_t first, n_terms; /* in `terms` */
} known;

typedef struct posting {
    uint64_t term; /* hash */
    uint32_t query;
} posting;

struct predict_lenders {
    store_txn *t;
    predict_split split;
    text_analyzer *analyzer;
    arena memory;
    sparse_eligible behaved; /* documents that people chose */
    known *queries;
    size_t n_queries, queries_capacity;
    slice *terms;
    size_t n_terms, terms_capacity;
    double asked; /* sum of the queries' weights */
    posting *postings; /* by term, then by falling weight of the query */
    size_t n_postings;
};

bool predict_held_out(predict_split split, hash128 key, uint32_t document) {
    if (split.of == 0) return false;
    return hash64(key.bytes, sizeof key.bytes, document) % split.of == split.part;
}

/* ---- What people chose ---- */

static void mark(const sparse_snapshot *s, uint64_t **bits, sparse_eligible *out, uint32_t document) {
    uint32_t part, place;
    if (!sparse_snapshot_find(s, document, &part, &place)) return;
    uint64_t bit = (uint64_t)1 << (place % 64);
    if (bits[part][place / 64] & bit) return;
    bits[part][place / 64] |= bit;
    out->counts[part]++;
    out->count++;
}

static void find_behaved(predict_lenders *l, const sparse_snapshot *s) {
    uint64_t **bits = arena_alloc(&l->memory, (s->n_parts + 1) * sizeof *bits);
    const uint64_t **shown = arena_alloc(&l->memory, (s->n_parts + 1) * sizeof *shown);
    slice key, value;
    store_cursor *cursor;
    hash128 query;
    l->behaved = (sparse_eligible){.snapshot = s, .counts = arena_zalloc(&l->memory, s->n_parts + 1, sizeof(uint64_t))};
    for (uint32_t p = 0; p < s->n_parts; p++)
        shown[p] = bits[p] = arena_zalloc(&l->memory, sparse_segment_count(s->parts[p].segment) / 64 + 1, sizeof **bits);
    l->behaved.bits = shown;
    if (store_cursor_open(l->t, STORE_ASKED, (slice){0}, &cursor, NULL)) return;
    while (store_cursor_next(cursor, &key, &value)) {
        if (key.size != 4 + sizeof query.bytes) continue;
        memcpy(query.bytes, key.data + 4, sizeof query.bytes);
        uint32_t document = load_be32(key.data);
        if (!predict_held_out(l->split, query, document)) mark(s, bits, &l->behaved, document);
    }
    store_cursor_close(cursor);
}

/* ---- What people asked ---- */

static bool anything_left(predict_lenders *l, hash128 key) {
    memory_row *rows;
    arena a;
    if (l->split.of == 0) return true;
    arena_init(&a, 0);
    size_t n = memory_rows_of(l->t, key, MEMORY_MAX_ROWS, &a, &rows), left = 0;
    for (size_t i = 0; i < n; i++) left += !predict_held_out(l->split, key, rows[i].document);
    arena_release(&a);
    return left > 0;
}

static bool add_query(void *self, const memory_query *q) {
    predict_lenders *l = self;
    if (!anything_left(l, q->key)) return true;
    text_language language = TEXT_ANY;
    if (q->language.size) (void)text_language_from_code(q->language, &language);
    text_tokens found = text_analyze(l->analyzer, q->text, language, TRANSLATE_MAX_WORDS);
    text_token used[TRANSLATE_MAX_WORDS];
    size_t n = text_query_tokens(found, used);
    l->terms = mem_grow(l->terms, &l->terms_capacity, l->n_terms + n, sizeof *l->terms);
    l->queries = mem_grow(l->queries, &l->queries_capacity, l->n_queries + 1, sizeof *l->queries);
    l->asked += q->weight;
    l->queries[l->n_queries++] = (known){arena_slice(&l->memory, q->text), q->key, q->weight, (uint32_t)l->n_terms,
                                         (uint32_t)n};
    for (size_t i = 0; i < n; i++) l->terms[l->n_terms++] = arena_slice(&l->memory, used[i].term);
    return l->n_queries < PREDICT_MAX_KNOWN;
}

static uint64_t hash_term(slice term) { return hash64(term.data, term.size, 0); }

static int heaviest_first(const void *x, const void *y) {
    const known *a = x, *b = y;
    if (a->weight != b->weight) return a->weight > b->weight ? -1 : 1;
    return memcmp(&a->key, &b->key, sizeof a->key);
}

static int by_term(const void *x, const void *y) {
    const posting *a = x, *b = y;
    if (a->term != b->term) return a->term < b->term ? -1 : 1;
    return (a->query > b->query) - (a->query < b->query); /* queries are in order of weight */
}

static void find_queries(predict_lenders *l) {
    memory_each_query(l->t, add_query, l);
    if (l->n_queries) qsort(l->queries, l->n_queries, sizeof *l->queries, heaviest_first);
    l->postings = mem_alloc((l->n_terms + 1) * sizeof *l->postings);
    for (size_t q = 0; q < l->n_queries; q++)
        for (uint32_t i = 0; i < l->queries[q].n_terms; i++)
            l->postings[l->n_postings++] = (posting){hash_term(l->terms[l->queries[q].first + i]), (uint32_t)q};
    if (l->n_postings) qsort(l->postings, l->n_postings, sizeof *l->postings, by_term);
}

predict_lenders *predict_lenders_create(store_txn *t, const sparse_snapshot *snapshot, predict_split split,
                                        text_analyzer *analyzer) {
    predict_lenders *l = mem_zalloc(1, sizeof *l);
    *l = (predict_lenders){.t = t, .split = split, .analyzer = analyzer};
    arena_init(&l->memory, 1 << 18);
    find_behaved(l, snapshot);
    find_queries(l);
    return l;
}

void predict_lenders_destroy(predict_lenders *l) {
    if (!l) return;
    free(l->queries);
    free(l->terms);
    free(l->postings);
    arena_release(&l->memory);
    free(l);
}

uint64_t predict_lenders_documents(const predict_lenders *l) { return l->behaved.count; }

/* ---- Borrowing ---- */

/* What the index knows the document by. Other text says less than titles and attributes do. */
static size_t terms_of(const predict_lenders *l, const predict_description *d, arena *a, sparse_query_term *out) {
    size_t n = 0;
    for (size_t f = 0; f < d->n_facts && n < MAX_TERMS; f++) {
        const predict_fact *fact = &d->facts[f];
        if (fact->attribute.size) {
            out[n++] = (sparse_query_term){.key = fact->attribute, .weight = 1};
            continue;
        }
        text_tokens found = text_analyze(l->analyzer, fact->text, d->language, MAX_TERMS);
        for (size_t i = 0; i < found.count && n < MAX_TERMS; i++)
            if (!found.tokens[i].stopword)
                out[n++] = (sparse_query_term){.key = sparse_text_key(a, found.tokens[i].term),
                                               .weight = fact->role == PREDICT_TEXT ? 0.5f : 1};
    }
    return n;
}

typedef struct loan {
    hash128 key;
    float sum;
} loan;

static loan *loan_of(loan *list, size_t *n, size_t most, const hash128 *key) {
    for (size_t i = 0; i < *n; i++)
        if (memcmp(&list[i].key, key, sizeof *key) == 0) return &list[i];
    if (*n == most) return NULL;
    list[*n] = (loan){.key = *key};
    return &list[(*n)++];
}

static float belief_in(predict_lenders *l, hash128 key, uint32_t document) {
    uint8_t bytes[20];
    slice value;
    memory_counts counts;
    float mean, deviation;
    memcpy(bytes, key.bytes, sizeof key.bytes);
    store_be32(bytes + sizeof key.bytes, document);
    if (store_get(l->t, STORE_MEMORY, (slice){(const char *)bytes, sizeof bytes}, &value) ||
        !memory_counts_read(value, &counts))
        return 0;
    memory_posterior(counts.impressions, counts.rewards, &mean, &deviation);
    return mean;
}

static void borrow_from(predict_lenders *l, uint32_t lender, float weight, loan *list, size_t *n, size_t most) {
    uint8_t prefix[4];
    slice key, value;
    store_cursor *cursor;
    hash128 query;
    store_be32(prefix, lender);
    if (store_cursor_open(l->t, STORE_ASKED, (slice){(const char *)prefix, 4}, &cursor, NULL)) return;
    for (size_t taken = 0; taken < QUERIES_OF_ONE && store_cursor_next(cursor, &key, &value);) {
        if (key.size != 4 + sizeof query.bytes || memcmp(key.data, prefix, 4) != 0) break;
        memcpy(query.bytes, key.data + 4, sizeof query.bytes);
        if (predict_held_out(l->split, query, lender)) continue;
        loan *to = loan_of(list, n, most, &query);
        if (to) to->sum += weight * belief_in(l, query, lender);
        taken++;
    }
    store_cursor_close(cursor);
}

static int best_first(const void *x, const void *y) {
    const predict_entry *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return slice_compare(a->query, b->query);
}

static size_t best_of(predict_entry *list, size_t n) {
    if (n) qsort(list, n, sizeof *list, best_first);
    return n < PREDICT_MAX_QUERIES ? n : PREDICT_MAX_QUERIES;
}

size_t predict_from_neighbours(predict_lenders *l, const predict_description *d, arena *a, predict_entry **out) {
    sparse_query_term terms[MAX_TERMS];
    sparse_hit hits[PREDICT_NEAREST + 1];
    sparse_query query = {.terms = terms, .n_terms = terms_of(l, d, a, terms), .text_weight = 1};
    loan *loans = arena_alloc(a, MAX_CANDIDATES * sizeof *loans);
    predict_entry *list = arena_alloc(a, MAX_CANDIDATES * sizeof *list);
    size_t n_loans = 0, n = 0, n_hits = sparse_search(&l->behaved, &query, PREDICT_NEAREST + 1, a, hits, NULL);
    float self = 0, prior, all = 1;
    *out = list;
    if (!n_hits) return 0;
    sparse_explain(l->behaved.snapshot, &query, d->document,
                   arena_alloc(a, (query.n_terms + 1) * sizeof(sparse_term_story)), &prior, &self);
    if (!(self > hits[0].score)) self = hits[0].score; /* a document that is not in the index */
    for (size_t i = 0; i < n_hits; i++) {
        float similarity = hits[i].score / self, weight = similarity * similarity;
        if (hits[i].document == d->document || !(weight > 0)) continue;
        all += weight;
        borrow_from(l, hits[i].document, weight, loans, &n_loans, MAX_CANDIDATES);
    }
    for (size_t i = 0; i < n_loans; i++) {
        memory_query q;
        float score = loans[i].sum / all;
        if (score < LEAST || memory_query_get(l->t, loans[i].key, &q) || q.text.size > PREDICT_MAX_TEXT) continue;
        list[n++] = (predict_entry){arena_slice(a, q.text), fminf(score, 1)};
    }
    return best_of(list, n);
}

/* ---- Translating ---- */

static size_t first_posting(const predict_lenders *l, uint64_t term) {
    size_t low = 0, high = l->n_postings;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (l->postings[middle].term < term) low = middle + 1;
        else high = middle;
    }
    return low;
}

static bool is_among(const uint32_t *list, size_t n, uint32_t x) {
    for (size_t i = 0; i < n; i++)
        if (list[i] == x) return true;
    return false;
}

size_t predict_from_translation(predict_lenders *l, const translation *model, const predict_description *d, arena *a,
                                predict_entry **out) {
    slice *words;
    translated *expanded;
    size_t n_words = predict_terms(d, l->analyzer, TRANSLATE_MAX_WORDS, a, &words), n = 0, n_tried = 0;
    size_t n_expanded = translation_expand(model, words, n_words, EXPANDED, a, &expanded);
    predict_entry *list = arena_alloc(a, EXPANDED * WITH_ONE_TERM * sizeof *list);
    uint32_t tried[EXPANDED * WITH_ONE_TERM];
    for (size_t e = 0; e < n_expanded; e++) {
        uint64_t term = hash_term(expanded[e].term);
        size_t at = first_posting(l, term);
        for (size_t taken = 0; taken < WITH_ONE_TERM && at < l->n_postings && l->postings[at].term == term; at++, taken++) {
            const known *q = &l->queries[l->postings[at].query];
            if (is_among(tried, n_tried, l->postings[at].query)) continue;
            tried[n_tried++] = l->postings[at].query;
            float lift = translation_lift(model, l->terms + q->first, q->n_terms, words, n_words);
            float chance = l->asked > 0 ? (float)(q->weight / l->asked) * lift : 0, score = chance / (chance + EVEN_CHANCE);
            if (score >= LEAST && q->text.size <= PREDICT_MAX_TEXT) list[n++] = (predict_entry){arena_slice(a, q->text), score};
        }
    }
    *out = list;
    return best_of(list, n);
}

void predict_teach(predict_lenders *l, translation *model, predict_describe_terms describe, void *self,
                   size_t most_pairs) {
    arena a;
    arena_init(&a, 0);
    for (size_t i = 0; i < l->n_queries && most_pairs; i++) {
        const known *q = &l->queries[i];
        memory_row *rows;
        arena_reset(&a);
        size_t n = memory_rows_of(l->t, q->key, MEMORY_MAX_ROWS, &a, &rows);
        for (size_t r = 0; r < n && most_pairs; r++) {
            slice *terms;
            if (!(rows[r].rewards > 0) || predict_held_out(l->split, q->key, rows[r].document)) continue;
            size_t n_terms = describe(self, rows[r].document, &a, &terms);
            translation_add(model, l->terms + q->first, q->n_terms, terms, n_terms, rows[r].rewards);
            most_pairs--;
        }
    }
    arena_release(&a);
}
