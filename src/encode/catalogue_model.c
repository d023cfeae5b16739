/* The trained encoder: its tables, its file, and texts to vectors. */
#include "encode/catalogue_model.h"

#include "base/bytes.h"
#include "os/clock.h"
#include "os/file.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#define MAGIC 0x31544346u /* "FCT1" */
#define SPARE_ANALYZERS 8u
#define UNKNOWN_WEIGHT 0.5f /* of a word that was never seen, against one that was */

typedef struct catalogue_encoder_state {
    encoder base;
    catalogue_weights weights;
    pthread_mutex_t mutex;
    text_analyzer *spare[SPARE_ANALYZERS];
    size_t n_spare;
} state;

/* ---- Rows ---- */

void catalogue_rows_make(catalogue_rows *r, uint32_t n, uint32_t dimensions) {
    r->n = n;
    r->scale = mem_zalloc((size_t)n + 1, sizeof *r->scale);
    r->values = mem_zalloc((size_t)n * dimensions + 1, 1);
}

void catalogue_row_set(catalogue_rows *r, uint32_t row, uint32_t dimensions, const float *vector) {
    float most = 0;
    for (uint32_t d = 0; d < dimensions; d++) most = fmaxf(most, fabsf(vector[d]));
    r->scale[row] = most / 127;
    int8_t *values = r->values + (size_t)row * dimensions;
    for (uint32_t d = 0; d < dimensions; d++) values[d] = most > 0 ? (int8_t)lrintf(vector[d] / most * 127) : 0;
}

void catalogue_row_add(const catalogue_rows *r, uint32_t row, uint32_t dimensions, float weight, float *sum) {
    float by = weight * r->scale[row];
    const int8_t *values = r->values + (size_t)row * dimensions;
    for (uint32_t d = 0; d < dimensions; d++) sum[d] += by * values[d];
}

void catalogue_weights_release(catalogue_weights *w) {
    free(w->keys);
    free(w->terms.scale);
    free(w->terms.values);
    free(w->buckets.scale);
    free(w->buckets.values);
}

size_t catalogue_ngrams(slice word, uint32_t *buckets, size_t most) {
    char text[260];
    uint16_t starts[260];
    size_t size = word.size < 256 ? word.size : 256, n = 0, characters = 0;
    text[0] = '<';
    memcpy(text + 1, word.data, size);
    text[1 + size] = '>';
    for (size_t i = 0; i < size + 2; i++)
        if (((unsigned char)text[i] & 0xc0) != 0x80) starts[characters++] = (uint16_t)i;
    starts[characters] = (uint16_t)(size + 2);
    for (size_t length = CATALOGUE_SHORTEST; length <= CATALOGUE_LONGEST; length++)
        for (size_t i = 0; i + length <= characters && n < most; i++) {
            size_t bytes = (size_t)starts[i + length] - starts[i];
            buckets[n++] = (uint32_t)(hash64(text + starts[i], bytes, CATALOGUE_SEED + 1) % CATALOGUE_BUCKETS);
        }
    return n;
}

/* ---- Encoding ---- */

static text_analyzer *borrow(state *s) {
    pthread_mutex_lock(&s->mutex);
    text_analyzer *a = s->n_spare ? s->spare[--s->n_spare] : NULL;
    pthread_mutex_unlock(&s->mutex);
    return a ? a : text_analyzer_create();
}

static void give_back(state *s, text_analyzer *a) {
    pthread_mutex_lock(&s->mutex);
    bool room = s->n_spare < SPARE_ANALYZERS;
    if (room) s->spare[s->n_spare++] = a;
    pthread_mutex_unlock(&s->mutex);
    if (!room) text_analyzer_destroy(a);
}

typedef struct counted {
    uint64_t key;
    float weight;
    slice text;
} counted;

static int by_key(const void *x, const void *y) {
    const counted *a = x, *b = y;
    return a->key < b->key ? -1 : a->key > b->key;
}

