#include "memory/query_memory.h"

#include "base/bytes.h"
#include "memory/predict.h"
#include "memory/query_memory_state.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define QUERY_FORMAT 1
#define SECOND 1000000

const memory_settings memory_default_settings = {
    .half_life = (int64_t)730 * 86400 * SECOND, .examination_power = 1, .lent_most = 8, .segment_strength = 4,
    .most_queries = 200000, .segments = {{"language", "country"}, 2},
};

static const char *const way_names[MEMORY_WAYS] = {"same", "words", "letters", "predicted"};

const char *memory_way_name(memory_way way) { return way_names[way]; }

hash128 memory_key(slice normalized_query) { return hash128_of(normalized_query.data, normalized_query.size); }

/* ---- Rows and queries in the store ---- */

void memory_row_key(hash128 key, uint32_t document, uint8_t out[MEMORY_ROW_KEY]) {
    memcpy(out, key.bytes, sizeof key.bytes);
    store_be32(out + sizeof key.bytes, document);
}

void memory_each_row(store_txn *t, store_table table, hash128 key, size_t most, memory_see_counts see, void *self) {
    store_cursor *cursor;
    slice prefix = {(const char *)key.bytes, sizeof key.bytes}, at, value;
    memory_counts counts;
    if (store_cursor_open(t, table, prefix, &cursor, NULL)) return;
    for (size_t n = 0; n < most && store_cursor_next(cursor, &at, &value); n++) {
        if (at.size != MEMORY_ROW_KEY || memcmp(at.data, prefix.data, prefix.size) != 0) break;
        if (memory_counts_read(value, &counts) && !see(self, load_be32(at.data + prefix.size), &counts)) break;
    }
    store_cursor_close(cursor);
}

static bool get_row(store_txn *t, store_table table, hash128 key, uint32_t document, memory_counts *out) {
    uint8_t bytes[MEMORY_ROW_KEY];
    slice value;
    memory_row_key(key, document, bytes);
    return store_get(t, table, (slice){(const char *)bytes, sizeof bytes}, &value) == FORAGE_OK &&
           memory_counts_read(value, out);
}

static forage_status put_row(store_txn *t, store_table table, hash128 key, uint32_t document, const memory_counts *row,
                             base_error *error) {
    uint8_t bytes[MEMORY_ROW_KEY], value[MEMORY_COUNTS_SIZE];
    memory_row_key(key, document, bytes);
    size_t size = memory_counts_write(row, value);
    return store_put(t, table, (slice){(const char *)bytes, sizeof bytes}, (slice){(const char *)value, size}, error);
}

static bool read_query(slice key, slice value, memory_query *out) {
    byte_reader in = byte_reader_of(value.data, value.size);
    memory_query q = {0};
    if (key.size != sizeof q.key.bytes || read_u8(&in) != QUERY_FORMAT) return false;
    q.weight = read_f32(&in);
    q.time = (int64_t)read_u64(&in);
    q.language = read_string(&in);
    q.text = read_string(&in);
    if (in.failed) return false;
    if (!(isfinite(q.weight) && q.weight > 0)) q.weight = 0;
    memcpy(q.key.bytes, key.data, key.size);
    *out = q;
    return true;
}

forage_status memory_query_get(store_txn *t, hash128 key, memory_query *out) {
    slice at = {(const char *)key.bytes, sizeof key.bytes}, value;
    if (store_get(t, STORE_QUERIES, at, &value) || !read_query(at, value, out)) return FORAGE_E_NOT_FOUND;
    return FORAGE_OK;
}

void memory_each_query(store_txn *t, memory_see_query see, void *self) {
    store_cursor *cursor;
    slice key, value;
    memory_query q;
    if (store_cursor_open(t, STORE_QUERIES, (slice){0}, &cursor, NULL)) return;
    while (store_cursor_next(cursor, &key, &value))
        if (read_query(key, value, &q) && !see(self, &q)) break;
    store_cursor_close(cursor);
}

