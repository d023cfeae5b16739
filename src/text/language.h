/* Guessing the language of longer text. libexttextcat enters the project in language.c. */
#ifndef TEXT_LANGUAGE_H
#define TEXT_LANGUAGE_H

#include "text/analyze.h"

/* Fewer bytes than this tell n-grams too little. */
#define TEXT_TEXTCAT_MIN 40

/* Asks libexttextcat. True when one language stands out: *out is it, or TEXT_ANY when it is one that the engine has no
 * name for (Polish, Hebrew …). False when it is unsure, the text is short, or its data files are absent. Thread-safe;
 * some 100 microseconds. The files are looked for in the folder `libexttextcat` of each XDG data folder. */
bool text_textcat(slice text, text_language *out);

#endif
