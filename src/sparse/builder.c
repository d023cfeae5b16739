/* Documents to postings in memory: a hash table of terms, each with a growing string of bytes.
 *
 * Nearly all time would go into waiting for memory, so a document's words are only noted at first, and looked up
 * together when the places to look at have had time to arrive. A posting is written once, when its document ends, in
 * the form that it will have in the segment: gap to the last place, then the frequencies. */
#include "sparse/builder.h"

#include "base/hash.h"
#include "sparse/segment_write.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#define NONE UINT32_MAX

enum {
    INLINE_KEY = 27,
    INLINE_BYTES = 40,
    FIRST_CHUNK = 64,
    LARGEST_CHUNK = 4096,
    MAX_POSTING = SEGMENT_MAX_CODE + 10,
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
    uint32_t place; /* of the document that `touch` belongs to */
    uint32_t touch;
    uint16_t key_size, room; /* bytes left in the last chunk */
    uint8_t inline_used;
    char inline_key[INLINE_KEY];
    uint32_t hash;
    uint32_t last_place;  /* of the last posting written */
    const char *long_key; /* a key that is not inline */
    chunk *first, *last;
    uint8_t *end; /* of what is written in the last chunk */
    uint8_t inline_bytes[INLINE_BYTES];
} builder_term;

/* A word that has not been looked up yet. */
typedef struct note {
    uint32_t hash, ordinal; /* ordinal NONE: a keyword */
    uint32_t start, size;   /* of its key in `text` */
} note;

static const char *term_key(const builder_term *t) { return t->key_size <= INLINE_KEY ? t->inline_key : t->long_key; }

/* A term's occurrences in one field of the current document. */
typedef struct touch {
    uint32_t term, ordinal; /* ordinal NONE: a keyword */
    uint32_t tf;
    uint32_t next; /* the same term in another field; NONE: no more */
    bool first;    /* of its chain */
} touch;

struct sparse_builder {
    sparse_config config;
    arena names, memory;
    uint32_t ordinal[SPARSE_MAX_FIELDS]; /* of text fields */
    uint32_t n_text;
    unsigned ordinal_bits;

    builder_term *terms;
    size_t n_terms, terms_capacity;
    uint64_t *table; /* hash << 32 | term + 1, or 0; linear probing */
    size_t table_size;

    note notes[NOTES];
    size_t n_notes;
    buffer text; /* keys of the notes */
    touch *touches;
    size_t n_touches, touches_capacity;

    uint32_t count;
    size_t capacity; /* of the arrays per place */
    uint32_t *lengths[SPARSE_MAX_FIELDS];
    double *numbers[SPARSE_MAX_FIELDS];
    uint8_t *kept[SPARSE_MAX_FIELDS];  /* forward tokens, as in segment_columns */
    buffer forward[SPARSE_MAX_FIELDS]; /* u16 each, place after place */
    bool gap[SPARSE_MAX_FIELDS];       /* before the field's next token */
};

sparse_builder *sparse_builder_create(const sparse_config *config) {
    sparse_builder *b = mem_zalloc(1, sizeof *b);
    arena_init(&b->names, 4096);
    arena_init(&b->memory, 1 << 20);
    sparse_config_copy(config, &b->names, &b->config);
    for (uint32_t f = 0; f < config->n_fields; f++)
        if (config->fields[f].kind == SPARSE_TEXT) b->ordinal[f] = b->n_text++;
    b->ordinal_bits = segment_ordinal_bits(b->n_text);
    b->table_size = 1024;
    b->table = mem_zalloc(b->table_size, sizeof *b->table);
    return b;
}

void sparse_builder_destroy(sparse_builder *b) {
    if (!b) return;
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) {
        free(b->lengths[f]);
        free(b->numbers[f]);
        free(b->kept[f]);
        buffer_release(&b->forward[f]);
    }
    buffer_release(&b->text);
    free(b->touches);
    free(b->table);
    free(b->terms);
    arena_release(&b->memory);
    arena_release(&b->names);
    free(b);
}

void sparse_builder_reset(sparse_builder *b) {
    arena_reset(&b->memory);
    buffer_clear(&b->text);
    for (uint32_t f = 0; f < SPARSE_MAX_FIELDS; f++) buffer_clear(&b->forward[f]);
    b->n_terms = b->n_touches = b->n_notes = 0;
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
        t->room = (uint16_t)wanted;
    }
    memcpy(t->end, bytes, size);
    t->end += size;
    t->room = (uint16_t)(t->room - size);
}

/* --- one document ------------------------------------------------------------------------------------------------ */

