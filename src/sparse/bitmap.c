/* Compressed sets: making, checking and asking. A builder gathers one chunk as words and gives each away in its smallest
 * form, so that no set has to be made smaller later. */
#include "sparse/bitmap_chunks.h"

#include "base/bytes.h"

#include <assert.h>
#include <stdlib.h>

enum { HEADER = 32, VERSION = 1 };
#define MAGIC 0x4d426f46u /* "FoBM" */

/* --- building ---------------------------------------------------------------------------------------------------- */

bitmap_builder *bitmap_builder_create(void) {
    bitmap_builder *b = mem_zalloc(1, sizeof *b);
    b->low = CHUNK_WORDS;
    return b;
}

static size_t padded(size_t size) { return (size + 7) / 8 * 8; }

static size_t elements_size(uint8_t kind, uint32_t elements) {
    return kind == CHUNK_ARRAY ? elements * sizeof(uint16_t)
                               : elements * (kind == CHUNK_RUNS ? sizeof(bitmap_run) : sizeof(uint64_t));
}

/* The smallest container of so many members in so many runs; equal ones in the order array, bits, runs. */
static uint8_t best_kind(uint32_t members, uint32_t runs) {
    uint8_t kind = members <= CHUNK_ARRAY_MOST ? CHUNK_ARRAY : CHUNK_BITS;
    size_t size = kind == CHUNK_ARRAY ? members * sizeof(uint16_t) : CHUNK_WORDS * sizeof(uint64_t);
    return runs * sizeof(bitmap_run) < size ? CHUNK_RUNS : kind;
}

/* Appends a chunk and returns room for its elements. */
static void *add_chunk(bitmap_builder *b, uint32_t key, uint8_t kind, uint32_t members, uint32_t elements) {
    bitmap_chunk chunk = {
        .key = (uint16_t)key,
        .kind = kind,
        .members_minus_1 = (uint16_t)(members - 1),
        .elements_minus_1 = (uint16_t)(elements - 1),
        .at = (uint32_t)(b->elements.size / 8),
        .before = (uint32_t)b->cardinality,
    };
    size_t size = elements_size(kind, elements), room = padded(size);
    buffer_append(&b->chunks, &chunk, sizeof chunk);
    char *to = buffer_reserve(&b->elements, room);
    memset(to + size, 0, room - size);
    b->elements.size += room;
    b->cardinality += members;
    return to;
}

static void list_words(const uint64_t *words, uint32_t low, uint32_t high, uint16_t *to) {
    for (uint32_t i = low; i <= high; i++) {
        for (uint64_t word = words[i]; word; word &= word - 1) *to++ = (uint16_t)(i * 64 + (uint32_t)__builtin_ctzll(word));
    }
}

/* Where a run that begins at `bit` ends. */
static uint32_t run_end(const uint64_t *words, uint32_t bit) {
    uint32_t i = bit >> 6;
    uint64_t gaps = ~words[i] & bits_from(bit);
    while (!gaps && ++i < CHUNK_WORDS) gaps = ~words[i];
    return i < CHUNK_WORDS ? i * 64 + (uint32_t)__builtin_ctzll(gaps) - 1 : CHUNK_WORDS * 64 - 1;
}

static void list_runs(const uint64_t *words, uint32_t low, uint32_t high, bitmap_run *to) {
    for (uint32_t i = low; i <= high; i++) {
        uint64_t word = words[i];
        while (word) {
            uint32_t first = i * 64 + (uint32_t)__builtin_ctzll(word), last = run_end(words, first);
            *to++ = (bitmap_run){(uint16_t)first, (uint16_t)last};
            if (last / 64 != i) {
                i = last / 64;
                word = i <= high ? words[i] : 0;
            }
            word &= last % 64 == 63 ? 0 : bits_from(last + 1);
        }
    }
}

void bitmap_builder_flush(bitmap_builder *b) {
    if (b->low > b->high) return;
    uint32_t n = b->high - b->low + 1;
    uint64_t *words = b->words + b->low;
    uint32_t members = (uint32_t)words_count(words, n);
    if (members > 0) {
        uint32_t runs = words_runs(words, n);
        uint8_t kind = best_kind(members, runs);
        uint32_t elements = kind == CHUNK_ARRAY ? members : kind == CHUNK_RUNS ? runs : CHUNK_WORDS;
        void *to = add_chunk(b, b->key, kind, members, elements);
        if (kind == CHUNK_ARRAY) list_words(b->words, b->low, b->high, to);
        else if (kind == CHUNK_RUNS) list_runs(b->words, b->low, b->high, to);
        else memcpy(to, b->words, sizeof b->words);
    }
    memset(words, 0, n * sizeof *words);
    b->low = CHUNK_WORDS;
    b->high = 0;
}

