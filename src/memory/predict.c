#include "memory/predict.h"

#include "base/bytes.h"

#include <math.h>
#include <stdlib.h>

#define FORMAT 1
#define DOCUMENT_KEY 21
#define QUERY_KEY 22

static const char *const names[PREDICT_SOURCES] = {"catalogue", "borrowed", "translated", "imported"};

const char *predict_source_name(predict_source source) { return names[source]; }

bool predict_source_from_name(slice name, predict_source *out) {
    for (int i = 0; i < PREDICT_SOURCES; i++)
        if (slice_is(name, names[i])) {
            *out = (predict_source)i;
            return true;
        }
    return false;
}

/* ---- Bytes ---- */

static slice document_key(uint32_t document, const hash128 *key, uint8_t out[DOCUMENT_KEY]) {
    out[0] = 'd';
    store_be32(out + 1, document);
    if (key) memcpy(out + 5, key->bytes, sizeof key->bytes);
    return (slice){(const char *)out, key ? DOCUMENT_KEY : 5};
}

static slice query_key(const hash128 *key, float score, uint32_t document, uint8_t out[QUERY_KEY]) {
    out[0] = 'q';
    memcpy(out + 1, key->bytes, sizeof key->bytes);
    out[17] = (uint8_t)(255 - (int)lrintf(score * 255));
    store_be32(out + 18, document);
    return (slice){(const char *)out, QUERY_KEY};
}

static float sane(float score) { return score > 0 && score <= 1 ? score : 0; }

static void choose_best(prediction *p) {
    p->score = 0;
    for (int i = 0; i < PREDICT_SOURCES; i++)
        if (p->scores[i] > p->score) {
            p->score = p->scores[i];
            p->source = (predict_source)i;
        }
}

static bool read_document_row(slice key, slice value, prediction *out) {
    byte_reader in = byte_reader_of(value.data, value.size);
    prediction p = {0};
    if (key.size != DOCUMENT_KEY || key.data[0] != 'd' || read_u8(&in) != FORMAT) return false;
    uint8_t n = read_u8(&in);
    for (uint8_t i = 0; i < n; i++) {
        float score = sane(read_f32(&in));
        if (i < PREDICT_SOURCES) p.scores[i] = score;
    }
    p.query = read_string(&in);
    if (in.failed) return false;
    p.document = load_be32(key.data + 1);
    memcpy(p.key.bytes, key.data + 5, sizeof p.key.bytes);
    choose_best(&p);
    *out = p;
    return true;
}

static bool read_query_row(slice key, slice value, prediction *out) {
    byte_reader in = byte_reader_of(value.data, value.size);
    prediction p = {0};
    p.score = sane(read_f32(&in));
    uint8_t source = read_u8(&in);
    if (in.failed || key.size != QUERY_KEY || source >= PREDICT_SOURCES || p.score == 0) return false;
    p.source = (predict_source)source;
    memcpy(p.key.bytes, key.data + 1, sizeof p.key.bytes);
    p.document = load_be32(key.data + 18);
    *out = p;
    return true;
}

static bool begins_with(slice key, slice prefix) {
    return key.size >= prefix.size && memcmp(key.data, prefix.data, prefix.size) == 0;
}

/* ---- Reading ---- */

static int best_first(const void *x, const void *y) {
    const prediction *a = x, *b = y;
    if (a->score != b->score) return a->score > b->score ? -1 : 1;
    return memcmp(&a->key, &b->key, sizeof a->key);
}

static prediction *grow(prediction *list, size_t n, size_t *capacity, arena *a) {
    if (n < *capacity) return list;
    *capacity = *capacity ? *capacity * 2 : 16;
    prediction *grown = arena_alloc(a, *capacity * sizeof *grown);
    if (n) memcpy(grown, list, n * sizeof *grown);
    return grown;
}

size_t predict_of_document(store_txn *t, uint32_t document, arena *a, prediction **out) {
    uint8_t bytes[DOCUMENT_KEY];
    slice prefix = document_key(document, NULL, bytes), key, value;
    store_cursor *cursor;
    prediction *list = NULL;
    size_t n = 0, capacity = 0;
    *out = NULL;
    if (store_cursor_open(t, STORE_PREDICTIONS, prefix, &cursor, NULL)) return 0;
    while (store_cursor_next(cursor, &key, &value) && begins_with(key, prefix)) {
        list = grow(list, n, &capacity, a);
        if (!read_document_row(key, value, &list[n])) continue;
        list[n].query = arena_slice(a, list[n].query);
        n++;
    }
    store_cursor_close(cursor);
    if (n) qsort(list, n, sizeof *list, best_first);
    *out = list;
    return n;
}

