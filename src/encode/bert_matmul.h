/* Linear layers and matrix products. oneDNN enters the project in bert_matmul.c.
 *
 * Who multiplies depends on the processor, once: with AVX2 and nothing newer the kernels of bert_ops.c on weights in strips, which
 * waste no time on copying weights when there are few rows; oneDNN everywhere else, for its AVX-512, VNNI and arm64 kernels, and
 * for long attention. `make bench-encode` measures both.
 *
 * Threads: a layer is immutable once made; each thread brings its own room. oneDNN runs in the thread that calls. */
#ifndef ENCODE_BERT_MATMUL_H
#define ENCODE_BERT_MATMUL_H

#include "encode/bert.h"
#include "encode/bert_ops.h"

typedef struct bert_linear {
    uint32_t n, k;       /* outputs, inputs */
    bool onednn;         /* else in strips */
    bool moved;          /* the weights lie in somebody else's memory */
    float *weights;      /* fp32: strips, or k × n */
    int8_t *codes;       /* int8: strips, or n × k, rounded up to eights */
    float *scales;       /* int8: n */
    int32_t *sums;       /* int8: of the codes of an output, n */
    float *bias;         /* n */
} bert_linear;

/* Of a thread; zeroed is empty, grows as needed. */
typedef struct bert_room {
    uint8_t *codes;
    float *scales;
    int32_t *zeros, *sums;
    size_t codes_capacity, scales_capacity, zeros_capacity, sums_capacity;
} bert_room;
void bert_room_release(bert_room *room);

/* Whose products are best here; `wanted` BEST asks the processor. */
bool bert_uses_onednn(bert_backend wanted);

/* weights: n × k, bias: n or NULL (zeros). Both are copied. */
void bert_linear_init(bert_linear *l, const float *weights, const float *bias, uint32_t n, uint32_t k, bert_precision precision,
                      bool onednn);
void bert_linear_release(bert_linear *l);

/* Moves the weights to `to`, which has room for bert_linear_bytes (whole cache lines), begins at a cache line and must outlive the
 * layer. A layer that was never made takes nothing. */
size_t bert_linear_bytes(const bert_linear *l);
void bert_linear_move(bert_linear *l, void *to);

/* out (rows × count) ← outputs from … from + count of the layer for rows of in (rows × k); `from` a multiple of BERT_STRIP. */
void bert_linear_part(const bert_linear *l, const bert_ops *ops, bert_room *room, const float *in, size_t rows, uint32_t from,
                      uint32_t count, float *out);
static inline void bert_linear_run(const bert_linear *l, const bert_ops *ops, bert_room *room, const float *in, size_t rows,
                                   float *out) {
    bert_linear_part(l, ops, room, in, rows, 0, l->n, out);
}

/* C (m × n) ← A (m × k) × B, or × Bᵀ when `transposed`; lda, ldb, ldc: floats from row to row. By oneDNN. */
void bert_product(bool transposed, size_t m, size_t n, size_t k, const float *a, size_t lda, const float *b, size_t ldb, float *c,
                  size_t ldc);

#endif
