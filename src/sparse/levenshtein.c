/* The automaton: rows of the edit distance's dynamic program as states, found by content, transitions filled in when
 * first asked for.
 *
 * Rows are small (2k + 1 numbers), so a state is 24 bytes that are compared and hashed as three words. Bytes that do not
 * occur in the word and play the same part in UTF-8 behave alike: they form a class, and the table has a column for each
 * class. Bytes of an incomplete symbol belong to the state, so that a byte is all that a step reads. */
#include "sparse/levenshtein.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

enum { WIDTH = 2 * LEVENSHTEIN_MOST_EDITS + 1, FAR = LEVENSHTEIN_MOST_EDITS + 1, UNKNOWN = 0xffff, START = 1 };
enum { MOST_STATES = UNKNOWN, FIRST_STATES = 256 };

/* edits[x]: the fewest edits that lead to position base + x of the word, FAR for more than k.
 * half[x]: the fewest before a transposition at base + x whose first symbol (the word's second) has been read. */
typedef struct row {
    uint8_t base, best; /* best: fewest edits at which a beginning has matched; prefix automata only */
    uint8_t edits[WIDTH], half[WIDTH];
    uint8_t pending[3], n_pending; /* bytes of an incomplete symbol */
    uint8_t zero[4];
} row;
_Static_assert(sizeof(row) == 24, "a row is three words");

typedef struct state {
    row row;
    levenshtein_bytes alive;
    uint8_t distance;
    bool alive_known;
} state;

struct levenshtein {
    levenshtein_options options;
    uint32_t n;                                     /* symbols of the word */
    uint32_t symbols[LEVENSHTEIN_MOST_SYMBOLS + 1]; /* their bytes, the first highest */
    uint32_t n_different, different[LEVENSHTEIN_MOST_SYMBOLS + 1];
    uint64_t where[LEVENSHTEIN_MOST_SYMBOLS + 1]; /* positions of different[i] */
    uint8_t ascii[128];                           /* 1 + its place in different; 0: not in the word */
    uint8_t class_of[256], example[256];          /* of a byte; of a class */
    uint32_t n_classes;

    state *states;
    levenshtein_state *next; /* n_classes for each state */
    size_t n_states, capacity;
    levenshtein_state *slots; /* open addressing; 0: free */
    size_t n_slots;
    bool full;
};

/* --- symbols ----------------------------------------------------------------------------------------------------- */

static bool continues(uint8_t byte) { return (byte & 0xc0) == 0x80; }

/* Continuation bytes that a byte announces. */
static uint32_t announced(uint8_t byte) {
    if (byte < 0xc0 || byte >= 0xf8) return 0;
    return byte < 0xe0 ? 1 : byte < 0xf0 ? 2 : 3;
}

static size_t symbol_at(const uint8_t *p, size_t left, uint32_t *symbol) {
    uint32_t more = announced(p[0]);
    *symbol = p[0];
    if (more == 0 || more >= left) return 1;
    uint32_t all = p[0];
    for (uint32_t i = 1; i <= more; i++) {
        if (!continues(p[i])) return 1;
        all = all << 8 | p[i];
    }
    *symbol = all;
    return more + 1;
}

static size_t symbol_bytes(uint32_t symbol, uint8_t out[4]) {
    size_t n = symbol > 0xffffff ? 4 : symbol > 0xffff ? 3 : symbol > 0xff ? 2 : 1;
    for (size_t i = 0; i < n; i++) out[i] = (uint8_t)(symbol >> 8 * (n - 1 - i));
    return n;
}

static uint64_t positions_of(const levenshtein *a, uint32_t symbol) {
    if (symbol < 128) return a->ascii[symbol] ? a->where[a->ascii[symbol] - 1] : 0;
    for (uint32_t i = 0; i < a->n_different; i++)
        if (a->different[i] == symbol) return a->where[i];
    return 0;
}

/* --- rows -------------------------------------------------------------------------------------------------------- */

static void take(uint8_t *edits, unsigned value) {
    if (value < *edits) *edits = (uint8_t)value;
}

