/* Files written from their beginning to their end, and files without a name. Errors are those of os/file.h; one thread. */
#ifndef OS_OUTPUT_H
#define OS_OUTPUT_H

#include "base/status.h"

#include <stddef.h>
#include <stdint.h>

/* A file in the making: PATH.tmp, until it is committed. */
typedef struct os_output os_output;

forage_status os_output_create(const char *path, os_output **out, base_error *error);
/* Every 16 MiB are synced as they are written, so that the last sync does not write all at once. */
forage_status os_output_write(os_output *o, const void *data, size_t size, base_error *error);
forage_status os_output_rewrite(os_output *o, uint64_t offset, const void *data, size_t size, base_error *error);
/* Syncs, renames to the path, syncs the folder: after a crash the file is whole or the old one. */
forage_status os_output_commit(os_output *o, base_error *error);
void os_output_destroy(os_output *o); /* removes what was not committed; NULL is a no-op */

/* Bytes that are too many for memory: a file that has lost its name already and ends with the process. */
typedef struct os_spool os_spool;

/* `path` is the name that it has for a moment; what has that name is overwritten. */
forage_status os_spool_create(const char *path, os_spool **out, base_error *error);
forage_status os_spool_append(os_spool *s, const void *data, size_t size, base_error *error);
forage_status os_spool_read(os_spool *s, uint64_t offset, void *to, size_t size, base_error *error); /* all of them */
void os_spool_destroy(os_spool *s); /* NULL is a no-op */

#endif
