#include "rank/arrange.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- value ---- */

static double finite_score(float score) {
    if (isnan(score)) return -(double)FLT_MAX;
    return fmax(-(double)FLT_MAX, fmin((double)FLT_MAX, (double)score));
}

static bool known(float value) { return value >= 0 && value <= FLT_MAX; }

static int rising(const void *x, const void *y) {
    float a = *(const float *)x, b = *(const float *)y;
    return (a > b) - (a < b);
}

/* The lower median of the known values above 0; 1 when there are none. */
static double usual_value(const float *value, size_t n, arena *scratch) {
    float *list = arena_alloc(scratch, n * sizeof *list);
    size_t m = 0;
    for (size_t i = 0; i < n; i++)
        if (known(value[i]) && value[i] > 0) list[m++] = value[i];
    if (!m) return 1;
    qsort(list, m, sizeof *list, rising);
    return (double)list[(m - 1) / 2];
}

/* log sigmoid(z), exact at both ends. */
static double log_sigmoid(double z) { return z >= 0 ? -log1p(exp(-z)) : z - log1p(exp(z)); }

static arrange_calibration checked(arrange_calibration c) {
    return c.slope > 0 && isfinite(c.slope) && isfinite(c.intercept) ? c : (arrange_calibration){1, 0};
}

void arrange_score(const arrange_value *settings, const float *score, const float *value, size_t n, arena *scratch,
                   float *final, float *engagement, bool *hidden) {
    arrange_calibration c = checked(settings->engagement);
    double strength = settings->strength > 0 ? fmin(4, settings->strength) : 0;
    double usual = strength > 0 && value ? usual_value(value, n, scratch) : 1;
    for (size_t i = 0; i < n; i++) {
        double log_e = log_sigmoid(c.slope * finite_score(score[i]) + c.intercept), e = exp(log_e), sum = log_e;
        bool below = e < settings->reserve;
        if (strength > 0 && value && known(value[i])) {
            double lift = value[i] > 0 ? log((double)value[i] / usual) : -INFINITY;
            sum += strength * (below ? fmin(0, lift) : lift);
        }
        final[i] = (float)fmax(-(double)FLT_MAX, sum);
        if (engagement) engagement[i] = (float)e;
        if (hidden && settings->drop && below) hidden[i] = true;
    }
}

/* ---- calibration ---- */

/* The rows' means: scores are standardised, so that Newton's steps are of one size whatever the ranker's scale. */
typedef struct fit {
    const float *score, *reward, *weight;
    size_t n;
    double mean, spread, total, positive; /* of the scores; of the weights; of weight × reward */
    double low, high;                     /* targets of reward 0 and 1 */
} fit;

static double row_weight(const fit *f, size_t i) {
    if (!f->weight) return 1;
    return f->weight[i] > 0 && f->weight[i] <= FLT_MAX ? (double)f->weight[i] : 0;
}

static double row_reward(const fit *f, size_t i) {
    return f->reward[i] > 0 ? fmin(1, (double)f->reward[i]) : 0;
}

static double row_score(const fit *f, size_t i) { return (finite_score(f->score[i]) - f->mean) / f->spread; }

static bool measure(fit *f) {
    double squares = 0, rewards = 0;
    size_t rows = 0;
    for (size_t i = 0; i < f->n; i++) {
        double w = row_weight(f, i), r = row_reward(f, i);
        rows += w > 0;
        f->total += w;
        f->positive += w * r;
        rewards += w * r * r;
    }
    if (rows < 2) return false;
    for (size_t i = 0; i < f->n; i++) f->mean += row_weight(f, i) / f->total * finite_score(f->score[i]);
    for (size_t i = 0; i < f->n; i++) {
        double d = finite_score(f->score[i]) - f->mean;
        squares += row_weight(f, i) / f->total * d * d;
    }
    f->spread = sqrt(squares);
    double share = f->positive / f->total;
    f->low = 1 / (f->total - f->positive + 2);
    f->high = (f->positive + 1) / (f->positive + 2);
    return f->spread > 1e-12 * fabs(f->mean) && isfinite(f->spread) && rewards / f->total - share * share > 1e-12;
}

/* Negative log-likelihood of slope a and intercept b over standardised scores; gradient and Hessian where wanted. */
static double loss_of(const fit *f, double a, double b, double g[2], double h[3]) {
    double loss = 0;
    if (g) memset(g, 0, 2 * sizeof *g), memset(h, 0, 3 * sizeof *h);
    for (size_t i = 0; i < f->n; i++) {
        double w = row_weight(f, i), x = row_score(f, i), t = f->low + row_reward(f, i) * (f->high - f->low);
        double z = a * x + b, p = exp(log_sigmoid(z));
        loss -= w * (t * log_sigmoid(z) + (1 - t) * log_sigmoid(-z));
        if (!g) continue;
        double d = w * (p - t), c = w * p * (1 - p);
        g[0] += d * x, g[1] += d;
        h[0] += c * x * x, h[1] += c * x, h[2] += c;
    }
    return loss;
}

