/* One word's folded form, stem and stopword mark, from a cache: a text repeats its words, and a stem costs a microsecond. */
#ifndef TEXT_WORDS_H
#define TEXT_WORDS_H

#include "text/analyze.h"
#include "text/fold.h"

typedef struct text_words text_words; /* one per thread; about 1 MiB per language used */
text_words *text_words_create(void);
void text_words_destroy(text_words *w);

#define TEXT_WORD_ROOM (3 * TEXT_WORD_BYTES)

/* Looks a word up, or works it out. `room` has TEXT_WORD_ROOM bytes and holds the word in its first `size` (1 to
 * TEXT_WORD_BYTES; ASCII capitals made small unless the language is Turkish); what follows may be anything. The forms
 * replace the word there; `token` gets its folded form, term and stopword mark, `used` the bytes of `room` that have to
 * stay. Returns false when folding leaves nothing. */
bool text_words_find(text_words *w, text_language language, char *room, size_t size, text_token *token, size_t *used);

#endif
