/* Writes a segment image from columns and from postings in key order: the one way that building and merging share. */
#ifndef SPARSE_SEGMENT_WRITE_H
#define SPARSE_SEGMENT_WRITE_H

#include "sparse/segment_format.h"
#include "sparse/work.h"

/* What is known of every place before the postings come. Arrays have `count` elements. */
typedef struct segment_columns {
    uint32_t count;
    uint32_t *documents;
    uint64_t *versions;
    uint32_t *lengths[SPARSE_MAX_FIELDS]; /* text fields: tokens */
    uint32_t *spans[SPARSE_MAX_FIELDS];   /* and positions: tokens and gaps */
    double *numbers[SPARSE_MAX_FIELDS];   /* number fields; NaN: none */
} segment_columns;

/* Lengths and spans 0, numbers NaN, documents and versions uninitialised. */
void segment_columns_init(segment_columns *c, const sparse_config *config, uint32_t count);
void segment_columns_release(segment_columns *c);

typedef struct segment_writer segment_writer;

/* `columns` and `config` must outlive the writer. */
segment_writer *segment_writer_create(const sparse_config *config, const segment_columns *columns,
                                      const sparse_statistics *statistics);
void segment_writer_destroy(segment_writer *w); /* what is unfinished is removed */

/* Before the first term: the image goes to a file, through temporary ones beside it. Memory is then needed for the columns,
 * 8 bytes per place and text field, 4 per place and value of a keyword field, and the longest term. `work` (may be NULL) must
 * outlive the writer. */
void segment_writer_use_file(segment_writer *w, const char *path, const sparse_work *work);
bool segment_writer_failed(const segment_writer *w); /* writing the file: finishing tells why, further terms are lost */

/* The terms in ascending key order; the postings of each by ascending place, at least one. The n positions ascend, below
 * SPARSE_MAX_TOKENS; a keyword has none, every other posting has one at least. A key lives until its term ends. */
void segment_writer_begin(segment_writer *w, slice key);
void segment_writer_posting(segment_writer *w, uint32_t place, const uint32_t *positions, uint32_t n);
void segment_writer_weight(segment_writer *w, uint32_t place, uint8_t weight); /* instead, for keys of SPARSE_SPACE_WEIGHT; > 0 */
void segment_writer_end(segment_writer *w);

/* Then only destroy. `out` is replaced. The file is written beside, synced and renamed: FORAGE_E_FULL, FORAGE_E_IO, and
 * FORAGE_E_CLOSED when `work` was ended. */
void segment_writer_finish(segment_writer *w, buffer *out);
forage_status segment_writer_finish_file(segment_writer *w, base_error *error);

#endif
