/* A random collection for tests of the sparse index's reading side: its documents in plain arrays, for naive answers,
 * and the snapshot of segments made of them. Numbers of documents are shuffled over parts and places; some documents were
 * replaced, so that their older self lies dead in another part. */
#ifndef SPARSE_WORLD_H
#define SPARSE_WORLD_H

#include "testing.h"

#include "base/random.h"
#include "sparse/builder.h"
#include "sparse/partcache.h"
#include "sparse/search.h"

#include <math.h>

enum { WORLD_TITLE, WORLD_BODY, WORLD_TAG, WORLD_PRICE, WORLD_POPULARITY, WORLD_BRAND, WORLD_FIELDS };
enum { WORLD_PARTS = 8, WORLD_TERMS = 12, WORLD_TAGS = 4 };

typedef struct world_document {
    uint32_t number, part, place;
    uint64_t version;
    bool dead;
    uint32_t n_terms, terms[WORLD_TERMS]; /* the first is the title's */
    uint32_t n_tags, tags[WORLD_TAGS];    /* different */
    bool has_brand;
    uint32_t brand;
    double price, popularity; /* NaN: none */
} world_document;

typedef struct world {
    sparse_config config;
    sparse_snapshot snapshot;
    sparse_part parts[WORLD_PARTS];
    sparse_segment *segments[WORLD_PARTS];
    buffer images[WORLD_PARTS];
    uint64_t *live[WORLD_PARTS];
    world_document *documents;
    uint32_t n, vocabulary;
} world;

typedef struct world_options {
    uint32_t documents, parts, vocabulary;
    double dead;     /* share of documents with a dead older self */
    bool popularity; /* whether there is such a field */
    bool ties;       /* one term a document, few popularities */
} world_options;

static inline slice world_word(arena *a, const char *kind, uint32_t i) {
    return slice_of(arena_printf(a, "%s%u", kind, i));
}

/* Small numbers are frequent: roughly Zipf. */
static inline uint32_t world_draw(random_source *r, uint32_t n) {
    double x = random_double(r);
    uint32_t i = (uint32_t)(exp(x * log((double)n + 1)) - 1);
    return i < n ? i : n - 1;
}

static inline world_document world_invent(random_source *r, const world_options *o) {
    world_document d = {.price = NAN, .popularity = NAN};
    d.n_terms = o->ties ? 1 : 1 + (uint32_t)random_below(r, WORLD_TERMS);
    for (uint32_t i = 0; i < d.n_terms; i++) d.terms[i] = world_draw(r, o->vocabulary);
    uint32_t tags = (uint32_t)random_below(r, WORLD_TAGS + 1), first = world_draw(r, 30);
    for (uint32_t i = 0; i < tags; i++) d.tags[d.n_tags++] = first + i * 7;
    d.has_brand = random_below(r, 3) > 0;
    d.brand = world_draw(r, 200);
    if (random_below(r, 4)) d.price = (double)random_below(r, 100) - 20;
    if (random_below(r, 5)) d.popularity = o->ties ? (double)random_below(r, 3) : floor(exp(random_double(r) * 12));
    return d;
}

static inline void world_add(sparse_builder *b, const world_document *d, arena *a, bool popularity) {
    sparse_builder_begin(b);
    for (uint32_t i = 0; i < d->n_terms; i++) {
        sparse_builder_term(b, i == 0 ? WORLD_TITLE : WORLD_BODY, world_word(a, "w", d->terms[i]));
    }
    for (uint32_t i = 0; i < d->n_tags; i++) sparse_builder_keyword(b, WORLD_TAG, world_word(a, "tag", d->tags[i]));
    if (d->has_brand) sparse_builder_keyword(b, WORLD_BRAND, world_word(a, "brand", d->brand));
    if (!isnan(d->price)) sparse_builder_number(b, WORLD_PRICE, d->price);
    if (popularity && !isnan(d->popularity)) sparse_builder_number(b, WORLD_POPULARITY, d->popularity);
}

