#include "rank/ranker.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <assert.h>
#include <float.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

/* State, little-endian: u32 magic "FRNK", u16 version, u32 features, u64 updates, features × f64 mean,
 * features × f64 variance, u64 hash64 (seed 0) of all bytes before it. */
#define STATE_MAGIC 0x4b4e5246u /* "FRNK" */
#define STATE_VERSION 1

#define VARIANCE_LIMIT 1e6
#define LEAST_VARIANCE .001     /* of the prior's: a learner that is never quite sure keeps following its users */
#define DIFFERENCE_LIMIT 1000.0 /* of one feature between two rows */

struct ranker {
    uint32_t F;
    double *prior_mean, *prior_variance;
    pthread_rwlock_t *lock; /* apart, so that const calls can take it; guards all below */
    double *m, *v;          /* the posterior's means and variances */
    float *w;               /* m as scored with */
    uint64_t updates;
};

static forage_status check_config(const ranker_config *c, base_error *error) {
    if (c->n_features < 1 || c->n_features > RANKER_MAX_FEATURES)
        return error_set(error, FORAGE_E_INVALID, "ranker n_features: expected 1 to %d, got %u", RANKER_MAX_FEATURES,
                         c->n_features);
    for (uint32_t i = 0; i < c->n_features; i++) {
        if (!(fabsf(c->prior_mean[i]) <= RANKER_WEIGHT_LIMIT))
            return error_set(error, FORAGE_E_INVALID, "ranker prior_mean[%u]: expected %g to %g, got %g", i,
                             (double)-RANKER_WEIGHT_LIMIT, (double)RANKER_WEIGHT_LIMIT, (double)c->prior_mean[i]);
        if (!(c->prior_variance[i] >= 0 && (double)c->prior_variance[i] <= VARIANCE_LIMIT))
            return error_set(error, FORAGE_E_INVALID, "ranker prior_variance[%u]: expected 0 to %g, got %g", i,
                             VARIANCE_LIMIT, (double)c->prior_variance[i]);
    }
    return FORAGE_OK;
}

forage_status ranker_create(const ranker_config *config, ranker **out, base_error *error) {
    forage_status status = check_config(config, error);
    if (status) return status;
    ranker *r = mem_zalloc(1, sizeof *r);
    uint32_t F = r->F = config->n_features;
    r->prior_mean = mem_alloc(4 * F * sizeof *r->m);
    r->prior_variance = r->prior_mean + F;
    r->m = r->prior_mean + 2 * F;
    r->v = r->prior_mean + 3 * F;
    r->w = mem_alloc(F * sizeof *r->w);
    for (uint32_t i = 0; i < F; i++) {
        r->prior_mean[i] = r->m[i] = (double)config->prior_mean[i];
        r->prior_variance[i] = r->v[i] = (double)config->prior_variance[i];
        r->w[i] = config->prior_mean[i];
    }
    r->lock = mem_alloc(sizeof *r->lock);
    int failed = pthread_rwlock_init(r->lock, NULL);
    assert(!failed);
    (void)failed;
    *out = r;
    return FORAGE_OK;
}

void ranker_destroy(ranker *r) {
    if (!r) return;
    pthread_rwlock_destroy(r->lock);
    free(r->lock);
    free(r->prior_mean);
    free(r->w);
    free(r);
}

/* Four sums side by side: the compiler may not reorder one sum of floats, so a single one would wait on itself. */
static float dot(const float *restrict w, const float *restrict x, uint32_t F) {
    float a = 0, b = 0, c = 0, d = 0;
    uint32_t i = 0;
    for (; i + 4 <= F; i += 4) {
        a += w[i] * x[i];
        b += w[i + 1] * x[i + 1];
        c += w[i + 2] * x[i + 2];
        d += w[i + 3] * x[i + 3];
    }
    for (; i < F; i++) a += w[i] * x[i];
    return (a + b) + (c + d);
}

static float careful_dot(const float *w, const float *x, uint32_t F) {
    double sum = 0;
    for (uint32_t i = 0; i < F; i++)
        if (isfinite(x[i])) sum += (double)w[i] * (double)x[i];
    return (float)fmax(-(double)FLT_MAX, fmin((double)FLT_MAX, sum));
}

void ranker_score(const ranker *r, const float *x, size_t n, size_t stride, float *scores) {
    float w[RANKER_MAX_FEATURES];
    pthread_rwlock_rdlock(r->lock);
    memcpy(w, r->w, r->F * sizeof *w);
    pthread_rwlock_unlock(r->lock);
    for (size_t i = 0; i < n; i++) {
        scores[i] = dot(w, x + i * stride, r->F);
        if (!isfinite(scores[i])) scores[i] = careful_dot(w, x + i * stride, r->F);
    }
}

void ranker_weights(const ranker *r, float *mean, float *variance) {
    pthread_rwlock_rdlock(r->lock);
    for (uint32_t i = 0; i < r->F; i++) {
        if (mean) mean[i] = r->w[i];
        if (variance) variance[i] = (float)r->v[i];
    }
    pthread_rwlock_unlock(r->lock);
}

static double feature(float value) { return isfinite(value) ? (double)value : 0; }

/* One observation "the row with a features won over the row with b": logistic regression on x = a - b with label 1, as
 * an extended Kalman filter with a diagonal covariance (Ollivier 2018; assumed density, Glickman 1999). mu and
 * s2 are the mean and the variance of w · x; p is the moderated output (MacKay 1992), so that an uncertain model is not
 * surprised; h = p (1 - p) is the Fisher information of one label, rho its share of evidence. */
