/* The dictionary and the postings of an open segment.
 *
 * segment_check_terms reads every entry once when an image is opened; what it has accepted is decoded without checks
 * later. Positions alone are checked whenever they are read, because few readers want them. */
#include "sparse/segment_image.h"

#include "base/bytes.h"
#include "sparse/pack_values.h"

enum { AT, POSTINGS, POSITIONS, BLOCKS }; /* sparse_term_walk.state, segment_entry: offsets in those sections */

/* Codes that are impacts themselves: of tokens with weights. The one class is of every place. */
#define FOUR(N) N, N + 1, N + 2, N + 3
#define SIXTEEN(N) FOUR(N), FOUR(N + 4), FOUR(N + 8), FOUR(N + 12)
#define SIXTY_FOUR(N) SIXTEEN(N), SIXTEEN(N + 16), SIXTEEN(N + 32), SIXTEEN(N + 48)
static const uint8_t all_bytes[256] = {SIXTY_FOUR(0), SIXTY_FOUR(64), SIXTY_FOUR(128), SIXTY_FOUR(192)};
static const sparse_impacts given = {.classes = all_bytes, .rows = all_bytes, .mask = 255};

static void go_to(sparse_term_walk *w, uint64_t entries) {
    const segment_entries *e = &w->segment->dictionary[entries];
    w->ordinal = (uint32_t)(entries * SEGMENT_TERMS);
    for (unsigned i = 0; i < 4; i++) w->state[i] = segment_entry(e, i);
}

/* --- checking ---------------------------------------------------------------------------------------------------- */

/* The block's n places are >= base, ascend and end at `last`. A gap so large that the sum wraps breaks the ascent. */
static bool check_places(const uint32_t *places, uint32_t n, uint32_t base, uint32_t last) {
    uint32_t bad = places[0] < base || places[n - 1] != last;
    for (uint32_t i = 1; i < n; i++) bad |= places[i] <= places[i - 1];
    return !bad;
}

static bool check_codes(const sparse_term *t, const uint32_t *codes, uint32_t n) {
    uint32_t bad = 0, least = t->impacts == &given ? 1 : 0, end = least ? 256 : t->segment->n_codes;
    for (uint32_t i = 0; i < n; i++) bad |= codes[i] < least || codes[i] >= end;
    return !bad;
}

static bool check_blocks(const sparse_term *t, size_t data_size) {
    uint32_t base = 0;
    const uint8_t *p = t->data, *end = t->data + data_size;
    for (uint32_t i = 0; i < t->n_blocks; i++) {
        const sparse_block *b = &sparse_term_blocks(t)[i];
        uint32_t values[SPARSE_BLOCK + 8], n = i + 1 < t->n_blocks ? SPARSE_BLOCK : t->df - i * SPARSE_BLOCK;
        if (b->count_minus_1 != n - 1 || b->counted > 1 || b->offset != (size_t)(p - t->data) ||
            b->last >= t->segment->count)
            return false;
        p = unpack_places(p, end, n, base, values);
        if (!p || !check_places(values, n, base, b->last)) return false;
        if (t->coded) p = unpack_values(p, end, n, values);
        if (!p || (t->coded && !check_codes(t, values, n))) return false;
        base = b->last + 1;
    }
    return p == end;
}

/* --- entries ----------------------------------------------------------------------------------------------------- */

/* Reads the key of the entry at `p` over the one before. */
static const uint8_t *next_key(sparse_term_walk *w, const uint8_t *p, const uint8_t *end) {
    uint64_t shared, rest;
    p = segment_get_sizes(p, end, &shared, &rest);
    if (!p || shared > w->key_size || rest > SEGMENT_MAX_KEY - shared || rest > (uint64_t)(end - p)) return NULL;
    memcpy(w->key + shared, p, rest);
    w->key_size = shared + rest;
    return p + rest;
}

static const uint8_t *skip_key(const uint8_t *p, const uint8_t *end, uint64_t *shared, slice *rest) {
    uint64_t size;
    p = segment_get_sizes(p, end, shared, &size);
    if (!p || size > (uint64_t)(end - p)) return NULL;
    *rest = (slice){(const char *)p, size};
    return p + size;
}