static forage_status put_query(store_txn *t, const memory_query *q, base_error *error) {
    buffer value = {0};
    put_u8(&value, QUERY_FORMAT);
    put_f32(&value, q->weight);
    put_u64(&value, (uint64_t)q->time);
    put_string(&value, q->language);
    put_string(&value, q->text);
    forage_status status = store_put(t, STORE_QUERIES, (slice){(const char *)q->key.bytes, sizeof q->key.bytes},
                                     (slice){value.data, value.size}, error);
    buffer_release(&value);
    return status;
}

typedef struct row_list {
    arena *a;
    memory_row *rows;
    size_t n, capacity;
} row_list;

static bool list_row(void *self, uint32_t document, const memory_counts *c) {
    row_list *l = self;
    if (l->n == l->capacity) {
        l->capacity = l->capacity ? l->capacity * 2 : 16;
        memory_row *grown = arena_alloc(l->a, l->capacity * sizeof *grown);
        if (l->n) memcpy(grown, l->rows, l->n * sizeof *grown);
        l->rows = grown;
    }
    memory_row *row = &l->rows[l->n++];
    *row = (memory_row){.document = document, .impressions = c->impressions, .rewards = c->rewards, .time = c->time};
    memory_posterior(row->impressions, row->rewards, &row->mean, &row->deviation);
    return true;
}

void memory_posterior(float impressions, float rewards, float *mean, float *deviation) {
    memory_believe(MEMORY_PRIOR_MEAN, MEMORY_PRIOR_STRENGTH, rewards,
                   impressions > rewards ? impressions - rewards : 0, mean, deviation);
}

size_t memory_rows_of(store_txn *t, hash128 key, size_t most, arena *a, memory_row **rows) {
    row_list list = {.a = a};
    memory_each_row(t, STORE_MEMORY, key, most, list_row, &list);
    *rows = list.rows;
    return list.n;
}

/* ---- Opening ---- */

typedef struct loading {
    query_memory *m;
    neighbours *near;
    store_txn *t;
    const memory_query *query; /* whose rows are read */
    float *weights;
    size_t n, capacity;
    float least; /* queries that weigh less stay out */
    bool ties;   /* those that weigh as much are read now */
    neighbours_features features;
} loading;

/* Comparable between queries that were last asked at different times: the logarithm of the weight at one common time. */
static float weight_of(const query_memory *m, const memory_query *q) {
    float time = m->settings.half_life > 0 ? (float)((double)q->time / (double)m->settings.half_life) : 0;
    return log2f(q->weight + 1e-6f) + time;
}

static bool weigh(void *self, const memory_query *q) {
    loading *l = self;
    l->weights = mem_grow(l->weights, &l->capacity, l->n + 1, sizeof *l->weights);
    l->weights[l->n++] = weight_of(l->m, q);
    return true;
}

static int heaviest_first(const void *x, const void *y) {
    float a = *(const float *)x, b = *(const float *)y;
    return (a < b) - (a > b);
}

static uint32_t seconds_of(int64_t time) {
    return time <= 0 ? 0 : time / SECOND > UINT32_MAX ? UINT32_MAX : (uint32_t)(time / SECOND);
}

/* What a pair can lend: its counts, and what a prediction adds to them. */
static neighbours_row lent_row(uint32_t document, const memory_counts *c, float predicted) {
    float more = (memory_prior_mean(predicted) - MEMORY_PRIOR_MEAN) * MEMORY_PRIOR_STRENGTH;
    return (neighbours_row){document, seconds_of(c->time), c->impressions + more, c->rewards + more};
}

static bool load_row(void *self, uint32_t document, const memory_counts *c) {
    loading *l = self;
    float predicted = predict_of_pair(l->t, l->query->key, document);
    neighbours_row row = lent_row(document, c, predicted);
    neighbours_row_set(l->near, &l->query->key, &row);
    return true;
}

