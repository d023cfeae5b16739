/* Segment images are written term by term; impacts are computed here and nowhere else.
 *
 * Sections that grow with the postings wait in buffers until all terms are here. When the image goes to a file, what is
 * before the term being written is moved into files without a name, so that memory holds columns, one term and a constant. */
#include "sparse/segment_write.h"

#include "os/output.h"
#include "sparse/impact_table.h"
#include "sparse/pack_values.h"
#include "sparse/segment_image.h"
#include "sparse/segment_order.h"
#include "sparse/segment_output.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define SPOOLED_AT_ONCE ((size_t)128 << 10)

/* The beginning of a section, which has left memory. */
typedef struct spool {
    os_spool *file; /* NULL: nothing has */
    uint64_t size;
} spool;

/* A keyword column, gathered from the attribute terms of its field: values are in key order, which is value order. */
typedef struct value_column {
    buffer starts; /* u64 each, of the values' bytes */
    buffer values;
    buffer counts; /* u32: places of each value */
    buffer places; /* u32: the places of the first value, of the second, … */
    spool before_starts, before_values;
} value_column;

struct segment_writer {
    const sparse_config *config;
    const segment_columns *columns;
    uint32_t n_text;
    uint32_t *ends; /* of each place, n_text: where the positions of a text field end */
    impact_table impacts_of;
    value_column values[SPARSE_MAX_FIELDS];

    char *path;             /* of the file; NULL: into memory */
    const sparse_work *work;
    segment_output *output; /* to that file */
    forage_status status;   /* of its files so far */
    base_error error;
    buffer dictionary, keys, blocks, postings, positions;
    spool before_dictionary, before_keys, before_blocks, before_postings, before_positions;
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
    uint32_t codes[SPARSE_BLOCK];
    uint32_t counts[SPARSE_BLOCK]; /* occurrences less 1 */
    bool coded;                    /* postings have codes: of a text term, or weights */
    bool weighted;                 /* the codes are weights */
    bool counted;                  /* the codes do not say all the counts of these postings */
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

static void add_field(segment_writer *w, uint32_t ordinal, uint32_t field) {
    const uint32_t *spans = w->columns->spans[field];
    for (uint32_t p = 0; p < w->columns->count; p++) {
        uint32_t *end = &w->ends[(size_t)p * w->n_text + ordinal];
        *end = spans[p] + (ordinal > 0 ? end[-1] : 0);
    }
}

segment_writer *segment_writer_create(const sparse_config *config, const segment_columns *columns,
                                      const sparse_statistics *statistics) {
    segment_writer *w = mem_zalloc(1, sizeof *w);
    w->config = config;
    w->columns = columns;
    impact_table_create(&w->impacts_of, config, columns, statistics);
    w->n_text = w->impacts_of.n_text;
    w->ends = mem_alloc(columns->count * (size_t)w->n_text * sizeof *w->ends);
    for (uint32_t f = 0, ordinal = 0; f < config->n_fields; f++)
        if (config->fields[f].kind == SPARSE_TEXT) add_field(w, ordinal++, f);
    return w;
}

void segment_writer_use_file(segment_writer *w, const char *path, const sparse_work *work) {
    w->path = mem_strdup(path);
    w->work = work;
    w->status = segment_output_to_file(path, work, &w->output, &w->error);
}

void segment_writer_destroy(segment_writer *w) {
    if (!w) return;
    segment_output_destroy(w->output);
    free(w->path);
    spool *spools[] = {&w->before_dictionary, &w->before_keys, &w->before_blocks, &w->before_postings,
                       &w->before_positions};
    for (size_t i = 0; i < sizeof spools / sizeof *spools; i++) os_spool_destroy(spools[i]->file);
    buffer *buffers[] = {&w->dictionary, &w->keys, &w->blocks, &w->postings,
                         &w->positions,  &w->gaps, &w->packed, &w->starts};
    for (size_t i = 0; i < sizeof buffers / sizeof *buffers; i++) buffer_release(buffers[i]);
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) {
        buffer_release(&w->values[f].starts);
        buffer_release(&w->values[f].values);
        buffer_release(&w->values[f].counts);
        buffer_release(&w->values[f].places);
        os_spool_destroy(w->values[f].before_starts.file);
        os_spool_destroy(w->values[f].before_values.file);
    }
    impact_table_destroy(&w->impacts_of);
    free(w->ends);
    free(w);
}

