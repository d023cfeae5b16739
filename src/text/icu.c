#include "text/icu.h"

#include "base/log.h"
#include "text/utf8.h"

#include <stdlib.h>
#include <string.h>
#include <unicode/ubrk.h>
#include <unicode/uchar.h>
#include <unicode/unorm2.h>
#include <unicode/uscript.h>
#include <unicode/utf16.h>

enum { FOLD_UNITS = 256, FOLDED_UNITS = FOLD_UNITS * 18 }; /* one code unit becomes at most 18 in NFKC (U+FDFA) */

struct text_icu {
    UBreakIterator *words;
    UChar *units;
    uint32_t *offsets; /* of each unit, and of the end: bytes in the text */
    size_t capacity;
    int32_t at;
};

/* ICU's data is part of its library: failing to open it is like running out of memory. */
static void must(UErrorCode code, const char *doing) {
    if (U_SUCCESS(code)) return;
    log_error("ICU cannot %s: %s", doing, u_errorName(code));
    abort();
}

static const UNormalizer2 *casefold_rules(void) {
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *rules = unorm2_getNFKCCasefoldInstance(&code);
    must(code, "load its normalisation data");
    return rules;
}

static text_class class_of_mark(uint32_t c, int property) {
    switch (c) {
    case ';':
    case ':':
    case 0x37E:
    case 0x589:
    case 0xFE13:
    case 0xFE14:
    case 0xFE54:
    case 0xFE55:
    case 0xFF1A:
    case 0xFF1B: return TEXT_OTHER;
    case '.':
    case 0x2024:
    case 0xFE52:
    case 0xFF0E: return TEXT_DOT;
    default: return property == U_WB_MIDLETTER ? TEXT_MIDLETTER : property == U_WB_MIDNUM ? TEXT_MIDNUM : TEXT_QUOTE;
    }
}

text_class text_icu_class(uint32_t c) {
    int property = u_getIntPropertyValue((UChar32)c, UCHAR_WORD_BREAK);
    switch (property) {
    case U_WB_ALETTER: return TEXT_LETTER;
    case U_WB_NUMERIC: return TEXT_DIGIT;
    case U_WB_MIDLETTER:
    case U_WB_MIDNUM:
    case U_WB_MIDNUMLET:
    case U_WB_SINGLE_QUOTE: return class_of_mark(c, property);
    case U_WB_DOUBLE_QUOTE: return TEXT_DOUBLE;
    case U_WB_EXTENDNUMLET:
    case U_WB_CR:
    case U_WB_LF:
    case U_WB_NEWLINE:
    case U_WB_WSEGSPACE: return TEXT_OTHER;
    case U_WB_OTHER: /* letters among these are segmented by dictionaries */
        return u_hasBinaryProperty((UChar32)c, UCHAR_ALPHABETIC) ? TEXT_COMPLEX : TEXT_OTHER;
    default: return TEXT_COMPLEX;
    }
}

text_icu *text_icu_create(void) {
    UErrorCode code = U_ZERO_ERROR;
    text_icu *icu = mem_zalloc(1, sizeof *icu);
    icu->words = ubrk_open(UBRK_WORD, "", NULL, 0, &code);
    must(code, "load its word boundary rules");
    return icu;
}

void text_icu_destroy(text_icu *icu) {
    if (!icu) return;
    ubrk_close(icu->words);
    free(icu->units);
    free(icu->offsets);
    free(icu);
}

void text_icu_begin(text_icu *icu, slice text) {
    if (icu->capacity < text.size + 1) {
        icu->capacity = text.size + text.size / 2 + 64;
        icu->units = mem_realloc(icu->units, icu->capacity * sizeof *icu->units);
        icu->offsets = mem_realloc(icu->offsets, icu->capacity * sizeof *icu->offsets);
    }
    const uint8_t *p = (const uint8_t *)text.data;
    size_t n = 0, length;
    for (size_t i = 0; i < text.size; i += length) {
        uint32_t c = text_decode(p + i, text.size - i, &length);
        size_t units = c < 0x10000 ? 1 : 2; /* never more units than bytes */
        icu->units[n] = units == 1 ? (UChar)c : U16_LEAD(c);
        if (units == 2) icu->units[n + 1] = U16_TRAIL(c);
        icu->offsets[n] = icu->offsets[n + units - 1] = (uint32_t)i;
        n += units;
    }
    icu->offsets[n] = (uint32_t)text.size;
    UErrorCode code = U_ZERO_ERROR;
    ubrk_setText(icu->words, icu->units, (int32_t)n, &code);
    must(code, "segment text");
    icu->at = 0;
}

