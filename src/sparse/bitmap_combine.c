/* Compressed sets combined: two of them into a third, and one with a flat set. An array is never blown up to words when the
 * result cannot be larger than it. */
#include "sparse/bitmap_chunks.h"

#include <string.h>

/* --- one container and words ------------------------------------------------------------------------------------- */

/* The words of one chunk; n of them (1 … CHUNK_WORDS) are there, and members beyond do not count. */

static inline uint32_t last_of(const bitmap_run *run, size_t n) {
    return run->last < n * 64 ? run->last : (uint32_t)(n * 64 - 1);
}

static void chunk_or(const bitmap *b, const bitmap_chunk *c, uint64_t *words, size_t n) {
    uint32_t elements = chunk_elements(c);
    if (c->kind == CHUNK_BITS) {
        words_or(words, chunk_words(b, c), n);
    } else if (c->kind == CHUNK_ARRAY) {
        const uint16_t *values = chunk_values(b, c);
        for (uint32_t i = 0; i < elements; i++) {
            if (values[i] >= n * 64) break;
            words[values[i] >> 6] |= (uint64_t)1 << (values[i] & 63);
        }
    } else {
        const bitmap_run *runs = chunk_runs(b, c);
        for (uint32_t i = 0; i < elements && runs[i].first < n * 64; i++) words_set(words, runs[i].first, last_of(&runs[i], n));
    }
}

static void chunk_and_not(const bitmap *b, const bitmap_chunk *c, uint64_t *words, size_t n) {
    uint32_t elements = chunk_elements(c);
    if (c->kind == CHUNK_BITS) {
        words_and_not(words, chunk_words(b, c), n);
    } else if (c->kind == CHUNK_ARRAY) {
        const uint16_t *values = chunk_values(b, c);
        for (uint32_t i = 0; i < elements; i++) {
            if (values[i] >= n * 64) break;
            words[values[i] >> 6] &= ~((uint64_t)1 << (values[i] & 63));
        }
    } else {
        const bitmap_run *runs = chunk_runs(b, c);
        for (uint32_t i = 0; i < elements && runs[i].first < n * 64; i++)
            words_clear(words, runs[i].first, last_of(&runs[i], n));
    }
}

/* What lies between an array's values goes, a word at a time. */
static void array_and(const uint16_t *values, uint32_t n_values, uint64_t *words, size_t n) {
    size_t done = 0;
    for (uint32_t i = 0; i < n_values;) {
        size_t at = values[i] >> 6;
        uint64_t keep = 0;
        if (at >= n) break;
        for (; i < n_values && values[i] >> 6 == (int)at; i++) keep |= (uint64_t)1 << (values[i] & 63);
        if (at < done) continue; /* only when the bytes have changed since they were checked */
        memset(words + done, 0, (at - done) * sizeof *words);
        words[at] &= keep;
        done = at + 1;
    }
    memset(words + done, 0, (n - done) * sizeof *words);
}

static void runs_and(const bitmap_run *runs, uint32_t n_runs, uint64_t *words, size_t n) {
    uint32_t next = 0, end = (uint32_t)(n * 64); /* the first number that is still to be decided */
    for (uint32_t i = 0; i < n_runs && runs[i].first < end; i++) {
        if (runs[i].first > next) words_clear(words, next, runs[i].first - 1u);
        next = (uint32_t)runs[i].last + 1;
    }
    if (next < end) words_clear(words, next, end - 1);
}

static void chunk_and(const bitmap *b, const bitmap_chunk *c, uint64_t *words, size_t n) {
    uint32_t elements = chunk_elements(c);
    if (c->kind == CHUNK_BITS) words_and(words, chunk_words(b, c), n);
    else if (c->kind == CHUNK_ARRAY) array_and(chunk_values(b, c), elements, words, n);
    else runs_and(chunk_runs(b, c), elements, words, n);
}

static uint64_t chunk_count(const bitmap *b, const bitmap_chunk *c, const uint64_t *words, size_t n) {
    uint32_t elements = chunk_elements(c);
    uint64_t both = 0;
    if (c->kind == CHUNK_BITS) return words_count_and(chunk_words(b, c), words, n);
    if (c->kind == CHUNK_ARRAY) {
        const uint16_t *values = chunk_values(b, c);
        for (uint32_t i = 0; i < elements; i++) {
            if (values[i] >= n * 64) break;
            both += words[values[i] >> 6] >> (values[i] & 63) & 1;
        }
        return both;
    }
    const bitmap_run *runs = chunk_runs(b, c);
    for (uint32_t i = 0; i < elements && runs[i].first < n * 64; i++)
        both += words_count_range(words, runs[i].first, last_of(&runs[i], n));
    return both;
}

/* --- with a flat set --------------------------------------------------------------------------------------------- */

/* The part of a flat set of n_words words that is the chunk's; 0: none. */
static size_t flat_part(const bitmap_chunk *c, size_t n_words) {
    size_t from = (size_t)c->key * CHUNK_WORDS;
    if (from >= n_words) return 0;
    return n_words - from < CHUNK_WORDS ? n_words - from : CHUNK_WORDS;
}

