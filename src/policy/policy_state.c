/* A policy's state as bytes, little-endian:
 *
 *     u32 magic "FPOL", u16 version, string name (varint length, bytes), u32 S, u32 L, u32 F, L × u32 depths,
 *     u8 credit (0: learns nothing, 1: played arms, 2: hindsight), u64 updates, f64 price, f64 owed (by how much the
 *     price's logarithm has yet to rise), then the regressions:
 *         by played-arm credit S × (1 + L), of one output each: what the levels share, then each level's;
 *         by hindsight S, of L outputs
 *     u64 hash64 (seed 0) of all bytes before it
 *
 *     regression: u64 time, f64 held, F (F + 1) / 2 × f64 A (rows of the lower triangle), outputs × F × f64 b
 *
 * Version 1 had neither credit (1 for the name "squarecb", else 0) nor price (the loading policy's `cost`) nor what was
 * owed (0); it is read, not written. P and theta are not stored: they follow from A and b, so that bytes cannot
 * contradict themselves. Saving computes them from there too, since in memory they gather rounding errors that a loaded
 * state does not have. */
#include "policy/policy_internal.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>

#define STATE_MAGIC 0x4c4f5046u /* "FPOL" */
#define STATE_VERSION 2
#define MAGNITUDE_LIMIT 1e15 /* of the numbers in A and b */

enum { CREDIT_NONE, CREDIT_PLAYED, CREDIT_HINDSIGHT };

static uint8_t credit_of(const policy *p) {
    if (!policy_learns(p)) return CREDIT_NONE;
    return p->config.hindsight ? CREDIT_HINDSIGHT : CREDIT_PLAYED;
}

static void save_regression(const regression *r, uint32_t F, buffer *out) {
    put_u64(out, r->time);
    put_f64(out, r->held);
    for (uint32_t i = 0; i < F; i++)
        for (uint32_t j = 0; j <= i; j++) put_f64(out, r->A[i * F + j]);
    for (uint32_t i = 0; i < r->K * F; i++) put_f64(out, r->b[i]);
}

/* Leaves a strategy's models as load_models will make them. */
static void settle(const policy *p, policy_model *model) {
    regression_prior prior = policy_prior(p);
    regression_refresh(&model->whole, &prior);
    for (uint32_t l = 0; l < policy_levels_apart(p); l++) regression_refresh(&model->level[l], &prior);
    if (!p->config.hindsight) policy_share(p, model);
}

void policy_save(policy *p, buffer *out) {
    const policy_config *c = &p->config;
    size_t first = out->size;
    put_u32(out, STATE_MAGIC);
    put_u16(out, STATE_VERSION);
    put_string(out, slice_of(c->name));
    put_u32(out, c->n_strategies);
    put_u32(out, c->n_levels);
    put_u32(out, c->n_features);
    for (uint32_t l = 0; l < c->n_levels; l++) put_u32(out, c->depths[l]);
    put_u8(out, credit_of(p));
    pthread_rwlock_wrlock(p->lock);
    put_u64(out, p->updates);
    put_f64(out, p->price);
    put_f64(out, p->owed);
    for (uint32_t s = 0; policy_learns(p) && s < c->n_strategies; s++) {
        settle(p, &p->models[s]);
        save_regression(&p->models[s].whole, c->n_features, out);
        for (uint32_t l = 0; l < policy_levels_apart(p); l++)
            save_regression(&p->models[s].level[l], c->n_features, out);
    }
    pthread_rwlock_unlock(p->lock);
    put_u64(out, hash64(out->data + first, out->size - first, 0));
}

/* The part of a state that is not regressions. */
typedef struct state_head {
    uint16_t version;
    uint64_t updates;
    double price, owed;
} state_head;

static forage_status check_shape(byte_reader *r, const policy_config *c, base_error *error) {
    uint32_t S = read_u32(r), L = read_u32(r), F = read_u32(r);
    if (r->failed) return error_set(error, FORAGE_E_CORRUPT, "policy state: cut short");
    if (S != c->n_strategies || L != c->n_levels || F != c->n_features)
        return error_set(error, FORAGE_E_INVALID,
                         "policy state: of %u strategies, %u levels, %u features; expected %u, %u, %u", S, L, F,
                         c->n_strategies, c->n_levels, c->n_features);
    for (uint32_t l = 0; l < L; l++) {
        uint32_t depth = read_u32(r);
        if (!r->failed && depth != c->depths[l])
            return error_set(error, FORAGE_E_INVALID, "policy state: depth %u at level %u, expected %u", depth, l,
                             c->depths[l]);
    }
    return FORAGE_OK;
}