/* Pictographs that people search for: not the trade marks and letter-like signs below the arrows. */
static bool is_emoji(UChar32 c) {
    return c >= 0x2190 &&
           (u_hasBinaryProperty(c, UCHAR_EXTENDED_PICTOGRAPHIC) || u_hasBinaryProperty(c, UCHAR_REGIONAL_INDICATOR));
}

bool text_icu_next(text_icu *icu, size_t *start, size_t *end, bool *emoji) {
    for (;;) {
        int32_t from = icu->at, to = ubrk_next(icu->words);
        if (to == UBRK_DONE) return false;
        icu->at = to;
        bool word = ubrk_getRuleStatus(icu->words) >= UBRK_WORD_NONE_LIMIT;
        if (!word) {
            UChar32 first;
            U16_GET(icu->units, from, from, to, first);
            if (!is_emoji(first)) continue;
        }
        *emoji = !word;
        *start = icu->offsets[from];
        *end = icu->offsets[to];
        return true;
    }
}

static size_t to_units(slice text, bool turkish, UChar out[FOLD_UNITS]) {
    const uint8_t *p = (const uint8_t *)text.data;
    size_t n = 0, length;
    for (size_t i = 0; i < text.size && n + 2 <= FOLD_UNITS; i += length) {
        uint32_t c = text_decode(p + i, text.size - i, &length);
        if (turkish && (c == 'I' || c == 0x130)) c = c == 'I' ? 0x131 : 'i';
        if (c < 0x10000) {
            out[n++] = (UChar)c;
        } else {
            out[n++] = U16_LEAD(c);
            out[n++] = U16_TRAIL(c);
        }
    }
    return n;
}

size_t text_icu_casefold(slice word, bool turkish, uint32_t *out, size_t room) {
    UChar units[FOLD_UNITS], folded[FOLDED_UNITS];
    size_t n = to_units(word, turkish, units);
    UErrorCode code = U_ZERO_ERROR;
    int32_t size = unorm2_normalize(casefold_rules(), units, (int32_t)n, folded, FOLDED_UNITS, &code);
    must(code, "normalise a word");
    size_t written = 0;
    for (int32_t i = 0; i < size && written < room;) {
        UChar32 c;
        U16_NEXT(folded, i, size, c);
        out[written++] = (uint32_t)c;
    }
    return written;
}

/* The end of the next part to fold: at least one character, at most FOLD_UNITS bytes, and where possible before a
 * character that normalisation keeps apart from what precedes it. */
static size_t part_end(const UNormalizer2 *rules, const uint8_t *p, size_t from, size_t size) {
    if (size - from <= FOLD_UNITS - 2) return size;
    size_t best = 0, at = from, length;
    while (at < from + FOLD_UNITS - 8) {
        text_decode(p + at, size - at, &length);
        at += length;
        uint32_t next = text_decode(p + at, size - at, &length);
        if (unorm2_hasBoundaryBefore(rules, (UChar32)next)) best = at;
    }
    return best ? best : at;
}

void text_icu_casefold_long(slice text, buffer *out) {
    const UNormalizer2 *rules = casefold_rules();
    uint32_t folded[FOLDED_UNITS];
    for (size_t from = 0; from < text.size;) {
        size_t end = part_end(rules, (const uint8_t *)text.data, from, text.size);
        size_t n = text_icu_casefold((slice){text.data + from, end - from}, false, folded, FOLDED_UNITS);
        char *to = buffer_reserve(out, n * 4);
        size_t size = 0;
        for (size_t i = 0; i < n; i++) size += text_encode(folded[i], to + size);
        out->size += size;
        from = end;
    }
}

static bool is_mark(uint32_t c) { return (U_GET_GC_MASK((UChar32)c) & (U_GC_MN_MASK | U_GC_ME_MASK)) != 0; }

static UScriptCode script_of(uint32_t c) {
    UErrorCode code = U_ZERO_ERROR;
    return uscript_getScript((UChar32)c, &code);
}

