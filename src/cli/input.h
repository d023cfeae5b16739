/* Input files, "-" being standard input. Errors have been told to the person when the result is not CLI_OK. */
#ifndef CLI_INPUT_H
#define CLI_INPUT_H

#include "cli/cli.h"

typedef struct input_file {
    const char *name; /* for messages */
    int fd;
} input_file;

int input_open(const char *path, input_file *out);
void input_close(input_file *file);
/* A records_source whose `self` is an input_file. */
forage_status input_read(void *self, void *data, size_t size, size_t *got, base_error *error);
uint64_t input_size(const char *path); /* bytes; 0 when not known */

/* A whole file, gzip and zstd undone, at most 1 GiB; appended to `out`. */
int input_text(const char *path, buffer *out);

#endif