static const uint8_t *single_entry(const sparse_segment *s, const uint8_t *p, bool positions, sparse_term *t) {
    uint64_t place;
    p = segment_get_varint(p, s->keys_end, &place);
    if (!p || place >= s->count || p == s->keys_end) return NULL;
    t->max_impact = *p++;
    t->single = (sparse_block){.last = (uint32_t)place, .max_impact = t->max_impact};
    t->data = t->positions = p;
    if (positions) p = segment_skip_code(p, s->keys_end);
    if (p) t->position_bytes = (size_t)(p - t->positions);
    return p;
}

static const uint8_t *block_entry(const sparse_segment *s, const uint8_t *p, sparse_term *t, uint64_t *size) {
    uint64_t last, counted_size = 0;
    p = segment_get_varint(p, s->keys_end, &last);
    if (!p || last >= s->count || p == s->keys_end) return NULL;
    t->max_impact = *p++;
    p = segment_get_varint(p, s->keys_end, &counted_size);
    t->single = (sparse_block){.last = (uint32_t)last,
                               .count_minus_1 = (uint8_t)(t->df - 1),
                               .max_impact = t->max_impact,
                               .counted = (uint8_t)(counted_size & 1)};
    *size = counted_size >> 1;
    return p;
}

static const uint8_t *blocks_entry(const sparse_segment *s, const uint8_t *p, uint64_t *block, sparse_term *t,
                                   uint64_t *size) {
    t->n_blocks = (t->df + SPARSE_BLOCK - 1) / SPARSE_BLOCK;
    if (p == s->keys_end || *block > s->n_blocks || t->n_blocks > s->n_blocks - *block) return NULL;
    t->blocks = s->blocks + *block;
    t->max_impact = *p++;
    *block += t->n_blocks;
    return segment_get_varint(p, s->keys_end, size);
}

/* Reads what follows the key. `state` is moved on. */
static const uint8_t *read_entry(const sparse_segment *s, const uint8_t *p, char space, uint64_t state[4],
                                 sparse_term *t) {
    uint64_t df, postings = 0, positions = 0;
    p = segment_get_varint(p, s->keys_end, &df);
    if (!p || df == 0 || df > s->count) return NULL;
    t->segment = s;
    t->df = (uint32_t)df;
    t->n_blocks = 1;
    t->blocks = NULL;
    t->position_bytes = t->data_bytes = 0;
    t->coded = space == SPARSE_SPACE_TEXT || space == SPARSE_SPACE_WEIGHT;
    t->impacts = space == SPARSE_SPACE_WEIGHT ? &given : &s->impacts;
    if (df == 1) return single_entry(s, p, segment_has_positions(space), t);
    p = df <= SPARSE_BLOCK ? block_entry(s, p, t, &postings) : blocks_entry(s, p, &state[BLOCKS], t, &postings);
    if (p && segment_has_positions(space)) p = segment_get_varint(p, s->keys_end, &positions);
    if (!p || state[POSTINGS] > s->postings_size || postings > s->postings_size - state[POSTINGS]) return NULL;
    if (state[POSITIONS] > s->positions_size || positions > s->positions_size - state[POSITIONS]) return NULL;
    t->data = s->postings + state[POSTINGS];
    t->data_bytes = postings;
    t->positions = s->positions + state[POSITIONS];
    t->position_bytes = positions;
    state[POSTINGS] += postings;
    state[POSITIONS] += positions;
    return p;
}

bool segment_next_term(sparse_term_walk *w, sparse_term *term, bool check) {
    const sparse_segment *s = w->segment;
    if (w->state[AT] > (uint64_t)(s->keys_end - s->keys)) return false;
    if (w->ordinal % SEGMENT_TERMS == 0) w->key_size = 0;
    const uint8_t *p = next_key(w, s->keys + w->state[AT], s->keys_end);
    if (!p || w->key_size == 0) return false;
    uint64_t postings = w->state[POSTINGS];
    p = read_entry(s, p, (char)w->key[0], w->state, term);
    if (!p) return false;
    w->state[AT] = (uint64_t)(p - s->keys);
    term->ordinal = w->ordinal++;
    return !check || term->df == 1 || check_blocks(term, w->state[POSTINGS] - postings);
}

