/* Segment images are written term by term; impacts are computed here and nowhere else. */
#include "sparse/segment_write.h"

#include "base/hash.h"
#include "sparse/pack_values.h"
#include "sparse/segment_image.h"
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

/* A text field of one place: where its positions end, and w_f / (1 − b + b × len / avg). */
typedef struct extent {
    uint32_t end;
    float norm;
} extent;

struct segment_writer {
    const sparse_config *config;
    const segment_columns *columns;
    uint32_t n_text;
    extent *extents; /* n_text of each place, in their order */
    value_column values[SPARSE_MAX_FIELDS];

    buffer dictionary, keys, blocks, postings, positions;
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
    uint32_t counts[SPARSE_BLOCK]; /* occurrences less 1 */
    buffer gaps;                   /* u32: of these postings' positions */
    buffer packed;                 /* positions of the full blocks, as they will be stored */
    buffer starts;                 /* u64: of each block but the first in them */
};

void segment_columns_init(segment_columns *c, const sparse_config *config, uint32_t count) {
    assert(count <= SEGMENT_MAX_COUNT);
    *c = (segment_columns){.count = count};
    c->documents = mem_alloc(count * sizeof *c->documents);
    c->versions = mem_alloc(count * sizeof *c->versions);
    for (uint32_t f = 0; f < config->n_fields; f++) {
        if (config->fields[f].kind == SPARSE_TEXT) c->lengths[f] = mem_zalloc(count, sizeof **c->lengths);
        if (config->fields[f].kind == SPARSE_TEXT) c->spans[f] = mem_zalloc(count, sizeof **c->spans);
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
        free(c->spans[f]);
    }
    *c = (segment_columns){0};
}

/* BM25F (Zaragoza et al. 2004, Robertson & Zaragoza 2009, eq. 3.20): the length normalisation of one field. */
static void add_field(segment_writer *w, uint32_t ordinal, uint32_t field, const sparse_statistics *statistics) {
    const sparse_config *config = w->config;
    const uint32_t *lengths = w->columns->lengths[field], *spans = w->columns->spans[field];
    double length = (double)statistics->length[field], having = (double)statistics->having[field];
    float average = length > 0 && having > 0 ? (float)(length / having) : 1.0f, b = config->b;
    for (uint32_t p = 0; p < w->columns->count; p++) {
        extent *e = &w->extents[(size_t)p * w->n_text + ordinal];
        e->end = spans[p] + (ordinal > 0 ? e[-1].end : 0);
        e->norm = config->fields[field].weight / (1.0f - b + b * (float)lengths[p] / average);
    }
}

segment_writer *segment_writer_create(const sparse_config *config, const segment_columns *columns,
                                      const sparse_statistics *statistics) {
    segment_writer *w = mem_zalloc(1, sizeof *w);
    w->config = config;
    w->columns = columns;
    for (uint32_t f = 0; f < config->n_fields; f++) w->n_text += config->fields[f].kind == SPARSE_TEXT;
    w->extents = mem_alloc(columns->count * (size_t)w->n_text * sizeof *w->extents);
    for (uint32_t f = 0, ordinal = 0; f < config->n_fields; f++)
        if (config->fields[f].kind == SPARSE_TEXT) add_field(w, ordinal++, f, statistics);
    return w;
}

void segment_writer_destroy(segment_writer *w) {
    if (!w) return;
    buffer *buffers[] = {&w->dictionary, &w->keys, &w->blocks, &w->postings,
                         &w->positions,  &w->gaps, &w->packed, &w->starts};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) buffer_release(buffers[i]);
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) {
        buffer_release(&w->values[f].starts);
        buffer_release(&w->values[f].values);
        buffer_release(&w->values[f].counts);
        buffer_release(&w->values[f].places);
    }
    free(w->extents);
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
    buffer_clear(&w->gaps);
    buffer_clear(&w->packed);
    buffer_clear(&w->starts);
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

