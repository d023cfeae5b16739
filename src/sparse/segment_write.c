/* Segment images are written term by term; impacts are computed here and nowhere else. */
#include "sparse/segment_write.h"

#include "base/hash.h"
#include "sparse/segment_pack.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

/* A keyword column, gathered from the attribute terms of its field: values are in key order, which is value order. */
typedef struct value_column {
    buffer starts; /* u64 each, of the values' bytes */
    buffer values;
    buffer counts; /* u32: places of each value */
    buffer places; /* u32: the places of the first value, of the second, … */
} value_column;

struct segment_writer {
    const sparse_config *config;
    const segment_columns *columns;
    float *norms[SPARSE_MAX_FIELDS]; /* by ordinal: w_f / (1 − b + b × len / avg) for each place */
    uint32_t n_text;
    unsigned ordinal_bits;
    value_column values[SPARSE_MAX_FIELDS];

    buffer dictionary, keys, blocks, postings, frequencies;
    uint32_t n_terms;
    uint64_t n_blocks;
    uint8_t last_key[SEGMENT_MAX_KEY];
    size_t last_key_size;

    /* The term being written. */
    slice key;
    value_column *column; /* for an attribute term, else NULL */
    uint32_t df, n;       /* n postings are in the arrays */
    uint32_t base;        /* the block's places are >= base */
    uint32_t full_blocks; /* written before the arrays' postings */
    size_t data_start;
    uint8_t max_impact;
    uint32_t places[SPARSE_BLOCK];
    uint8_t impacts[SPARSE_BLOCK];
    buffer codes;       /* frequencies of all postings */
    buffer code_starts; /* u32: of each block but the first */
};

void segment_columns_init(segment_columns *c, const sparse_config *config, uint32_t count) {
    assert(count <= SEGMENT_MAX_COUNT);
    *c = (segment_columns){.count = count};
    c->documents = mem_alloc(count * sizeof *c->documents);
    c->versions = mem_alloc(count * sizeof *c->versions);
    for (uint32_t f = 0; f < config->n_fields; f++) {
        if (config->fields[f].kind == SPARSE_TEXT) c->lengths[f] = mem_zalloc(count, sizeof **c->lengths);
        if (config->fields[f].kind == SPARSE_TEXT) c->kept[f] = mem_zalloc(count, sizeof **c->kept);
        if (config->fields[f].kind != SPARSE_NUMBER) continue;
        c->numbers[f] = mem_alloc(count * sizeof **c->numbers);
        for (uint32_t p = 0; p < count; p++) c->numbers[f][p] = NAN;
    }
}

void segment_columns_release(segment_columns *c) {
    free(c->documents);
    free(c->versions);
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) {
        free(c->lengths[f]);
        free(c->numbers[f]);
        free(c->kept[f]);
        buffer_release(&c->forward[f]);
    }
    *c = (segment_columns){0};
}

void segment_columns_forward(segment_columns *c, uint32_t field, uint32_t place, uint8_t kept, const uint16_t *tokens) {
    size_t n = kept & ~SEGMENT_FORWARD_CUT;
    c->kept[field][place] = kept;
    if (n > 0) buffer_append(&c->forward[field], tokens, n * sizeof *tokens);
}

/* BM25F (Zaragoza et al. 2004, Robertson & Zaragoza 2009, eq. 3.20): the length normalisation of one field. */
static float *make_norms(const sparse_config *config, uint32_t field, const uint32_t *lengths, uint32_t count,
                         const sparse_statistics *statistics) {
    double length = (double)statistics->length[field], having = (double)statistics->having[field];
    float average = length > 0 && having > 0 ? (float)(length / having) : 1.0f;
    float *norms = mem_alloc(count * sizeof *norms), b = config->b;
    for (uint32_t p = 0; p < count; p++)
        norms[p] = config->fields[field].weight / (1.0f - b + b * (float)lengths[p] / average);
    return norms;
}

segment_writer *segment_writer_create(const sparse_config *config, const segment_columns *columns,
                                      const sparse_statistics *statistics) {
    segment_writer *w = mem_zalloc(1, sizeof *w);
    w->config = config;
    w->columns = columns;
    for (uint32_t f = 0; f < config->n_fields; f++)
        if (config->fields[f].kind == SPARSE_TEXT)
            w->norms[w->n_text++] = make_norms(config, f, columns->lengths[f], columns->count, statistics);
    w->ordinal_bits = segment_ordinal_bits(w->n_text);
    return w;
}