/* Edits at the end of the word. */
static uint8_t at_end(const levenshtein *a, const row *r) {
    if (r->base > a->n || a->n - r->base >= WIDTH) return FAR;
    return r->edits[a->n - r->base];
}

static void clear_row(row *r) {
    memset(r, 0, sizeof *r);
    memset(r->edits, FAR, sizeof r->edits);
    memset(r->half, FAR, sizeof r->half);
    r->best = FAR;
}

static bool row_is_over(const row *r) {
    for (int x = 0; x < WIDTH; x++)
        if (r->edits[x] != FAR || r->half[x] != FAR) return false;
    return true;
}

/* Deleting symbols of the word costs nothing but edits: D[j + 1] <= D[j] + 1. */
static void close_row(const levenshtein *a, unsigned base, uint8_t *edits, unsigned width) {
    unsigned k = a->options.edits;
    for (unsigned x = 0; x + 1 < width && base + x < a->n; x++)
        if (edits[x] < k && base + x >= a->options.exact) take(&edits[x + 1], edits[x] + 1u);
}

/* Moves the first live position to the front. What cannot become better than `best` is left out, so that equal futures
 * are equal rows. */
static void settle(unsigned base, uint8_t best, const uint8_t *edits, const uint8_t *half, row *to) {
    clear_row(to);
    to->best = best;
    unsigned first = 0;
    while (first < WIDTH + 2 && edits[first] >= best && half[first] + 1 >= best) first++;
    if (first == WIDTH + 2) return;
    to->base = (uint8_t)(base + first);
    for (unsigned x = 0; x < WIDTH && first + x < WIDTH + 2; x++) {
        if (edits[first + x] < best) to->edits[x] = edits[first + x];
        if (half[first + x] + 1 < best) to->half[x] = half[first + x];
    }
}

/* One symbol more: the recurrence of the edit distance, and for transpositions that of optimal string alignment with
 * its second row kept as `half`. */
static void read_symbol(const levenshtein *a, const row *from, uint32_t symbol, row *to) {
    const unsigned k = a->options.edits, exact = a->options.exact, base = from->base;
    const uint64_t match = positions_of(a, symbol) >> base;
    uint8_t edits[WIDTH + 2], half[WIDTH + 2];
    memset(edits, FAR, sizeof edits);
    memset(half, FAR, sizeof half);
    for (unsigned x = 0; x < 2 * k + 1; x++) {
        unsigned e = from->edits[x], at = base + x;
        bool same = match >> x & 1;
        if (e <= k && same) take(&edits[x + 1], e);
        if (e < k && at >= exact) {
            take(&edits[x], e + 1);
            if (at < a->n) take(&edits[x + 1], e + 1);
            if (a->options.transpositions && match >> x & 2) take(&half[x], e);
        }
        if (from->half[x] < k && same) take(&edits[x + 2], from->half[x] + 1u);
    }
    close_row(a, base, edits, WIDTH + 2);
    uint8_t best = FAR;
    if (a->options.prefix) {
        best = from->best;
        if (a->n - base < WIDTH + 2) take(&best, edits[a->n - base]);
    }
    settle(base, best, edits, half, to);
}

static void first_row(const levenshtein *a, row *r) {
    uint8_t edits[WIDTH + 2], half[WIDTH + 2], best = FAR;
    memset(edits, FAR, sizeof edits);
    memset(half, FAR, sizeof half);
    edits[0] = 0;
    close_row(a, 0, edits, WIDTH + 2);
    if (a->options.prefix && a->n < WIDTH + 2) best = edits[a->n];
    settle(0, best, edits, half, r);
}

/* --- states ------------------------------------------------------------------------------------------------------ */

static uint64_t row_hash(const row *r) {
    uint64_t w[3];
    memcpy(w, r, sizeof w);
    uint64_t h = (w[0] * 0x9e3779b97f4a7c15u) ^ (w[1] * 0xc2b2ae3d27d4eb4fu) ^ (w[2] * 0x165667b19e3779f9u);
    h = (h ^ h >> 29) * 0xbf58476d1ce4e5b9u;
    return h ^ h >> 32;
}