/* The sum over the fields of the term's frequency there by the field's norm. */
static float weigh(const segment_writer *w, uint32_t place, const uint32_t *gaps, uint32_t n) {
    const extent *e = &w->extents[(size_t)place * w->n_text], *last = e + w->n_text - 1;
    float x = 0;
    uint32_t position = gaps[0];
    for (uint32_t i = 0; i < n;) {
        while (e < last && position >= e->end) e++;
        uint32_t from = i;
        do {
            if (++i < n) position += gaps[i] + 1;
        } while (i < n && (e == last || position < e->end));
        x += e->norm * (float)(i - from);
    }
    return x;
}

/* The impacts of the arrays' postings. Not before all are here: so their extents are waited for together. */
static void weigh_postings(segment_writer *w) {
    const uint32_t *gaps = (const uint32_t *)(const void *)w->gaps.data;
    bool text = w->gaps.size > 0 && w->n_text > 0;
    for (uint32_t i = 0; i < w->n; i++) {
        float x = text ? weigh(w, w->places[i], gaps, w->counts[i] + 1) : 1.0f; /* a keyword is as an average word */
        w->impacts[i] = quantise(x, w->config->k1);
        if (text) gaps += w->counts[i] + 1;
    }
}

/* The positions of the arrays' postings, behind those of the blocks before. */
static void write_positions(segment_writer *w) {
    size_t n = w->gaps.size / sizeof(uint32_t);
    if (n == 0) return;
    const uint32_t *gaps = (const uint32_t *)(const void *)w->gaps.data;
    w->packed.size += pack_values(w->counts, w->n, (uint8_t *)buffer_reserve(&w->packed, PACK_VALUES_ROOM));
    for (size_t i = 0; i < n; i += SPARSE_BLOCK) {
        uint32_t some = n - i < SPARSE_BLOCK ? (uint32_t)(n - i) : SPARSE_BLOCK;
        w->packed.size += pack_values(gaps + i, some, (uint8_t *)buffer_reserve(&w->packed, PACK_VALUES_ROOM));
    }
    buffer_clear(&w->gaps);
}

