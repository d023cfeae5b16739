#include "os/output.h"

#include "base/memory.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define SYNCED_AT_ONCE ((size_t)16 << 20)

struct os_output {
    int fd;
    char *path, *temporary;
    size_t unsynced;
    bool committed;
};

struct os_spool {
    int fd;
    char *path;
};

static int create_file(const char *path, int access) {
    return open(path, access | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}

static forage_status write_all(int fd, const char *data, size_t size, const char *path, base_error *error) {
    while (size > 0) {
        ssize_t done = write(fd, data, size);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return os_error(error, errno, "writing", path);
        data += done;
        size -= (size_t)done;
    }
    return FORAGE_OK;
}

/* --- outputs ----------------------------------------------------------------------------------------------------- */

forage_status os_output_create(const char *path, os_output **out, base_error *error) {
    buffer temporary = {0};
    buffer_printf(&temporary, "%s.tmp", path);
    int fd = create_file(buffer_text(&temporary), O_WRONLY);
    if (fd < 0) {
        forage_status status = os_error(error, errno, "creating", temporary.data);
        buffer_release(&temporary);
        return status;
    }
    os_output *o = mem_zalloc(1, sizeof *o);
    o->fd = fd;
    o->path = mem_strdup(path);
    o->temporary = temporary.data;
    *out = o;
    return FORAGE_OK;
}

static forage_status sync_output(os_output *o, base_error *error) {
    o->unsynced = 0;
    return fsync(o->fd) == 0 ? FORAGE_OK : os_error(error, errno, "syncing", o->temporary);
}

forage_status os_output_write(os_output *o, const void *data, size_t size, base_error *error) {
    forage_status status = write_all(o->fd, data, size, o->temporary, error);
    o->unsynced += size;
    return status == FORAGE_OK && o->unsynced >= SYNCED_AT_ONCE ? sync_output(o, error) : status;
}

forage_status os_output_rewrite(os_output *o, uint64_t offset, const void *data, size_t size, base_error *error) {
    const char *from = data;
    while (size > 0) {
        ssize_t done = pwrite(o->fd, from, size, (off_t)offset);
        if (done < 0 && errno == EINTR) continue;
        if (done < 0) return os_error(error, errno, "writing", o->temporary);
        from += done;
        offset += (uint64_t)done;
        size -= (size_t)done;
    }
    return FORAGE_OK;
}

forage_status os_output_commit(os_output *o, base_error *error) {
    forage_status status = sync_output(o, error);
    int fd = o->fd;
    o->fd = -1;
    if (close(fd) != 0 && status == FORAGE_OK) status = os_error(error, errno, "closing", o->temporary);
    if (status == FORAGE_OK) status = os_rename(o->temporary, o->path, error);
    o->committed = status == FORAGE_OK;
    return o->committed ? os_sync_folder_of(o->path, error) : status;
}

void os_output_destroy(os_output *o) {
    if (!o) return;
    if (o->fd >= 0) close(o->fd);
    if (!o->committed) unlink(o->temporary);
    free(o->path);
    free(o->temporary);
    free(o);
}

/* --- spools ------------------------------------------------------------------------------------------------------ */

forage_status os_spool_create(const char *path, os_spool **out, base_error *error) {
    int fd = create_file(path, O_RDWR);
    if (fd < 0) return os_error(error, errno, "creating", path);
    if (unlink(path) != 0) {
        forage_status status = os_error(error, errno, "removing", path);
        close(fd);
        return status;
    }
    os_spool *s = mem_zalloc(1, sizeof *s);
    s->fd = fd;
    s->path = mem_strdup(path);
    *out = s;
    return FORAGE_OK;
}

forage_status os_spool_append(os_spool *s, const void *data, size_t size, base_error *error) {
    return write_all(s->fd, data, size, s->path, error);
}

forage_status os_spool_read(os_spool *s, uint64_t offset, void *to, size_t size, base_error *error) {
    for (char *at = to; size > 0;) {
        ssize_t got = pread(s->fd, at, size, (off_t)offset);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return os_error(error, errno, "reading", s->path);
        if (got == 0) return error_set(error, FORAGE_E_IO, "reading %s: it is shorter than what was written", s->path);
        at += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return FORAGE_OK;
}

void os_spool_destroy(os_spool *s) {
    if (!s) return;
    close(s->fd);
    free(s->path);
    free(s);
}