size_t predict_of_query(store_txn *t, hash128 key, size_t most, arena *a, prediction **out) {
    uint8_t bytes[QUERY_KEY];
    slice prefix = query_key(&key, 1, 0, bytes), at, value;
    store_cursor *cursor;
    prediction *list = NULL;
    size_t n = 0, capacity = 0;
    prefix.size = 17;
    *out = NULL;
    if (store_cursor_open(t, STORE_PREDICTIONS, prefix, &cursor, NULL)) return 0;
    while (n < most && store_cursor_next(cursor, &at, &value) && begins_with(at, prefix)) {
        list = grow(list, n, &capacity, a);
        n += read_query_row(at, value, &list[n]);
    }
    store_cursor_close(cursor);
    *out = list;
    return n;
}

float predict_of_pair(store_txn *t, hash128 key, uint32_t document) {
    uint8_t bytes[DOCUMENT_KEY];
    slice at = document_key(document, &key, bytes), value;
    prediction p;
    return !store_get(t, STORE_PREDICTIONS, at, &value) && read_document_row(at, value, &p) ? p.score : 0;
}

void predict_each(store_txn *t, predict_see see, void *self) {
    store_cursor *cursor;
    slice key, value;
    prediction p;
    if (store_cursor_open(t, STORE_PREDICTIONS, SLICE("d"), &cursor, NULL)) return;
    while (store_cursor_next(cursor, &key, &value) && begins_with(key, SLICE("d")))
        if (read_document_row(key, value, &p) && !see(self, &p)) break;
    store_cursor_close(cursor);
}

typedef struct counting {
    predict_counts counts;
    uint32_t last;
} counting;

static bool count_one(void *self, const prediction *p) {
    counting *c = self;
    c->counts.documents += c->counts.pairs == 0 || p->document != c->last;
    c->last = p->document;
    c->counts.pairs++;
    for (int i = 0; i < PREDICT_SOURCES; i++) c->counts.of_source[i] += p->scores[i] > 0;
    return true;
}

predict_counts predict_count(store_txn *t) {
    counting c = {0};
    predict_each(t, count_one, &c);
    return c.counts;
}

/* ---- Writing ---- */

static forage_status remove_pair(store_txn *t, const prediction *p, float score, base_error *error) {
    uint8_t bytes[QUERY_KEY];
    forage_status status = store_delete(t, STORE_PREDICTIONS, document_key(p->document, &p->key, bytes), error);
    if (!status) status = store_delete(t, STORE_PREDICTIONS, query_key(&p->key, score, p->document, bytes), error);
    return status;
}

forage_status predict_forget(store_txn *t, hash128 key, base_error *error) {
    forage_status status = FORAGE_OK;
    prediction *list;
    arena a;
    arena_init(&a, 0);
    size_t n = predict_of_query(t, key, SIZE_MAX, &a, &list);
    for (size_t i = 0; !status && i < n; i++) status = remove_pair(t, &list[i], list[i].score, error);
    arena_release(&a);
    return status;
}

/* `before`: the best score that is stored, 0: none. */
static forage_status write_pair(store_txn *t, const prediction *p, float before, base_error *error) {
    uint8_t bytes[QUERY_KEY];
    buffer value = {0};
    put_u8(&value, FORMAT);
    put_u8(&value, PREDICT_SOURCES);
    for (int i = 0; i < PREDICT_SOURCES; i++) put_f32(&value, p->scores[i]);
    put_string(&value, p->query);
    forage_status status = store_put(t, STORE_PREDICTIONS, document_key(p->document, &p->key, bytes),
                                     (slice){value.data, value.size}, error);
    buffer_clear(&value);
    if (!status && before > 0)
        status = store_delete(t, STORE_PREDICTIONS, query_key(&p->key, before, p->document, bytes), error);
    put_f32(&value, p->score);
    put_u8(&value, (uint8_t)p->source);
    if (!status)
        status = store_put(t, STORE_PREDICTIONS, query_key(&p->key, p->score, p->document, bytes),
                           (slice){value.data, value.size}, error);
    buffer_release(&value);
    return status;
}