void segment_writer_posting(segment_writer *w, uint32_t place, const uint32_t *positions, uint32_t n) {
    if (w->n == SPARSE_BLOCK) {
        weigh_postings(w);
        write_positions(w);
        sparse_block block = write_block(w);
        buffer_append(&w->blocks, &block, sizeof block);
        append_u64(&w->starts, w->packed.size);
        w->base = block.last + 1;
        w->full_blocks++;
        w->n = 0;
    }
    if (n > 0) __builtin_prefetch(&w->extents[(size_t)place * w->n_text]);
    w->places[w->n] = place;
    w->counts[w->n++] = n - 1;
    w->df++;
    if (n > 0) append_u32(&w->gaps, positions[0]);
    for (uint32_t i = 1; i < n; i++) append_u32(&w->gaps, positions[i] - positions[i - 1] - 1);
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

/* Moves the term's positions to their section; returns how many bytes. */
static size_t put_positions(segment_writer *w) {
    size_t n_starts = w->starts.size / sizeof(uint64_t), width = 1;
    while (segment_start_width(w->packed.size + n_starts * width) > width) width++;
    for (size_t i = 0; i < n_starts; i++) /* little-endian */
        buffer_append(&w->positions, w->starts.data + i * sizeof(uint64_t), width);
    if (w->packed.size > 0) buffer_append(&w->positions, w->packed.data, w->packed.size);
    return n_starts * width + w->packed.size;
}

/* The code of a posting that is its term's only one, from its gaps. */
static uint8_t *put_code(segment_writer *w, uint8_t *p) {
    uint32_t n = (uint32_t)(w->gaps.size / sizeof(uint32_t)), *positions = (uint32_t *)(void *)w->gaps.data;
    for (uint32_t i = 1; i < n; i++) positions[i] += positions[i - 1] + 1;
    return n > 0 ? segment_put_code(p, positions, n) : p;
}

void segment_writer_end(segment_writer *w) {
    assert(w->df > 0);
    segment_entries entries = {w->keys.size, w->data_start, w->positions.size, w->n_blocks};
    if (w->n_terms % SEGMENT_TERMS == 0) buffer_append(&w->dictionary, &entries, sizeof entries);

    bool positions = segment_has_positions(w->key.data[0]);
    size_t room = w->df == 1 ? segment_code_room((uint32_t)(w->gaps.size / sizeof(uint32_t))) : 0;
    weigh_postings(w);
    if (w->df > 1) write_positions(w);
    sparse_block block = write_block(w);
    uint8_t *start = (uint8_t *)buffer_reserve(&w->keys, SEGMENT_MAX_KEY + room + 64);
    uint8_t *p = put_key(w, start);
    p = segment_put_varint(p, w->df);
    if (w->df == 1) {
        p = segment_put_varint(p, block.last);
        *p++ = block.max_impact;
        p = put_code(w, p);
    } else if (w->full_blocks == 0) {
        p = segment_put_varint(p, block.last);
        *p++ = block.bits;
        *p++ = block.max_impact;
    } else {
        buffer_append(&w->blocks, &block, sizeof block);
        w->n_blocks += w->full_blocks + 1;
        *p++ = w->max_impact;
        p = segment_put_varint(p, w->postings.size - w->data_start);
    }
    if (w->df > 1 && positions) p = segment_put_varint(p, put_positions(w));
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

static void close_section(image *m) { m->n++; }

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

/* One number per place, in as few bytes as hold the largest. */
static void put_widths(image *m, segment_kind kind, uint32_t field, const uint32_t *numbers, uint32_t count) {
    uint32_t all = 0;
    for (uint32_t p = 0; p < count; p++) all |= numbers[p];
    size_t width = all <= UINT8_MAX ? 1 : all <= UINT16_MAX ? 2 : 4;
    uint8_t *at = open_section(m, kind, field, count * width);
    for (uint32_t p = 0; p < count; p++) memcpy(at + p * width, &numbers[p], width); /* little-endian */
    close_section(m);
}

static void put_lengths(image *m, uint32_t field, const segment_columns *c) {
    put_widths(m, SEGMENT_LENGTHS, field, c->lengths[field], c->count);
    if (c->count > 0 && memcmp(c->lengths[field], c->spans[field], c->count * sizeof **c->spans) != 0)
        put_widths(m, SEGMENT_SPANS, field, c->spans[field], c->count);
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
        case SPARSE_TEXT: put_lengths(m, f, c); break;
        case SPARSE_NUMBER: put_section(m, SEGMENT_NUMBERS, f, c->numbers[f], c->count * sizeof **c->numbers); break;
        case SPARSE_KEYWORD: put_keywords(m, f, &w->values[f], c->count); break;
        }
    }
    put_popularity(m, w);
}

/* The image is whole but for its hashes. */
static void put_hashes(buffer *out) {
    uint64_t end = out->size, n = segment_hashes(end);
    uint64_t *hashes = (uint64_t *)(void *)buffer_reserve(out, n * sizeof *hashes);
    for (uint64_t i = 0; i < n; i++) hashes[i] = segment_hash(out->data, end, i);
    out->size += n * sizeof *hashes;
    segment_header *header = (segment_header *)(void *)out->data;
    header->checksum = hash64(hashes, n * sizeof *hashes, 0);
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
    put_buffer(m, SEGMENT_POSITIONS, 0, &w->positions);
    put_columns(m, w);

    while (out->size % 8) buffer_putc(out, 0);
    uint64_t table = out->size, end = table + m->n * sizeof *m->sections, n = segment_hashes(end);
    buffer_append(out, m->sections, m->n * sizeof *m->sections);
    const segment_header header = {.magic = SEGMENT_MAGIC,
                                   .version = SEGMENT_VERSION,
                                   .n_sections = m->n,
                                   .size = end + n * sizeof(uint64_t),
                                   .table = table,
                                   .count = w->columns->count,
                                   .n_fields = w->config->n_fields,
                                   .n_terms = w->n_terms};
    memcpy(out->data, &header, sizeof header);
    put_hashes(out);
    free(m);
}
