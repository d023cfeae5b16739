/* Training: count terms, weigh the matrix, find its directions, give each term and each bucket of n-grams a vector. */
#include "encode/catalogue_model.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define DEFAULT_DIMENSIONS 128u
#define DEFAULT_TERMS 100000u
#define FEWEST_DOCUMENTS 10u
#define DAMPING 0.25       /* directions are scaled by strength^−DAMPING: 0 is plain projection, ½ whitening */
#define TIE '\1'           /* begins what is no word: no n-grams */

typedef struct term {
    slice text;
    uint64_t key;
    uint32_t documents, number; /* number: the column, UINT32_MAX: none */
    uint32_t last;              /* document that was counted last, + 1 */
    uint32_t entry;             /* its entry in that document, from the document's first */
} term;

struct catalogue_trainer {
    catalogue_options options;
    text_analyzer *analyzer;
    arena memory;
    term *terms;
    size_t n_terms, terms_capacity;
    uint32_t *slots; /* place + 1 among terms */
    size_t n_slots;
    uint64_t *first; /* of each document among the entries; one more than documents */
    size_t n_documents, first_capacity;
    uint32_t *column; /* terms */
    float *value;     /* how often */
    size_t n_entries, column_capacity, value_capacity;
};

catalogue_trainer *catalogue_trainer_create(const catalogue_options *options) {
    catalogue_trainer *t = mem_zalloc(1, sizeof *t);
    t->options = *options;
    if (!t->options.dimensions) t->options.dimensions = DEFAULT_DIMENSIONS;
    if (!t->options.most_terms) t->options.most_terms = DEFAULT_TERMS;
    t->analyzer = text_analyzer_create();
    arena_init(&t->memory, 1 << 20);
    t->n_slots = 1 << 16;
    t->slots = mem_zalloc(t->n_slots, sizeof *t->slots);
    t->first = mem_grow(NULL, &t->first_capacity, 1024, sizeof *t->first);
    t->first[0] = 0;
    return t;
}

void catalogue_trainer_destroy(catalogue_trainer *t) {
    if (!t) return;
    text_analyzer_destroy(t->analyzer);
    arena_release(&t->memory);
    free(t->terms);
    free(t->slots);
    free(t->first);
    free(t->column);
    free(t->value);
    free(t);
}

size_t catalogue_trainer_documents(const catalogue_trainer *t) { return t->n_documents; }

static void place(catalogue_trainer *t, uint32_t number) {
    size_t at = t->terms[number].key & (t->n_slots - 1);
    while (t->slots[at]) at = (at + 1) & (t->n_slots - 1);
    t->slots[at] = number + 1;
}

static uint32_t term_of(catalogue_trainer *t, slice text, uint64_t key) {
    for (size_t at = key & (t->n_slots - 1); t->slots[at]; at = (at + 1) & (t->n_slots - 1))
        if (t->terms[t->slots[at] - 1].key == key) return t->slots[at] - 1;
    t->terms = mem_grow(t->terms, &t->terms_capacity, t->n_terms + 1, sizeof *t->terms);
    t->terms[t->n_terms] = (term){.text = arena_slice(&t->memory, text), .key = key, .number = UINT32_MAX};
    if (2 * (t->n_terms + 1) > t->n_slots) {
        free(t->slots);
        t->n_slots *= 2;
        t->slots = mem_zalloc(t->n_slots, sizeof *t->slots);
        for (size_t i = 0; i < t->n_terms; i++) place(t, (uint32_t)i);
    }
    place(t, (uint32_t)t->n_terms);
    return (uint32_t)t->n_terms++;
}

/* Once more in the document at hand. */
static void count(catalogue_trainer *t, slice text, uint64_t key, float weight) {
    uint32_t number = term_of(t, text, key);
    term *m = &t->terms[number];
    uint64_t first = t->first[t->n_documents - 1];
    if (m->last == t->n_documents) {
        t->value[first + m->entry] += weight;
        return;
    }
    t->column = mem_grow(t->column, &t->column_capacity, t->n_entries + 1, sizeof *t->column);
    t->value = mem_grow(t->value, &t->value_capacity, t->n_entries + 1, sizeof *t->value);
    m->last = (uint32_t)t->n_documents;
    m->entry = (uint32_t)(t->n_entries - first);
    m->documents++;
    t->column[t->n_entries] = number;
    t->value[t->n_entries++] = weight;
    t->first[t->n_documents] = t->n_entries;
}

