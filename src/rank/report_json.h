/* Members of the reports that LambdaMART writes; only this folder's files include it. */
#ifndef RANK_REPORT_JSON_H
#define RANK_REPORT_JSON_H

#include "format/json.h"

static inline void write_number(json_writer *w, const char *key, double value) {
    json_key(w, key);
    json_float(w, value);
}

static inline void write_whole(json_writer *w, const char *key, uint64_t value) {
    json_key(w, key);
    json_integer(w, (int64_t)value);
}

static inline void write_flag(json_writer *w, const char *key, bool value) {
    json_key(w, key);
    json_bool(w, value);
}

#endif