void bitmap_builder_array(bitmap_builder *b, uint32_t key, const uint16_t *values, uint32_t n) {
    uint32_t runs = 1;
    for (uint32_t i = 1; i < n; i++) runs += values[i] != values[i - 1] + 1;
    uint8_t kind = best_kind(n, runs);
    if (kind == CHUNK_ARRAY) {
        memcpy(add_chunk(b, key, kind, n, n), values, n * sizeof *values);
    } else if (kind == CHUNK_RUNS) {
        bitmap_run *to = add_chunk(b, key, kind, n, runs);
        *to = (bitmap_run){values[0], values[0]};
        for (uint32_t i = 1; i < n; i++) {
            if (values[i] == values[i - 1] + 1) to->last = values[i];
            else *++to = (bitmap_run){values[i], values[i]};
        }
    } else {
        uint64_t *to = add_chunk(b, key, kind, n, CHUNK_WORDS);
        memset(to, 0, CHUNK_WORDS * sizeof *to);
        for (uint32_t i = 0; i < n; i++) to[values[i] >> 6] |= (uint64_t)1 << (values[i] & 63);
    }
}

void bitmap_builder_runs(bitmap_builder *b, uint32_t key, const bitmap_run *runs, uint32_t n) {
    uint32_t members = 0;
    for (uint32_t i = 0; i < n; i++) members += (uint32_t)runs[i].last - runs[i].first + 1;
    if (best_kind(members, n) == CHUNK_RUNS) {
        memcpy(add_chunk(b, key, CHUNK_RUNS, members, n), runs, n * sizeof *runs);
        return;
    }
    b->key = key;
    b->low = runs[0].first >> 6;
    b->high = runs[n - 1].last >> 6;
    for (uint32_t i = 0; i < n; i++) words_set(b->words, runs[i].first, runs[i].last);
    bitmap_builder_flush(b);
}

void bitmap_builder_copy(bitmap_builder *b, const bitmap *set, const bitmap_chunk *c) {
    void *to = add_chunk(b, c->key, c->kind, chunk_members(c), chunk_elements(c));
    memcpy(to, set->bytes + (size_t)c->at * 8, elements_size(c->kind, chunk_elements(c)));
}

/* Makes the words those of the chunk of `value`, and lets them reach from its word to that of `last`. */
static inline void reach(bitmap_builder *b, uint32_t value, uint32_t last) {
    if (value >> 16 != b->key) {
        bitmap_builder_flush(b);
        b->key = value >> 16;
    }
    uint32_t low = (value & 0xffff) >> 6, high = (last & 0xffff) >> 6;
    if (low < b->low) b->low = low;
    if (high > b->high) b->high = high;
}

void bitmap_builder_add(bitmap_builder *b, uint32_t value) {
    assert(value >= b->next);
    reach(b, value, value);
    b->words[(value & 0xffff) >> 6] |= (uint64_t)1 << (value & 63);
    b->next = (uint64_t)value + 1;
}

void bitmap_builder_add_range(bitmap_builder *b, uint32_t first, uint32_t last) {
    assert(first >= b->next && first <= last);
    for (uint64_t at = first; at <= last;) {
        uint32_t end = (uint32_t)at | 0xffff;
        if (end > last) end = last;
        reach(b, (uint32_t)at, end);
        words_set(b->words, (uint32_t)at & 0xffff, end & 0xffff);
        at = (uint64_t)end + 1;
    }
    b->next = (uint64_t)last + 1;
}

