/* The readings of an analysed query. */
#ifndef UNDERSTAND_INTERPRET_H
#define UNDERSTAND_INTERPRET_H

#include "understand/understand.h"

/* Fills the interpretations of `query`, whose text, language and tokens are set. */
void understand_interpret(text_analyzer *analyzer, const understand_options *options, arena *memory,
                          understand_query *query);

#endif
