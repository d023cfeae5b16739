/* An experiment as bytes.
 *
 * Little-endian: u32 magic "FEXP", u16 version, u64 identity (hash of the settings that must be the same), i64 now, u64 late,
 * u64 turned_away, f64 mismatch, 2 × u64 opened, 2 × u64 impressions, 2 × f64 earned, string: state of sequential_arms ("ab") or
 * sequential, varint closed, that many u64 keys, varint open, per unit u64 key, i64 opened, 3 × f64 for_a, for_b, weight,
 * u32 impressions, u8 side; u64 hash64 (seed 0) of all bytes before it. */
#include "rank/experiment_state.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define STATE_MAGIC 0x50584546u /* "FEXP" */
#define STATE_VERSION 1
enum { OPEN_SIZE = 45 }; /* bytes of an open unit */
#define MOST_EARNED 1e12   /* by one unit: far beyond what any number of rewards sums up to */

static uint64_t identity_of(const experiment_config *c) {
    buffer b = {0};
    put_string(&b, slice_of(c->name));
    for (int side = 0; side < 2; side++) put_string(&b, slice_of(c->side[side]));
    put_u64(&b, c->salt);
    put_u8(&b, (uint8_t)c->kind);
    put_f64(&b, c->split);
    put_f64(&b, c->window);
    put_f64(&b, c->alpha);
    uint64_t identity = hash64(b.data, b.size, 0);
    buffer_release(&b);
    return identity;
}

static void put_units(const experiment *e, buffer *out) {
    bool remembered = e->config.kind == EXPERIMENT_AB; /* a closed page is asked about no more */
    put_varint(out, remembered ? e->first_open : 0);
    for (size_t i = 0; i < e->first_open && remembered; i++) put_u64(out, e->units[i].key);
    put_varint(out, e->n_units - e->first_open);
    for (size_t i = e->first_open; i < e->n_units; i++) {
        const experiment_watched *u = &e->units[i];
        put_u64(out, u->key);
        put_u64(out, (uint64_t)u->opened);
        put_f64(out, u->for_a);
        put_f64(out, u->for_b);
        put_f64(out, u->weight);
        put_u32(out, u->impressions);
        put_u8(out, u->side);
    }
}

void experiment_save(const experiment *e, buffer *out) {
    size_t first = out->size;
    buffer inner = {0};
    put_u32(out, STATE_MAGIC);
    put_u16(out, STATE_VERSION);
    put_u64(out, identity_of(&e->config));
    put_u64(out, (uint64_t)e->now);
    put_u64(out, e->late);
    put_u64(out, e->turned_away);
    put_f64(out, e->mismatch);
    for (int side = 0; side < 2; side++) put_u64(out, e->opened[side]);
    for (int side = 0; side < 2; side++) put_u64(out, e->impressions[side]);
    for (int side = 0; side < 2; side++) put_f64(out, e->earned[side]);
    if (e->config.kind == EXPERIMENT_AB) sequential_arms_save(&e->arms, &inner);
    else sequential_save(&e->paired, &inner);
    put_string(out, (slice){inner.data, inner.size});
    put_units(e, out);
    put_u64(out, hash64(out->data + first, out->size - first, 0));
    buffer_release(&inner);
}

static forage_status check_head(const experiment *e, slice state, base_error *error) {
    byte_reader in = byte_reader_of(state.data, state.size);
    uint32_t magic = read_u32(&in);
    uint16_t version = read_u16(&in);
    if (in.failed || magic != STATE_MAGIC)
        return error_set(error, FORAGE_E_CORRUPT, "experiment state: not an experiment's state");
    if (version != STATE_VERSION)
        return error_set(error, FORAGE_E_VERSION, "experiment state: version %u, expected %d", version, STATE_VERSION);
    uint64_t identity = read_u64(&in);
    if (in.failed || read_left(&in) < 8 || load_le64(state.data + state.size - 8) != hash64(state.data, state.size - 8, 0))
        return error_set(error, FORAGE_E_CORRUPT, "experiment state: checksum does not match");
    if (identity != identity_of(&e->config))
        return error_set(error, FORAGE_E_INVALID, "experiment state: of an experiment with other settings than \"%s\"", e->name);
    return FORAGE_OK;
}