static inline void append_u32(buffer *b, uint32_t v) {
    if (b->size + sizeof v > b->capacity) buffer_reserve(b, sizeof v);
    memcpy(b->data + b->size, &v, sizeof v);
    b->size += sizeof v;
}

static void append_u64(buffer *b, uint64_t v) { buffer_append(b, &v, sizeof v); }

/* --- files without a name ---------------------------------------------------------------------------------------- */

static void spool_bytes(segment_writer *w, buffer *b, spool *s) {
    if (!s->file) {
        buffer name = {0};
        buffer_printf(&name, "%s.spool", w->path);
        w->status = os_spool_create(buffer_text(&name), &s->file, &w->error);
        buffer_release(&name);
    }
    if (w->status == FORAGE_OK) w->status = os_spool_append(s->file, b->data, b->size, &w->error);
    if (w->status == FORAGE_OK && !sparse_work_proceed(w->work, b->size))
        w->status = error_set(&w->error, FORAGE_E_CLOSED, "writing the segment was ended");
    s->size += b->size;
    buffer_clear(b);
}

/* Of a section that only grows. Nothing may point into it. */
static void make_room(segment_writer *w, buffer *b, spool *s) {
    if (b->size >= SPOOLED_AT_ONCE && w->status == FORAGE_OK) spool_bytes(w, b, s);
}

static void make_rooms(segment_writer *w) {
    make_room(w, &w->dictionary, &w->before_dictionary);
    make_room(w, &w->keys, &w->before_keys);
    make_room(w, &w->blocks, &w->before_blocks);
    make_room(w, &w->postings, &w->before_postings);
    make_room(w, &w->positions, &w->before_positions);
    if (!w->column) return;
    make_room(w, &w->column->starts, &w->column->before_starts);
    make_room(w, &w->column->values, &w->column->before_values);
}

bool segment_writer_failed(const segment_writer *w) { return w->status != FORAGE_OK; }

/* --- terms ------------------------------------------------------------------------------------------------------- */

void segment_writer_begin(segment_writer *w, slice key) {
    assert(key.size > 0 && key.size <= SEGMENT_MAX_KEY);
    w->key = key;
    w->column = NULL;
    w->df = w->n = w->base = w->full_blocks = 0;
    w->max_impact = 0;
    w->weighted = key.data[0] == SPARSE_SPACE_WEIGHT;
    w->coded = w->weighted || (key.data[0] == SPARSE_SPACE_TEXT && w->n_text > 0);
    w->data_start = w->postings.size;
    buffer_clear(&w->gaps);
    buffer_clear(&w->packed);
    buffer_clear(&w->starts);
    if (key.data[0] != SPARSE_SPACE_ATTRIBUTE || key.size < 2) return;
    uint32_t field = (uint8_t)key.data[1];
    if (field >= w->config->n_fields || w->config->fields[field].kind != SPARSE_KEYWORD) return;
    w->column = &w->values[field];
    append_u64(&w->column->starts, w->column->before_values.size + w->column->values.size);
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
    block.counted = w->counted;
    uint8_t *at = (uint8_t *)buffer_reserve(&w->postings, 2 * PACK_VALUES_ROOM);
    size_t size = pack_places(w->places, w->n, w->base, at);
    if (w->coded) size += pack_values(w->codes, w->n, at + size);
    w->postings.size += size;
    return block;
}

/* How often the term is in each text field. */
static void count_fields(const segment_writer *w, uint32_t place, const uint32_t *gaps, uint32_t n,
                         uint32_t frequencies[SPARSE_MAX_FIELDS]) {
    if (w->n_text == 1) {
        frequencies[0] = n;
        return;
    }
    const uint32_t *end = &w->ends[(size_t)place * w->n_text];
    memset(frequencies, 0, w->n_text * sizeof *frequencies);
    uint32_t position = gaps[0], field = 0, last = w->n_text - 1;
    for (uint32_t i = 0; i < n;) {
        while (field < last && position >= end[field]) field++;
        frequencies[field]++;
        if (++i < n) position += gaps[i] + 1;
    }
}