bitmap *bitmap_builder_finish(bitmap_builder *b) {
    bitmap_builder_flush(b);
    size_t table = b->chunks.size, size = HEADER + table + b->elements.size;
    uint32_t n_chunks = (uint32_t)(table / sizeof(bitmap_chunk));
    bitmap *made = mem_alloc(sizeof *made + size);
    uint8_t *bytes = (uint8_t *)(made + 1);
    bitmap_chunk *chunks = (bitmap_chunk *)(void *)(bytes + HEADER);
    store_le32(bytes, MAGIC);
    store_le32(bytes + 4, VERSION);
    store_le32(bytes + 8, n_chunks);
    store_le32(bytes + 12, 0);
    store_le64(bytes + 16, b->cardinality);
    store_le64(bytes + 24, size);
    if (table > 0) {
        memcpy(chunks, b->chunks.data, table);
        memcpy(bytes + HEADER + table, b->elements.data, b->elements.size);
    }
    for (uint32_t i = 0; i < n_chunks; i++) chunks[i].at += (uint32_t)((HEADER + table) / 8);
    *made = (bitmap){bytes, size, chunks, n_chunks, b->cardinality, true};
    buffer_release(&b->chunks);
    buffer_release(&b->elements);
    free(b);
    return made;
}

bitmap *bitmap_of_values(const uint32_t *values, size_t n) {
    bitmap_builder *b = bitmap_builder_create();
    for (size_t i = 0; i < n; i++) bitmap_builder_add(b, values[i]);
    return bitmap_builder_finish(b);
}

bitmap *bitmap_of_flat(const uint64_t *words, uint32_t count) {
    bitmap_builder *b = bitmap_builder_create();
    for (uint64_t at = 0; at < count; at += (uint64_t)CHUNK_WORDS * 64) {
        uint32_t left = count - (uint32_t)at < CHUNK_WORDS * 64 ? count - (uint32_t)at : CHUNK_WORDS * 64;
        uint32_t n = (left + 63) / 64;
        b->key = (uint32_t)(at >> 16);
        b->low = 0;
        b->high = n - 1;
        memcpy(b->words, words + at / 64, n * sizeof *words);
        b->words[n - 1] &= bits_up_to(left - 1);
        bitmap_builder_flush(b);
    }
    return bitmap_builder_finish(b);
}

/* --- opening ----------------------------------------------------------------------------------------------------- */

static bool check_array(const uint16_t *values, uint32_t n, uint32_t *runs) {
    uint32_t bad = 0;
    *runs = 1;
    for (uint32_t i = 1; i < n; i++) {
        bad |= values[i] <= values[i - 1];
        *runs += values[i] != values[i - 1] + 1;
    }
    return !bad;
}

static bool check_runs(const bitmap_run *runs, uint32_t n, uint32_t members) {
    uint32_t counted = 0;
    for (uint32_t i = 0; i < n; i++) {
        if (runs[i].last < runs[i].first || (i > 0 && runs[i].first <= runs[i - 1].last + 1)) return false;
        counted += (uint32_t)runs[i].last - runs[i].first + 1;
    }
    return counted == members;
}

/* The container's elements are what its row says, and no other kind would have been chosen. */
static bool check_chunk(const bitmap *b, const bitmap_chunk *c) {
    uint32_t members = chunk_members(c), elements = chunk_elements(c), runs = elements;
    switch (c->kind) {
    case CHUNK_ARRAY:
        if (elements != members || !check_array(chunk_values(b, c), elements, &runs)) return false;
        break;
    case CHUNK_BITS:
        if (words_count(chunk_words(b, c), CHUNK_WORDS) != members) return false;
        runs = words_runs(chunk_words(b, c), CHUNK_WORDS);
        break;
    default:
        if (!check_runs(chunk_runs(b, c), elements, members)) return false;
    }
    return best_kind(members, runs) == c->kind;
}

/* Containers lie one behind the other, so a place says nothing that the sizes before do not. */
static bool check_chunks(const bitmap *b, uint64_t cardinality) {
    size_t at = HEADER + (size_t)b->n_chunks * sizeof(bitmap_chunk);
    uint64_t before = 0;
    for (uint32_t i = 0; i < b->n_chunks; i++) {
        const bitmap_chunk *c = &b->chunks[i];
        if (c->kind < CHUNK_ARRAY || c->kind > CHUNK_RUNS || c->zero != 0) return false;
        if (c->kind == CHUNK_BITS && chunk_elements(c) != CHUNK_WORDS) return false;
        if ((i > 0 && c->key <= b->chunks[i - 1].key) || (uint64_t)c->at * 8 != at || c->before != before) return false;
        size_t size = elements_size(c->kind, chunk_elements(c)), room = padded(size);
        if (room > b->size - at) return false;
        for (size_t z = size; z < room; z++)
            if (b->bytes[at + z] != 0) return false;
        if (!check_chunk(b, c)) return false;
        at += room;
        before += chunk_members(c);
    }
    return at == b->size && before == cardinality;
}

