/* In memory a weight w as of time t is log2 w + t / half-life: it does not change as it ages, the order of two never does, and
 * a newer event only makes a larger number. So a group's list of the best stays right when time passes, and a document can
 * enter it only at the moment it earns something. */
#include "memory/trend.h"

#include "base/bytes.h"
#include "base/hash.h"

#include <pthread.h>
#include <stdlib.h>

#define KEY_SIZE 12
#define VALUE_SIZE 12
#define EXPOSURE 0u /* the group of what was shown; group number 0 */
#define PRIOR_MEAN 0.1f
#define PRIOR_STRENGTH 2.0f
#define NOTHING (-INFINITY)

enum { STORED, SAVING, CHANGED }; /* SAVING: as of the transaction that is being committed */

typedef struct row {
    double level; /* log2 w + t / half-life; NOTHING: none */
    uint32_t document;
    uint16_t group; /* number */
    uint8_t used;
    uint8_t state; /* of exposure */
} row;

typedef struct ranked {
    double level;
    uint32_t document;
} ranked;

typedef struct group {
    uint64_t id;
    uint32_t n;
    ranked *top; /* TREND_TOP, descending; not of exposure */
} group;

struct trend {
    pthread_rwlock_t lock;
    row *rows; /* open addressing */
    size_t slots, n_rows;
    group groups[TREND_GROUPS];
    uint32_t n_groups;
    int64_t half_life;
    int64_t newest; /* latest time of any row */
    uint32_t *dirty; /* documents whose exposure is not stored yet */
    size_t n_dirty, n_saving, dirty_capacity;
};

trend *trend_create(int64_t half_life) {
    trend *t = mem_zalloc(1, sizeof *t);
    pthread_rwlock_init(&t->lock, NULL);
    t->slots = 1024;
    t->rows = mem_zalloc(t->slots, sizeof *t->rows);
    t->groups[t->n_groups++].id = EXPOSURE;
    t->newest = INT64_MIN;
    t->half_life = half_life;
    return t;
}

void trend_destroy(trend *t) {
    if (!t) return;
    for (uint32_t g = 0; g < t->n_groups; g++) free(t->groups[g].top);
    pthread_rwlock_destroy(&t->lock);
    free(t->dirty);
    free(t->rows);
    free(t);
}

bool trend_set_half_life(trend *t, int64_t half_life) {
    pthread_rwlock_wrlock(&t->lock);
    bool empty = t->n_rows == 0;
    if (empty) t->half_life = half_life;
    pthread_rwlock_unlock(&t->lock);
    return empty;
}

uint64_t trend_type_group(slice type) {
    uint64_t hash = hash64(type.data, type.size, 0x74797065);
    return hash > TREND_EVERYONE ? hash : hash + 2;
}

/* ---- Rows ---- */

static double level_of(const trend *t, float weight, int64_t time) {
    return weight > 0 ? log2(weight) + (double)time / (double)t->half_life : NOTHING;
}

static float weight_of(const trend *t, double level, int64_t time) {
    return level == NOTHING ? 0 : (float)exp2(fmin(level - (double)time / (double)t->half_life, 60));
}

/* log2(2^a + 2^b) */
static double sum_of(double a, double b) {
    double high = fmax(a, b), low = fmin(a, b);
    return low == NOTHING ? high : high + log2(1 + exp2(low - high));
}

static row *slot_of(const trend *t, uint32_t number, uint32_t document) {
    uint32_t key[2] = {number, document};
    size_t at = hash64(key, sizeof key, 0) & (t->slots - 1);
    while (t->rows[at].used && (t->rows[at].document != document || t->rows[at].group != number)) at = (at + 1) & (t->slots - 1);
    return &t->rows[at];
}

static void grow(trend *t) {
    row *old = t->rows;
    size_t n = t->slots;
    t->slots = n * 2;
    t->rows = mem_zalloc(t->slots, sizeof *t->rows);
    for (size_t i = 0; i < n; i++)
        if (old[i].used) *slot_of(t, old[i].group, old[i].document) = old[i];
    free(old);
}

static row *row_of(trend *t, uint32_t number, uint32_t document) {
    row *r = slot_of(t, number, document);
    if (r->used) return r;
    if (t->n_rows * 4 >= t->slots * 3) {
        grow(t);
        r = slot_of(t, number, document);
    }
    *r = (row){.level = NOTHING, .document = document, .group = (uint16_t)number, .used = 1};
    t->n_rows++;
    return r;
}

static bool number_of(const trend *t, uint64_t id, uint32_t *out) {
    for (uint32_t g = 0; g < t->n_groups; g++)
        if (t->groups[g].id == id) return *out = g, true;
    return false;
}

