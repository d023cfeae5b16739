/* Documents to postings in memory: a hash table of terms, each with a growing string of bytes.
 *
 * Nearly all time would go into waiting for memory, so a document's words are only noted at first, and looked up
 * together when the places to look at have had time to arrive. A posting is written once, when its document ends and it is
 * known where each field begins: gap to the last place, then the code of its positions. */
#include "sparse/builder.h"

#include "base/hash.h"
#include "sparse/segment_write.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define NONE UINT32_MAX
#define WEIGHT (UINT32_MAX - 1)

enum {
    INLINE_KEY = 29,
    INLINE_BYTES = 40,
    FIRST_CHUNK = 64,
    LARGEST_CHUNK = 4096,
    NOTES = 256, /* words noted before they are looked up */
    AHEAD = 8    /* terms fetched before they are needed */
};

/* A term's postings beyond the inline bytes. Postings do not straddle chunks. */
typedef struct chunk {
    struct chunk *next;
    uint32_t used; /* of a chunk that is full; the last one's follows from its term */
    uint8_t bytes[];
} chunk;

/* Two cache lines; what every occurrence needs comes first. */
typedef struct builder_term {
    uint32_t place;       /* of the document that the touches belong to */
    uint32_t touch, last_touch;
    uint32_t room;        /* bytes left in the last chunk */
    uint16_t key_size;
    uint8_t inline_used;
    char inline_key[INLINE_KEY];
    uint32_t hash;
    uint32_t last_place;  /* of the last posting written */
    const char *long_key; /* a key that is not inline */
    chunk *first, *last;
    uint8_t *end; /* of what is written in the last chunk */
    uint8_t inline_bytes[INLINE_BYTES];
} builder_term;

_Static_assert(sizeof(builder_term) == 128, "a term is two cache lines");

/* A word that has not been looked up yet. */
typedef struct note {
    uint32_t hash, ordinal; /* of the field; NONE: a keyword; WEIGHT: a token with one */
    uint32_t start, size;   /* of its key in `text` */
    uint32_t position;      /* in its field; or the weight */
} note;

static const char *term_key(const builder_term *t) { return t->key_size <= INLINE_KEY ? t->inline_key : t->long_key; }

/* An occurrence of a term in the current document. */
typedef struct touch {
    uint32_t ordinal, position; /* as in a note */
    uint32_t next;              /* of the same term; NONE: the last */
} touch;

struct sparse_builder {
    sparse_config config;
    arena names, memory;
    uint32_t ordinal[SPARSE_MAX_FIELDS]; /* of text fields */
    uint32_t n_text;

    builder_term *terms;
    size_t n_terms, terms_capacity;
    uint64_t *table; /* hash << 32 | term + 1, or 0; linear probing */
    size_t table_size;

    note notes[NOTES];
    size_t n_notes;
    buffer text; /* keys of the notes */
    touch *touches;
    size_t n_touches, touches_capacity;
    uint32_t *touched; /* terms of the current document */
    size_t n_touched, touched_capacity;
    uint32_t n_positions; /* of the current document */
    buffer positions;     /* u32 each, of the posting that is written */
    buffer posting;       /* and its bytes */

    uint32_t count;
    size_t capacity; /* of the arrays per place */
    uint32_t *lengths[SPARSE_MAX_FIELDS], *spans[SPARSE_MAX_FIELDS]; /* as in segment_columns */
    double *numbers[SPARSE_MAX_FIELDS];
    bool gap[SPARSE_MAX_FIELDS]; /* before the field's next token */
};

sparse_builder *sparse_builder_create(const sparse_config *config) {
    sparse_builder *b = mem_zalloc(1, sizeof *b);
    arena_init(&b->names, 4096);
    arena_init(&b->memory, 1 << 20);
    sparse_config_copy(config, &b->names, &b->config);
    for (uint32_t f = 0; f < config->n_fields; f++)
        if (config->fields[f].kind == SPARSE_TEXT) b->ordinal[f] = b->n_text++;
    b->table_size = 1024;
    b->table = mem_zalloc(b->table_size, sizeof *b->table);
    return b;
}

void sparse_builder_destroy(sparse_builder *b) {
    if (!b) return;
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) {
        free(b->lengths[f]);
        free(b->spans[f]);
        free(b->numbers[f]);
    }
    buffer_release(&b->text);
    buffer_release(&b->positions);
    buffer_release(&b->posting);
    free(b->touches);
    free(b->touched);
    free(b->table);
    free(b->terms);
    arena_release(&b->memory);
    arena_release(&b->names);
    free(b);
}

