/* Stems. libstemmer (Snowball) enters the project here. */
#ifndef TEXT_STEM_H
#define TEXT_STEM_H

#include "text/analyze.h"
#include "text/fold.h"

typedef struct text_stemmers text_stemmers; /* opened as languages are met; one per thread */
text_stemmers *text_stemmers_create(void);
void text_stemmers_destroy(text_stemmers *s);

/* The stem of a folded word, folded too; the word itself for languages without a stemmer and for words with digits.
 * `out` has TEXT_WORD_BYTES. Returns the size. */
size_t text_stem(text_stemmers *s, const text_folded *word, text_language language, char *out);

#endif
