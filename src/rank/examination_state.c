/* A curve in use, as JSON, and the counts as bytes.
 *
 * State, little-endian: u32 magic "FEXM", u16 version, u16 ranks K, u16 features F, u8 level, u64 clipped, K × (f64 shown,
 * f64 clicks), u32 keys; for each key, in ascending order: u64 key, f64 shown, u8 cells (1 to K), cells × (u8 rank from 0,
 * ascending, f64 n, f64 c, f64 n2), F × f32 feature; u64 hash64 (seed 0) of all bytes before it. */
#include "rank/examination_internal.h"

#include "base/bytes.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define STATE_MAGIC 0x4d584546u /* "FEXM" */
#define STATE_VERSION 1
#define MOST_COUNT 1e18
#define CELL_BYTES 25

/* ---- A curve ---- */

double examination_at(const examination_curve *c, uint32_t rank) {
    if (!rank || !c->n_ranks) return 1;
    if (rank <= c->n_ranks) return c->ranks[rank - 1].estimate;
    double beyond = pow((double)rank / c->n_ranks, -c->prior_power);
    return fmax(EXAMINATION_LEAST, c->ranks[c->n_ranks - 1].estimate * beyond);
}

double examination_weight(const examination_curve *c, uint32_t rank, double most) {
    return fmin(most, 1 / examination_at(c, rank));
}

void examination_weigh(const examination_curve *c, const float *label, const uint32_t *position, size_t n_rows,
                       double most, float *weight, examination_weighing *report) {
    double sum = 0, squares = 0, whole = 0;
    examination_weighing found = {0};
    for (size_t i = 0; i < n_rows; i++) {
        weight[i] = 1;
        if (!(label[i] > 0)) continue;
        double full = 1 / examination_at(c, position ? position[i] : 0), w = fmin(most, full);
        weight[i] = (float)w;
        found.clicked++;
        found.clipped += full > most;
        whole += full;
        sum += w;
        squares += w * w;
    }
    if (found.clicked) {
        found.lost = (whole - sum) / whole;
        found.effective = sum * sum / squares;
    }
    if (report) *report = found;
}

static void write_rank(json_writer *w, const examination_rank *r, uint32_t rank) {
    json_begin_object(w);
    json_key(w, "rank"), json_integer(w, rank);
    json_key(w, "estimate"), json_float(w, r->estimate);
    json_key(w, "low"), json_float(w, r->low);
    json_key(w, "high"), json_float(w, r->high);
    json_key(w, "shown"), json_float(w, r->shown);
    json_key(w, "clicks"), json_float(w, r->clicks);
    json_key(w, "pairs"), json_integer(w, (int64_t)r->pairs);
    json_key(w, "identified"), json_bool(w, r->identified);
    json_end_object(w);
}

void examination_write_json(json_writer *w, const examination_curve *c) {
    json_begin_object(w);
    json_key(w, "method"), json_text(w, examination_method_name(c->method));
    json_key(w, "identified"), json_bool(w, c->identified);
    json_key(w, "monotone"), json_bool(w, c->monotone);
    json_key(w, "prior_power"), json_number(w, c->prior_power);
    json_key(w, "keys"), json_integer(w, (int64_t)c->keys);
    json_key(w, "one_in"), json_integer(w, (int64_t)c->one_in);
    json_key(w, "clipped"), json_integer(w, (int64_t)c->clipped);
    json_key(w, "ranks");
    json_begin_array(w);
    for (uint32_t k = 0; k < c->n_ranks; k++) write_rank(w, &c->ranks[k], k + 1);
    json_end_array(w);
    json_end_object(w);
}

/* ---- Saving ---- */

static void save_key(const examination *e, uint32_t number, buffer *out) {
    const exam_key *k = &e->keys[number];
    uint32_t F = e->config.n_features;
    uint8_t cells = 0;
    for (uint32_t at = k->first; at != NO_CELL; at = e->cells[at].next) cells++;
    put_u64(out, k->key);
    put_f64(out, k->shown);
    put_u8(out, cells);
    for (uint32_t at = k->first; at != NO_CELL; at = e->cells[at].next) {
        put_u8(out, (uint8_t)e->cells[at].rank);
        put_f64(out, e->cells[at].n);
        put_f64(out, e->cells[at].c);
        put_f64(out, e->cells[at].n2);
    }
    for (uint32_t i = 0; i < F; i++) put_f32(out, e->x[(size_t)number * F + i]);
}

void examination_save(const examination *e, buffer *out) {
    size_t start = out->size;
    exam_ordered *order = exam_order(e);
    put_u32(out, STATE_MAGIC);
    put_u16(out, STATE_VERSION);
    put_u16(out, (uint16_t)e->config.n_ranks);
    put_u16(out, (uint16_t)e->config.n_features);
    put_u8(out, (uint8_t)e->level);
    put_u64(out, e->clipped);
    for (uint32_t k = 0; k < e->config.n_ranks; k++) {
        put_f64(out, e->shown[k]);
        put_f64(out, e->clicks[k]);
    }
    put_u32(out, (uint32_t)e->n_keys);
    for (size_t i = 0; i < e->n_keys; i++) save_key(e, order[i].number, out);
    put_u64(out, hash64(out->data + start, out->size - start, 0));
    free(order);
}