/* The first 8 bytes as a number that orders keys as they do, zeros behind a shorter one. */
static uint64_t head_of(slice key) {
    uint8_t bytes[8] = {0};
    if (key.size) memcpy(bytes, key.data, key.size < sizeof bytes ? key.size : sizeof bytes);
    return load_be64(bytes);
}

/* Of a key's text: a keyword's field is none of it. Continuation bytes do not count as symbols, so that `early` holds
 * those of the symbols that it should, and maybe more. */
static void add_letters(sparse_letters *to, const uint8_t *key, size_t size) {
    size_t start = key[0] == SPARSE_SPACE_TEXT ? 1 : 2, symbols = 0;
    for (size_t i = start; i < size; i++) {
        uint64_t letter = sparse_letter(key[i]);
        symbols += (key[i] & 0xc0) != 0x80;
        if (symbols <= SPARSE_EARLY) to->early |= letter;
        if (i >= start + SPARSE_LATE) to->late |= letter;
    }
}

bool segment_check_terms(const sparse_segment *s, segment_maxima *maxima) {
    sparse_term_walk w = {.segment = s};
    sparse_term term;
    uint8_t last[SEGMENT_MAX_KEY];
    size_t last_size = 0;
    for (uint32_t i = 0; i < s->n_terms; i++) {
        const segment_entries *e = &s->dictionary[i / SEGMENT_TERMS];
        for (unsigned j = 0; j < 4; j++)
            if (i % SEGMENT_TERMS == 0 && segment_entry(e, j) != w.state[j]) return false;
        if (!segment_next_term(&w, &term, true)) return false;
        if (maxima) segment_maxima_add(maxima, &term);
        slice key = {(const char *)w.key, w.key_size};
        if (slice_compare((slice){(const char *)last, last_size}, key) >= 0) return false;
        memcpy(last, w.key, w.key_size);
        last_size = w.key_size;
        if (!maxima) continue;
        if (i % SEGMENT_TERMS == 0) s->heads[i / SEGMENT_TERMS] = head_of(key);
        add_letters(&s->letters[i / SEGMENT_TERMS], w.key, w.key_size);
    }
    return w.state[AT] == (uint64_t)(s->keys_end - s->keys);
}

/* --- looking up -------------------------------------------------------------------------------------------------- */

/* Whether the first key of a dictionary block is <= key, whose head it is. */
static bool starts_by(const sparse_segment *s, uint64_t entries, slice key, uint64_t head) {
    if (s->heads[entries] != head) return s->heads[entries] < head;
    uint64_t shared;
    slice first;
    skip_key(s->keys + segment_entry(&s->dictionary[entries], AT), s->keys_end, &shared, &first);
    return slice_compare(first, key) <= 0;
}

/* The last dictionary block whose first key is <= key, or false. */
static bool find_entries(const sparse_segment *s, slice key, uint64_t *out) {
    uint64_t low = 0, high = ((uint64_t)s->n_terms + SEGMENT_TERMS - 1) / SEGMENT_TERMS, head = head_of(key);
    while (low < high) {
        uint64_t middle = low + (high - low) / 2;
        if (starts_by(s, middle, key, head)) low = middle + 1;
        else high = middle;
    }
    if (low == 0) return false;
    *out = low - 1;
    return true;
}

static size_t common_prefix(slice a, slice b) {
    size_t n = 0, most = a.size < b.size ? a.size : b.size;
    while (n < most && a.data[n] == b.data[n]) n++;
    return n;
}

/* Keys ascend, so an entry is compared only when it shares with its predecessor just what the predecessor shared with
 * `key`: sharing more, it too is less; sharing less, it is greater. */
bool sparse_segment_term(const sparse_segment *s, slice key, sparse_term *out) {
    uint64_t entries;
    if (key.size == 0 || !find_entries(s, key, &entries)) return false;
    sparse_term_walk w = {.segment = s};
    go_to(&w, entries);
    uint32_t end = w.ordinal + SEGMENT_TERMS < s->n_terms ? w.ordinal + SEGMENT_TERMS : s->n_terms;
    const uint8_t *p = s->keys + w.state[AT];
    size_t matched = 0;
    char space = 0; /* of the entry's key */
    for (; w.ordinal < end; w.ordinal++) {
        uint64_t shared;
        slice rest;
        p = skip_key(p, s->keys_end, &shared, &rest);
        if (!p || shared < matched) return false;
        if (shared == 0) space = rest.data[0];
        bool found = false;
        if (shared == matched) {
            slice wanted = {key.data + matched, key.size - matched};
            size_t n = common_prefix(rest, wanted);
            found = n == rest.size && n == wanted.size;
            if (!found && n < rest.size && (n == wanted.size || (uint8_t)rest.data[n] > (uint8_t)wanted.data[n]))
                return false;
            matched += n;
        }
        p = read_entry(s, p, found ? key.data[0] : space, w.state, out);
        if (!p) return false;
        if (!found) continue;
        out->ordinal = w.ordinal;
        segment_maxima_find(s, out);
        return true;
    }
    return false;
}

