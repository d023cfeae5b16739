#include "rank/experiment.h"

#include "rank/experiment_state.h"

#include "base/hash.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FIRST_SLOTS 256
#define MOST_SECONDS (31.0 * 86400)
#define MOST_TIME ((int64_t)1 << 62)

/* ---- settings ---- */

static const char *const kind_names[] = {"ab", "team_draft", "optimised"};

void experiment_config_default(experiment_config *c, const char *name, experiment_kind kind, const char *a, const char *b) {
    *c = (experiment_config){.name = name, .kind = kind, .side = {a, b}, .share = 1, .split = .5, .window = 1800, .alpha = .05};
}

const char *experiment_kind_name(experiment_kind kind) {
    return (unsigned)kind < 3 ? kind_names[kind] : "unknown";
}

bool experiment_kind_of(slice name, experiment_kind *out) {
    for (int kind = 0; kind < 3; kind++) {
        if (!slice_is(name, kind_names[kind])) continue;
        *out = (experiment_kind)kind;
        return true;
    }
    return false;
}

static forage_status check_name(const char *what, const char *name, base_error *error) {
    size_t size = name ? strlen(name) : 0;
    if (size >= 1 && size <= EXPERIMENT_NAME_MAX) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "experiment %s: expected 1 to %d bytes, got %zu", what, EXPERIMENT_NAME_MAX, size);
}

static forage_status check_range(const char *what, double value, double low, double high, base_error *error) {
    if (value >= low && value <= high) return FORAGE_OK;
    return error_set(error, FORAGE_E_INVALID, "experiment %s: expected %g to %g, got %g", what, low, high, value);
}

forage_status experiment_check(const experiment_config *c, base_error *error) {
    forage_status status = check_name("name", c->name, error);
    if (!status) status = check_name("side a", c->side[0], error);
    if (!status) status = check_name("side b", c->side[1], error);
    if (!status && !strcmp(c->side[0], c->side[1]))
        status = error_set(error, FORAGE_E_INVALID, "experiment sides: both are \"%s\"", c->side[0]);
    if (!status && (unsigned)c->kind > EXPERIMENT_OPTIMISED)
        status = error_set(error, FORAGE_E_INVALID, "experiment kind: there is no %d", (int)c->kind);
    if (!status && !(c->share > 0)) status = check_range("share", c->share, 1e-6, 1, error);
    if (!status) status = check_range("share", c->share, 0, 1, error);
    if (!status) status = check_range("split", c->split, .01, .99, error);
    if (!status) status = check_range("window", c->window, 1e-3, MOST_SECONDS, error);
    if (!status) status = check_range("alpha", c->alpha, .0001, .5, error);
    return status;
}

/* ---- assignment ---- */

/* Uniform in [0, 1), by what is asked about a unit. */
static double uniform(const experiment_config *c, uint64_t key, uint64_t question) {
    uint64_t asked[2] = {key, question};
    return (double)(hash64(asked, sizeof asked, hash64(c->name, strlen(c->name), c->salt)) >> 11) * 0x1.0p-53;
}

experiment_side experiment_assign(const experiment_config *c, experiment_unit unit, slice id, uint64_t *key) {
    uint64_t k = hash64(id.data, id.size, (uint64_t)unit);
    if (key) *key = k;
    if (!(uniform(c, k, 0) < c->share)) return EXPERIMENT_OUT;
    return c->kind != EXPERIMENT_AB || uniform(c, k, 1) < c->split ? EXPERIMENT_A : EXPERIMENT_B;
}

/* ---- units ---- */

/* Where the unit is, or where it would be. */
static size_t slot_of(const experiment *e, uint64_t key) {
    size_t mask = e->n_slots - 1, at = (size_t)(key ^ key >> 32) & mask;
    while (e->slots[at] && e->units[e->slots[at] - 1].key != key) at = (at + 1) & mask;
    return at;
}

void experiment_index(experiment *e) {
    size_t wanted = FIRST_SLOTS;
    while (wanted < 2 * (e->n_units + 1)) wanted *= 2;
    free(e->slots);
    e->n_slots = wanted;
    e->slots = mem_zalloc(wanted, sizeof *e->slots);
    for (size_t i = 0; i < e->n_units; i++) e->slots[slot_of(e, e->units[i].key)] = (uint32_t)i + 1;
}

static experiment_watched *find(const experiment *e, uint64_t key) {
    uint32_t slot = e->slots[slot_of(e, key)];
    return slot ? &e->units[slot - 1] : NULL;
}

static bool is_open(const experiment *e, const experiment_watched *u) { return u >= e->units + e->first_open; }

static void open_unit(experiment *e, uint64_t key, experiment_side side) {
    if (e->n_units == EXPERIMENT_MAX_UNITS) {
        e->turned_away++;
        return;
    }
    e->units = mem_grow(e->units, &e->capacity, e->n_units + 1, sizeof *e->units);
    e->units[e->n_units] = (experiment_watched){.key = key, .opened = e->now, .impressions = 1, .side = (uint8_t)side};
    if (2 * (++e->n_units + 1) > e->n_slots) experiment_index(e);
    else e->slots[slot_of(e, key)] = (uint32_t)e->n_units;
    e->opened[side]++;
    if (e->config.kind == EXPERIMENT_AB)
        e->mismatch = fmax(e->mismatch, sequential_ratio_mismatch(e->opened[0], e->opened[1], e->config.split));
}