forage_status bitmap_open(slice bytes, bitmap **out, base_error *error) {
    const uint8_t *p = (const uint8_t *)bytes.data;
    if (bytes.size < HEADER || load_le32(p) != MAGIC)
        return error_set(error, FORAGE_E_CORRUPT, "bitmap: %zu bytes that are none", bytes.size);
    if (load_le32(p + 4) != VERSION)
        return error_set(error, FORAGE_E_VERSION, "bitmap: version %u; this program reads %d", load_le32(p + 4), VERSION);
    uint32_t n = load_le32(p + 8);
    if ((uintptr_t)p % 8 != 0 || load_le32(p + 12) != 0 || load_le64(p + 24) != bytes.size ||
        n > (bytes.size - HEADER) / sizeof(bitmap_chunk))
        return error_set(error, FORAGE_E_CORRUPT, "bitmap: the header does not fit %zu bytes", bytes.size);
    bitmap set = {p, bytes.size, (const bitmap_chunk *)(const void *)(p + HEADER), n, load_le64(p + 16), false};
    if (!check_chunks(&set, set.cardinality))
        return error_set(error, FORAGE_E_CORRUPT, "bitmap: a container of %u is damaged", n);
    *out = mem_alloc(sizeof **out);
    **out = set;
    return FORAGE_OK;
}

slice bitmap_bytes(const bitmap *b) { return (slice){(const char *)b->bytes, b->size}; }

void bitmap_destroy(bitmap *b) { free(b); }

/* --- asking ------------------------------------------------------------------------------------------------------ */

uint64_t bitmap_cardinality(const bitmap *b) { return b->cardinality; }

size_t bitmap_memory(const bitmap *b) { return sizeof *b + (b->own ? b->size : 0); }