void bitmap_or_flat(const bitmap *b, uint64_t *words, size_t n_words) {
    for (uint32_t i = 0; i < b->n_chunks; i++) {
        const bitmap_chunk *c = &b->chunks[i];
        size_t n = flat_part(c, n_words);
        if (n == 0) break;
        chunk_or(b, c, words + (size_t)c->key * CHUNK_WORDS, n);
    }
}

void bitmap_and_not_flat(const bitmap *b, uint64_t *words, size_t n_words) {
    for (uint32_t i = 0; i < b->n_chunks; i++) {
        const bitmap_chunk *c = &b->chunks[i];
        size_t n = flat_part(c, n_words);
        if (n == 0) break;
        chunk_and_not(b, c, words + (size_t)c->key * CHUNK_WORDS, n);
    }
}

void bitmap_fill_flat(const bitmap *b, uint64_t *words, size_t n_words) {
    size_t done = 0;
    for (uint32_t i = 0; i < b->n_chunks; i++) {
        const bitmap_chunk *c = &b->chunks[i];
        size_t from = (size_t)c->key * CHUNK_WORDS, n = flat_part(c, n_words);
        if (n == 0 || from < done) break;
        memset(words + done, 0, (from - done) * sizeof *words);
        if (c->kind == CHUNK_BITS) {
            memcpy(words + from, chunk_words(b, c), n * sizeof *words);
        } else {
            memset(words + from, 0, n * sizeof *words);
            chunk_or(b, c, words + from, n);
        }
        done = from + n;
    }
    memset(words + done, 0, (n_words - done) * sizeof *words);
}

void bitmap_and_flat(const bitmap *b, uint64_t *words, size_t n_words) {
    size_t done = 0;
    for (uint32_t i = 0; i < b->n_chunks; i++) {
        const bitmap_chunk *c = &b->chunks[i];
        size_t from = (size_t)c->key * CHUNK_WORDS, n = flat_part(c, n_words);
        if (n == 0 || from < done) break;
        memset(words + done, 0, (from - done) * sizeof *words);
        chunk_and(b, c, words + from, n);
        done = from + n;
    }
    memset(words + done, 0, (n_words - done) * sizeof *words);
}

uint64_t bitmap_count_flat(const bitmap *b, const uint64_t *words, size_t n_words) {
    uint64_t both = 0;
    for (uint32_t i = 0; i < b->n_chunks; i++) {
        const bitmap_chunk *c = &b->chunks[i];
        size_t n = flat_part(c, n_words);
        if (n == 0) break;
        both += chunk_count(b, c, words + (size_t)c->key * CHUNK_WORDS, n);
    }
    return both;
}

/* --- two sets ---------------------------------------------------------------------------------------------------- */

/* One container of one set. */
typedef struct side {
    const bitmap *set;
    const bitmap_chunk *chunk;
} side;

/* The first of values[from … n) that is >= value, by doubling steps: cheap when it is near. */
static uint32_t gallop(const uint16_t *values, uint32_t from, uint32_t n, uint32_t value) {
    uint32_t step = 1;
    while (from + step < n && values[from + step] < value) {
        from += step;
        step *= 2;
    }
    uint32_t low = from, high = from + step < n ? from + step : n;
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (values[middle] < value) low = middle + 1;
        else high = middle;
    }
    return low;
}

/* Those of an array's values that are in another container (`wanted`), or those that are not. */
static uint32_t keep_values(side array, side other, bool wanted, uint16_t *out) {
    const uint16_t *values = chunk_values(array.set, array.chunk);
    uint32_t n = chunk_elements(array.chunk), m = chunk_elements(other.chunk), at = 0, kept = 0;
    if (other.chunk->kind == CHUNK_BITS) {
        const uint64_t *words = chunk_words(other.set, other.chunk);
        for (uint32_t i = 0; i < n; i++) {
            out[kept] = values[i];
            kept += (words[values[i] >> 6] >> (values[i] & 63) & 1) == wanted;
        }
    } else if (other.chunk->kind == CHUNK_ARRAY) {
        const uint16_t *others = chunk_values(other.set, other.chunk);
        for (uint32_t i = 0; i < n; i++) {
            if (m > 32 * n) at = gallop(others, at, m, values[i]);
            else while (at < m && others[at] < values[i]) at++;
            out[kept] = values[i];
            kept += (at < m && others[at] == values[i]) == wanted;
        }
    } else {
        const bitmap_run *runs = chunk_runs(other.set, other.chunk);
        for (uint32_t i = 0; i < n; i++) {
            while (at < m && runs[at].last < values[i]) at++;
            out[kept] = values[i];
            kept += (at < m && runs[at].first <= values[i]) == wanted;
        }
    }
    return kept;
}

static uint32_t unite_values(side x, side y, uint16_t *out) {
    const uint16_t *a = chunk_values(x.set, x.chunk), *b = chunk_values(y.set, y.chunk);
    uint32_t n = chunk_elements(x.chunk), m = chunk_elements(y.chunk), i = 0, j = 0, made = 0;
    while (i < n && j < m) {
        uint16_t least = a[i] < b[j] ? a[i] : b[j];
        out[made++] = least;
        i += a[i] == least;
        j += b[j] == least;
    }
    while (i < n) out[made++] = a[i++];
    while (j < m) out[made++] = b[j++];
    return made;
}