void catalogue_trainer_more(catalogue_trainer *t, slice text, float weight) {
    if (!t->n_documents || !(weight > 0)) return;
    text_tokens tokens = text_analyze(t->analyzer, text, t->options.language, CATALOGUE_TOKENS);
    for (size_t i = 0; i < tokens.count; i++)
        if (!tokens.tokens[i].stopword) count(t, tokens.tokens[i].term, catalogue_key(tokens.tokens[i].term), weight);
}

void catalogue_trainer_tie(catalogue_trainer *t, uint64_t key, float weight) {
    if (!t->n_documents || !(weight > 0)) return;
    char text[1 + sizeof key];
    text[0] = TIE;
    memcpy(text + 1, &key, sizeof key);
    slice name = {text, sizeof text};
    count(t, name, catalogue_key(name), weight);
}

void catalogue_trainer_document(catalogue_trainer *t, slice text) {
    t->first = mem_grow(t->first, &t->first_capacity, t->n_documents + 2, sizeof *t->first);
    t->first[++t->n_documents] = t->n_entries;
    const char *end = text.size ? memchr(text.data, '\n', text.size) : NULL;
    if (end) catalogue_trainer_more(t, (slice){text.data, (size_t)(end - text.data)}, CATALOGUE_TITLE - 1);
    catalogue_trainer_more(t, text, 1);
}

/* ---- The matrix ---- */

static int by_documents(const void *x, const void *y) {
    const term *a = *(term *const *)x, *b = *(term *const *)y;
    if (a->documents != b->documents) return a->documents < b->documents ? 1 : -1;
    return a->key < b->key ? -1 : a->key > b->key;
}

/* The most frequent terms that stand in two documents at least get columns. Returns how many. */
static uint32_t choose_terms(catalogue_trainer *t, term **chosen) {
    size_t n = 0;
    for (size_t i = 0; i < t->n_terms; i++) {
        t->terms[i].number = UINT32_MAX;
        if (t->terms[i].documents > 1) chosen[n++] = &t->terms[i];
    }
    if (n) qsort(chosen, n, sizeof *chosen, by_documents);
    if (n > t->options.most_terms) n = t->options.most_terms;
    for (size_t i = 0; i < n; i++) chosen[i]->number = (uint32_t)i;
    return (uint32_t)n;
}

static float idf_of(const catalogue_trainer *t, const term *m) {
    return (float)log1p(((double)t->n_documents - m->documents + 0.5) / (m->documents + 0.5));
}

typedef struct weighted {
    uint64_t *first;
    uint32_t *column;
    float *value;
} weighted;

/* Rows of unit length. */
static weighted weigh(const catalogue_trainer *t, const float *idf) {
    weighted w = {mem_alloc((t->n_documents + 1) * sizeof *w.first), mem_alloc((t->n_entries + 1) * sizeof *w.column),
                  mem_alloc((t->n_entries + 1) * sizeof *w.value)};
    uint64_t n = 0;
    w.first[0] = 0;
    for (size_t d = 0; d < t->n_documents; d++) {
        double square = 0;
        for (uint64_t e = t->first[d]; e < t->first[d + 1]; e++) {
            uint32_t column = t->terms[t->column[e]].number;
            if (column == UINT32_MAX) continue;
            float value = log1pf(t->value[e]) * idf[column];
            w.column[n] = column;
            w.value[n++] = value;
            square += (double)value * value;
        }
        for (uint64_t e = w.first[d]; e < n; e++) w.value[e] /= (float)sqrt(square);
        w.first[d + 1] = n;
    }
    return w;
}

/* ---- Vectors ---- */

static int by_key(const void *x, const void *y) {
    const term *a = *(term *const *)x, *b = *(term *const *)y;
    return a->key < b->key ? -1 : a->key > b->key;
}