static void add_touch(sparse_builder *b, builder_term *t, uint32_t term, uint32_t ordinal, bool first) {
    b->touches = mem_grow(b->touches, &b->touches_capacity, b->n_touches + 1, sizeof *b->touches);
    b->touches[b->n_touches] = (touch){
        .term = term, .ordinal = ordinal, .tf = 1, .next = first ? NONE : t->touch, .first = first};
    t->touch = (uint32_t)b->n_touches++;
}

/* Links a further field behind the first touch of the chain, so that the chain's head stays where it is. */
static void occur(sparse_builder *b, uint32_t term, uint32_t ordinal) {
    builder_term *t = &b->terms[term];
    uint32_t place = b->count - 1;
    if (t->place != place) {
        t->place = place;
        add_touch(b, t, term, ordinal, true);
        __builtin_prefetch(t->end, 1); /* where the posting will be written */
        return;
    }
    for (uint32_t i = t->touch; i != NONE; i = b->touches[i].next) {
        if (b->touches[i].ordinal != ordinal) continue;
        b->touches[i].tf += ordinal != NONE && b->touches[i].tf < UINT32_MAX - 1;
        return;
    }
    uint32_t head = t->touch, rest = b->touches[head].next;
    add_touch(b, t, term, ordinal, false);
    b->touches[t->touch].next = rest;
    b->touches[head].next = t->touch;
    t->touch = head;
}

static void write_posting(sparse_builder *b, const touch *head) {
    builder_term *t = &b->terms[head->term];
    segment_frequency f[SPARSE_MAX_FIELDS];
    uint32_t n = 0;
    for (const touch *o = head; head->ordinal != NONE; o = &b->touches[o->next]) {
        uint32_t at = n++;
        for (; at > 0 && f[at - 1].ordinal > o->ordinal; at--) f[at] = f[at - 1];
        f[at] = (segment_frequency){o->ordinal, o->tf};
        if (o->next == NONE) break;
    }
    uint8_t bytes[MAX_POSTING];
    uint8_t *end = segment_put_varint(bytes, t->place - t->last_place);
    if (n > 0) end = segment_put_frequencies(end, b->ordinal_bits, f, n);
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
        occur(b, find_term(b, (slice){b->text.data + n->start, n->size}, n->hash), n->ordinal);
    }
    b->n_notes = 0;
    buffer_clear(&b->text);
}

/* Returns the hash of the key. */
static uint32_t take_note(sparse_builder *b, const char *prefix, size_t prefix_size, slice text, uint32_t ordinal) {
    char room[SPARSE_MAX_TERM];
    text = sparse_term_form(text, room);
    if (b->n_notes == NOTES) look_up(b);
    uint32_t start = (uint32_t)b->text.size, size = (uint32_t)(prefix_size + text.size);
    buffer_append(&b->text, prefix, prefix_size);
    buffer_append(&b->text, text.data, text.size);
    uint32_t hash = (uint32_t)hash64(b->text.data + start, size, 0);
    __builtin_prefetch(&b->table[hash & (b->table_size - 1)]);
    b->notes[b->n_notes++] = (note){hash, ordinal, start, size};
    return hash;
}

static void end_document(sparse_builder *b) {
    look_up(b);
    for (size_t i = 0; i < b->n_touches; i++)
        if (b->touches[i].first) write_posting(b, &b->touches[i]);
    b->n_touches = 0;
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
            if (grow) b->kept[f] = mem_realloc(b->kept[f], b->capacity * sizeof **b->kept);
            b->lengths[f][place] = 0;
            b->kept[f][place] = 0;
            b->gap[f] = false;
        } else if (b->config.fields[f].kind == SPARSE_NUMBER) {
            if (grow) b->numbers[f] = mem_realloc(b->numbers[f], b->capacity * sizeof **b->numbers);
            b->numbers[f][place] = NAN;
        }
    }
    return place;
}

static void keep_token(sparse_builder *b, uint32_t field, uint16_t token) {
    buffer *forward = &b->forward[field];
    uint8_t *kept = &b->kept[field][b->count - 1];
    const uint16_t tokens[2] = {SPARSE_FORWARD_GAP, token};
    unsigned n = b->gap[field] && *kept > 0 ? 2 : 1;
    b->gap[field] = false;
    if (*kept + n > SPARSE_FORWARD) { /* or cut already */
        *kept |= SEGMENT_FORWARD_CUT;
        return;
    }
    if (forward->size + sizeof tokens > forward->capacity) buffer_reserve(forward, sizeof tokens);
    memcpy(forward->data + forward->size, tokens + 2 - n, n * sizeof *tokens);
    forward->size += n * sizeof *tokens;
    *kept = (uint8_t)(*kept + n);
}