/* ---- Loading ---- */

static forage_status check_head(const examination *e, slice state, base_error *error) {
    byte_reader in = byte_reader_of(state.data, state.size);
    uint32_t magic = read_u32(&in);
    uint16_t version = read_u16(&in);
    if (in.failed || magic != STATE_MAGIC)
        return error_set(error, FORAGE_E_CORRUPT, "examination state: not an examination state");
    if (version != STATE_VERSION)
        return error_set(error, FORAGE_E_VERSION, "examination state: version %u, expected %u", version, STATE_VERSION);
    if (state.size < 18 || load_le64(state.data + state.size - 8) != hash64(state.data, state.size - 8, 0))
        return error_set(error, FORAGE_E_CORRUPT, "examination state: checksum does not match");
    uint16_t K = read_u16(&in), F = read_u16(&in);
    if (K != e->config.n_ranks || F != e->config.n_features)
        return error_set(error, FORAGE_E_INVALID, "examination state: of %u ranks and %u features, expected %u and %u",
                         K, F, e->config.n_ranks, e->config.n_features);
    return FORAGE_OK;
}

static bool count_is_sane(double shown, double clicks) {
    return shown >= 0 && shown <= MOST_COUNT && clicks >= 0 && clicks <= shown * (1 + 1e-9);
}

/* What examination_add can have counted: weights are from 1 to 1 / EXAMINATION_LEAST_CHANCE. */
static bool cell_is_sane(double n, double c, double n2) {
    double most = 1 / EXAMINATION_LEAST_CHANCE * (1 + 1e-6);
    return n > 1e-12 && count_is_sane(n, c) && n2 >= n * (1 - 1e-6) && n2 <= n * most;
}

static const char *load_key(examination *e, byte_reader *in, uint64_t *last, bool first) {
    uint64_t key = read_u64(in);
    double shown = read_f64(in);
    uint32_t cells = read_u8(in), number = 0, F = e->config.n_features;
    int before = -1;
    if (in->failed) return "is cut short";
    if (!first && key <= *last) return "is out of order";
    if (!exam_sampled(e, key)) return "is not in the sample";
    if (!(shown >= 0 && shown <= MOST_COUNT) || !cells || cells > e->config.n_ranks) return "has wrong counts";
    *last = key;
    for (uint32_t i = 0; i < cells; i++) {
        int rank = read_u8(in);
        double n = read_f64(in), c = read_f64(in), n2 = read_f64(in);
        if (in->failed) return "is cut short";
        if (rank <= before || (uint32_t)rank >= e->config.n_ranks) return "has a wrong rank";
        if (!cell_is_sane(n, c, n2)) return "has wrong counts";
        exam_cell *cell = exam_find(e, key, (uint32_t)rank, &number);
        cell->n = n;
        cell->c = c;
        cell->n2 = n2;
        before = rank;
    }
    e->keys[number].shown = shown;
    for (uint32_t i = 0; i < F; i++) {
        float x = e->x[(size_t)number * F + i] = read_f32(in);
        if (!(fabsf(x) <= 1e6f)) return "has a wrong feature";
    }
    return in->failed ? "is cut short" : NULL;
}

/* Into an empty estimator; everything is read in the order of the bytes, so that a wrong number of keys ends where they do. */
static forage_status load_body(examination *e, byte_reader *in, base_error *error) {
    uint64_t last = 0;
    e->level = read_u8(in);
    e->clipped = read_u64(in);
    if (e->level > EXAM_MOST_LEVEL) return error_set(error, FORAGE_E_CORRUPT, "examination state: level %u", e->level);
    for (uint32_t k = 0; k < e->config.n_ranks; k++) {
        e->shown[k] = read_f64(in);
        e->clicks[k] = read_f64(in);
        if (!count_is_sane(e->shown[k], e->clicks[k]))
            return error_set(error, FORAGE_E_CORRUPT, "examination state: rank %u: %g clicks, %g shown", k + 1,
                             e->clicks[k], e->shown[k]);
    }
    uint32_t n_keys = read_u32(in);
    if (n_keys > EXAMINATION_MAX_KEYS || read_left(in) / (17 + CELL_BYTES) < n_keys)
        return error_set(error, FORAGE_E_CORRUPT, "examination state: %u keys in %zu bytes", n_keys, read_left(in));
    for (uint32_t i = 0; i < n_keys; i++) {
        const char *why = load_key(e, in, &last, !i);
        if (why) return error_set(error, FORAGE_E_CORRUPT, "examination state: key %u %s", i, why);
    }
    if (in->failed || read_left(in)) return error_set(error, FORAGE_E_CORRUPT, "examination state: wrong size");
    return FORAGE_OK;
}

forage_status examination_load(examination *e, slice state, base_error *error) {
    forage_status status = check_head(e, state, error);
    if (status) return status;
    examination fresh;
    byte_reader in = byte_reader_of(state.data + 10, state.size - 18);
    exam_init(&fresh, &e->config);
    status = load_body(&fresh, &in, error);
    if (status) {
        exam_release(&fresh);
        return status;
    }
    exam_thin(&fresh);
    exam_release(e);
    *e = fresh;
    return FORAGE_OK;
}