static const uint64_t *find_term(const catalogue_weights *w, uint64_t key) {
    const uint64_t *low = w->keys;
    for (size_t n = w->terms.n; n > 0;) {
        size_t half = n / 2;
        if (low[half] < key) {
            low += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return low < w->keys + w->terms.n && *low == key ? low : NULL;
}

static void add_unknown(const catalogue_weights *w, slice text, float weight, float *out) {
    uint32_t buckets[128];
    size_t n = catalogue_ngrams(text, buckets, 128);
    for (size_t i = 0; i < n; i++) catalogue_row_add(&w->buckets, buckets[i], w->dimensions, UNKNOWN_WEIGHT * weight / (float)n, out);
}

static size_t gather_tokens(text_tokens tokens, size_t title, counted *out) {
    size_t n = 0;
    for (size_t i = 0; i < tokens.count; i++) {
        const text_token *token = &tokens.tokens[i];
        if (token->stopword) continue;
        out[n++] = (counted){catalogue_key(token->term), token->start < title ? CATALOGUE_TITLE : 1, token->term};
    }
    if (n) qsort(out, n, sizeof *out, by_key);
    return n;
}

static void encode_one(state *s, text_analyzer *analyzer, encode_side side, slice text, arena *a, float *out) {
    const catalogue_weights *w = &s->weights;
    memset(out, 0, w->dimensions * sizeof *out);
    const char *end = side == ENCODE_DOCUMENT && text.size ? memchr(text.data, '\n', text.size) : NULL;
    text_tokens tokens = text_analyze(analyzer, text, w->language, CATALOGUE_TOKENS);
    counted *list = arena_alloc(a, (tokens.count + 1) * sizeof *list);
    size_t n = gather_tokens(tokens, end ? (size_t)(end - text.data) : 0, list);
    for (size_t i = 0; i < n;) {
        float often = 0;
        size_t from = i;
        for (; i < n && list[i].key == list[from].key; i++) often += list[i].weight;
        const uint64_t *known = find_term(w, list[from].key);
        if (known) catalogue_row_add(&w->terms, (uint32_t)(known - w->keys), w->dimensions, log1pf(often), out);
        else add_unknown(w, list[from].text, log1pf(often), out);
    }
    double square = 0;
    for (uint32_t d = 0; d < w->dimensions; d++) square += (double)out[d] * out[d];
    float by = square > 1e-20 ? (float)(1 / sqrt(square)) : 0;
    for (uint32_t d = 0; d < w->dimensions; d++) out[d] *= by;
}

static forage_status encode(encoder *e, encode_side side, const slice *texts, size_t n, int64_t deadline, float *out, base_error *error) {
    state *s = (state *)e;
    text_analyzer *analyzer = borrow(s);
    arena a;
    forage_status status = FORAGE_OK;
    arena_init(&a, 0);
    for (size_t i = 0; i < n && !status; i++) {
        arena_reset(&a);
        encode_one(s, analyzer, side, texts[i], &a, out + i * e->dimensions);
        if (i % 64 == 63 && deadline != INT64_MAX && clock_monotonic(&os_clock_system) > deadline)
            status = error_set(error, FORAGE_E_TIMEOUT, "%s", status_message(FORAGE_E_TIMEOUT));
    }
    arena_release(&a);
    give_back(s, analyzer);
    return status;
}

static void destroy(encoder *e) {
    state *s = (state *)e;
    for (size_t i = 0; i < s->n_spare; i++) text_analyzer_destroy(s->spare[i]);
    catalogue_weights_release(&s->weights);
    pthread_mutex_destroy(&s->mutex);
    free(s);
}

static const encoder_class catalogue_class = {"catalogue", encode, destroy};

/* ---- Bytes ---- */

static void put_rows(const catalogue_rows *r, uint32_t dimensions, buffer *out) {
    put_u32(out, r->n);
    buffer_append(out, r->scale, r->n * sizeof *r->scale);
    buffer_append(out, r->values, (size_t)r->n * dimensions);
}

static void write_all(const catalogue_weights *w, buffer *out) {
    put_u32(out, MAGIC);
    put_u32(out, w->dimensions);
    put_u32(out, (uint32_t)w->language);
    put_rows(&w->terms, w->dimensions, out);
    buffer_append(out, w->keys, w->terms.n * sizeof *w->keys);
    put_rows(&w->buckets, w->dimensions, out);
    put_u64(out, hash64(out->data, out->size, CATALOGUE_SEED));
}

encoder *catalogue_encoder(catalogue_weights *w) {
    state *s = mem_zalloc(1, sizeof *s);
    buffer bytes = {0};
    s->weights = *w;
    free(w);
    write_all(&s->weights, &bytes);
    s->base = (encoder){&catalogue_class, s->weights.dimensions, hash64(bytes.data, bytes.size, 1) | 1};
    pthread_mutex_init(&s->mutex, NULL);
    buffer_release(&bytes);
    return &s->base;
}

size_t catalogue_terms(const encoder *e) { return ((const state *)e)->weights.terms.n; }

forage_status catalogue_save(const encoder *e, const char *path, base_error *error) {
    buffer bytes = {0};
    write_all(&((const state *)e)->weights, &bytes);
    forage_status status = os_write_file(path, bytes.data, bytes.size, error);
    buffer_release(&bytes);
    return status;
}

static bool read_rows(byte_reader *in, uint32_t dimensions, catalogue_rows *out) {
    uint32_t n = read_u32(in);
    if (in->failed || (uint64_t)n * (dimensions + sizeof(float)) > read_left(in)) return false;
    catalogue_rows_make(out, n, dimensions);
    slice scale = read_bytes(in, n * sizeof *out->scale), values = read_bytes(in, (size_t)n * dimensions);
    if (in->failed) return false;
    if (n) memcpy(out->scale, scale.data, scale.size);
    if (n) memcpy(out->values, values.data, values.size);
    for (uint32_t i = 0; i < n; i++)
        if (!(out->scale[i] >= 0 && out->scale[i] < 1e18f)) return false;
    return true;
}

static bool read_all(byte_reader *in, catalogue_weights *w) {
    uint32_t magic = read_u32(in), language;
    w->dimensions = read_u32(in);
    language = read_u32(in);
    if (in->failed || magic != MAGIC || w->dimensions < 2 || w->dimensions > CATALOGUE_MOST_DIMENSIONS || language >= TEXT_LANGUAGES)
        return false;
    w->language = (text_language)language;
    if (!read_rows(in, w->dimensions, &w->terms)) return false;
    slice keys = read_bytes(in, w->terms.n * sizeof *w->keys);
    if (in->failed) return false;
    w->keys = mem_alloc((w->terms.n + 1) * sizeof *w->keys);
    if (keys.size) memcpy(w->keys, keys.data, keys.size);
    for (uint32_t i = 1; i < w->terms.n; i++)
        if (w->keys[i - 1] >= w->keys[i]) return false;
    return read_rows(in, w->dimensions, &w->buckets) && w->buckets.n == CATALOGUE_BUCKETS && read_left(in) == 0;
}

forage_status catalogue_read(slice bytes, encoder **out, base_error *error) {
    catalogue_weights *w = mem_zalloc(1, sizeof *w);
    size_t body = bytes.size >= 8 ? bytes.size - 8 : 0;
    byte_reader in = byte_reader_of(bytes.data, body);
    if (body && load_le64(bytes.data + body) == hash64(bytes.data, body, CATALOGUE_SEED) && read_all(&in, w)) {
        *out = catalogue_encoder(w);
        return FORAGE_OK;
    }
    catalogue_weights_release(w);
    free(w);
    return error_set(error, FORAGE_E_CORRUPT, "the model of the catalogue's encoder is damaged");
}

forage_status catalogue_open(const char *path, encoder **out, base_error *error) {
    buffer bytes = {0};
    if (!os_exists(path)) return error_set(error, FORAGE_E_NOT_FOUND, "there is no %s", path);
    forage_status status = os_read_file(path, 0, &bytes, error);
    if (!status && catalogue_read((slice){bytes.data, bytes.size}, out, error))
        status = error_set(error, FORAGE_E_CORRUPT, "%s is damaged", path);
    buffer_release(&bytes);
    return status;
}