/* The units into `e`, whose array is its own; false: they are none that could have been saved. */
static bool read_units(experiment *e, byte_reader *in) {
    uint64_t closed = read_varint(in);
    if (closed > EXPERIMENT_MAX_UNITS || closed > read_left(in) / 8) return false;
    e->units = mem_grow(e->units, &e->capacity, (size_t)closed + 1, sizeof *e->units);
    for (e->n_units = 0; e->n_units < closed; e->n_units++) e->units[e->n_units] = (experiment_watched){.key = read_u64(in)};
    e->first_open = e->n_units;
    uint64_t open = read_varint(in);
    if (open > EXPERIMENT_MAX_UNITS - closed || open > read_left(in) / OPEN_SIZE) return false;
    e->units = mem_grow(e->units, &e->capacity, (size_t)(closed + open) + 1, sizeof *e->units);
    int64_t before = 0;
    for (uint64_t i = 0; i < open; i++) {
        experiment_watched u = {.key = read_u64(in)};
        u.opened = (int64_t)read_u64(in);
        u.for_a = read_f64(in);
        u.for_b = read_f64(in);
        u.weight = read_f64(in);
        u.impressions = read_u32(in);
        u.side = read_u8(in);
        if (u.opened < before || u.opened > e->now || !(fabs(u.for_a) <= MOST_EARNED) || !(fabs(u.for_b) <= MOST_EARNED) ||
            !(u.weight >= 0 && u.weight <= MOST_EARNED) || u.impressions < 1 || u.side > (e->config.kind == EXPERIMENT_AB))
            return false;
        before = u.opened;
        e->units[e->n_units++] = u;
    }
    return !in->failed && read_left(in) == 0;
}

static forage_status read_sequential(experiment *e, slice inner, base_error *error) {
    if (e->config.kind == EXPERIMENT_AB) {
        forage_status status = sequential_arms_load(&e->arms, inner, error);
        if (status) return status;
        bool fits = e->arms.p == e->config.split && e->arms.difference.alpha == e->config.alpha;
        return fits ? FORAGE_OK : error_set(error, FORAGE_E_CORRUPT, "experiment state: inference of another split");
    }
    forage_status status = sequential_load(&e->paired, inner, error);
    if (status) return status;
    bool fits = e->paired.low == -1 && e->paired.high == 1 && e->paired.alpha == e->config.alpha;
    return fits ? FORAGE_OK : error_set(error, FORAGE_E_CORRUPT, "experiment state: inference of another range");
}

static forage_status read_state(experiment *e, slice state, base_error *error) {
    byte_reader in = byte_reader_of(state.data + 14, state.size - 14 - 8);
    e->now = (int64_t)read_u64(&in);
    e->late = read_u64(&in);
    e->turned_away = read_u64(&in);
    e->mismatch = read_f64(&in);
    for (int side = 0; side < 2; side++) e->opened[side] = read_u64(&in);
    for (int side = 0; side < 2; side++) e->impressions[side] = read_u64(&in);
    for (int side = 0; side < 2; side++) e->earned[side] = read_f64(&in);
    slice inner = read_string(&in);
    if (in.failed || e->now < 0 || e->now > (int64_t)1 << 62 || !(e->mismatch >= 0) || !isfinite(e->mismatch) ||
        !isfinite(e->earned[0]) || !isfinite(e->earned[1]))
        return error_set(error, FORAGE_E_CORRUPT, "experiment state: numbers that cannot be");
    forage_status status = read_sequential(e, inner, error);
    if (status) return status;
    if (!read_units(e, &in)) return error_set(error, FORAGE_E_CORRUPT, "experiment state: units that cannot be");
    return FORAGE_OK;
}

forage_status experiment_load(experiment *e, slice state, base_error *error) {
    experiment *fresh = NULL;
    forage_status status = check_head(e, state, error);
    if (!status) status = experiment_create(&e->config, &fresh, error);
    if (!status) status = read_state(fresh, state, error);
    if (status) goto done;
    experiment old = *e;
    experiment_index(fresh);
    *e = *fresh;
    *fresh = old;
    e->config.name = e->name; /* the texts moved with the struct */
    for (int side = 0; side < 2; side++) e->config.side[side] = e->side[side];
done:
    experiment_destroy(fresh);
    return status;
}
