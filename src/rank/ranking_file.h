/* Ranking files (format/svmlight.h) as rows to learn from. */
#ifndef RANK_RANKING_FILE_H
#define RANK_RANKING_FILE_H

#include "format/svmlight.h"
#include "rank/rows.h"

/* Reads a file; `options` may be NULL. As svmlight_read, and FORAGE_E_NOT_FOUND, FORAGE_E_IO … that name the path. Release with
 * svmlight_release. */
forage_status ranking_file_read(const char *path, const svmlight_options *options, svmlight_rows *out, base_error *error);

/* A view; it lives as long as `r`. Groups are taken to be in order of time. */
rank_rows ranking_file_rows(const svmlight_rows *r);

#endif