void segment_writer_destroy(segment_writer *w) {
    if (!w) return;
    buffer *buffers[] = {&w->dictionary,  &w->keys,  &w->blocks,     &w->postings,
                         &w->frequencies, &w->codes, &w->code_starts};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) buffer_release(buffers[i]);
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) {
        free(w->norms[f]);
        buffer_release(&w->values[f].starts);
        buffer_release(&w->values[f].values);
        buffer_release(&w->values[f].counts);
        buffer_release(&w->values[f].places);
    }
    free(w);
}

static inline void append_u32(buffer *b, uint32_t v) {
    if (b->size + sizeof v > b->capacity) buffer_reserve(b, sizeof v);
    memcpy(b->data + b->size, &v, sizeof v);
    b->size += sizeof v;
}

static void append_u64(buffer *b, uint64_t v) { buffer_append(b, &v, sizeof v); }

/* saturation = x / (k1 + x) of the weighted frequency x, rounded to the nearest of 255 equal steps. */
static uint8_t quantise(float x, float k1) {
    float saturation = x / (k1 + x);
    if (!(saturation * 255.0f > 1.0f)) return 1; /* not a number, too */
    return saturation >= 1.0f ? 255 : (uint8_t)(saturation * 255.0f + 0.5f);
}

void segment_writer_begin(segment_writer *w, slice key) {
    assert(key.size > 0 && key.size <= SEGMENT_MAX_KEY);
    w->key = key;
    w->column = NULL;
    w->df = w->n = w->base = w->full_blocks = 0;
    w->max_impact = 0;
    w->data_start = w->postings.size;
    buffer_clear(&w->codes);
    buffer_clear(&w->code_starts);
    if (key.data[0] != SPARSE_SPACE_ATTRIBUTE || key.size < 2) return;
    uint32_t field = (uint8_t)key.data[1];
    if (field >= w->config->n_fields || w->config->fields[field].kind != SPARSE_KEYWORD) return;
    w->column = &w->values[field];
    append_u64(&w->column->starts, w->column->values.size);
    buffer_append(&w->column->values, key.data + 2, key.size - 2);
}

/* Packs the arrays into the postings. The caller keeps the block's description. */
static sparse_block write_block(segment_writer *w) {
    sparse_block block = {.last = w->places[w->n - 1],
                          .offset = (uint32_t)(w->postings.size - w->data_start),
                          .count_minus_1 = (uint8_t)(w->n - 1)};
    for (uint32_t i = 0; i < w->n; i++)
        if (w->impacts[i] > block.max_impact) block.max_impact = w->impacts[i];
    if (block.max_impact > w->max_impact) w->max_impact = block.max_impact;
    if (w->df == 1) return block; /* a single posting is all in its description */
    block.bits = (uint8_t)segment_pack_bits(w->places, w->n, w->base);
    size_t packed = segment_packed_size(w->n, block.bits);
    uint8_t *at = (uint8_t *)buffer_reserve(&w->postings, packed + w->n);
    segment_pack(w->places, w->n, w->base, block.bits, at);
    memcpy(at + packed, w->impacts, w->n);
    w->postings.size += packed + w->n;
    return block;
}

void segment_writer_posting(segment_writer *w, uint32_t place, const segment_frequency *f, uint32_t n) {
    if (w->n == SPARSE_BLOCK) {
        sparse_block block = write_block(w);
        buffer_append(&w->blocks, &block, sizeof block);
        append_u32(&w->code_starts, (uint32_t)w->codes.size);
        w->base = block.last + 1;
        w->full_blocks++;
        w->n = 0;
    }
    float x = n == 0 ? 1.0f : 0.0f; /* a keyword counts as an average word */
    for (uint32_t i = 0; i < n; i++) x += w->norms[f[i].ordinal][place] * (float)f[i].tf;
    w->places[w->n] = place;
    w->impacts[w->n++] = quantise(x, w->config->k1);
    w->df++;
    if (n > 0) {
        if (w->codes.size + SEGMENT_MAX_CODE > w->codes.capacity) buffer_reserve(&w->codes, SEGMENT_MAX_CODE);
        uint8_t *at = (uint8_t *)w->codes.data + w->codes.size;
        w->codes.size += (size_t)(segment_put_frequencies(at, w->ordinal_bits, f, n) - at);
    }
    if (w->column) append_u32(&w->column->places, place);
}