void sparse_builder_reset(sparse_builder *b) {
    arena_reset(&b->memory);
    buffer_clear(&b->text);
    b->n_terms = b->n_touches = b->n_touched = b->n_notes = 0;
    b->n_positions = 0;
    b->count = 0;
    memset(b->table, 0, b->table_size * sizeof *b->table);
}

/* --- terms ------------------------------------------------------------------------------------------------------- */

static void grow_table(sparse_builder *b) {
    free(b->table);
    b->table_size *= 2;
    b->table = mem_zalloc(b->table_size, sizeof *b->table);
    for (size_t i = 0; i < b->n_terms; i++) {
        size_t at = b->terms[i].hash & (b->table_size - 1);
        while (b->table[at]) at = (at + 1) & (b->table_size - 1);
        b->table[at] = (uint64_t)b->terms[i].hash << 32 | (i + 1);
    }
}

static uint32_t add_term(sparse_builder *b, slice key, uint32_t hash) {
    b->terms = mem_grow(b->terms, &b->terms_capacity, b->n_terms + 1, sizeof *b->terms);
    builder_term *t = &b->terms[b->n_terms];
    *t = (builder_term){.key_size = (uint16_t)key.size, .hash = hash, .place = NONE};
    if (key.size <= INLINE_KEY) memcpy(t->inline_key, key.data, key.size);
    else t->long_key = memcpy(arena_alloc(&b->memory, key.size), key.data, key.size);
    return (uint32_t)b->n_terms++;
}

static uint32_t find_term(sparse_builder *b, slice key, uint32_t hash) {
    size_t mask = b->table_size - 1, at = hash & mask;
    for (; b->table[at]; at = (at + 1) & mask) {
        if (b->table[at] >> 32 != hash) continue;
        uint32_t id = (uint32_t)b->table[at] - 1;
        const builder_term *t = &b->terms[id];
        if (t->key_size == key.size && memcmp(term_key(t), key.data, key.size) == 0) return id;
    }
    uint32_t id = add_term(b, key, hash);
    b->table[at] = (uint64_t)hash << 32 | (id + 1);
    if (b->n_terms * 2 > b->table_size) grow_table(b);
    return id;
}

static void add_posting(sparse_builder *b, builder_term *t, const uint8_t *bytes, size_t size) {
    if (!t->first && t->inline_used + size <= INLINE_BYTES) {
        memcpy(t->inline_bytes + t->inline_used, bytes, size);
        t->inline_used = (uint8_t)(t->inline_used + size);
        return;
    }
    if (t->room < size) {
        size_t last = t->last ? (size_t)(t->end - t->last->bytes) + t->room : FIRST_CHUNK / 2;
        size_t wanted = 2 * last < LARGEST_CHUNK ? 2 * last : LARGEST_CHUNK;
        if (wanted < size) wanted = size;
        chunk *c = arena_alloc(&b->memory, sizeof *c + wanted);
        c->next = NULL;
        if (t->last) t->last->used = (uint32_t)(t->end - t->last->bytes);
        if (t->last) t->last->next = c;
        else t->first = c;
        t->last = c;
        t->end = c->bytes;
        t->room = (uint32_t)wanted;
    }
    memcpy(t->end, bytes, size);
    t->end += size;
    t->room -= (uint32_t)size;
}

/* --- one document ------------------------------------------------------------------------------------------------ */

static void occur(sparse_builder *b, uint32_t term, const note *n) {
    builder_term *t = &b->terms[term];
    uint32_t place = b->count - 1, at = (uint32_t)b->n_touches;
    if (t->place != place) {
        t->place = place;
        t->touch = at;
        if (b->n_touched == b->touched_capacity)
            b->touched = mem_grow(b->touched, &b->touched_capacity, b->n_touched + 1, sizeof *b->touched);
        b->touched[b->n_touched++] = term;
        __builtin_prefetch(t->end, 1); /* where the posting will be written */
    } else if (n->ordinal == NONE) {
        return; /* a value that the document has twice */
    } else if (n->ordinal == WEIGHT) {
        if (n->position > b->touches[t->touch].position) b->touches[t->touch].position = n->position;
        return;
    } else {
        b->touches[t->last_touch].next = at;
    }
    t->last_touch = at;
    if (b->n_touches == b->touches_capacity)
        b->touches = mem_grow(b->touches, &b->touches_capacity, b->n_touches + 1, sizeof *b->touches);
    b->touches[b->n_touches++] = (touch){n->ordinal, n->position, NONE};
}

