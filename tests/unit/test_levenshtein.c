/* The automaton against the dynamic program, on every short string and on real and broken UTF-8. */
#include "testing.h"

#include "base/random.h"
#include "sparse/levenshtein.h"

enum { MOST = 96 };

/* ---- The oracle: symbols decoded apart from the automaton, the whole matrix ---- */

static size_t decode(slice text, uint32_t out[MOST]) {
    const uint8_t *p = (const uint8_t *)text.data;
    size_t n = 0;
    for (size_t i = 0; i < text.size;) {
        size_t size = p[i] < 0xc0 || p[i] > 0xf7 ? 1 : p[i] < 0xe0 ? 2 : p[i] < 0xf0 ? 3 : 4, got = 1;
        while (got < size && i + got < text.size && p[i + got] >> 6 == 2) got++;
        if (got < size) size = 1;
        uint32_t symbol = 0; /* a lone byte is not the code point of its number: others have their lead byte in front */
        for (size_t j = 0; j < size; j++) symbol = symbol << 8 | p[i + j];
        out[n++] = symbol;
        i += size;
    }
    return n;
}

static uint32_t least(uint32_t a, uint32_t b) { return a < b ? a : b; }

static uint8_t oracle(slice word, slice term, const levenshtein_options *o) {
    uint32_t w[MOST], t[MOST], d[MOST + 1][MOST + 1];
    size_t n = decode(word, w), m = decode(term, t), exact = o->exact < n ? o->exact : n;
    for (size_t i = 0; i < exact; i++)
        if (i >= m || w[i] != t[i]) return LEVENSHTEIN_NONE;
    const uint32_t *x = w + exact, *y = t + exact;
    n -= exact;
    m -= exact;
    uint32_t found = UINT32_MAX;
    for (size_t j = 0; j <= m; j++) {
        for (size_t i = 0; i <= n; i++) {
            if (i == 0 || j == 0) {
                d[i][j] = (uint32_t)(i + j);
                continue;
            }
            d[i][j] = least(least(d[i - 1][j], d[i][j - 1]) + 1, d[i - 1][j - 1] + (x[i - 1] != y[j - 1]));
            if (o->transpositions && i > 1 && j > 1 && x[i - 1] == y[j - 2] && x[i - 2] == y[j - 1])
                d[i][j] = least(d[i][j], d[i - 2][j - 2] + 1);
        }
        if (o->prefix || j == m) found = least(found, d[n][j]);
    }
    return found <= o->edits ? (uint8_t)found : LEVENSHTEIN_NONE;
}

static levenshtein *make(slice word, const levenshtein_options *o) {
    levenshtein *a = NULL;
    base_error error = {0};
    if (levenshtein_create(word, o, &a, &error)) fail_msg("%s", error.message);
    return a;
}

static void show(slice word, slice term, const levenshtein_options *o, uint8_t got, uint8_t expected) {
    if (got == expected) return;
    printf("word");
    for (size_t i = 0; i < word.size; i++) printf(" %02x", (uint8_t)word.data[i]);
    printf(" term");
    for (size_t i = 0; i < term.size; i++) printf(" %02x", (uint8_t)term.data[i]);
    fail_msg("k %u transpositions %d prefix %d exact %u: %u, expected %u", o->edits, o->transpositions, o->prefix, o->exact,
             got, expected);
}

/* Steps agree with the whole; a dead state is never one with a match ahead, and its byte was allowed to be dead. */
static void compare(levenshtein *a, slice word, slice term, const levenshtein_options *o) {
    uint8_t expected = oracle(word, term, o);
    show(word, term, o, levenshtein_match(a, term), expected);
    levenshtein_state at = levenshtein_start(a);
    for (size_t i = 0; i < term.size; i++) {
        uint8_t byte = (uint8_t)term.data[i];
        const levenshtein_bytes *alive = levenshtein_alive(a, at);
        bool may = alive->bits[byte / 64] >> byte % 64 & 1;
        levenshtein_state to = levenshtein_step(a, at, byte);
        if (!may) assert_int_equal(to, LEVENSHTEIN_DEAD);
        if (to == LEVENSHTEIN_DEAD) {
            show(word, term, o, LEVENSHTEIN_NONE, expected);
            return;
        }
        at = to;
    }
}

