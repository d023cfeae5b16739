/* Function words of the languages, and which languages a word is a function word of. */
#ifndef TEXT_STOPWORDS_H
#define TEXT_STOPWORDS_H

#include "text/analyze.h"

/* One bit per text_language (bit l is language l): the languages in which `word` is a function word. `word` is
 * lower-case, with its accents or without. Thread-safe; the table is built at the first call. */
uint64_t text_stopword_languages(slice word);

#endif