/* The codes and impacts of the arrays' postings. Not before all are here: so what lies apart is waited for together. */
static void weigh_postings(segment_writer *w) {
    const uint32_t *gaps = (const uint32_t *)(const void *)w->gaps.data;
    w->counted = !w->coded && w->gaps.size > 0;
    if (!w->coded) { /* a keyword is as an average word */
        memset(w->impacts, impact_quantise(1.0f, w->config->k1), w->n);
        return;
    }
    if (w->weighted) {
        for (uint32_t i = 0; i < w->n; i++) w->impacts[i] = (uint8_t)w->codes[i];
        return;
    }
    uint32_t frequencies[SPARSE_MAX_FIELDS];
    bool exact;
    for (uint32_t i = 0; i < w->n; gaps += w->counts[i++] + 1) {
        count_fields(w, w->places[i], gaps, w->counts[i] + 1, frequencies);
        if (w->df == 1) {
            w->impacts[i] = impact_table_exact(&w->impacts_of, w->places[i], frequencies);
            continue;
        }
        w->codes[i] = impact_table_code(&w->impacts_of, w->places[i], frequencies, &exact);
        w->impacts[i] = impact_table_impact(&w->impacts_of, w->places[i], w->codes[i]);
        w->counted |= !exact;
    }
}

/* The positions of the arrays' postings, behind those of the blocks before. */
static void write_positions(segment_writer *w) {
    size_t n = w->gaps.size / sizeof(uint32_t);
    if (n == 0) return;
    const uint32_t *gaps = (const uint32_t *)(const void *)w->gaps.data;
    if (w->counted)
        w->packed.size += pack_values(w->counts, w->n, (uint8_t *)buffer_reserve(&w->packed, PACK_VALUES_ROOM));
    for (size_t i = 0; i < n; i += SPARSE_BLOCK) {
        uint32_t some = n - i < SPARSE_BLOCK ? (uint32_t)(n - i) : SPARSE_BLOCK;
        w->packed.size += pack_values(gaps + i, some, (uint8_t *)buffer_reserve(&w->packed, PACK_VALUES_ROOM));
    }
    buffer_clear(&w->gaps);
}

static void end_block(segment_writer *w) {
    weigh_postings(w);
    write_positions(w);
    sparse_block block = write_block(w);
    buffer_append(&w->blocks, &block, sizeof block);
    append_u64(&w->starts, w->packed.size);
    w->base = block.last + 1;
    w->full_blocks++;
    w->n = 0;
}

void segment_writer_weight(segment_writer *w, uint32_t place, uint8_t weight) {
    assert(w->weighted && weight > 0);
    if (w->n == SPARSE_BLOCK) end_block(w);
    w->places[w->n] = place;
    w->codes[w->n++] = weight;
    w->df++;
}

void segment_writer_posting(segment_writer *w, uint32_t place, const uint32_t *positions, uint32_t n) {
    assert(!w->weighted);
    if (w->n == SPARSE_BLOCK) end_block(w);
    if (n > 0 && w->n_text > 1) __builtin_prefetch(&w->ends[(size_t)place * w->n_text]);
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
    p = segment_put_sizes(p, shared, w->key.size - shared);
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
    segment_entries entries = segment_entries_of(w->before_keys.size + w->keys.size,
                                                 w->before_postings.size + w->data_start,
                                                 w->before_positions.size + w->positions.size, w->n_blocks);
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
        *p++ = block.max_impact;
        p = segment_put_varint(p, (uint64_t)(w->postings.size - w->data_start) << 1 | block.counted);
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
    if (w->path) make_rooms(w);
}

/* --- sections ---------------------------------------------------------------------------------------------------- */

static void put_section(segment_output *o, segment_kind kind, uint32_t field, const void *data, size_t size) {
    segment_output_begin(o, kind, field);
    segment_output_bytes(o, data, size);
    segment_output_end(o);
}

/* What has left memory, then what has not. */
static void put_spooled(segment_writer *w, segment_output *o, segment_kind kind, uint32_t field, spool *s, buffer *rest) {
    segment_output_begin(o, kind, field);
    for (uint64_t at = 0; at < s->size && w->status == FORAGE_OK;) {
        size_t some = s->size - at < SEGMENT_HASHED ? (size_t)(s->size - at) : SEGMENT_HASHED;
        w->status = os_spool_read(s->file, at, segment_output_room(o, some), some, &w->error);
        if (w->status == FORAGE_OK) segment_output_advance(o, some);
        at += some;
    }
    segment_output_bytes(o, rest->data, rest->size);
    segment_output_end(o);
    buffer_release(rest);
    os_spool_destroy(s->file);
    *s = (spool){0};
}

