/* ICU enters the project here: Unicode properties, word boundaries, normalisation. */
#ifndef TEXT_ICU_H
#define TEXT_ICU_H

#include "base/memory.h"

/* What a character does to the words around it (UAX #29, table 3, with the house rules of analyze.h). */
typedef enum text_class { /* MIDLETTER to DOUBLE are what joins */
    TEXT_OTHER,     /* ends words; also underscores, colons and semicolons, where ICU may join */
    TEXT_LETTER,
    TEXT_DIGIT,
    TEXT_MIDLETTER, /* joins letters */
    TEXT_MIDNUM,    /* joins digits: the comma */
    TEXT_QUOTE,     /* joins letters and digits: apostrophes */
    TEXT_DOT,       /* joins digits; between letters see analyze.h */
    TEXT_DOUBLE,    /* the double quote, which joins Hebrew letters only */
    TEXT_COMPLEX,   /* needs ICU's rules or dictionaries */
} text_class;

text_class text_icu_class(uint32_t c);

/* A word segmenter with its scratch memory; one per thread. */
typedef struct text_icu text_icu;
text_icu *text_icu_create(void);
void text_icu_destroy(text_icu *icu);

/* Segments `text` (at most 2 GiB): each call of next gives a word's byte range, false at the end. `emoji` says that the
 * segment is a symbol. */
void text_icu_begin(text_icu *icu, slice text);
bool text_icu_next(text_icu *icu, size_t *start, size_t *end, bool *emoji);

/* NFKC and case folding. Writes at most `room` code points (the rest is dropped); returns how many. `turkish` makes I
 * a dotless ı. For words: at most 256 bytes are read. */
size_t text_icu_casefold(slice word, bool turkish, uint32_t *out, size_t room);

/* The same for a text of any length, as UTF-8. Long runs of combining marks are folded in parts: linear time. */
void text_icu_casefold_long(slice text, buffer *out);

/* `c` without its accents: writes 0 to 4 code points. `base` is the letter that marks belong to: 0 at a word's start,
 * then kept by this function from call to call. */
size_t text_icu_strip(uint32_t c, uint32_t *base, uint32_t out[4]);

int text_icu_digit(uint32_t c);      /* 0 to 9, or -1 */
bool text_icu_ignorable(uint32_t c); /* punctuation, spaces and controls: nothing that a folded word keeps */
bool text_icu_space(uint32_t c);

/* What a character is to tokenizers of the BERT family. */
typedef enum text_piece { TEXT_PIECE_LETTER, TEXT_PIECE_CONTROL, TEXT_PIECE_SPACE, TEXT_PIECE_PUNCTUATION, TEXT_PIECE_MARK } text_piece;
text_piece text_icu_piece(uint32_t c);
/* Its canonical decomposition, or itself: 1 to 18 code points. */
size_t text_icu_decompose(uint32_t c, uint32_t out[18]);
uint32_t text_icu_lower(uint32_t c); /* one to one, without regard to language or context */

#endif
