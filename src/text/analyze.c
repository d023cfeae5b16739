#include "text/analyze.h"

#include "text/icu.h"
#include "text/scan.h"
#include "text/utf8.h"
#include "text/words.h"

#include <stdlib.h>
#include <string.h>

enum { ROOM_BLOCK = 16 * 1024 };                          /* tokens' bytes come from blocks of this size */
enum { RUN_ENOUGH = 64 * 1024, RUN_LIMIT = 1024 * 1024 }; /* bytes that ICU sees at once */

struct text_analyzer {
    text_icu *icu;
    text_words *words;
    text_token *tokens;
    size_t capacity;
    arena memory;
    bool force_icu;

    /* the call in progress */
    slice text;
    text_language language;
    size_t count, limit;
    char *room, *room_end;
};

text_analyzer *text_analyzer_create(void) {
    text_scan_init();
    text_analyzer *a = mem_zalloc(1, sizeof *a);
    a->icu = text_icu_create();
    a->words = text_words_create();
    arena_init(&a->memory, 4 * ROOM_BLOCK);
    return a;
}

void text_analyzer_destroy(text_analyzer *a) {
    if (!a) return;
    text_icu_destroy(a->icu);
    text_words_destroy(a->words);
    arena_release(&a->memory);
    free(a->tokens);
    free(a);
}

void text_analyzer_force_icu(text_analyzer *a, bool force) { a->force_icu = force; }

static bool full(const text_analyzer *a) { return a->limit && a->count >= a->limit; }

/* Makes the ASCII capitals among eight bytes small, all at once: byte by byte, adding 0x7F − 'Z' or 0x80 − 'A' sets
 * the high bit of what lies above. */
static inline uint64_t lower_eight(uint64_t eight) {
    const uint64_t ones = 0x0101010101010101u, high = 0x8080808080808080u;
    uint64_t low = eight & ~high;
    uint64_t above_z = low + ones * (0x7F - 'Z'), from_a = low + ones * (0x80 - 'A');
    return eight | (((from_a ^ above_z) & ~eight & high) >> 2);
}

/* The word's bytes with ASCII capitals made small, so that the cache knows "The" and "the" as one. Turkish keeps its
 * capitals until folding: its I is not an i. May write 7 bytes too many. */
static size_t write_key(text_analyzer *a, size_t start, size_t end, char *key) {
    const char *word = a->text.data + start;
    size_t size = text_cut(word, end - start, TEXT_WORD_BYTES), left = a->text.size - start;
    bool lower = a->language != TEXT_TR;
    for (size_t i = 0; i < size; i += 8) {
        uint64_t eight = 0;
        if (left - i >= 8) memcpy(&eight, word + i, 8);
        else memcpy(&eight, word + i, left - i);
        if (lower) eight = lower_eight(eight);
        memcpy(key + i, &eight, 8);
    }
    return size;
}

static bool is_ascii_letter(char c) { return (uint8_t)((c | 32) - 'a') < 26; }

/* "c#", "f#", "c++", the "c++" of "c++17": the bytes after a one-letter word that belong to its name. */
static size_t sign_after(const text_analyzer *a, size_t start, size_t end) {
    const char *at = a->text.data + end;
    size_t left = a->text.size - end;
    if (end - start != 1 || left == 0 || (*at != '#' && *at != '+') || !is_ascii_letter(at[-1])) return 0;
    size_t size = *at == '#' ? 1 : 2;
    if (left < size || at[size - 1] != at[0]) return 0;
    if (left == size) return size;
    char next = at[size];
    bool goes_on = (uint8_t)next >= 0x80 || next == '#' || next == '+' || next == '_' || is_ascii_letter(next) ||
                   (*at == '#' && next >= '0' && next <= '9');
    return goes_on ? 0 : size;
}

static void add_token(text_analyzer *a, size_t start, size_t end) {
    if (full(a)) return;
    if ((size_t)(a->room_end - a->room) < TEXT_WORD_ROOM) {
        a->room = arena_alloc(&a->memory, ROOM_BLOCK);
        a->room_end = a->room + ROOM_BLOCK;
    }
    if (a->count == a->capacity) a->tokens = mem_grow(a->tokens, &a->capacity, a->count + 1, sizeof *a->tokens);
    end += sign_after(a, start, end);
    size_t used, size = write_key(a, start, end, a->room);
    text_token *token = &a->tokens[a->count];
    if (!text_words_find(a->words, a->language, a->room, size, token, &used)) return;
    token->start = (uint32_t)start;
    token->end = (uint32_t)end;
    token->position = (uint32_t)a->count++;
    a->room += used;
}

/* Whether dots between letters part nothing but single letters: "u.s.a", "j.k". */
static bool is_acronym(const text_analyzer *a, size_t start, size_t end) {
    size_t letters = 0, length;
    for (size_t i = start; i < end; i += length) {
        unsigned class = text_scan_class(a->text, i, &length);
        if (class == TEXT_DOT) letters = 0;
        else if (class != TEXT_LETTER || ++letters > 1) return false;
    }
    return true;
}