forage_status arrange_fit(const float *score, const float *reward, const float *weight, size_t n, arrange_calibration *out,
                          base_error *error) {
    fit f = {.score = score, .reward = reward, .weight = weight, .n = n};
    if (!measure(&f))
        return error_set(error, FORAGE_E_INVALID, "calibration: needs rows of different scores and different rewards, got %zu rows", n);
    double a = 0, b = log((f.positive + 1) / (f.total - f.positive + 1)), g[2], h[3];
    for (int step = 0; step < 100; step++) {
        double loss = loss_of(&f, a, b, g, h), ridge = 1e-12 * f.total, det;
        if (fabs(g[0]) + fabs(g[1]) < 1e-9 * f.total) break;
        h[0] += ridge, h[2] += ridge;
        det = h[0] * h[2] - h[1] * h[1];
        double da = -(h[2] * g[0] - h[1] * g[1]) / det, db = -(h[0] * g[1] - h[1] * g[0]) / det, size = 1;
        double fall = g[0] * da + g[1] * db;
        while (size > 1e-10 && !(loss_of(&f, a + size * da, b + size * db, NULL, NULL) <= loss + 1e-4 * size * fall)) size /= 2;
        if (size <= 1e-10) break;
        a += size * da, b += size * db;
    }
    if (!(a > 0)) return error_set(error, FORAGE_E_INVALID, "calibration: higher scores earn no more (slope %g)", a / f.spread);
    *out = (arrange_calibration){a / f.spread, b - a * f.mean / f.spread};
    return FORAGE_OK;
}

/* ---- order ---- */

typedef struct entry {
    float final, score;
    uint32_t index;
} entry;

static int best_first(const void *x, const void *y) {
    const entry *p = x, *q = y;
    if (p->final != q->final) return p->final > q->final ? -1 : 1;
    if (p->score != q->score) return p->score > q->score ? -1 : 1;
    return (p->index > q->index) - (p->index < q->index);
}

static float comparable(float x) { return isnan(x) ? -INFINITY : x; }

size_t arrange_order(const float *final, const float *score, const bool *hidden, size_t n, const arrange_pin *pins,
                     size_t n_pins, arena *scratch, uint32_t *order) {
    entry *list = arena_alloc(scratch, n * sizeof *list);
    for (size_t i = 0; i < n; i++)
        list[i] = (entry){comparable(final[i]), score ? comparable(score[i]) : 0, (uint32_t)i};
    if (n) qsort(list, n, sizeof *list, best_first);
    for (size_t i = 0; i < n; i++) order[i] = list[i].index;
    return arrange_pins(order, n, hidden, pins, n_pins, scratch);
}

/* A pin that holds, with its turn among those of one position. */
typedef struct placed_pin {
    uint32_t position, turn, candidate;
} placed_pin;

static int by_position(const void *x, const void *y) {
    const placed_pin *p = x, *q = y;
    if (p->position != q->position) return p->position < q->position ? -1 : 1;
    return (p->turn > q->turn) - (p->turn < q->turn);
}

/* The pins that hold: of what is in the order and not hidden, each candidate once. at: its place + 1, 0 when it is not there;
 * becomes 0 for the pinned, who then are not part of the rest. */
static size_t valid_pins(const arrange_pin *pins, size_t n_pins, uint32_t *at, size_t limit, placed_pin *out) {
    size_t m = 0;
    for (size_t i = 0; i < n_pins; i++) {
        uint32_t c = pins[i].candidate;
        if (c >= limit || !at[c]) continue;
        at[c] = 0;
        out[m++] = (placed_pin){pins[i].position ? pins[i].position : 1, (uint32_t)i, c};
    }
    if (m) qsort(out, m, sizeof *out, by_position);
    return m;
}

size_t arrange_pins(uint32_t *order, size_t n, const bool *hidden, const arrange_pin *pins, size_t n_pins, arena *scratch) {
    size_t limit = 0, kept = 0, m, next = 0, rest = 0;
    for (size_t i = 0; i < n; i++)
        if (order[i] >= limit) limit = (size_t)order[i] + 1;
    uint32_t *at = arena_zalloc(scratch, limit + 1, sizeof *at), *old = arena_alloc(scratch, n * sizeof *old);
    placed_pin *pinned = arena_alloc(scratch, n_pins * sizeof *pinned);
    for (size_t i = 0; i < n; i++) {
        if (hidden && hidden[order[i]]) continue;
        old[kept++] = order[i];
        at[order[i]] = (uint32_t)kept;
    }
    m = valid_pins(pins, n_pins, at, limit, pinned);
    for (size_t position = 0; position < kept; position++) {
        while (rest < kept && !at[old[rest]]) rest++;
        bool pin = next < m && (pinned[next].position <= position + 1 || rest == kept);
        order[position] = pin ? pinned[next++].candidate : old[rest++];
    }
    return kept;
}