bool experiment_forget(experiment *e, uint64_t key) {
    experiment_watched *u = find(e, key);
    if (!u) return false;
    size_t place = (size_t)(u - e->units);
    memmove(u, u + 1, (e->n_units - place - 1) * sizeof *u);
    e->n_units--;
    e->first_open -= place < e->first_open;
    experiment_index(e);
    return true;
}

static void close_unit(experiment *e, const experiment_watched *u) {
    if (e->config.kind == EXPERIMENT_AB) {
        sequential_arms_add(&e->arms, u->side == EXPERIMENT_B, u->for_a / u->impressions);
        e->impressions[u->side] += u->impressions;
        return;
    }
    double divisor = fmax(1, u->weight);
    sequential_add(&e->paired, (u->for_a - u->for_b) / divisor);
    e->earned[0] += u->for_a / divisor;
    e->earned[1] += u->for_b / divisor;
    e->impressions[0]++;
}

/* A page is asked about once; a person comes back, and must be known as one who has been counted. */
static void forget_pages(experiment *e) {
    if (e->config.kind == EXPERIMENT_AB || e->first_open < 1024 || e->first_open < e->n_units / 2) return;
    e->n_units -= e->first_open;
    memmove(e->units, e->units + e->first_open, e->n_units * sizeof *e->units);
    e->first_open = 0;
    experiment_index(e);
}

void experiment_advance(experiment *e, int64_t time) {
    if (time > MOST_TIME) time = MOST_TIME;
    if (time > e->now) e->now = time;
    int64_t window = (int64_t)(e->config.window * 1e6);
    while (e->first_open < e->n_units && e->now - e->units[e->first_open].opened >= window)
        close_unit(e, &e->units[e->first_open++]);
    forget_pages(e);
}

void experiment_show(experiment *e, uint64_t key, experiment_side side, int64_t time) {
    experiment_advance(e, time);
    if (side == EXPERIMENT_OUT) return;
    if (e->config.kind != EXPERIMENT_AB) side = EXPERIMENT_A;
    experiment_watched *u = find(e, key);
    if (!u) open_unit(e, key, side);
    else if (is_open(e, u) && e->config.kind == EXPERIMENT_AB) u->impressions += u->impressions < UINT32_MAX;
}

void experiment_reward(experiment *e, uint64_t key, float credit, float reward, int64_t time) {
    experiment_advance(e, time);
    double r = isnan(reward) ? 0 : fmax(-1, fmin(1, (double)reward)), c = isnan(credit) ? 0 : fmax(-1, fmin(1, (double)credit));
    experiment_watched *u = find(e, key);
    if (!u || !is_open(e, u)) {
        e->late++;
    } else if (e->config.kind == EXPERIMENT_AB) {
        u->for_a += r;
    } else {
        u->for_a += fmax(0, r * c);
        u->for_b += fmax(0, -r * c);
        u->weight += fabs(r);
    }
}

/* ---- the whole ---- */

forage_status experiment_create(const experiment_config *config, experiment **out, base_error *error) {
    forage_status status = experiment_check(config, error);
    if (status) return status;
    experiment *e = mem_zalloc(1, sizeof *e);
    e->config = *config;
    memcpy(e->name, config->name, strlen(config->name) + 1);
    e->config.name = e->name;
    for (int side = 0; side < 2; side++) {
        memcpy(e->side[side], config->side[side], strlen(config->side[side]) + 1);
        e->config.side[side] = e->side[side];
    }
    sequential_init(&e->paired, -1, 1, config->alpha);
    sequential_arms_init(&e->arms, config->split, config->alpha);
    experiment_index(e);
    *out = e;
    return FORAGE_OK;
}

void experiment_destroy(experiment *e) {
    if (!e) return;
    free(e->units);
    free(e->slots);
    free(e);
}

const experiment_config *experiment_config_of(const experiment *e) { return &e->config; }

experiment_result experiment_ask(const experiment *e) {
    bool ab = e->config.kind == EXPERIMENT_AB;
    experiment_result r = {.late = e->late, .turned_away = e->turned_away, .mismatch_p = exp(-fmax(0, e->mismatch))};
    r.difference = sequential_ask(ab ? &e->arms.difference : &e->paired);
    for (int side = 0; side < 2; side++) {
        r.opened[side] = e->opened[side];
        r.impressions[side] = e->impressions[side];
        r.units[side] = ab ? e->arms.n[side] : side ? 0 : e->paired.n;
        double sum = ab ? e->arms.sum[side] : e->earned[side], n = (double)(ab ? e->arms.n[side] : e->paired.n);
        r.earned[side] = n > 0 ? sum / n : 0;
    }
    return r;
}