void sparse_term_walk_start(sparse_term_walk *w, const sparse_segment *s, slice from) {
    *w = (sparse_term_walk){.segment = s};
    uint64_t entries = 0;
    if (s->n_terms == 0 || !find_entries(s, from, &entries)) return;
    go_to(w, entries);
    for (sparse_term_walk ahead = *w; ahead.ordinal < s->n_terms; *w = ahead) {
        sparse_term term;
        if (!segment_next_term(&ahead, &term, false)) return;
        if (slice_compare((slice){(const char *)ahead.key, ahead.key_size}, from) >= 0) return;
    }
}

bool sparse_term_walk_next(sparse_term_walk *w, slice *key, sparse_term *term) {
    if (w->ordinal >= w->segment->n_terms || !segment_next_term(w, term, false)) return false;
    *key = (slice){(const char *)w->key, w->key_size};
    return true;
}

/* --- postings ---------------------------------------------------------------------------------------------------- */

/* The bytes were checked when the image was opened. If they changed since, whatever is read is harmless. */
static const uint8_t *block_places(const sparse_term *t, uint32_t i, uint32_t n, uint32_t *places) {
    const sparse_block *b = &sparse_term_blocks(t)[i];
    const uint8_t *in = t->data + (b->offset < t->data_bytes ? b->offset : t->data_bytes);
    const uint8_t *p = unpack_places(in, t->data + t->data_bytes, n, i > 0 ? b[-1].last + 1 : 0, places);
    if (!p) memset(places, 0, n * sizeof *places);
    return p;
}

uint32_t sparse_block_load(const sparse_term *t, uint32_t i, uint32_t *places, const uint8_t **codes) {
    const sparse_block *b = &sparse_term_blocks(t)[i];
    uint32_t n = b->count_minus_1 + 1u;
    if (n > SPARSE_BLOCK) n = SPARSE_BLOCK;
    *codes = NULL;
    if (t->df == 1) places[0] = b->last;
    else *codes = block_places(t, i, n, places);
    return n;
}

uint32_t sparse_block_places(const sparse_term *t, uint32_t i, uint32_t *places) {
    const uint8_t *codes;
    return sparse_block_load(t, i, places, &codes);
}

void sparse_block_codes(const sparse_term *t, const uint8_t *at, uint32_t n, uint32_t *codes) {
    if (!at || !unpack_values(at, t->data + t->data_bytes, n, codes)) memset(codes, 0, n * sizeof *codes);
}

/* All locals, because bytes that are written might be anything's. */
static void look_up_impacts(sparse_impacts table, uint32_t n, const uint32_t *places, const uint32_t *codes,
                            uint8_t *impacts) {
    for (uint32_t j = 0; j < n; j++) impacts[j] = sparse_impact(&table, places[j], codes[j]);
}

void sparse_block_impacts(const sparse_term *t, uint32_t i, const uint8_t *at, uint32_t n, const uint32_t *places,
                          uint8_t *impacts) {
    if (!t->coded || !at) {
        memset(impacts, sparse_term_blocks(t)[i].max_impact, n);
        return;
    }
    uint32_t codes[SPARSE_BLOCK + 8];
    sparse_block_codes(t, at, n, codes);
    look_up_impacts(*t->impacts, n, places, codes, impacts);
}

uint32_t sparse_block_decode(const sparse_term *t, uint32_t i, uint32_t *places, uint8_t *impacts) {
    const uint8_t *codes;
    uint32_t n = sparse_block_load(t, i, places, &codes);
    sparse_block_impacts(t, i, codes, n, places, impacts);
    return n;
}