static void put_fields(segment_output *o, const segment_writer *w) {
    segment_output_begin(o, SEGMENT_FIELDS, 0);
    for (uint32_t f = 0; f < w->config->n_fields; f++) {
        segment_field field = {.kind = (uint32_t)w->config->fields[f].kind};
        const uint32_t *lengths = w->columns->lengths[f];
        for (uint32_t p = 0; lengths && p < w->columns->count; p++) {
            field.length += lengths[p];
            field.having += lengths[p] > 0;
        }
        segment_output_bytes(o, &field, sizeof field);
    }
    segment_output_end(o);
}

/* What is to be added to the least, in as few bytes as hold the most. */
static void put_versions(segment_output *o, const uint64_t *versions, uint32_t count) {
    enum { AT_ONCE = SEGMENT_HASHED / sizeof(uint64_t) };
    uint64_t least = count ? versions[0] : 0, most = 0;
    for (uint32_t p = 0; p < count; p++) least = versions[p] < least ? versions[p] : least;
    for (uint32_t p = 0; p < count; p++) most |= versions[p] - least;
    size_t width = most == 0 ? 0 : most <= UINT8_MAX ? 1 : most <= UINT16_MAX ? 2 : most <= UINT32_MAX ? 4 : 8;
    segment_output_begin(o, SEGMENT_VERSIONS, 0);
    segment_output_bytes(o, &least, sizeof least);
    for (uint32_t p = 0; p < count && width > 0;) {
        uint32_t some = count - p < AT_ONCE ? count - p : AT_ONCE;
        uint8_t *at = segment_output_room(o, some * width);
        for (uint32_t i = 0; i < some; i++) {
            uint64_t more = versions[p + i] - least;
            memcpy(at + i * width, &more, width); /* little-endian */
        }
        segment_output_advance(o, some * width);
        p += some;
    }
    segment_output_end(o);
}

static void put_documents(segment_output *o, const segment_columns *c) {
    bool consecutive = c->count > 0;
    for (uint32_t p = 1; p < c->count; p++) consecutive = consecutive && c->documents[p] == c->documents[p - 1] + 1;
    put_section(o, SEGMENT_DOCUMENTS, 0, c->documents, (consecutive ? 1 : c->count) * sizeof *c->documents);
    put_versions(o, c->versions, c->count);
}

static void put_impacts(segment_output *o, const segment_writer *w) {
    const impact_table *t = &w->impacts_of;
    size_t rows = 1;
    while (rows < t->n_codes) rows *= 2;
    if (!t->lengths) put_section(o, SEGMENT_CLASSES, 0, t->classes, w->columns->count);
    put_section(o, SEGMENT_TOTALS, 0, t->totals, t->n_codes * sizeof *t->totals);
    put_section(o, SEGMENT_IMPACTS, 0, t->rows, rows << t->shift);
}

/* One number per place, in as few bytes as hold the largest. */
static void put_widths(segment_output *o, segment_kind kind, uint32_t field, const uint32_t *numbers, uint32_t count) {
    enum { AT_ONCE = SEGMENT_HASHED / sizeof(uint32_t) };
    uint32_t all = 0;
    for (uint32_t p = 0; p < count; p++) all |= numbers[p];
    size_t width = all <= UINT8_MAX ? 1 : all <= UINT16_MAX ? 2 : 4;
    segment_output_begin(o, kind, field);
    for (uint32_t p = 0; p < count;) {
        uint32_t some = count - p < AT_ONCE ? count - p : AT_ONCE;
        uint8_t *at = segment_output_room(o, some * width);
        for (uint32_t i = 0; i < some; i++) memcpy(at + i * width, &numbers[p + i], width); /* little-endian */
        segment_output_advance(o, some * width);
        p += some;
    }
    segment_output_end(o);
}

static void put_lengths(segment_output *o, uint32_t field, const segment_columns *c) {
    put_widths(o, SEGMENT_LENGTHS, field, c->lengths[field], c->count);
    if (c->count > 0 && memcmp(c->lengths[field], c->spans[field], c->count * sizeof **c->spans) != 0)
        put_widths(o, SEGMENT_SPANS, field, c->spans[field], c->count);
}

