/* Search results for people. */
#ifndef CLI_SEARCH_VIEW_H
#define CLI_SEARCH_VIEW_H

#include "format/json.h"

/* Prints the answer of a search, its hits numbered from `first`; then how to
 * report which result was good, with `place` (options that name the collection) at the end; NULL: not. */
void search_view_print(const json_value *answer, arena *memory, size_t first, const char *place);

/* What a person would call the document of a hit. */
const char *search_view_title(arena *memory, const json_value *hit);

/* `text` as one word of a shell's command line. */
const char *shell_word(arena *memory, slice text);

#endif