/* Edits if the bytes end in this row: bytes of an incomplete symbol are symbols by themselves. */
static uint8_t row_distance(const levenshtein *a, const row *r) {
    row now = *r, after;
    now.n_pending = 0;
    for (unsigned i = 0; i < r->n_pending; i++, now = after) read_symbol(a, &now, r->pending[i], &after);
    uint8_t e = a->options.prefix ? now.best : at_end(a, &now);
    return e <= a->options.edits ? e : LEVENSHTEIN_NONE;
}

static void rehash(levenshtein *a) {
    free(a->slots);
    a->n_slots = a->capacity * 2;
    a->slots = mem_zalloc(a->n_slots, sizeof *a->slots);
    for (size_t i = START; i < a->n_states; i++) {
        size_t at = row_hash(&a->states[i].row) & (a->n_slots - 1);
        while (a->slots[at]) at = (at + 1) & (a->n_slots - 1);
        a->slots[at] = (levenshtein_state)i;
    }
}

static void grow(levenshtein *a) {
    a->capacity = a->capacity ? a->capacity * 2 : FIRST_STATES;
    a->states = mem_realloc(a->states, a->capacity * sizeof *a->states);
    a->next = mem_realloc(a->next, a->capacity * a->n_classes * sizeof *a->next);
    rehash(a);
}

static levenshtein_state state_of(levenshtein *a, const row *r) {
    size_t at = row_hash(r) & (a->n_slots - 1);
    for (; a->slots[at]; at = (at + 1) & (a->n_slots - 1))
        if (memcmp(&a->states[a->slots[at]].row, r, sizeof *r) == 0) return a->slots[at];
    if (a->n_states == MOST_STATES) {
        a->full = true;
        return LEVENSHTEIN_DEAD;
    }
    levenshtein_state made = (levenshtein_state)a->n_states++;
    a->slots[at] = made;
    a->states[made] = (state){.row = *r, .distance = row_distance(a, r)};
    memset(&a->next[made * a->n_classes], 0xff, a->n_classes * sizeof *a->next);
    if (a->n_states == a->capacity) grow(a);
    return made;
}

/* --- what leads on ----------------------------------------------------------------------------------------------- */

static void add_byte(levenshtein_bytes *set, uint8_t byte) { set->bits[byte / 64] |= (uint64_t)1 << byte % 64; }

/* Any symbol leads on: an edit is left, or a beginning has matched already. */
static bool any_symbol(const levenshtein *a, const row *r) {
    if (r->best <= a->options.edits) return true;
    for (unsigned x = 0; x < WIDTH; x++)
        if (r->edits[x] < a->options.edits && r->base + x >= a->options.exact) return true;
    return false;
}

/* Positions of symbols that lead on when not any does. */
static uint64_t wanted(const levenshtein *a, const row *r) {
    uint64_t set = 0;
    for (unsigned x = 0; x < WIDTH && r->base + x < a->n; x++)
        if (r->edits[x] <= a->options.edits || r->half[x] < a->options.edits) set |= (uint64_t)1 << (r->base + x);
    return set;
}

/* The bytes that lead on from a row, whose incomplete symbol may still become one of the wanted. */
static levenshtein_bytes alive_of(const levenshtein *a, const row *r) {
    levenshtein_bytes set = {{0}};
    const levenshtein_bytes all = {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX}};
    if (any_symbol(a, r)) return all;
    for (uint64_t left = wanted(a, r); left; left &= left - 1) {
        uint8_t bytes[4];
        uint32_t symbol = a->symbols[__builtin_ctzll(left)];
        size_t size = symbol_bytes(symbol, bytes);
        if (r->n_pending == 0) add_byte(&set, bytes[0]);
        else if (size == 1 && bytes[0] == r->pending[0]) return all; /* it may break off, whatever follows */
        else if (size > r->n_pending && memcmp(bytes, r->pending, r->n_pending) == 0) add_byte(&set, bytes[r->n_pending]);
    }
    return set;
}

static bool is_empty(const levenshtein_bytes *set) {
    return (set->bits[0] | set->bits[1] | set->bits[2] | set->bits[3]) == 0;
}

/* --- steps ------------------------------------------------------------------------------------------------------- */

