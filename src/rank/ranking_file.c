#include "rank/ranking_file.h"

#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

typedef struct open_file {
    int fd;
    const char *path;
} open_file;

static forage_status read_file(void *self, void *data, size_t size, size_t *got, base_error *error) {
    const open_file *file = self;
    ssize_t n;
    do n = read(file->fd, data, size);
    while (n < 0 && errno == EINTR);
    if (n < 0) return os_error(error, errno, "reading", file->path);
    *got = (size_t)n;
    return FORAGE_OK;
}

forage_status ranking_file_read(const char *path, const svmlight_options *options, svmlight_rows *out, base_error *error) {
    open_file file = {open(path, O_RDONLY | O_CLOEXEC), path};
    if (file.fd < 0) return os_error(error, errno, "opening", path);
    forage_status status = svmlight_read(read_file, &file, options, out, error);
    close(file.fd);
    return status;
}

rank_rows ranking_file_rows(const svmlight_rows *r) {
    return (rank_rows){.n_features = r->n_features, .n_rows = r->n_rows, .n_groups = r->n_groups, .x = r->x, .label = r->label,
                       .first = r->first, .weight = r->weight, .position = r->position};
}