/* --- skipping ---------------------------------------------------------------------------------------------------- */

/* The last dictionary block from `low` on whose first key is <= key, as that of `low` is. Steps of doubling size first,
 * because the next key wanted is mostly near. */
static uint64_t gallop(const sparse_segment *s, uint64_t low, slice key, uint64_t head) {
    uint64_t n = ((uint64_t)s->n_terms + SEGMENT_TERMS - 1) / SEGMENT_TERMS, step = 1;
    while (low + step < n && starts_by(s, low + step, key, head)) {
        low += step;
        step *= 2;
    }
    uint64_t high = low + step < n ? low + step : n;
    while (high - low > 1) {
        uint64_t middle = low + (high - low) / 2;
        if (starts_by(s, middle, key, head)) low = middle;
        else high = middle;
    }
    return low;
}

/* Counts bit by bit: many processors have no other way, and few bits are enough. */
static bool lacks_letters(const sparse_term_walk *w, const sparse_letters *has) {
    const uint64_t lacking[] = {w->wanted.early & ~has->early, w->wanted.late & ~has->late,
                                w->wanted_anywhere & ~(has->early | has->late)};
    uint32_t n = 0;
    for (int i = 0; i < 3; i++)
        for (uint64_t left = lacking[i]; left; left &= left - 1)
            if (n++ == w->missing) return true;
    return false;
}

/* Passes over dictionary blocks that lack too many letters; false at the end. */
static bool enter_block(sparse_term_walk *w, uint64_t entries) {
    const sparse_segment *s = w->segment;
    uint64_t n = ((uint64_t)s->n_terms + SEGMENT_TERMS - 1) / SEGMENT_TERMS;
    while (entries < n && lacks_letters(w, &s->letters[entries])) entries++;
    w->ordinal = s->n_terms;
    if (entries == n) return false;
    go_to(w, entries);
    w->blocks++;
    return true;
}

/* Keys ascend, so that an entry is compared only when it shares with its predecessor just what the predecessor shared
 * with `to`, as in sparse_segment_term. */
bool sparse_term_walk_skip(sparse_term_walk *w, slice to, slice *key, size_t *shared, sparse_term *term) {
    const sparse_segment *s = w->segment;
    uint64_t next = ((uint64_t)w->ordinal + SEGMENT_TERMS - 1) / SEGMENT_TERMS;
    size_t kept = w->key_size, matched = common_prefix((slice){(const char *)w->key, w->key_size}, to);
    uint64_t head = head_of(to);
    bool entered = false;
    if (next * SEGMENT_TERMS < s->n_terms && starts_by(s, next, to, head)) entered = enter_block(w, gallop(s, next, to, head));
    while (w->ordinal < s->n_terms) {
        if (w->ordinal % SEGMENT_TERMS == 0 && !entered && !enter_block(w, w->ordinal / SEGMENT_TERMS)) return false;
        entered = false;
        uint64_t same;
        slice rest;
        const uint8_t *p = skip_key(s->keys + w->state[AT], s->keys_end, &same, &rest);
        if (!p || same > w->key_size || rest.size > SEGMENT_MAX_KEY - same) return false;
        if (w->ordinal % SEGMENT_TERMS == 0) { /* a whole key: what it shares with the one before is to be found */
            same = common_prefix((slice){(const char *)w->key, w->key_size}, rest);
            rest = (slice){rest.data + same, rest.size - same};
        }
        memcpy(w->key + same, rest.data, rest.size);
        w->key_size = same + rest.size;
        if (same < kept) kept = same;
        p = read_entry(s, p, (char)w->key[0], w->state, term);
        if (!p) return false;
        w->state[AT] = (uint64_t)(p - s->keys);
        term->ordinal = w->ordinal++;
        bool reached = same < matched || to.size == 0;
        if (same == matched && !reached) {
            slice wanted = {to.data + matched, to.size - matched};
            size_t n = common_prefix(rest, wanted);
            reached = n == wanted.size || (n < rest.size && (uint8_t)rest.data[n] > (uint8_t)wanted.data[n]);
            matched += n;
        }
        if (!reached) continue;
        *key = (slice){(const char *)w->key, w->key_size};
        *shared = kept;
        return true;
    }
    return false;
}
