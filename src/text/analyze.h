/* Text to tokens: normalisation, word segmentation, folding, stopwords, stems. ICU, libstemmer and libexttextcat enter
 * the project in this folder (icu.c, stem.c, language.c). Analyzers are per thread; the language table is shared.
 *
 * Text in Latin, Greek, Cyrillic and Armenian letters never reaches ICU's segmenter; the fast path gives exactly the
 * tokens ICU would give (tested). */
#ifndef TEXT_ANALYZE_H
#define TEXT_ANALYZE_H

#include "base/memory.h"
#include "base/status.h"

/* Languages by ISO 639-1 code. TEXT_ANY means unknown: folding only, no stems, no stopwords. */
typedef enum text_language {
    TEXT_ANY, TEXT_AR, TEXT_CA, TEXT_DA, TEXT_DE, TEXT_EL, TEXT_EN, TEXT_ES, TEXT_EU, TEXT_FI, TEXT_FR, TEXT_GA,
    TEXT_HI, TEXT_HU, TEXT_HY, TEXT_ID, TEXT_IT, TEXT_LT, TEXT_NE, TEXT_NL, TEXT_NO, TEXT_PT, TEXT_RO, TEXT_RU,
    TEXT_SR, TEXT_SV, TEXT_TA, TEXT_TR, TEXT_YI, TEXT_ZH, TEXT_JA, TEXT_KO, TEXT_TH, TEXT_LANGUAGES
} text_language;

const char *text_language_code(text_language language);              /* "en"; "" for TEXT_ANY */
forage_status text_language_from_code(slice code, text_language *out); /* "en", "en-GB", "eng"; FORAGE_E_NOT_FOUND */

/* The likely language of a query or a document, with a confidence in [0, 1]. Short or ambiguous text gives `fallback`.
 * Thread-safe. Cost: microseconds for a query. */
text_language text_detect_language(slice text, text_language fallback, double *confidence);

typedef struct text_token {
    slice term;       /* what is indexed: folded, stemmed */
    slice folded;     /* before stemming */
    uint32_t start, end; /* bytes in the input */
    uint32_t position;   /* counts stopwords too */
    bool stopword;    /* kept, and marked: see text_analyze */
} text_token;

typedef struct text_tokens {
    const text_token *tokens;
    size_t count;
} text_tokens;

typedef struct text_analyzer text_analyzer; /* scratch memory and handles; one per thread */
text_analyzer *text_analyzer_create(void);
void text_analyzer_destroy(text_analyzer *a);

/* How text becomes tokens, beyond Unicode's word rules (UAX #29):
 * - "foo_bar", "node.js" and "1;2" are two tokens each; letters with dots are one ("U.S.A." → usa, "J.K." → jk);
 * - numbers keep their point and lose their grouping (3.14 → 3.14, 1,000 → 1000); decimal digits become ASCII's;
 * - one letter followed by # or ++ keeps it (c#, c++); emoji are tokens, other symbols are not;
 * - apostrophes vanish (don't → dont, O'Brien → obrien) after clitics of the language: 's 'll 've 're 'd 'm in English,
 *   's in German and Dutch, l' d' qu' … in French, Italian and Catalan, everything after the apostrophe in Turkish;
 * - folding is the same for every language: NFKC, case, accents of Latin, Greek and Cyrillic letters (й, ї and ў are
 *   letters), Hebrew points, Arabic harakat and tatweel; ß → ss, æ → ae, ø → o, ł → l, ı → i. */

/* Tokens of `text` (any bytes: invalid UTF-8 becomes U+FFFD, which separates words). Stopwords come marked, not removed:
 * the index takes them all; a query drops marked ones unless nothing else would remain ("The Who", "to be or not to be").
 * Words longer than 64 bytes are cut; at most `limit` tokens are returned (0: no limit). The result lives until the
 * analyzer's next call. CJK and Thai text is segmented by ICU's dictionaries. */
text_tokens text_analyze(text_analyzer *a, slice text, text_language language, size_t limit);

/* The rule for queries: the tokens that are searched for, in order, written to `out` (room for `tokens.count`). Stopwords
 * go, unless nothing else would remain: then all stay. Returns how many. */
size_t text_query_tokens(text_tokens tokens, text_token *out);

/* The memory's key for a query: folded, punctuation and repeated spaces gone, not stemmed, word order kept.
 * "  Café-Racers! " → "cafe racers". Lives in `out` (cleared first). */
void text_normalize_query(text_analyzer *a, slice query, buffer *out);

/* A keyword's key for exact matching: trimmed, NFKC, case-folded, accents kept. */
void text_normalize_keyword(text_analyzer *a, slice value, buffer *out);

/* Strict UTF-8 (no surrogates, no overlong forms). `bad_offset` (may be NULL) is the first byte that is wrong. */
bool text_valid_utf8(slice text, size_t *bad_offset);

/* For tests: sends every byte through ICU, so that the fast path can be compared with it. */
void text_analyzer_force_icu(text_analyzer *a, bool force);

#endif
