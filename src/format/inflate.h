/* Compressed input as plain bytes: gzip (one member or many), zstd (one frame or many), or neither, told by the first
 * bytes. zlib and zstd enter the project in inflate.c. One thread at a time. */
#ifndef FORMAT_INFLATE_H
#define FORMAT_INFLATE_H

#include "format/records.h"

typedef struct inflater inflater;

inflater *inflater_open(records_source source, void *self, uint64_t limit); /* limit as records_options' */
void inflater_close(inflater *f);                                           /* NULL is a no-op */

/* Like a records_source. FORAGE_E_INVALID for damaged or truncated data, after what came before it was given out. */
forage_status inflater_read(inflater *f, void *data, size_t size, size_t *got, base_error *error);
uint64_t inflater_consumed(const inflater *f); /* bytes of the source so far */

#endif