static bool make_number(trend *t, uint64_t id, uint32_t *out) {
    if (number_of(t, id, out)) return true;
    if (t->n_groups == TREND_GROUPS) return false;
    t->groups[t->n_groups] = (group){.id = id, .top = mem_zalloc(TREND_TOP, sizeof(ranked))};
    *out = t->n_groups++;
    return true;
}

/* A row has earned something: it moves up, or in. Ties by document number. */
static void rise(group *g, uint32_t document, double level) {
    uint32_t i = 0;
    while (i < g->n && g->top[i].document != document) i++;
    if (i == g->n && g->n == TREND_TOP) {
        if (g->top[i - 1].level > level || (g->top[i - 1].level == level && g->top[i - 1].document < document)) return;
        i--;
    } else if (i == g->n) {
        g->n++;
    }
    for (; i > 0; i--) {
        const ranked *above = &g->top[i - 1];
        if (above->level > level || (above->level == level && above->document < document)) break;
        g->top[i] = *above;
    }
    g->top[i] = (ranked){level, document};
}

static void set(trend *t, uint32_t number, uint32_t document, double level, int64_t time) {
    row *r = row_of(t, number, document);
    r->level = level;
    if (time > t->newest) t->newest = time;
    if (number != EXPOSURE && level != NOTHING) rise(&t->groups[number], document, level);
}

/* ---- The store ---- */

static slice make_key(uint64_t id, uint32_t document, uint8_t out[KEY_SIZE]) {
    store_be64(out, id);
    store_be32(out + 8, document);
    return (slice){(const char *)out, KEY_SIZE};
}

static bool decode(slice value, float *weight, int64_t *time) {
    if (value.size != VALUE_SIZE) return false;
    byte_reader in = byte_reader_of(value.data, value.size);
    float w = read_f32(&in);
    *weight = w > 0 && isfinite(w) ? w : 0;
    *time = decay_bounded((int64_t)read_u64(&in));
    return true;
}

static forage_status put(store_txn *txn, uint64_t id, uint32_t document, float weight, int64_t time, base_error *error) {
    uint8_t key[KEY_SIZE], value[VALUE_SIZE];
    memcpy(value, &weight, 4);
    store_le64(value + 4, (uint64_t)time);
    return store_put(txn, STORE_TRENDS, make_key(id, document, key), (slice){(const char *)value, VALUE_SIZE}, error);
}

forage_status trend_load(trend *t, store_txn *txn, base_error *error) {
    store_cursor *cursor;
    slice key, value;
    forage_status status = store_cursor_open(txn, STORE_TRENDS, (slice){0}, &cursor, error);
    if (status) return status;
    while (store_cursor_next(cursor, &key, &value)) {
        float weight;
        int64_t time;
        uint32_t number;
        if (key.size != KEY_SIZE || !decode(value, &weight, &time) || !make_number(t, load_be64(key.data), &number)) continue;
        set(t, number, load_be32(key.data + 8), level_of(t, weight, time), time);
    }
    store_cursor_close(cursor);
    return FORAGE_OK;
}

/* ---- Writing ---- */

forage_status trend_earned(const trend *t, store_txn *txn, uint64_t id, uint32_t document, float amount, int64_t time,
                           int64_t now, trend_change *out, base_error *error) {
    uint32_t number;
    uint8_t key[KEY_SIZE];
    slice value;
    float before = 0;
    int64_t as_of;
    *out = (trend_change){.group = id, .document = document};
    if (id == EXPOSURE || !(amount > 0) || (!number_of(t, id, &number) && t->n_groups == TREND_GROUPS)) return FORAGE_OK;
    time = decay_time(time, now, t->newest);
    out->time = time;
    if (store_get(txn, STORE_TRENDS, make_key(id, document, key), &value) == FORAGE_OK && decode(value, &before, &as_of)) {
        if (as_of > time) out->time = as_of;
        before *= decay_factor(out->time - as_of, t->half_life);
    }
    out->weight = before + amount * decay_factor(out->time - time, t->half_life);
    return put(txn, id, document, out->weight, out->time, error);
}

void trend_apply(trend *t, const trend_change *changes, size_t n) {
    pthread_rwlock_wrlock(&t->lock);
    for (size_t i = 0; i < n; i++) {
        uint32_t number;
        if (!(changes[i].weight > 0) || !make_number(t, changes[i].group, &number)) continue;
        set(t, number, changes[i].document, level_of(t, changes[i].weight, changes[i].time), changes[i].time);
    }
    pthread_rwlock_unlock(&t->lock);
}

