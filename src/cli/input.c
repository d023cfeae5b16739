#include "cli/input.h"

#include "format/inflate.h"
#include "os/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_LIMIT ((uint64_t)1 << 30)
#define READ_SIZE ((size_t)1 << 20)

int input_open(const char *path, input_file *out) {
    if (strcmp(path, "-") == 0) {
        *out = (input_file){"standard input", STDIN_FILENO};
        return CLI_OK;
    }
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    struct stat info;
    bool folder = fd >= 0 && fstat(fd, &info) == 0 && S_ISDIR(info.st_mode);
    if (fd >= 0 && !folder) {
        *out = (input_file){path, fd};
        return CLI_OK;
    }
    cli_error("reading %s: %s", path, folder ? "it is a folder, not a file" : strerror(errno));
    if (folder) close(fd);
    return CLI_FAILED;
}

void input_close(input_file *file) {
    if (file->fd != STDIN_FILENO) close(file->fd);
}

forage_status input_read(void *self, void *data, size_t size, size_t *got, base_error *error) {
    const input_file *file = self;
    ssize_t n;
    do n = read(file->fd, data, size);
    while (n < 0 && errno == EINTR);
    if (n < 0) return os_error(error, errno, "reading", file->name);
    *got = (size_t)n;
    return FORAGE_OK;
}

uint64_t input_size(const char *path) {
    struct stat info;
    bool known = strcmp(path, "-") != 0 && stat(path, &info) == 0 && S_ISREG(info.st_mode);
    return known ? (uint64_t)info.st_size : 0;
}

int input_text(const char *path, buffer *out) {
    input_file file;
    int status = input_open(path, &file);
    if (status) return status;
    inflater *input = inflater_open(input_read, &file, TEXT_LIMIT);
    base_error error;
    size_t got = 0;
    forage_status read;
    do {
        read = inflater_read(input, buffer_reserve(out, READ_SIZE), READ_SIZE, &got, &error);
        if (!read) out->size += got;
    } while (!read && got);
    inflater_close(input);
    input_close(&file);
    if (!read) return CLI_OK;
    cli_error("%s: %s", path, error.message);
    return CLI_FAILED;
}