/* The key without what it shares with the one before; the first of a dictionary block is whole. */
static uint8_t *put_key(segment_writer *w, uint8_t *p) {
    size_t shared = 0, most = w->key.size < w->last_key_size ? w->key.size : w->last_key_size;
    if (w->n_terms % SEGMENT_TERMS != 0)
        while (shared < most && w->last_key[shared] == (uint8_t)w->key.data[shared]) shared++;
    p = segment_put_varint(p, shared);
    p = segment_put_varint(p, w->key.size - shared);
    memcpy(p, w->key.data + shared, w->key.size - shared);
    memcpy(w->last_key + shared, w->key.data + shared, w->key.size - shared);
    w->last_key_size = w->key.size;
    return p + w->key.size - shared;
}

/* Moves the term's frequencies to their section; returns how many bytes. */
static size_t put_frequencies(segment_writer *w) {
    if (w->codes.size == 0) return 0;
    buffer_append(&w->frequencies, w->code_starts.data, w->code_starts.size);
    buffer_append(&w->frequencies, w->codes.data, w->codes.size);
    return w->code_starts.size + w->codes.size;
}

void segment_writer_end(segment_writer *w) {
    assert(w->df > 0);
    segment_entries entries = {w->keys.size, w->data_start, w->frequencies.size, w->n_blocks};
    if (w->n_terms % SEGMENT_TERMS == 0) buffer_append(&w->dictionary, &entries, sizeof entries);

    sparse_block block = write_block(w);
    uint8_t *start = (uint8_t *)buffer_reserve(&w->keys, SEGMENT_MAX_KEY + SEGMENT_MAX_CODE + 64);
    uint8_t *p = put_key(w, start);
    p = segment_put_varint(p, w->df);
    if (w->df == 1) {
        p = segment_put_varint(p, block.last);
        *p++ = block.max_impact;
        memcpy(p, w->codes.data ? w->codes.data : "", w->codes.size);
        p += w->codes.size;
    } else if (w->full_blocks == 0) {
        p = segment_put_varint(p, block.last);
        *p++ = block.bits;
        *p++ = block.max_impact;
        p = segment_put_varint(p, put_frequencies(w));
    } else {
        buffer_append(&w->blocks, &block, sizeof block);
        w->n_blocks += w->full_blocks + 1;
        *p++ = w->max_impact;
        p = segment_put_varint(p, w->postings.size - w->data_start);
        p = segment_put_varint(p, put_frequencies(w));
    }
    w->keys.size += (size_t)(p - start);
    if (w->column) append_u32(&w->column->counts, w->df);
    w->n_terms++;
}

/* --- sections ---------------------------------------------------------------------------------------------------- */

enum { MAX_SECTIONS = SEGMENT_KINDS + 4 * SPARSE_MAX_FIELDS };

typedef struct image {
    buffer *out;
    segment_section sections[MAX_SECTIONS];
    uint32_t n;
} image;

/* Room for a section; the caller fills it, then calls `close_section`. */
static void *open_section(image *m, segment_kind kind, uint32_t field, size_t size) {
    while (m->out->size % 8) buffer_putc(m->out, 0);
    assert(m->n < MAX_SECTIONS);
    m->sections[m->n] = (segment_section){.kind = kind, .field = field, .offset = m->out->size, .size = size};
    void *at = buffer_reserve(m->out, size);
    m->out->size += size;
    return at;
}

static void close_section(image *m) {
    segment_section *s = &m->sections[m->n++];
    s->checksum = hash64(m->out->data + s->offset, s->size, 0);
}

static void put_section(image *m, segment_kind kind, uint32_t field, const void *data, size_t size) {
    void *at = open_section(m, kind, field, size);
    if (size > 0) memcpy(at, data, size);
    close_section(m);
}

