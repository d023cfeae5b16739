/* Trained models for people: reports, curves, bars. */
#ifndef CLI_TRAIN_VIEW_H
#define CLI_TRAIN_VIEW_H

#include "base/memory.h"
#include "format/json.h"

/* What GET …/train or GET …/models/{n} says of a model: "model", "report", and "activated" or "active". */
void train_view_print(const json_value *told, arena *memory);
/* How likely each rank is looked at (the answer of …/examination), a line and a bar for each rank. */
void train_view_curve(const json_value *curve, const char *indent);
/* A bar of at most `width` columns for part, 0 to 1, and spaces up to there. */
void train_view_bar(buffer *out, double part, int width);
/* "0.512 (0.498 to 0.526)" of {"value", "low", "high"}. */
const char *train_view_value(arena *memory, const json_value *value, bool sign);

#endif
