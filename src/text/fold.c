#include "text/fold.h"

#include "text/icu.h"
#include "text/utf8.h"

#include <string.h>

enum { LETTERS = 128 }; /* more code points than 64 bytes of UTF-8 hold, expanded */

static bool is_apostrophe(uint32_t c) { return c == '\'' || c == 0x2018 || c == 0x2019 || c == 0x2BB || c == 0x2BC; }

/* Whether `word` of n code points is one of the space-separated ASCII words in `list`. */
static bool is_one_of(const uint32_t *word, size_t n, const char *list) {
    char text[16];
    if (n == 0 || n >= sizeof text) return false;
    for (size_t i = 0; i < n; i++) {
        if (word[i] >= 0x80) return false;
        text[i] = (char)word[i];
    }
    for (const char *at = list; *at;) {
        size_t size = strcspn(at, " ");
        if (size == n && memcmp(at, text, n) == 0) return true;
        at += size + (at[size] == ' ');
    }
    return false;
}

static const char *clitics_before(text_language language) {
    switch (language) {
    case TEXT_FR: return "l d j m t s n c qu jusqu lorsqu puisqu quoiqu";
    case TEXT_IT: return "l d un dell nell all dall sull coll quest quell dev c n s m t v gl";
    case TEXT_CA: return "l d m t s n";
    default: return "";
    }
}

static const char *clitics_after(text_language language) {
    switch (language) {
    case TEXT_EN: return "s ll ve re d m";
    case TEXT_DE:
    case TEXT_NL: return "s";
    default: return "";
    }
}

/* Narrows [*from, *to) to the word without the clitics that apostrophes tie to it. */
static void drop_clitics(const uint32_t *c, size_t *from, size_t *to, text_language language) {
    size_t first = *from, last;
    while (first < *to && !is_apostrophe(c[first])) first++;
    if (first == *to || first == *from) return;
    for (last = *to - 1; !is_apostrophe(c[last]);) last--;
    if (last + 1 == *to) return;
    if (language == TEXT_TR) *to = first;
    else if (is_one_of(c + *from, first - *from, clitics_before(language))) *from = first + 1;
    else if (is_one_of(c + last + 1, *to - last - 1, clitics_after(language))) *to = last;
}

static bool digit_at(const uint32_t *c, size_t n, size_t i) { return i < n && c[i] >= '0' && c[i] <= '9'; }

/* A comma before exactly three digits groups thousands, whatever the language; other commas stay ("2,5"). */
static bool groups(const uint32_t *c, size_t n, size_t i) {
    return digit_at(c, n, i + 1) && digit_at(c, n, i + 2) && digit_at(c, n, i + 3) && !digit_at(c, n, i + 4);
}

/* Keeps letters, digits, marks and symbols, and the points of numbers. */
static size_t drop_punctuation(uint32_t *c, size_t n) {
    for (size_t i = 0; i < n; i++) {
        int digit = text_icu_digit(c[i]);
        if (digit >= 0) c[i] = '0' + (uint32_t)digit;
        if (c[i] == 0x66B) c[i] = '.'; /* the Arabic decimal separator */
    }
    size_t kept = 0;
    uint32_t previous = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t here = c[i];
        bool in_number = previous >= '0' && previous <= '9' && digit_at(c, n, i + 1);
        previous = here;
        bool keep = here == '#' || (!is_apostrophe(here) && !text_icu_ignorable(here));
        if (here == '.') keep = in_number;
        if (here == ',') keep = in_number && !groups(c, n, i);
        if (keep) c[kept++] = here;
    }
    return kept;
}

static size_t encode(const uint32_t *c, size_t n, char out[TEXT_WORD_BYTES]) {
    size_t size = 0;
    for (size_t i = 0; i < n; i++) {
        char bytes[4];
        size_t length = text_encode(c[i], bytes);
        if (size + length > TEXT_WORD_BYTES) break;
        memcpy(out + size, bytes, length);
        size += length;
    }
    return size;
}

static size_t strip(const uint32_t *c, size_t n, char out[TEXT_WORD_BYTES]) {
    uint32_t plain[LETTERS * 4], base = 0;
    size_t size = 0;
    for (size_t i = 0; i < n; i++) size += text_icu_strip(c[i], &base, plain + size);
    return encode(plain, size, out);
}

/* Most words: nothing but small ASCII letters and digits. */
static bool is_plain(slice word) {
    for (size_t i = 0; i < word.size; i++) {
        char c = word.data[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= '0' && c <= '9')) return false;
    }
    return word.size <= TEXT_WORD_BYTES;
}

void text_fold_word(slice word, text_language language, text_folded *out) {
    if (is_plain(word)) {
        memcpy(out->folded, word.data, word.size);
        memcpy(out->accented, word.data, word.size);
        out->folded_size = out->accented_size = word.size;
        return;
    }
    uint32_t c[LETTERS];
    size_t from = 0, to = text_icu_casefold(word, language == TEXT_TR, c, LETTERS);
    drop_clitics(c, &from, &to, language);
    size_t n = drop_punctuation(c + from, to - from);
    out->accented_size = encode(c + from, n, out->accented);
    out->folded_size = strip(c + from, n, out->folded);
}

size_t text_fold_accents(slice word, char *out) {
    if (is_plain(word)) {
        memcpy(out, word.data, word.size);
        return word.size;
    }
    uint32_t c[LETTERS];
    const uint8_t *p = (const uint8_t *)word.data;
    size_t n = 0, length;
    for (size_t i = 0; i < word.size && n < LETTERS; i += length) c[n++] = text_decode(p + i, word.size - i, &length);
    return strip(c, n, out);
}
