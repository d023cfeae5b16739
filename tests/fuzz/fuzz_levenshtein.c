/* Any word and any terms through the automaton: steps, distances and bounds against the plain dynamic program of two rows
 * over symbols. Bytes: options, the word's length, the word, then terms that are separated by 0xfe. */
#include "sparse/levenshtein.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { MOST = 100 };

static void check(bool holds) {
    if (!holds) abort();
}

static size_t symbols(const uint8_t *p, size_t size, uint32_t out[MOST]) {
    size_t n = 0;
    for (size_t i = 0; i < size && n < MOST;) {
        size_t wanted = p[i] >= 0xf8 || p[i] < 0xc0 ? 1 : p[i] >= 0xf0 ? 4 : p[i] >= 0xe0 ? 3 : 2, got = 1;
        while (got < wanted && i + got < size && (p[i + got] & 0xc0) == 0x80) got++;
        if (got < wanted) got = 1;
        out[n] = 0;
        for (size_t j = 0; j < got; j++) out[n] = out[n] << 8 | p[i + j];
        i += got;
        n++;
    }
    return n;
}

static unsigned distance(const uint32_t *x, size_t n, const uint32_t *y, size_t m, const levenshtein_options *o) {
    static unsigned d[MOST + 1][MOST + 1];
    unsigned best = LEVENSHTEIN_NONE;
    for (size_t j = 0; j <= m; j++) {
        for (size_t i = 0; i <= n; i++) {
            unsigned least = i ? d[i - 1][j] + 1 : (unsigned)j;
            if (j && (!i || d[i][j - 1] + 1 < least)) least = d[i][j - 1] + 1;
            if (i && j && d[i - 1][j - 1] + (x[i - 1] != y[j - 1]) < least) least = d[i - 1][j - 1] + (x[i - 1] != y[j - 1]);
            if (o->transpositions && i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1] && d[i - 2][j - 2] + 1 < least)
                least = d[i - 2][j - 2] + 1;
            d[i][j] = least;
        }
        if ((o->prefix || j == m) && d[n][j] < best) best = d[n][j];
    }
    return best <= o->edits ? best : LEVENSHTEIN_NONE;
}

/* Follows the term; where it dies, the bound is beyond it. */
static void walk(levenshtein *a, const uint8_t *term, size_t n) {
    levenshtein_state states[MOST + 1] = {levenshtein_start(a)};
    uint8_t bound[MOST + 1 + LEVENSHTEIN_MOST_BYTES];
    for (size_t i = 0; i < n && i < MOST; i++) {
        const levenshtein_bytes *alive = levenshtein_alive(a, states[i]);
        bool may = alive->bits[term[i] / 64] >> term[i] % 64 & 1;
        states[i + 1] = levenshtein_step(a, states[i], term[i]);
        if (states[i + 1] != LEVENSHTEIN_DEAD) {
            check(may || levenshtein_full(a));
            continue;
        }
        size_t size = levenshtein_next(a, states, term, i, bound);
        check(size <= i + 1 + LEVENSHTEIN_MOST_BYTES);
        if (size) check(memcmp(bound, term, size < i + 1 ? size : i + 1) > 0);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 2 || size > 4096) return 0;
    levenshtein_options o = {data[0] & 3, data[0] & 4, data[0] & 8, data[0] >> 4 & 3};
    size_t length = data[1] < size - 2 ? data[1] : size - 2;
    levenshtein *a = NULL;
    slice word = {(const char *)data + 2, length};
    if (levenshtein_create(word, &o, &a, NULL)) return 0;
    uint32_t x[MOST], y[MOST];
    size_t n = symbols(data + 2, length, x), exact = o.exact < n ? o.exact : n;
    for (size_t at = 2 + length; at < size;) {
        const uint8_t *end = memchr(data + at, 0xfe, size - at);
        size_t bytes = end ? (size_t)(end - data) - at : size - at;
        walk(a, data + at, bytes);
        if (bytes <= MOST) {
            size_t m = symbols(data + at, bytes, y);
            bool begins = m >= exact && memcmp(x, y, exact * sizeof *x) == 0;
            unsigned expected = begins ? distance(x + exact, n - exact, y + exact, m - exact, &o) : LEVENSHTEIN_NONE;
            check(levenshtein_match(a, (slice){(const char *)data + at, bytes}) == expected || levenshtein_full(a));
        }
        at += bytes + 1;
    }
    levenshtein_destroy(a);
    return 0;
}