static int ascending(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

/* The positions of a term that occurs several times; they ascend unless the fields came in another order. */
static uint32_t *gather_positions(sparse_builder *b, const builder_term *t, const uint32_t *starts, uint32_t *n) {
    bool sorted = true;
    buffer_clear(&b->positions);
    uint32_t last = 0, position;
    for (uint32_t at = t->touch; at != NONE; at = b->touches[at].next, last = position) {
        position = starts[b->touches[at].ordinal] + b->touches[at].position;
        sorted = sorted && position >= last;
        buffer_append(&b->positions, &position, sizeof position);
    }
    uint32_t *positions = (uint32_t *)(void *)b->positions.data;
    *n = (uint32_t)(b->positions.size / sizeof *positions);
    if (!sorted) qsort(positions, *n, sizeof *positions, ascending);
    return positions;
}

static void write_posting(sparse_builder *b, uint32_t term, const uint32_t *starts) {
    builder_term *t = &b->terms[term];
    const touch *first = &b->touches[t->touch];
    uint32_t n = 1, one, *positions = &one;
    bool positioned = first->ordinal < WEIGHT;
    if (first->next != NONE) positions = gather_positions(b, t, starts, &n);
    else if (positioned) one = starts[first->ordinal] + first->position;
    size_t room = segment_code_room(n) + 5;
    if (room > b->posting.capacity) buffer_reserve(&b->posting, room);
    uint8_t *bytes = (uint8_t *)b->posting.data;
    uint8_t *end = segment_put_varint(bytes, t->place - t->last_place);
    if (positioned) end = segment_put_code(end, positions, n);
    else if (first->ordinal == WEIGHT) *end++ = (uint8_t)first->position;
    add_posting(b, t, bytes, (size_t)(end - bytes));
    t->last_place = t->place;
}

static void look_up(sparse_builder *b) {
    for (size_t i = 0; i < b->n_notes + AHEAD; i++) {
        if (i < b->n_notes) {
            uint64_t entry = b->table[b->notes[i].hash & (b->table_size - 1)];
            const builder_term *t = entry ? &b->terms[(uint32_t)entry - 1] : NULL;
            __builtin_prefetch(t, 1); /* of NULL: nothing happens */
            if (t) __builtin_prefetch(t->inline_bytes, 1);
        }
        if (i < AHEAD) continue;
        const note *n = &b->notes[i - AHEAD];
        occur(b, find_term(b, (slice){b->text.data + n->start, n->size}, n->hash), n);
    }
    b->n_notes = 0;
    buffer_clear(&b->text);
}

static void take_note(sparse_builder *b, const char *prefix, size_t prefix_size, slice text, uint32_t ordinal,
                      uint32_t position) {
    char room[SPARSE_MAX_TERM];
    text = sparse_term_form(text, room);
    if (b->n_notes == NOTES) look_up(b);
    uint32_t start = (uint32_t)b->text.size, size = (uint32_t)(prefix_size + text.size);
    buffer_append(&b->text, prefix, prefix_size);
    buffer_append(&b->text, text.data, text.size);
    uint32_t hash = (uint32_t)hash64(b->text.data + start, size, 0);
    __builtin_prefetch(&b->table[hash & (b->table_size - 1)]);
    b->notes[b->n_notes++] = (note){hash, ordinal, start, size, position};
}

static void end_document(sparse_builder *b) {
    look_up(b);
    uint32_t starts[SPARSE_MAX_FIELDS], start = 0;
    for (uint32_t f = 0, ordinal = 0; b->count > 0 && f < b->config.n_fields; f++) {
        if (b->config.fields[f].kind != SPARSE_TEXT) continue;
        starts[ordinal++] = start;
        start += b->spans[f][b->count - 1];
    }
    for (size_t i = 0; i < b->n_touched; i++) write_posting(b, b->touched[i], starts);
    b->n_touches = b->n_touched = 0;
    b->n_positions = 0;
}

uint32_t sparse_builder_begin(sparse_builder *b) {
    end_document(b);
    assert(b->count < SEGMENT_MAX_COUNT);
    uint32_t place = b->count++;
    bool grow = b->count > b->capacity;
    if (grow) b->capacity = b->capacity ? 2 * b->capacity : 64;
    for (uint32_t f = 0; f < b->config.n_fields; f++) {
        if (b->config.fields[f].kind == SPARSE_TEXT) {
            if (grow) b->lengths[f] = mem_realloc(b->lengths[f], b->capacity * sizeof **b->lengths);
            if (grow) b->spans[f] = mem_realloc(b->spans[f], b->capacity * sizeof **b->spans);
            b->lengths[f][place] = b->spans[f][place] = 0;
            b->gap[f] = false;
        } else if (b->config.fields[f].kind == SPARSE_NUMBER) {
            if (grow) b->numbers[f] = mem_realloc(b->numbers[f], b->capacity * sizeof **b->numbers);
            b->numbers[f][place] = NAN;
        }
    }
    return place;
}

void sparse_builder_term(sparse_builder *b, uint32_t field, slice term) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_TEXT);
    const char text[] = {SPARSE_SPACE_TEXT}, between[] = {SPARSE_SPACE_GAP};
    uint32_t *span = &b->spans[field][b->count - 1], ordinal = b->ordinal[field];
    bool gap = b->gap[field] && *span > 0;
    if (SPARSE_MAX_TOKENS - b->n_positions < 1u + gap) return;
    b->n_positions += 1u + gap;
    b->gap[field] = false;
    if (gap) take_note(b, between, sizeof between, (slice){"", 0}, ordinal, (*span)++);
    take_note(b, text, sizeof text, term, ordinal, (*span)++);
    b->lengths[field][b->count - 1]++;
}