static inline void world_build_part(world *w, uint32_t part, bool popularity, arena *a) {
    sparse_builder *b = sparse_builder_create(&w->config);
    uint32_t *numbers = mem_zalloc(w->n + 1, sizeof *numbers), count = 0;
    uint64_t *versions = mem_zalloc(w->n + 1, sizeof *versions);
    sparse_statistics statistics;
    base_error error = {0};
    for (uint32_t i = 0; i < w->n; i++) {
        world_document *d = &w->documents[i];
        if (d->part != part) continue;
        d->place = count;
        numbers[count] = d->number;
        versions[count++] = d->version;
        world_add(b, d, a, popularity);
    }
    sparse_builder_statistics(b, &statistics);
    sparse_statistics_add(&w->snapshot.statistics, &statistics);
    sparse_builder_finish(b, numbers, versions, &statistics, &w->images[part]);
    slice image = {w->images[part].data, w->images[part].size};
    if (sparse_segment_open(image, &w->segments[part], &error) != FORAGE_OK) fail_msg("%s", error.message);
    assert_int_equal(sparse_segment_count(w->segments[part]), count);
    sparse_builder_destroy(b);
    free(numbers);
    free(versions);
}

static inline void world_bury(world *w, uint32_t part) {
    uint32_t count = sparse_segment_count(w->segments[part]), dead = 0;
    uint64_t *live = mem_alloc((count / 64 + 1) * sizeof *live);
    memset(live, 0xff, (count / 64 + 1) * sizeof *live); /* the bits after the last place are set on purpose */
    for (uint32_t i = 0; i < w->n; i++) {
        const world_document *d = &w->documents[i];
        if (d->part != part || !d->dead) continue;
        live[d->place / 64] &= ~((uint64_t)1 << d->place % 64);
        dead++;
    }
    w->live[part] = live;
    w->parts[part] = (sparse_part){w->segments[part], dead ? live : NULL, count - dead,
                                 part_cache_create(w->segments[part])};
    w->snapshot.live_documents += count - dead;
}

static inline void world_create(world *w, random_source *r, const world_options *o) {
    static const sparse_field fields[] = {
        [WORLD_TITLE] = {"title", SPARSE_TEXT, 2}, [WORLD_BODY] = {"body", SPARSE_TEXT, 1},
        [WORLD_TAG] = {"tag", SPARSE_KEYWORD, 0}, [WORLD_PRICE] = {"price", SPARSE_NUMBER, 0},
        [WORLD_POPULARITY] = {"popularity", SPARSE_NUMBER, 0}, [WORLD_BRAND] = {"brand", SPARSE_KEYWORD, 0},
    };
    memset(w, 0, sizeof *w);
    w->config = (sparse_config){.n_fields = WORLD_FIELDS, .k1 = 0.9f, .b = 0.4f, .type = -1};
    w->config.popularity = o->popularity ? WORLD_POPULARITY : -1;
    memcpy(w->config.fields, fields, sizeof fields);
    w->snapshot = (sparse_snapshot){.config = &w->config, .n_parts = o->parts, .parts = w->parts};
    w->vocabulary = o->vocabulary;
    w->documents = mem_zalloc((size_t)o->documents * 2 + 1, sizeof *w->documents);
    uint32_t *numbers = mem_zalloc(o->documents + 1, sizeof *numbers);
    for (uint32_t i = 0; i < o->documents; i++) {
        uint32_t j = (uint32_t)random_below(r, i + 1);
        numbers[i] = numbers[j];
        numbers[j] = i * 3 + 1;
    }
    for (uint32_t i = 0; i < o->documents; i++) {
        world_document *d = &w->documents[w->n++];
        *d = world_invent(r, o);
        d->number = numbers[i];
        d->version = 1 + random_below(r, 1000000);
        d->part = (uint32_t)random_below(r, o->parts);
        if (d->part + 1 == o->parts || random_double(r) >= o->dead) continue;
        world_document *newer = &w->documents[w->n++];
        d->dead = true;
        *newer = world_invent(r, o);
        newer->number = d->number;
        newer->version = d->version + 1;
        newer->part = d->part + 1 + (uint32_t)random_below(r, o->parts - d->part - 1);
    }
    free(numbers);
    arena a;
    arena_init(&a, 0);
    for (uint32_t p = 0; p < o->parts; p++) world_build_part(w, p, o->popularity, &a);
    for (uint32_t p = 0; p < o->parts; p++) world_bury(w, p);
    arena_release(&a);
}

static inline void world_destroy(world *w) {
    for (uint32_t p = 0; p < w->snapshot.n_parts; p++) {
        part_cache_destroy(w->parts[p].cache);
        sparse_segment_close(w->segments[p]);
        buffer_release(&w->images[p]);
        free(w->live[p]);
    }
    free(w->documents);
}

/* ---- filters: random trees and a naive reading of them ---- */

