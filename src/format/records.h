/* Records: whatever people have (NDJSON, a JSON array, CSV, TSV; plain, gzip or zstd) as a stream of JSON objects.
 *
 * The source is pulled through a callback, so a file of any size streams in bounded memory. Compression is recognised
 * by its first bytes, the format by name or by its first non-space bytes. zlib and zstd enter the project in inflate.c.
 *
 * NDJSON   a line is a record. An object that is not closed at its line's end goes on (pretty-printed objects), unless
 *          the next line begins with '{'.
 * JSON     an array of records, or objects one after the other.
 * CSV      RFC 4180, with a header line; separated by ';' when the header has no comma but semicolons.
 * TSV      with a header line; no quoting.
 * Cells become JSON strings, or numbers when they are written canonically (no leading zeros, no plus, no exponent,
 * whole numbers of at most 18 digits); empty cells and columns without a name are left out.
 *
 * A reader belongs to one thread at a time. */
#ifndef FORMAT_RECORDS_H
#define FORMAT_RECORDS_H

#include "base/memory.h"
#include "base/status.h"

typedef enum records_format { RECORDS_AUTO, RECORDS_NDJSON, RECORDS_JSON, RECORDS_CSV, RECORDS_TSV } records_format;

/* Fills up to `size` bytes; *got 0 means the end. */
typedef forage_status (*records_source)(void *self, void *data, size_t size, size_t *got, base_error *error);

typedef struct records_options {
    records_format format;
    size_t record_limit;       /* bytes of one record; 0: 16 MiB */
    uint64_t inflated_limit;   /* total bytes after decompression; 0: none. FORAGE_E_TOO_LARGE beyond (zip bombs) */
} records_options;

typedef struct records_reader records_reader;

/* `options` may be NULL. */
records_reader *records_open(records_source source, void *self, const records_options *options);
records_reader *records_open_memory(slice bytes, const records_options *options); /* `bytes` stay the caller's */
void records_close(records_reader *r);

/* The next record as one JSON text (an object, unless the input is malformed: it is not parsed here) and the line it
 * starts at (1-based). After the last there is none and *end becomes true. The text lives until the next call.
 * A malformed record (unbalanced CSV quote, too long) gives an error once; reading goes on with the next record when
 * *recoverable, else the stream is over. Every message begins with "line N: ". FORAGE_E_INVALID (CSV, TSV and
 * compressed data), FORAGE_E_JSON (arrays), FORAGE_E_TOO_LARGE, or what the source returned. */
forage_status records_next(records_reader *r, slice *json, uint64_t *line, bool *end, bool *recoverable,
                           base_error *error);

uint64_t records_bytes_read(const records_reader *r); /* of the source, before decompression: for progress bars */
forage_status records_format_from_name(slice name, records_format *out); /* "ndjson" "jsonl" "json" "csv" "tsv" "auto",
                                                                            or a MIME type */
#endif