void sparse_builder_gap(sparse_builder *b, uint32_t field) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_TEXT);
    b->gap[field] = true;
}

void sparse_builder_keyword(sparse_builder *b, uint32_t field, slice value) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_KEYWORD);
    const char prefix[] = {SPARSE_SPACE_ATTRIBUTE, (char)field};
    take_note(b, prefix, sizeof prefix, value, NONE, 0);
}

void sparse_builder_number(sparse_builder *b, uint32_t field, double value) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_NUMBER);
    b->numbers[field][b->count - 1] = value;
}

void sparse_builder_weight(sparse_builder *b, uint32_t field, slice token, uint8_t weight) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_WEIGHTS && weight > 0);
    const char prefix[] = {SPARSE_SPACE_WEIGHT, (char)field};
    take_note(b, prefix, sizeof prefix, token, WEIGHT, weight);
}

uint32_t sparse_builder_count(const sparse_builder *b) { return b->count; }

size_t sparse_builder_bytes(const sparse_builder *b) {
    size_t per_place = 0;
    for (uint32_t f = 0; f < b->config.n_fields; f++) {
        per_place += (b->lengths[f] ? sizeof **b->lengths + sizeof **b->spans : 0);
        per_place += (b->numbers[f] ? sizeof **b->numbers : 0);
    }
    return arena_used(&b->memory) + b->terms_capacity * sizeof *b->terms + b->table_size * sizeof *b->table +
           b->touches_capacity * sizeof *b->touches + b->touched_capacity * sizeof *b->touched + b->text.capacity + b->capacity * per_place;
}

void sparse_builder_statistics(const sparse_builder *b, sparse_statistics *out) {
    *out = (sparse_statistics){.documents = b->count};
    for (uint32_t f = 0; f < b->config.n_fields; f++)
        for (uint32_t p = 0; b->lengths[f] && p < b->count; p++) {
            out->length[f] += b->lengths[f][p];
            out->having[f] += b->lengths[f][p] > 0;
        }
}

/* --- finishing --------------------------------------------------------------------------------------------------- */

/* Terms are sorted by their first eight bytes as a number, and rarely by more. */
typedef struct sorted_term {
    uint64_t prefix;
    const builder_term *term;
} sorted_term;

static int by_key(const void *a, const void *b) {
    const sorted_term *x = a, *y = b;
    if (x->prefix != y->prefix) return x->prefix < y->prefix ? -1 : 1;
    return slice_compare((slice){term_key(x->term), x->term->key_size}, (slice){term_key(y->term), y->term->key_size});
}

