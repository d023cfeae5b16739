#include "rank/sequential.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <assert.h>
#include <math.h>
#include <pthread.h>

/* State, little-endian: u32 magic "FSEQ", u16 version, f64 low, high, alpha, null, u64 n, 4 × f64 sum, f64 greatest, u8 verdict + 1,
 * u64 decided_at, f64 decided_low, decided_high, u64 hash64 (seed 0) of all bytes before it. */
#define STATE_MAGIC 0x51455346u /* "FSEQ" */
/* Two arms: u32 magic "FARM", u16 version, f64 p, u64 n of A, of B, f64 sum of A, of B, then the state of the difference. */
#define ARMS_MAGIC 0x4d524146u /* "FARM" */
#define STATE_VERSION 1

enum { BETS = 20 };
#define EDGE 1e-7 /* of the range: closer to an end no mean is told apart from it */

/* The bets b_k and C(b_k). */
static double bet[BETS], fourth[BETS];
static pthread_once_t bets_made = PTHREAD_ONCE_INIT;

static void make_bets(void) {
    for (int k = 0; k < BETS; k++) {
        bet[k] = .9 * exp2(-k / 2.0);
        double power = 1;
        for (int j = 4; power > 1e-18; j++, power *= bet[k]) fourth[k] += power / j;
    }
}

/* Sums of the first four powers of y − m; from those about the null by the binomial theorem. */
typedef struct powers {
    double n, p[4];
} powers;

static powers about(const sequential *s, double null, double m) {
    double t = null - m, n = (double)s->n, t2 = t * t;
    const double *d = s->sum;
    return (powers){n,
                    {d[0] + n * t, d[1] + 2 * t * d[0] + n * t2, d[2] + 3 * t * d[1] + 3 * t2 * d[0] + n * t2 * t,
                     d[3] + 4 * t * d[2] + 6 * t2 * d[1] + 4 * t2 * t * d[0] + n * t2 * t2}};
}

/* log of the mixture's bound for "above m" (sign 1, room m) or "below m" (sign −1, room 1 − m): how much can be lost. What is
 * at most `enough` may come out as any such number: it spares the exponentials. */
static double log_mixture(const powers *q, double sign, double room, double enough) {
    double stake = fmin(2, 1 / room), exponent[BETS], greatest = -INFINITY, sum = 0;
    for (int k = 0; k < BETS; k++) {
        double l = bet[k] * stake;
        exponent[k] = l * (sign * q->p[0] - l * (q->p[1] / 2 - l * (sign * q->p[2] / 3 - l * fourth[k] * q->p[3])));
        greatest = fmax(greatest, exponent[k]);
    }
    if (greatest <= enough) return greatest;
    for (int k = 0; k < BETS; k++)
        if (exponent[k] > greatest - 40) sum += exp(exponent[k] - greatest);
    return greatest + log(sum / BETS);
}

static double scaled(const sequential *s, double x) { return (x - s->low) / (s->high - s->low); }

static double unscaled(const sequential *s, double y) { return s->low + y * (s->high - s->low); }

static double log_above(const sequential *s, double m, double enough) {
    powers q = about(s, scaled(s, s->null), m);
    return log_mixture(&q, 1, m, enough);
}

static double log_below(const sequential *s, double m, double enough) {
    powers q = about(s, scaled(s, s->null), m);
    return log_mixture(&q, -1, 1 - m, enough);
}

void sequential_init(sequential *s, double low, double high, double alpha) {
    assert(low < high && low <= 0 && high >= 0 && isfinite(low) && isfinite(high) && alpha > 0 && alpha <= .5);
    pthread_once(&bets_made, make_bets);
    *s = (sequential){.low = low, .high = high, .alpha = alpha, .decided_low = low, .decided_high = high};
}

static double mean_of(const sequential *s) {
    return scaled(s, s->null) + (s->n ? s->sum[0] / (double)s->n : 0);
}

/* The end of the interval on the side of `end` (0 or 1), from the mean outwards, where nothing is rejected: there P1 is 0, and
 * every bet pays for its variance. What is returned lies on the rejected side, within 1e-10, or is the end. */
