/* The table of counts: keys by hash, and of each key one cell for every rank at which it was shown. */
#include "rank/examination.h"

#include "rank/examination_internal.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_SHOWN 1e6     /* in one observation */
#define FEATURE_LIMIT 1e3  /* relevance is logistic in the features: beyond this they say nothing more */
#define LEAST_SHOWN 1e-3   /* a key that faded to less is dropped */

static const char *const method_names[EXAMINATION_METHODS] = {"harvest", "all-pairs", "adjacent", "pivot",
                                                              "regression-em"};

const char *examination_method_name(examination_method m) {
    return (unsigned)m < EXAMINATION_METHODS ? method_names[m] : "unknown";
}

bool examination_method_named(const char *name, examination_method *out) {
    for (int m = 0; name && m < EXAMINATION_METHODS; m++)
        if (!strcmp(name, method_names[m])) {
            *out = (examination_method)m;
            return true;
        }
    return false;
}

void examination_config_default(examination_config *c) {
    *c = (examination_config){.n_ranks = 10, .max_keys = 65536, .prior_power = 1, .prior_spread = .5};
}

static forage_status check_config(const examination_config *c, base_error *error) {
    if (c->n_ranks < 2 || c->n_ranks > EXAMINATION_MAX_RANKS)
        return error_set(error, FORAGE_E_INVALID, "examination n_ranks: expected 2 to %d, got %u",
                         EXAMINATION_MAX_RANKS, c->n_ranks);
    if (c->n_features > EXAMINATION_MAX_FEATURES)
        return error_set(error, FORAGE_E_INVALID, "examination n_features: expected 0 to %d, got %u",
                         EXAMINATION_MAX_FEATURES, c->n_features);
    if (c->max_keys < 16 || c->max_keys > EXAMINATION_MAX_KEYS)
        return error_set(error, FORAGE_E_INVALID, "examination max_keys: expected 16 to %u, got %u",
                         EXAMINATION_MAX_KEYS, c->max_keys);
    if (!(c->prior_power >= 0 && c->prior_power <= 4))
        return error_set(error, FORAGE_E_INVALID, "examination prior_power: expected 0 to 4, got %g", c->prior_power);
    if (!(c->prior_spread >= .01 && c->prior_spread <= 10))
        return error_set(error, FORAGE_E_INVALID, "examination prior_spread: expected 0.01 to 10, got %g",
                         c->prior_spread);
    return FORAGE_OK;
}

void exam_init(examination *e, const examination_config *config) {
    *e = (examination){.config = *config, .n_slots = 64};
    e->slots = mem_zalloc(e->n_slots, sizeof *e->slots);
}

void exam_release(examination *e) {
    free(e->slots);
    free(e->keys);
    free(e->cells);
    free(e->x);
}

forage_status examination_create(const examination_config *config, examination **out, base_error *error) {
    forage_status status = check_config(config, error);
    if (status) return status;
    examination *e = mem_alloc(sizeof *e);
    exam_init(e, config);
    *out = e;
    return FORAGE_OK;
}

void examination_destroy(examination *e) {
    if (!e) return;
    exam_release(e);
    free(e);
}

void examination_clear(examination *e) {
    examination_config config = e->config;
    exam_release(e);
    exam_init(e, &config);
}

uint64_t examination_key(hash128 query, uint64_t document) {
    uint8_t both[24];
    memcpy(both, query.bytes, 16);
    memcpy(both + 16, &document, 8);
    return hash64(both, sizeof both, 0);
}

/* ---- Keys and cells ---- */

static uint64_t hash_of(uint64_t key) { return hash64(&key, sizeof key, 1); }

bool exam_sampled(const examination *e, uint64_t key) { return !e->level || hash_of(key) >> (64 - e->level) == 0; }

/* The leading bits decide who is in the sample, the trailing ones who stands where. */
static uint32_t *slot_of(const examination *e, uint64_t key) {
    size_t at = (size_t)hash_of(key) & (e->n_slots - 1);
    while (e->slots[at] && e->keys[e->slots[at] - 1].key != key) at = (at + 1) & (e->n_slots - 1);
    return &e->slots[at];
}

static void fill_slots(examination *e, size_t n_slots) {
    free(e->slots);
    e->slots = mem_zalloc(n_slots, sizeof *e->slots);
    e->n_slots = n_slots;
    for (size_t i = 0; i < e->n_keys; i++) *slot_of(e, e->keys[i].key) = (uint32_t)i + 1;
}

