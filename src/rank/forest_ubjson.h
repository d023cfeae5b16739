/* Universal Binary JSON (draft 12, ubjson.org), as XGBoost writes it: big-endian, with arrays of one type and known length. */
#ifndef RANK_FOREST_UBJSON_H
#define RANK_FOREST_UBJSON_H

#include "format/json.h"

/* Reads one value, all of `bytes`, into the same tree that json_read makes, with the same limits; but an array of one numeric type
 * keeps its bytes (which are `bytes`' own): it has no children, `integer` is the type's marker, `text` the elements, `count`
 * their number. FORAGE_E_INVALID names the offset. */
forage_status ubjson_read(arena *a, slice bytes, json_value **out, base_error *error);

/* The numbers of an array, either kind; booleans are 0 and 1, empty texts NaN. FORAGE_E_INVALID, with `what` in the message: no array, or
 * not of numbers. */
forage_status ubjson_numbers(arena *a, const json_value *array, const char *what, double **out, size_t *n,
                             base_error *error);

#endif
