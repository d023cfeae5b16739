/* What was asked and what it earned, from the first search until now. */
#include "funnel/history.h"

#include "base/bytes.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define FORMAT 1
#define MOST_REWARD 1e15                     /* of a point; sums of doubles are exact enough far beyond it */
#define MOST_SEARCHES ((uint64_t)1 << 40)    /* of a point, in saved bytes: times HISTORY_MOST it still fits 64 bits */

/* ---- Counting ---- */

static void add(history_point *to, const history_point *from) {
    to->searches += from->searches;
    to->candidates += from->candidates;
    to->reward = fmin(to->reward + from->reward, MOST_REWARD);
    to->price = fmin(to->price + from->price, MOST_REWARD);
    for (uint32_t s = 0; s < HISTORY_STRATEGIES; s++) {
        to->asked[s] += from->asked[s];
        to->depth[s] += from->depth[s];
    }
}

/* All points are full here, and there is an even number of them: the merged ones are full again. */
static void halve(history *h) {
    for (uint32_t i = 0; i < HISTORY_POINTS / 2; i++) {
        history_point pair = h->points[2 * i];
        add(&pair, &h->points[2 * i + 1]);
        h->points[i] = pair;
    }
    h->n_points = HISTORY_POINTS / 2;
    h->searches_per_point *= 2;
}

/* The point that the next search belongs to. */
static history_point *open_point(history *h) {
    if (!h->searches_per_point) h->searches_per_point = 1;
    if (h->n_points && h->points[h->n_points - 1].searches < h->searches_per_point) return &h->points[h->n_points - 1];
    if (h->n_points == HISTORY_POINTS) halve(h);
    memset(&h->points[h->n_points], 0, sizeof h->points[0]);
    return &h->points[h->n_points++];
}

static uint32_t bounded(uint32_t count) { return count < HISTORY_MOST ? count : HISTORY_MOST; }

void history_shown(history *h, const uint32_t depth[HISTORY_STRATEGIES], uint32_t candidates, double price) {
    history_point one = {.searches = 1, .candidates = bounded(candidates)};
    if (price > 0 && isfinite(price)) one.price = price;
    for (uint32_t s = 0; s < HISTORY_STRATEGIES; s++) {
        one.asked[s] = depth[s] > 0;
        one.depth[s] = bounded(depth[s]);
    }
    add(open_point(h), &one);
}

void history_earned(history *h, double credit) {
    if (!(credit > 0) || !h->n_points) return;
    history_point *last = &h->points[h->n_points - 1];
    last->reward = fmin(last->reward + credit, MOST_REWARD);
}

/* ---- JSON ---- */

static void write_point(const history_point *p, const char *const *names, json_writer *w) {
    double searches = (double)p->searches;
    json_begin_object(w);
    json_key(w, "searches");
    json_integer(w, (int64_t)p->searches);
    json_key(w, "reward");
    json_float(w, p->reward);
    json_key(w, "candidates");
    json_integer(w, (int64_t)p->candidates);
    json_key(w, "price");
    json_float(w, p->price / searches);
    json_key(w, "strategies");
    json_begin_object(w);
    for (uint32_t s = 0; s < HISTORY_STRATEGIES; s++) {
        json_key(w, names[s]);
        json_begin_object(w);
        json_key(w, "share");
        json_float(w, (double)p->asked[s] / searches);
        json_key(w, "depth");
        json_float(w, (double)p->depth[s] / searches);
        json_end_object(w);
    }
    json_end_object(w);
    json_end_object(w);
}

void history_write_json(const history *h, const char *const *names, json_writer *w) {
    json_begin_object(w);
    json_key(w, "points");
    json_begin_array(w);
    for (uint32_t i = 0; i < h->n_points; i++) write_point(&h->points[i], names, w);
    json_end_array(w);
    json_end_object(w);
}

/* ---- Bytes ---- */

void history_save(const history *h, buffer *out) {
    put_u8(out, FORMAT);
    put_u8(out, HISTORY_STRATEGIES);
    put_varint(out, h->searches_per_point);
    put_varint(out, h->n_points);
    for (uint32_t i = 0; i < h->n_points; i++) {
        const history_point *p = &h->points[i];
        put_varint(out, p->searches);
        put_varint(out, p->candidates);
        put_f64(out, p->reward);
        put_f64(out, p->price);
        for (uint32_t s = 0; s < HISTORY_STRATEGIES; s++) {
            put_varint(out, p->asked[s]);
            put_varint(out, p->depth[s]);
        }
    }
}

static void read_point(byte_reader *in, history_point *p) {
    p->searches = read_varint(in);
    p->candidates = read_varint(in);
    p->reward = read_f64(in);
    p->price = read_f64(in);
    for (uint32_t s = 0; s < HISTORY_STRATEGIES; s++) {
        p->asked[s] = read_varint(in);
        p->depth[s] = read_varint(in);
    }
}

/* What history_shown and history_earned could have counted: NaN passes none of the comparisons. */
static bool possible(const history_point *p) {
    bool fine = p->searches > 0 && p->candidates <= p->searches * HISTORY_MOST;
    fine = fine && p->reward >= 0 && p->reward <= MOST_REWARD && p->price >= 0 && p->price <= MOST_REWARD;
    for (uint32_t s = 0; s < HISTORY_STRATEGIES; s++)
        fine = fine && p->asked[s] <= p->searches && p->depth[s] >= p->asked[s] &&
               p->depth[s] <= p->asked[s] * HISTORY_MOST;
    return fine;
}

static forage_status damaged(base_error *error) {
    return error_set(error, FORAGE_E_CORRUPT, "learning history: damaged");
}

forage_status history_load(slice bytes, history *out, base_error *error) {
    byte_reader in = byte_reader_of(bytes.data, bytes.size);
    uint8_t format = read_u8(&in), strategies = read_u8(&in);
    if (in.failed) return damaged(error);
    if (format != FORMAT)
        return error_set(error, FORAGE_E_VERSION, "learning history: format %u, this program reads %u", format, FORMAT);
    if (strategies != HISTORY_STRATEGIES)
        return error_set(error, FORAGE_E_INVALID, "learning history: of %u strategies, there are %u", strategies,
                         HISTORY_STRATEGIES);
    history *h = mem_zalloc(1, sizeof *h);
    uint64_t each = read_varint(&in), n = read_varint(&in);
    bool fine = n <= HISTORY_POINTS && each <= MOST_SEARCHES && (each & (each - 1)) == 0 && (each > 0) == (n > 0);
    for (uint64_t i = 0; fine && i < n; i++) {
        history_point *p = &h->points[i];
        read_point(&in, p);
        fine = !in.failed && (i + 1 < n ? p->searches == each : p->searches <= each) && possible(p);
    }
    fine = fine && !in.failed && !read_left(&in);
    h->searches_per_point = each;
    h->n_points = (uint32_t)n;
    if (fine) *out = *h;
    free(h);
    return fine ? FORAGE_OK : damaged(error);
}