static uint32_t add_key(examination *e, uint64_t key) {
    uint32_t F = e->config.n_features;
    if (2 * (e->n_keys + 1) > e->n_slots) fill_slots(e, 2 * e->n_slots);
    e->keys = mem_grow(e->keys, &e->key_room, e->n_keys + 1, sizeof *e->keys);
    e->keys[e->n_keys] = (exam_key){.key = key, .first = NO_CELL};
    if (F) {
        e->x = mem_grow(e->x, &e->x_room, (e->n_keys + 1) * F, sizeof *e->x);
        memset(e->x + e->n_keys * F, 0, F * sizeof *e->x);
    }
    *slot_of(e, key) = (uint32_t)e->n_keys + 1;
    return (uint32_t)e->n_keys++;
}

exam_cell *exam_find(examination *e, uint64_t key, uint32_t rank, uint32_t *key_number) {
    if (!exam_sampled(e, key)) return NULL;
    uint32_t number = *slot_of(e, key), before = NO_CELL;
    number = number ? number - 1 : add_key(e, key);
    *key_number = number;
    uint32_t at = e->keys[number].first;
    while (at != NO_CELL && e->cells[at].rank < rank) {
        before = at;
        at = e->cells[at].next;
    }
    if (at != NO_CELL && e->cells[at].rank == rank) return &e->cells[at];
    e->cells = mem_grow(e->cells, &e->cell_room, e->n_cells + 1, sizeof *e->cells);
    e->cells[e->n_cells] = (exam_cell){.next = at, .rank = rank};
    if (before == NO_CELL) e->keys[number].first = (uint32_t)e->n_cells;
    else e->cells[before].next = (uint32_t)e->n_cells;
    return &e->cells[e->n_cells++];
}

void exam_rebuild(examination *e, double least) {
    uint32_t F = e->config.n_features;
    exam_cell *cells = mem_alloc((e->n_cells + 1) * sizeof *cells);
    size_t n_keys = 0, n_cells = 0;
    for (size_t i = 0; i < e->n_keys; i++) {
        exam_key k = e->keys[i];
        if (!exam_sampled(e, k.key) || k.shown < least) continue;
        size_t from = n_cells;
        for (uint32_t at = k.first; at != NO_CELL; at = e->cells[at].next) {
            if (e->cells[at].n < least) continue;
            cells[n_cells] = e->cells[at];
            cells[n_cells].next = (uint32_t)n_cells + 1;
            n_cells++;
        }
        if (n_cells == from) continue;
        k.first = (uint32_t)from;
        cells[n_cells - 1].next = NO_CELL;
        if (F) memmove(e->x + n_keys * F, e->x + i * F, F * sizeof *e->x);
        e->keys[n_keys++] = k;
    }
    free(e->cells);
    e->cell_room = e->n_cells + 1;
    e->cells = cells;
    e->n_cells = n_cells;
    e->n_keys = n_keys;
    fill_slots(e, e->n_slots);
}

void exam_thin(examination *e) {
    while (e->n_keys > e->config.max_keys && e->level < EXAM_MOST_LEVEL) {
        e->level++;
        exam_rebuild(e, 0);
    }
}

/* ---- Counting ---- */

/* features[i] becomes the mean over impressions, of which `before` are in it and `more` are added. */
static void add_features(float *mean, const float *features, uint32_t F, double before, double more) {
    for (uint32_t i = 0; i < F; i++) {
        double x = features && isfinite(features[i]) ? (double)features[i] : 0;
        x = fmax(-FEATURE_LIMIT, fmin(FEATURE_LIMIT, x));
        mean[i] = (float)((double)mean[i] + (x - (double)mean[i]) * more / (before + more));
    }
}

bool examination_add(examination *e, const examination_observation *o) {
    if (!(o->shown > 0 && (double)o->shown <= MOST_SHOWN && o->clicks >= 0 && o->clicks <= o->shown)) return false;
    if (!(o->propensity >= 0 && o->propensity <= 1) || !o->rank) return false;
    if (o->rank > e->config.n_ranks) return true;
    uint32_t rank = o->rank - 1, number;
    double shown = (double)o->shown, chance = o->propensity > 0 ? (double)o->propensity : 1;
    if (chance < EXAMINATION_LEAST_CHANCE) {
        chance = EXAMINATION_LEAST_CHANCE;
        e->clipped++;
    }
    e->shown[rank] += shown;
    e->clicks[rank] += (double)o->clicks;
    exam_cell *cell = exam_find(e, o->key, rank, &number);
    if (!cell) return true;
    cell->n += shown / chance;
    cell->c += (double)o->clicks / chance;
    cell->n2 += shown / chance / chance;
    uint32_t F = e->config.n_features;
    if (F) add_features(e->x + (size_t)number * F, o->features, F, e->keys[number].shown, shown);
    e->keys[number].shown += shown;
    if (e->n_keys > e->config.max_keys) exam_thin(e);
    return true;
}

