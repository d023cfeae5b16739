#include "format/inflate.h"

#include "base/bytes.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

enum { INPUT_SIZE = 64 * 1024, MAGIC_SIZE = 4 };
#define ZSTD_SKIPPABLE 0x184D2A50u /* the last four bits are free */

typedef enum kind { UNKNOWN, PLAIN, GZIP, ZSTD } kind;

struct inflater {
    records_source source;
    void *self;
    uint64_t limit, consumed, produced;
    kind kind;
    uint8_t *input;
    size_t at, size; /* of what is not used yet, in `input` */
    bool source_ended;
    bool beyond;   /* the limit: nothing more comes out */
    bool complete; /* between members or frames: the data may end here */
    bool held;     /* there may be more output, or an error, without more input */
    z_stream gzip;
    ZSTD_DStream *zstd;
};

inflater *inflater_open(records_source source, void *self, uint64_t limit) {
    inflater *f = mem_zalloc(1, sizeof *f);
    f->source = source;
    f->self = self;
    f->limit = limit;
    f->input = mem_alloc(INPUT_SIZE);
    f->complete = true;
    return f;
}

void inflater_close(inflater *f) {
    if (!f) return;
    if (f->kind == GZIP) inflateEnd(&f->gzip);
    ZSTD_freeDStream(f->zstd);
    free(f->input);
    free(f);
}

uint64_t inflater_consumed(const inflater *f) { return f->consumed; }

static size_t left(const inflater *f) { return f->size - f->at; }

/* Reads on, until at least `wanted` bytes wait or the source ends. */
static forage_status fill(inflater *f, size_t wanted, base_error *error) {
    if (left(f) >= wanted) return FORAGE_OK;
    memmove(f->input, f->input + f->at, left(f));
    f->size = left(f);
    f->at = 0;
    while (f->size < wanted && !f->source_ended) {
        size_t got = 0;
        forage_status status = f->source(f->self, f->input + f->size, INPUT_SIZE - f->size, &got, error);
        if (status) return status;
        f->size += got;
        f->consumed += got;
        f->source_ended = got == 0;
    }
    return FORAGE_OK;
}

static forage_status recognise(inflater *f, base_error *error) {
    forage_status status = fill(f, MAGIC_SIZE, error);
    if (status) return status;
    uint32_t magic = left(f) >= MAGIC_SIZE ? load_le32(f->input + f->at) : 0;
    f->kind = PLAIN;
    if (left(f) >= 2 && f->input[f->at] == 0x1F && f->input[f->at + 1] == 0x8B) {
        if (inflateInit2(&f->gzip, 15 + 16) != Z_OK) return error_set(error, FORAGE_E_INTERNAL, "zlib does not start");
        f->kind = GZIP;
    } else if (magic == ZSTD_MAGICNUMBER || (magic & 0xFFFFFFF0u) == ZSTD_SKIPPABLE) {
        f->zstd = ZSTD_createDStream();
        if (!f->zstd) return error_set(error, FORAGE_E_INTERNAL, "zstd does not start");
        f->kind = ZSTD;
    }
    return FORAGE_OK;
}

static forage_status damaged(base_error *error, const char *format, const char *why) {
    return error_set(error, FORAGE_E_INVALID, "the %s data is damaged: %s", format, why);
}

/* After a member: another one, padding with zeros, or the end. */
static forage_status next_member(inflater *f, base_error *error) {
    forage_status status = fill(f, 2, error);
    if (status || left(f) == 0) return status;
    if (f->input[f->at] == 0) {
        while (!status && left(f) && f->input[f->at] == 0) {
            f->at++;
            status = fill(f, 1, error);
        }
        if (status || left(f) == 0) return status;
        return damaged(error, "gzip", "something else follows it");
    }
    if (left(f) < 2 || f->input[f->at] != 0x1F || f->input[f->at + 1] != 0x8B)
        return damaged(error, "gzip", "something else follows it");
    inflateReset(&f->gzip);
    f->complete = false;
    return FORAGE_OK;
}

static forage_status step_gzip(inflater *f, void *data, size_t size, size_t *got, base_error *error) {
    if (f->complete) {
        forage_status status = next_member(f, error);
        if (status || f->complete) return status;
    }
    f->gzip.next_in = f->input + f->at;
    f->gzip.avail_in = (uInt)left(f);
    f->gzip.next_out = data;
    f->gzip.avail_out = (uInt)size;
    int code = inflate(&f->gzip, Z_NO_FLUSH);
    f->at = f->size - f->gzip.avail_in;
    *got = size - f->gzip.avail_out;
    f->complete = code == Z_STREAM_END;
    bool broken = code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR;
    f->held = broken || (*got == size && !f->complete);
    if (broken && *got == 0) return damaged(error, "gzip", f->gzip.msg ? f->gzip.msg : "it cannot be read");
    return FORAGE_OK; /* zlib says again what is broken after what came before it was given out */
}

static forage_status step_zstd(inflater *f, void *data, size_t size, size_t *got, base_error *error) {
    ZSTD_inBuffer in = {f->input, f->size, f->at};
    ZSTD_outBuffer out = {data, size, 0};
    size_t code = ZSTD_decompressStream(f->zstd, &out, &in);
    if (ZSTD_isError(code)) return damaged(error, "zstd", ZSTD_getErrorName(code));
    bool moved = in.pos > f->at || out.pos > 0;
    f->at = in.pos;
    *got = out.pos;
    if (moved) f->complete = code == 0;
    f->held = *got == size && !f->complete;
    return FORAGE_OK;
}

/* One step of the decompressor: some output, or some input used, or the end (`*ended`). */
static forage_status step(inflater *f, void *data, size_t size, size_t *got, bool *ended, base_error *error) {
    if (!f->held) {
        forage_status status = fill(f, 1, error);
        if (status) return status;
        if (left(f) == 0) {
            *ended = true;
            return f->complete ? FORAGE_OK
                               : error_set(error, FORAGE_E_INVALID, "the %s data ends too early: it was cut short",
                                           f->kind == GZIP ? "gzip" : "zstd");
        }
    }
    return f->kind == GZIP ? step_gzip(f, data, size, got, error) : step_zstd(f, data, size, got, error);
}

static forage_status beyond_limit(const inflater *f, base_error *error) {
    return error_set(error, FORAGE_E_TOO_LARGE, "there are more than %llu bytes%s", (unsigned long long)f->limit,
                     f->kind == PLAIN ? "" : " after decompression");
}

forage_status inflater_read(inflater *f, void *data, size_t size, size_t *got, base_error *error) {
    forage_status status = FORAGE_OK;
    size_t n = 0;
    bool ended = false;
    if (f->beyond) return beyond_limit(f, error);
    if (f->kind == UNKNOWN) status = recognise(f, error);
    if (status) return status;
    if (f->kind == PLAIN && left(f)) {
        n = left(f) < size ? left(f) : size;
        memcpy(data, f->input + f->at, n);
        f->at += n;
    } else if (f->kind == PLAIN) {
        status = f->source(f->self, data, size, &n, error);
        if (status) return status;
        f->consumed += n;
    } else {
        while (n == 0 && !ended) {
            status = step(f, data, size, &n, &ended, error);
            if (status) return status;
        }
    }
    if (f->limit && n > f->limit - f->produced) { /* first what is within the limit, then the error */
        n = (size_t)(f->limit - f->produced);
        f->beyond = true;
        if (n == 0) return beyond_limit(f, error);
    }
    f->produced += n;
    *got = n;
    return FORAGE_OK;
}