/* A byte completes a symbol, continues one, begins one, or shows that what was begun is none. */
static void read_byte(const levenshtein *a, const row *from, uint8_t byte, row *to) {
    row now = *from, after;
    memset(now.pending, 0, sizeof now.pending);
    now.n_pending = 0;
    if (from->n_pending > 0 && continues(byte)) {
        if (from->n_pending < announced(from->pending[0])) {
            *to = *from;
            to->pending[to->n_pending++] = byte;
            return;
        }
        uint32_t symbol = 0;
        for (unsigned i = 0; i < from->n_pending; i++) symbol = symbol << 8 | from->pending[i];
        read_symbol(a, &now, symbol << 8 | byte, to);
        return;
    }
    for (unsigned i = 0; i < from->n_pending; i++, now = after) read_symbol(a, &now, from->pending[i], &after);
    if (announced(byte) == 0) {
        read_symbol(a, &now, byte, to);
        return;
    }
    now.pending[now.n_pending++] = byte;
    *to = now;
}

static levenshtein_state make_step(levenshtein *a, levenshtein_state from, uint32_t class) {
    row r;
    read_byte(a, &a->states[from].row, a->example[class], &r);
    bool over = r.best > a->options.edits && row_is_over(&r);
    if (!over && r.n_pending > 0) {
        levenshtein_bytes alive = alive_of(a, &r);
        over = is_empty(&alive) && row_distance(a, &r) == LEVENSHTEIN_NONE;
    }
    levenshtein_state to = over ? LEVENSHTEIN_DEAD : state_of(a, &r);
    a->next[from * a->n_classes + class] = to;
    return to;
}

levenshtein_state levenshtein_step(levenshtein *a, levenshtein_state from, uint8_t byte) {
    uint32_t class = a->class_of[byte];
    levenshtein_state to = a->next[from * a->n_classes + class];
    return to != UNKNOWN ? to : make_step(a, from, class);
}

levenshtein_state levenshtein_start(const levenshtein *a) {
    (void)a;
    return START;
}

uint8_t levenshtein_distance(const levenshtein *a, levenshtein_state at) { return a->states[at].distance; }

const levenshtein_bytes *levenshtein_alive(levenshtein *a, levenshtein_state at) {
    state *s = &a->states[at];
    if (!s->alive_known) s->alive = alive_of(a, &s->row);
    s->alive_known = true;
    return &s->alive;
}

/* What lacks the bit of a symbol's last byte, which tells symbols best apart, lacks the symbol. k edits move a symbol by k
 * places at most, and each leaves one symbol of the word without its like, so those that are lacking add up. */
void levenshtein_letters(const levenshtein *a, sparse_letters *wanted, uint64_t *anywhere) {
    uint32_t k = a->options.edits;
    *wanted = (sparse_letters){0};
    *anywhere = 0;
    for (uint32_t i = 0; i < a->n; i++) {
        uint64_t letter = sparse_letter((uint8_t)a->symbols[i]);
        if (i + k < SPARSE_EARLY) wanted->early |= letter;
        else if (i >= SPARSE_LATE + k) wanted->late |= letter;
        else *anywhere |= letter;
    }
}

uint32_t levenshtein_edits(const levenshtein *a) { return a->options.edits; }

uint8_t levenshtein_match(levenshtein *a, slice term) {
    levenshtein_state at = START;
    for (size_t i = 0; i < term.size && at != LEVENSHTEIN_DEAD; i++) at = levenshtein_step(a, at, (uint8_t)term.data[i]);
    return levenshtein_distance(a, at);
}

/* The smallest byte of the set that is at least `from` (0 … 256), or 256. */
static unsigned byte_from(const levenshtein_bytes *set, unsigned from) {
    if (from > 255) return 256;
    unsigned word = from / 64;
    uint64_t bits = set->bits[word] >> from % 64 << from % 64;
    while (!bits && ++word < 4) bits = set->bits[word];
    return bits ? word * 64 + (unsigned)__builtin_ctzll(bits) : 256;
}