void trend_shown(trend *t, const uint32_t *documents, size_t n, int64_t time, int64_t now) {
    pthread_rwlock_wrlock(&t->lock);
    time = decay_time(time, now, t->newest);
    for (size_t i = 0; i < n; i++) {
        row *r = row_of(t, EXPOSURE, documents[i]);
        r->level = sum_of(r->level, level_of(t, 1, time));
        if (r->state == CHANGED) continue;
        r->state = CHANGED;
        t->dirty = mem_grow(t->dirty, &t->dirty_capacity, t->n_dirty + 1, sizeof *t->dirty);
        t->dirty[t->n_dirty++] = documents[i];
    }
    if (n && time > t->newest) t->newest = time;
    pthread_rwlock_unlock(&t->lock);
}

void trend_forget_shown(trend *t) {
    pthread_rwlock_wrlock(&t->lock);
    for (size_t i = 0; i < t->slots; i++)
        if (t->rows[i].used && t->rows[i].group == EXPOSURE) t->rows[i].level = NOTHING;
    pthread_rwlock_unlock(&t->lock);
}

forage_status trend_save(trend *t, store_txn *txn, base_error *error) {
    forage_status status = FORAGE_OK;
    for (size_t i = 0; !status && i < t->n_dirty; i++) {
        row *r = slot_of(t, EXPOSURE, t->dirty[i]);
        r->state = SAVING;
        /* As of the newest time: the level says the same at any. */
        status = put(txn, EXPOSURE, r->document, weight_of(t, r->level, t->newest), t->newest, error);
    }
    t->n_saving = t->n_dirty;
    return status;
}

void trend_saved(trend *t) {
    for (size_t i = 0; i < t->n_saving; i++) {
        row *r = slot_of(t, EXPOSURE, t->dirty[i]);
        if (r->state == SAVING) r->state = STORED;
    }
    t->n_dirty -= t->n_saving;
    if (t->n_dirty) memmove(t->dirty, t->dirty + t->n_saving, t->n_dirty * sizeof *t->dirty);
    t->n_saving = 0;
}

/* ---- Reading ---- */

static void read_lock(const trend *t) { pthread_rwlock_rdlock(&((trend *)(uintptr_t)t)->lock); }
static void read_unlock(const trend *t) { pthread_rwlock_unlock(&((trend *)(uintptr_t)t)->lock); }

/* Nothing is read as of a time before the newest row's, but for clocks that differ by a little. */
static int64_t present(const trend *t, int64_t now) { return decay_time(now, now, t->newest); }

size_t trend_top(const trend *t, uint64_t id, int64_t now, size_t k, trend_document *out) {
    uint32_t number;
    size_t n = 0;
    read_lock(t);
    if (id != EXPOSURE && number_of(t, id, &number)) {
        const group *g = &t->groups[number];
        int64_t time = present(t, now);
        for (; n < k && n < g->n; n++) {
            out[n] = (trend_document){g->top[n].document, weight_of(t, g->top[n].level, time)};
            if (!(out[n].weight > 0)) break; /* too long ago for a number, and so are all after it */
        }
    }
    read_unlock(t);
    return n;
}

static float weight_at(const trend *t, uint32_t number, uint32_t document, int64_t time) {
    const row *r = slot_of(t, number, document);
    return r->used ? weight_of(t, r->level, time) : 0;
}

void trend_weights(const trend *t, uint64_t id, int64_t now, trend_document *documents, size_t n) {
    uint32_t number;
    read_lock(t);
    bool known = number_of(t, id, &number);
    int64_t time = present(t, now);
    for (size_t i = 0; i < n; i++) documents[i].weight = known ? weight_at(t, number, documents[i].document, time) : 0;
    read_unlock(t);
}

void trend_believe(const trend *t, int64_t now, trend_belief *documents, size_t n) {
    uint32_t everyone;
    read_lock(t);
    bool known = number_of(t, TREND_EVERYONE, &everyone);
    int64_t time = present(t, now);
    for (size_t i = 0; i < n; i++) {
        trend_belief *d = &documents[i];
        d->shown = weight_at(t, EXPOSURE, d->document, time);
        d->engaged = known ? weight_at(t, everyone, d->document, time) : 0;
        float a = PRIOR_MEAN * PRIOR_STRENGTH + d->engaged;
        float b = (1 - PRIOR_MEAN) * PRIOR_STRENGTH + fmaxf(0, d->shown - d->engaged), sum = a + b;
        d->mean = a / sum;
        d->deviation = sqrtf(a * b / (sum * sum * (sum + 1)));
    }
    read_unlock(t);
}
