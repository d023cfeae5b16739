/* Records gathered into request bodies, and what came of them. */
#ifndef CLI_IMPORT_BATCH_H
#define CLI_IMPORT_BATCH_H

#include "cli/client.h"
#include "cli/progress.h"
#include "format/records.h"

#define REFUSED_KEPT 100

typedef struct refused_document {
    const char *file;
    uint64_t line;
    const char *message; /* "line 17, field \"year\": …", the line being that of the file */
} refused_document;

typedef struct import_batch {
    client *client;
    const char *collection, *target;
    const char *file;      /* that is being read, set by the caller */
    buffer body;           /* NDJSON */
    uint64_t *lines;       /* of the file, for each line of the body */
    size_t n_lines, lines_capacity;
    uint64_t indexed, failed;
    bool schema_inferred;
    refused_document refused[REFUSED_KEPT]; /* the first */
    size_t n_refused;
    arena memory;
} import_batch;

void import_batch_init(import_batch *b, client *c, const char *collection);
void import_batch_release(import_batch *b);
/* Adds one record; sends the batch when it is large enough. Returns an exit status. */
int import_batch_add(import_batch *b, slice json, uint64_t line);
void import_batch_refuse(import_batch *b, uint64_t line, const char *message); /* a record that could not be read */
int import_batch_flush(import_batch *b);
/* Reads and sends whole files. *p is started here, for the time it took. */
int import_batch_files(import_batch *b, const char *const *paths, size_t n, records_format format, bool quiet,
                       progress *p);

/* Appends a record as one line of NDJSON. */
void ndjson_append(buffer *out, slice json);

#endif