static double bound(const sequential *s, double end) {
    double inside = mean_of(s), outside = end < .5 ? EDGE : 1 - EDGE, threshold = log(2 / s->alpha);
    if (s->n == 0 || (end < .5 ? inside <= outside : inside >= outside)) return end;
    for (int step = 0; step < 40; step++) {
        double m = step ? (inside + outside) / 2 : outside;
        bool rejected = (end < .5 ? log_above(s, m, 0) : log_below(s, m, 0)) >= threshold;
        if (!rejected && step == 0) return end;
        if (rejected) outside = m;
        else inside = m;
    }
    return outside;
}

static void interval_of(const sequential *s, double *low, double *high) {
    *low = unscaled(s, bound(s, 0));
    *high = unscaled(s, bound(s, 1));
}

void sequential_add(sequential *s, double x) {
    if (isnan(x)) return;
    double centre = scaled(s, s->null), d = scaled(s, fmax(s->low, fmin(s->high, x))) - centre;
    s->n++;
    s->sum[0] += d;
    s->sum[1] += d * d;
    s->sum[2] += d * d * d;
    s->sum[3] += d * d * d * d;
    if (centre < EDGE || centre > 1 - EDGE) return; /* a null at an end cannot be refuted from there */
    double enough = s->greatest + log(2);
    double above = log_above(s, centre, enough), below = log_below(s, centre, enough);
    double now = fmax(above, below) - log(2);
    if (!(now > s->greatest)) return;
    s->greatest = now;
    if (s->verdict != SEQUENTIAL_OPEN || now < -log(s->alpha)) return;
    s->verdict = above > below ? SEQUENTIAL_A : SEQUENTIAL_B;
    s->decided_at = s->n;
    interval_of(s, &s->decided_low, &s->decided_high);
}

sequential_result sequential_ask(const sequential *s) {
    sequential_result r = {.n = s->n, .verdict = s->verdict, .decided_at = s->decided_at};
    double centre = scaled(s, s->null), e = -log(2);
    r.mean = unscaled(s, mean_of(s));
    interval_of(s, &r.low, &r.high);
    if (centre >= EDGE && centre <= 1 - EDGE)
        e += fmax(log_above(s, centre, -INFINITY), log_below(s, centre, -INFINITY));
    r.e = exp(fmin(690, e));
    r.p = exp(-fmax(0, s->greatest));
    return r;
}

void sequential_arms_init(sequential_arms *s, double p, double alpha) {
    assert(p >= .01 && p <= .99);
    double reach = 1 / fmin(p, 1 - p);
    *s = (sequential_arms){.p = p};
    sequential_init(&s->difference, -reach, reach, alpha);
}

void sequential_arms_add(sequential_arms *s, bool is_b, double y) {
    if (isnan(y)) return;
    y = fmax(0, fmin(1, y));
    double predicted = (.5 + s->sum[0] + s->sum[1]) / (1 + (double)s->n[0] + (double)s->n[1]);
    sequential_add(&s->difference, is_b ? -(y - predicted) / (1 - s->p) : (y - predicted) / s->p);
    s->n[is_b]++;
    s->sum[is_b] += y;
}

double sequential_ratio_mismatch(uint64_t n_a, uint64_t n_b, double p) {
    const double c = 100;
    double a = c * p, b = c * (1 - p), x = (double)n_a, y = (double)n_b;
    double mixture = lgamma(a + x) + lgamma(b + y) - lgamma(c + x + y) - (lgamma(a) + lgamma(b) - lgamma(c));
    return mixture - x * log(p) - y * log(1 - p);
}

/* ---- state ---- */

static void put_hash(buffer *out, size_t first) { put_u64(out, hash64(out->data + first, out->size - first, 0)); }

void sequential_save(const sequential *s, buffer *out) {
    size_t first = out->size;
    put_u32(out, STATE_MAGIC);
    put_u16(out, STATE_VERSION);
    put_f64(out, s->low);
    put_f64(out, s->high);
    put_f64(out, s->alpha);
    put_f64(out, s->null);
    put_u64(out, s->n);
    for (int power = 0; power < 4; power++) put_f64(out, s->sum[power]);
    put_f64(out, s->greatest);
    put_u8(out, (uint8_t)(s->verdict + 1));
    put_u64(out, s->decided_at);
    put_f64(out, s->decided_low);
    put_f64(out, s->decided_high);
    put_hash(out, first);
    assert(out->size - first == SEQUENTIAL_STATE_SIZE);
}

