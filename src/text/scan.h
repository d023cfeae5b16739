/* The fast path: word boundaries of text in simple scripts, by a table and UAX #29's rules for it. */
#ifndef TEXT_SCAN_H
#define TEXT_SCAN_H

#include "base/memory.h"

typedef enum text_scanned {
    TEXT_SCAN_END,     /* no more words */
    TEXT_SCAN_WORD,    /* *start and *end are set */
    TEXT_SCAN_COMPLEX, /* *start is where a character stands that needs ICU */
} text_scanned;

/* What the scanner saw inside a word. */
enum { TEXT_DOTTED = 1 /* a dot between letters */ };

void text_scan_init(void); /* once per process; any thread, any number of times */

/* The next word at or after *start. `flags` is set to TEXT_DOTTED or 0. */
text_scanned text_scan_word(slice text, size_t *start, size_t *end, unsigned *flags);

/* The text_class of the character at byte `i`, which takes `length` bytes. */
unsigned text_scan_class(slice text, size_t i, size_t *length);

#endif