static text_language language_of(slice code) {
    text_language language = TEXT_ANY;
    if (code.size) (void)text_language_from_code(code, &language);
    return language;
}

static bool load_query(void *self, const memory_query *q) {
    loading *l = self;
    float weight = weight_of(l->m, q);
    if (l->ties ? weight != l->least : weight <= l->least) return true;
    if (neighbours_count(l->near) >= l->m->settings.most_queries) return false;
    text_analyzer *analyzer = l->m->analyzer;
    neighbours_features_of(analyzer, q->text, language_of(q->language), &l->features);
    neighbours_put(l->near, &q->key, &l->features, q->weight);
    l->query = q;
    memory_each_row(l->t, STORE_MEMORY, q->key, MEMORY_MAX_ROWS, load_row, l);
    return true;
}

static bool load_prediction(void *self, const prediction *p) {
    loading *l = self;
    bool known = neighbours_has(l->near, &p->key);
    if (!known && neighbours_count(l->near) >= l->m->settings.most_queries) return false;
    if (!known) {
        neighbours_features_of(l->m->analyzer, p->query, TEXT_ANY, &l->features);
        neighbours_put(l->near, &p->key, &l->features, 0);
    }
    memory_counts counts;
    if (known && get_row(l->t, STORE_MEMORY, p->key, p->document, &counts)) return true; /* it is there with its counts */
    counts = (memory_counts){.time = (int64_t)UINT32_MAX * SECOND}; /* predictions do not decay */
    neighbours_row row = lent_row(p->document, &counts, p->score);
    neighbours_row_set(l->near, &p->key, &row);
    return true;
}

static forage_status load(query_memory *m, neighbours **out, base_error *error) {
    loading l = {.m = m, .least = -INFINITY};
    forage_status status = store_read_begin(m->store, &l.t, error);
    if (status) return status;
    l.near = neighbours_create(m->settings.most_queries);
    if (store_count(l.t, STORE_QUERIES) > m->settings.most_queries) {
        memory_each_query(l.t, weigh, &l);
        qsort(l.weights, l.n, sizeof *l.weights, heaviest_first);
        l.least = l.weights[m->settings.most_queries - 1];
    }
    memory_each_query(l.t, load_query, &l);
    l.ties = true;
    if (isfinite(l.least)) memory_each_query(l.t, load_query, &l);
    predict_each(l.t, load_prediction, &l);
    store_read_end(l.t);
    free(l.weights);
    *out = l.near;
    return FORAGE_OK;
}

forage_status query_memory_open(store *s, const memory_settings *settings, query_memory **out, base_error *error) {
    query_memory *m = mem_zalloc(1, sizeof *m);
    m->store = s;
    if (!settings) settings = &memory_default_settings;
    m->settings = *settings;
    if (m->settings.most_queries == 0) m->settings.most_queries = 1;
    m->analyzer = text_analyzer_create();
    pthread_rwlockattr_t attributes;
    pthread_rwlockattr_init(&attributes);
    pthread_rwlockattr_setkind_np(&attributes, PTHREAD_RWLOCK_PREFER_WRITER_NONRECURSIVE_NP);
    pthread_rwlock_init(&m->lock, &attributes); /* searches without end do not keep a refresh waiting */
    pthread_rwlockattr_destroy(&attributes);
    arena_init(&m->names, 1024);
    query_memory_set_segments(m, &settings->segments);
    query_memory_set_examination(m, NULL, 0);
    forage_status status = load(m, &m->near, error);
    if (status) {
        query_memory_close(m);
        return status;
    }
    *out = m;
    return FORAGE_OK;
}

void query_memory_close(query_memory *m) {
    if (!m) return;
    neighbours_destroy(m->near);
    text_analyzer_destroy(m->analyzer);
    arena_release(&m->names);
    pthread_rwlock_destroy(&m->lock);
    free(m);
}

