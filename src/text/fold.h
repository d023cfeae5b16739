/* A word, folded: the form that two spellings of it share. */
#ifndef TEXT_FOLD_H
#define TEXT_FOLD_H

#include "text/analyze.h"

#define TEXT_WORD_BYTES 64 /* longer words are cut */

typedef struct text_folded {
    char folded[TEXT_WORD_BYTES];
    char accented[TEXT_WORD_BYTES]; /* the same word, case-folded with its accents: what some stemmers need */
    size_t folded_size, accented_size;
} text_folded;

/* Folds one word as analyze.h tells. Both forms are empty when nothing but marks and punctuation was in it. */
void text_fold_word(slice word, text_language language, text_folded *out);

/* Takes the accents off a case-folded word; `out` has TEXT_WORD_BYTES. Returns the size. */
size_t text_fold_accents(slice word, char *out);

#endif