/* ---- Every string over three letters ---- */

enum { LETTERS = 3, LONGEST = 5 };

static size_t all_strings(char (*out)[LONGEST + 1]) {
    size_t n = 0, begin = 0;
    out[n++][0] = '\0';
    for (int length = 1; length <= LONGEST; length++) {
        size_t end = n;
        for (; begin < end; begin++)
            for (int c = 0; c < LETTERS; c++) {
                size_t before = strlen(out[begin]);
                memcpy(out[n], out[begin], before);
                out[n][before] = (char)('a' + c);
                out[n++][before + 1] = '\0';
            }
    }
    return n;
}

static void every_short_string(void **state) {
    (void)state;
    static char strings[400][LONGEST + 1];
    size_t n = all_strings(strings);
    assert_int_equal(n, 364);
    for (uint32_t kind = 0; kind < 12; kind++) {
        levenshtein_options o = {.edits = kind % 3, .transpositions = kind / 3 % 2, .prefix = kind / 6};
        for (size_t i = 0; i < n; i++) {
            if (strlen(strings[i]) == LONGEST && i % 7) continue;
            levenshtein *a = make(slice_of(strings[i]), &o);
            for (size_t j = 0; j < n; j++) {
                slice term = slice_of(strings[j]);
                uint8_t expected = oracle(slice_of(strings[i]), term, &o);
                show(slice_of(strings[i]), term, &o, levenshtein_match(a, term), expected);
            }
            levenshtein_destroy(a);
        }
    }
}

/* ---- Random words over alphabets that make trouble ---- */

static const char *const ascii[] = {"a", "b", "c", "d"};
static const char *const accents[] = {"a", "é", "è", "ß", "€", "₭", "字", "😀", "😁"};
static const char *const broken[] = {"a", "\xe2\x82\xac", "\xe2", "\x82", "\xac", "\xc3", "\xa9", "\xf0\x9f", "\xff", "\xc3\xa9", "\x80"};

typedef struct alphabet {
    const char *const *symbols;
    size_t n;
} alphabet;

static size_t random_word(random_source *r, const alphabet *from, size_t most, char *out) {
    size_t length = random_below(r, most + 1), n = 0;
    for (size_t i = 0; i < length; i++) {
        const char *symbol = from->symbols[random_below(r, from->n)];
        memcpy(out + n, symbol, strlen(symbol));
        n += strlen(symbol);
    }
    return n;
}

/* Whole symbols inserted, deleted and replaced; in the broken alphabet, bytes of symbols too. */
static size_t misspell(random_source *r, const alphabet *from, const char *word, size_t n, char *out) {
    memcpy(out, word, n);
    for (uint64_t edits = random_below(r, 4); edits > 0; edits--) {
        const char *symbol = from->symbols[random_below(r, from->n)];
        size_t at = random_below(r, n + 1), size = strlen(symbol), removed = random_below(r, 3);
        if (removed > n - at) removed = n - at;
        if (random_below(r, 4) == 0) size = 0;
        memmove(out + at + size, out + at + removed, n - at - removed);
        memcpy(out + at, symbol, size);
        n = n - removed + size;
    }
    return n;
}

static void random_words(void **state) {
    (void)state;
    static const alphabet alphabets[] = {{ascii, 4}, {accents, 9}, {broken, 11}};
    random_source r;
    random_seed(&r, 5);
    for (int round = 0; round < 900; round++) {
        const alphabet *from = &alphabets[round % 3];
        char word[MOST], term[2 * MOST];
        slice w = {word, random_word(&r, from, 12, word)};
        levenshtein_options o = {(uint32_t)random_below(&r, 4), random_below(&r, 2), random_below(&r, 3) == 0,
                                 random_below(&r, 3) ? 0 : (uint32_t)random_below(&r, 4)};
        levenshtein *a = make(w, &o);
        for (int i = 0; i < 40; i++) {
            slice t = {term, i % 4 ? misspell(&r, from, word, w.size, term) : random_word(&r, from, 14, term)};
            compare(a, w, t, &o);
        }
        assert_false(levenshtein_full(a));
        levenshtein_destroy(a);
    }
}