static void merge_key(examination *e, const examination *other, size_t i) {
    const exam_key *from = &other->keys[i];
    uint32_t number = 0, F = e->config.n_features;
    for (uint32_t at = from->first; at != NO_CELL; at = other->cells[at].next) {
        const exam_cell *add = &other->cells[at];
        exam_cell *cell = exam_find(e, from->key, add->rank, &number);
        if (!cell) return;
        cell->n += add->n;
        cell->c += add->c;
        cell->n2 += add->n2;
    }
    if (F) add_features(e->x + (size_t)number * F, other->x + i * F, F, e->keys[number].shown, from->shown);
    e->keys[number].shown += from->shown;
}

forage_status examination_merge(examination *e, const examination *other, base_error *error) {
    if (e->config.n_ranks != other->config.n_ranks || e->config.n_features != other->config.n_features)
        return error_set(error, FORAGE_E_INVALID, "examination: of %u ranks and %u features, expected %u and %u",
                         other->config.n_ranks, other->config.n_features, e->config.n_ranks, e->config.n_features);
    assert(e != other);
    if (other->level > e->level) {
        e->level = other->level;
        exam_rebuild(e, 0);
    }
    for (uint32_t k = 0; k < e->config.n_ranks; k++) {
        e->shown[k] += other->shown[k];
        e->clicks[k] += other->clicks[k];
    }
    e->clipped += other->clipped;
    for (size_t i = 0; i < other->n_keys; i++) {
        merge_key(e, other, i);
        if (e->n_keys > e->config.max_keys) exam_thin(e);
    }
    return FORAGE_OK;
}

void examination_fade(examination *e, double factor) {
    assert(factor > 0 && factor <= 1);
    for (uint32_t k = 0; k < e->config.n_ranks; k++) {
        e->shown[k] *= factor;
        e->clicks[k] *= factor;
    }
    for (size_t i = 0; i < e->n_cells; i++) {
        e->cells[i].n *= factor;
        e->cells[i].c *= factor;
        e->cells[i].n2 *= factor;
    }
    for (size_t i = 0; i < e->n_keys; i++) e->keys[i].shown *= factor;
    exam_rebuild(e, LEAST_SHOWN);
}

/* ---- Rows to fit ---- */

static int by_key(const void *a, const void *b) {
    uint64_t x = ((const exam_ordered *)a)->key, y = ((const exam_ordered *)b)->key;
    return (x > y) - (x < y);
}

exam_ordered *exam_order(const examination *e) {
    exam_ordered *order = mem_alloc((e->n_keys + 1) * sizeof *order);
    for (size_t i = 0; i < e->n_keys; i++) order[i] = (exam_ordered){e->keys[i].key, (uint32_t)i};
    qsort(order, e->n_keys, sizeof *order, by_key);
    return order;
}

void exam_rows_init(const examination *e, exam_rows *r) {
    uint32_t F = e->config.n_features;
    size_t n = e->n_keys, rows = 0;
    exam_ordered *order = exam_order(e);
    *r = (exam_rows){.K = e->config.n_ranks, .F = F, .n_keys = n};
    r->first = mem_alloc((n + 1) * sizeof *r->first);
    r->key = mem_alloc((n + 1) * sizeof *r->key);
    r->rank = mem_alloc(e->n_cells + 1);
    r->n = mem_alloc((e->n_cells + 1) * sizeof *r->n);
    r->c = mem_alloc((e->n_cells + 1) * sizeof *r->c);
    r->x = mem_alloc((n * F + 1) * sizeof *r->x);
    for (size_t i = 0; i < n; i++) {
        const exam_key *k = &e->keys[order[i].number];
        r->first[i] = rows;
        r->key[i] = k->key;
        if (F) memcpy(r->x + i * F, e->x + (size_t)order[i].number * F, F * sizeof *r->x);
        for (uint32_t at = k->first; at != NO_CELL; at = e->cells[at].next) {
            const exam_cell *cell = &e->cells[at];
            double scale = cell->n / cell->n2;
            r->rank[rows] = (uint8_t)cell->rank;
            r->n[rows] = cell->n * scale;
            r->c[rows++] = fmin(cell->c, cell->n) * scale;
        }
    }
    r->first[n] = rows;
    free(order);
}

void exam_rows_release(exam_rows *r) {
    free(r->first);
    free(r->key);
    free(r->rank);
    free(r->n);
    free(r->c);
    free(r->x);
}