forage_status query_memory_refresh(query_memory *m, base_error *error) {
    neighbours *fresh, *old;
    forage_status status = load(m, &fresh, error);
    if (status) return status;
    pthread_rwlock_wrlock(&m->lock);
    old = m->near;
    m->near = fresh;
    pthread_rwlock_unlock(&m->lock);
    neighbours_destroy(old);
    return FORAGE_OK;
}

memory_info query_memory_describe(query_memory *m) {
    pthread_rwlock_rdlock(&m->lock);
    memory_info info = {neighbours_count(m->near), neighbours_bytes(m->near)};
    pthread_rwlock_unlock(&m->lock);
    return info;
}

/* ---- What is set while it is open ---- */

void query_memory_set_segments(query_memory *m, const segment_fields *fields) {
    arena_reset(&m->names);
    m->settings.segments.n = fields->n < SEGMENTS_MAX ? fields->n : SEGMENTS_MAX;
    for (size_t i = 0; i < m->settings.segments.n; i++)
        m->settings.segments.names[i] = arena_strndup(&m->names, fields->names[i], strlen(fields->names[i]));
}

#define LEAST_EXAMINED 0.001f

void query_memory_set_examination(query_memory *m, const float *chances, size_t n) {
    for (size_t i = 0; i < MEMORY_CURVE; i++) {
        float rank = (float)(i + 1), falling = powf(rank, -m->settings.examination_power);
        if (n > 0 && i >= n) falling = m->curve[n - 1] * powf(rank / (float)n, -m->settings.examination_power);
        float chance = i < n && chances[i] > 0 && chances[i] <= 1 ? chances[i] : falling;
        m->curve[i] = chance > LEAST_EXAMINED ? chance : LEAST_EXAMINED;
    }
}

float query_memory_examination(const query_memory *m, uint32_t rank) {
    if (rank == 0) rank = 1;
    if (rank <= MEMORY_CURVE) return m->curve[rank - 1];
    float chance = m->curve[MEMORY_CURVE - 1] * powf((float)rank / MEMORY_CURVE, -m->settings.examination_power);
    return chance > LEAST_EXAMINED ? chance : LEAST_EXAMINED;
}

/* ---- Changes ---- */

typedef struct memory_change {
    hash128 key;
    slice text;     /* empty: the query is not new */
    text_language language;
    float weight;   /* of the query; below 0: as it was */
    neighbours_row row;
} memory_change;

void memory_changes_reset(memory_changes *c) {
    if (c->used) arena_reset(&c->texts);
    else arena_init(&c->texts, 4096);
    c->used = true;
    c->n = 0;
}

void memory_changes_release(memory_changes *c) {
    if (c->used) arena_release(&c->texts);
    free(c->list);
    *c = (memory_changes){0};
}

static void note(memory_changes *c, const memory_change *change) {
    c->list = mem_grow(c->list, &c->capacity, c->n + 1, sizeof *c->list);
    c->list[c->n++] = *change;
}

void query_memory_publish(query_memory *m, const memory_changes *changes) {
    neighbours_features features;
    for (size_t i = 0; i < changes->n; i++) {
        const memory_change *c = &changes->list[i];
        bool known = neighbours_has(m->near, &c->key);
        if (!known && c->text.size) neighbours_features_of(m->analyzer, c->text, c->language, &features);
        if (known ? c->weight >= 0 : c->text.size > 0)
            neighbours_put(m->near, &c->key, &features, c->weight > 0 ? c->weight : 0);
        neighbours_row_set(m->near, &c->key, &c->row);
    }
}

/* ---- Learning ---- */

/* Who did it, for the caps: a user, else a session, else whoever made this one search. */
static uint64_t hash_of_who(slice user, slice session, slice query_id) {
    slice who = user.size ? user : session.size ? session : query_id;
    return hash64(who.data, who.size, 0x5ee);
}