static sorted_term *sort_terms(const sparse_builder *b) {
    sorted_term *sorted = mem_alloc(b->n_terms * sizeof *sorted);
    for (size_t i = 0; i < b->n_terms; i++) {
        char first[8] = {0};
        memcpy(first, term_key(&b->terms[i]), b->terms[i].key_size < 8 ? b->terms[i].key_size : 8);
        uint64_t prefix;
        memcpy(&prefix, first, 8);
        sorted[i] = (sorted_term){__builtin_bswap64(prefix), &b->terms[i]};
    }
    qsort(sorted, b->n_terms, sizeof *sorted, by_key);
    return sorted;
}

typedef struct term_copy {
    segment_writer *writer;
    const uint32_t *moved; /* old place → new, or NONE */
    slice key;
    uint32_t place;
    bool started;
    buffer positions; /* u32 */
} term_copy;

/* The positions of the posting at p. */
static const uint8_t *read_positions(term_copy *c, const uint8_t *p, const uint8_t *end, uint32_t *n) {
    const uint8_t *code = p;
    p = segment_skip_code(p, end);
    assert(p);
    size_t room = (size_t)(p - code) * sizeof(uint32_t);
    if (room > c->positions.capacity) buffer_reserve(&c->positions, room);
    *n = segment_get_code(code, p, (uint32_t *)(void *)c->positions.data);
    assert(*n > 0);
    return p;
}

static void copy_postings(term_copy *c, const uint8_t *p, size_t size) {
    const uint8_t *end = p + size;
    while (p < end) {
        uint32_t n = 0;
        uint64_t gap = 0;
        p = segment_get_varint(p, end, &gap);
        uint8_t weight = 0;
        if (segment_has_positions(c->key.data[0])) p = read_positions(c, p, end, &n);
        else if (c->key.data[0] == SPARSE_SPACE_WEIGHT) weight = *p++;
        c->place += (uint32_t)gap;
        uint32_t place = c->moved[c->place];
        if (place == NONE) continue;
        if (!c->started) segment_writer_begin(c->writer, c->key);
        c->started = true;
        if (weight) segment_writer_weight(c->writer, place, weight);
        else segment_writer_posting(c->writer, place, (const uint32_t *)(const void *)c->positions.data, n);
    }
}

static void write_terms(const sparse_builder *b, const uint32_t *moved, segment_writer *w) {
    sorted_term *sorted = sort_terms(b);
    term_copy copy = {.writer = w, .moved = moved};
    for (size_t i = 0; i < b->n_terms; i++) {
        const builder_term *t = sorted[i].term;
        const char *soon = (const char *)sorted[i + AHEAD < b->n_terms ? i + AHEAD : i].term;
        __builtin_prefetch(soon);
        __builtin_prefetch(soon + sizeof *t / 2);
        copy.key = (slice){term_key(t), t->key_size};
        copy.place = 0;
        copy.started = false;
        copy_postings(&copy, t->inline_bytes, t->inline_used);
        for (const chunk *c = t->first; c; c = c->next)
            copy_postings(&copy, c->bytes, c == t->last ? (size_t)(t->end - c->bytes) : c->used);
        if (copy.started) segment_writer_end(w);
    }
    buffer_release(&copy.positions);
    free(sorted);
}

void sparse_builder_finish(sparse_builder *b, const uint32_t *document, const uint64_t *version,
                           const sparse_statistics *statistics, buffer *out) {
    end_document(b);
    uint32_t kept = 0, *moved = mem_alloc(b->count * sizeof *moved);
    for (uint32_t p = 0; p < b->count; p++) moved[p] = document[p] == UINT32_MAX ? NONE : kept++;

    segment_columns columns;
    segment_columns_init(&columns, &b->config, kept);
    for (uint32_t p = 0; p < b->count; p++) {
        if (moved[p] == NONE) continue;
        columns.documents[moved[p]] = document[p];
        columns.versions[moved[p]] = version[p];
        for (uint32_t f = 0; f < b->config.n_fields; f++) {
            if (columns.lengths[f]) columns.lengths[f][moved[p]] = b->lengths[f][p];
            if (columns.spans[f]) columns.spans[f][moved[p]] = b->spans[f][p];
            if (columns.numbers[f]) columns.numbers[f][moved[p]] = b->numbers[f][p];
        }
    }
    segment_writer *w = segment_writer_create(&b->config, &columns, statistics);
    write_terms(b, moved, w);
    segment_writer_finish(w, out);
    segment_writer_destroy(w);
    segment_columns_release(&columns);
    free(moved);
}