size_t levenshtein_next(levenshtein *a, const levenshtein_state *states, const uint8_t *key, size_t n, uint8_t *out) {
    size_t at = n;
    unsigned byte;
    while ((byte = byte_from(levenshtein_alive(a, states[at]), key[at] + 1u)) == 256)
        if (at-- == 0) return 0;
    memcpy(out, key, at);
    levenshtein_state now = levenshtein_step(a, states[at], (uint8_t)byte);
    out[at++] = (uint8_t)byte;
    /* Where one symbol alone leads on, it belongs to the bound. */
    for (size_t more = 1; more < LEVENSHTEIN_MOST_BYTES && now != LEVENSHTEIN_DEAD; more++) {
        if (levenshtein_distance(a, now) != LEVENSHTEIN_NONE) break;
        byte = byte_from(levenshtein_alive(a, now), 0);
        if (byte == 0 || byte == 256) break;
        out[at++] = (uint8_t)byte;
        now = levenshtein_step(a, now, (uint8_t)byte);
    }
    return at;
}

/* --- making ------------------------------------------------------------------------------------------------------ */

static void add_symbol(levenshtein *a, uint32_t symbol) {
    uint32_t i = 0;
    while (i < a->n_different && a->different[i] != symbol) i++;
    if (i == a->n_different) {
        a->different[a->n_different++] = symbol;
        if (symbol < 128) a->ascii[symbol] = (uint8_t)(i + 1);
    }
    a->where[i] |= (uint64_t)1 << a->n;
    a->symbols[a->n++] = symbol;
}

/* Bytes of the word are classes by themselves, the others are classed by what they announce. */
static void make_classes(levenshtein *a, slice word) {
    enum { PARTS = 6, NO_CLASS = 255 };
    uint8_t part_class[PARTS];
    bool in_word[256] = {false};
    memset(part_class, NO_CLASS, sizeof part_class);
    for (size_t i = 0; i < word.size; i++) in_word[(uint8_t)word.data[i]] = true;
    for (unsigned b = 0; b < 256; b++) {
        uint8_t byte = (uint8_t)b;
        unsigned part = byte < 128 ? 0 : continues(byte) ? 1 : byte >= 0xf8 ? 2 : 2 + announced(byte);
        uint8_t *class = in_word[b] ? &a->class_of[b] : &part_class[part];
        if (in_word[b] || *class == NO_CLASS) {
            a->example[a->n_classes] = byte;
            *class = (uint8_t)a->n_classes++;
        }
        a->class_of[b] = *class;
    }
}

forage_status levenshtein_create(slice word, const levenshtein_options *options, levenshtein **out, base_error *error) {
    if (options->edits > LEVENSHTEIN_MOST_EDITS)
        return error_set(error, FORAGE_E_INVALID, "%u edits: at most %d are possible", options->edits,
                         LEVENSHTEIN_MOST_EDITS);
    levenshtein *a = mem_zalloc(1, sizeof *a);
    a->options = *options;
    for (size_t i = 0; i < word.size;) {
        uint32_t symbol;
        if (a->n == LEVENSHTEIN_MOST_SYMBOLS) {
            levenshtein_destroy(a);
            return error_set(error, FORAGE_E_INVALID, "\"%.*s\" is too long: at most %d characters", SLICE_ARG(word),
                             LEVENSHTEIN_MOST_SYMBOLS);
        }
        i += symbol_at((const uint8_t *)word.data + i, word.size - i, &symbol);
        add_symbol(a, symbol);
    }
    if (a->options.exact > a->n) a->options.exact = a->n;
    make_classes(a, word);
    grow(a);
    memset(a->next, 0, a->n_classes * sizeof *a->next); /* dead stays dead */
    a->states[LEVENSHTEIN_DEAD] = (state){.distance = LEVENSHTEIN_NONE, .alive_known = true};
    a->n_states = START;
    row first;
    first_row(a, &first);
    levenshtein_state start = state_of(a, &first);
    assert(start == START);
    (void)start;
    *out = a;
    return FORAGE_OK;
}

void levenshtein_destroy(levenshtein *a) {
    if (!a) return;
    free(a->states);
    free(a->next);
    free(a->slots);
    free(a);
}

size_t levenshtein_states(const levenshtein *a) { return a->n_states; }
bool levenshtein_full(const levenshtein *a) { return a->full; }