/* Turns places by value into values by place; walking the values upwards leaves each place's ordinals ascending. */
static void put_keywords(segment_writer *w, segment_output *o, uint32_t field) {
    value_column *v = &w->values[field];
    uint32_t count = w->columns->count;
    size_t total = v->places.size / sizeof(uint32_t), n_values = v->counts.size / sizeof(uint32_t);
    assert(total <= UINT32_MAX);
    const uint32_t *places = (const uint32_t *)(const void *)v->places.data;
    const uint32_t *counts = (const uint32_t *)(const void *)v->counts.data;
    uint32_t *next = mem_zalloc((size_t)count + 1, sizeof *next), *ordinals = mem_alloc(total * sizeof *ordinals);
    for (size_t i = 0; i < total; i++) next[places[i] + 1]++;
    for (uint32_t p = 0; p < count; p++) next[p + 1] += next[p];
    put_section(o, SEGMENT_STARTS, field, next, ((size_t)count + 1) * sizeof *next);
    for (size_t value = 0, at = 0; value < n_values; value++)
        for (uint32_t i = 0; i < counts[value]; i++) ordinals[next[places[at++]]++] = (uint32_t)value;
    free(next);
    buffer_release(&v->places);
    buffer_release(&v->counts);
    put_section(o, SEGMENT_ORDINALS, field, ordinals, total * sizeof *ordinals);
    free(ordinals);
    append_u64(&v->starts, v->before_values.size + v->values.size);
    put_spooled(w, o, SEGMENT_VALUE_STARTS, field, &v->before_starts, &v->starts);
    put_spooled(w, o, SEGMENT_VALUES, field, &v->before_values, &v->values);
}

static void put_popularity(segment_output *o, const segment_writer *w) {
    const segment_columns *c = w->columns;
    if (w->config->popularity < 0 || !c->numbers[w->config->popularity]) return;
    const double *numbers = c->numbers[w->config->popularity];
    uint32_t *places = segment_order_by_number(numbers, c->documents, c->count);
    put_section(o, SEGMENT_POPULARITY, 0, places, c->count * sizeof *places);
    free(places);
    segment_output_begin(o, SEGMENT_PRIOR, 0);
    for (uint32_t p = 0; p < c->count; p++) {
        float prior = sparse_prior_value(numbers[p]);
        segment_output_bytes(o, &prior, sizeof prior);
    }
    segment_output_end(o);
}

static void put_columns(segment_writer *w, segment_output *o) {
    for (uint32_t f = 0; f < w->config->n_fields; f++) {
        const segment_columns *c = w->columns;
        switch (w->config->fields[f].kind) {
        case SPARSE_TEXT: put_lengths(o, f, c); break;
        case SPARSE_NUMBER: put_section(o, SEGMENT_NUMBERS, f, c->numbers[f], c->count * sizeof **c->numbers); break;
        case SPARSE_KEYWORD: put_keywords(w, o, f); break;
        case SPARSE_WEIGHTS: break;
        }
    }
    put_popularity(o, w);
}

static forage_status put_image(segment_writer *w, segment_output *o, base_error *error) {
    put_fields(o, w);
    put_documents(o, w->columns);
    put_impacts(o, w);
    put_spooled(w, o, SEGMENT_DICTIONARY, 0, &w->before_dictionary, &w->dictionary);
    put_spooled(w, o, SEGMENT_KEYS, 0, &w->before_keys, &w->keys);
    put_spooled(w, o, SEGMENT_BLOCKS, 0, &w->before_blocks, &w->blocks);
    put_spooled(w, o, SEGMENT_POSTINGS, 0, &w->before_postings, &w->postings);
    put_spooled(w, o, SEGMENT_POSITIONS, 0, &w->before_positions, &w->positions);
    put_columns(w, o);
    if (w->status != FORAGE_OK) return w->status;
    return segment_output_finish(
        o, (segment_header){.count = w->columns->count, .n_fields = w->config->n_fields, .n_terms = w->n_terms}, error);
}

void segment_writer_finish(segment_writer *w, buffer *out) {
    assert(!w->path);
    segment_output *o = segment_output_to_memory(out);
    put_image(w, o, NULL);
    segment_output_destroy(o);
}

forage_status segment_writer_finish_file(segment_writer *w, base_error *error) {
    assert(w->path);
    forage_status status = w->status == FORAGE_OK ? put_image(w, w->output, error) : w->status;
    if (w->status != FORAGE_OK && error) *error = w->error;
    return status;
}