/* Splits a word at the dots between its letters, unless it is an acronym. */
static void add_dotted(text_analyzer *a, size_t start, size_t end) {
    if (is_acronym(a, start, end)) {
        add_token(a, start, end);
        return;
    }
    size_t from = start, length;
    unsigned before = TEXT_OTHER;
    for (size_t i = start; i < end; i += length) {
        unsigned class = text_scan_class(a->text, i, &length);
        if (class == TEXT_DOT && before != TEXT_DIGIT && i > from) {
            add_token(a, from, i);
            from = i + length;
        }
        if (class != TEXT_COMPLEX) before = class; /* marks and format characters do not count: WB4 */
    }
    if (from < end) add_token(a, from, end);
}

/* Splits a word of ICU's where the scanner would have ended one, and leaves out the marks that this bares: ICU 72 takes
 * "@.b" for a word. */
static void add_separated(text_analyzer *a, size_t start, size_t end) {
    size_t from = 0, to = 0, length; /* of the part so far, from its first letter to its last; to 0: no letter yet */
    bool dot = false, dotted = false;
    for (size_t i = start; i <= end; i += length) {
        unsigned class = i < end ? text_scan_class(a->text, i, &length) : TEXT_OTHER;
        if (class == TEXT_OTHER) {
            if (to && dotted) add_dotted(a, from, to);
            else if (to) add_token(a, from, to);
            if (i == end) return;
            to = 0;
            dot = dotted = false;
        } else if (class >= TEXT_MIDLETTER && class <= TEXT_DOUBLE) {
            dot = dot || (class == TEXT_DOT && to);
        } else {
            if (!to) from = i;
            to = i + length;
            dotted = dot;
        }
    }
}

/* Analyses [start, end) with ICU, piece by piece. */
static void run_icu(text_analyzer *a, size_t start, size_t end) {
    while (start < end && !full(a)) {
        size_t size = text_cut(a->text.data + start, end - start, RUN_LIMIT), from, to;
        bool emoji;
        text_icu_begin(a->icu, (slice){a->text.data + start, size});
        while (!full(a) && text_icu_next(a->icu, &from, &to, &emoji)) {
            if (emoji) add_token(a, start + from, start + to);
            else add_separated(a, start + from, start + to);
        }
        start += size;
    }
}

/* Where a run of text for ICU that holds byte `i` begins: after white space, which ends words in every script. */
static size_t run_start(slice text, size_t i, size_t floor) {
    while (i > floor && !text_is_space((uint8_t)text.data[i - 1])) i--;
    return i;
}

/* And where it ends: at white space that simple text follows. */
static size_t run_end(slice text, size_t start, size_t i) {
    for (; i < text.size; i++) {
        if (!text_is_space((uint8_t)text.data[i])) continue;
        size_t length;
        if (i + 1 == text.size || i - start >= RUN_ENOUGH) break;
        if (text_scan_class(text, i + 1, &length) != TEXT_COMPLEX) break;
    }
    return i;
}

/* Scans, and hands what the scanner does not know to ICU: from the white space before it, so the tokens that the
 * scanner found since then are taken back. */
static void run_scanner(text_analyzer *a) {
    size_t at = 0, end, floor = 0;
    unsigned flags;
    while (!full(a)) {
        size_t start = at;
        text_scanned found = text_scan_word(a->text, &start, &end, &flags);
        if (found == TEXT_SCAN_END) return;
        if (found == TEXT_SCAN_WORD) {
            if (flags & TEXT_DOTTED) add_dotted(a, start, end);
            else add_token(a, start, end);
            at = end;
            continue;
        }
        size_t from = run_start(a->text, start, floor);
        while (a->count && a->tokens[a->count - 1].start >= from) a->count--;
        floor = at = run_end(a->text, from, start);
        run_icu(a, from, at);
    }
}

text_tokens text_analyze(text_analyzer *a, slice text, text_language language, size_t limit) {
    if (text.size > UINT32_MAX) text.size = UINT32_MAX;
    a->text = text;
    a->language = language;
    a->limit = limit;
    a->count = 0;
    arena_reset(&a->memory);
    a->room = a->room_end = NULL;
    if (a->force_icu) run_icu(a, 0, text.size);
    else run_scanner(a);
    return (text_tokens){a->tokens, a->count};
}

size_t text_query_tokens(text_tokens tokens, text_token *out) {
    size_t kept = 0;
    for (size_t i = 0; i < tokens.count; i++)
        if (!tokens.tokens[i].stopword) out[kept++] = tokens.tokens[i];
    if (kept == 0 && tokens.count) memcpy(out, tokens.tokens, tokens.count * sizeof *out);
    return kept ? kept : tokens.count;
}