/* Letters that have no decomposition but a plain spelling that people type. */
static size_t plain_letter(uint32_t c, uint32_t out[2]) {
    static const struct {
        uint16_t from;
        char to[3];
    } plain[] = {
        {0xE6, "ae"}, {0xF0, "d"},  {0xF8, "o"},  {0xFE, "th"},  {0x111, "d"},
        {0x127, "h"}, {0x131, "i"}, {0x142, "l"}, {0x153, "oe"}, {0x167, "t"},
    };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++) {
        if (plain[i].from != c) continue;
        out[0] = (uint8_t)plain[i].to[0];
        out[1] = (uint8_t)plain[i].to[1];
        return plain[i].to[1] ? 2 : 1;
    }
    out[0] = c;
    return 1;
}

static size_t strip_european(uint32_t c, uint32_t out[4]) {
    if (c == 0x439 || c == 0x457 || c == 0x45E) { /* й ї ў */
        out[0] = c;
        return 1;
    }
    UChar units[16];
    UErrorCode code = U_ZERO_ERROR;
    const UNormalizer2 *nfd = unorm2_getNFDInstance(&code);
    must(code, "load its normalisation data");
    int32_t size = unorm2_getDecomposition(nfd, (UChar32)c, units, 16, &code);
    if (U_FAILURE(code) || size < 0) return plain_letter(c, out);
    size_t n = 0;
    for (int32_t i = 0; i < size && n + 2 <= 4;) {
        UChar32 part;
        U16_NEXT(units, i, size, part);
        if (!is_mark((uint32_t)part)) n += plain_letter((uint32_t)part, out + n);
    }
    return n;
}

size_t text_icu_strip(uint32_t c, uint32_t *base, uint32_t out[4]) {
    out[0] = c;
    if (c < 0x80) {
        *base = c;
        return 1;
    }
    bool mark = is_mark(c);
    if (!mark) *base = c;
    UScriptCode script = *base ? script_of(*base) : USCRIPT_COMMON;
    bool european = script == USCRIPT_LATIN || script == USCRIPT_GREEK || script == USCRIPT_CYRILLIC;
    if (mark) return *base && !european && script != USCRIPT_HEBREW && script != USCRIPT_ARABIC;
    if (european) return strip_european(c, out);
    if (c == 0x640) return 0;       /* tatweel only stretches a word */
    if (c == 0x6CC) out[0] = 0x64A; /* Persian and Arabic keyboards differ in yeh and kaf */
    else if (c == 0x6A9) out[0] = 0x643;
    return 1;
}

int text_icu_digit(uint32_t c) { return u_charDigitValue((UChar32)c); }

bool text_icu_space(uint32_t c) { return u_isUWhiteSpace((UChar32)c); }

bool text_icu_ignorable(uint32_t c) {
    return (U_GET_GC_MASK((UChar32)c) & (U_GC_P_MASK | U_GC_Z_MASK | U_GC_CC_MASK | U_GC_CF_MASK)) != 0;
}

text_piece text_icu_piece(uint32_t c) {
    if (c == '\t' || c == '\n' || c == '\r' || c == ' ') return TEXT_PIECE_SPACE;
    if (c == 0 || c == TEXT_REPLACEMENT) return TEXT_PIECE_CONTROL;
    if (c < 0x80 && ((c >= 33 && c <= 47) || (c >= 58 && c <= 64) || (c >= 91 && c <= 96) || (c >= 123 && c <= 126)))
        return TEXT_PIECE_PUNCTUATION;
    uint32_t mask = U_GET_GC_MASK((UChar32)c);
    if (mask & U_GC_C_MASK) return TEXT_PIECE_CONTROL;
    if (mask & U_GC_Z_MASK) return TEXT_PIECE_SPACE;
    if (mask & U_GC_P_MASK) return TEXT_PIECE_PUNCTUATION;
    return mask & U_GC_MN_MASK ? TEXT_PIECE_MARK : TEXT_PIECE_LETTER;
}

size_t text_icu_decompose(uint32_t c, uint32_t out[18]) {
    UErrorCode code = U_ZERO_ERROR;
    UChar units[36];
    const UNormalizer2 *nfd = unorm2_getNFDInstance(&code);
    int32_t size = U_SUCCESS(code) ? unorm2_getDecomposition(nfd, (UChar32)c, units, 36, &code) : -1;
    size_t n = 0;
    out[0] = c;
    if (size < 0 || U_FAILURE(code)) return 1;
    for (int32_t i = 0; i < size && n < 18;) {
        UChar32 next;
        U16_NEXT(units, i, size, next);
        out[n++] = (uint32_t)next;
    }
    return n;
}

uint32_t text_icu_lower(uint32_t c) { return (uint32_t)u_tolower((UChar32)c); }
