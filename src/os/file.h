/* Files and folders. Every path is UTF-8 and NUL-terminated. Errors name the path and what the system said; ENOSPC and
 * EDQUOT become FORAGE_E_FULL, EROFS and EACCES FORAGE_E_READ_ONLY, ENOENT FORAGE_E_NOT_FOUND, the rest FORAGE_E_IO. */
#ifndef OS_FILE_H
#define OS_FILE_H

#include "base/memory.h"
#include "base/status.h"

typedef struct os_map {
    const uint8_t *data;
    size_t size;
} os_map;

forage_status os_error(base_error *error, int system_errno, const char *doing, const char *path);

bool os_exists(const char *path);
forage_status os_make_folders(const char *path, base_error *error); /* like mkdir -p */
forage_status os_remove_file(const char *path, base_error *error);  /* absent is success */
forage_status os_remove_tree(const char *path, base_error *error);  /* never follows links; absent is success */
forage_status os_rename(const char *from, const char *to, base_error *error);
forage_status os_sync_folder_of(const char *path, base_error *error); /* what was renamed to `path` stays so */

/* Lists names (not "." and "..") in sorted order; the array and names live in `a`. */
forage_status os_list(const char *path, arena *a, char ***names, size_t *count, base_error *error);

forage_status os_read_file(const char *path, size_t limit, buffer *out, base_error *error); /* limit 0: none */

/* Writes beside, syncs, renames over `path`, syncs the folder: after a crash the file is the old one or the new one. */
forage_status os_write_file(const char *path, const void *data, size_t size, base_error *error);

/* Maps a whole file for reading. An empty file gives data NULL, size 0. */
forage_status os_map_file(const char *path, os_map *out, base_error *error);
void os_unmap(os_map *map); /* no-op on a zeroed map */

/* Takes an exclusive advisory lock that ends with the process; the file holds the owner's process id.
 * FORAGE_E_LOCKED (message with that id) when somebody else has it. `*fd` is closed with os_unlock. */
forage_status os_lock(const char *path, int *fd, base_error *error);
void os_unlock(int fd);

char *path_join(arena *a, const char *folder, const char *name);

#endif
