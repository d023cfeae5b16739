/* Where an image goes, section by section: into memory, or into a file as it grows. For segment_write.c only. */
#ifndef SPARSE_SEGMENT_OUTPUT_H
#define SPARSE_SEGMENT_OUTPUT_H

#include "sparse/segment_format.h"
#include "sparse/work.h"

typedef struct segment_output segment_output;

segment_output *segment_output_to_memory(buffer *image); /* replaced; whole after segment_output_finish */
/* The file has its name after segment_output_finish. `work` (may be NULL) must outlive the output. */
forage_status segment_output_to_file(const char *path, const sparse_work *work, segment_output **out,
                                     base_error *error);
void segment_output_destroy(segment_output *o); /* NULL is a no-op */

/* A section's bytes, in any number of calls, between its begin and its end. After an error nothing is written any more, and
 * finishing tells. */
void segment_output_begin(segment_output *o, segment_kind kind, uint32_t field);
void segment_output_bytes(segment_output *o, const void *data, size_t size);
/* Room for `size` more, at most SEGMENT_HASHED; the bytes put there go out with segment_output_advance. */
void *segment_output_room(segment_output *o, size_t size);
void segment_output_advance(segment_output *o, size_t size);
void segment_output_end(segment_output *o);

/* The table, the hashes and the header, of which the caller says count, n_fields and n_terms. */
forage_status segment_output_finish(segment_output *o, segment_header header, base_error *error);

#endif
