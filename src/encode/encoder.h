/* Encoders: from texts to vectors, behind one interface.
 *
 * An encoder is one small adapter: catalogue-trained, BERT family, or a remote endpoint. All vectors have unit length.
 *
 * Threads: encode may be called from any number of threads. */
#ifndef ENCODE_ENCODER_H
#define ENCODE_ENCODER_H

#include "base/memory.h"
#include "base/memory.h"
#include "base/status.h"

typedef enum encode_side { ENCODE_QUERY, ENCODE_DOCUMENT } encode_side;

typedef struct encoder encoder;

typedef struct encoder_class {
    const char *kind; /* "catalogue", "bert", "remote" */
    /* n × dimensions floats to out, row by row. Texts are valid UTF-8 and may be empty or long: what does not fit is cut off.
     * A text about which nothing can be said gives a row of zeros. `deadline`: monotonic microseconds; INT64_MAX: none;
     * FORAGE_E_TIMEOUT past it. */
    forage_status (*encode)(encoder *e, encode_side side, const slice *texts, size_t n, int64_t deadline, float *out,
                            base_error *error);
    void (*destroy)(encoder *e);
} encoder_class;

/* The first member of every encoder. */
struct encoder {
    const encoder_class *class;
    uint32_t dimensions;
    uint64_t version; /* vectors of one version are in one space; changes when the weights do */
};

static inline forage_status encoder_encode(encoder *e, encode_side side, const slice *texts, size_t n, int64_t deadline, float *out,
                                           base_error *error) {
    return e->class->encode(e, side, texts, n, deadline, out, error);
}

static inline void encoder_destroy(encoder *e) {
    if (e) e->class->destroy(e);
}

#endif