static inline sparse_filter *world_filter(random_source *r, arena *a, uint32_t depth) {
    sparse_filter *f = arena_zalloc(a, 1, sizeof *f);
    uint64_t kind = random_below(r, depth > 0 ? 7 : 4);
    static const uint32_t any_field[] = {WORLD_TITLE, WORLD_BODY,       WORLD_TAG,   WORLD_PRICE,
                                         WORLD_BRAND, WORLD_POPULARITY, WORLD_FIELDS};
    if (kind == 0 || kind == 1) {
        f->kind = SPARSE_FILTER_VALUES;
        f->field = random_below(r, 2) ? WORLD_TAG : WORLD_BRAND;
        f->n_values = (uint32_t)random_below(r, 4);
        slice *values = arena_zalloc(a, 4, sizeof *values);
        for (uint32_t i = 0; i < f->n_values; i++) {
            values[i] = world_word(a, f->field == WORLD_TAG ? "tag" : "brand", (uint32_t)random_below(r, 60));
        }
        f->values = values;
    } else if (kind == 2) {
        f->kind = SPARSE_FILTER_RANGE;
        f->field = random_below(r, 8) ? WORLD_PRICE : WORLD_TAG;
        f->low = random_below(r, 5) ? (double)random_below(r, 100) - 30 : -INFINITY;
        f->high = random_below(r, 5) ? f->low + (double)random_below(r, 60) : INFINITY;
        f->low_strict = random_below(r, 2);
        f->high_strict = random_below(r, 2);
    } else if (kind == 3) {
        f->kind = random_below(r, 4) ? SPARSE_FILTER_EXISTS : SPARSE_FILTER_ALL;
        f->field = any_field[random_below(r, sizeof any_field / sizeof *any_field)];
    } else {
        f->kind = kind == 4 ? SPARSE_FILTER_AND : kind == 5 ? SPARSE_FILTER_OR : SPARSE_FILTER_NOT;
        uint64_t children = kind == 6 ? 1 : random_below(r, 4);
        for (uint64_t i = 0; i < children; i++) {
            sparse_filter *child = world_filter(r, a, depth - 1);
            child->next = f->first;
            f->first = child;
        }
    }
    return f;
}

static inline bool world_has_value(const world_document *d, uint32_t field, slice value) {
    char word[32];
    for (uint32_t i = 0; field == WORLD_TAG && i < d->n_tags; i++) {
        snprintf(word, sizeof word, "tag%u", d->tags[i]);
        if (slice_is(value, word)) return true;
    }
    snprintf(word, sizeof word, "brand%u", d->brand);
    return field == WORLD_BRAND && d->has_brand && slice_is(value, word);
}

static inline bool world_exists(const world *w, const world_document *d, uint32_t field) {
    switch (field) {
    case WORLD_TITLE: return d->n_terms > 0;
    case WORLD_BODY: return d->n_terms > 1;
    case WORLD_TAG: return d->n_tags > 0;
    case WORLD_BRAND: return d->has_brand;
    case WORLD_PRICE: return !isnan(d->price);
    case WORLD_POPULARITY: return w->config.popularity >= 0 && !isnan(d->popularity);
    default: return false;
    }
}

static inline bool world_passes(const world *w, const world_document *d, const sparse_filter *f) {
    bool any = false, all = true;
    switch (f->kind) {
    case SPARSE_FILTER_ALL: return true;
    case SPARSE_FILTER_EXISTS: return world_exists(w, d, f->field);
    case SPARSE_FILTER_RANGE:
        if (f->field != WORLD_PRICE || isnan(d->price)) return false;
        return (f->low_strict ? d->price > f->low : d->price >= f->low) &&
               (f->high_strict ? d->price < f->high : d->price <= f->high);
    case SPARSE_FILTER_VALUES:
        for (uint32_t i = 0; i < f->n_values; i++) any |= world_has_value(d, f->field, f->values[i]);
        return any;
    default:
        for (const sparse_filter *c = f->first; c; c = c->next) {
            bool passes = world_passes(w, d, c);
            any |= passes;
            all &= passes;
        }
        return f->kind == SPARSE_FILTER_AND ? all : f->kind == SPARSE_FILTER_OR ? any : !any;
    }
}

static inline bool world_eligible(const sparse_eligible *e, const world_document *d) {
    return !e->bits[d->part] || (e->bits[d->part][d->place / 64] >> d->place % 64 & 1);
}

#endif