static void put_buffer(image *m, segment_kind kind, uint32_t field, buffer *b) {
    put_section(m, kind, field, b->data, b->size);
    buffer_release(b);
}

static void put_fields(image *m, const segment_writer *w) {
    const sparse_config *config = w->config;
    segment_field *fields = open_section(m, SEGMENT_FIELDS, 0, config->n_fields * sizeof *fields);
    for (uint32_t f = 0; f < config->n_fields; f++) {
        segment_field field = {.kind = (uint32_t)config->fields[f].kind};
        const uint32_t *lengths = w->columns->lengths[f];
        for (uint32_t p = 0; lengths && p < w->columns->count; p++) {
            field.length += lengths[p];
            field.having += lengths[p] > 0;
        }
        fields[f] = field;
    }
    close_section(m);
}

typedef struct ranked {
    double value;
    uint32_t document, place;
} ranked;

static int by_document(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return (x->document > y->document) - (x->document < y->document);
}

static int by_value(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->value != y->value ? (x->value < y->value) - (x->value > y->value) : by_document(a, b);
}

static void put_order(image *m, segment_kind kind, ranked *list, uint32_t count,
                      int (*order)(const void *, const void *)) {
    qsort(list, count, sizeof *list, order);
    uint32_t *places = open_section(m, kind, 0, count * sizeof *places);
    for (uint32_t i = 0; i < count; i++) places[i] = list[i].place;
    close_section(m);
}

static void put_documents(image *m, const segment_columns *c) {
    put_section(m, SEGMENT_DOCUMENTS, 0, c->documents, c->count * sizeof *c->documents);
    bool ascending = true;
    for (uint32_t p = 1; p < c->count; p++) ascending = ascending && c->documents[p - 1] < c->documents[p];
    if (!ascending) {
        ranked *list = mem_alloc(c->count * sizeof *list);
        for (uint32_t p = 0; p < c->count; p++) list[p] = (ranked){0, c->documents[p], p};
        put_order(m, SEGMENT_ORDER, list, c->count, by_document);
        free(list);
    }
    put_section(m, SEGMENT_VERSIONS, 0, c->versions, c->count * sizeof *c->versions);
}

static void put_lengths(image *m, uint32_t field, const uint32_t *lengths, uint32_t count) {
    uint32_t all = 0;
    for (uint32_t p = 0; p < count; p++) all |= lengths[p];
    size_t width = all <= UINT8_MAX ? 1 : all <= UINT16_MAX ? 2 : 4;
    uint8_t *at = open_section(m, SEGMENT_LENGTHS, field, count * width);
    for (uint32_t p = 0; p < count; p++) memcpy(at + p * width, &lengths[p], width); /* little-endian */
    close_section(m);
}

static void put_forward(image *m, uint32_t field, const segment_columns *c) {
    uint32_t n_lines = (c->count + SEGMENT_FORWARD_PLACES - 1) / SEGMENT_FORWARD_PLACES;
    segment_forward_line *lines = open_section(m, SEGMENT_FORWARD_LINES, field, n_lines * sizeof *lines);
    uint64_t start = 0;
    for (uint32_t i = 0; i < n_lines; i++) {
        uint32_t first = i * SEGMENT_FORWARD_PLACES;
        uint32_t n = c->count - first < SEGMENT_FORWARD_PLACES ? c->count - first : SEGMENT_FORWARD_PLACES;
        lines[i] = (segment_forward_line){.start = start};
        memcpy(lines[i].counts, c->kept[field] + first, n);
        for (uint32_t j = 0; j < n; j++) start += lines[i].counts[j] & ~SEGMENT_FORWARD_CUT;
    }
    close_section(m);
    assert(start * sizeof(uint16_t) == c->forward[field].size);
    put_section(m, SEGMENT_FORWARD, field, c->forward[field].data, c->forward[field].size);
}