/* What an amount of `time` is worth in a row that has come as far as `now`. */
static float late(const query_memory *m, const memory_counts *row, int64_t time) {
    return memory_decay(time, row->time, m->settings.half_life);
}

static forage_status write_row(store_txn *t, memory_changes *changes, hash128 key, uint32_t document,
                               const memory_counts *row, float predicted, base_error *error) {
    memory_change change = {.key = key, .weight = -1, .row = lent_row(document, row, predicted)};
    forage_status status = put_row(t, STORE_MEMORY, key, document, row, error);
    if (!status) note(changes, &change);
    return status;
}

/* What an impression, or an engagement with one of its hits, adds to a row. */
typedef struct addition {
    uint64_t impression; /* its sequence; 0: it was taught, nobody counted it */
    int64_t time;
    float rewards;       /* 0: it was only shown */
    float looked;        /* impressions, in a row that counted it when it was shown */
    float unseen;        /* impressions, in a row that began later */
} addition;

/* A row does not know of what was shown before it began, nor of what no search of ours showed. */
static bool has_counted(const memory_counts *row, bool known, uint64_t impression) {
    return known && impression && impression >= row->born;
}

static float looked_in(const memory_counts *row, bool known, const addition *x) {
    return has_counted(row, known, x->impression) ? x->looked : x->unseen;
}

/* Adds to the rows of the asker's segments; makes those that are not there for a reward. */
static forage_status add_to_segments(query_memory *m, store_txn *t, memory_changes *changes, const record_impression *r,
                                     uint32_t document, const addition *x, base_error *error) {
    memory_segment segments[SEGMENTS_MAX];
    size_t n = segments_read(&m->settings.segments, r->context, &changes->texts, segments);
    forage_status status = FORAGE_OK;
    for (size_t i = 0; !status && i < n; i++) {
        hash128 key = segments_key(r->memory_key, &segments[i]);
        memory_counts row = {.time = x->time, .born = x->impression};
        bool known = get_row(t, STORE_SEGMENTS, key, document, &row);
        if (!known && x->rewards == 0) continue;
        memory_counts_age(&row, x->time, m->settings.half_life);
        float worth = late(m, &row, x->time);
        row.impressions += worth * looked_in(&row, known, x);
        row.rewards += worth * x->rewards;
        row.shown += x->rewards == 0;
        row.earned += x->rewards > 0;
        status = put_row(t, STORE_SEGMENTS, key, document, &row, error);
    }
    return status;
}

forage_status query_memory_shown(query_memory *m, store_txn *t, memory_changes *changes, const record_impression *r,
                                 uint64_t sequence, base_error *error) {
    uint64_t who = hash_of_who(r->user, r->session, r->query_id);
    bool predictions = store_count(t, STORE_PREDICTIONS) > 0;
    forage_status status = FORAGE_OK;
    for (uint32_t i = 0; !status && i < r->n_hits; i++) {
        uint32_t document = r->hits[i].document;
        memory_counts row = {.time = r->time, .born = sequence};
        float predicted = predictions ? predict_of_pair(t, r->memory_key, document) : 0;
        if (!get_row(t, STORE_MEMORY, r->memory_key, document, &row) && predicted == 0) continue;
        memory_counts_age(&row, r->time, m->settings.half_life);
        memory_counts_cap(&row, m->settings.half_life);
        float looked = memory_cells_take(row.impression_cells, who,
                                         query_memory_examination(m, r->offset + i + 1));
        row.impressions += looked * late(m, &row, r->time);
        row.shown++;
        status = write_row(t, changes, r->memory_key, document, &row, predicted, error);
        addition x = {.impression = sequence, .time = r->time, .looked = looked, .unseen = looked};
        if (!status && looked > 0) status = add_to_segments(m, t, changes, r, document, &x, error);
    }
    return status;
}

