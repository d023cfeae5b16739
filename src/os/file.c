#include "os/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

forage_status os_error(base_error *error, int system_errno, const char *doing, const char *path) {
    forage_status status = FORAGE_E_IO;
    switch (system_errno) {
    case ENOSPC: case EDQUOT: status = FORAGE_E_FULL; break;
    case EROFS: case EACCES: case EPERM: status = FORAGE_E_READ_ONLY; break;
    case ENOENT: case ENOTDIR: status = FORAGE_E_NOT_FOUND; break;
    default: break;
    }
    return error_set(error, status, "%s %s: %s", doing, path, strerror(system_errno));
}

bool os_exists(const char *path) { return access(path, F_OK) == 0; }

char *path_join(arena *a, const char *folder, const char *name) {
    size_t n = strlen(folder);
    return arena_printf(a, n && folder[n - 1] == '/' ? "%s%s" : "%s/%s", folder, name);
}

forage_status os_make_folders(const char *path, base_error *error) {
    char *copy = mem_strdup(path);
    forage_status status = FORAGE_OK;
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0') continue;
        char saved = *at;
        *at = '\0';
        if (mkdir(copy, 0777) != 0 && errno != EEXIST) {
            status = os_error(error, errno, "creating the folder", copy);
            break;
        }
        *at = saved;
        if (!saved) break;
    }
    struct stat info;
    if (!status && (stat(path, &info) != 0 || !S_ISDIR(info.st_mode)))
        status = error_set(error, FORAGE_E_IO, "%s is not a folder", path);
    free(copy);
    return status;
}

forage_status os_remove_file(const char *path, base_error *error) {
    if (unlink(path) == 0 || errno == ENOENT) return FORAGE_OK;
    return os_error(error, errno, "removing", path);
}

forage_status os_remove_tree(const char *path, base_error *error) {
    struct stat info;
    if (lstat(path, &info) != 0) return errno == ENOENT ? FORAGE_OK : os_error(error, errno, "looking at", path);
    if (!S_ISDIR(info.st_mode)) return os_remove_file(path, error);
    arena names;
    arena_init(&names, 0);
    char **entries;
    size_t count;
    forage_status status = os_list(path, &names, &entries, &count, error);
    for (size_t i = 0; !status && i < count; i++) status = os_remove_tree(path_join(&names, path, entries[i]), error);
    if (!status && rmdir(path) != 0 && errno != ENOENT) status = os_error(error, errno, "removing the folder", path);
    arena_release(&names);
    return status;
}

forage_status os_rename(const char *from, const char *to, base_error *error) {
    return rename(from, to) == 0 ? FORAGE_OK : os_error(error, errno, "renaming", from);
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

forage_status os_list(const char *path, arena *a, char ***names, size_t *count, base_error *error) {
    DIR *folder = opendir(path);
    if (!folder) return os_error(error, errno, "listing", path);
    char **found = NULL;
    size_t n = 0, capacity = 0;
    for (struct dirent *entry; (entry = readdir(folder));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) continue;
        found = mem_grow(found, &capacity, n + 1, sizeof *found);
        found[n++] = arena_strndup(a, entry->d_name, strlen(entry->d_name));
    }
    closedir(folder);
    if (n) qsort(found, n, sizeof *found, by_name);
    *names = arena_alloc(a, (n + 1) * sizeof **names);
    if (n) memcpy(*names, found, n * sizeof **names);
    free(found);
    *count = n;
    return FORAGE_OK;
}

forage_status os_read_file(const char *path, size_t limit, buffer *out, base_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return os_error(error, errno, "opening", path);
    forage_status status = FORAGE_OK;
    size_t start = out->size;
    for (;;) {
        char *at = buffer_reserve(out, 256 * 1024);
        ssize_t got = read(fd, at, 256 * 1024);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) status = os_error(error, errno, "reading", path);
        if (got <= 0) break;
        out->size += (size_t)got;
        if (limit && out->size - start > limit) {
            status = error_set(error, FORAGE_E_TOO_LARGE, "%s is larger than %zu bytes", path, limit);
            break;
        }
    }
    close(fd);
    if (status) out->size = start;
    return status;
}

static forage_status write_all(int fd, const char *data, size_t size, const char *path, base_error *error) {
    while (size) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return os_error(error, errno, "writing", path);
        data += done;
        size -= (size_t)done;
    }
    return FORAGE_OK;
}

/* A rename is durable once its folder is. */
forage_status os_sync_folder_of(const char *path, base_error *error) {
    char *folder = mem_strdup(path), *slash = strrchr(folder, '/');
    if (slash) *(slash == folder ? slash + 1 : slash) = '\0';
    int fd = open(slash ? folder : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    forage_status status = FORAGE_OK;
    if (fd < 0 || fsync(fd) != 0) status = os_error(error, errno, "syncing the folder of", path);
    if (fd >= 0) close(fd);
    free(folder);
    return status;
}

forage_status os_write_file(const char *path, const void *data, size_t size, base_error *error) {
    buffer temporary = {0};
    buffer_printf(&temporary, "%s.tmp", path);
    const char *name = buffer_text(&temporary);
    forage_status status = FORAGE_OK;
    int fd = open(name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        status = os_error(error, errno, "creating", name);
        goto done;
    }
    status = write_all(fd, data, size, name, error);
    if (!status && fsync(fd) != 0) status = os_error(error, errno, "syncing", name);
    if (close(fd) != 0 && !status) status = os_error(error, errno, "closing", name);
    if (!status) status = os_rename(name, path, error);
    if (!status) status = os_sync_folder_of(path, error);
    if (status) unlink(name);
done:
    buffer_release(&temporary);
    return status;
}

forage_status os_map_file(const char *path, os_map *out, base_error *error) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return os_error(error, errno, "opening", path);
    struct stat info;
    forage_status status = FORAGE_OK;
    os_map map = {0};
    if (fstat(fd, &info) != 0) status = os_error(error, errno, "looking at", path);
    else if (info.st_size > 0) {
        void *data = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_SHARED, fd, 0);
        if (data == MAP_FAILED) status = os_error(error, errno, "mapping", path);
        else map = (os_map){data, (size_t)info.st_size};
    }
    close(fd);
    if (!status) *out = map;
    return status;
}

void os_unmap(os_map *map) {
    if (map->data) munmap((void *)(uintptr_t)map->data, map->size);
    *map = (os_map){0};
}

forage_status os_lock(const char *path, int *fd, base_error *error) {
    int file = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (file < 0) return os_error(error, errno, "opening", path);
    if (flock(file, LOCK_EX | LOCK_NB) != 0) {
        char owner[32] = "";
        ssize_t got = pread(file, owner, sizeof owner - 1, 0);
        if (got > 0) owner[strcspn(owner, "\n")] = '\0';
        close(file);
        return error_set(error, FORAGE_E_LOCKED, "another process%s%s%s has locked %s", *owner ? " (" : "", owner, *owner ? ")" : "", path);
    }
    char owner[32];
    int size = snprintf(owner, sizeof owner, "%ld\n", (long)getpid());
    if (ftruncate(file, 0) != 0 || pwrite(file, owner, (size_t)size, 0) != size) {
        /* The lock is held all the same; the process id is only for the message. */
    }
    *fd = file;
    return FORAGE_OK;
}

void os_unlock(int fd) {
    if (fd >= 0) close(fd);
}