static void set_terms(term **chosen, uint32_t n, uint32_t k, const float *basis, const float *by, const float *idf,
                      catalogue_weights *out) {
    float vector[CATALOGUE_MOST_DIMENSIONS];
    catalogue_rows_make(&out->terms, n, k);
    out->keys = mem_alloc((n + 1) * sizeof *out->keys);
    qsort(chosen, n, sizeof *chosen, by_key);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t column = chosen[i]->number;
        for (uint32_t d = 0; d < k; d++) vector[d] = basis[(size_t)column * k + d] * by[d] * idf[column];
        out->keys[i] = chosen[i]->key;
        catalogue_row_set(&out->terms, i, k, vector);
    }
}

/* The mean of the vectors of the words that have an n-gram of the bucket. */
static void set_buckets(term **chosen, uint32_t n, uint32_t k, const float *basis, const float *by, const float *idf,
                        catalogue_weights *out) {
    uint32_t buckets[128];
    float *sums = mem_zalloc((size_t)CATALOGUE_BUCKETS * k, sizeof *sums), *counts = mem_zalloc(CATALOGUE_BUCKETS, sizeof *counts);
    for (uint32_t i = 0; i < n; i++) {
        if (chosen[i]->text.data[0] == TIE) continue;
        uint32_t column = chosen[i]->number;
        size_t m = catalogue_ngrams(chosen[i]->text, buckets, 128);
        for (size_t b = 0; b < m; b++) {
            float *sum = sums + (size_t)buckets[b] * k;
            counts[buckets[b]]++;
            for (uint32_t d = 0; d < k; d++) sum[d] += basis[(size_t)column * k + d] * by[d] * idf[column];
        }
    }
    catalogue_rows_make(&out->buckets, CATALOGUE_BUCKETS, k);
    for (uint32_t b = 0; b < CATALOGUE_BUCKETS; b++) {
        float *sum = sums + (size_t)b * k;
        for (uint32_t d = 0; d < k && counts[b] > 0; d++) sum[d] /= counts[b];
        catalogue_row_set(&out->buckets, b, k, sum);
    }
    free(sums);
    free(counts);
}

forage_status catalogue_train(catalogue_trainer *t, encoder **out, base_error *error) {
    uint32_t k = t->options.dimensions;
    term **chosen = mem_alloc((t->n_terms + 1) * sizeof *chosen);
    uint32_t n = choose_terms(t, chosen);
    if (t->n_documents < FEWEST_DOCUMENTS || n < 2) {
        free(chosen);
        return error_set(error, FORAGE_E_INVALID, "%zu documents with %u words that stand in two of them are too few to learn from",
                         t->n_documents, n);
    }
    float *idf = mem_alloc(n * sizeof *idf), *basis = mem_alloc((size_t)n * k * sizeof *basis), strength[CATALOGUE_MOST_DIMENSIONS],
          by[CATALOGUE_MOST_DIMENSIONS];
    for (uint32_t i = 0; i < n; i++) idf[i] = idf_of(t, chosen[i]);
    weighted w = weigh(t, idf);
    catalogue_matrix m = {(uint32_t)t->n_documents, n, w.first, w.column, w.value};
    bool going = catalogue_directions(&m, k, t->options.seed, t->options.progress, t->options.context, basis, strength);
    if (going) {
        catalogue_weights *weights = mem_zalloc(1, sizeof *weights);
        weights->dimensions = k;
        weights->language = t->options.language;
        for (uint32_t d = 0; d < k; d++) by[d] = strength[d] > strength[0] * 1e-7f ? (float)pow((double)strength[d], -DAMPING) : 0;
        set_buckets(chosen, n, k, basis, by, idf, weights);
        set_terms(chosen, n, k, basis, by, idf, weights);
        *out = catalogue_encoder(weights);
    }
    free(w.first);
    free(w.column);
    free(w.value);
    free(idf);
    free(basis);
    free(chosen);
    return going ? FORAGE_OK : error_set(error, FORAGE_E_CLOSED, "training was ended");
}