/* The query's text and weight, and the way from the document to it. A text that the log has cut does not give the key
 * that was asked: then only the same query is answered. */
static forage_status remember_query(query_memory *m, store_txn *t, memory_changes *changes, const record_impression *r,
                                    uint32_t document, float rewards, int64_t time, memory_change *change,
                                    base_error *error) {
    uint8_t asked[MEMORY_ROW_KEY];
    memory_query q;
    slice who_asked = {(const char *)asked, sizeof asked};
    bool known = memory_query_get(t, r->memory_key, &q) == FORAGE_OK;
    if (known) {
        q.text = arena_slice(&changes->texts, q.text); /* a put ends what was got */
        q.language = arena_slice(&changes->texts, q.language);
    } else {
        buffer normalized = {0};
        text_normalize_query(m->analyzer, r->query, &normalized);
        q = (memory_query){.key = r->memory_key, .language = r->language, .time = time,
                           .text = arena_slice(&changes->texts, (slice){normalized.data, normalized.size})};
        buffer_release(&normalized);
        hash128 key = memory_key(q.text);
        if (!q.text.size || memcmp(&key, &r->memory_key, sizeof key) != 0) return FORAGE_OK;
    }
    if (time > q.time) {
        q.weight *= memory_decay(q.time, time, m->settings.half_life);
        q.time = time;
    }
    q.weight += rewards;
    change->text = q.text;
    change->language = language_of(q.language);
    change->weight = q.weight;
    store_be32(asked, document);
    memcpy(asked + 4, q.key.bytes, sizeof q.key.bytes);
    forage_status status = put_query(t, &q, error);
    return status ? status : store_put(t, STORE_ASKED, who_asked, SLICE("\1"), error);
}

#define MAX_CREDIT 16.0f

forage_status query_memory_earned(query_memory *m, store_txn *t, memory_changes *changes, const record_impression *r,
                                  const record_event *e, bool first, base_error *error) {
    float credit = isfinite(e->credit) && e->credit > 0 ? fminf(e->credit, MAX_CREDIT) : 0;
    slice user = e->user.size ? e->user : r->user, session = e->session.size ? e->session : r->session;
    uint64_t who = hash_of_who(user, session, r->query_id);
    memory_counts row = {.time = e->time, .born = e->impression};
    if (credit == 0) return FORAGE_OK;
    bool known = get_row(t, STORE_MEMORY, r->memory_key, e->document, &row);
    memory_counts_age(&row, e->time, m->settings.half_life);
    memory_counts_cap(&row, m->settings.half_life);
    if (!user.size && !session.size && !r->query_id.size) who = row.earned; /* taught, of nobody: each is somebody else's */
    float rewards = memory_cells_take(row.reward_cells, who, credit), worth = late(m, &row, e->time);
    float share = first || !known ? rewards / credit : 0;
    /* Who engaged had looked: what the page's impression left open is certain now. */
    addition x = {.impression = e->impression, .time = e->time, .rewards = rewards, .unseen = share,
                  .looked = share * (1 - query_memory_examination(m, r->offset + e->hit + 1))};
    float looked = looked_in(&row, known, &x);
    bool unseen = !has_counted(&row, known, e->impression);
    if (unseen) memory_cells_take(row.impression_cells, who, looked);
    row.rewards += worth * rewards;
    row.impressions += worth * looked;
    row.earned++;
    row.shown += unseen && looked > 0;
    memory_change change = {.key = r->memory_key, .weight = -1,
                            .row = lent_row(e->document, &row, predict_of_pair(t, r->memory_key, e->document))};
    forage_status status = put_row(t, STORE_MEMORY, r->memory_key, e->document, &row, error);
    if (!status) status = remember_query(m, t, changes, r, e->document, rewards * worth, e->time, &change, error);
    if (!status && rewards > 0) status = add_to_segments(m, t, changes, r, e->document, &x, error);
    if (!status) note(changes, &change);
    return status;
}