void sparse_builder_term(sparse_builder *b, uint32_t field, slice term) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_TEXT);
    const char prefix[] = {SPARSE_SPACE_TEXT};
    uint32_t hash = take_note(b, prefix, sizeof prefix, term, b->ordinal[field]);
    keep_token(b, field, segment_forward_token(hash));
    b->lengths[field][b->count - 1]++;
}

void sparse_builder_gap(sparse_builder *b, uint32_t field) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_TEXT);
    b->gap[field] = true;
}

void sparse_builder_keyword(sparse_builder *b, uint32_t field, slice value) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_KEYWORD);
    const char prefix[] = {SPARSE_SPACE_ATTRIBUTE, (char)field};
    take_note(b, prefix, sizeof prefix, value, NONE);
}

void sparse_builder_number(sparse_builder *b, uint32_t field, double value) {
    assert(b->count > 0 && field < b->config.n_fields && b->config.fields[field].kind == SPARSE_NUMBER);
    b->numbers[field][b->count - 1] = value;
}

uint32_t sparse_builder_count(const sparse_builder *b) { return b->count; }

size_t sparse_builder_bytes(const sparse_builder *b) {
    size_t per_place = 0, forward = 0;
    for (uint32_t f = 0; f < b->config.n_fields; f++) {
        per_place += (b->lengths[f] ? sizeof **b->lengths + sizeof **b->kept : 0);
        per_place += (b->numbers[f] ? sizeof **b->numbers : 0);
        forward += b->forward[f].capacity;
    }
    return arena_used(&b->memory) + forward + b->terms_capacity * sizeof *b->terms + b->table_size * sizeof *b->table +
           b->touches_capacity * sizeof *b->touches + b->text.capacity + b->capacity * per_place;
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
    uint32_t n_text, place;
    bool started;
} term_copy;

static void copy_postings(term_copy *c, const uint8_t *p, size_t size) {
    const uint8_t *end = p + size;
    while (p < end) {
        segment_frequency f[SPARSE_MAX_FIELDS];
        uint32_t n = 0;
        uint64_t gap = 0;
        p = segment_get_varint(p, end, &gap);
        if (p && c->key.data[0] == SPARSE_SPACE_TEXT) p = segment_get_frequencies(p, end, c->n_text, f, &n);
        assert(p);
        c->place += (uint32_t)gap;
        uint32_t place = c->moved[c->place];
        if (place == NONE) continue;
        if (!c->started) segment_writer_begin(c->writer, c->key);
        c->started = true;
        segment_writer_posting(c->writer, place, f, n);
    }
}

static void write_terms(const sparse_builder *b, const uint32_t *moved, segment_writer *w) {
    sorted_term *sorted = sort_terms(b);
    for (size_t i = 0; i < b->n_terms; i++) {
        const builder_term *t = sorted[i].term;
        term_copy copy = {.writer = w, .moved = moved, .key = {term_key(t), t->key_size}, .n_text = b->n_text};
        copy_postings(&copy, t->inline_bytes, t->inline_used);
        for (const chunk *c = t->first; c; c = c->next)
            copy_postings(&copy, c->bytes, c == t->last ? (size_t)(t->end - c->bytes) : c->used);
        if (copy.started) segment_writer_end(w);
    }
    free(sorted);
}

/* The forward tokens of the places that stay, one after the other. */
static void copy_forward(const sparse_builder *b, uint32_t field, const uint32_t *moved, segment_columns *columns) {
    const uint16_t *from = (const uint16_t *)(const void *)b->forward[field].data;
    for (uint32_t p = 0; p < b->count; p++) {
        uint32_t n = b->kept[field][p] & ~SEGMENT_FORWARD_CUT;
        if (moved[p] != NONE) segment_columns_forward(columns, field, moved[p], b->kept[field][p], from);
        if (n > 0) from += n;
    }
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
            if (columns.numbers[f]) columns.numbers[f][moved[p]] = b->numbers[f][p];
        }
    }
    for (uint32_t f = 0; f < b->config.n_fields; f++)
        if (columns.kept[f]) copy_forward(b, f, moved, &columns);
    segment_writer *w = segment_writer_create(&b->config, &columns, statistics);
    write_terms(b, moved, w);
    segment_writer_finish(w, out);
    segment_writer_destroy(w);
    segment_columns_release(&columns);
    free(moved);
}
