/* A plain model of a few documents, and an index's builder fed with them: what the sparse tests compare with. */
#ifndef SPARSE_MODEL_H
#define SPARSE_MODEL_H

#include "base/random.h"
#include "sparse/builder.h"
#include "testing.h"

#include <math.h>

enum { MODEL_TITLE, MODEL_BRAND, MODEL_PLAYS, MODEL_BODY, MODEL_YEAR, MODEL_FIELDS };
enum { MODEL_WORDS = 300, MODEL_BRANDS = 40, MODEL_TOKENS = 24, MODEL_VALUES = 3 };

static const sparse_config model_config = {
    .n_fields = MODEL_FIELDS,
    .fields = {{"title", SPARSE_TEXT, 2.0f}, {"brand", SPARSE_KEYWORD, 0}, {"plays", SPARSE_NUMBER, 0},
               {"body", SPARSE_TEXT, 1.0f}, {"year", SPARSE_NUMBER, 0}},
    .k1 = 1.2f, .b = 0.75f, .popularity = MODEL_PLAYS, .type = -1};

typedef struct model_document {
    uint32_t document;
    uint64_t version;
    uint32_t n[MODEL_FIELDS];
    uint16_t tokens[MODEL_FIELDS][MODEL_TOKENS]; /* words of text fields */
    bool gaps[MODEL_FIELDS][MODEL_TOKENS];       /* before that token, never the first: it begins another value */
    uint32_t n_brands;
    uint16_t brands[MODEL_VALUES];
    double plays, year;
} model_document;

static inline slice model_word(uint32_t id, char room[32]) {
    int n = snprintf(room, 32, "%s%u", id % 3 ? "word" : "w", id * 7919 % 10007);
    return (slice){room, (size_t)n};
}

static inline slice model_brand(uint32_t id, char room[32]) {
    int n = snprintf(room, 32, "brand %u", id * 31);
    return (slice){room, (size_t)n};
}

/* Squaring makes low numbers frequent, so that some terms fill many blocks and others occur once. */
static inline uint32_t model_skewed(random_source *r, uint32_t n) {
    double u = random_double(r);
    return (uint32_t)(u * u * u * n);
}

static inline model_document model_make(random_source *r, uint32_t document, uint64_t version) {
    model_document d = {.document = document, .version = version, .plays = NAN, .year = NAN};
    d.n[MODEL_TITLE] = (uint32_t)random_below(r, 6);
    d.n[MODEL_BODY] = (uint32_t)random_below(r, MODEL_TOKENS + 1);
    for (uint32_t f = 0; f < MODEL_FIELDS; f++)
        for (uint32_t i = 0; i < d.n[f]; i++) {
            d.tokens[f][i] = (uint16_t)model_skewed(r, MODEL_WORDS);
            d.gaps[f][i] = i > 0 && f == MODEL_BODY && random_below(r, 9) == 0; /* titles have one value */
        }
    d.n_brands = (uint32_t)random_below(r, MODEL_VALUES + 1);
    for (uint32_t i = 0; i < d.n_brands; i++) d.brands[i] = (uint16_t)model_skewed(r, MODEL_BRANDS);
    if (random_below(r, 4)) d.plays = floor(exp(random_double(r) * 12));
    if (random_below(r, 4)) d.year = 1900 + (double)random_below(r, 130);
    return d;
}

static inline void model_add(sparse_builder *b, const model_document *d) {
    char room[32];
    sparse_builder_begin(b);
    for (uint32_t f = 0; f < MODEL_FIELDS; f++)
        for (uint32_t i = 0; i < d->n[f]; i++) {
            if (d->gaps[f][i]) sparse_builder_gap(b, f);
            sparse_builder_term(b, f, model_word(d->tokens[f][i], room));
        }
    for (uint32_t i = 0; i < d->n_brands; i++) sparse_builder_keyword(b, MODEL_BRAND, model_brand(d->brands[i], room));
    if (!isnan(d->plays)) sparse_builder_number(b, MODEL_PLAYS, d->plays);
    if (!isnan(d->year)) sparse_builder_number(b, MODEL_YEAR, d->year);
}

static inline uint32_t model_frequency(const model_document *d, uint32_t field, uint32_t word) {
    uint32_t n = 0;
    for (uint32_t i = 0; i < d->n[field]; i++) n += d->tokens[field][i] == word;
    return n;
}

static inline uint32_t model_span(const model_document *d, uint32_t field) {
    uint32_t n = d->n[field];
    for (uint32_t i = 0; i < d->n[field]; i++) n += d->gaps[field][i];
    return n;
}

/* Where the word stands in the document, all fields end to end; MODEL_WORDS: the gaps. Returns how many. */
static inline uint32_t model_positions(const model_document *d, uint32_t word,
                                       uint32_t positions[2 * MODEL_FIELDS * MODEL_TOKENS]) {
    uint32_t n = 0, position = 0;
    for (uint32_t f = 0; f < MODEL_FIELDS; f++)
        for (uint32_t i = 0; i < d->n[f]; i++) {
            if (d->gaps[f][i] && word == MODEL_WORDS) positions[n++] = position;
            position += d->gaps[f][i];
            if (d->tokens[f][i] == word) positions[n++] = position;
            position++;
        }
    return n;
}

static inline bool model_has_brand(const model_document *d, uint32_t brand) {
    for (uint32_t i = 0; i < d->n_brands; i++)
        if (d->brands[i] == brand) return true;
    return false;
}

static inline void model_statistics(const model_document *d, size_t n, sparse_statistics *out) {
    *out = (sparse_statistics){.documents = n};
    for (size_t i = 0; i < n; i++)
        for (uint32_t f = 0; f < MODEL_FIELDS; f++) {
            out->length[f] += d[i].n[f];
            out->having[f] += d[i].n[f] > 0;
        }
}

/* The image of these documents in this order. */
static inline void model_image(const model_document *d, size_t n, const sparse_statistics *statistics, buffer *out) {
    sparse_builder *b = sparse_builder_create(&model_config);
    uint32_t *documents = mem_alloc(n * sizeof *documents);
    uint64_t *versions = mem_alloc(n * sizeof *versions);
    for (size_t i = 0; i < n; i++) {
        model_add(b, &d[i]);
        documents[i] = d[i].document;
        versions[i] = d[i].version;
    }
    sparse_builder_finish(b, documents, versions, statistics, out);
    sparse_builder_destroy(b);
    free(documents);
    free(versions);
}

#endif