/* Turns places by value into values by place; walking the values upwards leaves each place's ordinals ascending. */
static void put_keywords(image *m, uint32_t field, value_column *v, uint32_t count) {
    size_t total = v->places.size / sizeof(uint32_t), n_values = v->counts.size / sizeof(uint32_t);
    assert(total <= UINT32_MAX);
    const uint32_t *places = (const uint32_t *)(const void *)v->places.data;
    const uint32_t *counts = (const uint32_t *)(const void *)v->counts.data;
    uint32_t *next = mem_zalloc((size_t)count + 1, sizeof *next);
    for (size_t i = 0; i < total; i++) next[places[i] + 1]++;
    for (uint32_t p = 0; p < count; p++) next[p + 1] += next[p];
    put_section(m, SEGMENT_STARTS, field, next, ((size_t)count + 1) * sizeof *next);
    uint32_t *ordinals = open_section(m, SEGMENT_ORDINALS, field, total * sizeof *ordinals);
    for (size_t value = 0, at = 0; value < n_values; value++)
        for (uint32_t i = 0; i < counts[value]; i++) ordinals[next[places[at++]]++] = (uint32_t)value;
    close_section(m);
    free(next);
    append_u64(&v->starts, v->values.size);
    put_buffer(m, SEGMENT_VALUE_STARTS, field, &v->starts);
    put_buffer(m, SEGMENT_VALUES, field, &v->values);
}

static void put_popularity(image *m, const segment_writer *w) {
    const segment_columns *c = w->columns;
    if (w->config->popularity < 0 || !c->numbers[w->config->popularity]) return;
    const double *numbers = c->numbers[w->config->popularity];
    ranked *list = mem_alloc(c->count * sizeof *list);
    for (uint32_t p = 0; p < c->count; p++) list[p] = (ranked){numbers[p] > 0 ? numbers[p] : 0, c->documents[p], p};
    put_order(m, SEGMENT_POPULARITY, list, c->count, by_value);
    free(list);
    float *prior = open_section(m, SEGMENT_PRIOR, 0, c->count * sizeof *prior);
    for (uint32_t p = 0; p < c->count; p++) prior[p] = sparse_prior_value(numbers[p]);
    close_section(m);
}

static void put_columns(image *m, segment_writer *w) {
    for (uint32_t f = 0; f < w->config->n_fields; f++) {
        const segment_columns *c = w->columns;
        switch (w->config->fields[f].kind) {
        case SPARSE_TEXT:
            put_lengths(m, f, c->lengths[f], c->count);
            put_forward(m, f, c);
            break;
        case SPARSE_NUMBER: put_section(m, SEGMENT_NUMBERS, f, c->numbers[f], c->count * sizeof **c->numbers); break;
        case SPARSE_KEYWORD: put_keywords(m, f, &w->values[f], c->count); break;
        }
    }
    put_popularity(m, w);
}

void segment_writer_finish(segment_writer *w, buffer *out) {
    image *m = mem_zalloc(1, sizeof *m);
    m->out = out;
    buffer_clear(out);
    memset(buffer_reserve(out, sizeof(segment_header)), 0, sizeof(segment_header));
    out->size = sizeof(segment_header);

    put_fields(m, w);
    put_documents(m, w->columns);
    put_buffer(m, SEGMENT_DICTIONARY, 0, &w->dictionary);
    put_buffer(m, SEGMENT_KEYS, 0, &w->keys);
    put_buffer(m, SEGMENT_BLOCKS, 0, &w->blocks);
    memset(buffer_reserve(&w->postings, SEGMENT_PAD), 0, SEGMENT_PAD);
    w->postings.size += SEGMENT_PAD;
    put_buffer(m, SEGMENT_POSTINGS, 0, &w->postings);
    put_buffer(m, SEGMENT_FREQUENCIES, 0, &w->frequencies);
    put_columns(m, w);

    while (out->size % 8) buffer_putc(out, 0);
    segment_header header = {.magic = SEGMENT_MAGIC,
                             .version = SEGMENT_VERSION,
                             .n_sections = m->n,
                             .size = out->size + m->n * sizeof *m->sections,
                             .table = out->size,
                             .count = w->columns->count,
                             .n_fields = w->config->n_fields,
                             .n_terms = w->n_terms};
    buffer_append(out, m->sections, m->n * sizeof *m->sections);
    header.checksum = hash64(m->sections, m->n * sizeof *m->sections, hash64(&header, sizeof header, 0));
    memcpy(out->data, &header, sizeof header);
    free(m);
}