static forage_status read_head(byte_reader *r, const policy *p, state_head *head, base_error *error) {
    static const char *const credits[] = {"nothing", "played arms", "hindsight"};
    slice name = read_string(r);
    forage_status status = check_shape(r, &p->config, error);
    if (status) return status;
    uint8_t credit = slice_is(name, "squarecb") ? CREDIT_PLAYED : CREDIT_NONE;
    if (head->version > 1) credit = read_u8(r);
    head->updates = read_u64(r);
    head->price = head->version > 1 ? read_f64(r) : p->config.cost;
    head->owed = head->version > 1 ? read_f64(r) : 0;
    bool sound = head->price >= 0 && head->price <= MAGNITUDE_LIMIT;
    sound = sound && head->owed >= 0 && head->owed <= MAGNITUDE_LIMIT;
    if (r->failed || credit > CREDIT_HINDSIGHT || !sound)
        return error_set(error, FORAGE_E_CORRUPT, "policy state: its head cannot be read");
    if (credit != credit_of(p))
        return error_set(error, FORAGE_E_INVALID,
                         "policy state: \"%.*s\", which learns from %s; expected one that learns from %s",
                         SLICE_ARG(name), credits[credit], credits[credit_of(p)]);
    return FORAGE_OK;
}

static bool read_number(byte_reader *r, double *out) {
    *out = read_f64(r);
    return fabs(*out) <= MAGNITUDE_LIMIT; /* false for NaN */
}

/* The diagonal of A is the prior's precision plus squares. The margin is for rounding. */
static bool load_regression(byte_reader *r, const regression_prior *prior, uint64_t updates, regression *out) {
    uint32_t F = prior->F;
    out->time = read_u64(r);
    out->held = read_f64(r);
    bool good = out->time <= updates && out->held >= REGRESSION_LEAST_HELD && out->held <= 1;
    for (uint32_t i = 0; good && i < F; i++) {
        for (uint32_t j = 0; good && j <= i; j++) good = read_number(r, &out->A[i * F + j]);
        good = good && out->A[i * F + i] >= .999 * prior->precision[i];
    }
    for (uint32_t i = 0; good && i < out->K * F; i++) good = read_number(r, &out->b[i]);
    return good && !r->failed && regression_solve(out, prior);
}

static forage_status load_models(byte_reader *r, const policy *p, uint64_t updates, policy_model *models,
                                 base_error *error) {
    regression_prior prior = policy_prior(p);
    for (uint32_t s = 0; s < p->config.n_strategies; s++) {
        for (uint32_t l = 0; l <= policy_levels_apart(p); l++)
            if (!load_regression(r, &prior, updates, l ? &models[s].level[l - 1] : &models[s].whole))
                return error_set(error, FORAGE_E_CORRUPT, "policy state: strategy %u, regression %u: not a valid one",
                                 s, l);
        if (!p->config.hindsight) policy_share(p, &models[s]);
    }
    return FORAGE_OK;
}

static forage_status check_frame(slice state, uint16_t *version, base_error *error) {
    byte_reader r = byte_reader_of(state.data, state.size);
    uint32_t magic = read_u32(&r);
    *version = read_u16(&r);
    if (r.failed || magic != STATE_MAGIC)
        return error_set(error, FORAGE_E_CORRUPT, "policy state: not a policy's state");
    if (*version < 1 || *version > STATE_VERSION)
        return error_set(error, FORAGE_E_VERSION, "policy state: version %u, expected 1 to %u", *version,
                         STATE_VERSION);
    if (read_left(&r) < 8 || load_le64(state.data + state.size - 8) != hash64(state.data, state.size - 8, 0))
        return error_set(error, FORAGE_E_CORRUPT, "policy state: checksum does not match");
    return FORAGE_OK;
}

/* Without a budget the price is the loading policy's own; with one, it must be within reach of its steering. */
static double price_within(const policy_config *c, double price) {
    if (c->budget == 0) return c->cost;
    return fmax(c->cost, fmin(price, c->cost * POLICY_PRICE_RANGE));
}

static void install(policy *p, const state_head *head, policy_model **models, double **memory) {
    pthread_rwlock_wrlock(p->lock);
    policy_model *old_models = p->models;
    double *old_memory = p->memory;
    p->updates = head->updates;
    p->price = price_within(&p->config, head->price);
    p->owed = p->price == head->price ? head->owed : 0;
    p->models = *models;
    p->memory = *memory;
    *models = old_models;
    *memory = old_memory;
    pthread_rwlock_unlock(p->lock);
}

forage_status policy_load(policy *p, slice state, base_error *error) {
    policy_model *models = NULL;
    double *memory = NULL;
    state_head head;
    forage_status status = check_frame(state, &head.version, error);
    if (status) return status;
    byte_reader r = byte_reader_of(state.data + 6, state.size - 14);
    status = read_head(&r, p, &head, error);
    if (status) return status;
    if (policy_learns(p)) {
        models = mem_zalloc(p->config.n_strategies, sizeof *models);
        memory = mem_zalloc(p->config.n_strategies * policy_model_doubles(p), sizeof *memory);
        policy_models_init(p, models, memory);
        status = load_models(&r, p, head.updates, models, error);
        if (status) goto done;
    }
    if (r.failed || read_left(&r)) {
        status = error_set(error, FORAGE_E_CORRUPT, "policy state: wrong size");
        goto done;
    }
    install(p, &head, &models, &memory);
done:
    free(models);
    free(memory);
    return status;
}