typedef struct pair {
    prediction now;
    float before; /* the best score that is stored */
    bool changed;
} pair;

static int best_pair_first(const void *x, const void *y) { return best_first(x, y); }

/* Puts one predicted query among a document's pairs. */
static void merge(pair *pairs, size_t *n, uint32_t document, predict_source source, const predict_entry *given) {
    if (!given->query.size || given->query.size > PREDICT_MAX_TEXT || sane(given->score) == 0) return;
    hash128 key = hash128_of(given->query.data, given->query.size);
    size_t at = 0;
    while (at < *n && memcmp(&pairs[at].now.key, &key, sizeof key) != 0) at++;
    if (at == *n) {
        pairs[at] = (pair){.now = {.query = given->query, .key = key, .document = document}};
        ++*n;
    }
    if (given->score <= pairs[at].now.scores[source]) return;
    pairs[at].now.scores[source] = given->score;
    pairs[at].changed = true;
}

static forage_status write_pairs(store_txn *t, pair *pairs, size_t n, size_t *kept, base_error *error) {
    forage_status status = FORAGE_OK;
    *kept = 0;
    for (size_t i = 0; i < n; i++) choose_best(&pairs[i].now);
    if (n) qsort(pairs, n, sizeof *pairs, best_pair_first);
    for (size_t i = 0; !status && i < n; i++) {
        const pair *p = &pairs[i];
        bool stays = p->now.score > 0 && i < PREDICT_MAX_QUERIES;
        *kept += stays;
        if (stays && p->changed) status = write_pair(t, &p->now, p->before, error);
        else if (!stays && p->before > 0) status = remove_pair(t, &p->now, p->before, error);
    }
    return status;
}

forage_status predict_store(store_txn *t, uint32_t document, predict_source source, const predict_entry *list, size_t n,
                            bool replace, size_t *kept, base_error *error) {
    arena a;
    prediction *old;
    size_t n_pairs, count;
    arena_init(&a, 0);
    n_pairs = predict_of_document(t, document, &a, &old);
    pair *pairs = arena_alloc(&a, (n_pairs + n + 1) * sizeof *pairs);
    for (size_t i = 0; i < n_pairs; i++) {
        pairs[i] = (pair){old[i], old[i].score, false};
        if (!replace || old[i].scores[source] == 0) continue;
        pairs[i].now.scores[source] = 0;
        pairs[i].changed = true;
    }
    for (size_t i = 0; i < n; i++) merge(pairs, &n_pairs, document, source, &list[i]);
    forage_status status = write_pairs(t, pairs, n_pairs, &count, error);
    if (!status && kept) *kept = count;
    arena_release(&a);
    return status;
}

#define DROPPED_AT_ONCE 2000 /* documents */

static forage_status drop_of(store_txn *t, uint32_t document, predict_source source, base_error *error) {
    forage_status status = FORAGE_OK;
    for (int s = 0; !status && s < PREDICT_SOURCES; s++)
        if (source == PREDICT_SOURCES || source == (predict_source)s)
            status = predict_store(t, document, (predict_source)s, NULL, 0, true, NULL, error);
    return status;
}

forage_status predict_drop(store_txn *t, predict_source source, uint32_t *document, bool *done, base_error *error) {
    uint8_t bytes[DOCUMENT_KEY];
    uint32_t documents[DROPPED_AT_ONCE], n = 0;
    slice key, value;
    store_cursor *cursor;
    forage_status status = store_cursor_open(t, STORE_PREDICTIONS, document_key(*document, NULL, bytes), &cursor, error);
    if (status) return status;
    while (n < DROPPED_AT_ONCE && store_cursor_next(cursor, &key, &value) && begins_with(key, SLICE("d"))) {
        uint32_t number = key.size == DOCUMENT_KEY ? load_be32(key.data + 1) : 0;
        if (n == 0 || documents[n - 1] != number) documents[n++] = number;
    }
    store_cursor_close(cursor);
    for (uint32_t i = 0; !status && i < n; i++) status = drop_of(t, documents[i], source, error);
    *done = n < DROPPED_AT_ONCE;
    if (n) *document = documents[n - 1] + (documents[n - 1] < UINT32_MAX);
    return status;
}