typedef enum operation { AND, OR, AND_NOT } operation;

static void keep_array(bitmap_builder *to, side array, side other, bool wanted) {
    uint16_t values[CHUNK_ARRAY_MOST];
    uint32_t n = keep_values(array, other, wanted, values);
    if (n > 0) bitmap_builder_array(to, array.chunk->key, values, n);
}

enum { RUNS_MOST = 4096, CHUNK_END = CHUNK_WORDS * 64 };

/* Where the set, at its run i, changes next after `at`; *in: whether `at` is a member. Moves i on to a run that is not over. */
static inline uint32_t next_change(const bitmap_run *runs, uint32_t n, uint32_t *i, uint32_t at, bool *in) {
    while (*i < n && runs[*i].last < at) ++*i;
    *in = *i < n && runs[*i].first <= at;
    return *i == n ? CHUNK_END : *in ? (uint32_t)runs[*i].last + 1 : runs[*i].first;
}

/* Runs of the result, at most as many as both have together. */
static uint32_t combine_runs(side x, side y, operation op, bitmap_run *out) {
    const bitmap_run *a = chunk_runs(x.set, x.chunk), *b = chunk_runs(y.set, y.chunk);
    uint32_t n = chunk_elements(x.chunk), m = chunk_elements(y.chunk), i = 0, j = 0, made = 0;
    for (uint32_t at = 0, next; at < CHUNK_END; at = next) {
        bool in_a, in_b;
        uint32_t after_a = next_change(a, n, &i, at, &in_a), after_b = next_change(b, m, &j, at, &in_b);
        next = after_a < after_b ? after_a : after_b;
        if (!(op == AND ? in_a && in_b : op == OR ? in_a || in_b : in_a && !in_b)) continue;
        if (made > 0 && out[made - 1].last + 1u == at) out[made - 1].last = (uint16_t)(next - 1);
        else out[made++] = (bitmap_run){(uint16_t)at, (uint16_t)(next - 1)};
    }
    return made;
}

static bool are_few_runs(side x, side y) {
    return x.chunk->kind == CHUNK_RUNS && y.chunk->kind == CHUNK_RUNS &&
           chunk_elements(x.chunk) + chunk_elements(y.chunk) <= RUNS_MOST;
}

static void combine_chunks(bitmap_builder *to, side x, side y, operation op) {
    bool x_array = x.chunk->kind == CHUNK_ARRAY, y_array = y.chunk->kind == CHUNK_ARRAY;
    if (x_array && op != OR) {
        keep_array(to, x, y, op == AND);
    } else if (y_array && op == AND) {
        keep_array(to, y, x, true);
    } else if (x_array && y_array && chunk_elements(x.chunk) + chunk_elements(y.chunk) <= CHUNK_ARRAY_MOST) {
        uint16_t values[CHUNK_ARRAY_MOST];
        bitmap_builder_array(to, x.chunk->key, values, unite_values(x, y, values));
    } else if (are_few_runs(x, y)) {
        bitmap_run runs[RUNS_MOST];
        uint32_t n = combine_runs(x, y, op, runs);
        if (n > 0) bitmap_builder_runs(to, x.chunk->key, runs, n);
    } else {
        to->key = x.chunk->key;
        to->low = 0;
        to->high = CHUNK_WORDS - 1;
        chunk_or(x.set, x.chunk, to->words, CHUNK_WORDS);
        if (op == AND) chunk_and(y.set, y.chunk, to->words, CHUNK_WORDS);
        else if (op == OR) chunk_or(y.set, y.chunk, to->words, CHUNK_WORDS);
        else chunk_and_not(y.set, y.chunk, to->words, CHUNK_WORDS);
        bitmap_builder_flush(to);
    }
}

static bitmap *combine(const bitmap *a, const bitmap *b, operation op) {
    bitmap_builder *to = bitmap_builder_create();
    uint32_t i = 0, j = 0;
    while (i < a->n_chunks || j < b->n_chunks) {
        side x = {a, &a->chunks[i]}, y = {b, &b->chunks[j]};
        if (j == b->n_chunks || (i < a->n_chunks && x.chunk->key < y.chunk->key)) {
            if (op != AND) bitmap_builder_copy(to, x.set, x.chunk);
            i++;
        } else if (i == a->n_chunks || y.chunk->key < x.chunk->key) {
            if (op == OR) bitmap_builder_copy(to, y.set, y.chunk);
            j++;
        } else {
            combine_chunks(to, x, y, op);
            i++;
            j++;
        }
    }
    return bitmap_builder_finish(to);
}

bitmap *bitmap_and(const bitmap *a, const bitmap *b) { return combine(a, b, AND); }
bitmap *bitmap_or(const bitmap *a, const bitmap *b) { return combine(a, b, OR); }
bitmap *bitmap_and_not(const bitmap *a, const bitmap *b) { return combine(a, b, AND_NOT); }
