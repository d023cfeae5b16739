/* The numeric inner loops of BERT that are not matrix products of oneDNN, as a table of functions: one for each instruction set,
 * from the same source (bert_ops.c), which the compiler vectorises.
 *
 * Arrays are row-major; rows of length n follow each other without gaps unless a stride is given. Arguments are not checked.
 *
 * Threads: everything may be called from any thread. */
#ifndef ENCODE_BERT_OPS_H
#define ENCODE_BERT_OPS_H

#include <stddef.h>
#include <stdint.h>

typedef enum bert_activation { BERT_GELU, BERT_GELU_TANH, BERT_RELU, BERT_TANH } bert_activation;

/* 8-bit weights of a linear layer of n outputs and k inputs in strips of BERT_STRIP outputs: strip s, group g of four inputs, output
 * j of the strip, input i of the group is at ((s × groups + g) × BERT_STRIP + j) × 4 + i; groups is even. What is beyond n or k is 0.
 * Codes lie in ±BERT_CODE_MOST, and of the inputs 8i + {0, 1, 4, 5} and of 8i + {2, 3, 6, 7} the codes of one sign sum up to at most
 * BERT_CODE_MOST + 1: 255 × 128 still fits the 16 bits in which AVX2 adds four products. */
enum { BERT_STRIP = 16, BERT_CODE_MOST = 127 };

typedef struct bert_ops {
    const char *name;
    /* x ← normalised (x + residual) × weight + bias; residual NULL: none. (Ba et al. 2016) */
    void (*layer_norm)(float *x, const float *residual, size_t rows, size_t n, const float *weight, const float *bias,
                       float epsilon);
    void (*add_bias)(float *x, size_t rows, size_t n, const float *bias);
    void (*activate)(bert_activation which, float *x, size_t n);
    /* Each row ← exp(scale × x) / Σ exp(scale × x). */
    void (*softmax)(float *x, size_t rows, size_t n, float scale);
    /* Attention of one head over a short sequence of `n` tokens: q, k, v are n × d with `stride` floats from row to row,
     * out n × d with `out_stride`; `scores` has room for n floats. */
    void (*attend)(const float *q, const float *k, const float *v, size_t n, size_t d, size_t stride, float scale, float *scores,
                   float *out, size_t out_stride);
    /* best[j] ← max(best[j], x[i][j]) over rows. */
    void (*max_rows)(const float *x, size_t rows, size_t n, float *best);
    /* out (rows × n, `out_stride` from row to row) ← in (rows × k) × the weights of strips + bias (NULL: none). Strip s, input
     * i, output j is at (s × k + i) × BERT_STRIP + j. n may end inside a strip. */
    void (*multiply_f32)(const float *in, size_t rows, size_t k, const float *weights, const float *bias, size_t n, float *out,
                         size_t out_stride);
    /* Each row to codes of 8 bits, padded with 0 to `stride`: x ≈ scale × (code − zero). */
    void (*quantize)(const float *x, size_t rows, size_t n, size_t stride, uint8_t *codes, float *scales, int32_t *zeros);
    /* out ← codes (rows × 4·groups) × the weights of strips, scaled back:
     * scale[i] × weight_scale[j] × (Σ − zero[i] × weight_sum[j]) + bias[j]. */
    void (*multiply_i8)(const uint8_t *codes, const float *scales, const int32_t *zeros, size_t rows, size_t groups,
                        const int8_t *weights, const float *weight_scales, const int32_t *weight_sums, const float *bias, size_t n,
                        float *out, size_t out_stride);
    /* The last step of multiply_i8 for sums that somebody else made. */
    void (*scale_back)(const int32_t *sums, const float *scales, const int32_t *zeros, size_t rows, size_t n,
                       const float *weight_scales, const int32_t *weight_sums, const float *bias, float *out, size_t out_stride);
} bert_ops;

extern const bert_ops bert_ops_plain, bert_ops_avx2;

/* The best for this processor; FORAGE_KERNEL=scalar in the environment chooses the plain one. */
const bert_ops *bert_ops_best(void);

#endif