/* Magic, version, size and checksum; the reader then stands behind the version. */
static forage_status open_state(slice state, uint32_t magic, size_t size, byte_reader *in, base_error *error) {
    *in = byte_reader_of(state.data, state.size);
    uint32_t found = read_u32(in);
    uint16_t version = read_u16(in);
    if (in->failed || found != magic)
        return error_set(error, FORAGE_E_CORRUPT, "sequential state: not such a state");
    if (version != STATE_VERSION)
        return error_set(error, FORAGE_E_VERSION, "sequential state: version %u, expected %d", version, STATE_VERSION);
    if (state.size != size || load_le64(state.data + size - 8) != hash64(state.data, size - 8, 0))
        return error_set(error, FORAGE_E_CORRUPT, "sequential state: checksum does not match");
    return FORAGE_OK;
}

/* Whether it is a state that observations lead to; each d is within ±1. */
static bool plausible(const sequential *s) {
    double most = (double)s->n * (1 + 1e-6);
    bool sums = true;
    for (int power = 0; power < 4; power++) sums &= fabs(s->sum[power]) <= most && (power % 2 == 0 || s->sum[power] >= 0);
    return sums && isfinite(s->low) && isfinite(s->high) && s->low < s->high && s->low <= 0 && s->high >= 0 &&
           s->alpha > 0 && s->alpha <= .5 && s->null >= s->low && s->null <= s->high && s->greatest >= 0 &&
           isfinite(s->greatest) && s->verdict >= -1 && s->verdict <= 1 && s->decided_at <= s->n &&
           (s->verdict == 0) == (s->decided_at == 0) && s->decided_low >= s->low && s->decided_high <= s->high &&
           s->decided_low <= s->decided_high;
}

forage_status sequential_load(sequential *s, slice state, base_error *error) {
    byte_reader in;
    forage_status status = open_state(state, STATE_MAGIC, SEQUENTIAL_STATE_SIZE, &in, error);
    if (status) return status;
    sequential read = {0};
    read.low = read_f64(&in);
    read.high = read_f64(&in);
    read.alpha = read_f64(&in);
    read.null = read_f64(&in);
    read.n = read_u64(&in);
    for (int power = 0; power < 4; power++) read.sum[power] = read_f64(&in);
    read.greatest = read_f64(&in);
    read.verdict = (sequential_verdict)((int)read_u8(&in) - 1);
    read.decided_at = read_u64(&in);
    read.decided_low = read_f64(&in);
    read.decided_high = read_f64(&in);
    if (!plausible(&read)) return error_set(error, FORAGE_E_CORRUPT, "sequential state: numbers that cannot be");
    pthread_once(&bets_made, make_bets);
    *s = read;
    return FORAGE_OK;
}

void sequential_arms_save(const sequential_arms *s, buffer *out) {
    size_t first = out->size;
    put_u32(out, ARMS_MAGIC);
    put_u16(out, STATE_VERSION);
    put_f64(out, s->p);
    for (int arm = 0; arm < 2; arm++) put_u64(out, s->n[arm]);
    for (int arm = 0; arm < 2; arm++) put_f64(out, s->sum[arm]);
    sequential_save(&s->difference, out);
    put_hash(out, first);
    assert(out->size - first == SEQUENTIAL_ARMS_SIZE);
}

forage_status sequential_arms_load(sequential_arms *s, slice state, base_error *error) {
    byte_reader in;
    forage_status status = open_state(state, ARMS_MAGIC, SEQUENTIAL_ARMS_SIZE, &in, error);
    if (status) return status;
    sequential_arms read = {0};
    read.p = read_f64(&in);
    for (int arm = 0; arm < 2; arm++) read.n[arm] = read_u64(&in);
    for (int arm = 0; arm < 2; arm++) read.sum[arm] = read_f64(&in);
    status = sequential_load(&read.difference, read_bytes(&in, SEQUENTIAL_STATE_SIZE), error);
    if (status) return status;
    bool fits = read.p >= .01 && read.p <= .99 && read.difference.high == 1 / fmin(read.p, 1 - read.p) &&
                read.n[0] <= read.difference.n && read.n[1] == read.difference.n - read.n[0];
    for (int arm = 0; arm < 2; arm++) fits = fits && read.sum[arm] >= 0 && read.sum[arm] <= (double)read.n[arm] * (1 + 1e-6);
    if (!fits) return error_set(error, FORAGE_E_CORRUPT, "sequential state: numbers that cannot be");
    *s = read;
    return FORAGE_OK;
}