/* A word of the largest length, with the most edits. */
static void longest_word(void **state) {
    (void)state;
    random_source r;
    random_seed(&r, 6);
    char word[LEVENSHTEIN_MOST_SYMBOLS + 1], term[2 * MOST];
    const alphabet from = {ascii, 4};
    for (size_t i = 0; i < LEVENSHTEIN_MOST_SYMBOLS; i++) word[i] = (char)('a' + random_below(&r, 4));
    slice w = {word, LEVENSHTEIN_MOST_SYMBOLS};
    levenshtein_options o = {.edits = 3, .transpositions = true};
    levenshtein *a = make(w, &o);
    for (int i = 0; i < 300; i++) compare(a, w, (slice){term, misspell(&r, &from, word, w.size, term)}, &o);
    levenshtein_destroy(a);
    base_error error;
    word[LEVENSHTEIN_MOST_SYMBOLS] = 'a';
    assert_int_equal(levenshtein_create((slice){word, sizeof word}, &o, &a, &error), FORAGE_E_INVALID);
    assert_non_null(strstr(error.message, "at most 63"));
    o.edits = 4;
    assert_int_equal(levenshtein_create(w, &o, &a, &error), FORAGE_E_INVALID);
}

/* ---- The next key ---- */

static int compare_strings(const void *x, const void *y) { return strcmp(x, y); }

/* Where the walk over all strings in order meets a dead one, nothing between it and the bound matches, and the bound is
 * beyond everything that begins as badly. */
static void next_key(void **state) {
    (void)state;
    static char strings[400][LONGEST + 1];
    size_t n = all_strings(strings);
    qsort(strings, n, sizeof *strings, compare_strings);
    static const char *const words[] = {"", "b", "abc", "cab", "bbbbb", "acacac", "bcx"};
    for (uint32_t kind = 0; kind < 7 * 12; kind++) {
        slice word = slice_of(words[kind / 12]);
        levenshtein_options o = {.edits = kind % 3, .transpositions = kind / 3 % 2, .prefix = kind / 6 % 2};
        levenshtein *a = make(word, &o);
        for (size_t i = 0; i < n; i++) {
            levenshtein_state states[LONGEST + 1] = {levenshtein_start(a)}, to = states[0];
            size_t at = 0, size = strlen(strings[i]);
            for (; at < size; at++) {
                to = levenshtein_step(a, states[at], (uint8_t)strings[i][at]);
                if (to == LEVENSHTEIN_DEAD) break;
                states[at + 1] = to;
            }
            if (at == size) continue;
            uint8_t out[LONGEST + 1 + LEVENSHTEIN_MOST_BYTES];
            slice bound = {(char *)out, levenshtein_next(a, states, (const uint8_t *)strings[i], at, out)};
            if (bound.size) assert_true(memcmp(out, strings[i], bound.size < at + 1 ? bound.size : at + 1) > 0);
            for (size_t j = i + 1; j < n; j++) {
                slice later = slice_of(strings[j]);
                if (oracle(word, later, &o) == LEVENSHTEIN_NONE) continue;
                assert_true(bound.size && slice_compare(bound, later) <= 0);
                break;
            }
        }
        levenshtein_destroy(a);
    }
}

/* The bound jumps to the rest of the word, not to its next letter alone. */
static void next_key_is_far(void **state) {
    (void)state;
    levenshtein_options o = {.edits = 1};
    levenshtein *a = make(SLICE("package"), &o);
    levenshtein_state states[2] = {levenshtein_start(a), levenshtein_step(a, levenshtein_start(a), 'x')};
    uint8_t out[2 + LEVENSHTEIN_MOST_BYTES];
    assert_int_equal(levenshtein_step(a, states[1], 'b'), LEVENSHTEIN_DEAD);
    static const char *const bounds[][2] = {{"xA", "xackage"}, {"xb", "xpackage"}, {"xx", "yackage"}};
    for (size_t i = 0; i < 3; i++) {
        size_t n = levenshtein_next(a, states, (const uint8_t *)bounds[i][0], 1, out);
        assert_true(slice_is((slice){(char *)out, n}, bounds[i][1]));
    }
    levenshtein_destroy(a);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_short_string), cmocka_unit_test(random_words),     cmocka_unit_test(longest_word),
        cmocka_unit_test(next_key),           cmocka_unit_test(next_key_is_far),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