bool bitmap_equal(const bitmap *a, const bitmap *b) {
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

uint32_t bitmap_find_chunk(const bitmap *b, uint32_t key) {
    uint32_t low = 0, high = b->n_chunks;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (b->chunks[middle].key < key) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* How many values are below `value`. */
static uint32_t array_rank(const uint16_t *values, uint32_t n, uint32_t value) {
    uint32_t low = 0;
    while (low < n) {
        uint32_t middle = low + (n - low) / 2;
        if (values[middle] < value) low = middle + 1;
        else n = middle;
    }
    return low;
}

/* How many runs end below `value`. */
static uint32_t run_rank(const bitmap_run *runs, uint32_t n, uint32_t value) {
    uint32_t low = 0;
    while (low < n) {
        uint32_t middle = low + (n - low) / 2;
        if (runs[middle].last < value) low = middle + 1;
        else n = middle;
    }
    return low;
}

bool bitmap_contains(const bitmap *b, uint32_t value) {
    uint32_t i = bitmap_find_chunk(b, value >> 16), low = value & 0xffff;
    if (i == b->n_chunks || b->chunks[i].key != value >> 16) return false;
    const bitmap_chunk *c = &b->chunks[i];
    uint32_t n = chunk_elements(c);
    if (c->kind == CHUNK_BITS) return chunk_words(b, c)[low >> 6] >> (low & 63) & 1;
    if (c->kind == CHUNK_ARRAY) {
        uint32_t at = array_rank(chunk_values(b, c), n, low);
        return at < n && chunk_values(b, c)[at] == low;
    }
    uint32_t at = run_rank(chunk_runs(b, c), n, low);
    return at < n && chunk_runs(b, c)[at].first <= low;
}

static uint64_t chunk_rank(const bitmap *b, const bitmap_chunk *c, uint32_t low) {
    uint32_t n = chunk_elements(c);
    if (c->kind == CHUNK_ARRAY) return array_rank(chunk_values(b, c), n, low);
    if (c->kind == CHUNK_BITS) return low == 0 ? 0 : words_count_range(chunk_words(b, c), 0, low - 1);
    const bitmap_run *runs = chunk_runs(b, c);
    uint64_t rank = 0;
    for (uint32_t i = 0; i < n && runs[i].first < low; i++)
        rank += (runs[i].last < low ? (uint32_t)runs[i].last + 1 : low) - runs[i].first;
    return rank;
}

uint64_t bitmap_rank(const bitmap *b, uint64_t value) {
    if (value > UINT32_MAX) return b->cardinality;
    uint32_t i = bitmap_find_chunk(b, (uint32_t)value >> 16);
    if (i == b->n_chunks) return b->cardinality;
    uint64_t rank = b->chunks[i].before;
    if (b->chunks[i].key == value >> 16) rank += chunk_rank(b, &b->chunks[i], (uint32_t)value & 0xffff);
    return rank;
}

uint64_t bitmap_range_cardinality(const bitmap *b, uint64_t from, uint64_t to) {
    return from < to ? bitmap_rank(b, to) - bitmap_rank(b, from) : 0;
}

static uint32_t chunk_select(const bitmap *b, const bitmap_chunk *c, uint32_t i) {
    if (c->kind == CHUNK_ARRAY) return chunk_values(b, c)[i];
    if (c->kind == CHUNK_RUNS) {
        const bitmap_run *run = chunk_runs(b, c);
        for (uint32_t r = 1; r < chunk_elements(c) && i > (uint32_t)run->last - run->first; r++, run++)
            i -= (uint32_t)run->last - run->first + 1;
        return (run->first + i) & 0xffff;
    }
    const uint64_t *words = chunk_words(b, c);
    uint32_t w = 0, ones;
    while (w < CHUNK_WORDS - 1 && i >= (ones = word_ones(words[w]))) {
        i -= ones;
        w++;
    }
    uint64_t word = words[w];
    while (i-- > 0) word &= word - 1;
    return w * 64 + (word ? (uint32_t)__builtin_ctzll(word) : 63);
}

bool bitmap_select(const bitmap *b, uint64_t i, uint32_t *out) {
    if (i >= b->cardinality) return false;
    uint32_t low = 0, high = b->n_chunks; /* the last chunk with `before` <= i */
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (b->chunks[middle].before <= i) low = middle;
        else high = middle;
    }
    const bitmap_chunk *c = &b->chunks[low];
    *out = (uint32_t)c->key << 16 | chunk_select(b, c, (uint32_t)(i - c->before));
    return true;
}

/* --- walking ----------------------------------------------------------------------------------------------------- */

void bitmap_walk_start(bitmap_walk *w, const bitmap *b, uint32_t from) {
    *w = (bitmap_walk){.set = b, .container = bitmap_find_chunk(b, from >> 16)};
    if (w->container == b->n_chunks || b->chunks[w->container].key != from >> 16) return;
    const bitmap_chunk *c = &b->chunks[w->container];
    uint32_t low = from & 0xffff, n = chunk_elements(c);
    if (c->kind == CHUNK_ARRAY) {
        w->element = array_rank(chunk_values(b, c), n, low);
    } else if (c->kind == CHUNK_BITS) {
        w->element = low >> 6;
        w->inside = low & 63;
    } else {
        const bitmap_run *runs = chunk_runs(b, c);
        w->element = run_rank(runs, n, low);
        if (w->element < n && runs[w->element].first < low) w->inside = low - runs[w->element].first;
    }
}

/* The next member's low half within the container; false at its end. */
static bool next_in_chunk(bitmap_walk *w, const bitmap_chunk *c, uint32_t *low) {
    uint32_t n = chunk_elements(c);
    if (c->kind == CHUNK_ARRAY) {
        if (w->element >= n) return false;
        *low = chunk_values(w->set, c)[w->element++];
        return true;
    }
    if (c->kind == CHUNK_RUNS) {
        if (w->element >= n) return false;
        const bitmap_run *run = &chunk_runs(w->set, c)[w->element];
        *low = (run->first + w->inside++) & 0xffff;
        if (*low >= run->last) {
            w->element++;
            w->inside = 0;
        }
        return true;
    }
    for (; w->element < n; w->element++, w->inside = 0) {
        uint64_t word = w->inside < 64 ? chunk_words(w->set, c)[w->element] & bits_from(w->inside) : 0;
        if (!word) continue;
        uint32_t bit = (uint32_t)__builtin_ctzll(word);
        *low = w->element * 64 + bit;
        w->inside = bit + 1;
        return true;
    }
    return false;
}

bool bitmap_walk_next(bitmap_walk *w, uint32_t *value) {
    uint32_t low;
    for (; w->container < w->set->n_chunks; w->container++, w->element = w->inside = 0) {
        const bitmap_chunk *c = &w->set->chunks[w->container];
        if (!next_in_chunk(w, c, &low)) continue;
        *value = (uint32_t)c->key << 16 | low;
        return true;
    }
    return false;
}