static void learn_pair(ranker *r, const float *winner, const float *loser, double rho) {
    double x[RANKER_MAX_FEATURES], mu = 0, s2 = 0;
    for (uint32_t i = 0; i < r->F; i++) {
        x[i] = fmax(-DIFFERENCE_LIMIT, fmin(DIFFERENCE_LIMIT, feature(winner[i]) - feature(loser[i])));
        mu += r->m[i] * x[i];
        s2 += r->v[i] * x[i] * x[i];
    }
    double p = 1 / (1 + exp(-mu / sqrt(1 + M_PI * s2 / 8)));
    double h = p * (1 - p), step = rho / (1 + rho * h * s2);
    for (uint32_t i = 0; i < r->F; i++) {
        double gain = r->v[i] * x[i];
        if (gain == 0) continue; /* pinned, or no difference */
        r->m[i] = fmax(-(double)RANKER_WEIGHT_LIMIT,
                       fmin((double)RANKER_WEIGHT_LIMIT, r->m[i] + step * (1 - p) * gain));
        r->v[i] = fmax(r->v[i] - step * h * gain * gain, LEAST_VARIANCE * r->prior_variance[i]);
    }
}

void ranker_learn(ranker *r, const float *x, size_t n, size_t engaged, float reward, const bool *engaged_before) {
    if (engaged >= n || !(reward > 0)) return;
    double rho = fmin(1, (double)reward);
    bool learned = false;
    pthread_rwlock_wrlock(r->lock);
    for (size_t i = 0; i < n && i <= engaged + 1; i++) {
        if (i == engaged || (engaged_before && engaged_before[i])) continue;
        learn_pair(r, x + engaged * r->F, x + i * r->F, rho);
        learned = true;
    }
    for (uint32_t i = 0; i < r->F; i++) r->w[i] = (float)r->m[i];
    r->updates += learned;
    pthread_rwlock_unlock(r->lock);
}

uint64_t ranker_updates(const ranker *r) {
    pthread_rwlock_rdlock(r->lock);
    uint64_t updates = r->updates;
    pthread_rwlock_unlock(r->lock);
    return updates;
}

void ranker_save(const ranker *r, buffer *out) {
    size_t first = out->size;
    put_u32(out, STATE_MAGIC);
    put_u16(out, STATE_VERSION);
    put_u32(out, r->F);
    pthread_rwlock_rdlock(r->lock);
    put_u64(out, r->updates);
    for (uint32_t i = 0; i < r->F; i++) put_f64(out, r->m[i]);
    for (uint32_t i = 0; i < r->F; i++) put_f64(out, r->v[i]);
    pthread_rwlock_unlock(r->lock);
    put_u64(out, hash64(out->data + first, out->size - first, 0));
}

static forage_status check_state(const ranker *r, slice state, base_error *error) {
    byte_reader in = byte_reader_of(state.data, state.size);
    uint32_t magic = read_u32(&in);
    uint16_t version = read_u16(&in);
    if (in.failed || magic != STATE_MAGIC)
        return error_set(error, FORAGE_E_CORRUPT, "ranker state: not a ranker's state");
    if (version != STATE_VERSION)
        return error_set(error, FORAGE_E_VERSION, "ranker state: version %u, expected %u", version, STATE_VERSION);
    uint32_t F = read_u32(&in);
    if (in.failed || read_left(&in) < 8 ||
        load_le64(state.data + state.size - 8) != hash64(state.data, state.size - 8, 0))
        return error_set(error, FORAGE_E_CORRUPT, "ranker state: checksum does not match");
    if (F != r->F) return error_set(error, FORAGE_E_INVALID, "ranker state: of %u features, expected %u", F, r->F);
    if (read_left(&in) != 16 + 16 * (size_t)F) return error_set(error, FORAGE_E_CORRUPT, "ranker state: wrong size");
    return FORAGE_OK;
}

forage_status ranker_load(ranker *r, slice state, base_error *error) {
    double m[RANKER_MAX_FEATURES], v[RANKER_MAX_FEATURES];
    forage_status status = check_state(r, state, error);
    if (status) return status;
    byte_reader in = byte_reader_of(state.data + 10, state.size - 10);
    uint64_t updates = read_u64(&in);
    for (uint32_t i = 0; i < r->F; i++) m[i] = read_f64(&in);
    for (uint32_t i = 0; i < r->F; i++) {
        v[i] = read_f64(&in);
        if (!(fabs(m[i]) <= (double)RANKER_WEIGHT_LIMIT && v[i] >= 0 && v[i] <= VARIANCE_LIMIT))
            return error_set(error, FORAGE_E_CORRUPT, "ranker state: weight %u: mean %g, variance %g", i, m[i], v[i]);
        if (v[i] > 0 && r->prior_variance[i] > 0) continue;
        m[i] = r->prior_mean[i];
        v[i] = r->prior_variance[i];
    }
    pthread_rwlock_wrlock(r->lock);
    r->updates = updates;
    for (uint32_t i = 0; i < r->F; i++) {
        r->m[i] = m[i];
        r->v[i] = v[i];
        r->w[i] = (float)m[i];
    }
    pthread_rwlock_unlock(r->lock);
    return FORAGE_OK;
}

float rank_rrf(const uint32_t *ranks, size_t n, float k) {
    float sum = 0;
    for (size_t i = 0; i < n; i++)
        if (ranks[i]) sum += 1 / (k + (float)ranks[i]);
    return sum;
}
